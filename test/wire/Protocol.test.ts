import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import { number, record, string } from "../../src/internal/untyped.ts"
import * as StreamConfig from "../../src/StreamConfig.ts"
import * as StreamError from "../../src/StreamError.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as StreamTest from "../../src/testing/StreamTest.ts"
import * as OpenAiChat from "../../src/wire/OpenAiChat.ts"
import * as Protocol from "../../src/wire/Protocol.ts"
import { collect } from "../support/run.ts"

/** A protocol of `{"text"}`, `{"call"}`, `{"fail"}`, `{"throw"}`, `{"hold"}`, `{"end"}` and `{"last"}`. */
const toy: Protocol.Protocol<{ ended: boolean; halts: number }> = {
  provider: "toy",
  framing: "sse",
  terminal: "an end",
  recognizes: () => true,
  initial: () => ({ ended: false, halts: 0 }),
  step(state, chunk, out) {
    if (chunk["throw"] !== undefined) throw new RangeError("too deep")
    out.delta(string(chunk["text"]))
    const call = record(chunk["call"])
    if (call !== undefined) out.toolFragment(call)
    out.held += number(chunk["hold"]) ?? 0
    if (chunk["end"] !== undefined) state.ended = true
    if (chunk["last"] !== undefined) return "done"
    return chunk["fail"] === undefined ? undefined : out.failure(chunk["fail"])
  },
  onHalt(state, out) {
    out.metadata(`halt ${++state.halts}`, {})
    return { isComplete: state.ended, finishReason: state.ended ? "stop" : "unknown" }
  }
}

const toyLines: typeof toy = { ...toy, framing: "ndjson" }

const toyEventsOrJson: typeof toy = { ...toy, framing: "sse-or-json" }

const lines = (events: ReadonlyArray<StreamEvent.StreamEvent>): ReadonlyArray<string> =>
  events.map((event) =>
    event._tag === "Delta"
      ? event.delta
      : event._tag === "Metadata"
        ? event.kind
        : event._tag === "End"
          ? `End ${event.finishReason}`
          : event._tag
  )

const run = <E>(source: Stream.Stream<Uint8Array | string, E>, options?: Protocol.Options): ReadonlyArray<string> => {
  const { events, failure } = Effect.runSync(collect(Protocol.decode(toy, options)(source)))
  return [...lines(events), ...(failure === undefined ? [] : [nameOf(failure)])]
}

const nameOf = (failure: unknown): string => (StreamError.isStreamError(failure) ? failure.message : String(failure))

const a = 'data: {"text":"a"}\n\n'
const b = 'data: {"text":"b"}\n\n'
const theEnd = 'data: {"end":1}\n\n'
const done = "data: [DONE]\n\n"
const truncated = StreamError.make({ _tag: "Truncated", expected: "an end" }).message

describe("driver", () => {
  it.effect("Start comes by itself and before anything is pulled, events with the pull that brought them", () =>
    Effect.gen(function* () {
      const source = StreamTest.script([StreamTest.delay("5 seconds"), a + b, StreamTest.delay("1 second"), theEnd])
      const probe = yield* StreamTest.probe(source)
      const seen: Array<string> = []
      const fiber = yield* Protocol.decode(toy)(probe.stream).pipe(
        Stream.runForEachArray((events) => Effect.sync(() => seen.push(lines(events).join()))),
        Effect.forkChild
      )
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(seen, ["Start"])
      yield* TestClock.adjust("5 seconds")
      assert.deepStrictEqual(seen, ["Start", "a,b"])
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(seen, ["Start", "a,b", "halt 1,End stop"])
    })
  )

  it.effect("timestamps are the Clock's, at the pull", () =>
    Effect.gen(function* () {
      const source = StreamTest.script([StreamTest.delay(100), a, StreamTest.delay(20), theEnd])
      const fiber = yield* Effect.forkChild(Stream.runCollect(Protocol.decode(toy)(source)))
      yield* TestClock.adjust(0)
      yield* TestClock.adjust(100)
      yield* TestClock.adjust(20)
      const events = yield* Fiber.join(fiber)
      assert.deepStrictEqual(
        events.map((event) => event.timestamp),
        [0, 100, 120, 120]
      )
    })
  )

  it("a stream without its terminal event is Truncated; [DONE] is not one, and not needed", () => {
    assert.deepStrictEqual(run(Stream.make(a, theEnd, done)), ["Start", "a", "halt 1", "End stop"])
    assert.deepStrictEqual(run(Stream.make(a, theEnd)), ["Start", "a", "halt 1", "End stop"])
    assert.deepStrictEqual(run(Stream.make(a, done)), ["Start", "a", "halt 1", truncated])
    assert.deepStrictEqual(run(Stream.make(a)), ["Start", "a", "halt 1", truncated])
    assert.deepStrictEqual(run(Stream.empty), ["Start", "halt 1", truncated])
  })

  it("[DONE] is a terminal event where the protocol says so", () => {
    const trusting: typeof toy = { ...toy, onDone: (state) => void (state.ended = true) }
    const events = (source: string) => Effect.runSync(collect(Protocol.decode(trusting)(Stream.make(source)))).events
    for (const end of [done, "data: [DONE]", "data:  [DONE] \n\n"]) {
      assert.deepStrictEqual(lines(events(a + end)), ["Start", "a", "halt 1", "End stop"])
    }
    assert.deepStrictEqual(lines(events(a)), ["Start", "a", "halt 1"])
  })

  it("onMissingFinish: such a stream can be marked, or accepted", () => {
    for (const source of [Stream.make(a), Stream.make(a, done)]) {
      assert.deepStrictEqual(run(source, { onMissingFinish: "fail" }), ["Start", "a", "halt 1", truncated])
      assert.deepStrictEqual(run(source, { onMissingFinish: "mark" }), [
        "Start",
        "a",
        "halt 1",
        "truncated",
        "End unknown"
      ])
      assert.deepStrictEqual(run(source, { onMissingFinish: "accept" }), ["Start", "a", "halt 1", "End unknown"])
    }
    for (const onMissingFinish of ["fail", "mark", "accept"] as const) {
      assert.deepStrictEqual(run(Stream.make(a + theEnd), { onMissingFinish }), ["Start", "a", "halt 1", "End stop"])
      assert.deepStrictEqual(run(Stream.concat(Stream.make(a), Stream.fail("reset")), { onMissingFinish }), [
        "Start",
        "a",
        "halt 1",
        "reset"
      ])
    }
  })

  it.effect("behind [DONE], or a failure, nothing is pulled, and the source is released", () =>
    Effect.gen(function* () {
      for (const last of [theEnd + done + b, 'data: {"fail":"no"}\n\n' + b]) {
        const probe = yield* StreamTest.probe(StreamTest.script([a, last, StreamTest.stall]))
        const { events } = yield* collect(Protocol.decode(toy)(probe.stream))
        assert.notInclude(lines(events), "b")
        const { pulls, violations } = yield* probe.report
        assert.strictEqual(pulls, 2)
        assert.deepStrictEqual(violations, [])
      }
    })
  )

  it("what a chunk gave comes before the failure that it caused; the first failure counts", () => {
    const source = Stream.make(a, b + 'data: {"text":"c","fail":{"message":"no"}}\n\ndata: {"fail":"again"}\n\n' + done)
    assert.deepStrictEqual(run(source), ["Start", "a", "b", "c", "halt 1", "toy reported: no"])
  })

  it("a failure of the source stays what it is, and comes behind everything that had arrived", () => {
    const reset = StreamTest.fail("reset")
    assert.deepStrictEqual(run(StreamTest.script([a + b, reset])), ["Start", "a", "b", "halt 1", "reset"])
    assert.deepStrictEqual(run(StreamTest.script([a + b.trimEnd(), reset])), ["Start", "a", "b", "halt 1", "reset"])
    assert.deepStrictEqual(run(StreamTest.script([a + b.slice(0, 9), reset])), ["Start", "a", "halt 1", "reset"])
    assert.deepStrictEqual(run(StreamTest.script([reset])), ["Start", "halt 1", "reset"])
  })

  it.effect("a defect of the source stays a defect", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(
        Stream.runDrain(Protocol.decode(toy)(StreamTest.script([a, StreamTest.die("bug")])))
      )
      assert.isTrue(exit._tag === "Failure" && Cause.hasDies(exit.cause))
    })
  )

  it("the last event counts without its blank line when its JSON is whole", () => {
    assert.deepStrictEqual(run(Stream.make(a, theEnd.trimEnd())), ["Start", "a", "halt 1", "End stop"])
    assert.deepStrictEqual(run(Stream.make(a, theEnd, "data: [DONE]")), ["Start", "a", "halt 1", "End stop"])
    for (let at = 1; at < theEnd.trimEnd().length; at++) {
      assert.deepStrictEqual(run(Stream.make(a, theEnd.slice(0, at))), ["Start", "a", "halt 1", truncated])
    }
  })

  it("comments and empty data are a sign of life", () => {
    assert.deepStrictEqual(run(Stream.make(": c\n\n", "data:\n\n", "data: \n\n", "event: ping\ndata\n\n", a, theEnd)), [
      "Start",
      "Progress",
      "Progress",
      "Progress",
      "Progress",
      "a",
      "halt 1",
      "End stop"
    ])
  })

  it("data that is no JSON fails with its offset, or is skipped", () => {
    const source = Stream.make(`: c\n${a}event: x\ndata: {"text":\n\n${b}${theEnd}`)
    const offset = `: c\n${a}`.length
    assert.deepStrictEqual(run(source), ["Start", "Progress", "a", "halt 1", `Malformed frame at offset ${offset}`])
    assert.deepStrictEqual(run(source, { onMalformed: "skip" }), ["Start", "Progress", "a", "b", "halt 1", "End stop"])
  })

  it("a chunk that the protocol throws on is malformed too, and no defect", () => {
    const source = Stream.make(a + 'data: {"throw":1}\n\n' + b + theEnd)
    assert.deepStrictEqual(run(source), ["Start", "a", "halt 1", `Malformed frame at offset ${a.length}`])
    assert.deepStrictEqual(run(source, { onMalformed: "skip" }), ["Start", "a", "b", "halt 1", "End stop"])
    const chunks = Stream.make<ReadonlyArray<unknown>>({ text: "a" }, { throw: 1 }, { text: "b" }, { end: 1 })
    const decoded = (options?: Protocol.Options) => {
      const { events, failure } = Effect.runSync(collect(Protocol.fromChunks(toy, options)(chunks)))
      return [...lines(events), failure?.reason._tag]
    }
    assert.deepStrictEqual(decoded(), ["Start", "a", "halt 1", "MalformedFrame"])
    assert.deepStrictEqual(decoded({ onMalformed: "skip" }), ["Start", "a", "b", "halt 1", "End stop", undefined])
  })

  it("[DONE] with white space around it is [DONE]", () => {
    assert.deepStrictEqual(run(Stream.make(theEnd + "data:  [DONE] \r\n\r\n" + b)), ["Start", "halt 1", "End stop"])
    assert.deepStrictEqual(run(Stream.make(theEnd + "data: [DONE] ")), ["Start", "halt 1", "End stop"])
  })

  it("a frame that is too large fails behind those before it", () => {
    const source = Stream.make(a + b + 'data: {"text":"too long for this"}\n\n' + theEnd)
    const failure = StreamError.make({ _tag: "FrameTooLarge", limit: 30 }).message
    assert.deepStrictEqual(run(source, { maxEventSize: 30 }), ["Start", "a", "b", "halt 1", failure])
    assert.strictEqual(run(source, { maxEventSize: 34 }).at(-1), "End stop")
  })

  it.effect("the limit of frames comes from StreamConfig, unless the options give one", () =>
    Effect.gen(function* () {
      const limited = yield* collect(Protocol.decode(toy)(Stream.make(a)))
      assert.strictEqual(limited.failure?.reason._tag, "FrameTooLarge")
      const given = yield* collect(Protocol.decode(toy, { maxEventSize: 100 })(Stream.make(a, theEnd)))
      assert.isUndefined(given.failure)
    }).pipe(Effect.provide(StreamConfig.layer({ maxEventSize: 10 })))
  )

  it("an impossible limit throws at construction and is named", () => {
    for (const maxEventSize of [0, -1, 1.5, NaN]) {
      assert.throws(() => Protocol.decode(toy, { maxEventSize }), RangeError, /maxEventSize/)
      assert.throws(() => OpenAiChat.decode({ maxEventSize }), RangeError, /maxEventSize/)
      assert.throws(() => OpenAiChat.layer({ maxEventSize }), RangeError, /maxEventSize/)
    }
  })

  it.effect("runs of one decoder at once do not mix", () =>
    Effect.gen(function* () {
      const decode = Protocol.decode(toy)
      const text = (...chunks: ReadonlyArray<string>) =>
        Stream.fromIterable(chunks).pipe(
          Stream.tap(() => Effect.yieldNow),
          decode,
          collect
        )
      const [whole, cut] = yield* Effect.all([text("data: ", '{"text":"a"}\n', "\n", theEnd), text("da", a, a, a)], {
        concurrency: 2
      })
      assert.deepStrictEqual(lines(whole.events), ["Start", "a", "halt 1", "End stop"])
      assert.strictEqual(cut.failure?.reason._tag, "Truncated")
    })
  )

  it.effect("a million chunks that give nothing neither fail nor overflow the stack", () =>
    Effect.gen(function* () {
      let n = 0
      const empty = Stream.fromPull(
        Effect.succeed(Effect.suspend(() => (n++ < 1_000_000 ? Effect.succeed([""] as const) : Cause.done())))
      )
      const { failure } = yield* collect(Protocol.decode(toy)(empty))
      assert.strictEqual(failure?.reason._tag, "Truncated")
    })
  )
})

describe("chunks that are decoded already", () => {
  it("go through the same protocol", () => {
    const chunks = Stream.make<ReadonlyArray<unknown>>({ text: "a" }, null, 1, "text", [{ text: "x" }], { end: 1 })
    const { events, failure } = Effect.runSync(collect(Protocol.fromChunks(toy)(chunks)))
    assert.isUndefined(failure)
    const unknown = Array.from({ length: 4 }, () => "unknown")
    assert.deepStrictEqual(lines(events), ["Start", "a", ...unknown, "halt 1", "End stop"])
    assert.deepStrictEqual(events.filter(StreamEvent.is("Metadata"))[3]?.metadata, { chunk: [{ text: "x" }] })
  })
})

describe("lines of JSON", () => {
  const run = (chunks: ReadonlyArray<Uint8Array | string>, options?: Protocol.Options): ReadonlyArray<string> => {
    const { events, failure } = Effect.runSync(collect(Protocol.decode(toyLines, options)(Stream.fromIterable(chunks))))
    return [...lines(events), ...(failure === undefined ? [] : [nameOf(failure)])]
  }

  it("are chunks, however they are cut, with LF or CRLF, blank lines, a byte order mark, without the last line feed", () => {
    const whole = ["Start", "é😀", "b", "halt 1", "End stop"]
    for (const eol of ["\n", "\r\n", "\n\n", " \n \n"]) {
      for (const [start, end] of [
        ["", eol],
        ["\ufeff", ""]
      ]) {
        const text = `${start}{"text":"é😀"}${eol}{"text":"b"}${eol}{"end":1}${end}`
        const bytes = new TextEncoder().encode(text)
        assert.deepStrictEqual(run([text]), whole)
        assert.deepStrictEqual(run(Array.from(text)), whole)
        for (let at = 0; at <= bytes.length; at++) {
          assert.deepStrictEqual(run([bytes.subarray(0, at), bytes.subarray(at)]), whole)
        }
      }
    }
  })

  it("that are no JSON fail with their offset, or are skipped; one that was cut is Truncated", () => {
    const text = '\ufeff{"text":"a"}\n{"text":\n{"text":"b"}\n{"end":1}\n'
    assert.deepStrictEqual(run([text]), ["Start", "a", "halt 1", "Malformed frame at offset 14"])
    assert.deepStrictEqual(run([text], { onMalformed: "skip" }), ["Start", "a", "b", "halt 1", "End stop"])
    assert.deepStrictEqual(run(['{"text":"a"}\n{"end"']), ["Start", "a", "halt 1", truncated])
  })

  it("have a limit, behind those before", () => {
    const text = '{"text":"a"}\n{"text":"bcd"}\n{"end":1}'
    assert.deepStrictEqual(run([text], { maxEventSize: 14 }), ["Start", "a", "bcd", "halt 1", "End stop"])
    const failure = StreamError.make({ _tag: "FrameTooLarge", limit: 13 }).message
    assert.deepStrictEqual(run([text], { maxEventSize: 13 }), ["Start", "a", "halt 1", failure])
    assert.deepStrictEqual(run(Array.from(text), { maxEventSize: 13 }), ["Start", "a", "halt 1", failure])
  })
})

describe("events, or JSON where there should be one", () => {
  const run = (chunks: ReadonlyArray<string | Uint8Array>, options?: Protocol.Options): ReadonlyArray<string> => {
    const source = Stream.fromIterable(chunks)
    const { events, failure } = Effect.runSync(collect(Protocol.decode(toyEventsOrJson, options)(source)))
    return [...lines(events), ...(failure === undefined ? [] : [nameOf(failure)])]
  }

  /** The same however the bytes are cut. */
  const cuts = (text: string, options?: Protocol.Options): ReadonlyArray<string> => {
    const seen = run([text], options)
    const bytes = new TextEncoder().encode(text)
    assert.deepStrictEqual(
      run(
        Array.from(bytes, (byte) => new Uint8Array([byte])),
        options
      ),
      seen
    )
    assert.deepStrictEqual(run(Array.from(text), options), seen)
    for (let at = 0; at <= bytes.length; at++) {
      assert.deepStrictEqual(run([bytes.subarray(0, at), bytes.subarray(at)], options), seen)
    }
    return seen
  }

  const whole = ["Start", "é😀", "b", "halt 1", "End stop"]

  it("events as ever", () => {
    for (const eol of ["\n", "\r\n", "\r"]) {
      const text = 'data: {"text":"é😀"}\n\ndata: {"text":\ndata: "b"}\n\ndata: {"end":1}'.replaceAll("\n", eol)
      assert.deepStrictEqual(cuts(text), whole)
      assert.deepStrictEqual(cuts(`\ufeff${text}`), whole)
      assert.deepStrictEqual(cuts(`${text}${eol}${eol}data: [DONE]${eol}`), whole)
    }
    assert.deepStrictEqual(cuts(`: x\n\n${a}`).slice(0, 3), ["Start", "Progress", "a"])
  })

  it("one array, pretty or not", () => {
    const items = [{ text: "é😀" }, { text: "b" }, { end: 1 }]
    for (const text of [JSON.stringify(items), JSON.stringify(items, undefined, 2).replaceAll("\n", "\r\n")]) {
      for (const before of ["", "\ufeff", "\n", "\r\n"]) assert.deepStrictEqual(cuts(before + text), whole)
      assert.deepStrictEqual(cuts(text.slice(0, -1)), whole)
      assert.deepStrictEqual(cuts(text.replace(/"end[^]*/, "")), [...whole.slice(0, -1), truncated])
    }
    assert.deepStrictEqual(run(["[]"]), ["Start", "halt 1", truncated])
  })

  it("one object, at the start or behind events, whether the last of them has its blank line or not", () => {
    const object = JSON.stringify({ fail: { message: "no" } }, undefined, 2)
    const failure = "toy reported: no"
    assert.deepStrictEqual(cuts(object), ["Start", "halt 1", failure])
    for (const events of [a, a.slice(0, -1), `${a}\n`, a.replaceAll("\n", "\r\n"), `${a}event: x\n`]) {
      assert.deepStrictEqual(cuts(events + object), ["Start", "a", "halt 1", failure])
    }
    assert.deepStrictEqual(cuts(`data: {"te\n${object}`), ["Start", "halt 1", failure])
  })

  it("that is malformed fails with its offset, or is skipped", () => {
    const text = `${a}[{"text":"b"},{"text" 5},{"end":1}]`
    assert.deepStrictEqual(cuts(text), ["Start", "a", "b", "halt 1", "Malformed frame at offset 34"])
    assert.deepStrictEqual(cuts(text, { onMalformed: "skip" }), ["Start", "a", "b", "halt 1", "End stop"])
  })

  it("has a limit, behind what came before", () => {
    const failure = StreamError.make({ _tag: "FrameTooLarge", limit: 20 }).message
    assert.deepStrictEqual(cuts(`[{"text":"a"},{"text":"${"b".repeat(10)}"}]`, { maxEventSize: 20 }), [
      "Start",
      "a",
      "halt 1",
      failure
    ])
  })
})

describe("tool calls", () => {
  const whole = { call: { id: "a", name: "f", argumentsText: "{}" } }
  const half = { call: { id: "b", name: "g", argumentsText: '{"x":' } }
  const run = (chunks: ReadonlyArray<unknown>, options?: Protocol.Options): ReadonlyArray<string> => {
    const { events, failure } = Effect.runSync(collect(Protocol.fromChunks(toy, options)(Stream.fromIterable(chunks))))
    return [
      ...lines(events.filter((event) => event._tag !== "ToolCallDelta")),
      ...(failure === undefined ? [] : [failure.reason._tag])
    ]
  }

  it("come at the end, and only of a stream that is complete", () => {
    assert.deepStrictEqual(run([whole, { end: 1 }]), ["Start", "halt 1", "ToolCall", "End stop"])
    assert.deepStrictEqual(run([whole]), ["Start", "halt 1", "Truncated"])
    assert.deepStrictEqual(run([whole, { fail: "no" }]), ["Start", "halt 1", "ProviderFailure"])
    assert.deepStrictEqual(run([whole], { onMissingFinish: "mark" }), [
      "Start",
      "halt 1",
      "ToolCall",
      "truncated",
      "End unknown"
    ])
  })

  it("onIncompleteToolCall: one that is not whole fails behind everything, or is Metadata", () => {
    const chunks = [half, whole, { end: 1 }]
    assert.deepStrictEqual(run(chunks), ["Start", "halt 1", "ToolCall", "ToolCallIncomplete"])
    assert.deepStrictEqual(run(chunks, { onIncompleteToolCall: "metadata" }), [
      "Start",
      "halt 1",
      "ToolCall",
      "incomplete-tool-call",
      "End stop"
    ])
    const { events } = Effect.runSync(
      collect(Protocol.fromChunks(toy, { onIncompleteToolCall: "metadata" })(Stream.fromIterable(chunks)))
    )
    const reported = events.filter(StreamEvent.is("Metadata")).find((event) => event.kind === "incomplete-tool-call")
    assert.deepStrictEqual(reported?.metadata, half.call)
  })

  it("have a limit", () => {
    // 64 for the call, 1 for its identifier, 1 for its name, 2 for its arguments.
    assert.strictEqual(run([whole, { end: 1 }], { maxBufferSize: 68 }).at(-1), "End stop")
    assert.strictEqual(run([whole, { end: 1 }], { maxBufferSize: 67 }).at(-1), "BufferOverflow")
    assert.throws(() => Protocol.decode(toy, { maxBufferSize: -1 }), RangeError, /maxBufferSize/)
  })

  it("share it with what the protocol holds back", () => {
    assert.strictEqual(run([whole, { hold: 2 }, { end: 1 }], { maxBufferSize: 70 }).at(-1), "End stop")
    assert.strictEqual(run([whole, { hold: 3 }, { end: 1 }], { maxBufferSize: 70 }).at(-1), "BufferOverflow")
    assert.strictEqual(run([{ hold: 9 }, { hold: -9 }, whole, { end: 1 }], { maxBufferSize: 68 }).at(-1), "End stop")
  })
})

describe("a protocol's last word", () => {
  it("ends the stream at once", () => {
    const chunks = [{ text: "a" }, { text: "b", end: 1, last: 1 }, { text: "c" }]
    const { events } = Effect.runSync(collect(Protocol.fromChunks(toy)(Stream.fromIterable(chunks))))
    assert.deepStrictEqual(lines(events), ["Start", "a", "b", "halt 1", "End stop"])
  })
})

describe("errors under the status 200", () => {
  const reasonOf = (error: unknown) => {
    const { code, isRetryable, message } = new Protocol.Output("toy").failure(error).reason
    return { code, message, isRetryable }
  }

  it("code and message, wherever they are", () => {
    assert.deepStrictEqual(reasonOf({ message: "no", type: "server_error", code: null }), {
      code: "server_error",
      message: "no",
      isRetryable: true
    })
    assert.deepStrictEqual(reasonOf({ message: "no", type: "invalid_request_error", code: "tool_use_failed" }), {
      code: "tool_use_failed",
      message: "no",
      isRetryable: false
    })
    assert.deepStrictEqual(reasonOf({ message: "no", code: 502 }), { code: "502", message: "no", isRetryable: true })
    assert.deepStrictEqual(reasonOf({ message: "no", code: 400 }), { code: "400", message: "no", isRetryable: false })
    assert.deepStrictEqual(reasonOf({ error: { message: "no", type: "overloaded_error" } }), {
      code: "overloaded_error",
      message: "no",
      isRetryable: true
    })
    assert.deepStrictEqual(reasonOf("no"), { code: undefined, message: "no", isRetryable: false })
    for (const error of [{}, [], 5, true, "", { message: 3 }, [[]]]) {
      assert.deepStrictEqual(reasonOf(error), { code: undefined, message: "no message", isRetryable: false })
    }
  })
})
