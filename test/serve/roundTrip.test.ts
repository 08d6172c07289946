/** `decode . encode`: what a responder writes, this library's own decoder of the protocol reads back. */
import { assert, describe, it } from "@effect/vitest"
import { readUIMessageStream, type UIMessage, type UIMessageChunk } from "ai"
import { Effect, Stream } from "effect"
import type { HttpServerResponse } from "effect/http"
import type * as Scope from "effect/Scope"
import * as AnthropicMessagesResponse from "../../src/serve/AnthropicMessagesResponse.ts"
import * as OpenAiChatResponse from "../../src/serve/OpenAiChatResponse.ts"
import * as OpenAiResponsesResponse from "../../src/serve/OpenAiResponsesResponse.ts"
import * as UiMessageStream from "../../src/serve/UiMessageStream.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as StreamHandler from "../../src/StreamHandler.ts"
import type * as StreamResult from "../../src/StreamResult.ts"
import * as StreamArbitrary from "../../src/testing/StreamArbitrary.ts"
import * as StreamLaws from "../../src/testing/StreamLaws.ts"
import * as AnthropicMessages from "../../src/wire/AnthropicMessages.ts"
import * as OpenAiChat from "../../src/wire/OpenAiChat.ts"
import * as OpenAiResponses from "../../src/wire/OpenAiResponses.ts"
import type * as Provider from "../../src/wire/Provider.ts"

const end = StreamEvent.end(0, "stop")

/** The bytes of a response's body, as text. */
const written = (response: Effect.Effect<HttpServerResponse.HttpServerResponse, never, Scope.Scope>) =>
  Effect.gen(function* () {
    const { body } = yield* response
    assert.strictEqual(body._tag, "Stream")
    return body._tag === "Stream" ? yield* Stream.mkString(Stream.decodeText(body.stream)) : ""
  }).pipe(Effect.scoped)

/** What the protocols can carry: why a call or none was the end is said by the calls. */
const carried = ({ finishReason, reasoning, refusal, text, toolCalls, usage }: StreamResult.StreamResult) => ({
  finishReason:
    finishReason === "unknown" || finishReason === "stop" || finishReason === "tool-calls"
      ? toolCalls.length > 0
        ? "tool-calls"
        : "stop"
      : finishReason,
  reasoning,
  refusal,
  text,
  toolCalls: toolCalls.map((call) => JSON.stringify(call)).toSorted(),
  usage: [usage?.inputTokens.total ?? 0, usage?.outputTokens.total ?? 0]
})

/** Anthropic has no refusal of its own: it is text there. */
const withoutRefusal = ({ refusal, text, ...others }: ReturnType<typeof carried>) => ({
  ...others,
  letters: text.length + refusal.length
})

describe("decode . encode is the identity on what the protocol can carry", () => {
  const roundTrip = (
    make: typeof AnthropicMessagesResponse.make | typeof OpenAiResponsesResponse.make,
    decode: Provider.Provider["decode"],
    input: { readonly items: ReadonlyArray<StreamEvent.StreamEvent> }
  ) =>
    Effect.gen(function* () {
      const events = Stream.fromArray([...input.items.filter((event) => event._tag !== "Error"), end])
      const bytes = yield* written(make()(events))
      const before = yield* events.pipe(StreamHandler.run())
      const after = yield* Stream.make(bytes).pipe(decode(), StreamHandler.run())
      return { before: carried(before), after: carried(after) }
    })

  it.effect.prop("Anthropic Messages", { input: StreamArbitrary.events() }, ({ input }) =>
    Effect.map(roundTrip(AnthropicMessagesResponse.make, AnthropicMessages.decode, input), ({ after, before }) => {
      assert.deepStrictEqual(withoutRefusal(after), withoutRefusal(before))
    })
  )

  it.effect.prop("OpenAI Responses", { input: StreamArbitrary.events() }, ({ input }) =>
    Effect.map(roundTrip(OpenAiResponsesResponse.make, OpenAiResponses.decode, input), ({ after, before }) => {
      assert.deepStrictEqual(after, before)
    })
  )

  /** Through the AI SDK's protocol. */
  const throughParts = (events: ReadonlyArray<StreamEvent.StreamEvent>) =>
    Effect.gen(function* () {
      const bytes = yield* written(UiMessageStream.make()(Stream.fromArray(events)))
      return yield* Stream.runCollect(Stream.make(bytes).pipe(UiMessageStream.decode()))
    })

  it.effect.prop("the AI SDK's parts, event by event", { input: StreamArbitrary.events() }, ({ input }) =>
    Effect.gen(function* () {
      const before = [...input.items.filter((event) => event._tag !== "Error" && event._tag !== "End"), end]
      const after = yield* throughParts(before)
      assert.deepStrictEqual(partsCarry(after), partsCarry(before))
      const usageOf = (events: ReadonlyArray<StreamEvent.StreamEvent>) =>
        Effect.map(StreamHandler.run()(Stream.fromArray(events)), ({ usage }) => json(usage))
      assert.deepStrictEqual(yield* usageOf(after), yield* usageOf(before))
    })
  )

  it.effect("the usage of all steps, in each protocol", () =>
    Effect.gen(function* () {
      const used = (input: number, output: number) =>
        StreamEvent.metadata(0, "usage", { usage: { inputTokens: { total: input }, outputTokens: { total: output } } })
      const answer = [StreamEvent.delta(0, "a"), used(10, 2), used(10, 5), StreamEvent.metadata(0, "step")]
      const events = Stream.make(StreamEvent.start(0), ...answer, StreamEvent.delta(0, "b"), used(20, 7), end)
      const protocols: ReadonlyArray<readonly [ReturnType<typeof UiMessageStream.make>, Provider.Provider["decode"]]> =
        [
          [AnthropicMessagesResponse.make(), AnthropicMessages.decode],
          [OpenAiChatResponse.make({ includeUsage: true }), OpenAiChat.decode],
          [OpenAiResponsesResponse.make(), OpenAiResponses.decode],
          [UiMessageStream.make(), UiMessageStream.decode]
        ]
      for (const [respond, decode] of protocols) {
        const { text, usage } = yield* Stream.make(yield* written(respond(events))).pipe(decode(), StreamHandler.run())
        assert.deepStrictEqual([text, usage?.inputTokens.total, usage?.outputTokens.total], ["ab", 30, 12])
      }
    })
  )

  it.effect("the AI SDK's parts, with all that they can carry", () =>
    Effect.gen(function* () {
      const metadata = (kind: string, metadata: Readonly<Record<string, unknown>>) =>
        StreamEvent.metadata(0, kind, { metadata })
      const signature = (fields: Readonly<Record<string, unknown>>) =>
        metadata("signature", { ...fields, signature: "s", providerMetadata: { provider: { signature: "s" } } })
      const delta = (id: string, delta: string) => StreamEvent.toolCallDelta(0, id, "search", delta)
      const call = (id: string, argumentsText: string, input: unknown) =>
        StreamEvent.toolCall(0, { id, name: "search", argumentsText, input })
      const result = (id: string, output: unknown, isError = false) =>
        StreamEvent.toolResult(0, { id, name: "search", output, isError })
      const usage = { inputTokens: { total: 3, cacheRead: 1 }, outputTokens: { total: 5, reasoning: 2 } }
      const before = [
        StreamEvent.start(0),
        metadata("message-metadata", { messageMetadata: { topic: "x" } }),
        StreamEvent.reasoning(0, "hm", "0"),
        signature({ part: "0" }),
        signature({ part: "1" }),
        StreamEvent.reasoning(0, "without a name"),
        StreamEvent.delta(0, "Hel", "2"),
        StreamEvent.delta(0, "lo", "3"),
        signature({ part: "3", thought: false }),
        signature({ part: "4", thought: false }),
        StreamEvent.delta(0, "without a name"),
        // As it was written, and as it was read.
        delta("a", '{ "q": '),
        delta("b", "{"),
        delta("a", '1.0, "big": 12345678901234567890 }'),
        call("a", '{ "q": 1.0, "big": 12345678901234567890 }', { q: 1, big: 12345678901234567000 }),
        delta("b", "}"),
        signature({ id: "b" }),
        call("b", "{}", {}),
        metadata("tool", { id: "c", title: "Search", dynamic: true, toolMetadata: { a: 1 } }),
        delta("c", "SELECT 1"),
        call("c", "SELECT 1", "SELECT 1"),
        metadata("tool-approval-request", { approvalId: "p", toolCallId: "c" }),
        metadata("tool-approval-response", { approvalId: "p", approved: false }),
        metadata("tool-output-denied", { toolCallId: "c" }),
        metadata("tool-result", { id: "a", name: "search", output: 1, isError: false, preliminary: true }),
        result("a", { hits: [1, null] }),
        result("b", "no", true),
        metadata("step", { step: 2 }),
        StreamEvent.delta(0, "behind a step", "2"),
        metadata("hosted-tool-call", { id: "w", name: "web", input: { q: "x" } }),
        StreamEvent.toolResult(0, { id: "w", name: "web", output: null, isError: false }),
        metadata("incomplete-tool-call", {
          id: "z",
          name: "cut",
          argumentsText: '{"a',
          input: '{"a',
          errorText: "The call broke off"
        }),
        metadata("source", { id: "s", url: "https://a.example/", title: "A", providerMetadata: { p: { a: 1 } } }),
        metadata("source", { id: "d", mediaType: "application/pdf", title: "D", filename: "d.pdf" }),
        metadata("file", { mediaType: "image/png", url: "data:image/png;base64,AAAA" }),
        metadata("file", { mediaType: "image/png", url: "https://a.example/b.png", thought: true }),
        metadata("data", { name: "weather", id: "d", data: { c: 20 } }),
        metadata("data", { name: "note", data: "x", transient: true }),
        metadata("retract", { offset: 3 }),
        metadata("custom", { kind: "a.b", providerMetadata: { a: { b: 1 } } }),
        metadata("steering-message", { id: "u", parts: [{ type: "text", text: "stop" }] }),
        metadata("reset-step", {}),
        StreamEvent.metadata(0, "finish", {
          usage,
          finishReason: "length",
          providerFinishReason: "length",
          metadata: { usage }
        }),
        StreamEvent.end(0, "length")
      ]
      const isSaid = (event: StreamEvent.StreamEvent) => event._tag !== "Progress"
      const after = (yield* throughParts(before)).filter(isSaid)
      const shown = (events: ReadonlyArray<StreamEvent.StreamEvent>) =>
        StreamLaws.join(events).map(withoutItem).map(json)
      assert.deepStrictEqual(shown(after), shown(before))
      // What came through once comes through as it is.
      assert.deepStrictEqual(shown((yield* throughParts(after)).filter(isSaid)), shown(before))
    })
  )
})

/** What the AI SDK's client makes of parts. */
const messageOf = (parts: ReadonlyArray<UIMessageChunk>) =>
  Effect.promise(async () => {
    let message: UIMessage | undefined
    const stream = new ReadableStream<UIMessageChunk>({
      start(controller) {
        for (const part of parts) controller.enqueue(part)
        controller.close()
      }
    })
    for await (const next of readUIMessageStream({ stream, terminateOnError: true })) message = structuredClone(next)
    return json({ parts: message?.parts, metadata: message?.metadata })
  })

describe("encode . decode", () => {
  it.effect("the AI SDK's client reads the same message behind a backend that reads and writes its protocol", () =>
    Effect.gen(function* () {
      const openai = (itemId: string) => ({ openai: { itemId } })
      const parts: ReadonlyArray<UIMessageChunk> = [
        { type: "start", messageMetadata: { topic: "x" } },
        { type: "start-step" },
        { type: "reasoning-start", id: "r:0", providerMetadata: openai("r") },
        { type: "reasoning-delta", id: "r:0", delta: "hm" },
        {
          type: "reasoning-end",
          id: "r:0",
          providerMetadata: { openai: { itemId: "r", reasoningEncryptedContent: "s" } }
        },
        { type: "reasoning-start", id: "hidden", providerMetadata: { anthropic: { redactedData: "s" } } },
        { type: "reasoning-end", id: "hidden" },
        { type: "text-start", id: "0", providerMetadata: openai("t") },
        { type: "text-delta", id: "0", delta: "Let me " },
        { type: "text-delta", id: "0", delta: "see" },
        { type: "text-end", id: "0", providerMetadata: openai("t") },
        { type: "tool-input-start", toolCallId: "a", toolName: "f", title: "F", providerMetadata: openai("a") },
        { type: "tool-input-start", toolCallId: "b", toolName: "g", dynamic: true },
        { type: "tool-input-delta", toolCallId: "a", inputTextDelta: '{"q":' },
        { type: "tool-input-delta", toolCallId: "b", inputTextDelta: "{}" },
        { type: "tool-input-delta", toolCallId: "a", inputTextDelta: '"x"}' },
        {
          type: "tool-input-available",
          toolCallId: "a",
          toolName: "f",
          input: { q: "x" },
          title: "F",
          providerMetadata: openai("a")
        },
        { type: "tool-input-available", toolCallId: "b", toolName: "g", input: {}, dynamic: true },
        { type: "tool-input-available", toolCallId: "c", toolName: "web", input: { q: 1 }, providerExecuted: true },
        { type: "tool-output-available", toolCallId: "c", output: [1], providerExecuted: true },
        { type: "tool-input-error", toolCallId: "d", toolName: "h", input: { y: 1 }, errorText: "no such tool" },
        { type: "tool-output-available", toolCallId: "a", output: "half", preliminary: true },
        { type: "tool-output-available", toolCallId: "a", output: { hits: 2 } },
        { type: "tool-output-error", toolCallId: "b", errorText: "sunk", dynamic: true },
        { type: "finish-step" },
        { type: "start-step" },
        { type: "source-url", sourceId: "s", url: "https://a.example/", title: "A" },
        { type: "source-document", sourceId: "d", mediaType: "application/pdf", title: "D" },
        { type: "file", url: "data:image/png;base64,AAAA", mediaType: "image/png" },
        { type: "reasoning-file", url: "https://a.example/b.png", mediaType: "image/png" },
        { type: "data-weather", id: "w", data: { c: 20 } },
        { type: "data-weather", id: "w", data: { c: 21 } },
        { type: "custom", kind: "a.b", providerMetadata: { a: { b: 1 } } },
        { type: "text-start", id: "0" },
        { type: "text-delta", id: "0", delta: "taken back" },
        { type: "reset-step" },
        { type: "text-start", id: "1" },
        { type: "text-delta", id: "1", delta: "Two hits" },
        { type: "text-end", id: "1" },
        { type: "finish-step" },
        { type: "finish", finishReason: "stop", messageMetadata: { more: 1 } }
      ]
      const events = Stream.fromIterable(parts).pipe(UiMessageStream.fromChunks())
      const bytes = yield* written(UiMessageStream.make()(events))
      const again: ReadonlyArray<UIMessageChunk> = bytes
        .split("\n\n")
        .flatMap((frame) => (frame.startsWith("data: {") ? [JSON.parse(frame.slice("data: ".length))] : []))
      assert.deepInclude(again.at(-1), { type: "finish", finishReason: "stop" })
      assert.deepStrictEqual(yield* messageOf(again), yield* messageOf(parts))
    })
  )
})

const json = (value: unknown): unknown => (value === undefined ? undefined : JSON.parse(JSON.stringify(value)))

/** The decoder's item is the part itself. */
const withoutItem = (event: StreamEvent.StreamEvent): StreamEvent.StreamEvent => {
  if (event._tag !== "Metadata") return event
  const { item: _, ...metadata } = event.metadata
  return { ...event, metadata }
}

/** Events as the AI SDK's protocol has them: refusals are text, usage and finish come at the end, steps by themselves. */
const partsCarry = (events: ReadonlyArray<StreamEvent.StreamEvent>): ReadonlyArray<unknown> =>
  StreamLaws.join(
    events.flatMap((event): ReadonlyArray<StreamEvent.StreamEvent> => {
      if (event._tag === "Refusal") return [{ ...event, _tag: "Delta" }]
      if (event._tag === "Progress") return []
      if (event._tag !== "Metadata") return [event]
      return ["usage", "finish", "step"].includes(event.kind) ? [] : [event]
    })
  ).map(json)
