import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import * as ContentFilter from "../../src/processors/ContentFilter.ts"
import * as StreamConfig from "../../src/StreamConfig.ts"
import * as StreamError from "../../src/StreamError.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as StreamArbitrary from "../../src/testing/StreamArbitrary.ts"
import * as StreamLaws from "../../src/testing/StreamLaws.ts"
import * as StreamTest from "../../src/testing/StreamTest.ts"
import { redact } from "../support/ruleReference.ts"
import { collect, random, reasonOf, show, textOf } from "../support/run.ts"
import { cuts } from "../support/search.ts"

type Rules = ReadonlyArray<ContentFilter.Rule>

const d = (text: string, part?: string) => StreamEvent.delta(0, text, part)
const r = (text: string) => StreamEvent.reasoning(0, text)
const meta = (kind: string) => StreamEvent.metadata(0, kind)
const end = StreamEvent.end(0, "stop")

type Step = StreamEvent.StreamEvent | StreamTest.Step<StreamEvent.StreamEvent, StreamError.StreamError>

const run = (rules: Rules, steps: ReadonlyArray<Step>, options?: Omit<ContentFilter.RuleOptions, "rules">) =>
  Effect.runSync(collect(ContentFilter.make({ ...options, rules })(StreamTest.script(steps))))

const lines = (...args: Parameters<typeof run>): ReadonlyArray<string> => {
  const { events, failure } = run(...args)
  return [...events.map(show), ...(failure === undefined ? [] : [`fails: ${failure.message}`])]
}

const hits = (events: ReadonlyArray<StreamEvent.StreamEvent>) =>
  events.filter(StreamEvent.is("Metadata")).filter(({ kind }) => kind === "content-filter")

describe("actions", () => {
  const rules: Rules = [
    { name: "a", literal: "apple" },
    { name: "b", literal: "berry", replacement: "<b>" },
    { name: "c", literal: "ch😀rry", action: "mask" },
    { name: "d", regExp: /dates?/, action: "mask", replacement: "#" },
    { name: "e", literal: "elder", action: "drop" }
  ]

  it("replace, mask, drop, and each its replacement", () => {
    const text = "apple berry ch😀rry dates elder."
    const { events } = run(rules, [d(text), end], { replacement: "[X]" })
    assert.strictEqual(textOf(events, "Delta"), "[X] <b> ****** ##### .")
    for (const pieces of cuts(text, random(1))) {
      const { events } = run(rules, [...pieces.map((piece) => d(piece)), end], { replacement: "[X]" })
      assert.strictEqual(textOf(events, "Delta"), "[X] <b> ****** ##### .", JSON.stringify(pieces))
    }
  })

  it.effect("the replacement of StreamConfig, unless there is another", () =>
    Effect.gen(function* () {
      const text = (replacement?: string) =>
        StreamTest.script([d("an apple")]).pipe(
          ContentFilter.make({ rules: [{ name: "a", literal: "apple" }], replacement }),
          StreamEvent.text,
          Stream.mkString
        )
      assert.strictEqual(yield* text(), "an ###")
      assert.strictEqual(yield* text("*"), "an *")
    }).pipe(Effect.provide(StreamConfig.layer({ filterReplacement: "###" })))
  )

  it("a match over several parts is replaced where it begins, and masked in each; what waited within stays there", () => {
    const items = [d("x app", "1"), meta("m"), d("le ch", "2"), d("😀r", "3"), d("ry.", "4"), end]
    assert.deepStrictEqual(lines(rules, items), [
      'Delta/1 "x "',
      'Delta/1 "[FILTERED]"',
      'Metadata {"kind":"m","metadata":{}}',
      'Delta/2 " "',
      'Delta/2 "**"',
      'Delta/3 "**"',
      'Delta/4 "**."',
      'Metadata {"kind":"content-filter","metadata":{"hits":{"a":1,"c":1}}}',
      'End {"finishReason":"stop"}'
    ])
  })

  it("what matches nothing passes as it came: the same event", () => {
    const event = d("nothing, no")
    assert.strictEqual(run(rules, [event, end]).events[0], event)
    assert.deepStrictEqual(lines(rules, [d(""), d("x"), end]), ['Delta ""', 'Delta "x"', 'End {"finishReason":"stop"}'])
  })

  it("a text ends where other content begins: nothing before counts, and matches do not go over it", () => {
    const word: Rules = [{ name: "w", literal: "cat", wholeWord: true }]
    assert.strictEqual(textOf(run(word, [d("con"), d("cat"), end]).events, "Delta"), "concat")
    const apart = run(word, [d("con"), r("x"), d("cat"), end]).events
    assert.strictEqual(textOf(apart, "Delta"), "con[FILTERED]")
    assert.strictEqual(textOf(run(word, [d("ca"), r("x"), d("t"), end]).events, "Delta"), "cat")
  })
})

describe("block", () => {
  const rules: Rules = [
    { name: "secret", regExp: /hunter\d{1,3}/, action: "block" },
    { name: "word", literal: "password", action: "replace" }
  ]
  const text = "my password is hunter22 and more"

  it("what was before it stays delivered, and nothing of it ever leaves", () => {
    for (const pieces of cuts(text, random(1))) {
      const { events, failure } = run(rules, [...pieces.map((piece) => d(piece)), end])
      assert.strictEqual(textOf(events, "Delta"), "my [FILTERED] is ")
      assert.deepStrictEqual(reasonOf(failure, "ContentBlocked"), {
        _tag: "ContentBlocked",
        rule: "secret",
        offset: 15
      })
      assert.deepStrictEqual(hits(events), [
        StreamEvent.metadata(0, "content-filter", { metadata: { hits: { word: 1, secret: 1 } } })
      ])
      assert.isUndefined(events.find((event) => event._tag === "End"))
    }
  })

  it("at each step, what was delivered is a prefix of what may be", () => {
    for (const pieces of cuts(text, random(2))) {
      let delivered = ""
      const source = StreamTest.script([...pieces.map((piece) => d(piece)), StreamTest.stall])
      const fiber = Effect.runFork(
        Stream.runForEach(ContentFilter.make({ rules })(source), (event) =>
          Effect.sync(() => {
            if (StreamEvent.isText(event)) delivered += event.delta
            assert.isTrue("my [FILTERED] is ".startsWith(delivered), delivered)
          })
        )
      )
      fiber.interruptUnsafe()
    }
  })

  it("where the source fails, or is cut, within what would be blocked, that does not leave either", () => {
    const failure = StreamError.make({ _tag: "SourceFailure", cause: "reset" })
    const failed = run(rules, [d("my hunter2"), StreamTest.fail(failure)])
    assert.strictEqual(textOf(failed.events, "Delta"), "my ")
    assert.strictEqual(failed.failure, failure)
    const cut = run(rules, [d("my hunter2")])
    assert.strictEqual(textOf(cut.events, "Delta"), "my ")
    assert.strictEqual(cut.failure?.reason._tag, "ContentBlocked")
    assert.strictEqual(textOf(run(rules, [d("my hunter"), end]).events, "Delta"), "my hunter")
  })

  it("where other content or a limit ends the text", () => {
    assert.deepStrictEqual(lines(rules, [d("x hunter2"), r("y"), end]).slice(0, 1), ['Delta "x "'])
    const { events, failure } = run(rules, [d("x hunter2"), meta("m".repeat(50))], { maxWaiting: 10 })
    assert.strictEqual(textOf(events, "Delta"), "x ")
    assert.strictEqual(failure?.reason._tag, "ContentBlocked")
    const overflow = run(rules, [d("x hunter"), meta("m".repeat(50))], { maxWaiting: 10 })
    assert.strictEqual(textOf(overflow.events, "Delta"), "x hunter")
    assert.strictEqual(overflow.failure?.reason._tag, "BufferOverflow")
  })

  it("a match that is longer than it may be fails closed, at the limit it does not", () => {
    const long: Rules = [{ name: "n", regExp: /\d+/, maxMatchLength: 4, onLongMatch: "block", replacement: "#" }]
    for (const pieces of cuts("a 1234 b", random(1))) {
      assert.strictEqual(textOf(run(long, [...pieces.map((piece) => d(piece)), end]).events, "Delta"), "a # b")
    }
    for (const pieces of cuts("a 12345 b", random(1))) {
      const { events, failure } = run(long, [...pieces.map((piece) => d(piece)), end])
      assert.strictEqual(textOf(events, "Delta"), "a ")
      assert.deepStrictEqual(reasonOf(failure, "ContentBlocked"), { _tag: "ContentBlocked", rule: "n", offset: 2 })
    }
  })
})

describe("the report", () => {
  it("counts by rule, once, before the terminal; nothing found, no report; never the text", () => {
    const rules: Rules = [
      { name: "a", literals: ["x", "y"] },
      { name: "b", literal: "z" },
      { name: "__proto__", literal: "q" }
    ]
    const { events } = run(rules, [d("x y"), r("z"), d("x q"), end])
    assert.strictEqual(
      JSON.stringify(hits(events).map(({ metadata }) => metadata)),
      '[{"hits":{"a":3,"b":1,"__proto__":1}}]'
    )
    assert.deepStrictEqual(
      events.slice(-2).map((event) => event._tag),
      ["Metadata", "End"]
    )
    assert.deepStrictEqual(hits(run(rules, [d("w"), end]).events), [])
  })

  it("comes before a failure of the source, too", () => {
    const failure = StreamError.make({ _tag: "SourceFailure", cause: "reset" })
    const { events } = run([{ name: "a", literal: "x" }], [d("x"), StreamTest.fail(failure)])
    assert.strictEqual(hits(events).length, 1)
  })
})

describe("equals the whole-text reference", () => {
  const sets: ReadonlyArray<readonly [name: string, rules: Rules, text: string]> = [
    [
      "literals and expressions that overlap",
      [
        { name: "a", literals: ["pass", "password", "word is"] },
        { name: "b", regExp: /pass\w{1,4}/, action: "mask" },
        { name: "c", regExp: /(?<=is )\w{3,8}\b/, action: "drop" }
      ],
      "pass passwo password password is hunter2! word is x pass is passwords"
    ],
    [
      "whole words and normal forms",
      [
        { name: "a", literals: ["cat", "café"], wholeWord: true },
        { name: "b", literal: "fi", action: "mask" }
      ],
      "cat concat ｃａｔ cafe\u0301 café's cafe ﬁne fi ﬁ\u0323"
    ],
    [
      "ready-made ones",
      Object.values(ContentFilter.rules),
      "Mail bob@example.com or +49 30 1234567, 4111 1111 1111 1111."
    ]
  ]

  it.for(sets)("for every cut in two, and at random: %s", ([, rules, text]) => {
    for (const normalize of [true, false]) {
      const expected = redact(rules, text, { normalize })
      for (const pieces of cuts(text, random(3))) {
        const { events } = run(rules, [...pieces.map((piece) => d(piece)), end], { normalize })
        assert.strictEqual(textOf(events, "Delta"), expected.text, JSON.stringify(pieces))
        assert.deepStrictEqual(
          hits(events)[0]?.metadata,
          Object.keys(expected.hits).length > 0 ? { hits: expected.hits } : undefined
        )
      }
    }
  })
})

describe("laws", () => {
  const rules: Rules = [
    { name: "a", literals: ["password", "pass", "é"] },
    { name: "b", regExp: /s?words?/, action: "mask" },
    { name: "c", literal: "and", wholeWord: true, action: "drop" }
  ]
  const words = ["password", "PassWord", "passwords", "and", "e\u0301", "word", "ｐａｓｓ", "😀"]

  it.effect.prop("of a filter by rules", { input: StreamArbitrary.events({ words }) }, ({ input }) =>
    StreamLaws.all(ContentFilter.make({ rules }), input)
  )

  it.effect.prop(
    "of one that finds nothing",
    { input: StreamArbitrary.events({ words: ["passwor", "e", "\u0301", "wor"] }) },
    ({ input }) =>
      StreamLaws.all(ContentFilter.make({ rules: [{ name: "a", literals: ["passworD!", "e\u0301!"] }] }), input, {
        textOracle: (text) => text
      })
  )

  it.effect.prop("of one that blocks", { input: StreamArbitrary.events({ words }) }, ({ input }) =>
    StreamLaws.all(ContentFilter.make({ rules: [{ name: "a", regExp: /swords?/, action: "block" }] }), input)
  )
})

describe("size", () => {
  const text = (rules: Rules, pieces: Iterable<string>) =>
    Stream.fromIterable(pieces).pipe(
      StreamEvent.fromText,
      ContentFilter.make({ rules }),
      StreamEvent.text,
      Stream.runFold(
        () => 0,
        (sum, piece) => sum + piece.length
      ),
      Effect.runSync
    )

  it("10 MB without a match in one chunk, and a million matches", () => {
    const rules: Rules = [
      { name: "a", literals: ["password", "secret"] },
      { name: "b", regExp: /key-\d{4}/ }
    ]
    assert.strictEqual(text(rules, ["lorem ipsum pass key ".repeat(500_000)]), 10_500_000)
    assert.strictEqual(text([{ name: "a", literal: "x", replacement: "yy" }], ["x ".repeat(1_000_000)]), 3_000_000)
  })

  it("a long literal that is held back over many pieces", () => {
    const literal = "ab".repeat(20_000) + "!"
    assert.strictEqual(text([{ name: "a", literal }], "ab".repeat(60_000)), 120_000)
  })
})
