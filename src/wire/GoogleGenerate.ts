/**
 * Google's streamGenerateContent, of the Gemini API and of Vertex AI.
 *
 * 1. The terminal event is the chunk with a finish reason. There may be one in every chunk, so what comes behind it counts
 *    too; `FINISH_REASON_UNSPECIFIED` is none. A prompt that is blocked has no finish reason and needs none: the stream
 *    ends with `End`, its `providerFinishReason` is `blocked:<reason>`.
 * 2. A function call comes whole, with arguments that are an object, or as Vertex AI streams it: values and their JSON
 *    paths. Their JSON text is written as they come, so a `ToolCallDelta` is text of the arguments here as elsewhere. A
 *    value for a place that the text has gone past makes the call one that is not whole.
 * 3. A streamed call is over when Google says so, with an empty call mostly. Where that is left out, the next call, or the
 *    finish reason `STOP`, ends one of which no string is left open.
 * 4. Calls without an identifier get one. A signature names the call that it belongs to by its `id`; it is to be sent back
 *    in the `functionCall` part. Without `id` it belongs to the text before it, or to the thought where `thought` is true.
 * 5. A response that was not asked for as `alt=sse` is one JSON array, and is read as well.
 *
 * @since 0.1.0
 */
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Redacted from "effect/Redacted"
import { inclusive } from "../internal/googleUsage.ts"
import { JsonPathWriter } from "../internal/jsonPathWriter.ts"
import { array, jsonText, nonEmpty, number, record, string, type UnknownRecord } from "../internal/untyped.ts"
import type * as StreamResult from "../StreamResult.ts"
import type * as Protocol from "./Protocol.ts"
import * as Provider from "./Provider.ts"

// -----------------------------------------------------------------------------
// protocol
// -----------------------------------------------------------------------------

interface State {
  isIdentified: boolean
  finishReason: string | undefined
  blockReason: string | undefined
  /** What comes with the finish reason. */
  details: UnknownRecord
  usage: UnknownRecord | undefined
  calls: number
  /** The call that is being streamed. */
  open: OpenCall | undefined
  hostedCalls: number
  lastHosted: string | undefined
  /** What was said of the candidate, as JSON: much of it is said again with every chunk. */
  readonly said: Map<string, string>
}

interface OpenCall {
  readonly index: number
  readonly writer: JsonPathWriter
}

/** @internal */
export const protocol: Protocol.Protocol<State> = {
  provider: "google",
  framing: "sse-or-json",
  terminal: "a finish reason",
  recognizes: (chunk) =>
    array(chunk["candidates"]) !== undefined ||
    record(chunk["usageMetadata"]) !== undefined ||
    record(chunk["promptFeedback"]) !== undefined,
  initial: () => ({
    isIdentified: false,
    finishReason: undefined,
    blockReason: undefined,
    details: {},
    usage: undefined,
    calls: 0,
    open: undefined,
    hostedCalls: 0,
    lastHosted: undefined,
    said: new Map()
  }),
  step(state, chunk, out) {
    const { candidates, error, promptFeedback, usageMetadata } = chunk
    identify(state, chunk, out)
    for (const item of array(candidates) ?? []) {
      const candidate = record(item)
      if (candidate === undefined) continue
      if ((number(candidate["index"]) ?? 0) === 0) stepCandidate(state, candidate, out)
      else out.metadata("choice", candidate)
    }
    stepFeedback(state, record(promptFeedback), out)
    // Early chunks may have a few of its fields only.
    if (record(usageMetadata) !== undefined) state.usage = { ...state.usage, ...record(usageMetadata) }
    if (error !== undefined && error !== null) return out.failure(chunk)
    if (!chunkFields.some((field) => field in chunk)) out.metadata("unknown", { chunk })
    return undefined
  },
  onHalt(state, out) {
    if (state.finishReason === "STOP") leaveCall(state, out)
    const { blockReason, calls, details, finishReason, usage } = state
    return {
      isComplete: blockReason !== undefined || finishReason !== undefined,
      finishReason: blockReason === undefined ? finishReasonOf(finishReason, calls > 0) : "content-filter",
      providerFinishReason: blockReason === undefined ? finishReason : `blocked:${blockReason}`,
      usage: usage && toUsage(usage),
      metadata: usage === undefined ? details : { ...details, usage }
    }
  }
}

const chunkFields = ["candidates", "promptFeedback", "usageMetadata", "responseId", "modelVersion"]

const identify = (state: State, chunk: UnknownRecord, out: Protocol.Output): void => {
  if (state.isIdentified) return
  const id = nonEmpty(chunk["responseId"])
  const model = nonEmpty(chunk["modelVersion"])
  if (id === undefined && model === undefined) return
  state.isIdentified = true
  out.metadata("response", { id, model, createTime: nonEmpty(chunk["createTime"]) })
}

const stepFeedback = (state: State, promptFeedback: UnknownRecord | undefined, out: Protocol.Output): void => {
  if (promptFeedback === undefined) return
  say(state, "content-filter", "promptFeedback", { promptFeedback }, out)
  state.blockReason ??= specified(promptFeedback["blockReason"])
}

/** A word that is not the one for "nobody said". */
const specified = (value: unknown): string | undefined => {
  const word = nonEmpty(value)
  return word?.endsWith("_UNSPECIFIED") === true ? undefined : word
}

// -----------------------------------------------------------------------------
// candidate
// -----------------------------------------------------------------------------

const stepCandidate = (state: State, candidate: UnknownRecord, out: Protocol.Output): void => {
  const { content, finishReason, index: _, ...others } = candidate
  for (const item of array(record(content)?.["parts"]) ?? []) stepPart(state, record(item) ?? {}, out)
  for (const [field, value] of Object.entries(others)) {
    if (value !== undefined && value !== null) stepField(state, field, value, out)
  }
  state.finishReason = specified(finishReason) ?? state.finishReason
}

const stepField = (state: State, field: string, value: unknown, out: Protocol.Output): void => {
  switch (field) {
    case "finishMessage":
    case "continuationToken":
      state.details = { ...state.details, [field]: value }
      return
    case "logprobsResult":
    case "avgLogprobs":
      out.metadata("logprobs", { [field]: value })
      return
    case "groundingMetadata":
    case "citationMetadata":
    case "urlContextMetadata":
      say(state, "citation", field, { citation: { [field]: value } }, out)
      return
    case "safetyRatings":
      say(state, "content-filter", field, { [field]: value }, out)
      return
    default:
      say(state, "unknown", field, { chunk: { [field]: value } }, out)
  }
}

/** What is said again and again is Metadata when it is new. */
const say = (state: State, kind: string, field: string, metadata: UnknownRecord, out: Protocol.Output): void => {
  const text = jsonText(metadata) ?? ""
  const last = state.said.get(field)
  if (last === text) return
  state.said.set(field, text)
  out.held += text.length - (last?.length ?? 0)
  out.metadata(kind, metadata)
}

const stepPart = (state: State, part: UnknownRecord, out: Protocol.Output): void => {
  const { text, thought, thoughtSignature, ...data } = part
  if (thought === true) out.reasoning(string(text))
  else out.delta(string(text))
  const call = record(data["functionCall"])
  let id: string | undefined
  if ("inlineData" in data || "fileData" in data) {
    out.metadata("file", part)
  } else if (Object.keys(data).length > 0) {
    id = call === undefined ? stepHosted(state, part, out) : stepCall(state, call, out)
    const isEmptyCall = call !== undefined && Object.keys(call).length === 0
    if (id === undefined && !isEmptyCall) out.metadata("unknown", { chunk: part })
  }
  const signature = nonEmpty(thoughtSignature)
  if (signature !== undefined) out.metadata("signature", { id, thought: thought === true, signature })
}

// -----------------------------------------------------------------------------
// tools
// -----------------------------------------------------------------------------

/** Gives the identifier of the call; `undefined` for what belongs to none. */
const stepCall = (state: State, call: UnknownRecord, out: Protocol.Output): string | undefined => {
  const name = nonEmpty(call["name"])
  const values = (array(call["partialArgs"]) ?? []).map((value) => record(value) ?? {})
  const goesOn = call["willContinue"] === true || values.some((value) => value["willContinue"] === true)
  if (name !== undefined) {
    leaveCall(state, out)
    state.open = { index: state.calls++, writer: new JsonPathWriter() }
  }
  if (state.open === undefined) return undefined
  const { index, writer } = state.open
  const args = jsonText(call["args"])
  // Some encoders write the empty object where there is none.
  const hasArgs = args !== undefined && !(goesOn && args === "{}")
  let text = hasArgs ? args : goesOn ? writer.begin() : ""
  for (const value of values) text += writer.write(value)
  if (!goesOn) text += writer.close()
  out.toolFragment({ index, id: name && nonEmpty(call["id"]), name, argumentsText: text })
  if (!goesOn) {
    out.toolEnd(index)
    state.open = undefined
  }
  return out.tools.idAt(index)
}

/** The model has gone on: the call that is being streamed is over, where nothing of it is left open. */
const leaveCall = (state: State, out: Protocol.Output): void => {
  const { open } = state
  state.open = undefined
  if (open === undefined || !open.writer.isAtRest) return
  out.toolFragment({ index: open.index, argumentsText: open.writer.close() })
  out.toolEnd(open.index)
}

/** A tool that Google runs, and what came of it. Gives the identifier of the call; `undefined` for other parts. */
const stepHosted = (state: State, part: UnknownRecord, out: Protocol.Output): string | undefined => {
  const code = record(part["executableCode"])
  const codeResult = record(part["codeExecutionResult"])
  const call = record(part["toolCall"])
  const response = record(part["toolResponse"])
  const made = code ?? call
  if (made !== undefined) {
    const id = nonEmpty(made["id"]) ?? `hosted_${state.hostedCalls++}`
    const name = code === undefined ? (nonEmpty(made["toolType"]) ?? "") : "code_execution"
    state.lastHosted = id
    out.metadata("hosted-tool-call", { id, name, input: code ?? made["args"] ?? {}, item: part })
    return id
  }
  const result = codeResult ?? response
  if (result === undefined) return undefined
  const id = nonEmpty(result["id"]) ?? state.lastHosted ?? `hosted_${state.hostedCalls++}`
  if (codeResult !== undefined) {
    const isError = /FAILED|DEADLINE/.test(string(codeResult["outcome"]) ?? "")
    out.toolResult({ id, name: "code_execution", output: codeResult, isError })
  } else {
    out.toolResult({ id, name: nonEmpty(result["toolType"]) ?? "", output: result["response"] ?? {}, isError: false })
  }
  return id
}

// -----------------------------------------------------------------------------
// finish
// -----------------------------------------------------------------------------

const finishReasonOf = (word: string | undefined, hasCalls: boolean): StreamResult.FinishReason => {
  switch (word) {
    case undefined:
      return "unknown"
    case "STOP":
      return hasCalls ? "tool-calls" : "stop"
    case "MAX_TOKENS":
    case "CONTINUATION":
      return "length"
    case "SAFETY":
    case "RECITATION":
    case "BLOCKLIST":
    case "PROHIBITED_CONTENT":
    case "SPII":
    case "MODEL_ARMOR":
    case "IMAGE_SAFETY":
    case "IMAGE_PROHIBITED_CONTENT":
    case "IMAGE_RECITATION":
      return "content-filter"
    case "MALFORMED_FUNCTION_CALL":
    case "MALFORMED_RESPONSE":
    case "MISSING_THOUGHT_SIGNATURE":
    case "UNEXPECTED_TOOL_CALL":
    case "TOO_MANY_TOOL_CALLS":
      return "error"
    default:
      return "other"
  }
}

const toUsage = (usage: UnknownRecord): StreamResult.Usage =>
  inclusive({
    prompt: number(usage["promptTokenCount"]),
    toolUse: number(usage["toolUsePromptTokenCount"]),
    cached: number(usage["cachedContentTokenCount"]),
    answer: number(usage["candidatesTokenCount"]),
    thoughts: number(usage["thoughtsTokenCount"])
  })

// -----------------------------------------------------------------------------
// provider
// -----------------------------------------------------------------------------

const provider = Provider.make(protocol, {
  baseUrl: "https://generativelanguage.googleapis.com/v1beta",
  path: (model = "") => {
    const path = model.split("/").map(encodeURIComponent).join("/")
    return `/${path.includes("/") ? path : `models/${path}`}:streamGenerateContent?alt=sse`
  },
  authorize: (request, apiKey) => HttpClientRequest.setHeader(request, "x-goog-api-key", Redacted.value(apiKey)),
  body: (request) => ({ contents: request.messages ?? [{ role: "user", parts: [{ text: request.prompt }] }] })
})

/**
 * Decodes the bytes of a streamed `generateContent`: server-sent events, or the one JSON array that comes without
 * `alt=sse`.
 *
 * **Details**
 *
 * Thoughts come as `Reasoning`, function calls as `ToolCallDelta` and, as soon as they are whole, as one `ToolCall` each.
 * Code that Google executes and the tools that it runs come as Metadata of the kind `hosted-tool-call` and as
 * `ToolResult`; grounding, citations and URL context as `citation`, ratings of safety as `content-filter`, media as `file`,
 * thought signatures as `signature`. Usage and finish reason come in one Metadata event of the kind `finish` before
 * `End`.
 *
 * **Gotchas**
 *
 * The finish reason of an answer with calls is `STOP`, and `tool-calls` here. A blocked prompt is no failure: `End` says
 * `content-filter`.
 *
 * **Example** (Decoding a response)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { GoogleGenerate, StreamHandler } from "effect-llm-streaming"
 *
 * const bytes = Stream.make(
 *   'data: {"candidates":[{"content":{"parts":[{"text":"Hmm","thought":true}]}}]}\r\n\r\ndata: {"candidates":[{"content"',
 *   ':{"parts":[{"functionCall":{"name":"add","args":{"a":1}}}]},"finishReason":"STOP"}]}\r\n\r\n'
 * )
 * const result = Effect.runSync(bytes.pipe(GoogleGenerate.decode(), StreamHandler.run()))
 * result.reasoning // => "Hmm"
 * result.toolCalls // => [{ id: "call_0", name: "add", argumentsText: '{"a":1}', input: { a: 1 } }]
 * result.finishReason // => "tool-calls"
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
 * A `StreamModel` that asks the Gemini API, or Vertex AI.
 *
 * **Details**
 *
 * A request's `messages` are Google's `contents`: `{ role, parts }`. Its `options` are the other fields of the body:
 * `{ generationConfig: { temperature: 0 }, tools, systemInstruction }`. A model's name with a slash is a path below the
 * base URL. A body that cannot be encoded, and a connection that fails, become `SourceFailure`.
 *
 * **Example** (Asking Vertex AI)
 *
 * ```ts no-run
 * import { Console, Effect, Layer, Stream } from "effect"
 * import { FetchHttpClient } from "effect/http"
 * import { GoogleGenerate, StreamEvent, StreamModel } from "effect-llm-streaming"
 *
 * const Model = GoogleGenerate.layer({
 *   baseUrl: "https://aiplatform.googleapis.com/v1/projects/PROJECT/locations/global/publishers/google",
 *   headers: { authorization: "Bearer TOKEN" },
 *   model: "gemini-2.5-flash"
 * }).pipe(Layer.provide(FetchHttpClient.layer))
 * const program = StreamModel.stream({
 *   messages: [{ role: "user", parts: [{ text: "Why is the sky blue?" }] }],
 *   options: { generationConfig: { temperature: 0 } }
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
