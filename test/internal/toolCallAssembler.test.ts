import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Schema } from "effect"
import { type Fragment, ToolCallAssembler } from "../../src/internal/toolCallAssembler.ts"

/** What is shown on the way, as `id name delta`, and what there is at the end. */
const assemble = (fragments: ReadonlyArray<Fragment>, options?: { readonly isCut: boolean }) => {
  const assembler = new ToolCallAssembler()
  const shown: Array<string> = []
  for (const fragment of fragments) {
    const result = assembler.add(fragment)
    if (result !== undefined) shown.push(`${result.call.id} ${result.call.name} ${result.delta}`)
  }
  const { incomplete, whole } = assembler.finish(options)
  return {
    shown,
    whole: whole.map((call) => [call.id, call.name, call.argumentsText, call.input]),
    incomplete: incomplete.map((call) => [call.id, call.name, call.argumentsText])
  }
}

describe("which call a fragment belongs to", () => {
  it("by its index, also where calls interleave", () => {
    const { shown, whole } = assemble([
      { index: 0, id: "a", name: "f", argumentsText: "" },
      { index: 1, id: "b", name: "g", argumentsText: "" },
      { index: 0, argumentsText: '{"x"' },
      { index: 1, argumentsText: "[1" },
      { index: 0, argumentsText: ":1}" },
      { index: 1, argumentsText: "]" }
    ])
    assert.deepStrictEqual(shown, ['a f {"x"', "b g [1", "a f :1}", "b g ]"])
    assert.deepStrictEqual(whole, [
      ["a", "f", '{"x":1}', { x: 1 }],
      ["b", "g", "[1]", [1]]
    ])
  })

  it("another identifier at an index in use begins another call, which later fragments continue", () => {
    const { whole } = assemble([
      { index: 0, id: "a", name: "f", argumentsText: "{}" },
      { index: 0, id: "b", name: "f", argumentsText: '{"x":' },
      { index: 0, argumentsText: "1}" }
    ])
    assert.deepStrictEqual(whole, [
      ["a", "f", "{}", {}],
      ["b", "f", '{"x":1}', { x: 1 }]
    ])
  })

  it("an identifier alone finds its call, wherever it stands", () => {
    const { whole } = assemble([
      { id: "a", name: "f", argumentsText: "{" },
      { id: "b", name: "g", argumentsText: "[" },
      { id: "a", argumentsText: "}" },
      { id: "b", argumentsText: "]" }
    ])
    assert.deepStrictEqual(whole, [
      ["a", "f", "{}", {}],
      ["b", "g", "[]", []]
    ])
  })

  it("an identifier that two calls have, made up ones too, is kept by the first", () => {
    const { incomplete, shown, whole } = assemble([
      { index: 0, id: "a", name: "f", argumentsText: "[" },
      { index: 1, id: "a", name: "f", argumentsText: "[" },
      { index: 2, id: "call_3", name: "g", argumentsText: "{}" },
      { index: 3, name: "g", argumentsText: "{" },
      { index: 0, argumentsText: "0]" },
      { index: 1, argumentsText: "1]" }
    ])
    assert.deepStrictEqual(shown, ["a f [", "a_1 f [", "call_3 g {}", "call_3_3 g {", "a f 0]", "a_1 f 1]"])
    assert.deepStrictEqual(
      whole.map(([id, , text]) => [id, text]),
      [
        ["a", "[0]"],
        ["a_1", "[1]"],
        ["call_3", "{}"]
      ]
    )
    assert.deepStrictEqual(incomplete, [["call_3_3", "g", "{"]])
  })

  it("without index and identifier, to the last call", () => {
    const { whole } = assemble([
      { id: "a", name: "f", argumentsText: "[" },
      { id: "b", name: "g", argumentsText: "[" },
      { argumentsText: "2]" },
      { id: "a", argumentsText: "1]" }
    ])
    assert.deepStrictEqual(whole, [
      ["a", "f", "[1]", [1]],
      ["b", "g", "[2]", [2]]
    ])
  })

  it("a call with neither begins when another brings a name and arguments of its own behind whole ones", () => {
    const call = (name: string, argumentsText: string): Fragment => ({ index: 0, name, argumentsText })
    const { shown, whole } = assemble([call("f", '{"x":1}'), call("f", '{"x":2}'), call("g", "{}"), { index: 0 }])
    assert.deepStrictEqual(whole, [
      ["call_0", "f", '{"x":1}', { x: 1 }],
      ["call_1", "f", '{"x":2}', { x: 2 }],
      ["call_2", "g", "{}", {}]
    ])
    assert.deepStrictEqual(shown, ['call_0 f {"x":1}', 'call_1 f {"x":2}', "call_2 g {}"])
  })

  it("a name that comes again with each fragment begins no call", () => {
    const text = JSON.stringify({ code: "if (a) {} else {}", list: [{}, {}] })
    const { whole } = assemble(Array.from(text, (argumentsText): Fragment => ({ index: 0, name: "f", argumentsText })))
    assert.deepStrictEqual(whole, [["call_0", "f", text, JSON.parse(text)]])
  })
})

describe("arguments", () => {
  it("have the keys that were written, where JSON.parse of some runtimes takes one for another", () => {
    const backslash = String.raw`{"h":[],"\\":0}`
    const quote = String.raw`{"\"":1}`
    const { whole } = assemble([
      { index: 0, id: "a", name: "f", argumentsText: backslash },
      { index: 1, id: "b", name: "f", argumentsText: quote }
    ])
    assert.deepStrictEqual(
      whole.map(([, , , input]) => Object.keys(input as object)),
      [["h", "\\"], ['"']]
    )
  })
})

describe("what is shown, and when", () => {
  it("nothing before the name; then all that came before it in one", () => {
    const { shown, whole } = assemble([
      { index: 0, id: "a" },
      { index: 0, argumentsText: '{"x"' },
      { index: 0, argumentsText: ":" },
      { index: 0, name: "f" },
      { index: 0, argumentsText: "1}" }
    ])
    assert.deepStrictEqual(shown, ['a f {"x":', "a f 1}"])
    assert.deepStrictEqual(whole, [["a", "f", '{"x":1}', { x: 1 }]])
  })

  it("what is empty overwrites nothing, nor does a second name", () => {
    const { whole } = assemble([
      { index: 0, id: "a", name: "f", argumentsText: "{" },
      { index: 0, id: undefined, name: undefined, argumentsText: undefined },
      { index: 0, name: "other", argumentsText: "}" }
    ])
    assert.deepStrictEqual(whole, [["a", "f", "{}", {}]])
  })

  it("an identifier stays what it was when it was first shown", () => {
    const { shown, whole } = assemble([
      { index: 0, name: "f", argumentsText: "{" },
      { index: 0, id: "late", argumentsText: "}" }
    ])
    assert.deepStrictEqual(shown, ["call_0 f {", "call_0 f }"])
    assert.deepStrictEqual(whole, [["call_0", "f", "{}", {}]])
  })

  it("a fragment that says nothing is no call", () => {
    const nothing = assemble([{}, { index: 3 }, { argumentsText: "" }, { index: 0, argumentsText: "" }])
    assert.deepStrictEqual(nothing, { shown: [], whole: [], incomplete: [] })
  })
})

describe("what is whole", () => {
  it("empty arguments are {}; what is no JSON, or has no name, is incomplete", () => {
    const { incomplete, whole } = assemble([
      { index: 0, id: "a", name: "f" },
      { index: 1, id: "b", name: "f", argumentsText: " \n" },
      { index: 2, id: "c", name: "f", argumentsText: '{"x":' },
      { index: 3, id: "d", argumentsText: "{}" },
      { index: 4, id: "e", name: "f", argumentsText: "{}{}" }
    ])
    assert.deepStrictEqual(whole, [
      ["a", "f", "", {}],
      ["b", "f", " \n", {}]
    ])
    assert.deepStrictEqual(incomplete, [
      ["c", "f", '{"x":'],
      ["d", "", "{}"],
      ["e", "f", "{}{}"]
    ])
  })

  it("a cut answer has no call with empty arguments, and none that more text could change", () => {
    const { incomplete, whole } = assemble(
      ["", " ", "1", "12.5", "true", "null", '{"x":1}', "[1]", '"text"', "{}"].flatMap(
        (argumentsText, index): ReadonlyArray<Fragment> => [
          { index, id: `${index}`, name: "f", argumentsText },
          { index, argumentsText: " " }
        ]
      ),
      { isCut: true }
    )
    assert.deepStrictEqual(
      whole.map(([, , text]) => text),
      ['{"x":1} ', "[1] ", '"text" ', "{} "]
    )
    assert.deepStrictEqual(
      incomplete.map(([, , text]) => text),
      [" ", "  ", "1 ", "12.5 ", "true ", "null "]
    )
  })
})

describe("a call that is said to be over", () => {
  const half = () => {
    const assembler = new ToolCallAssembler()
    assembler.add({ index: 3, id: "a", name: "f", argumentsText: '{"x":' })
    return assembler
  }

  it("is given once, when it is whole, and not again at the end", () => {
    const assembler = half()
    assert.isUndefined(assembler.take(3))
    assembler.add({ index: 3, argumentsText: "1}" })
    assert.deepStrictEqual(assembler.take(3), { id: "a", name: "f", argumentsText: '{"x":1}', input: { x: 1 } })
    assert.isUndefined(assembler.take(3))
    assert.isUndefined(assembler.take(4))
    assert.deepStrictEqual(assembler.finish(), { whole: [], incomplete: [] })
    assert.strictEqual(half().finish().incomplete.length, 1)
  })

  it("has the identifier and the arguments that it has then, whatever its fragments were", () => {
    const assembler = half()
    const { size } = assembler
    const call = assembler.take(3, { id: "b", argumentsText: "[]" })
    assert.deepStrictEqual(call, { id: "b", name: "f", argumentsText: "[]", input: [] })
    assert.strictEqual(assembler.size, size - 3)
    assert.isUndefined(half().take(3, { argumentsText: "[" }))
  })

  it("does not take the identifier that another call is known by, though it was given the same", () => {
    const assembler = new ToolCallAssembler()
    assembler.add({ index: 0, id: "a", name: "f", argumentsText: "{}" })
    assembler.add({ index: 1, id: "a", name: "g", argumentsText: "{}" })
    assert.strictEqual(assembler.take(1, { id: "a" })?.id, "a_1")
    assert.strictEqual(assembler.take(0)?.id, "a")
  })

  it("does not take the identifier of another call", () => {
    const assembler = half()
    assembler.add({ index: 4, id: "b", name: "g", argumentsText: "{}" })
    assert.strictEqual(assembler.take(3, { id: "b", argumentsText: "{}" })?.id, "a")
    assert.strictEqual(assembler.take(4, { id: "c" })?.id, "c")
  })
})

describe("a call that was taken", () => {
  const take = (fragments: ReadonlyArray<Fragment>) => {
    const assembler = new ToolCallAssembler()
    assembler.add({ index: 0, id: "a", name: "f", argumentsText: "{}" })
    assert.deepStrictEqual(assembler.take(0), { id: "a", name: "f", argumentsText: "{}", input: {} })
    const shown = fragments.map((fragment) => assembler.add(fragment)?.delta)
    assert.isUndefined(assembler.take(1))
    const { incomplete, whole } = assembler.finish()
    return { shown, calls: [...whole, ...incomplete].map((call) => `${call.id} ${call.name} ${call.argumentsText}`) }
  }

  it("is over: it is handed out once, and its fragments say nothing any more", () => {
    for (const again of [
      { index: 0, argumentsText: "}" },
      { index: 0, id: "a", name: "f", argumentsText: "{}" },
      { id: "a", argumentsText: "{" },
      { argumentsText: "x" }
    ]) {
      assert.deepStrictEqual(take([again]), { shown: [undefined], calls: [] })
    }
  })

  it("leaves its index to another: with an identifier of its own, or a name", () => {
    assert.deepStrictEqual(take([{ index: 0, id: "b", name: "f", argumentsText: "[]" }]).calls, ["b f []"])
    assert.deepStrictEqual(
      take([
        { index: 0, name: "f" },
        { index: 0, argumentsText: "[" }
      ]).calls,
      ["call_1 f ["]
    )
  })
})

describe("an identifier", () => {
  it("is known by index when the call is visible, made up or not", () => {
    const assembler = new ToolCallAssembler()
    assembler.add({ index: 0, id: "a" })
    assert.isUndefined(assembler.idAt(0))
    assembler.add({ index: 0, name: "f" })
    assembler.add({ index: 1, name: "f" })
    assert.deepStrictEqual([assembler.idAt(0), assembler.idAt(1), assembler.idAt(2)], ["a", "call_1", undefined])
  })
})

describe("a call that is none after all", () => {
  it("is over, is not reported, and leaves its identifier to another", () => {
    const assembler = new ToolCallAssembler()
    assembler.add({ index: 0, id: "a", name: "f", argumentsText: '{"x' })
    assert.strictEqual(assembler.drop(0), '{"x')
    assert.strictEqual(assembler.drop(0), "")
    assert.strictEqual(assembler.drop(9), "")
    assert.isUndefined(assembler.add({ index: 0, id: "a", argumentsText: '":1}' }))
    assembler.add({ index: 1, id: "a", name: "f", argumentsText: "{}" })
    assert.deepStrictEqual(assembler.take(1), { id: "a", name: "f", argumentsText: "{}", input: {} })
    assert.strictEqual(assembler.drop(1), "")
    assert.deepStrictEqual(assembler.finish(), { whole: [], incomplete: [] })
  })
})

describe("limits", () => {
  it("everything that is kept counts: identifiers, names, arguments, and each call by itself", () => {
    const assembler = new ToolCallAssembler()
    assembler.add({ index: 0, id: "ab", name: "fgh", argumentsText: "{}" })
    assert.isAtLeast(assembler.size, 7)
    const one = assembler.size
    assembler.add({ index: 0, argumentsText: "12345" })
    assert.strictEqual(assembler.size, one + 5)
    for (let index = 1; index <= 1_000; index++) assembler.add({ index, name: "f" })
    assert.isAtLeast(assembler.size, 10_000)
  })

  // With a cost that grows with what is held, either of these takes gigabytes or minutes.
  it("time and memory are linear in the fragments of one call", { timeout: 20_000 }, () => {
    const assembler = new ToolCallAssembler()
    const deltas: Array<string> = []
    assembler.add({ index: 0, id: "a", name: "f", argumentsText: '"' })
    for (let n = 0; n < 200_000; n++) deltas.push(assembler.add({ index: 0, argumentsText: "0123456789" })!.delta)
    assembler.add({ index: 0, argumentsText: '"' })
    assert.strictEqual(deltas.length, 200_000)
    assert.strictEqual(assembler.finish().whole[0]?.argumentsText.length, 2_000_002)
  })

  it("time is linear in the number of calls", { timeout: 20_000 }, () => {
    const assembler = new ToolCallAssembler()
    for (let index = 0; index < 200_000; index++) {
      assembler.add({ index, id: `a${index}`, name: "f", argumentsText: "{" })
      assembler.add({ id: `a${index}`, argumentsText: "}" })
    }
    assert.strictEqual(assembler.finish().whole.length, 200_000)
  })
})

const calls = Arbitrary.array(
  Arbitrary.all({
    value: Arbitrary.schema(Schema.Record(Schema.String, Schema.Int)),
    pieces: Arbitrary.array(Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 4 }))), {
      minLength: 1,
      maxLength: 4
    })
  }),
  { minLength: 1, maxLength: 4 }
)

it.prop("calls in any pieces, one round of each at a time, come out as they went in", { calls }, ({ calls }) => {
  const queues = calls.map(({ pieces, value }, index) => {
    const text = JSON.stringify(value)
    const queue: Array<Fragment> = [{ index, id: `id${index}`, name: `f${index}` }]
    for (let from = 0, n = 0; from < text.length; n++) {
      const size = pieces[n % pieces.length]!
      queue.push({ index, argumentsText: text.slice(from, from + size) })
      from += size
    }
    return queue
  })
  const fragments: Array<Fragment> = []
  while (queues.some((queue) => queue.length > 0)) {
    for (const queue of queues) fragments.push(...queue.splice(0, 1))
  }
  const { incomplete, shown, whole } = assemble(fragments)
  assert.deepStrictEqual(incomplete, [])
  // As text: `JSON.parse` of Node 24 mistakes one escaped key for another.
  assert.deepStrictEqual(
    whole.map(([, , , input]) => JSON.stringify(input)),
    calls.map(({ value }) => JSON.stringify(value))
  )
  for (const [id, name, text] of whole) {
    const prefix = `${String(id)} ${String(name)} `
    const deltas = shown.filter((line) => line.startsWith(prefix)).map((line) => line.slice(prefix.length))
    assert.strictEqual(deltas.join(""), text)
  }
})
