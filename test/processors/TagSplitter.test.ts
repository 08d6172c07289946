import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import * as TagSplitter from "../../src/processors/TagSplitter.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as StreamArbitrary from "../../src/testing/StreamArbitrary.ts"
import * as StreamLaws from "../../src/testing/StreamLaws.ts"
import { collect, random, show } from "../support/run.ts"

const text = (delta: string, part?: string) => StreamEvent.delta(0, delta, part)
const usage = StreamEvent.metadata(0, "usage")
const end = StreamEvent.end(0, "stop")
const both: TagSplitter.Options = { tags: { think: "reasoning", cite: "metadata" } }

const lines = (events: ReadonlyArray<StreamEvent.StreamEvent>): ReadonlyArray<string> =>
  StreamLaws.join(events).map((event) =>
    StreamEvent.isText(event)
      ? show(event)
      : event._tag === "Metadata" && event.kind === "tag"
        ? `${event.metadata["closed"] === true ? "tag" : "open"} ${String(event.metadata["name"])} ${JSON.stringify(event.metadata["text"])}`
        : event._tag
  )

const run = (options: TagSplitter.Options, events: ReadonlyArray<StreamEvent.StreamEvent>): ReadonlyArray<string> => {
  const { events: out, failure } = Effect.runSync(collect(TagSplitter.make(options)(Stream.fromIterable(events))))
  assert.isUndefined(failure)
  return lines(out)
}

/** The same for the whole text, for its pieces of one character, and for every cut in two. */
const expects = (name: string, whole: string, expected: ReadonlyArray<string>, options = both) =>
  it(name, () => {
    const ways = [[whole], Array.from(whole)]
    for (let at = 0; at <= whole.length; at++) ways.push([whole.slice(0, at), whole.slice(at)])
    for (const way of ways) {
      assert.deepStrictEqual(
        run(options, [...way.map((piece) => text(piece)), end]),
        [...expected, "End"],
        way.join("|")
      )
    }
  })

describe("tags", () => {
  expects("reasoning streams, the rest is the answer", "a<think>b</think>c", [
    'Delta "a"',
    'Reasoning "b"',
    'Delta "c"'
  ])
  expects("other tags are Metadata, when they are closed", "a<cite>b</cite>c", [
    'Delta "a"',
    'tag cite "b"',
    'Delta "c"'
  ])
  expects("several, and empty ones", "<think></think><cite></cite><think>x</think>", ['tag cite ""', 'Reasoning "x"'])
  expects("unclosed reasoning goes on to the end", "a<think>b</thin", ['Delta "a"', 'Reasoning "b</thin"'])
  expects("unclosed Metadata comes at the end and says so", "a<cite>b</cit", ['Delta "a"', 'open cite "b</cit"'])
  expects("within a tag only its own end counts", "<think>a<cite>b<think>c</cite>d</think>e</think>", [
    'Reasoning "a<cite>b<think>c</cite>d"',
    'Delta "e</think>"'
  ])
  expects("look-alikes are text", "<thinker>< think><think/><Think></think><<think>x</think >y</think>", [
    'Delta "<thinker>< think><think/><Think></think><"',
    'Reasoning "x</think >y"'
  ])
  expects(
    "startIn: only the end comes",
    "thinking</think>answer<think>more</think>",
    ['Reasoning "thinking"', 'Delta "answer"', 'Reasoning "more"'],
    { ...both, startIn: "think" }
  )
})

describe("other events", () => {
  const thought = StreamEvent.reasoning(0, "hm")
  const piece = StreamEvent.toolCallDelta(0, "a", "f", "{}")

  it("reasoning of the provider's own is left alone", () => {
    const own = StreamEvent.reasoning(0, "<cite>x</cite>")
    assert.deepStrictEqual(run(both, [own, text("a"), end]), ['Reasoning "<cite>x</cite>"', 'Delta "a"', "End"])
  })

  it("a tag is found over parts and Metadata, which keeps its place", () => {
    assert.deepStrictEqual(run(both, [text("a<th", "0"), usage, text("ink>b", "1"), end]), [
      'Delta/0 "a"',
      "Metadata",
      'Reasoning/1 "b"',
      "End"
    ])
    assert.deepStrictEqual(run(both, [text("a<th"), usage, text("at>"), end]), [
      'Delta "a<th"',
      "Metadata",
      'Delta "at>"',
      "End"
    ])
  })

  it("a tag stays open over other content; brackets do not", () => {
    assert.deepStrictEqual(run(both, [text("<think>a"), piece, text("b</think>c"), end]), [
      'Reasoning "a"',
      "ToolCallDelta",
      'Reasoning "b"',
      'Delta "c"',
      "End"
    ])
    assert.deepStrictEqual(run(both, [text("<thi"), thought, text("nk>c"), end]), [
      'Delta "<thi"',
      'Reasoning "hm"',
      'Delta "nk>c"',
      "End"
    ])
  })
})

describe("limits", () => {
  it.effect("of a tag's text", () =>
    Effect.gen(function* () {
      const source = Stream.make(text("<cite>abc"), text("de</cite>f"))
      const fits = yield* collect(TagSplitter.make({ ...both, maxTagSize: 5 })(source))
      assert.isUndefined(fits.failure)
      const { events, failure } = yield* collect(TagSplitter.make({ ...both, maxTagSize: 4 })(source))
      assert.strictEqual(failure?.reason._tag, "BufferOverflow")
      assert.deepStrictEqual(lines(events), [])
    })
  )

  it.effect("of a tag's text, that of one that opens and closes within an event too", () =>
    Effect.gen(function* () {
      const source = Stream.make(text("a<cite>abcde</cite>f"))
      const fits = yield* collect(TagSplitter.make({ ...both, maxTagSize: 5 })(source))
      assert.isUndefined(fits.failure)
      const { events, failure } = yield* collect(TagSplitter.make({ ...both, maxTagSize: 4 })(source))
      assert.strictEqual(failure?.reason._tag, "BufferOverflow")
      assert.deepStrictEqual(lines(events), ['Delta "a"'])
    })
  )

  it.effect("of a tag's text, with what looked like the tag's end when the stream ends", () =>
    Effect.gen(function* () {
      for (const last of [[], [StreamEvent.end(0, "stop")]]) {
        const source = Stream.make(text("<cite>abc</ci"), ...last)
        const fits = yield* collect(TagSplitter.make({ ...both, maxTagSize: 7 })(source))
        assert.isUndefined(fits.failure)
        const { failure } = yield* collect(TagSplitter.make({ ...both, maxTagSize: 6 })(source))
        assert.strictEqual(failure?.reason._tag, "BufferOverflow")
      }
    })
  )

  it.effect("of what waits behind held-back text", () =>
    Effect.gen(function* () {
      const source = Stream.make(text("a<"), ...Array.from({ length: 9 }, () => usage))
      const { events, failure } = yield* collect(TagSplitter.make({ ...both, maxWaiting: 100 })(source))
      assert.strictEqual(failure?.reason._tag, "BufferOverflow")
      assert.deepStrictEqual(lines(events).slice(0, 2), ['Delta "a<"', "Metadata"])
    })
  )

  it("impossible options throw", () => {
    for (const name of ["", "a b", "<a", "a>", "/a"]) {
      assert.throws(() => TagSplitter.make({ tags: { [name]: "reasoning" } }), RangeError, /tags/)
    }
    assert.throws(() => TagSplitter.make({ tags: {} }), RangeError, /tags/)
    assert.throws(() => TagSplitter.make({ ...both, startIn: "other" }), RangeError, /startIn/)
    assert.throws(() => TagSplitter.make({ ...both, maxTagSize: -1 }), RangeError, /maxTagSize/)
    assert.throws(() => TagSplitter.make({ ...both, maxWaiting: NaN }), RangeError, /maxWaiting/)
  })
})

/** The naive reference on the whole answer. */
const reference = (whole: string): ReadonlyArray<string> => {
  const out: Array<StreamEvent.StreamEvent> = []
  let rest = whole
  for (;;) {
    const start = /<(think|cite)>/.exec(rest)
    if (start === null)
      return lines([...out, text(rest)].filter((event) => !StreamEvent.isText(event) || event.delta !== ""))
    const name = start[1]!
    if (start.index > 0) out.push(text(rest.slice(0, start.index)))
    rest = rest.slice(start.index + start[0].length)
    const at = rest.indexOf(`</${name}>`)
    const inside = at === -1 ? rest : rest.slice(0, at)
    rest = at === -1 ? "" : rest.slice(at + name.length + 3)
    if (name === "think") {
      if (inside !== "") out.push(StreamEvent.reasoning(0, inside))
    } else out.push(StreamEvent.metadata(0, "tag", { metadata: { name, text: inside, closed: at !== -1 } }))
  }
}

describe("laws", () => {
  it("equals the reference on random texts full of brackets, however they are cut", () => {
    const next = random(7)
    const pieces = ["<think>", "</think>", "<cite>", "</cite>", "<", ">", "/", "think", "a", " ", "</", "<thi", "nk>"]
    const seen = new Set<string>()
    for (let n = 0; n < 3_000; n++) {
      const whole = Array.from(
        { length: Math.floor(next() * 12) },
        () => pieces[Math.floor(next() * pieces.length)]!
      ).join("")
      const expected = reference(whole)
      for (const line of expected) seen.add(line.split(" ")[0]!)
      const cuts: Array<StreamEvent.StreamEvent> = []
      for (let at = 0; at < whole.length;) {
        const size = 1 + Math.floor(next() * 6)
        cuts.push(text(whole.slice(at, at + size)))
        at += size
      }
      assert.deepStrictEqual(run(both, [...cuts, end]), [...expected, "End"], whole)
    }
    assert.deepStrictEqual(Array.from(seen).toSorted(), ["Delta", "Reasoning", "open", "tag"])
  })

  it.effect.prop("of processors", { input: StreamArbitrary.events() }, ({ input }) =>
    StreamLaws.all(TagSplitter.make({ ...both, startIn: "think" }), input)
  )
  it.effect.prop("of processors, with tags as letters", { input: StreamArbitrary.events() }, ({ input }) =>
    StreamLaws.all(TagSplitter.make({ tags: { a: "reasoning", b: "metadata" } }), input)
  )
})
