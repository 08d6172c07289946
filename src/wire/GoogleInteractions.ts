/**
 * Google's Interactions: Gemini models and agents, step by step.
 *
 * 1. What an event is stands in its `event_type`: `event:` lines are not needed. The terminal event is
 *    `interaction.completed`; a status update that says that the interaction is over is one too, and `[DONE]` is none.
 * 2. An answer is made of steps: `part` is the index of a step, in every event that is about one.
 * 3. A function call is whole when its step is over. A tool that Google runs, any other step that is a call, is Metadata
 *    and what came of it a `ToolResult`.
 * 4. A signature is to be sent back with its step: the thought that `part` names, or the call or result with its `id`.
 *
 * @since 0.1.0
 */
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Redacted from "effect/Redacted"
import { inclusive } from "../internal/googleUsage.ts"
import { sizeOf } from "../internal/sizeOf.ts"
import { array, jsonText, nonEmpty, number, record, string, type UnknownRecord } from "../internal/untyped.ts"
import type * as StreamResult from "../StreamResult.ts"
import type * as Protocol from "./Protocol.ts"
import * as Provider from "./Provider.ts"

// -----------------------------------------------------------------------------
// protocol
// -----------------------------------------------------------------------------

interface State {
  isIdentified: boolean
  isCompleted: boolean
  status: string | undefined
  hasCalls: boolean
  usage: UnknownRecord | undefined
  /** What the interaction says of itself at its end. */
  details: UnknownRecord
  /** The calls and results that have begun and not ended, by index. */
  readonly open: Map<number | undefined, Step>
}

interface Step {
  readonly item: UnknownRecord
  /** What it counts towards the limit. */
  readonly size: number
}

/** @internal */
export const protocol: Protocol.Protocol<State> = {
  provider: "google",
  framing: "sse-or-json",
  terminal: "interaction.completed",
  recognizes: (chunk) => /^(interaction|step)\./.test(string(chunk["event_type"]) ?? ""),
  initial: () => ({
    isIdentified: false,
    isCompleted: false,
    status: undefined,
    hasCalls: false,
    usage: undefined,
    details: {},
    open: new Map()
  }),
  step(state, chunk, out) {
    const { error } = chunk
    if (error !== undefined && error !== null) return out.failure(chunk)
    const type = string(chunk["event_type"]) ?? ""
    const index = number(chunk["index"])
    state.usage = record(record(chunk["metadata"])?.["total_usage"]) ?? record(chunk["usage"]) ?? state.usage
    switch (type) {
      case "step.start":
        return startStep(state, index, record(chunk["step"]) ?? {}, out)
      case "step.delta":
        stepDelta(state, index, chunk, out)
        return undefined
      case "step.stop":
        stopStep(state, index, out)
        return undefined
      default:
        if (type.startsWith("interaction.")) return stepInteraction(state, type, chunk, out)
        out.metadata("unknown", { chunk })
        return undefined
    }
  },
  onHalt({ details, hasCalls, isCompleted, open, status, usage }, out) {
    for (const [index, { item }] of open) endStep(index, item, out)
    const isComplete = isCompleted || overs.has(status)
    return {
      isComplete,
      finishReason: isComplete ? finishReasonOf(status, hasCalls) : "unknown",
      providerFinishReason: isComplete ? status : undefined,
      usage: usage && toUsage(usage),
      metadata: usage === undefined ? details : { ...details, usage }
    }
  }
}

// -----------------------------------------------------------------------------
// interaction
// -----------------------------------------------------------------------------

const stepInteraction = (
  state: State,
  type: string,
  chunk: UnknownRecord,
  out: Protocol.Output
): Protocol.DecodeError | "done" | undefined => {
  const { id, model, object: _, status, usage, ...others } = record(chunk["interaction"]) ?? {}
  state.usage = record(usage) ?? state.usage
  state.status = nonEmpty(chunk["status"]) ?? nonEmpty(status) ?? state.status
  if (!state.isIdentified && (nonEmpty(id) ?? nonEmpty(model) ?? nonEmpty(others["agent"])) !== undefined) {
    state.isIdentified = true
    out.metadata("response", { id: nonEmpty(id), model: nonEmpty(model), agent: nonEmpty(others["agent"]) })
  }
  if (type === "interaction.completed") {
    state.isCompleted = true
    state.status = nonEmpty(status) ?? "completed"
    state.details = others
    return others["error"] === undefined || others["error"] === null ? "done" : out.failure(others)
  }
  if (nonEmpty(chunk["continuation_token"]) !== undefined) out.metadata("unknown", { chunk })
  if (type !== "interaction.created") out.progress("status")
  return undefined
}

// -----------------------------------------------------------------------------
// steps
// -----------------------------------------------------------------------------

/** Beyond this a step is not measured: it is more than enough for any limit on what is held. */
const maxStepSize = 2 ** 24

const partOf = (index: number | undefined): string | undefined => (index === undefined ? undefined : String(index))

const hold = (state: State, index: number | undefined, item: UnknownRecord, out: Protocol.Output): void => {
  const size = sizeOf(item, maxStepSize)
  out.held += size - (state.open.get(index)?.size ?? 0)
  state.open.set(index, { item, size })
}

const startStep = (
  state: State,
  index: number | undefined,
  item: UnknownRecord,
  out: Protocol.Output
): Protocol.DecodeError | undefined => {
  // Nobody said that the step before is over, so a call is not, either.
  leaveStep(state, index, out)
  const part = partOf(index)
  const type = string(item["type"]) ?? ""
  if (type === "model_output") {
    for (const content of array(item["content"]) ?? []) stepContent(part, record(content) ?? {}, out)
  } else if (type === "thought") {
    for (const content of array(item["summary"]) ?? []) stepSummary(part, content, out)
  } else if (type === "function_call") {
    state.hasCalls = true
    hold(state, index, item, out)
    out.toolFragment({ index, id: nonEmpty(item["id"]), name: nonEmpty(item["name"]) })
  } else if (isHosted(type)) {
    hold(state, index, item, out)
  } else {
    out.metadata("unknown", { chunk: { index, step: item } })
  }
  stepSignature(index, item, item, out)
  return item["error"] === undefined || item["error"] === null ? undefined : out.failure(item)
}

const stepDelta = (state: State, index: number | undefined, chunk: UnknownRecord, out: Protocol.Output): void => {
  const delta = record(chunk["delta"]) ?? {}
  const part = partOf(index)
  const item = state.open.get(index)?.item ?? {}
  const isCall = item["type"] === "function_call"
  const type = string(delta["type"]) ?? ""
  if (type === "thought_summary") {
    stepSummary(part, delta["content"], out)
  } else if (type === "arguments_delta" && isCall) {
    out.toolFragment({ index, argumentsText: jsonText(delta["arguments"]) })
  } else if (isHosted(type) && !isCall) {
    // It has the whole of what it is about.
    hold(state, index, { ...item, ...delta }, out)
  } else if (type !== "thought_signature" && !stepContent(part, delta, out)) {
    out.metadata("unknown", { chunk })
  }
  stepSignature(index, delta, item, out)
}

const isHosted = (type: string): boolean => /_(call|result)$/.test(type)

/** Answer text, its sources, and other media. Gives whether it is one of these. */
const stepContent = (part: string | undefined, content: UnknownRecord, out: Protocol.Output): boolean => {
  switch (content["type"]) {
    case "text":
      out.delta(string(content["text"]), part)
      break
    case "text_annotation_delta":
    case "text_annotation":
      break
    case "image":
    case "audio":
    case "video":
    case "document":
      out.metadata("file", { part, ...content })
      return true
    default:
      return false
  }
  for (const citation of array(content["annotations"]) ?? []) out.metadata("citation", { part, citation })
  return true
}

const stepSummary = (part: string | undefined, value: unknown, out: Protocol.Output): void => {
  const content = record(value)
  if (content?.["type"] === "text") out.reasoning(string(content["text"]), part)
  else if (content !== undefined) out.metadata("file", { part, thought: true, ...content })
}

const stepSignature = (
  index: number | undefined,
  body: UnknownRecord,
  item: UnknownRecord,
  out: Protocol.Output
): void => {
  const signature = nonEmpty(body["signature"])
  if (signature === undefined) return
  const isCall = item["type"] === "function_call" && index !== undefined
  const id = isCall ? out.tools.idAt(index) : (nonEmpty(item["id"]) ?? nonEmpty(item["call_id"]))
  out.metadata("signature", { part: partOf(index), id, signature })
}

const stopStep = (state: State, index: number | undefined, out: Protocol.Output): void => {
  const item = leaveStep(state, index, out)
  if (item?.["type"] === "function_call" && index !== undefined) out.toolEnd(index)
}

const leaveStep = (state: State, index: number | undefined, out: Protocol.Output): UnknownRecord | undefined => {
  const step = state.open.get(index)
  if (step === undefined) return undefined
  state.open.delete(index)
  out.held -= step.size
  endStep(index, step.item, out)
  return step.item
}

/** What a step holds comes out: at its end, or where the stream breaks off. */
const endStep = (index: number | undefined, item: UnknownRecord, out: Protocol.Output): void => {
  const type = string(item["type"]) ?? ""
  const part = partOf(index)
  if (type === "function_call") {
    // The arguments that a call begins with are the empty object, unless it has them all.
    const text = jsonText(item["arguments"])
    const isMissing = index !== undefined && out.tools.argumentsAt(index) === ""
    if (isMissing && text !== "{}") out.toolFragment({ index, argumentsText: text })
  } else if (type.endsWith("_call")) {
    const id = nonEmpty(item["id"])
    out.metadata("hosted-tool-call", { part, id, name: nameOf(item, type), input: item["arguments"] ?? {}, item })
  } else {
    out.toolResult({
      id: nonEmpty(item["call_id"]) ?? "",
      name: nameOf(item, type),
      output: item["result"] ?? null,
      isError: item["is_error"] === true
    })
  }
}

const nameOf = (item: UnknownRecord, type: string): string =>
  nonEmpty(item["name"]) ?? type.replace(/_(call|result)$/, "")

// -----------------------------------------------------------------------------
// finish
// -----------------------------------------------------------------------------

/** The statuses behind which nothing comes. */
const overs: ReadonlySet<string | undefined> = new Set(
  "completed requires_action requires_continuation incomplete budget_exceeded failed cancelled".split(" ")
)

const finishReasonOf = (status: string | undefined, hasCalls: boolean): StreamResult.FinishReason => {
  switch (status) {
    case "completed":
      return hasCalls ? "tool-calls" : "stop"
    case "requires_action":
      return "tool-calls"
    case "incomplete":
    case "budget_exceeded":
      return "length"
    case "requires_continuation":
      return "pause"
    case "failed":
      return "error"
    default:
      return "other"
  }
}

const toUsage = (usage: UnknownRecord): StreamResult.Usage =>
  inclusive({
    prompt: number(usage["total_input_tokens"]),
    toolUse: number(usage["total_tool_use_tokens"]),
    cached: number(usage["total_cached_tokens"]),
    answer: number(usage["total_output_tokens"]),
    thoughts: number(usage["total_thought_tokens"])
  })

// -----------------------------------------------------------------------------
// provider
// -----------------------------------------------------------------------------

const provider = Provider.make(protocol, {
  baseUrl: "https://generativelanguage.googleapis.com/v1beta",
  path: () => "/interactions",
  authorize: (request, apiKey) => HttpClientRequest.setHeader(request, "x-goog-api-key", Redacted.value(apiKey)),
  body: (request, model) => ({ model, input: request.messages ?? request.prompt, stream: true })
})

/**
 * Decodes the bytes of a streamed interaction, whether it was just created or is read again by its id.
 *
 * **Details**
 *
 * Answer and thought summaries come as `Delta` and `Reasoning`, function calls as `ToolCallDelta` while they stream and as
 * one `ToolCall` each when their step is over. What Google runs (search, code, URL context, maps, file search, MCP) comes
 * as Metadata of the kind `hosted-tool-call` and as `ToolResult`; annotations as `citation`, images, audio, video and
 * documents as `file`, signatures as `signature`. Usage and finish reason, which is the status of the interaction, come
 * in one Metadata event of the kind `finish` before `End`.
 *
 * **Example** (Decoding a response)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { GoogleInteractions, StreamHandler } from "effect-llm-streaming"
 *
 * const bytes = Stream.make(
 *   'data: {"event_type":"step.delta","index":0,"delta":{"type":"text","text":"Hel',
 *   'lo"}}\n\ndata: {"event_type":"interaction.completed","interaction":{"status":"completed"}}\n\ndata: [DONE]\n\n'
 * )
 * const result = Effect.runSync(bytes.pipe(GoogleInteractions.decode(), StreamHandler.run()))
 * result.text // => "Hello"
 * result.finishReason // => "stop"
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const decode = provider.decode

/**
 * Decodes chunks that the provider's own client has parsed already, from its async iterable for example.
 *
 * @category decoding
 * @since 0.1.0
 */
export const fromChunks = provider.fromChunks

/**
 * Decodes a response: `Start` when its headers are there, `ProviderFailure` for a status outside 2xx, with the provider's
 * code and message, `isRetryable` and `retryAfter`.
 *
 * @category HTTP
 * @since 0.1.0
 */
export const fromResponse = provider.fromResponse

/**
 * A `StreamModel` that creates interactions.
 *
 * **Details**
 *
 * A request's `messages` are the interaction's `input`, its `options` the other fields of the body:
 * `{ previous_interaction_id, tools, generation_config }`, or `{ agent }` in place of a model. A body that cannot be
 * encoded, and a connection that fails, become `SourceFailure`.
 *
 * **Example** (Going on with an interaction)
 *
 * ```ts no-run
 * import { Console, Effect, Layer, Redacted, Stream } from "effect"
 * import { FetchHttpClient } from "effect/http"
 * import { GoogleInteractions, StreamEvent, StreamModel } from "effect-llm-streaming"
 *
 * const Model = GoogleInteractions.layer({ apiKey: Redacted.make("KEY"), model: "gemini-2.5-flash" }).pipe(
 *   Layer.provide(FetchHttpClient.layer)
 * )
 * const program = StreamModel.stream({
 *   prompt: "And the second largest?",
 *   options: { previous_interaction_id: "ID" }
 * }).pipe(
 *   StreamEvent.text,
 *   Stream.runForEach((text) => Console.log(text))
 * )
 * await Effect.runPromise(Effect.provide(program, Model))
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = provider.layer

/**
 * {@link layer} from configuration.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = provider.layerConfig
