/**
 * Text that a processor holds back, in its place among the events: what processors that look for something in the answer are
 * made of.
 *
 * 1. A text is a run of one kind: it goes on over parts, Metadata and Progress, and ends where other content begins.
 * 2. Input is taken in order, each piece with the event that brought it. Metadata behind text that is held back waits for
 *    that, up to a limit; nothing else does.
 * 3. Positions are UTF-16 code units of the text's input.
 *
 * @since 0.1.0
 */
import { sizeOf } from "../internal/sizeOf.ts"
import * as StreamBuffer from "../StreamBuffer.ts"
import type * as StreamError from "../StreamError.ts"
import type * as StreamEvent from "../StreamEvent.ts"

interface Entry {
  readonly event: StreamEvent.TextEvent | StreamEvent.Metadata
  /** The text's input ends here, with this event. */
  readonly end: number
}

/**
 * What becomes of a piece of text that is taken.
 *
 * @category models
 * @since 0.1.0
 */
export type OnText = (event: StreamEvent.TextEvent, text: string) => void

/**
 * A queue of text that is not decided yet.
 *
 * @category models
 * @since 0.1.0
 */
export class HeldText {
  private readonly maxWaiting: number
  private queue: Array<Entry> = []
  private waiting = 0
  private taken = 0
  /** How long the text's input is so far. */
  length = 0

  /** `maxWaiting` bounds what waits behind held-back text, in UTF-16 code units. */
  constructor(maxWaiting: number) {
    this.maxWaiting = maxWaiting
  }

  /** Whether nothing is held back. */
  get isEmpty(): boolean {
    return this.queue.length === 0
  }

  /** Adds a piece of text. */
  push(event: StreamEvent.TextEvent): void {
    if (event.delta === "") return
    this.length += event.delta.length
    this.queue.push({ event, end: this.length })
  }

  /** Counts text that goes on at once, when nothing is held back. */
  pass(event: StreamEvent.TextEvent): void {
    this.length += event.delta.length
    this.taken = this.length
  }

  /** Lets Metadata wait behind the text that is held back. */
  wait(event: StreamEvent.Metadata): StreamError.StreamErrorOf<"BufferOverflow"> | undefined {
    this.queue.push({ event, end: this.length })
    this.waiting += sizeOf(event, this.maxWaiting)
    return this.waiting > this.maxWaiting ? StreamBuffer.overflow(this.maxWaiting, this.waiting) : undefined
  }

  /** Takes the text up to a position, and the Metadata that waited for it. */
  take(until: number, onText: OnText, out: Array<StreamEvent.StreamEvent>): void {
    let n = 0
    for (; n < this.queue.length; n++) {
      const { end, event } = this.queue[n]!
      if (event._tag === "Metadata") {
        if (end > until) break
        out.push(event)
        this.waiting -= sizeOf(event, this.maxWaiting)
        continue
      }
      const size = Math.min(end, until) - this.taken
      if (size > 0) {
        const from = event.delta.length - (end - this.taken)
        onText(event, event.delta.slice(from, from + size))
        this.taken += size
      }
      if (end > until) break
    }
    this.queue.splice(0, n)
  }

  /** A new text begins; nothing may be held back. */
  reset(): void {
    this.length = 0
    this.taken = 0
  }
}
