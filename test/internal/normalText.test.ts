import { assert, describe, it } from "@effect/vitest"
import { compositesOf, marks, NormalText } from "../../src/internal/normalText.ts"
import { random } from "../support/run.ts"
import { cuts } from "../support/search.ts"

const run = (pieces: ReadonlyArray<string>) => {
  const normal = new NormalText()
  const text = pieces.map((piece) => normal.push(piece)).join("") + normal.end()
  return { normal, text }
}

const samples: ReadonlyArray<string> = [
  "plain text",
  "ｐａｓｓｗｏｒｄ",
  "cafe\u0301 café e\u0327\u0301 q\u0323\u0307 \u0301x",
  "ﬁre ㎏ ﷺ ½",
  "한국어 \u1112\u1161\u11ab \u1112\u1161 각\u11a8",
  "ｶﾞｷﾞ ﾊﾟ カ\u3099",
  "\uffa1\uffc2 \u3131\u314f",
  "😀e\u0301😀 𝒳 \ud834\udd57\ud834\udd65",
  "\ud83d e\ud83d \ude00\u0301 e\ud83d",
  "e" + "\u0301".repeat(31) + "x"
]

describe("NormalText", () => {
  it.for(samples)("gives the normal form of the whole text, however it is cut: %s", (text) => {
    for (const pieces of cuts(text, random(1))) {
      assert.strictEqual(run(pieces).text, text.normalize("NFKC"), JSON.stringify(pieces))
    }
  })

  it("knows where each character comes from: itself, or all of what became it", () => {
    const { normal, text } = run(["aﬁ", "e\u0301", "b"])
    assert.strictEqual(text, "afiéb")
    assert.deepStrictEqual(
      [0, 1, 2, 3, 4, 5].map((position) => normal.originalStart(position)),
      [0, 1, 1, 2, 4, 5]
    )
    assert.deepStrictEqual(
      [1, 2, 3, 4, 5].map((position) => normal.endOf(position)),
      [
        { original: 1, normal: 1 },
        { original: 2, normal: 3 },
        { original: 2, normal: 3 },
        { original: 4, normal: 4 },
        { original: 5, normal: 5 }
      ]
    )
  })

  it("keeps a mark with its character, also where they do not become one", () => {
    const { normal } = run(["q\u0323x"])
    assert.strictEqual(normal.originalStart(1), 0)
    assert.deepStrictEqual(normal.endOf(1), { original: 2, normal: 2 })
  })

  it("leaves the last character pending, and its marks: 32 code points at most", () => {
    const normal = new NormalText()
    assert.strictEqual(normal.push("ab"), "a")
    assert.strictEqual(normal.push("\u0323".repeat(31)), "")
    assert.strictEqual(normal.pending.length, 32)
    assert.strictEqual(normal.push("\u0323"), ("b" + "\u0323".repeat(31)).normalize("NFKC"))
    assert.strictEqual(normal.pending, "\u0323")
  })

  it("forgets what is not asked for any more, and no more", () => {
    const normal = new NormalText()
    normal.push("aﬁ".repeat(1000))
    for (let position = 0; position < 2990; position += 3) {
      normal.forget(position)
      assert.strictEqual(normal.originalStart(position), (position / 3) * 2)
    }
  })

  it("cuts before every character but those that a character before may join", () => {
    const joined = new Set(marks())
    for (let code = 0; code < 0x20000; code++) {
      if (joined.has(code) || (code >= 0xd800 && code < 0xe000)) continue
      const character = String.fromCodePoint(code)
      const normal = character.normalize("NFKC")
      for (const before of ["e", "가", "カ", "\u1100", "\u0bc6", "é\u0323"]) {
        const expected = before.normalize("NFKC") + normal
        if ((before + character).normalize("NFKC") !== expected) assert.fail(`${before} and ${code.toString(16)}`)
      }
    }
  })

  it("knows all composites of a character", () => {
    for (let code = 0x80; code < 0x20000; code++) {
      if (code >= 0xd800 && code < 0xe000) continue
      const character = String.fromCodePoint(code)
      const [base] = character.normalize("NFD")
      if (base === character || character.normalize("NFKC") !== character) continue
      assert.include(compositesOf(base!.codePointAt(0)!), code)
    }
    assert.include(compositesOf("가".codePointAt(0)!), "각".codePointAt(0)!)
    assert.deepStrictEqual(compositesOf(0x4e2d), [0x4e2d])
  })
})
