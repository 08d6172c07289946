/**
 * JSON out of text that streams: whole values, array elements, typed partials and deltas, in linear time.
 *
 * 1. Values are found in mixed text: prose, Markdown fences, several values one after the other. With a schema, what counts
 *    follows from the schema.
 * 2. What comes out does not depend on how the text was cut; only how often a partial is shown does.
 * 3. What was found before a failure comes before it. A text that stops in the middle of a value is no failure, but for
 *    {@link collect}, {@link run} and `strict`: nothing is invented.
 * 4. Whatever the text, time is linear and memory is bounded: by `maxSize` for each value, by the longest element where
 *    elements are taken.
 *
 * The text of a model's events is `StreamEvent.text`; the arguments of its tool calls are {@link toolArguments}.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import * as SchemaParser from "effect/SchemaParser"
import * as Sink from "effect/Sink"
import * as Stream from "effect/Stream"
import { JsonEngine } from "../internal/jsonEngine.ts"
import type { Json, JsonPath } from "../internal/jsonModel.ts"
import * as StreamError from "../StreamError.ts"
import type * as StreamEvent from "../StreamEvent.ts"
import { Decoder, operator, type OperatorError, type Output, type Reader, type Rule } from "./JsonOutput.ts"
import { Follower, type Partial } from "./JsonPartial.ts"
import * as JsonShape from "./JsonShape.ts"
import * as JsonStreamParser from "./JsonStreamParser.ts"

export type { DeepPartial, Partial } from "./JsonPartial.ts"

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

/**
 * Options of the operators that take a schema.
 *
 * @category options
 * @since 0.1.0
 */
export interface SchemaOptions<M extends OnMismatch = OnMismatch> extends JsonStreamParser.Options {
  /** What becomes of a value that does not fit the schema. `"fail"` by default. */
  readonly onMismatch?: M | undefined
}

/**
 * What becomes of a value that does not fit its schema: the stream fails (`"fail"`), the value is left out (`"skip"`), or
 * the error takes its place (`"result"`).
 *
 * @category options
 * @since 0.1.0
 */
export type OnMismatch = "fail" | "skip" | "result"

/**
 * @category options
 * @since 0.1.0
 */
export interface ElementsOptions<M extends OnMismatch = OnMismatch> extends SchemaOptions<M> {
  /**
   * Where the arrays are, as a JSON Pointer (RFC 6901) below each top-level value: `"/data/items"`. A segment `*` stands
   * for any key or index. `""` by default: the top-level arrays.
   */
  readonly pointer?: string | undefined
}

// -----------------------------------------------------------------------------
// errors
// -----------------------------------------------------------------------------

/**
 * A value does not fit its schema. The message says where and what was expected, not what was there.
 *
 * @category errors
 * @since 0.1.0
 */
export type MismatchError = StreamError.StreamErrorOf<"SchemaMismatch">

/**
 * What an operator with a schema can fail with, under each {@link OnMismatch}.
 *
 * @category errors
 * @since 0.1.0
 */
export type DecodeError<M extends OnMismatch> = JsonStreamParser.JsonError | (M extends "fail" ? MismatchError : never)

/**
 * What stands for a value, under each {@link OnMismatch}.
 *
 * @category models
 * @since 0.1.0
 */
export type Decoded<A, M extends OnMismatch> = M extends "result" ? Result.Result<A, MismatchError> : A

// -----------------------------------------------------------------------------
// values
// -----------------------------------------------------------------------------

/** Data-last, or data-first where the first argument is a stream. Unlike `Function.dual`, it checks options at once. */
const dual = <F>(make: (...args: Array<never>) => (self: never) => unknown): F =>
  ((...args: Array<never>) => (Stream.isStream(args[0]) ? make(...args.slice(1))(args[0]) : make(...args))) as F

const makeValues = (options?: JsonStreamParser.Options) => {
  check(options)
  return operator((out: Output<Json, OperatorError, never>) =>
    readValues(new JsonEngine(options), out, (value) => out.push(value))
  )
}

/** The reader of an engine whose values are wanted. */
const readValues = <A, R>(
  engine: JsonEngine,
  out: Output<A, OperatorError, R>,
  onValue: (value: Json) => void
): Reader<string> => {
  const drain = (): void => {
    for (const value of engine.takeValues()) onValue(value)
  }
  return {
    read(chunks) {
      for (const chunk of chunks) engine.feed(chunk)
      drain()
      if (engine.fault !== undefined) out.fail(JsonStreamParser.toError(engine.fault))
    },
    end(isDone) {
      if (!isDone) return
      const error = JsonStreamParser.endOf(engine)
      drain()
      if (error !== undefined) out.fail(error)
    }
  }
}

/** Impossible limits throw here and now, not when the stream runs. */
const check = (options: JsonStreamParser.Options | undefined): void => void new JsonEngine(options)

/**
 * Each top-level value that becomes whole.
 *
 * **Example** (Values in the middle of prose)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { JsonStream } from "effect-llm-streaming"
 *
 * const text = Stream.make('First [1]: {"a"', ": 1}, then\n```json\n[", '"b"]\n```')
 * Effect.runSync(text.pipe(JsonStream.values(), Stream.runCollect)) // => [{ a: 1 }, ["b"]]
 * ```
 *
 * @category operators
 * @since 0.1.0
 */
export const values: {
  (
    options?: JsonStreamParser.Options
  ): <E, R>(self: Stream.Stream<string, E, R>) => Stream.Stream<Json, E | JsonStreamParser.JsonError, R>
  <E, R>(
    self: Stream.Stream<string, E, R>,
    options?: JsonStreamParser.Options
  ): Stream.Stream<Json, E | JsonStreamParser.JsonError, R>
} = dual(makeValues)

// -----------------------------------------------------------------------------
// decoding
// -----------------------------------------------------------------------------

type Item<T> = T | Result.Result<T, MismatchError>

const rules: Record<OnMismatch, Rule<unknown, unknown>> = {
  fail: { value: identity },
  skip: { value: identity, mismatch: () => [] },
  result: { value: Result.succeed, mismatch: (error) => [Result.fail(error)] }
}

const ruleOf = <T>(options: SchemaOptions | undefined) => rules[options?.onMismatch ?? "fail"] as Rule<T, Item<T>>

/** Options of the parser, with what follows from the schema. */
const optionsFor = (shape: JsonShape.JsonShape, options?: JsonStreamParser.Options): JsonStreamParser.Options => ({
  ...options,
  roots: options?.roots ?? shape.roots,
  strict: options?.strict ?? shape.isScalar
})

const makeDecode = <S extends Schema.Constraint>(schema: S, options?: SchemaOptions) => {
  check(options)
  return operator((out: Output<Item<S["Type"]>, OperatorError, S["DecodingServices"]>) => {
    const shape = JsonShape.of(schema)
    const parserOptions = optionsFor(shape, options)
    const decoder = new Decoder(schema, ruleOf<S["Type"]>(options), out)
    const mayCite = shape.hasCitations && parserOptions.strict !== true
    return readValues(new JsonEngine(parserOptions), out, (value) => {
      if (!mayCite || !JsonShape.isCitation(value)) decoder.push(value, [])
    })
  })
}

/**
 * Each top-level value that becomes whole, decoded.
 *
 * **Details**
 *
 * What counts follows from the schema: only objects for one of objects, only arrays for one of arrays. An array of nothing
 * but numbers, `true`, `false` and `null` counts only if the schema has such elements, so that a citation, `[1]`, is not
 * taken for a value that does not fit. With a schema that has only strings, numbers and the like, the text is one document
 * (`strict`), as those cannot be told from prose.
 *
 * The schema is that of the JSON: for one of dates, maps and the like give `Schema.toCodecJson(schema)`.
 *
 * **Example** (What a model found, and what it made up)
 *
 * ```ts
 * import { Effect, Result, Schema, Stream } from "effect"
 * import { JsonStream } from "effect-llm-streaming"
 *
 * const Person = Schema.Struct({ name: Schema.String, age: Schema.Natural })
 * const text = Stream.make('{"name": "Ada", "age": 36}\n{"name": "Bob", ', '"age": "unknown"}')
 *
 * const program = text.pipe(JsonStream.decode(Person, { onMismatch: "result" }), Stream.runCollect)
 * const [ada, bob] = Effect.runSync(program)
 * ada // => Result.succeed({ name: "Ada", age: 36 })
 * bob && Result.isFailure(bob) && bob.failure.message // => "Value does not fit the schema in /age: Expected number"
 * ```
 *
 * @category operators
 * @since 0.1.0
 */
export const decode: {
  <S extends Schema.Constraint, const M extends OnMismatch = "fail">(
    schema: S,
    options?: SchemaOptions<M>
  ): <E, R>(
    self: Stream.Stream<string, E, R>
  ) => Stream.Stream<Decoded<S["Type"], M>, E | DecodeError<M>, R | S["DecodingServices"]>
  <E, R, S extends Schema.Constraint, const M extends OnMismatch = "fail">(
    self: Stream.Stream<string, E, R>,
    schema: S,
    options?: SchemaOptions<M>
  ): Stream.Stream<Decoded<S["Type"], M>, E | DecodeError<M>, R | S["DecodingServices"]>
} = dual(makeDecode)

/** Segments of a JSON Pointer; `null` stands for any. */
const parsePointer = (pointer: string): ReadonlyArray<string | null> => {
  if (pointer === "") return []
  if (!pointer.startsWith("/") || /~(?![01])/.test(pointer)) {
    throw new RangeError(`pointer must be a JSON Pointer, "" or "/…", got ${JSON.stringify(pointer)}`)
  }
  return pointer
    .slice(1)
    .split("/")
    .map((segment) => (segment === "*" ? null : segment.replaceAll("~1", "/").replaceAll("~0", "~")))
}

const makeElements = <S extends Schema.Constraint>(schema: S, options?: ElementsOptions) => {
  check(options)
  const pointer = parsePointer(options?.pointer ?? "")
  return operator((out: Output<Item<S["Type"]>, OperatorError, S["DecodingServices"]>) => {
    const decoder = new Decoder(schema, ruleOf<S["Type"]>(options), out)
    const engine: JsonEngine = new JsonEngine({
      ...options,
      roots: options?.roots ?? (pointer.length > 0 ? "all" : JsonShape.of(schema).place.hasBare ? "arrays" : undefined),
      elements: { pointer, detach: true, onElement: (value) => decoder.push(value, engine.path()) }
    })
    return readValues(engine, out, () => {})
  })
}

/**
 * Each element of an array, decoded, as soon as it is whole.
 *
 * **Details**
 *
 * Elements are taken off their array, so that an array of any length runs in the memory of its longest element, and
 * `maxSize` limits each element. Where the pointer leads to no array there is nothing. A pointer that is none throws a
 * `RangeError`. As in {@link decode}, top-level arrays of nothing but numbers, `true`, `false` and `null` count only if the
 * schema has such elements.
 *
 * **Example** (Items before the document is whole)
 *
 * ```ts
 * import { Effect, Schema, Stream } from "effect"
 * import { JsonStream } from "effect-llm-streaming"
 *
 * const Item = Schema.Struct({ id: Schema.Number })
 * const cut = Stream.make('{"total": 3, "items": [{"id": 1}, {"i', 'd": 2}, {"id"')
 * Effect.runSync(cut.pipe(JsonStream.elements(Item, { pointer: "/items" }), Stream.runCollect)) // => [{ id: 1 }, { id: 2 }]
 * ```
 *
 * @category operators
 * @since 0.1.0
 */
export const elements: {
  <S extends Schema.Constraint, const M extends OnMismatch = "fail">(
    schema: S,
    options?: ElementsOptions<M>
  ): <E, R>(
    self: Stream.Stream<string, E, R>
  ) => Stream.Stream<Decoded<S["Type"], M>, E | DecodeError<M>, R | S["DecodingServices"]>
  <E, R, S extends Schema.Constraint, const M extends OnMismatch = "fail">(
    self: Stream.Stream<string, E, R>,
    schema: S,
    options?: ElementsOptions<M>
  ): Stream.Stream<Decoded<S["Type"], M>, E | DecodeError<M>, R | S["DecodingServices"]>
} = dual(makeElements)

// -----------------------------------------------------------------------------
// partials
// -----------------------------------------------------------------------------

/**
 * A value that is whole, decoded.
 *
 * @category models
 * @since 0.1.0
 */
export interface Complete<out A> {
  readonly _tag: "Complete"
  readonly value: A
}

/**
 * Stands for a value that does not fit its schema, under `onMismatch: "result"`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Mismatch {
  readonly _tag: "Mismatch"
  readonly error: MismatchError
}

/**
 * What {@link partials} gives, under each {@link OnMismatch}.
 *
 * @category models
 * @since 0.1.0
 */
export type Growing<A, I, M extends OnMismatch> = Partial<I> | Complete<A> | (M extends "result" ? Mismatch : never)

/** Follows one text. */
interface Growth {
  readonly feed: (chunk: string) => void
  /** Puts out a partial, if there is more to be seen. */
  readonly show: (isLast: boolean) => void
  /** Says what the value is, if the text has not. */
  readonly settle: (value: Json) => void
  readonly isSettled: () => boolean
  readonly end: (isDone: boolean) => void
}

const grow = <S extends Schema.Constraint, A, E>(
  schema: S,
  options: SchemaOptions | undefined,
  out: Output<A, E | OperatorError, S["DecodingServices"]>,
  now: () => number,
  wrap: (growing: Growing<S["Type"], S["Encoded"], "result">) => A
): Growth => {
  const mismatches: Record<OnMismatch, Rule<S["Type"], A>["mismatch"]> = {
    fail: undefined,
    skip: () => [],
    result: (error) => [wrap({ _tag: "Mismatch", error })]
  }
  const shape = JsonShape.of(schema)
  const rule: Rule<S["Type"], A> = {
    value: (value) => wrap({ _tag: "Complete", value }),
    mismatch: mismatches[options?.onMismatch ?? "fail"]
  }
  const decoder = new Decoder(schema, rule, out)
  let isSettled = false
  const follower = new Follower(shape, optionsFor(shape, options), {
    onComplete(value) {
      isSettled = true
      decoder.push(value, [])
    },
    onMismatch(error) {
      isSettled = true
      decoder.reject(error)
    }
  })
  const { engine } = follower
  const show = (isLast: boolean): void => {
    const partial = follower.partial<S["Encoded"]>(isLast ? undefined : now)
    if (partial !== undefined) out.push(wrap(partial))
  }
  return {
    feed(chunk) {
      follower.feed(chunk)
      if (engine.fault === undefined) return
      show(true)
      out.fail(JsonStreamParser.toError(engine.fault))
    },
    show,
    settle: (value) => (isSettled ? undefined : decoder.push(value, [])),
    isSettled: () => isSettled,
    end(isDone) {
      const error = isDone ? JsonStreamParser.endOf(engine) : undefined
      show(true)
      if (error !== undefined) out.fail(error)
    }
  }
}

const makePartials = <S extends Schema.Constraint>(schema: S, options?: SchemaOptions) => {
  check(options)
  type Item = Growing<S["Type"], S["Encoded"], "result">
  return operator((out: Output<Item, OperatorError, S["DecodingServices"]>, now): Reader<string> => {
    const growth = grow(schema, options, out, now, identity<Item>)
    return {
      read(chunks) {
        for (const chunk of chunks) {
          growth.feed(chunk)
          if (out.failure !== undefined) return
        }
        growth.show(false)
      },
      end: growth.end
    }
  })
}

/**
 * Each value as it grows, then the decoded whole.
 *
 * **Details**
 *
 * - There is at most one partial for each pull of text, none that shows the same as the one before, and none behind its
 *   whole. A partial never changes, and shares what did not change with the one before.
 * - Strings grow; numbers, literals and enum members appear when they are whole, and so do strings that are annotated with
 *   {@link whole}.
 * - A value that can no longer fit its schema is a mismatch at once: a field of the wrong kind, a literal that is none, a
 *   whole field that its schema rejects, a missing one. What comes of it afterwards is read over, or never pulled. What
 *   needs an effect, or the whole value, is said at the end.
 * - What counts as a value is as in {@link decode}.
 * - Showing a container that is open costs its width, so a partial waits until that is paid: each code unit of text pays for
 *   8 elements, each millisecond for 10,000 (a field of an object with more than 20 counts as 100 elements). At the pace of a
 *   model there is one for each pull; at full speed one for each token up to a width of about 30, one for 300 tokens at
 *   10,000. The last state before the text ends or fails is always shown.
 * - Partials are made when they are pulled: a slow consumer gets fewer and not later ones, if what it pulls from waits in
 *   larger pulls, as responses and `Stream.buffer` do.
 *
 * **Gotchas**
 *
 * Of equal keys in one object the last wins, so a partial may go back from the first one's value to the beginning of the
 * second one's. A value that turns out to be none (`{"a": 1, oops`) is simply followed by no whole.
 *
 * Reading all of a long string in each partial costs its length each time, whatever is done here. {@link deltas} gives
 * only what is new.
 *
 * **Example** (A recipe that fills in)
 *
 * ```ts
 * import { Effect, Schema, Stream } from "effect"
 * import { JsonStream } from "effect-llm-streaming"
 *
 * const Recipe = Schema.Struct({ title: Schema.String, level: Schema.Literals(["easy", "hard"]), serves: Schema.Number })
 * const text = Stream.make('{"title": "Dump', 'lings", "level": "ea', 'sy", "serves": 4', "}").pipe(Stream.rechunk(1))
 *
 * const growing = Effect.runSync(text.pipe(JsonStream.partials(Recipe), Stream.runCollect))
 * growing.map((recipe) => recipe.value)
 * // => [
 * //   { title: "Dump" },
 * //   { title: "Dumplings" },
 * //   { title: "Dumplings", level: "easy" },
 * //   { title: "Dumplings", level: "easy", serves: 4 }
 * // ]
 * growing.map((recipe) => recipe._tag === "Complete" || recipe.isComplete(["title"])) // => [false, true, true, true]
 * ```
 *
 * @category operators
 * @since 0.1.0
 */
export const partials: {
  <S extends Schema.Constraint, const M extends OnMismatch = "fail">(
    schema: S,
    options?: SchemaOptions<M>
  ): <E, R>(
    self: Stream.Stream<string, E, R>
  ) => Stream.Stream<Growing<S["Type"], S["Encoded"], M>, E | DecodeError<M>, R | S["DecodingServices"]>
  <E, R, S extends Schema.Constraint, const M extends OnMismatch = "fail">(
    self: Stream.Stream<string, E, R>,
    schema: S,
    options?: SchemaOptions<M>
  ): Stream.Stream<Growing<S["Type"], S["Encoded"], M>, E | DecodeError<M>, R | S["DecodingServices"]>
} = dual(makePartials)

/**
 * Annotates a schema whose strings must not be shown before they are whole: its own, and those of its fields.
 *
 * **Example** (No half addresses)
 *
 * ```ts
 * import { Effect, Schema, Stream } from "effect"
 * import { JsonStream } from "effect-llm-streaming"
 *
 * const Link = Schema.Struct({ text: Schema.String, url: Schema.String.pipe(JsonStream.whole) })
 * const text = Stream.make('{"text": "the', ' site", "url": "https://exam', 'ple.com"').pipe(Stream.rechunk(1))
 * const growing = Effect.runSync(text.pipe(JsonStream.partials(Link), Stream.runCollect))
 * growing.map((link) => link.value)
 * // => [{ text: "the" }, { text: "the site" }, { text: "the site", url: "https://example.com" }]
 * ```
 *
 * @category annotations
 * @since 0.1.0
 */
export const whole = <S extends Schema.Top>(schema: S): S["Rebuild"] => JsonShape.annotateWhole(schema)

// -----------------------------------------------------------------------------
// deltas
// -----------------------------------------------------------------------------

/**
 * What changes in the top-level values of a text: see {@link deltas}.
 *
 * @category models
 * @since 0.1.0
 */
export type JsonDelta =
  | {
      readonly path: JsonPath
      /** An object or an array begins, empty. */
      readonly open: "object" | "array"
    }
  | {
      readonly path: JsonPath
      /** A string begins, or goes on. */
      readonly append: string
    }
  | {
      readonly path: JsonPath
      /** A value is whole: a number, a literal, and also what grew before, as it is now. */
      readonly value: Json
    }
  | {
      readonly path: JsonPath
      /** The top-level value that was open was none. */
      readonly drop: true
    }

const makeDeltas = (options?: JsonStreamParser.Options) => {
  check(options)
  return operator((out: Output<JsonDelta, OperatorError, never>) => {
    /** What was last said of the open string. */
    let open: { readonly path: JsonPath; append: string } = { path: [], append: "" }
    const engine: JsonEngine = new JsonEngine({
      ...options,
      listener: {
        onOpen(kind) {
          const path = engine.path()
          out.push(kind === "string" ? (open = { path, append: "" }) : { path, open: kind })
        },
        onAppend(text) {
          if (out.last === open) open.append += text
          else out.push((open = { path: open.path, append: text }))
        },
        onValue(value) {
          out.push({ path: typeof value === "string" ? open.path : engine.path(), value })
        },
        onDrop() {
          out.push({ path: [], drop: true })
        }
      }
    })
    return readValues(engine, out, () => {})
  })
}

/**
 * What changes, as it changes: for an interface that patches, and for strings that are long.
 *
 * **Details**
 *
 * For each top-level value, in the order of the text: `open` where an object or an array begins, `append` where a string
 * begins (`""`) and for each piece of it, `value` for each value that is whole, the top-level value last. What comes of a
 * string in one pull is one. All deltas together cost what the text is long.
 *
 * Of equal keys the last wins: what comes behind the `value` of the same path begins anew.
 *
 * A value may turn out to be none: at `{"a": 1, oops` the delta `{ path: [], drop: true }` says that all since its `open` is
 * void. A text that ends in the middle of a value just ends.
 *
 * **Gotchas**
 *
 * The `value` of an object, an array or a string that had been appended is what the deltas before said, by reference. Over a
 * wire that would say it twice: send of these that they are whole, and not what.
 *
 * **Example** (Pieces of a string)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { JsonStream } from "effect-llm-streaming"
 *
 * const text = Stream.make('{"title": "Dump', 'lings", "serves": 4', "}").pipe(Stream.rechunk(1))
 * Effect.runSync(text.pipe(JsonStream.deltas(), Stream.runCollect))
 * // => [
 * //   { path: [], open: "object" },
 * //   { path: ["title"], append: "Dump" },
 * //   { path: ["title"], append: "lings" },
 * //   { path: ["title"], value: "Dumplings" },
 * //   { path: ["serves"], value: 4 },
 * //   { path: [], value: { title: "Dumplings", serves: 4 } }
 * // ]
 * ```
 *
 * @category operators
 * @since 0.1.0
 */
export const deltas: {
  (
    options?: JsonStreamParser.Options
  ): <E, R>(self: Stream.Stream<string, E, R>) => Stream.Stream<JsonDelta, E | JsonStreamParser.JsonError, R>
  <E, R>(
    self: Stream.Stream<string, E, R>,
    options?: JsonStreamParser.Options
  ): Stream.Stream<JsonDelta, E | JsonStreamParser.JsonError, R>
} = dual(makeDeltas)

// -----------------------------------------------------------------------------
// one value
// -----------------------------------------------------------------------------

/** Looks for the first value of a text that fits. */
const makeFinder = <S extends Schema.Constraint>(schema: S, options?: RunOptions) => {
  type Step<A> = Effect.Effect<A, OperatorError, S["DecodingServices"]>
  const shape = JsonShape.of(schema)
  const parserOptions = optionsFor(shape, options)
  const isStrict = parserOptions.strict === true
  const skips = options?.onMismatch === "skip"
  const decode = SchemaParser.decodeUnknownEffect(schema)
  /** What the follower told and nobody looked at yet. */
  const news: Array<{ readonly value: Json } | { readonly error: MismatchError }> = []
  let found: { readonly value: S["Type"] } | undefined
  const follower = new Follower(shape, parserOptions, {
    onComplete: (value) => news.push({ value }),
    onMismatch: (error) => news.push({ error })
  })
  const { engine } = follower

  // No `Effect.gen`: V8 keeps a map for each generator function, and with it all that this run made, until it collects the
  // whole heap. In a loop of runs over 10 KB each collection of young garbage then took 10 ms and not 0.4.
  const settle = (told: typeof news, from: number): Step<void> => {
    for (let at = from; at < told.length && found === undefined; at++) {
      const next = told[at]!
      if ("value" in next) {
        return Effect.matchEffect(decode(next.value), {
          onSuccess(value) {
            found = { value }
            return settle(told, at + 1)
          },
          onFailure: (issue) => (skips ? settle(told, at + 1) : Effect.fail(JsonShape.mismatch([], issue)))
        })
      }
      if (!skips) return Effect.fail(next.error)
    }
    const { fault } = engine
    return fault === undefined || (found !== undefined && !isStrict)
      ? Effect.void
      : Effect.fail(JsonStreamParser.toError(fault))
  }
  const look = Effect.suspend(() => settle(news.splice(0), 0))
  return {
    read(chunks: ReadonlyArray<string>): Step<void> {
      if (found !== undefined && !isStrict) return Effect.void
      for (const chunk of chunks) follower.feed(chunk)
      return news.length === 0 && engine.fault === undefined ? Effect.void : look
    },
    end: Effect.suspend((): Step<S["Type"]> => {
      const expected = engine.isOpen ? "the end of the JSON value" : "a JSON value"
      const error = isStrict ? JsonStreamParser.endOf(engine) : undefined
      if (error !== undefined) return Effect.fail(error)
      return Effect.flatMap(look, () =>
        found === undefined
          ? Effect.fail(StreamError.make({ _tag: "Truncated", expected }))
          : Effect.succeed(found.value)
      )
    }),
    /** The error, with what had arrived. */
    withJson<E>(error: E): E {
      const json = engine.snapshot() ?? follower.last
      return json !== undefined && StreamError.isStreamError(error)
        ? StreamError.withPartial(error, { ...error.partial, json })
        : error
    }
  }
}

const makeRun = <S extends Schema.Constraint>(schema: S, options?: RunOptions) => {
  check(options)
  return <E, R>(
    self: Stream.Stream<string, E, R>
  ): Effect.Effect<S["Type"], E | OperatorError, R | S["DecodingServices"]> =>
    Effect.suspend(() => {
      const finder = makeFinder(schema, options)
      return Stream.runForEachArray(self, finder.read).pipe(
        Effect.andThen(finder.end),
        Effect.mapError(finder.withJson)
      )
    })
}

/**
 * Options of {@link run} and {@link collect}.
 *
 * @category options
 * @since 0.1.0
 */
export interface RunOptions<M extends "fail" | "skip" = "fail" | "skip"> extends JsonStreamParser.Options {
  /** A value that does not fit is a failure (`"fail"`, by default), or the next one is looked for (`"skip"`). */
  readonly onMismatch?: M | undefined
}

/**
 * Runs a text to its end and gives the first value that is found in it, decoded.
 *
 * **Details**
 *
 * The text is read to its end, so that what comes behind the value still passes: a model's usage, its verified end. It fails
 * with `Truncated` if no value is whole then, at once with `SchemaMismatch` if one can no longer fit (see {@link partials}).
 * What had arrived of the JSON is in the error's `partial.json`, also where the stream itself fails with a `StreamError`.
 * What counts as a value is as in {@link decode}.
 *
 * **Example** (A model that was cut off)
 *
 * ```ts
 * import { Effect, Schema, Stream } from "effect"
 * import { JsonStream } from "effect-llm-streaming"
 *
 * const Recipe = Schema.Struct({ title: Schema.String, serves: Schema.Number })
 * const cut = Stream.make('Here you are: {"title": "Dumplings", "ser')
 *
 * const program = cut.pipe(
 *   JsonStream.run(Recipe),
 *   Effect.catchReason("StreamError", "Truncated", (_, error) => Effect.succeed(error.partial?.json))
 * )
 * Effect.runSync(program) // => { title: "Dumplings" }
 * ```
 *
 * @category running
 * @since 0.1.0
 */
export const run: {
  <S extends Schema.Constraint, const M extends "fail" | "skip" = "fail">(
    schema: S,
    options?: RunOptions<M>
  ): <E, R>(
    self: Stream.Stream<string, E, R>
  ) => Effect.Effect<S["Type"], E | DecodeError<M>, R | S["DecodingServices"]>
  <E, R, S extends Schema.Constraint, const M extends "fail" | "skip" = "fail">(
    self: Stream.Stream<string, E, R>,
    schema: S,
    options?: RunOptions<M>
  ): Effect.Effect<S["Type"], E | DecodeError<M>, R | S["DecodingServices"]>
} = dual(makeRun)

/**
 * {@link run} as a `Sink`: for `Stream.broadcast`, `Sink.zip` and the like. A sink does not see a failure of its stream.
 *
 * **Example** (A value from a sink)
 *
 * ```ts
 * import { Effect, Schema, Stream } from "effect"
 * import { JsonStream } from "effect-llm-streaming"
 *
 * const Point = Schema.Struct({ x: Schema.Number, y: Schema.Number })
 * const text = Stream.make('The point is {"x": 1', ', "y": 2}.')
 * Effect.runSync(Stream.run(text, JsonStream.collect(Point))) // => { x: 1, y: 2 }
 * ```
 *
 * @category sinks
 * @since 0.1.0
 */
export const collect = <S extends Schema.Constraint, const M extends "fail" | "skip" = "fail">(
  schema: S,
  options?: RunOptions<M>
): Sink.Sink<S["Type"], string, never, DecodeError<M>, S["DecodingServices"]> => {
  check(options)
  return Sink.fromTransform((upstream) =>
    Effect.suspend(() => {
      type Result = Effect.Effect<Sink.End<S["Type"]>, OperatorError, S["DecodingServices"]>
      const finder = makeFinder(schema, options)
      const loop: Result = Pull.matchEffect(upstream, {
        onSuccess: (chunks): Result => Effect.andThen(finder.read(chunks), loop),
        onFailure: (cause): Result => Effect.failCause(cause),
        onDone: (): Result => Effect.map(finder.end, (value) => [value])
      })
      // `onMismatch: "skip"` leaves `SchemaMismatch` out.
      return Effect.mapError(loop, finder.withJson) as Effect.Effect<
        Sink.End<S["Type"]>,
        DecodeError<M>,
        S["DecodingServices"]
      >
    })
  )
}

// -----------------------------------------------------------------------------
// tool calls
// -----------------------------------------------------------------------------

/**
 * The arguments of one tool call, as they grow and as a whole.
 *
 * @category models
 * @since 0.1.0
 */
export interface ToolArguments<out A> {
  /** The call's. */
  readonly id: string
  readonly arguments: A
}

const makeToolArguments = <S extends Schema.Constraint>(name: string, schema: S, options?: SchemaOptions) => {
  check(options)
  type Item = ToolArguments<Growing<S["Type"], S["Encoded"], "result">>
  type Failure = OperatorError | StreamError.StreamErrorOf<"ToolCallIncomplete">
  return operator((out: Output<Item, Failure, S["DecodingServices"]>, now): Reader<StreamEvent.StreamEvent> => {
    const calls = new Map<string, Growth>()
    const callOf = (id: string): Growth => {
      let call = calls.get(id)
      if (call === undefined) {
        call = grow(schema, { ...options, strict: true }, out, now, (growing) => ({ id, arguments: growing }))
        calls.set(id, call)
      }
      return call
    }
    let isBroken = false
    return {
      read(events) {
        for (const event of events) {
          if (event._tag === "ToolCallDelta" && event.name === name) callOf(event.id).feed(event.delta)
          else if (event._tag === "ToolCall" && event.name === name) {
            callOf(event.id).settle(event.input as Json)
            calls.delete(event.id)
          } else if (event._tag === "Error") isBroken = true
          if (out.failure !== undefined) return
        }
        for (const call of calls.values()) call.show(false)
      },
      end(isDone) {
        for (const call of calls.values()) call.show(true)
        for (const [id, call] of calls) {
          if (isDone && !isBroken && !call.isSettled())
            out.fail(StreamError.make({ _tag: "ToolCallIncomplete", id, name }))
        }
      }
    }
  })
}

/**
 * The arguments of each call of one tool, while the model writes them: partials by the call's id, then the decoded whole.
 *
 * **Details**
 *
 * As {@link partials}, for each call by itself. The arguments of a call are one JSON document. A stream that ends before
 * they are whole fails with `ToolCallIncomplete`: such a call must not be run.
 *
 * **Example** (A call that fills in)
 *
 * ```ts
 * import { Effect, Schema, Stream } from "effect"
 * import { JsonStream, StreamEvent } from "effect-llm-streaming"
 *
 * const Weather = Schema.Struct({ city: Schema.String })
 * const events = Stream.make('{"city":"Os', 'lo"}').pipe(
 *   Stream.rechunk(1),
 *   Stream.map((delta) => StreamEvent.toolCallDelta(0, "call_1", "get_weather", delta))
 * )
 * const calls = Effect.runSync(events.pipe(JsonStream.toolArguments("get_weather", Weather), Stream.runCollect))
 * calls.map((call) => [call.id, call.arguments._tag, call.arguments.value])
 * // => [["call_1", "Partial", { city: "Os" }], ["call_1", "Complete", { city: "Oslo" }]]
 * ```
 *
 * @category tool calls
 * @since 0.1.0
 */
export const toolArguments: {
  <S extends Schema.Constraint, const M extends OnMismatch = "fail">(
    name: string,
    schema: S,
    options?: SchemaOptions<M>
  ): <E, R>(
    self: Stream.Stream<StreamEvent.StreamEvent, E, R>
  ) => Stream.Stream<
    ToolArguments<Growing<S["Type"], S["Encoded"], M>>,
    E | DecodeError<M> | StreamError.StreamErrorOf<"ToolCallIncomplete">,
    R | S["DecodingServices"]
  >
  <E, R, S extends Schema.Constraint, const M extends OnMismatch = "fail">(
    self: Stream.Stream<StreamEvent.StreamEvent, E, R>,
    name: string,
    schema: S,
    options?: SchemaOptions<M>
  ): Stream.Stream<
    ToolArguments<Growing<S["Type"], S["Encoded"], M>>,
    E | DecodeError<M> | StreamError.StreamErrorOf<"ToolCallIncomplete">,
    R | S["DecodingServices"]
  >
} = dual(makeToolArguments)
