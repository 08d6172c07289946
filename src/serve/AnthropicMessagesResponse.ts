/**
 * Anthropic's Messages, streamed: a backend that every Anthropic client can talk to.
 *
 * 1. Text, thinking and tool calls are content blocks, one behind the other. Only where text comes in the middle of a tool
 *    call are two of them open.
 * 2. One tool call streams at a time. Another one that begins before that is whole comes at once when it is whole itself.
 * 3. A failure is an `error` event, which the clients throw. Heartbeats are `ping` events.
 *
 * Other events show nothing.
 *
 * @since 0.1.0
 */
import { nonEmpty } from "../internal/untyped.ts"
import { UsageTotal } from "../internal/usageTotal.ts"
import type * as StreamEvent from "../StreamEvent.ts"
import type * as StreamResult from "../StreamResult.ts"
import * as Responder from "./Responder.ts"

/**
 * @category options
 * @since 0.1.0
 */
export interface Options extends Responder.Options {
  /** The model's name in the message: that of the response by default, where it says one. */
  readonly model?: string | undefined
}

/**
 * A response in the protocol of Anthropic's Messages.
 *
 * **Details**
 *
 * The status of a failure before the first event, its `retry-after` and `x-should-retry` are what Anthropic's clients go by.
 * Impossible options throw a `RangeError`.
 *
 * **Example** (What a client reads)
 *
 * ```ts
 * import { Stream } from "effect"
 * import { HttpEffect } from "effect/http"
 * import { AnthropicMessagesResponse, StreamEvent } from "effect-llm-streaming"
 *
 * const handler = HttpEffect.toWebHandler(Stream.make("Hi").pipe(StreamEvent.fromText, AnthropicMessagesResponse.make()))
 * const response = await handler(new Request("http://localhost/v1/messages"))
 * const events = (await response.text()).match(/(?<=event: ).+/g)
 * events?.slice(0, 4) // => ["ping", "message_start", "content_block_start", "content_block_delta"]
 * events?.slice(4) // => ["content_block_stop", "message_delta", "message_stop"]
 * ```
 *
 * @category responses
 * @since 0.1.0
 */
export const make = (options?: Options) => Responder.make(() => new Encoder(options?.model), options)

interface Block {
  readonly index: number
  readonly type: "text" | "thinking"
  readonly part: string | undefined
}

interface LiveCall {
  readonly index: number
  readonly id: string
}

class Encoder implements Responder.Encoding {
  readonly contentType = "text/event-stream"
  readonly heartbeat = frame({ type: "ping" })
  private text = ""
  private model: string | undefined
  private id: string | undefined
  private hasBegun = false
  private readonly usage = new UsageTotal()
  private count = 0
  private open: Block | undefined
  private live: LiveCall | undefined
  private hasCalls = false
  /** Calls that come when they are whole. */
  private readonly held = new Set<string>()

  constructor(model: string | undefined) {
    this.model = model
  }

  event(event: Exclude<StreamEvent.StreamEvent, StreamEvent.Error>): string {
    this.text = ""
    this.step(event)
    return this.text
  }

  failure(exposed: Responder.Exposed): string {
    return frame(this.body(exposed))
  }

  body({ isRetryable, message }: Responder.Exposed): { readonly type: "error"; readonly error: unknown } {
    return { type: "error", error: { type: isRetryable ? "api_error" : "invalid_request_error", message } }
  }

  private step(event: Exclude<StreamEvent.StreamEvent, StreamEvent.Error>): void {
    switch (event._tag) {
      case "Start":
        this.identify(event.id, event.model)
        return
      case "Delta":
      case "Refusal":
        if (event.delta !== "") this.write("text", { type: "text_delta", text: event.delta }, event.part)
        return
      case "Reasoning":
        if (event.delta !== "") this.write("thinking", { type: "thinking_delta", thinking: event.delta }, event.part)
        return
      case "ToolCallDelta":
        if (this.live === undefined && !this.held.has(event.id)) this.startCall(event)
        if (this.live?.id === event.id) this.argument(this.live.index, event.delta)
        else this.held.add(event.id)
        return
      case "ToolCall":
        if (this.live?.id === event.id) {
          this.stop(this.live.index)
          this.live = undefined
        } else {
          const { live } = this
          const { index } = this.startCall(event)
          this.live = live
          if (event.argumentsText !== "") this.argument(index, event.argumentsText)
          this.stop(index)
        }
        return
      case "Metadata":
        this.metadata(event)
        return
      case "Progress":
        return
      case "End":
        this.begin()
        this.close()
        if (this.live !== undefined) this.stop(this.live.index)
        this.send({
          type: "message_delta",
          delta: { stop_reason: this.stopReason(event.finishReason), stop_sequence: null },
          usage: encodeUsage(this.usage.total)
        })
        this.send({ type: "message_stop" })
    }
  }

  private metadata(event: StreamEvent.Metadata): void {
    const { kind, metadata } = event
    this.usage.take(event)
    if (kind === "response") this.identify(metadata["id"], metadata["model"])
    const signature = nonEmpty(metadata["signature"])
    if (kind === "signature" && signature !== undefined && this.open?.type === "thinking") {
      const delta = { type: "signature_delta", signature }
      this.send({ type: "content_block_delta", index: this.open.index, delta })
    }
  }

  /** The first id and the first model that are said count, up to the first block. */
  private identify(id: unknown, model: unknown): void {
    this.id ??= nonEmpty(id)
    this.model ??= nonEmpty(model)
  }

  private send(event: { readonly type: string; readonly [field: string]: unknown }): void {
    this.text += frame(event)
  }

  private begin(): void {
    if (this.hasBegun) return
    this.hasBegun = true
    this.send({
      type: "message_start",
      message: {
        id: this.id ?? `msg_${crypto.randomUUID()}`,
        type: "message",
        role: "assistant",
        model: this.model ?? "unknown",
        content: [],
        stop_reason: null,
        stop_sequence: null,
        usage: { ...encodeUsage(this.usage.total), output_tokens: 0 }
      }
    })
  }

  private start(block: unknown): number {
    this.begin()
    this.close()
    const index = this.count++
    this.send({ type: "content_block_start", index, content_block: block })
    return index
  }

  private stop(index: number): void {
    this.send({ type: "content_block_stop", index })
  }

  private close(): void {
    if (this.open !== undefined) this.stop(this.open.index)
    this.open = undefined
  }

  private write(type: Block["type"], delta: unknown, part: string | undefined): void {
    if (this.open?.type !== type || this.open.part !== part) {
      const index = this.start(type === "text" ? { type, text: "" } : { type, thinking: "", signature: "" })
      this.open = { index, type, part }
    }
    this.send({ type: "content_block_delta", index: this.open.index, delta })
  }

  private startCall({ id, name }: { readonly id: string; readonly name: string }): LiveCall {
    this.hasCalls = true
    const index = this.start({ type: "tool_use", id, name, input: {} })
    return (this.live = { index, id })
  }

  private argument(index: number, text: string): void {
    this.send({ type: "content_block_delta", index, delta: { type: "input_json_delta", partial_json: text } })
  }

  private stopReason(reason: StreamResult.FinishReason): string {
    switch (reason) {
      case "length":
        return "max_tokens"
      case "content-filter":
        return "refusal"
      case "tool-calls":
        return "tool_use"
      case "pause":
        return "pause_turn"
      case "unknown":
        return this.hasCalls ? "tool_use" : "end_turn"
      default:
        return "end_turn"
    }
  }
}

const frame = (event: { readonly type: string; readonly [field: string]: unknown }): string =>
  `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`

/** Its input tokens are those that no cache had to do with; what is not known is 0, since its clients add it up. */
const encodeUsage = (usage: StreamResult.Usage | undefined): Readonly<Record<string, number>> => {
  const { cacheRead = 0, cacheWrite = 0, total = 0, uncached } = usage?.inputTokens ?? {}
  return {
    input_tokens: uncached ?? Math.max(0, total - cacheRead - cacheWrite),
    cache_read_input_tokens: cacheRead,
    cache_creation_input_tokens: cacheWrite,
    output_tokens: usage?.outputTokens.total ?? 0
  }
}
