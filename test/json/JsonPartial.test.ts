import { assert, describe, it } from "@effect/vitest"
import { type Duration, Effect, Exit, Fiber, Schema, SchemaParser, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Follower } from "../../src/json/JsonPartial.ts"
import * as JsonShape from "../../src/json/JsonShape.ts"
import * as JsonStream from "../../src/json/JsonStream.ts"
import type { Json, JsonPath } from "../../src/json/JsonStreamParser.ts"
import * as StreamError from "../../src/StreamError.ts"
import { show } from "../internal/jsonOracle.ts"
import { container, cut, dice, type Dice, mixed, seeds } from "../internal/jsonTexts.ts"
import { collect, fromPulls, pulls, reasonOf } from "../support/run.ts"
import { nearly, sample, struct } from "./schemas.ts"

const runs = (runs: number) => ({ arbitrary: { runs } })

/** One character a pull, as a text that streams. */
const typed = (text: string) => fromPulls(text.split("").map((unit) => [unit]))

const collected = <A, E>(stream: Stream.Stream<A, E>): ReadonlyArray<A> => Effect.runSync(Stream.runCollect(stream))

/** What is shown, one line for each item. */
const shown = (stream: Stream.Stream<JsonStream.Growing<unknown, unknown, "result">, StreamError.StreamError>) => {
  const { events, failure } = Effect.runSync(collect(stream))
  const lines = events.map((item) =>
    item._tag === "Mismatch"
      ? `${item.error.message}`
      : `${item._tag === "Partial" ? "" : "= "}${JSON.stringify(item.value)}`
  )
  return failure === undefined ? lines : [...lines, failure.message]
}

/** Any, and also the infinite numbers that `Schema.Json` has not. */
const Json: Schema.Codec<Json> = Schema.Unknown as unknown as Schema.Codec<Json>

const Level = Schema.Literals(["easy", "hard"])
const Recipe = Schema.Struct({ title: Schema.String, level: Level, steps: Schema.Array(Schema.String) })
const text = '{"title": "Pie", "level": "easy", "steps": ["Fo", "Ba"]}'

describe("partials", () => {
  it("show strings as they grow, and all else when it is whole", () => {
    assert.deepStrictEqual(shown(typed(text).pipe(JsonStream.partials(Recipe))), [
      '{"title":""}',
      '{"title":"P"}',
      '{"title":"Pi"}',
      '{"title":"Pie"}',
      '{"title":"Pie","level":"easy"}',
      '{"title":"Pie","level":"easy","steps":[]}',
      '{"title":"Pie","level":"easy","steps":[""]}',
      '{"title":"Pie","level":"easy","steps":["F"]}',
      '{"title":"Pie","level":"easy","steps":["Fo"]}',
      '{"title":"Pie","level":"easy","steps":["Fo",""]}',
      '{"title":"Pie","level":"easy","steps":["Fo","B"]}',
      '{"title":"Pie","level":"easy","steps":["Fo","Ba"]}',
      '= {"title":"Pie","level":"easy","steps":["Fo","Ba"]}'
    ])
  })

  it("are at most one for a pull, and none behind the whole", () => {
    const found = (...chunks: ReadonlyArray<ReadonlyArray<string>>) =>
      Effect.runSync(pulls(fromPulls(chunks).pipe(JsonStream.partials(Recipe)))).map((items) =>
        items.map((item) => item._tag)
      )
    assert.deepStrictEqual(found(text.split("")), [["Complete"]])
    assert.deepStrictEqual(found([text, text, '{"title": ', '"a'], ['b"', " "]), [
      ["Complete", "Complete", "Partial"],
      ["Partial"]
    ])
    assert.deepStrictEqual(found(text.slice(0, 20).split(""), text.slice(20).split("")), [["Partial"], ["Complete"]])
  })

  it("decode the whole, and show what is encoded until then", () => {
    const Event = Schema.Struct({ at: Schema.DateFromString, n: Schema.NumberFromString })
    const items = collected(
      fromPulls([['{"at": "2026-0'], ['1-01", "n": "12"'], ["}"]]).pipe(JsonStream.partials(Event))
    )
    assert.deepStrictEqual(
      items.map(({ value }) => value),
      [{ at: "2026-0" }, { at: "2026-01-01", n: "12" }, { at: new Date("2026-01-01"), n: 12 }]
    )
  })

  it("hide strings that are annotated, literals, enum members and templates until they are whole", () => {
    const Email = Schema.Struct({ to: Schema.String.check(Schema.isMinLength(3)), name: Schema.String }).pipe(
      JsonStream.whole
    )
    const All = Schema.Struct({
      mail: Email,
      kind: Schema.Enum({ A: "apple", B: 2 }),
      user: Schema.TemplateLiteral(["user-", Schema.String]),
      level: Schema.Union([Level, Schema.Null]),
      free: Schema.Union([Level, Schema.String]),
      late: Schema.String.pipe(JsonStream.whole).check(Schema.isMinLength(1)),
      any: Schema.Unknown.pipe(JsonStream.whole)
    })
    const text =
      '{"mail":{"to":"a@b","name":"é"},"kind":"apple","user":"user-1","level":"easy","free":"ea","late":"xyz","any":["ab"]}'
    assert.deepStrictEqual(shown(typed(text).pipe(JsonStream.partials(All))), [
      '{"mail":{}}',
      '{"mail":{"to":"a@b"}}',
      '{"mail":{"to":"a@b","name":"é"}}',
      '{"mail":{"to":"a@b","name":"é"},"kind":"apple"}',
      '{"mail":{"to":"a@b","name":"é"},"kind":"apple","user":"user-1"}',
      '{"mail":{"to":"a@b","name":"é"},"kind":"apple","user":"user-1","level":"easy"}',
      '{"mail":{"to":"a@b","name":"é"},"kind":"apple","user":"user-1","level":"easy","free":""}',
      '{"mail":{"to":"a@b","name":"é"},"kind":"apple","user":"user-1","level":"easy","free":"e"}',
      '{"mail":{"to":"a@b","name":"é"},"kind":"apple","user":"user-1","level":"easy","free":"ea"}',
      '{"mail":{"to":"a@b","name":"é"},"kind":"apple","user":"user-1","level":"easy","free":"ea","late":"xyz"}',
      '{"mail":{"to":"a@b","name":"é"},"kind":"apple","user":"user-1","level":"easy","free":"ea","late":"xyz","any":[]}',
      '{"mail":{"to":"a@b","name":"é"},"kind":"apple","user":"user-1","level":"easy","free":"ea","late":"xyz","any":["ab"]}',
      `= ${text}`
    ])
  })

  it("show nothing of a hidden string, neither where it is cut nor in what shares with a partial", () => {
    const One = Schema.Struct({ a: Schema.Number, b: Schema.String.pipe(JsonStream.whole) })
    const last = (text: string) => shown(typed(text).pipe(JsonStream.partials(One))).at(-1)
    assert.strictEqual(last('{"a": 1, "b": "half'), '{"a":1}')
    assert.strictEqual(last('{"a": 1, "b": "half", "b": "x'), '{"a":1,"b":"half"}')
    assert.strictEqual(last('{"a": 1, "b": "whole"}'), '= {"a":1,"b":"whole"}')
    assert.deepStrictEqual(shown(fromPulls([['{"a":1,"b":"x'], ["y"], ['"'], ["}"]]).pipe(JsonStream.partials(One))), [
      '{"a":1}',
      '{"a":1,"b":"xy"}',
      '= {"a":1,"b":"xy"}'
    ])
    const root = Schema.Literals(["yes", "no"])
    assert.deepStrictEqual(shown(typed('"yes"').pipe(JsonStream.partials(root))), ['= "yes"'])
    assert.deepStrictEqual(shown(typed('"yes"').pipe(JsonStream.partials(Schema.String))), [
      '"y"',
      '"ye"',
      '"yes"',
      '= "yes"'
    ])
  })

  it("do not flicker with braces in prose", () => {
    const prose = "function f() { return { x: [1, a[0]] } } {name} - [ ] "
    assert.deepStrictEqual(shown(typed(prose).pipe(JsonStream.partials(Json))), [])
  })

  it("show the last state before the end, and before a failure", () => {
    const cut = text.slice(0, 20).split("")
    for (const stream of [fromPulls([cut]), fromPulls([cut], StreamError.make({ _tag: "Truncated", expected: "" }))]) {
      assert.strictEqual(shown(stream.pipe(JsonStream.partials(Recipe)))[0], '{"title":"Pie"}')
    }
    assert.deepStrictEqual(
      shown(typed('{"title": "Pie", x').pipe(JsonStream.partials(Recipe, { onMalformed: "fail" }))).slice(-2),
      ['{"title":"Pie"}', "Invalid JSON at offset 17: expected a key"]
    )
    assert.deepStrictEqual(
      shown(fromPulls([['{"title": "Pie', "s and more"]]).pipe(JsonStream.partials(Recipe, { maxSize: 16 }))),
      ['{"title":"Pies "}', "Buffer size exceeded: 17 UTF-16 code units where the limit is 16"]
    )
    const strict = JsonStream.partials(Recipe, { strict: true })
    assert.deepStrictEqual(shown(fromPulls([['{"title": "Pie']]).pipe(strict)), [
      '{"title":"Pie"}',
      "The stream stopped before the end of the JSON document"
    ])
  })

  it.effect("are fewer, and not later ones, for a slow consumer behind a buffer", () =>
    Effect.gen(function* () {
      const letters = "abcdefghijklmnopqrstuvwxyz"
      const slow = typed(`{"title": "${letters}"`).pipe(
        Stream.mapEffect((unit) => Effect.as(Effect.sleep("10 millis"), unit)),
        Stream.buffer({ capacity: "unbounded" }),
        JsonStream.partials(Recipe),
        Stream.mapEffect((item) => Effect.as(Effect.sleep("55 millis"), item.value.title ?? ""))
      )
      const fiber = yield* Effect.forkChild(Stream.runCollect(slow))
      for (let i = 0; i < 200; i++) yield* TestClock.adjust("5 millis")
      const seen = yield* Fiber.join(fiber)
      assert.strictEqual(seen.at(-1), letters)
      assert.isBelow(seen.length, 10)
      for (let i = 1; i < seen.length - 1; i++) assert.isAtLeast(seen[i]!.length - seen[i - 1]!.length, 4)
    })
  )
})

describe("spacing", () => {
  /** How many partials a text has at one token a pull, and how many slots they have; no time passes but before a pull. */
  const slots = (tokens: ReadonlyArray<string>, pause?: Duration.Input) =>
    Effect.gen(function* () {
      let partials = 0
      let slots = 0
      const text = fromPulls(tokens.map((token) => [token]))
      const paced = pause === undefined ? text : Stream.tap(text, () => TestClock.adjust(pause))
      yield* paced.pipe(
        JsonStream.partials(Schema.Struct({ n: Schema.Unknown })),
        Stream.runForEach((item) =>
          Effect.sync(() => {
            if (item._tag !== "Partial") return
            const { n = [] } = item.value as { readonly n?: object }
            partials++
            slots += 1 + (Array.isArray(n) ? n.length : Object.keys(n).length)
          })
        )
      )
      return { partials, slots }
    })

  const numbers = (count: number) => ['{"n": [', ...Array.from({ length: count }, () => "12, "), "0]}"]

  it.effect("lets all snapshots cost what the text is long", () =>
    Effect.gen(function* () {
      for (const count of [1_000, 10_000]) {
        const { partials, slots: copied } = yield* slots(numbers(count))
        assert.isAtMost(copied, 8 * 4 * (count + 10))
        assert.isAtLeast(partials, 100)
      }
      const members = Array.from({ length: 2_000 }, (_, i) => `"k${i}": 1, `)
      const { partials, slots: copied } = yield* slots(['{"n": {', ...members, '"x": 0}}'])
      assert.isAtMost(copied, (8 * 12 * 2_000) / 100 + 2_000)
      assert.isAtLeast(partials, 20)
    })
  )

  it.effect("shows narrow values, and those at the pace of a model, at each token", () =>
    Effect.gen(function* () {
      assert.isAtLeast((yield* slots(numbers(30))).partials, 30)
      assert.isAtLeast((yield* slots(numbers(1_000), "1 milli")).partials, 1_000)
    })
  )
})

describe("a value that cannot fit", () => {
  const failsAt = <S extends Schema.ConstraintDecoder<unknown>>(schema: S, text: string) => {
    let read = ""
    const stream = Stream.tap(typed(text), (unit) => Effect.sync(() => (read += unit)))
    const { failure } = Effect.runSync(collect(stream.pipe(JsonStream.partials(schema))))
    const { issue, path } = reasonOf(failure, "SchemaMismatch")
    return `${read} | /${path.join("/")}: ${issue}`
  }

  it("fails at the character that shows it, with the path", () => {
    const Deep = Schema.Struct({
      list: Schema.Array(Schema.Struct({ n: Schema.Int, s: Schema.optional(Schema.String) }))
    })
    const cases: ReadonlyArray<readonly [Schema.ConstraintDecoder<unknown>, string, string]> = [
      [Recipe, '{"title": 1}', '{"title": 1} | /title: Expected string'],
      [Recipe, '{"title": [}', '{"title": [ | /title: Expected string'],
      [Recipe, '{"level": "ease', '{"level": "ease | /level: Expected "easy" | "hard"'],
      [Recipe, '{"level": "eas"', '{"level": "eas" | /level: Expected "easy" | "hard"'],
      [Recipe, '{"level": true', '{"level": true | /level: Expected "easy" | "hard"'],
      [Recipe, '{"steps": "a', '{"steps": " | /steps: Expected array'],
      [Recipe, '{"steps": ["a", {', '{"steps": ["a", { | /steps/1: Expected string'],
      [Recipe, '{"title": "a"} ', '{"title": "a"} | /level: Missing key'],
      [Deep, '{"list": [{"n": 1}, {"n": 1.5,', '{"list": [{"n": 1}, {"n": 1.5, | /list/1/n: Expected an integer'],
      [Deep, '{"list": [{"s": "x"}, 1]', '{"list": [{"s": "x"} | /list/0/n: Missing key'],
      [Deep, '{"list": [{"n": 1, "s": null', '{"list": [{"n": 1, "s": null | /list/0/s: Expected string | undefined'],
      [Schema.Struct({ at: Schema.DateFromString }), '{"at": "soon", ', '{"at": "soon" | /at: Expected a valid Date'],
      [Schema.Tuple([Schema.String, Schema.Number]), '["a", "', '["a", " | /1: Expected number'],
      [Schema.Tuple([Schema.String]), '["a", "b', '["a", " | /1: Expected no excess property'],
      [Schema.Tuple([Schema.String, Schema.Number]), '["a"] ', '["a"] | /1: Missing key'],
      [Schema.Record(Schema.String, Schema.Number), '{"a": 1, "b": "', '{"a": 1, "b": " | /b: Expected number']
    ]
    for (const [schema, text, expected] of cases) assert.strictEqual(failsAt(schema, text), expected)
  })

  it("is one that no member of a union takes", () => {
    const Shape = Schema.Union([
      Schema.Struct({ kind: Schema.Literal("circle"), radius: Schema.Number }),
      Schema.Struct({ kind: Schema.Literal("square"), side: Schema.Number })
    ])
    const doc = Schema.Struct({ shapes: Schema.Array(Shape) })
    assert.strictEqual(
      failsAt(doc, '{"shapes": [{"kind": "c", "radius": 1}, '),
      '{"shapes": [{"kind": "c" | /shapes/0/kind: Expected "circle"'
    )
    assert.strictEqual(
      failsAt(doc, '{"shapes": [{"kind": "triangle"'),
      '{"shapes": [{"kind": "t | /shapes/0/kind: Expected "circle" | "square"'
    )
    assert.strictEqual(
      failsAt(doc, '{"shapes": [{"radius": 1, "kind": "square"}'),
      '{"shapes": [{"radius": 1, "kind": "square"} | /shapes/0/side: Missing key'
    )
    assert.strictEqual(
      failsAt(doc, '{"shapes": [{"kind": "square", "side": "'),
      '{"shapes": [{"kind": "square", "side": " | /shapes/0/side: Expected number'
    )
    const Mixed = Schema.Struct({ a: Schema.Union([Schema.Array(Schema.String), Schema.Struct({ b: Schema.Null })]) })
    assert.strictEqual(failsAt(Mixed, '{"a": 1,'), '{"a": 1, | /a: Expected array | object')
    assert.strictEqual(failsAt(Mixed, '{"a": {"b": {'), '{"a": {"b": { | /a/b: Expected null')
  })

  it("costs what it is long, in a schema that is ambiguous at each level", () => {
    interface Node {
      readonly next: Node | null
    }
    const next = Schema.suspend((): Schema.Codec<Node | null> => Schema.NullOr(Schema.Union([A, B])))
    const A = Schema.Struct({ next, a: Schema.optionalKey(Schema.String) })
    const B = Schema.Struct({ next, b: Schema.optionalKey(Schema.String) })
    const depth = 500
    const text = `${'{"next":'.repeat(depth)}null${"}".repeat(depth)}`
    assert.strictEqual(collected(fromPulls([[text]]).pipe(JsonStream.partials(Schema.Union([A, B])))).length, 1)
    assert.match(failsAt(A, `${'{"next":'.repeat(depth)}1,`), /\/next: Expected object \| null/)
  })

  it("is left out, or told, and what follows is read", () => {
    const two = `{"title": 1, "level": "easy"} and ${text}`
    assert.deepStrictEqual(shown(fromPulls([[two]]).pipe(JsonStream.partials(Recipe, { onMismatch: "skip" }))), [
      `= ${JSON.stringify(JSON.parse(text))}`
    ])
    const told = shown(typed(two).pipe(JsonStream.partials(Recipe, { onMismatch: "result" })))
    assert.deepStrictEqual(told.slice(0, 2), [
      "Value does not fit the schema in /title: Expected string",
      '{"title":""}'
    ])
    assert.strictEqual(told.filter((line) => line.startsWith("Value")).length, 1)
  })

  it("is not one that another decoder replaces, or that only an effect can tell", () => {
    const Lenient = Schema.Struct({ n: Schema.Number.pipe(Schema.catchDecoding(() => Effect.succeedSome(0))) })
    assert.deepStrictEqual(shown(typed('{"n": "x"}').pipe(JsonStream.partials(Lenient))).at(-1), '= {"n":0}')
    const Sometimes = Schema.Struct({ n: Schema.String.pipe(Schema.withDecodingDefault(Effect.succeed("d"))) })
    assert.deepStrictEqual(shown(typed("{}").pipe(JsonStream.partials(Sometimes))), ['= {"n":"d"}'])
    const Renamed = Schema.Struct({ a: Schema.Number }).pipe(Schema.encodeKeys({ a: "b" }))
    assert.deepStrictEqual(shown(typed('{"b":1}').pipe(JsonStream.partials(Renamed))).at(-1), '= {"a":1}')
  })

  it("is no citation", () => {
    const list = Schema.Array(Schema.Struct({ a: Schema.Number }))
    assert.deepStrictEqual(shown(typed('See [1, 2] and [true]: [{"a": 1}]').pipe(JsonStream.partials(list))), [
      "[{}]",
      '[{"a":1}]',
      '= [{"a":1}]'
    ])
    assert.deepStrictEqual(shown(typed("[1, {").pipe(JsonStream.partials(list))), [
      "Value does not fit the schema in /0: Expected object"
    ])
    assert.deepStrictEqual(shown(typed("[1]").pipe(JsonStream.partials(list, { strict: true }))), [
      "Value does not fit the schema in /0: Expected object"
    ])
  })

  it.prop(
    "is found before its end exactly if it does not decode",
    [seeds],
    ([seed]) => {
      const roll = dice(seed)
      const { schema, value } = roll(4) > 0 ? struct(roll, 3) : sample(roll, 3)
      const json = roll(2) === 0 ? value(roll) : nearly(roll, value(roll))
      const text = JSON.stringify(json)
      const fits = Exit.isSuccess(SchemaParser.decodeUnknownExit(schema)(JSON.parse(text)))
      const found: Array<string> = []
      const follower = new Follower(
        JsonShape.of(schema),
        { strict: true },
        {
          onComplete: () => found.push("fits"),
          onMismatch: () => found.push("does not fit")
        }
      )
      for (const chunk of cut(roll, `${text} `)) follower.feed(chunk)
      assert.deepStrictEqual(found, [fits ? "fits" : "does not fit"], text)
    },
    runs(2_000)
  )
})

describe("generated schemas", () => {
  it("are varied", () => {
    const seen: Record<string, number> = {}
    const count = (name: string, is: boolean) => (seen[name] = (seen[name] ?? 0) + (is ? 1 : 0))
    for (let seed = 0; seed < 400; seed++) {
      const roll = dice(seed)
      const { schema, value } = struct(roll, 3)
      const good = value(roll)
      const near = nearly(roll, good)
      const fits = (json: Json) => Exit.isSuccess(SchemaParser.decodeUnknownExit(schema)(json))
      assert.isTrue(fits(good), show(good))
      count("nearly, and fits", fits(near))
      count("nearly, and does not", !fits(near))
      count("nested", /[[{].*[[{]/.test(show(good)))
      count("with literals", /"(easy|kind|hard)/.test(show(good)))
      count("empty", show(good) === "{}")
      count("long", show(good).length > 60)
    }
    for (const [name, times] of Object.entries(seen)) assert.isAtLeast(times, 20, `${name}: ${times} of 400`)
  })
})

/** Paths of all values in a value, its own too. */
const pathsIn = (value: Json, path: JsonPath = []): ReadonlyArray<JsonPath> => {
  if (typeof value !== "object" || value === null) return [path]
  const entries: ReadonlyArray<readonly [string | number, Json]> = Array.isArray(value)
    ? value.map((item: Json, i) => [i, item])
    : Object.entries(value)
  return [path, ...entries.flatMap(([key, item]) => pathsIn(item, [...path, key]))]
}

const at = (value: Json | undefined, path: JsonPath): Json | undefined =>
  path.reduce<Json | undefined>(
    (inner, key) =>
      typeof inner === "object" && inner !== null && Object.hasOwn(inner, key)
        ? (inner as { readonly [key: string | number]: Json })[key]
        : undefined,
    value
  )

/** Whether a value that grows can have been this before. */
const growsTo = (before: Json, after: Json | undefined): boolean => {
  if (typeof before === "string") return typeof after === "string" && after.startsWith(before)
  if (typeof before !== "object" || before === null) return Object.is(before, after)
  if (typeof after !== "object" || after === null || Array.isArray(before) !== Array.isArray(after)) return false
  return Object.keys(before).every((key) => growsTo(at(before, [key])!, at(after, [key])))
}

describe("laws of partials", () => {
  type Item = JsonStream.Growing<Json, Json, "fail">
  const groups = (roll: Dice, chunks: ReadonlyArray<string>): ReadonlyArray<ReadonlyArray<string>> => {
    const size = 1 + roll(3)
    return Array.from({ length: Math.ceil(chunks.length / size) }, (_, i) => chunks.slice(i * size, (i + 1) * size))
  }
  const follow = (roll: Dice, text: string): ReadonlyArray<Item> =>
    collected(fromPulls(groups(roll, cut(roll, text))).pipe(JsonStream.partials(Json)))

  it.prop(
    "what is shown only grows, what is whole stays, and nothing changes what was shown",
    [seeds],
    ([seed]) => {
      const roll = dice(seed)
      const text = container(roll, { depth: 4 }, true)
      const items = follow(roll, text)
      const whole = items.at(-1)!.value as Json
      assert.strictEqual(items.at(-1)!._tag, "Complete")
      let before: Item | undefined
      for (const item of items) {
        if (before !== undefined) assert.isTrue(growsTo(before.value as Json, item.value as Json))
        if (item._tag === "Complete") continue
        assert.isFalse(item.isComplete([]))
        assert.notStrictEqual(show(before?.value as Json), show(item.value as Json))
        for (const path of pathsIn(item.value as Json)) {
          if (item.isComplete(path)) assert.strictEqual(show(at(item.value as Json, path)), show(at(whole, path)))
        }
        before = item
      }
    },
    runs(300)
  )

  it.prop(
    "the state in the end does not depend on the chunks",
    [seeds],
    ([seed]) => {
      const roll = dice(seed)
      const text = mixed(roll)
      const [whole] = [collected(fromPulls([[text]]).pipe(JsonStream.partials(Json)))]
      const items = follow(roll, text)
      const isOpen = whole.at(-1)?._tag === "Partial"
      const last = (all: ReadonlyArray<Item>) =>
        all.filter((item, i) => item._tag === "Complete" || (isOpen && i === all.length - 1))
      const state = (all: ReadonlyArray<Item>) => last(all).map((item) => `${item._tag} ${show(item.value as Json)}`)
      assert.deepStrictEqual(state(items), state(whole))
    },
    runs(500)
  )

  it.prop(
    "what did not change is shared",
    [seeds],
    ([seed]) => {
      const roll = dice(seed)
      const items = follow(roll, container(roll, { depth: 4 }, true))
      for (let i = 1; i < items.length; i++) {
        const [before, after] = [items[i - 1]!.value as Json, items[i]!.value as Json]
        for (const path of pathsIn(before)) {
          const old = at(before, path)
          if (typeof old !== "object" || old === null) continue
          if (show(old) === show(at(after, path)) && items[i - 1]!._tag === "Partial") {
            const partial = items[i - 1] as JsonStream.Partial<Json>
            if (partial.isComplete(path)) assert.strictEqual(at(after, path), old)
          }
        }
      }
    },
    runs(300)
  )
})
