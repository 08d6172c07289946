/**
 * The synchronous JSON engine beside its floors: `JSON.parse` of the whole text and a bare loop over the chunks.
 *
 * Run: `node --expose-gc scratchpad/bench/jsonEngine.ts [words of group names]`; `memory` prints what is retained.
 *
 * @since 0.1.0
 */
import { JsonEngine } from "../../src/internal/jsonEngine.ts"
import type { JsonEngineOptions, JsonListener } from "../../src/internal/jsonModel.ts"
import { bench, type Group, type Job } from "./harness.ts"

// Of 64 words two hold quotes, two a line break and one a character outside Latin-1.
const lorem =
  'the quick brown fox jumps over the lazy dog while a model writes "structured" output:\nfirst a title, then a summary, then, step by step, all the rest. It takes some time – not much – and what it says is read by a "person" or by a program:\nboth want it now, not when the last brace has come. So we read it as it grows.'.split(
    " "
  )

const random = (seed: number) => () => {
  seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) | 0
  return (seed >>> 8) / 0x1000000
}

const prose = (next: () => number, words: number): string =>
  Array.from({ length: words }, () => lorem[Math.floor(next() * lorem.length)]!).join(" ")

const item = (next: () => number, id: number) => ({
  id,
  title: prose(next, 5),
  summary: prose(next, 40),
  tags: [prose(next, 1), prose(next, 1), "draft"],
  score: Math.round(next() * 10_000) / 100,
  isDone: next() < 0.5,
  owner: next() < 0.2 ? null : { name: prose(next, 2), email: "someone@example.com" },
  steps: Array.from({ length: 3 }, (_, index) => ({ index, text: prose(next, 15), minutes: Math.floor(next() * 90) }))
})

/** What a model writes: an object with prose in strings, small arrays, numbers; indented. */
const llmDocument = (size: number): string => {
  const next = random(1)
  const items: Array<unknown> = []
  let length = 0
  while (length < size) {
    items.push(item(next, items.length))
    length += JSON.stringify(items.at(-1), undefined, 2).length + 60
  }
  return JSON.stringify({ title: prose(next, 6), language: "en", items, total: items.length }, undefined, 2)
}

const rows = (count: number): ReadonlyArray<string> => {
  const next = random(2)
  return Array.from({ length: count }, (_, id) =>
    JSON.stringify({
      id,
      name: prose(next, 3),
      status: next() < 0.5 ? "open" : "closed",
      text: prose(next, 18),
      score: Math.floor(next() * 1000) / 10,
      tags: ["a", "b"],
      at: { x: id, y: -id }
    })
  )
}

const cut = (text: string, size: number): ReadonlyArray<string> => {
  const chunks: Array<string> = []
  // Made anew, as chunks from a network are: a slice would keep the text.
  for (let at = 0; at < text.length; at += size) chunks.push(Buffer.from(text.slice(at, at + size)).toString())
  return chunks
}

const loop = (chunks: ReadonlyArray<string>) => (): number => {
  let hash = 0
  for (const chunk of chunks) for (let i = 0; i < chunk.length; i++) hash ^= chunk.charCodeAt(i)
  return hash
}

const run = (chunks: ReadonlyArray<string>, options: JsonEngineOptions, each?: (engine: JsonEngine) => void) => () => {
  const engine = new JsonEngine(options)
  let count = 0
  for (const chunk of chunks) {
    engine.feed(chunk)
    if (engine.hasCompleteValues) count += engine.takeValues().length
    if (each !== undefined) each(engine)
  }
  engine.end()
  return engine.fault === undefined ? count : engine.fault._tag
}

let sink: unknown
const readPartial = (engine: JsonEngine): void => {
  sink = engine.partialUnsafe
}
/** As the layer above spaces them: a copy is made when it costs at most as much as what came since the last. */
const spacedSnapshots = () => {
  let due = 0
  return (engine: JsonEngine): void => {
    if (engine.changes < due) return
    sink = engine.snapshot()
    due = engine.changes + 1 + engine.snapshotCost / 4
  }
}
const listener: JsonListener = {
  onOpen: (kind) => {
    sink = kind
  },
  onAppend: (text) => {
    sink = text
  },
  onValue: (value) => {
    sink = value
  },
  onDrop: () => {
    sink = undefined
  }
}

const floors = (text: string, chunks: ReadonlyArray<string>): ReadonlyArray<Job> => [
  { name: "JSON.parse", run: () => (sink = JSON.parse(text)) },
  { name: "floor: bare loop", run: loop(chunks) }
]

const documents = (name: string, text: string, sizes: ReadonlyArray<number>): ReadonlyArray<Group> =>
  sizes.map((size) => {
    const chunks = cut(text, size)
    return {
      name: `${name}, ${text.length} code units, chunks of ${size}`,
      baseline: "JSON.parse",
      differing: true,
      rounds: text.length > 5e6 ? 3 : 9,
      work: { MB: text.length / 1e6 },
      jobs: [
        ...floors(text, chunks),
        { name: "(a) partial after each chunk", run: run(chunks, {}, readPartial) },
        { name: "(b) final value only", run: run(chunks, {}) },
        { name: "strict", run: run(chunks, { strict: true }) },
        { name: "listener", run: run(chunks, { listener }) },
        { name: "snapshots, spaced", run: () => run(chunks, {}, spacedSnapshots())() }
      ]
    }
  })

const manyRows = rows(10_000)
const rowGroups: ReadonlyArray<Group> = [4, 64].map((size) => {
  const chunks = cut(manyRows.join("\n"), size)
  return {
    name: `(c) 10000 rows, chunks of ${size}`,
    baseline: "JSON.parse per row",
    differing: true,
    work: { MB: manyRows.join("\n").length / 1e6 },
    jobs: [
      {
        name: "JSON.parse per row",
        run: () => {
          for (const row of manyRows) sink = JSON.parse(row)
        }
      },
      { name: "floor: bare loop", run: loop(chunks) },
      { name: "each row as it completes", run: run(chunks, {}) },
      { name: "fenced", run: run(["```json\n", ...chunks, "\n```\n"], { roots: "fenced" }) }
    ]
  }
})

const numbers = (count: number): string => {
  const next = random(3)
  return JSON.stringify({ n: Array.from({ length: count }, () => Math.floor(next() * 1e6) / 100) })
}

const unit = (text: string, size: number): string => text.repeat(Math.ceil(size / text.length))
const hostile: ReadonlyArray<Group> = (
  [
    ["prose", "There is nothing here, not even a bracket. ", {}],
    ["[", "[", {}],
    ["[ without a depth limit", "[", { maxDepth: Infinity }],
    ['{"', '{"', {}],
    ['"\\ strict', '"\\', { strict: true }],
    ["[1,x", "[1,x", {}],
    ['{"a":[1,2] oops}', '{"a":[1,2] oops}', {}],
    ["one integer, strict", "1", { strict: true }],
    ["\\u00e9 in a string, strict", undefined, { strict: true }],
    ["[1,1,1", undefined, { strict: true }]
  ] as ReadonlyArray<readonly [string, string | undefined, JsonEngineOptions]>
).flatMap(([name, text, options]) =>
  [1e5, 1e6, 1e7].map((size) => {
    const whole =
      text !== undefined
        ? unit(text, size)
        : name.startsWith("[")
          ? `[${unit("1,", size)}1]`
          : `"${unit("\\u00e9", size)}"`
    const chunks = cut(whole, 4)
    return {
      name: `hostile: ${name}, ${whole.length} code units`,
      baseline: "floor: bare loop",
      differing: true,
      rounds: 3,
      warmup: 1,
      work: { MB: whole.length / 1e6 },
      jobs: [
        { name: "floor: bare loop", run: loop(chunks) },
        { name: "engine", run: run(chunks, options) },
        { name: "engine, read", run: run(chunks, options, readPartial) }
      ]
    }
  })
)

const heapAfter = (make: () => unknown): number => {
  globalThis.gc?.()
  const before = process.memoryUsage().heapUsed
  sink = make()
  globalThis.gc?.()
  globalThis.gc?.()
  const after = process.memoryUsage().heapUsed
  sink = undefined
  return after - before
}

const memory = (): void => {
  const texts: Record<string, string> = {
    "LLM document": llmDocument(1e6),
    rows: `[${manyRows.join(",")}]`,
    numbers: numbers(130_000),
    "small arrays": JSON.stringify({ points: Array.from({ length: 90_000 }, (_, i) => [i, i + 0.5]) }),
    "wide objects": JSON.stringify(
      Array.from({ length: 2_000 }, (_, i) =>
        Object.fromEntries(Array.from({ length: 30 }, (_, k) => [`field${k}`, k % 3 === 0 ? i : `value ${i} of ${k}`]))
      )
    ),
    "distinct keys": JSON.stringify(Object.fromEntries(Array.from({ length: 65_536 }, (_, i) => [`key ${i}`, i])))
  }
  for (const [name, text] of Object.entries(texts)) {
    const parsed = heapAfter(() => JSON.parse(text))
    const figures = [1, 4, 64, 4096, text.length].map((size) => {
      const ours = heapAfter(() => {
        const engine = new JsonEngine({ strict: true })
        for (let at = 0; at < text.length; at += size) engine.feed(Buffer.from(text.slice(at, at + size)).toString())
        return engine.takeValues()
      })
      return `${size}: ${(ours / parsed).toFixed(2)}`
    })
    console.log(
      `memory, ${name} (${text.length}): JSON.parse ${(parsed / 1e6).toFixed(2)} MB; x by chunk ${figures.join(", ")}`
    )
  }
}

const filter = process.argv.slice(2)
if (filter[0] === "memory") memory()
else {
  const groups = [
    ...[1e4, 1e5, 1e6, 1e7].flatMap((size) => documents("LLM document", llmDocument(size), [4])),
    ...documents("LLM document", llmDocument(1e6), [1, 64, 4096, 1e7]),
    ...documents("numbers", numbers(100_000), [4, 64]),
    ...rowGroups,
    ...hostile
  ]
  await bench(groups.filter((group) => filter.every((word) => group.name.includes(word))))
}
if (sink === Symbol.iterator) console.log(sink)
