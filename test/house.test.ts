import { assert, describe, it } from "@effect/vitest"
import * as Fs from "node:fs"
import * as House from "../scratchpad/check/house.ts"

const file = (path: string, text: string): House.SourceFile => ({ path, text })
const modules = (...files: ReadonlyArray<readonly [path: string, text: string]>) =>
  files.map(([path, text]) => House.parseModule(file(path, text)))
const shown = (violations: ReadonlyArray<House.Violation>) =>
  violations.map(({ line, message, path }) => `${path}:${line}: ${message}`)

const doc = (stability: string) => `/**\n * A module.\n *\n * @stability ${stability}\n */\nexport const x = 1\n`
const effectSources: Record<string, string> = {
  "index.ts": `/** @stability stable */\nexport { pipe } from "./Function.ts"\nexport * as Effect from "./Effect.ts"\nexport * as Graph from "./Graph.ts"\n`,
  "Function.ts": doc("stable"),
  "Effect.ts": `/// <reference lib="es2024" />\n\n${doc("stable")}`,
  // Stable symbols do not make the module stable.
  "Graph.ts": `${doc("unstable")}\n/** @stability stable */\nexport const y = 1\n`,
  "ai/index.ts": `/** @stability stable */\nexport * as Response from "./Response.ts"\n`,
  "ai/Response.ts": doc("unstable"),
  "encoding/index.ts": `export * as Hex from "./Hex.ts"\n`,
  "encoding/Hex.ts": doc("stable")
}
const instability = House.makeInstability((path) => effectSources[path])

describe("house", () => {
  it("finds circular imports, of types too, and shows each file on a shortest one", () => {
    const found = House.checkCycles(
      modules(
        ["src/A.ts", `// one\nimport type { B } from "./B.ts"\nimport "./internal/free.ts"`],
        ["src/B.ts", `export { c } from "./internal/c.ts"\nimport { far } from "./far.ts"`],
        ["src/far.ts", `import { c } from "./internal/c.ts"`],
        ["src/beside.ts", `import { far } from "./far.ts"`],
        ["src/internal/c.ts", `export const c: import("../A.ts").A = 1`],
        ["src/internal/free.ts", `export const free = 1`],
        ["src/Self.ts", `export const self = () => import("./Self.ts")`]
      )
    )
    assert.deepStrictEqual(shown(found), [
      "src/A.ts:2: circular import: src/A.ts -> src/B.ts -> src/internal/c.ts -> src/A.ts",
      "src/Self.ts:1: circular import: src/Self.ts -> src/Self.ts",
      "src/far.ts:1: circular import: src/far.ts -> src/internal/c.ts -> src/A.ts -> src/B.ts -> src/far.ts"
    ])
  })

  it("takes no import in a comment or a string for one", () => {
    const found = House.checkCycles(
      modules([
        "src/A.ts",
        `/** import { a } from "./A.ts" */\nexport const a = 'import { a } from "./A.ts"' + \`\nimport "./A.ts"\``
      ])
    )
    assert.deepStrictEqual(found, [])
  })

  it("lets imports go down or stay, never up", () => {
    const found = House.checkFloors(
      modules(
        ["src/StreamEvent.ts", `import { e } from "./StreamError.ts"\nimport type { H } from "./StreamHandler.ts"`],
        ["src/wire/OpenAi.ts", `import * as H from "../StreamHandler.ts"\nimport * as S from "../serve/Http.ts"`],
        ["src/internal/scan.ts", `import { other } from "./other.ts"`],
        ["src/testing/Kit.ts", `import * as All from "../index.ts"\nimport { x } from "../nowhere/X.ts"`],
        ["src/wire/index.ts", `export * as OpenAi from "./OpenAi.ts"`],
        ["src/Stray.ts", `export const x = 1`]
      )
    )
    assert.deepStrictEqual(shown(found), [
      "src/StreamEvent.ts:2: floor 1 imports src/StreamHandler.ts on floor 3; imports go down",
      "src/wire/OpenAi.ts:2: floor 4 imports src/serve/Http.ts on floor 5; imports go down",
      "src/testing/Kit.ts:1: imports the front door src/index.ts; import the module itself",
      "src/testing/Kit.ts:2: imports src/nowhere/X.ts, which is no room of the house",
      "src/wire/index.ts:1: only src/index.ts may `export *`",
      "src/wire/index.ts:1: a barrel; only src/index.ts is one",
      "src/Stray.ts:1: no room of the house holds this file; give it one in rooms (house.ts)"
    ])
  })

  it("allows only what Effect calls stable on floors 1 to 3, and no Effect on floor 0", () => {
    const stable = `import { Effect, pipe } from "effect"\nimport * as E from "effect/Effect"\nimport { Hex } from "effect/encoding"\nimport * as H from "effect/encoding/Hex"`
    const unstable = `import type { Graph } from "effect"\nimport * as G from "effect/Graph"\nimport { Response } from "effect/ai"\nimport * as R from "effect/ai/Response"\nimport * as All from "effect"\nimport { Gone } from "effect"\nimport * as Nowhere from "effect/Nowhere"`
    const found = House.checkStability(
      modules(
        ["src/StreamEvent.ts", stable],
        ["src/StreamHandler.ts", unstable],
        ["src/wire/EffectAi.ts", unstable],
        ["src/internal/scan.ts", `import type { LazyArg } from "effect/Function"`]
      ),
      instability
    )
    assert.deepStrictEqual(shown(found), [
      "src/StreamHandler.ts:1: floor 3: effect.Graph is not marked stable by Effect",
      "src/StreamHandler.ts:2: floor 3: effect/Graph is not marked stable by Effect",
      "src/StreamHandler.ts:3: floor 3: effect/ai.Response is not marked stable by Effect",
      "src/StreamHandler.ts:4: floor 3: effect/ai/Response is not marked stable by Effect",
      "src/StreamHandler.ts:5: floor 3: the whole of effect is imported; name the modules",
      "src/StreamHandler.ts:6: floor 3: effect has no export Gone",
      "src/StreamHandler.ts:7: floor 3: effect/Nowhere is no module of Effect",
      "src/internal/scan.ts:1: floor 0 imports effect/Function; it is to know no Effect"
    ])
  })

  it("reads the stability of the Effect that is installed", () => {
    const root = new URL("../node_modules/effect/src/", import.meta.url)
    const installed = House.makeInstability((path) => {
      const url = new URL(path, root)
      return Fs.existsSync(url) ? Fs.readFileSync(url, "utf8") : undefined
    })
    assert.deepStrictEqual(
      ["Effect", "Stream", "pipe", "Graph"].map((name) => installed("effect", name)),
      [undefined, undefined, undefined, "effect.Graph is not marked stable by Effect"]
    )
    assert.strictEqual(installed("effect/ai", "Response"), "effect/ai.Response is not marked stable by Effect")
  })

  it("allows only packages that an installation brings along", () => {
    const found = House.checkPackages(
      modules([
        "src/wire/A.ts",
        `import * as S from "effect/Stream"\nimport * as Fs from "node:fs"\nimport { p } from "@ai-sdk/provider/x"\nimport "./B.ts"`
      ]),
      new Set(["effect"])
    )
    assert.deepStrictEqual(shown(found), [
      "src/wire/A.ts:2: imports node:fs, which package.json neither depends on nor asks for as a peer",
      "src/wire/A.ts:3: imports @ai-sdk/provider/x, which package.json neither depends on nor asks for as a peer"
    ])
  })

  it("keeps the front door to sorted namespaces and the two functions", () => {
    const functions = `export { chunkStream, streamToString } from "./StreamSource.ts"`
    const door = (text: string) => shown(House.checkFrontDoor(modules(["src/index.ts", text])))
    assert.deepStrictEqual(
      door(`/** Doc. */\n${functions}\n/** A. */\nexport * as A from "./wire/A.ts"\nexport * as B from "./B.ts"`),
      []
    )
    assert.deepStrictEqual(
      door(`export * as B from "./B.ts"\nexport * as A from "./A.ts"\nexport * as C from "./D.ts"\n${functions}`),
      [
        "src/index.ts:2: A must stand before B: sort by name",
        "src/index.ts:3: C must come from a file of its name, not from ./D.ts"
      ]
    )
    const only = 'only `export * as X from "./X.ts"` and one `export { chunkStream, streamToString } from` belong here'
    assert.deepStrictEqual(
      door(`export * from "./A.ts"\nexport const x = 1\nimport "./A.ts"\n${functions}\n${functions}`),
      [`src/index.ts:1: ${only}`, `src/index.ts:2: ${only}`, `src/index.ts:3: ${only}`, `src/index.ts:5: ${only}`]
    )
    assert.deepStrictEqual(door(`export { chunkStream, more } from "./A.ts"`), [
      "src/index.ts:1: exports chunkStream, more where only chunkStream and streamToString belong"
    ])
    assert.deepStrictEqual(door(""), ["src/index.ts:1: does not export chunkStream and streamToString"])
    assert.deepStrictEqual(shown(House.checkFrontDoor([])), ["src/index.ts:1: missing"])
  })

  it("counts lines of code without blank lines and comments", () => {
    const line = "export {} // a comment beside code\n"
    const nothing = "\n  \n/**\n * Doc.\n */\n// comment\n"
    const at = (lines: number) =>
      shown(House.checkLength(modules(["src/wire/A.ts", nothing.repeat(50) + line.repeat(lines)])))
    assert.deepStrictEqual(at(500), [])
    assert.deepStrictEqual(at(501), [
      "src/wire/A.ts:1: 501 lines of code, 500 at most (blank lines and comments not counted)"
    ])
  })

  it("asks for a test beside each public source file", () => {
    const found = House.checkTests([
      "src/index.ts",
      "src/internal/scan.ts",
      "src/StreamEvent.ts",
      "src/wire/OpenAi.ts",
      "src/wire/Ollama.ts",
      "test/StreamEvent.test.ts",
      "test/OpenAi.test.ts",
      "test/wire/Ollama.test.ts"
    ])
    assert.deepStrictEqual(shown(found), ["src/wire/OpenAi.ts:1: has no test/wire/OpenAi.test.ts"])
  })

  it("finds machine paths, and no addresses or temporary directories asked of the system", () => {
    const machine = ["work", "farm", "root", "tmp"].map((name) => `/${name}/`)
    const found = House.checkMachinePaths([
      file("README.md", machine.map((path) => `see ${path}x`).join("\n")),
      file("docs.md", "https://example.com/work/x\nsrc/tmp/x\nos.tmpdir()\n/var/x\n"),
      file("image.png", `\0${machine[0]}`)
    ])
    assert.deepStrictEqual(
      shown(found),
      machine.map((path, index) => `README.md:${index + 1}: machine path ${path}`)
    )
  })

  it("reports what does not parse", () => {
    const found = House.checkSyntax(modules(["src/wire/A.ts", "export const = 1"]))
    assert.deepStrictEqual(shown(found), ["src/wire/A.ts:1: Unexpected token"])
  })

  it("runs every check over the files it is given", () => {
    // In two pieces, so that this file passes the check itself.
    const machinePath = `/${"root"}/`
    const found = House.check({
      files: [
        file(
          "src/StreamEvent.ts",
          `import * as G from "effect/Graph"\nimport * as H from "./StreamHandler.ts"\nimport "zod"`
        ),
        file("src/StreamHandler.ts", `import * as E from "./StreamEvent.ts"\n${"export {}\n".repeat(500)}`),
        file("src/wire/Broken.ts", "export const = 1"),
        file("test/wire/Broken.test.ts", `const path = "${machinePath}x"`)
      ],
      instability,
      declaredPackages: new Set(["effect"])
    })
    assert.deepStrictEqual(
      found.map(({ message, path }) => `${path}: ${message.split(/[:;,]/)[0]}`),
      [
        "src/wire/Broken.ts: Unexpected token",
        "src/StreamEvent.ts: circular import",
        "src/StreamEvent.ts: floor 1 imports src/StreamHandler.ts on floor 3",
        "src/StreamEvent.ts: floor 1",
        "src/StreamEvent.ts: imports zod",
        "src/index.ts: missing",
        "src/StreamHandler.ts: 501 lines of code",
        "src/StreamEvent.ts: has no test/StreamEvent.test.ts",
        "src/StreamHandler.ts: has no test/StreamHandler.test.ts",
        `test/wire/Broken.test.ts: machine path ${machinePath}`
      ]
    )
  })
})
