import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Data, Effect, Exit, Fiber, Result, Schema, SchemaGetter, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as JsonStream from "../../src/json/JsonStream.ts"
import type * as JsonStreamParser from "../../src/json/JsonStreamParser.ts"
import * as StreamError from "../../src/StreamError.ts"
import * as StreamEvent from "../../src/StreamEvent.ts"
import * as StreamTest from "../../src/testing/StreamTest.ts"
import { collect, fromPulls, pulls, reasonOf } from "../support/run.ts"

/** One character a pull, as a text that streams. */
const typed = (text: string) => fromPulls(text.split("").map((unit) => [unit]))

const collected = <A, E>(stream: Stream.Stream<A, E>): ReadonlyArray<A> => Effect.runSync(Stream.runCollect(stream))

const Recipe = Schema.Struct({
  title: Schema.String,
  level: Schema.Literals(["easy", "hard"]),
  serves: Schema.Number,
  steps: Schema.Array(Schema.String)
})
const recipe = { title: "Dumplings", level: "easy", serves: 4, steps: ["Fold", "Boil"] } as const
const recipeText = JSON.stringify(recipe)

class Lost extends Data.TaggedError("Lost")<{}> {}

describe("values", () => {
  it("are given as soon as they are whole", () => {
    const stream = fromPulls([["Here: {", '"a": 1', "} "], ["and"], ['["b"]{"c":', "2}"], ["{"]])
    assert.deepStrictEqual(Effect.runSync(pulls(JsonStream.values(stream))), [[{ a: 1 }], [["b"], { c: 2 }]])
    assert.deepStrictEqual(collected(stream.pipe(JsonStream.values({ roots: "arrays" }))), [["b"]])
    assert.deepStrictEqual(collected(JsonStream.values(stream, { roots: "objects" })), [{ a: 1 }, { c: 2 }])
  })

  it.effect("come before a failure of their stream, whatever it is", () =>
    Effect.gen(function* () {
      const { events, failure } = yield* collect(
        fromPulls([['{"a":1}', '{"b":']], new Lost()).pipe(JsonStream.values())
      )
      assert.deepStrictEqual(events, [{ a: 1 }])
      assert.instanceOf(failure, Lost)
    })
  )

  it.effect("come before an error in the text", () =>
    Effect.gen(function* () {
      const text = fromPulls([['{"a":1}', "{oops}", '{"b":2}']])
      const { events, failure } = yield* collect(text.pipe(JsonStream.values({ onMalformed: "fail" })))
      assert.deepStrictEqual(events, [{ a: 1 }])
      assert.strictEqual(reasonOf(failure, "InvalidJson").offset, 8)
      const deep = yield* collect(fromPulls([["{}", "[".repeat(1_001)]]).pipe(JsonStream.values()))
      assert.deepStrictEqual(deep.events, [{}])
      assert.strictEqual(reasonOf(deep.failure, "BudgetExceeded").limit, 1_000)
      const long = yield* collect(fromPulls([['{"a":', '"bcdefgh"}']]).pipe(JsonStream.values({ maxSize: 10 })))
      assert.deepStrictEqual(reasonOf(long.failure, "BufferOverflow"), { _tag: "BufferOverflow", limit: 10, size: 11 })
    })
  )

  it.effect("are one document in strict mode", () =>
    Effect.gen(function* () {
      const strict = JsonStream.values({ strict: true })
      assert.deepStrictEqual(collected(fromPulls([["4", "2"]]).pipe(strict)), [42])
      const cut = yield* collect(fromPulls([["[1", ","]]).pipe(strict))
      assert.deepStrictEqual([cut.events, cut.failure?.reason._tag], [[], "Truncated"])
      const more = yield* collect(fromPulls([["[1] 2"]]).pipe(strict))
      assert.deepStrictEqual([more.events, more.failure?.reason._tag], [[[1]], "InvalidJson"])
      // What ended before its end is no text that stops.
      const lost = yield* collect(fromPulls([["[1", ","]], new Lost()).pipe(strict))
      assert.instanceOf(lost.failure, Lost)
    })
  )

  it("need possible options", () => {
    assert.throws(() => JsonStream.values({ maxDepth: 0 }), RangeError, "maxDepth")
    assert.throws(() => JsonStream.decode(Recipe, { maxSize: 0.5 }), RangeError, "maxSize")
    assert.throws(() => JsonStream.partials(Recipe, { maxSize: 0 }), RangeError, "maxSize")
    assert.throws(() => JsonStream.deltas({ maxSize: 0 }), RangeError, "maxSize")
    assert.throws(() => JsonStream.run(Recipe, { maxSize: 0 }), RangeError, "maxSize")
    assert.throws(() => JsonStream.collect(Recipe, { maxSize: 0 }), RangeError, "maxSize")
    assert.throws(() => JsonStream.toolArguments("a", Recipe, { maxSize: 0 }), RangeError, "maxSize")
  })
})

class User extends Schema.Class<User>("User")({ name: Schema.String, born: Schema.DateFromString }) {}

class Names extends Context.Service<Names, { readonly find: (id: number) => Effect.Effect<string> }>()("Names") {}

const NameOf = Schema.Number.pipe(
  Schema.decodeTo(Schema.String, {
    decode: SchemaGetter.transformEffect((id: number) => Effect.flatMap(Names, (names) => names.find(id))),
    encode: SchemaGetter.transform(() => 0)
  })
)

interface Tree {
  readonly label: string
  readonly children: ReadonlyArray<Tree>
}
const Tree = Schema.Struct({
  label: Schema.String,
  children: Schema.Array(Schema.suspend((): Schema.Codec<Tree> => Tree))
})

describe("decode", () => {
  it("decodes what a schema can say", () => {
    const one = <S extends Schema.ConstraintDecoder<unknown>>(schema: S, text: string): S["Type"] =>
      collected(typed(text).pipe(JsonStream.decode(schema)))[0]
    const user = one(User, '{"name": "Ada", "born": "1815-12-10"}')
    assert.instanceOf(user, User)
    assert.strictEqual(user.born.getUTCFullYear(), 1815)
    const withDefault = Schema.Struct({ lang: Schema.String.pipe(Schema.withDecodingDefault(Effect.succeed("en"))) })
    assert.deepStrictEqual(one(withDefault, "{}"), { lang: "en" })
    const tree = { label: "a", children: [{ label: "b", children: [] }] }
    assert.deepStrictEqual(one(Tree, JSON.stringify(tree)), tree)
    const shape = Schema.Union([
      Schema.Struct({ kind: Schema.Literal("circle"), radius: Schema.Number }),
      Schema.Struct({ kind: Schema.Literal("square"), side: Schema.NumberFromString })
    ])
    assert.deepStrictEqual(one(shape, '{"kind": "square", "side": "2"}'), { kind: "square", side: 2 })
    assert.deepStrictEqual(one(Schema.Array(Schema.Number), "[1, 2]"), [1, 2])
    assert.deepStrictEqual(one(Schema.Array(Recipe), "None: []"), [])
    assert.strictEqual(one(Schema.NumberFromString, ' "12" '), 12)
    assert.strictEqual(one(Schema.NullOr(Schema.Boolean), "null"), null)
  })

  it("takes for values what the schema can be about", () => {
    const prose = 'As [1] says, [{"a": [2]}] and {"n": 3} and [4, 5] hold.'
    const found = (schema: Schema.ConstraintDecoder<unknown>, options?: JsonStreamParser.Options) =>
      collected(fromPulls([[prose]]).pipe(JsonStream.decode(schema, { ...options, onMismatch: "skip" })))
    const A = Schema.Struct({ a: Schema.Array(Schema.Number) })
    const N = Schema.Struct({ n: Schema.Number })
    assert.deepStrictEqual(found(N), [{ n: 3 }])
    assert.deepStrictEqual(found(Schema.Array(A)), [[{ a: [2] }]])
    assert.deepStrictEqual(found(Schema.Union([N, Schema.Array(A)])), [[{ a: [2] }], { n: 3 }])
    assert.deepStrictEqual(found(Schema.Array(Schema.Number)), [[1], [4, 5]])
    assert.deepStrictEqual(found(Schema.Json), [[{ a: [2] }], { n: 3 }])
    assert.deepStrictEqual(found(Schema.Array(Schema.Unknown), { roots: "objects" }), [])
    // A citation is no value that does not fit.
    assert.deepStrictEqual(collected(fromPulls([[prose]]).pipe(JsonStream.decode(Schema.Array(A)))), [[{ a: [2] }]])
  })

  it.effect("fails at a value that does not fit, behind those before it", () =>
    Effect.gen(function* () {
      const text = fromPulls([[recipeText, '{"title": 1}', recipeText]])
      const { events, failure } = yield* collect(JsonStream.decode(text, Recipe))
      assert.deepStrictEqual(events, [recipe])
      const reason = reasonOf(failure, "SchemaMismatch")
      assert.deepStrictEqual(reason, { _tag: "SchemaMismatch", path: ["title"], issue: "Expected string" })
      assert.strictEqual(failure?.message, "Value does not fit the schema in /title: Expected string")
    })
  )

  it("leaves a value that does not fit out, or puts the error in its place", () => {
    const text = fromPulls([['{"n": 1}{"n": "secret"}{"m": 3}', '{"n": 4}']])
    const N = Schema.Struct({ n: Schema.Number })
    assert.deepStrictEqual(collected(text.pipe(JsonStream.decode(N, { onMismatch: "skip" }))), [{ n: 1 }, { n: 4 }])
    const results = collected(text.pipe(JsonStream.decode(N, { onMismatch: "result" })))
    assert.deepStrictEqual(
      results.map((result) =>
        Result.isSuccess(result) ? result.success.n : `${result.failure.reason.path} ${result.failure.reason.issue}`
      ),
      [1, "n Expected number", "n Missing key", 4]
    )
    assert.notInclude(JSON.stringify(results), "secret")
  })

  it.effect("runs effects of the schema with its services, one after the other, and holds nothing back for them", () =>
    Effect.gen(function* () {
      const asked: Array<number> = []
      const names = Names.of({
        find: (id) =>
          Effect.sleep("1 second").pipe(
            Effect.map(() => `name ${id}`),
            Effect.tap(() => Effect.sync(() => asked.push(id)))
          )
      })
      const schema = Schema.Union([Schema.Struct({ id: NameOf }), Schema.Struct({ n: Schema.Number })])
      const text = fromPulls([['{"n":1}{"id":7}{"n":2}{"n":3}{"id":8}{"id":9}']])
      const seen: Array<unknown> = []
      const fiber = yield* text.pipe(
        JsonStream.decode(schema),
        Stream.runForEachArray((values) => Effect.sync(() => seen.push(values))),
        Effect.provideService(Names, names),
        Effect.forkChild
      )
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(seen, [[{ n: 1 }]])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(seen.slice(1), [[{ id: "name 7" }], [{ n: 2 }, { n: 3 }]])
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(seen.slice(3), [[{ id: "name 8" }], [{ id: "name 9" }]])
      assert.deepStrictEqual(asked, [7, 8, 9])
    })
  )

  it.effect("fails at an effect that refuses", () =>
    Effect.gen(function* () {
      const Checked = Schema.Struct({
        id: Schema.Number.pipe(
          Schema.decode({
            decode: SchemaGetter.checkEffect((id: number) => Effect.as(Effect.yieldNow, id < 3)),
            encode: SchemaGetter.passthrough()
          })
        )
      })
      const text = fromPulls([['{"id":1}{"id":2}{"id":3}{"id":1}']])
      const { events, failure } = yield* collect(text.pipe(JsonStream.decode(Checked)))
      assert.deepStrictEqual(events, [{ id: 1 }, { id: 2 }])
      assert.deepStrictEqual(reasonOf(failure, "SchemaMismatch").path, ["id"])
      assert.deepStrictEqual(collected(text.pipe(JsonStream.decode(Checked, { onMismatch: "skip" }))), [
        { id: 1 },
        { id: 2 },
        { id: 1 }
      ])
    })
  )

  it.effect("dies of a defect in the schema", () =>
    Effect.gen(function* () {
      const Broken = Schema.Struct({
        a: Schema.String.pipe(
          Schema.decodeTo(Schema.String, {
            decode: SchemaGetter.transformEffect((): Effect.Effect<string> => Effect.die("boom")),
            encode: SchemaGetter.passthrough()
          })
        )
      })
      const exit = yield* Effect.exit(Stream.runDrain(typed('{"a":""}').pipe(JsonStream.decode(Broken))))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
    })
  )
})

describe("elements", () => {
  const N = Schema.Struct({ n: Schema.Number })

  it("are given while their array is open", () => {
    const text = fromPulls([['{"x": [{"n": 0}], "items": [{"n"'], [": 1}, {", '"n": 2}, {"n": 3'], ["}"], ["]}"]])
    const elements = Effect.runSync(pulls(text.pipe(JsonStream.elements(N, { pointer: "/items" }))))
    assert.deepStrictEqual(elements, [[{ n: 1 }, { n: 2 }], [{ n: 3 }]])
  })

  it("are those of the pointer", () => {
    const text = fromPulls([
      ['{"a/b": {"~": [{"n": 1}]}, "pages": [{"items": [{"n": 2}]}, {"items": [{"n": 3}, {"n": 4}], "n": [{"n": 5}]}]}']
    ])
    const at = (pointer: string) => collected(JsonStream.elements(text, N, { pointer })).map(({ n }) => n)
    assert.deepStrictEqual(at("/a~1b/~0"), [1])
    assert.deepStrictEqual(at("/pages/*/items"), [2, 3, 4])
    assert.deepStrictEqual(at("/pages/1/*"), [3, 4, 5])
    assert.deepStrictEqual(at("/nowhere"), [])
    assert.deepStrictEqual(at("/a~1b"), [])
    assert.deepStrictEqual(at(""), [])
    for (const pointer of ["items", "/a~", "/~2", "#/a"]) {
      assert.throws(() => JsonStream.elements(N, { pointer }), RangeError, "pointer must be a JSON Pointer")
    }
  })

  it("of top-level arrays are not made of citations, unless they could be", () => {
    const text = fromPulls([['See [1]: [{"n": 2}, {"n": 3}] and [4, 5]']])
    assert.deepStrictEqual(collected(text.pipe(JsonStream.elements(N))), [{ n: 2 }, { n: 3 }])
    const numbers = text.pipe(JsonStream.elements(Schema.Number, { onMismatch: "skip" }))
    assert.deepStrictEqual(collected(numbers), [1, 4, 5])
  })

  it.effect("that do not fit are named by their path", () =>
    Effect.gen(function* () {
      const text = fromPulls([['{"items": [{"n": 1}, {"n": "2"}, {"n": 3}]}']])
      const { events, failure } = yield* collect(text.pipe(JsonStream.elements(N, { pointer: "/items" })))
      assert.deepStrictEqual(events, [{ n: 1 }])
      assert.deepStrictEqual(reasonOf(failure, "SchemaMismatch").path, ["items", 1, "n"])
      const all = collected(text.pipe(JsonStream.elements(N, { pointer: "/items", onMismatch: "result" })))
      assert.deepStrictEqual(all.map(Result.isSuccess), [true, false, true])
    })
  )

  it.effect("are limited each by itself", () =>
    Effect.gen(function* () {
      const array = `[${Array.from({ length: 1_000 }, (_, n) => `{"n":${n}}`).join()}]`
      const { events, failure } = yield* collect(fromPulls([[array]]).pipe(JsonStream.elements(N, { maxSize: 20 })))
      assert.isUndefined(failure)
      assert.strictEqual(events.length, 1_000)
      const long = fromPulls([['[{"n":1},{"n":1,"more":"too much"}']])
      const cut = yield* collect(long.pipe(JsonStream.elements(N, { maxSize: 20 })))
      assert.deepStrictEqual(cut.events, [{ n: 1 }])
      assert.strictEqual(cut.failure?.reason._tag, "BufferOverflow")
    })
  )
})

describe("deltas", () => {
  const deltas = (chunks: ReadonlyArray<ReadonlyArray<string>>, options?: JsonStreamParser.Options) =>
    Effect.runSync(pulls(fromPulls(chunks).pipe(JsonStream.deltas(options))))

  it("say what begins, what goes on and what is whole", () => {
    assert.deepStrictEqual(deltas([['{"a": ["x'], ["y", "z"], ['", 1, true], "b"', ': ""}']]), [
      [
        { path: [], open: "object" },
        { path: ["a"], open: "array" },
        { path: ["a", 0], append: "x" }
      ],
      [{ path: ["a", 0], append: "yz" }],
      [
        { path: ["a", 0], value: "xyz" },
        { path: ["a", 1], value: 1 },
        { path: ["a", 2], value: true },
        { path: ["a"], value: ["xyz", 1, true] },
        { path: ["b"], append: "" },
        { path: ["b"], value: "" },
        { path: [], value: { a: ["xyz", 1, true], b: "" } }
      ]
    ])
  })

  it("take back what turns out to be none", () => {
    assert.deepStrictEqual(deltas([['{"a": "b', 'c", oops'], ['{"a":1}']]), [
      [
        { path: [], open: "object" },
        { path: ["a"], append: "bc" },
        { path: ["a"], value: "bc" },
        { path: [], drop: true }
      ],
      [
        { path: [], open: "object" },
        { path: ["a"], value: 1 },
        { path: [], value: { a: 1 } }
      ]
    ])
  })

  it("begin again with each value, and just end where the text does", () => {
    assert.deepStrictEqual(deltas([["{}[[]]"], ['{"a": [1, "b']]), [
      [
        { path: [], open: "object" },
        { path: [], value: {} },
        { path: [], open: "array" },
        { path: [0], open: "array" },
        { path: [0], value: [] },
        { path: [], value: [[]] }
      ],
      [
        { path: [], open: "object" },
        { path: ["a"], open: "array" },
        { path: ["a", 0], value: 1 },
        { path: ["a", 1], append: "b" }
      ]
    ])
    assert.deepStrictEqual(deltas([['"a'], ['b"']], { strict: true }), [
      [{ path: [], append: "a" }],
      [
        { path: [], append: "b" },
        { path: [], value: "ab" }
      ]
    ])
  })

  it.effect("come before a failure", () =>
    Effect.gen(function* () {
      const text = fromPulls([['{"a": 1, oops']])
      const { events, failure } = yield* collect(text.pipe(JsonStream.deltas({ onMalformed: "fail" })))
      assert.deepStrictEqual(events, [
        { path: [], open: "object" },
        { path: ["a"], value: 1 }
      ])
      assert.strictEqual(failure?.reason._tag, "InvalidJson")
    })
  )
})

describe("run and collect", () => {
  const fails = <A, E>(effect: Effect.Effect<A, E>): E => Effect.runSync(Effect.flip(effect))
  const both = [
    ["run", (text: Stream.Stream<string>) => JsonStream.run(text, Recipe)],
    ["collect", (text: Stream.Stream<string>) => Stream.run(text, JsonStream.collect(Recipe))]
  ] as const

  for (const [name, one] of both) {
    it(`${name}: gives the first value`, () => {
      assert.deepStrictEqual(Effect.runSync(one(typed(`Sure [1]: ${recipeText}. Or {"title": 1}`))), recipe)
    })

    it(`${name}: fails with what had arrived at each place where a text can be cut`, () => {
      for (let length = 0; length < recipeText.length; length++) {
        const error = fails(one(typed(recipeText.slice(0, length))))
        const { expected } = reasonOf(error, "Truncated")
        assert.strictEqual(expected, length === 0 ? "a JSON value" : "the end of the JSON value")
        const partial = error.partial?.json as Partial<typeof recipe> | undefined
        assert.strictEqual(partial === undefined, length === 0)
        assert.isTrue(recipe.title.startsWith(partial?.title ?? ""))
        if (partial?.level !== undefined) assert.strictEqual(partial.level, "easy")
        if (partial?.serves !== undefined) assert.strictEqual(partial.serves, 4)
      }
      assert.isUndefined(fails(one(typed("I cannot do that."))).partial)
    })

    it(`${name}: fails at once where the value can no longer fit`, () => {
      let read = 0
      const text = Stream.tap(typed('{"title": 1, "level": "easy"}'), () => Effect.sync(() => read++))
      const error = fails(one(text))
      assert.deepStrictEqual(reasonOf(error, "SchemaMismatch").path, ["title"])
      assert.deepStrictEqual(error.partial?.json, { title: 1 })
      assert.strictEqual(read, '{"title": 1,'.length)
    })

    it(`${name}: carries what does not fit, also where it was hidden`, () => {
      const error = fails(one(fromPulls([['{"title": "a", "level": "med'], ['ium"}']])))
      assert.deepStrictEqual(reasonOf(error, "SchemaMismatch").path, ["level"])
      assert.deepStrictEqual(error.partial?.json, { title: "a", level: "med" })
    })

    it(`${name}: carries a whole value that does not fit`, () => {
      const error = fails(one(typed('{"title": "a", "level": "easy"}')))
      assert.deepStrictEqual(reasonOf(error, "SchemaMismatch"), {
        _tag: "SchemaMismatch",
        path: ["serves"],
        issue: "Missing key"
      })
      assert.deepStrictEqual(error.partial?.json, { title: "a", level: "easy" })
    })
  }

  it("pass over what does not fit, if told to", () => {
    const text = typed(`{"a": 1} {"title": 2} ${recipeText}`)
    assert.deepStrictEqual(Effect.runSync(text.pipe(JsonStream.run(Recipe, { onMismatch: "skip" }))), recipe)
    const error = fails(typed('{"a": 1}').pipe(JsonStream.run(Recipe, { onMismatch: "skip" })))
    assert.strictEqual(error.reason._tag, "Truncated")
  })

  it("read a text to its end", () => {
    let ended = false
    const text = Stream.concat(typed(recipeText), Stream.fromEffect(Effect.sync(() => ((ended = true), "."))))
    Effect.runSync(JsonStream.run(text, Recipe))
    assert.isTrue(ended)
    ended = false
    Effect.runSync(Stream.run(text, JsonStream.collect(Recipe)))
    assert.isTrue(ended)
  })

  it("need one document in strict mode, and take scalars for one", () => {
    const strict = JsonStream.run(Recipe, { strict: true })
    assert.deepStrictEqual(Effect.runSync(typed(` ${recipeText}\n`).pipe(strict)), recipe)
    assert.strictEqual(fails(typed(`${recipeText}.`).pipe(strict)).reason._tag, "InvalidJson")
    assert.strictEqual(fails(typed(`Sure: ${recipeText}`).pipe(strict)).reason._tag, "InvalidJson")
    assert.strictEqual(Effect.runSync(typed("42").pipe(JsonStream.run(Schema.Number))), 42)
    assert.strictEqual(fails(typed("").pipe(JsonStream.run(Schema.Number))).reason._tag, "Truncated")
    assert.strictEqual(fails(typed('"cut').pipe(JsonStream.run(Schema.String))).partial?.json, "cut")
  })

  it("say what is wrong with the text", () => {
    const deep = fails(typed('{"title": '.repeat(1_001)).pipe(JsonStream.run(Schema.Json)))
    assert.strictEqual(reasonOf(deep, "BudgetExceeded").limit, 1_000)
    const long = fails(typed(recipeText).pipe(JsonStream.run(Recipe, { maxSize: 30 })))
    assert.deepStrictEqual(reasonOf(long, "BufferOverflow"), { _tag: "BufferOverflow", limit: 30, size: 31 })
    assert.deepStrictEqual(long.partial?.json, { title: "Dumplings" })
    // Behind the value nothing matters.
    assert.deepStrictEqual(
      Effect.runSync(typed(`${recipeText}${"[".repeat(1_001)}`).pipe(JsonStream.run(Recipe))),
      recipe
    )
  })

  it.effect("put what had arrived into a failure of their stream", () =>
    Effect.gen(function* () {
      const reset = StreamError.make({ _tag: "SourceFailure", cause: "reset" })
      const error = yield* Effect.flip(fromPulls([[recipeText.slice(0, 20)]], reset).pipe(JsonStream.run(Recipe)))
      assert.strictEqual(error.reason._tag, "SourceFailure")
      assert.deepStrictEqual(error.partial, { json: { title: "Dumplings" } })
      assert.isUndefined(reset.partial)
      assert.notInclude(JSON.stringify(error) + error.message, "Dumplings")
      const lost = yield* Effect.flip(fromPulls([[recipeText.slice(0, 20)]], new Lost()).pipe(JsonStream.run(Recipe)))
      assert.instanceOf(lost, Lost)
    })
  )

  it.effect("decode with services", () =>
    Effect.gen(function* () {
      const names = Names.of({ find: (id) => Effect.succeed(`name ${id}`) })
      const text = typed('{"id": 7}')
      const value = yield* Stream.run(text, JsonStream.collect(Schema.Struct({ id: NameOf }))).pipe(
        Effect.provideService(Names, names)
      )
      assert.deepStrictEqual(value, { id: "name 7" })
    })
  )
})

describe("with events", () => {
  it("reads the answer of a model", () => {
    const answer = StreamTest.answer(["Here: {", '"title": "D', 'umplings"', "}"])
    const Title = Schema.Struct({ title: Schema.String })
    const growing = collected(answer.pipe(StreamEvent.text, JsonStream.partials(Title)))
    assert.deepStrictEqual(
      growing.map(({ value }) => value),
      [{ title: "D" }, { title: "Dumplings" }, { title: "Dumplings" }]
    )
  })
})

describe("toolArguments", () => {
  const Weather = Schema.Struct({ city: Schema.String, days: Schema.Number })
  const delta = (id: string, text: string, name = "get_weather") => StreamEvent.toolCallDelta(0, id, name, text)
  const call = (id: string, argumentsText: string, name = "get_weather") =>
    StreamEvent.toolCall(0, { id, name, argumentsText, input: JSON.parse(argumentsText) })
  const read = (...chunks: ReadonlyArray<ReadonlyArray<StreamEvent.StreamEvent>>) => {
    const { events, failure } = Effect.runSync(
      collect(fromPulls(chunks).pipe(JsonStream.toolArguments("get_weather", Weather)))
    )
    return [
      events.map((item) => `${item.id} ${item.arguments._tag} ${JSON.stringify(item.arguments.value)}`),
      failure?.message
    ]
  }

  it("follows each call by its id, and no other tool", () => {
    assert.deepStrictEqual(
      read(
        [StreamEvent.start(0), StreamEvent.delta(0, "Let me see.")],
        [delta("a", '{"city": "Os'), delta("b", '{"ci'), delta("c", '{"city": "X', "other")],
        [delta("b", 'ty": "Bergen", "days": 3}'), delta("a", "lo")],
        [delta("a", '", "days": 1}'), call("a", '{"city": "Oslo", "days": 1}')],
        [call("b", '{"city": "Bergen", "days": 3}'), call("c", "{}", "other"), StreamEvent.end(0, "tool-calls")]
      ),
      [
        [
          'a Partial {"city":"Os"}',
          'b Complete {"city":"Bergen","days":3}',
          'a Partial {"city":"Oslo"}',
          'a Complete {"city":"Oslo","days":1}'
        ],
        undefined
      ]
    )
  })

  it("takes calls that come whole, or end before their text says so", () => {
    assert.deepStrictEqual(
      read([call("a", '{"city": "Oslo", "days": 1}')], [delta("b", ""), call("b", '{"city": "Bergen", "days": 2}')])[0],
      ['a Complete {"city":"Oslo","days":1}', 'b Complete {"city":"Bergen","days":2}']
    )
  })

  it("fails where a call is not whole in the end, and where its arguments cannot fit", () => {
    assert.deepStrictEqual(read([delta("a", '{"city": "Os')], [StreamEvent.end(0)]), [
      ['a Partial {"city":"Os"}'],
      "The stream ended before the arguments of tool call a (get_weather) were whole"
    ])
    assert.deepStrictEqual(read([delta("a", '{"city": 1, ')]), [
      [],
      "Value does not fit the schema in /city: Expected string"
    ])
    assert.deepStrictEqual(read([delta("a", '{"city": "Oslo", days')]), [
      ['a Partial {"city":"Oslo"}'],
      "Invalid JSON at offset 17: expected a key"
    ])
    // A failure that is shown in the events is not followed by another.
    const shown = StreamEvent.error(0, StreamError.make({ _tag: "Truncated", expected: "a finish reason" }))
    assert.deepStrictEqual(read([delta("a", '{"city": "Os')], [shown]), [['a Partial {"city":"Os"}'], undefined])
    assert.isUndefined(read([delta("a", '{"city": "Oslo", "days": 1}')])[1])
  })

  it("tells of a call that does not fit, and goes on", () => {
    const events = fromPulls([
      [delta("a", '{"city": 1, "days": 1}'), call("a", '{"city": 1, "days": 1}')],
      [call("b", '{"city": "", "days": 2}')]
    ])
    const told = collected(JsonStream.toolArguments(events, "get_weather", Weather, { onMismatch: "result" }))
    assert.deepStrictEqual(
      told.map((item) => [item.id, item.arguments._tag]),
      [
        ["a", "Mismatch"],
        ["b", "Complete"]
      ]
    )
  })
})

describe("types", () => {
  type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
  /** Fails to compile if the types are not the same. */
  const same = <_ extends true>(): void => {}

  it("of partials are those of what is encoded, with all fields optional", () => {
    type Tag = string & { readonly brand: "Tag" }
    interface Encoded {
      readonly title: Tag
      readonly level: "easy" | "hard"
      readonly note?: string | undefined
      readonly pair: readonly [string, number]
      readonly steps: readonly [{ readonly text: string }, ...Array<{ readonly text: string }>]
      readonly extra: { readonly [key: string]: ReadonlyArray<number> }
      readonly shape: { readonly kind: "a"; readonly x: number } | null
      readonly any: unknown
    }
    interface Expected {
      readonly title?: Tag
      readonly level?: "easy" | "hard"
      readonly note?: string | undefined
      readonly pair?: readonly [string?, number?]
      readonly steps?: ReadonlyArray<{ readonly text?: string }>
      readonly extra?: { readonly [key: string]: ReadonlyArray<number> }
      readonly shape?: { readonly kind?: "a"; readonly x?: number } | null
      readonly any?: unknown
    }
    const expected: Expected = {} as JsonStream.DeepPartial<Encoded>
    const given: JsonStream.DeepPartial<Encoded> = expected
    assert.deepStrictEqual(given, {})
    same<Same<JsonStream.DeepPartial<Encoded>["level"], "easy" | "hard" | undefined>>()
    same<Same<JsonStream.DeepPartial<string>, string>>()
  })

  it("of failures name what can happen, and of services what the schema needs", () => {
    type ErrorOf<A> = A extends Stream.Stream<infer _A, infer E, infer _R> ? E : never
    type Mismatch = JsonStream.MismatchError
    const text = typed("") as Stream.Stream<string, Lost>
    const fails = text.pipe(JsonStream.decode(Recipe))
    const skips = text.pipe(JsonStream.decode(Recipe, { onMismatch: "skip" }))
    const tells = JsonStream.decode(text, Recipe, { onMismatch: "result" })
    const needs = text.pipe(JsonStream.partials(Schema.Struct({ id: NameOf })))
    same<Same<ErrorOf<typeof fails>, Lost | JsonStreamParser.JsonError | Mismatch>>()
    same<Same<ErrorOf<typeof skips>, Lost | JsonStreamParser.JsonError>>()
    same<
      Same<
        typeof tells extends Stream.Stream<infer A, infer _E, infer _R> ? A : never,
        Result.Result<typeof Recipe.Type, Mismatch>
      >
    >()
    same<Same<typeof needs extends Stream.Stream<infer _A, infer _E, infer R> ? R : never, Names>>()
    // @ts-expect-error A value that does not fit cannot be a result of `run`, which gives one value.
    JsonStream.run(Recipe, { onMismatch: "result" })
  })
})
