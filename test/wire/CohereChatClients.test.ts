/** The decoder beside Cohere's own client and the AI SDK's provider, fed with the same bytes over HTTP. */
import { createCohere } from "@ai-sdk/cohere"
import { assert, it } from "@effect/vitest"
import { CohereClientV2 } from "cohere-ai"
import { Effect, Stream } from "effect"
import * as StreamError from "../../src/StreamError.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as CohereChat from "../../src/wire/CohereChat.ts"
import { answerOf } from "../support/aiSdk.ts"
import * as Loopback from "../support/loopback.ts"
import { collect, finishOf, textOf } from "../support/run.ts"
import { describeShared, readBytes, recordings } from "../support/shared.ts"

const serve = (bytes: Uint8Array) =>
  Loopback.serve((response) => {
    Loopback.begin(response)
    response.end(bytes)
  })

const decode = (bytes: Uint8Array) => collect(CohereChat.decode()(Stream.make(bytes)))

/** What its user sees of a stream, and nothing of how fields are called. */
const seen = (events: ReadonlyArray<StreamEvent.StreamEvent>) => {
  const finish = finishOf(events)
  const kinds = events.map((event) => (event._tag === "Metadata" ? event.kind : event._tag))
  return {
    kinds,
    text: textOf(events, "Delta"),
    reasoning: textOf(events, "Reasoning"),
    calls: events.filter(StreamEvent.is("ToolCall")).map(({ id, input, name }) => ({ id, name, input })),
    toolPlan: events
      .filter(StreamEvent.is("Metadata"))
      .map((event) => (event.kind === "tool-plan" ? String(event.metadata["delta"]) : ""))
      .join(""),
    finishReason: finish?.providerFinishReason,
    usage: finish?.usage
  }
}

describeShared("beside", "recordings/index.json", () => {
  const all = recordings("cohere-v2").map(({ name, wire }) => ({ name, bytes: `recordings/${wire}` }))

  it.live.each(all)("cohere-ai, its chunks by fromChunks: $name", ({ bytes: path }) =>
    Effect.gen(function* () {
      const bytes = readBytes(path)
      const server = yield* serve(bytes)
      const client = new CohereClientV2({ token: "key", environment: server.url, maxRetries: 0 })
      const chunks = yield* Effect.promise(() =>
        client.chatStream({ model: "m", messages: [{ role: "user", content: "hi" }] })
      )
      const ours = yield* decode(bytes)
      const theirs = yield* Stream.fromAsyncIterable(chunks, (cause) =>
        StreamError.make({ _tag: "SourceFailure", cause })
      ).pipe(CohereChat.fromChunks(), collect)
      assert.deepStrictEqual(seen(theirs.events), seen(ours.events))
      if (ours.failure?.reason._tag === "MalformedFrame")
        assert.strictEqual(theirs.failure?.reason._tag, "SourceFailure")
      else assert.strictEqual(theirs.failure?.message, ours.failure?.message)
    })
  )

  it.live.each(all)("@ai-sdk/cohere: $name", ({ bytes: path }) =>
    Effect.gen(function* () {
      const bytes = readBytes(path)
      const server = yield* serve(bytes)
      const answer = yield* Effect.promise(() =>
        answerOf(createCohere({ apiKey: "key", baseURL: server.url }).languageModel("m"))
      )
      const { events, failure } = yield* decode(bytes)
      const { calls, finishReason, reasoning, text, usage } = seen(events)
      assert.deepStrictEqual(answer, {
        text,
        reasoning,
        calls,
        finishReason,
        inputTokens: usage?.inputTokens.total,
        outputTokens: usage?.outputTokens.total,
        // It takes for an answer what ends in ERROR, and what just stops; these are failures of ours.
        hasError: failure?.reason._tag === "MalformedFrame"
      })
    })
  )
})
