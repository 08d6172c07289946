import { assert, describe, it } from "@effect/vitest"
import { Config, ConfigProvider, Deferred, Duration, Effect, Fiber, Layer, Option, Redacted, Stream } from "effect"
import { FetchHttpClient, HttpClient, HttpClientRequest, HttpClientResponse } from "effect/http"
import type { ServerResponse } from "node:http"
import * as StreamError from "../../src/StreamError.ts"
import * as StreamHandler from "../../src/StreamHandler.ts"
import * as StreamModel from "../../src/StreamModel.ts"
import * as OpenAiChat from "../../src/wire/OpenAiChat.ts"
import type * as Provider from "../../src/wire/Provider.ts"
import { heapUsed } from "../support/heap.ts"
import * as Loopback from "../support/loopback.ts"
import { collect, printed, pulls, reasonOf, show, textOf } from "../support/run.ts"

const hello = 'data: {"choices":[{"delta":{"content":"Hello"}}]}\n\n'
const stop = 'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
const secret = "sk-very-secret"

const model = (server: Loopback.Loopback, options?: Provider.LayerOptions) =>
  OpenAiChat.layer({ baseUrl: `${server.url}/v1/`, apiKey: Redacted.make(secret), model: "m", ...options }).pipe(
    Layer.provide(FetchHttpClient.layer)
  )

/** The events of a request, and the failure, which is one of the library's own. */
const ask = (
  server: Loopback.Loopback,
  request: StreamModel.StreamRequest = { prompt: "hi" },
  options?: Provider.LayerOptions
) => Effect.provide(collect(StreamModel.stream(request)), model(server, options))

/** The same response, as of a client that is not fetch. */
const withoutWeb = (response: HttpClientResponse.HttpClientResponse): HttpClientResponse.HttpClientResponse =>
  new Proxy(response, {
    get: (target, key): unknown => (String(key).endsWith("/WebSource") ? undefined : Reflect.get(target, key))
  })

describe("a request", () => {
  it.live("is a POST with the key, the model, the messages, and a wish for usage", () =>
    Effect.gen(function* () {
      const server = yield* Loopback.serve((response) => {
        Loopback.begin(response)
        response.end(hello + stop)
      })
      const messages = [
        { role: "system", content: "be brief" },
        { role: "user", content: [{ type: "text", text: "hi" }], name: "x" }
      ]
      const options = { temperature: 0, stream_options: { include_usage: false } }
      yield* ask(server)
      yield* ask(server, { messages, model: "other", options }, { headers: { "x-title": "test" } })
      const [first, second] = server.requests
      assert.strictEqual(first?.url, "/v1/chat/completions")
      assert.strictEqual(first?.headers.authorization, `Bearer ${secret}`)
      assert.strictEqual(first?.headers["content-type"], "application/json")
      assert.strictEqual(first?.headers.accept, "text/event-stream")
      assert.deepStrictEqual(JSON.parse(first!.body), {
        model: "m",
        messages: [{ role: "user", content: "hi" }],
        stream: true,
        stream_options: { include_usage: true }
      })
      assert.strictEqual(second?.headers["x-title"], "test")
      assert.deepStrictEqual(JSON.parse(second!.body), { model: "other", messages, stream: true, ...options })
    })
  )

  it.live("is sent anew by each run, and not before", () =>
    Effect.gen(function* () {
      const server = yield* Loopback.serve((response) => response.end(hello + stop))
      const text = StreamModel.stream({ prompt: "hi" }).pipe(StreamHandler.runText(), Effect.provide(model(server)))
      assert.strictEqual(server.requests.length, 0)
      assert.deepStrictEqual([yield* text, yield* text], ["Hello", "Hello"])
      assert.strictEqual(server.requests.length, 2)
    })
  )

  it.live("that cannot be encoded is a SourceFailure", () =>
    Effect.gen(function* () {
      const server = yield* Loopback.serve((response) => response.end())
      const { events, failure } = yield* ask(server, { prompt: "hi", options: { big: 1n } })
      assert.deepStrictEqual(events, [])
      assert.strictEqual(failure?.reason._tag, "SourceFailure")
      assert.strictEqual(server.requests.length, 0)
    })
  )

  it.live("that nobody takes is a SourceFailure that says where", () =>
    Effect.gen(function* () {
      const gone = yield* Effect.scoped(Loopback.serve(() => {}))
      const { events, failure } = yield* ask(gone)
      assert.deepStrictEqual(events, [])
      assert.strictEqual(failure?.reason._tag, "SourceFailure")
      assert.include(failure!.message, gone.url)
      assert.strictEqual(failure?.context?.provider, "openai")
      assert.notInclude(printed(failure!), secret)
    })
  )

  it.live("tells which stream it was when it fails", () =>
    Effect.gen(function* () {
      const server = yield* Loopback.serve((response) => {
        Loopback.begin(response, { "x-request-id": "req_1" })
        response.end(hello)
      })
      const { failure } = yield* ask(server, { prompt: "hi", model: "other" }, { provider: "acme" })
      const { elapsed, ...context } = failure?.context ?? {}
      assert.deepStrictEqual(context, { provider: "acme", model: "other", requestId: "req_1" })
      assert.isTrue(elapsed !== undefined && Duration.toMillis(elapsed) > 0)
      assert.strictEqual(failure?.reason._tag, "Truncated")
    })
  )
})

describe("a status outside 2xx", () => {
  const answer = (
    status: number,
    body: string | ((response: ServerResponse) => void),
    headers?: Readonly<Record<string, string>>
  ) =>
    Effect.gen(function* () {
      const server = yield* Loopback.serve((response) => {
        response.writeHead(status, headers)
        if (typeof body === "string") response.end(body)
        else body(response)
      })
      const { events, failure } = yield* ask(server)
      assert.deepStrictEqual(events, [], "there is no Start")
      assert.notInclude(printed(failure!), secret)
      return reasonOf(failure, "ProviderFailure")
    })

  it.live("has the provider's code and message", () =>
    Effect.gen(function* () {
      const body = {
        error: { message: "Incorrect API key provided", type: "invalid_request_error", code: "invalid_api_key" }
      }
      assert.deepInclude(yield* answer(401, JSON.stringify(body)), {
        provider: "openai",
        status: 401,
        code: "invalid_api_key",
        message: "Incorrect API key provided",
        isRetryable: false,
        retryAfter: undefined
      })
    })
  )

  it.live("and all other shapes of bodies", () =>
    Effect.gen(function* () {
      const shapes: ReadonlyArray<readonly [body: unknown, code: string | undefined, message: string]> = [
        [{ message: "no", code: 7 }, "7", "no"],
        [{ error: "no" }, undefined, "no"],
        [{ detail: "no" }, undefined, "no"],
        [{ error: { code: 400, message: "no", status: "INVALID_ARGUMENT" } }, "400", "no"],
        [[{ error: { code: 400, message: "no", status: "INVALID_ARGUMENT" } }], "400", "no"],
        [{ error: { status: "RESOURCE_EXHAUSTED", message: "no" } }, "RESOURCE_EXHAUSTED", "no"],
        [[], undefined, "HTTP status 500"],
        [{}, undefined, "HTTP status 500"],
        ["", undefined, "HTTP status 500"]
      ]
      for (const [body, code, message] of shapes) {
        const reason = yield* answer(500, JSON.stringify(body))
        assert.deepStrictEqual([reason.code, reason.message], [code, message], JSON.stringify(body))
      }
    })
  )

  it.live("a body that is text is the message, up to a length; none is said to be none", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* answer(502, "<html>Bad Gateway</html>")).message, "<html>Bad Gateway</html>")
      assert.strictEqual((yield* answer(502, "")).message, "HTTP status 502")
      assert.strictEqual((yield* answer(502, "x".repeat(100_000))).message.length, 1000)
    })
  )

  it.live("a body without end is not read to its end", () =>
    Effect.gen(function* () {
      const reason = yield* answer(500, (response) => Loopback.flood(response, new Uint8Array(10_000).fill(120)))
      assert.strictEqual(reason.message, "x".repeat(1000))
    })
  )

  it.live("a body that breaks off leaves the status", () =>
    Effect.gen(function* () {
      const reason = yield* answer(503, (response) => {
        response.write("half")
        setTimeout(() => response.destroy(), 20)
      })
      assert.deepInclude(reason, { status: 503, isRetryable: true })
    })
  )

  it.live("says whether to try again", () =>
    Effect.gen(function* () {
      const retryable: Array<number> = []
      for (const status of [400, 401, 403, 404, 408, 409, 413, 422, 425, 429, 500, 502, 503, 504, 529]) {
        if ((yield* answer(status, "")).isRetryable) retryable.push(status)
      }
      assert.deepStrictEqual(retryable, [408, 409, 425, 429, 500, 502, 503, 504, 529])
    })
  )

  it.live("and when, in seconds, milliseconds, or by a date", () =>
    Effect.gen(function* () {
      const after = (headers: Readonly<Record<string, string>>) =>
        Effect.map(answer(429, "", headers), ({ retryAfter }) => retryAfter && Duration.toMillis(retryAfter))
      assert.strictEqual(yield* after({}), undefined)
      assert.strictEqual(yield* after({ "retry-after": "20" }), 20_000)
      assert.strictEqual(yield* after({ "retry-after": "0.5" }), 500)
      assert.strictEqual(yield* after({ "retry-after": "20", "retry-after-ms": "1500" }), 1500)
      assert.strictEqual(yield* after({ "retry-after": "0" }), 0)
      for (const nonsense of ["", " ", "-5", "soon", "Infinity", "NaN"]) {
        assert.strictEqual(yield* after({ "retry-after": nonsense, "retry-after-ms": nonsense }), undefined, nonsense)
      }
      assert.strictEqual(yield* after({ "retry-after": "3", "retry-after-ms": "x" }), 3000)
      const date = (yield* after({ "retry-after": new Date(Date.now() + 60_000).toUTCString() }))!
      assert.isTrue(date > 50_000 && date <= 60_000, `${date}`)
      assert.strictEqual(yield* after({ "retry-after": new Date(0).toUTCString() }), 0)
    })
  )
})

describe("a response", () => {
  it.live("Start comes with the headers, text when it arrives", () =>
    Effect.gen(function* () {
      const parts: Array<string> = []
      const steps: Array<() => void> = []
      const server = yield* Loopback.serve((response) => {
        steps.push(
          () => response.write(hello),
          () => response.end(hello + stop)
        )
        Loopback.begin(response)
      })
      // The server sends the next part only when the part before has come through.
      yield* StreamModel.stream({ prompt: "hi" }).pipe(
        Stream.runForEach((event) =>
          Effect.sync(() => {
            parts.push(event._tag)
            if (event._tag === "Start" || (event._tag === "Delta" && parts.length === 2)) steps.shift()!()
          })
        ),
        Effect.provide(model(server))
      )
      assert.deepStrictEqual(parts, ["Start", "Delta", "Delta", "Metadata", "End"])
    })
  )

  it.live("one byte per packet", () =>
    Effect.gen(function* () {
      const text = "naïve 日本 😀"
      const body = `data: {"choices":[{"delta":{"content":"${text}"}}]}\r\n\r\n${stop}`
      const server = yield* Loopback.serve((response) => {
        Loopback.begin(response)
        Loopback.trickle(response, new TextEncoder().encode(body))
      })
      const { events, failure } = yield* ask(server)
      assert.isUndefined(failure)
      assert.deepStrictEqual(events.map(show), [
        "Start {}",
        `Delta ${JSON.stringify(text)}`,
        'Metadata {"kind":"finish","finishReason":"stop","providerFinishReason":"stop","metadata":{}}',
        'End {"finishReason":"stop"}'
      ])
    })
  )

  it.live("that is reset fails with SourceFailure behind the text that had arrived", () =>
    Effect.gen(function* () {
      const server = yield* Loopback.serve((response, request) => {
        Loopback.begin(response)
        response.write(hello)
        setTimeout(request.reset, 50)
      })
      const { events, failure } = yield* ask(server)
      assert.strictEqual(textOf(events, "Delta"), "Hello")
      assert.strictEqual(failure?.reason._tag, "SourceFailure")
      assert.strictEqual(failure?.context?.model, "m")
      assert.notInclude(printed(failure!), secret)
    })
  )

  it.live("that ends early is Truncated", () =>
    Effect.gen(function* () {
      const server = yield* Loopback.serve((response) => {
        Loopback.begin(response)
        response.end(hello)
      })
      const { events, failure } = yield* ask(server)
      assert.strictEqual(textOf(events, "Delta"), "Hello")
      assert.strictEqual(failure?.reason._tag, "Truncated")
    })
  )

  it.live("that lingers behind [DONE] is not waited for", () =>
    Effect.gen(function* () {
      const server = yield* Loopback.serve((response) => {
        Loopback.begin(response)
        response.write(`${hello}${stop}data: [DONE]\n\n`)
      })
      const { failure } = yield* ask(server)
      assert.isUndefined(failure)
      yield* Effect.timeout(server.requests[0]!.closed, "1 second")
    })
  )

  it.live("that has no body, or an empty one, is Truncated or a SourceFailure, with a Start or without", () =>
    Effect.gen(function* () {
      for (const status of [200, 204]) {
        const server = yield* Loopback.serve((response) => {
          response.writeHead(status)
          response.end()
        })
        const { failure } = yield* ask(server)
        assert.include(["Truncated", "SourceFailure"], failure?.reason._tag)
      }
    })
  )

  it.live("with a line without end fails at the limit, with bounded memory, and lets go of the connection", () =>
    Effect.gen(function* () {
      const server = yield* Loopback.serve((response) => {
        Loopback.begin(response)
        response.write(hello + "data: ")
        Loopback.flood(response, new Uint8Array(64 * 1024).fill(120))
      })
      const before = heapUsed()
      const { events, failure } = yield* ask(server)
      assert.strictEqual(textOf(events, "Delta"), "Hello")
      assert.strictEqual(failure?.reason._tag, "FrameTooLarge")
      yield* Effect.timeout(server.requests[0]!.closed, "1 second")
      assert.isBelow(heapUsed() - before, 60)
    })
  )
})

describe("leaving", () => {
  const stalled = Loopback.serve((response, request) => {
    if (request.body.includes("no head")) return
    Loopback.begin(response)
    if (!request.body.includes("no text")) response.write(hello + hello + hello)
  })

  /** The server sees the close within a second. */
  const isClosed = (server: Loopback.Loopback) => Effect.timeout(server.requests[0]!.closed, "1 second")

  it.live.each([1, 2, 3])("take(%i) closes the request", (n) =>
    Effect.gen(function* () {
      const server = yield* stalled
      const events = yield* StreamModel.stream({ prompt: "hi" }).pipe(
        Stream.take(n),
        Stream.runCollect,
        Effect.provide(model(server))
      )
      assert.strictEqual(events.length, n)
      yield* isClosed(server)
    })
  )

  it.live("so does an interruption while the body stalls", () =>
    Effect.gen(function* () {
      const server = yield* stalled
      const seen = yield* Deferred.make<void>()
      const fiber = yield* StreamModel.stream({ prompt: "hi" }).pipe(
        Stream.runForEach((event) => (event._tag === "Delta" ? Deferred.succeed(seen, undefined) : Effect.void)),
        Effect.provide(model(server)),
        Effect.forkChild
      )
      yield* Deferred.await(seen)
      yield* Fiber.interrupt(fiber)
      yield* isClosed(server)
    })
  )

  it.live.each(["no head", "no text"])("so does an interruption before there is any text: %s", (prompt) =>
    Effect.gen(function* () {
      const server = yield* stalled
      const fiber = yield* StreamModel.stream({ prompt }).pipe(
        Stream.runDrain,
        Effect.provide(model(server)),
        Effect.forkChild
      )
      while (server.requests.length === 0) yield* Effect.sleep(5)
      yield* Fiber.interrupt(fiber)
      yield* isClosed(server)
    })
  )

  it.live("so does a failure further down", () =>
    Effect.gen(function* () {
      const server = yield* stalled
      const failure = yield* StreamModel.stream({ prompt: "hi" }).pipe(
        Stream.runForEach((event) => (event._tag === "Delta" ? Effect.fail("enough") : Effect.void)),
        Effect.provide(model(server)),
        Effect.flip
      )
      assert.strictEqual(failure, "enough")
      yield* isClosed(server)
    })
  )
})

describe("layers", () => {
  it.live("layerConfig takes what is configured", () =>
    Effect.gen(function* () {
      const server = yield* Loopback.serve((response) => response.end(hello + stop))
      const env = { LLM_BASE_URL: server.url, LLM_API_KEY: secret, LLM_MODEL: "m2" }
      const layer = OpenAiChat.layerConfig({
        baseUrl: Config.String("LLM_BASE_URL"),
        apiKey: Config.Redacted("LLM_API_KEY"),
        model: Config.String("LLM_MODEL"),
        headers: { "x-title": "test" },
        provider: "acme"
      }).pipe(
        Layer.provide(FetchHttpClient.layer),
        Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env })))
      )
      const text = yield* StreamModel.stream({ prompt: "hi" }).pipe(StreamHandler.runText(), Effect.provide(layer))
      assert.strictEqual(text, "Hello")
      const [request] = server.requests
      assert.strictEqual(request?.headers.authorization, `Bearer ${secret}`)
      assert.strictEqual(request?.headers["x-title"], "test")
      assert.strictEqual(JSON.parse(request!.body).model, "m2")
    })
  )

  it.effect("a missing variable is named", () =>
    Effect.gen(function* () {
      const layer = OpenAiChat.layerConfig({ apiKey: Config.Redacted("LLM_API_KEY") }).pipe(
        Layer.provide(FetchHttpClient.layer),
        Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env: {} })))
      )
      const error = yield* Effect.flip(Effect.scoped(Layer.build(layer)))
      assert.include(error.message, "LLM_API_KEY")
    })
  )

  it.live("fromResponse decodes a response that you asked for yourself", () =>
    Effect.gen(function* () {
      const server = yield* Loopback.serve((response, request) => {
        response.writeHead(request.url === "/ok" ? 200 : 404)
        response.end(hello + stop)
      })
      const client = yield* HttpClient.HttpClient
      const get = (path: string) =>
        Effect.flatMap(client.execute(HttpClientRequest.get(server.url + path)), (response) =>
          pulls(OpenAiChat.fromResponse(response, { provider: "acme" }))
        )
      const ok = yield* get("/ok")
      assert.deepStrictEqual(
        ok.map((events) => events.map((event) => event._tag).join()),
        ["Start", "Delta", "Metadata,End"]
      )
      const plain = withoutWeb(yield* client.execute(HttpClientRequest.get(`${server.url}/ok`)))
      assert.isTrue(Option.isNone(HttpClientResponse.toWeb(plain)))
      const events = yield* pulls(OpenAiChat.fromResponse(plain))
      assert.deepStrictEqual(events.flat().map(show), ok.flat().map(show))
      const failure = yield* Effect.flip(get("/gone"))
      assert.isTrue(StreamError.isStreamError(failure))
      assert.deepInclude(reasonOf(failure as StreamError.StreamError, "ProviderFailure"), {
        provider: "acme",
        status: 404
      })
    }).pipe(Effect.provide(FetchHttpClient.layer))
  )
})

it.live("whether to try again is what the server says, where it does", () =>
  Effect.gen(function* () {
    for (const [status, word, isRetryable] of [
      [500, "false", false],
      [400, "true", true],
      [500, "perhaps", true]
    ] as const) {
      const server = yield* Loopback.serve((response) => {
        response.writeHead(status, { "x-should-retry": word })
        response.end()
      })
      const { failure } = yield* ask(server)
      assert.strictEqual(reasonOf(failure, "ProviderFailure").isRetryable, isRetryable)
    }
  }).pipe(Effect.scoped)
)
