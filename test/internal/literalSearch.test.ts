import { assert, describe, it } from "@effect/vitest"
import * as LiteralSearch from "../../src/internal/literalSearch.ts"
import * as Reference from "../support/ruleReference.ts"
import { random } from "../support/run.ts"
import { cuts, searchAll } from "../support/search.ts"

const compile = (literals: ReadonlyArray<string>, wholeWord: boolean, caseSensitive = false) =>
  LiteralSearch.compile(
    literals.map((text, rule) => ({ text, rule })),
    { caseSensitive, wholeWord }
  )

const corpus: ReadonlyArray<readonly [literals: ReadonlyArray<string>, text: string]> = [
  [["cat"], "cat concat cats Cat-cat (cat) cat_cat 1cat cat2 chat cat"],
  [["foo", "foo-ba"], "foo-bar foo-ba foo xfoo-ba foo-ba-r foo-b"],
  [["-", "a-", "--b"], "- a-a -- a- --b b--b a--b"],
  [["a", "ab", "b"], "a ab abc b aab a b"],
  [["élan", "é", "e"], "élan élané é e\u0301 e ée"],
  [["😀", "𝒳y"], "😀 a😀 😀a 𝒳y 𝒳y𝒳 x𝒳y 😀😀 \ud83d\ude00\ude00 \ud83d"],
  [["\ufdd0x", "x\ufdd1", "x"], "\ufdd0x \ufdd1x\ufdd1 x\ufdd2 x"],
  [["a b", "b c", "c"], "a b c ab c b c a b"]
]

describe("literals", () => {
  for (const wholeWord of [false, true]) {
    it.for(corpus)(`are what the reference finds${wholeWord ? ", as whole words" : ""}: %s`, ([literals, text]) => {
      const next = random(1)
      for (const caseSensitive of [false, true]) {
        const open = compile(literals, wholeWord, caseSensitive)
        const rules = literals.map((literal) => ({ name: literal, literal, wholeWord }))
        // Noncharacters that stand for borders are all the same to whole words.
        const expected = Reference.find(
          wholeWord
            ? rules.map((rule) => ({ ...rule, literal: rule.literal.replace(/[\ufdd0-\ufdd1]/, "\ufdd2") }))
            : rules,
          wholeWord ? text.replace(/[\ufdd0-\ufdd1]/g, "\ufdd2") : text,
          { caseSensitive }
        )
        for (const pieces of cuts(text, next)) {
          assert.deepStrictEqual(searchAll(open(), pieces).found, expected, JSON.stringify(pieces))
        }
      }
    })
  }

  it("hold back no more than what may become a match", () => {
    const open = compile(["password", "swo"], false)
    assert.deepStrictEqual(
      searchAll(open(), ["x", "pas", "x", "pa", "ss", "wo", "rd", "passwo", "x"]).held,
      [0, 3, 0, 2, 4, 6, 0, 6, 0]
    )
  })

  it("hold back a whole word until it is one, and nothing within a word", () => {
    const open = compile(["cat", "cat-nap"], true)
    assert.deepStrictEqual(
      searchAll(open(), ["con", "ca", "t", " ", "ca", "t", "-", "n", "o", " cat", "."]).held,
      [0, 0, 0, 0, 2, 3, 4, 5, 0, 3, 0]
    )
  })

  it("may begin with their first character, in any case", () => {
    const { canStart } = compile(["Password", "élan", "😀"], false)()
    const starts = (text: string) => canStart(text.codePointAt(0)!)
    assert.deepStrictEqual(["p", "P", "É", "😀", "a", "😁"].map(starts), [true, true, true, true, false, false])
    assert.isFalse(compile(["P"], false, true)().canStart("p".codePointAt(0)!))
  })

  it("as whole words: a million borders hold nothing", () => {
    const open = compile(["secret", "never-ending-thing"], true)
    const pieces = Array.from({ length: 10_000 }, () => "- a never-ending, ".repeat(10))
    assert.deepStrictEqual(searchAll(open(), [...pieces, "secret"]).found.length, 1)
  })
})
