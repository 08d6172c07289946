import { NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, type Duration, Effect, Exit, Fiber, Layer, Logger, Scope, Stream } from "effect"
import { FetchHttpClient, HttpServer, type HttpServerRequest, type HttpServerResponse } from "effect/http"
import { createServer } from "node:http"
import * as GracefulShutdown from "../../src/serve/GracefulShutdown.ts"
import * as SseResponse from "../../src/serve/SseResponse.ts"
import * as StreamClient from "../../src/serve/StreamClient.ts"
import * as TextResponse from "../../src/serve/TextResponse.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as Backend from "../support/backend.ts"
import { collect, reasonOf } from "../support/run.ts"

const start = StreamEvent.start(0)
const hello = StreamEvent.delta(0, "Hello")
const end = StreamEvent.end(0, "stop")

/** A backend of one route that is told to stop. */
const serve = (
  route: Effect.Effect<HttpServerResponse.HttpServerResponse, never, Scope.Scope | HttpServerRequest.HttpServerRequest>,
  grace: Duration.Input,
  gracefulShutdownTimeout: Duration.Input = "9 seconds"
) =>
  Effect.gen(function* () {
    const scope = yield* Effect.acquireRelease(Scope.make(), Scope.close)
    const context = yield* Layer.buildWithScope(
      HttpServer.serve(route).pipe(
        GracefulShutdown.within(grace),
        Layer.provideMerge(
          // Node closes the connections that clients keep when these have been idle for so long.
          NodeHttpServer.layerServer(() => createServer({ keepAliveTimeout: 1, keepAliveTimeoutBuffer: 1 }), {
            port: 0,
            host: "127.0.0.1",
            gracefulShutdownTimeout
          })
        ),
        Layer.provide(Logger.layer([]))
      ),
      scope
    )
    const url = HttpServer.formatAddress(Context.get(context, HttpServer.HttpServer).address)
    return { url, stop: Scope.close(scope, Exit.void) }
  })

/** A stream that has begun and goes on when it is told to. */
const halting = Effect.gen(function* () {
  const goOn = yield* Deferred.make<void>()
  const released = yield* Deferred.make<Exit.Exit<unknown, unknown>>()
  const rest = Stream.fromEffect(Deferred.await(goOn)).pipe(Stream.map(() => end))
  const events = Stream.make<ReadonlyArray<StreamEvent.StreamEvent>>(start, hello).pipe(
    Stream.concat(rest),
    Stream.onExit((exit) => Deferred.succeed(released, exit))
  )
  return { events, goOn: Deferred.succeed(goOn, undefined), released: Deferred.await(released) }
})

/** A client that has got its first token. */
const ask = Effect.fnUntraced(function* (url: string) {
  const begun = yield* Deferred.make<void>()
  const client = yield* StreamClient.events(url).pipe(
    Stream.tap((event) => (event._tag === "Delta" ? Deferred.succeed(begun, undefined) : Effect.void)),
    collect,
    Effect.forkChild
  )
  yield* Deferred.await(begun)
  return client
})

const tagsOf = (events: ReadonlyArray<StreamEvent.StreamEvent>) => events.map((event) => event._tag)

const refused = (url: string) => Effect.exit(Effect.tryPromise(() => fetch(url)))

describe("a server that stops", () => {
  it.live("takes no new connection, and lets a response finish", () =>
    Effect.gen(function* () {
      const { events, goOn } = yield* halting
      const { stop, url } = yield* serve(events.pipe(SseResponse.make()), "1 minute")
      const client = yield* ask(url)
      const stopping = yield* Effect.forkChild(stop)
      yield* Effect.sleep("50 millis")
      assert.isTrue(Exit.isFailure(yield* refused(url)))
      yield* goOn
      const { events: received, failure } = yield* Fiber.join(client)
      assert.isUndefined(failure)
      assert.deepStrictEqual(tagsOf(received), ["Start", "Delta", "End"])
      // Long before the minute is over.
      yield* Effect.timeout(Fiber.join(stopping), "8 seconds")
    }).pipe(Effect.provide(FetchHttpClient.layer), Effect.scoped)
  )

  it.live("ends what is left with an error in-band, and interrupts its source", () =>
    Effect.gen(function* () {
      const { events, released } = yield* halting
      const { stop, url } = yield* serve(events.pipe(SseResponse.make()), "100 millis")
      const client = yield* ask(url)
      yield* Effect.timeout(stop, "8 seconds")
      const { events: received, failure } = yield* Fiber.join(client)
      assert.deepStrictEqual(tagsOf(received), ["Start", "Delta"])
      const reason = reasonOf(failure, "ProviderFailure")
      assert.deepInclude(reason, {
        code: "ServerShutdown",
        message: "The server is shutting down",
        isRetryable: true
      })
      assert.isTrue(Exit.hasInterrupts(yield* released))
    }).pipe(Effect.provide(FetchHttpClient.layer), Effect.scoped)
  )

  it.live("ends a response that is never without news", () =>
    Effect.gen(function* () {
      const events = Stream.concat(Stream.make(start), Stream.forever(Stream.make(hello)))
      const { stop, url } = yield* serve(events.pipe(SseResponse.make()), "50 millis")
      const client = yield* Effect.forkChild(collect(Stream.filter(StreamClient.events(url), StreamEvent.is("Start"))))
      yield* Effect.sleep("50 millis")
      yield* Effect.timeout(stop, "8 seconds")
      const { failure } = yield* Fiber.join(client)
      assert.strictEqual(reasonOf(failure, "ProviderFailure").code, "ServerShutdown")
    }).pipe(Effect.provide(FetchHttpClient.layer), Effect.scoped)
  )

  it.live("breaks off where a protocol has no error", () =>
    Effect.gen(function* () {
      const { events, released } = yield* halting
      const { stop, url } = yield* serve(events.pipe(TextResponse.make()), "50 millis")
      const client = yield* Effect.forkChild(
        Effect.exit(Effect.tryPromise(() => fetch(url).then((response) => response.text())))
      )
      yield* Effect.sleep("50 millis")
      yield* Effect.timeout(stop, "8 seconds")
      assert.isTrue(Exit.isFailure(yield* Fiber.join(client)))
      yield* released
    }).pipe(Effect.scoped)
  )

  it.live("answers 503 where nothing was sent yet", () =>
    Effect.gen(function* () {
      const released = yield* Deferred.make<void>()
      const events = Stream.never.pipe(Stream.ensuring(Deferred.succeed(released, undefined)))
      const { stop, url } = yield* serve(events.pipe(SseResponse.make()), "50 millis")
      const client = yield* Effect.forkChild(Effect.promise(() => fetch(url)))
      yield* Effect.sleep("50 millis")
      yield* Effect.timeout(stop, "8 seconds")
      const response = yield* Fiber.join(client)
      assert.strictEqual(response.status, 503)
      assert.strictEqual(response.headers.get("x-should-retry"), "true")
      assert.deepStrictEqual(yield* Effect.promise(() => response.json()), {
        error: { code: "ServerShutdown", message: "The server is shutting down", isRetryable: true }
      })
      yield* Deferred.await(released)
    }).pipe(Effect.scoped)
  )

  it.live("waits for what goes on without its client, for as long as for the others", () =>
    Effect.gen(function* () {
      for (const isDoneInTime of [true, false]) {
        const { events, goOn, released } = yield* halting
        const route = events.pipe(SseResponse.make({ onDisconnect: "continue" }))
        const { stop, url } = yield* serve(route, isDoneInTime ? "1 minute" : "100 millis")
        const client = yield* Backend.connect(url)
        yield* client.until((received) => received.includes("Hello"))
        client.leave()
        yield* Effect.sleep("50 millis")
        const stopping = yield* Effect.forkChild(stop)
        yield* Effect.sleep("50 millis")
        assert.isUndefined(stopping.pollUnsafe())
        if (isDoneInTime) yield* goOn
        yield* Effect.timeout(Fiber.join(stopping), "8 seconds")
        const exit = yield* Effect.timeout(released, 0)
        assert.strictEqual(Exit.isSuccess(exit), isDoneInTime)
      }
    }).pipe(Effect.scoped)
  )

  it.live("lets go of what would go on without a client that did not read, too", () =>
    Effect.gen(function* () {
      const released = yield* Deferred.make<Exit.Exit<unknown, unknown>>()
      const text = StreamEvent.delta(0, "t".repeat(300_000))
      const events = Stream.make<ReadonlyArray<StreamEvent.StreamEvent>>(start).pipe(
        Stream.concat(Stream.map(Stream.tick(10), () => text)),
        Stream.onExit((exit) => Deferred.succeed(released, exit))
      )
      const { stop, url } = yield* serve(
        events.pipe(SseResponse.make({ onDisconnect: "continue" })),
        "100 millis",
        "300 millis"
      )
      const client = yield* Backend.connect(url)
      client.pause()
      yield* Effect.sleep("300 millis")
      yield* stop
      const exit = yield* Effect.timeout(Deferred.await(released), "1 seconds")
      assert.isTrue(Exit.hasInterrupts(exit))
    }).pipe(Effect.scoped)
  )

  it.live("stops at once where nothing runs", () =>
    Effect.gen(function* () {
      const { stop, url } = yield* serve(Stream.make(start, hello, end).pipe(SseResponse.make()), "1 minute")
      const client = yield* Backend.connect(url)
      yield* client.until((received) => received.endsWith("0\r\n\r\n"))
      client.leave()
      yield* Effect.timeout(stop, "2 seconds")
    }).pipe(Effect.scoped)
  )

  it.live("does not wait for a client that does not read, but for the server's own patience", () =>
    Effect.gen(function* () {
      const released = yield* Deferred.make<void>()
      const events = Stream.forever(Stream.make(StreamEvent.delta(0, "x".repeat(16_000)))).pipe(
        Stream.ensuring(Deferred.succeed(released, undefined))
      )
      const { stop, url } = yield* serve(events.pipe(SseResponse.make()), "50 millis", "500 millis")
      const client = yield* Backend.connect(url)
      yield* client.until((received) => received.length > 50_000)
      client.pause()
      yield* Effect.timeout(stop, "8 seconds")
      assert.isTrue(yield* Deferred.isDone(released))
    }).pipe(Effect.scoped)
  )

  it.live("may have no time at all, but not less", () =>
    Effect.gen(function* () {
      assert.throws(() => GracefulShutdown.within("-1 millis"), RangeError, "0 or longer")
      const { events } = yield* halting
      const { stop, url } = yield* serve(events.pipe(SseResponse.make()), 0)
      const client = yield* ask(url)
      yield* Effect.timeout(stop, "8 seconds")
      const { failure } = yield* Fiber.join(client)
      assert.strictEqual(reasonOf(failure, "ProviderFailure").code, "ServerShutdown")
    }).pipe(Effect.provide(FetchHttpClient.layer), Effect.scoped)
  )
})
