/**
 * Cassettes: a response's bytes with the times at which they arrived, recorded once and played back in tests.
 *
 * A cassette is a file of JSON lines that a person can read and a diff can show:
 *
 * ```text
 * {"cassette":1}
 * {"at":312,"text":"data: {\"choices\":[{\"delta\":{\"content\":\"Hello\"}}]}\n\n"}
 * {"at":340,"base64":"8J8="}
 * {"at":341,"ending":"end"}
 * ```
 *
 * 1. Bytes come out as they went in, chunk by chunk, at the times in `at`: milliseconds since the recording began, on
 *    Effect's clock, so that `TestClock` plays them at once. Chunks that are UTF-8 are text, all others base64.
 * 2. Recording passes the bytes on as they are. What had arrived before a failure or an interruption is on the cassette,
 *    which is shorter and no less valid; how it ended is the last line, and is played back too. One without that line, of
 *    a process that died say, was interrupted.
 * 3. Of a response, the status and a few headers are kept that a decoder reads; of the request, and of keys, nothing.
 *
 * @since 0.1.0
 */
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as FileSystem from "effect/FileSystem"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaTransformation from "effect/SchemaTransformation"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as StreamBuffer from "../StreamBuffer.ts"
import * as StreamConfig from "../StreamConfig.ts"
import * as StreamError from "../StreamError.ts"

// -----------------------------------------------------------------------------
// model
// -----------------------------------------------------------------------------

/**
 * What a response said before its body.
 *
 * @category models
 * @since 0.1.0
 */
export interface Head {
  /** Milliseconds since the request. */
  readonly at: number
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
}

/**
 * Bytes that arrived together.
 *
 * @category models
 * @since 0.1.0
 */
export interface Chunk {
  /** Milliseconds since the recording began. */
  readonly at: number
  readonly bytes: Uint8Array
}

/**
 * How a recording ended: the source ended or failed, or its reader left or was interrupted.
 *
 * @category models
 * @since 0.1.0
 */
export type Ending =
  | { readonly _tag: "End"; readonly at: number }
  | { readonly _tag: "Failure"; readonly at: number; readonly error: unknown }
  | { readonly _tag: "Interruption"; readonly at: number }

/**
 * A recording.
 *
 * @category models
 * @since 0.1.0
 */
export interface Cassette {
  readonly head?: Head | undefined
  readonly chunks: ReadonlyArray<Chunk>
  readonly ending: Ending
}

// -----------------------------------------------------------------------------
// schema
// -----------------------------------------------------------------------------

const Millis = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

const Head = Schema.Struct({
  at: Millis,
  status: Schema.Int.check(Schema.isBetween({ minimum: 200, maximum: 599 })),
  headers: Schema.Record(Schema.String, Schema.String)
})

/** Any failure: this library's own as they were, others by name and message. */
const Failure = Schema.Union([StreamError.StreamError, Schema.Defect()])

const Value: Schema.Codec<Cassette> = Schema.toType(
  Schema.Struct({
    head: Schema.optional(Head),
    chunks: Schema.Array(Schema.Struct({ at: Millis, bytes: Schema.Uint8Array })),
    ending: Schema.Union([
      Schema.TaggedStruct("End", { at: Millis }),
      Schema.TaggedStruct("Failure", { at: Millis, error: Failure }),
      Schema.TaggedStruct("Interruption", { at: Millis })
    ])
  })
)

const FirstLine = Schema.Struct({ cassette: Schema.Literal(1), head: Schema.optional(Head) })

const Line = Schema.Union([
  Schema.Struct({ at: Millis, text: Schema.String }),
  Schema.Struct({ at: Millis, base64: Schema.String }),
  Schema.Struct({ at: Millis, ending: Schema.Literals(["end", "interruption"]) }),
  Schema.Struct({ at: Millis, ending: Schema.Literal("failure"), error: Schema.Unknown })
])

const decodeFirstLine = Schema.decodeUnknownOption(Schema.fromJsonString(FirstLine))
const decodeLine = Schema.decodeUnknownOption(Schema.fromJsonString(Line))
const encodeFailure = Schema.encodeUnknownSync(Failure)
const decodeFailure = Schema.decodeUnknownOption(Failure)

/**
 * Schema for {@link Cassette}: from and to the text of its file.
 *
 * **Example** (A cassette in code)
 *
 * ```ts
 * import { Effect, Schema, Stream } from "effect"
 * import { Cassette } from "effect-llm-streaming"
 *
 * const text = ['{"cassette":1}', '{"at":0,"text":"Hello"}', '{"at":9,"ending":"end"}', ""].join("\n")
 * const cassette = Schema.decodeSync(Cassette.Cassette)(text)
 * cassette.ending // => { _tag: "End", at: 9 }
 * Schema.encodeSync(Cassette.Cassette)(cassette) === text // => true
 * const played = Cassette.replay(cassette, { speed: Infinity }).pipe(Stream.decodeText, Stream.mkString)
 * await Effect.runPromise(played) // => "Hello"
 * ```
 *
 * @category schemas
 * @since 0.1.0
 */
export const Cassette: Schema.Codec<Cassette, string> = Schema.String.pipe(
  Schema.decodeTo(
    Value,
    SchemaTransformation.transformEffect({
      decode: (text: string, options) => {
        const read = parse(text)
        return Result.isSuccess(read)
          ? Effect.succeed(read.success)
          : // The text is left out: it is what a model said.
            Effect.fail(new SchemaIssue.InvalidValue({ message: read.failure }, undefined, options))
      },
      encode: (cassette: Cassette) => Effect.succeed(render(cassette))
    })
  )
)

// -----------------------------------------------------------------------------
// lines
// -----------------------------------------------------------------------------

const parse = (text: string): Result.Result<Cassette, string> => {
  const [first = "", ...rest] = text.split("\n")
  const opened = Option.getOrUndefined(decodeFirstLine(first))
  if (opened === undefined) return Result.fail("the first line is none of a cassette of version 1")
  // Behind the last line feed there is nothing, or what a process was writing when it died.
  rest.pop()
  const chunks: Array<Chunk> = []
  let ending: Ending | undefined
  for (const [i, json] of rest.entries()) {
    const line = Option.getOrUndefined(decodeLine(json))
    if (line === undefined) return Result.fail(`line ${i + 2} is none of a cassette`)
    if (ending !== undefined) return Result.fail(`line ${i + 2} is behind the ending`)
    if ("ending" in line) {
      ending = endingOf(line)
    } else {
      const bytes = "text" in line ? Result.succeed(encoder.encode(line.text)) : Base64.decode(line.base64)
      if (Result.isFailure(bytes)) return Result.fail(`line ${i + 2} is no base64`)
      chunks.push({ at: line.at, bytes: bytes.success })
    }
  }
  const last = { _tag: "Interruption", at: chunks.at(-1)?.at ?? 0 } as const
  return Result.succeed({ head: opened.head, chunks, ending: ending ?? last })
}

const endingOf = (line: Extract<typeof Line.Type, { readonly ending: string }>): Ending => {
  if (line.ending !== "failure") return { _tag: line.ending === "end" ? "End" : "Interruption", at: line.at }
  return { _tag: "Failure", at: line.at, error: Option.getOrElse(decodeFailure(line.error), () => line.error) }
}

const render = ({ chunks, ending, head }: Cassette): string =>
  renderHead(head) + chunks.map(renderChunk).join("") + renderEnding(ending)

const renderHead = (head: Head | undefined): string => renderLine({ cassette: 1, head })

const renderChunk = ({ at, bytes }: Chunk): string => {
  const text = utf8(bytes)
  return renderLine(text === undefined ? { at, base64: Base64.encode(bytes) } : { at, text })
}

const renderEnding = (ending: Ending): string => {
  const { at } = ending
  switch (ending._tag) {
    case "End":
      return renderLine({ at, ending: "end" })
    case "Interruption":
      return renderLine({ at, ending: "interruption" })
    case "Failure":
      return renderLine({ at, ending: "failure", error: encodeFailure(ending.error) })
  }
}

const renderLine = (line: unknown): string => `${JSON.stringify(line)}\n`

const encoder = new TextEncoder()
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

const utf8 = (bytes: Uint8Array): string | undefined => {
  try {
    return decoder.decode(bytes)
  } catch {
    return undefined
  }
}

// -----------------------------------------------------------------------------
// recording
// -----------------------------------------------------------------------------

/**
 * Records a stream of bytes into a file while it passes through.
 *
 * **Details**
 *
 * The file is begun when the stream is, in place of one that was there, and each line is written before its bytes go on.
 * A file that cannot be written fails the stream with `SourceFailure`, behind the bytes that had arrived.
 *
 * **Gotchas**
 *
 * Bytes arrive when they are read: a slow reader is on the cassette too.
 *
 * **Example** (Recording a response)
 *
 * ```ts no-run
 * import { Effect } from "effect"
 * import { HttpClient } from "effect/http"
 * import { Cassette, OpenAiChat, StreamHandler } from "effect-llm-streaming"
 *
 * const program = Effect.gen(function* () {
 *   const response = yield* HttpClient.get("http://localhost:8080/stream")
 *   return yield* response.stream.pipe(Cassette.record("hello.ndjson"), OpenAiChat.decode(), StreamHandler.run())
 * })
 * ```
 *
 * @category recording
 * @since 0.1.0
 */
export const record =
  (path: string) =>
  <E, R>(
    self: Stream.Stream<Uint8Array, E, R>
  ): Stream.Stream<Uint8Array, E | StreamError.StreamErrorOf<"SourceFailure">, R | FileSystem.FileSystem> =>
    Stream.unwrap(Effect.map(openFile(path), (write) => recordWith(write)(self)))

/**
 * Records a stream of bytes with a function that takes the text of the cassette as it grows, in whole lines: to put it
 * into a store of your own.
 *
 * @category recording
 * @since 0.1.0
 */
export const recordWith = <E2 = never, R2 = never>(write: (lines: string) => Effect.Effect<void, E2, R2>) => {
  return <E, R>(self: Stream.Stream<Uint8Array, E, R>): Stream.Stream<Uint8Array, E | E2, R | R2> =>
    recordFrom(self, write)
}

/** Where a recording begins, if not with its stream. */
interface Opening {
  readonly head: Head
  readonly startedAt: bigint
}

const recordFrom = <E, R, E2, R2>(
  self: Stream.Stream<Uint8Array, E, R>,
  write: (lines: string) => Effect.Effect<void, E2, R2>,
  opening?: Opening
): Stream.Stream<Uint8Array, E | E2, R | R2> =>
  Stream.transformPull(self, (upstream, scope) =>
    Effect.gen(function* () {
      type Out = Pull.Pull<Arr.NonEmptyReadonlyArray<Uint8Array>, E | E2, void, R2>
      const clock = yield* Clock.Clock
      const context = yield* Effect.context<R2>()
      const startedAt = opening?.startedAt ?? clock.monotonicTimeNanosUnsafe()
      const at = () => millisSince(clock, startedAt)
      let isOver = false
      const end = (ending: Ending): Effect.Effect<void, E2, R2> =>
        Effect.suspend(() => {
          if (isOver) return Effect.void
          isOver = true
          return write(renderEnding(ending))
        })
      yield* write(renderHead(opening?.head))
      yield* Scope.addFinalizer(
        scope,
        // Nobody is left to be told that it failed.
        Effect.suspend(() => end({ _tag: "Interruption", at: at() })).pipe(
          Effect.ignore,
          Effect.provideContext(context)
        )
      )
      const pull: Out = Pull.matchEffect(upstream, {
        onSuccess: (chunks): Out => {
          const lines = chunks.map((bytes) => renderChunk({ at: at(), bytes })).join("")
          return Effect.matchCauseEffect(write(lines), {
            onSuccess: () => Effect.succeed(chunks),
            onFailure: (cause) => {
              next = Effect.failCause(cause)
              return Effect.succeed(chunks)
            }
          })
        },
        onFailure: (cause): Out =>
          Cause.hasInterruptsOnly(cause)
            ? Effect.failCause(cause)
            : // The source failed first, whatever the file does.
              end({ _tag: "Failure", at: at(), error: Cause.squash(cause) }).pipe(
                Effect.exit,
                Effect.andThen(Effect.failCause(cause))
              ),
        onDone: (): Out => Effect.andThen(end({ _tag: "End", at: at() }), Cause.done())
      })
      let next = pull
      return Effect.suspend(() => next)
    })
  )

const millisSince = (clock: Clock.Clock, startedAt: bigint): number =>
  Number((clock.monotonicTimeNanosUnsafe() - startedAt) / 1_000_000n)

const openFile = (path: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const file = yield* Effect.mapError(fs.open(path, { flag: "w" }), sourceFailure)
    return (lines: string) => Effect.mapError(file.writeAll(encoder.encode(lines)), sourceFailure)
  })

const sourceFailure = (cause: unknown): StreamError.StreamErrorOf<"SourceFailure"> =>
  StreamError.make({ _tag: "SourceFailure", cause })

/**
 * Runs a stream of bytes and keeps it as a cassette. It does not fail where the stream does: that is on the cassette. One
 * whose text is larger than `StreamConfig`'s `maxBufferSize` fails with `BufferOverflow`.
 *
 * **Example** (What a stream did)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { Cassette } from "effect-llm-streaming"
 *
 * const bytes = Stream.concat(Stream.make(new Uint8Array([72, 105])), Stream.fail("reset"))
 * const cassette = Effect.runSync(Cassette.collect(bytes))
 * cassette.chunks.length // => 1
 * cassette.ending._tag // => "Failure"
 * ```
 *
 * @category recording
 * @since 0.1.0
 */
export const collect = <E, R>(
  self: Stream.Stream<Uint8Array, E, R>
): Effect.Effect<Cassette, StreamError.StreamErrorOf<"BufferOverflow">, R> =>
  Effect.gen(function* () {
    const { maxBufferSize } = yield* StreamConfig.StreamConfig
    let text = ""
    let overflow: StreamError.StreamErrorOf<"BufferOverflow"> | undefined
    const write = (lines: string) =>
      Effect.suspend(() => {
        const size = text.length + lines.length
        if (size <= maxBufferSize) {
          text += lines
          return Effect.void
        }
        overflow ??= StreamBuffer.overflow(maxBufferSize, size)
        return Effect.fail(overflow)
      })
    yield* Effect.exit(Stream.runDrain(recordWith(write)(self)))
    if (overflow !== undefined) return yield* Effect.fail(overflow)
    return Schema.decodeSync(Cassette)(text)
  })

// -----------------------------------------------------------------------------
// playing
// -----------------------------------------------------------------------------

/**
 * @category options
 * @since 0.1.0
 */
export interface ReplayOptions {
  /** How many times as fast as it was recorded. 1 by default; `Infinity` waits for nothing. */
  readonly speed?: number | undefined
}

/**
 * Plays a cassette, or the one in a file: the same chunks after the same times, and then the same ending.
 *
 * **Details**
 *
 * A failure is the `StreamError` that it was, any other error is the cause of a `SourceFailure`. An interruption is an
 * interruption. A file that cannot be read, or is no cassette, is a `SourceFailure`. A `speed` that is not greater than 0
 * throws a `RangeError`.
 *
 * **Example** (A test of a decoder)
 *
 * ```ts
 * import { Effect, Fiber, Schema } from "effect"
 * import { TestClock } from "effect/testing"
 * import { Cassette, OpenAiChat, StreamHandler } from "effect-llm-streaming"
 *
 * const cassette = Schema.decodeSync(Cassette.Cassette)(
 *   [
 *     '{"cassette":1}',
 *     '{"at":300,"text":"data: {\\"choices\\":[{\\"delta\\":{\\"content\\":\\"Hello\\"}}]}\\n\\n"}',
 *     '{"at":900,"text":"data: {\\"choices\\":[{\\"delta\\":{},\\"finish_reason\\":\\"stop\\"}]}\\n\\n"}',
 *     '{"at":900,"ending":"end"}\n'
 *   ].join("\n")
 * )
 * const program = Effect.gen(function* () {
 *   const fiber = yield* Cassette.replay(cassette).pipe(OpenAiChat.decode(), StreamHandler.run(), Effect.forkChild)
 *   yield* TestClock.adjust("1 second")
 *   return yield* Fiber.join(fiber)
 * })
 * const { stats, text } = await Effect.runPromise(program.pipe(Effect.provide(TestClock.layer())))
 * text // => "Hello"
 * stats.firstTokenMs // => 300
 * stats.totalDurationMs // => 900
 * ```
 *
 * @category playing
 * @since 0.1.0
 */
export function replay(
  path: string,
  options?: ReplayOptions
): Stream.Stream<Uint8Array, StreamError.StreamError, FileSystem.FileSystem>
export function replay(cassette: Cassette, options?: ReplayOptions): Stream.Stream<Uint8Array, StreamError.StreamError>
export function replay(
  cassette: string | Cassette,
  options?: ReplayOptions
): Stream.Stream<Uint8Array, StreamError.StreamError, FileSystem.FileSystem> {
  const speed = checkSpeed(options)
  return typeof cassette === "string"
    ? Stream.unwrap(Effect.map(load(cassette), (loaded) => play(loaded, speed)))
    : play(cassette, speed)
}

/**
 * Reads a cassette from its file. One that cannot be read, or is none, is a `SourceFailure`.
 *
 * @category playing
 * @since 0.1.0
 */
export const load = (
  path: string
): Effect.Effect<Cassette, StreamError.StreamErrorOf<"SourceFailure">, FileSystem.FileSystem> =>
  Effect.flatMap(FileSystem.FileSystem, (fs) => fs.readFileString(path)).pipe(
    Effect.flatMap(Schema.decodeEffect(Cassette)),
    Effect.mapError(sourceFailure)
  )

const checkSpeed = (options: ReplayOptions | undefined): number => {
  const speed = options?.speed ?? 1
  if (!(speed > 0)) throw new RangeError(`speed must be greater than 0, got ${speed}`)
  return speed
}

const play = (
  { chunks, ending }: Cassette,
  speed: number,
  startedAt?: bigint
): Stream.Stream<Uint8Array, StreamError.StreamError> =>
  Stream.fromPull(
    Clock.clockWith((clock) => {
      type Out = Pull.Pull<Arr.NonEmptyReadonlyArray<Uint8Array>, StreamError.StreamError>
      const zero = startedAt ?? clock.monotonicTimeNanosUnsafe()
      let index = 0
      return Effect.succeed(
        Effect.suspend((): Out => {
          const first = chunks[index]
          if (first === undefined) return Effect.andThen(waitUntil(clock, zero, ending.at / speed), endOf(ending))
          return Effect.map(waitUntil(clock, zero, first.at / speed), () => {
            let end = index
            while (chunks[end]?.at === first.at) end++
            // Copies: whoever takes them may change them or hand them over.
            const together = chunks.slice(index, end).map((chunk) => chunk.bytes.slice())
            index = end
            return together as [Uint8Array, ...Array<Uint8Array>]
          })
        })
      )
    })
  )

const waitUntil = (clock: Clock.Clock, startedAt: bigint, at: number): Effect.Effect<void> => {
  const left = at - Number(clock.monotonicTimeNanosUnsafe() - startedAt) / 1_000_000
  return left > 0 ? clock.sleep(Duration.millis(left)) : Effect.void
}

const endOf = (ending: Ending): Pull.Pull<never, StreamError.StreamError> => {
  switch (ending._tag) {
    case "End":
      return Cause.done()
    case "Interruption":
      return Effect.interrupt
    case "Failure":
      return Effect.fail(StreamError.isStreamError(ending.error) ? ending.error : sourceFailure(ending.error))
  }
}

// -----------------------------------------------------------------------------
// HTTP
// -----------------------------------------------------------------------------

/**
 * An `HttpClient` that answers each request with a cassette and sends none: the real providers' Layers, without a network.
 *
 * **Details**
 *
 * `pick` gives the cassette for a request, of which it is also told how many came before. A cassette without the head of a
 * response is the body of one with the status 200.
 *
 * **Example** (A backend that is tested on a recording)
 *
 * ```ts no-run
 * import { Effect, Layer } from "effect"
 * import { FileSystem } from "effect"
 * import { Cassette, OpenAiChat, StreamHandler, StreamModel } from "effect-llm-streaming"
 *
 * declare const Files: Layer.Layer<FileSystem.FileSystem>
 *
 * const Model = OpenAiChat.layer({ model: "gpt-5" }).pipe(
 *   Layer.provide(Cassette.layer(() => Cassette.load("cassettes/hello.ndjson"))),
 *   Layer.provide(Files)
 * )
 * const program = StreamModel.stream({ prompt: "hi" }).pipe(StreamHandler.runText())
 * await Effect.runPromise(Effect.provide(program, Model))
 * ```
 *
 * @category HTTP
 * @since 0.1.0
 */
export const layer = <R>(
  pick: (
    request: HttpClientRequest.HttpClientRequest,
    index: number
  ) => Effect.Effect<Cassette, StreamError.StreamErrorOf<"SourceFailure">, R>,
  options?: ReplayOptions
): Layer.Layer<HttpClient.HttpClient, never, R> => {
  const speed = checkSpeed(options)
  return Layer.effect(
    HttpClient.HttpClient,
    Effect.map(Effect.context<R>(), (context) => {
      let count = 0
      return HttpClient.make((request) =>
        Effect.gen(function* () {
          const clock = yield* Clock.Clock
          const startedAt = clock.monotonicTimeNanosUnsafe()
          const cassette = yield* pick(request, count++)
          const { at, headers, status } = cassette.head ?? { at: 0, headers: {}, status: 200 }
          yield* waitUntil(clock, startedAt, at / speed)
          return respond(request, status, headers, play(cassette, speed, startedAt))
        }).pipe(
          Effect.mapError(
            (cause) =>
              new HttpClientError.HttpClientError({
                reason: new HttpClientError.TransportError({ request, cause, description: "no cassette" })
              })
          ),
          Effect.provideContext(context)
        )
      )
    })
  )
}

/**
 * The `HttpClient` in context, with the responses recorded: `pick` gives the file for a request, `undefined` where it is not
 * to be recorded. A body that is not read is not recorded.
 *
 * **Example** (Recording a backend)
 *
 * ```ts no-run
 * import { Layer } from "effect"
 * import { FetchHttpClient } from "effect/http"
 * import { Cassette, OpenAiChat } from "effect-llm-streaming"
 *
 * const Model = OpenAiChat.layer({ baseUrl: "http://localhost:11434/v1", model: "qwen3" }).pipe(
 *   Layer.provide(Cassette.layerRecord((_, index) => `cassettes/turn-${index}.ndjson`)),
 *   Layer.provide(FetchHttpClient.layer)
 * )
 * ```
 *
 * @category HTTP
 * @since 0.1.0
 */
export const layerRecord = (
  pick: (request: HttpClientRequest.HttpClientRequest, index: number) => string | undefined
): Layer.Layer<HttpClient.HttpClient, never, HttpClient.HttpClient | FileSystem.FileSystem> =>
  Layer.effect(
    HttpClient.HttpClient,
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const client = yield* HttpClient.HttpClient
      let count = 0
      return HttpClient.transform(client, (execute, request) =>
        Effect.gen(function* () {
          const clock = yield* Clock.Clock
          const startedAt = clock.monotonicTimeNanosUnsafe()
          const path = pick(request, count++)
          const response = yield* execute
          if (path === undefined) return response
          const { headers, status } = response
          const head = { at: millisSince(clock, startedAt), status, headers: keptHeaders(headers) }
          const recorded = Stream.unwrap(
            Effect.map(openFile(path), (write) => recordFrom(response.stream, write, { head, startedAt }))
          )
          return respond(request, status, headers, Stream.provideService(recorded, FileSystem.FileSystem, fs))
        })
      )
    })
  )

/** A response whose body is a stream of Effect's, on its clock, and opened by whoever reads it. */
const respond = (
  request: HttpClientRequest.HttpClientRequest,
  status: number,
  headers: Readonly<Record<string, string>>,
  body: Stream.Stream<Uint8Array, unknown>
): HttpClientResponse.HttpClientResponse => {
  const fromBytes = (bytes?: Uint8Array<ArrayBuffer>) =>
    HttpClientResponse.fromWeb(request, new Response(bytes?.length ? bytes : null, { status, headers }))
  const head = fromBytes()
  const stream = Stream.mapError(body, (cause) =>
    HttpClientError.isHttpClientError(cause)
      ? cause
      : new HttpClientError.HttpClientError({
          reason: new HttpClientError.DecodeError({ request, response: head, cause })
        })
  )
  const whole = Effect.map(Stream.mkUint8Array(stream), fromBytes)
  const response: HttpClientResponse.HttpClientResponse = Object.create(head, {
    stream: { value: stream },
    text: { value: Effect.flatMap(whole, (response) => response.text) },
    json: { value: Effect.flatMap(whole, (response) => response.json) },
    arrayBuffer: { value: Effect.flatMap(whole, (response) => response.arrayBuffer) },
    urlParamsBody: { value: Effect.flatMap(whole, (response) => response.urlParamsBody) },
    formData: { value: Effect.flatMap(whole, (response) => response.formData) }
  })
  return response
}

/** What decoders read. Others may say more than belongs into a file: cookies, the names of accounts. */
const keptHeaders = (headers: Readonly<Record<string, string>>): Record<string, string> => {
  const kept = ["content-type", "retry-after", "retry-after-ms", "request-id", "x-request-id"]
  return Object.fromEntries(Object.entries(headers).filter(([name]) => kept.includes(name)))
}
