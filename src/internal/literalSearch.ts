/**
 * Searches for literals, by the thousand: leftmost, then longest, then the first of equal ones.
 *
 * 1. One automaton for all of them: see `literalMatcher`. A search holds back what is a proper prefix of some literal, and
 *    nothing more.
 * 2. A whole word has no word character (letter, mark, digit, connecting punctuation) before it and none behind it. The
 *    automaton sees both as characters of their own, which are put into the text and into the literals alike. So whole words
 *    are found in the same single pass, however many there are.
 *
 * @since 0.1.0
 */
import { CodeSet } from "./codeSet.ts"
import * as LiteralMatcher from "./literalMatcher.ts"
import type { Match, Search, TextWindow } from "./textSearch.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface Literal {
  readonly text: string
  readonly rule: number
}

/**
 * @category options
 * @since 0.1.0
 */
export interface Options {
  readonly caseSensitive: boolean
  readonly wholeWord: boolean
}

/**
 * Compiles literals, those of the earlier rule first.
 *
 * @category constructors
 * @since 0.1.0
 */
export const compile = (literals: ReadonlyArray<Literal>, options: Options): (() => Search) => {
  const patterns = literals.map(({ text }) => (options.wholeWord ? new Borders().end(text) : text))
  const matcher = LiteralMatcher.compile(patterns, options)
  const starts = new CodeSet((code) => {
    const character = new RegExp(`^\\u{${code.toString(16)}}`, options.caseSensitive ? "u" : "iu")
    return literals.some(({ text }) => character.test(text))
  })
  const canStart = (code: number) => starts.has(code)
  return () =>
    options.wholeWord ? new WordSearch(literals, matcher, canStart) : new LiteralSearch(literals, matcher, canStart)
}

class LiteralSearch implements Search {
  readonly behind = 0
  readonly canStart: (code: number) => boolean
  start = 0
  match: Match | undefined
  private readonly matcher: LiteralMatcher.LiteralMatcher
  private readonly onMatch: LiteralMatcher.OnMatch
  private stream: LiteralMatcher.LiteralStream
  /** Where the stream's text begins in the window's, and how far it has come. */
  private origin = 0
  private position = 0

  constructor(
    literals: ReadonlyArray<Literal>,
    matcher: LiteralMatcher.LiteralMatcher,
    canStart: (code: number) => boolean
  ) {
    this.canStart = canStart
    this.matcher = matcher
    this.onMatch = (pattern, offset, matched) => {
      const start = this.origin + offset
      const { rule } = literals[pattern]!
      this.match = { start, end: start + matched.length, rule, isTooLong: false }
      return undefined
    }
    this.stream = matcher.open(this.onMatch)
  }

  advance(window: TextWindow): void {
    if (this.match !== undefined) return
    if (this.position < window.end) {
      this.stream.push(window.from(this.position))
      this.position = window.end
    }
    if (window.ended) this.stream.end()
    this.start = this.match === undefined ? this.position - this.stream.held : (this.match as Match).start
  }

  restart(position: number): void {
    this.match = undefined
    this.origin = position
    this.position = position
    this.start = position
    this.stream = this.matcher.open(this.onMatch)
  }
}

// -----------------------------------------------------------------------------
// Whole words
// -----------------------------------------------------------------------------

// Noncharacters, which stand for nothing in any text. Where a text has them nevertheless, a third one takes their place.
const afterBorder = "\ufdd0"
const beforeBorder = "\ufdd1"
const escapeBorders = (text: string): string => text.replace(/[\ufdd0\ufdd1]/g, "\ufdd2")

const wordCharacters = new CodeSet((code) => /[\p{L}\p{M}\p{N}\p{Pc}]/u.test(String.fromCodePoint(code)))

/** Puts borders into a text: `beforeBorder` before what is no word character, `afterBorder` behind it. */
class Borders {
  private isInWord = false
  /** Where borders have been put, in the text with borders, from the first that is still needed; and how many before that. */
  private readonly places: Array<number> = []
  private forgotten = 0
  /** How long the text with borders is. */
  length = 0

  begin(codeBefore: number): void {
    this.isInWord = codeBefore >= 0 && wordCharacters.has(codeBefore)
    this.places.length = 0
    this.forgotten = 0
    this.length = 0
  }

  /** `text` must not end within a surrogate pair. */
  push(text: string): string {
    const safe = escapeBorders(text)
    let out = ""
    let from = 0
    for (let index = 0; index < safe.length;) {
      const code = safe.codePointAt(index)!
      const isWord = wordCharacters.has(code)
      if (!isWord || !this.isInWord) {
        out += safe.slice(from, index)
        from = index
        if (!isWord) out += this.put(beforeBorder, out.length)
        if (!this.isInWord) out += this.put(afterBorder, out.length)
        this.isInWord = isWord
      }
      index += code > 0xffff ? 2 : 1
    }
    out += safe.slice(from)
    this.length += out.length
    return out
  }

  end(text: string): string {
    const out = this.push(text)
    return out + this.put(beforeBorder, 0)
  }

  private put(border: string, at: number): string {
    this.places.push(this.length + at)
    return border
  }

  /** Where a place in the text with borders is in the text without. */
  without(place: number): number {
    let low = 0
    let high = this.places.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.places[middle]! < place) low = middle + 1
      else high = middle
    }
    return place - this.forgotten - low
  }

  /** What is before this place will not be asked for. */
  forget(place: number): void {
    if (this.places.length < 1024 || this.places[this.places.length >> 1]! >= place) return
    const count = this.places.length >> 1
    this.places.splice(0, count)
    this.forgotten += count
  }
}

class WordSearch implements Search {
  readonly behind = 2
  readonly canStart: (code: number) => boolean
  start = 0
  match: Match | undefined
  private readonly matcher: LiteralMatcher.LiteralMatcher
  private readonly onMatch: LiteralMatcher.OnMatch
  private readonly borders = new Borders()
  private stream: LiteralMatcher.LiteralStream
  private origin = 0
  private position = 0

  constructor(
    literals: ReadonlyArray<Literal>,
    matcher: LiteralMatcher.LiteralMatcher,
    canStart: (code: number) => boolean
  ) {
    this.canStart = canStart
    this.matcher = matcher
    this.onMatch = (pattern, offset, matched) => {
      const start = this.origin + this.borders.without(offset)
      const end = this.origin + this.borders.without(offset + matched.length - 1)
      this.match = { start, end, rule: literals[pattern]!.rule, isTooLong: false }
      return undefined
    }
    this.stream = matcher.open(this.onMatch)
  }

  advance(window: TextWindow): void {
    if (this.match !== undefined) return
    let text = window.from(this.position)
    if (!window.ended && (text.charCodeAt(text.length - 1) & 0xfc00) === 0xd800) text = text.slice(0, -1)
    this.position += text.length
    this.stream.push(window.ended ? this.borders.end(text) : this.borders.push(text))
    if (window.ended) this.stream.end()
    if (this.match !== undefined) {
      this.start = (this.match as Match).start
      return
    }
    const place = this.borders.length - this.stream.held
    this.start = window.ended ? this.position : this.origin + this.borders.without(place)
    this.borders.forget(place)
  }

  restart(position: number, window: TextWindow): void {
    this.match = undefined
    this.origin = position
    this.position = position
    this.start = position
    this.borders.begin(window.codeBefore(position))
    this.stream = this.matcher.open(this.onMatch)
  }
}
