import { assert, describe, it } from "@effect/vitest"
import * as RuleSearch from "../../src/internal/ruleSearch.ts"
import * as ContentRules from "../../src/processors/ContentRules.ts"
import * as Reference from "../support/ruleReference.ts"
import { random } from "../support/run.ts"
import { cuts, findAll } from "../support/search.ts"

type Options = RuleSearch.Options

const compile = (rules: ReadonlyArray<ContentRules.Rule>, options: Options) =>
  RuleSearch.compile(rules.map(ContentRules.searched), options)

const equalsReference = (rules: ReadonlyArray<ContentRules.Rule>, text: string, options: Options, seed: number) => {
  const open = compile(rules, options)
  const expected = Reference.find(rules, text, options)
  for (const pieces of cuts(text, random(seed))) {
    const shown = () => JSON.stringify({ rules: rules.map((rule) => rule.regExp?.toString() ?? rule), options, pieces })
    const found = findAll(open(), pieces)
    if (JSON.stringify(found.map(place)) !== JSON.stringify(expected.map(place))) {
      assert.deepStrictEqual(found, expected, shown())
    }
  }
}
const place = ({ end, rule, start }: Reference.Found) => [start, end, rule]

describe("leftmost, then longest, then the earlier rule", () => {
  const rule = (name: string, what: string | RegExp, wholeWord = false): ContentRules.Rule =>
    typeof what === "string" ? { name, literal: what, wholeWord } : { name, regExp: what, wholeWord }

  it.for<readonly [name: string, rules: ReadonlyArray<string | RegExp>, text: string]>([
    ["prefixes of each other", ["ab", "abcd", /abc/], "abcd abc abcx ab abab"],
    ["suffixes of each other", ["d", /cd/, "abcd"], "abcd abc bcd xcd d"],
    ["overlaps", ["abab", /ba{1,2}b/, "bb"], "ababab babaab abbab bababab"],
    ["the same", ["abc", /abc/i, /a.c/], "abc ABC axc"],
    ["a long one that fails late", [/a.{5}!/, "b", "bcd"], "abcdefg abcdef! abcdef"],
    ["one inside the other", ["key", /my.key?/, "secret key"], "my key my secret key my ke"],
    ["what is taken still counts as what is before", ["ab", /(?<=b)c/, /\bc/], "abc c bc"]
  ])("%s", ([, whats, text]) => {
    for (const normalize of [false, true]) {
      const rules = whats.map((what, index) => rule(`${index}`, what))
      equalsReference(rules, text, { caseSensitive: false, normalize }, 1)
      equalsReference(rules.toReversed(), text, { caseSensitive: true, normalize }, 1)
    }
  })
})

describe("equals the reference", () => {
  const atoms =
    "a b c [ab] [^a] . \\w A é \\b ^ $ (?=b) (?!c) (?<=a) (?<!ab) \\B (?=a$|bc) (?<=^a|b.) 😀 (?i:a) (?!\\w)".split(" ")
  const quantifiers = ["?", "{0,2}", "{1,3}", "{2}", "??", "{1,3}?", "{0}", "{2,4}"]
  const words = ["a", "ab", "abc", "b", "bc", "aab", "ba", "é", "e", "fi", "A", "😀", "a b", "-", "b-", "cab", "aé"]
  const pieces = [..."abcAéeＡ -😀ﬁ\n", "\u0301", "ab", "abc", "ab", "\ud83d", "\ude00"]

  it("with random rules and texts", () => {
    const next = random(5)
    const int = (n: number) => Math.floor(next() * n)
    const pick = <A>(choices: ReadonlyArray<A>): A => choices[int(choices.length)]!
    const source = (depth: number): string => {
      const kind = int(depth > 0 ? 9 : 2)
      if (kind < 2) return pick(atoms)
      if (kind < 5) return source(depth - 1) + source(depth - 1)
      if (kind < 7) return `(?:${source(depth - 1)}|${source(depth - 1)})`
      return `(?:${source(depth - 1)})${pick(quantifiers)}`
    }
    const regExp = () => {
      const text = source(3)
      // With the flag `v`, V8 lets a class behind `(?i:…)` ignore case too.
      return new RegExp(text, pick(text.includes("(?i:") ? ["", "i", "u", "s", "m"] : ["", "i", "u", "iu", "s", "v"]))
    }
    let count = 0
    while (count < 400) {
      const rules = Array.from({ length: 1 + int(3) }, (_, name): ContentRules.Rule => {
        if (next() < 0.4) return { name: `${name}`, literals: [pick(words), pick(words)], wholeWord: next() < 0.3 }
        const check = next() < 0.2 ? (text: string) => text.length % 2 === 1 : undefined
        return { name: `${name}`, regExp: regExp(), check }
      })
      const options = { caseSensitive: next() < 0.3, normalize: next() < 0.5 }
      try {
        compile(rules, options)
      } catch (error) {
        assert.instanceOf(error, RangeError)
        continue
      }
      count++
      const text = Array.from({ length: int(14) }, () => pick(pieces)).join("")
      equalsReference(rules, text, options, count)
    }
  })
})

describe("in the normal form", () => {
  const options = { caseSensitive: false, normalize: true }

  it("nothing slips through in another width, or with its accents apart", () => {
    const rules = [{ name: "a", literals: ["password", "café", "ガ"] }]
    equalsReference(rules, "ｐａｓｓｗｏｒｄ ｐassword cafe\u0301 café cafe ｶﾞ ガ カ\u3099 カ", options, 1)
    assert.strictEqual(findAll(compile(rules, options)(), ["ｐａｓｓｗｏｒｄ cafe", "\u0301 cafe"]).length, 2)
  })

  it("a match takes whole characters", () => {
    assert.deepStrictEqual(findAll(compile([{ name: "i", literal: "i" }], options)(), ["ﬁx i\u0320 i"]).map(place), [
      [0, 1, 0],
      [3, 5, 0],
      [6, 7, 0]
    ])
  })

  const decided = (rules: ReadonlyArray<ContentRules.Rule>, ...pieces: ReadonlyArray<string>) => {
    const search = compile(rules, options)()
    let length = 0
    return pieces.map((piece) => {
      search.push(piece)
      length += piece.length
      while (search.next() !== undefined);
      return length - search.decided
    })
  }

  it("the last character waits for its marks only where a match could begin with it, or go on", () => {
    assert.deepStrictEqual(decided([{ name: "a", literal: "secret" }], "a", "s", "e", "x", "y"), [0, 1, 2, 3, 0])
    assert.deepStrictEqual(
      decided([{ name: "a", literal: "élan" }], "a", "e", "a", "é", "\u0301", "b"),
      [0, 1, 0, 1, 2, 0]
    )
    assert.deepStrictEqual(decided([{ name: "a", literal: "abc" }], "中", "ａ", "中", "文"), [0, 1, 2, 0])
    assert.deepStrictEqual(decided([{ name: "a", regExp: /\p{M}/u }], "x", "y"), [1, 1])
  })
})
