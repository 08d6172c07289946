import { assert, it } from "@effect/vitest"
import { array, difference, jsonOrText, nonEmpty, number, record, string } from "../../src/internal/untyped.ts"

const values: ReadonlyArray<unknown> = [undefined, null, false, 0, 1.5, "", "a", [], [1], {}, { a: 1 }]

const accepted = (read: (u: unknown) => unknown): ReadonlyArray<unknown> =>
  values.filter((value) => {
    const result = read(value)
    assert.isTrue(result === undefined || result === value, "gives the value itself, or undefined")
    return result !== undefined
  })

it("each reader accepts its own type and nothing else", () => {
  assert.deepStrictEqual(accepted(record), [{}, { a: 1 }])
  assert.deepStrictEqual(accepted(array), [[], [1]])
  assert.deepStrictEqual(accepted(string), ["", "a"])
  assert.deepStrictEqual(accepted(nonEmpty), ["a"])
  assert.deepStrictEqual(accepted(number), [0, 1.5])
})

it("jsonOrText gives what JSON says, and any other text itself", () => {
  assert.deepStrictEqual(['{"a":1}', " [1]", "5", "null"].map(jsonOrText), [{ a: 1 }, [1], 5, null])
  assert.deepStrictEqual(["", "{", "<html>"].map(jsonOrText), ["", "{", "<html>"])
})

it("difference is known where both counts are, and add up", () => {
  assert.strictEqual(difference(5, 2), 3)
  assert.strictEqual(difference(5, 5), 0)
  for (const [whole, part] of [
    [5, 6],
    [undefined, 2],
    [5, undefined]
  ]) {
    assert.isUndefined(difference(whole, part))
  }
})
