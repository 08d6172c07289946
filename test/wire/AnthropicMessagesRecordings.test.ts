import { assert } from "@effect/vitest"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as AnthropicMessages from "../../src/wire/AnthropicMessages.ts"
import { recordingSuite } from "../support/recordings.ts"
import { finishOf } from "../support/run.ts"

recordingSuite({
  protocol: "anthropic-messages",
  count: 37,
  decode: AnthropicMessages.decode(),
  isTerminal: (frame) => /"type": ?"message_stop"/.test(frame),
  callsEarly: true,
  deviations: {
    "anthropic-json-tool.2~truncated": {
      fields: ["toolCalls"],
      reason:
        "The {} of a block that has just begun is a place for its input. It is no input, and nothing was streamed."
    }
  },
  check(recording, expected, { events }) {
    const metadata = (kind: string) =>
      events
        .filter(StreamEvent.is("Metadata"))
        .filter((event) => event.kind === kind)
        .map((event) => event.metadata)
    if (!expected.sawTerminalEvent) assert.isFalse(events.some(StreamEvent.is("ToolCall")))

    assert.deepStrictEqual(
      metadata("hosted-tool-call").map(({ id, input, item, name }) => ({ id, name, input, kind: typeOf(item) })),
      expected.otherToolItems.map(({ arguments: input, id, kind, name }) => ({ id, name, input, kind }))
    )
    assert.strictEqual(metadata("citation").length, expected.citations)
    assert.strictEqual(metadata("unknown").length, 0)

    if (!recording.ambiguousFields.includes("text")) {
      for (const [tag, parts] of [
        ["Delta", expected.textParts],
        ["Reasoning", expected.reasoningParts]
      ] as const) {
        const byPart = new Map<string | undefined, string>()
        for (const event of events.filter(StreamEvent.is(tag))) {
          byPart.set(event.part, (byPart.get(event.part) ?? "") + event.delta)
        }
        assert.deepStrictEqual([...byPart.values()], parts)
      }
    }
    for (const { block, signature } of metadata("signature")) {
      if (signature === undefined) assert.strictEqual(typeOf(block), "redacted_thinking")
      else assert.deepStrictEqual(block, { type: "thinking", thinking: expected.reasoning, signature })
    }

    const finish = finishOf(events)
    assert.deepStrictEqual(finish?.metadata["usage"] ?? null, expected.usageRaw)
    if (!recording.ambiguousFields.includes("usage")) {
      assert.strictEqual(finish?.usage?.inputTokens.cacheWrite ?? null, expected.usage?.cacheWrite ?? null)
    }
  }
})

const typeOf = (item: unknown): unknown => (item as { readonly type?: unknown } | undefined)?.type
