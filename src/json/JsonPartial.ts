/**
 * Values that are not whole yet: what they are, and when they are worth to be looked at.
 *
 * 1. A partial is an immutable snapshot. It shares with the one before, and with the whole value, all that did not change.
 * 2. A snapshot costs as many slots as the open containers have, and waits until its cost is paid: by the text that comes,
 *    or by the time that passes. So all of them together cost what the text is long, or next to nothing of the time. The
 *    last state before an end or a failure does not wait.
 * 3. A value that can no longer fit its schema is reported at the event that shows it, once.
 *
 * @since 0.1.0
 */
import { JsonEngine } from "../internal/jsonEngine.ts"
import { JsonFit, type Kind, type Misfit } from "../internal/jsonFit.ts"
import type { Json, JsonListener, JsonPath } from "../internal/jsonModel.ts"
import { hasPath } from "../internal/jsonPath.ts"
import * as StreamError from "../StreamError.ts"
import type * as JsonShape from "./JsonShape.ts"
import type * as JsonStreamParser from "./JsonStreamParser.ts"

// -----------------------------------------------------------------------------
// model
// -----------------------------------------------------------------------------

/**
 * A value whose strings may be cut and whose last fields, or elements, may be missing.
 *
 * @category models
 * @since 0.1.0
 */
export type DeepPartial<T> = T extends string | number | boolean | null | undefined
  ? T
  : T extends ReadonlyArray<infer A>
    ? number extends T["length"]
      ? ReadonlyArray<DeepPartial<A>>
      : { readonly [K in keyof T]?: DeepPartial<T[K]> }
    : T extends object
      ? IsRecord<T> extends true
        ? { readonly [K in keyof T]: DeepPartial<T[K]> }
        : { readonly [K in keyof T]?: DeepPartial<T[K]> }
      : T

/** All keys are optional already: `?` would add `undefined` to the values of a record. */
type IsRecord<T> = string extends keyof T ? ({} extends T ? true : false) : false

/**
 * A value that is still growing, as it was at one moment. `I` is what the schema decodes: its `Encoded`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Partial<I> {
  readonly _tag: "Partial"
  readonly value: DeepPartial<I>
  /** Whether the value at a path was whole. Then it will not change any more. */
  readonly isComplete: (path: JsonPath) => boolean
}

// -----------------------------------------------------------------------------
// following a value
// -----------------------------------------------------------------------------

/** Slots that a code unit pays for: then snapshots cost at most about as much as pulling and reading the text. */
const slotsPerUnit = 8

/** Slots that a millisecond pays for: some 3 % of it. At the pace of a model that is all there are. */
const slotsPerMilli = 10_000

/**
 * Who is told what becomes of the values of a text, while it is read.
 *
 * @internal
 */
export interface Observer {
  readonly onComplete: (value: Json) => void
  readonly onMismatch: (error: StreamError.StreamErrorOf<"SchemaMismatch">) => void
}

/**
 * Follows the values of a text against a schema.
 *
 * @internal
 */
export class Follower implements JsonListener {
  readonly engine: JsonEngine
  /** The last value that was whole, whether it fits or not. */
  last: Json | undefined
  private readonly observer: Observer
  private readonly fit: JsonFit | undefined
  private readonly hasCitations: boolean
  /** Visible changes of the open value, and those that the last partial showed. */
  private changes = 0
  private shown = 0
  private cost = 0
  private credit = 0
  private paidAt = 0
  private isHidden = false
  /** The open value does not fit: what else comes of it is of no interest. */
  private isIgnored = false
  /** The open value does not fit if it is more than a citation. */
  private doubt: StreamError.StreamErrorOf<"SchemaMismatch"> | undefined

  constructor(shape: JsonShape.JsonShape, options: JsonStreamParser.Options, observer: Observer) {
    this.observer = observer
    this.engine = new JsonEngine({ ...options, listener: this })
    this.fit = shape.place.isAny ? undefined : new JsonFit(shape.place)
    this.hasCitations = shape.hasCitations && options.strict !== true
  }

  feed(chunk: string): void {
    this.credit += slotsPerUnit * chunk.length
    this.engine.feed(chunk)
    if (this.engine.hasCompleteValues) this.last = this.engine.takeValues().at(-1)
  }

  /**
   * The open value, if there is more of it to be seen than the last time. Given the time, in milliseconds, it waits until
   * it is paid.
   */
  partial<I>(now: (() => number) | undefined): Partial<I> | undefined {
    const { engine } = this
    if (this.changes === this.shown || this.isIgnored || this.doubt !== undefined) return undefined
    if (now !== undefined && !this.isPaid(now)) return undefined
    const value = engine.snapshot()
    if (value === undefined) return undefined
    this.shown = this.changes
    this.cost = engine.snapshotCost
    this.credit -= this.cost
    const open = engine.openPath()
    return {
      _tag: "Partial",
      // Its kinds are those of the schema as far as `JsonFit` looks, and the whole is decoded in the end.
      value: value as DeepPartial<I>,
      isComplete: (path) => !isPrefix(path, open) && hasPath(value, path, 0)
    }
  }

  onOpen(kind: Kind): void {
    if (this.isIgnored) return
    const { engine, fit } = this
    if (this.doubt !== undefined && engine.depth === 1) return this.report(this.doubt)
    if (fit !== undefined) {
      const fits = fit.open(kind, engine.depth, engine.slot)
      if (typeof fits === "object") return this.report(this.mismatch(fits))
      if (kind === "string") this.isHidden = fits === "hide"
    }
    if (this.isHidden) engine.hideText(true)
    // An empty top-level value shows nothing, and braces in prose begin like one.
    else if (engine.depth > 0) this.changes++
  }

  onAppend(text: string): void {
    if (this.isIgnored) return
    if (this.fit?.narrows === true) {
      const misfit = this.fit.append(text, this.engine.depth, this.engine.slot)
      if (misfit !== undefined) return this.report(this.mismatch(misfit))
    }
    if (!this.isHidden) this.changes++
  }

  onValue(value: Json): void {
    const { engine, fit } = this
    const { depth } = engine
    if (!this.isIgnored && this.doubt === undefined) {
      const misfit = fit?.close(value, depth, engine.slot)
      if (misfit !== undefined) {
        const error = this.mismatch(misfit)
        if (this.hasCitations && depth === 1 && typeof engine.slot === "number" && isBare(value)) this.doubt = error
        else this.report(error)
      } else if (depth === 0) this.observer.onComplete(value)
      else if (this.isHidden || isBare(value)) this.changes++
    }
    this.isHidden = false
    if (depth === 0) this.restart()
  }

  onDrop(): void {
    this.restart()
  }

  private isPaid(now: () => number): boolean {
    if (this.credit >= this.cost) return true
    const time = now()
    this.credit = Math.min(this.cost, this.credit + slotsPerMilli * (time - this.paidAt))
    this.paidAt = time
    return this.credit >= this.cost
  }

  private mismatch({ issue, slot }: Misfit): StreamError.StreamErrorOf<"SchemaMismatch"> {
    const path = this.engine.path()
    if (slot !== undefined) path.push(slot)
    return StreamError.make({ _tag: "SchemaMismatch", path, issue })
  }

  private report(error: StreamError.StreamErrorOf<"SchemaMismatch">): void {
    this.isIgnored = true
    // What does not fit is to be seen.
    this.engine.hideText(false)
    this.observer.onMismatch(error)
  }

  private restart(): void {
    this.changes = 0
    this.shown = 0
    this.cost = 0
    this.isHidden = false
    this.isIgnored = false
    this.doubt = undefined
    this.fit?.reset()
  }
}

/** A value that is neither container nor string: what citations are made of. */
const isBare = (value: Json): boolean => typeof value !== "string" && (typeof value !== "object" || value === null)

const isPrefix = (path: JsonPath, open: JsonPath): boolean =>
  path.length <= open.length && path.every((segment, i) => String(segment) === String(open[i]))
