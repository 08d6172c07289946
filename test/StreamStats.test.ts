import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as StreamCallbacks from "../src/StreamCallbacks.ts"
import * as StreamConfig from "../src/StreamConfig.ts"
import * as StreamEvent from "../src/StreamEvent.ts"
import * as StreamHandler from "../src/StreamHandler.ts"
import * as StreamProcessor from "../src/StreamProcessor.ts"
import * as StreamResult from "../src/StreamResult.ts"
import * as StreamStats from "../src/StreamStats.ts"
import * as StreamTest from "../src/testing/StreamTest.ts"

type Steps = ReadonlyArray<
  string | StreamEvent.StreamEvent | StreamTest.Step<string | StreamEvent.StreamEvent, unknown>
>

/** The figures of a script, with its delays played by the TestClock. */
const figures = (steps: Steps, processor: StreamProcessor.StreamProcessor = StreamProcessor.passthrough) =>
  Effect.gen(function* () {
    const fiber = yield* StreamTest.answer(steps).pipe(
      processor,
      StreamHandler.runExit(),
      Effect.forkChild({ startImmediately: true })
    )
    yield* TestClock.adjust("1 hour")
    return (yield* Fiber.join(fiber)).result.stats
  })

const { delay } = StreamTest
const start = StreamEvent.start(0)
const { delta, reasoning, refusal } = StreamEvent
const usage = (total: number | undefined) =>
  StreamEvent.metadata(0, "usage", { usage: { inputTokens: {}, outputTokens: { total } } })

describe("figures", () => {
  it.effect("are exact", () =>
    Effect.gen(function* () {
      const stats = yield* figures([
        delay(100),
        StreamEvent.start(0, { id: "resp_0", model: "m" }),
        delay(50),
        StreamEvent.progress(0, "ping"),
        delay(50),
        delta(0, ""),
        delay(100),
        reasoning(0, "hm hm"),
        delay(100),
        delta(0, "one "),
        delay(100),
        delta(0, "two three"),
        delay(300),
        delta(0, " four"),
        delay(200)
      ])
      assert.deepStrictEqual(stats, {
        outcome: "completed",
        id: "resp_0",
        model: "m",
        totalTokens: 6,
        tokenSource: "counter",
        eventsCount: 6,
        charsCount: 23,
        firstEventMs: 100,
        firstTokenMs: 300,
        firstOutputMs: 400,
        totalDurationMs: 1_000,
        tokensPerSecond: 6,
        timePerOutputTokenMs: (1_000 - 300) / 5,
        interChunkMs: { p50: 100, p95: 300, p99: 300, max: 300 }
      })
    })
  )

  it.effect("name the response by Start, or else by what the provider says first", () =>
    Effect.gen(function* () {
      const said = (id: unknown, model: unknown) => StreamEvent.metadata(0, "response", { metadata: { id, model } })
      const named = ({ id, model }: StreamResult.Stats) => [id, model]
      const asked = StreamEvent.start(0, { model: "asked" })
      assert.deepStrictEqual(named(yield* figures([start, said("resp_0", "m"), said("resp_1", "other")])), [
        "resp_0",
        "m"
      ])
      assert.deepStrictEqual(named(yield* figures([asked, said(7, "m")])), [undefined, "asked"])
      const other = StreamEvent.metadata(0, "source", { metadata: { id: "source" } })
      assert.deepStrictEqual(named(yield* figures([start, other])), [undefined, undefined])
    })
  )

  it.effect("are unknown where there is nothing to measure, and not 0", () =>
    Effect.gen(function* () {
      const stats = yield* figures([start])
      assert.deepStrictEqual(stats, {
        outcome: "completed",
        id: undefined,
        model: undefined,
        totalTokens: 0,
        tokenSource: "counter",
        eventsCount: 0,
        charsCount: 0,
        firstEventMs: 0,
        firstTokenMs: undefined,
        firstOutputMs: undefined,
        totalDurationMs: 0,
        tokensPerSecond: undefined,
        timePerOutputTokenMs: undefined,
        interChunkMs: undefined
      })
      const before = yield* figures([delay(10), StreamTest.fail("reset")])
      assert.strictEqual(before.outcome, "failed")
      const nothing = yield* Stream.fail("reset").pipe(StreamHandler.runExit())
      assert.isUndefined(nothing.result.stats.firstEventMs)
      assert.isUndefined((yield* figures(["word"])).timePerOutputTokenMs)
    })
  )

  it.effect("neither an empty delta nor a keep-alive nor metadata is a token or a chunk", () =>
    Effect.gen(function* () {
      const quiet = [delta(0, ""), reasoning(0, ""), StreamEvent.progress(0, "ping"), StreamEvent.metadata(0, "source")]
      const stats = yield* figures([
        ...quiet.flatMap((event) => [delay(10), event]),
        delay(60),
        "a",
        ...quiet.flatMap((event) => [delay(10), event]),
        delay(60),
        "b"
      ])
      assert.deepStrictEqual([stats.firstTokenMs, stats.firstOutputMs], [100, 100])
      assert.deepStrictEqual(stats.interChunkMs, { p50: 100, p95: 100, p99: 100, max: 100 })
      assert.deepStrictEqual([stats.eventsCount, stats.charsCount], [10, 2])
    })
  )

  it.effect("a tool call's first fragment is a token, but no output", () =>
    Effect.gen(function* () {
      const stats = yield* figures([
        delay(10),
        StreamEvent.toolCallDelta(0, "call_0", "search", "{"),
        delay(10),
        StreamEvent.toolCallDelta(0, "call_0", "search", "}"),
        delay(10),
        "done"
      ])
      assert.deepStrictEqual([stats.firstTokenMs, stats.firstOutputMs], [10, 30])
      assert.strictEqual(stats.interChunkMs?.max, 10)
    })
  )

  it.effect("text of every kind counts, each kind as a text of its own", () =>
    Effect.gen(function* () {
      const stats = yield* figures([reasoning(0, "a"), refusal(0, "b"), delta(0, "c"), reasoning(0, "d")])
      assert.deepStrictEqual([stats.totalTokens, stats.charsCount, stats.eventsCount], [3, 4, 4])
    })
  )

  it.effect("the provider's count wins, and its last word counts", () =>
    Effect.gen(function* () {
      const counted = yield* figures(["one two", delay(1_000), usage(undefined)])
      assert.deepStrictEqual([counted.totalTokens, counted.tokenSource], [2, "counter"])
      const reported = yield* figures([usage(1), "one two", delay(1_000), usage(40), usage(undefined)])
      assert.deepStrictEqual(
        [reported.totalTokens, reported.tokenSource, reported.tokensPerSecond, reported.timePerOutputTokenMs],
        [40, "provider", 40, 1_000 / 39]
      )
      const none = yield* figures(["one two", usage(0)])
      assert.deepStrictEqual([none.totalTokens, none.tokenSource], [0, "provider"])
    })
  )

  describe("gaps", () => {
    it.effect("have their percentiles", () =>
      Effect.gen(function* () {
        const steps = Array.from({ length: 100 }, (_, i) => [delay(i < 90 ? 20 : 500), "x"] as const).flat()
        const stats = yield* figures(["x", ...steps])
        assert.deepStrictEqual(stats.interChunkMs, { p50: 20, p95: 500, p99: 500, max: 500 })
      })
    )

    it.effect("texts that come together are one chunk", () =>
      Effect.gen(function* () {
        const stats = yield* figures(["a", delay(10), StreamTest.together("b", "c", "d"), delay(30), "e"])
        assert.deepStrictEqual(stats.interChunkMs, { p50: 10, p95: 30, p99: 30, max: 30 })
      })
    )

    it.effect("an effect for each event before the handler takes apart what came together", () =>
      Effect.gen(function* () {
        const steps = ["a", delay(10), StreamTest.together("b", "c", "d"), delay(30), "e"]
        const whole = yield* figures(
          steps,
          StreamProcessor.filterMap((event) => event)
        )
        assert.deepStrictEqual(whole.interChunkMs, { p50: 10, p95: 30, p99: 30, max: 30 })
        const apart: ReadonlyArray<StreamProcessor.StreamProcessor> = [
          (events) => Stream.tap(events, () => Effect.void),
          StreamProcessor.make(Effect.succeed)
        ]
        for (const processor of apart) {
          const stats = yield* figures(steps, processor)
          assert.deepStrictEqual(stats.interChunkMs, { p50: 0, p95: 30, p99: 30, max: 30 })
        }
      })
    )

    it.effect("texts that come one after the other at the same time are two, with no gap between them", () =>
      Effect.gen(function* () {
        const stats = yield* figures(["a", "b", "c", delay(30), "d"])
        assert.deepStrictEqual(stats.interChunkMs, { p50: 0, p95: 30, p99: 30, max: 30 })
      })
    )

    it.effect("one chunk has none", () =>
      Effect.gen(function* () {
        assert.isUndefined((yield* figures([StreamTest.together("a", "b", "c")])).interChunkMs)
      })
    )
  })

  it.effect("are on End too, and in JSON the same", () =>
    Effect.gen(function* () {
      const events = yield* Stream.make("Hello", " World").pipe(
        StreamEvent.fromText,
        StreamHandler.events(),
        Stream.runCollect
      )
      const stats = events.find(StreamEvent.is("End"))?.stats
      assert(stats !== undefined)
      assert.strictEqual(stats.totalTokens, 2)
      const codec = Schema.fromJsonString(StreamResult.Stats)
      const json = Schema.encodeSync(codec)(stats)
      assert.strictEqual(Schema.encodeSync(codec)(Schema.decodeSync(codec)(json)), json)
    })
  )
})

describe("layerMemory", () => {
  const word = (text: string) => Stream.make(text).pipe(StreamEvent.fromText, StreamHandler.run())

  it.effect("keeps the last ones, oldest first, and adds all of them up", () =>
    Effect.gen(function* () {
      for (const text of ["a", "bb", "ccc", "dddd"]) yield* word(text)
      const stats = yield* StreamStats.StreamStats
      assert.deepStrictEqual(
        (yield* stats.recent).map((snapshot) => snapshot.charsCount),
        [3, 4]
      )
      assert.deepStrictEqual(yield* stats.totals, {
        streams: 4,
        running: 0,
        completed: 4,
        failed: 0,
        interrupted: 0,
        abandoned: 0,
        totalTokens: 4,
        charsCount: 10,
        eventsCount: 4
      })
    }).pipe(Effect.provide(StreamStats.layerMemory({ keep: 2 })))
  )

  it.effect("records every stream, however it ended, as what it was", () =>
    Effect.gen(function* () {
      const stats = yield* StreamStats.StreamStats
      const events = Stream.make("a", "b").pipe(Stream.rechunk(1), StreamEvent.fromText)
      const stalled = Stream.concat(events.pipe(Stream.take(2)), Stream.never)
      yield* StreamHandler.run()(events)
      yield* Effect.exit(StreamHandler.run()(Stream.concat(Stream.take(events, 2), Stream.fail("reset"))))
      yield* Effect.exit(StreamHandler.run()(Stream.concat(Stream.take(events, 2), Stream.die("bug"))))
      yield* Effect.exit(StreamHandler.run()(Stream.take(events, 2)))
      yield* Effect.exit(StreamHandler.run({ maxBufferSize: 1 })(events))
      yield* Stream.runDrain(Stream.take(StreamHandler.events()(events), 2))
      const fiber = yield* Effect.forkChild(StreamHandler.run()(stalled), { startImmediately: true })
      yield* Fiber.interrupt(fiber)
      yield* StreamHandler.run()(
        Stream.concat(Stream.take(events, 2), Stream.fail("reset")).pipe(StreamEvent.catchToEvent)
      )
      const outcomes = (yield* stats.recent).map((snapshot) => snapshot.outcome)
      assert.deepStrictEqual(outcomes, [
        "completed",
        "failed",
        "failed",
        "failed",
        "failed",
        "abandoned",
        "interrupted",
        "failed"
      ])
      assert.deepStrictEqual(
        (yield* stats.recent).map((snapshot) => snapshot.charsCount),
        [2, 1, 1, 1, 1, 1, 1, 1]
      )
      const { abandoned, completed, failed, interrupted, running, streams } = yield* stats.totals
      assert.deepStrictEqual(
        { abandoned, completed, failed, interrupted, running, streams },
        { abandoned: 1, completed: 1, failed: 5, interrupted: 1, running: 0, streams: 8 }
      )
      assert.deepStrictEqual(yield* stats.running, [])
    }).pipe(Effect.provide(StreamStats.layerMemory()))
  )

  it.effect("shows streams while they run, each by itself", () =>
    Effect.gen(function* () {
      const stats = yield* StreamStats.StreamStats
      const play = (id: string, ms: number) =>
        StreamTest.answer([id, delay(ms), `${id}${id}`, delay(ms)], { id }).pipe(
          StreamHandler.run(),
          Effect.forkChild({ startImmediately: true })
        )
      const first = yield* play("a", 100)
      const second = yield* play("b", 300)
      yield* TestClock.adjust(0)
      const figures = Effect.map(stats.running, (all) =>
        all.map(({ charsCount, id, outcome, totalDurationMs }) => [id, outcome, charsCount, totalDurationMs])
      )
      assert.deepStrictEqual(yield* figures, [
        ["a", "running", 1, 0],
        ["b", "running", 1, 0]
      ])
      yield* TestClock.adjust(150)
      assert.deepStrictEqual(yield* figures, [
        ["a", "running", 3, 150],
        ["b", "running", 1, 150]
      ])
      yield* TestClock.adjust(150)
      assert.deepStrictEqual(yield* figures, [["b", "running", 3, 300]])
      assert.deepStrictEqual((yield* stats.totals).running, 1)
      yield* TestClock.adjust(300)
      yield* Fiber.join(first)
      yield* Fiber.join(second)
      assert.deepStrictEqual(
        (yield* stats.recent).map(({ charsCount, id, totalDurationMs }) => [id, charsCount, totalDurationMs]),
        [
          ["a", 3, 200],
          ["b", 3, 600]
        ]
      )
    }).pipe(Effect.provide(StreamStats.layerMemory()))
  )

  it.effect("hands out copies", () =>
    Effect.gen(function* () {
      const stats = yield* StreamStats.StreamStats
      const before = yield* stats.recent
      const totals = yield* stats.totals
      yield* word("a")
      assert.deepStrictEqual([before.length, totals.streams], [0, 0])
    }).pipe(Effect.provide(StreamStats.layerMemory()))
  )

  it.effect("takes a stream's last figures once", () =>
    Effect.gen(function* () {
      const stats = yield* StreamStats.StreamStats
      const { stats: last } = yield* word("a")
      const close = yield* stats.open(Effect.succeed(last))
      yield* close(last)
      yield* close(last)
      assert.lengthOf(yield* stats.recent, 2)
      assert.strictEqual((yield* stats.totals).completed, 2)
    }).pipe(Effect.provide(StreamStats.layerMemory()))
  )

  it.effect("is recorded before onExit runs, which may read it", () =>
    Effect.gen(function* () {
      const seen = yield* Deferred.make<number>()
      const OnExit = StreamCallbacks.layer({
        onExit: () =>
          Effect.flatMap(StreamStats.StreamStats, (stats) =>
            Effect.flatMap(stats.recent, (recent) => Deferred.succeed(seen, recent.length))
          )
      })
      yield* Effect.provide(word("a"), OnExit)
      assert.strictEqual(yield* Deferred.await(seen), 1)
    }).pipe(Effect.provide(StreamStats.layerMemory()))
  )

  it("keeps 100 unless told, and refuses a number that makes no sense", () => {
    for (const keep of [0, -1, 1.5, Number.NaN, Infinity]) {
      assert.throws(() => StreamStats.layerMemory({ keep }), RangeError, `keep must be a whole number of snapshots`)
    }
    const program = Effect.gen(function* () {
      for (let i = 0; i < 101; i++) yield* word("a")
      return (yield* (yield* StreamStats.StreamStats).recent).length
    })
    assert.strictEqual(Effect.runSync(Effect.provide(program, StreamStats.layerMemory())), 100)
  })
})

describe("StreamStats", () => {
  it.effect("records nothing by default", () =>
    Effect.gen(function* () {
      yield* Stream.make("a").pipe(StreamEvent.fromText, StreamHandler.run())
      const stats = yield* StreamStats.StreamStats
      assert.deepStrictEqual([yield* stats.recent, yield* stats.running, (yield* stats.totals).streams], [[], [], 0])
    })
  )

  it.effect("one whose own code fails loses no callback", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const none = yield* StreamStats.StreamStats
      const Broken = Layer.succeed(StreamStats.StreamStats, {
        ...none,
        open: () => Effect.succeed(() => Effect.die("disk full"))
      })
      const OnExit = StreamCallbacks.layer({ onExit: (result) => Effect.sync(() => seen.push(result.text)) })
      yield* Stream.make("a").pipe(
        StreamEvent.fromText,
        StreamHandler.run(),
        Effect.exit,
        Effect.provide(Layer.mergeAll(Broken, OnExit, StreamConfig.layer({})))
      )
      assert.deepStrictEqual(seen, ["a"])
    })
  )
})
