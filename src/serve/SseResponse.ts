/**
 * This library's own events as server-sent events, for `StreamClient` and for a browser's `EventSource`.
 *
 * Each event is one frame whose data is its JSON; the last one is an `End` or an `Error`. Whatever a model said, no text of it
 * can break the framing: it is inside of JSON strings, in one line.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type * as HttpServerResponse from "effect/http/HttpServerResponse"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type * as StreamEvent from "../StreamEvent.ts"
import * as Responder from "./Responder.ts"

/**
 * @category options
 * @since 0.1.0
 */
export interface Options extends Responder.Options {
  /**
   * The `id:` of an event's frame, which a client sends back when it connects again; its position is counted from 0. None by
   * default. Line breaks and NUL are taken out of it.
   */
  readonly id?: ((event: StreamEvent.StreamEventEncoded, position: number) => string) | undefined
}

/**
 * A response that streams events.
 *
 * **Details**
 *
 * A failure is an `Error` event with a `ProviderFailure` of the provider `"server"`, which has the code and the message that
 * `expose` gives. Comments keep the connection alive. Impossible options throw a `RangeError`.
 *
 * **Example** (A route)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { HttpEffect, HttpServerResponse } from "effect/http"
 * import { SseResponse, StreamModel } from "effect-llm-streaming"
 * import * as StreamTest from "effect-llm-streaming/testing/StreamTest"
 *
 * const route = StreamModel.stream({ prompt: "hi" }).pipe(
 *   SseResponse.make(),
 *   Effect.provide(StreamTest.layerModel(StreamTest.answer(["Hello"])))
 * )
 * const handler = HttpEffect.toWebHandler(route)
 * const response = await handler(new Request("http://localhost/"))
 * const frames = (await response.text()).split("\n\n")
 * frames.map((frame) => frame.slice(0, 22)) // => ['data: {"_tag":"Start",', 'data: {"_tag":"Delta",', 'data: {"_tag":"End","t', ""]
 * ```
 *
 * @category responses
 * @since 0.1.0
 */
export const make = (
  options?: Options
): (<E, R>(
  events: Stream.Stream<StreamEvent.StreamEvent, E, R>
) => Effect.Effect<HttpServerResponse.HttpServerResponse, never, R | Scope.Scope>) =>
  Responder.make(() => {
    let position = 0
    const frame = (event: StreamEvent.StreamEventEncoded): string => {
      const id = options?.id?.(event, position++)
      return `${id === undefined ? "" : `id: ${id.replace(/[\r\n\0]/g, "")}\n`}data: ${JSON.stringify(event)}\n\n`
    }
    return {
      contentType: "text/event-stream",
      event: frame,
      failure: (exposed, timestamp) => frame(Responder.failureEvent(exposed, timestamp)),
      heartbeat: ": keep-alive\n\n"
    }
  }, options)
