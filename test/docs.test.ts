/** Type checks and runs every example in the doc comments and in the README. */
import { afterAll, assert, describe, it, vi } from "@effect/vitest"
import { execFile } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { pathToFileURL } from "node:url"
import { promisify } from "node:util"
import * as Examples from "../scratchpad/check/examples.ts"

const root = Path.resolve(import.meta.dirname, "..")
const cache = Path.join(root, "node_modules/.cache")
Fs.mkdirSync(cache, { recursive: true })
const directory = Fs.mkdtempSync(Path.join(cache, "docs-"))
afterAll(() => Fs.rmSync(directory, { recursive: true, force: true }))

const resolve = (path: string) =>
  Path.relative(directory, Path.join(root, "src", path)).replaceAll(Path.sep, Path.posix.sep)

let written = 0
/** Compiles an example and writes it to disk under an id of its own. */
const write = (example: Examples.Example) => {
  const id = String(written++)
  const compiled = Examples.compile(example, id, resolve)
  Fs.writeFileSync(Path.join(directory, `${id}.mts`), compiled.typescript)
  if (example.run) Fs.writeFileSync(Path.join(directory, `${id}.mjs`), compiled.javascript)
  return { compiled, example, id }
}
const run = ({ compiled, example, id }: ReturnType<typeof write>) => {
  const { href } = pathToFileURL(Path.join(directory, `${id}.mjs`))
  // What an example prints is for its reader.
  const muted = (["log", "info", "debug"] as const).map((method) => vi.spyOn(console, method).mockReturnValue())
  return Examples.run(example, id, compiled, () => import(/* @vite-ignore */ href)).finally(() =>
    muted.forEach((spy) => spy.mockRestore())
  )
}

const made = (code: string, options?: { readonly run: boolean }): Examples.Example => ({
  path: "made-up.ts",
  title: "Made up",
  line: 10,
  code,
  run: options?.run ?? true
})

const sources = Fs.readdirSync(Path.join(root, "src"), { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts"))
  .map((path) => `src/${path.replaceAll(Path.sep, Path.posix.sep)}`)
  .toSorted()
const read = (path: string) => Fs.readFileSync(Path.join(root, path), "utf8")
const examples = [
  ...sources.flatMap((path) => Examples.fromSource(path, read(path))),
  ...(Fs.existsSync(Path.join(root, "README.md")) ? Examples.fromMarkdown("README.md", read("README.md")) : [])
]

describe("examples", () => {
  const ready: Array<ReturnType<typeof write>> = []

  for (const example of examples) {
    const name = `${example.path}: ${example.title}`
    try {
      const entry = write(example)
      ready.push(entry)
      if (example.run) it(name, () => run(entry))
    } catch (cause) {
      it(name, () => {
        throw cause
      })
    }
  }

  it("type check", { timeout: 120_000 }, async () => {
    const canary = write(made(`const one = 1\n\nexport const two: string = one`, { run: false }))
    Fs.writeFileSync(
      Path.join(directory, "tsconfig.json"),
      JSON.stringify({
        extends: Path.join(root, "tsconfig.json"),
        compilerOptions: { noUnusedLocals: false, noUnusedParameters: false },
        include: ["*.mts"],
        // Without it nothing below node_modules is looked at.
        exclude: []
      })
    )
    const tsc = Path.join(root, "node_modules/.bin/tsc")
    const output = await promisify(execFile)(tsc, ["-p", directory, "--pretty", "false"], { cwd: directory }).then(
      ({ stdout }) => stdout,
      ({ stdout }: { readonly stdout: string }) => stdout
    )
    // Errors in the sources themselves are the business of `npm run check`.
    const errors = output.split("\n").flatMap((text) => {
      const found = /^(\d+)\.mts\((\d+),\d+\): (.*)$/.exec(text)
      const entry = [...ready, canary].find(({ id }) => id === found?.[1])
      return found === null || entry === undefined
        ? []
        : [`${entry.example.path}:${entry.example.line + Number(found[2]) - 1}: ${found[3]}`]
    })
    // The last one is wrong on purpose and shows that the others were looked at.
    assert.deepStrictEqual(errors.toSorted(), [
      "made-up.ts:12: error TS2322: Type 'number' is not assignable to type 'string'."
    ])
  })
})

describe("finding examples", () => {
  it("takes blocks out of doc comments, with their titles and lines", () => {
    const text = `/**
 * A module.
 *
 * **Example** (Adding (twice))
 *
 * \`\`\`ts
 * const x = 1
 *
 *   x + 1 // => 2
 * \`\`\`
 *
 * \`\`\`sh
 * npm install
 * \`\`\`
 */
export const a = "/** \`\`\`ts"
// \`\`\`ts
/* \`\`\`ts */
export interface B {
  /**
   * **Example** (Adding (twice))
   *
   * \`\`\`ts no-run
   * hang()
   * \`\`\`
   */
  readonly b: 1
}
/**
 * \`\`\`ts
 * 1 // => 1
 * \`\`\`
 */
export const c = 1
`
    assert.deepStrictEqual(Examples.fromSource("src/A.ts", text), [
      { path: "src/A.ts", title: "Adding (twice)", line: 7, code: "const x = 1\n\n  x + 1 // => 2", run: true },
      { path: "src/A.ts", title: "Adding (twice) (2)", line: 24, code: "hang()", run: false },
      { path: "src/A.ts", title: "line 30", line: 31, code: "1 // => 1", run: true }
    ])
  })

  it("takes blocks out of Markdown, titled by their heading", () => {
    const text = "# Title\n```sh\n# no heading\n```\n## Use \n```ts\n1 // => 1\n```\n~~~ts no-run\n```ts\n~~~\n"
    assert.deepStrictEqual(Examples.fromMarkdown("README.md", text), [
      { path: "README.md", title: "Use", line: 7, code: "1 // => 1", run: true },
      { path: "README.md", title: "Use (2)", line: 10, code: "```ts", run: false }
    ])
  })

  it("refuses a block that does not end and a tag it does not know", () => {
    assert.throws(() => Examples.fromMarkdown("README.md", "\n```ts\n1"), "README.md:2: a code block that does not end")
    assert.throws(
      () => Examples.fromMarkdown("README.md", "```ts norun\n1\n```"),
      "README.md:1: unknown tag norun; the only one is no-run"
    )
  })
})

describe("running examples", () => {
  const failure = (code: string) =>
    Promise.resolve()
      .then(() => run(write(made(code))))
      .then(
        () => "passed",
        (cause: Error) => cause.message.split("\n")[0]!
      )

  const passing: Record<string, string> = {
    "an expression": `[1, 2].map((n) => n + 1) // => [2, 3]`,
    "a declaration": `const x: { readonly a: number } = { a: 1 } // => { a: 1 }\nx.a // => 1`,
    "a statement of several lines": `Object.keys({\n  a: 1\n}) // => ["a"]`,
    "an expectation with a comment": `1 + 1 // => 2 // in every base above 2`,
    "an assertion in an asserted expression": `const f = () => {\n  2 // => 2\n  return 3\n}\n[f()].map((n) => {\n  n // => 3\n  return n\n}) // => [3]`,
    "the line below": `Object.keys({ a: 1 })\n// => ["a"]`,
    "an expectation of several lines": `const a = [1, { b: 2 }]\n// => [\n//   1, // one\n//   { b: 2 }\n// ]\n// prose\na.length // => 2`,
    await: `await Promise.resolve(1) // => 1\nconst two = await Promise.resolve(2) // => await Promise.resolve(2)`,
    "yield* in a generator": `import { Effect } from "effect"\nawait Effect.runPromise(Effect.gen(function* () {\n  yield* Effect.succeed(1) // => 1\n  const two = yield* Effect.succeed(2) // => 1 + 1\n  return two\n})) // => 2`,
    "a printed line": `console.log("a", { b: [1, 2] }, "// =>") // => a { b: [ 1, 2 ] } // =>`,
    "a value of Effect": `import { Option } from "effect"\nOption.some(1) // => Option.some(1)`,
    undefined: `undefined // => undefined`,
    "no semicolons": `const x = 1\n;[x].length // => 1\n;(x as number) // => 1`
  }
  it.each(Object.entries(passing))("passes %s that is right", async (_, code) => {
    assert.strictEqual(await failure(code), "passed")
  })

  const failing: Record<string, readonly [code: string, message: RegExp]> = {
    "a wrong expression": [`\n[1, 2].map((n) => n + 1) // => [2, 4]`, /^made-up\.ts:11: Expected values/],
    "a wrong declaration": [`const x = { a: 1 } // => { a: 1, b: undefined }`, /^made-up\.ts:10: Expected values/],
    "a wrong prototype": [`new Date(0) // => {}`, /^made-up\.ts:10: Expected values/],
    "a wrong printed line": [`console.log("a") // => "a"`, /^made-up\.ts:10: Expected values/],
    "an assertion whose failure is caught": [`try {\n  1 // => 2\n} catch {}`, /^made-up\.ts:11: Expected values/],
    "a failure in an Effect": [
      `import { Effect } from "effect"\nEffect.runSync(Effect.ignoreCause(Effect.sync(() => {\n  1 // => 2\n})))`,
      /^made-up\.ts:12: Expected values/
    ],
    "code that throws": [`1 // => 1\nthrow new Error("boom")`, /^boom$/],
    "a second time that is wrong": [`for (const n of [1, 2]) {\n  n // => 1\n}`, /^made-up\.ts:11: Expected values/],
    "an assertion that is not reached": [
      `1 // => 1\nsetTimeout(() => {\n  2 // => 2\n}, 0)`,
      /^made-up\.ts:12: the assertion was never reached$/
    ],
    "an example without an assertion": [`1 + 1 // 2`, /^made-up\.ts:10: an example without an assertion/],
    "an assertion behind nothing": [`// => 1\n1`, /^made-up\.ts:10: an assertion that stands behind no expression/],
    "an assertion behind a type": [
      `type A = 1 // => 1`,
      /^made-up\.ts:10: an assertion that stands behind no expression/
    ],
    "an assertion two lines below": [`1\n\n// => 1`, /^made-up\.ts:12: an assertion that stands behind no expression/],
    "prose for an expectation": [
      `1 // => one thing`,
      /^made-up\.ts:10: what stands behind => is no expression: one thing$/
    ],
    "an empty expectation": [`1 // =>`, /^made-up\.ts:10: what stands behind => is no expression: $/],
    "a syntax error": [`\nconst = 1`, /^made-up\.ts:11: Unexpected token$/],
    "an import of a file": [`import { a } from "./a.ts"\na // => 1`, /^made-up\.ts:10: imports \.\/a\.ts/],
    "an import of what is not exported": [
      `import { a } from "effect-llm-streaming/internal/a"\na // => 1`,
      /^made-up\.ts:10: imports effect-llm-streaming\/internal\/a, which is not exported$/
    ],
    "an import of what does not exist": [
      `import * as A from "effect-llm-streaming/wire/Nowhere"\nA // => 1`,
      /Cannot find module .*src.wire.Nowhere\.ts/
    ]
  }
  it.each(Object.entries(failing))("fails %s", async (_, [code, message]) => {
    assert.match(await failure(code), message)
  })

  it("resolves the package to its sources", () => {
    const code = `import { StreamEvent } from "effect-llm-streaming"\nexport * from "effect-llm-streaming/wire/OpenAi"\nlet e: import("effect-llm-streaming/StreamError").StreamError`
    const { typescript } = Examples.compile(made(code, { run: false }), "x", (path) => `../src/${path}`)
    assert.strictEqual(
      typescript,
      `import { StreamEvent } from "../src/index.ts"\nexport * from "../src/wire/OpenAi.ts"\nlet e: import("../src/StreamError.ts").StreamError\nexport {}\n`
    )
  })
})
