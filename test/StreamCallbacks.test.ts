import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Logger, Stream } from "effect"
import { TestClock } from "effect/testing"
import { expectTypeOf } from "vitest"
import * as StreamCallbacks from "../src/StreamCallbacks.ts"
import * as StreamEvent from "../src/StreamEvent.ts"
import * as StreamHandler from "../src/StreamHandler.ts"

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
