/**
 * What every response that streams events is made of: when it begins, what keeps it alive, how it ends, who may know why.
 *
 * 1. The source is pulled only as fast as the client reads.
 * 2. When the client goes away the source is interrupted, also while it is silent; or, by choice, it runs on to its end, so
 *    that what it is for (a log, a bill) gets the whole.
 * 3. There is one terminal frame. A failure behind the first byte, and a stream that just stops, is an error frame of the
 *    protocol; where the protocol has none, the connection breaks off. It is never taken for an end.
 * 4. Of a failure the client sees what `expose` says, and nothing of its cause by default.
 *
 * @since 0.1.0
 */
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type * as Pull from "effect/Pull"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { type News, Pump } from "../processors/Pump.ts"
import * as StreamError from "../StreamError.ts"
import type * as StreamEvent from "../StreamEvent.ts"
import * as GracefulShutdown from "./GracefulShutdown.ts"

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

/**
 * What a client may know of a failure.
 *
 * @category models
 * @since 0.1.0
 */
export interface Exposed {
  readonly code: string
  readonly message: string
  readonly isRetryable: boolean
}

/**
 * Options of every response.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /**
   * When the response begins: with the first event (`"firstEvent"`, by default), so that a failure before it has a real
   * HTTP status; or after so long at the latest, with status 200 and a heartbeat, for clients and proxies that give up on
   * a silent request.
   */
  readonly status?: "firstEvent" | Duration.Input | undefined
  /** How long a response may be silent before it sends a sign of life. 15 seconds by default; `Infinity` for none. */
  readonly heartbeat?: Duration.Input | undefined
  /** What a client's leaving does to the source: `"interrupt"` it (by default), or let it `"continue"` to its end. */
  readonly onDisconnect?: "interrupt" | "continue" | undefined
  /** What a client may know of a failure. {@link expose} by default. */
  readonly expose?: ((error: unknown) => Exposed) | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
}

/**
 * The reason of a `StreamError` by its name, and a message of this library's own: nothing that a provider or a model said,
 * nothing of a cause.
 *
 * @category options
 * @since 0.1.0
 */
export const expose = (error: unknown): Exposed => {
  if (error instanceof GracefulShutdown.ServerShutdown) {
    return { code: error._tag, message: "The server is shutting down", isRetryable: true }
  }
  if (!StreamError.isStreamError(error)) {
    return { code: "InternalError", message: "Something went wrong", isRetryable: false }
  }
  const { reason } = error
  const exposed = (message: string, isRetryable = false): Exposed => ({ code: reason._tag, message, isRetryable })
  switch (reason._tag) {
    case "ProviderFailure":
      return exposed("The model could not answer", reason.isRetryable)
    case "Timeout":
      return exposed("The model took too long", true)
    case "SourceFailure":
    case "Truncated":
    case "MalformedFrame":
    case "FrameTooLarge":
    case "ProtocolViolation":
      return exposed("The answer broke off", true)
    case "ContentBlocked":
      return exposed("The answer was stopped by a content rule")
    case "BufferOverflow":
    case "BudgetExceeded":
      return exposed("The answer was longer than allowed")
    case "ToolCallIncomplete":
    case "InvalidJson":
    case "SchemaMismatch":
      return exposed("The answer was not what it should be", true)
  }
}

/**
 * How events are written, by one response.
 *
 * @category models
 * @since 0.1.0
 */
export interface Encoding {
  readonly contentType: string
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** The text of an event that is no `Error`; `""` for none. Behind an `End` nothing comes. */
  readonly event: (event: Exclude<StreamEvent.StreamEvent, StreamEvent.Error>) => string
  /** The terminal frame of a failure. Where the protocol has none, the connection breaks off. */
  readonly failure?: ((exposed: Exposed, timestamp: number) => string) | undefined
  /** The JSON body of a response that fails before its first event: `{ error: exposed }` by default. */
  readonly body?: ((exposed: Exposed) => unknown) | undefined
  /** What shows nothing and keeps the connection alive. */
  readonly heartbeat?: string | undefined
}

/**
 * A failure as the event that a client may see, in JSON.
 *
 * @category encoding
 * @since 0.1.0
 */
export const failureEvent = (
  { code, isRetryable, message }: Exposed,
  timestamp: number
): Extract<StreamEvent.StreamEventEncoded, { readonly _tag: "Error" }> => ({
  _tag: "Error",
  timestamp,
  error: encodeError(StreamError.make({ _tag: "ProviderFailure", provider: "server", code, message, isRetryable }))
})

const encodeError = Schema.encodeSync(StreamError.StreamError)

// -----------------------------------------------------------------------------
// response
// -----------------------------------------------------------------------------

type Taken = News<StreamEvent.StreamEvent, unknown>

type Chunk = Arr.NonEmptyReadonlyArray<Uint8Array>

/** Node's own way takes a quarter of the time, and no memory outside of its pool for each token. */
const encode: (text: string) => Uint8Array = (() => {
  const { Buffer } = globalThis as { readonly Buffer?: { readonly from: (text: string) => Uint8Array } }
  const encoder = new TextEncoder()
  return Buffer === undefined ? (text) => encoder.encode(text) : (text) => Buffer.from(text)
})()

/**
 * Makes a response of events.
 *
 * **Details**
 *
 * It runs in the scope of its request, which the server closes when the response was sent or the client went away. What
 * fails is logged, with its cause. A `heartbeat` or a `status` of zero or less throws a `RangeError`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (makeEncoding: () => Encoding, options: Options = {}) => {
  const heartbeat = positive("heartbeat", options.heartbeat ?? "15 seconds")
  const patience =
    options.status === undefined || options.status === "firstEvent"
      ? Duration.infinity
      : positive("status", options.status)
  const settings = { ...options, makeEncoding, heartbeat, patience, show: options.expose ?? expose }
  return <E, R>(
    events: Stream.Stream<StreamEvent.StreamEvent, E, R>
  ): Effect.Effect<HttpServerResponse.HttpServerResponse, never, R | Scope.Scope> => respond(events, settings)
}

interface Settings {
  readonly makeEncoding: () => Encoding
  readonly heartbeat: Duration.Duration
  readonly patience: Duration.Duration
  readonly show: (error: unknown) => Exposed
  readonly onDisconnect?: Options["onDisconnect"]
  readonly headers?: Options["headers"]
}

// Not `Effect.gen` for each response: V8 keeps what a generator function has ever seen until a full collection.
const respond = Effect.fnUntraced(function* <E, R>(
  events: Stream.Stream<StreamEvent.StreamEvent, E, R>,
  settings: Settings
) {
  type Body = Pull.Pull<Chunk, StreamError.StreamErrorOf<"Truncated">>
  const { heartbeat, show } = settings
  const request = yield* Scope.Scope
  const running = yield* GracefulShutdown.Running
  const clock = yield* Clock.Clock
  const source = yield* Pump.open(events)
  const encoding = settings.makeEncoding()
  /** What comes behind all that was sent, once that is known. */
  let end: Body | undefined
  /** What the operator gets to know, and the client does not. */
  let failed: Cause.Cause<unknown> | undefined
  /** How the source is let go. */
  let outcome: Exit.Exit<void, unknown> = Exit.void
  let isServerLeaving = running.isOver
  let silentSince = 0n
  let isHeartbeatDue = false

  const leave = running.add(() => {
    isServerLeaving = true
    source.wake()
  })
  yield* Scope.addFinalizerExit(request, (exit) =>
    end === undefined && !isServerLeaving && settings.onDisconnect === "continue"
      ? Effect.asVoid(running.fork(Effect.ensuring(source.drain(logged), Effect.sync(leave))))
      : Effect.andThen(Effect.sync(leave), source.close(exit))
  )

  /** The terminal frame of a failure. */
  const failure = (cause: Cause.Cause<unknown>): string => {
    failed = cause
    outcome = Exit.failCause(cause)
    end = encoding.failure === undefined ? brokenOff : Cause.done()
    return encoding.failure?.(show(Cause.squash(cause)), clock.currentTimeMillisUnsafe()) ?? ""
  }
  const one = (event: StreamEvent.StreamEvent): string => {
    if (event._tag === "Error") return failure(Cause.fail(event.error))
    try {
      const text = encoding.event(event)
      if (event._tag === "End") end = Cause.done()
      return text
    } catch (defect) {
      // A tool's output that is no JSON, say.
      return failure(Cause.die(defect))
    }
  }
  const textOf = (news: Taken): string => {
    if ("cause" in news) return failure(ofEnd(news.cause))
    let text = ""
    for (const event of news) {
      if (end !== undefined) break
      text += one(event)
    }
    return text
  }
  const write = (text: string): Body => {
    silentSince = clock.monotonicTimeNanosUnsafe()
    isHeartbeatDue = false
    const written: Body = Effect.succeed([encode(text)])
    if (failed === undefined) return written
    const log = logFailure(failed)
    failed = undefined
    return Effect.andThen(log, written)
  }

  yield* Effect.interruptible(Effect.timeoutOption(source.ready, settings.patience))
  const first = source.take()
  const early = isServerLeaving ? serverShutdown : first && failureOf(first)
  if (early !== undefined) {
    end = Cause.done()
    yield* logFailure(early)
    return unavailable(Cause.squash(early), show, encoding, settings.headers)
  }

  /** Wakes who waits for news when nothing was sent for a while. */
  const watch: Effect.Effect<void> = Effect.suspend(() => {
    const rest = Duration.subtract(heartbeat, Duration.nanos(clock.monotonicTimeNanosUnsafe() - silentSince))
    if (Duration.isPositive(rest)) return Effect.andThen(Effect.sleep(rest), watch)
    silentSince = clock.monotonicTimeNanosUnsafe()
    isHeartbeatDue = true
    source.wake()
    return watch
  })
  const take = (): Body => {
    if (end !== undefined) {
      return Effect.andThen(source.close(isServerLeaving ? Exit.interrupt() : outcome), end)
    }
    if (isServerLeaving) return write(failure(serverShutdown))
    source.ask()
    const news = source.take()
    if (news !== undefined) {
      const text = textOf(news)
      return text === "" && end === undefined ? body : write(text)
    }
    return isHeartbeatDue ? write(encoding.heartbeat ?? "") : untilNews
  }
  // Made once, and not for each token: thousands of responses have each their own of whatever is made here.
  const untilNews = source.untilNews(take)
  const body: Body = Effect.suspend(take)
  let next: Body = Effect.suspend(() => {
    next = body
    // Also an empty one sends the headers.
    const written = write((first && textOf(first)) || (encoding.heartbeat ?? ""))
    return encoding.heartbeat === undefined || !Duration.isFinite(heartbeat)
      ? written
      : Effect.andThen(Effect.forkIn(watch, request), written)
  })
  return HttpServerResponse.stream(Stream.fromPull(Effect.succeed(Effect.suspend(() => next))), {
    contentType: encoding.contentType,
    headers: {
      "cache-control": "no-cache, no-transform",
      // nginx would gather the answer and send it in one.
      "x-accel-buffering": "no",
      ...encoding.headers,
      ...settings.headers
    }
  })
}, Effect.uninterruptible)

const positive = (name: string, input: Duration.Input): Duration.Duration => {
  const duration = Duration.fromInputUnsafe(input)
  if (Duration.isPositive(duration)) return duration
  throw new RangeError(`${name} must be longer than 0, got ${Duration.format(duration)}`)
}

/** A server that breaks a connection off drops what it has not sent yet, so what was written before gets a turn to go. */
const brokenOff = Effect.andThen(
  Effect.yieldNow,
  Effect.fail(StreamError.make({ _tag: "Truncated", expected: "the end of the response" }))
)

/** A stream that is done without a terminal event was cut. */
const ofEnd = (cause: Cause.Cause<unknown>): Cause.Cause<unknown> =>
  Cause.isDone(Cause.squash(cause))
    ? Cause.fail(StreamError.make({ _tag: "Truncated", expected: "its End event" }))
    : cause

/** What failed when nothing was sent yet. */
const failureOf = (first: Taken): Cause.Cause<unknown> | undefined => {
  if ("cause" in first) return ofEnd(first.cause)
  const [event] = first
  return event._tag === "Error" ? Cause.fail(event.error) : undefined
}

const serverShutdown = Cause.fail(new GracefulShutdown.ServerShutdown())

/** Logs what fails while nobody reads it. */
const logged = (news: Taken): Effect.Effect<void> => {
  if ("cause" in news) return Cause.isDone(Cause.squash(news.cause)) ? Effect.void : logFailure(news.cause)
  const error = news.find((event) => event._tag === "Error")
  return error === undefined ? Effect.void : logFailure(Cause.fail(error.error))
}

const logFailure = (cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  Effect.logError("A stream that was being served has failed", cause)

// -----------------------------------------------------------------------------
// failure before the first event
// -----------------------------------------------------------------------------

const unavailable = (
  error: unknown,
  show: (error: unknown) => Exposed,
  encoding: Encoding,
  headers: Readonly<Record<string, string>> | undefined
): HttpServerResponse.HttpServerResponse => {
  const retryAfter =
    StreamError.isStreamError(error) && error.reason._tag === "ProviderFailure" ? error.reason.retryAfter : undefined
  const exposed = show(error)
  return HttpServerResponse.jsonUnsafe(encoding.body?.(exposed) ?? { error: exposed }, {
    status: statusOf(error),
    headers: {
      ...headers,
      // The word that the official clients of OpenAI and Anthropic go by, and this library's.
      "x-should-retry": String(exposed.isRetryable),
      ...(retryAfter === undefined ? {} : { "retry-after": String(Math.ceil(Duration.toSeconds(retryAfter))) })
    }
  })
}

const statusOf = (error: unknown): number => {
  if (error instanceof GracefulShutdown.ServerShutdown) return 503
  if (!StreamError.isStreamError(error)) return 500
  switch (error.reason._tag) {
    case "ProviderFailure":
      return error.reason.status === 429 ? 429 : error.reason.isRetryable ? 503 : 502
    case "Timeout":
      return 504
    case "SourceFailure":
    case "Truncated":
    case "MalformedFrame":
    case "FrameTooLarge":
    case "ProtocolViolation":
    case "ToolCallIncomplete":
      return 502
    default:
      return 500
  }
}
