/** The decoder beside Google's own client and the AI SDK's provider, fed with the same bytes over HTTP. */
import { createGoogleGenerativeAI } from "@ai-sdk/google"
import { assert, it } from "@effect/vitest"
import { GoogleGenAI } from "@google/genai"
import { Effect, Stream } from "effect"
import * as GoogleInteractions from "../../src/wire/GoogleInteractions.ts"
import { answerOf } from "../support/aiSdk.ts"
import * as Loopback from "../support/loopback.ts"
import { collect, finishOf, show, textOf } from "../support/run.ts"
import { describeShared, readBytes, recordings } from "../support/shared.ts"

const serve = (bytes: Uint8Array) =>
  Loopback.serve((response) => {
    Loopback.begin(response)
    response.end(bytes)
  })

const decode = (bytes: Uint8Array) => collect(GoogleInteractions.decode()(Stream.make(bytes)))

describeShared("beside", "recordings/index.json", () => {
  const all = recordings("google-interactions").map(({ name, wire }) => ({ name, path: `recordings/${wire}` }))

  it.live.each(all)("@google/genai: the events of its chunks are the same: $name", ({ path }) =>
    Effect.gen(function* () {
      const bytes = readBytes(path)
      const server = yield* serve(bytes)
      const client = new GoogleGenAI({ apiKey: "key", httpOptions: { baseUrl: server.url } })
      const stream = yield* Effect.promise(() => client.interactions.create({ model: "m", input: "hi", stream: true }))
      const theirs = yield* collect(Stream.fromAsyncIterable(stream, String).pipe(GoogleInteractions.fromChunks()))
      const ours = yield* decode(bytes)
      assert.isUndefined(ours.failure)
      assert.isUndefined(theirs.failure)
      assert.deepStrictEqual(theirs.events.map(show), ours.events.map(show))
    })
  )

  it.live.each(all)("the AI SDK: $name", ({ name, path }) =>
    Effect.gen(function* () {
      const bytes = readBytes(path)
      const server = yield* serve(bytes)
      const model = createGoogleGenerativeAI({ apiKey: "key", baseURL: server.url }).interactions("m")
      const theirs = yield* Effect.promise(() => answerOf(model))
      const { events, failure } = yield* decode(bytes)
      assert.isUndefined(failure)
      assert.strictEqual(textOf(events, "Delta"), theirs.text)
      assert.strictEqual(textOf(events, "Reasoning"), theirs.reasoning)
      assert.deepStrictEqual(theirs.calls, [])
      const finish = finishOf(events)
      assert.strictEqual(finish?.providerFinishReason, theirs.finishReason)
      // What search gave the model to read is counted in here, as it is in Google's total; there it is left out.
      const toolTokens = name === "google-search" ? 198 : 0
      assert.strictEqual(finish?.usage?.inputTokens.total, theirs.inputTokens! + toolTokens)
      assert.strictEqual(finish?.usage?.outputTokens.total, theirs.outputTokens)
    })
  )
})
