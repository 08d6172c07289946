/**
 * A content filter by rules: finds their matches in each text, and does to each what its rule says.
 *
 * @since 0.1.0
 */
import { type Changer, JsonStrings } from "../internal/jsonStrings.ts"
import type * as RuleSearch from "../internal/ruleSearch.ts"
import * as StreamError from "../StreamError.ts"
import * as StreamEvent from "../StreamEvent.ts"
import * as StreamProcessor from "../StreamProcessor.ts"
import { ArgumentsFilter } from "./ArgumentsFilter.ts"
import type { Rule } from "./ContentRules.ts"
import { HeldText } from "./HeldText.ts"

/**
 * @category options
 * @since 0.1.0
 */
export interface Options {
  readonly rules: ReadonlyArray<Rule>
  /** Begins a text. */
  readonly open: () => RuleSearch.RuleSearch
  readonly replacement: string
  readonly toolArguments: boolean
  readonly maxWaiting: number
}

type Blocked = StreamError.StreamErrorOf<"ContentBlocked">

/**
 * A processor that filters text by rules.
 *
 * @category processors
 * @since 0.1.0
 */
export const make = (
  options: Options
): StreamProcessor.StreamProcessor<StreamError.StreamErrorOf<"BufferOverflow" | "ContentBlocked">> =>
  StreamProcessor.transduce(() => {
    type Out = Array<StreamEvent.StreamEvent>
    const held = new HeldText(options.maxWaiting)
    const hits = new Map<string, number>()
    let text: { readonly tag: StreamEvent.TextEvent["_tag"]; readonly search: RuleSearch.RuleSearch } | undefined
    let timestamp = 0

    /** Sends text on; pieces of one event, or of its like, become one. `from` is where this step's events begin. */
    const put = (event: StreamEvent.TextEvent, delta: string, out: Out, from: number) => {
      if (delta === "") return
      const last = out.length > from ? out.at(-1)! : undefined
      if (last?._tag === event._tag && StreamEvent.isText(last) && last.part === event.part) {
        out[out.length - 1] = { ...event, delta: last.delta + delta }
      } else {
        out.push(delta === event.delta ? event : { ...event, delta })
      }
    }

    const drain = (search: RuleSearch.RuleSearch, out: Out): Blocked | undefined => {
      const from = out.length
      const pass = (event: StreamEvent.TextEvent, piece: string) => put(event, piece, out, from)
      for (let match = search.next(); match !== undefined; match = search.next()) {
        const rule = options.rules[match.rule]!
        hits.set(rule.name, (hits.get(rule.name) ?? 0) + 1)
        held.take(match.start, pass, out)
        if (rule.action === "block" || match.isTooLong) {
          return StreamError.make({ _tag: "ContentBlocked", rule: rule.name, offset: match.start })
        }
        const show = shown(rule, options.replacement)
        held.take(match.end, (event, piece) => put(event, show(piece), out, from), out)
      }
      held.take(search.decided, pass, out)
      return undefined
    }

    const endText = (out: Out): Blocked | undefined => {
      if (text === undefined) return undefined
      text.search.end()
      const blocked = drain(text.search, out)
      text = undefined
      held.reset()
      return blocked
    }

    const pushText = (event: StreamEvent.TextEvent, out: Out): Blocked | undefined => {
      if (event.delta === "") {
        if (held.isEmpty) out.push(event)
        return undefined
      }
      if (text !== undefined && text.tag !== event._tag) {
        const blocked = endText(out)
        if (blocked !== undefined) return blocked
      }
      text ??= { tag: event._tag, search: options.open() }
      held.push(event)
      text.search.push(event.delta)
      return drain(text.search, out)
    }

    const step = (event: StreamEvent.StreamEvent, out: Out) => {
      if (StreamEvent.isText(event)) return pushText(event, out)
      if (event._tag === "Metadata" && !held.isEmpty) {
        const overflow = held.wait(event)
        return overflow === undefined ? undefined : (endText(out) ?? overflow)
      }
      if (event._tag !== "Progress" && event._tag !== "Metadata") {
        const blocked = endText(out)
        if (blocked !== undefined) return blocked
      }
      if (StreamEvent.isTerminal(event)) report(out)
      out.push(event)
      return undefined
    }

    /** What a rule has blocked in the arguments of a tool. */
    let blocked: Blocked | undefined
    const toolArguments = new ArgumentsFilter({
      maxWaiting: options.maxWaiting,
      isBlocked: () => blocked !== undefined,
      open: (counts) =>
        new JsonStrings(() =>
          changer(options, (rule, offset, isBlocked) => {
            if (counts) hits.set(rule.name, (hits.get(rule.name) ?? 0) + 1)
            if (isBlocked) blocked ??= StreamError.make({ _tag: "ContentBlocked", rule: rule.name, offset })
          })
        )
    })
    const stepAll = (events: Out, out: Out) => {
      for (const event of events) {
        const error = step(event, out)
        if (error !== undefined) return error
      }
      return blocked
    }
    const stepArguments = (event: StreamEvent.StreamEvent, out: Out) => {
      const events: Out = []
      const overflow = toolArguments.step(event, events)
      return stepAll(events, out) ?? overflow
    }

    const report = (out: Out) => {
      if (hits.size === 0) return
      out.push(StreamEvent.metadata(timestamp, "content-filter", { metadata: { hits: Object.fromEntries(hits) } }))
      hits.clear()
    }

    return {
      step(event, out) {
        timestamp = event.timestamp
        const error = options.toolArguments ? stepArguments(event, out) : step(event, out)
        if (error !== undefined) report(out)
        return error
      },
      flush(out) {
        const events: Out = []
        toolArguments.flush(events)
        const error = stepAll(events, out) ?? endText(out)
        report(out)
        return error
      }
    }
  })

/** Searches a string by rules. */
const changer = (
  { open, replacement, rules }: Options,
  onMatch: (rule: Rule, offset: number, isBlocked: boolean) => void
): Changer => {
  const search = open()
  let blockedAt: number | undefined
  return {
    push: (text) => search.push(text),
    end: () => search.end(),
    next() {
      const match = blockedAt === undefined ? search.next() : undefined
      if (match === undefined) return undefined
      const rule = rules[match.rule]!
      const isBlocked = rule.action === "block" || match.isTooLong
      onMatch(rule, match.start, isBlocked)
      if (!isBlocked) return { start: match.start, end: match.end, change: shown(rule, replacement) }
      blockedAt = match.start
      return undefined
    },
    decided: () => blockedAt ?? search.decided,
    isBlocked: () => blockedAt !== undefined
  }
}

/** What a piece of a match becomes. A match is replaced in its first piece, and masked in each. */
const shown = (rule: Rule, replacement: string): ((piece: string) => string) => {
  if (rule.action === "drop") return () => ""
  if (rule.action === "mask") {
    const mask = rule.replacement ?? "*"
    return (piece) => mask.repeat(piece.replace(/[\udc00-\udfff]/g, "").length)
  }
  let rest: string | undefined
  return () => {
    const text = rest ?? rule.replacement ?? replacement
    rest = ""
    return text
  }
}
