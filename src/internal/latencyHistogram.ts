/**
 * Percentiles of durations in constant space: counts and sums in buckets that grow by 5 %.
 *
 * A percentile is the mean of its bucket, so from 10 µs to 14 minutes it is within 5 % of the true value, and exact where
 * all durations are equal. Buckets are made 32 at a time, 512 bytes where durations first fall: a stream at an even pace
 * needs one or two of these, and 6 KB is the most, whatever the number of durations.
 *
 * @since 0.1.0
 */

export interface LatencyHistogram {
  /** Adds a duration in milliseconds. */
  record(millis: number): void
  readonly count: number
  readonly max: number
  /** The duration that a fraction `p` (0 to 1) of all durations does not exceed. `NaN` when there is none. */
  percentile(p: number): number
}

export const make = (): LatencyHistogram => new Buckets()

// From 10 µs to 14 minutes; what is outside goes to the first and the last bucket.
const bucketCount = 376
const lowest = 0.01
const logGrowth = Math.log(1.05)

class Buckets implements LatencyHistogram {
  count = 0
  max = 0
  /** Count and sum of each bucket, one after the other, for 32 buckets each. */
  private readonly groups: Array<Float64Array | undefined> = []

  record(millis: number): void {
    const bucket = bucketOf(millis)
    const group = (this.groups[bucket >> 5] ??= new Float64Array(64))
    const index = (bucket & 31) << 1
    group[index]! += 1
    group[index + 1]! += millis
    this.count += 1
    if (millis > this.max) this.max = millis
  }

  percentile(p: number): number {
    const rank = Math.max(1, Math.ceil(p * this.count))
    let seen = 0
    for (const group of this.groups) {
      if (group === undefined) continue
      for (let index = 0; index < group.length; index += 2) {
        seen += group[index]!
        if (seen >= rank) return group[index + 1]! / group[index]!
      }
    }
    return Number.NaN
  }
}

const bucketOf = (millis: number): number => {
  if (millis <= lowest) return 0
  return Math.min(bucketCount - 1, 1 + Math.floor(Math.log(millis / lowest) / logGrowth))
}
