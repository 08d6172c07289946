/** A language model of the AI SDK, as a peer: what its stream amounts to. */
import type { LanguageModelV4 } from "@ai-sdk/provider"

export interface Answer {
  readonly text: string
  readonly reasoning: string
  /** Those that the application is to run. */
  readonly calls: ReadonlyArray<{ readonly id: string; readonly name: string; readonly input: unknown }>
  readonly finishReason: string | undefined
  readonly inputTokens: number | undefined
  readonly outputTokens: number | undefined
  readonly hasError: boolean
}

export const answerOf = async (model: LanguageModelV4): Promise<Answer> => {
  const { stream } = await model.doStream({ prompt: [{ role: "user", content: [{ type: "text", text: "hi" }] }] })
  let text = ""
  let reasoning = ""
  let hasError = false
  const calls: Array<Answer["calls"][number]> = []
  let finishReason: string | undefined
  let inputTokens: number | undefined
  let outputTokens: number | undefined
  for await (const part of stream) {
    if (part.type === "text-delta") text += part.delta
    else if (part.type === "reasoning-delta") reasoning += part.delta
    else if (part.type === "error") hasError = true
    else if (part.type === "tool-call" && part.providerExecuted !== true) {
      calls.push({ id: part.toolCallId, name: part.toolName, input: JSON.parse(part.input) })
    } else if (part.type === "finish") {
      finishReason = part.finishReason.raw
      inputTokens = part.usage.inputTokens.total
      outputTokens = part.usage.outputTokens.total
    }
  }
  return { text, reasoning, calls, finishReason, inputTokens, outputTokens, hasError }
}
