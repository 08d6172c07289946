/**
 * Lines of text that arrives in pieces, for newline-delimited JSON.
 *
 * 1. LF ends a line; a CR before it belongs to the line's end. A byte order mark at the start is dropped. Lines of white
 *    space only are none, unless they are asked for.
 * 2. A line longer than `maxSize` UTF-16 code units stops the reader, behind the lines before it, and nothing longer is
 *    ever held.
 *
 * @since 0.1.0
 */
import * as TextRope from "./textRope.ts"

export interface Line {
  readonly text: string
  /** UTF-16 code units before it. */
  readonly offset: number
}

export class LineReader {
  private readonly maxSize: number
  private readonly keepsBlank: boolean
  private rope = TextRope.empty
  private held = 0
  /** Where the open line begins. */
  private offset = 0
  private isStart = true

  constructor(maxSize: number, options?: { readonly keepsBlank: boolean }) {
    this.maxSize = maxSize
    this.keepsBlank = options?.keepsBlank ?? false
  }

  /** Appends to `out` the lines that the chunk completes; `false` once a line is too long. */
  feed(chunk: string, out: Array<Line>): boolean {
    let position = 0
    if (this.isStart && chunk.length > 0) {
      this.isStart = false
      if (chunk.charCodeAt(0) === 0xfeff) {
        position = 1
        this.offset = 1
      }
    }
    for (;;) {
      const end = chunk.indexOf("\n", position)
      const piece = chunk.slice(position, end === -1 ? undefined : end)
      this.held += piece.length
      if (this.held > this.maxSize) return false
      this.rope = TextRope.append(this.rope, piece)
      if (end === -1) return true
      this.take(out)
      this.offset += this.held + 1
      this.held = 0
      position = end + 1
    }
  }

  /** The last line needs no line feed. */
  end(out: Array<Line>): void {
    this.take(out)
  }

  private take(out: Array<Line>): void {
    const text = TextRope.toString(this.rope)
    this.rope = TextRope.empty
    // The CR is white space to JSON.
    if (this.keepsBlank || text.trim() !== "") out.push({ text, offset: this.offset })
  }
}
