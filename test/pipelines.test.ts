import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Cause, Effect, Exit, Fiber, Schedule, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as Budget from "../src/processors/Budget.ts"
import * as ContentFilter from "../src/processors/ContentFilter.ts"
import * as Deadline from "../src/processors/Deadline.ts"
import * as Guardrail from "../src/processors/Guardrail.ts"
import * as Recovery from "../src/processors/Recovery.ts"
import * as Smoothing from "../src/processors/Smoothing.ts"
import * as StopSequence from "../src/processors/StopSequence.ts"
import * as TagSplitter from "../src/processors/TagSplitter.ts"
import * as StreamError from "../src/StreamError.ts"
import * as StreamEvent from "../src/StreamEvent.ts"
import * as StreamHandler from "../src/StreamHandler.ts"
import * as StreamArbitrary from "../src/testing/StreamArbitrary.ts"
import * as StreamLaws from "../src/testing/StreamLaws.ts"
import * as StreamTest from "../src/testing/StreamTest.ts"
import { collect, textOf } from "./support/run.ts"

type Processor = <E extends StreamError.StreamError>(
  self: Stream.Stream<StreamEvent.StreamEvent, E>
) => Stream.Stream<StreamEvent.StreamEvent, StreamError.StreamError>

/** Each in a form that leaves text alone, so that what comes out can be told from what goes in. */
const processors: Readonly<Record<string, Processor>> = {
  ContentFilter: ContentFilter.make({ patterns: ["never there", "the"], replacement: "the" }),
  StopSequence: StopSequence.make({ stop: ["never there"] }),
  TagSplitter: TagSplitter.make({ tags: { never: "reasoning" } }),
  Deadline: Deadline.make({ start: "1 hour", idle: "1 hour", total: "2 hours" }),
  Budget: Budget.make({ chars: 1e9, tokens: 1e9, events: 1e9 }),
  "Guardrail, holding": Guardrail.make({ check: () => Effect.succeed(Guardrail.allow), window: 5, overlap: 2 }),
  "Guardrail, optimistic": Guardrail.make({ check: () => Effect.succeed(Guardrail.allow), mode: "optimistic" }),
  Smoothing: Smoothing.make({ by: "word", maxLag: "50 millis" }),
  Recovery: Recovery.make({ strategy: Recovery.restartIfSilent, schedule: Schedule.recurs(0) })
}
const names = Object.keys(processors)

const text = (delta: string) => StreamEvent.delta(0, delta)
const start = StreamEvent.start(0)
const end = StreamEvent.end(0, "stop")
const reset = StreamError.make({ _tag: "SourceFailure", cause: "reset" })

/** Lets time go by while an effect runs. */
const moving = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.raceFirst(self, Effect.forever(TestClock.adjust("1 second")))

type Step = StreamEvent.StreamEvent | StreamTest.Step<StreamEvent.StreamEvent, StreamError.StreamError>

/** A way in which sources and consumers are bad, and what every processor makes of it. */
const faults: Readonly<Record<string, (processor: Processor) => Effect.Effect<void, StreamError.StreamError>>> = {
  "a source that fails": (processor) =>
    Effect.gen(function* () {
      const { events, failure, violations } = yield* play(processor, [start, text("ab cd"), StreamTest.fail(reset)])
      assert.strictEqual(textOf(events, "Delta"), "ab cd")
      assert.strictEqual(failure, reset)
      assert.deepStrictEqual(violations, [])
    }),
  "a source that fails at once": (processor) =>
    Effect.gen(function* () {
      const { events, failure } = yield* play(processor, [StreamTest.fail(reset)])
      assert.deepStrictEqual(events, [])
      assert.strictEqual(failure, reset)
    }),
  "a source that dies": (processor) =>
    Effect.gen(function* () {
      const exit = yield* moving(
        Effect.exit(Stream.runDrain(processor(StreamTest.script([start, text("a"), StreamTest.die("bug")]))))
      )
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
    }),
  "a source that stops without an end": (processor) =>
    Effect.gen(function* () {
      const { events, failure } = yield* play(processor, [start, text("ab cd")])
      assert.strictEqual(textOf(events, "Delta"), "ab cd")
      assert.isUndefined(failure)
      assert.isFalse(events.some(StreamEvent.isTerminal))
    }),
  "an empty source": (processor) =>
    Effect.gen(function* () {
      const { events, failure } = yield* play(processor, [])
      assert.deepStrictEqual([events, failure], [[], undefined])
    }),
  "a source that stalls, under interruption": (processor) =>
    Effect.gen(function* () {
      const probe = yield* StreamTest.probe(StreamTest.script([start, text("ab"), StreamTest.stall]))
      const fiber = yield* Effect.forkChild(Stream.runDrain(processor(probe.stream)))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.interrupt(fiber)
      const { releases, violations } = yield* probe.report
      assert.deepStrictEqual([releases, violations], [1, []])
    }),
  "a source that floods": (processor) =>
    Effect.gen(function* () {
      const flood = Array.from({ length: 20_000 }, () => text("word "))
      const { events, failure } = yield* moving(
        collect(processor(Stream.concat(Stream.fromIterable(flood), Stream.make(end))))
      )
      assert.isUndefined(failure)
      assert.strictEqual(textOf(events, "Delta").length, 100_000)
    }),
  "a consumer that leaves": (processor) =>
    Effect.gen(function* () {
      const probe = yield* StreamTest.probe(StreamTest.script([start, text("ab "), text("cd "), StreamTest.stall]))
      yield* moving(Stream.runDrain(Stream.take(processor(probe.stream), 1)))
      const { releases, violations } = yield* probe.report
      assert.deepStrictEqual([releases, violations], [1, []])
    }),
  "a consumer that is slow": (processor) =>
    Effect.gen(function* () {
      const words = Array.from({ length: 20 }, (_, i) => text(`w${i} `))
      const seen: Array<StreamEvent.StreamEvent> = []
      const slow = Stream.runForEach(processor(StreamTest.script([start, ...words, end])), (event) =>
        Effect.andThen(
          Effect.sync(() => seen.push(event)),
          Effect.sleep("1 hour")
        )
      )
      // Hours of the consumer's time are none of the source's.
      const fiber = yield* Effect.forkChild(Effect.exit(slow))
      for (let i = 0; i < 40 && fiber.pollUnsafe() === undefined; i++) yield* TestClock.adjust("1 hour")
      assert.isTrue(Exit.isSuccess(yield* Fiber.join(fiber)))
      assert.strictEqual(textOf(seen, "Delta"), words.map(({ delta }) => delta).join(""))
      assert.strictEqual(seen.at(-1)?._tag, "End")
    })
}

const play = (processor: Processor, steps: ReadonlyArray<Step>) =>
  Effect.gen(function* () {
    const probe = yield* StreamTest.probe(StreamTest.script(steps))
    const run = yield* moving(collect(processor(probe.stream)))
    return { ...run, violations: (yield* probe.report).violations }
  })

for (const [fault, check] of Object.entries(faults)) {
  describe(fault, () => {
    it.effect.each(names)("%s", (name) => check(processors[name]!))
  })
}

describe("processors in any order", () => {
  const Order = Arbitrary.array(Arbitrary.schema(Schema.Literals(names)), { minLength: 1, maxLength: 5 })
  const pipeline =
    (order: ReadonlyArray<string>): Processor =>
    (self) =>
      order.reduce<Stream.Stream<StreamEvent.StreamEvent, StreamError.StreamError>>(
        (stream, name) => processors[name]!(stream),
        self
      )

  it.effect.prop(
    "end once, let the source go, and lose no text",
    { input: StreamArbitrary.events(), order: Order },
    ({ input, order }) =>
      moving(
        Effect.gen(function* () {
          const processor = pipeline(order)
          yield* StreamLaws.oneTerminal(processor, input)
          yield* StreamLaws.textOracle(processor, (whole) => whole, input)
          yield* StreamLaws.interruption(processor, input)
          return true as const
        })
      ),
    { timeout: 120_000 }
  )

  it.effect("with those that end a stream, still end it once and keep the partial result", () =>
    Effect.gen(function* () {
      const endings: ReadonlyArray<Processor> = [
        StopSequence.make({ stop: ["cd"] }),
        Budget.make({ chars: 3, onExceeded: "end" }),
        Budget.make({ chars: 3 }),
        Guardrail.make({
          check: ({ text }) => Effect.succeed(text.includes("cd") ? Guardrail.block("cd") : Guardrail.allow),
          window: 2,
          overlap: 1
        })
      ]
      for (const ending of endings) {
        for (const name of names) {
          for (const stages of [
            [ending, processors[name]!],
            [processors[name]!, ending]
          ]) {
            const source = StreamTest.script([start, text("ab "), text("cd ef"), end])
            const probe = yield* StreamTest.probe(source)
            const stream = stages.reduce<Stream.Stream<StreamEvent.StreamEvent, StreamError.StreamError>>(
              (stream, stage) => stage(stream),
              probe.stream
            )
            const { result } = yield* moving(StreamHandler.runExit()(stream))
            const { releases, violations } = yield* probe.report
            assert.deepStrictEqual([releases, violations], [1, []], name)
            assert.isTrue("ab ".startsWith(result.text), `${name}: ${result.text}`)
            assert.include(["completed", "failed"], result.stats.outcome)
          }
        }
      }
    })
  )
})
