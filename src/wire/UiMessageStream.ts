/**
 * The AI SDK's UI message stream, version 1, as events: what `toUIMessageStreamResponse`, `createUIMessageStreamResponse`
 * and this library's own `UiMessageStream.make` write.
 *
 * | part                                                  | event                                                         |
 * | ----------------------------------------------------- | ------------------------------------------------------------- |
 * | `text-delta`                                          | `Delta`                                                       |
 * | `reasoning-delta`                                     | `Reasoning`                                                   |
 * | `tool-input-start`, `tool-input-delta`                | `ToolCallDelta`                                               |
 * | `tool-input-available`                                | `ToolCall`, or Metadata `hosted-tool-call`                    |
 * | `tool-input-error`                                    | Metadata `incomplete-tool-call`, with `input` and `errorText` |
 * | `tool-output-available`, `tool-output-error`          | `ToolResult`; Metadata `tool-result` for a preliminary one    |
 * | `source-url`, `source-document`                       | Metadata `source`                                             |
 * | `file`, `reasoning-file`                              | Metadata `file`, with `thought` for the second                |
 * | `citations` of a text                                 | Metadata `citation`                                           |
 * | `providerMetadata` of a text, a reasoning or a call   | Metadata `signature`, when it is new                          |
 * | `title`, `dynamic`, `toolMetadata` of a call          | Metadata `tool`, when they are new                            |
 * | `start`                                               | Metadata `response`, with the message's id                    |
 * | `start-step`, from the second on                      | Metadata `step`                                               |
 * | `data-*`                                              | Metadata `data`; `retract` for `data-retract`                 |
 * | `messageMetadata` of any part                         | Metadata `message-metadata`, but for its `usage`              |
 * | `tool-approval-request`, `tool-approval-response`,    | Metadata of the same kind                                     |
 * | `tool-output-denied`, `reset-step`, `custom`,         |                                                               |
 * | `steering-message`, `abort`                           |                                                               |
 * | `finish`                                              | Metadata `finish` and `End`                                   |
 * | `error`                                               | the failure `ProviderFailure`                                 |
 *
 * 1. The answer is whole with `finish`, or with `[DONE]` where the server writes its parts by hand and no `finish`. Another
 *    step behind a `finish` is another answer, with an end of its own.
 * 2. An answer that was stopped (`abort`) is no whole one: the stream fails with `Truncated`, behind its Metadata.
 * 3. A call whose input never becomes available is incomplete, whatever has come of it; one that the server could not read
 *    (`tool-input-error`) is none, and the answer goes on.
 * 4. What a step takes back (`reset-step`) has been delivered; calls of it that are not whole are forgotten.
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
  id: string | undefined
  steps: number
  /** By the identifier of their call. */
  readonly tools: Map<string, Tool>
  calls: number
  /** What was said last of a text, a reasoning or a call, which its parts say again. */
  readonly said: Map<string, string>
  /** What was said of a text or a reasoning when it began, and belongs behind what comes of it. */
  readonly begun: Map<string, string>
  usage: StreamResult.Usage | undefined
  /** As it came. */
  rawUsage: unknown
  finishReason: string | undefined
  isFinished: boolean
  isAborted: boolean
}

interface Tool {
  readonly index: number
  name: string
  /** Run by the provider. */
  isHosted: boolean
  /** Its input is text and not JSON. */
  isText: boolean
  /** Its input has come, or is known not to come. */
  isOver: boolean
}

/** What a part must have to be one, as strings. */
const fieldsOf: ReadonlyMap<string, ReadonlyArray<string>> = new Map([
  ["start", []],
  ["start-step", []],
  ["finish-step", []],
  ["reset-step", []],
  ["finish", []],
  ["abort", []],
  ["message-metadata", []],
  ["error", ["errorText"]],
  ["text-start", ["id"]],
  ["text-delta", ["id", "delta"]],
  ["text-end", ["id"]],
  ["reasoning-start", ["id"]],
  ["reasoning-delta", ["id", "delta"]],
  ["reasoning-end", ["id"]],
  ["tool-input-start", ["toolCallId", "toolName"]],
  ["tool-input-delta", ["toolCallId", "inputTextDelta"]],
  ["tool-input-available", ["toolCallId", "toolName"]],
  ["tool-input-error", ["toolCallId", "errorText"]],
  ["tool-output-available", ["toolCallId"]],
  ["tool-output-error", ["toolCallId", "errorText"]],
  ["tool-output-denied", ["toolCallId"]],
  ["tool-approval-request", ["approvalId", "toolCallId"]],
  ["tool-approval-response", ["approvalId"]],
  ["source-url", ["sourceId", "url"]],
  ["source-document", ["sourceId", "mediaType"]],
  ["file", ["url", "mediaType"]],
  ["reasoning-file", ["url", "mediaType"]],
  ["custom", ["kind"]],
  ["steering-message", ["id"]]
])

/** @internal */
export const isPart = (chunk: UnknownRecord): boolean => {
  const type = string(chunk["type"])
  if (type === undefined) return false
  if (type.startsWith("data-")) return "data" in chunk
  return fieldsOf.get(type)?.every((field) => typeof chunk[field] === "string") === true
}

/** @internal */
export const protocol: Protocol.Protocol<State> = {
  // It is anybody's backend.
  provider: "server",
  framing: "sse",
  terminal: "finish",
  endsCalls: true,
  recognizes: isPart,
  initial: () => ({
    id: undefined,
    steps: 0,
    tools: new Map(),
    calls: 0,
    said: new Map(),
    begun: new Map(),
    usage: undefined,
    rawUsage: undefined,
    finishReason: undefined,
    isFinished: false,
    isAborted: false
  }),
  step(state, chunk, out) {
    if (!isPart(chunk)) {
      out.metadata("unknown", { chunk })
      return undefined
    }
    const type = string(chunk["type"])!
    if (type.startsWith("text-")) return stepText(state, "text", type, chunk, out)
    if (/^reasoning-(start|delta|end)$/.test(type)) return stepText(state, "reasoning", type, chunk, out)
    const { type: _, ...fields } = chunk
    switch (type) {
      case "tool-input-start":
      case "tool-input-delta":
      case "tool-input-available":
      case "tool-input-error":
        return stepInput(state, type, fields, out)
      case "tool-output-available":
      case "tool-output-error":
        return stepOutput(state, type, fields, out)
      case "source-url":
      case "source-document": {
        const { sourceId, ...source } = fields
        out.metadata("source", { id: sourceId, ...source })
        return undefined
      }
      case "file":
      case "reasoning-file":
        out.metadata("file", type === "file" ? fields : { ...fields, thought: true })
        return undefined
      case "start":
        return stepStart(state, fields, out)
      case "start-step":
        return stepStep(state, out)
      case "finish-step":
        out.progress(type)
        return undefined
      case "reset-step":
        forgetOpenCalls(state, out)
        out.metadata(type, fields)
        return undefined
      case "message-metadata":
        return stepMessageMetadata(state, fields["messageMetadata"], out)
      case "finish":
        state.isFinished = true
        state.finishReason = nonEmpty(fields["finishReason"]) ?? state.finishReason
        return stepMessageMetadata(state, fields["messageMetadata"], out)
      case "abort":
        state.isAborted = true
        out.metadata(type, fields)
        return "done"
      case "error":
        return out.failure(fields["errorText"])
      default:
        if (type === "data-retract" && record(fields["data"]) !== undefined) {
          out.metadata("retract", record(fields["data"])!)
        } else if (type.startsWith("data-")) {
          out.metadata("data", { name: type.slice("data-".length), ...fields })
        } else {
          out.metadata(type, fields)
        }
        return undefined
    }
  },
  onDone(state) {
    state.isFinished = true
  },
  onHalt: ({ finishReason, isAborted, isFinished, rawUsage, usage }) => ({
    isComplete: isFinished && !isAborted,
    finishReason: finishReasonOf(finishReason),
    providerFinishReason: isFinished ? finishReason : undefined,
    usage,
    metadata: usage === undefined ? {} : { usage: rawUsage }
  })
}

/** What a kept entry counts beside its text. */
const entrySize = 64

/** Keeps a text, and gives whether it is new. */
const keep = (texts: Map<string, string>, key: string, text: string, out: Protocol.Output): boolean => {
  const last = texts.get(key)
  texts.set(key, text)
  out.held += text.length - (last?.length ?? -(entrySize + key.length))
  return last !== text
}

/** Metadata of what is said again and again, when it is new. */
const say = (state: State, kind: string, key: string, metadata: UnknownRecord, out: Protocol.Output): void => {
  if (keep(state.said, `${kind} ${key}`, JSON.stringify(metadata), out)) out.metadata(kind, metadata)
}

// -----------------------------------------------------------------------------
// texts
// -----------------------------------------------------------------------------

type Block = "text" | "reasoning"

const stepText = (state: State, block: Block, type: string, fields: UnknownRecord, out: Protocol.Output): undefined => {
  const { citations, delta, id, providerMetadata } = fields
  // What `make` calls a part that has no name.
  const part = id === block ? undefined : nonEmpty(id)
  const metadata = record(providerMetadata)
  const key = `${block} ${part}`
  if (type.endsWith("-start")) {
    if (metadata !== undefined) keep(state.begun, key, JSON.stringify(metadata), out)
    return
  }
  if (block === "text") out.delta(string(delta), part)
  else out.reasoning(string(delta), part)
  for (const citation of array(citations) ?? []) out.metadata("citation", { part, citation })
  const begun = state.begun.size === 0 ? undefined : state.begun.get(key)
  if (begun !== undefined) {
    state.begun.delete(key)
    out.held -= begun.length + entrySize + key.length
  }
  const found = metadata ?? (begun === undefined ? undefined : record(JSON.parse(begun)))
  if (found === undefined) return
  stepSignature(state, key, block === "text" ? { part, thought: false } : { part }, found, out)
}

/** Where providers put what must be sent back. */
const signatureFields = ["signature", "thoughtSignature", "reasoningEncryptedContent", "redactedData"]

const stepSignature = (
  state: State,
  key: string,
  owner: UnknownRecord,
  metadata: unknown,
  out: Protocol.Output
): undefined => {
  const providerMetadata = record(metadata)
  if (providerMetadata === undefined) return
  const values = Object.values(providerMetadata).flatMap((provider) =>
    signatureFields.map((field) => nonEmpty(record(provider)?.[field]))
  )
  const signature = values.find((value) => value !== undefined)
  say(state, "signature", key, { ...owner, ...(signature !== undefined && { signature }), providerMetadata }, out)
}

// -----------------------------------------------------------------------------
// tools
// -----------------------------------------------------------------------------

const toolOf = (state: State, fields: UnknownRecord, out: Protocol.Output): Tool => {
  const id = string(fields["toolCallId"])!
  const found = state.tools.get(id)
  if (found !== undefined) return found
  const tool: Tool = { index: state.calls++, name: "", isHosted: false, isText: false, isOver: false }
  state.tools.set(id, tool)
  out.held += entrySize + id.length
  return tool
}

const stepInput = (state: State, type: string, fields: UnknownRecord, out: Protocol.Output): undefined => {
  const { errorText, input, inputEncoding, inputTextDelta, providerExecuted, toolCallId, toolName, ...more } = fields
  const id = string(toolCallId)!
  const tool = toolOf(state, fields, out)
  const { index } = tool
  const name = nonEmpty(toolName) ?? tool.name
  out.held += name.length - tool.name.length
  tool.name = name
  if (providerExecuted === true) tool.isHosted = true
  if (inputEncoding === "text") tool.isText = true
  stepTool(state, id, more, out)
  if (tool.isOver) return
  tool.isOver = type === "tool-input-available" || type === "tool-input-error"
  const delta = string(inputTextDelta)
  if (type === "tool-input-error") {
    const argumentsText = nonEmpty(out.tools.drop(index)) ?? jsonText(input) ?? ""
    out.metadata("incomplete-tool-call", { id, name: tool.name, argumentsText, input, errorText })
  } else if (tool.isHosted) {
    out.tools.drop(index)
    if (tool.isOver) out.metadata("hosted-tool-call", { id, name: tool.name, input, item: fields })
    else if (delta !== undefined) out.metadata("hosted-tool-delta", { id, name: tool.name, delta })
  } else {
    const { isText } = tool
    out.toolFragment({ index, id: nonEmpty(id), name: nonEmpty(toolName), argumentsText: delta, isText })
    if (tool.isOver) endCall(tool, input, out)
    else if (delta === undefined) out.progress(type)
  }
}

/** The input counts, which a schema may have changed; the text that came for it is kept where it says the same. */
const endCall = ({ index, isText }: Tool, input: unknown, out: Protocol.Output): void => {
  const sent = out.tools.argumentsAt(index)
  const argumentsText = isText && typeof input === "string" ? input : (JSON.stringify(input) ?? "")
  if (sent === "") {
    out.toolFragment({ index, argumentsText })
    out.toolEnd(index)
  } else if (input === sent || input === undefined || saysSame(sent, input)) {
    out.toolFragment({ index, isText: input === sent })
    out.toolEnd(index)
  } else {
    out.toolEnd(index, { argumentsText })
  }
}

const saysSame = (text: string, value: unknown): boolean => {
  try {
    return JSON.stringify(JSON.parse(text)) === JSON.stringify(value)
  } catch {
    return false
  }
}

/** What is said of a call beside its input and its output. */
const stepTool = (state: State, id: string, more: UnknownRecord, out: Protocol.Output): undefined => {
  const { providerMetadata, ...others } = more
  stepSignature(state, `tool ${id}`, { id }, providerMetadata, out)
  if (Object.keys(others).length > 0) say(state, "tool", id, { id, ...others }, out)
}

const stepOutput = (state: State, type: string, fields: UnknownRecord, out: Protocol.Output): undefined => {
  const { errorText, output, preliminary, providerExecuted: _, toolCallId, ...more } = fields
  const tool = toolOf(state, fields, out)
  const id = out.tools.idAt(tool.index) ?? string(toolCallId)!
  const isError = type === "tool-output-error"
  const result = { id, name: tool.name, output: isError ? errorText : output, isError }
  stepTool(state, id, more, out)
  if (preliminary === true) out.metadata("tool-result", { ...result, preliminary })
  else out.toolResult(result)
}

const forgetOpenCalls = (state: State, out: Protocol.Output): void => {
  for (const [id, tool] of state.tools) {
    if (tool.isOver) continue
    out.tools.drop(tool.index)
    state.tools.delete(id)
  }
}

// -----------------------------------------------------------------------------
// message
// -----------------------------------------------------------------------------

const stepStart = (state: State, fields: UnknownRecord, out: Protocol.Output): undefined => {
  const { messageId, messageMetadata, ...more } = fields
  const id = nonEmpty(messageId)
  if (id === undefined || id === state.id) {
    out.progress("start")
  } else {
    state.id = id
    out.metadata("response", { ...more, id })
  }
  stepMessageMetadata(state, messageMetadata, out)
}

const stepStep = (state: State, out: Protocol.Output): undefined => {
  state.isFinished = false
  if (state.steps++ === 0) out.progress("start-step")
  else out.metadata("step", { step: state.steps })
}

/** It is the application's own, by custom with the usage. */
const stepMessageMetadata = (state: State, value: unknown, out: Protocol.Output): undefined => {
  if (value === undefined || value === null) return
  const fields = record(value)
  for (const key of ["totalUsage", "usage"]) {
    const usage = toUsage(record(fields?.[key]))
    if (fields === undefined || usage === undefined) continue
    const { [key]: rawUsage, ...others } = fields
    state.usage = usage
    state.rawUsage = rawUsage
    if (Object.keys(others).length > 0) out.metadata("message-metadata", { messageMetadata: others })
    return
  }
  out.metadata("message-metadata", { messageMetadata: value })
}

const finishReasons = new Set<string>(["stop", "length", "content-filter", "tool-calls", "error"])

const finishReasonOf = (word: string | undefined): StreamResult.FinishReason => {
  if (word === undefined || word === "unknown") return "unknown"
  return finishReasons.has(word) ? (word as StreamResult.FinishReason) : "other"
}

/** In this library's shape, which is what `make` writes, or in that of the AI SDK. */
const toUsage = (usage: UnknownRecord | undefined): StreamResult.Usage | undefined => {
  const input = record(usage?.["inputTokens"])
  const output = record(usage?.["outputTokens"])
  if (input !== undefined || output !== undefined) {
    return {
      inputTokens: {
        total: number(input?.["total"]),
        uncached: number(input?.["uncached"]),
        cacheRead: number(input?.["cacheRead"]),
        cacheWrite: number(input?.["cacheWrite"])
      },
      outputTokens: {
        total: number(output?.["total"]),
        text: number(output?.["text"]),
        reasoning: number(output?.["reasoning"])
      }
    }
  }
  const inputTotal = number(usage?.["inputTokens"])
  const outputTotal = number(usage?.["outputTokens"])
  if (usage === undefined || (inputTotal === undefined && outputTotal === undefined)) return undefined
  const inputDetails = record(usage["inputTokenDetails"])
  const outputDetails = record(usage["outputTokenDetails"])
  return {
    inputTokens: {
      total: inputTotal,
      uncached: number(inputDetails?.["noCacheTokens"]),
      cacheRead: number(inputDetails?.["cacheReadTokens"]) ?? number(usage["cachedInputTokens"]),
      cacheWrite: number(inputDetails?.["cacheWriteTokens"])
    },
    outputTokens: {
      total: outputTotal,
      text: number(outputDetails?.["textTokens"]),
      reasoning: number(outputDetails?.["reasoningTokens"]) ?? number(usage["reasoningTokens"])
    }
  }
}

// -----------------------------------------------------------------------------
// provider
// -----------------------------------------------------------------------------

const toUiMessage = ({ content, parts, ...fields }: StreamModel.Message, index: number): UnknownRecord => ({
  id: `${index}`,
  role: "user",
  ...fields,
  parts: parts ?? (typeof content === "string" ? [{ type: "text", text: content }] : (content ?? []))
})

const provider = Provider.make(protocol, {
  baseUrl: "http://localhost:3000/api/chat",
  path: () => "",
  authorize: HttpClientRequest.bearerToken,
  body: (request, model) => ({
    id: crypto.randomUUID(),
    model,
    messages: StreamModel.messages(request).map(toUiMessage),
    trigger: "submit-message"
  })
})

/**
 * Decodes the bytes of a UI message stream.
 *
 * **Details**
 *
 * Tool calls come as `ToolCallDelta` while they stream and as one `ToolCall` each, with the input that the server says;
 * tools that the provider runs are Metadata and `ToolResult`. Usage, where the message's metadata have it as `usage` or
 * `totalUsage`, and finish reason come in one Metadata event of the kind `finish` before `End`. An `error` becomes
 * `ProviderFailure`, an answer that was stopped `Truncated`.
 *
 * **Gotchas**
 *
 * The protocol has no refusals: they are answer text. The text of a failed tool is all that is left of its output.
 *
 * **Example** (Decoding a response)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { StreamHandler, UiMessageStream } from "effect-llm-streaming"
 *
 * const bytes = Stream.make(
 *   'data: {"type":"start","messageId":"m"}\n\ndata: {"type":"text-start","id":"0"}\n\n',
 *   'data: {"type":"text-delta","id":"0","delta":"Hello"}\n\ndata: {"type":"text-end","id":"0"}\n\n',
 *   'data: {"type":"finish","finishReason":"stop"}\n\ndata: [DONE]\n\n'
 * )
 * const result = Effect.runSync(bytes.pipe(UiMessageStream.decode(), StreamHandler.run()))
 * result.text // => "Hello"
 * result.finishReason // => "stop"
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const decode = provider.decode

/**
 * Decodes parts that the AI SDK's own transport has parsed already.
 *
 * **Gotchas**
 *
 * There is no `[DONE]` then: parts without a `finish` are `Truncated`, unless `onMissingFinish` says otherwise.
 *
 * @category decoding
 * @since 0.1.0
 */
export const fromChunks = provider.fromChunks

/**
 * Decodes a response: `Start` when its headers are there, `ProviderFailure` for a status outside 2xx, with the server's
 * code and message, `isRetryable` and `retryAfter`.
 *
 * @category HTTP
 * @since 0.1.0
 */
export const fromResponse = provider.fromResponse

/**
 * A `StreamModel` that asks a backend for `useChat`.
 *
 * **Details**
 *
 * `baseUrl` is what `useChat` has as `api`. Messages with `parts` are sent as they are; `content` becomes their parts, a
 * string one of text. Fields of the request's `options` are fields of the body, beside `id`, `messages` and `trigger`.
 *
 * **Example** (Asking a chat's backend)
 *
 * ```ts no-run
 * import { Console, Effect, Layer, Stream } from "effect"
 * import { FetchHttpClient } from "effect/http"
 * import { StreamEvent, StreamModel, UiMessageStream } from "effect-llm-streaming"
 *
 * const Model = UiMessageStream.layer({ baseUrl: "https://chat.example.com/api/chat" }).pipe(
 *   Layer.provide(FetchHttpClient.layer)
 * )
 * const program = StreamModel.stream({ prompt: "Why is the sky blue?", options: { id: "chat-1" } }).pipe(
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
