/**
 * Takes tagged text out of the answer: `<think>…</think>` becomes reasoning, other tags become Metadata.
 *
 * 1. A tag is exactly `<name>`, its end `</name>`: no attributes, no white space, letters count by their case. Whatever looks
 *    like one and is none (`<thinker>`, `< think>`, `</think>` that closes nothing) is answer text.
 * 2. Within a tag only its own end counts; other tags, and the same one once more, are its text. A tag that is never closed
 *    goes on to the end of the stream.
 * 3. Text that could still become a tag is held back, and nothing more. What comes out does not depend on how the text was cut.
 * 4. Linear in the text, whatever it looks like.
 *
 * The answer is a text as in `HeldText`: a tag is found over parts, not over a tool call. Between its start and its end there may
 * be other content.
 *
 * @since 0.1.0
 */
import * as LiteralMatcher from "../internal/literalMatcher.ts"
import * as TextRope from "../internal/textRope.ts"
import * as StreamBuffer from "../StreamBuffer.ts"
import type * as StreamError from "../StreamError.ts"
import * as StreamEvent from "../StreamEvent.ts"
import * as StreamProcessor from "../StreamProcessor.ts"
import { HeldText } from "./HeldText.ts"

/**
 * What a tag's text becomes: `Reasoning` events as it arrives, or one Metadata event of the kind `tag` when it is closed.
 *
 * @category options
 * @since 0.1.0
 */
export type Target = "reasoning" | "metadata"

/**
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** By name, without the brackets. None, or a name with `<`, `>`, `/` or white space in it, throws a `RangeError`. */
  readonly tags: Readonly<Record<string, Target>>
  /** The tag that the answer begins in: some models' templates have opened it already, and only its end comes. */
  readonly startIn?: string | undefined
  /** How large the text of a `metadata` tag may be, in UTF-16 code units. 1 Mi by default. */
  readonly maxTagSize?: number | undefined
  /** How much Metadata may wait behind held-back text, in UTF-16 code units. 1 Mi by default. */
  readonly maxWaiting?: number | undefined
}

/**
 * A processor that splits tagged text off the answer.
 *
 * **Details**
 *
 * The Metadata of a tag has its `name`, its `text`, and whether it was `closed`: with `false` the stream ended before. Fails with
 * `BufferOverflow` when a tag's text is larger than `maxTagSize`, or more than `maxWaiting` waits behind text that is held back.
 *
 * **Example** (Thinking out of the answer)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { StreamEvent, StreamHandler, TagSplitter } from "effect-llm-streaming"
 *
 * const result = Effect.runSync(
 *   Stream.make("<thi", "nk>6 * 7</th", "ink>42<source>a book</source>").pipe(
 *     StreamEvent.fromText,
 *     TagSplitter.make({ tags: { think: "reasoning", source: "metadata" } }),
 *     StreamHandler.run()
 *   )
 * )
 * result.reasoning // => "6 * 7"
 * result.text // => "42"
 * result.metadata // => [{ kind: "tag", metadata: { name: "source", text: "a book", closed: true } }]
 * ```
 *
 * @category processors
 * @since 0.1.0
 */
export const make = (
  options: Options
): StreamProcessor.StreamProcessor<StreamError.StreamErrorOf<"BufferOverflow">> => {
  const tags = Object.entries(options.tags).map(([name, target]): Tag => {
    if (!/^[^<>/\s]+$/.test(name)) throw new RangeError(`tags: ${JSON.stringify(name)} is no name of a tag`)
    return { name, target, end: LiteralMatcher.compile([`</${name}>`], { caseSensitive: true }) }
  })
  if (tags.length === 0) throw new RangeError("tags must hold a tag at least")
  const first = tags.find(({ name }) => name === options.startIn)
  if (options.startIn !== undefined && first === undefined) {
    throw new RangeError(`startIn must be one of the tags, got ${JSON.stringify(options.startIn)}`)
  }
  const starts = LiteralMatcher.compile(
    tags.map(({ name }) => `<${name}>`),
    { caseSensitive: true }
  )
  const maxTagSize = StreamBuffer.checkMaxSize("maxTagSize", options.maxTagSize ?? 1024 * 1024)
  const maxWaiting = StreamBuffer.checkMaxSize("maxWaiting", options.maxWaiting ?? 1024 * 1024)

  return StreamProcessor.transduce(() => {
    type Out = Array<StreamEvent.StreamEvent>
    const held = new HeldText(maxWaiting)
    /** The tag that is open, and its text where that is gathered. */
    let tag = first
    let gathered = TextRope.empty
    let gatheredSize = 0
    let timestamp = 0
    /** What the matcher has found: which tag, and where its brackets stand in the matcher's input. */
    let found: { readonly tag: Tag; readonly offset: number; readonly size: number } | undefined
    const onMatch: LiteralMatcher.OnMatch = (pattern, offset, matched) => {
      found = { tag: tag ?? tags[pattern]!, offset, size: matched.length }
      return undefined
    }
    let matcher = (tag?.end ?? starts).open(onMatch)
    /** Where the matcher's input begins in the text's. */
    let base = 0

    const emit = (until: number, out: Out) =>
      held.take(
        until,
        (event, delta) => {
          if (tag === undefined) out.push(delta === event.delta ? event : { ...event, delta })
          else if (tag.target === "reasoning") out.push(StreamEvent.reasoning(event.timestamp, delta, event.part))
          else {
            gathered = TextRope.append(gathered, delta)
            gatheredSize += delta.length
            timestamp = event.timestamp
          }
        },
        out
      )

    const close = (closed: boolean, out: Out) => {
      if (tag?.target === "metadata") {
        const metadata = { name: tag.name, text: TextRope.toString(gathered), closed }
        out.push(StreamEvent.metadata(timestamp, "tag", { metadata }))
        gathered = TextRope.empty
        gatheredSize = 0
      }
      tag = undefined
    }

    /** The brackets of a tag are whole: what is before them goes on, and the next text is searched for something else. */
    const turn = (at: NonNullable<typeof found>, event: StreamEvent.Delta, out: Out) => {
      held.take(base + at.offset + at.size, () => {}, out)
      timestamp = event.timestamp
      if (tag === undefined) tag = at.tag
      else close(true, out)
      base += at.offset + at.size
      matcher = (tag?.end ?? starts).open(onMatch)
      found = undefined
    }

    const pushText = (event: StreamEvent.Delta, out: Out) => {
      const start = held.length
      held.push(event)
      matcher.push(event.delta)
      while (found !== undefined) {
        emit(base + found.offset, out)
        // A tag that ends in this very event is too large all the same: chunks make no difference.
        if (gatheredSize > maxTagSize) break
        turn(found, event, out)
        matcher.push(event.delta.slice(base - start))
      }
      if (found === undefined) emit(held.length - matcher.held, out)
      return overflow()
    }

    const overflow = () => (gatheredSize > maxTagSize ? StreamBuffer.overflow(maxTagSize, gatheredSize) : undefined)

    /** What was held back as a tag's beginning is text after all. */
    const endText = (out: Out) => {
      matcher.end()
      emit(held.length, out)
      held.reset()
      base = 0
      return overflow()
    }

    return {
      step(event, out) {
        if (event._tag === "Delta") return pushText(event, out)
        if (event._tag === "Metadata" && !held.isEmpty) {
          const tooMuch = held.wait(event)
          if (tooMuch !== undefined) endText(out)
          return tooMuch
        }
        if (event._tag !== "Progress" && event._tag !== "Metadata") {
          const tooLarge = endText(out)
          if (tooLarge !== undefined) return tooLarge
        }
        if (StreamEvent.isTerminal(event)) close(false, out)
        out.push(event)
        return undefined
      },
      flush(out) {
        const tooLarge = endText(out)
        if (tooLarge === undefined) close(false, out)
        return tooLarge
      }
    }
  })
}

interface Tag {
  readonly name: string
  readonly target: Target
  readonly end: LiteralMatcher.LiteralMatcher
}
