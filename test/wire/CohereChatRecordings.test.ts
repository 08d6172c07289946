import { assert } from "@effect/vitest"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as CohereChat from "../../src/wire/CohereChat.ts"
import { recordingSuite } from "../support/recordings.ts"

recordingSuite({
  protocol: "cohere-v2",
  count: 7,
  decode: CohereChat.decode(),
  isTerminal: (frame) => frame.includes('"message-end"'),
  callsEarly: true,
  deviations: {
    "inline-should-handle-unparsable-stream-parts": {
      fields: ["errors"],
      reason: "The expectation skips what is not JSON. Here it fails the stream, unless the options say otherwise."
    }
  },
  check(_, expected, { events, failure }) {
    const plan = events
      .filter(StreamEvent.is("Metadata"))
      .filter((event) => event.kind === "tool-plan")
      .map((event) => event.metadata["delta"])
    assert.strictEqual(plan.join(""), expected.toolPlan ?? "")
    assert.isFalse(events.some((event) => event._tag === "Metadata" && event.kind === "unknown"))
    if (expected.malformedEvents.length > 0) assert.strictEqual(failure?.reason._tag, "MalformedFrame")
  }
})
