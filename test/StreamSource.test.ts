import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import { expectTypeOf } from "vitest"
import type * as StreamError from "../src/StreamError.ts"
import * as StreamSource from "../src/StreamSource.ts"

describe("fromAsyncIterable", () => {
  it.effect("a function makes an iterable for each run; its signal is aborted at the end", () =>
    Effect.gen(function* () {
      const signals: Array<AbortSignal> = []
      const source = StreamSource.fromAsyncIterable(async function* (signal) {
        signals.push(signal)
        yield "a"
        yield "b"
      })
      expectTypeOf(source).toEqualTypeOf<Stream.Stream<string, StreamError.StreamErrorOf<"SourceFailure">>>()
      assert.deepStrictEqual(yield* Stream.runCollect(source), ["a", "b"])
      assert.deepStrictEqual(yield* Stream.runCollect(source), ["a", "b"])
      assert.deepStrictEqual(
        signals.map((signal) => signal.aborted),
        [true, true]
      )
    })
  )

  it.effect("what it throws is SourceFailure, behind what had come", () =>
    Effect.gen(function* () {
      const boom = new Error("boom")
      const seen: Array<string> = []
      const error = yield* StreamSource.fromAsyncIterable(
        (async function* () {
          yield "a"
          throw boom
        })()
      ).pipe(
        Stream.runForEach((chunk) => Effect.sync(() => seen.push(chunk))),
        Effect.flip
      )
      assert.deepStrictEqual(seen, ["a"])
      assert.strictEqual(error.reason.cause, boom)
      const thrown = yield* StreamSource.fromAsyncIterable(() => {
        throw boom
      }).pipe(Stream.runDrain, Effect.flip)
      assert.strictEqual(thrown.reason.cause, boom)
    })
  )

  it.effect("an idle generator is released when the consumer leaves, before the run returns", () =>
    Effect.gen(function* () {
      let released = 0
      const source = StreamSource.fromAsyncIterable(async function* () {
        try {
          for (;;) yield "a"
        } finally {
          released++
        }
      })
      assert.deepStrictEqual(yield* source.pipe(Stream.take(2), Stream.runCollect), ["a", "a"])
      assert.strictEqual(released, 1)
    })
  )

  it.live("a stalled generator: interruption returns at once, and the signal tells the producer", () =>
    Effect.gen(function* () {
      let aborted = false
      const source = StreamSource.fromAsyncIterable(async function* (signal) {
        yield "a"
        await new Promise<void>((resolve) =>
          signal.addEventListener("abort", () => {
            aborted = true
            resolve()
          })
        )
      })
      const fiber = yield* Effect.forkChild(Stream.runDrain(source), { startImmediately: true })
      yield* Effect.sleep(20)
      yield* Fiber.interrupt(fiber)
      assert.isTrue(aborted)
      const deaf = StreamSource.fromAsyncIterable({
        [Symbol.asyncIterator]: () => ({
          next: () => new Promise<IteratorResult<string>>(() => {}),
          return: () => new Promise<IteratorResult<string>>(() => {})
        })
      })
      const stuck = yield* Effect.forkChild(Stream.runDrain(deaf), { startImmediately: true })
      yield* Effect.sleep(5)
      const exit = yield* Effect.timeout(Fiber.interrupt(stuck), "5 seconds").pipe(Effect.exit)
      assert.isTrue(Exit.isSuccess(exit))
    })
  )
})

describe("fromReadableStream", () => {
  const stream = <A>(...chunks: ReadonlyArray<A>) =>
    new ReadableStream<A>({
      start(controller) {
        for (const chunk of chunks) controller.enqueue(chunk)
        controller.close()
      }
    })
  const bytes = new TextEncoder().encode("Hé👍")

  it.effect("text passes; code points split over chunks of bytes stay whole", () =>
    Effect.gen(function* () {
      const text = StreamSource.fromReadableStream(() => stream("a", "", "b"))
      assert.deepStrictEqual(yield* Stream.runCollect(text), ["a", "b"])
      for (let cut = 0; cut <= bytes.length; cut++) {
        const halves = StreamSource.fromReadableStream(() => stream(bytes.subarray(0, cut), bytes.subarray(cut)))
        assert.strictEqual(yield* Stream.mkString(halves), "Hé👍")
      }
    })
  )

  it.effect("invalid UTF-8 is replaced, an unfinished code point too", () =>
    Effect.gen(function* () {
      const source = StreamSource.fromReadableStream(() => stream(Uint8Array.of(72, 0xff), bytes.subarray(3, 5)))
      assert.strictEqual(yield* Stream.mkString(source), "H\ufffd\ufffd")
    })
  )

  it.effect("a failure is SourceFailure", () =>
    Effect.gen(function* () {
      const boom = new Error("boom")
      const source = StreamSource.fromReadableStream(
        () => new ReadableStream<string>({ start: (controller) => controller.error(boom) })
      )
      assert.strictEqual((yield* Effect.flip(Stream.runDrain(source))).reason.cause, boom)
    })
  )

  it.effect("it is cancelled when the consumer leaves", () =>
    Effect.gen(function* () {
      let cancelled = 0
      const source = StreamSource.fromReadableStream(
        () =>
          new ReadableStream<string>({
            pull: (controller) => controller.enqueue("a"),
            cancel: () => {
              cancelled++
            }
          })
      )
      yield* source.pipe(Stream.take(1), Stream.runDrain)
      assert.strictEqual(cancelled, 1)
    })
  )
})

describe("chunkStream and streamToString", () => {
  it.effect("chunks by code points, the pause on Effect's clock and not behind the last", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const fiber = yield* Effect.forkChild(
        StreamSource.chunkStream("ab👍cd", { chunkSize: 3, delay: "1 second" }).pipe(
          Stream.runForEach((chunk) => Effect.sync(() => seen.push(chunk)))
        ),
        { startImmediately: true }
      )
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(seen, ["ab👍"])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(seen, ["ab👍", "cd"])
      yield* Fiber.join(fiber)
    })
  )

  it.effect("an empty text has no chunk; lone surrogates pass", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* Stream.runCollect(StreamSource.chunkStream("")), [])
      const lone = StreamSource.chunkStream("a\ud83d", { chunkSize: 1, delay: 0 })
      assert.deepStrictEqual(yield* Stream.runCollect(lone), ["a", "\ud83d"])
    })
  )

  it("an impossible chunk size throws and names the option", () => {
    assert.throws(() => StreamSource.chunkStream("a", { chunkSize: 0 }), /chunkSize/)
    assert.throws(() => StreamSource.chunkStream("a", { chunkSize: 1.5 }), /chunkSize/)
  })

  it.effect("streamToString: the text, the limit, a failure untouched", () =>
    Effect.gen(function* () {
      const program = StreamSource.streamToString(Stream.make("Hello", " World"))
      expectTypeOf(program).toEqualTypeOf<Effect.Effect<string, StreamError.StreamErrorOf<"BufferOverflow">>>()
      assert.strictEqual(yield* program, "Hello World")
      const exit = yield* Effect.exit(StreamSource.streamToString(Stream.fail("mine" as const)))
      assert.isTrue(Exit.isFailure(exit) && Cause.squash(exit.cause) === "mine")
    })
  )
})
