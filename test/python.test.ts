/** The test cases of the Python module, in their Effect form. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import {
  chunkStream,
  ContentFilter,
  JsonStream,
  JsonStreamParser,
  StreamBuffer,
  StreamCallbacks,
  StreamEvent,
  StreamHandler,
  streamToString
} from "../src/index.ts"

const tokens = Stream.make("Hello", " ", "World")

describe("StreamEvent", () => {
  it("create", () => {
    assert.strictEqual(StreamEvent.delta(0, "Hello").delta, "Hello")
  })

  it("is_content", () => {
    assert.isTrue(StreamEvent.isContent(StreamEvent.delta(0, "text")))
    assert.isFalse(StreamEvent.isContent(StreamEvent.start(0)))
  })
})

describe("StreamBuffer", () => {
  it.effect("append, length, clear", () =>
    Effect.gen(function* () {
      const buffer = yield* StreamBuffer.make()
      yield* buffer.append("Hello ")
      yield* buffer.append("World")
      assert.strictEqual(yield* buffer.content, "Hello World")
      yield* buffer.clear
      assert.strictEqual(yield* buffer.content, "")
      assert.strictEqual(yield* buffer.length, 0)
      yield* buffer.append("12345")
      assert.strictEqual(yield* buffer.length, 5)
      assert.strictEqual(yield* buffer.chunkCount, 1)
    })
  )

  it.effect("max_size", () =>
    Effect.gen(function* () {
      const buffer = yield* StreamBuffer.make({ maxSize: 10 })
      yield* buffer.append("12345")
      const error = yield* Effect.flip(buffer.append("67890extra"))
      assert.deepStrictEqual(error.reason, { _tag: "BufferOverflow", limit: 10, size: 15 })
    })
  )
})

describe("ContentFilterProcessor", () => {
  const filtered = (patterns: ReadonlyArray<string>, text: string) =>
    Stream.make(StreamEvent.delta(0, text)).pipe(
      ContentFilter.make({ patterns, scope: "delta" }),
      StreamEvent.text,
      Stream.mkString
    )

  it.effect("filter_blocked, pass_allowed", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* filtered(["password"], "my password is 123"), "[FILTERED]")
      assert.strictEqual(yield* filtered(["secret"], "normal text"), "normal text")
    })
  )
})

describe("StreamHandler", () => {
  it.effect("iter_events, buffer_content, stats", () =>
    Effect.gen(function* () {
      const handler = yield* StreamHandler.make()
      const events = yield* tokens.pipe(StreamEvent.fromText, handler.events, Stream.runCollect)
      assert.strictEqual(events.length, 5)
      assert.strictEqual(yield* handler.buffer.content, "Hello World")
      assert.strictEqual((yield* handler.stats).eventsCount, 3)
    })
  )

  it.effect("process_stream", () =>
    Effect.gen(function* () {
      const text = yield* Stream.make("Hello", " World").pipe(StreamEvent.fromText, StreamHandler.runText())
      assert.strictEqual(text, "Hello World")
    })
  )

  it.effect("callbacks", () =>
    Effect.gen(function* () {
      const deltas: Array<string> = []
      const layer = StreamCallbacks.layer({ onDelta: (event) => Effect.sync(() => deltas.push(event.delta)) })
      yield* Stream.make("a", "b").pipe(StreamEvent.fromText, StreamHandler.run(), Effect.provide(layer))
      assert.deepStrictEqual(deltas, ["a", "b"])
    })
  )
})

describe("JSONStreamParser", () => {
  it("simple object, fed in pieces", () => {
    const parser = JsonStreamParser.make()
    parser.feed('{"key": "va')
    assert.isFalse(parser.hasCompleteValues)
    parser.feed('lue"}')
    assert.isTrue(parser.hasCompleteValues)
    assert.deepStrictEqual(parser.takeValues(), [{ key: "value" }])
    assert.isFalse(parser.hasCompleteValues)
  })

  it("several objects, nested ones, braces and escaped quotes in strings", () => {
    const parser = JsonStreamParser.make()
    parser.feed('{"a": 1} text {"b": {"c": [1, {"d": 2}]}} {"e": "a { brace } and a \\" quote"}')
    assert.deepStrictEqual(parser.takeValues(), [
      { a: 1 },
      { b: { c: [1, { d: 2 }] } },
      { e: 'a { brace } and a " quote' }
    ])
  })

  it("invalid JSON is passed over", () => {
    const parser = JsonStreamParser.make()
    parser.feed('{invalid} {"valid": true}')
    assert.deepStrictEqual(parser.takeValues(), [{ valid: true }])
  })

  it("reset", () => {
    const parser = JsonStreamParser.make()
    parser.feed('{"key": ')
    parser.reset()
    parser.feed('{"a": 1}')
    assert.deepStrictEqual(parser.takeValues(), [{ a: 1 }])
  })

  it.effect("what it wished for: top-level arrays", () =>
    Effect.gen(function* () {
      const values = yield* Stream.make('[{"a": 1}, ', '{"a": 2}] and ["b"]').pipe(
        JsonStream.values(),
        Stream.runCollect
      )
      assert.deepStrictEqual(values, [[{ a: 1 }, { a: 2 }], ["b"]])
    })
  )
})

describe("utilities", () => {
  it.effect("stream_to_string", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* streamToString(tokens), "Hello World")
    })
  )

  it.effect("chunk_stream", () =>
    Effect.gen(function* () {
      const chunks = yield* Stream.runCollect(chunkStream("Hello World", { chunkSize: 5, delay: 0 }))
      assert.deepStrictEqual(chunks, ["Hello", " Worl", "d"])
    })
  )
})
