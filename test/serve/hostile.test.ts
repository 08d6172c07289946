import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import * as AnthropicMessagesResponse from "../../src/serve/AnthropicMessagesResponse.ts"
import * as NdjsonResponse from "../../src/serve/NdjsonResponse.ts"
import * as OpenAiChatResponse from "../../src/serve/OpenAiChatResponse.ts"
import * as OpenAiResponsesResponse from "../../src/serve/OpenAiResponsesResponse.ts"
import * as SseResponse from "../../src/serve/SseResponse.ts"
import * as UiMessageStream from "../../src/serve/UiMessageStream.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"

/** Events that have the text wherever a model or a tool has a say. */
const eventsWith = (text: string): ReadonlyArray<StreamEvent.StreamEvent> => [
  StreamEvent.start(0, { id: text, model: text }),
  StreamEvent.reasoning(0, text, text),
  StreamEvent.delta(0, text, text),
  StreamEvent.refusal(0, text),
  StreamEvent.toolCallDelta(0, text, text, text),
  StreamEvent.toolCall(0, { id: text, name: text, argumentsText: JSON.stringify(text), input: { [text]: text } }),
  StreamEvent.toolResult(0, { id: text, name: text, output: { [text]: text }, isError: true }),
  StreamEvent.metadata(0, "source", { metadata: { url: text, title: text } }),
  StreamEvent.metadata(0, "finish", { providerFinishReason: text, metadata: { [text]: text } }),
  StreamEvent.end(0, "stop")
]

const hostile: Readonly<Record<string, string>> = {
  "line breaks": "\n\n\r\r\n\ndata: [DONE]\n\ndata: {}\n\nevent: error\nid: 1\nretry: 0\n\n",
  "what JavaScript takes for line breaks": "\u2028\u2029\u0085\v\f",
  "NUL, BOM and other control characters": "\0\ufeff\u001b[2J\u0008",
  "halves of surrogate pairs": "\ud83d \ude00 \ud83d",
  markup: "</script><!--<script>&amp;]]>",
  "names of JavaScript's own": "__proto__",
  "what ends JSON": '"}]}\\"\\u0022'
}

const responders = {
  SseResponse: SseResponse.make({ id: (_, position) => `\n\ndata: x\r${position}\0` }),
  UiMessageStream: UiMessageStream.make(),
  OpenAiChatResponse: OpenAiChatResponse.make(),
  OpenAiResponsesResponse: OpenAiResponsesResponse.make(),
  AnthropicMessagesResponse: AnthropicMessagesResponse.make(),
  NdjsonResponse: NdjsonResponse.make()
}

describe("no text breaks the framing", () => {
  for (const [name, respond] of Object.entries(responders)) {
    /** The lines of a response, with what the text changes taken out of them. */
    const shape = (text: string) =>
      Effect.gen(function* () {
        const { body } = yield* respond(Stream.fromIterable(eventsWith(text)))
        const bytes = yield* Stream.mkUint8Array(body._tag === "Stream" ? body.stream : Stream.empty)
        const written = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)
        assert.notMatch(written, /[\0\r\ufffd]/)
        return written.split("\n").map((line) => {
          const json = line.replace(/^data: /, "")
          if (!json.startsWith("{")) return line
          JSON.parse(json)
          return /"(?:type|_tag|object)":"[^"]*"/.exec(json)?.[0]
        })
      })
    for (const [what, text] of Object.entries(hostile)) {
      it.effect(`${name}: ${what}`, () =>
        Effect.gen(function* () {
          assert.deepStrictEqual(yield* shape(text), yield* shape("harmless"))
        }).pipe(Effect.scoped)
      )
    }
  }
})
