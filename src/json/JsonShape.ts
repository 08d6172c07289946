/**
 * What a schema says about JSON before it is whole: what may stand where, and what may be shown half.
 *
 * The schema is read from its encoded side, transformations included: a place knows what its field's decoder will say to a
 * whole string or number. No effect is run for it: what a decoder says only after an effect, it says at the end.
 *
 * @since 0.1.0
 */
import * as Exit from "effect/Exit"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import * as Cause from "effect/Cause"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaParser from "effect/SchemaParser"
import type { Kind, Member, Place } from "../internal/jsonFit.ts"
import type { Json, JsonPath, JsonRoots } from "../internal/jsonModel.ts"
import * as StreamError from "../StreamError.ts"

// -----------------------------------------------------------------------------
// annotation
// -----------------------------------------------------------------------------

const wholeKey = "effect-llm-streaming/whole"

/** @internal */
export const annotateWhole = <S extends Schema.Top>(schema: S): S["Rebuild"] => schema.annotate({ [wholeKey]: true })

// An annotation goes to the last check, if there are checks.
const isWhole = (ast: SchemaAST.AST): boolean =>
  ast.annotations?.[wholeKey] === true || ast.checks?.some((check) => check.annotations?.[wholeKey] === true) === true

// -----------------------------------------------------------------------------
// issues
// -----------------------------------------------------------------------------

const format = SchemaIssue.makeFormatterStandardSchemaV1()

/**
 * Of several issues the one that is deepest in the value: of the members of a union, that is of the one that fits best.
 */
const mainIssue = (issue: SchemaIssue.Issue): { readonly path: JsonPath; readonly message: string } => {
  const [first, ...others] = format(issue).issues.map(({ message, path = [] }) => ({
    message,
    path: path.map((key) => (typeof key === "symbol" ? String(key) : (key as string | number)))
  }))
  return others.reduce((best, other) => (other.path.length > best.path.length ? other : best), first!)
}

/** @internal */
export const mismatch = (path: JsonPath, issue: SchemaIssue.Issue): StreamError.StreamErrorOf<"SchemaMismatch"> => {
  const main = mainIssue(issue)
  return StreamError.make({ _tag: "SchemaMismatch", path: [...path, ...main.path], issue: main.message })
}

/** @internal */
export const issueIn = (cause: Cause.Cause<unknown>): SchemaIssue.Issue | undefined => {
  const error = Option.getOrUndefined(Cause.findErrorOption(cause))
  return SchemaIssue.isIssue(error) ? error : undefined
}

/** What the decoder of a schema says without running an effect. */
const decodeNow = (ast: SchemaAST.AST): ((value: unknown) => SchemaIssue.Issue | undefined) => {
  const decode = SchemaParser.decodeUnknownEffect(Schema.make<Schema.Codec<unknown>>(ast))
  return (value) => {
    const effect = decode(value)
    return Exit.isExit(effect) && Exit.isFailure(effect) ? issueIn(effect.cause) : undefined
  }
}

// -----------------------------------------------------------------------------
// places
// -----------------------------------------------------------------------------

type Scalar = "string" | "number" | "boolean" | "null"

const scalarOf = (value: Json): Scalar => (value === null ? "null" : (typeof value as Scalar))

const probes: Readonly<Record<Kind, Json>> = { object: {}, array: [], string: "" }

/**
 * A place in a value that is described by a schema.
 *
 * @internal
 */
export class SchemaPlace implements Place {
  readonly objects: Array<Member> = []
  readonly arrays: Array<Member> = []
  strings: Place["strings"] = "none"
  literals: Array<string> | undefined = []
  /** Anything may stand here and below, and may grow. */
  isAny = false
  /** Any kind of value may stand here. */
  hasAny = false
  /** Numbers, `true`, `false` or `null` may stand here. */
  hasBare = false
  private readonly places: Places
  /** Kinds of which all values fit. */
  private readonly all = new Set<Scalar>()
  /** A decoder may replace what does not fit. */
  private isLenient = false
  private readonly issue: (value: unknown) => SchemaIssue.Issue | undefined
  private readonly encodedIssue: (value: unknown) => SchemaIssue.Issue | undefined

  constructor(ast: SchemaAST.AST, whole: boolean, places: Places) {
    this.places = places
    this.issue = decodeNow(ast)
    // Not all that a transformation refuses is known at once, but what it is given is.
    const encoded = SchemaAST.toEncoded(ast)
    this.encodedIssue = encoded === ast ? this.issue : decodeNow(encoded)
    this.add(ast, whole, true)
    if (this.literals?.length === 0) this.literals = undefined
  }

  issueOf(value: Json): string | undefined {
    if (this.all.has(scalarOf(value))) return undefined
    const isEncoded = this.encodedIssue !== this.issue && !this.isLenient
    const issue = (isEncoded ? this.encodedIssue(value) : undefined) ?? this.issue(value)
    return issue && mainIssue(issue).message
  }

  issueOfKind(kind: Kind): string {
    const issue = this.encodedIssue(probes[kind])
    return issue === undefined ? `Expected no ${kind}` : mainIssue(issue).message
  }

  /** `isPlain`: nothing is said about a value but what `ast` says itself. */
  private add(ast: SchemaAST.AST, whole: boolean, isPlain: boolean): void {
    for (;;) {
      whole ||= isWhole(ast)
      isPlain &&= ast.checks === undefined
      const { encoding } = ast
      if (encoding === undefined) break
      isPlain = false
      if (encoding.some(isMiddleware)) {
        this.isLenient = true
        return this.addAny(whole, false)
      }
      ast = encoding[encoding.length - 1]!.to
    }
    switch (ast._tag) {
      case "String":
        return this.addString(undefined, whole, isPlain)
      case "TemplateLiteral":
        return this.addString(undefined, true, false)
      case "Literal":
        return this.addLiteral(ast.literal)
      case "Enum":
        for (const [, value] of ast.enums) this.addLiteral(value)
        return
      case "Number":
        return this.addBare("number", isPlain)
      case "Boolean":
        return this.addBare("boolean", isPlain)
      case "Null":
        return this.addBare("null", isPlain)
      case "Union":
        for (const type of ast.types) this.add(type, whole, isPlain)
        return
      case "Suspend":
        return this.add(ast.thunk(), whole, isPlain)
      case "Arrays":
        this.arrays.push(this.places.array(ast, whole))
        return
      case "Objects":
        // `Schema.Struct({})` allows whatever is not null.
        if (ast.propertySignatures.length === 0 && ast.indexSignatures.length === 0) return this.addAny(whole, false)
        this.objects.push(this.places.object(ast, whole))
        return
      case "Any":
      case "Unknown":
        return this.addAny(whole, isPlain)
      case "Declaration":
      case "ObjectKeyword":
        return this.addAny(whole, false)
      default:
        // What JSON does not have.
        return
    }
  }

  private addAny(whole: boolean, isPlain: boolean): void {
    const inner = this.places.anything(whole)
    this.objects.push(inner)
    this.arrays.push(inner)
    this.addString(undefined, whole, isPlain)
    for (const kind of ["number", "boolean", "null"] as const) this.addBare(kind, isPlain)
    this.isAny ||= isPlain && !whole
    this.hasAny = true
  }

  private addString(literal: string | undefined, whole: boolean, isPlain: boolean): void {
    if (this.strings !== "grow") this.strings = whole ? "whole" : "grow"
    if (literal === undefined) this.literals = undefined
    else this.literals?.push(literal)
    if (isPlain) this.all.add("string")
  }

  private addLiteral(literal: SchemaAST.LiteralValue): void {
    if (typeof literal === "string") this.addString(literal, true, false)
    else if (typeof literal !== "bigint") this.addBare(typeof literal as "number" | "boolean", false)
  }

  private addBare(kind: Scalar, isPlain: boolean): void {
    this.hasBare = true
    if (isPlain) this.all.add(kind)
  }
}

const isMiddleware = ({ transformation }: SchemaAST.Link): boolean =>
  transformation._tag === "Middleware" && transformation.decode !== identity

const none: ReadonlySet<string> = new Set()

/** The places of one schema: one for each of its nodes, made when they are first asked for, since schemas can be endless. */
class Places {
  private readonly made = [new Map<SchemaAST.AST, SchemaPlace>(), new Map<SchemaAST.AST, SchemaPlace>()] as const
  private readonly members = [new Map<SchemaAST.AST, Member>(), new Map<SchemaAST.AST, Member>()] as const

  of(ast: SchemaAST.AST, whole: boolean): SchemaPlace {
    return remember(this.made[whole ? 1 : 0], ast, () => new SchemaPlace(ast, whole, this))
  }

  anything(whole: boolean): Member {
    return remember(this.members[whole ? 1 : 0], SchemaAST.unknown, () => ({
      at: () => this.of(SchemaAST.unknown, whole),
      required: none,
      least: 0
    }))
  }

  object(ast: SchemaAST.Objects, whole: boolean): Member {
    return remember(this.members[whole ? 1 : 0], ast, () => {
      const fields = new Map<string | number, SchemaAST.AST>()
      const required = new Set<string>()
      for (const property of ast.propertySignatures) {
        const name = String(property.name)
        fields.set(name, property.type)
        if (decodeNow(new SchemaAST.Objects([property], []))({}) !== undefined) required.add(name)
      }
      const rest = restOf(ast)
      return { at: (slot) => this.of(fields.get(slot) ?? rest, whole), required, least: 0 }
    })
  }

  array(ast: SchemaAST.Arrays, whole: boolean): Member {
    return remember(this.members[whole ? 1 : 0], ast, () => {
      const { elements, rest } = ast
      const isRequired = (element: SchemaAST.AST) =>
        decodeNow(new SchemaAST.Arrays(false, [element], []))([]) !== undefined
      const least = elements.filter(isRequired).length + Math.max(0, rest.length - 1)
      // Which of the elements behind the rest an element is, only the last one tells.
      const others = rest.length > 1 ? SchemaAST.unknown : rest[0]
      const at: Member["at"] = (slot) => {
        const element = elements[slot as number] ?? others
        return element && this.of(element, whole)
      }
      return { at, required: none, least }
    })
  }
}

/** What the keys of an object have that are no fields of their own. */
const restOf = ({ indexSignatures }: SchemaAST.Objects): SchemaAST.AST => {
  const [first, ...others] = indexSignatures
  const isOne = first !== undefined && others.length === 0
  const isAllKeys = isOne && first.parameter._tag === "String" && first.parameter.checks === undefined
  return isAllKeys && first.parameter.encoding === undefined ? first.type : SchemaAST.unknown
}

const remember = <K, V>(map: Map<K, V>, key: K, make: () => V): V => {
  let value = map.get(key)
  if (value === undefined) map.set(key, (value = make()))
  return value
}

// -----------------------------------------------------------------------------
// the whole
// -----------------------------------------------------------------------------

/**
 * A schema, as the top-level values of a text see it.
 *
 * @internal
 */
export interface JsonShape {
  readonly place: SchemaPlace
  readonly roots: JsonRoots | undefined
  /** Only scalars fit, which cannot be found in prose. */
  readonly isScalar: boolean
  /** An array of numbers, `true`, `false` and `null` alone cannot be meant: it is a citation, `[1]`. */
  readonly hasCitations: boolean
}

const shapes = new WeakMap<SchemaAST.AST, JsonShape>()

/** @internal */
export const of = (schema: Schema.Constraint): JsonShape => {
  let shape = shapes.get(schema.ast)
  if (shape === undefined) shapes.set(schema.ast, (shape = make(schema.ast)))
  return shape
}

const make = (ast: SchemaAST.AST): JsonShape => {
  const place = new Places().of(ast, false)
  const hasObjects = place.objects.length > 0
  const hasArrays = place.arrays.length > 0
  return {
    place,
    roots:
      place.hasBare && hasObjects && hasArrays ? undefined : hasArrays ? (hasObjects ? "all" : "arrays") : "objects",
    isScalar: !hasObjects && !hasArrays,
    hasCitations: place.arrays.every((member) => (member.at(0) as SchemaPlace | undefined)?.hasBare !== true)
  }
}

/** @internal */
export const isCitation = (value: Json): boolean =>
  Array.isArray(value) &&
  value.length > 0 &&
  value.every((item) => typeof item !== "string" && (typeof item !== "object" || item === null))
