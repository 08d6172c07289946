/**
 * How an operator on text is made: a synchronous reader of whole pulls, and the order in which it says what it found.
 *
 * 1. A pull of text is read in one synchronous loop, whatever it holds. An effect is run for a pull, not for a token, and
 *    for a value only if its schema wants one.
 * 2. What was found before a failure comes before the failure. What waits for no effect does not wait for those that do.
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Pull from "effect/Pull"
import type * as Schema from "effect/Schema"
import type * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaParser from "effect/SchemaParser"
import * as Stream from "effect/Stream"
import type { Json, JsonPath } from "../internal/jsonModel.ts"
import type * as StreamError from "../StreamError.ts"
import type * as JsonStreamParser from "./JsonStreamParser.ts"
import * as JsonShape from "./JsonShape.ts"

/**
 * Reads the pulls of one run and puts what it finds into the output that it was made for.
 *
 * @internal
 */
export interface Reader<in In> {
  readonly read: (pull: Arr.NonEmptyReadonlyArray<In>) => void
  /** No more comes: the stream is done, or it failed. */
  readonly end: (isDone: boolean) => void
}

class Pending<out A, out E, out R> {
  readonly items: Effect.Effect<ReadonlyArray<A>, E, R>
  constructor(items: Effect.Effect<ReadonlyArray<A>, E, R>) {
    this.items = items
  }
}

const isPending = (item: unknown): item is Pending<never, never, never> => item instanceof Pending

/**
 * What was found and did not go out yet.
 *
 * @internal
 */
export class Output<A, E, R> {
  /** Comes behind all items. Nothing is added once it is set. */
  failure: E | undefined
  /** Some items wait for an effect. */
  waits = false
  private items: Array<A | Pending<A, E, R>> | undefined

  push(item: A): void {
    this.add(item)
  }

  pushEffect(items: Effect.Effect<ReadonlyArray<A>, E, R>): void {
    this.add(new Pending(items))
    this.waits = true
  }

  /** The item that was pushed last, if it has not gone out. */
  get last(): A | undefined {
    const last = this.items?.at(-1)
    return last instanceof Pending ? undefined : last
  }

  /** Ends the stream behind what was found. */
  fail(error: E): void {
    this.failure ??= error
  }

  /** What was found, which is no longer here then. */
  take(): ReadonlyArray<A | Pending<A, E, R>> {
    const { items } = this
    if (items === undefined) return []
    this.items = undefined
    this.waits = false
    return items
  }

  private add(item: A | Pending<A, E, R>): void {
    if (this.failure !== undefined) return
    // Often there is one item to a pull: an empty array would make room for 17 with the first `push`.
    if (this.items === undefined) this.items = [item]
    else this.items.push(item)
  }
}

/** @internal */
export interface Operator<in In, out A, out E2, out R2> {
  <E, R>(self: Stream.Stream<In, E, R>): Stream.Stream<A, E | E2, R | R2>
}

/**
 * An operator: `open` makes the reader of a run, which can ask for the time in milliseconds.
 *
 * @internal
 */
export const operator =
  <In, A, E2, R2>(open: (out: Output<A, E2, R2>, now: () => number) => Reader<In>): Operator<In, A, E2, R2> =>
  <E, R>(self: Stream.Stream<In, E, R>) =>
    Stream.transformPull(self, (upstream) =>
      Clock.clockWith((clock) => {
        type Out = Pull.Pull<Arr.NonEmptyReadonlyArray<A>, E | E2, void, R | R2>
        const out = new Output<A, E2, R2>()
        const reader = open(out, () => clock.currentTimeMillisUnsafe())
        const emit = (then: Out): Out => {
          const rest = out.failure === undefined ? then : Effect.fail(out.failure)
          if (out.waits) return give(out.take(), rest)
          const items = out.take() as ReadonlyArray<A>
          next = rest
          return Arr.isReadonlyArrayNonEmpty(items) ? Effect.succeed(items) : rest
        }
        const give = (items: ReadonlyArray<A | Pending<A, E2, R2>>, then: Out): Out => {
          const at = items.findIndex(isPending)
          const ready = (at === -1 ? items : items.slice(0, at)) as ReadonlyArray<A>
          next = at === -1 ? then : Effect.suspend(() => wait(items.slice(at), then))
          return Arr.isReadonlyArrayNonEmpty(ready) ? Effect.succeed(ready) : next
        }
        /** The first item waits for an effect. */
        const wait = ([first, ...others]: ReadonlyArray<A | Pending<A, E2, R2>>, then: Out): Out =>
          Effect.flatMap((first as Pending<A, E2, R2>).items, (found): Out => {
            next = Effect.suspend(() => give(others, then))
            return Arr.isReadonlyArrayNonEmpty(found) ? Effect.succeed(found) : next
          })
        const pull: Out = Pull.matchEffect(upstream, {
          onSuccess: (chunks): Out => {
            reader.read(chunks)
            return emit(pull)
          },
          onFailure: (cause): Out => {
            if (Cause.hasInterruptsOnly(cause)) return Effect.failCause(cause)
            reader.end(false)
            return emit(Effect.failCause(cause))
          },
          onDone: (): Out => {
            reader.end(true)
            return emit(Cause.done())
          }
        })
        let next = pull
        return Effect.succeed(Effect.suspend(() => next))
      })
    )

// -----------------------------------------------------------------------------
// decoding
// -----------------------------------------------------------------------------

/** @internal */
export type OperatorError = JsonStreamParser.JsonError | StreamError.StreamErrorOf<"SchemaMismatch">

/**
 * What becomes of values: `mismatch` is left out where a value that does not fit ends the stream.
 *
 * @internal
 */
export interface Rule<in T, out A> {
  readonly value: (value: T) => A
  readonly mismatch?: ((error: StreamError.StreamErrorOf<"SchemaMismatch">) => ReadonlyArray<A>) | undefined
}

/**
 * Decodes values into an output.
 *
 * @internal
 */
export class Decoder<S extends Schema.Constraint, A, E> {
  private readonly decode: (input: unknown) => Effect.Effect<S["Type"], SchemaIssue.Issue, S["DecodingServices"]>
  private readonly rule: Rule<S["Type"], A>
  private readonly out: Output<A, E | OperatorError, S["DecodingServices"]>

  constructor(schema: S, rule: Rule<S["Type"], A>, out: Output<A, E | OperatorError, S["DecodingServices"]>) {
    this.decode = SchemaParser.decodeUnknownEffect(schema)
    this.rule = rule
    this.out = out
  }

  push(value: Json, path: JsonPath): void {
    const { out, rule } = this
    const effect = this.decode(value)
    // Most schemas need no effect: the result is here already.
    if (Exit.isExit(effect)) {
      if (Exit.isSuccess(effect)) return out.push(rule.value(effect.value))
      const issue = JsonShape.issueIn(effect.cause)
      if (issue !== undefined) return this.reject(JsonShape.mismatch(path, issue))
    }
    out.pushEffect(
      Effect.matchEffect(effect, {
        onSuccess: (decoded) => Effect.succeed([rule.value(decoded)]),
        onFailure: (issue) => {
          const error = JsonShape.mismatch(path, issue)
          return rule.mismatch === undefined ? Effect.fail(error) : Effect.succeed(rule.mismatch(error))
        }
      })
    )
  }

  /** A value does not fit. */
  reject(error: StreamError.StreamErrorOf<"SchemaMismatch">): void {
    if (this.rule.mismatch === undefined) this.out.fail(error)
    else for (const item of this.rule.mismatch(error)) this.out.push(item)
  }
}
