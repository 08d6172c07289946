import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Duration, Effect, Exit, Fiber, Layer, Logger, Option, Scheduler, Scope, Stream } from "effect"
import { FetchHttpClient, type HttpServerResponse } from "effect/http"
import { TestClock } from "effect/testing"
import * as GracefulShutdown from "../../src/serve/GracefulShutdown.ts"
import * as NdjsonResponse from "../../src/serve/NdjsonResponse.ts"
import * as Responder from "../../src/serve/Responder.ts"
import * as SseResponse from "../../src/serve/SseResponse.ts"
import * as StreamClient from "../../src/serve/StreamClient.ts"
import * as TextResponse from "../../src/serve/TextResponse.ts"
import * as StreamCallbacks from "../../src/StreamCallbacks.ts"
import * as StreamError from "../../src/StreamError.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as StreamHandler from "../../src/StreamHandler.ts"
import * as StreamModel from "../../src/StreamModel.ts"
import type * as StreamResult from "../../src/StreamResult.ts"
import * as StreamSource from "../../src/StreamSource.ts"
import * as OpenAiChat from "../../src/wire/OpenAiChat.ts"
import * as Backend from "../support/backend.ts"
import * as Loopback from "../support/loopback.ts"
import { collect, reasonOf } from "../support/run.ts"

const start = StreamEvent.start(0)
const hello = StreamEvent.delta(0, "Hello")
const end = StreamEvent.end(0, "stop")
const secret = "sk-very-secret at 10.0.0.7"

const providerFailure = (fields?: Partial<StreamError.ProviderFailure>) =>
  StreamError.make({ _tag: "ProviderFailure", provider: "p", message: secret, isRetryable: false, ...fields })

type Response = HttpServerResponse.HttpServerResponse

const bodyOf = (response: Response): Stream.Stream<string, unknown> => {
  assert.strictEqual(response.body._tag, "Stream")
  return Stream.decodeText(response.body._tag === "Stream" ? response.body.stream : Stream.empty)
}

const jsonOf = (response: Response): unknown => {
  assert.strictEqual(response.body._tag, "Uint8Array")
  return response.body._tag === "Uint8Array" ? JSON.parse(new TextDecoder().decode(response.body.body)) : undefined
}

/** A silent source; `released` says how it was let go. */
const silent = Effect.map(Deferred.make<Exit.Exit<unknown, unknown>>(), (released) => ({
  released,
  events: Stream.never.pipe(Stream.onExit((exit) => Deferred.succeed(released, exit)))
}))

const quiet = Effect.provide(Logger.layer([]))

describe("when it begins", () => {
  it.effect("a failure before the first event has a status, and shows nothing of its cause", () =>
    Effect.gen(function* () {
      const cases: ReadonlyArray<readonly [unknown, number, Responder.Exposed]> = [
        [
          providerFailure({ status: 401 }),
          502,
          { code: "ProviderFailure", message: "The model could not answer", isRetryable: false }
        ],
        [
          providerFailure({ status: 429, isRetryable: true }),
          429,
          { code: "ProviderFailure", message: "The model could not answer", isRetryable: true }
        ],
        [
          providerFailure({ status: 500, isRetryable: true }),
          503,
          { code: "ProviderFailure", message: "The model could not answer", isRetryable: true }
        ],
        [
          StreamError.make({ _tag: "Timeout", phase: "start", duration: Duration.seconds(1) }),
          504,
          { code: "Timeout", message: "The model took too long", isRetryable: true }
        ],
        [
          StreamError.make({ _tag: "SourceFailure", cause: secret }),
          502,
          { code: "SourceFailure", message: "The answer broke off", isRetryable: true }
        ],
        [secret, 500, { code: "InternalError", message: "Something went wrong", isRetryable: false }]
      ]
      for (const [failure, status, exposed] of cases) {
        const response = yield* Stream.fail(failure).pipe(SseResponse.make())
        assert.strictEqual(response.status, status)
        assert.deepStrictEqual(jsonOf(response), { error: exposed })
        assert.strictEqual(response.headers["x-should-retry"], String(exposed.isRetryable))
      }
      const inBand = yield* Stream.make(StreamEvent.error(0, providerFailure())).pipe(SseResponse.make())
      assert.strictEqual(inBand.status, 502)
      const nothing = yield* Stream.empty.pipe(SseResponse.make())
      assert.strictEqual(nothing.status, 502)
      const defect = yield* Stream.die(secret).pipe(SseResponse.make())
      assert.strictEqual(defect.status, 500)
      assert.notInclude(JSON.stringify(jsonOf(defect)), secret)
    }).pipe(quiet, Effect.scoped)
  )

  it.effect("tells when to try again", () =>
    Effect.gen(function* () {
      const failure = providerFailure({ status: 429, isRetryable: true, retryAfter: Duration.millis(1500) })
      const response = yield* Stream.fail(failure).pipe(SseResponse.make())
      assert.strictEqual(response.headers["retry-after"], "2")
    }).pipe(quiet, Effect.scoped)
  )

  it.effect("waits for the first event for as long as it takes, or for a while", () =>
    Effect.gen(function* () {
      const { events } = yield* silent
      const patient = yield* Effect.forkChild(events.pipe(SseResponse.make()), { startImmediately: true })
      yield* TestClock.adjust("1 hour")
      assert.isUndefined(patient.pollUnsafe())

      const hasty = yield* Effect.forkChild(events.pipe(SseResponse.make({ status: "2 seconds" })), {
        startImmediately: true
      })
      yield* TestClock.adjust("1999 millis")
      assert.isUndefined(hasty.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      const exit = hasty.pollUnsafe()
      const response = yield* exit!
      assert.strictEqual(response.status, 200)
      const first = yield* Stream.runHead(bodyOf(response))
      assert.deepStrictEqual(first, Option.some(": keep-alive\n\n"))
    }).pipe(Effect.scoped)
  )

  it.live("sends its headers at once, also where no sign of life can be shown", () =>
    Effect.gen(function* () {
      const { events } = yield* silent
      const url = yield* Backend.serve(events.pipe(TextResponse.make({ status: "1 millis" })))
      const client = yield* Backend.connect(url)
      const head = yield* client.until((received) => received.includes("\r\n\r\n"))
      assert.match(head, /^HTTP\/1.1 200 OK/)
      assert.include(head.toLowerCase(), "x-accel-buffering: no")
      assert.include(head.toLowerCase(), "cache-control: no-cache, no-transform")
    }).pipe(Effect.scoped)
  )

  it("throws for impossible options", () => {
    assert.throws(() => SseResponse.make({ heartbeat: 0 }), RangeError, "heartbeat")
    assert.throws(() => SseResponse.make({ status: "-1 seconds" }), RangeError, "status")
  })
})

describe("heartbeats", () => {
  it.effect("come when nothing was sent for a while, whatever the source says that shows nothing", () =>
    Effect.gen(function* () {
      const pings = Stream.tick("4 seconds").pipe(
        Stream.drop(1),
        Stream.map(() => StreamEvent.progress(0, "ping"))
      )
      const encoding = (): Responder.Encoding => ({
        contentType: "text/plain",
        event: (event) => (event._tag === "Delta" ? event.delta : ""),
        heartbeat: "."
      })
      const events = Stream.concat(Stream.make(start, hello), pings)
      const response = yield* events.pipe(Responder.make(encoding, { heartbeat: "10 seconds" }))
      let text = ""
      yield* Effect.forkChild(
        Stream.runForEach(bodyOf(response), (chunk) => Effect.sync(() => (text += chunk))),
        { startImmediately: true }
      )
      yield* TestClock.adjust(0)
      assert.strictEqual(text, "Hello")
      yield* TestClock.adjust("9 seconds")
      assert.strictEqual(text, "Hello")
      yield* TestClock.adjust("1 seconds")
      assert.strictEqual(text, "Hello.")
      for (let i = 0; i < 30; i++) yield* TestClock.adjust("1 seconds")
      assert.strictEqual(text, "Hello....")
    }).pipe(Effect.scoped)
  )

  it.effect("can be left out", () =>
    Effect.gen(function* () {
      const events = Stream.concat(Stream.make(start), Stream.never)
      const response = yield* events.pipe(SseResponse.make({ heartbeat: Infinity }))
      let count = 0
      yield* Effect.forkChild(
        Stream.runForEach(bodyOf(response), () => Effect.sync(() => count++)),
        { startImmediately: true }
      )
      yield* TestClock.adjust("30 days")
      assert.strictEqual(count, 1)
    }).pipe(Effect.scoped)
  )
})

describe("a fiber that has to yield", () => {
  it.live("misses no event that comes in that moment", () =>
    Effect.gen(function* () {
      const tokens = async function* () {
        for (let n = 0; n < 30; n++) {
          if (n % 3 === 0) await Promise.resolve()
          if (n % 5 === 0) await new Promise(setImmediate)
          yield `${n} `
        }
      }
      const expected = Array.from({ length: 30 }, (_, n) => `${n} `).join("")
      const respond = StreamSource.fromAsyncIterable(tokens).pipe(StreamEvent.fromText, TextResponse.make())
      for (let operations = 3; operations < 30; operations++) {
        const text = yield* Effect.flatMap(respond, (response) => Stream.mkString(bodyOf(response))).pipe(
          Effect.scoped,
          Effect.provideService(Scheduler.MaxOpsBeforeYield, operations),
          Effect.timeoutOrElse({ duration: "2 seconds", orElse: () => Effect.succeed("nothing more comes") })
        )
        assert.strictEqual(text, expected, `yielding every ${operations} operations`)
      }
    })
  )
})

describe("a client that goes away", () => {
  it.live("interrupts the source, also before the first event", () =>
    Effect.gen(function* () {
      const { events, released } = yield* silent
      const url = yield* Backend.serve(events.pipe(SseResponse.make()))
      const client = yield* Backend.connect(url)
      yield* Effect.sleep("50 millis")
      client.leave()
      const exit = yield* Effect.timeout(Deferred.await(released), "1 seconds")
      assert.isTrue(Exit.hasInterrupts(exit))
    }).pipe(Effect.scoped)
  )

  it.live("interrupts the model and closes the provider's socket while only heartbeats flow", () =>
    Effect.gen(function* () {
      const provider = yield* Loopback.serve((response) => {
        Loopback.begin(response)
        response.write('data: {"choices":[{"delta":{"content":"Hel"}}]}\n\n')
      })
      const kept = yield* Deferred.make<StreamResult.StreamResult>()
      const model = OpenAiChat.layer({ baseUrl: provider.url, model: "m" }).pipe(Layer.provide(FetchHttpClient.layer))
      const saving = StreamCallbacks.layer({ onExit: (result) => Deferred.succeed(kept, result) })
      const route = StreamModel.stream({ prompt: "hi" }).pipe(
        StreamHandler.events(),
        SseResponse.make({ heartbeat: "5 millis" }),
        Effect.provide([model, saving])
      )
      const client = yield* Backend.connect(yield* Backend.serve(route))
      yield* client.until((received) => received.includes("Hel") && received.includes(": keep-alive"))
      client.leave()
      const result = yield* Effect.timeout(Deferred.await(kept), "1 seconds")
      assert.strictEqual(result.text, "Hel")
      assert.strictEqual(result.stats.outcome, "interrupted")
      yield* Effect.timeout(provider.requests[0]!.closed, "1 seconds")
    }).pipe(Effect.scoped)
  )

  it.live("lets it continue to its end, by choice, and lets it go then", () =>
    Effect.gen(function* () {
      const goOn = yield* Deferred.make<void>()
      const released = yield* Deferred.make<Exit.Exit<unknown, unknown>>()
      const seen: Array<string> = []
      const events = Stream.concat(
        Stream.make<ReadonlyArray<StreamEvent.StreamEvent>>(start, hello),
        Stream.fromEffect(Deferred.await(goOn)).pipe(Stream.flatMap(() => Stream.make(StreamEvent.delta(0, "!"), end)))
      ).pipe(
        Stream.tap((event) => Effect.sync(() => seen.push(event._tag))),
        Stream.onExit((exit) => Deferred.succeed(released, exit))
      )
      const url = yield* Backend.serve(events.pipe(SseResponse.make({ onDisconnect: "continue" })))
      const client = yield* Backend.connect(url)
      yield* client.until((received) => received.includes("Hello"))
      client.leave()
      yield* Effect.sleep("50 millis")
      assert.isFalse(yield* Deferred.isDone(released))
      yield* Deferred.succeed(goOn, undefined)
      const exit = yield* Effect.timeout(Deferred.await(released), "1 seconds")
      assert.isTrue(Exit.isSuccess(exit))
      assert.deepStrictEqual(seen, ["Start", "Delta", "Delta", "End"])
    }).pipe(Effect.scoped)
  )
})

it.effect("what fails behind the client is logged, in-band or not", () =>
  Effect.gen(function* () {
    for (const last of [Stream.fail(secret), Stream.make(StreamEvent.error(0, providerFailure()))]) {
      const logs: Array<unknown> = []
      const logger = Logger.make(({ message }) => void logs.push(message))
      const gate = yield* Deferred.make<void>()
      const rest = Stream.unwrap(Effect.as(Deferred.await(gate), last))
      const scope = yield* Scope.make()
      const response = yield* Stream.concat(Stream.make(start, hello), rest).pipe(
        SseResponse.make({ onDisconnect: "continue" }),
        Effect.provideService(Scope.Scope, scope),
        Effect.provide(Logger.layer([logger]))
      )
      yield* Stream.runDrain(Stream.take(bodyOf(response), 1))
      yield* Effect.provide(Scope.close(scope, Exit.void), Logger.layer([logger]))
      yield* Deferred.succeed(gate, undefined)
      for (let n = 0; n < 5; n++) yield* Effect.yieldNow
      assert.strictEqual(logs.length, 1)
    }
  })
)

it.effect("a source whose answer failed is let go with that failure", () =>
  Effect.gen(function* () {
    const exits: Array<string> = []
    const open = Effect.addFinalizer((exit) => Effect.sync(() => exits.push(exit._tag)))
    const endings: ReadonlyArray<Stream.Stream<StreamEvent.StreamEvent, string>> = [
      Stream.fail(secret),
      Stream.make(StreamEvent.error(0, providerFailure())),
      Stream.make(end)
    ]
    for (const last of endings) {
      const events = Stream.unwrap(Effect.as(open, Stream.concat(Stream.make(start, hello), last)))
      yield* Effect.flatMap(events.pipe(SseResponse.make()), (response) => Stream.runDrain(bodyOf(response))).pipe(
        Effect.scoped
      )
    }
    assert.deepStrictEqual(exits, ["Failure", "Failure", "Success"])
  }).pipe(quiet)
)

it.effect("a request that is interrupted at any moment leaves nothing that runs", () =>
  Effect.gen(function* () {
    const running = new Set<unknown>()
    const Running = {
      isOver: false,
      add: (end: () => void) => {
        running.add(end)
        return () => void running.delete(end)
      },
      fork: Effect.forkDetach
    }
    for (let yields = 0; yields < 20; yields++) {
      const scope = yield* Scope.make()
      const fiber = yield* Stream.never.pipe(
        SseResponse.make(),
        Effect.provideService(Scope.Scope, scope),
        Effect.provideService(GracefulShutdown.Running, Running),
        Effect.provideService(Scheduler.MaxOpsBeforeYield, 4),
        Effect.forkChild
      )
      for (let n = 0; n < yields; n++) yield* Effect.yieldNow
      yield* Fiber.interrupt(fiber)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(running.size, 0)
    }
  })
)

it.effect("where the source failed before the first event, nothing continues", () =>
  Effect.gen(function* () {
    const running = { isOver: false, add: () => () => {}, fork: () => Effect.die("There is nothing to run") }
    const response = yield* Stream.fail("boom").pipe(
      SseResponse.make({ onDisconnect: "continue" }),
      Effect.provideService(GracefulShutdown.Running, running),
      Effect.scoped
    )
    assert.strictEqual(response.status, 500)
  }).pipe(quiet)
)

describe("the end", () => {
  it.effect("is one terminal frame, and nothing is pulled behind it", () =>
    Effect.gen(function* () {
      let pulled = false
      const behind = Stream.fromEffect(Effect.sync(() => ((pulled = true), hello)))
      for (const last of [end, StreamEvent.error(0, providerFailure())]) {
        const events = Stream.make(start, hello, last, hello, end).pipe(Stream.concat(behind))
        const response = yield* events.pipe(NdjsonResponse.make())
        const text = yield* Stream.mkString(bodyOf(response))
        const tags = text
          .trim()
          .split("\n")
          .map((line) => (JSON.parse(line) as StreamEvent.StreamEvent)._tag)
        assert.deepStrictEqual(tags, ["Start", "Delta", last._tag])
        assert.notInclude(text, secret)
      }
      assert.isFalse(pulled)
    }).pipe(quiet, Effect.scoped)
  )

  it.live("lets the source go when the terminal frame was sent", () =>
    Effect.gen(function* () {
      const released = yield* Deferred.make<void>()
      const events = Stream.make(start, end).pipe(
        Stream.concat(Stream.never),
        Stream.ensuring(Deferred.succeed(released, undefined))
      )
      const url = yield* Backend.serve(events.pipe(SseResponse.make()))
      const client = yield* Backend.connect(url)
      yield* client.until((received) => received.endsWith("0\r\n\r\n"))
      yield* Effect.timeout(Deferred.await(released), "1 seconds")
    }).pipe(Effect.scoped)
  )

  it.live("a failure, and a stream that just stops, are errors at the client", () =>
    Effect.gen(function* () {
      const begun = Stream.make<ReadonlyArray<StreamEvent.StreamEvent>>(start, hello)
      const endings: ReadonlyArray<readonly [Stream.Stream<never, unknown>, string]> = [
        [Stream.empty, "Truncated"],
        [Stream.fail(secret), "InternalError"],
        [Stream.die(secret), "InternalError"],
        [Stream.fromEffect(Effect.interrupt), "InternalError"],
        [Stream.fail(providerFailure()), "ProviderFailure"]
      ]
      for (const [ending, code] of endings) {
        const events = Stream.concat(begun, ending)
        const sse = yield* Backend.serve(events.pipe(SseResponse.make()))
        const { events: received, failure } = yield* collect(StreamClient.events(sse))
        assert.deepStrictEqual(
          received.map((event) => event._tag),
          ["Start", "Delta"]
        )
        const reason = reasonOf(failure, "ProviderFailure")
        assert.strictEqual(reason.code, code)
        assert.notInclude(JSON.stringify(reason), secret)

        const text = yield* Backend.serve(events.pipe(TextResponse.make()))
        const whole = yield* Effect.exit(Effect.tryPromise(() => fetch(text).then((response) => response.text())))
        assert.isTrue(Exit.isFailure(whole))
      }
    }).pipe(Effect.provide(FetchHttpClient.layer), Effect.scoped)
  )

  it.live("what came before a connection breaks off arrives", () =>
    Effect.gen(function* () {
      const url = yield* Backend.serve(Stream.make(start, hello).pipe(TextResponse.make()))
      const client = yield* Backend.connect(url)
      yield* client.closed
      assert.match(client.received(), /^HTTP\/1\.1 200 OK\r\n[^]*\r\n5\r\nHello\r\n$/)
    }).pipe(Effect.scoped)
  )

  it.effect("what cannot be written is a failure behind what could", () =>
    Effect.gen(function* () {
      const result = StreamEvent.toolResult(0, { id: "1", name: "t", output: 1n, isError: false })
      const response = yield* Stream.make(start, hello, result, end).pipe(NdjsonResponse.make())
      const text = yield* Stream.mkString(bodyOf(response))
      assert.deepStrictEqual(
        text
          .trim()
          .split("\n")
          .map((line) => (JSON.parse(line) as StreamEvent.StreamEvent)._tag),
        ["Start", "Delta", "Error"]
      )
    }).pipe(quiet, Effect.scoped)
  )

  it.effect("where it breaks off, the cause is logged and the source let go before", () =>
    Effect.gen(function* () {
      const seen: Array<unknown> = []
      const logger = Logger.make(({ cause }) => void seen.push(Cause.squash(cause)))
      const events = Stream.concat(Stream.make(start, hello), Stream.fail("boom")).pipe(
        Stream.ensuring(Effect.sync(() => seen.push("released")))
      )
      const exit = yield* Effect.gen(function* () {
        const response = yield* events.pipe(TextResponse.make())
        const exit = yield* Effect.exit(Stream.runDrain(bodyOf(response)))
        seen.push("read")
        return exit
      }).pipe(Effect.provide(Logger.layer([logger])))
      assert.isTrue(Exit.isFailure(exit))
      assert.deepStrictEqual(seen, ["released", "boom", "read"])
    }).pipe(Effect.scoped)
  )

  it.effect("of a failure the operator gets the cause, the client what `expose` says", () =>
    Effect.gen(function* () {
      const logged: Array<unknown> = []
      const logger = Logger.make(({ cause, message }) => void logged.push(message, Cause.squash(cause)))
      const expose = (error: unknown) => ({ code: "mine", message: String(error).toUpperCase(), isRetryable: true })
      const text = yield* Effect.gen(function* () {
        const events = Stream.concat(Stream.make(start), Stream.fail("boom"))
        const response = yield* events.pipe(NdjsonResponse.make({ expose }))
        return yield* Stream.mkString(bodyOf(response))
      }).pipe(Effect.provide(Logger.layer([logger])))
      assert.deepInclude(JSON.parse(text.split("\n")[1]!).error.reason, {
        code: "mine",
        message: "BOOM",
        isRetryable: true
      })
      assert.deepStrictEqual(logged, [["A stream that was being served has failed"], "boom"])
    }).pipe(Effect.scoped)
  )
})

describe("back-pressure", () => {
  it.live("a client that does not read stops the pull", () =>
    Effect.gen(function* () {
      let pulled = 0
      const big = StreamEvent.delta(0, "x".repeat(16_000))
      const events = Stream.fromEffectRepeat(Effect.sync(() => (pulled++, big)))
      const url = yield* Backend.serve(events.pipe(SseResponse.make()))
      const client = yield* Backend.connect(url)
      yield* client.until((received) => received.length > 50_000)
      client.pause()
      let before = -1
      for (let i = 0; i < 100 && before !== pulled; i++) {
        before = pulled
        yield* Effect.sleep("100 millis")
      }
      assert.strictEqual(pulled, before)
    }).pipe(Effect.scoped)
  )

  it.effect("nothing is pulled before it is read", () =>
    Effect.gen(function* () {
      let pulled = 0
      const events = Stream.fromEffectRepeat(Effect.sync(() => (pulled++, hello)))
      const response = yield* events.pipe(SseResponse.make())
      assert.strictEqual(pulled, 1)
      yield* Stream.runDrain(Stream.take(bodyOf(response), 3))
      assert.isAtMost(pulled, 4)
    }).pipe(Effect.scoped)
  )
})

it.effect("the scope of the request lets the source go", () =>
  Effect.gen(function* () {
    const released = yield* Deferred.make<void>()
    const scope = yield* Scope.make()
    const events = Stream.concat(Stream.make(start), Stream.never).pipe(
      Stream.ensuring(Deferred.succeed(released, undefined))
    )
    yield* Scope.provide(events.pipe(SseResponse.make()), scope)
    assert.isFalse(yield* Deferred.isDone(released))
    yield* Scope.close(scope, Exit.void)
    assert.isTrue(yield* Deferred.isDone(released))
  })
)
