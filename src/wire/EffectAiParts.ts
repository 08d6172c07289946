/**
 * Parts of `effect/ai` to events and back, for `EffectAi`, whose module says what is kept.
 *
 * @since 0.1.0
 */
import * as AiError from "effect/ai/AiError"
import * as Response from "effect/ai/Response"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { jsonText, record, string, type UnknownRecord } from "../internal/untyped.ts"
import * as StreamError from "../StreamError.ts"
import * as StreamEvent from "../StreamEvent.ts"
import type * as StreamResult from "../StreamResult.ts"
import { fromAiError, namespace } from "./EffectAiError.ts"
import { fileOf } from "./EffectAiPrompt.ts"
import * as Protocol from "./Protocol.ts"

// -----------------------------------------------------------------------------
// model
// -----------------------------------------------------------------------------

/**
 * What `LanguageModel.streamText` streams, whatever the tools.
 *
 * @category models
 * @since 0.1.0
 */
export type StreamPart =
  | Response.StreamPart<Record<never, never>>
  | Response.ToolCallPart<string, unknown>
  | Response.ToolResultPart<string, unknown, unknown>

type PartOf<T extends StreamPart["type"]> = Extract<StreamPart, { readonly type: T }>

/** @internal */
export const AnyPart = Response.StreamPart()
const encodePart = Schema.encodeUnknownOption(AnyPart)
const decodePart = Schema.decodeUnknownOption(AnyPart)
const decodeEvent = Schema.decodeUnknownOption(StreamEvent.StreamEvent)

/** The identifiers of blocks that the provider did not name. */
const blockIds = { Delta: "text", Reasoning: "reasoning", Refusal: "refusal" } as const

// -----------------------------------------------------------------------------
// usage
// -----------------------------------------------------------------------------

/**
 * The usage of a finish part. Finish reasons need no conversion: their words are the same.
 *
 * @category conversions
 * @since 0.1.0
 */
export const fromUsage = ({ inputTokens, outputTokens }: Response.Usage): StreamResult.Usage => ({
  inputTokens: { ...inputTokens },
  outputTokens: { ...outputTokens }
})

/**
 * Usage for a finish part; a figure that is no whole number is left out.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toUsage = ({ inputTokens, outputTokens }: StreamResult.Usage): Response.Usage =>
  new Response.Usage({ inputTokens: wholeNumbers(inputTokens), outputTokens: wholeNumbers(outputTokens) })

const wholeNumbers = <A extends object>(tokens: A): A =>
  Object.fromEntries(Object.entries(tokens).filter(([, n]) => n === undefined || Number.isSafeInteger(n))) as A

// -----------------------------------------------------------------------------
// from parts
// -----------------------------------------------------------------------------

interface State {
  /** Blocks of text and reasoning that are open. */
  readonly blocks: Set<string>
  /** The names of the tool calls that are open. */
  readonly calls: Map<string, string>
  /** Identifiers of the calls that were a ToolCall. */
  readonly called: Set<string>
  /** Identifiers of the calls that the provider runs. */
  readonly hosted: Set<string>
  finishReason: StreamResult.FinishReason | undefined
}

const protocol: Protocol.Protocol<State> = {
  provider: "effect/ai",
  framing: "ndjson",
  terminal: "a finish part",
  recognizes: Response.isPart,
  initial: () => ({
    blocks: new Set(),
    calls: new Map(),
    called: new Set(),
    hosted: new Set(),
    finishReason: undefined
  }),
  // `fromStreamParts` takes nothing else.
  step: (state, chunk, out) => takePart(state, chunk as unknown as StreamPart, out),
  onHalt: ({ finishReason }) => ({ isComplete: finishReason !== undefined, finishReason: finishReason ?? "unknown" })
}

const takePart = (state: State, part: StreamPart, out: Protocol.Output): Protocol.DecodeError | undefined => {
  switch (part.type) {
    case "text-start":
    case "reasoning-start":
      state.blocks.add(blockOf(part))
      break
    case "text-end":
    case "reasoning-end":
      state.blocks.delete(blockOf(part))
      break
    case "text-delta":
    case "reasoning-delta":
      return takeText(state, part, out)
    case "tool-params-start":
      if (!part.providerExecuted && !state.called.has(part.id)) state.calls.set(part.id, part.name)
      break
    case "tool-params-delta":
      return takeToolCallDelta(state, part, out)
    case "tool-call":
      return takeToolCall(state, part, out)
    case "tool-result":
      return takeToolResult(state, part, out)
    case "response-metadata":
      return takeResponse(part, out)
    case "finish":
      return takeFinish(state, part, out)
    case "error":
      carry(part, out)
      return failureOf(part.error, out.provider)
  }
  carry(part, out)
  return undefined
}

/** @internal */
export const typeOf = ({ type }: { readonly type: string }): "text" | "reasoning" =>
  type.startsWith("text") ? "text" : "reasoning"

/** @internal */
export const blockOf = (part: { readonly type: string; readonly id: string }): string => `${typeOf(part)} ${part.id}`

/** A part that is no event of its own. */
const carry = (part: StreamPart, out: Protocol.Output): void => {
  const encoded = Option.getOrUndefined(encodePart(part))
  if (encoded === undefined) {
    out.metadata("unknown", { chunk: part })
  } else {
    const { metadata, type, ...fields } = encoded
    out.metadata(type, { ...fields, ...unlessEmpty("providerMetadata", metadata) })
  }
}

/** What a part has beyond the event that follows, where there is any. */
const annotate = (part: StreamPart, rest: UnknownRecord, out: Protocol.Output): void => {
  if (Object.keys(rest).length > 0) out.metadata("part", { type: part.type, ...rest })
}

const unlessEmpty = (key: string, value: UnknownRecord | undefined): UnknownRecord =>
  value === undefined || Object.keys(value).length === 0 ? {} : { [key]: value }

/** The metadata of a part: what this library put there, and the provider's. */
const splitMetadata = ({ metadata: { [namespace]: own, ...others } }: StreamPart) => ({
  own: record(own) ?? {},
  rest: unlessEmpty("providerMetadata", others)
})

const takeText = (state: State, part: PartOf<"text-delta" | "reasoning-delta">, out: Protocol.Output): undefined => {
  const { own, rest } = splitMetadata(part)
  if (own["event"] !== undefined) return restore(own["event"], out)
  // A block that never began is not to begin on the way back either.
  annotate(part, state.blocks.has(blockOf(part)) ? rest : { isStray: true, ...rest }, out)
  const { timestamp } = out
  if (part.type === "reasoning-delta") {
    out.events.push(StreamEvent.reasoning(timestamp, part.delta, partNamed(part.id, blockIds.Reasoning)))
  } else if (own["refusal"] === true) {
    out.events.push(StreamEvent.refusal(timestamp, part.delta, string(own["part"])))
  } else {
    out.events.push(StreamEvent.delta(timestamp, part.delta, partNamed(part.id, blockIds.Delta)))
  }
}

const partNamed = (id: string, unnamed: string): string | undefined => (id === unnamed ? undefined : id)

/** An event that was no part of its own. */
const restore = (event: unknown, out: Protocol.Output): undefined => {
  const restored = decodeEvent({ ...record(event), timestamp: out.timestamp })
  if (Option.isSome(restored)) out.events.push(restored.value)
}

const takeToolCallDelta = (state: State, part: PartOf<"tool-params-delta">, out: Protocol.Output): undefined => {
  const name = state.calls.get(part.id)
  if (name === undefined) {
    carry(part, out)
  } else {
    annotate(part, unlessEmpty("providerMetadata", part.metadata), out)
    out.events.push(StreamEvent.toolCallDelta(out.timestamp, part.id, name, part.delta))
  }
}

const takeToolCall = (state: State, part: PartOf<"tool-call">, out: Protocol.Output): undefined => {
  const { id, name, params } = part
  if (part.providerExecuted) {
    const { own, rest } = splitMetadata(part)
    state.hosted.add(id)
    out.metadata("hosted-tool-call", { id, name, ...(params === undefined ? {} : { input: params }), ...own, ...rest })
  } else if (state.called.has(id)) {
    carry(part, out)
  } else {
    state.called.add(id)
    state.calls.delete(id)
    annotate(part, unlessEmpty("providerMetadata", part.metadata), out)
    out.events.push(StreamEvent.toolCall(out.timestamp, { id, name, argumentsText: textOf(params), input: params }))
  }
}

/** Decoded parameters may be what no JSON can say. */
const textOf = (params: unknown): string => {
  try {
    return jsonText(params) ?? ""
  } catch {
    return ""
  }
}

const takeToolResult = (state: State, part: PartOf<"tool-result">, out: Protocol.Output): undefined => {
  const { encodedResult, id, isFailure, modelOutput, name, preliminary, providerExecuted, result } = part
  const rest: UnknownRecord = {
    ...(result === encodedResult ? {} : { result }),
    ...("modelOutput" in part ? { modelOutput } : {}),
    ...(providerExecuted === state.hosted.has(id) ? {} : { providerExecuted }),
    ...unlessEmpty("providerMetadata", part.metadata)
  }
  if (preliminary) {
    out.metadata("tool-result", { id, name, output: encodedResult, isError: isFailure, ...rest })
  } else {
    annotate(part, rest, out)
    out.toolResult({ id, name, output: encodedResult, isError: isFailure })
  }
}

const takeResponse = (part: PartOf<"response-metadata">, out: Protocol.Output): undefined => {
  const { own, rest } = splitMetadata(part)
  if (own["event"] !== undefined) return restore(own["event"], out)
  const encoded: UnknownRecord = Option.getOrElse(encodePart(part), () => part) as unknown as UnknownRecord
  const { metadata: _, modelId, type: __, ...fields } = encoded
  out.metadata("response", { ...fields, ...("modelId" in encoded ? { model: modelId } : {}), ...own, ...rest })
}

const takeFinish = (state: State, part: PartOf<"finish">, out: Protocol.Output): undefined => {
  const {
    own: { providerFinishReason, ...own },
    rest
  } = splitMetadata(part)
  const response = "response" in part ? { response: part.response } : {}
  state.finishReason = part.reason
  out.events.push(
    StreamEvent.metadata(out.timestamp, "finish", {
      usage: fromUsage(part.usage),
      finishReason: part.reason,
      providerFinishReason: string(providerFinishReason),
      metadata: { ...response, ...own, ...rest }
    })
  )
}

/**
 * The failure that an error part stands for.
 *
 * @internal
 */
export const failureOf = (error: unknown, provider: string): Protocol.DecodeError => {
  // A reason that no decoder has is in the type of `fromStreamParts`.
  if (StreamError.isStreamError(error)) return error as Protocol.DecodeError
  return AiError.isAiError(error)
    ? (fromAiError(error) as Protocol.DecodeError)
    : new Protocol.Output(provider).failure(error)
}

/**
 * The events of what `LanguageModel.streamText` streams.
 *
 * **Details**
 *
 * `AiError` becomes `StreamError` by {@link fromAiError}; other failures, those of tools say, pass through. Results of the
 * tools that Effect runs are `ToolResult`, preliminary ones are Metadata.
 *
 * **Example** (A pipeline behind a language model)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { LanguageModel } from "effect/ai"
 * import { ContentFilter, EffectAi, StreamHandler } from "effect-llm-streaming"
 *
 * const Model = LanguageModel.make({
 *   generateText: () => Effect.succeed([]),
 *   streamText: () =>
 *     Stream.make(
 *       { type: "text-start", id: "0" },
 *       { type: "text-delta", id: "0", delta: "The pass" },
 *       { type: "text-delta", id: "0", delta: "word" },
 *       { type: "text-end", id: "0" },
 *       { type: "finish", reason: "stop", usage: { inputTokens: {}, outputTokens: { total: 3 } } }
 *     )
 * })
 * const program = LanguageModel.streamText({ prompt: "hi" }).pipe(
 *   EffectAi.fromStreamParts,
 *   ContentFilter.make({ patterns: ["password"] }),
 *   StreamHandler.run(),
 *   Effect.provideServiceEffect(LanguageModel.LanguageModel, Model)
 * )
 * const result = await Effect.runPromise(program)
 * result.text // => "The [FILTERED]"
 * result.stats.totalTokens // => 3
 * ```
 *
 * @category conversions
 * @since 0.1.0
 */
export const fromStreamParts = <E, R>(
  self: Stream.Stream<StreamPart, E, R>,
  options?: Protocol.Options
): Stream.Stream<StreamEvent.StreamEvent, Exclude<E, AiError.AiError> | StreamError.StreamError, R> =>
  self.pipe(
    Stream.mapError((error) =>
      AiError.isAiError(error) ? fromAiError(error) : (error as Exclude<E, AiError.AiError>)
    ),
    Protocol.fromChunks(protocol, options)
  )

// -----------------------------------------------------------------------------
// to parts
// -----------------------------------------------------------------------------

/** Kinds of Metadata that are parts as they stand. */
const carriedTypes: ReadonlySet<string> = new Set([
  "text-start",
  "text-end",
  "reasoning-start",
  "reasoning-end",
  "tool-params-start",
  "tool-params-delta",
  "tool-params-end",
  "tool-call",
  "tool-approval-request",
  "source",
  "error"
])

/** The parts of one stream, event by event. */
class Writer {
  private parts: Array<StreamPart> = []
  /** The block of text that was begun here, and is to be ended here. */
  private block: { readonly type: "text" | "reasoning"; readonly id: string } | undefined
  /** The calls whose parameters were begun here. */
  private readonly params = new Set<string>()
  /** Blocks and parameters that were begun by parts of their own. */
  private readonly given = new Set<string>()
  private readonly hosted = new Set<string>()
  /** What the next part has beyond its event. */
  private rest: UnknownRecord = {}
  private usage: StreamResult.Usage = { inputTokens: {}, outputTokens: {} }
  private hasFinished = false
  private readonly isDeclared: (tool: unknown) => boolean

  constructor(isDeclared: (tool: unknown) => boolean) {
    this.isDeclared = isDeclared
  }

  write(event: StreamEvent.StreamEvent): ReadonlyArray<StreamPart> {
    this.parts = []
    const rest = this.rest
    const isRest = event._tag === "Metadata" && event.kind === "part"
    this.rest = isRest ? event.metadata : {}
    if (!isRest) this.take(event, rest)
    return this.parts
  }

  private take(event: StreamEvent.StreamEvent, rest: UnknownRecord): void {
    switch (event._tag) {
      case "Start": {
        const { id, model } = event
        if (id !== undefined || model !== undefined) this.decoded({ type: "response-metadata", id, modelId: model })
        break
      }
      case "Delta":
      case "Reasoning":
      case "Refusal":
        this.text(event, rest)
        break
      case "ToolCallDelta":
        this.toolCallDelta(event, rest)
        break
      case "ToolCall":
        this.toolCall(event, rest["type"] === "tool-call" ? rest["providerMetadata"] : undefined)
        break
      case "ToolResult":
        if (this.isDeclared(event.name)) this.toolResult(event, rest["type"] === "tool-result" ? rest : {}, false)
        else this.envelope(event)
        break
      case "Metadata":
        this.metadata(event)
        break
      case "Progress":
        this.envelope(event)
        break
      case "Error":
        this.parts.push(Response.makePart("error", { error: event.error }))
        break
      case "End":
        this.close()
        if (!this.hasFinished) this.finish(event.finishReason, {})
    }
  }

  private text(event: StreamEvent.TextEvent, rest: UnknownRecord): void {
    const { delta, part } = event
    const isRefusal = event._tag === "Refusal"
    const type = event._tag === "Reasoning" ? "reasoning" : "text"
    const id = isRefusal && part !== undefined ? `refusal ${part}` : (part ?? blockIds[event._tag])
    const own = isRefusal ? { refusal: true, part } : {}
    const isRest = rest["type"] === `${type}-delta`
    if (!isRest || rest["isStray"] !== true) this.open(type, id, own)
    const metadata = joinMetadata(isRest ? rest["providerMetadata"] : undefined, own)
    this.parts.push(Response.makePart(`${type}-delta`, { id, delta, metadata }))
  }

  private open(type: "text" | "reasoning", id: string, own: UnknownRecord): void {
    if (this.block?.type === type && this.block.id === id) return
    this.closeBlock()
    if (this.given.has(`${type} ${id}`)) return
    this.block = { type, id }
    this.parts.push(Response.makePart(`${type}-start`, { id, metadata: joinMetadata(undefined, own) }))
  }

  private closeBlock(): void {
    if (this.block !== undefined) this.parts.push(Response.makePart(`${this.block.type}-end`, { id: this.block.id }))
    this.block = undefined
  }

  private toolCallDelta({ delta, id, name }: StreamEvent.ToolCallDelta, rest: UnknownRecord): void {
    this.closeBlock()
    if (!this.given.has(`tool-params ${id}`) && !this.params.has(id)) {
      this.params.add(id)
      this.parts.push(Response.makePart("tool-params-start", { id, name, providerExecuted: false }))
    }
    const metadata = joinMetadata(rest["type"] === "tool-params-delta" ? rest["providerMetadata"] : undefined)
    this.parts.push(Response.makePart("tool-params-delta", { id, delta, metadata }))
  }

  private closeParams(id: string): void {
    if (this.params.delete(id)) this.parts.push(Response.makePart("tool-params-end", { id }))
  }

  private close(): void {
    this.closeBlock()
    for (const id of this.params) this.closeParams(id)
  }

  private toolCall({ id, input, name }: StreamResult.ToolCall, providerMetadata: unknown): void {
    this.closeBlock()
    this.closeParams(id)
    const metadata = joinMetadata(providerMetadata)
    this.parts.push(Response.makePart("tool-call", { id, name, params: input, providerExecuted: false, metadata }))
  }

  private toolResult(event: StreamResult.ToolResult, rest: UnknownRecord, preliminary: boolean): void {
    const { id, isError, name, output } = event
    const hosted = rest["providerExecuted"]
    this.closeBlock()
    this.parts.push(
      Response.makePart("tool-result", {
        id,
        name,
        result: "result" in rest ? rest["result"] : output,
        encodedResult: output,
        isFailure: isError,
        preliminary,
        providerExecuted: typeof hosted === "boolean" ? hosted : this.hosted.has(id),
        metadata: joinMetadata(rest["providerMetadata"]),
        ...pick(rest, "modelOutput")
      })
    )
  }

  private metadata(event: StreamEvent.Metadata): void {
    const { finishReason, kind, metadata } = event
    this.usage = event.usage ?? this.usage
    if (finishReason !== undefined) this.finish(finishReason, metadata, event.providerFinishReason)
    else if (!this.isPart(kind, metadata) && !this.signature(event)) this.envelope(event)
  }

  /** Whether Metadata is a part, which is written then. */
  private isPart(kind: string, metadata: UnknownRecord): boolean {
    switch (kind) {
      case "response":
        return this.decoded({
          type: "response-metadata",
          ...pick(metadata, "id"),
          ...pick(metadata, "model", "modelId"),
          ...pick(metadata, "timestamp"),
          metadata: joinMetadata(
            metadata["providerMetadata"],
            omit(metadata, "id", "model", "timestamp", "providerMetadata")
          )
        })
      case "file": {
        const file = fileOf(metadata)
        if (file === undefined) return false
        this.parts.push(Response.makePart("file", { ...file, metadata: joinMetadata(metadata["providerMetadata"]) }))
        return true
      }
      case "hosted-tool-call":
        return this.hostedToolCall(metadata)
      case "tool-result":
        return this.preliminaryResult(metadata)
      default:
        return carriedTypes.has(kind) && this.carried(kind, metadata)
    }
  }

  private hostedToolCall(metadata: UnknownRecord): boolean {
    const { id, input, name, providerMetadata } = metadata
    if (typeof id !== "string" || typeof name !== "string" || !this.isDeclared(name)) return false
    this.closeBlock()
    this.hosted.add(id)
    this.parts.push(
      Response.makePart("tool-call", {
        id,
        name,
        // A provider that says nothing of it has no parameters.
        params: input === undefined && "input" in metadata ? {} : input,
        providerExecuted: true,
        metadata: joinMetadata(providerMetadata, omit(metadata, "id", "name", "input", "providerMetadata"))
      })
    )
    return true
  }

  private preliminaryResult(metadata: UnknownRecord): boolean {
    const { id, isError, name, output } = metadata
    if (typeof id !== "string" || typeof name !== "string" || !this.isDeclared(name)) return false
    this.toolResult({ id, name, output, isError: isError === true }, metadata, true)
    return true
  }

  private carried(type: string, metadata: UnknownRecord): boolean {
    const { id, providerMetadata } = metadata
    if (type.endsWith("-start") || type === "tool-approval-request") this.closeBlock()
    if (!this.decoded({ ...omit(metadata, "providerMetadata"), type, metadata: providerMetadata ?? {} })) return false
    if (type.endsWith("-start")) this.given.add(`${type.slice(0, -"-start".length)} ${id}`)
    if (type.endsWith("-end")) this.given.delete(`${type.slice(0, -"-end".length)} ${id}`)
    return true
  }

  /** Writes a part that comes as data; `false` where it is none. */
  private decoded(part: UnknownRecord): boolean {
    const decoded = Option.getOrUndefined(decodePart(part))
    if (decoded === undefined) return false
    this.parts.push(decoded)
    return true
  }

  /** What has to be sent back with reasoning belongs to its block, as in `effect/ai`'s own providers. */
  private signature(event: StreamEvent.Metadata): boolean {
    if (event.kind !== "signature" || this.block?.type !== "reasoning") return false
    const { id } = this.block
    this.parts.push(Response.makePart("reasoning-delta", { id, delta: "", metadata: enclose(event) }))
    return true
  }

  /** An event that is no part of its own. */
  private envelope(event: StreamEvent.StreamEvent): void {
    this.parts.push(Response.makePart("response-metadata", { metadata: enclose(event) }))
  }

  private finish(
    reason: StreamResult.FinishReason,
    metadata: UnknownRecord,
    providerFinishReason?: string | undefined
  ): void {
    this.close()
    this.hasFinished = true
    const own = { ...omit(metadata, "response", "providerMetadata"), providerFinishReason }
    this.parts.push(
      Response.makePart("finish", {
        reason,
        usage: toUsage(this.usage),
        metadata: joinMetadata(metadata["providerMetadata"], own),
        ...pick(metadata, "response")
      })
    )
  }
}

const pick = (from: UnknownRecord, key: string, as: string = key): UnknownRecord =>
  key in from ? { [as]: from[key] } : {}

const omit = (from: UnknownRecord, ...keys: ReadonlyArray<string>): UnknownRecord =>
  Object.fromEntries(Object.entries(from).filter(([key]) => !keys.includes(key)))

/** The provider's metadata, and this library's own where there is any. */
const joinMetadata = (provider: unknown, own: UnknownRecord = {}): Response.ProviderMetadata => {
  const json = toJson(own) as UnknownRecord
  return {
    ...record(provider),
    ...(Object.keys(json).length === 0 ? {} : { [namespace]: json })
  } as Response.ProviderMetadata
}

const enclose = ({ timestamp: _, ...event }: StreamEvent.StreamEvent): Response.ProviderMetadata =>
  joinMetadata(undefined, { event })

/** What is no JSON in metadata would fail the whole stream in `effect/ai`. */
const toJson = (value: unknown): unknown => {
  try {
    return JSON.parse(JSON.stringify(value))
  } catch {
    return {}
  }
}

/**
 * The parts of `effect/ai` for events: what `LanguageModel.streamText` streams.
 *
 * **Details**
 *
 * Text, reasoning and parameters of calls get the start and the end that `effect/ai` has around them. A refusal is text,
 * which says in its metadata that it is one. Finish reason and usage become the finish part.
 *
 * **Gotchas**
 *
 * The failure of the stream stays what it is; `Stream.mapError(EffectAi.toAiError)` makes it one of `effect/ai`.
 *
 * **Example** (Blocks around text)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { EffectAi, StreamEvent } from "effect-llm-streaming"
 *
 * const parts = Stream.make("Hello", " World").pipe(StreamEvent.fromText, EffectAi.toStreamParts, Stream.runCollect)
 * Effect.runSync(parts).map((part) => part.type) // => ["text-start", "text-delta", "text-delta", "text-end", "finish"]
 * ```
 *
 * @category conversions
 * @since 0.1.0
 */
export const toStreamParts: <E, R>(
  self: Stream.Stream<StreamEvent.StreamEvent, E, R>
) => Stream.Stream<StreamPart, E, R> = (self) => writeParts(self, () => true)

/**
 * As {@link toStreamParts}; calls and results of tools that are not declared travel in metadata.
 *
 * @internal
 */
export const writeParts = <E, R>(
  self: Stream.Stream<StreamEvent.StreamEvent, E, R>,
  isDeclared: (tool: unknown) => boolean
): Stream.Stream<StreamPart, E, R> =>
  Stream.mapAccum(
    self,
    () => new Writer(isDeclared),
    (writer, event) => [writer, writer.write(event)]
  )
