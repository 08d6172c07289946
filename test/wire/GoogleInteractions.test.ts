import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted, Stream } from "effect"
import { FetchHttpClient } from "effect/http"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as StreamModel from "../../src/StreamModel.ts"
import type * as StreamResult from "../../src/StreamResult.ts"
import * as GoogleInteractions from "../../src/wire/GoogleInteractions.ts"
import type * as Protocol from "../../src/wire/Protocol.ts"
import { anyJsonSuite } from "../support/anyJson.ts"
import * as Loopback from "../support/loopback.ts"
import { collect, finishOf, printed, reasonOf, show, textOf } from "../support/run.ts"

const decode = (source: Stream.Stream<Uint8Array | string>, options?: Protocol.Options) =>
  Effect.runSync(collect(GoogleInteractions.decode(options)(source)))

type Json = Readonly<Record<string, unknown>>

const data = (...chunks: ReadonlyArray<unknown>): string =>
  chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`).join("")

const created = (interaction: Json): Json => ({ event_type: "interaction.created", interaction })

const start = (index: number, step: Json): Json => ({ event_type: "step.start", index, step })

const delta = (index: number, delta: Json, more?: Json): Json => ({ event_type: "step.delta", index, delta, ...more })

const stop = (index: number, more?: Json): Json => ({ event_type: "step.stop", index, ...more })

const completed = (status: unknown = "completed", more?: Json): Json => ({
  event_type: "interaction.completed",
  interaction: { id: "i", status, ...more }
})

const update = (status: unknown, more?: Json): Json => ({
  event_type: "interaction.status_update",
  interaction_id: "i",
  status,
  ...more
})

/** The events of chunks, without Start, the response, and the failure: each in one line. */
const lines = (source: ReadonlyArray<unknown> | string, options?: Protocol.Options): ReadonlyArray<string> => {
  const { events, failure } = decode(Stream.make(typeof source === "string" ? source : data(...source)), options)
  assert.strictEqual(events[0]?._tag, "Start")
  return [
    ...events
      .slice(1)
      .map((event) => {
        if (event._tag === "End") return `End ${event.finishReason}`
        if (event._tag === "ToolCall") return `ToolCall ${event.id} ${event.name} ${JSON.stringify(event.input)}`
        if (event._tag !== "Metadata") return show(event)
        return event.kind === "finish" ? `finish ${event.providerFinishReason}` : `Metadata ${event.kind}`
      })
      .filter((line) => line !== "Metadata response"),
    ...(failure === undefined ? [] : [`${failure.reason._tag}: ${failure.message}`])
  ]
}

const metadataOf = (...chunks: ReadonlyArray<unknown>) =>
  decode(Stream.make(data(...chunks, completed())))
    .events.filter(StreamEvent.is("Metadata"))
    .filter((event) => event.kind !== "finish" && event.kind !== "response")
    .map(({ kind, metadata }) => [kind, metadata] as const)

const stopped = ["finish completed", "End stop"]

const text = (index: number, text: string): Json => delta(index, { type: "text", text })

describe("text", () => {
  it("answer and thought summaries, each with its step", () => {
    const chunks = [
      start(0, { type: "thought", summary: [{ type: "text", text: "a" }] }),
      delta(0, { type: "thought_summary", content: { type: "text", text: "b" } }),
      stop(0),
      start(1, { type: "model_output", content: [{ type: "text", text: "c" }] }),
      text(1, "d"),
      text(1, ""),
      stop(1),
      text(2, "e"),
      completed()
    ]
    assert.deepStrictEqual(lines(chunks), [
      'Reasoning/0 "a"',
      'Reasoning/0 "b"',
      'Delta/1 "c"',
      'Delta/1 "d"',
      'Delta/2 "e"',
      ...stopped
    ])
  })

  it("an event: line is not needed, nor is its name believed", () => {
    const events = `event: step.stop\n${data(text(0, "a"))}event: x\n${data(completed())}event: done\ndata: [DONE]\n\n`
    assert.deepStrictEqual(lines(events), ['Delta/0 "a"', ...stopped])
  })
})

describe("the interaction", () => {
  const responseOf = (...chunks: ReadonlyArray<unknown>) =>
    decode(Stream.make(data(...chunks)))
      .events.filter(StreamEvent.is("Metadata"))
      .flatMap(({ kind, metadata }) => (kind === "response" ? [metadata] : []))

  it("is identified once, by the first event that can", () => {
    assert.deepStrictEqual(responseOf(created({ id: "a", model: "m" }), completed()), [
      { id: "a", model: "m", agent: undefined }
    ])
    assert.deepStrictEqual(responseOf(created({ id: "", agent: "deep-research" }), completed()), [
      { id: undefined, model: undefined, agent: "deep-research" }
    ])
    assert.deepStrictEqual(responseOf(created({ id: "" }), completed()), [
      { id: "i", model: undefined, agent: undefined }
    ])
  })

  it("statuses in the words of effect/ai, the provider's own beside", () => {
    const words: ReadonlyArray<readonly [word: string, reason: StreamResult.FinishReason]> = [
      ["completed", "stop"],
      ["requires_action", "tool-calls"],
      ["requires_continuation", "pause"],
      ["incomplete", "length"],
      ["budget_exceeded", "length"],
      ["failed", "error"],
      ["cancelled", "other"]
    ]
    for (const [word, reason] of words) {
      const end = [`finish ${word}`, `End ${reason}`]
      assert.deepStrictEqual(lines([completed(word)]), end)
      assert.deepStrictEqual(lines([update(word), completed(word)]).slice(1), end)
      assert.deepStrictEqual(lines([update(word)]).slice(1), end)
    }
    assert.deepStrictEqual(lines([completed("something_new")]), ["finish something_new", "End other"])
    assert.deepStrictEqual(lines([completed(undefined)]), stopped)
  })

  it("is not over before it says so", () => {
    for (const chunk of [
      update("in_progress"),
      update("queued"),
      update("something_new"),
      created({ id: "a" }),
      stop(0)
    ]) {
      assert.match(lines(data(text(0, "a"), chunk) + "data: [DONE]\n\n").at(-1)!, /^Truncated: .*interaction.completed/)
    }
    assert.deepStrictEqual(lines([update("in_progress"), completed()]), ['Progress {"kind":"status"}', ...stopped])
  })

  it("is over when it is completed: nothing is read behind that", () => {
    assert.deepStrictEqual(lines([completed(), text(0, "a"), { event_type: "error", error: {} }]), stopped)
  })

  it("what it says of itself at its end comes with the finish", () => {
    const usage = { total_tokens: 3 }
    const { events } = decode(
      Stream.make(data(completed("completed", { service_tier: "standard", updated: "t", usage })))
    )
    assert.deepStrictEqual(finishOf(events)?.metadata, { service_tier: "standard", updated: "t", usage })
  })
})

describe("function calls", () => {
  const begin = (index: number, more?: Json) => start(index, { type: "function_call", id: "a", name: "f", ...more })
  const args = (index: number, text: unknown) => delta(index, { type: "arguments_delta", arguments: text })

  it("grow, and are whole when their step is over", () => {
    const chunks = [begin(0, { arguments: {} }), args(0, '{"x"'), args(0, ":1}"), stop(0), text(1, "b")]
    assert.deepStrictEqual(lines([...chunks, completed("requires_action")]), [
      'ToolCallDelta a f {"x"',
      "ToolCallDelta a f :1}",
      'ToolCall a f {"x":1}',
      'Delta/1 "b"',
      "finish requires_action",
      "End tool-calls"
    ])
    assert.strictEqual(lines([...chunks, completed()]).at(-1), "End tool-calls")
  })

  it("two at once, and one more with an index that was used", () => {
    const chunks = [
      begin(0),
      begin(1, { id: "b", name: "g" }),
      args(1, "{"),
      args(0, "{}"),
      args(1, "}"),
      stop(1),
      stop(0),
      begin(0, { id: "", name: "h" }),
      args(0, "[]"),
      stop(0),
      completed()
    ]
    assert.deepStrictEqual(
      lines(chunks).filter((line) => line.startsWith("ToolCall ")),
      ["ToolCall b g {}", "ToolCall a f {}", "ToolCall call_2 h []"]
    )
  })

  it("without arguments, or with all of them at once", () => {
    for (const more of [{}, { arguments: {} }, { arguments: null }]) {
      assert.deepStrictEqual(lines([begin(0, more), stop(0), completed()]).slice(0, 1), ["ToolCall a f {}"])
    }
    assert.deepStrictEqual(lines([begin(0, { arguments: { x: 1 } }), stop(0), completed()]).slice(0, 2), [
      'ToolCallDelta a f {"x":1}',
      'ToolCall a f {"x":1}'
    ])
    assert.include(lines([begin(0), args(0, { x: 1 }), stop(0), completed()]), 'ToolCall a f {"x":1}')
  })

  it("a step that has no stop is over with the interaction", () => {
    assert.include(lines([begin(0), args(0, "{}"), completed()]), "ToolCall a f {}")
    assert.include(lines([begin(0, { arguments: { x: 1 } }), completed()]), 'ToolCall a f {"x":1}')
    const next = [begin(0), args(0, '{"x":1}'), begin(0, { id: "b" }), args(0, "[]"), stop(0)]
    assert.deepStrictEqual(
      lines([...next, completed()]).filter((line) => line.startsWith("ToolCall ")),
      ["ToolCall b f []", 'ToolCall a f {"x":1}']
    )
    assert.isFalse(lines(next).some((line) => line.startsWith("ToolCall a")))
  })

  it("a start that comes twice says nothing new", () => {
    const more = { arguments: { x: 1 } }
    for (const chunks of [
      [begin(0), begin(0), args(0, '{"x":1}'), stop(0)],
      [begin(0, more), begin(0, more), stop(0)],
      [begin(0, more), stop(0), begin(0, more), args(0, "{}"), stop(0)]
    ]) {
      assert.deepStrictEqual(lines([...chunks, completed()]).slice(0, 2), [
        'ToolCallDelta a f {"x":1}',
        'ToolCall a f {"x":1}'
      ])
      assert.deepStrictEqual(lines([...chunks, completed()]).slice(2), ["finish completed", "End tool-calls"])
    }
  })

  it("that are cut are none", () => {
    const chunks = [begin(0), args(0, '{"x"')]
    assert.deepStrictEqual(
      lines(chunks).map((line) => line.split(/[ :]/)[0]),
      ["ToolCallDelta", "Truncated"]
    )
    for (const end of [[stop(0), completed()], [completed("incomplete")], [stop(0), completed("cancelled")]]) {
      const seen = lines([...chunks, ...end])
      assert.isFalse(seen.some((line) => line.startsWith("ToolCall ")))
      assert.match(seen.at(-1)!, /^ToolCallIncomplete/)
    }
    assert.match(lines([begin(0), completed("incomplete")]).at(-1)!, /^ToolCallIncomplete/)
  })

  it("arguments of no call are not lost", () => {
    const orphan = args(0, "{}")
    assert.deepStrictEqual(metadataOf(orphan), [["unknown", { chunk: orphan }]])
  })

  it("the results of the application's own are results", () => {
    const step = { type: "function_result", call_id: "a", name: "f", result: "no", is_error: true }
    assert.deepStrictEqual(lines([start(0, step), stop(0), completed()]).slice(0, 1), [
      'ToolResult {"id":"a","name":"f","output":"no","isError":true}'
    ])
  })
})

describe("tools that Google runs", () => {
  it("a call and its result, from the start of the step and from its deltas", () => {
    const chunks = [
      start(0, { type: "google_search_call", id: "a", signature: "" }),
      delta(0, { type: "google_search_call", arguments: { queries: ["q"] }, signature: "s" }),
      stop(0),
      start(1, { type: "google_search_result", call_id: "a" }),
      delta(1, { type: "google_search_result", result: [{ search_suggestions: "x" }] }),
      stop(1),
      start(2, { type: "mcp_server_tool_call", id: "b", name: "tool", server_name: "s", arguments: { x: 1 } }),
      stop(2),
      start(3, { type: "mcp_server_tool_result", call_id: "b", name: "tool", result: "no", is_error: true }),
      stop(3)
    ]
    assert.deepStrictEqual(metadataOf(...chunks), [
      ["signature", { part: "0", id: "a", signature: "s" }],
      [
        "hosted-tool-call",
        {
          part: "0",
          id: "a",
          name: "google_search",
          input: { queries: ["q"] },
          item: { type: "google_search_call", id: "a", signature: "s", arguments: { queries: ["q"] } }
        }
      ],
      [
        "hosted-tool-call",
        { part: "2", id: "b", name: "tool", input: { x: 1 }, item: (chunks[6] as { step: unknown }).step }
      ]
    ])
    const { events } = decode(Stream.make(data(...chunks, completed())))
    assert.deepStrictEqual(events.filter(StreamEvent.is("ToolResult")).map(show), [
      'ToolResult {"id":"a","name":"google_search","output":[{"search_suggestions":"x"}],"isError":false}',
      'ToolResult {"id":"b","name":"tool","output":"no","isError":true}'
    ])
    assert.isFalse(events.some(StreamEvent.is("ToolCall")))
    assert.deepInclude(events.at(-1), { _tag: "End", finishReason: "stop" })
  })

  it("what had arrived of one is not lost when the stream is cut, or the interaction over", () => {
    const chunks = [
      start(0, { type: "code_execution_call", id: "a" }),
      delta(0, { type: "code_execution_call", arguments: { code: "1" } }),
      delta(1, { type: "code_execution_result", result: "1" })
    ]
    const seen = [
      "Metadata hosted-tool-call",
      'ToolResult {"id":"","name":"code_execution","output":"1","isError":false}'
    ]
    assert.deepStrictEqual(lines(chunks).slice(0, 2), seen)
    assert.match(lines(chunks).at(-1)!, /^Truncated/)
    assert.deepStrictEqual(lines([...chunks, completed()]), [...seen, ...stopped])
  })

  it("what is held of them is bounded, and no more than what is open", () => {
    const flood = (chunk: (n: number) => ReadonlyArray<Json>) => {
      let n = 0
      const source = Stream.fromPull(Effect.succeed(Effect.sync(() => [data(...chunk(n++))] as const)))
      return decode(Stream.take(source, 300), { maxBufferSize: 2000 }).failure
    }
    const call = { type: "google_search_call", id: "a", arguments: {} }
    assert.strictEqual(
      reasonOf(
        flood((n) => [start(n, call)]),
        "BufferOverflow"
      ).limit,
      2000
    )
    assert.strictEqual(
      reasonOf(
        flood((n) => [delta(0, { type: "x_call", arguments: "x".repeat(n * 10) })]),
        "BufferOverflow"
      ).limit,
      2000
    )
    assert.strictEqual(flood((n) => [start(n, call), stop(n)])?.reason._tag, "Truncated")
    assert.strictEqual(flood(() => [delta(0, call)])?.reason._tag, "Truncated")
  })
})

describe("what is neither text nor call", () => {
  it("signatures, of a thought and of a call", () => {
    const seen = metadataOf(
      start(0, { type: "thought", signature: "1" }),
      delta(0, { type: "thought_signature", signature: "2" }),
      start(1, { type: "function_call", id: "a", name: "f", signature: "3" }),
      delta(1, { type: "arguments_delta", arguments: "{}", signature: "4" }),
      stop(1)
    )
    assert.deepStrictEqual(
      seen.map(([, metadata]) => metadata),
      [
        { part: "0", id: undefined, signature: "1" },
        { part: "0", id: undefined, signature: "2" },
        { part: "1", id: "a", signature: "3" },
        { part: "1", id: "a", signature: "4" }
      ]
    )
  })

  it("annotations are citations", () => {
    const a = { type: "url_citation", url: "https://a" }
    const b = { type: "place_citation", place_id: "b" }
    const seen = metadataOf(
      start(0, { type: "model_output", content: [{ type: "text", text: "x", annotations: [a] }] }),
      delta(0, { type: "text_annotation_delta", annotations: [a, b] }),
      delta(0, { type: "text_annotation", annotations: [b] })
    )
    assert.deepStrictEqual(
      seen,
      [a, a, b, b].map((citation) => ["citation", { part: "0", citation }] as const)
    )
  })

  it("images, audio, video and documents are files, of the answer or of a thought", () => {
    const image = { type: "image", data: "AA==", mime_type: "image/png" }
    const seen = metadataOf(
      start(0, { type: "model_output", content: [image] }),
      delta(0, { type: "audio", data: "BB==" }),
      delta(0, { type: "video", uri: "u" }),
      delta(0, { type: "document", uri: "v" }),
      delta(1, { type: "thought_summary", content: image })
    )
    assert.deepStrictEqual(
      seen,
      [
        { part: "0", ...image },
        { part: "0", type: "audio", data: "BB==" },
        { part: "0", type: "video", uri: "u" },
        { part: "0", type: "document", uri: "v" },
        { part: "1", thought: true, ...image }
      ].map((metadata) => ["file", metadata] as const)
    )
  })

  it("events, steps and deltas that nobody knows, and the token to go on with", () => {
    const step = { type: "user_input", content: [] }
    const chunks = [
      { event_type: "novel" },
      delta(0, { type: "novel" }),
      { foo: 1 },
      update("in_progress", { continuation_token: "t" })
    ]
    assert.deepStrictEqual(
      metadataOf(...chunks, start(3, step)),
      [...chunks, { index: 3, step }].map((chunk) => ["unknown", { chunk }] as const)
    )
  })
})

describe("usage", () => {
  const usage = {
    total_input_tokens: 22,
    total_tool_use_tokens: 198,
    total_cached_tokens: 20,
    total_output_tokens: 590,
    total_thought_tokens: 1173,
    total_tokens: 1983
  }
  const expected = {
    inputTokens: { total: 220, cacheRead: 20, uncached: 200, cacheWrite: undefined },
    outputTokens: { total: 1763, reasoning: 1173, text: 590 }
  }

  it("thoughts and what tools gave to read are counted in, cached tokens beside", () => {
    assert.deepStrictEqual(
      finishOf(decode(Stream.make(data(completed("completed", { usage })))).events)?.usage,
      expected
    )
  })

  it("in each place where it may be, the last one counts", () => {
    const before = { total_input_tokens: 1 }
    const places = [
      delta(0, { type: "text", text: "a" }, { metadata: { total_usage: usage } }),
      stop(0, { usage, step_usage: before }),
      update("in_progress", { usage })
    ]
    for (const chunk of places) {
      const { events, failure } = decode(Stream.make(data(stop(0, { usage: before }), chunk)))
      assert.strictEqual(failure?.reason._tag, "Truncated")
      assert.deepInclude(finishOf(events), { kind: "usage", usage: expected })
      const done = decode(Stream.make(data(chunk, completed("completed", { usage: before })))).events
      assert.strictEqual(finishOf(done)?.usage?.inputTokens.total, 1)
      assert.deepStrictEqual(finishOf(decode(Stream.make(data(chunk, completed()))).events)?.usage, expected)
    }
  })

  it("what is missing is undefined and not 0", () => {
    const { events } = decode(Stream.make(data(completed("completed", { usage: {} }))))
    assert.deepStrictEqual(finishOf(events)?.usage, {
      inputTokens: { total: undefined, cacheRead: undefined, uncached: undefined, cacheWrite: undefined },
      outputTokens: { total: undefined, reasoning: undefined, text: undefined }
    })
    assert.isUndefined(finishOf(decode(Stream.make(data(completed()))).events)?.usage)
  })
})

describe("errors in the stream", () => {
  const error = { code: "gateway_timeout", message: "Deadline expired." }
  const reported = "ProviderFailure: google reported gateway_timeout: Deadline expired."

  it("as an event, as it is, in a step, or in the interaction; once", () => {
    const event = { event_type: "error", error }
    const chunks = [
      data(event),
      JSON.stringify({ error }, undefined, 2),
      data(start(1, { type: "model_output", error })),
      data(completed("failed", { error })),
      data(update("in_progress"), event, completed("failed"))
    ]
    for (const text of chunks) {
      const seen = lines(text).filter((line) => !line.startsWith("Progress") && !line.startsWith("finish"))
      assert.deepStrictEqual(seen, [reported])
    }
    assert.deepStrictEqual(lines([text(0, "a"), event, event]), ['Delta/0 "a"', reported])
    assert.isTrue(reasonOf(decode(Stream.make(data(event))).failure, "ProviderFailure").isRetryable)
  })
})

describe("over HTTP", () => {
  const secret = "AIza-very-secret"

  it.live("a request creates an interaction", () =>
    Effect.gen(function* () {
      const server = yield* Loopback.serve((response) => {
        Loopback.begin(response)
        response.end(data(text(0, "a"), completed()))
      })
      const model = GoogleInteractions.layer({ baseUrl: server.url, apiKey: Redacted.make(secret), model: "m" }).pipe(
        Layer.provide(FetchHttpClient.layer)
      )
      const ask = (request: StreamModel.StreamRequest) => Effect.provide(collect(StreamModel.stream(request)), model)
      const { events, failure } = yield* ask({ prompt: "hi" })
      assert.isUndefined(failure)
      assert.strictEqual(textOf(events, "Delta"), "a")
      const messages = [{ type: "user_input", content: [{ type: "text", text: "hi" }] }]
      yield* ask({ messages, options: { previous_interaction_id: "i" } })
      const [first, second] = server.requests
      assert.strictEqual(first?.url, "/interactions")
      assert.strictEqual(first?.headers["x-goog-api-key"], secret)
      assert.deepStrictEqual(JSON.parse(first!.body), { model: "m", input: "hi", stream: true })
      assert.deepStrictEqual(JSON.parse(second!.body), {
        model: "m",
        input: messages,
        stream: true,
        previous_interaction_id: "i"
      })
    })
  )

  it.live("an error has Google's message, and not the key", () =>
    Effect.gen(function* () {
      const server = yield* Loopback.serve((response) => {
        response.writeHead(429, { "retry-after": "7" })
        response.end('{"error":{"code":"too_many_requests","message":"slow down"}}')
      })
      const model = GoogleInteractions.layer({ baseUrl: server.url, apiKey: Redacted.make(secret) }).pipe(
        Layer.provide(FetchHttpClient.layer)
      )
      const { failure } = yield* Effect.provide(collect(StreamModel.stream({ prompt: "hi" })), model)
      assert.deepInclude(reasonOf(failure, "ProviderFailure"), {
        status: 429,
        code: "too_many_requests",
        message: "slow down",
        isRetryable: true
      })
      assert.notInclude(printed(failure!), secret)
    })
  )
})

anyJsonSuite({
  provider: GoogleInteractions,
  words:
    "event_type interaction interaction.created interaction.completed interaction.status_update step.start step.delta step.stop index step delta type text content summary annotations signature id call_id name arguments result is_error status completed in_progress usage metadata total_usage total_input_tokens total_output_tokens error thought thought_summary thought_signature model_output function_call function_result google_search_call google_search_result arguments_delta image code message".split(
      " "
    ),
  streams: [
    [
      created({ id: "i", model: "m", status: "in_progress" }),
      update("in_progress"),
      start(0, { type: "thought", summary: [{ type: "text", text: "a" }] }),
      delta(0, { type: "thought_signature", signature: "s" }),
      stop(0),
      start(1, { type: "function_call", id: "a", name: "f", arguments: {} }),
      delta(1, { type: "arguments_delta", arguments: '{"x"' }),
      delta(1, { type: "arguments_delta", arguments: ":1}" }),
      stop(1),
      start(2, { type: "model_output" }),
      text(2, "b"),
      delta(2, { type: "text_annotation_delta", annotations: [{ url: "u" }] }),
      stop(2, { usage: { total_input_tokens: 1 } }),
      completed("requires_action", { usage: { total_input_tokens: 1, total_output_tokens: 2 } })
    ],
    [
      start(0, { type: "google_search_call", id: "a" }),
      delta(0, { type: "google_search_call", arguments: { queries: ["q"] } }),
      stop(0),
      start(1, { type: "google_search_result", call_id: "a", result: [], is_error: false }),
      stop(1),
      delta(2, { type: "image", data: "AA" }),
      completed("incomplete")
    ],
    [text(0, "c"), { event_type: "error", error: { code: "x", message: "no" } }]
  ]
})
