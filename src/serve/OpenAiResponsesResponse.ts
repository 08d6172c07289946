/**
 * OpenAI's Responses, streamed: a backend for the clients that speak OpenAI's newer protocol.
 *
 * 1. Reasoning (as its summary), message and tool calls are output items, begun in the order in which they first show. A message
 *    or a reasoning is done before the next item begins; tool calls may stream side by side.
 * 2. The last event has the whole response once more, as the protocol wants it, so the answer is held until then. What
 *    bounds it is the handler before it.
 * 3. A failure is an `error` event, which the clients throw.
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
  /** The model's name in the response: that of the provider's response by default, where it says one. */
  readonly model?: string | undefined
}

/**
 * A response in the protocol of OpenAI's Responses.
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
 * import { OpenAiResponsesResponse, StreamEvent } from "effect-llm-streaming"
 *
 * const handler = HttpEffect.toWebHandler(Stream.make("Hi").pipe(StreamEvent.fromText, OpenAiResponsesResponse.make()))
 * const response = await handler(new Request("http://localhost/v1/responses"))
 * const events = (await response.text()).match(/(?<=event: response\.).+/g)
 * events?.slice(0, 4) // => ["created", "output_item.added", "content_part.added", "output_text.delta"]
 * events?.slice(4) // => ["output_text.done", "content_part.done", "output_item.done", "completed"]
 * ```
 *
 * @category responses
 * @since 0.1.0
 */
export const make = (options?: Options) => Responder.make(() => new Encoder(options?.model), options)

type Fields = Readonly<Record<string, unknown>>

type Kind = "output_text" | "refusal" | "summary_text"

interface TextItem {
  readonly kind: Kind
  readonly part: string | undefined
  readonly index: number
  readonly id: string
  text: string
}

interface CallItem {
  readonly index: number
  readonly id: string
  readonly callId: string
  readonly name: string
  argumentsText: string
  isDone: boolean
}

class Encoder implements Responder.Encoding {
  readonly contentType = "text/event-stream"
  readonly heartbeat = ": keep-alive\n\n"
  private text = ""
  private sequence = 0
  private model: string | undefined
  private id: string | undefined
  private created = 0
  private hasBegun = false
  private readonly usage = new UsageTotal()
  private readonly output: Array<unknown> = []
  private open: TextItem | undefined
  private readonly calls = new Map<string, CallItem>()

  constructor(model: string | undefined) {
    this.model = model
  }

  event(event: Exclude<StreamEvent.StreamEvent, StreamEvent.Error>): string {
    this.text = ""
    this.step(event)
    return this.text
  }

  failure(exposed: Responder.Exposed): string {
    this.text = ""
    const { code, message } = exposed
    this.send("error", { code, message, param: null, ...this.body(exposed) })
    return this.text
  }

  body({ code, isRetryable, message }: Responder.Exposed): Fields {
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
        this.write("output_text", event)
        return
      case "Reasoning":
        this.write("summary_text", event)
        return
      case "Refusal":
        this.write("refusal", event)
        return
      case "ToolCallDelta":
        this.argument(this.callOf(event), event.delta)
        return
      case "ToolCall": {
        const call = this.callOf(event)
        if (call.argumentsText === "") this.argument(call, event.argumentsText)
        this.endCall(call, "completed")
        return
      }
      case "Metadata":
        if (event.kind === "response") this.identify(event.metadata["id"], event.metadata["model"])
        this.usage.take(event)
        return
      case "Progress":
        return
      case "End":
        this.finish(event.finishReason)
    }
  }

  /** The first id and the first model that are said count, up to the first item. */
  private identify(id: unknown, model: unknown): void {
    this.id ??= nonEmpty(id)
    this.model ??= nonEmpty(model)
  }

  private send(type: string, fields: Fields): void {
    this.text += `event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: this.sequence++, ...fields })}\n\n`
  }

  private response(status: string, fields?: Fields): Fields {
    return {
      id: (this.id ??= `resp_${crypto.randomUUID()}`),
      object: "response",
      created_at: this.created,
      status,
      error: null,
      incomplete_details: null,
      instructions: null,
      metadata: {},
      model: (this.model ??= "unknown"),
      output: this.output,
      parallel_tool_calls: true,
      temperature: null,
      tool_choice: "auto",
      tools: [],
      top_p: null,
      usage: this.usage.total === undefined ? null : encodeUsage(this.usage.total),
      ...fields
    }
  }

  private begin(): void {
    if (this.hasBegun) return
    this.hasBegun = true
    this.send("response.created", { response: this.response("in_progress") })
  }

  private add(item: (id: string) => Fields): { readonly index: number; readonly id: string } {
    this.begin()
    this.close()
    const index = this.output.length
    const id = `item_${index}`
    this.output.push(undefined)
    this.send("response.output_item.added", { output_index: index, item: item(id) })
    return { index, id }
  }

  private done(index: number, item: Fields): void {
    this.output[index] = item
    this.send("response.output_item.done", { output_index: index, item })
  }

  private write(kind: Kind, { delta, part }: StreamEvent.TextEvent): void {
    if (delta === "") return
    if (this.open?.kind !== kind || this.open.part !== part) {
      const item = this.add((id) => itemOf(kind, id, [], "in_progress"))
      this.open = { kind, part, ...item, text: "" }
      this.send(`response.${partName(kind)}.added`, { ...where(this.open), part: partOf(kind, "") })
    }
    this.open.text += delta
    this.send(`response.${textName(kind)}.delta`, { ...where(this.open), delta, ...logprobs(kind) })
  }

  private close(): void {
    const { open } = this
    if (open === undefined) return
    this.open = undefined
    const { id, index, kind, text } = open
    const part = partOf(kind, text)
    const whole = kind === "refusal" ? { refusal: text } : { text, ...logprobs(kind) }
    this.send(`response.${textName(kind)}.done`, { ...where(open), ...whole })
    this.send(`response.${partName(kind)}.done`, { ...where(open), part })
    this.done(index, itemOf(kind, id, [part], "completed"))
  }

  private callOf({ id: callId, name }: { readonly id: string; readonly name: string }): CallItem {
    let call = this.calls.get(callId)
    if (call === undefined) {
      const item = this.add((id) => callItem({ id, callId, name, argumentsText: "" }, "in_progress"))
      call = { ...item, callId, name, argumentsText: "", isDone: false }
      this.calls.set(callId, call)
    }
    return call
  }

  private argument(call: CallItem, delta: string): void {
    if (delta === "") return
    call.argumentsText += delta
    this.send("response.function_call_arguments.delta", { item_id: call.id, output_index: call.index, delta })
  }

  private endCall(call: CallItem, status: string): void {
    if (call.isDone) return
    call.isDone = true
    const { argumentsText, id, index, name } = call
    const fields = { item_id: id, output_index: index, name, arguments: argumentsText }
    this.send("response.function_call_arguments.done", fields)
    this.done(index, callItem(call, status))
  }

  private finish(reason: StreamResult.FinishReason): void {
    this.begin()
    this.close()
    for (const call of this.calls.values()) this.endCall(call, "incomplete")
    switch (reason) {
      case "length":
      case "content-filter": {
        const incomplete_details = { reason: reason === "length" ? "max_output_tokens" : "content_filter" }
        this.send("response.incomplete", { response: this.response("incomplete", { incomplete_details }) })
        return
      }
      case "error": {
        const error = { code: "server_error", message: "The model stopped with an error" }
        this.send("response.failed", { response: this.response("failed", { error }) })
        return
      }
      default:
        this.send("response.completed", { response: this.response("completed") })
    }
  }
}

const partName = (kind: Kind): string => (kind === "summary_text" ? "reasoning_summary_part" : "content_part")

const textName = (kind: Kind): string => (kind === "summary_text" ? "reasoning_summary_text" : kind)

const where = ({ id, index, kind }: TextItem): Fields => ({
  item_id: id,
  output_index: index,
  [kind === "summary_text" ? "summary_index" : "content_index"]: 0
})

const logprobs = (kind: Kind): Fields => (kind === "output_text" ? { logprobs: [] } : {})

const partOf = (kind: Kind, text: string): Fields => {
  switch (kind) {
    case "output_text":
      return { type: kind, text, annotations: [], logprobs: [] }
    case "refusal":
      return { type: kind, refusal: text }
    case "summary_text":
      return { type: kind, text }
  }
}

const itemOf = (kind: Kind, id: string, parts: ReadonlyArray<Fields>, status: string): Fields =>
  kind === "summary_text"
    ? { id, type: "reasoning", summary: parts }
    : { id, type: "message", status, role: "assistant", content: parts }

const callItem = (
  { argumentsText, callId, id, name }: Pick<CallItem, "id" | "callId" | "name" | "argumentsText">,
  status: string
): Fields => ({ id, type: "function_call", status, call_id: callId, name, arguments: argumentsText })

const encodeUsage = ({ inputTokens, outputTokens }: StreamResult.Usage): Fields => {
  const input = inputTokens.total
  const output = outputTokens.total
  return {
    input_tokens: input,
    input_tokens_details: { cached_tokens: inputTokens.cacheRead },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: outputTokens.reasoning },
    total_tokens: input !== undefined && output !== undefined ? input + output : undefined
  }
}
