import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as JsonShape from "../../src/json/JsonShape.ts"

const Struct = Schema.Struct({ a: Schema.String })

class Tree extends Schema.Class<Tree>("Tree")({
  label: Schema.String,
  children: Schema.Array(Schema.suspend((): Schema.Codec<Tree, TreeEncoded> => Tree))
}) {}
interface TreeEncoded {
  readonly label: string
  readonly children: ReadonlyArray<TreeEncoded>
}

describe("of", () => {
  const roots = (schema: Schema.Constraint) => {
    const { hasCitations, isScalar, roots } = JsonShape.of(schema)
    return [roots, isScalar, hasCitations]
  }

  it("says which values of a text a schema can be about", () => {
    assert.deepStrictEqual(roots(Struct), ["objects", false, true])
    assert.deepStrictEqual(roots(Tree), ["objects", false, true])
    assert.deepStrictEqual(roots(Schema.Record(Schema.String, Schema.Number)), ["objects", false, true])
    assert.deepStrictEqual(roots(Schema.NullOr(Struct)), ["objects", false, true])
    assert.deepStrictEqual(roots(Schema.Array(Struct)), ["arrays", false, true])
    assert.deepStrictEqual(roots(Schema.Array(Schema.String)), ["arrays", false, true])
    assert.deepStrictEqual(roots(Schema.Array(Schema.NullOr(Schema.String))), ["arrays", false, false])
    assert.deepStrictEqual(roots(Schema.Tuple([Schema.Number, Schema.String])), ["arrays", false, false])
    assert.deepStrictEqual(roots(Schema.Union([Struct, Schema.Array(Struct)])), ["all", false, true])
    assert.deepStrictEqual(roots(Schema.Unknown), [undefined, false, false])
    assert.deepStrictEqual(roots(Schema.Json), [undefined, false, false])
    assert.deepStrictEqual(roots(Schema.NumberFromString), ["objects", true, true])
    assert.strictEqual(JsonShape.of(Tree), JsonShape.of(Tree))
  })

  it("says what may stand where, from the encoded side", () => {
    const { place } = JsonShape.of(Tree)
    const [tree] = place.objects
    assert.deepStrictEqual(tree!.required, new Set(["label", "children"]))
    assert.strictEqual(tree!.at("label")!.strings, "grow")
    const children = tree!.at("children")!
    assert.strictEqual(children.strings, "none")
    // Recursion comes back to where it was.
    assert.strictEqual(children.arrays[0]!.at(7)!.objects[0], tree)
    assert.strictEqual(place.issueOf("x"), "Expected object")
    assert.strictEqual(place.issueOfKind("array"), "Expected object")
  })

  it("asks the decoders what must be there", () => {
    const fields = Schema.Struct({
      a: Schema.String,
      b: Schema.optional(Schema.String),
      c: Schema.optionalKey(Schema.NumberFromString),
      d: Schema.NumberFromString
    })
    assert.deepStrictEqual(JsonShape.of(fields).place.objects[0]!.required, new Set(["a", "d"]))
    const tuple = Schema.TupleWithRest(Schema.Tuple([Schema.String, Schema.Number]), [Schema.Boolean, Schema.Null])
    assert.strictEqual(JsonShape.of(tuple).place.arrays[0]!.least, 3)
    assert.strictEqual(JsonShape.of(Schema.NonEmptyArray(Schema.Null)).place.arrays[0]!.least, 1)
    assert.strictEqual(JsonShape.of(Schema.Array(Schema.Null)).place.arrays[0]!.least, 0)
  })

  it("lists the strings that there can be", () => {
    const of = (schema: Schema.Constraint) => JsonShape.of(schema).place.literals
    assert.deepStrictEqual(of(Schema.Literals(["a", 1, "b"])), ["a", "b"])
    assert.deepStrictEqual(of(Schema.Enum({ A: "x", B: 1 })), ["x"])
    assert.isUndefined(of(Schema.Union([Schema.Literal("a"), Schema.String])))
    assert.isUndefined(of(Schema.Number))
    assert.isUndefined(of(Schema.TemplateLiteral(["a", Schema.String])))
  })
})

describe("mismatch", () => {
  it("is the issue that is deepest, without the value", () => {
    const Shape = Schema.Union([
      Schema.Struct({ x: Schema.Number }),
      Schema.Struct({ y: Schema.Struct({ z: Schema.String }) })
    ])
    const result = Schema.decodeUnknownResult(Shape)({ y: { z: "secret".length } })
    assert.strictEqual(result._tag, "Failure")
    if (result._tag !== "Failure") return
    const { message, reason } = JsonShape.mismatch(["items", 2], result.failure.issue)
    assert.deepStrictEqual(reason, {
      _tag: "SchemaMismatch",
      path: ["items", 2, "y", "z"],
      issue: "Expected string"
    })
    assert.strictEqual(message, "Value does not fit the schema in /items/2/y/z: Expected string")
  })
})

describe("isCitation", () => {
  it("holds for arrays of nothing but numbers and literals", () => {
    assert.isTrue(JsonShape.isCitation([1, null, true]))
    assert.isFalse(JsonShape.isCitation([]))
    assert.isFalse(JsonShape.isCitation([1, "a"]))
    assert.isFalse(JsonShape.isCitation([1, [2]]))
    assert.isFalse(JsonShape.isCitation({ a: 1 }))
  })
})
