import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"
import * as StreamConfig from "../../src/StreamConfig.ts"
import * as StreamError from "../../src/StreamError.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"
import type * as StreamResult from "../../src/StreamResult.ts"
import * as StreamArbitrary from "../../src/testing/StreamArbitrary.ts"
import * as StreamLaws from "../../src/testing/StreamLaws.ts"
import * as StreamTest from "../../src/testing/StreamTest.ts"
import * as OpenAiChat from "../../src/wire/OpenAiChat.ts"
import type * as Protocol from "../../src/wire/Protocol.ts"
import { collect, finishOf, random, reasonOf, show, textOf } from "../support/run.ts"

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

  it("logprobs and annotations pass through", () => {
    const chunks = [
      delta({ content: "a", annotations: [{ url: "x" }] }, { logprobs: { content: [] } }),
      delta({}, { logprobs: null }),
      finish()
    ]
    assert.deepStrictEqual(lines(chunks), ['Delta "a"', "Metadata logprobs", "Metadata annotations", ...stopped])
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

describe("any JSON", () => {
  const keys =
    "id model object system_fingerprint choices index delta message content type text thinking reasoning reasoning_content refusal tool_calls function name arguments finish_reason logprobs annotations usage x_groq prompt_tokens completion_tokens total_tokens prompt_tokens_details cached_tokens completion_tokens_details reasoning_tokens error code __proto__ toString constructor".split(
      " "
    )

  /** Garbage in the words of the protocol. */
  const garbage = (next: () => number, depth: number): unknown => {
    const int = (n: number) => Math.floor(next() * n)
    const pick = (values: ReadonlyArray<unknown>) => values[int(values.length)]
    const kind = depth === 0 ? 0 : next()
    if (kind < 0.35)
      return pick([
        null,
        true,
        false,
        0,
        1,
        -1,
        1.5,
        1e308,
        "",
        "a",
        "stop",
        "{}",
        "{",
        "\ud83d",
        "thinking",
        "text",
        "error"
      ])
    if (kind < 0.55) return Array.from({ length: int(4) }, () => garbage(next, depth - 1))
    const known: ReadonlyArray<readonly [string, unknown]> = Array.from({ length: int(6) }, () => [
      String(pick(keys)),
      garbage(next, depth - 1)
    ])
    return Object.fromEntries(known)
  }

  /** A right chunk with one part of it replaced. */
  const spoiled = (next: () => number): unknown => {
    const chunk = {
      id: "1",
      model: "m",
      choices: [
        {
          index: 0,
          delta: {
            content: "a",
            reasoning: "b",
            tool_calls: [{ index: 0, id: "c", function: { name: "f", arguments: "{}" } }]
          },
          finish_reason: next() < 0.5 ? null : "stop"
        }
      ],
      usage: { prompt_tokens: 1, prompt_tokens_details: { cached_tokens: 1 } }
    }
    const spoil = (value: unknown): unknown => {
      if (next() < 0.08) return garbage(next, 3)
      if (Array.isArray(value)) return value.map(spoil)
      if (typeof value !== "object" || value === null) return value
      return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, spoil(field)]))
    }
    return spoil(chunk)
  }

  const encode = Schema.encodeSync(StreamEvent.StreamEvent)

  const check = (chunks: ReadonlyArray<unknown>): void => {
    const text = data(...chunks)
    // A defect would be thrown here.
    const { events, failure } = decode(Stream.make(text))
    for (const event of events) encode(event)
    const grammar = Effect.runSync(collect(StreamEvent.validate(Stream.fromIterable(events)))).failure
    assert.notStrictEqual(grammar?.reason._tag, "ProtocolViolation", grammar?.message)
    const ends = events.filter(StreamEvent.isTerminal).length
    assert.strictEqual(ends + (failure === undefined ? 0 : 1), 1, text)
    if (failure !== undefined) {
      assert.include(["Truncated", "ProviderFailure", "ToolCallIncomplete", "MalformedFrame"], failure.reason._tag)
      Schema.encodeSync(StreamError.StreamError)(failure)
    }
    const again = Effect.runSync(
      collect(OpenAiChat.fromChunks()(Stream.fromIterable(chunks.map((chunk) => JSON.parse(JSON.stringify(chunk))))))
    )
    assert.deepStrictEqual(again.events.map(show), events.map(show))
  }

  it("gives events or a typed failure, never a defect", () => {
    const next = random(1)
    for (let n = 0; n < 1500; n++) check(Array.from({ length: 1 + Math.floor(next() * 4) }, () => garbage(next, 5)))
    for (let n = 0; n < 1500; n++) check(Array.from({ length: 1 + Math.floor(next() * 4) }, () => spoiled(next)))
  })

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

  // It ends before its source does, so the source never gets as far as to fail: there is nothing to ask `emitThenFail`.
  const ended =
    data(delta({ content: "a" }), ...call('{"x":1'), finish()) + "data: [DONE]\n\n" + data(delta({ content: "b" }))

  it.effect.prop(
    "of a whole answer with [DONE], and more behind it",
    { input: StreamArbitrary.splits(bytesOf(ended)) },
    ({ input }) =>
      Effect.gen(function* () {
        yield* StreamLaws.chunkIndependence(OpenAiChat.decode(), input)
        yield* StreamLaws.oneTerminal(OpenAiChat.decode(), input)
        yield* StreamLaws.interruption(OpenAiChat.decode(), input)
      }),
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
