import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import * as StreamHandler from "../src/StreamHandler.ts"
import * as StreamModel from "../src/StreamModel.ts"
import * as StreamTest from "../src/testing/StreamTest.ts"

it("a prompt stands for one user message", () => {
  assert.deepStrictEqual(StreamModel.messages({ prompt: "hi" }), [{ role: "user", content: "hi" }])
  const messages = [{ role: "system", content: "be brief" }]
  assert.strictEqual(StreamModel.messages({ messages }), messages)
})

it.effect("a backend depends on the service, and a test replaces it", () =>
  Effect.gen(function* () {
    const ask = StreamModel.stream({ prompt: "hi", model: "m" }).pipe(StreamHandler.runText())
    const [answer, requests] = yield* Effect.all([ask, StreamTest.requests]).pipe(
      Effect.provide(StreamTest.layerModel(StreamTest.answer(["Hello"])))
    )
    assert.strictEqual(answer, "Hello")
    assert.deepStrictEqual(requests, [{ prompt: "hi", model: "m" }])
  })
)
