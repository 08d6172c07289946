import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Stream } from "effect"
import { flow } from "effect/Function"
import { expectTypeOf } from "vitest"
import type * as StreamError from "../src/StreamError.ts"
import * as StreamEvent from "../src/StreamEvent.ts"
import * as StreamProcessor from "../src/StreamProcessor.ts"
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

  it("its failures are in its type", () => {
    expectTypeOf(hold).toEqualTypeOf<StreamProcessor.StreamProcessor>()
    expectTypeOf<StreamError.StreamErrorOf<"Timeout">>().toExtend<StreamError.StreamError>()
  })
})
