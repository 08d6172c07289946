import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted, Stream } from "effect"
import { FetchHttpClient } from "effect/http"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as StreamModel from "../../src/StreamModel.ts"
import * as StreamTest from "../../src/testing/StreamTest.ts"
import * as OllamaChat from "../../src/wire/OllamaChat.ts"
import type * as Protocol from "../../src/wire/Protocol.ts"
import { anyJsonSuite } from "../support/anyJson.ts"
import * as Loopback from "../support/loopback.ts"
import { collect, finishOf, printed, reasonOf, show, textOf } from "../support/run.ts"

const decode = (source: Stream.Stream<Uint8Array | string>, options?: Protocol.Options) =>
  Effect.runSync(collect(OllamaChat.decode(options)(source)))

type Json = Readonly<Record<string, unknown>>

const data = (...chunks: ReadonlyArray<unknown>): string => chunks.map((chunk) => `${JSON.stringify(chunk)}\n`).join("")

const message = (fields: Json, more?: Json): Json => ({
  message: { role: "assistant", ...fields },
  done: false,
  ...more
})

const done = (done_reason: unknown = "stop", more?: Json): Json =>
  message({ content: "" }, { done: true, done_reason, ...more })

const tools = (...tool_calls: ReadonlyArray<Json>): Json => message({ content: "", tool_calls })

/** The events of chunks, without Start, and the failure: each in one line. */
const lines = (source: ReadonlyArray<unknown> | string, options?: Protocol.Options): ReadonlyArray<string> => {
  const { events, failure } = decode(Stream.make(typeof source === "string" ? source : data(...source)), options)
  assert.strictEqual(events[0]?._tag, "Start")
  return [
    ...events.slice(1).map((event) => {
      if (event._tag === "End") return `End ${event.finishReason}`
      if (event._tag === "ToolCall") return `ToolCall ${event.id} ${event.name} ${JSON.stringify(event.input)}`
      if (event._tag !== "Metadata") return show(event)
      return event.kind === "finish" ? `finish ${event.providerFinishReason}` : `Metadata ${event.kind}`
    }),
    ...(failure === undefined ? [] : [`${failure.reason._tag}: ${failure.message}`])
  ]
}

const metadataOf = (...chunks: ReadonlyArray<unknown>) =>
  decode(Stream.make(data(...chunks, done())))
    .events.filter(StreamEvent.is("Metadata"))
    .filter((event) => event.kind !== "finish")
    .map(({ kind, metadata }) => [kind, metadata] as const)

const stopped = ["finish stop", "End stop"]
const called = ["finish stop", "End tool-calls"]

describe("text", () => {
  it("thinking and answer of a chat, to its last line", () => {
    const chunks = [
      message({ content: "", thinking: "a" }),
      message({ content: "b", thinking: "c" }),
      message({ content: "d", thinking: "" }),
      message({ content: "e" }, { done: true, done_reason: "stop" })
    ]
    assert.deepStrictEqual(lines(chunks), [
      'Reasoning "a"',
      'Reasoning "c"',
      'Delta "b"',
      'Delta "d"',
      'Delta "e"',
      ...stopped
    ])
  })

  it("the same of /api/generate", () => {
    const chunks = [
      { model: "m", response: "", thinking: "a", done: false },
      { model: "m", response: "b", done: false },
      { model: "m", response: "c", done: true, done_reason: "stop", context: [1, 2], eval_count: 3 }
    ]
    assert.deepStrictEqual(lines(chunks), ["Metadata response", 'Reasoning "a"', 'Delta "b"', 'Delta "c"', ...stopped])
    assert.deepStrictEqual(finishOf(decode(Stream.make(data(...chunks))).events)?.metadata, {
      context: [1, 2],
      usage: { eval_count: 3 }
    })
  })

  it("null is nothing", () => {
    const nothing = { content: null, thinking: null, tool_calls: null, images: null, tool_name: null }
    assert.deepStrictEqual(
      lines([message(nothing, { logprobs: null, error: null, image: null, novel: null }), done()]),
      stopped
    )
  })
})

describe("what is neither text nor call", () => {
  it("the response is identified once, with the server that it was asked of", () => {
    const remote = { remote_model: "gpt-oss:120b", remote_host: "https://ollama.com" }
    const chunk = message({ content: "a" }, { model: "m", created_at: "t", ...remote })
    assert.deepStrictEqual(metadataOf(chunk, chunk), [
      ["response", { model: "m", createdAt: "t", remoteModel: "gpt-oss:120b", remoteHost: "https://ollama.com" }]
    ])
  })

  it("logprobs, images, and fields that nobody knows", () => {
    const logprobs = [{ token: "a", logprob: -1 }]
    const seen = metadataOf(
      message({ content: "a", images: ["AA=="], novel: 1 }, { logprobs }),
      { response: "", image: "BB==", done: false, completed: 1, total: 4 },
      { status: "loading" }
    )
    assert.deepStrictEqual(seen, [
      ["file", { image: "AA==" }],
      ["unknown", { chunk: { message: { novel: 1 } } }],
      ["logprobs", { logprobs }],
      ["file", { image: "BB==" }],
      ["unknown", { chunk: { completed: 1, total: 4 } }],
      ["unknown", { chunk: { status: "loading" } }]
    ])
  })
})

describe("the end", () => {
  it("finish reasons in the words of effect/ai, the provider's own beside", () => {
    for (const [word, reason] of [
      ["stop", "stop"],
      ["length", "length"],
      ["load", "other"],
      ["unload", "other"],
      ["something new", "other"]
    ]) {
      assert.deepStrictEqual(lines([done(word)]), [`finish ${word}`, `End ${reason}`])
    }
  })

  it("older servers give no reason", () => {
    const { events, failure } = decode(Stream.make(data(done(null, { eval_count: 2 }))))
    assert.isUndefined(failure)
    assert.deepInclude(events.at(-1), { _tag: "End", finishReason: "unknown" })
    assert.deepInclude(finishOf(events), { kind: "usage", providerFinishReason: undefined })
    assert.strictEqual(lines([tools({ function: { name: "f", arguments: {} } }), done(null)]).at(-1), "End tool-calls")
  })

  it("nothing is read behind it, and without it the stream is Truncated", () => {
    assert.deepStrictEqual(lines([done(), message({ content: "a" }), { error: "no" }]), stopped)
    for (const last of [[], [message({}, { done_reason: "stop" })], [message({}, { done: "true" })]]) {
      assert.match(lines([message({ content: "a" }), ...last]).at(-1)!, /^Truncated: .*done: true/)
    }
  })
})

describe("tool calls", () => {
  const fn = (name: unknown, args?: unknown): Json => ({ function: { name, arguments: args } })

  it("come whole and at once, from chunks that are not done", () => {
    const chunks = [
      tools(fn("f", { x: [1, "é"] }), fn("g", {})),
      message({ content: "a" }),
      tools({ id: "call_a", function: { index: 0, name: "f", arguments: { x: 2 } } }),
      tools({ id: "call_b", function: { index: 0, name: "f", arguments: null } }),
      done()
    ]
    assert.deepStrictEqual(lines(chunks), [
      'ToolCallDelta call_0 f {"x":[1,"é"]}',
      'ToolCall call_0 f {"x":[1,"é"]}',
      "ToolCallDelta call_1 g {}",
      "ToolCall call_1 g {}",
      'Delta "a"',
      'ToolCallDelta call_a f {"x":2}',
      'ToolCall call_a f {"x":2}',
      "ToolCall call_b f {}",
      ...called
    ])
  })

  it("come with the last line, of /api/generate too", () => {
    const tool_calls = [fn("f", { x: 1 })]
    const call = ['ToolCallDelta call_0 f {"x":1}', 'ToolCall call_0 f {"x":1}', ...called]
    assert.deepStrictEqual(lines([message({ content: "", tool_calls }, { done: true, done_reason: "stop" })]), call)
    assert.deepStrictEqual(lines([{ response: "", tool_calls, done: true, done_reason: "stop" }]), call)
  })

  it("arguments that are text", () => {
    assert.include(lines([tools(fn("f", '{"x":1}')), done()]), 'ToolCall call_0 f {"x":1}')
    assert.match(lines([tools(fn("f", '{"x"')), done()]).at(-1)!, /^ToolCallIncomplete/)
  })

  it("a call without a name is incomplete", () => {
    assert.match(lines([tools(fn(undefined, { x: 1 })), done()]).at(-1)!, /^ToolCallIncomplete/)
  })

  it("an answer that is cut", () => {
    assert.deepStrictEqual(lines([tools(fn("f", {})), done("length")]).slice(1), [
      "ToolCall call_0 f {}",
      "finish length",
      "End length"
    ])
  })
})

describe("usage", () => {
  it("is counted where it is said", () => {
    const metrics = {
      total_duration: 9,
      load_duration: 1,
      prompt_eval_count: 7,
      prompt_eval_duration: 2,
      eval_count: 3
    }
    const { events } = decode(Stream.make(data(done("stop", metrics))))
    assert.deepStrictEqual(finishOf(events)?.usage, {
      inputTokens: { total: 7, cacheRead: undefined, uncached: undefined, cacheWrite: undefined },
      outputTokens: { total: 3, reasoning: undefined, text: undefined }
    })
    assert.deepStrictEqual(finishOf(events)?.metadata, { usage: metrics })
  })

  it("counts that are missing, or no numbers, are undefined and not 0", () => {
    const usage = finishOf(decode(Stream.make(data(done("stop", { eval_count: 3 })))).events)?.usage
    assert.strictEqual(usage?.inputTokens.total, undefined)
    assert.strictEqual(usage?.outputTokens.total, 3)
    assert.isUndefined(finishOf(decode(Stream.make(data(done()))).events)?.usage)
    const odd = finishOf(decode(Stream.make(data(done("stop", { eval_count: "3" })))).events)?.usage
    assert.strictEqual(odd?.outputTokens.total, undefined)
  })
})

describe("errors in the stream", () => {
  it("first or later, text or an object", () => {
    const reported = "ProviderFailure: ollama reported: no"
    assert.deepStrictEqual(lines([{ error: "no" }]), [reported])
    assert.deepStrictEqual(lines([message({ content: "a" }), { error: { message: "no" } }]), ['Delta "a"', reported])
    assert.deepStrictEqual(lines([message({ content: "a" }, { error: "no", done: true })]), ['Delta "a"', reported])
  })
})

describe("framing", () => {
  it("line ends, blank lines, a last line without one, in any pieces", () => {
    const chunks = [message({ content: "é😀" }), done()]
    const expected = ['Delta "é😀"', ...stopped]
    const text = data(...chunks)
    for (const variant of [text, text.replaceAll("\n", "\r\n"), text.replaceAll("\n", "\n\n"), text.trimEnd()]) {
      assert.deepStrictEqual(lines(variant), expected)
      const bytes = StreamTest.split(new TextEncoder().encode(variant), 1)
      assert.deepStrictEqual(
        decode(StreamTest.script(bytes)).events.map(show),
        decode(Stream.make(variant)).events.map(show)
      )
    }
  })

  it("a last line that is cut is Truncated", () => {
    assert.match(lines(data(message({ content: "a" }), done()).slice(0, -5)).at(-1)!, /^Truncated/)
  })
})

describe("over HTTP", () => {
  const secret = "ollama-very-secret"

  it.live("a request is a chat; the answer is lines", () =>
    Effect.gen(function* () {
      const server = yield* Loopback.serve((response) => {
        Loopback.begin(response, { "content-type": "application/x-ndjson" })
        response.end(data(message({ content: "a" }), done()))
      })
      const model = OllamaChat.layer({ baseUrl: server.url, model: "m", apiKey: Redacted.make(secret) }).pipe(
        Layer.provide(FetchHttpClient.layer)
      )
      const ask = (request: StreamModel.StreamRequest) => Effect.provide(collect(StreamModel.stream(request)), model)
      const { events, failure } = yield* ask({ prompt: "hi" })
      assert.isUndefined(failure)
      assert.strictEqual(textOf(events, "Delta"), "a")
      const messages = [{ role: "user", content: "hi", images: ["AA=="] }]
      yield* ask({ messages, options: { think: true, options: { temperature: 0 } } })
      const [first, second] = server.requests
      assert.strictEqual(first?.url, "/api/chat")
      assert.strictEqual(first?.headers.accept, "application/x-ndjson")
      assert.strictEqual(first?.headers.authorization, `Bearer ${secret}`)
      assert.deepStrictEqual(JSON.parse(first!.body), {
        model: "m",
        messages: [{ role: "user", content: "hi" }],
        stream: true
      })
      assert.deepStrictEqual(JSON.parse(second!.body), {
        model: "m",
        messages,
        stream: true,
        think: true,
        options: { temperature: 0 }
      })
    })
  )

  it.live("an error of the server has its message, and not the key", () =>
    Effect.gen(function* () {
      const server = yield* Loopback.serve((response) => {
        response.writeHead(404)
        response.end('{"error":"model \\"x\\" not found"}')
      })
      const model = OllamaChat.layer({ baseUrl: server.url, model: "x", apiKey: Redacted.make(secret) }).pipe(
        Layer.provide(FetchHttpClient.layer)
      )
      const { failure } = yield* Effect.provide(collect(StreamModel.stream({ prompt: "hi" })), model)
      assert.deepInclude(reasonOf(failure, "ProviderFailure"), {
        status: 404,
        message: 'model "x" not found',
        isRetryable: false
      })
      assert.notInclude(printed(failure!), secret)
    })
  )
})

anyJsonSuite({
  provider: OllamaChat,
  framing: "ndjson",
  words:
    "model created_at message role content thinking tool_calls id function index name arguments images response image context done done_reason error logprobs eval_count prompt_eval_count total_duration remote_model stop length".split(
      " "
    ),
  streams: [
    [
      message({ content: "", thinking: "a" }, { model: "m", created_at: "t" }),
      message({ content: "b" }, { logprobs: [1] }),
      tools({ function: { name: "f", arguments: { x: 1 } } }, { id: "a", function: { name: "g", arguments: "{}" } }),
      done("stop", { eval_count: 3, prompt_eval_count: 7 })
    ],
    [
      { model: "m", response: "a", thinking: "b", done: false },
      { model: "m", response: "", done: true, done_reason: "length", context: [1] }
    ],
    [message({ content: "c", images: ["AA"] }), { error: "no" }]
  ]
})
