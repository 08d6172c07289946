/**
 * Memory and linearity: the heap grows with the text that is kept and with nothing else, and a token costs the same at the
 * ten-thousandth and at the millionth.
 *
 * `node --expose-gc scratchpad/bench/memory.ts`
 */
import { Cause, Effect, Stream } from "effect"
import { ContentFilter, StreamCallbacks, StreamEvent, StreamHandler } from "../../src/index.ts"
import { bench } from "./harness.ts"
import { makeTokens, patterns } from "./tokens.ts"

const gc = globalThis.gc
if (gc === undefined) throw new Error("run with --expose-gc")

const vocabulary = makeTokens(4_096)

/** Tokens made on the fly: each is a string of its own, as from a decoder. */
const source = (count: number, perPull: number): Stream.Stream<string> =>
  Stream.fromPull(
    Effect.sync(() => {
      let n = 0
      return Effect.suspend(() => {
        if (n >= count) return Cause.done()
        const array: Array<string> = []
        for (; array.length < perPull && n < count; n++) {
          array.push(`${vocabulary[n % vocabulary.length]!.slice(0, -1)}${(n % 10).toString()}`)
        }
        return Effect.succeed(array as [string, ...Array<string>])
      })
    })
  )

const callbacks = StreamCallbacks.layer({ onDelta: () => Effect.void })

const pipeline = (count: number, perPull: number, bufferContent: boolean) =>
  source(count, perPull).pipe(
    StreamEvent.fromText,
    ContentFilter.make({ patterns, replacement: "[FILTERED]" }),
    StreamHandler.events({ bufferContent, maxBufferSize: Number.MAX_SAFE_INTEGER })
  )

// -----------------------------------------------------------------------------
// heap
// -----------------------------------------------------------------------------

/** The most that is alive while the stream runs, at 20 places. */
const heapOf = async (count: number, perPull: number, bufferContent: boolean) => {
  gc()
  const before = process.memoryUsage().heapUsed
  let peak = 0
  let chars = 0
  let seen = 0
  await pipeline(count, perPull, bufferContent).pipe(
    Stream.runForEachArray((events) =>
      Effect.sync(() => {
        for (const event of events) {
          if (event._tag !== "Delta") continue
          chars += event.delta.length
          if (++seen % (count / 20) !== 0) continue
          gc()
          peak = Math.max(peak, process.memoryUsage().heapUsed - before)
        }
      })
    ),
    Effect.provide(callbacks),
    Effect.runPromise
  )
  return { heapMb: peak / 1e6, textMb: chars / 1e6 }
}

for (const bufferContent of [true, false]) {
  console.log(`\nheap, one token per pull, bufferContent: ${bufferContent}`)
  for (const tokens of [10_000, 100_000, 1_000_000]) {
    await heapOf(tokens, 1, bufferContent)
    const { heapMb, textMb } = await heapOf(tokens, 1, bufferContent)
    console.log(
      `${tokens.toLocaleString("en-US").padStart(9)} tokens: +${heapMb.toFixed(2)} MB for ${textMb.toFixed(2)} M characters`
    )
    console.log(JSON.stringify({ group: "heap", bufferContent, tokens, heapMb, textMb }))
  }
}

// -----------------------------------------------------------------------------
// time
// -----------------------------------------------------------------------------

const total = 1_000_000

for (const perPull of [1, 64]) {
  await bench([
    {
      name: `${total.toLocaleString("en-US")} tokens, ${perPull} per pull`,
      baseline: "100 streams of 10,000",
      rounds: 5,
      warmup: 1,
      work: { tokens: total },
      jobs: [10_000, 100_000, 1_000_000].map((count) => ({
        name: `${total / count} streams of ${count.toLocaleString("en-US")}`,
        run: async () => {
          for (let n = 0; n < total / count; n++) {
            await pipeline(count, perPull, true).pipe(Stream.runDrain, Effect.provide(callbacks), Effect.runPromise)
          }
          return total
        }
      }))
    }
  ])
}
