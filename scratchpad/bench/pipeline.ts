/**
 * The pipeline (Start and End, passthrough, ContentFilter with three patterns, buffer, statistics, one callback) against
 * its peers and floors, on the same tokens.
 *
 * `npm run bench` runs it, before the benches of many streams and of memory.
 */
import { simulateReadableStream, streamText } from "ai"
import { MockLanguageModelV4 } from "ai/test"
import { Cause, Effect, Stream } from "effect"
import { LanguageModel } from "effect/ai"
import {
  ContentFilter,
  StreamCallbacks,
  StreamEvent,
  StreamHandler,
  StreamProcessor,
  StreamSource
} from "../../src/index.ts"
import { takeByHand } from "./byHand.ts"
import { bench, type Group } from "./harness.ts"
import { inArrays, makeTokens, patterns } from "./tokens.ts"

const count = 20_000
const tokens = makeTokens(count)

// -----------------------------------------------------------------------------
// sources
// -----------------------------------------------------------------------------

/** One array a pull, as a decoder gives them. */
const fromArrays = (arrays: ReadonlyArray<ReadonlyArray<string>>): Stream.Stream<string> =>
  Stream.fromPull(
    Effect.sync(() => {
      let n = 0
      return Effect.suspend(() =>
        n < arrays.length ? Effect.succeed(arrays[n++] as readonly [string, ...Array<string>]) : Cause.done()
      )
    })
  )

async function* generate<A>(items: ReadonlyArray<A>) {
  for (const item of items) yield item
}

// -----------------------------------------------------------------------------
// the pipeline, and the same work by hand
// -----------------------------------------------------------------------------

interface Totals {
  deltas: number
}

const pipeline = (source: () => Stream.Stream<string, unknown>) => {
  const seen: Totals = { deltas: 0 }
  const callbacks = StreamCallbacks.layer({
    onDelta: () =>
      Effect.sync(() => {
        seen.deltas++
      })
  })
  return async () => {
    const result = await source().pipe(
      StreamEvent.fromText,
      StreamProcessor.passthrough,
      ContentFilter.make({ patterns, replacement: "[FILTERED]" }),
      StreamHandler.run(),
      Effect.provide(callbacks),
      Effect.runPromise
    )
    return result.text.length
  }
}

const byHand = (next: () => AsyncIterable<string>) => async () => {
  const seen: Totals = { deltas: 0 }
  const work = takeByHand(async () => void seen.deltas++)
  for await (const token of next()) await work.take(token)
  return (await work.end()).text.length
}

const arraysByHand = (next: () => AsyncIterable<ReadonlyArray<string>>) => async () => {
  const seen: Totals = { deltas: 0 }
  const work = takeByHand(async () => void seen.deltas++)
  for await (const array of next()) await work.takeArray(array)
  return (await work.end()).text.length
}

const bare = (next: () => AsyncIterable<string>) => async () => {
  let text = ""
  for await (const token of next()) text += token
  return text.length
}

// -----------------------------------------------------------------------------
// peers
// -----------------------------------------------------------------------------

const usage = {
  inputTokens: { total: 1, noCache: 1, cacheRead: undefined, cacheWrite: undefined },
  outputTokens: { total: count, text: count, reasoning: undefined }
}

const aiSdk = async () => {
  const model = new MockLanguageModelV4({
    doStream: async () => ({
      stream: simulateReadableStream({
        initialDelayInMs: null,
        chunkDelayInMs: null,
        chunks: [
          { type: "stream-start" as const, warnings: [] },
          { type: "text-start" as const, id: "0" },
          ...tokens.map((delta) => ({ type: "text-delta" as const, id: "0", delta })),
          { type: "text-end" as const, id: "0" },
          { type: "finish" as const, finishReason: { unified: "stop" as const, raw: "stop" }, usage }
        ]
      })
    })
  })
  let text = ""
  for await (const delta of streamText({ model, prompt: "bench" }).textStream) text += delta
  return text.length
}

const effectAi = () =>
  Effect.gen(function* () {
    const model = yield* LanguageModel.make({
      generateText: () => Effect.succeed([]),
      streamText: () =>
        fromArrays(inArrays(tokens, 1)).pipe(
          Stream.map((delta) => ({ type: "text-delta" as const, id: "0", delta })),
          (deltas) => Stream.concat(Stream.succeed({ type: "text-start" as const, id: "0" }), deltas)
        )
    })
    let text = ""
    yield* model.streamText({ prompt: "bench" }).pipe(
      Stream.runForEach((part) =>
        Effect.sync(() => {
          if (part.type === "text-delta") text += part.delta
        })
      )
    )
    return text.length
  }).pipe(Effect.runPromise)

// -----------------------------------------------------------------------------
// groups
// -----------------------------------------------------------------------------

const ones = inArrays(tokens, 1)
const many = inArrays(tokens, 64)

const groups: ReadonlyArray<Group> = [
  {
    name: `one token per pull, ${count.toLocaleString("en-US")} tokens`,
    baseline: "same work by hand",
    work: { tokens: count },
    differing: true,
    rounds: 7,
    warmup: 3,
    jobs: [
      { name: "effect-llm-streaming", run: pipeline(() => fromArrays(ones)) },
      {
        name: "effect-llm-streaming, from an async generator",
        run: pipeline(() => StreamSource.fromAsyncIterable(() => generate(tokens)))
      },
      { name: "same work by hand", run: byHand(() => generate(tokens)) },
      { name: "bare for await", run: bare(() => generate(tokens)) },
      { name: "effect/ai streamText", run: effectAi },
      { name: "AI SDK streamText", run: aiSdk }
    ]
  },
  {
    name: `64 tokens per pull, ${count.toLocaleString("en-US")} tokens`,
    baseline: "same work by hand",
    work: { tokens: count },
    jobs: [
      { name: "effect-llm-streaming", run: pipeline(() => fromArrays(many)) },
      { name: "same work by hand", run: arraysByHand(() => generate(many)) }
    ]
  }
]

await bench(groups)
