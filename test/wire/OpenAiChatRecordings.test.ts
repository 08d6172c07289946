import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as StreamLaws from "../../src/testing/StreamLaws.ts"
import * as StreamTest from "../../src/testing/StreamTest.ts"
import * as OpenAiChat from "../../src/wire/OpenAiChat.ts"
import { collect, finishOf, random, reasonOf, resplit, show, textOf } from "../support/run.ts"
import { describeShared, type Expected, readBytes, readJson, type Recording, recordings } from "../support/shared.ts"

const decode = (source: Stream.Stream<Uint8Array | string>) => Effect.runSync(collect(OpenAiChat.decode()(source)))

/** Where the events of a recording end, in bytes, and where the event begins that has the finish reason. */
const borders = (bytes: Uint8Array): { readonly ends: ReadonlyArray<number>; readonly terminal: number } => {
  // One character a byte.
  const text = Buffer.from(bytes).toString("latin1")
  const ends = Array.from(text.matchAll(/\r\n\r\n|\n\n|\r\r/g), (match) => match.index + match[0].length)
  const starts = [0, ...ends]
  const terminal = starts.findIndex((start, i) => /"finish_reason": ?"/.test(text.slice(start, ends[i])))
  return { ends, terminal: terminal === -1 ? bytes.length : starts[terminal]! }
}

describeShared("recordings", "recordings/index.json", () => {
  const all = recordings("openai-chat")
  const load = (recording: Recording) => ({
    bytes: readBytes(`recordings/${recording.wire}`),
    expected: readJson<Expected>(`recordings/${recording.expected}`)
  })

  it("there are 53 of this protocol", () => {
    assert.strictEqual(all.length, 53)
  })

  describe("have the result that they had", () => {
    it.each(all)("$wire", (recording) => {
      const { bytes, expected } = load(recording)
      const { events, failure } = decode(Stream.make(bytes))
      const check = (field: string, assertion: () => void): void => {
        if (!recording.ambiguousFields.includes(field)) assertion()
      }
      check("text", () => assert.strictEqual(textOf(events, "Delta"), expected.text))
      check("reasoning", () => assert.strictEqual(textOf(events, "Reasoning"), expected.reasoning))
      check("refusal", () => assert.strictEqual(textOf(events, "Refusal"), expected.refusal ?? ""))

      const calls = expected.sawTerminalEvent ? expected.toolCalls : []
      check("toolCalls", () => {
        assert.deepStrictEqual(
          events
            .filter(StreamEvent.is("ToolCall"))
            .map(({ argumentsText, id, input, name }) => ({ id, name, argumentsText, input })),
          calls
            .filter((call) => call.argumentsValid)
            .map(({ argumentsText, arguments: input, id, name }) => ({ id, name, argumentsText, input }))
        )
        for (const { argumentsText, id } of calls) {
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
        assert.strictEqual(finish?.usage?.outputTokens.reasoning ?? null, expected.usage?.reasoning ?? null)
        assert.strictEqual(finish?.usage?.inputTokens.cacheRead ?? null, expected.usage?.cached ?? null)
        // The script that made the true results did not look for this number in this protocol.
        const details = expected.usageRaw?.prompt_tokens_details
        assert.strictEqual(finish?.usage?.inputTokens.cacheWrite, details?.cache_write_tokens)
        for (const count of Object.values({ ...finish?.usage?.inputTokens, ...finish?.usage?.outputTokens })) {
          assert.isTrue(count === undefined || count >= 0)
        }
      })

      const [error] = expected.errors
      if (error !== undefined) {
        assert.strictEqual(expected.errors.length, 1)
        const reason = reasonOf(failure, "ProviderFailure")
        assert.strictEqual(reason.message, error.message)
        assert.strictEqual(reason.code ?? null, error.code === null ? error.type : String(error.code))
      } else if (!expected.sawTerminalEvent) {
        assert.strictEqual(failure?.reason._tag, "Truncated")
      } else if (calls.some((call) => !call.argumentsValid)) {
        assert.strictEqual(failure?.reason._tag, "ToolCallIncomplete")
      } else {
        assert.isUndefined(failure)
        assert.strictEqual(events.at(-1)?._tag, "End")
      }
      const response = events.filter(StreamEvent.is("Metadata")).find((event) => event.kind === "response")
      if (expected.id !== null) assert.strictEqual(response?.metadata["id"], expected.id)
      if (expected.model !== null) assert.strictEqual(response?.metadata["model"], expected.model)
    })
  })

  describe("cut before the terminal event, never have an End nor a ToolCall", () => {
    it.each(all)("$wire", (recording) => {
      const { bytes, expected } = load(recording)
      const { ends, terminal } = borders(bytes)
      assert.strictEqual(terminal < bytes.length, expected.sawTerminalEvent)
      const next = random(bytes.length)
      const places = [
        ...ends.filter((end) => end <= terminal && end < bytes.length),
        ...Array.from({ length: 50 }, () => Math.floor(next() * terminal))
      ]
      for (const place of places) {
        const { events, failure } = decode(Stream.make(bytes.subarray(0, place)))
        const at = `cut at ${place}`
        assert.isFalse(events.some(StreamEvent.is("End", "ToolCall")), at)
        assert.isTrue(expected.text.startsWith(textOf(events, "Delta")), at)
        assert.isTrue(expected.reasoning.startsWith(textOf(events, "Reasoning")), at)
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
