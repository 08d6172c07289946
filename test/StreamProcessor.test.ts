import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { Cause, Context, Data, Effect, Exit, Fiber, Layer, pipe, Stream } from "effect"
import { flow } from "effect/Function"
import { TestClock } from "effect/testing"
import type * as StreamError from "../src/StreamError.ts"
import * as StreamEvent from "../src/StreamEvent.ts"
import * as StreamHandler from "../src/StreamHandler.ts"
import * as StreamProcessor from "../src/StreamProcessor.ts"
import * as StreamStats from "../src/StreamStats.ts"
import * as StreamArbitrary from "../src/testing/StreamArbitrary.ts"
import * as StreamLaws from "../src/testing/StreamLaws.ts"
import * as StreamTest from "../src/testing/StreamTest.ts"
import { collect, show } from "./support/run.ts"

const upper = StreamProcessor.filterMap((event) =>
  StreamEvent.isText(event) ? { ...event, delta: event.delta.toUpperCase() } : event
)
const noReasoning = StreamProcessor.filterMap((event) => (event._tag === "Reasoning" ? undefined : event))

describe("passthrough, filterMap, make", () => {
  it.effect("passthrough is the stream itself", () =>
    Effect.gen(function* () {
      const stream = Stream.make("a").pipe(StreamEvent.fromText)
      assert.strictEqual(StreamProcessor.passthrough(stream), stream)
    })
  )

  it.effect("filterMap changes and drops, and keeps what arrived together together", () =>
    Effect.gen(function* () {
      const arrays: Array<number> = []
      yield* StreamTest.script([
        StreamTest.together<ReadonlyArray<StreamEvent.StreamEvent>>(
          StreamEvent.delta(0, "a"),
          StreamEvent.reasoning(0, "x"),
          StreamEvent.delta(0, "b")
        )
      ]).pipe(
        noReasoning,
        upper,
        Stream.runForEachArray((events) => Effect.sync(() => arrays.push(events.length)))
      )
      assert.deepStrictEqual(arrays, [2])
    })
  )

  it.effect("make adds its failures and services to the stream's, and loses nothing before a failure", () =>
    Effect.gen(function* () {
      class Limit extends Context.Service<Limit, number>()("Limit") {}
      const short = StreamProcessor.make((event) =>
        Effect.flatMap(Limit, (limit) =>
          event._tag === "Delta" && event.delta.length > limit ? Effect.fail("too long") : Effect.succeed(event)
        )
      )
      expectTypeOf(short).toEqualTypeOf<StreamProcessor.StreamProcessor<string, Limit>>()
      const together = StreamTest.script([
        StreamTest.together<ReadonlyArray<StreamEvent.StreamEvent>>(
          StreamEvent.start(0),
          StreamEvent.delta(0, "ok"),
          StreamEvent.delta(0, "long"),
          StreamEvent.end(0)
        )
      ])
      const { events, failure } = yield* collect(together.pipe(short)).pipe(Effect.provideService(Limit, 3))
      assert.strictEqual(failure, "too long")
      assert.deepStrictEqual(
        events.map((event) => event._tag),
        ["Start", "Delta"]
      )
    })
  )

  it.effect("processors compose by pipe and by flow", () =>
    Effect.gen(function* () {
      const both = flow(noReasoning, upper)
      const stream = Stream.make(StreamEvent.reasoning(0, "x"), StreamEvent.delta(0, "a"))
      assert.deepStrictEqual(
        yield* stream.pipe(both, Stream.runCollect),
        yield* stream.pipe(noReasoning, upper, Stream.runCollect)
      )
    })
  )

  it.effect.prop("keep the laws", { input: StreamArbitrary.events() }, ({ input }) =>
    Effect.all([
      StreamLaws.all(StreamProcessor.passthrough, input),
      StreamLaws.all(flow(upper, noReasoning), input),
      StreamLaws.all(
        StreamProcessor.make((event) => Effect.succeed(event)),
        input
      )
    ])
  )
})

describe("transduce", () => {
  /** Holds the last text event back. */
  const hold = StreamProcessor.transduce(() => {
    let held: StreamEvent.StreamEvent | undefined
    const flush = (out: Array<StreamEvent.StreamEvent>) => {
      if (held !== undefined) out.push(held)
      held = undefined
    }
    return {
      step(event, out) {
        flush(out)
        if (event._tag === "Delta") held = event
        else out.push(event)
      },
      flush
    }
  })

  it.effect("what is held back comes before the failure, and before a plain end", () =>
    Effect.gen(function* () {
      const failing = yield* collect(
        StreamTest.script([StreamEvent.delta(0, "a"), StreamEvent.delta(0, "b"), StreamTest.fail("boom")]).pipe(hold)
      )
      assert.deepStrictEqual(failing.events.map(show), ['Delta "a"', 'Delta "b"'])
      assert.strictEqual(failing.failure, "boom")
      const ending = yield* collect(Stream.make(StreamEvent.delta(0, "a")).pipe(hold))
      assert.deepStrictEqual(ending.events.map(show), ['Delta "a"'])
    })
  )

  it.effect("an error of step ends the stream behind what it had emitted", () =>
    Effect.gen(function* () {
      const failing = StreamProcessor.transduce<"no">(() => ({
        step(event, out) {
          out.push(event)
          return event._tag === "End" ? "no" : undefined
        },
        flush() {}
      }))
      const { events, failure } = yield* collect(Stream.make("a").pipe(StreamEvent.fromText, failing))
      assert.strictEqual(failure, "no")
      assert.deepStrictEqual(
        events.map((event) => event._tag),
        ["Start", "Delta", "End"]
      )
    })
  )

  it.effect("each run has a state of its own, and the source is treated politely", () =>
    Effect.gen(function* () {
      const probe = yield* StreamTest.probe(StreamTest.script(["a", "b"]))
      const stream = probe.stream.pipe(StreamEvent.fromText, hold, StreamEvent.text)
      assert.deepStrictEqual(yield* Stream.runCollect(stream), ["a", "b"])
      assert.deepStrictEqual(yield* Stream.runCollect(stream), ["a", "b"])
      assert.deepStrictEqual((yield* probe.report).violations, [])
    })
  )

  it.effect("a stop ends the stream in success, and releases the source before the last events go on", () =>
    Effect.gen(function* () {
      const last = StreamProcessor.transduce(() => ({
        step(event, out) {
          if (event._tag !== "Delta" || event.delta !== "b") {
            out.push(event)
            return undefined
          }
          out.push(StreamEvent.end(0, "length"))
          return StreamProcessor.stop
        },
        flush: () => assert.fail("nothing is flushed behind a stop")
      }))
      const oneByOne = StreamTest.script(["a", "b", "c", StreamTest.stall])
      for (const source of [oneByOne, Stream.concat(Stream.make("a", "b", "c"), Stream.never)]) {
        const probe = yield* StreamTest.probe(source)
        const seen: Array<string> = []
        yield* probe.stream.pipe(
          StreamEvent.fromText,
          last,
          Stream.runForEach((event) =>
            Effect.map(probe.report, ({ releases }) => seen.push(`${event._tag}, released ${releases} times`))
          )
        )
        const { releases, violations } = yield* probe.report
        assert.deepStrictEqual([releases, violations], [1, []])
        assert.deepStrictEqual(seen.at(-1), "End, released 1 times")
        assert.strictEqual(seen.length, 3)
      }
    })
  )

  it("its failures are in its type", () => {
    expectTypeOf(hold).toEqualTypeOf<StreamProcessor.StreamProcessor>()
    expectTypeOf<StreamError.StreamErrorOf<"Timeout">>().toExtend<StreamError.StreamError>()
  })
})

describe("a processor that fails", () => {
  class Refused extends Data.TaggedError("Refused")<{}> {}
  const hello = Stream.make("a", "b", "c").pipe(Stream.rechunk(1), StreamEvent.fromText)
  const is = (text: string) => (event: StreamEvent.StreamEvent) => event._tag === "Delta" && event.delta === text
  const refuse = StreamProcessor.make((event) => (is("b")(event) ? Effect.fail(new Refused()) : Effect.succeed(event)))

  it.effect(
    "ends the stream behind what came before; the handler keeps that, tells of it, and lets the source go",
    () =>
      Effect.gen(function* () {
        const probe = yield* StreamTest.probe(hello)
        const { exit, result } = yield* probe.stream.pipe(refuse, StreamHandler.runExit())
        const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
        assert.instanceOf(error, Refused)
        assert.strictEqual(result.text, "a")
        const { pulls, releases, violations } = yield* probe.report
        assert.deepStrictEqual([pulls, releases, violations], [3, 1, []])
        assert.deepStrictEqual(
          (yield* StreamTest.recorded).slice(-2).map(({ callback }) => callback),
          ["onError", "onExit"]
        )
        assert.deepStrictEqual((yield* (yield* StreamStats.StreamStats).totals).failed, 1)
      }).pipe(Effect.provide(Layer.merge(StreamTest.recorder, StreamStats.layerMemory())))
  )

  it.effect("by a defect, in make, in filterMap or in transduce, fails the same way", () =>
    Effect.gen(function* () {
      const defect = new Error("bug")
      const throwing = (event: StreamEvent.StreamEvent) => {
        if (is("b")(event)) throw defect
        return event
      }
      const processors: ReadonlyArray<StreamProcessor.StreamProcessor> = [
        StreamProcessor.make((event) => Effect.sync(() => throwing(event))),
        StreamProcessor.make((event) => Effect.succeed(throwing(event))),
        StreamProcessor.filterMap(throwing),
        StreamProcessor.transduce(() => ({
          step: (event, out) => {
            out.push(throwing(event))
            return undefined
          },
          flush: () => {}
        }))
      ]
      for (const processor of processors) {
        const probe = yield* StreamTest.probe(hello)
        const { exit, result } = yield* probe.stream.pipe(processor, StreamHandler.runExit())
        assert.strictEqual(Exit.isFailure(exit) && Cause.squash(exit.cause), defect)
        assert.deepStrictEqual([result.text, result.stats.outcome], ["a", "failed"])
        assert.deepStrictEqual((yield* probe.report).violations, [])
      }
    })
  )

  it.effect(
    "an effect that waits is interrupted with the stream, and each event goes on as soon as its own is done",
    () =>
      Effect.gen(function* () {
        const seen: Array<string> = []
        let interrupted = 0
        const slow = StreamProcessor.make((event) =>
          Effect.sleep("1 second").pipe(
            Effect.as(event),
            Effect.onInterrupt(() => Effect.sync(() => interrupted++))
          )
        )
        const together = StreamTest.script([
          StreamTest.together(StreamEvent.start(0), StreamEvent.delta(0, "a"), StreamEvent.delta(0, "b"))
        ])
        const fiber = yield* together.pipe(
          slow,
          Stream.runForEach((event) => Effect.sync(() => seen.push(event._tag))),
          Effect.forkChild({ startImmediately: true })
        )
        yield* TestClock.adjust("2 seconds")
        assert.deepStrictEqual(seen, ["Start", "Delta"])
        yield* Fiber.interrupt(fiber)
        assert.deepStrictEqual([seen.length, interrupted], [2, 1])
      })
  )
})

describe("transduce, treated badly", () => {
  const counted = () => {
    const calls = { flush: 0, open: 0, step: 0 }
    const processor = StreamProcessor.transduce<"no">(() => {
      calls.open++
      return {
        step(event, out) {
          calls.step++
          out.push(event)
          return event._tag === "Refusal" ? "no" : undefined
        },
        flush() {
          calls.flush++
        }
      }
    })
    return { calls, processor }
  }

  it.effect("flushes once at the end, asks nothing more then, and nothing behind an error of its own", () =>
    Effect.gen(function* () {
      const whole = counted()
      const probe = yield* StreamTest.probe(Stream.make(StreamEvent.delta(0, "a")))
      const pull = yield* Stream.toPull(whole.processor(probe.stream))
      yield* pull
      for (let i = 0; i < 3; i++) assert.isTrue(Exit.isFailure(yield* Effect.exit(pull)))
      assert.deepStrictEqual(whole.calls, { flush: 1, open: 1, step: 1 })
      assert.strictEqual((yield* probe.report).pullsAfterEnd, 0)

      const failing = counted()
      const events = [StreamEvent.delta(0, "a"), StreamEvent.refusal(0, "b"), StreamEvent.delta(0, "c")]
      const again = yield* Stream.toPull(failing.processor(Stream.fromArray(events)))
      assert.lengthOf(yield* again, 2)
      for (let i = 0; i < 3; i++) assert.strictEqual(yield* Effect.flip(again), "no")
      assert.deepStrictEqual(failing.calls, { flush: 0, open: 1, step: 2 })
    })
  )

  it.effect("flushes before a defect of the source, and not after an interruption", () =>
    Effect.gen(function* () {
      const died = counted()
      yield* Effect.exit(Stream.runDrain(died.processor(Stream.die("bug"))))
      assert.strictEqual(died.calls.flush, 1)
      const interrupted = counted()
      yield* Effect.exit(Stream.runDrain(interrupted.processor(Stream.fromEffect(Effect.interrupt))))
      const fiber = yield* Effect.forkChild(Stream.runDrain(interrupted.processor(Stream.never)), {
        startImmediately: true
      })
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(interrupted.calls, { flush: 0, open: 2, step: 0 })
    })
  )

  it.effect("goes over a million events that come to nothing", () =>
    Effect.gen(function* () {
      const swallow = StreamProcessor.transduce(() => ({ step: () => undefined, flush: () => {} }))
      const events = Array.from({ length: 500_000 }, () => StreamEvent.delta(0, "a"))
      const single = Stream.rechunk(Stream.fromArray(events), 1)
      assert.deepStrictEqual(yield* Stream.runCollect(swallow(Stream.concat(single, Stream.fromArray(events)))), [])
    })
  )
})

describe("types", () => {
  class Limit extends Context.Service<Limit, number>()("Limit") {}
  const limited = StreamProcessor.make((event) => Effect.as(Limit, event))
  const strict = StreamProcessor.make((event) =>
    event._tag === "End" ? Effect.fail("no" as const) : Effect.succeed(event)
  )
  const foreign = Stream.fail("reset" as const)
  type Both = Stream.Stream<StreamEvent.StreamEvent, "reset" | "no", Limit>

  it("failures and services add up by pipe, by the method and by flow", () => {
    expectTypeOf(pipe(foreign, limited, strict)).toEqualTypeOf<Both>()
    expectTypeOf(foreign.pipe(StreamProcessor.passthrough, limited, strict)).toEqualTypeOf<Both>()
    const both: StreamProcessor.StreamProcessor<"no", Limit> = flow(limited, strict)
    expectTypeOf(both(foreign)).toEqualTypeOf<Both>()
    expectTypeOf(flow(limited, strict)(foreign)).toEqualTypeOf<Both>()
  })

  it("one that adds nothing goes where more is allowed, and not the other way round", () => {
    expectTypeOf(StreamProcessor.passthrough).toExtend<StreamProcessor.StreamProcessor<"no", Limit>>()
    expectTypeOf(strict).not.toExtend<StreamProcessor.StreamProcessor>()
    expectTypeOf(limited).not.toExtend<StreamProcessor.StreamProcessor<"no">>()
  })
})
