import { assert, describe, it } from "@effect/vitest"
import { JsonEngine } from "../../src/internal/jsonEngine.ts"
import type { Json, JsonEngineOptions, JsonListener, JsonPath } from "../../src/internal/jsonModel.ts"
import { expected, show } from "./jsonOracle.ts"
import { container, cut, dice, json, mixed, seeds } from "./jsonTexts.ts"

const runs = (runs: number) => ({ arbitrary: { runs } })

interface Outcome {
  readonly values: ReadonlyArray<string>
  readonly partial: string
  readonly fault: JsonEngine["fault"]
}

const outcome = (engine: JsonEngine): Outcome => ({
  values: engine.takeValues().map(show),
  partial: show(engine.partialUnsafe),
  fault: engine.fault
})

const run = (chunks: Iterable<string>, options?: JsonEngineOptions): Outcome => {
  const engine = new JsonEngine(options)
  for (const chunk of chunks) engine.feed(chunk)
  engine.end()
  return outcome(engine)
}

/** The values, as JSON. */
const values = (text: string, options?: JsonEngineOptions): ReadonlyArray<string> => {
  const whole = run([text], options)
  assert.deepStrictEqual(run(text.split(""), options), whole)
  return whole.values
}

/** The partial after each chunk. */
const partials = (chunks: ReadonlyArray<string>, options?: JsonEngineOptions): ReadonlyArray<string> => {
  const engine = new JsonEngine(options)
  return chunks.map((chunk) => {
    engine.feed(chunk)
    return show(engine.partialUnsafe)
  })
}

const faultOf = (engine: JsonEngine): readonly [string, number, JsonPath] | undefined =>
  engine.fault === undefined ? undefined : [engine.fault._tag, engine.fault.offset, engine.fault.path]

const strict = { strict: true }

/** Options that the laws are tried with. */
const optionsOf = (roll: ReturnType<typeof dice>): JsonEngineOptions => {
  const limits: JsonEngineOptions = roll(3) > 0 ? {} : { maxDepth: 1 + roll(4), maxSize: 1 + roll(60) }
  return {
    ...limits,
    strict: roll(4) === 0,
    roots: ([undefined, undefined, "objects", "arrays", "all"] as const)[roll(5)],
    onMalformed: ([undefined, "skip", "fail"] as const)[roll(3)]
  }
}

/** A text that suits the options. */
const textOf = (roll: ReturnType<typeof dice>, options: JsonEngineOptions, repeats = true): string =>
  options.strict === true && roll(3) > 0
    ? `${" ".repeat(roll(2))}${json(roll, { depth: 3, repeats })}`
    : mixed(roll, repeats)

describe("generated texts", () => {
  it("are varied", () => {
    const seen: Record<string, number> = {}
    const count = (name: string, is: boolean) => (seen[name] = (seen[name] ?? 0) + (is ? 1 : 0))
    for (let seed = 0; seed < 400; seed++) {
      const roll = dice(seed)
      const text = mixed(roll)
      const { partial, values } = expected(text)
      const shown = values.map(show).join()
      count("no value", values.length === 0)
      count("several values", values.length > 1)
      count("ends inside a value", partial !== undefined)
      count("false start", expected(text, { onMalformed: "fail" }).fault !== undefined)
      count("hidden arrays", expected(text, { roots: "all" }).values.length > values.length)
      count("__proto__", shown.includes("__proto__"))
      count(
        "repeated key",
        values.some((value) => show(value).length > 0) && text.includes('"a"') && /"a".*"a"/s.test(text)
      )
      count("nested thrice", /[[{].*[[{].*[[{]/s.test(shown))
      count("escapes in keys", /"[^"]*\\[^"]*"\s*:/.test(text))
      count("\\u", text.includes("\\u"))
      count("surrogate pair", /[\ud800-\udbff][\udc00-\udfff]/.test(shown))
      count("lone surrogate", /\\ud[89a-f]/i.test(shown))
      count("long key", shown.includes("k".repeat(70)))
      count("depth limit", expected(text, { maxDepth: 2 }).fault?.[0] === "DepthLimit")
      count("size limit", expected(text, { maxSize: 40 }).fault?.[0] === "SizeLimit")
      count("strict and right", expected(json(roll, { depth: 3 }), strict, true).fault === undefined)
    }
    for (const [name, times] of Object.entries(seen)) assert.isAtLeast(times, 8, `${name}: ${times} of 400`)
  })
})

describe("laws", () => {
  it.prop(
    "values, partial and fault are those of the reference, however the text is cut",
    [seeds],
    ([seed]) => {
      const roll = dice(seed)
      const options = optionsOf(roll)
      const text = textOf(roll, options)
      const reference = expected(text, options, true)
      const engine = new JsonEngine(options)
      const found: Array<Json> = []
      for (const chunk of cut(roll, text)) {
        engine.feed(chunk)
        assert.strictEqual(engine.hasCompleteValues, engine.takeValues().map((value) => found.push(value)).length > 0)
        if (roll(3) === 0) void engine.partialUnsafe
        if (roll(3) === 0) void engine.snapshot()
      }
      engine.end()
      found.push(...engine.takeValues())
      assert.deepStrictEqual(found.map(show), reference.values.map(show))
      assert.strictEqual(show(engine.partialUnsafe), show(reference.partial))
      assert.strictEqual(show(engine.snapshot()), show(reference.partial))
      assert.deepStrictEqual(faultOf(engine), reference.fault)
    },
    runs(1_500)
  )

  it.prop(
    "after every chunk the partial, and what of it is whole, are those of the reference on what has come",
    [seeds],
    ([seed]) => {
      const roll = dice(seed)
      const options = optionsOf(roll)
      const text = textOf(roll, options)
      const paths = [...expected(text, options).whole].map((path) => JSON.parse(path) as JsonPath)
      const engine = new JsonEngine(options)
      let before = ""
      for (const chunk of cut(roll, text)) {
        engine.feed(chunk)
        before += chunk
        const reference = expected(before, options)
        assert.strictEqual(show(engine.partialUnsafe), show(reference.partial), before)
        assert.deepStrictEqual(faultOf(engine), reference.fault)
        if (reference.partial === undefined) continue
        for (const path of paths) {
          assert.strictEqual(engine.isComplete(path), reference.whole.has(JSON.stringify(path)), `${before} ${path}`)
        }
      }
    },
    runs(250)
  )

  it.prop(
    "a partial only grows, as long as no key repeats and no false start is dropped",
    [seeds],
    ([seed]) => {
      const roll = dice(seed)
      const text = container(roll, { depth: 4 }, roll(2) === 0)
      const engine = new JsonEngine({ roots: "all" })
      let earlier: Json | undefined = undefined
      for (const chunk of cut(roll, text)) {
        engine.feed(chunk)
        const now = engine.hasCompleteValues ? engine.takeValues()[0] : engine.snapshot()
        assert.isTrue(extendsTo(earlier, now), `${show(earlier)} to ${show(now)}`)
        earlier = now
      }
    },
    runs(250)
  )

  it.prop(
    "snapshots stay as they were, and share what did not change",
    [seeds],
    ([seed]) => {
      const roll = dice(seed)
      const text = container(roll, { depth: 4 }, roll(2) === 0)
      const engine = new JsonEngine({ roots: "all" })
      const taken: Array<readonly [Json, string]> = []
      for (const chunk of cut(roll, text)) {
        engine.feed(chunk)
        if (roll(4) === 0) void engine.partialUnsafe
        if (roll(3) === 0 && !engine.hasCompleteValues) continue
        const snapshot = engine.hasCompleteValues ? engine.takeValues()[0] : engine.snapshot()
        if (snapshot === undefined) continue
        if (engine.isOpen) assert.strictEqual(engine.snapshot(), snapshot)
        const last = taken.at(-1)
        if (last !== undefined) assertShared(last[0], snapshot)
        taken.push([snapshot, show(snapshot)])
      }
      for (const [snapshot, before] of taken) assert.strictEqual(show(snapshot), before)
    },
    runs(400)
  )

  it.prop(
    "the events are the same however the text is cut, and who applies them has the partial and the values",
    [seeds],
    ([seed]) => {
      const roll = dice(seed)
      const options = optionsOf(roll)
      const text = textOf(roll, options)
      const chunks = cut(roll, text)
      const whole = record([text], options)
      assert.deepStrictEqual(record(chunks, options).events, whole.events)
      const reference = expected(text, options, true)
      assert.deepStrictEqual(whole.values.map(show), reference.values.map(show))
      assert.strictEqual(show(whole.partial), show(reference.partial))
    },
    runs(1_500)
  )

  it.prop(
    "numbers are read as `Number` reads them",
    [seeds],
    ([seed]) => {
      const roll = dice(seed)
      const digits = (most: number) => Array.from({ length: 1 + roll(most) }, () => roll(10)).join("")
      const integer = roll(4) === 0 ? "0" : digits(20).replace(/^0+(?=.)/, "")
      const text = `${roll(2) === 0 ? "-" : ""}${integer}${roll(2) === 0 ? "" : `.${digits(20)}`}${roll(3) > 0 ? "" : `${roll(2) === 0 ? "e" : "E"}${["", "+", "-"][roll(3)]}${digits(3)}`}`
      assert.deepStrictEqual(run(cut(roll, text), strict).values, [show(Number(text))], text)
    },
    runs(1_500)
  )
})

/** Whether `later` may follow `earlier`: strings and arrays grow at their end, objects get members, nothing else changes. */
const extendsTo = (earlier: Json | undefined, later: Json | undefined): boolean => {
  if (earlier === undefined) return true
  if (typeof earlier === "string") return typeof later === "string" && later.startsWith(earlier)
  if (typeof earlier !== "object" || earlier === null) return Object.is(earlier, later)
  if (typeof later !== "object" || later === null || Array.isArray(earlier) !== Array.isArray(later)) return false
  const names = Object.keys(earlier)
  return names.every((name) => Object.hasOwn(later, name) && extendsTo(child(earlier, name), child(later, name)))
}

const child = (value: Json | undefined, name: string): Json | undefined => {
  const object = value as Readonly<Record<string, Json>>
  return object[name]
}

/** What is equal is one object. */
const assertShared = (earlier: Json, later: Json): void => {
  if (typeof earlier !== "object" || earlier === null || typeof later !== "object" || later === null) return
  if (show(earlier) === show(later)) assert.strictEqual(earlier, later, show(later))
  else for (const name of Object.keys(earlier)) assertShared(child(earlier, name)!, child(later, name)!)
}

/** A parent that holds what is applied, by `path`. */
class Patched {
  root: Json | undefined = undefined
  put(path: JsonPath, change: (before: Json | undefined) => Json): void {
    let holder: Record<string, Json> = this as unknown as Record<string, Json>
    for (const segment of ["root", ...path.slice(0, -1)].slice(0, path.length)) {
      holder = holder[segment] as Record<string, Json>
    }
    const name = path.length === 0 ? "root" : String(path.at(-1))
    const value = change(Object.hasOwn(holder, name) ? holder[name] : undefined)
    Object.defineProperty(holder, name, { value, writable: true, enumerable: true, configurable: true })
  }
}

const record = (chunks: Iterable<string>, options: JsonEngineOptions) => {
  const events: Array<readonly [string, JsonPath, string]> = []
  const values: Array<Json> = []
  const patched = new Patched()
  const listener: JsonListener = {
    onOpen: (kind) => {
      events.push(["open", engine.path(), kind])
      patched.put(engine.path(), () => (kind === "array" ? [] : kind === "object" ? {} : ""))
    },
    onAppend: (text) => {
      assert.isNotEmpty(text)
      const last = events.at(-1)!
      if (last[0] === "append") events[events.length - 1] = ["append", last[1], last[2] + text]
      else events.push(["append", engine.path(), text])
      patched.put(engine.path(), (before) => {
        assert.strictEqual(typeof before, "string")
        return `${before as string}${text}`
      })
    },
    onValue: (value) => {
      const path = engine.path()
      events.push(["value", path, show(value)])
      patched.put(path, (before) => {
        if (typeof value === "object" && value !== null) assert.strictEqual(show(before), show(value))
        // What was applied to it stays apart from what the engine hands out.
        return typeof value === "object" && value !== null ? before! : value
      })
      if (path.length === 0) {
        values.push(patched.root!)
        patched.root = undefined
      }
    },
    onDrop: () => {
      events.push(["drop", [], ""])
      patched.root = undefined
    }
  }
  const engine = new JsonEngine({ ...options, listener })
  for (const chunk of chunks) engine.feed(chunk)
  engine.end()
  return { events, values, partial: patched.root }
}

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

  it("stay readable when the text ends too early", () => {
    const text = '{"a":[{"b":"x\\u00e9'
    for (let length = 0; length <= text.length; length++) {
      const { fault, partial, values } = run([text.slice(0, length)])
      assert.deepStrictEqual([fault, values], [undefined, []])
      assert.strictEqual(partial, show(expected(text.slice(0, length)).partial))
    }
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

  it("that look like numbers are put where JSON.parse puts them", () => {
    assert.deepStrictEqual(Object.keys(read('{"b":0,"10":1,"2":2,"01":3}') as object), ["2", "10", "b", "01"])
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

describe("hostile text", () => {
  const size = 200_000
  const chunksOf = (unit: string) => new Array<string>(Math.ceil(size / unit.length)).fill(unit)
  const fed = (unit: string, options?: JsonEngineOptions) => {
    const engine = new JsonEngine(options)
    for (const chunk of chunksOf(unit)) {
      engine.feed(chunk)
      void engine.partialUnsafe
    }
    return engine
  }

  it("ends in a fault where a limit says so", () => {
    assert.deepStrictEqual(faultOf(fed("["))?.slice(0, 2), ["DepthLimit", 1_000])
    assert.deepStrictEqual(faultOf(fed('{"a":'))?.slice(0, 2), ["DepthLimit", 5_000])
    assert.deepStrictEqual(faultOf(fed("[", { maxDepth: Infinity, maxSize: 1_500 }))?.slice(0, 2), ["SizeLimit", 1_500])
    assert.deepStrictEqual(faultOf(fed('"\\', { strict: true, maxSize: 1_000 })), ["SizeLimit", 1_000, []])
    assert.deepStrictEqual(faultOf(fed("1", { strict: true, maxSize: 1_000 })), ["SizeLimit", 1_000, []])
    assert.deepStrictEqual(faultOf(fed("x")), undefined)
  })

  it("made of false starts is read to its end", () => {
    for (const unit of ['{"', "[1,x", '{"a":[1,2] oops}', '["\\x', "[-", "[tr"]) {
      const engine = fed(unit)
      assert.isUndefined(engine.fault)
      assert.isFalse(engine.hasCompleteValues)
      engine.feed(' ] {"a":1}')
      assert.deepStrictEqual(engine.takeValues().map(show), ['{"a":1}'], unit)
    }
  })

  it("of one long string, key or number keeps every character", () => {
    const text = "abé\\n\\u00e9😀".repeat(5_000)
    const whole = "abé\né😀".repeat(5_000)
    for (const step of [1, 7, 100_000]) {
      const engine = new JsonEngine(strict)
      const document = `{"${text}":"${text}"}`
      for (let at = 0; at < document.length; at += step) engine.feed(document.slice(at, at + step))
      assert.deepStrictEqual(engine.takeValues(), [{ [whole]: whole }])
    }
    const digits = "1234567890".repeat(2_000)
    assert.deepStrictEqual(run([`0.${digits}`], strict).values, [show(Number(`0.${digits}`))])
    assert.deepStrictEqual(run(`${digits}e-19990`.split(""), strict).values, [show(Number(`${digits}e-19990`))])
  })
})
