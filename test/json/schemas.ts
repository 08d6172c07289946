/** Generated schemas, values that fit them and values that nearly do. */
import { Schema } from "effect"
import type { Json } from "../../src/json/JsonStreamParser.ts"
import type { Dice } from "../internal/jsonTexts.ts"

type AnySchema = Schema.Codec<unknown>

/** A schema, and a value that fits it. */
export interface Sample {
  readonly schema: AnySchema
  readonly value: (roll: Dice) => Json
}

const pick = <A>(roll: Dice, list: ReadonlyArray<A>): A => list[roll(list.length)]!

const words = ["", "a", "easy", "easy going", "hard", "1", "é😀", 'say "hi"', "a longer text, of some words"]
const literals = [
  ["easy", "hard", "easy going"],
  ["a", "b"],
  [1, 2],
  ["on", 1, true]
] as const

const scalars: ReadonlyArray<Sample> = [
  { schema: Schema.String, value: (roll) => pick(roll, words) },
  { schema: Schema.Number, value: (roll) => pick(roll, [0, -1, 2.5, 1e21]) },
  { schema: Schema.Boolean, value: (roll) => roll(2) === 0 },
  { schema: Schema.Null, value: () => null },
  { schema: Schema.String.check(Schema.isMaxLength(3)), value: (roll) => pick(roll, ["", "abc"]) },
  { schema: Schema.NumberFromString.check(Schema.isGreaterThan(1)), value: (roll) => pick(roll, ["2", "30"]) },
  { schema: Schema.Int, value: (roll) => roll(9) },
  ...literals.map((values) => ({ schema: Schema.Literals(values), value: (roll: Dice) => pick<Json>(roll, values) }))
]

const keys = ["a", "b", "kind", "list", "__proto__"]

/** A schema of at most `depth` containers inside one another. */
export const sample = (roll: Dice, depth: number): Sample => {
  const kind = depth === 0 ? 0 : roll(8)
  if (kind <= 1) return pick(roll, scalars)
  if (kind <= 4) return struct(roll, depth)
  if (kind === 5) {
    const item = sample(roll, depth - 1)
    const value = (roll: Dice) => Array.from({ length: roll(4) }, () => item.value(roll))
    return { schema: Schema.Array(item.schema), value }
  }
  if (kind === 6) {
    const items = Array.from({ length: 1 + roll(3) }, () => sample(roll, depth - 1))
    return {
      schema: Schema.Tuple(items.map((item) => item.schema)),
      value: (roll) => items.map((item) => item.value(roll))
    }
  }
  return union(roll, depth)
}

/** As {@link sample}, for an object. */
export const struct = (roll: Dice, depth: number): Sample => {
  if (roll(5) === 0) {
    const item = sample(roll, depth - 1)
    const value = (roll: Dice) => Object.fromEntries(keys.slice(0, roll(4)).map((key) => [key, item.value(roll)]))
    return { schema: Schema.Record(Schema.String, item.schema), value }
  }
  const names = keys.filter(() => roll(2) === 0)
  const fields = names.map((name) => ({ name, isOptional: roll(3) === 0, sample: sample(roll, depth - 1) }))
  return {
    schema: Schema.Struct(
      Object.fromEntries(
        fields.map(({ isOptional, name, sample }) => [
          name,
          isOptional ? Schema.optionalKey(sample.schema) : sample.schema
        ])
      )
    ) as AnySchema,
    value: (roll) =>
      Object.fromEntries(
        fields
          .filter(({ isOptional }) => !isOptional || roll(2) === 0)
          .map(({ name, sample }) => [name, sample.value(roll)])
      )
  }
}

const union = (roll: Dice, depth: number): Sample => {
  if (roll(2) === 0) {
    const members = Array.from({ length: 2 + roll(2) }, () => sample(roll, depth - 1))
    return {
      schema: Schema.Union(members.map((member) => member.schema)),
      value: (roll) => pick(roll, members).value(roll)
    }
  }
  const members = ["x", "y", "xyz"].map((kind) => {
    const item = sample(roll, depth - 1)
    return {
      schema: Schema.Struct({ kind: Schema.Literal(kind), a: item.schema }) as AnySchema,
      value: (roll: Dice): Json => ({ kind, a: item.value(roll) })
    }
  })
  return {
    schema: Schema.Union(members.map((member) => member.schema)),
    value: (roll) => pick(roll, members).value(roll)
  }
}

const others: ReadonlyArray<Json> = ["", "z", "hardly", 3, -1.5, true, null, {}, [], [1], { a: 1 }, { kind: "x" }]

/** The same with one part of it left out, added or replaced. */
export const nearly = (roll: Dice, value: Json): Json => {
  if (typeof value !== "object" || value === null || roll(3) === 0) return pick(roll, others)
  if (Array.isArray(value)) {
    const items: Array<Json> = [...value]
    const at = roll(items.length + 1)
    if (at === items.length || roll(3) === 0) items.splice(at, roll(2), pick(roll, others))
    else items[at] = nearly(roll, items[at]!)
    return items
  }
  const entries = Object.entries(value as { readonly [key: string]: Json })
  const at = roll(entries.length + 1)
  const entry = entries[at]
  if (entry === undefined) entries.push(["more", pick(roll, others)])
  else if (roll(3) === 0) entries.splice(at, 1)
  else entries[at] = [entry[0], nearly(roll, entry[1])]
  return Object.fromEntries(entries)
}
