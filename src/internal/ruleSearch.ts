/**
 * Searches a text for the matches of many rules at once: leftmost, then longest, then the earlier rule; not overlapping.
 *
 * The reference is the whole text. From left to right, at the leftmost position where any rule matches, the longest of those
 * matches is taken, of equally long ones that of the earlier rule; then on behind it. A rule of literals matches at a position
 * with the longest of them, a regular expression with what `RegExp` finds there. What is before a position counts as it came,
 * also where it has been taken.
 *
 * 1. What is found does not depend on how the text was cut.
 * 2. A match is given as soon as no text to come can change it, and what is before `decided` passes.
 *
 * @since 0.1.0
 */
import { CodeSet } from "./codeSet.ts"
import * as LiteralSearch from "./literalSearch.ts"
import { compositesOf, marks, NormalText } from "./normalText.ts"
import * as RegExpSearch from "./regExpSearch.ts"
import { type Match, type Search, TextWindow } from "./textSearch.ts"

/**
 * What a rule looks for.
 *
 * @category models
 * @since 0.1.0
 */
export interface Rule {
  readonly what:
    | { readonly literals: ReadonlyArray<string> }
    | { readonly regExp: RegExp; readonly options: Omit<RegExpSearch.Options, "rule" | "wholeWord"> }
  readonly wholeWord: boolean
}

/**
 * @category options
 * @since 0.1.0
 */
export interface Options {
  readonly caseSensitive: boolean
  /** Whether rules see the text in its normal form NFKC, and literals are brought into it. */
  readonly normalize: boolean
}

/**
 * Compiles rules, and gives a way to begin a text.
 *
 * @category constructors
 * @since 0.1.0
 */
export const compile = (rules: ReadonlyArray<Rule>, options: Options): (() => RuleSearch) => {
  const open: Array<() => Search> = []
  for (const wholeWord of [false, true]) {
    const literals = rules.flatMap(({ what, ...rule }, index) =>
      "literals" in what && rule.wholeWord === wholeWord
        ? what.literals.map((text) => ({ text: options.normalize ? text.normalize("NFKC") : text, rule: index }))
        : []
    )
    if (literals.length > 0) {
      open.push(LiteralSearch.compile(literals, { caseSensitive: options.caseSensitive, wholeWord }))
    }
  }
  rules.forEach(({ what, wholeWord }, rule) => {
    if ("regExp" in what) open.push(RegExpSearch.compile(what.regExp, { ...what.options, rule, wholeWord }))
  })
  const starts = open.map((search) => search().canStart)
  const startsAt = (code: number) => starts.some((canStart) => canStart(code))
  let startsAtMark: boolean | undefined
  const mayStart = new CodeSet((code) => {
    startsAtMark ??= marks().some(startsAt)
    if (startsAtMark) return true
    const normal = Array.from(String.fromCodePoint(code).normalize("NFKC"), (character) => character.codePointAt(0)!)
    return normal.some(startsAt) || compositesOf(normal[0]!).some(startsAt)
  })
  return () =>
    new RuleSearch(
      open.map((search) => search()),
      options.normalize ? new NormalText() : undefined,
      (code) => mayStart.has(code)
    )
}

/**
 * One text on its way through the rules. Positions are those of the text as it came.
 *
 * @category models
 * @since 0.1.0
 */
export class RuleSearch {
  private readonly searches: ReadonlyArray<Search>
  private readonly canStart: (code: number) => boolean
  private readonly behind: number
  private readonly normal: NormalText | undefined
  private readonly window = new TextWindow()
  /** Up to here the text is decided, once there is no next match. */
  decided = 0

  constructor(searches: ReadonlyArray<Search>, normal: NormalText | undefined, canStart: (code: number) => boolean) {
    this.searches = searches
    this.canStart = canStart
    this.behind = searches.reduce((most, { behind }) => Math.max(most, behind), 0)
    this.normal = normal
  }

  push(text: string): void {
    this.window.push(this.normal === undefined ? text : this.normal.push(text))
  }

  /** No more text follows. */
  end(): void {
    this.window.push(this.normal === undefined ? "" : this.normal.end())
    this.window.ended = true
  }

  /** The next match that is decided. */
  next(): Match | undefined {
    let start = this.window.end
    for (const search of this.searches) {
      search.advance(this.window)
      start = Math.min(start, search.start)
    }
    let best: Match | undefined
    let isOpen = false
    for (const search of this.searches) {
      if (search.start > start) continue
      if (search.match === undefined) isOpen = true
      else best = best === undefined ? search.match : better(best, search.match)
    }
    if (best === undefined || isOpen) {
      this.decide(start)
      return undefined
    }
    return this.take(best)
  }

  /** The searches go on behind the match; its ends become those of whole characters of the text as it came. */
  private take(match: Match): Match {
    const { normal } = this
    const found =
      normal === undefined
        ? match
        : { ...match, start: normal.originalStart(match.start), end: normal.endOf(match.end).original }
    const end = normal === undefined ? match.end : normal.endOf(match.end).normal
    for (const search of this.searches) {
      if (search.start < end) search.restart(end, this.window)
    }
    return found
  }

  private decide(start: number): void {
    const { normal, window } = this
    this.window.trim(start - this.behind)
    if (normal === undefined) {
      this.decided = start
      return
    }
    this.decided = normal.originalStart(start)
    normal.forget(start)
    // What is pending may go where no match can begin with it, whatever marks follow.
    const { pending } = normal
    const isCut = (pending.charCodeAt(pending.length - 1) & 0xfc00) === 0xd800
    const size = isCut ? pending.length - 1 : pending.length
    if (start === window.end && size > 0 && !this.canStart(pending.codePointAt(0)!)) this.decided += size
  }
}

const better = (a: Match, b: Match): Match => {
  if (a.isTooLong !== b.isTooLong) return a.isTooLong ? a : b
  if (a.end !== b.end) return a.end > b.end ? a : b
  return a.rule < b.rule ? a : b
}
