/**
 * Replaces forbidden text, wherever chunk borders cut it.
 *
 * 1. The result equals the whole-text reference, for every way of splitting the text: leftmost, then longest, not
 *    overlapping.
 * 2. Text is held back only while it could still become a match, and never a character more. At the end of the stream, and
 *    before a failure, what is held back is released.
 * 3. Answer, reasoning and refusal are filtered each by itself, and each part of them too.
 * 4. Order is kept: events behind held-back text wait with it, up to a limit; only Progress passes.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as LiteralMatcher from "../internal/literalMatcher.ts"
import { sizeOf } from "../internal/sizeOf.ts"
import * as StreamConfig from "../StreamConfig.ts"
import * as StreamError from "../StreamError.ts"
import * as StreamEvent from "../StreamEvent.ts"
import * as StreamProcessor from "../StreamProcessor.ts"

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

/**
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** Literal texts to look for. Those of `StreamConfig` by default; an empty one throws a `RangeError`. */
  readonly patterns?: ReadonlyArray<string> | undefined
  /** What stands in the place of a match. That of `StreamConfig` by default: `"[FILTERED]"`. */
  readonly replacement?: string | undefined
  /** `false` by default: letters match whatever their case, by Unicode's simple case folding. */
  readonly caseSensitive?: boolean | undefined
  /**
   * `"match"` (by default) replaces each match. `"delta"` does what the Python module does: a delta that contains a pattern
   * becomes the replacement as a whole. That depends on how the provider splits its text: a pattern that is cut in two
   * passes.
   */
  readonly scope?: "match" | "delta" | undefined
  /** How much may wait behind held-back text, in UTF-16 code units; an event counts some more. 1 Mi by default. */
  readonly maxWaiting?: number | undefined
}

// -----------------------------------------------------------------------------
// processor
// -----------------------------------------------------------------------------

/**
 * A processor that replaces each match of the patterns.
 *
 * **Details**
 *
 * Fails with `BufferOverflow` when more than `maxWaiting` waits behind text that is held back.
 *
 * **Example** (A secret that is split over chunks)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { ContentFilter, StreamEvent } from "effect-llm-streaming"
 *
 * const text = Stream.make("my pass", "word is ", "hunter2").pipe(
 *   StreamEvent.fromText,
 *   ContentFilter.make({ patterns: ["password", "hunter2"] }),
 *   StreamEvent.text
 * )
 * Effect.runSync(Stream.runCollect(text)) // => ["my ", "[FILTERED] is ", "[FILTERED]"]
 * ```
 *
 * @category processors
 * @since 0.1.0
 */
export const make = (
  options?: Options
): StreamProcessor.StreamProcessor<StreamError.StreamErrorOf<"BufferOverflow">> => {
  const maxWaiting = options?.maxWaiting ?? 1024 * 1024
  if (!(maxWaiting >= 0)) throw new RangeError(`maxWaiting must be a number of UTF-16 code units, got ${maxWaiting}`)
  const compile = (patterns: ReadonlyArray<string>, replacement: string) => {
    if (patterns.length === 0) return StreamProcessor.passthrough
    const matcher = LiteralMatcher.compile(patterns, { caseSensitive: options?.caseSensitive ?? false })
    return options?.scope === "delta" ? wholeDeltas(matcher, replacement) : matches(matcher, replacement, maxWaiting)
  }
  if (options?.patterns !== undefined && options.replacement !== undefined) {
    return compile(options.patterns, options.replacement)
  }
  // Patterns that are given are checked, and compiled, here and now; only the replacement may come later.
  const given = options?.patterns && compile(options.patterns, StreamConfig.defaults.filterReplacement)
  return (self) =>
    Stream.unwrap(
      Effect.map(StreamConfig.StreamConfig, (config) => {
        const patterns = options?.patterns ?? config.filterPatterns
        const replacement = options?.replacement ?? config.filterReplacement
        const isGiven = given !== undefined && replacement === StreamConfig.defaults.filterReplacement
        return (isGiven ? given : compile(patterns, replacement))(self)
      })
    )
}

/** The Python module's behaviour: one delta at a time. */
const wholeDeltas = (matcher: LiteralMatcher.LiteralMatcher, replacement: string): StreamProcessor.StreamProcessor => {
  let found = false
  const stream = matcher.open(() => {
    found = true
    return ""
  })
  return StreamProcessor.filterMap((event) => {
    if (!StreamEvent.isText(event)) return event
    found = false
    stream.push(event.delta)
    stream.end()
    return found ? { ...event, delta: replacement } : event
  })
}

// -----------------------------------------------------------------------------
// matches across deltas
// -----------------------------------------------------------------------------

/** One text: the answer, the reasoning or the refusal, or one part of it. */
interface Text {
  readonly stream: LiteralMatcher.LiteralStream
  /** Its input so far, and how much of that is decided, in UTF-16 code units. */
  length: number
  decided: number
  /** The matches of the push that is under way. */
  readonly found: Array<{ readonly offset: number; readonly length: number }>
  /** Its slots that are not decided, in order. */
  readonly slots: Array<Slot>
}

/** Keeps the place, in the queue, of input that is held back. */
interface Slot {
  readonly text: Text
  /** The newest event of this input. */
  event: StreamEvent.TextEvent
  /** Where its input ends, in code units of the text's input, and how many of them are not decided. */
  end: number
  held: number
  isDecided: boolean
  /** What is decided of it and waits behind others. */
  output: string
}

/** What a slot counts beside its text, so that many small ones are bounded too. */
const slotSize = 64

/** Texts that are kept before those that hold nothing back are looked for: a provider may name any number of parts. */
const minTexts = 1024

/** An event that waits behind a slot. */
interface Waiting {
  readonly text: undefined
  readonly event: StreamEvent.StreamEvent
  readonly size: number
}

const matches = (
  matcher: LiteralMatcher.LiteralMatcher,
  replacement: string,
  maxWaiting: number
): StreamProcessor.StreamProcessor<StreamError.StreamErrorOf<"BufferOverflow">> =>
  StreamProcessor.transduce(() => {
    type Out = Array<StreamEvent.StreamEvent>
    const texts = new Map<string, Text>()
    /** Held-back text in its place, and what waits behind it: empty unless something is held back. */
    const queue: Array<Slot | Waiting> = []
    /** What is behind the first of the queue: events, held-back text, and what is decided of that. */
    let waiting = 0
    let maxTexts = minTexts

    const textOf = (event: StreamEvent.TextEvent): Text => {
      const key = event.part === undefined ? event._tag : `${event._tag}/${event.part}`
      let text = texts.get(key)
      if (text === undefined) {
        const found: Text["found"] = []
        const stream = matcher.open((_, offset, matched) => {
          found.push({ offset, length: matched.length })
          return replacement
        })
        text = { stream, length: 0, decided: 0, found, slots: [] }
        if (texts.size >= maxTexts) forget()
        texts.set(key, text)
      }
      return text
    }

    const forget = (): void => {
      for (const [key, text] of texts) {
        if (text.stream.held === 0 && text.slots.length === 0) texts.delete(key)
      }
      maxTexts = Math.max(minTexts, texts.size * 2)
    }

    /** The slot at the end of the queue for more input of a text. */
    const extend = (text: Text, event: StreamEvent.TextEvent, held: number): void => {
      let slot = queue.at(-1)
      if (slot?.text === text) {
        slot.event = event
        slot.end = text.length
        slot.held += held
        if (slot.isDecided) text.slots.push(slot)
        slot.isDecided = false
      } else {
        slot = { text, event, end: text.length, held, isDecided: false, output: "" }
        if (queue.push(slot) > 1) waiting += slotSize
        text.slots.push(slot)
      }
      if (slot !== queue[0]) waiting += held
    }

    /** Gives what was decided to the slots whose input it stands for; a match belongs to where it begins. */
    const place = (text: Text, output: string): void => {
      const { found, slots } = text
      const decided = text.length - text.stream.held
      let input = text.decided
      let from = 0
      let n = 0
      for (let slot = slots[0]; slot !== undefined; slot = slots[0]) {
        let to = from
        for (; n < found.length && found[n]!.offset < slot.end; n++) {
          to += found[n]!.offset - input + replacement.length
          input = found[n]!.offset + found[n]!.length
        }
        const verbatim = Math.min(slot.end, decided) - input
        if (verbatim > 0) {
          to += verbatim
          input += verbatim
        }
        slot.output += output.slice(from, to)
        waiting += to - from
        from = to
        const held = Math.max(0, slot.end - decided)
        if (slot !== queue[0]) waiting -= slot.held - held
        slot.held = held
        if (decided < slot.end) break
        slot.isDecided = true
        slots.shift()
      }
      found.length = 0
      text.decided = decided
    }

    /** Emits from the front of the queue up to the first text that is held back. */
    const drain = (out: Out): void => {
      let n = 0
      for (; n < queue.length; n++) {
        const entry = queue[n]!
        if (entry.text === undefined) {
          out.push(entry.event)
          waiting -= entry.size
          continue
        }
        if (entry.output !== "") {
          out.push({ ...entry.event, delta: entry.output })
          waiting -= entry.output.length
          entry.output = ""
        }
        if (n > 0) waiting -= slotSize + entry.held
        if (!entry.isDecided) break
      }
      queue.splice(0, n)
    }

    const flush = (out: Out): void => {
      for (const text of texts.values()) {
        if (text.slots.length === 0) continue
        place(text, text.stream.end())
        text.length = 0
        text.decided = 0
      }
      drain(out)
    }

    const stepText = (event: StreamEvent.TextEvent, out: Out): void => {
      if (event.delta === "" && queue.length > 0) return
      const text = textOf(event)
      const output = text.stream.push(event.delta)
      text.length += event.delta.length
      if (queue.length > 0) {
        extend(text, event, event.delta.length)
        place(text, output)
        drain(out)
        return
      }
      // Nothing is held back before it: what is decided goes on at once.
      text.found.length = 0
      text.decided = text.length - text.stream.held
      if (output === event.delta) out.push(event)
      else if (output !== "") out.push({ ...event, delta: output })
      if (text.stream.held > 0) extend(text, event, text.stream.held)
    }

    return {
      step(event, out) {
        if (StreamEvent.isText(event)) {
          stepText(event, out)
        } else if (queue.length === 0 || event._tag === "Progress") {
          out.push(event)
        } else if (StreamEvent.isTerminal(event)) {
          flush(out)
          out.push(event)
        } else {
          const size = sizeOf(event, maxWaiting)
          queue.push({ text: undefined, event, size })
          waiting += size
        }
        if (waiting <= maxWaiting) return undefined
        const size = waiting
        flush(out)
        return StreamError.make({ _tag: "BufferOverflow", limit: maxWaiting, size })
      },
      flush
    }
  })
