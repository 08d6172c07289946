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
 * | `Metadata` of `citation`, `source`           | `source-url`, or `source-document` where it has a media type and no URL |
 * | `Metadata` of `file`                         | `file`                                                                 |
 * | `Metadata` of `retract`                      | `data-retract`, transient                                              |
 * | `End`                                        | `finish-step`, `finish`, with the usage as `messageMetadata.usage`     |
 * | a failure                                    | `error`                                                                |
 *
 * 1. A text or reasoning part is open while its events follow each other, and closed before anything else is shown.
 * 2. What the model says behind the result of a tool that it did not run itself is a step of its own.
 * 3. Other metadata stays on the server.
 *
 * @since 0.1.0
 */
import { jsonText, nonEmpty, record, type UnknownRecord } from "../internal/untyped.ts"
import type * as StreamEvent from "../StreamEvent.ts"
import type * as StreamResult from "../StreamResult.ts"
import * as Responder from "./Responder.ts"

/**
 * @category options
 * @since 0.1.0
 */
export interface Options extends Responder.Options {
  /** The message's id: that of the response by default, where its `Start` has one, else the client makes one up. */
  readonly messageId?: string | undefined
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
export const make = (options?: Options) => Responder.make(() => new Encoder(options?.messageId), options)

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
  private text = ""
  private open: { readonly block: Block; readonly id: string } | undefined
  private isStepOver = false
  private usage: StreamResult.Usage | undefined
  /** Tools that have been shown, and whether the provider runs them. */
  private readonly tools = new Map<string, boolean>()

  constructor(messageId: string | undefined) {
    this.messageId = messageId
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
          this.tools.set(event.id, false)
          this.write({ type: "tool-input-start", toolCallId: event.id, toolName: event.name })
        }
        this.write({ type: "tool-input-delta", toolCallId: event.id, inputTextDelta: event.delta })
        return
      case "ToolCall":
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
          messageMetadata: this.usage && { usage: this.usage }
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

  private call(call: { readonly id: string; readonly name: string }, input: unknown, isHosted: boolean): void {
    if (this.tools.has(call.id)) this.close()
    else this.begin()
    this.tools.set(call.id, isHosted)
    const providerExecuted = isHosted ? true : undefined
    this.write({ type: "tool-input-available", toolCallId: call.id, toolName: call.name, input, providerExecuted })
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

  private metadata({ kind, metadata, usage }: StreamEvent.Metadata): void {
    this.usage = usage ?? this.usage
    const id = nonEmpty(metadata["id"])
    switch (kind) {
      case "hosted-tool-call":
        if (id !== undefined)
          this.call({ id, name: nonEmpty(metadata["name"]) ?? "tool" }, metadata["input"] ?? {}, true)
        return
      case "incomplete-tool-call": {
        if (id === undefined) return
        this.begin()
        const errorText = "The call broke off"
        const input = metadata["argumentsText"] ?? ""
        this.write({ type: "tool-input-error", toolCallId: id, toolName: metadata["name"] ?? "tool", input, errorText })
        return
      }
      case "retract":
        this.write({ type: "data-retract", data: metadata, transient: true })
        return
      case "citation":
      case "source":
      case "file": {
        const part = kind === "file" ? file(metadata) : source(metadata)
        if (part === undefined) return
        this.begin()
        this.write(part)
      }
    }
  }
}

const mediaTypeOf = (metadata: UnknownRecord): string | undefined =>
  nonEmpty(metadata["mediaType"]) ?? nonEmpty(metadata["media_type"]) ?? nonEmpty(metadata["mimeType"])

/** A source, wherever the provider puts its address. */
const source = (metadata: UnknownRecord): Part | undefined => {
  const inner = record(metadata["url_citation"]) ?? record(metadata["citation"]) ?? metadata
  const url = nonEmpty(inner["url"]) ?? nonEmpty(inner["uri"])
  const title = nonEmpty(inner["title"])
  const id = nonEmpty(inner["id"])
  if (url !== undefined) return { type: "source-url", sourceId: id ?? url, url, title }
  const mediaType = mediaTypeOf(inner)
  const filename = nonEmpty(inner["filename"])
  const name = title ?? filename
  return mediaType === undefined || name === undefined
    ? undefined
    : { type: "source-document", sourceId: id ?? name, mediaType, title: name, filename }
}

const file = (metadata: UnknownRecord): Part | undefined => {
  const mediaType = mediaTypeOf(metadata)
  const data = nonEmpty(metadata["data"])
  const url = nonEmpty(metadata["url"]) ?? (data && `data:${mediaType};base64,${data}`)
  return mediaType === undefined || url === undefined ? undefined : { type: "file", mediaType, url }
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
