/**
 * `AiError` to `StreamError` and back, for `EffectAi`.
 *
 * @since 0.1.0
 */
import * as AiError from "effect/ai/AiError"
import * as HttpClientError from "effect/http/HttpClientError"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as StreamError from "../StreamError.ts"

/** Under which this library's own facts travel in the metadata of `effect/ai`. */
export const namespace = "effect-llm-streaming"

const encodeError = Schema.encodeSync(Schema.toCodecJson(StreamError.StreamError))
const decodeError = Schema.decodeUnknownOption(Schema.toCodecJson(StreamError.StreamError))

/**
 * A `StreamError` that says what an `AiError` says: `SourceFailure` where the connection failed, else `ProviderFailure`
 * with the name of the reason as its code. One that {@link toAiError} made is the error that it was made of.
 *
 * @category errors
 * @since 0.1.0
 */
export const fromAiError = (error: AiError.AiError): StreamError.StreamError => {
  const { reason } = error
  if (reason._tag === "NetworkError") {
    return StreamError.isStreamError(reason.cause)
      ? reason.cause
      : StreamError.make({ _tag: "SourceFailure", cause: error })
  }
  const original = "metadata" in reason ? decodeError(reason.metadata[namespace]) : Option.none()
  if (Option.isSome(original)) return original.value
  return StreamError.make({
    _tag: "ProviderFailure",
    provider: error.module,
    status: "http" in reason ? reason.http?.response?.status : undefined,
    code: reason._tag,
    message: reason.message,
    isRetryable: error.isRetryable,
    retryAfter: error.retryAfter
  })
}

/**
 * An `AiError` that says what a `StreamError` says: as retryable as the failure is, with its message, its status and the
 * time to wait.
 *
 * **Example** (There and back)
 *
 * ```ts
 * import { EffectAi, StreamError } from "effect-llm-streaming"
 *
 * const error = EffectAi.toAiError(StreamError.make({ _tag: "Truncated", expected: "a finish reason" }))
 * error.message // => "StreamModel.stream: Internal provider error: The stream stopped before a finish reason"
 * error.isRetryable // => true
 * EffectAi.fromAiError(error).reason // => { _tag: "Truncated", expected: "a finish reason" }
 * ```
 *
 * @category errors
 * @since 0.1.0
 */
export const toAiError = (error: StreamError.StreamError): AiError.AiError =>
  error.reason._tag === "SourceFailure" && AiError.isAiError(error.reason.cause)
    ? error.reason.cause
    : AiError.make({ module: "StreamModel", method: "stream", reason: toReason(error) })

interface Common {
  readonly description: string
  readonly metadata: AiError.ProviderMetadata
}

const toReason = (error: StreamError.StreamError): AiError.AiErrorReason => {
  const { reason } = error
  // The codec to JSON gives JSON, which its type does not say.
  const encoded = encodeError(error) as AiError.ProviderMetadata[string]
  const common: Common = { description: error.message, metadata: { [namespace]: encoded } }
  switch (reason._tag) {
    case "ProviderFailure":
      return toProviderReason(reason, common)
    case "SourceFailure":
      return HttpClientError.isHttpClientError(reason.cause)
        ? toNetworkError(reason.cause, error)
        : new AiError.UnknownError(common)
    case "Timeout":
    case "Truncated":
      return new AiError.InternalProviderError(common)
    case "ContentBlocked":
      return new AiError.ContentPolicyError(common)
    case "ToolCallIncomplete":
    case "InvalidJson":
    case "SchemaMismatch":
      return new AiError.InvalidOutputError(common)
    default:
      return new AiError.InvalidResponseError(common)
  }
}

const toProviderReason = (
  { code = "", isRetryable, message, retryAfter, status }: StreamError.ProviderFailure,
  { metadata }: Common
): AiError.AiErrorReason => {
  const http = Number.isSafeInteger(status) ? { response: { status: status!, headers: {} } } : undefined
  const common = { description: message, metadata, http }
  if (isRetryable) {
    return status === 429 || /rate_?limit|exhausted/i.test(code)
      ? new AiError.RateLimitError({ retryAfter, metadata, http })
      : new AiError.InternalProviderError(common)
  }
  if (status === 401 || /api_?key|authentication/i.test(code)) {
    return new AiError.AuthenticationError({ kind: "InvalidKey", ...common })
  }
  if (status === 403 || /permission/i.test(code)) {
    return new AiError.AuthenticationError({ kind: "InsufficientPermissions", ...common })
  }
  if (/quota|billing/i.test(code)) return new AiError.QuotaExhaustedError({ metadata, http })
  if (/content_?(policy|filter)|safety/i.test(code)) return new AiError.ContentPolicyError(common)
  if ((status !== undefined && status < 500) || /invalid|not_?found/i.test(code)) {
    return new AiError.InvalidRequestError(common)
  }
  return new AiError.UnknownError(common)
}

const toNetworkError = (
  { reason, request }: HttpClientError.HttpClientError,
  cause: StreamError.StreamError
): AiError.NetworkError =>
  new AiError.NetworkError({
    reason: reason._tag === "EncodeError" || reason._tag === "InvalidUrlError" ? reason._tag : "TransportError",
    method: request.method,
    url: request.url,
    cause
  })
