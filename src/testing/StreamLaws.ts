/**
 * The laws of streaming, as functions that a property test calls on any processor or decoder, your own included.
 *
 * 1. {@link chunkIndependence}: how the input was split changes neither the output nor the failure.
 * 2. {@link emitThenFail}: what had arrived before a failure is delivered before it.
 * 3. {@link oneTerminal}: one `End`, one `Error` event or one failure; nothing behind it, and no pull after the end.
 * 4. {@link interruption}: it reaches the source, and releases it once, however the reader leaves.
 * 5. {@link order}: what was behind stays behind; only `Progress` may pass.
 * 6. {@link oracle} and {@link textOracle}: the output is that of a naive reference on the whole input.
 *
 * Each succeeds with `true` or fails with a {@link LawViolation} that says what was expected and carries the
 * {@link Input} that shows it, to be kept as a test of its own. `StreamArbitrary` generates inputs; with `@effect/vitest`:
 * `it.effect.prop("laws", { input: StreamArbitrary.events() }, ({ input }) => StreamLaws.all(processor, input))`.
 *
 * The laws never sleep. What sleeps itself (a pacer, a debounce) needs a clock that moves while a law runs: the live one,
 * or `Effect.raceFirst(law, Effect.forever(TestClock.adjust("1 second")))`.
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import * as StreamError from "../StreamError.ts"
import * as StreamEvent from "../StreamEvent.ts"
import * as StreamTest from "./StreamTest.ts"

// -----------------------------------------------------------------------------
// model
// -----------------------------------------------------------------------------

/**
 * What can be split: a text, bytes, or events whose text can be.
 *
 * @category models
 * @since 0.1.0
 */
export type Item = string | Uint8Array | StreamEvent.StreamEvent

/**
 * What a source gives, and how it is cut up.
 *
 * **Details**
 *
 * - `items`: a decoder's whole text or bytes as one item, or a processor's events.
 * - `failure`: what the source fails with behind its items; without one it ends.
 * - `sizes`: neighbouring text is joined and then cut into pieces of these sizes, as by `StreamTest.split`; without them
 *   the items stay as they are. Surrogate pairs and UTF-8 sequences are cut like anything else.
 * - `groups`: how many pieces come in one pull, used over and over; `[1]` by default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Input<out I> {
  readonly items: ReadonlyArray<I>
  readonly failure?: StreamError.StreamError | undefined
  readonly sizes?: ReadonlyArray<number> | undefined
  readonly groups?: ReadonlyArray<number> | undefined
}

/**
 * A function from stream to stream: a `StreamProcessor`, a decoder, or several of them in a row.
 *
 * @category models
 * @since 0.1.0
 */
export interface Transform<in I, out O, out E, out R> {
  (self: Stream.Stream<I, StreamError.StreamError>): Stream.Stream<O, E, R>
}

/**
 * What a reference gets: the whole text, all the bytes, or the events with neighbouring text joined.
 *
 * @category models
 * @since 0.1.0
 */
export type Whole<I> = [I] extends [string] ? string : [I] extends [Uint8Array] ? Uint8Array : ReadonlyArray<I>

/**
 * The name of a law, which is the name of its function.
 *
 * @category models
 * @since 0.1.0
 */
export type Law = "chunkIndependence" | "emitThenFail" | "oneTerminal" | "interruption" | "order" | "oracle"

/**
 * A law is broken. `message` shows the first difference; the fields have everything.
 *
 * **Details**
 *
 * `expected` and `actual` describe what came out, one line for each event and one for the end. `input` breaks the law
 * again when it is given to it, so it can be kept as a regression test.
 *
 * @category errors
 * @since 0.1.0
 */
export class LawViolation extends Data.TaggedError("LawViolation")<{
  readonly law: Law
  readonly message: string
  readonly expected: ReadonlyArray<string>
  readonly actual: ReadonlyArray<string>
  readonly input: Input<unknown>
}> {}

// -----------------------------------------------------------------------------
// normal form
// -----------------------------------------------------------------------------

/**
 * The normal form of a list of events, in which the chunking is gone: neighbouring text events of one tag and part are
 * one, as are neighbouring fragments of one tool call; empty text is dropped, timestamps are 0, and `End` is without
 * `stats`, which count deliveries.
 *
 * **Example** (Two lists that say the same)
 *
 * ```ts
 * import { StreamEvent } from "effect-llm-streaming"
 * import * as StreamLaws from "effect-llm-streaming/testing/StreamLaws"
 *
 * const a = StreamLaws.join([StreamEvent.delta(1, "Hel"), StreamEvent.delta(2, "lo"), StreamEvent.end(2)])
 * const b = StreamLaws.join([StreamEvent.delta(7, "Hello"), StreamEvent.delta(8, ""), StreamEvent.end(9)])
 * a.map((event) => event._tag) // => ["Delta", "End"]
 * JSON.stringify(a) === JSON.stringify(b) // => true
 * ```
 *
 * @category normal form
 * @since 0.1.0
 */
export const join = (events: ReadonlyArray<StreamEvent.StreamEvent>): Array<StreamEvent.StreamEvent> =>
  joinEvents(events) as Array<StreamEvent.StreamEvent>

type Fragment = StreamEvent.TextEvent | StreamEvent.ToolCallDelta

/** As {@link join}; values that are no events stay as they are. */
const joinEvents = (values: ReadonlyArray<unknown>): Array<unknown> => {
  const out: Array<unknown> = []
  let last: { delta: string } | undefined
  let channel: string | undefined
  for (const value of values) {
    if (!isEvent(value)) {
      out.push(value)
      channel = undefined
    } else if (isFragment(value)) {
      if (value.delta === "" && value._tag !== "ToolCallDelta") continue
      const own = channelOf(value)
      if (last !== undefined && own === channel) {
        last.delta += value.delta
      } else {
        const copy = { ...value, timestamp: 0 }
        out.push(copy)
        last = copy
        channel = own
      }
    } else {
      out.push(value._tag === "End" ? { ...value, timestamp: 0, stats: undefined } : { ...value, timestamp: 0 })
      channel = undefined
    }
  }
  return out
}

/** What a reference sees of an input: nothing of its chunks. */
const joinItems = <I>(items: ReadonlyArray<I>): ReadonlyArray<unknown> => {
  if (items.length > 0 && items.every((item) => typeof item === "string")) return [items.join("")]
  if (items.length > 0 && items.every((item) => item instanceof Uint8Array)) return [concatBytes(items)]
  return joinEvents(items)
}

const concatBytes = (all: ReadonlyArray<Uint8Array>): Uint8Array => {
  const out = new Uint8Array(all.reduce((size, bytes) => size + bytes.length, 0))
  let offset = 0
  for (const bytes of all) {
    out.set(bytes, offset)
    offset += bytes.length
  }
  return out
}

// A value of your own with these two fields is treated as an event of a tag unknown here, which does no harm.
const isEvent = (u: unknown): u is StreamEvent.StreamEvent =>
  Predicate.hasProperty(u, "_tag") && Predicate.hasProperty(u, "timestamp")

const isFragment = (event: StreamEvent.StreamEvent): event is Fragment =>
  StreamEvent.isText(event) || event._tag === "ToolCallDelta"

const isProgress = (u: unknown): u is StreamEvent.Progress => isEvent(u) && u._tag === "Progress"

const isTerminal = (u: unknown): boolean => isEvent(u) && StreamEvent.isTerminal(u)

/** What an event is a piece of; for one that comes whole, what it says. */
const channelOf = (event: StreamEvent.StreamEvent): string => {
  if (event._tag === "ToolCallDelta") return `ToolCallDelta(${event.id}, ${event.name})`
  if (StreamEvent.isText(event)) return event.part === undefined ? event._tag : `${event._tag}(${event.part})`
  // The handler fills in `content`; it is the same End.
  return event._tag === "End" ? `End ${event.finishReason}` : print(event)
}

// -----------------------------------------------------------------------------
// what came out, in lines
// -----------------------------------------------------------------------------

/** One line for a value; equal lines are equal values, up to timestamps, stacks and fields that are `undefined`. */
const print = (value: unknown, ancestors: ReadonlyArray<unknown> = []): string => {
  if (typeof value === "string") return JSON.stringify(value)
  if (typeof value === "bigint") return `${value}n`
  if (typeof value !== "object" || value === null) return String(value)
  if (ancestors.includes(value)) return "(circular)"
  const path = [...ancestors, value]
  if (value instanceof Uint8Array) return `bytes(${Array.from(value).join(" ")})`
  if (Array.isArray(value)) return `[${value.map((item) => print(item, path)).join(", ")}]`
  if (isEvent(value)) {
    if (isFragment(value)) return `${channelOf(value)} ${JSON.stringify(value.delta)}`
    const { _tag, timestamp: _, ...rest } = value
    return `${_tag} ${printFields(rest, path)}`
  }
  if (value instanceof Error) {
    const { stack: _, ...fields } = value
    return `${value.name} ${printFields({ ...fields, message: value.message || undefined, cause: value.cause }, path)}`
  }
  if (value instanceof Map || value instanceof Set) return print(Array.from<unknown>(value), path)
  return value instanceof Date ? String(value) : printFields(value, path)
}

const printFields = (value: object, path: ReadonlyArray<unknown>): string => {
  const fields = Object.entries(value)
    .filter(([, field]) => field !== undefined)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, field]) => `${key}: ${print(field, path)}`)
  return fields.length === 0 ? "{}" : `{ ${fields.join(", ")} }`
}

/** The events without Progress, which may move; the signs of life by themselves; the end. */
const describe = (values: ReadonlyArray<unknown>, failure: Option.Option<unknown>): Array<string> => {
  const lines = body(values)
  const progress = values.filter(isProgress)
  if (progress.length > 0) lines.push(`Progress, wherever: ${progress.map(({ kind }) => print(kind)).join(", ")}`)
  lines.push(Option.isSome(failure) ? `fails with ${print(failure.value)}` : "ends")
  return lines
}

const body = (values: ReadonlyArray<unknown>): Array<string> =>
  joinEvents(values.filter((value) => !isProgress(value))).map((value) => print(value))

type Lines = ReadonlyArray<string>

const violation = (law: Law, input: Input<unknown>, what: string, expected: Lines, actual: Lines) => {
  const at = expected.findIndex((line, i) => line !== actual[i])
  const first = at === -1 ? expected.length : at
  const message = [
    `${law}: ${what}`,
    `  input:    ${printInput(input)}`,
    `  expected: ${excerpt(expected, actual, first)}`,
    `  actual:   ${excerpt(actual, expected, first)}`
  ].join("\n")
  return Effect.fail(new LawViolation({ law, message, expected, actual, input }))
}

const printInput = (input: Input<unknown>): string => {
  const pulls = pullsOf(input)
    .slice(0, 50)
    .map((pull) => `[${pull.map((item) => print(item)).join(", ")}]`)
  return `${abridge(pulls.join(" "), 0)}${input.failure === undefined ? "" : `, then fails with ${print(input.failure)}`}`
}

/** The line before the first difference, that line, and the three behind it. */
const excerpt = (lines: ReadonlyArray<string>, others: ReadonlyArray<string>, at: number): string => {
  const shown = lines.slice(Math.max(0, at - 1), at + 4).map((line, i) => {
    const other = others[Math.max(0, at - 1) + i] ?? ""
    let same = 0
    while (same < line.length && line[same] === other[same]) same++
    return abridge(line, same)
  })
  if (at > 1) shown.unshift(`(${at - 1} the same)`)
  if (lines.length > at + 4) shown.push(`(${lines.length - at - 4} more)`)
  return shown.length === 0 ? "(nothing)" : shown.join("\n            ")
}

/** At most some 400 characters of a line, around a position. */
const abridge = (line: string, around: number): string => {
  const from = Math.max(0, Math.min(around - 200, line.length - 400))
  const cut = line.slice(from, from + 400)
  return `${from > 0 ? "…" : ""}${cut}${from + 400 < line.length ? "…" : ""}`
}

// -----------------------------------------------------------------------------
// running
// -----------------------------------------------------------------------------

const piecesOf = <I>(input: Input<I>): ReadonlyArray<I> => {
  const sizes = input.sizes
  if (sizes === undefined) return input.items
  // What is cut out of an item is an item of the same kind, which the types cannot say.
  return joinItems(input.items).flatMap((item) => cut(item, sizes) as ReadonlyArray<I>)
}

const cut = (item: unknown, sizes: ReadonlyArray<number>): ReadonlyArray<unknown> => {
  if (typeof item === "string") return StreamTest.split(item, sizes)
  if (item instanceof Uint8Array) return StreamTest.split(item, sizes)
  if (!isEvent(item) || !isFragment(item) || item.delta === "") return [item]
  return StreamTest.split(item.delta, sizes).map((delta) => ({ ...item, delta }))
}

const pullsOf = <I>(input: Input<I>): ReadonlyArray<Arr.NonEmptyReadonlyArray<I>> =>
  group(piecesOf(input), input.groups)

const group = <I>(pieces: ReadonlyArray<I>, groups: ReadonlyArray<number> = [1]) => {
  if (groups.length === 0 || groups.some((size) => !(size >= 1) || (size !== Infinity && !Number.isInteger(size)))) {
    throw new RangeError(`groups must be whole numbers of at least 1, got [${groups.join(", ")}]`)
  }
  const pulls: Array<Arr.NonEmptyReadonlyArray<I>> = []
  for (let i = 0, from = 0; from < pieces.length; i++) {
    const to = from + groups[i % groups.length]!
    const pull = pieces.slice(from, to)
    if (Arr.isReadonlyArrayNonEmpty(pull)) pulls.push(pull)
    from = to
  }
  return pulls
}

type End = Pull.Pull<never, StreamError.StreamError>

const source = <I>(pulls: ReadonlyArray<Arr.NonEmptyReadonlyArray<I>>, end: End) =>
  Stream.fromPull(
    Effect.sync(() => {
      let index = 0
      const next = (): Pull.Pull<Arr.NonEmptyReadonlyArray<I>, StreamError.StreamError> =>
        index < pulls.length ? Effect.succeed(pulls[index++]!) : end
      // A real source takes its time. Here it is a turn of the scheduler, in which a second pull would be seen.
      return Effect.flatMap(Effect.yieldNow, next)
    })
  )

interface Observed {
  readonly values: ReadonlyArray<unknown>
  readonly failure: Option.Option<unknown>
  /** Whether the source got as far as to fail. */
  readonly raised: boolean
  readonly report: StreamTest.ProbeReport
}

/** Runs to the end. A defect is no matter of these laws and goes through. */
const observe = <I, O, E, R>(transform: Transform<I, O, E, R>, input: Input<I>): Effect.Effect<Observed, never, R> =>
  Effect.gen(function* () {
    let raised = false
    const fail = Effect.suspend(() => {
      raised = true
      return Effect.fail(input.failure!)
    })
    const probe = yield* StreamTest.probe(source(pullsOf(input), input.failure === undefined ? Cause.done() : fail))
    const values: Array<unknown> = []
    const collected = Stream.runForEach(transform(probe.stream), (value) => Effect.sync(() => values.push(value)))
    const failure = yield* failureOf(collected)
    return { values, failure, raised, report: yield* probe.report }
  })

const failureOf = <R>(self: Effect.Effect<unknown, unknown, R>): Effect.Effect<Option.Option<unknown>, never, R> =>
  Effect.match(self, { onFailure: Option.some, onSuccess: () => Option.none() })

// What is tried at each place of an input is tried at this many places, so that a law stays linear in its input.
const MOST = 8

/** 0 to `n`, or as many of them as are tried, spread evenly. */
const upTo = (n: number): ReadonlyArray<number> =>
  Array.from({ length: Math.min(n + 1, MOST) }, (_, i) => (n < MOST ? i : Math.round((i * n) / (MOST - 1))))

const broken = StreamError.make({ _tag: "SourceFailure", cause: "the source failed, by StreamLaws" })

// -----------------------------------------------------------------------------
// laws
// -----------------------------------------------------------------------------

/**
 * How the input was split changes neither the events nor the failure.
 *
 * **Details**
 *
 * Compares what comes out of the whole input, in one piece and one event per pull, with what comes out of the input as its
 * `sizes` and `groups` cut it. An input without either is cut in several ways: as it stands, every unit by itself, in
 * pieces of different sizes, some of them empty, and all of it in one pull. Events are compared in the normal form of
 * {@link join}; Progress may move.
 *
 * **Example** (A filter that looks at each delta by itself)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { StreamEvent, StreamProcessor } from "effect-llm-streaming"
 * import * as StreamLaws from "effect-llm-streaming/testing/StreamLaws"
 *
 * const perDelta = StreamProcessor.filterMap((event) =>
 *   event._tag === "Delta" ? { ...event, delta: event.delta.replace("secret", "***") } : event
 * )
 * const law = StreamLaws.chunkIndependence(perDelta, { items: [StreamEvent.delta(0, "my secret")], sizes: [4] })
 * const violation = Effect.runSync(Effect.flip(law))
 * violation.expected // => ['Delta "my ***"', "ends"]
 * violation.actual // => ['Delta "my secret"', "ends"]
 * ```
 *
 * @category laws
 * @since 0.1.0
 */
export const chunkIndependence = <I extends Item, O, E, R>(
  transform: Transform<I, O, E, R>,
  input: Input<I>
): Effect.Effect<true, LawViolation, R> =>
  Effect.gen(function* () {
    const whole = yield* observe(transform, { ...input, sizes: [Infinity], groups: [1] })
    const expected = describe(whole.values, whole.failure)
    const given = input.sizes !== undefined || input.groups !== undefined
    for (const way of given ? [input] : ways) {
      const split: Input<I> = { items: input.items, failure: input.failure, sizes: way.sizes, groups: way.groups }
      const seen = yield* observe(transform, split)
      const actual = describe(seen.values, seen.failure)
      if (!same(expected, actual)) {
        const what = "the input is split, and the result differs"
        return yield* violation("chunkIndependence", split, what, expected, actual)
      }
    }
    return true as const
  })

const ways: ReadonlyArray<Omit<Input<never>, "items">> = [
  {},
  { sizes: [1], groups: [1] },
  { sizes: [2, 0, 3], groups: [2, 1] },
  { sizes: [1], groups: [Infinity] },
  { sizes: [Infinity], groups: [Infinity] }
]

const same = (a: ReadonlyArray<string>, b: ReadonlyArray<string>): boolean =>
  a.length === b.length && a.every((line, i) => line === b[i])

/**
 * What had arrived before a failure is delivered before it, text that was held back included.
 *
 * **Details**
 *
 * Lets the source fail behind each piece of the input (eight of them, when there are more) and compares with a source that
 * gave the same and then ended: by an `End` event and by just stopping for events, by stopping for text and bytes. All
 * text and every event of the input that came out then must come out before the failure too, in the same order; what is
 * only made at the end (a summary, a tool call assembled there) may be missing. The failure must not become a normal end;
 * an `Error` event in its place is one. What ends before its source does (a decoder at its protocol's last frame, a
 * `takeUntil`) never asks for the failure, so there is nothing to compare.
 *
 * Bytes are not cut inside of a UTF-8 sequence here, since the two ends may rightly differ on half a character.
 *
 * @category laws
 * @since 0.1.0
 */
export const emitThenFail = <I extends Item, O, E, R>(
  transform: Transform<I, O, E, R>,
  input: Input<I>
): Effect.Effect<true, LawViolation, R> =>
  Effect.gen(function* () {
    const pieces = piecesOf(input).filter((item) => !isTerminal(item))
    const endings = pieces.some(isEvent) ? [StreamEvent.end(0, "stop"), undefined] : [undefined]
    const arrived = new Set(pieces.filter((item) => isEvent(item) && !isFragment(item)).map((item) => print(item)))
    const mayBeMissing = (value: unknown): boolean =>
      !isEvent(value) || (!isFragment(value) && !arrived.has(print(value)))

    for (const n of upTo(pieces.length)) {
      if (cutsCharacter(pieces, n)) continue
      const cut: Input<I> = { items: pieces.slice(0, n), groups: input.groups }
      const failing: Input<I> = { ...cut, failure: input.failure ?? broken }
      const seen = yield* observe(transform, failing)
      if (!seen.raised) continue
      const actual = body(seen.values)
      const actualEnd = describe([], seen.failure)
      const isShown = isErrorEvent(seen.values.at(-1))
      if (Option.isNone(seen.failure) && !isShown) {
        const expected = [...actual, ...describe([], Option.some(failing.failure))]
        const what = "the source failed, and the stream ended as if it had not"
        return yield* violation("emitThenFail", failing, what, expected, [...actual, ...actualEnd])
      }
      // An Error event in place of the failure is none of what had arrived.
      const before = isShown ? actual.slice(0, -1) : actual
      for (const ending of endings) {
        // Where there is an ending to add, `I` is an event.
        const items = ending === undefined ? cut.items : [...cut.items, ending as I]
        const ended = yield* observe(transform, { ...cut, items })
        const values = joinEvents(ended.values.filter((value) => !isProgress(value)))
        if (isTerminal(values.at(-1))) values.pop()
        const expected = values.map((value) => print(value))
        const isPrefix = before.every((line, i) => line === expected[i])
        if (!isPrefix || !values.slice(before.length).every(mayBeMissing)) {
          const what = `what comes out before a failure is not what comes out before ${ending === undefined ? "a stop" : "an End"}`
          return yield* violation("emitThenFail", failing, what, [...expected, ...actualEnd], [...actual, ...actualEnd])
        }
      }
    }
    return true as const
  })

const cutsCharacter = (pieces: ReadonlyArray<unknown>, n: number): boolean => {
  const next = pieces.slice(n).find((piece) => !(piece instanceof Uint8Array) || piece.length > 0)
  return next instanceof Uint8Array && (next[0]! & 0xc0) === 0x80
}

const isErrorEvent = (u: unknown): boolean => isEvent(u) && u._tag === "Error"

/**
 * Exactly one `End`, one `Error` event or one failure, nothing behind it, and no pull of the source after its end or while
 * another pull is under way.
 *
 * **Details**
 *
 * The input is played as it is, and once more with a failure in place of its end. Events that just stop, without `End`,
 * `Error` or failure, may come out without a terminal too: telling that they were cut is the handler's work. A decoder of
 * text or bytes has to know.
 *
 * @category laws
 * @since 0.1.0
 */
export const oneTerminal = <I extends Item, E, R>(
  transform: Transform<I, StreamEvent.StreamEvent, E, R>,
  input: Input<I>
): Effect.Effect<true, LawViolation, R> =>
  Effect.gen(function* () {
    const items = piecesOf(input).filter((item) => !isTerminal(item))
    const failing: Input<I> = { items, groups: input.groups, failure: input.failure ?? broken }
    for (const play of [input, failing]) {
      const { failure, report, values } = yield* observe(transform, play)
      if (report.concurrentPulls + report.pullsAfterEnd > 0) {
        const expected = ["one pull at a time, until the source ends"]
        return yield* violation("oneTerminal", play, "the source was pulled wrongly", expected, report.violations)
      }
      const actual = describe(values, failure)
      const fail = (what: string) =>
        violation("oneTerminal", play, what, ["one End, Error or failure, and nothing behind"], actual)
      const ends = values.filter(isTerminal).length + (Option.isSome(failure) ? 1 : 0)
      const isCut = play.failure === undefined && play.items.every((item) => isEvent(item) && !isTerminal(item))
      if (ends > 1) return yield* fail("more than one end")
      if (ends === 0 && !isCut) return yield* fail("no end")
      if (ends === 1 && Option.isNone(failure) && !isTerminal(values.at(-1)))
        return yield* fail("an event behind the end")
    }
    return true as const
  })

/**
 * However the reader leaves, the source is told, and released exactly once: at the end, on a failure of the source or of
 * the reader, on `take`, when the scope closes, on interruption and on a timeout while the source stalls.
 *
 * **Details**
 *
 * A stall is tried behind each piece of the input (eight of them, when there are more). A reader that has not stopped 10,000
 * turns of the scheduler after it was interrupted counts as one that cannot be.
 *
 * @category laws
 * @since 0.1.0
 */
export const interruption = <I extends Item, O, E, R>(
  transform: Transform<I, O, E, R>,
  input: Input<I>
): Effect.Effect<true, LawViolation, R> =>
  Effect.gen(function* () {
    const pulls = pullsOf(input)
    const end: End = input.failure === undefined ? Cause.done() : Effect.fail(input.failure)
    const judge = (how: string, violations: ReadonlyArray<string>) =>
      violations.length === 0
        ? Effect.void
        : violation("interruption", input, how, ["opened once, released once"], violations)
    type Reader = (out: Stream.Stream<O, E, R>) => Effect.Effect<unknown, unknown, R>
    const leave = (how: string, end: End, reader: Reader) =>
      Effect.gen(function* () {
        const probe = yield* StreamTest.probe(source(pulls, end))
        yield* failureOf(reader(transform(probe.stream)))
        yield* judge(how, (yield* probe.report).violations)
      })

    let count = 0
    yield* leave("the end", end, (out) => Stream.runForEach(out, () => Effect.sync(() => count++)))
    yield* leave("a failure of the source", Effect.fail(input.failure ?? broken), Stream.runDrain)
    for (const n of upTo(count).slice(1)) {
      yield* leave(`take(${n})`, end, (out) => Stream.runDrain(Stream.take(out, n)))
      yield* leave(`a reader that fails at its value ${n}`, end, (out) => {
        let seen = 0
        return Stream.runForEach(out, () => Effect.suspend(() => (++seen === n ? Effect.fail("left") : Effect.void)))
      })
      yield* leave(`a scope that closes after ${n} pulls`, end, (out) =>
        Effect.scoped(Effect.flatMap(Stream.toPull(out), (pull) => Effect.replicateEffect(pull, n, { discard: true })))
      )
    }
    for (const n of upTo(pulls.length)) {
      yield* leaveStalled(transform, pulls.slice(0, n), "interruption", judge)
    }
    yield* leaveStalled(transform, pulls, "timeout", judge)
    return true as const
  })

const turns = 10_000

const leaveStalled = <I, O, E, R>(
  transform: Transform<I, O, E, R>,
  pulls: ReadonlyArray<Arr.NonEmptyReadonlyArray<I>>,
  way: "interruption" | "timeout",
  judge: (how: string, violations: ReadonlyArray<string>) => Effect.Effect<void, LawViolation>
): Effect.Effect<void, LawViolation, R> =>
  Effect.gen(function* () {
    const stalled = yield* Deferred.make<void>()
    const gate = yield* Deferred.make<void>()
    const stall = Deferred.succeed(stalled, undefined).pipe(
      Effect.andThen(Deferred.await(gate)),
      Effect.andThen(Cause.done())
    )
    const probe = yield* StreamTest.probe(source(pulls, stall))
    const run = Stream.runDrain(transform(probe.stream))
    // A timeout is a race with time. The law does not rule the clock, so the stall itself ends the race.
    const reader = way === "timeout" ? Effect.raceFirst(run, Deferred.await(stalled)) : run
    const fiber = yield* Effect.forkChild(reader)
    yield* Effect.raceFirst(Deferred.await(stalled), Fiber.await(fiber))
    const reached = yield* Deferred.isDone(stalled)
    if (way === "interruption") fiber.interruptUnsafe()
    const stopped = yield* settles(fiber)
    const { interruptedPulls, violations } = yield* probe.report
    // Lets go of what could not be interrupted, so that a broken law leaves nothing running.
    yield* Deferred.succeed(gate, undefined)
    yield* settles(fiber)
    const more: Array<string> = []
    if (!stopped) more.push(`still running ${turns} turns later`)
    if (reached && interruptedPulls === 0) more.push("the pull of the source was not interrupted")
    yield* judge(`${way} while the source stalls behind ${pulls.length} pulls`, [...violations, ...more])
  })

const settles = (fiber: Fiber.Fiber<unknown, unknown>): Effect.Effect<boolean> =>
  Effect.gen(function* () {
    for (let turn = 0; turn < turns; turn++) {
      if (fiber.pollUnsafe() !== undefined) return true
      yield* Effect.yieldNow
    }
    return false
  })

/**
 * What was behind stays behind: the events that go through a processor unchanged come out in the order in which they went
 * in, and so does text that it leaves as it was. Only Progress may pass.
 *
 * **Details**
 *
 * Text that the processor changed has no place to compare, so it is left out; text it did not change must be where it was
 * among the other events. Test filters with inputs that have nothing to filter too.
 *
 * @category laws
 * @since 0.1.0
 */
export const order = <E, R>(
  transform: Transform<StreamEvent.StreamEvent, StreamEvent.StreamEvent, E, R>,
  input: Input<StreamEvent.StreamEvent>
): Effect.Effect<true, LawViolation, R> =>
  Effect.gen(function* () {
    const seen = yield* observe(transform, input)
    const before = contents(input.items)
    const after = contents(seen.values.filter(isEvent))
    const restrict = (values: ReadonlyArray<unknown>): Array<string> =>
      joinEvents(
        values.filter(
          (value) =>
            isEvent(value) && !isProgress(value) && before.get(channelOf(value)) === after.get(channelOf(value))
        )
      ).map((value) => (isEvent(value) && !isFragment(value) ? channelOf(value) : print(value)))
    const expected = restrict(input.items)
    const actual = restrict(seen.values)
    if (same(expected, actual)) return true as const
    return yield* violation("order", input, "what came through unchanged is in another order", expected, actual)
  })

/** The whole text of each channel; for an event that comes whole, a mark for each time it came. */
const contents = (events: ReadonlyArray<StreamEvent.StreamEvent>): Map<string, string> => {
  const out = new Map<string, string>()
  for (const event of events) {
    const channel = channelOf(event)
    out.set(channel, (out.get(channel) ?? "") + (isFragment(event) ? event.delta : "|"))
  }
  return out
}

/**
 * The output is that of a reference that sees the whole input at once: the naive function that the streaming one stands
 * for.
 *
 * **Details**
 *
 * The reference gets the whole text, all the bytes, or the events in the normal form of {@link join}. A failure of the
 * source must come out behind what the reference gives for what had arrived.
 *
 * **Example** (A decoder of lines)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import * as StreamLaws from "effect-llm-streaming/testing/StreamLaws"
 *
 * const law = StreamLaws.oracle(Stream.splitLines, (text) => text.split("\n"), { items: ["one\ntwo"], sizes: [2] })
 * Effect.runSync(law) // => true
 * ```
 *
 * @category laws
 * @since 0.1.0
 */
export const oracle = <I extends Item, O, E, R>(
  transform: Transform<I, O, E, R>,
  reference: (whole: Whole<I>) => ReadonlyArray<NoInfer<O>>,
  input: Input<I>
): Effect.Effect<true, LawViolation, R> =>
  Effect.gen(function* () {
    const items = joinItems(input.items)
    const isWhole = items.length === 1 && !isEvent(items[0])
    const seen = yield* observe(transform, input)
    const expected = describe(reference((isWhole ? items[0] : items) as Whole<I>), expectedFailure(seen, input))
    const actual = describe(seen.values, seen.failure)
    if (same(expected, actual)) return true as const
    return yield* violation("oracle", input, "the reference says otherwise", expected, actual)
  })

/** A processor may say more about a failure of the source, not make it go away. */
const expectedFailure = (seen: Observed, input: Input<unknown>): Option.Option<unknown> =>
  !seen.raised ? Option.none() : Option.isSome(seen.failure) ? seen.failure : Option.some(input.failure)

/**
 * As {@link oracle}, for a processor that changes text: the reference gets the whole text of each tag and part.
 *
 * **Example** (Upper case)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { StreamEvent, StreamProcessor } from "effect-llm-streaming"
 * import * as StreamLaws from "effect-llm-streaming/testing/StreamLaws"
 *
 * const loud = StreamProcessor.filterMap((event) =>
 *   event._tag === "Delta" ? { ...event, delta: event.delta.toUpperCase() } : event
 * )
 * const reference = (text: string, tag: string) => (tag === "Delta" ? text.toUpperCase() : text)
 * const input = { items: [StreamEvent.reasoning(0, "hm"), StreamEvent.delta(0, "Hello")] }
 * Effect.runSync(StreamLaws.textOracle(loud, reference, input)) // => true
 * ```
 *
 * @category laws
 * @since 0.1.0
 */
export const textOracle = <E, R>(
  transform: Transform<StreamEvent.StreamEvent, StreamEvent.StreamEvent, E, R>,
  reference: (text: string, tag: StreamEvent.TextEvent["_tag"], part: string | undefined) => string,
  input: Input<StreamEvent.StreamEvent>
): Effect.Effect<true, LawViolation, R> =>
  Effect.gen(function* () {
    const seen = yield* observe(transform, input)
    const texts = byChannel(input.items).map((event) => ({
      ...event,
      delta: reference(event.delta, event._tag, event.part)
    }))
    const expected = describe(byChannel(texts), expectedFailure(seen, input))
    const actual = describe(byChannel(seen.values.filter(isEvent)), seen.failure)
    if (same(expected, actual)) return true as const
    return yield* violation("oracle", input, "the reference says otherwise", expected, actual)
  })

/** One event with the whole text for each tag and part that has any. */
const byChannel = (events: ReadonlyArray<StreamEvent.StreamEvent>): Array<StreamEvent.TextEvent> => {
  const out = new Map<string, StreamEvent.TextEvent>()
  for (const event of events) {
    if (!StreamEvent.isText(event) || event.delta === "") continue
    const channel = channelOf(event)
    out.set(channel, { ...event, delta: (out.get(channel)?.delta ?? "") + event.delta })
  }
  return Array.from(out.keys())
    .toSorted()
    .map((channel) => out.get(channel)!)
}

/**
 * All the laws that apply, one after the other; the oracles where a reference is given.
 *
 * **Example** (A property without a test runner)
 *
 * ```ts
 * import { Arbitrary, Effect } from "effect"
 * import { StreamProcessor } from "effect-llm-streaming"
 * import * as StreamArbitrary from "effect-llm-streaming/testing/StreamArbitrary"
 * import * as StreamLaws from "effect-llm-streaming/testing/StreamLaws"
 *
 * const property = Arbitrary.checkEffect(
 *   StreamArbitrary.events(),
 *   (input) => StreamLaws.all(StreamProcessor.passthrough, input, { textOracle: (text) => text }),
 *   { runs: 20 }
 * )
 * const result = await Effect.runPromise(property)
 * result._tag // => "Passed"
 * ```
 *
 * @category laws
 * @since 0.1.0
 */
export const all = <I extends Item, E, R>(
  transform: Transform<I, StreamEvent.StreamEvent, E, R>,
  input: Input<I>,
  options?: {
    /** See {@link oracle}. */
    readonly oracle?: ((whole: Whole<I>) => ReadonlyArray<StreamEvent.StreamEvent>) | undefined
    /** See {@link textOracle}; for processors. */
    readonly textOracle?:
      | ((text: string, tag: StreamEvent.TextEvent["_tag"], part: string | undefined) => string)
      | undefined
  }
): Effect.Effect<true, LawViolation, R> =>
  Effect.gen(function* () {
    yield* chunkIndependence(transform, input)
    yield* emitThenFail(transform, input)
    yield* oneTerminal(transform, input)
    yield* interruption(transform, input)
    if (options?.oracle !== undefined) yield* oracle(transform, options.oracle, input)
    if (input.items.every(isEvent)) {
      // Every item is an event, so `I` is.
      const processor = transform as Transform<Item, StreamEvent.StreamEvent, E, R>
      const events = input as Input<Item> as Input<StreamEvent.StreamEvent>
      yield* order(processor, events)
      if (options?.textOracle !== undefined) yield* textOracle(processor, options.textOracle, events)
    }
    return true as const
  })
