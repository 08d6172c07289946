/** `decode . encode`: what a responder writes, this library's own decoder of the protocol reads back. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import type { HttpServerResponse } from "effect/http"
import type * as Scope from "effect/Scope"
import * as AnthropicMessagesResponse from "../../src/serve/AnthropicMessagesResponse.ts"
import * as OpenAiResponsesResponse from "../../src/serve/OpenAiResponsesResponse.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as StreamHandler from "../../src/StreamHandler.ts"
import type * as StreamResult from "../../src/StreamResult.ts"
import * as StreamArbitrary from "../../src/testing/StreamArbitrary.ts"
import * as AnthropicMessages from "../../src/wire/AnthropicMessages.ts"
import * as OpenAiResponses from "../../src/wire/OpenAiResponses.ts"
import type * as Provider from "../../src/wire/Provider.ts"

const end = StreamEvent.end(0, "stop")

/** The bytes of a response's body, as text. */
const written = (response: Effect.Effect<HttpServerResponse.HttpServerResponse, never, Scope.Scope>) =>
  Effect.gen(function* () {
    const { body } = yield* response
    assert.strictEqual(body._tag, "Stream")
    return body._tag === "Stream" ? yield* Stream.mkString(Stream.decodeText(body.stream)) : ""
  }).pipe(Effect.scoped)

/** What the protocols can carry: why a call or none was the end is said by the calls. */
const carried = ({ finishReason, reasoning, refusal, text, toolCalls, usage }: StreamResult.StreamResult) => ({
  finishReason:
    finishReason === "unknown" || finishReason === "stop" || finishReason === "tool-calls"
      ? toolCalls.length > 0
        ? "tool-calls"
        : "stop"
      : finishReason,
  reasoning,
  refusal,
  text,
  toolCalls: toolCalls.map((call) => JSON.stringify(call)).toSorted(),
  usage: [usage?.inputTokens.total ?? 0, usage?.outputTokens.total ?? 0]
})

/** Anthropic has no refusal of its own: it is text there. */
const withoutRefusal = ({ refusal, text, ...others }: ReturnType<typeof carried>) => ({
  ...others,
  letters: text.length + refusal.length
})

describe("decode . encode is the identity on what the protocol can carry", () => {
  const roundTrip = (
    make: typeof AnthropicMessagesResponse.make | typeof OpenAiResponsesResponse.make,
    decode: Provider.Provider["decode"],
    input: { readonly items: ReadonlyArray<StreamEvent.StreamEvent> }
  ) =>
    Effect.gen(function* () {
      const events = Stream.fromArray([...input.items.filter((event) => event._tag !== "Error"), end])
      const bytes = yield* written(make()(events))
      const before = yield* events.pipe(StreamHandler.run())
      const after = yield* Stream.make(bytes).pipe(decode(), StreamHandler.run())
      return { before: carried(before), after: carried(after) }
    })

  it.effect.prop("Anthropic Messages", { input: StreamArbitrary.events() }, ({ input }) =>
    Effect.map(roundTrip(AnthropicMessagesResponse.make, AnthropicMessages.decode, input), ({ after, before }) => {
      assert.deepStrictEqual(withoutRefusal(after), withoutRefusal(before))
    })
  )

  it.effect.prop("OpenAI Responses", { input: StreamArbitrary.events() }, ({ input }) =>
    Effect.map(roundTrip(OpenAiResponsesResponse.make, OpenAiResponses.decode, input), ({ after, before }) => {
      assert.deepStrictEqual(after, before)
    })
  )
})
