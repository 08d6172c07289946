/**
 * Ends the answer at the first of several stop strings, as a server's `stop` does where it has one.
 *
 * 1. The answer is what it is before the first end of a stop string; of those that end together, the longest counts. So it
 *    does not depend on how the text was cut.
 * 2. No prefix of a stop string leaks: what could become one is held back, and nothing more.
 * 3. The source is released before the last events go on, so that no more tokens are paid for.
 *
 * The answer is a text as in `HeldText`: a stop string is found over parts, not over a tool call or over reasoning.
 *
 * @since 0.1.0
 */
import * as LiteralMatcher from "../internal/literalMatcher.ts"
import * as StreamBuffer from "../StreamBuffer.ts"
import type * as StreamError from "../StreamError.ts"
import * as StreamEvent from "../StreamEvent.ts"
import * as StreamProcessor from "../StreamProcessor.ts"
import { HeldText } from "./HeldText.ts"

/**
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** Letters count by their case. None, or an empty one, throws a `RangeError`. */
  readonly stop: ReadonlyArray<string>
  /** Whether the stop string itself stays in the answer. `false` by default. */
  readonly keep?: boolean | undefined
  /** How much Metadata may wait behind held-back text, in UTF-16 code units. 1 Mi by default. */
  readonly maxWaiting?: number | undefined
}

/**
 * A processor that ends the answer at a stop string.
 *
 * **Details**
 *
 * Behind the answer comes a Metadata event of the kind `stop-sequence`, which names the string, and `End` with the finish
 * reason `stop`. Usage that the provider would have reported later is not known then. Fails with `BufferOverflow` when more
 * than `maxWaiting` waits behind text that is held back.
 *
 * **Example** (A turn that ends where the next would begin)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { StopSequence, StreamEvent, StreamHandler } from "effect-llm-streaming"
 *
 * const result = Effect.runSync(
 *   Stream.make("I am fine.\nUs", "er: And", " you?").pipe(
 *     StreamEvent.fromText,
 *     StopSequence.make({ stop: ["\nUser:", "\nAssistant:"] }),
 *     StreamHandler.run()
 *   )
 * )
 * result.text // => "I am fine."
 * result.finishReason // => "stop"
 * result.metadata // => [{ kind: "stop-sequence", metadata: { stop: "\nUser:" } }]
 * ```
 *
 * @category processors
 * @since 0.1.0
 */
export const make = (
  options: Options
): StreamProcessor.StreamProcessor<StreamError.StreamErrorOf<"BufferOverflow">> => {
  if (options.stop.length === 0) throw new RangeError("stop must hold a string at least")
  const patterns = options.stop.filter((stop) => !options.stop.some((other) => endsFirst(other, stop)))
  const matcher = LiteralMatcher.compile(patterns, { caseSensitive: true })
  const maxWaiting = StreamBuffer.checkMaxSize("maxWaiting", options.maxWaiting ?? 1024 * 1024)
  return StreamProcessor.transduce(() => {
    type Out = Array<StreamEvent.StreamEvent>
    const held = new HeldText(maxWaiting)
    let found: { readonly stop: string; readonly offset: number } | undefined
    const text = matcher.open((pattern, offset) => {
      found = { stop: patterns[pattern]!, offset }
      return undefined
    })

    const emit = (until: number, out: Out) =>
      held.take(until, (event, delta) => out.push(delta === event.delta ? event : { ...event, delta }), out)

    const endText = (out: Out) => {
      if (held.isEmpty) return
      text.end()
      emit(held.length, out)
      held.reset()
    }

    const pushText = (event: StreamEvent.Delta, out: Out) => {
      text.push(event.delta)
      if (held.isEmpty && found === undefined && text.held === 0) {
        held.pass(event)
        out.push(event)
        return undefined
      }
      held.push(event)
      if (found === undefined) {
        emit(held.length - text.held, out)
        return undefined
      }
      const { offset, stop } = found
      emit(options.keep === true ? offset + stop.length : offset, out)
      const finish = { finishReason: "stop", metadata: { stop } } as const
      out.push(StreamEvent.metadata(event.timestamp, "stop-sequence", finish), StreamEvent.end(event.timestamp, "stop"))
      return StreamProcessor.stop
    }

    return {
      step(event, out) {
        if (event._tag === "Delta") return pushText(event, out)
        if (event._tag === "Metadata" && !held.isEmpty) {
          const overflow = held.wait(event)
          if (overflow !== undefined) endText(out)
          return overflow
        }
        if (event._tag !== "Progress" && event._tag !== "Metadata") endText(out)
        out.push(event)
        return undefined
      },
      flush: endText
    }
  })
}

/**
 * Whether `stop` can never be the one, since it has `other` inside of it and not at its end. Without such strings the leftmost
 * match is the one that ends first, and it is decided by its last character.
 */
const endsFirst = (other: string, stop: string): boolean => {
  const at = stop.indexOf(other)
  return at !== -1 && at + other.length < stop.length
}
