import { assert, describe, it } from "@effect/vitest"
import { TextUnits, type Unit } from "../../src/internal/textUnits.ts"
import { random } from "../support/run.ts"

const cut = (unit: Unit, pieces: ReadonlyArray<string>): ReadonlyArray<string> => {
  const units = new TextUnits(unit)
  const out: Array<string> = []
  for (const piece of pieces) units.push(piece, out)
  return [...out, units.end()]
}

const text = 'Hello world! "It cost 3.14", he\tsaid.\n\n北京大学很好 👨‍👩‍👧 e\u0301x\nend'

describe("units", () => {
  it("words go with the white space and punctuation behind them", () => {
    assert.deepStrictEqual(cut("word", ["Hello world! ", "北京大学, “yes” no"]), [
      "Hello ",
      "world! ",
      "北京",
      "大学, “",
      "yes” ",
      "no"
    ])
  })

  it("graphemes are never torn", () => {
    assert.deepStrictEqual(cut("grapheme", ["e", "\u0301", "👨", "\u200d👩", "x", "🇩", "🇪", "\r", "\n"]), [
      "e\u0301",
      "👨\u200d👩",
      "x",
      "🇩🇪",
      "\r\n"
    ])
  })

  it("sentences and lines", () => {
    assert.deepStrictEqual(cut("sentence", ["One. Tw", "o? Three"]), ["One. ", "Two? ", "Three"])
    assert.deepStrictEqual(cut("line", ["a\nb", "c\r\n\nd"]), ["a\n", "bc\r\n\n", "d"])
  })
})

describe("any text, however it is cut", () => {
  it("comes out whole", () => {
    const next = random(5)
    for (const unit of ["grapheme", "word", "sentence", "line"] as const) {
      for (let n = 0; n < 300; n++) {
        const pieces: Array<string> = []
        for (let at = 0; at < text.length;) {
          const size = 1 + Math.floor(next() * 9)
          pieces.push(text.slice(at, at + size))
          at += size
        }
        assert.strictEqual(cut(unit, pieces).join(""), text)
      }
    }
  })

  it("graphemes are the same for every cut between code points", () => {
    const whole = cut("grapheme", [text])
    assert.deepStrictEqual(cut("grapheme", Array.from(text)), whole)
  })
})

describe("text without an end", () => {
  it("is cut, between graphemes, and nothing more than that is kept", () => {
    for (const unit of ["grapheme", "word", "sentence", "line"] as const) {
      for (const blob of ["QUJD".repeat(1_000), "e\u0301".repeat(1_000), "a" + "\u0301".repeat(2_000)]) {
        const units = new TextUnits(unit)
        const out: Array<string> = []
        for (let at = 0; at < blob.length; at += 7) {
          units.push(blob.slice(at, at + 7), out)
          assert.isAtMost(units.kept.length, 256)
        }
        assert.strictEqual(out.join("") + units.end(), blob)
        if (blob.startsWith("e")) assert.isFalse(out.some((piece) => piece.startsWith("\u0301")))
      }
    }
  })

  it("takes linear time", () => {
    const time = (size: number): number => {
      const units = new TextUnits("word")
      const since = performance.now()
      for (let i = 0; i < size; i++) units.push("北x1", [])
      return performance.now() - since
    }
    time(1_000)
    const small = Math.min(time(5_000), time(5_000))
    const large = time(20_000)
    assert.isBelow(large, 20 * small + 50)
  })
})
