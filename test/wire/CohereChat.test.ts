import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted, Schema, Stream } from "effect"
import { FetchHttpClient } from "effect/http"
import { inspect } from "node:util"
import * as StreamError from "../../src/StreamError.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as StreamModel from "../../src/StreamModel.ts"
import type * as StreamResult from "../../src/StreamResult.ts"
import * as StreamArbitrary from "../../src/testing/StreamArbitrary.ts"
import * as StreamLaws from "../../src/testing/StreamLaws.ts"
import * as StreamTest from "../../src/testing/StreamTest.ts"
import * as CohereChat from "../../src/wire/CohereChat.ts"
import type * as Protocol from "../../src/wire/Protocol.ts"
import * as Loopback from "../support/loopback.ts"
import { collect, finishOf, random, reasonOf, show, textOf } from "../support/run.ts"

const decode = (source: Stream.Stream<Uint8Array | string>, options?: Protocol.Options) =>
  Effect.runSync(collect(CohereChat.decode(options)(source)))

type Json = Readonly<Record<string, unknown>>

const data = (...chunks: ReadonlyArray<unknown>): string =>
  chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`).join("")

const piece = (type: string, message: unknown, index?: number): Json => ({ type, index, delta: { message } })
const begin: Json = {
  id: "1",
  ...piece("message-start", { role: "assistant", content: [], tool_plan: "", tool_calls: [], citations: [] })
}
const content = (content: unknown, index: number | undefined = 0): Json => piece("content-delta", { content }, index)
const text = (text: string, index?: number): Json => content({ text }, index)
const call = (name = "f", index = 0, id: unknown = `id${index}`): Json =>
  piece("tool-call-start", { tool_calls: { id, type: "function", function: { name, arguments: "" } } }, index)
const args = (text: unknown, index = 0): Json =>
  piece("tool-call-delta", { tool_calls: { function: { arguments: text } } }, index)
const over = (index = 0): Json => ({ type: "tool-call-end", index })
const end = (finish_reason: unknown = "COMPLETE", fields?: Json): Json => ({
  type: "message-end",
  delta: { finish_reason, ...fields }
})

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

const metadata = (kind: string, ...chunks: ReadonlyArray<unknown>): ReadonlyArray<Json> =>
  decode(Stream.make(data(...chunks)))
    .events.filter(StreamEvent.is("Metadata"))
    .filter((event) => event.kind === kind)
    .map((event) => event.metadata)

const stopped = ["finish COMPLETE", "End stop"]
const called = ["finish TOOL_CALL", "End tool-calls"]

describe("text", () => {
  it("answer and thinking, each block a part of its own", () => {
    const chunks = [
      begin,
      piece("content-start", { content: { type: "thinking", thinking: "" } }, 0),
      content({ thinking: "a" }),
      content({ thinking: "b", text: null }),
      { type: "content-end", index: 0 },
      piece("content-start", { content: { type: "text", text: "c" } }, 1),
      text("d", 1),
      text("", 1),
      { type: "content-end", index: 1 },
      end()
    ]
    assert.deepStrictEqual(lines(chunks), [
      "Metadata response",
      'Reasoning/0 "a"',
      'Reasoning/0 "b"',
      'Delta/1 "c"',
      'Delta/1 "d"',
      ...stopped
    ])
    assert.deepStrictEqual(metadata("response", ...chunks), [{ id: "1" }])
  })

  it("several pieces at once, plain text, and what is neither", () => {
    const chunks = [
      piece("message-start", { content: [{ type: "text", text: "a" }, { type: "thinking", thinking: "b" }, "c"] }),
      content({ type: "image", url: "u" }),
      end()
    ]
    assert.deepStrictEqual(lines(chunks).slice(1), [
      'Delta/0 "a"',
      'Reasoning/1 "b"',
      'Delta/2 "c"',
      "Metadata unknown",
      ...stopped
    ])
    assert.deepStrictEqual(metadata("unknown", ...chunks), [{ part: "0", content: { type: "image", url: "u" } }])
  })
})

describe("what else there is", () => {
  it("the tool plan is neither answer nor thinking", () => {
    const plan = (tool_plan: unknown) => piece("tool-plan-delta", { tool_plan })
    assert.deepStrictEqual(lines([plan("I"), plan(" will"), plan(""), plan(null), end()]), [
      "Metadata tool-plan",
      "Metadata tool-plan",
      ...stopped
    ])
    assert.deepStrictEqual(metadata("tool-plan", plan("I"), plan(" will")), [{ delta: "I" }, { delta: " will" }])
  })

  it("citations, with their part where they name it, and logprobs", () => {
    const citation = { start: 0, end: 1, text: "a", sources: [], type: "TEXT_CONTENT" }
    const inPart = { ...citation, content_index: 1 }
    const chunks = [
      piece("citation-start", { citations: citation }, 0),
      { type: "citation-end", index: 0 },
      piece("citation-start", { citations: [inPart] }, 1),
      { ...text("a"), logprobs: { text: "a", logprobs: [-1] } },
      { ...text("b"), logprobs: null },
      end()
    ]
    assert.deepStrictEqual(metadata("citation", ...chunks), [
      { part: undefined, citation },
      { part: "1", citation: inPart }
    ])
    assert.deepStrictEqual(metadata("logprobs", ...chunks), [{ logprobs: { text: "a", logprobs: [-1] } }])
    assert.strictEqual(lines(chunks).length, 7)
  })

  it("unknown events, and what is no object, pass through", () => {
    for (const chunk of [
      { type: "debug", prompt: "p" },
      { id: "1", message: { role: "a" } },
      { error: null },
      {},
      { type: 5 },
      { type: "content-delta" },
      null,
      5,
      "x",
      []
    ]) {
      assert.deepStrictEqual(lines([chunk, text("a"), end()]), ["Metadata unknown", 'Delta/0 "a"', ...stopped])
      assert.deepStrictEqual(metadata("unknown", chunk), [{ chunk }])
    }
  })
})

describe("tool calls", () => {
  it("come in fragments and, when they are over, as one call each", () => {
    const chunks = [call(), args('{"x"'), args(":1}"), over(), call("g", 1), args("{}", 1), over(1), end("TOOL_CALL")]
    assert.deepStrictEqual(lines(chunks), [
      'ToolCallDelta id0 f {"x"',
      "ToolCallDelta id0 f :1}",
      'ToolCall id0 f {"x":1}',
      "ToolCallDelta id1 g {}",
      "ToolCall id1 g {}",
      ...called
    ])
  })

  it("without arguments have {}, in their place among the others", () => {
    const chunks = [call(), over(), call("g", 1), args(null, 1), over(1), call("h", 2), args("[]", 2), over(2)]
    assert.deepStrictEqual(lines([...chunks, end("TOOL_CALL")]), [
      "ToolCall id0 f {}",
      "ToolCall id1 g {}",
      "ToolCallDelta id2 h []",
      "ToolCall id2 h []",
      ...called
    ])
  })

  it("without arguments, or with half of them, are none where the answer is cut", () => {
    for (const chunks of [
      [call(), over()],
      [call(), args('{"x":'), over()],
      [call(), args('{"x":')]
    ]) {
      const seen = lines([...chunks, end("MAX_TOKENS")])
      assert.match(seen.at(-1)!, /^ToolCallIncomplete/)
      assert.isFalse(seen.some((line) => line.startsWith("ToolCall ")))
      assert.match(lines(chunks).at(-1)!, /^Truncated/)
    }
  })

  it("several at once, arguments as an object, no end of their own, no index", () => {
    const tool_calls = [
      { id: "a", function: { name: "f", arguments: { x: 1 } } },
      { id: "b", function: { name: "g", arguments: "[]" } }
    ]
    assert.deepStrictEqual(lines([piece("message-start", { tool_calls }), end("TOOL_CALL")]).slice(1), [
      'ToolCallDelta a f {"x":1}',
      "ToolCallDelta b g []",
      'ToolCall a f {"x":1}',
      "ToolCall b g []",
      ...called
    ])
    const bare = [call(), args("{}"), over()].map(({ index: _, ...chunk }) => chunk)
    assert.deepStrictEqual(lines([...bare, end("TOOL_CALL")]), [
      "ToolCallDelta id0 f {}",
      "ToolCall id0 f {}",
      ...called
    ])
  })

  it("without an identifier are given one", () => {
    assert.deepStrictEqual(lines([call("f", 0, null), args("{}"), over(), end("TOOL_CALL")]).slice(1, 2), [
      "ToolCall call_0 f {}"
    ])
  })
})

describe("the end", () => {
  it("finish reasons in the words of effect/ai, the provider's own beside", () => {
    const words: ReadonlyArray<readonly [word: string, reason: StreamResult.FinishReason]> = [
      ["COMPLETE", "stop"],
      ["STOP_SEQUENCE", "stop"],
      ["MAX_TOKENS", "length"],
      ["TOOL_CALL", "tool-calls"],
      ["SOMETHING_NEW", "other"]
    ]
    for (const [word, reason] of words) {
      const { events, failure } = decode(Stream.make(data(end(word))))
      assert.isUndefined(failure)
      assert.deepInclude(events.at(-1), { _tag: "End", finishReason: reason })
      assert.deepInclude(finishOf(events), { finishReason: reason, providerFinishReason: word })
    }
    assert.deepStrictEqual(lines([text("a"), { type: "message-end" }]), ['Delta/0 "a"', "End unknown"])
  })

  it("is message-end and nothing before it, and nothing comes behind it", () => {
    const truncated = "Truncated: The stream stopped before message-end"
    assert.strictEqual(lines([begin, text("a"), { type: "content-end", index: 0 }]).at(-1), truncated)
    assert.strictEqual(lines(`${data(begin, text("a"))}data: [DONE]\n\n`).at(-1), truncated)
    assert.deepStrictEqual(lines(`${data(end(), text("a"), { error: "no" })}data: [DONE]\n\n`), stopped)
  })
})

describe("usage", () => {
  const usageOf = (usage: unknown) => finishOf(decode(Stream.make(data(end("COMPLETE", { usage })))).events)

  it("is of all tokens, cached ones among them; the provider's own beside", () => {
    const usage = {
      billed_units: { input_tokens: 8, output_tokens: 50 },
      tokens: { input_tokens: 1394, output_tokens: 54 },
      cached_tokens: 1360
    }
    assert.deepStrictEqual(usageOf(usage)?.usage, {
      inputTokens: { total: 1394, cacheRead: 1360, uncached: 34 },
      outputTokens: { total: 54 }
    })
    assert.deepStrictEqual(usageOf(usage)?.metadata, { usage })
  })

  it("what is missing, or no number, is undefined and not 0", () => {
    for (const odd of [{}, { tokens: null }, { tokens: { input_tokens: "5" }, cached_tokens: null }]) {
      const counts = usageOf(odd)?.usage
      assert.deepStrictEqual(
        Object.values({ ...counts?.inputTokens, ...counts?.outputTokens }).filter((n) => n !== undefined),
        []
      )
    }
    for (const none of [null, 5, "x", []]) assert.isUndefined(usageOf(none)?.usage)
  })
})

describe("errors in the stream", () => {
  const failureOf = (...chunks: ReadonlyArray<unknown>) =>
    reasonOf(decode(Stream.make(data(...chunks))).failure, "ProviderFailure")

  it("a message that ends in an error has failed, behind what it had said", () => {
    const usage = { tokens: { input_tokens: 1 } }
    assert.deepStrictEqual(lines([text("a"), end("ERROR", { error: "no", usage })]), [
      'Delta/0 "a"',
      "finish ERROR",
      "ProviderFailure: cohere reported: no"
    ])
    assert.deepInclude(failureOf(end("ERROR", { error: "no" })), { message: "no", code: undefined, isRetryable: true })
    assert.deepInclude(failureOf(end("TIMEOUT")), { message: "finish reason TIMEOUT", isRetryable: true })
    assert.deepInclude(failureOf(end("ERROR", { error: { code: 1, message: "no" } })), { message: "no", code: "1" })
    assert.deepInclude(failureOf(end("COMPLETE", { error: "no" })), { message: "no", isRetryable: false })
    for (const none of [null, "", undefined]) assert.deepStrictEqual(lines([end("COMPLETE", { error: none })]), stopped)
  })

  it("no call is made up when one is under way", () => {
    assert.deepStrictEqual(lines([call(), over(), end("ERROR")]), [
      "finish ERROR",
      "ProviderFailure: cohere reported: finish reason ERROR"
    ])
  })

  it("an error in place of a chunk", () => {
    assert.strictEqual(failureOf({ message: "too many requests" }).message, "too many requests")
    assert.strictEqual(failureOf({ id: "1", message: "no" }).message, "no")
    assert.strictEqual(failureOf({ error: { message: "no" } }).message, "no")
    assert.strictEqual(failureOf({ type: "error", message: "no" }).message, "no")
    assert.strictEqual(failureOf({ error: "no" }).message, "no")
    assert.deepStrictEqual(lines([text("a"), { message: "no" }, text("b"), end()], { provider: "c" }), [
      'Delta/0 "a"',
      "ProviderFailure: c reported: no"
    ])
  })
})

describe("framing", () => {
  const chunks = [begin, text("a"), end()]
  const expected = ["Metadata response", 'Delta/0 "a"', ...stopped]

  it("line ends, event: lines or none, comments, [DONE] or none, a last event without its blank line", () => {
    const plain = data(...chunks)
    for (const variant of [
      plain,
      plain.replaceAll("data: ", "event: x\ndata: "),
      plain.replaceAll("\n", "\r\n"),
      plain.replaceAll("data: ", "data:"),
      plain.trimEnd(),
      `${plain}data: [DONE]\n\n`
    ]) {
      assert.deepStrictEqual(lines(variant), expected)
      const bytes = StreamTest.split(new TextEncoder().encode(variant), 1)
      assert.deepStrictEqual(
        decode(StreamTest.script(bytes)).events.map(show),
        decode(Stream.make(variant)).events.map(show)
      )
    }
    assert.deepStrictEqual(lines(`: c\n\n${plain}`), ['Progress {"kind":"keep-alive"}', ...expected])
  })
})

describe("fromChunks", () => {
  const run = (chunks: ReadonlyArray<unknown>) => {
    const { events, failure } = Effect.runSync(collect(CohereChat.fromChunks()(Stream.fromIterable(chunks))))
    assert.isUndefined(failure)
    return events.map(show)
  }

  it("gives what the bytes give", () => {
    const chunks = [begin, text("a"), call(), args("{}"), over(), end("TOOL_CALL")]
    assert.deepStrictEqual(run(chunks), decode(Stream.make(data(...chunks))).events.map(show))
  })

  it("takes the fields by the names of Cohere's client", () => {
    const tokens = { input_tokens: 5, output_tokens: 6 }
    const theirs = [
      piece("tool-plan-delta", { toolPlan: "I" }),
      piece("citation-start", { citations: { contentIndex: 1 } }, 0),
      piece("tool-call-start", { toolCalls: { id: "id0", function: { name: "f", arguments: "" } } }, 0),
      piece("tool-call-delta", { toolCalls: { function: { arguments: "{}" } } }, 0),
      over(),
      {
        type: "message-end",
        delta: {
          finishReason: "TOOL_CALL",
          usage: { tokens: { inputTokens: 5, outputTokens: 6 }, cachedTokens: 2 }
        }
      }
    ]
    const ours = [
      piece("tool-plan-delta", { tool_plan: "I" }),
      piece("citation-start", { citations: { content_index: 1 } }, 0),
      call(),
      args("{}"),
      over(),
      end("TOOL_CALL", { usage: { tokens, cached_tokens: 2 } })
    ]
    // The raw objects are passed on as they are.
    const plain = (lines: ReadonlyArray<string>) =>
      lines.map((line) => line.replaceAll(/_(\w)/g, (_, letter: string) => letter.toUpperCase()))
    assert.deepStrictEqual(plain(run(theirs)), plain(run(ours)))
  })
})

describe("any JSON", () => {
  const words =
    "type index id delta message content text thinking tool_plan tool_calls function name arguments citations content_index logprobs finish_reason usage tokens input_tokens output_tokens cached_tokens error __proto__ toString constructor".split(
      " "
    )
  const types =
    "message-start content-start content-delta content-end tool-plan-delta tool-call-start tool-call-delta tool-call-end citation-start citation-end message-end debug".split(
      " "
    )

  const garbage = (next: () => number, depth: number): unknown => {
    const int = (n: number) => Math.floor(next() * n)
    const pick = (values: ReadonlyArray<unknown>) => values[int(values.length)]
    const kind = depth === 0 ? 0 : next()
    if (kind < 0.2) return pick(types)
    if (kind < 0.4) return pick([null, true, 0, 1, -1, 1.5, 1e308, "", "a", "COMPLETE", "ERROR", "{}", "{", "\ud83d"])
    if (kind < 0.5) return Array.from({ length: int(4) }, () => garbage(next, depth - 1))
    const known: ReadonlyArray<readonly [string, unknown]> = Array.from({ length: int(6) }, () => [
      String(pick(words)),
      garbage(next, depth - 1)
    ])
    return Object.fromEntries([["type", pick(types)], ...known])
  }

  const answer = [
    begin,
    content({ thinking: "t" }),
    { type: "content-end", index: 0 },
    text("a", 1),
    text("b", 1),
    piece("citation-start", { citations: { start: 0 } }, 0),
    piece("tool-plan-delta", { tool_plan: "I" }),
    call(),
    args('{"x"'),
    args(":1}"),
    over(),
    call("g", 1),
    over(1),
    end("TOOL_CALL", { usage: { tokens: { input_tokens: 1, output_tokens: 2 }, cached_tokens: 1 } })
  ]

  const spoil = (next: () => number, value: unknown): unknown => {
    if (next() < 0.04) return garbage(next, 3)
    if (Array.isArray(value)) return value.map((item) => spoil(next, item))
    if (typeof value !== "object" || value === null) return value
    return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, spoil(next, field)]))
  }

  const encode = Schema.encodeSync(StreamEvent.StreamEvent)

  /** Events, or a typed failure behind them; a defect would be thrown here. */
  const check = (chunks: ReadonlyArray<unknown>): ReadonlyArray<StreamEvent.StreamEvent> => {
    const bytes = data(...chunks)
    const { events, failure } = decode(Stream.make(bytes))
    for (const event of events) encode(event)
    const ends = events.filter(StreamEvent.isTerminal).length
    assert.strictEqual(ends + (failure === undefined ? 0 : 1), 1, bytes)
    assert.strictEqual(events.findLastIndex(StreamEvent.is("Start")), 0, bytes)
    if (failure !== undefined) {
      assert.include(["Truncated", "ProviderFailure", "ToolCallIncomplete", "MalformedFrame"], failure.reason._tag)
      Schema.encodeSync(StreamError.StreamError)(failure)
    }
    const parsed = chunks.map((chunk): unknown => JSON.parse(JSON.stringify(chunk)))
    const again = Effect.runSync(collect(CohereChat.fromChunks()(Stream.fromIterable(parsed))))
    assert.deepStrictEqual(again.events.map(show), events.map(show))
    return events
  }

  it("gives events or a typed failure, never a defect", () => {
    const next = random(1)
    for (let n = 0; n < 1500; n++) check(Array.from({ length: 1 + Math.floor(next() * 8) }, () => garbage(next, 4)))
    for (let n = 0; n < 600; n++) check(answer.map((chunk) => spoil(next, chunk)))
  })

  it("events that are dropped, doubled or out of order make up nothing", () => {
    const next = random(2)
    for (let n = 0; n < 1500; n++) {
      const rate = [0.03, 0.1, 0.3][n % 3]!
      const chunks = answer.flatMap((chunk) => (next() < rate ? [] : next() < rate ? [chunk, chunk] : [chunk]))
      for (let i = 1; i < chunks.length; i++) {
        if (next() >= rate) continue
        const j = Math.floor(next() * chunks.length)
        ;[chunks[i], chunks[j]] = [chunks[j]!, chunks[i]!]
      }
      const over = new Set<string>()
      for (const event of check(chunks)) {
        if (event._tag === "ToolCallDelta") assert.isFalse(over.has(event.id), data(...chunks))
        if (event._tag !== "ToolCall") continue
        assert.isFalse(over.has(event.id), data(...chunks))
        over.add(event.id)
        // A call may lose its fragments, but none is put together otherwise.
        assert.include(
          ['id0 f {"x":1}', "id0 f {}", "id1 g {}"],
          `${event.id} ${event.name} ${JSON.stringify(event.input)}`
        )
      }
    }
  })
})

describe("laws", () => {
  const streams: ReadonlyArray<readonly [name: string, text: string, isOver: boolean]> = [
    ["a whole answer", `: c\r\n\r\n${data(begin, content({ thinking: "naïve 😀" }), text("a", 1), end())}`, true],
    ["with tools", data(call(), args('{"x":1'), args("}"), over(), call("g", 1), over(1), end("TOOL_CALL")), true],
    ["with half a tool call", data(text("a"), call(), args('{"x":'), over(), end("MAX_TOKENS")), true],
    ["with an error", data(text("a"), end("ERROR", { error: "no" })), true],
    ["cut", data(begin, call(), args("{")) + 'data: {"type":"tool-c', false],
    ["without the last blank line", data(text("a"), end()).trimEnd(), false]
  ]

  for (const [name, text, isOver] of streams) {
    it.effect.prop(
      `of a stream: ${name}`,
      { input: StreamArbitrary.splits(new TextEncoder().encode(text)) },
      ({ input }) =>
        // One that is over before its source is does not ask what the source does at its end.
        isOver
          ? Effect.gen(function* () {
              yield* StreamLaws.chunkIndependence(CohereChat.decode(), input)
              yield* StreamLaws.oneTerminal(CohereChat.decode(), input)
              yield* StreamLaws.interruption(CohereChat.decode(), input)
            })
          : StreamLaws.all(CohereChat.decode(), input),
      { arbitrary: { runs: 20 } }
    )
  }
})

describe("a request", () => {
  const secret = "co-very-secret"
  const model = (server: Loopback.Loopback) =>
    CohereChat.layer({ baseUrl: `${server.url}/v2`, apiKey: Redacted.make(secret), model: "m" }).pipe(
      Layer.provide(FetchHttpClient.layer)
    )

  it.live("is a POST to /chat with the key, the model and the messages", () =>
    Effect.gen(function* () {
      const server = yield* Loopback.serve((response) => {
        Loopback.begin(response)
        response.end(data(begin, text("Hello"), end()))
      })
      const messages = [{ role: "system", content: "be brief" }]
      const ask = (request: StreamModel.StreamRequest) =>
        Effect.provide(collect(StreamModel.stream(request)), model(server))
      const { events, failure } = yield* ask({ prompt: "hi" })
      yield* ask({ messages, model: "other", options: { temperature: 0 } })
      assert.isUndefined(failure)
      assert.strictEqual(textOf(events, "Delta"), "Hello")
      const [first, second] = server.requests
      assert.strictEqual(first?.url, "/v2/chat")
      assert.strictEqual(first?.headers.authorization, `Bearer ${secret}`)
      assert.deepStrictEqual(JSON.parse(first!.body), {
        model: "m",
        messages: [{ role: "user", content: "hi" }],
        stream: true
      })
      assert.deepStrictEqual(JSON.parse(second!.body), { model: "other", messages, stream: true, temperature: 0 })
    })
  )

  it.live("that fails has the provider's message, and nowhere the key", () =>
    Effect.gen(function* () {
      const server = yield* Loopback.serve((response) => {
        response.writeHead(401)
        response.end('{"id":"1","message":"invalid api token"}')
      })
      const { failure } = yield* Effect.provide(collect(StreamModel.stream({ prompt: "hi" })), model(server))
      assert.deepInclude(reasonOf(failure, "ProviderFailure"), {
        provider: "cohere",
        status: 401,
        message: "invalid api token",
        isRetryable: false
      })
      const printed = [
        String(failure),
        inspect(failure, { depth: Infinity, showHidden: true }),
        JSON.stringify(failure)
      ]
      assert.notInclude(printed.join(), secret)
    })
  )
})
