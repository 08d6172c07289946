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
import * as AnthropicMessages from "../../src/wire/AnthropicMessages.ts"
import type * as Protocol from "../../src/wire/Protocol.ts"
import * as Loopback from "../support/loopback.ts"
import { collect, finishOf, random, reasonOf, show, textOf } from "../support/run.ts"

const decode = (source: Stream.Stream<Uint8Array | string>, options?: Protocol.Options) =>
  Effect.runSync(collect(AnthropicMessages.decode(options)(source)))

type Json = Readonly<Record<string, unknown>>

const data = (...chunks: ReadonlyArray<unknown>): string =>
  chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`).join("")

const message = (fields?: Json): Json => ({
  type: "message_start",
  message: {
    id: "msg_1",
    type: "message",
    role: "assistant",
    model: "m",
    content: [],
    stop_reason: null,
    usage: { input_tokens: 3, output_tokens: 1 },
    ...fields
  }
})
const start = (content_block: unknown, index = 0): Json => ({ type: "content_block_start", index, content_block })
const delta = (delta: unknown, index = 0): Json => ({ type: "content_block_delta", index, delta })
const stop = (index = 0): Json => ({ type: "content_block_stop", index })
const finish = (stop_reason: unknown = "end_turn", fields?: Json, others?: Json): Json => ({
  type: "message_delta",
  delta: { stop_reason, stop_sequence: null, ...fields },
  ...others
})
const end: Json = { type: "message_stop" }

const text = (text: string, index?: number): Json => delta({ type: "text_delta", text }, index)
const thinking = (thinking: unknown, index?: number): Json => delta({ type: "thinking_delta", thinking }, index)
const json = (partial_json: unknown, index?: number): Json => delta({ type: "input_json_delta", partial_json }, index)
const tool = (fields?: Json, index?: number): Json =>
  start({ type: "tool_use", id: "a", name: "f", input: {}, ...fields }, index)

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

const stopped = ["finish end_turn", "End stop"]
const called = ["finish tool_use", "End tool-calls"]

describe("the message", () => {
  it("has its text in blocks, each a part of its own", () => {
    const chunks = [
      message(),
      start({ type: "text", text: "" }),
      text("a"),
      text(""),
      text("b"),
      stop(),
      start({ type: "text", text: "c" }, 1),
      text("d", 1),
      stop(1),
      finish(),
      end
    ]
    assert.deepStrictEqual(lines(chunks), [
      "Metadata response",
      'Delta/0 "a"',
      'Delta/0 "b"',
      'Delta/1 "c"',
      'Delta/1 "d"',
      ...stopped
    ])
  })

  it("says at its start what it is", () => {
    assert.deepStrictEqual(metadata("response", message({ container: { id: "c" }, stop_details: null }), end), [
      { container: { id: "c" }, id: "msg_1", model: "m" }
    ])
    assert.deepStrictEqual(metadata("response", { type: "message_start" }), [{ id: undefined, model: undefined }])
  })

  it("may hold its content and its stop reason in its start", () => {
    const content = [
      { type: "thinking", thinking: "t", signature: "s" },
      { type: "text", text: "b", citations: [{ cited_text: "c" }] },
      { type: "tool_use", id: "a", name: "f", input: { x: 1 } },
      { type: "tool_use", id: "b", name: "g", input: {} },
      null
    ]
    assert.deepStrictEqual(lines([message({ content, stop_reason: "tool_use" }), end]), [
      "Metadata response",
      'Reasoning/0 "t"',
      "Metadata signature",
      'Delta/1 "b"',
      "Metadata citation",
      'ToolCallDelta a f {"x":1}',
      'ToolCall a f {"x":1}',
      "ToolCall b g {}",
      "Metadata block",
      ...called
    ])
  })

  it("a start that comes twice says nothing new; nor does one without id", () => {
    for (const again of [message(), message({ id: undefined, usage: undefined }), { type: "message_start" }]) {
      assert.deepStrictEqual(lines([message(), again, text("a"), again, text("b"), finish(), end]), [
        "Metadata response",
        'Delta/0 "a"',
        'Delta/0 "b"',
        ...stopped
      ])
    }
  })

  it("another message begins the answer anew where there was none, and is never mixed into one", () => {
    const other = message({ id: "msg_2", usage: { output_tokens: 5 } })
    const { events } = decode(Stream.make(data(message(), other, text("a"), finish(), end)))
    assert.strictEqual(textOf(events, "Delta"), "a")
    assert.deepStrictEqual(finishOf(events)?.metadata["usage"], { output_tokens: 5 })
    assert.deepStrictEqual(lines([message(), text("a"), other, text("b"), finish(), end]), [
      "Metadata response",
      'Delta/0 "a"',
      "Metadata usage",
      "ProtocolViolation: Expected the rest of the message, got the start of another"
    ])
  })
})

describe("thinking", () => {
  it("is reasoning, and comes whole with its signature, to be sent back", () => {
    const chunks = [
      start({ type: "thinking", thinking: "", signature: "" }),
      thinking("a"),
      thinking("b"),
      delta({ type: "signature_delta", signature: "s" }),
      stop(),
      start({ type: "redacted_thinking", data: "xyz" }, 1),
      stop(1),
      start({ type: "thinking", thinking: "c", signature: "" }, 2),
      thinking("d", 2),
      delta({ type: "signature_delta", signature: "t" }, 2),
      stop(2),
      text("e", 3),
      finish(),
      end
    ]
    assert.deepStrictEqual(
      lines(chunks).filter((line) => !line.startsWith("Metadata")),
      [
        'Progress {"kind":"thinking"}',
        'Reasoning/0 "a"',
        'Reasoning/0 "b"',
        'Reasoning/2 "c"',
        'Reasoning/2 "d"',
        'Delta/3 "e"',
        ...stopped
      ]
    )
    assert.deepStrictEqual(metadata("signature", ...chunks), [
      { part: "0", signature: "s", block: { type: "thinking", thinking: "ab", signature: "s" } },
      { part: "1", block: { type: "redacted_thinking", data: "xyz" } },
      { part: "2", signature: "t", block: { type: "thinking", thinking: "cd", signature: "t" } }
    ])
  })

  it("that is not shown has a signature all the same, and gives signs of life", () => {
    const chunks = [
      start({ type: "thinking", thinking: "", signature: "" }),
      delta({ type: "thinking_delta", thinking: "", estimated_tokens: 50 }),
      delta({ type: "signature_delta", signature: "s" })
    ]
    const progress = 'Progress {"kind":"thinking"}'
    assert.deepStrictEqual(lines([...chunks, end]), [progress, progress, "Metadata signature", "End unknown"])
    assert.deepStrictEqual(metadata("signature", ...chunks), [
      { part: "0", signature: "s", block: { type: "thinking", thinking: "", signature: "s" } }
    ])
  })

  it("a signature whose block is over or was never seen stands for itself; an empty one is none", () => {
    const signature = (signature: unknown) => delta({ type: "signature_delta", signature })
    assert.deepStrictEqual(metadata("signature", start({ type: "thinking", thinking: "a" }), stop(), signature("s")), [
      { part: "0", signature: "s", block: undefined }
    ])
    assert.deepStrictEqual(metadata("signature", signature(""), signature(null), signature(5)), [])
  })
})

describe("tool calls", () => {
  it("come in fragments and, when the block is over, as one call each", () => {
    const chunks = [
      tool(),
      json(""),
      json('{"x"'),
      json(":1}"),
      stop(),
      tool({ id: "b", name: "g" }, 1),
      json("{}", 1),
      stop(1),
      finish("tool_use"),
      end
    ]
    assert.deepStrictEqual(lines(chunks), [
      'ToolCallDelta a f {"x"',
      "ToolCallDelta a f :1}",
      'ToolCall a f {"x":1}',
      "ToolCallDelta b g {}",
      "ToolCall b g {}",
      ...called
    ])
  })

  it("have the input that their block began with where nothing is streamed, and only there", () => {
    for (const nothing of [[], [json("")], [json(null)]]) {
      assert.deepStrictEqual(lines([tool({ input: { x: 1 } }), ...nothing, stop(), finish("tool_use"), end]), [
        'ToolCallDelta a f {"x":1}',
        'ToolCall a f {"x":1}',
        ...called
      ])
    }
    assert.deepStrictEqual(lines([tool({ input: { x: 1 } }), json('{"x":2}'), stop(), finish("tool_use"), end]), [
      'ToolCallDelta a f {"x":2}',
      'ToolCall a f {"x":2}',
      ...called
    ])
  })

  it("without arguments have {}, in their place among the others", () => {
    for (const input of [{}, null, undefined]) {
      const chunks = [
        tool({ input }),
        stop(),
        tool({ id: "b" }, 1),
        stop(1),
        tool({ id: "c" }, 2),
        json("[]", 2),
        stop(2)
      ]
      assert.deepStrictEqual(lines([...chunks, finish("tool_use"), end]), [
        "ToolCall a f {}",
        "ToolCall b f {}",
        "ToolCallDelta c f []",
        "ToolCall c f []",
        ...called
      ])
    }
  })

  it("without arguments are none where the answer is cut: more could have come", () => {
    for (const word of ["max_tokens", "refusal", null]) {
      const seen = lines([tool(), stop(), finish(word), end])
      assert.match(seen.at(-1)!, /^ToolCallIncomplete/)
      assert.isFalse(seen.some((line) => line.startsWith("ToolCall ")))
    }
    // The one before it was over.
    assert.deepStrictEqual(
      lines([tool(), stop(), tool({ id: "b" }, 1), stop(1), finish("max_tokens"), end]).slice(0, 2),
      ["ToolCall a f {}", "finish max_tokens"]
    )
    assert.deepStrictEqual(lines([tool(), stop()]), ["Truncated: The stream stopped before message_stop"])
  })

  it("half a call fails the stream, behind everything else, or is Metadata", () => {
    const chunks = [tool(), json('{"x":'), stop(), finish("max_tokens"), end]
    assert.deepStrictEqual(
      lines(chunks).map((line) => line.replace(/: .*/, "")),
      ['ToolCallDelta a f {"x":', "finish max_tokens", "ToolCallIncomplete"].map((line) => line.replace(/: .*/, ""))
    )
    assert.deepStrictEqual(lines(chunks, { onIncompleteToolCall: "metadata" }).slice(1), [
      "Metadata incomplete-tool-call",
      "finish max_tokens",
      "End length"
    ])
  })

  it("need no end of their block", () => {
    assert.deepStrictEqual(lines([tool({ input: { x: 1 } }), finish("tool_use"), end]).slice(1), [
      'ToolCall a f {"x":1}',
      ...called
    ])
    assert.deepStrictEqual(lines([tool({ input: { x: 1 } })]), [
      'ToolCallDelta a f {"x":1}',
      "Truncated: The stream stopped before message_stop"
    ])
  })

  it("two blocks of one index are two calls", () => {
    const chunks = [tool(), json("{}"), tool({ id: "b" }), json("[]"), stop(), finish("tool_use"), end]
    assert.deepStrictEqual(lines(chunks), [
      "ToolCallDelta a f {}",
      "ToolCall a f {}",
      "ToolCallDelta b f []",
      "ToolCall b f []",
      ...called
    ])
  })

  it("who else calls them is not lost", () => {
    const caller = { type: "code_execution_20250825", tool_id: "s" }
    assert.deepStrictEqual(metadata("block", tool({ caller, input: { x: 1 } }), stop()), [
      { part: "0", block: { type: "tool_use", id: "a", name: "f", caller } }
    ])
    assert.deepStrictEqual(metadata("block", tool(), stop()), [])
  })

  it("whose start was skipped are not left out in silence", () => {
    const chunks = `${data(message())}data: {"type":"content_block_start"\n\n${data(json("{}"), stop(), finish("tool_use"), end)}`
    assert.match(lines(chunks, { onMalformed: "skip" }).at(-1)!, /^ToolCallIncomplete/)
  })

  it("an event that comes again behind the end of its block changes nothing", () => {
    const chunks = [tool(), json("{}"), stop(), json("}"), tool(), json("{}"), stop(), stop(), finish("tool_use"), end]
    assert.deepStrictEqual(lines(chunks), ["ToolCallDelta a f {}", "ToolCall a f {}", "Metadata unknown", ...called])
  })
})

describe("tools that the provider runs", () => {
  const hosted = (fields?: Json, index?: number) =>
    start({ type: "server_tool_use", id: "s", name: "web_search", input: {}, ...fields }, index)
  const result = (fields?: Json, index = 1) =>
    start({ type: "web_search_tool_result", tool_use_id: "s", content: [{ url: "u" }], ...fields }, index)

  const resultOf = (...chunks: ReadonlyArray<unknown>) => {
    const found = decode(Stream.make(data(...chunks))).events.find(StreamEvent.is("ToolResult"))
    return found && { id: found.id, name: found.name, output: found.output, isError: found.isError }
  }

  it("are Metadata with their input, and their answers ToolResult; neither is a call", () => {
    const chunks = [
      hosted(),
      json(""),
      json('{"q"'),
      json(":1}"),
      stop(),
      result(),
      stop(1),
      text("a", 2),
      finish(),
      end
    ]
    assert.deepStrictEqual(lines(chunks), [
      "Metadata hosted-tool-call",
      "Metadata block",
      'ToolResult {"id":"s","name":"web_search","output":[{"url":"u"}],"isError":false}',
      'Delta/2 "a"',
      ...stopped
    ])
    const input = { q: 1 }
    assert.deepStrictEqual(metadata("hosted-tool-call", ...chunks), [
      {
        part: "0",
        id: "s",
        name: "web_search",
        input,
        item: { type: "server_tool_use", id: "s", name: "web_search", input }
      }
    ])
    assert.deepStrictEqual(metadata("block", ...chunks), [
      { part: "1", block: { type: "web_search_tool_result", tool_use_id: "s" } }
    ])
  })

  it("of an MCP server, too", () => {
    const item = { type: "mcp_tool_use", id: "s", name: "echo", server_name: "e" }
    const chunks = [
      start({ ...item, input: { x: 1 } }),
      stop(),
      start({ type: "mcp_tool_result", tool_use_id: "s", is_error: true, content: "no" }, 1)
    ]
    assert.deepStrictEqual(metadata("hosted-tool-call", ...chunks), [
      { part: "0", id: "s", name: "echo", input: { x: 1 }, item: { ...item, input: { x: 1 } } }
    ])
    assert.deepStrictEqual(resultOf(...chunks), { id: "s", name: "echo", output: "no", isError: true })
  })

  it("an answer to a call of an earlier turn has its name from its type; one that is an error says so", () => {
    assert.deepStrictEqual(resultOf(result({ tool_use_id: "other" }))?.name, "web_search")
    const content = { type: "web_search_tool_result_error", error_code: "max_uses_exceeded" }
    assert.deepStrictEqual(resultOf(result({ content })), {
      id: "s",
      name: "web_search",
      output: content,
      isError: true
    })
    assert.deepStrictEqual(resultOf(result({ content: undefined, tool_use_id: 5 }))?.output, null)
  })

  it("an input that is not whole is its text, and what had come of it is not lost", () => {
    for (const chunks of [
      [hosted(), json('{"q":'), stop(), finish("max_tokens"), end],
      [hosted(), json('{"q":')],
      [hosted(), json('{"q":'), { type: "error", error: { message: "no" } }]
    ]) {
      assert.strictEqual(metadata("hosted-tool-call", ...chunks)[0]?.["input"], '{"q":')
    }
  })
})

describe("what else there is", () => {
  it("citations name their part", () => {
    const citation = { type: "char_location", cited_text: "c" }
    assert.deepStrictEqual(
      metadata("citation", start({ type: "text", text: "" }, 2), delta({ type: "citations_delta", citation }, 2)),
      [{ part: "2", citation }]
    )
  })

  it("a compaction is a block, whole, and no text", () => {
    const chunks = [
      start({ type: "compaction", content: null }),
      delta({ type: "compaction_delta", content: "summary", encrypted_content: "e" }),
      stop(),
      finish("compaction"),
      end
    ]
    assert.deepStrictEqual(lines(chunks), ["Metadata block", "finish compaction", "End other"])
    const block = { type: "compaction", content: "summary", encrypted_content: "e" }
    assert.deepStrictEqual(metadata("block", ...chunks), [{ part: "0", block }])
    assert.deepStrictEqual(metadata("block", start(block), stop()), [{ part: "0", block }])
    assert.deepStrictEqual(lines([delta({ type: "compaction_delta", content: "a" }), end])[0], "Metadata unknown")
  })

  it("blocks without a meaning here are Metadata, and so are their deltas", () => {
    for (const block of [
      { type: "fallback", from: { model: "a" }, to: { model: "b" } },
      { type: "container_upload", file_id: "f" },
      { type: "of_tomorrow", input: {} },
      {}
    ]) {
      assert.deepStrictEqual(metadata("block", start(block, 4), stop(4)), [{ part: "4", block }])
    }
    const chunks = [
      start({ type: "of_tomorrow" }),
      json("{}"),
      delta({ type: "future_delta", x: 1 }),
      stop(),
      finish(),
      end
    ]
    assert.deepStrictEqual(lines(chunks), ["Metadata block", "Metadata unknown", "Metadata unknown", ...stopped])
    assert.deepStrictEqual(metadata("unknown", ...chunks)[1], { chunk: delta({ type: "future_delta", x: 1 }) })
  })

  it("unknown events, and what is no object, pass through", () => {
    for (const chunk of [
      { type: "of_tomorrow", x: 1 },
      { error: null },
      {},
      { type: 5 },
      start(null),
      start([]),
      null,
      5,
      "x",
      []
    ]) {
      assert.deepStrictEqual(lines([chunk, text("a"), finish(), end]), ["Metadata unknown", 'Delta/0 "a"', ...stopped])
      assert.deepStrictEqual(metadata("unknown", chunk), [{ chunk }])
    }
  })

  it("pings are Progress", () => {
    assert.deepStrictEqual(lines([{ type: "ping" }, text("a"), { type: "ping" }, finish(), end]), [
      'Progress {"kind":"ping"}',
      'Delta/0 "a"',
      'Progress {"kind":"ping"}',
      ...stopped
    ])
  })
})

describe("the end", () => {
  it("finish reasons in the words of effect/ai, the provider's own beside", () => {
    const words: ReadonlyArray<readonly [word: string, reason: StreamResult.FinishReason]> = [
      ["end_turn", "stop"],
      ["stop_sequence", "stop"],
      ["max_tokens", "length"],
      ["model_context_window_exceeded", "length"],
      ["tool_use", "tool-calls"],
      ["refusal", "content-filter"],
      ["pause_turn", "pause"],
      ["something new", "other"]
    ]
    for (const [word, reason] of words) {
      const { events, failure } = decode(Stream.make(data(finish(word), end)))
      assert.isUndefined(failure)
      assert.deepInclude(events.at(-1), { _tag: "End", finishReason: reason })
      assert.deepInclude(finishOf(events), { finishReason: reason, providerFinishReason: word })
    }
  })

  it("is message_stop and nothing before it, and nothing comes behind it", () => {
    const truncated = "Truncated: The stream stopped before message_stop"
    assert.strictEqual(lines([message(), text("a"), stop()]).at(-1), truncated)
    assert.strictEqual(lines([message(), text("a"), stop(), finish()]).at(-1), truncated)
    assert.strictEqual(lines(data(message(), text("a"), finish()) + "data: [DONE]\n\n").at(-1), truncated)
    assert.deepStrictEqual(lines([finish(), end, text("a"), { type: "error" }]), stopped)
  })

  it("a later message_delta without a stop reason does not take it back", () => {
    assert.deepStrictEqual(lines([finish(), finish(null), finish(""), end]), stopped)
    assert.deepStrictEqual(lines([finish(), finish("max_tokens"), end]), ["finish max_tokens", "End length"])
    assert.deepStrictEqual(lines([text("a"), end]), ['Delta/0 "a"', "End unknown"])
  })

  it("says what else message_delta and message_stop say; null is nothing", () => {
    const context_management = { applied_edits: [] }
    const chunks = [
      finish(
        "stop_sequence",
        { stop_sequence: "x", container: { id: "c" }, stop_details: null },
        { context_management }
      ),
      finish(null, { stop_details: { type: "refusal" } }, { usage: { output_tokens: 1 } }),
      { ...end, "amazon-bedrock-invocationMetrics": { firstByteLatency: 1 } }
    ]
    assert.deepStrictEqual(finishOf(decode(Stream.make(data(...chunks))).events)?.metadata, {
      stop_sequence: "x",
      container: { id: "c" },
      context_management,
      stop_details: { type: "refusal" },
      usage: { output_tokens: 1 },
      "amazon-bedrock-invocationMetrics": { firstByteLatency: 1 }
    })
  })

  it("onMissingFinish: what was there counts", () => {
    const chunks = [text("a"), tool({}, 1), json("{}", 1)]
    const shown = ['Delta/0 "a"', "ToolCallDelta a f {}"]
    assert.deepStrictEqual(lines(chunks, { onMissingFinish: "accept" }), [...shown, "ToolCall a f {}", "End unknown"])
    assert.deepStrictEqual(lines([...chunks, finish("tool_use")], { onMissingFinish: "mark" }), [
      ...shown,
      "ToolCall a f {}",
      "finish tool_use",
      "Metadata truncated",
      "End tool-calls"
    ])
  })
})

describe("usage", () => {
  const usageOf = (...usages: ReadonlyArray<unknown>) => {
    const [first, ...rest] = usages
    const chunks = [message({ usage: first }), ...rest.map((usage) => finish("end_turn", {}, { usage })), end]
    return finishOf(decode(Stream.make(data(...chunks))).events)
  }

  it("counts cached tokens in, and takes from message_delta each count that it has", () => {
    const usage = usageOf(
      { input_tokens: 43, cache_read_input_tokens: 5, output_tokens: 1, service_tier: "standard" },
      { input_tokens: 61, cache_read_input_tokens: null, cache_creation_input_tokens: 10, output_tokens: 20 },
      { output_tokens: 30, output_tokens_details: { thinking_tokens: 12 } }
    )
    assert.deepStrictEqual(usage?.usage, {
      inputTokens: { total: 76, uncached: 61, cacheRead: 5, cacheWrite: 10 },
      outputTokens: { total: 30, reasoning: 12, text: 18 }
    })
    assert.deepStrictEqual(usage?.metadata["usage"], {
      input_tokens: 61,
      cache_read_input_tokens: 5,
      cache_creation_input_tokens: 10,
      output_tokens: 30,
      service_tier: "standard",
      output_tokens_details: { thinking_tokens: 12 }
    })
  })

  it("is there where the stream breaks off", () => {
    const { events } = decode(Stream.make(data(message(), text("a"))))
    assert.deepInclude(finishOf(events), { kind: "usage", metadata: { usage: { input_tokens: 3, output_tokens: 1 } } })
  })

  it("what is missing, or no number, is undefined and not 0; what does not add up is not known", () => {
    for (const odd of [{}, { input_tokens: null, output_tokens: "3", output_tokens_details: 5 }]) {
      const counts = usageOf(odd)?.usage
      assert.deepStrictEqual(
        Object.values({ ...counts?.inputTokens, ...counts?.outputTokens }).filter((n) => n !== undefined),
        []
      )
    }
    for (const none of [null, 5, "x", []]) assert.isUndefined(usageOf(none, none)?.usage)
    assert.isUndefined(usageOf({ cache_read_input_tokens: 5 })?.usage?.inputTokens.total)
    const odd = usageOf({ output_tokens: 1, output_tokens_details: { thinking_tokens: 2 } })?.usage?.outputTokens
    assert.deepStrictEqual(odd, { total: 1, reasoning: 2, text: undefined })
  })
})

describe("errors in the stream", () => {
  const error = { type: "error", error: { type: "overloaded_error", message: "no" }, request_id: "r" }
  const reported = "ProviderFailure: anthropic reported overloaded_error: no"

  it("first or later, once, with what had come", () => {
    assert.deepStrictEqual(lines([error, error]), [reported])
    assert.deepStrictEqual(lines([text("a"), error, text("b"), finish(), end]), ['Delta/0 "a"', reported])
    assert.deepStrictEqual(lines(`event: error\n${data(error)}`), [reported])
    assert.deepStrictEqual(lines([tool(), json("{}"), error]), ["ToolCallDelta a f {}", reported])
    assert.deepStrictEqual(lines([error], { provider: "bedrock" }), [
      "ProviderFailure: bedrock reported overloaded_error: no"
    ])
  })

  it("say whether to try again", () => {
    const isRetryable = (type: string) =>
      reasonOf(decode(Stream.make(data({ ...error, error: { type, message: "no" } }))).failure, "ProviderFailure")
        .isRetryable
    for (const type of ["overloaded_error", "api_error", "rate_limit_error", "timeout_error"]) {
      assert.isTrue(isRetryable(type), type)
    }
    for (const type of ["invalid_request_error", "authentication_error", "billing_error", "request_too_large"]) {
      assert.isFalse(isRetryable(type), type)
    }
  })

  it("in other words", () => {
    for (const [chunk, line] of [
      [{ type: "error", error: "no" }, "anthropic reported error: no"],
      [{ type: "error" }, "anthropic reported error: no message"],
      [{ error: { message: "no", type: "server_error" } }, "anthropic reported server_error: no"],
      [{ error: "no" }, "anthropic reported: no"]
    ] as const) {
      assert.deepStrictEqual(lines([chunk]), [`ProviderFailure: ${line}`])
    }
    assert.deepStrictEqual(lines([{ type: "ping", error: null }, finish(), end]).slice(1), stopped)
  })
})

describe("framing", () => {
  const chunks = [message(), text("a"), finish(), end]
  const expected = ["Metadata response", 'Delta/0 "a"', ...stopped]

  it("line ends, event: lines or none, padding, comments, a last event without its blank line", () => {
    const plain = data(...chunks)
    const named = plain.replaceAll(/data: \{"type":"(\w+)"/g, 'event: $1\ndata: {"type":"$1"')
    for (const variant of [
      plain,
      named,
      named.replaceAll("\n", "\r\n"),
      named.replaceAll("\n", "\r"),
      named.replaceAll("data: ", "data:"),
      plain.replaceAll("}\n", "     }\n"),
      plain.replaceAll("}\n", "}   \n"),
      `\ufeff${plain}`,
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

  it("malformed JSON fails with its offset, or is skipped", () => {
    const first = data(message(), text("a"))
    const rest = `data: {"type":\n\n${data(finish(), end)}`
    assert.deepStrictEqual(lines(first + rest).at(-1), `MalformedFrame: Malformed frame at offset ${first.length}`)
    assert.deepStrictEqual(lines(first + rest, { onMalformed: "skip" }), expected)
  })
})

describe("what is held back", () => {
  const limit = { maxBufferSize: 2000 }
  const long = "x".repeat(1500)
  const many = (chunk: (n: number) => unknown) => Array.from({ length: 100 }, (_, n) => chunk(n))
  const overflows = (...chunks: ReadonlyArray<unknown>) =>
    lines([...chunks, finish(), end], limit)
      .at(-1)
      ?.startsWith("BufferOverflow")

  it("is limited: thinking, inputs, open blocks, compactions, what the end says", () => {
    const block = { type: "thinking", thinking: "" }
    assert.isTrue(overflows(start(block), thinking(long), thinking(long)))
    assert.isTrue(overflows(start({ type: "server_tool_use" }), json(long), json(long)))
    assert.isTrue(overflows(tool(), json(long), json(long)))
    assert.isTrue(overflows(...many((n) => start({ type: "text", text: "" }, n))))
    assert.isTrue(overflows(...many((n) => start({ type: "text", text: "" }, -n))))
    assert.isTrue(overflows(...many((n) => text("a", n))))
    assert.isTrue(overflows(start({ type: "compaction" }), delta({ type: "compaction_delta", content: long + long })))
    assert.isTrue(overflows(...many((n) => finish(null, { [`k${n}`]: 1 }))))
    assert.isTrue(
      overflows(...many((n) => [start({ type: "mcp_tool_use", id: `call of the number ${n}` }, n), stop(n)]).flat())
    )
  })

  it("is let go of at the end of its block", () => {
    assert.isFalse(
      overflows(
        ...many((n) => [start({ type: "thinking" }, n), thinking(long, n), stop(n)]).flat(),
        ...many((n) => [start({ type: "server_tool_use" }, n), json(long, n), stop(n)]).flat(),
        ...many((n) => [start({ type: "compaction", content: long }, n), stop(n)]).flat(),
        start({ type: "text" }),
        ...many(() => text(long))
      )
    )
  })
})

describe("fromChunks", () => {
  it("gives what the bytes give", () => {
    const chunks = [message(), tool(), json('{"x":1}'), stop(), text("a", 1), finish("tool_use"), end]
    const { events, failure } = Effect.runSync(collect(AnthropicMessages.fromChunks()(Stream.fromIterable(chunks))))
    assert.isUndefined(failure)
    assert.deepStrictEqual(events.map(show), decode(Stream.make(data(...chunks))).events.map(show))
  })

  it("what cannot be text is a failure and no defect", () => {
    const circular: Record<string, unknown> = {}
    circular["self"] = circular
    for (const chunk of [tool({ input: circular }), tool({ input: { big: 1n } }), json(circular)]) {
      for (const before of [[text("a", 1)], [text("a", 1), tool()]]) {
        const { events, failure } = Effect.runSync(
          collect(AnthropicMessages.fromChunks()(Stream.fromIterable([...before, chunk, finish(), end])))
        )
        assert.strictEqual(textOf(events, "Delta"), "a")
        assert.strictEqual(reasonOf(failure, "MalformedFrame").offset, before.length)
      }
    }
  })
})

describe("any JSON", () => {
  const words =
    "type index message id model content role stop_reason usage content_block delta text thinking signature citations citation data name input caller partial_json tool_use_id is_error input_tokens output_tokens cache_read_input_tokens output_tokens_details thinking_tokens stop_sequence error __proto__ toString constructor".split(
      " "
    )
  const types =
    "message_start message_delta message_stop content_block_start content_block_delta content_block_stop ping text thinking redacted_thinking tool_use server_tool_use mcp_tool_use web_search_tool_result compaction text_delta thinking_delta signature_delta input_json_delta citations_delta compaction_delta".split(
      " "
    )

  const garbage = (next: () => number, depth: number): unknown => {
    const int = (n: number) => Math.floor(next() * n)
    const pick = (values: ReadonlyArray<unknown>) => values[int(values.length)]
    const kind = depth === 0 ? 0 : next()
    if (kind < 0.2) return pick(types)
    if (kind < 0.4) return pick([null, true, 0, 1, -1, 1.5, 1e308, "", "a", "end_turn", "{}", "{", "\ud83d"])
    if (kind < 0.5) return Array.from({ length: int(4) }, () => garbage(next, depth - 1))
    const known: ReadonlyArray<readonly [string, unknown]> = Array.from({ length: int(6) }, () => [
      String(pick(words)),
      garbage(next, depth - 1)
    ])
    return Object.fromEntries([["type", pick(types)], ...known])
  }

  const answer = [
    message(),
    start({ type: "thinking", thinking: "" }),
    thinking("t"),
    delta({ type: "signature_delta", signature: "s" }),
    stop(),
    start({ type: "text", text: "" }, 1),
    text("a", 1),
    { type: "ping" },
    text("b", 1),
    stop(1),
    start({ type: "server_tool_use", id: "s", name: "web_search", input: {} }, 2),
    json('{"q":1}', 2),
    stop(2),
    start({ type: "web_search_tool_result", tool_use_id: "s", content: [] }, 3),
    stop(3),
    tool({}, 4),
    json('{"x"', 4),
    json(":1}", 4),
    stop(4),
    tool({ id: "b", name: "g", input: { y: 1 } }, 5),
    stop(5),
    tool({ id: "c", name: "h" }, 6),
    stop(6),
    finish("tool_use", {}, { usage: { output_tokens: 5 } }),
    end
  ]

  const spoil = (next: () => number, value: unknown): unknown => {
    if (next() < 0.03) return garbage(next, 3)
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
      assert.include(
        ["Truncated", "ProviderFailure", "ToolCallIncomplete", "MalformedFrame", "ProtocolViolation"],
        failure.reason._tag
      )
      Schema.encodeSync(StreamError.StreamError)(failure)
    }
    const again = Effect.runSync(collect(AnthropicMessages.fromChunks()(Stream.fromIterable(chunks.map(reparse)))))
    assert.deepStrictEqual(again.events.map(show), events.map(show))
    return events
  }

  const reparse = (chunk: unknown): unknown => JSON.parse(JSON.stringify(chunk))

  it("gives events or a typed failure, never a defect", () => {
    const next = random(1)
    for (let n = 0; n < 1500; n++) check(Array.from({ length: 1 + Math.floor(next() * 8) }, () => garbage(next, 4)))
    for (let n = 0; n < 400; n++) check(answer.map((chunk) => spoil(next, chunk)))
  })

  it("events that are dropped, doubled or out of order make up nothing", () => {
    const next = random(2)
    const calls = ['a f {"x":1}', 'b g {"y":1}', "c h {}"]
    for (let n = 0; n < 900; n++) {
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
        // A call may lose its fragments and then have the {} of its start, but none is put together otherwise.
        assert.include([...calls, "a f {}"], `${event.id} ${event.name} ${JSON.stringify(event.input)}`)
      }
    }
  })

  it("that is nested too deep to be encoded again is malformed", () => {
    const deep = "[".repeat(200_000) + "]".repeat(200_000)
    const chunk = `data: {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"a","name":"f","input":${deep}}}\n\n`
    const first = data(text("a"))
    assert.deepStrictEqual(lines(first + chunk + data(finish(), end)), [
      'Delta/0 "a"',
      `MalformedFrame: Malformed frame at offset ${first.length}`
    ])
  })
})

describe("laws", () => {
  const streams: ReadonlyArray<readonly [name: string, text: string]> = [
    [
      "a whole answer",
      `: c\r\n\r\n${data(message(), start({ type: "thinking", thinking: "" }), thinking("naïve 😀"), delta({ type: "signature_delta", signature: "s" }), stop(), text("a", 1), finish(), end)}`
    ],
    [
      "with tools",
      data(tool(), json('{"x":1'), json("}"), stop(), tool({ id: "b" }, 1), stop(1), finish("tool_use"), end)
    ],
    ["with half a tool call", data(text("a"), tool({}, 1), json('{"x":', 1), stop(1), finish("max_tokens"), end)],
    ["cut", data(message(), start({ type: "server_tool_use", id: "s" }), json("{")) + 'data: {"type":"content_bl'],
    ["without the last blank line", data(text("a"), finish(), end).trimEnd()],
    ["with an error", data(text("a"), { type: "error", error: { message: "no" } }, text("b"))],
    ["with two messages", data(message(), text("a"), message({ id: "msg_2" }), text("b"))],
    ["with malformed JSON", data(text("a")) + "data: {\n\n" + data(text("b"))]
  ]

  for (const [name, text] of streams) {
    // One that is over before its source is does not ask what the source does at its end.
    const isOver = name.startsWith("with ") || name.startsWith("a whole")
    it.effect.prop(
      `of a stream: ${name}`,
      { input: StreamArbitrary.splits(new TextEncoder().encode(text)) },
      ({ input }) =>
        isOver
          ? Effect.gen(function* () {
              yield* StreamLaws.chunkIndependence(AnthropicMessages.decode(), input)
              yield* StreamLaws.oneTerminal(AnthropicMessages.decode(), input)
              yield* StreamLaws.interruption(AnthropicMessages.decode(), input)
            })
          : StreamLaws.all(AnthropicMessages.decode(), input),
      { arbitrary: { runs: 20 } }
    )
  }
})

describe("a request", () => {
  const secret = "sk-very-secret"
  const model = (server: Loopback.Loopback) =>
    AnthropicMessages.layer({ baseUrl: `${server.url}/v1`, apiKey: Redacted.make(secret), model: "m" }).pipe(
      Layer.provide(FetchHttpClient.layer)
    )

  it.live("is a POST to /messages with key, version, model, messages and a limit", () =>
    Effect.gen(function* () {
      const server = yield* Loopback.serve((response) => {
        Loopback.begin(response)
        response.end(data(message(), text("Hello"), finish(), end))
      })
      const messages = [{ role: "user", content: [{ type: "text", text: "hi" }] }]
      const options = { system: "be brief", max_tokens: 7 }
      const ask = (request: StreamModel.StreamRequest) =>
        Effect.provide(collect(StreamModel.stream(request)), model(server))
      const { events, failure } = yield* ask({ prompt: "hi" })
      yield* ask({ messages, model: "other", options })
      assert.isUndefined(failure)
      assert.strictEqual(textOf(events, "Delta"), "Hello")
      const [first, second] = server.requests
      assert.strictEqual(first?.url, "/v1/messages")
      assert.strictEqual(first?.headers["x-api-key"], secret)
      assert.strictEqual(first?.headers["anthropic-version"], "2023-06-01")
      assert.isUndefined(first?.headers.authorization)
      assert.deepStrictEqual(JSON.parse(first!.body), {
        model: "m",
        max_tokens: 4096,
        messages: [{ role: "user", content: "hi" }],
        stream: true
      })
      assert.deepStrictEqual(JSON.parse(second!.body), { model: "other", messages, stream: true, ...options })
    })
  )

  it.live("that fails has the provider's code and message, and nowhere the key", () =>
    Effect.gen(function* () {
      const server = yield* Loopback.serve((response, request) => {
        if (request.body.includes("reset")) request.reset()
        else {
          response.writeHead(529, { "request-id": "req_1" })
          response.end('{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}')
        }
      })
      for (const prompt of ["hi", "reset"]) {
        const { failure } = yield* Effect.provide(collect(StreamModel.stream({ prompt })), model(server))
        const printed = [
          String(failure),
          inspect(failure, { depth: Infinity, showHidden: true }),
          JSON.stringify(failure),
          JSON.stringify(Schema.encodeSync(StreamError.StreamError)(failure!))
        ]
        assert.notInclude(printed.join(), secret)
        if (prompt === "reset") assert.strictEqual(failure?.reason._tag, "SourceFailure")
        else {
          assert.deepInclude(reasonOf(failure, "ProviderFailure"), {
            provider: "anthropic",
            status: 529,
            code: "overloaded_error",
            message: "Overloaded",
            isRetryable: true
          })
          assert.strictEqual(failure?.context?.requestId, "req_1")
        }
      }
    })
  )
})
