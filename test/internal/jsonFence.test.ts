import { assert, describe, it } from "@effect/vitest"
import { JsonEngine } from "../../src/internal/jsonEngine.ts"
import { show } from "./jsonOracle.ts"
import { cut, dice, mixed, seeds } from "./jsonTexts.ts"

const read = (chunks: Iterable<string>): ReadonlyArray<string> => {
  const engine = new JsonEngine({ roots: "fenced" })
  for (const chunk of chunks) engine.feed(chunk)
  engine.end()
  return [...engine.takeValues().map(show), ...(engine.isOpen ? [`partial ${show(engine.partialUnsafe)}`] : [])]
}

/** Cut anywhere it is the same. */
const found = (text: string): ReadonlyArray<string> => {
  const whole = read([text])
  for (let at = 0; at <= text.length; at++) assert.deepStrictEqual(read([text.slice(0, at), text.slice(at)]), whole)
  assert.deepStrictEqual(read(text.split("")), whole)
  return whole
}

describe("fenced", () => {
  it("finds values inside fences only, of whatever content", () => {
    assert.deepStrictEqual(found('{"a":1}\n```\n{"b":2}\n[1]\n```\n{"c":3}\n'), ['{"b":2}', "[1]"])
    assert.deepStrictEqual(found('{"a":1} ["b"]'), [])
  })

  it("takes an info string that names JSON, and passes over other languages", () => {
    for (const info of ["json", "JSON", " json", "jsonc", "jsonl", 'json title="x"', "application/json", "\t"]) {
      assert.deepStrictEqual(found(`\`\`\`${info}\n{"a":1}\n\`\`\`\n`), ['{"a":1}'], info)
    }
    for (const info of ["js", "python", " ts", 'ts {"a":2}', "text json", "x".repeat(70) + "json"]) {
      assert.deepStrictEqual(found(`\`\`\`${info}\n{"a":1}\n\`\`\`\n\`\`\`json\n{"b":2}\n\`\`\`\n`), ['{"b":2}'], info)
    }
  })

  it("ends a fence by no fence inside a string", () => {
    assert.deepStrictEqual(found('```json\n{"code":"```js\\nf()\\n```","b":2} [3]\n```\n[4]'), [
      '{"code":"```js\\nf()\\n```","b":2}',
      "[3]"
    ])
  })

  it("ends a value at the fence's end, and goes on outside", () => {
    assert.deepStrictEqual(found('```json\n{"a":1,\n```\n[{"b":2}]\n```\n[{"c":3}]\n```'), ['[{"c":3}]'])
    assert.deepStrictEqual(found('```json\n{"a":"cut off\n```\n[1]'), [])
  })

  it("closes a fence by a run that is long enough", () => {
    assert.deepStrictEqual(found('````\n```\n{"a":1}\n````\n{"b":2}'), ['{"a":1}'])
    assert.deepStrictEqual(found('```\n{"a":1}\n`````\n{"b":2}'), ['{"a":1}'])
  })

  it("closes a fence by a run with text behind it, and in mid-line", () => {
    assert.deepStrictEqual(found('```json\n{"a":1}\n``` and\n```\n{"b":2}\n```'), ['{"a":1}', '{"b":2}'])
    assert.deepStrictEqual(found('```json\n{"a":1}```x\n```\n{"b":2}\n```'), ['{"a":1}', '{"b":2}'])
  })

  it("begins a line when it is reset", () => {
    const engine = new JsonEngine({ roots: "fenced" })
    for (const before of ["x", "```json\n[", "```js"]) {
      engine.feed(before)
      engine.reset()
      engine.feed('```\n{"a":1}\n```')
      assert.deepStrictEqual(engine.takeValues(), [{ a: 1 }], before)
      engine.reset()
    }
  })

  it("opens a fence behind white space and on Windows line ends", () => {
    assert.deepStrictEqual(found('1. x\r\n   ```json\r\n   {"a":1}\r\n   ```\r\n{"b":2}'), ['{"a":1}'])
  })

  it("reads a fence in one line, or in mid-line when it names JSON", () => {
    assert.deepStrictEqual(found('```json{"a":1}```{"b":2}'), ['{"a":1}'])
    assert.deepStrictEqual(found('```json {"a":1} ``` {"b":2}'), ['{"a":1}'])
    assert.deepStrictEqual(found('Here: ```json\n{"a":1}\n``` {"b":2}'), ['{"a":1}'])
    assert.deepStrictEqual(found('Use ``` or ```js or ``` json for code: {"a":1}'), [])
  })

  it("takes inline code for no fence", () => {
    assert.deepStrictEqual(found('`{"a":1}` ``{"b":2}`` ```json``` {"c":3}\n```js f()``` x\n```\n{"d":4}\n```'), [
      '{"d":4}'
    ])
    assert.deepStrictEqual(found('```json`x {"a":1}\n'), [])
    assert.deepStrictEqual(found('```\n{"a":1}\n```x` {"b":2}\n```\n{"c":3}'), ['{"a":1}', '{"b":2}'])
  })

  it("opens the next fence where one was not closed", () => {
    assert.deepStrictEqual(found('```js\nf({"a":1})\n```json\n{"b":2}\n```\n{"c":3}'), ['{"b":2}'])
    assert.deepStrictEqual(found('```json\n{"a":1}\n```python\n{"b":2}\n```\n{"c":3}'), ['{"a":1}'])
    assert.deepStrictEqual(found('```markdown\n# x\n```json\n{"a":1}\n```\n```'), ['{"a":1}'])
  })

  it("takes backticks in the code of another language for no end", () => {
    assert.deepStrictEqual(found('```js\nconst x = "```" + {"a":1}\n```\n```\n{"b":2}\n```'), ['{"b":2}'])
  })

  it("shows the partial in an open fence", () => {
    assert.deepStrictEqual(found('```json\n{"a":1} {"b":"x'), ['{"a":1}', 'partial {"b":"x"}'])
  })

  it.prop(
    "finds the same however the text is cut",
    [seeds],
    ([seed]) => {
      const roll = dice(seed)
      const text = Array.from(
        { length: 4 },
        () => ["\n```json\n", "\n```\n", "```", "\n````x\n", "`"][roll(5)]! + mixed(roll)
      ).join("")
      assert.deepStrictEqual(read(cut(roll, text)), read([text]))
    },
    { arbitrary: { runs: 500 } }
  )
})
