/** A backend on a real Node HTTP server on loopback. */
import { NodeHttpServer } from "@effect/platform-node"
import { Context, Effect, Layer, Logger, type Scope } from "effect"
import { HttpServer, type HttpServerRequest, type HttpServerResponse } from "effect/http"
import { createServer } from "node:http"
import * as Net from "node:net"

/** Serves one route at every path; gives its address. What the backend logs is for nobody here. */
export const serve = (
  route: Effect.Effect<
    HttpServerResponse.HttpServerResponse,
    unknown,
    Scope.Scope | HttpServerRequest.HttpServerRequest
  >
): Effect.Effect<string, never, Scope.Scope> =>
  Layer.build(
    HttpServer.serve(route).pipe(
      Layer.provideMerge(
        NodeHttpServer.layerServer(createServer, { port: 0, host: "127.0.0.1", disablePreemptiveShutdown: true })
      ),
      Layer.provide(Logger.layer([]))
    )
  ).pipe(
    Effect.map((context) => HttpServer.formatAddress(Context.get(context, HttpServer.HttpServer).address)),
    Effect.orDie
  )

export interface Client {
  /** All that has come so far. */
  readonly received: () => string
  /** Waits until what has come passes. */
  readonly until: (test: (received: string) => boolean) => Effect.Effect<string>
  /** Resolved once the server has closed the connection. */
  readonly closed: Effect.Effect<void>
  readonly pause: () => void
  readonly leave: () => void
}

/** A client down to the bytes, that sends one request. */
export const connect = (url: string): Effect.Effect<Client, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const { hostname, pathname, port } = new URL(url)
      const socket = Net.connect(Number(port), hostname)
      let received = ""
      const waiting = new Set<() => void>()
      socket.setEncoding("utf8")
      socket.on("data", (text: string) => {
        received += text
        waiting.forEach((check) => check())
      })
      socket.on("error", () => {})
      const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()))
      socket.write(`GET ${pathname} HTTP/1.1\r\nhost: ${hostname}\r\n\r\n`)
      return {
        socket,
        received: () => received,
        until: (test: (received: string) => boolean) =>
          Effect.promise(
            () =>
              new Promise<string>((resolve) => {
                const check = (): void => {
                  if (!test(received)) return
                  waiting.delete(check)
                  resolve(received)
                }
                waiting.add(check)
                check()
              })
          ),
        closed: Effect.promise(() => closed),
        pause: () => void socket.pause(),
        leave: () => void socket.destroy()
      }
    }),
    ({ socket }) => Effect.sync(() => socket.destroy())
  )
