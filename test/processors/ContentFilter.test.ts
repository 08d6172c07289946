import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer, Stream } from "effect"
import { flow, identity } from "effect/Function"
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
  (text: string): string =>
    text.replace(regExpOf(patterns, options), () => options?.replacement ?? "[FILTERED]")

const regExpOf = (patterns: ReadonlyArray<string>, options?: { readonly caseSensitive?: boolean }): RegExp => {
  const longestFirst = patterns.toSorted((a, b) => b.length - a.length).map(escape)
  return new RegExp(longestFirst.join("|"), options?.caseSensitive === true ? "gu" : "giu")
}

/** The reference for a whole stream, on each text by itself. */
const redactEvents =
  (patterns: ReadonlyArray<string>, options?: Parameters<typeof redact>[1]) =>
  (events: ReadonlyArray<Event>): ReadonlyArray<Event> => {
    const out: Array<Event> = []
    let run: Array<StreamEvent.TextEvent | StreamEvent.Metadata> = []
    const endText = () => {
      const text = run.filter(StreamEvent.isText)
      const whole = text.map((event) => event.delta).join("")
      // Each code unit belongs to the event that brought it, each match to the one that brought its first unit.
      const owners = text.flatMap((event) => Array.from({ length: event.delta.length }, () => event))
      const deltas = new Map<Event, string>()
      const give = (at: number, delta: string) => deltas.set(owners[at]!, (deltas.get(owners[at]!) ?? "") + delta)
      let from = 0
      for (const match of [...whole.matchAll(regExpOf(patterns, options)), undefined]) {
        const to = match?.index ?? whole.length
        for (let at = from; at < to; at++) give(at, whole[at]!)
        if (match !== undefined) give(to, options?.replacement ?? "[FILTERED]")
        from = to + (match?.[0].length ?? 0)
      }
      for (const event of run) {
        out.push(StreamEvent.isText(event) ? { ...event, delta: deltas.get(event) ?? "" } : event)
      }
      run = []
    }
    for (const event of events) {
      if (event._tag === "Progress") {
        out.push(event)
      } else if (StreamEvent.isText(event)) {
        if (event.delta === "") continue
        if (run.some((other) => StreamEvent.isText(other) && other._tag !== event._tag)) endText()
        run.push(event)
      } else if (event._tag === "Metadata") {
        run.push(event)
      } else {
        endText()
        out.push(event)
      }
    }
    endText()
    return out
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

  it.effect("for random streams, in which matches go over parts and Metadata", () =>
    Effect.gen(function* () {
      const patterns = ["aab", "aaab!", "ba", "bbb", "cab"]
      const next = random(11)
      const pick = <A>(...choices: ReadonlyArray<A>) => choices[Math.floor(next() * choices.length)]!
      const event = (): Event => {
        const kind = next()
        if (kind < 0.15) return meta(pick("a", "b"))
        if (kind < 0.2) return pick<Event>(StreamEvent.progress(0, "ping"), StreamEvent.toolCallDelta(0, "1", "f", "{"))
        const text = Array.from({ length: Math.floor(next() * 5) }, () => pick("a", "a", "b", "c", "!")).join("")
        return kind < 0.3 ? pick<Event>(r(text), f(text)) : d(text, pick(undefined, "0", "1"))
      }
      for (let n = 0; n < 1000; n++) {
        const input = { items: Array.from({ length: 20 }, event), groups: [1, 3] }
        const replacement = pick("[FILTERED]", "*", "")
        yield* StreamLaws.oracle(
          ContentFilter.make({ patterns, replacement }),
          redactEvents(patterns, { replacement }),
          input
        )
      }
    })
  )

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

describe("a text", () => {
  const patterns = ["password"]

  it("goes on over parts: a match is shown in the one where it begins", () => {
    const events = [d("my pas", "0"), d("swo", "1"), d("rd, his pa", "2"), d("sswords", "3"), end]
    assert.deepStrictEqual(filter(events, { patterns }), [
      "D0 my ",
      "D0 [FILTERED]",
      "D2 , his ",
      "D2 [FILTERED]",
      "D3 s",
      "End"
    ])
  })

  it("what is no match after all comes out in the parts where it stood", () => {
    const events = [d("my pas", "0"), d("sw", "1"), d("or", "1"), d("se", "0"), d("pass", ""), d("ed"), end]
    assert.deepStrictEqual(filter(events, { patterns }), [
      "D0 my ",
      "D0 pas",
      "D1 swor",
      "D0 se",
      "D pass",
      "D ed",
      "End"
    ])
  })

  it("goes on over Metadata and Progress, also where they stand inside of a match", () => {
    const events = [
      d("a pass"),
      meta("in"),
      StreamEvent.progress(0, "ping"),
      d("word", "1"),
      meta("behind"),
      d("!"),
      end
    ]
    assert.deepStrictEqual(filter(events, { patterns }), [
      "D a ",
      "Progress",
      "D [FILTERED]",
      "Metadata in",
      "Metadata behind",
      "D !",
      "End"
    ])
  })

  it("is not ended by what is empty", () => {
    assert.deepStrictEqual(filter([d("pass"), r(""), d(""), f("", "1"), d("word"), end], { patterns }), [
      "D [FILTERED]",
      "End"
    ])
  })

  const others: ReadonlyArray<readonly [string, Event]> = [
    ["reasoning", r("so")],
    ["a refusal", f("no")],
    ["a fragment of a tool call", StreamEvent.toolCallDelta(0, "1", "search", "")],
    ["a tool call", StreamEvent.toolCall(0, { id: "1", name: "search", argumentsText: "{}", input: {} })],
    ["the result of a tool", StreamEvent.toolResult(0, { id: "1", name: "search", output: "", isError: false })],
    ["another response", StreamEvent.start(0)]
  ]
  it.each(others)("ends where other content begins, which then has nothing to wait for: %s", (_, other) => {
    const run = pulls(ContentFilter.make({ patterns })(StreamTest.script([d("pass"), meta("a"), other, d("word")])))
    assert.deepStrictEqual(
      Effect.runSync(run).map((events) => events.map(line)),
      [["D pass", "Metadata a", line(other)], ["D word"]]
    )
  })

  it("reasoning that ends like a pattern begins does not hold up the answer", () => {
    const answer = ["The", " answer", " is", " 42", "."]
    const run = pulls(
      ContentFilter.make({ patterns })(StreamTest.script([r("Let me stop"), ...answer.map((text) => d(text)), end]))
    )
    assert.deepStrictEqual(
      Effect.runSync(run).map((events) => events.map(line)),
      [["R Let me sto"], ["R p", "D The"], ["D  answer"], ["D  is"], ["D  42"], ["D ."], ["End"]]
    )
  })

  it("begins anew after another: nothing of the one before is left", () => {
    const events = [
      d("pass"),
      r("x"),
      d("pa"),
      d("ssword"),
      meta("a"),
      d("pas"),
      meta("b"),
      d("s", "1"),
      f("word"),
      d("password")
    ]
    assert.deepStrictEqual(filter(events, { patterns }), [
      "D pass",
      "R x",
      "D [FILTERED]",
      "Metadata a",
      "D pas",
      "Metadata b",
      "D1 s",
      "F word",
      "D [FILTERED]"
    ])
  })
})

describe("order", () => {
  it("Metadata behind held-back text waits with it; Progress does not", () => {
    const ping = StreamEvent.progress(0, "ping")
    const source = StreamTest.script([d("pas"), ping, meta("a"), ping, d("x"), meta("b")])
    assert.deepStrictEqual(
      Effect.runSync(pulls(ContentFilter.make({ patterns: ["pass"] })(source))).map((events) => events.map(line)),
      [["Progress"], ["Progress"], ["D pas", "Metadata a", "D x"], ["Metadata b"]]
    )
  })

  it("what was decided goes on as far as the text that is still held back", () => {
    const source = StreamTest.script([d("aa"), meta("1"), d("a"), meta("2"), d("ab"), d("b")])
    assert.deepStrictEqual(
      Effect.runSync(pulls(ContentFilter.make({ patterns: ["aab!"] })(source))).map((events) => events.map(line)),
      [["D a"], ["D a", "Metadata 1"], ["D a", "Metadata 2", "D abb"]]
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

  const source = StreamEvent.metadata(0, "source", { metadata: { url: "x".repeat(100) } })
  const fails = (events: ReadonlyArray<Event>, maxWaiting: number) =>
    filter(events, { patterns: ["pass", "assa!"], maxWaiting }).some((line) => line.startsWith("fails"))
  /** The least limit under which these pass. */
  const least = (events: ReadonlyArray<Event>) => {
    let limit = 0
    while (fails(events, limit)) limit++
    return limit
  }

  it("Metadata counts by its size: at the limit it passes, above it fails behind everything that waited", () => {
    const events = [d("my pas"), source, source, d("x"), end]
    const limit = least(events)
    assert.isAtLeast(limit, 200)
    assert.isAtMost(limit, 600)
    const waited = ["D my ", "D pas", "Metadata source", "Metadata source"]
    assert.deepStrictEqual(filter(events, { patterns: ["pass"], maxWaiting: limit }), [...waited, "D x", "End"])
    assert.deepStrictEqual(filter(events, { patterns: ["pass"], maxWaiting: limit - 1 }), [
      ...waited,
      overflow(limit - 1, limit)
    ])
  })

  it("Metadata without content counts too", () => {
    assert.isAtLeast(least([d("pas"), ...Array.from({ length: 100 }, () => meta(""))]), 1000)
  })

  it("what has waited counts no more: the limit is where it was, whatever came before", () => {
    const waits = [d("pas"), source, meta("a")]
    const limit = least(waits)
    const next = random(3)
    const pick = <A>(...choices: ReadonlyArray<A>) => choices[Math.floor(next() * choices.length)]!
    for (let n = 0; n < 50; n++) {
      const before = Array.from({ length: Math.floor(next() * 15) }, () =>
        pick<(text: string, part?: string) => Event>(
          d,
          r,
          f
        )(pick("p", "pas", "pass", "passa", "x", ""), pick(undefined, undefined, "1"))
      ).flatMap((event) => (next() < 0.2 ? [event, meta("b")] : [event]))
      if (fails(before, limit - 1)) continue
      assert.isFalse(fails([...before, d("."), ...waits], limit))
      assert.isTrue(fails([...before, d("."), ...waits], limit - 1))
    }
  })

  it("the text that is held back does not count, nor do Progress and empty text, nor what does not wait", () => {
    const progress = StreamEvent.progress(0, "ping")
    const events = [
      source,
      d("01234567"),
      d("89012345", "1"),
      progress,
      progress,
      r(""),
      f(""),
      d(""),
      r("x"),
      source,
      end
    ]
    assert.deepStrictEqual(filter(events, { patterns: ["0123456789012345!"], maxWaiting: 0 }), [
      "Metadata source",
      "Progress",
      "Progress",
      "D 01234567",
      "D1 89012345",
      "R x",
      "Metadata source",
      "End"
    ])
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

  it.effect("any number of parts holds nothing", () =>
    Effect.gen(function* () {
      const { failure, most } = yield* flood((n) => d(n % 2 === 0 ? "pas" : "x", `${n}`), 200_000, {
        patterns: ["pass"]
      })
      assert.isUndefined(failure)
      assert.isBelow(most, 20)
    })
  )

  it.effect("any number of Metadata behind held-back text is bounded", () =>
    Effect.gen(function* () {
      const { failure, most } = yield* flood((n) => meta(`${n}`), 1_000_000, { patterns: ["pass"] })
      assert.strictEqual(failure, "BufferOverflow")
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
    StreamLaws.all(ContentFilter.make({ patterns }), input, { oracle: redactEvents(patterns) })
  )

  it.effect.prop(
    "of a filter with nothing to filter",
    { input: StreamArbitrary.events({ words: ["passwor", "pas"] }) },
    ({ input }) =>
      StreamLaws.all(ContentFilter.make({ patterns: ["passworD"], caseSensitive: true }), input, {
        oracle: identity,
        textOracle: identity
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
        { oracle: flow(redactEvents(["ab"], { replacement: "b" }), redactEvents(["bb"], { replacement: "" })) }
      )
  )

  it.effect.prop("of a filter that may overflow", { input: StreamArbitrary.events({ words }) }, ({ input }) =>
    StreamLaws.all(ContentFilter.make({ patterns, maxWaiting: 100 }), input)
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
