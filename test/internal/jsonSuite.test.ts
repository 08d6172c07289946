/** The JSON parsing test suite (`test_parsing` of nst/JSONTestSuite) in strict mode, whole and one code unit at a time. */
import { assert, it } from "@effect/vitest"
import { readdirSync, readFileSync } from "node:fs"
import { JsonEngine } from "../../src/internal/jsonEngine.ts"
import type { Json } from "../../src/internal/jsonModel.ts"
import { describeShared } from "../support/shared.ts"
import { show } from "./jsonOracle.ts"

const parse = (text: string): string => {
  try {
    return show(JSON.parse(text) as Json)
  } catch {
    return "refused"
  }
}

const read = (chunks: Iterable<string>): string => {
  const engine = new JsonEngine({ strict: true })
  for (const chunk of chunks) engine.feed(chunk)
  engine.end()
  return engine.fault === undefined ? show(engine.takeValues()[0]) : "refused"
}

describeShared("JSONTestSuite", "json-test-suite", () => {
  const directory = `${import.meta.dirname}/../../../shared/json-test-suite`
  const files = readdirSync(directory).filter((name) => name.endsWith(".json"))
  for (const [kind, count] of [
    ["y", 95],
    ["n", 188],
    ["i", 35]
  ] as const) {
    it(`${kind}: ${count} files`, () => {
      const own = files.filter((name) => name.startsWith(`${kind}_`))
      assert.strictEqual(own.length, count)
      for (const name of own) {
        const text = readFileSync(`${directory}/${name}`, "utf8")
        const reference = parse(text)
        if (kind !== "i") assert.strictEqual(reference === "refused", kind === "n", name)
        assert.strictEqual(read([text]), reference, name)
        assert.strictEqual(read(text.split("")), reference, `${name}, one at a time`)
      }
    })
  }
})
