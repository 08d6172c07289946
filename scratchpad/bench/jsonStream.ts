/**
 * The JSON operators beside the synchronous engine that they run on, and beside other streaming forms.
 *
 * Run: `node --expose-gc scratchpad/bench/jsonStream.ts [words of group names]`
 *
 * @since 0.1.0
 */
import { Array as Arr, Cause, Effect, Schema, Stream } from "effect"
import { JsonArray, Ndjson } from "effect/encoding"
import { JsonEngine } from "../../src/internal/jsonEngine.ts"
import * as JsonStream from "../../src/json/JsonStream.ts"
import { bench, type Group, type Job, repeat } from "./harness.ts"
import * as Peers from "./jsonPeers.ts"
import { cut, distinctKeys, llmDocument, numbers, rows } from "./jsonTexts.ts"
import { inArrays } from "./tokens.ts"

const Item = Schema.Struct({
  id: Schema.Number,
  title: Schema.String,
  summary: Schema.String,
  tags: Schema.Array(Schema.String),
  score: Schema.Number,
  isDone: Schema.Boolean,
  owner: Schema.NullOr(Schema.Struct({ name: Schema.String, email: Schema.String })),
  steps: Schema.Array(Schema.Struct({ index: Schema.Number, text: Schema.String, minutes: Schema.Number }))
})
const Document = Schema.Struct({
  title: Schema.String,
  language: Schema.Literals(["en", "de"]),
  items: Schema.Array(Item),
  total: Schema.Number
})
const Row = Schema.Struct({
  id: Schema.Number,
  name: Schema.String,
  status: Schema.Literals(["open", "closed"]),
  text: Schema.String,
  score: Schema.Number
})

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
  const tokens = cut(llmDocument(size, 2), 4)
  // Once through 10 KB is over before V8 has compiled what the operators consist of.
  const count = 1e6 / size
  return [1, 64].map((perPull) => {
    const pulls = inArrays(tokens, perPull)
    return {
      name: `document, ${size} code units, ${perPull} tokens per pull`,
      baseline: "core, partial at each token",
      differing: true,
      rounds: 7,
      warmup: 2,
      work: { tokens: count * tokens.length },
      jobs: [
        { name: "core, partial at each token", run: core(tokens, (engine) => (sink = engine.partialUnsafe)) },
        { name: "core, value only", run: core(tokens) },
        { name: "core, snapshot at each token", run: core(tokens, (engine) => (sink = engine.snapshot())) },
        ...operators(pulls),
        ...(perPull === 1
          ? [
              { name: "jsonriver, partials", run: () => Peers.jsonriver(tokens, (value) => (sink = value)) },
              { name: "streamparser, partials", run: () => Peers.streamparser(tokens, (value) => (sink = value)) }
            ]
          : []),
        {
          name: "effect JsonArray, text in [ ]",
          run: stream([["["], ...pulls, ["]"]], Stream.pipeThroughChannel(JsonArray.decodeString()))
        }
      ].map(repeat(count))
    }
  })
})

const rowGroups: ReadonlyArray<Group> = [1, 64].map((perPull) => {
  const tokens = cut(rows(10_000).join("\n"), 4)
  const pulls = inArrays(tokens, perPull)
  return {
    name: `10,000 rows, ${perPull} tokens per pull`,
    baseline: "core, value only",
    differing: true,
    work: { rows: 10_000 },
    jobs: [
      { name: "core, value only", run: core(tokens) },
      { name: "core, partial at each token", run: core(tokens, (engine) => (sink = engine.partialUnsafe)) },
      { name: "values", run: stream(pulls, JsonStream.values()) },
      { name: "decode", run: stream(pulls, JsonStream.decode(Row)) },
      { name: "partials", run: stream(pulls, JsonStream.partials(Row)) },
      { name: "effect Ndjson", run: stream(pulls, Stream.pipeThroughChannel(Ndjson.decodeString())) }
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
  wide("100,000 numbers", numbers(100_000), Schema.Array(Schema.Number)),
  wide("50,000 keys", distinctKeys(50_000), Schema.Record(Schema.String, Schema.Number)),
  wide("a document of 1,000,000", llmDocument(1e6, 2), Document)
]

const filter = process.argv.slice(2)
const groups = [...documents, ...rowGroups, ...wideGroups]
await bench(groups.filter((group) => filter.every((part) => group.name.includes(part))))
if (sink === Symbol.iterator) console.log(sink)
