/**
 * What was answered as the messages of the next turn, and prompts as requests, for `EffectAi`.
 *
 * @since 0.1.0
 */
import type * as LanguageModel from "effect/ai/LanguageModel"
import * as Prompt from "effect/ai/Prompt"
import * as Response from "effect/ai/Response"
import * as Tool from "effect/ai/Tool"
import * as Base64 from "effect/encoding/Base64"
import * as Result from "effect/Result"
import { array, jsonText, record, string, type UnknownRecord } from "../internal/untyped.ts"
import type * as StreamModel from "../StreamModel.ts"
import type * as StreamResult from "../StreamResult.ts"
import { namespace } from "./EffectAiError.ts"

// -----------------------------------------------------------------------------
// the next turn
// -----------------------------------------------------------------------------

/**
 * What a stream amounts to as the messages for the next turn, whole or interrupted: the assistant's, and behind it the
 * results of its tool calls.
 *
 * **Details**
 *
 * A tool call is there only with its result, since providers refuse one that nobody answered: results are those of the
 * stream, and what `toolResults` gives for the calls that you ran yourself. Calls that the provider ran stand with their
 * results in the assistant's message.
 *
 * Reasoning is there with what must be sent back with it: the metadata that its part of `effect/ai` had, or what this
 * library's decoders have in Metadata `signature`, which is under `effect-llm-streaming` and, of Anthropic and OpenAI, where
 * their providers of `effect/ai` look for it. Where a signature does not say which of several blocks it is for, there is
 * none. A call has the signatures that name it.
 *
 * A refusal is text, as the provider said it. A result with nothing in it is an empty prompt.
 *
 * **Gotchas**
 *
 * A result keeps text, reasoning and calls apart, and not in which order they came: the order here is reasoning, text,
 * calls.
 *
 * **Example** (A turn that was cut short)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { Prompt } from "effect/ai"
 * import { EffectAi, StreamEvent, StreamHandler } from "effect-llm-streaming"
 *
 * const cut = Stream.make(
 *   StreamEvent.start(0),
 *   StreamEvent.delta(0, "Let me look that up."),
 *   StreamEvent.toolCall(0, { id: "call_0", name: "search", argumentsText: "{}", input: {} })
 * )
 * const { result } = await Effect.runPromise(cut.pipe(StreamHandler.runExit()))
 * const prompt = Prompt.concat(EffectAi.toPrompt(result), "Never mind.")
 * prompt.content.map((message) => message.role) // => ["assistant", "user"]
 * ```
 *
 * @category conversions
 * @since 0.1.0
 */
export const toPrompt = (
  result: StreamResult.StreamResult,
  options?: { readonly toolResults?: ReadonlyArray<StreamResult.ToolResult> | undefined }
): Prompt.Prompt => {
  const results = new Map(
    [...result.toolResults, ...(options?.toolResults ?? [])].map((toolResult) => [toolResult.id, toolResult])
  )
  const parts: Array<Response.AnyPart> = []
  const answered = (
    call: { readonly id: string; readonly name: string },
    params: unknown,
    providerExecuted: boolean
  ) => {
    const toolResult = results.get(call.id)
    if (toolResult === undefined) return
    const { id, name } = call
    const { isError, output } = toolResult
    const outcome = { result: output, encodedResult: output, isFailure: isError, preliminary: false }
    parts.push(
      Response.makePart("tool-call", {
        id,
        name,
        params,
        providerExecuted,
        metadata: callMetadata(id, result.metadata)
      }),
      Response.makePart("tool-result", { id, name, providerExecuted, ...outcome })
    )
  }
  parts.push(...reasoningParts(result))
  for (const text of [result.text, result.refusal]) {
    if (text !== "") parts.push(Response.makePart("text", { text }))
  }
  for (const { kind, metadata } of result.metadata) {
    const { id, input, name } = metadata
    const file = kind === "file" ? fileOf(metadata) : undefined
    if (file !== undefined) {
      parts.push(Response.makePart("file", file))
    } else if (kind === "hosted-tool-call" && typeof id === "string" && typeof name === "string") {
      answered({ id, name }, input, true)
    }
  }
  for (const call of result.toolCalls) answered(call, call.input, false)
  return Prompt.fromResponseParts(parts)
}

/** Blocks as the provider wants them back, and what it did not come to sign; else one block. */
const reasoningParts = ({ metadata, reasoning }: StreamResult.StreamResult): ReadonlyArray<Response.ReasoningPart> => {
  const signed = metadata.flatMap((entry) => signedBlock(entry) ?? [])
  const whole = signed.map((part) => part.text).join("")
  if (signed.length > 0) {
    const rest = reasoning.startsWith(whole) ? reasoning.slice(whole.length) : ""
    return rest === "" ? signed : [...signed, Response.makePart("reasoning", { text: rest })]
  }
  return reasoning === ""
    ? []
    : [Response.makePart("reasoning", { text: reasoning, metadata: reasoningMetadata(metadata) })]
}

/** A block that comes whole with its signature: of Anthropic's, and of OpenAI's Responses. */
const signedBlock = ({ kind, metadata }: StreamResult.MetadataEntry): Response.ReasoningPart | undefined => {
  if (kind !== "signature") return undefined
  const block = record(metadata["block"])
  const item = record(metadata["item"])
  if (block?.["type"] === "thinking") {
    const info = { type: "thinking", signature: block["signature"] }
    return signedPart(string(block["thinking"]), { anthropic: { info } }, metadata)
  }
  if (block?.["type"] === "redacted_thinking") {
    const info = { type: "redacted_thinking", redactedData: block["data"] }
    return signedPart("", { anthropic: { info } }, metadata)
  }
  if (item?.["type"] === "reasoning") {
    const texts = [...(array(item["summary"]) ?? []), ...(array(item["content"]) ?? [])]
    const text = texts.map((inner) => string(record(inner)?.["text"]) ?? "").join("")
    const openai = { itemId: item["id"], encryptedContent: item["encrypted_content"] ?? null }
    return signedPart(text, { openai }, metadata)
  }
  return undefined
}

const signedPart = (text = "", provider: UnknownRecord, signature: UnknownRecord): Response.ReasoningPart =>
  // What decoders read is JSON.
  Response.makePart("reasoning", {
    text,
    metadata: { ...provider, [namespace]: { signature } } as Response.ProviderMetadata
  })

/** What was said of the reasoning, where that is one block. */
const reasoningMetadata = (entries: ReadonlyArray<StreamResult.MetadataEntry>): Response.ProviderMetadata => {
  const signatures = entries.filter(({ kind, metadata }) => kind === "signature" && metadata["id"] === undefined)
  const parts = entries.filter(
    ({ kind, metadata }) => kind.startsWith("reasoning-") || (kind === "part" && metadata["type"] === "reasoning-delta")
  )
  if (signatures.length > 1 || parts.filter(({ kind }) => kind === "reasoning-start").length > 1) return {}
  const merged: Record<string, unknown> = {}
  for (const { metadata } of parts) {
    for (const [provider, value] of Object.entries(record(metadata["providerMetadata"]) ?? {})) {
      merged[provider] = { ...record(merged[provider]), ...record(value) }
    }
  }
  for (const { metadata } of signatures) merged[namespace] = { signature: metadata }
  return merged as Response.ProviderMetadata
}

const callMetadata = (
  id: string,
  entries: ReadonlyArray<StreamResult.MetadataEntry>
): Response.ProviderMetadata | undefined => {
  const entry = entries.find(({ kind, metadata }) => kind === "signature" && metadata["id"] === id)
  return entry && ({ [namespace]: { signature: entry.metadata } } as Response.ProviderMetadata)
}

/**
 * The medium in Metadata `file`, in the ways of `effect/ai` and of providers.
 *
 * @internal
 */
export const fileOf = (
  metadata: UnknownRecord
): { readonly mediaType: string; readonly data: Uint8Array } | undefined => {
  const inline = record(metadata["inlineData"])
  const mediaType = string(metadata["mediaType"] ?? metadata["mime_type"] ?? inline?.["mimeType"])
  const base64 = string(metadata["data"] ?? inline?.["data"])
  if (mediaType === undefined || base64 === undefined) return undefined
  const data = Result.getOrUndefined(Base64.decode(base64))
  return data && { mediaType, data }
}

// -----------------------------------------------------------------------------
// requests
// -----------------------------------------------------------------------------

/**
 * The request for what a `LanguageModel` is asked, in the form of OpenAI's chat completions, which most servers take:
 * messages, tools, tool choice and the schema of an answer in JSON.
 *
 * **Gotchas**
 *
 * Reasoning, calls that a provider ran and tools that are a provider's own have no place in that form and are left out.
 * For a model of another form, give `layerStreamModel` a `toRequest` of your own.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toRequest = (
  options: Pick<LanguageModel.ProviderOptions, "prompt" | "tools" | "toolChoice" | "responseFormat">
): StreamModel.StreamRequest => {
  const { prompt, responseFormat, toolChoice } = options
  const tools = options.tools.filter((tool) => !Tool.isProviderDefined(tool))
  return {
    messages: prompt.content.flatMap(toMessages),
    options: {
      ...(tools.length > 0 ? { tools: tools.map(toTool), tool_choice: toToolChoice(toolChoice) } : {}),
      ...(responseFormat.type === "json" ? { response_format: toResponseFormat(responseFormat) } : {})
    }
  }
}

const toMessages = (message: Prompt.Message): ReadonlyArray<StreamModel.Message> => {
  switch (message.role) {
    case "system":
      return [{ role: "system", content: message.content }]
    case "user": {
      const [first, ...others] = message.content
      const isText = first?.type === "text" && others.length === 0
      return [{ role: "user", content: isText ? first.text : message.content.map(toContent) }]
    }
    case "assistant": {
      const text = message.content.map((part) => (part.type === "text" ? part.text : "")).join("")
      const calls = message.content.filter((part) => part.type === "tool-call").filter((part) => !part.providerExecuted)
      if (text === "" && calls.length === 0) return []
      const content = text === "" ? null : text
      return [{ role: "assistant", content, ...(calls.length > 0 ? { tool_calls: calls.map(toToolCall) } : {}) }]
    }
    case "tool":
      return message.content
        .filter((part) => part.type === "tool-result")
        .map((part) => ({
          role: "tool",
          tool_call_id: part.id,
          content:
            part.modelOutput === undefined
              ? (jsonText(part.result) ?? "")
              : Prompt.toolModelOutputToText(part.modelOutput)
        }))
  }
}

const toContent = (part: Prompt.UserMessagePart): UnknownRecord => {
  if (part.type === "text") return { type: "text", text: part.text }
  const url = toUrl(part)
  if (part.mediaType.startsWith("image/")) return { type: "image_url", image_url: { url } }
  return { type: "file", file: { filename: part.fileName, file_data: url } }
}

/** Text is an address already, or the base64 of the data. */
const toUrl = ({ data, mediaType }: Prompt.FilePart): string => {
  if (data instanceof URL) return data.href
  if (typeof data === "string" && /^[a-z]+:/i.test(data)) return data
  return `data:${mediaType};base64,${typeof data === "string" ? data : Base64.encode(data)}`
}

const toToolCall = ({ id, name, params }: Prompt.ToolCallPart): UnknownRecord => ({
  id,
  type: "function",
  function: { name, arguments: jsonText(params) ?? "{}" }
})

const toTool = (tool: Tool.Any): UnknownRecord => ({
  type: "function",
  function: { name: tool.name, description: tool.description, parameters: Tool.getJsonSchema(tool) }
})

const toToolChoice = (choice: LanguageModel.ToolChoice<string>): unknown => {
  if (typeof choice === "string") return choice
  // Of several, LanguageModel gives no others.
  return "tool" in choice ? { type: "function", function: { name: choice.tool } } : (choice.mode ?? "auto")
}

const toResponseFormat = ({
  objectName,
  schema
}: Extract<LanguageModel.ProviderOptions["responseFormat"], { readonly type: "json" }>): UnknownRecord => ({
  type: "json_schema",
  json_schema: { name: objectName, schema: Tool.getJsonSchemaFromSchema(schema) }
})
