/**
 * Normalises text that arrives in pieces (Unicode's NFKC), and knows for each position where it comes from.
 *
 * So that full-width letters, ligatures and letters with separate accents are what they look like: `ｐ` is `p`, `ﬁ` is `fi`, and
 * `e` with a combining acute accent is `é`.
 *
 * 1. The unit is a character with the marks that belong to it. Each is normalised by itself, which gives what normalising the
 *    whole text gives, for no more than 32 code points in a unit.
 * 2. The last unit of what has arrived is pending, since a mark could follow.
 *
 * @since 0.1.0
 */
import { CodeSet } from "./codeSet.ts"

/** As Unicode's stream-safe text has it: no language puts more marks on a letter. */
const maxCodes = 32

/** Marks, and the vowels and final consonants of Hangul: what may become one with the character before it. */
const joins = new CodeSet((code) => {
  const character = String.fromCodePoint(code)
  return /^[\p{M}\u1160-\u11ff]/u.test(character.normalize("NFKD")) || /\p{M}/u.test(character)
})

const changes = new CodeSet((code) => {
  const character = String.fromCodePoint(code)
  return character.normalize("NFKC") !== character
})

/** A stretch of text: `size` units of the original became `length`. */
interface Stretch {
  readonly start: number
  readonly origin: number
  length: number
  size: number
  /** Whether every unit stands for itself; else all of them stand for the whole. */
  readonly isSame: boolean
}

/**
 * One text on its way into its normal form.
 *
 * @category models
 * @since 0.1.0
 */
export class NormalText {
  private stretches: Array<Stretch> = []
  /** How long the normal form is, and the original that it stands for. */
  private length = 0
  private size = 0
  /** The original text that is not normalised yet. */
  pending = ""

  /** Takes the next piece and returns what is added to the normal form. */
  push(text: string): string {
    const all = this.pending + text
    let out = ""
    let plain = 0
    let start = 0
    let index = 0
    let codes = 0
    let changed = false
    for (; index < all.length;) {
      const unit = all.charCodeAt(index)
      let width = 1
      let code = unit
      if (unit >= 0xd800 && unit < 0xdc00) {
        if (index + 1 === all.length) break
        code = all.codePointAt(index)!
        if (code > 0xffff) width = 2
      }
      if (codes === 0 || codes === maxCodes || unit < 0x300 || !joins.has(code)) {
        if (codes > 1 || changed) {
          out += this.keep(all.slice(plain, start)) + this.change(all.slice(start, index))
          plain = index
        }
        start = index
        codes = 0
        changed = false
      }
      codes++
      changed ||= unit >= 0xa0 && changes.has(code)
      index += width
    }
    this.pending = all.slice(start)
    return out + this.keep(all.slice(plain, start))
  }

  /** Returns the rest: no more text follows. */
  end(): string {
    const rest = this.pending
    this.pending = ""
    // Half a pair whose other half does not come is no mark.
    const size = (rest.charCodeAt(rest.length - 1) & 0xfc00) === 0xd800 ? rest.length - 1 : rest.length
    return this.settle(rest.slice(0, size)) + this.keep(rest.slice(size))
  }

  private settle(unit: string): string {
    return [...unit].length > 1 || unit.normalize("NFKC") !== unit ? this.change(unit) : this.keep(unit)
  }

  private keep(text: string): string {
    if (text === "") return text
    const last = this.stretches.at(-1)
    if (last?.isSame === true) {
      last.length += text.length
      last.size += text.length
    } else {
      this.add(text.length, text.length, true)
    }
    this.length += text.length
    this.size += text.length
    return text
  }

  private change(unit: string): string {
    const normal = unit.normalize("NFKC")
    this.add(normal.length, unit.length, false)
    this.length += normal.length
    this.size += unit.length
    return normal
  }

  private add(length: number, size: number, isSame: boolean): void {
    this.stretches.push({ start: this.length, origin: this.size, length, size, isSame })
  }

  /** Where the unit begins, in the original, that a position of the normal form is in. */
  originalStart(position: number): number {
    const stretch = this.stretchAt(position)
    if (stretch === undefined) return this.size
    return stretch.origin + (stretch.isSame ? position - stretch.start : 0)
  }

  /** Where the unit ends that the character before a position is in: in the original, and in the normal form. */
  endOf(position: number): { readonly original: number; readonly normal: number } {
    const stretch = this.stretchAt(position - 1)!
    return stretch.isSame
      ? { original: stretch.origin + position - stretch.start, normal: position }
      : { original: stretch.origin + stretch.size, normal: stretch.start + stretch.length }
  }

  /** Positions before this one will not be asked for. */
  forget(position: number): void {
    const half = this.stretches.length >> 1
    if (half >= 32 && this.stretches[half]!.start <= position) this.stretches.splice(0, half)
  }

  private stretchAt(position: number): Stretch | undefined {
    if (position >= this.length) return undefined
    let low = 0
    let high = this.stretches.length
    while (high - low > 1) {
      const middle = (low + high) >>> 1
      if (this.stretches[middle]!.start <= position) low = middle
      else high = middle
    }
    return this.stretches[low]
  }
}

/**
 * The characters that a character may become when marks follow it, itself included.
 *
 * @category getters
 * @since 0.1.0
 */
export const compositesOf = (code: number): ReadonlyArray<number> => {
  composites ??= findComposites()
  return [code, ...(composites.get(code) ?? [])]
}

// Finding them takes 10 ms; programs that do not normalise never pay.
let composites: Map<number, Array<number>> | undefined

// What decomposes stands in these ranges.
const ranges = [
  [0xc0, 0x2fff],
  [0x3040, 0x30ff],
  [0xac00, 0xd7a3],
  [0x105c0, 0x105ff],
  [0x11080, 0x11fff],
  [0x16100, 0x16dff]
] as const

const findComposites = (): Map<number, Array<number>> => {
  const found = new Map<number, Array<number>>()
  for (const [first, last] of ranges) {
    for (let code = first; code <= last; code++) {
      const base = String.fromCodePoint(code).normalize("NFD").codePointAt(0)!
      if (base === code) continue
      const others = found.get(base)
      if (others === undefined) found.set(base, [code])
      else others.push(code)
      // A syllable of two letters is itself one that a third may join.
      if (code >= 0xac00 && code <= 0xd7a3 && (code - 0xac00) % 28 !== 0) {
        const pair = code - ((code - 0xac00) % 28)
        const more = found.get(pair)
        if (more === undefined) found.set(pair, [code])
        else more.push(code)
      }
    }
  }
  return found
}

/**
 * Every mark that may follow a character.
 *
 * @category getters
 * @since 0.1.0
 */
export const marks = (): ReadonlyArray<number> => (allMarks ??= findMarks())

let allMarks: ReadonlyArray<number> | undefined

const findMarks = (): ReadonlyArray<number> => {
  const found: Array<number> = []
  for (let code = 0x300; code < 0x20000; code++) {
    if (joins.has(code)) found.push(code)
  }
  return found
}
