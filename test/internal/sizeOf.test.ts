import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { sizeOf } from "../../src/internal/sizeOf.ts"

const size = (value: unknown) => sizeOf(value, Number.MAX_SAFE_INTEGER)

describe("sizeOf", () => {
  it("counts strings and keys by their length", () => {
    assert.strictEqual(size("x".repeat(1_000)) - size(""), 1_000)
    assert.strictEqual(size({ ["k".repeat(1_000)]: 1 }) - size({ "": 1 }), 1_000)
    assert.strictEqual(size(["a".repeat(500), { b: "c".repeat(500) }]) - size(["", { b: "" }]), 1_000)
  })

  it("counts something for each value, whatever it is", () => {
    const values = [0, null, undefined, true, 1n, Symbol("s"), () => 1, {}, [], new Date(0), new Map([[1, 2]])]
    for (const value of values) assert.isAbove(size(value), 0, String(value))
    assert.isAtLeast(size(values), values.length)
    // Empty strings take memory too: a list of them must not pass for nothing.
    assert.isAtLeast(size(Array.from({ length: 1_000 }, () => "")), 1_000)
  })

  it.prop("never says less than the text in a value", { value: Schema.Json }, ({ value }) => {
    let text = 0
    JSON.stringify(value, (key, child) => {
      text += Number.isNaN(Number(key)) ? key.length : 0
      text += typeof child === "string" ? child.length : 0
      return child
    })
    assert.isAtLeast(size(value), text)
  })

  it.prop(
    "says more than the limit exactly where the value is larger",
    { value: Schema.Json, limit: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 100 })) },
    ({ limit, value }) => {
      assert.strictEqual(sizeOf(value, limit) > limit, size(value) > limit)
      if (size(value) <= limit) assert.strictEqual(sizeOf(value, limit), size(value))
    }
  )

  it("comes to an end with cyclic, deep and wide values", () => {
    const cyclic: { self?: unknown } = {}
    cyclic.self = cyclic
    assert.isAbove(sizeOf(cyclic, 1_000), 1_000)
    let deep: unknown = null
    for (let i = 0; i < 200_000; i++) deep = [deep]
    assert.isAtLeast(size(deep), 200_000)
    assert.isAtLeast(size(Array.from({ length: 200_000 }, () => 0)), 200_000)
  })

  it("looks at no more of a wide value than the limit allows", () => {
    let looks = 0
    const watched = <A extends object>(value: A): A =>
      new Proxy(value, {
        get(target, key, receiver) {
          looks++
          return Reflect.get(target, key, receiver)
        }
      })
    const keys = Array.from({ length: 10_000 }, (_, i) => [`key${i}`, i] as const)
    for (const wide of [watched(keys.map(() => 0)), watched(Object.fromEntries(keys))]) {
      looks = 0
      assert.isAbove(sizeOf(wide, 1_000), 1_000)
      assert.isBelow(looks, 1_000)
    }
  })
})
