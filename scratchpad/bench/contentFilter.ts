/**
 * What ContentFilter costs by rules, against the plain way to do the same.
 *
 * Run: `node --expose-gc scratchpad/bench/contentFilter.ts [words of group names]`
 *
 * @since 0.1.0
 */
import { Effect, Stream } from "effect"
import { ContentFilter, StreamEvent, type StreamError, type StreamProcessor } from "../../src/index.ts"
import { bench, type Group, type Job } from "./harness.ts"

let seed = 42
const random = (below: number): number => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
  return Math.floor((seed / 2 ** 32) * below)
}

const syllables = "ba con de er fi gra in lo men ne or pa qui ra sta ti un ver wo xi".split(" ")
const word = (count: number) => Array.from({ length: count }, () => syllables[random(syllables.length)]!).join("")

const cut = (text: string, size: number): ReadonlyArray<string> => text.match(new RegExp(`[^]{1,${size}}`, "g"))!

/** The length of what comes out, of pieces that come in arrays of `together`. */
const lengthOf = (
  pieces: ReadonlyArray<string>,
  together: number,
  processor: StreamProcessor.StreamProcessor<StreamError.StreamError>
): number =>
  Stream.fromIterable(pieces).pipe(
    Stream.rechunk(together),
    StreamEvent.fromText,
    processor,
    Stream.runFold(
      () => 0,
      (sum, event) => (StreamEvent.isText(event) ? sum + event.delta.length : sum)
    ),
    Effect.runSync
  )

// -----------------------------------------------------------------------------
// ContentFilter
// -----------------------------------------------------------------------------

const contentFilter = (): ReadonlyArray<Group> => {
  const words = [...new Set(Array.from({ length: 30_000 }, () => word(4 + random(2))))].slice(0, 10_000)
  // Each list has its own words in the text as often as the others have theirs.
  const text = Array.from({ length: 60_000 }, (_, n) =>
    n % 100 === 0 ? words[random(10)]! : word(1 + random(4))
  ).join(" ")
  const pieces = cut(text, 4)
  const lists = [10, 1_000, 10_000].map((count) => words.slice(0, count))
  const filter = (rules: ReadonlyArray<ContentFilter.Rule>, normalize = true) =>
    ContentFilter.make({ rules, normalize, replacement: "*" })
  const row = (name: string, processor: StreamProcessor.StreamProcessor<StreamError.StreamError>): Job => ({
    name,
    run: () => lengthOf(pieces, 64, processor)
  })
  const whole = (list: ReadonlyArray<string>): Job => {
    const expression = new RegExp(list.toSorted((a, b) => b.length - a.length).join("|"), "gi")
    return {
      name: `${list.length} literals, RegExp over the whole text`,
      run: () => text.replace(expression, "*").length
    }
  }
  const prose = `${"The quick brown fox jumps over the lazy dog, and 42 other things happened on 12 May. ".repeat(99)}bob@example.com `
  const prosePieces = cut(prose.repeat(40), 4)
  const ready = (name: string, rules: ReadonlyArray<ContentFilter.Rule>): Job => {
    const processor = filter(rules)
    return { name, run: () => lengthOf(prosePieces, 64, processor) }
  }
  return [
    {
      name: "ContentFilter, literals",
      baseline: "10 literals",
      differing: true,
      work: { characters: text.length },
      jobs: [
        { name: "no stage", run: () => lengthOf(pieces, 64, (self) => self) },
        row("10 patterns", ContentFilter.make({ patterns: lists[0]!, replacement: "*" })),
        ...lists.map((list) => row(`${list.length} literals`, filter([{ name: "a", literals: list }]))),
        row("10 literals, not normalized", filter([{ name: "a", literals: lists[0]! }], false)),
        row("10 whole words", filter([{ name: "a", literals: lists[0]!, wholeWord: true }])),
        ...lists.slice(0, 2).map(whole)
      ],
      rounds: 5,
      warmup: 2
    },
    {
      name: "ContentFilter, 10,000 literals as one RegExp",
      baseline: "10000 literals",
      differing: true,
      jobs: [row("10000 literals", filter([{ name: "a", literals: lists[2]! }])), whole(lists[2]!)],
      rounds: 1,
      warmup: 1
    },
    {
      name: "ContentFilter, ready-made rules",
      baseline: "1 literal",
      differing: true,
      work: { characters: prose.length * 40 },
      jobs: [
        ready("1 literal", [{ name: "a", literal: "bob@example.com" }]),
        ...Object.values(ContentFilter.rules).map((rule) => ready(rule.name, [rule])),
        ready("all five", Object.values(ContentFilter.rules)),
        {
          name: "all five, RegExp over the whole text",
          run: () =>
            Object.values(ContentFilter.rules).reduce(
              (text, { regExp }) => text.replace(new RegExp(regExp!, `${regExp!.flags}g`), "*"),
              prose.repeat(40)
            ).length
        }
      ],
      rounds: 5,
      warmup: 2
    }
  ]
}

const wanted = process.argv.slice(2)
const groups = [...contentFilter()].filter(
  ({ name }) => wanted.length === 0 || wanted.some((word) => name.toLowerCase().includes(word.toLowerCase()))
)
await bench(groups)
