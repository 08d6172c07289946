/**
 * An example backend with a page to look at: `npm start`, then open the address that it prints.
 *
 * - `GET /`: the page
 * - `GET /events?prompt=…`: this library's events; a prompt about the weather may use a tool, one that asks for JSON gets it,
 *   and what JSON there is comes a second time as it grows (`server/partialJson.ts`)
 * - `POST /api/chat`: what `useChat` of the AI SDK sends and reads
 * - `POST /v1/chat/completions`: OpenAI's chat completions, `stream: true`
 *
 * The model is the demo's own, with `PACE` milliseconds between its tokens (20 by default), or any OpenAI-compatible server by
 * `LLM_BASE_URL`, `LLM_MODEL` and `LLM_API_KEY`. `PORT` is 3000 by default. On SIGTERM and ctrl-c answers have five seconds to
 * finish; the rest end with an error.
 */
import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { ByteSize, Config, Console, Effect, Layer, Schema, type Stream } from "effect"
import {
  FetchHttpClient,
  HttpRouter,
  HttpServer,
  HttpServerRequest,
  HttpServerResponse,
  type HttpServerError
} from "effect/http"
import * as Fs from "node:fs/promises"
import { createServer } from "node:http"
import {
  ContentFilter,
  GracefulShutdown,
  OpenAiChat,
  OpenAiChatResponse,
  type StreamEvent,
  SseResponse,
  type StreamError,
  StreamHandler,
  StreamModel,
  UiMessageStream
} from "../src/index.ts"
import * as Provider from "./demo/provider.ts"
import { environment } from "./demo/source.ts"
import * as PartialJson from "./server/partialJson.ts"
import * as Tools from "./server/tools.ts"

// -----------------------------------------------------------------------------
// model
// -----------------------------------------------------------------------------

const Model = Effect.gen(function* () {
  const server = yield* environment
  if (server.baseUrl !== "") return OpenAiChat.layer(server)
  const onCut = (sent: number, total: number) => Console.log(`The model was stopped: ${sent} of ${total} chunks.`)
  const pace = yield* Config.withDefault(Config.Int("PACE"), 20)
  return OpenAiChat.layer({ baseUrl: yield* Provider.serve({ pace, onCut }), model: Provider.model })
}).pipe(Layer.unwrap, Layer.provide(FetchHttpClient.layer))

const answer = <R>(
  events: Stream.Stream<StreamEvent.StreamEvent, StreamError.StreamError, R>
): Stream.Stream<StreamEvent.StreamEvent, StreamError.StreamError, R> =>
  events.pipe(ContentFilter.make({ patterns: [Provider.secret], replacement: "[REDACTED]" }), StreamHandler.events())

// -----------------------------------------------------------------------------
// routes
// -----------------------------------------------------------------------------

const page = Effect.map(
  Effect.promise(() => Fs.readFile(new URL("server/page.html", import.meta.url), "utf8")),
  (html) => HttpServerResponse.html(html)
)

const Query = Schema.Struct({ prompt: Schema.String.check(Schema.isMaxLength(10_000)) })

const events = Effect.gen(function* () {
  const { prompt } = yield* HttpServerRequest.schemaSearchParams(Query)
  const options = /\bJSON\b/i.test(prompt) ? { response_format: { type: "json_object" } } : {}
  // Only where it may help: some models refuse a request that offers tools.
  const model = /weather|forecast/i.test(prompt) ? Tools.stream : StreamModel.stream
  return yield* answer(model({ prompt, options })).pipe(PartialJson.follow, SseResponse.make())
})

const Chat = Schema.Struct({
  messages: Schema.Array(
    Schema.Struct({
      role: Schema.Literals(["system", "user", "assistant"]),
      parts: Schema.Array(Schema.Struct({ type: Schema.String, text: Schema.optional(Schema.String) }))
    })
  )
})

const chat = Effect.gen(function* () {
  const body = yield* HttpServerRequest.schemaBodyJson(Chat)
  const messages = body.messages.map(({ parts, role }) => ({
    role,
    content: parts.map(({ text, type }) => (type === "text" ? (text ?? "") : "")).join("")
  }))
  return yield* answer(StreamModel.stream({ messages })).pipe(UiMessageStream.make())
})

const Completion = Schema.Struct({
  messages: Schema.Array(Schema.Struct({ role: Schema.String, content: Schema.Unknown })),
  stream: Schema.Literal(true),
  stream_options: Schema.optional(Schema.Struct({ include_usage: Schema.optional(Schema.Boolean) }))
})

const completions = Effect.gen(function* () {
  const { messages, stream_options } = yield* HttpServerRequest.schemaBodyJson(Completion)
  const includeUsage = stream_options?.include_usage
  return yield* answer(StreamModel.stream({ messages })).pipe(OpenAiChatResponse.make({ includeUsage }))
})

/** Says what is wrong with a request, in the form that clients of every kind look for. */
const refusing = <R>(
  route: Effect.Effect<HttpServerResponse.HttpServerResponse, HttpServerError.HttpServerError | Schema.SchemaError, R>
) =>
  Effect.catchTag(route, "SchemaError", (error) =>
    Effect.succeed(
      HttpServerResponse.jsonUnsafe(
        { error: { message: error.message, type: "invalid_request_error", param: null, code: null } },
        { status: 400 }
      )
    )
  )

const Routes = Layer.mergeAll(
  HttpRouter.add("GET", "/", page),
  HttpRouter.add("GET", "/events", refusing(events)),
  HttpRouter.add("POST", "/api/chat", refusing(chat)),
  HttpRouter.add("POST", "/v1/chat/completions", refusing(completions))
)

// -----------------------------------------------------------------------------
// server
// -----------------------------------------------------------------------------

const Listening = Layer.effectDiscard(
  HttpServer.addressFormattedWith((address) => Console.log(`Listening on ${address}`))
)

const Server = Layer.unwrap(
  Effect.map(Config.withDefault(Config.Int("PORT"), 3000), (port) =>
    // Connections that clients keep open between requests would delay its stop by five seconds.
    NodeHttpServer.layer(() => createServer({ keepAliveTimeout: 500 }), { port, host: "127.0.0.1" })
  )
)

Listening.pipe(
  Layer.provideMerge(HttpRouter.serve(Routes, { disableListenLog: true, disableLogger: true })),
  GracefulShutdown.within("5 seconds"),
  Layer.provide([Server, Model, Layer.succeed(HttpServerRequest.MaxBodySize, ByteSize.mebibytes(1))]),
  Layer.launch,
  NodeRuntime.runMain
)
