/**
 * The answer text and nothing else.
 *
 * Plain text has no way to say that it was cut: a failure breaks the connection off, which every client reports as an error.
 * A proxy may hide that: nginx, where it does not gather the answer, passes on what broke off as if it were whole. Behind such
 * a one use a response that says it in-band, `SseResponse` or `NdjsonResponse`. Nor has text a sign of life that shows
 * nothing, so there are no heartbeats.
 *
 * @since 0.1.0
 */
import * as StreamEvent from "../StreamEvent.ts"
import * as Responder from "./Responder.ts"

/**
 * A response that streams the answer text.
 *
 * **Example** (Text)
 *
 * ```ts
 * import { Stream } from "effect"
 * import { HttpEffect } from "effect/http"
 * import { StreamEvent, TextResponse } from "effect-llm-streaming"
 *
 * const handler = HttpEffect.toWebHandler(Stream.make("Hello", " World").pipe(StreamEvent.fromText, TextResponse.make()))
 * const response = await handler(new Request("http://localhost/"))
 * await response.text() // => "Hello World"
 * ```
 *
 * @category responses
 * @since 0.1.0
 */
export const make = (options?: Omit<Responder.Options, "heartbeat">) =>
  Responder.make(() => {
    /** The first half of a surrogate pair whose second one is yet to come. */
    let half = ""
    return {
      contentType: "text/plain; charset=utf-8",
      event(event) {
        if (event._tag !== "End" && !StreamEvent.isContent(event)) return ""
        const text = event._tag === "End" ? half : half + event.delta
        half = event._tag === "End" ? "" : (/[\ud800-\udbff]$/.exec(text)?.[0] ?? "")
        return text.slice(0, text.length - half.length)
      }
    }
  }, options)
