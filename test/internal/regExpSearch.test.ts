import { assert, describe, it } from "@effect/vitest"
import * as RegExpSearch from "../../src/internal/regExpSearch.ts"
import type { Match } from "../../src/internal/textSearch.ts"
import { TextWindow } from "../../src/internal/textSearch.ts"
import * as Reference from "../support/ruleReference.ts"
import { random } from "../support/run.ts"
import { cuts, searchAll } from "../support/search.ts"

const defaults = { rule: 0, maxLength: 1024, refuseLonger: true, wholeWord: false, check: undefined }
const compile = (regExp: RegExp, options?: Partial<RegExpSearch.Options>) =>
  RegExpSearch.compile(regExp, { ...defaults, ...options })

const held = (regExp: RegExp, ...pieces: ReadonlyArray<string>) => searchAll(compile(regExp)(), pieces).held

describe("finds what RegExp finds, however the text is cut", () => {
  it.for<readonly [RegExp, string]>([
    [/abc/, "abc ab abcabc aabc abcab"],
    [/a|ab|abc/, "abc ab a"],
    [/abc|ab|a/, "abc ab a abab"],
    [/(?:a|ab)(?:c|bcd)/, "abcd ac abc abcdx aabcd"],
    [/a{2,4}?/, "a aa aaa aaaaaaaa"],
    [/a{2,4}/, "a aa aaa aaaaaaaa"],
    [/\d{1,3}(?:\.\d{1,3}){3}/, "1.2.3.4 1.2.3 1.2.3.4.5.6.7.8 1234.5.6.7"],
    [/\bcat\b/i, "cat Cat concat cats cat's cat"],
    [/\Bcat/, "cat concat"],
    [/^ab/, "abab ab\nab"],
    [/^ab$/m, "ab\nab\nabc\ncab\nab"],
    [/ab$/, "ab ab"],
    [/(?<=\$)\d{1,4}(?!\d)/, "$12 12 $12345 $1 $"],
    [/(?<![a-z]{2})b(?=c{2})/, "bcc abcc aabcc bc bccc"],
    [/(?=a{3})a/, "a aa aaa aaaa"],
    [/./u, "a😀\ud83d\n\ude00"],
    [/./, "a😀\ud83d\n\ude00"],
    [/[^a]{2}/u, "a😀😀b\ud83d"],
    [/\p{Lu}\p{Ll}{1,3}/u, "Abc ABc Äöü Straße É"],
    [/[\p{L}--[a-m]]{2}/v, "ab no NO mn"],
    [/k/iu, "k K \u212a"],
    [/k/i, "k K \u212a"],
    [/ſ(?-i:s)/i, "ss ſs Ss sS"],
    [/(?:a|b(?=c))(?:c|$)/, "ac bc bcc a b a"],
    [/[\s\S]{3}/, "abcdefgh"],
    [/x{0}y(?:z|)/, "xyzy y"]
  ])("%s", ([regExp, text]) => {
    const expected = Reference.find([{ name: "", regExp }], text)
    for (const pieces of cuts(text, random(1))) {
      assert.deepStrictEqual(searchAll(compile(regExp)(), pieces).found, expected, JSON.stringify(pieces))
    }
  })

  it("as a whole word: as if borders stood around the expression", () => {
    const open = compile(/cat(?:s|sy)?/u, { wholeWord: true })
    const text = "cat cats catsy catsyx xcat cat_ cat-cats écat cat\u0301"
    const border = (source: string) => `(?<![\\p{L}\\p{M}\\p{N}\\p{Pc}])(?:${source})(?![\\p{L}\\p{M}\\p{N}\\p{Pc}])`
    const expected = Reference.find([{ name: "", regExp: new RegExp(border("cat(?:s|sy)?"), "u") }], text)
    for (const pieces of cuts(text, random(2))) assert.deepStrictEqual(searchAll(open(), pieces).found, expected)
  })

  it("what does not pass the check is no match, and what begins within it may be one", () => {
    const check = (text: string) => text.startsWith("b")
    const text = "aab abb bbb ab"
    const expected = Reference.find([{ name: "", regExp: /[ab]{2}/, check }], text)
    assert.isAbove(expected.length, 1)
    for (const pieces of cuts(text, random(3))) {
      assert.deepStrictEqual(searchAll(compile(/[ab]{2}/, { check })(), pieces).found, expected)
    }
  })
})

describe("holds back", () => {
  it("from where the oldest way begins that is still open, and nothing else", () => {
    assert.deepStrictEqual(
      held(/key-\d{2,4}/, "a", "ke", "y", "-", "x", "a key-1", "2", "3", "4", "."),
      [0, 2, 3, 4, 0, 5, 6, 7, 0, 0]
    )
  })

  it("nothing for a way that RegExp would not prefer", () => {
    assert.deepStrictEqual(held(/a|ab/, "a", "b"), [0, 0])
    assert.deepStrictEqual(held(/ab|a/, "a", "c"), [1, 0])
    assert.deepStrictEqual(held(/a{1,3}?/, "a", "a"), [0, 0])
  })

  it("what waits to see what is behind it, as far as that looks", () => {
    assert.deepStrictEqual(held(/ab(?!cd)/, "ab", "c", "c", "ab", "x", "y"), [2, 3, 0, 2, 3, 0])
    assert.deepStrictEqual(held(/\bcat\b/, "cat", "s", " cat", "."), [3, 0, 3, 0])
    assert.deepStrictEqual(held(/x(?!\w)/u, "x", "\ud83d", "\ude00"), [1, 2, 0])
  })

  it("half a pair, where characters are code points", () => {
    assert.deepStrictEqual(held(/a/u, "\ud83d", "\ude00", "\ud83d", "a"), [1, 0, 1, 0])
    assert.deepStrictEqual(held(/a/, "\ud83d", "\ude00"), [0, 0])
  })
})

describe("maxLength", () => {
  const first = (open: ReturnType<typeof compile>, pieces: ReadonlyArray<string>): Match | undefined => {
    const search = open()
    const window = new TextWindow()
    for (const piece of pieces) {
      window.push(piece)
      search.advance(window)
    }
    window.ended = true
    search.advance(window)
    return search.match
  }

  it("an expression that could match more is refused", () => {
    compile(/a{3}/, { maxLength: 3 })
    compile(/😀{3}/u, { maxLength: 3 })
    assert.throws(
      () => compile(/a{3}/, { maxLength: 2 }),
      RangeError,
      "3 characters, more than its maxMatchLength of 2"
    )
    assert.throws(() => compile(/a+/), RangeError, "texts of any length")
  })

  it("or what matches, or could go on to, is too long: at the limit it is a match, above it no more", () => {
    const open = compile(/a+b?/, { maxLength: 3, refuseLonger: false })
    for (const pieces of cuts("x aaa x", random(1))) {
      assert.deepStrictEqual(first(open, pieces), { start: 2, end: 5, rule: 0, isTooLong: false })
    }
    for (const text of ["x aaaa x", "x aaab x"]) {
      for (const pieces of cuts(text, random(1))) {
        assert.deepStrictEqual(first(open, pieces), { start: 2, end: 6, rule: 0, isTooLong: true })
      }
    }
  })

  it("counts code points with u, and code units without", () => {
    const smiles = "😀".repeat(3)
    const limited = { maxLength: 3, refuseLonger: false }
    assert.strictEqual(first(compile(/\p{Emoji}+/u, limited), [smiles])?.isTooLong, false)
    assert.strictEqual(first(compile(/\p{Emoji}+/u, limited), [smiles + "😀"])?.isTooLong, true)
    assert.strictEqual(first(compile(/[^a]+/, limited), [smiles])?.isTooLong, true)
  })

  it("an expression that matches the empty text, or that is too large, is refused", () => {
    assert.throws(() => compile(/a{0,3}/), RangeError, "empty text")
    assert.throws(() => compile(/(?=a)/), RangeError, "empty text")
    assert.throws(() => compile(/(?:a{100}b){500}/, { maxLength: 1e6 }), RangeError, "20000 places")
  })
})

describe("is linear", () => {
  const time = (regExp: RegExp, text: string, options?: Partial<RegExpSearch.Options>) => {
    const pieces = text.match(/[^]{1,1000}/g)!
    const open = compile(regExp, options)
    const before = performance.now()
    const { found } = searchAll(open(), pieces)
    return { found: found.length, time: performance.now() - before }
  }

  it("for expressions at which backtracking does not end", () => {
    const evil = { refuseLonger: false, maxLength: Infinity }
    assert.strictEqual(time(/(?:a+)+b/, "a".repeat(100_000), evil).found, 0)
    assert.strictEqual(time(/(?:a|aa)+$/, "a".repeat(100_000) + "!", evil).found, 0)
    assert.strictEqual(time(/(?:a{1,10}){1,10}b/, "a".repeat(100_000)).found, 0)
    assert.strictEqual(time(/(?:x+x+)+y/, "x".repeat(100_000) + "y", evil).found, 1)
  })

  it("for a million near misses, and 10 MB without a match", () => {
    assert.strictEqual(time(/key-\d{4}/, "key-123 ".repeat(1_000_000)).found, 0)
    assert.strictEqual(time(/secret/, "lorem ipsum dolor sit amet ".repeat(400_000)).found, 0)
  })

  it("in the text", () => {
    const text = (size: number) => "ab1 ".repeat(size)
    time(/(?:[a-z]{1,8}\d?){1,8}!/, text(20_000))
    const small = time(/(?:[a-z]{1,8}\d?){1,8}!/, text(20_000)).time
    const large = time(/(?:[a-z]{1,8}\d?){1,8}!/, text(160_000)).time
    assert.isBelow(large, 8 * small * 4)
  })
})
