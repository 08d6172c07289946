import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { Cause, Data, Effect, Exit, Fiber, Layer, Schedule, Schema, Scope, Sink, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as StreamConfig from "../src/StreamConfig.ts"
import * as StreamError from "../src/StreamError.ts"
import * as StreamEvent from "../src/StreamEvent.ts"
import * as StreamHandler from "../src/StreamHandler.ts"
import type * as StreamProcessor from "../src/StreamProcessor.ts"
import type * as StreamResult from "../src/StreamResult.ts"
import * as StreamStats from "../src/StreamStats.ts"
import * as StreamTest from "../src/testing/StreamTest.ts"
import * as TokenCounter from "../src/TokenCounter.ts"
import { collect, pulls } from "./support/run.ts"

const { delta, end, reasoning, refusal, start } = StreamEvent
const { fail, stall, together } = StreamTest

class Foreign extends Data.TaggedError("Foreign")<{}> {}

const tagsOf = (events: ReadonlyArray<StreamEvent.StreamEvent>) => events.map((event) => event._tag)
const sourceFailure = StreamError.make({ _tag: "SourceFailure", cause: "reset" })
const usage = StreamEvent.metadata(0, "usage", { usage: { inputTokens: { total: 1 }, outputTokens: { total: 2 } } })
const call = { id: "call_0", name: "search", argumentsText: '{"q":1}', input: { q: 1 } }
const toolResult = { id: "call_0", name: "search", output: "found", isError: false }

/** What the callbacks saw of the stream's end, and what was recorded of it: in one list, to show that it is nothing else. */
const traces = Effect.gen(function* () {
  const calls = yield* StreamTest.recorded
  const stats = yield* StreamStats.StreamStats
  return {
    ends: calls.flatMap(({ callback, value }) => {
      if (callback === "onEnd" || callback === "onError") return [callback]
      if (callback !== "onExit") return []
      const { exit, result } = value
      const how = Exit.isSuccess(exit) ? "success" : Cause.hasInterrupts(exit.cause) ? "interrupt" : "failure"
      return [`onExit ${result.stats.outcome} ${how} ${JSON.stringify(result.text)}`]
    }),
    recorded: (yield* stats.recent).map(({ outcome }) => outcome),
    running: (yield* stats.running).length
  }
})
const traced = Effect.provide(Layer.mergeAll(StreamTest.recorder, StreamStats.layerMemory()))

describe("events", () => {
  it.effect("gives each event as it came, and End with the content and the figures", () =>
    Effect.gen(function* () {
      const events = [start(0), reasoning(1, "hm"), delta(2, "a"), usage, delta(3, "b"), end(4, "stop")] as const
      const seen = yield* pulls(StreamHandler.events()(StreamTest.script([events[0], together(...events.slice(1))])))
      assert.deepStrictEqual(seen.map(tagsOf), [["Start"], ["Reasoning", "Delta", "Metadata", "Delta", "End"]])
      events.slice(0, -1).forEach((event, i) => assert.strictEqual(seen.flat()[i], event))
      const last = seen.flat().at(-1)
      assert(last?._tag === "End")
      assert.deepStrictEqual([last.timestamp, last.finishReason, last.content], [4, "stop", "ab"])
      assert.deepStrictEqual([last.stats?.outcome, last.stats?.totalTokens], ["completed", 2])
    })
  )

  it.effect("gives Start before the source has given anything else", () =>
    Effect.gen(function* () {
      const source = StreamEvent.fromText(StreamTest.script([stall]))
      const first = yield* Stream.runHead(StreamHandler.events()(source))
      assert.strictEqual(first._tag === "Some" && first.value._tag, "Start")
    })
  )

  it.effect("of an empty text is Start and End, with no content", () =>
    Effect.gen(function* () {
      const { events, failure } = yield* collect(StreamHandler.events()(StreamEvent.fromText(Stream.empty)))
      assert.deepStrictEqual([tagsOf(events), failure], [["Start", "End"], undefined])
      assert.strictEqual(events.find(StreamEvent.is("End"))?.content, "")
    })
  )

  it.effect("an End's own content and figures are not believed", () =>
    Effect.gen(function* () {
      const { events } = yield* collect(StreamHandler.events()(Stream.make(delta(0, "a"), { ...end(0), content: "z" })))
      assert.strictEqual(events.find(StreamEvent.is("End"))?.content, "a")
    })
  )

  it.effect("drops what is behind a terminal event, and does not pull for it", () =>
    Effect.gen(function* () {
      for (const terminal of [end(0), StreamEvent.error(0, sourceFailure)]) {
        const script = [
          together(delta(0, "a"), terminal, delta(0, "b"), end(0)),
          delta(0, "c"),
          StreamTest.die("pulled")
        ]
        const probe = yield* StreamTest.probe(StreamTest.script(script))
        const { events, failure } = yield* collect(StreamHandler.events()(probe.stream))
        assert.deepStrictEqual([tagsOf(events), failure], [["Delta", terminal._tag], undefined])
        const { pulls, releases, violations } = yield* probe.report
        assert.deepStrictEqual([pulls, releases, violations], [1, 1, []])
      }
      assert.deepStrictEqual((yield* traces).ends, [
        "onEnd",
        'onExit completed success "a"',
        "onError",
        'onExit failed success "a"'
      ])
    }).pipe(traced)
  )

  it.effect("pulls no more behind the end, however often it is asked", () =>
    Effect.gen(function* () {
      const sources: ReadonlyArray<Stream.Stream<StreamEvent.StreamEvent, StreamError.StreamError>> = [
        Stream.make(delta(0, "a"), end(0)),
        Stream.make(delta(0, "a"), StreamEvent.error(0, sourceFailure)),
        StreamTest.script([delta(0, "a"), fail(sourceFailure)]),
        Stream.make(delta(0, "a"))
      ]
      for (const source of sources) {
        const probe = yield* StreamTest.probe(source)
        const pull = yield* Stream.toPull(StreamHandler.events()(probe.stream))
        yield* pull
        const last = yield* Effect.exit(pull)
        assert.isTrue(Exit.isFailure(last))
        assert.deepStrictEqual(yield* Effect.exit(pull), last)
        assert.strictEqual((yield* probe.report).pullsAfterEnd, 0)
      }
    })
  )
})

describe("a stream that does not end well", () => {
  it.effect("fails with Truncated where it just stops, with what had arrived", () =>
    Effect.gen(function* () {
      const { events, failure } = yield* collect(StreamHandler.events()(Stream.make(start(0), delta(0, "a"))))
      assert.deepStrictEqual(tagsOf(events), ["Start", "Delta"])
      assert.deepStrictEqual(failure?.reason, { _tag: "Truncated", expected: "its End event" })
      assert.deepStrictEqual([failure?.partial?.text, failure?.partial?.stats?.outcome], ["a", "failed"])
      const nothing = yield* Effect.flip(StreamHandler.run()(Stream.empty))
      assert.deepStrictEqual([nothing.reason._tag, nothing.partial?.text], ["Truncated", ""])
      assert.deepStrictEqual((yield* traces).ends, [
        "onError",
        'onExit failed failure "a"',
        "onError",
        'onExit failed failure ""'
      ])
    }).pipe(traced)
  )

  it.effect("fails as its source does, behind what had arrived, also before the first chunk", () =>
    Effect.gen(function* () {
      for (const steps of [[], [start(0), delta(0, "a")]]) {
        const { events, failure } = yield* collect(
          StreamHandler.events()(StreamTest.script([...steps, fail(sourceFailure)]))
        )
        assert.deepStrictEqual(events, steps)
        assert.deepStrictEqual(failure?.reason, sourceFailure.reason)
        assert.strictEqual(failure?.partial?.text, steps.length > 0 ? "a" : "")
      }
      // The source's own error is left as it was.
      assert.isUndefined(sourceFailure.partial)
      assert.deepStrictEqual((yield* traces).recorded, ["failed", "failed"])
    }).pipe(traced)
  )

  it.effect("leaves a failure of another type alone", () =>
    Effect.gen(function* () {
      const foreign = new Foreign()
      const { failure } = yield* collect(StreamHandler.events()(StreamTest.script([delta(0, "a"), fail(foreign)])))
      assert.strictEqual(failure, foreign)
      const calls = yield* StreamTest.recorded
      assert.deepStrictEqual(
        calls.filter(({ callback }) => callback === "onError").map(({ value }) => value),
        [foreign]
      )
      assert.notProperty(foreign, "partial")
    }).pipe(traced)
  )

  it.effect("dies as its source does, and tells of it", () =>
    Effect.gen(function* () {
      const { exit, result } = yield* StreamHandler.runExit()(StreamTest.script([delta(0, "a"), StreamTest.die("bug")]))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      assert.strictEqual(result.text, "a")
      const calls = yield* StreamTest.recorded
      assert.deepStrictEqual(
        calls.filter(({ callback }) => callback === "onError").map(({ value }) => value),
        ["bug"]
      )
      assert.deepStrictEqual((yield* traces).ends, ["onError", 'onExit failed failure "a"'])
    }).pipe(traced)
  )

  it.effect("ends where the failure is shown in-band: that is data", () =>
    Effect.gen(function* () {
      const failing = StreamEvent.catchToEvent(StreamTest.script([delta(0, "a"), fail(sourceFailure)]))
      const result = yield* StreamHandler.run()(failing)
      assert.deepStrictEqual([result.text, result.finishReason, result.stats.outcome], ["a", "error", "failed"])
      const given = Stream.make(
        StreamEvent.metadata(0, "finish", { finishReason: "length", providerFinishReason: "max_tokens" }),
        StreamEvent.error(0, sourceFailure)
      )
      assert.strictEqual((yield* StreamHandler.run()(given)).finishReason, "length")
      const { ends } = yield* traces
      assert.deepStrictEqual(ends.slice(0, 2), ["onError", 'onExit failed success "a"'])
    }).pipe(traced)
  )

  it.effect("is told of where it cannot even begin", () =>
    Effect.gen(function* () {
      const sources: ReadonlyArray<Stream.Stream<StreamEvent.StreamEvent, string>> = [
        Stream.unwrap(Effect.fail("refused")),
        Stream.fromPull(Effect.fail("refused")),
        Stream.unwrap(Effect.die("refused")),
        Stream.suspend(() => {
          // oxlint-disable-next-line no-throw-literal
          throw "refused"
        })
      ]
      for (const source of sources) {
        const { exit, result } = yield* StreamHandler.runExit()(source)
        assert.strictEqual(Exit.isFailure(exit) && Cause.squash(exit.cause), "refused")
        assert.strictEqual(result.stats.outcome, "failed")
      }
      assert.deepStrictEqual(
        (yield* traces).ends,
        sources.flatMap(() => ["onError", 'onExit failed failure ""'])
      )
    }).pipe(traced)
  )

  it.effect("a tokenizer that throws is a defect of the stream, and told as one", () =>
    Effect.gen(function* () {
      const picky = { open: () => ({ count: 0, push: (text: string) => assert.notInclude(text, "<|end|>") }) }
      const { exit, result } = yield* Stream.make("a", "<|end|>").pipe(
        Stream.rechunk(1),
        StreamEvent.fromText,
        StreamHandler.runExit(),
        Effect.provideService(TokenCounter.TokenCounter, picky)
      )
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      assert.deepStrictEqual([result.text, result.stats.outcome], ["a<|end|>", "failed"])
      assert.deepStrictEqual((yield* traces).ends, ["onError", 'onExit failed failure "a<|end|>"'])
    }).pipe(traced)
  )
})

describe("limit", () => {
  const text = (...chunks: ReadonlyArray<string>) => Stream.fromIterable(chunks).pipe(StreamEvent.fromText)

  it.effect("takes exactly maxBufferSize; one unit more fails, behind what fitted", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* StreamHandler.runText({ maxBufferSize: 10 })(text("12345", "67890")), "1234567890")
      for (const chunks of [1, 3]) {
        const source = Stream.rechunk(text("12345", "67890", "!"), chunks)
        const { events, failure } = yield* collect(StreamHandler.events({ maxBufferSize: 10 })(source))
        assert.deepStrictEqual(tagsOf(events), ["Start", "Delta", "Delta"])
        assert.deepStrictEqual(failure?.reason, { _tag: "BufferOverflow", limit: 10, size: 11 })
        assert.strictEqual(failure?.partial?.text, "1234567890")
      }
      assert.deepStrictEqual((yield* traces).ends.slice(2, 4), ["onError", 'onExit failed failure "1234567890"'])
    }).pipe(traced)
  )

  it.effect("a first event that does not fit is not delivered, and nothing is pulled behind it", () =>
    Effect.gen(function* () {
      const probe = yield* StreamTest.probe(Stream.make(delta(0, "12345")).pipe(Stream.concat(Stream.never)))
      const { events, failure } = yield* collect(StreamHandler.events({ maxBufferSize: 4 })(probe.stream))
      assert.deepStrictEqual([events, failure?.reason], [[], { _tag: "BufferOverflow", limit: 4, size: 5 }])
      assert.deepStrictEqual((yield* probe.report).violations, [])
    })
  )

  it.effect("counts answer, reasoning, refusal, tool calls, tool results and metadata together", () =>
    Effect.gen(function* () {
      const large = "x".repeat(40)
      const kept: ReadonlyArray<StreamEvent.StreamEvent> = [
        delta(0, large),
        reasoning(0, large),
        refusal(0, large),
        StreamEvent.toolCall(0, { ...call, argumentsText: large }),
        StreamEvent.toolCall(0, { ...call, input: { q: large } }),
        StreamEvent.toolResult(0, { ...toolResult, output: [large] }),
        StreamEvent.metadata(0, "source", { metadata: { url: large } }),
        StreamEvent.metadata(0, "source", { metadata: { [large]: 1 } })
      ]
      for (const event of kept) {
        const run = (limit: number) =>
          StreamHandler.runExit({ maxBufferSize: limit })(Stream.make(reasoning(0, "12345"), event, end(0)))
        assert.isTrue(Exit.isSuccess((yield* run(100)).exit), event._tag)
        const { exit, result } = yield* run(44)
        assert.strictEqual(Exit.isFailure(exit), true, event._tag)
        assert.strictEqual(result.reasoning, "12345")
      }
      const free = [start(0), StreamEvent.progress(0, large), StreamEvent.toolCallDelta(0, "call_0", "search", large)]
      yield* StreamHandler.run({ maxBufferSize: 0 })(Stream.make(...free, end(0)))
    })
  )

  it.effect("comes from StreamConfig, and an explicit one wins", () =>
    Effect.gen(function* () {
      const limitOf = (options?: StreamHandler.Options) =>
        Effect.map(Effect.flip(StreamHandler.run(options)(text("12345678"))), ({ reason }) =>
          reason._tag === "BufferOverflow" ? reason.limit : undefined
        )
      assert.strictEqual(yield* limitOf(), 4)
      assert.strictEqual(yield* limitOf({ maxBufferSize: undefined }), 4)
      assert.strictEqual(yield* limitOf({ maxBufferSize: 6 }), 6)
    }).pipe(Effect.provide(StreamConfig.layer({ maxBufferSize: 4 })))
  )

  it("is 16 Mi unless told", () => {
    const large = "x".repeat(16 * 1024 * 1024)
    assert.strictEqual(Effect.runSync(StreamHandler.runText()(text(large))).length, large.length)
    const error = Effect.runSync(Effect.flip(StreamHandler.runText()(text(large, "x"))))
    assert.deepStrictEqual(error.reason, { _tag: "BufferOverflow", limit: large.length, size: large.length + 1 })
  })

  it("one that is none is refused at once, by name", () => {
    const { events, make, run, runExit, runText } = StreamHandler
    for (const f of [events, make, run, runExit, runText]) {
      assert.throws(() => f({ maxBufferSize: -1 }), RangeError, "maxBufferSize must be")
      assert.throws(() => f({ maxBufferSize: Number.NaN }), RangeError, "maxBufferSize must be")
    }
  })

  it.effect("with bufferContent false nothing is kept and nothing overflows; it is still counted", () =>
    Effect.gen(function* () {
      const all = Stream.make(
        start(0, { id: "resp_0" }),
        delta(0, "a b"),
        reasoning(0, "c"),
        refusal(0, "d"),
        StreamEvent.toolCall(0, call),
        StreamEvent.toolResult(0, toolResult),
        usage,
        end(0, "stop")
      )
      const options = { bufferContent: false, maxBufferSize: 0 }
      const result = yield* StreamHandler.run(options)(all)
      const { stats, ...kept } = result
      assert.deepStrictEqual(kept, {
        text: "",
        reasoning: "",
        refusal: "",
        toolCalls: [],
        toolResults: [],
        finishReason: "stop",
        providerFinishReason: undefined,
        usage: { inputTokens: { total: 1 }, outputTokens: { total: 2 } },
        metadata: []
      })
      assert.deepStrictEqual([stats.charsCount, stats.eventsCount, stats.totalTokens, stats.id], [5, 6, 2, "resp_0"])
      const { events } = yield* collect(StreamHandler.events(options)(all))
      assert.strictEqual(events.find(StreamEvent.is("End"))?.content, "")
      assert.strictEqual(yield* StreamHandler.runText(options)(all), "")
    })
  )
})

describe("result", () => {
  it.effect("has all that came, each in its place", () =>
    Effect.gen(function* () {
      const events: ReadonlyArray<StreamEvent.StreamEvent> = [
        start(0, { id: "resp_0", model: "m" }),
        reasoning(0, "h"),
        delta(0, "a"),
        reasoning(0, "m", "1"),
        refusal(0, "n"),
        StreamEvent.toolCallDelta(0, "call_0", "search", '{"q":1}'),
        StreamEvent.toolCall(0, call),
        StreamEvent.toolResult(0, toolResult),
        delta(0, "b", "1"),
        refusal(0, "o"),
        StreamEvent.metadata(0, "source", { metadata: { url: "u" } }),
        StreamEvent.metadata(0, "finish", { finishReason: "tool-calls", providerFinishReason: "tool_use" }),
        usage,
        StreamEvent.metadata(0, "usage", {
          usage: { inputTokens: { total: undefined, cacheRead: 3 }, outputTokens: { total: 9, text: undefined } }
        }),
        end(0)
      ]
      const { stats, ...result } = yield* StreamHandler.run()(Stream.fromIterable(events))
      assert.deepStrictEqual(result, {
        text: "ab",
        reasoning: "hm",
        refusal: "no",
        toolCalls: [call],
        toolResults: [toolResult],
        finishReason: "tool-calls",
        providerFinishReason: "tool_use",
        usage: { inputTokens: { total: 1, cacheRead: 3 }, outputTokens: { total: 9 } },
        metadata: [
          { kind: "source", metadata: { url: "u" } },
          { kind: "finish", metadata: {} },
          { kind: "usage", metadata: {} },
          { kind: "usage", metadata: {} }
        ]
      })
      assert.deepStrictEqual([stats.id, stats.model, stats.totalTokens], ["resp_0", "m", 9])
      assert.deepStrictEqual(yield* Stream.run(Stream.fromIterable(events), StreamHandler.collect), {
        ...result,
        stats
      })
    })
  )

  it.effect("has the usage of all steps, also of some that reported none", () =>
    Effect.gen(function* () {
      const used = (input: number, output: number, kind = "usage") =>
        StreamEvent.metadata(0, kind, { usage: { inputTokens: { total: input }, outputTokens: { total: output } } })
      const step = StreamEvent.metadata(0, "step")
      const of = (...events: ReadonlyArray<StreamEvent.StreamEvent>) =>
        Effect.map(StreamHandler.run()(Stream.make(...events, end(0))), ({ stats, usage }) => [
          usage?.inputTokens.total,
          usage?.outputTokens.total,
          stats.totalTokens,
          stats.tokenSource
        ])
      assert.deepStrictEqual(yield* of(used(10, 1), used(10, 5), step, used(20, 2), used(20, 7)), [
        30,
        12,
        12,
        "provider"
      ])
      assert.deepStrictEqual(yield* of(used(10, 5), step, delta(0, "one"), step, used(20, 7), step), [
        30,
        12,
        12,
        "provider"
      ])
      // A report that comes with the step is of the step that it ends.
      assert.deepStrictEqual(yield* of(used(10, 1), used(10, 5, "step"), used(20, 7)), [30, 12, 12, "provider"])
      assert.deepStrictEqual(yield* of(step, delta(0, "one two"), step), [undefined, undefined, 2, "counter"])
    })
  )

  it.effect("has the finish reason of End, where that says one", () =>
    Effect.gen(function* () {
      const finish = StreamEvent.metadata(0, "finish", { finishReason: "stop" })
      assert.strictEqual((yield* StreamHandler.run()(Stream.make(finish, end(0, "length")))).finishReason, "length")
      assert.strictEqual((yield* StreamHandler.run()(Stream.make(finish, end(0)))).finishReason, "stop")
      assert.strictEqual((yield* StreamHandler.run()(Stream.make(end(0)))).finishReason, "unknown")
    })
  )

  it.effect.prop("has the text of any split, halves of surrogate pairs included", { text: Schema.String }, ({ text }) =>
    Effect.gen(function* () {
      const whole = `${text}😀\ud83d`
      assert.strictEqual(
        yield* Stream.fromIterable(whole.split("")).pipe(StreamEvent.fromText, StreamHandler.runText()),
        whole
      )
    })
  )
})

describe("runExit", () => {
  it.effect("succeeds with a success, a failure, a defect and an interruption of the source alike", () =>
    Effect.gen(function* () {
      const run = <E>(last: Stream.Stream<StreamEvent.StreamEvent, E>) =>
        Effect.map(
          StreamHandler.runExit()(Stream.concat(Stream.make(delta(0, "a")), last)),
          ({ exit, result }) => [result.text, result.stats.outcome, exit._tag] as const
        )
      assert.deepStrictEqual(yield* run(Stream.make(end(0))), ["a", "completed", "Success"])
      assert.deepStrictEqual(yield* run(Stream.fail("reset")), ["a", "failed", "Failure"])
      assert.deepStrictEqual(yield* run(Stream.die("bug")), ["a", "failed", "Failure"])
      assert.deepStrictEqual(yield* run(Stream.fromEffect(Effect.interrupt)), ["a", "interrupted", "Failure"])
    })
  )
})

describe("collect", () => {
  it.effect("fails with Truncated and BufferOverflow, and leaves a failure of the stream alone", () =>
    Effect.gen(function* () {
      const cut = yield* Effect.flip(Stream.run(Stream.make(delta(0, "a")), StreamHandler.collect))
      assert.deepStrictEqual([cut.reason._tag, cut.partial?.text], ["Truncated", "a"])
      const over = yield* Stream.make(delta(0, "a"), delta(0, "bc")).pipe(
        Stream.run(StreamHandler.collect),
        Effect.flip,
        Effect.provide(StreamConfig.layer({ maxBufferSize: 2 }))
      )
      assert.deepStrictEqual(over.reason, { _tag: "BufferOverflow", limit: 2, size: 3 })
      assert.strictEqual(over.partial?.text, "a")
      const foreign = new Foreign()
      const failing = StreamTest.script([delta(0, "a"), fail(foreign)])
      assert.strictEqual(yield* Effect.flip(Stream.run(failing, StreamHandler.collect)), foreign)
    })
  )

  it.effect("stops at the terminal event, and can run beside another sink", () =>
    Effect.gen(function* () {
      const events = StreamTest.script([together(delta(0, "a"), end(0), delta(0, "b")), StreamTest.die("pulled")])
      assert.strictEqual((yield* Stream.run(events, StreamHandler.collect)).text, "a")
      const [first, second] = yield* Stream.make("a", "b").pipe(
        StreamEvent.fromText,
        Stream.broadcastN({ n: 2, capacity: 16 }),
        Effect.flatMap(([a, b]) =>
          Effect.all([Stream.run(a, StreamHandler.collect), Stream.run(b, Sink.count)], { concurrency: 2 })
        )
      )
      assert.deepStrictEqual([first.text, second], ["ab", 4])
    })
  )
})

describe("make", () => {
  const word = (text: string) => Stream.fromIterable(text.split("")).pipe(Stream.rechunk(1), StreamEvent.fromText)

  it.effect("shows buffer and figures while a stream runs", () =>
    Effect.gen(function* () {
      const handler = yield* StreamHandler.make()
      const seen: Array<unknown> = []
      yield* handler.events(word("abc")).pipe(
        Stream.runForEach(({ _tag }) =>
          Effect.gen(function* () {
            seen.push([_tag, yield* handler.buffer.content, (yield* handler.stats).outcome])
          })
        )
      )
      assert.deepStrictEqual(seen, [
        ["Start", "", "running"],
        ["Delta", "a", "running"],
        ["Delta", "ab", "running"],
        ["Delta", "abc", "running"],
        ["End", "abc", "completed"]
      ])
      assert.deepStrictEqual([yield* handler.buffer.length, yield* handler.buffer.chunkCount], [3, 3])
    })
  )

  it.effect("begins anew with each stream", () =>
    Effect.gen(function* () {
      const handler = yield* StreamHandler.make({ maxBufferSize: 4 })
      assert.strictEqual((yield* handler.run(word("abcd"))).text, "abcd")
      const error = yield* Effect.flip(handler.run(word("efghi")))
      assert.deepStrictEqual([error.reason._tag, error.partial?.text], ["BufferOverflow", "efgh"])
      assert.deepStrictEqual([yield* handler.buffer.content, (yield* handler.stats).outcome], ["efgh", "failed"])
      const result = yield* handler.run(word("xy"))
      assert.deepStrictEqual([result.text, result.stats.charsCount], ["xy", 2])
      // Reasoning counts against the limit of its own stream only.
      yield* handler.run(Stream.make(reasoning(0, "1234"), end(0)))
      assert.strictEqual((yield* handler.run(word("abcd"))).text, "abcd")
    })
  )

  it.effect("two handlers share nothing", () =>
    Effect.gen(function* () {
      const make = StreamHandler.make()
      const [first, second] = [yield* make, yield* make]
      yield* first.run(word("a"))
      assert.deepStrictEqual([yield* first.buffer.content, yield* second.buffer.content], ["a", ""])
    })
  )
})

describe("a reader that leaves", () => {
  const chunks = (...texts: ReadonlyArray<string>) => StreamEvent.fromText(StreamTest.script(texts))
  const onExit = (how: string, text: string) => [`onExit ${how} ${JSON.stringify(text)}`]

  it.effect(
    "after three events: the source is released once, onExit has what came, neither onEnd nor onError runs",
    () =>
      Effect.gen(function* () {
        const probe = yield* StreamTest.probe(chunks("a", "b", "c"))
        const events = yield* probe.stream.pipe(StreamHandler.events(), Stream.take(3), Stream.runCollect)
        assert.deepStrictEqual(tagsOf(events), ["Start", "Delta", "Delta"])
        const { pulls, releases, violations } = yield* probe.report
        assert.deepStrictEqual([pulls, releases, violations], [3, 1, []])
        assert.deepStrictEqual(yield* traces, {
          ends: onExit("abandoned success", "ab"),
          recorded: ["abandoned"],
          running: 0
        })
      }).pipe(traced)
  )

  it.effect("exactly at End, without asking again: the stream is whole", () =>
    Effect.gen(function* () {
      const handled = StreamHandler.events()(chunks("a", "b"))
      yield* Stream.runDrain(Stream.take(handled, 4))
      yield* Stream.runDrain(Stream.takeUntil(handled, StreamEvent.isTerminal))
      const whole = ["onEnd", ...onExit("completed success", "ab")]
      assert.deepStrictEqual(yield* traces, {
        ends: [...whole, ...whole],
        recorded: ["completed", "completed"],
        running: 0
      })
    }).pipe(traced)
  )

  it.effect("before the first event", () =>
    Effect.gen(function* () {
      const probe = yield* StreamTest.probe(chunks("a"))
      yield* Effect.scoped(Stream.toPull(StreamHandler.events()(probe.stream)))
      assert.deepStrictEqual(yield* traces, {
        ends: onExit("abandoned success", ""),
        recorded: ["abandoned"],
        running: 0
      })
      assert.deepStrictEqual((yield* probe.report).violations, [])
    }).pipe(traced)
  )

  it.effect("with a failure or a defect of its own, which onExit gets to see", () =>
    Effect.gen(function* () {
      for (const leave of [Effect.fail("full"), Effect.die("bug")]) {
        const probe = yield* StreamTest.probe(chunks("a", "b"))
        yield* probe.stream.pipe(
          StreamHandler.events(),
          Stream.runForEach((event) => (event._tag === "Delta" ? leave : Effect.void)),
          Effect.exit
        )
        assert.deepStrictEqual((yield* probe.report).violations, [])
      }
      const abandoned = onExit("abandoned failure", "a")
      assert.deepStrictEqual((yield* traces).ends, [...abandoned, ...abandoned])
    }).pipe(traced)
  )

  it.effect("by closing the scope", () =>
    Effect.gen(function* () {
      const probe = yield* StreamTest.probe(chunks("a", "b"))
      const scope = yield* Scope.make()
      const pull = yield* Scope.provide(Stream.toPull(StreamHandler.events()(probe.stream)), scope)
      yield* pull
      yield* pull
      assert.deepStrictEqual((yield* traces).running, 1)
      yield* Scope.close(scope, Exit.void)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual((yield* probe.report).violations, [])
      assert.deepStrictEqual((yield* traces).ends, onExit("abandoned success", "a"))
    }).pipe(traced)
  )

  it.effect("by interruption while the source stalls", () =>
    Effect.gen(function* () {
      const probe = yield* StreamTest.probe(StreamEvent.fromText(StreamTest.script(["a", stall])))
      const fiber = yield* Effect.forkChild(StreamHandler.run()(probe.stream), { startImmediately: true })
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(yield* traces, {
        ends: onExit("interrupted interrupt", "a"),
        recorded: ["interrupted"],
        running: 0
      })
      const { interruptedPulls, violations } = yield* probe.report
      assert.deepStrictEqual([interruptedPulls, violations], [1, []])
    }).pipe(traced)
  )

  it.effect("by interruption while the source opens", () =>
    Effect.gen(function* () {
      const sources: ReadonlyArray<Stream.Stream<StreamEvent.StreamEvent>> = [
        Stream.unwrap(Effect.never),
        Stream.fromPull(Effect.never),
        Stream.scoped(
          Stream.fromEffect(Effect.acquireRelease(Effect.never, () => Effect.void, { interruptible: true }))
        )
      ]
      for (const source of sources) {
        const fiber = yield* Effect.forkChild(StreamHandler.run()(source), { startImmediately: true })
        yield* Fiber.interrupt(fiber)
      }
      assert.deepStrictEqual(yield* traces, {
        ends: sources.flatMap(() => onExit("interrupted interrupt", "")),
        recorded: sources.map(() => "interrupted"),
        running: 0
      })
    }).pipe(traced)
  )

  it.effect("by a timeout", () =>
    Effect.gen(function* () {
      const probe = yield* StreamTest.probe(
        StreamEvent.fromText(StreamTest.script(["a", StreamTest.delay("1 minute")]))
      )
      const fiber = yield* probe.stream.pipe(
        StreamHandler.run(),
        Effect.timeoutOption("5 seconds"),
        Effect.forkChild({ startImmediately: true })
      )
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "None")
      assert.deepStrictEqual(yield* traces, {
        ends: onExit("interrupted interrupt", "a"),
        recorded: ["interrupted"],
        running: 0
      })
      assert.deepStrictEqual((yield* probe.report).violations, [])
      assert.strictEqual((yield* (yield* StreamStats.StreamStats).recent)[0]?.totalDurationMs, 5_000)
    }).pipe(traced)
  )

  it.effect("from a source that never ends", () =>
    Effect.gen(function* () {
      const probe = yield* StreamTest.probe(Stream.forever(Stream.make("a")).pipe(StreamEvent.fromText))
      const events = yield* probe.stream.pipe(StreamHandler.events(), Stream.take(1_000), Stream.runCollect)
      assert.lengthOf(events, 1_000)
      assert.deepStrictEqual((yield* probe.report).violations, [])
      const full = yield* Effect.flip(StreamHandler.run({ maxBufferSize: 1_000 })(probe.stream))
      assert.strictEqual(full.reason._tag, "BufferOverflow")
      assert.deepStrictEqual((yield* traces).recorded, ["abandoned", "failed"])
    }).pipe(traced)
  )

  it.effect("a source whose release fails has been told of before", () =>
    Effect.gen(function* () {
      const source = chunks("a").pipe(Stream.ensuring(Effect.die("release")))
      const exit = yield* Effect.exit(Stream.runDrain(Stream.take(StreamHandler.events()(source), 2)))
      assert.strictEqual(Exit.isFailure(exit) && Cause.squash(exit.cause), "release")
      assert.deepStrictEqual(yield* traces, {
        ends: onExit("abandoned success", "a"),
        recorded: ["abandoned"],
        running: 0
      })
    }).pipe(traced)
  )
})

describe("among other operators", () => {
  const hello = Stream.make("a", "b").pipe(Stream.rechunk(1), StreamEvent.fromText)
  const endOf = (events: ReadonlyArray<StreamEvent.StreamEvent>) => events.filter(StreamEvent.is("End"))

  it.effect("each run of a stream begins anew", () =>
    Effect.gen(function* () {
      const handled = StreamHandler.events()(hello)
      const run = StreamHandler.run()(hello)
      for (let i = 0; i < 2; i++) {
        const [last] = endOf(yield* Stream.runCollect(handled))
        assert.deepStrictEqual([last?.content, last?.stats?.eventsCount], ["ab", 2])
        assert.strictEqual((yield* run).text, "ab")
      }
      const twice = endOf(yield* Stream.runCollect(Stream.concat(handled, handled)))
      assert.deepStrictEqual(
        twice.map(({ content }) => content),
        ["ab", "ab"]
      )
      const repeated = endOf(yield* Stream.runCollect(Stream.repeat(handled, Schedule.recurs(2))))
      assert.deepStrictEqual(
        repeated.map(({ stats }) => stats?.totalTokens),
        [1, 1, 1]
      )
      assert.deepStrictEqual((yield* traces).ends.filter((call) => call !== "onEnd").length, 9)
    }).pipe(traced)
  )

  it.effect("each retry begins anew and is told of by itself", () =>
    Effect.gen(function* () {
      let attempt = 0
      const flaky = Stream.suspend(() =>
        ++attempt < 3 ? Stream.concat(Stream.take(hello, 2), Stream.fail("reset")) : hello
      )
      const [last] = endOf(
        yield* flaky.pipe(StreamHandler.events(), Stream.retry(Schedule.recurs(5)), Stream.runCollect)
      )
      assert.deepStrictEqual([attempt, last?.content], [3, "ab"])
      assert.deepStrictEqual((yield* traces).ends, [
        "onError",
        'onExit failed failure "a"',
        "onError",
        'onExit failed failure "a"',
        "onEnd",
        'onExit completed success "ab"'
      ])
    }).pipe(traced)
  )

  it.effect("two at once never mix", () =>
    Effect.gen(function* () {
      const handled = StreamHandler.events()
      const play = (letter: string, ms: number) => {
        const steps = Array.from({ length: 50 }, (_, i) => [StreamTest.delay(ms), `${letter}${i} `])
        const source = handled(StreamTest.answer(steps.flat(), { id: letter }))
        return Effect.forkChild(Stream.runCollect(source), { startImmediately: true })
      }
      const fibers = [yield* play("a", 2), yield* play("b", 3)]
      yield* TestClock.adjust(0)
      yield* TestClock.adjust("1 second")
      const ends = endOf((yield* Fiber.joinAll(fibers)).flat())
      const text = (letter: string) => Array.from({ length: 50 }, (_, i) => `${letter}${i} `).join("")
      assert.deepStrictEqual(
        ends.map(({ content, stats }) => [content, stats?.id, stats?.totalTokens, stats?.totalDurationMs]),
        [
          [text("a"), "a", 50, 100],
          [text("b"), "b", 50, 150]
        ]
      )
      assert.deepStrictEqual((yield* traces).ends, [
        "onEnd",
        `onExit completed success ${JSON.stringify(text("a"))}`,
        "onEnd",
        `onExit completed success ${JSON.stringify(text("b"))}`
      ])
    }).pipe(traced)
  )

  it.effect("zip, merge, buffer, broadcast and race leave no stream untold, and none told twice", () =>
    Effect.gen(function* () {
      const handled = StreamHandler.events()(hello)
      const endless = StreamHandler.events()(Stream.concat(Stream.take(hello, 3), Stream.never))
      const ways: ReadonlyArray<Effect.Effect<unknown, unknown, Scope.Scope>> = [
        Stream.runDrain(Stream.zip(handled, Stream.make(1, 2))),
        Stream.runDrain(Stream.zip(Stream.make(1, 2), endless)),
        Stream.runDrain(Stream.take(Stream.merge(endless, endless), 3)),
        Stream.runDrain(Stream.merge(endless, Stream.fail("reset"))),
        Stream.runDrain(Stream.take(Stream.buffer(endless, { capacity: 1 }), 1)),
        Stream.runDrain(
          Stream.take(
            Stream.flatMap(Stream.make(1, 2), () => endless),
            2
          )
        ),
        Effect.flatMap(Stream.broadcastN(handled, { n: 2, capacity: 8 }), (all) =>
          Effect.all(all.map(Stream.runDrain), { concurrency: 2 })
        ),
        Effect.race(Stream.runDrain(endless), Stream.runDrain(handled)),
        Stream.runDrain(Stream.interruptWhen(endless, Effect.yieldNow)),
        Stream.runDrain(Stream.timeoutOrElse(endless, { duration: 0, orElse: () => Stream.empty }))
      ]
      for (const way of ways) {
        const stats = yield* StreamStats.StreamStats
        const { streams } = yield* stats.totals
        const exits = (yield* traces).ends.filter((call) => call.startsWith("onExit")).length
        yield* Effect.exit(Effect.scoped(way))
        const opened = (yield* stats.totals).streams - streams
        const { ends, running } = yield* traces
        assert.strictEqual(running, 0)
        assert.strictEqual(ends.filter((call) => call.startsWith("onExit")).length - exits, opened)
      }
      const { ends } = yield* traces
      // Every onEnd has its onExit, and no stream that was left has one.
      const whole = ends.filter((call) => call.startsWith("onExit completed"))
      assert.strictEqual(ends.filter((call) => call === "onEnd").length, whole.length)
    }).pipe(traced)
  )

  it.effect("a handler of a handled stream changes nothing", () =>
    Effect.gen(function* () {
      const twice = hello.pipe(StreamHandler.events(), StreamHandler.events())
      const [last] = endOf(yield* Stream.runCollect(twice))
      assert.strictEqual(last?.content, "ab")
      const cut = Stream.take(hello, 2).pipe(StreamHandler.events(), StreamHandler.runExit())
      const { exit } = yield* cut
      const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
      assert(StreamError.isStreamError(error))
      assert.deepStrictEqual([error.reason._tag, error.partial?.text], ["Truncated", "a"])
    })
  )
})

describe("types", () => {
  const ofForeign = Stream.fail(new Foreign())
  type Over = StreamError.StreamErrorOf<"BufferOverflow" | "Truncated">

  it("add BufferOverflow and Truncated to the stream's own failures, and no service", () => {
    expectTypeOf(StreamHandler.events()(ofForeign)).toEqualTypeOf<
      Stream.Stream<StreamEvent.StreamEvent, Foreign | Over>
    >()
    expectTypeOf(StreamHandler.run()(ofForeign)).toEqualTypeOf<
      Effect.Effect<StreamResult.StreamResult, Foreign | Over>
    >()
    expectTypeOf(StreamHandler.runText()(ofForeign)).toEqualTypeOf<Effect.Effect<string, Foreign | Over>>()
    type Ran = ReturnType<ReturnType<typeof StreamHandler.runExit>>
    expectTypeOf<Effect.Error<Ran>>().toEqualTypeOf<never>()
    expectTypeOf(StreamHandler.run()(Stream.fromEffect(StreamTest.recorded).pipe(Stream.as(end(0))))).toEqualTypeOf<
      Effect.Effect<StreamResult.StreamResult, Over, StreamTest.Recordings>
    >()
  })

  it("a handler is a processor, and goes where one goes", () => {
    const processor: StreamProcessor.StreamProcessor<Over> = StreamHandler.events()
    expectTypeOf(processor(ofForeign)).toEqualTypeOf<Stream.Stream<StreamEvent.StreamEvent, Foreign | Over>>()
  })
})
