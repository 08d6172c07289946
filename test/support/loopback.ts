/** A real HTTP server on loopback, that a test tells how to behave. */
import { Effect, type Scope } from "effect"
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"

export interface Request {
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
  /** Done when the connection's response is over: sent, or given up by the client. */
  readonly closed: Effect.Effect<void>
  /** Ends the connection with a TCP reset. */
  readonly reset: () => void
}

export interface Loopback {
  readonly url: string
  readonly requests: ReadonlyArray<Request>
}

/** Runs until the scope closes, with whatever connections are still open. */
export const serve = (
  respond: (response: ServerResponse, request: Request) => void
): Effect.Effect<Loopback, never, Scope.Scope> =>
  Effect.gen(function* () {
    const requests: Array<Request> = []
    const server = createServer((incoming, response) => {
      const closed = new Promise<void>((resolve) => response.once("close", resolve))
      const chunks: Array<Buffer> = []
      incoming.on("data", (chunk) => chunks.push(chunk))
      incoming.on("end", () => {
        const request: Request = {
          url: incoming.url ?? "",
          headers: incoming.headers,
          body: Buffer.concat(chunks).toString(),
          closed: Effect.promise(() => closed),
          reset: () => incoming.socket.resetAndDestroy()
        }
        requests.push(request)
        respond(response, request)
      })
    })
    yield* Effect.acquireRelease(
      Effect.promise(() => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))),
      () =>
        Effect.promise(
          () =>
            new Promise<unknown>((resolve) => {
              server.close(resolve)
              server.closeAllConnections()
            })
        )
    )
    return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests }
  })

/** The head of a stream of server-sent events, sent at once. */
export const begin = (response: ServerResponse, headers?: Readonly<Record<string, string>>): void => {
  response.writeHead(200, { "content-type": "text/event-stream", ...headers })
  response.flushHeaders()
}

/** Sends one byte per packet, each when the one before is on its way. */
export const trickle = (response: ServerResponse, bytes: Uint8Array): void => {
  response.socket?.setNoDelay(true)
  let at = 0
  const next = (): void => {
    if (response.destroyed) return
    if (at === bytes.length) response.end()
    else response.write(bytes.subarray(at, ++at), () => setImmediate(next))
  }
  next()
}

/** Sends the same bytes for as long as the client takes them. */
export const flood = (response: ServerResponse, bytes: Uint8Array): void => {
  const next = (): void => {
    if (response.destroyed) return
    if (response.write(bytes)) setImmediate(next)
    else response.once("drain", next)
  }
  next()
}
