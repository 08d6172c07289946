/**
 * What providers say about their failures, in the many shapes in which they say it.
 *
 * @since 0.1.0
 */
import { array, nonEmpty, record, string } from "./untyped.ts"

export interface ProviderError {
  readonly code?: string | undefined
  readonly message?: string | undefined
  /** Whether one of its words says that the same request may succeed later. */
  readonly isRetryable: boolean
  /** When it may, where Google says so. */
  readonly retryAfterMillis?: number | undefined
}

/** Of an error that is a text, which may be a page of HTML. */
const maxMessage = 1_000

/**
 * Code and message, wherever they are: `{ error: { message, type, code } }`, `{ message }`, `{ detail }`, a string. The
 * code is the most exact word that there is: `code`, then Google's `status`, then `type`.
 */
export const describeError = (body: unknown): ProviderError => {
  if (typeof body === "string") return { message: nonEmpty(body.slice(0, maxMessage)), isRetryable: false }
  // Google's compatible server puts its error in an array.
  const outer = record(Array.isArray(body) ? body[0] : body)
  const error = record(outer?.["error"]) ?? outer
  const code = typeof error?.["code"] === "number" ? String(error["code"]) : nonEmpty(error?.["code"])
  const words = [code, nonEmpty(error?.["status"]), nonEmpty(error?.["type"])].filter((word) => word !== undefined)
  return {
    code: words[0],
    message: nonEmpty(error?.["message"]) ?? string(outer?.["error"]) ?? nonEmpty(error?.["detail"]),
    isRetryable: words.some(isRetryableWord),
    retryAfterMillis: array(error?.["details"])
      ?.map(retryDelayOf)
      .find((delay) => delay !== undefined)
  }
}

/** Of a `google.rpc.RetryInfo`, whose delay is text: `"34.07s"`. */
const retryDelayOf = (detail: unknown): number | undefined => {
  const match = /^(\d{1,12}(?:\.\d+)?)s$/.exec(string(record(detail)?.["retryDelay"]) ?? "")
  return match === null ? undefined : Math.round(Number(match[1]) * 1000)
}

export const isRetryableStatus = (status: number): boolean =>
  status === 408 || status === 409 || status === 425 || status === 429 || status >= 500

const isRetryableWord = (word: string): boolean =>
  /^\d{3}$/.test(word)
    ? isRetryableStatus(Number(word))
    : /overloaded|unavailable|rate_limit|timeout|server_error|internal|exhausted|insufficient_system_resource|^api_error$/i.test(
        word
      )
