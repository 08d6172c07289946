/**
 * What the pipeline does for each token, by hand: event object, filter, append, statistics, callback. The floor that the
 * pipeline is compared with, on the same engines.
 *
 * @since 0.1.0
 */
import { StreamEvent } from "../../src/index.ts"
import * as LatencyHistogram from "../../src/internal/latencyHistogram.ts"
import * as LiteralMatcher from "../../src/internal/literalMatcher.ts"
import * as WordCount from "../../src/internal/wordCount.ts"
import { patterns } from "./tokens.ts"

const matcher = LiteralMatcher.compile(patterns, { caseSensitive: false })

export const takeByHand = (callback: (event: StreamEvent.Delta) => Promise<void>) => {
  const filter = matcher.open("[FILTERED]")
  const words = WordCount.make()
  const gaps = LatencyHistogram.make()
  const startedAt = performance.now()
  const stats = { first: undefined as number | undefined, last: undefined as number | undefined, events: 0, chars: 0 }
  let text = ""
  /** Tokens have arrived. */
  const delivery = () => {
    const now = performance.now() - startedAt
    stats.first ??= now
    if (stats.last !== undefined) gaps.record(now - stats.last)
    stats.last = now
  }
  const emit = async (delta: string) => {
    if (delta === "") return
    const event = StreamEvent.delta(Date.now(), delta)
    text += event.delta
    words.push(event.delta)
    stats.events++
    stats.chars += event.delta.length
    await callback(event)
  }
  return {
    take: (token: string) => {
      delivery()
      return emit(filter.push(token))
    },
    takeArray: async (tokens: ReadonlyArray<string>) => {
      delivery()
      for (const token of tokens) await emit(filter.push(token))
    },
    end: async () => {
      await emit(filter.end())
      return { text, stats: { ...stats, tokens: words.count, p99: gaps.percentile(0.99) } }
    }
  }
}
