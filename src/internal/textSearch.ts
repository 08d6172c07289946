/**
 * Searching for matches in text that arrives in pieces: what is common to the ways of searching.
 *
 * Positions count UTF-16 code units from the beginning of the text, whatever of it is still in memory.
 *
 * @since 0.1.0
 */

/**
 * The end of a text, as far as it has arrived and is still needed.
 *
 * @category models
 * @since 0.1.0
 */
export class TextWindow {
  private kept = ""
  /** Where the newest piece begins. */
  private pieceStart = 0
  private piece = ""
  /** Where what is kept begins. */
  base = 0
  /** Whether no more text follows. */
  ended = false

  get text(): string {
    return this.kept
  }

  get end(): number {
    return this.base + this.kept.length
  }

  push(piece: string): void {
    this.pieceStart = this.end
    this.piece = piece
    this.kept += piece
  }

  /** The text from a position on. */
  from(position: number): string {
    return position === this.pieceStart ? this.piece : this.kept.slice(position - this.base)
  }

  /** The character before a position, or -1 at the beginning of the text. */
  codeBefore(position: number): number {
    const index = position - this.base
    if (index === 0) return -1
    const unit = this.kept.charCodeAt(index - 1)
    const isPair = index > 1 && (unit & 0xfc00) === 0xdc00 && (this.kept.charCodeAt(index - 2) & 0xfc00) === 0xd800
    return isPair ? this.kept.codePointAt(index - 2)! : unit
  }

  /** Lets go of what is before a position, once that is most of what is kept: each unit is then copied once at most. */
  trim(before: number): void {
    const index = before - this.base
    if (index * 2 <= this.kept.length) return
    this.kept = this.kept.slice(index)
    this.base = before
  }
}

/**
 * A match that is decided: no text to come can change it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Match {
  readonly start: number
  readonly end: number
  readonly rule: number
  /** Whether the rule could match more than it may, so that the end is not known. */
  readonly isTooLong: boolean
}

/**
 * One way of searching, on its way through a text.
 *
 * @category models
 * @since 0.1.0
 */
export interface Search {
  /** No match begins before this position; with a match, it is where that begins. */
  readonly start: number
  /** The leftmost match, once it is decided. The search stands still then. */
  readonly match: Match | undefined
  /** Goes on with what is in the window. */
  readonly advance: (window: TextWindow) => void
  /** Begins anew, at a position in the window: no match begins before it. */
  readonly restart: (position: number, window: TextWindow) => void
  /** How much text before `start` it has to look at, in UTF-16 code units. */
  readonly behind: number
  /** Whether a match may begin with this character. */
  readonly canStart: (code: number) => boolean
}
