/**
 * Callbacks on the events of handled streams: a service through Layers, none by default.
 *
 * The handler runs them in order and awaits each. They run in the context of the fiber that pulls the stream (its spans,
 * its loggers, its interruption), merged over the context that their Layer was built in. A callback that fails or dies is
 * logged as a warning and never breaks the stream.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import * as Scheduler from "effect/Scheduler"
import * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import type * as StreamEvent from "./StreamEvent.ts"
import type * as StreamResult from "./StreamResult.ts"

// -----------------------------------------------------------------------------
// model
// -----------------------------------------------------------------------------

/**
 * What can be called back. What a callback returns is ignored.
 *
 * **Details**
 *
 * - `onEvent` comes before the callback of the event's own kind.
 * - `onEnd` xor `onError`: the stream's own end. Neither, when the consumer left or was interrupted first.
 * - `onExit`: always, exactly once, with what had arrived; also when a consumer leaves early or the fiber is interrupted
 *   (`result.stats.outcome` says which). It cannot be interrupted: the place to save what was said and used.
 *
 * @category models
 * @since 0.1.0
 */
export interface Callbacks<out R = never> {
  readonly onStart?: ((event: StreamEvent.Start) => Effect.Effect<unknown, unknown, R>) | undefined
  readonly onDelta?: ((event: StreamEvent.Delta) => Effect.Effect<unknown, unknown, R>) | undefined
  readonly onReasoning?: ((event: StreamEvent.Reasoning) => Effect.Effect<unknown, unknown, R>) | undefined
  readonly onToolCall?: ((event: StreamEvent.ToolCall) => Effect.Effect<unknown, unknown, R>) | undefined
  readonly onMetadata?: ((event: StreamEvent.Metadata) => Effect.Effect<unknown, unknown, R>) | undefined
  readonly onEnd?: ((event: StreamEvent.End) => Effect.Effect<unknown, unknown, R>) | undefined
  /** The failure, or the defect: a `StreamError` carries what had arrived in `partial`. */
  readonly onError?: ((error: unknown) => Effect.Effect<unknown, unknown, R>) | undefined
  readonly onExit?:
    | ((result: StreamResult.StreamResult, exit: Exit.Exit<unknown, unknown>) => Effect.Effect<unknown, unknown, R>)
    | undefined
  readonly onEvent?: ((event: StreamEvent.StreamEvent) => Effect.Effect<unknown, unknown, R>) | undefined
}

/**
 * The services that callbacks need: the union over all of them.
 *
 * @category models
 * @since 0.1.0
 */
export type Services<C extends Callbacks<unknown>> = ServicesOf<C[keyof C]>

// Distributes, so that a callback that may be missing counts too.
type ServicesOf<F> = F extends (...args: never) => Effect.Effect<unknown, unknown, infer R> ? R : never

/**
 * The callbacks in force, in the order in which they run.
 *
 * @category models
 * @since 0.1.0
 */
export interface StreamCallbacks {
  readonly registered: ReadonlyArray<Registered>
}

/**
 * Callbacks with the context that their Layer was built in.
 *
 * @category models
 * @since 0.1.0
 */
export interface Registered {
  readonly callbacks: Callbacks<unknown>
  readonly context: Context.Context<never>
}

// -----------------------------------------------------------------------------
// service
// -----------------------------------------------------------------------------

/**
 * The callbacks in force; none unless a Layer is provided.
 *
 * @category services
 * @since 0.1.0
 */
export const StreamCallbacks: Context.Reference<StreamCallbacks> = Context.Reference(
  "effect-llm-streaming/StreamCallbacks",
  { defaultValue: (): StreamCallbacks => ({ registered: [] }) }
)

/**
 * Adds callbacks. The Layer requires the services that the callbacks require.
 *
 * **Details**
 *
 * Layers add up by their position in the graph: callbacks of an outer Layer run first. With `mergeWithExisting: false`
 * these callbacks replace the outer ones.
 *
 * **Gotchas**
 *
 * `Layer.mergeAll` and `Effect.provide([a, b])` keep the last of two Layers of one service, as for any service: nest them
 * instead. A Layer value is built once however often it is provided; use `Layer.fresh` where each place must add its own.
 *
 * **Example** (Calling back)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { StreamCallbacks, StreamEvent, StreamHandler } from "effect-llm-streaming"
 *
 * const seen: Array<string> = []
 * const Callbacks = StreamCallbacks.layer({
 *   onDelta: (event) => Effect.sync(() => seen.push(event.delta)),
 *   onExit: (result) => Effect.sync(() => seen.push(result.stats.outcome))
 * })
 * Effect.runSync(Stream.make("a", "b").pipe(StreamEvent.fromText, StreamHandler.run(), Effect.provide(Callbacks)))
 * seen // => ["a", "b", "completed"]
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <const C extends Callbacks<unknown>>(
  callbacks: C,
  options?: { readonly mergeWithExisting?: boolean | undefined }
): Layer.Layer<never, never, Services<C>> =>
  Layer.effect(
    StreamCallbacks,
    Effect.gen(function* () {
      const existing = yield* StreamCallbacks
      const context = withoutAmbient(yield* Effect.context<Services<C>>())
      const registered: Registered = { callbacks, context: context as Context.Context<never> }
      return { registered: options?.mergeWithExisting === false ? [registered] : [...existing.registered, registered] }
    })
  )

/**
 * Without the scope and the memo map of the build, which are nothing to a callback, and without what belongs to the fiber
 * that built the Layer: its scheduler (`runSync` and `ManagedRuntime` build under one of their own), its spans, its
 * logging. Those are the running fiber's, also where it has none.
 */
const withoutAmbient = Context.omit(
  Scope.Scope,
  Layer.CurrentMemoMap,
  Scheduler.Scheduler,
  Scheduler.MaxOpsBeforeYield,
  Scheduler.PreventSchedulerYield,
  Tracer.ParentSpan,
  References.CurrentStackFrame,
  References.CurrentLoggers,
  References.CurrentLogAnnotations,
  References.CurrentLogSpans,
  References.CurrentLogLevel,
  References.MinimumLogLevel
)

/**
 * Adds one callback, for the events of one kind.
 *
 * **Example** (Watching for refusals)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { StreamCallbacks, StreamEvent, StreamHandler } from "effect-llm-streaming"
 *
 * const seen: Array<string> = []
 * const Refusals = StreamCallbacks.on("Refusal", (event) => Effect.sync(() => seen.push(event.delta)))
 * const events = Stream.make(StreamEvent.start(0), StreamEvent.refusal(0, "I cannot"), StreamEvent.end(0))
 * Effect.runSync(events.pipe(StreamHandler.run(), Effect.provide(Refusals)))
 * seen // => ["I cannot"]
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const on = <T extends StreamEvent.StreamEventType, R = never>(
  tag: T,
  f: (event: StreamEvent.EventOf<T>) => Effect.Effect<unknown, unknown, R>,
  options?: { readonly mergeWithExisting?: boolean | undefined }
): Layer.Layer<never, never, R> =>
  layer(
    {
      onEvent: (event: StreamEvent.StreamEvent): Effect.Effect<unknown, unknown, R> =>
        event._tag === tag ? f(event as StreamEvent.EventOf<T>) : Effect.void
    },
    options
  )

// -----------------------------------------------------------------------------
// running callbacks
// -----------------------------------------------------------------------------

/**
 * Prepares the callbacks for one stream; `undefined` when there is none, so that the handler can skip them all.
 *
 * @internal
 */
export const runner = ({ registered }: StreamCallbacks): Runner | undefined =>
  registered.length === 0 ? undefined : new Runner(registered)

const noEvents: ReadonlyArray<StreamEvent.StreamEvent> = []

interface Handlers {
  readonly onSuccess: () => Effect.Effect<unknown>
  readonly onFailure: (cause: Cause.Cause<unknown>) => Effect.Effect<unknown>
}

/**
 * The callbacks of one stream, as effects that need nothing and never fail. One that fails, dies or throws is logged, and
 * the next runs.
 *
 * @internal
 */
export class Runner {
  private readonly registered: ReadonlyArray<Registered>
  // What is set only when a callback gives an effect that has to be run: most give a success at once, or there is none.
  private provided: ReadonlyArray<Provided> | undefined
  private handlers: Handlers | undefined
  private pending = noEvents
  private running = Context.empty()
  private after: Effect.Effect<unknown> = Effect.void
  /** Which callback comes next: for each event, for each registration, first `onEvent` and then the event's own. */
  private position = 0

  constructor(registered: ReadonlyArray<Registered>) {
    this.registered = registered
  }

  /**
   * Runs the callbacks of events that arrived together, in the context of the running fiber, then `after`.
   *
   * It takes one operation of the fiber for each callback, and none for one that gives a success at once: a `flatMap` for
   * the order, a `catchCause` around all and fresh closures for each pull would cost three times as much.
   */
  events<A>(
    events: ReadonlyArray<StreamEvent.StreamEvent>,
    running: Context.Context<never>,
    after: Effect.Effect<A>,
    position = 0
  ): Effect.Effect<A> {
    const { registered } = this
    const end = events.length * registered.length * 2
    for (let n = position; n < end; n++) {
      const event = events[Math.floor(n / (registered.length * 2))]!
      const index = (n >> 1) % registered.length
      const { callbacks } = registered[index]!
      let effect: Effect.Effect<unknown, unknown, unknown> | undefined
      try {
        effect = n % 2 === 0 ? callbacks.onEvent?.(event) : dispatch(callbacks, event)
      } catch (defect) {
        effect = Effect.die(defect)
      }
      if (effect === undefined || (Exit.isExit(effect) && Exit.isSuccess(effect))) continue
      this.pending = events
      this.running = running
      this.after = after
      this.position = n + 1
      this.handlers ??= {
        onSuccess: () => this.next(),
        onFailure: (cause) =>
          Effect.andThen(
            logged(cause),
            Effect.suspend(() => this.next())
          )
      }
      return Effect.matchCauseEffect(this.provide(index, effect, running), this.handlers) as Effect.Effect<A>
    }
    return after
  }

  private next(): Effect.Effect<unknown> {
    const { after, pending, position, running } = this
    // What waits for the next token holds on to none of this one.
    this.pending = noEvents
    this.after = Effect.void
    return this.events(pending, running, after, position)
  }

  private provide(
    index: number,
    effect: Effect.Effect<unknown, unknown, unknown>,
    running: Context.Context<never>
  ): Effect.Effect<unknown, unknown> {
    this.provided ??= this.registered.map((registered) => new Provided(registered))
    return this.provided[index]!.provide(effect, running)
  }

  error(error: unknown): Effect.Effect<void> {
    return this.each(({ onError }) => onError?.(error))
  }

  exit(result: StreamResult.StreamResult, exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> {
    return Effect.uninterruptible(this.each(({ onExit }) => onExit?.(result, exit)))
  }

  private each(
    pick: (callbacks: Callbacks<unknown>) => Effect.Effect<unknown, unknown, unknown> | undefined
  ): Effect.Effect<void> {
    return Effect.forEach(
      this.registered,
      ({ callbacks }, index) =>
        Effect.withFiber((fiber) => {
          const effect = pick(callbacks)
          return effect === undefined ? Effect.void : this.provide(index, effect, fiber.context)
        }).pipe(Effect.catchCause(logged)),
      { discard: true }
    )
  }
}

const dispatch = (
  callbacks: Callbacks<unknown>,
  event: StreamEvent.StreamEvent
): Effect.Effect<unknown, unknown, unknown> | undefined => {
  switch (event._tag) {
    case "Start":
      return callbacks.onStart?.(event)
    case "Delta":
      return callbacks.onDelta?.(event)
    case "Reasoning":
      return callbacks.onReasoning?.(event)
    case "ToolCall":
      return callbacks.onToolCall?.(event)
    case "Metadata":
      return callbacks.onMetadata?.(event)
    case "End":
      return callbacks.onEnd?.(event)
    case "Error":
      return callbacks.onError?.(event.error)
    default:
      return undefined
  }
}

// The fiber's own interruption ends the stream here; one that came from inside the callback is only its failure.
const logged = (cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  Effect.andThen(
    Effect.uninterruptibleMask((restore) => restore(Effect.void)),
    Effect.logWarning("A stream callback failed; the stream goes on", cause)
  )

/** The context of the callbacks' Layer, below that of the running fiber. */
class Provided {
  private readonly context: Context.Context<never>
  /** Kept, since fibers seldom change their context. */
  private running: Context.Context<never> | undefined
  private merged: Context.Context<never> | undefined

  constructor({ context }: Registered) {
    this.context = context
  }

  provide(
    effect: Effect.Effect<unknown, unknown, unknown>,
    running: Context.Context<never>
  ): Effect.Effect<unknown, unknown> {
    if (this.running !== running) {
      const merged = Context.merge(this.context, running)
      this.running = running
      // Where the Layer adds nothing to the fiber's own context, there is nothing to provide.
      this.merged = merged.mapUnsafe.size === running.mapUnsafe.size ? undefined : merged
    }
    const { merged } = this
    const needy = effect as Effect.Effect<unknown, unknown>
    return merged === undefined ? needy : Effect.updateContext(needy, () => merged)
  }
}
