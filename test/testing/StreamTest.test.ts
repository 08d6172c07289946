import { assert, describe, it } from "@effect/vitest"
import { Cause, Clock, Effect, Exit, Fiber, Option, Pull, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as StreamError from "../../src/StreamError.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as StreamModel from "../../src/StreamModel.ts"
import * as StreamTest from "../../src/testing/StreamTest.ts"

/** What arrives and when, in milliseconds, and how it ends; runs until then or until the source stalls. */
const timeline = <A, E>(stream: Stream.Stream<A, E>, until: number) =>
  Effect.gen(function* () {
    const seen: Array<readonly [at: number, ...values: ReadonlyArray<A>]> = []
    const fiber = yield* stream.pipe(
      Stream.runForEachArray((values) => Effect.map(Clock.currentTimeMillis, (at) => seen.push([at, ...values]))),
      Effect.forkChild
    )
    yield* TestClock.adjust(until)
    return { seen, fiber }
  })

describe("script", () => {
  it.effect("plays values, arrays, pauses and a failure, each at its time", () =>
    Effect.gen(function* () {
      const source = StreamTest.script([
        "a",
        StreamTest.together("b", "c"),
        StreamTest.delay("100 millis"),
        StreamTest.delay(50),
        "d",
        StreamTest.fail("broken"),
        "never"
      ])
      const { fiber, seen } = yield* timeline(source, 1000)
      assert.deepStrictEqual(seen, [
        [0, "a"],
        [0, "b", "c"],
        [150, "d"]
      ])
      assert.strictEqual(yield* Effect.flip(Fiber.join(fiber)), "broken")
    })
  )

  it.effect("waits for the clock", () =>
    Effect.gen(function* () {
      const { fiber, seen } = yield* timeline(StreamTest.script([StreamTest.delay("1 minute"), 1]), 59_999)
      assert.deepStrictEqual(seen, [])
      yield* TestClock.adjust(1)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(seen, [[60_000, 1]])
    })
  )

  it.effect("starts anew on every run", () =>
    Effect.gen(function* () {
      const source = StreamTest.script([StreamTest.together(1, 2), 3])
      assert.deepStrictEqual(yield* Stream.runCollect(source), [1, 2, 3])
      assert.deepStrictEqual(yield* Stream.runCollect(source), [1, 2, 3])
      const again = StreamTest.script([1, StreamTest.fail("broken")]).pipe(Stream.catch(() => source))
      assert.deepStrictEqual(yield* Stream.runCollect(again), [1, 1, 2, 3])
    })
  )

  it.effect("stalls until it is interrupted", () =>
    Effect.gen(function* () {
      const { fiber, seen } = yield* timeline(StreamTest.script(["a", StreamTest.stall, "never"]), 1_000_000)
      assert.strictEqual(fiber.pollUnsafe(), undefined)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(seen, [[0, "a"]])
    })
  )

  it.effect("dies with a defect", () =>
    Effect.gen(function* () {
      const exit = yield* StreamTest.script([1, StreamTest.die("bug")]).pipe(Stream.runDrain, Effect.exit)
      assert.deepStrictEqual(exit, Exit.die("bug"))
    })
  )

  it.effect("is empty without steps, and skips an array of nothing", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* Stream.runCollect(StreamTest.script([])), [])
      const source = StreamTest.script([StreamTest.together<Array<number>>(), 1])
      assert.deepStrictEqual(yield* Stream.runCollect(source), [1])
    })
  )

  it.effect("fails again when it is pulled again", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const pull = yield* Stream.toPull(StreamTest.script([StreamTest.fail("broken")]))
        assert.strictEqual(yield* Effect.flip(pull), "broken")
        assert.strictEqual(yield* Effect.flip(pull), "broken")
      })
    )
  )

  it("is typed by its steps", () => {
    const text: Stream.Stream<string> = StreamTest.script(["a", StreamTest.delay(1), StreamTest.stall])
    const failing: Stream.Stream<number, "a" | Error> = StreamTest.script([
      1,
      StreamTest.together(2),
      StreamTest.fail<"a">("a"),
      StreamTest.fail(new Error("b")),
      StreamTest.die("c")
    ])
    const events: Stream.Stream<StreamEvent.StreamEvent> = StreamTest.script([StreamEvent.start(0), StreamEvent.end(0)])
    const bytes: Stream.Stream<Uint8Array> = StreamTest.script(StreamTest.split(new Uint8Array(3), 1))
    // @ts-expect-error the failure is in the type
    const wrong: Stream.Stream<number> = failing
    assert.isTrue([text, failing, events, bytes, wrong].every(Stream.isStream))
  })
})

describe("split", () => {
  it("cuts bytes as it cuts text, surrogate pairs too", () => {
    assert.deepStrictEqual(StreamTest.split("a😀", 1), ["a", "\ud83d", "\ude00"])
    assert.deepStrictEqual(StreamTest.split(new Uint8Array([1, 2, 3]), [2]), [
      new Uint8Array([1, 2]),
      new Uint8Array([3])
    ])
    assert.deepStrictEqual(StreamTest.split("abc", Infinity), ["abc"])
    assert.deepStrictEqual(StreamTest.split("", 3), [])
  })

  it("refuses sizes that lead nowhere, and says so", () => {
    for (const sizes of [0, -1, 1.5, NaN, [], [0, 0], [2, -1]]) {
      assert.throws(() => StreamTest.split("abc", sizes), RangeError, "sizes must be whole numbers")
    }
  })
})

describe("answer", () => {
  it.effect("is a whole answer, stamped when it is played", () =>
    Effect.gen(function* () {
      const usage = { inputTokens: { total: 1 }, outputTokens: { total: 2 } }
      const answer = StreamTest.answer(
        [StreamEvent.reasoning(7, "hm"), StreamTest.delay("1 second"), StreamTest.together("a", "b")],
        { id: "1", model: "m", finishReason: "length", usage }
      )
      const { fiber, seen } = yield* timeline(answer, 1000)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(seen, [
        [0, StreamEvent.start(0, { id: "1", model: "m" })],
        [0, StreamEvent.reasoning(0, "hm")],
        [1000, StreamEvent.delta(1000, "a"), StreamEvent.delta(1000, "b")],
        [1000, StreamEvent.metadata(1000, "usage", { usage })],
        [1000, StreamEvent.end(1000, "length")]
      ])
    })
  )

  it.effect("keeps a Start and a terminal of your own", () =>
    Effect.gen(function* () {
      const error = StreamError.make({ _tag: "Truncated", expected: "its end" })
      const tags = (stream: Stream.Stream<StreamEvent.StreamEvent, unknown>) =>
        Stream.runCollect(Stream.map(stream, (event) => event._tag))
      assert.deepStrictEqual(yield* tags(StreamTest.answer([StreamEvent.start(0), "a"])), ["Start", "Delta", "End"])
      assert.deepStrictEqual(yield* tags(StreamTest.answer(["a", StreamEvent.error(0, error)])), [
        "Start",
        "Delta",
        "Error"
      ])
      assert.deepStrictEqual(yield* tags(StreamTest.answer([StreamTest.together("a", StreamEvent.end(0))])), [
        "Start",
        "Delta",
        "End"
      ])
    })
  )

  it.effect("fails in the middle", () =>
    Effect.gen(function* () {
      const error = StreamError.make({ _tag: "Truncated", expected: "its end" })
      const answer: Stream.Stream<StreamEvent.StreamEvent, StreamError.StreamErrorOf<"Truncated">> = StreamTest.answer([
        "a",
        StreamTest.fail(error)
      ])
      const seen: Array<string> = []
      const failure = yield* answer.pipe(
        Stream.runForEach((event) => Effect.sync(() => seen.push(event._tag))),
        Effect.flip
      )
      assert.strictEqual(failure, error)
      assert.deepStrictEqual(seen, ["Start", "Delta"])
    })
  )
})

describe("layerModel", () => {
  const ask = (prompt: string) => StreamModel.stream({ prompt }).pipe(StreamEvent.text, Stream.mkString)

  it.effect("plays one script for every request, and remembers the requests that were sent", () =>
    Effect.gen(function* () {
      const unsent = StreamModel.stream({ prompt: "unsent" })
      assert.deepStrictEqual(yield* StreamTest.requests, [])
      assert.strictEqual(yield* ask("one"), "Hello")
      assert.strictEqual(yield* ask("two"), "Hello")
      assert.deepStrictEqual(yield* StreamTest.requests, [{ prompt: "one" }, { prompt: "two" }])
      yield* Stream.runDrain(unsent)
      assert.strictEqual((yield* StreamTest.requests).length, 3)
    }).pipe(Effect.provide(StreamTest.layerModel(StreamTest.answer(["Hel", "lo"]))))
  )

  it.effect("chooses by the request, and by how many came before", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* ask("a"), "a, for the first time")
      assert.strictEqual(yield* ask("b"), "b again")
    }).pipe(
      Effect.provide(
        StreamTest.layerModel((request, index) =>
          StreamTest.answer([request.prompt ?? "", index === 0 ? ", for the first time" : " again"])
        )
      )
    )
  )
})

describe("probe", () => {
  const source = StreamTest.script([1, StreamTest.together(2, 3), 4])

  it.effect("a polite run", () =>
    Effect.gen(function* () {
      const probe = yield* StreamTest.probe(source)
      assert.deepStrictEqual(yield* Stream.runCollect(probe.stream), [1, 2, 3, 4])
      assert.deepStrictEqual(yield* probe.report, {
        runs: 1,
        pulls: 4,
        pullsAfterEnd: 0,
        concurrentPulls: 0,
        interruptedPulls: 0,
        releases: 1,
        violations: []
      })
    })
  )

  it.effect("one release on take, failure and scope close, and one for each run", () =>
    Effect.gen(function* () {
      const probe = yield* StreamTest.probe(source)
      yield* Stream.runDrain(Stream.take(probe.stream, 1))
      yield* Effect.exit(Stream.runForEach(probe.stream, () => Effect.fail("left")))
      yield* Effect.scoped(Effect.flatten(Stream.toPull(probe.stream)))
      const report = yield* probe.report
      assert.strictEqual(report.runs, 3)
      assert.strictEqual(report.pulls, 3)
      assert.strictEqual(report.releases, 3)
      assert.deepStrictEqual(report.violations, [])
    })
  )

  it.effect("a stall that is interrupted, by its fiber or by a timeout", () =>
    Effect.gen(function* () {
      const probe = yield* StreamTest.probe(StreamTest.script([1, StreamTest.stall]))
      const fiber = yield* Effect.forkChild(Stream.runDrain(probe.stream))
      yield* TestClock.adjust(0)
      assert.deepStrictEqual((yield* probe.report).violations, ["opened once, released 0 times"])
      yield* Fiber.interrupt(fiber)
      const timed = yield* Effect.forkChild(Effect.timeoutOption(Stream.runDrain(probe.stream), "1 second"))
      yield* TestClock.adjust("1 second")
      assert.isTrue(Option.isNone(yield* Fiber.join(timed)))
      const report = yield* probe.report
      assert.strictEqual(report.interruptedPulls, 2)
      assert.strictEqual(report.releases, 2)
      assert.deepStrictEqual(report.violations, [])
    })
  )

  it.effect("pulls after the end, after a failure and after a release", () =>
    Effect.gen(function* () {
      const after = <A, E>(stream: Stream.Stream<A, E>) =>
        Effect.gen(function* () {
          const probe = yield* StreamTest.probe(stream)
          const pull = yield* Effect.scoped(
            Effect.gen(function* () {
              const pull = yield* Stream.toPull(probe.stream)
              yield* Effect.exit(pull)
              return pull
            })
          )
          yield* Effect.exit(pull)
          return yield* probe.report
        })
      for (const stream of [StreamTest.script([]), StreamTest.script([StreamTest.fail("broken")]), source]) {
        const report = yield* after<unknown, unknown>(stream)
        assert.strictEqual(report.pullsAfterEnd, 1)
        assert.deepStrictEqual(report.violations, ["pulled once after its end"])
      }
    })
  )

  it.effect("two pulls at once", () =>
    Effect.gen(function* () {
      const probe = yield* StreamTest.probe(StreamTest.script([StreamTest.delay(1), 1, StreamTest.delay(1), 2]))
      const greedy = Stream.transformPull(probe.stream, (pull) =>
        Effect.succeed(Effect.map(Effect.all([pull, Effect.exit(pull)], { concurrency: 2 }), ([first]) => first))
      )
      const fiber = yield* Effect.forkChild(Effect.exit(Stream.runDrain(Stream.take(greedy, 1))))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual((yield* probe.report).violations, ["pulled once while a pull was under way"])
    })
  )

  it.effect("leaves the stream as it is", () =>
    Effect.gen(function* () {
      const probe = yield* StreamTest.probe(StreamTest.script([1, StreamTest.fail("broken")]))
      const seen: Array<number> = []
      const exit = yield* Effect.exit(Stream.runForEach(probe.stream, (n) => Effect.sync(() => seen.push(n))))
      assert.deepStrictEqual(seen, [1])
      assert.isTrue(Exit.isFailure(exit) && Option.contains(Cause.findErrorOption(exit.cause), "broken"))
      assert.isFalse(Exit.isFailure(exit) && Pull.isDoneCause(exit.cause))
    })
  )
})
