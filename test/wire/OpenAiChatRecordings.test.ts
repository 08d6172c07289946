import { assert } from "@effect/vitest"
import * as OpenAiChat from "../../src/wire/OpenAiChat.ts"
import { recordingSuite } from "../support/recordings.ts"
import { finishOf } from "../support/run.ts"

recordingSuite({
  protocol: "openai-chat",
  count: 53,
  decode: OpenAiChat.decode(),
  isTerminal: (frame) => /"finish_reason": ?"/.test(frame),
  check(recording, expected, { events }) {
    if (recording.ambiguousFields.includes("usage")) return
    // The script that made the true results did not look for this number in this protocol.
    const details = expected.usageRaw?.prompt_tokens_details
    assert.strictEqual(finishOf(events)?.usage?.inputTokens.cacheWrite, details?.cache_write_tokens)
  }
})
