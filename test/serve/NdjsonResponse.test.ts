import { assert, it } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as NdjsonResponse from "../../src/serve/NdjsonResponse.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"

const decode = Schema.decodeSync(Schema.fromJsonString(StreamEvent.StreamEvent))

it.effect("writes an event a line, and an empty line to keep the connection alive", () =>
  Effect.gen(function* () {
    const late = Stream.fromEffect(Effect.as(Effect.sleep("20 seconds"), StreamEvent.end(0, "stop")))
    const events = Stream.make(StreamEvent.start(0), StreamEvent.delta(0, "a\nb\u2028\ud83d")).pipe(Stream.concat(late))
    const response = yield* events.pipe(NdjsonResponse.make())
    assert.strictEqual(response.headers["content-type"], "application/x-ndjson")
    let text = ""
    const body = response.body._tag === "Stream" ? response.body.stream : Stream.empty
    yield* Effect.forkChild(
      Stream.runForEach(Stream.decodeText(body), (chunk) => Effect.sync(() => (text += chunk))),
      { startImmediately: true }
    )
    yield* TestClock.adjust("15 seconds")
    assert.isTrue(text.endsWith("\n\n"))
    yield* TestClock.adjust("5 seconds")
    const lines = text.split("\n")
    assert.strictEqual(lines.pop(), "")
    assert.deepStrictEqual(
      lines.map((line) => (line === "" ? "" : decode(line)._tag)),
      ["Start", "Delta", "", "End"]
    )
    const second = decode(lines[1]!)
    assert.strictEqual(second._tag === "Delta" ? second.delta : undefined, "a\nb\u2028\ud83d")
  }).pipe(Effect.scoped)
)
