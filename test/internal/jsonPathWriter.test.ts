import { assert, describe, it } from "@effect/vitest"
import { JsonPathWriter } from "../../src/internal/jsonPathWriter.ts"
import { random } from "../support/run.ts"

type Value = Readonly<Record<string, unknown>>

/** The text that each value adds, and the one that ends it. */
const pieces = (...values: ReadonlyArray<Value>): ReadonlyArray<string> => {
  const writer = new JsonPathWriter()
  return [...values.map((value) => writer.write(value)), writer.close()]
}

const text = (...values: ReadonlyArray<Value>): string => pieces(...values).join("")

const isJson = (json: string): boolean => {
  try {
    JSON.parse(json)
    return true
  } catch {
    return false
  }
}

describe("JsonPathWriter", () => {
  it("values of all kinds", () => {
    const values = [
      { jsonPath: "$.s", stringValue: 'a"b' },
      { jsonPath: "$.n", numberValue: -1.5 },
      { jsonPath: "$.zero", numberValue: 0 },
      { jsonPath: "$.yes", boolValue: true },
      { jsonPath: "$.no", boolValue: false },
      { jsonPath: "$.null", nullValue: null },
      { jsonPath: "$.null2", nullValue: "NULL_VALUE" },
      { jsonPath: "$.empty", stringValue: "" }
    ]
    assert.strictEqual(
      text(...values),
      '{"s":"a\\"b","n":-1.5,"zero":0,"yes":true,"no":false,"null":null,"null2":null,"empty":""}'
    )
  })

  it("a string in pieces is written piece by piece", () => {
    const values = [
      { jsonPath: "$.a", stringValue: "Bos", willContinue: true },
      { jsonPath: "$.a", stringValue: 't"o', willContinue: true },
      { jsonPath: "$.a", willContinue: true },
      { jsonPath: "$.a", stringValue: "n" },
      { jsonPath: "$.b", stringValue: "x", willContinue: true },
      { jsonPath: "$.b" }
    ]
    assert.deepStrictEqual(pieces(...values), ['{"a":"Bos', 't\\"o', "", 'n"', ',"b":"x', '"', "}"])
  })

  it("a surrogate pair that is split over two pieces", () => {
    const values = [
      { jsonPath: "$.a", stringValue: "\ud83d", willContinue: true },
      { jsonPath: "$.a", stringValue: "\ude00" }
    ]
    assert.deepStrictEqual(JSON.parse(text(...values)), { a: "😀" })
  })

  it("what is left open is closed by the next value, and by the end", () => {
    const open = { jsonPath: "$.a.b", stringValue: "x", willContinue: true }
    assert.strictEqual(text(open, { jsonPath: "$.c", numberValue: 1 }), '{"a":{"b":"x"},"c":1}')
    assert.strictEqual(text(open), '{"a":{"b":"x"}}')
  })

  it("knows whether the object could end here", () => {
    const writer = new JsonPathWriter()
    assert.isTrue(writer.isAtRest)
    writer.write({ jsonPath: "$.a", stringValue: "x", willContinue: true })
    assert.isFalse(writer.isAtRest)
    writer.write({ jsonPath: "$.a", stringValue: "" })
    assert.isTrue(writer.isAtRest)
    writer.write({ jsonPath: "$.a", stringValue: "late" })
    assert.isFalse(writer.isAtRest)
  })

  it("can begin before there is a value", () => {
    const writer = new JsonPathWriter()
    const a = writer.write({ jsonPath: "$.a", numberValue: 1 })
    assert.deepStrictEqual([writer.begin(), a, writer.close()], ["", '{"a":1', "}"])
    const empty = new JsonPathWriter()
    assert.deepStrictEqual([empty.begin(), empty.begin(), empty.close()], ["{", "", "}"])
  })

  it("objects and arrays in each other", () => {
    const values = [
      { jsonPath: "$.recipe.name", stringValue: "Lasagna" },
      { jsonPath: "$.recipe.parts[0].name", stringValue: "Noodles" },
      { jsonPath: "$.recipe.parts[0].grams", numberValue: 200 },
      { jsonPath: "$.recipe.parts[1].name", stringValue: "Cheese" },
      { jsonPath: "$.grid[0][0]", numberValue: 1 },
      { jsonPath: "$.grid[0][1]", numberValue: 2 },
      { jsonPath: "$.grid[1][0]", numberValue: 3 },
      { jsonPath: "$.grid.2.0", numberValue: 4 }
    ]
    assert.deepStrictEqual(JSON.parse(text(...values.slice(0, -1))), {
      recipe: { name: "Lasagna", parts: [{ name: "Noodles", grams: 200 }, { name: "Cheese" }] },
      grid: [[1, 2], [3]]
    })
    // A new container is an array only where its first place is written in brackets.
    assert.deepStrictEqual(JSON.parse(text(...values)).grid, [[1, 2], [3], { 0: 4 }])
  })

  it("names in brackets and quotes", () => {
    const names = {
      a: "['a']",
      "b.c": '["b.c"]',
      "d'\"[0]": "['d\\'\"[0]']",
      'e"\\': '["e\\"\\\\"]',
      "é\n": "['\\u00e9\\n']"
    }
    const values = Object.values(names).map((name, i) => ({ jsonPath: `$.x${name}`, numberValue: i }))
    assert.deepStrictEqual(Object.keys(JSON.parse(text(...values)).x), Object.keys(names))
    assert.strictEqual(text({ jsonPath: "$.__proto__", numberValue: 1 }), '{"__proto__":1}')
  })

  it("no value is an empty container, or says that one is over", () => {
    const values = [
      { jsonPath: "$.tags[]" },
      { jsonPath: "$.more.tags[]" },
      { jsonPath: "$.options" },
      { jsonPath: "$.list[0]", stringValue: "a" },
      { jsonPath: "$.list[]" },
      { jsonPath: "$.list[0]" },
      { jsonPath: "$.options" },
      { jsonPath: "$.later", willContinue: true },
      { jsonPath: "$.later", boolValue: true }
    ]
    assert.deepStrictEqual(JSON.parse(text(...values)), {
      tags: [],
      more: { tags: [] },
      options: {},
      list: ["a"],
      later: true
    })
    assert.strictEqual(text({ jsonPath: "$", willContinue: true }), "{}")
    assert.strictEqual(text(), "")
  })

  it("what cannot be written leaves the text open for good", () => {
    const a = { jsonPath: "$.a", numberValue: 1 }
    const wrong: ReadonlyArray<ReadonlyArray<Value>> = [
      // What the text has gone past.
      [a, a],
      [{ jsonPath: "$.x.a", numberValue: 1 }, a, { jsonPath: "$.x.b", numberValue: 1 }],
      [a, { jsonPath: "$.a.b", numberValue: 1 }],
      [{ jsonPath: "$.a.b", numberValue: 1 }, a],
      [
        { jsonPath: "$.a", stringValue: "x" },
        { jsonPath: "$.a", stringValue: "y" }
      ],
      [{ jsonPath: "$.a", stringValue: "x", willContinue: true }, a],
      // What skips items, or takes an array for an object.
      [{ jsonPath: "$.a[1]", numberValue: 1 }],
      [
        { jsonPath: "$.a[0]", numberValue: 1 },
        { jsonPath: "$.a[2]", numberValue: 1 }
      ],
      [
        { jsonPath: "$.a[0]", numberValue: 1 },
        { jsonPath: "$.a.b", numberValue: 1 }
      ],
      [
        { jsonPath: "$.a.b", numberValue: 1 },
        { jsonPath: "$.a[1]", numberValue: 1 }
      ],
      [{ jsonPath: "$[0]", numberValue: 1 }],
      [{ jsonPath: "$.a[]", numberValue: 1 }],
      // What is no path to one place.
      ...["", "a", "$a", "$..a", "$.", "$.a[", "$.a[*]", "$.a[-1]", "$['a", "$['\\x']", "$[a]", 5, null].map(
        (jsonPath) => [{ jsonPath, numberValue: 1 }]
      ),
      [{ jsonPath: "$", numberValue: 1 }],
      [{}]
    ]
    for (const values of wrong) {
      assert.isFalse(isJson(text(...values)), JSON.stringify(values))
      assert.isFalse(isJson(text(...values, { jsonPath: "$.z", numberValue: 1 })), JSON.stringify(values))
    }
  })

  it("any object, its values one by one, gives its own text", () => {
    const next = random(2)
    const int = (n: number): number => Math.floor(next() * n)
    const value = (depth: number): unknown => {
      const kind = int(depth === 0 ? 4 : 6)
      if (kind === 0) return null
      if (kind === 1) return next() < 0.5
      if (kind === 2) return int(100) / 4
      if (kind === 3) return 'aé"\\\n😀'.slice(0, int(8))
      const items = Array.from({ length: int(4) }, () => value(depth - 1))
      return kind === 4 ? items : Object.fromEntries(items.map((item, i) => [["a", "b.c", "d'", 'e"'][i]!, item]))
    }
    const valuesOf = (path: string, node: unknown): ReadonlyArray<Value> => {
      if (Array.isArray(node)) {
        const items = node.flatMap((item, i) => valuesOf(`${path}[${i}]`, item))
        return [...items, { jsonPath: `${path}[]` }]
      }
      if (typeof node === "object" && node !== null) {
        const entries = Object.entries(node)
        return entries.length === 0 && path !== "$"
          ? [{ jsonPath: path }]
          : entries.flatMap(([key, item]) =>
              valuesOf(/^\w+$/.test(key) ? `${path}.${key}` : `${path}[${JSON.stringify(key)}]`, item)
            )
      }
      if (typeof node === "number") return [{ jsonPath: path, numberValue: node }]
      if (typeof node === "boolean") return [{ jsonPath: path, boolValue: node }]
      if (typeof node !== "string") return [{ jsonPath: path, nullValue: null }]
      const at = int(node.length)
      return next() < 0.5
        ? [{ jsonPath: path, stringValue: node }]
        : [
            { jsonPath: path, stringValue: node.slice(0, at), willContinue: true },
            { jsonPath: path, stringValue: node.slice(at) }
          ]
    }
    for (let n = 0; n < 500; n++) {
      const object = {
        first: value(0),
        ...Object.fromEntries([
          ["x", value(4)],
          ["y", value(4)]
        ])
      }
      assert.deepStrictEqual(JSON.parse(text(...valuesOf("$", object))), object)
    }
  })

  it("takes time that grows with the text", () => {
    const write = (n: number): number => {
      const writer = new JsonPathWriter()
      const start = performance.now()
      for (let i = 0; i < n; i++) writer.write({ jsonPath: `$.list[${i}].a`, stringValue: "x" })
      return performance.now() - start
    }
    write(10_000)
    assert.isBelow(write(200_000), 40 * write(20_000) + 50)
  })
})
