/**
 * Events to bytes: `UiMessageStream` beside the AI SDK's `createUIMessageStreamResponse`, both over web handlers, with the
 * same parts; and the other responders of this library beside it.
 *
 * Run: `node --expose-gc scratchpad/bench/serve.ts`
 *
 * @since 0.1.0
 */
import { createUIMessageStreamResponse, type UIMessageChunk } from "ai"
import { type Effect, type Scope, Stream } from "effect"
import { HttpEffect, type HttpServerResponse } from "effect/http"
import {
  AnthropicMessagesResponse,
  OpenAiChatResponse,
  SseResponse,
  StreamEvent,
  UiMessageStream
} from "../../src/index.ts"
import { bench, type Group } from "./harness.ts"

const count = 20_000
const text = (index: number): string => ` token${index % 100}`

/** Items that come one by one, each in a chunk of its own. */
async function* oneByOne<A>(items: ReadonlyArray<A>): AsyncGenerator<A> {
  for (const item of items) yield item
}

const events: ReadonlyArray<StreamEvent.StreamEvent> = [
  StreamEvent.start(0),
  ...Array.from({ length: count }, (_, index) => StreamEvent.delta(0, text(index))),
  StreamEvent.end(0, "stop")
]

const parts: ReadonlyArray<UIMessageChunk> = [
  { type: "start" },
  { type: "start-step" },
  { type: "text-start", id: "text" },
  ...Array.from({ length: count }, (_, index): UIMessageChunk => ({
    type: "text-delta",
    id: "text",
    delta: text(index)
  })),
  { type: "text-end", id: "text" },
  { type: "finish-step" },
  { type: "finish", finishReason: "stop" }
]

type Respond = (
  events: Stream.Stream<StreamEvent.StreamEvent, unknown>
) => Effect.Effect<HttpServerResponse.HttpServerResponse, never, Scope.Scope>

const ours = (respond: Respond, size: number) => async (): Promise<string> => {
  const source =
    size === 1 ? Stream.fromAsyncIterable(oneByOne(events), String) : Stream.rechunk(Stream.fromIterable(events), size)
  const response = await HttpEffect.toWebHandler(respond(source))(new Request("http://localhost/"))
  return response.text()
}

const aiSdk = async (): Promise<string> => createUIMessageStreamResponse({ stream: readable(oneByOne(parts)) }).text()

const readable = (parts: AsyncGenerator<UIMessageChunk>): ReadableStream<UIMessageChunk> =>
  new ReadableStream({
    async pull(controller) {
      const { done, value } = await parts.next()
      if (done) controller.close()
      else controller.enqueue(value)
    }
  })

const same = async (run: () => Promise<string>): Promise<number> => (await run()).split(" token").length

const baseline = "AI SDK createUIMessageStreamResponse"
const groups: ReadonlyArray<Group> = [1, 64].map((size) => ({
  name: `events to bytes, ${size} at once`,
  baseline,
  work: { events: count },
  rounds: 5,
  warmup: 1,
  jobs: [
    { name: baseline, run: () => same(aiSdk) },
    { name: "UiMessageStream", run: () => same(ours(UiMessageStream.make(), size)) },
    { name: "SseResponse", run: () => same(ours(SseResponse.make(), size)) },
    { name: "OpenAiChatResponse", run: () => same(ours(OpenAiChatResponse.make(), size)) },
    { name: "AnthropicMessagesResponse", run: () => same(ours(AnthropicMessagesResponse.make(), size)) }
  ]
}))

await bench(groups)
