/**
 * A protocol and the endpoint that speaks it, as the functions that every provider's module exports.
 *
 * 1. A status outside 2xx becomes `ProviderFailure`, with the provider's code and message, `isRetryable` and `retryAfter`.
 * 2. `Start` comes when the headers of the response are there.
 * 3. Leaving the stream, or interrupting it, aborts the request.
 * 4. The API key is in no error, in no log line, and in no span.
 *
 * @since 0.1.0
 */
import type * as Config from "effect/Config"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Headers from "effect/http/Headers"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { describeError, isRetryableStatus } from "../internal/providerError.ts"
import { jsonOrText, type UnknownRecord } from "../internal/untyped.ts"
import * as StreamError from "../StreamError.ts"
import type * as StreamEvent from "../StreamEvent.ts"
import * as StreamModel from "../StreamModel.ts"
import * as StreamSource from "../StreamSource.ts"
import * as Protocol from "./Protocol.ts"

// -----------------------------------------------------------------------------
// endpoint
// -----------------------------------------------------------------------------

/**
 * Where and how a provider takes requests.
 *
 * @category models
 * @since 0.1.0
 */
export interface Endpoint {
  readonly baseUrl: string
  /** Behind the base URL. */
  readonly path: (model: string | undefined) => string
  /** Puts the key where the provider looks for it. */
  readonly authorize: (
    request: HttpClientRequest.HttpClientRequest,
    apiKey: Redacted.Redacted<string>
  ) => HttpClientRequest.HttpClientRequest
  /** Headers that every request has, unless the options give others. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** The body, but for the request's `options`, which are put on top of it. */
  readonly body: (request: StreamModel.StreamRequest, model: string | undefined) => UnknownRecord
}

/**
 * Options of a provider's layer.
 *
 * @category options
 * @since 0.1.0
 */
export interface LayerOptions extends Protocol.Options {
  /** The provider's own by default. */
  readonly baseUrl?: string | undefined
  readonly apiKey?: Redacted.Redacted<string> | undefined
  /** The model, where a request names none. */
  readonly model?: string | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
}

/**
 * {@link LayerOptions} that are read from configuration. A key that may be missing is
 * `Config.Redacted("KEY").pipe(Config.withDefault(undefined))`.
 *
 * @category options
 * @since 0.1.0
 */
export interface LayerConfig extends Protocol.Options {
  readonly baseUrl?: Config.Config<string> | undefined
  readonly apiKey?: Config.Config<Redacted.Redacted<string> | undefined> | undefined
  readonly model?: Config.Config<string> | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
}

/**
 * The failures of a response: those of decoding its bytes, and of the connection.
 *
 * @category errors
 * @since 0.1.0
 */
export type ResponseError = Protocol.DecodeError | StreamError.StreamErrorOf<"SourceFailure">

/**
 * What every provider's module exports.
 *
 * @category models
 * @since 0.1.0
 */
export interface Provider {
  readonly decode: (
    options?: Protocol.Options
  ) => <E, R>(
    self: Stream.Stream<Uint8Array | string, E, R>
  ) => Stream.Stream<StreamEvent.StreamEvent, E | Protocol.DecodeError, R>
  readonly fromChunks: (
    options?: Protocol.Options
  ) => <E, R>(self: Stream.Stream<unknown, E, R>) => Stream.Stream<StreamEvent.StreamEvent, E | Protocol.DecodeError, R>
  readonly fromResponse: (
    response: HttpClientResponse.HttpClientResponse,
    options?: Protocol.Options
  ) => Stream.Stream<StreamEvent.StreamEvent, ResponseError>
  readonly layer: (options: LayerOptions) => Layer.Layer<StreamModel.StreamModel, never, HttpClient.HttpClient>
  readonly layerConfig: (
    options: LayerConfig
  ) => Layer.Layer<StreamModel.StreamModel, Config.ConfigError, HttpClient.HttpClient>
}

/**
 * Makes a provider of a protocol and an endpoint.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <State>(protocol: Protocol.Protocol<State>, endpoint: Endpoint): Provider => {
  const fromResponse: Provider["fromResponse"] = (response, options) =>
    decodeResponse(response, options?.provider ?? protocol.provider, Protocol.decode(protocol, options))

  const layer: Provider["layer"] = (options) => {
    const provider = options.provider ?? protocol.provider
    const decode = Protocol.decode(protocol, options)
    return Layer.effect(
      StreamModel.StreamModel,
      Effect.map(HttpClient.HttpClient, (client) => ({
        stream: (request) =>
          execute(client, toHttpRequest(endpoint, request, options), {
            provider,
            model: request.model ?? options.model,
            decode: (response) => decodeResponse(response, provider, decode)
          })
      }))
    )
  }

  return {
    decode: (options) => Protocol.decode(protocol, options),
    fromChunks: (options) => Protocol.fromChunks(protocol, options),
    fromResponse,
    layer,
    layerConfig: (options) =>
      Layer.unwrap(
        Effect.gen(function* () {
          const { apiKey, baseUrl, model, ...others } = options
          return layer({
            ...others,
            baseUrl: baseUrl && (yield* baseUrl),
            apiKey: apiKey && (yield* apiKey),
            model: model && (yield* model)
          })
        })
      )
  }
}

// -----------------------------------------------------------------------------
// request
// -----------------------------------------------------------------------------

const toHttpRequest = (endpoint: Endpoint, request: StreamModel.StreamRequest, options: LayerOptions) => {
  const model = request.model ?? options.model
  const base = (options.baseUrl ?? endpoint.baseUrl).replace(/\/+$/, "")
  const post = HttpClientRequest.post(`${base}${endpoint.path(model)}`, {
    headers: { accept: "text/event-stream", ...endpoint.headers, ...options.headers }
  })
  const authorized = options.apiKey === undefined ? post : endpoint.authorize(post, options.apiKey)
  return HttpClientRequest.bodyJson(authorized, { ...endpoint.body(request, model), ...request.options })
}

/** Effect hides `x-api-key` in spans, but neither Google's header nor Azure's. */
const keyHeader = /(^|-)api-key$/

const send = (client: HttpClient.HttpClient, request: Effect.Effect<HttpClientRequest.HttpClientRequest, unknown>) =>
  Effect.updateService(Effect.flatMap(request, client.execute), Headers.CurrentRedactedNames, (names) => [
    ...names,
    keyHeader
  ])

/** Sends a request and decodes its response. Every failure says which stream it was. */
const execute = <E extends StreamError.StreamError>(
  client: HttpClient.HttpClient,
  request: Effect.Effect<HttpClientRequest.HttpClientRequest, unknown>,
  options: {
    readonly provider: string
    readonly model: string | undefined
    readonly decode: (response: HttpClientResponse.HttpClientResponse) => Stream.Stream<StreamEvent.StreamEvent, E>
  }
): Stream.Stream<StreamEvent.StreamEvent, E | StreamError.StreamErrorOf<"SourceFailure">> =>
  Stream.unwrap(
    Clock.clockWith((clock) => {
      const sentAt = clock.monotonicTimeNanosUnsafe()
      let requestId: string | undefined
      const stream = Stream.unwrap(
        Effect.map(Effect.mapError(send(client, request), sourceFailure), (response) => {
          requestId = response.headers["x-request-id"] ?? response.headers["request-id"]
          return options.decode(response)
        })
      )
      return Effect.succeed(
        Stream.mapError(stream, (error) =>
          StreamError.withContext(error, {
            provider: options.provider,
            model: options.model,
            requestId,
            elapsed: Duration.nanos(clock.monotonicTimeNanosUnsafe() - sentAt)
          })
        )
      )
    })
  )

const sourceFailure = (cause: unknown): StreamError.StreamErrorOf<"SourceFailure"> =>
  StreamError.make({ _tag: "SourceFailure", cause })

// -----------------------------------------------------------------------------
// response
// -----------------------------------------------------------------------------

/**
 * Decodes the bytes of a response whose status is 2xx; any other status becomes `ProviderFailure`.
 *
 * **Details**
 *
 * Of the body of an error at most 64 KiB are read, for the provider's code and message.
 *
 * @category HTTP
 * @since 0.1.0
 */
export const decodeResponse = <D>(
  response: HttpClientResponse.HttpClientResponse,
  provider: string,
  decode: <E>(bytes: Stream.Stream<Uint8Array, E>) => Stream.Stream<StreamEvent.StreamEvent, E | D>
): Stream.Stream<
  StreamEvent.StreamEvent,
  D | StreamError.StreamErrorOf<"ProviderFailure"> | StreamError.StreamErrorOf<"SourceFailure">
> =>
  response.status >= 200 && response.status < 300
    ? decode(bytesOf(response))
    : Stream.unwrap(Effect.map(statusFailure(response, provider), Stream.fail))

/**
 * Of fetch, the web stream itself: to read that takes a third less time for each chunk than the response's stream. Not
 * before the stream runs, since the response lets go of what it has handed over.
 */
const bytesOf = (
  response: HttpClientResponse.HttpClientResponse
): Stream.Stream<Uint8Array, StreamError.StreamErrorOf<"SourceFailure">> =>
  Stream.suspend(() => {
    const body = Option.getOrUndefined(HttpClientResponse.toWeb(response))?.body ?? undefined
    return body === undefined ? Stream.mapError(response.stream, sourceFailure) : StreamSource.bytes(() => body)
  })

const maxErrorBody = 64 * 1024

const statusFailure = (
  response: HttpClientResponse.HttpClientResponse,
  provider: string
): Effect.Effect<StreamError.StreamErrorOf<"ProviderFailure">> => {
  const { headers, status } = response
  let size = 0
  return response.stream.pipe(
    Stream.takeUntil((bytes) => (size += bytes.length) >= maxErrorBody),
    StreamSource.decodeText,
    Stream.mkString,
    // Of a body that cannot be read, the status still says what happened.
    Effect.orElseSucceed(() => ""),
    Effect.flatMap((body) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const { code, message, retryAfterMillis } = describeError(jsonOrText(body))
        return StreamError.make({
          _tag: "ProviderFailure",
          provider,
          status,
          code,
          message: message ?? `HTTP status ${status}`,
          isRetryable: saysRetry(headers["x-should-retry"]) ?? isRetryableStatus(status),
          retryAfter:
            retryAfter(headers["retry-after-ms"], headers["retry-after"], now) ??
            (retryAfterMillis === undefined ? undefined : Duration.millis(retryAfterMillis))
        })
      })
    )
  )
}

/** Where the server says so itself, it knows better than its status. */
const saysRetry = (word: string | undefined): boolean | undefined =>
  word === "true" ? true : word === "false" ? false : undefined

const retryAfter = (
  millis: string | undefined,
  secondsOrDate: string | undefined,
  now: number
): Duration.Duration | undefined => {
  const ms = amount(millis)
  if (ms !== undefined) return Duration.millis(ms)
  const seconds = amount(secondsOrDate)
  if (seconds !== undefined) return Duration.seconds(seconds)
  const date = secondsOrDate !== undefined && /[a-z]/i.test(secondsOrDate) ? Date.parse(secondsOrDate) : NaN
  return Number.isNaN(date) ? undefined : Duration.millis(Math.max(0, date - now))
}

const amount = (text: string | undefined): number | undefined =>
  text !== undefined && /^\s*\d{1,12}(\.\d+)?\s*$/.test(text) ? Number(text) : undefined
