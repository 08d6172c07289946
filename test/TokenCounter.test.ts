import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema, Stream } from "effect"
import * as StreamEvent from "../src/StreamEvent.ts"
import * as StreamHandler from "../src/StreamHandler.ts"
import * as TokenCounter from "../src/TokenCounter.ts"

const count = (...pieces: ReadonlyArray<string>) => {
  const counter = TokenCounter.words.open()
  for (const piece of pieces) counter.push(piece)
  return counter.count
}

const stats = (...pieces: ReadonlyArray<string>) =>
  Effect.map(
    Stream.fromIterable(pieces).pipe(Stream.rechunk(1), StreamEvent.fromText, StreamHandler.run()),
    (result) => result.stats
  )

describe("TokenCounter", () => {
  it.prop("words: any split gives the same count", { pieces: Schema.Array(Schema.String) }, ({ pieces }) => {
    assert.strictEqual(count(...pieces), count(pieces.join("")))
  })

  it("words: counts runs that are not white space, in every script alike", () => {
    assert.strictEqual(count("  Hello,\nwor", "ld!\u3000日本語 ", "  "), 3)
    assert.strictEqual(count(" \t\r\n\u00a0"), 0)
    assert.strictEqual(count(), 0)
  })

  it("words: counts each text by itself", () => {
    const first = TokenCounter.words.open()
    const second = TokenCounter.words.open()
    first.push("a b")
    second.push("c")
    assert.deepStrictEqual([first.count, second.count], [2, 1])
  })

  it.effect("is what statistics count with where the provider is silent", () =>
    Effect.gen(function* () {
      const { totalTokens, tokenSource } = yield* stats("one tw", "o three")
      assert.deepStrictEqual([totalTokens, tokenSource], [3, "counter"])
    })
  )

  it.effect("can be replaced, and is opened for each stream and for each kind of text", () =>
    Effect.gen(function* () {
      let opened = 0
      const characters: TokenCounter.TokenCounter = {
        open: () => {
          opened++
          let count = 0
          return {
            push: (text) => {
              count += text.length
            },
            get count() {
              return count
            }
          }
        }
      }
      const program = Effect.all([stats("Hello"), stats("a", "b")])
      const [first, second] = yield* Effect.provide(program, Layer.succeed(TokenCounter.TokenCounter, characters))
      assert.deepStrictEqual([first.totalTokens, second.totalTokens, opened], [5, 2, 2])

      const mixed = Stream.make(StreamEvent.reasoning(0, "hm"), StreamEvent.delta(0, "yes"), StreamEvent.end(0))
      const result = yield* Effect.provideService(StreamHandler.run()(mixed), TokenCounter.TokenCounter, characters)
      assert.deepStrictEqual([result.stats.totalTokens, opened], [5, 4])
    })
  )
})
