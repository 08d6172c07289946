/**
 * A small benchmark harness: jobs of a group run interleaved, round after round, so that a drift of the machine hits all
 * of them alike, and are compared with one named row by the median of the ratios within a round.
 *
 * Garbage is collected once before each group, under `--expose-gc`, and not before each round: that was seen to make
 * synchronous jobs 2 to 8 times slower.
 *
 * @since 0.1.0
 */
import { availableParallelism, cpus } from "node:os"

/** One row: a job whose result proves that it did the group's work. */
export interface Job {
  readonly name: string
  /** Runs the whole work once. What it returns, or resolves to, is compared with the group's other jobs. */
  readonly run: () => unknown
}

/** Jobs that do the same work. */
export interface Group {
  readonly name: string
  readonly jobs: ReadonlyArray<Job>
  /** The name of the job that the others are compared with. */
  readonly baseline: string
  /** How much work one run does, by unit: `{ MB: 20, events: 74547 }` adds a column of MB/s and one of events/s. */
  readonly work?: Readonly<Record<string, number>> | undefined
  /** Timed rounds. 9 by default. */
  readonly rounds?: number | undefined
  /** Untimed rounds before them. 3 by default. */
  readonly warmup?: number | undefined
  /** Set for jobs that are not meant to give equal results. */
  readonly differing?: boolean | undefined
}

/** The measured figures of one job. */
export interface Row {
  readonly group: string
  readonly name: string
  /** Median of the timed rounds, in milliseconds. */
  readonly ms: number
  readonly min: number
  readonly max: number
  /** Time over the baseline's, the median over the rounds: below 1 is faster. */
  readonly ratio: number
  /** Work per second, by unit. */
  readonly perSecond: Readonly<Record<string, number>>
}

/** Runs groups one after the other, prints a table for each, then one JSON line per row. */
export const bench = async (groups: ReadonlyArray<Group>): Promise<ReadonlyArray<Row>> => {
  console.log(`node ${process.version}, ${process.arch}, ${availableParallelism()} x ${cpus()[0]?.model ?? "unknown"}`)
  const rows: Array<Row> = []
  for (const group of groups) {
    const measured = await measure(group)
    console.log(table(group, measured))
    rows.push(...measured)
  }
  for (const row of rows) console.log(JSON.stringify(row))
  return rows
}

/** Runs one group and prints nothing. */
export const measure = async (group: Group): Promise<ReadonlyArray<Row>> => {
  const { jobs } = group
  const rounds = group.rounds ?? 9
  const baseline = jobs.findIndex((job) => job.name === group.baseline)
  if (baseline === -1) throw new Error(`${group.name}: no job is named "${group.baseline}"`)

  globalThis.gc?.()
  const times: ReadonlyArray<Array<number>> = jobs.map(() => [])
  const results: Array<unknown> = []
  for (let round = -(group.warmup ?? 3); round < rounds; round++) {
    for (let i = 0; i < jobs.length; i++) {
      // Each round begins with another job, so that none always runs in the garbage of the same neighbour.
      const index = (i + Math.max(round, 0)) % jobs.length
      const job = jobs[index]!
      const start = performance.now()
      let result = job.run()
      // A synchronous job is not charged with an `await`.
      if (result instanceof Promise) result = await result
      const elapsed = performance.now() - start
      if (round >= 0) times[index]!.push(elapsed)
      results[index] = result
    }
  }
  if (group.differing !== true) {
    const expected = JSON.stringify(results[baseline])
    for (const [index, result] of results.entries()) {
      const actual = JSON.stringify(result)
      if (actual !== expected) throw new Error(`${group.name}: ${jobs[index]!.name} gave ${actual}, not ${expected}`)
    }
  }
  return jobs.map((job, index) => {
    const own = times[index]!
    const ms = median(own)
    return {
      group: group.name,
      name: job.name,
      ms: round3(ms),
      min: round3(Math.min(...own)),
      max: round3(Math.max(...own)),
      ratio: round3(median(own.map((time, round) => time / times[baseline]![round]!))),
      perSecond: Object.fromEntries(
        Object.entries(group.work ?? {}).map(([unit, amount]) => [unit, Math.round((amount / ms) * 1000)])
      )
    }
  })
}

/** The same job `count` times in a row: what is short would pay for its neighbours' garbage, or get away without its own. */
export const repeat =
  (count: number) =>
  ({ name, run }: Job): Job => ({
    name,
    run: () => {
      let result = run()
      if (result instanceof Promise) {
        return (async () => {
          for (let n = 1; n < count; n++) await run()
          return result
        })()
      }
      for (let n = 1; n < count; n++) result = run()
      return result
    }
  })

const median = (values: ReadonlyArray<number>): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

const round3 = (value: number): number => Math.round(value * 1000) / 1000

const table = (group: Group, rows: ReadonlyArray<Row>): string => {
  const units = Object.keys(group.work ?? {})
  const cells = [
    ["", "ms", "min", "max", `x ${group.baseline}`, ...units.map((unit) => `${unit}/s`)],
    ...rows.map((row) => [
      row.name,
      row.ms.toFixed(2),
      row.min.toFixed(2),
      row.max.toFixed(2),
      row.ratio.toFixed(2),
      ...units.map((unit) => row.perSecond[unit]!.toLocaleString("en-US"))
    ])
  ]
  const widths = cells[0]!.map((_, column) => Math.max(...cells.map((line) => line[column]!.length)))
  const lines = cells.map((line) =>
    line.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!))).join("  ")
  )
  return `\n${group.name}\n${lines.join("\n")}`
}
