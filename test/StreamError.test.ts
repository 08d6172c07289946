import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { Arbitrary, Cause, Duration, Effect, Formatter, Logger, Schema, Stream } from "effect"
import { inspect } from "node:util"
import * as StreamError from "../src/StreamError.ts"
import type * as StreamResult from "../src/StreamResult.ts"

const secret = "what the model said"

const partial: StreamResult.StreamResult = {
  text: secret,
  reasoning: secret,
  refusal: secret,
  toolCalls: [{ id: "call_0", name: "search", argumentsText: JSON.stringify({ secret }), input: { secret } }],
  toolResults: [],
  finishReason: "unknown",
  metadata: [],
  stats: {
    outcome: "failed",
    totalTokens: 4,
    tokenSource: "counter",
    eventsCount: 1,
    charsCount: secret.length,
    totalDurationMs: 1
  }
}

const messages: ReadonlyArray<readonly [reason: StreamError.Reason, message: string]> = [
  [{ _tag: "BufferOverflow", limit: 10, size: 15 }, "Buffer size exceeded: 15 UTF-16 code units where the limit is 10"],
  [{ _tag: "Timeout", phase: "idle", duration: Duration.millis(1_500) }, 'Deadline "idle" of 1s 500ms passed'],
  [{ _tag: "Truncated", expected: "its End event" }, "The stream stopped before its End event"],
  [{ _tag: "SourceFailure", cause: new Error("reset") }, "The source failed: reset"],
  [{ _tag: "SourceFailure", cause: "reset" }, 'The source failed: "reset"'],
  [
    { _tag: "ProviderFailure", provider: "openai", message: "slow down", isRetryable: true },
    "openai reported: slow down"
  ],
  [
    {
      _tag: "ProviderFailure",
      provider: "openai",
      status: 429,
      code: "rate_limit",
      message: "slow down",
      isRetryable: true,
      retryAfter: Duration.seconds(2)
    },
    "openai reported rate_limit (status 429): slow down"
  ],
  [{ _tag: "MalformedFrame", offset: 7, cause: secret }, "Malformed frame at offset 7"],
  [{ _tag: "FrameTooLarge", limit: 8 }, "A frame is larger than the limit of 8 UTF-16 code units"],
  [{ _tag: "InvalidJson", offset: 7, path: [], issue: "no value" }, "Invalid JSON at offset 7: no value"],
  [{ _tag: "InvalidJson", offset: 7, path: ["a", 0], issue: "no value" }, "Invalid JSON at offset 7 in /a/0: no value"],
  [
    { _tag: "SchemaMismatch", path: ["a", 0], issue: "Expected string" },
    "Value does not fit the schema in /a/0: Expected string"
  ],
  [
    { _tag: "ToolCallIncomplete", id: "call_0", name: "search" },
    "The stream ended before the arguments of tool call call_0 (search) were whole"
  ],
  [{ _tag: "ContentBlocked", rule: "pii", offset: 7 }, 'Content blocked by rule "pii" at offset 7'],
  [{ _tag: "BudgetExceeded", limit: 100, unit: "tokens" }, "Budget of 100 tokens exceeded"],
  [{ _tag: "ProtocolViolation", expected: "Start", actual: "Delta" }, "Expected Start, got Delta"]
]

const context: StreamError.StreamContext = {
  id: "resp_0",
  provider: "openai",
  model: "m",
  requestId: "req_0",
  attempt: 2,
  elapsed: Duration.millis(250)
}

const codec = Schema.fromJsonString(StreamError.StreamError)

const cyclic = (): Error => {
  const inner = new Error("inner")
  const outer = new Error("outer", { cause: inner })
  inner.cause = outer
  return outer
}

const causes: ReadonlyArray<readonly [name: string, cause: unknown, message: string]> = [
  [
    "all of the chain, the outermost first",
    new TypeError("fetch failed", { cause: new Error("other side closed", { cause: "reset" }) }),
    'fetch failed: other side closed: "reset"'
  ],
  [
    "the first of several errors",
    new TypeError("fetch failed", {
      cause: new AggregateError([new Error("connect ECONNREFUSED ::1:80"), new Error("b")])
    }),
    "fetch failed: connect ECONNREFUSED ::1:80"
  ],
  ["several errors of which there are none", new AggregateError([], "no address"), "no address"],
  ["what a cause repeats, once", new Error("not sent: reset", { cause: new Error("reset") }), "not sent: reset"],
  ["a circle, once around", cyclic(), "outer: inner"],
  ["line ends as spaces", new Error("one\n  two\r\n", { cause: "three\nfour" }), 'one two: "three\\nfour"'],
  ["an error that says nothing, by its name", new RangeError("", { cause: new Error(" ") }), "RangeError"],
  ["a cause of null", new Error("reset", { cause: null }), "reset"],
  ["what was thrown and is no error", { code: 7 }, '{"code":7}'],
  ["undefined", undefined, "undefined"]
]

describe("make", () => {
  it.each(messages)("says what happened: %o", (reason, message) => {
    const error = StreamError.make(reason)
    assert.strictEqual(error.message, message)
    assert.strictEqual(error._tag, "StreamError")
    assert.deepStrictEqual(error.reason, reason)
    assert.isTrue(StreamError.isStreamError(error))
    assert.instanceOf(error, Error)
  })

  it.each(causes)("says the chain of causes: %s", (_, cause, message) => {
    assert.strictEqual(StreamError.make({ _tag: "SourceFailure", cause }).message, `The source failed: ${message}`)
  })

  it("says no more of a chain than fits in a line, however long", () => {
    let cause = new Error("the root")
    for (let n = 0; n < 100_000; n++) cause = new Error(`failure ${n}`, { cause })
    for (const long of [cause, new Error("x".repeat(1_000_000)), "y".repeat(1_000_000)]) {
      const { message } = StreamError.make({ _tag: "SourceFailure", cause: long })
      assert.isAbove(message.length, 500)
      assert.isBelow(message.length, 600)
      assert.isTrue(message.endsWith("…"))
    }
  })

  it("has a message for each reason", () => {
    const tags = new Set(messages.map(([reason]) => reason._tag))
    const all = StreamError.Reason.members.map((member) => member.fields._tag.schema.literal)
    assert.deepStrictEqual([...tags].toSorted(), all.toSorted())
  })

  it("is an error for Effect, to yield and to log", () =>
    Effect.gen(function* () {
      const error = StreamError.make({ _tag: "Truncated", expected: "its end" })
      assert.strictEqual(yield* Effect.flip(error), error)
      assert.include(Cause.pretty(Cause.fail(error)), "The stream stopped before its end")
    }).pipe(Effect.runSync))

  it("knows its own from others", () => {
    assert.isFalse(StreamError.isStreamError(new Error("Truncated")))
    assert.isFalse(StreamError.isStreamError({ _tag: "StreamError", reason: { _tag: "Truncated", expected: "" } }))
    assert.isFalse(StreamError.isStreamError(undefined))
  })
})

describe("schema", () => {
  it("keeps the chain of causes", () => {
    const cause = new TypeError("fetch failed", { cause: new Error("connect ECONNREFUSED 127.0.0.1:1") })
    const error = StreamError.make({ _tag: "SourceFailure", cause })
    assert.strictEqual(Schema.decodeSync(codec)(Schema.encodeSync(codec)(error)).message, error.message)
  })

  it.each(messages)("goes through JSON and comes back: %o", (reason) => {
    const error = StreamError.make(reason, { context })
    const json = Schema.encodeSync(codec)(error)
    const decoded = Schema.decodeSync(codec)(json)
    assert.isTrue(StreamError.isStreamError(decoded))
    assert.strictEqual(decoded.message, error.message)
    assert.deepStrictEqual(decoded.context, context)
    assert.strictEqual(Schema.encodeSync(codec)(decoded), json)
    if (reason._tag !== "SourceFailure") assert.deepStrictEqual(decoded.reason, reason)
  })

  // JSON has no Infinity and no NaN; no limit, offset or duration of a failure is one.
  const isJson = (value: unknown): boolean =>
    typeof value === "number"
      ? Number.isFinite(value)
      : typeof value !== "object" || value === null || Object.values(value).every(isJson)
  const Reasons = Arbitrary.filter(Arbitrary.schema(StreamError.Reason), (reason) =>
    isJson(Schema.encodeSync(StreamError.Reason)(reason))
  )
  const Contexts = Arbitrary.filter(Arbitrary.schema(StreamError.StreamContext), (context) =>
    isJson(Schema.encodeSync(StreamError.StreamContext)(context))
  )
  it.prop(
    "goes through JSON and comes back, whatever it holds",
    { reason: Reasons, context: Contexts },
    ({ context, reason }) => {
      const error = StreamError.make(reason, { context })
      const json = Schema.encodeSync(codec)(error)
      const decoded = Schema.decodeSync(codec)(json)
      assert.strictEqual(Schema.encodeSync(codec)(decoded), json)
      assert.strictEqual(decoded.reason._tag, reason._tag)
    }
  )

  it("encodes causes without their stack", () => {
    const cause = new Error("outer", { cause: new Error("inner") })
    const encoded = Schema.encodeSync(StreamError.StreamError)(StreamError.make({ _tag: "SourceFailure", cause }))
    assert.deepStrictEqual(encoded.reason, {
      _tag: "SourceFailure",
      cause: { name: "Error", message: "outer", cause: { name: "Error", message: "inner" } }
    })
  })

  it("encodes a cause that JSON has no form for", () => {
    const cyclic: { self?: unknown } = {}
    cyclic.self = cyclic
    for (const cause of [cyclic, undefined, 1n, Symbol("s"), Number.NaN, () => 1, new Map([[1, 2]])]) {
      const json = Schema.encodeSync(codec)(StreamError.make({ _tag: "SourceFailure", cause }))
      assert.strictEqual(Schema.decodeSync(codec)(json).reason._tag, "SourceFailure")
    }
  })

  it("refuses a reason that it does not know", () => {
    assert.throws(() => Schema.decodeSync(codec)('{"_tag":"StreamError","reason":{"_tag":"Bored"}}'))
  })
})

describe("partial", () => {
  const error = StreamError.make({ _tag: "Truncated", expected: "its end" }, { context, partial })

  it.effect("is there, and nowhere in what is printed, encoded or logged", () =>
    Effect.gen(function* () {
      assert.strictEqual(error.partial, partial)
      const logged: Array<unknown> = []
      const keep = <A>(logger: Logger.Logger<unknown, A>) => Logger.map(logger, (line) => logged.push(line))
      const loggers = Logger.layer([
        keep(Logger.formatSimple),
        keep(Logger.formatJson),
        keep(Logger.formatLogFmt),
        keep(Logger.formatStructured)
      ])
      yield* Effect.logError("failed", error, Cause.fail(error)).pipe(Effect.provide(loggers))
      assert.lengthOf(logged, 4)
      const shown = [
        error.message,
        String(error),
        error.stack,
        JSON.stringify(error),
        JSON.stringify({ ...error }),
        inspect(error, { depth: Infinity }),
        Object.keys(error).join(),
        Formatter.format(error),
        Formatter.formatJson(error),
        Cause.pretty(Cause.fail(error)),
        Schema.encodeSync(codec)(error),
        ...logged.map((line) => inspect(line, { depth: Infinity }))
      ]
      for (const text of shown) {
        assert.notInclude(text, secret)
        assert.notInclude(text, "partial")
      }
      // What should be there is.
      assert.include(shown.join(), "Truncated")
    })
  )

  it("is added by withPartial to a new error, and the old one stays", () => {
    const bare = StreamError.make({ _tag: "FrameTooLarge", limit: 8 }, { context })
    const filled = StreamError.withPartial(bare, partial)
    assert.isUndefined(bare.partial)
    assert.strictEqual(filled.partial, partial)
    assert.deepStrictEqual([filled.reason, filled.context], [bare.reason, bare.context])
    assert.notInclude(JSON.stringify(filled), secret)
    expectTypeOf(filled).toEqualTypeOf(bare)
  })

  it("is kept by withContext, which adds only what was not said", () => {
    const first = StreamError.make({ _tag: "FrameTooLarge", limit: 8 }, { context: { id: "a", attempt: 1 }, partial })
    const more = StreamError.withContext(first, { id: "b", provider: "openai", attempt: undefined })
    assert.strictEqual(more.partial, partial)
    assert.deepStrictEqual(more.context, { id: "a", provider: "openai", attempt: 1 })
    assert.deepStrictEqual(first.context, { id: "a", attempt: 1 })
  })

  it("withContext fills in what is there as undefined", () => {
    const first = StreamError.make({ _tag: "FrameTooLarge", limit: 8 }, { context: { id: undefined, model: "m" } })
    assert.deepStrictEqual(StreamError.withContext(first, { id: "a", model: "n" }).context, { id: "a", model: "m" })
    const none = StreamError.make({ _tag: "FrameTooLarge", limit: 8 })
    assert.deepStrictEqual(StreamError.withContext(none, { id: "a" }).context, { id: "a" })
  })
})

describe("types", () => {
  it("names the reason that was given, and is a StreamError", () => {
    const error = StreamError.make({ _tag: "BufferOverflow", limit: 1, size: 2 })
    expectTypeOf(error).toEqualTypeOf<StreamError.StreamErrorOf<"BufferOverflow">>()
    expectTypeOf(error.reason).toEqualTypeOf<StreamError.BufferOverflow>()
    expectTypeOf(error).toExtend<StreamError.StreamError>()
    expectTypeOf<StreamError.StreamErrorOf<"Timeout" | "Truncated">>().toExtend<StreamError.StreamError>()
    expectTypeOf<StreamError.StreamErrorOf<"Timeout">>().toExtend<StreamError.StreamErrorOf<"Timeout" | "Truncated">>()
    expectTypeOf<StreamError.StreamError>().not.toExtend<StreamError.StreamErrorOf<"Timeout">>()
    expectTypeOf<StreamError.StreamErrorOf<"Timeout">>().not.toExtend<StreamError.StreamErrorOf<"Truncated">>()
  })

  it.effect("is handled by reason, and what is left is typed", () =>
    Effect.gen(function* () {
      const failing = (n: number): Effect.Effect<number, StreamError.StreamErrorOf<"BufferOverflow" | "Truncated">> =>
        n > 0
          ? Effect.fail(StreamError.make({ _tag: "BufferOverflow", limit: 1, size: n }))
          : Effect.fail(StreamError.make({ _tag: "Truncated", expected: "its end" }))

      const one = Effect.catchReason(failing(2), "StreamError", "BufferOverflow", (reason) => {
        expectTypeOf(reason).toEqualTypeOf<StreamError.BufferOverflow>()
        return Effect.succeed(reason.size)
      })
      assert.strictEqual(yield* one, 2)

      const all = Effect.catchReasons(failing(0), "StreamError", {
        BufferOverflow: (reason) => Effect.succeed(reason.size),
        Truncated: (reason) => Effect.succeed(reason.expected.length)
      })
      assert.strictEqual(yield* all, "its end".length)

      const none = Effect.catchTag(failing(0), "StreamError", (error) => Effect.succeed(error.reason._tag))
      expectTypeOf<Effect.Error<typeof none>>().toEqualTypeOf<never>()
      assert.strictEqual(yield* none, "Truncated")

      const stream = Stream.fromEffect(failing(2)).pipe(
        Stream.catchReason("StreamError", "BufferOverflow", (reason) => Stream.make(reason.limit))
      )
      assert.deepStrictEqual(yield* Stream.runCollect(stream), [1])

      const unwrapped = Effect.unwrapReason(failing(2), "StreamError")
      expectTypeOf<Effect.Error<typeof unwrapped>>().toEqualTypeOf<StreamError.BufferOverflow | StreamError.Truncated>()
      assert.strictEqual((yield* Effect.flip(unwrapped))._tag, "BufferOverflow")
    })
  )
})
