/**
 * Bytes of a provider that is not known beforehand: the first chunk that can only be one protocol's tells which it is.
 *
 * 1. The events are those of the protocol's own decoder, however the bytes were split; only `Progress` may come earlier.
 * 2. Until the protocol is known, bytes are held back: at most twice as many code units as one event may have.
 * 3. An error in place of an answer is a `ProviderFailure`, whoever sent it. Nothing at all is `Truncated`, and so is what
 *    breaks off in its first event. What no protocol recognizes is a `ProtocolViolation`, which says as little of it as it
 *    can.
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import { ChunkDecoder } from "../internal/chunkDecoder.ts"
import { JsonValueReader } from "../internal/jsonValues.ts"
import type { Line } from "../internal/lines.ts"
import * as Sse from "../internal/sse.ts"
import { nonEmpty, record, type UnknownRecord } from "../internal/untyped.ts"
import * as StreamConfig from "../StreamConfig.ts"
import * as StreamError from "../StreamError.ts"
import * as StreamEvent from "../StreamEvent.ts"
import * as AnthropicMessages from "./AnthropicMessages.ts"
import * as CohereChat from "./CohereChat.ts"
import * as GoogleGenerate from "./GoogleGenerate.ts"
import * as GoogleInteractions from "./GoogleInteractions.ts"
import * as OllamaChat from "./OllamaChat.ts"
import * as OpenAiChat from "./OpenAiChat.ts"
import * as OpenAiCompletions from "./OpenAiCompletions.ts"
import * as OpenAiResponses from "./OpenAiResponses.ts"
import * as Protocol from "./Protocol.ts"
import * as Provider from "./Provider.ts"
import * as SseStream from "./SseStream.ts"
import * as UiMessageStream from "./UiMessageStream.ts"

// -----------------------------------------------------------------------------
// protocols
// -----------------------------------------------------------------------------

interface Candidate {
  readonly name: string
  readonly framing: Protocol.Protocol<unknown>["framing"]
  readonly recognizes: (chunk: UnknownRecord) => boolean
  readonly decode: Provider.Provider["decode"]
}

const candidate = <State>(name: string, protocol: Protocol.Protocol<State>): Candidate => ({
  name,
  framing: protocol.framing,
  recognizes: protocol.recognizes,
  decode: (options) => Protocol.decode(protocol, options)
})

/**
 * All protocols that are recognized.
 *
 * @internal
 */
export const candidates: ReadonlyArray<Candidate> = [
  candidate("AnthropicMessages", AnthropicMessages.protocol),
  candidate("CohereChat", CohereChat.protocol),
  candidate("GoogleGenerate", GoogleGenerate.protocol),
  candidate("GoogleInteractions", GoogleInteractions.protocol),
  candidate("OllamaChat", OllamaChat.protocol),
  candidate("OpenAiChat", OpenAiChat.protocol),
  candidate("OpenAiCompletions", OpenAiCompletions.protocol),
  candidate("OpenAiResponses", OpenAiResponses.protocol),
  candidate("UiMessageStream", UiMessageStream.protocol)
]

// -----------------------------------------------------------------------------
// probe
// -----------------------------------------------------------------------------

/** What decides. */
type Finding =
  | { readonly _tag: "Candidate"; readonly candidate: Candidate }
  | { readonly _tag: "Failure"; readonly failure: Protocol.DecodeError }

/** JSON chunks that are looked at before one that no protocol recognizes is taken for what the stream is. */
const maxChunks = 16

/** Reads on until something decides. */
class Probe {
  /** Signs of life so far. */
  keepAlives = 0
  private readonly options: Protocol.Options | undefined
  private readonly maxSize: number
  private readonly decoder = new ChunkDecoder()
  private readonly sse: Sse.SseParser
  /** Where the text begins as JSON does. */
  private json: JsonValueReader | undefined
  /** The beginning of text that is no JSON, to see what it is. */
  private start = ""
  private size = 0
  private chunks = 0
  private seen: string | undefined

  constructor(options: Protocol.Options | undefined, maxSize: number) {
    this.options = options
    this.maxSize = maxSize
    this.sse = Sse.make({ maxEventSize: maxSize })
  }

  feed(chunks: ReadonlyArray<Uint8Array | string>): Finding | undefined {
    for (const chunk of chunks) {
      const finding = this.read(this.decoder.decode(chunk))
      if (finding !== undefined) return finding
    }
    return undefined
  }

  /** The stream is over, and has to be something. */
  end(): Finding {
    const finding = this.read(this.decoder.end())
    if (finding !== undefined) return finding
    // An event without its blank line counts when its JSON is whole.
    const last = this.sse.end()
    const found = last === undefined ? undefined : this.take(last.data, last.offset)
    return found === undefined || isMalformed(found) ? failed(this.verdict()) : found
  }

  private read(text: string): Finding | undefined {
    let piece = text
    if (this.json === undefined && this.start === "") {
      // Neither white space nor a byte order mark says anything.
      const rest = text.trimStart()
      if (/^[[{]/.test(rest)) {
        this.json = new JsonValueReader(this.maxSize, this.size + text.length - rest.length)
        piece = rest
      }
    }
    this.size += text.length
    return (
      (this.json === undefined ? this.readSse(piece) : this.readJson(this.json, piece)) ??
      (this.size > 2 * this.maxSize ? failed(SseStream.tooLarge(this.maxSize)) : undefined)
    )
  }

  private readJson(reader: JsonValueReader, text: string): Finding | undefined {
    const values: Array<Line> = []
    const fits = reader.feed(text, values)
    return (
      first(values, ({ offset, text }) => this.take(text, offset)) ??
      (fits ? undefined : failed(SseStream.tooLarge(this.maxSize)))
    )
  }

  private readSse(text: string): Finding | undefined {
    if (this.start.length < longestName) this.start = (this.start + text).trimStart().slice(0, longestName)
    const events: Array<SseStream.SseEvent> = []
    const fits = this.sse.feed(text, events)
    const finding = first(events, (event) => {
      if (!SseStream.isComment(event) && event.data.trim() !== "") return this.take(event.data, event.offset)
      this.keepAlives++
      return undefined
    })
    return finding ?? (fits ? undefined : failed(SseStream.tooLarge(this.maxSize)))
  }

  /** Looks at the text of a chunk. */
  private take(text: string, offset: number): Finding | undefined {
    if (text.trim() === "[DONE]") return failed(this.verdict())
    let json: unknown
    try {
      json = JSON.parse(text)
    } catch (cause) {
      // As every decoder does.
      if (this.options?.onMalformed === "skip") return undefined
      return failed(StreamError.make({ _tag: "MalformedFrame", offset, cause }))
    }
    const chunk = record(json) ?? {}
    const otherFraming = this.json === undefined ? "ndjson" : "sse"
    const found = candidates.find(({ framing, recognizes }) => framing !== otherFraming && recognizes(chunk))
    if (found !== undefined) return { _tag: "Candidate", candidate: found }
    if (isError(chunk)) return failed(new Protocol.Output(providerOf(this.options)).failure(chunk))
    this.seen ??= `JSON with ${fieldsOf(chunk)}`
    return ++this.chunks === maxChunks ? failed(this.verdict()) : undefined
  }

  private verdict(): Protocol.DecodeError {
    const actual = this.seen ?? (this.isEventStream() ? undefined : "text that is no stream of events")
    return actual === undefined
      ? StreamError.make({ _tag: "Truncated", expected: "its first event" })
      : StreamError.make({ _tag: "ProtocolViolation", expected: "a stream of a known protocol", actual })
  }

  /** Whether the text is nothing, or begins as a stream does, cut short or not. */
  private isEventStream(): boolean {
    if (this.json !== undefined || this.start === "") return true
    return fieldNames.some((name) => this.start.startsWith(name) || name.startsWith(this.start))
  }
}

const fieldNames = ["data:", "event:", "id:", "retry:", ":"]
const longestName = 6

const failed = (failure: Protocol.DecodeError): Finding => ({ _tag: "Failure", failure })

const first = <A>(values: ReadonlyArray<A>, f: (value: A) => Finding | undefined): Finding | undefined => {
  for (const value of values) {
    const finding = f(value)
    if (finding !== undefined) return finding
  }
  return undefined
}

const isMalformed = (finding: Finding): boolean =>
  finding._tag === "Failure" && finding.failure.reason._tag === "MalformedFrame"

const providerOf = (options: Protocol.Options | undefined): string => options?.provider ?? "unknown"

/** An error in the place of an answer, in the ways in which providers send one. */
const isError = (chunk: UnknownRecord): boolean =>
  record(chunk["error"]) !== undefined ||
  nonEmpty(chunk["error"]) !== undefined ||
  chunk["type"] === "error" ||
  chunk["object"] === "error"

/** Names of fields, no values: a few, and not all of a long one. */
const fieldsOf = (chunk: UnknownRecord): string => {
  const names = Object.keys(chunk).map((name) => JSON.stringify(name.slice(0, 20)))
  if (names.length === 0) return "no fields"
  return `the fields ${names.slice(0, 5).join(", ")}${names.length > 5 ? " and others" : ""}`
}

// -----------------------------------------------------------------------------
// decoding
// -----------------------------------------------------------------------------

/**
 * Decodes the bytes of whichever protocol they are of.
 *
 * **Details**
 *
 * The options are those of every decoder. Without `provider`, errors name the provider of the protocol that was found.
 *
 * **Gotchas**
 *
 * Where you know the provider, use its own module: it needs no first event to tell, and its `Layer` makes the request too.
 *
 * **Example** (Whose bytes these are)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { StreamHandler, Wire } from "effect-llm-streaming"
 *
 * const bytes = Stream.make(
 *   ': OPENROUTER PROCESSING\n\ndata: {"choices":[{"delta":{"content":"Hel"}}]}\n\n',
 *   'data: {"choices":[{"delta":{"content":"lo"},"finish_reason":"stop"}]}\n\n'
 * )
 * Effect.runSync(bytes.pipe(Wire.detect(), StreamHandler.runText())) // => "Hello"
 * const page = Stream.make("<html>Bad Gateway</html>").pipe(Wire.detect(), Stream.runDrain, Effect.flip)
 * Effect.runSync(page).message // => "Expected a stream of a known protocol, got text that is no stream of events"
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const detect = (options?: Protocol.Options) => {
  const decoders = new Map(candidates.map((candidate) => [candidate, candidate.decode(options)]))
  return <E, R>(
    self: Stream.Stream<Uint8Array | string, E, R>
  ): Stream.Stream<StreamEvent.StreamEvent, E | Protocol.DecodeError, R> =>
    Stream.transformPull(self, (upstream, scope) =>
      Effect.withFiber((fiber) => {
        type In = Arr.NonEmptyReadonlyArray<Uint8Array | string>
        type Out = Pull.Pull<Arr.NonEmptyReadonlyArray<StreamEvent.StreamEvent>, E | Protocol.DecodeError>
        const clock = fiber.getRef(Clock.Clock)
        const maxEventSize = options?.maxEventSize ?? fiber.getRef(StreamConfig.StreamConfig).maxEventSize
        const probe = new Probe(options, maxEventSize)
        const held: Array<Uint8Array | string> = []
        let shown = 0

        /** Goes on as the protocol's own decoder does, which gets what was held back and then `rest`. */
        const follow = (finding: Finding, rest: Pull.Pull<In, E>): Out => {
          if (finding._tag === "Failure") return (next = Effect.fail(finding.failure))
          let source: Pull.Pull<In, E> = Effect.suspend(() => {
            source = rest
            const all = held.splice(0)
            return Arr.isArrayNonEmpty(all) ? Effect.succeed(all) : rest
          })
          const bytes = Stream.fromPull(Effect.succeed(Effect.suspend(() => source)))
          const events = decoders.get(finding.candidate)!(bytes)
          return Effect.flatMap(Channel.toPullScoped(Stream.toChannel(events), scope), (pull) => {
            next = pull
            // Start was shown already, and so were the first signs of life, which come with all that was held back.
            return Effect.flatMap(Effect.andThen(pull, pull), (events) => {
              const others = events.filter((event) => !(isKeepAlive(event) && shown-- > 0))
              return Arr.isArrayNonEmpty(others) ? Effect.succeed(others) : pull
            })
          })
        }
        const pull: Out = Pull.matchEffect(upstream, {
          onSuccess: (chunks): Out => {
            for (const chunk of chunks) held.push(chunk)
            const finding = probe.feed(chunks)
            if (finding !== undefined) return follow(finding, upstream)
            const alive = probe.keepAlives - shown
            shown = probe.keepAlives
            const timestamp = clock.currentTimeMillisUnsafe()
            const progress = Array.from({ length: alive }, () => StreamEvent.progress(timestamp, "keep-alive"))
            return Arr.isArrayNonEmpty(progress) ? Effect.succeed(progress) : pull
          },
          onFailure: (cause): Out => {
            if (Cause.hasInterruptsOnly(cause)) return Effect.failCause(cause)
            const finding = probe.end()
            // The first failure is the one that counts.
            return finding._tag === "Failure" ? Effect.failCause(cause) : follow(finding, Effect.failCause(cause))
          },
          onDone: (): Out => follow(probe.end(), Cause.done())
        })
        let next: Out = Effect.suspend(() => {
          next = pull
          return Effect.succeed([StreamEvent.start(clock.currentTimeMillisUnsafe())])
        })
        return Effect.succeed(Effect.suspend(() => next))
      })
    )
}

const isKeepAlive = (event: StreamEvent.StreamEvent): boolean =>
  event._tag === "Progress" && event.kind === "keep-alive"

/**
 * Decodes a response of whichever protocol it is of: `Start` when its headers are there, `ProviderFailure` for a status
 * outside 2xx.
 *
 * **Details**
 *
 * The AI SDK's UI message stream says in a header what it is; then its first event need not tell.
 *
 * @category HTTP
 * @since 0.1.0
 */
export const fromResponse = (
  response: HttpClientResponse.HttpClientResponse,
  options?: Protocol.Options
): Stream.Stream<StreamEvent.StreamEvent, Provider.ResponseError> =>
  response.headers["x-vercel-ai-ui-message-stream"] === "v1"
    ? UiMessageStream.fromResponse(response, options)
    : Provider.decodeResponse(response, providerOf(options), detect(options))
