/**
 * Reads one escape sequence of a string or a key, in pieces.
 *
 * @since 0.1.0
 */

/** What `read` returns while code units are still to come, … */
export const PENDING = -1
/** … and for one that cannot stand there. */
export const ILLEGAL = -2

const hexDigit = (c: number): number => {
  if (c >= 48 && c <= 57) return c - 48
  const lower = c | 32
  return lower >= 97 && lower <= 102 ? lower - 87 : ILLEGAL
}

/** @since 0.1.0 */
export class EscapeReader {
  private unit = 0
  /** Hexadecimal digits that are still to come. */
  private digits = 0

  /** Reads the next code unit behind the backslash, and returns the one that the whole sequence stands for. */
  read(c: number): number {
    if (this.digits > 0) {
      const digit = hexDigit(c)
      if (digit === ILLEGAL) return ILLEGAL
      this.unit = (this.unit << 4) | digit
      return --this.digits === 0 ? this.unit : PENDING
    }
    switch (c) {
      case 34:
      case 47:
      case 92:
        return c
      case 98:
        return 8
      case 102:
        return 12
      case 110:
        return 10
      case 114:
        return 13
      case 116:
        return 9
      case 117:
        this.unit = 0
        this.digits = 4
        return PENDING
      default:
        return ILLEGAL
    }
  }

  clear(): void {
    this.digits = 0
  }
}
