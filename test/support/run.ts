/** Running streams of events, and looking at what came. */
import { assert } from "@effect/vitest"
import { Array as Arr, Cause, Effect, Formatter, Schema, Stream } from "effect"
import { inspect } from "node:util"
import * as StreamError from "../../src/StreamError.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"

export interface Run<A, E> {
  readonly events: ReadonlyArray<A>
  readonly failure: E | undefined
}

/** All events, and the failure behind them. */
export const collect = <A, E, R>(
  stream: Stream.Stream<A, E, R>
): Effect.Effect<{ readonly events: ReadonlyArray<A>; readonly failure: E | undefined }, never, R> =>
  Effect.suspend(() => {
    const events: Array<A> = []
    return Effect.match(
      Stream.runForEachArray(stream, (chunk) =>
        Effect.sync(() => {
          for (const event of chunk) events.push(event)
        })
      ),
      {
        onFailure: (failure): { readonly events: ReadonlyArray<A>; readonly failure: E | undefined } => ({
          events,
          failure
        }),
        onSuccess: () => ({ events, failure: undefined })
      }
    )
  })

/** What came in each pull, and the failure behind them. */
export const pulls = <A, E, R>(stream: Stream.Stream<A, E, R>): Effect.Effect<ReadonlyArray<ReadonlyArray<A>>, E, R> =>
  Effect.suspend(() => {
    const out: Array<ReadonlyArray<A>> = []
    return Effect.as(
      Stream.runForEachArray(stream, (chunk) => Effect.sync(() => out.push(chunk))),
      out
    )
  })

/** An event in one line, without its time. */
export const show = (event: StreamEvent.StreamEvent): string => {
  const { _tag, timestamp: _, ...fields } = event
  if (StreamEvent.isText(event)) {
    return `${_tag}${event.part === undefined ? "" : `/${event.part}`} ${JSON.stringify(event.delta)}`
  }
  if (event._tag === "ToolCallDelta") return `${_tag} ${event.id} ${event.name} ${event.delta}`
  return `${_tag} ${JSON.stringify(fields)}`
}

export const textOf = (events: ReadonlyArray<StreamEvent.StreamEvent>, tag: StreamEvent.TextEvent["_tag"]): string =>
  events.map((event) => (event._tag === tag ? event.delta : "")).join("")

/** The Metadata event with what the provider said at the end. */
export const finishOf = (events: ReadonlyArray<StreamEvent.StreamEvent>): StreamEvent.Metadata | undefined =>
  events.filter(StreamEvent.is("Metadata")).findLast((event) => event.kind === "finish" || event.kind === "usage")

/** The reason of a failure, which must be the one given. */
export const reasonOf = <T extends StreamError.Reason["_tag"]>(
  failure: StreamError.StreamError | undefined,
  tag: T
): Extract<StreamError.Reason, { readonly _tag: T }> => {
  assert.strictEqual(failure?.reason._tag, tag, failure?.message)
  return failure!.reason as Extract<StreamError.Reason, { readonly _tag: T }>
}

/** Every way in which an error may end up in a log. */
export const printed = (error: StreamError.StreamError): string =>
  [
    String(error),
    error.stack,
    inspect(error, { depth: Infinity, showHidden: true }),
    inspect(error.reason, { depth: Infinity, showHidden: true }),
    Formatter.format(error),
    JSON.stringify(error),
    JSON.stringify(Schema.encodeSync(StreamError.StreamError)(error)),
    Cause.pretty(Cause.fail(error)),
    inspect(Cause.fail(error), { depth: Infinity })
  ].join("\n")

/** Numbers in [0, 1) that are the same in every run. */
export const random = (seed: number) => (): number => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296
}

/** Cut in pieces of random sizes, about as many as given. */
export const resplit = (bytes: Uint8Array, pieces: number, next: () => number): ReadonlyArray<Uint8Array> => {
  const cuts = Array.from({ length: pieces - 1 }, () => Math.floor(next() * (bytes.length + 1))).toSorted(
    (a, b) => a - b
  )
  return [0, ...cuts].map((from, i) => bytes.subarray(from, cuts[i]))
}

/** A stream of exactly these pulls, and the failure behind them. */
export const fromPulls = <A, E = never>(pulls: ReadonlyArray<ReadonlyArray<A>>, failure?: E): Stream.Stream<A, E> => {
  const stream = Stream.flattenArray(Stream.fromIterable(pulls.filter(Arr.isReadonlyArrayNonEmpty)))
  return failure === undefined ? stream : Stream.concat(stream, Stream.fail(failure))
}
