/**
 * Sources for tests: scripted streams, a scripted model, and a probe that reports how a source was treated.
 *
 * A script is a list of steps: a plain value is one pull, {@link together} is several values in one pull, {@link delay},
 * {@link fail}, {@link die} and {@link stall} say what else happens. Time is Effect's `Clock`, so `TestClock` rules it and
 * no test waits. Nothing here knows a test runner.
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { identity } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import type * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as StreamError from "../StreamError.ts"
import * as StreamCallbacks from "../StreamCallbacks.ts"
import * as StreamEvent from "../StreamEvent.ts"
import * as StreamModel from "../StreamModel.ts"
import type * as StreamResult from "../StreamResult.ts"

const TypeId = "~effect-llm-streaming/StreamTest/Step"

// -----------------------------------------------------------------------------
// steps
// -----------------------------------------------------------------------------

/**
 * Several values that arrive in one pull.
 *
 * @category models
 * @since 0.1.0
 */
export interface Together<out A> {
  readonly [TypeId]: "Together"
  readonly values: ReadonlyArray<A>
}

/**
 * A pause before the next step.
 *
 * @category models
 * @since 0.1.0
 */
export interface Delay {
  readonly [TypeId]: "Delay"
  readonly duration: Duration.Duration
}

/**
 * A failure of the stream.
 *
 * @category models
 * @since 0.1.0
 */
export interface Fail<out E> {
  readonly [TypeId]: "Fail"
  readonly error: E
}

/**
 * A defect in the stream.
 *
 * @category models
 * @since 0.1.0
 */
export interface Die {
  readonly [TypeId]: "Die"
  readonly defect: unknown
}

/**
 * A source that neither goes on nor ends.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stall {
  readonly [TypeId]: "Stall"
}

/**
 * A step of a script that is not a plain value.
 *
 * @category models
 * @since 0.1.0
 */
export type Step<A, E> = Together<A> | Delay | Fail<E> | Die | Stall

/**
 * What a script of steps `S` emits.
 *
 * @category models
 * @since 0.1.0
 */
export type Value<S> = S extends Together<infer A> ? A : S extends Step<unknown, unknown> ? never : S

/**
 * What a script of steps `S` fails with.
 *
 * @category models
 * @since 0.1.0
 */
export type Failure<S> = S extends Fail<infer E> ? E : never

/**
 * Several values in one pull, as a fast network delivers them.
 *
 * @category steps
 * @since 0.1.0
 */
export const together = <A extends ReadonlyArray<unknown>>(...values: A): Together<A[number]> => ({
  [TypeId]: "Together",
  values
})

/**
 * Waits before the next step, by Effect's `Clock`.
 *
 * @category steps
 * @since 0.1.0
 */
export const delay = (duration: Duration.Input): Delay => ({
  [TypeId]: "Delay",
  duration: Duration.fromInputUnsafe(duration)
})

/**
 * Fails the stream. The steps behind it are not played.
 *
 * @category steps
 * @since 0.1.0
 */
export const fail = <E>(error: E): Fail<E> => ({ [TypeId]: "Fail", error })

/**
 * Ends the stream with a defect. The steps behind it are not played.
 *
 * @category steps
 * @since 0.1.0
 */
export const die = (defect: unknown): Die => ({ [TypeId]: "Die", defect })

/**
 * Never goes on: only interruption gets a reader away from here.
 *
 * @category steps
 * @since 0.1.0
 */
export const stall: Stall = { [TypeId]: "Stall" }

/**
 * Cuts a text or bytes into pieces of the given sizes, which are used over and over until nothing is left.
 *
 * **Details**
 *
 * Sizes are UTF-16 code units (so a surrogate pair can be cut) or bytes. A size of 0 gives an empty piece, `Infinity` the
 * whole rest. Sizes that are negative, not whole or all 0 throw a `RangeError`.
 *
 * **Example** (The same text, cut in three ways)
 *
 * ```ts
 * import * as StreamTest from "effect-llm-streaming/testing/StreamTest"
 *
 * StreamTest.split("Hello World", 4) // => ["Hell", "o Wo", "rld"]
 * StreamTest.split("Hello World", [1, 5]) // => ["H", "ello ", "W", "orld"]
 * StreamTest.split("Hi", [0, 1]) // => ["", "H", "", "i"]
 * ```
 *
 * @category steps
 * @since 0.1.0
 */
export const split: {
  (whole: string, sizes: number | ReadonlyArray<number>): Array<string>
  (whole: Uint8Array, sizes: number | ReadonlyArray<number>): Array<Uint8Array>
} = <A extends string | Uint8Array>(whole: A, sizes: number | ReadonlyArray<number>) => {
  const cycle = typeof sizes === "number" ? [sizes] : sizes
  if (!cycle.some((size) => size > 0) || cycle.some((size) => !isCount(size))) {
    throw new RangeError(`sizes must be whole numbers, not negative and not all 0, got [${cycle.join(", ")}]`)
  }
  const pieces: Array<A> = []
  for (let i = 0, from = 0; from < whole.length; i++) {
    const to = from + cycle[i % cycle.length]!
    pieces.push(whole.slice(from, to) as A)
    from = to
  }
  return pieces
}

const isCount = (size: number): boolean => size === Infinity || (Number.isInteger(size) && size >= 0)

// -----------------------------------------------------------------------------
// scripts
// -----------------------------------------------------------------------------

/**
 * A stream that plays steps: text, bytes, events, or whatever you put in. It ends behind the last one.
 *
 * **Details**
 *
 * Every run starts anew. The failure type is that of the {@link fail} steps.
 *
 * **Example** (Two chunks, a pause, and a broken connection)
 *
 * ```ts
 * import { Effect, Fiber, Stream } from "effect"
 * import { TestClock } from "effect/testing"
 * import * as StreamTest from "effect-llm-streaming/testing/StreamTest"
 *
 * const source = StreamTest.script([
 *   "Hello",
 *   StreamTest.delay("5 seconds"),
 *   StreamTest.together(" ", "World"),
 *   StreamTest.fail("connection reset")
 * ])
 *
 * const seen: Array<string> = []
 * const program = Effect.gen(function* () {
 *   const fiber = yield* source.pipe(
 *     Stream.runForEach((chunk) => Effect.sync(() => seen.push(chunk))),
 *     Effect.flip,
 *     Effect.forkChild
 *   )
 *   yield* TestClock.adjust("4 seconds")
 *   seen.join("|") // => "Hello"
 *   yield* TestClock.adjust("1 second")
 *   return yield* Fiber.join(fiber)
 * })
 * await Effect.runPromise(Effect.provide(program, TestClock.layer())) // => "connection reset"
 * seen.join("|") // => "Hello| |World"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const script = <S>(steps: ReadonlyArray<S>): Stream.Stream<Value<S>, Failure<S>> =>
  play<Value<S>, Value<S>, Failure<S>>(steps as ReadonlyArray<Value<S> | Step<Value<S>, Failure<S>>>, identity)

/**
 * A model's whole answer as events: `Start`, the steps, `End`. A string is a `Delta`; other events stand for themselves.
 *
 * **Details**
 *
 * Every event is stamped with the time at which it is played, whatever timestamp it was made with. `Start` comes first
 * unless the steps have one, and `End` comes last unless the steps have an `End` or an `Error`. With `usage`, a Metadata
 * event that carries it comes before `End`.
 *
 * **Example** (An answer with some thinking in it)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { StreamEvent } from "effect-llm-streaming"
 * import * as StreamTest from "effect-llm-streaming/testing/StreamTest"
 *
 * const answer = StreamTest.answer([StreamEvent.reasoning(0, "hm"), "Hello", " World"], { finishReason: "length" })
 * const events = Effect.runSync(Stream.runCollect(answer))
 * events.map((event) => event._tag) // => ["Start", "Reasoning", "Delta", "Delta", "End"]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const answer = <S extends string | StreamEvent.StreamEvent | Step<string | StreamEvent.StreamEvent, unknown>>(
  steps: ReadonlyArray<S>,
  options?: {
    readonly id?: string | undefined
    readonly model?: string | undefined
    /** `"stop"` by default. */
    readonly finishReason?: StreamResult.FinishReason | undefined
    readonly usage?: StreamResult.Usage | undefined
  }
): Stream.Stream<StreamEvent.StreamEvent, Failure<S>> => {
  type Played = string | StreamEvent.StreamEvent
  const given = (steps as ReadonlyArray<Played | Step<Played, unknown>>).flatMap((step): ReadonlyArray<Played> =>
    !isStep(step) ? [step] : step[TypeId] === "Together" ? step.values : []
  )
  const has = (...tags: ReadonlyArray<string>) =>
    given.some((value) => typeof value !== "string" && tags.includes(value._tag))
  const all: Array<Played | Step<Played, Failure<S>>> = []
  if (!has("Start")) all.push(StreamEvent.start(0, options))
  for (const step of steps) all.push(step as Played | Step<Played, Failure<S>>)
  if (options?.usage !== undefined) all.push(StreamEvent.metadata(0, "usage", { usage: options.usage }))
  if (!has("End", "Error")) all.push(StreamEvent.end(0, options?.finishReason ?? "stop"))
  return play(all, (value, clock): StreamEvent.StreamEvent => {
    const timestamp = clock.currentTimeMillisUnsafe()
    return typeof value === "string" ? StreamEvent.delta(timestamp, value) : { ...value, timestamp }
  })
}

const isStep = (u: unknown): u is Step<unknown, unknown> => Predicate.hasProperty(u, TypeId)

const play = <A, B, E>(
  steps: ReadonlyArray<A | Step<A, E>>,
  f: (value: A, clock: Clock.Clock) => B
): Stream.Stream<B, E> =>
  Stream.fromPull(
    Clock.clockWith((clock) => {
      type Out = Pull.Pull<Arr.NonEmptyReadonlyArray<B>, E>
      let index = 0
      const pull: Out = Effect.suspend((): Out => {
        if (index === steps.length) return Cause.done()
        const step = steps[index++] as A | Step<A, E>
        if (!isStep(step)) return Effect.succeed([f(step as A, clock)])
        switch (step[TypeId]) {
          case "Together": {
            const values = step.values.map((value) => f(value, clock))
            return Arr.isArrayNonEmpty(values) ? Effect.succeed(values) : pull
          }
          case "Delay":
            return Effect.andThen(clock.sleep(step.duration), pull)
          // The last three are where a script stays: pulled again, it does the same again.
          case "Fail":
            index--
            return Effect.fail(step.error)
          case "Die":
            index--
            return Effect.die(step.defect)
          case "Stall":
            index--
            return Effect.never
        }
      })
      return Effect.succeed(pull)
    })
  )

// -----------------------------------------------------------------------------
// model
// -----------------------------------------------------------------------------

/**
 * The requests that a {@link layerModel} got, for the test to read with {@link requests}.
 *
 * @category services
 * @since 0.1.0
 */
export class Requests extends Context.Service<Requests, Effect.Effect<ReadonlyArray<StreamModel.StreamRequest>>>()(
  "effect-llm-streaming/testing/StreamTest/Requests"
) {}

/**
 * The requests so far, oldest first.
 *
 * @category accessors
 * @since 0.1.0
 */
export const requests: Effect.Effect<ReadonlyArray<StreamModel.StreamRequest>, never, Requests> = Effect.flatMap(
  Requests,
  identity
)

/**
 * A `StreamModel` that plays a script: the same one for every request, or one chosen by the request and by how many came
 * before it.
 *
 * **Details**
 *
 * As with a real model, running the stream is what sends the request, so a stream that is never run leaves no trace in
 * {@link requests}, and one that is run twice leaves two.
 *
 * **Example** (A backend's function under test)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { StreamHandler, StreamModel } from "effect-llm-streaming"
 * import * as StreamTest from "effect-llm-streaming/testing/StreamTest"
 *
 * const summarise = (text: string) => StreamModel.stream({ prompt: `Summarise: ${text}` }).pipe(StreamHandler.runText())
 *
 * const test = Effect.gen(function* () {
 *   yield* summarise("a long story") // => "Short."
 *   return yield* StreamTest.requests
 * })
 * const requests = await Effect.runPromise(Effect.provide(test, StreamTest.layerModel(StreamTest.answer(["Short", "."]))))
 * requests // => [{ prompt: "Summarise: a long story" }]
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerModel = (
  answer:
    | Stream.Stream<StreamEvent.StreamEvent, StreamError.StreamError>
    | ((
        request: StreamModel.StreamRequest,
        index: number
      ) => Stream.Stream<StreamEvent.StreamEvent, StreamError.StreamError>)
): Layer.Layer<StreamModel.StreamModel | Requests> =>
  Layer.effectContext(
    Effect.sync(() => {
      const log: Array<StreamModel.StreamRequest> = []
      return Context.make(StreamModel.StreamModel, {
        stream: (request) =>
          Stream.suspend(() => {
            const index = log.push(request) - 1
            return Stream.isStream(answer) ? answer : answer(request, index)
          })
      }).pipe(
        Context.add(
          Requests,
          Effect.sync(() => log.slice())
        )
      )
    })
  )

// -----------------------------------------------------------------------------
// callbacks
// -----------------------------------------------------------------------------

/**
 * A callback that ran, and what it was given.
 *
 * @category models
 * @since 0.1.0
 */
export type Recorded =
  | { readonly callback: "onStart"; readonly value: StreamEvent.Start }
  | { readonly callback: "onDelta"; readonly value: StreamEvent.Delta }
  | { readonly callback: "onReasoning"; readonly value: StreamEvent.Reasoning }
  | { readonly callback: "onToolCall"; readonly value: StreamEvent.ToolCall }
  | { readonly callback: "onMetadata"; readonly value: StreamEvent.Metadata }
  | { readonly callback: "onEnd"; readonly value: StreamEvent.End }
  | { readonly callback: "onError"; readonly value: unknown }
  | {
      readonly callback: "onExit"
      readonly value: { readonly result: StreamResult.StreamResult; readonly exit: Exit.Exit<unknown, unknown> }
    }

/**
 * The callbacks that a {@link recorder} saw.
 *
 * @category services
 * @since 0.1.0
 */
export class Recordings extends Context.Service<Recordings, Effect.Effect<ReadonlyArray<Recorded>>>()(
  "effect-llm-streaming/testing/StreamTest/Recordings"
) {}

/**
 * The callbacks so far, in the order in which they ran.
 *
 * @category accessors
 * @since 0.1.0
 */
export const recorded: Effect.Effect<ReadonlyArray<Recorded>, never, Recordings> = Effect.flatMap(Recordings, identity)

/**
 * Records every callback of handled streams, beside those that are registered already.
 *
 * **Example** (Which callbacks ran)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { StreamEvent, StreamHandler } from "effect-llm-streaming"
 * import * as StreamTest from "effect-llm-streaming/testing/StreamTest"
 *
 * const test = Effect.gen(function* () {
 *   yield* Stream.make("Hello").pipe(StreamEvent.fromText, StreamHandler.run())
 *   return yield* StreamTest.recorded
 * }).pipe(Effect.provide(StreamTest.recorder))
 * Effect.runSync(test).map((call) => call.callback) // => ["onStart", "onDelta", "onEnd", "onExit"]
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const recorder: Layer.Layer<Recordings> = Layer.unwrap(
  Effect.sync(() => {
    const log: Array<Recorded> = []
    const record = (entry: Recorded) => Effect.sync(() => log.push(entry))
    return Layer.merge(
      StreamCallbacks.layer({
        onStart: (value) => record({ callback: "onStart", value }),
        onDelta: (value) => record({ callback: "onDelta", value }),
        onReasoning: (value) => record({ callback: "onReasoning", value }),
        onToolCall: (value) => record({ callback: "onToolCall", value }),
        onMetadata: (value) => record({ callback: "onMetadata", value }),
        onEnd: (value) => record({ callback: "onEnd", value }),
        onError: (value) => record({ callback: "onError", value }),
        onExit: (result, exit) => record({ callback: "onExit", value: { result, exit } })
      }),
      Layer.succeed(
        Recordings,
        Effect.sync(() => log.slice())
      )
    )
  })
)

// -----------------------------------------------------------------------------
// probe
// -----------------------------------------------------------------------------

/**
 * How a source was treated, over all its runs.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProbeReport {
  /** How often the source was opened. */
  readonly runs: number
  /** How often it was asked for more. */
  readonly pulls: number
  /** Pulls after it had ended, failed, been released, or seen a pull interrupted. Should be 0. */
  readonly pullsAfterEnd: number
  /** Pulls that began while another was under way. Should be 0. */
  readonly concurrentPulls: number
  /** Pulls that were interrupted before they gave anything: that is how an interruption reaches a source. */
  readonly interruptedPulls: number
  /** How often it was released. Should be `runs`, once nobody reads it any more. */
  readonly releases: number
  /** What should not have been, in words; empty for a source that was treated well. */
  readonly violations: ReadonlyArray<string>
}

/**
 * A source under observation.
 *
 * @category models
 * @since 0.1.0
 */
export interface Probe<out A, out E = never, out R = never> {
  readonly stream: Stream.Stream<A, E, R>
  /** The report so far. Ask for it after the run: a source that is still open counts as not released. */
  readonly report: Effect.Effect<ProbeReport>
}

/**
 * Wraps a source and reports how it was treated: whether it was pulled after its end or twice at once, released exactly
 * once, and whether an interruption reached it.
 *
 * **Example** (A reader that leaves early)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import * as StreamTest from "effect-llm-streaming/testing/StreamTest"
 *
 * const program = Effect.gen(function* () {
 *   const probe = yield* StreamTest.probe(StreamTest.script(["a", "b", "c", StreamTest.stall]))
 *   yield* probe.stream.pipe(Stream.take(2), Stream.runDrain)
 *   return yield* probe.report
 * })
 * const report = Effect.runSync(program)
 * report.pulls // => 2
 * report.releases // => 1
 * report.violations // => []
 * ```
 *
 * @category probe
 * @since 0.1.0
 */
export const probe = <A, E, R>(self: Stream.Stream<A, E, R>): Effect.Effect<Probe<A, E, R>> =>
  Effect.sync(() => {
    const counts = { runs: 0, pulls: 0, pullsAfterEnd: 0, concurrentPulls: 0, interruptedPulls: 0, releases: 0 }
    return {
      stream: Stream.transformPullBracket(self, (pull, _, scope) => {
        counts.runs++
        let pulling = 0
        let ended = false
        const onExit = (exit: Exit.Exit<unknown, unknown>) =>
          Effect.sync(() => {
            pulling--
            if (Exit.isFailure(exit)) {
              ended = true
              if (Cause.hasInterrupts(exit.cause)) counts.interruptedPulls++
            }
          })
        const counted = Effect.suspend(() => {
          counts.pulls++
          if (ended) counts.pullsAfterEnd++
          if (pulling > 0) counts.concurrentPulls++
          pulling++
          return Effect.onExit(pull, onExit)
        })
        const release = Effect.sync(() => {
          ended = true
          counts.releases++
        })
        return Effect.as(Scope.addFinalizer(scope, release), counted)
      }),
      report: Effect.sync(() => {
        const { runs, pullsAfterEnd, concurrentPulls, releases } = counts
        const violations: Array<string> = []
        if (pullsAfterEnd > 0) violations.push(`pulled ${times(pullsAfterEnd)} after its end`)
        if (concurrentPulls > 0) violations.push(`pulled ${times(concurrentPulls)} while a pull was under way`)
        if (releases !== runs) violations.push(`opened ${times(runs)}, released ${times(releases)}`)
        return { ...counts, violations }
      })
    }
  })

const times = (n: number): string => (n === 1 ? "once" : `${n} times`)
