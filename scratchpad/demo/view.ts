/**
 * What the demo shows of a stream: its events as they come, a live line while it runs, and figures when it is over.
 */
import { Effect } from "effect"
import { type StreamEvent, StreamProcessor, type StreamResult, type StreamStats } from "../../src/index.ts"
import { Cuts, type Hit } from "./cuts.ts"
import * as Guard from "./guard.ts"
import type { Source } from "./source.ts"
import { type Style, Terminal } from "./terminal.ts"
import { lines } from "./wrap.ts"

/** What stands in the place of a secret. */
export const redacted = "[REDACTED]"

const styles: { readonly [T in StreamEvent.TextEvent["_tag"]]: Style | undefined } = {
  Delta: undefined,
  Reasoning: "dim",
  Refusal: "yellow"
}
const names = { Delta: "answer", Reasoning: "reasoning", Refusal: "refusal" } as const

export const make = Effect.fnUntraced(function* (source: Source) {
  const terminal = yield* Terminal
  const cuts = new Cuts()
  /** Tool calls whose arguments are still coming, by id. */
  const calls = new Map<string, { readonly name: string; argumentsText: string }>()
  let section: string | undefined
  let activity = `asking ${source.title}`
  let isOver = false

  /** Begins a block of text; the first one has the title above it. */
  const begin = Effect.fnUntraced(function* (name: string, heading?: string) {
    if (section === name) return
    if (section === undefined) {
      yield* terminal.write(`${source.title}\n`, "dim")
      if (source.isAsked) yield* terminal.write(`> ${source.prompt}\n`, "bold")
    }
    yield* terminal.paragraph
    // An answer that nothing comes before needs no heading.
    if (heading !== undefined && (section !== undefined || heading !== "answer")) {
      yield* terminal.write(`[${heading}]\n`, "dim")
    }
    section = name
  })

  const showText = Effect.fnUntraced(function* ({ _tag, delta }: StreamEvent.TextEvent) {
    if (delta === "") return
    yield* begin(_tag, names[_tag])
    const parts = delta.split(redacted)
    yield* terminal.write(parts[0]!, styles[_tag])
    for (const part of parts.slice(1)) {
      yield* terminal.write(redacted, ["black", "bgYellow"])
      yield* terminal.write(part, styles[_tag])
    }
  })

  const showCall = Effect.fnUntraced(function* (title: string, name: string, detail: string, style: Style) {
    yield* begin("tools")
    yield* terminal.write(`[${title}] `, "dim")
    yield* terminal.write(name, style)
    yield* terminal.write(` ${detail}\n`)
  })

  const show = (event: StreamEvent.StreamEvent): Effect.Effect<void> => {
    switch (event._tag) {
      case "Start":
        activity = "waiting for the first token"
        return Effect.void
      case "Progress":
        activity = `waiting (${event.kind})`
        return Effect.void
      case "Delta":
      case "Reasoning":
      case "Refusal":
        return showText(event)
      case "ToolCallDelta": {
        const before = calls.get(event.id)?.argumentsText ?? ""
        calls.set(event.id, { name: event.name, argumentsText: before + event.delta })
        activity = `calling ${event.name}`
        return Effect.void
      }
      case "ToolCall":
        calls.delete(event.id)
        return showCall("tool call", event.name, event.argumentsText, "magenta")
      case "ToolResult":
        return showCall("tool result", event.name, JSON.stringify(event.output), event.isError ? "red" : "green")
      default:
        return Effect.void
    }
  }

  /** Keeps the live line up to date, until it is interrupted. */
  const live = (stats: Effect.Effect<StreamStats.Snapshot>) => {
    const spinner = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
    let turn = 0
    const draw = Effect.flatMap(stats, (snapshot) => {
      if (isOver) return Effect.void
      const figures =
        snapshot.totalTokens > 0 ? liveFigures(snapshot) : `${duration(snapshot.totalDurationMs)} · ${activity}`
      return terminal.status(`${spinner[turn++ % spinner.length]} ${figures}`)
    })
    return terminal.isLive ? Effect.forever(Effect.andThen(draw, Effect.sleep("100 millis"))) : Effect.void
  }

  const showFilter = Effect.fnUntraced(function* (result: StreamResult.StreamResult) {
    const counts = Guard.counts(result)
    if (counts.length > 0) {
      yield* begin("filter")
      yield* terminal.write(
        `The guard counted: ${counts.map(([rule, count]) => `${rule} ${count}`).join(", ")}.\n`,
        "dim"
      )
    }
    if (source.secrets.length === 0) return
    const hits = cuts.find(source.secrets)
    yield* begin("filter")
    yield* terminal.write(hits.length === 0 ? "The filter found nothing to redact.\n" : "The filter redacted:\n", "dim")
    for (const hit of hits) yield* terminal.write(`- ${describeHit(hit)}\n`)
  })

  const showTable = Effect.fnUntraced(function* (result: StreamResult.StreamResult) {
    const rows = figuresOf(result)
    const labelWidth = Math.max(...rows.map(([label]) => label.length)) + 2
    const columns = yield* terminal.columns
    yield* begin("figures")
    yield* terminal.write(`${"─".repeat(Math.min(columns, 60))}\n`, "dim")
    for (const [label, value] of rows) {
      const [first = "", ...rest] = lines(value, Math.max(columns - labelWidth, 10))
      yield* terminal.write(label.padEnd(labelWidth), "dim")
      yield* terminal.write(`${first}\n`)
      for (const line of rest) yield* terminal.write(`${" ".repeat(labelWidth)}${line}\n`)
    }
  })

  const summary = Effect.fnUntraced(function* (result: StreamResult.StreamResult) {
    isOver = true
    yield* terminal.status(undefined)
    // Nothing of an answer arrived: the failure says it all.
    if (result.stats.outcome === "failed" && result.stats.firstTokenMs === undefined) return
    for (const { argumentsText, name } of calls.values()) yield* showCall("tool call, cut", name, argumentsText, "red")
    yield* showFilter(result)
    yield* showTable(result)
  })

  // A pure stage keeps together what arrived together; `Stream.tap` would not, and the figures would show it.
  const watch = StreamProcessor.filterMap((event) => {
    cuts.add(event)
    return event
  })

  return { watch, show, live, summary }
})

// -----------------------------------------------------------------------------
// words for figures
// -----------------------------------------------------------------------------

const describeHit = ({ chunk, pieces, tag }: Hit): string => {
  // Letters and digits stay hidden here as well.
  const masked = pieces.map((piece) => piece.replace(/[\p{L}\p{N}]/gu, "•")).join("|")
  const where =
    pieces.length === 1 ? `whole, in chunk ${chunk}` : `split over chunks ${chunk} to ${chunk + pieces.length - 1}`
  return `${masked} in the ${names[tag]}, ${where}`
}

const liveFigures = (stats: StreamStats.Snapshot): string =>
  [
    `${tokens(stats)} tokens`,
    stats.tokensPerSecond === undefined ? "" : `${figure(stats.tokensPerSecond)}/s`,
    stats.firstTokenMs === undefined ? "" : `TTFT ${duration(stats.firstTokenMs)}`
  ]
    .filter((figure) => figure !== "")
    .join(" · ")

const figuresOf = ({ finishReason, providerFinishReason, stats, usage }: StreamResult.StreamResult) => {
  const source = stats.tokenSource === "provider" ? "counted by the provider" : "counted as words"
  const isSameWord = providerFinishReason === undefined || providerFinishReason === finishReason
  return [
    ["outcome", stats.outcome],
    ["finish reason", isSameWord ? finishReason : `${finishReason} (${providerFinishReason})`],
    ["tokens", `${stats.totalTokens}, ${source}`],
    ["time to first token", maybe(stats.firstTokenMs, duration)],
    ["time to first output", maybe(stats.firstOutputMs, duration)],
    ["total time", duration(stats.totalDurationMs)],
    ["tokens per second", maybe(stats.totalTokens > 0 ? stats.tokensPerSecond : undefined, figure)],
    ["time per output token", maybe(stats.timePerOutputTokenMs, duration)],
    ["between chunks", maybe(stats.interChunkMs, gaps)],
    ["usage", maybe(usage, usageText)]
  ] as const
}

const gaps = ({ max, p50, p95, p99 }: NonNullable<StreamStats.Snapshot["interChunkMs"]>): string =>
  `p50 ${figure(p50)}, p95 ${figure(p95)}, p99 ${figure(p99)}, max ${figure(max)} ms`

const usageText = ({ inputTokens, outputTokens }: StreamResult.Usage): string => {
  const detail = (count: number | undefined, name: string) => (count === undefined ? "" : ` (${count} ${name})`)
  return (
    `${maybe(inputTokens.total, String)} in${detail(inputTokens.cacheRead, "cached")}, ` +
    `${maybe(outputTokens.total, String)} out${detail(outputTokens.reasoning, "reasoning")}`
  )
}

/** What is not known is said to be unknown, never 0. */
const maybe = <A>(value: A | undefined, f: (value: A) => string): string => (value === undefined ? "unknown" : f(value))

const tokens = (stats: StreamStats.Snapshot): string =>
  stats.tokenSource === "provider" ? `${stats.totalTokens}` : `≈${stats.totalTokens}`

const duration = (ms: number): string => (ms < 10_000 ? `${figure(ms)} ms` : `${figure(ms / 1000)} s`)

const figure = (value: number): string => value.toFixed(value < 1 ? 2 : value < 100 ? 1 : 0)
