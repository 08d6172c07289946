/**
 * Has the answer checked by an effect (a moderation model, a classifier) while it streams, window by window.
 *
 * 1. In the mode `"hold"` nothing leaves that was not checked; and of something bad that stands in two windows nothing leaves
 *    either, if it is no longer than their overlap. In the mode `"optimistic"` text flows at once, and what proves bad is
 *    retracted.
 * 2. Verdicts apply in the order of the text, whatever the order in which they come.
 * 3. Windows are cut by the text alone, so that the same is checked however the source cut it.
 * 4. A check that fails, or takes too long, is a failure of the stream, unless the options say otherwise.
 *
 * The answer is a text as in `HeldText`: windows go over parts, not over a tool call.
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import * as StreamBuffer from "../StreamBuffer.ts"
import * as StreamError from "../StreamError.ts"
import * as StreamEvent from "../StreamEvent.ts"
import type * as StreamProcessor from "../StreamProcessor.ts"
import { HeldText } from "./HeldText.ts"

// -----------------------------------------------------------------------------
// model
// -----------------------------------------------------------------------------

/**
 * A piece of the answer to be checked.
 *
 * @category models
 * @since 0.1.0
 */
export interface Window {
  /** The overlap with the window before, and the text that is new. */
  readonly text: string
  /** UTF-16 code units at the start of `text` that the window before has seen too. */
  readonly overlap: number
  /** Where the new text begins, in UTF-16 code units of the whole answer. */
  readonly offset: number
  /** Whether the text is over behind it. */
  readonly isLast: boolean
}

/**
 * What a check says of a window: `allow` it; `replace` what has not left of it with another text; or `block` the stream, by a
 * rule of that name.
 *
 * @category models
 * @since 0.1.0
 */
export type Verdict =
  | { readonly _tag: "allow" }
  | { readonly _tag: "replace"; readonly text: string }
  | { readonly _tag: "block"; readonly rule: string }

/**
 * @category verdicts
 * @since 0.1.0
 */
export const allow: Verdict = { _tag: "allow" }

/**
 * @category verdicts
 * @since 0.1.0
 */
export const replace = (text: string): Verdict => ({ _tag: "replace", text })

/**
 * @category verdicts
 * @since 0.1.0
 */
export const block = (rule: string): Verdict => ({ _tag: "block", rule })

/**
 * @category options
 * @since 0.1.0
 */
export interface Options<E = never, R = never> {
  readonly check: (window: Window) => Effect.Effect<Verdict, E, R>
  /** UTF-16 code units of new text in each window. 200 by default; less than 1 throws a `RangeError`. */
  readonly window?: number | undefined
  /** UTF-16 code units that a window shares with the one before. 40 by default; not more than `window`. */
  readonly overlap?: number | undefined
  /** `"hold"` by default. */
  readonly mode?: "hold" | "optimistic" | undefined
  /** How many checks run at once, ahead of the text that is let through. 1 by default. */
  readonly concurrency?: number | undefined
  /** How long a check may take. 10 seconds by default. */
  readonly timeout?: Duration.Input | undefined
  /**
   * What a check does that fails or takes too long: fail the stream (`"fail"`, by default) with its own error, or with
   * `Timeout` of the phase `guardrail`; or `"allow"` its window.
   */
  readonly onCheckFailure?: "fail" | "allow" | undefined
  /** How much Metadata may wait behind text that is held back, in UTF-16 code units. 1 Mi by default. */
  readonly maxWaiting?: number | undefined
}

/**
 * What a guardrail can fail with, beside the failures of its check.
 *
 * @category errors
 * @since 0.1.0
 */
export type GuardrailError = StreamError.StreamErrorOf<"ContentBlocked" | "Timeout" | "BufferOverflow">

// -----------------------------------------------------------------------------
// processor
// -----------------------------------------------------------------------------

type Events = Arr.NonEmptyReadonlyArray<StreamEvent.StreamEvent>

/**
 * A processor that has the answer checked.
 *
 * **Details**
 *
 * A verdict of `block` fails the stream with `ContentBlocked`, whose offset is that of the window's new text; what had left
 * before stays delivered. In the mode `"optimistic"` a Metadata event of the kind `retract` comes first, with the `offset`,
 * `length` and `part` of what to take back; for a verdict of `replace` it comes alone, with the text to put there
 * (`replacement`), and the stream goes on. The end waits for all verdicts.
 *
 * The source is read ahead by a fiber of its own, as far as the checks that run at once go. Reasoning and tool calls are not
 * checked, and wait for the text before them.
 *
 * **Example** (A check that is an effect)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { Guardrail, StreamEvent } from "effect-llm-streaming"
 *
 * // A call of a moderation model, say.
 * const moderate = ({ text }: Guardrail.Window) =>
 *   Effect.succeed(text.includes("a bomb") ? Guardrail.replace("[removed]") : Guardrail.allow)
 *
 * const text = Stream.make("To build a b", "omb you need", " patience.").pipe(
 *   StreamEvent.fromText,
 *   Guardrail.make({ check: moderate, window: 12, overlap: 6 }),
 *   StreamEvent.text
 * )
 * await Effect.runPromise(Stream.mkString(text)) // => "To bui[removed] patience."
 * ```
 *
 * @category processors
 * @since 0.1.0
 */
export const make = <E = never, R = never>(
  options: Options<E, R>
): StreamProcessor.StreamProcessor<E | GuardrailError, R> => {
  const { concurrency = 1, mode = "hold", onCheckFailure = "fail", overlap = 40, window = 200 } = options
  for (const [name, value, least] of [
    ["window", window, 1],
    ["overlap", overlap, 0],
    ["concurrency", concurrency, 1]
  ] as const) {
    if (!Number.isInteger(value) || value < least)
      throw new RangeError(`${name} must be ${least} or more, got ${value}`)
  }
  if (overlap > window) throw new RangeError(`overlap must not be more than the window of ${window}, got ${overlap}`)
  const timeout = Duration.fromInputUnsafe(options.timeout ?? "10 seconds")
  if (!Duration.isPositive(timeout))
    throw new RangeError(`timeout must be longer than 0, got ${Duration.format(timeout)}`)
  const maxWaiting = StreamBuffer.checkMaxSize("maxWaiting", options.maxWaiting ?? 1024 * 1024)

  const check = (asked: Window): Effect.Effect<Verdict, E | GuardrailError, R> => {
    const checked: Effect.Effect<Verdict, E | GuardrailError, R> = Effect.timeoutOrElse(
      Effect.suspend(() => options.check(asked)),
      {
        duration: timeout,
        orElse: () => Effect.fail(StreamError.make({ _tag: "Timeout", phase: "guardrail", duration: timeout }))
      }
    )
    return onCheckFailure === "fail" ? checked : Effect.orElseSucceed(checked, () => allow)
  }

  return <E0, R0>(self: Stream.Stream<StreamEvent.StreamEvent, E0, R0>) =>
    Stream.transformPull(self, (upstream, scope) =>
      Effect.sync(() => new Queue<E | GuardrailError>({ window, overlap, concurrency, mode, maxWaiting })).pipe(
        Effect.flatMap((queue) => {
          type Out = Pull.Pull<Events, E0 | E | GuardrailError, void, R>
          /** Open while there is something new to look at, and while the source may be pulled. */
          const news = Latch.makeUnsafe(false)
          const room = Latch.makeUnsafe(true)
          let end: Pull.Pull<never, E0 | GuardrailError, void> | undefined

          const endWith = (last: Pull.Pull<never, E0 | GuardrailError, void>) => {
            queue.endText()
            end = last
            news.openUnsafe()
            return Effect.void
          }
          const read: Effect.Effect<void> = Effect.flatMap(room.await, () =>
            Pull.matchEffect(upstream, {
              onSuccess: (events) => {
                const overflow = queue.arrive(events)
                if (overflow !== undefined) return endWith(Effect.fail(overflow))
                if (queue.isFull) room.closeUnsafe()
                news.openUnsafe()
                return read
              },
              onFailure: (cause) => endWith(Effect.failCause(cause)),
              onDone: () => endWith(Cause.done())
            })
          )

          /** Begins the checks whose turn it is. */
          const begin = Effect.suspend(() =>
            Effect.forEach(
              queue.startable(),
              (asked) =>
                Effect.map(Effect.forkIn(check(asked.window), scope, { startImmediately: true }), (fiber) => {
                  asked.fiber = fiber
                  fiber.addObserver(() => news.openUnsafe())
                }),
              { discard: true }
            )
          )

          const pull: Out = Effect.flatMap(begin, (): Out => {
            news.closeUnsafe()
            const out: Array<StreamEvent.StreamEvent> = []
            const failure = queue.take(out)
            if (!queue.isFull) room.openUnsafe()
            if (failure !== undefined) next = Effect.failCause(failure)
            if (Arr.isArrayNonEmpty(out)) return Effect.succeed(out)
            if (failure !== undefined) return next
            if (queue.isEmpty && end !== undefined) return end
            return queue.hasStartable ? pull : Effect.andThen(news.await, pull)
          })
          let next = pull
          return Effect.as(
            Effect.forkIn(read, scope, { startImmediately: true }),
            Effect.suspend(() => next)
          )
        })
      )
    )
}

// -----------------------------------------------------------------------------
// windows
// -----------------------------------------------------------------------------

/** A window that is checked, or waits to be. */
interface Check<E> {
  window: Window
  /** Where the window ends, in its text. */
  readonly end: number
  fiber: Fiber.Fiber<Verdict, E> | undefined
}

/** An event in its place behind text. */
interface Passing {
  readonly _tag: "Passing"
  readonly event: StreamEvent.StreamEvent
}

/** One run of the answer. */
class Text<E> {
  readonly _tag = "Text"
  readonly held: HeldText
  /** How much of the answer is before it. */
  readonly base: number
  /** The last event of it. */
  event: StreamEvent.Delta
  isEnded = false
  /** The windows that are checked, or will be next: no more than run at once. */
  readonly checks: Array<Check<E>> = []
  length = 0
  /** What is not cut into windows, and the overlap before it; and where that begins. */
  private tail = ""
  private tailStart = 0
  /** Where the next window's new text begins. */
  private next = 0

  constructor(held: HeldText, base: number, event: StreamEvent.Delta) {
    this.held = held
    this.base = base
    this.event = event
  }

  push(event: StreamEvent.Delta): void {
    this.event = event
    this.tail += event.delta
    this.length += event.delta.length
  }

  get isCut(): boolean {
    return this.isEnded && this.next === this.length
  }

  /**
   * Where the next window ends, if that is known. A window in the middle is cut when something is known to follow, so that the
   * last one is known to be the last.
   */
  nextEnd(window: number): number | undefined {
    let end = this.next + window
    if (isHighSurrogate(this.tail, end - 1 - this.tailStart)) end++
    if (this.length > end) return end
    return this.isEnded && this.next < this.length ? this.length : undefined
  }

  cut(end: number, overlap: number): void {
    const { base, next, tail, tailStart } = this
    const isLast = this.isEnded && end === this.length
    const text = tail.slice(0, end - tailStart)
    this.checks.push({
      window: { text, overlap: next - tailStart, offset: base + next, isLast },
      end,
      fiber: undefined
    })
    this.next = end
    let start = Math.max(tailStart, end - overlap)
    if (isHighSurrogate(tail, start - 1 - tailStart)) start--
    this.tail = tail.slice(start - tailStart)
    this.tailStart = start
  }

  /** Where the window behind the first one begins, its overlap included. */
  nextStart(end: number): number {
    const [next] = this.checks
    return next === undefined ? this.tailStart : end - next.window.overlap
  }

  /** What was replaced is no longer what the next window begins with: one that was looked at with it is looked at again. */
  forget(end: number): void {
    const [next] = this.checks
    if (next === undefined) {
      this.tail = this.tail.slice(end - this.tailStart)
      this.tailStart = end
      return
    }
    const { overlap, text } = next.window
    next.window = { ...next.window, text: text.slice(overlap), overlap: 0 }
    next.fiber?.interruptUnsafe()
    next.fiber = undefined
  }
}

interface QueueOptions {
  readonly window: number
  readonly overlap: number
  readonly concurrency: number
  readonly mode: "hold" | "optimistic"
  readonly maxWaiting: number
}

/** What has arrived and did not leave, in the order in which it will. */
class Queue<E> {
  private steps: Array<Text<E> | Passing> = []
  private head = 0
  /** Events that wait for nothing. */
  private passing: Array<StreamEvent.StreamEvent> = []
  private readonly options: QueueOptions
  private readonly isHolding: boolean
  private text: Text<E> | undefined
  /** Of the answer: what arrived, and what was decided. */
  private length = 0
  private decided = 0

  constructor(options: QueueOptions) {
    this.options = options
    this.isHolding = options.mode === "hold"
  }

  get isEmpty(): boolean {
    return this.head === this.steps.length
  }

  /** Whether enough has been read ahead. */
  get isFull(): boolean {
    const { concurrency, window } = this.options
    return this.length - this.decided > window * (concurrency + 1) || this.steps.length - this.head > maxSteps
  }

  arrive(events: Events): StreamError.StreamErrorOf<"BufferOverflow"> | undefined {
    for (const event of events) {
      if (event._tag === "Delta") {
        this.push(event)
      } else if (event._tag === "Progress") {
        this.passing.push(event)
      } else if (event._tag === "Metadata" && this.isHolding && this.text?.held.isEmpty === false) {
        const overflow = this.text.held.wait(event)
        if (overflow !== undefined) return overflow
      } else {
        if (event._tag !== "Metadata") this.endText()
        if (this.isHolding || StreamEvent.isTerminal(event)) this.steps.push({ _tag: "Passing", event })
        else this.passing.push(event)
      }
    }
    return undefined
  }

  private push(event: StreamEvent.Delta): void {
    if (event.delta === "") return
    if (this.text === undefined) {
      this.text = new Text(new HeldText(this.options.maxWaiting), this.length, event)
      this.steps.push(this.text)
    }
    this.text.push(event)
    this.length += event.delta.length
    if (this.isHolding) this.text.held.push(event)
    else this.passing.push(event)
  }

  /** What follows is not of this text. */
  endText(): void {
    if (this.text !== undefined) this.text.isEnded = true
    this.text = undefined
  }

  private get current(): Text<E> | undefined {
    const step = this.steps[this.head]
    return step?._tag === "Text" ? step : undefined
  }

  /** The windows whose checks may begin. */
  startable(): ReadonlyArray<Check<E>> {
    const text = this.current
    if (text === undefined) return []
    const { concurrency, overlap, window } = this.options
    while (text.checks.length < concurrency) {
      const end = text.nextEnd(window)
      if (end === undefined) break
      text.cut(end, overlap)
    }
    return text.checks.filter(({ fiber }) => fiber === undefined)
  }

  get hasStartable(): boolean {
    return this.startable().length > 0
  }

  /** Takes what may leave. A failure is behind it. */
  take(out: Array<StreamEvent.StreamEvent>): Cause.Cause<E | StreamError.StreamErrorOf<"ContentBlocked">> | undefined {
    for (const event of this.passing.splice(0)) out.push(event)
    for (; this.head < this.steps.length; this.head++) {
      const step = this.steps[this.head]!
      if (step._tag === "Passing") {
        out.push(step.event)
        continue
      }
      const failure = this.takeText(step, out)
      if (failure !== undefined) return failure
      if (!step.isCut || step.checks.length > 0) break
    }
    if (this.head > 0) this.steps = this.steps.slice(this.head)
    this.head = 0
    return undefined
  }

  private takeText(
    text: Text<E>,
    out: Array<StreamEvent.StreamEvent>
  ): Cause.Cause<E | StreamError.StreamErrorOf<"ContentBlocked">> | undefined {
    for (let [check] = text.checks; check !== undefined; [check] = text.checks) {
      const exit = check.fiber?.pollUnsafe()
      if (exit === undefined) return undefined
      if (exit._tag === "Failure") return exit.cause
      const verdict = exit.value
      text.checks.shift()
      this.decided = text.base + check.end
      if (this.isHolding) release(text, check, verdict, out)
      else if (verdict._tag !== "allow") out.push(retract(text.event, check.window, verdict))
      if (verdict._tag === "block") {
        const { offset } = check.window
        return Cause.fail(StreamError.make({ _tag: "ContentBlocked", rule: verdict.rule, offset }))
      }
    }
    return undefined
  }
}

/** Events that are read ahead, where there is no text between. */
const maxSteps = 1024

/** Lets go of what a verdict says of a window. */
const release = <E>(
  text: Text<E>,
  { end, window }: Check<E>,
  verdict: Verdict,
  out: Array<StreamEvent.StreamEvent>
): void => {
  if (verdict._tag === "allow") {
    // What the next window shares stays for that.
    const until = window.isLast ? end : text.nextStart(end)
    text.held.take(until, (event, delta) => out.push(delta === event.delta ? event : { ...event, delta }), out)
  } else if (verdict._tag === "replace") {
    let first: StreamEvent.TextEvent = text.event
    let isFirst = true
    text.held.take(
      end,
      (event) => {
        if (isFirst) first = event
        isFirst = false
      },
      out
    )
    if (verdict.text !== "") out.push({ ...first, delta: verdict.text })
    text.forget(end)
  }
}

const isHighSurrogate = (text: string, at: number): boolean => (text.charCodeAt(at) & 0xfc00) === 0xd800

const retract = (
  { part, timestamp }: StreamEvent.Delta,
  window: Window,
  verdict: Exclude<Verdict, { readonly _tag: "allow" }>
): StreamEvent.Metadata =>
  StreamEvent.metadata(timestamp, "retract", {
    metadata: {
      part,
      offset: window.offset - window.overlap,
      length: window.text.length,
      replacement: verdict._tag === "replace" ? verdict.text : ""
    }
  })
