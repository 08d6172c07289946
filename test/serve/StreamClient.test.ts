import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Layer, Logger, Schema, Stream } from "effect"
import { FetchHttpClient, HttpClientRequest } from "effect/http"
import { createServer } from "node:net"
import type { AddressInfo } from "node:net"
import * as NdjsonResponse from "../../src/serve/NdjsonResponse.ts"
import * as Responder from "../../src/serve/Responder.ts"
import * as SseResponse from "../../src/serve/SseResponse.ts"
import * as StreamClient from "../../src/serve/StreamClient.ts"
import * as StreamError from "../../src/StreamError.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as StreamHandler from "../../src/StreamHandler.ts"
import * as StreamArbitrary from "../../src/testing/StreamArbitrary.ts"
import * as StreamLaws from "../../src/testing/StreamLaws.ts"
import * as Backend from "../support/backend.ts"
import * as Loopback from "../support/loopback.ts"
import { collect, reasonOf } from "../support/run.ts"

const encode = Schema.encodeSync(StreamEvent.StreamEvent)

/** What JSON leaves of events: a field that is undefined is one that is not there. */
const inJson = (events: ReadonlyArray<StreamEvent.StreamEvent>): unknown =>
  JSON.parse(JSON.stringify(events.map((event) => encode(event))))

/** The responders of this library's own events, each with what reads it. */
const formats = [
  {
    name: "SseResponse",
    respond: SseResponse.make,
    decode: StreamClient.decode,
    frameOf: (json: string) => `data: ${json}\n\n`,
    alive: ": ping\n\n"
  },
  {
    name: "NdjsonResponse",
    respond: NdjsonResponse.make,
    decode: StreamClient.decodeLines,
    frameOf: (json: string) => `${json}\n`,
    alive: "\n"
  }
]

const written = <E>(events: Stream.Stream<StreamEvent.StreamEvent, E>, respond: (typeof formats)[number]["respond"]) =>
  Effect.gen(function* () {
    const { body } = yield* events.pipe(respond())
    assert.strictEqual(body._tag, "Stream")
    return yield* Stream.mkUint8Array(body._tag === "Stream" ? body.stream : Stream.empty)
  }).pipe(Effect.provide(Logger.layer([])), Effect.scoped)

const frameOf = (event: StreamEvent.StreamEvent | undefined): string => `data: ${JSON.stringify(event)}\n\n`

const quiet = Layer.mergeAll(FetchHttpClient.layer, Logger.layer([]))

const usage = { inputTokens: { total: 3, cacheRead: 1 }, outputTokens: { total: 5, reasoning: 2 } }

/** Every kind of event, with every field, and text that would break a framing. */
const hostile = 'a\r\n\r\ndata: {"_tag":"End"}\n\nevent: x\nid: 1\n\0\ud83d</script>\u2028: \ufeff'
const every: ReadonlyArray<StreamEvent.StreamEvent> = [
  StreamEvent.start(1, { id: hostile, model: "m" }),
  StreamEvent.delta(2, hostile, hostile),
  StreamEvent.reasoning(3, hostile, "0"),
  StreamEvent.refusal(4, hostile),
  StreamEvent.toolCallDelta(5, "c", hostile, hostile),
  StreamEvent.toolCall(6, { id: "c", name: hostile, argumentsText: "{}", input: { [hostile]: [hostile, null] } }),
  StreamEvent.toolResult(7, { id: "c", name: "t", output: { deep: [hostile] }, isError: true }),
  StreamEvent.metadata(8, "finish", {
    usage,
    finishReason: "stop",
    providerFinishReason: hostile,
    metadata: { [hostile]: hostile }
  }),
  StreamEvent.progress(9, hostile),
  StreamEvent.end(10, "stop")
]

describe.each(formats)("decode . encode of $name", ({ alive, decode, frameOf, respond }) => {
  it.effect("is the identity on every kind of event, whatever the text in it", () =>
    Effect.gen(function* () {
      const handled = yield* Stream.runCollect(Stream.fromArray(every).pipe(StreamHandler.events()))
      const bytes = yield* written(Stream.fromArray(handled), respond)
      const { events, failure } = yield* collect(Stream.make(bytes).pipe(decode()))
      assert.isUndefined(failure)
      assert.deepStrictEqual(inJson(events), inJson(handled))
    })
  )

  it.effect.prop("is the identity on whole answers", { input: StreamArbitrary.events() }, ({ input }) =>
    Effect.gen(function* () {
      const terminal = input.items.findIndex(StreamEvent.isTerminal)
      const isFailure = terminal === -1 || input.items[terminal]!._tag === "Error"
      const ending = input.failure === undefined ? Stream.empty : Stream.fail(input.failure)
      const bytes = yield* written(Stream.concat(Stream.fromArray(input.items), ending), respond)
      const { events, failure } = yield* collect(Stream.make(bytes).pipe(decode()))
      const sent = isFailure ? input.items.filter((event) => !StreamEvent.isTerminal(event)) : input.items
      assert.deepStrictEqual(inJson(events), inJson(sent))
      assert.strictEqual(failure !== undefined, isFailure)
    })
  )

  const bytes = [every[1], every[9]].map((event) => frameOf(JSON.stringify(event))).join(alive)
  it.effect.prop(
    "does not depend on how the bytes arrive",
    { input: StreamArbitrary.splits(new TextEncoder().encode(bytes)) },
    ({ input }) => StreamLaws.all(decode(), input)
  )

  it.effect("a cut, wherever it is, is no end", () =>
    Effect.gen(function* () {
      const bytes = yield* written(Stream.make(StreamEvent.delta(0, "é😀"), StreamEvent.end(0, "stop")), respond)
      for (let length = 0; length < bytes.length - (alive === "\n" ? 1 : 2); length++) {
        const { failure } = yield* collect(Stream.make(bytes.subarray(0, length)).pipe(decode()))
        reasonOf(failure, "Truncated")
      }
    })
  )

  it.effect("signs of life are Progress", () =>
    Effect.gen(function* () {
      const text = `${alive}${frameOf(JSON.stringify(every[1]))}${alive}${frameOf(JSON.stringify(every.at(-1)))}`
      const { events } = yield* collect(Stream.make(text).pipe(decode()))
      assert.deepStrictEqual(
        events.map((event) => event._tag),
        ["Progress", "Delta", "Progress", "End"]
      )
    })
  )

  it.effect("a frame that is no event is MalformedFrame, one that is too large FrameTooLarge", () =>
    Effect.gen(function* () {
      const first = frameOf(JSON.stringify(every[0]))
      for (const bad of ["{", "1", '{"_tag":"Delta"}', '{"_tag":"Other","timestamp":0}']) {
        const { events, failure } = yield* collect(Stream.make(`${first}${frameOf(bad)}`).pipe(decode()))
        assert.strictEqual(events.length, 1)
        assert.strictEqual(reasonOf(failure, "MalformedFrame").offset, first.length)
      }
      assert.throws(() => decode({ maxEventSize: 0 }), RangeError)
      // What counts is the event without what ends it.
      const size = first.trimEnd().length
      const [fits, large] = yield* Effect.all(
        [size, size - 1].map((maxEventSize) => collect(Stream.make(first).pipe(decode({ maxEventSize }))))
      )
      assert.deepStrictEqual([fits?.events.length, fits?.failure?.reason._tag], [1, "Truncated"])
      assert.strictEqual(reasonOf(large?.failure, "FrameTooLarge").limit, size - 1)
    })
  )

  it.live("`events` knows which it is", () =>
    Effect.gen(function* () {
      const url = yield* Backend.serve(Stream.fromArray(every).pipe(respond()))
      const { events, failure } = yield* collect(StreamClient.events(url))
      assert.isUndefined(failure)
      assert.deepStrictEqual(inJson(events), inJson(every))
    }).pipe(Effect.provide(quiet), Effect.scoped)
  )
})

describe("a failure", () => {
  it.live("before the first event is that which the backend shows", () =>
    Effect.gen(function* () {
      for (const isRetryable of [false, true]) {
        const reason = { _tag: "ProviderFailure", provider: "p", message: "secret", isRetryable } as const
        const url = yield* Backend.serve(Stream.fail(StreamError.make(reason)).pipe(SseResponse.make()))
        const { events, failure } = yield* collect(StreamClient.events(url))
        assert.deepStrictEqual(events, [])
        assert.deepInclude(reasonOf(failure, "ProviderFailure"), {
          provider: "server",
          status: isRetryable ? 503 : 502,
          code: "ProviderFailure",
          message: "The model could not answer",
          isRetryable
        })
      }
    }).pipe(Effect.provide(quiet), Effect.scoped)
  )

  it.live("is Truncated where the response stops, SourceFailure where the connection breaks", () =>
    Effect.gen(function* () {
      const frames = every.slice(0, 2).map(frameOf)
      for (const [stop, tag] of [
        [(response: { end: () => void }) => response.end(), "Truncated"],
        [undefined, "SourceFailure"]
      ] as const) {
        const server = yield* Loopback.serve((response, request) => {
          Loopback.begin(response)
          response.write(`${frames.join("")}data: {"_tag":"De`, () =>
            stop ? stop(response) : setTimeout(request.reset, 50)
          )
        })
        const { events, failure } = yield* collect(StreamClient.events(server.url))
        assert.deepStrictEqual(inJson(events), inJson(every.slice(0, 2)))
        assert.strictEqual(failure?.reason._tag, tag)
      }
    }).pipe(Effect.provide(quiet), Effect.scoped)
  )

  it.live("is SourceFailure where nobody listens", () =>
    Effect.gen(function* () {
      const port = yield* Effect.promise(
        () =>
          new Promise<number>((resolve) => {
            const server = createServer().listen(0, "127.0.0.1", () => {
              const { port } = server.address() as AddressInfo
              server.close(() => resolve(port))
            })
          })
      )
      const { failure } = yield* collect(StreamClient.events(new URL(`http://127.0.0.1:${port}/`)))
      reasonOf(failure, "SourceFailure")
    }).pipe(Effect.provide(quiet))
  )
})

describe("a request", () => {
  it.live("is sent as it is given, and aborted when the stream is left", () =>
    Effect.gen(function* () {
      const server = yield* Loopback.serve((response) => {
        Loopback.begin(response)
        response.write(`: keep-alive\n\n${frameOf(every[0])}`)
      })
      const request = HttpClientRequest.post(`${server.url}/chat`, { headers: { "x-mine": "1" } })
      const first = yield* Stream.runCollect(Stream.take(StreamClient.events(request), 2))
      assert.deepStrictEqual(
        first.map((event) => event._tag),
        ["Progress", "Start"]
      )
      const { closed, headers, url } = server.requests[0]!
      assert.strictEqual(url, "/chat")
      assert.strictEqual(headers["x-mine"], "1")
      assert.strictEqual(headers.accept, "text/event-stream, application/x-ndjson")
      yield* Effect.timeout(closed, "1 seconds")
    }).pipe(Effect.provide(quiet), Effect.scoped)
  )

  it.live("reaches the model's failure through two backends, and what is left interrupts it", () =>
    Effect.gen(function* () {
      const released = yield* Deferred.make<void>()
      const source = Stream.make(...every.slice(0, 3)).pipe(
        Stream.concat(Stream.never),
        Stream.ensuring(Deferred.succeed(released, undefined))
      )
      const back = yield* Backend.serve(source.pipe(SseResponse.make()))
      const front = yield* Backend.serve(
        StreamClient.events(back).pipe(SseResponse.make(), Effect.provide(FetchHttpClient.layer))
      )
      const events = yield* Stream.runCollect(Stream.take(StreamClient.events(front), 3))
      assert.deepStrictEqual(inJson(events), inJson(every.slice(0, 3)))
      yield* Effect.timeout(Deferred.await(released), "1 seconds")
    }).pipe(Effect.provide(quiet), Effect.scoped)
  )
})

it("of a failure there is one form for a client", () => {
  const event = Responder.failureEvent({ code: "c", message: "m", isRetryable: true }, 5)
  const decoded = Schema.decodeSync(StreamEvent.StreamEvent)(event)
  assert.strictEqual(decoded._tag === "Error" ? decoded.error.message : "", "server reported c: m")
})
