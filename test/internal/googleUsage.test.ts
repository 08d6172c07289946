import { assert, it } from "@effect/vitest"
import { inclusive } from "../../src/internal/googleUsage.ts"

const none = { prompt: undefined, toolUse: undefined, cached: undefined, answer: undefined, thoughts: undefined }

it("input and output are all that belongs to them, and make the total", () => {
  assert.deepStrictEqual(inclusive({ prompt: 22, toolUse: 198, cached: 20, answer: 590, thoughts: 1173 }), {
    inputTokens: { total: 220, cacheRead: 20, uncached: 200, cacheWrite: undefined },
    outputTokens: { total: 1763, reasoning: 1173, text: 590 }
  })
})

it("what is not reported stays so; 0 is a report", () => {
  assert.deepStrictEqual(inclusive(none), {
    inputTokens: { total: undefined, cacheRead: undefined, uncached: undefined, cacheWrite: undefined },
    outputTokens: { total: undefined, reasoning: undefined, text: undefined }
  })
  assert.deepStrictEqual(inclusive({ ...none, prompt: 0, cached: 0, thoughts: 3 }), {
    inputTokens: { total: 0, cacheRead: 0, uncached: 0, cacheWrite: undefined },
    outputTokens: { total: 3, reasoning: 3, text: undefined }
  })
})

it("more cached than there was says nothing of the rest", () => {
  assert.isUndefined(inclusive({ ...none, prompt: 3, cached: 5 }).inputTokens.uncached)
})
