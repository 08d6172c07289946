import { assert, describe, expect, expectTypeOf, it } from "@effect/vitest"
import { Arbitrary, Effect, Schema } from "effect"
import type * as Response from "effect/ai/Response"
import * as StreamCallbacks from "../src/StreamCallbacks.ts"
import * as StreamEvent from "../src/StreamEvent.ts"
import * as StreamHandler from "../src/StreamHandler.ts"
import * as StreamResult from "../src/StreamResult.ts"
import * as StreamTest from "../src/testing/StreamTest.ts"

const codec = Schema.fromJsonString(StreamResult.StreamResult)

// JSON has no Infinity, no NaN and no -0; no figure of a stream is one.
const isJson = (value: unknown): boolean =>
  typeof value === "number"
    ? Number.isFinite(value) && !Object.is(value, -0)
    : typeof value !== "object" || value === null || Object.values(value).every(isJson)

describe("StreamResult", () => {
  it.prop(
    "goes through JSON and comes back",
    { result: Arbitrary.filter(Arbitrary.schema(StreamResult.StreamResult), isJson) },
    ({ result }) => {
      const json = Schema.encodeSync(codec)(result)
      expect(Schema.decodeSync(codec)(json)).toEqual(result)
      assert.strictEqual(Schema.encodeSync(codec)(Schema.decodeSync(codec)(json)), json)
    }
  )

  it.effect("has no tool call that was cut short; its fragments went by as events", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const fragments = StreamCallbacks.on("ToolCallDelta", (event) => Effect.sync(() => seen.push(event.delta)))
      const call = { id: "call_0", name: "search", argumentsText: "{}", input: {} }
      const cut = StreamTest.answer([
        StreamEvent.toolCall(0, call),
        StreamEvent.toolCallDelta(0, "call_1", "search", '{"query": '),
        StreamEvent.toolCallDelta(0, "call_1", "search", '"Eff'),
        StreamTest.fail("reset")
      ])
      const { result } = yield* cut.pipe(StreamHandler.runExit(), Effect.provide(fragments))
      assert.deepStrictEqual(result.toolCalls, [call])
      assert.strictEqual(seen.join(""), '{"query": "Eff')
    })
  )

  it("keeps what is not known unknown", () => {
    const stats: StreamResult.Stats = {
      outcome: "failed",
      id: undefined,
      totalTokens: 0,
      tokenSource: "counter",
      eventsCount: 0,
      charsCount: 0,
      firstTokenMs: undefined,
      totalDurationMs: 0
    }
    assert.deepStrictEqual(JSON.parse(JSON.stringify(Schema.encodeSync(StreamResult.Stats)(stats))), {
      outcome: "failed",
      totalTokens: 0,
      tokenSource: "counter",
      eventsCount: 0,
      charsCount: 0,
      totalDurationMs: 0
    })
    assert.deepStrictEqual(Schema.decodeUnknownSync(StreamResult.Usage)({ inputTokens: {}, outputTokens: {} }), {
      inputTokens: {},
      outputTokens: {}
    })
  })

  it("refuses an outcome and a finish reason that do not exist", () => {
    assert.throws(() => Schema.decodeUnknownSync(StreamResult.FinishReason)("end_turn"))
    assert.throws(() =>
      Schema.decodeUnknownSync(StreamResult.Stats)({
        outcome: "over",
        totalTokens: 0,
        tokenSource: "counter",
        eventsCount: 0,
        charsCount: 0,
        totalDurationMs: 0
      })
    )
  })

  it("has finish reasons and usage in the shape of effect/ai", () => {
    expectTypeOf<StreamResult.FinishReason>().toEqualTypeOf<Response.FinishReason>()
    expectTypeOf<(typeof Response.Usage)["Encoded"]>().toExtend<StreamResult.Usage>()
  })
})
