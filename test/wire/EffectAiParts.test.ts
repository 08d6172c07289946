import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { Arbitrary, DateTime, Effect, Redacted, Schema, Stream } from "effect"
import { AiError, type LanguageModel, Response } from "effect/ai"
import * as ContentFilter from "../../src/processors/ContentFilter.ts"
import * as StreamError from "../../src/StreamError.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as StreamHandler from "../../src/StreamHandler.ts"
import * as StreamProcessor from "../../src/StreamProcessor.ts"
import * as StreamResult from "../../src/StreamResult.ts"
import * as StreamArbitrary from "../../src/testing/StreamArbitrary.ts"
import * as StreamLaws from "../../src/testing/StreamLaws.ts"
import * as StreamTest from "../../src/testing/StreamTest.ts"
import * as EffectAiParts from "../../src/wire/EffectAiParts.ts"
import * as EffectAiPrompt from "../../src/wire/EffectAiPrompt.ts"
import * as Wire from "../../src/wire/Wire.ts"
import { collect, finishOf, reasonOf, show, textOf } from "../support/run.ts"
import { describeShared, readBytes, readJson, type Recording } from "../support/shared.ts"

type Part = EffectAiParts.StreamPart
type Event = StreamEvent.StreamEvent

const metadata = { openai: { itemId: "item_0" }, other: null }
const usage = new Response.Usage({
  inputTokens: { uncached: undefined, total: 12, cacheRead: 2, cacheWrite: undefined },
  outputTokens: { total: 34, text: undefined, reasoning: 5 }
})
const finish = Response.makePart("finish", { reason: "stop", usage })

/** Decoded and encoded, the dates in it too, as a toolkit gives them. */
const result = { id: "call_0", name: "search", result: { at: new Date(0) }, encodedResult: { at: "1970" } }

/** One of each kind, with everything that it can have, and with as little. */
const all: ReadonlyArray<readonly [name: string, part: Part]> = [
  Response.makePart("text-start", { id: "a" }),
  Response.makePart("text-start", { id: "a", metadata }),
  Response.makePart("text-delta", { id: "a", delta: "Hello" }),
  Response.makePart("text-delta", { id: "a", delta: "", metadata }),
  Response.makePart("text-end", { id: "a" }),
  Response.makePart("text-end", { id: "a", metadata }),
  Response.makePart("reasoning-start", { id: "a" }),
  Response.makePart("reasoning-start", { id: "a", metadata }),
  Response.makePart("reasoning-delta", { id: "a", delta: "hm" }),
  Response.makePart("reasoning-delta", { id: "a", delta: "", metadata }),
  Response.makePart("reasoning-end", { id: "a" }),
  Response.makePart("reasoning-end", { id: "a", metadata }),
  Response.makePart("tool-params-start", { id: "a", name: "search", providerExecuted: false }),
  Response.makePart("tool-params-start", { id: "a", name: "search", providerExecuted: true, metadata }),
  Response.makePart("tool-params-delta", { id: "a", delta: '{"q"' }),
  Response.makePart("tool-params-delta", { id: "a", delta: "", metadata }),
  Response.makePart("tool-params-end", { id: "a" }),
  Response.makePart("tool-params-end", { id: "a", metadata }),
  Response.makePart("tool-call", { id: "a", name: "search", params: { q: 1 }, providerExecuted: false }),
  Response.makePart("tool-call", { id: "b", name: "search", params: "text", providerExecuted: false, metadata }),
  Response.makePart("tool-call", { id: "a", name: "search", params: { q: 1 }, providerExecuted: true }),
  Response.makePart("tool-call", { id: "b", name: "search", params: null, providerExecuted: true, metadata }),
  Response.makePart("tool-result", { ...result, isFailure: false, providerExecuted: false, preliminary: false }),
  Response.makePart("tool-result", { ...result, isFailure: true, providerExecuted: true, preliminary: true, metadata }),
  Response.makePart("tool-result", {
    ...result,
    modelOutput: [],
    isFailure: true,
    providerExecuted: true,
    preliminary: false,
    metadata
  }),
  Response.makePart("tool-approval-request", { approvalId: "b", toolCallId: "a" }),
  Response.makePart("tool-approval-request", { approvalId: "b", toolCallId: "a", metadata }),
  Response.makePart("file", { mediaType: "image/png", data: new Uint8Array([0, 255, 7]), metadata }),
  Schema.decodeSync(Response.DocumentSourcePart)({
    type: "source",
    sourceType: "document",
    id: "a",
    mediaType: "text/plain",
    title: "t",
    fileName: "f"
  }),
  Schema.decodeSync(Response.UrlSourcePart)({
    type: "source",
    sourceType: "url",
    id: "a",
    url: "https://x.org/?q=1",
    title: "t",
    metadata
  }),
  Response.makePart("response-metadata", {}),
  Response.makePart("response-metadata", {
    id: "resp_0",
    modelId: "m",
    timestamp: DateTime.makeUnsafe(1_700_000_000_123),
    metadata
  }),
  Response.makePart("response-metadata", { id: undefined, modelId: "m", timestamp: undefined }),
  finish,
  Response.makePart("finish", { reason: "length", usage, response: undefined, metadata }),
  Response.makePart("finish", {
    reason: "tool-calls",
    usage: new Response.Usage({ inputTokens: {}, outputTokens: {} }),
    response: { status: 200, headers: { a: "b", key: Redacted.make("secret") } }
  })
].map((part) => [part.type, part])

const from = (parts: ReadonlyArray<Part>) =>
  Effect.runSync(collect(EffectAiParts.fromStreamParts(Stream.fromIterable(parts))))

const to = (events: ReadonlyArray<Event>): ReadonlyArray<Part> =>
  Effect.runSync(Stream.runCollect(EffectAiParts.toStreamParts(Stream.fromIterable(events))))

/** Events through parts and back. */
const back = (events: ReadonlyArray<Event>) => from(to(events))

const lines = (events: ReadonlyArray<Event>): ReadonlyArray<string> => events.map(show)

const call = { id: "call_0", name: "search", argumentsText: '{"q":1}', input: { q: 1 } }
const end = StreamEvent.end(0, "stop")

describe("parts to events and back", () => {
  it("of every kind of part there is a case", () => {
    const kinds = new Set(all.map(([type]) => type))
    const members = Response.StreamPart() as unknown as { readonly members: ReadonlyArray<unknown> }
    // The schema has two for `source` and a case with an error part is among those of failures.
    assert.strictEqual(kinds.size, members.members.length - 2)
  })

  it.each(all)("%s, by itself", (_, part) => {
    const parts = part.type === "finish" ? [part] : [part, finish]
    const { events, failure } = from(parts)
    assert.isUndefined(failure)
    assert.deepStrictEqual(to(events), parts)
  })

  it("all of them, in one stream and one pull", () => {
    const parts = [...all.map(([, part]) => part), finish]
    assert.deepStrictEqual(to(from(parts).events), parts)
    const pull = EffectAiParts.toStreamParts(EffectAiParts.fromStreamParts(Stream.fromArray(parts)))
    assert.deepStrictEqual(Effect.runSync(Stream.runCollect(pull)), parts)
  })

  // Few identifiers, so that starts, fragments and ends meet; those that events have of themselves among them.
  const ids = ["a", "b", "text", "reasoning", "refusal"]
  const AnyPart = Arbitrary.map(
    Arbitrary.all({
      part: Arbitrary.filter(Arbitrary.schema(Response.StreamPart()), (part) => part.type !== "error"),
      id: Arbitrary.schema(Schema.Literals(ids)),
      isBare: Arbitrary.schema(Schema.Boolean)
    }),
    ({ id, isBare, part }): Part => ({
      ...part,
      ...("id" in part && part.id !== undefined ? { id } : {}),
      ...(isBare ? { metadata: {} } : {})
    })
  )

  it.prop(
    "any of them in any order; the events are well-formed",
    { parts: Arbitrary.array(AnyPart, { maxLength: 12 }) },
    ({ parts: before }) => {
      const parts = [...before, finish]
      const { events, failure } = from(parts)
      assert.isUndefined(failure)
      assert.deepStrictEqual(to(events), parts)
      assert.isUndefined(Effect.runSync(collect(StreamEvent.validate(Stream.fromIterable(events)))).failure)
      for (const event of events) Schema.encodeSync(StreamEvent.StreamEvent)(event)
    },
    { arbitrary: { runs: 300 } }
  )

  it("also where the events went through JSON, as in a log", () => {
    const parts = all
      .map(([, part]) => part)
      // What is no JSON itself: a decoded result, a secret, a key without a value.
      .filter((part) => part.type !== "tool-result" && part.type !== "finish" && part.type !== "response-metadata")
    const codec = Schema.fromJsonString(StreamEvent.StreamEvent)
    const logged = from([...parts, finish]).events.map((event) =>
      Schema.decodeSync(codec)(Schema.encodeSync(codec)(event))
    )
    assert.deepStrictEqual(to(logged).slice(0, -1), parts)
  })
})

describe("from parts", () => {
  it("text, reasoning and calls are events, borders of blocks are Metadata", () => {
    const parts: ReadonlyArray<Part> = [
      Response.makePart("response-metadata", { id: "resp_0", modelId: "m", timestamp: DateTime.makeUnsafe(0) }),
      Response.makePart("reasoning-start", { id: "r0" }),
      Response.makePart("reasoning-delta", { id: "r0", delta: "hm" }),
      Response.makePart("reasoning-end", { id: "r0" }),
      Response.makePart("text-start", { id: "text" }),
      Response.makePart("text-delta", { id: "text", delta: "Hello" }),
      Response.makePart("text-end", { id: "text" }),
      Response.makePart("tool-params-start", { id: "a", name: "search", providerExecuted: false }),
      Response.makePart("tool-params-delta", { id: "a", delta: '{"q":1}' }),
      Response.makePart("tool-params-end", { id: "a" }),
      Response.makePart("tool-call", { id: "a", name: "search", params: { q: 1 }, providerExecuted: false }),
      finish
    ]
    assert.deepStrictEqual(lines(from(parts).events), [
      "Start {}",
      'Metadata {"kind":"response","metadata":{"id":"resp_0","timestamp":"1970-01-01T00:00:00.000Z","model":"m"}}',
      'Metadata {"kind":"reasoning-start","metadata":{"id":"r0"}}',
      'Reasoning/r0 "hm"',
      'Metadata {"kind":"reasoning-end","metadata":{"id":"r0"}}',
      'Metadata {"kind":"text-start","metadata":{"id":"text"}}',
      'Delta "Hello"',
      'Metadata {"kind":"text-end","metadata":{"id":"text"}}',
      'Metadata {"kind":"tool-params-start","metadata":{"id":"a","name":"search","providerExecuted":false}}',
      'ToolCallDelta a search {"q":1}',
      'Metadata {"kind":"tool-params-end","metadata":{"id":"a"}}',
      'ToolCall {"id":"a","name":"search","argumentsText":"{\\"q\\":1}","input":{"q":1}}',
      'Metadata {"kind":"finish","usage":{"inputTokens":{"total":12,"cacheRead":2},"outputTokens":{"total":34,"reasoning":5}},"finishReason":"stop","metadata":{}}',
      'End {"finishReason":"stop"}'
    ])
  })

  it("a call that the provider runs is no ToolCall, its result is a ToolResult", () => {
    const { events } = from([
      Response.makePart("tool-params-start", { id: "a", name: "web", providerExecuted: true }),
      Response.makePart("tool-params-delta", { id: "a", delta: "{}" }),
      Response.makePart("tool-call", { id: "a", name: "web", params: { q: 1 }, providerExecuted: true }),
      Response.makePart("tool-result", {
        id: "a",
        name: "web",
        result: [1],
        encodedResult: [1],
        isFailure: true,
        providerExecuted: true,
        preliminary: false
      }),
      finish
    ])
    assert.deepStrictEqual(
      events.map((event) => (event._tag === "Metadata" ? event.kind : event._tag)),
      // `result` is another object than `encodedResult`.
      ["Start", "tool-params-start", "tool-params-delta", "hosted-tool-call", "part", "ToolResult", "finish", "End"]
    )
    assert.deepInclude(events[5], { id: "a", name: "web", output: [1], isError: true })
  })

  it("preliminary results are Metadata", () => {
    const { events } = from([
      Response.makePart("tool-result", { ...result, isFailure: false, providerExecuted: false, preliminary: true }),
      finish
    ])
    assert.isFalse(events.some(StreamEvent.is("ToolResult")))
  })

  it("parameters that no JSON can say have no text, and are what they are", () => {
    const circular: Record<string, unknown> = {}
    circular["self"] = circular
    for (const params of [{ n: 1n }, circular, undefined]) {
      const { events, failure } = from([
        Response.makePart("tool-call", { id: "a", name: "f", params, providerExecuted: false }),
        finish
      ])
      assert.isUndefined(failure)
      const [event] = events.filter(StreamEvent.is("ToolCall"))
      assert.strictEqual(event?.argumentsText, "")
      assert.strictEqual(event?.input, params)
    }
  })

  it("what is no part passes through as Metadata", () => {
    const foreign = [{ type: "brand-new", id: "a" }, { type: "text-start" }, 5] as unknown as ReadonlyArray<Part>
    const { events, failure } = from([...foreign, finish])
    assert.isUndefined(failure)
    assert.deepStrictEqual(
      events.filter(StreamEvent.is("Metadata")).map(({ kind, metadata }) => [kind, metadata["chunk"]]),
      [...foreign.map((chunk) => ["unknown", chunk]), ["finish", undefined]]
    )
  })

  it("that stop before their finish part are Truncated, unless told otherwise", () => {
    const parts = [Response.makePart("text-delta", { id: "a", delta: "Hel" })]
    const { events, failure } = from(parts)
    assert.strictEqual(events.at(-1)?._tag, "Delta")
    assert.strictEqual(failure?.message, "The stream stopped before a finish part")
    const accepted = Stream.fromIterable(parts).pipe((self) =>
      EffectAiParts.fromStreamParts(self, { onMissingFinish: "accept" })
    )
    assert.deepInclude(Effect.runSync(Stream.runCollect(accepted)).at(-1), { _tag: "End", finishReason: "unknown" })
  })

  it("an error part is Metadata and a failure, and what follows is not read", () => {
    const rateLimit = AiError.make({
      module: "M",
      method: "m",
      reason: new AiError.RateLimitError({ retryAfter: undefined })
    })
    const truncated = StreamError.make({ _tag: "Truncated", expected: "its end" })
    const cases: ReadonlyArray<readonly [error: unknown, message: string]> = [
      [rateLimit, "M reported RateLimitError: Rate limit exceeded"],
      [truncated, "The stream stopped before its end"],
      [new Error("boom"), "effect/ai reported: boom"],
      [{ message: "no", code: "overloaded" }, "effect/ai reported overloaded: no"],
      ["no", "effect/ai reported: no"],
      [undefined, "effect/ai reported: no message"]
    ]
    for (const [error, message] of cases) {
      const part = Response.makePart("error", { error, metadata })
      const { events, failure } = from([part, finish])
      assert.deepStrictEqual(to(events), [part])
      assert.strictEqual(failure?.message, message)
    }
  })

  it("AiError becomes StreamError, any other failure stays what it is", () => {
    const failed = AiError.make({
      module: "M",
      method: "m",
      reason: new AiError.InternalProviderError({ description: "overloaded" })
    })
    const broken = <E>(error: E) =>
      EffectAiParts.fromStreamParts(
        StreamTest.script([Response.makePart("text-delta", { id: "a", delta: "Hel" }), StreamTest.fail(error)])
      )
    expectTypeOf(broken(failed)).toEqualTypeOf<Stream.Stream<Event, StreamError.StreamError>>()
    expectTypeOf(broken("own" as const)).toEqualTypeOf<Stream.Stream<Event, "own" | StreamError.StreamError>>()
    const { events, failure } = Effect.runSync(collect(broken(failed)))
    assert.strictEqual(events.at(-1)?._tag, "Delta")
    assert.deepInclude(reasonOf(failure, "ProviderFailure"), { provider: "M", isRetryable: true })
    assert.strictEqual(Effect.runSync(collect(broken("own"))).failure, "own")
  })

  it("takes what streamText streams, whatever its tools", () => {
    const take = (model: LanguageModel.LanguageModel) =>
      EffectAiParts.fromStreamParts(model.streamText({ prompt: "hi" }))
    expectTypeOf(take).returns.toEqualTypeOf<Stream.Stream<Event, StreamError.StreamError>>()
  })

  it("an option that is impossible throws", () => {
    assert.throws(() => EffectAiParts.fromStreamParts(Stream.empty, { maxBufferSize: -1 }), RangeError)
  })
})

describe("to parts", () => {
  /** A part in one line. */
  const line = (part: Part): string => {
    const { "~effect/ai/Response/Part": _, metadata, type, ...fields } = part
    const more = Object.keys(metadata).length === 0 ? "" : ` ${JSON.stringify(metadata)}`
    return `${type} ${JSON.stringify(fields)}${more}`
  }

  it("blocks begin and end where the text does", () => {
    const events = [
      StreamEvent.start(0),
      StreamEvent.reasoning(0, "h"),
      StreamEvent.progress(0, "ping"),
      StreamEvent.reasoning(0, "m"),
      StreamEvent.delta(0, "a"),
      StreamEvent.delta(0, "b", "1"),
      StreamEvent.delta(0, "c", "2"),
      StreamEvent.refusal(0, "no"),
      StreamEvent.refusal(0, "no", "3"),
      StreamEvent.toolCallDelta(0, "call_0", "search", '{"q"'),
      StreamEvent.toolCallDelta(0, "call_1", "search", "{"),
      StreamEvent.toolCallDelta(0, "call_0", "search", ":1}"),
      StreamEvent.toolCall(0, call),
      StreamEvent.toolResult(0, { id: "call_0", name: "search", output: 5, isError: false }),
      StreamEvent.delta(0, "d"),
      end
    ]
    const own = '{"effect-llm-streaming":{"refusal":true}}'
    const third = '{"effect-llm-streaming":{"refusal":true,"part":"3"}}'
    assert.deepStrictEqual(to(events).map(line), [
      'reasoning-start {"id":"reasoning"}',
      'reasoning-delta {"id":"reasoning","delta":"h"}',
      'response-metadata {} {"effect-llm-streaming":{"event":{"_tag":"Progress","kind":"ping"}}}',
      'reasoning-delta {"id":"reasoning","delta":"m"}',
      'reasoning-end {"id":"reasoning"}',
      'text-start {"id":"text"}',
      'text-delta {"id":"text","delta":"a"}',
      'text-end {"id":"text"}',
      'text-start {"id":"1"}',
      'text-delta {"id":"1","delta":"b"}',
      'text-end {"id":"1"}',
      'text-start {"id":"2"}',
      'text-delta {"id":"2","delta":"c"}',
      'text-end {"id":"2"}',
      `text-start {"id":"refusal"} ${own}`,
      `text-delta {"id":"refusal","delta":"no"} ${own}`,
      'text-end {"id":"refusal"}',
      `text-start {"id":"refusal 3"} ${third}`,
      `text-delta {"id":"refusal 3","delta":"no"} ${third}`,
      'text-end {"id":"refusal 3"}',
      'tool-params-start {"id":"call_0","name":"search","providerExecuted":false}',
      'tool-params-delta {"id":"call_0","delta":"{\\"q\\""}',
      'tool-params-start {"id":"call_1","name":"search","providerExecuted":false}',
      'tool-params-delta {"id":"call_1","delta":"{"}',
      'tool-params-delta {"id":"call_0","delta":":1}"}',
      'tool-params-end {"id":"call_0"}',
      'tool-call {"id":"call_0","name":"search","params":{"q":1},"providerExecuted":false}',
      'tool-result {"id":"call_0","name":"search","result":5,"encodedResult":5,"isFailure":false,"preliminary":false,"providerExecuted":false}',
      'text-start {"id":"text"}',
      'text-delta {"id":"text","delta":"d"}',
      'text-end {"id":"text"}',
      'tool-params-end {"id":"call_1"}',
      'finish {"reason":"stop","usage":{"inputTokens":{},"outputTokens":{}}}'
    ])
  })

  it("what a decoder says of the response, its end and its hosted tools has a part", () => {
    const counts = { inputTokens: { total: 1 }, outputTokens: { total: 2 } }
    const events = [
      StreamEvent.start(0, { id: "resp_0", model: "m" }),
      StreamEvent.metadata(0, "response", {
        metadata: { id: "resp_1", model: "n", systemFingerprint: undefined, x: 1 }
      }),
      StreamEvent.metadata(0, "hosted-tool-call", { metadata: { id: "a", name: "web", input: { q: 1 }, item: {} } }),
      StreamEvent.toolResult(0, { id: "a", name: "web", output: [], isError: true }),
      StreamEvent.delta(0, "a"),
      StreamEvent.metadata(0, "finish", {
        usage: counts,
        finishReason: "stop",
        providerFinishReason: "end_turn",
        metadata: { usage: { input: 1 } }
      }),
      end
    ]
    assert.deepStrictEqual(to(events).map(line), [
      'response-metadata {"id":"resp_0","modelId":"m"}',
      'response-metadata {"id":"resp_1","modelId":"n"} {"effect-llm-streaming":{"x":1}}',
      'tool-call {"id":"a","name":"web","params":{"q":1},"providerExecuted":true} {"effect-llm-streaming":{"item":{}}}',
      'tool-result {"id":"a","name":"web","result":[],"encodedResult":[],"isFailure":true,"preliminary":false,"providerExecuted":true}',
      'text-start {"id":"text"}',
      'text-delta {"id":"text","delta":"a"}',
      'text-end {"id":"text"}',
      'finish {"reason":"stop","usage":{"inputTokens":{"total":1},"outputTokens":{"total":2}}} {"effect-llm-streaming":{"usage":{"input":1},"providerFinishReason":"end_turn"}}'
    ])
    const returned = back(events).events
    assert.strictEqual(show(returned.at(-2)!), show(events.at(-2)!))
    assert.deepInclude(
      returned.find((event) => event._tag === "Metadata" && event.kind === "hosted-tool-call"),
      {
        metadata: { id: "a", name: "web", input: { q: 1 }, item: {} }
      }
    )
  })

  it("a file of a provider is a file", () => {
    const events = [
      StreamEvent.metadata(0, "file", { metadata: { inlineData: { mimeType: "image/png", data: "AP8H" } } }),
      StreamEvent.metadata(0, "file", { metadata: { type: "image", mime_type: "image/png", data: "AP8H" } })
    ]
    assert.deepStrictEqual(
      to(events),
      events.map(() => Response.makePart("file", { mediaType: "image/png", data: new Uint8Array([0, 255, 7]) }))
    )
  })

  it("a hosted call of which the provider does not give the input has no parameters", () => {
    const [part] = to([
      StreamEvent.metadata(0, "hosted-tool-call", { metadata: { id: "a", name: "web", input: undefined } })
    ])
    assert.deepInclude(part, { type: "tool-call", params: {} })
  })

  it("usage without a finish reason counts in the finish part", () => {
    const counts = { inputTokens: { total: 1 }, outputTokens: { total: 2 } }
    const last = to([StreamEvent.start(0), StreamEvent.metadata(0, "usage", { usage: counts }), end]).at(-1)
    assert.deepInclude(last, { type: "finish", reason: "stop", usage: new Response.Usage(counts) })
  })

  it("a signature is with the reasoning that it signs", () => {
    const signature = StreamEvent.metadata(0, "signature", { metadata: { signature: "s" } })
    const parts = to([StreamEvent.reasoning(0, "hm"), signature, StreamEvent.delta(0, "a"), signature, end])
    assert.deepStrictEqual(parts.map((part) => part.type).slice(0, 4), [
      "reasoning-start",
      "reasoning-delta",
      "reasoning-delta",
      "reasoning-end"
    ])
    assert.strictEqual(
      line(parts[2]!),
      'reasoning-delta {"id":"reasoning","delta":""} {"effect-llm-streaming":{"event":{"_tag":"Metadata","kind":"signature","metadata":{"signature":"s"}}}}'
    )
    const signatures = from(parts).events.filter((event) => event._tag === "Metadata" && event.kind === "signature")
    assert.deepStrictEqual(lines(signatures), lines([signature, signature]))
  })

  it("Metadata of a part's kind that is none is no part", () => {
    for (const [kind, metadata] of [
      ["source", { url: "no part" }],
      ["file", { name: "x" }],
      ["response", { id: 5 }],
      ["hosted-tool-call", { item: {} }],
      ["tool-result", {}],
      ["text-start", {}],
      ["signature", { signature: 1 }],
      ["logprobs", { logprobs: [1, null] }]
    ] as const) {
      const event = StreamEvent.metadata(0, kind, { metadata })
      const [part, ...others] = to([event, end])
      assert.strictEqual(part?.type, "response-metadata")
      assert.deepStrictEqual(
        others.map(({ type }) => type),
        ["finish"]
      )
      assert.strictEqual(show(from([part!, finish]).events[1]!), show(event))
    }
  })

  it("what is no JSON in Metadata is left out, lest it fails the stream in effect/ai", () => {
    const circular: Record<string, unknown> = {}
    circular["self"] = circular
    const parts = to([StreamEvent.metadata(0, "x", { metadata: circular }), end])
    assert.deepStrictEqual(
      parts.map(({ metadata }) => metadata),
      [{}, {}]
    )
  })

  it("what belongs to an event that a processor dropped goes with it", () => {
    const parts: ReadonlyArray<Part> = [
      Response.makePart("text-start", { id: "a" }),
      Response.makePart("text-delta", { id: "a", delta: "x", metadata }),
      Response.makePart("text-delta", { id: "a", delta: "y" }),
      Response.makePart("text-end", { id: "a" }),
      finish
    ]
    const dropX = StreamProcessor.filterMap((event) =>
      event._tag === "Delta" && event.delta === "x" ? undefined : event
    )
    const out = Stream.fromIterable(parts).pipe(EffectAiParts.fromStreamParts, dropX, EffectAiParts.toStreamParts)
    // The rest of the first is taken by none: the second is another fragment of the same block, so it may not be.
    assert.deepStrictEqual(
      Effect.runSync(Stream.runCollect(out)).map(({ type }) => type),
      ["text-start", "text-delta", "text-end", "finish"]
    )
  })

  it("text that a processor took out does not come back", () => {
    const parts: ReadonlyArray<Part> = [
      Response.makePart("text-start", { id: "a", metadata }),
      Response.makePart("text-delta", { id: "a", delta: "my pass", metadata }),
      Response.makePart("text-delta", { id: "a", delta: "word is", metadata }),
      Response.makePart("text-end", { id: "a", metadata }),
      finish
    ]
    const out = Stream.fromIterable(parts).pipe(
      EffectAiParts.fromStreamParts,
      ContentFilter.make({ patterns: ["password"] }),
      EffectAiParts.toStreamParts,
      Stream.runCollect
    )
    const text = Effect.runSync(out).map((part) => (part.type === "text-delta" ? part.delta : ""))
    assert.strictEqual(text.join(""), "my [FILTERED] is")
    assert.notInclude(JSON.stringify(Effect.runSync(out)), "my pass")
  })

  it("an Error event is an error part, and the failure that it shows on the way back", () => {
    const error = StreamError.make({ _tag: "Truncated", expected: "its end" })
    const parts = to([StreamEvent.start(0), StreamEvent.delta(0, "a"), StreamEvent.error(0, error)])
    assert.deepStrictEqual(
      parts.map(({ type }) => type),
      ["text-start", "text-delta", "error"]
    )
    assert.strictEqual(from(parts).failure, error)
  })

  it("the failure of the stream stays what it is", () => {
    const broken = EffectAiParts.toStreamParts(
      StreamTest.script([StreamEvent.start(0), StreamEvent.delta(0, "a"), StreamTest.fail("reset" as const)])
    )
    const { events, failure } = Effect.runSync(collect(broken))
    assert.deepStrictEqual(
      events.map(({ type }) => type),
      ["text-start", "text-delta"]
    )
    assert.strictEqual(failure, "reset")
  })

  const borders = ["text-start", "text-end", "reasoning-start", "reasoning-end", "tool-params-start", "tool-params-end"]

  it.prop("events to parts and back, but for what is documented", { input: StreamArbitrary.events() }, ({ input }) => {
    const events = input.items
    const last = events.at(-1)!
    const returned = back(events)
    // Borders of blocks are new, and the finish may be; an End is where the finish part was.
    const isNew = (event: Event) => event._tag === "Metadata" && [...borders, "finish", "usage"].includes(event.kind)
    const strip = (all: ReadonlyArray<Event>): ReadonlyArray<string> =>
      lines(StreamLaws.join(all.filter((event) => !isNew(event) && !StreamEvent.isTerminal(event))))
    const shown = returned.events.filter((event) => !(event._tag === "Metadata" && event.kind === "error"))
    assert.deepStrictEqual(strip(shown), strip(events))
    if (last._tag === "Error") {
      assert.strictEqual(returned.failure, last.error)
    } else {
      const isFinished =
        last._tag === "End" || events.some((event) => event._tag === "Metadata" && event.kind === "finish")
      assert.strictEqual(returned.failure?.reason._tag, isFinished ? undefined : "Truncated")
    }
  })

  it.prop("every fragment is between its start and its end", { input: StreamArbitrary.events() }, ({ input }) => {
    const open = new Set<string>()
    for (const part of to(input.items)) {
      const [, kind, border] = /^(text|reasoning|tool-params)-(start|delta|end)$/.exec(part.type) ?? []
      if (kind === undefined || !("id" in part)) continue
      const key = `${kind} ${part.id}`
      assert.strictEqual(open.has(key), border !== "start", key)
      if (border === "start") open.add(key)
      if (border === "end") open.delete(key)
    }
    if (input.items.some(StreamEvent.is("End"))) assert.strictEqual(open.size, 0)
  })
})

describe("usage", () => {
  it("goes there and back", () => {
    assert.deepStrictEqual(EffectAiParts.toUsage(EffectAiParts.fromUsage(usage)), usage)
  })

  it("a figure that is no whole number is left out", () => {
    const counts = { inputTokens: { total: 1.5, cacheRead: NaN, cacheWrite: 2 }, outputTokens: { total: Infinity } }
    assert.deepStrictEqual(EffectAiParts.fromUsage(EffectAiParts.toUsage(counts)), {
      inputTokens: { cacheWrite: 2 },
      outputTokens: {}
    })
  })

  it("finish reasons are the same words", () => {
    expectTypeOf<Response.FinishReason>().toEqualTypeOf<StreamResult.FinishReason>()
    assert.deepStrictEqual(StreamResult.FinishReason.literals, Response.FinishReason.literals)
  })
})

describeShared("recordings", "recordings/index.json", () => {
  const all = readJson<ReadonlyArray<Recording>>("recordings/index.json")
  const json = Schema.toCodecJson(Response.StreamPart())

  it.each(all)("$wire, to parts that effect/ai takes, and back", (recording) => {
    const options = { onMissingFinish: "accept", onIncompleteToolCall: "metadata" } as const
    const run = Effect.runSync(collect(Wire.detect(options)(Stream.make(readBytes(`recordings/${recording.wire}`)))))
    if (run.failure !== undefined) return
    const parts = to(run.events).map((part) => {
      const text = JSON.stringify(Schema.encodeUnknownSync(json)(part))
      assert.deepStrictEqual(Schema.decodeUnknownSync(json)(JSON.parse(text)), part)
      return part
    })
    const { events, failure } = from(parts)
    assert.isUndefined(failure)
    for (const tag of ["Delta", "Reasoning", "Refusal"] as const) {
      assert.strictEqual(textOf(events, tag), textOf(run.events, tag))
    }
    const calls = (events: ReadonlyArray<Event>) =>
      events.filter(StreamEvent.is("ToolCall")).map(({ id, input, name }) => ({ id, input, name }))
    assert.deepStrictEqual(calls(events), calls(run.events))
    const [before, after] = [finishOf(run.events), finishOf(events)]
    assert.strictEqual(after?.providerFinishReason, before?.providerFinishReason)
    const total = (finish: StreamEvent.Metadata | undefined) => finish?.usage?.outputTokens.total
    assert.strictEqual(total(after), total(before))

    const result = Effect.runSync(Stream.run(Stream.fromIterable(run.events), StreamHandler.collect))
    const kinds = (result: StreamResult.StreamResult) =>
      EffectAiPrompt.toPrompt(result).content.flatMap(({ content }) =>
        typeof content === "string" ? [] : content.map((part) => part.type)
      )
    assert.deepStrictEqual(
      kinds(result).filter((kind) => kind === "text"),
      [result.text, result.refusal].filter((text) => text !== "").map(() => "text")
    )
    const answered = {
      ...result,
      toolResults: result.toolCalls.map(({ id, name }) => ({ id, name, output: 1, isError: false }))
    }
    assert.isAtLeast(kinds(answered).filter((kind) => kind === "tool-call").length, result.toolCalls.length)
  })
})
