import { assert, describe, it } from "@effect/vitest"
import { extentOf, parse } from "../../src/internal/regExpSyntax.ts"

const extent = (regExp: RegExp) => {
  const { ahead, behind, max, min } = extentOf(parse(regExp))
  return [min, max, behind, ahead]
}

describe("what a regular expression takes, and how far it looks", () => {
  it.for<readonly [RegExp, min: number, max: number, behind: number, ahead: number]>([
    [/abc/, 3, 3, 0, 0],
    [/a|bcd|/, 0, 3, 0, 0],
    [/a?b{2}c{3,5}/, 5, 8, 0, 0],
    [/(?:ab){2,3}/, 4, 6, 0, 0],
    [/a*b/, 1, Infinity, 0, 0],
    [/(?:a+){1}/, 1, Infinity, 0, 0],
    [/a{0}(?:b+){0}c/, 1, 1, 0, 0],
    [/a{2,}/, 2, Infinity, 0, 0],
    [/^a$/, 1, 1, 1, 1],
    [/\bab\b/, 2, 2, 1, 1],
    [/(?=abc)a/, 1, 1, 0, 2],
    [/a(?!bcd)/, 1, 1, 0, 3],
    [/(?<=abc)d/, 1, 1, 3, 0],
    [/a(?<!xyza)/, 1, 1, 3, 0],
    [/(?<=(?<!ab)cd)e/, 1, 1, 4, 0],
    [/(?<=a(?=bcd))b/, 1, 1, 1, 2],
    [/(?<name>a)(b)/, 2, 2, 0, 0],
    [/(?i:a)(?-i:b)(?s-i:.)/i, 3, 3, 0, 0],
    [/\u{1f600}\ud83d\ude00😀/u, 3, 3, 0, 0],
    [/\ud83d\ude00😀/, 4, 4, 0, 0],
    [/\x41\cA\0\n\p{L}[\]\-a]/u, 6, 6, 0, 0],
    [new RegExp("\\p{L}"), 4, 4, 0, 0],
    [/[[a-z]--[b]][\]]/v, 2, 2, 0, 0],
    [/{/, 1, 1, 0, 0],
    [/a{b}]/, 5, 5, 0, 0],
    [/a{,2}/, 5, 5, 0, 0],
    [/x{2}?y??/, 2, 3, 0, 0]
  ])("%s", ([regExp, ...expected]) => {
    assert.deepStrictEqual(extent(regExp), expected)
  })

  it("counts repetitions of repetitions", () => {
    assert.deepStrictEqual(extent(/(?:a{1,3}b?){2,4}/), [2, 16, 0, 0])
  })
})

describe("what is refused, with the reason", () => {
  it.for<readonly [RegExp, RegExp]>([
    [/(a)\1/, /backreference/],
    [/(?<x>a)\k<x>/, /backreference/],
    [/(?:a?)*/, /may be empty: \(\?:a\?\)/],
    [/(?:a?b?){0,3}/, /may be empty/],
    [/(?=a)?b/, /may be empty/],
    [/a(?=b*)/, /without a bound: \(\?=b\*\)/],
    [/(?<!a+)b/, /without a bound/],
    [/(?=(?:a{1,20}){1,20}b)a/, /too many ways/],
    [/\p{RGI_Emoji}/v, /strings/],
    [/[\p{Emoji_Keycap_Sequence}]/v, /strings/],
    [/[\q{abc}]/v, /strings/],
    [/\c/, /control/]
  ])("%s", ([regExp, reason]) => {
    assert.throws(() => parse(regExp), RangeError, reason)
    assert.throws(() => parse(regExp), RangeError, String(regExp))
  })
})
