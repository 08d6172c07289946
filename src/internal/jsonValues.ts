/**
 * The values of JSON text that arrives in pieces: the items of one array, or objects one behind another.
 *
 * 1. A value comes as soon as its last bracket is there. White space, commas and the array's own brackets are none.
 * 2. What is between two values and does not belong there comes with the second, which then is no JSON.
 * 3. A value longer than `maxSize` UTF-16 code units stops the reader, behind the values before it, and nothing longer is
 *    ever held.
 *
 * @since 0.1.0
 */
import type { Line } from "./lines.ts"
import * as TextRope from "./textRope.ts"

const quote = 34
const comma = 44
const backslash = 92
const openBracket = 91
const closeBracket = 93
const openBrace = 123
const closeBrace = 125

export class JsonValueReader {
  private readonly maxSize: number
  private rope = TextRope.empty
  private held = 0
  private offset: number
  private depth = 0
  /** How deep values are: 1 inside of the array. */
  private valueDepth = 0
  private isString = false
  private isEscape = false

  /** `offset` counts what came before the text. */
  constructor(maxSize: number, offset: number) {
    this.maxSize = maxSize
    this.offset = offset
  }

  /** Appends to `out` the values that the chunk completes; `false` once a value is too long. */
  feed(chunk: string, out: Array<Line>): boolean {
    let from = 0
    for (let i = 0; i < chunk.length; i++) {
      const code = chunk.charCodeAt(i)
      if (this.isString) {
        if (this.isEscape) this.isEscape = false
        else if (code === backslash) this.isEscape = true
        else if (code === quote) this.isString = false
        continue
      }
      const isBetween = this.depth === this.valueDepth && this.held === 0 && from === i
      if (isBetween && (code <= 32 || code === comma)) {
        from = i + 1
        this.offset++
      } else if (code === quote) {
        this.isString = true
      } else if (code === openBracket || code === openBrace) {
        this.depth++
        if (isBetween && this.valueDepth === 0 && code === openBracket) {
          this.valueDepth = 1
          from = i + 1
          this.offset++
        }
      } else if (code === closeBracket || code === closeBrace) {
        this.depth--
        if (isBetween && this.depth < this.valueDepth) {
          this.depth = this.valueDepth = 0
          from = i + 1
          this.offset++
        } else if (this.depth <= this.valueDepth) {
          if (!this.hold(chunk.slice(from, i + 1))) return false
          from = i + 1
          out.push({ text: TextRope.toString(this.rope), offset: this.offset })
          this.rope = TextRope.empty
          this.offset += this.held
          this.held = 0
          this.depth = this.valueDepth
        }
      }
    }
    return this.hold(chunk.slice(from))
  }

  private hold(piece: string): boolean {
    this.held += piece.length
    if (this.held > this.maxSize) return false
    if (piece !== "") this.rope = TextRope.append(this.rope, piece)
    return true
  }
}
