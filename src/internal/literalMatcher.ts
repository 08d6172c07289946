/**
 * Finds literal patterns in text that arrives in pieces, and replaces them.
 *
 * The reference is the whole text: from left to right, at the leftmost position where any pattern matches, take the
 * longest pattern that matches there, replace it, go on behind it.
 *
 * 1. What is emitted, joined, is the reference's result, wherever the text is cut.
 * 2. Each push emits everything that no continuation of the text can change, and not a character more: what is held
 *    back is always a proper prefix of a pattern, thus shorter than the longest pattern. A replacement is emitted as
 *    soon as it is decided which pattern matches.
 * 3. Time is linear in the text for any patterns and any pieces, and does not grow with the number of patterns but for
 *    the cost of memory. Memory is bounded by the patterns.
 * 4. A match never cuts a surrogate pair: patterns are well-formed, so their ends are ends of code points. A piece of
 *    text may end within a pair; its first half is emitted with the piece, unless a pattern may begin with it.
 * 5. A match is as long as its pattern, in UTF-16 code units, also where case does not count.
 *
 * **Case.** Without `caseSensitive`, two characters are equal where a regular expression with the flags `iu` takes them
 * for equal (Unicode's simple case folding): one character against one, whatever the language. `k` is `K` and the Kelvin
 * sign, `s` is `S` and `ſ`, `σ` is `Σ` and `ς`, `ß` is `ẞ`. But `ß` is not `ss`, `ﬁ` is not `fi`, and the dotless `ı` and
 * the dotted `İ` equal only themselves. Composed and decomposed letters differ.
 *
 * @since 0.1.0
 */
import { type Automaton, build, childOf, outputsOf } from "./ahoCorasick.ts"

/**
 * Called for each match, from left to right, when it is decided: which pattern (the first of equal ones), where the
 * match begins in the stream's input (UTF-16 code units), and the text that matched. Returns what stands in its place,
 * or `undefined` to stop: nothing is emitted from the match on. It must not throw, nor push into the same stream.
 *
 * @category models
 * @since 0.1.0
 */
export type OnMatch = (pattern: number, offset: number, matched: string) => string | undefined

/**
 * Compiled patterns, immutable: any number of streams share them.
 *
 * @category models
 * @since 0.1.0
 */
export interface LiteralMatcher {
  readonly patterns: ReadonlyArray<string>
  /** The most that a stream ever holds back, in UTF-16 code units: one less than the longest pattern. */
  readonly maxHeld: number
  /** Begins a text. With a string, that string replaces each match, and nothing is called. */
  readonly open: (replacement: string | OnMatch) => LiteralStream
}

/**
 * One text on its way through a {@link LiteralMatcher}.
 *
 * @category models
 * @since 0.1.0
 */
export interface LiteralStream {
  /** Takes the next piece and returns what is decided. Returns `text` itself when it passes whole and unchanged. */
  readonly push: (text: string) => string
  /** Returns the rest, as if no text followed. The stream then stands at offset 0 of a new text, unless it has stopped. */
  readonly end: () => string
  /** How many UTF-16 code units are held back. */
  readonly held: number
  /** Whether `onMatch` has returned `undefined`. From then on `push` and `end` return "". */
  readonly stopped: boolean
}

/**
 * Compiles `patterns`.
 *
 * **Gotchas**
 *
 * Throws a `RangeError` for an empty pattern, for a pattern that holds half a surrogate pair, and when all patterns
 * together use more than 65,000 different characters.
 *
 * @category constructors
 * @since 0.1.0
 */
export const compile = (
  patterns: ReadonlyArray<string>,
  options: { readonly caseSensitive: boolean }
): LiteralMatcher => {
  patterns.forEach((pattern, index) => {
    if (pattern === "") throw new RangeError(`patterns[${index}] is empty: it would match everywhere`)
    if (!pattern.isWellFormed()) throw new RangeError(`patterns[${index}] holds half a surrogate pair`)
  })
  const copy = Object.freeze(patterns.slice())
  const alphabet = makeAlphabet(copy, options.caseSensitive)
  const automaton = build(alphabet.words, alphabet.symbolCount, [lowSurrogate])
  return {
    patterns: copy,
    maxHeld: copy.reduce((longest, pattern) => Math.max(longest, pattern.length - 1), 0),
    open: (replacement) =>
      copy.length === 0 ? passThrough : new ReplacingStream(copy, alphabet, automaton, replacement)
  }
}

// -----------------------------------------------------------------------------
// Characters
// -----------------------------------------------------------------------------

/** The symbol of all characters that stand in no pattern. */
const foreign = 0

/** The symbol of low surrogates that have another case: what they are depends on the high surrogate before them. */
const lowSurrogate = 1

/**
 * The automaton reads symbols, of which there are as many as the patterns have different characters: small numbers, and
 * the same one for all cases of a letter, so that folding costs the text nothing.
 */
interface Alphabet {
  /** The patterns, in symbols. */
  readonly words: ReadonlyArray<string>
  readonly symbolCount: number
  /** The symbol of each code unit, up to the highest in any pattern. */
  readonly symbols: Uint16Array
  /** The symbol of a low surrogate behind the symbol of a high one, for {@link lowSurrogate}. */
  readonly lowSurrogateSymbol: (high: number, unit: number) => number
}

const makeAlphabet = (patterns: ReadonlyArray<string>, caseSensitive: boolean): Alphabet => {
  const unitSymbols = new Map<string, number>()
  const highs = new Map<number, string>()
  const pairSymbols = new Map<string, number>()
  const casedLows = new Set<string>()
  let symbolCount = 2
  const symbolsOf = (character: string): string => {
    const variants = caseSensitive ? [character] : caseVariants(character)
    if (character.length === 2) {
      const high = unitSymbols.get(character[0]!) ?? symbolCount++
      unitSymbols.set(character[0]!, high)
      highs.set(high, character[0]!)
      if (variants.length === 1) {
        const low = unitSymbols.get(character[1]!) ?? symbolCount++
        unitSymbols.set(character[1]!, low)
        return String.fromCharCode(high, low)
      }
      const low = pairSymbols.get(character) ?? symbolCount++
      for (const variant of variants) {
        pairSymbols.set(variant, low)
        casedLows.add(variant[1]!)
      }
      return String.fromCharCode(high, low)
    }
    const symbol = unitSymbols.get(character) ?? symbolCount++
    for (const variant of variants) unitSymbols.set(variant, symbol)
    return String.fromCharCode(symbol)
  }

  const known = new Map<string, string>()
  const words = patterns.map((pattern) => {
    let word = ""
    for (const character of pattern) {
      let symbols = known.get(character)
      if (symbols === undefined) {
        symbols = symbolsOf(character)
        known.set(character, symbols)
      }
      word += symbols
    }
    return word
  })
  if (symbolCount > 65_000) throw new RangeError(`patterns use ${symbolCount} different characters, the limit is 65000`)

  let highest = -1
  for (const unit of unitSymbols.keys()) highest = Math.max(highest, unit.charCodeAt(0))
  for (const unit of casedLows) highest = Math.max(highest, unit.charCodeAt(0))
  const symbols = new Uint16Array(highest + 1)
  for (const [unit, symbol] of unitSymbols) symbols[unit.charCodeAt(0)] = symbol
  for (const unit of casedLows) symbols[unit.charCodeAt(0)] = lowSurrogate
  return {
    words,
    symbolCount,
    symbols,
    lowSurrogateSymbol: (high, unit) => {
      const low = String.fromCharCode(unit)
      const first = highs.get(high)
      return first === undefined ? foreign : (pairSymbols.get(first + low) ?? unitSymbols.get(low) ?? foreign)
    }
  }
}

/** Every character that equals `character` where case does not count, itself included. */
const caseVariants = (character: string): ReadonlyArray<string> => {
  const unit = character.codePointAt(0)!
  if (unit < 128) {
    const lower = character.toLowerCase()
    const upper = character.toUpperCase()
    if (lower === upper) return [character]
    return lower === "k" ? ["k", "K", "\u212a"] : lower === "s" ? ["s", "S", "\u017f"] : [lower, upper]
  }
  casedCharacters ??= findCasedCharacters()
  const variants = casedCharacters.match(new RegExp(`\\u{${unit.toString(16)}}`, "giu"))
  // All cases of a letter have one length; should Unicode ever add a letter for which this does not hold, its cases
  // differ here.
  return variants?.filter((variant) => variant.length === character.length) ?? [character]
}

// Every character that has another case. Finding them takes 15 ms, which ASCII patterns never pay.
let casedCharacters: string | undefined

// Letters with case stand in the first two planes of Unicode.
const findCasedCharacters = (): string => {
  let cased = ""
  for (let from = 0; from < 0x20000; from += 0x400) {
    if (from >= 0xd800 && from < 0xe000) continue
    const characters = String.fromCodePoint(...Array.from({ length: 0x400 }, (_, index) => from + index))
    cased += characters.replace(/\P{Changes_When_Casemapped}+/gu, "")
  }
  return cased
}

// -----------------------------------------------------------------------------
// Stream
// -----------------------------------------------------------------------------

const passThrough: LiteralStream = { push: (text) => text, end: () => "", held: 0, stopped: false }

class ReplacingStream implements LiteralStream {
  stopped = false
  private readonly patterns: ReadonlyArray<string>
  private readonly alphabet: Alphabet
  private readonly automaton: Automaton
  private readonly replacement: string | OnMatch
  /** The text that is held back is this node's string, but for case. */
  private node = 0
  private readonly queue = new TextQueue()
  /** Offset of the current piece. All positions below count from its start: what is held back stands before 0. */
  private offset = 0
  private text = ""
  /** Up to here the text is emitted or replaced. */
  private position = 0
  private output = ""

  constructor(
    patterns: ReadonlyArray<string>,
    alphabet: Alphabet,
    automaton: Automaton,
    replacement: string | OnMatch
  ) {
    this.patterns = patterns
    this.alphabet = alphabet
    this.automaton = automaton
    this.replacement = replacement
  }

  get held(): number {
    return this.automaton.depth[this.node]!
  }

  push(text: string): string {
    if (this.stopped) return ""
    const { depth, fail, firstChild, outputs, rowCount, rowShift, rows, word } = this.automaton
    const { symbols } = this.alphabet
    const end = text.length
    const limit = symbols.length
    let node = this.node
    let index = 0
    this.text = text
    this.position = -depth[node]!
    this.output = ""
    for (;;) {
      while (index < end && node < rowCount) {
        const unit = text.charCodeAt(index)
        const next = rows[(node << rowShift) | (unit < limit ? symbols[unit]! : foreign)]!
        if (next < 0) break
        node = next
        index++
      }
      if (index === end) break
      const unit = text.charCodeAt(index)
      let symbol = unit < limit ? symbols[unit]! : foreign
      if (symbol === lowSurrogate) symbol = this.alphabet.lowSurrogateSymbol(this.automaton.label[node]!, unit)
      const next = childOf(this.automaton, node, symbol)
      if (next !== 0) {
        index++
        node = next
        if (firstChild[next] === firstChild[next + 1]) {
          this.replace(word[next]!, index - depth[next]!)
          node = 0
        }
      } else if (node === 0) {
        index++
      } else {
        if (outputs[node] !== 0) this.replaceAll(node, index - depth[node]!)
        node = fail[node]!
      }
      if (this.stopped) return this.output
    }
    this.node = node
    this.offset += end
    const undecided = end - depth[node]!
    if (undecided === end && this.position === 0) return this.output + text
    this.emit(undecided)
    if (undecided < 0) this.queue.push(text)
    else if (undecided < end) this.queue.push(text.slice(undecided))
    return this.output
  }

  end(): string {
    if (this.stopped) return ""
    const { depth, fail, outputs } = this.automaton
    let node = this.node
    this.text = ""
    this.position = -depth[node]!
    this.output = ""
    while (node !== 0) {
      if (outputs[node] !== 0) this.replaceAll(node, -depth[node]!)
      node = fail[node]!
    }
    if (!this.stopped) this.emit(0)
    this.node = 0
    this.offset = 0
    return this.output
  }

  private replaceAll(node: number, start: number): void {
    const matches = outputsOf(this.automaton, node, start)
    for (let index = matches.length - 2; index >= 0 && !this.stopped; index -= 2) {
      this.replace(matches[index]!, matches[index + 1]!)
    }
  }

  private replace(pattern: number, start: number): void {
    this.emit(start)
    const end = start + this.patterns[pattern]!.length
    if (typeof this.replacement === "string") {
      if (this.position < 0) this.read(end)
      else this.position = end
      this.output += this.replacement
      return
    }
    const replacement = this.replacement(pattern, this.offset + start, this.read(end))
    if (replacement !== undefined) {
      this.output += replacement
      return
    }
    this.stopped = true
    this.node = 0
  }

  private emit(until: number): void {
    if (until > this.position) this.output += this.read(until)
  }

  /** The text from `position` to `until`, which is the new position. */
  private read(until: number): string {
    let text = ""
    if (this.position < 0) {
      const queued = Math.min(until, 0) - this.position
      text = this.queue.take(queued)
      this.position += queued
    }
    if (until > this.position) {
      text += this.text.slice(this.position, until)
      this.position = until
    }
    return text
  }
}

/**
 * The text that is held back, as it came. Taking a part costs that part, whatever is behind it: one string for all would
 * be copied with each push, which is quadratic where a long pattern is held back over many pieces.
 */
class TextQueue {
  // The pieces from `head` to `tail`; what is outside is empty and used again.
  private readonly pieces: Array<string> = []
  private head = 0
  private tail = 0
  /** How much of the first piece is taken. */
  private taken = 0

  push(text: string): void {
    if (text !== "") this.pieces[this.tail++] = text
  }

  take(length: number): string {
    let text = ""
    while (length > 0) {
      const piece = this.pieces[this.head]!
      const end = Math.min(piece.length, this.taken + length)
      text += piece.slice(this.taken, end)
      length -= end - this.taken
      this.taken = end
      if (end === piece.length) {
        this.pieces[this.head++] = ""
        this.taken = 0
      }
    }
    if (this.head === this.tail) {
      this.head = 0
      this.tail = 0
    } else if (this.head >= 64 && this.head * 2 > this.tail) {
      // Half of the pieces are taken at least: moving the others costs less than one step for each of them.
      this.pieces.splice(0, this.head)
      this.tail -= this.head
      this.head = 0
    }
    return text
  }
}
