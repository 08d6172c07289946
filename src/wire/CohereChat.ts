/**
 * Cohere's chat, version 2.
 *
 * The terminal event is `message-end`; what comes behind it, `[DONE]` for one, is not waited for. What a chunk is about
 * stands in its JSON: `event:` lines are not needed. Fields are also read by the names that Cohere's own client gives
 * them: `toolCalls` for `tool_calls`.
 *
 * What the model says about the calls that it is about to make, its tool plan, is neither answer nor thinking: its pieces
 * come as Metadata of the kind `tool-plan`, as they arrive.
 *
 * @since 0.1.0
 */
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import { describeError } from "../internal/providerError.ts"
import {
  array,
  difference,
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
  isEnded: boolean
  finishReason: string | undefined
  usage: UnknownRecord | undefined
  /** A call that ended without arguments, as a call may also end whose answer is cut there: what follows tells. */
  emptyCall: number | undefined
}

/** @internal */
export const protocol: Protocol.Protocol<State> = {
  provider: "cohere",
  framing: "sse",
  terminal: "message-end",
  recognizes: (chunk) =>
    /^(message|content|tool-call|tool-plan|citation)-(start|delta|end)$/.test(string(chunk["type"]) ?? ""),
  initial: () => ({ isEnded: false, finishReason: undefined, usage: undefined, emptyCall: undefined }),
  step(state, chunk, out) {
    switch (chunk["type"]) {
      case "message-start":
        out.metadata("response", { id: nonEmpty(chunk["id"]) })
        stepMessage(chunk, out)
        return undefined
      case "tool-call-start":
        if (state.emptyCall !== undefined) out.toolEnd(state.emptyCall)
        state.emptyCall = undefined
        stepMessage(chunk, out)
        return undefined
      case "content-start":
      case "content-delta":
      case "tool-plan-delta":
      case "tool-call-delta":
      case "citation-start":
        stepMessage(chunk, out)
        return undefined
      case "tool-call-end": {
        const index = number(chunk["index"]) ?? 0
        if (out.tools.argumentsAt(index) === "") state.emptyCall = index
        else out.toolEnd(index)
        return undefined
      }
      case "content-end":
      case "citation-end":
        return undefined
      case "message-end":
        return endMessage(state, record(chunk["delta"]) ?? {}, out)
      default:
        if (isError(chunk)) return out.failure(chunk)
        out.metadata("unknown", { chunk })
        return undefined
    }
  },
  onHalt: ({ finishReason, isEnded, usage }) => ({
    isComplete: isEnded,
    finishReason: finishReason === undefined ? "unknown" : finishReasonOf(finishReason),
    providerFinishReason: finishReason,
    usage: usage && toUsage(usage),
    metadata: usage && { usage }
  })
}

/** An error stands in place of a chunk, as it would be the body of a response. */
const isError = ({ error, message, type }: UnknownRecord): boolean =>
  type === "error" || (error ?? undefined) !== undefined || (type === undefined && nonEmpty(message) !== undefined)

/** All that a message, or a piece of one, may hold; where a piece has one of a kind, it is no array. */
const stepMessage = (chunk: UnknownRecord, out: Protocol.Output): void => {
  const message = record(record(chunk["delta"])?.["message"])
  if (message === undefined) {
    out.metadata("unknown", { chunk })
    return
  }
  for (const [position, item] of listOf(message["content"]).entries()) {
    stepContent(item, String(number(chunk["index"]) ?? position), out)
  }
  const plan = nonEmpty(message["tool_plan"] ?? message["toolPlan"])
  if (plan !== undefined) out.metadata("tool-plan", { delta: plan })
  for (const item of listOf(message["tool_calls"] ?? message["toolCalls"])) {
    const call = record(item)
    const fn = record(call?.["function"])
    out.toolFragment({
      index: number(chunk["index"]),
      id: nonEmpty(call?.["id"]),
      name: nonEmpty(fn?.["name"]),
      argumentsText: jsonText(fn?.["arguments"])
    })
  }
  for (const citation of listOf(message["citations"])) {
    const part = number(record(citation)?.["content_index"] ?? record(citation)?.["contentIndex"])
    out.metadata("citation", { part: part === undefined ? undefined : String(part), citation })
  }
  const { logprobs } = chunk
  if (logprobs !== undefined && logprobs !== null) out.metadata("logprobs", { logprobs })
}

const listOf = (u: unknown): ReadonlyArray<unknown> => array(u) ?? (u === undefined || u === null ? [] : [u])

const stepContent = (item: unknown, part: string, out: Protocol.Output): void => {
  const content = record(item)
  const text = string(content?.["text"] ?? item)
  const thinking = string(content?.["thinking"])
  if (text === undefined && thinking === undefined) out.metadata("unknown", { part, content: item })
  out.reasoning(thinking, part)
  out.delta(text, part)
}

const endMessage = (state: State, delta: UnknownRecord, out: Protocol.Output): Protocol.DecodeError | "done" => {
  const finishReason = nonEmpty(delta["finish_reason"] ?? delta["finishReason"])
  state.isEnded = true
  state.finishReason = finishReason
  state.usage = record(delta["usage"])
  // An internal error, or too much time: the answer is not what the model had to say.
  const isFailed = finishReason !== undefined && finishReasonOf(finishReason) === "error"
  const { code, isRetryable, message } = describeError(delta["error"])
  return isFailed || message !== undefined
    ? StreamError.make({
        _tag: "ProviderFailure",
        provider: out.provider,
        code,
        message: message ?? `finish reason ${finishReason}`,
        isRetryable: isFailed || isRetryable
      })
    : "done"
}

const finishReasonOf = (word: string): StreamResult.FinishReason => {
  switch (word) {
    case "COMPLETE":
    case "STOP_SEQUENCE":
      return "stop"
    case "MAX_TOKENS":
      return "length"
    case "TOOL_CALL":
      return "tool-calls"
    case "ERROR":
    case "TIMEOUT":
      return "error"
    default:
      return "other"
  }
}

/** Of all tokens, not of those that are billed: these leave out what Cohere itself puts into the prompt. */
const toUsage = (usage: UnknownRecord): StreamResult.Usage => {
  const tokens = record(usage["tokens"])
  const input = number(tokens?.["input_tokens"] ?? tokens?.["inputTokens"])
  const cacheRead = number(usage["cached_tokens"] ?? usage["cachedTokens"])
  return {
    inputTokens: { total: input, cacheRead, uncached: difference(input, cacheRead) },
    outputTokens: { total: number(tokens?.["output_tokens"] ?? tokens?.["outputTokens"]) }
  }
}

// -----------------------------------------------------------------------------
// provider
// -----------------------------------------------------------------------------

const provider = Provider.make(protocol, {
  baseUrl: "https://api.cohere.com/v2",
  path: () => "/chat",
  authorize: HttpClientRequest.bearerToken,
  body: (request, model) => ({ model, messages: StreamModel.messages(request), stream: true })
})

/**
 * Decodes the bytes of a streamed chat.
 *
 * **Details**
 *
 * Answer and thinking come as events of their own; tool plan and citations come as Metadata (see `Protocol`'s table of
 * kinds). A tool call comes once, as soon as the provider says that it is over; one that is not whole fails the stream
 * with `ToolCallIncomplete`, behind all other events. Usage and finish reason come in one Metadata event of the kind
 * `finish` before `End`. A message that ends in `ERROR` or `TIMEOUT`, or with the text of an error, becomes
 * `ProviderFailure`.
 *
 * **Gotchas**
 *
 * Tokens are those that the model saw and made. What is billed is in the provider's own usage, `billed_units`.
 *
 * **Example** (Decoding a response)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { CohereChat, StreamHandler } from "effect-llm-streaming"
 *
 * const bytes = Stream.make(
 *   'data: {"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"Hello"}}}}\n\n',
 *   'data: {"type":"message-end","delta":{"finish_reason":"COMPLETE"}}\n\n'
 * )
 * const result = Effect.runSync(bytes.pipe(CohereChat.decode(), StreamHandler.run()))
 * result.text // => "Hello"
 * result.providerFinishReason // => "COMPLETE"
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const decode = provider.decode

/**
 * Decodes chunks that the provider's own client has parsed already: what `CohereClientV2.chatStream` gives, for one.
 *
 * @category decoding
 * @since 0.1.0
 */
export const fromChunks = provider.fromChunks

/**
 * Decodes a response: `Start` when its headers are there, `ProviderFailure` for a status outside 2xx, with the provider's
 * message, `isRetryable` and `retryAfter`.
 *
 * @category HTTP
 * @since 0.1.0
 */
export const fromResponse = provider.fromResponse

/**
 * A `StreamModel` that asks Cohere.
 *
 * **Details**
 *
 * Fields of the request's `options` win over what is set here. A body that cannot be encoded, and a connection that
 * fails, become `SourceFailure`.
 *
 * **Example** (Asking Command)
 *
 * ```ts no-run
 * import { Config, Console, Effect, Layer, Stream } from "effect"
 * import { FetchHttpClient } from "effect/http"
 * import { CohereChat, StreamEvent, StreamModel } from "effect-llm-streaming"
 *
 * const Model = CohereChat.layerConfig({ apiKey: Config.Redacted("COHERE_API_KEY") }).pipe(
 *   Layer.provide(FetchHttpClient.layer)
 * )
 * const program = StreamModel.stream({ model: "command-a-03-2025", prompt: "Why is the sky blue?" }).pipe(
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
