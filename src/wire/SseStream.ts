/**
 * Server-sent events: the frames that most providers stream in.
 *
 * 1. Follows the WHATWG rules: CR, LF and CRLF, one byte order mark, sticky identifiers, an unfinished last event is
 *    dropped. `retry:` fields are read over.
 * 2. What comes out does not depend on how the bytes were split into chunks.
 * 3. An event larger than `maxEventSize` fails with `FrameTooLarge`, behind all events before it; nothing larger is ever
 *    held.
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import * as Channel from "effect/Channel"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import { ChunkDecoder } from "../internal/chunkDecoder.ts"
import * as Sse from "../internal/sse.ts"
import * as StreamConfig from "../StreamConfig.ts"
import * as StreamError from "../StreamError.ts"
import * as StreamEvent from "../StreamEvent.ts"
import * as StreamProcessor from "../StreamProcessor.ts"

// -----------------------------------------------------------------------------
// model
// -----------------------------------------------------------------------------

/**
 * One server-sent event.
 *
 * @category models
 * @since 0.1.0
 */
export interface SseEvent {
  /** Its name, `"message"` where it has none. */
  readonly event: string
  /** Its data lines, joined by line feeds. */
  readonly data: string
  /** The last identifier of the stream so far, `""` at first. */
  readonly id: string
  /** Where it began: UTF-16 code units of decoded text before it. */
  readonly offset: number
}

/**
 * Whether an element stands for a comment line, the wire's keep-alive. Its `event` is `""`, as no event's is.
 *
 * @category guards
 * @since 0.1.0
 */
export const isComment = (event: SseEvent): boolean => event === Sse.comment

/**
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** UTF-16 code units that one event may have. 10 Mi unless `StreamConfig` says otherwise. */
  readonly maxEventSize?: number | undefined
  /** Whether comment lines are passed on, as elements for which {@link isComment} holds. `false` by default. */
  readonly comments?: boolean | undefined
}

// -----------------------------------------------------------------------------
// decoding
// -----------------------------------------------------------------------------

/**
 * The channel below {@link decode}.
 *
 * @category decoding
 * @since 0.1.0
 */
export const channel = <E, Done>(
  options?: Options
): Channel.Channel<
  Arr.NonEmptyReadonlyArray<SseEvent>,
  E | StreamError.StreamErrorOf<"FrameTooLarge">,
  Done,
  Arr.NonEmptyReadonlyArray<Uint8Array | string>,
  E,
  Done
> => {
  if (options?.maxEventSize !== undefined) Sse.make({ maxEventSize: options.maxEventSize })
  return Channel.fromTransform((upstream: Pull.Pull<Arr.NonEmptyReadonlyArray<Uint8Array | string>, E, Done>) =>
    Effect.map(StreamConfig.StreamConfig, (config) => {
      type Out = Pull.Pull<Arr.NonEmptyReadonlyArray<SseEvent>, E | StreamError.StreamErrorOf<"FrameTooLarge">, Done>
      const maxEventSize = options?.maxEventSize ?? config.maxEventSize
      const frames = makeFrames(maxEventSize)
      const pull: Out = Effect.flatMap(upstream, (chunks): Out => {
        let out: Array<SseEvent> = []
        const fits = frames.feed(chunks, out)
        if (options?.comments !== true) out = out.filter((event) => !isComment(event))
        if (!fits) {
          next = Effect.fail(tooLarge(maxEventSize))
          return Arr.isArrayNonEmpty(out) ? Effect.succeed(out) : next
        }
        return Arr.isArrayNonEmpty(out) ? Effect.succeed(out) : pull
      })
      let next = pull
      return Effect.suspend(() => next)
    })
  )
}

/**
 * Decodes bytes (UTF-8) or text into server-sent events.
 *
 * **Details**
 *
 * A `maxEventSize` that is not a whole number of 1 or more throws a `RangeError`.
 *
 * **Example** (Events from text)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { SseStream } from "effect-llm-streaming"
 *
 * const events = Stream.make("event: greeting\ndata: Hel", "lo\n\n: keep-alive\n\ndata: unfinished").pipe(SseStream.decode())
 * const [first, ...others] = Effect.runSync(Stream.runCollect(events))
 * first // => { event: "greeting", data: "Hello", id: "", offset: 0 }
 * others.length // => 0
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const decode = (options?: Options) => {
  channel(options)
  return <E, R>(
    self: Stream.Stream<Uint8Array | string, E, R>
  ): Stream.Stream<SseEvent, E | StreamError.StreamErrorOf<"FrameTooLarge">, R> =>
    Stream.pipeThroughChannel(self, channel<E, unknown>(options))
}

/**
 * A processor for answer text that is itself server-sent events: the data of each event becomes one `Delta`, a comment
 * becomes `Progress`. Other events pass through as they are.
 *
 * **Example** (Text inside text)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { SseStream, StreamEvent } from "effect-llm-streaming"
 *
 * const text = Stream.make("data: Hel", "lo\n\ndata:  World\n\n").pipe(
 *   StreamEvent.fromText,
 *   SseStream.processor(),
 *   StreamEvent.text
 * )
 * Effect.runSync(Stream.runCollect(text)) // => ["Hello", " World"]
 * ```
 *
 * @category processors
 * @since 0.1.0
 */
export const processor = (options?: {
  /** UTF-16 code units that one event may have. 10 Mi. */
  readonly maxEventSize?: number | undefined
}): StreamProcessor.StreamProcessor<StreamError.StreamErrorOf<"FrameTooLarge">> => {
  const maxEventSize = options?.maxEventSize ?? StreamConfig.defaults.maxEventSize
  Sse.make({ maxEventSize })
  return StreamProcessor.transduce(() => {
    const parser = Sse.make({ maxEventSize })
    return {
      step(event, out) {
        if (event._tag !== "Delta") {
          out.push(event)
          return
        }
        const frames: Array<SseEvent> = []
        const fits = parser.feed(event.delta, frames)
        for (const frame of frames) {
          out.push(
            isComment(frame)
              ? StreamEvent.progress(event.timestamp, "comment")
              : StreamEvent.delta(event.timestamp, frame.data, event.part)
          )
        }
        return fits ? undefined : tooLarge(maxEventSize)
      },
      flush() {}
    }
  })
}

// -----------------------------------------------------------------------------
// frames
// -----------------------------------------------------------------------------

/** @internal */
export const tooLarge = (limit: number): StreamError.StreamErrorOf<"FrameTooLarge"> =>
  StreamError.make({ _tag: "FrameTooLarge", limit })

/**
 * Bytes or text to events and comments.
 *
 * @internal
 */
export interface Frames {
  /** Appends to `out` what the chunks complete; `false` once an event is too large. */
  readonly feed: (chunks: ReadonlyArray<Uint8Array | string>, out: Array<SseEvent>) => boolean
  /** Ends the stream: the event that was unfinished, if it has data. */
  readonly end: () => SseEvent | undefined
}

/** @internal */
export const makeFrames = (maxEventSize: number): Frames => {
  const parser = Sse.make({ maxEventSize })
  const decoder = new ChunkDecoder()
  return {
    feed(chunks, out) {
      for (const chunk of chunks) {
        if (!parser.feed(decoder.decode(chunk), out)) return false
      }
      return true
    },
    end() {
      parser.feed(decoder.end(), [])
      return parser.end()
    }
  }
}
