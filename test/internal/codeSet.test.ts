import { assert, describe, it } from "@effect/vitest"
import { CodeSet } from "../../src/internal/codeSet.ts"

describe("CodeSet", () => {
  it("answers as the question does, and asks once for each character", () => {
    const asked: Array<number> = []
    const set = new CodeSet((code) => {
      asked.push(code)
      return code % 2 === 0
    })
    const codes = [0, 1, 97, 255, 256, 257, 0xd83d, 0x1f600, 0x10ffff]
    for (let round = 0; round < 3; round++) {
      for (const code of codes) assert.strictEqual(set.has(code), code % 2 === 0)
    }
    assert.deepStrictEqual(asked, codes)
  })
})
