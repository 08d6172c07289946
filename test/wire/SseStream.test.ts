import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import * as Sse from "../../src/internal/sse.ts"
import * as StreamConfig from "../../src/StreamConfig.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as StreamArbitrary from "../../src/testing/StreamArbitrary.ts"
import * as StreamLaws from "../../src/testing/StreamLaws.ts"
import * as StreamTest from "../../src/testing/StreamTest.ts"
import * as SseStream from "../../src/wire/SseStream.ts"
import { collect, pulls, show } from "../support/run.ts"
import { describeShared, readJson } from "../support/shared.ts"

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)

const run = <E>(
  source: Stream.Stream<Uint8Array | string, E>,
  options?: SseStream.Options
): { readonly data: ReadonlyArray<string>; readonly failure: string | E | undefined } => {
  const { events, failure } = Effect.runSync(collect(SseStream.decode(options)(source)))
  const named =
    typeof failure === "object" && failure !== null && "reason" in failure
      ? `${failure.reason._tag} ${failure.reason.limit}`
      : failure
  return { data: events.map((event) => (SseStream.isComment(event) ? "(comment)" : event.data)), failure: named }
}

interface Case {
  readonly name: string
  readonly chunks: ReadonlyArray<string>
  readonly expected: ReadonlyArray<{ readonly event: string; readonly data: string; readonly id: string }>
}

describeShared("conformance", "sse-cases.json", () => {
  const cases = readJson<ReadonlyArray<Case>>("sse-cases.json")

  it("there are 83 cases", () => {
    assert.strictEqual(cases.length, 83)
  })

  it.effect.each(cases)("$name", (case_) =>
    Effect.gen(function* () {
      const chunks = case_.chunks.map((chunk) => new Uint8Array(Buffer.from(chunk, "base64")))
      const bytes = chunks.flatMap((chunk) => StreamTest.split(chunk, 1))
      const ways: ReadonlyArray<Stream.Stream<Uint8Array>> = [
        StreamTest.script(chunks),
        Stream.fromIterable(chunks),
        StreamTest.script(bytes),
        Stream.fromIterable(bytes)
      ]
      for (const source of ways) {
        const events = yield* Stream.runCollect(SseStream.decode()(source))
        assert.deepStrictEqual(
          events.map(({ data, event, id }) => ({ event, data, id })),
          case_.expected
        )
      }
    })
  )
})

describe("what comes out", () => {
  it("the type's four fields, the offset in UTF-16 code units of decoded text", () => {
    const text = '\uFEFFid: 7\nevent: greeting\ndata: "😀"\n\n: c\n\ndata: b\n\n'
    const events = Effect.runSync(Stream.runCollect(SseStream.decode()(Stream.make(utf8(text)))))
    assert.deepStrictEqual(events, [
      { event: "greeting", data: '"😀"', id: "7", offset: 1 },
      { event: "message", data: "b", id: "7", offset: text.indexOf("data: b") }
    ])
  })

  it("retry fields, alone and in an event, change nothing", () => {
    const text = "retry: 10\n\ndata: a\nretry: x\n\nretry: 20\n\ndata: b\n\n"
    for (const size of [1, 5, 100]) {
      assert.deepStrictEqual(run(StreamTest.script(StreamTest.split(text, size))), {
        data: ["a", "b"],
        failure: undefined
      })
    }
  })

  it("comments are read over, or passed on in their place when asked for", () => {
    const source = StreamTest.script([": OPENROUTER", " PROCESSING\n\ndata: a\n", ":\n\n:keep-alive\n"])
    assert.deepStrictEqual(run(source), { data: ["a"], failure: undefined })
    assert.deepStrictEqual(run(source, { comments: true }), {
      data: ["(comment)", "(comment)", "a", "(comment)"],
      failure: undefined
    })
  })

  it.effect("a comment is passed on when it arrives: it is a sign of life", () =>
    Effect.gen(function* () {
      const source = StreamTest.script([": one\n\n", "data: a", "\n\n: two\n: three\n"])
      const seen = yield* pulls(SseStream.decode({ comments: true })(source))
      assert.deepStrictEqual(
        seen.map((events) => events.map((event) => (SseStream.isComment(event) ? ":" : event.data))),
        [[":"], ["a", ":", ":"]]
      )
    })
  )

  it("an event that looks like the comment marker is none", () => {
    const [event] = Effect.runSync(Stream.runCollect(SseStream.decode()(Stream.make("event:\ndata:\n\n"))))
    assert.isFalse(SseStream.isComment(event!))
    assert.strictEqual(event?.event, "message")
  })

  it("invalid UTF-8 becomes U+FFFD, and half a character at the end takes nothing with it", () => {
    const bytes = Uint8Array.of(...utf8("data: a"), 0xff, 0xc3, ...utf8("b\n\ndata: c\n\ndata: "), 0xe6, 0x97)
    for (const size of [1, 2, 100]) {
      assert.deepStrictEqual(run(StreamTest.script(StreamTest.split(bytes, size))).data, ["a\ufffd\ufffdb", "c"])
    }
  })

  it("text between bytes ends what the bytes began", () => {
    const source = StreamTest.script<Uint8Array | string>([
      "data: ",
      Uint8Array.of(0xe6, 0x97),
      "x",
      Uint8Array.of(0xa5),
      "\n\n",
      utf8("data: 日\n\n")
    ])
    assert.deepStrictEqual(run(source).data, ["\ufffdx\ufffd", "日"])
  })

  it("lone surrogates in text stay as they are", () => {
    assert.deepStrictEqual(run(StreamTest.script(["data: \ud83d", "\ude00\n\n", "data: \ude00\n\n"])).data, [
      "😀",
      "\ude00"
    ])
  })
})

describe("failures", () => {
  it("events that came before a failure of the source come before it; the unfinished one is dropped", () => {
    for (const steps of [["data: a\n\ndata: b"], ["data: a\n", "\nda", "ta: b"]]) {
      const source = StreamTest.script([...steps, StreamTest.fail("broken")])
      assert.deepStrictEqual(run(source), { data: ["a"], failure: "broken" })
    }
  })

  it("events that came in the same pull as one that is too large come before its failure", () => {
    const text = "data: a\n\ndata: b\n\ndata: 0123456789\n\ndata: c\n\n"
    for (const size of [1, 7, 20, 100]) {
      assert.deepStrictEqual(run(StreamTest.script(StreamTest.split(text, size)), { maxEventSize: 12 }), {
        data: ["a", "b"],
        failure: "FrameTooLarge 12"
      })
    }
  })

  it("the limit passes, one unit more does not", () => {
    const source = Stream.make(utf8("data: 日012345\n\n"))
    assert.deepStrictEqual(run(source, { maxEventSize: 13 }), { data: ["日012345"], failure: undefined })
    assert.deepStrictEqual(run(source, { maxEventSize: 12 }), { data: [], failure: "FrameTooLarge 12" })
  })

  it.effect("the limit comes from StreamConfig, unless the options give one", () =>
    Effect.gen(function* () {
      const source = Stream.make("data: 0123456789\n\n")
      const limited = yield* collect(SseStream.decode()(source))
      assert.strictEqual(limited.failure?.reason.limit, 12)
      const given = yield* collect(SseStream.decode({ maxEventSize: 16 })(source))
      assert.isUndefined(given.failure)
    }).pipe(Effect.provide(StreamConfig.layer({ maxEventSize: 12 })))
  )

  it("an impossible limit throws at once and is named", () => {
    for (const maxEventSize of [0, -1, 1.5, NaN]) {
      assert.throws(() => SseStream.decode({ maxEventSize }), RangeError, /maxEventSize/)
      assert.throws(() => SseStream.channel({ maxEventSize }), RangeError, /maxEventSize/)
      assert.throws(() => SseStream.processor({ maxEventSize }), RangeError, /maxEventSize/)
    }
  })

  it.effect("a line without end fails at the limit, is not read on, and its source is released", () =>
    Effect.gen(function* () {
      const piece = new Uint8Array(1000).fill(120)
      const probe = yield* StreamTest.probe(
        Stream.concat(Stream.make(utf8("data: a\n\n")), Stream.forever(Stream.make(piece)))
      )
      const { events, failure } = yield* collect(SseStream.decode({ maxEventSize: 100_000 })(probe.stream))
      assert.deepStrictEqual(
        events.map((event) => event.data),
        ["a"]
      )
      assert.strictEqual(failure?.reason.limit, 100_000)
      const { pulls, violations } = yield* probe.report
      assert.deepStrictEqual(violations, [])
      assert.isAtMost(pulls, 103)
    })
  )

  it.effect("a million chunks without an event neither fail nor overflow the stack", () =>
    Effect.gen(function* () {
      let n = 0
      const empty = Stream.fromPull(
        Effect.succeed(
          Effect.suspend(() => (n++ < 1_000_000 ? Effect.succeed([""] as const) : Effect.fail("end" as const)))
        )
      )
      const { events, failure } = yield* collect(SseStream.decode()(empty))
      assert.deepStrictEqual(events, [])
      assert.strictEqual(failure, "end")
    })
  )
})

describe("processor", () => {
  const events = (...deltas: ReadonlyArray<string | StreamEvent.StreamEvent>) => StreamTest.answer(deltas)
  const process = (
    source: Stream.Stream<StreamEvent.StreamEvent>,
    options?: { readonly maxEventSize?: number | undefined }
  ) => {
    const { events, failure } = Effect.runSync(collect(SseStream.processor(options)(source)))
    return [...events.map((event) => (StreamEvent.isTerminal(event) ? event._tag : show(event))), failure?.reason._tag]
  }

  it("one Delta for each event, wherever the text is cut; what is unfinished at the end is dropped", () => {
    const text = "event: x\ndata: Hel\n\nretry: 1\ndata: lo\ndata: World\n\ndata: unfinished"
    for (const size of [1, 4, 100]) {
      assert.deepStrictEqual(process(events(...StreamTest.split(text, size))), [
        "Start {}",
        'Delta "Hel"',
        'Delta "lo\\nWorld"',
        "End",
        undefined
      ])
    }
  })

  it("comments become Progress, other events stay, part and time are those of the text", () => {
    const source = events(
      StreamEvent.reasoning(0, "data: no\n\n"),
      StreamEvent.delta(0, ": c\ndata: a\n\n", "7"),
      StreamEvent.metadata(0, "usage")
    )
    assert.deepStrictEqual(process(source), [
      "Start {}",
      'Reasoning "data: no\\n\\n"',
      'Progress {"kind":"comment"}',
      'Delta/7 "a"',
      'Metadata {"kind":"usage","metadata":{}}',
      "End",
      undefined
    ])
  })

  it("an event that is too large fails behind those before it", () => {
    const source = events("data: a\n\ndata: 0123456", "7")
    assert.deepStrictEqual(process(source, { maxEventSize: 14 }), ["Start {}", 'Delta "a"', "End", undefined])
    assert.deepStrictEqual(process(source, { maxEventSize: 13 }), ["Start {}", 'Delta "a"', "FrameTooLarge"])
  })

  it.effect("runs of one processor at once do not mix", () =>
    Effect.gen(function* () {
      const processor = SseStream.processor()
      const text = (word: string) =>
        Stream.make("da", "ta: ", word, "\n\n").pipe(
          Stream.tap(() => Effect.yieldNow),
          StreamEvent.fromText,
          processor,
          StreamEvent.text,
          Stream.mkString
        )
      const both = yield* Effect.all([text("a"), text("b")], { concurrency: 2 })
      assert.deepStrictEqual(both, ["a", "b"])
    })
  )
})

const words = [
  "data: ",
  "data:",
  "event: e\n",
  "id: 1\n",
  "id\n",
  "retry: 5\n",
  ": c\n",
  "\n",
  "\n\n",
  "\r\n\r\n",
  "\r\r"
]

describe("laws", () => {
  const reference = (maxEventSize: number) => (bytes: Uint8Array) => {
    const frames: Array<SseStream.SseEvent> = []
    Sse.make({ maxEventSize }).feed(new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes), frames)
    return frames
  }

  it.effect.prop("of the decoder", { input: StreamArbitrary.bytes({ words }) }, ({ input }) =>
    Effect.gen(function* () {
      const decode = SseStream.decode({ comments: true })
      yield* StreamLaws.chunkIndependence(decode, input)
      yield* StreamLaws.emitThenFail(decode, input)
      yield* StreamLaws.interruption(decode, input)
      yield* StreamLaws.oracle(decode, reference(Infinity), input)
    })
  )

  it.effect.prop("of the decoder at its limit", { input: StreamArbitrary.bytes({ words }) }, ({ input }) =>
    Effect.gen(function* () {
      const decode = SseStream.decode({ maxEventSize: 12 })
      yield* StreamLaws.chunkIndependence(decode, input)
      yield* StreamLaws.emitThenFail(decode, input)
      yield* StreamLaws.interruption(decode, input)
    })
  )

  it.effect.prop("of the decoder of text", { input: StreamArbitrary.text({ words }) }, ({ input }) =>
    StreamLaws.chunkIndependence(SseStream.decode({ maxEventSize: 20, comments: true }), input)
  )

  it.effect.prop("of the processor", { input: StreamArbitrary.events({ words }) }, ({ input }) =>
    StreamLaws.all(SseStream.processor(), input)
  )

  it.effect.prop("of the processor at its limit", { input: StreamArbitrary.events({ words }) }, ({ input }) =>
    Effect.gen(function* () {
      yield* StreamLaws.chunkIndependence(SseStream.processor({ maxEventSize: 12 }), input)
      yield* StreamLaws.oneTerminal(SseStream.processor({ maxEventSize: 12 }), input)
    })
  )
})
