import { assert, describe, it } from "@effect/vitest"
import {
  DefaultChatTransport,
  readUIMessageStream,
  uiMessageChunkSchema,
  type UIMessage,
  type UIMessageChunk
} from "ai"
import { Deferred, Effect, Exit, Stream } from "effect"
import * as UiMessageStream from "../../src/serve/UiMessageStream.ts"
import * as StreamError from "../../src/StreamError.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as StreamArbitrary from "../../src/testing/StreamArbitrary.ts"
import * as Backend from "../support/backend.ts"
import * as Loopback from "../support/loopback.ts"

interface Answer {
  readonly chunks: ReadonlyArray<UIMessageChunk>
  readonly message: UIMessage | undefined
  readonly errors: ReadonlyArray<string>
  readonly failure: unknown
}

/** What `useChat` gets of a backend: its transport, and its reader of messages. */
const chat = (
  api: string,
  options?: { readonly signal?: AbortSignal; readonly onChunk?: (chunk: UIMessageChunk) => void }
) =>
  Effect.promise(async (): Promise<Answer> => {
    const chunks: Array<UIMessageChunk> = []
    const errors: Array<string> = []
    let message: UIMessage | undefined
    let failure: unknown
    try {
      const stream = await new DefaultChatTransport({ api }).sendMessages({
        trigger: "submit-message",
        chatId: "c",
        messageId: undefined,
        messages: [{ id: "u", role: "user", parts: [{ type: "text", text: "hi" }] }],
        abortSignal: options?.signal
      })
      const seen = stream.pipeThrough(
        new TransformStream<UIMessageChunk, UIMessageChunk>({
          transform(chunk, controller) {
            chunks.push(chunk)
            options?.onChunk?.(chunk)
            controller.enqueue(chunk)
          }
        })
      )
      const messages = readUIMessageStream({
        stream: seen,
        terminateOnError: false,
        onError: (error) => errors.push((error as Error).message)
      })
      for await (const next of messages) message = structuredClone(next)
    } catch (error) {
      failure = error
    }
    return { chunks, message, errors, failure }
  })

const ask = <E>(events: Stream.Stream<StreamEvent.StreamEvent, E>, options?: UiMessageStream.Options) =>
  Effect.scoped(Effect.flatMap(Backend.serve(events.pipe(UiMessageStream.make(options))), chat))

const typesOf = (answer: Answer): string => answer.chunks.map((chunk) => chunk.type).join(" ")

const partsOf = (answer: Answer): ReadonlyArray<unknown> =>
  JSON.parse(JSON.stringify(answer.message?.parts.filter((part) => part.type !== "step-start") ?? []))

const start = StreamEvent.start(0, { id: "msg_1" })
const end = StreamEvent.end(0, "stop")

describe("the AI SDK's client", () => {
  it.live("reads text and reasoning in their parts, usage and finish reason", () =>
    Effect.gen(function* () {
      const usage = { inputTokens: { total: 3 }, outputTokens: { total: 5 } }
      const answer = yield* ask(
        Stream.make(
          start,
          StreamEvent.reasoning(0, "hm", "0"),
          StreamEvent.reasoning(0, "m", "0"),
          StreamEvent.delta(0, "Hel", "1"),
          StreamEvent.progress(0, "ping"),
          StreamEvent.delta(0, "lo", "1"),
          StreamEvent.delta(0, ""),
          StreamEvent.delta(0, "more", "2"),
          StreamEvent.metadata(0, "finish", { usage, finishReason: "length" }),
          StreamEvent.end(0, "length")
        )
      )
      assert.isUndefined(answer.failure)
      assert.strictEqual(
        typesOf(answer),
        "start start-step reasoning-start reasoning-delta reasoning-delta reasoning-end " +
          "text-start text-delta text-delta text-end text-start text-delta text-end finish-step finish"
      )
      assert.deepStrictEqual(partsOf(answer), [
        { type: "reasoning", id: "0", text: "hmm", state: "done" },
        { type: "text", text: "Hello", state: "done" },
        { type: "text", text: "more", state: "done" }
      ])
      assert.strictEqual(answer.message?.id, "msg_1")
      assert.deepStrictEqual(answer.message?.metadata, { usage })
      assert.deepInclude(answer.chunks.at(-1), { type: "finish", finishReason: "length" })
    })
  )

  it.live("reads tool calls, their results, and the step behind them", () =>
    Effect.gen(function* () {
      const answer = yield* ask(
        Stream.make(
          start,
          StreamEvent.delta(0, "Let me see"),
          StreamEvent.toolCallDelta(0, "a", "search", '{"q":'),
          StreamEvent.toolCallDelta(0, "b", "broken", "{"),
          StreamEvent.toolCallDelta(0, "a", "search", '"x"}'),
          StreamEvent.toolCall(0, { id: "a", name: "search", argumentsText: '{"q":"x"}', input: { q: "x" } }),
          StreamEvent.toolCall(0, { id: "b", name: "broken", argumentsText: "{}", input: {} }),
          StreamEvent.toolResult(0, { id: "a", name: "search", output: { hits: 2 }, isError: false }),
          StreamEvent.toolResult(0, { id: "b", name: "broken", output: { why: "no" }, isError: true }),
          StreamEvent.delta(0, "Two hits"),
          end
        )
      )
      assert.isUndefined(answer.failure)
      assert.deepStrictEqual(partsOf(answer), [
        { type: "text", text: "Let me see", state: "done" },
        { type: "tool-search", toolCallId: "a", state: "output-available", input: { q: "x" }, output: { hits: 2 } },
        { type: "tool-broken", toolCallId: "b", state: "output-error", input: {}, errorText: '{"why":"no"}' },
        { type: "text", text: "Two hits", state: "done" }
      ])
      assert.deepStrictEqual(
        answer.message?.parts.map((part) => part.type),
        ["step-start", "text", "tool-search", "tool-broken", "step-start", "text"]
      )
    })
  )

  it.live("reads what the provider runs itself, sources, files, calls that broke off, retractions", () =>
    Effect.gen(function* () {
      const answer = yield* ask(
        Stream.make(
          start,
          StreamEvent.metadata(0, "hosted-tool-call", {
            metadata: { id: "w", name: "web", input: { q: "x" }, item: {} }
          }),
          StreamEvent.toolResult(0, { id: "w", name: "web", output: undefined, isError: false }),
          StreamEvent.toolResult(0, { id: "y", name: "code", output: "1", isError: false }),
          StreamEvent.metadata(0, "citation", {
            metadata: { url_citation: { url: "https://a.example/", title: "A" } }
          }),
          StreamEvent.metadata(0, "source", { metadata: { id: "s", uri: "https://b.example/" } }),
          StreamEvent.metadata(0, "source", { metadata: { mediaType: "application/pdf", filename: "c.pdf" } }),
          StreamEvent.metadata(0, "source", { metadata: { nothing: true } }),
          StreamEvent.metadata(0, "file", { metadata: { mimeType: "image/png", data: "AAAA" } }),
          StreamEvent.metadata(0, "retract", { metadata: { offset: 3 } }),
          StreamEvent.metadata(0, "unknown", { metadata: { secret: "internal" } }),
          StreamEvent.metadata(0, "incomplete-tool-call", { metadata: { id: "z", name: "cut", argumentsText: '{"a' } }),
          StreamEvent.refusal(0, "I will not"),
          StreamEvent.end(0, "pause")
        )
      )
      assert.isUndefined(answer.failure)
      assert.deepStrictEqual(partsOf(answer), [
        {
          type: "tool-web",
          toolCallId: "w",
          state: "output-available",
          input: { q: "x" },
          output: null,
          providerExecuted: true
        },
        {
          type: "tool-code",
          toolCallId: "y",
          state: "output-available",
          input: {},
          output: "1",
          providerExecuted: true
        },
        { type: "source-url", sourceId: "https://a.example/", url: "https://a.example/", title: "A" },
        { type: "source-url", sourceId: "s", url: "https://b.example/" },
        {
          type: "source-document",
          sourceId: "c.pdf",
          mediaType: "application/pdf",
          title: "c.pdf",
          filename: "c.pdf"
        },
        { type: "file", mediaType: "image/png", url: "data:image/png;base64,AAAA" },
        { type: "tool-cut", toolCallId: "z", state: "output-error", input: '{"a', errorText: "The call broke off" },
        { type: "text", text: "I will not", state: "done" }
      ])
      assert.deepInclude(answer.chunks, { type: "data-retract", data: { offset: 3 }, transient: true })
      assert.notInclude(JSON.stringify(answer), "internal")
      assert.deepInclude(answer.chunks.at(-1), { type: "finish", finishReason: "other" })
    })
  )

  it.live("keeps what must be sent back, and nothing of the text that it signs", () =>
    Effect.gen(function* () {
      const sign = (metadata: Readonly<Record<string, unknown>>) =>
        StreamEvent.metadata(0, "signature", { metadata: { ...metadata, block: { thinking: "filtered" } } })
      const call = { id: "a", name: "f", argumentsText: "{}", input: {} }
      const events = Stream.make(
        start,
        StreamEvent.reasoning(0, "hm", "0.s0"),
        sign({ part: "0", signature: "one" }),
        sign({ part: "1", signature: "two" }),
        sign({ part: "2" }),
        StreamEvent.toolCallDelta(0, "a", "f", "{"),
        sign({ id: "a", signature: "three" }),
        StreamEvent.toolCallDelta(0, "a", "f", "}"),
        StreamEvent.toolCall(0, call),
        sign({ id: "a", signature: "late" }),
        StreamEvent.delta(0, "Hi"),
        sign({ signature: "four" }),
        end
      )
      const answer = yield* ask(events, { provider: "anthropic" })
      assert.isUndefined(answer.failure)
      const metadata = (signature: string) => ({ anthropic: { signature } })
      assert.deepStrictEqual(partsOf(answer), [
        { type: "reasoning", id: "0.s0", text: "hm", providerMetadata: metadata("one"), state: "done" },
        { type: "reasoning", id: "1", text: "", providerMetadata: metadata("two"), state: "done" },
        {
          type: "tool-f",
          toolCallId: "a",
          state: "input-available",
          input: {},
          callProviderMetadata: metadata("three")
        },
        { type: "text", text: "Hi", providerMetadata: metadata("four"), state: "done" }
      ])
      assert.notInclude(JSON.stringify(answer), "filtered")
    })
  )

  it.live("reads the parts that only its protocol has", () =>
    Effect.gen(function* () {
      const metadata = (kind: string, metadata: Readonly<Record<string, unknown>>) =>
        StreamEvent.metadata(0, kind, { metadata })
      const answer = yield* ask(
        Stream.make(
          start,
          metadata("message-metadata", { messageMetadata: { topic: "x" } }),
          StreamEvent.toolCall(0, { id: "a", name: "sql", argumentsText: "SELECT 1", input: "SELECT 1" }),
          metadata("tool-result", { id: "a", output: 1 }),
          metadata("tool-result", { id: "nobody", output: 1 }),
          StreamEvent.toolCall(0, { id: "b", name: "rm", argumentsText: '{ "all": true }', input: { all: true } }),
          metadata("tool-approval-request", { approvalId: "p", toolCallId: "b" }),
          metadata("tool-approval-request", { approvalId: "q", toolCallId: "nobody" }),
          metadata("tool-approval-response", { approvalId: "p", approved: false }),
          metadata("tool-output-denied", { toolCallId: "b" }),
          metadata("step", { step: 2 }),
          metadata("data", { name: "weather", id: "d", data: { c: 20 } }),
          metadata("data", { name: "weather", id: "d", data: { c: 21 } }),
          metadata("data", { data: "no name" }),
          metadata("custom", { kind: "a.b" }),
          metadata("custom", { nothing: true }),
          metadata("steering-message", { id: "u", parts: [{ type: "text", text: "faster" }] }),
          metadata("steering-message", { id: "u" }),
          metadata("error", { errorText: "no failure" }),
          metadata("file", { thought: true, mime_type: "image/png", uri: "https://a.example/a.png" }),
          end
        )
      )
      assert.isUndefined(answer.failure)
      assert.deepStrictEqual(answer.errors, [])
      assert.deepStrictEqual(answer.message?.metadata, { topic: "x" })
      assert.deepStrictEqual(partsOf(answer), [
        {
          type: "tool-sql",
          toolCallId: "a",
          state: "output-available",
          input: "SELECT 1",
          output: 1,
          preliminary: true
        },
        {
          type: "tool-rm",
          toolCallId: "b",
          state: "output-denied",
          input: { all: true },
          approval: { id: "p", approved: false }
        },
        { type: "data-weather", id: "d", data: { c: 21 } },
        { type: "custom", kind: "a.b" },
        { type: "steering-message", id: "u", parts: [{ type: "text", text: "faster" }] },
        { type: "reasoning-file", mediaType: "image/png", url: "https://a.example/a.png" }
      ])
      assert.strictEqual(answer.message?.parts.filter((part) => part.type === "step-start").length, 2)
    })
  )

  it.live("reads sources and files, wherever the providers put them", () =>
    Effect.gen(function* () {
      const url = "https://a.example/"
      const metadata = (kind: string, metadata: Readonly<Record<string, unknown>>) =>
        StreamEvent.metadata(0, kind, { metadata })
      const answer = yield* ask(
        Stream.make(
          start,
          // OpenAI's chat, its Responses, Anthropic, the AI SDK.
          metadata("citation", { citation: { type: "url_citation", url_citation: { url, title: "A" } } }),
          metadata("citation", { citation: { type: "url_citation", url, title: "A" } }),
          metadata("citation", { citation: { type: "web_search_result_location", url, title: "A" } }),
          metadata("citation", {
            citation: { source: { type: "source", sourceType: "url", id: url, url, title: "A" } }
          }),
          // OpenRouter, Google's two, the AI SDK.
          metadata("file", { image: { type: "image_url", image_url: { url: "data:image/png;base64,AAAA" } } }),
          metadata("file", { inlineData: { mimeType: "image/png", data: "AAAA" } }),
          metadata("file", { type: "image", mime_type: "image/png", data: "AAAA" }),
          metadata("file", { mediaType: "image/png", url: "data:image/png;base64,AAAA" }),
          metadata("file", { fileData: { mimeType: "image/png", fileUri: url } }),
          metadata("file", { image: "AAAA" }),
          end
        )
      )
      assert.isUndefined(answer.failure)
      const source = { type: "source-url", sourceId: url, url, title: "A" }
      const file = { type: "file", mediaType: "image/png", url: "data:image/png;base64,AAAA" }
      assert.deepStrictEqual(partsOf(answer), [
        source,
        source,
        source,
        source,
        file,
        file,
        file,
        file,
        { ...file, url }
      ])
    })
  )

  it.live("gets an error for a failure in the middle, and nothing of its cause", () =>
    Effect.gen(function* () {
      const broken = Stream.make(start, StreamEvent.delta(0, "Hel")).pipe(
        Stream.concat(Stream.fail(StreamError.make({ _tag: "SourceFailure", cause: "secret" })))
      )
      const answer = yield* ask(broken)
      assert.strictEqual(typesOf(answer), "start start-step text-start text-delta text-end error")
      assert.deepStrictEqual(answer.errors, ["The answer broke off"])
      assert.notInclude(JSON.stringify(answer), "secret")
      const early = yield* ask(Stream.fail("secret"))
      assert.include(String(early.failure), "Something went wrong")
      assert.notInclude(String(early.failure), "secret")
    })
  )

  it.live("gets an error for a reset", () =>
    Effect.gen(function* () {
      const goOn = yield* Deferred.make<void>()
      const provider = yield* Backend.serve(
        Stream.make(start, StreamEvent.delta(0, "Hel")).pipe(
          Stream.concat(Stream.never),
          UiMessageStream.make({ heartbeat: "10 millis" })
        )
      )
      // The reset is that of a server in between.
      const server = yield* Loopback.serve((response, request) => {
        Loopback.begin(response, { "x-vercel-ai-ui-message-stream": "v1" })
        void fetch(provider).then(async ({ body }) => {
          for await (const bytes of body!) {
            response.write(bytes)
            if (new TextDecoder().decode(bytes).includes("keep-alive")) {
              Deferred.doneUnsafe(goOn, Exit.void)
              setTimeout(request.reset, 50)
              return
            }
          }
        })
      })
      const answer = yield* chat(server.url)
      assert.isTrue(yield* Deferred.isDone(goOn))
      assert.isTrue(answer.failure !== undefined || answer.errors.length > 0, typesOf(answer))
      assert.strictEqual(answer.chunks.filter((chunk) => chunk.type === "finish").length, 0)
    }).pipe(Effect.scoped)
  )

  it.live("stops the model by its stop button", () =>
    Effect.gen(function* () {
      const released = yield* Deferred.make<Exit.Exit<unknown, unknown>>()
      const events = Stream.make(start, StreamEvent.delta(0, "Hel")).pipe(
        Stream.concat(Stream.never),
        Stream.onExit((exit) => Deferred.succeed(released, exit))
      )
      const url = yield* Backend.serve(events.pipe(UiMessageStream.make()))
      const controller = new AbortController()
      yield* chat(url, {
        signal: controller.signal,
        onChunk: (chunk) => {
          if (chunk.type === "text-delta") controller.abort()
        }
      })
      const exit = yield* Effect.timeout(Deferred.await(released), "1 seconds")
      assert.isTrue(Exit.hasInterrupts(exit))
    }).pipe(Effect.scoped)
  )
})

it.effect.prop(
  "every part passes the AI SDK's own schema, and the text is the text",
  { input: StreamArbitrary.events() },
  ({ input }) =>
    Effect.gen(function* () {
      const { body } = yield* Stream.fromArray([...input.items, end]).pipe(UiMessageStream.make())
      const text = yield* Stream.mkString(Stream.decodeText(body._tag === "Stream" ? body.stream : Stream.empty))
      const frames = text
        .trimEnd()
        .split("\n\n")
        .map((frame) => frame.replace(/^data: /, ""))
      assert.strictEqual(frames.pop(), "[DONE]")
      const { validate } = uiMessageChunkSchema()
      const shown = { Delta: "", Reasoning: "" }
      const open = new Set<string>()
      for (const frame of frames) {
        const checked = yield* Effect.promise(async () => validate!(JSON.parse(frame)))
        if (!checked.success) throw checked.error
        const chunk = checked.value
        if (chunk.type === "text-delta") shown.Delta += chunk.delta
        if (chunk.type === "reasoning-delta") shown.Reasoning += chunk.delta
        const [kind, step] = chunk.type.split("-")
        if ((kind === "text" || kind === "reasoning") && "id" in chunk) {
          const key = `${kind} ${chunk.id}`
          assert.strictEqual(open.has(key), step !== "start")
          if (step === "start") open.add(key)
          if (step === "end") open.delete(key)
        }
      }
      assert.strictEqual(open.size, 0)
      assert.match(JSON.parse(frames.at(-1)!).type, /^(finish|error)$/)
      const of = (...tags: ReadonlyArray<string>) =>
        input.items.map((event) => (StreamEvent.isText(event) && tags.includes(event._tag) ? event.delta : "")).join("")
      assert.strictEqual(shown.Delta, of("Delta", "Refusal"))
      assert.strictEqual(shown.Reasoning, of("Reasoning"))
    }).pipe(Effect.scoped)
)
