/** The suite that every decoder runs on the recorded streams of its protocol. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import type * as StreamError from "../../src/StreamError.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as StreamLaws from "../../src/testing/StreamLaws.ts"
import * as StreamTest from "../../src/testing/StreamTest.ts"
import { collect, finishOf, random, reasonOf, resplit, type Run, show, textOf } from "./run.ts"
import { describeShared, type Expected, readBytes, readJson, type Recording, recordings } from "./shared.ts"

export interface Suite {
  readonly protocol: string
  /** How many there are, lest a suite runs on none. */
  readonly count: number
  readonly decode: <E>(
    self: Stream.Stream<Uint8Array | string, E>
  ) => Stream.Stream<StreamEvent.StreamEvent, E | StreamError.StreamError>
  /** Whether an event, as it is on the wire, is the terminal one. */
  readonly isTerminal: (frame: string) => boolean
  /** Whether tool calls come as soon as they are whole, not at the end only. */
  readonly callsEarly?: boolean | undefined
  /** What a recording needs beyond the common checks, or instead of some: a written reason stands with each. */
  readonly check?:
    | ((recording: Recording, expected: Expected, run: Run<StreamEvent.StreamEvent, StreamError.StreamError>) => void)
    | undefined
  /** Fields in which this decoder is right and the expectation is not: by recording's name, with the reason. */
  readonly deviations?: Readonly<Record<string, { readonly fields: ReadonlyArray<string>; readonly reason: string }>>
}

/** Where the frames of a recording end, in bytes, and where the terminal one begins. */
const borders = (bytes: Uint8Array, isNdjson: boolean, isTerminal: (frame: string) => boolean) => {
  // One character a byte.
  const text = Buffer.from(bytes).toString("latin1")
  const ends = Array.from(
    text.matchAll(isNdjson ? /\n/g : /\r\n\r\n|\n\n|\r\r/g),
    (match) => match.index + match[0].length
  )
  const starts = [0, ...ends]
  const terminal = starts.findIndex((start, i) => isTerminal(text.slice(start, ends[i])))
  return { ends, terminal: terminal === -1 ? bytes.length : starts[terminal]! }
}

const callsOf = (events: ReadonlyArray<StreamEvent.StreamEvent>) =>
  events
    .filter(StreamEvent.is("ToolCall"))
    .map(({ argumentsText, id, input, name }) => ({ id, name, argumentsText, input }))

export const recordingSuite = (suite: Suite): void => {
  describeShared("recordings", "recordings/index.json", () => {
    const all = recordings(suite.protocol)
    const load = (recording: Recording) => ({
      bytes: readBytes(`recordings/${recording.wire}`),
      expected: readJson<Expected>(`recordings/${recording.expected}`)
    })
    const decode = <E>(source: Stream.Stream<Uint8Array | string, E>) => Effect.runSync(collect(suite.decode(source)))

    it(`there are ${suite.count} of this protocol`, () => {
      assert.strictEqual(all.length, suite.count)
    })

    describe("have the result that they had", () => {
      it.each(all)("$wire", (recording) => {
        const { bytes, expected } = load(recording)
        const run = decode(Stream.make(bytes))
        const { events, failure } = run
        const excused = [...recording.ambiguousFields, ...(suite.deviations?.[recording.name]?.fields ?? [])]
        const check = (field: string, assertion: () => void): void => {
          if (!excused.includes(field)) assertion()
        }
        check("text", () => assert.strictEqual(textOf(events, "Delta"), expected.text))
        check("reasoning", () => assert.strictEqual(textOf(events, "Reasoning"), expected.reasoning))
        check("refusal", () => assert.strictEqual(textOf(events, "Refusal"), expected.refusal ?? ""))

        const calls = expected.sawTerminalEvent || suite.callsEarly === true ? expected.toolCalls : []
        check("toolCalls", () => {
          assert.deepStrictEqual(
            callsOf(events).map(({ argumentsText, id, ...call }, i) => ({
              ...call,
              // Where the provider gives none, it is the decoder's own.
              id: calls[i]?.id === null ? null : id,
              // Where the provider sends an object, its text is the decoder's own.
              argumentsText: calls[i]?.argumentsText === null ? null : argumentsText
            })),
            calls
              .filter((call) => call.argumentsValid && call.unfinished !== true)
              .map(({ argumentsText, arguments: input, id, kind, name }) => ({
                id,
                name,
                input: kind === "custom" ? argumentsText : input,
                argumentsText
              }))
          )
          for (const { argumentsText, id } of calls) {
            if (argumentsText === null) continue
            const deltas = events.filter(StreamEvent.is("ToolCallDelta")).filter((event) => event.id === id)
            assert.strictEqual(deltas.map((event) => event.delta).join(""), argumentsText)
          }
        })

        const finish = finishOf(events)
        check("finishReason", () => assert.strictEqual(finish?.providerFinishReason ?? null, expected.finishReason))
        check("usageInclusive", () => {
          const { inputTokens, outputTokens } = finish?.usage ?? { inputTokens: {}, outputTokens: {} }
          assert.deepStrictEqual(
            { input: inputTokens.total ?? null, output: outputTokens.total ?? null },
            expected.usageInclusive ?? { input: null, output: null }
          )
        })
        check("usage", () => {
          const { inputTokens, outputTokens } = finish?.usage ?? { inputTokens: {}, outputTokens: {} }
          assert.strictEqual(outputTokens.reasoning ?? null, expected.usage?.reasoning ?? null)
          assert.strictEqual(inputTokens.cacheRead ?? null, expected.usage?.cached ?? null)
          for (const count of Object.values({ ...inputTokens, ...outputTokens })) {
            assert.isTrue(count === undefined || count >= 0)
          }
        })

        check("errors", () => {
          const [error] = expected.errors
          if (error !== undefined) {
            const reason = reasonOf(failure, "ProviderFailure")
            assert.strictEqual(reason.message, error.message)
            assert.strictEqual(reason.code ?? null, error.code === null ? error.type : String(error.code))
          } else if (!expected.sawTerminalEvent) {
            assert.strictEqual(failure?.reason._tag, "Truncated")
          } else if (calls.some((call) => !call.argumentsValid || call.unfinished === true)) {
            assert.strictEqual(failure?.reason._tag, "ToolCallIncomplete")
          } else {
            assert.isUndefined(failure)
            assert.strictEqual(events.at(-1)?._tag, "End")
          }
        })
        const checked = StreamEvent.validate(
          Stream.concat(Stream.fromIterable(events), failure === undefined ? Stream.empty : Stream.fail(failure))
        )
        assert.strictEqual(Effect.runSync(collect(checked)).failure, failure, "the grammar of events")

        const response = events.filter(StreamEvent.is("Metadata")).find((event) => event.kind === "response")
        check("id", () => {
          if (expected.id !== null) assert.strictEqual(response?.metadata["id"], expected.id)
        })
        check("model", () => {
          if (expected.model !== null) assert.strictEqual(response?.metadata["model"], expected.model)
        })
        suite.check?.(recording, expected, run)
      })
    })

    describe("cut before the terminal event, never have an End nor a made-up call", () => {
      it.each(all)("$wire", (recording) => {
        const { bytes, expected } = load(recording)
        const whole = decode(Stream.make(bytes)).events
        const { ends, terminal } = borders(bytes, recording.wire.endsWith(".ndjson"), suite.isTerminal)
        assert.strictEqual(terminal < bytes.length, expected.sawTerminalEvent)
        const next = random(bytes.length)
        const places = [
          ...ends.filter((end) => end <= terminal && end < bytes.length),
          ...Array.from({ length: 50 }, () => Math.floor(next() * terminal))
        ]
        for (const place of places) {
          const { events, failure } = decode(Stream.make(bytes.subarray(0, place)))
          const at = `cut at ${place}`
          assert.isFalse(events.some(StreamEvent.is("End")), at)
          const calls = callsOf(events)
          if (suite.callsEarly !== true) assert.deepStrictEqual(calls, [], at)
          assert.deepStrictEqual(calls, callsOf(whole).slice(0, calls.length), at)
          for (const tag of ["Delta", "Reasoning", "Refusal"] as const) {
            assert.isTrue(textOf(whole, tag).startsWith(textOf(events, tag)), at)
          }
          // Its error may have come before the cut, its last byte still to come.
          if (expected.errors.length === 0) assert.strictEqual(failure?.reason._tag, "Truncated", at)
          else assert.include(["Truncated", "ProviderFailure"], failure?.reason._tag, at)
        }
      })
    })

    describe("cut at random, give the same events", () => {
      it.each(all)("$wire", (recording) => {
        const { bytes } = load(recording)
        const whole = decode(Stream.make(bytes))
        const expected = StreamLaws.join(whole.events).map(show)
        const next = random(bytes.length)
        const ways = [2, 10, 100, 1000].map((pieces) => resplit(bytes, pieces, next))
        if (bytes.length < 10_000) ways.push(StreamTest.split(bytes, 1))
        for (const pieces of ways) {
          for (const source of [Stream.fromIterable(pieces), StreamTest.script(pieces)]) {
            const { events, failure } = decode(source)
            assert.deepStrictEqual(StreamLaws.join(events).map(show), expected)
            assert.strictEqual(failure?.message, whole.failure?.message)
          }
        }
      })
    })
  })
}
