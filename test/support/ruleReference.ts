/** What the rules of a content filter find in a whole text: the naive reference. */
import type * as ContentFilter from "../../src/processors/ContentFilter.ts"

export interface Found {
  readonly start: number
  readonly end: number
  readonly rule: number
}

export interface Options {
  readonly caseSensitive?: boolean
  readonly normalize?: boolean
}

const escape = (text: string) => text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")
const before = "(?<![\\p{L}\\p{M}\\p{N}\\p{Pc}])"
const behind = "(?![\\p{L}\\p{M}\\p{N}\\p{Pc}])"

/** A text, cut into characters with their marks. */
const unitsOf = (text: string): ReadonlyArray<string> => {
  const units: Array<string> = []
  for (const character of text) {
    const joins = /^[\p{M}\u1160-\u11ff]/u.test(character.normalize("NFKD")) || /\p{M}/u.test(character)
    if (joins && units.length > 0 && [...units.at(-1)!].length < 32) units.push(units.pop()! + character)
    else units.push(character)
  }
  return units
}

export const find = (
  rules: ReadonlyArray<ContentFilter.Rule>,
  original: string,
  options: Options = {}
): ReadonlyArray<Found> => {
  const units = options.normalize === true ? unitsOf(original) : undefined
  const normalize = (text: string) => (options.normalize === true ? text.normalize("NFKC") : text)
  // Of each position of the searched text: where its unit begins and ends.
  const places: Array<{ start: number; end: number; next: number }> = []
  let text = original
  if (units !== undefined) {
    text = ""
    let at = 0
    for (const unit of units) {
      const normal = normalize(unit)
      const whole = [...unit].length > 1 || normal !== unit
      for (let n = 0; n < normal.length; n++) {
        places.push(
          whole
            ? { start: at, end: at + unit.length, next: text.length + normal.length }
            : { start: at + n, end: at + n + 1, next: text.length + n + 1 }
        )
      }
      text += normal
      at += unit.length
    }
  }
  const expressions = rules.map(({ literal, literals, regExp, wholeWord }) => {
    if (regExp !== undefined) return [new RegExp(regExp.source, regExp.flags.replace(/[gy]/g, "") + "y")]
    return (literals ?? [literal!]).map((word) => {
      const source = escape(normalize(word))
      const flags = options.caseSensitive === true ? "uy" : "iuy"
      return new RegExp(wholeWord === true ? `${before}${source}${behind}` : source, flags)
    })
  })
  const longest = (rule: number, position: number): number => {
    let most = 0
    for (const expression of expressions[rule]!) {
      const isInPair = /[\ud800-\udbff]/.test(text[position - 1] ?? "") && /[\udc00-\udfff]/.test(text[position]!)
      if (isInPair && /[uv]/.test(expression.flags)) continue
      expression.lastIndex = position
      const found = expression.exec(text)
      if (found === null) continue
      if (rules[rule]!.check?.(found[0]) === false) continue
      most = Math.max(most, found[0].length)
    }
    return most
  }
  const found: Array<Found> = []
  for (let position = 0; position < text.length;) {
    let best = { rule: -1, length: 0 }
    rules.forEach((_, rule) => {
      const length = longest(rule, position)
      if (length > best.length) best = { rule, length }
    })
    if (best.length === 0) {
      position++
      continue
    }
    const end = position + best.length
    found.push({
      rule: best.rule,
      start: places.length > 0 ? places[position]!.start : position,
      end: places.length > 0 ? places[end - 1]!.end : end
    })
    position = places.length > 0 ? places[end - 1]!.next : end
  }
  return found
}

/** What a filter makes of a whole text: the text, and the rule that blocks it. */
export const redact = (
  rules: ReadonlyArray<ContentFilter.Rule>,
  text: string,
  options: Options & { readonly replacement?: string } = {}
): { readonly text: string; readonly blocked: string | undefined; readonly hits: Record<string, number> } => {
  let out = ""
  let from = 0
  const hits: Record<string, number> = {}
  for (const { end, rule, start } of find(rules, text, options)) {
    const { action, name, replacement } = rules[rule]!
    out += text.slice(from, start)
    from = end
    hits[name] = (hits[name] ?? 0) + 1
    if (action === "block") return { text: out, blocked: name, hits }
    if (action === "drop") continue
    if (action === "mask") out += (replacement ?? "*").repeat(text.slice(start, end).match(/[^]/gu)!.length)
    else out += replacement ?? options.replacement ?? "[FILTERED]"
  }
  return { text: out + text.slice(from), blocked: undefined, hits }
}
