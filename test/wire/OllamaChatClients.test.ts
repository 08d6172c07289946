/** The decoder beside Ollama's own client, fed with the same bytes over HTTP. */
import { assert, it, vi } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { type ChatResponse, Ollama } from "ollama"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as OllamaChat from "../../src/wire/OllamaChat.ts"
import * as Loopback from "../support/loopback.ts"
import { collect, finishOf, show, textOf } from "../support/run.ts"
import { describeShared, readBytes, recordings } from "../support/shared.ts"

const serve = (bytes: Uint8Array) =>
  Loopback.serve((response) => {
    Loopback.begin(response, { "content-type": "application/x-ndjson" })
    response.end(bytes)
  })

describeShared("beside", "recordings/index.json", () => {
  const all = recordings("ollama-chat").map(({ name, wire }) => ({ name, path: `recordings/${wire}` }))

  it.live.each(all)("ollama: $name", ({ name, path }) =>
    Effect.gen(function* () {
      // It complains of blank lines.
      const warn = vi.spyOn(console, "warn").mockReturnValue(undefined)
      yield* Effect.addFinalizer(() => Effect.sync(() => warn.mockRestore()))
      const bytes = readBytes(path)
      const server = yield* serve(bytes)
      const client = new Ollama({ host: server.url })
      const chunks: Array<ChatResponse> = []
      const failed = yield* Effect.promise(async () => {
        try {
          const messages = [{ role: "user", content: "hi" }]
          for await (const chunk of await client.chat({ model: "m", messages, stream: true })) chunks.push(chunk)
          return undefined
        } catch (error) {
          return String(error)
        }
      })
      const { events, failure } = yield* collect(OllamaChat.decode()(Stream.make(bytes)))
      assert.strictEqual(textOf(events, "Delta"), chunks.map((chunk) => chunk.message.content).join(""))
      assert.strictEqual(textOf(events, "Reasoning"), chunks.map((chunk) => chunk.message.thinking ?? "").join(""))
      assert.deepStrictEqual(
        events.filter(StreamEvent.is("ToolCall")).map(({ input, name }) => ({ name, arguments: input })),
        chunks.flatMap((chunk) => (chunk.message.tool_calls ?? []).map((call) => call.function))
      )
      const finish = finishOf(events)
      const last = chunks.at(-1)
      assert.strictEqual(finish?.providerFinishReason, last?.done_reason)
      assert.strictEqual(finish?.usage?.inputTokens.total, last?.prompt_eval_count)
      assert.strictEqual(finish?.usage?.outputTokens.total, last?.eval_count)
      if (name.endsWith("~truncated")) {
        assert.match(failed ?? "", /Did not receive done/)
        assert.strictEqual(failure?.reason._tag, "Truncated")
      } else if (name === "chat-error-midstream") {
        assert.match(failed ?? "", /an error was encountered while running the model/)
        assert.strictEqual(failure?.reason._tag, "ProviderFailure")
      } else {
        assert.isUndefined(failed)
        assert.isUndefined(failure)
        const again = yield* collect(OllamaChat.fromChunks()(Stream.fromIterable(chunks)))
        assert.deepStrictEqual(again.events.map(show), events.map(show))
      }
    })
  )
})
