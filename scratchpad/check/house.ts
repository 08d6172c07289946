/**
 * Checks the rules of the house that neither the compiler nor the linter knows: floors, cycles, stability of what is
 * imported from Effect, the shape of the front door, file length, tests beside sources, machine paths.
 *
 * Every check is a pure function from files to violations; `main` reads the tree and prints.
 */
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { type ESTree, parseSync } from "rolldown/utils"
import { importSites, makeLineAt, nameOf } from "./source.ts"

export interface SourceFile {
  /** Relative to the repository root, with forward slashes. */
  readonly path: string
  readonly text: string
}

export interface Violation {
  readonly path: string
  readonly line: number
  readonly message: string
}

export interface Import {
  readonly specifier: string
  readonly names: ReadonlyArray<string>
  readonly line: number
}

export interface Module {
  readonly path: string
  readonly imports: ReadonlyArray<Import>
  readonly body: ReadonlyArray<ESTree.Directive | ESTree.Statement>
  readonly linesOfCode: number
  readonly lineAt: (offset: number) => number
  readonly syntaxErrors: ReadonlyArray<string>
}

// -----------------------------------------------------------------------------
// The house
// -----------------------------------------------------------------------------

const rooms: ReadonlyArray<readonly [prefix: string, floor: number]> = [
  ["src/internal/", 0],
  ["src/StreamError.ts", 1],
  ["src/StreamEvent.ts", 1],
  ["src/StreamResult.ts", 1],
  ["src/StreamBuffer.ts", 2],
  ["src/StreamCallbacks.ts", 2],
  ["src/StreamConfig.ts", 2],
  ["src/StreamProcessor.ts", 2],
  ["src/StreamStats.ts", 2],
  ["src/TokenCounter.ts", 2],
  ["src/StreamHandler.ts", 3],
  ["src/StreamModel.ts", 3],
  ["src/StreamSource.ts", 3],
  ["src/json/", 4],
  ["src/processors/", 4],
  ["src/wire/", 4],
  ["src/log/", 5],
  ["src/serve/", 5],
  ["src/testing/", 5],
  ["src/index.ts", 6]
]

const frontDoor = "src/index.ts"
const frontDoorNames = ["chunkStream", "streamToString"]
const highestStableFloor = 3
const maxLinesOfCode = 500

export const floorOf = (path: string): number | undefined =>
  rooms.find(([room]) => (room.endsWith("/") ? path.startsWith(room) : path === room))?.[1]

// -----------------------------------------------------------------------------
// Reading a file
// -----------------------------------------------------------------------------

/** Lines that hold something else than white space and comments. */
const countLinesOfCode = (
  text: string,
  comments: ReadonlyArray<{ readonly start: number; readonly end: number }>
): number => {
  let code = ""
  let from = 0
  for (const { start, end } of comments) {
    code += text.slice(from, start) + text.slice(start, end).replace(/[^\n]/g, " ")
    from = end
  }
  code += text.slice(from)
  return code.split("\n").filter((line) => line.trim() !== "").length
}

export const parseModule = ({ path, text }: SourceFile): Module => {
  const { comments, errors, program } = parseSync(path, text)
  const lineAt = makeLineAt(text)
  const imports = importSites(program).map(({ names, source }) => ({
    specifier: source.value,
    names,
    line: lineAt(source.start)
  }))
  return {
    path,
    imports,
    body: program.body,
    linesOfCode: countLinesOfCode(text, comments),
    lineAt,
    syntaxErrors: errors.map((error) => error.message)
  }
}

/** The path an import of our own points at, `undefined` for a package. */
const target = (from: string, specifier: string): string | undefined =>
  specifier.startsWith(".") ? Path.posix.join(Path.posix.dirname(from), specifier) : undefined

// -----------------------------------------------------------------------------
// Checks on sources
// -----------------------------------------------------------------------------

export const checkSyntax = (modules: ReadonlyArray<Module>): ReadonlyArray<Violation> =>
  modules.flatMap(({ path, syntaxErrors }) => syntaxErrors.map((message) => ({ path, line: 1, message })))

/** Circular imports, so that each file on a circle is shown on a shortest one; imports of types count. */
export const checkCycles = (modules: ReadonlyArray<Module>): ReadonlyArray<Violation> => {
  const edges = new Map(
    modules.map(({ imports, path }) => [
      path,
      imports.flatMap(({ line, specifier }) => {
        const to = target(path, specifier)
        return to === undefined ? [] : [{ to, line }]
      })
    ])
  )
  const violations: Array<Violation> = []
  const reported = new Set<string>()
  for (const start of [...edges.keys()].toSorted()) {
    if (reported.has(start)) continue
    // Breadth first, so that the circle shown is a shortest one.
    const cameFrom = new Map<string, string>()
    const queue = [start]
    search: for (const at of queue) {
      for (const { to } of edges.get(at) ?? []) {
        if (to === start) {
          const circle = [start]
          for (let step = at; step !== start; step = cameFrom.get(step) ?? start) circle.splice(1, 0, step)
          circle.forEach((path) => reported.add(path))
          const next = circle[1] ?? start
          const line = edges.get(start)?.find((edge) => edge.to === next)?.line ?? 1
          violations.push({ path: start, line, message: `circular import: ${[...circle, start].join(" -> ")}` })
          break search
        }
        if (!cameFrom.has(to) && edges.has(to)) {
          cameFrom.set(to, at)
          queue.push(to)
        }
      }
    }
  }
  return violations
}

/** An import goes to the same floor or down, and nobody imports a barrel. */
export const checkFloors = (modules: ReadonlyArray<Module>): ReadonlyArray<Violation> =>
  modules.flatMap(({ body, imports, lineAt, path }) => {
    const violations: Array<Violation> = []
    const floor = floorOf(path)
    if (floor === undefined) {
      return [{ path, line: 1, message: "no room of the house holds this file; give it one in rooms (house.ts)" }]
    }
    for (const { line, specifier } of imports) {
      const to = target(path, specifier)
      if (to === undefined) continue
      const below = floorOf(to)
      if (to === frontDoor) {
        violations.push({ path, line, message: `imports the front door ${to}; import the module itself` })
      } else if (below === undefined) {
        violations.push({ path, line, message: `imports ${to}, which is no room of the house` })
      } else if (below > floor) {
        violations.push({ path, line, message: `floor ${floor} imports ${to} on floor ${below}; imports go down` })
      }
    }
    if (path !== frontDoor) {
      const isBarrel = (node: ESTree.Directive | ESTree.Statement) =>
        node.type === "ExportAllDeclaration" && node.source.value.startsWith(".")
      for (const node of body.filter(isBarrel)) {
        violations.push({ path, line: lineAt(node.start), message: "only src/index.ts may `export *`" })
      }
      if (Path.posix.basename(path) === "index.ts") {
        violations.push({ path, line: 1, message: "a barrel; only src/index.ts is one" })
      }
    }
    return violations
  })

/** Says of a module of Effect (and a name in it, where the module is a barrel) what keeps it from being stable. */
export type Instability = (specifier: string, name: string) => string | undefined

/**
 * Reads stability from Effect's own sources: `read` gives the text of a file below `effect/src`.
 *
 * A barrel is followed to the module that a name stands for; the module's doc, which opens its file, must
 * say `@stability stable`.
 */
export const makeInstability = (read: (path: string) => string | undefined): Instability => {
  const docs = new Map<string, string | undefined>()
  const isStable = (file: string) => {
    if (!docs.has(file)) docs.set(file, /^(?:\s|\/\/[^\n]*)*\/\*\*.*?\*\//s.exec(read(file) ?? "")?.[0])
    return docs.get(file)?.includes("@stability stable") === true
  }
  const barrels = new Map<string, ReadonlyMap<string, string>>()
  const barrel = (file: string) => {
    let names = barrels.get(file)
    if (names === undefined) {
      const found = new Map<string, string>()
      for (const node of parseSync(file, read(file) ?? "").program.body) {
        if (node.type === "ExportAllDeclaration" && node.exported !== null) {
          found.set(nameOf(node.exported), node.source.value)
        } else if (node.type === "ExportNamedDeclaration" && node.source !== null) {
          for (const specifier of node.specifiers) found.set(nameOf(specifier.exported), node.source.value)
        }
      }
      names = found
      barrels.set(file, names)
    }
    return names
  }
  return (specifier, name) => {
    const path = specifier.split("/").slice(1).join("/")
    if (path !== "" && read(`${path}.ts`) !== undefined) {
      return isStable(`${path}.ts`) ? undefined : `${specifier} is not marked stable by Effect`
    }
    const index = Path.posix.join(path, "index.ts")
    if (read(index) === undefined) return `${specifier} is no module of Effect`
    if (name === "*") return `the whole of ${specifier} is imported; name the modules`
    const member = barrel(index).get(name)
    if (member === undefined) return `${specifier} has no export ${name}`
    return isStable(Path.posix.join(path, member)) ? undefined : `${specifier}.${name} is not marked stable by Effect`
  }
}

const isEffect = (specifier: string) => specifier === "effect" || specifier.startsWith("effect/")

/** Floor 0 knows no Effect at all, floors 1 to 3 only what is stable; the front door imports nothing but our own. */
export const checkStability = (modules: ReadonlyArray<Module>, instability: Instability): ReadonlyArray<Violation> =>
  modules.flatMap(({ imports, path }) => {
    const floor = floorOf(path)
    if (floor === undefined || floor > highestStableFloor) return []
    return imports
      .filter(({ specifier }) => isEffect(specifier))
      .flatMap(({ line, names, specifier }) => {
        if (floor === 0) return [{ path, line, message: `floor 0 imports ${specifier}; it is to know no Effect` }]
        const problems = new Set(names.map((name) => instability(specifier, name)).filter((p) => p !== undefined))
        return [...problems].map((problem) => ({ path, line, message: `floor ${floor}: ${problem}` }))
      })
  })

/** A package that is imported must be one that an installation brings along. */
export const checkPackages = (
  modules: ReadonlyArray<Module>,
  declared: ReadonlySet<string>
): ReadonlyArray<Violation> =>
  modules.flatMap(({ imports, path }) =>
    imports.flatMap(({ line, specifier }) => {
      if (specifier.startsWith(".")) return []
      const name = specifier
        .split("/")
        .slice(0, specifier.startsWith("@") ? 2 : 1)
        .join("/")
      return declared.has(name)
        ? []
        : [
            {
              path,
              line,
              message: `imports ${specifier}, which package.json neither depends on nor asks for as a peer`
            }
          ]
    })
  )

/** The front door: `export * as X from "./X.ts"`, sorted by name, and the two functions. */
export const checkFrontDoor = (modules: ReadonlyArray<Module>): ReadonlyArray<Violation> => {
  const path = frontDoor
  const module = modules.find((module) => module.path === path)
  if (module === undefined) return [{ path, line: 1, message: "missing" }]
  const violations: Array<Violation> = []
  const namespaces: Array<string> = []
  let functions: ReadonlyArray<string> | undefined
  for (const node of module.body) {
    const violation = (message: string) => violations.push({ path, line: module.lineAt(node.start), message })
    if (node.type === "ExportAllDeclaration" && node.exported !== null && node.exportKind !== "type") {
      const name = nameOf(node.exported)
      const source = node.source.value
      if (!source.startsWith("./") || Path.posix.basename(source) !== `${name}.ts`) {
        violation(`${name} must come from a file of its name, not from ${source}`)
      }
      const previous = namespaces.at(-1)
      if (previous !== undefined && previous >= name) violation(`${name} must stand before ${previous}: sort by name`)
      namespaces.push(name)
    } else if (node.type === "ExportNamedDeclaration" && node.source !== null && functions === undefined) {
      functions = node.specifiers.map((specifier) => nameOf(specifier.exported)).toSorted()
      if (functions.join() !== frontDoorNames.join()) {
        violation(`exports ${functions.join(", ")} where only ${frontDoorNames.join(" and ")} belong`)
      }
    } else {
      violation('only `export * as X from "./X.ts"` and one `export { chunkStream, streamToString } from` belong here')
    }
  }
  if (functions === undefined) {
    violations.push({ path, line: 1, message: `does not export ${frontDoorNames.join(" and ")}` })
  }
  return violations
}

export const checkLength = (modules: ReadonlyArray<Module>): ReadonlyArray<Violation> =>
  modules
    .filter(({ linesOfCode }) => linesOfCode > maxLinesOfCode)
    .map(({ linesOfCode, path }) => ({
      path,
      line: 1,
      message: `${linesOfCode} lines of code, ${maxLinesOfCode} at most (blank lines and comments not counted)`
    }))

// -----------------------------------------------------------------------------
// Checks on the tree
// -----------------------------------------------------------------------------

/** Each public source file has its test at the same place below `test/`. */
export const checkTests = (paths: ReadonlyArray<string>): ReadonlyArray<Violation> => {
  const present = new Set(paths)
  return paths
    .filter((path) => /^src\/.*\.ts$/.test(path) && path !== frontDoor && !path.startsWith("src/internal/"))
    .flatMap((path) => {
      const test = path.replace(/^src\//, "test/").replace(/\.ts$/, ".test.ts")
      return present.has(test) ? [] : [{ path, line: 1, message: `has no ${test}` }]
    })
}

// Put together at run time, so that this file passes its own check. A letter or digit before it makes it part of an
// address or of a longer path, which is nobody's machine.
const machinePath = new RegExp(`(?<![A-Za-z0-9])/(?:${["work", "farm", "root", "tmp"].join("|")})/`)

export const checkMachinePaths = (files: ReadonlyArray<SourceFile>): ReadonlyArray<Violation> =>
  files.flatMap(({ path, text }) =>
    text.includes("\0")
      ? []
      : text.split("\n").flatMap((content, index) => {
          const found = machinePath.exec(content)
          return found === null ? [] : [{ path, line: index + 1, message: `machine path ${found[0]}` }]
        })
  )

// -----------------------------------------------------------------------------
// The whole
// -----------------------------------------------------------------------------

export const check = (options: {
  readonly files: ReadonlyArray<SourceFile>
  readonly instability: Instability
  readonly declaredPackages: ReadonlySet<string>
}): ReadonlyArray<Violation> => {
  const modules = options.files.filter(({ path }) => /^src\/.*\.ts$/.test(path)).map(parseModule)
  return [
    ...checkSyntax(modules),
    ...checkCycles(modules),
    ...checkFloors(modules),
    ...checkStability(modules, options.instability),
    ...checkPackages(modules, options.declaredPackages),
    ...checkFrontDoor(modules),
    ...checkLength(modules),
    ...checkTests(options.files.map(({ path }) => path)),
    ...checkMachinePaths(options.files)
  ]
}

const main = () => {
  const root = Path.resolve(import.meta.dirname, "../..")
  const read = (path: string) => (Fs.existsSync(path) ? Fs.readFileSync(path, "utf8") : undefined)
  // Listed by git, so that what is ignored is not looked at; a file deleted but still in the index is skipped.
  const paths = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], { cwd: root })
    .toString()
    .split("\0")
    .filter((path) => path !== "")
  const files = [...new Set(paths)].toSorted().flatMap((path) => {
    const text = read(Path.join(root, path))
    return text === undefined ? [] : [{ path, text }]
  })
  const manifest: {
    readonly dependencies?: Record<string, string>
    readonly peerDependencies?: Record<string, string>
  } = JSON.parse(Fs.readFileSync(Path.join(root, "package.json"), "utf8"))
  const violations = check({
    files,
    instability: makeInstability((path) => read(Path.join(root, "node_modules/effect/src", path))),
    declaredPackages: new Set(Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies }))
  })
  for (const { line, message, path } of violations) console.log(`${path}:${line}: ${message}`)
  console.log(`house: ${files.length} files, ${violations.length} violations`)
  if (violations.length > 0) process.exitCode = 1
}

if (import.meta.main) main()
