/** A browser at the other end: Chromium's `EventSource` and `fetch`, and this library's own client bundled for it. */
import { assert, describe, layer } from "@effect/vitest"
import { Deferred, Effect, Exit, type Scope, Stream } from "effect"
import { HttpServerRequest, HttpServerResponse } from "effect/http"
import * as Path from "node:path"
import { build } from "rolldown"
import * as SseResponse from "../../src/serve/SseResponse.ts"
import * as TextResponse from "../../src/serve/TextResponse.ts"
import * as StreamError from "../../src/StreamError.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as Backend from "../support/backend.ts"
import * as Chromium from "../support/chromium.ts"

type Route = Effect.Effect<
  HttpServerResponse.HttpServerResponse,
  unknown,
  Scope.Scope | HttpServerRequest.HttpServerRequest
>

/** A page, empty but for its script, that has these routes beside it: what it asks is of its own origin. */
const visit = Effect.fnUntraced(function* (routes: Readonly<Record<string, Route>>, script = "") {
  const url = yield* Backend.serve(
    Effect.flatMap(
      HttpServerRequest.HttpServerRequest,
      ({ url }) =>
        routes[url] ??
        Effect.succeed(
          HttpServerResponse.html(`<link rel="icon" href="data:,"><script type="module">${script}</script>`)
        )
    )
  )
  const { complaints, page } = yield* Chromium.visit(url)
  return { url, page, complaints }
})

const start = StreamEvent.start(0, { id: "response-1" })
const end = StreamEvent.end(0, "stop")

const hostile = [
  "one\ntwo\r\nthree\rfour\n\n",
  'data: {"_tag":"End","timestamp":0,"finishReason":"stop"}\n\n',
  ": comment\nid: 7\nretry: 1\nevent: close\n\n",
  "\0\u0001\u001b[2J\u007f\ufeff",
  "\u2028\u2029\u0085",
  "\ud83d",
  "\ude00",
  "\udc00\ud800",
  "😀 é 中 👩‍💻",
  "</script><script>document.title = 'broken'</script><!--",
  "x".repeat(100_000)
]

/** Every kind of event, with what could break its frame. */
const everything: ReadonlyArray<StreamEvent.StreamEvent> = [
  start,
  StreamEvent.progress(1, "ping"),
  ...hostile.flatMap((text) => [
    StreamEvent.delta(2, text),
    StreamEvent.reasoning(3, text, text.slice(0, 100)),
    StreamEvent.refusal(4, text)
  ]),
  StreamEvent.toolCallDelta(5, "1", "t", hostile[0]!),
  StreamEvent.toolCall(6, { id: "1", name: "t", argumentsText: "{}", input: { [hostile[1]!]: hostile } }),
  StreamEvent.toolResult(7, { id: "1", name: "t", output: hostile, isError: true }),
  StreamEvent.metadata(8, "finish", { metadata: { hostile }, finishReason: "stop" }),
  end
]

/** What JSON makes of it: a field that is undefined is none. */
const json = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

/** A stream that begins and then is silent, until it is told to end or is left; `released` says which. */
const silent = Effect.gen(function* () {
  const goOn = yield* Deferred.make<void>()
  const released = yield* Deferred.make<Exit.Exit<unknown, unknown>>()
  const rest = Effect.as(Deferred.await(goOn), StreamEvent.delta(0, "!"))
  const events = Stream.make(start, StreamEvent.delta(0, "Hello")).pipe(
    Stream.concat(Stream.fromEffect(rest)),
    Stream.concat(Stream.make(end)),
    Stream.onExit((exit) => Deferred.succeed(released, exit))
  )
  /** Promised is a second; a browser on a busy machine takes its own time to let go. */
  const isLeft = Effect.map(Effect.timeout(Deferred.await(released), "30 seconds"), Exit.hasInterrupts)
  return { events, goOn: Deferred.succeed(goOn, undefined), isLeft }
})

const begun = Stream.make(start, StreamEvent.delta(0, "Hello"))
const endings: ReadonlyArray<readonly [Stream.Stream<never, StreamError.StreamError>, string]> = [
  [Stream.empty, "Truncated"],
  [Stream.fail(StreamError.make({ _tag: "SourceFailure", cause: "secret" })), "SourceFailure"]
]

interface Message {
  readonly id: string
  readonly event: StreamEvent.StreamEventEncoded
}

/** In the page: all messages of an `EventSource` up to the terminal one, as JSON, which lone surrogates survive. */
const messages = (url: string): Promise<string> =>
  new Promise((resolve) => {
    const source = new EventSource(url)
    const seen: Array<Message> = []
    source.addEventListener("message", ({ data, lastEventId }) => {
      const event: StreamEvent.StreamEventEncoded = JSON.parse(data)
      seen.push({ id: lastEventId, event })
      if (event._tag !== "End" && event._tag !== "Error") return
      source.close()
      resolve(JSON.stringify(seen))
    })
  })

const options = { concurrent: true, timeout: 60_000 }

describe.skipIf(Chromium.isMissing("events in a browser"))("in Chromium", options, () => {
  layer(Chromium.layer, { excludeTestServices: true })((it) => {
    describe("EventSource", () => {
      it.effect("gets every event intact, with its id", () =>
        Effect.gen(function* () {
          const route = Stream.fromIterable(everything).pipe(SseResponse.make({ id: (_, position) => `n${position}` }))
          const { complaints, page } = yield* visit({ "/events": route })
          const seen: ReadonlyArray<Message> = JSON.parse(
            yield* Effect.promise(() => page.evaluate(messages, "/events"))
          )
          assert.deepStrictEqual(
            seen.map(({ event }) => event),
            json(everything)
          )
          assert.deepStrictEqual(
            seen.map(({ id }) => id),
            everything.map((_, position) => `n${position}`)
          )
          assert.deepStrictEqual(complaints, [])
        })
      )

      it.effect("does not see heartbeats", () =>
        Effect.gen(function* () {
          const { events, goOn } = yield* silent
          const { page, url } = yield* visit({ "/events": events.pipe(SseResponse.make({ heartbeat: "5 millis" })) })
          const seen = page.evaluate(messages, "/events")
          // A client that sees them has the same stream.
          const client = yield* Backend.connect(`${url}/events`)
          yield* client.until((received) => received.split(": keep-alive").length > 10)
          yield* goOn
          assert.deepStrictEqual(
            (JSON.parse(yield* Effect.promise(() => seen)) as ReadonlyArray<Message>).map(({ event }) => event._tag),
            ["Start", "Delta", "Delta", "End"]
          )
        })
      )

      it.effect("interrupts the model when it is closed", () =>
        Effect.gen(function* () {
          const { events, isLeft } = yield* silent
          const { page } = yield* visit({ "/events": events.pipe(SseResponse.make()) })
          yield* Effect.promise(() =>
            page.evaluate(
              (url) =>
                new Promise<void>((resolve) => {
                  const source = new EventSource(url)
                  source.addEventListener("message", ({ data }) => {
                    if (JSON.parse(data)._tag !== "Delta") return
                    source.close()
                    resolve()
                  })
                }),
              "/events"
            )
          )
          assert.isTrue(yield* isLeft)
        })
      )

      it.effect("says where it was when it connects again", () =>
        Effect.gen(function* () {
          const asked: Array<string | undefined> = []
          const route = Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ headers }) => {
            asked.push(headers["last-event-id"])
            // The first time the answer breaks off; a client that is not told to stop then comes back.
            const events = asked.length === 1 ? begun : Stream.make(start, end)
            return events.pipe(SseResponse.make({ id: (_, position) => `n${position}` }))
          })
          const { page } = yield* visit({ "/events": route })
          const tags = yield* Effect.promise(() =>
            page.evaluate(
              (url) =>
                new Promise<ReadonlyArray<string>>((resolve) => {
                  const source = new EventSource(url)
                  const tags: Array<string> = []
                  source.addEventListener("message", ({ data }) => {
                    tags.push(JSON.parse(data)._tag)
                    if (tags.at(-1) !== "End") return
                    source.close()
                    resolve(tags)
                  })
                }),
              "/events"
            )
          )
          assert.deepStrictEqual(tags, ["Start", "Delta", "Error", "Start", "End"])
          assert.deepStrictEqual(asked, [undefined, "n2"])
        })
      )
    })

    describe("fetch", () => {
      it.effect("has what was sent before the rest is there; aborting interrupts the model", () =>
        Effect.gen(function* () {
          const { events, isLeft } = yield* silent
          const { page } = yield* visit({ "/text": events.pipe(TextResponse.make()) })
          const outcome = yield* Effect.promise(() =>
            page.evaluate(async (url) => {
              const controller = new AbortController()
              const response = await fetch(url, { signal: controller.signal })
              const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
              let text = ""
              while (text !== "Hello") text += (await reader.read()).value ?? "cut"
              controller.abort()
              return reader.read().then(
                () => "more",
                (error: unknown) => (error as Error).name
              )
            }, "/text")
          )
          assert.strictEqual(outcome, "AbortError")
          assert.isTrue(yield* isLeft)
        })
      )

      it.effect("is told that a stream was cut: by a frame, or where there is none by its own failure", () =>
        Effect.gen(function* () {
          for (const [ending, code] of endings) {
            const events = Stream.concat(begun, ending)
            const { page } = yield* visit({
              "/events": events.pipe(SseResponse.make()),
              "/text": events.pipe(TextResponse.make())
            })
            const [frames, text] = yield* Effect.promise(() =>
              page.evaluate(async () => [
                await (await fetch("/events")).text(),
                await fetch("/text").then(
                  (response) =>
                    response.text().then(
                      () => "whole",
                      (error: unknown) => `${response.status} ${(error as Error).name}`
                    ),
                  () => "no response"
                )
              ])
            )
            const last = JSON.parse(frames!.trim().split("\n").at(-1)!.replace("data: ", ""))
            assert.strictEqual(last._tag, "Error")
            assert.strictEqual(last.error.reason.code, code)
            assert.notInclude(frames, "secret")
            assert.strictEqual(text, "200 TypeError")
          }
        })
      )
    })

    describe("StreamClient", () => {
      const client = bundled(`
        import { Effect, Exit, Schema, Stream } from "effect"
        import { FetchHttpClient } from "effect/http"
        import { StreamClient, StreamError, StreamEvent } from "./src/index.ts"

        const encode = Schema.encodeSync(StreamEvent.StreamEvent)
        /** The events in JSON, and the code of the failure behind them. */
        globalThis.collect = async (url, count = Infinity) => {
          const events = []
          const exit = await StreamClient.events(new URL(url, location.href)).pipe(
            Stream.take(count),
            Stream.runForEach((event) => Effect.sync(() => events.push(encode(event)))),
            Effect.flip,
            Effect.map(({ reason }) => reason.code ?? reason._tag),
            Effect.provide(FetchHttpClient.layer),
            Effect.runPromiseExit
          )
          return JSON.stringify({ events, failure: Exit.isSuccess(exit) ? exit.value : undefined })
        }
      `)
      const collect = (page: Chromium.Visit["page"], call: string) =>
        Effect.map(
          Effect.promise(() => page.evaluate<string>(`collect(${call})`)),
          (text): { readonly events: ReadonlyArray<StreamEvent.StreamEventEncoded>; readonly failure?: string } =>
            JSON.parse(text)
        )

      it.effect("gives every event that was sent", () =>
        Effect.gen(function* () {
          const route = Stream.fromIterable(everything).pipe(SseResponse.make())
          const { complaints, page } = yield* visit({ "/events": route }, yield* client)
          const { events, failure } = yield* collect(page, '"/events"')
          assert.deepStrictEqual(json(events), json(everything))
          assert.isUndefined(failure)
          assert.deepStrictEqual(complaints, [])
        })
      )

      it.effect("fails where the stream was cut", () =>
        Effect.gen(function* () {
          for (const [ending, code] of endings) {
            const route = Stream.concat(begun, ending).pipe(SseResponse.make())
            const { page } = yield* visit({ "/events": route }, yield* client)
            const { events, failure } = yield* collect(page, '"/events"')
            assert.deepStrictEqual(
              events.map((event) => event._tag),
              ["Start", "Delta"]
            )
            assert.strictEqual(failure, code)
          }
        })
      )

      it.effect("interrupts the model when it is left", () =>
        Effect.gen(function* () {
          const { events, isLeft } = yield* silent
          const { page } = yield* visit({ "/events": events.pipe(SseResponse.make()) }, yield* client)
          const { events: seen } = yield* collect(page, '"/events", 2')
          assert.lengthOf(seen, 2)
          assert.isTrue(yield* isLeft)
        })
      )
    })
  })
})

/** A module of this repository, and all that it imports, as one for a browser. */
function bundled(source: string): Effect.Effect<string> {
  const entry = Path.resolve(import.meta.dirname, "../../entry.ts")
  const plugin = {
    name: "entry",
    resolveId: (id: string) => (id === entry ? id : null),
    load: (id: string) => (id === entry ? source : null)
  }
  const bundle = Effect.promise(async () => {
    const { output } = await build({
      input: entry,
      platform: "browser",
      plugins: [plugin],
      output: { minify: true },
      write: false
    })
    return output[0].code.replaceAll("</script", "<\\/script")
  })
  return Effect.runSync(Effect.cached(bundle))
}
