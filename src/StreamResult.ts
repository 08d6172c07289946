/**
 * What a stream amounts to, whole or so far: text, calls, usage and statistics.
 *
 * A `StreamResult` is what `StreamHandler.run` returns, what an `onExit` callback saves, and what a failure carries in
 * `StreamError.partial`. This module holds its model and the plain structures it shares with the events.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import type { Json } from "./internal/jsonModel.ts"

// -----------------------------------------------------------------------------
// finish reason
// -----------------------------------------------------------------------------

/**
 * Schema for {@link FinishReason}.
 *
 * @category schemas
 * @since 0.1.0
 */
export const FinishReason = Schema.Literals([
  "stop",
  "length",
  "content-filter",
  "tool-calls",
  "error",
  "pause",
  "other",
  "unknown"
])

/**
 * Why the model stopped, in the words of `effect/ai`. The provider's own word is kept beside it, in
 * `providerFinishReason`. `"unknown"` means that nobody said.
 *
 * @category models
 * @since 0.1.0
 */
export type FinishReason = typeof FinishReason.Type

// -----------------------------------------------------------------------------
// usage
// -----------------------------------------------------------------------------

/**
 * Tokens that a request used, in the shape of `effect/ai`'s `Usage`.
 *
 * **Details**
 *
 * Totals are inclusive, whatever the provider's own convention: `inputTokens.total` counts cached tokens in and
 * `outputTokens.total` counts reasoning in. `undefined` means that the provider did not report the number; it is never
 * shown as 0.
 *
 * @category models
 * @since 0.1.0
 */
export interface Usage {
  readonly inputTokens: {
    readonly uncached?: number | undefined
    readonly total?: number | undefined
    readonly cacheRead?: number | undefined
    readonly cacheWrite?: number | undefined
  }
  readonly outputTokens: {
    readonly total?: number | undefined
    readonly text?: number | undefined
    readonly reasoning?: number | undefined
  }
}

/**
 * Schema for {@link Usage}.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Usage: Schema.Codec<Usage> = Schema.Struct({
  inputTokens: Schema.Struct({
    uncached: Schema.optional(Schema.Number),
    total: Schema.optional(Schema.Number),
    cacheRead: Schema.optional(Schema.Number),
    cacheWrite: Schema.optional(Schema.Number)
  }),
  outputTokens: Schema.Struct({
    total: Schema.optional(Schema.Number),
    text: Schema.optional(Schema.Number),
    reasoning: Schema.optional(Schema.Number)
  })
})

// -----------------------------------------------------------------------------
// statistics
// -----------------------------------------------------------------------------

/**
 * How a stream came to its end, or `"running"` while it has not. `"abandoned"`: the consumer left early.
 *
 * @category models
 * @since 0.1.0
 */
export type Outcome = "running" | "completed" | "failed" | "interrupted" | "abandoned"

/**
 * Figures of one stream, at one moment.
 *
 * **Details**
 *
 * Durations are milliseconds on the monotonic clock, counted from the moment the stream was first pulled. A figure that
 * is not known is `undefined`, never 0. Frames that carry no text (a role, a keep-alive, an empty delta) start no
 * clock and count as no chunk.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stats {
  readonly outcome: Outcome
  /** The response's id and model, as `Start` gave them, or else the first Metadata of the kind `response`. */
  readonly id?: string | undefined
  readonly model?: string | undefined
  /** Output tokens: the provider's own count where it reported one, else the `TokenCounter`'s. */
  readonly totalTokens: number
  readonly tokenSource: "provider" | "counter"
  /** Events that reached the handler, without Start and End. */
  readonly eventsCount: number
  /** UTF-16 code units of answer, reasoning and refusal text. */
  readonly charsCount: number
  /** Until the first event of any kind. */
  readonly firstEventMs?: number | undefined
  /** Time to first token: until the first text of any kind, reasoning included. */
  readonly firstTokenMs?: number | undefined
  /** Time to first output: until the first answer text. */
  readonly firstOutputMs?: number | undefined
  /** So far, or whole once the stream has ended. */
  readonly totalDurationMs: number
  /** `totalTokens / totalDurationMs`, per second. */
  readonly tokensPerSecond?: number | undefined
  /** `(totalDurationMs - firstTokenMs) / (totalTokens - 1)`. */
  readonly timePerOutputTokenMs?: number | undefined
  /** Inter-chunk latency: the gaps between deliveries of text, exact in `max` and within 5 % in the percentiles. */
  readonly interChunkMs?:
    | { readonly p50: number; readonly p95: number; readonly p99: number; readonly max: number }
    | undefined
}

/**
 * Schema for {@link Stats}.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Stats: Schema.Codec<Stats> = Schema.Struct({
  outcome: Schema.Literals(["running", "completed", "failed", "interrupted", "abandoned"]),
  id: Schema.optional(Schema.String),
  model: Schema.optional(Schema.String),
  totalTokens: Schema.Number,
  tokenSource: Schema.Literals(["provider", "counter"]),
  eventsCount: Schema.Number,
  charsCount: Schema.Number,
  firstEventMs: Schema.optional(Schema.Number),
  firstTokenMs: Schema.optional(Schema.Number),
  firstOutputMs: Schema.optional(Schema.Number),
  totalDurationMs: Schema.Number,
  tokensPerSecond: Schema.optional(Schema.Number),
  timePerOutputTokenMs: Schema.optional(Schema.Number),
  interChunkMs: Schema.optional(
    Schema.Struct({ p50: Schema.Number, p95: Schema.Number, p99: Schema.Number, max: Schema.Number })
  )
})

// -----------------------------------------------------------------------------
// tools
// -----------------------------------------------------------------------------

/**
 * A tool call whose arguments are whole and valid: `input` is what `argumentsText` says.
 *
 * @category models
 * @since 0.1.0
 */
export interface ToolCall {
  readonly id: string
  readonly name: string
  readonly argumentsText: string
  readonly input: unknown
}

/**
 * The fields of {@link ToolCall}, for the schemas that hold one.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ToolCall = Schema.Struct({
  id: Schema.String,
  name: Schema.String,
  argumentsText: Schema.String,
  input: Schema.Unknown
})

/**
 * What a tool answered, run by the provider or by the application's own loop.
 *
 * @category models
 * @since 0.1.0
 */
export interface ToolResult {
  readonly id: string
  readonly name: string
  readonly output: unknown
  readonly isError: boolean
}

/**
 * The fields of {@link ToolResult}, for the schemas that hold one.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ToolResult = Schema.Struct({
  id: Schema.String,
  name: Schema.String,
  output: Schema.Unknown,
  isError: Schema.Boolean
})

/**
 * What else the provider said: one entry for each Metadata event, in order.
 *
 * @category models
 * @since 0.1.0
 */
export interface MetadataEntry {
  readonly kind: string
  readonly metadata: Readonly<Record<string, unknown>>
}

// -----------------------------------------------------------------------------
// result
// -----------------------------------------------------------------------------

/**
 * What a stream amounts to, whole or so far.
 *
 * **Details**
 *
 * `finishReason` is `"unknown"` as long as nobody gave one, so also for a stream that failed or was left early;
 * `stats.outcome` says which of these it was. With `bufferContent: false` the texts are `""` and the lists are empty.
 *
 * `toolCalls` has whole calls only. A call that was cut short must not be run, so its fragments are in no result: they went
 * by as ToolCallDelta events, which `StreamCallbacks.on("ToolCallDelta", …)` sees.
 *
 * @category models
 * @since 0.1.0
 */
export interface StreamResult {
  readonly text: string
  readonly reasoning: string
  readonly refusal: string
  readonly toolCalls: ReadonlyArray<ToolCall>
  readonly toolResults: ReadonlyArray<ToolResult>
  readonly finishReason: FinishReason
  readonly providerFinishReason?: string | undefined
  /** The sum over the steps of the stream, which Metadata `step` tells apart. */
  readonly usage?: Usage | undefined
  readonly metadata: ReadonlyArray<MetadataEntry>
  readonly stats: Stats
}

/**
 * What had arrived before a failure, as far as the function that failed keeps it: the handler all of a
 * {@link StreamResult}, `JsonStream.collect` and `JsonStream.run` the JSON.
 *
 * @category models
 * @since 0.1.0
 */
export interface PartialResult extends Partial<StreamResult> {
  /** The JSON value so far: strings may be cut, and the last fields be missing. */
  readonly json?: Json | undefined
}

/**
 * Schema for {@link StreamResult}: to and from JSON, for where a result is saved.
 *
 * **Example** (Saving a result)
 *
 * ```ts
 * import { Schema, Stream, Effect } from "effect"
 * import { StreamEvent, StreamHandler, StreamResult } from "effect-llm-streaming"
 *
 * const result = await Effect.runPromise(
 *   Stream.make("Hello", " World").pipe(StreamEvent.fromText, StreamHandler.run())
 * )
 * const saved = JSON.stringify(Schema.encodeSync(StreamResult.StreamResult)(result))
 * const loaded = Schema.decodeUnknownSync(StreamResult.StreamResult)(JSON.parse(saved))
 * loaded.text // => "Hello World"
 * loaded.finishReason // => "unknown"
 * ```
 *
 * @category schemas
 * @since 0.1.0
 */
export const StreamResult: Schema.Codec<StreamResult> = Schema.Struct({
  text: Schema.String,
  reasoning: Schema.String,
  refusal: Schema.String,
  toolCalls: Schema.Array(ToolCall),
  toolResults: Schema.Array(ToolResult),
  finishReason: FinishReason,
  providerFinishReason: Schema.optional(Schema.String),
  usage: Schema.optional(Usage),
  metadata: Schema.Array(
    Schema.Struct({ kind: Schema.String, metadata: Schema.Record(Schema.String, Schema.Unknown) })
  ),
  stats: Stats
})
