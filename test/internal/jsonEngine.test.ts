import { assert, describe, it } from "@effect/vitest"
import { JsonEngine } from "../../src/internal/jsonEngine.ts"
import type { Json, JsonEngineOptions, JsonPath } from "../../src/internal/jsonModel.ts"
import { expected, show } from "./jsonOracle.ts"
import { child, faultOf, type Outcome, outcome, partials, run, strict, values } from "./jsonRuns.ts"

describe("values in text", () => {
  it("finds objects and arrays between prose, in order", () => {
    assert.deepStrictEqual(values('Sure: {"a":1} and ["x"], then {"b":[2]}{}.'), [
      '{"a":1}',
      '["x"]',
      '{"b":[2]}',
      "{}"
    ])
  })

  it("takes no citation, check box, link or bracketed word for a value", () => {
    assert.deepStrictEqual(values("see [1], [2, 3]; - [ ] do, - [x] done, [a](b), [true], [null, 1], []"), [])
  })

  it("takes an array for a value from its first object, array or string on", () => {
    assert.deepStrictEqual(values('[1,{"a":2}] [1,[]] [1,""] [1,2]'), ['[1,{"a":2}]', "[1,[]]", '[1,""]'])
    assert.deepStrictEqual(partials(["[1", ", 2", ",", ' "', "x", '"', "]"]), [
      "nothing",
      "nothing",
      "nothing",
      '[1,2,""]',
      '[1,2,"x"]',
      '[1,2,"x"]',
      "nothing"
    ])
  })

  it("keeps to the roots that are asked for, and looks for none inside the others", () => {
    const text = '[1] [] {"a":[{"b":"[2]"}]} [{"c":3}] [4,'
    assert.deepStrictEqual(values(text, { roots: "all" }), ["[1]", "[]", '{"a":[{"b":"[2]"}]}', '[{"c":3}]'])
    assert.deepStrictEqual(values(text, { roots: "objects" }), ['{"a":[{"b":"[2]"}]}'])
    assert.deepStrictEqual(values(text, { roots: "arrays" }), ["[1]", "[]", '[{"c":3}]'])
    assert.strictEqual(run([text], { roots: "arrays" }).partial, "[4]")
    assert.strictEqual(run([text], { roots: "objects" }).partial, "nothing")
  })

  it("drops a false start at its first illegal character and goes on at that character", () => {
    assert.deepStrictEqual(values('[1, see {"a":1}]'), ['{"a":1}'])
    assert.deepStrictEqual(values('{"a":[1,2] oops}'), [])
    assert.deepStrictEqual(values('{{"a":1}}'), ['{"a":1}'])
    assert.deepStrictEqual(values('{"a"[{"b":1}]'), ['[{"b":1}]'])
    assert.deepStrictEqual(values('{"a":"line\n{"b":1}'), ['{"b":1}'])
    assert.deepStrictEqual(values('function f() { return {"a":tru, "b": {"c":-} } } {"d":1}'), ['{"d":1}'])
  })

  it("lets nothing show of a false start once it is dropped", () => {
    assert.deepStrictEqual(partials(['{"a":"b"', "!", ' {"c":']), ['{"a":"b"}', "nothing", "{}"])
  })

  it("finds values behind braces, quotes and code in prose", () => {
    const code = "function f() { return [x, { y: 1 }] } // it's 5\" wide } ]\n"
    const found = ['{"a":"}"}', '["{"]'] as const
    assert.deepStrictEqual(values(`${code}${found[0]} "{" {name} {{x}} ${code}${found[1]}${code}`), found)
    assert.deepStrictEqual(values(`\`\`\`js\n${code}\`\`\`\n\`\`\`json\n${found[0]}\n\`\`\`\n`), [found[0]])
  })

  it("stops at what is malformed when told to, unless it does not count", () => {
    const options = { onMalformed: "fail" } as const
    const outcome = run(['{"a":1} [see] {"b":[1,"x",tru]} {"c":1}'], options)
    assert.deepStrictEqual(outcome, {
      values: ['{"a":1}'],
      partial: '{"b":[1,"x"]}',
      fault: { _tag: "InvalidJson", offset: 29, path: ["b", 2], issue: "invalid literal" }
    })
  })

  it("says where a fault is: the slot that waits for a value, else the container", () => {
    const at = (text: string) => faultOf2(run([text], { onMalformed: "fail" }))
    assert.deepStrictEqual(at('{"a":{"b" 1}}'), [10, ["a", "b"]])
    assert.deepStrictEqual(at('{"a":{"b":x'), [10, ["a", "b"]])
    assert.deepStrictEqual(at('{"a":{"b":1 x'), [12, ["a"]])
    assert.deepStrictEqual(at('{"a":{x'), [6, ["a"]])
    assert.deepStrictEqual(at('["",1,]'), [6, [2]])
    assert.deepStrictEqual(at('["",1}'), [5, []])
    assert.deepStrictEqual(at('["\u0001'), [2, [0]])
    assert.deepStrictEqual(at('["\\x'), [3, [0]])
    assert.deepStrictEqual(at('{"\\u00g'), [6, []])
    assert.deepStrictEqual(at('["",01'), [5, [1]])
  })

  it("ignores what comes after the end, until it is reset", () => {
    const engine = new JsonEngine()
    engine.feed('{"a":1} {"b":')
    engine.end()
    engine.feed("2}")
    assert.deepStrictEqual(outcome(engine), {
      values: ['{"a":1}'],
      partial: "{}",
      fault: undefined
    })
    engine.reset()
    engine.feed('2} {"c":3}')
    assert.deepStrictEqual(outcome(engine), { values: ['{"c":3}'], partial: "nothing", fault: undefined })
  })

  it("starts anew after a reset, also after a fault", () => {
    const engine = new JsonEngine({ onMalformed: "fail", maxSize: 10 })
    for (const text of ['{"a":x', '{"abcdefghij', '["\ud83d', '["\\ud8', '{"\\u', "[1.", "[tr"]) {
      engine.feed('{"a":1}')
      engine.feed(text)
      engine.reset()
      assert.isUndefined(engine.partialUnsafe)
      assert.isUndefined(engine.snapshot())
      assert.isFalse(engine.isComplete([]))
      engine.feed(" {")
      engine.feed('"b":2}')
      assert.deepStrictEqual(outcome(engine), { values: ['{"b":2}'], partial: "nothing", fault: undefined })
      engine.reset()
      engine.feed("x{?")
      assert.deepStrictEqual(faultOf(engine), ["InvalidJson", 2, []])
      engine.reset()
    }
  })
})

const faultOf2 = ({ fault }: Outcome) => [fault?.offset, fault?.path]

describe("any cut in two, and one code unit at a time,", () => {
  const texts: Record<string, string> = {
    escapes: '{"\\u0061\\n\\"":"\\u00e9\\\\\\/\\b\\f\\n\\r\\t\\uD83D\\uDE00","\\\\":"\\\\\\""}',
    "surrogate pairs": '["😀","\\ud83d😀","\\ud83d\\ud83d\\ude00","\ud83d","\ude00\ud83dx"]',
    numbers: '{"n":[-0,0.5,-1.25e+10,1E-2,1e3,12345678901234567890,0.1234567890123456789]}',
    literals: '[true,false,null,{"t":true},{"f":false},{"n":null}]',
    keys: '{"__proto__":{"a":1},"10":1,"2":2,"":3,"a":1,"a":{"b":2},"a":[3]}',
    space: ' \n{ \t"a"\r\n: [ 1 , { } , [ ] ] }\n ',
    nested: '[[[["x"]]],{"a":{"b":{"c":[{"d":""}]}}}]'
  }
  for (const [name, text] of Object.entries(texts)) {
    it(`give the same: ${name}`, () => {
      const reference = expected(text, strict, true).values.map(show)
      assert.lengthOf(reference, 1)
      for (const options of [strict, {}, { roots: "all" }, { onMalformed: "fail" }] as const) {
        assert.deepStrictEqual(values(text, options), reference)
        for (let at = 0; at <= text.length; at++) {
          const cut = [text.slice(0, at), text.slice(at)]
          assert.deepStrictEqual(run(cut, options), { values: reference, partial: "nothing", fault: undefined })
        }
      }
    })
  }
})

describe("partials", () => {
  it("show strings as they grow, and nothing else before it is whole", () => {
    assert.deepStrictEqual(
      partials(['{"k', 'ey":', "-", "1", ".", "5", "e", "2", ",", '"t":tr', "ue", ',"n":nul', "l}"]),
      [
        "{}",
        "{}",
        "{}",
        "{}",
        "{}",
        "{}",
        "{}",
        "{}",
        '{"key":-150}',
        '{"key":-150}',
        '{"key":-150,"t":true}',
        '{"key":-150,"t":true}',
        "nothing"
      ]
    )
  })

  it("show an escape when it is whole", () => {
    assert.deepStrictEqual(partials(['["a', "\\", "n", "\\u", "00", "e", "9", '"']), [
      '["a"]',
      '["a"]',
      '["a\\n"]',
      '["a\\n"]',
      '["a\\n"]',
      '["a\\n"]',
      '["a\\né"]',
      '["a\\né"]'
    ])
  })

  it("hold back half a surrogate pair until the other half or something else comes", () => {
    const halves = { "\\ud83d": "\\ude00", "\ud83d": "\ude00" }
    for (const [high, low] of Object.entries(halves)) {
      assert.deepStrictEqual(partials(['["a', high, low]), ['["a"]', '["a"]', '["a😀"]'])
      assert.deepStrictEqual(partials(['["a', high, "x"]), ['["a"]', '["a"]', '["a\\ud83dx"]'])
      assert.deepStrictEqual(partials(['["a', high, high, low]), ['["a"]', '["a"]', '["a\\ud83d"]', '["a\\ud83d😀"]'])
      assert.deepStrictEqual(partials(['["a', high, "\\", "n"]).at(-1), '["a\\ud83d\\n"]')
      assert.deepStrictEqual(values(`["a${high}"]`), ['["a\\ud83d"]'])
      assert.strictEqual(run(['["a', high]).partial, '["a"]')
    }
  })

  it("show a repeated key's first value until the second begins to show", () => {
    assert.deepStrictEqual(partials(['{"a":"xyz","b":1', ',"a"', ":", '"', "u", '"', ',"a":7', ',"a":[', "]", "}"]), [
      '{"a":"xyz"}',
      '{"a":"xyz","b":1}',
      '{"a":"xyz","b":1}',
      '{"a":"","b":1}',
      '{"a":"u","b":1}',
      '{"a":"u","b":1}',
      '{"a":"u","b":1}',
      '{"a":[],"b":1}',
      '{"a":[],"b":1}',
      "nothing"
    ])
  })

  it("are one live object", () => {
    const engine = new JsonEngine()
    engine.feed('{"a":[{"b":"x')
    const partial = engine.partialUnsafe
    engine.feed("y")
    assert.strictEqual(engine.partialUnsafe, partial)
    assert.strictEqual(show(partial), '{"a":[{"b":"xy"}]}')
  })

  it("stay readable when the text ends too early, at any place", () => {
    const text = '{"title":"a\\u00e9\\ud83d\\ude00","n":-1.5e3,"list":[{"b":"x\\\\"},true,[null,"y"],{}],"z":{"k":0}}'
    for (let length = 0; length < text.length; length++) {
      const before = text.slice(0, length)
      const reference = show(expected(before).partial)
      assert.deepStrictEqual(run([before]), { values: [], partial: reference, fault: undefined })
      const { fault, partial, values } = run(before.split(""), strict)
      assert.deepStrictEqual([values, partial], [[], reference])
      assert.deepInclude(fault, { _tag: "InvalidJson", offset: length, issue: "unexpected end of text" })
    }
    assert.deepStrictEqual(run([text]).values, [show(JSON.parse(text) as Json)])
  })
})

describe("isComplete", () => {
  const engine = new JsonEngine()
  engine.feed('{"a":{"x":1,"y":"z"},"list":["p",{"q":2},"r')
  const complete = (...path: JsonPath) => engine.isComplete(path)

  it("tells what is whole in the open value", () => {
    assert.isTrue(complete("a"))
    assert.isTrue(complete("a", "x"))
    assert.isTrue(complete("list", 0))
    assert.isTrue(complete("list", 1, "q"))
    assert.isTrue(complete("list", "1", "q"))
  })

  it("does not take for whole what grows, or is not there", () => {
    for (const path of [[], ["list"], ["list", 2], ["list", 2, 0], ["list", 3], ["b"], ["a", "x", "y"], ["a", "z"]]) {
      assert.isFalse(complete(...path), JSON.stringify(path))
    }
    for (const segment of ["length", "01", "-1", "1.5", "", -1, 1.5, Number.NaN])
      assert.isFalse(complete("list", segment))
    for (const name of ["toString", "__proto__", "constructor"]) assert.isFalse(complete("a", name))
  })

  it("does not take a repeated key for whole before its second value is", () => {
    const engine = new JsonEngine()
    engine.feed('{"a":1,"a')
    assert.isTrue(engine.isComplete(["a"]))
    engine.feed('"')
    assert.isFalse(engine.isComplete(["a"]))
    engine.feed(":2,")
    assert.isTrue(engine.isComplete(["a"]))
  })

  it("speaks of the last value when none is open", () => {
    const engine = new JsonEngine()
    assert.isFalse(engine.isComplete([]))
    engine.feed('{"a":[1]} and')
    assert.isTrue(engine.isComplete([]))
    assert.isTrue(engine.isComplete(["a", 0]))
    assert.isFalse(engine.isComplete(["a", 1]))
    engine.feed(" {")
    assert.isFalse(engine.isComplete([]))
  })
})

describe("keys", () => {
  const read = (text: string): Json => {
    const engine = new JsonEngine(strict)
    engine.feed(text)
    return engine.takeValues()[0]!
  }

  it("pollute no prototype", () => {
    const value = read('{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}')
    assert.strictEqual(show(value), '{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}')
    assert.isUndefined(child({}, "polluted"))
    const engine = new JsonEngine()
    engine.feed('{"a":{"__proto__":{"x":["y')
    assert.strictEqual(show(engine.partialUnsafe), '{"a":{"__proto__":{"x":["y"]}}}')
    assert.strictEqual(show(engine.snapshot()), '{"a":{"__proto__":{"x":["y"]}}}')
    engine.feed('z"]}')
    assert.strictEqual(show(engine.snapshot()), '{"a":{"__proto__":{"x":["yz"]}}}')
  })

  it("has `__proto__` as a member like any other in every snapshot, however many members are beside it", () => {
    for (const width of [1, 11, 13, 19, 21, 130]) {
      for (const place of [0, width >> 1, width - 1]) {
        const names = Array.from({ length: width }, (_, index) => (index === place ? "__proto__" : `k${index}`))
        const object = (value: string) => `{${names.map((name) => `"${name}":${value}`).join(",")}}`
        // Wide objects come by other ways when their names are known.
        const text = `[${object("1")},${object('{"x":"y"}')},${object("[2]")}]`
        const engine = new JsonEngine({ strict: true })
        for (const unit of text.match(/.{1,7}/g)!) {
          engine.feed(unit)
          const open = engine.snapshot()
          for (const element of Array.isArray(open) ? open : []) {
            assert.strictEqual(Object.getPrototypeOf(element), Object.prototype)
          }
        }
        engine.end()
        assert.strictEqual(show(engine.takeValues()[0]), text)
      }
    }
  })

  it("are right where Node 24's JSON.parse mistakes one for another", () => {
    assert.strictEqual(show(read('{"h":[],"\\\\":0}')), '{"h":[],"\\\\":0}')
    assert.strictEqual(show(read('{"\\"":1,"\\\\":2,"a\\u0062":3}')), '{"\\"":1,"\\\\":2,"ab":3}')
  })

  it("of all lengths and many kinds are told apart", () => {
    const names = Array.from({ length: 600 }, (_, i) => `${"x".repeat(i % 200)}${i}`)
    const text = `[${[0, 1].map(() => `{${names.map((name, i) => `${JSON.stringify(name)}:${i}`).join(",")}}`).join(",")}]`
    const engine = new JsonEngine(strict)
    for (const chunk of text.match(/.{1,7}/g)!) engine.feed(chunk)
    const both = engine.takeValues()[0] as ReadonlyArray<Json>
    for (const value of both) assert.deepStrictEqual(value, Object.fromEntries(names.map((name, i) => [name, i])))
  })

  it("that begin with one another are told apart", () => {
    const names = Array.from({ length: 2_000 }, (_, i) => `x${i}`)
    const text = `[${names.map((name) => `{"${name}":0},{"x":1}`).join(",")}]`
    const objects = read(text) as ReadonlyArray<Json>
    for (const [i, name] of names.entries()) {
      assert.deepStrictEqual([objects[2 * i], objects[2 * i + 1]], [{ [name]: 0 }, { x: 1 }])
    }
  })

  it("that look like numbers are put where JSON.parse puts them", () => {
    assert.deepStrictEqual(Object.keys(read('{"b":0,"10":1,"2":2,"01":3}') as object), ["2", "10", "b", "01"])
  })
})

describe("every code unit", () => {
  const units = Array.from({ length: 0x10000 }, (_, code) => String.fromCharCode(code))
  const engine = new JsonEngine(strict)
  const read = (text: string): string => {
    engine.reset()
    engine.feed(text.slice(0, 3))
    engine.feed(text.slice(3))
    return engine.fault === undefined ? show(engine.takeValues()[0]) : `fault at ${engine.fault.offset}`
  }

  it("stands for itself in strings and keys, unless it must be escaped", () => {
    for (const unit of units) {
      const isPlain = unit >= " " && unit !== '"' && unit !== "\\"
      if (!isPlain && unit >= " ") continue
      assert.strictEqual(read(`["${unit}"]`), isPlain ? show([unit]) : "fault at 2")
      assert.strictEqual(read(`{"${unit}":0}`), isPlain ? show({ [unit]: 0 }) : "fault at 2")
    }
  })

  it("can be escaped by its number", () => {
    for (const unit of units) {
      const hex = unit.charCodeAt(0).toString(16).padStart(4, "0")
      assert.strictEqual(read(`["\\u${hex}"]`), show([unit]))
      assert.strictEqual(read(`{"\\u${hex.toUpperCase()}":0}`), show({ [unit]: 0 }))
    }
  })

  it("but eight makes no escape behind a backslash, but sixteen no digit, but four no white space", () => {
    const escapes: Partial<Record<string, string>> = {
      '"': '"',
      "\\": "\\",
      "/": "/",
      b: "\b",
      f: "\f",
      n: "\n",
      r: "\r",
      t: "\t"
    }
    for (const unit of units) {
      const escaped = escapes[unit]
      if (unit !== "u")
        assert.strictEqual(read(`["\\${unit}"]`), escaped === undefined ? "fault at 3" : show([escaped]))
      if (!/[\da-f]/i.test(unit)) assert.strictEqual(read(`["\\u00${unit}0"]`), "fault at 6")
      const isSpace = [" ", "\t", "\n", "\r"].includes(unit)
      assert.strictEqual(read(`{"a"${unit}:1}`), isSpace ? '{"a":1}' : `fault at ${unit === ":" ? 5 : 4}`)
      assert.strictEqual(read(`["",[]${unit},0]`), isSpace ? '["",[],0]' : `fault at ${",]".includes(unit) ? 7 : 6}`)
    }
  })
})

describe("strict", () => {
  it("reads a document of any kind", () => {
    for (const text of ["null", " true ", "\n-0\t", '"a\\"b"', "[]", "{}", "[1]", "1e2 "]) {
      assert.deepStrictEqual(values(text, strict), [show(JSON.parse(text) as Json)], text)
    }
  })

  it("gives the document as soon as it is whole, and a number at the end", () => {
    const engine = new JsonEngine(strict)
    engine.feed("[1]")
    assert.deepStrictEqual(engine.takeValues(), [[1]])
    const number = new JsonEngine(strict)
    number.feed("12")
    assert.isFalse(number.hasCompleteValues)
    number.feed("3")
    number.end()
    assert.deepStrictEqual(number.takeValues(), [123])
    assert.isUndefined(number.fault)
  })

  it("shows a document that is a string as it grows", () => {
    assert.deepStrictEqual(partials(['"', "ab", "\\", 'n"'], strict), ['""', '"ab"', '"ab"', "nothing"])
  })

  it("stops at what is no JSON, before, in and behind the document", () => {
    const fault = (text: string) => {
      const { fault } = run([text], strict)
      return fault?._tag === "InvalidJson" ? [fault.offset, fault.path, fault.issue] : fault
    }
    assert.deepStrictEqual(fault("x"), [0, [], "expected a value"])
    assert.deepStrictEqual(fault("[1] x"), [4, [], "text behind the document"])
    assert.deepStrictEqual(fault("[1][2]"), [3, [], "text behind the document"])
    assert.deepStrictEqual(fault("\ufeff{}"), [0, [], "expected a value"])
    assert.deepStrictEqual(fault("\u00a0{}"), [0, [], "expected a value"])
    assert.deepStrictEqual(fault(" "), [1, [], "unexpected end of text"])
    assert.deepStrictEqual(fault('{"a":[1,'), [8, ["a", 1], "unexpected end of text"])
    assert.deepStrictEqual(fault("-"), [1, [], "unexpected end of text"])
    assert.deepStrictEqual(fault('{"a":1'), [6, ["a"], "unexpected end of text"])
  })
})

describe("limits", () => {
  it("of depth hold in every mode: what is at the limit passes, one more fails", () => {
    for (const options of [{}, strict, { roots: "objects" }, { onMalformed: "fail" }, { roots: "fenced" }] as const) {
      const before = options === strict ? "" : "```\n"
      const nested = (depth: number) => `${before}${"[".repeat(depth)}""${"]".repeat(depth)}`
      for (const maxDepth of [1, 5, 1_000]) {
        assert.isUndefined(run([nested(maxDepth)], { ...options, maxDepth }).fault)
        const { fault } = run([nested(maxDepth + 1)], { ...options, maxDepth })
        const path = new Array<number>(maxDepth).fill(0)
        assert.deepStrictEqual(fault, { _tag: "DepthLimit", limit: maxDepth, offset: before.length + maxDepth, path })
      }
    }
    assert.isUndefined(run(["[".repeat(1_000)]).fault)
    assert.strictEqual(run(["[".repeat(1_001)]).fault?._tag, "DepthLimit")
  })

  it("of size hold in every mode, however the text is cut", () => {
    const texts: ReadonlyArray<readonly [string, JsonEngineOptions]> = [
      ['["abc",{"d":1.5}]', {}],
      ['["abc",{"d":1.5}]', strict],
      ["[1,2,3]", {}],
      ["[1,2,3]", { roots: "objects", onMalformed: "fail" }],
      ['"abc"', strict],
      ["12345", strict],
      ["true", strict]
    ]
    for (const [text, options] of texts) {
      const { length } = text
      for (const around of ["", " "]) {
        for (const chunks of [[around, text, around], [around + text + around], (around + text + around).split("")]) {
          assert.isUndefined(run(chunks, { ...options, maxSize: length }).fault, `${text} ${chunks.length}`)
          const { fault } = run(chunks, { ...options, maxSize: length - 1 })
          assert.deepStrictEqual(
            [fault?._tag, fault?.offset],
            ["SizeLimit", around.length + length - 1],
            `${text} ${chunks.length}`
          )
        }
      }
    }
  })

  it("of size let pass what only ends a number of just that size", () => {
    for (const chunks of [["12 "], ["12", " "], ["1", "2 "]]) {
      assert.deepStrictEqual(run(chunks, { strict: true, maxSize: 2 }).values, ["12"])
    }
    for (const text of ["1e ", "1. ", "-1x", "121"]) {
      for (const chunks of [[text], text.split("")]) {
        const { fault } = run(chunks, { strict: true, maxSize: 2 })
        assert.deepStrictEqual([fault?._tag, fault?.offset], ["SizeLimit", 2], text)
      }
    }
  })

  it("of size count one value, not the text", () => {
    const text = ' prose {"a":1}'.repeat(100)
    assert.strictEqual(values(text, { maxSize: 7 }).length, 100)
    assert.deepStrictEqual(values(`${" ".repeat(100)}12${" ".repeat(100)}`, { strict: true, maxSize: 2 }), ["12"])
  })

  it("keep what was found before", () => {
    assert.deepStrictEqual(run(['{"a":1} ["x","yz'], { maxSize: 7 }), {
      values: ['{"a":1}'],
      partial: '["x","y"]',
      fault: { _tag: "SizeLimit", offset: 15, path: [1], limit: 7 }
    })
  })

  it("that cannot be are refused", () => {
    for (const limit of [0, -1, 1.5, Number.NaN]) {
      assert.throws(
        () => new JsonEngine({ maxDepth: limit }),
        `maxDepth must be a positive integer or Infinity, got ${limit}`
      )
      assert.throws(
        () => new JsonEngine({ maxSize: limit }),
        `maxSize must be a positive integer or Infinity, got ${limit}`
      )
    }
  })

  it("may be lifted: 100,000 levels are read, shown and copied without recursion", () => {
    const depth = 100_000
    const engine = new JsonEngine({ maxDepth: Number.POSITIVE_INFINITY })
    for (let i = 0; i < depth; i++) engine.feed('[{"a":')
    const depthOf = (value: Json | undefined): number => {
      let levels = 0
      for (let inner = value; inner !== undefined; levels++) inner = Array.isArray(inner) ? inner[0] : child(inner, "a")
      return levels
    }
    const path = Array.from({ length: 2 * depth }, (_, i) => (i % 2 === 0 ? 0 : "a"))
    assert.strictEqual(depthOf(engine.partialUnsafe), 2 * depth)
    assert.strictEqual(depthOf(engine.snapshot()), 2 * depth)
    assert.isFalse(engine.isComplete(path))
    for (let i = 0; i < depth; i++) engine.feed("1}]".slice(i === 0 ? 0 : 1))
    assert.isTrue(engine.isComplete(path))
    assert.strictEqual(depthOf(engine.takeValues()[0]), 2 * depth + 1)
  })
})

describe("elements", () => {
  const elements = (
    chunks: Iterable<string>,
    pointer: ReadonlyArray<string | null>,
    options: JsonEngineOptions & { readonly detach?: boolean } = {}
  ) => {
    const found: Array<readonly [string, string]> = []
    const { detach, ...rest } = options
    const engine = new JsonEngine({
      ...rest,
      elements: { pointer, detach, onElement: (value) => found.push([engine.path().join("/"), show(value)]) }
    })
    for (const chunk of chunks) {
      engine.feed(chunk)
      void engine.partialUnsafe
    }
    engine.end()
    return { found, ...outcome(engine) }
  }

  it("are handed out as they become whole", () => {
    for (const detach of [false, true]) {
      const text = '{"no":[0],"items":[{"id":1},2,"x",[],null,[[3]]],"more":true}'
      for (const chunks of [[text], text.split("")]) {
        const { fault, found, values } = elements(chunks, ["items"], { detach })
        assert.deepStrictEqual(found, [
          ["items/0", '{"id":1}'],
          ["items/1", "2"],
          ["items/2", '"x"'],
          ["items/3", "[]"],
          ["items/4", "null"],
          ["items/5", "[[3]]"]
        ])
        assert.isUndefined(fault)
        const rest = detach ? "" : '{"id":1},2,"x",[],null,[[3]]'
        assert.deepStrictEqual(values, [`{"no":[0],"items":[${rest}],"more":true}`])
      }
    }
  })

  it("of a root array, and of many arrays by a wildcard", () => {
    assert.deepStrictEqual(elements(['["a",', '{"b":1}] x ["c"]'], []).found, [
      ["0", '"a"'],
      ["1", '{"b":1}'],
      ["0", '"c"']
    ])
    const text = '[{"xs":[1,2]},{"ys":[3],"xs":[[4]]},[5],{"xs":{"0":6}}]'
    assert.deepStrictEqual(elements(text.split(""), [null, "xs"], { detach: true }).found, [
      ["0/xs/0", "1"],
      ["0/xs/1", "2"],
      ["1/xs/0", "[4]"]
    ])
    assert.deepStrictEqual(elements(['{"0":["a"],"1":["b"]} [["c"],["d"]]'], ["1"]).found, [
      ["1/0", '"b"'],
      ["1/0", '"d"']
    ])
  })

  it("of an array that does not count yet wait until it does", () => {
    for (const detach of [false, true]) {
      const found: Array<string> = []
      const engine = new JsonEngine({
        elements: { pointer: [], detach, onElement: (value) => found.push(show(value)) }
      })
      engine.feed("[1, 2] [3, 4,")
      assert.deepStrictEqual(found, [])
      engine.feed(' "')
      assert.deepStrictEqual(found, ["3", "4"])
      engine.feed('x", 5]')
      assert.deepStrictEqual(found, ["3", "4", '"x"', "5"])
      assert.deepStrictEqual(engine.takeValues().map(show), [detach ? "[]" : '[3,4,"x",5]'])
    }
  })

  it("that are taken off do not count against the size, each alone does", () => {
    const item = '{"id":1,"text":"some text"}'
    const chunks = ["[", ...Array.from({ length: 1_000 }, (_, i) => (i === 0 ? item : `, ${item}`)), "]"]
    const maxSize = item.length + 3
    assert.strictEqual(elements(chunks, []).found.length, 1_000)
    assert.isUndefined(elements(chunks, [], { maxSize, detach: true }).fault)
    assert.strictEqual(elements(chunks, [], { maxSize, detach: true }).found.length, 1_000)
    assert.strictEqual(elements(chunks, [], { maxSize }).fault?._tag, "SizeLimit")
    const long = `[${item},"${"x".repeat(maxSize)}"]`
    for (const pieces of [[long], long.split("")]) {
      const { fault, found } = elements(pieces, [], { maxSize, detach: true })
      // What is let off: all between the bracket and the end of the first element.
      assert.deepStrictEqual([found.length, fault?._tag, fault?.offset], [1, "SizeLimit", item.length + maxSize])
    }
    const third = `[${item},${item}${long.slice(1 + item.length)}`
    for (const pieces of [[third], third.split("")]) {
      const { fault, found } = elements(pieces, [], { maxSize, detach: true })
      assert.deepStrictEqual([found.length, fault?.offset], [2, 2 * item.length + 1 + maxSize])
    }
  })

  it("that are taken off leave later arrays alone", () => {
    const engine = new JsonEngine({ elements: { pointer: ["a"], detach: true, onElement: () => {} } })
    engine.feed('{"a":[1,2],"b":[3,')
    assert.isTrue(engine.isComplete(["b", 0]))
    assert.strictEqual(show(engine.partialUnsafe), '{"a":[],"b":[3]}')
    engine.feed('4]} {"b":[5,{"c":6},')
    assert.isTrue(engine.isComplete(["b", 1, "c"]))
    assert.deepStrictEqual(engine.takeValues().map(show), ['{"a":[],"b":[3,4]}'])
  })

  it("keep their indices when they are taken off", () => {
    const engine = new JsonEngine({ elements: { pointer: [], detach: true, onElement: () => {} }, onMalformed: "fail" })
    engine.feed('[{"a":1},{"b":2},{"c":"x')
    assert.strictEqual(show(engine.partialUnsafe), '[{"c":"x"}]')
    assert.strictEqual(show(engine.snapshot()), '[{"c":"x"}]')
    assert.isFalse(engine.isComplete([2, "c"]))
    assert.isFalse(engine.isComplete([0, "c"]))
    engine.feed('","d":y')
    assert.deepStrictEqual(faultOf(engine), ["InvalidJson", 30, [2, "d"]])
  })
})

describe("snapshots", () => {
  it("show no element that was taken off, and do not keep it in the value", () => {
    const engine = new JsonEngine({ elements: { pointer: [], detach: true, onElement: () => {} } })
    engine.feed('[{"a":1')
    engine.feed(" ")
    engine.feed(',"b":2')
    engine.feed(" ")
    assert.strictEqual(show(engine.snapshot()), '[{"a":1,"b":2}]')
    engine.feed("}")
    assert.strictEqual(show(engine.snapshot()), "[]")
    assert.strictEqual(show(engine.partialUnsafe), "[]")
    engine.feed("]")
    assert.deepStrictEqual(engine.takeValues(), [[]])
  })

  it("are told apart by the count of changes, also when there is none left", () => {
    for (const text of ["!", "1}", '"b"}']) {
      const engine = new JsonEngine()
      engine.feed('{"a":')
      assert.strictEqual(show(engine.snapshot()), "{}")
      const { changes } = engine
      engine.feed(" ")
      assert.strictEqual(engine.changes, changes)
      engine.feed(text)
      assert.isUndefined(engine.snapshot())
      assert.isAbove(engine.changes, changes)
    }
    const engine = new JsonEngine()
    engine.feed("{")
    const { changes } = engine
    engine.reset()
    assert.isAbove(engine.changes, changes)
  })

  it("are one object as long as nothing visible changes", () => {
    const engine = new JsonEngine()
    engine.feed('{"a":["x')
    const snapshot = engine.snapshot()
    for (const chunk of ['"', " ", ",", " 1", "2"]) {
      engine.feed(chunk)
      assert.strictEqual(engine.snapshot(), snapshot)
    }
    engine.feed("]")
    assert.notStrictEqual(engine.snapshot(), snapshot)
    assert.strictEqual(show(engine.snapshot()), '{"a":["x",12]}')
  })

  it("share what is whole with each other and with the value", () => {
    const engine = new JsonEngine()
    engine.feed('{"done":{"a":[1]},"open":["x')
    const first = engine.snapshot()
    engine.feed('y"],')
    const second = engine.snapshot()
    engine.feed('"last":{"b":2}')
    const third = engine.snapshot()
    engine.feed("}")
    const value = engine.takeValues()[0]
    assert.strictEqual(child(first, "done"), child(second, "done"))
    assert.notStrictEqual(child(first, "open"), child(second, "open"))
    assert.strictEqual(child(second, "open"), child(third, "open"))
    assert.strictEqual(value, third)
  })

  it("cost the slots of the open containers", () => {
    const engine = new JsonEngine({ roots: "all" })
    engine.feed(`[${"0,".repeat(1_000)}{"a":[1,2,3],"b":["x`)
    engine.snapshot()
    assert.strictEqual(engine.snapshotCost, 1_001 + 2 + 1)
  })
})
