/** Events as they are in the streams of Effect's own HttpApi and Rpc, over a real server. */
import { NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Layer, Logger, Schema, Stream } from "effect"
import { HttpRouter } from "effect/http"
import { HttpApi, HttpApiBuilder, HttpApiClient, HttpApiEndpoint, HttpApiGroup, HttpApiSchema } from "effect/http-api"
import { Rpc, RpcClient, RpcGroup, RpcSerialization, RpcServer } from "effect/rpc"
import * as StreamError from "../src/StreamError.ts"
import * as StreamEvent from "../src/StreamEvent.ts"
import { collect, reasonOf } from "./support/run.ts"

const usage = { inputTokens: { total: 3 }, outputTokens: { total: 5 } }
const events: ReadonlyArray<StreamEvent.StreamEvent> = [
  StreamEvent.start(1),
  StreamEvent.delta(2, "a\n\ndata: \ud83d"),
  StreamEvent.toolCall(3, { id: "c", name: "t", argumentsText: "{}", input: {} }),
  StreamEvent.metadata(4, "finish", { usage, finishReason: "stop" }),
  StreamEvent.end(5, "stop")
]
const failure = StreamError.make({ _tag: "Truncated", expected: "its End event" })

const released = Deferred.makeUnsafe<Exit.Exit<unknown, unknown>>()

/** Whole, broken off or silent, as the prompt says. */
const answer = (prompt: string): Stream.Stream<StreamEvent.StreamEvent, StreamError.StreamError> => {
  if (prompt === "whole") return Stream.fromArray(events)
  const begun = Stream.fromArray(events.slice(0, 2))
  return prompt === "broken"
    ? Stream.concat(begun, Stream.fail(failure))
    : Stream.concat(begun, Stream.never).pipe(Stream.onExit((exit) => Deferred.succeed(released, exit)))
}

const inJson = (list: ReadonlyArray<StreamEvent.StreamEvent>): unknown => JSON.parse(JSON.stringify(list))

const check = <E extends StreamError.StreamError | object, R>(
  ask: (prompt: string) => Stream.Stream<StreamEvent.StreamEvent, E, R>
) =>
  Effect.gen(function* () {
    const whole = yield* collect(ask("whole"))
    assert.isUndefined(whole.failure)
    assert.deepStrictEqual(inJson(whole.events), inJson(events))
    const broken = yield* collect(ask("broken"))
    assert.deepStrictEqual(inJson(broken.events), inJson(events.slice(0, 2)))
    assert.isTrue(StreamError.isStreamError(broken.failure))
    if (StreamError.isStreamError(broken.failure)) {
      assert.strictEqual(reasonOf(broken.failure, "Truncated").expected, "its End event")
    }
    const left = yield* Stream.runCollect(Stream.take(ask("silent"), 2))
    assert.strictEqual(left.length, 2)
  })

describe("HttpApi", () => {
  const Api = HttpApi.make("api").add(
    HttpApiGroup.make("model").add(
      HttpApiEndpoint.get("ask", "/ask", {
        query: { prompt: Schema.String },
        success: HttpApiSchema.StreamSse({ data: StreamEvent.StreamEvent, error: StreamError.StreamError })
      })
    )
  )
  const Handlers = HttpApiBuilder.group(Api, "model", (handlers) =>
    handlers.handle("ask", ({ query }) => Effect.succeed(answer(query.prompt)))
  )
  const Server = HttpRouter.serve(HttpApiBuilder.layer(Api).pipe(Layer.provide(Handlers)), {
    disableLogger: true,
    disableListenLog: true
  }).pipe(Layer.provideMerge(NodeHttpServer.layerTest), Layer.provideMerge(Logger.layer([])))

  it.live("streams events and their failure, and interrupts the source when it is left", () =>
    Effect.gen(function* () {
      const client = yield* HttpApiClient.make(Api)
      yield* check((prompt) => Stream.unwrap(client.model.ask({ query: { prompt } })))
      const exit = yield* Effect.timeout(Deferred.await(released), "1 seconds")
      assert.isTrue(Exit.hasInterrupts(exit))
    }).pipe(Effect.provide(Server))
  )
})

describe("Rpc", () => {
  const Group = RpcGroup.make(
    Rpc.make("Ask", {
      payload: { prompt: Schema.String },
      success: StreamEvent.StreamEvent,
      error: StreamError.StreamError,
      stream: true
    })
  )
  const Handlers = Group.toLayer({ Ask: ({ prompt }) => answer(prompt) })
  const Server = HttpRouter.serve(
    RpcServer.layerHttp({ group: Group, path: "/", protocol: "http" }).pipe(Layer.provide(Handlers)),
    { disableLogger: true, disableListenLog: true }
  ).pipe(
    Layer.provideMerge(RpcClient.layerProtocolHttp({ url: "" })),
    Layer.provide(RpcSerialization.layerNdjson),
    Layer.provideMerge(NodeHttpServer.layerTest),
    Layer.provideMerge(Logger.layer([]))
  )

  it.live("streams events and their failure", () =>
    Effect.gen(function* () {
      const client = yield* RpcClient.make(Group)
      yield* check((prompt) => client.Ask({ prompt }))
    }).pipe(Effect.provide(Server), Effect.scoped)
  )
})
