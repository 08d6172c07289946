import { assert, describe, it } from "@effect/vitest"
import { inclusive, isEmpty } from "../../src/internal/openAi.ts"

it("what says nothing is empty; 0 and false say something", () => {
  for (const empty of [undefined, null, "", [], {}]) assert.isTrue(isEmpty(empty))
  for (const value of [0, false, " ", [0], { a: undefined }]) assert.isFalse(isEmpty(value))
})

describe("usage", () => {
  const counts = { input: 10, output: 5, total: 15, cacheRead: 4, cacheWrite: undefined, reasoning: 2 }

  it("has the parts of what includes them", () => {
    assert.deepStrictEqual(inclusive(counts), {
      inputTokens: { total: 10, cacheRead: 4, uncached: 6, cacheWrite: undefined },
      outputTokens: { total: 5, reasoning: 2, text: 3 }
    })
  })

  it("adds reasoning where the total says that it was not counted", () => {
    assert.deepStrictEqual(inclusive({ ...counts, total: 17 }).outputTokens, { total: 7, reasoning: 2, text: 5 })
    assert.deepStrictEqual(inclusive({ ...counts, total: undefined }).outputTokens, { total: 5, reasoning: 2, text: 3 })
  })

  it("does not make up what is missing or does not add up", () => {
    const { inputTokens, outputTokens } = inclusive({ ...counts, input: 3, output: undefined })
    assert.deepStrictEqual(inputTokens, { total: 3, cacheRead: 4, uncached: undefined, cacheWrite: undefined })
    assert.deepStrictEqual(outputTokens, { total: undefined, reasoning: 2, text: undefined })
  })
})
