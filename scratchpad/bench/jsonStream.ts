/**
 * The JSON operators beside the synchronous engine that they run on, and beside Effect's own streaming JSON.
 *
 * Run: `node --expose-gc scratchpad/bench/jsonStream.ts [words of group names]`
 *
 * @since 0.1.0
 */
import { Array as Arr, Cause, Effect, Schema, Stream } from "effect"
import { JsonArray, Ndjson } from "effect/encoding"
import { JsonEngine } from "../../src/internal/jsonEngine.ts"
import * as JsonStream from "../../src/json/JsonStream.ts"
import { bench, type Group, type Job } from "./harness.ts"
import { inArrays, makeTokens } from "./tokens.ts"

const words = makeTokens(200_000)
let word = 0
const prose = (count: number): string =>
  Array.from({ length: count }, () => words[word++ % words.length]!)
    .join("")
    .trim()

const item = (id: number) => ({
  id,
  title: prose(6),
  summary: `${prose(40)}\n"${prose(3)}"`,
  level: id % 2 === 0 ? "easy" : "hard",
  tags: [prose(1), prose(1)],
  score: Math.round(id * 1234.5) / 100,
  owner: id % 5 === 0 ? null : { name: prose(2), isReal: true },
  steps: Array.from({ length: 3 }, (_, n) => ({ n, text: prose(15) }))
})

const Item = Schema.Struct({
  id: Schema.Number,
  title: Schema.String,
  summary: Schema.String,
  level: Schema.Literals(["easy", "hard"]),
  tags: Schema.Array(Schema.String),
  score: Schema.Number,
  owner: Schema.NullOr(Schema.Struct({ name: Schema.String, isReal: Schema.Boolean })),
  steps: Schema.Array(Schema.Struct({ n: Schema.Number, text: Schema.String }))
})
const Document = Schema.Struct({ title: Schema.String, items: Schema.Array(Item) })

/** An indented document of about this many code units, as a model writes it. */
const documentOf = (size: number): string => {
  const items: Array<unknown> = []
  for (let length = 0; length < size; length += JSON.stringify(items.at(-1), undefined, 2).length + 50) {
    items.push(item(items.length))
  }
  return JSON.stringify({ title: prose(6), items }, undefined, 2)
}

const cut = (text: string, size: number): ReadonlyArray<string> => {
  const chunks: Array<string> = []
  // Made anew, as chunks from a network are: a slice would keep the text.
  for (let at = 0; at < text.length; at += size) chunks.push(Buffer.from(text.slice(at, at + size)).toString())
  return chunks
}

let sink: unknown

const core = (tokens: ReadonlyArray<string>, each?: (engine: JsonEngine) => void) => (): void => {
  const engine = new JsonEngine()
  for (const token of tokens) {
    engine.feed(token)
    if (each !== undefined) each(engine)
    if (engine.hasCompleteValues) sink = engine.takeValues()
  }
  engine.end()
}

/** Pulls that cost as little as can be: what is measured is behind them. */
const fromArrays = (arrays: ReadonlyArray<ReadonlyArray<string>>): Stream.Stream<string> =>
  Stream.fromPull(
    Effect.sync(() => {
      let index = 0
      return Effect.suspend(() => {
        const array = arrays[index++]
        return array !== undefined && Arr.isReadonlyArrayNonEmpty(array) ? Effect.succeed(array) : Cause.done()
      })
    })
  )

const stream = <A, E>(
  pulls: ReadonlyArray<ReadonlyArray<string>>,
  operator: (text: Stream.Stream<string>) => Stream.Stream<A, E>
) => {
  const program = operator(fromArrays(pulls)).pipe(
    Stream.runForEachArray((items) => {
      sink = items
      return Effect.void
    })
  )
  return () => Effect.runPromise(program)
}

const operators = (pulls: ReadonlyArray<ReadonlyArray<string>>): ReadonlyArray<Job> => [
  { name: "stream alone", run: stream(pulls, (text) => text) },
  { name: "values", run: stream(pulls, JsonStream.values()) },
  { name: "decode", run: stream(pulls, JsonStream.decode(Document)) },
  { name: "elements of /items", run: stream(pulls, JsonStream.elements(Item, { pointer: "/items" })) },
  { name: "partials, any", run: stream(pulls, JsonStream.partials(Schema.Unknown)) },
  { name: "partials of the schema", run: stream(pulls, JsonStream.partials(Document)) },
  { name: "deltas", run: stream(pulls, JsonStream.deltas()) },
  {
    name: "run",
    run: () => Effect.runPromise(JsonStream.run(fromArrays(pulls), Document)).then((value) => (sink = value))
  }
]

const documents: ReadonlyArray<Group> = [1e4, 1e5, 1e6].flatMap((size) => {
  const tokens = cut(documentOf(size), 4)
  return [1, 64].map((perPull) => {
    const pulls = inArrays(tokens, perPull)
    return {
      name: `document, ${size} code units, ${perPull} tokens per pull`,
      baseline: "core, partial at each token",
      differing: true,
      work: { tokens: tokens.length },
      jobs: [
        { name: "core, partial at each token", run: core(tokens, (engine) => (sink = engine.partialUnsafe)) },
        { name: "core, value only", run: core(tokens) },
        ...operators(pulls),
        {
          name: "effect JsonArray, text in [ ]",
          run: stream([["["], ...pulls, ["]"]], (text) => Stream.pipeThroughChannel(text, JsonArray.decodeString()))
        }
      ]
    }
  })
})

const rows: ReadonlyArray<Group> = [1, 64].map((perPull) => {
  const text = Array.from({ length: 5_000 }, (_, id) => JSON.stringify({ id, name: prose(3), text: prose(30) })).join(
    "\n"
  )
  const Row = Schema.Struct({ id: Schema.Number, name: Schema.String, text: Schema.String })
  const tokens = cut(text, 4)
  const pulls = inArrays(tokens, perPull)
  return {
    name: `5000 rows, ${perPull} tokens per pull`,
    baseline: "core, value only",
    differing: true,
    work: { rows: 5_000 },
    jobs: [
      { name: "core, value only", run: core(tokens) },
      { name: "values", run: stream(pulls, JsonStream.values()) },
      { name: "decode", run: stream(pulls, JsonStream.decode(Row)) },
      { name: "partials", run: stream(pulls, JsonStream.partials(Row)) },
      {
        name: "effect Ndjson",
        run: stream(pulls, (text) => Stream.pipeThroughChannel(text, Ndjson.decodeString()))
      }
    ]
  }
})

/** A wide value: here the snapshots are what costs. */
const wide = (name: string, text: string, schema: Schema.ConstraintDecoder<unknown>): Group => {
  const tokens = cut(text, 4)
  const pulls = inArrays(tokens, 1)
  return {
    name: `${name}, 1 token per pull`,
    baseline: "values",
    differing: true,
    rounds: 5,
    work: { tokens: tokens.length },
    jobs: [
      { name: "values", run: stream(pulls, JsonStream.values({ roots: "all" })) },
      { name: "partials", run: stream(pulls, JsonStream.partials(schema)) }
    ]
  }
}
const wideGroups: ReadonlyArray<Group> = [
  wide(
    "100,000 numbers",
    JSON.stringify(Array.from({ length: 100_000 }, (_, i) => i * 7)),
    Schema.Array(Schema.Number)
  ),
  wide(
    "50,000 keys",
    JSON.stringify(Object.fromEntries(Array.from({ length: 50_000 }, (_, i) => [`key ${i}`, i]))),
    Schema.Record(Schema.String, Schema.Number)
  ),
  wide("a document of 1,000,000", documentOf(1e6), Document)
]

const filter = process.argv.slice(2)
const groups = [...documents, ...rows, ...wideGroups]
await bench(groups.filter((group) => filter.every((part) => group.name.includes(part))))
if (sink === Symbol.iterator) console.log(sink)
