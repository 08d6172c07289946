/**
 * Closes a pipeline: buffers, counts, notifies, and gives the events back one by one (pull) or runs them to a result
 * (push).
 *
 * 1. What the handler keeps is bounded: an event that would pass the limit is not delivered, and the stream fails with
 *    `BufferOverflow` behind the events before it.
 * 2. A stream ends with `End`, with an in-band `Error` or with a failure. One that just stops fails with `Truncated`.
 * 3. Whatever happens, what had arrived is not lost: it is in `StreamError.partial`, in `runExit`'s result, and given to
 *    `onExit` exactly once.
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Pull from "effect/Pull"
import * as Ref from "effect/Ref"
import * as Scope from "effect/Scope"
import * as Sink from "effect/Sink"
import * as Stream from "effect/Stream"
import { sizeOf } from "./internal/sizeOf.ts"
import * as TextRope from "./internal/textRope.ts"
import { UsageTotal } from "./internal/usageTotal.ts"
import * as StreamBuffer from "./StreamBuffer.ts"
import * as StreamCallbacks from "./StreamCallbacks.ts"
import * as StreamConfig from "./StreamConfig.ts"
import * as StreamError from "./StreamError.ts"
import * as StreamEvent from "./StreamEvent.ts"
import type * as StreamResult from "./StreamResult.ts"
import * as StreamStats from "./StreamStats.ts"
import * as TokenCounter from "./TokenCounter.ts"

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

/**
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /**
   * UTF-16 code units that are kept: answer, reasoning, refusal, tool calls and metadata together. 16 Mi unless
   * `StreamConfig` says otherwise; a negative number throws a `RangeError`.
   */
  readonly maxBufferSize?: number | undefined
  /**
   * Whether anything is kept. With `false`, `content` and the texts of the result are `""`, its lists are empty, and
   * memory stays flat. `true` by default.
   */
  readonly bufferContent?: boolean | undefined
}

/**
 * The failures that a handler adds to those of its stream.
 *
 * @category errors
 * @since 0.1.0
 */
export type HandlerError = StreamError.StreamErrorOf<"BufferOverflow" | "Truncated">

// -----------------------------------------------------------------------------
// one stream
// -----------------------------------------------------------------------------

type Events = Arr.NonEmptyReadonlyArray<StreamEvent.StreamEvent>

/**
 * The state of one run: what has arrived, what is measured.
 *
 * @internal
 */
export class Session {
  readonly buffer: StreamBuffer.StreamBuffer
  /** Set by {@link take} where the stream ends with what was taken. */
  terminal: StreamEvent.End | StreamEvent.Error | undefined
  overflow: StreamError.StreamErrorOf<"BufferOverflow"> | undefined
  private readonly clock: Clock.Clock
  private readonly bufferContent: boolean
  private readonly recorder: StreamStats.Recorder
  private reasoning = TextRope.empty
  private refusal = TextRope.empty
  private readonly toolCalls: Array<StreamResult.ToolCall> = []
  private readonly toolResults: Array<StreamResult.ToolResult> = []
  private readonly metadata: Array<StreamResult.MetadataEntry> = []
  private readonly usage = new UsageTotal()
  private finishReason: StreamResult.FinishReason = "unknown"
  private providerFinishReason: string | undefined
  private lastStats: StreamResult.Stats | undefined

  constructor(
    clock: Clock.Clock,
    tokenCounter: TokenCounter.TokenCounter,
    buffer: StreamBuffer.StreamBuffer,
    bufferContent: boolean
  ) {
    this.clock = clock
    this.buffer = buffer
    this.bufferContent = bufferContent
    this.recorder = new StreamStats.Recorder(tokenCounter, clock.monotonicTimeNanosUnsafe())
  }

  /**
   * Takes events that arrived together, up to one that overflows or is terminal, and returns how many it took. Reads and
   * writes the buffer's `Ref` in one synchronous step: as atomic as `Ref.modify`, without its operations of the fiber.
   */
  take(events: Events): number {
    this.recorder.delivery(this.clock.monotonicTimeNanosUnsafe())
    for (let i = 0; i < events.length; i++) {
      const event = events[i]!
      if (this.bufferContent && !this.keep(event)) return i
      this.recorder.event(event)
      if (event._tag === "Metadata") {
        this.note(event)
      } else if (StreamEvent.isTerminal(event)) {
        this.end(event)
        return i + 1
      }
    }
    return events.length
  }

  /** Keeps what an event carries, unless it does not fit. */
  private keep(event: StreamEvent.StreamEvent): boolean {
    const { buffer } = this
    const { ref } = buffer.text
    const size = ref.current.length + buffer.reserved + sizeOfEvent(event, buffer.maxSize)
    if (size > buffer.maxSize) {
      this.overflow = StreamBuffer.overflow(buffer.maxSize, size)
      return false
    }
    if (event._tag === "Delta") {
      if (event.delta.length > 0) ref.current = TextRope.append(ref.current, event.delta)
      return true
    }
    buffer.reserved = size - ref.current.length
    switch (event._tag) {
      case "Reasoning":
        this.reasoning = TextRope.append(this.reasoning, event.delta)
        break
      case "Refusal":
        this.refusal = TextRope.append(this.refusal, event.delta)
        break
      case "ToolCall":
        this.toolCalls.push({
          id: event.id,
          name: event.name,
          argumentsText: event.argumentsText,
          input: event.input
        })
        break
      case "ToolResult":
        this.toolResults.push({ id: event.id, name: event.name, output: event.output, isError: event.isError })
        break
      case "Metadata":
        this.metadata.push({ kind: event.kind, metadata: event.metadata })
    }
    return true
  }

  private note(event: StreamEvent.Metadata): void {
    this.usage.take(event)
    this.finishReason = event.finishReason ?? this.finishReason
    this.providerFinishReason = event.providerFinishReason ?? this.providerFinishReason
  }

  private end(event: StreamEvent.End | StreamEvent.Error): void {
    this.terminal = event
    this.close(event._tag === "End" ? "completed" : "failed")
    if (event._tag === "Error") {
      if (this.finishReason === "unknown") this.finishReason = "error"
    } else if (event.finishReason !== "unknown") {
      this.finishReason = event.finishReason
    }
  }

  /** Fixes the figures; the first outcome stays. */
  close(outcome: StreamResult.Outcome): StreamResult.Stats {
    return (this.lastStats ??= this.measured(outcome))
  }

  get isOver(): boolean {
    return this.lastStats !== undefined
  }

  stats(): StreamResult.Stats {
    return this.lastStats ?? this.measured("running")
  }

  private measured(outcome: StreamResult.Outcome): StreamResult.Stats {
    return this.recorder.snapshot(outcome, this.clock.monotonicTimeNanosUnsafe(), this.usage.total?.outputTokens.total)
  }

  content(): string {
    return TextRope.toString(Ref.getUnsafe(this.buffer.text))
  }

  result(): StreamResult.StreamResult {
    return {
      text: this.content(),
      reasoning: TextRope.toString(this.reasoning),
      refusal: TextRope.toString(this.refusal),
      toolCalls: this.toolCalls.slice(),
      toolResults: this.toolResults.slice(),
      finishReason: this.finishReason,
      providerFinishReason: this.providerFinishReason,
      usage: this.usage.total,
      metadata: this.metadata.slice(),
      stats: this.stats()
    }
  }
}

const truncated = (): StreamError.StreamErrorOf<"Truncated"> =>
  StreamError.make({ _tag: "Truncated", expected: "its End event" })

/** UTF-16 code units that keeping an event takes. */
const sizeOfEvent = (event: StreamEvent.StreamEvent, limit: number): number => {
  switch (event._tag) {
    case "Delta":
    case "Reasoning":
    case "Refusal":
      return event.delta.length
    case "ToolCall":
      return event.argumentsText.length + sizeOf(event.input, limit)
    case "ToolResult":
      return sizeOf(event.output, limit)
    case "Metadata":
      return sizeOf(event.metadata, limit)
    default:
      return 0
  }
}

/** @internal */
export const open = (options: Options | undefined, buffer?: StreamBuffer.StreamBuffer): Effect.Effect<Session> =>
  Effect.withFiber((fiber) =>
    Effect.succeed(
      new Session(
        fiber.getRef(Clock.Clock),
        fiber.getRef(TokenCounter.TokenCounter),
        buffer ??
          StreamBuffer.makeUnsafe(options?.maxBufferSize ?? fiber.getRef(StreamConfig.StreamConfig).maxBufferSize),
        options?.bufferContent ?? true
      )
    )
  )

type Out<E, R> = Pull.Pull<Events, E | HandlerError, void, R>

/** One stream on its way through a session: what every way of running a stream is made of. */
class Handling<E, R> {
  /** The events, one array at a time. */
  readonly pull: Out<E, R> = Effect.withFiber((fiber) => {
    this.context = fiber.context
    return this.next
  })
  private readonly session: Session
  private readonly callbacks: StreamCallbacks.Runner | undefined
  private readonly record: (last: StreamResult.Stats) => Effect.Effect<void>
  private context = Context.empty()
  private next: Out<E, R>
  private ended: Exit.Exit<void, E | HandlerError> = Exit.void
  private exited = false

  constructor(
    session: Session,
    callbacks: StreamCallbacks.Runner | undefined,
    record: (last: StreamResult.Stats) => Effect.Effect<void>,
    open: Effect.Effect<Pull.Pull<Events, E, void, R>, never, R>
  ) {
    this.session = session
    this.callbacks = callbacks
    this.record = record
    // The first pull opens the source: a failure or an interruption of that is the stream's own end, and told as such.
    this.next = this.handled(
      Effect.flatMap(open, (upstream) => {
        this.next = this.handled(upstream)
        return upstream
      })
    )
  }

  private handled(upstream: Pull.Pull<Events, E, void, R>): Out<E, R> {
    return Pull.matchEffect(upstream, {
      onSuccess: (events) => this.take(events),
      onFailure: (cause) => this.fail(cause),
      onDone: () => this.fail(Cause.fail(truncated()))
    })
  }

  private take(events: Events): Out<E, R> {
    const { session } = this
    let count: number
    try {
      count = session.take(events)
    } catch (defect) {
      // What is not this library's code, a tokenizer say, has thrown.
      return this.fail(Cause.die(defect))
    }
    const { overflow, terminal } = session
    if (overflow === undefined && terminal === undefined) return this.deliver(events)
    this.next =
      overflow === undefined
        ? Effect.andThen(this.exit("completed", Exit.void), Cause.done())
        : Effect.suspend(() => this.fail(Cause.fail(overflow)))
    const last = events.slice(0, count)
    if (terminal?._tag === "End") {
      last[count - 1] = { ...terminal, content: session.content(), stats: session.stats() }
    }
    return Arr.isArrayNonEmpty(last) ? this.deliver(last) : this.next
  }

  private deliver(events: Events): Out<E, R> {
    const delivered = Effect.succeed(events)
    return this.callbacks === undefined ? delivered : this.callbacks.events(events, this.context, delivered)
  }

  private fail(cause: Cause.Cause<E | HandlerError>): Out<E, R> {
    const { callbacks, session } = this
    const outcome = Cause.hasInterruptsOnly(cause) ? "interrupted" : "failed"
    session.close(outcome)
    const failure = Cause.map(cause, (error) =>
      StreamError.isStreamError(error) ? StreamError.withPartial(error, session.result()) : error
    )
    const exit = Exit.failCause(failure)
    this.ended = exit
    this.next = exit
    const told =
      callbacks === undefined || outcome === "interrupted" ? Effect.void : callbacks.error(Cause.squash(failure))
    return told.pipe(Effect.andThen(this.exit(outcome, exit)), Effect.andThen(exit))
  }

  private exit(outcome: StreamResult.Outcome, exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> {
    const { callbacks, session } = this
    return Effect.suspend(() => {
      if (this.exited) return Effect.void
      this.exited = true
      const recorded = this.record(session.close(outcome))
      return callbacks === undefined ? recorded : Effect.ensuring(recorded, callbacks.exit(session.result(), exit))
    }).pipe(Effect.uninterruptible)
  }

  /** Whoever pulled has left. */
  leave(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> {
    if (this.session.isOver) return this.exit("completed", this.ended)
    return this.exit(Exit.hasInterrupts(exit) ? "interrupted" : "abandoned", exit)
  }
}

// Not `Effect.gen` for each stream: V8 keeps what a generator function has ever seen until a full collection.
const attach = Effect.fnUntraced(function* <E, R>(
  session: Session,
  self: Stream.Stream<StreamEvent.StreamEvent, E, R>,
  scope: Scope.Scope
) {
  const callbacks = StreamCallbacks.runner(yield* StreamCallbacks.StreamCallbacks)
  const record = yield* (yield* StreamStats.StreamStats).open(Effect.sync(() => session.stats()))
  const open = Effect.suspend(() => Channel.toPullScoped(Stream.toChannel(self), scope))
  const handling = new Handling<E, R>(session, callbacks, record, open)
  yield* Scope.addFinalizerExit(scope, (exit) => handling.leave(exit))
  return handling.pull
}, Effect.uninterruptible)

const transform = <E, R>(
  f: (scope: Scope.Scope) => Effect.Effect<Pull.Pull<Events, E, void, R>>
): Stream.Stream<StreamEvent.StreamEvent, Pull.ExcludeDone<E>, R> =>
  Stream.fromChannel(Channel.fromTransform((_, scope) => f(scope)))

/**
 * Runs a stream through a session. Not a stream that is made for it and drained: V8 makes a channel's closure among the old
 * objects, where it keeps the session, a kilobyte for each run, until the next full collection.
 */
const drain = <E, R>(
  self: Stream.Stream<StreamEvent.StreamEvent, E, R>,
  session: Session
): Effect.Effect<void, E | HandlerError, R> =>
  Effect.scopedWith((scope) =>
    Pull.catchDone(
      Effect.flatMap(attach(session, self, scope), (pull) => Effect.forever(pull, { disableYield: true })),
      () => Effect.void
    )
  )

const check = (options: Options | undefined): Options | undefined => {
  if (options?.maxBufferSize !== undefined) StreamBuffer.checkMaxSize("maxBufferSize", options.maxBufferSize)
  return options
}

// -----------------------------------------------------------------------------
// pull
// -----------------------------------------------------------------------------

/**
 * Handles a stream and gives its events back one by one: the Python module's `iter_events`.
 *
 * **Details**
 *
 * `End` comes with `content` (the whole answer text) and `stats`. Callbacks run before the event goes on; events that
 * arrived together are buffered and called back together. A stream that stops without `End`, `Error` or failure fails with
 * `Truncated`; what would pass `maxBufferSize` fails with `BufferOverflow`. Every `StreamError` carries what had arrived
 * in `partial`; a failure of another type passes through untouched.
 *
 * **Example** (Pulling events)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { StreamEvent, StreamHandler } from "effect-llm-streaming"
 *
 * const events = Stream.make("Hello", " ", "World").pipe(StreamEvent.fromText, StreamHandler.events())
 * const all = Effect.runSync(Stream.runCollect(events))
 * all.map((event) => event._tag) // => ["Start", "Delta", "Delta", "Delta", "End"]
 * const end = all.find(StreamEvent.is("End"))
 * end?.content // => "Hello World"
 * end?.stats?.totalTokens // => 2
 * ```
 *
 * @category handling
 * @since 0.1.0
 */
export const events = (options?: Options) => {
  check(options)
  return <E, R>(
    self: Stream.Stream<StreamEvent.StreamEvent, E, R>
  ): Stream.Stream<StreamEvent.StreamEvent, E | HandlerError, R> =>
    transform((scope) => Effect.flatMap(open(options), (session) => attach(session, self, scope)))
}

// -----------------------------------------------------------------------------
// push
// -----------------------------------------------------------------------------

/**
 * Handles a stream to its end and gives its result: the Python module's `process_stream`.
 *
 * **Details**
 *
 * Fails as {@link events} does. A failure shown in-band (an `Error` event) is data: the result has the finish reason
 * `"error"`, unless another was given, and the outcome `"failed"`.
 *
 * **Example** (Running to a result)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { StreamEvent, StreamHandler } from "effect-llm-streaming"
 *
 * const result = Effect.runSync(Stream.make("Hello", " World").pipe(StreamEvent.fromText, StreamHandler.run()))
 * result.text // => "Hello World"
 * result.stats.outcome // => "completed"
 * ```
 *
 * @category handling
 * @since 0.1.0
 */
export const run = (options?: Options) => {
  check(options)
  return <E, R>(
    self: Stream.Stream<StreamEvent.StreamEvent, E, R>
  ): Effect.Effect<StreamResult.StreamResult, E | HandlerError, R> =>
    Effect.flatMap(open(options), (session) => Effect.map(drain(self, session), () => session.result()))
}

/**
 * Handles a stream to its end, however it ends, and never loses what had arrived.
 *
 * **Example** (The partial answer of a broken stream)
 *
 * ```ts
 * import { Effect, Exit, Stream } from "effect"
 * import { StreamEvent, StreamHandler } from "effect-llm-streaming"
 *
 * const broken = Stream.concat(Stream.make("Hello"), Stream.fail("connection reset"))
 * const { exit, result } = Effect.runSync(broken.pipe(StreamEvent.fromText, StreamHandler.runExit()))
 * result.text // => "Hello"
 * result.stats.outcome // => "failed"
 * Exit.isFailure(exit) // => true
 * ```
 *
 * @category handling
 * @since 0.1.0
 */
export const runExit = (options?: Options) => {
  check(options)
  return <E, R>(
    self: Stream.Stream<StreamEvent.StreamEvent, E, R>
  ): Effect.Effect<
    { readonly result: StreamResult.StreamResult; readonly exit: Exit.Exit<void, E | HandlerError> },
    never,
    R
  > =>
    Effect.flatMap(open(options), (session) =>
      Effect.map(Effect.exit(drain(self, session)), (exit) => ({ result: session.result(), exit }))
    )
}

/**
 * Handles a stream to its end and gives the answer text.
 *
 * **Example** (Only the text)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { StreamEvent, StreamHandler } from "effect-llm-streaming"
 *
 * Effect.runSync(Stream.make("Hello", " World").pipe(StreamEvent.fromText, StreamHandler.runText())) // => "Hello World"
 * ```
 *
 * @category handling
 * @since 0.1.0
 */
export const runText = (options?: Options) => {
  const toResult = run(options)
  return <E, R>(self: Stream.Stream<StreamEvent.StreamEvent, E, R>): Effect.Effect<string, E | HandlerError, R> =>
    Effect.map(toResult(self), (result) => result.text)
}

/**
 * Folds events to their result, as a `Sink`: for `Stream.broadcast`, `Sink.zip` and the like.
 *
 * **Details**
 *
 * Ends at the terminal event, or fails with `Truncated` where there is none. The limit is that of `StreamConfig`. A sink
 * does not see a failure of its stream, so it neither calls back nor records; use {@link run} for that.
 *
 * **Example** (A result from a sink)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { StreamEvent, StreamHandler } from "effect-llm-streaming"
 *
 * const events = Stream.make("Hello", " World").pipe(StreamEvent.fromText)
 * Effect.runSync(Stream.run(events, StreamHandler.collect)).text // => "Hello World"
 * ```
 *
 * @category sinks
 * @since 0.1.0
 */
export const collect: Sink.Sink<StreamResult.StreamResult, StreamEvent.StreamEvent, never, HandlerError> =
  Sink.fromTransform((upstream) =>
    Effect.flatMap(open(undefined), (session) => {
      type Result = Effect.Effect<Sink.End<StreamResult.StreamResult>, HandlerError>
      const fail = (error: HandlerError): Result => {
        session.close("failed")
        return Effect.fail(StreamError.withPartial(error, session.result()))
      }
      const loop: Result = Pull.matchEffect(upstream, {
        onSuccess: (events): Result => {
          session.take(events)
          if (session.overflow !== undefined) return fail(session.overflow)
          return session.terminal === undefined ? loop : Effect.succeed([session.result()])
        },
        onFailure: (cause): Result => Effect.failCause(cause),
        onDone: () => fail(truncated())
      })
      return loop
    })
  )

// -----------------------------------------------------------------------------
// a handler to look into
// -----------------------------------------------------------------------------

/**
 * A handler whose buffer and figures can be looked at while it runs.
 *
 * @category models
 * @since 0.1.0
 */
export interface StreamHandler {
  readonly events: <E, R>(
    self: Stream.Stream<StreamEvent.StreamEvent, E, R>
  ) => Stream.Stream<StreamEvent.StreamEvent, E | HandlerError, R>
  readonly run: <E, R>(
    self: Stream.Stream<StreamEvent.StreamEvent, E, R>
  ) => Effect.Effect<StreamResult.StreamResult, E | HandlerError, R>
  /** The answer text of the stream that runs, or ran last. */
  readonly buffer: StreamBuffer.StreamBuffer
  /** The figures of the stream that runs, or ran last. */
  readonly stats: Effect.Effect<StreamStats.Snapshot>
}

/**
 * Makes a handler for one stream at a time: each stream begins with an empty buffer and new figures.
 *
 * **Example** (Looking at the buffer)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { StreamEvent, StreamHandler } from "effect-llm-streaming"
 *
 * const program = Effect.gen(function* () {
 *   const handler = yield* StreamHandler.make()
 *   yield* Stream.make("a", "b", "c").pipe(StreamEvent.fromText, handler.events, Stream.take(3), Stream.runDrain)
 *   return [yield* handler.buffer.content, (yield* handler.stats).outcome]
 * })
 * Effect.runSync(program) // => ["abc", "abandoned"]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options?: Options): Effect.Effect<StreamHandler> => {
  check(options)
  return Effect.map(open(options), (first) => {
    const buffer = first.buffer
    let current = first
    const begin = Effect.flatMap(buffer.clear, () =>
      Effect.map(open(options, buffer), (session) => {
        current = session
        return session
      })
    )
    return {
      events: (self) => transform((scope) => Effect.flatMap(begin, (session) => attach(session, self, scope))),
      run: (self) => Effect.flatMap(begin, (session) => Effect.map(drain(self, session), () => session.result())),
      buffer,
      stats: Effect.sync(() => current.stats())
    }
  })
}
