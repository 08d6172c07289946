/**
 * Writes the JSON text of an object whose values arrive one by one, each with its path: `$.a.b[0].c`.
 *
 * 1. The text only grows: what a value adds can be shown at once, and all that was added is the text of the object.
 * 2. That is possible because a model speaks in order. A value for a place that the text has gone past, or that skips
 *    items, cannot be written: the text then stays open for good, which is no JSON.
 * 3. Besides the keys of the containers that are open, nothing is kept of what was written.
 *
 * @since 0.1.0
 */
import { number, string, type UnknownRecord } from "./untyped.ts"

type Segment = string | number

/** An object or an array that is not closed yet. */
interface Container {
  /** Its place in the one that it is in. */
  readonly segment: Segment
  readonly isArray: boolean
  /** Of an array only its length counts. */
  readonly keys: Set<string>
  count: number
}

export class JsonPathWriter {
  private readonly containers: Array<Container> = []
  /** Where the text is inside of a string. */
  private openString: ReadonlyArray<Segment> | undefined
  private isBroken = false

  /** Whether the text is at a place where the object could end. */
  get isAtRest(): boolean {
    return this.openString === undefined && !this.isBroken
  }

  /** Gives the text that begins the object, once. */
  begin(): string {
    return this.containers.length === 0 ? this.open("", false) : ""
  }

  /**
   * Takes a value: `{ jsonPath, stringValue | numberValue | boolValue | nullValue, willContinue }`, in which
   * `willContinue` announces more of the same string. Gives the text that it adds.
   */
  write(value: UnknownRecord): string {
    if (this.isBroken) return ""
    const start = this.begin()
    const added = this.add(value)
    this.isBroken = added === undefined
    return start + (added ?? "")
  }

  /** The object is over. Gives the text that closes what is open. */
  close(): string {
    if (this.isBroken) return ""
    return this.closeString() + this.closeTo(0)
  }

  private add(value: UnknownRecord): string | undefined {
    const jsonPath = string(value["jsonPath"]) ?? ""
    const isArray = jsonPath.endsWith("[]")
    const path = segmentsOf(isArray ? jsonPath.slice(0, -2) : jsonPath)
    if (path === undefined) return undefined
    const text = textOf(value)
    if (isArray && text !== undefined) return undefined
    const goesOn = value["willContinue"] === true

    if (this.openString !== undefined && isSame(path, this.openString)) {
      if (text !== undefined && !text.startsWith('"')) return undefined
      return (text?.slice(1, -1) ?? "") + (goesOn ? "" : this.closeString())
    }
    const before = this.closeString()
    // It ends an array, or announces a value.
    if (text === undefined && (goesOn || path.length === 0)) return before
    const added = this.put(path, text ?? (isArray ? "[]" : "{}"), text === undefined)
    if (added === undefined) return undefined
    if (!goesOn || text?.startsWith('"') !== true) return before + added
    this.openString = path
    return before + added.slice(0, -1)
  }

  /** Goes from where the text is to the path, and writes the value there. */
  private put(path: ReadonlyArray<Segment>, text: string, isEnd: boolean): string | undefined {
    let depth = 0
    while (depth < path.length - 1 && this.containers[depth + 1]?.segment === this.segmentAt(depth, path[depth]))
      depth++
    const place = this.segmentAt(depth, path[depth])
    if (place === undefined) return undefined
    if (this.isWritten(depth, place)) return isEnd ? "" : undefined
    let added = this.closeTo(depth + 1)
    for (let at = depth; at < path.length; at++) {
      const segment = this.segmentAt(at, path[at])!
      const container = this.containers[at]!
      if (container.isArray ? segment !== container.count : typeof segment !== "string") return undefined
      if (container.count++ > 0) added += ","
      if (typeof segment === "string") {
        container.keys.add(segment)
        added += `${JSON.stringify(segment)}:`
      }
      added += at === path.length - 1 ? text : this.open(segment, typeof path[at + 1] === "number")
    }
    return added
  }

  /** `$.a.0` is written for `$.a[0]`, too. */
  private segmentAt(depth: number, segment: Segment | undefined): Segment | undefined {
    return typeof segment === "string" && this.containers[depth]!.isArray && /^\d+$/.test(segment)
      ? Number(segment)
      : segment
  }

  private isWritten(depth: number, segment: Segment): boolean {
    const { count, keys } = this.containers[depth]!
    return typeof segment === "string" ? keys.has(segment) : segment < count
  }

  private open(segment: Segment, isArray: boolean): string {
    this.containers.push({ segment, isArray, keys: new Set(), count: 0 })
    return isArray ? "[" : "{"
  }

  private closeTo(depth: number): string {
    let text = ""
    while (this.containers.length > depth) text += this.containers.pop()!.isArray ? "]" : "}"
    return text
  }

  private closeString(): string {
    if (this.openString === undefined) return ""
    this.openString = undefined
    return '"'
  }
}

const isSame = (a: ReadonlyArray<Segment>, b: ReadonlyArray<Segment>): boolean =>
  a.length === b.length && a.every((segment, i) => String(segment) === String(b[i]))

/** The JSON text of the value; `undefined` for none. */
const textOf = (value: UnknownRecord): string | undefined => {
  const scalar = string(value["stringValue"]) ?? number(value["numberValue"])
  if (scalar !== undefined) return JSON.stringify(scalar)
  if (typeof value["boolValue"] === "boolean") return String(value["boolValue"])
  return "nullValue" in value ? "null" : undefined
}

const segment = /\.([^.[\]]+)|\[(\d+)\]|\['((?:[^'\\]|\\.)*)'\]|\["((?:[^"\\]|\\.)*)"\]/sy

/** `undefined` for what is no path to one place. */
const segmentsOf = (path: string): ReadonlyArray<Segment> | undefined => {
  const segments: Array<Segment> = []
  if (!path.startsWith("$")) return undefined
  segment.lastIndex = 1
  while (segment.lastIndex < path.length) {
    const match = segment.exec(path)
    if (match === null) return undefined
    const [, name, index, single, double] = match
    const found = index === undefined ? (name ?? unescape(single ?? double ?? "")) : Number(index)
    if (found === undefined) return undefined
    segments.push(found)
  }
  return segments
}

const unescape = (quoted: string): string | undefined => {
  const text = quoted.replaceAll(/\\.|"/gs, (match) => (match === '"' ? '\\"' : match === "\\'" ? "'" : match))
  try {
    return string(JSON.parse(`"${text}"`))
  } catch {
    return undefined
  }
}
