/**
 * The decoders of OpenAI's protocols against OpenAI's own client, and where that gives less, against the AI SDK: each reads
 * the same bytes from a real server.
 */
import { createOpenAI } from "@ai-sdk/openai"
import { assert, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import OpenAI from "openai"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as OpenAiChat from "../../src/wire/OpenAiChat.ts"
import * as OpenAiCompletions from "../../src/wire/OpenAiCompletions.ts"
import * as OpenAiResponses from "../../src/wire/OpenAiResponses.ts"
import type * as Provider from "../../src/wire/Provider.ts"
import * as Loopback from "../support/loopback.ts"
import { collect, finishOf, reasonOf, show, textOf } from "../support/run.ts"
import { describeShared, readBytes, type Recording, recordings } from "../support/shared.ts"

/** What a client made of a stream. */
interface Outcome {
  readonly text: string
  readonly refusal: string
  readonly calls: ReadonlyArray<readonly [id: string, name: string, argumentsText: string]>
  readonly finish: string | undefined
  readonly usage: unknown
}

interface Peer {
  readonly provider: Provider.Provider
  /** The chunks, as the client gives them. */
  readonly chunks: (client: OpenAI) => Promise<AsyncIterable<unknown>>
  /** What the client puts together of them. */
  readonly outcome: (client: OpenAI) => Promise<Outcome>
  readonly aiSdk: "chat" | "completion" | "responses"
}

const peers: Readonly<Record<string, Peer>> = {
  "openai-chat": {
    provider: OpenAiChat,
    chunks: (client) => client.chat.completions.create({ model: "m", messages: [], stream: true }),
    outcome: async (client) => {
      const stream = client.chat.completions.stream({ model: "m", messages: [] })
      const { choices, usage } = await stream.finalChatCompletion()
      const { finish_reason, message } = choices[0]!
      return {
        text: message.content ?? "",
        refusal: message.refusal ?? "",
        calls: (message.tool_calls ?? []).flatMap((call) =>
          call.type === "function" ? [[call.id, call.function.name, call.function.arguments] as const] : []
        ),
        finish: finish_reason,
        usage: usage ?? undefined
      }
    },
    aiSdk: "chat"
  },
  "openai-completions": {
    provider: OpenAiCompletions,
    chunks: (client) => client.completions.create({ model: "m", prompt: "p", stream: true }),
    outcome: async (client) => {
      let text = ""
      let finish: string | undefined
      let usage: unknown
      for await (const chunk of await client.completions.create({ model: "m", prompt: "p", stream: true })) {
        text += chunk.choices[0]?.text ?? ""
        finish = chunk.choices[0]?.finish_reason ?? finish
        usage = chunk.usage ?? usage
      }
      return { text, refusal: "", calls: [], finish, usage }
    },
    aiSdk: "completion"
  },
  "openai-responses": {
    provider: OpenAiResponses,
    chunks: (client) => client.responses.create({ model: "m", input: "p", stream: true }),
    outcome: async (client) => {
      const { output, output_text, status, usage } = await client.responses
        .stream({ model: "m", input: "p" })
        .finalResponse()
      return {
        text: output_text,
        refusal: output
          .flatMap((item) => (item.type === "message" ? item.content : []))
          .map((content) => (content.type === "refusal" ? content.refusal : ""))
          .join(""),
        calls: output.flatMap((item) => {
          if (item.type === "function_call") return [[item.call_id, item.name, item.arguments] as const]
          return item.type === "custom_tool_call" ? [[item.call_id, item.name, item.input] as const] : []
        }),
        finish: status,
        usage: usage ?? undefined
      }
    },
    aiSdk: "responses"
  }
}

/** What the AI SDK makes of it, in its own words: the finish reason unified, usage as two totals. */
const aiSdkOutcome = async (url: string, kind: Peer["aiSdk"]): Promise<Outcome> => {
  const model = createOpenAI({ apiKey: "k", baseURL: url })[kind]("m")
  const { stream } = await model.doStream({ prompt: [{ role: "user", content: [{ type: "text", text: "p" }] }] })
  let text = ""
  let finish: string | undefined
  let usage: unknown
  const calls: Array<readonly [string, string, string]> = []
  const reader = stream.getReader()
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    const part = next.value
    if (part.type === "error") throw part.error
    if (part.type === "text-delta") text += part.delta
    if (part.type === "tool-call") calls.push([part.toolCallId, part.toolName, part.input])
    if (part.type !== "finish") continue
    finish = part.finishReason.unified
    usage = [part.usage.inputTokens.total, part.usage.outputTokens.total]
  }
  return { text, refusal: "", calls, finish, usage }
}

/** Where a client gives less than we do, or nothing: why ours is right, and whether the AI SDK does better. */
const less: Readonly<Record<string, readonly [openai: string, aiSdk?: string]>> = {
  "groq/inline-should-stream-tool-call-deltas-when-tool-call-arguments-are": [
    "knows no usage in x_groq",
    "knows no usage in x_groq"
  ],
  "moonshotai/syn-usage-in-choice": ["knows no usage in a choice", "knows no usage in a choice"],
  "mistral/inline-should-stream-text-with-content-objects": [
    'makes "[object Object]" of content that is an array',
    "refuses content that is an array"
  ],
  "mistral/mistral-incremental-tool-call": ["refuses a stream without a role"],
  "openai-compatible/inline-should-handle-empty-string-role-in-delta-chunks": [
    "refuses an empty role",
    "refuses an empty role"
  ],
  "openai-compatible/inline-should-handle-missing-token-details-in-stream": [
    "refuses a choice without index",
    "refuses a choice without index"
  ],
  "openai-compatible/inline-should-include-raw-chunks-when-includerawchunks-is-true": [
    "refuses a choice without index",
    "refuses a choice without index"
  ],
  "perplexity/inline-should-stream-extended-usage": [
    "refuses a choice without index",
    "refuses a choice without index"
  ],
  "huggingface-responses/inline-should-handle-streaming-without-usage": ["refuses a stream without response.created"],
  "open-responses/inline-should-not-pollute-object-prototype-from-tool-call-item-ids": [
    "refuses a stream without response.created"
  ],
  "openai-responses/github-copilot-id-rotation": ["refuses a response whose id changes"],
  "openai-responses/inline-should-expose-reasoning-context-and-cache-writes-when-stream": [
    "refuses a response whose id changes"
  ],
  "openai-responses/inline-should-handle-container-file-citation-annotations-in-streami": [
    "refuses a stream without response.created",
    "has no text that comes without deltas"
  ],
  "openai-responses/inline-should-handle-file-citation-annotations-without-optional-fie": [
    "refuses a stream without response.created",
    "has no text that comes without deltas"
  ],
  "openai-responses/inline-should-handle-reasoning-with-empty-summary": ["throws at a message without content"],
  "openai-responses/inline-should-handle-reasoning-with-summary": ["throws at a delta without output_index"],
  "openai-responses/inline-should-not-set-namespace-on-streaming-function-call-when-abs": [
    "takes the output of response.completed, which is empty there, for that of the stream"
  ],
  "openai-responses/inline-should-send-streaming-tool-calls": ["refuses a call whose id changes"],
  "openai-responses/inline-should-stream-text-deltas": ["refuses a message whose id changes"],
  "openai-responses/inline-should-throw-an-api-error-when-response-failed-arrives-befor": [
    "refuses a response whose id is missing at its end, and does not tell its error"
  ],
  "openai-responses/openai-apply-patch-tool": [
    "throws at an event that it does not know",
    "has a patch as a call with arguments of its own making"
  ]
}

const settle = <A>(run: () => Promise<A>): Effect.Effect<A | Error> =>
  Effect.promise(() => run().catch((error: unknown) => (error instanceof Error ? error : new Error(String(error)))))

const callsOf = (events: ReadonlyArray<StreamEvent.StreamEvent>): Outcome["calls"] =>
  events.filter(StreamEvent.is("ToolCall")).map(({ argumentsText, id, name }) => [id, name, argumentsText] as const)

describeShared("the same bytes", "recordings/index.json", () => {
  const all = Object.keys(peers).flatMap((protocol) => recordings(protocol))

  it.live.each(all)("$wire", (recording: Recording) =>
    Effect.gen(function* () {
      const { aiSdk, chunks, outcome, provider } = peers[recording.protocol]!
      const bytes = readBytes(`recordings/${recording.wire}`)
      const server = yield* Loopback.serve((response) => {
        Loopback.begin(response)
        response.end(bytes)
      })
      // What a client prints about a frame that it cannot read is no concern of ours.
      const client = new OpenAI({ apiKey: "k", baseURL: server.url, maxRetries: 0, logLevel: "off" })
      const { events, failure } = yield* collect(provider.decode()(Stream.make(bytes)))

      const given: Array<unknown> = []
      const thrown = yield* settle(async () => {
        for await (const chunk of await chunks(client)) given.push(chunk)
      })
      const theirs = yield* settle(() => outcome(client))
      const reasons = less[`${recording.provider}/${recording.name}`]
      const others = reasons === undefined ? undefined : yield* settle(() => aiSdkOutcome(server.url, aiSdk))
      if (failure !== undefined) {
        assert.instanceOf(theirs, Error)
        if (failure.reason._tag === "Truncated") return
        const { message } = reasonOf(failure, "ProviderFailure")
        assert.strictEqual(String(theirs).includes(message), reasons === undefined)
        if (others !== undefined) assert.include(String(others), message)
        return
      }

      assert.isUndefined(thrown)
      const again = yield* collect(provider.fromChunks()(Stream.fromIterable(given)))
      const isKeepAlive = (event: StreamEvent.StreamEvent) => event._tag === "Progress" && event.kind === "keep-alive"
      assert.deepStrictEqual(again.events.map(show), events.filter((event) => !isKeepAlive(event)).map(show))

      const finish = finishOf(events)
      const ours: Outcome = {
        text: textOf(events, "Delta"),
        refusal: textOf(events, "Refusal"),
        calls: callsOf(events),
        finish: finish?.providerFinishReason,
        usage: finish?.metadata["usage"]
      }
      if (reasons === undefined) return assert.deepStrictEqual(theirs, ours)
      assert.notDeepEqual(theirs, ours, "it does as much now: take it from the list")
      const { inputTokens, outputTokens } = finish?.usage ?? { inputTokens: {}, outputTokens: {} }
      const oursThere = { ...ours, finish: finish?.finishReason, usage: [inputTokens.total, outputTokens.total] }
      if (reasons[1] === undefined) assert.deepStrictEqual(others, oursThere)
      else assert.notDeepEqual(others, oursThere, "it does as much now: take it from the list")
    })
  )
})
