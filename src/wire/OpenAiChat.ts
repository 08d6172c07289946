/**
 * OpenAI's Chat Completions, and the many servers that speak it: Azure, Groq, DeepSeek, Mistral, xAI, Alibaba, Moonshot,
 * Perplexity, Cerebras, OpenRouter, and whatever calls itself OpenAI-compatible.
 *
 * The terminal event is the chunk with a finish reason. `[DONE]` is neither one nor needed: a stream that stops without a
 * finish reason fails with `Truncated`.
 *
 * @since 0.1.0
 */
import type * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import type * as Stream from "effect/Stream"
import { ToolCallAssembler } from "../internal/toolCallAssembler.ts"
import { array, nonEmpty, number, record, string, type UnknownRecord } from "../internal/untyped.ts"
import * as StreamError from "../StreamError.ts"
import * as StreamEvent from "../StreamEvent.ts"
import * as StreamModel from "../StreamModel.ts"
import type * as StreamResult from "../StreamResult.ts"
import * as Protocol from "./Protocol.ts"

// -----------------------------------------------------------------------------
// protocol
// -----------------------------------------------------------------------------

interface State {
  readonly tools: ToolCallAssembler
  readonly maxBufferSize: number
  identified: boolean
  finishReason: string | undefined
  usage: UnknownRecord | undefined
}

const protocol = (provider: string): Protocol.Protocol<State> => ({
  name: provider,
  terminal: "a finish reason",
  initial: ({ maxBufferSize }) => ({
    tools: new ToolCallAssembler(),
    maxBufferSize,
    identified: false,
    finishReason: undefined,
    usage: undefined
  }),
  step(state, chunk, out) {
    const body = record(chunk)
    if (body === undefined) return undefined
    identify(state, body, out)
    let error = errorOf(body)
    const choices = array(body["choices"]) ?? []
    for (const item of choices) {
      const choice = record(item)
      if (choice === undefined) continue
      if ((number(choice["index"]) ?? 0) !== 0) {
        out.events.push(StreamEvent.metadata(out.timestamp, "choice", { metadata: choice }))
        continue
      }
      const overflow = stepChoice(state, choice, out)
      if (overflow !== undefined) return overflow
      error ??= errorOf(choice)
    }
    state.usage = usageOf(body) ?? state.usage
    return error === undefined ? undefined : Protocol.inBandFailure(provider, error)
  },
  isComplete: (state) => state.finishReason !== undefined,
  onHalt(state, out, isAccepted) {
    const finishReason = state.finishReason === undefined ? "unknown" : finishReasonOf(state.finishReason)
    let error: Protocol.DecodeError | undefined
    if (state.finishReason !== undefined || isAccepted) {
      const { incomplete, whole } = state.tools.finish({ isCut: isCut(finishReason) })
      for (const call of whole) out.events.push(StreamEvent.toolCall(out.timestamp, call))
      const [first] = incomplete
      if (first !== undefined) {
        error = StreamError.make({ _tag: "ToolCallIncomplete", id: first.id, name: first.name })
      }
    }
    if (state.finishReason !== undefined || state.usage !== undefined) {
      out.events.push(
        StreamEvent.metadata(out.timestamp, state.finishReason === undefined ? "usage" : "finish", {
          usage: state.usage && toUsage(state.usage),
          finishReason: state.finishReason === undefined ? undefined : finishReason,
          providerFinishReason: state.finishReason,
          metadata: state.usage === undefined ? {} : { usage: state.usage }
        })
      )
    }
    return { finishReason, error }
  }
})

/** An error beside the choices, inside of one (OpenRouter), or in place of the chunk (vLLM, Mistral). */
const errorOf = (body: UnknownRecord): unknown => body["error"] ?? (body["object"] === "error" ? body : undefined)

/** The response's id and model, once: some servers change the id between chunks. */
const identify = (state: State, body: UnknownRecord, out: Protocol.Output): void => {
  const id = nonEmpty(body["id"])
  if (state.identified || id === undefined) return
  state.identified = true
  const metadata = { id, model: nonEmpty(body["model"]), systemFingerprint: nonEmpty(body["system_fingerprint"]) }
  out.events.push(StreamEvent.metadata(out.timestamp, "response", { metadata }))
}

const stepChoice = (state: State, choice: UnknownRecord, out: Protocol.Output): Protocol.DecodeError | undefined => {
  const delta = record(choice["delta"]) ?? record(choice["message"]) ?? {}
  // Where both names come, they hold the same text.
  const reasoning = nonEmpty(delta["reasoning_content"]) ?? nonEmpty(delta["reasoning"])
  if (reasoning !== undefined) out.events.push(StreamEvent.reasoning(out.timestamp, reasoning))
  stepContent(delta["content"], out)
  const refusal = nonEmpty(delta["refusal"])
  if (refusal !== undefined) out.events.push(StreamEvent.refusal(out.timestamp, refusal))
  for (const item of array(delta["tool_calls"]) ?? []) {
    const overflow = stepToolCall(state, item, out)
    if (overflow !== undefined) return overflow
  }
  for (const kind of ["logprobs", "annotations"]) {
    const value = choice[kind] ?? delta[kind]
    if (value !== undefined && value !== null) {
      out.events.push(StreamEvent.metadata(out.timestamp, kind, { metadata: { [kind]: value } }))
    }
  }
  state.finishReason = nonEmpty(choice["finish_reason"]) ?? state.finishReason
  state.usage = usageOf(choice) ?? state.usage
  return undefined
}

/** A string, or Mistral's array of text and thinking parts. */
const stepContent = (content: unknown, out: Protocol.Output): void => {
  if (typeof content === "string") {
    if (content !== "") out.events.push(StreamEvent.delta(out.timestamp, content))
    return
  }
  for (const item of array(content) ?? []) {
    const part = record(item)
    const text = nonEmpty(part?.["text"])
    if (part?.["type"] === "thinking") {
      const thinking = array(part["thinking"])
        ?.map((inner) => string(record(inner)?.["text"]) ?? "")
        .join("")
      const reasoning = nonEmpty(thinking ?? part["thinking"])
      if (reasoning !== undefined) out.events.push(StreamEvent.reasoning(out.timestamp, reasoning))
    } else if (text !== undefined) {
      out.events.push(StreamEvent.delta(out.timestamp, text))
    } else if (part !== undefined) {
      out.events.push(StreamEvent.metadata(out.timestamp, "content", { metadata: part }))
    }
  }
}

const stepToolCall = (state: State, item: unknown, out: Protocol.Output): Protocol.DecodeError | undefined => {
  const call = record(item)
  if (call === undefined) return undefined
  const fn = record(call["function"])
  const given = fn?.["arguments"]
  const shown = state.tools.add({
    index: number(call["index"]),
    id: nonEmpty(call["id"]),
    name: nonEmpty(fn?.["name"]),
    // Some servers send the arguments as the object that they mean.
    argumentsText:
      given === undefined || given === null || typeof given === "string" ? (given ?? undefined) : JSON.stringify(given)
  })
  if (shown !== undefined) {
    out.events.push(StreamEvent.toolCallDelta(out.timestamp, shown.call.id, shown.call.name, shown.delta))
  }
  return state.tools.size > state.maxBufferSize
    ? StreamError.make({ _tag: "BufferOverflow", limit: state.maxBufferSize, size: state.tools.size })
    : undefined
}

/** Whether the answer may have been cut in the middle of a tool call. */
const isCut = (finishReason: StreamResult.FinishReason): boolean =>
  finishReason !== "stop" && finishReason !== "tool-calls" && finishReason !== "other"

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
// decoding
// -----------------------------------------------------------------------------

const defaultProvider = "openai"

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
export const decode = (options?: Protocol.Options) =>
  Protocol.decodeSse(protocol(options?.provider ?? defaultProvider), options)

/**
 * Decodes chunks that the provider's own client has parsed already, from its async iterable for example.
 *
 * @category decoding
 * @since 0.1.0
 */
export const fromChunks = (options?: Protocol.Options) =>
  Protocol.decodeChunks(protocol(options?.provider ?? defaultProvider), options)

/**
 * Decodes a response: `Start` when its headers are there, `ProviderFailure` for a status outside 2xx, with the provider's
 * code and message, `isRetryable` and `retryAfter`.
 *
 * @category HTTP
 * @since 0.1.0
 */
export const fromResponse = (
  response: HttpClientResponse.HttpClientResponse,
  options?: Protocol.Options
): Stream.Stream<StreamEvent.StreamEvent, Protocol.ResponseError> =>
  Protocol.decodeResponse(response, options?.provider ?? defaultProvider, decode(options))

// -----------------------------------------------------------------------------
// layers
// -----------------------------------------------------------------------------

/**
 * @category options
 * @since 0.1.0
 */
export interface LayerOptions extends Protocol.Options {
  /** Without the `/chat/completions`. OpenAI's own by default. */
  readonly baseUrl?: string | undefined
  readonly apiKey?: Redacted.Redacted<string> | undefined
  /** The model, where a request names none. */
  readonly model?: string | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
}

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
export const layer = (options: LayerOptions): Layer.Layer<StreamModel.StreamModel, never, HttpClient.HttpClient> => {
  const provider = options.provider ?? defaultProvider
  const decodeBytes = decode(options)
  return Layer.effect(
    StreamModel.StreamModel,
    Effect.map(HttpClient.HttpClient, (client) => ({
      stream: (request) =>
        Protocol.execute(client, toHttpRequest(request, options), {
          provider,
          model: request.model ?? options.model,
          decode: (response) => Protocol.decodeResponse(response, provider, decodeBytes)
        })
    }))
  )
}

const toHttpRequest = (request: StreamModel.StreamRequest, options: LayerOptions) => {
  const body = {
    model: request.model ?? options.model,
    messages: StreamModel.messages(request),
    stream: true,
    stream_options: { include_usage: true },
    ...request.options
  }
  const base = (options.baseUrl ?? "https://api.openai.com/v1").replace(/\/+$/, "")
  const post = HttpClientRequest.post(`${base}/chat/completions`, {
    headers: { accept: "text/event-stream", ...options.headers }
  })
  const authorized = options.apiKey === undefined ? post : HttpClientRequest.bearerToken(post, options.apiKey)
  return HttpClientRequest.bodyJson(authorized, body)
}

/**
 * {@link layer} from configuration.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (
  options: Protocol.Options & {
    readonly baseUrl?: Config.Config<string> | undefined
    readonly apiKey?: Config.Config<Redacted.Redacted<string>> | undefined
    readonly model?: Config.Config<string> | undefined
    readonly headers?: Readonly<Record<string, string>> | undefined
  }
): Layer.Layer<StreamModel.StreamModel, Config.ConfigError, HttpClient.HttpClient> =>
  Layer.unwrap(
    Effect.gen(function* () {
      const { apiKey, baseUrl, model, ...others } = options
      return layer({
        ...others,
        baseUrl: baseUrl && (yield* baseUrl),
        apiKey: apiKey && (yield* apiKey),
        model: model && (yield* model)
      })
    })
  )
