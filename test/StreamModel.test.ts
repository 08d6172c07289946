import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Stream } from "effect"
import * as StreamError from "../src/StreamError.ts"
import * as StreamEvent from "../src/StreamEvent.ts"
import * as StreamHandler from "../src/StreamHandler.ts"
import * as StreamModel from "../src/StreamModel.ts"
import * as StreamTest from "../src/testing/StreamTest.ts"

describe("messages", () => {
  it("a prompt stands for one user message", () => {
    assert.deepStrictEqual(StreamModel.messages({ prompt: "hi" }), [{ role: "user", content: "hi" }])
  })

  it("messages are passed on as they are", () => {
    const messages = [{ role: "system", content: [{ type: "text", text: "be brief" }], cache: true }]
    assert.strictEqual(StreamModel.messages({ messages }), messages)
    assert.deepStrictEqual(StreamModel.messages({ messages: [] }), [])
  })

  it("a request has either a prompt or messages", () => {
    expectTypeOf<{ prompt: string }>().toExtend<StreamModel.StreamRequest>()
    expectTypeOf<{ messages: []; options: { temperature: 0 } }>().toExtend<StreamModel.StreamRequest>()
    expectTypeOf<{ prompt: string; messages: [] }>().not.toExtend<StreamModel.StreamRequest>()
    expectTypeOf<{ model: string }>().not.toExtend<StreamModel.StreamRequest>()
  })
})

describe("stream", () => {
  it.effect("a backend depends on the service, and a test replaces it", () =>
    Effect.gen(function* () {
      const ask = StreamModel.stream({ prompt: "hi", model: "m" }).pipe(StreamHandler.runText())
      expectTypeOf<Effect.Services<typeof ask>>().toEqualTypeOf<StreamModel.StreamModel>()
      const [answer, requests] = yield* Effect.all([ask, StreamTest.requests]).pipe(
        Effect.provide(StreamTest.layerModel(StreamTest.answer(["Hello"])))
      )
      assert.strictEqual(answer, "Hello")
      assert.deepStrictEqual(requests, [{ prompt: "hi", model: "m" }])
    })
  )

  it.effect("asks when it runs, each time it runs, and not before", () =>
    Effect.gen(function* () {
      const stream = StreamModel.stream({ prompt: "hi" })
      assert.deepStrictEqual(yield* StreamTest.requests, [])
      yield* Stream.runDrain(stream)
      yield* Stream.runDrain(stream)
      assert.lengthOf(yield* StreamTest.requests, 2)
    }).pipe(Effect.provide(StreamTest.layerModel(StreamTest.answer(["Hello"]))))
  )

  it.effect("fails with the model's own errors, which keep what had arrived", () =>
    Effect.gen(function* () {
      const busy = StreamError.make(
        { _tag: "ProviderFailure", provider: "openai", message: "overloaded", isRetryable: true },
        { context: { requestId: "req_0" } }
      )
      const Busy = Layer.succeed(StreamModel.StreamModel, {
        stream: () => Stream.concat(Stream.make(StreamEvent.delta(0, "Hel")), Stream.fail(busy))
      })
      const error = yield* StreamModel.stream({ prompt: "hi" }).pipe(
        StreamHandler.run(),
        Effect.flip,
        Effect.provide(Busy)
      )
      assert.deepStrictEqual([error.reason, error.context], [busy.reason, { requestId: "req_0" }])
      assert.strictEqual(error.partial?.text, "Hel")
    })
  )

  it.effect("leaving early and interruption reach the model", () =>
    Effect.gen(function* () {
      const probe = yield* StreamTest.probe(StreamTest.answer(["a", StreamTest.stall]))
      const ask = StreamModel.stream({ prompt: "hi" }).pipe(StreamHandler.events())
      const provided = Stream.provide(ask, Layer.succeed(StreamModel.StreamModel, { stream: () => probe.stream }))
      yield* Stream.runDrain(Stream.take(provided, 2))
      const fiber = yield* Effect.forkChild(Stream.runDrain(provided), { startImmediately: true })
      yield* Fiber.interrupt(fiber)
      const { releases, runs, violations } = yield* probe.report
      assert.deepStrictEqual([runs, releases, violations], [2, 2, []])
    })
  )
})
