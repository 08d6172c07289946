import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { Cause, Data, Duration, Effect, Exit, Fiber, Option, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import { get, type IncomingMessage } from "node:http"
import { Readable } from "node:stream"
import * as StreamConfig from "../src/StreamConfig.ts"
import type * as StreamError from "../src/StreamError.ts"
import * as StreamEvent from "../src/StreamEvent.ts"
import * as StreamHandler from "../src/StreamHandler.ts"
import * as StreamSource from "../src/StreamSource.ts"
import * as StreamTest from "../src/testing/StreamTest.ts"
import * as SseStream from "../src/wire/SseStream.ts"
import * as Loopback from "./support/loopback.ts"

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

describe("fromAsyncIterable, treated badly", () => {
  it.effect("the signal is aborted on every exit: end, failure, a reader that leaves, interruption", () =>
    Effect.gen(function* () {
      const signals: Array<AbortSignal> = []
      const source = (last: "end" | "throw" | "stall") =>
        StreamSource.fromAsyncIterable(async function* (signal) {
          signals.push(signal)
          assert.isFalse(signal.aborted)
          yield "a"
          if (last === "throw") throw new Error("boom")
          if (last === "stall") await new Promise(() => {})
        })
      yield* Stream.runDrain(source("end"))
      yield* Effect.exit(Stream.runDrain(source("throw")))
      yield* Stream.runDrain(Stream.take(source("stall"), 1))
      yield* Effect.exit(Stream.runForEach(source("stall"), () => Effect.fail("full")))
      yield* Effect.exit(Stream.runForEach(source("stall"), () => Effect.interrupt))
      assert.deepStrictEqual(
        signals.map((signal) => signal.aborted),
        [true, true, true, true, true]
      )
      const told = StreamSource.fromAsyncIterable((signal) => {
        signals.push(signal)
        throw new Error("no connection")
      })
      yield* Effect.exit(Stream.runDrain(told))
      assert.isTrue(signals.at(-1)?.aborted)
    })
  )

  it.live("the signal is aborted before the generator's own cleanup is waited for", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const source = StreamSource.fromAsyncIterable(async function* (signal) {
        // A request that runs beside the generator and ends when it is aborted.
        const request = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()))
        try {
          yield "a"
          yield "b"
        } finally {
          await request
          log.push("cleaned up")
        }
      })
      yield* Stream.runDrain(Stream.take(source, 1)).pipe(Effect.timeout("5 seconds"))
      assert.deepStrictEqual(log, ["cleaned up"])
    })
  )

  it.live("a stall under a handler: interruption returns, the signal is aborted, what came is kept", () =>
    Effect.gen(function* () {
      let aborted: AbortSignal | undefined
      const stalled = StreamSource.fromAsyncIterable(async function* (signal) {
        aborted = signal
        yield "a"
        await new Promise(() => {})
      })
      const arrived = yield* Effect.gen(function* () {
        const handler = yield* StreamHandler.make()
        const fiber = yield* Effect.forkChild(handler.run(StreamEvent.fromText(stalled)))
        while ((yield* handler.buffer.content) !== "a") yield* Effect.sleep(1)
        yield* Effect.timeout(Fiber.interrupt(fiber), "5 seconds")
        return yield* StreamTest.recorded
      }).pipe(Effect.provide(StreamTest.recorder))
      assert.isTrue(aborted?.aborted)
      const last = arrived.at(-1)
      assert(last?.callback === "onExit")
      assert.deepStrictEqual([last.value.result.text, last.value.result.stats.outcome], ["a", "interrupted"])
    })
  )

  const boom = new Error("boom")
  const throwing: Record<string, AsyncIterable<string> | ((signal: AbortSignal) => AsyncIterable<string>)> = {
    "making the iterable": () => {
      throw boom
    },
    "making the iterator": {
      [Symbol.asyncIterator]: () => {
        throw boom
      }
    },
    "next, at once": {
      [Symbol.asyncIterator]: () => ({
        next: () => {
          throw boom
        }
      })
    },
    "next, later": { [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(boom) }) }
  }
  it.effect.each(Object.keys(throwing))("what %s throws is SourceFailure, and the handler tells of it", (where) =>
    Effect.gen(function* () {
      const source = StreamSource.fromAsyncIterable(throwing[where]!)
      const { exit, result } = yield* source.pipe(StreamEvent.fromText, StreamHandler.runExit())
      const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
      assert.propertyVal(Object(error), "_tag", "StreamError")
      assert.strictEqual((yield* Effect.flip(Stream.runDrain(source))).reason.cause, boom)
      assert.strictEqual(result.stats.outcome, "failed")
    })
  )

  it.effect("an iterator that gives no result at all is a SourceFailure, not a stall", () =>
    Effect.gen(function* () {
      const next = () => Promise.resolve(undefined as unknown as IteratorResult<string>)
      const source = StreamSource.fromAsyncIterable({ [Symbol.asyncIterator]: () => ({ next }) })
      assert.instanceOf((yield* Effect.flip(Stream.runDrain(source))).reason.cause, TypeError)
    })
  )

  it.effect("a cleanup that throws does not undo what the reader got", () =>
    Effect.gen(function* () {
      const source = StreamSource.fromAsyncIterable(async function* () {
        try {
          yield "a"
          yield "b"
        } finally {
          // oxlint-disable-next-line no-unsafe-finally
          throw boom
        }
      })
      assert.deepStrictEqual(yield* Stream.runCollect(Stream.take(source, 1)), ["a"])
    })
  )

  it.effect("an iterable that is used up is empty when it runs again", () =>
    Effect.gen(function* () {
      const once = (async function* () {
        yield "a"
      })()
      const source = StreamSource.fromAsyncIterable(once)
      assert.deepStrictEqual(yield* Stream.runCollect(source), ["a"])
      assert.deepStrictEqual(yield* Stream.runCollect(source), [])
    })
  )

  it.effect("one that never ends is bounded by the handler, and let go", () =>
    Effect.gen(function* () {
      let released = 0
      const endless = StreamSource.fromAsyncIterable(async function* () {
        try {
          for (;;) yield "0123456789"
        } finally {
          released++
        }
      })
      const error = yield* Effect.flip(StreamSource.streamToString(endless, { maxBufferSize: 95 }))
      assert.deepStrictEqual(error.reason, { _tag: "BufferOverflow", limit: 95, size: 100 })
      assert.strictEqual(error.partial?.text?.length, 90)
      assert.strictEqual(released, 1)
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

  it.effect("one that cannot be opened is a SourceFailure: it threw, it is locked", () =>
    Effect.gen(function* () {
      const boom = new Error("boom")
      const thrown = StreamSource.fromReadableStream(() => {
        throw boom
      })
      assert.strictEqual((yield* Effect.flip(Stream.runDrain(thrown))).reason.cause, boom)
      const locked = stream("a")
      locked.getReader()
      const refused = StreamSource.fromReadableStream(() => locked)
      assert.instanceOf((yield* Effect.flip(Stream.runDrain(refused))).reason.cause, TypeError)
    })
  )

  it.live("half of a stream that was split by tee can be left while the other half is read", () =>
    Effect.gen(function* () {
      const [one, other] = stream("a", "b", "c").tee()
      const left = StreamSource.fromReadableStream(() => one).pipe(Stream.take(1), Stream.runCollect)
      assert.deepStrictEqual(yield* Effect.timeout(left, "5 seconds"), ["a"])
      assert.deepStrictEqual(yield* Stream.runCollect(StreamSource.fromReadableStream(() => other)), ["a", "b", "c"])
    })
  )

  it.effect("null is empty: a response has no body", () =>
    Effect.gen(function* () {
      const source = StreamSource.fromReadableStream(() => new Response(null, { status: 204 }).body)
      assert.deepStrictEqual(yield* Stream.runCollect(source), [])
    })
  )

  it.effect("text behind half a code point: the half is replaced, the text kept", () =>
    Effect.gen(function* () {
      const mixed = Stream.make<ReadonlyArray<string | Uint8Array>>(bytes.subarray(3, 5), "text", bytes.subarray(0, 1))
      assert.strictEqual(yield* Stream.mkString(StreamSource.decodeText(mixed)), "\ufffdtextH")
    })
  )

  it.effect("the text before a failure is delivered before it", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const failing = StreamTest.script([bytes.subarray(0, 3), bytes.subarray(3, 5), StreamTest.fail("reset")])
      const error = yield* StreamSource.decodeText(failing).pipe(
        Stream.runForEach((text) => Effect.sync(() => seen.push(text))),
        Effect.flip
      )
      assert.deepStrictEqual([seen, error], [["Hé"], "reset"])
    })
  )

  it.live("a stalled one is cancelled by interruption, at once", () =>
    Effect.gen(function* () {
      let cancelled = 0
      const source = StreamSource.fromReadableStream(
        () =>
          new ReadableStream<string>({
            pull: () => new Promise(() => {}),
            cancel: () => {
              cancelled++
            }
          })
      )
      const fiber = yield* Effect.forkChild(Stream.runDrain(source))
      yield* Effect.sleep(5)
      yield* Effect.timeout(Fiber.interrupt(fiber), "5 seconds")
      assert.strictEqual(cancelled, 1)
    })
  )
})

describe("chunks", () => {
  const bytes = new TextEncoder().encode("Hé👍")
  const open = {
    iterable: <A extends string | Uint8Array>(chunks: ReadonlyArray<A>) =>
      StreamSource.fromAsyncIterable(Stream.toAsyncIterable(Stream.fromIterable(chunks))),
    decoded: <A extends string | Uint8Array>(chunks: ReadonlyArray<A>) =>
      StreamSource.decodeText(Stream.fromIterable(chunks))
  }

  it.effect.each(Object.keys(open) as ReadonlyArray<keyof typeof open>)(
    "bytes may come in any pieces, with text between: %s",
    (how) =>
      Effect.gen(function* () {
        for (let cut = 0; cut <= bytes.length; cut++) {
          for (let next = cut; next <= bytes.length; next++) {
            const pieces = [bytes.subarray(0, cut), bytes.subarray(cut, next), bytes.subarray(next)]
            assert.deepStrictEqual(yield* Stream.mkString(open[how](pieces)), "Hé👍")
          }
        }
        const mixed = ["a", bytes.subarray(3, 5), "b", "", bytes.subarray(0, 1), bytes.subarray(3, 6)]
        assert.deepStrictEqual(yield* Stream.runCollect(open[how](mixed)), ["a", "\ufffdb", "H", "\ufffd"])
      })
  )

  it.effect("empty ones are passed over, a million of them too", () =>
    Effect.gen(function* () {
      let n = 0
      const next = () => Promise.resolve({ done: n === 1_000_000, value: n++ % 2 === 0 ? "" : new Uint8Array() })
      const source = StreamSource.fromAsyncIterable({ [Symbol.asyncIterator]: () => ({ next }) })
      assert.deepStrictEqual(yield* Stream.runCollect(source), [])
    })
  )

  it.live.each(["", "a"])("a source that never ends and never waits can be interrupted: %o", (chunk) =>
    Effect.gen(function* () {
      let released = false
      const endless = StreamSource.fromAsyncIterable(async function* () {
        try {
          for (;;) yield chunk
        } finally {
          released = true
        }
      })
      assert.isTrue(Option.isNone(yield* Effect.timeoutOption(Stream.runDrain(endless), 20)))
      assert.isTrue(released)
    })
  )

  const wrong = async function* (value: unknown, log: Array<string>) {
    try {
      yield bytes.subarray(0, 1)
      yield value
    } finally {
      log.push("released")
    }
  }

  it.effect.each([undefined, null, 7, { delta: "a" }])(
    "what is neither text nor bytes is a SourceFailure: %o",
    (value) =>
      Effect.gen(function* () {
        const log: Array<string> = []
        const seen: Array<string> = []
        const source = StreamSource.fromAsyncIterable(() => wrong(value, log) as AsyncIterable<string>)
        const error = yield* Effect.flip(Stream.runForEach(source, (chunk) => Effect.sync(() => seen.push(chunk))))
        const name = value === null ? "null" : typeof value
        assert.strictEqual(
          error.message,
          `The source failed: The source gave ${name} where text or bytes were expected`
        )
        assert.deepStrictEqual([seen, log], [["H"], ["released"]])
      })
  )

  it.effect("bytes does not take text", () =>
    Effect.gen(function* () {
      const source = StreamSource.bytes(wrong("a", []) as AsyncIterable<Uint8Array>)
      const error = yield* Effect.flip(Stream.runDrain(source))
      assert.strictEqual(error.message, "The source failed: The source gave string where bytes were expected")
    })
  )
})

/** An answer over HTTP, in pieces that cut its code points, and what came of the connection. */
const serveAnswer = (ending: "end" | "stall" | "reset") =>
  Effect.map(
    Loopback.serve((response, request) => {
      const all = new TextEncoder().encode("data: Hé👍\n\n")
      Loopback.begin(response)
      if (ending === "end") return Loopback.trickle(response, all)
      response.write(all.subarray(0, 8), () => ending === "reset" && request.reset())
    }),
    ({ requests, url }) => ({
      url,
      closed: Effect.suspend(() => Effect.timeout(requests[0]!.closed, "5 seconds"))
    })
  )

const fetchBody = (url: string) => Effect.promise(() => fetch(url).then((response) => response.body))

const nodeResponse = (url: string) =>
  Effect.promise(
    () => new Promise<IncomingMessage>((resolve) => get(url, { agent: false }, resolve).on("error", () => {}))
  )

describe("over HTTP", () => {
  const sources: Record<
    string,
    (
      url: string
    ) => Effect.Effect<
      readonly [Stream.Stream<string, StreamError.StreamError>, Stream.Stream<Uint8Array, StreamError.StreamError>]
    >
  > = {
    "the body of fetch": (url) =>
      Effect.map(
        fetchBody(url),
        (body) => [StreamSource.fromReadableStream(() => body), StreamSource.bytes(() => body)] as const
      ),
    "a Node response": (url) =>
      Effect.map(
        nodeResponse(url),
        (response) => [StreamSource.fromAsyncIterable(response), StreamSource.bytes(response)] as const
      )
  }
  const names = Object.keys(sources)

  it.live.each(names)("%s: as text and as bytes", (name) =>
    Effect.gen(function* () {
      const { url } = yield* serveAnswer("end")
      const [text] = yield* sources[name]!(url)
      assert.strictEqual(yield* Stream.mkString(text), "data: Hé👍\n\n")
      const [, bytes] = yield* sources[name]!(url)
      const frames = yield* Stream.runCollect(SseStream.decode()(bytes))
      assert.deepStrictEqual(
        frames.map(({ data }) => data),
        ["Hé👍"]
      )
      const [, again] = yield* sources[name]!(url)
      const all = yield* Stream.runCollect(again)
      assert.isAbove(all.length, 1)
      assert.deepStrictEqual(Buffer.concat(all).toString(), "data: Hé👍\n\n")
    })
  )

  it.live.each(names)(
    "%s: a reader that leaves, and one that is interrupted in a stall, close the connection",
    (name) =>
      Effect.gen(function* () {
        for (const which of [0, 1] as const) {
          for (const leave of [true, false]) {
            const { closed, url } = yield* serveAnswer("stall")
            const source = (yield* sources[name]!(url))[which]
            if (leave) yield* Stream.runDrain(Stream.take(source as Stream.Stream<unknown, StreamError.StreamError>, 1))
            else
              yield* Stream.runDrain(source as Stream.Stream<unknown, StreamError.StreamError>).pipe(
                Effect.timeoutOption(50)
              )
            yield* closed
          }
        }
      })
  )

  it.live.each(names)("%s: a connection that is reset is a SourceFailure behind what had come", (name) =>
    Effect.gen(function* () {
      const { url } = yield* serveAnswer("reset")
      const [text] = yield* sources[name]!(url)
      const { exit, result } = yield* text.pipe(StreamEvent.fromText, StreamHandler.runExit())
      assert.strictEqual(result.text, "data: H")
      const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
      assert.match(String(error), /The source failed: .*(terminated: .+|aborted|ECONNRESET)/)
    })
  )
})

describe("bytes", () => {
  it.effect("of a Node stream, a web stream, a generator and a function of each; null is empty", () =>
    Effect.gen(function* () {
      const chunks = [Uint8Array.of(1, 2), new Uint8Array(), Uint8Array.of(3)]
      const web = () =>
        new ReadableStream<Uint8Array>({
          start: (controller) => {
            for (const chunk of chunks) controller.enqueue(chunk)
            controller.close()
          }
        })
      const node = () => Readable.from(chunks)
      const generate = async function* () {
        yield* chunks
      }
      for (const source of [web, node, generate, web(), node(), generate()]) {
        assert.deepStrictEqual(yield* Stream.runCollect(StreamSource.bytes(source)), [
          Uint8Array.of(1, 2),
          Uint8Array.of(3)
        ])
      }
      assert.deepStrictEqual(yield* Stream.runCollect(StreamSource.bytes(() => null)), [])
      expectTypeOf(StreamSource.bytes(node)).toEqualTypeOf<
        Stream.Stream<Uint8Array, StreamError.StreamErrorOf<"SourceFailure">>
      >()
    })
  )

  it.effect("the function gets a signal that is aborted on every exit", () =>
    Effect.gen(function* () {
      const signals: Array<AbortSignal> = []
      const source = StreamSource.bytes((signal) => {
        signals.push(signal)
        return Readable.from([Uint8Array.of(1), Uint8Array.of(2)])
      })
      yield* Stream.runDrain(source)
      yield* Stream.runDrain(Stream.take(source, 1))
      assert.deepStrictEqual(
        signals.map((signal) => signal.aborted),
        [true, true]
      )
    })
  )

  it.effect("a Node stream that fails is a SourceFailure behind what had come, and one that is left is destroyed", () =>
    Effect.gen(function* () {
      const boom = new Error("boom")
      const failing = new Readable({
        read() {
          this.push(Uint8Array.of(1))
          this.destroy(boom)
        }
      })
      const seen: Array<Uint8Array> = []
      const error = yield* Effect.flip(
        Stream.runForEach(StreamSource.bytes(failing), (chunk) => Effect.sync(() => seen.push(chunk)))
      )
      assert.strictEqual(error.reason.cause, boom)
      const left = new Readable({
        autoDestroy: false,
        read() {
          this.push(Uint8Array.of(1))
        }
      })
      yield* Stream.runDrain(Stream.take(StreamSource.bytes(left), 1))
      assert.isTrue(left.destroyed)
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

  it.effect("what is not given comes from StreamConfig; what is given wins; a delay can be 0", () =>
    Effect.gen(function* () {
      const chunks = (options?: Parameters<typeof StreamSource.chunkStream>[1]) =>
        Effect.gen(function* () {
          const fiber = yield* StreamSource.chunkStream("aaaabbbb", options).pipe(
            Stream.runCollect,
            Effect.timed,
            Effect.forkChild({ startImmediately: true })
          )
          yield* TestClock.adjust("1 minute")
          const [duration, all] = yield* Fiber.join(fiber)
          return [all.length, Duration.toSeconds(duration)] as const
        })
      const config = StreamConfig.layer({ chunkSize: 4, chunkDelay: Duration.seconds(3) })
      assert.deepStrictEqual(yield* Effect.provide(chunks(), config), [2, 3])
      assert.deepStrictEqual(yield* Effect.provide(chunks({ chunkSize: 2 }), config), [4, 9])
      assert.deepStrictEqual(yield* Effect.provide(chunks({ delay: "1 second" }), config), [2, 1])
      assert.deepStrictEqual(yield* Effect.provide(chunks({ delay: 0 }), config), [2, 0])
      assert.deepStrictEqual(yield* chunks(), [1, 0])
    })
  )

  it.effect.prop(
    "the chunks are the text, none is empty, and no character is torn",
    { text: Schema.String, chunkSize: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 5 })) },
    ({ chunkSize, text }) =>
      Effect.gen(function* () {
        const chunks = yield* Stream.runCollect(StreamSource.chunkStream(text, { chunkSize, delay: 0 }))
        assert.strictEqual(chunks.join(""), text)
        const sizes = chunks.map((chunk) => Array.from(chunk).length)
        assert.deepStrictEqual(
          sizes,
          sizes.map((_, i) => Math.min(chunkSize, Array.from(text).length - i * chunkSize))
        )
      })
  )

  it.effect("streamToString passes a handler: callbacks see it, and the limit is the configured one", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* StreamSource.streamToString(Stream.make("a", "b")), "ab")
      assert.deepStrictEqual(
        (yield* StreamTest.recorded).map(({ callback }) => callback),
        ["onStart", "onDelta", "onDelta", "onEnd", "onExit"]
      )
      const error = yield* StreamSource.streamToString(Stream.make("abc")).pipe(
        Effect.flip,
        Effect.provide(StreamConfig.layer({ maxBufferSize: 2 }))
      )
      assert.deepStrictEqual(error.reason, { _tag: "BufferOverflow", limit: 2, size: 3 })
      assert.throws(() => StreamSource.streamToString(Stream.empty, { maxBufferSize: -1 }), RangeError, "maxBufferSize")
    }).pipe(Effect.provide(StreamTest.recorder))
  )

  it.effect("streamToString: 10 MB in one chunk, a million empty ones, halves of surrogate pairs", () =>
    Effect.gen(function* () {
      const large = "x".repeat(10_000_000)
      assert.isTrue((yield* StreamSource.streamToString(Stream.make(large))) === large)
      const nothing = Stream.fromArray(Array.from({ length: 1_000_000 }, () => ""))
      assert.strictEqual(yield* StreamSource.streamToString(Stream.concat(nothing, Stream.make("a"))), "a")
      assert.strictEqual(yield* StreamSource.streamToString(Stream.make("\ud83d", "\ude00", "\ud83d")), "😀\ud83d")
    })
  )

  it("streamToString adds BufferOverflow to the stream's own failures, and nothing else", () => {
    class Foreign extends Data.TaggedError("Foreign")<{}> {}
    expectTypeOf(StreamSource.streamToString(Stream.fail(new Foreign()))).toEqualTypeOf<
      Effect.Effect<string, Foreign | StreamError.StreamErrorOf<"BufferOverflow">>
    >()
  })
})
