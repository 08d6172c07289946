import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Schema, Stream } from "effect"
import * as StopSequence from "../../src/processors/StopSequence.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as StreamArbitrary from "../../src/testing/StreamArbitrary.ts"
import * as StreamLaws from "../../src/testing/StreamLaws.ts"
import * as StreamTest from "../../src/testing/StreamTest.ts"
import { collect, show, textOf } from "../support/run.ts"

const text = (delta: string, part?: string) => StreamEvent.delta(0, delta, part)
const usage = StreamEvent.metadata(0, "usage")
const alive = StreamEvent.progress(0, "ping")
const end = StreamEvent.end(0, "length")

const run = (options: StopSequence.Options, events: ReadonlyArray<StreamEvent.StreamEvent>) => {
  const { events: out, failure } = Effect.runSync(collect(StopSequence.make(options)(Stream.fromIterable(events))))
  assert.isUndefined(failure)
  return out.map((event) =>
    event._tag === "Metadata"
      ? `Metadata ${event.kind} ${JSON.stringify(event.metadata)}`
      : event._tag === "End"
        ? `End ${event.finishReason}`
        : StreamEvent.isText(event)
          ? show(event)
          : event._tag
  )
}

const stopped = (stop: string) => [`Metadata stop-sequence {"stop":${JSON.stringify(stop)}}`, "End stop"]

/** The naive reference: looks at every prefix of the whole text. */
const reference = (whole: string, stops: ReadonlyArray<string>, keep = false): { text: string; stop?: string } => {
  for (let n = 1; n <= whole.length; n++) {
    const ended = stops.filter((stop) => whole.slice(0, n).endsWith(stop))
    const [longest] = ended.toSorted((a, b) => b.length - a.length)
    if (longest !== undefined) return { text: whole.slice(0, keep ? n : n - longest.length), stop: longest }
  }
  return { text: whole }
}

describe("StopSequence", () => {
  it("ends the answer, wherever the string is cut", () => {
    for (const pieces of [["ab<stop>cd"], ["ab<st", "op>cd"], Array.from("ab<stop>cd")]) {
      const lines = run({ stop: ["<stop>"] }, [...pieces.map((piece) => text(piece)), end])
      assert.deepStrictEqual(lines.slice(-2), stopped("<stop>"))
      assert.strictEqual(lines.slice(0, -2).join(""), pieces.length > 2 ? 'Delta "a"Delta "b"' : 'Delta "ab"')
    }
    assert.deepStrictEqual(run({ stop: ["<stop>"], keep: true }, [text("ab<st"), text("op>cd")]), [
      'Delta "ab"',
      'Delta "<st"',
      'Delta "op>"',
      ...stopped("<stop>")
    ])
  })

  it("does not touch an answer without one, and releases what only looked like it", () => {
    assert.deepStrictEqual(run({ stop: ["<stop>"] }, [text("a<st"), text("ay>"), text("<"), end]), [
      'Delta "a"',
      'Delta "<st"',
      'Delta "ay>"',
      'Delta "<"',
      "End length"
    ])
  })

  it("is about the answer only: a string is found over parts, not over reasoning or a tool call", () => {
    const thought = StreamEvent.reasoning(0, "STOP")
    assert.deepStrictEqual(run({ stop: ["STOP"] }, [thought, text("ST", "0"), text("OP", "1"), text("x")]), [
      'Reasoning "STOP"',
      ...stopped("STOP")
    ])
    const piece = StreamEvent.toolCallDelta(0, "a", "f", "{}")
    assert.deepStrictEqual(run({ stop: ["STOP"] }, [text("ST"), piece, text("OP"), end]), [
      'Delta "ST"',
      "ToolCallDelta",
      'Delta "OP"',
      "End length"
    ])
  })

  it("keeps order: Metadata waits behind held-back text, Progress does not", () => {
    assert.deepStrictEqual(run({ stop: ["STOP"] }, [text("aS"), usage, alive, text("b"), end]), [
      'Delta "a"',
      "Progress",
      'Delta "S"',
      "Metadata usage {}",
      'Delta "b"',
      "End length"
    ])
  })

  it.effect("what waits is bounded, and released before the failure", () =>
    Effect.gen(function* () {
      const processor = StopSequence.make({ stop: ["STOP"], maxWaiting: 100 })
      const { events, failure } = yield* collect(
        processor(Stream.make(text("S"), ...Array.from({ length: 9 }, () => usage)))
      )
      assert.strictEqual(failure?.reason._tag, "BufferOverflow")
      assert.strictEqual(textOf(events, "Delta"), "S")
      assert.throws(() => StopSequence.make({ stop: ["a"], maxWaiting: -1 }), RangeError, /maxWaiting/)
    })
  )

  it.effect("releases the source before the last events go on", () =>
    Effect.gen(function* () {
      const probe = yield* StreamTest.probe(StreamTest.script([text("aST"), text("OPb"), text("c"), StreamTest.stall]))
      const released: Array<number> = []
      yield* probe.stream.pipe(
        StopSequence.make({ stop: ["STOP"] }),
        Stream.runForEach(() => Effect.map(probe.report, ({ releases }) => released.push(releases)))
      )
      const { pulls, violations } = yield* probe.report
      assert.deepStrictEqual([pulls, violations, released], [2, [], [0, 1, 1]])
    })
  )

  it("throws for no stop string, and for an empty one", () => {
    assert.throws(() => StopSequence.make({ stop: [] }), RangeError)
    assert.throws(() => StopSequence.make({ stop: ["a", ""] }), RangeError)
  })

  it("equals the reference for stop strings that are prefixes, suffixes and parts of each other, for every split in two", () => {
    const pool = ["a", "ab", "b", "aba", "bab", "abab", "bb", "c"]
    const texts = ["ababcab", "aabb", "babab", "cccc", "bcaabbab"]
    for (let mask = 1; mask < 1 << pool.length; mask += 3) {
      const stop = pool.filter((_, i) => (mask & (1 << i)) !== 0)
      for (const whole of texts) {
        for (const keep of [false, true]) {
          const expected = reference(whole, stop, keep)
          for (let at = 0; at <= whole.length; at++) {
            const events = [text(whole.slice(0, at)), text(whole.slice(at)), end]
            const out = Effect.runSync(collect(StopSequence.make({ stop, keep })(Stream.fromIterable(events)))).events
            assert.strictEqual(textOf(out, "Delta"), expected.text, `${whole} with ${stop.join(", ")}`)
            const metadata = out.find(StreamEvent.is("Metadata"))?.metadata
            assert.strictEqual(metadata?.["stop"], expected.stop)
          }
        }
      }
    }
  })

  const Stops = Arbitrary.array(Arbitrary.schema(Schema.Literals(["a", "b", "ab", "aab", " th", "…", "ba"])), {
    minLength: 1,
    maxLength: 3
  })
  it.effect.prop("laws", { input: StreamArbitrary.events(), stop: Stops }, ({ input, stop }) =>
    StreamLaws.all(StopSequence.make({ stop }), input)
  )
})
