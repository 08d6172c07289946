import { assert, describe, it } from "@effect/vitest"
import { type Line, LineReader } from "../../src/internal/lines.ts"

const read = (chunks: ReadonlyArray<string>, maxSize = Infinity): ReadonlyArray<Line | "too long"> => {
  const reader = new LineReader(maxSize)
  const lines: Array<Line> = []
  if (!chunks.every((chunk) => reader.feed(chunk, lines))) return [...lines, "too long"]
  reader.end(lines)
  return lines
}

describe("LineReader", () => {
  const text = "\ufeff{}\r\n\n  \nab\n\ufeffc"
  const lines = [
    { text: "{}\r", offset: 1 },
    { text: "ab", offset: 9 },
    { text: "\ufeffc", offset: 12 }
  ]

  it("gives the same lines however the text is cut", () => {
    assert.deepStrictEqual(read([text]), lines)
    assert.deepStrictEqual(read(Array.from(text)), lines)
    for (let at = 0; at <= text.length; at++) {
      assert.deepStrictEqual(read([text.slice(0, at), "", text.slice(at)]), lines)
    }
    for (const { offset, text: line } of lines) assert.strictEqual(text.slice(offset, offset + line.length), line)
  })

  it("stops at a line that is too long, behind the lines before it", () => {
    assert.deepStrictEqual(read(["abc\nabcd\n"], 4).length, 2)
    for (const chunks of [["abc\nabcd\nx"], Array.from("abc\nabcd\nx")]) {
      assert.deepStrictEqual(read(chunks, 3), [{ text: "abc", offset: 0 }, "too long"])
    }
  })
})
