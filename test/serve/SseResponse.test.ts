import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { HttpEffect } from "effect/http"
import { createParser, type EventSourceMessage } from "eventsource-parser"
import * as SseResponse from "../../src/serve/SseResponse.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"

const events = Stream.make<ReadonlyArray<StreamEvent.StreamEvent>>(
  StreamEvent.start(0),
  StreamEvent.delta(0, "a\n\ndata: b"),
  StreamEvent.end(0, "stop")
)

const read = (options?: SseResponse.Options) =>
  Effect.promise(async () => {
    const response = await HttpEffect.toWebHandler(events.pipe(SseResponse.make(options)))(
      new Request("http://localhost/")
    )
    const messages: Array<EventSourceMessage> = []
    const parser = createParser({ onEvent: (message) => messages.push(message) })
    parser.feed(await response.text())
    return { response, messages }
  })

describe("frames", () => {
  it.live("are what another parser reads, an event each", () =>
    Effect.gen(function* () {
      const { messages, response } = yield* read({ headers: { "x-mine": "1" } })
      assert.strictEqual(response.headers.get("content-type"), "text/event-stream")
      assert.strictEqual(response.headers.get("x-mine"), "1")
      assert.deepStrictEqual(
        messages.map(({ data, event, id }) => [event, id, (JSON.parse(data) as StreamEvent.StreamEvent)._tag]),
        [
          [undefined, undefined, "Start"],
          [undefined, undefined, "Delta"],
          [undefined, undefined, "End"]
        ]
      )
      assert.strictEqual((JSON.parse(messages[1]!.data) as StreamEvent.Delta).delta, "a\n\ndata: b")
    })
  )

  it.live("have an id where one is asked for, which cannot break out of its line", () =>
    Effect.gen(function* () {
      const { messages } = yield* read({ id: (event, position) => `${event._tag}\n\0\r\n\ndata: ${position}` })
      assert.deepStrictEqual(
        messages.map(({ id }) => id),
        ["Startdata: 0", "Deltadata: 1", "Enddata: 2"]
      )
      assert.strictEqual(messages.length, 3)
    })
  )
})
