/**
 * Searches for a regular expression in text that arrives in pieces.
 *
 * It finds what `RegExp` finds: at the leftmost position where there is a match, the one that `RegExp` prefers there. But it
 * reads each character once, and follows all the ways to match at the same time (Thompson's construction, the ways in order of
 * preference, as Pike has it):
 *
 * 1. Time is linear in the text, whatever the expression: at most one step for each character and each place in the
 *    expression, counted repetitions written out. There is no backtracking, and nothing is read twice but behind a match.
 * 2. Text is held back from where the oldest way begins that is still open and that `RegExp` would prefer to the match found so
 *    far, if any. Look-ahead is decided when as many characters have arrived as it can look at, and holds back what waits for
 *    it until then.
 * 3. Look-behind, `\b`, `^` and `$` see the text as it is, up to its beginning and its end.
 *
 * @since 0.1.0
 */
import { CodeSet } from "./codeSet.ts"
import { type Assertion, extentOf, isUnicode, type Node, parse, refuse } from "./regExpSyntax.ts"
import type { Match, Search, TextWindow } from "./textSearch.ts"

/**
 * @category options
 * @since 0.1.0
 */
export interface Options {
  readonly rule: number
  /** In characters, as the expression's flags have it. */
  readonly maxLength: number
  /** Whether an expression that could match more is refused; else the match found then is too long. */
  readonly refuseLonger: boolean
  readonly wholeWord: boolean
  /** Says of what matches whether it is a match. */
  readonly check: ((text: string) => boolean) | undefined
}

/**
 * Compiles a regular expression.
 *
 * **Gotchas**
 *
 * Throws a `RangeError` that says why an expression is refused.
 *
 * @category constructors
 * @since 0.1.0
 */
export const compile = (regExp: RegExp, options: Options): (() => Search) => {
  const parsed = parse(regExp)
  const node: Node = options.wholeWord ? { type: "sequence", items: [wordStart, parsed, wordEnd] } : parsed
  const { behind, max, min } = extentOf(node)
  if (min === 0) throw refuse(regExp, "could match the empty text")
  if (max > options.maxLength && options.refuseLonger) {
    const most = max === Infinity ? "texts of any length" : `${max} characters`
    throw refuse(regExp, `could match ${most}, more than its maxMatchLength of ${options.maxLength}`)
  }
  const program = new Compiler().compile(node)
  if (program === undefined) throw refuse(regExp, `has more than ${maxPlaces} places, with its repetitions written out`)
  const compiled: Compiled = {
    ...options,
    ...program,
    limit: max > options.maxLength ? options.maxLength : Infinity,
    unicode: isUnicode(regExp.flags),
    // Two units for each code point, and one character more, so that where the window begins is not taken for the text's beginning.
    behind: 2 * behind + 2
  }
  return () => new RegExpSearch(compiled)
}

const wordStart: Node = {
  type: "assertion",
  source: "(?<![\\p{L}\\p{M}\\p{N}\\p{Pc}])",
  flags: "u",
  behind: 1,
  ahead: 0
}
const wordEnd: Node = { type: "assertion", source: "(?![\\p{L}\\p{M}\\p{N}\\p{Pc}])", flags: "u", behind: 0, ahead: 1 }

// -----------------------------------------------------------------------------
// Program
// -----------------------------------------------------------------------------

/** One place in an expression. */
type Instruction =
  | { readonly type: "character"; readonly set: CodeSet; readonly next: number }
  | { readonly type: "assertion"; readonly assertion: Check; readonly next: number }
  /** Goes on at both, and would rather have the first. */
  | { readonly type: "split"; first: number; second: number }
  /** Goes on at each, the preferred come first. Of many, only those that the next character can follow are looked at. */
  | {
      readonly type: "choice"
      readonly places: ReadonlyArray<number>
      readonly viable: Map<number, ReadonlyArray<number>>
    }
  | { readonly type: "match" }

interface Program {
  readonly instructions: ReadonlyArray<Instruction>
  readonly start: number
  /** What the characters are that a match may begin with. */
  readonly first: CodeSet
}

interface Compiled extends Options, Program {
  readonly limit: number
  readonly unicode: boolean
  readonly behind: number
}

/** Counted repetitions are written out, so this bounds memory and the time for each character. */
const maxPlaces = 20_000

class Compiler {
  private readonly instructions: Array<Instruction> = [{ type: "match" }]
  private readonly sets = new Map<string, CodeSet>()
  private readonly assertions = new Map<Assertion, Check>()

  compile(node: Node): Program | undefined {
    const start = this.add(node, 0)
    if (this.instructions.length > maxPlaces) return undefined
    const { instructions } = this
    return { instructions, start, first: new CodeSet((code) => canFollow(instructions, start, code)) }
  }

  /** Writes a node in front of the place `next`, and returns where it begins. */
  private add(node: Node, next: number): number {
    switch (node.type) {
      case "character":
        return this.push({ type: "character", set: this.setOf(node.source, node.flags), next })
      case "assertion": {
        let check = this.assertions.get(node)
        if (check === undefined) {
          check = new Check(node)
          this.assertions.set(node, check)
        }
        return this.push({ type: "assertion", assertion: check, next })
      }
      case "sequence":
        return node.items.reduceRight((place, item) => this.add(item, place), next)
      case "choice": {
        const places = node.items.map((item) => this.add(item, next))
        return this.push({ type: "choice", places, viable: new Map() })
      }
      case "repeat": {
        const exit = next
        let place = next
        if (node.max === Infinity) {
          const loop = { type: "split" as const, first: 0, second: 0 }
          place = this.push(loop)
          const body = this.add(node.body, place)
          loop.first = node.lazy ? exit : body
          loop.second = node.lazy ? body : exit
        } else {
          for (let count = node.min; count < node.max; count++) {
            const body = this.add(node.body, place)
            place = this.push({
              type: "split",
              first: node.lazy ? exit : body,
              second: node.lazy ? body : exit
            })
          }
        }
        for (let count = 0; count < node.min; count++) place = this.add(node.body, place)
        return place
      }
    }
  }

  private push(instruction: Instruction): number {
    // What is too large is not written to its end.
    if (this.instructions.length > maxPlaces) return 0
    return this.instructions.push(instruction) - 1
  }

  private setOf(source: string, flags: string): CodeSet {
    const key = `${flags}/${source}`
    let set = this.sets.get(key)
    if (set === undefined) {
      const regExp = new RegExp(`^(?:${source})$`, flags)
      set = new CodeSet((code) => regExp.test(String.fromCodePoint(code)))
      this.sets.set(key, set)
    }
    return set
  }
}

/** Whether a character can follow at a place, or none is needed there. */
const canFollow = (instructions: ReadonlyArray<Instruction>, from: number, code: number): boolean => {
  const seen = new Set<number>()
  const open = [from]
  while (open.length > 0) {
    const place = open.pop()!
    if (seen.has(place)) continue
    seen.add(place)
    const instruction = instructions[place]!
    if (instruction.type === "match") return true
    if (instruction.type === "split") open.push(instruction.first, instruction.second)
    else if (instruction.type === "choice") open.push(...instruction.places)
    else if (instruction.type === "assertion") open.push(instruction.next)
    else if (instruction.set.has(code)) return true
  }
  return false
}

const viable = (
  instructions: ReadonlyArray<Instruction>,
  choice: Extract<Instruction, { readonly type: "choice" }>,
  code: number
): ReadonlyArray<number> => {
  if (code < 0) return choice.places
  let places = choice.viable.get(code)
  if (places === undefined) {
    places = choice.places.filter((place) => canFollow(instructions, place, code))
    choice.viable.set(code, places)
  }
  return places
}

/** An assertion, asked of a position. Where it looks at one character only, the answer is kept for each. */
class Check {
  private readonly regExp: RegExp
  private readonly unicode: boolean
  private readonly ahead: number
  private readonly behind: number
  private readonly known: CodeSet

  constructor({ ahead, behind, flags, source }: Assertion) {
    this.regExp = new RegExp(source, `${flags}y`)
    this.unicode = isUnicode(flags)
    this.ahead = ahead
    this.behind = behind
    this.known = new CodeSet((code) => this.ask(behind, String.fromCharCode(code)))
  }

  /** Whether it holds, or `undefined` when too little text has come. */
  at(index: number, text: string, ended: boolean): boolean | undefined {
    if (!ended && !this.canSee(index, text)) return undefined
    const at = index - this.behind
    if (this.behind + this.ahead !== 1 || at < 0 || at >= text.length) return this.ask(index, text)
    const unit = text.charCodeAt(at)
    return unit >= 0xd800 && unit < 0xe000 ? this.ask(index, text) : this.known.has(unit)
  }

  private ask(index: number, text: string): boolean {
    this.regExp.lastIndex = index
    return this.regExp.test(text)
  }

  private canSee(index: number, text: string): boolean {
    let end = index
    for (let count = 0; count < this.ahead; count++) {
      if (end >= text.length) return false
      const isHigh = this.unicode && (text.charCodeAt(end) & 0xfc00) === 0xd800
      if (isHigh && end + 1 === text.length) return false
      end += isHigh && text.codePointAt(end)! > 0xffff ? 2 : 1
    }
    return true
  }
}

const isInPair = (text: string, index: number): boolean =>
  (text.charCodeAt(index) & 0xfc00) === 0xdc00 && (text.charCodeAt(index - 1) & 0xfc00) === 0xd800

// -----------------------------------------------------------------------------
// Search
// -----------------------------------------------------------------------------

/** Ways to match: where each is in the expression, and where it began in the text. The preferred come first. */
class Ways {
  readonly places: Array<number> = []
  readonly starts: Array<number> = []
  count = 0

  add(place: number, start: number): void {
    this.places[this.count] = place
    this.starts[this.count++] = start
  }
}

class RegExpSearch implements Search {
  readonly behind: number
  readonly canStart: (code: number) => boolean
  start = 0
  match: Match | undefined
  private readonly compiled: Compiled
  private position = 0
  /** The ways that have come to `position`. */
  private ways = new Ways()
  /** Those of them that need a character, splits and assertions done. */
  private open = new Ways()
  /** The match found so far, if `foundStart` is not negative. */
  private foundStart = -1
  private foundEnd = 0
  /** When each place was last reached: there is one way for it, the one that is preferred. */
  private readonly reached: Int32Array
  private round = 0
  private readonly stack: Array<number> = []

  constructor(compiled: Compiled) {
    this.compiled = compiled
    this.behind = compiled.behind
    const { first, unicode } = compiled
    this.canStart = (code) => {
      if (unicode || code <= 0xffff) return first.has(code)
      const pair = String.fromCodePoint(code)
      return first.has(pair.charCodeAt(0)) || first.has(pair.charCodeAt(1))
    }
    this.reached = new Int32Array(compiled.instructions.length)
  }

  restart(position: number): void {
    this.match = undefined
    this.start = position
    this.position = position
    this.ways.count = 0
    this.foundStart = -1
  }

  advance(window: TextWindow): void {
    const { unicode } = this.compiled
    const { base, ended, text } = window
    while (this.match === undefined) {
      let index = this.position - base
      if (this.ways.count === 0 && this.foundStart < 0) {
        index = this.skip(index, text)
        this.position = base + index
      }
      let code = -1
      if (index < text.length) {
        code = text.charCodeAt(index)
        if (unicode && code >= 0xd800 && code < 0xdc00) {
          if (index + 1 < text.length) code = text.codePointAt(index)!
          else if (!ended) code = -1
        }
      }
      const isStuck = !this.expand(index, text, ended, code)
      if (this.open.count === 0 && !isStuck) {
        if (this.foundStart >= 0) {
          this.finish(window)
          continue
        }
        this.start = this.position
        if (code < 0) return
      } else if (isStuck || code < 0) {
        if (!ended) {
          this.start = this.open.count > 0 ? this.open.starts[0]! : this.start
          return
        }
        this.open.count = 0
        this.ways.count = 0
        if (this.foundStart >= 0) {
          this.finish(window)
          continue
        }
        this.start = this.position
        return
      }
      this.position += code > 0xffff ? 2 : 1
      this.read(code)
      if (this.isTooLong(window)) return
    }
  }

  /** Where the next character is that a match may begin with. */
  private skip(from: number, text: string): number {
    const { first, unicode } = this.compiled
    let index = unicode && isInPair(text, from) ? from + 1 : from
    for (; index < text.length; index++) {
      const unit = text.charCodeAt(index)
      if (unicode && unit >= 0xd800 && unit < 0xdc00) {
        if (index + 1 === text.length) return index
        const code = text.codePointAt(index)!
        if (first.has(code)) return index
        if (code > 0xffff) index++
      } else if (first.has(unit)) {
        return index
      }
    }
    return index
  }

  /** Follows the ways to where they need a character. Returns whether that could be done with the text that is there. */
  private expand(index: number, text: string, ended: boolean, code: number): boolean {
    const { first, start } = this.compiled
    this.open.count = 0
    this.round++
    for (let way = 0; way < this.ways.count; way++) {
      const outcome = this.follow(this.ways.places[way]!, this.ways.starts[way]!, index, text, ended, code)
      if (outcome !== undefined) return outcome
    }
    if (code < 0 || this.foundStart >= 0 || !first.has(code)) return true
    return this.follow(start, this.position, index, text, ended, code) ?? true
  }

  /** Returns `true` where a match is found, so that no other way is preferred, and `false` where more text is needed. */
  private follow(
    from: number,
    start: number,
    index: number,
    text: string,
    ended: boolean,
    code: number
  ): boolean | undefined {
    const { instructions } = this.compiled
    const { reached, round, stack } = this
    stack.push(from)
    while (stack.length > 0) {
      const place = stack.pop()!
      if (reached[place] === round) continue
      reached[place] = round
      const instruction = instructions[place]!
      if (instruction.type === "character") {
        this.open.add(place, start)
      } else if (instruction.type === "split") {
        stack.push(instruction.second, instruction.first)
      } else if (instruction.type === "choice") {
        const places = viable(instructions, instruction, code)
        for (let item = places.length - 1; item >= 0; item--) stack.push(places[item]!)
      } else if (instruction.type === "match") {
        this.foundStart = start
        this.foundEnd = this.position
        stack.length = 0
        return true
      } else {
        const holds = instruction.assertion.at(index, text, ended)
        if (holds === true) stack.push(instruction.next)
        if (holds !== undefined) continue
        stack.length = 0
        if (this.open.count === 0) this.start = start
        return false
      }
    }
    return undefined
  }

  private read(code: number): void {
    const { instructions } = this.compiled
    const { open, ways } = this
    ways.count = 0
    for (let way = 0; way < open.count; way++) {
      const instruction = instructions[open.places[way]!]!
      if (instruction.type === "character" && instruction.set.has(code)) ways.add(instruction.next, open.starts[way]!)
    }
  }

  private finish(window: TextWindow): void {
    const { check, rule, unicode } = this.compiled
    const { foundEnd: end, foundStart: start } = this
    this.start = start
    if (check === undefined || check(window.text.slice(start - window.base, end - window.base))) {
      this.match = { start, end, rule, isTooLong: false }
      return
    }
    const isPair = unicode && window.text.codePointAt(start - window.base)! > 0xffff
    this.restart(start + (isPair ? 2 : 1))
  }

  private isTooLong({ base, text }: TextWindow): boolean {
    const { limit, rule, unicode } = this.compiled
    if (this.ways.count === 0) return false
    const start = this.ways.starts[0]!
    if (this.position - start <= limit) return false
    if (unicode && text.slice(start - base, this.position - base).match(/[^]/gu)!.length <= limit) return false
    this.start = start
    this.match = { start, end: this.position, rule, isTooLong: true }
    return true
  }
}
