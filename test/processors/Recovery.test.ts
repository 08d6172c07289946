import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { Cause, Clock, Context, Duration, Effect, ExecutionPlan, Exit, Fiber, Layer, Schedule, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as Recovery from "../../src/processors/Recovery.ts"
import * as StreamError from "../../src/StreamError.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as StreamHandler from "../../src/StreamHandler.ts"
import * as StreamModel from "../../src/StreamModel.ts"
import * as StreamArbitrary from "../../src/testing/StreamArbitrary.ts"
import * as StreamLaws from "../../src/testing/StreamLaws.ts"
import * as StreamTest from "../../src/testing/StreamTest.ts"
import { collect, show } from "../support/run.ts"

const reset = StreamError.make({ _tag: "SourceFailure", cause: "reset" })
const refused = StreamError.make({ _tag: "ProviderFailure", provider: "p", message: "no", isRetryable: false })
const overloaded = (retryAfter?: Duration.Duration) =>
  StreamError.make({ _tag: "ProviderFailure", provider: "p", message: "busy", isRetryable: true, retryAfter })

const start = StreamEvent.start(0)
const text = (delta: string) => StreamEvent.delta(0, delta)
const end = StreamEvent.end(0, "stop")
const used = (output: number, input?: number) =>
  StreamEvent.metadata(0, "usage", { usage: { inputTokens: { total: input }, outputTokens: { total: output } } })

type Step = StreamEvent.StreamEvent | StreamTest.Step<StreamEvent.StreamEvent, StreamError.StreamError>

/** A source that plays one script for each time it is run, and how often that was. */
const source = (...scripts: ReadonlyArray<ReadonlyArray<Step>>) => {
  let runs = 0
  const stream = Stream.suspend(() => StreamTest.script(scripts[Math.min(runs++, scripts.length - 1)]!))
  return { stream, runs: () => runs }
}

/** The events in lines, the failure behind, and the seconds on the clock. */
const run = <E>(stream: Stream.Stream<StreamEvent.StreamEvent, E>) =>
  Effect.gen(function* () {
    const since = yield* Clock.currentTimeMillis
    const fiber = yield* Effect.forkChild(Effect.zip(collect(stream), Clock.currentTimeMillis))
    for (let i = 0; i < 1_000 && fiber.pollUnsafe() === undefined; i++) {
      yield* TestClock.adjust(0)
      yield* TestClock.adjust("100 millis")
    }
    const [{ events, failure }, now] = yield* Fiber.join(fiber)
    return {
      lines: [
        ...StreamLaws.join(events).map((event) =>
          event._tag === "Metadata"
            ? event.usage === undefined
              ? `${event.kind} ${Object.values(event.metadata).join(" ")}`
              : `usage ${event.usage.inputTokens.total} ${event.usage.outputTokens.total}`
            : StreamEvent.isText(event)
              ? show(event)
              : event._tag
        ),
        ...(failure === undefined ? [] : [StreamError.isStreamError(failure) ? failure.message : String(failure)])
      ],
      seconds: (now - since) / 1000
    }
  })

const restart = Recovery.make({ strategy: Recovery.restartIfSilent, schedule: Schedule.spaced("1 second") })

describe("restartIfSilent", () => {
  it.effect("runs the source again, with one Start and one End", () =>
    Effect.gen(function* () {
      const { runs, stream } = source(
        [start, StreamTest.fail(reset)],
        [StreamTest.fail(reset)],
        [start, text("a"), end]
      )
      const { lines, seconds } = yield* run(restart(stream))
      assert.deepStrictEqual(lines, [
        "Start",
        "attempt 2 SourceFailure 1000",
        "attempt 3 SourceFailure 1000",
        'Delta "a"',
        "End"
      ])
      assert.deepStrictEqual([runs(), seconds], [3, 2])
    })
  )

  it.effect("but not once anything was shown", () =>
    Effect.gen(function* () {
      const call = { id: "a", name: "f", argumentsText: "{}", input: {} }
      for (const shown of [
        text("a"),
        StreamEvent.reasoning(0, "a"),
        StreamEvent.toolCallDelta(0, "a", "f", "{"),
        StreamEvent.toolCall(0, call)
      ]) {
        const { runs, stream } = source([start, shown, StreamTest.fail(reset)])
        const { lines } = yield* run(restart(stream))
        assert.strictEqual(lines.at(-1), reset.message)
        assert.strictEqual(runs(), 1)
      }
      const silent = source([start, text(""), used(1), StreamEvent.progress(0, "ping"), StreamTest.fail(reset)], [end])
      assert.strictEqual((yield* run(restart(silent.stream))).lines.at(-1), "End")
    })
  )

  it.effect("gives up when the schedule does, with the last failure", () =>
    Effect.gen(function* () {
      const { runs, stream } = source(
        [StreamTest.fail(reset)],
        [StreamTest.fail(reset)],
        [StreamTest.fail(overloaded())]
      )
      const twice = Recovery.make({ strategy: Recovery.restartIfSilent, schedule: Schedule.recurs(2) })
      const { lines } = yield* run(twice(stream))
      assert.deepStrictEqual(lines, ["attempt 2 SourceFailure 0", "attempt 3 SourceFailure 0", overloaded().message])
      assert.strictEqual(runs(), 3)
    })
  )

  it.effect("by default three times, with growing pauses", () =>
    Effect.gen(function* () {
      const { runs, stream } = source([StreamTest.fail(reset)])
      const { lines, seconds } = yield* run(stream.pipe(Recovery.make({ strategy: Recovery.restartIfSilent })))
      assert.strictEqual(lines.length, 4)
      assert.strictEqual(runs(), 4)
      assert.isTrue(seconds > 2 && seconds < 6, String(seconds))
    })
  )
})

describe("what is worth another attempt", () => {
  it.effect("not what the provider refused, nor a foreign error, unless `while` says so", () =>
    Effect.gen(function* () {
      const first = source([StreamTest.fail(refused)])
      assert.deepStrictEqual((yield* run(restart(first.stream))).lines, [refused.message])
      const foreign = Stream.fail("boom")
      assert.deepStrictEqual((yield* run(restart(foreign))).lines, ["boom"])
      let runs = 0
      const counted = Stream.suspend(() => (++runs < 3 ? Stream.fail("boom") : Stream.make(end)))
      const always = Recovery.make({
        strategy: Recovery.restartIfSilent,
        schedule: Schedule.recurs(5),
        while: (error: string) => error === "boom"
      })
      assert.strictEqual((yield* run(always(counted))).lines.at(-1), "End")
    })
  )

  it("by the reason", () => {
    const timeout = StreamError.make({ _tag: "Timeout", phase: "idle", duration: Duration.seconds(1) })
    const truncated = StreamError.make({ _tag: "Truncated", expected: "its end" })
    const overflow = StreamError.make({ _tag: "BufferOverflow", limit: 1, size: 2 })
    assert.deepStrictEqual(
      [reset, overloaded(), timeout, truncated, refused, overflow, new Error("x"), undefined].map(Recovery.isRetryable),
      [true, true, true, true, false, false, false, false]
    )
  })

  it.effect("never a defect, never an interruption", () =>
    Effect.gen(function* () {
      const dying = source([StreamTest.die("bug")], [end])
      const died = yield* Effect.exit(Stream.runDrain(restart(dying.stream)))
      assert.isTrue(Exit.isFailure(died) && Cause.hasDies(died.cause))
      const interrupted = Stream.fromEffect(Effect.interrupt)
      const exit = yield* Effect.exit(Stream.runDrain(restart(interrupted)))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      assert.strictEqual(dying.runs(), 1)
    })
  )

  it.effect("Retry-After is respected, up to a limit", () =>
    Effect.gen(function* () {
      const soon = source([StreamTest.fail(overloaded(Duration.seconds(5)))], [end])
      assert.strictEqual((yield* run(restart(soon.stream))).seconds, 5)
      const sooner = source([StreamTest.fail(overloaded(Duration.millis(10)))], [end])
      assert.strictEqual((yield* run(restart(sooner.stream))).seconds, 1)
      const atLimit = source([StreamTest.fail(overloaded(Duration.minutes(1)))], [end])
      assert.strictEqual((yield* run(restart(atLimit.stream))).seconds, 60)
      const late = source([StreamTest.fail(overloaded(Duration.millis(60_001)))], [end])
      assert.deepStrictEqual((yield* run(restart(late.stream))).lines, [overloaded().message])
    })
  )

  it.effect("maxRetryAfter is that limit", () =>
    Effect.gen(function* () {
      const patient = Recovery.make({ strategy: Recovery.restartIfSilent, maxRetryAfter: "5 seconds" })
      const atLimit = source([StreamTest.fail(overloaded(Duration.seconds(5)))], [end])
      yield* run(atLimit.stream.pipe(patient))
      assert.strictEqual(atLimit.runs(), 2)
      const late = source([StreamTest.fail(overloaded(Duration.millis(5_001)))], [end])
      assert.deepStrictEqual((yield* run(late.stream.pipe(patient))).lines, [overloaded().message])
      assert.strictEqual(late.runs(), 1)
    })
  )
})

describe("fallback", () => {
  it.effect("takes the streams in turn", () =>
    Effect.gen(function* () {
      const strategy = Recovery.fallback([
        Stream.fail(overloaded()),
        StreamTest.script([StreamEvent.start(0), text("b"), end])
      ])
      const { lines } = yield* run(
        StreamTest.script([start, StreamTest.fail(reset)]).pipe(Recovery.make({ strategy, schedule: Schedule.forever }))
      )
      assert.deepStrictEqual(lines, [
        "Start",
        "attempt 2 SourceFailure 0",
        "attempt 3 ProviderFailure 0",
        'Delta "b"',
        "End"
      ])
    })
  )

  it.effect("and gives up behind the last one", () =>
    Effect.gen(function* () {
      const strategy = Recovery.fallback([Stream.fail(overloaded())])
      const { lines } = yield* run(Stream.fail(reset).pipe(Recovery.make({ strategy, schedule: Schedule.forever })))
      assert.deepStrictEqual(lines, ["attempt 2 SourceFailure 0", overloaded().message])
    })
  )
})

describe("continueFrom", () => {
  const go = (pieces: ReadonlyArray<Step>, options?: { readonly most: number; readonly least: number }) =>
    Recovery.make({
      strategy: Recovery.continueFrom(() => StreamTest.script(pieces)),
      schedule: Schedule.recurs(3),
      overlap: options
    })

  it.effect("goes on behind what was shown, without its repetition, wherever that is cut", () =>
    Effect.gen(function* () {
      const shown = [start, text("Roses are red, "), text("violets are"), StreamTest.fail(reset)]
      const rest = "red, violets are blue."
      for (let at = 0; at <= rest.length; at++) {
        const pieces = [StreamEvent.start(0), text(rest.slice(0, at)), text(rest.slice(at)), end]
        const { lines } = yield* run(go(pieces)(StreamTest.script(shown)))
        assert.deepStrictEqual(lines, [
          "Start",
          'Delta "Roses are red, violets are"',
          "attempt 2 SourceFailure 0",
          'Delta " blue."',
          "End"
        ])
      }
    })
  )

  it.effect("a short repetition is chance, and stays; what is held back comes before other events", () =>
    Effect.gen(function* () {
      const shown = [start, text("good"), StreamTest.fail(reset)]
      const chance = yield* run(go([text("od"), used(1), text("d"), end])(StreamTest.script(shown)))
      assert.deepStrictEqual(chance.lines.slice(3), ['Delta "od"', "usage undefined 1", 'Delta "d"', "End"])
      const meant = yield* run(go([text("od"), text("d"), end], { most: 10, least: 2 })(StreamTest.script(shown)))
      assert.deepStrictEqual(meant.lines.slice(3), ['Delta "d"', "End"])
    })
  )

  it.effect("gets what was shown, over all attempts; a silent attempt runs the source again", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const { runs, stream } = source([StreamTest.fail(reset)], [start, text("one "), StreamTest.fail(reset)])
      let n = 0
      const recovered = stream.pipe(
        Recovery.make({
          strategy: Recovery.continueFrom((partial, { attempt, error }: Recovery.Failed<StreamError.StreamError>) => {
            seen.push(`${attempt} ${error.reason._tag} ${partial.text}|${partial.reasoning}`)
            return ++n === 1
              ? StreamTest.script([StreamEvent.reasoning(0, "hm"), text("two "), StreamTest.fail(overloaded())])
              : StreamTest.script([text("three"), end])
          }),
          schedule: Schedule.recurs(3)
        })
      )
      const { lines } = yield* run(recovered)
      assert.deepStrictEqual(seen, ["2 SourceFailure one |", "3 ProviderFailure one two |hm"])
      assert.strictEqual(
        lines.filter((line) => line.startsWith("Delta")).join(""),
        'Delta "one "Delta "two "Delta "three"'
      )
      assert.strictEqual(runs(), 2)
    })
  )

  it.effect("what was shown is bounded", () =>
    Effect.gen(function* () {
      const bounded = Recovery.make({ strategy: Recovery.restartIfSilent, maxBufferSize: 3 })
      const { lines } = yield* run(bounded(Stream.make(text("ab"), text("c"), text("d"), end)))
      assert.deepStrictEqual(lines.length, 2)
      assert.strictEqual(lines[0], 'Delta "abc"')
      assert.include(lines[1]!, "4 UTF-16 code units where the limit is 3")
    })
  )
})

describe("usage", () => {
  it.effect("is that of all attempts together", () =>
    Effect.gen(function* () {
      const { stream } = source(
        [start, used(1), used(5, 10), StreamTest.fail(reset)],
        [start, StreamTest.fail(reset)],
        [start, text("a"), used(7), used(8, 20), end]
      )
      const { lines } = yield* run(restart(stream))
      assert.deepStrictEqual(
        lines.filter((line) => line.startsWith("usage")),
        ["usage undefined 1", "usage 10 5", "usage 10 12", "usage 30 13"]
      )
    })
  )

  it.effect("is that of all attempts and all steps together, each counted once", () =>
    Effect.gen(function* () {
      const step = StreamEvent.metadata(0, "step")
      const { stream } = source(
        [start, used(1), StreamTest.fail(reset)],
        [start, used(2, 10), step, used(4, 20), StreamTest.fail(reset)],
        [start, used(8, 40), step, used(16, 80), end]
      )
      const fiber = yield* Effect.forkChild(StreamHandler.run()(restart(stream)))
      for (let i = 0; i < 10; i++) yield* TestClock.adjust("1 minute")
      const { usage } = yield* Fiber.join(fiber)
      assert.deepStrictEqual(usage, { inputTokens: { total: 150 }, outputTokens: { total: 31 } })
    })
  )
})

it.effect("usage that is reported in parts, and with a step, is counted as the handler counts it", () =>
  Effect.gen(function* () {
    const report = (kind: string, input?: number, output?: number) =>
      StreamEvent.metadata(0, kind, { usage: { inputTokens: { total: input }, outputTokens: { total: output } } })
    const of = (first: ReadonlyArray<Step>, second: ReadonlyArray<Step>) =>
      Effect.gen(function* () {
        const { stream } = source([start, ...first, StreamTest.fail(reset)], [start, ...second, end])
        const fiber = yield* Effect.forkChild(StreamHandler.run()(restart(stream)))
        for (let i = 0; i < 5; i++) yield* TestClock.adjust("1 minute")
        const { usage } = yield* Fiber.join(fiber)
        return [usage?.inputTokens.total, usage?.outputTokens.total]
      })
    assert.deepStrictEqual(
      yield* of([report("a", 10), report("b", undefined, 5)], [report("a", 12), report("b", undefined, 3)]),
      [22, 8]
    )
    assert.deepStrictEqual(yield* of([report("a", 10)], [report("step", 12)]), [22, undefined])
    assert.deepStrictEqual(yield* of([report("step", 10)], [report("a", 12)]), [22, undefined])
  })
)

describe("sources", () => {
  it.effect("are released before the next attempt, once, also when the reader leaves during a pause", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      let n = 0
      const stream = Stream.unwrap(
        Effect.acquireRelease(
          Effect.sync(() => {
            n++
            log.push(`open ${n}`)
            return n < 3 ? Stream.fail(reset) : Stream.make(end)
          }),
          () => Effect.sync(() => log.push(`release ${n}`))
        )
      )
      yield* run(restart(stream))
      assert.deepStrictEqual(log, ["open 1", "release 1", "open 2", "release 2", "open 3", "release 3"])
      n = 0
      log.length = 0
      const fiber = yield* Effect.forkChild(Stream.runDrain(restart(stream)))
      yield* TestClock.adjust("500 millis")
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(log, ["open 1", "release 1"])
    })
  )
})

describe("withExecutionPlan", () => {
  class Model extends Context.Service<Model, string>()("test/Model") {}
  const asked: Array<string> = []
  const request = Stream.unwrap(
    Effect.map(Model, (model) => {
      asked.push(model)
      return model === "good"
        ? StreamTest.script([start, text("a"), end])
        : StreamTest.script([start, StreamTest.fail(reset)])
    })
  )
  const named = (model: string) => Layer.succeed(Model, model)

  it.effect("tries the steps in turn, each as often as it says", () =>
    Effect.gen(function* () {
      asked.length = 0
      const plan = ExecutionPlan.make(
        { provide: named("bad"), attempts: 2, schedule: Schedule.spaced("1 second") },
        { provide: named("worse"), while: () => Effect.succeed(false), attempts: 9 },
        { provide: named("worst"), schedule: Schedule.recurs(1) },
        { provide: named("good") }
      )
      const recovered = request.pipe(Recovery.withExecutionPlan(plan))
      expectTypeOf(recovered).toEqualTypeOf<
        Stream.Stream<
          StreamEvent.StreamEvent,
          StreamError.StreamErrorOf<"SourceFailure"> | StreamError.StreamErrorOf<"BufferOverflow">
        >
      >()
      const { lines, seconds } = yield* run(recovered)
      assert.deepStrictEqual(asked, ["bad", "bad", "worse", "worst", "worst", "good"])
      assert.deepStrictEqual(lines.slice(-2), ['Delta "a"', "End"])
      assert.strictEqual(lines.filter((line) => line === "Start").length, 1)
      assert.strictEqual(seconds, 1)
    })
  )

  it.effect("fails with the last failure when no step is left", () =>
    Effect.gen(function* () {
      const plan = ExecutionPlan.make({ provide: named("bad") }, { provide: named("worse") })
      const { lines } = yield* run(Recovery.withExecutionPlan(request, plan))
      assert.deepStrictEqual(lines, ["Start", "attempt 2 SourceFailure 0", reset.message])
    })
  )

  it.effect("never repeats what was shown, and goes on from it where it is told how", () =>
    Effect.gen(function* () {
      const midway = Stream.unwrap(
        Effect.map(Model, (model) => StreamTest.script([start, text(`${model} says`), StreamTest.fail(reset)]))
      )
      const plan = ExecutionPlan.make({ provide: named("first"), attempts: 2 }, { provide: named("good") })
      const stopped = yield* run(Recovery.withExecutionPlan(midway, plan))
      assert.deepStrictEqual(stopped.lines, ["Start", 'Delta "first says"', reset.message])
      let n = 0
      const continued = midway.pipe(
        Recovery.withExecutionPlan(plan, {
          continueFrom: (partial) =>
            Stream.unwrap(
              Effect.map(Model, (model) =>
                ++n === 1
                  ? StreamTest.script([text(", and"), StreamTest.fail(reset)])
                  : StreamTest.script([text(` ${model} goes on behind ${partial.text.length}`), end])
              )
            )
        })
      )
      const { lines } = yield* run(continued)
      assert.strictEqual(
        lines.filter((line) => line.startsWith("Delta")).join(""),
        'Delta "first says"Delta ", and"Delta " good goes on behind 15"'
      )
    })
  )

  it.effect("a StreamModel is what a backend asks", () =>
    Effect.gen(function* () {
      const model = (...steps: ReadonlyArray<string | StreamTest.Fail<StreamError.StreamError>>) =>
        StreamTest.layerModel(StreamTest.answer(steps))
      const plan = ExecutionPlan.make({ provide: model(StreamTest.fail(overloaded())) }, { provide: model("Hello") })
      const answer = StreamModel.stream({ prompt: "hi" }).pipe(Recovery.withExecutionPlan(plan), StreamHandler.run())
      const result = yield* answer
      assert.strictEqual(result.text, "Hello")
      assert.strictEqual(result.stats.outcome, "completed")
    })
  )
})

describe("laws", () => {
  it.effect.prop("a stream that does not fail passes unchanged", { input: StreamArbitrary.events() }, ({ input }) =>
    StreamLaws.oracle(restart, (whole) => Array.from(whole), { ...input, failure: undefined })
  )
  it.effect.prop("one that is not recovered keeps every law", { input: StreamArbitrary.events() }, ({ input }) =>
    StreamLaws.all(Recovery.make({ strategy: () => undefined }), input)
  )
  it.effect.prop(
    "a stream cut anywhere and continued gives the whole text",
    { input: StreamArbitrary.events() },
    ({ input }) =>
      Effect.gen(function* () {
        const whole = StreamLaws.join(input.items).filter((event) => event._tag === "Delta")
        const answer = whole.map((event) => event.delta).join("")
        for (let at = 1; at < Math.min(answer.length, 20); at++) {
          const cut = Stream.concat(
            Stream.make<Array<StreamEvent.StreamEvent>>(start, text(answer.slice(0, at))),
            Stream.fail(reset)
          )
          const { events } = yield* collect(
            cut.pipe(
              Recovery.make({
                strategy: Recovery.continueFrom(({ text: shown }) =>
                  Stream.make<Array<StreamEvent.StreamEvent>>(start, text(answer.slice(shown.length)), end)
                ),
                schedule: Schedule.recurs(1),
                // These texts are short and full of repetitions that are meant.
                overlap: { most: 0, least: 0 }
              })
            )
          )
          assert.strictEqual(events.map((event) => (event._tag === "Delta" ? event.delta : "")).join(""), answer)
          assert.deepStrictEqual(events.filter((event) => event._tag === "Start" || event._tag === "End").length, 2)
        }
      })
  )
})
