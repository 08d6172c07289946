import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber, Queue, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as Smoothing from "../../src/processors/Smoothing.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as StreamArbitrary from "../../src/testing/StreamArbitrary.ts"
import * as StreamLaws from "../../src/testing/StreamLaws.ts"
import * as StreamTest from "../../src/testing/StreamTest.ts"
import { show } from "../support/run.ts"

const text = (delta: string, part?: string) => StreamEvent.delta(0, delta, part)
const usage = StreamEvent.metadata(0, "usage")
const alive = StreamEvent.progress(0, "ping")
const piece = StreamEvent.toolCallDelta(0, "a", "f", "{")
const end = StreamEvent.end(0, "stop")
const { delay } = StreamTest

type Step = StreamEvent.StreamEvent | StreamTest.Step<StreamEvent.StreamEvent, string>

const label = (event: StreamEvent.StreamEvent): string => (event._tag === "Delta" ? event.delta : event._tag)

/** What comes out and when, in milliseconds on the clock; the failure last. */
const timeline = (options: Smoothing.Options, steps: ReadonlyArray<Step>, consumerMillis = 0) =>
  Effect.gen(function* () {
    const since = yield* Clock.currentTimeMillis
    const seen: Array<readonly [string, number]> = []
    const note = (line: string) => Effect.map(Clock.currentTimeMillis, (now) => seen.push([line, now - since]))
    const probe = yield* StreamTest.probe(StreamTest.script(steps))
    const fiber = yield* probe.stream.pipe(
      Smoothing.make(options),
      Stream.runForEach((event) => Effect.andThen(note(label(event)), Effect.sleep(consumerMillis))),
      Effect.catch((error) => note(error)),
      Effect.forkChild
    )
    yield* TestClock.adjust(0)
    for (let i = 0; i < 20_000 && fiber.pollUnsafe() === undefined; i++) yield* TestClock.adjust(5)
    yield* Fiber.join(fiber)
    assert.deepStrictEqual((yield* probe.report).violations, [])
    return seen
  })

describe("pace", () => {
  it.effect("a burst is spread over maxLag, and is over by then", () =>
    Effect.gen(function* () {
      const burst = "one two three four five six seven eight nine ten "
      const seen = yield* timeline({ by: "word", maxLag: "500 millis" }, [text(burst), delay("10 seconds"), end])
      const words = seen.slice(0, -1)
      assert.strictEqual(words.map(([word]) => word).join(""), burst)
      assert.strictEqual(words.length, 10)
      const times = words.map(([, at]) => at)
      assert.strictEqual(times[0], 0)
      assert.isAtMost(times.at(-1)!, 500)
      assert.isAtLeast(times.at(-1)!, 300)
      const gaps = times.slice(1).map((at, i) => at - times[i]!)
      assert.isTrue(
        gaps.every((gap) => gap >= 15 && gap <= 100),
        gaps.join(" ")
      )
    })
  )

  it.effect("bursts at an even rate become an even flow", () =>
    Effect.gen(function* () {
      const steps = Array.from({ length: 20 }, () => [text("a b c d "), delay(200)]).flat()
      const seen = yield* timeline({ by: "word", maxLag: "400 millis" }, [...steps, end])
      const times = seen.slice(20, -5).map(([, at]) => at)
      const gaps = times.slice(1).map((at, i) => at - times[i]!)
      assert.isTrue(
        gaps.every((gap) => gap >= 20 && gap <= 90),
        gaps.join(" ")
      )
    })
  )

  it.effect("a flow that is even already is not delayed", () =>
    Effect.gen(function* () {
      const steps = Array.from({ length: 50 }, (_, i) => [text(`w${i} `), delay(20)]).flat()
      const seen = yield* timeline({ by: "word" }, [...steps, end])
      for (const [i, [word, at]] of seen.slice(0, -1).entries()) {
        assert.strictEqual(word, `w${i} `)
        assert.isAtMost(at - i * 20, i < 10 ? 20 : 5, word)
      }
    })
  )

  it.effect("nothing is ever later than maxLag, on arrival patterns of all kinds", () =>
    Effect.gen(function* () {
      const patterns: ReadonlyArray<ReadonlyArray<readonly [words: number, millis: number]>> = [
        [[400, 0]],
        [
          [1, 300],
          [200, 10],
          [1, 300],
          [200, 10]
        ],
        Array.from({ length: 100 }, () => [1, 5]),
        Array.from({ length: 30 }, (_, i) => [i % 7, (i * 37) % 120] as const),
        [
          [5, 1000],
          [5, 1000],
          [50, 0],
          [50, 0],
          [5, 400]
        ],
        Array.from({ length: 60 }, (_, i) => [1, i * 2] as const)
      ]
      for (const pattern of patterns) {
        let now = 0
        let n = 0
        const arrivals: Array<number> = []
        const steps: Array<Step> = []
        for (const [words, millis] of pattern) {
          const names = Array.from({ length: words }, () => `w${n++} `)
          for (const _ of names) arrivals.push(now)
          if (words > 0) steps.push(text(names.join("")))
          if (millis > 0) steps.push(delay(millis))
          now += millis
        }
        const seen = yield* timeline({ by: "word", maxLag: "250 millis" }, [...steps, end])
        const words = seen.filter(([word]) => word.startsWith("w"))
        assert.strictEqual(words.length, n)
        for (const [i, [word, at]] of words.entries()) {
          assert.strictEqual(word, `w${i} `)
          assert.isAtMost(at - arrivals[i]!, 255, word)
        }
      }
    })
  )

  it.effect("a rate of one's own is kept, but for maxLag", () =>
    Effect.gen(function* () {
      const seen = yield* timeline({ by: "word", rate: "50 millis", maxLag: "1 second" }, [text("a b c d "), end])
      assert.deepStrictEqual(
        seen.map(([, at]) => at),
        [0, 50, 100, 150, 150]
      )
      const hurried = yield* timeline({ by: "word", rate: "50 millis", maxLag: "60 millis" }, [text("a b c d "), end])
      assert.isAtMost(hurried.at(-1)![1], 65)
    })
  )
})

describe("units", () => {
  it.effect("come in one piece, however they were cut", () =>
    Effect.gen(function* () {
      const seen = yield* timeline({ by: "word" }, [...Array.from("Hello world, and", (char) => text(char)), end])
      assert.deepStrictEqual(
        seen.map(([word]) => word),
        ["Hello ", "world, ", "and", "End"]
      )
      const emoji = yield* timeline({ by: "grapheme" }, [text("👨"), text("\u200d"), text("👩x"), end])
      assert.deepStrictEqual(
        emoji.map(([grapheme]) => grapheme),
        ["👨\u200d👩", "x", "End"]
      )
    })
  )

  it.effect("unless the rest is longer away than maxLag", () =>
    Effect.gen(function* () {
      const seen = yield* timeline({ by: "word", maxLag: "100 millis" }, [text("Hel"), delay(1000), text("lo "), end])
      assert.deepStrictEqual(seen, [
        ["Hel", 100],
        ["lo ", 1000],
        ["End", 1000]
      ])
    })
  )

  it.effect("keep kind and part apart", () =>
    Effect.gen(function* () {
      const events = yield* Stream.make(text("a", "0"), text("b", "1"), StreamEvent.reasoning(0, "c"), piece).pipe(
        Smoothing.make({ by: "word" }),
        Stream.runCollect
      )
      assert.deepStrictEqual(events.slice(0, 3).map(show), ['Delta/0 "a"', 'Delta/1 "b"', 'Reasoning "c"'])
    })
  )
})

describe("other events", () => {
  it.effect("a tool call does not wait for text to be paced; an end does", () =>
    Effect.gen(function* () {
      const seen = yield* timeline({ by: "word", rate: "50 millis" }, [
        text("a b c"),
        piece,
        delay(400),
        text("d e "),
        end
      ])
      assert.deepStrictEqual(seen, [
        ["a ", 0],
        ["b ", 0],
        ["c", 0],
        ["ToolCallDelta", 0],
        ["d ", 400],
        ["e ", 450],
        ["End", 450]
      ])
    })
  )

  it.effect("Metadata keeps its place, Progress cuts no word", () =>
    Effect.gen(function* () {
      const seen = yield* timeline({ by: "word", rate: "50 millis" }, [
        text("a wo"),
        alive,
        text("rd b"),
        usage,
        text("c"),
        end
      ])
      assert.deepStrictEqual(
        seen.map(([line]) => line),
        ["a ", "Progress", "word ", "b", "Metadata", "c", "End"]
      )
    })
  )

  it.effect("before a failure everything goes at once", () =>
    Effect.gen(function* () {
      const seen = yield* timeline({ by: "word", rate: "50 millis" }, [
        text("a b c"),
        delay(10),
        StreamTest.fail("reset")
      ])
      assert.deepStrictEqual(seen, [
        ["a ", 0],
        ["b ", 10],
        ["c", 10],
        ["reset", 10]
      ])
    })
  )
})

describe("consumers and sources", () => {
  it.effect("a slow consumer gets what is due at once, and holds the source up behind maxBacklog", () =>
    Effect.gen(function* () {
      let pulled = 0
      const source = Stream.fromIterable(Array.from({ length: 1_000 }, () => text("word "))).pipe(
        Stream.rechunk(1),
        Stream.tap(() => Effect.sync(() => pulled++))
      )
      const fiber = yield* source.pipe(
        Smoothing.make({ by: "word", maxBacklog: 100, maxLag: "100 millis" }),
        Stream.runForEach(() => Effect.sleep("1 hour")),
        Effect.forkChild
      )
      yield* TestClock.adjust(0)
      yield* TestClock.adjust("90 minutes")
      assert.isAtMost(pulled, 50)
      yield* Fiber.interrupt(fiber)
    })
  )

  it.effect("a consumer that leaves, or is interrupted, releases the source", () =>
    Effect.gen(function* () {
      const probe = yield* StreamTest.probe(StreamTest.script([text("a b c d"), StreamTest.stall]))
      const smooth = probe.stream.pipe(Smoothing.make({ by: "word" }))
      yield* Stream.runDrain(Stream.take(smooth, 1))
      const fiber = yield* Effect.forkChild(Stream.runDrain(smooth))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.interrupt(fiber)
      const { releases, violations } = yield* probe.report
      assert.deepStrictEqual([releases, violations], [2, []])
    })
  )
})

it.live("a pull that is interrupted takes nothing from the next one", () =>
  Effect.gen(function* () {
    const queue = yield* Queue.unbounded<StreamEvent.StreamEvent>()
    const pull = yield* Stream.toPull(Smoothing.make({ by: "word" })(Stream.fromQueue(queue)))
    yield* Effect.timeoutOption(pull, "10 millis")
    yield* Queue.offer(queue, StreamEvent.delta(0, "A B "))
    yield* Effect.sleep("50 millis")
    const [first] = yield* pull
    assert.deepInclude(first, { _tag: "Delta", delta: "A " })
  }).pipe(Effect.scoped)
)

describe("options", () => {
  it("that are impossible throw and are named", () => {
    assert.throws(() => Smoothing.make({ by: "word", maxLag: 0 }), RangeError, /maxLag/)
    assert.throws(() => Smoothing.make({ by: "word", rate: -1 }), RangeError, /rate/)
    assert.throws(() => Smoothing.make({ by: "word", maxBacklog: -1 }), RangeError, /maxBacklog/)
    assert.throws(() => Smoothing.make({ by: "word", locale: "not a locale" }), RangeError)
  })
})

describe("laws", () => {
  const moving = <A, E, R>(law: Effect.Effect<A, E, R>) =>
    Effect.raceFirst(law, Effect.forever(TestClock.adjust("1 second")))
  for (const by of ["word", "grapheme", "line"] as const) {
    it.effect.prop(`of processors, by ${by}`, { input: StreamArbitrary.events() }, ({ input }) =>
      moving(StreamLaws.all(Smoothing.make({ by }), input, { textOracle: (whole) => whole }))
    )
  }
})
