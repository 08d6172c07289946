import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Stream } from "effect"
import OpenAI, { APIError, InternalServerError } from "openai"
import * as OpenAiResponsesResponse from "../../src/serve/OpenAiResponsesResponse.ts"
import * as StreamError from "../../src/StreamError.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as StreamHandler from "../../src/StreamHandler.ts"
import * as StreamArbitrary from "../../src/testing/StreamArbitrary.ts"
import * as Backend from "../support/backend.ts"
import * as Loopback from "../support/loopback.ts"

const start = StreamEvent.start(1_700_000_000_000, { id: "resp_1", model: "m-1" })
const end = StreamEvent.end(0, "stop")
const usage = { inputTokens: { total: 10, cacheRead: 4 }, outputTokens: { total: 7, reasoning: 3 } }

const client = (url: string) => new OpenAI({ baseURL: `${url}/v1`, apiKey: "k", maxRetries: 0 })

const backend = <E>(events: Stream.Stream<StreamEvent.StreamEvent, E>, options?: OpenAiResponsesResponse.Options) =>
  Backend.serve(events.pipe(OpenAiResponsesResponse.make(options)))

/** What OpenAI's client makes of an answer: the response that it puts together, or what it throws. */
const read = (url: string, onEvent?: (type: string, abort: () => void) => void) =>
  Effect.promise(async () => {
    const types: Array<string> = []
    const stream = client(url).responses.stream({ model: "m", input: "hi" })
    try {
      for await (const event of stream) {
        types.push(event.type)
        onEvent?.(event.type, () => stream.abort())
      }
      return { types, response: await stream.finalResponse(), error: undefined }
    } catch (error) {
      return { types, response: undefined, error: error as APIError }
    }
  })

const ask = <E>(events: Stream.Stream<StreamEvent.StreamEvent, E>, options?: OpenAiResponsesResponse.Options) =>
  Effect.scoped(Effect.flatMap(backend(events, options), (url) => read(url)))

describe("OpenAI's client", () => {
  it.live("reads reasoning, text, a refusal, tool calls and usage", () =>
    Effect.gen(function* () {
      const { error, response } = yield* ask(
        Stream.make(
          start,
          StreamEvent.reasoning(0, "h"),
          StreamEvent.reasoning(0, "m"),
          StreamEvent.delta(0, "Hel", "0"),
          StreamEvent.progress(0, "ping"),
          StreamEvent.delta(0, ""),
          StreamEvent.delta(0, "lo", "0"),
          StreamEvent.delta(0, "more", "1"),
          StreamEvent.refusal(0, "no"),
          StreamEvent.toolCallDelta(0, "a", "search", '{"q"'),
          StreamEvent.toolCallDelta(0, "b", "other", "["),
          StreamEvent.toolCallDelta(0, "a", "search", ':"x"}'),
          StreamEvent.toolCallDelta(0, "b", "other", "]"),
          StreamEvent.toolCall(0, { id: "a", name: "search", argumentsText: '{"q":"x"}', input: { q: "x" } }),
          StreamEvent.toolCall(0, { id: "b", name: "other", argumentsText: "[]", input: [] }),
          StreamEvent.toolCall(0, { id: "c", name: "whole", argumentsText: "{}", input: {} }),
          StreamEvent.metadata(0, "finish", { usage }),
          end
        )
      )
      assert.isUndefined(error)
      const output = response?.output.map((item) =>
        item.type === "reasoning"
          ? item.summary.map(({ text }) => text)
          : item.type === "message"
            ? item.content.map((part) => (part.type === "output_text" ? part.text : part.refusal))
            : item.type === "function_call"
              ? [item.call_id, item.name, item.arguments, item.status]
              : item
      )
      assert.deepStrictEqual(output, [
        ["hm"],
        ["Hello"],
        ["more"],
        ["no"],
        ["a", "search", '{"q":"x"}', "completed"],
        ["b", "other", "[]", "completed"],
        ["c", "whole", "{}", "completed"]
      ])
      assert.deepInclude(response, { id: "resp_1", model: "m-1", status: "completed", created_at: 1_700_000_000 })
      assert.strictEqual(response?.output_text, "Hellomore")
      assert.deepStrictEqual(response?.usage as unknown, {
        input_tokens: 10,
        input_tokens_details: { cached_tokens: 4 },
        output_tokens: 7,
        output_tokens_details: { reasoning_tokens: 3 },
        total_tokens: 17
      })
    })
  )

  it.live("learns why an answer is not whole", () =>
    Effect.gen(function* () {
      const length = yield* ask(Stream.make(start, StreamEvent.delta(0, "Hel"), StreamEvent.end(0, "length")))
      assert.strictEqual(length.types.at(-1), "response.incomplete")
      const failed = yield* ask(Stream.make(start, StreamEvent.end(0, "error")))
      assert.strictEqual(failed.types.at(-1), "response.failed")
    })
  )

  it.live("throws for a failure, before the first event by its status and behind it by its event", () =>
    Effect.gen(function* () {
      const reason = { _tag: "ProviderFailure", provider: "p", message: "secret", isRetryable: true } as const
      const early = yield* ask(Stream.fail(StreamError.make(reason)))
      assert.instanceOf(early.error, InternalServerError)
      assert.strictEqual(early.error?.code, "ProviderFailure")
      const late = yield* ask(Stream.concat(Stream.make(start, StreamEvent.delta(0, "Hel")), Stream.fail("secret")))
      assert.instanceOf(late.error, APIError)
      assert.include(String(late.error), "Something went wrong")
      assert.notInclude(String(early.error) + String(late.error), "secret")
      assert.isFalse(late.types.includes("response.completed"))
    })
  )

  it.live("stops the model when it aborts", () =>
    Effect.gen(function* () {
      const released = yield* Deferred.make<Exit.Exit<unknown, unknown>>()
      const events = Stream.make(start, StreamEvent.delta(0, "Hel")).pipe(
        Stream.concat(Stream.never),
        Stream.onExit((exit) => Deferred.succeed(released, exit))
      )
      yield* read(yield* backend(events), (type, abort) => {
        if (type === "response.output_text.delta") abort()
      })
      const exit = yield* Effect.timeout(Deferred.await(released), "1 seconds")
      assert.isTrue(Exit.hasInterrupts(exit))
    }).pipe(Effect.scoped)
  )

  it.live("throws for a reset", () =>
    Effect.gen(function* () {
      const bytes = yield* wire(Stream.make(start, StreamEvent.delta(0, "Hel"), end))
      const server = yield* Loopback.serve((response, request) => {
        Loopback.begin(response)
        response.write(bytes.slice(0, bytes.indexOf("event: response.completed")), () => setTimeout(request.reset, 50))
      })
      const { error } = yield* read(server.url)
      assert.isDefined(error)
    }).pipe(Effect.scoped)
  )
})

const wire = (events: Stream.Stream<StreamEvent.StreamEvent>) =>
  Effect.gen(function* () {
    const { body } = yield* events.pipe(OpenAiResponsesResponse.make())
    return yield* Stream.mkString(Stream.decodeText(body._tag === "Stream" ? body.stream : Stream.empty))
  }).pipe(Effect.scoped)

it.effect.prop(
  "what streams, what is done and what the last event repeats are the same",
  { input: StreamArbitrary.events() },
  ({ input }) =>
    Effect.gen(function* () {
      const events = Stream.fromArray([...input.items.filter((event) => event._tag !== "Error"), end])
      const frames = (yield* wire(events)).trimEnd().split("\n\n")
      const streamed: Array<string> = []
      const done: Array<unknown> = []
      let sequence = 0
      let output: unknown
      for (const frame of frames) {
        const data = frame.split("\ndata: ")[1]
        if (data === undefined) continue
        const event = JSON.parse(data) as OpenAI.Responses.ResponseStreamEvent
        assert.strictEqual(event.sequence_number, sequence++)
        if (event.type === "response.output_item.added") streamed[event.output_index] = ""
        else if ("delta" in event && "output_index" in event) streamed[event.output_index]! += String(event.delta)
        else if (event.type === "response.output_item.done") done[event.output_index] = event.item
        else if ("response" in event) output = event.response.output
      }
      assert.deepStrictEqual(output, done)
      const texts = (done as ReadonlyArray<OpenAI.Responses.ResponseOutputItem>).map((item) => {
        if (item.type === "reasoning") return item.summary.map(({ text }) => text).join("")
        if (item.type === "function_call") return item.arguments
        return item.type === "message"
          ? item.content.map((part) => (part.type === "refusal" ? part.refusal : part.text)).join("")
          : ""
      })
      assert.deepStrictEqual(streamed, texts)
      const { reasoning, refusal, text, toolCalls } = yield* events.pipe(StreamHandler.run())
      const all = [text, reasoning, refusal, ...toolCalls.map((call) => call.argumentsText)].join("").length
      assert.strictEqual(texts.join("").length, all)
    })
)
