import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Stream } from "effect"
import { FetchHttpClient } from "effect/http"
import * as SseResponse from "../../src/serve/SseResponse.ts"
import * as StreamClient from "../../src/serve/StreamClient.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as Backend from "../support/backend.ts"
import * as Nginx from "../support/nginx.ts"
import { collect, reasonOf } from "../support/run.ts"

const start = StreamEvent.start(0)
const hello = StreamEvent.delta(0, "Hello")
const end = StreamEvent.end(0, "stop")
const begun = Stream.make<ReadonlyArray<StreamEvent.StreamEvent>>(start, hello)

const tagsOf = (events: ReadonlyArray<StreamEvent.StreamEvent>) => events.map((event) => event._tag)

describe.skipIf(Nginx.isMissing)("through nginx as it is installed", () => {
  it.live("each event comes when it is sent, not when the answer is whole", () =>
    Effect.gen(function* () {
      const seen = yield* Effect.all([Deferred.make<void>(), Deferred.make<void>()])
      const events = begun.pipe(
        Stream.concat(Stream.fromEffect(Effect.as(Deferred.await(seen[0]), hello))),
        Stream.concat(Stream.fromEffect(Effect.as(Deferred.await(seen[1]), end)))
      )
      const url = yield* Nginx.proxy(yield* Backend.serve(events.pipe(SseResponse.make())))
      let count = 0
      const received = yield* StreamClient.events(url).pipe(
        Stream.tap((event) => (event._tag === "Delta" ? Deferred.succeed(seen[count++]!, undefined) : Effect.void)),
        collect,
        Effect.timeout("10 seconds")
      )
      assert.isUndefined(received.failure)
      assert.deepStrictEqual(tagsOf(received.events), ["Start", "Delta", "Delta", "End"])
    }).pipe(Effect.provide(FetchHttpClient.layer), Effect.scoped)
  )

  it.live("a client that goes away interrupts the model within a second", () =>
    Effect.gen(function* () {
      const released = yield* Deferred.make<Exit.Exit<unknown, unknown>>()
      const events = Stream.concat(begun, Stream.never).pipe(Stream.onExit((exit) => Deferred.succeed(released, exit)))
      const url = yield* Nginx.proxy(yield* Backend.serve(events.pipe(SseResponse.make({ heartbeat: "100 millis" }))))
      const client = yield* Backend.connect(url)
      yield* client.until((received) => received.includes("Hello") && received.includes(": keep-alive"))
      client.leave()
      const exit = yield* Effect.timeout(Deferred.await(released), "1 seconds")
      assert.isTrue(Exit.hasInterrupts(exit))
    }).pipe(Effect.scoped)
  )

  it.live(
    "a minute of silence is survived with heartbeats; without them it is an error, not an end",
    () =>
      Effect.gen(function* () {
        // nginx gives up on a backend that is silent for 60 seconds.
        const silence = Stream.fromEffect(Effect.as(Effect.sleep("62 seconds"), end))
        const ask = (heartbeat: "15 seconds" | "1 hour") =>
          Effect.gen(function* () {
            const events = Stream.concat(begun, silence)
            const backend = yield* Backend.serve(events.pipe(SseResponse.make({ heartbeat })))
            return yield* collect(StreamClient.events(yield* Nginx.proxy(backend)))
          })
        const [kept, cut] = yield* Effect.all([ask("15 seconds"), ask("1 hour")], { concurrency: 2 })
        assert.isUndefined(kept.failure)
        assert.deepStrictEqual(tagsOf(kept.events.filter((event) => event._tag !== "Progress")), [
          "Start",
          "Delta",
          "End"
        ])
        assert.deepStrictEqual(tagsOf(cut.events), ["Start", "Delta"])
        assert.include(["Truncated", "SourceFailure"], cut.failure?.reason._tag)
      }).pipe(Effect.provide(FetchHttpClient.layer), Effect.scoped),
    90_000
  )

  it.live("before the first token heartbeats begin when `status` says so", () =>
    Effect.gen(function* () {
      const url = yield* Nginx.proxy(
        yield* Backend.serve(Stream.never.pipe(SseResponse.make({ status: "50 millis", heartbeat: "50 millis" })))
      )
      const client = yield* Backend.connect(url)
      const received = yield* client.until((received) => received.split(": keep-alive").length > 2)
      assert.match(received, /^HTTP\/1.1 200 OK/)
    }).pipe(Effect.scoped)
  )

  it.live("a failure is an error at the client", () =>
    Effect.gen(function* () {
      const failing = Stream.concat(begun, Stream.fail("boom"))
      const sse = yield* Nginx.proxy(yield* Backend.serve(failing.pipe(SseResponse.make())))
      const { events, failure } = yield* collect(StreamClient.events(sse))
      assert.deepStrictEqual(tagsOf(events), ["Start", "Delta"])
      assert.strictEqual(reasonOf(failure, "ProviderFailure").code, "InternalError")

      const early = yield* Nginx.proxy(yield* Backend.serve(Stream.fail("boom").pipe(SseResponse.make())))
      assert.strictEqual((yield* Effect.promise(() => fetch(early))).status, 500)
    }).pipe(Effect.provide(FetchHttpClient.layer), Effect.scoped)
  )
})
