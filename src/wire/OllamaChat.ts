/**
 * Ollama's chat, and the streams of its `/api/generate`: lines of JSON.
 *
 * 1. The terminal event is the line with `done: true`, which may hold text.
 * 2. A tool call comes whole. Its arguments are an object, and only newer servers give it an identifier.
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
  calls: number
  /** What the last line says of the end, once it is there. */
  end: UnknownRecord | undefined
}

/** @internal */
export const protocol: Protocol.Protocol<State> = {
  provider: "ollama",
  framing: "ndjson",
  terminal: "done: true",
  recognizes: (chunk) =>
    typeof chunk["done"] === "boolean" &&
    (record(chunk["message"]) !== undefined || string(chunk["response"]) !== undefined),
  initial: () => ({ isIdentified: false, calls: 0, end: undefined }),
  step(state, chunk, out) {
    const { created_at, done, error, image, logprobs, message, model, remote_host, remote_model, ...fields } = chunk
    const { response, thinking, tool_calls, ...others } = fields
    if (!state.isIdentified && nonEmpty(model) !== undefined) {
      state.isIdentified = true
      const remote = { remoteModel: nonEmpty(remote_model), remoteHost: nonEmpty(remote_host) }
      out.metadata("response", { model, createdAt: created_at, ...remote })
    }
    stepMessage(state, record(message) ?? { content: response, thinking, tool_calls }, out)
    if (logprobs !== undefined && logprobs !== null) out.metadata("logprobs", { logprobs })
    if (nonEmpty(image) !== undefined) out.metadata("file", { image })
    if (error !== undefined && error !== null) return out.failure(chunk)
    if (done === true) {
      state.end = others
      return "done"
    }
    if (isSaid(others)) out.metadata("unknown", { chunk: others })
    return undefined
  },
  onHalt({ calls, end }) {
    const { done_reason, ...others } = end ?? {}
    const reason = nonEmpty(done_reason)
    const isMetric = ([field]: readonly [string, unknown]): boolean => /_(count|duration)$/.test(field)
    const usage = Object.fromEntries(Object.entries(others).filter(isMetric))
    const metadata = Object.fromEntries(Object.entries(others).filter((entry) => !isMetric(entry)))
    const hasUsage = Object.keys(usage).length > 0
    return {
      isComplete: end !== undefined,
      finishReason: finishReasonOf(reason, calls > 0),
      providerFinishReason: reason,
      usage: hasUsage ? toUsage(usage) : undefined,
      metadata: hasUsage ? { ...metadata, usage } : metadata
    }
  }
}

// -----------------------------------------------------------------------------
// message
// -----------------------------------------------------------------------------

const stepMessage = (state: State, message: UnknownRecord, out: Protocol.Output): void => {
  const { content, images, role: _, thinking, tool_calls, ...others } = message
  out.reasoning(string(thinking))
  out.delta(string(content))
  for (const item of array(tool_calls) ?? []) {
    const call = record(item) ?? {}
    const fn = record(call["function"]) ?? {}
    // The index that newer servers give says nothing more: each call is whole.
    const index = state.calls++
    const argumentsText = jsonText(fn["arguments"])
    out.toolFragment({ index, id: nonEmpty(call["id"]), name: nonEmpty(fn["name"]), argumentsText })
    out.toolEnd(index)
  }
  for (const image of array(images) ?? []) out.metadata("file", { image })
  if (isSaid(others)) out.metadata("unknown", { chunk: { message: others } })
}

const isSaid = (fields: UnknownRecord): boolean =>
  Object.values(fields).some((value) => value !== undefined && value !== null)

// -----------------------------------------------------------------------------
// finish
// -----------------------------------------------------------------------------

/** It is `stop` behind calls, too. */
const finishReasonOf = (reason: string | undefined, hasCalls: boolean): StreamResult.FinishReason => {
  switch (reason) {
    case undefined:
    case "stop":
      return hasCalls ? "tool-calls" : (reason ?? "unknown")
    case "length":
      return "length"
    default:
      return "other"
  }
}

const toUsage = (usage: UnknownRecord): StreamResult.Usage => ({
  inputTokens: {
    total: number(usage["prompt_eval_count"]),
    cacheRead: undefined,
    uncached: undefined,
    cacheWrite: undefined
  },
  outputTokens: { total: number(usage["eval_count"]), reasoning: undefined, text: undefined }
})

// -----------------------------------------------------------------------------
// provider
// -----------------------------------------------------------------------------

const provider = Provider.make(protocol, {
  baseUrl: "http://localhost:11434",
  path: () => "/api/chat",
  authorize: HttpClientRequest.bearerToken,
  headers: { accept: "application/x-ndjson" },
  body: (request, model) => ({ model, messages: StreamModel.messages(request), stream: true })
})

/**
 * Decodes the bytes of a streamed chat, or of a stream of `/api/generate`.
 *
 * **Details**
 *
 * Thinking comes as `Reasoning`; a tool call, which comes whole, as one `ToolCallDelta` and its `ToolCall`. Usage and
 * finish reason come in one Metadata event of the kind `finish` before `End`, with the metrics and, of `/api/generate`,
 * the `context`. A line with an error becomes `ProviderFailure`.
 *
 * **Gotchas**
 *
 * Servers leave out counts, of a prompt that was cached for one: they are `undefined` then. The finish reason of an answer
 * with calls is `stop`, and `tool-calls` here.
 *
 * **Example** (Decoding a response)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { OllamaChat, StreamHandler } from "effect-llm-streaming"
 *
 * const bytes = Stream.make(
 *   '{"model":"qwen3","message":{"role":"assistant","content":"Hel"},"done":false}\n{"model":"qwen3","mess',
 *   'age":{"role":"assistant","content":"lo"},"done":true,"done_reason":"stop","eval_count":2}'
 * )
 * const result = Effect.runSync(bytes.pipe(OllamaChat.decode(), StreamHandler.run()))
 * result.text // => "Hello"
 * result.usage?.outputTokens.total // => 2
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
 * A `StreamModel` that asks an Ollama server.
 *
 * **Details**
 *
 * Fields of the request's `options` are fields of the body: `{ tools, think: true, options: { temperature: 0 } }`. A
 * server on this machine needs no key. A body that cannot be encoded, and a connection that fails, become
 * `SourceFailure`.
 *
 * **Example** (Asking a local server)
 *
 * ```ts no-run
 * import { Console, Effect, Layer, Stream } from "effect"
 * import { FetchHttpClient } from "effect/http"
 * import { OllamaChat, StreamEvent, StreamModel } from "effect-llm-streaming"
 *
 * const Model = OllamaChat.layer({ model: "qwen3" }).pipe(Layer.provide(FetchHttpClient.layer))
 * const program = StreamModel.stream({ prompt: "Why is the sky blue?", options: { think: true } }).pipe(
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
