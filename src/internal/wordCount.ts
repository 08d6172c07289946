/**
 * Counts words, that is runs of characters that are not white space, in text that arrives in pieces.
 *
 * @since 0.1.0
 */

export interface WordCounter {
  push(text: string): void
  readonly count: number
}

export const make = (): WordCounter => new Words()

class Words implements WordCounter {
  count = 0
  private inWord = false

  push(text: string): void {
    let { count, inWord } = this
    for (let i = 0; i < text.length; i++) {
      const space = isWhiteSpace(text.charCodeAt(i))
      if (!space && !inWord) count++
      inWord = !space
    }
    this.count = count
    this.inWord = inWord
  }
}

// The characters that `String.prototype.trim` removes.
const isWhiteSpace = (code: number): boolean => {
  if (code <= 0x20) return code === 0x20 || (code >= 0x09 && code <= 0x0d)
  if (code < 0x1680) return code === 0xa0
  return (
    code === 0x1680 ||
    (code >= 0x2000 && code <= 0x200a) ||
    code === 0x2028 ||
    code === 0x2029 ||
    code === 0x202f ||
    code === 0x205f ||
    code === 0x3000 ||
    code === 0xfeff
  )
}
