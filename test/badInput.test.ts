/** Bad input through a whole pipeline: bytes, events, filter, handler with callbacks and statistics. Nothing may be lost. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Layer, Stream } from "effect"
import {
  ContentFilter,
  OpenAiChat,
  StreamCallbacks,
  StreamError,
  StreamEvent,
  StreamHandler,
  StreamProcessor,
  StreamSource,
  StreamStats
} from "../src/index.ts"
import * as StreamTest from "../src/testing/StreamTest.ts"

type Chunk = string | Uint8Array

/** One frame for each text of an answer. */
const frames = (...texts: ReadonlyArray<string>): string =>
  texts.map((content) => `data: ${JSON.stringify({ choices: [{ delta: { content } }] })}\n\n`).join("")
const finish = 'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'

/** What every stream must show, whatever it was. */
interface Seen {
  readonly text: string
  readonly outcome: string
  readonly failure: string | undefined
  /** The callbacks that ran at the end. */
  readonly ends: ReadonlyArray<string>
  readonly recorded: ReadonlyArray<string>
  /** How often the generator was let go of, and whether it was told. */
  readonly released: number
  readonly aborted: boolean | undefined
}

interface Setup {
  readonly decode?: (
    chunks: Stream.Stream<string, StreamError.StreamError>
  ) => Stream.Stream<StreamEvent.StreamEvent, StreamError.StreamError>
  readonly processor?: StreamProcessor.StreamProcessor<string>
  readonly maxBufferSize?: number
  readonly read?: (events: Stream.Stream<StreamEvent.StreamEvent, unknown>) => Effect.Effect<unknown, unknown>
  readonly layer?: Layer.Layer<never>
}

const play = (
  generate: (signal: AbortSignal) => AsyncGenerator<Chunk> | Generator<Chunk>,
  setup: Setup = {}
): Effect.Effect<Seen> =>
  Effect.gen(function* () {
    let released = 0
    let told: AbortSignal | undefined
    const source = StreamSource.fromAsyncIterable(async function* (signal) {
      told = signal
      try {
        yield* generate(signal)
      } finally {
        released++
      }
    })
    const processor: StreamProcessor.StreamProcessor<string> = setup.processor ?? StreamProcessor.passthrough
    const events = source.pipe(
      setup.decode ?? OpenAiChat.decode(),
      ContentFilter.make({ patterns: ["password"] }),
      processor,
      StreamHandler.events({ maxBufferSize: setup.maxBufferSize })
    )
    const exit = yield* Effect.exit((setup.read ?? Stream.runDrain)(events))
    const error = Exit.isFailure(exit) && !Cause.hasInterrupts(exit.cause) ? Cause.squash(exit.cause) : undefined
    const calls = yield* StreamTest.recorded
    const last = calls.at(-1)
    assert(last?.callback === "onExit")
    const { result } = last.value
    if (StreamError.isStreamError(error)) assert.strictEqual(error.partial?.text, result.text)
    return {
      text: result.text,
      outcome: result.stats.outcome,
      failure: StreamError.isStreamError(error) ? error.reason._tag : error === undefined ? undefined : String(error),
      ends: calls.map(({ callback }) => callback).filter((name) => ["onEnd", "onError", "onExit"].includes(name)),
      recorded: (yield* (yield* StreamStats.StreamStats).recent).map(({ outcome }) => outcome),
      released,
      aborted: told?.aborted
    }
  }).pipe(
    Effect.provide(setup.layer ?? Layer.empty),
    Effect.provide(Layer.mergeAll(StreamTest.recorder, StreamStats.layerMemory()))
  )

const ended = (text: string): Seen => ({
  text,
  outcome: "completed",
  failure: undefined,
  ends: ["onEnd", "onExit"],
  recorded: ["completed"],
  released: 1,
  aborted: true
})

const failed = (failure: string, text: string): Seen => ({
  ...ended(text),
  outcome: "failed",
  failure,
  ends: ["onError", "onExit"],
  recorded: ["failed"]
})

const left = (outcome: "abandoned" | "interrupted", text: string): Seen => ({
  ...ended(text),
  outcome,
  ends: ["onExit"],
  recorded: [outcome]
})

const boom = new Error("boom")
const asText = { decode: StreamEvent.fromText }

const isDelta = (text: string) => (event: StreamEvent.StreamEvent) => event._tag === "Delta" && event.delta === text

const rows: ReadonlyArray<readonly [name: string, Effect.Effect<Seen>, expected: Seen]> = [
  [
    "more than fits",
    play(
      function* () {
        yield frames("12345", "67890", "!") + finish
      },
      { maxBufferSize: 10 }
    ),
    failed("BufferOverflow", "1234567890")
  ],
  [
    "a source that throws, in the middle of what could be a match",
    play(function* () {
      yield frames("my pass")
      throw boom
    }),
    failed("SourceFailure", "my pass")
  ],
  [
    "a source that fails before its first chunk",
    play(function* () {
      throw boom
    }),
    failed("SourceFailure", "")
  ],
  [
    "a source that never ends",
    play(
      function* () {
        for (;;) yield frames("0123456789")
      },
      { maxBufferSize: 95 }
    ),
    failed("BufferOverflow", "0123456789".repeat(9))
  ],
  ["an empty source of wire bytes", play(function* () {}), failed("Truncated", "")],
  ["an empty source of text", play(function* () {}, asText), ended("")],
  [
    "a processor that fails",
    play(
      function* () {
        yield frames("a", "b", "c") + finish
      },
      {
        processor: StreamProcessor.make((event) =>
          isDelta("c")(event) ? Effect.fail("refused") : Effect.succeed(event)
        )
      }
    ),
    failed("refused", "ab")
  ],
  [
    "a callback that dies",
    play(
      function* () {
        yield frames("a", "b") + finish
      },
      {
        layer: StreamCallbacks.layer({
          onEvent: () => Effect.die(boom),
          onDelta: (): Effect.Effect<void> => {
            throw boom
          }
        })
      }
    ),
    ended("ab")
  ],
  [
    "a consumer that leaves after three events",
    play(
      function* () {
        yield frames("a")
        yield frames("b")
        yield frames("c")
      },
      { read: (events) => Stream.runDrain(Stream.take(events, 3)) }
    ),
    left("abandoned", "ab")
  ],
  [
    "lone surrogates, in text",
    play(function* () {
      yield "a\ud83d"
      yield "\ude00b\ud83d"
      yield "c\ude00"
    }, asText),
    ended("a😀b\ud83dc\ude00")
  ],
  [
    "lone surrogates, in the escapes of a frame",
    play(function* () {
      yield frames("a\ud83d", "\ude00b\ud83d", "c\ude00") + finish
    }),
    ended("a😀b\ud83dc\ude00")
  ],
  [
    "a line without end",
    play(
      function* () {
        yield frames("a") + "data: "
        for (;;) yield "x".repeat(1000)
      },
      { decode: OpenAiChat.decode({ maxEventSize: 100_000 }) }
    ),
    failed("FrameTooLarge", "a")
  ],
  [
    "invalid UTF-8",
    play(function* () {
      const [before, behind] = frames("a?b").split("?")
      yield before!
      yield Uint8Array.of(0xff, 0xc3)
      yield behind! + finish
    }),
    ended("a\ufffd\ufffdb")
  ],
  [
    "JSON that is no JSON",
    play(function* () {
      yield `${frames("my pass")}data: {"choices": oops}\n\n${frames("b")}${finish}`
    }),
    failed("MalformedFrame", "my pass")
  ]
]

describe("bad input", () => {
  it.effect.each(rows)("%s", ([, run, expected]) => Effect.map(run, (seen) => assert.deepStrictEqual(seen, expected)))

  it.live("a stalled generator under interruption", () =>
    Effect.gen(function* () {
      const seen = yield* play(
        async function* (signal) {
          yield frames("a")
          await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()))
        },
        {
          read: (events) =>
            Effect.gen(function* () {
              const fiber = yield* Effect.forkChild(Stream.runDrain(events), { startImmediately: true })
              yield* Effect.sleep(20)
              yield* Effect.timeout(Fiber.interrupt(fiber), "5 seconds")
            })
        }
      )
      // Interruption does not wait for a generator that waits itself; the signal has told it.
      assert.deepStrictEqual({ ...seen, released: 1 }, left("interrupted", "a"))
    })
  )

  const tokens = Array.from({ length: 150_000 }, (_, i) => ` tok${i % 97}`)

  it.effect("10 MB in one chunk, of many frames", () =>
    Effect.gen(function* () {
      const wire = tokens.map((token) => frames(token)).join("") + finish
      assert.isAbove(wire.length, 7_500_000)
      const seen = yield* play(function* () {
        yield new TextEncoder().encode(wire + ": ".padEnd(10_000_000 - wire.length))
      })
      assert.isTrue(seen.text === tokens.join(""))
      assert.deepStrictEqual({ ...seen, text: "" }, ended(""))
    })
  )

  it.effect("10 MB in one chunk, of one frame, and one of text", () =>
    Effect.gen(function* () {
      const large = "0123456789".repeat(1_000_000)
      for (const [chunk, setup] of [
        [frames(large) + finish, {}],
        [large, asText]
      ] as const) {
        const seen = yield* play(function* () {
          yield chunk
        }, setup)
        assert.isTrue(seen.text === large)
        assert.deepStrictEqual({ ...seen, text: "" }, ended(""))
      }
    })
  )

  it.effect("a million empty chunks, and a million empty deltas", () =>
    Effect.gen(function* () {
      const chunks = play(function* () {
        yield frames("pass")
        for (let n = 0; n < 1_000_000; n++) yield n % 2 === 0 ? "" : new Uint8Array()
        yield frames("word") + finish
      })
      assert.deepStrictEqual(yield* chunks, ended("[FILTERED]"))
      const deltas = play(function* () {
        for (let n = 0; n < 1_000_000; n += 1000) yield frames(...Array.from({ length: 1000 }, () => ""))
        yield frames("a") + finish
      })
      assert.deepStrictEqual(yield* deltas, ended("a"))
    })
  )
})
