import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema, Stream } from "effect"
import { AiError, Chat, LanguageModel, type Response, Tool, Toolkit } from "effect/ai"
import { FetchHttpClient } from "effect/http"
import * as StreamConfig from "../../src/StreamConfig.ts"
import * as StreamError from "../../src/StreamError.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as StreamHandler from "../../src/StreamHandler.ts"
import * as StreamModel from "../../src/StreamModel.ts"
import * as StreamTest from "../../src/testing/StreamTest.ts"
import * as EffectAi from "../../src/wire/EffectAi.ts"
import * as OpenAiChat from "../../src/wire/OpenAiChat.ts"
import * as Loopback from "../support/loopback.ts"
import { collect, reasonOf, show } from "../support/run.ts"

const usage = { inputTokens: { total: 12 }, outputTokens: { total: 34 } }
const call = { id: "call_0", name: "add", argumentsText: '{"a":1,"b":2}', input: { a: 1, b: 2 } }

const Tools = Toolkit.make(
  Tool.make("add", {
    description: "Adds.",
    parameters: Schema.Struct({ a: Schema.Number, b: Schema.Number }),
    success: Schema.Number
  })
)
const ToolsLive = Tools.toLayer({ add: ({ a, b }) => Effect.succeed(a + b) })

describe("layerLanguageModel", () => {
  /** A language model that answers with parts, and remembers what it was asked. */
  const languageModel = (
    parts: Stream.Stream<Response.StreamPartEncoded, AiError.AiError>,
    asked: Array<LanguageModel.ProviderOptions> = []
  ) =>
    EffectAi.layerLanguageModel.pipe(
      Layer.provide(
        Layer.effect(
          LanguageModel.LanguageModel,
          LanguageModel.make({
            generateText: () => Effect.succeed([]),
            streamText: (options) => {
              asked.push(options)
              return parts
            }
          })
        )
      )
    )

  const answer: Stream.Stream<Response.StreamPartEncoded> = Stream.make(
    { type: "text-start", id: "0" },
    { type: "text-delta", id: "0", delta: "Hel" },
    { type: "text-delta", id: "0", delta: "lo" },
    { type: "text-end", id: "0" },
    { type: "finish", reason: "stop", usage }
  )

  it.effect("answers with the model's events", () =>
    Effect.gen(function* () {
      const result = yield* StreamModel.stream({ prompt: "hi" }).pipe(
        StreamHandler.run(),
        Effect.provide(languageModel(answer))
      )
      assert.deepInclude(result, { text: "Hello", finishReason: "stop", usage })
    })
  )

  it.effect("asks for the prompt, or the messages, with the options of streamText", () =>
    Effect.gen(function* () {
      const asked: Array<LanguageModel.ProviderOptions> = []
      const model = languageModel(answer, asked)
      yield* StreamModel.stream({ prompt: "hi" }).pipe(Stream.runDrain, Effect.provide(model))
      const messages = [
        { role: "system", content: "be brief" },
        { role: "user", content: "hi" }
      ]
      const toolkit = yield* Effect.provide(Tools, ToolsLive)
      const options = { toolkit, toolChoice: "required" }
      yield* StreamModel.stream({ messages, options }).pipe(Stream.runDrain, Effect.provide(model))
      const roles = asked.map(({ prompt }) => prompt.content.map((message) => message.role))
      assert.deepStrictEqual(roles, [["user"], ["system", "user"]])
      assert.deepStrictEqual(
        asked.map(({ tools, toolChoice }) => [tools.map((tool) => tool.name), toolChoice]),
        [
          [[], "none"],
          [["add"], "required"]
        ]
      )
    })
  )

  it.effect("tools that Effect runs are calls and their results", () =>
    Effect.gen(function* () {
      const toolkit = yield* Effect.provide(Tools, ToolsLive)
      const parts: Stream.Stream<Response.StreamPartEncoded> = Stream.make(
        { type: "tool-params-start", id: "call_0", name: "add" },
        { type: "tool-params-delta", id: "call_0", delta: '{"a":1,' },
        { type: "tool-params-delta", id: "call_0", delta: '"b":2}' },
        { type: "tool-params-end", id: "call_0" },
        { type: "tool-call", id: "call_0", name: "add", params: { a: 1, b: 2 } },
        { type: "finish", reason: "tool-calls", usage }
      )
      const result = yield* StreamModel.stream({ prompt: "1 + 2?", options: { toolkit } }).pipe(
        StreamEvent.validate,
        StreamHandler.run(),
        Effect.provide(languageModel(parts))
      )
      assert.deepStrictEqual(result.toolCalls, [call])
      assert.deepStrictEqual(result.toolResults, [{ id: "call_0", name: "add", output: 3, isError: false }])
      const prompt = EffectAi.toPrompt(result)
      assert.deepStrictEqual(
        prompt.content.map((message) => message.role),
        ["assistant", "tool"]
      )
    })
  )

  it.effect("a failure of the model is a StreamError, behind what had arrived", () =>
    Effect.gen(function* () {
      const error = AiError.make({ module: "M", method: "m", reason: new AiError.RateLimitError({}) })
      const broken = Stream.concat(Stream.take(answer, 2), Stream.fail(error))
      const { exit, result } = yield* StreamModel.stream({ prompt: "hi" }).pipe(
        StreamHandler.runExit(),
        Effect.provide(languageModel(broken))
      )
      assert.strictEqual(result.text, "Hel")
      const failure = yield* Effect.flip(exit)
      assert.deepInclude(reasonOf(failure, "ProviderFailure"), { code: "RateLimitError", isRetryable: true })
      assert.strictEqual(failure.partial?.text, "Hel")
    })
  )

  it.effect("messages that are no prompt are a SourceFailure", () =>
    Effect.gen(function* () {
      const messages = [{ role: "nobody", content: 5 }]
      const { events, failure } = yield* collect(StreamModel.stream({ messages })).pipe(
        Effect.provide(languageModel(answer))
      )
      assert.deepStrictEqual(events, [])
      assert.strictEqual(failure?.reason._tag, "SourceFailure")
    })
  )
})

describe("layerStreamModel", () => {
  type Value = string | StreamEvent.StreamEvent
  type Step = Value | StreamTest.Step<Value, StreamError.StreamError>

  const languageModel = (steps: ReadonlyArray<Step>, options?: Parameters<typeof EffectAi.layerStreamModel>[0]) =>
    EffectAi.layerStreamModel(options).pipe(Layer.provideMerge(StreamTest.layerModel(StreamTest.answer(steps))))

  it.effect("streamText streams the parts of the events", () =>
    Effect.gen(function* () {
      const parts = yield* LanguageModel.streamText({ prompt: "hi" }).pipe(
        Stream.runCollect,
        Effect.provide(languageModel([StreamEvent.reasoning(0, "hm"), "Hel", StreamTest.delay(0), "lo"]))
      )
      assert.deepStrictEqual(
        parts.map((part) => ("delta" in part ? part.delta : part.type)),
        ["reasoning-start", "hm", "reasoning-end", "text-start", "Hel", "lo", "text-end", "finish"]
      )
    })
  )

  it.effect("generateText collects them", () =>
    Effect.gen(function* () {
      const response = yield* LanguageModel.generateText({ prompt: "hi" }).pipe(
        Effect.provide(
          languageModel([
            StreamEvent.metadata(0, "response", { metadata: { id: "resp_0", model: "m" } }),
            StreamEvent.reasoning(0, "h"),
            StreamEvent.reasoning(0, "m"),
            StreamEvent.metadata(0, "signature", { metadata: { signature: "s" } }),
            "Hel",
            "lo",
            StreamEvent.metadata(0, "file", { metadata: { mediaType: "image/png", data: "AP8H" } }),
            StreamEvent.metadata(0, "finish", { usage, finishReason: "stop", providerFinishReason: "end_turn" })
          ])
        )
      )
      assert.deepInclude(
        { text: response.text, reasoning: response.reasoningText, reason: response.finishReason },
        { text: "Hello", reasoning: "hm", reason: "stop" }
      )
      assert.strictEqual(response.usage.outputTokens.total, 34)
      assert.deepStrictEqual(
        response.content.map((part) => part.type),
        ["response-metadata", "reasoning", "text", "file", "finish"]
      )
      const own = response.reasoning[0]?.metadata["effect-llm-streaming"]
      assert.deepStrictEqual(own, { event: { _tag: "Metadata", kind: "signature", metadata: { signature: "s" } } })
    })
  )

  it.effect("generateObject decodes the text, and asks for JSON", () =>
    Effect.gen(function* () {
      const requests = yield* Effect.gen(function* () {
        const response = yield* LanguageModel.generateObject({
          prompt: "hi",
          objectName: "answer",
          schema: Schema.Struct({ n: Schema.Number })
        })
        assert.deepStrictEqual(response.value, { n: 7 })
        return yield* StreamTest.requests
      }).pipe(Effect.provide(languageModel(['{"n":', "7}"])))
      const format = requests[0]?.options?.["response_format"] as { readonly json_schema: { readonly name: string } }
      assert.strictEqual(format.json_schema.name, "answer")
    })
  )

  it.effect("a toolkit's tools are offered, and run when they are called", () =>
    Effect.gen(function* () {
      const steps = [
        StreamEvent.toolCallDelta(0, "call_0", "add", call.argumentsText),
        StreamEvent.toolCall(0, call),
        StreamEvent.metadata(0, "finish", { finishReason: "tool-calls", providerFinishReason: "tool_calls" })
      ]
      yield* Effect.gen(function* () {
        const parts = yield* Stream.runCollect(LanguageModel.streamText({ prompt: "1 + 2?", toolkit: Tools }))
        assert.deepStrictEqual(
          parts.map((part) => (part.type === "tool-result" ? part.result : part.type)),
          ["tool-params-start", "tool-params-delta", "tool-params-end", "tool-call", 3, "finish"]
        )
        const whole = yield* LanguageModel.generateText({ prompt: "1 + 2?", toolkit: Tools })
        assert.deepStrictEqual(
          whole.toolResults.map(({ result }) => result),
          [3]
        )
        const [request] = yield* StreamTest.requests
        assert.deepInclude(request?.options, { tool_choice: "auto" })
      }).pipe(Effect.provide(languageModel(steps)), Effect.provide(ToolsLive))
    })
  )

  it.effect("a chat goes on with what was answered", () =>
    Effect.gen(function* () {
      yield* Effect.gen(function* () {
        const chat = yield* Chat.empty
        yield* chat.generateText({ prompt: "hi" })
        yield* Stream.runDrain(chat.streamText({ prompt: "again" }))
        yield* chat.generateText({ prompt: "and again" })
        const requests = yield* StreamTest.requests
        assert.deepStrictEqual(
          requests.at(-1)?.messages,
          ["hi", "Hello", "again", "Hello", "and again"].map((content, i) => ({
            role: i % 2 === 0 ? "user" : "assistant",
            content
          }))
        )
      }).pipe(Effect.provide(languageModel(["Hello"])))
    })
  )

  it.effect("hosted tools that no toolkit has do not fail the stream", () =>
    Effect.gen(function* () {
      const steps = [
        StreamEvent.metadata(0, "hosted-tool-call", { metadata: { id: "a", name: "web", input: {} } }),
        StreamEvent.toolResult(0, { id: "a", name: "web", output: [1], isError: false }),
        StreamEvent.delta(0, "Hello")
      ]
      yield* Effect.gen(function* () {
        const events = yield* Stream.runCollect(EffectAi.fromStreamParts(LanguageModel.streamText({ prompt: "hi" })))
        assert.deepStrictEqual(events.slice(1, 3).map(show), steps.slice(0, 2).map(show))
        const response = yield* LanguageModel.generateText({ prompt: "hi", toolkit: Tools })
        assert.strictEqual(response.text, "Hello")
      }).pipe(Effect.provide(languageModel(steps)), Effect.provide(ToolsLive))
    })
  )

  it.effect("failures are AiErrors", () =>
    Effect.gen(function* () {
      const reset = StreamError.make({ _tag: "Truncated", expected: "its end" })
      const model = languageModel(["Hel", StreamTest.fail(reset)])
      const { events, failure } = yield* collect(LanguageModel.streamText({ prompt: "hi" })).pipe(Effect.provide(model))
      assert.strictEqual(events.length, 2)
      assert.isTrue(AiError.isAiError(failure) && failure.isRetryable)
      const generated = yield* LanguageModel.generateText({ prompt: "hi" }).pipe(Effect.flip, Effect.provide(model))
      assert.deepStrictEqual(EffectAi.fromAiError(generated).reason, reset.reason)
      const shown = yield* LanguageModel.generateText({ prompt: "hi" }).pipe(
        Effect.flip,
        Effect.provide(languageModel([StreamEvent.error(0, reset)]))
      )
      assert.deepStrictEqual(EffectAi.fromAiError(shown).reason, reset.reason)
    })
  )

  it.effect("generateText keeps no more than StreamConfig allows", () =>
    Effect.gen(function* () {
      const error = yield* LanguageModel.generateText({ prompt: "hi" }).pipe(
        Effect.flip,
        Effect.provide(languageModel(["12345", "67890"])),
        Effect.provide(StreamConfig.layer({ maxBufferSize: 9 }))
      )
      assert.deepStrictEqual(EffectAi.fromAiError(error).reason, { _tag: "BufferOverflow", limit: 9, size: 10 })
    })
  )

  it.effect("toRequest is yours to give; what it throws is a failure", () =>
    Effect.gen(function* () {
      const model = languageModel(["Hello"], { toRequest: () => ({ prompt: "mine", model: "m" }) })
      const requests = yield* Effect.andThen(LanguageModel.generateText({ prompt: "hi" }), StreamTest.requests).pipe(
        Effect.provide(model)
      )
      assert.deepStrictEqual(requests, [{ prompt: "mine", model: "m" }])
      const throwing = languageModel(["Hello"], {
        toRequest: () => {
          throw new Error("no such form")
        }
      })
      const error = yield* LanguageModel.generateText({ prompt: "hi" }).pipe(Effect.flip, Effect.provide(throwing))
      assert.strictEqual(error.reason._tag, "InvalidUserInputError")
      assert.include(error.message, "no such form")
    })
  )

  it.effect("a StreamModel through a LanguageModel is the same StreamModel", () =>
    Effect.gen(function* () {
      const steps = [
        StreamEvent.metadata(0, "response", { metadata: { id: "resp_0", model: "m" } }),
        StreamEvent.progress(0, "ping"),
        StreamEvent.reasoning(0, "hm", "0"),
        "Hello",
        StreamEvent.refusal(0, "no"),
        StreamEvent.metadata(0, "logprobs", { metadata: { logprobs: [1] } }),
        StreamEvent.metadata(0, "finish", { usage, finishReason: "length", providerFinishReason: "max_tokens" })
      ]
      const twice = EffectAi.layerLanguageModel.pipe(Layer.provide(languageModel(steps)))
      const events = yield* StreamModel.stream({ prompt: "hi" }).pipe(Stream.runCollect, Effect.provide(twice))
      const isBorder = (event: StreamEvent.StreamEvent) => event._tag === "Metadata" && /-(start|end)$/.test(event.kind)
      const expected = [
        StreamEvent.start(0),
        ...steps.map((step) => (typeof step === "string" ? StreamEvent.delta(0, step) : step)),
        StreamEvent.end(0, "length")
      ]
      assert.deepStrictEqual(events.filter((event) => !isBorder(event)).map(show), expected.map(show))
    })
  )

  it.live("over HTTP, with tools", () =>
    Effect.gen(function* () {
      const chunks = [
        { choices: [{ delta: { content: "Let me see." } }] },
        {
          choices: [{ delta: { tool_calls: [{ index: 0, id: "call_0", function: { name: "add", arguments: "" } }] } }]
        },
        { choices: [{ delta: { tool_calls: [{ index: 0, function: { arguments: call.argumentsText } }] } }] },
        { choices: [{ delta: {}, finish_reason: "tool_calls" }] },
        { choices: [], usage: { prompt_tokens: 12, completion_tokens: 34 } }
      ]
      const server = yield* Loopback.serve((response) => {
        Loopback.begin(response)
        for (const chunk of chunks) response.write(`data: ${JSON.stringify(chunk)}\n\n`)
        response.end("data: [DONE]\n\n")
      })
      const response = yield* LanguageModel.generateText({ prompt: "1 + 2?", toolkit: Tools }).pipe(
        Effect.provide(EffectAi.layerStreamModel()),
        Effect.provide(OpenAiChat.layer({ baseUrl: server.url, model: "m" })),
        Effect.provide(FetchHttpClient.layer),
        Effect.provide(ToolsLive)
      )
      assert.strictEqual(response.text, "Let me see.")
      assert.deepStrictEqual(
        response.toolResults.map(({ result }) => result),
        [3]
      )
      assert.strictEqual(response.usage.outputTokens.total, 34)
      assert.deepInclude(JSON.parse(server.requests[0]!.body), {
        model: "m",
        messages: [{ role: "user", content: "1 + 2?" }],
        tool_choice: "auto"
      })
    })
  )
})
