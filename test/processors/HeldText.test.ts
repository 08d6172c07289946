import { assert, describe, it } from "@effect/vitest"
import { HeldText } from "../../src/processors/HeldText.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"
import { show } from "../support/run.ts"

const text = (delta: string, part?: string) => StreamEvent.delta(0, delta, part)
const usage = StreamEvent.metadata(0, "usage")

/** What is taken, in lines, and the Metadata between. */
const taker = (held: HeldText) => (until: number) => {
  const lines: Array<string> = []
  const out: Array<StreamEvent.StreamEvent> = []
  held.take(
    until,
    (event, delta) => {
      lines.push(...out.splice(0).map((event) => event._tag))
      lines.push(show({ ...event, delta }))
    },
    out
  )
  return [...lines, ...out.map((event) => event._tag)]
}

describe("HeldText", () => {
  it("gives text in order, piece by piece, with the event that brought it", () => {
    const held = new HeldText(1_000)
    const take = taker(held)
    held.push(text("abc", "0"))
    held.push(text("", "0"))
    held.push(text("de", "1"))
    assert.strictEqual(held.length, 5)
    assert.deepStrictEqual(take(2), ['Delta/0 "ab"'])
    assert.deepStrictEqual(take(2), [])
    assert.deepStrictEqual(take(4), ['Delta/0 "c"', 'Delta/1 "d"'])
    assert.isFalse(held.isEmpty)
    assert.deepStrictEqual(take(5), ['Delta/1 "e"'])
    assert.isTrue(held.isEmpty)
  })

  it("keeps Metadata in its place, behind the text before it and before the text behind it", () => {
    const held = new HeldText(1_000)
    const take = taker(held)
    held.push(text("ab"))
    assert.isUndefined(held.wait(usage))
    held.push(text("cd"))
    assert.deepStrictEqual(take(1), ['Delta "a"'])
    assert.deepStrictEqual(take(2), ['Delta "b"', "Metadata"])
    assert.deepStrictEqual(take(3), ['Delta "c"'])
  })

  it("counts text that passes by", () => {
    const held = new HeldText(1_000)
    held.pass(text("abc"))
    held.push(text("de"))
    assert.deepStrictEqual(taker(held)(4), ['Delta "d"'])
  })

  it("bounds what waits, and counts what has gone no more", () => {
    const held = new HeldText(500)
    const size = (n: number) => {
      held.push(text("x"))
      for (let i = 0; i < n; i++) {
        if (held.wait(usage) !== undefined) return i
      }
      taker(held)(held.length)
      return n
    }
    const most = size(1_000)
    assert.isTrue(most > 1 && most < 50)
    const fresh = new HeldText(500)
    for (let round = 0; round < 10; round++) {
      fresh.push(text("x"))
      for (let i = 0; i < most; i++) assert.isUndefined(fresh.wait(usage))
      taker(fresh)(fresh.length)
    }
  })
})
