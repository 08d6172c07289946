/**
 * OpenAI's Chat Completions, streamed: a backend that every OpenAI client can talk to.
 *
 * Answer, reasoning (`reasoning_content`, as DeepSeek and many others have it), refusal and tool calls come as they stream,
 * usage where it is asked for, then `[DONE]`. A failure is a chunk with an `error`, which the clients throw, and no `[DONE]`.
 * Other events show nothing. `OpenAiChat.decode` reads it all back.
 *
 * @since 0.1.0
 */
import { UsageTotal } from "../internal/usageTotal.ts"
import type * as StreamEvent from "../StreamEvent.ts"
import type * as StreamResult from "../StreamResult.ts"
import * as Responder from "./Responder.ts"

/**
 * @category options
 * @since 0.1.0
 */
export interface Options extends Responder.Options {
  /** The model's name in every chunk: that of the response by default, where it says one. */
  readonly model?: string | undefined
  /** Whether usage is sent, as a request asks with `stream_options.include_usage`. `false` by default. */
  readonly includeUsage?: boolean | undefined
}

/**
 * A response in the protocol of OpenAI's Chat Completions.
 *
 * **Details**
 *
 * The status of a failure before the first event, its `retry-after` and `x-should-retry` are what OpenAI's clients go by.
 * Impossible options throw a `RangeError`.
 *
 * **Example** (What a client reads)
 *
 * ```ts
 * import { Stream } from "effect"
 * import { HttpEffect } from "effect/http"
 * import { OpenAiChatResponse, StreamEvent } from "effect-llm-streaming"
 *
 * const handler = HttpEffect.toWebHandler(Stream.make("Hel", "lo").pipe(StreamEvent.fromText, OpenAiChatResponse.make()))
 * const response = await handler(new Request("http://localhost/v1/chat/completions"))
 * const deltas = (await response.text()).match(/(?<="delta":){.*?}|\[DONE\]/g)
 * deltas?.slice(1) // => ['{"content":"Hel"}', '{"content":"lo"}', "{}", "[DONE]"]
 * ```
 *
 * @category responses
 * @since 0.1.0
 */
export const make = (options?: Options) => Responder.make(() => new Encoder(options), options)

interface Call {
  readonly index: number
  /** Whether arguments of it have been sent. */
  hasArguments: boolean
}

class Encoder implements Responder.Encoding {
  readonly contentType = "text/event-stream"
  readonly heartbeat = ": keep-alive\n\n"
  private readonly includeUsage: boolean
  private text = ""
  private model: string | undefined
  private id: string | undefined
  private created = 0
  private hasBegun = false
  private readonly usage = new UsageTotal()
  private readonly calls = new Map<string, Call>()

  constructor(options: Options | undefined) {
    this.includeUsage = options?.includeUsage ?? false
    this.model = options?.model
  }

  event(event: Exclude<StreamEvent.StreamEvent, StreamEvent.Error>): string {
    this.text = ""
    this.step(event)
    return this.text
  }

  failure(exposed: Responder.Exposed): string {
    return frame(this.body(exposed))
  }

  body({ code, isRetryable, message }: Responder.Exposed): unknown {
    const type = isRetryable ? "server_error" : "invalid_request_error"
    return { error: { message, type, param: null, code } }
  }

  private step(event: Exclude<StreamEvent.StreamEvent, StreamEvent.Error>): void {
    switch (event._tag) {
      case "Start":
        this.created = Math.floor(event.timestamp / 1000)
        this.identify(event.id, event.model)
        return
      case "Delta":
        if (event.delta !== "") this.delta({ content: event.delta })
        return
      case "Reasoning":
        if (event.delta !== "") this.delta({ reasoning_content: event.delta })
        return
      case "Refusal":
        if (event.delta !== "") this.delta({ refusal: event.delta })
        return
      case "ToolCallDelta":
        this.fragment(event, event.delta)
        return
      case "ToolCall":
        if (this.calls.get(event.id)?.hasArguments !== true) this.fragment(event, event.argumentsText)
        return
      case "Metadata": {
        const { id, model } = event.metadata
        if (event.kind === "response") this.identify(id, model)
        this.usage.take(event)
        return
      }
      case "End":
        this.choice({}, this.finishReason(event.finishReason))
        if (this.includeUsage && this.usage.total !== undefined) this.chunk([], encodeUsage(this.usage.total))
        this.text += "data: [DONE]\n\n"
    }
  }

  /** The first id and the first model that are said count, up to the first chunk. */
  private identify(id: unknown, model: unknown): void {
    if (typeof id === "string") this.id ??= id
    if (typeof model === "string") this.model ??= model
  }

  private chunk(choices: ReadonlyArray<unknown>, usage: unknown): void {
    this.id ??= `chatcmpl-${crypto.randomUUID()}`
    this.model ??= "unknown"
    const { created, id, model } = this
    this.text += frame({ id, object: "chat.completion.chunk", created, model, choices, usage })
  }

  private choice(delta: unknown, finishReason: string | null): void {
    if (!this.hasBegun) {
      this.hasBegun = true
      this.choice({ role: "assistant", content: "" }, null)
    }
    const choice = { index: 0, delta, logprobs: null, finish_reason: finishReason }
    this.chunk([choice], this.includeUsage ? null : undefined)
  }

  private delta(delta: unknown): void {
    this.choice(delta, null)
  }

  private fragment({ id, name }: { readonly id: string; readonly name: string }, text: string): void {
    let call = this.calls.get(id)
    if (call === undefined) {
      call = { index: this.calls.size, hasArguments: false }
      this.calls.set(id, call)
      const { index } = call
      this.delta({ tool_calls: [{ index, id, type: "function", function: { name, arguments: "" } }] })
    }
    if (text === "") return
    call.hasArguments = true
    this.delta({ tool_calls: [{ index: call.index, function: { arguments: text } }] })
  }

  private finishReason(reason: StreamResult.FinishReason): string {
    switch (reason) {
      case "length":
        return "length"
      case "content-filter":
        return "content_filter"
      case "tool-calls":
        return "tool_calls"
      case "error":
        return "error"
      case "unknown":
        return this.calls.size > 0 ? "tool_calls" : "stop"
      default:
        return "stop"
    }
  }
}

const frame = (chunk: unknown): string => `data: ${JSON.stringify(chunk)}\n\n`

const encodeUsage = ({ inputTokens, outputTokens }: StreamResult.Usage): unknown => {
  const input = inputTokens.total
  const output = outputTokens.total
  return {
    prompt_tokens: input,
    completion_tokens: output,
    total_tokens: input !== undefined && output !== undefined ? input + output : undefined,
    prompt_tokens_details: { cached_tokens: inputTokens.cacheRead, cache_write_tokens: inputTokens.cacheWrite },
    completion_tokens_details: { reasoning_tokens: outputTokens.reasoning }
  }
}
