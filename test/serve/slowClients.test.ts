import { NodeHttpServer } from "@effect/platform-node"
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Logger, Stream } from "effect"
import { HttpServer } from "effect/http"
import { once } from "node:events"
import { createServer } from "node:http"
import { connect, type Socket } from "node:net"
import * as SseResponse from "../../src/serve/SseResponse.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as Files from "../support/files.ts"
import { heapUsed } from "../support/heap.ts"

const count = 1_000

// Over a socket in the file system, whose buffers do not grow: on TCP the kernel alone would take some megabytes for each.
it.live(
  "1,000 clients that hardly read: what they do not read is not pulled, and memory stays flat",
  () =>
    Effect.gen(function* () {
      let pulled = 0
      let released = 0
      const text = "x".repeat(4_000)
      const events = Stream.fromEffectRepeat(Effect.sync(() => (pulled++, StreamEvent.delta(0, text)))).pipe(
        Stream.ensuring(Effect.sync(() => released++))
      )
      const path = (yield* Files.temporary)("socket")
      yield* Layer.build(
        HttpServer.serve(events.pipe(SseResponse.make())).pipe(
          Layer.provide(NodeHttpServer.layerServer(createServer, { path, disablePreemptiveShutdown: true })),
          Layer.provide(Logger.layer([]))
        )
      )
      const before = heapUsed()
      const sockets: Array<Socket> = []
      yield* Effect.addFinalizer(() => Effect.sync(() => sockets.forEach((socket) => socket.destroy())))
      // One after the other: the server's queue of those that knock holds 511.
      for (let i = 0; i < count; i++) {
        const socket = connect(path)
        yield* Effect.promise(() => once(socket, "connect"))
        socket.write("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        sockets.push(socket)
      }
      /** Waits until nothing more is pulled. */
      const settled = Effect.gen(function* () {
        for (let last = -1; last !== pulled;) {
          last = pulled
          yield* Effect.sleep("300 millis")
        }
        return { pulled, heap: heapUsed() - before }
      })
      const first = yield* settled
      // Each has got what a socket holds and no more.
      assert.isAbove(first.pulled, count)
      assert.isBelow(first.pulled, count * 300)

      let read = 0
      for (let round = 0; round < 3; round++) {
        for (const socket of sockets) read += socket.read(64_000)?.length ?? socket.read()?.length ?? 0
        yield* settled
      }
      const last = yield* settled
      assert.isAbove(read, count * 32_000)
      assert.isAbove(last.pulled, first.pulled)
      assert.isBelow(last.pulled, count * 300)
      assert.isBelow(last.heap, first.heap * 1.1 + 5)
      // 100 KB for each.
      assert.isBelow(last.heap, 100)

      sockets.forEach((socket) => socket.destroy())
      for (let i = 0; i < 100 && released < count; i++) yield* Effect.sleep("50 millis")
      assert.strictEqual(released, count)
    }).pipe(Effect.scoped),
  60_000
)
