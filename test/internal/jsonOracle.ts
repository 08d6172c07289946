/**
 * The whole-text reference of the JSON engine: a recursive descent that reads the text again for every question. It shares
 * no code with the engine, and no `JSON.parse`, whose keys cannot be trusted on Node 24.
 */
import type { Json, JsonEngineOptions, JsonPath } from "../../src/internal/jsonModel.ts"

type Slot = string | number

/** What was found at one place. `path` is the path of the open value at `at`. */
type Found =
  | { readonly _tag: "Whole"; readonly value: Json; readonly end: number }
  | { readonly _tag: "Open"; readonly value: Json | undefined; readonly path: JsonPath; readonly whole: Set<string> }
  | { readonly _tag: "Bad"; readonly at: number; readonly path: JsonPath; readonly kind: StopKind }

/** Behind a whole value, one container too many, or anywhere else. */
type StopKind = "AfterValue" | "Depth" | "Other"

class Stop {
  readonly at: number
  readonly kind: StopKind
  constructor(at: number, kind: StopKind = "Other") {
    this.at = at
    this.kind = kind
  }
}

const space = new Set([" ", "\n", "\r", "\t"])
const numberPrefix = /^-?(?:(?:0|[1-9]\d*)(?:\.\d*)?(?:(?<=\d)[eE][+-]?\d*)?)?$/
const wholeNumber = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/
const escaped: Record<string, string> = {
  '"': '"',
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t"
}

const own = (object: Record<string, Json>, key: string, value: Json): void => {
  Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true })
}

class Reader {
  readonly text: string
  readonly maxDepth: number
  readonly path: Array<Slot> = []
  /** Paths of what is whole, as JSON. */
  readonly whole = new Set<string>()
  at: number

  constructor(text: string, at: number, maxDepth: number) {
    this.text = text
    this.at = at
    this.maxDepth = maxDepth
  }

  /** Reads one value. The second is whether it is whole; a value of which nothing shows is `undefined`. */
  value(depth: number): readonly [Json | undefined, boolean] {
    const found = this.any(depth)
    if (found[1]) this.whole.add(JSON.stringify(this.path.map(String)))
    return found
  }

  any(depth: number): readonly [Json | undefined, boolean] {
    this.skip()
    const c = this.text[this.at]
    if (c === undefined) return [undefined, false]
    if (c === '"') return this.string()
    if (c === "{" || c === "[") {
      if (depth === this.maxDepth) throw new Stop(this.at, "Depth")
      return c === "{" ? this.object(depth + 1) : this.array(depth + 1)
    }
    for (const [word, value] of [
      ["true", true],
      ["false", false],
      ["null", null]
    ] as const) {
      if (c !== word[0]) continue
      for (const letter of word) {
        if (this.at === this.text.length) return [undefined, false]
        if (this.text[this.at] !== letter) throw new Stop(this.at)
        this.at++
      }
      return [value, true]
    }
    return this.number(depth)
  }

  number(depth: number): readonly [Json | undefined, boolean] {
    const from = this.at
    while (this.at < this.text.length && numberPrefix.test(this.text.slice(from, this.at + 1))) this.at++
    const text = this.text.slice(from, this.at)
    const next = this.text[this.at]
    if (next === undefined) return depth === 0 && wholeNumber.test(text) ? [Number(text), true] : [undefined, false]
    if (!wholeNumber.test(text) || !(space.has(next) || ",]}".includes(next))) throw new Stop(this.at)
    return [Number(text), true]
  }

  string(): readonly [string | undefined, boolean] {
    let value = ""
    const shown = () => (/[\ud800-\udbff]$/.test(value) ? value.slice(0, -1) : value)
    this.at++
    for (;;) {
      const c = this.text[this.at]
      if (c === undefined) return [shown(), false]
      if (c < " ") throw new Stop(this.at)
      this.at++
      if (c === '"') return [value, true]
      if (c !== "\\") {
        value += c
        continue
      }
      const name = this.text[this.at]
      if (name === undefined) return [shown(), false]
      if (name === "u") {
        this.at++
        const from = this.at
        for (; this.at < from + 4; this.at++) {
          const digit = this.text[this.at]
          if (digit === undefined) return [shown(), false]
          if (!/[0-9a-fA-F]/.test(digit)) throw new Stop(this.at)
        }
        value += String.fromCharCode(Number.parseInt(this.text.slice(from, this.at), 16))
      } else {
        const character = escaped[name]
        if (character === undefined) throw new Stop(this.at)
        value += character
        this.at++
      }
    }
  }

  array(depth: number): readonly [Json, boolean] {
    const array: Array<Json> = []
    this.at++
    for (;;) {
      this.path.push(array.length)
      this.skip()
      if (array.length === 0 && this.text[this.at] === "]") {
        this.path.pop()
        this.at++
        return [array, true]
      }
      const [value, isWhole] = this.value(depth)
      if (value !== undefined) array.push(value)
      if (!isWhole) return [array, false]
      this.path.pop()
      this.skip()
      const c = this.text[this.at]
      if (c === undefined) return [array, false]
      if (c !== "," && c !== "]") throw new Stop(this.at, "AfterValue")
      this.at++
      if (c === "]") return [array, true]
    }
  }

  object(depth: number): readonly [Json, boolean] {
    const object: Record<string, Json> = {}
    this.at++
    for (let isFirst = true; ; isFirst = false) {
      this.skip()
      let c = this.text[this.at]
      if (c === undefined) return [object, false]
      if (isFirst && c === "}") {
        this.at++
        return [object, true]
      }
      if (c !== '"') throw new Stop(this.at)
      const [key, isKey] = this.string()
      if (!isKey) return [object, false]
      this.path.push(key!)
      // The second of two equal keys makes what the first one held unfinished.
      const inside = JSON.stringify(this.path.map(String)).slice(0, -1)
      for (const path of this.whole) if (path === `${inside}]` || path.startsWith(`${inside},`)) this.whole.delete(path)
      this.skip()
      c = this.text[this.at]
      if (c === undefined) return [object, false]
      if (c !== ":") throw new Stop(this.at)
      this.at++
      const [value, isWhole] = this.value(depth)
      if (value !== undefined) own(object, key!, value)
      if (!isWhole) return [object, false]
      this.path.pop()
      this.skip()
      c = this.text[this.at]
      if (c === undefined) return [object, false]
      if (c !== "," && c !== "}") throw new Stop(this.at, "AfterValue")
      this.at++
      if (c === "}") return [object, true]
    }
  }

  skip(): void {
    while (space.has(this.text[this.at]!)) this.at++
  }
}

const read = (text: string, at: number, maxDepth: number): Found => {
  const reader = new Reader(text, at, maxDepth)
  try {
    const [value, isWhole] = reader.value(0)
    if (isWhole) return { _tag: "Whole", value: value!, end: reader.at }
    return { _tag: "Open", value, path: reader.path, whole: reader.whole }
  } catch (stop) {
    if (!(stop instanceof Stop)) throw stop
    return { _tag: "Bad", at: stop.at, path: reader.path, kind: stop.kind }
  }
}

export interface Expected {
  readonly values: ReadonlyArray<Json>
  readonly partial: Json | undefined
  /** Paths of what is whole in the open value, as JSON, indices as strings. */
  readonly whole: ReadonlySet<string>
  /** Offset, path and kind. */
  readonly fault: readonly [string, number, JsonPath] | undefined
}

const counts = (value: Json | undefined, roots: JsonEngineOptions["roots"]): boolean => {
  if (value === undefined) return false
  if (!Array.isArray(value)) return roots !== "arrays"
  if (roots === undefined)
    return value.some((item) => typeof item === "string" || (typeof item === "object" && item !== null))
  return roots !== "objects"
}

/** What is to be found in a text, which need not be at its end. Knows nothing of fences. */
export const expected = (text: string, options: JsonEngineOptions = {}, isEnd = false): Expected => {
  const { maxDepth = 1_000, maxSize = 2 ** 24, roots, strict = false } = options
  const values: Array<Json> = []
  const nothing = new Set<string>()
  const search = /[{[]/g
  const document = /[^ \n\r\t]/g
  let at = 0
  for (;;) {
    const pattern = strict ? document : search
    pattern.lastIndex = at
    const start = pattern.exec(text)?.index
    if (start === undefined) {
      const fault = strict && isEnd && values.length === 0 ? (["InvalidJson", text.length, []] as const) : undefined
      return { values, partial: undefined, whole: nothing, fault }
    }
    if (strict && values.length > 0) {
      return { values, partial: undefined, whole: nothing, fault: ["InvalidJson", start, []] }
    }
    let found = read(text, start, maxDepth)
    // A number at the top level is not whole before the text ends or something that may stand there follows.
    const openNumber: Found = { _tag: "Open", value: undefined, path: [], whole: nothing }
    if (found._tag === "Whole" && found.end === text.length && typeof found.value === "number" && !isEnd) {
      found = openNumber
    }
    const until = found._tag === "Whole" ? found.end : found._tag === "Bad" ? found.at + 1 : text.length
    if (until - start > maxSize) {
      const limit = start + maxSize
      const before = read(text.slice(0, limit), start, maxDepth)
      const partial = before._tag === "Open" && (strict || counts(before.value, roots)) ? before.value : undefined
      const path = before._tag === "Open" ? before.path : []
      return { values, partial, whole: nothing, fault: ["SizeLimit", limit, path] }
    }
    if (found._tag === "Whole") {
      if (strict || counts(found.value, roots)) values.push(found.value)
      at = found.end
      continue
    }
    let prefix: Found = found
    if (found._tag === "Bad") {
      // The bracket that cannot stand there has told that the number before it is whole, as a space would have.
      const before = text.slice(0, found.at) + (found.kind === "AfterValue" ? " " : "")
      prefix = read(before, start, maxDepth)
      if (prefix._tag === "Whole" && typeof prefix.value === "number") prefix = openNumber
    }
    if (prefix._tag !== "Open") throw new Error(`${text}: ${prefix._tag} before ${until}`)
    const isVisible = strict || counts(prefix.value, roots)
    const partial = isVisible ? prefix.value : undefined
    const whole = isVisible ? prefix.whole : nothing
    if (found._tag === "Open") {
      const fault = strict && isEnd ? (["InvalidJson", text.length, found.path] as const) : undefined
      return { values, partial, whole, fault }
    }
    if (found.kind === "Depth") return { values, partial, whole, fault: ["DepthLimit", found.at, found.path] }
    if (strict || (options.onMalformed === "fail" && isVisible)) {
      return { values, partial, whole, fault: ["InvalidJson", found.at, found.path] }
    }
    at = found.at
  }
}

/** A value as text that hides nothing: order of keys, own `__proto__`, -0, lone surrogates, infinities. */
export const show = (value: Json | undefined): string => {
  if (value === undefined) return "nothing"
  if (typeof value === "number") return Object.is(value, -0) ? "-0" : String(value)
  if (typeof value !== "object" || value === null) return JSON.stringify(value)
  if (Array.isArray(value)) return `[${Array.from(value, show).join(",")}]`
  if (Object.getPrototypeOf(value) !== Object.prototype) return "an object with another prototype"
  const object = value as Readonly<Record<string, Json>>
  return `{${Object.keys(object)
    .map((key) => `${JSON.stringify(key)}:${show(object[key])}`)
    .join(",")}}`
}
