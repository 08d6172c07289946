import { assert, describe, it } from "@effect/vitest"
import { TextWindow } from "../../src/internal/textSearch.ts"

describe("TextWindow", () => {
  it("keeps positions, whatever it lets go of", () => {
    const window = new TextWindow()
    window.push("abcdef")
    window.push("gh")
    assert.strictEqual(window.from(6), "gh")
    assert.strictEqual(window.from(4), "efgh")
    window.trim(5)
    assert.deepStrictEqual([window.base, window.end, window.text], [5, 8, "fgh"])
    assert.strictEqual(window.from(6), "gh")
    assert.strictEqual(window.from(7), "h")
  })

  it("lets go of nothing until that is most of it, nor of what has gone", () => {
    const window = new TextWindow()
    window.push("abcdef")
    window.trim(3)
    assert.strictEqual(window.base, 0)
    window.trim(-4)
    assert.strictEqual(window.base, 0)
    window.trim(4)
    assert.strictEqual(window.base, 4)
    window.trim(2)
    assert.strictEqual(window.text, "ef")
  })

  it("knows the character before a position", () => {
    const window = new TextWindow()
    window.push("a😀\ud83d\ude00\ude00")
    const before = [0, 1, 2, 3, 5, 6].map((position) => window.codeBefore(position))
    assert.deepStrictEqual(before, [-1, 97, 0xd83d, 0x1f600, 0x1f600, 0xde00])
  })
})
