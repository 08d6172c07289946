/** Runs the JSON engine over chunks and tells what came out. */
import { assert } from "@effect/vitest"
import { JsonEngine } from "../../src/internal/jsonEngine.ts"
import type { Json, JsonEngineOptions, JsonPath } from "../../src/internal/jsonModel.ts"
import { show } from "./jsonOracle.ts"

export interface Outcome {
  readonly values: ReadonlyArray<string>
  readonly partial: string
  readonly fault: JsonEngine["fault"]
}

export const outcome = (engine: JsonEngine): Outcome => ({
  values: engine.takeValues().map(show),
  partial: show(engine.partialUnsafe),
  fault: engine.fault
})

export const run = (chunks: Iterable<string>, options?: JsonEngineOptions): Outcome => {
  const engine = new JsonEngine(options)
  for (const chunk of chunks) engine.feed(chunk)
  engine.end()
  return outcome(engine)
}

/** The values, as JSON. */
export const values = (text: string, options?: JsonEngineOptions): ReadonlyArray<string> => {
  const whole = run([text], options)
  assert.deepStrictEqual(run(text.split(""), options), whole)
  return whole.values
}

/** The partial after each chunk. */
export const partials = (chunks: ReadonlyArray<string>, options?: JsonEngineOptions): ReadonlyArray<string> => {
  const engine = new JsonEngine(options)
  return chunks.map((chunk) => {
    engine.feed(chunk)
    return show(engine.partialUnsafe)
  })
}

export const faultOf = (engine: JsonEngine): readonly [string, number, JsonPath] | undefined =>
  engine.fault === undefined ? undefined : [engine.fault._tag, engine.fault.offset, engine.fault.path]

export const strict = { strict: true }

/** A member or an element. */
export const child = (value: Json | undefined, name: string): Json | undefined => {
  const object = value as Readonly<Record<string, Json>>
  return object[name]
}
