/**
 * The rules of a content filter: what each looks for, and what becomes of what it finds.
 *
 * @since 0.1.0
 */
import type * as RuleSearch from "../internal/ruleSearch.ts"

/**
 * What a rule looks for (one of `literal`, `literals` and `regExp`), and what becomes of it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Rule {
  /** Names the rule in the report and in `ContentBlocked`. */
  readonly name: string
  readonly literal?: string | undefined
  /** Any number of them, at the cost of one. */
  readonly literals?: ReadonlyArray<string> | undefined
  /**
   * Matches as it does in the whole text, for any of its flags (`d`, `g` and `y` do not count). In linear time whatever it is,
   * and no two ways to match are tried one after the other. A backreference is refused, and so is look-around without a bound.
   */
  readonly regExp?: RegExp | undefined
  /**
   * The most that `regExp` may match, and thereby hold back: code points with the flags `u` and `v`, UTF-16 code units without.
   * 1,024 by default. See `onLongMatch`.
   */
  readonly maxMatchLength?: number | undefined
  /**
   * What becomes of a `regExp` that could match more than `maxMatchLength`: `refuse` (by default) throws a `RangeError` at
   * construction; `block` fails the stream with `ContentBlocked` as soon as what is, or could become, a match is longer.
   */
  readonly onLongMatch?: "refuse" | "block" | undefined
  /** Says of what `regExp` matches whether it is a match, by its check digit for example. */
  readonly check?: ((text: string) => boolean) | undefined
  /**
   * `replace` by default. `mask` puts the replacement in the place of each character, `drop` leaves nothing, and `block` fails
   * the stream with `ContentBlocked`: what was before the match stays delivered, nothing of the match leaves.
   */
  readonly action?: "replace" | "mask" | "drop" | "block" | undefined
  /** What stands in the place of a match. That of the filter by default; `*` for `mask`. */
  readonly replacement?: string | undefined
  /** Only where no letter, mark, digit or connecting punctuation (as `_`) stands before the match or behind it. */
  readonly wholeWord?: boolean | undefined
}

/**
 * Checks a rule, and gives what is searched for.
 *
 * @category getters
 * @since 0.1.0
 */
export const searched = (rule: Rule, index: number): RuleSearch.Rule => {
  const refuse = (problem: string) => new RangeError(`rules[${index}] (${JSON.stringify(rule.name)}) ${problem}`)
  if (rule.name === "") throw refuse("has no name")
  if ([rule.literal, rule.literals, rule.regExp].filter((what) => what !== undefined).length !== 1) {
    throw refuse("must have one of literal, literals and regExp")
  }
  const wholeWord = rule.wholeWord ?? false
  const literals = rule.literal === undefined ? rule.literals : [rule.literal]
  if (literals !== undefined) {
    const option = ["maxMatchLength", "onLongMatch", "check"].find((name) => rule[name as keyof Rule] !== undefined)
    if (option !== undefined) throw refuse(`has ${option}, which is for a regExp`)
    for (const literal of literals) {
      if (literal === "") throw refuse("has an empty literal: it would match everywhere")
      if (!literal.isWellFormed()) throw refuse("has a literal with half a surrogate pair")
    }
    return { what: { literals }, wholeWord }
  }
  const maxLength = rule.maxMatchLength ?? 1024
  if (!(maxLength >= 1)) throw refuse(`has a maxMatchLength of ${maxLength}: it must be 1 or more`)
  const options = { maxLength, refuseLonger: rule.onLongMatch !== "block", check: rule.check }
  return { what: { regExp: rule.regExp!, options }, wholeWord }
}

// -----------------------------------------------------------------------------
// Ready-made rules
// -----------------------------------------------------------------------------

/**
 * E-mail addresses, in any alphabet, with up to 128 characters before the `@`.
 *
 * @category rules
 * @since 0.1.0
 */
export const email: Rule = {
  name: "email",
  regExp:
    /(?<![\p{L}\p{N}_])[\p{L}\p{N}_][\p{L}\p{M}\p{N}_.%+'-]{0,127}@(?:[\p{L}\p{N}][\p{L}\p{M}\p{N}-]{0,62}\.){1,8}(?:xn--[a-z\d-]{2,59}|\p{L}[\p{L}\p{M}]{1,23})/u
}

/**
 * Telephone numbers: international ones with `+` or `00`, those with an area code as in `(555) 123-4567`, and those that begin
 * with 0 and have 9 digits at least. Separators are spaces, dots, hyphens, slashes and brackets.
 *
 * @category rules
 * @since 0.1.0
 */
export const phone: Rule = {
  name: "phone",
  regExp: new RegExp(
    [
      /(?<![\p{L}\p{N}+])(?!\d\d[./ -]\d\d[./ -]\d{4})/u.source,
      "(?:",
      /(?:\+|00)[1-9](?:[ .()/-]{0,2}\d){6,14}/u.source,
      "|",
      /(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4}/u.source,
      "|",
      /(?:\(0\d{1,4}\)(?:[ ./-]{0,2}\d){5,9}|0[1-9](?:[ ./-]{0,2}\d){7,10})/u.source,
      ")",
      /(?![\p{L}\p{N}])/u.source
    ].join(""),
    "u"
  )
}

/**
 * Numbers of payment cards, in one piece or in their usual groups, where the check digit (Luhn's) is right.
 *
 * @category rules
 * @since 0.1.0
 */
export const creditCard: Rule = {
  name: "creditCard",
  regExp:
    /(?<![\p{L}\p{N}])(?:[2-6]\d{12,18}|[2-6]\d{3}(?:[ .-]\d{4}){3}|3\d{3}[ .-]\d{6}[ .-]\d{4,5})(?![\p{L}\p{N}])/u,
  check: (text) => {
    const digits = text.replace(/\D/g, "")
    let sum = 0
    for (let index = 0; index < digits.length; index++) {
      const digit = Number(digits.at(-1 - index))
      sum += index % 2 === 0 ? digit : digit < 5 ? digit * 2 : digit * 2 - 9
    }
    return sum % 10 === 0
  }
}

/** The countries by the length of their account numbers. */
const ibanCountries: Readonly<Record<number, string>> = {
  15: "NO",
  16: "BE",
  18: "DK FI FK FO GL NL SD",
  19: "MK SI",
  20: "AT BA EE KZ LT LU MN XK",
  21: "CH HR LI LV",
  22: "BG BH CR DE GB GE IE ME RS VA",
  23: "AE GI IL IQ OM SO TL",
  24: "AD CZ ES MD PK RO SA SE SK TN VG",
  25: "LY PT ST",
  26: "IS TR",
  27: "BI DJ FR GR IT MC MR SM",
  28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
  29: "BR EG PS QA UA",
  30: "JO KW MU YE",
  31: "MT SC",
  32: "LC",
  33: "RU"
}

/**
 * International bank account numbers (IBAN) of the length that their country has, with or without spaces, where the check
 * digits are right.
 *
 * @category rules
 * @since 0.1.0
 */
export const iban: Rule = {
  name: "iban",
  regExp: new RegExp(
    `(?<![\\p{L}\\p{N}])(?:${Object.entries(ibanCountries)
      .map(([length, countries]) => `(?:${countries.replaceAll(" ", "|")})\\d\\d(?: ?[A-Z\\d]){${Number(length) - 4}}`)
      .join("|")})(?![\\p{L}\\p{N}])`,
    "iu"
  ),
  check: (text) => {
    const account = text.replaceAll(" ", "")
    let rest = 0
    for (const character of account.slice(4) + account.slice(0, 4)) {
      const value = parseInt(character, 36)
      rest = (rest * (value < 10 ? 10 : 100) + value) % 97
    }
    return rest === 1
  }
}

/**
 * Keys in the shapes that well-known services give them: Anthropic and OpenAI, AWS, GitHub, GitLab, Google, Groq, Hugging Face,
 * npm, SendGrid, Slack and Stripe.
 *
 * @category rules
 * @since 0.1.0
 */
export const apiKey: Rule = {
  name: "apiKey",
  regExp: new RegExp(
    `(?<![A-Za-z\\d_])(?:${[
      /sk-[\w-]{20,200}/,
      /(?:AKIA|ASIA)[A-Z\d]{16}/,
      /gh[opsur]_[A-Za-z\d]{36,255}/,
      /github_pat_\w{22,255}/,
      /glpat-[\w-]{20,64}/,
      /AIza[\w-]{35}/,
      /gsk_[A-Za-z\d]{40,64}/,
      /hf_[A-Za-z\d]{30,64}/,
      /npm_[A-Za-z\d]{36}/,
      /SG\.[\w-]{16,32}\.[\w-]{16,64}/,
      /xox[abeoprs]-[\w-]{10,250}/,
      /[rs]k_(?:live|test)_[A-Za-z\d]{16,128}/
    ]
      .map(({ source }) => source)
      .join("|")})`
  )
}
