import * as OpenAiCompletions from "../../src/wire/OpenAiCompletions.ts"
import { recordingSuite } from "../support/recordings.ts"

recordingSuite({
  protocol: "openai-completions",
  count: 3,
  decode: OpenAiCompletions.decode(),
  isTerminal: (frame) => /"finish_reason": ?"/.test(frame)
})
