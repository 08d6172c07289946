import { assert } from "@effect/vitest"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as GoogleInteractions from "../../src/wire/GoogleInteractions.ts"
import { recordingSuite } from "../support/recordings.ts"
import { finishOf } from "../support/run.ts"

recordingSuite({
  protocol: "google-interactions",
  count: 5,
  decode: GoogleInteractions.decode(),
  isTerminal: (frame) => frame.includes('"event_type":"interaction.completed"'),
  callsEarly: true,
  deviations: {
    "multi-turn-stateless-turn2": {
      fields: ["id"],
      reason: "An interaction that is not stored has no identifier: the empty one is none."
    },
    "google-search": {
      fields: ["usageInclusive"],
      reason: "What search gave the model to read is its input too: 22 + 198 + 590 + 1173 make the total of 1983."
    }
  },
  check(recording, expected, { events }) {
    const metadata = events.filter(StreamEvent.is("Metadata"))
    const results = events.filter(StreamEvent.is("ToolResult"))
    assert.strictEqual(
      metadata.filter((event) => event.kind === "hosted-tool-call").length + results.length,
      expected.otherToolItems.length
    )
    assert.strictEqual(metadata.filter((event) => event.kind === "citation").length, expected.citations)
    assert.deepStrictEqual(
      metadata.filter((event) => event.kind === "unknown"),
      [],
      recording.name
    )
    const { inputTokens, outputTokens } = finishOf(events)!.usage!
    assert.strictEqual(inputTokens.total! + outputTokens.total!, expected.usageRaw?.total_tokens)
  }
})
