import Anthropic, { APIError, RateLimitError } from "@anthropic-ai/sdk"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Stream } from "effect"
import * as AnthropicMessagesResponse from "../../src/serve/AnthropicMessagesResponse.ts"
import * as StreamError from "../../src/StreamError.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as StreamHandler from "../../src/StreamHandler.ts"
import * as StreamArbitrary from "../../src/testing/StreamArbitrary.ts"
import * as Backend from "../support/backend.ts"
import * as Loopback from "../support/loopback.ts"

const start = StreamEvent.start(0, { id: "msg_1", model: "m-1" })
const end = StreamEvent.end(0, "stop")
const usage = {
  inputTokens: { total: 10, cacheRead: 4, cacheWrite: 1, uncached: 5 },
  outputTokens: { total: 7, reasoning: 3 }
}

const client = (url: string) => new Anthropic({ baseURL: url, apiKey: "k", maxRetries: 0 })
const request: Anthropic.MessageStreamParams = {
  model: "m",
  max_tokens: 9,
  messages: [{ role: "user", content: "hi" }]
}

const backend = <E>(events: Stream.Stream<StreamEvent.StreamEvent, E>, options?: AnthropicMessagesResponse.Options) =>
  Backend.serve(events.pipe(AnthropicMessagesResponse.make(options)))

/** What Anthropic's client makes of an answer: its events, its message or what it throws, and the blocks that it says are whole. */
const read = (url: string, onEvent?: (event: Anthropic.MessageStreamEvent, abort: () => void) => void) =>
  Effect.promise(async () => {
    const events: Array<Anthropic.MessageStreamEvent> = []
    const blocks: Array<Anthropic.ContentBlock> = []
    const stream = client(url).messages.stream(request)
    stream.on("streamEvent", (event) => {
      events.push(event)
      onEvent?.(event, () => stream.abort())
    })
    stream.on("contentBlock", (block) => blocks.push(structuredClone(block)))
    try {
      const message = await stream.finalMessage()
      return { events, blocks, message, error: undefined }
    } catch (error) {
      return { events, blocks, message: undefined, error: error as APIError }
    }
  })

const ask = <E>(events: Stream.Stream<StreamEvent.StreamEvent, E>, options?: AnthropicMessagesResponse.Options) =>
  Effect.scoped(Effect.flatMap(backend(events, options), (url) => read(url)))

const toolCall = (id: string, name: string, argumentsText: string) =>
  StreamEvent.toolCall(0, { id, name, argumentsText, input: JSON.parse(argumentsText) })

describe("Anthropic's client", () => {
  it.live("reads thinking, text, usage and the reason to stop", () =>
    Effect.gen(function* () {
      const { error, message } = yield* ask(
        Stream.make(
          start,
          StreamEvent.reasoning(0, "h", "0"),
          StreamEvent.reasoning(0, "m", "0"),
          StreamEvent.metadata(0, "signature", { metadata: { part: "0", signature: "c2ln" } }),
          StreamEvent.delta(0, "Hel", "1"),
          StreamEvent.progress(0, "ping"),
          StreamEvent.delta(0, ""),
          StreamEvent.delta(0, "lo", "1"),
          StreamEvent.delta(0, "more", "2"),
          StreamEvent.refusal(0, "no"),
          StreamEvent.metadata(0, "finish", { usage, finishReason: "length" }),
          StreamEvent.end(0, "length")
        )
      )
      assert.isUndefined(error)
      assert.deepStrictEqual(message?.content as unknown, [
        { type: "thinking", thinking: "hm", signature: "c2ln" },
        { type: "text", text: "Hello" },
        { type: "text", text: "more" },
        { type: "text", text: "no" }
      ])
      assert.deepInclude(message, { id: "msg_1", model: "m-1", role: "assistant", stop_reason: "max_tokens" })
      assert.deepStrictEqual(message?.usage as unknown, {
        input_tokens: 5,
        cache_read_input_tokens: 4,
        cache_creation_input_tokens: 1,
        output_tokens: 7
      })
    })
  )

  it.live("names the message by the provider's words, or the options'", () =>
    Effect.gen(function* () {
      const response = StreamEvent.metadata(0, "response", { metadata: { id: "resp_1", model: "m-2" } })
      const events = Stream.make(StreamEvent.start(0), response, end)
      const provider = yield* ask(events)
      assert.deepInclude(provider.message, { id: "resp_1", model: "m-2", stop_reason: "end_turn" })
      const own = yield* ask(events, { model: "mine" })
      assert.strictEqual(own.message?.model, "mine")
    })
  )

  it.live("puts tool calls together, block by block", () =>
    Effect.gen(function* () {
      const { blocks, error, events, message } = yield* ask(
        Stream.make(
          start,
          StreamEvent.delta(0, "Let me see"),
          StreamEvent.toolCallDelta(0, "a", "search", '{"q"'),
          StreamEvent.toolCallDelta(0, "b", "other", "[1,"),
          StreamEvent.toolCallDelta(0, "a", "search", ':"x"}'),
          StreamEvent.toolCallDelta(0, "b", "other", "2]"),
          toolCall("a", "search", '{"q":"x"}'),
          toolCall("b", "other", '{"n":2}'),
          StreamEvent.toolCallDelta(0, "c", "third", "{}"),
          toolCall("c", "third", "{}"),
          StreamEvent.end(0, "tool-calls")
        )
      )
      assert.isUndefined(error)
      const calls = [
        { type: "tool_use", id: "a", name: "search", input: { q: "x" } },
        { type: "tool_use", id: "b", name: "other", input: { n: 2 } },
        { type: "tool_use", id: "c", name: "third", input: {} }
      ]
      assert.deepStrictEqual(JSON.parse(JSON.stringify(message?.content)), [
        { type: "text", text: "Let me see" },
        ...calls
      ])
      assert.deepStrictEqual(JSON.parse(JSON.stringify(blocks.slice(1))), calls)
      assert.strictEqual(message?.stop_reason, "tool_use")
      // The first one came as it streamed.
      const pieces = events.map((event) =>
        event.type === "content_block_delta" && event.delta.type === "input_json_delta" ? event.delta.partial_json : ""
      )
      assert.deepStrictEqual(
        pieces.filter((piece) => piece !== ""),
        ['{"q"', ':"x"}', '{"n":2}', "{}"]
      )
    })
  )

  it.live("keeps text apart from the call in whose middle it comes", () =>
    Effect.gen(function* () {
      const { error, message } = yield* ask(
        Stream.make(
          start,
          StreamEvent.toolCallDelta(0, "a", "search", '{"q"'),
          StreamEvent.delta(0, "By the way"),
          StreamEvent.toolCallDelta(0, "a", "search", ':"x"}'),
          toolCall("a", "search", '{"q":"x"}'),
          StreamEvent.end(0, "unknown")
        )
      )
      assert.isUndefined(error)
      assert.deepStrictEqual(JSON.parse(JSON.stringify(message?.content)), [
        { type: "tool_use", id: "a", name: "search", input: { q: "x" } },
        { type: "text", text: "By the way" }
      ])
      assert.strictEqual(message?.stop_reason, "tool_use")
    })
  )

  it.live("throws for a failure, before the first event by its status and behind it by its event", () =>
    Effect.gen(function* () {
      const reason = {
        _tag: "ProviderFailure",
        provider: "p",
        message: "secret",
        isRetryable: true,
        status: 429
      } as const
      const early = yield* ask(Stream.fail(StreamError.make(reason)))
      assert.instanceOf(early.error, RateLimitError)
      assert.include(String(early.error), "The model could not answer")
      assert.notInclude(String(early.error), "secret")

      const late = yield* ask(Stream.concat(Stream.make(start, StreamEvent.delta(0, "Hel")), Stream.fail("secret")))
      assert.instanceOf(late.error, APIError)
      assert.include(String(late.error), "Something went wrong")
      assert.notInclude(String(late.error), "secret")
      assert.deepInclude(late.events.at(-1), { type: "content_block_delta" })

      const cut = yield* ask(Stream.make(start, StreamEvent.delta(0, "Hel")))
      assert.include(String(cut.error), "The answer broke off")
    })
  )

  it.live("stops the model when it aborts, also while only pings flow", () =>
    Effect.gen(function* () {
      const released = yield* Deferred.make<Exit.Exit<unknown, unknown>>()
      const events = Stream.make(start, StreamEvent.delta(0, "Hel")).pipe(
        Stream.concat(Stream.never),
        Stream.onExit((exit) => Deferred.succeed(released, exit))
      )
      const url = yield* backend(events, { heartbeat: "5 millis" })
      yield* read(url, (event, abort) => {
        if (event.type === "content_block_delta") setTimeout(abort, 50)
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
        response.write(bytes.slice(0, bytes.indexOf("message_delta")), () => setTimeout(request.reset, 50))
      })
      const { error } = yield* read(server.url)
      assert.isDefined(error)
    }).pipe(Effect.scoped)
  )
})

const wire = (events: Stream.Stream<StreamEvent.StreamEvent>) =>
  Effect.gen(function* () {
    const { body } = yield* events.pipe(AnthropicMessagesResponse.make())
    return yield* Stream.mkString(Stream.decodeText(body._tag === "Stream" ? body.stream : Stream.empty))
  }).pipe(Effect.scoped)

it.effect.prop(
  "every block is begun, filled and ended once, and nothing is lost",
  { input: StreamArbitrary.events() },
  ({ input }) =>
    Effect.gen(function* () {
      const events = Stream.fromArray([...input.items.filter((event) => event._tag !== "Error"), end])
      const frames = (yield* wire(events)).trimEnd().split("\n\n")
      const blocks: Array<{ type: string; id?: string; content: string; isOver: boolean }> = []
      const types: Array<string> = []
      for (const frame of frames) {
        const [name, data] = frame.split("\n")
        const event = JSON.parse(data!.slice(6)) as Anthropic.MessageStreamEvent | { readonly type: "ping" }
        assert.strictEqual(name, `event: ${event.type}`)
        if (event.type === "content_block_start") {
          assert.strictEqual(event.index, blocks.length)
          const { type } = event.content_block
          blocks.push({ type, content: "", isOver: false, ...(type === "tool_use" && { id: event.content_block.id }) })
        } else if (event.type === "content_block_delta") {
          const block = blocks[event.index]!
          assert.isFalse(block.isOver)
          const { delta } = event
          if (delta.type === "text_delta") block.content += delta.text
          if (delta.type === "thinking_delta") block.content += delta.thinking
          if (delta.type === "input_json_delta") block.content += delta.partial_json
        } else if (event.type === "content_block_stop") {
          assert.isFalse(blocks[event.index]!.isOver)
          blocks[event.index]!.isOver = true
        } else if (event.type !== "ping") {
          types.push(event.type)
        }
      }
      assert.deepStrictEqual(types, ["message_start", "message_delta", "message_stop"])
      assert.isTrue(blocks.every((block) => block.isOver))
      const result = yield* events.pipe(StreamHandler.run())
      const contentOf = (type: string) => blocks.flatMap((block) => (block.type === type ? [block.content] : []))
      const shown = input.items.map((event) => (event._tag === "Delta" || event._tag === "Refusal" ? event.delta : ""))
      assert.strictEqual(contentOf("text").join(""), shown.join(""))
      assert.strictEqual(contentOf("thinking").join(""), result.reasoning)
      assert.deepStrictEqual(
        contentOf("tool_use").toSorted(),
        result.toolCalls.map((call) => call.argumentsText).toSorted()
      )
    })
)
