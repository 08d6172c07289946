import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import type { FileSystem } from "effect"
import { Arbitrary, Cause, Clock, Effect, Exit, Fiber, Layer, Redacted, Schema, Stream } from "effect"
import { FetchHttpClient, HttpClient, HttpClientRequest } from "effect/http"
import { TestClock } from "effect/testing"
import { readFileSync, writeFileSync } from "node:fs"
import * as StreamConfig from "../../src/StreamConfig.ts"
import * as StreamError from "../../src/StreamError.ts"
import type * as StreamEvent from "../../src/StreamEvent.ts"
import * as StreamHandler from "../../src/StreamHandler.ts"
import * as StreamModel from "../../src/StreamModel.ts"
import * as StreamTest from "../../src/testing/StreamTest.ts"
import * as Cassette from "../../src/wire/Cassette.ts"
import * as OpenAiChat from "../../src/wire/OpenAiChat.ts"
import * as Files from "../support/files.ts"
import * as Loopback from "../support/loopback.ts"
import { collect, pulls, reasonOf, show } from "../support/run.ts"

const bytes = (...values: ReadonlyArray<number>) => new Uint8Array(values)
const utf8 = (text: string) => new TextEncoder().encode(text)
const text = Schema.encodeSync(Cassette.Cassette)
const parse = Schema.decodeSync(Cassette.Cassette)

const reset = StreamError.make({ _tag: "Truncated", expected: "its end" }, { context: { provider: "p" } })

/** The text of a cassette as it grows. */
const memory = () => {
  const lines: Array<string> = []
  return { lines, write: (text: string) => Effect.sync(() => void lines.push(text)) }
}

/** Runs while the clock moves, until it is over. */
const inTime = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.raceFirst(self, Effect.forever(Effect.andThen(Effect.yieldNow, TestClock.adjust(1))))

describe("the file", () => {
  it.effect("has a line for each chunk, with its time, and one for the ending", () =>
    Effect.gen(function* () {
      const { lines, write } = memory()
      const source = StreamTest.script([
        StreamTest.delay(300),
        utf8('data: {"a":"naïve\u2028"}\n\n'),
        StreamTest.delay(25),
        StreamTest.together(utf8("\ufeffb"), bytes(), bytes(0xf0, 0x9f), bytes(0x98, 0x80)),
        StreamTest.delay(5)
      ])
      yield* inTime(Stream.runDrain(Cassette.recordWith(write)(source)))
      assert.deepStrictEqual(lines, [
        '{"cassette":1}\n',
        '{"at":300,"text":"data: {\\"a\\":\\"naïve\u2028\\"}\\n\\n"}\n',
        '{"at":325,"text":"\ufeffb"}\n{"at":325,"text":""}\n{"at":325,"base64":"8J8="}\n{"at":325,"base64":"mIA="}\n',
        '{"at":330,"ending":"end"}\n'
      ])
    })
  )

  const json = (cassette: Cassette.Cassette): boolean =>
    cassette.ending._tag !== "Failure" || cassette.ending.error === undefined

  it.prop(
    "goes through its text and comes back",
    { cassette: Arbitrary.filter(Arbitrary.schema(Cassette.Cassette), json) },
    ({ cassette }) => {
      assert.deepStrictEqual(parse(text(cassette)), { head: undefined, ...cassette })
    }
  )

  it("keeps a StreamError as it was, and of other errors name and message", () => {
    const failed = (error: unknown) => parse(text({ chunks: [], ending: { _tag: "Failure", at: 1, error } })).ending
    const kept = failed(reset)
    assert.isTrue(kept._tag === "Failure" && StreamError.isStreamError(kept.error))
    assert.deepInclude(kept._tag === "Failure" && kept.error, { reason: reset.reason, context: reset.context })
    const other = failed(new TypeError("boom"))
    assert.isTrue(other._tag === "Failure" && other.error instanceof Error && other.error.message === "boom")
    const value = failed("reset")
    assert.deepStrictEqual(value, { _tag: "Failure", at: 1, error: "reset" })
  })

  it("cut anywhere, as by a process that died, is a shorter one that was interrupted", () => {
    const cassette: Cassette.Cassette = {
      head: { at: 1, status: 200, headers: { "content-type": "text/event-stream" } },
      chunks: [
        { at: 5, bytes: utf8("naïve 😀") },
        { at: 7, bytes: bytes(255) }
      ],
      ending: { _tag: "End", at: 9 }
    }
    const whole = text(cassette)
    const lines = whole.split("\n")
    for (let end = lines[0]!.length + 1; end < whole.length; end++) {
      const cut = parse(whole.slice(0, end))
      const count = whole.slice(0, end).split("\n").length - 2
      assert.deepStrictEqual(cut.head, cassette.head)
      assert.deepStrictEqual(cut.chunks, cassette.chunks.slice(0, count))
      assert.deepStrictEqual(cut.ending, { _tag: "Interruption", at: cut.chunks.at(-1)?.at ?? 0 })
    }
  })

  it("that is none says where, and nothing of what it holds", () => {
    const cases: ReadonlyArray<readonly [text: string, message: string]> = [
      ["", "the first line"],
      ["secret", "the first line"],
      ['{"cassette":2}\n', "the first line"],
      ['{"cassette":1,"head":{"at":0,"status":7,"headers":{}}}\n', "the first line"],
      ['{"cassette":1}\n{"at":0,"text":"a"}\nsecret\n', "line 3"],
      ['{"cassette":1}\n{"at":-1,"text":"secret"}\n', "line 2"],
      ['{"cassette":1}\n{"at":0,"base64":"secret!"}\n', "line 2"],
      ['{"cassette":1}\n{"at":0,"ending":"secret"}\n', "line 2"],
      ['{"cassette":1}\n{"at":0,"ending":"end"}\n{"at":0,"text":"secret"}\n', "line 3"]
    ]
    for (const [input, message] of cases) {
      const exit = Schema.decodeUnknownExit(Cassette.Cassette)(input)
      const shown = Exit.isFailure(exit) ? Cause.pretty(exit.cause) : ""
      assert.include(shown, message)
      assert.notInclude(shown, "secret")
    }
  })
})

describe("recording", () => {
  const recorded = <E>(source: Stream.Stream<Uint8Array, E>) => {
    const { lines, write } = memory()
    return { stream: Cassette.recordWith(write)(source), cassette: () => parse(lines.join("")) }
  }

  it.effect("passes on what comes as it comes", () =>
    Effect.gen(function* () {
      const [a, b, c] = [utf8("a"), utf8("b"), utf8("c")]
      const { stream } = recorded(StreamTest.script([StreamTest.together(a, b), StreamTest.delay(5), c]))
      assert.deepStrictEqual(yield* inTime(pulls(stream)), [[a, b], [c]])
    })
  )

  it.effect("has what came before a failure, and the failure, which passes on", () =>
    Effect.gen(function* () {
      const { cassette, stream } = recorded(
        StreamTest.script([utf8("a"), StreamTest.delay(5), StreamTest.fail("reset" as const)])
      )
      expectTypeOf(stream).toEqualTypeOf<Stream.Stream<Uint8Array, "reset">>()
      const { events, failure } = yield* inTime(collect(stream))
      assert.deepStrictEqual([events, failure], [[utf8("a")], "reset"])
      assert.deepStrictEqual(cassette(), {
        head: undefined,
        chunks: [{ at: 0, bytes: utf8("a") }],
        ending: { _tag: "Failure", at: 5, error: "reset" }
      })
    })
  )

  it.effect("a defect is on the cassette as a failure, and stays a defect", () =>
    Effect.gen(function* () {
      const { cassette, stream } = recorded(StreamTest.script([utf8("a"), StreamTest.die(new Error("bug"))]))
      const exit = yield* Effect.exit(Stream.runDrain(stream))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      assert.strictEqual(cassette().ending._tag, "Failure")
    })
  )

  it.effect("of a reader that leaves, or is interrupted, is shorter; the source is released once", () =>
    Effect.gen(function* () {
      const source = [utf8("a"), StreamTest.delay(5), utf8("b"), StreamTest.delay(5), StreamTest.stall]
      const left = yield* StreamTest.probe(StreamTest.script(source))
      const leaving = recorded(left.stream)
      yield* inTime(Stream.runDrain(Stream.take(leaving.stream, 1)))
      assert.deepStrictEqual(leaving.cassette(), {
        head: undefined,
        chunks: [{ at: 0, bytes: utf8("a") }],
        ending: { _tag: "Interruption", at: 0 }
      })
      assert.deepInclude(yield* left.report, { runs: 1, releases: 1, violations: [] })

      const stopped = yield* StreamTest.probe(StreamTest.script(source))
      const interrupted = recorded(stopped.stream)
      const fiber = yield* Effect.forkChild(Stream.runDrain(interrupted.stream), { startImmediately: true })
      yield* TestClock.adjust(8)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(interrupted.cassette(), {
        head: undefined,
        chunks: [
          { at: 0, bytes: utf8("a") },
          { at: 5, bytes: utf8("b") }
        ],
        ending: { _tag: "Interruption", at: 8 }
      })
      assert.deepInclude(yield* stopped.report, { runs: 1, releases: 1, violations: [] })
    })
  )

  it.effect("that cannot be written fails the stream, behind what had arrived", () =>
    Effect.gen(function* () {
      let room = 2
      const write = () => Effect.suspend(() => (room-- > 0 ? Effect.void : Effect.fail("disk full" as const)))
      const stream = Cassette.recordWith(write)(StreamTest.script([utf8("a"), utf8("b"), utf8("c")]))
      expectTypeOf(stream).toEqualTypeOf<Stream.Stream<Uint8Array, "disk full">>()
      const { events, failure } = yield* collect(stream)
      assert.deepStrictEqual(events, [utf8("a"), utf8("b")])
      assert.strictEqual(failure, "disk full")
      room = 2
      const broken = Cassette.recordWith(write)(StreamTest.script([utf8("a"), StreamTest.fail("reset")]))
      assert.strictEqual((yield* collect(broken)).failure, "reset", "the first failure counts")
    })
  )

  it.live("into a file, which each run begins anew", () =>
    Effect.gen(function* () {
      const path = (yield* Files.temporary)("a.ndjson")
      const stream = Cassette.record(path)(StreamTest.script([utf8("a"), StreamTest.fail(reset)]))
      expectTypeOf(stream).toEqualTypeOf<
        Stream.Stream<
          Uint8Array,
          StreamError.StreamErrorOf<"Truncated"> | StreamError.StreamErrorOf<"SourceFailure">,
          FileSystem.FileSystem
        >
      >()
      for (let i = 0; i < 2; i++) {
        const { events, failure } = yield* collect(stream)
        assert.deepStrictEqual([events, failure], [[utf8("a")], reset])
      }
      assert.strictEqual(readFileSync(path, "utf8").split("\n").length, 4)
      const { events, failure } = yield* collect(Cassette.replay(path))
      assert.deepStrictEqual(events, [utf8("a")])
      assert.deepStrictEqual(failure?.reason, reset.reason)
    }).pipe(Effect.provide(Files.layer))
  )

  it.live("into a file that cannot be opened is a SourceFailure", () =>
    Effect.gen(function* () {
      const path = (yield* Files.temporary)("no/such/directory")
      const { events, failure } = yield* collect(Cassette.record(path)(Stream.make(utf8("a"))))
      assert.deepStrictEqual(events, [])
      assert.strictEqual(failure?.reason._tag, "SourceFailure")
    }).pipe(Effect.provide(Files.layer))
  )

  it.effect("collect keeps within the limit", () =>
    Effect.gen(function* () {
      const source = Stream.make(utf8("x".repeat(50)), utf8("y".repeat(50)))
      const error = yield* Cassette.collect(source).pipe(
        Effect.flip,
        Effect.provide(StreamConfig.layer({ maxBufferSize: 100 }))
      )
      assert.deepInclude(error.reason, { _tag: "BufferOverflow", limit: 100 })
      const cassette = yield* Cassette.collect(source)
      assert.strictEqual(cassette.chunks.length, 2)
    })
  )
})

describe("playing", () => {
  const cassette: Cassette.Cassette = {
    chunks: [
      { at: 300, bytes: utf8("a") },
      { at: 300, bytes: bytes(255) },
      { at: 450, bytes: utf8("b") }
    ],
    ending: { _tag: "End", at: 500 }
  }

  /** What came at what time, the end included. */
  const times = (stream: Stream.Stream<Uint8Array, StreamError.StreamError>) =>
    Effect.gen(function* () {
      const seen: Array<readonly [at: number, count: number]> = []
      const now = Clock.currentTimeMillis
      const startedAt = yield* now
      yield* inTime(
        Stream.runForEachArray(stream, (chunks) =>
          Effect.map(now, (at) => void seen.push([at - startedAt, chunks.length]))
        )
      )
      return [...seen, (yield* now) - startedAt]
    })

  it.effect("takes the time that it took, or a part of it, or none", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* times(Cassette.replay(cassette)), [[300, 2], [450, 1], 500])
      assert.deepStrictEqual(yield* times(Cassette.replay(cassette, { speed: 10 })), [[30, 2], [45, 1], 50])
      assert.deepStrictEqual(yield* times(Cassette.replay(cassette, { speed: 0.5 })), [[600, 2], [900, 1], 1000])
      const { events } = yield* collect(Cassette.replay(cassette, { speed: Infinity }))
      assert.deepStrictEqual(events, [utf8("a"), bytes(255), utf8("b")])
    })
  )

  it.effect("a slow reader does not make it later", () =>
    Effect.gen(function* () {
      const slow = Stream.tap(Cassette.replay(cassette), () => Effect.sleep(100))
      // 100 for each of the two that come at 300, and for the one that was due while they were read.
      assert.deepStrictEqual((yield* times(slow)).at(-1), 600)
    })
  )

  it.effect.prop(
    "what was recorded is played: the same chunks at the same times",
    {
      steps: Arbitrary.array(
        Arbitrary.all({
          delay: Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 }))),
          bytes: Arbitrary.schema(Schema.Uint8Array)
        }),
        { maxLength: 6 }
      )
    },
    ({ steps }) =>
      Effect.gen(function* () {
        const source = StreamTest.script(steps.flatMap(({ bytes, delay }) => [StreamTest.delay(delay), bytes]))
        const recorded = yield* inTime(Cassette.collect(source))
        const again = yield* inTime(Cassette.collect(Cassette.replay(parse(text(recorded)))))
        assert.deepStrictEqual(again, recorded)
        assert.deepStrictEqual(
          recorded.chunks.map((chunk) => chunk.bytes),
          steps.map((step) => step.bytes)
        )
      })
  )

  it.effect("ends as the recording did", () =>
    Effect.gen(function* () {
      const ended = (ending: Cassette.Ending) =>
        Effect.exit(
          Stream.runDrain(Cassette.replay({ chunks: cassette.chunks.slice(0, 1), ending }, { speed: Infinity }))
        )
      assert.isTrue(Exit.isSuccess(yield* ended({ _tag: "End", at: 400 })))
      const failed = yield* ended({ _tag: "Failure", at: 400, error: reset })
      assert.strictEqual(yield* Effect.flip(failed), reset)
      const other = yield* Effect.flip(yield* ended({ _tag: "Failure", at: 400, error: "reset" }))
      assert.deepStrictEqual(other.reason, { _tag: "SourceFailure", cause: "reset" })
      const interrupted = yield* ended({ _tag: "Interruption", at: 400 })
      assert.isTrue(Exit.isFailure(interrupted) && Cause.hasInterruptsOnly(interrupted.cause))
    })
  )

  it.effect("is the same each time, whatever was done with the bytes", () =>
    Effect.gen(function* () {
      const stream = Cassette.replay(cassette, { speed: Infinity })
      const first = yield* Stream.runCollect(stream)
      for (const chunk of first) chunk.fill(0)
      assert.deepStrictEqual(yield* Stream.runCollect(stream), [utf8("a"), bytes(255), utf8("b")])
    })
  )

  it("a speed that is impossible throws", () => {
    for (const speed of [0, -1, NaN]) {
      assert.throws(() => Cassette.replay(cassette, { speed }), RangeError)
      assert.throws(() => Cassette.layer(() => Effect.succeed(cassette), { speed }), RangeError)
    }
  })

  it.live("a file that is missing, or is no cassette, is a SourceFailure", () =>
    Effect.gen(function* () {
      const path = yield* Files.temporary
      writeFileSync(path("none"), "secret")
      for (const name of ["missing", "none"]) {
        const { failure } = yield* collect(Cassette.replay(path(name)))
        assert.strictEqual(failure?.reason._tag, "SourceFailure")
        assert.notInclude(failure?.message, "secret")
      }
    }).pipe(Effect.provide(Files.layer))
  )
})

describe("HTTP", () => {
  const chunk = (body: unknown) => `data: ${JSON.stringify(body)}\n\n`
  const hello = ["Hel", "lo 😀"].map((content) => chunk({ choices: [{ delta: { content } }] }))
  const stop = chunk({ choices: [{ delta: {}, finish_reason: "stop" }] })

  it.live("a server is recorded, and its recording decoded: the same events, in no time", () =>
    Effect.gen(function* () {
      const server = yield* Loopback.serve((response) => {
        Loopback.begin(response)
        response.write(hello[0])
        // Cuts a character in two.
        const rest = utf8(hello[1] + stop)
        const at = rest.indexOf(0xf0) + 2
        setTimeout(() => response.write(rest.subarray(0, at)), 30)
        setTimeout(() => response.end(rest.subarray(at)), 60)
      })
      const path = (yield* Files.temporary)("hello.ndjson")
      const response = yield* HttpClient.get(server.url)
      const live = yield* response.stream.pipe(Cassette.record(path), OpenAiChat.decode(), Stream.runCollect)
      assert.strictEqual(live.at(-1)?._tag, "End")

      const cassette = yield* Cassette.load(path)
      assert.strictEqual(cassette.ending._tag, "End")
      const played = yield* inTime(
        Cassette.replay(cassette).pipe(OpenAiChat.decode(), StreamHandler.events(), Stream.runCollect)
      ).pipe(Effect.provide(TestClock.layer()))
      const end = played.at(-1)
      assert.strictEqual(end?._tag === "End" && end.content, "Hello 😀")
      assert.strictEqual(end?._tag === "End" && end.stats?.totalDurationMs, cassette.ending.at)
      assert.deepStrictEqual(played.slice(0, -1).map(show), live.slice(0, -1).map(show))
    }).pipe(Effect.provide(Files.layer), Effect.provide(FetchHttpClient.layer))
  )

  it.live("a provider's Layer is recorded, and then answered without the server", () =>
    Effect.gen(function* () {
      const path = yield* Files.temporary
      const { first, second, url } = yield* Effect.gen(function* () {
        const server = yield* Loopback.serve((response, request) => {
          if (request.body.includes("refuse")) {
            response.writeHead(429, { "retry-after": "7", "set-cookie": "a=secret", "x-account": "secret" })
            response.end('{"error":{"message":"slow down","code":"rate_limit"}}')
          } else {
            Loopback.begin(response, { "x-request-id": "req_1" })
            response.end(hello.join("") + stop)
          }
        })
        const model = OpenAiChat.layer({ baseUrl: server.url, apiKey: Redacted.make("sk-secret") }).pipe(
          Layer.provide(Cassette.layerRecord((_, index) => path(`${index}.ndjson`))),
          Layer.provide(FetchHttpClient.layer)
        )
        return yield* Effect.gen(function* () {
          const first = yield* collect(StreamModel.stream({ prompt: "hi" }))
          const second = yield* collect(StreamModel.stream({ prompt: "refuse" }))
          return { first, second, url: server.url }
        }).pipe(Effect.provide(model))
      }).pipe(Effect.scoped)
      assert.strictEqual(first.events.at(-1)?._tag, "End")
      for (const name of ["0.ndjson", "1.ndjson"]) assert.notInclude(readFileSync(path(name), "utf8"), "secret")

      const model = OpenAiChat.layer({ baseUrl: url }).pipe(
        Layer.provide(Cassette.layer((_, index) => Cassette.load(path(`${index}.ndjson`))))
      )
      yield* Effect.gen(function* () {
        const again = yield* collect(StreamModel.stream({ prompt: "hi" }))
        assert.deepStrictEqual(again.events.map(show), first.events.map(show))
        const refused = yield* collect(StreamModel.stream({ prompt: "refuse" }))
        assert.deepStrictEqual(refused.failure?.reason, second.failure?.reason)
        assert.deepInclude(reasonOf(refused.failure, "ProviderFailure"), { status: 429, message: "slow down" })
        // There is no third.
        const missing = yield* collect(StreamModel.stream({ prompt: "hi" }))
        assert.strictEqual(missing.failure?.reason._tag, "SourceFailure")
      }).pipe(Effect.provide(model))
    }).pipe(Effect.provide(Files.layer))
  )

  it.effect("a cassette of bytes alone is the body of a 200, in its time", () =>
    Effect.gen(function* () {
      const cassette = parse(
        [
          '{"cassette":1}',
          `{"at":300,"text":${JSON.stringify(hello[0])}}`,
          '{"at":400,"ending":"interruption"}\n'
        ].join("\n")
      )
      const model = OpenAiChat.layer({}).pipe(Layer.provide(Cassette.layer(() => Effect.succeed(cassette))))
      const seen: Array<StreamEvent.StreamEvent> = []
      const run = StreamModel.stream({ prompt: "hi" }).pipe(
        Stream.runForEach((event) => Effect.sync(() => seen.push(event))),
        Effect.provide(model),
        Effect.exit
      )
      const exit = yield* inTime(run)
      assert.deepStrictEqual(
        seen.map((event) => [event._tag, event.timestamp]),
        [
          ["Start", 0],
          ["Delta", 300]
        ]
      )
      assert.isTrue(Exit.isFailure(exit))
    })
  )

  it.live("what is not to be recorded is not; a status without a body has none", () =>
    Effect.gen(function* () {
      const path = yield* Files.temporary
      const server = yield* Loopback.serve((response, request) => {
        response.writeHead(request.url === "/none" ? 204 : 200)
        response.end(request.url === "/none" ? undefined : "body")
      })
      const client = Cassette.layerRecord((request) => (request.url.endsWith("/skip") ? undefined : path("a.ndjson")))
      yield* Effect.gen(function* () {
        const http = yield* HttpClient.HttpClient
        const get = (url: string) => http.execute(HttpClientRequest.get(server.url + url))
        assert.strictEqual(yield* (yield* get("/skip")).text, "body")
        assert.strictEqual((yield* get("/none")).status, 204)
        assert.strictEqual((yield* Effect.exit(Cassette.load(path("a.ndjson"))))._tag, "Failure")
        assert.strictEqual(yield* (yield* get("/kept")).text, "body")
        assert.strictEqual((yield* Cassette.load(path("a.ndjson"))).head?.status, 200)
      }).pipe(Effect.provide(client), Effect.provide(FetchHttpClient.layer))
    }).pipe(Effect.provide(Files.layer))
  )
})
