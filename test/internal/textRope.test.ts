import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Schema } from "effect"
import * as TextRope from "../../src/internal/textRope.ts"

const join = (pieces: ReadonlyArray<string>) => pieces.reduce(TextRope.append, TextRope.empty)

describe("textRope", () => {
  it.prop("holds what was appended, in order", { pieces: Schema.Array(Schema.String) }, ({ pieces }) => {
    assert.strictEqual(TextRope.toString(join(pieces)), pieces.join(""))
  })

  // Around the number of pieces at which the tail is flattened, with pieces that are empty or half a character too.
  it.prop(
    "holds thousands of pieces",
    {
      times: Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 1_020, maximum: 3_100 }))),
      pieces: Schema.Array(Schema.Literals(["", "a", "é", "\ud83d", "\ude00", "word "])).check(Schema.isMinLength(1))
    },
    ({ pieces, times }) => {
      const all = Array.from({ length: times }, (_, i) => pieces[i % pieces.length]!)
      assert.strictEqual(TextRope.toString(join(all)), all.join(""))
    },
    { arbitrary: { runs: 20 } }
  )

  it("leaves the value appended to as it was, so that two ways may go on from it", () => {
    for (const length of [0, 1, 1_022, 1_023, 1_024, 2_047]) {
      const pieces = Array.from({ length }, (_, i) => `${i},`)
      const before = join(pieces)
      const left = TextRope.append(before, "left")
      const right = TextRope.append(before, "right")
      assert.deepStrictEqual(
        [before, left, right].map(TextRope.toString),
        ["", "left", "right"].map((last) => pieces.join("") + last)
      )
    }
  })

  it("is empty at first, and after appending nothing", () => {
    assert.strictEqual(TextRope.toString(TextRope.empty), "")
    assert.strictEqual(TextRope.toString(join(Array.from({ length: 5_000 }, () => ""))), "")
  })
})
