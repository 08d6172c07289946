/**
 * Processors: functions from a stream of events to a stream of events.
 *
 * Composing them is `pipe`, or `Function.flow` for a processor made of processors. Write one with {@link make} (one
 * effect for each event), {@link filterMap} (pure) or {@link transduce} (text that must be held back).
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { flow, identity } from "effect/Function"
import * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as StreamEvent from "./StreamEvent.ts"

/**
 * A function from a stream of events to a stream of events, that may add failures `E` and services `R` of its own.
 *
 * @category models
 * @since 0.1.0
 */
export interface StreamProcessor<out E = never, out R = never> {
  <E0, R0>(self: Stream.Stream<StreamEvent.StreamEvent, E0, R0>): Stream.Stream<StreamEvent.StreamEvent, E0 | E, R0 | R>
}

/**
 * Passes every event through, at no cost.
 *
 * @category processors
 * @since 0.1.0
 */
export const passthrough: StreamProcessor = identity

/**
 * A processor that runs an effect for each event; `undefined` drops the event.
 *
 * **Details**
 *
 * Events are processed one after the other, and each goes on as soon as its effect is done: events that arrived together
 * do not wait for each other. A failure of the effect ends the stream behind the events before it.
 *
 * **Example** (Looking up each tool call)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { StreamEvent, StreamProcessor } from "effect-llm-streaming"
 *
 * const loud = StreamProcessor.make((event) =>
 *   Effect.succeed(StreamEvent.isContent(event) ? { ...event, delta: event.delta.toUpperCase() } : event)
 * )
 * const text = Stream.make("Hello").pipe(StreamEvent.fromText, loud, StreamEvent.text, Stream.mkString)
 * Effect.runSync(text) // => "HELLO"
 * ```
 *
 * @category processors
 * @since 0.1.0
 */
export const make = <E = never, R = never>(
  f: (event: StreamEvent.StreamEvent) => Effect.Effect<StreamEvent.StreamEvent | undefined, E, R>
): StreamProcessor<E, R> =>
  // Not `filterMapEffect`, which loses what it had already made of an array when the effect fails.
  flow(
    Stream.mapEffect(f),
    Stream.filterMap((mapped) => (mapped === undefined ? Result.failVoid : Result.succeed(mapped)))
  )

/**
 * A processor that turns each event into one or none, purely. Events that arrived together stay together, so it costs a
 * fraction of {@link make}.
 *
 * **Example** (Dropping the reasoning)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { StreamEvent, StreamProcessor } from "effect-llm-streaming"
 *
 * const answerOnly = StreamProcessor.filterMap((event) => (event._tag === "Reasoning" ? undefined : event))
 * const events = Stream.make(StreamEvent.reasoning(0, "hm"), StreamEvent.delta(0, "42"), StreamEvent.end(0)).pipe(answerOnly)
 * Effect.runSync(Stream.runCollect(events)).map((event) => event._tag) // => ["Delta", "End"]
 * ```
 *
 * @category processors
 * @since 0.1.0
 */
export const filterMap = (
  f: (event: StreamEvent.StreamEvent) => StreamEvent.StreamEvent | undefined
): StreamProcessor =>
  Stream.filterMap((event: StreamEvent.StreamEvent) => {
    const mapped = f(event)
    return mapped === undefined ? Result.failVoid : Result.succeed(mapped)
  })

/**
 * What a step returns to end the stream early, and in success: see {@link Transducer}.
 *
 * @category models
 * @since 0.1.0
 */
export const stop: unique symbol = Symbol.for("effect-llm-streaming/StreamProcessor/stop")

/**
 * The state of one run of a {@link transduce} processor.
 *
 * @category models
 * @since 0.1.0
 */
export interface Transducer<out E = never> {
  /**
   * Takes an event and pushes onto `out` whatever can go on. An error returned ends the stream behind that; so does
   * {@link stop}, without a failure: the source is released first, so that no more tokens are paid for, and the processor
   * has pushed the terminal event itself.
   */
  readonly step: (event: StreamEvent.StreamEvent, out: Array<StreamEvent.StreamEvent>) => E | typeof stop | undefined
  /**
   * The stream is over: pushes onto `out` what is still held back. A terminal event has come through `step` before, where
   * there was one; a stream that failed or that was cut has none. An error returned is the stream's failure, unless it has
   * failed already.
   */
  readonly flush: (out: Array<StreamEvent.StreamEvent>) => E | undefined | void
}

/**
 * A processor with state, that may hold text back and release it later.
 *
 * **Details**
 *
 * `open` makes the state of one run. What `flush` releases goes on before the failure or the end that caused it, so
 * nothing that had arrived is lost. After an interruption, and behind an error or a stop of `step`, nothing is flushed.
 *
 * **Example** (Joining the text of each pull with the next)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { StreamEvent, StreamProcessor } from "effect-llm-streaming"
 *
 * const pairs = StreamProcessor.transduce(() => {
 *   let held: StreamEvent.Delta | undefined
 *   const release = (out: Array<StreamEvent.StreamEvent>) => {
 *     if (held !== undefined) out.push(held)
 *     held = undefined
 *   }
 *   return {
 *     step(event, out) {
 *       if (event._tag !== "Delta") {
 *         release(out)
 *         out.push(event)
 *       } else if (held === undefined) {
 *         held = event
 *       } else {
 *         out.push({ ...event, delta: held.delta + event.delta })
 *         held = undefined
 *       }
 *     },
 *     flush: release
 *   }
 * })
 * const text = Stream.make("a", "b", "c").pipe(StreamEvent.fromText, pairs, StreamEvent.text, Stream.runCollect)
 * Effect.runSync(text) // => ["ab", "c"]
 * ```
 *
 * @category processors
 * @since 0.1.0
 */
export function transduce(open: () => Transducer): StreamProcessor
export function transduce<E>(open: () => Transducer<E>): StreamProcessor<E>
export function transduce<E>(open: () => Transducer<E>): StreamProcessor<E> {
  return <E0, R>(self: Stream.Stream<StreamEvent.StreamEvent, E0, R>) =>
    fromSource(self, (upstream, release) => {
      type Out = Pull.Pull<Events, E0 | E, void, R>
      const { flush, step } = open()
      const endWith = (out: Array<StreamEvent.StreamEvent>, end: Out): Out => {
        next = end
        return Arr.isArrayNonEmpty(out) ? Effect.succeed(out) : end
      }
      const flushThen = (end: (error: E | undefined | void) => Out): Out => {
        const out: Array<StreamEvent.StreamEvent> = []
        return endWith(out, end(flush(out)))
      }
      const pull: Out = Pull.matchEffect(upstream, {
        onSuccess: (events): Out => {
          const out = emptyForOne()
          for (const event of events) {
            const outcome = step(event, out)
            if (outcome === stop) return Effect.andThen(release, endWith(out, Cause.done()))
            if (outcome !== undefined) return endWith(out, Effect.fail(outcome))
          }
          return Arr.isArrayNonEmpty(out) ? Effect.succeed(out) : pull
        },
        onFailure: (cause): Out =>
          Cause.hasInterruptsOnly(cause) ? Effect.failCause(cause) : flushThen(() => Effect.failCause(cause)),
        onDone: (): Out => flushThen((error) => (error === undefined ? Cause.done() : Effect.fail(error)))
      })
      let next = pull
      return Effect.suspend(() => next)
    })
}

type Events = Arr.NonEmptyReadonlyArray<StreamEvent.StreamEvent>

/** An empty array with room for one event. `[]` takes room for 17 with the first, 128 bytes more for each token. */
const emptyForOne = (): Array<StreamEvent.StreamEvent> => {
  const out = [anyEvent]
  out.pop()
  return out
}

const anyEvent = StreamEvent.progress(0, "")

/** As `Stream.transformPull`, with a way to release the source before the stream is over. */
const fromSource = <E, R, E2, R2>(
  self: Stream.Stream<StreamEvent.StreamEvent, E, R>,
  f: (pull: Pull.Pull<Events, E, void, R>, release: Effect.Effect<void>) => Pull.Pull<Events, E2, void, R2>
): Stream.Stream<StreamEvent.StreamEvent, Pull.ExcludeDone<E2>, R | R2> =>
  Stream.fromChannel(
    Channel.fromTransform((_, scope) =>
      Effect.flatMap(Scope.fork(scope), (source) =>
        Effect.map(Channel.toPullScoped(Stream.toChannel(self), source), (pull) =>
          f(pull, Scope.close(source, Exit.void))
        )
      )
    )
  )
