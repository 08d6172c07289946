/**
 * Counts tokens in text that arrives in pieces.
 *
 * A provider's own count, where it reports one, always wins in the statistics; this service counts where nobody else
 * does. Its default counts words; put a real tokenizer in its place where you need one.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as WordCount from "./internal/wordCount.ts"

/**
 * Counts one text. However the text is split over the pushes, the count must come out the same.
 *
 * @category models
 * @since 0.1.0
 */
export interface Counter {
  readonly push: (text: string) => void
  readonly count: number
}

/**
 * Makes a {@link Counter} for each text.
 *
 * @category models
 * @since 0.1.0
 */
export interface TokenCounter {
  readonly open: () => Counter
}

/**
 * Counts words: runs of characters that are not white space. Linear, and nothing is held back.
 *
 * **Example** (Counting words over pieces)
 *
 * ```ts
 * import { TokenCounter } from "effect-llm-streaming"
 *
 * const counter = TokenCounter.words.open()
 * counter.push("Hello, wor")
 * counter.push("ld! ")
 * counter.count // => 2
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const words: TokenCounter = { open: WordCount.make }

/**
 * The token counter in force; {@link words} unless another is provided.
 *
 * **Example** (Another tokenizer)
 *
 * ```ts
 * import { Effect, Layer, Stream } from "effect"
 * import { StreamEvent, StreamHandler, TokenCounter } from "effect-llm-streaming"
 *
 * const Characters = Layer.succeed(TokenCounter.TokenCounter, {
 *   open: () => {
 *     let count = 0
 *     return {
 *       push: (text: string) => {
 *         count += text.length
 *       },
 *       get count() {
 *         return count
 *       }
 *     }
 *   }
 * })
 * const result = Stream.make("Hello").pipe(StreamEvent.fromText, StreamHandler.run(), Effect.provide(Characters))
 * Effect.runSync(result).stats.totalTokens // => 5
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export const TokenCounter: Context.Reference<TokenCounter> = Context.Reference("effect-llm-streaming/TokenCounter", {
  defaultValue: () => words
})
