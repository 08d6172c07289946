import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import {
  Cause,
  Context,
  Effect,
  Exit,
  Fiber,
  Layer,
  Logger,
  ManagedRuntime,
  Predicate,
  References,
  Scheduler,
  Stream
} from "effect"
import { TestClock } from "effect/testing"
import * as StreamCallbacks from "../src/StreamCallbacks.ts"
import * as StreamError from "../src/StreamError.ts"
import * as StreamEvent from "../src/StreamEvent.ts"
import * as StreamHandler from "../src/StreamHandler.ts"
import type * as StreamResult from "../src/StreamResult.ts"

class A extends Context.Service<A, { readonly name: string }>()("A") {}
class B extends Context.Service<B, { readonly name: string }>()("B") {}

const run = Stream.make("a", "b").pipe(StreamEvent.fromText, StreamHandler.runText())
const push = (into: Array<string>, word: string) => Effect.sync(() => into.push(word))

describe("layer", () => {
  it.effect("callbacks run in order, awaited", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const layer = StreamCallbacks.layer({
        onEvent: (event) => push(seen, `event ${event._tag}`),
        onStart: () => push(seen, "start"),
        onDelta: (event) => Effect.andThen(Effect.sleep("1 second"), push(seen, event.delta)),
        onEnd: (event) => push(seen, `end ${event.content}`),
        onExit: (result) => push(seen, `exit ${result.text}`)
      })
      const fiber = yield* Effect.forkChild(Effect.provide(run, layer), { startImmediately: true })
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(seen, ["event Start", "start", "event Delta"])
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(seen, [
        "event Start",
        "start",
        "event Delta",
        "a",
        "event Delta",
        "b",
        "event End",
        "end ab",
        "exit ab"
      ])
    })
  )

  it.effect("one that fails, dies, throws or interrupts itself is logged and breaks nothing", () =>
    Effect.gen(function* () {
      const logged: Array<string> = []
      const logger = Logger.make(({ logLevel }) => void logged.push(logLevel))
      const seen: Array<string> = []
      const layer = StreamCallbacks.layer({
        onStart: () => Effect.fail("fails"),
        onDelta: (event) => (event.delta === "a" ? Effect.die("dies") : Effect.interrupt),
        onEnd: (): Effect.Effect<void> => {
          throw new Error("throws")
        },
        onExit: () => push(seen, "exit")
      })
      assert.strictEqual(yield* run.pipe(Effect.provide(layer), Effect.provide(Logger.layer([logger]))), "ab")
      assert.deepStrictEqual(logged, ["Warn", "Warn", "Warn", "Warn"])
      assert.deepStrictEqual(seen, ["exit"])
    })
  )

  it.effect("nested layers add up, the outer first; mergeAll keeps the last; false replaces", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const named = (name: string, options?: { readonly mergeWithExisting: boolean }) =>
        StreamCallbacks.layer({ onEnd: () => push(seen, name) }, options)
      yield* run.pipe(Effect.provide(named("inner")), Effect.provide(named("outer")))
      assert.deepStrictEqual(seen.splice(0), ["outer", "inner"])
      yield* run.pipe(Effect.provide(Layer.mergeAll(named("first"), named("last"))))
      assert.deepStrictEqual(seen.splice(0), ["last"])
      yield* run.pipe(Effect.provide(named("inner", { mergeWithExisting: false })), Effect.provide(named("outer")))
      assert.deepStrictEqual(seen.splice(0), ["inner"])
    })
  )

  it.effect("the layer requires the services of all its callbacks, and its callbacks get them", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const layer = StreamCallbacks.layer({
        onStart: () => Effect.flatMap(A, ({ name }) => push(seen, name)),
        onEnd: () => Effect.flatMap(B, ({ name }) => push(seen, name))
      })
      expectTypeOf(layer).toEqualTypeOf<Layer.Layer<never, never, A | B>>()
      yield* run.pipe(
        Effect.provide(
          Layer.provide(layer, Layer.merge(Layer.succeed(A, { name: "a" }), Layer.succeed(B, { name: "b" })))
        )
      )
      assert.deepStrictEqual(seen, ["a", "b"])
    })
  )

  it.effect("callbacks run under the span of the fiber that pulls, not of the Layer", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const layer = StreamCallbacks.layer({
        onEnd: () => Effect.flatMap(Effect.orDie(Effect.currentSpan), (span) => push(seen, span.name))
      })
      const context = yield* Layer.build(layer).pipe(Effect.scoped, Effect.withSpan("the layer's"))
      yield* run.pipe(Effect.withSpan("the run's"), Effect.provide(context))
      assert.deepStrictEqual(seen, ["the run's"])
    })
  )

  it.effect("on: the events of one kind", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      yield* Effect.provide(
        run,
        StreamCallbacks.on("Delta", (event) => push(seen, event.delta))
      )
      assert.deepStrictEqual(seen, ["a", "b"])
    })
  )

  it.effect("interruption inside a callback ends the stream, and onExit still runs", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const layer = StreamCallbacks.layer({
        onDelta: () => Effect.never,
        onExit: (result) => push(seen, result.stats.outcome)
      })
      const fiber = yield* Effect.forkChild(Effect.provide(run, layer), { startImmediately: true })
      yield* TestClock.adjust(0)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(seen, ["interrupted"])
    })
  )
})

const named = (name: string, seen: Array<string>) =>
  StreamCallbacks.layer({
    onEvent: (event) => push(seen, `${name} event ${event._tag}`),
    onDelta: (event) => push(seen, `${name} ${event.delta}`),
    onEnd: () => push(seen, `${name} end`),
    onError: () => push(seen, `${name} error`),
    onExit: (result) => push(seen, `${name} ${result.stats.outcome}`)
  })
const a = StreamEvent.delta(0, "a")
const failing = Stream.concat(Stream.make(a), Stream.fail("reset"))

describe("which callbacks run", () => {
  it.effect("one for each kind of event, onEvent before it, and none for an event without one", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const call = (name: string) => (value: unknown) =>
        push(seen, `${name} ${Predicate.hasProperty(value, "_tag") ? String(value._tag) : "?"}`)
      const layer = StreamCallbacks.layer({
        onStart: call("onStart"),
        onDelta: call("onDelta"),
        onReasoning: call("onReasoning"),
        onToolCall: call("onToolCall"),
        onMetadata: call("onMetadata"),
        onEnd: call("onEnd"),
        onError: call("onError"),
        onEvent: call("onEvent")
      })
      const tool = { id: "call_0", name: "search" }
      yield* Stream.make(
        StreamEvent.start(0),
        StreamEvent.reasoning(0, "hm"),
        StreamEvent.refusal(0, "no"),
        StreamEvent.toolCallDelta(0, "call_0", "search", "{}"),
        StreamEvent.toolCall(0, { ...tool, argumentsText: "{}", input: {} }),
        StreamEvent.toolResult(0, { ...tool, output: 1, isError: false }),
        StreamEvent.metadata(0, "usage"),
        StreamEvent.progress(0, "ping"),
        StreamEvent.delta(0, ""),
        StreamEvent.end(0)
      ).pipe(StreamHandler.run(), Effect.provide(layer))
      const tags = ["Start", "Reasoning", "Refusal", "ToolCallDelta", "ToolCall", "ToolResult", "Metadata", "Progress"]
      const own = new Set(["Start", "Reasoning", "ToolCall", "Metadata", "Delta", "End"])
      assert.deepStrictEqual(
        seen,
        [...tags, "Delta", "End"].flatMap((tag) => [`onEvent ${tag}`, ...(own.has(tag) ? [`on${tag} ${tag}`] : [])])
      )
    })
  )

  it.effect("onEnd or onError, never both; an in-band Error is told with its error", () =>
    Effect.gen(function* () {
      const told: Array<unknown> = []
      const seen: Array<string> = []
      const layer = Layer.provideMerge(
        StreamCallbacks.layer({ onError: (error) => Effect.sync(() => told.push(error)) }),
        named("x", seen)
      )
      const error = StreamError.make({ _tag: "Truncated", expected: "its end" })
      yield* Stream.make(a, StreamEvent.error(0, error)).pipe(StreamHandler.run(), Effect.provide(layer))
      yield* failing.pipe(StreamHandler.run(), Effect.exit, Effect.provide(layer))
      yield* Stream.make(a, StreamEvent.end(0)).pipe(StreamHandler.run(), Effect.provide(layer))
      assert.deepStrictEqual(told, [error, "reset"])
      assert.deepStrictEqual(seen, [
        "x event Delta",
        "x a",
        "x event Error",
        "x error",
        "x failed",
        "x event Delta",
        "x a",
        "x error",
        "x failed",
        "x event Delta",
        "x a",
        "x event End",
        "x end",
        "x completed"
      ])
    })
  )

  it.effect("each layer's for an event, before the next event's", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      yield* run.pipe(Effect.provide(named("inner", seen)), Effect.provide(named("outer", seen)))
      assert.deepStrictEqual(
        seen.filter((call) => !call.includes("event")),
        ["outer a", "inner a", "outer b", "inner b", "outer end", "inner end", "outer completed", "inner completed"]
      )
      assert.deepStrictEqual(
        seen.slice(-6).filter((call) => call.includes("event")),
        ["outer event End", "inner event End"]
      )
    })
  )

  it.effect("a Layer value provided twice is built once; a fresh one adds its own", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const layer = StreamCallbacks.layer({ onEnd: () => push(seen, "end") })
      yield* run.pipe(Effect.provide(layer), Effect.provide(layer))
      assert.strictEqual(seen.splice(0).length, 1)
      yield* run.pipe(Effect.provide(Layer.fresh(layer)), Effect.provide(layer))
      assert.strictEqual(seen.splice(0).length, 2)
      yield* run.pipe(Effect.provide(Layer.provideMerge(layer, layer)))
      assert.strictEqual(seen.splice(0).length, 1)
      yield* run.pipe(Effect.provide(Layer.provideMerge(Layer.fresh(layer), layer)))
      assert.strictEqual(seen.splice(0).length, 2)
    })
  )
})

describe("callbacks that go wrong", () => {
  const bad: Record<string, () => Effect.Effect<unknown, unknown>> = {
    fails: () => Effect.fail("bad"),
    dies: () => Effect.die("bad"),
    throws: () => {
      throw new Error("bad")
    },
    "interrupts itself": () => Effect.interrupt,
    "fails later": () => Effect.andThen(Effect.yieldNow, Effect.fail("bad"))
  }
  const kinds = ["onEvent", "onStart", "onDelta", "onEnd", "onError", "onExit"] as const

  it.effect.each(Object.keys(bad))("one that %s stops neither the stream nor the others", (how) =>
    Effect.gen(function* () {
      for (const kind of kinds) {
        const seen: Array<string> = []
        const logged: Array<string> = []
        const logger = Logger.make(({ logLevel, message }) => void logged.push(`${logLevel} ${String(message)}`))
        const layer = Layer.provideMerge(named("good", seen), StreamCallbacks.layer({ [kind]: bad[how] }))
        const source: Stream.Stream<StreamEvent.StreamEvent, string> =
          kind === "onError" ? failing : Stream.make(StreamEvent.start(0), a, StreamEvent.end(0))
        const { exit, result } = yield* source.pipe(
          StreamHandler.runExit(),
          Effect.provide(layer),
          Effect.provide(Logger.layer([logger]))
        )
        assert.deepStrictEqual([exit._tag, result.text], [kind === "onError" ? "Failure" : "Success", "a"])
        assert.include(seen, "good a")
        assert.deepStrictEqual(seen.at(-1), `good ${result.stats.outcome}`)
        assert.strictEqual(logged.length, kind === "onEvent" ? 3 : 1)
        assert.include(logged[0], "Warn A stream callback failed")
      }
    })
  )

  it.effect("a slow one holds the stream back, and nothing is pulled meanwhile", () =>
    Effect.gen(function* () {
      let pulled = 0
      const source = Stream.make("a", "b").pipe(
        Stream.rechunk(1),
        Stream.tap(() => Effect.sync(() => pulled++)),
        StreamEvent.fromText
      )
      const layer = StreamCallbacks.layer({ onDelta: () => Effect.sleep("1 second") })
      const fiber = yield* source.pipe(
        StreamHandler.run(),
        Effect.provide(layer),
        Effect.forkChild({ startImmediately: true })
      )
      yield* TestClock.adjust("999 millis")
      assert.strictEqual(pulled, 1)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(pulled, 2)
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(fiber)).stats.totalDurationMs, 2_000)
    })
  )

  it.effect("one that interrupts the fiber that pulls does interrupt the stream", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const layer = Layer.provideMerge(
        named("x", seen),
        StreamCallbacks.layer({
          onDelta: () => Effect.withFiber((fiber) => Effect.sync(() => fiber.interruptUnsafe()))
        })
      )
      const fiber = yield* Effect.forkChild(Effect.provide(run, layer))
      const exit = yield* Fiber.await(fiber)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      assert.strictEqual(seen.at(-1), "x interrupted")
      assert.strictEqual(seen.filter((call) => call === "x interrupted").length, 1)
    })
  )
})

describe("interruption", () => {
  const exits = (exit: Array<string>) =>
    StreamCallbacks.layer({
      onExit: (result, why) =>
        push(exit, `${result.stats.outcome} ${Exit.isSuccess(why) ? "success" : String(Cause.squash(why.cause))}`)
    })

  it.effect("while onError runs: onExit still has the failure, once", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const layer = Layer.provideMerge(exits(seen), StreamCallbacks.layer({ onError: () => Effect.never }))
      const fiber = yield* failing.pipe(
        StreamHandler.run(),
        Effect.provide(layer),
        Effect.forkChild({ startImmediately: true })
      )
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(seen, ["failed reset"])
    })
  )

  it.effect("while onEnd runs: the stream was whole", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const layer = Layer.provideMerge(exits(seen), StreamCallbacks.layer({ onEnd: () => Effect.never }))
      const fiber = yield* Effect.forkChild(Effect.provide(run, layer), { startImmediately: true })
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(seen, ["completed success"])
    })
  )

  it.effect("while onExit runs: it runs to its end, and so do those of other layers", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const saving = StreamCallbacks.layer({
        onExit: () => Effect.andThen(Effect.sleep("1 second"), push(seen, "saved"))
      })
      const layer = Layer.provideMerge(exits(seen), saving)
      const sources: ReadonlyArray<Stream.Stream<StreamEvent.StreamEvent, string>> = [
        Stream.make(a, StreamEvent.end(0)),
        failing,
        Stream.concat(Stream.make(a), Stream.never)
      ]
      for (const source of sources) {
        const fiber = yield* source.pipe(
          StreamHandler.run(),
          Effect.provide(layer),
          Effect.forkChild({ startImmediately: true })
        )
        yield* TestClock.adjust(0)
        fiber.interruptUnsafe()
        yield* TestClock.adjust(0)
        assert.deepStrictEqual(seen, [])
        yield* TestClock.adjust("1 second")
        yield* Fiber.await(fiber)
        assert.strictEqual(seen.splice(0)[0], "saved")
      }
    })
  )
})

describe("context", () => {
  it.effect("a running fiber without a span, annotations and log spans gives callbacks none of the Layer's", () =>
    Effect.gen(function* () {
      const seen: Array<unknown> = []
      const layer = StreamCallbacks.layer({
        onEnd: () =>
          Effect.gen(function* () {
            const span = yield* Effect.option(Effect.currentSpan)
            const annotations = yield* References.CurrentLogAnnotations
            const spans = yield* References.CurrentLogSpans
            seen.push(span._tag, annotations, spans.length)
          })
      })
      const context = yield* Layer.build(layer).pipe(
        Effect.scoped,
        Effect.withSpan("the layer's"),
        Effect.annotateLogs({ who: "the layer" }),
        Effect.withLogSpan("the layer's")
      )
      yield* Effect.provide(run, context)
      assert.deepStrictEqual(seen, ["None", {}, 0])
    })
  )

  it.effect("callbacks run under the scheduler of the running fiber, not of what built the Layer", () =>
    Effect.gen(function* () {
      const seen: Array<Scheduler.Scheduler> = []
      const see = () => Effect.map(Scheduler.Scheduler, (scheduler) => seen.push(scheduler))
      const runtime = ManagedRuntime.make(StreamCallbacks.layer({ onEnd: see, onExit: see }))
      // Builds the Layer under a scheduler that never yields to the event loop.
      runtime.runSync(Effect.void)
      yield* Effect.promise(() => runtime.runPromise(Effect.andThen(see(), run)))
      assert.isTrue(seen.every((scheduler) => scheduler === seen[0]))
      assert.strictEqual(seen.length, 3)
    })
  )

  it.effect("they log to the loggers of the running fiber, with its annotations, warnings too", () =>
    Effect.gen(function* () {
      const logs: Record<"layer" | "run", Array<string>> = { layer: [], run: [] }
      const logger = (into: Array<string>) =>
        Logger.layer([
          Logger.make(({ fiber, message }) => {
            into.push(`${JSON.stringify(fiber.getRef(References.CurrentLogAnnotations))} ${String(message)}`)
          })
        ])
      const callbacks = StreamCallbacks.layer({
        onStart: () => Effect.logInfo("hello"),
        onEnd: () => Effect.fail("bad")
      })
      const context = yield* Layer.build(callbacks).pipe(
        Effect.scoped,
        Effect.provide(logger(logs.layer)),
        Effect.annotateLogs({ by: "layer" })
      )
      yield* run.pipe(Effect.annotateLogs({ by: "run" }), Effect.provide(context), Effect.provide(logger(logs.run)))
      assert.deepStrictEqual(logs, {
        layer: [],
        run: ['{"by":"run"} hello', '{"by":"run"} A stream callback failed; the stream goes on']
      })
      yield* run.pipe(Effect.provide(context))
      assert.deepStrictEqual([logs.layer, logs.run.length], [[], 2])
    })
  )

  it.effect("a service of the running fiber wins over the Layer's, and the Layer's is there where it has none", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const layer = StreamCallbacks.layer({ onEnd: () => Effect.flatMap(A, ({ name }) => push(seen, name)) })
      const provided = Layer.provide(layer, Layer.succeed(A, { name: "the layer's" }))
      yield* run.pipe(Effect.provide(provided))
      yield* run.pipe(Effect.provideService(A, { name: "the run's" }), Effect.provide(provided))
      assert.deepStrictEqual(seen, ["the layer's", "the run's"])
    })
  )

  it.effect("onExit has the context of the running fiber too, when the reader left", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const layer = StreamCallbacks.layer({
        onExit: () => Effect.flatMap(Effect.orDie(Effect.currentSpan), (span) => push(seen, span.name))
      })
      yield* Stream.make("a", "b").pipe(
        StreamEvent.fromText,
        StreamHandler.events(),
        Stream.take(1),
        Stream.runDrain,
        Effect.withSpan("the run's"),
        Effect.provide(layer)
      )
      assert.deepStrictEqual(seen, ["the run's"])
    })
  )
})

describe("types", () => {
  it("the services are those of every callback, also of one that may be missing", () => {
    const maybe = (_: StreamEvent.Delta): Effect.Effect<void, never, A> => Effect.void
    const condition: boolean = seenAtRuntime()
    expectTypeOf(StreamCallbacks.layer({ onDelta: condition ? maybe : undefined })).toEqualTypeOf<
      Layer.Layer<never, never, A>
    >()
    const typed: StreamCallbacks.Callbacks<A | B> = {}
    expectTypeOf(StreamCallbacks.layer(typed)).toEqualTypeOf<Layer.Layer<never, never, A | B>>()
    expectTypeOf(StreamCallbacks.layer({})).toEqualTypeOf<Layer.Layer<never>>()
    expectTypeOf(StreamCallbacks.layer({ onEnd: undefined })).toEqualTypeOf<Layer.Layer<never>>()
    expectTypeOf(StreamCallbacks.on("Delta", maybe)).toEqualTypeOf<Layer.Layer<never, never, A>>()
  })

  it("each callback knows what it is given", () => {
    StreamCallbacks.layer({
      onToolCall: (event) => {
        expectTypeOf(event).toEqualTypeOf<StreamEvent.ToolCall>()
        return Effect.void
      },
      onExit: (result, exit) => {
        expectTypeOf(result).toEqualTypeOf<StreamResult.StreamResult>()
        expectTypeOf(exit).toEqualTypeOf<Exit.Exit<unknown, unknown>>()
        return Effect.fail("any failure will do")
      }
    })
    StreamCallbacks.on("Refusal", (event) => {
      expectTypeOf(event).toEqualTypeOf<StreamEvent.Refusal>()
      return Effect.void
    })
  })
})

const seenAtRuntime = () => true
