import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Schema } from "effect"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as StreamProcessor from "../../src/StreamProcessor.ts"
import * as StreamArbitrary from "../../src/testing/StreamArbitrary.ts"
import * as StreamLaws from "../../src/testing/StreamLaws.ts"

describe("events", () => {
  it.effect.prop("are whole answers", { input: StreamArbitrary.events() }, ({ input }) =>
    Effect.sync(() => {
      const { failure, items } = input
      assert.deepStrictEqual(
        items.map((event, index) => (event._tag === "Start" ? index : -1)).filter((index) => index >= 0),
        [0]
      )
      const terminals = items.filter(StreamEvent.isTerminal).length
      assert.strictEqual(terminals + (failure === undefined ? 0 : 1), 1)
      assert.isTrue(terminals === 0 || StreamEvent.isTerminal(items.at(-1)!))
      for (const event of items) Schema.encodeSync(StreamEvent.StreamEvent)(event)
    })
  )

  it.effect.prop(
    "give each tool call its own id, and its arguments in fragments before it",
    { input: StreamArbitrary.events() },
    ({ input }) =>
      Effect.sync(() => {
        const calls = input.items.filter(StreamEvent.is("ToolCall"))
        assert.strictEqual(new Set(calls.map((call) => call.id)).size, calls.length)
        for (const call of calls) {
          const before = input.items.slice(0, input.items.indexOf(call)).filter(StreamEvent.is("ToolCallDelta"))
          const fragments = before.filter((event) => event.id === call.id).map((event) => event.delta)
          assert.strictEqual(fragments.join(""), call.argumentsText)
          assert.deepStrictEqual(JSON.parse(call.argumentsText), call.input)
        }
      })
  )

  it.effect("are varied", () =>
    Effect.gen(function* () {
      const inputs = yield* Arbitrary.sampleEffect(StreamArbitrary.events({ words: ["secret"] }), {
        count: 200,
        seed: 1
      })
      const events = inputs.flatMap((input) => input.items)
      assert.sameMembers(Array.from(new Set(events.map((event) => event._tag))), [
        "Start",
        "Delta",
        "Reasoning",
        "Refusal",
        "ToolCallDelta",
        "ToolCall",
        "ToolResult",
        "Metadata",
        "Progress",
        "Error",
        "End"
      ])
      const texts = events.filter(StreamEvent.isText)
      const has = (what: (event: StreamEvent.TextEvent) => boolean) => texts.some(what)
      assert.isTrue(has((event) => event.delta === ""))
      assert.isTrue(has((event) => event.part !== undefined))
      assert.isTrue(has((event) => event.part === undefined))
      assert.isTrue(has((event) => event.delta.includes("secret")))
      assert.isTrue(has((event) => event.delta.includes("secre") && !event.delta.includes("secret")))
      assert.isTrue(has((event) => event.delta.includes("😀")))
      assert.isTrue(has((event) => !event.delta.isWellFormed()))
      assert.isTrue(inputs.some((input) => input.failure !== undefined))
      const ways = new Set(inputs.map(({ groups, sizes }) => `${sizes?.join()}/${groups?.join()}`))
      for (const way of ["Infinity/1", "1/1", "1/Infinity"]) assert.include(Array.from(ways), way)
      assert.isAbove(ways.size, 50)
    })
  )

  it.effect("shrink to little", () =>
    Effect.gen(function* () {
      const perDelta = StreamProcessor.filterMap((event) =>
        event._tag === "Delta" ? { ...event, delta: event.delta.replaceAll("secret", "***") } : event
      )
      const result = yield* Arbitrary.checkEffect(
        StreamArbitrary.events({ words: ["secret"] }),
        (input) => StreamLaws.chunkIndependence(perDelta, input),
        { seed: 1 }
      )
      assert.strictEqual(result._tag, "Falsified")
      if (result._tag !== "Falsified") return
      assert.deepStrictEqual(
        result.shrunkInput.items.map((event) => event._tag),
        ["Start", "Delta", "End"]
      )
    })
  )
})

describe("text, bytes and splits", () => {
  it.effect("bytes are the UTF-8 of text", () =>
    Effect.gen(function* () {
      const inputs = yield* Arbitrary.sampleEffect(StreamArbitrary.bytes({ words: ["é"] }), { count: 50, seed: 1 })
      for (const { items } of inputs) {
        assert.strictEqual(items.length, 1)
        new TextDecoder("utf-8", { fatal: true }).decode(items[0])
      }
    })
  )

  it.effect("text is one whole text, with the words given", () =>
    Effect.gen(function* () {
      const inputs = yield* Arbitrary.sampleEffect(StreamArbitrary.text({ words: ["needle"] }), { count: 50, seed: 1 })
      assert.isTrue(inputs.every(({ items }) => items.length === 1))
      assert.isTrue(inputs.some(({ items }) => items[0]?.includes("needle")))
    })
  )

  it.effect("splits cuts what it is given, or what is generated", () =>
    Effect.gen(function* () {
      const given = yield* Arbitrary.sampleEffect(StreamArbitrary.splits("a recording"), { count: 20, seed: 1 })
      assert.deepStrictEqual(new Set(given.map(({ items }) => items[0])), new Set(["a recording"]))
      assert.isAbove(new Set(given.map(({ sizes }) => sizes?.join())).size, 3)
      const generated = yield* Arbitrary.sampleEffect(
        StreamArbitrary.splits(Arbitrary.schema(Schema.Literals(["a", "b"]))),
        { count: 20, seed: 1 }
      )
      assert.deepStrictEqual(new Set(generated.map(({ items }) => items[0])), new Set(["a", "b"]))
    })
  )
})
