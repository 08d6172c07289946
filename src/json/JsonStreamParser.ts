/**
 * Incremental JSON without Effect: feed it text as it arrives, read values, and the open value so far, at any time.
 *
 * 1. Values are found in mixed text: prose, Markdown fences, several values one after the other.
 * 2. Every code unit is looked at once, whatever the text and however it is cut: time is linear, and what comes out does
 *    not depend on the chunks.
 * 3. In a partial value strings grow; numbers, `true`, `false`, `null` and keys appear only when they are whole. Half of an
 *    escape sequence or of a surrogate pair is never shown.
 * 4. Keys are what the text says, also where `JSON.parse` of Node 24 is wrong (`"\""` behind `"\\"`), and `__proto__` is an
 *    ordinary one. Of equal keys the last wins.
 * 5. Nothing is thrown for what data can cause: see `error`.
 *
 * `JsonStream` has the same as operators on streams.
 *
 * @since 0.1.0
 */
import { JsonEngine } from "../internal/jsonEngine.ts"
import type { Json, JsonFault, JsonPath, JsonRoots } from "../internal/jsonModel.ts"
import * as StreamError from "../StreamError.ts"

// -----------------------------------------------------------------------------
// model
// -----------------------------------------------------------------------------

export type { Json, JsonPath, JsonRoots } from "../internal/jsonModel.ts"

/**
 * What can be wrong with the text: it is no JSON where only JSON is allowed (`InvalidJson`), it stops in the middle
 * (`Truncated`, under `strict`), a value is too long (`BufferOverflow`, in UTF-16 code units) or too deep
 * (`BudgetExceeded`, in levels of nesting).
 *
 * @category errors
 * @since 0.1.0
 */
export type JsonError = StreamError.StreamErrorOf<"InvalidJson" | "Truncated" | "BufferOverflow" | "BudgetExceeded">

/**
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** Which top-level values count. */
  readonly roots?: JsonRoots | undefined
  /**
   * What becomes of a value at its first illegal character: it is dropped, and the search for the next one goes on at that
   * character (`"skip"`, by default), or that is an error (`"fail"`). `[1, see {"a":1}]` gives `{"a":1}`; what stood inside
   * of the broken value before is lost: `{"a":[1,2] oops}` gives nothing.
   */
  readonly onMalformed?: "skip" | "fail" | undefined
  /** The whole text is one JSON document of any kind, and nothing else. `roots` and `onMalformed` do not matter then. */
  readonly strict?: boolean | undefined
  /** How many containers may stand inside one another. 1,000 by default. */
  readonly maxDepth?: number | undefined
  /** How many UTF-16 code units a top-level value may have. 16 Mi by default. */
  readonly maxSize?: number | undefined
}

/**
 * A parser and what it has found so far.
 *
 * @category models
 * @since 0.1.0
 */
export interface JsonStreamParser {
  /** Reads the next piece of the text. Text behind an error or the end is ignored. */
  feed(chunk: string): void
  /** Whether {@link JsonStreamParser.takeValues} has something to give. */
  readonly hasCompleteValues: boolean
  /** The top-level values that became whole since the last call, in order. */
  takeValues(): Array<Json>
  /**
   * The open top-level value so far, in O(1). It is live: it goes on growing in place, and a later reading may be another
   * object. Reading all of a string that grows after every token takes quadratic time; `JsonStream.deltas` does not.
   */
  readonly partialUnsafe: Json | undefined
  /**
   * The open top-level value so far, as it is now and will stay. Shares with the snapshot before, and with the value in the
   * end, all that did not change; is the same object if nothing changed. Costs as much as the open containers are wide.
   */
  snapshot(): Json | undefined
  /** Whether the value at a path is whole: in the open top-level value, or in the last one if none is open. */
  isComplete(path: JsonPath): boolean
  /** Why the parser stopped, if it did. What was found before stays. */
  readonly error: JsonError | undefined
  /** Ends the text. What is still open stays readable as the partial; under `strict` it is an error. */
  end(): void
  /** Starts anew. */
  reset(): void
}

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/**
 * Makes a parser.
 *
 * **Details**
 *
 * A limit that is not a positive whole number or `Infinity` throws a `RangeError`.
 *
 * **Example** (A value in the middle of prose)
 *
 * ```ts
 * import { JsonStreamParser } from "effect-llm-streaming"
 *
 * const parser = JsonStreamParser.make()
 * parser.feed('As noted in [1], here it is: {"title": "Dum')
 * parser.partialUnsafe // => { title: "Dum" }
 * parser.feed('plings", "serves": 4')
 * parser.isComplete(["title"]) // => true
 * parser.snapshot() // => { title: "Dumplings" }
 * parser.feed("}. Enjoy!")
 * parser.takeValues() // => [{ title: "Dumplings", serves: 4 }]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options?: Options): JsonStreamParser => new Parser(options)

class Parser implements JsonStreamParser {
  private readonly engine: JsonEngine
  private failure: JsonError | undefined

  constructor(options: Options | undefined) {
    this.engine = new JsonEngine(options)
  }

  feed(chunk: string): void {
    this.engine.feed(chunk)
  }

  get hasCompleteValues(): boolean {
    return this.engine.hasCompleteValues
  }

  takeValues(): Array<Json> {
    return this.engine.takeValues()
  }

  get partialUnsafe(): Json | undefined {
    return this.engine.partialUnsafe
  }

  snapshot(): Json | undefined {
    return this.engine.snapshot()
  }

  isComplete(path: JsonPath): boolean {
    return this.engine.isComplete(path)
  }

  get error(): JsonError | undefined {
    if (this.failure === undefined && this.engine.fault !== undefined) this.failure = toError(this.engine.fault)
    return this.failure
  }

  end(): void {
    this.failure ??= endOf(this.engine)
  }

  reset(): void {
    this.engine.reset()
    this.failure = undefined
  }
}

// -----------------------------------------------------------------------------
// errors
// -----------------------------------------------------------------------------

/** @internal */
export const toError = (fault: JsonFault): JsonError => {
  switch (fault._tag) {
    case "InvalidJson":
      return StreamError.make(fault)
    case "SizeLimit":
      return StreamError.make({ _tag: "BufferOverflow", limit: fault.limit, size: fault.limit + 1 })
    case "DepthLimit":
      return StreamError.make({ _tag: "BudgetExceeded", limit: fault.limit, unit: "levels of JSON nesting" })
  }
}

/**
 * Ends a text, and says what is wrong with it.
 *
 * @internal
 */
export const endOf = (engine: JsonEngine): JsonError | undefined => {
  if (engine.fault !== undefined) return toError(engine.fault)
  engine.end()
  // What is wrong at the end and was not before is that it came too early.
  return engine.fault && StreamError.make({ _tag: "Truncated", expected: "the end of the JSON document" })
}
