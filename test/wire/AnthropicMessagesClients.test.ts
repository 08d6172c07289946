/** The decoder beside the official client and the AI SDK's provider, fed with the same bytes over HTTP. */
import { createAnthropic } from "@ai-sdk/anthropic"
import Anthropic from "@anthropic-ai/sdk"
import { assert, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import * as StreamError from "../../src/StreamError.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as AnthropicMessages from "../../src/wire/AnthropicMessages.ts"
import { answerOf } from "../support/aiSdk.ts"
import * as Loopback from "../support/loopback.ts"
import { collect, finishOf, show, textOf } from "../support/run.ts"
import { describeShared, readBytes, recordings } from "../support/shared.ts"

/** Where the official client throws, and why we do not, or not so. */
const throws = {
  noEventLine: {
    message: /request ended without sending any chunks/,
    reason: "It ignores data without an event: line; the type stands in the JSON as well."
  },
  duplicate: {
    message: /Unexpected event order, got message_start/,
    reason: "The same start comes twice: the second says nothing new."
  },
  truncated: {
    message: /stream ended without producing a Message/,
    reason: "It is our Truncated."
  }
}

const isThrowing = (name: string): (typeof throws)[keyof typeof throws] | undefined => {
  if (name.startsWith("inline-") || name.endsWith("~noevent")) return throws.noEventLine
  if (name === "duplicate-message-start") return throws.duplicate
  return name.endsWith("~truncated") ? throws.truncated : undefined
}

/** Where the AI SDK's provider has another answer, and why ours is right. */
const differs: Readonly<Record<string, { readonly fields: ReadonlyArray<string>; readonly reason: string }>> = {
  "anthropic-compaction": {
    fields: ["text", "inputTokens", "outputTokens"],
    reason: "It takes the summary for answer text, and adds the tokens of the summary to those that Anthropic reports."
  }
}

const request: Anthropic.MessageCreateParamsNonStreaming = {
  model: "m",
  max_tokens: 1,
  messages: [{ role: "user", content: "hi" }]
}

const serve = (bytes: Uint8Array) =>
  Loopback.serve((response) => {
    Loopback.begin(response)
    response.end(bytes)
  })

const decode = (bytes: Uint8Array) => collect(AnthropicMessages.decode()(Stream.make(bytes)))

const callsOf = (events: ReadonlyArray<StreamEvent.StreamEvent>) =>
  events.filter(StreamEvent.is("ToolCall")).map(({ id, input, name }) => ({ id, name, input }))

describeShared("beside", "recordings/index.json", () => {
  const all = recordings("anthropic-messages").map(({ name, wire }) => ({ name, bytes: `recordings/${wire}` }))

  it.live.each(all)("@anthropic-ai/sdk: $name", ({ bytes: path, name }) =>
    Effect.gen(function* () {
      const bytes = readBytes(path)
      const server = yield* serve(bytes)
      const client = new Anthropic({ apiKey: "key", baseURL: server.url, maxRetries: 0 })
      const message = yield* Effect.result(
        Effect.tryPromise({
          try: () => client.messages.stream(request).finalMessage(),
          catch: (error) => (error instanceof Error ? error.message : String(error))
        })
      )
      const expected = isThrowing(name)
      if (message._tag === "Failure") {
        assert.match(message.failure, expected?.message ?? /^$/)
        return
      }
      assert.isUndefined(expected)

      const { events, failure } = yield* decode(bytes)
      const { content, stop_reason, usage } = message.success
      const blocks = <T extends (typeof content)[number]["type"]>(type: T) =>
        content.filter((block): block is Extract<typeof block, { type: T }> => block.type === type)
      assert.strictEqual(
        textOf(events, "Delta"),
        blocks("text")
          .map((block) => block.text)
          .join("")
      )
      const thinking = blocks("thinking")
      assert.strictEqual(textOf(events, "Reasoning"), thinking.map((block) => block.thinking).join(""))
      assert.deepStrictEqual(
        events
          .filter(StreamEvent.is("Metadata"))
          .filter((event) => event.kind === "signature")
          .map((event) => event.metadata["block"]),
        content.filter((block) => block.type === "thinking" || block.type === "redacted_thinking")
      )
      const finish = finishOf(events)
      assert.strictEqual(finish?.providerFinishReason, stop_reason ?? undefined)
      assert.strictEqual(
        finish?.usage?.inputTokens.total,
        usage.input_tokens + (usage.cache_creation_input_tokens ?? 0) + (usage.cache_read_input_tokens ?? 0)
      )
      assert.strictEqual(finish?.usage?.outputTokens.total, usage.output_tokens)
      if (name === "sdk-incomplete-partial-json-response") {
        // It repairs the cut arguments to an object that the model never sent.
        assert.strictEqual(failure?.reason._tag, "ToolCallIncomplete")
        assert.deepStrictEqual(callsOf(events), [])
        return
      }
      assert.isUndefined(failure)
      assert.deepStrictEqual(
        callsOf(events),
        blocks("tool_use").map(({ id, input, name }) => ({ id, name, input }))
      )
      assert.deepStrictEqual(
        events
          .filter(StreamEvent.is("ToolResult"))
          .map(({ id, output }) => ({ tool_use_id: id, content: output as unknown })),
        content.flatMap((block) =>
          "tool_use_id" in block ? [{ tool_use_id: block.tool_use_id, content: block.content }] : []
        )
      )
    })
  )

  it.live.each(all)("@ai-sdk/anthropic: $name", ({ bytes: path, name }) =>
    Effect.gen(function* () {
      const bytes = readBytes(path)
      const server = yield* serve(bytes)
      const answer = yield* Effect.promise(() =>
        answerOf(createAnthropic({ apiKey: "key", baseURL: server.url }).languageModel("m"))
      )
      const { events, failure } = yield* decode(bytes)
      const finish = finishOf(events)
      const ours: typeof answer = {
        text: textOf(events, "Delta"),
        reasoning: textOf(events, "Reasoning"),
        calls: callsOf(events),
        finishReason: finish?.providerFinishReason,
        inputTokens: finish?.usage?.inputTokens.total,
        outputTokens: finish?.usage?.outputTokens.total,
        // It takes a stream that stops for one that ends, and leaves out a call that is not whole.
        hasError: failure?.reason._tag === "ProviderFailure"
      }
      const fields = differs[name]?.fields ?? []
      // Of a stream that breaks off, it has no usage; ours is what had been said.
      const broken = finish?.kind === "usage" ? ["inputTokens", "outputTokens"] : []
      for (const field of Object.keys(ours) as ReadonlyArray<keyof typeof ours>) {
        if (fields.includes(field)) assert.notDeepEqual(answer[field], ours[field], field)
        else if (broken.includes(field)) assert.isUndefined(answer[field], field)
        else assert.deepStrictEqual(answer[field], ours[field], field)
      }
    })
  )

  it.live.each(all.filter(({ name }) => isThrowing(name) !== throws.noEventLine))(
    "fromChunks takes what the client parsed: $name",
    ({ bytes: path }) =>
      Effect.gen(function* () {
        const bytes = readBytes(path)
        const server = yield* serve(bytes)
        const client = new Anthropic({ apiKey: "key", baseURL: server.url, maxRetries: 0 })
        const chunks = yield* Effect.promise(() => client.messages.create({ ...request, stream: true }))
        const ours = yield* decode(bytes)
        const theirs = yield* Stream.fromAsyncIterable(chunks, (cause) =>
          StreamError.make({ _tag: "SourceFailure", cause })
        ).pipe(AnthropicMessages.fromChunks(), collect)
        // The client keeps pings to itself.
        const isShown = (line: string) => line !== 'Progress {"kind":"ping"}'
        assert.deepStrictEqual(theirs.events.map(show), ours.events.map(show).filter(isShown))
        assert.strictEqual(theirs.failure?.message, ours.failure?.message)
      })
  )
})
