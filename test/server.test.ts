import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { DefaultChatTransport, readUIMessageStream, type UIMessage } from "ai"
import { Effect, Exit, JsonPatch, type Schema, Scope } from "effect"
import { FetchHttpClient } from "effect/http"
import { once } from "node:events"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import OpenAI, { BadRequestError } from "openai"
import * as Provider from "../scratchpad/demo/provider.ts"
import { StreamClient, StreamEvent, StreamHandler } from "../src/index.ts"
import * as ExampleServer from "./support/exampleServer.ts"

const scope = Scope.makeUnsafe()
const start = (environment?: Readonly<Record<string, string>>) =>
  Effect.runPromise(Scope.provide(ExampleServer.serve(environment), scope))

let server: ExampleServer.ExampleServer
let url = ""
beforeAll(async () => {
  server = await start()
  url = server.url
})
afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

const messages: Array<UIMessage> = [{ id: "1", role: "user", parts: [{ type: "text", text: "hi" }] }]

describe("the example backend", () => {
  it("has a page that asks no other host", async () => {
    const response = await fetch(url)
    const page = await response.text()
    assert.include(response.headers.get("content-type"), "text/html")
    assert.include(page, '<form id="form">')
    assert.notMatch(page, /https?:\/\//)
  })

  it("answers in each protocol, without the secret", { timeout: 60_000 }, async () => {
    const events = StreamClient.events(`${url}/events?prompt=hi`).pipe(
      StreamHandler.run(),
      Effect.provide(FetchHttpClient.layer)
    )
    const chat = async () => {
      const stream = await new DefaultChatTransport({ api: `${url}/api/chat` }).sendMessages({
        trigger: "submit-message",
        chatId: "c",
        messageId: undefined,
        messages,
        abortSignal: undefined
      })
      let last: UIMessage | undefined
      for await (const message of readUIMessageStream({ stream, terminateOnError: true })) last = message
      return last?.parts.map((part) => (part.type === "text" ? part.text : "")).join("")
    }
    const completion = () =>
      new OpenAI({ baseURL: `${url}/v1`, apiKey: "k" }).chat.completions
        .stream({ model: "m", messages: [{ role: "user", content: "hi" }], stream_options: { include_usage: true } })
        .finalChatCompletion()
    const [result, ui, openAi] = await Promise.all([Effect.runPromise(events), chat(), completion()])
    assert.include(result.text, "You are watching it.")
    assert.include(result.text, "[REDACTED]")
    assert.include(result.reasoning, "[REDACTED]")
    assert.notInclude(result.text + result.reasoning, Provider.secret)
    assert.strictEqual(ui, result.text)
    assert.strictEqual(openAi.choices[0]?.message.content, result.text)
    assert.strictEqual(openAi.usage?.completion_tokens, result.usage?.outputTokens.total)
  })

  it("runs a tool between two steps of one stream", { timeout: 60_000 }, async () => {
    const result = await StreamClient.events(`${url}/events?prompt=weather`).pipe(
      StreamEvent.validate,
      StreamHandler.run(),
      Effect.provide(FetchHttpClient.layer),
      Effect.runPromise
    )
    const [call] = result.toolCalls
    assert.deepStrictEqual(call?.input, {
      place: "Oslo, Norway",
      days: ["Friday", "Saturday", "Sunday"],
      units: "metric"
    })
    const [told] = result.toolResults
    assert.strictEqual(told?.id, call?.id)
    assert.deepInclude(told?.output, { day: "Friday", sky: "light rain", high: "9 °C" })
    assert.match(result.text, /^Take an umbrella/)
    assert.strictEqual(result.finishReason, "stop")
  })

  it("sends JSON as it grows, in patches", { timeout: 60_000 }, async () => {
    const result = await StreamClient.events(`${url}/events?prompt=JSON`).pipe(
      StreamHandler.run(),
      Effect.provide(FetchHttpClient.layer),
      Effect.runPromise
    )
    const patches = result.metadata.filter(({ kind }) => kind === "json").map(({ metadata }) => metadata)
    const value = patches.reduce<Schema.Json>(
      (value, { patch }) => JsonPatch.apply(patch as JsonPatch.JsonPatch, value),
      null
    )
    assert.deepInclude(value, { title: "Dumplings with chives and “lucky” pork", serves: 4 })
    assert.isAbove(patches.length, 50)
    assert.deepStrictEqual(
      patches.map(({ state }) => state).filter((state) => state !== "growing"),
      ["whole"]
    )
  })

  it("says what is wrong with a request", async () => {
    const missing = await fetch(`${url}/events`)
    assert.strictEqual(missing.status, 400)
    assert.include(await missing.text(), "prompt")
    const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "k", maxRetries: 0 })
    const whole = await client.chat.completions
      .create({ model: "m", messages: [{ role: "user", content: "hi" }] })
      .catch((error: unknown) => error)
    assert.instanceOf(whole, BadRequestError)
    const text = await fetch(`${url}/api/chat`, { method: "POST", body: "{" })
    assert.strictEqual(text.status, 400)
    const large = JSON.stringify({ messages: [{ role: "user", content: "x".repeat(2_000_000) }], stream: true })
    const refused = await fetch(`${url}/v1/chat/completions`, { method: "POST", body: large }).then(
      (response) => response.status,
      () => "the connection was closed"
    )
    assert.include([400, 413, "the connection was closed"], refused)
  })

  it("stops the model when the client leaves", async () => {
    const controller = new AbortController()
    const { body } = await fetch(`${url}/events?prompt=hi`, { signal: controller.signal })
    await body!.getReader().read()
    controller.abort()
    const [, sent, total] = await server.printed(/The model was stopped: (\d+) of (\d+) chunks/)
    assert.isBelow(Number(sent), Number(total))
  })

  it("ends when it is told to, and its answers with it", { timeout: 60_000 }, async () => {
    // In place of the demo's, a model that does not come to an end.
    const silent = createServer((_, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" })
      response.write('data: {"choices":[{"delta":{"content":"Hello"}}]}\n\n')
    }).listen(0, "127.0.0.1")
    await once(silent, "listening")
    const baseUrl = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`
    const { child, url } = await start({ LLM_BASE_URL: baseUrl, LLM_MODEL: "m" })
    const response = await fetch(`${url}/events?prompt=hi`)
    const closed = once(child, "close")
    child.kill("SIGTERM")
    const frames = (await response.text()).trim().split("\n\n")
    assert.deepInclude(JSON.parse(frames.at(-1)!.replace("data: ", "")).error.reason, {
      code: "ServerShutdown",
      message: "The server is shutting down"
    })
    assert.isTrue(frames.some((frame) => frame.includes('"delta":"Hello"')))
    await closed
    silent.close()
    silent.closeAllConnections()
  })
})
