import { assert } from "@effect/vitest"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as GoogleGenerate from "../../src/wire/GoogleGenerate.ts"
import { recordingSuite } from "../support/recordings.ts"

recordingSuite({
  protocol: "google-generate",
  count: 16,
  decode: GoogleGenerate.decode(),
  isTerminal: (frame) => /"finishReason": ?"/.test(frame),
  callsEarly: true,
  check(recording, expected, { events }) {
    // The text of arguments that come as an object or in pieces is the decoder's own: it is shown as it grows.
    for (const call of events.filter(StreamEvent.is("ToolCall"))) {
      const deltas = events.filter(StreamEvent.is("ToolCallDelta")).filter((event) => event.id === call.id)
      assert.strictEqual(deltas.map((event) => event.delta).join(""), call.argumentsText)
      assert.deepStrictEqual(JSON.parse(call.argumentsText), call.input)
    }
    const metadata = events.filter(StreamEvent.is("Metadata"))
    assert.strictEqual(
      metadata.filter((event) => event.kind === "hosted-tool-call").length,
      expected.otherToolItems.length
    )
    assert.deepStrictEqual(
      metadata.filter((event) => event.kind === "unknown"),
      [],
      recording.name
    )
  }
})
