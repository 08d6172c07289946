/**
 * Gives a stream so much time and no more: until its start, its first token, its next one, its end.
 *
 * 1. A deadline that passes fails the stream with `Timeout`, which names the phase; the source is interrupted, a stalled one
 *    too. It never ends in success.
 * 2. Only waiting for the source counts. While the consumer is busy the clock stands still, so that back-pressure kills no
 *    healthy stream.
 * 3. Nothing is pulled ahead, nothing is held back, no event is changed.
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
import type * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as StreamError from "../StreamError.ts"
import * as StreamEvent from "../StreamEvent.ts"
import type * as StreamProcessor from "../StreamProcessor.ts"
import { Alarm } from "./Alarm.ts"
import { Pump } from "./Pump.ts"

/**
 * What a deadline is about; the `phase` of the `Timeout` is the name of the option.
 *
 * **Details**
 *
 * Content is text of any kind, and pieces of tool calls. A duration of zero or less throws a `RangeError`.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** Until the first event: `Start`, which comes with the response's headers. */
  readonly start?: Duration.Input | undefined
  /** Until the first content. */
  readonly firstToken?: Duration.Input | undefined
  /** Until the first content that is not reasoning: answer, refusal or tool call. */
  readonly firstOutput?: Duration.Input | undefined
  /** From each content to the next. Also until the first one, unless `firstToken` is given. */
  readonly idle?: Duration.Input | undefined
  /** From each event to the next, keep-alives included. */
  readonly idleProgress?: Duration.Input | undefined
  /** In place of `idle` behind a piece of a tool call: some providers send long arguments in one go. */
  readonly toolIdle?: Duration.Input | undefined
  /** Until the end. */
  readonly total?: Duration.Input | undefined
}

type Phase = keyof Options

const phases: ReadonlyArray<Phase> = ["start", "firstToken", "firstOutput", "idle", "idleProgress", "toolIdle", "total"]

/**
 * A processor that fails with `Timeout` when a deadline passes.
 *
 * **Details**
 *
 * Where several deadlines pass at once, the first of them is named, in the order of {@link Options}. Behind the terminal event
 * the stream ends, whatever its source does. The source is pulled by a fiber of its own; another one sleeps until a deadline
 * may have passed, however many events come meanwhile.
 *
 * **Example** (A model that falls silent)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { Deadline, StreamEvent, StreamHandler } from "effect-llm-streaming"
 *
 * const silent = Stream.concat(Stream.make("Hello"), Stream.never)
 * const answer = silent.pipe(
 *   StreamEvent.fromText,
 *   Deadline.make({ idle: "20 millis", total: "1 minute" }),
 *   StreamHandler.runText(),
 *   Effect.catchReason("StreamError", "Timeout", ({ phase }, error) =>
 *     Effect.succeed(`${phase}, after "${error.partial?.text}"`)
 *   )
 * )
 * await Effect.runPromise(answer) // => 'idle, after "Hello"'
 * ```
 *
 * @category processors
 * @since 0.1.0
 */
export const make = (options: Options): StreamProcessor.StreamProcessor<StreamError.StreamErrorOf<"Timeout">> => {
  const limits: Limits = {}
  for (const phase of phases) {
    const input = options[phase]
    if (input === undefined) continue
    const duration = Duration.fromInputUnsafe(input)
    if (!Duration.isPositive(duration)) {
      throw new RangeError(`${phase} must be longer than 0, got ${Duration.format(duration)}`)
    }
    limits[phase] = Duration.toMillis(duration)
  }
  return (self) => Stream.fromChannel(Channel.fromTransform((_: unknown, scope) => watch(self, limits, scope)))
}

/** Milliseconds for each phase that has a limit. */
type Limits = { [P in Phase]?: number }

type Timeout = StreamError.StreamErrorOf<"Timeout">

// Not `Effect.gen` for each stream: V8 keeps what a generator function has ever seen until a full collection.
const watch = Effect.fnUntraced(function* <E, R>(
  self: Stream.Stream<StreamEvent.StreamEvent, E, R>,
  limits: Limits,
  scope: Scope.Scope
) {
  type Out = Pull.Pull<Arr.NonEmptyReadonlyArray<StreamEvent.StreamEvent>, E | Timeout>
  const clock = yield* Clock.Clock
  const source = yield* Pump.open(self)
  yield* Scope.addFinalizerExit(scope, (exit) => source.close(exit))
  const progress = new Progress(limits)
  const millis = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
  /** Since when the consumer waits. */
  let since: number | undefined
  let failure: Exit.Exit<never, Timeout> | undefined
  const due = () => (since === undefined ? Infinity : since + progress.nearest().left)
  const alarm = new Alarm(scope, millis, due, () => source.wake())
  const take = (): Out => {
    if (progress.isOver) return Cause.done()
    if (failure !== undefined) return failure
    source.ask()
    const news = source.take()
    if (news === undefined) {
      const now = millis()
      since ??= now
      const { left, phase } = progress.nearest()
      if (phase === undefined || since + left > now) return alarm.set(untilNews)
      failure = Exit.fail(timeout(phase, limits))
      return Effect.ensuring(failure, source.interrupt)
    }
    const waited = since === undefined ? 0 : millis() - since
    since = undefined
    if ("cause" in news) return news
    progress.take(news, waited)
    return Effect.succeed(news)
  }
  const untilNews = source.untilNews(take)
  return Effect.suspend((): Out => {
    // A wait that was interrupted does not count.
    since = undefined
    return take()
  })
}, Effect.uninterruptible)

const timeout = (phase: Phase, limits: Limits): Timeout =>
  StreamError.make({ _tag: "Timeout", phase, duration: Duration.millis(limits[phase]!) })

/** How far a stream has come. Times are milliseconds spent waiting for it. */
class Progress {
  isOver = false
  private readonly limits: Limits
  private waited = 0
  private lastEvent = 0
  private lastContent = 0
  private hasEvent = false
  private hasToken = false
  private hasOutput = false
  private isInTool = false

  constructor(limits: Limits) {
    this.limits = limits
  }

  /** From when on a phase counts; `undefined` while it does not. */
  private since(phase: Phase): number | undefined {
    switch (phase) {
      case "start":
        return this.hasEvent ? undefined : 0
      case "firstToken":
        return this.hasToken ? undefined : 0
      case "firstOutput":
        return this.hasOutput ? undefined : 0
      case "idle":
        if (this.isInTool && this.limits.toolIdle !== undefined) return undefined
        return this.hasToken || this.limits.firstToken === undefined ? this.lastContent : undefined
      case "idleProgress":
        return this.lastEvent
      case "toolIdle":
        return this.isInTool ? this.lastContent : undefined
      case "total":
        return 0
    }
  }

  /** The deadline that passes next, and how many milliseconds are left to it. */
  nearest(): { readonly phase: Phase | undefined; readonly left: number } {
    let phase: Phase | undefined
    let left = Infinity
    for (const candidate of phases) {
      const limit = this.limits[candidate]
      const since = limit === undefined ? undefined : this.since(candidate)
      if (since === undefined || since + limit! - this.waited >= left) continue
      phase = candidate
      left = since + limit! - this.waited
    }
    return { phase, left: Math.max(0, left) }
  }

  take(events: ReadonlyArray<StreamEvent.StreamEvent>, waited: number): void {
    this.waited += waited
    this.hasEvent = true
    this.lastEvent = this.waited
    for (const event of events) {
      if (StreamEvent.isTerminal(event)) this.isOver = true
      const isPiece = StreamEvent.isText(event) || event._tag === "ToolCallDelta"
      if (isPiece ? event.delta === "" : event._tag !== "ToolCall") continue
      this.lastContent = this.waited
      this.hasToken = true
      if (event._tag !== "Reasoning") this.hasOutput = true
      this.isInTool = event._tag === "ToolCallDelta"
    }
  }
}
