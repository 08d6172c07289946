/** The laws of streams for the JSON operators, on generated texts; those of partials are in `JsonPartial.test.ts`. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, Schema, Stream } from "effect"
import * as JsonStream from "../../src/json/JsonStream.ts"
import type { Json, Options } from "../../src/json/JsonStreamParser.ts"
import * as StreamError from "../../src/StreamError.ts"
import * as StreamLaws from "../../src/testing/StreamLaws.ts"
import { expected, show } from "../internal/jsonOracle.ts"
import { container, cut, type Dice, dice, json, mixed, seeds } from "../internal/jsonTexts.ts"
import { heapUsed } from "../support/heap.ts"
import { collect, fromPulls } from "../support/run.ts"

const runs = (runs: number) => ({ arbitrary: { runs } })

const optionsOf = (roll: Dice): Options => ({
  ...(roll(3) > 0 ? {} : { maxDepth: 1 + roll(4), maxSize: 1 + roll(60) }),
  strict: roll(4) === 0,
  roots: ([undefined, undefined, "objects", "arrays", "all"] as const)[roll(5)],
  onMalformed: ([undefined, "skip", "fail"] as const)[roll(3)]
})

const textOf = (roll: Dice, { strict }: Options): string =>
  strict === true && roll(3) > 0 ? json(roll, { depth: 3 }) : mixed(roll)

/** Pulls of up to three chunks. */
const pullsOf = (roll: Dice, text: string): ReadonlyArray<ReadonlyArray<string>> => {
  const pulls: Array<Array<string>> = []
  for (const chunk of cut(roll, text)) {
    if (pulls.length === 0 || roll(2) === 0) pulls.push([chunk])
    else pulls.at(-1)!.push(chunk)
  }
  return pulls
}

const read = <A>(
  pulls: ReadonlyArray<ReadonlyArray<string>>,
  operator: (text: Stream.Stream<string>) => Stream.Stream<A, StreamError.StreamError>
) => Effect.runSync(collect(operator(fromPulls(pulls))))

const broken = StreamError.make({ _tag: "SourceFailure", cause: "reset" })

const Any: Schema.Codec<Json> = Schema.Unknown as unknown as Schema.Codec<Json>
const Small = Schema.Struct({ a: Schema.Union([Schema.String, Schema.Number]) })

describe("values", () => {
  it.prop(
    "and errors are those of the reference, however the text is cut",
    [seeds],
    ([seed]) => {
      const roll = dice(seed)
      const options = optionsOf(roll)
      const text = textOf(roll, options)
      const reference = expected(text, options, true)
      const { events, failure } = read(pullsOf(roll, text), JsonStream.values(options))
      assert.deepStrictEqual(events.map(show), reference.values.map(show))
      const tags = {
        InvalidJson: ["InvalidJson", "Truncated"],
        SizeLimit: ["BufferOverflow"],
        DepthLimit: ["BudgetExceeded"]
      }
      const tag = reference.fault?.[0] as keyof typeof tags | undefined
      if (tag === undefined) assert.isUndefined(failure)
      else assert.include(tags[tag], failure?.reason._tag)
    },
    runs(1_000)
  )

  it.prop(
    "are the same as `run` finds, and `decode` decodes",
    [seeds],
    ([seed]) => {
      const roll = dice(seed)
      const pulls = pullsOf(roll, mixed(roll))
      const { events: values } = read(pulls, JsonStream.values())
      assert.deepStrictEqual(read(pulls, JsonStream.decode(Any)).events.map(show), values.map(show))
      const first = Effect.runSync(Effect.result(JsonStream.run(fromPulls(pulls), Any)))
      if (Result.isSuccess(first)) assert.strictEqual(show(first.success), show(values[0]))
      else assert.strictEqual(values.length, 0)
    },
    runs(300)
  )
})

describe("elements", () => {
  it.prop(
    "are those of the whole arrays, and of the open one, however the text is cut",
    [seeds],
    ([seed]) => {
      const roll = dice(seed)
      const items = Array.from({ length: roll(5) }, () => container(roll, { depth: 2 }, roll(2) === 0))
      const text = `Here: {"x": [1], "items": [${items.join(" ,")}], "y": 2}`
      const at = text.length - roll(30)
      const { events } = read(pullsOf(roll, text.slice(0, at)), JsonStream.elements(Any, { pointer: "/items" }))
      const all = expected(`[${["[]", ...items].join()}]`).values[0] as ReadonlyArray<Json>
      assert.deepStrictEqual(events.map(show), all.slice(1, 1 + events.length).map(show))
      if (at > text.length - 9) assert.strictEqual(events.length, items.length)
    },
    runs(300)
  )

  it.effect("take no more memory than the longest", () =>
    Effect.gen(function* () {
      const row = `{"a":"${"x".repeat(1_000)}"},`
      const many = Stream.fromIterable(
        (function* () {
          yield "["
          for (let i = 0; i < 50_000; i++) yield row
        })(),
        { chunkSize: 8 }
      )
      const before = heapUsed()
      let count = 0
      let most = 0
      yield* many.pipe(
        JsonStream.elements(Small),
        Stream.runForEach(() =>
          Effect.sync(() => {
            if (++count % 10_000 === 0) most = Math.max(most, heapUsed() - before)
          })
        )
      )
      assert.strictEqual(count, 50_000)
      // 50 MB have gone through.
      assert.isBelow(most, 4)
    })
  )
})

/** What an interface makes of deltas. */
const patch = (root: Json | undefined, delta: JsonStream.JsonDelta): Json | undefined => {
  if ("drop" in delta) return undefined
  const { path, ...change } = delta
  const [key, ...rest] = path
  if (key === undefined) {
    if ("value" in change) return change.value
    return "open" in change ? (change.open === "array" ? [] : {}) : `${String(root ?? "")}${change.append}`
  }
  const inner = root as { readonly [key: string | number]: Json }
  const value = patch(Object.hasOwn(inner, key) ? inner[key] : undefined, {
    ...change,
    path: rest
  } as JsonStream.JsonDelta)
  const copy = (Array.isArray(inner) ? [...(inner as ReadonlyArray<Json>)] : { ...inner }) as typeof inner
  Object.defineProperty(copy, key, { value, writable: true, enumerable: true, configurable: true })
  return copy
}

/** With what belongs together joined. */
const joined = (deltas: ReadonlyArray<JsonStream.JsonDelta>): ReadonlyArray<string> => {
  const lines: Array<string> = []
  let last: { path: string; text: string } | undefined
  for (const delta of deltas) {
    const path = JSON.stringify(delta.path)
    if ("append" in delta) {
      if (last?.path !== path) lines.push("")
      last = { path, text: last?.path === path ? last.text + delta.append : delta.append }
      lines[lines.length - 1] = `${path} + ${JSON.stringify(last.text)}`
    } else {
      lines.push(`${path} ${"value" in delta ? show(delta.value) : "open" in delta ? delta.open : "drop"}`)
      last = undefined
    }
  }
  return lines
}

describe("deltas", () => {
  it.prop(
    "do not depend on the chunks, and who applies them has the values, and what is open in the end",
    [seeds],
    ([seed]) => {
      const roll = dice(seed)
      const options: Options = { ...optionsOf(roll), maxDepth: 1_000, maxSize: 1e6 }
      const text = textOf(roll, options)
      const reference = expected(text, options, true)
      const atOnce = read([[text]], JsonStream.deltas(options))
      const { events, failure } = read(pullsOf(roll, text), JsonStream.deltas(options))
      assert.deepStrictEqual(joined(events), joined(atOnce.events))
      assert.strictEqual(failure?.message, atOnce.failure?.message)
      const values: Array<string> = []
      let open: Json | undefined
      /** What is whole: a string that comes there once more is another one. */
      const whole = new Set<string>()
      for (const delta of events) {
        const path = JSON.stringify(delta.path)
        if ("append" in delta && whole.delete(path)) open = patch(open, { path: delta.path, value: "" })
        if ("value" in delta) whole.add(path)
        if (path === "[]" && !("append" in delta)) whole.clear()
        open = patch(open, delta)
        if (delta.path.length > 0 || !("value" in delta)) continue
        values.push(show(open))
        open = undefined
      }
      assert.deepStrictEqual(values, reference.values.map(show))
      assert.strictEqual(show(open), show(reference.partial))
    },
    runs(500)
  )

  it.prop(
    "of one pull append to a string once",
    [seeds],
    ([seed]) => {
      const roll = dice(seed)
      const text = container(roll, { depth: 3 }, true)
      const { events } = read([text.split("")], JsonStream.deltas())
      const paths = events.filter((delta) => "append" in delta).map(({ path }) => JSON.stringify(path))
      assert.strictEqual(new Set(paths).size, paths.length)
    },
    runs(100)
  )
})

describe("every operator", () => {
  type Operator = (
    text: Stream.Stream<string, StreamError.StreamError>
  ) => Stream.Stream<unknown, StreamError.StreamError>
  const operators: Readonly<Record<string, Operator>> = {
    values: JsonStream.values(),
    "strict values": JsonStream.values({ strict: true }),
    decode: JsonStream.decode(Small, { onMismatch: "result" }),
    "decode or fail": JsonStream.decode(Small),
    elements: JsonStream.elements(Any, { pointer: "/*" })
  }
  const texts = ['See [1]: {"a": "x\\u00e9"} {"a": [1, {"b": 2}]}, {oops} {"a": 3', ' {"a": "1"} ', ""]

  for (const [name, operator] of Object.entries(operators)) {
    it.effect(`${name}: does not depend on chunks and pulls`, () =>
      Effect.forEach(texts, (text) => StreamLaws.chunkIndependence(operator, { items: [text] }))
    )
  }
  for (const [name, operator] of Object.entries<Operator>({
    ...operators,
    partials: JsonStream.partials(Small, { onMismatch: "skip" }),
    deltas: JsonStream.deltas()
  })) {
    it.effect(`${name}: lets go of its source, however it is left`, () =>
      StreamLaws.interruption(operator, { items: [texts[0]!], sizes: [5] })
    )

    it.effect(`${name}: gives before a failure what it gives before an end`, () =>
      Effect.gen(function* () {
        for (const text of texts) {
          for (let length = 0; length <= text.length; length++) {
            const pulls = [text.slice(0, length).split("")]
            const strip = (items: ReadonlyArray<unknown>) => items.map((item) => JSON.stringify(item))
            const ended = yield* collect(operator(fromPulls<string, StreamError.StreamError>(pulls)))
            const failed = yield* collect(operator(fromPulls<string, StreamError.StreamError>(pulls, broken)))
            assert.deepStrictEqual(strip(failed.events), strip(ended.events))
            assert.isDefined(failed.failure)
          }
        }
      })
    )
  }

  it.effect("invents nothing where a text is cut", () =>
    Effect.gen(function* () {
      const text = '{"a": [1, 2.5, "\\ud83d\\ude00", true, null, {"b": "c"}], "d": -1e3}'
      for (let length = 0; length < text.length; length++) {
        const pulls = [[text.slice(0, length)]]
        assert.deepStrictEqual((yield* collect(fromPulls(pulls).pipe(JsonStream.values()))).events, [])
        const elements = yield* collect(fromPulls(pulls).pipe(JsonStream.elements(Any, { pointer: "/a" })))
        const whole = [1, 2.5, "😀", true, null, { b: "c" }]
        assert.deepStrictEqual(elements.events, whole.slice(0, elements.events.length))
      }
    })
  )
})
