import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { Effect, Exit, Schema } from "effect"
import * as StreamBuffer from "../src/StreamBuffer.ts"
import type * as StreamError from "../src/StreamError.ts"

const look = (buffer: StreamBuffer.StreamBuffer) => Effect.all([buffer.content, buffer.length, buffer.chunkCount])

describe("StreamBuffer", () => {
  it.effect("collects text and counts it", () =>
    Effect.gen(function* () {
      const buffer = yield* StreamBuffer.make()
      assert.deepStrictEqual(yield* look(buffer), ["", 0, 0])
      yield* buffer.append("Hello ")
      yield* buffer.append("")
      yield* buffer.append("Wörld 😀")
      assert.deepStrictEqual(yield* look(buffer), ["Hello Wörld 😀", 14, 3])
    })
  )

  it.effect.prop(
    "holds as long a beginning of what is appended as fits",
    { chunks: Schema.Array(Schema.String), maxSize: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 60 })) },
    ({ chunks, maxSize }) =>
      Effect.gen(function* () {
        const buffer = yield* StreamBuffer.make({ maxSize })
        let content = ""
        let count = 0
        for (const chunk of chunks) {
          const exit = yield* Effect.exit(buffer.append(chunk))
          assert.strictEqual(Exit.isSuccess(exit), content.length + chunk.length <= maxSize)
          if (Exit.isSuccess(exit)) {
            content += chunk
            count++
          }
        }
        assert.deepStrictEqual(yield* look(buffer), [content, content.length, count])
      })
  )

  it.effect("takes exactly its limit, and one unit more is refused and changes nothing", () =>
    Effect.gen(function* () {
      const buffer = yield* StreamBuffer.make({ maxSize: 10 })
      yield* buffer.append("12345")
      yield* buffer.append("67890")
      const error = yield* Effect.flip(buffer.append("!"))
      assert.deepStrictEqual(error.reason, { _tag: "BufferOverflow", limit: 10, size: 11 })
      assert.strictEqual(error.message, "Buffer size exceeded: 11 UTF-16 code units where the limit is 10")
      assert.deepStrictEqual(yield* look(buffer), ["1234567890", 10, 2])
      yield* buffer.append("")
      assert.strictEqual(yield* buffer.length, 10)
    })
  )

  it.effect("counts UTF-16 code units: an emoji is two", () =>
    Effect.gen(function* () {
      const buffer = yield* StreamBuffer.make({ maxSize: 2 })
      yield* buffer.append("😀")
      assert.strictEqual((yield* Effect.flip(buffer.append("a"))).reason.size, 3)
    })
  )

  it.effect("holds 100,000 code units by default, nothing with a limit of 0, anything with Infinity", () =>
    Effect.gen(function* () {
      const byDefault = yield* StreamBuffer.make()
      assert.strictEqual(byDefault.maxSize, 100_000)
      yield* byDefault.append("x".repeat(100_000))
      assert.strictEqual((yield* Effect.flip(byDefault.append("x"))).reason.limit, 100_000)
      const none = yield* StreamBuffer.make({ maxSize: 0 })
      yield* none.append("")
      yield* Effect.flip(none.append("x"))
      const unbounded = yield* StreamBuffer.make({ maxSize: Infinity })
      yield* unbounded.append("x".repeat(200_000))
      assert.strictEqual(yield* unbounded.length, 200_000)
      assert.strictEqual((yield* StreamBuffer.make({ maxSize: undefined })).maxSize, 100_000)
    })
  )

  it("refuses a limit that is none, at once and by name", () => {
    for (const maxSize of [-1, Number.NaN]) {
      assert.throws(() => StreamBuffer.make({ maxSize }), RangeError, `maxSize must be a number`)
    }
  })

  it.effect("begins anew when it is cleared", () =>
    Effect.gen(function* () {
      const buffer = yield* StreamBuffer.make({ maxSize: 5 })
      yield* buffer.append("12345")
      yield* buffer.clear
      assert.deepStrictEqual(yield* look(buffer), ["", 0, 0])
      yield* buffer.append("abcde")
      assert.deepStrictEqual(yield* look(buffer), ["abcde", 5, 1])
    })
  )

  it.effect("is a new one each time make runs", () =>
    Effect.gen(function* () {
      const make = StreamBuffer.make()
      const first = yield* make
      const second = yield* make
      yield* first.append("a")
      assert.strictEqual(yield* second.content, "")
    })
  )

  it.effect("loses and doubles nothing under 100 fibers", () =>
    Effect.gen(function* () {
      const buffer = yield* StreamBuffer.make()
      const words = Array.from({ length: 100 }, (_, i) => `${String(i).padStart(3, "0")};`)
      yield* Effect.forEach(
        words,
        (word) =>
          Effect.gen(function* () {
            for (let n = 0; n < 10; n++) {
              yield* buffer.append(word)
              yield* Effect.yieldNow
            }
          }),
        { concurrency: "unbounded", discard: true }
      )
      const content = yield* buffer.content
      const seen = content.match(/.{4}/g) ?? []
      assert.deepStrictEqual(
        seen.toSorted(),
        words.flatMap((word) => Array.from({ length: 10 }, () => word))
      )
      // The fibers did take turns, else this would show nothing.
      assert.notDeepEqual(seen, seen.toSorted())
      assert.deepStrictEqual(yield* look(buffer), [content, 4_000, 1_000])
    })
  )

  it.effect("never passes its limit under 100 fibers", () =>
    Effect.gen(function* () {
      const buffer = yield* StreamBuffer.make({ maxSize: 50 })
      const append = Effect.andThen(Effect.yieldNow, buffer.append("ab"))
      const exits = yield* Effect.all(
        Array.from({ length: 100 }, () => Effect.exit(append)),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(exits.filter(Exit.isSuccess).length, 25)
      assert.strictEqual(yield* buffer.length, 50)
    })
  )

  it("fails with BufferOverflow and nothing else", () => {
    expectTypeOf<StreamBuffer.StreamBuffer["append"]>().returns.toEqualTypeOf<
      Effect.Effect<void, StreamError.StreamErrorOf<"BufferOverflow">>
    >()
  })
})
