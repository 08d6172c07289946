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
import * as Channel from "effect/Channel"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Option from "effect/Option"
import type * as Pull from "effect/Pull"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as StreamError from "../StreamError.ts"
import type * as StreamEvent from "../StreamEvent.ts"

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

type Events = Arr.NonEmptyReadonlyArray<StreamEvent.StreamEvent>

type Chunk = Arr.NonEmptyReadonlyArray<Uint8Array>

const encoder = new TextEncoder()

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
  const show = options.expose ?? expose

  return <E, R>(
    events: Stream.Stream<StreamEvent.StreamEvent, E, R>
  ): Effect.Effect<HttpServerResponse.HttpServerResponse, never, R | Scope.Scope> =>
    Effect.gen(function* () {
      type Body = Pull.Pull<Chunk, StreamError.StreamErrorOf<"Truncated">>
      const request = yield* Scope.Scope
      const clock = yield* Clock.Clock
      const source = yield* Reader.open(events)
      const encoding = makeEncoding()
      /** What comes behind all that was sent, once that is known. */
      let end: Body | undefined
      /** What the operator gets to know, and the client does not. */
      let failed: Cause.Cause<unknown> | undefined

      yield* Scope.addFinalizerExit(request, (exit) =>
        end === undefined && options.onDisconnect === "continue"
          ? Effect.asVoid(Effect.forkDetach(source.drain))
          : source.close(exit)
      )

      /** The terminal frame of a failure. */
      const failure = (cause: Cause.Cause<unknown>): string => {
        failed = cause
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
      const textOf = (exit: Exit.Exit<Events, E | Cause.Done>): string => {
        if (Exit.isFailure(exit)) return failure(ofEnd(exit.cause))
        let text = ""
        for (const event of exit.value) {
          if (end !== undefined) break
          text += one(event)
        }
        return text
      }
      const write = (text: string): Body => {
        const written: Body = Effect.succeed([encoder.encode(text)])
        if (failed === undefined) return written
        const log = logFailure(failed)
        failed = undefined
        return Effect.andThen(log, written)
      }

      const first = yield* Effect.interruptible(source.next(patience))
      const early = failureOf(first)
      if (early !== undefined) {
        yield* logFailure(early)
        return unavailable(Cause.squash(early), show, encoding, options.headers)
      }

      let silentSince = clock.monotonicTimeNanosUnsafe()
      const body: Body = Effect.suspend(() => {
        if (end !== undefined) return Effect.andThen(source.close(Exit.void), end)
        const silent = Duration.nanos(clock.monotonicTimeNanosUnsafe() - silentSince)
        return Effect.flatMap(source.next(Duration.subtract(heartbeat, silent)), (news): Body => {
          const text = news === undefined ? (encoding.heartbeat ?? "") : textOf(news)
          // Events that show nothing here keep no connection alive.
          if (news === undefined || text !== "") silentSince = clock.monotonicTimeNanosUnsafe()
          return text === "" && end === undefined ? body : write(text)
        })
      })
      let next: Body = Effect.suspend(() => {
        next = body
        // Also an empty one sends the headers.
        return write((first === undefined ? "" : textOf(first)) || (encoding.heartbeat ?? ""))
      })
      return HttpServerResponse.stream(Stream.fromPull(Effect.succeed(Effect.suspend(() => next))), {
        contentType: encoding.contentType,
        headers: {
          "cache-control": "no-cache, no-transform",
          // nginx would gather the answer and send it in one.
          "x-accel-buffering": "no",
          ...encoding.headers,
          ...options.headers
        }
      })
    })
}

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
const failureOf = (first: News<unknown>): Cause.Cause<unknown> | undefined => {
  if (first === undefined) return undefined
  if (Exit.isFailure(first)) return ofEnd(first.cause)
  const [event] = first.value
  return event._tag === "Error" ? Cause.fail(event.error) : undefined
}

const logFailure = (cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  Effect.logError("A stream that was being served has failed", cause)

// -----------------------------------------------------------------------------
// source
// -----------------------------------------------------------------------------

/** What the source gave, or ended with; `undefined` for nothing so far. */
type News<E> = Exit.Exit<Events, E | Cause.Done> | undefined

/** A stream in a scope of its own, which is asked for the next events without being interrupted when they take long. */
class Reader<E> {
  private readonly scope: Scope.Closeable
  private readonly pull: Pull.Pull<Events, E>
  private asked: Fiber.Fiber<Events, E | Cause.Done> | undefined

  static open = <E, R>(events: Stream.Stream<StreamEvent.StreamEvent, E, R>): Effect.Effect<Reader<E>, never, R> =>
    Effect.gen(function* () {
      const context = yield* Effect.context<R>()
      const scope = yield* Scope.make()
      // Opening it may fail, or take its time: it is a part of the first pull.
      let pull: Pull.Pull<Events, E, void, R> = Effect.flatMap(
        Channel.toPullScoped(Stream.toChannel(events), scope),
        (upstream) => {
          pull = upstream
          return upstream
        }
      )
      return new Reader(
        scope,
        Effect.provideContext(
          Effect.suspend(() => pull),
          context
        )
      )
    })

  constructor(scope: Scope.Closeable, pull: Pull.Pull<Events, E>) {
    this.scope = scope
    this.pull = pull
  }

  next(patience: Duration.Duration): Effect.Effect<News<E>> {
    return Effect.suspend(() => {
      if (this.asked !== undefined) return this.await(this.asked, patience)
      return Effect.flatMap(Effect.forkIn(this.pull, this.scope, { startImmediately: true }), (fiber) => {
        this.asked = fiber
        return this.await(fiber, patience)
      })
    })
  }

  private await(fiber: Fiber.Fiber<Events, E | Cause.Done>, patience: Duration.Duration): Effect.Effect<News<E>> {
    const here = fiber.pollUnsafe()
    const exit =
      here === undefined
        ? Effect.map(Effect.timeoutOption(Fiber.await(fiber), patience), Option.getOrUndefined)
        : Effect.succeed(here)
    return Effect.map(exit, (exit) => {
      if (exit !== undefined) this.asked = undefined
      return exit
    })
  }

  close(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> {
    return Scope.close(this.scope, exit)
  }

  /** Runs it to its end. */
  get drain(): Effect.Effect<void> {
    const rest: Effect.Effect<void> = Effect.flatMap(this.next(Duration.infinity), (news) =>
      news !== undefined && Exit.isFailure(news) ? this.close(Exit.void) : rest
    )
    return rest
  }
}

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
