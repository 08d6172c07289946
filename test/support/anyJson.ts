/** The suite that every decoder runs on garbage in the words of its protocol, and on its own events in disorder. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"
import * as StreamError from "../../src/StreamError.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"
import type * as Provider from "../../src/wire/Provider.ts"
import { collect, random, show } from "./run.ts"

type Next = () => number

const pick = <A>(values: ReadonlyArray<A>, next: Next): A => values[Math.floor(next() * values.length)]!

const leaves: ReadonlyArray<unknown> = [null, true, false, 0, 1, -1, 1.5, 1e308, "", "a", "{}", "{", "\ud83d", [], {}]

/** Garbage of some depth, in the given words, which stand for keys and values alike. */
const garbage = (words: ReadonlyArray<string>, next: Next, depth: number): unknown => {
  const kind = depth === 0 ? 0 : next()
  if (kind < 0.35) return pick(next() < 0.5 ? leaves : words, next)
  const size = Math.floor(next() * 5)
  if (kind < 0.55) return Array.from({ length: size }, () => garbage(words, next, depth - 1))
  const fields: ReadonlyArray<readonly [string, unknown]> = Array.from({ length: size }, () => [
    pick(words, next),
    garbage(words, next, depth - 1)
  ])
  return Object.fromEntries(fields)
}

/** The same with some parts of it replaced. */
const spoil = (value: unknown, words: ReadonlyArray<string>, next: Next): unknown => {
  if (next() < 0.06) return garbage(words, next, 3)
  if (Array.isArray(value)) return value.map((item) => spoil(item, words, next))
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, spoil(field, words, next)]))
}

/** Some dropped, some twice, some in another place. */
const disorder = (chunks: ReadonlyArray<unknown>, next: Next): ReadonlyArray<unknown> => {
  const out: Array<unknown> = []
  for (const chunk of chunks) {
    const kind = next()
    if (kind < 0.1) continue
    if (kind < 0.2) out.push(chunk)
    if (kind < 0.3) out.splice(Math.floor(next() * out.length), 0, chunk)
    else out.push(chunk)
  }
  return out
}

/** The grammar of events holds, and nothing of a call is behind it. */
const checkGrammar = (
  events: ReadonlyArray<StreamEvent.StreamEvent>,
  failure: StreamError.StreamError | undefined,
  input: string
): void => {
  const end = failure === undefined ? Stream.empty : Stream.fail("failed")
  const validated = StreamEvent.validate(Stream.concat(Stream.fromIterable(events), end))
  assert.strictEqual(
    Effect.runSync(collect(validated)).failure,
    failure === undefined ? undefined : "failed",
    `${input}: ${events.map(show).join(", ")}`
  )
}

export const anyJsonSuite = (suite: {
  readonly provider: Provider.Provider
  readonly words: ReadonlyArray<string>
  /** Right streams, of chunks. */
  readonly streams: ReadonlyArray<ReadonlyArray<unknown>>
  readonly framing?: "sse" | "ndjson" | undefined
}): void => {
  const { framing, provider, streams } = suite
  const words = [...suite.words, "__proto__", "toString", "constructor"]
  const encode = Schema.encodeSync(StreamEvent.StreamEvent)
  const reasons = ["Truncated", "ProviderFailure", "ToolCallIncomplete", "MalformedFrame", "ProtocolViolation"]

  const frame = (json: string): string => (framing === "ndjson" ? `${json}\n` : `data: ${json}\n\n`)

  const check = (chunks: ReadonlyArray<unknown>): void => {
    const text = chunks.map((chunk) => frame(JSON.stringify(chunk))).join("")
    // A defect would be thrown here.
    const { events, failure } = Effect.runSync(collect(provider.decode()(Stream.make(text))))
    for (const event of events) encode(event)
    checkGrammar(events, failure, text)
    if (failure !== undefined) {
      assert.include(reasons, failure.reason._tag)
      Schema.encodeSync(StreamError.StreamError)(failure)
    }
    const parsed = chunks.map((chunk): unknown => JSON.parse(JSON.stringify(chunk)))
    const again = Effect.runSync(collect(provider.fromChunks()(Stream.fromIterable(parsed))))
    assert.deepStrictEqual(again.events.map(show), events.map(show))
  }

  const repeat = (times: number, chunks: (next: Next) => ReadonlyArray<unknown>): void => {
    const next = random(times)
    for (let n = 0; n < times; n++) check(chunks(next))
  }

  describe("any JSON gives events or a typed failure, never a defect", () => {
    it("garbage", () => {
      repeat(1500, (next) => Array.from({ length: 1 + Math.floor(next() * 4) }, () => garbage(words, next, 5)))
    })

    it("right chunks with parts of them replaced", () => {
      repeat(1500, (next) => pick(streams, next).map((chunk) => spoil(chunk, words, next)))
    })

    it("right chunks dropped, doubled, and in another order", () => {
      repeat(1500, (next) => disorder(pick(streams, next), next))
    })
  })
}
