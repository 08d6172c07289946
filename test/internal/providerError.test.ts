import { assert, describe, it } from "@effect/vitest"
import { describeError, isRetryableStatus } from "../../src/internal/providerError.ts"

describe("describeError", () => {
  it("finds code and message wherever providers put them", () => {
    const of = (body: unknown) => {
      const { code, isRetryable, message } = describeError(body)
      return [code, message, isRetryable]
    }
    // OpenAI, Anthropic, Google, Google's compatible server, FastAPI, Ollama, Cohere.
    assert.deepStrictEqual(of({ error: { message: "m", type: "server_error", code: null } }), [
      "server_error",
      "m",
      true
    ])
    assert.deepStrictEqual(of({ error: { message: "m", type: "requests", code: "rate_limit_exceeded" } }), [
      "rate_limit_exceeded",
      "m",
      true
    ])
    assert.deepStrictEqual(of({ type: "error", error: { type: "overloaded_error", message: "m" } }), [
      "overloaded_error",
      "m",
      true
    ])
    assert.deepStrictEqual(of({ type: "error", error: { type: "api_error", message: "m" } }), ["api_error", "m", true])
    assert.deepStrictEqual(of({ error: { code: 503, message: "m", status: "UNAVAILABLE" } }), ["503", "m", true])
    assert.deepStrictEqual(of([{ error: { code: 400, message: "m", status: "INVALID_ARGUMENT" } }]), [
      "400",
      "m",
      false
    ])
    assert.deepStrictEqual(of({ detail: "m" }), [undefined, "m", false])
    assert.deepStrictEqual(of({ error: "m" }), [undefined, "m", false])
    assert.deepStrictEqual(of({ message: "m" }), [undefined, "m", false])
  })

  it("finds when to try again, in Google's details", () => {
    const of = (...details: ReadonlyArray<unknown>) => describeError({ error: { code: 429, details } }).retryAfterMillis
    const quota = { "@type": "type.googleapis.com/google.rpc.QuotaFailure", violations: [] }
    const info = (retryDelay: unknown) => ({ "@type": "type.googleapis.com/google.rpc.RetryInfo", retryDelay })
    assert.strictEqual(of(quota, info("34.074824224s")), 34_075)
    assert.strictEqual(of(info("0s")), 0)
    for (const nonsense of ["", "s", "-1s", "1", 5, null, "1e3s", `${"9".repeat(400)}s`]) {
      assert.isUndefined(of(null, quota, info(nonsense)))
    }
    assert.isUndefined(describeError({ error: { details: "34s" } }).retryAfterMillis)
  })

  it("takes a text for the message, at most 1,000 code units of it", () => {
    assert.strictEqual(describeError("no").message, "no")
    assert.strictEqual(describeError("x".repeat(2_000)).message?.length, 1_000)
    assert.isUndefined(describeError("").message)
  })

  it("says nothing of what says nothing", () => {
    for (const body of [undefined, null, 5, true, {}, [], [[]], { message: 3 }, { error: null }]) {
      const { code, isRetryable, message } = describeError(body)
      assert.deepStrictEqual([code, message, isRetryable], [undefined, undefined, false])
    }
  })
})

describe("isRetryableStatus", () => {
  it("is true where the same request may succeed later", () => {
    assert.deepStrictEqual(
      [400, 401, 403, 404, 408, 409, 413, 422, 425, 429, 499, 500, 502, 503, 529].filter(isRetryableStatus),
      [408, 409, 425, 429, 500, 502, 503, 529]
    )
  })
})
