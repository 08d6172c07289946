/**
 * Many streams at once, suspended between tokens: CPU, latency and heap of the whole pipeline, against plain async
 * generators that do the same work by hand.
 *
 * `node --expose-gc scratchpad/bench/many.ts [streams] [seconds]`
 *
 * The tokens of all streams come from one clock, so that no side is charged with 1,000 timers: every stream is due 50 times
 * a second, at a phase of its own, and a timer of 1 ms releases those that are due. What is measured is the work behind
 * that: waking the consumer, the pipeline, going to sleep again.
 */
import { Effect, ManagedRuntime, Stream } from "effect"
import { ContentFilter, StreamCallbacks, StreamEvent, StreamHandler, StreamSource } from "../../src/index.ts"
import * as LatencyHistogram from "../../src/internal/latencyHistogram.ts"
import { takeByHand } from "./byHand.ts"
import { makeTokens, patterns } from "./tokens.ts"

const streams = Number(process.argv[2] ?? 1_000)
const seconds = Number(process.argv[3] ?? 4)
const period = 20
const tokens = makeTokens(seconds * (1_000 / period))

// -----------------------------------------------------------------------------
// tokens on time
// -----------------------------------------------------------------------------

interface Due {
  readonly at: number
  readonly release: () => void
}

/** Releases waiters when they are due: one slot for each millisecond. */
const makeWheel = () => {
  const slots = new Map<number, Array<Due>>()
  const startedAt = performance.now()
  let done = 0
  const timer = setInterval(() => {
    const now = Math.floor(performance.now() - startedAt)
    for (; done <= now; done++) {
      const due = slots.get(done)
      if (due === undefined) continue
      slots.delete(done)
      for (const { release } of due) release()
    }
  }, 1)
  return {
    now: () => performance.now() - startedAt,
    wait: (at: number, release: () => void) => {
      const slot = Math.max(done, Math.ceil(at))
      const due = slots.get(slot)
      if (due === undefined) slots.set(slot, [{ at, release }])
      else due.push({ at, release })
    },
    stop: () => clearInterval(timer)
  }
}

type Wheel = ReturnType<typeof makeWheel>

async function* generate(wheel: Wheel, phase: number) {
  for (const [n, token] of tokens.entries()) {
    await new Promise<void>((resolve) => wheel.wait(phase + n * period, resolve))
    yield token
  }
}

// -----------------------------------------------------------------------------
// the sides
// -----------------------------------------------------------------------------

// Made once, as a backend does: the filter's automaton, and the Layer of the callbacks.
const filter = ContentFilter.make({ patterns, replacement: "[FILTERED]" })
const runtime = ManagedRuntime.make(StreamCallbacks.layer({ onDelta: () => Effect.void }))

/** Runs one stream; `delivered` is called for each token when it reaches the end of the pipeline. */
type Side = (wheel: Wheel, phase: number, delivered: (n: number) => void) => Promise<unknown>

const sides: Readonly<Record<string, Side>> = {
  "plain async generators, same work": async (wheel, phase, delivered) => {
    const work = takeByHand(async () => {})
    let n = 0
    for await (const token of generate(wheel, phase)) {
      await work.take(token)
      delivered(n++)
    }
    await work.end()
  },
  "plain async generators, no work": async (wheel, phase, delivered) => {
    let n = 0
    for await (const _ of generate(wheel, phase)) delivered(n++)
  },
  "effect-llm-streaming": (wheel, phase, delivered) => {
    let n = 0
    return StreamSource.fromAsyncIterable(() => generate(wheel, phase)).pipe(
      StreamEvent.fromText,
      filter,
      StreamHandler.events(),
      Stream.runForEachArray((events) =>
        Effect.sync(() => {
          for (const event of events) if (event._tag === "Delta") delivered(n++)
        })
      ),
      runtime.runPromise
    )
  },
  "  of that: source and drain": (wheel, phase, delivered) => {
    let n = 0
    return StreamSource.fromAsyncIterable(() => generate(wheel, phase)).pipe(
      Stream.runForEachArray(() => Effect.sync(() => delivered(n++))),
      Effect.runPromise
    )
  },
  "  of that: source, events and filter": (wheel, phase, delivered) => {
    let n = 0
    return StreamSource.fromAsyncIterable(() => generate(wheel, phase)).pipe(
      StreamEvent.fromText,
      filter,
      Stream.runForEachArray((events) =>
        Effect.sync(() => {
          for (const event of events) if (event._tag === "Delta") delivered(n++)
        })
      ),
      Effect.runPromise
    )
  }
}

// -----------------------------------------------------------------------------
// measuring
// -----------------------------------------------------------------------------

interface Figures {
  readonly name: string
  readonly streams: number
  /** CPU of the process for each token, in microseconds. */
  readonly cpuPerToken: number
  /** Share of one core. */
  readonly core: number
  readonly p50: number
  readonly p99: number
  readonly lost: number
}

const measure = async (name: string, side: Side, count: number): Promise<Figures> => {
  const wheel = makeWheel()
  const latencies = LatencyHistogram.make()
  let received = 0
  const lead = 500
  const runs = start(side, wheel, count, lead, (late) => {
    received++
    latencies.record(late)
  })
  await new Promise((resolve) => setTimeout(resolve, lead - 50))
  const cpuBefore = process.cpuUsage()
  const startedAt = performance.now()
  await Promise.all(runs)
  const { system, user } = process.cpuUsage(cpuBefore)
  const elapsed = performance.now() - startedAt
  wheel.stop()
  return {
    name,
    streams: count,
    cpuPerToken: (user + system) / (count * tokens.length),
    core: (user + system) / 1_000 / elapsed,
    p50: latencies.percentile(0.5),
    p99: latencies.percentile(0.99),
    lost: count * tokens.length - received
  }
}

/** The streams of one run, each with a phase of its own. `delivered` gets how late each token came out, in milliseconds. */
const start = (side: Side, wheel: Wheel, count: number, lead: number, delivered: (late: number) => void) =>
  Array.from({ length: count }, (_, i) => {
    const phase = lead + (i * period) / count
    return side(wheel, phase, (n) => delivered(Math.max(0.01, wheel.now() - (phase + n * period))))
  })

/**
 * Heap of a stream that waits for its next token, after ten. In a run of its own: a `gc()` throws optimised code away, and
 * what comes next is late by tens of milliseconds.
 */
const heapOf = async (side: Side): Promise<number> => {
  globalThis.gc?.()
  const before = process.memoryUsage().heapUsed
  const wheel = makeWheel()
  const runs = start(side, wheel, streams, 200, () => {})
  await new Promise((resolve) => setTimeout(resolve, 200 + 10 * period))
  globalThis.gc?.()
  const heap = (process.memoryUsage().heapUsed - before) / streams
  await Promise.all(runs)
  wheel.stop()
  return heap
}

const median = (values: ReadonlyArray<number>) => values.toSorted((a, b) => a - b)[values.length >> 1]!

const heaps = new Map<string, number>()
for (const [name, side] of Object.entries(sides)) heaps.set(name, await heapOf(side))

const all = new Map<string, Array<Figures>>()
for (let round = 0; round < 4; round++) {
  for (const [name, side] of Object.entries(sides)) {
    const figures = await measure(name, side, streams)
    // The first round warms up.
    if (round > 0) all.set(name, [...(all.get(name) ?? []), figures])
  }
}

const floor = median(all.get("plain async generators, same work")!.map((_) => _.cpuPerToken))
console.log(
  `\n${streams} streams, ${1_000 / period} tokens a second each, medians of 3 interleaved runs of ${seconds} s`
)
for (const [name, runs] of all) {
  const of = (key: Exclude<keyof Figures, "name">) => median(runs.map((run) => run[key]))
  const row = {
    group: "many streams",
    name,
    streams,
    cpuPerTokenMicros: of("cpuPerToken"),
    ratio: of("cpuPerToken") / floor,
    core: of("core"),
    p50Ms: of("p50"),
    p99Ms: of("p99"),
    heapPerStreamKb: heaps.get(name)! / 1_000,
    lost: of("lost")
  }
  console.log(
    `${name.padEnd(36)} ${row.cpuPerTokenMicros.toFixed(1)} µs CPU a token (${row.ratio.toFixed(2)} x), ` +
      `${(100 * row.core).toFixed(0)} % of a core, p50 ${row.p50Ms.toFixed(2)} ms, p99 ${row.p99Ms.toFixed(2)} ms, ` +
      `${row.heapPerStreamKb.toFixed(1)} KB heap an idle stream, ${row.lost} lost`
  )
  console.log(JSON.stringify(row))
}

// How many such streams one core carries: doubled until the tokens come late or the core is full.
console.log("\none core, effect-llm-streaming, until 99 % of the tokens are no longer delivered within 5 ms")
for (let count = streams * 2; ; count *= 2) {
  const figures = await measure("effect-llm-streaming", sides["effect-llm-streaming"]!, count)
  console.log(
    `${count} streams: ${(100 * figures.core).toFixed(0)} % of a core, p50 ${figures.p50.toFixed(2)} ms, ` +
      `p99 ${figures.p99.toFixed(2)} ms, ${figures.lost} lost`
  )
  if (figures.p99 > 5) break
}
