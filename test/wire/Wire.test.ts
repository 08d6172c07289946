import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { FetchHttpClient, HttpClient } from "effect/http"
import { TestClock } from "effect/testing"
import * as StreamConfig from "../../src/StreamConfig.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as StreamLaws from "../../src/testing/StreamLaws.ts"
import * as StreamTest from "../../src/testing/StreamTest.ts"
import type * as Protocol from "../../src/wire/Protocol.ts"
import * as Wire from "../../src/wire/Wire.ts"
import * as Loopback from "../support/loopback.ts"
import { collect, random, reasonOf, resplit, show } from "../support/run.ts"
import { describeShared, readBytes, readJson, type Recording } from "../support/shared.ts"

/** Which module decodes which recordings. */
const moduleOf: Readonly<Record<string, string>> = {
  "openai-chat": "OpenAiChat",
  "openai-completions": "OpenAiCompletions",
  "openai-responses": "OpenAiResponses",
  "anthropic-messages": "AnthropicMessages",
  "google-generate": "GoogleGenerate",
  "google-interactions": "GoogleInteractions",
  "cohere-v2": "CohereChat",
  "ollama-chat": "OllamaChat",
  "ollama-generate": "OllamaChat"
}

const hello = 'data: {"choices":[{"delta":{"content":"Hello"}}]}\n\n'
const stop = 'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'

const detect = (source: Stream.Stream<Uint8Array | string>, options?: Protocol.Options) =>
  Effect.runSync(collect(Wire.detect(options)(source)))

/** The events but for signs of life, their number, and how it ends. */
const summary = ({ events, failure }: ReturnType<typeof detect>) => {
  const isProgress = StreamEvent.is("Progress")
  return {
    events: StreamLaws.join(events.filter((event) => !isProgress(event))).map(show),
    alive: events.filter(isProgress).length,
    failure: failure?.reason
  }
}

describeShared("recordings", "recordings/index.json", () => {
  const all = readJson<ReadonlyArray<Recording>>("recordings/index.json")
  const registered = all.filter(({ protocol }) =>
    Wire.candidates.some((candidate) => candidate.name === moduleOf[protocol])
  )

  it("there are some of each protocol", () => {
    const names = new Set(registered.map(({ protocol }) => moduleOf[protocol]))
    // Of the AI SDK's stream its own server is the peer, in its own test.
    const recorded = Wire.candidates.map(({ name }) => name).filter((name) => name !== "UiMessageStream")
    assert.deepStrictEqual([...names].toSorted(), recorded.toSorted())
  })

  describe("are decoded as by the protocol's own decoder, whatever the chunks", () => {
    it.each(registered)("$wire", (recording) => {
      const bytes = readBytes(`recordings/${recording.wire}`)
      const own = Wire.candidates.find(({ name }) => name === moduleOf[recording.protocol])!
      const options = { provider: "p" }
      const expected = summary(Effect.runSync(collect(own.decode(options)(Stream.make(bytes)))))
      const next = random(bytes.length)
      const ways = [[bytes], ...[2, 10, 100, 1000].map((pieces) => resplit(bytes, pieces, next))]
      if (bytes.length < 10_000) ways.push(StreamTest.split(bytes, 1))
      for (const pieces of ways) {
        for (const source of [Stream.fromIterable(pieces), StreamTest.script(pieces)]) {
          const actual = summary(detect(source, options))
          // What breaks off before it could be told has no end of a protocol.
          const isUnknown = actual.failure?._tag === "Truncated" && actual.failure.expected === "its first event"
          assert.deepStrictEqual(isUnknown ? { ...actual, failure: expected.failure } : actual, expected)
          if (isUnknown) assert.strictEqual(expected.failure?._tag, "Truncated")
        }
      }
    })
  })

  describe("are recognized by one protocol only", () => {
    it.each(registered)("$wire", (recording) => {
      const text = new TextDecoder().decode(readBytes(`recordings/${recording.wire}`))
      const chunks = (text.match(/^(data: ?)?\{.*$/gm) ?? []).flatMap((line) => {
        try {
          return [JSON.parse(line.replace(/^data: ?/, ""))]
        } catch {
          return []
        }
      })
      for (const chunk of chunks) {
        const found = Wire.candidates.filter((candidate) => candidate.recognizes(chunk)).map(({ name }) => name)
        assert.include([[], [moduleOf[recording.protocol]]].map(String), String(found), JSON.stringify(chunk))
      }
    })
  })

  describe("cut anywhere, have no End that they had not", () => {
    it.each(registered.filter((_, i) => i % 10 === 0))("$wire", (recording) => {
      const bytes = readBytes(`recordings/${recording.wire}`)
      const own = Wire.candidates.find(({ name }) => name === moduleOf[recording.protocol])!
      const next = random(bytes.length)
      for (let i = 0; i < 20; i++) {
        const cut = bytes.subarray(0, Math.floor(next() * bytes.length))
        const expected = summary(Effect.runSync(collect(own.decode()(Stream.make(cut)))))
        const actual = summary(detect(Stream.make(cut)))
        assert.deepStrictEqual(actual.events, expected.events)
        assert.strictEqual(actual.failure === undefined, expected.failure === undefined)
      }
    })
  })
})

describe("what is not recognized", () => {
  const lines = (text: string) => {
    const outcomes = [[text], StreamTest.split(text, 1), StreamTest.split(text, 3)].map((pieces) => {
      const { events, failure } = detect(StreamTest.script(pieces))
      return [...events.filter((event) => event._tag !== "Progress").map(({ _tag }) => _tag), failure?.message].join(
        ": "
      )
    })
    assert.strictEqual(new Set(outcomes).size, 1, outcomes.join("\n"))
    return outcomes[0]
  }
  const truncated = "Start: The stream stopped before its first event"
  const violation = (actual: string) => `Start: Expected a stream of a known protocol, got ${actual}`

  it.each([
    "",
    " \r\n\n",
    "\ufeff",
    ": keep-alive\n\n: keep-alive\n\n",
    "data: [DONE]\n\n",
    "data:\n\n",
    'data: {"choi',
    "da",
    "event: message_start",
    "event: message_start\n",
    "retry: 5\n\n",
    '{"mod',
    "[",
    '[{"candidates'
  ])("nothing, and what breaks off before it says anything, is Truncated: %j", (text) => {
    assert.strictEqual(lines(text), truncated)
  })

  it("anything else is a ProtocolViolation, with the names of a few fields at most", () => {
    const page = "text that is no stream of events"
    const cases: ReadonlyArray<readonly [text: string, actual: string]> = [
      ["<html>secret</html>", page],
      ["secret", page],
      ["upstream connect error", page],
      ['data: {"a":"secret"}\n\n', 'JSON with the fields "a"'],
      ['data: {"a":"secret"}\n\ndata: [DONE]\n\n', 'JSON with the fields "a"'],
      ['data: {"a":"secret"}', 'JSON with the fields "a"'],
      ['{"a":"secret","b":{},"c":1,"d":1,"e":1,"f":1}\n', 'JSON with the fields "a", "b", "c", "d", "e" and others'],
      [`{"${"x".repeat(100)}":1}`, `JSON with the fields "${"x".repeat(20)}"`],
      ["{}\n{}\n", "JSON with no fields"],
      ["data: 5\n\ndata: [1]\n\n", "JSON with no fields"]
    ]
    for (const [text, actual] of cases) {
      assert.strictEqual(lines(text), violation(actual))
    }
  })

  it("what is no JSON is malformed, as for every decoder, unless it is to be skipped", () => {
    assert.strictEqual(lines(": c\n\ndata: secret\n\n"), "Start: Malformed frame at offset 5")
    assert.strictEqual(lines("\ufeff\n\ndata: secret\n\n"), "Start: Malformed frame at offset 3")
    assert.strictEqual(lines("{secret}\n"), "Start: Malformed frame at offset 0")
    assert.strictEqual(lines("\ufeff\n {secret}\n"), "Start: Malformed frame at offset 3")
    const skipped = detect(Stream.make(`data: secret\n\n${hello}${stop}`), { onMalformed: "skip" })
    assert.strictEqual(skipped.events.at(-1)?._tag, "End")
  })

  it("is not read for long", () => {
    let count = 0
    const forever = Stream.fromPull(
      Effect.succeed(
        Effect.sync((): [string] => {
          count++
          return ['data: {"type":"new"}\n\n']
        })
      )
    )
    const { failure } = detect(forever)
    assert.strictEqual(failure?.reason._tag, "ProtocolViolation")
    assert.strictEqual(count, 16)
  })

  it.effect("nor is more held than allowed", () =>
    Effect.gen(function* () {
      let size = 0
      const chunk = "x".repeat(100)
      for (const start of ["data: ", "<p>", "{", ": c\n\n"]) {
        const forever = Stream.concat(
          Stream.make(start),
          Stream.fromPull(
            Effect.succeed(
              Effect.sync((): [string] => {
                size += chunk.length
                return [start.startsWith(":") ? `:${chunk}\n` : chunk]
              })
            )
          )
        )
        size = 0
        const { failure } = yield* collect(Wire.detect()(forever)).pipe(
          Effect.provide(StreamConfig.layer({ maxEventSize: 1000 }))
        )
        assert.deepStrictEqual(failure?.reason, { _tag: "FrameTooLarge", limit: 1000 }, start)
        assert.isAtMost(size, 2200)
      }
    })
  )

  it("an error in place of an answer is a ProviderFailure, whoever sent it", () => {
    const errors: ReadonlyArray<readonly [body: string, code: string | undefined]> = [
      ['{"error":{"message":"not now","type":"server_error","code":null}}', "server_error"],
      ['{"error":{"message":"not now","code":429}}', "429"],
      ['{"error":"not now"}', undefined],
      ['{"type":"error","error":{"type":"overloaded_error","message":"not now"}}', "overloaded_error"],
      ['{"type":"error","code":"x","message":"not now"}', "x"],
      ['{"object":"error","message":"not now","code":"x"}', "x"],
      ['{"error":{"code":503,"message":"not now","status":"UNAVAILABLE"}}', "503"]
    ]
    for (const [body, code] of errors) {
      const pretty = JSON.stringify(JSON.parse(body), null, 2)
      for (const text of [`data: ${body}\n\n`, `event: error\ndata: ${body}`, body, `${body}\n`, `[${body}]`, pretty]) {
        for (const pieces of [[text], StreamTest.split(text, 1)]) {
          const { events, failure } = detect(StreamTest.script(pieces))
          assert.deepStrictEqual(
            events.map(({ _tag }) => _tag),
            ["Start"]
          )
          assert.deepInclude(
            reasonOf(failure, "ProviderFailure"),
            { provider: "unknown", code, message: "not now" },
            text
          )
        }
      }
    }
    const { failure } = detect(Stream.make('data: {"error":{"message":"not now"}}\n\n'), { provider: "acme" })
    assert.strictEqual(reasonOf(failure, "ProviderFailure").provider, "acme")
  })

  it("an error does not wait for what follows it", () => {
    const { failure } = detect(
      Stream.concat(Stream.make('data: {"error":{"message":"no"}}\n\n'), Stream.die("pulled behind the error"))
    )
    assert.strictEqual(failure?.reason._tag, "ProviderFailure")
  })
})

describe("detection", () => {
  it.effect("shows Start at once and signs of life as they come, each once", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const source = StreamTest.script([
        StreamTest.delay(10),
        ": PROCESSING\n\n",
        StreamTest.delay(10),
        ": PROCESSING\n\n: PROCESSING\n\n",
        StreamTest.delay(10),
        `: PROCESSING\n\n${hello}`,
        ": PROCESSING\n\n",
        stop
      ])
      const fiber = yield* Wire.detect()(source).pipe(
        Stream.runForEach((event) => Effect.sync(() => seen.push(`${event._tag} ${event.timestamp}`))),
        Effect.forkChild({ startImmediately: true })
      )
      assert.deepStrictEqual(seen, ["Start 0"])
      yield* TestClock.adjust(25)
      assert.deepStrictEqual(seen.slice(1), ["Progress 10", "Progress 20", "Progress 20"])
      yield* TestClock.adjust(10)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(seen.slice(4), ["Progress 30", "Delta 30", "Progress 30", "Metadata 30", "End 30"])
    })
  )

  it("a failure of the bytes comes behind what had arrived", () => {
    const cut = hello.slice(0, -2)
    for (const pieces of [[], [": c\n\n"], [hello], [cut], ["da"], ['data: {"a":1}\n\n']]) {
      const { events, failure } = Effect.runSync(
        collect(Wire.detect()(StreamTest.script([...pieces, StreamTest.fail("reset" as const)])))
      )
      assert.strictEqual(failure, "reset")
      assert.strictEqual(events[0]?._tag, "Start")
      assert.strictEqual(events.some(StreamEvent.is("Delta")), pieces[0] === hello || pieces[0] === cut)
    }
  })

  it.effect.each([
    ["a whole answer", `: c\n\n${hello}${stop}`],
    ["one that is cut", `\ufeff${hello}data: {"choices"`],
    ["an error", `data: {"error":{"message":"no"}}\n\n`],
    ["an error behind an answer", `${hello}data: {"error":{"message":"no"}}\n\n`],
    ["nothing", ""],
    ["what is unknown", 'data: {"a":1}\n\ndata: {"b":2}\n\n']
  ])("keeps the laws with %s", ([, text]) =>
    Effect.gen(function* () {
      const bytes = new TextEncoder().encode(text)
      for (const way of [{}, { sizes: [1] }, { sizes: [7], groups: [2] }]) {
        const input = { items: [bytes], ...way }
        yield* StreamLaws.chunkIndependence(Wire.detect(), input)
        yield* StreamLaws.emitThenFail(Wire.detect(), input)
        yield* StreamLaws.oneTerminal(Wire.detect(), input)
        yield* StreamLaws.interruption(Wire.detect(), input)
      }
    })
  )

  it("options are those of the decoders", () => {
    assert.throws(() => Wire.detect({ maxEventSize: 0 }), RangeError)
    assert.throws(() => Wire.detect({ maxBufferSize: -1 }), RangeError)
    const { events } = detect(Stream.make(hello), { onMissingFinish: "accept" })
    assert.strictEqual(events.at(-1)?._tag, "End")
    // What nobody recognizes is no answer, accepted or not.
    for (const text of ["", "secret", "data: {}\n\n"]) {
      assert.isDefined(detect(Stream.make(text), { onMissingFinish: "accept" }).failure)
    }
  })

  it("keeps failures and services in its type", () => {
    const typed = Wire.detect()(Stream.fail("reset" as const))
    expectTypeOf(typed).toEqualTypeOf<Stream.Stream<StreamEvent.StreamEvent, "reset" | Protocol.DecodeError>>()
  })

  it.live("of a response: a status outside 2xx is a ProviderFailure", () =>
    Effect.gen(function* () {
      const server = yield* Loopback.serve((response, request) => {
        response.writeHead(request.url === "/ok" ? 200 : 503)
        response.end(request.url === "/ok" ? hello + stop : '{"error":{"message":"busy"}}')
      })
      const client = yield* HttpClient.HttpClient
      const get = (path: string) =>
        Effect.flatMap(client.get(server.url + path), (response) => collect(Wire.fromResponse(response)))
      assert.strictEqual((yield* get("/ok")).events.at(-1)?._tag, "End")
      const { events, failure } = yield* get("/busy")
      assert.deepStrictEqual(events, [])
      assert.deepInclude(reasonOf(failure, "ProviderFailure"), { status: 503, message: "busy", isRetryable: true })
    }).pipe(Effect.provide(FetchHttpClient.layer))
  )
})
