/**
 * Reads a regular expression, and says how much text it takes and how far around that it looks.
 *
 * 1. Everything that `RegExp` accepts is read as `RegExp` reads it, or refused with the reason: backreferences, and strings in
 *    the classes of the flag `v`, are not regular; look-around without a bound would need the whole text; what is repeated and
 *    may be empty has rules of its own in `RegExp`.
 * 2. Lengths count characters as the flags have it: code points with `u` or `v`, UTF-16 code units without.
 *
 * @since 0.1.0
 */

/**
 * @category models
 * @since 0.1.0
 */
export type Node =
  | { readonly type: "character"; readonly source: string; readonly flags: string }
  | { readonly type: "sequence" | "choice"; readonly items: ReadonlyArray<Node> }
  | { readonly type: "repeat"; readonly body: Node; readonly min: number; readonly max: number; readonly lazy: boolean }
  | Assertion

/**
 * What is true of a position or not. `behind` and `ahead` are how far it looks.
 *
 * @category models
 * @since 0.1.0
 */
export interface Assertion {
  readonly type: "assertion"
  readonly source: string
  readonly flags: string
  readonly behind: number
  readonly ahead: number
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Extent {
  /** How much it takes. */
  readonly min: number
  readonly max: number
  /** How far it looks before where it begins, and beyond where it ends. */
  readonly behind: number
  readonly ahead: number
}

/**
 * Whether characters are code points.
 *
 * @category getters
 * @since 0.1.0
 */
export const isUnicode = (flags: string): boolean => /[uv]/.test(flags)

/**
 * Reads a regular expression. Its flags `d`, `g` and `y` do not count.
 *
 * **Gotchas**
 *
 * Throws a `RangeError` that says what is refused.
 *
 * @category constructors
 * @since 0.1.0
 */
export const parse = (regExp: RegExp): Node => {
  return new Parser(regExp).choice()
}

/**
 * Says which regular expression is refused, and why.
 *
 * @category errors
 * @since 0.1.0
 */
export const refuse = (regExp: RegExp, problem: string): RangeError => new RangeError(`regExp ${regExp} ${problem}`)

/**
 * @category getters
 * @since 0.1.0
 */
export const extentOf = (node: Node): Extent => {
  switch (node.type) {
    case "character":
      return { min: 1, max: 1, behind: 0, ahead: 0 }
    case "assertion":
      return { min: 0, max: 0, behind: node.behind, ahead: node.ahead }
    case "choice":
      return node.items.map(extentOf).reduce((a, b) => ({
        min: Math.min(a.min, b.min),
        max: Math.max(a.max, b.max),
        behind: Math.max(a.behind, b.behind),
        ahead: Math.max(a.ahead, b.ahead)
      }))
    case "sequence":
      return node.items.map(extentOf).reduce(
        (a, b) => ({
          min: a.min + b.min,
          max: a.max + b.max,
          behind: Math.max(a.behind, b.behind - a.min),
          ahead: Math.max(a.ahead - b.min, b.ahead)
        }),
        { min: 0, max: 0, behind: 0, ahead: 0 }
      )
    case "repeat": {
      if (node.max === 0) return { min: 0, max: 0, behind: 0, ahead: 0 }
      const { ahead, behind, max, min } = extentOf(node.body)
      return { min: min * node.min, max: max === 0 ? 0 : max * node.max, behind, ahead }
    }
  }
}

const quantifier = /(?:[*+?]|\{(\d+)(?:(,)(\d*))?\})(\??)/y
const group = /\((?:\?(?:(<?[=!])|<[^>]*>|([ims]*)(?:-([ims]*))?:))?/y
const unicodeEscape =
  /\\(?:u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|u\{[\da-fA-F]+\}|u[\da-fA-F]{4}|x[\da-fA-F]{2}|c[A-Za-z]|[pP]\{[^}]*\}|[^])/uy
const plainEscape = /\\(?:u[\da-fA-F]{4}|x[\da-fA-F]{2}|c[A-Za-z]|0[0-7]{0,2}|[^])/y

class Parser {
  private readonly regExp: RegExp
  private readonly source: string
  private flags: string
  private index = 0

  constructor(regExp: RegExp) {
    this.regExp = regExp
    this.source = regExp.source
    this.flags = regExp.flags.replace(/[dgy]/g, "")
  }

  choice(): Node {
    const items = [this.sequence()]
    while (this.source[this.index] === "|") {
      this.index++
      items.push(this.sequence())
    }
    return items.length === 1 ? items[0]! : { type: "choice", items }
  }

  private sequence(): Node {
    const items: Array<Node> = []
    while (this.index < this.source.length && !/[|)]/.test(this.source[this.index]!)) items.push(this.term())
    return items.length === 1 ? items[0]! : { type: "sequence", items }
  }

  private term(): Node {
    const start = this.index
    const body = this.atom()
    const found = this.read(quantifier)
    if (found === undefined) return body
    const [text, least, comma, most, lazy] = found
    const min = least === undefined ? (text[0] === "+" ? 1 : 0) : Number(least)
    const max =
      least === undefined
        ? text[0] === "?"
          ? 1
          : Infinity
        : comma === undefined
          ? min
          : most
            ? Number(most)
            : Infinity
    if (max > min && extentOf(body).min === 0) {
      throw refuse(this.regExp, `repeats what may be empty: ${this.source.slice(start, this.index)}`)
    }
    return { type: "repeat", body, min, max, lazy: lazy !== "" }
  }

  private atom(): Node {
    switch (this.source[this.index]) {
      case "(":
        return this.group()
      case "[":
        return this.characterClass()
      case "\\":
        return this.escape()
      case "^":
        this.index++
        return this.assertion("^", 1, 0)
      case "$":
        this.index++
        return this.assertion("$", 0, 1)
      default: {
        const code = this.source.codePointAt(this.index)!
        const size = isUnicode(this.flags) && code > 0xffff ? 2 : 1
        // Without `u`, a brace that opens no quantifier stands for itself; by itself it does so only escaped.
        const character = this.source.slice(this.index, this.index + size)
        this.index += size
        return this.character(/[{}\]]/.test(character) ? `\\${character}` : character)
      }
    }
  }

  private group(): Node {
    const start = this.index
    const [, look, on, off] = this.read(group)!
    const outer = this.flags
    if (on !== undefined) {
      const without = [...this.flags].filter((flag) => !off?.includes(flag))
      this.flags = [...new Set([...without, ...on])].join("")
    }
    const bodyStart = this.index
    const body = this.choice()
    const bodySource = this.source.slice(bodyStart, this.index)
    this.index++
    const flags = this.flags
    this.flags = outer
    if (look === undefined) return body
    const { ahead, behind, max } = extentOf(body)
    if (max === Infinity) {
      throw refuse(this.regExp, `looks around without a bound: ${this.source.slice(start, this.index)}`)
    }
    if (waysOf(body) > maxWays) {
      throw refuse(this.regExp, `looks around in too many ways: ${this.source.slice(start, this.index)}`)
    }
    const isBehind = look.startsWith("<")
    return {
      type: "assertion",
      source: `(?${look}${bodySource})`,
      flags,
      behind: isBehind ? max + behind : behind,
      ahead: isBehind ? ahead : max + ahead
    }
  }

  private characterClass(): Node {
    const start = this.index
    let depth = 0
    do {
      const character = this.source[this.index]
      if (character === "\\") this.index++
      else if (character === "[" && (depth === 0 || this.flags.includes("v"))) depth++
      else if (character === "]") depth--
      this.index++
    } while (depth > 0)
    const source = this.source.slice(start, this.index)
    if (this.flags.includes("v")) {
      const strings = /\\q\{[^}]*\}/.exec(source)?.[0] ?? source.match(/\\p\{\w+\}/g)?.find(isOfStrings)
      if (strings !== undefined) throw refuse(this.regExp, `has a class with strings: ${strings}`)
    }
    return this.character(source)
  }

  private escape(): Node {
    const next = this.source[this.index + 1]!
    if (next === "b" || next === "B") {
      this.index += 2
      return this.assertion(`\\${next}`, 1, 1)
    }
    if (/[1-9k]/.test(next)) throw refuse(this.regExp, "has a backreference, which is not regular")
    const source = this.read(isUnicode(this.flags) ? unicodeEscape : plainEscape)![0]
    if (source === "\\c") throw refuse(this.regExp, "has a control character that is none: \\c")
    if (this.flags.includes("v") && isOfStrings(source))
      throw refuse(this.regExp, `has a class with strings: ${source}`)
    return this.character(source)
  }

  private character(source: string): Node {
    return { type: "character", source, flags: this.flags.replace("m", "") }
  }

  private assertion(source: string, behind: number, ahead: number): Node {
    return { type: "assertion", source, flags: this.flags, behind, ahead }
  }

  private read(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.index
    const found = pattern.exec(this.source)
    if (found === null) return undefined
    this.index = pattern.lastIndex
    return found
  }
}

/** Whether a property is one of strings, which `u` does not know. */
const isOfStrings = (source: string): boolean => {
  if (!source.startsWith("\\p")) return false
  try {
    RegExp(source, "u")
    return false
  } catch {
    return true
  }
}

const maxWays = 10_000

/** An upper bound on the ways that `RegExp` may try at one position. */
const waysOf = (node: Node): number => {
  switch (node.type) {
    case "character":
    case "assertion":
      return 1
    case "choice":
      return node.items.reduce((ways, item) => ways + waysOf(item), 0)
    case "sequence":
      return node.items.reduce((ways, item) => ways * waysOf(item), 1)
    case "repeat": {
      const ways = waysOf(node.body)
      let sum = 0
      for (let count = node.min; count <= node.max && sum <= maxWays; count++) sum += ways ** count
      return sum
    }
  }
}
