import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as LatencyHistogram from "../../src/internal/latencyHistogram.ts"

const recorded = (durations: ReadonlyArray<number>) => {
  const histogram = LatencyHistogram.make()
  for (const duration of durations) histogram.record(duration)
  return histogram
}

/** The nearest-rank percentile of the durations themselves. */
const exact = (durations: ReadonlyArray<number>, p: number) =>
  durations.toSorted((a, b) => a - b)[Math.max(1, Math.ceil(p * durations.length)) - 1]!

const assertClose = (durations: ReadonlyArray<number>) => {
  const histogram = recorded(durations)
  for (const p of [0, 0.01, 0.5, 0.95, 0.99, 1]) {
    const expected = exact(durations, p)
    const actual = histogram.percentile(p)
    assert.isAtMost(Math.abs(actual - expected) / expected, 0.05, `p${p * 100}: ${actual}, exactly ${expected}`)
  }
}

// Milliseconds over the whole range that is promised: 10 µs to 14 minutes.
const Millis = Schema.Finite.check(Schema.isBetween({ minimum: -2, maximum: Math.log10(14 * 60_000) }))
const Durations = Schema.Array(Millis).check(Schema.isMinLength(1))

describe("latencyHistogram", () => {
  it.prop("has percentiles within 5 %, and the exact maximum and count", { exponents: Durations }, ({ exponents }) => {
    const durations = exponents.map((exponent) => 10 ** exponent)
    assertClose(durations)
    assert.strictEqual(recorded(durations).max, Math.max(...durations))
    assert.strictEqual(recorded(durations).count, durations.length)
  })

  it.prop(
    "stays within 5 % where one duration is far from the mean of those near it",
    { exponent: Millis, near: Schema.Finite.check(Schema.isBetween({ minimum: 1, maximum: 1.1 })) },
    ({ exponent, near }) => {
      const low = Math.min(10 ** exponent, 700_000)
      assertClose([low, ...Array.from({ length: 99 }, () => low * near)])
      assertClose([...Array.from({ length: 99 }, () => low), low * near])
    }
  )

  it.prop("is exact where all durations are equal", { exponent: Millis }, ({ exponent }) => {
    const millis = Math.round(10 ** exponent)
    const histogram = recorded([millis, millis, millis])
    assert.deepStrictEqual([histogram.percentile(0.5), histogram.percentile(0.99)], [millis, millis])
  })

  it("takes what is out of range", () => {
    const histogram = recorded([0, 0, 1e9, 1e12])
    assert.strictEqual(histogram.percentile(0.5), 0)
    assert.strictEqual(histogram.max, 1e12)
    assert.strictEqual(histogram.percentile(1), (1e9 + 1e12) / 2)
  })

  it("has no percentile without a duration", () => {
    const histogram = LatencyHistogram.make()
    assert.isNaN(histogram.percentile(0.5))
    assert.deepStrictEqual([histogram.count, histogram.max], [0, 0])
  })
})
