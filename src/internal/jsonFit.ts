/**
 * Whether a JSON value that is still growing can fit its schema.
 *
 * Follows the events of the engine with all the ways in which the open containers can be read: one for each member of a
 * union that is still possible. A way ends at a value that it does not allow; when the last one ends, the value can no
 * longer fit, whatever comes.
 *
 * 1. What is found not to fit does not fit. What is not found may still not fit: the schema itself has the last word.
 * 2. There is at most one way for each container and member of the schema, so that recursive unions cost what they are
 *    long and not two to the power of their depth.
 *
 * @since 0.1.0
 */
import type { Json } from "./jsonModel.ts"

/** @since 0.1.0 */
export type Kind = "object" | "array" | "string"

/**
 * What a schema allows at one place.
 *
 * @since 0.1.0
 */
export interface Place {
  /** The ways to read an object, and an array. None: it is not allowed. */
  readonly objects: ReadonlyArray<Member>
  readonly arrays: ReadonlyArray<Member>
  /** Whether a string is allowed, and whether it may be shown while it grows. */
  readonly strings: "grow" | "whole" | "none"
  /** The strings that are allowed, if they can be listed. */
  readonly literals: ReadonlyArray<string> | undefined
  /** What is wrong with a whole value that is no container, if something is. */
  readonly issueOf: (value: Json) => string | undefined
  /** What is wrong with a value of this kind, which is not allowed here. */
  readonly issueOfKind: (kind: Kind) => string
}

/**
 * One way to read a container.
 *
 * @since 0.1.0
 */
export interface Member {
  /** What is allowed in a slot; `undefined`: nothing. */
  readonly at: (slot: string | number) => Place | undefined
  /** Keys that an object must have. */
  readonly required: ReadonlySet<string>
  /** Elements that an array must have. */
  readonly least: number
}

/**
 * Why a value cannot fit. The path of the event that showed it goes on with `slot`, if that is set.
 *
 * @since 0.1.0
 */
export interface Misfit {
  readonly slot: string | number | undefined
  readonly issue: string
}

/** A way to read an open container. */
class Way {
  readonly member: Member
  /** The ways to read the container around it that this one belongs to. */
  readonly parents: Array<Way> = []
  /** The ways that are left to read the open slot, where that is a container. */
  children = 0
  /** Required keys that have not come. */
  missing: number
  isPossible = true

  constructor(member: Member) {
    this.member = member
    this.missing = member.required.size
  }
}

interface Level {
  ways: Array<Way>
  /** The keys that have come, if some are required. */
  keys: Set<string> | undefined
  /** The elements that have come. */
  length: number
}

const nothingRequired: ReadonlySet<string> = new Set()

// In the words of Effect's own issues.
const expects = "Expected "
const excess = "Expected no excess property"
const missing = "Missing key"

/** @since 0.1.0 */
export class JsonFit {
  private readonly levels: Array<Level>
  private readonly root: Way
  /** What is wrong with the ways that the current event ends, … */
  private issues: Array<string> = []
  /** … and the slot that should have been there. */
  private slot: string | number | undefined
  /** The open string, as long as it may become one of some that can be listed. */
  private text: string | undefined

  constructor(place: Place) {
    this.root = new Way({ at: () => place, required: nothingRequired, least: 0 })
    this.levels = [{ ways: [this.root], keys: undefined, length: 0 }]
  }

  /** Begins a new top-level value. */
  reset(): void {
    this.root.isPossible = true
  }

  /**
   * A value begins in a slot, with `depth` containers around it. `"hide"`: a string that is not to be shown before it is
   * whole.
   */
  open(kind: Kind, depth: number, slot: string | number): Misfit | "show" | "hide" {
    const level = this.levels[depth]!
    this.enter(level, slot)
    if (kind === "string") return this.openString(level, slot)
    let inner = this.levels[depth + 1]
    if (inner === undefined) this.levels.push((inner = { ways: [], keys: undefined, length: 0 }))
    inner.ways = []
    inner.keys = undefined
    inner.length = 0
    for (const way of level.ways) {
      if (!way.isPossible) continue
      way.children = 0
      const place = way.member.at(slot)
      const members = place === undefined ? [] : kind === "object" ? place.objects : place.arrays
      if (members.length === 0) this.rule(way, place === undefined ? excess : place.issueOfKind(kind))
      for (const member of members) {
        let child = inner.ways.find((other) => other.member === member)
        if (child === undefined) inner.ways.push((child = new Way(member)))
        child.parents.push(way)
        way.children++
        if (child.missing > 0) inner.keys ??= new Set()
      }
    }
    return this.misfit() ?? "show"
  }

  /** Whether the open string may become one of some that can be listed: then {@link JsonFit.append} is of use. */
  get narrows(): boolean {
    return this.text !== undefined
  }

  /** The open string goes on. */
  append(text: string, depth: number, slot: string | number): Misfit | undefined {
    if (this.text === undefined) return undefined
    const sofar = this.text + text
    this.text = undefined
    for (const way of this.levels[depth]!.ways) {
      const place = way.isPossible ? way.member.at(slot)! : undefined
      if (place?.literals === undefined) continue
      if (place.literals.some((literal) => literal.startsWith(sofar))) this.text = sofar
      else this.rule(way, place.issueOfKind("string"))
    }
    return this.misfit()
  }

  /** A value in a slot is whole. */
  close(value: Json, depth: number, slot: string | number): Misfit | undefined {
    const level = this.levels[depth]!
    if (typeof value === "object" && value !== null) this.leave(this.levels[depth + 1]!)
    else {
      if (typeof value !== "string") this.enter(level, slot)
      for (const way of level.ways) {
        if (!way.isPossible) continue
        const place = way.member.at(slot)
        const issue = place === undefined ? excess : place.issueOf(value)
        if (issue !== undefined) this.rule(way, issue)
      }
    }
    return this.misfit()
  }

  /** A slot gets its value. */
  private enter(level: Level, slot: string | number): void {
    level.length++
    const { keys } = level
    if (keys === undefined || typeof slot === "number" || keys.has(slot)) return
    keys.add(slot)
    for (const way of level.ways) if (way.member.required.has(slot)) way.missing--
  }

  private openString(level: Level, slot: string | number): Misfit | "show" | "hide" {
    let grows = false
    this.text = undefined
    for (const way of level.ways) {
      if (!way.isPossible) continue
      const place = way.member.at(slot)
      if (place === undefined || place.strings === "none") {
        this.rule(way, place === undefined ? excess : place.issueOfKind("string"))
        continue
      }
      grows ||= place.strings === "grow"
      if (place.literals !== undefined) this.text = ""
    }
    return this.misfit() ?? (grows ? "show" : "hide")
  }

  /** A container is whole: has it what it must have? */
  private leave(level: Level): void {
    for (const way of level.ways) {
      if (!way.isPossible) continue
      if (way.missing > 0) {
        for (const key of way.member.required) {
          if (level.keys!.has(key)) continue
          this.slot ??= key
          this.rule(way, missing)
          break
        }
      } else if (level.length < way.member.least) {
        this.slot ??= level.length
        this.rule(way, missing)
      }
    }
  }

  /** Rules a way out, and those around it that have no other way to go on. */
  private rule(way: Way, issue: string): void {
    if (!this.issues.includes(issue)) this.issues.push(issue)
    const ruled = [way]
    for (const { parents } of ruled) {
      for (const parent of parents) if (--parent.children === 0) ruled.push(parent)
    }
    for (const each of ruled) each.isPossible = false
  }

  /** The end of an event: what it showed, if no way is left. */
  private misfit(): Misfit | undefined {
    const { issues, slot } = this
    if (issues.length === 0) return undefined
    this.issues = []
    this.slot = undefined
    if (this.root.isPossible) return undefined
    const areExpectations = issues.every((issue) => issue.startsWith(expects))
    const issue = areExpectations
      ? expects + issues.map((each) => each.slice(expects.length)).join(" | ")
      : issues.join("; ")
    return { slot, issue }
  }
}
