import { assert, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import * as TextResponse from "../../src/serve/TextResponse.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as StreamArbitrary from "../../src/testing/StreamArbitrary.ts"
import * as StreamTest from "../../src/testing/StreamTest.ts"

const written = (events: Stream.Stream<StreamEvent.StreamEvent>) =>
  Effect.gen(function* () {
    const { body } = yield* events.pipe(TextResponse.make())
    const bytes = yield* Stream.mkUint8Array(body._tag === "Stream" ? body.stream : Stream.empty)
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes)
  }).pipe(Effect.scoped)

it.effect.prop("writes the text, wherever it was cut", { input: StreamArbitrary.text() }, ({ input }) =>
  Effect.gen(function* () {
    const whole = input.items.join("")
    const pieces = StreamTest.split(whole, input.sizes ?? [1])
    const text = yield* written(Stream.fromIterable(pieces).pipe(StreamEvent.fromText))
    assert.strictEqual(text, whole.toWellFormed())
  })
)

it.effect("writes the answer and nothing else", () =>
  Effect.gen(function* () {
    const text = yield* written(
      Stream.make(
        StreamEvent.start(0),
        StreamEvent.reasoning(0, "hm"),
        StreamEvent.delta(0, "A\ud83d"),
        StreamEvent.progress(0, "ping"),
        StreamEvent.delta(0, "\ude00B\ud83d"),
        StreamEvent.end(0)
      )
    )
    assert.strictEqual(text, "A😀B\ufffd")
  })
)
