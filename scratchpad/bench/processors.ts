/**
 * What each processor costs for a token, at one and at 64 tokens per pull, against a stage that does nothing; and Smoothing
 * against the AI SDK's `smoothStream`.
 */
import { smoothStream } from "ai"
import { Cause, Effect, Stream } from "effect"
import {
  Budget,
  ContentFilter,
  Deadline,
  Guardrail,
  Recovery,
  Smoothing,
  StopSequence,
  StreamEvent,
  StreamProcessor,
  TagSplitter
} from "../../src/index.ts"
import { bench, type Group } from "./harness.ts"
import { inArrays, makeTokens, patterns } from "./tokens.ts"

// -----------------------------------------------------------------------------
// each processor
// -----------------------------------------------------------------------------

const count = 20_000

type Arrays = ReadonlyArray<ReadonlyArray<StreamEvent.StreamEvent>>
type Stage = (self: Stream.Stream<StreamEvent.StreamEvent>) => Stream.Stream<StreamEvent.StreamEvent, unknown>

/** One array a pull, as a decoder gives them. */
const fromArrays = (arrays: Arrays): Stream.Stream<StreamEvent.StreamEvent> =>
  Stream.fromPull(
    Effect.sync(() => {
      let n = 0
      return Effect.suspend(() =>
        n < arrays.length
          ? Effect.succeed(arrays[n++] as readonly [StreamEvent.StreamEvent, ...Array<StreamEvent.StreamEvent>])
          : Cause.done()
      )
    })
  )

const events: ReadonlyArray<StreamEvent.StreamEvent> = [
  StreamEvent.start(0),
  ...makeTokens(count).map((token) => StreamEvent.delta(0, token)),
  StreamEvent.end(0, "stop")
]

const stages: Readonly<Record<string, Stage>> = {
  "empty stage": StreamProcessor.filterMap((event) => event),
  ContentFilter: ContentFilter.make({ patterns, replacement: "[FILTERED]" }),
  StopSequence: StopSequence.make({ stop: ["\nUser:", "\nAssistant:", "</s>"] }),
  TagSplitter: TagSplitter.make({ tags: { think: "reasoning", cite: "metadata" } }),
  Deadline: Deadline.make({ firstToken: "10 seconds", idle: "10 seconds", total: "1 minute" }),
  "Budget, characters": Budget.make({ chars: 1e9 }),
  "Budget, tokens": Budget.make({ tokens: 1e9 }),
  "Guardrail, 200 characters, holding": Guardrail.make({ check: () => Effect.succeed(Guardrail.allow) }),
  "Guardrail, 200 characters, optimistic": Guardrail.make({
    check: () => Effect.succeed(Guardrail.allow),
    mode: "optimistic"
  }),
  Recovery: Recovery.make({ strategy: Recovery.restartIfSilent }),
  // So late that nothing has to wait: what is measured is the work, not the pace.
  "Smoothing, words": Smoothing.make({ by: "word", maxLag: "1 nanos" })
}

const each = (perPull: number): Group => ({
  name: `${count} tokens, ${perPull} per pull`,
  baseline: "empty stage",
  work: { tokens: count },
  // Smoothing and filtering join tokens.
  differing: true,
  jobs: Object.entries(stages).map(([name, stage]) => {
    const stream = stage(fromArrays(inArrays(events, perPull)))
    return { name, run: () => Effect.runPromise(Stream.runDrain(stream)) }
  })
})

// -----------------------------------------------------------------------------
// Smoothing and smoothStream
// -----------------------------------------------------------------------------

const smoothed =
  (deltas: ReadonlyArray<string>, by: "word" | "grapheme" = "word") =>
  () =>
    Stream.fromIterable(deltas).pipe(
      Stream.rechunk(1),
      StreamEvent.fromText,
      Smoothing.make({ by, maxLag: "1 nanos" }),
      StreamEvent.text,
      Stream.mkString,
      Effect.map((text) => text.length),
      Effect.runPromise
    )

/** Without a delay, so that its work is measured and not its pace. */
const aiSdk = (deltas: ReadonlyArray<string>) => async () => {
  const source = new ReadableStream({
    start(controller) {
      controller.enqueue({ type: "text-start", id: "0" })
      for (const text of deltas) controller.enqueue({ type: "text-delta", id: "0", text })
      controller.enqueue({ type: "text-end", id: "0" })
      controller.close()
    }
  })
  let length = 0
  for await (const part of source.pipeThrough(smoothStream({ delayInMs: null })({ tools: {} }))) {
    if (part.type === "text-delta") length += part.text.length
  }
  return length
}

const pieces = (text: string, size: number): ReadonlyArray<string> =>
  Array.from({ length: Math.ceil(text.length / size) }, (_, i) => text.slice(i * size, (i + 1) * size))

const smoothing = (name: string, deltas: ReadonlyArray<string>, rounds?: number): Group => ({
  name,
  baseline: "Smoothing",
  work: { deltas: deltas.length },
  rounds,
  warmup: rounds === undefined ? undefined : 1,
  jobs: [
    { name: "Smoothing", run: smoothed(deltas) },
    { name: "AI SDK smoothStream", run: aiSdk(deltas) }
  ]
})

const dense = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo".repeat(115).slice(0, 4_000)

await bench([
  each(1),
  each(64),
  smoothing("5,000 words, a token at a time", makeTokens(5_000)),
  smoothing("1,000 characters without white space, 4 at a time", pieces(dense.slice(0, 1_000), 4), 3),
  smoothing("4,000 characters without white space, 4 at a time", pieces(dense, 4), 3)
])
