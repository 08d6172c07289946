/**
 * Turns the examples in doc comments and in Markdown into modules that can be type checked and run.
 *
 * - Every ```` ```ts ```` block is an example. One tagged `no-run` is type checked only.
 * - `// => <expression>` behind an expression statement or a declaration (or on the next line) asserts its value, deeply
 *   and strictly. An expression that does not fit on the line goes on in the `//` lines below it.
 * - `console.log(x) // => text` asserts the one line that is printed.
 * - An example that asserts nothing is an error, and so is an assertion that is never reached.
 */
import * as Assert from "node:assert"
import { stripTypeScriptTypes } from "node:module"
import * as Util from "node:util"
import { type ESTree, parseSync, Visitor } from "rolldown/utils"
import { importSites, makeLineAt } from "./source.ts"

export interface Example {
  /** The file it stands in, relative to the repository root. */
  readonly path: string
  readonly title: string
  /** The line of the file that holds the first line of code. */
  readonly line: number
  readonly code: string
  readonly run: boolean
}

export interface Compiled {
  /** What is type checked: the code as it stands, with our own imports resolved; each line keeps its number. */
  readonly typescript: string
  /** What is run. */
  readonly javascript: string
  /** The line of the file in which each assertion stands. */
  readonly assertions: ReadonlyArray<number>
}

/** An error in how an example is written. */
export class ExampleError extends Error {
  override readonly name = "ExampleError"
  constructor({ path }: { readonly path: string }, line: number, message: string) {
    super(`${path}:${line}: ${message}`)
  }
}

const packageName = "effect-llm-streaming"
const registryName = "__llmStreamingExamples"

// -----------------------------------------------------------------------------
// Finding examples
// -----------------------------------------------------------------------------

interface Line {
  readonly number: number
  readonly text: string
}

const fromLines = (path: string, lines: ReadonlyArray<Line>, heading: RegExp): Array<Example> => {
  const examples: Array<Example> = []
  let title: string | undefined
  for (let index = 0; index < lines.length; index++) {
    const { number, text } = lines[index]!
    title = heading.exec(text)?.[1] ?? title
    const fence = /^\s*(`{3,}|~{3,})\s*(.*)$/.exec(text)
    if (fence === null) continue
    const [language, ...tags] = fence[2]!.trim().split(/\s+/)
    const isEnd = (line: Line) => line.text.trim() === fence[1]
    const length = lines.slice(index + 1).findIndex(isEnd)
    if (length === -1) throw new ExampleError({ path }, number, "a code block that does not end")
    if (language === "ts" || language === "typescript") {
      for (const tag of tags.filter((tag) => tag !== "no-run")) {
        throw new ExampleError({ path }, number, `unknown tag ${tag}; the only one is no-run`)
      }
      const block = lines.slice(index + 1, index + 1 + length)
      examples.push({
        path,
        title: title ?? `line ${number}`,
        line: number + 1,
        code: block.map((line) => line.text).join("\n"),
        run: tags.length === 0
      })
    }
    index += length + 1
  }
  return examples
}

/** Examples of one file with the same title are told apart by number. */
const numbered = (examples: ReadonlyArray<Example>): ReadonlyArray<Example> => {
  const seen = new Map<string, number>()
  return examples.map((example) => {
    const count = (seen.get(example.title) ?? 0) + 1
    seen.set(example.title, count)
    return count === 1 ? example : { ...example, title: `${example.title} (${count})` }
  })
}

/** The examples in the doc comments of a TypeScript file, titled by the `**Example** (Title)` above them. */
export const fromSource = (path: string, text: string): ReadonlyArray<Example> => {
  const lineAt = makeLineAt(text)
  return numbered(
    parseSync(path, text)
      .comments.filter(({ type, value }) => type === "Block" && value.startsWith("*"))
      .flatMap(({ start, value }) => {
        const first = lineAt(start)
        const lines = value.split("\n").map((line, index) => ({
          number: first + index,
          text: index === 0 ? line.slice(1) : line.replace(/^\s*\* ?/, "")
        }))
        return fromLines(path, lines, /^\s*\*\*Example\*\*\s*\((.*)\)/)
      })
  )
}

/** The examples in a Markdown file, titled by the heading above them. */
export const fromMarkdown = (path: string, text: string): ReadonlyArray<Example> =>
  numbered(
    fromLines(
      path,
      text.split("\n").map((text, index) => ({ number: index + 1, text })),
      /^#+\s+(.*?)\s*$/
    )
  )

// -----------------------------------------------------------------------------
// Compiling
// -----------------------------------------------------------------------------

interface Edit {
  readonly start: number
  readonly end: number
  readonly text: string
}

const edited = (code: string, edits: ReadonlyArray<Edit>): string =>
  edits
    .toSorted((a, b) => b.start - a.start)
    .reduce((text, { end, start, text: insert }) => text.slice(0, start) + insert + text.slice(end), code)

/** `const` and friends, and expressions that stand alone: what an assertion can be about. */
const assertable = (program: ESTree.Program) => {
  const found: Array<ESTree.Expression> = []
  new Visitor({
    ExpressionStatement: ({ expression }) => {
      found.push(expression)
    },
    VariableDeclaration: ({ declarations }) => {
      const expression = declarations.at(-1)?.init
      if (expression) found.push(expression)
    }
  }).visit(program)
  return found.toSorted((a, b) => b.end - a.end)
}

const isExpression = (text: string) => {
  const { errors, program } = parseSync("expected.ts", `(${text}\n)`)
  return errors.length === 0 && program.body.length === 1
}

const isConsoleLog = (node: ESTree.Expression): node is ESTree.CallExpression =>
  node.type === "CallExpression" &&
  node.callee.type === "MemberExpression" &&
  node.callee.object.type === "Identifier" &&
  node.callee.object.name === "console" &&
  node.callee.property.type === "Identifier" &&
  node.callee.property.name === "log"

/**
 * @param id names the recorder that the running example reports to
 * @param resolve gives the specifier to import for a path below `src/`
 */
export const compile = (example: Example, id: string, resolve: (path: string) => string): Compiled => {
  const { code, line } = example
  const { comments, errors, program } = parseSync("example.ts", code)
  const lineAt = makeLineAt(code)
  const fail = (offset: number, message: string): never => {
    throw new ExampleError(example, line + lineAt(offset) - 1, message)
  }
  for (const { labels, message } of errors) fail(labels[0]?.start ?? 0, message)

  const imports = importSites(program).flatMap(({ source: { end, start, value } }): ReadonlyArray<Edit> => {
    if (value.startsWith(".")) return fail(start, `imports ${value}; a reader can only import packages`)
    if (value !== packageName && !value.startsWith(`${packageName}/`)) return []
    const path = value === packageName ? "index" : value.slice(packageName.length + 1)
    if (path.startsWith("internal/")) return fail(start, `imports ${value}, which is not exported`)
    return [{ start, end, text: JSON.stringify(resolve(`${path}.ts`)) }]
  })

  const candidates = assertable(program)
  const assertions: Array<number> = []
  const checks: Array<Edit> = []
  comments.forEach((comment, index) => {
    const first = comment.type === "Line" ? /^\s*=>\s*(.*)$/.exec(comment.value) : null
    if (first === null) return
    const expression = candidates.find(({ end }) => end <= comment.start)
    const between = expression === undefined ? "" : code.slice(expression.end, comment.start)
    if (expression === undefined || !/^;?[^\S\n]*\n?[^\S\n]*$/.test(between)) {
      return fail(comment.start, "an assertion that stands behind no expression and no declaration")
    }
    const number = assertions.length
    assertions.push(line + lineAt(comment.start) - 1)
    let expected = first[1]!.trim()
    if (isConsoleLog(expression)) {
      const { end, start } = expression.callee
      checks.push({ start, end, text: `__examples.log(${number}, ${JSON.stringify(expected)})` })
      return
    }
    for (let next = index + 1; !isExpression(expected); next++) {
      const more = comments[next]
      const between = more === undefined ? "" : code.slice(comments[next - 1]!.end, more.start)
      if (more?.type !== "Line" || !/^\n[^\S\n]*$/.test(between) || /^\s*=>/.test(more.value)) {
        return fail(comment.start, `what stands behind => is no expression: ${expected}`)
      }
      expected += `\n${more.value}`
    }
    // A comment behind the expectation would swallow what is put behind it.
    const close = expected.includes("//") ? "\n" : ""
    // Put around the expression rather than in its place, so that assertions may stand inside it.
    const { end, start } = expression
    checks.push(
      { start, end: start, text: `__examples.check(${number}, (` },
      { start: end, end, text: `), (${expected}${close}))` }
    )
  })
  if (example.run && assertions.length === 0) {
    fail(0, "an example without an assertion (`// => value`); tag it no-run if it cannot have one")
  }

  // On the first line, so that the lines of a stack trace are those of the example.
  const prologue = `const __examples = globalThis.${registryName}.get(${JSON.stringify(id)}); `
  return {
    typescript: `${edited(code, imports)}\nexport {}\n`,
    javascript: example.run ? prologue + stripTypeScriptTypes(edited(code, [...imports, ...checks])) : "",
    assertions
  }
}

// -----------------------------------------------------------------------------
// Running
// -----------------------------------------------------------------------------

interface Recorder {
  readonly check: (number: number, actual: unknown, expected: unknown) => unknown
  readonly log: (number: number, expected: string) => (...args: ReadonlyArray<unknown>) => void
}

/** Shared through the global object: a module loaded by Node itself does not share modules with the test runner. */
const registry = new Map<string, Recorder>()
Object.assign(globalThis, { [registryName]: registry })

/** Runs a compiled example by `load` and throws its first failure. */
export const run = async (
  example: Example,
  id: string,
  compiled: Compiled,
  load: () => Promise<unknown>
): Promise<void> => {
  const reached = new Set<number>()
  // Kept, because the code of the example may catch what is thrown.
  const failures: Array<unknown> = []
  const at = (number: number) => `${example.path}:${compiled.assertions[number]}`
  const attempt = (number: number, assertion: () => void) => {
    reached.add(number)
    try {
      assertion()
    } catch (cause) {
      if (cause instanceof Error) cause.message = `${at(number)}: ${cause.message}`
      failures.push(cause)
      throw cause
    }
  }
  registry.set(id, {
    check: (number, actual, expected) => {
      attempt(number, () => Assert.deepStrictEqual(actual, expected))
      return actual
    },
    log:
      (number, expected) =>
      (...args) => {
        const printed = Util.formatWithOptions({ breakLength: Number.POSITIVE_INFINITY }, ...args)
        attempt(number, () => Assert.strictEqual(printed, expected))
      }
  })
  try {
    await load()
  } catch (cause) {
    failures.push(cause)
  } finally {
    registry.delete(id)
  }
  if (failures.length > 0) throw failures[0]
  const missed = compiled.assertions.findIndex((_, number) => !reached.has(number))
  if (missed !== -1) throw new Error(`${at(missed)}: the assertion was never reached`)
}
