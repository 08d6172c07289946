/**
 * Evens the pace of text, so that bursts read like a flow.
 *
 * 1. Text is neither changed nor lost nor reordered: joined, the output is the input. A unit (a word, say) comes in one piece,
 *    however the source cut it, unless the rest of it is longer away than `maxLag`.
 * 2. Nothing comes later than `maxLag` behind its arrival, by the clock: a fast model is not slowed down any more than that.
 *    A source that is even already is not delayed at all, but for the word that is not whole.
 * 3. Before any other content, what is left of the text goes at once, as it does before a failure. An end waits for its text.
 * 4. Linear. The source is read ahead while text waits, at most `maxBacklog` of it.
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { TextUnits, type Unit } from "../internal/textUnits.ts"
import * as StreamBuffer from "../StreamBuffer.ts"
import * as StreamEvent from "../StreamEvent.ts"
import type * as StreamProcessor from "../StreamProcessor.ts"
import { Alarm } from "./Alarm.ts"
import { Waiter } from "./Waiter.ts"

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

/**
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** What comes in one piece. Words and sentences are those of `Intl.Segmenter`, also in languages without spaces. */
  readonly by: Unit
  /** By default 250 milliseconds, for lines and sentences 2 seconds. A duration of zero or less throws a `RangeError`. */
  readonly maxLag?: Duration.Input | undefined
  /** The pause between units: `"adaptive"` (by default), at the pace at which text arrives, or a duration. */
  readonly rate?: "adaptive" | Duration.Input | undefined
  /** For `Intl.Segmenter`; the runtime's own by default. */
  readonly locale?: string | undefined
  /** UTF-16 code units that wait at most before the source is left to wait. 64 Ki by default. */
  readonly maxBacklog?: number | undefined
}

// -----------------------------------------------------------------------------
// processor
// -----------------------------------------------------------------------------

type Events = Arr.NonEmptyReadonlyArray<StreamEvent.StreamEvent>

/**
 * A processor that evens the pace of text.
 *
 * **Details**
 *
 * The source is pulled by a fiber of its own, which ends with the stream. Metadata and Progress keep their place among the
 * text.
 *
 * **Example** (Words instead of bursts)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { Smoothing, StreamEvent } from "effect-llm-streaming"
 *
 * const text = Stream.make("Hel", "lo wor", "ld, and all").pipe(
 *   StreamEvent.fromText,
 *   Smoothing.make({ by: "word", maxLag: "20 millis" }),
 *   StreamEvent.text
 * )
 * await Effect.runPromise(Stream.runCollect(text)) // => ["Hello ", "world, ", "and ", "all"]
 * ```
 *
 * @category processors
 * @since 0.1.0
 */
export const make = (options: Options): StreamProcessor.StreamProcessor => {
  const { by, locale, rate = "adaptive" } = options
  const slow = by === "line" || by === "sentence"
  const maxLag = positiveMillis("maxLag", options.maxLag ?? (slow ? "2 seconds" : "250 millis"))
  const fixedGap = rate === "adaptive" ? undefined : positiveMillis("rate", rate)
  const maxBacklog = StreamBuffer.checkMaxSize("maxBacklog", options.maxBacklog ?? 64 * 1024)
  if (locale !== undefined) Intl.getCanonicalLocales(locale)

  // Not `Effect.gen` for each stream: V8 keeps what a generator function has ever seen until a full collection.
  const smooth = Effect.fnUntraced(function* <E, R>(upstream: Pull.Pull<Events, E, void, R>, scope: Scope.Scope) {
    const clock = yield* Clock.Clock
    const millis = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
    const backlog = new Backlog(new TextUnits(by, locale), maxLag, fixedGap)
    const consumer = new Waiter()
    /** Open while the source may be pulled. */
    const room = Latch.makeUnsafe(true)
    let end: Pull.Pull<never, E, void> | undefined

    const read: Effect.Effect<void, never, R> = Effect.flatMap(room.await, () =>
      Pull.matchEffect(upstream, {
        onSuccess: (events) => {
          backlog.arrive(events, millis())
          if (backlog.size > maxBacklog) room.closeUnsafe()
          consumer.wake()
          return read
        },
        onFailure: (cause) => {
          end = Effect.failCause(cause)
          backlog.hurry()
          consumer.wake()
          return Effect.void
        },
        onDone: () => {
          end = Cause.done()
          backlog.finish()
          consumer.wake()
          return Effect.void
        }
      })
    )
    yield* Effect.forkIn(read, scope, { startImmediately: true })

    let isWaiting = false
    const due = () => (isWaiting ? backlog.due(millis()) : Infinity)
    const alarm = new Alarm(scope, millis, due, () => consumer.wake())
    const take = (): Pull.Pull<Events, E, void> => {
      consumer.clear()
      const now = millis()
      const out = backlog.take(now)
      if (backlog.size <= maxBacklog) room.openUnsafe()
      isWaiting = !Arr.isArrayNonEmpty(out)
      if (Arr.isArrayNonEmpty(out)) return Effect.succeed(out)
      if (end !== undefined && backlog.due(now) === Infinity) return end
      return alarm.set(untilNews)
    }
    const untilNews = consumer.wait(take)
    return Effect.suspend(take)
  })
  return <E, R>(self: Stream.Stream<StreamEvent.StreamEvent, E, R>) => Stream.transformPull(self, smooth<E, R>)
}

const positiveMillis = (name: string, input: Duration.Input): number => {
  const duration = Duration.fromInputUnsafe(input)
  if (Duration.isPositive(duration)) return Duration.toMillis(duration)
  throw new RangeError(`${name} must be longer than 0, got ${Duration.format(duration)}`)
}

// -----------------------------------------------------------------------------
// backlog
// -----------------------------------------------------------------------------

/** An event on its way: a unit of text, or anything else. */
interface Entry {
  readonly event: StreamEvent.StreamEvent
  /** When it has to be gone. */
  readonly deadline: number
}

/** Milliseconds. */
const timerLateness = 20

/** Text goes a little faster than it comes, lest what was once late is late for ever. */
const catchUp = 0.85

/** What has arrived and waits for its time. Times are milliseconds. */
class Backlog {
  /** UTF-16 code units that wait. */
  size = 0
  private readonly units: TextUnits
  private readonly maxLag: number
  private readonly fixedGap: number | undefined
  private queue: Array<Entry> = []
  private head = 0
  /** The text that is not a whole unit yet: the event that brought its last piece, and when it has to be gone. */
  private partial: Entry | undefined
  private lastTaken = -Infinity
  private lastArrival: number | undefined
  /** The mean time between units, as they arrive. */
  private gap: number

  constructor(units: TextUnits, maxLag: number, fixedGap: number | undefined) {
    this.units = units
    this.maxLag = maxLag
    this.fixedGap = fixedGap
    this.gap = maxLag / 10
  }

  arrive(events: Events, now: number): void {
    const before = this.queue.length
    for (const event of events) {
      if (StreamEvent.isText(event)) this.text(event, now)
      else {
        if (event._tag !== "Progress") this.finish()
        this.queue.push({ event, deadline: now + this.maxLag })
        if (event._tag !== "Metadata" && event._tag !== "Progress" && event._tag !== "End") this.hurry()
      }
    }
    const count = this.queue.length - before
    if (count === 0) return
    // Half of it is of the last few deliveries: quick to follow, slow to be fooled.
    if (this.lastArrival !== undefined) this.gap += 0.3 * ((now - this.lastArrival) / count - this.gap)
    this.lastArrival = now
  }

  private text(event: StreamEvent.TextEvent, now: number): void {
    if (event.delta === "") return
    const partial = this.partial?.event
    if (partial !== undefined && (partial._tag !== event._tag || partOf(partial) !== event.part)) this.finish()
    const units: Array<string> = []
    const deadline = this.partial?.deadline ?? now + this.maxLag
    this.units.push(event.delta, units)
    this.size += event.delta.length
    units.forEach((delta, i) =>
      this.queue.push({ event: { ...event, delta }, deadline: i === 0 ? deadline : now + this.maxLag })
    )
    this.partial =
      this.units.kept === "" ? undefined : { event, deadline: units.length === 0 ? deadline : now + this.maxLag }
  }

  /** What is not a whole unit will not become one. */
  finish(): void {
    const { partial } = this
    if (partial === undefined) return
    this.partial = undefined
    this.queue.push({ ...partial, event: { ...(partial.event as StreamEvent.TextEvent), delta: this.units.end() } })
  }

  /** All that waits goes at once. */
  hurry(): void {
    this.finish()
    this.queue = this.queue.slice(this.head).map(({ event }) => ({ event, deadline: -Infinity }))
    this.head = 0
  }

  /** When there is something to take, or `Infinity`. */
  due(now: number): number {
    const first = this.queue[this.head]
    if (first === undefined) return this.partial?.deadline ?? Infinity
    if (!StreamEvent.isText(first.event)) return now
    // The time that is left is shared by all that waits, so that the last one is in time too.
    const count = this.queue.length - this.head
    const share = (this.queue.at(-1)!.deadline - now) / count
    return Math.min(first.deadline, this.lastTaken + Math.min(this.fixedGap ?? catchUp * this.gap, share))
  }

  /** Takes what is due. */
  take(now: number): Array<StreamEvent.StreamEvent> {
    const out: Array<StreamEvent.StreamEvent> = []
    if (this.partial !== undefined && this.partial.deadline <= now) this.finish()
    while (this.head < this.queue.length) {
      const due = this.due(now)
      if (due > now) break
      const { event } = this.queue[this.head++]!
      if (StreamEvent.isText(event)) {
        this.size -= event.delta.length
        // A timer is late by a little, and the pace goes on from when it should have been; not so when nothing was there.
        this.lastTaken = now - due < timerLateness ? due : now
      }
      out.push(event)
    }
    if (this.head === this.queue.length) {
      this.queue = []
      this.head = 0
    }
    return out
  }
}

const partOf = (event: StreamEvent.StreamEvent): string | undefined =>
  StreamEvent.isText(event) ? event.part : undefined
