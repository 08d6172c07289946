/**
 * Cuts text that arrives in pieces into units that a reader would see as one: graphemes, words, sentences or lines.
 *
 * 1. The units, joined, are the text.
 * 2. A unit comes out when it is whole: what may still grow is kept. A word goes with the white space and the punctuation
 *    behind it, a line with its line feed.
 * 3. Linear: what is kept is at most 256 code units long. A unit that is longer (base64, a minified script) is cut, between
 *    graphemes.
 *
 * @since 0.1.0
 */

export type Unit = "grapheme" | "word" | "sentence" | "line"

const maxKept = 256

/** A grapheme that is longer than this is cut too. */
const maxGrapheme = 64

const isSpace = (code: number): boolean => code === 32 || (code >= 9 && code <= 13)

const isAscii = (text: string): boolean => {
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) > 127) return false
  }
  return true
}

export class TextUnits {
  private readonly unit: Unit
  private readonly segmenter: Intl.Segmenter
  private readonly graphemes: Intl.Segmenter
  /** What may still grow. */
  kept = ""

  /** `locale` matters for languages without spaces. An impossible one throws a `RangeError`. */
  constructor(unit: Unit, locale?: string) {
    this.unit = unit
    this.graphemes = new Intl.Segmenter(locale, { granularity: "grapheme" })
    this.segmenter =
      unit === "grapheme" || unit === "line" ? this.graphemes : new Intl.Segmenter(locale, { granularity: unit })
  }

  /** Takes a piece and appends to `out` the units that are whole. */
  push(text: string, out: Array<string>): void {
    // In slices, since what is kept is looked at again with each of them.
    for (let from = 0; from < text.length; from += maxKept) {
      this.cut(this.kept + text.slice(from, from + maxKept), this.kept.length, out)
      if (this.kept.length > maxKept) this.cutKept(out)
    }
  }

  /** No more text follows: takes what was kept. */
  end(): string {
    const kept = this.kept
    this.kept = ""
    return kept
  }

  private cut(text: string, kept: number, out: Array<string>): void {
    // What was kept has no end of a line or a word in it, so only what is new is looked at.
    if (this.unit === "line") return this.cutBehind(text, kept, (code) => code === 10, out)
    // Where white space ends every word, the segmenter is not needed: it takes twenty times as long.
    if (this.unit === "word" && isAscii(text)) return this.cutBehind(text, kept, isSpace, out)
    let start = 0
    let hasWord = false
    for (const { index, isWordLike } of this.segmenter.segment(text)) {
      // Punctuation goes with the word before it, a quote or a bracket at the start with the one behind it.
      const begins = this.unit === "word" ? isWordLike === true && hasWord : index > 0
      if (begins) {
        out.push(text.slice(start, index))
        start = index
      }
      hasWord ||= isWordLike === true
    }
    // White space ends a word for certain.
    if (this.unit === "word" && /\s$/u.test(text)) {
      out.push(text.slice(start))
      start = text.length
    }
    this.kept = text.slice(start)
  }

  /** Units end behind runs of certain characters, of which the first `from` code units have none. */
  private cutBehind(text: string, from: number, isEnd: (code: number) => boolean, out: Array<string>): void {
    let start = 0
    for (let i = from; i < text.length; i++) {
      if (!isEnd(text.charCodeAt(i)) || (i + 1 < text.length && isEnd(text.charCodeAt(i + 1)))) continue
      out.push(text.slice(start, i + 1))
      start = i + 1
    }
    this.kept = text.slice(start)
  }

  private cutKept(out: Array<string>): void {
    const tail = this.kept.slice(-maxGrapheme)
    let last = 0
    for (const { index } of this.graphemes.segment(tail)) last = index
    const end = this.kept.length - tail.length + (last === 0 ? tail.length : last)
    out.push(this.kept.slice(0, end))
    this.kept = this.kept.slice(end)
  }
}
