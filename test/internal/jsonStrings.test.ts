import { assert, describe, it } from "@effect/vitest"
import { type Changer, JsonStrings } from "../../src/internal/jsonStrings.ts"
import { random } from "../support/run.ts"
import { cuts } from "../support/search.ts"

/** Puts `to` in the place of each `from`; a `blocked` text blocks. */
const replacer =
  (from: string, to: string, blocked?: string): (() => Changer) =>
  () => {
    const longest = Math.max(from.length, blocked?.length ?? 0)
    let text = ""
    let position = 0
    let isOver = false
    let blockedAt: number | undefined
    return {
      push(piece) {
        text += piece
      },
      end() {
        isOver = true
      },
      next() {
        if (blocked !== undefined && text.indexOf(blocked, position) !== -1) blockedAt = text.indexOf(blocked, position)
        const start = text.indexOf(from, position)
        if (start === -1 || blockedAt !== undefined) return undefined
        position = start + from.length
        return { start, end: position, change: () => to }
      },
      decided: () => blockedAt ?? (isOver ? text.length : Math.max(position, text.length - longest + 1)),
      isBlocked: () => blockedAt !== undefined
    }
  }

const run = (pieces: ReadonlyArray<string>, open: () => Changer) => {
  const strings = new JsonStrings(open)
  return pieces.map((piece) => strings.push(piece)).join("") + strings.end()
}

describe("JsonStrings", () => {
  it.for<readonly [json: string, expected: string]>([
    [
      '{"key": "my key", "a": ["key", {"key": "x"}], "n": 1}',
      '{"key": "my <\\"\\n>", "a": ["<\\"\\n>", {"key": "x"}], "n": 1}'
    ],
    [String.raw`{"a":"\"k\u0065y\\key\n"}`, String.raw`{"a":"\"<\"\n>\\<\"\n>\n"}`],
    [String.raw`{"k\"ey":"k\"ey","key\\":"key"}`, String.raw`{"k\"ey":"k\"ey","key\\":"<\"\n>"}`],
    ['["key","ke","y"]', '["<\\"\\n>","ke","y"]'],
    [' "key" ', ' "<\\"\\n>" '],
    ['{"a":{},"b":[],"key":"key"}', '{"a":{},"b":[],"key":"<\\"\\n>"}'],
    ['{"a":"kekey', '{"a":"ke<"\n>'.replace('"\n>', '\\"\\n>')],
    ["a key and \\key", 'a <"\n> and \\<"\n>'],
    ["", ""]
  ])("changes string values only, however they are cut: %s", ([json, expected]) => {
    for (const pieces of cuts(json, random(1))) {
      assert.strictEqual(run(pieces, replacer("key", '<"\n>')), expected, JSON.stringify(pieces))
    }
  })

  it("what is not changed passes as it is, what is cut or broken too", () => {
    const jsons = [
      String.raw`{"a":"\u00e9\/\ud83d\ude00é","b":[1.50,true,null]}`,
      '{"a":"x\\',
      '{"a":"\\u00',
      '{"a',
      '{"a\\',
      '{"a":"\\q \\u00zz"}',
      "]}{[",
      "  x"
    ]
    for (const json of jsons) {
      for (const pieces of cuts(json, random(2))) assert.strictEqual(run(pieces, replacer("key", "")), json)
    }
  })

  it("nothing follows what is blocked", () => {
    const json = '{"a":"x key","b":"my secret","c":"key"}'
    for (const pieces of cuts(json, random(3))) {
      assert.strictEqual(run(pieces, replacer("key", "", "secret")), '{"a":"x ","b":"my ')
    }
  })

  it("holds back what is not decided, and an escape that is not whole", () => {
    const strings = new JsonStrings(replacer("key", ""))
    const held = ['{"k', '":"', "abc", "\\", "u00", "65", '"', ',"\\'].map((piece) => {
      strings.push(piece)
      return strings.isHolding
    })
    assert.deepStrictEqual(held, [false, false, true, true, true, true, false, false])
  })

  it("a large string in one piece, with many changes", () => {
    const json = JSON.stringify({ a: "a key ".repeat(200_000) })
    assert.strictEqual(run([json], replacer("key", "*")), JSON.stringify({ a: "a * ".repeat(200_000) }))
  })
})
