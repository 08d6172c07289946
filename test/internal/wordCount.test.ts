import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as WordCount from "../../src/internal/wordCount.ts"

const count = (...pieces: ReadonlyArray<string>) => {
  const counter = WordCount.make()
  for (const piece of pieces) counter.push(piece)
  return counter.count
}

const reference = (text: string) => text.match(/\S+/g)?.length ?? 0

const Piece = Schema.Union([
  Schema.Literals(["", " ", "\n", "\u00a0", "\u3000", "\ufeff", "a", "word", "two words", "😀", "\ud83d", "\ude00"]),
  Schema.String
])

describe("wordCount", () => {
  it.prop("counts the same for every split", { pieces: Schema.Array(Piece) }, ({ pieces }) => {
    const text = pieces.join("")
    assert.strictEqual(count(...pieces), reference(text))
    assert.strictEqual(count(text), reference(text))
    assert.strictEqual(count(...text.split("")), reference(text))
  })

  it("takes exactly what JavaScript's \\s matches for white space", () => {
    const units = Array.from({ length: 0x10000 }, (_, code) => String.fromCharCode(code))
    const parting = units.filter((unit) => count("a", unit, "a") === 2)
    assert.deepStrictEqual(
      parting,
      units.filter((unit) => /\s/.test(unit))
    )
  })

  it("has its count at any time", () => {
    const counter = WordCount.make()
    const counts = ["", " ", "Hel", "lo", " ", " wor", "ld "].map((piece) => {
      counter.push(piece)
      return counter.count
    })
    assert.deepStrictEqual(counts, [0, 0, 1, 1, 1, 2, 2])
  })
})
