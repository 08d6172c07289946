/**
 * What flows: the events of a model's answer, from the first sign of life to the one terminal.
 *
 * The grammar: one `Start`, then any number of content, tool, metadata and progress events, then one `End`, or a
 * failure of the stream (or, where failures are shown in-band, one `Error`). Never both, never neither; {@link validate}
 * checks it.
 *
 * Events are plain objects, made with the constructors of this module on the hot path and checked by the
 * {@link StreamEvent} schema at every edge: HTTP, logs, recordings.
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { EventGrammar } from "./internal/eventGrammar.ts"
import * as StreamError from "./StreamError.ts"
import * as StreamResult from "./StreamResult.ts"

// -----------------------------------------------------------------------------
// model
// -----------------------------------------------------------------------------

/**
 * The response begins: its headers are there, its content is not.
 *
 * @category models
 * @since 0.1.0
 */
export interface Start {
  readonly _tag: "Start"
  /** Milliseconds since the epoch, by Effect's `Clock`, here and in every other event. */
  readonly timestamp: number
  readonly id?: string | undefined
  readonly model?: string | undefined
}

/**
 * A piece of the answer, and of nothing else. `part` names the provider's block where there are several.
 *
 * @category models
 * @since 0.1.0
 */
export interface Delta {
  readonly _tag: "Delta"
  readonly timestamp: number
  readonly delta: string
  readonly part?: string | undefined
}

/**
 * A piece of the model's thinking; never mixed into the answer.
 *
 * @category models
 * @since 0.1.0
 */
export interface Reasoning {
  readonly _tag: "Reasoning"
  readonly timestamp: number
  readonly delta: string
  readonly part?: string | undefined
}

/**
 * A piece of a refusal to answer.
 *
 * @category models
 * @since 0.1.0
 */
export interface Refusal {
  readonly _tag: "Refusal"
  readonly timestamp: number
  readonly delta: string
  readonly part?: string | undefined
}

/**
 * A piece of a tool call's arguments, as text that is not JSON yet.
 *
 * @category models
 * @since 0.1.0
 */
export interface ToolCallDelta {
  readonly _tag: "ToolCallDelta"
  readonly timestamp: number
  readonly id: string
  readonly name: string
  readonly delta: string
}

/**
 * A tool call, whole and valid.
 *
 * @category models
 * @since 0.1.0
 */
export interface ToolCall extends StreamResult.ToolCall {
  readonly _tag: "ToolCall"
  readonly timestamp: number
}

/**
 * What a tool answered.
 *
 * @category models
 * @since 0.1.0
 */
export interface ToolResult extends StreamResult.ToolResult {
  readonly _tag: "ToolResult"
  readonly timestamp: number
}

/**
 * What else the provider says: usage, finish reason, sources, signatures, and whatever is unknown here.
 *
 * A `usage` is what was used so far, not since the last report. Where a stream is put together of several answers (a model that
 * calls a tool and is asked again), Metadata `step` between two of them says that the next one is counted anew: then results,
 * statistics and responses have the sum.
 *
 * @category models
 * @since 0.1.0
 */
export interface Metadata extends StreamResult.MetadataEntry {
  readonly _tag: "Metadata"
  readonly timestamp: number
  readonly usage?: StreamResult.Usage | undefined
  readonly finishReason?: StreamResult.FinishReason | undefined
  readonly providerFinishReason?: string | undefined
}

/**
 * A sign of life that shows nothing: a keep-alive, a ping.
 *
 * @category models
 * @since 0.1.0
 */
export interface Progress {
  readonly _tag: "Progress"
  readonly timestamp: number
  readonly kind: string
}

/**
 * A failure shown in-band; the last event.
 *
 * @category models
 * @since 0.1.0
 */
export interface Error {
  readonly _tag: "Error"
  readonly timestamp: number
  readonly error: StreamError.StreamError
}

/**
 * The verified end; the last event. `content` (the whole answer text) and `stats` are filled in by the handler.
 *
 * @category models
 * @since 0.1.0
 */
export interface End {
  readonly _tag: "End"
  readonly timestamp: number
  readonly finishReason: StreamResult.FinishReason
  readonly content?: string | undefined
  readonly stats?: StreamResult.Stats | undefined
}

/**
 * One event of a stream.
 *
 * @category models
 * @since 0.1.0
 */
export type StreamEvent =
  | Start
  | Delta
  | Reasoning
  | Refusal
  | ToolCallDelta
  | ToolCall
  | ToolResult
  | Metadata
  | Progress
  | Error
  | End

/**
 * The tag of an event: the Python module's `StreamEventType`.
 *
 * @category models
 * @since 0.1.0
 */
export type StreamEventType = StreamEvent["_tag"]

/**
 * The event with the tag `T`.
 *
 * @category models
 * @since 0.1.0
 */
export type EventOf<T extends StreamEventType> = Extract<StreamEvent, { readonly _tag: T }>

/**
 * An event that carries text of the model: answer, reasoning or refusal.
 *
 * @category models
 * @since 0.1.0
 */
export type TextEvent = Delta | Reasoning | Refusal

/**
 * An event in JSON: the same but for `error`, which is a plain object.
 *
 * @category models
 * @since 0.1.0
 */
export type StreamEventEncoded =
  | Exclude<StreamEvent, Error>
  | { readonly _tag: "Error"; readonly timestamp: number; readonly error: typeof StreamError.StreamError.Encoded }

// -----------------------------------------------------------------------------
// schema
// -----------------------------------------------------------------------------

const textFields = {
  timestamp: Schema.Number,
  delta: Schema.String,
  part: Schema.optional(Schema.String)
}

/**
 * Schema for {@link StreamEvent}: to and from JSON, errors included.
 *
 * **Example** (An event through JSON)
 *
 * ```ts
 * import { Schema } from "effect"
 * import { StreamEvent } from "effect-llm-streaming"
 *
 * const codec = Schema.fromJsonString(StreamEvent.StreamEvent)
 * const json = Schema.encodeSync(codec)(StreamEvent.delta(0, "Hello"))
 * json // => '{"_tag":"Delta","timestamp":0,"delta":"Hello"}'
 * Schema.decodeSync(codec)(json)._tag // => "Delta"
 * ```
 *
 * @category schemas
 * @since 0.1.0
 */
export const StreamEvent: Schema.Codec<StreamEvent, StreamEventEncoded> = Schema.Union([
  Schema.TaggedStruct("Start", {
    timestamp: Schema.Number,
    id: Schema.optional(Schema.String),
    model: Schema.optional(Schema.String)
  }),
  Schema.TaggedStruct("Delta", textFields),
  Schema.TaggedStruct("Reasoning", textFields),
  Schema.TaggedStruct("Refusal", textFields),
  Schema.TaggedStruct("ToolCallDelta", {
    timestamp: Schema.Number,
    id: Schema.String,
    name: Schema.String,
    delta: Schema.String
  }),
  Schema.TaggedStruct("ToolCall", { timestamp: Schema.Number, ...StreamResult.ToolCall.fields }),
  Schema.TaggedStruct("ToolResult", { timestamp: Schema.Number, ...StreamResult.ToolResult.fields }),
  Schema.TaggedStruct("Metadata", {
    timestamp: Schema.Number,
    kind: Schema.String,
    usage: Schema.optional(StreamResult.Usage),
    finishReason: Schema.optional(StreamResult.FinishReason),
    providerFinishReason: Schema.optional(Schema.String),
    metadata: Schema.Record(Schema.String, Schema.Unknown)
  }),
  Schema.TaggedStruct("Progress", { timestamp: Schema.Number, kind: Schema.String }),
  Schema.TaggedStruct("Error", { timestamp: Schema.Number, error: StreamError.StreamError }),
  Schema.TaggedStruct("End", {
    timestamp: Schema.Number,
    finishReason: StreamResult.FinishReason,
    content: Schema.optional(Schema.String),
    stats: Schema.optional(StreamResult.Stats)
  })
])

// -----------------------------------------------------------------------------
// constructors
// -----------------------------------------------------------------------------

/**
 * @category constructors
 * @since 0.1.0
 */
export const start = (
  timestamp: number,
  options?: { readonly id?: string | undefined; readonly model?: string | undefined }
): Start => ({ _tag: "Start", timestamp, id: options?.id, model: options?.model })

/**
 * @category constructors
 * @since 0.1.0
 */
export const delta = (timestamp: number, delta: string, part?: string): Delta => ({
  _tag: "Delta",
  timestamp,
  delta,
  part
})

/**
 * @category constructors
 * @since 0.1.0
 */
export const reasoning = (timestamp: number, delta: string, part?: string): Reasoning => ({
  _tag: "Reasoning",
  timestamp,
  delta,
  part
})

/**
 * @category constructors
 * @since 0.1.0
 */
export const refusal = (timestamp: number, delta: string, part?: string): Refusal => ({
  _tag: "Refusal",
  timestamp,
  delta,
  part
})

/**
 * @category constructors
 * @since 0.1.0
 */
export const toolCallDelta = (timestamp: number, id: string, name: string, delta: string): ToolCallDelta => ({
  _tag: "ToolCallDelta",
  timestamp,
  id,
  name,
  delta
})

/**
 * @category constructors
 * @since 0.1.0
 */
export const toolCall = (timestamp: number, call: StreamResult.ToolCall): ToolCall => ({
  _tag: "ToolCall",
  timestamp,
  id: call.id,
  name: call.name,
  argumentsText: call.argumentsText,
  input: call.input
})

/**
 * @category constructors
 * @since 0.1.0
 */
export const toolResult = (timestamp: number, result: StreamResult.ToolResult): ToolResult => ({
  _tag: "ToolResult",
  timestamp,
  id: result.id,
  name: result.name,
  output: result.output,
  isError: result.isError
})

/**
 * @category constructors
 * @since 0.1.0
 */
export const metadata = (
  timestamp: number,
  kind: string,
  options?: {
    readonly usage?: StreamResult.Usage | undefined
    readonly finishReason?: StreamResult.FinishReason | undefined
    readonly providerFinishReason?: string | undefined
    readonly metadata?: Readonly<Record<string, unknown>> | undefined
  }
): Metadata => ({
  _tag: "Metadata",
  timestamp,
  kind,
  usage: options?.usage,
  finishReason: options?.finishReason,
  providerFinishReason: options?.providerFinishReason,
  metadata: options?.metadata ?? {}
})

/**
 * @category constructors
 * @since 0.1.0
 */
export const progress = (timestamp: number, kind: string): Progress => ({ _tag: "Progress", timestamp, kind })

/**
 * @category constructors
 * @since 0.1.0
 */
export const error = (timestamp: number, error: StreamError.StreamError): Error => ({
  _tag: "Error",
  timestamp,
  error
})

/**
 * @category constructors
 * @since 0.1.0
 */
export const end = (timestamp: number, finishReason: StreamResult.FinishReason = "unknown"): End => ({
  _tag: "End",
  timestamp,
  finishReason,
  content: undefined,
  stats: undefined
})

// -----------------------------------------------------------------------------
// guards
// -----------------------------------------------------------------------------

/**
 * Whether an event has one of the given tags.
 *
 * **Example** (Picking events)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { StreamEvent } from "effect-llm-streaming"
 *
 * const deltas = Stream.make("a", "b").pipe(StreamEvent.fromText, Stream.filter(StreamEvent.is("Delta")))
 * const collected = Effect.runSync(Stream.runCollect(deltas))
 * collected.map((event) => event.delta) // => ["a", "b"]
 * ```
 *
 * @category guards
 * @since 0.1.0
 */
export const is =
  <T extends StreamEventType>(...tags: ReadonlyArray<T>) =>
  (event: StreamEvent): event is EventOf<T> =>
    (tags as ReadonlyArray<string>).includes(event._tag)

/**
 * Whether an event carries answer text: a `Delta` that is not empty.
 *
 * @category guards
 * @since 0.1.0
 */
export const isContent = (event: StreamEvent): event is Delta => event._tag === "Delta" && event.delta.length > 0

/**
 * Whether an event carries text of the model: answer, reasoning or refusal, empty or not.
 *
 * @category guards
 * @since 0.1.0
 */
export const isText = (event: StreamEvent): event is TextEvent =>
  event._tag === "Delta" || event._tag === "Reasoning" || event._tag === "Refusal"

/**
 * Whether an event is the last one of its stream: `End`, or an in-band `Error`.
 *
 * @category guards
 * @since 0.1.0
 */
export const isTerminal = (event: StreamEvent): event is End | Error => event._tag === "End" || event._tag === "Error"

// -----------------------------------------------------------------------------
// from text and back
// -----------------------------------------------------------------------------

/**
 * Turns text into events: `Start` at once, a `Delta` for each chunk that is not empty, `End` with the finish reason
 * `"unknown"` when the text ends.
 *
 * **Details**
 *
 * Chunks that arrive together stay together and share one timestamp. A failure of the text is the failure of the events.
 *
 * **Gotchas**
 *
 * Plain text has no terminal event, so a text that was cut looks like a whole one. Where you have the provider's bytes,
 * use its wire module instead, which knows the difference.
 *
 * **Example** (From text to events)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { StreamEvent } from "effect-llm-streaming"
 *
 * const events = Effect.runSync(Stream.make("Hello", "", " World").pipe(StreamEvent.fromText, Stream.runCollect))
 * events.map((event) => event._tag) // => ["Start", "Delta", "Delta", "End"]
 * ```
 *
 * @category conversions
 * @since 0.1.0
 */
export const fromText = <E, R>(self: Stream.Stream<string, E, R>): Stream.Stream<StreamEvent, E, R> =>
  Stream.transformPull(self, (pull) =>
    Clock.clockWith((clock) => {
      type Out = Pull.Pull<Arr.NonEmptyReadonlyArray<StreamEvent>, E, void, R>
      const deltas: Out = Pull.matchEffect(pull, {
        onSuccess: (chunks): Out => {
          const out = deltasOf(chunks, clock.currentTimeMillisUnsafe())
          return out === undefined ? deltas : Effect.succeed(out)
        },
        onFailure: (cause): Out => Effect.failCause(cause),
        onDone: (): Out => {
          next = Cause.done()
          return Effect.succeed([end(clock.currentTimeMillisUnsafe())])
        }
      })
      let next: Out = Effect.suspend(() => {
        next = deltas
        return Effect.succeed([start(clock.currentTimeMillisUnsafe())])
      })
      return Effect.succeed(Effect.suspend(() => next))
    })
  )

const deltasOf = (chunks: ReadonlyArray<string>, timestamp: number): Arr.NonEmptyArray<StreamEvent> | undefined => {
  let out: Arr.NonEmptyArray<StreamEvent> | undefined
  for (const chunk of chunks) {
    if (chunk.length === 0) continue
    // Not `[]` and `push`, which make room for 17 events, where most often there is one.
    if (out === undefined) out = [delta(timestamp, chunk)]
    else out.push(delta(timestamp, chunk))
  }
  return out
}

/**
 * The answer text, and nothing else: the deltas that are not empty.
 *
 * **Example** (Only the text)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { StreamEvent } from "effect-llm-streaming"
 *
 * const events = Stream.make(StreamEvent.reasoning(0, "hm"), StreamEvent.delta(0, "Hello"), StreamEvent.end(0, "stop"))
 * Effect.runSync(events.pipe(StreamEvent.text, Stream.mkString)) // => "Hello"
 * ```
 *
 * @category conversions
 * @since 0.1.0
 */
export const text: <E, R>(self: Stream.Stream<StreamEvent, E, R>) => Stream.Stream<string, E, R> = Stream.filterMap(
  (event: StreamEvent) => (isContent(event) ? Result.succeed(event.delta) : Result.failVoid)
)

/**
 * Shows a failure in-band: it becomes one `Error` event, and the stream ends. A `StreamError` is kept as it is, any other
 * error is wrapped in `SourceFailure`. Defects and interruption stay what they are.
 *
 * **When to use**
 *
 * Use at an edge where a failure must be data: a server-sent event, a log entry, a message to another process.
 *
 * **Example** (A failure as an event)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { StreamEvent } from "effect-llm-streaming"
 *
 * const broken = Stream.concat(Stream.make("Hello"), Stream.fail("connection reset"))
 * const events = Effect.runSync(broken.pipe(StreamEvent.fromText, StreamEvent.catchToEvent, Stream.runCollect))
 * events.map((event) => event._tag) // => ["Start", "Delta", "Error"]
 * ```
 *
 * @category error handling
 * @since 0.1.0
 */
export const catchToEvent = <E, R>(self: Stream.Stream<StreamEvent, E, R>): Stream.Stream<StreamEvent, never, R> =>
  Stream.catch(self, (failure) =>
    Stream.fromEffect(
      Effect.map(Clock.currentTimeMillis, (timestamp) =>
        error(
          timestamp,
          StreamError.isStreamError(failure) ? failure : StreamError.make({ _tag: "SourceFailure", cause: failure })
        )
      )
    )
  )

// -----------------------------------------------------------------------------
// grammar
// -----------------------------------------------------------------------------

/**
 * A processor that lets only well-formed sequences pass: one `Start` before all else, each tool call's fragments before
 * its one `ToolCall`, one terminal (`End` or `Error`) and nothing behind it.
 *
 * **When to use**
 *
 * Use behind events that this library's decoders did not make: a model of your own, a log, a client. It costs little
 * more than a stage that does nothing.
 *
 * **Details**
 *
 * What breaks the grammar fails the stream with `ProtocolViolation`, behind the events before it. Events that stop without
 * a terminal fail with `Truncated`, as in the handler. A failure of the stream is a terminal too and stays what it is, also
 * before `Start`, where the response never began.
 *
 * A tool call needs no fragments. `ToolResult` may come anywhere, and more than once: providers answer calls that were no
 * events of their own.
 *
 * **Gotchas**
 *
 * To see that nothing follows the terminal, the source is pulled once more behind it, if the reader pulls. A reader that
 * stops at the terminal, as the handler does, never asks.
 *
 * **Example** (A model that begins twice)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { StreamEvent } from "effect-llm-streaming"
 *
 * const events = Stream.make(StreamEvent.start(0), StreamEvent.delta(0, "Hello"), StreamEvent.start(1))
 * const error = Effect.runSync(events.pipe(StreamEvent.validate, Stream.runDrain, Effect.flip))
 * error.message // => "Expected one Start only, got another"
 * ```
 *
 * @category processors
 * @since 0.1.0
 */
export const validate = <E, R>(
  self: Stream.Stream<StreamEvent, E, R>
): Stream.Stream<StreamEvent, E | StreamError.StreamErrorOf<"ProtocolViolation" | "Truncated">, R> =>
  Stream.transformPull(self, (upstream) =>
    Effect.sync(() => {
      type Failure = StreamError.StreamErrorOf<"ProtocolViolation" | "Truncated">
      type Out = Pull.Pull<Arr.NonEmptyReadonlyArray<StreamEvent>, E | Failure, void, R>
      const grammar = new EventGrammar()
      const pull: Out = Pull.matchEffect(upstream, {
        onSuccess: (events): Out => {
          for (let i = 0; i < events.length; i++) {
            const event = events[i]!
            // Most events are text, which only has to be in between.
            if (grammar.isOpen && event._tag === "Delta") continue
            const violation = grammar.check(event)
            if (violation === undefined) continue
            next = Effect.fail(StreamError.make({ _tag: "ProtocolViolation", ...violation }))
            const before = events.slice(0, i)
            return Arr.isArrayNonEmpty(before) ? Effect.succeed(before) : next
          }
          return Effect.succeed(events)
        },
        onFailure: (cause): Out => Effect.failCause(cause),
        onDone: (): Out => {
          const expected = grammar.missing
          next = expected === undefined ? Cause.done() : Effect.fail(StreamError.make({ _tag: "Truncated", expected }))
          return next
        }
      })
      let next = pull
      return Effect.suspend(() => next)
    })
  )
