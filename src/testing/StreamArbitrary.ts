/**
 * Generated inputs for the laws of `StreamLaws`: whole answers, text and bytes, with every way of cutting them up.
 *
 * They are values of `effect/Arbitrary`, for `it.effect.prop` of `@effect/vitest` or `Arbitrary.checkEffect`, and shrink to
 * little text in few pieces.
 *
 * @since 0.1.0
 */
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import * as StreamError from "../StreamError.ts"
import * as StreamEvent from "../StreamEvent.ts"
import type * as StreamLaws from "./StreamLaws.ts"
import * as StreamTest from "./StreamTest.ts"

const int = (minimum: number, maximum: number) =>
  Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum, maximum })))

/** One of the choices; shrinks to the earlier ones. */
const oneOf = <A>(...choices: ReadonlyArray<Arbitrary.Arbitrary<A>>): Arbitrary.Arbitrary<A> =>
  Arbitrary.flatMap(int(0, choices.length - 1), (index) => choices[index]!)

const pick = <const A>(...values: ReadonlyArray<A>): Arbitrary.Arbitrary<A> =>
  Arbitrary.map(int(0, values.length - 1), (index) => values[index]!)

// Plain text first, which shrinking prefers; then what is cut or read wrongly: white space, line ends, escapes, markup,
// accents in one unit and in two, several units per character, several characters per sign, unpaired surrogates.
const pool = [
  ..."ab",
  ..." the and. Sure, 42: ",
  "the ",
  "\n",
  "\r\n",
  "\t",
  '"',
  "\\",
  "{",
  "}",
  "<b>",
  "```",
  "data: ",
  "\0",
  "é",
  "e\u0301",
  "ß",
  "İ",
  "日本",
  "\u2028",
  "\ufeff",
  "😀",
  "👨\u200d👩\u200d👧",
  "🇫🇷",
  "\ud83d",
  "\ude00"
]

/**
 * What generated text is made of.
 *
 * @category arbitraries
 * @since 0.1.0
 */
export interface TextOptions {
  /** Words that should occur, whole and in part: what your processor looks for. */
  readonly words?: ReadonlyArray<string> | undefined
}

const texts = (options?: TextOptions): Arbitrary.Arbitrary<string> => {
  const words = options?.words ?? []
  const word =
    words.length === 0
      ? pick(...pool)
      : oneOf(
          pick(...pool),
          pick(...words),
          Arbitrary.map(Arbitrary.all([pick(...words), int(0, 8), int(0, 8)]), ([word, from, length]) =>
            word.slice(from % word.length, (from % word.length) + 1 + length)
          )
        )
  return Arbitrary.map(Arbitrary.array(word, { maxLength: 12 }), (words) => words.join(""))
}

const sizes: Arbitrary.Arbitrary<ReadonlyArray<number>> = oneOf<ReadonlyArray<number>>(
  Arbitrary.Constant([Infinity]),
  Arbitrary.Constant([1]),
  Arbitrary.map(Arbitrary.array(int(0, 6), { minLength: 1, maxLength: 6 }), (sizes) =>
    sizes.some((size) => size > 0) ? sizes : [1]
  )
)

const groups: Arbitrary.Arbitrary<ReadonlyArray<number>> = oneOf<ReadonlyArray<number>>(
  Arbitrary.Constant([1]),
  Arbitrary.Constant([Infinity]),
  Arbitrary.array(int(1, 5), { minLength: 1, maxLength: 4 })
)

/**
 * One text or one array of bytes (a recording, say), or one that is generated, cut in every way.
 *
 * **Example** (A decoder on a recording)
 *
 * ```ts
 * import { Arbitrary, Effect, Stream } from "effect"
 * import { StreamEvent } from "effect-llm-streaming"
 * import * as StreamArbitrary from "effect-llm-streaming/testing/StreamArbitrary"
 * import * as StreamLaws from "effect-llm-streaming/testing/StreamLaws"
 *
 * const recording = new TextEncoder().encode("naïve 😀")
 * const decode = <E, R>(bytes: Stream.Stream<Uint8Array, E, R>) => StreamEvent.fromText(Stream.decodeText(bytes))
 * const property = Arbitrary.checkEffect(StreamArbitrary.splits(recording), (input) => StreamLaws.all(decode, input), { runs: 20 })
 * const result = await Effect.runPromise(property)
 * result._tag // => "Passed"
 * ```
 *
 * @category arbitraries
 * @since 0.1.0
 */
export const splits: {
  (whole: string | Arbitrary.Arbitrary<string>): Arbitrary.Arbitrary<StreamLaws.Input<string>>
  (whole: Uint8Array | Arbitrary.Arbitrary<Uint8Array>): Arbitrary.Arbitrary<StreamLaws.Input<Uint8Array>>
} = <I extends string | Uint8Array>(whole: I | Arbitrary.Arbitrary<I>): Arbitrary.Arbitrary<StreamLaws.Input<I>> =>
  Arbitrary.map(
    Arbitrary.all({ whole: Arbitrary.isArbitrary(whole) ? whole : Arbitrary.Constant(whole), sizes, groups }),
    ({ groups, sizes, whole }) => ({ items: [whole], sizes, groups })
  )

/**
 * Text of all sorts, cut in every way, for a decoder of text.
 *
 * @category arbitraries
 * @since 0.1.0
 */
export const text = (options?: TextOptions): Arbitrary.Arbitrary<StreamLaws.Input<string>> => splits(texts(options))

/**
 * The UTF-8 bytes of text of all sorts, cut in every way, for a decoder of bytes.
 *
 * @category arbitraries
 * @since 0.1.0
 */
export const bytes = (options?: TextOptions): Arbitrary.Arbitrary<StreamLaws.Input<Uint8Array>> =>
  splits(Arbitrary.map(texts(options), (text) => new TextEncoder().encode(text)))

/**
 * Whole answers, cut in every way, for a processor: text of every tag, in parts and without, with surrogate pairs (and
 * halves of them), tool calls in fragments and with results, metadata, signs of life; then `End`, an `Error` event, or a
 * failure.
 *
 * @category arbitraries
 * @since 0.1.0
 */
export const events = (options?: TextOptions): Arbitrary.Arbitrary<StreamLaws.Input<StreamEvent.StreamEvent>> =>
  Arbitrary.map(
    Arbitrary.all({ segments: Arbitrary.array(segment(options), { maxLength: 8 }), ending, sizes, groups }),
    ({ ending, groups, segments, sizes }) => ({
      items: [StreamEvent.start(0), ...segments.flatMap((make, index) => make(`call_${index}`)), ...ending.items],
      failure: ending.failure,
      sizes,
      groups
    })
  )

type MakeText = (timestamp: number, delta: string, part?: string) => StreamEvent.TextEvent

type Segment = (id: string) => ReadonlyArray<StreamEvent.StreamEvent>

const segment = (options?: TextOptions): Arbitrary.Arbitrary<Segment> => {
  const part = pick(undefined, undefined, "0", "1")
  const make = pick<MakeText>(StreamEvent.delta, StreamEvent.delta, StreamEvent.reasoning, StreamEvent.refusal)
  const text = texts(options)
  const textEvent = Arbitrary.map(Arbitrary.all({ make, text, part }), ({ make, part, text }): Segment => () => [
    make(0, text, part)
  ])
  const call = Arbitrary.map(
    Arbitrary.all({ text, sizes, failed: pick(undefined, false, true) }),
    ({ failed, sizes, text }): Segment =>
      (id) => {
        const argumentsText = JSON.stringify({ text })
        const fragments = StreamTest.split(argumentsText, sizes)
        const made = StreamEvent.toolCall(0, { id, name: "search", argumentsText, input: { text } })
        const result = { id, name: "search", output: text, isError: failed === true }
        return [
          ...fragments.map((delta) => StreamEvent.toolCallDelta(0, id, "search", delta)),
          made,
          ...(failed === undefined ? [] : [StreamEvent.toolResult(0, result)])
        ]
      }
  )
  const usage = { inputTokens: { total: 12 }, outputTokens: { total: 34, reasoning: 5 } }
  const other = pick<Segment>(
    () => [StreamEvent.progress(0, "keep-alive")],
    () => [StreamEvent.metadata(0, "usage", { usage })],
    (id) => [StreamEvent.metadata(0, "source", { metadata: { id, url: "https://example.com" } })],
    () => [StreamEvent.metadata(0, "finish", { finishReason: "stop", providerFinishReason: "end_turn" })]
  )
  return oneOf(textEvent, textEvent, other, call)
}

interface Ending {
  readonly items: ReadonlyArray<StreamEvent.StreamEvent>
  readonly failure?: StreamError.StreamError
}

const ending = pick<Ending>(
  { items: [StreamEvent.end(0, "stop")] },
  { items: [StreamEvent.end(0, "length")] },
  { items: [], failure: StreamError.make({ _tag: "SourceFailure", cause: "connection reset" }) },
  { items: [StreamEvent.error(0, StreamError.make({ _tag: "Truncated", expected: "its end" }))] }
)
