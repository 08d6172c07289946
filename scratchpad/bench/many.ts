/**
 * Many streams at once, suspended between tokens: CPU, latency and heap of the whole pipeline, against plain async
 * generators that do the same work by hand.
 *
 * `node --expose-gc scratchpad/bench/many.ts [streams] [seconds] [option of node for each side]`
 *
 * The tokens of all streams come from one clock, so that no side is charged with 1,000 timers: every stream is due 50 times
 * a second, at a phase of its own, and a timer of 1 ms releases those that are due. What is measured is the work behind
 * that: waking the consumer, the pipeline, going to sleep again.
 *
 * Each side runs in processes of its own, as a backend does, so that none pays for the garbage or the type feedback of
 * another; rounds are interleaved. The streams of a run begin one after the other over a second, run a while to warm up,
 * and are measured while all of them run. All in one millisecond would be another experiment: V8 then sees only the
 * objects of 1,000 beginnings, all of which live, and allocates their like among the old ones for good.
 */
import { execFile } from "node:child_process"
import { cpus } from "node:os"
import { PerformanceObserver } from "node:perf_hooks"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { Effect, ManagedRuntime, Stream } from "effect"
import {
  ContentFilter,
  Deadline,
  Smoothing,
  StreamCallbacks,
  StreamEvent,
  StreamHandler,
  StreamSource
} from "../../src/index.ts"
import * as LatencyHistogram from "../../src/internal/latencyHistogram.ts"
import { takeByHand } from "./byHand.ts"
import { makeTokens, patterns } from "./tokens.ts"
import { makeWheel, wait, type Wheel } from "./wheel.ts"

const period = 20
const tokens = makeTokens(4_096)

async function* generate(wheel: Wheel, startAt: number, count: number) {
  for (let n = 0; n < count; n++) {
    await wait(wheel, startAt + n * period)
    yield tokens[n % tokens.length]!
  }
}

// -----------------------------------------------------------------------------
// the sides
// -----------------------------------------------------------------------------

// Made once, as a backend does: the filter's automaton, and the Layer of the callbacks.
const filter = ContentFilter.make({ patterns, replacement: "[FILTERED]" })
const deadline = Deadline.make({ firstToken: "10 seconds", idle: "10 seconds", total: "1 minute" })
const smoothing = Smoothing.make({ by: "word" })
const runtime = ManagedRuntime.make(StreamCallbacks.layer({ onDelta: () => Effect.void }))

/** Runs one stream; `delivered` is called for each token when it reaches the end of the pipeline. */
type Side = (source: () => AsyncIterable<string>, delivered: () => void) => Promise<unknown>

const drain = (delivered: () => void) =>
  Stream.runForEachArray((events: ReadonlyArray<StreamEvent.StreamEvent>) =>
    Effect.sync(() => {
      for (const event of events) if (event._tag === "Delta") delivered()
    })
  )

const sides: Readonly<Record<string, Side>> = {
  "plain async generators, same work": async (source, delivered) => {
    const work = takeByHand(async () => {})
    for await (const token of source()) {
      await work.take(token)
      delivered()
    }
    await work.end()
  },
  "plain async generators, no work": async (source, delivered) => {
    for await (const _ of source()) delivered()
  },
  "effect-llm-streaming": (source, delivered) =>
    StreamSource.fromAsyncIterable(source).pipe(
      StreamEvent.fromText,
      filter,
      StreamHandler.events(),
      drain(delivered),
      runtime.runPromise
    ),
  "  of that: source and drain": (source, delivered) =>
    StreamSource.fromAsyncIterable(source).pipe(
      Stream.runForEachArray(() => Effect.sync(delivered)),
      Effect.runPromise
    ),
  "  of that: source, events and filter": (source, delivered) =>
    StreamSource.fromAsyncIterable(source).pipe(StreamEvent.fromText, filter, drain(delivered), Effect.runPromise),
  "  source, events and Deadline": (source, delivered) =>
    StreamSource.fromAsyncIterable(source).pipe(StreamEvent.fromText, deadline, drain(delivered), Effect.runPromise),
  // Its units are not the tokens: of this one only the CPU and the heap say something.
  "  source, events and Smoothing": (source, delivered) =>
    StreamSource.fromAsyncIterable(source).pipe(StreamEvent.fromText, smoothing, drain(delivered), Effect.runPromise),
  "  without callbacks": (source, delivered) =>
    StreamSource.fromAsyncIterable(source).pipe(
      StreamEvent.fromText,
      filter,
      StreamHandler.events(),
      drain(delivered),
      Effect.runPromise
    )
}

// -----------------------------------------------------------------------------
// one run, in a process of its own
// -----------------------------------------------------------------------------

interface Figures {
  /** CPU of the process for each token, in microseconds. */
  readonly cpuPerToken: number
  /** Share of one core. */
  readonly core: number
  readonly p50: number
  readonly p99: number
  /** The part of the time that garbage collection stopped everything, and for how long at most, in milliseconds. */
  readonly gc: number
  readonly gcMax: number
  /** What all other processes took of the machine meanwhile, in cores: a disturbed run says little. */
  readonly others: number
  readonly lost: number
}

/** CPU time of all processes since the machine began, in milliseconds. */
const machineCpu = () => cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0)

const rampUp = 1_000
const warmUp = 2_000

const measure = async (side: Side, streams: number, seconds: number): Promise<Figures> => {
  const wheel = makeWheel()
  const latencies = LatencyHistogram.make()
  const from = rampUp + warmUp
  const to = from + seconds * 1_000
  const count = Math.ceil(to / period)
  let received = 0
  let measured = 0
  let gc = 0
  let gcMax = 0
  const observer = new PerformanceObserver((list) => {
    for (const { duration, startTime } of list.getEntries()) {
      if (startTime < windowAt) continue
      gc += duration
      gcMax = Math.max(gcMax, duration)
    }
  })
  observer.observe({ entryTypes: ["gc"] })
  let windowAt = Number.POSITIVE_INFINITY
  const run = async (startAt: number) => {
    await wait(wheel, startAt)
    let n = 0
    await side(
      () => generate(wheel, startAt, count),
      () => {
        const due = startAt + n++ * period
        received++
        if (due < from || due >= to) return
        measured++
        latencies.record(Math.max(0.01, wheel.now() - due))
      }
    )
  }
  const runs = Array.from({ length: streams }, (_, i) => run((i * rampUp) / streams))
  await wait(wheel, from)
  windowAt = performance.now()
  const cpuBefore = process.cpuUsage()
  const machineBefore = machineCpu()
  const measuredBefore = measured
  await wait(wheel, to)
  const { system, user } = process.cpuUsage(cpuBefore)
  const elapsed = performance.now() - windowAt
  const cpu = user + system
  const others = (machineCpu() - machineBefore - cpu / 1_000) / elapsed
  const inWindow = measured - measuredBefore
  await Promise.all(runs)
  wheel.stop()
  observer.disconnect()
  return {
    cpuPerToken: cpu / inWindow,
    core: cpu / 1_000 / elapsed,
    p50: latencies.percentile(0.5),
    p99: latencies.percentile(0.99),
    gc: gc / elapsed,
    gcMax,
    others,
    lost: streams * count - received
  }
}

/** Heap of a stream that waits for its next token, after ten. */
const heapOf = async (side: Side, streams: number): Promise<number> => {
  const once = async () => {
    globalThis.gc?.()
    const before = process.memoryUsage().heapUsed
    const wheel = makeWheel()
    const runs = Array.from({ length: streams }, () =>
      side(
        () => generate(wheel, 200, 20),
        () => {}
      )
    )
    await new Promise((resolve) => setTimeout(resolve, 200 + 10 * period))
    globalThis.gc?.()
    const heap = (process.memoryUsage().heapUsed - before) / streams
    await Promise.all(runs)
    wheel.stop()
    return heap
  }
  await once()
  return once()
}

// -----------------------------------------------------------------------------
// all runs
// -----------------------------------------------------------------------------

const median = (values: ReadonlyArray<number>) => values.toSorted((a, b) => a - b)[values.length >> 1]!

/**
 * V8's young generation begins at 1 MB, and grows by collections that find nearly all alive; what is made meanwhile is taken
 * for what lives long. So a server of many streams is started with a large one.
 */
const youngGeneration = "--min-semi-space-size=32"

const inProcess = async <A>(mode: "measure" | "heap", name: string, streams: number, seconds: number): Promise<A> => {
  const file = fileURLToPath(import.meta.url)
  const args = ["--expose-gc", process.argv[4] ?? youngGeneration, file, mode, name, String(streams), String(seconds)]
  const { stdout } = await promisify(execFile)(process.execPath, args)
  return JSON.parse(stdout) as A
}

const compare = async (streams: number, seconds: number) => {
  const rounds = 3
  console.log(`${streams} streams, ${1_000 / period} tokens a second each, medians of ${rounds} runs of ${seconds} s`)
  const all = new Map<string, Array<Figures>>()
  for (let round = 0; round < rounds; round++) {
    for (const name of Object.keys(sides)) {
      all.set(name, [...(all.get(name) ?? []), await inProcess<Figures>("measure", name, streams, seconds)])
    }
  }
  const floors = all.get("plain async generators, same work")!.map((run) => run.cpuPerToken)
  for (const [name, runs] of all) {
    const of = (key: keyof Figures) => median(runs.map((run) => run[key]))
    const row = {
      group: "many streams",
      name,
      streams,
      cpuPerTokenMicros: of("cpuPerToken"),
      ratio: median(runs.map((run, round) => run.cpuPerToken / floors[round]!)),
      core: of("core"),
      p50Ms: of("p50"),
      p99Ms: of("p99"),
      gc: of("gc"),
      gcMaxMs: of("gcMax"),
      heapPerStreamKb: (await inProcess<number>("heap", name, streams, seconds)) / 1_000,
      lost: of("lost")
    }
    console.log(
      `${name.padEnd(36)} ${row.cpuPerTokenMicros.toFixed(1)} µs CPU a token (${row.ratio.toFixed(2)} x), ` +
        `${(100 * row.core).toFixed(0)} % of a core, p50 ${row.p50Ms.toFixed(2)} ms, p99 ${row.p99Ms.toFixed(2)} ms, ` +
        `GC ${(100 * row.gc).toFixed(1)} % of the time and ${row.gcMaxMs.toFixed(1)} ms at most, ` +
        `${row.heapPerStreamKb.toFixed(1)} KB heap an idle stream, ${row.lost} lost`
    )
    console.log(JSON.stringify(row))
  }

  // How many such streams one core carries: more by a quarter until the tokens come late.
  console.log("\none core, effect-llm-streaming, until 99 % of the tokens are no longer delivered within 5 ms")
  for (let count = streams; ; count = Math.round(count * 1.25)) {
    const { core, lost, p50, p99 } = await inProcess<Figures>("measure", "effect-llm-streaming", count, seconds)
    console.log(
      `${count} streams: ${(100 * core).toFixed(0)} % of a core, p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms, ` +
        `${lost} lost`
    )
    if (p99 > 5) break
  }
}

const [mode, ...rest] = process.argv.slice(2)
if (mode === "measure" || mode === "heap") {
  const [name, streams, seconds] = rest
  const run = mode === "measure" ? measure : heapOf
  console.log(JSON.stringify(await run(sides[name!]!, Number(streams), Number(seconds))))
} else {
  await compare(Number(mode ?? 1_000), Number(rest[0] ?? 4))
}
