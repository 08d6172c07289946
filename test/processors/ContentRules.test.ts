import { assert, describe, it } from "@effect/vitest"
import * as ContentFilter from "../../src/processors/ContentFilter.ts"
import { findAll } from "../support/search.ts"
import * as RuleSearch from "../../src/internal/ruleSearch.ts"
import * as ContentRules from "../../src/processors/ContentRules.ts"

const { apiKey, creditCard, email, iban, phone } = ContentFilter.rules

/** What a rule finds in a text, cut in every place. */
const found = (rule: ContentFilter.Rule, text: string): ReadonlyArray<string> => {
  const open = RuleSearch.compile([ContentRules.searched(rule, 0)], { caseSensitive: false, normalize: true })
  const whole = findAll(open(), [text])
  assert.deepStrictEqual(findAll(open(), text.split("")), whole)
  return whole.map(({ end, start }) => text.slice(start, end))
}

describe("ready-made rules", () => {
  const example = (rule: ContentFilter.Rule, hits: ReadonlyArray<string>, misses: ReadonlyArray<string>) =>
    describe(rule.name, () => {
      it.for(hits)("finds %s", (text) => {
        assert.deepStrictEqual(found(rule, text), [text])
        assert.deepStrictEqual(found(rule, `Here: ${text}, or (${text}).`), [text, text])
      })
      it.for(misses)("does not find %s", (text) => assert.deepStrictEqual(found(rule, `x ${text} x`), []))
    })

  example(
    email,
    [
      "bob@example.com",
      "a.very.long.local.part.that.goes.on.and.on.for.ever@mail.example.co.uk",
      "first+tag@sub-domain.example.org",
      "o'neil_1@example.museum",
      "jörg@müller.de",
      "a@xn--mller-kva.xn--p1ai",
      "用户@例子.公司"
    ],
    ["bob@example", "@example.com", "bob@", "bob@-.com", "a@b.c", "bob at example.com"]
  )
  it("finds an e-mail address in full width, and ends it where it ends", () => {
    assert.deepStrictEqual(found(email, "ｂｏｂ＠example．com!"), ["ｂｏｂ＠example．com"])
    assert.deepStrictEqual(found(email, "Write to bob@example.com. Thanks"), ["bob@example.com"])
    assert.deepStrictEqual(found(email, `${"x".repeat(128)}@example.com`).length, 1)
    assert.deepStrictEqual(found(email, `${"x".repeat(130)}@example.com`), [])
  })

  example(
    phone,
    [
      "+49 30 1234567",
      "+1 (555) 123-4567",
      "+14155552671",
      "0049 171 1234567",
      "(555) 123-4567",
      "555-123-4567",
      "555.123.4567",
      "030 12345678",
      "06 12 34 56 78",
      "020 7946 0958",
      "(020) 7946 0958"
    ],
    [
      "1234567",
      "2024-01-15",
      "01-02-2024 10:30",
      "555-1234",
      "+123",
      "3.14159265",
      "12:30:45",
      "A+49 30",
      "1,000,000,000"
    ]
  )

  example(
    creditCard,
    [
      "4111 1111 1111 1111",
      "4111111111111111",
      "5500-0000-0000-0004",
      "3782 822463 10005",
      "378282246310005",
      "6011.0009.9013.9424",
      "3056 930902 5904",
      "4222222222222"
    ],
    [
      "4111 1111 1111 1112",
      "4111111111111112",
      "1111 1111 1111 1111",
      "4111 1111 1111",
      "x4111111111111111",
      "41111111111111111"
    ]
  )
  it("finds a card number before other numbers", () => {
    assert.deepStrictEqual(found(creditCard, "4111 1111 1111 1111 12/27 123"), ["4111 1111 1111 1111"])
    assert.deepStrictEqual(found(creditCard, "4111\u00a01111\u00a01111\u00a01111"), [
      "4111\u00a01111\u00a01111\u00a01111"
    ])
  })

  example(
    iban,
    [
      "DE89 3704 0044 0532 0130 00",
      "DE89370400440532013000",
      "GB82 WEST 1234 5698 7654 32",
      "gb82west12345698765432",
      "FR14 2004 1010 0505 0001 3M02 606",
      "BE68 5390 0754 7034",
      "NO93 8601 1117 947",
      "MT84 MALT 0110 0001 2345 MTLC AST0 01S"
    ],
    ["DE88 3704 0044 0532 0130 00", "DE89 3704 0044 0532 0130", "XX89370400440532013000", "DE8937040044053201300012"]
  )
  it("finds an account number before a word", () => {
    assert.deepStrictEqual(found(iban, "BE68 5390 0754 7034 TEST"), ["BE68 5390 0754 7034"])
  })

  const x = (count: number) => "aB3".repeat(count).slice(0, count)
  example(
    apiKey,
    [
      `sk-${x(48)}`,
      `sk-proj-${x(24)}_${x(24)}`,
      `sk-ant-api03-${x(80)}`,
      `AKIA${"A1B2".repeat(4)}`,
      `ghp_${x(36)}`,
      `github_pat_${x(22)}_${x(59)}`,
      `glpat-${x(20)}`,
      `AIza${x(35)}`,
      `gsk_${x(52)}`,
      `hf_${x(34)}`,
      `npm_${x(36)}`,
      `SG.${x(22)}.${x(43)}`,
      `xoxb-${"1".repeat(12)}-${x(24)}`,
      `sk_live_${x(24)}`
    ],
    ["sk-short", `task-${x(30)}`, "AKIA123", "ghp_short", "AIzashort", "pk_live", "hf_hub"]
  )
})

describe("an impossible rule throws, and is named", () => {
  it.for<readonly [problem: string, rule: ContentFilter.Rule]>([
    ["one of literal", { name: "a" }],
    ["one of literal", { name: "a", literal: "x", regExp: /x/ }],
    ["one of literal", { name: "a", literal: "x", literals: ["y"] }],
    ["no name", { name: "", literal: "x" }],
    ["empty literal", { name: "a", literal: "" }],
    ["empty literal", { name: "a", literals: ["x", ""] }],
    ["half a surrogate pair", { name: "a", literal: "\ud83d" }],
    ["maxMatchLength", { name: "a", literal: "x", maxMatchLength: 3 }],
    ["check", { name: "a", literals: ["x"], check: () => true }],
    ["maxMatchLength of 0", { name: "a", regExp: /x/, maxMatchLength: 0 }],
    ["maxMatchLength of NaN", { name: "a", regExp: /x/, maxMatchLength: NaN }]
  ])("%s", ([problem, rule]) => {
    const rules = [{ name: "fine", literal: "x" }, rule]
    assert.throws(() => ContentFilter.make({ rules }), RangeError, problem)
    assert.throws(() => ContentFilter.make({ rules }), RangeError, `rules[1] ("${rule.name}")`)
  })

  it("an expression that could match more than it may, and one that is refused", () => {
    const make = (regExp: RegExp, maxMatchLength?: number) => () =>
      ContentFilter.make({ rules: [{ name: "a", regExp, maxMatchLength }] })
    make(/x{1024}/)()
    make(/x{5}/, 5)()
    assert.throws(make(/x{1025}/), RangeError, "maxMatchLength of 1024")
    assert.throws(make(/x{6}/, 5), RangeError, "maxMatchLength of 5")
    assert.throws(make(/x+/), RangeError, "regExp /x+/ could match texts of any length")
    assert.throws(make(/(x)\1/), RangeError, "backreference")
  })
})
