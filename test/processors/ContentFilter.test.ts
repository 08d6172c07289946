import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer, Stream } from "effect"
import { flow } from "effect/Function"
import * as ContentFilter from "../../src/processors/ContentFilter.ts"
import * as StreamConfig from "../../src/StreamConfig.ts"
import * as StreamError from "../../src/StreamError.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as StreamArbitrary from "../../src/testing/StreamArbitrary.ts"
import * as StreamLaws from "../../src/testing/StreamLaws.ts"
import * as StreamTest from "../../src/testing/StreamTest.ts"
import { heapUsed } from "../support/heap.ts"
import { collect, pulls, random, show } from "../support/run.ts"

type Event = StreamEvent.StreamEvent

const d = (text: string, part?: string) => StreamEvent.delta(0, text, part)
const r = (text: string, part?: string) => StreamEvent.reasoning(0, text, part)
const f = (text: string, part?: string) => StreamEvent.refusal(0, text, part)
const meta = (kind: string) => StreamEvent.metadata(0, kind)
const end = StreamEvent.end(0, "stop")

/** What comes out of single pulls, in one line each: `D`, `R`, `F` with the part and the text, else the tag. */
const filter = (
  events: ReadonlyArray<Event>,
  options: ContentFilter.Options,
  failure?: StreamError.StreamError
): ReadonlyArray<string> => {
  const source =
    failure === undefined ? StreamTest.script(events) : StreamTest.script([...events, StreamTest.fail(failure)])
  const run = Effect.runSync(collect(ContentFilter.make(options)(source)))
  return [...run.events.map(line), ...(run.failure === undefined ? [] : [`fails: ${run.failure.message}`])]
}

const line = (event: Event): string => {
  if (!StreamEvent.isText(event)) return event._tag === "Metadata" ? `Metadata ${event.kind}` : event._tag
  const tag = { Delta: "D", Reasoning: "R", Refusal: "F" }[event._tag]
  return `${tag}${event.part ?? ""} ${event.delta}`
}

/** The answer that comes out of each piece. */
const steps = (pieces: ReadonlyArray<string>, options: ContentFilter.Options): ReadonlyArray<string> => {
  const source = StreamTest.script(
    [...pieces.map((piece) => [d(piece)]), [end]].map((events) => StreamTest.together(...events))
  )
  const out: Array<string> = []
  let text = ""
  const counted = Stream.tap(source, () => {
    out.push(text)
    text = ""
    return Effect.void
  })
  const run = Stream.runForEach(ContentFilter.make(options)(counted), (event) =>
    Effect.sync(() => {
      if (StreamEvent.isText(event)) text += event.delta
    })
  )
  Effect.runSync(run)
  out.push(text)
  return out.slice(1)
}

const escape = (text: string) => text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&")

/** The reference: on the whole text, the leftmost match, then the longest, then on behind it. */
const redact =
  (patterns: ReadonlyArray<string>, options?: { readonly replacement?: string; readonly caseSensitive?: boolean }) =>
  (text: string): string => {
    const longestFirst = patterns.toSorted((a, b) => b.length - a.length).map(escape)
    const regExp = new RegExp(longestFirst.join("|"), options?.caseSensitive === true ? "gu" : "giu")
    return text.replace(regExp, () => options?.replacement ?? "[FILTERED]")
  }

/** The reference for what is held back: from the first place where some pattern could still become a match. */
const held = (patterns: ReadonlyArray<string>, text: string): string => {
  for (let from = 0; from < text.length;) {
    const rest = text.slice(from)
    if (patterns.some((pattern) => pattern.length > rest.length && pattern.startsWith(rest))) return rest
    const match = patterns.filter((pattern) => rest.startsWith(pattern)).toSorted((a, b) => b.length - a.length)[0]
    from += match?.length ?? 1
  }
  return ""
}

const corpus: ReadonlyArray<readonly [name: string, patterns: ReadonlyArray<string>, text: string]> = [
  ["one word", ["password"], "my password, PASSWORD, passWord; pass word passpassword passwor"],
  ["prefixes of each other", ["a", "ab", "abc", "abcd"], "abcabx aab abcd abca abcdabc a ab"],
  ["suffixes of each other", ["d", "cd", "bcd", "abcd"], "abcd abc bcd xcd abxabcd d abcc"],
  ["overlaps", ["abab", "baba", "bb"], "ababab babab abbab bababab aabb"],
  ["the longest wins only where it is whole", ["ab", "abcde", "cd"], "abcd abcdx abcde abcdabcde abcdabcd"],
  ["one inside the other", ["secret", "my secret key", "cret k"], "my secret my secret ke my secret key xcret k"],
  ["all the same letter", ["aaa", "aa"], "a aa aaa aaaa aaaaa aaaaaa aaaaaaa"],
  ["other alphabets, in any case", ["größe", "ΣΊΣΥΦΟΣ"], "GRÖßE grÖẞe größ Σίσυφος σίσυφοσ σίσυφο"],
  ["signs outside the BMP", ["😀😁", "😁😂"], "😀😁😂 😀😀😁😁😂 😀\ud83d \ude01😁😂"],
  ["characters that mean something elsewhere", ["$&", "\\", "[FILTERED]", ".*"], "a$&b\\ .* [FILTERED] $ . ["],
  ["line ends", ["a\nb", "\r\n\r\n"], "a\nb a\r\nb\r\n\r\n\r\r\n\r"]
]

describe("equals the whole-text reference", () => {
  it.for(corpus)("for every cut in two, and unit by unit: %s", ([, patterns, text]) => {
    const expected = redact(patterns)(text)
    for (let at = 0; at <= text.length; at++) {
      assert.strictEqual(steps([text.slice(0, at), text.slice(at)], { patterns }).join(""), expected, `cut at ${at}`)
    }
    assert.strictEqual(steps(text.split(""), { patterns }).join(""), expected)
  })

  it.for(corpus)("for random pieces, and where case counts: %s", ([, patterns, text]) => {
    const next = random(7)
    for (let n = 0; n < 50; n++) {
      const caseSensitive = n % 2 === 1
      const pieces = StreamTest.split(
        text,
        Array.from({ length: 5 }, () => 1 + Math.floor(next() * 9))
      )
      assert.strictEqual(
        steps(pieces, { patterns, caseSensitive, replacement: "*" }).join(""),
        redact(patterns, { caseSensitive, replacement: "*" })(text)
      )
    }
  })

  it("a replacement that holds a pattern, or is empty, is not looked at again", () => {
    assert.deepStrictEqual(filter([d("a"), d("ba"), d("b"), end], { patterns: ["ab"], replacement: "ab" }), [
      "D ab",
      "D ab",
      "End"
    ])
    assert.deepStrictEqual(filter([d("a"), d("bab"), d("c"), end], { patterns: ["ab"], replacement: "" }), [
      "D c",
      "End"
    ])
  })
})

describe("what is held back", () => {
  it.for(corpus.filter(([name]) => !name.includes("case")))(
    "is never a character too many: %s",
    ([, patterns, text]) => {
      const pieces = text.split("")
      const emitted = steps(pieces, { patterns, caseSensitive: true })
      let out = ""
      pieces.forEach((_, at) => {
        out += emitted[at]!
        const soFar = text.slice(0, at + 1)
        const rest = held(patterns, soFar)
        const decided = redact(patterns, { caseSensitive: true })(soFar.slice(0, soFar.length - rest.length))
        assert.strictEqual(out, decided, `behind ${JSON.stringify(soFar)}`)
      })
    }
  )

  it("is only text: nothing is emitted that is empty, and what passes whole is the same object", () => {
    const events = [d("clear"), meta("a"), end]
    const out = Effect.runSync(Stream.runCollect(ContentFilter.make({ patterns: ["x"] })(StreamTest.script(events))))
    assert.isTrue(out.every((event, i) => event === events[i]))
    assert.deepStrictEqual(filter([d("p"), d("a"), d("ss"), end], { patterns: ["pass"] }), ["D [FILTERED]", "End"])
  })

  it("goes on with the time of the newest event it came with", () => {
    const at = (timestamp: number, text: string) => StreamEvent.delta(timestamp, text)
    const source = StreamTest.script([at(1, "ab"), at(2, "c"), at(3, "x")])
    const out = Effect.runSync(Stream.runCollect(ContentFilter.make({ patterns: ["bcd"] })(source)))
    assert.deepStrictEqual(
      out.map((event) => [event.timestamp, line(event)]),
      [
        [1, "D a"],
        [3, "D bcx"]
      ]
    )
  })
})

describe("answer, reasoning and refusal, and their parts", () => {
  it("do not complete each other's matches", () => {
    assert.deepStrictEqual(filter([d("pa"), r("ss"), f("pa"), d("x"), end], { patterns: ["pass"] }), [
      "D pa",
      "R ss",
      "F pa",
      "D x",
      "End"
    ])
    assert.deepStrictEqual(filter([d("pa", "0"), d("ss", "1"), d("ss"), d("ss", "0"), end], { patterns: ["pass"] }), [
      "D0 [FILTERED]",
      "D1 ss",
      "D ss",
      "End"
    ])
  })

  it("a part whose name looks like another text is none", () => {
    assert.deepStrictEqual(filter([d("pa", ""), d("ss"), d("pa"), d("ss", ""), end], { patterns: ["pass"] }), [
      "D [FILTERED]",
      "D ss",
      "D pa",
      "End"
    ])
  })

  it("match across each other, in their places", () => {
    const events = [d("my pas"), r("see "), d("sword"), r("password"), d("!"), end]
    assert.deepStrictEqual(filter(events, { patterns: ["password"] }), [
      "D my ",
      "D [FILTERED]",
      "R see ",
      "R [FILTERED]",
      "D !",
      "End"
    ])
  })

  it("without a match, all stand where they stood", () => {
    const events = [d("my pas"), r("p"), d("sw"), f("pass"), d("ord"), meta("a"), r("q"), d("s"), end]
    assert.deepStrictEqual(filter(events, { patterns: ["passwords!"] }), [
      "D my ",
      "D pas",
      "R p",
      "D sw",
      "F pass",
      "D ord",
      "Metadata a",
      "R q",
      "D s",
      "End"
    ])
  })
})

describe("order", () => {
  it("what comes behind held-back text waits with it; Progress does not", () => {
    const source = [
      d("pas"),
      StreamEvent.progress(0, "ping"),
      meta("a"),
      StreamEvent.progress(0, "ping"),
      d("x"),
      meta("b")
    ]
    assert.deepStrictEqual(filter(source, { patterns: ["pass"] }), [
      "Progress",
      "Progress",
      "D pas",
      "Metadata a",
      "D x",
      "Metadata b"
    ])
  })

  it("what was decided goes on as far as the next text that is held back", () => {
    const run = pulls(
      ContentFilter.make({ patterns: ["pass"] })(StreamTest.script([d("xpas"), r("a pa"), meta("a"), d("s"), r("t")]))
    )
    assert.deepStrictEqual(
      Effect.runSync(run).map((events) => events.map(line)),
      [["D x"], ["D [FILTERED]", "R a "], ["R pa", "Metadata a", "R t"]]
    )
  })
})

describe("the end", () => {
  const events = [d("my pas"), meta("a")]
  const options = { patterns: ["password"] }

  it("releases what is held back: End, an Error event, a plain stop", () => {
    const released = ["D my ", "D pas", "Metadata a"]
    assert.deepStrictEqual(filter([...events, end], options), [...released, "End"])
    const error = StreamEvent.error(0, StreamError.make({ _tag: "Truncated", expected: "more" }))
    assert.deepStrictEqual(filter([...events, error], options), [...released, "Error"])
    assert.deepStrictEqual(filter(events, options), released)
  })

  it("a failure comes behind what was held back", () => {
    const failure = StreamError.make({ _tag: "SourceFailure", cause: "reset" })
    assert.deepStrictEqual(filter(events, options, failure), [
      "D my ",
      "D pas",
      "Metadata a",
      `fails: ${failure.message}`
    ])
  })

  it("decides what the text so far decides: a shorter match counts when the longer did not come", () => {
    assert.deepStrictEqual(filter([d("abc"), end], { patterns: ["ab", "abcd"] }), ["D [FILTERED]c", "End"])
    assert.deepStrictEqual(filter([d("abc"), r("x"), d("ab")], { patterns: ["ab", "abcd", "c"] }), [
      "D [FILTERED][FILTERED]",
      "R x",
      "D [FILTERED]"
    ])
  })

  it.effect("an interruption releases nothing", () =>
    Effect.gen(function* () {
      const probe = yield* StreamTest.probe(StreamTest.script([d("pas"), StreamTest.stall]))
      const seen: Array<string> = []
      const run = Stream.runForEach(ContentFilter.make(options)(probe.stream), (event) =>
        Effect.sync(() => seen.push(show(event)))
      )
      const fiber = yield* Effect.forkChild(run)
      yield* Effect.yieldNow
      yield* Effect.yieldNow
      fiber.interruptUnsafe()
      yield* Effect.yieldNow
      assert.deepStrictEqual(seen, [])
      assert.deepStrictEqual((yield* probe.report).violations, [])
    })
  )
})

describe("maxWaiting", () => {
  const overflow = (limit: number, size: number) =>
    `fails: ${StreamError.make({ _tag: "BufferOverflow", limit, size }).message}`

  it("text counts by its length: at the limit it passes, above it fails behind everything that waited", () => {
    const events = [d("pas"), r("0123456789"), d("x"), end]
    const [passes] = [...Array(100).keys()].filter(
      (maxWaiting) => !filter(events, { patterns: ["pass"], maxWaiting }).some((line) => line.startsWith("fails"))
    )
    assert.isAtLeast(passes!, 10)
    assert.isAtMost(passes!, 90)
    assert.deepStrictEqual(filter(events, { patterns: ["pass"], maxWaiting: passes! }), [
      "D pas",
      "R 0123456789",
      "D x",
      "End"
    ])
    assert.deepStrictEqual(filter(events, { patterns: ["pass"], maxWaiting: passes! - 1 }), [
      "D pas",
      "R 0123456789",
      overflow(passes! - 1, passes!)
    ])
  })

  it("what has waited counts no more: the limit is where it was, whatever came before", () => {
    const fits = (before: ReadonlyArray<Event>, length: number) =>
      filter([...before, d("pas"), r("x".repeat(length))], { patterns: ["pass", "assa!"], maxWaiting: 3000 }).every(
        (line) => !line.startsWith("fails")
      )
    let most = 0
    while (fits([], most + 1)) most++
    const next = random(3)
    const pick = <A>(...choices: ReadonlyArray<A>) => choices[Math.floor(next() * choices.length)]!
    for (let n = 0; n < 50; n++) {
      const before = Array.from({ length: Math.floor(next() * 15) }, () =>
        pick<(text: string, part?: string) => Event>(
          d,
          r,
          f
        )(pick("p", "pas", "pass", "passa", "x", ""), pick(undefined, undefined, "1"))
      ).flatMap((event) => (next() < 0.2 ? [event, meta("a")] : [event]))
      const decided = [d, r, f].flatMap((make) => [make("."), make(".", "1")])
      assert.isTrue(fits([...before, ...decided], most))
      assert.isFalse(fits([...before, ...decided], most + 1))
    }
  })

  it("the text that is held back does not count, nor do Progress and empty text", () => {
    const progress = StreamEvent.progress(0, "ping")
    const events = [d("01234567"), d("89012345"), progress, progress, r(""), f(""), d(""), end]
    assert.deepStrictEqual(filter(events, { patterns: ["0123456789012345!"], maxWaiting: 0 }), [
      "Progress",
      "Progress",
      "D 0123456789012345",
      "End"
    ])
  })

  it("events without text count too, big ones by their size", () => {
    const big = StreamEvent.metadata(0, "source", { metadata: { text: "x".repeat(1000) } })
    assert.deepStrictEqual(filter([d("pas"), big, end], { patterns: ["pass"], maxWaiting: 2000 }).at(-1), "End")
    assert.include(filter([d("pas"), big, end], { patterns: ["pass"], maxWaiting: 1000 }).at(-1), "fails")
  })

  it("an impossible limit throws and is named", () => {
    for (const maxWaiting of [-1, NaN]) {
      assert.throws(() => ContentFilter.make({ patterns: ["a"], maxWaiting }), RangeError, /maxWaiting/)
    }
  })

  const flood = (events: (n: number) => Event, count: number, options: ContentFilter.Options) =>
    Effect.gen(function* () {
      let n = 0
      let most = 0
      const before = heapUsed()
      const source = Stream.fromPull(
        Effect.succeed(
          Effect.suspend(() => {
            if (n === count) most = heapUsed() - before
            return Effect.succeed([n++ === 0 ? d("pas") : n <= count ? events(n) : end] as const)
          })
        )
      )
      const { failure } = yield* collect(
        source.pipe(
          Stream.takeUntil(StreamEvent.isTerminal),
          ContentFilter.make(options),
          Stream.filter(StreamEvent.isTerminal)
        )
      )
      return { most, failure: failure?.reason._tag }
    })

  it.effect("half a million empty deltas behind held-back text hold nothing", () =>
    Effect.gen(function* () {
      const { failure, most } = yield* flood((n) => (n % 2 === 0 ? r("") : f("")), 500_000, { patterns: ["pass"] })
      assert.isUndefined(failure)
      assert.isBelow(most, 20)
    })
  )

  it.effect("text that is held back in one part after the other is bounded", () =>
    Effect.gen(function* () {
      const { failure } = yield* flood((n) => d("p", `${n}`), 200_000, { patterns: ["pass"] })
      assert.strictEqual(failure, "BufferOverflow")
    })
  )

  it.effect("parts that hold nothing back are forgotten", () =>
    Effect.gen(function* () {
      const { failure, most } = yield* flood((n) => (n === 2 ? d("x") : d("x", `${n}`)), 200_000, {
        patterns: ["pass"]
      })
      assert.isUndefined(failure)
      assert.isBelow(most, 20)
    })
  )
})

describe("scope: delta", () => {
  const options = { patterns: ["password", "Key"], scope: "delta" } as const

  it("a delta with a pattern becomes the replacement as a whole; what is cut in two passes", () => {
    const events = [d("my PASSWORD is"), d("pass"), d("word"), r("a key b"), f("keys", "1"), meta("key"), d(""), end]
    assert.deepStrictEqual(filter(events, options), [
      "D [FILTERED]",
      "D pass",
      "D word",
      "R [FILTERED]",
      "F1 [FILTERED]",
      "Metadata key",
      "D ",
      "End"
    ])
  })

  it("where case counts, and with another replacement", () => {
    assert.deepStrictEqual(filter([d("a key"), d("a Key")], { ...options, caseSensitive: true, replacement: "*" }), [
      "D a key",
      "D *"
    ])
  })

  it.effect("runs of one processor at once do not mix", () => runsAtOnce(ContentFilter.make(options), "pass", "word"))
})

/** Two texts, `first` in one and `second` in the other, event by event in turn. */
const runsAtOnce = (
  processor: <E>(self: Stream.Stream<Event, E>) => Stream.Stream<Event, E | StreamError.StreamError>,
  first: string,
  second: string
) =>
  Effect.gen(function* () {
    const text = (word: string) =>
      Stream.make("my ", word, " is ", word).pipe(
        Stream.tap(() => Effect.yieldNow),
        StreamEvent.fromText,
        processor,
        StreamEvent.text,
        Stream.mkString
      )
    const both = yield* Effect.all([text(first), text(second), text("password")], { concurrency: 3 })
    assert.deepStrictEqual(both.slice(0, 2), [`my ${first} is ${first}`, `my ${second} is ${second}`])
    assert.match(both[2]!, /^my \[FILTERED\] is \[FILTERED\]$/)
  })

describe("options", () => {
  it.effect("patterns and replacement come from StreamConfig; each option wins over it by itself", () =>
    Effect.gen(function* () {
      const filtered = (options?: ContentFilter.Options) =>
        StreamTest.script([d("pass"), d("word or key")]).pipe(
          ContentFilter.make(options),
          StreamEvent.text,
          Stream.mkString
        )
      assert.strictEqual(yield* filtered(), "### or key")
      assert.strictEqual(yield* filtered({}), "### or key")
      assert.strictEqual(yield* filtered({ replacement: "*" }), "* or key")
      assert.strictEqual(yield* filtered({ patterns: ["key"] }), "password or ###")
      assert.strictEqual(yield* filtered({ patterns: ["key"], replacement: "*" }), "password or *")
      assert.strictEqual(yield* filtered({ patterns: [] }), "password or key")
      assert.strictEqual(yield* filtered({ patterns: ["key"], scope: "delta" }), "pass###")
    }).pipe(Effect.provide(StreamConfig.layer({ filterPatterns: ["password"], filterReplacement: "###" })))
  )

  it.effect("patterns from the environment", () =>
    Effect.gen(function* () {
      const env = { CODOMYRMEX_STREAM_FILTER_PATTERNS: "secret, api key" }
      const layer = Layer.provide(StreamConfig.layerConfig, ConfigProvider.layer(ConfigProvider.fromEnv({ env })))
      const text = StreamTest.script([d("sec"), d("ret API"), d(" KEY")]).pipe(
        ContentFilter.make(),
        StreamEvent.text,
        Stream.mkString
      )
      assert.strictEqual(yield* Effect.provide(text, layer), "[FILTERED] [FILTERED]")
    })
  )

  it("without patterns anywhere everything passes", () => {
    assert.deepStrictEqual(filter([d("password"), end], {}), ["D password", "End"])
  })

  it("an empty pattern, and half a surrogate pair, throw at construction", () => {
    assert.throws(() => ContentFilter.make({ patterns: ["a", ""] }), RangeError, "patterns[1]")
    assert.throws(
      () => ContentFilter.make({ patterns: [""], scope: "delta", replacement: "" }),
      RangeError,
      "patterns[0]"
    )
    assert.throws(() => ContentFilter.make({ patterns: ["\ud83d"] }), RangeError, "patterns[0]")
  })

  it.effect("runs of one processor at once do not mix", () =>
    runsAtOnce(ContentFilter.make({ patterns: ["password"] }), "pass", "word")
  )

  it("a processor runs as often as you like", () => {
    const processor = ContentFilter.make({ patterns: ["password"] })
    for (let n = 0; n < 3; n++) {
      const out = Effect.runSync(collect(processor(StreamTest.script([d("my pass")]))))
      assert.deepStrictEqual(out.events.map(line), ["D my ", "D pass"])
    }
  })
})

describe("size", () => {
  it("10 MB in one chunk, and in one chunk with a match every few units", () => {
    const text = "lorem ipsum pass word ".repeat(500_000)
    assert.isTrue(steps([text], { patterns: ["password", "secret"] }).join("") === text)
    const hit = "x password ".repeat(1_000_000)
    assert.isTrue(steps([hit], { patterns: ["password"], replacement: "*" }).join("") === "x * ".repeat(1_000_000))
  })

  it.effect("a million empty chunks", () =>
    Effect.gen(function* () {
      const empty = Array.from({ length: 1000 }, () => d(""))
      const source = StreamTest.script([
        d("pass"),
        ...Array.from({ length: 1000 }, () => StreamTest.together(...empty)),
        d("word")
      ])
      const text = yield* source.pipe(ContentFilter.make({ patterns: ["password"] }), StreamEvent.text, Stream.mkString)
      assert.strictEqual(text, "[FILTERED]")
    })
  )
})

describe("laws", () => {
  const patterns = ["password", "pass", "swords", "and pass", "é", "😀"]
  const words = [...patterns, "PassWord", "passwords", "and password"]

  it.effect.prop("of a filter", { input: StreamArbitrary.events({ words }) }, ({ input }) =>
    StreamLaws.all(ContentFilter.make({ patterns }), input, { textOracle: redact(patterns) })
  )

  it.effect.prop(
    "of a filter with nothing to filter",
    { input: StreamArbitrary.events({ words: ["passwor", "pas"] }) },
    ({ input }) =>
      StreamLaws.all(ContentFilter.make({ patterns: ["passworD"], caseSensitive: true }), input, {
        textOracle: (text) => text
      })
  )

  it.effect.prop(
    "of two in a row",
    { input: StreamArbitrary.events({ words: ["aab", "b", "ab", "ba"] }) },
    ({ input }) =>
      StreamLaws.all(
        flow(
          ContentFilter.make({ patterns: ["ab"], replacement: "b" }),
          ContentFilter.make({ patterns: ["bb"], replacement: "" })
        ),
        input,
        { textOracle: (text) => redact(["bb"], { replacement: "" })(redact(["ab"], { replacement: "b" })(text)) }
      )
  )

  it.effect.prop("of a filter that may overflow", { input: StreamArbitrary.events({ words }) }, ({ input }) =>
    Effect.gen(function* () {
      const processor = ContentFilter.make({ patterns, maxWaiting: 30 })
      yield* StreamLaws.oneTerminal(processor, input)
      yield* StreamLaws.interruption(processor, input)
    })
  )

  it.effect.prop(
    "of whole deltas, but for the chunks on which they depend",
    { input: StreamArbitrary.events({ words }) },
    ({ input }) =>
      Effect.gen(function* () {
        const processor = ContentFilter.make({ patterns, scope: "delta" })
        yield* StreamLaws.emitThenFail(processor, input)
        yield* StreamLaws.oneTerminal(processor, input)
        yield* StreamLaws.interruption(processor, input)
        yield* StreamLaws.order(processor, input)
      })
  )
})
