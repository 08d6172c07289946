import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted, Stream } from "effect"
import { FetchHttpClient } from "effect/http"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as StreamHandler from "../../src/StreamHandler.ts"
import * as StreamModel from "../../src/StreamModel.ts"
import type * as StreamResult from "../../src/StreamResult.ts"
import * as StreamArbitrary from "../../src/testing/StreamArbitrary.ts"
import * as StreamLaws from "../../src/testing/StreamLaws.ts"
import * as OpenAiResponses from "../../src/wire/OpenAiResponses.ts"
import type * as Protocol from "../../src/wire/Protocol.ts"
import { anyJsonSuite } from "../support/anyJson.ts"
import * as Loopback from "../support/loopback.ts"
import { collect, finishOf, reasonOf, show, textOf } from "../support/run.ts"

type Json = Readonly<Record<string, unknown>>

const data = (...chunks: ReadonlyArray<unknown>): string =>
  chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`).join("")

const event = (type: string, fields?: Json): Json => ({ type: `response.${type}`, ...fields })
const added = (output_index: number, item: Json): Json => event("output_item.added", { output_index, item })
const over = (output_index: number, item: Json): Json => event("output_item.done", { output_index, item })
const text = (delta: string, output_index = 0, content_index = 0): Json =>
  event("output_text.delta", { output_index, content_index, delta })
const args = (delta: string, output_index = 0): Json => event("function_call_arguments.delta", { output_index, delta })
const message = (...content: ReadonlyArray<Json>): Json => ({ type: "message", id: "msg", role: "assistant", content })
const call = (argumentsText: unknown, more?: Json): Json => ({
  type: "function_call",
  id: "fc",
  call_id: "a",
  name: "f",
  arguments: argumentsText,
  ...more
})
const completed = (response?: Json, more?: Json): Json =>
  event("completed", { response: { status: "completed", ...response }, ...more })
const incomplete = (reason: string | undefined, response?: Json): Json =>
  event("incomplete", {
    response: { status: "incomplete", incomplete_details: reason && { reason }, ...response }
  })

const decode = (chunks: ReadonlyArray<unknown>, options?: Protocol.Options) =>
  Effect.runSync(collect(OpenAiResponses.decode(options)(Stream.make(data(...chunks)))))

/** The events of chunks, without Start, and the failure: each in one line. */
const lines = (chunks: ReadonlyArray<unknown>, options?: Protocol.Options): ReadonlyArray<string> => {
  const { events, failure } = decode(chunks, options)
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

/** What came under a kind of Metadata. */
const metadataOf = (kind: string, chunks: ReadonlyArray<unknown>): ReadonlyArray<Json> =>
  decode(chunks)
    .events.filter(StreamEvent.is("Metadata"))
    .filter((event) => event.kind === kind)
    .map((event) => event.metadata)

const stopped = ["finish completed", "End stop"]
const called = ["finish completed", "End tool-calls"]

describe("text", () => {
  it("answer, reasoning and refusal, each with its part", () => {
    const chunks = [
      event("reasoning_summary_text.delta", { output_index: 0, summary_index: 1, delta: "a" }),
      event("reasoning_text.delta", { output_index: 0, content_index: 1, delta: "b" }),
      text("c", 1, 0),
      text("d", 1, 1),
      event("refusal.delta", { output_index: 2, content_index: 0, delta: "e" }),
      text("f", 3),
      text("", 3),
      completed()
    ]
    assert.deepStrictEqual(lines(chunks), [
      'Reasoning/0.s1 "a"',
      'Reasoning/0.1 "b"',
      'Delta/1.0 "c"',
      'Delta/1.1 "d"',
      'Refusal/2.0 "e"',
      'Delta/3.0 "f"',
      ...stopped
    ])
  })

  it("is told apart by its position, though the item has another id in each event", () => {
    const chunks = [
      added(0, { ...message(), id: "1" }),
      { ...text("a"), item_id: "2" },
      { ...text("b"), item_id: "3" },
      event("output_text.done", { output_index: 0, content_index: 0, item_id: "4", text: "ab" }),
      over(0, { ...message({ type: "output_text", text: "ab" }), id: "5" }),
      completed()
    ]
    assert.deepStrictEqual(lines(chunks), ["Metadata message", 'Delta/0.0 "a"', 'Delta/0.0 "b"', ...stopped])
  })

  it("without an index belongs to the item that began last", () => {
    const chunks = [
      event("output_text.delta", { delta: "a" }),
      added(0, { type: "reasoning" }),
      event("output_item.added", { item: message() }),
      event("output_text.delta", { delta: "b" }),
      event("output_item.done", { item: message({ type: "output_text", text: "bc" }) }),
      completed()
    ]
    assert.deepStrictEqual(lines(chunks), [
      'Delta/0.0 "a"',
      "Metadata message",
      'Delta/1.0 "b"',
      'Delta/1.0 "c"',
      "Metadata signature",
      ...stopped
    ])
  })

  const wholes: ReadonlyArray<readonly [name: string, whole: (text: string) => Json]> = [
    ["output_text.done", (text) => event("output_text.done", { output_index: 0, content_index: 0, text })],
    [
      "content_part.done",
      (text) => event("content_part.done", { output_index: 0, content_index: 0, part: { type: "output_text", text } })
    ],
    ["output_item.done", (text) => over(0, message({ type: "output_text", text }))],
    ["response.completed", (text) => completed({ output: [message({ type: "output_text", text })] })]
  ]

  it.each(wholes)("that comes only whole, in %s, is sent once", (_, whole) => {
    const chunks = [whole("ab"), whole("ab"), ...wholes.map(([, whole]) => whole("ab"))]
    assert.deepStrictEqual(
      lines(chunks).filter((line) => line.startsWith("Delta")),
      ['Delta/0.0 "ab"']
    )
  })

  it.each(wholes.slice(0, 3))("of which a piece comes only in %s is completed", (_, whole) => {
    assert.include(lines([text("a"), whole("abc"), completed()]), 'Delta/0.0 "bc"')
    assert.notInclude(lines([text("abc"), whole("ab"), completed()]).join(), '"b"')
  })

  it("that is said to be another than its deltas stays what they were", () => {
    const chunks = [text("ab"), text("cd"), event("output_text.done", { output_index: 0, text: "abxxef" }), completed()]
    assert.strictEqual(textOf(decode(chunks).events, "Delta"), "abcd")
  })

  it("of reasoning and refusal is completed too", () => {
    const chunks = [
      event("reasoning_summary_text.delta", { output_index: 0, summary_index: 0, delta: "a" }),
      event("reasoning_summary_text.done", { output_index: 0, summary_index: 0, text: "ab" }),
      event("reasoning_summary_part.done", {
        output_index: 0,
        summary_index: 1,
        part: { type: "summary_text", text: "c" }
      }),
      event("reasoning_text.done", { output_index: 0, content_index: 0, text: "d" }),
      over(0, {
        type: "reasoning",
        summary: ["ab", "c", "e"].map((text) => ({ type: "summary_text", text })),
        content: [{ type: "reasoning_text", text: "de" }]
      }),
      event("refusal.done", { output_index: 1, content_index: 0, refusal: "no" }),
      over(1, message({ type: "refusal", refusal: "no!" })),
      completed()
    ]
    assert.deepStrictEqual(
      lines(chunks).filter((line) => line.startsWith("Re")),
      [
        'Reasoning/0.s0 "a"',
        'Reasoning/0.s0 "b"',
        'Reasoning/0.s1 "c"',
        'Reasoning/0.0 "d"',
        'Reasoning/0.s2 "e"',
        'Reasoning/0.0 "e"',
        'Refusal/1.0 "no"',
        'Refusal/1.0 "!"'
      ]
    )
  })

  it("of the whole response is taken only where the stream had none: its places may be others", () => {
    const output = [{ type: "reasoning", summary: [] }, message({ type: "output_text", text: "ab" })]
    assert.strictEqual(textOf(decode([completed({ output })]).events, "Delta"), "ab")
    assert.strictEqual(textOf(decode([text("ab"), completed({ output })]).events, "Delta"), "ab")
    const begun = [added(0, { type: "reasoning" }), added(1, message()), text("a", 1)]
    assert.strictEqual(textOf(decode([...begun, completed({ output })]).events, "Delta"), "ab")
  })

  it("content of another kind is not lost, nor what a message says of itself", () => {
    const audio = { type: "output_audio", data: "AA" }
    const item = { ...message({ type: "output_text", text: "a" }, audio), phase: "final_answer", status: "completed" }
    const chunks = [
      added(1, { ...item, content: [], status: "in_progress" }),
      event("content_part.done", { output_index: 1, content_index: 1, part: audio }),
      over(1, item),
      completed()
    ]
    assert.deepStrictEqual(metadataOf("content", chunks), [{ part: "1.1", content: audio }])
    const described = [{ id: "msg", role: "assistant", phase: "final_answer", part: "1" }]
    assert.deepStrictEqual(metadataOf("message", chunks), described)
    assert.deepStrictEqual(metadataOf("message", chunks.slice(1)), described)
  })
})

describe("what stands beside the text", () => {
  it("citations, once each, with their part", () => {
    const annotations = [
      { type: "url_citation", url: "x", start_index: 0 },
      { type: "url_citation", url: "x", start_index: 9 },
      { type: "file_citation", file_id: "f" }
    ]
    const chunks = [
      text("a"),
      ...annotations
        .slice(0, 2)
        .map((annotation) =>
          event("output_text.annotation.added", { output_index: 0, content_index: 0, annotation_index: 0, annotation })
        ),
      over(0, message({ type: "output_text", text: "a", annotations })),
      completed()
    ]
    assert.deepStrictEqual(
      metadataOf("citation", chunks),
      annotations.map((citation) => ({ part: "0.0", citation }))
    )
  })

  it("logprobs, of deltas or of a text that comes whole", () => {
    const logprobs = [{ token: "a", logprob: -1 }]
    const whole = event("output_text.done", { output_index: 0, content_index: 0, text: "a", logprobs })
    const expected = [{ part: "0.0", logprobs }]
    assert.deepStrictEqual(metadataOf("logprobs", [{ ...text("a"), logprobs }, whole, completed()]), expected)
    assert.deepStrictEqual(metadataOf("logprobs", [whole, whole, completed()]), expected)
    assert.deepStrictEqual(metadataOf("logprobs", [{ ...text("a"), logprobs: [] }, completed()]), [])
  })

  it("a reasoning item as it must be sent back", () => {
    const item = {
      type: "reasoning",
      id: "rs",
      encrypted_content: "gAAA",
      summary: [{ type: "summary_text", text: "a" }]
    }
    const begun = added(0, { ...item, encrypted_content: "not yet", summary: [] })
    assert.deepStrictEqual(metadataOf("signature", [begun, over(0, item), over(0, item), completed()]), [
      { part: "0", signature: "gAAA", item }
    ])
    const stored = { type: "reasoning", id: "rs", summary: [] }
    assert.deepStrictEqual(metadataOf("signature", [over(1, stored), completed()]), [
      { part: "1", signature: undefined, item: stored }
    ])
    const compaction = { type: "compaction", id: "cmp", encrypted_content: "gBBB" }
    assert.deepStrictEqual(metadataOf("signature", [over(0, compaction), completed()]), [
      { part: "0", signature: "gBBB", item: compaction }
    ])
  })

  it("signs of life are Progress", () => {
    const chunks = [
      event("queued", { response: { id: "1" } }),
      event("in_progress", { response: { id: "1" } }),
      event("web_search_call.searching", { output_index: 0, item_id: "x", sequence_number: 4 }),
      { type: "keepalive", sequence_number: 5 },
      completed()
    ]
    assert.deepStrictEqual(lines(chunks), [
      'Progress {"kind":"queued"}',
      "Metadata response",
      'Progress {"kind":"in_progress"}',
      'Progress {"kind":"web_search_call.searching"}',
      'Progress {"kind":"keepalive"}',
      ...stopped
    ])
  })

  it("what nobody knows passes through, and is never fatal", () => {
    const unknown: ReadonlyArray<unknown> = [
      event("novel.delta", { output_index: 0, delta: "x" }),
      event("moderation", { response: { id: "1" } }),
      event("output_item.added", { output_index: 0 }),
      event("output_item.done", { output_index: 0, item: {} }),
      { type: 5, delta: "x" },
      {}
    ]
    assert.deepStrictEqual(
      metadataOf("unknown", [...unknown, completed()]),
      unknown.map((chunk) => ({ chunk }))
    )
  })
})

describe("tool calls", () => {
  it("come in fragments and, as soon as they are over, as one call each", () => {
    const chunks = [
      added(0, call("")),
      args('{"x"'),
      args(":1}"),
      event("function_call_arguments.done", { output_index: 0, arguments: '{"x":1}' }),
      over(0, call('{"x":1}')),
      text("b", 1),
      completed()
    ]
    assert.deepStrictEqual(lines(chunks), [
      'ToolCallDelta a f {"x"',
      "ToolCallDelta a f :1}",
      'ToolCall a f {"x":1}',
      'Delta/1.0 "b"',
      ...called
    ])
  })

  it("at once, fragments in turn", () => {
    const chunks = [
      added(0, call("")),
      added(1, call("", { call_id: "b", name: "g" })),
      args("[1", 1),
      args("{", 0),
      args("]", 1),
      over(1, call("[1]", { call_id: "b", name: "g" })),
      args("}", 0),
      over(0, call("{}")),
      completed()
    ]
    assert.deepStrictEqual(
      lines(chunks).filter((line) => line.startsWith("ToolCall ")),
      ["ToolCall b g [1]", "ToolCall a f {}"]
    )
  })

  it("that come whole: in the item, in the arguments' end, at the response's end, as an object", () => {
    const whole = ['ToolCallDelta a f {"x":1}', 'ToolCall a f {"x":1}', ...called]
    const done = event("function_call_arguments.done", { output_index: 0, arguments: '{"x":1}' })
    for (const chunks of [
      [added(0, call('{"x":1}')), over(0, call('{"x":1}'))],
      [over(0, call('{"x":1}'))],
      [added(0, call("")), done, over(0, call(""))],
      [added(0, call("")), done],
      [added(0, call('{"x":1}'))],
      [over(0, call({ x: 1 }))]
    ]) {
      assert.deepStrictEqual(lines([...chunks, completed()]), whole, JSON.stringify(chunks))
    }
    assert.deepStrictEqual(lines([completed({ output: [call('{"x":1}')] })]), whole)
    assert.deepStrictEqual(lines([added(0, call("")), completed({ output: [call('{"x":1}')] })]), whole)
  })

  it("have the name, the id and the arguments that they are said to have when they are over", () => {
    assert.deepStrictEqual(lines([added(0, call("", { call_id: "z" })), args("{"), over(0, call("{}")), completed()]), [
      "ToolCallDelta z f {",
      "ToolCallDelta z f }",
      "ToolCall a f {}",
      ...called
    ])
    assert.deepStrictEqual(lines([added(0, call("")), args('{"x":1'), over(0, call('{"x":10}')), completed()]), [
      'ToolCallDelta a f {"x":1',
      "ToolCallDelta a f 0}",
      'ToolCall a f {"x":10}',
      ...called
    ])
    assert.deepStrictEqual(lines([added(0, call("")), args('{"x":1}'), over(0, call('{"x":10}')), completed()]), [
      'ToolCallDelta a f {"x":1}',
      'ToolCall a f {"x":10}',
      ...called
    ])
    assert.deepStrictEqual(lines([added(0, call("", { name: "" })), args("{"), over(0, call("{}")), completed()]), [
      "ToolCallDelta a f {",
      "ToolCallDelta a f }",
      "ToolCall a f {}",
      ...called
    ])
  })

  it("empty arguments are {}", () => {
    for (const empty of ["", null, undefined, {}]) {
      const seen = lines([added(0, call("")), over(0, call(empty)), completed()])
      assert.deepStrictEqual(seen.slice(-3), ["ToolCall a f {}", ...called])
    }
  })

  it("a custom tool's input is text", () => {
    const custom = (input: unknown): Json => ({ type: "custom_tool_call", id: "ct", call_id: "a", name: "sql", input })
    const input = (kind: string, fields: Json): Json =>
      event(`custom_tool_call_input.${kind}`, { output_index: 0, ...fields })
    const chunks = [added(0, custom("")), input("delta", { delta: "SELECT " }), input("done", { input: "SELECT 1" })]
    const whole = ["ToolCallDelta a sql SELECT ", "ToolCallDelta a sql 1", 'ToolCall a sql "SELECT 1"', ...called]
    assert.deepStrictEqual(lines([...chunks, over(0, custom("SELECT 1")), completed()]), whole)
    assert.deepStrictEqual(lines([...chunks, completed()]), whole)
    const brace = lines([added(0, custom("")), over(0, custom("{")), completed()])
    assert.deepStrictEqual(brace, ["ToolCallDelta a sql {", 'ToolCall a sql "{"', ...called])
    assert.include(lines([over(0, custom("")), completed()]), 'ToolCall a sql ""')
  })

  it("what a call has beyond a name and arguments is kept: a namespace, a caller", () => {
    const item = call("{}", { namespace: "crm", caller: { type: "program", caller_id: "p" }, status: "in_progress" })
    const chunks = [added(0, call("")), over(0, item), completed()]
    assert.deepStrictEqual(metadataOf("signature", chunks), [{ part: "0", id: "a", item }])
    assert.include(lines(chunks), "ToolCall a f {}")
    assert.deepStrictEqual(metadataOf("signature", [over(0, call("{}")), completed()]), [])
  })

  it("one that the provider has run already has its result, and waits for none", () => {
    const { events } = decode([over(0, call("{}", { output: "8" })), completed()])
    assert.deepInclude(events.find(StreamEvent.is("ToolResult")), { id: "a", name: "f", output: "8", isError: false })
    assert.deepInclude(events.at(-1), { _tag: "End", finishReason: "stop" })
  })

  it("arguments without a call are none", () => {
    const done = event("function_call_arguments.done", { item_id: "__proto__", output_index: 0, arguments: "polluted" })
    assert.deepStrictEqual(lines([done, args("{}", 7), completed()]), [
      "Metadata unknown",
      "Metadata unknown",
      ...stopped
    ])
    const late = [
      added(0, call("")),
      over(0, call("{}")),
      args("{}"),
      over(0, call("{}")),
      added(0, call("")),
      completed()
    ]
    assert.deepStrictEqual(lines(late), ["ToolCallDelta a f {}", "ToolCall a f {}", "Metadata unknown", ...called])
  })

  it("an index that is used again, for one item after the other", () => {
    const chunks = [
      added(0, call("")),
      args("{}"),
      over(0, call("{}")),
      added(0, call("", { call_id: "b", name: "g" })),
      args("[]"),
      over(0, call("[]", { call_id: "b", name: "g" })),
      over(0, { ...message({ type: "output_text", text: "c" }) }),
      completed()
    ]
    assert.deepStrictEqual(
      lines(chunks).filter((line) => /^(ToolCall|Delta)/.test(line)),
      ["ToolCallDelta a f {}", "ToolCall a f {}", "ToolCallDelta b g []", "ToolCall b g []", 'Delta/0.0 "c"']
    )
  })

  it("an answer that is cut: half a call fails the stream, behind everything else", () => {
    const half = [added(0, call("")), args('{"x":'), over(0, call('{"x":', { status: "incomplete" }))]
    const usage = { input_tokens: 1, output_tokens: 2 }
    const { events, failure } = decode([...half, incomplete("max_output_tokens", { usage })])
    assert.strictEqual(finishOf(events)?.usage?.outputTokens.total, 2)
    assert.deepInclude(reasonOf(failure, "ToolCallIncomplete"), { id: "a", name: "f" })
    for (const reason of ["max_output_tokens", "content_filter", "something new", undefined]) {
      for (const chunks of [[added(0, call(""))], [added(0, call("")), args("1")]]) {
        assert.match(lines([...chunks, incomplete(reason)]).at(-1)!, /^ToolCallIncomplete/)
      }
    }
    assert.match(lines([added(0, call("")), event("cancelled")]).at(-1)!, /^ToolCallIncomplete/)
    const seen = lines([...half, incomplete("max_output_tokens")], { onIncompleteToolCall: "metadata" })
    assert.deepStrictEqual(seen.slice(-3), [
      "Metadata incomplete-tool-call",
      "finish incomplete:max_output_tokens",
      "End length"
    ])
  })

  it("arguments that are no JSON are no call", () => {
    const seen = lines([added(0, call("")), over(0, call("{")), completed()])
    assert.deepStrictEqual(
      seen.map((line) => line.split(":")[0]),
      ["ToolCallDelta a f {", "finish completed", "ToolCallIncomplete"]
    )
  })

  it("of a stream that breaks off are those that were over", () => {
    const chunks = [added(0, call("")), over(0, call("{}")), added(1, call("{}", { call_id: "b" })), args("{}", 1)]
    const truncated = "Truncated: The stream stopped before response.completed"
    assert.deepStrictEqual(lines(chunks), [
      "ToolCallDelta a f {}",
      "ToolCall a f {}",
      "ToolCallDelta b f {}",
      truncated
    ])
    assert.notInclude(lines([...chunks, event("failed", { response: {} })]).join(), "ToolCall b")
  })
})

describe("hosted tools", () => {
  const hosted = (item: Json, ...between: ReadonlyArray<Json>) => {
    const { events } = decode([added(2, { ...item, status: "in_progress" }), ...between, over(2, item), completed()])
    const calls = events
      .filter(StreamEvent.is("Metadata"))
      .filter((event) => event.kind.startsWith("hosted"))
      .map(({ kind, metadata }): Json => ({ kind, ...metadata }))
    const results = events
      .filter(StreamEvent.is("ToolResult"))
      .map(({ id, isError, name, output }) => ({ id, name, output, isError }))
    assert.isFalse(events.some(StreamEvent.is("ToolCall", "ToolCallDelta")))
    assert.strictEqual(events.at(-1)?._tag, "End")
    return { calls, results }
  }
  const kind = "hosted-tool-call"

  it("a call and its result in one item", () => {
    const item = {
      type: "mcp_call",
      id: "mcp",
      name: "shorten",
      arguments: '{"url":"x"}',
      server_label: "zip",
      output: "y",
      error: null
    }
    const pieces = [
      event("mcp_call_arguments.delta", { output_index: 2, delta: '{"url":"x"}' }),
      event("mcp_call.in_progress", { output_index: 2, item_id: "mcp" })
    ]
    assert.deepStrictEqual(hosted(item, ...pieces), {
      calls: [
        { kind: "hosted-tool-delta", part: "2", chunk: pieces[0] },
        { kind, part: "2", id: "mcp", name: "shorten", input: { url: "x" }, item }
      ],
      results: [{ id: "mcp", name: "shorten", output: "y", isError: false }]
    })
    const failed = { ...item, output: null, error: { code: -1 } }
    assert.deepStrictEqual(hosted(failed).results, [
      { id: "mcp", name: "shorten", output: { code: -1 }, isError: true }
    ])
  })

  it("by the name of the item's type, with the input that it has", () => {
    const items: ReadonlyArray<readonly [item: Json, name: string, input: unknown, output?: unknown]> = [
      [
        { type: "web_search_call", action: { type: "search", query: "q" } },
        "web_search",
        { type: "search", query: "q" }
      ],
      [{ type: "file_search_call", queries: ["q"], results: null }, "file_search", ["q"]],
      [{ type: "file_search_call", queries: ["q"], results: [{ text: "t" }] }, "file_search", ["q"], [{ text: "t" }]],
      [{ type: "code_interpreter_call", code: "1+1", outputs: [] }, "code_interpreter", "1+1", []],
      [{ type: "image_generation_call", result: "iVBO" }, "image_generation", undefined, "iVBO"],
      [{ type: "shell_call", action: { commands: ["ls"] } }, "shell", { commands: ["ls"] }],
      [{ type: "local_shell_call", action: { command: ["ls"] } }, "local_shell", { command: ["ls"] }],
      [{ type: "apply_patch_call", operation: { type: "delete_file" } }, "apply_patch", { type: "delete_file" }],
      [{ type: "tool_search_call", arguments: { goal: "g" } }, "tool_search", { goal: "g" }],
      [{ type: "computer_call", action: { type: "click" } }, "computer", { type: "click" }],
      [{ type: "program", code: "x" }, "program", "x"],
      [{ type: "mcp_approval_request", name: "n", arguments: "not json" }, "n", "not json"],
      [{ type: "novel_call" }, "novel", undefined]
    ]
    for (const [fields, name, input, output] of items) {
      const item = { ...fields, id: "i", call_id: "" }
      const { calls, results } = hosted(item)
      assert.deepStrictEqual(calls, [{ kind, part: "2", id: "i", name, input, item }])
      assert.deepStrictEqual(results, output === undefined ? [] : [{ id: "i", name, output, isError: false }])
    }
  })

  it("a result that is an item of its own has the id of its call", () => {
    const results: ReadonlyArray<readonly [item: Json, name: string, output: unknown]> = [
      [{ type: "shell_call_output", output: [{ stdout: "x" }] }, "shell", [{ stdout: "x" }]],
      [{ type: "program_output", result: "{}" }, "program", "{}"],
      [{ type: "tool_search_output", tools: [] }, "tool_search", []]
    ]
    for (const [fields, name, output] of results) {
      const item = { ...fields, id: "o", call_id: "c" }
      assert.deepStrictEqual(hosted(item), {
        calls: [{ kind: "hosted-tool-result", part: "2", id: "c", name, item }],
        results: [{ id: "c", name, output, isError: false }]
      })
    }
  })

  it("has the id of its end, not of its beginning", () => {
    const item = (call_id: string): Json => ({ type: "tool_search_call", id: "t", call_id, arguments: {} })
    const calls = metadataOf(kind, [added(0, item("provisional")), over(0, item("final")), completed()])
    assert.deepStrictEqual(
      calls.map(({ id }) => id),
      ["final"]
    )
  })

  it("one that began and was never over is not lost", () => {
    const item = { type: "shell_call", call_id: "c", action: { commands: ["ls"] } }
    for (const end of [completed(), incomplete("max_output_tokens")]) {
      assert.strictEqual(metadataOf(kind, [added(0, item), end]).length, 1)
    }
  })
})

describe("the response", () => {
  it("is identified once; an id that has changed by its end comes with that", () => {
    const created = event("created", { response: { id: "1", model: "m" } })
    assert.deepStrictEqual(metadataOf("response", [created, created, completed({ id: "2" })]), [
      { id: "1", model: "m" }
    ])
    assert.deepStrictEqual(metadataOf("finish", [created, completed({ id: "2" })]), [{ id: "2" }])
    assert.deepStrictEqual(metadataOf("finish", [created, completed({ id: "1" })]), [{}])
    assert.deepStrictEqual(metadataOf("response", [completed({ id: "2", model: "n" })]), [{ id: "2", model: "n" }])
  })

  it("finish reasons in the words of effect/ai, the status beside", () => {
    const ends: ReadonlyArray<readonly [chunk: Json, word: string, reason: StreamResult.FinishReason]> = [
      [completed(), "completed", "stop"],
      [event("completed"), "completed", "stop"],
      [incomplete("max_output_tokens"), "incomplete:max_output_tokens", "length"],
      [incomplete("content_filter"), "incomplete:content_filter", "content-filter"],
      [incomplete("something new"), "incomplete:something new", "unknown"],
      [incomplete(undefined), "incomplete", "unknown"],
      [completed({ status: "incomplete", incomplete_details: { reason: "x" } }), "incomplete:x", "unknown"],
      [event("cancelled", { response: { status: "cancelled" } }), "cancelled", "unknown"]
    ]
    for (const [chunk, word, reason] of ends) {
      assert.deepStrictEqual(lines([text("a"), chunk]), ['Delta/0.0 "a"', `finish ${word}`, `End ${reason}`])
    }
  })

  it("usage is inclusive; what is sent beside it is kept", () => {
    const usage = {
      input_tokens: 10,
      input_tokens_details: { cached_tokens: 4, cache_write_tokens: 1 },
      output_tokens: 5,
      output_tokens_details: { reasoning_tokens: 2 },
      total_tokens: 15,
      cost_in_usd_ticks: 7
    }
    const { events } = decode([completed({ usage }, { copilot_usage: { total_nano_aiu: 1 }, sequence_number: 9 })])
    const finish = finishOf(events)
    assert.deepStrictEqual(finish?.usage, {
      inputTokens: { total: 10, uncached: 6, cacheRead: 4, cacheWrite: 1 },
      outputTokens: { total: 5, text: 3, reasoning: 2 }
    })
    assert.deepStrictEqual(finish?.metadata, { usage, copilot_usage: { total_nano_aiu: 1 } })
    for (const none of [null, undefined, {}, 5]) {
      assert.isUndefined(finishOf(decode([completed({ usage: none })]).events)?.usage)
    }
  })

  it("[DONE] may follow, and is no end by itself", () => {
    const end = (text: string) =>
      Effect.runSync(collect(OpenAiResponses.decode()(Stream.make(`${text}data: [DONE]\n\n`)))).failure?.reason._tag
    assert.isUndefined(end(data(completed())))
    assert.strictEqual(end(data(text("a"))), "Truncated")
  })

  it("is over with its last word: nothing behind it is read", () => {
    assert.deepStrictEqual(lines([completed(), text("a"), { type: "error", message: "no" }]), stopped)
  })

  it("names of events do not matter, nor their lack", () => {
    const named = [text("a"), completed()].map((chunk) => `event: nonsense\ndata:${JSON.stringify(chunk)}\r\n\r\n`)
    const { events } = Effect.runSync(collect(OpenAiResponses.decode()(Stream.make(...named))))
    assert.deepStrictEqual(events.map(show), decode([text("a"), completed()]).events.map(show))
  })

  it("malformed first and last events", () => {
    const source = `data: {"type":"response.created"\n\n${data(added(0, call("")), over(0, call("{}")))}data: {"type"\n\n`
    const run = (options?: Protocol.Options) =>
      Effect.runSync(collect(OpenAiResponses.decode(options)(Stream.make(source))))
    const failed = run()
    assert.deepStrictEqual(
      failed.events.map((event) => event._tag),
      ["Start"]
    )
    assert.strictEqual(reasonOf(failed.failure, "MalformedFrame").offset, 0)
    const skipped = run({ onMalformed: "skip" })
    assert.deepStrictEqual(
      skipped.events.map((event) => event._tag),
      ["Start", "ToolCallDelta", "ToolCall"]
    )
    assert.strictEqual(skipped.failure?.reason._tag, "Truncated")
  })
})

describe("errors", () => {
  const reported = "ProviderFailure: openai reported server_error: no"

  it("flat or nested, first or later, and once", () => {
    const failed = event("failed", { response: { status: "failed", error: { code: "server_error", message: "no" } } })
    const flat = { type: "error", code: "server_error", message: "no", param: null, sequence_number: 3 }
    const nested = { type: "error", error: { type: "server_error", code: null, message: "no" } }
    for (const error of [flat, nested, { error: { code: "server_error", message: "no" } }]) {
      assert.deepStrictEqual(lines([error]), [reported])
      assert.deepStrictEqual(lines([text("a"), error, failed, error]), ['Delta/0.0 "a"', reported])
    }
    assert.deepStrictEqual(lines([text("a"), failed, failed]), ['Delta/0.0 "a"', "finish failed", reported])
  })

  it("with a failed response: what it had is not lost", () => {
    const response = {
      status: "failed",
      error: { code: "rate_limit_exceeded", message: "no" },
      usage: { input_tokens: 3 },
      output: [message({ type: "output_text", text: "a" })]
    }
    const { events, failure } = decode([event("failed", { response })])
    assert.strictEqual(textOf(events, "Delta"), "a")
    assert.strictEqual(finishOf(events)?.usage?.inputTokens.total, 3)
    assert.deepInclude(reasonOf(failure, "ProviderFailure"), { code: "rate_limit_exceeded", isRetryable: true })
  })

  it("without any word", () => {
    for (const error of [{ type: "error" }, event("failed"), event("failed", { response: { error: null } })]) {
      assert.strictEqual(lines([error]).at(-1), "ProviderFailure: openai reported: no message")
    }
    assert.deepStrictEqual(lines([{ error: null }, completed()]), ["Metadata unknown", ...stopped])
  })

  it("chunks of a chat completion are no protocol of this endpoint, which is said", () => {
    const chunk = { id: "1", object: "chat.completion.chunk", choices: [{ index: 0, delta: { content: "a" } }] }
    const { events, failure } = decode([chunk])
    assert.strictEqual(events.length, 1)
    const reason = reasonOf(failure, "ProtocolViolation")
    assert.match(reason.expected, /Responses/)
    assert.match(reason.actual, /chat completion/)
  })
})

describe("limits", () => {
  it.effect("what is kept of items and texts that do not end is bounded", () =>
    Effect.gen(function* () {
      const floods: ReadonlyArray<(n: number) => Json> = [
        (n) => added(n, message()),
        (n) => text("a", n),
        (n) => text("a", 0, n),
        (n) => over(n, { type: "novel" }),
        (n) => added(n, call("")),
        () => args("0123456789".repeat(10))
      ]
      for (const chunk of floods) {
        let pulled = 0
        const chunks = Stream.fromPull(
          Effect.succeed(Effect.sync(() => [pulled++ === 0 ? added(0, call("")) : chunk(pulled)] as const))
        )
        const { failure } = yield* collect(OpenAiResponses.fromChunks({ maxBufferSize: 10_000 })(chunks))
        assert.strictEqual(reasonOf(failure, "BufferOverflow").limit, 10_000)
        assert.isBelow(pulled, 300)
      }
    })
  )

  it("what is over is not kept", () => {
    const chunks = Array.from({ length: 100 }, (_, n) => [
      added(n, message()),
      text("a".repeat(100), n),
      over(n, message())
    ])
    assert.isUndefined(decode([...chunks.flat(), completed()], { maxBufferSize: 10_000 }).failure)
  })
})

const answer = [
  event("created", { response: { id: "resp", model: "m" } }),
  added(0, { type: "reasoning", id: "rs", summary: [] }),
  event("reasoning_summary_text.delta", { output_index: 0, summary_index: 0, delta: "hm" }),
  over(0, { type: "reasoning", id: "rs", summary: [{ type: "summary_text", text: "hm" }], encrypted_content: "g" }),
  added(1, message()),
  text("naïve 😀", 1),
  event("output_text.annotation.added", { output_index: 1, content_index: 0, annotation: { url: "u" } }),
  over(1, message({ type: "output_text", text: "naïve 😀!", annotations: [{ url: "u" }] })),
  added(2, call("")),
  args('{"x":', 2),
  args("1}", 2),
  over(2, call('{"x":1}', { namespace: "n" })),
  completed({ usage: { input_tokens: 1, output_tokens: 2 }, output: [] })
]

anyJsonSuite({
  provider: OpenAiResponses,
  words:
    "type response.created response.completed response.incomplete response.failed response.output_item.added response.output_item.done response.output_text.delta response.output_text.done response.content_part.done response.reasoning_summary_text.delta response.function_call_arguments.delta response.function_call_arguments.done response.output_text.annotation.added error output_index content_index summary_index item id call_id name arguments input content summary part text delta message reasoning function_call custom_tool_call mcp_call shell_call_output output output_text summary_text annotations annotation encrypted_content status incomplete response usage input_tokens incomplete_details reason code choices".split(
      " "
    ),
  streams: [
    answer,
    [
      added(0, { type: "mcp_call", id: "m", arguments: "" }),
      event("mcp_call_arguments.delta", { output_index: 0, delta: "{}" }),
      over(0, { type: "mcp_call", id: "m", name: "n", arguments: "{}", output: "o" }),
      added(1, { type: "custom_tool_call", call_id: "c", name: "t", input: "" }),
      event("custom_tool_call_input.delta", { output_index: 1, delta: "x" }),
      over(1, { type: "custom_tool_call", call_id: "c", name: "t", input: "xy" }),
      event("refusal.done", { output_index: 2, content_index: 0, refusal: "no" }),
      incomplete("max_output_tokens")
    ],
    [text("a"), { type: "error", code: "c", message: "no" }, event("failed", { response: { error: { code: "c" } } })]
  ]
})

describe("laws", () => {
  const streams: ReadonlyArray<readonly [name: string, text: string]> = [
    ["a whole answer", data(...answer)],
    ["without its end", data(...answer.slice(0, -1))],
    ["with an error", data(...answer.slice(0, 6), { type: "error", message: "no" })],
    ["cut in a call", data(...answer.slice(0, 10), incomplete("max_output_tokens")).trimEnd()]
  ]
  for (const [name, input] of streams) {
    // What comes behind the last word is not read, so a source that fails there is not asked.
    const ends = name !== "without its end"
    it.effect.prop(
      `of ${name}`,
      { input: StreamArbitrary.splits(new TextEncoder().encode(input)) },
      ({ input }) =>
        Effect.gen(function* () {
          if (!ends) yield* StreamLaws.all(OpenAiResponses.decode(), input)
          yield* StreamLaws.chunkIndependence(OpenAiResponses.decode(), input)
          yield* StreamLaws.oneTerminal(OpenAiResponses.decode(), input)
          yield* StreamLaws.interruption(OpenAiResponses.decode(), input)
        }),
      { arbitrary: { runs: 20 } }
    )
  }
})

describe("a request", () => {
  it.live("is a POST with the key, the model and the input", () =>
    Effect.gen(function* () {
      const server = yield* Loopback.serve((response) => {
        Loopback.begin(response)
        response.end(data(text("Hello"), completed()))
      })
      const model = OpenAiResponses.layer({
        baseUrl: `${server.url}/v1/`,
        apiKey: Redacted.make("sk-secret"),
        model: "m",
        headers: { "api-version": "1" }
      }).pipe(Layer.provide(FetchHttpClient.layer))
      const ask = (request: StreamModel.StreamRequest) =>
        StreamModel.stream(request).pipe(StreamHandler.runText(), Effect.provide(model))
      const messages = [{ role: "user", content: "hi" }]
      assert.strictEqual(yield* ask({ prompt: "hi" }), "Hello")
      yield* ask({ messages, model: "n", options: { store: false } })
      const [first, second] = server.requests
      assert.strictEqual(first?.url, "/v1/responses")
      assert.strictEqual(first?.headers.authorization, "Bearer sk-secret")
      assert.strictEqual(first?.headers["api-version"], "1")
      assert.strictEqual(first?.headers.accept, "text/event-stream")
      assert.deepStrictEqual(JSON.parse(first!.body), { model: "m", input: "hi", stream: true })
      assert.deepStrictEqual(JSON.parse(second!.body), { model: "n", input: messages, stream: true, store: false })
    })
  )

  it.live("that is refused says so, without the key", () =>
    Effect.gen(function* () {
      const server = yield* Loopback.serve((response) => {
        response.writeHead(401)
        response.end(
          JSON.stringify({ error: { message: "no", type: "invalid_request_error", code: "invalid_api_key" } })
        )
      })
      const model = OpenAiResponses.layer({ baseUrl: server.url, apiKey: Redacted.make("sk-secret") }).pipe(
        Layer.provide(FetchHttpClient.layer)
      )
      const { failure } = yield* Effect.provide(collect(StreamModel.stream({ prompt: "hi" })), model)
      assert.deepInclude(reasonOf(failure, "ProviderFailure"), { status: 401, code: "invalid_api_key" })
      assert.notInclude(`${failure?.message}${JSON.stringify(failure)}`, "sk-secret")
    })
  )
})
