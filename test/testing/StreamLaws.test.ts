import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Cause, Channel, Data, Effect, Exit, Option, Pull, Scope, Stream } from "effect"
import { identity } from "effect/Function"
import { TestClock } from "effect/testing"
import * as StreamError from "../../src/StreamError.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as StreamProcessor from "../../src/StreamProcessor.ts"
import * as StreamArbitrary from "../../src/testing/StreamArbitrary.ts"
import * as StreamLaws from "../../src/testing/StreamLaws.ts"

type Events<E = never, R = never> = Stream.Stream<StreamEvent.StreamEvent, E, R>

const word = "password"

const mapDelta = (event: StreamEvent.StreamEvent, f: (text: string) => string): StreamEvent.StreamEvent =>
  StreamEvent.isText(event) ? { ...event, delta: f(event.delta) } : event

const redact = (text: string) => text.replaceAll(word, "***")

/** A right one that holds text back: what could become the word waits, and everything but Progress waits behind it. */
const hold = (options?: { readonly flushOn: "anything" | "End" }) =>
  StreamProcessor.transduce(() => {
    let held: StreamEvent.TextEvent | undefined
    const flush = (out: Array<StreamEvent.StreamEvent>) => {
      if (held !== undefined) out.push(held)
      held = undefined
    }
    return {
      step(event, out) {
        if (event._tag === "Progress") {
          out.push(event)
          return
        }
        if (!StreamEvent.isText(event)) {
          flush(out)
          out.push(event)
          return
        }
        if (held !== undefined && event.delta.length > 0 && (held._tag !== event._tag || held.part !== event.part)) {
          flush(out)
        }
        if (event.delta === "") return
        const text = redact((held?.delta ?? "") + event.delta)
        let keep = Math.min(word.length - 1, text.length)
        while (!word.startsWith(text.slice(text.length - keep))) keep--
        if (keep < text.length) out.push({ ...event, delta: text.slice(0, text.length - keep) })
        held = keep === 0 ? undefined : { ...event, delta: text.slice(text.length - keep) }
      },
      flush: options?.flushOn === "End" ? () => {} : flush
    }
  })

const reference = (events: ReadonlyArray<StreamEvent.StreamEvent>) => [
  ...events.filter(StreamEvent.is("Progress")),
  ...StreamLaws.join(events.filter((event) => event._tag !== "Progress")).map((event) => mapDelta(event, redact))
]

const decodeText = <E, R>(self: Stream.Stream<Uint8Array, E, R>) => StreamEvent.fromText(Stream.decodeText(self))

/** Ends at the first null character, whatever its source does behind it. */
const untilNull = <E, R>(self: Stream.Stream<string, E, R>) =>
  self.pipe(
    Stream.flatMap((text) => Stream.fromIterable(text.split(""))),
    Stream.takeWhile((unit) => unit !== "\0"),
    StreamEvent.fromText
  )

class Refused extends Data.TaggedError("Refused")<{}> {}

describe("right processors and decoders pass every law", () => {
  it.effect.prop("passthrough", { input: StreamArbitrary.events() }, ({ input }) =>
    StreamLaws.all(StreamProcessor.passthrough, input, { oracle: identity, textOracle: identity })
  )

  it.effect.prop("a filter that holds text back", { input: StreamArbitrary.events({ words: [word] }) }, ({ input }) =>
    StreamLaws.all(hold(), input, { oracle: reference })
  )

  it.effect.prop(
    "one that drops, with a service and an effect for each event",
    { input: StreamArbitrary.events() },
    ({ input }) =>
      StreamLaws.all(
        StreamProcessor.make((event) => Effect.as(Effect.yieldNow, event._tag === "Reasoning" ? undefined : event)),
        input,
        { textOracle: (text, tag) => (tag === "Reasoning" ? "" : text) }
      )
  )

  it.effect.prop("one that fails by itself", { input: StreamArbitrary.events() }, ({ input }) =>
    StreamLaws.all(
      <E, R>(self: Events<E, R>) =>
        Stream.mapEffect(self, (event) =>
          event._tag === "ToolCall" ? Effect.fail(new Refused()) : Effect.succeed(event)
        ),
      input
    )
  )

  it.effect.prop("one that reads ahead in a fiber of its own", { input: StreamArbitrary.events() }, ({ input }) =>
    StreamLaws.all(<E, R>(self: Events<E, R>) => Stream.buffer(self, { capacity: 4 }), input, { oracle: identity })
  )

  it.effect.prop("one that shows the failure in-band", { input: StreamArbitrary.events() }, ({ input }) =>
    StreamLaws.all(StreamEvent.catchToEvent, input)
  )

  it.effect.prop("a decoder of text", { input: StreamArbitrary.text() }, ({ input }) =>
    StreamLaws.all(StreamEvent.fromText, input, {
      oracle: (text) => [StreamEvent.start(0), StreamEvent.delta(0, text), StreamEvent.end(0)]
    })
  )

  it.effect.prop("a decoder of bytes", { input: StreamArbitrary.bytes() }, ({ input }) =>
    StreamLaws.all(decodeText, input, {
      oracle: (bytes) => [
        StreamEvent.start(0),
        StreamEvent.delta(0, new TextDecoder().decode(bytes)),
        StreamEvent.end(0)
      ]
    })
  )

  it.effect.prop("a decoder that ends before its source does", { input: StreamArbitrary.text() }, ({ input }) =>
    StreamLaws.all(untilNull, input, {
      oracle: (text) => [StreamEvent.start(0), StreamEvent.delta(0, text.split("\0")[0]!), StreamEvent.end(0)]
    })
  )

  it.effect.prop(
    "a decoder whose values are no events",
    { input: StreamArbitrary.splits("a\nbc\r\n\nd") },
    ({ input }) =>
      Effect.gen(function* () {
        yield* StreamLaws.chunkIndependence(Stream.splitLines, input)
        yield* StreamLaws.oracle(Stream.splitLines, (text) => text.split(/\r?\n/), input)
        yield* StreamLaws.interruption(Stream.splitLines, input)
      })
  )
})

/** Finds an input that breaks the law, and gives the violation of the smallest one found. */
const falsify = <I, R>(
  inputs: Arbitrary.Arbitrary<StreamLaws.Input<I>>,
  law: (input: StreamLaws.Input<I>) => Effect.Effect<true, StreamLaws.LawViolation, R>
) =>
  Effect.map(Arbitrary.checkEffect(inputs, law, { seed: 1 }), (result) => {
    if (result._tag !== "Falsified" || result.failure._tag !== "PropertyError") {
      throw new Error(`expected a violation, got ${result._tag}`)
    }
    return result.failure.error
  })

const inputs = StreamArbitrary.events({ words: [word] })

describe("broken processors are caught", () => {
  it.effect("a filter that looks at each delta by itself", () =>
    Effect.gen(function* () {
      const perDelta = StreamProcessor.filterMap((event) => mapDelta(event, redact))
      const violation = yield* falsify(inputs, (input) => StreamLaws.chunkIndependence(perDelta, input))
      assert.strictEqual(violation.law, "chunkIndependence")
      assert.include(violation.expected.join(), "***")
      assert.include(violation.actual.join(), word)
      // The input that it carries breaks the law again.
      yield* Effect.flip(
        StreamLaws.chunkIndependence(perDelta, violation.input as StreamLaws.Input<StreamEvent.StreamEvent>)
      )
    })
  )

  it.effect("a decoder that decodes each chunk of bytes by itself", () =>
    Effect.gen(function* () {
      const perChunk = <E, R>(self: Stream.Stream<Uint8Array, E, R>) =>
        StreamEvent.fromText(Stream.map(self, (bytes) => new TextDecoder().decode(bytes)))
      const violation = yield* falsify(StreamArbitrary.splits(new TextEncoder().encode("naïve 😀")), (input) =>
        StreamLaws.chunkIndependence(perChunk, input)
      )
      assert.include(violation.actual.join(), "\ufffd")
    })
  )

  it.effect("one that fails by itself and drops what came in the same pull", () =>
    Effect.gen(function* () {
      const processor = <E, R>(self: Events<E, R>) =>
        Stream.mapArrayEffect(self, (events) =>
          events.some((event) => event._tag === "Refusal") ? Effect.fail(new Refused()) : Effect.succeed(events)
        )
      const violation = yield* falsify(inputs, (input) => StreamLaws.chunkIndependence(processor, input))
      assert.include(violation.actual.at(-1), "fails with Refused")
    })
  )

  it.effect("one that gives up what it holds back when the source fails", () =>
    Effect.gen(function* () {
      const violation = yield* falsify(inputs, (input) => StreamLaws.emitThenFail(hold({ flushOn: "End" }), input))
      assert.strictEqual(violation.law, "emitThenFail")
      assert.strictEqual(violation.actual.length, violation.expected.length - 1)
    })
  )

  it.effect("one that gives up what it holds back when the source just stops", () =>
    Effect.gen(function* () {
      const flushOnFailure = <E, R>(self: Events<E, R>) =>
        Stream.catch(self, (failure) =>
          Stream.concat(Stream.make(StreamEvent.metadata(0, "flush")), Stream.fail(failure))
        )
      const processor = <E, R>(self: Events<E, R>) =>
        self.pipe(
          flushOnFailure,
          hold({ flushOn: "End" }),
          Stream.filter((event) => event._tag !== "Metadata" || event.kind !== "flush")
        )
      const violation = yield* falsify(inputs, (input) => StreamLaws.emitThenFail(processor, input))
      assert.include(violation.message, "before a stop")
    })
  )

  it.effect("one that makes a failure a normal end", () =>
    Effect.gen(function* () {
      const processor = <E, R>(self: Events<E, R>) => Stream.catch(self, () => Stream.make(StreamEvent.end(0)))
      const violation = yield* falsify(inputs, (input) => StreamLaws.emitThenFail(processor, input))
      assert.include(violation.message, "as if it had not")
    })
  )

  it.effect("one that makes a failure a normal end where it has not ended by itself", () =>
    Effect.gen(function* () {
      const decoder = <E, R>(self: Stream.Stream<string, E, R>) => untilNull(Stream.catch(self, () => Stream.empty))
      const violation = yield* falsify(StreamArbitrary.text(), (input) => StreamLaws.emitThenFail(decoder, input))
      assert.include(violation.message, "as if it had not")
    })
  )

  it.effect("one that swallows the failure", () =>
    Effect.gen(function* () {
      const processor = <E, R>(self: Events<E, R>) => Stream.catch(self, () => Stream.empty)
      const violation = yield* falsify(inputs, (input) => StreamLaws.oneTerminal(processor, input))
      assert.include(violation.message, "no end")
    })
  )

  it.effect("one that emits two Ends", () =>
    Effect.gen(function* () {
      const processor = <E, R>(self: Events<E, R>) => Stream.concat(self, Stream.make(StreamEvent.end(0)))
      const violation = yield* falsify(inputs, (input) => StreamLaws.oneTerminal(processor, input))
      assert.deepStrictEqual(violation.actual.slice(-3), [
        'End { finishReason: "stop" }',
        'End { finishReason: "unknown" }',
        "ends"
      ])
    })
  )

  it.effect("one that emits End and then fails", () =>
    Effect.gen(function* () {
      const processor = <E, R>(self: Events<E, R>) => Stream.concat(self, Stream.fail(new Refused()))
      const violation = yield* falsify(inputs, (input) => StreamLaws.oneTerminal(processor, input))
      assert.include(violation.message, "more than one end")
    })
  )

  it.effect("one that emits behind the End", () =>
    Effect.gen(function* () {
      const processor = <E, R>(self: Events<E, R>) => Stream.concat(self, Stream.make(StreamEvent.progress(0, "done")))
      const violation = yield* falsify(inputs, (input) => StreamLaws.oneTerminal(processor, input))
      assert.include(violation.message, "behind the end")
    })
  )

  it.effect("a decoder that never says the end", () =>
    Effect.gen(function* () {
      const processor = <E, R>(self: Stream.Stream<string, E, R>) =>
        Stream.filter(StreamEvent.fromText(self), (event) => event._tag !== "End")
      const violation = yield* falsify(StreamArbitrary.text(), (input) => StreamLaws.oneTerminal(processor, input))
      assert.include(violation.message, "no end")
    })
  )

  it.effect("one that pulls after done", () =>
    Effect.gen(function* () {
      const processor = <E, R>(self: Events<E, R>) =>
        Stream.transformPull(self, (pull) => Effect.succeed(Pull.catchDone(pull, () => pull)))
      const violation = yield* falsify(inputs, (input) => StreamLaws.oneTerminal(processor, input))
      assert.deepStrictEqual(violation.actual, ["pulled once after its end"])
    })
  )

  it.effect("one that pulls twice at once", () =>
    Effect.gen(function* () {
      const processor = <E, R>(self: Events<E, R>) =>
        Stream.transformPull(self, (pull) =>
          Effect.succeed(Effect.map(Effect.all([pull, Effect.exit(pull)], { concurrency: 2 }), ([events]) => events))
        )
      const violation = yield* falsify(inputs, (input) => StreamLaws.oneTerminal(processor, input))
      assert.include(violation.actual.join(), "while a pull was under way")
    })
  )

  it.effect("one that leaks the source", () =>
    Effect.gen(function* () {
      const processor = <E, R>(self: Events<E, R>) =>
        Stream.fromPull(Effect.flatMap(Scope.make(), (scope) => Channel.toPullScoped(self.channel, scope)))
      const violation = yield* falsify(inputs, (input) => StreamLaws.interruption(processor, input))
      assert.deepStrictEqual(violation.actual, ["opened once, released 0 times"])
      assert.include(violation.message, "take(")
    })
  )

  it.effect("one that cannot be interrupted", () =>
    Effect.gen(function* () {
      const processor = <E, R>(self: Events<E, R>) =>
        Stream.transformPull(self, (pull) => Effect.succeed(Effect.uninterruptible(pull)))
      const violation = yield* falsify(inputs, (input) => StreamLaws.interruption(processor, input))
      assert.include(violation.message, "interruption while the source stalls")
      assert.include(violation.actual.join(), "still running")
    })
  )

  it.effect("one that reads the source in a fiber which outlives it", () =>
    Effect.gen(function* () {
      const processor = <E, R>(self: Events<E, R>): Events<E, R> =>
        Stream.callback<StreamEvent.StreamEvent, E, R>((queue) => Effect.forkDetach(Stream.runIntoQueue(self, queue)))
      const violation = yield* falsify(inputs, (input) => StreamLaws.interruption(processor, input))
      assert.strictEqual(violation.law, "interruption")
    })
  )

  it.effect("one that lets metadata pass text", () =>
    Effect.gen(function* () {
      const processor = StreamProcessor.transduce(() => {
        const texts: Array<StreamEvent.StreamEvent> = []
        const flush = (out: Array<StreamEvent.StreamEvent>) => {
          out.push(...texts.splice(0))
        }
        return {
          step(event, out) {
            if (StreamEvent.isText(event)) texts.push(event)
            else {
              if (StreamEvent.isTerminal(event)) flush(out)
              out.push(event)
            }
          },
          flush
        }
      })
      const violation = yield* falsify(inputs, (input) => StreamLaws.order(processor, input))
      assert.strictEqual(violation.law, "order")
    })
  )

  it.effect("one that changes what the reference leaves", () =>
    Effect.gen(function* () {
      const trim = StreamProcessor.filterMap((event) => mapDelta(event, (text) => text.trimEnd()))
      const violation = yield* falsify(inputs, (input) => StreamLaws.textOracle(trim, identity, input))
      assert.strictEqual(violation.law, "oracle")
    })
  )
})

describe("LawViolation", () => {
  it.effect("reads well, and shows only the first difference of a long stream", () =>
    Effect.gen(function* () {
      const items = [
        StreamEvent.start(0, { model: "m" }),
        ...Array.from({ length: 50 }, (_, i) => StreamEvent.metadata(0, `source ${i}`)),
        StreamEvent.delta(0, `${"x".repeat(1000)} my password is 1234`),
        StreamEvent.end(0, "stop")
      ]
      const perDelta = StreamProcessor.filterMap((event) => mapDelta(event, redact))
      const violation = yield* Effect.flip(StreamLaws.chunkIndependence(perDelta, { items, sizes: [3] }))
      assert.include(violation.message, "chunkIndependence: the input is split, and the result differs")
      assert.match(violation.message, /expected: \(50 the same\)\n.*source 49/)
      assert.match(violation.message, /my \*\*\* is 1234"\n/)
      assert.match(violation.message, /my password is 1234"\n/)
      assert.isBelow(violation.message.length, 2000)
      assert.include(Cause.pretty(Cause.fail(violation)), violation.message)
    })
  )

  it.effect("a defect of the processor is no violation, and goes through", () =>
    Effect.gen(function* () {
      const processor = StreamProcessor.make(() => Effect.die("broken"))
      const exit = yield* Effect.exit(StreamLaws.all(processor, { items: [StreamEvent.start(0)] }))
      assert.isTrue(Exit.isFailure(exit) && Option.isNone(Cause.findErrorOption(exit.cause)))
    })
  )
})

describe("join", () => {
  it("joins neighbours of one tag and part, over empty ones, and nothing else", () => {
    const joined = StreamLaws.join([
      StreamEvent.delta(1, "\ud83d"),
      StreamEvent.reasoning(2, ""),
      StreamEvent.delta(3, "\ude00"),
      StreamEvent.delta(4, "b", "1"),
      StreamEvent.toolCallDelta(5, "a", "f", ""),
      StreamEvent.toolCallDelta(5, "a", "f", "{"),
      StreamEvent.toolCallDelta(6, "b", "f", "{"),
      StreamEvent.progress(7, "ping")
    ])
    assert.deepStrictEqual(joined, [
      StreamEvent.delta(0, "😀"),
      StreamEvent.delta(0, "b", "1"),
      StreamEvent.toolCallDelta(0, "a", "f", "{"),
      StreamEvent.toolCallDelta(0, "b", "f", "{"),
      StreamEvent.progress(0, "ping")
    ])
  })

  it("leaves its argument as it is", () => {
    const first = StreamEvent.delta(1, "a")
    StreamLaws.join([first, StreamEvent.delta(2, "b")])
    assert.deepStrictEqual(first, StreamEvent.delta(1, "a"))
  })
})

describe("Input", () => {
  it.effect("sizes that cut nothing, and groups that hold nothing, are errors of use", () =>
    Effect.gen(function* () {
      const run = (ways: Partial<StreamLaws.Input<string>>) =>
        Effect.exit(StreamLaws.oneTerminal(StreamEvent.fromText, { items: ["abc"], ...ways }))
      for (const ways of [{ sizes: [0] }, { sizes: [-1, 2] }, { groups: [0] }, { groups: [1.5] }, { groups: [] }]) {
        const exit = yield* run(ways)
        assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause), JSON.stringify(ways))
      }
    })
  )

  it.effect("a processor that sleeps needs a clock that moves", () =>
    Effect.gen(function* () {
      const pace = StreamProcessor.make((event) => Effect.as(Effect.sleep("10 millis"), event))
      const input = { items: [StreamEvent.start(0), StreamEvent.delta(0, "abc"), StreamEvent.end(0)] }
      const law = StreamLaws.all(pace, input, { oracle: identity })
      assert.isTrue(yield* Effect.raceFirst(law, Effect.forever(TestClock.adjust("1 second"))))
    })
  )

  it.effect("a failure of the source reaches the transform as it is", () =>
    Effect.gen(function* () {
      const failure = StreamError.make({ _tag: "Truncated", expected: "its end" })
      let seen: unknown
      const spy = <R>(self: Events<StreamError.StreamError, R>) =>
        Stream.tapError(self, (error) => Effect.sync(() => (seen = error)))
      yield* StreamLaws.oneTerminal(spy, { items: [StreamEvent.start(0)], failure })
      assert.strictEqual(seen, failure)
    })
  )
})
