import * as OllamaChat from "../../src/wire/OllamaChat.ts"
import { recordingSuite } from "../support/recordings.ts"

recordingSuite({
  protocol: "ollama-chat",
  count: 9,
  decode: OllamaChat.decode(),
  isTerminal: (frame) => frame.includes('"done":true'),
  callsEarly: true
})
