/**
 * Sources: text as it arrives, from async iterables, web streams and, for tests, from a text that is already whole.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as StreamConfig from "./StreamConfig.ts"
import * as StreamError from "./StreamError.ts"
import * as StreamEvent from "./StreamEvent.ts"
import * as StreamHandler from "./StreamHandler.ts"

const sourceFailure = (cause: unknown): StreamError.StreamErrorOf<"SourceFailure"> =>
  StreamError.make({ _tag: "SourceFailure", cause })

// -----------------------------------------------------------------------------
// async iterables
// -----------------------------------------------------------------------------

/**
 * A source from an async iterable, or from a function that makes one for each run.
 *
 * **Details**
 *
 * The function gets an `AbortSignal` that is aborted on every exit: the end, a failure, an interruption, a consumer that
 * leaves early. What the iterable throws becomes `SourceFailure`.
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
 * @category constructors
 * @since 0.1.0
 */
export const fromAsyncIterable = (
  iterable: AsyncIterable<string> | ((signal: AbortSignal) => AsyncIterable<string>)
): Stream.Stream<string, StreamError.StreamErrorOf<"SourceFailure">> =>
  fromIterator((signal) => (typeof iterable === "function" ? iterable(signal) : iterable)[Symbol.asyncIterator]())

/**
 * Not Effect's own constructors of streams: their promises (`tryPromise`, `finally`) take a third more time for each value.
 */
const fromIterator = <A>(
  open: (signal: AbortSignal) => AsyncIterator<A>
): Stream.Stream<A, StreamError.StreamErrorOf<"SourceFailure">> =>
  Stream.fromChannel(
    Channel.fromTransform((_: unknown, scope) =>
      Effect.gen(function* () {
        const controller = new AbortController()
        const iterator = yield* Effect.try({
          try: () => open(controller.signal),
          catch: (cause) => {
            controller.abort()
            return sourceFailure(cause)
          }
        })
        let state: "idle" | "waiting" | "over" = "idle"
        let resume: (effect: Pull.Pull<readonly [A], StreamError.StreamErrorOf<"SourceFailure">>) => void = constVoid
        const onNext = (result: IteratorResult<A>) => {
          if (Object(result) !== result) return onError(new TypeError("The iterator gave no result"))
          state = result.done === true ? "over" : "idle"
          resume(result.done === true ? Cause.done() : Effect.succeed([result.value]))
        }
        const onError = (cause: unknown) => {
          state = "over"
          resume(Effect.fail(sourceFailure(cause)))
        }
        yield* Scope.addFinalizer(
          scope,
          Effect.suspend(() => {
            controller.abort()
            if (state === "over" || iterator.return === undefined) return Effect.void
            const returned = new Promise((resolve) => resolve(iterator.return?.())).then(constVoid, constVoid)
            // Behind a `next()` that waits, `return()` may never settle.
            return state === "waiting" ? Effect.void : Effect.promise(() => returned)
          })
        )
        return Effect.callback<readonly [A], Cause.Done | StreamError.StreamErrorOf<"SourceFailure">>((_) => {
          resume = _
          state = "waiting"
          try {
            iterator.next().then(onNext, onError)
          } catch (cause) {
            onError(cause)
          }
        })
      })
    )
  )

const constVoid = () => {}

// -----------------------------------------------------------------------------
// web streams
// -----------------------------------------------------------------------------

/**
 * A source from a web stream of text or of UTF-8 bytes, made anew for each run.
 *
 * **Details**
 *
 * Code points that are split over chunks stay whole; invalid UTF-8 becomes U+FFFD. A failure of the stream becomes
 * `SourceFailure`. On every exit the stream is cancelled.
 *
 * **Example** (The body of a response)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { StreamSource, streamToString } from "effect-llm-streaming"
 *
 * const body = () => new Blob([new Uint8Array([72, 195]), new Uint8Array([169])]).stream()
 * await Effect.runPromise(streamToString(StreamSource.fromReadableStream(body))) // => "Hé"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromReadableStream = (
  evaluate: () => ReadableStream<string> | ReadableStream<Uint8Array>
): Stream.Stream<string, StreamError.StreamErrorOf<"SourceFailure">> =>
  decodeText(readWebStream(evaluate as () => ReadableStream<string | Uint8Array>))

/**
 * The chunks of a web stream as they are.
 *
 * @internal
 */
export const readWebStream = <A>(
  evaluate: () => ReadableStream<A>
): Stream.Stream<A, StreamError.StreamErrorOf<"SourceFailure">> =>
  fromIterator(() => {
    const reader = evaluate().getReader()
    return {
      next: () => reader.read() as Promise<IteratorResult<A>>,
      return: () => reader.cancel().then(() => ({ done: true, value: undefined }))
    }
  })

/**
 * Decodes the UTF-8 bytes of a stream and passes its text on as it is. Code points that are split over chunks stay whole;
 * invalid UTF-8 becomes U+FFFD.
 *
 * @category conversions
 * @since 0.1.0
 */
export const decodeText = <E, R>(self: Stream.Stream<string | Uint8Array, E, R>): Stream.Stream<string, E, R> =>
  Stream.suspend(() => {
    const decoder = new TextDecoder()
    return self.pipe(
      Stream.map((chunk) =>
        typeof chunk === "string" ? decoder.decode() + chunk : decoder.decode(chunk, { stream: true })
      ),
      Stream.concat(Stream.sync(() => decoder.decode())),
      Stream.filter((text) => text.length > 0)
    )
  })

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
