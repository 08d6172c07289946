/**
 * Collects text up to a limit.
 *
 * A buffer is a `Ref`: safe under concurrent fibers, O(1) for each append, and an append that does not fit changes
 * nothing and fails with a typed error that says by how much.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Ref from "effect/Ref"
import * as TextRope from "./internal/textRope.ts"
import * as StreamError from "./StreamError.ts"

/**
 * Text that is collected up to `maxSize` UTF-16 code units.
 *
 * @category models
 * @since 0.1.0
 */
export interface StreamBuffer {
  readonly maxSize: number
  /** Adds a chunk, or fails with `BufferOverflow` and changes nothing. O(1). */
  readonly append: (chunk: string) => Effect.Effect<void, StreamError.StreamErrorOf<"BufferOverflow">>
  /** All text so far. Reading it costs O(length). */
  readonly content: Effect.Effect<string>
  /** UTF-16 code units so far. O(1). */
  readonly length: Effect.Effect<number>
  /** Appended chunks so far. O(1). */
  readonly chunkCount: Effect.Effect<number>
  readonly clear: Effect.Effect<void>
  /** @internal */
  readonly text: Ref.Ref<TextRope.TextRope>
  /** What the handler keeps elsewhere on this buffer's account. @internal */
  reserved: number
}

/**
 * Makes an empty buffer.
 *
 * **Details**
 *
 * `maxSize` is in UTF-16 code units, 100,000 by default; a text of exactly `maxSize` fits. A `maxSize` that is negative
 * or not a number throws a `RangeError`.
 *
 * **Example** (Collecting text up to a limit)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { StreamBuffer } from "effect-llm-streaming"
 *
 * const program = Effect.gen(function* () {
 *   const buffer = yield* StreamBuffer.make({ maxSize: 10 })
 *   yield* buffer.append("12345")
 *   const error = yield* Effect.flip(buffer.append("67890extra"))
 *   return [error.reason, yield* buffer.content] as const
 * })
 * Effect.runSync(program) // => [{ _tag: "BufferOverflow", limit: 10, size: 15 }, "12345"]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options?: { readonly maxSize?: number | undefined }): Effect.Effect<StreamBuffer> => {
  const maxSize = checkMaxSize("maxSize", options?.maxSize ?? 100_000)
  return Effect.sync(() => makeUnsafe(maxSize))
}

/** @internal */
export const makeUnsafe = (maxSize: number): StreamBuffer => new RefBuffer(maxSize)

// A class, whose effects are made when they are asked for: a handler makes a buffer for each stream, and seldom needs them.
class RefBuffer implements StreamBuffer {
  readonly maxSize: number
  readonly text = Ref.makeUnsafe(TextRope.empty)
  reserved = 0

  constructor(maxSize: number) {
    this.maxSize = maxSize
  }

  readonly append = (chunk: string): Effect.Effect<void, StreamError.StreamErrorOf<"BufferOverflow">> =>
    Effect.flatMap(
      Ref.modify(this.text, (text): [size: number, text: TextRope.TextRope] => {
        const size = text.length + this.reserved + chunk.length
        return [size, size > this.maxSize ? text : TextRope.append(text, chunk)]
      }),
      (size) => (size > this.maxSize ? Effect.fail(overflow(this.maxSize, size)) : Effect.void)
    )

  get content(): Effect.Effect<string> {
    return Effect.map(Ref.get(this.text), TextRope.toString)
  }

  get length(): Effect.Effect<number> {
    return Effect.map(Ref.get(this.text), (text) => text.length)
  }

  get chunkCount(): Effect.Effect<number> {
    return Effect.map(Ref.get(this.text), (text) => text.pieces)
  }

  get clear(): Effect.Effect<void> {
    return Ref.update(this.text, () => {
      this.reserved = 0
      return TextRope.empty
    })
  }
}

/** @internal */
export const overflow = (limit: number, size: number): StreamError.StreamErrorOf<"BufferOverflow"> =>
  StreamError.make({ _tag: "BufferOverflow", limit, size })

/** @internal */
export const checkMaxSize = (option: string, value: number): number => {
  if (value >= 0) return value
  throw new RangeError(`${option} must be a number of UTF-16 code units, 0 or more, got ${value}`)
}
