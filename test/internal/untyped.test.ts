import { assert, it } from "@effect/vitest"
import { array, jsonOrText, nonEmpty, number, record, string } from "../../src/internal/untyped.ts"

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
