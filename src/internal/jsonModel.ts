/**
 * What the JSON engine takes and gives: values, paths, faults, options, events. Types only.
 *
 * @since 0.1.0
 */

/** @since 0.1.0 */
export type Json = null | boolean | number | string | JsonArray | JsonObject

/** @since 0.1.0 */
export interface JsonArray extends ReadonlyArray<Json> {}

/** @since 0.1.0 */
export interface JsonObject {
  readonly [key: string]: Json
}

/**
 * Where a value stands below its top-level value: keys of objects, indices of arrays.
 *
 * @since 0.1.0
 */
export type JsonPath = ReadonlyArray<string | number>

/**
 * Why the engine stopped. `offset` counts UTF-16 code units from the start of the stream to the code unit at fault (for
 * a text that ended too early: its length); `path` leads to the value that was open there. No text of the input is in
 * `issue`.
 *
 * @since 0.1.0
 */
export type JsonFault =
  | { readonly _tag: "InvalidJson"; readonly offset: number; readonly path: JsonPath; readonly issue: string }
  | { readonly _tag: "DepthLimit"; readonly offset: number; readonly path: JsonPath; readonly limit: number }
  | { readonly _tag: "SizeLimit"; readonly offset: number; readonly path: JsonPath; readonly limit: number }

/**
 * Which top-level values of a mixed text count.
 *
 * - default (`undefined`): objects, and arrays that have an object, an array or a string among their elements. Such an
 *   array counts from the first such element on, so that `[1]`, `[2, 3]` and `[ ]` never show.
 * - `"objects"`, `"arrays"`: only these. The others are read over whole: what stands inside them is not top-level.
 * - `"all"`: objects and arrays of whatever content.
 * - `"fenced"`: objects and arrays of whatever content, only inside Markdown fences of backticks that have no info string
 *   or one whose first word has "json" in it.
 *
 * @since 0.1.0
 */
export type JsonRoots = "objects" | "arrays" | "all" | "fenced"

/**
 * Is told what happens inside values that count, in order, while `feed` runs. `JsonEngine.path` is then the path of what
 * the event is about, and `slot` and `depth` belong to it. A listener must not call the engine's other methods, but for
 * `hideText`.
 *
 * @since 0.1.0
 */
export interface JsonListener {
  /** A value that grows begins, empty. */
  readonly onOpen: (kind: "object" | "array" | "string") => void
  /** The open string grows by `text`, which is never empty and never ends with half a surrogate pair that may go on. */
  readonly onAppend: (text: string) => void
  /** A value is whole. */
  readonly onValue: (value: Json) => void
  /** The open top-level value was none: all that was said about it is void. */
  readonly onDrop: () => void
}

/**
 * Hands out the elements of arrays as soon as they are whole.
 *
 * @since 0.1.0
 */
export interface JsonElements {
  /** Path of the arrays below their top-level value. A string names a key or an index, `null` any. */
  readonly pointer: ReadonlyArray<string | null>
  /**
   * Elements that were handed out are taken off their array, and what the array has had is no longer counted by
   * `maxSize`: an array of any length runs in the memory of its longest element.
   */
  readonly detach?: boolean | undefined
  /** `JsonEngine.path` is the element's path. */
  readonly onElement: (value: Json) => void
}

/** @since 0.1.0 */
export interface JsonEngineOptions {
  readonly roots?: JsonRoots | undefined
  /**
   * What becomes of a value that counts, at its first illegal code unit: it is dropped and the search for the next one
   * goes on at that code unit (`"skip"`, the default), or the engine stops (`"fail"`).
   */
  readonly onMalformed?: "skip" | "fail" | undefined
  /** The whole text is one JSON document of any kind (`JSON.parse`'s grammar). `roots` and `onMalformed` do not matter. */
  readonly strict?: boolean | undefined
  /** Containers inside one another. 1,000 by default. */
  readonly maxDepth?: number | undefined
  /** UTF-16 code units of one top-level value. 16 Mi by default. */
  readonly maxSize?: number | undefined
  readonly listener?: JsonListener | undefined
  readonly elements?: JsonElements | undefined
}
