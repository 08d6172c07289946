/**
 * The one error of this library, and the reasons it can have.
 *
 * Every function's type names only the reasons that it can raise itself, by {@link StreamErrorOf}; a user's own errors
 * pass through untouched. Handle one reason with `Effect.catchReason` or `Stream.catchReason`, all of them by the tag
 * `"StreamError"`.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Formatter from "effect/Formatter"
import * as Schema from "effect/Schema"
import type { PartialResult } from "./StreamResult.ts"

// -----------------------------------------------------------------------------
// reasons
// -----------------------------------------------------------------------------

/**
 * More text than a buffer may hold. `limit` and `size` are UTF-16 code units; `size` is what it would have become.
 *
 * @category reasons
 * @since 0.1.0
 */
export interface BufferOverflow {
  readonly _tag: "BufferOverflow"
  readonly limit: number
  readonly size: number
}

/**
 * A deadline passed. `phase` says which: `"start"`, `"firstToken"`, `"firstOutput"`, `"idle"`, `"idleProgress"`,
 * `"toolIdle"` or `"total"`.
 *
 * @category reasons
 * @since 0.1.0
 */
export interface Timeout {
  readonly _tag: "Timeout"
  readonly phase: string
  readonly duration: Duration.Duration
}

/**
 * The stream stopped before its terminal event, so that what arrived is not the whole answer. `expected` names what was
 * still missing.
 *
 * @category reasons
 * @since 0.1.0
 */
export interface Truncated {
  readonly _tag: "Truncated"
  readonly expected: string
}

/**
 * The source itself failed: it threw, the connection broke, a foreign error arrived where only a `StreamError` fits. The
 * message says the chain of causes: "fetch failed: connect ECONNREFUSED 127.0.0.1:1".
 *
 * @category reasons
 * @since 0.1.0
 */
export interface SourceFailure {
  readonly _tag: "SourceFailure"
  readonly cause: unknown
}

/**
 * The provider reported an error, as an HTTP status or in the stream. `code` is its own word for it.
 *
 * @category reasons
 * @since 0.1.0
 */
export interface ProviderFailure {
  readonly _tag: "ProviderFailure"
  readonly provider: string
  readonly status?: number | undefined
  readonly code?: string | undefined
  readonly message: string
  readonly isRetryable: boolean
  readonly retryAfter?: Duration.Duration | undefined
}

/**
 * A frame of the wire protocol could not be read. `offset` is its position: UTF-16 code units of decoded text before it.
 *
 * @category reasons
 * @since 0.1.0
 */
export interface MalformedFrame {
  readonly _tag: "MalformedFrame"
  readonly offset: number
  readonly cause: unknown
}

/**
 * One frame of the wire protocol is larger than allowed. `limit` is UTF-16 code units.
 *
 * @category reasons
 * @since 0.1.0
 */
export interface FrameTooLarge {
  readonly _tag: "FrameTooLarge"
  readonly limit: number
}

/**
 * Text that should have been JSON is not. `offset` is UTF-16 code units from the start of the stream.
 *
 * @category reasons
 * @since 0.1.0
 */
export interface InvalidJson {
  readonly _tag: "InvalidJson"
  readonly offset: number
  readonly path: ReadonlyArray<string | number>
  readonly issue: string
}

/**
 * A value does not fit its schema. `issue` says what was expected, without the value.
 *
 * @category reasons
 * @since 0.1.0
 */
export interface SchemaMismatch {
  readonly _tag: "SchemaMismatch"
  readonly path: ReadonlyArray<string | number>
  readonly issue: string
}

/**
 * The stream ended with a tool call whose arguments are not whole: it must not be run.
 *
 * @category reasons
 * @since 0.1.0
 */
export interface ToolCallIncomplete {
  readonly _tag: "ToolCallIncomplete"
  readonly id: string
  readonly name: string
}

/**
 * A content rule with the action `block` matched. `offset` is UTF-16 code units from the start of the text it is about.
 *
 * @category reasons
 * @since 0.1.0
 */
export interface ContentBlocked {
  readonly _tag: "ContentBlocked"
  readonly rule: string
  readonly offset: number
}

/**
 * The stream used more than it was given. `unit` says of what, e.g. `"tokens"`.
 *
 * @category reasons
 * @since 0.1.0
 */
export interface BudgetExceeded {
  readonly _tag: "BudgetExceeded"
  readonly limit: number
  readonly unit: string
}

/**
 * An event came where the grammar of events (or of a protocol) does not allow it.
 *
 * @category reasons
 * @since 0.1.0
 */
export interface ProtocolViolation {
  readonly _tag: "ProtocolViolation"
  readonly expected: string
  readonly actual: string
}

/**
 * Why a stream failed.
 *
 * @category reasons
 * @since 0.1.0
 */
export type Reason =
  | BufferOverflow
  | Timeout
  | Truncated
  | SourceFailure
  | ProviderFailure
  | MalformedFrame
  | FrameTooLarge
  | InvalidJson
  | SchemaMismatch
  | ToolCallIncomplete
  | ContentBlocked
  | BudgetExceeded
  | ProtocolViolation

const Path = Schema.Array(Schema.Union([Schema.String, Schema.Number]))

/**
 * Schema for {@link Reason}. Durations are encoded as milliseconds, causes as `Schema.Defect` does: name, message and
 * cause of an `Error`, no stack.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Reason = Schema.Union([
  Schema.TaggedStruct("BufferOverflow", { limit: Schema.Number, size: Schema.Number }),
  Schema.TaggedStruct("Timeout", { phase: Schema.String, duration: Schema.DurationFromMillis }),
  Schema.TaggedStruct("Truncated", { expected: Schema.String }),
  Schema.TaggedStruct("SourceFailure", { cause: Schema.Defect() }),
  Schema.TaggedStruct("ProviderFailure", {
    provider: Schema.String,
    status: Schema.optional(Schema.Number),
    code: Schema.optional(Schema.String),
    message: Schema.String,
    isRetryable: Schema.Boolean,
    retryAfter: Schema.optional(Schema.DurationFromMillis)
  }),
  Schema.TaggedStruct("MalformedFrame", { offset: Schema.Number, cause: Schema.Defect() }),
  Schema.TaggedStruct("FrameTooLarge", { limit: Schema.Number }),
  Schema.TaggedStruct("InvalidJson", { offset: Schema.Number, path: Path, issue: Schema.String }),
  Schema.TaggedStruct("SchemaMismatch", { path: Path, issue: Schema.String }),
  Schema.TaggedStruct("ToolCallIncomplete", { id: Schema.String, name: Schema.String }),
  Schema.TaggedStruct("ContentBlocked", { rule: Schema.String, offset: Schema.Number }),
  Schema.TaggedStruct("BudgetExceeded", { limit: Schema.Number, unit: Schema.String }),
  Schema.TaggedStruct("ProtocolViolation", { expected: Schema.String, actual: Schema.String })
])

// -----------------------------------------------------------------------------
// context
// -----------------------------------------------------------------------------

/**
 * Which stream failed.
 *
 * @category models
 * @since 0.1.0
 */
export interface StreamContext {
  /** The response's id, as the provider gave it. */
  readonly id?: string | undefined
  readonly provider?: string | undefined
  readonly model?: string | undefined
  /** The HTTP request's id, for the provider's support. */
  readonly requestId?: string | undefined
  /** 1 for the first try. */
  readonly attempt?: number | undefined
  /** From the request to the failure. */
  readonly elapsed?: Duration.Duration | undefined
}

/**
 * Schema for {@link StreamContext}.
 *
 * @category schemas
 * @since 0.1.0
 */
export const StreamContext = Schema.Struct({
  id: Schema.optional(Schema.String),
  provider: Schema.optional(Schema.String),
  model: Schema.optional(Schema.String),
  requestId: Schema.optional(Schema.String),
  attempt: Schema.optional(Schema.Number),
  elapsed: Schema.optional(Schema.DurationFromMillis)
})

// -----------------------------------------------------------------------------
// error
// -----------------------------------------------------------------------------

/**
 * A stream failed. Its `reason` says why, its `context` which one, its `partial` what had arrived.
 *
 * **Details**
 *
 * The class is its own schema. `partial` is attached by what accumulates anyway (the handler, `JsonStream.collect`). It
 * is not enumerable: neither it nor any other text of the model is in `message`, in the encoded form or in a log line,
 * unless you put it there.
 *
 * **Example** (Handling one reason)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { streamToString } from "effect-llm-streaming"
 *
 * const program = Stream.make("four", "teen chars").pipe(
 *   (tokens) => streamToString(tokens, { maxBufferSize: 10 }),
 *   Effect.catchReason("StreamError", "BufferOverflow", (reason) => Effect.succeed(`${reason.size} > ${reason.limit}`))
 * )
 * Effect.runSync(program) // => "14 > 10"
 * ```
 *
 * @category errors
 * @since 0.1.0
 */
export class StreamError extends Schema.TaggedError<StreamError>("effect-llm-streaming/StreamError")("StreamError", {
  reason: Reason,
  context: Schema.optional(StreamContext)
}) {
  /** What had arrived before the failure, where the failing function kept it. */
  declare readonly partial?: PartialResult | undefined

  override get message(): string {
    return describe(this.reason)
  }
}

/**
 * A {@link StreamError} with one of the reasons `K`, and assignable to it: the type of a function's failures.
 *
 * @category errors
 * @since 0.1.0
 */
export type StreamErrorOf<K extends Reason["_tag"]> = StreamError & {
  readonly reason: Extract<Reason, { readonly _tag: K }>
}

/**
 * Makes a {@link StreamError} whose type remembers its reason.
 *
 * **Example** (Failing a source of your own)
 *
 * ```ts
 * import { StreamError } from "effect-llm-streaming"
 *
 * const error = StreamError.make({ _tag: "Truncated", expected: "a finish reason" })
 * error.reason.expected // => "a finish reason"
 * error.message // => "The stream stopped before a finish reason"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <const R extends Reason>(
  reason: R,
  options?: { readonly context?: StreamContext | undefined; readonly partial?: PartialResult | undefined }
): StreamErrorOf<R["_tag"]> => {
  const error = new StreamError({ reason, context: options?.context })
  if (options?.partial !== undefined) {
    Object.defineProperty(error, "partial", { value: options.partial, enumerable: false })
  }
  return error as StreamErrorOf<R["_tag"]>
}

/**
 * Checks whether a value is a {@link StreamError}.
 *
 * @category guards
 * @since 0.1.0
 */
export const isStreamError = (u: unknown): u is StreamError => u instanceof StreamError

/**
 * The same error with what had arrived before it. The original is left as it is, since others may hold it.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withPartial = <E extends StreamError>(error: E, partial: PartialResult): E =>
  make(error.reason, { context: error.context, partial }) as E

/**
 * The same error with more said about which stream it was; what it said already stays.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withContext = <E extends StreamError>(error: E, context: StreamContext): E => {
  const said = Object.entries(error.context ?? {}).filter(([, value]) => value !== undefined)
  return make(error.reason, { context: { ...context, ...Object.fromEntries(said) }, partial: error.partial }) as E
}

const describe = (reason: Reason): string => {
  switch (reason._tag) {
    case "BufferOverflow":
      return `Buffer size exceeded: ${reason.size} UTF-16 code units where the limit is ${reason.limit}`
    case "Timeout":
      return `Deadline "${reason.phase}" of ${Duration.format(reason.duration)} passed`
    case "Truncated":
      return `The stream stopped before ${reason.expected}`
    case "SourceFailure":
      return `The source failed: ${describeCauses(reason.cause)}`
    case "ProviderFailure": {
      const status = reason.status === undefined ? "" : ` (status ${reason.status})`
      const code = reason.code === undefined ? "" : ` ${reason.code}`
      return `${reason.provider} reported${code}${status}: ${reason.message}`
    }
    case "MalformedFrame":
      return `Malformed frame at offset ${reason.offset}`
    case "FrameTooLarge":
      return `A frame is larger than the limit of ${reason.limit} UTF-16 code units`
    case "InvalidJson":
      return `Invalid JSON at offset ${reason.offset}${describePath(reason.path)}: ${reason.issue}`
    case "SchemaMismatch":
      return `Value does not fit the schema${describePath(reason.path)}: ${reason.issue}`
    case "ToolCallIncomplete":
      return `The stream ended before the arguments of tool call ${reason.id} (${reason.name}) were whole`
    case "ContentBlocked":
      return `Content blocked by rule "${reason.rule}" at offset ${reason.offset}`
    case "BudgetExceeded":
      return `Budget of ${reason.limit} ${reason.unit} exceeded`
    case "ProtocolViolation":
      return `Expected ${reason.expected}, got ${reason.actual}`
  }
}

const maxCausesLength = 500

/** A chain of causes in one line, the outermost first; what a cause only repeats is left out. */
const describeCauses = (cause: unknown): string => {
  let said = ""
  const seen = new Set<unknown>()
  for (let next = cause; next !== undefined && !seen.has(next) && said.length < maxCausesLength;) {
    seen.add(next)
    const message = (next instanceof Error ? next.message : Formatter.format(next)).replace(/\s+/g, " ").trim()
    if (!said.includes(message)) said += said === "" ? message : `: ${message}`
    next = next instanceof Error ? causeOf(next) : undefined
  }
  if (said === "") return String(cause)
  return said.length > maxCausesLength ? `${said.slice(0, maxCausesLength)}…` : said
}

/** A connection that failed at each of a host's addresses has an error for each: the first says enough. */
const causeOf = (error: Error): unknown =>
  error.cause ?? (error instanceof AggregateError ? (error.errors[0] as unknown) : undefined)

const describePath = (path: ReadonlyArray<string | number>): string =>
  path.length === 0 ? "" : ` in /${path.join("/")}`
