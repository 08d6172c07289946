import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import * as Budget from "../../src/processors/Budget.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as StreamArbitrary from "../../src/testing/StreamArbitrary.ts"
import * as StreamLaws from "../../src/testing/StreamLaws.ts"
import * as StreamTest from "../../src/testing/StreamTest.ts"
import * as TokenCounter from "../../src/TokenCounter.ts"
import { collect, show } from "../support/run.ts"

const text = (delta: string) => StreamEvent.delta(0, delta)
const thought = (delta: string) => StreamEvent.reasoning(0, delta)
const piece = (delta: string) => StreamEvent.toolCallDelta(0, "a", "f", delta)
const call = StreamEvent.toolCall(0, { id: "a", name: "f", argumentsText: "{}", input: {} })
const usage = StreamEvent.metadata(0, "usage")
const alive = StreamEvent.progress(0, "ping")
const start = StreamEvent.start(0)
const end = StreamEvent.end(0, "stop")

const run = (options: Budget.Options, events: ReadonlyArray<StreamEvent.StreamEvent>) =>
  Effect.map(collect(Budget.make(options)(Stream.fromIterable(events))), ({ events, failure }) => [
    ...StreamLaws.join(events).map((event) =>
      event._tag === "Start" || event._tag === "Progress"
        ? event._tag
        : event._tag === "End"
          ? `End ${event.finishReason}`
          : event._tag === "Metadata"
            ? `Metadata ${event.kind}`
            : event._tag === "ToolCall"
              ? "ToolCall"
              : show(event)
    ),
    ...(failure === undefined ? [] : [failure.message])
  ])

const expects = (
  name: string,
  options: Budget.Options,
  events: ReadonlyArray<StreamEvent.StreamEvent>,
  expected: ReadonlyArray<string>
) => it.effect(name, () => Effect.map(run(options, events), (lines) => assert.deepStrictEqual(lines, expected)))

const over = (limit: number, unit: string) => `Budget of ${limit} ${unit} exceeded`

describe("chars", () => {
  expects(
    "exactly the limit fits",
    { chars: 5 },
    [start, text("abc"), thought("de"), end],
    ["Start", 'Delta "abc"', 'Reasoning "de"', "End stop"]
  )
  expects(
    "one more does not, and what fits of it comes first",
    { chars: 4 },
    [start, text("abc"), thought("de"), end],
    ["Start", 'Delta "abc"', 'Reasoning "d"', over(4, "chars")]
  )
  expects(
    "code points are counted, and none is torn",
    { chars: 2 },
    [text("a😀"), text("b")],
    ['Delta "a😀"', over(2, "chars")]
  )
  expects(
    "also where its halves come apart",
    { chars: 2 },
    [text("a\ud83d"), text("\ude00b")],
    ['Delta "a😀"', over(2, "chars")]
  )
  expects("arguments of tool calls count", { chars: 1 }, [piece('{"a"')], ["ToolCallDelta a f {", over(1, "chars")])
  expects(
    "nothing fits in 0",
    { chars: 0 },
    [start, usage, text(""), text("a")],
    ["Start", "Metadata usage", over(0, "chars")]
  )
})

describe("tokens", () => {
  expects(
    "words by default, cut where the first too many begins",
    { tokens: 3 },
    [text("one two th"), text("ree four")],
    ['Delta "one two three "', over(3, "tokens")]
  )
  expects(
    "of all texts together",
    { tokens: 3 },
    [thought("one two"), text("three"), piece("four")],
    ['Reasoning "one two"', 'Delta "three"', "ToolCallDelta a f ", over(3, "tokens")]
  )

  it.effect("by the TokenCounter in force", () =>
    Effect.gen(function* () {
      const lines = yield* run({ tokens: 5 }, [text("abc"), text("defg")])
      assert.deepStrictEqual(lines, ['Delta "abcde"', over(5, "tokens")])
    }).pipe(
      Effect.provide(
        Layer.succeed(TokenCounter.TokenCounter, {
          open() {
            let count = 0
            return {
              push: (text) => void (count += text.length),
              get count() {
                return count
              }
            }
          }
        })
      )
    )
  )
})

describe("events and tool calls", () => {
  expects(
    "events",
    { events: 2 },
    [start, text("a"), alive, usage, alive, text("b"), end],
    ["Start", 'Delta "a"', "Progress", "Metadata usage", "Progress", over(2, "events")]
  )
  expects(
    "tool calls, behind the pieces of the one too many",
    { toolCalls: 1 },
    [piece("{}"), call, piece("{}"), call],
    ["ToolCallDelta a f {}", "ToolCall", "ToolCallDelta a f {}", over(1, "toolCalls")]
  )
  expects(
    "a budget that is kept changes nothing",
    { events: 2, toolCalls: 1, chars: 3, tokens: 1 },
    [call, text("a"), end],
    ["ToolCall", 'Delta "a"', "End stop"]
  )
})

describe("cost", () => {
  expects(
    "is tokens by their price",
    { cost: { limit: 0.5, perToken: 0.2 } },
    [text("one two three four")],
    ['Delta "one two "', over(0.5, "cost")]
  )
  expects(
    "the tighter of two limits is named",
    { tokens: 1, cost: { limit: 0.5, perToken: 0.2 } },
    [text("one two")],
    ['Delta "one "', over(1, "tokens")]
  )
})

describe("onExceeded", () => {
  expects(
    "end",
    { chars: 1, onExceeded: "end" },
    [start, text("ab"), text("c"), end],
    ["Start", 'Delta "a"', "Metadata budget", "End length"]
  )

  it.effect("either way the source is released before anything more is paid for", () =>
    Effect.gen(function* () {
      for (const onExceeded of ["fail", "end"] as const) {
        const probe = yield* StreamTest.probe(StreamTest.script([text("ab"), text("c"), StreamTest.stall]))
        yield* collect(Budget.make({ chars: 1, onExceeded })(probe.stream))
        const { pulls, releases, violations } = yield* probe.report
        assert.deepStrictEqual([pulls, releases, violations], [1, 1, []])
      }
    })
  )

  it.effect("a failure of the source stays what it is", () =>
    Effect.gen(function* () {
      const { failure } = yield* collect(
        Budget.make({ chars: 1 })(StreamTest.script([text("a"), StreamTest.fail("no")]))
      )
      assert.strictEqual(failure, "no")
    })
  )
})

describe("options", () => {
  it("that are impossible throw and are named", () => {
    for (const name of ["tokens", "chars", "events", "toolCalls"] as const) {
      for (const limit of [-1, NaN]) assert.throws(() => Budget.make({ [name]: limit }), RangeError, name)
      assert.doesNotThrow(() => Budget.make({ [name]: Infinity }))
    }
    assert.throws(() => Budget.make({ cost: { limit: -1, perToken: 1 } }), RangeError, /cost\.limit/)
    for (const perToken of [0, -1, NaN, Infinity]) {
      assert.throws(() => Budget.make({ cost: { limit: 1, perToken } }), RangeError, /cost\.perToken/)
    }
  })
})

describe("laws", () => {
  const budgets: ReadonlyArray<Budget.Options> = [
    { chars: 5 },
    { chars: 40, onExceeded: "end" },
    { tokens: 3 },
    { tokens: 2, chars: 9, onExceeded: "end" },
    { toolCalls: 1 },
    {}
  ]
  for (const options of budgets) {
    it.effect.prop(`of processors: ${JSON.stringify(options)}`, { input: StreamArbitrary.events() }, ({ input }) =>
      StreamLaws.all(Budget.make(options), input)
    )
  }
})
