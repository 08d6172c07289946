import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Layer, Redacted, Stream, Tracer } from "effect"
import { FetchHttpClient, HttpClient } from "effect/http"
import * as StreamError from "../../src/StreamError.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as StreamModel from "../../src/StreamModel.ts"
import type * as StreamResult from "../../src/StreamResult.ts"
import * as StreamLaws from "../../src/testing/StreamLaws.ts"
import * as StreamTest from "../../src/testing/StreamTest.ts"
import * as GoogleGenerate from "../../src/wire/GoogleGenerate.ts"
import type * as Protocol from "../../src/wire/Protocol.ts"
import type * as Provider from "../../src/wire/Provider.ts"
import { anyJsonSuite } from "../support/anyJson.ts"
import * as Loopback from "../support/loopback.ts"
import { collect, finishOf, printed, reasonOf, show, textOf } from "../support/run.ts"

const decode = (source: Stream.Stream<Uint8Array | string>, options?: Protocol.Options) =>
  Effect.runSync(collect(GoogleGenerate.decode(options)(source)))

type Json = Readonly<Record<string, unknown>>

const data = (...chunks: ReadonlyArray<unknown>): string =>
  chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\r\n\r\n`).join("")

const candidate = (fields: Json): Json => ({ candidates: [fields] })

const parts = (...parts: ReadonlyArray<unknown>): Json => candidate({ content: { role: "model", parts }, index: 0 })

const call = (functionCall: Json, part?: Json): Json => parts({ functionCall, ...part })

const finish = (finishReason: unknown = "STOP", more?: Json): Json => ({ ...candidate({ finishReason }), ...more })

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
  decode(Stream.make(data(...chunks, finish())))
    .events.filter(StreamEvent.is("Metadata"))
    .filter((event) => event.kind !== "finish")
    .map(({ kind, metadata }) => [kind, metadata] as const)

const stopped = ["finish STOP", "End stop"]
const called = ["finish STOP", "End tool-calls"]

describe("text", () => {
  it("answer and thoughts", () => {
    const chunks = [
      parts({ text: "a", thought: true }, { text: "b", thought: false }, { text: "" }, { text: "", thought: true }),
      parts({ text: "c" }),
      candidate({ content: {} }),
      candidate({ content: { parts: null } }),
      finish()
    ]
    assert.deepStrictEqual(lines(chunks), ['Reasoning "a"', 'Delta "b"', 'Delta "c"', ...stopped])
  })

  it("other candidates are not mixed in, and not lost", () => {
    const other = { index: 1, content: { parts: [{ text: "b" }] }, finishReason: "MAX_TOKENS" }
    const chunks = [
      parts({ text: "a" }),
      candidate(other),
      { candidates: [null, { content: { parts: [{ text: "c" }] } }] }
    ]
    assert.deepStrictEqual(lines([...chunks, finish()]), ['Delta "a"', "Metadata choice", 'Delta "c"', ...stopped])
  })
})

describe("what is neither text nor call", () => {
  it("the response is identified once", () => {
    const response = { responseId: "1", modelVersion: "m", createTime: "t" }
    assert.deepStrictEqual(
      metadataOf({ ...parts({ text: "a" }), ...response }, { ...parts(), ...response, responseId: "2" }),
      [["response", { id: "1", model: "m", createTime: "t" }]]
    )
    assert.deepStrictEqual(metadataOf({ ...parts({ text: "a" }), modelVersion: "m" }), [
      ["response", { id: undefined, model: "m", createTime: undefined }]
    ])
  })

  it("grounding, citations and URL context are citations; ratings are of the content filter; each when it says something new", () => {
    const groundingMetadata = { groundingChunks: [{ web: { uri: "https://a" } }], groundingSupports: [] }
    const more = { ...groundingMetadata, webSearchQueries: ["q"] }
    const citationMetadata = { citationSources: [{ uri: "https://b" }] }
    const urlContextMetadata = { urlMetadata: [{ retrievedUrl: "https://c" }] }
    const safetyRatings = [{ category: "HARM_CATEGORY_HARASSMENT", probability: "NEGLIGIBLE" }]
    const seen = metadataOf(
      candidate({ groundingMetadata, safetyRatings }),
      candidate({ groundingMetadata, citationMetadata, urlContextMetadata, safetyRatings }),
      candidate({ groundingMetadata: more, citationMetadata: null, safetyRatings })
    )
    assert.deepStrictEqual(seen, [
      ["citation", { citation: { groundingMetadata } }],
      ["content-filter", { safetyRatings }],
      ["citation", { citation: { citationMetadata } }],
      ["citation", { citation: { urlContextMetadata } }],
      ["citation", { citation: { groundingMetadata: more } }]
    ])
  })

  it("logprobs, each time", () => {
    const logprobsResult = { chosenCandidates: [{ token: "a", logProbability: -1 }] }
    const seen = metadataOf(candidate({ logprobsResult }), candidate({ logprobsResult, avgLogprobs: -1 }))
    assert.deepStrictEqual(seen, [
      ["logprobs", { logprobsResult }],
      ["logprobs", { logprobsResult }],
      ["logprobs", { avgLogprobs: -1 }]
    ])
  })

  it("media are files, thought or not", () => {
    const image = { inlineData: { mimeType: "image/png", data: "AA==" } }
    const file = { fileData: { fileUri: "gs://x" }, thought: true }
    assert.deepStrictEqual(metadataOf(parts(image, file)), [
      ["file", image],
      ["file", file]
    ])
  })

  it("signatures say what they belong to", () => {
    const seen = metadataOf(
      parts({ text: "a", thought: true, thoughtSignature: "1" }, { text: "", thoughtSignature: "2" }),
      parts(
        { functionCall: { name: "f", args: {} }, thoughtSignature: "3" },
        { thoughtSignature: "4" },
        { thoughtSignature: "" }
      ),
      call({ id: "x", name: "g", willContinue: true }, { thoughtSignature: "5" }),
      call({}, { thoughtSignature: "6" }),
      parts({ executableCode: { code: "1" }, thoughtSignature: "7" }, { inlineData: {}, thoughtSignature: "8" })
    ).filter(([kind]) => kind === "signature")
    assert.deepStrictEqual(
      seen.map(([, metadata]) => metadata),
      [
        { id: undefined, thought: true, signature: "1" },
        { id: undefined, thought: false, signature: "2" },
        { id: "call_0", thought: false, signature: "3" },
        { id: undefined, thought: false, signature: "4" },
        { id: "x", thought: false, signature: "5" },
        { id: "x", thought: false, signature: "6" },
        { id: "hosted_0", thought: false, signature: "7" },
        { id: undefined, thought: false, signature: "8" }
      ]
    )
  })

  it("a chunk, a part or a field that nobody knows", () => {
    const part = { somethingNew: { a: 1 } }
    const orphan = { functionCall: { partialArgs: [{ jsonPath: "$.a", numberValue: 1 }] } }
    const odd = { functionCall: "f" }
    const seen = metadataOf(
      { novel: 1 },
      parts(part, orphan, odd, { functionCall: {} }, {}, null),
      candidate({ tokenCount: 5, nothing: null }),
      candidate({ tokenCount: 5 })
    )
    assert.deepStrictEqual(
      seen,
      [{ novel: 1 }, part, orphan, odd, { tokenCount: 5 }].map((chunk) => ["unknown", { chunk }] as const)
    )
  })

  it("what is kept, to know what is new, is bounded", () => {
    const floods: ReadonlyArray<(n: number) => Json> = [
      (n) => candidate({ [`field${n}`]: 1 }),
      (n) => candidate({ groundingMetadata: { text: "x".repeat(n) } })
    ]
    for (const chunk of floods) {
      let n = 0
      const source = Stream.fromPull(Effect.succeed(Effect.sync(() => [data(chunk(n++))] as const)))
      const { failure } = decode(source, { maxBufferSize: 2000 })
      assert.strictEqual(reasonOf(failure, "BufferOverflow").limit, 2000)
      assert.isBelow(n, 2100)
    }
  })
})

describe("the end", () => {
  it("finish reasons in the words of effect/ai, the provider's own beside", () => {
    const words: ReadonlyArray<readonly [word: string, reason: StreamResult.FinishReason]> = [
      ["STOP", "stop"],
      ["MAX_TOKENS", "length"],
      ["CONTINUATION", "length"],
      ["SAFETY", "content-filter"],
      ["RECITATION", "content-filter"],
      ["BLOCKLIST", "content-filter"],
      ["PROHIBITED_CONTENT", "content-filter"],
      ["SPII", "content-filter"],
      ["MODEL_ARMOR", "content-filter"],
      ["IMAGE_SAFETY", "content-filter"],
      ["IMAGE_PROHIBITED_CONTENT", "content-filter"],
      ["IMAGE_RECITATION", "content-filter"],
      ["MALFORMED_FUNCTION_CALL", "error"],
      ["MALFORMED_RESPONSE", "error"],
      ["MISSING_THOUGHT_SIGNATURE", "error"],
      ["UNEXPECTED_TOOL_CALL", "error"],
      ["TOO_MANY_TOOL_CALLS", "error"],
      ["LANGUAGE", "other"],
      ["NO_IMAGE", "other"],
      ["OTHER", "other"],
      ["SOMETHING_NEW", "other"]
    ]
    for (const [word, reason] of words) {
      assert.deepStrictEqual(lines([parts({ text: "a" }), finish(word)]), [
        'Delta "a"',
        `finish ${word}`,
        `End ${reason}`
      ])
    }
  })

  it("no finish reason is one: null, empty, unspecified, missing, of another candidate", () => {
    const other = candidate({ index: 1, finishReason: "STOP" })
    for (const chunk of [finish(null), finish(""), finish("FINISH_REASON_UNSPECIFIED"), finish(5), parts(), {}]) {
      assert.match(lines([parts({ text: "a" }), chunk]).at(-1)!, /^Truncated: .*finish reason/)
    }
    assert.match(lines([other]).at(-1)!, /^Truncated/)
  })

  it("one in every chunk: the last one counts, and what comes behind it", () => {
    const chunks = ["a", "b"].map((text) => candidate({ content: { parts: [{ text }] }, finishReason: "STOP" }))
    assert.deepStrictEqual(lines([...chunks, finish("MAX_TOKENS"), finish("FINISH_REASON_UNSPECIFIED")]), [
      'Delta "a"',
      'Delta "b"',
      "finish MAX_TOKENS",
      "End length"
    ])
  })

  it("its message, and the token to go on with", () => {
    const { events } = decode(
      Stream.make(data(candidate({ finishMessage: "no", continuationToken: "t" }), finish("CONTINUATION")))
    )
    assert.deepStrictEqual(finishOf(events)?.metadata, { finishMessage: "no", continuationToken: "t" })
  })

  it("a blocked prompt", () => {
    const promptFeedback = { blockReason: "SAFETY", safetyRatings: [{ blocked: true }] }
    const usageMetadata = { promptTokenCount: 4, totalTokenCount: 4 }
    const { events, failure } = decode(Stream.make(data({ promptFeedback }, { promptFeedback, usageMetadata })))
    assert.isUndefined(failure)
    assert.deepStrictEqual(
      events.slice(1).map((event) => event._tag),
      ["Metadata", "Metadata", "End"]
    )
    assert.deepInclude(events[1], { kind: "content-filter", metadata: { promptFeedback } })
    assert.deepInclude(events[2], {
      kind: "finish",
      finishReason: "content-filter",
      providerFinishReason: "blocked:SAFETY",
      metadata: { usage: usageMetadata }
    })
    assert.deepInclude(events[3], { finishReason: "content-filter" })
  })

  it("feedback that blocks nothing does not end the stream", () => {
    for (const promptFeedback of [{ safetyRatings: [] }, { blockReason: "BLOCK_REASON_UNSPECIFIED" }, {}]) {
      assert.match(lines([{ promptFeedback }]).at(-1)!, /^Truncated/)
      assert.deepStrictEqual(lines([{ promptFeedback }, finish()]).slice(1), stopped)
    }
  })
})

describe("whole calls", () => {
  it("come at once, one by one, with identifiers that are made up where there are none", () => {
    const chunks = [
      call({ name: "f", args: { x: [1, "é"] } }),
      parts({ functionCall: { id: "b", name: "g", args: {} } }, { functionCall: { id: "", name: "f", args: null } }),
      parts({ text: "a" }),
      finish()
    ]
    assert.deepStrictEqual(lines(chunks), [
      'ToolCallDelta call_0 f {"x":[1,"é"]}',
      'ToolCall call_0 f {"x":[1,"é"]}',
      "ToolCallDelta b g {}",
      "ToolCall b g {}",
      "ToolCall call_2 f {}",
      'Delta "a"',
      ...called
    ])
  })

  it("two with the same identifier are two, each with its own signature", () => {
    const twice = [1, 2].map((x) => call({ id: "a", name: "f", args: { x } }, { thoughtSignature: `${x}` }))
    const { events } = decode(Stream.make(data(...twice, finish())))
    const calls = events.filter(StreamEvent.is("ToolCall"))
    assert.deepStrictEqual(
      calls.map((event) => event.input),
      [{ x: 1 }, { x: 2 }]
    )
    const signatures = events.filter(StreamEvent.is("Metadata")).filter((event) => event.kind === "signature")
    assert.deepStrictEqual(
      signatures.map((event) => event.metadata["id"]),
      calls.map((event) => event.id)
    )
  })

  it("arguments that are text", () => {
    assert.include(lines([call({ name: "f", args: '{"x":1}' }), finish()]), 'ToolCall call_0 f {"x":1}')
    assert.match(lines([call({ name: "f", args: '{"x"' }), finish()]).at(-1)!, /^ToolCallIncomplete/)
  })

  it("are whole even where the answer was cut behind them", () => {
    assert.deepStrictEqual(lines([call({ name: "f", args: {} }), finish("MAX_TOKENS")]), [
      "ToolCallDelta call_0 f {}",
      "ToolCall call_0 f {}",
      "finish MAX_TOKENS",
      "End length"
    ])
  })

  it("a call that the model got wrong is none", () => {
    assert.deepStrictEqual(lines([finish("MALFORMED_FUNCTION_CALL")]), ["finish MALFORMED_FUNCTION_CALL", "End error"])
  })
})

describe("streamed calls", () => {
  const begin = (fields?: Json) => call({ name: "f", willContinue: true, ...fields })
  const args = (...partialArgs: ReadonlyArray<Json>) => call({ partialArgs, willContinue: true })
  const string = (jsonPath: string, stringValue: string, more?: Json) => ({ jsonPath, stringValue, ...more })
  const end = call({})

  it("are text that grows, and a call when they are over", () => {
    const chunks = [
      begin({ args: {} }),
      args(string("$.city", "Bos", { willContinue: true })),
      args(string("$.city", "ton", { willContinue: true })),
      args(string("$.city", ""), { jsonPath: "$.days[0]", numberValue: 1 }),
      args({ jsonPath: "$.days[1]", numberValue: 2 }, { jsonPath: "$.days[]" }),
      end,
      finish()
    ]
    assert.deepStrictEqual(lines(chunks), [
      "ToolCallDelta call_0 f {",
      'ToolCallDelta call_0 f "city":"Bos',
      "ToolCallDelta call_0 f ton",
      'ToolCallDelta call_0 f ","days":[1',
      "ToolCallDelta call_0 f ,2",
      "ToolCallDelta call_0 f ]}",
      'ToolCall call_0 f {"city":"Boston","days":[1,2]}',
      ...called
    ])
  })

  it("end where Google says that nothing more comes", () => {
    const last = call({ partialArgs: [{ jsonPath: "$.a", boolValue: true }] })
    const shown = ['ToolCallDelta call_0 f {"a":true}', 'ToolCall call_0 f {"a":true}', ...called]
    const inTwo = ["ToolCallDelta call_0 f {", 'ToolCallDelta call_0 f "a":true}', ...shown.slice(1)]
    assert.deepStrictEqual(lines([begin(), last, finish()]), inTwo)
    assert.deepStrictEqual(lines([begin(), last, end, finish()]), inTwo)
    assert.deepStrictEqual(
      lines([call({ name: "f", partialArgs: [{ jsonPath: "$.a", boolValue: true }] }), finish()]),
      shown
    )
    const goesOn = call({ partialArgs: [string("$.a", "x", { willContinue: true })] })
    assert.include(lines([begin(), goesOn, args(string("$.a", "y")), end, finish()]), 'ToolCall call_0 f {"a":"xy"}')
  })

  it("without arguments", () => {
    assert.deepStrictEqual(lines([begin(), end, finish()]), [
      "ToolCallDelta call_0 f {",
      "ToolCallDelta call_0 f }",
      "ToolCall call_0 f {}",
      ...called
    ])
  })

  it("one behind the other, each with its own arguments", () => {
    const one = [begin({ id: "x" }), args(string("$.a", "1")), end, begin(), args(string("$.a", "2")), end]
    const calls = lines([...one, finish()]).filter((line) => line.startsWith("ToolCall "))
    assert.deepStrictEqual(calls, ['ToolCall x f {"a":"1"}', 'ToolCall call_1 f {"a":"2"}'])
  })

  it("a missing end: the next call, or STOP, ends one of which no string is open", () => {
    const one = [begin(), args(string("$.a", "1")), begin(), args(string("$.a", "2"))]
    assert.deepStrictEqual(
      lines([...one, finish()]).filter((line) => !line.startsWith("ToolCallDelta")),
      ['ToolCall call_0 f {"a":"1"}', 'ToolCall call_1 f {"a":"2"}', ...called]
    )
    const open = args(string("$.a", "1", { willContinue: true }))
    assert.match(lines([begin(), open, finish()]).at(-1)!, /^ToolCallIncomplete/)
    assert.match(lines([begin(), open, call({ name: "g", args: {} }), finish()]).at(-1)!, /^ToolCallIncomplete/)
    assert.include(lines([begin(), open, end, finish()]), 'ToolCall call_0 f {"a":"1"}')
  })

  it("that are cut are none", () => {
    const one = [begin(), args(string("$.a", "1"))]
    assert.deepStrictEqual(lines(one).at(-1)?.split(":")[0], "Truncated")
    for (const word of ["MAX_TOKENS", "SAFETY", "MALFORMED_FUNCTION_CALL", "OTHER"]) {
      for (const chunks of [one, [begin()]]) {
        const seen = lines([...chunks, finish(word)])
        assert.isFalse(
          seen.some((line) => line.startsWith("ToolCall ")),
          word
        )
        assert.match(seen.at(-1)!, /^ToolCallIncomplete/, word)
      }
    }
  })

  it("a value for a place that the text has gone past makes the call incomplete", () => {
    const chunks = [
      begin(),
      args({ jsonPath: "$.a", numberValue: 1 }),
      args({ jsonPath: "$.a", numberValue: 2 }),
      end,
      finish()
    ]
    assert.deepStrictEqual(lines(chunks).slice(1, 3), ['ToolCallDelta call_0 f "a":1', "finish STOP"])
    assert.match(lines(chunks).at(-1)!, /^ToolCallIncomplete/)
    const { events } = decode(Stream.make(data(...chunks)), { onIncompleteToolCall: "metadata" })
    assert.deepInclude(
      events.filter(StreamEvent.is("Metadata")).find((event) => event.kind === "incomplete-tool-call")?.metadata,
      { id: "call_0", name: "f", argumentsText: '{"a":1' }
    )
  })

  it("a flood of values is bounded", () => {
    let n = 0
    const chunk = () => (n++ === 0 ? begin() : args({ jsonPath: `$.a${n}`, numberValue: n }))
    const source = Stream.fromPull(Effect.succeed(Effect.sync(() => [data(chunk())] as const)))
    assert.strictEqual(reasonOf(decode(source, { maxBufferSize: 2000 }).failure, "BufferOverflow").limit, 2000)
    assert.isBelow(n, 500)
  })
})

describe("tools that Google runs", () => {
  it("code, and what came of it", () => {
    const code = { executableCode: { language: "PYTHON", code: "print(1)" } }
    const result = (outcome: string, more?: Json) => ({ codeExecutionResult: { outcome, output: "1\n", ...more } })
    const { events } = decode(
      Stream.make(
        data(
          parts(code, result("OUTCOME_OK")),
          parts({ executableCode: { ...code.executableCode, id: "x" } }),
          parts(result("OUTCOME_FAILED"), result("OUTCOME_DEADLINE_EXCEEDED", { id: "y" })),
          finish()
        )
      )
    )
    assert.deepStrictEqual(
      events.filter(StreamEvent.is("Metadata")).flatMap(({ kind, metadata }) => (kind === "finish" ? [] : [metadata])),
      [
        { id: "hosted_0", name: "code_execution", input: code.executableCode, item: code },
        {
          id: "x",
          name: "code_execution",
          input: { ...code.executableCode, id: "x" },
          item: { executableCode: { ...code.executableCode, id: "x" } }
        }
      ]
    )
    assert.deepStrictEqual(
      events.filter(StreamEvent.is("ToolResult")).map(({ id, isError, name }) => [id, name, isError]),
      [
        ["hosted_0", "code_execution", false],
        ["x", "code_execution", true],
        ["y", "code_execution", true]
      ]
    )
    assert.deepStrictEqual(events.find(StreamEvent.is("ToolResult"))?.output, { outcome: "OUTCOME_OK", output: "1\n" })
    assert.isFalse(events.some(StreamEvent.is("ToolCall")))
    assert.deepInclude(events.at(-1), { _tag: "End", finishReason: "stop" })
  })

  it("others, by their type", () => {
    const made = { toolCall: { id: "a", toolType: "GOOGLE_SEARCH_WEB", args: { queries: ["q"] } } }
    const came = { toolResponse: { id: "a", toolType: "GOOGLE_SEARCH_WEB", response: { results: [1] } } }
    const { events } = decode(
      Stream.make(data(parts(made, came), parts({ toolCall: {} }, { toolResponse: {} }), finish()))
    )
    assert.deepStrictEqual(events.slice(1, -2).map(show), [
      show(
        StreamEvent.metadata(0, "hosted-tool-call", {
          metadata: { id: "a", name: "GOOGLE_SEARCH_WEB", input: { queries: ["q"] }, item: made }
        })
      ),
      'ToolResult {"id":"a","name":"GOOGLE_SEARCH_WEB","output":{"results":[1]},"isError":false}',
      'Metadata {"kind":"hosted-tool-call","metadata":{"id":"hosted_0","name":"","input":{},"item":{"toolCall":{}}}}',
      'ToolResult {"id":"hosted_0","name":"","output":{},"isError":false}'
    ])
  })
})

describe("usage", () => {
  const usageOf = (...usages: ReadonlyArray<unknown>) =>
    finishOf(decode(Stream.make(data(...usages.map((usageMetadata) => ({ usageMetadata })), finish()))).events)

  it("thoughts and what tools gave to read are counted in, cached tokens beside", () => {
    const usage = {
      promptTokenCount: 50,
      toolUsePromptTokenCount: 8,
      cachedContentTokenCount: 32,
      candidatesTokenCount: 20,
      thoughtsTokenCount: 10,
      totalTokenCount: 88
    }
    assert.deepStrictEqual(usageOf(usage)?.usage, {
      inputTokens: { total: 58, cacheRead: 32, uncached: 26, cacheWrite: undefined },
      outputTokens: { total: 30, reasoning: 10, text: 20 }
    })
    assert.deepStrictEqual(usageOf(usage)?.metadata, { usage })
  })

  it("is put together from all chunks, the last number of each kind counts", () => {
    const merged = usageOf(
      { trafficType: "ON_DEMAND" },
      { promptTokenCount: 3, thoughtsTokenCount: 1 },
      null,
      { candidatesTokenCount: 1 },
      { candidatesTokenCount: 2 }
    )
    assert.strictEqual(merged?.usage?.inputTokens.total, 3)
    assert.deepStrictEqual(merged?.usage?.outputTokens, { total: 3, reasoning: 1, text: 2 })
    assert.deepStrictEqual(merged?.metadata, {
      usage: { trafficType: "ON_DEMAND", promptTokenCount: 3, thoughtsTokenCount: 1, candidatesTokenCount: 2 }
    })
  })

  it("what is missing, or no number, is undefined and not 0; what does not add up is not negative", () => {
    assert.isUndefined(usageOf()?.usage)
    assert.deepStrictEqual(usageOf({ promptTokenCount: "3", candidatesTokenCount: null })?.usage, {
      inputTokens: { total: undefined, cacheRead: undefined, uncached: undefined, cacheWrite: undefined },
      outputTokens: { total: undefined, reasoning: undefined, text: undefined }
    })
    assert.isUndefined(usageOf({ promptTokenCount: 3, cachedContentTokenCount: 5 })?.usage?.inputTokens.uncached)
  })

  it("what was counted is not lost when the stream is cut", () => {
    const { events, failure } = decode(
      Stream.make(data({ ...parts({ text: "a" }), usageMetadata: { promptTokenCount: 3 } }))
    )
    assert.strictEqual(failure?.reason._tag, "Truncated")
    assert.strictEqual(finishOf(events)?.kind, "usage")
    assert.strictEqual(finishOf(events)?.usage?.inputTokens.total, 3)
  })
})

describe("errors in the stream", () => {
  const error = { code: 503, message: "The model is overloaded.", status: "UNAVAILABLE" }
  const reported = "ProviderFailure: google reported 503: The model is overloaded."

  it("first or later, as an event, or as it is", () => {
    const pretty = JSON.stringify({ error }, undefined, 2)
    for (const text of [data({ error }), pretty, JSON.stringify([{ error }])]) {
      assert.deepStrictEqual(lines(text), [reported])
      assert.deepStrictEqual(lines(data(parts({ text: "a" })) + text), ['Delta "a"', reported])
    }
  })

  it("beside a candidate, whose text is not lost", () => {
    assert.deepStrictEqual(lines([{ ...parts({ text: "a" }), error }]), ['Delta "a"', reported])
  })

  it("say whether to try again", () => {
    const isRetryable = (error: unknown) =>
      reasonOf(decode(Stream.make(data({ error }))).failure, "ProviderFailure").isRetryable
    assert.isTrue(isRetryable(error))
    assert.isTrue(isRetryable({ code: 429, status: "RESOURCE_EXHAUSTED" }))
    assert.isTrue(isRetryable({ status: "INTERNAL" }))
    assert.isFalse(isRetryable({ code: 400, status: "INVALID_ARGUMENT" }))
  })

  it("null is no error", () => {
    assert.deepStrictEqual(lines([{ ...parts({ text: "a" }), error: null }, finish()]), ['Delta "a"', ...stopped])
  })
})

describe("framing", () => {
  const chunks = [parts({ text: "a" }, { text: "b", thought: true }), call({ name: "f", args: { a: "}" } }), finish()]
  const expected = lines(chunks)

  it("is as tolerant as elsewhere", () => {
    const text = data(...chunks)
    for (const variant of [
      text.replaceAll("\r\n", "\n"),
      text.replaceAll("data: ", "data:"),
      text.trimEnd(),
      `\ufeff${text}`
    ]) {
      assert.deepStrictEqual(lines(variant), expected)
    }
  })

  it("without alt=sse it is one JSON array", () => {
    for (const text of [JSON.stringify(chunks), JSON.stringify(chunks, undefined, 2)]) {
      assert.deepStrictEqual(lines(text), expected)
      const bytes = StreamTest.split(new TextEncoder().encode(text), 1)
      assert.deepStrictEqual(
        StreamLaws.join(decode(StreamTest.script(bytes)).events).map(show),
        StreamLaws.join(decode(Stream.make(text)).events).map(show)
      )
    }
    assert.match(lines(JSON.stringify(chunks.slice(0, 2))).at(-1)!, /^Truncated/)
  })
})

describe("over HTTP", () => {
  const secret = "AIza-very-secret"

  const model = (server: Loopback.Loopback, options?: Provider.LayerOptions) =>
    GoogleGenerate.layer({
      baseUrl: `${server.url}/v1beta`,
      apiKey: Redacted.make(secret),
      model: "gemini",
      ...options
    }).pipe(Layer.provide(FetchHttpClient.layer))

  const ask = (
    server: Loopback.Loopback,
    request: StreamModel.StreamRequest = { prompt: "hi" },
    options?: Provider.LayerOptions
  ) => Effect.provide(collect(StreamModel.stream(request)), model(server, options))

  const answering = Loopback.serve((response) => {
    Loopback.begin(response)
    response.end(data(parts({ text: "a" }), finish()))
  })

  it.live("a request has the model in its path, the key in its own header, and the contents", () =>
    Effect.gen(function* () {
      const server = yield* answering
      const messages = [{ role: "user", parts: [{ text: "hi" }, { inlineData: {} }] }]
      const options = { generationConfig: { temperature: 0 } }
      const { events, failure } = yield* ask(server)
      assert.isUndefined(failure)
      assert.strictEqual(textOf(events, "Delta"), "a")
      yield* ask(server, { messages, options, model: "tunedModels/a b?c" })
      yield* ask(server, { messages, options: { contents: [] } }, { model: undefined })
      const [first, second, third] = server.requests
      assert.strictEqual(first?.url, "/v1beta/models/gemini:streamGenerateContent?alt=sse")
      assert.strictEqual(first?.headers["x-goog-api-key"], secret)
      assert.isUndefined(first?.headers.authorization)
      assert.deepStrictEqual(JSON.parse(first!.body), { contents: [{ role: "user", parts: [{ text: "hi" }] }] })
      assert.strictEqual(second?.url, "/v1beta/tunedModels/a%20b%3Fc:streamGenerateContent?alt=sse")
      assert.deepStrictEqual(JSON.parse(second!.body), { contents: messages, ...options })
      assert.strictEqual(third?.url, "/v1beta/models/:streamGenerateContent?alt=sse")
      assert.deepStrictEqual(JSON.parse(third!.body), { contents: [] })
    })
  )

  it.live("Vertex AI takes a token", () =>
    Effect.gen(function* () {
      const server = yield* answering
      const headers = { authorization: "Bearer t" }
      yield* ask(server, undefined, { headers, apiKey: undefined, baseUrl: `${server.url}/v1/publishers/google/` })
      const [request] = server.requests
      assert.strictEqual(request?.url, "/v1/publishers/google/models/gemini:streamGenerateContent?alt=sse")
      assert.strictEqual(request?.headers.authorization, "Bearer t")
      assert.isUndefined(request?.headers["x-goog-api-key"])
    })
  )

  it.live("an error is Google's, in an object or in an array", () =>
    Effect.gen(function* () {
      const error = { code: 400, message: "API key not valid.", status: "INVALID_ARGUMENT" }
      for (const body of [{ error }, [{ error }]]) {
        const server = yield* Loopback.serve((response) => {
          response.writeHead(400)
          response.end(JSON.stringify(body))
        })
        const { failure } = yield* ask(server)
        assert.deepInclude(reasonOf(failure, "ProviderFailure"), { status: 400, code: "400", message: error.message })
        assert.notInclude(printed(failure!), secret)
      }
    })
  )

  it.live("says when to try again in its details, under 200 too; a header counts for more", () =>
    Effect.gen(function* () {
      const details = [{ "@type": "type.googleapis.com/google.rpc.RetryInfo", retryDelay: "34.5s" }]
      const error = { code: 429, message: "quota", status: "RESOURCE_EXHAUSTED", details }
      for (const [status, headers, seconds] of [
        [429, {}, 34.5],
        [429, { "retry-after": "7" }, 7],
        [200, {}, 34.5]
      ] as const) {
        const server = yield* Loopback.serve((response) => {
          response.writeHead(status, headers)
          response.end(JSON.stringify([{ error }]))
        })
        const { retryAfter } = reasonOf((yield* ask(server)).failure, "ProviderFailure")
        assert.strictEqual(retryAfter && Duration.toSeconds(retryAfter), seconds)
      }
    })
  )

  it.live("the key is in no error of the connection", () =>
    Effect.gen(function* () {
      const gone = yield* Effect.scoped(Loopback.serve(() => {}))
      const resetting = yield* Loopback.serve((response, request) => {
        Loopback.begin(response)
        response.write(data(parts({ text: "a" })))
        setTimeout(request.reset, 20)
      })
      for (const server of [gone, resetting]) {
        const { failure } = yield* ask(server)
        assert.strictEqual(failure?.reason._tag, "SourceFailure")
        assert.isTrue(StreamError.isStreamError(failure))
        assert.notInclude(printed(failure!), secret)
      }
    })
  )

  it.live("the key is in no span, though all headers are shown there", () =>
    Effect.gen(function* () {
      const server = yield* answering
      const spans: Array<Tracer.Span> = []
      const tracer = Tracer.make({
        span(options) {
          const span = new Tracer.NativeSpan(options)
          spans.push(span)
          return span
        }
      })
      yield* ask(server).pipe(
        Effect.provideService(Tracer.Tracer, tracer),
        Effect.provideService(HttpClient.TracerHeaderFilter, () => true)
      )
      const attributes = spans.flatMap((span) => Array.from(span.attributes))
      assert.deepInclude(attributes, ["http.request.header.x-goog-api-key", "<redacted>"])
      assert.notInclude(JSON.stringify(attributes), secret)
    })
  )
})

anyJsonSuite({
  provider: GoogleGenerate,
  words:
    "candidates content parts text thought thoughtSignature functionCall id name args partialArgs jsonPath stringValue numberValue boolValue nullValue willContinue executableCode codeExecutionResult toolCall toolResponse toolType outcome inlineData groundingMetadata citationMetadata safetyRatings logprobsResult finishReason finishMessage index usageMetadata promptTokenCount candidatesTokenCount thoughtsTokenCount promptFeedback blockReason responseId modelVersion error code status $ $.a $.a[0] $.b.c STOP".split(
      " "
    ),
  streams: [
    [
      {
        ...parts({ text: "a", thought: true }),
        responseId: "1",
        modelVersion: "m",
        usageMetadata: { promptTokenCount: 1 }
      },
      call({ name: "f", willContinue: true }, { thoughtSignature: "s" }),
      call({ partialArgs: [{ jsonPath: "$.a", stringValue: "x", willContinue: true }], willContinue: true }),
      call({
        partialArgs: [
          { jsonPath: "$.a", stringValue: "y" },
          { jsonPath: "$.b.c[0]", nullValue: null }
        ],
        willContinue: true
      }),
      call({}),
      call({ name: "g", partialArgs: [{ jsonPath: "$.a[0]", numberValue: 1 }], willContinue: true }),
      finish("STOP", { usageMetadata: { candidatesTokenCount: 2 } })
    ],
    [
      parts({ text: "b" }, { functionCall: { id: "x", name: "f", args: { a: 1 } } }),
      parts({ executableCode: { code: "1" } }, { codeExecutionResult: { outcome: "OUTCOME_OK" } }),
      parts({ toolCall: { id: "y", toolType: "T" } }, { toolResponse: { id: "y", response: {} } }),
      candidate({ groundingMetadata: { a: 1 }, safetyRatings: [{ a: 1 }], logprobsResult: {} }),
      finish("MAX_TOKENS")
    ],
    [{ promptFeedback: { blockReason: "SAFETY" }, usageMetadata: { promptTokenCount: 1 } }],
    [parts({ text: "c" }), { error: { code: 500, message: "no", status: "INTERNAL" } }]
  ]
})
