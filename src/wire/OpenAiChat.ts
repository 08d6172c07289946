/**
 * OpenAI's Chat Completions, and the many servers that speak it.
 *
 * The terminal event is the chunk with a finish reason. `[DONE]` is neither one nor needed: a stream that stops without a
 * finish reason fails with `Truncated`.
 *
 * What the relatives do in their own way, and what becomes of it:
 *
 * - Azure: a first chunk without choices, id and model; `prompt_filter_results` and `content_filter_results` are Metadata
 *   of the kind `content-filter`.
 * - Groq: `reasoning`; usage in `x_groq` too; `event: error`.
 * - DeepSeek: `reasoning_content`; comments as keep-alive; cached tokens as `prompt_cache_hit_tokens`;
 *   `insufficient_system_resource` is the finish reason `error`.
 * - Mistral: content as an array of text and thinking; whole tool calls without an index; an error in place of a chunk.
 * - xAI: `reasoning_content`, counted beside the completion; `citations`.
 * - Alibaba: `reasoning_content`; empty ids in the fragments of a tool call.
 * - Moonshot: `reasoning_content`; usage inside of the choice; `cached_tokens`.
 * - Perplexity: no `[DONE]`, CRLF, choices without an index; the sources in every chunk, which are `citation`s once each;
 *   usage in every chunk, of which the last counts; its cost stays in the usage object.
 * - Cerebras: `reasoning`; an id that changes between chunks; `event: error`.
 * - OpenRouter: `reasoning`; `reasoning_details`, which are `signature`s; images; an error beside or inside of the choice;
 *   comments as keep-alive; its cost stays in the usage object.
 * - Google's compatible server: tool calls without an index; `extra_content` with a thought signature is a `signature`,
 *   content that it marks as a thought is reasoning.
 * - GitHub Copilot: `reasoning_text`, and `reasoning_opaque`, which is a `signature`.
 *
 * @since 0.1.0
 */
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as OpenAi from "../internal/openAi.ts"
import { array, jsonText, nonEmpty, number, record, string, type UnknownRecord } from "../internal/untyped.ts"
import * as StreamModel from "../StreamModel.ts"
import type * as Protocol from "./Protocol.ts"
import * as Provider from "./Provider.ts"

// -----------------------------------------------------------------------------
// protocol
// -----------------------------------------------------------------------------

/** @internal */
export const protocol: Protocol.Protocol<OpenAi.State> = {
  provider: "openai",
  framing: "sse",
  terminal: "a finish reason",
  recognizes: (chunk) => {
    const choices = array(chunk["choices"])
    return choices !== undefined && chunk["object"] !== "text_completion" && record(choices[0])?.["text"] === undefined
  },
  initial: OpenAi.initial,
  step(state, chunk, out) {
    const error = OpenAi.step(state, chunk, out, choiceFields, stepChoice)
    return error === undefined ? undefined : out.failure(error)
  },
  onHalt: OpenAi.onHalt
}

const choiceFields = new Set([...OpenAi.choiceFields, "delta", "message", "annotations"])

const deltaFields = new Set(
  "role content refusal reasoning_content reasoning reasoning_text tool_calls function_call annotations images index".split(
    " "
  )
)

/** Other fields of a delta of which it is known what they are. */
const kinds = new Map([
  ["reasoning_details", "signature"],
  ["reasoning_opaque", "signature"],
  ["extra_content", "signature"],
  ["audio", "file"]
])

const stepChoice = (choice: UnknownRecord, out: Protocol.Output): void => {
  const delta = record(choice["delta"]) ?? record(choice["message"]) ?? {}
  out.reasoning(reasoningOf(delta))
  stepContent(delta["content"], isThought(delta), out)
  out.refusal(nonEmpty(delta["refusal"]))
  for (const item of callsOf(delta)) stepToolCall(record(item) ?? {}, out)
  for (const citation of array(delta["annotations"] ?? choice["annotations"]) ?? []) {
    out.metadata("citation", { citation })
  }
  for (const image of array(delta["images"]) ?? []) out.metadata("file", { image })
  for (const key in delta) {
    if (deltaFields.has(key) || OpenAi.isEmpty(delta[key])) continue
    const kind = kinds.get(key)
    const field = { [key]: delta[key] }
    out.metadata(kind ?? "unknown", kind === undefined ? { chunk: field } : field)
  }
}

/** Where several names come, they hold the same text. */
const reasoningOf = (delta: UnknownRecord): string | undefined =>
  nonEmpty(delta["reasoning_content"]) ??
  nonEmpty(delta["reasoning"]) ??
  nonEmpty(delta["reasoning_text"]) ??
  array(delta["reasoning_details"])
    ?.map((detail) => string(record(detail)?.["text"]) ?? string(record(detail)?.["summary"]) ?? "")
    .join("")

const isThought = (delta: UnknownRecord): boolean =>
  record(record(delta["extra_content"])?.["google"])?.["thought"] === true

/** A string, or Mistral's array of text and thinking parts. */
const stepContent = (content: unknown, isThought: boolean, out: Protocol.Output): void => {
  if (typeof content === "string") {
    if (isThought) out.reasoning(content)
    else out.delta(content)
    return
  }
  for (const item of array(content) ?? []) {
    const part = record(item)
    const text = nonEmpty(part?.["text"])
    if (part?.["type"] === "thinking") {
      const thinking = array(part["thinking"])?.map((inner) => string(record(inner)?.["text"]) ?? "")
      out.reasoning(thinking?.join("") ?? nonEmpty(part["thinking"]))
    } else if (text !== undefined) {
      out.delta(text)
    } else if (part !== undefined) {
      out.metadata("content", part)
    }
  }
}

/** Tool calls, or the one function call of older servers. */
const callsOf = (delta: UnknownRecord): ReadonlyArray<unknown> => {
  const call = record(delta["function_call"])
  return array(delta["tool_calls"]) ?? (call === undefined ? [] : [{ index: 0, function: call }])
}

const stepToolCall = (call: UnknownRecord, out: Protocol.Output): void => {
  const id = nonEmpty(call["id"])
  const custom = record(call["custom"])
  const fn = custom ?? record(call["function"])
  out.toolFragment({
    index: number(call["index"]),
    id,
    name: nonEmpty(fn?.["name"]),
    // Some servers send the arguments as the object that they mean.
    argumentsText: jsonText(custom === undefined ? fn?.["arguments"] : custom["input"]),
    isText: custom !== undefined
  })
  const extra = call["extra_content"]
  if (!OpenAi.isEmpty(extra)) out.metadata("signature", { id, extra_content: extra })
}

// -----------------------------------------------------------------------------
// provider
// -----------------------------------------------------------------------------

const provider = Provider.make(protocol, {
  baseUrl: "https://api.openai.com/v1",
  path: () => "/chat/completions",
  authorize: HttpClientRequest.bearerToken,
  body: (request, model) => ({
    model,
    messages: StreamModel.messages(request),
    stream: true,
    stream_options: { include_usage: true }
  })
})

/**
 * Decodes the bytes of a streamed chat completion.
 *
 * **Details**
 *
 * Answer, reasoning (`reasoning_content`, `reasoning`, Mistral's thinking parts) and refusal come as events of their own.
 * Tool calls come as `ToolCallDelta` while they stream and as one `ToolCall` each at the end, only when their arguments
 * are whole and valid; one that is not fails the stream with `ToolCallIncomplete`, behind all other events. Usage and
 * finish reason come in one Metadata event of the kind `finish` before `End`. An error in the stream becomes
 * `ProviderFailure`, comments become `Progress`.
 *
 * **Example** (Decoding a response)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { OpenAiChat, StreamHandler } from "effect-llm-streaming"
 *
 * const bytes = Stream.make(
 *   'data: {"choices":[{"delta":{"content":"Hel"}}]}\n\ndata: {"choices":[{"de',
 *   'lta":{"content":"lo"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
 * )
 * const result = Effect.runSync(bytes.pipe(OpenAiChat.decode(), StreamHandler.run()))
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
 * A `StreamModel` that asks an OpenAI-compatible server.
 *
 * **Details**
 *
 * The request asks for usage (`stream_options.include_usage`); fields of the request's `options` win over what is set
 * here. A body that cannot be encoded, and a connection that fails, become `SourceFailure`.
 *
 * **Example** (Asking a local server)
 *
 * ```ts no-run
 * import { Console, Effect, Layer, Stream } from "effect"
 * import { FetchHttpClient } from "effect/http"
 * import { OpenAiChat, StreamEvent, StreamModel } from "effect-llm-streaming"
 *
 * const Model = OpenAiChat.layer({ baseUrl: "http://localhost:11434/v1", model: "qwen3" }).pipe(
 *   Layer.provide(FetchHttpClient.layer)
 * )
 * const program = StreamModel.stream({ prompt: "Why is the sky blue?" }).pipe(
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
