/**
 * OpenAI's Responses, and the servers that speak it: Azure, xAI, LM Studio and others by the name of Open Responses,
 * Hugging Face, GitHub Copilot.
 *
 * 1. The position of an item in the output is its key (`output_index`, `content_index`, `summary_index`): some servers
 *    change its id with every event. A text's `part` is `"1.0"`, the first content of the second item, or `"0.s0"`, the
 *    first summary of the first.
 * 2. What comes whole behind its deltas, or in place of them, is not repeated: only what is missing is added.
 * 3. The terminal event is `response.completed`, `response.incomplete` or `response.failed`. An error is reported once.
 *
 * Of the kinds of Metadata that all protocols have, these hold more:
 *
 * - `signature`: the `item` of a piece of reasoning, or of a call that has more than a name and arguments (a namespace, a
 *   caller). Sent back as it is in the next turn's `input`, it continues the reasoning; `signature` is its encrypted content.
 * - `hosted-tool-call`: the `item` of every tool that is no function or custom tool, run by the provider or by you.
 *
 * And these are of this protocol alone:
 *
 * - `hosted-tool-delta`: a `chunk` with a piece of such an item, before the whole: code, a partial image.
 * - `hosted-tool-result`: the `item` of a result, beside its `ToolResult`.
 * - `message`: what a message says of itself before its text: `id`, `role`, `phase`.
 * - `content`: content of a message that is no text.
 *
 * @since 0.1.0
 */
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import { inclusive, isEmpty } from "../internal/openAi.ts"
import {
  array,
  jsonOrText,
  jsonText,
  nonEmpty,
  number,
  record,
  string,
  type UnknownRecord
} from "../internal/untyped.ts"
import * as StreamError from "../StreamError.ts"
import type * as StreamResult from "../StreamResult.ts"
import type * as Protocol from "./Protocol.ts"
import * as Provider from "./Provider.ts"

// -----------------------------------------------------------------------------
// protocol
// -----------------------------------------------------------------------------

interface State {
  id: string | undefined
  readonly items: Map<number, Item>
  /** The item that began last: an event that does not say which one it is about is about this. */
  current: number
  /** Whether there is a call for the application to answer. */
  hasCalls: boolean
  finish: Finish | undefined
}

/** An item of the output. */
interface Item {
  /** As it was when it began, as long as it is not over; `undefined` where that was not said. */
  begun: UnknownRecord | undefined
  isOver: boolean
  /** Once it is over. */
  id: string | undefined
  /** Its texts, by part. */
  readonly texts: Map<string, Sent>
  held: number
}

/** How much of a text has been sent. */
interface Sent {
  size: number
  /** To see whether a whole text continues what was sent. */
  last: string
  citations: number
}

interface Finish {
  readonly status: string
  readonly reason: string | undefined
  /** The `usage` as it is, the response's `id` where it has changed, and what stands beside the response. */
  readonly metadata: UnknownRecord
}

/** @internal */
export const protocol: Protocol.Protocol<State> = {
  provider: "openai",
  framing: "sse",
  terminal: "response.completed",
  recognizes: (chunk) => string(chunk["type"])?.startsWith("response.") === true,
  initial: () => ({ id: undefined, items: new Map(), current: -1, hasCalls: false, finish: undefined }),
  step(state, chunk, out) {
    const type = string(chunk["type"])
    switch (type) {
      case "response.output_text.delta":
        stepText(state, "delta", chunk, out)
        return stepLogprobs(state, chunk, out)
      case "response.reasoning_text.delta":
      case "response.reasoning_summary_text.delta":
        return stepText(state, "reasoning", chunk, out)
      case "response.refusal.delta":
        return stepText(state, "refusal", chunk, out)
      case "response.output_text.done":
        return stepWhole(state, "delta", chunk, chunk["text"], out)
      case "response.reasoning_text.done":
      case "response.reasoning_summary_text.done":
        return stepWhole(state, "reasoning", chunk, chunk["text"], out)
      case "response.refusal.done":
        return stepWhole(state, "refusal", chunk, chunk["refusal"], out)
      case "response.content_part.added":
      case "response.reasoning_summary_part.added":
        return undefined
      case "response.content_part.done":
      case "response.reasoning_summary_part.done":
        addContent(itemOf(state, chunk, out), partOf(state, chunk), record(chunk["part"]) ?? {}, out)
        return undefined
      case "response.output_text.annotation.added":
        addCitation(itemOf(state, chunk, out), partOf(state, chunk), chunk["annotation"], out)
        return undefined
      case "response.function_call_arguments.delta":
      case "response.custom_tool_call_input.delta":
      case "response.function_call_arguments.done":
      case "response.custom_tool_call_input.done":
        return stepArguments(state, chunk, out)
      case "response.output_item.added":
        return stepBegin(state, chunk, out)
      case "response.output_item.done":
        return stepOver(state, chunk, out)
      case "response.created":
      case "response.queued":
      case "response.in_progress":
        out.progress(type.slice("response.".length))
        return identify(state, record(chunk["response"]), out)
      case "response.completed":
      case "response.incomplete":
      case "response.failed":
      case "response.cancelled":
        return stepFinish(state, chunk, type.slice("response.".length), out)
      case "error":
        return out.failure(chunk["error"] ?? { code: chunk["code"], message: chunk["message"] })
      default:
        return stepOther(state, chunk, type, out)
    }
  },
  onHalt: ({ finish, hasCalls }) =>
    finish === undefined
      ? { isComplete: false, finishReason: "unknown" }
      : {
          isComplete: finish.status !== "failed",
          finishReason: finishReasonOf(finish, hasCalls),
          providerFinishReason: finish.reason === undefined ? finish.status : `${finish.status}:${finish.reason}`,
          usage: toUsage(record(finish.metadata["usage"])),
          metadata: finish.metadata
        }
}

/** The response's id and model, once. */
const identify = (state: State, response: UnknownRecord | undefined, out: Protocol.Output): undefined => {
  const id = nonEmpty(response?.["id"])
  if (state.id !== undefined || id === undefined) return
  state.id = id
  out.metadata("response", { id, model: nonEmpty(response?.["model"]) })
}

/** Signs of life, pieces of hosted tools, and what nobody knows. */
const stepOther = (
  state: State,
  chunk: UnknownRecord,
  type: string | undefined,
  out: Protocol.Output
): Protocol.DecodeError | undefined => {
  if (type === undefined) {
    const error = chunk["error"] ?? undefined
    if (error !== undefined) return out.failure(error)
    if (array(chunk["choices"]) !== undefined) return chatChunk()
  }
  const index = indexOf(state, chunk)
  const begun = state.items.get(index)?.begun
  if (type !== undefined && Object.keys(chunk).every((key) => positions.has(key))) {
    out.progress(type.replace(/^response\./, ""))
  } else if (begun !== undefined && isHosted(begun)) {
    out.metadata("hosted-tool-delta", { part: `${index}`, chunk })
  } else {
    out.metadata("unknown", { chunk })
  }
  return undefined
}

const positions = new Set(["type", "sequence_number", "output_index", "item_id", "obfuscation"])

const chatChunk = () =>
  StreamError.make({
    _tag: "ProtocolViolation",
    expected: "an event of the Responses API",
    actual: "a chunk of a chat completion: the base URL, or what is behind it, speaks another protocol"
  })

// -----------------------------------------------------------------------------
// positions
// -----------------------------------------------------------------------------

const indexOf = (state: State, chunk: UnknownRecord): number =>
  number(chunk["output_index"]) ?? Math.max(state.current, 0)

const partOf = (state: State, chunk: UnknownRecord): string => {
  const summary = number(chunk["summary_index"])
  return `${indexOf(state, chunk)}.${summary === undefined ? (number(chunk["content_index"]) ?? 0) : `s${summary}`}`
}

const itemOf = (state: State, chunk: UnknownRecord, out: Protocol.Output): Item =>
  itemAt(state, indexOf(state, chunk), out)

const itemAt = (state: State, index: number, out: Protocol.Output): Item =>
  state.items.get(index) ?? newItem(state, index, out)

/** What an item, or a text of it, counts beside its text. */
const entrySize = 64

const newItem = (state: State, index: number, out: Protocol.Output): Item => {
  const item: Item = { begun: undefined, isOver: false, id: undefined, texts: new Map(), held: 0 }
  state.items.set(index, item)
  out.held += entrySize
  return item
}

// -----------------------------------------------------------------------------
// texts
// -----------------------------------------------------------------------------

type Kind = "delta" | "reasoning" | "refusal"

const stepText = (state: State, kind: Kind, chunk: UnknownRecord, out: Protocol.Output): undefined => {
  const text = nonEmpty(chunk["delta"])
  if (text !== undefined) send(itemOf(state, chunk, out), kind, partOf(state, chunk), text, out)
}

const stepWhole = (state: State, kind: Kind, chunk: UnknownRecord, whole: unknown, out: Protocol.Output): undefined => {
  if (sendRest(itemOf(state, chunk, out), kind, partOf(state, chunk), whole, out)) stepLogprobs(state, chunk, out)
}

const stepLogprobs = (state: State, chunk: UnknownRecord, out: Protocol.Output): undefined => {
  const logprobs = chunk["logprobs"]
  if (!isEmpty(logprobs)) out.metadata("logprobs", { part: partOf(state, chunk), logprobs })
}

const sentOf = (item: Item, part: string, out: Protocol.Output): Sent => {
  const found = item.texts.get(part)
  if (found !== undefined) return found
  const sent: Sent = { size: 0, last: "", citations: 0 }
  item.texts.set(part, sent)
  hold(item, entrySize, out)
  return sent
}

const hold = (item: Item, size: number, out: Protocol.Output): void => {
  item.held += size
  out.held += size
}

const send = (item: Item, kind: Kind, part: string, text: string, out: Protocol.Output): void => {
  const sent = sentOf(item, part, out)
  hold(item, text.length - sent.last.length, out)
  sent.size += text.length
  sent.last = text
  out[kind](text, part)
}

/** Sends what a whole text has beyond its deltas. To keep the deltas for this would double the memory of the text. */
const sendRest = (item: Item, kind: Kind, part: string, whole: unknown, out: Protocol.Output): boolean => {
  const { last, size } = item.texts.get(part) ?? { last: "", size: 0 }
  const text = string(whole) ?? ""
  if (item.isOver || text.length <= size || !text.startsWith(last, size - last.length)) return false
  send(item, kind, part, text.slice(size), out)
  return true
}

/** Content that has come whole. Gives whether it is a text. */
const addContent = (item: Item, part: string, content: UnknownRecord, out: Protocol.Output): boolean => {
  switch (content["type"]) {
    case "output_text":
    case "text":
      sendRest(item, "delta", part, content["text"], out)
      if (item.isOver) return true
      for (const citation of (array(content["annotations"]) ?? []).slice(sentOf(item, part, out).citations)) {
        addCitation(item, part, citation, out)
      }
      return true
    case "reasoning_text":
    case "summary_text":
      sendRest(item, "reasoning", part, content["text"], out)
      return true
    case "refusal":
      sendRest(item, "refusal", part, content["refusal"], out)
      return true
    default:
      return false
  }
}

const addCitation = (item: Item, part: string, citation: unknown, out: Protocol.Output): void => {
  sentOf(item, part, out).citations++
  out.metadata("citation", { part, citation })
}

// -----------------------------------------------------------------------------
// items
// -----------------------------------------------------------------------------

const isCall = (body: UnknownRecord): boolean => body["type"] === "function_call" || body["type"] === "custom_tool_call"

const isHosted = (body: UnknownRecord): boolean =>
  !isCall(body) && body["type"] !== "message" && body["type"] !== "reasoning"

const idOf = (body: UnknownRecord): string | undefined => nonEmpty(body["call_id"]) ?? nonEmpty(body["id"])

/** The item that an event is about. */
const bodyOf = (chunk: UnknownRecord, out: Protocol.Output): UnknownRecord | undefined => {
  const body = record(chunk["item"])
  if (string(body?.["type"]) !== undefined) return body
  out.metadata("unknown", { chunk })
  return undefined
}

const stepBegin = (state: State, chunk: UnknownRecord, out: Protocol.Output): undefined => {
  const index = number(chunk["output_index"]) ?? state.current + 1
  const body = bodyOf(chunk, out)
  const item = body && itemFor(state, index, body, out)
  if (body === undefined || item === undefined || item.begun !== undefined) return
  state.current = index
  item.begun = body
  hold(item, JSON.stringify(body).length, out)
  if (isCall(body)) beginCall(index, body, idOf(body), out)
  else if (body["type"] === "message") describeMessage(index, body, out)
}

const stepOver = (state: State, chunk: UnknownRecord, out: Protocol.Output): undefined => {
  const body = bodyOf(chunk, out)
  if (body !== undefined) over(state, indexOf(state, chunk), body, true, out)
}

/**
 * The item at an index, or none where it is over and this says so again. Some servers use an index for one item after the
 * other.
 */
const itemFor = (state: State, index: number, body: UnknownRecord, out: Protocol.Output): Item | undefined => {
  const item = itemAt(state, index, out)
  if (!item.isOver) return item
  return item.id === idOf(body) ? undefined : newItem(state, index, out)
}

/** An item is over: what of it has not been sent is sent. `isWhole` is not so where the answer was cut. */
const over = (state: State, index: number, body: UnknownRecord, isWhole: boolean, out: Protocol.Output): void => {
  const item = itemFor(state, index, body, out)
  if (item === undefined) return
  if (isCall(body)) {
    overCall(state, index, item.begun, body, isWhole && body["status"] !== "incomplete", out)
  } else if (body["type"] === "message") {
    if (item.begun === undefined) describeMessage(index, body, out)
    addContents(item, `${index}.`, body["content"], out)
  } else if (body["type"] === "reasoning" || nonEmpty(body["encrypted_content"]) !== undefined) {
    addContents(item, `${index}.s`, body["summary"], out)
    addContents(item, `${index}.`, body["content"], out)
    out.metadata("signature", { part: `${index}`, signature: nonEmpty(body["encrypted_content"]), item: body })
  } else {
    overHosted(index, body, out)
  }
  item.begun = undefined
  item.isOver = true
  item.id = idOf(body)
  item.texts.clear()
  hold(item, -item.held, out)
}

const describeMessage = (index: number, body: UnknownRecord, out: Protocol.Output): void => {
  const { content: _, status: __, type: ___, ...more } = body
  out.metadata("message", { ...more, part: `${index}` })
}

const addContents = (item: Item, prefix: string, contents: unknown, out: Protocol.Output): void => {
  for (const [i, content] of (array(contents) ?? []).entries()) {
    const part = `${prefix}${i}`
    if (!addContent(item, part, record(content) ?? {}, out)) out.metadata("content", { part, content })
  }
}

// -----------------------------------------------------------------------------
// calls
// -----------------------------------------------------------------------------

const beginCall = (index: number, body: UnknownRecord, id: string | undefined, out: Protocol.Output): void =>
  out.toolFragment({
    index,
    id,
    name: nonEmpty(body["name"]),
    isText: body["type"] === "custom_tool_call"
  })

/** Arguments that belong to no call that has begun are no call. */
const stepArguments = (state: State, chunk: UnknownRecord, out: Protocol.Output): undefined => {
  const index = indexOf(state, chunk)
  const begun = state.items.get(index)?.begun
  if (begun === undefined || !isCall(begun)) {
    out.metadata("unknown", { chunk })
    return
  }
  out.toolFragment({ index, argumentsText: string(chunk["delta"]) })
  addArguments(index, string(chunk["arguments"]) ?? string(chunk["input"]), out)
}

/** Shows what the whole arguments have beyond their deltas. */
const addArguments = (index: number, whole: string | undefined, out: Protocol.Output): void => {
  if (whole === undefined) return
  const sent = out.tools.argumentsAt(index)
  if (whole.startsWith(sent)) out.toolFragment({ index, argumentsText: whole.slice(sent.length) })
}

const overCall = (
  state: State,
  index: number,
  begun: UnknownRecord | undefined,
  body: UnknownRecord,
  isWhole: boolean,
  out: Protocol.Output
): void => {
  const { arguments: args, call_id: _, id: __, input, name, output, status: ___, type: ____, ...more } = body
  const id = idOf(body)
  const argumentsText = nonEmpty(string(input) ?? jsonText(args))
  if (begun === undefined) beginCall(index, body, id, out)
  else if (nonEmpty(begun["name"]) === undefined) beginCall(index, body, undefined, out)
  addArguments(index, argumentsText, out)
  if (isWhole) out.toolEnd(index, { id, argumentsText })
  if (Object.keys(more).length > 0) out.metadata("signature", { part: `${index}`, id, item: body })
  // Hugging Face runs the tools of the servers that it was given.
  if (isEmpty(output)) state.hasCalls = true
  else out.toolResult({ id: id ?? `${index}`, name: nonEmpty(name) ?? "", output, isError: isFailed(body) })
}

const isFailed = (body: UnknownRecord): boolean => body["status"] === "failed" || !isEmpty(body["error"])

const overHosted = (index: number, body: UnknownRecord, out: Protocol.Output): void => {
  const part = `${index}`
  const type = string(body["type"]) ?? "unknown"
  const id = idOf(body) ?? part
  const name = nonEmpty(body["name"]) ?? type.replace(/(_call)?(_output)?$/, "")
  const isError = isFailed(body)
  if (type.endsWith("_output")) {
    out.toolResult({ id, name, output: body["output"] ?? body["result"] ?? body["tools"] ?? body, isError })
    out.metadata("hosted-tool-result", { part, id, name, item: body })
    return
  }
  out.metadata("hosted-tool-call", { part, id, name, input: inputOf(body), item: body })
  const output = body["output"] ?? body["outputs"] ?? body["results"] ?? body["result"] ?? body["error"]
  if (output !== undefined && output !== null) out.toolResult({ id, name, output, isError })
}

const inputOf = (body: UnknownRecord): unknown => {
  const args = body["arguments"]
  if (typeof args === "string") return jsonOrText(args)
  return args ?? body["action"] ?? body["operation"] ?? body["queries"] ?? body["code"]
}

// -----------------------------------------------------------------------------
// finish
// -----------------------------------------------------------------------------

const stepFinish = (
  state: State,
  chunk: UnknownRecord,
  word: string,
  out: Protocol.Output
): Protocol.DecodeError | "done" => {
  const { response: body, sequence_number: _, type: __, ...more } = chunk
  const response = record(body) ?? {}
  const { id, usage } = response
  identify(state, response, out)
  const said = string(response["status"])
  const status = said === "failed" || said === "incomplete" ? said : word
  const isWhole = status === "completed"
  // Where the stream had no items, its response has them all; else it may have others, and in other places.
  const isAll = state.items.size === 0
  for (const [index, item] of (array(response["output"]) ?? []).entries()) {
    const output = record(item) ?? {}
    const open = state.items.get(index)
    if (isAll || (open?.isOver === false && open.begun?.["type"] === output["type"])) {
      over(state, index, output, isWhole, out)
    }
  }
  if (status !== "failed") {
    for (const [index, { begun }] of state.items) {
      if (begun !== undefined) over(state, index, begun, isWhole, out)
    }
  }
  state.finish = {
    status,
    reason: status === "incomplete" ? nonEmpty(record(response["incomplete_details"])?.["reason"]) : undefined,
    metadata: { ...more, ...(id !== state.id && { id }), ...(!isEmpty(usage) && { usage }) }
  }
  return status === "failed" ? out.failure(response["error"] ?? chunk["error"] ?? {}) : "done"
}

const finishReasonOf = ({ reason, status }: Finish, hasCalls: boolean): StreamResult.FinishReason => {
  if (status === "completed") return hasCalls ? "tool-calls" : "stop"
  if (status === "failed") return "error"
  if (reason === "max_output_tokens") return "length"
  return reason === "content_filter" ? "content-filter" : "unknown"
}

const toUsage = (usage: UnknownRecord | undefined): StreamResult.Usage | undefined => {
  if (usage === undefined) return undefined
  const input = record(usage["input_tokens_details"])
  return inclusive({
    input: number(usage["input_tokens"]),
    output: number(usage["output_tokens"]),
    total: number(usage["total_tokens"]),
    cacheRead: number(input?.["cached_tokens"]),
    cacheWrite: number(input?.["cache_write_tokens"]),
    reasoning: number(record(usage["output_tokens_details"])?.["reasoning_tokens"])
  })
}

// -----------------------------------------------------------------------------
// provider
// -----------------------------------------------------------------------------

const provider = Provider.make(protocol, {
  baseUrl: "https://api.openai.com/v1",
  path: () => "/responses",
  authorize: HttpClientRequest.bearerToken,
  body: (request, model) => ({ model, input: request.messages ?? request.prompt, stream: true })
})

/**
 * Decodes the bytes of a streamed response.
 *
 * **Details**
 *
 * Answer, reasoning (its summary or its text) and refusal come as events of their own. Tool calls come as `ToolCallDelta`
 * while they stream and as one `ToolCall` each, as soon as the provider says that they are over, only when their
 * arguments are whole and valid; one that is not fails the stream with `ToolCallIncomplete`, behind all other events. A
 * custom tool's input is its text. Tools that the provider runs are Metadata and `ToolResult`. Usage and the status come
 * in one Metadata event of the kind `finish` before `End`. An error in the stream becomes `ProviderFailure`; chunks of a
 * chat completion become a `ProtocolViolation` that says so.
 *
 * **Example** (Decoding a response)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { OpenAiResponses, StreamHandler } from "effect-llm-streaming"
 *
 * const bytes = Stream.make(
 *   'data: {"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"Hel"}\n\n',
 *   'data: {"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"lo"}\n\n',
 *   'data: {"type":"response.completed","response":{"status":"completed"}}\n\n'
 * )
 * const result = Effect.runSync(bytes.pipe(OpenAiResponses.decode(), StreamHandler.run()))
 * result.text // => "Hello"
 * result.providerFinishReason // => "completed"
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const decode = provider.decode

/**
 * Decodes events that the provider's own client has parsed already, from its async iterable for example.
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
 * A `StreamModel` that asks a server for responses.
 *
 * **Details**
 *
 * A request's `messages` are the `input` as it is, so they may be items of any kind. Fields of the request's `options` win
 * over what is set here. A body that cannot be encoded, and a connection that fails, become `SourceFailure`.
 *
 * **Example** (Reasoning that is not stored at the provider)
 *
 * ```ts no-run
 * import { Config, Console, Effect, Layer, Stream } from "effect"
 * import { FetchHttpClient } from "effect/http"
 * import { OpenAiResponses, StreamEvent, StreamModel } from "effect-llm-streaming"
 *
 * const Model = OpenAiResponses.layerConfig({
 *   apiKey: Config.Redacted("OPENAI_API_KEY"),
 *   model: Config.String("OPENAI_MODEL")
 * }).pipe(Layer.provide(FetchHttpClient.layer))
 *
 * const program = StreamModel.stream({
 *   prompt: "Why is the sky blue?",
 *   options: { store: false, include: ["reasoning.encrypted_content"], reasoning: { summary: "auto" } }
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
