import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import * as StreamConfig from "../../src/StreamConfig.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"
import type * as StreamResult from "../../src/StreamResult.ts"
import * as StreamArbitrary from "../../src/testing/StreamArbitrary.ts"
import * as StreamLaws from "../../src/testing/StreamLaws.ts"
import * as StreamTest from "../../src/testing/StreamTest.ts"
import * as OpenAiChat from "../../src/wire/OpenAiChat.ts"
import type * as Protocol from "../../src/wire/Protocol.ts"
import { anyJsonSuite } from "../support/anyJson.ts"
import { collect, finishOf, reasonOf, show, textOf } from "../support/run.ts"

const decode = (source: Stream.Stream<Uint8Array | string>, options?: Protocol.Options) =>
  Effect.runSync(collect(OpenAiChat.decode(options)(source)))

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)

type Json = Readonly<Record<string, unknown>>

const data = (...chunks: ReadonlyArray<unknown>): string =>
  chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`).join("")

const delta = (delta: Json, choice?: Json): Json => ({ choices: [{ index: 0, delta, ...choice }] })

const finish = (finish_reason: unknown = "stop", more?: Json): Json => ({ ...delta({}, { finish_reason }), ...more })

const tool = (...tool_calls: ReadonlyArray<Json>): Json => delta({ tool_calls })

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

const stopped = ["finish stop", "End stop"]

describe("text", () => {
  it("answer, reasoning by either name, and refusal; both names hold the same text", () => {
    const chunks = [
      delta({ role: "assistant", content: "" }),
      delta({ role: "", content: null, reasoning_content: "a" }),
      delta({ reasoning: "b", content: null }),
      delta({ reasoning: "c", reasoning_content: "c" }),
      delta({ reasoning: "d", reasoning_content: null }),
      delta({ reasoning_content: "", reasoning: "e" }),
      delta({ content: "f", reasoning: null, reasoning_content: null, refusal: null }),
      delta({ refusal: "g" }),
      finish()
    ]
    assert.deepStrictEqual(lines(chunks), [
      ...["a", "b", "c", "d", "e"].map((text) => `Reasoning "${text}"`),
      'Delta "f"',
      'Refusal "g"',
      ...stopped
    ])
  })

  it("an array of text, thinking and other parts", () => {
    const content = [
      { type: "thinking", thinking: [{ type: "text", text: "a" }, { type: "text", text: "b" }, { type: "reference" }] },
      { type: "thinking", thinking: "c" },
      { type: "thinking", thinking: [] },
      { type: "text", text: "d" },
      { type: "text", text: "" },
      { type: "reference", reference_ids: [1] },
      "e",
      null
    ]
    assert.deepStrictEqual(lines([delta({ content }), finish()]).slice(0, 3), [
      'Reasoning "ab"',
      'Reasoning "c"',
      'Delta "d"'
    ])
    assert.include(lines([delta({ content }), finish()]), "Metadata content")
    assert.notInclude(lines([delta({ content }), finish()]).join(), "object Object")
  })

  it("a surrogate pair that is split over two deltas", () => {
    const { events } = decode(
      Stream.make(
        bytesOf(
          'data: {"choices":[{"delta":{"content":"\\ud83d"}}]}\n\ndata: {"choices":[{"delta":{"content":"\\ude00"}}]}\n\n'
        )
      )
    )
    assert.strictEqual(textOf(events, "Delta"), "😀")
  })

  it("a choice without index is the first; others are not mixed in, and not lost", () => {
    const chunks = [
      { choices: [{ delta: { content: "a" } }] },
      { choices: [{ index: 1, delta: { content: "b" }, finish_reason: "length" }] },
      { choices: [{ index: 0, delta: { content: "c" } }] },
      finish()
    ]
    assert.deepStrictEqual(lines(chunks), ['Delta "a"', "Metadata choice", 'Delta "c"', ...stopped])
  })

  it("a whole message instead of deltas", () => {
    const message = { role: "assistant", content: "a", reasoning: "b" }
    assert.deepStrictEqual(lines([{ choices: [{ index: 0, message, finish_reason: "stop" }] }]), [
      'Reasoning "b"',
      'Delta "a"',
      ...stopped
    ])
  })

  it("content with the finish reason, and behind it", () => {
    assert.deepStrictEqual(lines([delta({ content: "a" }, { finish_reason: "stop" }), delta({ content: "b" })]), [
      'Delta "a"',
      'Delta "b"',
      ...stopped
    ])
  })

  it("by the name of GitHub Copilot, and from OpenRouter's details where there is nothing else", () => {
    const details = [
      { type: "reasoning.text", text: "b", signature: "s" },
      { type: "reasoning.summary", summary: "c" },
      { type: "reasoning.encrypted", data: "d" }
    ]
    const chunks = [
      delta({ reasoning_text: "a" }),
      delta({ reasoning: "bc", reasoning_details: details }),
      delta({ reasoning_details: details }),
      finish()
    ]
    const seen = ['Reasoning "a"', 'Reasoning "bc"', "Metadata signature", 'Reasoning "bc"', "Metadata signature"]
    assert.deepStrictEqual(lines(chunks), [...seen, ...stopped])
  })
})

describe("what is neither text nor call", () => {
  const metadataOf = (...chunks: ReadonlyArray<unknown>) =>
    decode(Stream.make(data(...chunks, finish())))
      .events.filter(StreamEvent.is("Metadata"))
      .filter((event) => event.kind !== "finish")
      .map(({ kind, metadata }) => [kind, metadata] as const)

  it("logprobs", () => {
    const logprobs = { content: [{ token: "a" }] }
    assert.deepStrictEqual(metadataOf(delta({ content: "a" }, { logprobs }), delta({}, { logprobs: null })), [
      ["logprobs", { logprobs }]
    ])
  })

  it("annotations are citations", () => {
    const annotations = [{ type: "url_citation", url_citation: { url: "x" } }, { type: "file" }]
    const expected = annotations.map((citation) => ["citation", { citation }] as const)
    assert.deepStrictEqual(metadataOf(delta({ annotations }), delta({ annotations })), [...expected, ...expected])
    assert.deepStrictEqual(metadataOf(delta({}, { annotations })), expected)
  })

  it("sources beside the choices are citations, each of them once", () => {
    const a = { title: "A", url: "https://a" }
    const b = { title: "B", url: "https://b" }
    const seen = metadataOf(
      { ...delta({ content: "x" }), search_results: [a], citations: [a.url] },
      { ...delta({ content: "x" }), search_results: [a, b], citations: [a.url, b.url, "https://c", 5] },
      { ...delta({ content: "x" }), citations: null, search_results: "none" }
    )
    assert.deepStrictEqual(
      seen,
      [a, b, "https://c", 5].map((citation) => ["citation", { citation }] as const)
    )
  })

  it("Azure's content filter, when it says something new", () => {
    const safe = { hate: { filtered: false, severity: "safe" } }
    const low = { hate: { filtered: false, severity: "low" } }
    const prompt_filter_results = [{ prompt_index: 0, content_filter_results: safe }]
    const offsets = { check_offset: 44, start_offset: 44, end_offset: 198 }
    const seen = metadataOf(
      { choices: [], prompt_filter_results },
      delta({ content: "a" }, { content_filter_results: {} }),
      delta({ content: "b" }, { content_filter_results: safe }),
      delta({ content: "c" }, { content_filter_results: safe }),
      delta({}, { content_filter_results: low, content_filter_offsets: offsets })
    )
    assert.deepStrictEqual(seen, [
      ["content-filter", { prompt_filter_results }],
      ["content-filter", { content_filter_results: safe }],
      ["content-filter", { content_filter_results: low }],
      ["content-filter", { content_filter_offsets: offsets }]
    ])
  })

  it("images and audio are files", () => {
    const image = { type: "image_url", image_url: { url: "data:image/png;base64,AA" } }
    const audio = { id: "a", data: "AAAA", transcript: "hi" }
    assert.deepStrictEqual(metadataOf(delta({ images: [image, image] }), delta({ audio }), delta({ audio })), [
      ["file", { image }],
      ["file", { image }],
      ["file", { audio }],
      ["file", { audio }]
    ])
  })

  it("a field that nobody knows: of a delta each time, of a choice or a chunk when it changes", () => {
    const seen = metadataOf(
      { ...delta({ novel: 1, empty: "" }, { stop_reason: 7 }), provider: "p", __proto__: null },
      { ...delta({ novel: 1, none: [] }, { stop_reason: 7, nothing: {} }), provider: "p", time_info: { t: 0 } },
      { ...delta({ novel: false }, { stop_reason: null }), provider: "q" }
    )
    assert.deepStrictEqual(
      seen,
      [
        { novel: 1 },
        { stop_reason: 7 },
        { provider: "p" },
        { novel: 1 },
        { time_info: { t: 0 } },
        { novel: false },
        { provider: "q" }
      ].map((chunk) => ["unknown", { chunk }] as const)
    )
  })

  it("the service tier comes with the finish", () => {
    const { events } = decode(Stream.make(data({ ...delta({}), service_tier: "flex" }, finish())))
    assert.deepStrictEqual(finishOf(events)?.metadata, { usage: undefined, serviceTier: "flex" })
  })

  it.effect("what is kept, to know what is new, is bounded", () =>
    Effect.gen(function* () {
      const floods: ReadonlyArray<(n: number) => Json> = [
        (n) => ({ choices: [], [`field${n}`]: 1 }),
        (n) => ({ choices: [], field: "x".repeat(n) }),
        (n) => ({ choices: [], citations: [`https://${n}`] })
      ]
      for (const chunk of floods) {
        let n = 0
        const source = Stream.fromPull(Effect.succeed(Effect.sync(() => [data(chunk(n++))] as const)))
        const { failure } = yield* collect(OpenAiChat.decode({ maxBufferSize: 2000 })(source))
        assert.strictEqual(reasonOf(failure, "BufferOverflow").limit, 2000)
        assert.isBelow(n, 2100)
      }
    })
  )
})

describe("Google's compatible server", () => {
  const signed = (thought_signature: string) => ({ google: { thought_signature } })

  it("a thought is reasoning, its signature Metadata", () => {
    const thought = { google: { thought: true } }
    const chunks = [
      delta({ content: "hm", extra_content: thought }),
      delta({ content: "a", extra_content: signed("s") }),
      finish()
    ]
    assert.deepStrictEqual(lines(chunks), [
      'Reasoning "hm"',
      "Metadata signature",
      'Delta "a"',
      "Metadata signature",
      ...stopped
    ])
  })

  it("a call's signature names it; calls without an index are not mixed up", () => {
    const call = (id: string) => ({
      id,
      type: "function",
      function: { name: "f", arguments: "{}" },
      extra_content: signed(id)
    })
    const { events } = decode(Stream.make(data(tool(call("a")), tool(call("b")), finish("tool_calls"))))
    assert.deepStrictEqual(
      events
        .filter(StreamEvent.is("Metadata"))
        .flatMap(({ kind, metadata }) => (kind === "signature" ? [metadata] : [])),
      ["a", "b"].map((id) => ({ id, extra_content: signed(id) }))
    )
    assert.deepStrictEqual(
      events.filter(StreamEvent.is("ToolCall")).map((event) => event.id),
      ["a", "b"]
    )
  })
})

describe("the response", () => {
  it("is identified once, though some servers change the id, by the first that is not empty", () => {
    const chunks = [
      { id: "", object: "", created: 0, model: "", choices: [], prompt_filter_results: [] },
      { id: "1", model: "m", system_fingerprint: "fp", ...delta({ content: "a" }) },
      { id: "2", model: "n", ...delta({ content: "b" }) },
      finish()
    ]
    const { events } = decode(Stream.make(data(...chunks)))
    const responses = events.filter(StreamEvent.is("Metadata")).filter((event) => event.kind === "response")
    assert.deepStrictEqual(
      responses.map((event) => event.metadata),
      [{ id: "1", model: "m", systemFingerprint: "fp" }]
    )
    assert.strictEqual(textOf(events, "Delta"), "ab")
  })
})

describe("the end", () => {
  it("finish reasons in the words of effect/ai, the provider's own beside", () => {
    const words: ReadonlyArray<readonly [word: string, reason: StreamResult.FinishReason]> = [
      ["stop", "stop"],
      ["end_turn", "stop"],
      ["length", "length"],
      ["max_tokens", "length"],
      ["model_length", "length"],
      ["content_filter", "content-filter"],
      ["tool_calls", "tool-calls"],
      ["function_call", "tool-calls"],
      ["error", "error"],
      ["insufficient_system_resource", "error"],
      ["something new", "other"]
    ]
    for (const [word, reason] of words) {
      const { events, failure } = decode(Stream.make(data(finish(word))))
      assert.isUndefined(failure)
      assert.deepInclude(events.at(-1), { _tag: "End", finishReason: reason })
      assert.deepInclude(finishOf(events), { finishReason: reason, providerFinishReason: word })
    }
  })

  it("no finish reason is one: null, empty, missing, of another choice", () => {
    const other = { choices: [{ index: 1, delta: {}, finish_reason: "stop" }] }
    for (const chunk of [finish(null), finish(""), delta({}), finish(5), other, { choices: [] }]) {
      for (const done of ["", "data: [DONE]\n\n"]) {
        assert.match(lines(data(delta({ content: "a" }), chunk) + done).at(-1)!, /^Truncated: .*finish reason/)
      }
    }
  })

  it("a later chunk without one does not take it back; a later one counts", () => {
    assert.deepStrictEqual(lines([finish(), finish(null), delta({})]), stopped)
    assert.deepStrictEqual(lines([finish(), finish("length")]), ["finish length", "End length"])
  })

  it("[DONE] is not needed, and what follows it is nothing", () => {
    assert.deepStrictEqual(lines(data(finish())), stopped)
    assert.deepStrictEqual(
      lines(data(finish()) + "data: [DONE]\n\n" + data(delta({ content: "a" }), { error: "no" })),
      stopped
    )
  })

  it("onMissingFinish: tool calls are treated as at any other end", () => {
    const call = (argumentsText: string) => [
      tool({ index: 0, id: "a", function: { name: "f", arguments: argumentsText } })
    ]
    const shown = 'ToolCallDelta a f {"x":1}'
    assert.deepStrictEqual(lines(call('{"x":1}'), { onMissingFinish: "accept" }), [
      shown,
      'ToolCall a f {"x":1}',
      "End unknown"
    ])
    assert.deepStrictEqual(lines(call('{"x":1}'), { onMissingFinish: "mark" }), [
      shown,
      'ToolCall a f {"x":1}',
      "Metadata truncated",
      "End unknown"
    ])
    for (const cut of ['{"x":', ""]) {
      assert.match(lines(call(cut), { onMissingFinish: "accept" }).at(-1)!, /^ToolCallIncomplete/)
    }
  })

  it("the same with onMissingFinish where there is a finish reason", () => {
    for (const onMissingFinish of ["fail", "mark", "accept"] as const) {
      assert.deepStrictEqual(lines([finish()], { onMissingFinish }), stopped)
    }
  })
})

describe("tool calls", () => {
  const fn = (name: string | undefined, argumentsText?: unknown): Json => ({
    function: { name, arguments: argumentsText }
  })
  const whole = ["finish tool_calls", "End tool-calls"]

  it("come in fragments and then, at the end, as one call each", () => {
    const chunks = [
      tool({ index: 0, id: "a", type: "function", ...fn("f", "") }),
      tool({ index: 0, ...fn(undefined, '{"x"') }),
      tool({ index: 0, ...fn(undefined, ":1}") }),
      finish("tool_calls")
    ]
    assert.deepStrictEqual(lines(chunks), [
      'ToolCallDelta a f {"x"',
      "ToolCallDelta a f :1}",
      'ToolCall a f {"x":1}',
      ...whole
    ])
  })

  it("empty identifiers, names and arguments in continuations overwrite nothing", () => {
    const chunks = [
      tool({ index: 0, id: "a", ...fn("f", "{") }),
      tool({ index: 0, id: "", type: "", ...fn("", "") }),
      tool({ index: 0, id: null, function: null }),
      tool({ index: 0, id: "", ...fn("", "}") }),
      tool({ index: 0, id: "", ...fn(undefined, null) }),
      finish("tool_calls")
    ]
    assert.deepStrictEqual(lines(chunks), ["ToolCallDelta a f {", "ToolCallDelta a f }", "ToolCall a f {}", ...whole])
  })

  it("two at once, fragments in turn", () => {
    const chunks = [
      tool({ index: 0, id: "a", ...fn("f", "[") }, { index: 1, id: "b", ...fn("g", "{") }),
      tool({ index: 1, ...fn(undefined, "}") }),
      tool({ index: 0, ...fn(undefined, "]") }),
      finish("tool_calls")
    ]
    assert.deepStrictEqual(lines(chunks).slice(4), ["ToolCall a f []", "ToolCall b g {}", ...whole])
  })

  it("an index that is used again, with another identifier", () => {
    const chunks = [
      tool({ index: 0, id: "a", ...fn("f", "{}") }),
      tool({ index: 0, id: "b", ...fn("f", "[") }),
      tool({ index: 0, ...fn(undefined, "]") }),
      finish("tool_calls")
    ]
    assert.deepStrictEqual(lines(chunks).slice(3), ["ToolCall a f {}", "ToolCall b f []", ...whole])
  })

  it("no index", () => {
    const chunks = [
      tool({ id: "a", ...fn("f", "{}") }),
      tool({ id: "b", ...fn("g", "[1") }),
      tool(fn(undefined, "]")),
      finish("tool_calls")
    ]
    assert.deepStrictEqual(lines(chunks).slice(3), ["ToolCall a f {}", "ToolCall b g [1]", ...whole])
  })

  it("neither index nor identifier, whole calls one after the other", () => {
    const chunks = [
      tool({ index: 0, id: "", ...fn("f", '{"x":1}') }),
      tool({ index: 0, id: "", ...fn("f", '{"x":2}') }),
      finish("stop")
    ]
    assert.deepStrictEqual(lines(chunks).slice(2), [
      'ToolCall call_0 f {"x":1}',
      'ToolCall call_1 f {"x":2}',
      ...stopped
    ])
  })

  it("the name comes late", () => {
    const chunks = [
      tool({ index: 0, id: "a" }),
      tool({ index: 0, ...fn(undefined, "{") }),
      tool({ index: 0, ...fn("f") }),
      tool({ index: 0, ...fn(undefined, "}") }),
      finish("tool_calls")
    ]
    assert.deepStrictEqual(lines(chunks), ["ToolCallDelta a f {", "ToolCallDelta a f }", "ToolCall a f {}", ...whole])
  })

  it("a whole call with the finish reason in one chunk", () => {
    const tool_calls = [{ id: "a", ...fn("f", '{"x":1}') }]
    assert.deepStrictEqual(lines([delta({ content: "", tool_calls }, { finish_reason: "tool_calls" })]), [
      'ToolCallDelta a f {"x":1}',
      'ToolCall a f {"x":1}',
      ...whole
    ])
  })

  it("arguments as the object that they mean", () => {
    const { events } = decode(
      Stream.make(data(tool({ index: 0, id: "a", ...fn("f", { x: [1] }) }), finish("tool_calls")))
    )
    assert.deepInclude(events.find(StreamEvent.is("ToolCall")), { argumentsText: '{"x":[1]}', input: { x: [1] } })
  })

  it("empty arguments are {}, missing ones too", () => {
    for (const argumentsText of ["", undefined, null]) {
      assert.deepStrictEqual(lines([tool({ index: 0, id: "a", ...fn("f", argumentsText) }), finish("tool_calls")]), [
        "ToolCall a f {}",
        ...whole
      ])
    }
  })

  it("arguments are whole only at the end, though what came so far may be JSON", () => {
    const chunks = [
      tool({ index: 0, id: "a", ...fn("f", "{}") }),
      tool({ index: 0, ...fn(undefined, " ") }),
      tool({ index: 0, ...fn(undefined, "x") }),
      finish("tool_calls")
    ]
    const seen = lines(chunks)
    assert.isFalse(seen.some((line) => line.startsWith("ToolCall ")))
    assert.match(seen.at(-1)!, /^ToolCallIncomplete/)
  })

  it("an answer that is cut: half a call fails the stream, behind everything else", () => {
    const usage = { prompt_tokens: 1, completion_tokens: 2 }
    const chunks = [
      tool({ index: 0, id: "a", ...fn("f", '{"x":1}') }),
      tool({ index: 1, id: "b", ...fn("g", '{"x":') }),
      finish("length"),
      { choices: [], usage }
    ]
    const { events, failure } = decode(Stream.make(data(...chunks) + "data: [DONE]\n\n"))
    assert.deepStrictEqual(
      events.map((event) => event._tag),
      ["Start", "ToolCallDelta", "ToolCallDelta", "ToolCall", "Metadata"]
    )
    assert.strictEqual(finishOf(events)?.usage?.outputTokens.total, 2)
    assert.deepInclude(reasonOf(failure, "ToolCallIncomplete"), { id: "b", name: "g" })
    assert.notInclude(failure!.message, "x")
  })

  it("an answer that is cut before the arguments began has no call", () => {
    for (const word of ["length", "error", "content_filter", "insufficient_system_resource"]) {
      const seen = lines([tool({ index: 0, id: "a", ...fn("f", "") }), finish(word)])
      assert.deepStrictEqual(
        seen.map((line) => line.split(/[ :]/)[0]),
        ["finish", "ToolCallIncomplete"]
      )
    }
  })

  it("a call without a name is incomplete; a fragment that says nothing is no call", () => {
    assert.match(
      lines([tool({ index: 0, id: "a", ...fn(undefined, "{}") }), finish("tool_calls")]).at(-1)!,
      /^ToolCallIncomplete/
    )
    const nothing = [
      tool({}),
      tool({ index: 0 }),
      tool({ index: 0, type: "function", ...fn("", "") }),
      delta({ tool_calls: [null, 5, "x", []] })
    ]
    assert.deepStrictEqual(lines([...nothing, finish()]), stopped)
  })

  it("the one function call of older servers is a call; beside tool calls it says the same", () => {
    const chunks = [
      delta({ content: null, function_call: { name: "f", arguments: "" } }),
      delta({ function_call: { arguments: '{"x"' } }),
      delta({ function_call: { arguments: ":1}" }, tool_calls: null }),
      finish("function_call")
    ]
    assert.deepStrictEqual(lines(chunks), [
      'ToolCallDelta call_0 f {"x"',
      "ToolCallDelta call_0 f :1}",
      'ToolCall call_0 f {"x":1}',
      "finish function_call",
      "End tool-calls"
    ])
    const both = { function_call: fn("f", "{}")["function"], tool_calls: [{ index: 0, id: "a", ...fn("f", "{}") }] }
    assert.deepStrictEqual(lines([delta(both), finish("tool_calls")]), [
      "ToolCallDelta a f {}",
      "ToolCall a f {}",
      ...whole
    ])
  })

  it("a custom tool's input is text", () => {
    const chunks = [
      tool({ index: 0, id: "a", type: "custom", custom: { name: "sql", input: "" } }),
      tool({ index: 0, custom: { input: "SELECT " } }),
      tool({ index: 0, custom: { input: "1" } }),
      finish("tool_calls")
    ]
    assert.deepStrictEqual(lines(chunks).slice(2), ['ToolCall a sql "SELECT 1"', ...whole])
  })

  it("a call in a stream without finish reason is none", () => {
    const seen = lines([tool({ index: 0, id: "a", ...fn("f", '{"x":1}') })])
    assert.deepStrictEqual(
      seen.map((line) => line.split(/[ :]/)[0]),
      ["ToolCallDelta", "Truncated"]
    )
  })

  const flood = (chunk: (n: number) => Json) => {
    let pulled = 0
    const source = Stream.fromPull(Effect.succeed(Effect.sync(() => [data(chunk(pulled++))] as const)))
    return OpenAiChat.decode()(source).pipe(
      collect,
      Effect.provide(StreamConfig.layer({ maxBufferSize: 10_000 })),
      Effect.map(({ failure }) => ({ failure, pulled }))
    )
  }

  it.effect("a flood of arguments, of calls, of names, of identifiers is bounded", () =>
    Effect.gen(function* () {
      const floods: ReadonlyArray<(n: number) => Json> = [
        () => tool({ index: 0, id: "a", ...fn("f", "0123456789") }),
        () => tool({ index: 0, id: "a", ...fn(undefined, "0123456789") }),
        (n) => tool({ index: n, id: `${n}`, ...fn("f", "{}") }),
        (n) => tool({ index: n, ...fn("f") }),
        (n) => tool({ index: n, id: `${n}`.padStart(100) }),
        (n) => tool({ index: n, ...fn("x".repeat(100)) })
      ]
      for (const chunk of floods) {
        const { failure, pulled } = yield* flood(chunk)
        const reason = reasonOf(failure, "BufferOverflow")
        assert.strictEqual(reason.limit, 10_000)
        assert.isAbove(reason.size, 10_000)
        assert.isAtMost(pulled, 1_100)
      }
    })
  )
})

describe("usage", () => {
  const usageOf = (...chunks: ReadonlyArray<unknown>) => finishOf(decode(Stream.make(data(...chunks))).events)?.usage
  const usage = { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 }
  const expected = {
    inputTokens: { total: 7, cacheRead: undefined, uncached: undefined, cacheWrite: undefined },
    outputTokens: { total: 3, reasoning: undefined, text: undefined }
  }

  it("in each place where servers put it", () => {
    const places: ReadonlyArray<ReadonlyArray<unknown>> = [
      [finish(), { choices: [], usage }],
      [finish("stop", { usage })],
      [finish("stop", { x_groq: { id: "x", usage } })],
      [delta({}, { finish_reason: "stop", usage })],
      [{ usage: { prompt_tokens: 7, completion_tokens: 1 }, ...delta({ content: "a" }) }, finish("stop", { usage })],
      [finish("stop", { usage }), { choices: [], usage: null }],
      [{ choices: [], usage }, finish("stop")]
    ]
    for (const chunks of places) assert.deepStrictEqual(usageOf(...chunks), expected)
  })

  it("comes once, with the finish reason, and the provider's own beside", () => {
    const { events } = decode(
      Stream.make(data(delta({}, { usage }), finish("stop", { usage }), { choices: [], usage }))
    )
    const all = events.filter(StreamEvent.is("Metadata"))
    assert.strictEqual(all.length, 1)
    assert.deepStrictEqual(all[0]?.metadata, { usage })
  })

  it("what was counted is not lost when the stream is cut", () => {
    const { events, failure } = decode(Stream.make(data({ usage, ...delta({ content: "a" }) })))
    assert.strictEqual(failure?.reason._tag, "Truncated")
    assert.deepInclude(finishOf(events), { kind: "usage", usage: expected, finishReason: undefined })
  })

  it("cached and reasoning tokens, by all their names", () => {
    const cached = [
      { prompt_tokens_details: { cached_tokens: 4, cache_write_tokens: 2 } },
      { prompt_cache_hit_tokens: 4, prompt_cache_miss_tokens: 3 },
      { cached_tokens: 4 }
    ]
    for (const fields of cached) {
      const tokens = usageOf(finish("stop", { usage: { ...usage, ...fields } }))?.inputTokens
      assert.deepInclude(tokens, { total: 7, cacheRead: 4, uncached: 3 })
    }
    for (const fields of [{ completion_tokens_details: { reasoning_tokens: 2 } }, { reasoning_tokens: 2 }]) {
      const tokens = usageOf(finish("stop", { usage: { ...usage, ...fields } }))?.outputTokens
      assert.deepStrictEqual(tokens, { total: 3, reasoning: 2, text: 1 })
    }
  })

  it("xAI counts reasoning beside the completion: its total tells", () => {
    const xai = {
      prompt_tokens: 291,
      completion_tokens: 26,
      total_tokens: 513,
      completion_tokens_details: { reasoning_tokens: 196 }
    }
    assert.deepStrictEqual(usageOf(finish("stop", { usage: xai }))?.outputTokens, {
      total: 222,
      reasoning: 196,
      text: 26
    })
    const openai = { ...xai, total_tokens: 317 }
    assert.deepInclude(usageOf(finish("stop", { usage: openai }))?.outputTokens, { total: 26, reasoning: 196 })
    const none = { ...xai, total_tokens: 317, completion_tokens_details: { reasoning_tokens: 0 } }
    assert.deepStrictEqual(usageOf(finish("stop", { usage: none }))?.outputTokens, {
      total: 26,
      reasoning: 0,
      text: 26
    })
  })

  it("what does not add up is not known, and never negative", () => {
    const odd = { prompt_tokens: 5, cached_tokens: 9, completion_tokens: 21, reasoning_tokens: 50 }
    assert.deepStrictEqual(usageOf(finish("stop", { usage: odd })), {
      inputTokens: { total: 5, cacheRead: 9, uncached: undefined, cacheWrite: undefined },
      outputTokens: { total: 21, reasoning: 50, text: undefined }
    })
  })

  it("what is missing, or no number, is undefined and not 0", () => {
    for (const odd of [
      {},
      { prompt_tokens: null, completion_tokens: "3", completion_tokens_details: 5, prompt_tokens_details: [] }
    ]) {
      const counts = usageOf(finish("stop", { usage: odd }))
      assert.deepStrictEqual(
        Object.values({ ...counts?.inputTokens, ...counts?.outputTokens }).filter((n) => n !== undefined),
        []
      )
    }
    for (const none of [null, 5, "x", []]) assert.isUndefined(usageOf(finish("stop", { usage: none })))
  })
})

describe("errors in the stream", () => {
  const error = { message: "no", type: "server_error", param: null, code: null }
  const reported = "ProviderFailure: openai reported server_error: no"
  const begun = [delta({ content: "a" })]

  it("by themselves, first or later, [DONE] behind them or not", () => {
    for (const done of ["", "data: [DONE]\n\n"]) {
      assert.deepStrictEqual(lines(data({ error }) + done), [reported])
      assert.deepStrictEqual(lines(data(...begun, { error }) + done), ['Delta "a"', reported])
    }
  })

  it("under the name of error", () => {
    assert.deepStrictEqual(lines(`${data(...begun)}event: error\n${data({ error })}data: [DONE]\n\n`), [
      'Delta "a"',
      reported
    ])
  })

  it("beside a choice that says error, whose text is not lost, and reported once", () => {
    const chunk = { ...delta({ content: "b" }, { finish_reason: "error" }), error }
    assert.deepStrictEqual(lines([...begun, chunk, { error }]), ['Delta "a"', 'Delta "b"', "finish error", reported])
  })

  it("inside of the choice", () => {
    assert.deepStrictEqual(lines([...begun, delta({ content: "b" }, { finish_reason: "error", error })]), [
      'Delta "a"',
      'Delta "b"',
      "finish error",
      reported
    ])
  })

  it("as an object of its own kind", () => {
    assert.deepStrictEqual(lines([...begun, { object: "error", ...error }]), ['Delta "a"', reported])
  })

  it("as text, with a number for a code, wrapped, or without any word", () => {
    const forms: ReadonlyArray<readonly [error: unknown, line: string]> = [
      ["no", "openai reported: no"],
      [{ code: 502, message: "no" }, "openai reported 502: no"],
      [{ error }, "openai reported server_error: no"],
      [{}, "openai reported: no message"],
      [[], "openai reported: no message"],
      [500, "openai reported: no message"]
    ]
    for (const [error, line] of forms) assert.deepStrictEqual(lines([{ error }]), [`ProviderFailure: ${line}`])
  })

  it("null is no error", () => {
    assert.deepStrictEqual(lines([{ ...delta({ content: "a" }, { error: null }), error: null }, finish()]), [
      'Delta "a"',
      ...stopped
    ])
  })

  it("the options name the provider", () => {
    assert.deepStrictEqual(lines([{ error }], { provider: "groq" }), [
      "ProviderFailure: groq reported server_error: no"
    ])
  })

  it("no call is made up when one is under way", () => {
    const call = tool({ index: 0, id: "a", function: { name: "f", arguments: "" } })
    const seen = lines([call, { ...finish("error"), error }])
    assert.deepStrictEqual(seen, ["finish error", reported])
  })
})

describe("framing", () => {
  const expected = ['Delta "a"', ...stopped]
  const chunks = [delta({ content: "a" }), finish()]

  it("line ends, no space, a byte order mark, a last event without its blank line", () => {
    const text = data(...chunks)
    const variants = [
      text.replaceAll("\n", "\r\n"),
      text.replaceAll("\n", "\r"),
      text.replaceAll("data: ", "data:"),
      `\ufeff${text}`,
      text.trimEnd(),
      `${text}data: [DONE]`,
      `retry: 5\n\n${text}`,
      text.replaceAll("data: ", "id: 1\nevent: chunk\ndata: ")
    ]
    for (const variant of variants) {
      assert.deepStrictEqual(lines(variant), expected)
      const bytes = StreamTest.split(bytesOf(variant), 1)
      assert.deepStrictEqual(
        decode(StreamTest.script(bytes)).events.map(show),
        decode(Stream.make(variant)).events.map(show)
      )
    }
  })

  it("JSON over several data lines", () => {
    const pretty = chunks.map((chunk) => JSON.stringify(chunk, undefined, 2).replaceAll(/^/gm, "data: ")).join("\n\n")
    assert.deepStrictEqual(lines(pretty + "\n\n"), expected)
  })

  it("comments are Progress", () => {
    assert.deepStrictEqual(lines(`: OPENROUTER PROCESSING\n\n${data(chunks[0])}: keep-alive\n\n${data(chunks[1])}`), [
      'Progress {"kind":"keep-alive"}',
      'Delta "a"',
      'Progress {"kind":"keep-alive"}',
      ...stopped
    ])
  })

  it("malformed JSON fails with its offset, or is skipped", () => {
    const first = data(chunks[0])
    const text = `${first}data: {"choices":[{"delta"\n\n${data(chunks[1])}`
    assert.deepStrictEqual(lines(text), ['Delta "a"', `MalformedFrame: Malformed frame at offset ${first.length}`])
    assert.deepStrictEqual(lines(text, { onMalformed: "skip" }), expected)
  })
})

describe("fromChunks", () => {
  it("gives what the bytes give", () => {
    const chunks = [
      { id: "1", ...delta({ content: "a" }) },
      tool({ index: 0, id: "a", function: { name: "f", arguments: "{}" } }),
      finish("tool_calls", { usage: { prompt_tokens: 1 } })
    ]
    const { events, failure } = Effect.runSync(collect(OpenAiChat.fromChunks()(Stream.fromIterable(chunks))))
    assert.isUndefined(failure)
    assert.deepStrictEqual(events.map(show), decode(Stream.make(data(...chunks))).events.map(show))
  })

  it("fails as the bytes do", () => {
    const failure = (chunks: ReadonlyArray<unknown>) =>
      Effect.runSync(collect(OpenAiChat.fromChunks({ provider: "groq" })(Stream.fromIterable(chunks)))).failure?.message
    assert.strictEqual(failure([delta({ content: "a" })]), "The stream stopped before a finish reason")
    assert.strictEqual(failure([{ error: "no" }, finish()]), "groq reported: no")
  })

  it("arguments that cannot be text are a failure and no defect", () => {
    const circular: Record<string, unknown> = {}
    circular["self"] = circular
    for (const odd of [circular, { big: 1n }]) {
      const chunk = tool({ index: 0, id: "a", function: { name: "f", arguments: odd } })
      const { events, failure } = Effect.runSync(
        collect(OpenAiChat.fromChunks()(Stream.make(delta({ content: "a" }), chunk, finish())))
      )
      assert.strictEqual(textOf(events, "Delta"), "a")
      assert.strictEqual(reasonOf(failure, "MalformedFrame").offset, 1)
    }
  })
})

anyJsonSuite({
  provider: OpenAiChat,
  words:
    "id model object system_fingerprint choices index delta message content type text thinking reasoning reasoning_content refusal reasoning_text reasoning_details summary extra_content google thought images audio citations search_results url prompt_filter_results content_filter_results service_tier tool_calls function_call function custom input name arguments finish_reason logprobs annotations usage x_groq prompt_tokens completion_tokens total_tokens prompt_tokens_details cached_tokens completion_tokens_details reasoning_tokens error code stop".split(
      " "
    ),
  streams: [
    [
      { id: "1", model: "m", ...delta({ role: "assistant", content: "a", reasoning: "b" }) },
      tool({ index: 0, id: "c", function: { name: "f", arguments: "" } }),
      tool({ index: 1, id: "d", function: { name: "g", arguments: '{"x"' } }),
      tool({ index: 0, function: { arguments: "{}" } }, { index: 1, function: { arguments: ":1}" } }),
      finish("tool_calls"),
      { choices: [], usage: { prompt_tokens: 1, prompt_tokens_details: { cached_tokens: 1 } } }
    ],
    [
      delta({ content: [{ type: "thinking", thinking: [{ type: "text", text: "a" }] }] }),
      delta({ function_call: { name: "f", arguments: "{}" }, annotations: [{ url: "u" }] }),
      {
        ...delta({ images: [1] }, { content_filter_results: { a: 1 } }),
        citations: ["u"],
        search_results: [{ url: "u" }]
      },
      tool({ id: "e", custom: { name: "h", input: "x" }, extra_content: { google: { thought: true } } }),
      finish("stop", { error: { message: "no" } })
    ]
  ]
})

describe("a chunk", () => {
  it("that is no object passes through as Metadata", () => {
    for (const chunk of [null, 5, "x", true, [], [delta({ content: "x" })]]) {
      assert.deepStrictEqual(lines([chunk, delta({ content: "a" }), finish()]), [
        "Metadata unknown",
        'Delta "a"',
        ...stopped
      ])
    }
  })

  it("without choices gives nothing", () => {
    for (const chunk of [{}, { choices: null }, { choices: {} }, { choices: [null, 5, []] }]) {
      assert.deepStrictEqual(lines([chunk, delta({ content: "a" }), finish()]), ['Delta "a"', ...stopped])
    }
  })

  it("that is nested too deep to be encoded again is malformed", () => {
    const deep = "[".repeat(200_000) + "]".repeat(200_000)
    const chunk = `data: {"choices":[{"delta":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":${deep}}}]}}]}\n\n`
    const first = data(delta({ content: "a" }))
    assert.deepStrictEqual(lines(first + chunk + data(finish())), [
      'Delta "a"',
      `MalformedFrame: Malformed frame at offset ${first.length}`
    ])
  })
})

describe("laws", () => {
  const call = (argumentsText: string) => [
    tool({ index: 0, id: "a", function: { name: "f", arguments: argumentsText } }),
    tool({ index: 0, function: { arguments: "}" } })
  ]
  const streams: ReadonlyArray<readonly [name: string, text: string]> = [
    [
      "a whole answer",
      `: c\r\n\r\n${data(delta({ content: "naïve 😀" }), delta({ reasoning: "b" }), delta({ content: "c" }), finish())}`
    ],
    [
      "with a tool call and usage",
      data(...call('{"x":1'), finish("tool_calls"), { choices: [], usage: { prompt_tokens: 1 } })
    ],
    ["with half a tool call", data(delta({ content: "a" }), ...call('{"x":'), finish("length"))],
    ["cut", data(delta({ content: "a" }), ...call("{")) + 'data: {"choices":[{"de'],
    ["without the last blank line", data(delta({ content: "a" }), finish()).trimEnd()],
    [
      "with an error",
      data(delta({ content: "a" }), { error: { message: "no" } }, delta({ content: "b" })) + "data: [DONE]\n\n"
    ],
    ["with malformed JSON", data(delta({ content: "a" })) + "data: {\n\n" + data(delta({ content: "b" }))]
  ]

  for (const [name, text] of streams) {
    it.effect.prop(
      `of ${name}`,
      { input: StreamArbitrary.splits(bytesOf(text)) },
      ({ input }) => StreamLaws.all(OpenAiChat.decode(), input),
      {
        arbitrary: { runs: 25 }
      }
    )
  }

  const ended =
    data(delta({ content: "a" }), ...call('{"x":1'), finish()) + "data: [DONE]\n\n" + data(delta({ content: "b" }))

  it.effect.prop(
    "of a whole answer with [DONE], and more behind it",
    { input: StreamArbitrary.splits(bytesOf(ended)) },
    ({ input }) => StreamLaws.all(OpenAiChat.decode(), input),
    { arbitrary: { runs: 25 } }
  )

  it.effect.prop(
    "of a frame that is too large",
    { input: StreamArbitrary.splits(data(delta({ content: "a" }), delta({ content: "b".repeat(100) }), finish())) },
    ({ input }) => StreamLaws.all(OpenAiChat.decode({ maxEventSize: 100 }), input),
    { arbitrary: { runs: 25 } }
  )

  it.effect.prop(
    "of any text",
    { input: StreamArbitrary.bytes({ words: ["data: ", "\n\n", data(finish()), data(delta({ content: "a" }))] }) },
    ({ input }) => StreamLaws.all(OpenAiChat.decode({ onMalformed: "skip" }), input)
  )
})
