import { assert, describe, it } from "@effect/vitest"
import {
  createUIMessageStream,
  createUIMessageStreamResponse,
  jsonSchema,
  stepCountIs,
  streamText,
  tool,
  type UIMessageChunk
} from "ai"
import { MockLanguageModelV4 } from "ai/test"
import { Effect, Layer, Redacted, Stream } from "effect"
import { FetchHttpClient, HttpClient } from "effect/http"
import * as StreamConfig from "../../src/StreamConfig.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as StreamHandler from "../../src/StreamHandler.ts"
import * as StreamModel from "../../src/StreamModel.ts"
import * as StreamLaws from "../../src/testing/StreamLaws.ts"
import * as StreamTest from "../../src/testing/StreamTest.ts"
import type * as Protocol from "../../src/wire/Protocol.ts"
import * as UiMessageStream from "../../src/wire/UiMessageStream.ts"
import * as Wire from "../../src/wire/Wire.ts"
import { anyJsonSuite } from "../support/anyJson.ts"
import * as Loopback from "../support/loopback.ts"
import { collect, finishOf, reasonOf, show, textOf } from "../support/run.ts"

const decode = (source: Stream.Stream<Uint8Array | string>, options?: Protocol.Options) =>
  Effect.runSync(collect(UiMessageStream.decode(options)(source)))

/** A part of the protocol, or what could be one. */
type Part = UIMessageChunk | { readonly type: "novel"; readonly [field: string]: unknown }

const data = (...parts: ReadonlyArray<unknown>): string =>
  parts.map((part) => `data: ${JSON.stringify(part)}\n\n`).join("")

const done = "data: [DONE]\n\n"

const start: Part = { type: "start", messageId: "m" }
const step: Part = { type: "start-step" }
const stepOver: Part = { type: "finish-step" }
const finish: Part = { type: "finish", finishReason: "stop" }

const text = (id: string, ...deltas: ReadonlyArray<string>): ReadonlyArray<Part> => [
  { type: "text-start", id },
  ...deltas.map((delta): Part => ({ type: "text-delta", id, delta })),
  { type: "text-end", id }
]

/** The events of an answer, without Start, finish, End and signs of life, and the failure: each in one line. */
const lines = (parts: ReadonlyArray<Part>, options?: Protocol.Options): ReadonlyArray<string> =>
  linesOf(decode(Stream.make(data(...parts)), options))

const linesOf = ({ events, failure }: ReturnType<typeof decode>): ReadonlyArray<string> => {
  assert.strictEqual(events[0]?._tag, "Start")
  return [
    ...events.flatMap((event) => {
      if (event._tag === "Start" || event._tag === "Progress") return []
      if (event._tag === "End") return [`End ${event.finishReason}`]
      if (event._tag === "ToolCall") return [`ToolCall ${event.id} ${event.name} ${event.argumentsText}`]
      if (event._tag !== "Metadata") return [show(event)]
      return event.kind === "finish" ? [] : [`${event.kind} ${JSON.stringify(event.metadata)}`]
    }),
    ...(failure === undefined ? [] : [`${failure.reason._tag}: ${failure.message}`])
  ]
}

const inner = (...parts: ReadonlyArray<Part>): ReadonlyArray<string> => {
  const all = lines([...parts, finish])
  assert.strictEqual(all.at(-1), "End stop")
  return all.slice(0, -1)
}

const truncated = /^Truncated: .*finish/

describe("text", () => {
  it("answer and reasoning in their parts", () => {
    const parts: ReadonlyArray<Part> = [
      start,
      step,
      { type: "reasoning-start", id: "r1" },
      { type: "reasoning-delta", id: "r1", delta: "hm" },
      { type: "reasoning-end", id: "r1" },
      ...text("0", "Hel", "", "lo"),
      ...text("1", "more"),
      stepOver,
      finish
    ]
    assert.deepStrictEqual(lines(parts), [
      'response {"id":"m"}',
      'Reasoning/r1 "hm"',
      'Delta/0 "Hel"',
      'Delta/0 "lo"',
      'Delta/1 "more"',
      "End stop"
    ])
  })

  it("what has no name of its own has no part", () => {
    const reasoning: Part = { type: "reasoning-delta", id: "reasoning", delta: "b" }
    assert.deepStrictEqual(inner(...text("text", "a"), reasoning), ['Delta "a"', 'Reasoning "b"'])
  })

  it("a delta that nothing began", () => {
    assert.deepStrictEqual(inner({ type: "text-delta", id: "0", delta: "a" }), ['Delta/0 "a"'])
  })

  it("citations, and what must be sent back, once", () => {
    const signed = { anthropic: { signature: "sig" } }
    const itemId = { openai: { itemId: "i" } }
    const source = { type: "source", sourceType: "url", id: "s", url: "https://a.example/" } as const
    const parts: ReadonlyArray<Part> = [
      { type: "reasoning-start", id: "r" },
      { type: "reasoning-delta", id: "r", delta: "", providerMetadata: signed },
      { type: "reasoning-end", id: "r", providerMetadata: signed },
      { type: "text-start", id: "t", providerMetadata: itemId },
      { type: "text-end", id: "t", providerMetadata: itemId, citations: [{ source, citedText: "x" }] }
    ]
    assert.deepStrictEqual(inner(...parts), [
      `signature {"part":"r","signature":"sig","providerMetadata":${JSON.stringify(signed)}}`,
      `citation {"part":"t","citation":${JSON.stringify({ source, citedText: "x" })}}`,
      `signature {"part":"t","thought":false,"providerMetadata":${JSON.stringify(itemId)}}`
    ])
  })

  it("what a part begins with comes behind its first text, or at its end, and later words win", () => {
    const metadata = (a: number) => ({ p: { a } })
    const begin = (id: string): Part => ({ type: "reasoning-start", id, providerMetadata: metadata(1) })
    const parts: ReadonlyArray<Part> = [
      begin("a"),
      begin("b"),
      { type: "reasoning-delta", id: "a", delta: "x" },
      { type: "reasoning-delta", id: "a", delta: "y" },
      { type: "reasoning-end", id: "a", providerMetadata: metadata(2) },
      { type: "reasoning-end", id: "b", providerMetadata: metadata(3) },
      begin("c"),
      { type: "reasoning-end", id: "c" }
    ]
    const signature = (part: string, a: number) =>
      `signature {"part":"${part}","providerMetadata":${JSON.stringify(metadata(a))}}`
    assert.deepStrictEqual(inner(...parts), [
      'Reasoning/a "x"',
      signature("a", 1),
      'Reasoning/a "y"',
      signature("a", 2),
      signature("b", 3),
      signature("c", 1)
    ])
  })
})

describe("tool calls", () => {
  const begin = (id: string, more?: Partial<UIMessageChunk>): Part =>
    ({ type: "tool-input-start", toolCallId: id, toolName: "f", ...more }) as UIMessageChunk
  const delta = (id: string, inputTextDelta: string): Part => ({
    type: "tool-input-delta",
    toolCallId: id,
    inputTextDelta
  })
  const available = (id: string, input: unknown, more?: Partial<UIMessageChunk>): Part =>
    ({ type: "tool-input-available", toolCallId: id, toolName: "f", input, ...more }) as UIMessageChunk

  it("stream, several at once, and are whole when the input is there", () => {
    const parts = [
      begin("a"),
      delta("a", '{ "x":'),
      begin("b"),
      delta("b", "{"),
      delta("a", "1 }"),
      available("a", { x: 1 }),
      delta("b", "}"),
      available("b", {})
    ]
    assert.deepStrictEqual(inner(...parts), [
      'ToolCallDelta a f { "x":',
      "ToolCallDelta b f {",
      "ToolCallDelta a f 1 }",
      'ToolCall a f { "x":1 }',
      "ToolCallDelta b f }",
      "ToolCall b f {}"
    ])
  })

  it("come whole, with or without a beginning, and once", () => {
    assert.deepStrictEqual(inner(available("a", { x: 1 }), begin("b"), available("b", []), available("a", { x: 2 })), [
      'ToolCallDelta a f {"x":1}',
      'ToolCall a f {"x":1}',
      "ToolCallDelta b f []",
      "ToolCall b f []"
    ])
    assert.deepStrictEqual(inner(available("a", undefined)), ["ToolCall a f "])
  })

  it("the input counts for more than the text, which a schema may have changed", () => {
    assert.deepStrictEqual(inner(begin("a"), delta("a", '{"x":"1"}'), available("a", { x: 1 })), [
      'ToolCallDelta a f {"x":"1"}',
      'ToolCall a f {"x":1}'
    ])
  })

  it("input that is text", () => {
    const calls = (...parts: ReadonlyArray<Part>) =>
      decode(Stream.make(data(...parts, finish)))
        .events.filter(StreamEvent.is("ToolCall"))
        .map(({ argumentsText, input }) => [argumentsText, input])
    const isText = { inputEncoding: "text" } as const
    assert.deepStrictEqual(calls(begin("a", isText), delta("a", "x = "), delta("a", "1"), available("a", "x = 1")), [
      ["x = 1", "x = 1"]
    ])
    assert.deepStrictEqual(calls(begin("a"), delta("a", "x = 1"), available("a", "x = 1")), [["x = 1", "x = 1"]])
    assert.deepStrictEqual(calls(begin("a", isText), available("a", "x")), [["x", "x"]])
    assert.deepStrictEqual(calls(available("a", "x")), [['"x"', "x"]])
  })

  it("what the server could not read is no call", () => {
    const failed = (id: string, input: unknown): Part => ({
      type: "tool-input-error",
      toolCallId: id,
      toolName: "f",
      input,
      errorText: "no"
    })
    const parts = [
      begin("a"),
      delta("a", '{"x'),
      failed("a", '{"x'),
      failed("b", { y: 1 }),
      begin("c"),
      available("c", 1)
    ]
    assert.deepStrictEqual(inner(...parts), [
      'ToolCallDelta a f {"x',
      `incomplete-tool-call {"id":"a","name":"f","argumentsText":"{\\"x","input":"{\\"x","errorText":"no"}`,
      `incomplete-tool-call {"id":"b","name":"f","argumentsText":"{\\"y\\":1}","input":{"y":1},"errorText":"no"}`,
      "ToolCallDelta c f 1",
      "ToolCall c f 1"
    ])
  })

  it("one that never becomes available is incomplete", () => {
    const parts = [begin("a"), delta("a", '{"x'), finish]
    assert.match(lines(parts).at(-1)!, /^ToolCallIncomplete/)
    assert.deepStrictEqual(lines(parts, { onIncompleteToolCall: "metadata" }).slice(1), [
      'incomplete-tool-call {"id":"a","name":"f","argumentsText":"{\\"x"}',
      "End stop"
    ])
    for (const last of [finish, { type: "finish", finishReason: "length" }] as const) {
      for (const open of [[begin("a")], [begin("a"), delta("a", "{}")]]) {
        const all = lines([...open, last])
        assert.match(all.at(-1)!, /^ToolCallIncomplete/)
        assert.notInclude(String(all), "ToolCall a")
      }
    }
  })

  it("results, errors, preliminary ones, and those of calls from before", () => {
    const parts: ReadonlyArray<Part> = [
      available("a", {}),
      { type: "tool-output-available", toolCallId: "a", output: { n: 1 }, preliminary: true },
      { type: "tool-output-available", toolCallId: "a", output: null },
      available("b", {}),
      { type: "tool-output-error", toolCallId: "b", errorText: "no" },
      { type: "tool-output-available", toolCallId: "z", output: 1 }
    ]
    assert.deepStrictEqual(
      inner(...parts).filter((line) => !line.startsWith("ToolCall")),
      [
        'tool-result {"id":"a","name":"f","output":{"n":1},"isError":false,"preliminary":true}',
        'ToolResult {"id":"a","name":"f","output":null,"isError":false}',
        'ToolResult {"id":"b","name":"f","output":"no","isError":true}',
        'ToolResult {"id":"z","name":"","output":1,"isError":false}'
      ]
    )
  })

  it("tools of the provider are nothing for the application to run", () => {
    const hosted = { providerExecuted: true } as const
    const parts: ReadonlyArray<Part> = [
      begin("a", hosted),
      delta("a", '{"q":1}'),
      available("a", { q: 1 }, hosted),
      { type: "tool-output-available", toolCallId: "a", output: "x", ...hosted },
      begin("b"),
      delta("b", "{"),
      available("b", {}, hosted),
      begin("c", hosted)
    ]
    assert.deepStrictEqual(
      inner(...parts).map((line) => line.replace(/,"item".*/, "")),
      [
        'hosted-tool-delta {"id":"a","name":"f","delta":"{\\"q\\":1}"}',
        'hosted-tool-call {"id":"a","name":"f","input":{"q":1}',
        'ToolResult {"id":"a","name":"f","output":"x","isError":false}',
        "ToolCallDelta b f {",
        'hosted-tool-call {"id":"b","name":"f","input":{}'
      ]
    )
  })

  it("what else is said of a call", () => {
    const more = { dynamic: true, title: "F", providerMetadata: { google: { thoughtSignature: "sig" } } }
    assert.deepStrictEqual(inner(begin("a", more), available("a", {}, more)), [
      `signature {"id":"a","signature":"sig","providerMetadata":{"google":{"thoughtSignature":"sig"}}}`,
      'tool {"id":"a","dynamic":true,"title":"F"}',
      "ToolCallDelta a f {}",
      "ToolCall a f {}"
    ])
  })

  it("approvals", () => {
    const parts: ReadonlyArray<Part> = [
      available("a", {}),
      { type: "tool-approval-request", approvalId: "p", toolCallId: "a" },
      { type: "tool-approval-response", approvalId: "p", approved: false, reason: "no" },
      { type: "tool-output-denied", toolCallId: "a" }
    ]
    assert.deepStrictEqual(inner(...parts).slice(2), [
      'tool-approval-request {"approvalId":"p","toolCallId":"a"}',
      'tool-approval-response {"approvalId":"p","approved":false,"reason":"no"}',
      'tool-output-denied {"toolCallId":"a"}'
    ])
  })

  it("a step that is taken back takes its open calls along", () => {
    const parts: ReadonlyArray<Part> = [
      step,
      begin("a"),
      delta("a", '{"x'),
      { type: "reset-step" },
      begin("a"),
      available("a", { y: 1 })
    ]
    assert.deepStrictEqual(inner(...parts), [
      'ToolCallDelta a f {"x',
      "reset-step {}",
      'ToolCallDelta a f {"y":1}',
      'ToolCall a f {"y":1}'
    ])
  })
})

describe("what is neither text nor call", () => {
  it("sources and files", () => {
    const providerMetadata = { p: { a: 1 } }
    const parts: ReadonlyArray<Part> = [
      { type: "source-url", sourceId: "s", url: "https://a.example/", title: "A", providerMetadata },
      { type: "source-document", sourceId: "d", mediaType: "application/pdf", title: "D", filename: "d.pdf" },
      { type: "file", url: "data:image/png;base64,AAAA", mediaType: "image/png" },
      { type: "reasoning-file", url: "https://a.example/b.png", mediaType: "image/png" }
    ]
    assert.deepStrictEqual(inner(...parts), [
      'source {"id":"s","url":"https://a.example/","title":"A","providerMetadata":{"p":{"a":1}}}',
      'source {"id":"d","mediaType":"application/pdf","title":"D","filename":"d.pdf"}',
      'file {"url":"data:image/png;base64,AAAA","mediaType":"image/png"}',
      'file {"url":"https://a.example/b.png","mediaType":"image/png","thought":true}'
    ])
  })

  it("data, custom parts, steering, and what nobody knows", () => {
    const parts: ReadonlyArray<Part> = [
      { type: "data-weather", id: "w", data: { c: 20 } },
      { type: "data-note", data: null, transient: true },
      { type: "data-retract", data: { offset: 3 }, transient: true },
      { type: "custom", kind: "a.b", providerMetadata: { a: {} } },
      { type: "steering-message", id: "u", parts: [{ type: "text", text: "stop" }] },
      { type: "novel", x: 1 }
    ]
    assert.deepStrictEqual(inner(...parts), [
      'data {"name":"weather","id":"w","data":{"c":20}}',
      'data {"name":"note","data":null,"transient":true}',
      'retract {"offset":3}',
      'custom {"kind":"a.b","providerMetadata":{"a":{}}}',
      'steering-message {"id":"u","parts":[{"type":"text","text":"stop"}]}',
      'unknown {"chunk":{"type":"novel","x":1}}'
    ])
  })

  it("steps, from the second on", () => {
    assert.deepStrictEqual(inner(step, ...text("0", "a"), stepOver, step, ...text("0", "b"), stepOver), [
      'Delta/0 "a"',
      'step {"step":2}',
      'Delta/0 "b"'
    ])
  })

  it("the message's metadata, without the usage", () => {
    const sdk = {
      inputTokens: 10,
      outputTokens: 4,
      totalTokens: 14,
      inputTokenDetails: { noCacheTokens: 7, cacheReadTokens: 3 },
      outputTokenDetails: { textTokens: 3, reasoningTokens: 1 }
    }
    const usage = {
      inputTokens: { total: 10, uncached: 7, cacheRead: 3, cacheWrite: undefined },
      outputTokens: { total: 4, text: 3, reasoning: 1 }
    }
    const own = { inputTokens: { total: 10, uncached: 7, cacheRead: 3 }, outputTokens: usage.outputTokens }
    const older = { inputTokens: 10, outputTokens: 4, cachedInputTokens: 3, reasoningTokens: 1 }
    for (const [raw, expected] of [
      [sdk, usage],
      [own, usage],
      [
        older,
        {
          inputTokens: { ...usage.inputTokens, uncached: undefined },
          outputTokens: { ...usage.outputTokens, text: undefined }
        }
      ]
    ] as const) {
      for (const key of ["usage", "totalUsage"]) {
        const parts: ReadonlyArray<Part> = [
          { type: "start", messageMetadata: { a: 1 } },
          { type: "message-metadata", messageMetadata: "b" },
          { type: "finish", finishReason: "length", messageMetadata: { c: 2, [key]: raw } }
        ]
        const { events } = decode(Stream.make(data(...parts)))
        assert.deepStrictEqual(lines(parts), [
          'message-metadata {"messageMetadata":{"a":1}}',
          'message-metadata {"messageMetadata":"b"}',
          'message-metadata {"messageMetadata":{"c":2}}',
          "End length"
        ])
        assert.deepInclude(finishOf(events), {
          kind: "finish",
          usage: expected,
          metadata: { usage: raw },
          providerFinishReason: "length"
        })
      }
    }
    const odd: Part = { type: "finish", messageMetadata: { usage: "much" } }
    assert.deepStrictEqual(lines([odd]), ['message-metadata {"messageMetadata":{"usage":"much"}}', "End unknown"])
  })

  it("signs of life", () => {
    const { events } = decode(Stream.make(`: keep-alive\n\n${data(step, stepOver, finish)}`))
    assert.deepStrictEqual(
      events.filter(StreamEvent.is("Progress")).map(({ kind }) => kind),
      ["keep-alive", "start-step", "finish-step"]
    )
  })
})

describe("the end", () => {
  it("finish reasons", () => {
    for (const [word, reason] of [
      ["stop", "stop"],
      ["length", "length"],
      ["content-filter", "content-filter"],
      ["tool-calls", "tool-calls"],
      ["error", "error"],
      ["other", "other"],
      ["interrupted", "other"],
      ["unknown", "unknown"],
      [undefined, "unknown"]
    ] as const) {
      const { events } = decode(Stream.make(data({ type: "finish", finishReason: word })))
      assert.deepInclude(events.at(-1), { _tag: "End", finishReason: reason })
      assert.strictEqual(finishOf(events)?.providerFinishReason, word)
    }
  })

  it("is finish, with [DONE] or without", () => {
    const whole = data(...text("0", "a"), finish)
    for (const source of [whole, whole + done, whole.trimEnd()]) {
      assert.deepStrictEqual(linesOf(decode(Stream.make(source))), ['Delta/0 "a"', "End stop"])
    }
  })

  it("is [DONE] where parts were written by hand, and nothing is read behind it", () => {
    const source = data(...text("0", "a")) + done
    assert.deepStrictEqual(linesOf(decode(Stream.make(source))), ['Delta/0 "a"', "End unknown"])
    assert.deepStrictEqual(linesOf(decode(Stream.make(source.trimEnd()))), ['Delta/0 "a"', "End unknown"])
    const forever = Stream.concat(Stream.make(source), Stream.die("pulled behind the end"))
    assert.deepStrictEqual(linesOf(decode(forever)), ['Delta/0 "a"', "End unknown"])
  })

  it("parts behind a finish are read, and another step needs an end of its own", () => {
    const note: Part = { type: "data-note", data: 1 }
    assert.deepStrictEqual(lines([finish, note]), ['data {"name":"note","data":1}', "End stop"])
    assert.match(lines([step, finish, step, ...text("0", "a")]).at(-1)!, truncated)
    assert.strictEqual(lines([step, finish, step, ...text("0", "a"), finish]).at(-1), "End stop")
  })

  it("without it the stream is Truncated", () => {
    assert.match(lines([start, step, ...text("0", "a"), stepOver]).at(-1)!, truncated)
    assert.match(lines([]).at(-1)!, truncated)
  })

  it("an answer that was stopped is Truncated, and accepted where that is", () => {
    const parts: ReadonlyArray<Part> = [...text("0", "a"), { type: "abort", reason: "stopped" }]
    for (const source of [data(...parts), data(...parts) + done]) {
      const all = linesOf(decode(Stream.make(source)))
      assert.deepStrictEqual(all.slice(0, 2), ['Delta/0 "a"', 'abort {"reason":"stopped"}'])
      assert.match(all.at(-1)!, truncated)
      const accepted = linesOf(decode(Stream.make(source), { onMissingFinish: "accept" }))
      assert.strictEqual(accepted.at(-1), "End unknown")
    }
  })

  it("an error is a failure, and the first one counts", () => {
    const parts: ReadonlyArray<Part> = [...text("0", "a"), { type: "error", errorText: "no" }, finish]
    assert.deepStrictEqual(lines(parts), ['Delta/0 "a"', "ProviderFailure: server reported: no"])
    assert.deepInclude(reasonOf(decode(Stream.make(data(...parts)), { provider: "mine" }).failure, "ProviderFailure"), {
      provider: "mine",
      message: "no",
      isRetryable: false
    })
  })
})

/** An answer with something of everything. */
const all: ReadonlyArray<Part> = [
  start,
  step,
  { type: "reasoning-start", id: "r" },
  { type: "reasoning-delta", id: "r", delta: "hm 😀" },
  { type: "reasoning-end", id: "r", providerMetadata: { anthropic: { signature: "sig" } } },
  ...text("0", "naïve ", "日本"),
  { type: "tool-input-start", toolCallId: "a", toolName: "search" },
  { type: "tool-input-delta", toolCallId: "a", inputTextDelta: '{"q":' },
  { type: "tool-input-delta", toolCallId: "a", inputTextDelta: '"x\\"}"}' },
  { type: "tool-input-available", toolCallId: "a", toolName: "search", input: { q: 'x"}' } },
  { type: "tool-output-available", toolCallId: "a", output: { hits: 2 } },
  stepOver,
  step,
  { type: "source-url", sourceId: "s", url: "https://a.example/" },
  { type: "file", url: "data:image/png;base64,AAAA", mediaType: "image/png" },
  { type: "data-note", data: { a: "\u2028" } },
  ...text("0", "two hits"),
  stepOver,
  { type: "finish", finishReason: "stop", messageMetadata: { usage: { inputTokens: 3, outputTokens: 5 } } }
]

describe("bytes", () => {
  const bytes = new TextEncoder().encode(`: c\n\n${data(...all)}${done}`)

  it("cut anywhere are no whole answer", () => {
    const finished = new TextEncoder().encode(`: c\n\n${data(...all).trimEnd()}`).length
    for (let length = 0; length <= bytes.length; length++) {
      const { events, failure } = decode(Stream.make(bytes.subarray(0, length)))
      const isWhole = length >= finished
      assert.strictEqual(events.at(-1)?._tag === "End", isWhole, `${length}`)
      if (!isWhole) assert.include(["Truncated", "ToolCallIncomplete"], failure?.reason._tag)
      // Nothing is run that was cut.
      for (const event of events) if (event._tag === "ToolCall") assert.deepStrictEqual(event.input, { q: 'x"}' })
    }
  })

  it("split at every byte give the same", () => {
    const expected = decode(Stream.make(bytes)).events.map(show)
    assert.isAbove(expected.length, 15)
    for (let at = 0; at <= bytes.length; at++) {
      const { events } = decode(Stream.make(bytes.subarray(0, at), bytes.subarray(at)))
      assert.deepStrictEqual(events.map(show), expected)
    }
    const single = decode(StreamTest.script(StreamTest.split(bytes, 1)))
    assert.deepStrictEqual(single.events.map(show), expected)
  })

  it("with any line ends", () => {
    const expected = decode(Stream.make(bytes)).events.map(show)
    const source = new TextDecoder().decode(bytes)
    for (const lineEnd of ["\r\n", "\r"]) {
      assert.deepStrictEqual(decode(Stream.make(source.replaceAll("\n", lineEnd))).events.map(show), expected)
    }
  })

  it.effect("keep the laws", () =>
    Effect.gen(function* () {
      for (const way of [{}, { sizes: [1] }, { sizes: [7], groups: [2] }]) {
        const input = { items: [bytes], ...way }
        yield* StreamLaws.chunkIndependence(UiMessageStream.decode(), input)
        yield* StreamLaws.emitThenFail(UiMessageStream.decode(), input)
        yield* StreamLaws.oneTerminal(UiMessageStream.decode(), input)
        yield* StreamLaws.interruption(UiMessageStream.decode(), input)
      }
    })
  )

  it("that are no JSON are malformed", () => {
    assert.match(linesOf(decode(Stream.make("data: no\n\n")))[0]!, /^MalformedFrame/)
    const skipped = decode(Stream.make(`data: no\n\n${data(finish)}`), { onMalformed: "skip" })
    assert.deepStrictEqual(linesOf(skipped), ["End stop"])
  })

  it.effect("are limited", () =>
    Effect.gen(function* () {
      const large = data({ type: "text-delta", id: "0", delta: "x".repeat(1000) })
      const { failure } = yield* collect(UiMessageStream.decode({ maxEventSize: 500 })(Stream.make(large)))
      assert.deepStrictEqual(failure?.reason, { _tag: "FrameTooLarge", limit: 500 })
      const floods: ReadonlyArray<(n: number) => Part> = [
        (n) => ({ type: "tool-input-start", toolCallId: `${n}`, toolName: "f" }),
        (n) => ({ type: "tool-input-start", toolCallId: `${n}`, toolName: "f", providerExecuted: true }),
        (n) => ({ type: "tool-output-available", toolCallId: `${n}`, output: n }),
        (n) => ({ type: "reasoning-end", id: `${n}`, providerMetadata: { a: { n } } }),
        (n) => ({ type: "text-start", id: `${n}`, providerMetadata: { a: { n } } }),
        () => ({ type: "tool-input-delta", toolCallId: "a", inputTextDelta: "x" })
      ]
      for (const flood of floods) {
        let count = 0
        const forever = Stream.fromPull(Effect.succeed(Effect.sync((): [string] => [data(flood(count++))])))
        const { failure } = yield* collect(UiMessageStream.decode()(forever)).pipe(
          Effect.provide(StreamConfig.layer({ maxBufferSize: 2000 }))
        )
        assert.strictEqual(failure?.reason._tag, "BufferOverflow")
        assert.isAtMost(count, 2000)
      }
    })
  )

  it("parts that were parsed already", () => {
    const { events, failure } = Effect.runSync(collect(UiMessageStream.fromChunks()(Stream.fromIterable(all))))
    assert.isUndefined(failure)
    assert.deepStrictEqual(
      events.filter((event) => event._tag !== "Progress").map(show),
      decode(Stream.make(data(...all)))
        .events.filter((event) => event._tag !== "Progress")
        .map(show)
    )
  })
})

describe("is recognized", () => {
  it("by each of its parts, and by no other protocol", () => {
    for (const part of [...all, finish, { type: "error", errorText: "no" }]) {
      const chunk = JSON.parse(JSON.stringify(part))
      const found = Wire.candidates.filter(({ recognizes }) => recognizes(chunk)).map(({ name }) => name)
      assert.deepStrictEqual(found, ["UiMessageStream"], JSON.stringify(part))
    }
    const { events } = Effect.runSync(collect(Wire.detect()(Stream.make(data(...all)))))
    assert.deepStrictEqual(events.map(show), decode(Stream.make(data(...all))).events.map(show))
  })

  it("not in the parts of others", () => {
    const others = [
      { type: "message_start", message: {} },
      { type: "error", error: { message: "no" } },
      { type: "message-start", id: "x" },
      { type: "response.created", response: {} },
      { type: "text-delta" },
      { type: "novel" },
      { type: 1 }
    ]
    for (const chunk of others) assert.isFalse(UiMessageStream.protocol.recognizes(chunk), JSON.stringify(chunk))
  })
})

// -----------------------------------------------------------------------------
// the AI SDK's own server
// -----------------------------------------------------------------------------

type ModelPart =
  Awaited<ReturnType<MockLanguageModelV4["doStream"]>>["stream"] extends ReadableStream<infer P> ? P : never

const usage = {
  inputTokens: { total: 3, noCache: 3, cacheRead: undefined, cacheWrite: undefined },
  outputTokens: { total: 5, text: 5, reasoning: undefined }
}

const ended = (unified: "stop" | "tool-calls"): ModelPart => ({
  type: "finish",
  finishReason: { unified, raw: unified },
  usage
})

const said = (...deltas: ReadonlyArray<string>): ReadonlyArray<ModelPart> => [
  { type: "text-start", id: "t" },
  ...deltas.map((delta): ModelPart => ({ type: "text-delta", id: "t", delta })),
  { type: "text-end", id: "t" }
]

const streamOf = (parts: ReadonlyArray<ModelPart>, end?: Promise<void>): ReadableStream<ModelPart> =>
  new ReadableStream({
    async start(controller) {
      for (const part of parts) controller.enqueue(part)
      await end
      controller.close()
    }
  })

/** A model that answers each request with the next of these. */
const modelOf = (...answers: ReadonlyArray<ReadonlyArray<ModelPart>>): MockLanguageModelV4 => {
  let next = 0
  return new MockLanguageModelV4({ doStream: async () => ({ stream: streamOf(answers[next++] ?? []) }) })
}

/** What comes of a response of the AI SDK, over HTTP, decoded. */
const served = (respond: () => Response) =>
  Effect.gen(function* () {
    const server = yield* Loopback.serve((response) => {
      const answer = respond()
      response.writeHead(answer.status, Object.fromEntries(answer.headers))
      void answer.body?.pipeTo(
        new WritableStream({
          write: (bytes) => void response.write(bytes),
          close: () => void response.end()
        })
      )
    })
    const client = yield* HttpClient.HttpClient
    return yield* Effect.flatMap(client.get(server.url), (response) => collect(UiMessageStream.fromResponse(response)))
  }).pipe(Effect.scoped, Effect.provide(FetchHttpClient.layer))

describe("the AI SDK's server", () => {
  it.live("text, reasoning, signature, usage", () =>
    Effect.gen(function* () {
      const respond = () =>
        streamText({
          model: modelOf([
            { type: "stream-start", warnings: [] },
            { type: "reasoning-start", id: "r" },
            { type: "reasoning-delta", id: "r", delta: "hm" },
            { type: "reasoning-end", id: "r", providerMetadata: { anthropic: { signature: "sig" } } },
            ...said("Hel", "lo"),
            { type: "source", sourceType: "url", id: "s", url: "https://a.example/" },
            ended("stop")
          ]),
          prompt: "hi"
        }).toUIMessageStreamResponse({
          sendSources: true,
          generateMessageId: () => "m",
          messageMetadata: ({ part }) => (part.type === "finish" ? { usage: part.totalUsage } : undefined)
        })
      const { events, failure } = yield* served(respond)
      assert.isUndefined(failure)
      assert.strictEqual(textOf(events, "Delta"), "Hello")
      assert.strictEqual(textOf(events, "Reasoning"), "hm")
      assert.strictEqual(finishOf(events)?.usage?.inputTokens.total, 3)
      assert.strictEqual(finishOf(events)?.usage?.outputTokens.total, 5)
      assert.deepInclude(events.at(-1), { _tag: "End", finishReason: "stop" })
      const kinds = events.filter(StreamEvent.is("Metadata")).map(({ kind, metadata }) => [kind, metadata["id"]])
      assert.deepStrictEqual(kinds.slice(0, 3), [
        ["response", "m"],
        ["signature", undefined],
        ["source", "s"]
      ])
    })
  )

  it.live("tool calls with results, and the step behind them", () =>
    Effect.gen(function* () {
      const weather = tool({
        inputSchema: jsonSchema<{ city: string }>({ type: "object", properties: { city: { type: "string" } } }),
        execute: async ({ city }) => {
          if (city === "Atlantis") throw new Error("sunk")
          return { city, degrees: 20 }
        }
      })
      const called = (id: string, city: string): ReadonlyArray<ModelPart> => [
        { type: "tool-input-start", id, toolName: "weather" },
        { type: "tool-input-delta", id, delta: '{"city":' },
        { type: "tool-input-delta", id, delta: ` "${city}"}` },
        { type: "tool-input-end", id },
        { type: "tool-call", toolCallId: id, toolName: "weather", input: `{"city": "${city}"}` }
      ]
      const respond = () =>
        streamText({
          model: modelOf(
            [
              ...said("Let me see. "),
              ...called("a", "Rome"),
              ...called("b", "Atlantis"),
              { type: "tool-call", toolCallId: "c", toolName: "nowhere", input: "{" },
              ended("tool-calls")
            ],
            [...said("20 degrees."), ended("stop")]
          ),
          tools: { weather },
          stopWhen: stepCountIs(3),
          prompt: "hi"
        }).toUIMessageStreamResponse()
      const { events, failure } = yield* served(respond)
      assert.isUndefined(failure)
      const result = yield* StreamHandler.run()(Stream.fromIterable(events))
      assert.strictEqual(result.text, "Let me see. 20 degrees.")
      assert.deepStrictEqual(result.toolCalls, [
        { id: "a", name: "weather", argumentsText: '{"city": "Rome"}', input: { city: "Rome" } },
        { id: "b", name: "weather", argumentsText: '{"city": "Atlantis"}', input: { city: "Atlantis" } }
      ])
      assert.deepStrictEqual(
        result.toolResults.toSorted((a, b) => (a.id < b.id ? -1 : 1)),
        [
          { id: "a", name: "weather", output: { city: "Rome", degrees: 20 }, isError: false },
          { id: "b", name: "weather", output: "Error: sunk", isError: true }
        ]
      )
      const kinds = result.metadata.map(({ kind }) => kind)
      assert.include(kinds, "step")
      assert.deepInclude(result.metadata.find(({ kind }) => kind === "incomplete-tool-call")?.metadata, {
        id: "c",
        name: "nowhere",
        argumentsText: "{"
      })
      assert.strictEqual(result.finishReason, "stop")
    })
  )

  it.live("an error in the middle", () =>
    Effect.gen(function* () {
      const respond = () =>
        streamText({
          model: modelOf([...said("Hel"), { type: "error", error: new Error("secret") }]),
          prompt: "hi",
          onError: () => {}
        }).toUIMessageStreamResponse()
      const { events, failure } = yield* served(respond)
      assert.strictEqual(textOf(events, "Delta"), "Hel")
      assert.deepInclude(reasonOf(failure, "ProviderFailure"), { message: "An error occurred.", isRetryable: false })
    })
  )

  it.live("an answer that its server stops", () =>
    Effect.gen(function* () {
      const respond = () => {
        const controller = new AbortController()
        const never = new Promise<void>(() => {})
        const model = new MockLanguageModelV4({
          doStream: async () => ({ stream: streamOf(said("Hel").slice(0, 2), never) })
        })
        return streamText({
          model,
          prompt: "hi",
          abortSignal: controller.signal,
          onChunk: ({ chunk }) => {
            if (chunk.type === "text-delta") setTimeout(() => controller.abort("stopped"), 10)
          }
        }).toUIMessageStreamResponse()
      }
      const { events, failure } = yield* served(respond)
      assert.strictEqual(textOf(events, "Delta"), "Hel")
      assert.strictEqual(failure?.reason._tag, "Truncated")
      assert.isTrue(events.some((event) => event._tag === "Metadata" && event.kind === "abort"))
    })
  )

  it.live("parts that are written by hand", () =>
    Effect.gen(function* () {
      const respond = () =>
        createUIMessageStreamResponse({
          stream: createUIMessageStream({
            execute: ({ writer }) => {
              writer.write({ type: "data-note", data: { a: 1 } })
              writer.write({ type: "text-start", id: "x" })
              writer.write({ type: "text-delta", id: "x", delta: "Hi" })
              writer.write({ type: "text-end", id: "x" })
            }
          })
        })
      const { events, failure } = yield* served(respond)
      assert.isUndefined(failure)
      assert.strictEqual(textOf(events, "Delta"), "Hi")
      assert.deepInclude(events.at(-1), { _tag: "End", finishReason: "unknown" })
    })
  )

  it.live("a response says in its header what it is", () =>
    Effect.gen(function* () {
      const server = yield* Loopback.serve((response) => {
        Loopback.begin(response, { "x-vercel-ai-ui-message-stream": "v1" })
        // No part of it, which alone would not be recognized.
        response.end(data({ type: "novel" }) + done)
      })
      const client = yield* HttpClient.HttpClient
      const { events, failure } = yield* Effect.flatMap(client.get(server.url), (response) =>
        collect(Wire.fromResponse(response))
      )
      assert.isUndefined(failure)
      assert.strictEqual(events.at(-1)?._tag, "End")
    }).pipe(Effect.scoped, Effect.provide(FetchHttpClient.layer))
  )
})

describe("over HTTP", () => {
  it.live("a request is what useChat sends", () =>
    Effect.gen(function* () {
      const server = yield* Loopback.serve((response) => {
        Loopback.begin(response)
        response.end(data(...text("0", "a"), finish))
      })
      const model = UiMessageStream.layer({
        baseUrl: `${server.url}/api/chat`,
        apiKey: Redacted.make("secret"),
        model: "m"
      }).pipe(Layer.provide(FetchHttpClient.layer))
      const ask = (request: StreamModel.StreamRequest) => Effect.provide(collect(StreamModel.stream(request)), model)
      const { events, failure } = yield* ask({ prompt: "hi" })
      assert.isUndefined(failure)
      assert.strictEqual(textOf(events, "Delta"), "a")
      const own = { id: "u", role: "user", parts: [{ type: "text", text: "again" }] }
      yield* ask({ messages: [{ role: "assistant", content: "a" }, own], options: { id: "chat" } })
      const [first, second] = server.requests
      assert.strictEqual(first?.url, "/api/chat")
      assert.strictEqual(first?.headers.authorization, "Bearer secret")
      const { id, ...body } = JSON.parse(first!.body)
      assert.isString(id)
      assert.deepStrictEqual(body, {
        model: "m",
        messages: [{ id: "0", role: "user", parts: [{ type: "text", text: "hi" }] }],
        trigger: "submit-message"
      })
      assert.deepStrictEqual(JSON.parse(second!.body), {
        id: "chat",
        model: "m",
        messages: [{ id: "0", role: "assistant", parts: [{ type: "text", text: "a" }] }, own],
        trigger: "submit-message"
      })
    })
  )

  it.live("an error of the server is a ProviderFailure", () =>
    Effect.gen(function* () {
      const server = yield* Loopback.serve((response) => {
        response.writeHead(503)
        response.end('{"error":"busy"}')
      })
      const model = UiMessageStream.layer({ baseUrl: server.url }).pipe(Layer.provide(FetchHttpClient.layer))
      const { failure } = yield* Effect.provide(collect(StreamModel.stream({ prompt: "hi" })), model)
      assert.deepInclude(reasonOf(failure, "ProviderFailure"), { status: 503, message: "busy", isRetryable: true })
    })
  )
})

anyJsonSuite({
  provider: UiMessageStream,
  words:
    "type id delta start finish text-start text-delta text-end reasoning-delta tool-input-start tool-input-delta tool-input-available tool-input-error tool-output-available tool-output-error toolCallId toolName input inputTextDelta inputEncoding text output errorText error abort start-step reset-step finish-step messageMetadata usage providerMetadata providerExecuted preliminary data-x data".split(
      " "
    ),
  streams: [
    [...all],
    [step, { type: "tool-input-start", toolCallId: "a", toolName: "f" }, { type: "reset-step" }, finish],
    [
      { type: "tool-input-start", toolCallId: "a", toolName: "f", providerExecuted: true },
      { type: "tool-input-error", toolCallId: "a", toolName: "f", input: "{", errorText: "no" },
      { type: "error", errorText: "no" }
    ]
  ]
})
