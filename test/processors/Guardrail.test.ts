import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, Data, Deferred, Effect, Fiber, Layer, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as Guardrail from "../../src/processors/Guardrail.ts"
import type * as StreamError from "../../src/StreamError.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as StreamArbitrary from "../../src/testing/StreamArbitrary.ts"
import * as StreamLaws from "../../src/testing/StreamLaws.ts"
import * as StreamTest from "../../src/testing/StreamTest.ts"
import { collect, random, reasonOf, show, textOf } from "../support/run.ts"

const text = (delta: string, part?: string) => StreamEvent.delta(0, delta, part)
const usage = StreamEvent.metadata(0, "usage")
const alive = StreamEvent.progress(0, "ping")
const piece = StreamEvent.toolCallDelta(0, "a", "f", "{")
const end = StreamEvent.end(0, "stop")

const bad = (word: string, verdict: Guardrail.Verdict) => (window: Guardrail.Window) =>
  Effect.succeed(window.text.includes(word) ? verdict : Guardrail.allow)

/** The naive reference, on the whole text: the windows one after the other. */
const reference = (
  whole: string,
  size: number,
  overlap: number,
  judge: (text: string) => Guardrail.Verdict
): { readonly text: string; readonly blockedAt?: number } => {
  let out = ""
  /** Up to here it has left, and up to here it was looked at. */
  let left = 0
  let seen = 0
  while (seen < whole.length) {
    const next = Math.min(seen + size, whole.length)
    const isLast = next === whole.length
    const verdict = judge(whole.slice(left, next))
    if (verdict._tag === "block") return { text: out, blockedAt: seen }
    if (verdict._tag === "replace") {
      out += verdict.text
      left = next
    } else {
      const until = isLast ? next : Math.max(left, next - overlap)
      out += whole.slice(left, until)
      left = until
    }
    seen = next
  }
  return { text: out }
}

const letters = (next: () => number, size: number): string =>
  Array.from({ length: size }, () => "abcx"[Math.floor(next() * 4)]!).join("")

const cutUp = (whole: string, next: () => number): ReadonlyArray<StreamEvent.StreamEvent> => {
  const out: Array<StreamEvent.StreamEvent> = []
  for (let at = 0; at < whole.length;) {
    const size = 1 + Math.floor(next() * 7)
    out.push(text(whole.slice(at, at + size)))
    at += size
  }
  return [...out, end]
}

describe("hold", () => {
  it.effect("equals the reference, however the text is cut and however many checks run at once", () =>
    Effect.gen(function* () {
      const next = random(11)
      const seen = new Set<string>()
      for (let n = 0; n < 400; n++) {
        const whole = letters(next, Math.floor(next() * 30))
        const window = 1 + Math.floor(next() * 6)
        const overlap = Math.floor(next() * (window + 1))
        const judge = (text: string): Guardrail.Verdict =>
          text.includes("xx") ? Guardrail.block("xx") : text.includes("ab") ? Guardrail.replace("-") : Guardrail.allow
        const expected = reference(whole, window, overlap, judge)
        for (const concurrency of [1, 3]) {
          const check = (asked: Guardrail.Window) =>
            Effect.as(
              Effect.suspend(() => (next() < 0.5 ? Effect.yieldNow : Effect.void)),
              judge(asked.text)
            )
          const { events, failure } = yield* collect(
            Guardrail.make({ check, window, overlap, concurrency })(Stream.fromIterable(cutUp(whole, next)))
          )
          const context = `${whole} in ${window} with ${overlap}`
          assert.strictEqual(textOf(events, "Delta"), expected.text, context)
          if (expected.blockedAt === undefined) assert.strictEqual(events.at(-1)?._tag, "End")
          else {
            const { offset, rule } = reasonOf(failure as StreamError.StreamError, "ContentBlocked")
            assert.deepStrictEqual([rule, offset], ["xx", expected.blockedAt])
          }
          seen.add(failure === undefined ? (expected.text.includes("-") ? "replaced" : "allowed") : "blocked")
        }
      }
      assert.deepStrictEqual(Array.from(seen).toSorted(), ["allowed", "blocked", "replaced"])
    })
  )

  it.effect("nothing of what is bad leaves, at no time, if it fits the overlap", () =>
    Effect.gen(function* () {
      const secret = "BADBAD"
      for (let at = 0; at <= 20; at++) {
        const whole = `${"x".repeat(at)}${secret}${"y".repeat(20)}`
        const guard = Guardrail.make({ check: bad(secret, Guardrail.block("secret")), window: 8, overlap: 5 })
        const { events, failure } = yield* collect(guard(Stream.fromIterable(Array.from(whole, (char) => text(char)))))
        assert.notInclude(textOf(events, "Delta"), "B")
        assert.strictEqual((failure as StreamError.StreamError).reason._tag, "ContentBlocked")
      }
    })
  )

  it.effect("windows are cut by the text alone, never in a surrogate pair, and say which is the last", () =>
    Effect.gen(function* () {
      const asked: Array<string> = []
      const check = ({ isLast, offset, overlap, text }: Guardrail.Window) =>
        Effect.sync(() => {
          asked.push(`${offset} ${text.slice(0, overlap)}|${text.slice(overlap)}${isLast ? "." : ""}`)
          return Guardrail.allow
        })
      const guard = Guardrail.make({ check, window: 3, overlap: 1 })
      for (const pieces of [["ab😀cd😀efg"], Array.from("ab😀cd😀efg")]) {
        asked.length = 0
        yield* collect(guard(Stream.fromIterable([...pieces.map((piece) => text(piece)), end])))
        assert.deepStrictEqual(asked, ["0 |ab😀", "4 😀|cd😀", "8 😀|efg."])
      }
    })
  )

  it.effect("other events keep their place; only Progress passes; a tool call ends the text", () =>
    Effect.gen(function* () {
      const checks: Array<string> = []
      const check = ({ text }: Guardrail.Window) =>
        Effect.sync(() => {
          checks.push(text)
          return Guardrail.allow
        })
      const guard = Guardrail.make({ check, window: 100 })
      const { events } = yield* collect(
        guard(Stream.make(text("a"), usage, text("b"), alive, piece, text("c"), usage, end))
      )
      assert.deepStrictEqual(checks, ["ab", "c"])
      assert.deepStrictEqual(
        events.map((event) => (event._tag === "Delta" ? event.delta : event._tag)),
        ["Progress", "a", "Metadata", "b", "ToolCallDelta", "c", "Metadata", "End"]
      )
    })
  )

  it.effect("what had arrived before a failure is checked, and delivered before it", () =>
    Effect.gen(function* () {
      const guard = Guardrail.make({ check: bad("x", Guardrail.replace("-")), window: 4, overlap: 0 })
      const { events, failure } = yield* collect(guard(StreamTest.script([text("abcdx"), StreamTest.fail("reset")])))
      assert.strictEqual(textOf(events, "Delta"), "abcd-")
      assert.strictEqual(failure, "reset")
    })
  )
})

describe("optimistic", () => {
  it.effect("text flows while it is checked; what proves bad is retracted, and the stream fails", () =>
    Effect.gen(function* () {
      const verdict = yield* Deferred.make<Guardrail.Verdict>()
      const seen: Array<string> = []
      const guard = Guardrail.make({ check: () => Deferred.await(verdict), window: 4, overlap: 0, mode: "optimistic" })
      const fiber = yield* StreamTest.script([text("ab"), text("cdef", "1"), StreamTest.stall]).pipe(
        guard,
        Stream.runForEach((event) =>
          Effect.sync(() => seen.push(event._tag === "Metadata" ? JSON.stringify(event.metadata) : show(event)))
        ),
        Effect.flip,
        Effect.forkChild
      )
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(seen, ['Delta "ab"', 'Delta/1 "cdef"'])
      yield* Deferred.succeed(verdict, Guardrail.block("rude"))
      const failure = yield* Fiber.join(fiber)
      assert.strictEqual(seen.at(-1), '{"part":"1","offset":0,"length":4,"replacement":""}')
      assert.strictEqual(reasonOf(failure, "ContentBlocked").rule, "rude")
    })
  )

  it.effect("a replacement is told, and the stream goes on; the end waits for all verdicts", () =>
    Effect.gen(function* () {
      const check = (window: Guardrail.Window) =>
        Effect.as(Effect.sleep("1 second"), window.text.includes("x") ? Guardrail.replace("-") : Guardrail.allow)
      const guard = Guardrail.make({ check, window: 2, overlap: 0, mode: "optimistic", concurrency: 2 })
      const fiber = yield* Effect.forkChild(
        Effect.zip(collect(guard(Stream.make(text("abxcde"), end))), Clock.currentTimeMillis)
      )
      for (let i = 0; i < 5; i++) yield* TestClock.adjust("1 second")
      const [{ events }, now] = yield* Fiber.join(fiber)
      assert.deepStrictEqual(
        events.map((event) =>
          event._tag === "Metadata" ? `${event.kind} ${String(event.metadata["offset"])}` : event._tag
        ),
        ["Delta", "retract 2", "End"]
      )
      assert.isAtMost(now, 3_000)
    })
  )
})

describe("checks", () => {
  class Down extends Data.TaggedError("Down")<{}> {}
  class Moderator extends Context.Service<Moderator, (text: string) => Effect.Effect<Guardrail.Verdict, Down>>()(
    "test/Moderator"
  ) {}
  const check = ({ text }: Guardrail.Window) => Effect.flatMap(Moderator, (judge) => judge(text))

  it.effect("that fail are failures of the stream, with their own error and services in its type", () =>
    Effect.gen(function* () {
      const guarded = Stream.make(text("a"), end).pipe(Guardrail.make({ check }))
      const run = collect(guarded).pipe(Effect.provide(Layer.succeed(Moderator, () => Effect.fail(new Down()))))
      const { events, failure } = yield* run
      assert.instanceOf(failure, Down)
      assert.deepStrictEqual(events, [])
      const open = collect(Stream.make(text("a"), end).pipe(Guardrail.make({ check, onCheckFailure: "allow" })))
      const allowed = yield* Effect.provide(
        open,
        Layer.succeed(Moderator, () => Effect.fail(new Down()))
      )
      assert.strictEqual(allowed.events.length, 2)
    })
  )

  it.effect("that take too long are interrupted", () =>
    Effect.gen(function* () {
      let interrupted = 0
      const stuck = () => Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted++))
      const closed = yield* Effect.forkChild(
        collect(Stream.make(text("a"), end).pipe(Guardrail.make({ check: stuck, timeout: "2 seconds" })))
      )
      yield* TestClock.adjust("2 seconds")
      const { failure } = yield* Fiber.join(closed)
      assert.strictEqual(reasonOf(failure, "Timeout").phase, "guardrail")
      assert.strictEqual(interrupted, 1)
    })
  )

  it.effect("a defect is a defect", () =>
    Effect.gen(function* () {
      const guarded = Stream.make(text("a"), end).pipe(Guardrail.make({ check: () => Effect.die("bug") }))
      const exit = yield* Effect.exit(Stream.runDrain(guarded))
      assert.strictEqual(exit._tag, "Failure")
    })
  )

  it.effect("run at once up to the limit, and the source is read ahead no further", () =>
    Effect.gen(function* () {
      for (const concurrency of [1, 3]) {
        let running = 0
        let most = 0
        let pulled = 0
        const check = () =>
          Effect.gen(function* () {
            most = Math.max(most, ++running)
            yield* Effect.sleep("1 second")
            running--
            return Guardrail.allow
          })
        const source = Stream.fromIterable(Array.from({ length: 100 }, () => text("ab"))).pipe(
          Stream.rechunk(1),
          Stream.tap(() => Effect.sync(() => pulled++))
        )
        const guard = Guardrail.make({ check, window: 2, overlap: 0, concurrency })
        const fiber = yield* Effect.forkChild(Effect.zip(collect(guard(source)), Clock.currentTimeMillis))
        const since = yield* Clock.currentTimeMillis
        yield* TestClock.adjust(0)
        assert.isAtMost(pulled, concurrency + 3)
        for (let i = 0; i < 110; i++) yield* TestClock.adjust("1 second")
        const [{ events }, now] = yield* Fiber.join(fiber)
        assert.strictEqual(textOf(events, "Delta").length, 200)
        assert.strictEqual(most, concurrency)
        assert.isAtMost(now - since, (100 / concurrency + 2) * 1_000)
      }
    })
  )

  it.effect("are interrupted when the consumer leaves", () =>
    Effect.gen(function* () {
      let interrupted = 0
      const stuck = () => Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted++))
      const probe = yield* StreamTest.probe(StreamTest.script([text("a"), end]))
      const fiber = yield* Effect.forkChild(collect(probe.stream.pipe(Guardrail.make({ check: stuck }))))
      yield* TestClock.adjust(0)
      yield* Fiber.interrupt(fiber)
      const { releases, violations } = yield* probe.report
      assert.deepStrictEqual([interrupted, releases, violations], [1, 1, []])
    })
  )
})

describe("limits", () => {
  it.effect("what waits behind held-back text is bounded", () =>
    Effect.gen(function* () {
      const source = Stream.make(text("a"), ...Array.from({ length: 20 }, () => usage))
      const guard = Guardrail.make({ check: () => Effect.succeed(Guardrail.allow), maxWaiting: 100 })
      const { events, failure } = yield* collect(guard(source))
      assert.strictEqual((failure as StreamError.StreamError).reason._tag, "BufferOverflow")
      assert.strictEqual(textOf(events, "Delta"), "a")
    })
  )

  it.effect("a long text in one piece takes linear time", () =>
    Effect.gen(function* () {
      const guard = Guardrail.make({ check: () => Effect.succeed(Guardrail.allow), window: 10, overlap: 4 })
      const { events } = yield* collect(guard(Stream.make(text("x".repeat(500_000)), end)))
      assert.strictEqual(textOf(events, "Delta").length, 500_000)
    })
  )

  it("impossible options throw and are named", () => {
    const check = () => Effect.succeed(Guardrail.allow)
    assert.throws(() => Guardrail.make({ check, window: 0 }), RangeError, /window/)
    assert.throws(() => Guardrail.make({ check, overlap: -1 }), RangeError, /overlap/)
    assert.throws(() => Guardrail.make({ check, window: 5, overlap: 6 }), RangeError, /overlap/)
    assert.throws(() => Guardrail.make({ check, concurrency: 0 }), RangeError, /concurrency/)
    assert.throws(() => Guardrail.make({ check, timeout: 0 }), RangeError, /timeout/)
    assert.throws(() => Guardrail.make({ check, maxWaiting: -1 }), RangeError, /maxWaiting/)
  })
})

describe("laws", () => {
  for (const mode of ["hold", "optimistic"] as const) {
    it.effect.prop(`of processors: ${mode}`, { input: StreamArbitrary.events() }, ({ input }) =>
      StreamLaws.all(
        Guardrail.make({ check: () => Effect.succeed(Guardrail.allow), window: 3, overlap: 2, concurrency: 2, mode }),
        input,
        { textOracle: (whole) => whole }
      )
    )
  }
})
