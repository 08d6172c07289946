import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Duration, Schema } from "effect"
import { AiError } from "effect/ai"
import { HttpClientError, HttpClientRequest } from "effect/http"
import * as StreamError from "../../src/StreamError.ts"
import { fromAiError, toAiError } from "../../src/wire/EffectAiError.ts"

const provider = (fields: Partial<StreamError.ProviderFailure>) =>
  StreamError.make({ _tag: "ProviderFailure", provider: "p", message: "no", isRetryable: false, ...fields })

const request = HttpClientRequest.post("https://api.example.com/v1/chat")
const failed = (reason: HttpClientError.HttpClientErrorReason) =>
  StreamError.make({ _tag: "SourceFailure", cause: new HttpClientError.HttpClientError({ reason }) })

describe("to AiError", () => {
  it.each<readonly [tag: string, error: StreamError.StreamError]>([
    ["RateLimitError", provider({ status: 429, isRetryable: true, retryAfter: Duration.seconds(3) })],
    ["RateLimitError", provider({ code: "rate_limit_error", isRetryable: true })],
    ["RateLimitError", provider({ code: "RESOURCE_EXHAUSTED", isRetryable: true })],
    ["InternalProviderError", provider({ status: 503, isRetryable: true })],
    ["InternalProviderError", provider({ code: "overloaded_error", isRetryable: true })],
    ["AuthenticationError", provider({ status: 401 })],
    ["AuthenticationError", provider({ code: "invalid_api_key" })],
    ["AuthenticationError", provider({ status: 403 })],
    ["AuthenticationError", provider({ code: "PERMISSION_DENIED" })],
    ["QuotaExhaustedError", provider({ code: "insufficient_quota" })],
    ["ContentPolicyError", provider({ code: "content_policy_violation" })],
    ["InvalidRequestError", provider({ status: 404 })],
    ["InvalidRequestError", provider({ code: "invalid_request_error" })],
    ["UnknownError", provider({})],
    ["NetworkError", failed(new HttpClientError.TransportError({ request }))],
    ["NetworkError", failed(new HttpClientError.EncodeError({ request }))],
    ["UnknownError", StreamError.make({ _tag: "SourceFailure", cause: new Error("boom") })],
    ["InternalProviderError", StreamError.make({ _tag: "Timeout", phase: "idle", duration: Duration.seconds(5) })],
    ["InternalProviderError", StreamError.make({ _tag: "Truncated", expected: "its end" })],
    ["ContentPolicyError", StreamError.make({ _tag: "ContentBlocked", rule: "r", offset: 3 })],
    ["InvalidOutputError", StreamError.make({ _tag: "ToolCallIncomplete", id: "a", name: "f" })],
    ["InvalidOutputError", StreamError.make({ _tag: "InvalidJson", offset: 1, path: ["a", 0], issue: "i" })],
    ["InvalidOutputError", StreamError.make({ _tag: "SchemaMismatch", path: [], issue: "i" })],
    ["InvalidResponseError", StreamError.make({ _tag: "MalformedFrame", offset: 1, cause: "c" })],
    ["InvalidResponseError", StreamError.make({ _tag: "FrameTooLarge", limit: 1 })],
    ["InvalidResponseError", StreamError.make({ _tag: "ProtocolViolation", expected: "a", actual: "b" })],
    ["InvalidResponseError", StreamError.make({ _tag: "BufferOverflow", limit: 1, size: 2 })],
    ["InvalidResponseError", StreamError.make({ _tag: "BudgetExceeded", limit: 1, unit: "tokens" })]
  ])("%s, and back to what it was: %s", (tag, error) => {
    const aiError = toAiError(error)
    assert.strictEqual(aiError.reason._tag, tag)
    const back = fromAiError(aiError)
    assert.deepStrictEqual(back.reason, error.reason)
    if (error.reason._tag !== "ProviderFailure") return
    const { isRetryable, retryAfter, status } = error.reason
    assert.strictEqual(aiError.isRetryable, isRetryable)
    assert.strictEqual("http" in aiError.reason ? aiError.reason.http?.response?.status : undefined, status)
    if (retryAfter !== undefined) assert.deepStrictEqual(aiError.retryAfter, retryAfter)
  })

  it("keeps the context, and says the message", () => {
    const error = StreamError.withContext(StreamError.make({ _tag: "Truncated", expected: "its end" }), {
      provider: "p",
      elapsed: Duration.seconds(2)
    })
    const aiError = toAiError(error)
    assert.include(aiError.message, "The stream stopped before its end")
    assert.deepStrictEqual(fromAiError(aiError).context, error.context)
  })

  it("goes through JSON, as any AiError", () => {
    const codec = Schema.fromJsonString(Schema.toCodecJson(AiError.AiError))
    const aiError = toAiError(provider({ status: 429, isRetryable: true, retryAfter: Duration.seconds(3) }))
    const decoded = Schema.decodeSync(codec)(Schema.encodeSync(codec)(aiError))
    assert.deepStrictEqual(fromAiError(decoded).reason, fromAiError(aiError).reason)
  })

  it("an AiError that was the cause of a failure is that AiError", () => {
    const aiError = AiError.make({
      module: "M",
      method: "m",
      reason: new AiError.NetworkError({ reason: "TransportError", method: "POST", url: "https://x.org" })
    })
    const failure = fromAiError(aiError)
    assert.deepStrictEqual(failure.reason, { _tag: "SourceFailure", cause: aiError })
    assert.strictEqual(toAiError(failure), aiError)
  })

  it.prop(
    "any reason is as retryable as it was, and comes back",
    { reason: Arbitrary.schema(StreamError.Reason) },
    (input) => {
      const error = StreamError.make(input.reason)
      const aiError = toAiError(error)
      if (error.reason._tag === "ProviderFailure") assert.strictEqual(aiError.isRetryable, error.reason.isRetryable)
      assert.strictEqual(fromAiError(aiError).reason._tag, error.reason._tag)
    }
  )
})

describe("from AiError", () => {
  it("every other reason is a ProviderFailure that says what it says", () => {
    const http = { response: { status: 429, headers: {} } }
    const aiError = AiError.make({
      module: "OpenAiClient",
      method: "stream",
      reason: new AiError.RateLimitError({ retryAfter: Duration.seconds(3), http })
    })
    assert.deepStrictEqual(fromAiError(aiError).reason, {
      _tag: "ProviderFailure",
      provider: "OpenAiClient",
      status: 429,
      code: "RateLimitError",
      message: "Rate limit exceeded. Retry after 3s",
      isRetryable: true,
      retryAfter: Duration.seconds(3)
    })
    const invalid = AiError.make({
      module: "M",
      method: "m",
      reason: new AiError.ToolNotFoundError({ toolName: "x", availableTools: [] })
    })
    assert.deepInclude(fromAiError(invalid).reason, {
      _tag: "ProviderFailure",
      status: undefined,
      code: "ToolNotFoundError",
      retryAfter: undefined
    })
  })
})
