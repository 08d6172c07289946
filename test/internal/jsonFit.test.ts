import { assert, describe, it } from "@effect/vitest"
import { JsonFit, type Member, type Place } from "../../src/internal/jsonFit.ts"

const scalar = (fits: (value: unknown) => boolean, name: string): Place => ({
  objects: [],
  arrays: [],
  strings: fits("") ? "grow" : "none",
  literals: undefined,
  issueOf: (value) => (fits(value) ? undefined : `Expected ${name}`),
  issueOfKind: () => `Expected ${name}`
})
const number = scalar((value) => typeof value === "number", "number")
const anything = scalar(() => true, "anything")

const object = (
  fields: Readonly<Record<string, Place>>,
  required: ReadonlyArray<string> = Object.keys(fields)
): Member => ({
  at: (slot) => fields[slot] ?? anything,
  required: new Set(required),
  least: 0
})
const place = (...objects: ReadonlyArray<Member>): Place => ({
  ...scalar(() => false, "object"),
  objects
})

describe("JsonFit", () => {
  it("follows all ways to read a value until the last one ends", () => {
    const fit = new JsonFit(place(object({ a: number, b: number }), object({ a: number, c: number })))
    assert.strictEqual(fit.open("object", 0, 0), "show")
    assert.isUndefined(fit.close(1, 1, "a"))
    assert.isUndefined(fit.close(true, 1, "b"))
    assert.deepStrictEqual(fit.close(null, 1, "c"), { slot: undefined, issue: "Expected number" })
    fit.reset()
    fit.open("object", 0, 0)
    fit.close(1, 1, "b")
    assert.deepStrictEqual(fit.close({}, 0, 0), { slot: "a", issue: "Missing key" })
    fit.reset()
    fit.open("object", 0, 0)
    fit.close(1, 1, "a")
    fit.close(1, 1, "a")
    fit.close(1, 1, "c")
    assert.isUndefined(fit.close({}, 0, 0))
  })

  it("has no recursion, and at most one way for each member at each level", () => {
    const a: Member = { at: (slot) => (slot === "next" ? node : number), required: new Set(), least: 0 }
    const b: Member = { at: (slot) => (slot === "next" ? node : anything), required: new Set(), least: 0 }
    const node = place(a, b)
    const fit = new JsonFit(node)
    const depth = 100_000
    for (let level = 0; level < depth; level++) assert.strictEqual(fit.open("object", level, "next"), "show")
    assert.isUndefined(fit.close("only b takes it", depth, "x"))
    assert.deepStrictEqual(fit.close(1, depth, "next"), { slot: undefined, issue: "Expected object" })
  })
})
