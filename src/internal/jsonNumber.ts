/**
 * Reads one JSON number, in pieces.
 *
 * Up to 15 digits without an exponent need no text: the digits make an integer below 2^53, the fraction a power of ten
 * that is exact too, and the quotient of two exact numbers is the correctly rounded one.
 *
 * @since 0.1.0
 */
import type { GrowingText } from "./jsonText.ts"

const START = 0
const MINUS = 1
const ZERO = 2
const INTEGER = 3
const POINT = 4
const FRACTION = 5
const E = 6
const SIGN = 7
const EXPONENT = 8

const maxDigits = 15
const powers = Array.from({ length: maxDigits + 1 }, (_, exponent) => 10 ** exponent)

/** @since 0.1.0 */
export class NumberReader {
  private readonly text: GrowingText
  private state = START
  private isNegative = false
  /** All digits so far as one integer, as long as `isShort`. */
  private mantissa = 0
  private digits = 0
  /** How many of the digits stand behind the point. */
  private scale = 0
  private isShort = true

  /** `text` is lent: it is used between `begin` and `finish` only. */
  constructor(text: GrowingText) {
    this.text = text
  }

  begin(): void {
    this.state = START
    this.isNegative = false
    this.mantissa = 0
    this.digits = 0
    this.scale = 0
    this.isShort = true
  }

  /** True when what was read is a number. */
  get isWhole(): boolean {
    const state = this.state
    return state === INTEGER || state === ZERO || state === FRACTION || state === EXPONENT
  }

  /** Reads from `start` as far as the number goes, and returns the index of the first code unit that is not read. */
  scan(chunk: string, start: number, end: number): number {
    // In locals, as fields cost 3 ns a digit.
    let { digits, isShort, mantissa, scale, state } = this
    let i = start
    // Where the text that is still to be kept begins, once the number is not short.
    let from = start
    for (; i < end; i++) {
      const c = chunk.charCodeAt(i)
      if (c >= 48 && c <= 57) {
        if (state === ZERO) break
        if (isShort && digits < maxDigits) {
          mantissa = mantissa * 10 + (c - 48)
          digits++
          if (state === FRACTION || state === POINT) scale++
        } else if (isShort) {
          isShort = false
          this.spell(mantissa, digits, scale, state)
          from = i
        }
        if (state === POINT) state = FRACTION
        else if (state <= MINUS) state = c === 48 ? ZERO : INTEGER
        else if (state >= E) state = EXPONENT
      } else if (c === 46) {
        if (state !== INTEGER && state !== ZERO) break
        state = POINT
      } else if (c === 101 || c === 69) {
        if (state !== INTEGER && state !== ZERO && state !== FRACTION) break
        if (isShort) {
          isShort = false
          this.spell(mantissa, digits, scale, state)
          from = i
        }
        state = E
      } else if (c === 45 && state === START) {
        this.isNegative = true
        state = MINUS
      } else if ((c === 45 || c === 43) && state === E) state = SIGN
      else break
    }
    this.state = state
    if (isShort) {
      this.mantissa = mantissa
      this.digits = digits
      this.scale = scale
    } else {
      this.isShort = false
      if (i > from) this.text.append(chunk.slice(from, i), 48)
    }
    return i
  }

  /** The number. */
  finish(): number {
    if (!this.isShort) return Number(this.text.finish(""))
    const size = this.scale === 0 ? this.mantissa : this.mantissa / powers[this.scale]!
    return this.isNegative ? -size : size
  }

  /** From here on the number is kept as text: writes down what was read so far. */
  private spell(mantissa: number, digits: number, scale: number, state: number): void {
    const all = String(mantissa).padStart(digits, "0")
    const point = digits - scale
    const fraction = scale > 0 || state === POINT ? `.${all.slice(point)}` : ""
    this.text.append(`${this.isNegative ? "-" : ""}${all.slice(0, point)}${fraction}`, 48)
  }
}
