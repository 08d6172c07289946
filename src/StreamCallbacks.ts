/**
 * Callbacks on the events of handled streams: a service through Layers, none by default.
 *
 * The handler runs them in order and awaits each. They run in the context of the fiber that pulls the stream (its spans,
 * its loggers, its interruption), merged over the context that their Layer was built in. A callback that fails or dies is
 * logged as a warning and never breaks the stream.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
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
 * Without the scope and the memo map of the build, which are nothing to a callback, and without the spans and the logging
 * of whoever built the Layer: those are the running fiber's, also where it has none.
 */
const withoutAmbient = Context.omit(
  Scope.Scope,
  Layer.CurrentMemoMap,
  Tracer.ParentSpan,
  Logger.CurrentLoggers,
  References.CurrentLogAnnotations,
  References.CurrentLogSpans,
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
 * The callbacks of one stream, as effects that need nothing and never fail; each goes on with `then`.
 *
 * @internal
 */
export interface Runner {
  /** Runs the callbacks of events that arrived together. */
  readonly events: <A>(events: ReadonlyArray<StreamEvent.StreamEvent>, then: Effect.Effect<A>) => Effect.Effect<A>
  readonly error: (error: unknown) => Effect.Effect<void>
  readonly exit: (result: StreamResult.StreamResult, exit: Exit.Exit<unknown, unknown>) => Effect.Effect<void>
}

/**
 * Prepares the callbacks for one stream; `undefined` when there is none, so that the handler can skip them all.
 *
 * @internal
 */
export const runner = ({ registered }: StreamCallbacks): Runner | undefined => {
  if (registered.length === 0) return undefined
  const provided = registered.map(({ callbacks, context }) => ({ callbacks, provide: providing(context) }))
  const inOrder = makeInOrder()
  const each =
    (pick: (callbacks: Callbacks<unknown>) => Effect.Effect<unknown, unknown, unknown> | undefined): Call =>
    (n) => {
      const { callbacks, provide } = provided[n]!
      const effect = pick(callbacks)
      return effect && provide(effect)
    }
  let current: ReadonlyArray<StreamEvent.StreamEvent> = []
  const callOfEvent: Call = (n) => {
    const event = current[Math.floor(n / (2 * provided.length))]!
    const { callbacks, provide } = provided[Math.floor(n / 2) % provided.length]!
    const effect = n % 2 === 0 ? callbacks.onEvent?.(event) : dispatch(callbacks, event)
    return effect && provide(effect)
  }
  return {
    events(events, then) {
      current = events
      return inOrder(events.length * 2 * provided.length, callOfEvent, then)
    },
    error: (error) =>
      Effect.suspend(() =>
        inOrder(
          provided.length,
          each(({ onError }) => onError?.(error)),
          Effect.void
        )
      ),
    // In a sequence of its own: an interrupted one may be under way.
    exit: (result, exit) =>
      Effect.suspend(() =>
        makeInOrder()(
          provided.length,
          each(({ onExit }) => onExit?.(result, exit)),
          Effect.void
        )
      ).pipe(Effect.uninterruptible)
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

type Call = (n: number) => Effect.Effect<unknown, unknown> | undefined

/**
 * Runs `call(0)` to `call(count - 1)` one after the other, then `then`. A call that fails, dies or throws is logged, and
 * the next runs.
 *
 * One at a time: it is made once for each stream, and takes one operation of the fiber for each call, because a `flatMap`
 * for the order, a `catchCause` around all and fresh closures for each pull made a callback cost three times as much.
 */
const makeInOrder = () => {
  let count = 0
  let n = 0
  let call: Call = () => undefined
  let then: Effect.Effect<unknown> = Effect.void
  const next = (): Effect.Effect<unknown> => {
    while (n < count) {
      let effect: Effect.Effect<unknown, unknown> | undefined
      try {
        effect = call(n++)
      } catch (defect) {
        return handlers.onFailure(Cause.die(defect))
      }
      if (effect !== undefined) return Effect.matchCauseEffect(effect, handlers)
    }
    return then
  }
  const handlers = {
    onSuccess: (_: unknown) => next(),
    // The fiber's own interruption ends the stream here; one that came from inside the callback is only its failure.
    onFailure: (cause: Cause.Cause<unknown>): Effect.Effect<unknown> =>
      Effect.andThen(checkInterruption, Effect.andThen(warn(cause), Effect.suspend(next)))
  }
  return <A>(calls: number, f: Call, after: Effect.Effect<A>): Effect.Effect<A> => {
    count = calls
    n = 0
    call = f
    then = after
    return next() as Effect.Effect<A>
  }
}

const checkInterruption = Effect.uninterruptibleMask((restore) => restore(Effect.void))

const warn = (cause: Cause.Cause<unknown>) => Effect.logWarning("A stream callback failed; the stream goes on", cause)

/** Provides a Layer's context below the running fiber's. The merged context is kept, since fibers seldom change theirs. */
const providing = (context: Context.Context<never>) => {
  let fiberContext: Context.Context<never> | undefined
  let merged: Context.Context<never> | undefined
  const provide = (running: Context.Context<never>): Context.Context<unknown> => {
    if (merged === undefined || fiberContext !== running) {
      fiberContext = running
      merged = Context.merge(context, running)
      // Where the Layer adds nothing to the fiber's own context, `updateContext` has nothing to do.
      if (merged.mapUnsafe.size === running.mapUnsafe.size) merged = running
    }
    return merged as Context.Context<unknown>
  }
  return (effect: Effect.Effect<unknown, unknown, unknown>): Effect.Effect<unknown, unknown> =>
    Effect.updateContext(effect, provide)
}
