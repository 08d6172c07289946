/** Generated JSON and text around it, from a seed. */
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"

/** A seed: everything below follows from it. */
export const seeds = Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 0x7fffffff })))

export type Dice = (sides: number) => number

export const dice = (seed: number): Dice => {
  let state = seed | 0
  return (sides) => {
    // Mulberry32.
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) % sides
  }
}

const pick = <A>(roll: Dice, list: ReadonlyArray<A>): A => list[roll(list.length)]!

const characters = [
  ..."abc XYZ09{}[]:,.-_'`/",
  '"',
  "\\",
  "\n",
  "\t",
  "\0",
  "é",
  "ß",
  "日",
  "\u2028",
  "😀",
  "👍🏽",
  "\ud83d",
  "\ude00",
  "\ud800"
]
const keys = [
  "a",
  "b",
  "id",
  "title",
  "",
  "0",
  "1",
  "10",
  "__proto__",
  "constructor",
  'say "hi"',
  "\\",
  "日",
  "😀",
  "k".repeat(70),
  "key of thirteen"
]
const numbers = [
  "0",
  "-0",
  "1",
  "42",
  "-7",
  "3.14",
  "0.1",
  "1e3",
  "1E-2",
  "2.50e+10",
  "-0.0",
  "9007199254740993",
  "123456789012345",
  "1234567890123456",
  "0.000001234567890123",
  "1e400",
  "-1e-400",
  "5e-324",
  "1.7976931348623157e308",
  "100000000000000000000"
]

const space = (roll: Dice): string => (roll(3) > 0 ? "" : pick(roll, [" ", "\n", "  ", "\r\n\t"]))

const escapeUnit = (roll: Dice, unit: string): string => {
  const code = unit.charCodeAt(0)
  const hex = code.toString(16).padStart(4, "0")
  const short: Record<string, string> = { '"': '\\"', "\\": "\\\\", "/": "\\/", "\n": "\\n", "\t": "\\t" }
  if (short[unit] !== undefined && roll(3) > 0) return short[unit]
  const must = unit === '"' || unit === "\\" || unit < " "
  return must || roll(8) === 0 ? `\\u${roll(2) === 0 ? hex : hex.toUpperCase()}` : unit
}

const quote = (roll: Dice, value: string): string =>
  `"${Array.from({ length: value.length }, (_, i) => escapeUnit(roll, value[i]!)).join("")}"`

const string = (roll: Dice): string => {
  const length = pick(roll, [0, 1, 3, 8, 20])
  return quote(roll, Array.from({ length }, () => pick(roll, characters)).join(""))
}

export interface Shape {
  /** Containers inside one another. */
  readonly depth: number
  /** Whether keys may repeat. */
  readonly repeats?: boolean
}

/** JSON text of any kind of value. */
export const json = (roll: Dice, shape: Shape): string => {
  const kind = roll(shape.depth > 0 ? 8 : 4)
  if (kind === 0) return pick(roll, numbers)
  if (kind === 1) return pick(roll, ["true", "false", "null"])
  if (kind <= 3) return string(roll)
  return container(roll, shape, kind < 6)
}

/** JSON text of an object or an array. */
export const container = (roll: Dice, shape: Shape, isObject: boolean): string => {
  const inner = { ...shape, depth: shape.depth - 1 }
  const count = pick(roll, [0, 1, 2, 3, 6])
  const names = new Set<string>()
  const members: Array<string> = []
  for (let i = 0; i < count; i++) {
    let text = space(roll)
    if (isObject) {
      const name = pick(roll, keys)
      if (names.has(name) && shape.repeats !== true) continue
      names.add(name)
      text += `${quote(roll, name)}${space(roll)}:${space(roll)}`
    }
    members.push(`${text}${json(roll, inner)}${space(roll)}`)
  }
  const inside = members.length === 0 ? space(roll) : members.join(",")
  return isObject ? `{${inside}}` : `[${inside}]`
}

const prose = [
  "Sure, here it is: ",
  "see [1], [2, 3] and [note]. ",
  "- [ ] todo\n- [x] done\n",
  'He said "no". ',
  "} ] , : ",
  "function f(x) { return [x, { y: 1 }] }\n",
  "{name} ",
  '{"a" ',
  "[[wiki]] ",
  "{{mustache}} ",
  "[1, see ",
  "\\",
  "😀 ",
  "\ud83d",
  "[link](url) ",
  "[true, null] ",
  "[] {} ",
  "\n```json\n",
  "\n```\n"
]

/** A JSON text with one code unit removed, doubled or replaced. */
const broken = (roll: Dice, text: string): string => {
  const at = roll(text.length)
  const middle = pick(roll, ["", text[at]! + text[at]!, pick(roll, [...'x}]{[",:\\0-. \n'])])
  return text.slice(0, at) + middle + text.slice(at + 1)
}

/** Text with values in it, whole, broken and cut off. */
export const mixed = (roll: Dice, repeats = true): string => {
  const shape = { depth: 3, repeats }
  const parts: Array<string> = []
  for (let i = 1 + roll(5); i > 0; i--) {
    const kind = roll(7)
    const text = container(roll, shape, roll(3) > 0)
    if (kind <= 1) parts.push(pick(roll, prose))
    else if (kind <= 4) parts.push(text)
    else if (kind === 5) parts.push(broken(roll, text))
    else parts.push(text.slice(0, roll(text.length)))
    if (roll(2) === 0) parts.push(pick(roll, prose))
  }
  return parts.join("")
}

/** The text in pieces, some of them empty. */
export const cut = (roll: Dice, text: string): ReadonlyArray<string> => {
  const most = pick(roll, [1, 2, 4, 9, 40, 1_000_000])
  if (most === 1) return text.split("")
  const pieces: Array<string> = []
  for (let at = 0; at < text.length;) {
    const size = roll(most + 1)
    pieces.push(text.slice(at, at + size))
    at += size
  }
  return pieces
}
