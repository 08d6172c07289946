/**
 * Sources: text or bytes as they arrive, from async iterables, Node streams and web streams; and, for tests, from a text
 * that is already whole.
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as StreamConfig from "./StreamConfig.ts"
import * as StreamError from "./StreamError.ts"
import * as StreamEvent from "./StreamEvent.ts"
import * as StreamHandler from "./StreamHandler.ts"

/** Anything that gives chunks one after the other: a web stream, a Node stream, any other async iterable. */
type Chunks<A> = AsyncIterable<A> | ReadableStream<A>

// -----------------------------------------------------------------------------
// text
// -----------------------------------------------------------------------------

/**
 * A source of text from an async iterable of text or of UTF-8 bytes (a generator, a Node stream), or from a function that
 * makes one for each run.
 *
 * **Details**
 *
 * The function gets an `AbortSignal` that is aborted on every exit: the end, a failure, an interruption, a consumer that
 * leaves early. A Node stream that is left before its end is destroyed. What the iterable throws becomes `SourceFailure`, and so does a
 * chunk that is neither text nor bytes. Bytes are decoded as {@link decodeText} does.
 *
 * **Gotchas**
 *
 * An async generator that waits inside `next()` cannot be released from outside: `return()` queues behind `next()`, and its
 * `finally` does not run. Interruption does not wait for it. Give the producer the signal, and let it stop waiting when
 * that is aborted. An iterable that is used up is empty when the stream runs again; the function is not.
 *
 * **Example** (An async generator)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { StreamSource, streamToString } from "effect-llm-streaming"
 *
 * const tokens = StreamSource.fromAsyncIterable(async function* (signal) {
 *   for (const token of ["Hello", " World"]) {
 *     if (!signal.aborted) yield token
 *   }
 * })
 * await Effect.runPromise(streamToString(tokens)) // => "Hello World"
 * ```
 *
 * **Example** (A Node stream)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { StreamSource, streamToString } from "effect-llm-streaming"
 * import { Readable } from "node:stream"
 *
 * const readable = Readable.from([Uint8Array.of(72, 195), Uint8Array.of(169)])
 * await Effect.runPromise(streamToString(StreamSource.fromAsyncIterable(readable))) // => "Hé"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromAsyncIterable = (
  iterable: AsyncIterable<string | Uint8Array> | ((signal: AbortSignal) => AsyncIterable<string | Uint8Array>)
): Stream.Stream<string, StreamError.StreamErrorOf<"SourceFailure">> => read(iterable, utf8)

/**
 * A source of text from a web stream of text or of UTF-8 bytes, made anew for each run; `null`, which is the body of a
 * response without one, is empty.
 *
 * **Details**
 *
 * Bytes are decoded as {@link decodeText} does. A failure of the stream becomes `SourceFailure`. A stream that is left before its
 * end is cancelled.
 *
 * **Example** (The body of a response)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { StreamSource, streamToString } from "effect-llm-streaming"
 *
 * const response = new Response(Uint8Array.of(72, 195, 169))
 * await Effect.runPromise(streamToString(StreamSource.fromReadableStream(() => response.body))) // => "Hé"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromReadableStream = (
  evaluate: () => ReadableStream<string> | ReadableStream<Uint8Array> | null
): Stream.Stream<string, StreamError.StreamErrorOf<"SourceFailure">> =>
  read<string | Uint8Array, string>(evaluate, utf8)

/**
 * Decodes the UTF-8 bytes of a stream and passes its text on as it is. Code points that are split over chunks stay whole;
 * invalid UTF-8 becomes U+FFFD.
 *
 * @category conversions
 * @since 0.1.0
 */
export const decodeText = <E, R>(self: Stream.Stream<string | Uint8Array, E, R>): Stream.Stream<string, E, R> =>
  Stream.transformPull(self, (upstream) =>
    Effect.sync(() => {
      type Out = Pull.Pull<Arr.NonEmptyReadonlyArray<string>, E, void, R>
      const decoder = utf8()
      const pull: Out = Pull.matchEffect(upstream, {
        onSuccess: (chunks): Out => {
          const out: Array<string> = []
          for (const chunk of chunks) {
            const text = decoder.push(chunk)
            if (text !== "") out.push(text)
          }
          return Arr.isArrayNonEmpty(out) ? Effect.succeed(out) : pull
        },
        onFailure: (cause): Out => Effect.failCause(cause),
        onDone: (): Out => {
          next = Cause.done()
          const rest = decoder.end()
          return rest === "" ? next : Effect.succeed([rest])
        }
      })
      let next = pull
      return Effect.suspend(() => next)
    })
  )

// -----------------------------------------------------------------------------
// bytes
// -----------------------------------------------------------------------------

/**
 * The bytes of a web stream, a Node stream or another async iterable, not decoded: for the decoders of wire formats, and
 * for recording what a provider sent.
 *
 * **Details**
 *
 * A function is called for each run, with an `AbortSignal`, and may give `null` for nothing. All else is as it is for
 * {@link fromAsyncIterable} and {@link fromReadableStream}.
 *
 * **Example** (From the body of a response to events)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { OpenAiChat, StreamHandler, StreamSource } from "effect-llm-streaming"
 *
 * const response = new Response('data: {"choices":[{"delta":{"content":"Hé"},"finish_reason":"stop"}]}\n\n')
 * const text = StreamSource.bytes(() => response.body).pipe(OpenAiChat.decode(), StreamHandler.runText())
 * await Effect.runPromise(text) // => "Hé"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const bytes = (
  source: Chunks<Uint8Array> | ((signal: AbortSignal) => Chunks<Uint8Array> | null)
): Stream.Stream<Uint8Array, StreamError.StreamErrorOf<"SourceFailure">> => read(source, verbatim)

// -----------------------------------------------------------------------------
// reading
// -----------------------------------------------------------------------------

const sourceFailure = (cause: unknown): StreamError.StreamErrorOf<"SourceFailure"> =>
  StreamError.make({ _tag: "SourceFailure", cause })

/** What is made of chunks as they come. */
interface Decoder<in A, out B> {
  /** Gives something empty where more has to come first. Throws what cannot be decoded. */
  readonly push: (chunk: A) => B
  readonly end: () => B
}

const utf8 = (): Decoder<string | Uint8Array, string> => {
  const decoder = new TextDecoder()
  // Whether the decoder may hold half a code point: for text, asking it would cost more than all the rest.
  let isTorn = false
  const flush = (): string => {
    if (!isTorn) return ""
    isTorn = false
    return decoder.decode()
  }
  return {
    push: (chunk) => {
      if (typeof chunk === "string") return isTorn ? flush() + chunk : chunk
      isTorn = true
      return decoder.decode(checkBytes(chunk, "text or bytes"), { stream: true })
    },
    end: flush
  }
}

const verbatim = (): Decoder<Uint8Array, Uint8Array> => ({
  push: (chunk) => checkBytes(chunk, "bytes"),
  end: () => new Uint8Array()
})

const checkBytes = (chunk: Uint8Array, expected: string): Uint8Array => {
  if (ArrayBuffer.isView(chunk)) return chunk
  throw new TypeError(`The source gave ${chunk === null ? "null" : typeof chunk} where ${expected} were expected`)
}

const read = <A, B extends string | Uint8Array>(
  source: Chunks<A> | ((signal: AbortSignal) => Chunks<A> | null),
  makeDecoder: () => Decoder<A, B>
): Stream.Stream<B, StreamError.StreamErrorOf<"SourceFailure">> =>
  Stream.fromChannel(Channel.fromTransform((_: unknown, scope) => open(source, makeDecoder(), scope)))

/**
 * One driver for all sources. Not Effect's, whose promises (`tryPromise`, `finally`) take a third more time for each token.
 *
 * A generator made here once, and not for each run with `Effect.gen`: V8 keeps what a generator function has ever seen until
 * a full collection, and until then the small ones take ten times as long.
 */
const open = Effect.fnUntraced(function* <A, B extends string | Uint8Array>(
  source: Chunks<A> | ((signal: AbortSignal) => Chunks<A> | null),
  decoder: Decoder<A, B>,
  scope: Scope.Scope
) {
  type Out = Pull.Pull<readonly [B], StreamError.StreamErrorOf<"SourceFailure">>
  const controller = new AbortController()
  const reader = yield* Effect.try({
    try: () => readerOf(typeof source === "function" ? source(controller.signal) : source),
    catch: (cause) => {
      controller.abort()
      return sourceFailure(cause)
    }
  })
  let state: "idle" | "waiting" | "over" = "idle"
  let resume: (effect: Out) => void = constVoid
  let count = 0
  const onNext = (result: IteratorResult<A, unknown>) => {
    state = "idle"
    try {
      if (result.done === true) state = "over"
      const chunk = result.done === true ? decoder.end() : decoder.push(result.value)
      const next = chunk.length > 0 ? Effect.succeed([chunk] as const) : pull
      // Between promises alone, a source that never waits would let no timer and no interruption through.
      resume(++count % 1024 === 0 ? Effect.andThen(Effect.yieldNow, next) : next)
    } catch (cause) {
      resume(Effect.fail(sourceFailure(cause)))
    }
  }
  const onError = (cause: unknown) => {
    state = "over"
    resume(Effect.fail(sourceFailure(cause)))
  }
  const pull: Out = Effect.callback((_) => {
    if (state === "over") return _(Cause.done())
    resume = _
    state = "waiting"
    try {
      reader.next().then(onNext, onError)
    } catch (cause) {
      onError(cause)
    }
  })
  yield* Scope.addFinalizer(
    scope,
    Effect.suspend(() => {
      controller.abort()
      if (state === "over") return Effect.void
      const returned = new Promise((resolve) => resolve(reader.return())).then(constVoid, constVoid)
      // Behind a `next()` that waits, `return()` may never settle.
      return state === "waiting" ? Effect.void : Effect.promise(() => returned)
    })
  )
  return pull
})

const constVoid = () => {}

interface Reader<A> {
  readonly next: () => Promise<IteratorResult<A, unknown>>
  /** Lets go of the source at once, also while `next` waits, wherever there is a way. */
  readonly return: () => unknown
}

const readerOf = <A>(chunks: Chunks<A> | null): Reader<A> => {
  if (chunks === null) return { next: () => Promise.resolve({ done: true, value: undefined }), return: constVoid }
  if ("getReader" in chunks) {
    const reader = chunks.getReader()
    // Not waited for: of a stream that was split by `tee`, it settles when the other half is cancelled too.
    return { next: () => reader.read(), return: () => void reader.cancel().catch(constVoid) }
  }
  const iterator: AsyncIterator<A, unknown> = chunks[Symbol.asyncIterator]()
  return {
    next: () => iterator.next(),
    return: () => {
      // A Node stream. Its iterator destroys it too, but only when the chunk that is waited for has come.
      if ("destroy" in chunks && typeof chunks.destroy === "function") chunks.destroy()
      return iterator.return?.()
    }
  }
}

// -----------------------------------------------------------------------------
// whole texts
// -----------------------------------------------------------------------------

/**
 * Plays a text in chunks, as a model would: for tests and demonstrations.
 *
 * **Details**
 *
 * Each chunk has `chunkSize` code points (10 by default), so no character outside the BMP is torn. Behind each chunk but
 * the last comes a pause of `delay` (10 milliseconds by default) on Effect's clock: a test with `TestClock` never waits.
 * What is not given here comes from `StreamConfig`. A `chunkSize` that is not a whole number of 1 or more throws a
 * `RangeError`.
 *
 * **Example** (Chunks of a text)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { chunkStream } from "effect-llm-streaming"
 *
 * const chunks = chunkStream("Hello World", { chunkSize: 5, delay: 0 })
 * Effect.runSync(Stream.runCollect(chunks)) // => ["Hello", " Worl", "d"]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const chunkStream = (
  text: string,
  options?: { readonly chunkSize?: number | undefined; readonly delay?: Duration.Input | undefined }
): Stream.Stream<string> => {
  const { chunkSize } = options ?? {}
  if (chunkSize !== undefined && (!Number.isInteger(chunkSize) || chunkSize < 1)) {
    throw new RangeError(`chunkSize must be a whole number of code points, 1 or more, got ${chunkSize}`)
  }
  return Stream.fromPull(
    Effect.map(StreamConfig.StreamConfig, (config) => {
      const size = chunkSize ?? config.chunkSize
      const delay = options?.delay === undefined ? config.chunkDelay : Duration.fromInputUnsafe(options.delay)
      const pause = Duration.isZero(delay) ? Effect.void : Effect.sleep(delay)
      let position = 0
      const next = Effect.sync((): readonly [string] => {
        const start = position
        for (let n = 0; n < size && position < text.length; n++) {
          position += text.codePointAt(position)! > 0xffff ? 2 : 1
        }
        return [text.slice(start, position)]
      })
      return Effect.suspend(() => {
        if (position >= text.length) return Cause.done()
        return position === 0 ? next : Effect.andThen(pause, next)
      })
    })
  )
}

// -----------------------------------------------------------------------------
// to a string
// -----------------------------------------------------------------------------

/**
 * Collects a stream of text to one string, up to a limit.
 *
 * **Details**
 *
 * The limit is `maxBufferSize` UTF-16 code units, or that of `StreamConfig` (16 Mi). The text passes a handler, so
 * callbacks and statistics see it.
 *
 * **Example** (A stream as a string)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { streamToString } from "effect-llm-streaming"
 *
 * Effect.runSync(streamToString(Stream.make("Hello", " ", "World"))) // => "Hello World"
 * ```
 *
 * @category destructors
 * @since 0.1.0
 */
export const streamToString = <E, R>(
  self: Stream.Stream<string, E, R>,
  options?: { readonly maxBufferSize?: number | undefined }
): Effect.Effect<string, E | StreamError.StreamErrorOf<"BufferOverflow">, R> =>
  // `fromText` always ends with End, so of the handler's failures `Truncated` cannot happen.
  self.pipe(StreamEvent.fromText, StreamHandler.runText(options)) as Effect.Effect<
    string,
    E | StreamError.StreamErrorOf<"BufferOverflow">,
    R
  >
