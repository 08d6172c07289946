import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Schema } from "effect"
import { existsSync, readFileSync } from "node:fs"
import { comment, make, type SseEvent, type SseFrame } from "../../src/internal/sse.ts"

interface Outcome {
  readonly frames: ReadonlyArray<SseFrame>
  readonly overflow: boolean
  readonly pending: SseEvent | undefined
  readonly retry: number | undefined
}

const parse = (chunks: Iterable<string>, maxEventSize = Infinity): Outcome => {
  const parser = make({ maxEventSize })
  const frames: Array<SseFrame> = []
  let overflow = false
  for (const chunk of chunks) {
    const fits = parser.feed(chunk, frames)
    if (overflow && fits) throw new Error("an overflow is for good")
    overflow = !fits
  }
  return { frames, overflow, pending: parser.end(), retry: parser.retry }
}

const units = (text: string): ReadonlyArray<string> => text.split("")

/** Every way to cut a text in two, and one unit at a time. */
const splits = (text: string): ReadonlyArray<ReadonlyArray<string>> => [
  [text],
  ...Array.from({ length: text.length - 1 }, (_, i) => [text.slice(0, i + 1), text.slice(i + 1)]),
  units(text)
]

const data = (outcome: Outcome): ReadonlyArray<string> => outcome.frames.map((frame) => frame.data)

interface Line {
  readonly text: string
  readonly offset: number
  readonly terminated: boolean
}

/** What the parser should do, said of the whole text and with no thought of its cost. */
const reference = (text: string, limit: number): Outcome => {
  const bom = text.startsWith("\uFEFF") ? 1 : 0
  const lines = Array.from(text.slice(bom).matchAll(/([^\r\n]*)(\r\n|\r|\n|$)/g), (match): Line => {
    return { text: match[1]!, offset: bom + match.index, terminated: match[2] !== "" }
  })
  const frames: Array<SseFrame> = []
  let retry: number | undefined
  let id = ""
  let block: Array<Line> = []

  const field = (line: Line): readonly [name: string, value: string] => {
    const match = /^([^:]*)(?:: ?(.*))?$/s.exec(line.text)!
    return [match[1]!, match[2] ?? ""]
  }
  const isOwn = (line: Line): boolean => ["data", "event", "id"].includes(field(line)[0])
  const event = (): SseEvent | undefined => {
    const values = (name: string) => block.filter((line) => field(line)[0] === name).map((line) => field(line)[1])
    if (values("data").length === 0) return undefined
    const offset = block.find(isOwn)!.offset
    return { event: values("event").at(-1) || "message", data: values("data").join("\n"), id, offset }
  }

  for (const line of lines) {
    if (line.terminated && line.text === "") {
      const dispatched = event()
      if (dispatched !== undefined) frames.push(dispatched)
      block = []
      continue
    }
    const first = block.findIndex(isOwn)
    const held = first === -1 ? [] : block.slice(first)
    if ([...held, line].reduce((size, _) => size + _.text.length, 0) > limit) {
      return { frames, overflow: true, pending: undefined, retry }
    }
    const [name, value] = field(line)
    if (name === "id" && !value.includes("\0")) id = value
    if (name === "retry" && /^\d+$/.test(value)) retry = parseInt(value, 10)
    if (line.text.startsWith(":") && line.terminated) frames.push(comment)
    block.push(line)
  }
  return { frames, overflow: false, pending: event(), retry }
}

/** One of some values, each as likely as the others: a value named twice comes twice as often. */
const oneOf = <A>(...values: ReadonlyArray<A>): Arbitrary.Arbitrary<A> =>
  Arbitrary.map(Arbitrary.schema(Schema.Literals([...values.keys()])), (index) => values[index]!)

const lineEnds = ["\r", "\n", "\n", "\n", "\r\n", "\r\n", "\n\n", "\n\n", "\r\r", "\r\n\r\n"]
const words = ["data: ", "data:", "data", "event: ", "event:", "event", "id: ", "id", "retry: ", ":", ": ", " "]
const values = ["x", "12", "\0", "\uFEFF", "é", "流れ", "😀", "\ud83d", '{"a":1}', "0123456789abcdef"]
const lines = ["event: ping\n", "id: 7\n", "id: 8\0\n", "retry: 5\n", ": alive\n\n", ":\r\n", "unknown: 1\n", "datax\n"]
const events = [
  "data: a\n\n",
  "data: 0123456789\r\n\r\n",
  "data: b\r\r",
  "event: e\ndata: c\n\n",
  "data: d\ndata: e\n",
  "data: 流れ",
  "data: "
]
const input = {
  bom: oneOf("", "", "\uFEFF", "\uFEFF\uFEFF"),
  fragments: Arbitrary.array(oneOf(...lineEnds, ...lineEnds, ...words, ...values, ...lines, ...events), {
    maxLength: 40
  }),
  sizes: Arbitrary.array(oneOf(0, 1, 1, 1, 2, 3, 5, 8, 30), { minLength: 1 }),
  limit: oneOf(8, 10, 16, 20, 24, 32, 40, 64, 128, Infinity, Infinity, Infinity)
}
const textOf = (generated: { readonly bom: string; readonly fragments: ReadonlyArray<string> }): string =>
  generated.bom + generated.fragments.join("")

const cut = (text: string, sizes: ReadonlyArray<number>): ReadonlyArray<string> => {
  // Cuts of 0 alone would never come to an end.
  const cycle = [...sizes, 1]
  const chunks: Array<string> = []
  for (let at = 0, i = 0; at < text.length; at += cycle[i++ % cycle.length]!) {
    chunks.push(text.slice(at, at + cycle[i % cycle.length]!))
  }
  return chunks
}

describe("oracle", () => {
  it.prop(
    "any chunks of any text give what the whole-text reference gives",
    input,
    ({ limit, sizes, ...generated }) => {
      const text = textOf(generated)
      const expected = reference(text, limit)
      for (const chunks of [[text], units(text), cut(text, sizes)]) {
        assert.strictEqual(chunks.join(""), text)
        assert.deepStrictEqual(parse(chunks, limit), expected)
      }
    },
    { arbitrary: { runs: 2000, size: 40 } }
  )

  it.effect("the generated texts are varied", () =>
    Effect.gen(function* () {
      const samples = yield* Arbitrary.sampleEffect(Arbitrary.all(input), { count: 1000, size: 40 })
      const outcomes = samples.map((sample) => reference(textOf(sample), sample.limit))
      const count = (predicate: (outcome: Outcome) => boolean): number => outcomes.filter(predicate).length
      const some = (predicate: (frame: SseFrame) => boolean) =>
        count((outcome) => outcome.frames.some((frame) => frame !== comment && predicate(frame)))
      const counts = {
        overflow: count((_) => _.overflow),
        overflowAfterEvents: count((_) => _.overflow && _.frames.some((frame) => frame !== comment)),
        complete: count((_) => !_.overflow && _.frames.length > 2),
        pending: count((_) => _.pending !== undefined),
        retry: count((_) => _.retry !== undefined),
        comments: count((_) => _.frames.includes(comment)),
        named: some((_) => _.event !== "message"),
        identified: some((_) => _.id !== ""),
        multiline: some((_) => _.data.includes("\n")),
        empty: some((_) => _.data === ""),
        unicode: some((_) => /[^\0-\xff]/.test(_.data)),
        crlf: samples.filter((_) => textOf(_).includes("\r\n")).length,
        cr: samples.filter((_) => /\r(?!\n)/.test(textOf(_))).length,
        bom: samples.filter((_) => _.bom !== "").length
      }
      for (const [name, value] of Object.entries(counts)) assert.isAbove(value, 30, name)
    })
  )
})

interface Case {
  readonly name: string
  readonly chunks: ReadonlyArray<string>
  readonly expected: ReadonlyArray<{ readonly event: string; readonly data: string; readonly id: string }>
  readonly retry?: number | null
}

describe("conformance", () => {
  const url = new URL("../../../shared/sse-cases.json", import.meta.url)
  if (!existsSync(url)) {
    it.skip("SKIPPED: the 83 cases, for want of ../shared/sse-cases.json", () => {})
    return
  }
  const cases: ReadonlyArray<Case> = JSON.parse(readFileSync(url, "utf8"))

  it("there are 83 cases", () => {
    assert.strictEqual(cases.length, 83)
  })

  function* decode(chunks: Iterable<Uint8Array>): Iterable<string> {
    const decoder = new TextDecoder("utf-8", { ignoreBOM: true })
    for (const chunk of chunks) yield decoder.decode(chunk, { stream: true })
    yield decoder.decode()
  }
  function* bytesOf(chunks: Iterable<Uint8Array>): Iterable<Uint8Array> {
    for (const chunk of chunks) for (let i = 0; i < chunk.length; i++) yield chunk.subarray(i, i + 1)
  }

  it.for(cases)("$name", (case_) => {
    const chunks = case_.chunks.map((chunk) => Buffer.from(chunk, "base64"))
    for (const split of [chunks, bytesOf(chunks)]) {
      const outcome = parse(decode(split), 16 * 1024 * 1024)
      const events = outcome.frames.filter((frame) => frame !== comment).map(({ offset: _, ...event }) => event)
      assert.deepStrictEqual(events, case_.expected)
      assert.isFalse(outcome.overflow)
      if (case_.retry !== undefined) assert.strictEqual(outcome.retry ?? null, case_.retry)
    }
  })
})

describe("frames", () => {
  it("comments come in order among the events, one for each comment line", () => {
    const text = ": hi\n\ndata: a\n\n:\n: b\ndata: c\n:in\ndata: d\n\n: cut"
    for (const chunks of splits(text)) {
      const { frames } = parse(chunks)
      assert.deepStrictEqual(
        frames.map((frame) => (frame === comment ? "comment" : frame.data)),
        ["comment", "a", "comment", "comment", "comment", "c\nd"]
      )
    }
  })

  it("no event has the marker's empty name", () => {
    const { frames } = parse(["event:\ndata\n\nevent: \ndata\n\ndata\n\n"])
    assert.deepStrictEqual(
      frames.map((frame) => frame.event),
      ["message", "message", "message"]
    )
  })

  it("the marker that all streams share cannot be changed", () => {
    assert.isTrue(Object.isFrozen(comment))
  })

  it("an offset points at the event's first line of its own in the text as it was fed", () => {
    const text = "\uFEFF: c\r\n\r\nretry: 1\nunknown\n:\nevent: e\r\ndata: a\r\n\r\n😀\ndata: b\n\nid: 1\n\ndata: c\n\n"
    for (const chunks of splits(text)) {
      const events = parse(chunks).frames.filter((frame) => frame !== comment)
      assert.deepStrictEqual(
        events.map((event) => event.offset),
        [text.indexOf("event: e"), text.indexOf("data: b"), text.indexOf("data: c")]
      )
    }
  })

  it("an empty chunk at the start does not use up the byte order mark", () => {
    assert.deepStrictEqual(data(parse(["", "\uFEFF", "data: a\n\n"])), ["a"])
  })

  it("an empty chunk between CR and LF does not make two line ends of them", () => {
    assert.deepStrictEqual(data(parse(["data: a\r", "", "\ndata: b\r\n\r\n"])), ["a\nb"])
  })

  it("a retry field is kept and disturbs nothing", () => {
    for (const chunks of splits("retry: 10\n\ndata: a\nretry: 20\n\nretry: x\ndata: b\n\n")) {
      const outcome = parse(chunks)
      assert.deepStrictEqual(data(outcome), ["a", "b"])
      assert.strictEqual(outcome.retry, 20)
      assert.isFalse(outcome.overflow)
    }
    assert.isUndefined(parse(["data: a\n\n"]).retry)
  })
})

describe("end", () => {
  const pending = (text: string): ReadonlyArray<SseEvent | undefined> =>
    splits(text).map((chunks) => parse(chunks).pending)
  const each = (text: string, expected: Partial<SseEvent> | undefined): void => {
    for (const actual of pending(text)) {
      if (expected === undefined) assert.isUndefined(actual)
      else assert.deepInclude(actual, expected)
    }
  }

  it("returns the event whose blank line is missing", () => {
    each("data: a\n\nevent: e\nid: 1\ndata: b\ndata: c\n", { event: "e", data: "b\nc", id: "1", offset: 9 })
    each("data: b\r\n", { event: "message", data: "b" })
    each("data: b\r", { event: "message", data: "b" })
  })

  it("counts an unterminated last line as a line", () => {
    each("data: a\n\ndata: b", { data: "b", offset: 9 })
    each("data: b\ndata: c", { data: "b\nc" })
    each("data: b\ndata", { data: "b\n" })
    each("data: b\n: c", { data: "b" })
  })

  it("returns nothing when no data is pending", () => {
    for (const text of ["data: a\n\n", "data: a\r\n\r", ": c", "event: e\nid: 1\n", "dat", "\uFEFF"])
      each(text, undefined)
    assert.isUndefined(parse([]).pending)
  })
})

describe("limit", () => {
  // Texts whose last event has the size that is given, with what comes before it.
  const texts: ReadonlyArray<readonly [name: string, text: string, size: number, before: ReadonlyArray<string>]> = [
    ["one line", "data: 0123456789\n\n", 16, []],
    ["terminators do not count", "data: 01\r\ndata: 23\r\n\r\n", 16, []],
    ["all lines of the event count", "id: 1\nevent: e\ndata: 01234\n\n", 24, []],
    ["a comment inside counts", "data: a\n: 2345\ndata: b\n\n", 20, [""]],
    ["an unknown field inside counts", "data: a\nretry: 1\nfoo: 12\ndata: b\n\n", 29, []],
    ["behind an event and a comment", "data: a\n\n: c\ndata: 0123456789\n\n", 16, ["a", ""]],
    ["behind a byte order mark", "\uFEFFdata: 0123456789\n\n", 16, []],
    ["a line that is no field", "data: a\n\n0123456789\n\n", 10, ["a"]],
    ["a surrogate pair counts as two", "data: 😀\n\n", 8, []]
  ]
  it.for(texts)("passes at the limit and fails above it: %s", ([, text, size, before]) => {
    for (const chunks of splits(text)) {
      const fits = parse(chunks, size)
      assert.isFalse(fits.overflow)
      assert.deepStrictEqual(fits, parse([text]))

      const over = parse(chunks, size - 1)
      assert.isTrue(over.overflow)
      assert.deepStrictEqual(data(over), before)
      assert.isUndefined(over.pending)
    }
  })

  it("lines before an event, and other events, do not count", () => {
    const text = ": 45678\nfoo: 6\n: 45678\ndata: 67\n\n".repeat(100)
    for (const chunks of [[text], units(text)]) {
      const outcome = parse(chunks, 8)
      assert.isFalse(outcome.overflow)
      assert.strictEqual(outcome.frames.filter((frame) => frame !== comment).length, 100)
    }
  })

  it.for(["data: ", ": ", "", "id: ", "event: ", "x: ", "data: a\n: ", "data: a\n"])(
    "an endless line that begins with %j fails at the first unit too many",
    (start) => {
      const limit = 10_000
      for (const size of [1, 7, 300]) {
        const parser = make({ maxEventSize: limit })
        const out: Array<SseFrame> = []
        let fed = start.replaceAll("\n", "").length
        assert.isTrue(parser.feed(start, out) || start === "")
        while (parser.feed("x".repeat(size), out)) {
          fed += size
          if (fed > limit) assert.fail(`${fed} units are held`)
        }
        assert.isAbove(fed + size, limit)
        assert.deepStrictEqual(out, [])
      }
    }
  )

  it("an endless row of data lines fails", () => {
    const parser = make({ maxEventSize: 10_000 })
    const out: Array<SseFrame> = []
    let lines = 0
    while (parser.feed("data\n", out)) lines++
    assert.strictEqual(lines, 2500)
  })

  it("nothing follows an overflow", () => {
    const parser = make({ maxEventSize: 8 })
    const out: Array<SseFrame> = []
    assert.isFalse(parser.feed("data: a\n\ndata: 0123456789\n\ndata: b\n\n", out))
    assert.isFalse(parser.feed("\n\ndata: c\n\n", out))
    assert.isFalse(parser.feed("", out))
    assert.isUndefined(parser.end())
    assert.deepStrictEqual(
      out.map((frame) => frame.data),
      ["a"]
    )
  })

  it("an impossible limit throws and is named", () => {
    for (const maxEventSize of [0, -1, 1.5, NaN, -Infinity]) {
      assert.throws(() => make({ maxEventSize }), RangeError, /maxEventSize/)
    }
    assert.isFalse(parse(["data: " + "x".repeat(100_000) + "\n\n"], Infinity).overflow)
  })
})

// These take seconds to minutes where the work is not linear, and run into the test's timeout.
describe("long inputs", () => {
  const value = Array.from({ length: 200_000 }, (_, i) => `流${i}`).join(",")

  it.for([1, 3, 64, 70, 4096])("a long line in chunks of %i units arrives whole", (size) => {
    const text = `event: long\r\ndata: ${value}\r\n\r\ndata: next\n\n`
    const chunks: Array<string> = []
    for (let at = 0; at < text.length; at += size) chunks.push(text.slice(at, at + size))
    const { frames, overflow } = parse(chunks, 2_000_000)
    assert.isFalse(overflow)
    assert.strictEqual(frames.length, 2)
    assert.isTrue(frames[0]!.data === value)
    assert.strictEqual(frames[0]!.event, "long")
    assert.strictEqual(frames[1]!.offset, text.indexOf("data: next"))
  })

  it("a long line in chunks of mixed sizes arrives whole", () => {
    const chunks: Array<string> = ["data: "]
    for (let at = 0, size = 1; at < value.length; at += size) {
      size = at % 7 === 0 ? 500 : (at % 3) + 1
      chunks.push(value.slice(at, at + size))
    }
    const { frames } = parse([...chunks, "\n", "\n"], 2_000_000)
    assert.isTrue(frames[0]!.data === value)
  })

  it.for(["\n", "\r", "\r\n"])("a long chunk with line ends %j is parsed", (eol) => {
    const { frames } = parse([`data: a${eol}${eol}`.repeat(200_000)])
    assert.strictEqual(frames.length, 200_000)
    assert.isTrue(frames.every((frame) => frame.data === "a"))
  })
})
