import { assert, describe, it } from "@effect/vitest"
import { JsonValueReader } from "../../src/internal/jsonValues.ts"
import type { Line } from "../../src/internal/lines.ts"
import { random } from "../support/run.ts"

const read = (chunks: ReadonlyArray<string>, maxSize = Infinity, offset = 0): ReadonlyArray<Line | "too long"> => {
  const reader = new JsonValueReader(maxSize, offset)
  const values: Array<Line> = []
  return chunks.every((chunk) => reader.feed(chunk, values)) ? values : [...values, "too long"]
}

/** The same however the text is cut; each value is where it says. */
const texts = (text: string): ReadonlyArray<string> => {
  const values = read([text])
  assert.deepStrictEqual(read(Array.from(text)), values)
  for (let at = 0; at <= text.length; at++) {
    assert.deepStrictEqual(read([text.slice(0, at), "", text.slice(at)]), values)
  }
  return values.map((value) => {
    assert.isTrue(value !== "too long" && text.startsWith(value.text, value.offset))
    return (value as Line).text
  })
}

describe("JsonValueReader", () => {
  it("the items of an array", () => {
    assert.deepStrictEqual(texts('[{"a":1}\n,\r\n{"b":[{}, []]},[2]]\n'), ['{"a":1}', '{"b":[{}, []]}', "[2]"])
    assert.deepStrictEqual(texts("[]"), [])
    assert.deepStrictEqual(texts(" \n[ {} ] "), ["{}"])
  })

  it("objects one behind another", () => {
    assert.deepStrictEqual(texts('{"a":1}{"b":2}\n\n{ }'), ['{"a":1}', '{"b":2}', "{ }"])
    assert.deepStrictEqual(texts('[{"a":1}][{"b":2}]{}'), ['{"a":1}', '{"b":2}', "{}"])
  })

  it("brackets and quotes in strings are text", () => {
    const value = JSON.stringify({ '}"': ["]", "\\", '\\"', "{", "😀,"] })
    assert.deepStrictEqual(texts(`[${value},${value}]`), [value, value])
  })

  it("what does not belong there comes with the next value, and is lost without one", () => {
    assert.deepStrictEqual(texts("[1, {}, 2]"), ["1, {}", "2]"])
    assert.deepStrictEqual(texts("{} x {}"), ["{}", "x {}"])
    assert.deepStrictEqual(texts("]}{}"), ["{}"])
    assert.deepStrictEqual(texts('[{"a":1},{"b":'), ['{"a":1}'])
  })

  it("counts from an offset", () => {
    assert.deepStrictEqual(read(["[{}"], Infinity, 7), [{ text: "{}", offset: 8 }])
  })

  it("stops at a value that is too long, behind the values before it", () => {
    const text = '[{"a":1},{"ab":1},{}]'
    assert.strictEqual(read([text], 8).length, 3)
    for (const chunks of [[text], Array.from(text)]) {
      assert.deepStrictEqual(read(chunks, 7), [{ text: '{"a":1}', offset: 1 }, "too long"])
    }
  })

  it("any values of an array, as JSON.stringify writes them, pretty or not", () => {
    const next = random(1)
    const value = (depth: number): unknown => {
      const kind = next() * (depth === 0 ? 2 : 4)
      if (kind < 1) return next() < 0.5 ? null : Math.floor(next() * 100) / 4
      if (kind < 2) return ["", '"', "\\", "[]{},", "é\n\u2028"][Math.floor(next() * 5)]
      const items = Array.from({ length: Math.floor(next() * 4) }, () => value(depth - 1))
      return kind < 3 ? items : Object.fromEntries(items.map((item, i) => [`"${i}`, item]))
    }
    for (let n = 0; n < 300; n++) {
      const items = Array.from({ length: Math.floor(next() * 4) }, () => ({ item: value(3) }))
      const text = JSON.stringify(items, undefined, n % 3)
      const cut = Math.floor(next() * text.length)
      const values = read([text.slice(0, cut), text.slice(cut)])
      assert.deepStrictEqual(
        values.map((line): unknown => JSON.parse((line as Line).text)),
        items
      )
    }
  })
})
