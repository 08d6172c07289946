import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Schema, SchemaGetter, Stream } from "effect"
import { Decoder, operator, type Output, type Reader } from "../../src/json/JsonOutput.ts"
import type { Json } from "../../src/json/JsonStreamParser.ts"
import * as StreamLaws from "../../src/testing/StreamLaws.ts"
import { collect, fromPulls, pulls } from "../support/run.ts"

/** Each character, upper case; `.` ends with a failure, `?` is answered by an effect. */
const shout = (answer: Effect.Effect<ReadonlyArray<string>, string>) =>
  operator((out: Output<string, string, never>): Reader<string> => ({
    read(chunks) {
      for (const unit of chunks.join("")) {
        if (unit === ".") out.fail("full stop")
        else if (unit === "?") out.pushEffect(answer)
        else out.push(unit.toUpperCase())
      }
    },
    end: (isDone) => out.push(isDone ? "end" : "cut")
  }))

const yes = shout(Effect.succeed(["yes"]))

describe("operator", () => {
  it("gives what comes out of a pull at once", () => {
    assert.deepStrictEqual(Effect.runSync(pulls(fromPulls([["a", "b"], ["c"]]).pipe(yes))), [
      ["A", "B"],
      ["C"],
      ["end"]
    ])
  })

  it("does not hold back for an effect what came before it, and keeps the order", () => {
    const found = Effect.runSync(pulls(fromPulls([["ab?c??d"]]).pipe(yes)))
    assert.deepStrictEqual(found, [["A", "B"], ["yes"], ["C"], ["yes"], ["yes"], ["D"], ["end"]])
    const silent = shout(Effect.succeed([]))
    assert.deepStrictEqual(Effect.runSync(pulls(fromPulls([["?", "?"], ["?a"]]).pipe(silent))), [["A"], ["end"]])
  })

  it.effect("fails behind what was found, and finds nothing behind a failure", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* collect(fromPulls([["a?b.c?"], ["d"]]).pipe(yes)), {
        events: ["A", "yes", "B"],
        failure: "full stop"
      })
      assert.deepStrictEqual(yield* collect(fromPulls([["ab"]], "lost").pipe(yes)), {
        events: ["A", "B", "cut"],
        failure: "lost"
      })
      const refuse = shout(Effect.fail("no"))
      assert.deepStrictEqual(yield* collect(fromPulls([["a?b"]]).pipe(refuse)), { events: ["A"], failure: "no" })
    })
  )

  it.effect("asks again where a reader that left the effect comes back", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<ReadonlyArray<string>>()
      yield* Effect.scoped(
        Effect.gen(function* () {
          const pull = yield* Stream.toPull(fromPulls([["a?b"]]).pipe(shout(Deferred.await(gate))))
          assert.deepStrictEqual(yield* pull, ["A"])
          const waiting = yield* Effect.forkChild(pull)
          yield* Effect.yieldNow
          yield* Fiber.interrupt(waiting)
          yield* Deferred.succeed(gate, ["yes"])
          assert.deepStrictEqual(yield* pull, ["yes"])
          assert.deepStrictEqual(yield* pull, ["B"])
        })
      )
    })
  )

  it.effect("keeps the laws of streams", () =>
    Effect.gen(function* () {
      for (const items of [["ab?c", "d"], ["a?b.c"], [""]]) {
        yield* StreamLaws.chunkIndependence(yes, { items })
        yield* StreamLaws.interruption(yes, { items })
      }
    })
  )
})

describe("Decoder", () => {
  const Short = Schema.String.pipe(
    Schema.decode({
      decode: SchemaGetter.checkEffect((text: string) => Effect.as(Effect.yieldNow, text.length < 3)),
      encode: SchemaGetter.passthrough()
    })
  )
  const decode = <S extends Schema.Constraint>(schema: S, isLenient: boolean) =>
    operator((out: Output<unknown, never, S["DecodingServices"]>): Reader<Json> => {
      const mismatch = isLenient ? { mismatch: (error: Error) => [error.message] } : {}
      // What it fails with is looked at as it is.
      const decoder = new Decoder(
        schema,
        { value: (value) => value, ...mismatch },
        out as Output<unknown, never, never>
      )
      return { read: (values) => values.forEach((value, i) => decoder.push(value, [i])), end: () => {} }
    })

  it.effect("fails with the path, now or after an effect", () =>
    Effect.gen(function* () {
      for (const schema of [Schema.String.check(Schema.isMaxLength(2)), Short]) {
        const found = yield* collect(fromPulls([["a", "b", "long", "c"]]).pipe(decode(schema, false)))
        assert.deepStrictEqual(found.events, ["a", "b"])
        assert.match((found.failure as unknown as Error).message, /^Value does not fit the schema in \/2: Expected /)
        const all = yield* collect(fromPulls([["a", "long", "c"]]).pipe(decode(schema, true)))
        assert.deepStrictEqual([all.events[0], all.events[2], all.failure], ["a", "c", undefined])
        assert.match(String(all.events[1]), /in \/1: /)
      }
    })
  )
})
