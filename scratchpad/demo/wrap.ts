/**
 * Words into lines, for text that arrives in pieces: pure, so that it can be tested without a terminal.
 */

/** Makes control characters visible: text of a model must not move the cursor or clear the screen. */
export const visible = (text: string): string =>
  text.replace(/(?![\t\n])\p{Cc}/gu, (char) =>
    char === "\r" ? "" : char < " " ? String.fromCodePoint(0x2400 + char.charCodeAt(0)) : "\ufffd"
  )

const zeroWidth = /[\p{Mn}\p{Me}\p{Cf}]/u
const doubleWidth =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}/u

/** Columns that a text takes. */
export const widthOf = (text: string): number => {
  let width = 0
  for (const char of text) width += zeroWidth.test(char) ? 0 : doubleWidth.test(char) ? 2 : 1
  return width
}

/** The longest start of a text that fits into so many columns. */
export const fitting = (text: string, columns: number): string => {
  let width = 0
  let end = 0
  for (const char of text) {
    width += widthOf(char)
    if (width > columns) break
    end += char.length
  }
  return text.slice(0, end)
}

/** Whole text into lines. */
export const lines = (text: string, columns: number): ReadonlyArray<string> => {
  const done: Array<string> = []
  let line = ""
  for (const word of text.split(" ")) {
    if (line !== "" && widthOf(line) + 1 + widthOf(word) > columns) {
      done.push(line)
      line = word
    } else {
      line = line === "" ? word : `${line} ${word}`
    }
  }
  return [...done, line]
}

// A character of double width is a word by itself: Chinese and Japanese break anywhere.
const pieces = new RegExp(`\\n|[ \\t]+|${doubleWidth.source}|(?:(?!${doubleWidth.source})[^\\s])+|\\s`, "gu")

/**
 * Wraps text that arrives in pieces. A word that began on a line and turns out not to fit is taken back and written
 * again on the next one, so that text shows as it comes, without waiting for the end of a word.
 */
export class Wrapper {
  /** The column that the cursor is at. */
  column = 0
  /** The word that the cursor is behind, as it was written, and its columns. */
  private word = ""
  private wordWidth = 0

  /** What to write for a piece of text; `paint` gives it its colour. No line takes more than `columns`. */
  push(text: string, columns: number, paint: (text: string) => string = (text) => text): string {
    let out = ""
    for (const [piece] of text.matchAll(pieces)) {
      if (piece === "\n") {
        out += "\n"
        this.column = 0
        this.endWord()
      } else if (/^\s/.test(piece)) {
        const space = piece.replaceAll("\t", "    ")
        // White space at the end of a line is left out: the next word begins a line anyway.
        const fits = this.column + space.length <= columns
        if (fits) out += paint(space)
        this.column = fits ? this.column + space.length : columns
        this.endWord()
      } else {
        if (doubleWidth.test(piece)) this.endWord()
        out += this.pushWord(piece, columns, paint)
      }
    }
    return out
  }

  private pushWord(piece: string, columns: number, paint: (text: string) => string): string {
    const width = widthOf(piece)
    let out = ""
    if (this.column + width > columns && this.column > this.wordWidth) {
      const takeBack = this.wordWidth > 0 ? `\x1b[${this.wordWidth}D\x1b[K` : ""
      out = `${takeBack}\n${this.word}`
      this.column = this.wordWidth
    }
    if (this.column + width > columns) {
      // A word longer than a line is broken where the line ends.
      const start = fitting(piece, columns - this.column)
      this.endWord()
      this.column = 0
      return `${out}${start && paint(start)}\n${this.pushWord(piece.slice(start.length), columns, paint)}`
    }
    const painted = paint(piece)
    this.word += painted
    this.wordWidth += width
    this.column += width
    return out + painted
  }

  private endWord(): void {
    this.word = ""
    this.wordWidth = 0
  }
}
