/**
 * What every provider's protocol is, and the one driver that runs them all.
 *
 * A protocol is a record `{ name, initial, step, onHalt }` over decoded chunks: it knows nothing of bytes, framing, time,
 * errors of transport or Effect. The driver guarantees the rest:
 *
 * 1. `Start` comes first, as soon as the stream is pulled: for a response, when its headers are there.
 * 2. What a chunk gave is emitted before the failure that the chunk caused.
 * 3. The stream ends with `End` only where the protocol says that it is complete; else it fails with `Truncated`.
 * 4. After the end nothing more is pulled, so a body that lingers behind `[DONE]` is not waited for.
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import { nonEmpty, record, string } from "../internal/untyped.ts"
import * as StreamConfig from "../StreamConfig.ts"
import * as StreamError from "../StreamError.ts"
import * as StreamEvent from "../StreamEvent.ts"
import * as StreamSource from "../StreamSource.ts"
import * as SseStream from "./SseStream.ts"

// -----------------------------------------------------------------------------
// protocol
// -----------------------------------------------------------------------------

/**
 * The failures that a decoder adds to those of its bytes.
 *
 * @category errors
 * @since 0.1.0
 */
export type DecodeError = StreamError.StreamErrorOf<
  "Truncated" | "ProviderFailure" | "MalformedFrame" | "FrameTooLarge" | "ToolCallIncomplete" | "BufferOverflow"
>

/**
 * Where a protocol puts what a chunk gives: the events, and the time they are of.
 *
 * @category models
 * @since 0.1.0
 */
export interface Output {
  readonly events: Array<StreamEvent.StreamEvent>
  readonly timestamp: number
}

/**
 * A provider's protocol over decoded chunks.
 *
 * @category models
 * @since 0.1.0
 */
export interface Protocol<State> {
  /** The provider's name in errors, unless the options give another. */
  readonly name: string
  /** What the terminal event is called, for `Truncated`. */
  readonly terminal: string
  readonly initial: (limits: { readonly maxBufferSize: number }) => State
  /** Takes a chunk. A failure that it returns ends the stream behind the events of the chunk. */
  readonly step: (state: State, chunk: unknown, out: Output) => DecodeError | undefined
  /** Whether the terminal event has come. */
  readonly isComplete: (state: State) => boolean
  /**
   * The stream is over, complete or not: the last events without `End`, and the failure if there is one. `isAccepted`
   * says that it ends like a complete one though it may not be, by `onMissingFinish`.
   */
  readonly onHalt: (
    state: State,
    out: Output,
    isAccepted: boolean
  ) => { readonly finishReason: StreamEvent.End["finishReason"]; readonly error?: DecodeError | undefined }
}

/**
 * Options of every decoder.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** Names the provider in errors. */
  readonly provider?: string | undefined
  /** UTF-16 code units that one frame may have. 10 Mi unless `StreamConfig` says otherwise. */
  readonly maxEventSize?: number | undefined
  /**
   * What a frame that is not JSON does: `"fail"` (by default) the stream with `MalformedFrame`, or `"skip"` the frame.
   */
  readonly onMalformed?: "fail" | "skip" | undefined
  /**
   * What a stream without its terminal event does: `"fail"` (by default) with `Truncated`; end like any other, but
   * `"mark"`ed by a Metadata event of the kind `truncated`; or be `"accept"`ed as it is.
   */
  readonly onMissingFinish?: "fail" | "mark" | "accept" | undefined
}

// -----------------------------------------------------------------------------
// driver
// -----------------------------------------------------------------------------

type Events = Arr.NonEmptyReadonlyArray<StreamEvent.StreamEvent>

/** How chunks are framed in what comes from upstream. */
interface Framing<In> {
  /** Calls `onChunk` for each chunk; a failure that it returns, or one of the framing, ends the stream. */
  readonly feed: (input: Arr.NonEmptyReadonlyArray<In>, run: Run) => DecodeError | "done" | undefined
  readonly end: (run: Run) => DecodeError | "done" | undefined
}

interface Run {
  readonly chunk: (chunk: unknown) => DecodeError | undefined
  readonly keepAlive: () => void
}

const drive = <State, In, E, R>(
  self: Stream.Stream<In, E, R>,
  protocol: Protocol<State>,
  options: Options | undefined,
  framing: (config: StreamConfig.StreamConfig) => Framing<In>
): Stream.Stream<StreamEvent.StreamEvent, E | DecodeError, R> =>
  Stream.transformPull(self, (upstream) =>
    Effect.withFiber((fiber) => {
      type Out = Pull.Pull<Events, E | DecodeError, void, R>
      const clock = fiber.getRef(Clock.Clock)
      const config = fiber.getRef(StreamConfig.StreamConfig)
      const frames = framing(config)
      const state = protocol.initial(config)
      let out: Output = { events: [], timestamp: 0 }
      const begin = () => {
        out = { events: [], timestamp: clock.currentTimeMillisUnsafe() }
      }
      const run: Run = {
        chunk: (chunk) => protocol.step(state, chunk, out),
        keepAlive: () => out.events.push(StreamEvent.progress(out.timestamp, "keep-alive"))
      }
      const endWith = (end: Out): Out => {
        next = end
        return Arr.isArrayNonEmpty(out.events) ? Effect.succeed(out.events) : end
      }
      const halt = (): Out => {
        const policy = options?.onMissingFinish ?? "fail"
        const complete = protocol.isComplete(state)
        const { error, finishReason } = protocol.onHalt(state, out, policy !== "fail")
        if (error !== undefined) return endWith(Effect.fail(error))
        if (!complete) {
          if (policy === "fail") {
            return endWith(Effect.fail(StreamError.make({ _tag: "Truncated", expected: protocol.terminal })))
          }
          if (policy === "mark") {
            out.events.push(
              StreamEvent.metadata(out.timestamp, "truncated", { metadata: { expected: protocol.terminal } })
            )
          }
        }
        out.events.push(StreamEvent.end(out.timestamp, finishReason))
        return endWith(Cause.done())
      }
      const settle = (outcome: DecodeError | "done" | undefined): Out => {
        if (outcome === "done") return halt()
        if (outcome !== undefined) {
          // What the protocol still holds (usage, say) is not lost; the first failure is the one that counts.
          protocol.onHalt(state, out, false)
          return endWith(Effect.fail(outcome))
        }
        return Arr.isArrayNonEmpty(out.events) ? Effect.succeed(out.events) : pull
      }
      const pull: Out = Pull.matchEffect(upstream, {
        onSuccess: (input): Out => {
          begin()
          return settle(frames.feed(input, run))
        },
        onFailure: (cause): Out => {
          if (Cause.hasInterruptsOnly(cause)) return Effect.failCause(cause)
          begin()
          // As for an outcome; and an event that is whole but for its blank line has arrived too.
          frames.end(run)
          protocol.onHalt(state, out, false)
          return endWith(Effect.failCause(cause))
        },
        onDone: (): Out => {
          begin()
          const outcome = frames.end(run)
          return outcome === undefined ? halt() : settle(outcome)
        }
      })
      let next: Out = Effect.suspend(() => {
        next = pull
        return Effect.succeed([StreamEvent.start(clock.currentTimeMillisUnsafe())])
      })
      return Effect.succeed(Effect.suspend(() => next))
    })
  )

/** What a chunk causes that cannot be read, or that the protocol throws on: it is nested too deep to be encoded, say. */
const malformed = (
  options: Options | undefined,
  offset: number,
  cause: unknown
): StreamError.StreamErrorOf<"MalformedFrame"> | undefined =>
  options?.onMalformed === "skip" ? undefined : StreamError.make({ _tag: "MalformedFrame", offset, cause })

/** Server-sent events with JSON data; `[DONE]` ends the stream. */
const sseFraming =
  (options: Options | undefined) =>
  (config: StreamConfig.StreamConfig): Framing<Uint8Array | string> => {
    const maxEventSize = options?.maxEventSize ?? config.maxEventSize
    const frames = SseStream.makeFrames(maxEventSize)
    const take = (event: SseStream.SseEvent, run: Run): DecodeError | "done" | undefined => {
      if (SseStream.isComment(event)) {
        run.keepAlive()
        return undefined
      }
      if (event.data === "[DONE]") return "done"
      try {
        return run.chunk(JSON.parse(event.data))
      } catch (cause) {
        const text = event.data.trim()
        if (text === "[DONE]") return "done"
        if (text !== "") return malformed(options, event.offset, cause)
        run.keepAlive()
        return undefined
      }
    }
    return {
      feed(input, run) {
        const events: Array<SseStream.SseEvent> = []
        const fits = frames.feed(input, events)
        for (const event of events) {
          const outcome = take(event, run)
          if (outcome !== undefined) return outcome
        }
        return fits ? undefined : SseStream.tooLarge(maxEventSize)
      },
      end(run) {
        // Some servers leave out the last blank line: their last event counts when its JSON is whole.
        const event = frames.end()
        const isWhole = event !== undefined && (event.data.trim() === "[DONE]" || parseJson(event.data) !== undefined)
        return isWhole ? take(event, run) : undefined
      }
    }
  }

/** Chunks that somebody has decoded already. */
const chunkFraming = (options: Options | undefined) => (): Framing<unknown> => {
  let count = 0
  return {
    feed(input, run) {
      for (const chunk of input) {
        let error: DecodeError | undefined
        try {
          error = run.chunk(chunk)
        } catch (cause) {
          error = malformed(options, count, cause)
        }
        if (error !== undefined) return error
        count++
      }
      return undefined
    },
    end: () => undefined
  }
}

/**
 * Decodes the bytes of a protocol that streams server-sent events.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decodeSse = <State>(protocol: Protocol<State>, options?: Options) => {
  SseStream.decode(options)
  return <E, R>(
    self: Stream.Stream<Uint8Array | string, E, R>
  ): Stream.Stream<StreamEvent.StreamEvent, E | DecodeError, R> => drive(self, protocol, options, sseFraming(options))
}

/**
 * Runs a protocol over chunks that are decoded already.
 *
 * **Details**
 *
 * The `offset` of a `MalformedFrame` counts chunks here.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decodeChunks =
  <State>(protocol: Protocol<State>, options?: Options) =>
  <E, R>(self: Stream.Stream<unknown, E, R>): Stream.Stream<StreamEvent.StreamEvent, E | DecodeError, R> =>
    drive(self, protocol, options, chunkFraming(options))

// -----------------------------------------------------------------------------
// HTTP
// -----------------------------------------------------------------------------

/**
 * The failures of a response, beside those of decoding its bytes.
 *
 * @category errors
 * @since 0.1.0
 */
export type ResponseError = DecodeError | StreamError.StreamErrorOf<"SourceFailure">

/**
 * Decodes the bytes of a response whose status is 2xx; any other status becomes `ProviderFailure`.
 *
 * **Details**
 *
 * Of the body of an error at most 64 KiB are read, for the provider's code and message.
 *
 * @category HTTP
 * @since 0.1.0
 */
export const decodeResponse = (
  response: HttpClientResponse.HttpClientResponse,
  provider: string,
  decode: <E>(bytes: Stream.Stream<Uint8Array, E>) => Stream.Stream<StreamEvent.StreamEvent, E | DecodeError>
): Stream.Stream<StreamEvent.StreamEvent, ResponseError> =>
  response.status >= 200 && response.status < 300
    ? decode(Stream.mapError(response.stream, sourceFailure))
    : Stream.unwrap(Effect.map(statusFailure(response, provider), Stream.fail))

const sourceFailure = (cause: unknown): StreamError.StreamErrorOf<"SourceFailure"> =>
  StreamError.make({ _tag: "SourceFailure", cause })

const maxErrorBody = 64 * 1024

const statusFailure = (
  response: HttpClientResponse.HttpClientResponse,
  provider: string
): Effect.Effect<StreamError.StreamErrorOf<"ProviderFailure">> => {
  const { headers, status } = response
  let size = 0
  return response.stream.pipe(
    Stream.takeUntil((bytes) => (size += bytes.length) >= maxErrorBody),
    StreamSource.decodeText,
    Stream.mkString,
    // Of a body that cannot be read, the status still says what happened.
    Effect.orElseSucceed(() => ""),
    Effect.flatMap((body) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const { code, message } = describeError(parseJson(body) ?? body)
        return StreamError.make({
          _tag: "ProviderFailure",
          provider,
          status,
          code,
          message: message ?? `HTTP status ${status}`,
          isRetryable: isRetryableStatus(status),
          retryAfter: retryAfter(headers["retry-after-ms"], headers["retry-after"], now)
        })
      })
    )
  )
}

/**
 * An error that a provider reports in the stream, under the status 200.
 *
 * @category decoding
 * @since 0.1.0
 */
export const inBandFailure = (provider: string, error: unknown): StreamError.StreamErrorOf<"ProviderFailure"> => {
  const { code, message, type } = describeError(error)
  return StreamError.make({
    _tag: "ProviderFailure",
    provider,
    code: code ?? type,
    message: message ?? "no message",
    isRetryable: [code, type].some((word) => word !== undefined && isRetryableWord(word))
  })
}

/** Code and message, wherever the providers put them: `{ error: { message, type, code } }`, `{ message }`, a string. */
const describeError = (
  body: unknown
): {
  readonly code?: string | undefined
  readonly type?: string | undefined
  readonly message?: string | undefined
} => {
  if (typeof body === "string") return { message: nonEmpty(body.slice(0, 1_000)) }
  // Google's compatible server puts its error in an array.
  const outer = record(Array.isArray(body) ? body[0] : body)
  const error = record(outer?.["error"]) ?? outer
  const code = error?.["code"]
  return {
    code: typeof code === "number" ? String(code) : (nonEmpty(code) ?? nonEmpty(error?.["status"])),
    type: nonEmpty(error?.["type"]),
    message: nonEmpty(error?.["message"]) ?? string(outer?.["error"]) ?? nonEmpty(error?.["detail"])
  }
}

const isRetryableStatus = (status: number): boolean =>
  status === 408 || status === 409 || status === 425 || status === 429 || status >= 500

const isRetryableWord = (word: string): boolean =>
  /^\d{3}$/.test(word)
    ? isRetryableStatus(Number(word))
    : /overloaded|unavailable|rate_limit|timeout|server_error|internal|insufficient_system_resource/i.test(word)

const retryAfter = (
  millis: string | undefined,
  secondsOrDate: string | undefined,
  now: number
): Duration.Duration | undefined => {
  const ms = amount(millis)
  if (ms !== undefined) return Duration.millis(ms)
  const seconds = amount(secondsOrDate)
  if (seconds !== undefined) return Duration.seconds(seconds)
  const date = secondsOrDate !== undefined && /[a-z]/i.test(secondsOrDate) ? Date.parse(secondsOrDate) : NaN
  return Number.isNaN(date) ? undefined : Duration.millis(Math.max(0, date - now))
}

const amount = (text: string | undefined): number | undefined =>
  text !== undefined && /^\s*\d{1,12}(\.\d+)?\s*$/.test(text) ? Number(text) : undefined

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/**
 * Sends a request and decodes its response. Leaving the stream, or interrupting it, aborts the request.
 *
 * **Details**
 *
 * Every failure says in its `context` which stream it was: provider, model, the response's `x-request-id`, and the time
 * since the request.
 *
 * @category HTTP
 * @since 0.1.0
 */
export const execute = <E extends StreamError.StreamError>(
  client: HttpClient.HttpClient,
  request: Effect.Effect<HttpClientRequest.HttpClientRequest, unknown>,
  options: {
    readonly provider: string
    readonly model: string | undefined
    readonly decode: (response: HttpClientResponse.HttpClientResponse) => Stream.Stream<StreamEvent.StreamEvent, E>
  }
): Stream.Stream<StreamEvent.StreamEvent, E | StreamError.StreamErrorOf<"SourceFailure">> =>
  Stream.unwrap(
    Clock.clockWith((clock) => {
      const sentAt = clock.monotonicTimeNanosUnsafe()
      let requestId: string | undefined
      const stream = Stream.unwrap(
        Effect.map(Effect.mapError(Effect.flatMap(request, client.execute), sourceFailure), (response) => {
          requestId = response.headers["x-request-id"]
          return options.decode(response)
        })
      )
      return Effect.succeed(
        Stream.mapError(stream, (error) =>
          StreamError.withContext(error, {
            provider: options.provider,
            model: options.model,
            requestId,
            elapsed: Duration.nanos(clock.monotonicTimeNanosUnsafe() - sentAt)
          })
        )
      )
    })
  )
