import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as StreamHandler from "../../src/StreamHandler.ts"
import * as StreamLaws from "../../src/testing/StreamLaws.ts"
import * as OpenAiChat from "../../src/wire/OpenAiChat.ts"
import type * as Protocol from "../../src/wire/Protocol.ts"
import { collect, random, resplit, show } from "../support/run.ts"
import { describeShared, type Expected, readBytes, readJson, recordings } from "../support/shared.ts"

/** The events of chunks, and the failure behind them. */
const decode = (chunks: ReadonlyArray<unknown>, options?: Protocol.Options) =>
  collect(
    Stream.fromIterable(
      chunks.map((chunk) => `data: ${typeof chunk === "string" ? chunk : JSON.stringify(chunk)}\n\n`)
    ).pipe(OpenAiChat.decode(options))
  )

const delta = (fields: object, finishReason: string | null = null) => ({
  choices: [{ index: 0, delta: fields, finish_reason: finishReason }]
})
const call = (fields: object) => delta({ tool_calls: [fields] })
const stop = delta({}, "stop")
const toolStop = delta({}, "tool_calls")

const calls = (events: ReadonlyArray<StreamEvent.StreamEvent>) =>
  events.filter(StreamEvent.is("ToolCall")).map((event) => [event.id, event.name, event.input])

describe("text, reasoning, refusal", () => {
  it.effect("each in an event of its own; the finish Metadata before End", () =>
    Effect.gen(function* () {
      const { events, failure } = yield* decode([
        { id: "r", model: "m", choices: [] },
        delta({ role: "assistant", content: "" }),
        delta({ reasoning_content: "hm", reasoning: "hm" }),
        delta({ reasoning: "so" }),
        delta({ content: "yes" }),
        delta({ refusal: "no" }),
        stop,
        "[DONE]"
      ])
      assert.strictEqual(failure, undefined)
      assert.deepStrictEqual(
        events.map((event) => event._tag),
        ["Start", "Metadata", "Reasoning", "Reasoning", "Delta", "Refusal", "Metadata", "End"]
      )
      assert.isTrue(events.at(-1)?._tag === "End" && events.at(-1)?.timestamp !== undefined)
    })
  )

  it.effect("Mistral's parts, and a surrogate pair over two deltas", () =>
    Effect.gen(function* () {
      const { events } = yield* decode([
        delta({
          content: [
            { type: "thinking", thinking: [{ type: "text", text: "hm" }] },
            { type: "text", text: "a" }
          ]
        }),
        delta({ content: "\ud83d" }),
        delta({ content: "\ude00" }),
        stop
      ])
      const text = events.filter(StreamEvent.isContent).map((event) => event.delta)
      assert.strictEqual(text.join(""), "a😀")
      assert.deepStrictEqual(events.filter(StreamEvent.is("Reasoning")).map(show), ['Reasoning "hm"'])
    })
  )
})

describe("tool calls", () => {
  const cases: ReadonlyArray<readonly [string, ReadonlyArray<unknown>, ReadonlyArray<unknown>]> = [
    [
      "fragments, with an empty id and name in the continuations",
      [
        call({ index: 0, id: "a", function: { name: "f", arguments: "" } }),
        call({ index: 0, id: "", function: { name: "", arguments: '{"x"' } }),
        call({ index: 0, function: { arguments: ":1}" } })
      ],
      [["a", "f", { x: 1 }]]
    ],
    [
      "interleaved",
      [
        call({ index: 0, id: "a", function: { name: "f", arguments: '{"x":' } }),
        call({ index: 1, id: "b", function: { name: "g", arguments: "{" } }),
        call({ index: 0, function: { arguments: "1}" } }),
        call({ index: 1, function: { arguments: "}" } })
      ],
      [
        ["a", "f", { x: 1 }],
        ["b", "g", {}]
      ]
    ],
    ["whole, without an index", [call({ id: "a", function: { name: "f", arguments: "{}" } })], [["a", "f", {}]]],
    [
      "an index that is used again",
      [
        call({ index: 0, id: "a", function: { name: "f", arguments: "{}" } }),
        call({ index: 0, id: "b", function: { name: "f", arguments: "{}" } })
      ],
      [
        ["a", "f", {}],
        ["b", "f", {}]
      ]
    ],
    [
      "the name behind the id",
      [
        call({ index: 0, id: "a", function: { arguments: '{"x' } }),
        call({ index: 0, function: { name: "f", arguments: '":1}' } })
      ],
      [["a", "f", { x: 1 }]]
    ],
    [
      "arguments as an object",
      [call({ index: 0, id: "a", function: { name: "f", arguments: { x: 1 } } })],
      [["a", "f", { x: 1 }]]
    ],
    ["no arguments", [call({ index: 0, id: "a", function: { name: "f", arguments: "" } })], [["a", "f", {}]]],
    ["no id", [call({ index: 0, function: { name: "f", arguments: "{}" } })], [["call_0", "f", {}]]]
  ]
  for (const [name, chunks, expected] of cases) {
    it.effect(name, () =>
      Effect.gen(function* () {
        const { events, failure } = yield* decode([...chunks, toolStop])
        assert.strictEqual(failure, undefined)
        assert.deepStrictEqual<unknown>(calls(events), expected)
      })
    )
  }

  it.effect("one that is not whole at the end fails, behind all other events", () =>
    Effect.gen(function* () {
      const { events, failure } = yield* decode([
        call({ index: 0, id: "a", function: { name: "f", arguments: "{}" } }),
        call({ index: 1, id: "b", function: { name: "g", arguments: '{"x' } }),
        delta({ content: "t" }, "length"),
        { choices: [], usage: { prompt_tokens: 1, completion_tokens: 2 } },
        "[DONE]"
      ])
      assert.deepStrictEqual(failure?.reason, { _tag: "ToolCallIncomplete", id: "b", name: "g" })
      assert.deepStrictEqual<unknown>(calls(events), [["a", "f", {}]])
      assert.isTrue(events.some((event) => event._tag === "Metadata" && event.usage?.outputTokens.total === 2))
      assert.isFalse(events.some((event) => event._tag === "End"))
    })
  )
})

describe("ends", () => {
  it.effect("[DONE] is neither needed nor enough", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* decode([delta({ content: "a" }), stop])).failure, undefined)
      const { events, failure } = yield* decode([delta({ content: "a" }), "[DONE]"])
      assert.deepStrictEqual(failure?.reason, { _tag: "Truncated", expected: "a finish reason" })
      assert.deepStrictEqual(
        events.map((event) => event._tag),
        ["Start", "Delta"]
      )
    })
  )

  it.effect("onMissingFinish accepts or marks", () =>
    Effect.gen(function* () {
      const accepted = yield* decode([delta({ content: "a" })], { onMissingFinish: "accept" })
      assert.deepStrictEqual(
        accepted.events.map((event) => event._tag),
        ["Start", "Delta", "End"]
      )
      const marked = yield* decode([delta({ content: "a" })], { onMissingFinish: "mark" })
      assert.deepStrictEqual(
        marked.events.map((event) => event._tag),
        ["Start", "Delta", "Metadata", "End"]
      )
    })
  )

  it.effect("a body that lingers behind [DONE] is not waited for", () =>
    Effect.gen(function* () {
      const bytes = Stream.concat(Stream.make(`data: ${JSON.stringify(stop)}\n\ndata: [DONE]\n\n`), Stream.never)
      assert.strictEqual((yield* collect(bytes.pipe(OpenAiChat.decode()))).failure, undefined)
    })
  )

  it.effect("a last event without its blank line counts when its JSON is whole", () =>
    Effect.gen(function* () {
      const last = `data: ${JSON.stringify(stop)}`
      assert.strictEqual((yield* collect(Stream.make(last).pipe(OpenAiChat.decode()))).failure, undefined)
      const half = yield* collect(Stream.make(last.slice(0, -3)).pipe(OpenAiChat.decode()))
      assert.strictEqual(half.failure?.reason._tag, "Truncated")
    })
  )

  it.effect("an error in the stream: once, with its words", () =>
    Effect.gen(function* () {
      for (const error of [
        { message: "slow down", code: 429 },
        { message: "slow down", type: "rate_limit_exceeded" }
      ]) {
        const { events, failure } = yield* decode([delta({ content: "a" }), { error }, "[DONE]"])
        assert.isTrue(failure?.reason._tag === "ProviderFailure" && failure.reason.message === "slow down")
        assert.isTrue(failure?.reason._tag === "ProviderFailure" && failure.reason.isRetryable)
        assert.deepStrictEqual(
          events.map((event) => event._tag),
          ["Start", "Delta"]
        )
      }
    })
  )

  it.effect("what is not JSON fails with its offset, or is skipped", () =>
    Effect.gen(function* () {
      const first = delta({ content: "a" })
      const { failure } = yield* decode([first, "{oops", stop])
      assert.isTrue(
        failure?.reason._tag === "MalformedFrame" && failure.reason.offset === JSON.stringify(first).length + 8
      )
      assert.strictEqual((yield* decode(["{oops", stop], { onMalformed: "skip" })).failure, undefined)
    })
  )

  it.effect("chunks of any shape give typed failures, never defects", () =>
    Effect.gen(function* () {
      const odd = [null, 1, "x", [], {}, [[1]], { choices: 1 }, { choices: [null, 1, {}] }, { error: null }]
      const inner = [null, 1, "x", [], {}, [null], [{ function: 1 }], { message: [] }]
      for (const value of [
        ...odd,
        ...inner.flatMap((content) => [
          delta({ content, tool_calls: content, reasoning: content }),
          { usage: content }
        ]),
        ...inner.map((error) => ({ error }))
      ]) {
        yield* collect(Stream.make<ReadonlyArray<unknown>>(value, stop).pipe(OpenAiChat.fromChunks()))
      }
    })
  )
})

describe("usage", () => {
  const usage = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 }
  const totals = (chunks: ReadonlyArray<unknown>) =>
    Effect.map(Stream.fromIterable(chunks).pipe(OpenAiChat.fromChunks(), StreamHandler.run()), (result) => [
      result.usage?.inputTokens.total,
      result.usage?.outputTokens.total
    ])

  it.effect("wherever it stands, the last one counts", () =>
    Effect.gen(function* () {
      for (const chunk of [
        { choices: [], usage },
        { ...stop, usage },
        { choices: [], x_groq: { usage } },
        { choices: [{ delta: {}, usage }] }
      ]) {
        assert.deepStrictEqual(
          yield* totals([{ ...stop, usage: { prompt_tokens: 1, completion_tokens: 1 } }, chunk]),
          [10, 5]
        )
      }
      assert.deepStrictEqual(yield* totals([stop]), [undefined, undefined])
    })
  )

  it.effect("reasoning that is counted beside the completion is added", () =>
    Effect.gen(function* () {
      const details = { completion_tokens_details: { reasoning_tokens: 196 } }
      const xai = { prompt_tokens: 291, completion_tokens: 26, total_tokens: 513, ...details }
      assert.deepStrictEqual(yield* totals([stop, { choices: [], usage: xai }]), [291, 222])
      const openai = { prompt_tokens: 291, completion_tokens: 222, total_tokens: 513, ...details }
      assert.deepStrictEqual(yield* totals([stop, { choices: [], usage: openai }]), [291, 222])
    })
  )
})

describeShared("recordings of chat completions", "recordings/index.json", () => {
  for (const recording of recordings("openai-chat")) {
    const bytes = readBytes(`recordings/${recording.wire}`)
    const expected = readJson<Expected>(`recordings/${recording.expected}`)
    const unless = (field: string, check: () => void) => {
      if (!recording.ambiguousFields.includes(field)) check()
    }
    const options = { onMalformed: "skip" } as const

    it.effect(`${recording.provider}/${recording.name}`, () =>
      Effect.gen(function* () {
        const { events, failure } = yield* collect(Stream.make(bytes).pipe(OpenAiChat.decode(options)))
        const result = (yield* Stream.make(bytes).pipe(OpenAiChat.decode(options), StreamHandler.runExit())).result
        unless("text", () => assert.strictEqual(result.text, expected.text))
        unless("reasoning", () => assert.strictEqual(result.reasoning, expected.reasoning))
        unless("refusal", () => assert.strictEqual(result.refusal, expected.refusal ?? ""))
        unless("finishReason", () => assert.strictEqual(result.providerFinishReason ?? null, expected.finishReason))
        unless("usageInclusive", () => {
          if (expected.usageInclusive === null) return
          assert.strictEqual(result.usage?.inputTokens.total ?? null, expected.usageInclusive.input)
          assert.strictEqual(result.usage?.outputTokens.total ?? null, expected.usageInclusive.output)
        })
        unless("toolCalls", () => {
          // A stream that was cut gives no call at all, be it whole or not.
          const whole = expected.sawTerminalEvent ? expected.toolCalls.filter((call) => call.argumentsValid) : []
          assert.deepStrictEqual(
            result.toolCalls.map((call) => [call.id, call.name, call.input]),
            whole.map((call) => [call.id, call.name, call.arguments])
          )
        })
        const reason = failure?.reason
        const [error] = expected.errors
        if (error !== undefined) {
          assert.isTrue(reason?._tag === "ProviderFailure" && reason.message === error.message)
        } else if (!expected.sawTerminalEvent) {
          assert.strictEqual(reason?._tag, "Truncated")
        } else {
          assert.isTrue(reason === undefined || reason._tag === "ToolCallIncomplete")
        }
        // However the bytes are split, the events are the same.
        const next = random(bytes.length)
        for (const pieces of [2, 7, Math.min(bytes.length, 200)]) {
          const again = yield* collect(
            Stream.fromIterable(resplit(bytes, pieces, next)).pipe(OpenAiChat.decode(options))
          )
          assert.deepStrictEqual(StreamLaws.join(again.events), StreamLaws.join(events))
          assert.deepStrictEqual(again.failure?.reason, reason)
        }
      })
    )

    it.effect(`${recording.provider}/${recording.name}, cut before its finish reason: no End, no call`, () =>
      Effect.gen(function* () {
        const text = new TextDecoder().decode(bytes)
        const terminal = text.search(/"finish_reason"\s*:\s*"/)
        const before = new TextEncoder().encode(terminal === -1 ? text : text.slice(0, terminal)).length
        const next = random(before)
        const places = Array.from({ length: 30 }, () => Math.floor(next() * before))
        for (
          let at = text.indexOf("\n\n");
          at !== -1 && at < terminal && places.length < 60;
          at = text.indexOf("\n\n", at + 1)
        ) {
          places.push(at + 2)
        }
        for (const place of places) {
          const { events, failure } = yield* collect(
            Stream.make(bytes.subarray(0, place)).pipe(OpenAiChat.decode(options))
          )
          assert.isDefined(failure)
          assert.isFalse(events.some((event) => event._tag === "End" || event._tag === "ToolCall"))
        }
      })
    )
  }
})
