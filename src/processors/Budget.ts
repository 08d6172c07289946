/**
 * Lets so much of a stream through and no more: tokens, characters, events, tool calls, or what they cost.
 *
 * 1. Exactly the budget comes through, whatever the chunks: a text is cut at the character that would go over it.
 * 2. Then the source is released, so that nothing more is paid for, and the stream fails with `BudgetExceeded` or, by choice,
 *    ends with the finish reason `length`.
 * 3. A stream that stays within its budget passes unchanged.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as StreamError from "../StreamError.ts"
import * as StreamEvent from "../StreamEvent.ts"
import * as StreamProcessor from "../StreamProcessor.ts"
import * as TokenCounter from "../TokenCounter.ts"

/**
 * The limits; each is of one stream, and a number of 0 or more, else it throws a `RangeError`.
 *
 * **Details**
 *
 * Tokens and characters are those of all text of the model: answer, reasoning, refusal, and the arguments of tool calls.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** By the `TokenCounter` in force, which counts words unless another is provided. */
  readonly tokens?: number | undefined
  /** Code points, so that no character is torn. */
  readonly chars?: number | undefined
  /** Events of any kind but `Start`, `Progress` and the terminal one. They depend on how the provider splits its text. */
  readonly events?: number | undefined
  /** Whole tool calls. Pieces of the call that goes over the limit may have come before it. */
  readonly toolCalls?: number | undefined
  /** `limit` in a currency of yours; `perToken` is what a token of output costs in it. Tokens are counted as for `tokens`. */
  readonly cost?: { readonly limit: number; readonly perToken: number } | undefined
  /**
   * `"fail"` (by default) with `BudgetExceeded`; `"end"` the stream with the finish reason `length`, and with a Metadata event
   * of the kind `budget` that says which limit it was.
   */
  readonly onExceeded?: "fail" | "end" | undefined
}

/**
 * A processor that stops a stream at its budget.
 *
 * **Example** (An answer that is cut short)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { Budget, StreamEvent, StreamHandler } from "effect-llm-streaming"
 *
 * const result = Effect.runSync(
 *   Stream.make("one two", " three", " four").pipe(
 *     StreamEvent.fromText,
 *     Budget.make({ tokens: 3, onExceeded: "end" }),
 *     StreamHandler.run()
 *   )
 * )
 * result.text // => "one two three "
 * result.finishReason // => "length"
 * result.metadata // => [{ kind: "budget", metadata: { unit: "tokens", limit: 3 } }]
 * ```
 *
 * @category processors
 * @since 0.1.0
 */
export const make = (
  options: Options
): StreamProcessor.StreamProcessor<StreamError.StreamErrorOf<"BudgetExceeded">> => {
  const { chars, cost, events, onExceeded = "fail", tokens, toolCalls } = options
  for (const [name, limit] of Object.entries({ tokens, chars, events, toolCalls, "cost.limit": cost?.limit })) {
    if (limit !== undefined && !(limit >= 0)) throw new RangeError(`${name} must be 0 or more, got ${limit}`)
  }
  if (cost !== undefined && !(cost.perToken > 0 && cost.perToken < Infinity)) {
    throw new RangeError(`cost.perToken must be more than 0, got ${cost.perToken}`)
  }
  const affordable = cost === undefined ? Infinity : Math.floor(cost.limit / cost.perToken)
  const maxTokens = Math.min(tokens ?? Infinity, affordable)
  const limitOf = (unit: Unit): number => (unit === "cost" ? cost?.limit : options[unit]) ?? Infinity

  return (self) =>
    Stream.unwrap(
      Effect.map(TokenCounter.TokenCounter, (counter) =>
        StreamProcessor.transduce(() => {
          const texts = new Texts(counter, chars ?? Infinity, maxTokens)
          let eventsCount = 0
          let toolCallsCount = 0

          const exceed = (unit: Unit, timestamp: number, out: Array<StreamEvent.StreamEvent>) => {
            const limit = limitOf(unit)
            if (onExceeded === "fail") return StreamError.make({ _tag: "BudgetExceeded", limit, unit })
            const finish = { finishReason: "length", metadata: { unit, limit } } as const
            out.push(StreamEvent.metadata(timestamp, "budget", finish), StreamEvent.end(timestamp, "length"))
            return StreamProcessor.stop
          }

          return {
            step(event, out) {
              if (isFree(event)) {
                out.push(event)
                return undefined
              }
              const { timestamp } = event
              if (++eventsCount > limitOf("events")) return exceed("events", timestamp, out)
              if (event._tag === "ToolCall" && ++toolCallsCount > limitOf("toolCalls")) {
                return exceed("toolCalls", timestamp, out)
              }
              if (!StreamEvent.isText(event) && event._tag !== "ToolCallDelta") {
                out.push(event)
                return undefined
              }
              const { fits, over } = texts.take(event)
              if (over === undefined) {
                out.push(event)
                return undefined
              }
              // An empty piece of a call shows that there was one, and the end must not depend on where it was cut.
              if (fits > 0 || event._tag === "ToolCallDelta") out.push({ ...event, delta: event.delta.slice(0, fits) })
              return exceed(over === "tokens" && maxTokens === affordable ? "cost" : over, timestamp, out)
            },
            flush() {}
          }
        })(self)
      )
    )
}

type Unit = "tokens" | "chars" | "events" | "toolCalls" | "cost"

type Piece = StreamEvent.TextEvent | StreamEvent.ToolCallDelta

const isFree = (event: StreamEvent.StreamEvent): boolean =>
  event._tag === "Start" || event._tag === "Progress" || StreamEvent.isTerminal(event)

/** More than any tokenizer makes of one UTF-16 code unit: so long as this many fit, a text need not be looked at closely. */
const maxTokensPerUnit = 4

/** Counts text, and finds the character that goes over a limit. */
class Texts {
  private readonly tokenCounter: TokenCounter.TokenCounter
  private readonly maxChars: number
  private readonly maxTokens: number
  private readonly counters: { [T in Piece["_tag"]]?: TokenCounter.Counter } = {}
  private chars = 0
  private isBehindHighSurrogate = false

  constructor(tokenCounter: TokenCounter.TokenCounter, maxChars: number, maxTokens: number) {
    this.tokenCounter = tokenCounter
    this.maxChars = maxChars
    this.maxTokens = maxTokens
  }

  /** How many code units of the piece fit, and what the next one would go over. */
  take({ _tag, delta }: Piece): { readonly fits: number; readonly over?: "chars" | "tokens" } {
    const chars = this.maxChars === Infinity ? delta.length : this.takeChars(delta)
    const tokens = this.maxTokens === Infinity ? chars : this.takeTokens(_tag, delta.slice(0, chars))
    if (tokens < chars) return { fits: tokens, over: "tokens" }
    return chars < delta.length ? { fits: chars, over: "chars" } : { fits: chars }
  }

  private takeChars(text: string): number {
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i) & 0xfc00
      const isSecondHalf = unit === 0xdc00 && this.isBehindHighSurrogate
      if (!isSecondHalf && ++this.chars > this.maxChars) return i
      this.isBehindHighSurrogate = unit === 0xd800
    }
    return text.length
  }

  private takeTokens(tag: Piece["_tag"], text: string): number {
    const counter = (this.counters[tag] ??= this.tokenCounter.open())
    if (this.tokens() + text.length * maxTokensPerUnit <= this.maxTokens) {
      counter.push(text)
      return text.length
    }
    let fits = 0
    for (const character of text) {
      counter.push(character)
      if (this.tokens() > this.maxTokens) break
      fits += character.length
    }
    return fits
  }

  private tokens(): number {
    let tokens = 0
    for (const counter of Object.values(this.counters)) tokens += counter.count
    return tokens
  }
}
