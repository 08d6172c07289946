/**
 * This library's own events as lines of JSON, for clients that read streams but not server-sent events.
 *
 * Each event is one line; the last one is an `End` or an `Error`. An empty line keeps the connection alive.
 *
 * @since 0.1.0
 */
import type * as StreamEvent from "../StreamEvent.ts"
import * as Responder from "./Responder.ts"

const line = (event: StreamEvent.StreamEventEncoded): string => `${JSON.stringify(event)}\n`

/**
 * A response that streams events, a line each.
 *
 * **Details**
 *
 * A failure is an `Error` event, as in `SseResponse`.
 *
 * **Example** (Lines)
 *
 * ```ts
 * import { Stream } from "effect"
 * import { HttpEffect } from "effect/http"
 * import { NdjsonResponse, StreamEvent } from "effect-llm-streaming"
 *
 * const handler = HttpEffect.toWebHandler(Stream.make("Hi").pipe(StreamEvent.fromText, NdjsonResponse.make()))
 * const response = await handler(new Request("http://localhost/"))
 * const lines = (await response.text()).trim().split("\n")
 * lines.map((line) => JSON.parse(line)._tag) // => ["Start", "Delta", "End"]
 * ```
 *
 * @category responses
 * @since 0.1.0
 */
export const make = (options?: Responder.Options) =>
  Responder.make(
    () => ({
      contentType: "application/x-ndjson",
      event: line,
      failure: (exposed, timestamp) => line(Responder.failureEvent(exposed, timestamp)),
      heartbeat: "\n"
    }),
    options
  )
