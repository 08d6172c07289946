/**
 * What every provider's protocol is, and the one driver that runs them all.
 *
 * A protocol is a record `{ provider, framing, initial, step, onHalt }` over decoded chunks: it knows nothing of bytes, time,
 * errors of transport or Effect. The driver guarantees the rest:
 *
 * 1. `Start` comes first, as soon as the stream is pulled: for a response, when its headers are there.
 * 2. What a chunk gave is emitted before the failure that the chunk caused.
 * 3. The stream ends with `End` only where the protocol says that it is complete; else it fails with `Truncated`.
 * 4. A tool call comes out once, and only when its arguments are whole.
 * 5. After the end nothing more is pulled, so a body that lingers behind `[DONE]` is not waited for.
 *
 * Nothing that a provider says is lost: what is no text and no tool call comes as Metadata, of the same kinds for all
 * protocols where they mean the same.
 *
 * | kind                   | metadata                                                                              |
 * | ---------------------- | ------------------------------------------------------------------------------------- |
 * | `response`             | `id` and `model` of the response, once, and what else it says of itself at its start    |
 * | `finish`               | with `finishReason`, `providerFinishReason` and `usage`; the provider's `usage` object  |
 * | `usage`                | the same without a finish reason, where the stream broke off                            |
 * | `hosted-tool-call`     | a tool that the provider runs, or that is no function: `id`, `name`, `input`, the `item` |
 * | `citation`             | a source of a piece of the text; `part` names the text                                  |
 * | `signature`            | what must be sent back with a piece of reasoning, or a call; `part` names it             |
 * | `block`                | a `block` of the answer, or what of it is shown nowhere else; `part` names it            |
 * | `tool-plan`            | a `delta` of what the model says about the calls that follow: neither answer nor thinking |
 * | `file`                 | an image or another medium of the answer, as the provider has it                       |
 * | `content-filter`       | what the provider's filter says of prompt or answer                                   |
 * | `logprobs`             | as the provider has them                                                              |
 * | `incomplete-tool-call` | `id`, `name`, `argumentsText`; see `onIncompleteToolCall`                               |
 * | `truncated`            | see `onMissingFinish`                                                                 |
 * | `unknown`              | a `chunk` that the protocol does not know                                             |
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import { ChunkDecoder } from "../internal/chunkDecoder.ts"
import { JsonValueReader } from "../internal/jsonValues.ts"
import { type Line, LineReader } from "../internal/lines.ts"
import { describeError } from "../internal/providerError.ts"
import { type Fragment, type LastWord, ToolCallAssembler } from "../internal/toolCallAssembler.ts"
import { record, type UnknownRecord } from "../internal/untyped.ts"
import * as StreamBuffer from "../StreamBuffer.ts"
import * as StreamConfig from "../StreamConfig.ts"
import * as StreamError from "../StreamError.ts"
import * as StreamEvent from "../StreamEvent.ts"
import type * as StreamResult from "../StreamResult.ts"
import * as SseStream from "./SseStream.ts"

// -----------------------------------------------------------------------------
// protocol
// -----------------------------------------------------------------------------

/**
 * The failures that a decoder adds to those of its bytes.
 *
 * @category errors
 * @since 0.1.0
 */
export type DecodeError = StreamError.StreamErrorOf<
  | "Truncated"
  | "ProviderFailure"
  | "MalformedFrame"
  | "FrameTooLarge"
  | "ToolCallIncomplete"
  | "BufferOverflow"
  | "ProtocolViolation"
>

/**
 * A provider's protocol over decoded chunks.
 *
 * @category models
 * @since 0.1.0
 */
export interface Protocol<State> {
  /** The provider's name in errors, unless the options give another. */
  readonly provider: string
  /**
   * How the chunks are framed: as the data of server-sent events, as these or as JSON where an event could begin (Google's
   * servers send one array when they are not asked for events, and an error as it is between events), or as lines of JSON.
   */
  readonly framing: "sse" | "sse-or-json" | "ndjson"
  /** What the terminal event is called, for `Truncated`. */
  readonly terminal: string
  /** The protocol says of each call when it is whole: one of which it has not is incomplete, whatever has come of it. */
  readonly endsCalls?: boolean | undefined
  /** Whether a chunk can only be one of this protocol. */
  readonly recognizes: (chunk: UnknownRecord) => boolean
  readonly initial: () => State
  /**
   * Takes a chunk. `"done"` ends the stream, as a failure does, behind the events of the chunk: the protocol's last word
   * has come.
   */
  readonly step: (state: State, chunk: UnknownRecord, out: Output) => DecodeError | "done" | undefined
  /** `[DONE]` has come, which ends the stream. That it is whole, too, is for the protocol to say. */
  readonly onDone?: ((state: State) => void) | undefined
  /** The stream is over, complete or not. */
  readonly onHalt: (state: State, out: Output) => Halt
}

/**
 * What a protocol knows at the end of its stream.
 *
 * @category models
 * @since 0.1.0
 */
export interface Halt {
  /** Whether the terminal event has come. */
  readonly isComplete: boolean
  readonly finishReason: StreamResult.FinishReason
  readonly providerFinishReason?: string | undefined
  readonly usage?: StreamResult.Usage | undefined
  /** What else belongs to the finish, the provider's own usage object for one. */
  readonly metadata?: UnknownRecord | undefined
}

/**
 * Where a protocol puts what a chunk gives.
 *
 * @category models
 * @since 0.1.0
 */
export class Output {
  readonly provider: string
  readonly tools = new ToolCallAssembler()
  events: Array<StreamEvent.StreamEvent> = []
  timestamp = 0
  /** What the protocol itself holds back, in UTF-16 code units: it counts towards the limit, as tool calls do. */
  held = 0

  constructor(provider: string) {
    this.provider = provider
  }

  /** Answer text, where there is any. */
  delta(text: string | undefined, part?: string): void {
    if (text) this.events.push(StreamEvent.delta(this.timestamp, text, part))
  }

  reasoning(text: string | undefined, part?: string): void {
    if (text) this.events.push(StreamEvent.reasoning(this.timestamp, text, part))
  }

  refusal(text: string | undefined, part?: string): void {
    if (text) this.events.push(StreamEvent.refusal(this.timestamp, text, part))
  }

  /** A piece of a tool call: whatever of it the provider gives. */
  toolFragment(fragment: Fragment): void {
    const shown = this.tools.add(fragment)
    if (shown !== undefined) {
      this.events.push(StreamEvent.toolCallDelta(this.timestamp, shown.call.id, shown.call.name, shown.delta))
    }
  }

  /**
   * The tool call at an index is over; one that is not whole is reported at the end of the stream. `last` is what the
   * provider says of the call when it is over, which counts for more than its fragments.
   */
  toolEnd(index: number, last?: LastWord): void {
    const call = this.tools.take(index, last)
    if (call !== undefined) this.events.push(StreamEvent.toolCall(this.timestamp, call))
  }

  toolResult(result: StreamResult.ToolResult): void {
    this.events.push(StreamEvent.toolResult(this.timestamp, result))
  }

  metadata(kind: string, metadata: UnknownRecord): void {
    this.events.push(StreamEvent.metadata(this.timestamp, kind, { metadata }))
  }

  progress(kind: string): void {
    this.events.push(StreamEvent.progress(this.timestamp, kind))
  }

  /** What a step returns for an error that the provider reports in the stream, under the status 200. */
  failure(error: unknown): StreamError.StreamErrorOf<"ProviderFailure"> {
    const { code, isRetryable, message = "no message", retryAfterMillis } = describeError(error)
    const { provider } = this
    const retryAfter = retryAfterMillis === undefined ? undefined : Duration.millis(retryAfterMillis)
    return StreamError.make({ _tag: "ProviderFailure", provider, code, message, isRetryable, retryAfter })
  }
}

// -----------------------------------------------------------------------------
// options
// -----------------------------------------------------------------------------

/**
 * Options of every decoder.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** Names the provider in errors. */
  readonly provider?: string | undefined
  /** UTF-16 code units that one frame may have. 10 Mi unless `StreamConfig` says otherwise. */
  readonly maxEventSize?: number | undefined
  /**
   * UTF-16 code units of tool calls that are put together at once, and of whatever else is held back. What `StreamConfig`
   * says for `maxBufferSize`, 16 Mi by default.
   */
  readonly maxBufferSize?: number | undefined
  /**
   * What a frame that is not JSON does: `"fail"` (by default) the stream with `MalformedFrame`, or `"skip"` the frame.
   */
  readonly onMalformed?: "fail" | "skip" | undefined
  /**
   * What a stream without its terminal event does: `"fail"` (by default) with `Truncated`; end like any other, but
   * `"mark"`ed by a Metadata event of the kind `truncated`; or be `"accept"`ed as it is.
   */
  readonly onMissingFinish?: "fail" | "mark" | "accept" | undefined
  /**
   * What a tool call does whose arguments are not whole at the end: `"fail"` (by default) the stream with
   * `ToolCallIncomplete`, behind all other events; or be reported as `"metadata"` of the kind `incomplete-tool-call`,
   * with its `id`, `name` and `argumentsText`.
   */
  readonly onIncompleteToolCall?: "fail" | "metadata" | undefined
}

/** Throws for an impossible option. */
const check = (options: Options | undefined): void => {
  SseStream.decode(options)
  if (options?.maxBufferSize !== undefined) StreamBuffer.checkMaxSize("maxBufferSize", options.maxBufferSize)
}

// -----------------------------------------------------------------------------
// driver
// -----------------------------------------------------------------------------

type Events = Arr.NonEmptyReadonlyArray<StreamEvent.StreamEvent>

type Outcome = DecodeError | "done" | undefined

/** How chunks are framed in what comes from upstream. */
interface Framing<In> {
  /** Gives each chunk to `run`; what that returns, or a failure of the framing, ends the stream. */
  readonly feed: (input: Arr.NonEmptyReadonlyArray<In>, run: Run) => Outcome
  readonly end: (run: Run) => Outcome
}

interface Run {
  readonly chunk: (chunk: unknown) => Outcome
  readonly done: () => Outcome
  readonly progress: (kind: string) => void
}

const drive = <State, In, E, R>(
  self: Stream.Stream<In, E, R>,
  protocol: Protocol<State>,
  options: Options | undefined,
  framing: (config: StreamConfig.StreamConfig) => Framing<In>
): Stream.Stream<StreamEvent.StreamEvent, E | DecodeError, R> =>
  Stream.transformPull(self, (upstream) =>
    Effect.withFiber((fiber) => {
      type Out = Pull.Pull<Events, E | DecodeError, void, R>
      const clock = fiber.getRef(Clock.Clock)
      const config = fiber.getRef(StreamConfig.StreamConfig)
      const maxBufferSize = options?.maxBufferSize ?? config.maxBufferSize
      const frames = framing(config)
      const state = protocol.initial()
      const out = new Output(options?.provider ?? protocol.provider)
      const begin = () => {
        out.events = []
        out.timestamp = clock.currentTimeMillisUnsafe()
      }
      const run: Run = {
        chunk(chunk) {
          const body = record(chunk)
          if (body === undefined) {
            out.metadata("unknown", { chunk })
            return undefined
          }
          const outcome = protocol.step(state, body, out)
          if (outcome !== undefined) return outcome
          const size = out.tools.size + out.held
          return size > maxBufferSize ? StreamBuffer.overflow(maxBufferSize, size) : undefined
        },
        done() {
          protocol.onDone?.(state)
          return "done"
        },
        progress: (kind) => out.progress(kind)
      }
      const endWith = (end: Out): Out => {
        next = end
        return Arr.isArrayNonEmpty(out.events) ? Effect.succeed(out.events) : end
      }
      /** What the protocol still holds comes out, also before a failure. Gives what it said, and calls that are not whole. */
      const close = (isAccepted: boolean) => {
        const last = protocol.onHalt(state, out)
        const { finishReason, metadata = {}, providerFinishReason, usage } = last
        const isOver = last.isComplete || isAccepted
        const cut = { isCut: isCut(finishReason), isNoneWhole: protocol.endsCalls }
        const { incomplete, whole } = isOver ? out.tools.finish(cut) : noCalls
        for (const call of whole) out.events.push(StreamEvent.toolCall(out.timestamp, call))
        if (options?.onIncompleteToolCall === "metadata") {
          for (const call of incomplete) out.metadata("incomplete-tool-call", { ...call })
        }
        if (providerFinishReason !== undefined) {
          const finish = { usage, finishReason, providerFinishReason, metadata }
          out.events.push(StreamEvent.metadata(out.timestamp, "finish", finish))
        } else if (usage !== undefined) {
          out.events.push(StreamEvent.metadata(out.timestamp, "usage", { usage, metadata }))
        }
        return { isComplete: last.isComplete, finishReason, incomplete: incomplete[0] }
      }
      const halt = (): Out => {
        const policy = options?.onMissingFinish ?? "fail"
        const { finishReason, incomplete, isComplete } = close(policy !== "fail")
        if (!isComplete && policy === "fail") {
          return endWith(Effect.fail(StreamError.make({ _tag: "Truncated", expected: protocol.terminal })))
        }
        if (incomplete !== undefined && options?.onIncompleteToolCall !== "metadata") {
          const { id, name } = incomplete
          return endWith(Effect.fail(StreamError.make({ _tag: "ToolCallIncomplete", id, name })))
        }
        if (!isComplete && policy === "mark") out.metadata("truncated", { expected: protocol.terminal })
        out.events.push(StreamEvent.end(out.timestamp, finishReason))
        return endWith(Cause.done())
      }
      const settle = (outcome: Outcome): Out => {
        if (outcome === "done") return halt()
        if (outcome !== undefined) {
          // The first failure is the one that counts.
          close(false)
          return endWith(Effect.fail(outcome))
        }
        return Arr.isArrayNonEmpty(out.events) ? Effect.succeed(out.events) : pull
      }
      const pull: Out = Pull.matchEffect(upstream, {
        onSuccess: (input): Out => {
          begin()
          return settle(frames.feed(input, run))
        },
        onFailure: (cause): Out => {
          if (Cause.hasInterruptsOnly(cause)) return Effect.failCause(cause)
          begin()
          // As for an outcome; and an event that is whole but for its blank line has arrived too.
          frames.end(run)
          close(false)
          return endWith(Effect.failCause(cause))
        },
        onDone: (): Out => {
          begin()
          const outcome = frames.end(run)
          return outcome === undefined ? halt() : settle(outcome)
        }
      })
      let next: Out = Effect.suspend(() => {
        next = pull
        return Effect.succeed([StreamEvent.start(clock.currentTimeMillisUnsafe())])
      })
      return Effect.succeed(Effect.suspend(() => next))
    })
  )

const noCalls = { whole: [], incomplete: [] }

/** Whether the answer may have been cut in the middle of a tool call. */
const isCut = (finishReason: StreamResult.FinishReason): boolean =>
  finishReason !== "stop" && finishReason !== "tool-calls" && finishReason !== "other"

// -----------------------------------------------------------------------------
// framing
// -----------------------------------------------------------------------------

/** What a frame causes that cannot be read, or that the protocol throws on: it is nested too deep to be encoded, say. */
const malformed = (
  options: Options | undefined,
  offset: number,
  cause: unknown
): StreamError.StreamErrorOf<"MalformedFrame"> | undefined =>
  options?.onMalformed === "skip" ? undefined : StreamError.make({ _tag: "MalformedFrame", offset, cause })

/** Server-sent events with JSON data; `[DONE]` ends the stream. */
const sseFraming =
  (options: Options | undefined) =>
  (config: StreamConfig.StreamConfig): Framing<Uint8Array | string> => {
    const maxEventSize = options?.maxEventSize ?? config.maxEventSize
    const frames = SseStream.makeFrames(maxEventSize)
    const take = (event: SseStream.SseEvent, run: Run): Outcome => {
      if (SseStream.isComment(event)) {
        run.progress("keep-alive")
        return undefined
      }
      if (event.data === "[DONE]") return run.done()
      try {
        return run.chunk(JSON.parse(event.data))
      } catch (cause) {
        const text = event.data.trim()
        if (text === "[DONE]") return run.done()
        if (text !== "") return malformed(options, event.offset, cause)
        run.progress("keep-alive")
        return undefined
      }
    }
    return {
      feed(input, run) {
        const events: Array<SseStream.SseEvent> = []
        const fits = frames.feed(input, events)
        for (const event of events) {
          const outcome = take(event, run)
          if (outcome !== undefined) return outcome
        }
        return fits ? undefined : SseStream.tooLarge(maxEventSize)
      },
      end(run) {
        // Some servers leave out the last blank line: their last event counts when its JSON is whole.
        const event = frames.end()
        return event !== undefined && (event.data.trim() === "[DONE]" || isJson(event.data))
          ? take(event, run)
          : undefined
      }
    }
  }

/** Runs texts that are the JSON of a chunk each. */
const takeTexts =
  (options: Options | undefined) =>
  (lines: ReadonlyArray<Line>, run: Run): Outcome => {
    for (const { offset, text } of lines) {
      let outcome: Outcome
      try {
        outcome = run.chunk(JSON.parse(text))
      } catch (cause) {
        outcome = malformed(options, offset, cause)
      }
      if (outcome !== undefined) return outcome
    }
    return undefined
  }

/** Where a line begins that is JSON, as no line of an event does. */
const jsonLine = /(?<=[\r\n])[[{]/

/** Server-sent events; from a line that is JSON on, JSON. */
const sseOrJsonFraming =
  (options: Options | undefined) =>
  (config: StreamConfig.StreamConfig): Framing<Uint8Array | string> => {
    const maxEventSize = options?.maxEventSize ?? config.maxEventSize
    const decoder = new ChunkDecoder()
    const sse = sseFraming(options)(config)
    const take = takeTexts(options)
    let json: JsonValueReader | undefined
    let offset = 0
    let isLineStart = true
    const feedSse = (text: string, run: Run): Outcome => {
      offset += text.length
      isLineStart = /[\r\n]$/.test(text)
      return sse.feed([text], run)
    }
    const feedJson = (reader: JsonValueReader, text: string, run: Run): Outcome => {
      const values: Array<Line> = []
      const fits = reader.feed(text, values)
      return take(values, run) ?? (fits ? undefined : SseStream.tooLarge(maxEventSize))
    }
    const feedText = (text: string, run: Run): Outcome => {
      if (json !== undefined) return feedJson(json, text, run)
      if (text === "") return undefined
      if (offset === 0 && text.startsWith(byteOrderMark)) {
        feedSse(byteOrderMark, run)
        isLineStart = true
        return feedText(text.slice(1), run)
      }
      const start = isLineStart && /^[[{]/.test(text) ? 0 : text.search(jsonLine)
      if (start === -1) return feedSse(text, run)
      const outcome = feedSse(text.slice(0, start), run) ?? sse.end(run)
      if (outcome !== undefined) return outcome
      json = new JsonValueReader(maxEventSize, offset)
      return feedJson(json, text.slice(start), run)
    }
    return {
      feed(input, run) {
        for (const chunk of input) {
          const outcome = feedText(decoder.decode(chunk), run)
          if (outcome !== undefined) return outcome
        }
        return undefined
      },
      end: (run) => feedText(decoder.end(), run) ?? (json === undefined ? sse.end(run) : undefined)
    }
  }

const byteOrderMark = "\ufeff"

/** Lines of JSON. */
const ndjsonFraming =
  (options: Options | undefined) =>
  (config: StreamConfig.StreamConfig): Framing<Uint8Array | string> => {
    const maxEventSize = options?.maxEventSize ?? config.maxEventSize
    const decoder = new ChunkDecoder()
    const reader = new LineReader(maxEventSize)
    const take = takeTexts(options)
    return {
      feed(input, run) {
        const lines: Array<Line> = []
        const fits = input.every((chunk) => reader.feed(decoder.decode(chunk), lines))
        return take(lines, run) ?? (fits ? undefined : SseStream.tooLarge(maxEventSize))
      },
      end(run) {
        const lines: Array<Line> = []
        reader.feed(decoder.end(), lines)
        reader.end(lines)
        return take(
          lines.filter((line) => isJson(line.text)),
          run
        )
      }
    }
  }

const framings = { sse: sseFraming, "sse-or-json": sseOrJsonFraming, ndjson: ndjsonFraming }

const isJson = (text: string): boolean => {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** Chunks that somebody has decoded already. */
const chunkFraming = (options: Options | undefined) => (): Framing<unknown> => {
  let count = 0
  return {
    feed(input, run) {
      for (const chunk of input) {
        let outcome: Outcome
        try {
          outcome = run.chunk(chunk)
        } catch (cause) {
          outcome = malformed(options, count, cause)
        }
        if (outcome !== undefined) return outcome
        count++
      }
      return undefined
    },
    end: () => undefined
  }
}

// -----------------------------------------------------------------------------
// decoding
// -----------------------------------------------------------------------------

/**
 * Decodes the bytes of a protocol.
 *
 * **Details**
 *
 * Of the options, `maxEventSize` and `maxBufferSize` throw a `RangeError` when they are impossible.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decode = <State>(protocol: Protocol<State>, options?: Options) => {
  check(options)
  const framing = framings[protocol.framing](options)
  return <E, R>(
    self: Stream.Stream<Uint8Array | string, E, R>
  ): Stream.Stream<StreamEvent.StreamEvent, E | DecodeError, R> => drive(self, protocol, options, framing)
}

/**
 * Runs a protocol over chunks that are decoded already.
 *
 * **Details**
 *
 * The `offset` of a `MalformedFrame` counts chunks here.
 *
 * @category decoding
 * @since 0.1.0
 */
export const fromChunks = <State>(protocol: Protocol<State>, options?: Options) => {
  check(options)
  return <E, R>(self: Stream.Stream<unknown, E, R>): Stream.Stream<StreamEvent.StreamEvent, E | DecodeError, R> =>
    drive(self, protocol, options, chunkFraming(options))
}
