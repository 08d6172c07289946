import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Logger, Stream } from "effect"
import OpenAI, { APIError, RateLimitError } from "openai"
import * as OpenAiChatResponse from "../../src/serve/OpenAiChatResponse.ts"
import * as StreamError from "../../src/StreamError.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as StreamHandler from "../../src/StreamHandler.ts"
import type * as StreamResult from "../../src/StreamResult.ts"
import * as StreamArbitrary from "../../src/testing/StreamArbitrary.ts"
import * as OpenAiChat from "../../src/wire/OpenAiChat.ts"
import * as Backend from "../support/backend.ts"
import * as Loopback from "../support/loopback.ts"

const start = StreamEvent.start(1_700_000_000_000, { id: "chatcmpl-1", model: "m-1" })
const end = StreamEvent.end(0, "stop")
const usage = {
  inputTokens: { total: 10, cacheRead: 4, uncached: 6 },
  outputTokens: { total: 7, reasoning: 3, text: 4 }
}
const call = { id: "call_a", name: "search", argumentsText: '{"q":"x"}', input: { q: "x" } }

const client = (url: string) => new OpenAI({ baseURL: `${url}/v1`, apiKey: "k", maxRetries: 0 })
const request: OpenAI.ChatCompletionCreateParamsStreaming = {
  model: "m",
  stream: true,
  messages: [{ role: "user", content: "hi" }]
}

const backend = <E>(events: Stream.Stream<StreamEvent.StreamEvent, E>, options?: OpenAiChatResponse.Options) =>
  Backend.serve(events.pipe(OpenAiChatResponse.make(options)))

/** The chunks that OpenAI's client gives, and what it throws. */
const chunksOf = (url: string, signal?: AbortSignal, onChunk?: () => void) =>
  Effect.promise(async () => {
    const chunks: Array<OpenAI.ChatCompletionChunk> = []
    try {
      for await (const chunk of await client(url).chat.completions.create(request, { signal: signal ?? null })) {
        chunks.push(chunk)
        if (chunk.choices[0]?.delta.content) onChunk?.()
      }
    } catch (error) {
      return { chunks, error: error as APIError }
    }
    return { chunks, error: undefined }
  })

describe("OpenAI's client", () => {
  it.live("reads text, reasoning, a refusal, usage and the finish reason", () =>
    Effect.gen(function* () {
      const events = Stream.make(
        start,
        StreamEvent.reasoning(0, "hm"),
        StreamEvent.delta(0, "Hel"),
        StreamEvent.delta(0, ""),
        StreamEvent.progress(0, "ping"),
        StreamEvent.delta(0, "lo"),
        StreamEvent.refusal(0, "no"),
        StreamEvent.metadata(0, "finish", { usage, finishReason: "length" }),
        StreamEvent.end(0, "length")
      )
      const { chunks, error } = yield* chunksOf(yield* backend(events, { includeUsage: true }))
      assert.isUndefined(error)
      assert.deepStrictEqual(
        chunks.flatMap((chunk) => chunk.choices.map(({ delta }) => delta as unknown)),
        [
          { role: "assistant", content: "" },
          { reasoning_content: "hm" },
          { content: "Hel" },
          { content: "lo" },
          { refusal: "no" },
          {}
        ]
      )
      for (const chunk of chunks) {
        assert.deepInclude(chunk, {
          id: "chatcmpl-1",
          model: "m-1",
          created: 1_700_000_000,
          object: "chat.completion.chunk"
        })
      }
      assert.deepStrictEqual(
        chunks.map((chunk) => chunk.choices[0]?.finish_reason),
        [null, null, null, null, null, "length", undefined]
      )
      assert.deepStrictEqual(chunks.at(-1)?.usage as unknown, {
        prompt_tokens: 10,
        completion_tokens: 7,
        total_tokens: 17,
        prompt_tokens_details: { cached_tokens: 4 },
        completion_tokens_details: { reasoning_tokens: 3 }
      })
      const without = yield* chunksOf(yield* backend(events, { model: "mine" }))
      assert.isFalse(without.chunks.some((chunk) => "usage" in chunk))
      assert.strictEqual(without.chunks[0]?.model, "mine")
    }).pipe(Effect.scoped)
  )

  it.live("puts tool calls together", () =>
    Effect.gen(function* () {
      const url = yield* backend(
        Stream.make(
          start,
          StreamEvent.toolCallDelta(0, "call_a", "search", '{"q"'),
          StreamEvent.toolCallDelta(0, "call_b", "other", "{"),
          StreamEvent.toolCallDelta(0, "call_a", "search", ':"x"}'),
          StreamEvent.toolCallDelta(0, "call_b", "other", "}"),
          StreamEvent.toolCall(0, call),
          StreamEvent.toolCall(0, { id: "call_b", name: "other", argumentsText: "{}", input: {} }),
          StreamEvent.toolCall(0, { id: "call_c", name: "whole", argumentsText: "[1]", input: [1] }),
          StreamEvent.end(0, "unknown")
        )
      )
      const { choices } = yield* Effect.promise(() =>
        client(url).chat.completions.stream(request).finalChatCompletion()
      )
      assert.strictEqual(choices[0]?.finish_reason, "tool_calls")
      assert.deepStrictEqual(
        choices[0]?.message.tool_calls?.map((made) => [
          made.id,
          made.type === "function" && made.function.name,
          made.type === "function" && made.function.arguments
        ]),
        [
          ["call_a", "search", '{"q":"x"}'],
          ["call_b", "other", "{}"],
          ["call_c", "whole", "[1]"]
        ]
      )
    }).pipe(Effect.scoped)
  )

  it.live("throws for a failure, before the first event by its status and behind it by its chunk", () =>
    Effect.gen(function* () {
      const failure = (isRetryable: boolean, status?: number) =>
        StreamError.make({ _tag: "ProviderFailure", provider: "p", message: "secret", isRetryable, status })
      const early = yield* chunksOf(yield* backend(Stream.fail(failure(true, 429))))
      assert.instanceOf(early.error, RateLimitError)
      assert.strictEqual(early.error?.code, "ProviderFailure")
      assert.notInclude(String(early.error), "secret")

      const late = yield* chunksOf(
        yield* backend(Stream.concat(Stream.make(start, StreamEvent.delta(0, "Hel")), Stream.fail("secret")))
      )
      assert.instanceOf(late.error, APIError)
      assert.strictEqual(late.error?.code, "InternalError")
      assert.include(late.error?.message, "Something went wrong")
      assert.notInclude(JSON.stringify(late.error), "secret")
      assert.strictEqual(late.chunks.at(-1)?.choices[0]?.delta.content, "Hel")
    }).pipe(Effect.scoped)
  )

  it.live("tries again when it is told to, and not when it is not", () =>
    Effect.gen(function* () {
      for (const [isRetryable, expected] of [
        [true, 2],
        [false, 1]
      ] as const) {
        let count = 0
        const failure = StreamError.make({ _tag: "ProviderFailure", provider: "p", message: "m", isRetryable })
        const events = Stream.suspend(() => (++count === 1 ? Stream.fail(failure) : Stream.make(start, end)))
        const url = yield* backend(events)
        const asked = new OpenAI({ baseURL: url, apiKey: "k", maxRetries: 1 }).chat.completions.create(request)
        yield* Effect.exit(Effect.tryPromise(async () => (await asked).toReadableStream().cancel()))
        assert.strictEqual(count, expected)
      }
    }).pipe(Effect.scoped)
  )

  it.live("stops the model when it aborts", () =>
    Effect.gen(function* () {
      const released = yield* Deferred.make<Exit.Exit<unknown, unknown>>()
      const events = Stream.make(start, StreamEvent.delta(0, "Hel")).pipe(
        Stream.concat(Stream.never),
        Stream.onExit((exit) => Deferred.succeed(released, exit))
      )
      const controller = new AbortController()
      yield* chunksOf(yield* backend(events), controller.signal, () => controller.abort())
      const exit = yield* Effect.timeout(Deferred.await(released), "1 seconds")
      assert.isTrue(Exit.hasInterrupts(exit))
    }).pipe(Effect.scoped)
  )

  it.live("throws for a reset", () =>
    Effect.gen(function* () {
      const bytes = yield* wire(Stream.make(start, StreamEvent.delta(0, "Hel"), end), {})
      const server = yield* Loopback.serve((response, request) => {
        Loopback.begin(response)
        response.write(bytes.slice(0, bytes.indexOf("Hel") + 100), () => setTimeout(request.reset, 50))
      })
      const { chunks, error } = yield* chunksOf(server.url)
      assert.isDefined(error)
      assert.isTrue(chunks.every((chunk) => chunk.choices[0]?.finish_reason === null))
    }).pipe(Effect.scoped)
  )
})

const wire = <E>(events: Stream.Stream<StreamEvent.StreamEvent, E>, options: OpenAiChatResponse.Options) =>
  Effect.gen(function* () {
    const { body } = yield* events.pipe(OpenAiChatResponse.make(options))
    return yield* Stream.mkString(Stream.decodeText(body._tag === "Stream" ? body.stream : Stream.empty))
  }).pipe(Effect.provide(Logger.layer([])), Effect.scoped)

describe("decode . encode", () => {
  const carried = ({ finishReason, reasoning, refusal, text, toolCalls, usage }: StreamResult.StreamResult) => {
    const { inputTokens, outputTokens } = usage ?? {}
    const word = finishReason === "unknown" ? (toolCalls.length > 0 ? "tool-calls" : "stop") : finishReason
    const total = [inputTokens?.total, inputTokens?.cacheRead, outputTokens?.total, outputTokens?.reasoning]
    return { finishReason: word, reasoning, refusal, text, toolCalls, total }
  }

  it.effect.prop("is the identity on what the protocol can carry", { input: StreamArbitrary.events() }, ({ input }) =>
    Effect.gen(function* () {
      const events = Stream.fromArray([...input.items.filter((event) => event._tag !== "Error"), end])
      const bytes = yield* wire(events, { includeUsage: true })
      const before = yield* events.pipe(StreamHandler.run())
      const after = yield* Stream.make(bytes).pipe(OpenAiChat.decode(), StreamHandler.run())
      assert.deepStrictEqual(carried(after), carried(before))
    })
  )

  it.effect("is the identity on id, model, and the details of usage", () =>
    Effect.gen(function* () {
      const response = { id: "chatcmpl-2", model: "m-2" }
      const events = Stream.make(
        StreamEvent.start(0),
        StreamEvent.metadata(0, "response", { metadata: response }),
        StreamEvent.delta(0, "a"),
        StreamEvent.metadata(0, "finish", { usage, finishReason: "content-filter" }),
        StreamEvent.end(0, "content-filter")
      )
      const bytes = yield* wire(events, { includeUsage: true })
      const result = yield* Stream.make(bytes).pipe(OpenAiChat.decode(), StreamHandler.run())
      assert.deepInclude(result.metadata[0]?.metadata, response)
      assert.deepStrictEqual(JSON.parse(JSON.stringify(result.usage)), usage)
      assert.strictEqual(result.finishReason, "content-filter")
    })
  )

  it.effect("a cut is none: what is read back fails", () =>
    Effect.gen(function* () {
      const bytes = yield* wire(Stream.make(start, StreamEvent.delta(0, "a")), {})
      assert.notInclude(bytes, "[DONE]")
      const exit = yield* Effect.exit(Stream.make(bytes).pipe(OpenAiChat.decode(), StreamHandler.run()))
      assert.isTrue(Exit.isFailure(exit))
    })
  )
})
