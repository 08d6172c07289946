/**
 * Checks the package as a user gets it: what the tarball holds, what publint and are-the-types-wrong say of it, and that
 * a project which installs it compiles and runs against it.
 *
 * Needs no network: the installation takes Effect from this repository.
 */
import * as Assert from "node:assert"
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"

const root = Path.resolve(import.meta.dirname, "../..")
const bin = (name: string) => Path.join(root, "node_modules/.bin", name)
const packageName = "effect-llm-streaming"

const consumer = `import { Effect } from "effect"
import { chunkStream, StreamEvent, StreamHandler } from "${packageName}"
import * as ContentFilter from "${packageName}/processors/ContentFilter"

const program: Effect.Effect<string, StreamHandler.HandlerError> = chunkStream("the password is out", {
  chunkSize: 3,
  delay: 0
}).pipe(StreamEvent.fromText, ContentFilter.make({ patterns: ["password"] }), StreamHandler.runText())

console.log(await Effect.runPromise(program))
`
const consumerPrints = /^the (?!password).+ is out$/

/** Imports everything that is public, and what is not. */
const imports = (modules: ReadonlyArray<string>, hidden: ReadonlyArray<string>) => `
for (const name of ${JSON.stringify(modules)}) await import(name)
for (const name of ${JSON.stringify(hidden)}) {
  const code = await import(name).then(() => "imported", (error) => error.code)
  if (code !== "ERR_PACKAGE_PATH_NOT_EXPORTED") throw new Error(name + " can be imported: " + code)
}
`

/** Runs a program; what it printed is shown only when it fails. */
const run = (cwd: string, command: string, ...args: ReadonlyArray<string>): string => {
  try {
    return execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] })
  } catch (cause) {
    const { stderr = "", stdout = "" }: { readonly stderr?: string; readonly stdout?: string } = Object(cause)
    const output = `${stdout}${stderr}`.trim()
    throw new Error(`${Path.basename(command)} ${args.join(" ")}\n${output || String(cause)}`, { cause })
  }
}

const step = <A>(name: string, f: () => A): A => {
  try {
    const result = f()
    console.log(`ok      ${name}`)
    return result
  } catch (cause) {
    console.log(`FAILED  ${name}`)
    throw cause
  }
}

/** What the tarball must and may hold. */
const checkContents = (paths: ReadonlyArray<string>) => {
  const strays = paths.filter((path) => !/^(?:dist|src)\/|^(?:package\.json|README\.md|LICENSE)$/.test(path))
  Assert.ok(strays.length === 0, `holds ${strays.join(", ")}`)
  const present = new Set(paths)
  const sources = paths.filter((path) => path.startsWith("src/"))
  const odd = sources.filter((path) => !path.endsWith(".ts"))
  Assert.ok(odd.length === 0, `holds ${odd.join(", ")}`)
  const built = sources.flatMap((path) => {
    const base = path.replace(/^src\//, "dist/").replace(/\.ts$/, "")
    return [".js", ".js.map", ".d.ts", ".d.ts.map"].map((extension) => base + extension)
  })
  const missing = ["package.json", "README.md", "LICENSE", "src/index.ts", ...built].filter(
    (path) => !present.has(path)
  )
  Assert.ok(missing.length === 0, `lacks ${missing.join(", ")}`)
  const expected = new Set(built)
  const stale = paths.filter((path) => path.startsWith("dist/") && !expected.has(path))
  Assert.ok(stale.length === 0, `holds ${stale.join(", ")}, which no source stands behind`)
}

const main = (directory: string) => {
  step("build", () => run(root, "npm", "run", "build"))
  const tarball = step("npm pack", () => {
    run(root, "npm", "pack", "--ignore-scripts", "--pack-destination", directory)
    const found = Fs.readdirSync(directory).find((name) => name.endsWith(".tgz"))
    if (found === undefined) throw new Error("npm pack wrote no tarball")
    return Path.join(directory, found)
  })
  const paths = run(directory, "tar", "-tzf", tarball)
    .split("\n")
    .filter((path) => path !== "" && !path.endsWith("/"))
    .map((path) => path.replace(/^package\//, ""))
  step(`contents (${paths.length} files)`, () => checkContents(paths))

  const modules = paths.flatMap((path) => /^dist\/(.*)\.js$/.exec(path)?.[1] ?? [])
  const isHidden = (path: string) => path.startsWith("internal/")
  const shown = modules.filter((path) => path !== "index" && !isHidden(path))
  step("publint", () => run(directory, process.execPath, bin("publint"), "run", tarball, "--strict"))
  step(`are the types wrong (${shown.length + 1} entry points)`, () => {
    // Named one by one: the tool does not expand `./*`.
    const entryPoints = [".", ...shown]
    const flags = ["--profile", "esm-only", "--no-definitely-typed", "--no-emoji", "--format", "ascii"]
    run(directory, process.execPath, bin("attw"), tarball, ...flags, "--entrypoints", ...entryPoints)
  })

  const project = Path.join(directory, "project")
  step("npm install", () => {
    Fs.mkdirSync(project)
    const manifest = {
      name: "consumer",
      private: true,
      type: "module",
      dependencies: {
        effect: `file:${Fs.realpathSync(Path.join(root, "node_modules/effect"))}`,
        [packageName]: `file:${tarball}`
      }
    }
    Fs.writeFileSync(Path.join(project, "package.json"), JSON.stringify(manifest))
    const cache = Path.join(directory, "cache")
    run(project, "npm", "install", "--offline", "--no-audit", "--no-fund", "--cache", cache)
  })
  step("type check of a consumer, library files included", () => {
    Fs.writeFileSync(Path.join(project, "consumer.ts"), consumer)
    const config = {
      compilerOptions: {
        target: "es2024",
        lib: ["es2024", "dom", "dom.iterable", "dom.asynciterable"],
        module: "nodenext",
        types: [],
        strict: true,
        exactOptionalPropertyTypes: true,
        noUncheckedIndexedAccess: true,
        skipLibCheck: false,
        noEmit: true
      },
      include: ["consumer.ts"]
    }
    Fs.writeFileSync(Path.join(project, "tsconfig.json"), JSON.stringify(config))
    run(project, bin("tsc"), "-p", ".", "--pretty", "false")
  })
  step("run of the consumer", () => {
    const printed = run(project, process.execPath, "consumer.ts").trim()
    Assert.match(printed, consumerPrints)
  })
  step(`imports of ${shown.length + 1} public modules, and none of internal ones`, () => {
    const hidden = ["internal/x", ...modules.filter(isHidden)].map((path) => `${packageName}/${path}`)
    const all = [packageName, ...shown.map((path) => `${packageName}/${path}`)]
    Fs.writeFileSync(Path.join(project, "imports.js"), imports(all, hidden))
    run(project, process.execPath, "imports.js")
  })
}

const directory = Fs.mkdtempSync(Path.join(Os.tmpdir(), `${packageName}-`))
try {
  main(directory)
} catch (cause) {
  console.log(cause instanceof Error ? cause.message : cause)
  process.exitCode = 1
} finally {
  Fs.rmSync(directory, { recursive: true, force: true })
}
