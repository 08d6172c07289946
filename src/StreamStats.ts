/**
 * Statistics of streams: measured for every stream, kept where a Layer says so.
 *
 * Each stream has a recorder of its own, so two at once never mix. The handler puts its figures into `End` and
 * `StreamResult`; this service is where they are kept beyond the stream. By default nothing is kept.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as LatencyHistogram from "./internal/latencyHistogram.ts"
import { nonEmpty } from "./internal/untyped.ts"
import type * as StreamEvent from "./StreamEvent.ts"
import type * as StreamResult from "./StreamResult.ts"
import type * as TokenCounter from "./TokenCounter.ts"

// -----------------------------------------------------------------------------
// model
// -----------------------------------------------------------------------------

/**
 * Figures of one stream, at one moment. See `StreamResult.Stats` for each field.
 *
 * @category models
 * @since 0.1.0
 */
export type Snapshot = StreamResult.Stats

/**
 * Figures of all streams since the Layer was built. Running streams count in `streams` and in `running` only.
 *
 * @category models
 * @since 0.1.0
 */
export interface Totals {
  readonly streams: number
  readonly running: number
  readonly completed: number
  readonly failed: number
  readonly interrupted: number
  readonly abandoned: number
  readonly totalTokens: number
  readonly charsCount: number
  readonly eventsCount: number
}

/**
 * Keeps snapshots.
 *
 * @category models
 * @since 0.1.0
 */
export interface StreamStats {
  /** A stream begins. `live` reads its figures while it runs; the function returned takes its last ones, once. */
  readonly open: (live: Effect.Effect<Snapshot>) => Effect.Effect<(last: Snapshot) => Effect.Effect<void>>
  /** The last snapshots of streams that are over, oldest first, failed and left ones included. */
  readonly recent: Effect.Effect<ReadonlyArray<Snapshot>>
  /** Snapshots of the streams that run now, oldest first. */
  readonly running: Effect.Effect<ReadonlyArray<Snapshot>>
  readonly totals: Effect.Effect<Totals>
}

// -----------------------------------------------------------------------------
// service
// -----------------------------------------------------------------------------

const noTotals: Totals = {
  streams: 0,
  running: 0,
  completed: 0,
  failed: 0,
  interrupted: 0,
  abandoned: 0,
  totalTokens: 0,
  charsCount: 0,
  eventsCount: 0
}

const none: StreamStats = {
  open: () => Effect.succeed(() => Effect.void),
  recent: Effect.succeed([]),
  running: Effect.succeed([]),
  totals: Effect.succeed(noTotals)
}

/**
 * Where snapshots are kept; nowhere unless a Layer is provided.
 *
 * @category services
 * @since 0.1.0
 */
export const StreamStats: Context.Reference<StreamStats> = Context.Reference("effect-llm-streaming/StreamStats", {
  defaultValue: () => none
})

/**
 * Keeps the last `keep` snapshots (100 by default) in memory, and the figures of the streams that run.
 *
 * **Details**
 *
 * A `keep` that is not a whole number of 1 or more throws a `RangeError`.
 *
 * **Example** (Reading the figures of past streams)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { StreamEvent, StreamHandler, StreamStats } from "effect-llm-streaming"
 *
 * const program = Effect.gen(function* () {
 *   yield* Stream.make("Hello ", "World").pipe(StreamEvent.fromText, StreamHandler.run())
 *   const stats = yield* StreamStats.StreamStats
 *   const [snapshot] = yield* stats.recent
 *   return [snapshot?.outcome, snapshot?.totalTokens, snapshot?.tokenSource]
 * }).pipe(Effect.provide(StreamStats.layerMemory({ keep: 10 })))
 * Effect.runSync(program) // => ["completed", 2, "counter"]
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMemory = (options?: { readonly keep?: number | undefined }): Layer.Layer<never> => {
  const keep = options?.keep ?? 100
  if (!Number.isInteger(keep) || keep < 1) {
    throw new RangeError(`keep must be a whole number of snapshots, 1 or more, got ${keep}`)
  }
  return Layer.sync(StreamStats, () => {
    const recent: Array<Snapshot> = []
    const running = new Set<Effect.Effect<Snapshot>>()
    const totals = { ...noTotals }
    return {
      open: (live) =>
        Effect.sync(() => {
          // A stream's own entry, since two streams may share the value of `live`.
          const entry = Effect.suspend(() => live)
          running.add(entry)
          totals.streams++
          return (last) =>
            Effect.sync(() => {
              if (!running.delete(entry)) return
              recent.push(last)
              if (recent.length > keep) recent.shift()
              if (last.outcome !== "running") totals[last.outcome]++
              totals.totalTokens += last.totalTokens
              totals.charsCount += last.charsCount
              totals.eventsCount += last.eventsCount
            })
        }),
      recent: Effect.sync(() => recent.slice()),
      running: Effect.suspend(() => Effect.all(Array.from(running))),
      totals: Effect.sync(() => ({ ...totals, running: running.size }))
    }
  })
}

// -----------------------------------------------------------------------------
// recorder
// -----------------------------------------------------------------------------

/**
 * Measures one stream. Times are readings of the monotonic clock, in nanoseconds.
 *
 * @internal
 */
export class Recorder {
  private readonly gaps = LatencyHistogram.make()
  private readonly counters: { [T in StreamEvent.TextEvent["_tag"]]?: TokenCounter.Counter } = {}
  private readonly tokenCounter: TokenCounter.TokenCounter
  private readonly startedAt: bigint
  private elapsed = 0
  private eventsCount = 0
  private charsCount = 0
  private firstEventMs: number | undefined
  private firstTokenMs: number | undefined
  private firstOutputMs: number | undefined
  /** No `undefined` to begin with: V8 then keeps it in place, and makes no object of it for each token. */
  private lastChunkMs = Number.NaN
  private hasChunk = false
  private id: string | undefined
  private model: string | undefined

  constructor(tokenCounter: TokenCounter.TokenCounter, startedAt: bigint) {
    this.tokenCounter = tokenCounter
    this.startedAt = startedAt
  }

  /** Events arrived together. */
  delivery(now: bigint): void {
    this.hasChunk = false
    this.elapsed = Number(now - this.startedAt) / 1e6
    this.firstEventMs ??= this.elapsed
  }

  /** One event of the delivery. */
  event(event: StreamEvent.StreamEvent): void {
    switch (event._tag) {
      case "Start":
        this.id ??= event.id
        this.model ??= event.model
        return
      case "End":
        return
      case "Delta":
      case "Reasoning":
      case "Refusal":
        this.eventsCount++
        if (event.delta.length === 0) return
        this.chunk()
        if (event._tag === "Delta") this.firstOutputMs ??= this.elapsed
        this.charsCount += event.delta.length
        ;(this.counters[event._tag] ??= this.tokenCounter.open()).push(event.delta)
        return
      case "ToolCallDelta":
        this.eventsCount++
        if (event.delta.length > 0) this.chunk()
        return
      case "Metadata":
        this.eventsCount++
        if (event.kind !== "response") return
        // Most providers name their response in its body, behind the headers that `Start` comes with.
        this.id ??= nonEmpty(event.metadata["id"])
        this.model ??= nonEmpty(event.metadata["model"])
        return
      default:
        this.eventsCount++
    }
  }

  private chunk(): void {
    // Texts that arrive together are one delivery: the gap is counted once, at its first text.
    if (this.hasChunk) return
    this.hasChunk = true
    this.firstTokenMs ??= this.elapsed
    const gap = this.elapsed - this.lastChunkMs
    if (gap >= 0) this.gaps.record(gap)
    this.lastChunkMs = this.elapsed
  }

  /** `reportedTokens`: output tokens as the provider counts them, if it does. */
  snapshot(outcome: StreamResult.Outcome, now: bigint, reportedTokens: number | undefined): Snapshot {
    const totalDurationMs = Number(now - this.startedAt) / 1e6
    let counted = 0
    for (const counter of Object.values(this.counters)) counted += counter.count
    const totalTokens = reportedTokens ?? counted
    const gaps = this.gaps
    return {
      outcome,
      id: this.id,
      model: this.model,
      totalTokens,
      tokenSource: reportedTokens === undefined ? "counter" : "provider",
      eventsCount: this.eventsCount,
      charsCount: this.charsCount,
      firstEventMs: this.firstEventMs,
      firstTokenMs: this.firstTokenMs,
      firstOutputMs: this.firstOutputMs,
      totalDurationMs,
      tokensPerSecond: totalDurationMs > 0 ? totalTokens / (totalDurationMs / 1000) : undefined,
      timePerOutputTokenMs:
        this.firstTokenMs !== undefined && totalTokens > 1
          ? (totalDurationMs - this.firstTokenMs) / (totalTokens - 1)
          : undefined,
      interChunkMs:
        gaps.count > 0
          ? {
              p50: gaps.percentile(0.5),
              p95: gaps.percentile(0.95),
              p99: gaps.percentile(0.99),
              max: gaps.max
            }
          : undefined
    }
  }
}
