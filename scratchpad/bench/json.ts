/**
 * Incremental JSON: the synchronous engine beside its floors (`JSON.parse` of the whole text, a bare loop over the chunks)
 * and its peers. Results are compared within each group, and partials before anything is timed.
 *
 * Run: `node --expose-gc scratchpad/bench/json.ts [words of group names]`; it takes about three minutes. The word "memory"
 * prints what values take that are kept, and nothing else.
 *
 * @since 0.1.0
 */
import { isDeepStrictEqual } from "node:util"
import { JsonEngine } from "../../src/internal/jsonEngine.ts"
import type { JsonEngineOptions, JsonListener } from "../../src/internal/jsonModel.ts"
import { bench, type Group, type Job, repeat } from "./harness.ts"
import * as Peers from "./jsonPeers.ts"
import type { Chunks, Final, Partials, Rows } from "./jsonPeers.ts"
import { cut, distinctKeys, llmDocument, numbers, rows, wideObjects } from "./jsonTexts.ts"

/** Where readings go, so that none is optimised away. */
let sink: unknown
const see = (value: unknown): void => {
  sink = value
}

const bareLoop = (chunks: Chunks): void => {
  let hash = 0
  for (let at = 0; at < chunks.length; at++) {
    const chunk = chunks[at]!
    for (let i = 0; i < chunk.length; i++) hash ^= chunk.charCodeAt(i)
  }
  see(hash)
}

const concatenate = (chunks: Chunks): string => {
  let text = ""
  for (let at = 0; at < chunks.length; at++) text += chunks[at]!
  return text
}

const enginePartials: Partials = (chunks, see) => {
  const engine = new JsonEngine()
  for (let at = 0; at < chunks.length; at++) {
    engine.feed(chunks[at]!)
    see(engine.partialUnsafe)
  }
  return engine.takeValues()[0]
}

const engineRows =
  (options?: JsonEngineOptions): Rows =>
  (chunks, take) => {
    const engine = new JsonEngine(options)
    for (let at = 0; at < chunks.length; at++) {
      engine.feed(chunks[at]!)
      if (engine.hasCompleteValues) engine.takeValues().forEach(take)
    }
    engine.end()
    return engine.fault
  }

const engineFinal =
  (options?: JsonEngineOptions): Final =>
  (chunks) => {
    let root: unknown
    engineRows(options)(chunks, (value) => {
      root = value
    })
    return root
  }

// -----------------------------------------------------------------------------
// (a) the partial after every chunk of 4, (b) the value
// -----------------------------------------------------------------------------

const documents: Readonly<Record<string, (size: number) => string>> = {
  compact: (size) => llmDocument(size, 0),
  indented: (size) => llmDocument(size, 2)
}

const names: Readonly<Record<number, string>> = { 1e4: "10 KB", 1e5: "100 KB", 1e6: "1 MB", 1e7: "10 MB" }

const partialPeers: Readonly<Record<string, Partials>> = {
  "stream-json core + Assembler (no partial strings)": Peers.streamJsonPartials,
  "@streamparser/json": Peers.streamparser,
  jsonriver: Peers.jsonriver
}

/** These read the text again for every chunk. */
const quadraticPeers: Readonly<Record<string, Partials>> = {
  "AI SDK parsePartialJson": Peers.aiSdk,
  "partial-json": Peers.partialJson,
  "best-effort-json-parser": Peers.bestEffort
}

const finalPeers: Readonly<Record<string, Final>> = {
  "stream-json core + Assembler": Peers.streamJsonFinal,
  "@streamparser/json": Peers.streamparserFinal,
  jsonriver: (chunks) => Peers.jsonriver(chunks, () => {}),
  "effect JsonArray, in [ ], a chunk per pull": Peers.effectArrayFinal
}

const jobsOf = <A>(record: Readonly<Record<string, A>>, run: (job: A) => unknown): ReadonlyArray<Job> =>
  Object.entries(record).map(([name, job]) => ({ name, run: () => run(job) }))

const documentGroups = (kind: string, size: number): ReadonlyArray<Group> => {
  const text = documents[kind]!(size)
  const chunks = cut(text, 4)
  const value: unknown = JSON.parse(text)
  const floors: ReadonlyArray<Job> = [
    { name: "floor: JSON.parse of the whole", run: () => JSON.parse(text) as unknown },
    {
      name: "floor: bare loop over the chunks",
      run: () => {
        bareLoop(chunks)
        return value
      }
    }
  ]
  const count = Math.round(1e6 / size)
  const common = { baseline: floors[0]!.name, work: { MB: (count * text.length) / 1e6 }, rounds: 7, warmup: 2 }
  return [
    {
      ...common,
      name: `(a) partial after every 4 code units, ${names[size]}, ${kind}`,
      jobs: [
        ...floors,
        { name: "JsonEngine", run: () => enginePartials(chunks, see) },
        ...jobsOf(partialPeers, (peer) => peer(chunks, see))
      ].map(repeat(count))
    },
    {
      ...common,
      name: `(b) value only, chunks of 4, ${names[size]}, ${kind}`,
      jobs: [
        ...floors,
        { name: "concatenate, then JSON.parse", run: () => JSON.parse(concatenate(chunks)) as unknown },
        { name: "JsonEngine", run: () => engineFinal()(chunks) },
        ...jobsOf(finalPeers, (peer) => peer(chunks))
      ].map(repeat(count))
    }
  ]
}

/** 10 KB only: these take minutes for more. */
const quadraticGroup = (): Group => {
  const text = llmDocument(1e4, 0)
  const chunks = cut(text, 4)
  return {
    name: "(a) partial after every 4 code units, 10 KB, compact, by reading it all again",
    baseline: "JsonEngine",
    rounds: 2,
    warmup: 1,
    work: { MB: text.length / 1e6 },
    jobs: [
      { name: "JsonEngine", run: () => enginePartials(chunks, see) },
      ...jobsOf(quadraticPeers, (peer) => peer(chunks, see))
    ]
  }
}

// -----------------------------------------------------------------------------
// (c) 10,000 small objects, each as it completes
// -----------------------------------------------------------------------------

const rowPeers: Readonly<Record<string, readonly [Rows, isArray: boolean]>> = {
  "stream-json core + Assembler": [Peers.streamJsonRows, false],
  "@streamparser/json": [Peers.streamparserRows, false],
  "jsonriver, rows of an array": [Peers.jsonriverRows, true],
  "effect JsonArray, a chunk per pull": [Peers.effectArrayRows, true],
  "effect Ndjson, a chunk per pull": [Peers.effectNdjsonRows, false]
}

/** Counts rows and adds up their ids. */
const tallied = async (run: (take: (row: unknown) => void) => unknown): Promise<ReadonlyArray<number>> => {
  let count = 0
  let sum = 0
  await run((row) => {
    count++
    sum += (row as { readonly id: number }).id
  })
  return [count, sum]
}

const splitLines: Rows = (chunks, take) => {
  let rest = ""
  for (let at = 0; at < chunks.length; at++) {
    const chunk = chunks[at]!
    if (!chunk.includes("\n")) rest += chunk
    else {
      const lines = (rest + chunk).split("\n")
      rest = lines.pop()!
      for (const line of lines) take(JSON.parse(line))
    }
  }
}

const rowGroups = (size: number): ReadonlyArray<Group> => {
  const list = rows(10_000)
  const lines = cut(`${list.join("\n")}\n`, size)
  const array = cut(`[${list.join(",")}]`, size)
  const fenced = ["```json\n", ...lines, "```\n"]
  const work = { MB: list.join("\n").length / 1e6 }
  return [
    {
      name: `(c) 10,000 objects, chunks of ${size}`,
      baseline: "floor: JSON.parse per row",
      rounds: 7,
      warmup: 2,
      work,
      jobs: [
        {
          name: "floor: JSON.parse per row",
          run: () => tallied((take) => list.forEach((row) => take(JSON.parse(row))))
        },
        {
          name: "floor: bare loop over the chunks",
          run: () => {
            bareLoop(lines)
            return tallied((take) => list.forEach((_, id) => take({ id })))
          }
        },
        { name: "split at line ends, then JSON.parse", run: () => tallied((take) => splitLines(lines, take)) },
        { name: "JsonEngine", run: () => tallied((take) => engineRows()(lines, take)) },
        {
          name: "JsonEngine, inside a fence",
          run: () => tallied((take) => engineRows({ roots: "fenced" })(fenced, take))
        },
        ...jobsOf(rowPeers, ([peer, isArray]) => tallied((take) => peer(isArray ? array : lines, take)))
      ]
    }
  ]
}

// -----------------------------------------------------------------------------
// Other ways to use the engine, and texts that are hard on it
// -----------------------------------------------------------------------------

const silent: JsonListener = { onOpen: see, onAppend: see, onValue: see, onDrop: () => {} }

/** A copy is made when it costs no more than a quarter of the changes since the last. */
const spacedSnapshots: Partials = (chunks, see) => {
  const engine = new JsonEngine()
  let due = 0
  for (let at = 0; at < chunks.length; at++) {
    engine.feed(chunks[at]!)
    if (engine.changes < due) continue
    see(engine.snapshot())
    due = engine.changes + 1 + engine.snapshotCost / 4
  }
  return engine.takeValues()[0]
}

const useGroups = (): ReadonlyArray<Group> => {
  const text = llmDocument(1e6, 0)
  const chunks = cut(text, 4)
  return [
    {
      name: "uses, 1 MB, compact, chunks of 4",
      baseline: "value only",
      work: { MB: text.length / 1e6 },
      jobs: [
        { name: "value only", run: () => engineFinal()(chunks) },
        { name: "strict", run: () => engineFinal({ strict: true })(chunks) },
        { name: "partial after every chunk", run: () => enginePartials(chunks, see) },
        { name: "snapshots, spaced by what they cost", run: () => spacedSnapshots(chunks, see) },
        { name: "listener", run: () => engineFinal({ listener: silent })(chunks) }
      ]
    },
    {
      name: "chunk sizes, 1 MB, compact, partial after every chunk",
      baseline: "JSON.parse",
      work: { MB: text.length / 1e6 },
      jobs: [
        { name: "JSON.parse", run: () => JSON.parse(text) as unknown },
        ...[1, 4, 16, 64, 4_096, text.length].map((size) => {
          const chunks = cut(text, size)
          return { name: `chunks of ${size}`, run: () => enginePartials(chunks, see) }
        })
      ]
    }
  ]
}

const fill = (unit: string): string => unit.repeat(Math.ceil(1e6 / unit.length))

const hardTexts: Readonly<Record<string, () => readonly [text: string, options?: JsonEngineOptions]>> = {
  "LLM document, compact": () => [llmDocument(1e6, 0)],
  "prose without a bracket": () => [fill("Nothing to find here, not even a bracket. ")],
  'false starts {"': () => [fill('{"')],
  "false starts [1,x": () => [fill("[1,x")],
  'false starts {"a":[1,2] oops}': () => [fill('{"a":[1,2] oops}')],
  "citations [1]": () => [fill("see [1], [2, 3] and ")],
  "one string": () => [`["${fill("a word ")}"]`],
  "one string of \\n": () => [`["${fill("\\n")}"]`],
  "one string of \\u00e9": () => [`["${fill("\\u00e9")}"]`],
  "one number": () => [fill("1"), { strict: true }],
  "numbers with fractions": () => [`["",${numbers(130_000).slice(1)}`],
  "[{},{},...]": () => [`[${fill("{},")}{}]`],
  "65,536 distinct keys": () => [distinctKeys(65_536)],
  "objects of 30 members": () => [wideObjects(2_000)],
  "100,000 [ without a depth limit": () => ["[".repeat(100_000), { maxDepth: Infinity }]
}

const hardGroup = (): Group => ({
  name: "hard texts of about 1 MB, partial after every 4 code units",
  baseline: "LLM document, compact",
  differing: true,
  rounds: 5,
  warmup: 2,
  jobs: Object.entries(hardTexts).map(([name, make]) => {
    const [text, options] = make()
    const chunks = cut(text, 4)
    return {
      name,
      run: () => {
        const engine = new JsonEngine(options)
        for (let at = 0; at < chunks.length; at++) {
          engine.feed(chunks[at]!)
          see(engine.partialUnsafe)
        }
        return engine.fault?._tag
      }
    }
  })
})

// -----------------------------------------------------------------------------
// Linear time: 10 MB in one document, in ten, in a hundred and in a thousand
// -----------------------------------------------------------------------------

const linearGroups = (): ReadonlyArray<Group> => {
  const jobs = (run: Final): ReadonlyArray<Job> =>
    [1e4, 1e5, 1e6, 1e7].map((size) => {
      const chunks = cut(llmDocument(size, 0), 4)
      // By code units: documents of 10 KB are up to a tenth longer than that.
      const times = Math.round(1e7 / concatenate(chunks).length)
      return {
        name: `${times} of ${names[size]}`,
        run: () => {
          for (let n = 0; n < times; n++) run(chunks)
        }
      }
    })
  const partials: Final = (chunks) => enginePartials(chunks, see)
  const common = { baseline: "1 of 10 MB", rounds: 3, warmup: 1, work: { MB: 10 } }
  return [
    { ...common, name: "linear: (a) partial after every 4 code units, 10 MB", jobs: jobs(partials) },
    { ...common, name: "linear: (b) value only, chunks of 4, 10 MB", jobs: jobs(engineFinal()) }
  ]
}

// -----------------------------------------------------------------------------
// Memory of what is kept
// -----------------------------------------------------------------------------

const heapOf = (make: () => unknown): number => {
  globalThis.gc?.()
  const before = process.memoryUsage().heapUsed
  see(make())
  globalThis.gc?.()
  globalThis.gc?.()
  const after = process.memoryUsage().heapUsed
  see(undefined)
  return after - before
}

const memory = (): void => {
  const sizes = [1, 4, 16, 64, 4_096, Infinity]
  console.log("\nmemory of a value of about 1 MB that is kept, x JSON.parse's, by size of the chunks it came in")
  console.log(["".padEnd(24), "MB", ...sizes.map((size) => (size === Infinity ? "whole" : String(size)))].join("\t"))
  const texts: Readonly<Record<string, string>> = {
    "LLM document, compact": llmDocument(1e6, 0),
    "LLM document, indented": llmDocument(1e6, 2),
    "small objects": `[${rows(5_000).join(",")}]`,
    numbers: numbers(130_000),
    "small arrays": JSON.stringify(Array.from({ length: 90_000 }, (_, i) => [i, i + 0.5])),
    "objects of 30 members": wideObjects(2_000),
    "distinct keys": distinctKeys(65_536)
  }
  for (const [name, text] of Object.entries(texts)) {
    const parsed = heapOf(() => JSON.parse(text) as unknown)
    const ratios = sizes.map((size) => {
      const ours = heapOf(() => {
        const engine = new JsonEngine({ strict: true })
        for (const chunk of cut(text, Math.min(size, text.length))) engine.feed(chunk)
        return engine.takeValues()
      })
      return ours / parsed
    })
    console.log([name.padEnd(24), (parsed / 1e6).toFixed(2), ...ratios.map((ratio) => ratio.toFixed(2))].join("\t"))
    console.log(JSON.stringify({ group: "memory", name, parsedMb: parsed / 1e6, sizes: sizes.map(String), ratios }))
  }
}

// -----------------------------------------------------------------------------
// Do the partials show what they should?
// -----------------------------------------------------------------------------

const checkPartials = async (): Promise<void> => {
  const text = llmDocument(2_000, 0)
  const chunks = cut(text, 4)
  const value: unknown = JSON.parse(text)
  for (const [name, run] of Object.entries({ JsonEngine: enginePartials, ...partialPeers, ...quadraticPeers })) {
    const seen = new Set<string>()
    const result = await run(chunks, (partial) => seen.add(JSON.stringify(partial) ?? ""))
    if (!isDeepStrictEqual(result, value)) throw new Error(`${name} gave another value`)
    console.log(`${name}: ${seen.size} different partials after ${chunks.length} chunks`)
  }
}

// -----------------------------------------------------------------------------

const filter = process.argv.slice(2)
if (filter[0] === "memory") memory()
else {
  await checkPartials()
  const groups = [
    ...Object.keys(documents).flatMap((kind) => [1e4, 1e5, 1e6].flatMap((size) => documentGroups(kind, size))),
    quadraticGroup(),
    ...[4, 64].flatMap(rowGroups),
    ...useGroups(),
    hardGroup(),
    ...linearGroups()
  ].filter((group) => filter.every((word) => group.name.includes(word)))
  const measured = await bench(groups)
  for (const { ms, name } of measured) {
    if (!(name in quadraticPeers)) continue
    console.log(`${name}: skipped above 10 KB; as it is quadratic, 1 MB would take about ${Math.round(ms / 6)} minutes`)
  }
  if (filter.length === 0) memory()
}
if (sink === Symbol.iterator) console.log(sink)
