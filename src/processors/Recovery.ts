/**
 * Tries again when a stream fails midway, without repeating what was shown.
 *
 * 1. The consumer sees one well-formed stream: one `Start`, one terminal, no text twice. What was shown stays shown.
 * 2. Only failures that are worth it are recovered from (`isRetryable`); any other, and the last one, passes with all that had
 *    arrived before it. Defects and interruption pass at once.
 * 3. An attempt's source is released before the next one begins. Between them is the schedule's pause, or what the provider
 *    asked for, whichever is longer.
 * 4. Each new attempt is announced by a Metadata event of the kind `attempt`, and usage is that of all attempts together.
 *
 * It looks at the failure, so it is an operator on streams and not a `StreamProcessor`.
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as ExecutionPlan from "effect/ExecutionPlan"
import * as Exit from "effect/Exit"
import { dual } from "effect/Function"
import * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Overlap } from "../internal/overlap.ts"
import { merge, sum } from "../internal/usageTotal.ts"
import * as StreamBuffer from "../StreamBuffer.ts"
import * as StreamError from "../StreamError.ts"
import * as StreamEvent from "../StreamEvent.ts"
import * as StreamHandler from "../StreamHandler.ts"
import type * as StreamResult from "../StreamResult.ts"

// -----------------------------------------------------------------------------
// strategies
// -----------------------------------------------------------------------------

/**
 * What a {@link Strategy} knows of the attempt that failed.
 *
 * @category models
 * @since 0.1.0
 */
export interface Failed<out E> {
  readonly error: E
  /** Which attempt it was, from 1. */
  readonly attempt: number
  /** Whether nothing was shown so far, of this attempt and those before: no text, no piece of a tool call. */
  readonly isSilent: boolean
  /** What was shown so far. */
  readonly partial: StreamResult.StreamResult
}

/**
 * What a {@link Strategy} answers to run the source itself once more.
 *
 * @category models
 * @since 0.1.0
 */
export const again: unique symbol = Symbol.for("effect-llm-streaming/Recovery/again")

/**
 * Says what to run behind a failure: the source {@link again}, another stream, or nothing (`undefined`), so that the failure
 * passes. What it gives when something was shown must go on from there.
 *
 * @category models
 * @since 0.1.0
 */
export interface Strategy<in E, out E2 = never, out R2 = never> {
  (failed: Failed<E>): Stream.Stream<StreamEvent.StreamEvent, E2, R2> | typeof again | undefined
}

/**
 * Runs the source again as long as nothing was shown.
 *
 * @category strategies
 * @since 0.1.0
 */
export const restartIfSilent: Strategy<unknown> = ({ isSilent }) => (isSilent ? again : undefined)

/**
 * Runs other streams in turn, the same request to other models for example, as long as nothing was shown.
 *
 * @category strategies
 * @since 0.1.0
 */
export const fallback =
  <E2, R2>(streams: ReadonlyArray<Stream.Stream<StreamEvent.StreamEvent, E2, R2>>): Strategy<unknown, E2, R2> =>
  ({ attempt, isSilent }) =>
    isSilent ? streams[attempt - 1] : undefined

/**
 * Runs the source again as long as nothing was shown, and from then on the stream that continues what was.
 *
 * **Details**
 *
 * `f` gets what was shown so far, and makes the request for the rest of it: with the answer so far as the beginning of the
 * assistant's message, say. What the new stream repeats of the answer's end is taken away.
 *
 * @category strategies
 * @since 0.1.0
 */
export const continueFrom =
  <E, E2, R2>(
    f: (partial: StreamResult.StreamResult, failed: Failed<E>) => Stream.Stream<StreamEvent.StreamEvent, E2, R2>
  ): Strategy<E, E2, R2> =>
  (failed) =>
    failed.isSilent ? again : f(failed.partial, failed)

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

/**
 * @category options
 * @since 0.1.0
 */
export interface Options<in E, out E2 = never, out R2 = never, out ES = never, out RS = never> extends Limits<E> {
  readonly strategy: Strategy<E, E2, R2>
  /** The pauses, and how many new attempts there are. By default three, behind 500, 1,000 and 2,000 milliseconds, jittered. */
  readonly schedule?: Schedule.Schedule<unknown, E, ES, RS> | undefined
}

/**
 * @category options
 * @since 0.1.0
 */
export interface Limits<in E> {
  /** Which failures are worth another attempt. {@link isRetryable} by default. */
  readonly while?: ((error: E) => boolean) | undefined
  /** A provider that asks for a longer pause than this is not asked again. One minute by default. */
  readonly maxRetryAfter?: Duration.Input | undefined
  /**
   * How much of the answer's end is compared with the beginning of a continuation, and how much of it must be repeated to be
   * taken away, in UTF-16 code units: 1,000 and 8 by default. Less is more likely chance.
   */
  readonly overlap?: { readonly most: number; readonly least: number } | undefined
  /** UTF-16 code units that are kept of what was shown. As the handler's. */
  readonly maxBufferSize?: number | undefined
}

/**
 * Whether a failure is worth another attempt: `ProviderFailure` where the provider's word or status says so, `SourceFailure`,
 * `Truncated` and `Timeout`. A foreign error is not.
 *
 * @category guards
 * @since 0.1.0
 */
export const isRetryable = (error: unknown): boolean => {
  if (!StreamError.isStreamError(error)) return false
  switch (error.reason._tag) {
    case "ProviderFailure":
      return error.reason.isRetryable
    case "SourceFailure":
    case "Truncated":
    case "Timeout":
      return true
    default:
      return false
  }
}

const defaultSchedule = Schedule.exponential("500 millis").pipe(Schedule.jittered, Schedule.upTo({ times: 3 }))

// -----------------------------------------------------------------------------
// operator
// -----------------------------------------------------------------------------

type Events = Arr.NonEmptyReadonlyArray<StreamEvent.StreamEvent>

/**
 * Recovers a stream from failures.
 *
 * **Details**
 *
 * Fails with the last attempt's failure, with that of the schedule, or with `BufferOverflow` when more than `maxBufferSize` was
 * shown. An impossible size throws a `RangeError`.
 *
 * **Gotchas**
 *
 * Pieces of a tool call that an attempt did not finish stay without their `ToolCall`. What an attempt used before it failed is
 * in the usage only where the provider said so.
 *
 * **Example** (Going on where the stream broke off)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { Recovery, StreamError, StreamEvent, StreamHandler } from "effect-llm-streaming"
 *
 * const reset = StreamError.make({ _tag: "SourceFailure", cause: "connection reset" })
 * const broken = Stream.concat(Stream.make("Roses are red, "), Stream.fail(reset)).pipe(StreamEvent.fromText)
 *
 * const program = broken.pipe(
 *   Recovery.make({
 *     strategy: Recovery.continueFrom(({ text }) => {
 *       // Ask the model to go on from `text`; this one repeats its end.
 *       return StreamEvent.fromText(Stream.make("are red, violets", ` are blue (behind ${text.length} characters)`))
 *     })
 *   }),
 *   StreamHandler.runText()
 * )
 * await Effect.runPromise(program) // => "Roses are red, violets are blue (behind 15 characters)"
 * ```
 *
 * @category operators
 * @since 0.1.0
 */
export const make: {
  <E = unknown, E2 extends E = never, R2 = never, ES = never, RS = never>(
    options: Options<E, E2, R2, ES, RS>
  ): <E0 extends E, R>(
    self: Stream.Stream<StreamEvent.StreamEvent, E0, R>
  ) => Stream.Stream<StreamEvent.StreamEvent, E0 | E2 | ES | StreamError.StreamErrorOf<"BufferOverflow">, R | R2 | RS>
  <E0 extends E, R, E = unknown, E2 extends E = never, R2 = never, ES = never, RS = never>(
    self: Stream.Stream<StreamEvent.StreamEvent, E0, R>,
    options: Options<E, E2, R2, ES, RS>
  ): Stream.Stream<StreamEvent.StreamEvent, E0 | E2 | ES | StreamError.StreamErrorOf<"BufferOverflow">, R | R2 | RS>
} = dual(
  2,
  <E0 extends E, R, E, E2 extends E, R2, ES, RS>(
    self: Stream.Stream<StreamEvent.StreamEvent, E0, R>,
    options: Options<E, E2, R2, ES, RS>
  ): Stream.Stream<
    StreamEvent.StreamEvent,
    E0 | E2 | ES | StreamError.StreamErrorOf<"BufferOverflow">,
    R | R2 | RS
  > => {
    const schedule: Schedule.Schedule<unknown, E, ES, RS> = options.schedule ?? defaultSchedule
    const decide = Effect.map(
      Schedule.toStep(schedule),
      (step) =>
        (failed: Failed<E>): Decision<E0 | E2, ES, R | R2 | RS> => {
          const answer = options.strategy(failed)
          if (answer === undefined) return Cause.done()
          const source = answer === again ? self : answer
          return Effect.map(stepNow(step, failed.error), (pause) => ({ source, pause }))
        }
    )
    return recover<E0 | E2, E, ES, R | R2 | RS>(self, decide, options)
  }
)

/**
 * Recovers a stream from failures by the steps of an `ExecutionPlan`, its list of models.
 *
 * **Details**
 *
 * Each step is tried as often as its `attempts`, `schedule` and `while` say, then the next one, as long as nothing was shown.
 * Behind that, `continueFrom` makes the stream that goes on, with the services of the next attempt's step; without it the
 * failure passes. Effect's own `Stream.withExecutionPlan` repeats text that was shown.
 *
 * **Example** (Another model when the first is overloaded)
 *
 * ```ts
 * import { Effect, ExecutionPlan, Stream } from "effect"
 * import { Recovery, StreamError, StreamHandler, StreamModel } from "effect-llm-streaming"
 * import * as StreamTest from "effect-llm-streaming/testing/StreamTest"
 *
 * const overloaded = StreamError.make({
 *   _tag: "ProviderFailure",
 *   provider: "first",
 *   message: "overloaded",
 *   isRetryable: true
 * })
 * const plan = ExecutionPlan.make(
 *   { provide: StreamTest.layerModel(StreamTest.answer([StreamTest.fail(overloaded)])), attempts: 2 },
 *   { provide: StreamTest.layerModel(StreamTest.answer(["Hello"])) }
 * )
 * const program = StreamModel.stream({ prompt: "hi" }).pipe(Recovery.withExecutionPlan(plan), StreamHandler.runText())
 * await Effect.runPromise(program) // => "Hello"
 * ```
 *
 * @category operators
 * @since 0.1.0
 */
export const withExecutionPlan: {
  <Input, Provides, PlanE, PlanR, E2 extends Input = never, R2 = never>(
    plan: Plan<Provides, Input, PlanE, PlanR>,
    options?: PlanOptions<Input, E2, R2>
  ): <E extends Input, R>(
    self: Stream.Stream<StreamEvent.StreamEvent, E, R>
  ) => Stream.Stream<
    StreamEvent.StreamEvent,
    E | E2 | PlanE | StreamError.StreamErrorOf<"BufferOverflow">,
    Exclude<R | R2, Provides> | PlanR
  >
  <E extends Input, R, Input, Provides, PlanE, PlanR, E2 extends Input = never, R2 = never>(
    self: Stream.Stream<StreamEvent.StreamEvent, E, R>,
    plan: Plan<Provides, Input, PlanE, PlanR>,
    options?: PlanOptions<Input, E2, R2>
  ): Stream.Stream<
    StreamEvent.StreamEvent,
    E | E2 | PlanE | StreamError.StreamErrorOf<"BufferOverflow">,
    Exclude<R | R2, Provides> | PlanR
  >
} = dual(
  (args) => Stream.isStream(args[0]),
  <E extends Input, R, Input, Provides, PlanE, PlanR, E2 extends Input, R2>(
    self: Stream.Stream<StreamEvent.StreamEvent, E, R>,
    plan: Plan<Provides, Input, PlanE, PlanR>,
    options?: PlanOptions<Input, E2, R2>
  ) => {
    type Services = Exclude<R | R2, Provides> | PlanR
    const decide = Effect.sync(() => {
      let index = 0
      let attempts = 1
      let step: Step<Input, PlanE, PlanR> | undefined
      const provide = (source: Stream.Stream<StreamEvent.StreamEvent, E | E2, R | R2>) =>
        Stream.provide(source, plan.steps[index]!.provide)
      return (failed: Failed<Input>): Decision<E | E2 | PlanE, PlanE, Services> => {
        if (!failed.isSilent && options?.continueFrom === undefined) return Cause.done()
        const source = failed.isSilent ? self : options!.continueFrom!(failed.partial, failed)
        const nextStep = Effect.suspend((): Decision<E | E2 | PlanE, PlanE, Services> => {
          if (index + 1 === plan.steps.length) return Cause.done()
          index++
          attempts = 1
          step = undefined
          return Effect.succeed({ source: provide(source), pause: Duration.zero })
        })
        const { attempts: most, schedule, while: predicate } = plan.steps[index]!
        if (attempts >= (most ?? (schedule === undefined ? 1 : Infinity))) return nextStep
        const sameStep = Effect.gen(function* () {
          attempts++
          step ??= schedule && (yield* Schedule.toStep(schedule))
          const pause = step === undefined ? Duration.zero : yield* stepNow(step, failed.error)
          return { source: provide(source), pause }
        })
        const isWanted = predicate === undefined ? Effect.succeed(true) : predicate(failed.error)
        return Effect.flatMap(isWanted, (again) => (again ? Pull.catchDone(sameStep, () => nextStep) : nextStep))
      }
    })
    const first = Stream.provide(self, plan.steps[0].provide)
    return recover<E | E2 | PlanE, Input, PlanE, Services>(first, decide, options ?? {})
  }
)

/**
 * An `ExecutionPlan`, by its type parameters.
 *
 * @category models
 * @since 0.1.0
 */
export type Plan<Provides, Input, E, R> = ExecutionPlan.ExecutionPlan<{
  provides: Provides
  input: Input
  error: E
  requirements: R
}>

/**
 * @category options
 * @since 0.1.0
 */
export interface PlanOptions<in E, out E2 = never, out R2 = never> extends Limits<E> {
  /** Makes the stream that goes on when something was shown. See {@link continueFrom}. */
  readonly continueFrom?:
    | ((partial: StreamResult.StreamResult, failed: Failed<E>) => Stream.Stream<StreamEvent.StreamEvent, E2, R2>)
    | undefined
}

// -----------------------------------------------------------------------------
// driver
// -----------------------------------------------------------------------------

/** What to run next, and how long to wait before; done: nothing. */
type Decision<E, E2, R> = Pull.Pull<
  { readonly source: Stream.Stream<StreamEvent.StreamEvent, E, R>; readonly pause: Duration.Duration },
  E2,
  unknown,
  R
>

type Step<E, ES, RS> = (now: number, input: E) => Pull.Pull<[unknown, Duration.Duration], ES, unknown, RS>

const stepNow = <E, ES, RS>(step: Step<E, ES, RS>, error: E): Pull.Pull<Duration.Duration, ES, unknown, RS> =>
  Clock.clockWith((clock) => Effect.map(step(clock.currentTimeMillisUnsafe(), error), ([, pause]) => pause))

const recover = <E0, E, ES, R>(
  self: Stream.Stream<StreamEvent.StreamEvent, E0, R>,
  makeDecide: Effect.Effect<(failed: Failed<E>) => Decision<E0, ES, R>, never, R>,
  options: Limits<E>
): Stream.Stream<StreamEvent.StreamEvent, E0 | ES | StreamError.StreamErrorOf<"BufferOverflow">, R> => {
  const { most, least } = options.overlap ?? { most: 1_000, least: 8 }
  StreamBuffer.checkMaxSize("overlap.most", most)
  StreamBuffer.checkMaxSize("overlap.least", least)
  if (options.maxBufferSize !== undefined) StreamBuffer.checkMaxSize("maxBufferSize", options.maxBufferSize)
  const limits = { maxBufferSize: options.maxBufferSize }
  const isWorthIt = options.while ?? isRetryable
  const maxRetryAfter = Duration.fromInputUnsafe(options.maxRetryAfter ?? "1 minute")

  return Stream.fromChannel(
    Channel.fromTransform((_, scope) =>
      Effect.map(Effect.all([makeDecide, Clock.Clock, StreamHandler.open(limits)]), ([decide, clock, session]) => {
        type Out = Pull.Pull<Events, E0 | ES | StreamError.StreamErrorOf<"BufferOverflow">, void, R>
        const shown = new Shown(session)

        const endWith = (out: Array<StreamEvent.StreamEvent>, end: Out): Out => {
          next = end
          return Arr.isArrayNonEmpty(out) ? Effect.succeed(out) : end
        }

        const attempt = (source: Stream.Stream<StreamEvent.StreamEvent, E0, R>): Out =>
          Effect.flatMap(Scope.fork(scope), (attemptScope) => {
            const pull = (upstream: Pull.Pull<Events, E0, void, R>): Out =>
              Pull.matchEffect(upstream, {
                onSuccess: (events): Out => {
                  const out: Array<StreamEvent.StreamEvent> = []
                  const overflow = shown.take(events, out)
                  if (overflow !== undefined) return endWith(out, Effect.fail(overflow))
                  if (shown.isOver) return endWith(out, Cause.done())
                  return Arr.isArrayNonEmpty(out) ? Effect.succeed(out) : next
                },
                onFailure: (cause): Out =>
                  Effect.andThen(Scope.close(attemptScope, Exit.failCause(cause)), recoverFrom(cause)),
                onDone: (): Out => endWith(shown.flush(), Cause.done())
              })
            // Opening the source may fail too.
            const opening = Effect.flatMap(Channel.toPullScoped(Stream.toChannel(source), attemptScope), (upstream) => {
              next = pull(upstream)
              return upstream
            })
            next = pull(opening)
            return next
          })

        const recoverFrom = (cause: Cause.Cause<E0>): Out => {
          const out = shown.flush()
          const giveUp = () => endWith(out, Effect.failCause(cause))
          const found = Cause.findError(cause)
          if (Result.isFailure(found) || Cause.hasInterrupts(cause) || Cause.hasDies(cause)) return giveUp()
          // Every source's failure is one that the options can be asked about: see the operators' types.
          const error = found.success as E0 & E
          const retryAfter = retryAfterOf(error)
          if (!isWorthIt(error) || Duration.isGreaterThan(retryAfter, maxRetryAfter)) return giveUp()
          return Pull.matchEffect(decide(shown.failed(error)), {
            onSuccess: ({ pause: planned, source }): Out => {
              const pause = Duration.max(planned, retryAfter)
              out.push(shown.begin(error, pause, clock.currentTimeMillisUnsafe(), { most, least }))
              return endWith(out, Effect.andThen(Effect.sleep(pause), attempt(source)))
            },
            onFailure: (failed): Out => endWith(out, Effect.failCause(failed)),
            onDone: giveUp
          })
        }

        let next: Out = attempt(self)
        return Effect.suspend(() => next)
      })
    )
  )
}

const retryAfterOf = (error: unknown): Duration.Duration =>
  StreamError.isStreamError(error) && error.reason._tag === "ProviderFailure" && error.reason.retryAfter !== undefined
    ? error.reason.retryAfter
    : Duration.zero

/** What the consumer has seen, over all attempts. */
class Shown {
  isOver = false
  private readonly session: StreamHandler.Session
  private attempt = 1
  private hasStarted = false
  private isSilent = true
  private overlap: Overlap | undefined
  /** The newest text event of what the overlap holds back. */
  private held: StreamEvent.Delta | undefined
  /** What earlier attempts at the current step used, and what the current attempt at it did so far. */
  private before: StreamResult.Usage | undefined
  private usage: StreamResult.Usage | undefined

  constructor(session: StreamHandler.Session) {
    this.session = session
  }

  take(events: Events, out: Array<StreamEvent.StreamEvent>): StreamError.StreamErrorOf<"BufferOverflow"> | undefined {
    const from = out.length
    for (const event of events) {
      this.event(event, out)
      if (this.isOver) break
    }
    const taken = out.slice(from)
    if (!Arr.isArrayNonEmpty(taken)) return undefined
    out.length = from + this.session.take(taken)
    return this.session.overflow
  }

  private event(event: StreamEvent.StreamEvent, out: Array<StreamEvent.StreamEvent>): void {
    if (event._tag === "Start") {
      if (!this.hasStarted) out.push(event)
      this.hasStarted = true
    } else if (event._tag === "Delta" && this.overlap !== undefined) {
      const delta = this.overlap.push(event.delta)
      this.held = event
      if (this.overlap.isDecided) this.overlap = this.held = undefined
      if (delta !== "") out.push({ ...event, delta })
    } else {
      if (event._tag !== "Progress") this.endText(out)
      this.isSilent &&= !shows(event)
      this.isOver = StreamEvent.isTerminal(event)
      out.push(event._tag === "Metadata" ? this.add(event) : event)
    }
  }

  /** Lets text go that was held back, for no more of it is compared. */
  private endText(out: Array<StreamEvent.StreamEvent>): void {
    const { held, overlap } = this
    if (held === undefined || overlap === undefined) return
    this.held = this.overlap = undefined
    const delta = overlap.end()
    if (delta !== "") out.push({ ...held, delta })
  }

  /** The attempt is over: what it still holds back. */
  flush(): Array<StreamEvent.StreamEvent> {
    const out: Array<StreamEvent.StreamEvent> = []
    this.endText(out)
    if (Arr.isArrayNonEmpty(out)) this.session.take(out)
    return out
  }

  private add(event: StreamEvent.Metadata): StreamEvent.Metadata {
    const { before } = this
    if (event.usage !== undefined) this.usage = merge(this.usage, event.usage)
    const usage = event.usage === undefined || before === undefined ? event.usage : sum(before, this.usage!)
    if (event.kind === "step") this.before = this.usage = undefined
    return usage === event.usage ? event : { ...event, usage }
  }

  failed<E>(error: E): Failed<E> {
    const { attempt, isSilent, session } = this
    return { error, attempt, isSilent, partial: session.result() }
  }

  /** The next attempt begins. */
  begin(
    error: unknown,
    pause: Duration.Duration,
    timestamp: number,
    { least, most }: { readonly least: number; readonly most: number }
  ): StreamEvent.Metadata {
    if (this.usage !== undefined) this.before = sum(this.before, this.usage)
    this.usage = undefined
    this.attempt++
    const content = this.session.content()
    if (!this.isSilent) this.overlap = new Overlap(content.slice(Math.max(0, content.length - most)), least)
    const metadata = { attempt: this.attempt, after: nameOf(error), pauseMillis: Duration.toMillis(pause) }
    return StreamEvent.metadata(timestamp, "attempt", { metadata })
  }
}

const shows = (event: StreamEvent.StreamEvent): boolean =>
  event._tag === "ToolCall" || ((StreamEvent.isText(event) || event._tag === "ToolCallDelta") && event.delta !== "")

const nameOf = (error: unknown): string =>
  StreamError.isStreamError(error) ? error.reason._tag : error instanceof Error ? error.name : typeof error
