/**
 * Anthropic's Messages, as Anthropic, its resellers and the servers that imitate it stream them.
 *
 * The terminal event is `message_stop`. What a chunk is about stands in its JSON: `event:` lines are not needed.
 *
 * 1. A message is made of blocks: `part` is the index of a block, in every event that is about one.
 * 2. The thinking of an answer can be sent back in the next turn: `block` of each Metadata of the kind `signature` is the
 *    thinking block, redacted or not, as the provider wants it.
 * 3. Tools that the provider runs (`server_tool_use`, `mcp_tool_use`) are Metadata and their answers `ToolResult`; only
 *    what the application is to run becomes a `ToolCall`.
 * 4. Two answers are never mixed: a second `message_start` says nothing new where it has the same id, begins the answer
 *    anew where there is no content yet, and is a `ProtocolViolation` behind some.
 *
 * @since 0.1.0
 */
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Redacted from "effect/Redacted"
import { sizeOf } from "../internal/sizeOf.ts"
import {
  array,
  difference,
  jsonOrText,
  jsonText,
  nonEmpty,
  number,
  record,
  string,
  type UnknownRecord
} from "../internal/untyped.ts"
import * as StreamError from "../StreamError.ts"
import * as StreamModel from "../StreamModel.ts"
import type * as StreamResult from "../StreamResult.ts"
import type * as Protocol from "./Protocol.ts"
import * as Provider from "./Provider.ts"

// -----------------------------------------------------------------------------
// protocol
// -----------------------------------------------------------------------------

interface State {
  hasStarted: boolean
  isStopped: boolean
  id: string | undefined
  stopReason: string | undefined
  usage: UnknownRecord | undefined
  /** What the end of the message says beside stop reason and usage. */
  details: UnknownRecord
  /** The blocks that have begun and not ended, by index. */
  readonly open: Map<number, Block>
  /** The highest index of a block so far. */
  lastIndex: number
  /** A call that ended without arguments, as a call also ends whose answer is cut there: what follows tells. */
  emptyCall: number | undefined
  /** Names of tools that the provider runs, by the id of the call. */
  readonly hostedNames: Map<string, string>
}

interface Block {
  item: UnknownRecord
  /** The input that it began with. */
  readonly input: string | undefined
  /** Its thinking, or the input of a hosted tool, so far. */
  text: string
  /** What it counts towards the limit. */
  size: number
}

/** @internal */
export const protocol: Protocol.Protocol<State> = {
  provider: "anthropic",
  framing: "sse",
  terminal: "message_stop",
  recognizes: (chunk) => /^(message|content_block)_(start|delta|stop)$/.test(string(chunk["type"]) ?? ""),
  initial: () => ({
    hasStarted: false,
    isStopped: false,
    id: undefined,
    stopReason: undefined,
    usage: undefined,
    details: {},
    open: new Map(),
    lastIndex: -1,
    emptyCall: undefined,
    hostedNames: new Map()
  }),
  step(state, chunk, out) {
    switch (chunk["type"]) {
      case "message_start":
        return startMessage(state, record(chunk["message"]) ?? {}, out)
      case "content_block_start": {
        const item = record(chunk["content_block"])
        if (item === undefined) out.metadata("unknown", { chunk })
        else startBlock(state, indexOf(chunk), item, out)
        return undefined
      }
      case "content_block_delta":
        stepBlock(state, chunk, out)
        return undefined
      case "content_block_stop":
        stopBlock(state, indexOf(chunk), out)
        return undefined
      case "message_delta":
        stepMessage(state, chunk, out)
        return undefined
      case "message_stop": {
        const { type: _, ...details } = chunk
        state.isStopped = true
        state.details = { ...state.details, ...said(details) }
        return "done"
      }
      case "ping":
        out.progress("ping")
        return undefined
      default:
        if (chunk["type"] === "error" || (chunk["error"] ?? undefined) !== undefined) return out.failure(chunk)
        out.metadata("unknown", { chunk })
        return undefined
    }
  },
  onHalt({ details, isStopped, open, stopReason, usage }, out) {
    for (const [index, block] of open) endBlock(index, block, out)
    return {
      isComplete: isStopped,
      finishReason: stopReason === undefined ? "unknown" : finishReasonOf(stopReason),
      providerFinishReason: stopReason,
      usage: usage && toUsage(usage),
      metadata: usage === undefined ? details : { ...details, usage }
    }
  }
}

// -----------------------------------------------------------------------------
// message
// -----------------------------------------------------------------------------

const startMessage = (state: State, message: UnknownRecord, out: Protocol.Output): Protocol.DecodeError | undefined => {
  const { content, model, role: _, stop_reason, type: __, usage, ...others } = message
  const id = nonEmpty(message["id"])
  if (state.hasStarted) {
    if (id === undefined || id === state.id) return undefined
    if (state.lastIndex >= 0) {
      return StreamError.make({
        _tag: "ProtocolViolation",
        expected: "the rest of the message",
        actual: "the start of another"
      })
    }
  }
  state.hasStarted = true
  state.id = id
  state.stopReason = nonEmpty(stop_reason)
  const counts = record(usage)
  state.usage = counts && said(counts)
  out.metadata("response", { ...said(others), id, model: nonEmpty(model) })
  // A turn that only goes on with calls from a running program holds them here, and its stop reason.
  for (const [index, item] of (array(content) ?? []).entries()) {
    startBlock(state, index, record(item) ?? {}, out)
    stopBlock(state, index, out)
  }
  return undefined
}

const stepMessage = (state: State, chunk: UnknownRecord, out: Protocol.Output): void => {
  const { delta, type: _, usage, ...others } = chunk
  const { stop_reason, ...details } = record(delta) ?? {}
  state.stopReason = nonEmpty(stop_reason) ?? state.stopReason
  state.details = { ...state.details, ...said(details), ...said(others) }
  // They are of the whole message, and those of its start hold where there is none.
  const counts = record(usage)
  if (counts !== undefined) state.usage = { ...state.usage, ...said(counts) }
  out.held += sizeOf(chunk, maxItemSize)
}

/** The fields that say something. */
const said = (body: UnknownRecord): UnknownRecord =>
  Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined && value !== null))

// -----------------------------------------------------------------------------
// blocks
// -----------------------------------------------------------------------------

/** Beyond this a value is not measured: it is more than enough for any limit on what is held. */
const maxItemSize = 2 ** 24

/** What a block counts beside what is in it, so that a flood of empty ones is bounded too. */
const blockSize = 64

const indexOf = (chunk: UnknownRecord): number => number(chunk["index"]) ?? 0

const openBlock = (state: State, index: number, item: UnknownRecord, out: Protocol.Output): Block => {
  const block: Block = { item, input: jsonText(item["input"]), text: "", size: blockSize + sizeOf(item, maxItemSize) }
  state.open.set(index, block)
  state.lastIndex = Math.max(state.lastIndex, index)
  out.held += block.size
  return block
}

const hold = (block: Block, text: string, out: Protocol.Output): void => {
  block.text += text
  block.size += text.length
  out.held += text.length
}

const startBlock = (state: State, index: number, item: UnknownRecord, out: Protocol.Output): void => {
  const id = nonEmpty(item["id"])
  // The same once more. Taken for another, it would end the one that is open.
  if (id !== undefined && id === state.open.get(index)?.item["id"]) return
  stopBlock(state, index, out)
  if (state.emptyCall !== undefined) {
    out.toolEnd(state.emptyCall)
    state.emptyCall = undefined
  }
  const block = openBlock(state, index, item, out)
  const type = string(item["type"])
  const part = String(index)
  switch (type) {
    case "text":
      out.delta(nonEmpty(item["text"]), part)
      for (const citation of array(item["citations"]) ?? []) out.metadata("citation", { part, citation })
      return
    case "thinking":
      stepThinking(block, part, item["thinking"], out)
      stepSignature(block, part, item["signature"], out)
      return
    case "redacted_thinking":
      out.metadata("signature", { part, block: item })
      return
    case "tool_use": {
      out.toolFragment({ index, id, name: nonEmpty(item["name"]) })
      const { input: _, ...others } = said(item)
      if (Object.keys(others).some((key) => key !== "type" && key !== "id" && key !== "name")) {
        out.metadata("block", { part, block: others })
      }
      return
    }
    case "server_tool_use":
    case "mcp_tool_use": {
      const name = nonEmpty(item["name"])
      if (id === undefined || name === undefined) return
      state.hostedNames.set(id, name)
      out.held += id.length + name.length
      return
    }
    case "compaction":
      return
    default:
      if (type?.endsWith("_tool_result")) startResult(state, part, item, out)
      else out.metadata("block", { part, block: item })
  }
}

/** The answer of a tool that the provider ran, in this turn or in one before. */
const startResult = (state: State, part: string, item: UnknownRecord, out: Protocol.Output): void => {
  const { content, is_error, ...block } = item
  const id = string(item["tool_use_id"]) ?? ""
  out.metadata("block", { part, block })
  out.toolResult({
    id,
    name: state.hostedNames.get(id) ?? String(item["type"]).replace(/_tool_result$/, ""),
    output: content ?? null,
    isError: is_error === true || string(record(content)?.["type"])?.endsWith("_error") === true
  })
}

const stepBlock = (state: State, chunk: UnknownRecord, out: Protocol.Output): void => {
  const index = indexOf(chunk)
  const delta = record(chunk["delta"]) ?? {}
  const part = String(index)
  // The start of a block may have been skipped because it was malformed.
  const block = state.open.get(index) ?? (index > state.lastIndex ? openBlock(state, index, {}, out) : undefined)
  switch (delta["type"]) {
    case "text_delta":
      out.delta(nonEmpty(delta["text"]), part)
      return
    case "thinking_delta":
      stepThinking(block, part, delta["thinking"], out)
      return
    case "signature_delta":
      stepSignature(block, part, delta["signature"], out)
      return
    case "citations_delta":
      out.metadata("citation", { part, citation: delta["citation"] })
      return
    case "input_json_delta": {
      const type = block?.item["type"]
      const text = jsonText(delta["partial_json"])
      if (block !== undefined && isHosted(type)) hold(block, text ?? "", out)
      else if (type === "tool_use" || (block !== undefined && type === undefined)) {
        out.toolFragment({ index, argumentsText: text })
      } else out.metadata("unknown", { chunk })
      return
    }
    case "compaction_delta": {
      if (block?.item["type"] !== "compaction") {
        out.metadata("unknown", { chunk })
        return
      }
      // It does not append: it has the final value.
      const { type: _, ...others } = delta
      const size = sizeOf(others, maxItemSize)
      block.item = { ...block.item, ...others }
      block.size += size
      out.held += size
      return
    }
    default:
      out.metadata("unknown", { chunk })
  }
}

/** Without text it is a sign of thinking that is not shown, or not yet. */
const stepThinking = (block: Block | undefined, part: string, thinking: unknown, out: Protocol.Output): void => {
  const text = nonEmpty(thinking)
  if (text === undefined) {
    out.progress("thinking")
    return
  }
  out.reasoning(text, part)
  if (block !== undefined) hold(block, text, out)
}

const stepSignature = (block: Block | undefined, part: string, value: unknown, out: Protocol.Output): void => {
  const signature = nonEmpty(value)
  if (signature === undefined) return
  const thinking = block?.text
  out.metadata("signature", { part, signature, block: block && { type: "thinking", thinking, signature } })
}

const stopBlock = (state: State, index: number, out: Protocol.Output): void => {
  const block = state.open.get(index)
  if (block === undefined) return
  state.open.delete(index)
  out.held -= block.size
  endBlock(index, block, out)
  if (block.item["type"] !== "tool_use") return
  if (out.tools.argumentsAt(index) === "") state.emptyCall = index
  else out.toolEnd(index)
}

/** What a block holds comes out: at its end, or where the stream breaks off. */
const endBlock = (index: number, block: Block, out: Protocol.Output): void => {
  const part = String(index)
  const { input = "", item, text } = block
  if (item["type"] === "tool_use") {
    if (input !== "{}" && out.tools.argumentsAt(index) === "") out.toolFragment({ index, argumentsText: input })
  } else if (isHosted(item["type"])) {
    const whole = { ...item, input: jsonOrText(text || input) }
    out.metadata("hosted-tool-call", { part, id: item["id"], name: item["name"], input: whole.input, item: whole })
  } else if (item["type"] === "compaction") {
    out.metadata("block", { part, block: item })
  }
}

const isHosted = (type: unknown): boolean => type === "server_tool_use" || type === "mcp_tool_use"

// -----------------------------------------------------------------------------
// finish
// -----------------------------------------------------------------------------

const finishReasonOf = (word: string): StreamResult.FinishReason => {
  switch (word) {
    case "end_turn":
    case "stop_sequence":
      return "stop"
    case "max_tokens":
    case "model_context_window_exceeded":
      return "length"
    case "tool_use":
      return "tool-calls"
    case "refusal":
      return "content-filter"
    case "pause_turn":
      return "pause"
    default:
      return "other"
  }
}

/** What was read from the cache, or written to it, is not among Anthropic's `input_tokens`. */
const toUsage = (usage: UnknownRecord): StreamResult.Usage => {
  const uncached = number(usage["input_tokens"])
  const cacheRead = number(usage["cache_read_input_tokens"])
  const cacheWrite = number(usage["cache_creation_input_tokens"])
  const output = number(usage["output_tokens"])
  const reasoning = number(record(usage["output_tokens_details"])?.["thinking_tokens"])
  return {
    inputTokens: {
      total: uncached === undefined ? undefined : uncached + (cacheRead ?? 0) + (cacheWrite ?? 0),
      uncached,
      cacheRead,
      cacheWrite
    },
    outputTokens: {
      total: output,
      reasoning,
      text: difference(output, reasoning)
    }
  }
}

// -----------------------------------------------------------------------------
// provider
// -----------------------------------------------------------------------------

/** The API demands a limit. Every model takes this one. */
const maxTokens = 4096

const provider = Provider.make(protocol, {
  baseUrl: "https://api.anthropic.com/v1",
  path: () => "/messages",
  authorize: (request, apiKey) => HttpClientRequest.setHeader(request, "x-api-key", Redacted.value(apiKey)),
  headers: { "anthropic-version": "2023-06-01" },
  body: (request, model) => ({
    model,
    max_tokens: maxTokens,
    messages: StreamModel.messages(request),
    stream: true
  })
})

/**
 * Decodes the bytes of a streamed message.
 *
 * **Details**
 *
 * Answer and thinking come as events of their own; citations, signatures, hosted tools, compactions and whatever else a
 * block or the message says come as Metadata (see `Protocol`'s table of kinds). A tool call comes once, as soon as its
 * block is over; one that is not whole fails the stream with `ToolCallIncomplete`, behind all other events. Usage is put
 * together from `message_start` and `message_delta`; it and the finish reason come in one Metadata event of the kind
 * `finish` before `End`, together with what else the message's end says: `stop_sequence`, `stop_details`, `container`,
 * `context_management`. An error in the stream becomes `ProviderFailure`, a ping `Progress`.
 *
 * **Gotchas**
 *
 * The total of input tokens counts cached ones in, which `input_tokens` of Anthropic does not. As there, it has no
 * tokens of a compaction: these are only in `iterations` of the provider's own usage.
 *
 * **Example** (Decoding a response)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { AnthropicMessages, StreamHandler } from "effect-llm-streaming"
 *
 * const bytes = Stream.make(
 *   'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}\n\n',
 *   'data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":3}}\n\n',
 *   'data: {"type":"message_stop"}\n\n'
 * )
 * const result = Effect.runSync(bytes.pipe(AnthropicMessages.decode(), StreamHandler.run()))
 * result.text // => "Hello"
 * result.providerFinishReason // => "end_turn"
 * result.usage?.outputTokens.total // => 3
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const decode = provider.decode

/**
 * Decodes chunks that the provider's own client has parsed already: the async iterable of
 * `client.messages.create({ stream: true })`, for one.
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
 * A `StreamModel` that asks Anthropic, or a server that speaks its protocol.
 *
 * **Details**
 *
 * `max_tokens` is 4096, which every model takes; fields of the request's `options` win over what is set here. A body that
 * cannot be encoded, and a connection that fails, become `SourceFailure`.
 *
 * **Gotchas**
 *
 * Anthropic has no message of the role `system`: the system prompt is a field of `options`.
 *
 * **Example** (Asking Claude)
 *
 * ```ts no-run
 * import { Config, Console, Effect, Layer, Stream } from "effect"
 * import { FetchHttpClient } from "effect/http"
 * import { AnthropicMessages, StreamEvent, StreamModel } from "effect-llm-streaming"
 *
 * const Model = AnthropicMessages.layerConfig({ apiKey: Config.Redacted("ANTHROPIC_API_KEY") }).pipe(
 *   Layer.provide(FetchHttpClient.layer)
 * )
 * const program = StreamModel.stream({
 *   model: "claude-sonnet-4-5",
 *   prompt: "Why is the sky blue?",
 *   options: { system: "Answer in one sentence.", max_tokens: 1000 }
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
