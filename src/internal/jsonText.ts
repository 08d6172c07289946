/**
 * The text of a string (or a long number) that grows chunk by chunk.
 *
 * `text += chunk` is O(1) in V8, since it builds a rope. But a rope keeps a node and the chunk itself for every append (56
 * bytes for 4 characters), so pieces gather in a tail, which is flattened now and then; see also `textRope.ts`, which is
 * the same for values that must not change.
 *
 * @since 0.1.0
 */

/** Code units: the rope has at most so many nodes. */
const maxTail = 4_096

// Reading one code unit is what makes V8 flatten a rope; the sink keeps the read from being optimised away.
let sink = 0

/** Turns a rope into flat text, in place: a retained document of 1 MB takes 2.0 MB and not 7.0. */
const flatten = (text: string): string => {
  sink ^= text.charCodeAt(0)
  return text
}

/**
 * Frees a slice from the text it was cut from, which it would keep alive as a whole: a copy takes 60 ns. Slices below 13
 * code units are copies anyway.
 *
 * @since 0.1.0
 */
export const detachSlice = (slice: string): string =>
  slice.length < 13 ? slice : [slice.slice(0, 1), slice.slice(1)].join("")

/** @since 0.1.0 */
export class GrowingText {
  private head = ""
  private tail = ""
  /** A high surrogate at the end of what came so far: its low half may follow, so it is not visible yet. */
  private held = ""

  /** Whether a surrogate is held back. */
  get isHolding(): boolean {
    return this.held !== ""
  }

  /** True when nothing was appended. */
  get isEmpty(): boolean {
    return this.tail === "" && this.head === ""
  }

  /** What may be shown. */
  get visible(): string {
    return this.head === "" ? this.tail : this.head + this.tail
  }

  /** Takes the held surrogate out, to be put in front of the next piece. */
  release(): string {
    const held = this.held
    this.held = ""
    return held
  }

  /**
   * Appends a piece that is not empty and ends with the code unit `last`, and returns what of it may be shown. The held
   * surrogate must have been released.
   */
  append(piece: string, last: number): string {
    let visible = piece
    if ((last & 0xfc00) === 0xd800) {
      this.held = String.fromCharCode(last)
      visible = piece.slice(0, -1)
    }
    const tail = this.tail + visible
    if (tail.length < maxTail) this.tail = tail
    else {
      this.head += flatten(tail)
      this.tail = ""
    }
    return visible
  }

  /** The whole text, whose last piece is `piece`; starts anew. */
  finish(piece: string): string {
    const text = this.head + this.tail + piece
    // What came in one piece may be a slice.
    const isPiece = piece === "" && this.head === ""
    this.clear()
    return isPiece ? detachSlice(text) : flatten(text)
  }

  clear(): void {
    this.head = ""
    this.tail = ""
    this.held = ""
  }
}
