/**
 * Google's counts of tokens, which all stand beside each other but for the cached ones: those are part of the prompt.
 *
 * @since 0.1.0
 */

type Count = number | undefined

/** Counts in which the input has what tools gave the model to read, and the output has the thoughts. */
export const inclusive = (counts: {
  readonly prompt: Count
  readonly toolUse: Count
  readonly cached: Count
  readonly answer: Count
  readonly thoughts: Count
}) => {
  const { answer, cached, prompt, thoughts, toolUse } = counts
  const input = sum(prompt, toolUse)
  const uncached = input !== undefined && cached !== undefined && cached <= input ? input - cached : undefined
  return {
    inputTokens: { total: input, cacheRead: cached, uncached, cacheWrite: undefined },
    outputTokens: { total: sum(answer, thoughts), reasoning: thoughts, text: answer }
  }
}

/** A count that was not reported adds nothing. */
const sum = (a: Count, b: Count): Count => (a === undefined || b === undefined ? (a ?? b) : a + b)
