/**
 * Replaces forbidden text, wherever chunk borders cut it: literals by `patterns`, or literals and regular expressions by
 * `rules`, each with an action of its own.
 *
 * What is filtered is a text: a run of answer, of reasoning or of refusal. It goes on over parts, whose concatenation is what
 * a reader sees, over Metadata and over Progress. It ends where other content begins (text of another kind, a tool call or
 * its result) and at the stream's end.
 *
 * 1. Each text becomes what the whole-text reference makes of it, for every way of splitting it: leftmost, then longest, then
 *    the earlier rule; not overlapping. A regular expression matches at a position what `RegExp` matches there.
 * 2. Text is held back only while it could still become a match. With `patterns` that is never a character more than it must
 *    be; with rules, see {@link make}. Where the text ends, and before a failure, what is held back is released, but for what a
 *    rule blocks.
 * 3. Order is kept. A match over several parts is shown in the one where it begins (a mask in each). Of what follows held-back
 *    text, Metadata waits with it, up to a limit; Progress passes; all else ends the text and with it the wait.
 * 4. Time is linear in the text. For literals it does not grow with their number, but for the cost of memory; each regular
 *    expression is followed by itself, without backtracking.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as LiteralMatcher from "../internal/literalMatcher.ts"
import * as RuleSearch from "../internal/ruleSearch.ts"
import { sizeOf } from "../internal/sizeOf.ts"
import * as StreamBuffer from "../StreamBuffer.ts"
import * as StreamConfig from "../StreamConfig.ts"
import * as StreamError from "../StreamError.ts"
import * as StreamEvent from "../StreamEvent.ts"
import * as StreamProcessor from "../StreamProcessor.ts"
import * as ContentRules from "./ContentRules.ts"
import * as RuleFilter from "./RuleFilter.ts"

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

/**
 * @category options
 * @since 0.1.0
 */
export interface Options {
  readonly rules?: undefined
  /** Literal texts to look for. Those of `StreamConfig` by default; an empty one throws a `RangeError`. */
  readonly patterns?: ReadonlyArray<string> | undefined
  /** What stands in the place of a match. That of `StreamConfig` by default: `"[FILTERED]"`. */
  readonly replacement?: string | undefined
  /** `false` by default: letters match whatever their case, by Unicode's simple case folding. */
  readonly caseSensitive?: boolean | undefined
  /**
   * `"match"` (by default) replaces each match. `"delta"` does what the Python module does: a delta that contains a pattern
   * becomes the replacement as a whole. That depends on how the provider splits its text: a pattern that is cut in two
   * passes.
   */
  readonly scope?: "match" | "delta" | undefined
  /** How much Metadata may wait behind held-back text, in UTF-16 code units; each value counts some more. 1 Mi by default. */
  readonly maxWaiting?: number | undefined
}

/**
 * What a rule looks for, and what becomes of what it finds.
 *
 * @category options
 * @since 0.1.0
 */
export type Rule = ContentRules.Rule

/**
 * Options of a filter by rules.
 *
 * @category options
 * @since 0.1.0
 */
export interface RuleOptions {
  /** Where rules match equally long at one place, the earlier counts. An impossible one throws a `RangeError`. */
  readonly rules: ReadonlyArray<Rule>
  /** What stands in the place of a match, unless its rule says it. That of `StreamConfig` by default: `"[FILTERED]"`. */
  readonly replacement?: string | undefined
  /** Of literals; `false` by default, as in {@link Options}. A regular expression has its flag `i`. */
  readonly caseSensitive?: boolean | undefined
  /**
   * `true` by default: rules see the text in Unicode's normal form NFKC, so that full-width letters, ligatures and letters
   * with separate accents are what they look like. What matches takes whole characters of the text; what does not, passes as
   * it came.
   */
  readonly normalize?: boolean | undefined
  /**
   * Whether the arguments of tool calls are filtered too: their strings, each a text of its own, so that they stay JSON (the names
   * of members are left alone). Arguments that are text and no JSON are one string. `input` is then what `argumentsText` says.
   * `false` by default: a tool that gets a replacement does something else than the model meant.
   */
  readonly toolArguments?: boolean | undefined
  /** How much Metadata may wait behind held-back text, in UTF-16 code units; each value counts some more. 1 Mi by default. */
  readonly maxWaiting?: number | undefined
}

/**
 * Ready-made rules. Each is a plain value: `{ ...ContentFilter.rules.email, action: "mask" }` is another.
 *
 * **Example** (Two of them)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { ContentFilter, StreamEvent } from "effect-llm-streaming"
 *
 * const text = Stream.make("Mail bob@exam", "ple.org, or pay 4111 1111 ", "1111 1111.").pipe(
 *   StreamEvent.fromText,
 *   ContentFilter.make({ rules: [ContentFilter.rules.email, { ...ContentFilter.rules.creditCard, action: "mask" }] }),
 *   StreamEvent.text,
 *   Stream.mkString
 * )
 * Effect.runSync(text) // => "Mail [FILTERED], or pay *******************."
 * ```
 *
 * @category rules
 * @since 0.1.0
 */
export const rules = {
  email: ContentRules.email,
  phone: ContentRules.phone,
  creditCard: ContentRules.creditCard,
  iban: ContentRules.iban,
  apiKey: ContentRules.apiKey
}

// -----------------------------------------------------------------------------
// processor
// -----------------------------------------------------------------------------

/**
 * A processor that replaces each match of the patterns, or does to each match what its rule says.
 *
 * **Details**
 *
 * Fails with `BufferOverflow` when more than `maxWaiting` waits behind text that is held back, and with `ContentBlocked` where a
 * rule blocks: what was before the match has been delivered, and nothing of the match is.
 *
 * With rules, a Metadata event of the kind `content-filter` before the end (or the failure) says what was found: `hits`, the
 * number of matches by the name of the rule, and never their text. Without a match there is none.
 *
 * What rules hold back, at most: of a literal all but its last character, and of a whole word also that, until what follows is
 * there; of a regular expression as much as it could match, as long as a way to match is open that `RegExp` would prefer to what
 * it has, and as much more as its look-ahead can see. With `normalize`, the last character waits for its marks where a match
 * could begin with it or go on.
 *
 * **Gotchas**
 *
 * A secret that a model splits around other content passes: half of it before a tool call and half behind, or half in the
 * reasoning and half in the answer. Each half is a text by itself, since waiting for the other would hold up all that is
 * between. What you show or store as one text, such as the answer with its tool calls left out, can be filtered once more,
 * as a whole. The results of tools are not filtered, and their
 * arguments only with `toolArguments`.
 *
 * **Example** (A secret that is split over chunks)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { ContentFilter, StreamEvent } from "effect-llm-streaming"
 *
 * const text = Stream.make("my pass", "word is ", "hunter2").pipe(
 *   StreamEvent.fromText,
 *   ContentFilter.make({ patterns: ["password", "hunter2"] }),
 *   StreamEvent.text
 * )
 * Effect.runSync(Stream.runCollect(text)) // => ["my ", "[FILTERED] is ", "[FILTERED]"]
 * ```
 *
 * **Example** (Rules, and their report)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { ContentFilter, StreamEvent, StreamHandler } from "effect-llm-streaming"
 *
 * const result = Effect.runSync(
 *   Stream.make("Ticket AB-12", "34 of ann@exa", "mple.org: Ａｃｍｅ wins").pipe(
 *     StreamEvent.fromText,
 *     ContentFilter.make({
 *       rules: [
 *         { name: "ticket", regExp: /[A-Z]{2}-\d{4,6}/, action: "mask", wholeWord: true },
 *         { name: "customer", literals: ["Acme", "Initech"], replacement: "[CUSTOMER]" },
 *         ContentFilter.rules.email
 *       ]
 *     }),
 *     StreamHandler.run()
 *   )
 * )
 * result.text // => "Ticket ******* of [FILTERED]: [CUSTOMER] wins"
 * result.metadata // => [{ kind: "content-filter", metadata: { hits: { ticket: 1, email: 1, customer: 1 } } }]
 * ```
 *
 * @category processors
 * @since 0.1.0
 */
export function make(
  options: RuleOptions
): StreamProcessor.StreamProcessor<StreamError.StreamErrorOf<"BufferOverflow" | "ContentBlocked">>
export function make(options?: Options): StreamProcessor.StreamProcessor<StreamError.StreamErrorOf<"BufferOverflow">>
export function make(
  options?: Options | RuleOptions
): StreamProcessor.StreamProcessor<StreamError.StreamErrorOf<"BufferOverflow" | "ContentBlocked">> {
  return options?.rules === undefined ? byPatterns(options) : byRules(options)
}

const byRules = (
  options: RuleOptions
): StreamProcessor.StreamProcessor<StreamError.StreamErrorOf<"BufferOverflow" | "ContentBlocked">> => {
  const maxWaiting = StreamBuffer.checkMaxSize("maxWaiting", options.maxWaiting ?? 1024 * 1024)
  const rules = options.rules.slice()
  const open = RuleSearch.compile(rules.map(ContentRules.searched), {
    caseSensitive: options.caseSensitive ?? false,
    normalize: options.normalize ?? true
  })
  return (self) =>
    Stream.unwrap(
      Effect.map(StreamConfig.StreamConfig, (config) => {
        const replacement = options.replacement ?? config.filterReplacement
        const toolArguments = options.toolArguments ?? false
        return RuleFilter.make({ rules, open, replacement, toolArguments, maxWaiting })(self)
      })
    )
}

const byPatterns = (
  options?: Options
): StreamProcessor.StreamProcessor<StreamError.StreamErrorOf<"BufferOverflow">> => {
  const maxWaiting = options?.maxWaiting ?? 1024 * 1024
  if (!(maxWaiting >= 0)) throw new RangeError(`maxWaiting must be a number of UTF-16 code units, got ${maxWaiting}`)
  const compile = (patterns: ReadonlyArray<string>, replacement: string) => {
    if (patterns.length === 0) return StreamProcessor.passthrough
    const matcher = LiteralMatcher.compile(patterns, { caseSensitive: options?.caseSensitive ?? false })
    return options?.scope === "delta" ? wholeDeltas(matcher, replacement) : matches(matcher, replacement, maxWaiting)
  }
  if (options?.patterns !== undefined && options.replacement !== undefined) {
    return compile(options.patterns, options.replacement)
  }
  // Patterns that are given are checked, and compiled, here and now; only the replacement may come later.
  const given = options?.patterns && compile(options.patterns, StreamConfig.defaults.filterReplacement)
  return (self) =>
    Stream.unwrap(
      Effect.map(StreamConfig.StreamConfig, (config) => {
        const patterns = options?.patterns ?? config.filterPatterns
        const replacement = options?.replacement ?? config.filterReplacement
        const isGiven = given !== undefined && replacement === StreamConfig.defaults.filterReplacement
        return (isGiven ? given : compile(patterns, replacement))(self)
      })
    )
}

/** The Python module's behaviour: one delta at a time. */
const wholeDeltas = (matcher: LiteralMatcher.LiteralMatcher, replacement: string): StreamProcessor.StreamProcessor => {
  let found = false
  const stream = matcher.open(() => {
    found = true
    return ""
  })
  return StreamProcessor.filterMap((event) => {
    if (!StreamEvent.isText(event)) return event
    found = false
    stream.push(event.delta)
    stream.end()
    return found ? { ...event, delta: replacement } : event
  })
}

// -----------------------------------------------------------------------------
// matches across deltas
// -----------------------------------------------------------------------------

/** An event that is held back, in its place. */
interface Held {
  /** For text, the newest event of its input. */
  event: StreamEvent.TextEvent | StreamEvent.Metadata
  /** Where it ends: UTF-16 code units of the text's input. */
  end: number
  /** What it counts as waiting. */
  readonly size: number
}

const matches = (
  matcher: LiteralMatcher.LiteralMatcher,
  replacement: string,
  maxWaiting: number
): StreamProcessor.StreamProcessor<StreamError.StreamErrorOf<"BufferOverflow">> =>
  StreamProcessor.transduce(() => {
    type Out = Array<StreamEvent.StreamEvent>
    /** Undecided text first, and what is behind it: empty unless something is held back. */
    const queue: Array<Held> = []
    let waiting = 0
    /** The text's input so far, and how much of it is decided, in UTF-16 code units. */
    let length = 0
    let decided = 0
    /** The matches that the push under way has decided, as far as they need a place. */
    const found: Array<{ readonly offset: number; readonly end: number }> = []
    const text = matcher.open((_, offset, matched) => {
      if (queue.length > 0) found.push({ offset, end: offset + matched.length })
      return replacement
    })

    /** Sends on what is decided: `output` stands for the input up to `until`. A match belongs to where it begins. */
    const release = (output: string, until: number, out: Out): void => {
      // Input at a position becomes output at this position and `shift`, but for what is within a match.
      let shift = -decided
      let matchEnd = 0
      let from = 0
      let released = 0
      let n = 0
      for (const { end, event, size } of queue) {
        if (event._tag === "Metadata") {
          out.push(event)
          waiting -= size
        } else {
          for (; n < found.length && found[n]!.offset < end; n++) {
            matchEnd = found[n]!.end
            shift += found[n]!.offset + replacement.length - matchEnd
          }
          const to = end < until ? Math.max(end, matchEnd) + shift : output.length
          if (to > from) out.push({ ...event, delta: output.slice(from, to) })
          from = to
          if (end > until) break
        }
        released++
      }
      queue.splice(0, released)
      found.length = 0
      decided = until
    }

    const endText = (out: Out): void => {
      if (queue.length === 0) return
      release(text.end(), length, out)
      length = 0
      decided = 0
    }

    const pushText = (event: StreamEvent.TextEvent, out: Out): void => {
      if (queue.length > 0) {
        if (event.delta === "") return
        if (event._tag !== queue[0]!.event._tag) endText(out)
      }
      length += event.delta.length
      if (queue.length === 0) {
        const output = text.push(event.delta)
        decided = length - text.held
        if (output === event.delta) out.push(event)
        else if (output !== "") out.push({ ...event, delta: output })
        if (text.held > 0) queue.push({ event, end: length, size: 0 })
        return
      }
      const last = queue.at(-1)!
      if (last.event._tag === event._tag && last.event.part === event.part) {
        last.event = event
        last.end = length
      } else {
        queue.push({ event, end: length, size: 0 })
      }
      const output = text.push(event.delta)
      release(output, length - text.held, out)
    }

    return {
      step(event, out) {
        if (StreamEvent.isText(event)) {
          pushText(event, out)
        } else if (queue.length === 0 || event._tag === "Progress") {
          out.push(event)
        } else if (event._tag !== "Metadata") {
          endText(out)
          out.push(event)
        } else {
          const size = sizeOf(event, maxWaiting)
          queue.push({ event, end: length, size })
          waiting += size
          if (waiting > maxWaiting) {
            const error = StreamError.make({ _tag: "BufferOverflow", limit: maxWaiting, size: waiting })
            endText(out)
            return error
          }
        }
        return undefined
      },
      flush: endText
    }
  })
