/** What hostile or huge text costs: time that grows with its length, memory that does not. */
import { assert, describe, it } from "@effect/vitest"
import { JsonEngine } from "../../src/internal/jsonEngine.ts"
import type { Json, JsonEngineOptions } from "../../src/internal/jsonModel.ts"
import { show } from "./jsonOracle.ts"
import { faultOf, run, strict } from "./jsonRuns.ts"
import { heapUsed } from "../support/heap.ts"

describe("hostile text", () => {
  const size = 200_000
  const chunksOf = (unit: string) => new Array<string>(Math.ceil(size / unit.length)).fill(unit)
  const fed = (unit: string, options?: JsonEngineOptions) => {
    const engine = new JsonEngine(options)
    for (const chunk of chunksOf(unit)) {
      engine.feed(chunk)
      void engine.partialUnsafe
    }
    return engine
  }

  it("ends in a fault where a limit says so", () => {
    assert.deepStrictEqual(faultOf(fed("["))?.slice(0, 2), ["DepthLimit", 1_000])
    assert.deepStrictEqual(faultOf(fed('{"a":'))?.slice(0, 2), ["DepthLimit", 5_000])
    assert.deepStrictEqual(faultOf(fed("[", { maxDepth: Infinity, maxSize: 1_500 }))?.slice(0, 2), ["SizeLimit", 1_500])
    assert.deepStrictEqual(faultOf(fed('"\\', { strict: true, maxSize: 1_000 })), ["SizeLimit", 1_000, []])
    assert.deepStrictEqual(faultOf(fed("1", { strict: true, maxSize: 1_000 })), ["SizeLimit", 1_000, []])
    assert.deepStrictEqual(faultOf(fed("x")), undefined)
  })

  it("made of false starts is read to its end", () => {
    for (const unit of ['{"', "[1,x", '{"a":[1,2] oops}', '["\\x', "[-", "[tr"]) {
      const engine = fed(unit)
      assert.isUndefined(engine.fault)
      assert.isFalse(engine.hasCompleteValues)
      engine.feed(' ] {"a":1}')
      assert.deepStrictEqual(engine.takeValues().map(show), ['{"a":1}'], unit)
    }
  })

  it("of one long string, key or number keeps every character", () => {
    const text = "abé\\n\\u00e9😀".repeat(5_000)
    const whole = "abé\né😀".repeat(5_000)
    for (const step of [1, 7, 100_000]) {
      const engine = new JsonEngine(strict)
      const document = `{"${text}":"${text}"}`
      for (let at = 0; at < document.length; at += step) engine.feed(document.slice(at, at + step))
      assert.deepStrictEqual(engine.takeValues(), [{ [whole]: whole }])
    }
    const pairs = ["\\ud83d\\ude00", "\ud83d\\ude00", "\\ud83d\ude00"]
    for (const pair of pairs) {
      for (const before of ["", "\\t"]) {
        const { values } = run([`["${before}${pair.repeat(5_000)}"]`], strict)
        assert.deepStrictEqual(values, [show([`${before === "" ? "" : "\t"}${"😀".repeat(5_000)}`])])
      }
    }
    const digits = "1234567890".repeat(2_000)
    assert.deepStrictEqual(run([`0.${digits}`], strict).values, [show(Number(`0.${digits}`))])
    assert.deepStrictEqual(run(`${digits}e-19990`.split(""), strict).values, [show(Number(`${digits}e-19990`))])
  })
})

// Work that is not linear takes minutes here, and runs into the test's timeout.
describe("10 MB", () => {
  const size = 10_000_000
  const prose = "Nothing to find here, not even a bracket. "

  /** Feeds `size` code units of `unit` repeated, and returns the engine and how many mebibytes it came to hold. */
  const fill = (unit: string, options: JsonEngineOptions = {}, start = "") => {
    const engine = new JsonEngine(options)
    engine.feed(start)
    // Of four code units a chunk, a few thousand chunks over and over.
    const text = unit.repeat(4 * Math.ceil(4_000 / unit.length))
    const chunks = text.match(/[^]{1,4}/g)!
    const before = heapUsed()
    let held = 0
    for (let fed = 0, round = 0; fed < size; fed += text.length, round++) {
      for (const chunk of chunks) {
        engine.feed(chunk)
        void engine.partialUnsafe
        if (engine.hasCompleteValues) engine.takeValues()
      }
      if (round % 200 === 0) held = Math.max(held, heapUsed() - before)
    }
    engine.end()
    return { engine, held }
  }

  it.for([prose, '{"', "[1,x", '{"a":[1,2] oops} ', "[[[1]]] ", '{"a":"b","c":[1]} ', '```json\n{"a":1}\n``` '])(
    "of %j in nothing but time",
    (unit) => {
      for (const roots of [undefined, "fenced"] as const) {
        const { engine, held } = fill(unit, { roots })
        assert.isUndefined(engine.fault)
        assert.isBelow(held, 1)
      }
    }
  )

  it("of brackets stop at the depth that is allowed", () => {
    for (const [unit, per] of [
      ["[", 1],
      ['{"a":', 5],
      ['[{"a":', 3]
    ] as const) {
      const { engine, held } = fill(unit)
      assert.deepStrictEqual(faultOf(engine)?.slice(0, 2), ["DepthLimit", 1_000 * per])
      assert.isBelow(held, 1)
    }
  })

  it("of one string, key, number or row of numbers stop at the size that is allowed", () => {
    const options = { strict: true, maxSize: 500_000 }
    for (const [start, unit] of [
      ["", '"\\'],
      ['"', "\\u00e9"],
      ['{"', "\\n"],
      ["1", "1"],
      ["0.", "0"],
      ["[1", ",1"],
      ["[", "   "]
    ] as const) {
      const { engine, held } = fill(unit, options, start)
      assert.deepStrictEqual(faultOf(engine)?.slice(0, 2), ["SizeLimit", options.maxSize], unit)
      assert.isBelow(held, 10, unit)
    }
  })

  it("of one string are read, however they are escaped", () => {
    const { engine, held } = fill('\\"', strict, '"')
    assert.strictEqual(engine.fault?._tag, "InvalidJson")
    assert.strictEqual((engine.partialUnsafe as string).length, size / 2)
    assert.isBelow(held, 30)
  })
})

describe("memory", () => {
  /** Mebibytes that are held while what `make` returns is. */
  const heldBy = (make: () => unknown): number => {
    const before = heapUsed()
    const held = make()
    const after = heapUsed()
    assert.isDefined(held)
    return after - before
  }

  it("of a short string does not hold the chunks it came in", () => {
    const spaces = " ".repeat(50_000)
    const text = "a string of 27 code units.."
    const pieces: Record<string, ReadonlyArray<string>> = {
      "within a chunk": [`["${text}"]`],
      "from one chunk into the next": ['["', `${text}"]`],
      "up to the end of a chunk": [`["${text}`, '"]'],
      "of three chunks": ['["a string', " of 27 ", 'code units.."]']
    }
    for (const [name, parts] of Object.entries(pieces)) {
      const held = heldBy(() => {
        const values: Array<Json> = []
        for (let i = 0; i < 200; i++) {
          const engine = new JsonEngine()
          parts.forEach((part, index) =>
            // Chunks of their own, as they come from a decoder, padded where white space means nothing.
            engine.feed(
              Buffer.from(`${index === 0 ? spaces : ""}${part}${index === parts.length - 1 ? spaces : ""}`).toString()
            )
          )
          values.push(...engine.takeValues())
        }
        assert.strictEqual(values.length, 200)
        return values
      })
      assert.isBelow(held, 1, name)
    }
  })

  it("of a value that is kept is at most one and a half times that of JSON.parse's", () => {
    const words = "some words that a model has written, one after the other".split(" ")
    const list = (count: number, each: (i: number) => string) => `[${Array.from({ length: count }, (_, i) => each(i))}]`
    const text = (from: number, to?: number) => JSON.stringify(words.slice(from, to).join(" "))
    const texts: Record<string, (size: number) => string> = {
      "small arrays": () => list(40_000, (i) => `[${i},${i + 0.5}]`),
      numbers: () => list(100_000, (i) => String(i / 4)),
      strings: () => list(20_000, (i) => text(i % 3, 3 + (i % 9))),
      objects: () => list(10_000, (i) => `{"id":${i},"name":${text(i % 9)},"tags":["a"]}`),
      // Of keys that no object had before: V8 takes less for an object of a shape that is known.
      "wide objects": (size) =>
        list(
          3_000,
          (i) => `{${Array.from({ length: 30 }, (_, k) => `"${size} ${k}":${k % 2 === 0 ? i : `"${i} ${k}"`}`)}}`
        )
    }
    for (const [name, make] of Object.entries(texts)) {
      for (const size of [1, 4, 64, 1_000_000]) {
        const text = make(size)
        const held = heldBy(() => {
          const engine = new JsonEngine(strict)
          for (let at = 0; at < text.length; at += size) {
            engine.feed(Buffer.from(text.slice(at, at + size)).toString())
            if (at % 1_000 === 0) void engine.partialUnsafe
          }
          return engine.takeValues()
        })
        const parsed = heldBy(() => JSON.parse(text) as unknown)
        assert.isBelow(held / parsed, 1.5, `${name} in chunks of ${size}`)
      }
    }
  })

  it("of what was open is free after a reset", () => {
    const engine = new JsonEngine()
    const held = heldBy(() => {
      engine.feed(`{"a":[${'"some text to be kept",'.repeat(100_000)}"`)
      assert.isDefined(engine.partialUnsafe)
      assert.isDefined(engine.snapshot())
      engine.reset()
      return engine
    })
    assert.isBelow(held, 1)
  })

  it("of keys goes with their objects", () => {
    const engine = new JsonEngine()
    const members = Array.from({ length: 20 }, (_, i) => `"k${i}":${i}`).join(",")
    const held = heldBy(() => {
      for (let i = 0; i < 100; i++) {
        engine.feed(`{${members},"${"x".repeat(100_000)}${i}":1}`)
        assert.strictEqual(engine.takeValues().length, 1)
      }
      engine.feed("{}")
      return engine
    })
    assert.isBelow(held, 1)
    const many = heldBy(() => {
      for (let i = 0; i < 100_000; i++) {
        engine.feed(`${i % 100 === 0 ? `{${members}` : ""},"one of many keys ${i}":1${i % 100 === 99 ? "}" : ""}`)
        if (engine.hasCompleteValues) engine.takeValues()
      }
      engine.feed("{}")
      return engine
    })
    assert.isBelow(many, 1)
  })
})
