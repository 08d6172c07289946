import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Fiber, Queue, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as Deadline from "../../src/processors/Deadline.ts"
import * as StreamError from "../../src/StreamError.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as StreamSource from "../../src/StreamSource.ts"
import * as StreamArbitrary from "../../src/testing/StreamArbitrary.ts"
import * as StreamLaws from "../../src/testing/StreamLaws.ts"
import * as StreamTest from "../../src/testing/StreamTest.ts"
import { collect, show } from "../support/run.ts"

const start = StreamEvent.start(0)
const text = (delta: string) => StreamEvent.delta(0, delta)
const thought = (delta: string) => StreamEvent.reasoning(0, delta)
const piece = (delta: string) => StreamEvent.toolCallDelta(0, "a", "f", delta)
const call = StreamEvent.toolCall(0, { id: "a", name: "f", argumentsText: "{}", input: {} })
const alive = StreamEvent.progress(0, "keep-alive")
const usage = StreamEvent.metadata(0, "usage")
const end = StreamEvent.end(0, "stop")
const seconds = (n: number) => StreamTest.delay(Duration.seconds(n))

type Step = StreamEvent.StreamEvent | StreamTest.Step<StreamEvent.StreamEvent, string>

/** Which deadline passed, after how many seconds on the clock; or `end`, or the source's own failure. */
const outcome = (options: Deadline.Options, steps: ReadonlyArray<Step>, consumerSeconds = 0) =>
  Effect.gen(function* () {
    const since = yield* Clock.currentTimeMillis
    const probe = yield* StreamTest.probe(StreamTest.script(steps))
    const seen: Array<StreamEvent.StreamEvent> = []
    const fiber = yield* probe.stream.pipe(
      Deadline.make(options),
      Stream.runForEach((event) =>
        Effect.andThen(
          Effect.sync(() => seen.push(event)),
          Effect.sleep(Duration.seconds(consumerSeconds))
        )
      ),
      Effect.match({
        onFailure: (error) =>
          StreamError.isStreamError(error) && error.reason._tag === "Timeout" ? error.reason.phase : String(error),
        onSuccess: () => "end"
      }),
      Effect.zip(Clock.currentTimeMillis),
      Effect.forkChild
    )
    for (let i = 0; i < 400 && fiber.pollUnsafe() === undefined; i++) {
      yield* TestClock.adjust(0)
      yield* TestClock.adjust("500 millis")
    }
    const [how, now] = yield* Fiber.join(fiber)
    const { violations } = yield* probe.report
    assert.deepStrictEqual(violations, [])
    return { how: `${how} at ${(now - since) / 1000}`, count: seen.length }
  })

const passes = (name: string, options: Deadline.Options, steps: ReadonlyArray<Step>, expected: string) =>
  it.effect(name, () => Effect.map(outcome(options, steps), ({ how }) => assert.strictEqual(how, expected)))

describe("start", () => {
  passes("until the first event", { start: "3 seconds" }, [StreamTest.stall], "start at 3")
  passes("and not a moment too early", { start: "3 seconds" }, [seconds(2.5), start, seconds(9), end], "end at 11.5")
  passes("any event will do", { start: "3 seconds" }, [seconds(2), alive, seconds(9), end], "end at 11")
})

describe("firstToken", () => {
  const options = { firstToken: "3 seconds" } as const
  passes("until the first content", options, [start, alive, usage, text(""), StreamTest.stall], "firstToken at 3")
  passes("which may be reasoning", options, [start, seconds(2), thought("hm"), seconds(9), end], "end at 11")
  passes("or a piece of a tool call", options, [start, seconds(2), piece("{"), seconds(9), call, end], "end at 11")
  passes("or a whole one", options, [start, seconds(2), call, seconds(9), end], "end at 11")
})

describe("firstOutput", () => {
  const options = { firstOutput: "3 seconds" } as const
  passes(
    "until the first that is not reasoning",
    options,
    [seconds(1), thought("hm"), seconds(9), end],
    "firstOutput at 3"
  )
  passes("an answer", options, [thought("hm"), seconds(2), text("a"), seconds(9), end], "end at 11")
  passes("a refusal", options, [seconds(2), StreamEvent.refusal(0, "no"), seconds(9), end], "end at 11")
  passes("a tool call", options, [seconds(2), piece("{"), seconds(9), end], "end at 11")
})

describe("idle", () => {
  const options = { idle: "3 seconds" } as const
  passes("from each content to the next", options, [text("a"), seconds(2), text("b"), seconds(9), end], "idle at 5")
  passes(
    "keep-alives and metadata are none",
    options,
    [text("a"), seconds(2), alive, usage, seconds(2), end],
    "idle at 3"
  )
  passes("until the first one too", options, [start, StreamTest.stall], "idle at 3")
  passes(
    "unless firstToken rules that",
    { idle: "3 seconds", firstToken: "8 seconds" },
    [start, seconds(7), text("a"), StreamTest.stall],
    "idle at 10"
  )
  passes(
    "pieces of tool calls are content",
    options,
    [piece("{"), seconds(2), piece("}"), seconds(2), call, end],
    "end at 4"
  )
})

describe("toolIdle", () => {
  const options = { idle: "3 seconds", toolIdle: "8 seconds" } as const
  passes(
    "in place of idle behind a piece of a tool call",
    options,
    [piece("{"), seconds(7), piece("}"), seconds(7), call, end],
    "end at 14"
  )
  passes("and no longer", options, [text("a"), seconds(1), piece("{"), StreamTest.stall], "toolIdle at 9")
  passes("not behind the call", options, [piece("{}"), seconds(7), call, seconds(4), end], "idle at 10")
  passes("nor behind text", options, [piece("{}"), text("a"), seconds(4), end], "idle at 3")
})

describe("idleProgress", () => {
  const options = { idleProgress: "3 seconds" } as const
  passes("any sign of life counts", options, [alive, seconds(2), alive, seconds(2), usage, seconds(2), end], "end at 6")
  passes("its absence too", options, [alive, seconds(2), alive, seconds(4), end], "idleProgress at 5")
})

describe("total", () => {
  const flow = Array.from({ length: 20 }, () => [seconds(1), text("a")]).flat()
  passes("until the end, however much comes", { total: "5 seconds", idle: "3 seconds" }, [...flow, end], "total at 5")
  passes(
    "the first of several that pass at once is named",
    { total: "3 seconds", start: "3 seconds" },
    [StreamTest.stall],
    "start at 3"
  )
})

describe("the clock", () => {
  it.effect("stands still while the consumer is busy", () =>
    Effect.gen(function* () {
      const steps = [start, seconds(1), text("a"), seconds(1), text("b"), seconds(1), end]
      const all = { start: 2, firstToken: 2, firstOutput: 2, idle: 2, idleProgress: 2, total: 4 }
      const options = Object.fromEntries(Object.entries(all).map(([phase, n]) => [phase, Duration.seconds(n)]))
      assert.deepStrictEqual(yield* outcome(options, steps, 10), { how: "end at 43", count: 4 })
      // What is counted is counted on, over all pulls.
      assert.deepStrictEqual(yield* outcome({ total: "2500 millis" }, steps, 10), { how: "total at 32.5", count: 3 })
    })
  )

  it.effect("is not asked behind the terminal event, and the source no more either", () =>
    Effect.gen(function* () {
      const { count, how } = yield* outcome({ total: "3 seconds" }, [text("a"), end, StreamTest.stall])
      assert.deepStrictEqual([count, how], [2, "end at 0"])
    })
  )
})

describe("the source", () => {
  passes("keeps its own failure", { total: "3 seconds" }, [text("a"), StreamTest.fail("reset")], "reset at 0")

  it.live("that stalls in an async generator is left behind, its signal aborted", () =>
    Effect.gen(function* () {
      let aborted = false
      const stalled = StreamSource.fromAsyncIterable(async function* (signal) {
        signal.addEventListener("abort", () => (aborted = true))
        yield "a"
        await new Promise(() => {})
      })
      const { events, failure } = yield* collect(stalled.pipe(StreamEvent.fromText, Deadline.make({ idle: 20 })))
      assert.deepStrictEqual(events.map(show).slice(1), ['Delta "a"'])
      assert.deepStrictEqual(failure?.reason._tag, "Timeout")
      assert.isTrue(aborted)
    })
  )

  it.effect("that gives very many events at once costs no stack", () =>
    Effect.gen(function* () {
      const many = StreamEvent.fromText(
        Stream.fromIterable(Array.from({ length: 100_000 }, () => "a")).pipe(Stream.rechunk(1))
      )
      const count = yield* many.pipe(Deadline.make({ idle: "1 second", total: "1 minute" }), Stream.runCount)
      assert.strictEqual(count, 100_002)
    })
  )
})

describe("a pull that is interrupted", () => {
  it.effect("takes nothing from the next one, and its wait does not count", () =>
    Effect.gen(function* () {
      const queue = yield* Queue.unbounded<StreamEvent.StreamEvent>()
      const pull = yield* Stream.toPull(Deadline.make({ idle: "2 seconds" })(Stream.fromQueue(queue)))
      const waiting = yield* Effect.forkChild(pull, { startImmediately: true })
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(waiting)
      yield* TestClock.adjust("1 hour")
      yield* Queue.offer(queue, text("a"))
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(yield* pull, [text("a")])
      const late = yield* Effect.forkChild(Effect.flip(pull), { startImmediately: true })
      yield* TestClock.adjust("1999 millis")
      assert.isUndefined(late.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.include(String(yield* Fiber.join(late)), 'Deadline "idle" of 2s passed')
    }).pipe(Effect.scoped)
  )
})

it.effect("a finalizer of the source that dies does not hide the deadline", () =>
  Effect.gen(function* () {
    const source = Stream.unwrap(
      Effect.as(
        Effect.addFinalizer(() => Effect.die("bug")),
        Stream.never
      )
    )
    const fiber = yield* Effect.forkChild(Effect.exit(source.pipe(Deadline.make({ idle: 20 }), Stream.runDrain)))
    yield* TestClock.adjust(0)
    yield* TestClock.adjust(20)
    const exit = yield* Fiber.join(fiber)
    assert.include(String(exit), "idle")
  })
)

describe("options", () => {
  it("a duration of nothing, or less, throws and is named", () => {
    for (const duration of [0, -1, "0 seconds", Duration.zero] as const) {
      assert.throws(() => Deadline.make({ idle: duration }), RangeError, /idle/)
    }
    assert.doesNotThrow(() => Deadline.make({ idle: Infinity, total: "1 nanos" }))
  })

  it.effect("none, or Infinity, is no deadline", () =>
    Effect.gen(function* () {
      for (const options of [{}, { idle: undefined }, { idle: Infinity }] as const) {
        const { how } = yield* outcome(options, [seconds(100), text("a"), end])
        assert.strictEqual(how, "end at 100")
      }
    })
  )
})

describe("laws", () => {
  it.effect.prop("of processors", { input: StreamArbitrary.events() }, ({ input }) =>
    StreamLaws.all(Deadline.make({ start: "1 second", idle: "1 second", total: "1 hour" }), input)
  )
})
