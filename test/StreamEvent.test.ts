import { assert, describe, expect, expectTypeOf, it } from "@effect/vitest"
import { Arbitrary, Cause, Effect, Exit, Fiber, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as StreamError from "../src/StreamError.ts"
import * as StreamEvent from "../src/StreamEvent.ts"
import * as StreamHandler from "../src/StreamHandler.ts"
import * as StreamArbitrary from "../src/testing/StreamArbitrary.ts"
import * as StreamLaws from "../src/testing/StreamLaws.ts"
import * as StreamTest from "../src/testing/StreamTest.ts"
import { collect, pulls, random } from "./support/run.ts"

const codec = Schema.fromJsonString(StreamEvent.StreamEvent)

const failure = StreamError.make({ _tag: "BufferOverflow", limit: 1, size: 2 }, { context: { id: "resp_0" } })

const call = { id: "call_0", name: "search", argumentsText: '{"q":1}', input: { q: 1 } }
const result = { id: "call_0", name: "search", output: [1, null, "x"], isError: false }

/** One of each, made by its constructor. */
const all: ReadonlyArray<StreamEvent.StreamEvent> = [
  StreamEvent.start(1, { id: "resp_0", model: "m" }),
  StreamEvent.delta(2, "Hello", "0"),
  StreamEvent.reasoning(3, "hm"),
  StreamEvent.refusal(4, "no"),
  StreamEvent.toolCallDelta(5, "call_0", "search", '{"q"'),
  StreamEvent.toolCall(6, call),
  StreamEvent.toolResult(7, result),
  StreamEvent.metadata(8, "usage", {
    usage: { inputTokens: { total: 1 }, outputTokens: { total: 2 } },
    finishReason: "stop",
    providerFinishReason: "end_turn",
    metadata: { raw: { input: 1 } }
  }),
  StreamEvent.progress(9, "ping"),
  StreamEvent.error(10, failure),
  StreamEvent.end(11, "stop")
]

const tagsOf = (events: ReadonlyArray<StreamEvent.StreamEvent>) => events.map((event) => event._tag)

describe("schema", () => {
  it.each(all)("goes through JSON and comes back: $_tag", (event) => {
    const json = Schema.encodeSync(codec)(event)
    const decoded = Schema.decodeSync(codec)(json)
    if (event._tag === "Error" && decoded._tag === "Error") {
      assert.isTrue(StreamError.isStreamError(decoded.error))
      assert.deepStrictEqual([decoded.error.reason, decoded.error.context], [failure.reason, failure.context])
    } else {
      expect(decoded).toEqual(event)
    }
    assert.strictEqual(Schema.encodeSync(codec)(decoded), json)
  })

  // JSON has no Infinity, no NaN and no -0; no figure of an event is one.
  const isJson = (value: unknown): boolean =>
    typeof value === "number"
      ? Number.isFinite(value) && !Object.is(value, -0)
      : typeof value !== "object" || value === null || Object.values(value).every(isJson)
  const Events = Arbitrary.filter(Arbitrary.schema(StreamEvent.StreamEvent), (event) =>
    isJson(Schema.encodeSync(StreamEvent.StreamEvent)(event))
  )
  it.prop("goes through JSON and comes back, whatever it holds", { event: Events }, ({ event }) => {
    const json = Schema.encodeSync(codec)(event)
    const decoded = Schema.decodeSync(codec)(json)
    assert.strictEqual(Schema.encodeSync(codec)(decoded), json)
    if (event._tag !== "Error") expect(decoded).toEqual(event)
  })

  it("keeps halves of surrogate pairs apart, as a provider may send them", () => {
    const halves = ["\ud83d", "\ude00"].map((half) =>
      Schema.decodeSync(codec)(Schema.encodeSync(codec)(StreamEvent.delta(0, half)))
    )
    const deltas = halves.filter(StreamEvent.is("Delta")).map((event) => event.delta)
    assert.deepStrictEqual(deltas, ["\ud83d", "\ude00"])
  })

  it("does not carry a failure's partial result", () => {
    const { result } = Effect.runSync(StreamHandler.runExit()(StreamEvent.fromText(Stream.make("secret"))))
    const event = StreamEvent.error(0, StreamError.withPartial(failure, result))
    assert.notInclude(Schema.encodeSync(codec)(event), "secret")
    assert.notInclude(JSON.stringify(event), "secret")
  })

  it("refuses what is no event", () => {
    for (const value of [
      {},
      { _tag: "Delta", timestamp: 0 },
      { _tag: "delta", timestamp: 0, delta: "" },
      null,
      "Delta"
    ]) {
      assert.isTrue(Exit.isFailure(Schema.decodeUnknownExit(StreamEvent.StreamEvent)(value)))
    }
  })

  it("says what an event looks like in JSON, by its type", () => {
    const encoded: StreamEvent.StreamEventEncoded = Schema.encodeSync(StreamEvent.StreamEvent)(all[9]!)
    assert.deepStrictEqual(JSON.parse(JSON.stringify(encoded)), {
      _tag: "Error",
      timestamp: 10,
      error: {
        _tag: "StreamError",
        reason: { _tag: "BufferOverflow", limit: 1, size: 2 },
        context: { id: "resp_0" }
      }
    })
  })
})

describe("constructors", () => {
  it("make one event of each kind", () => {
    const kinds = new Set<StreamEvent.StreamEventType>(tagsOf(all))
    assert.strictEqual(kinds.size, all.length)
    expectTypeOf<(typeof all)[number]["_tag"]>().toEqualTypeOf<StreamEvent.StreamEventType>()
  })

  it("make objects of one shape, whatever is given", () => {
    const shape = (event: StreamEvent.StreamEvent) => Object.keys(event).join()
    assert.strictEqual(shape(StreamEvent.delta(0, "a")), shape(StreamEvent.delta(0, "a", "0")))
    assert.strictEqual(shape(StreamEvent.start(0)), shape(StreamEvent.start(0, { id: "a", model: "m" })))
    assert.strictEqual(
      shape(StreamEvent.metadata(0, "usage")),
      shape(StreamEvent.metadata(0, "usage", { finishReason: "stop", metadata: {} }))
    )
    assert.strictEqual(
      shape(StreamEvent.end(0)),
      shape({ ...StreamEvent.end(0, "stop"), content: "", stats: undefined })
    )
  })

  it("End says that nobody gave a finish reason where none is given", () => {
    assert.strictEqual(StreamEvent.end(0).finishReason, "unknown")
  })
})

describe("guards", () => {
  it("isContent: answer text that is not empty", () => {
    assert.deepStrictEqual(tagsOf(all.filter(StreamEvent.isContent)), ["Delta"])
    assert.isFalse(StreamEvent.isContent(StreamEvent.delta(0, "")))
    assert.isTrue(StreamEvent.isContent(StreamEvent.delta(0, " ")))
  })

  it("isText: what the model says, empty or not", () => {
    assert.deepStrictEqual(tagsOf(all.filter(StreamEvent.isText)), ["Delta", "Reasoning", "Refusal"])
    assert.isTrue(StreamEvent.isText(StreamEvent.reasoning(0, "")))
  })

  it("isTerminal: End and Error", () => {
    assert.deepStrictEqual(tagsOf(all.filter(StreamEvent.isTerminal)), ["Error", "End"])
  })

  it("is: one of several tags, and the type knows it", () => {
    const some = all.filter(StreamEvent.is("Delta", "End"))
    expectTypeOf(some).toEqualTypeOf<Array<StreamEvent.Delta | StreamEvent.End>>()
    assert.deepStrictEqual(tagsOf(some), ["Delta", "End"])
    assert.deepStrictEqual(all.filter(StreamEvent.is()), [])
  })
})

describe("fromText", () => {
  it.effect("gives Start at once, each chunk as it comes, End at the end, each with its time", () =>
    Effect.gen(function* () {
      const source = StreamTest.script([StreamTest.delay(500), "Hello", StreamTest.delay(20), " World"])
      const events: Array<StreamEvent.StreamEvent> = []
      yield* TestClock.setTime(1_000)
      const fiber = yield* source.pipe(
        StreamEvent.fromText,
        Stream.runForEach((event) => Effect.sync(() => events.push(event))),
        Effect.forkChild({ startImmediately: true })
      )
      assert.deepStrictEqual(events, [StreamEvent.start(1_000)])
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(events.slice(1), [
        StreamEvent.delta(1_500, "Hello"),
        StreamEvent.delta(1_520, " World"),
        StreamEvent.end(1_520)
      ])
    })
  )

  it.effect("keeps chunks together that came together, and drops empty ones", () =>
    Effect.gen(function* () {
      const source = StreamTest.script([StreamTest.together("a", "", "b"), StreamTest.together("", ""), "", "c"])
      const arrays = yield* Stream.runCollect(Stream.chunks(StreamEvent.fromText(source)))
      assert.deepStrictEqual(
        arrays.map((events) => events.map((event) => (event._tag === "Delta" ? event.delta : event._tag))),
        [["Start"], ["a", "b"], ["c"], ["End"]]
      )
    })
  )

  it.effect("of an empty source is Start and End", () =>
    Effect.gen(function* () {
      const events = yield* Stream.runCollect(StreamEvent.fromText(Stream.empty))
      assert.deepStrictEqual(tagsOf(events), ["Start", "End"])
    })
  )

  it.effect("passes a failure on, with what came before it and no End", () =>
    Effect.gen(function* () {
      const events: Array<StreamEvent.StreamEvent> = []
      const broken = StreamEvent.fromText(StreamTest.script(["a", StreamTest.fail("reset" as const)]))
      expectTypeOf(broken).toEqualTypeOf<Stream.Stream<StreamEvent.StreamEvent, "reset">>()
      const error = yield* broken.pipe(
        Stream.runForEach((event) => Effect.sync(() => events.push(event))),
        Effect.flip
      )
      assert.strictEqual(error, "reset")
      assert.deepStrictEqual(tagsOf(events), ["Start", "Delta"])
    })
  )

  it.effect("does not pull a source that is done, and starts anew in each run", () =>
    Effect.gen(function* () {
      const probe = yield* StreamTest.probe(Stream.make("a", "b"))
      const events = StreamEvent.fromText(probe.stream)
      const pull = yield* Stream.toPull(events)
      for (let i = 0; i < 3; i++) yield* pull
      assert.isTrue(Exit.isFailure(yield* Effect.exit(pull)))
      assert.isTrue(Exit.isFailure(yield* Effect.exit(pull)))
      assert.deepStrictEqual((yield* probe.report).pullsAfterEnd, 0)
      assert.deepStrictEqual(tagsOf(yield* Stream.runCollect(events)), ["Start", "Delta", "Delta", "End"])
    })
  )

  it.effect("survives a million empty chunks, and one chunk of 10 MB", () =>
    Effect.gen(function* () {
      const nothing = Array.from({ length: 500_000 }, () => "")
      // Half of them one by one, half of them at once.
      const empty = Stream.fromIterable(nothing).pipe(Stream.rechunk(1), Stream.concat(Stream.fromArray(nothing)))
      const large = "0123456789".repeat(1_000_000)
      const events = yield* Stream.concat(empty, Stream.make(large)).pipe(StreamEvent.fromText, Stream.runCollect)
      assert.deepStrictEqual(tagsOf(events), ["Start", "Delta", "End"])
      assert.isTrue(events.find(StreamEvent.is("Delta"))?.delta === large)
    })
  )
})

describe("text", () => {
  it.effect("gives the answer, and neither reasoning nor refusals nor tool calls", () =>
    Effect.gen(function* () {
      const events = Stream.fromIterable([...all.slice(0, -2), StreamEvent.delta(0, ""), StreamEvent.delta(0, "!")])
      assert.deepStrictEqual(yield* Stream.runCollect(StreamEvent.text(events)), ["Hello", "!"])
    })
  )

  it.effect("is the way back from fromText", () =>
    Effect.gen(function* () {
      const chunks = yield* Stream.make("a", "", "\ud83d", "b").pipe(
        StreamEvent.fromText,
        StreamEvent.text,
        Stream.runCollect
      )
      assert.deepStrictEqual(chunks, ["a", "\ud83d", "b"])
    })
  )

  it("keeps failures and services in its type", () => {
    const typed = StreamEvent.text(Stream.fail("reset" as const))
    expectTypeOf(typed).toEqualTypeOf<Stream.Stream<string, "reset">>()
  })
})

describe("catchToEvent", () => {
  const shown = <E>(error: E) =>
    StreamTest.script(["a", StreamTest.fail(error)]).pipe(
      StreamEvent.fromText,
      StreamEvent.catchToEvent,
      Stream.runCollect
    )

  it.effect("shows a StreamError as it is, behind what had arrived", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(7)
      const events = yield* shown(failure)
      assert.deepStrictEqual(tagsOf(events), ["Start", "Delta", "Error"])
      const last = events.at(-1)
      assert.strictEqual(last?._tag === "Error" && last.error, failure)
      assert.strictEqual(last?.timestamp, 7)
    })
  )

  it.effect("wraps any other error in SourceFailure", () =>
    Effect.gen(function* () {
      const cause = { reset: true }
      const last = (yield* shown(cause)).at(-1)
      assert.deepStrictEqual(last?._tag === "Error" && last.error.reason, { _tag: "SourceFailure", cause })
    })
  )

  it.effect("leaves a stream without failure alone", () =>
    Effect.gen(function* () {
      const events = Stream.make("a").pipe(StreamEvent.fromText, StreamEvent.catchToEvent)
      expectTypeOf(StreamEvent.catchToEvent(Stream.fail("reset"))).toEqualTypeOf<
        Stream.Stream<StreamEvent.StreamEvent>
      >()
      assert.deepStrictEqual(tagsOf(yield* Stream.runCollect(events)), ["Start", "Delta", "End"])
    })
  )

  it.effect("leaves defects and interruption what they are", () =>
    Effect.gen(function* () {
      const run = <A>(self: Stream.Stream<StreamEvent.StreamEvent, A>) =>
        Effect.exit(Stream.runDrain(StreamEvent.catchToEvent(self)))
      const died = yield* run(Stream.die("bug"))
      assert.isTrue(Exit.isFailure(died) && Cause.hasDies(died.cause))
      const interrupted = yield* run(Stream.fromEffect(Effect.interrupt))
      assert.isTrue(Exit.isFailure(interrupted) && Cause.hasInterruptsOnly(interrupted.cause))
    })
  )

  it.effect("keeps the partial result of a handled stream", () =>
    Effect.gen(function* () {
      const events = yield* Stream.make("12", "34").pipe(
        StreamEvent.fromText,
        StreamHandler.events({ maxBufferSize: 3 }),
        StreamEvent.catchToEvent,
        Stream.runCollect
      )
      const last = events.at(-1)
      assert.strictEqual(last?._tag === "Error" && last.error.partial?.text, "12")
    })
  )
})

describe("validate", () => {
  const start = StreamEvent.start(0)
  const end = StreamEvent.end(0, "stop")
  const a = StreamEvent.delta(0, "a")
  const fragment = StreamEvent.toolCallDelta(0, "call_0", "search", '{"q"')
  const whole = StreamEvent.toolCall(0, call)
  const answer = StreamEvent.toolResult(0, result)
  const other = StreamEvent.toolCall(0, { ...call, id: "call_1" })
  const shown = StreamEvent.error(0, failure)

  const run = (events: ReadonlyArray<StreamEvent.StreamEvent>) =>
    Effect.runSync(collect(StreamEvent.validate(StreamTest.script(events))))

  it.each([
    ["an answer without text", [start, end]],
    ["any number of content, metadata and progress events", [start, ...all.slice(1, -2), end]],
    ["a call without fragments", [start, whole, end]],
    ["fragments without a call: it was cut, or is reported as Metadata", [start, fragment, end]],
    ["fragments of two calls in turn", [start, fragment, { ...fragment, id: "call_1" }, fragment, other, whole, end]],
    ["results without a call, before it and more than one", [start, answer, whole, answer, answer, end]],
    ["a failure shown in-band", [start, a, shown]]
  ])("lets pass %s", (_, events) => {
    assert.deepStrictEqual(run(events), { events, failure: undefined })
  })

  it.each<readonly [name: string, events: ReadonlyArray<StreamEvent.StreamEvent>, passed: number, message: string]>([
    ["nothing but content", [a, end], 0, "Expected Start first, got Delta"],
    ["only a terminal", [end], 0, "Expected Start first, got End"],
    ["a second Start", [start, a, start, end], 2, "Expected one Start only, got another"],
    ["an event behind End", [start, end, a], 2, "Expected nothing behind End, got Delta"],
    ["a second End", [start, end, end], 2, "Expected nothing behind End, got End"],
    ["a Start behind End", [start, end, start], 2, "Expected nothing behind End, got Start"],
    ["an event behind Error", [start, shown, end], 2, "Expected nothing behind Error, got End"],
    [
      "a fragment behind its call",
      [start, fragment, whole, other, fragment, end],
      4,
      "Expected no more of tool call call_0 behind its ToolCall, got ToolCallDelta"
    ],
    [
      "a call that comes twice",
      [start, whole, whole, end],
      2,
      "Expected no more of tool call call_0 behind its ToolCall, got ToolCall"
    ]
  ])("stops at %s, behind what was well-formed", (_, events, passed, message) => {
    for (const run of [StreamTest.script(events), StreamTest.script([StreamTest.together(...events)])]) {
      const { events: out, failure } = Effect.runSync(collect(StreamEvent.validate(run)))
      assert.deepStrictEqual(out, events.slice(0, passed))
      assert.strictEqual(failure?.reason._tag, "ProtocolViolation")
      assert.strictEqual(failure?.message, message)
    }
  })

  it.each([
    ["nothing", [], "its Start event"],
    ["a Start", [start], "its End event"],
    ["content", [start, a], "its End event"]
  ] as const)("what stops behind %s is Truncated", (_, events, expected) => {
    const { events: out, failure } = run(events)
    assert.deepStrictEqual(out, events)
    assert.deepStrictEqual(failure?.reason, { _tag: "Truncated", expected })
  })

  it("passes a failure of the stream on, wherever it comes, and keeps its type", () => {
    for (const events of [[], [start, a], [start, end]]) {
      const broken = StreamEvent.validate(StreamTest.script([...events, StreamTest.fail("reset" as const)]))
      expectTypeOf(broken).toEqualTypeOf<
        Stream.Stream<StreamEvent.StreamEvent, "reset" | StreamError.StreamErrorOf<"ProtocolViolation" | "Truncated">>
      >()
      assert.deepStrictEqual(Effect.runSync(collect(broken)), { events, failure: "reset" })
    }
  })

  it("keeps events together that came together, and copies none", () => {
    const events = [start, a, whole, answer]
    const [first, ...others] = Effect.runSync(
      pulls(StreamEvent.validate(StreamTest.script([StreamTest.together(...events), end])))
    )
    assert.isTrue(first?.every((event, i) => event === events[i]))
    assert.deepStrictEqual(others, [[end]])
  })

  it.effect("starts anew in each run", () =>
    Effect.gen(function* () {
      const events = StreamEvent.validate(Stream.make(start, whole, end))
      for (let i = 0; i < 2; i++)
        assert.deepStrictEqual(tagsOf(yield* Stream.runCollect(events)), tagsOf([start, whole, end]))
    })
  )

  it.effect.prop("keeps the laws", { input: StreamArbitrary.events() }, ({ input }) =>
    StreamLaws.all(StreamEvent.validate, input, { textOracle: (text) => text })
  )

  /** How many events are well-formed, by looking back over all of them for each. */
  const reference = (events: ReadonlyArray<StreamEvent.StreamEvent>): number => {
    const bad = events.findIndex((event, i) => {
      const before = events.slice(0, i)
      if ((event._tag === "Start") !== (i === 0)) return true
      if (before.some(StreamEvent.isTerminal)) return true
      return StreamEvent.is("ToolCall", "ToolCallDelta")(event)
        ? before.some((earlier) => earlier._tag === "ToolCall" && earlier.id === event.id)
        : false
    })
    return bad === -1 ? events.length : bad
  }

  it.prop(
    "agrees with a naive reference on sequences in which events are lost, repeated and moved",
    { input: StreamArbitrary.events(), seed: Schema.Int },
    ({ input, seed }) => {
      const next = random(seed)
      const events = input.items.flatMap((event) => {
        const chance = next()
        return chance < 0.1 ? [] : chance < 0.2 ? [event, event] : [event]
      })
      if (next() < 0.3) events.push(...events.splice(Math.floor(next() * events.length), 1))
      const { events: out, failure } = run(events)
      const count = reference(events)
      assert.deepStrictEqual(out, events.slice(0, count))
      const isWhole = count === events.length && events.some(StreamEvent.isTerminal)
      const expected = count < events.length ? "ProtocolViolation" : isWhole ? undefined : "Truncated"
      assert.strictEqual(failure?.reason._tag, expected)
    }
  )
})
