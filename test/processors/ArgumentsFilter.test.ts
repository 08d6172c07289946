import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as ContentFilter from "../../src/processors/ContentFilter.ts"
import * as StreamError from "../../src/StreamError.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as StreamArbitrary from "../../src/testing/StreamArbitrary.ts"
import * as StreamLaws from "../../src/testing/StreamLaws.ts"
import * as StreamTest from "../../src/testing/StreamTest.ts"
import { collect, random, reasonOf, show } from "../support/run.ts"
import { cuts } from "../support/search.ts"

const rules: ReadonlyArray<ContentFilter.Rule> = [
  { name: "key", literals: ["secret", "geheim"], replacement: '"x"' },
  { name: "digits", regExp: /\d{3,5}/, action: "mask" },
  { name: "stop", literal: "forbidden", action: "block" }
]

type Step = StreamEvent.StreamEvent | StreamTest.Step<StreamEvent.StreamEvent, StreamError.StreamError>
const f = (delta: string, id = "1") => StreamEvent.toolCallDelta(0, id, "tool", delta)
const call = (argumentsText: string, id = "1") =>
  StreamEvent.toolCall(0, { id, name: "tool", argumentsText, input: JSON.parse(argumentsText) as unknown })
const end = StreamEvent.end(0, "tool-calls")

const run = (steps: ReadonlyArray<Step>, options?: Partial<ContentFilter.RuleOptions>) =>
  Effect.runSync(collect(ContentFilter.make({ rules, toolArguments: true, ...options })(StreamTest.script(steps))))
const lines = (steps: ReadonlyArray<Step>) => run(steps).events.map(show)
const argumentsOf = (events: ReadonlyArray<StreamEvent.StreamEvent>, id = "1") =>
  events.map((event) => (event._tag === "ToolCallDelta" && event.id === id ? event.delta : "")).join("")

describe("the arguments of tools", () => {
  const json = String.raw`{"secret":"my s\u0065cret, 1234","n":12345,"list":["geheim","x"]}`
  const filtered = String.raw`{"secret":"my \"x\", ****","n":12345,"list":["\"x\"","x"]}`

  it("fragments and the whole call become the same, and stay JSON; each match counts once", () => {
    for (const pieces of cuts(json, random(1))) {
      const { events } = run([...pieces.map((piece) => f(piece)), call(json), end])
      assert.strictEqual(argumentsOf(events), filtered, JSON.stringify(pieces))
      assert.deepStrictEqual(events.find(StreamEvent.is("ToolCall")), call(filtered))
      assert.deepStrictEqual(events.find(StreamEvent.is("Metadata"))?.metadata, { hits: { key: 2, digits: 1 } })
    }
    const whole = run([call(json), end]).events
    assert.deepStrictEqual(whole[0], call(filtered))
    assert.deepStrictEqual(whole.find(StreamEvent.is("Metadata"))?.metadata, { hits: { key: 2, digits: 1 } })
  })

  it("are left alone by default, and a call without a match is the same event", () => {
    const event = call(json)
    assert.strictEqual(run([event, end], { toolArguments: false }).events[0], event)
    const harmless = call('{"secret": 1}')
    assert.strictEqual(run([harmless, end]).events[0], harmless)
  })

  it("text and no JSON is one string", () => {
    const custom = StreamEvent.toolCall(0, { id: "1", name: "t", argumentsText: "a secret", input: "a secret" })
    const [first] = run([custom, end]).events
    assert.deepStrictEqual(first, { ...custom, argumentsText: 'a "x"', input: 'a "x"' })
  })

  it("what is behind held-back arguments waits, but for Progress; the call's end releases them", () => {
    const progress = StreamEvent.progress(0, "ping")
    const usage = StreamEvent.metadata(0, "usage")
    assert.deepStrictEqual(
      lines([f(""), f('{"a":"se'), usage, progress, f('{"b":1}', "2"), f("cre", "1"), f('t se"}'), f("", "2"), end]),
      [
        "ToolCallDelta 1 tool ",
        'ToolCallDelta 1 tool {"a":"',
        show(progress),
        String.raw`ToolCallDelta 1 tool \"x\" `,
        show(usage),
        'ToolCallDelta 2 tool {"b":1}',
        'ToolCallDelta 1 tool se"}',
        "ToolCallDelta 2 tool ",
        show(StreamEvent.metadata(0, "content-filter", { metadata: { hits: { key: 1 } } })),
        show(end)
      ]
    )
  })

  it("what is blocked never leaves, nor what comes behind it", () => {
    const blocked = '{"a":"x","b":"so forbidden","c":"y"}'
    for (const pieces of cuts(blocked, random(2))) {
      const { events, failure } = run([...pieces.map((piece) => f(piece)), call(blocked), end])
      assert.strictEqual(argumentsOf(events), '{"a":"x","b":"so ')
      assert.isUndefined(events.find(StreamEvent.is("ToolCall")))
      assert.deepStrictEqual(reasonOf(failure, "ContentBlocked"), { _tag: "ContentBlocked", rule: "stop", offset: 3 })
    }
    const whole = run([call(blocked), end])
    assert.deepStrictEqual(
      whole.events.map((event) => event._tag),
      ["Metadata"]
    )
    assert.strictEqual(whole.failure?.reason._tag, "ContentBlocked")
  })

  it("a failure comes behind what was held back", () => {
    const failure = StreamError.make({ _tag: "SourceFailure", cause: "reset" })
    const { events, failure: seen } = run([f('{"a":"secre'), f('{"a":"12', "2"), StreamTest.fail(failure)])
    assert.strictEqual(seen, failure)
    assert.strictEqual(argumentsOf(events), '{"a":"secre')
    assert.strictEqual(argumentsOf(events, "2"), '{"a":"12')
  })

  it("what waits is bounded: at the limit it passes, above it fails behind what waited", () => {
    const steps = [f('{"a":"secre'), StreamEvent.metadata(0, "m"), f('{"b":1}', "2"), f("y"), end]
    let limit = 0
    while (run(steps, { maxWaiting: limit }).failure !== undefined) limit++
    assert.isAbove(limit, 20)
    const { events, failure } = run(steps, { maxWaiting: limit - 1 })
    assert.deepStrictEqual(reasonOf(failure, "BufferOverflow"), {
      _tag: "BufferOverflow",
      limit: limit - 1,
      size: limit
    })
    assert.strictEqual(argumentsOf(events, "2"), '{"b":1}')
  })

  it.effect.prop(
    "the laws of a processor",
    { input: StreamArbitrary.events({ words: ["secret", "geheim", "1234", '{"a":"', '"}'] }) },
    ({ input }) => StreamLaws.all(ContentFilter.make({ rules, toolArguments: true }), input)
  )
})
