/**
 * Finds out how much of a text repeats the end of another one, while it arrives in pieces.
 *
 * The overlap is the longest beginning of the new text that is an end of the old one, if it has `least` code units or more:
 * a shorter one is more likely chance than repetition. New text is held back only while the overlap could still grow.
 *
 * @since 0.1.0
 */
export class Overlap {
  private readonly old: string
  private readonly least: number
  /** Where in `old` an overlap may begin that all of `held` fits. */
  private starts: Array<number>
  private held = ""
  private longest = 0

  /** `old` should be no longer than an overlap can be: time and memory grow with it. */
  constructor(old: string, least: number) {
    this.old = old
    this.least = least
    this.starts = Array.from({ length: old.length }, (_, start) => start)
  }

  /** Whether the overlap is known, so that all text passes. */
  get isDecided(): boolean {
    return this.starts.length === 0
  }

  /** Takes a piece and gives what is known not to be repeated. */
  push(piece: string): string {
    if (this.isDecided) return piece
    for (let i = 0; i < piece.length; i++) {
      const at = this.held.length + i
      const unit = piece.charCodeAt(i)
      const starts = this.starts.filter((start) => this.old.charCodeAt(start + at) === unit)
      // The new text has reached the old one's end: this far, all of it is repeated.
      if (starts.some((start) => start + at + 1 === this.old.length)) this.longest = at + 1
      this.starts = starts.filter((start) => start + at + 1 < this.old.length)
      if (this.isDecided) break
    }
    this.held += piece
    return this.isDecided ? this.end() : ""
  }

  /** The new text is over, or what follows is no text: gives what is still held back and not repeated. */
  end(): string {
    const text = this.longest >= this.least ? this.held.slice(this.longest) : this.held
    this.starts = []
    this.held = ""
    this.longest = 0
    return text
  }
}
