import { assert, describe, it } from "@effect/vitest"
import { readdirSync, readFileSync } from "node:fs"
import * as JsonStreamParser from "../../src/json/JsonStreamParser.ts"
import { show } from "../internal/jsonOracle.ts"
import { cut, dice, mixed, seeds } from "../internal/jsonTexts.ts"
import { reasonOf } from "../support/run.ts"
import { describeShared } from "../support/shared.ts"

const feed = (chunks: Iterable<string>, options?: JsonStreamParser.Options): JsonStreamParser.JsonStreamParser => {
  const parser = JsonStreamParser.make(options)
  for (const chunk of chunks) parser.feed(chunk)
  return parser
}

const ended = (chunks: Iterable<string>, options?: JsonStreamParser.Options): JsonStreamParser.JsonStreamParser => {
  const parser = feed(chunks, options)
  parser.end()
  return parser
}

describe("values", () => {
  it("are found where they are, in order, and given once", () => {
    const parser = JsonStreamParser.make()
    parser.feed('Two: {"a": 1} and {"a"')
    assert.isTrue(parser.hasCompleteValues)
    assert.deepStrictEqual(parser.takeValues(), [{ a: 1 }])
    assert.isFalse(parser.hasCompleteValues)
    assert.deepStrictEqual(parser.takeValues(), [])
    parser.feed(': 2}[{"b": 3}]')
    assert.deepStrictEqual(parser.takeValues(), [{ a: 2 }, [{ b: 3 }]])
  })

  it("are not made of citations, check boxes and braces in prose", () => {
    const prose = "See [1] and [2, 3].\n- [ ] do {this}\n- [x] f(a[0]) { return }\n"
    assert.deepStrictEqual(feed([prose, '{"a": [1]}', prose]).takeValues(), [{ a: [1] }])
    assert.deepStrictEqual(feed([prose, "[1, 2]"], { roots: "arrays" }).takeValues(), [[1], [2, 3], [], [0], [1, 2]])
    assert.deepStrictEqual(feed([prose, "```json\n[1]\n```"], { roots: "fenced" }).takeValues(), [[1]])
  })

  it("are lost where they are broken, from the first character that is wrong", () => {
    assert.deepStrictEqual(feed(['[1, see {"a":1}]']).takeValues(), [{ a: 1 }])
    assert.deepStrictEqual(feed(['{"a":[1,2] oops}']).takeValues(), [])
  })

  it("have the keys that the text says", () => {
    const [value] = feed(['{"__proto__": {"x": 1}, "\\\\": 0, "\\"": 1, "a": 1, "a": 2}']).takeValues()
    assert.strictEqual(show(value), '{"__proto__":{"x":1},"\\\\":0,"\\"":1,"a":2}')
  })
})

describe("the open value", () => {
  it("shows strings half, and all else whole", () => {
    const parser = JsonStreamParser.make()
    const seen = Array.from('{"a":"é\\u00e9","b":-1.5,"c":[tru', (unit) => {
      parser.feed(unit)
      return show(parser.partialUnsafe)
    })
    assert.deepStrictEqual(
      [...new Set(seen)],
      ["{}", '{"a":""}', '{"a":"é"}', '{"a":"éé"}', '{"a":"éé","b":-1.5}', '{"a":"éé","b":-1.5,"c":[]}']
    )
  })

  it("is live in `partialUnsafe`, and stays as it is in `snapshot`", () => {
    const parser = feed(['{"a": [1, 2'])
    const live = parser.partialUnsafe
    const snapshot = parser.snapshot()
    parser.feed(', 3], "b": "x')
    assert.strictEqual(parser.partialUnsafe, live)
    assert.deepStrictEqual(snapshot, { a: [1] })
    assert.deepStrictEqual(live, { a: [1, 2, 3], b: "x" })
    const later = parser.snapshot() as { readonly a: unknown }
    parser.feed("y")
    assert.strictEqual((parser.snapshot() as { readonly a: unknown }).a, later.a)
    assert.strictEqual(parser.snapshot(), parser.snapshot())
  })

  it("knows what of it is whole", () => {
    const parser = feed(['{"title": "Dump'])
    assert.isFalse(parser.isComplete(["title"]))
    parser.feed('lings"')
    assert.isTrue(parser.isComplete(["title"]))
    assert.isFalse(parser.isComplete([]))
    assert.isFalse(parser.isComplete(["serves"]))
    parser.feed(', "steps": [{"n": 1}, {"n": 2')
    assert.isTrue(parser.isComplete(["steps", 0]))
    assert.isFalse(parser.isComplete(["steps", 1]))
    parser.feed("}]}")
    assert.isTrue(parser.isComplete([]))
  })
})

describe("errors", () => {
  it("stop the parser, and leave what was found before", () => {
    const parser = feed(['{"a": 1} {"b": [2, oops', '{"c": 3}'], { onMalformed: "fail" })
    const reason = reasonOf(parser.error, "InvalidJson")
    assert.deepStrictEqual(reason, {
      _tag: "InvalidJson",
      offset: 19,
      path: ["b", 1],
      issue: "expected a value"
    })
    assert.strictEqual(parser.error, parser.error)
    assert.deepStrictEqual(parser.takeValues(), [{ a: 1 }])
    assert.deepStrictEqual(parser.partialUnsafe, { b: [2] })
  })

  it("name a limit that is passed by one", () => {
    const deep = (levels: number) => `${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`
    assert.isUndefined(feed([deep(1_000)]).error)
    assert.deepStrictEqual(reasonOf(feed([deep(1_001)]).error, "BudgetExceeded"), {
      _tag: "BudgetExceeded",
      limit: 1_000,
      unit: "levels of JSON nesting"
    })
    assert.isUndefined(feed(['{"a":"1234"}'], { maxSize: 12 }).error)
    const tooLong = feed(['{"a":"12345"}'], { maxSize: 12 })
    assert.deepStrictEqual(reasonOf(tooLong.error, "BufferOverflow"), { _tag: "BufferOverflow", limit: 12, size: 13 })
    assert.deepStrictEqual(tooLong.partialUnsafe, { a: "12345" })
  })

  it("say that a document stops too early only at its end, and only in strict mode", () => {
    for (const text of ["", " ", "{", '{"a"', "[1", "-", "1e", "tru", '"a']) {
      const parser = feed([text], { strict: true })
      assert.isUndefined(parser.error, text)
      parser.end()
      assert.strictEqual(reasonOf(parser.error, "Truncated").expected, "the end of the JSON document")
      assert.isUndefined(ended([text]).error, text)
    }
    assert.deepStrictEqual(ended(["{}", ' "'], { strict: true }).error?.reason, {
      _tag: "InvalidJson",
      offset: 3,
      path: [],
      issue: "text behind the document"
    })
  })

  it("of options are thrown", () => {
    for (const options of [{ maxDepth: 0 }, { maxDepth: 1.5 }, { maxSize: -1 }, { maxSize: Number.NaN }]) {
      assert.throws(() => JsonStreamParser.make(options), RangeError, Object.keys(options)[0]!)
    }
    assert.isUndefined(feed(["{}"], { maxDepth: Infinity, maxSize: Infinity }).error)
  })
})

describe("reset", () => {
  it("forgets everything, an error too", () => {
    const parser = feed(['{"a": 1}', '{"b'], { onMalformed: "fail" })
    parser.reset()
    assert.isFalse(parser.hasCompleteValues)
    assert.isUndefined(parser.partialUnsafe)
    assert.isFalse(parser.isComplete([]))
    parser.feed("{,")
    parser.end()
    assert.isDefined(parser.error)
    parser.reset()
    assert.isUndefined(parser.error)
    parser.feed("{}")
    assert.deepStrictEqual(parser.takeValues(), [{}])
  })
})

describe("a text that is cut off", () => {
  const text = '{"a": "\\u00e9\\n", "b": [1, -2.5e3, true, null, {"c": ""}]} '

  it("gives nothing that is not in it", () => {
    for (let length = 0; length < text.length - 1; length++) {
      const parser = ended([text.slice(0, length)])
      assert.deepStrictEqual(parser.takeValues(), [])
      assert.isUndefined(parser.error)
      const whole = ended([text.slice(0, length)], { strict: true })
      assert.strictEqual(whole.error?.reason._tag, "Truncated")
      assert.strictEqual(show(whole.partialUnsafe), show(parser.partialUnsafe))
    }
  })

  it.prop("is read the same however its chunks are", [seeds], ([seed]) => {
    const roll = dice(seed)
    const text = mixed(roll)
    const outcome = (parser: JsonStreamParser.JsonStreamParser) => [
      parser.takeValues().map(show),
      show(parser.snapshot()),
      parser.error?.message
    ]
    assert.deepStrictEqual(outcome(ended(cut(roll, text))), outcome(ended([text])))
  })
})

describeShared("JSONTestSuite", "json-test-suite", () => {
  const directory = `${import.meta.dirname}/../../../shared/json-test-suite`
  const read = (chunks: Iterable<string>): string => {
    const parser = ended(chunks, { strict: true })
    return parser.error === undefined ? show(parser.takeValues()[0]) : "refused"
  }

  it("is refused and accepted as it says, whole and one character at a time", () => {
    for (const name of readdirSync(directory)) {
      if (!/^[yn]_.*\.json$/.test(name)) continue
      const text = readFileSync(`${directory}/${name}`, "utf8")
      assert.strictEqual(read([text]) === "refused", name.startsWith("n_"), name)
      assert.strictEqual(read(text.split("")), read([text]), name)
    }
  })
})
