/**
 * The AI SDK's UI message stream, version 1: what `useChat`, `DefaultChatTransport` and `readUIMessageStream` read.
 *
 * | event                                        | part                                                                   |
 * | -------------------------------------------- | ---------------------------------------------------------------------- |
 * | `Start`                                      | `start`, `start-step`                                                  |
 * | `Delta`, `Refusal`                           | `text-start`, `text-delta`, `text-end`                                 |
 * | `Reasoning`                                  | `reasoning-start`, `reasoning-delta`, `reasoning-end`                  |
 * | `ToolCallDelta`                              | `tool-input-start`, `tool-input-delta`                                 |
 * | `ToolCall`                                   | `tool-input-available`                                                 |
 * | `ToolResult`                                 | `tool-output-available`, `tool-output-error`                           |
 * | `Metadata` of `hosted-tool-call`             | `tool-input-available`, executed by the provider                       |
 * | `Metadata` of `incomplete-tool-call`         | `tool-input-error`                                                     |
 * | `Metadata` of `citation`, `source`           | `source-url`, or `source-document` for one that has no URL             |
 * | `Metadata` of `file`                         | `file`, or `reasoning-file` where it is a `thought`                    |
 * | `Metadata` of `signature`                    | `providerMetadata` of the text or the reasoning, or of a call to come   |
 * | `Metadata` of `tool`                         | `title`, `dynamic` and `toolMetadata` of a call to come                |
 * | `Metadata` of `tool-result`                  | `tool-output-available`, preliminary                                   |
 * | `Metadata` of `data`                         | `data-*`, by its `name`: with `id`, `data` and `transient`             |
 * | `Metadata` of `retract`                      | `data-retract`, transient                                              |
 * | `Metadata` of `message-metadata`             | `message-metadata`                                                     |
 * | `Metadata` of `step`                         | `finish-step`, `start-step`                                            |
 * | `End`                                        | `finish-step`, `finish`, with the usage as `messageMetadata.usage`     |
 * | a failure                                    | `error`                                                                |
 *
 * 1. A text or reasoning part is open while its events follow each other, and closed before anything else is shown.
 * 2. What the model says behind the result of a tool that it did not run itself is a step of its own.
 * 3. Other metadata stays on the server, but for the parts that only this protocol has and that its decoder gives as they
 *    are: `tool-approval-request`, `tool-approval-response`, `tool-output-denied`, `reset-step`, `custom` and
 *    `steering-message`. Of a signature the client sees the signature, and nothing of the text that it signs.
 *
 * The decoder of the protocol is here, too: `decode` of what `make` wrote gives the events again, as far as the protocol
 * can carry them.
 *
 * @since 0.1.0
 */
import { array, jsonText, nonEmpty, record, type UnknownRecord } from "../internal/untyped.ts"
import { UsageTotal } from "../internal/usageTotal.ts"
import type * as StreamEvent from "../StreamEvent.ts"
import type * as StreamResult from "../StreamResult.ts"
import * as UiMessageParts from "../wire/UiMessageStream.ts"
import * as Responder from "./Responder.ts"

export { decode, fromChunks, fromResponse, layer, layerConfig } from "../wire/UiMessageStream.ts"

/**
 * @category options
 * @since 0.1.0
 */
export interface Options extends Responder.Options {
  /** The message's id: that of the response by default, where its `Start` has one, else the client makes one up. */
  readonly messageId?: string | undefined
  /**
   * Whose signatures are in `providerMetadata`, which the client sends back with its messages: `"anthropic"` for one.
   * `"provider"` by default.
   */
  readonly provider?: string | undefined
}

/**
 * A response in the AI SDK's protocol.
 *
 * **Details**
 *
 * Heartbeats are comments, which its clients read over. Impossible options throw a `RangeError`.
 *
 * **Example** (What `useChat` reads)
 *
 * ```ts
 * import { Stream } from "effect"
 * import { HttpEffect } from "effect/http"
 * import { StreamEvent, UiMessageStream } from "effect-llm-streaming"
 *
 * const handler = HttpEffect.toWebHandler(Stream.make("Hi").pipe(StreamEvent.fromText, UiMessageStream.make()))
 * const response = await handler(new Request("http://localhost/"))
 * const frames = (await response.text()).match(/(?<="type":")[^"]+|\[DONE\]/g)
 * frames?.join(" ") // => "start start-step text-start text-delta text-end finish-step finish [DONE]"
 * ```
 *
 * @category responses
 * @since 0.1.0
 */
export const make = (options?: Options) => Responder.make(() => new Encoder(options), options)

const done = "data: [DONE]\n\n"

type Block = "text" | "reasoning"

interface Part {
  readonly type: string
  readonly [field: string]: unknown
}

class Encoder implements Responder.Encoding {
  readonly contentType = "text/event-stream"
  readonly headers = { "x-vercel-ai-ui-message-stream": "v1" }
  readonly heartbeat = ": keep-alive\n\n"
  private readonly messageId: string | undefined
  private readonly provider: string
  private text = ""
  private open: { readonly block: Block; readonly id: string } | undefined
  private isStepOver = false
  private readonly usage = new UsageTotal()
  /** Tools that have been shown, and whether the provider runs them, once their call is whole. */
  private readonly tools = new Map<string, boolean | undefined>()
  /** What else is said of a call, where it came before the call. */
  private readonly callFields = new Map<string, UnknownRecord>()

  constructor(options: Options | undefined) {
    this.messageId = options?.messageId
    this.provider = options?.provider ?? "provider"
  }

  event(event: Exclude<StreamEvent.StreamEvent, StreamEvent.Error>): string {
    this.text = ""
    this.step(event)
    return this.text
  }

  failure(exposed: Responder.Exposed): string {
    this.text = ""
    this.close()
    this.write({ type: "error", errorText: exposed.message })
    return this.text + done
  }

  private step(event: Exclude<StreamEvent.StreamEvent, StreamEvent.Error>): void {
    switch (event._tag) {
      case "Start":
        this.write({ type: "start", messageId: this.messageId ?? event.id })
        this.write({ type: "start-step" })
        return
      case "Delta":
      case "Refusal":
        this.delta("text", event)
        return
      case "Reasoning":
        this.delta("reasoning", event)
        return
      case "ToolCallDelta":
        if (!this.tools.has(event.id)) {
          this.begin()
          this.tools.set(event.id, undefined)
          const fields = this.callFields.get(event.id)
          this.write({ type: "tool-input-start", toolCallId: event.id, toolName: event.name, ...fields })
        }
        this.write({ type: "tool-input-delta", toolCallId: event.id, inputTextDelta: event.delta })
        return
      case "ToolCall":
        this.input(event)
        this.call(event, event.input, false)
        return
      case "ToolResult":
        this.result(event)
        return
      case "Metadata":
        this.metadata(event)
        return
      case "Progress":
        return
      case "End":
        this.close()
        this.write({ type: "finish-step" })
        this.write({
          type: "finish",
          finishReason: finishReasonOf(event.finishReason),
          messageMetadata: this.usage.total && { usage: this.usage.total }
        })
        this.text += done
    }
  }

  private write(part: Part): void {
    this.text += `data: ${JSON.stringify(part)}\n\n`
  }

  private close(): void {
    if (this.open !== undefined) this.write({ type: `${this.open.block}-end`, id: this.open.id })
    this.open = undefined
  }

  /** Something is shown that is no text of the open part. */
  private begin(): void {
    this.close()
    if (!this.isStepOver) return
    this.isStepOver = false
    this.write({ type: "finish-step" })
    this.write({ type: "start-step" })
  }

  private delta(block: Block, { delta, part }: StreamEvent.TextEvent): void {
    if (delta === "") return
    const id = part ?? block
    if (this.open?.block !== block || this.open.id !== id || this.isStepOver) {
      this.begin()
      this.open = { block, id }
      this.write({ type: `${block}-start`, id })
    }
    this.write({ type: `${block}-delta`, id, delta })
  }

  /** The arguments as text, where the input does not tell how they were written and no delta did. */
  private input({ argumentsText, id, input, name }: StreamEvent.ToolCall): void {
    if (this.tools.has(id) || argumentsText === "" || argumentsText === JSON.stringify(input)) return
    this.begin()
    this.tools.set(id, undefined)
    const inputEncoding = input === argumentsText ? "text" : undefined
    const fields = this.callFields.get(id)
    this.write({ type: "tool-input-start", toolCallId: id, toolName: name, inputEncoding, ...fields })
    this.write({ type: "tool-input-delta", toolCallId: id, inputTextDelta: argumentsText })
  }

  private call(call: { readonly id: string; readonly name: string }, input: unknown, isHosted: boolean): void {
    if (this.tools.has(call.id)) this.close()
    else this.begin()
    this.tools.set(call.id, isHosted)
    this.write({
      type: "tool-input-available",
      toolCallId: call.id,
      toolName: call.name,
      input,
      providerExecuted: isHosted ? true : undefined,
      ...this.callFields.get(call.id)
    })
    this.callFields.delete(call.id)
  }

  private result(event: StreamEvent.ToolResult): void {
    this.close()
    // Its clients take no result of a call that they do not know.
    if (!this.tools.has(event.id)) this.call(event, {}, true)
    const isHosted = this.tools.get(event.id) === true
    if (!isHosted) this.isStepOver = true
    const shown = { toolCallId: event.id, providerExecuted: isHosted ? true : undefined }
    if (event.isError) {
      this.write({ type: "tool-output-error", ...shown, errorText: jsonText(event.output) ?? "" })
    } else {
      this.write({ type: "tool-output-available", ...shown, output: event.output ?? null })
    }
  }

  private metadata(event: StreamEvent.Metadata): void {
    const { kind, metadata } = event
    this.usage.take(event)
    const id = nonEmpty(metadata["id"])
    switch (kind) {
      case "hosted-tool-call":
        if (id !== undefined)
          this.call({ id, name: nonEmpty(metadata["name"]) ?? "tool" }, metadata["input"] ?? {}, true)
        return
      case "incomplete-tool-call": {
        if (id === undefined) return
        this.begin()
        const errorText = nonEmpty(metadata["errorText"]) ?? "The call broke off"
        const input = metadata["input"] ?? metadata["argumentsText"] ?? ""
        this.write({ type: "tool-input-error", toolCallId: id, toolName: metadata["name"] ?? "tool", input, errorText })
        return
      }
      case "tool-result":
        // Its clients take no result of a call that they do not know.
        if (id === undefined || !this.tools.has(id)) return
        this.close()
        this.write({
          type: "tool-output-available",
          toolCallId: id,
          output: metadata["output"] ?? null,
          preliminary: true
        })
        return
      case "signature":
        this.signature(id, metadata)
        return
      case "tool":
        if (id !== undefined) this.sayOfCall(id, toolFields(metadata))
        return
      case "step":
        this.isStepOver = true
        return
      case "message-metadata":
        this.write({ type: kind, messageMetadata: metadata["messageMetadata"] })
        return
      case "retract":
        this.write({ type: "data-retract", data: metadata, transient: true })
        return
      case "data": {
        const { data = null, name, transient } = metadata
        if (nonEmpty(name) === undefined) return
        this.begin()
        this.write({ type: `data-${name}`, id, data, transient: transient === true ? true : undefined })
        return
      }
      case "citation":
      case "source":
      case "file": {
        const part = kind === "file" ? file(metadata) : source(metadata)
        if (part === undefined) return
        this.begin()
        this.write(part)
        return
      }
      default:
        this.other({ ...metadata, type: kind })
    }
  }

  /** A part that only this protocol has, as its decoder gives it. */
  private other(part: Part): void {
    if (!ownKinds.has(part.type) || !UiMessageParts.isPart(part)) return
    const id = part["toolCallId"]
    if (typeof id === "string" && !this.tools.has(id)) return
    if (part.type === "steering-message" && array(part["parts"]) === undefined) return
    this.begin()
    this.write(part)
  }

  private sayOfCall(id: string, fields: UnknownRecord): void {
    // To say it of a call that was shown already would run it again.
    if (this.tools.get(id) === undefined) this.callFields.set(id, { ...this.callFields.get(id), ...fields })
  }

  private signature(id: string | undefined, metadata: UnknownRecord): void {
    const signature = nonEmpty(metadata["signature"])
    const providerMetadata = record(metadata["providerMetadata"]) ?? (signature && { [this.provider]: { signature } })
    if (!providerMetadata) return
    if (id !== undefined) {
      this.sayOfCall(id, { providerMetadata })
      return
    }
    const part = nonEmpty(metadata["part"])
    const { open } = this
    // Of several summaries of one piece of reasoning the part names them all.
    if (open !== undefined && (part === undefined || part === open.id || open.id.startsWith(`${part}.`))) {
      this.write({ type: `${open.block}-delta`, id: open.id, delta: "", providerMetadata })
      return
    }
    // Thinking that the provider does not show.
    this.begin()
    const block = metadata["thought"] === false ? "text" : "reasoning"
    this.write({ type: `${block}-start`, id: part ?? block, providerMetadata })
    this.write({ type: `${block}-end`, id: part ?? block })
  }
}

const ownKinds = new Set([
  "tool-approval-request",
  "tool-approval-response",
  "tool-output-denied",
  "reset-step",
  "custom",
  "steering-message"
])

const toolFields = ({ dynamic, title, toolMetadata }: UnknownRecord): UnknownRecord => ({
  title: nonEmpty(title),
  dynamic: dynamic === true ? true : undefined,
  toolMetadata: record(toolMetadata)
})

const mediaTypeOf = (metadata: UnknownRecord): string | undefined =>
  nonEmpty(metadata["mediaType"]) ??
  nonEmpty(metadata["media_type"]) ??
  nonEmpty(metadata["mimeType"]) ??
  nonEmpty(metadata["mime_type"])

/** A source, wherever the provider puts its address. */
const source = (metadata: UnknownRecord): Part | undefined => {
  const citation = record(metadata["citation"]) ?? metadata
  const inner = record(citation["url_citation"]) ?? record(citation["source"]) ?? citation
  const providerMetadata = record(inner["providerMetadata"])
  const url = nonEmpty(inner["url"]) ?? nonEmpty(inner["uri"])
  const title = nonEmpty(inner["title"])
  const id = nonEmpty(inner["id"])
  if (url !== undefined) return { type: "source-url", sourceId: id ?? url, url, title, providerMetadata }
  const mediaType = mediaTypeOf(inner)
  const filename = nonEmpty(inner["filename"])
  const name = title ?? filename
  return mediaType === undefined || name === undefined
    ? undefined
    : { type: "source-document", sourceId: id ?? name, mediaType, title: name, filename, providerMetadata }
}

/** A medium, in the ways of the providers. */
const file = (metadata: UnknownRecord): Part | undefined => {
  const image = record(record(metadata["image"])?.["image_url"])
  const inner = record(metadata["inlineData"]) ?? record(metadata["fileData"]) ?? image ?? metadata
  const data = nonEmpty(inner["data"])
  const address = nonEmpty(inner["url"]) ?? nonEmpty(inner["uri"]) ?? nonEmpty(inner["fileUri"])
  const mediaType = mediaTypeOf(inner) ?? /^data:([^;,]+)/.exec(address ?? "")?.[1]
  const url = address ?? (data && `data:${mediaType};base64,${data}`)
  if (mediaType === undefined || url === undefined) return undefined
  const type = metadata["thought"] === true ? "reasoning-file" : "file"
  return { type, mediaType, url, providerMetadata: record(metadata["providerMetadata"]) }
}

const finishReasonOf = (reason: StreamResult.FinishReason): string | undefined => {
  switch (reason) {
    case "unknown":
      return undefined
    case "pause":
      return "other"
    default:
      return reason
  }
}
