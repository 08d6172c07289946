/** The decoder beside Google's own client and the AI SDK's provider, fed with the same bytes over HTTP. */
import { createGoogleGenerativeAI } from "@ai-sdk/google"
import { assert, it } from "@effect/vitest"
import { type GenerateContentResponse, GoogleGenAI } from "@google/genai"
import { Effect, Stream } from "effect"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as GoogleGenerate from "../../src/wire/GoogleGenerate.ts"
import { answerOf } from "../support/aiSdk.ts"
import * as Loopback from "../support/loopback.ts"
import { collect, finishOf, show, textOf } from "../support/run.ts"
import { describeShared, readBytes, recordings } from "../support/shared.ts"

const serve = (bytes: Uint8Array) =>
  Loopback.serve((response) => {
    Loopback.begin(response)
    response.end(bytes)
  })

const decode = (bytes: Uint8Array) => collect(GoogleGenerate.decode()(Stream.make(bytes)))

const callsOf = (events: ReadonlyArray<StreamEvent.StreamEvent>) =>
  events.filter(StreamEvent.is("ToolCall")).map(({ input, name }) => ({ name, input }))

/** What Google's client, which puts no streamed call together, gives of the parts. */
const wholeOf = (chunks: ReadonlyArray<GenerateContentResponse>) => {
  const parts = chunks.flatMap((chunk) => chunk.candidates?.[0]?.content?.parts ?? [])
  const text = (isThought: boolean): string =>
    parts.map((part) => ((part.thought === true) === isThought ? (part.text ?? "") : "")).join("")
  return {
    text: text(false),
    reasoning: text(true),
    calls: parts.flatMap(({ functionCall }) =>
      functionCall?.args === undefined ? [] : [{ name: functionCall.name ?? "", input: functionCall.args }]
    ),
    finishReason: chunks.flatMap((chunk) => chunk.candidates?.[0]?.finishReason ?? []).at(-1),
    usage: chunks.flatMap((chunk) => chunk.usageMetadata ?? []).at(-1),
    // The transport's headers are no part of the answer.
    chunks: chunks.map(({ sdkHttpResponse: _, ...chunk }) => chunk)
  }
}

describeShared("beside", "recordings/index.json", () => {
  const all = recordings("google-generate").map(({ name, wire }) => ({ name, path: `recordings/${wire}` }))

  it.live.each(all)("@google/genai: $name", ({ name, path }) =>
    Effect.gen(function* () {
      const bytes = readBytes(path)
      const server = yield* serve(bytes)
      const client = new GoogleGenAI({ apiKey: "key", httpOptions: { baseUrl: server.url } })
      const chunks: Array<GenerateContentResponse> = []
      const failed = yield* Effect.promise(async () => {
        try {
          for await (const chunk of await client.models.generateContentStream({ model: "m", contents: "hi" })) {
            chunks.push(chunk)
          }
          return undefined
        } catch (error) {
          return String(error)
        }
      })
      const { events, failure } = yield* decode(bytes)
      const { calls, finishReason, reasoning, text, usage, ...whole } = wholeOf(chunks)
      assert.strictEqual(textOf(events, "Delta"), text)
      assert.strictEqual(textOf(events, "Reasoning"), reasoning)
      if (name !== "google-stream-tool-call-arguments") assert.deepStrictEqual(callsOf(events), calls)
      const finish = finishOf(events)
      assert.strictEqual(finish?.providerFinishReason, finishReason)
      assert.deepStrictEqual(finish?.metadata["usage"], usage)
      if (name.endsWith("~truncated")) {
        assert.match(failed ?? "", /Incomplete JSON segment at the end/)
        assert.strictEqual(failure?.reason._tag, "Truncated")
      } else if (name === "syn-error-midstream") {
        assert.match(failed ?? "", /503.*The model is overloaded/)
        assert.strictEqual(failure?.reason._tag, "ProviderFailure")
      } else {
        assert.isUndefined(failed)
        assert.isUndefined(failure)
        // Its chunks give the same events, but for what it leaves out of them.
        const again = yield* collect(GoogleGenerate.fromChunks()(Stream.fromIterable(whole.chunks)))
        const lines = (all: ReadonlyArray<StreamEvent.StreamEvent>) =>
          all.map((event) => show(event).replace(/,"createTime":"[^"]*"|"finishMessage":"[^"]*",/, ""))
        assert.deepStrictEqual(lines(again.events), lines(events))
      }
    })
  )

  it.live.each(all)("the AI SDK: $name", ({ name, path }) =>
    Effect.gen(function* () {
      const bytes = readBytes(path)
      const server = yield* serve(bytes)
      const model = createGoogleGenerativeAI({ apiKey: "key", baseURL: server.url })("m")
      const theirs = yield* Effect.promise(() => answerOf(model))
      const { events, failure } = yield* decode(bytes)
      assert.strictEqual(textOf(events, "Delta"), theirs.text)
      assert.strictEqual(textOf(events, "Reasoning"), theirs.reasoning)
      assert.deepStrictEqual(
        callsOf(events),
        theirs.calls.map(({ input, name }) => ({ name, input }))
      )
      const finish = finishOf(events)
      assert.strictEqual(finish?.providerFinishReason, theirs.finishReason)
      // What was not counted is 0 there.
      assert.strictEqual(finish?.usage?.inputTokens.total ?? 0, theirs.inputTokens ?? 0)
      assert.strictEqual(finish?.usage?.outputTokens.total ?? 0, theirs.outputTokens ?? 0)
      // A stream that was cut is no error there, but "interrupted".
      assert.strictEqual(failure !== undefined && !name.endsWith("~truncated"), theirs.hasError)
    })
  )
})

const streamed: ReadonlyArray<ReadonlyArray<object>> = [
  [
    { jsonPath: "$.a", stringValue: 'x"', willContinue: true },
    { jsonPath: "$.a", stringValue: "y\\" }
  ],
  [
    { jsonPath: "$.a", stringValue: "x", willContinue: true },
    { jsonPath: "$.a" },
    { jsonPath: "$.b", boolValue: false }
  ],
  [
    { jsonPath: "$.a.b[0].c", numberValue: 0 },
    { jsonPath: "$.a.b[0].d", nullValue: null },
    { jsonPath: "$.a.b[1].c", numberValue: 2 }
  ],
  [
    { jsonPath: "$.a[0]", stringValue: "x" },
    { jsonPath: "$.a.1", stringValue: "y" },
    { jsonPath: "$.a[]" },
    { jsonPath: "$.b[]" },
    { jsonPath: "$.c" }
  ],
  [
    { jsonPath: "$.a.b.c", numberValue: 1 },
    { jsonPath: "$.d", numberValue: 2 }
  ],
  [
    { jsonPath: "$.later", willContinue: true },
    { jsonPath: "$.later", stringValue: "" }
  ],
  []
]

it.live.each(streamed.map((values) => ({ values })))("the AI SDK, on a streamed call: $values", ({ values }) =>
  Effect.gen(function* () {
    const part = (functionCall: object) => ({ candidates: [{ content: { role: "model", parts: [{ functionCall }] } }] })
    const chunks = [
      part({ name: "f", willContinue: true }),
      ...values.map((value) => part({ partialArgs: [value], willContinue: true })),
      part({}),
      { candidates: [{ finishReason: "STOP" }] }
    ]
    const bytes = new TextEncoder().encode(chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\r\n\r\n`).join(""))
    const server = yield* serve(bytes)
    const theirs = yield* Effect.promise(() =>
      answerOf(createGoogleGenerativeAI({ apiKey: "key", baseURL: server.url })("m"))
    )
    const { events, failure } = yield* decode(bytes)
    assert.isUndefined(failure)
    assert.strictEqual(theirs.calls.length, 1)
    assert.deepStrictEqual(
      callsOf(events),
      theirs.calls.map(({ input, name }) => ({ name, input }))
    )
  })
)
