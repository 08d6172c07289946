import { assert, describe, it } from "@effect/vitest"
import { Overlap } from "../../src/internal/overlap.ts"
import { random } from "../support/run.ts"

const naive = (old: string, text: string, least: number): string => {
  for (let size = Math.min(old.length, text.length); size >= least; size--) {
    if (old.endsWith(text.slice(0, size))) return text.slice(size)
  }
  return text
}

const push = (old: string, pieces: ReadonlyArray<string>, least: number): string => {
  const overlap = new Overlap(old, least)
  return pieces.map((piece) => overlap.push(piece)).join("") + overlap.end()
}

describe("Overlap", () => {
  it("takes away what is repeated, however the text is cut", () => {
    const next = random(3)
    let repeated = 0
    for (let n = 0; n < 5_000; n++) {
      const letters = (size: number) => Array.from({ length: size }, () => "ab"[Math.floor(next() * 2)]!).join("")
      const old = letters(Math.floor(next() * 8))
      const text = letters(Math.floor(next() * 10))
      const least = 1 + Math.floor(next() * 3)
      const at = Math.floor(next() * (text.length + 1))
      const expected = naive(old, text, least)
      if (expected !== text) repeated++
      for (const pieces of [[text], Array.from(text), [text.slice(0, at), text.slice(at)]]) {
        assert.strictEqual(push(old, pieces, least), expected, `${old} | ${pieces.join(" | ")}`)
      }
    }
    assert.isTrue(repeated > 1_000)
  })

  it("holds back no more than could be repeated", () => {
    const overlap = new Overlap("the sky is", 1)
    assert.deepStrictEqual([overlap.push("sky"), overlap.push(" is"), overlap.isDecided], ["", "", true])
    const other = new Overlap("the sky is", 2)
    assert.deepStrictEqual([other.push("sky"), other.push(" was"), other.isDecided], ["", "sky was", true])
    assert.strictEqual(other.push(" blue"), " blue")
  })

  it("a short overlap is chance", () => {
    assert.strictEqual(push("good", ["dog"], 2), "dog")
    assert.strictEqual(push("good", ["odd"], 2), "d")
  })
})
