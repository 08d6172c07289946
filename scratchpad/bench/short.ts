/**
 * Many short streams, one after the other: what a stream costs beside its tokens, and how long the collections of garbage
 * take that a backend's other requests wait for.
 *
 * `node --expose-gc scratchpad/bench/short.ts`
 *
 * A generator function that is made for each stream (`Effect.gen` in a stage) shows here and nowhere else: V8 keeps what it has
 * ever seen until a full collection, and until then each young collection has all of that to look at.
 *
 * @since 0.1.0
 */
import { execFileSync } from "node:child_process"
import { constants, PerformanceObserver } from "node:perf_hooks"
import { fileURLToPath } from "node:url"
import { Effect, Stream } from "effect"
import { StreamEvent, StreamHandler, StreamSource } from "../../src/index.ts"

const count = 30_000
const tokens = Array.from({ length: 20 }, (_, index) => ` token${index}`)

async function* generate() {
  yield* tokens
}

const source = StreamSource.fromAsyncIterable(generate)

const sides: Readonly<Record<string, () => Promise<unknown>>> = {
  "for await": async () => {
    let text = ""
    for await (const token of generate()) text += token
    return text
  },
  "effect's Stream.fromAsyncIterable": () =>
    Effect.runPromise(Stream.runDrain(Stream.fromAsyncIterable({ [Symbol.asyncIterator]: generate }, String))),
  "StreamSource.fromAsyncIterable": () => Effect.runPromise(Stream.runDrain(source)),
  "and fromText": () => source.pipe(StreamEvent.fromText, Stream.runDrain, Effect.runPromise),
  "and StreamHandler.run": () => source.pipe(StreamEvent.fromText, StreamHandler.run(), Effect.runPromise)
}

const measure = async (run: () => Promise<unknown>) => {
  const young: Array<number> = []
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const { kind } = (entry as { readonly detail?: { readonly kind?: number } }).detail ?? {}
      if (kind === constants.NODE_PERFORMANCE_GC_MINOR) young.push(entry.duration)
    }
  })
  for (let i = 0; i < count; i++) await run()
  globalThis.gc?.()
  observer.observe({ entryTypes: ["gc"] })
  const start = performance.now()
  for (let i = 0; i < count; i++) await run()
  const micros = (1_000 * (performance.now() - start)) / count
  await new Promise((resolve) => setTimeout(resolve, 50))
  young.sort((a, b) => a - b)
  return { micros, median: young[young.length >> 1] ?? 0, longest: young.at(-1) ?? 0 }
}

const [only] = process.argv.slice(2)
if (only === undefined) {
  console.log(`${count} streams of ${tokens.length} tokens, one after the other; the young collections meanwhile`)
  // In a process of its own, so that none pays for the garbage of another.
  for (const name of Object.keys(sides)) {
    const args = ["--expose-gc", fileURLToPath(import.meta.url), name]
    process.stdout.write(execFileSync(process.execPath, args))
  }
} else {
  const { longest, median, micros } = await measure(sides[only]!)
  console.log(
    `${only.padEnd(34)} ${micros.toFixed(1).padStart(6)} µs a stream, ` +
      `median ${median.toFixed(2)} ms, longest ${longest.toFixed(1)} ms`
  )
}
