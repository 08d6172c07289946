import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted, Stream } from "effect"
import { FetchHttpClient } from "effect/http"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as StreamHandler from "../../src/StreamHandler.ts"
import * as StreamModel from "../../src/StreamModel.ts"
import * as StreamArbitrary from "../../src/testing/StreamArbitrary.ts"
import * as StreamLaws from "../../src/testing/StreamLaws.ts"
import * as OpenAiCompletions from "../../src/wire/OpenAiCompletions.ts"
import type * as Protocol from "../../src/wire/Protocol.ts"
import { anyJsonSuite } from "../support/anyJson.ts"
import * as Loopback from "../support/loopback.ts"
import { collect, finishOf, show } from "../support/run.ts"

const data = (...chunks: ReadonlyArray<unknown>): string =>
  chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`).join("")

const text = (text: unknown, choice?: object): object => ({
  object: "text_completion",
  choices: [{ text, index: 0, ...choice }]
})

const stop = text("", { finish_reason: "stop", logprobs: null })

const decode = (chunks: ReadonlyArray<unknown>, options?: Protocol.Options) =>
  Effect.runSync(collect(OpenAiCompletions.decode(options)(Stream.make(data(...chunks)))))

/** The events of chunks, without Start, and the failure: each in one line. */
const lines = (chunks: ReadonlyArray<unknown>, options?: Protocol.Options): ReadonlyArray<string> => {
  const { events, failure } = decode(chunks, options)
  const shown = events.slice(1).map((event) => (event._tag === "Metadata" ? `Metadata ${event.kind}` : show(event)))
  return failure === undefined ? shown : [...shown, `${failure.reason._tag}: ${failure.message}`]
}

const stopped = ["Metadata finish", 'End {"finishReason":"stop"}']

describe("a text completion", () => {
  it("is the text of the first choice; others are not mixed in, and not lost", () => {
    const chunks = [text("a"), text("x", { index: 1 }), text(""), { choices: [{ text: "b" }] }, text(null), stop]
    assert.deepStrictEqual(lines(chunks), ['Delta "a"', "Metadata choice", 'Delta "b"', ...stopped])
  })

  it("may have text in its last chunk, and behind it", () => {
    assert.deepStrictEqual(lines([text("a", { finish_reason: "length" }), text("b")]).slice(0, 2), [
      'Delta "a"',
      'Delta "b"'
    ])
  })

  it("is identified once, though its id may change", () => {
    const { events } = decode([{ id: "1", model: "m", ...text("a") }, { id: "2", model: "m", ...text("b") }, stop])
    assert.deepStrictEqual(
      events.filter(StreamEvent.is("Metadata")).map(({ kind, metadata }) => [kind, metadata["id"]]),
      [
        ["response", "1"],
        ["finish", undefined]
      ]
    )
  })

  it("ends with a finish reason, behind which usage may come", () => {
    const usage = { prompt_tokens: 10, completion_tokens: 3, total_tokens: 13 }
    const { events } = decode([text("a", { finish_reason: "length" }), { choices: [], usage }])
    const finish = finishOf(events)
    assert.strictEqual(finish?.finishReason, "length")
    assert.strictEqual(finish?.providerFinishReason, "length")
    assert.strictEqual(finish?.usage?.inputTokens.total, 10)
    assert.strictEqual(finish?.usage?.outputTokens.total, 3)
    assert.deepStrictEqual(finish?.metadata, { usage })
  })

  it("without one is Truncated, with [DONE] or without", () => {
    const truncated = "Truncated: The stream stopped before a finish reason"
    assert.deepStrictEqual(lines([text("a")]), ['Delta "a"', truncated])
    const source = Stream.make(data(text("a")) + "data: [DONE]\n\n")
    const { failure } = Effect.runSync(collect(OpenAiCompletions.decode()(source)))
    assert.strictEqual(failure?.reason._tag, "Truncated")
  })

  it("may be an error, by itself or in the middle, once", () => {
    const error = { message: "no", type: "server_error", param: null, code: null }
    const failed = "ProviderFailure: openai reported server_error: no"
    assert.deepStrictEqual(lines([{ error }]), [failed])
    assert.deepStrictEqual(lines([text("a"), { error }, { error }, stop]), ['Delta "a"', failed])
  })

  it("passes on logprobs, content filter results and what nobody knows", () => {
    const chunks = [
      text("a", { logprobs: { tokens: ["a"] }, content_filter_results: { hate: { filtered: false } }, stop_reason: 7 }),
      stop
    ]
    const kinds = ["logprobs", "content-filter", "unknown"].map((kind) => `Metadata ${kind}`)
    assert.deepStrictEqual(lines(chunks), ['Delta "a"', ...kinds, ...stopped])
  })

  it("gives the same from chunks that are decoded already", () => {
    const chunks = [text("a"), stop]
    const { events } = Effect.runSync(collect(OpenAiCompletions.fromChunks()(Stream.fromIterable(chunks))))
    assert.deepStrictEqual(events.map(show), decode(chunks).events.map(show))
  })
})

anyJsonSuite({
  provider: OpenAiCompletions,
  words: "id model object choices index text finish_reason stop logprobs usage prompt_tokens error message code".split(
    " "
  ),
  streams: [[{ id: "1", ...text("a") }, text("b"), stop, { choices: [], usage: { prompt_tokens: 1 } }]]
})

it.effect.prop(
  "keeps the laws",
  { input: StreamArbitrary.splits(data(text("naïve 😀"), text("b"), stop)) },
  ({ input }) => StreamLaws.all(OpenAiCompletions.decode(), input),
  { arbitrary: { runs: 25 } }
)

it.live("is asked for with a prompt", () =>
  Effect.gen(function* () {
    const server = yield* Loopback.serve((response) => {
      Loopback.begin(response)
      response.end(data(text("return"), stop))
    })
    const model = OpenAiCompletions.layer({ baseUrl: server.url, apiKey: Redacted.make("key"), model: "m" }).pipe(
      Layer.provide(FetchHttpClient.layer)
    )
    const request = { prompt: "def f():", options: { suffix: "\n", stream_options: undefined } }
    const answer = yield* StreamModel.stream(request).pipe(StreamHandler.runText(), Effect.provide(model))
    assert.strictEqual(answer, "return")
    const [sent] = server.requests
    assert.strictEqual(sent?.url, "/completions")
    assert.strictEqual(sent?.headers.authorization, "Bearer key")
    assert.deepStrictEqual(JSON.parse(sent!.body), { model: "m", prompt: "def f():", stream: true, suffix: "\n" })
  })
)
