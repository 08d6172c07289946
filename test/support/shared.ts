/** Data for tests that lies beside the repository and is not part of it: a fresh machine may not have it. */
import { describe, it } from "@effect/vitest"
import { existsSync, readFileSync } from "node:fs"

const urlOf = (path: string): URL => new URL(`../../../shared/${path}`, import.meta.url)

export const readBytes = (path: string): Uint8Array => new Uint8Array(readFileSync(urlOf(path)))

/** The shape of the data is the caller's word. */
export const readJson = <A>(path: string): A => JSON.parse(readFileSync(urlOf(path), "utf8")) as A

/** A suite that needs the data; without it there is one skipped test that says so. */
export const describeShared = (name: string, path: string, body: () => void): void => {
  if (existsSync(urlOf(path))) {
    describe(name, () => {
      body()
    })
  } else it.skip(`SKIPPED: ${name}, for want of ../shared/${path}`, () => {})
}

/** A recorded stream and its true result; see the README of the recordings. */
export interface Recording {
  readonly name: string
  readonly provider: string
  readonly protocol: string
  readonly wire: string
  readonly expected: string
  readonly ambiguousFields: ReadonlyArray<string>
}

export interface Expected {
  readonly sawTerminalEvent: boolean
  readonly id: string | null
  readonly model: string | null
  readonly text: string
  readonly textParts: ReadonlyArray<string>
  readonly reasoning: string
  readonly reasoningParts: ReadonlyArray<string>
  readonly refusal: string | null
  readonly toolCalls: ReadonlyArray<{
    /** `null`: the provider gives none. */
    readonly id: string | null
    readonly name: string
    /** `null`: the provider sends an object. */
    readonly argumentsText: string | null
    readonly argumentsValid: boolean
    readonly arguments: unknown
    readonly kind: "function" | "custom" | "tool_use"
    readonly unfinished?: boolean
  }>
  /** Tool items that are not plain function calls. */
  readonly otherToolItems: ReadonlyArray<{
    readonly id: string
    readonly name: string
    readonly kind: string
    /** Of the Responses API: the item's type. */
    readonly type?: string
    readonly arguments?: unknown
  }>
  readonly toolPlan: string | null
  readonly citations: number
  readonly malformedEvents: ReadonlyArray<unknown>
  readonly finishReason: string | null
  readonly usage: {
    readonly reasoning: number | null
    readonly cached: number | null
    readonly cacheWrite: number | null
  } | null
  readonly usageRaw: {
    readonly total_tokens?: number
    readonly prompt_tokens_details?: { readonly cache_write_tokens?: number }
  } | null
  readonly usageInclusive: { readonly input: number | null; readonly output: number | null } | null
  readonly errors: ReadonlyArray<{
    readonly message: string
    readonly type: string | null
    readonly code: string | number | null
  }>
}

export const recordings = (protocol: string): ReadonlyArray<Recording> =>
  readJson<ReadonlyArray<Recording>>("recordings/index.json").filter((recording) => recording.protocol === protocol)
