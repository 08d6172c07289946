import { assert } from "@effect/vitest"
import { record } from "../../src/internal/untyped.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as OpenAiResponses from "../../src/wire/OpenAiResponses.ts"
import { recordingSuite } from "../support/recordings.ts"

/** The texts of one kind, each part by itself. */
const partsOf = (events: ReadonlyArray<StreamEvent.StreamEvent>, tag: StreamEvent.TextEvent["_tag"]) => {
  const parts = new Map<string | undefined, string>()
  for (const event of events) {
    if (event._tag === tag) parts.set(event.part, (parts.get(event.part) ?? "") + event.delta)
  }
  return Array.from(parts.values())
}

const rotated = {
  fields: ["id"],
  reason: "the id changes on the way: `response` has the first and `finish` the last, and the script took the last"
}

recordingSuite({
  protocol: "openai-responses",
  count: 41,
  decode: OpenAiResponses.decode(),
  isTerminal: (frame) => /"type": ?"response\.(completed|incomplete|failed)"/.test(frame),
  callsEarly: true,
  deviations: {
    "github-copilot-id-rotation": rotated,
    "inline-should-stream-text-deltas": rotated,
    "inline-should-send-streaming-tool-calls": {
      fields: ["toolCalls"],
      reason: "the call begins under another id than it ends with, and so do its deltas"
    }
  },
  check(recording, expected, { events }) {
    const metadata = events.filter(StreamEvent.is("Metadata"))
    const of = (kind: string) => metadata.filter((event) => event.kind === kind).map((event) => event.metadata)

    if (!recording.ambiguousFields.includes("textParts")) {
      assert.deepStrictEqual(partsOf(events, "Delta"), expected.textParts)
    }
    assert.deepStrictEqual(partsOf(events, "Reasoning"), expected.reasoningParts)
    assert.strictEqual(of("citation").length, expected.citations)

    assert.deepStrictEqual(
      metadata
        .filter((event) => /^hosted-tool-(call|result)$/.test(event.kind))
        .map((event) => [record(event.metadata["item"])?.["type"], record(event.metadata["item"])?.["id"]]),
      expected.otherToolItems.map(({ id, type }) => [type, id])
    )
    if (recording.name === "inline-should-send-streaming-tool-calls") {
      const calls = events.filter(StreamEvent.is("ToolCall"))
      assert.deepStrictEqual(
        calls.map(({ argumentsText, id, name }) => [id, name, argumentsText]),
        expected.toolCalls.map(({ argumentsText, id, name }) => [id, name, argumentsText])
      )
    }
    if (recording.name === "inline-should-stream-text-deltas") {
      assert.strictEqual(of("finish")[0]?.["id"], expected.id)
    }
    // Arguments of a call that never began.
    const isUnknown = recording.name === "inline-should-not-pollute-object-prototype-from-tool-call-item-ids"
    assert.strictEqual(of("unknown").length, isUnknown ? 1 : 0)
  }
})
