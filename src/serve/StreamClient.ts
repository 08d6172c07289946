/**
 * The other end of `SseResponse` and `NdjsonResponse`: their bytes as the events that they were made of, in Node and in a
 * browser.
 *
 * 1. `decode` of what `SseResponse` wrote gives the same events, `decodeLines` of what `NdjsonResponse` wrote. An `Error`
 *    event becomes the failure of the stream.
 * 2. A response that stops without its terminal event fails with `Truncated`; nothing behind that event is waited for.
 * 3. What arrived is delivered before a failure.
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Pull from "effect/Pull"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { ChunkDecoder } from "../internal/chunkDecoder.ts"
import { type Line, LineReader } from "../internal/lines.ts"
import { comment } from "../internal/sse.ts"
import * as StreamConfig from "../StreamConfig.ts"
import * as StreamError from "../StreamError.ts"
import * as StreamEvent from "../StreamEvent.ts"
import * as Provider from "../wire/Provider.ts"
import * as SseStream from "../wire/SseStream.ts"

/**
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** UTF-16 code units that one event may have. 10 Mi unless `StreamConfig` says otherwise. */
  readonly maxEventSize?: number | undefined
}

type Events = Arr.NonEmptyReadonlyArray<StreamEvent.StreamEvent>

const decodeEvent = Schema.decodeSync(Schema.fromJsonString(StreamEvent.StreamEvent))

/**
 * Decodes the bytes of a response of `SseResponse`.
 *
 * **Details**
 *
 * A comment comes as `Progress`, for a deadline that goes by signs of life. A frame that is no event fails with
 * `MalformedFrame`. A `maxEventSize` that is not a whole number of 1 or more throws a `RangeError`.
 *
 * **Example** (Events from text)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { StreamClient, StreamHandler } from "effect-llm-streaming"
 *
 * const bytes = Stream.make(
 *   'data: {"_tag":"Delta","timestamp":0,"delta":"Hello"}\n\n',
 *   'data: {"_tag":"End","timestamp":0,"finishReason":"stop"}\n\n'
 * )
 * Effect.runSync(bytes.pipe(StreamClient.decode(), StreamHandler.runText())) // => "Hello"
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const decode = (options?: Options) => {
  const frames = SseStream.decode({ ...options, comments: true })
  return <E, R>(self: Stream.Stream<Uint8Array | string, E, R>) => eventsOf(frames(self))
}

/**
 * Decodes the bytes of a response of `NdjsonResponse`, a line an event.
 *
 * **Details**
 *
 * An empty line comes as `Progress`. All else is as it is for {@link decode}.
 *
 * **Example** (Events from lines)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { StreamClient, StreamHandler } from "effect-llm-streaming"
 *
 * const bytes = Stream.make(
 *   '{"_tag":"Delta","timestamp":0,"delta":"Hello"}\n\n',
 *   '{"_tag":"End","timestamp":0,"finishReason":"stop"}\n'
 * )
 * Effect.runSync(bytes.pipe(StreamClient.decodeLines(), StreamHandler.runText())) // => "Hello"
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const decodeLines = (options?: Options) => {
  // Throws where the limit is impossible.
  if (options?.maxEventSize !== undefined) SseStream.makeFrames(options.maxEventSize)
  return <E, R>(self: Stream.Stream<Uint8Array | string, E, R>) => eventsOf(linesOf(self, options?.maxEventSize))
}

/** Lines as frames, the empty ones as comments. */
const linesOf = <E, R>(
  self: Stream.Stream<Uint8Array | string, E, R>,
  limit: number | undefined
): Stream.Stream<SseStream.SseEvent, E | StreamError.StreamErrorOf<"FrameTooLarge">, R> =>
  Stream.transformPull(self, (upstream) =>
    Effect.map(StreamConfig.StreamConfig, (config) => {
      type Failure = E | StreamError.StreamErrorOf<"FrameTooLarge">
      type Out = Pull.Pull<Arr.NonEmptyReadonlyArray<SseStream.SseEvent>, Failure, void, R>
      const maxEventSize = limit ?? config.maxEventSize
      const decoder = new ChunkDecoder()
      const reader = new LineReader(maxEventSize, { keepsBlank: true })
      const pull: Out = Effect.flatMap(upstream, (chunks): Out => {
        const lines: Array<Line> = []
        const fits = chunks.every((chunk) => reader.feed(decoder.decode(chunk), lines))
        if (!fits) next = Effect.fail(SseStream.tooLarge(maxEventSize))
        const frames = lines.map(frameOf)
        return Arr.isArrayNonEmpty(frames) ? Effect.succeed(frames) : next
      })
      let next = pull
      return Effect.suspend(() => next)
    })
  )

const frameOf = ({ offset, text }: Line): SseStream.SseEvent =>
  text.trim() === "" ? comment : { event: "message", data: text, id: "", offset }

const eventsOf = <E, R>(
  self: Stream.Stream<SseStream.SseEvent, E, R>
): Stream.Stream<StreamEvent.StreamEvent, E | StreamError.StreamError, R> =>
  Stream.transformPull(self, (upstream) =>
    Clock.clockWith((clock) => {
      type Out = Pull.Pull<Events, E | StreamError.StreamError, void, R>
      const take = (frames: ReadonlyArray<SseStream.SseEvent>): Out => {
        const events: Array<StreamEvent.StreamEvent> = []
        for (const frame of frames) {
          const event = SseStream.isComment(frame)
            ? StreamEvent.progress(clock.currentTimeMillisUnsafe(), "keep-alive")
            : eventOf(frame)
          if (StreamError.isStreamError(event)) return endWith(events, Effect.fail(event))
          if (event._tag === "Error") return endWith(events, Effect.fail(event.error))
          events.push(event)
          if (event._tag === "End") return endWith(events, Cause.done())
        }
        return Arr.isArrayNonEmpty(events) ? Effect.succeed(events) : pull
      }
      const endWith = (events: ReadonlyArray<StreamEvent.StreamEvent>, end: Out): Out => {
        next = end
        return Arr.isReadonlyArrayNonEmpty(events) ? Effect.succeed(events) : end
      }
      const pull: Out = Pull.matchEffect(upstream, {
        onSuccess: take,
        onFailure: (cause): Out => Effect.failCause(cause),
        onDone: (): Out => Effect.fail(truncated())
      })
      let next = pull
      return Effect.succeed(Effect.suspend(() => next))
    })
  )

const eventOf = (frame: SseStream.SseEvent): StreamEvent.StreamEvent | StreamError.StreamErrorOf<"MalformedFrame"> => {
  try {
    return decodeEvent(frame.data)
  } catch (cause) {
    return StreamError.make({ _tag: "MalformedFrame", offset: frame.offset, cause })
  }
}

const truncated = () => StreamError.make({ _tag: "Truncated", expected: "its End event" })

/**
 * Asks a backend that answers with `SseResponse` or `NdjsonResponse`, and gives the events of its answer.
 *
 * **Details**
 *
 * A status outside 2xx becomes `ProviderFailure` of the provider `"server"`, with the code, the message and `isRetryable`
 * that the backend shows; a connection that fails becomes `SourceFailure`. Leaving the stream aborts the request.
 *
 * **Example** (A stream from a backend)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { FetchHttpClient, HttpEffect } from "effect/http"
 * import { SseResponse, StreamClient, StreamEvent, StreamHandler } from "effect-llm-streaming"
 *
 * const backend = HttpEffect.toWebHandler(Stream.make("Hel", "lo").pipe(StreamEvent.fromText, SseResponse.make()))
 * const answer = StreamClient.events("http://localhost/").pipe(
 *   StreamHandler.runText(),
 *   Effect.provide(FetchHttpClient.layer),
 *   Effect.provideService(FetchHttpClient.Fetch, (url, init) => backend(new Request(url, init)))
 * )
 * await Effect.runPromise(answer) // => "Hello"
 * ```
 *
 * @category HTTP
 * @since 0.1.0
 */
export const events = (
  request: HttpClientRequest.HttpClientRequest | string | URL,
  options?: Options
): Stream.Stream<StreamEvent.StreamEvent, StreamError.StreamError, HttpClient.HttpClient> => {
  const frames = decode(options)
  const lines = decodeLines(options)
  const asked = HttpClientRequest.accept(
    HttpClientRequest.isHttpClientRequest(request) ? request : HttpClientRequest.get(request),
    "text/event-stream, application/x-ndjson"
  )
  return Stream.unwrap(
    HttpClient.execute(asked).pipe(
      Effect.mapError((cause) => StreamError.make({ _tag: "SourceFailure", cause })),
      Effect.map((response) => {
        const isLines = response.headers["content-type"]?.startsWith("application/x-ndjson") === true
        return Provider.decodeResponse(response, "server", isLines ? lines : frames)
      })
    )
  )
}
