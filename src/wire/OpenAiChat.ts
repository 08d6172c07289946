/**
 * OpenAI's Chat Completions, and the many servers that speak it: Azure, Groq, DeepSeek, Mistral, xAI, Alibaba, Moonshot,
 * Perplexity, Cerebras, OpenRouter, and whatever calls itself OpenAI-compatible.
 *
 * The terminal event is the chunk with a finish reason. `[DONE]` is neither one nor needed: a stream that stops without a
 * finish reason fails with `Truncated`.
 *
 * @since 0.1.0
 */
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import { array, jsonText, nonEmpty, number, record, string, type UnknownRecord } from "../internal/untyped.ts"
import * as StreamModel from "../StreamModel.ts"
import type * as StreamResult from "../StreamResult.ts"
import type * as Protocol from "./Protocol.ts"
import * as Provider from "./Provider.ts"

// -----------------------------------------------------------------------------
// protocol
// -----------------------------------------------------------------------------

interface State {
  isIdentified: boolean
  finishReason: string | undefined
  usage: UnknownRecord | undefined
}

/** @internal */
export const protocol: Protocol.Protocol<State> = {
  provider: "openai",
  framing: "sse",
  terminal: "a finish reason",
  recognizes: (chunk) => array(chunk["choices"]) !== undefined && chunk["object"] !== "text_completion",
  initial: () => ({ isIdentified: false, finishReason: undefined, usage: undefined }),
  step(state, chunk, out) {
    identify(state, chunk, out)
    let error = errorOf(chunk)
    for (const item of array(chunk["choices"]) ?? []) {
      const choice = record(item)
      if (choice === undefined) continue
      if ((number(choice["index"]) ?? 0) !== 0) {
        out.metadata("choice", choice)
        continue
      }
      stepChoice(state, choice, out)
      error ??= errorOf(choice)
    }
    state.usage = usageOf(chunk) ?? state.usage
    return error === undefined ? undefined : out.failure(error)
  },
  onHalt: ({ finishReason, usage }) => ({
    isComplete: finishReason !== undefined,
    finishReason: finishReason === undefined ? "unknown" : finishReasonOf(finishReason),
    providerFinishReason: finishReason,
    usage: usage && toUsage(usage),
    metadata: usage && { usage }
  })
}

/** An error beside the choices, inside of one (OpenRouter), or in place of the chunk (vLLM, Mistral). */
const errorOf = (body: UnknownRecord): unknown => body["error"] ?? (body["object"] === "error" ? body : undefined)

/** The response's id and model, once: some servers change the id between chunks. */
const identify = (state: State, chunk: UnknownRecord, out: Protocol.Output): void => {
  const id = nonEmpty(chunk["id"])
  if (state.isIdentified || id === undefined) return
  state.isIdentified = true
  const systemFingerprint = nonEmpty(chunk["system_fingerprint"])
  out.metadata("response", { id, model: nonEmpty(chunk["model"]), systemFingerprint })
}

const stepChoice = (state: State, choice: UnknownRecord, out: Protocol.Output): void => {
  const delta = record(choice["delta"]) ?? record(choice["message"]) ?? {}
  // Where both names come, they hold the same text.
  out.reasoning(nonEmpty(delta["reasoning_content"]) ?? nonEmpty(delta["reasoning"]))
  stepContent(delta["content"], out)
  out.refusal(nonEmpty(delta["refusal"]))
  for (const item of array(delta["tool_calls"]) ?? []) stepToolCall(record(item) ?? {}, out)
  for (const kind of ["logprobs", "annotations"]) {
    const value = choice[kind] ?? delta[kind]
    if (value !== undefined && value !== null) out.metadata(kind, { [kind]: value })
  }
  state.finishReason = nonEmpty(choice["finish_reason"]) ?? state.finishReason
  state.usage = usageOf(choice) ?? state.usage
}

/** A string, or Mistral's array of text and thinking parts. */
const stepContent = (content: unknown, out: Protocol.Output): void => {
  if (typeof content === "string") out.delta(content)
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

const stepToolCall = (call: UnknownRecord, out: Protocol.Output): void => {
  const fn = record(call["function"])
  out.toolFragment({
    index: number(call["index"]),
    id: nonEmpty(call["id"]),
    name: nonEmpty(fn?.["name"]),
    // Some servers send the arguments as the object that they mean.
    argumentsText: jsonText(fn?.["arguments"])
  })
}

const finishReasonOf = (word: string): StreamResult.FinishReason => {
  switch (word) {
    case "stop":
    case "end_turn":
      return "stop"
    case "length":
    case "max_tokens":
    case "model_length":
      return "length"
    case "content_filter":
      return "content-filter"
    case "tool_calls":
    case "function_call":
      return "tool-calls"
    case "error":
    case "insufficient_system_resource":
      return "error"
    default:
      return "other"
  }
}

/** Usage of a chunk or a choice, where the servers put it. */
const usageOf = (body: UnknownRecord): UnknownRecord | undefined =>
  record(body["usage"]) ?? record(record(body["x_groq"])?.["usage"])

const toUsage = (usage: UnknownRecord): StreamResult.Usage => {
  const input = number(usage["prompt_tokens"])
  const output = number(usage["completion_tokens"])
  const total = number(usage["total_tokens"])
  const inputDetails = record(usage["prompt_tokens_details"])
  const cacheRead =
    number(inputDetails?.["cached_tokens"]) ??
    number(usage["prompt_cache_hit_tokens"]) ??
    number(usage["cached_tokens"])
  const reasoning =
    number(record(usage["completion_tokens_details"])?.["reasoning_tokens"]) ?? number(usage["reasoning_tokens"])
  // xAI counts reasoning beside the completion and not in it; its total tells.
  const isBeside =
    input !== undefined && output !== undefined && reasoning !== undefined && reasoning > 0
      ? total === input + output + reasoning
      : false
  const outputTotal = isBeside ? output! + reasoning! : output
  return {
    inputTokens: {
      total: input,
      cacheRead,
      uncached: difference(input, cacheRead),
      cacheWrite: number(inputDetails?.["cache_write_tokens"])
    },
    outputTokens: {
      total: outputTotal,
      reasoning,
      text: difference(outputTotal, reasoning)
    }
  }
}

/** `undefined` also where the part is larger than the whole: then the provider counts in some other way. */
const difference = (whole: number | undefined, part: number | undefined): number | undefined =>
  whole !== undefined && part !== undefined && part <= whole ? whole - part : undefined

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
