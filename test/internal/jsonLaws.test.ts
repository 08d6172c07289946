/** What holds for every text, however it is cut. */
import { assert, describe, it } from "@effect/vitest"
import { JsonEngine } from "../../src/internal/jsonEngine.ts"
import type { Json, JsonEngineOptions, JsonListener, JsonPath } from "../../src/internal/jsonModel.ts"
import { expected, show } from "./jsonOracle.ts"
import { child, faultOf, outcome, run, strict } from "./jsonRuns.ts"
import { container, cut, type Dice, dice, json, mixed, seeds } from "./jsonTexts.ts"

const runs = (runs: number) => ({ arbitrary: { runs } })

/** Options that the laws are tried with. */
const optionsOf = (roll: Dice): JsonEngineOptions => {
  const limits: JsonEngineOptions = roll(3) > 0 ? {} : { maxDepth: 1 + roll(4), maxSize: 1 + roll(60) }
  return {
    ...limits,
    strict: roll(4) === 0,
    roots: ([undefined, undefined, "objects", "arrays", "all"] as const)[roll(5)],
    onMalformed: ([undefined, "skip", "fail"] as const)[roll(3)]
  }
}

/** A text that suits the options. */
const textOf = (roll: Dice, options: JsonEngineOptions, repeats = true): string =>
  options.strict === true && roll(3) > 0
    ? `${" ".repeat(roll(2))}${json(roll, { depth: 3, repeats })}`
    : mixed(roll, repeats)

describe("generated texts", () => {
  it("are varied", () => {
    const seen: Record<string, number> = {}
    const count = (name: string, is: boolean) => (seen[name] = (seen[name] ?? 0) + (is ? 1 : 0))
    for (let seed = 0; seed < 400; seed++) {
      const roll = dice(seed)
      const text = mixed(roll)
      const { partial, values } = expected(text)
      const shown = values.map(show).join()
      count("no value", values.length === 0)
      count("several values", values.length > 1)
      count("ends inside a value", partial !== undefined)
      count("false start", expected(text, { onMalformed: "fail" }).fault !== undefined)
      count("hidden arrays", expected(text, { roots: "all" }).values.length > values.length)
      count("__proto__", shown.includes("__proto__"))
      count(
        "repeated key",
        values.some((value) => show(value).length > 0) && text.includes('"a"') && /"a".*"a"/s.test(text)
      )
      count("nested thrice", /[[{].*[[{].*[[{]/s.test(shown))
      count("escapes in keys", /"[^"]*\\[^"]*"\s*:/.test(text))
      count("\\u", text.includes("\\u"))
      count("surrogate pair", /[\ud800-\udbff][\udc00-\udfff]/.test(shown))
      count("lone surrogate", /\\ud[89a-f]/i.test(shown))
      count("long key", shown.includes("k".repeat(70)))
      count("depth limit", expected(text, { maxDepth: 2 }).fault?.[0] === "DepthLimit")
      count("size limit", expected(text, { maxSize: 40 }).fault?.[0] === "SizeLimit")
      count("strict and right", expected(json(roll, { depth: 3 }), strict, true).fault === undefined)
    }
    for (const [name, times] of Object.entries(seen)) assert.isAtLeast(times, 8, `${name}: ${times} of 400`)
  })
})

describe("laws", () => {
  it.prop(
    "values, partial and fault are those of the reference, however the text is cut",
    [seeds],
    ([seed]) => {
      const roll = dice(seed)
      const options = optionsOf(roll)
      const text = textOf(roll, options)
      const reference = expected(text, options, true)
      const engine = new JsonEngine(options)
      const found: Array<Json> = []
      for (const chunk of cut(roll, text)) {
        engine.feed(chunk)
        assert.strictEqual(engine.hasCompleteValues, engine.takeValues().map((value) => found.push(value)).length > 0)
        if (roll(3) === 0) void engine.partialUnsafe
        if (roll(3) === 0) void engine.snapshot()
      }
      engine.end()
      found.push(...engine.takeValues())
      assert.deepStrictEqual(found.map(show), reference.values.map(show))
      assert.strictEqual(show(engine.partialUnsafe), show(reference.partial))
      assert.strictEqual(show(engine.snapshot()), show(reference.partial))
      assert.deepStrictEqual(faultOf(engine), reference.fault)
      assert.deepStrictEqual(engine.fault, run([text], options).fault)
    },
    runs(1_500)
  )

  it.prop(
    "every cut in two gives the same",
    [seeds],
    ([seed]) => {
      const roll = dice(seed)
      const options = optionsOf(roll)
      const text = textOf(roll, options).slice(0, 200)
      const whole = run([text], options)
      for (let at = 0; at <= text.length; at++) {
        assert.deepStrictEqual(run([text.slice(0, at), text.slice(at)], options), whole, `${text} at ${at}`)
      }
    },
    runs(200)
  )

  it.prop(
    "an engine that was reset is as good as new",
    [seeds],
    ([seed]) => {
      const roll = dice(seed)
      const options = { ...optionsOf(roll), ...(roll(4) === 0 ? { roots: "fenced" as const } : {}) }
      const engine = new JsonEngine(options)
      for (let uses = 0; uses < 3; uses++) {
        for (const chunk of cut(roll, textOf(roll, options).slice(roll(5)))) {
          engine.feed(chunk)
          if (roll(3) === 0) void engine.snapshot()
        }
        if (roll(3) === 0) engine.end()
        engine.reset()
        assert.isFalse(engine.hasCompleteValues)
      }
      const text = textOf(roll, options)
      engine.feed(text)
      engine.end()
      assert.deepStrictEqual(outcome(engine), run([text], options))
    },
    runs(500)
  )

  it.prop(
    "the elements are those of the whole value, and what is taken off is gone, however it is cut and read",
    [seeds],
    ([seed]) => {
      const roll = dice(seed)
      const text = container(roll, { depth: 4 }, roll(2) === 0)
      const root = expected(text, strict, true).values[0]!
      const pointer = pointerInto(roll, root)
      const detach = roll(2) === 0
      const found: Array<readonly [string, string]> = []
      const engine = new JsonEngine({
        roots: "all",
        elements: {
          pointer,
          detach,
          onElement: (value) => found.push([JSON.stringify(engine.path()), show(value)])
        }
      })
      for (const chunk of cut(roll, text)) {
        engine.feed(chunk)
        if (roll(3) === 0) void engine.partialUnsafe
        if (roll(3) === 0) void engine.snapshot()
        if (roll(3) === 0) assert.strictEqual(show(engine.snapshot()), show(engine.partialUnsafe))
      }
      const all: Array<readonly [string, string]> = []
      const rest = takeElements(root, pointer, [], (path, value) => all.push([JSON.stringify(path), show(value)]))
      // Not in order: keys that look like numbers come first in the object, and where they stand in the text.
      assert.sameDeepMembers(found, all)
      assert.deepStrictEqual(engine.takeValues().map(show), [show(detach ? rest : root)])
    },
    runs(1_000)
  )

  it.prop(
    "after every chunk the partial, and what of it is whole, are those of the reference on what has come",
    [seeds],
    ([seed]) => {
      const roll = dice(seed)
      const options = optionsOf(roll)
      const text = textOf(roll, options)
      const paths = [...expected(text, options).whole].map((path) => JSON.parse(path) as ReadonlyArray<string>)
      const engine = new JsonEngine(options)
      let before = ""
      for (const chunk of cut(roll, text)) {
        engine.feed(chunk)
        before += chunk
        const reference = expected(before, options)
        assert.strictEqual(show(engine.partialUnsafe), show(reference.partial), before)
        assert.deepStrictEqual(faultOf(engine), reference.fault)
        if (reference.partial === undefined) continue
        for (const path of paths) {
          const named = roll(2) === 0 ? path : path.map((name) => (/^\d+$/.test(name) ? Number(name) : name))
          assert.strictEqual(engine.isComplete(named), reference.whole.has(JSON.stringify(path)), `${before} ${path}`)
        }
      }
    },
    runs(250)
  )

  it.prop(
    "a partial only grows, as long as no key repeats and no false start is dropped",
    [seeds],
    ([seed]) => {
      const roll = dice(seed)
      const text = container(roll, { depth: 4 }, roll(2) === 0)
      const engine = new JsonEngine({ roots: "all" })
      let earlier: Json | undefined = undefined
      for (const chunk of cut(roll, text)) {
        engine.feed(chunk)
        const now = engine.hasCompleteValues ? engine.takeValues()[0] : engine.snapshot()
        assert.isTrue(extendsTo(earlier, now), `${show(earlier)} to ${show(now)}`)
        earlier = now
      }
    },
    runs(250)
  )

  it.prop(
    "snapshots stay as they were, and share what did not change",
    [seeds],
    ([seed]) => {
      const roll = dice(seed)
      const text = container(roll, { depth: 4 }, roll(2) === 0)
      const engine = new JsonEngine({ roots: "all" })
      const taken: Array<readonly [Json, string]> = []
      for (const chunk of cut(roll, text)) {
        engine.feed(chunk)
        if (roll(4) === 0) void engine.partialUnsafe
        if (roll(3) === 0 && !engine.hasCompleteValues) continue
        const snapshot = engine.hasCompleteValues ? engine.takeValues()[0] : engine.snapshot()
        if (snapshot === undefined) continue
        if (engine.isOpen) assert.strictEqual(engine.snapshot(), snapshot)
        const last = taken.at(-1)
        if (last !== undefined) assertShared(last[0], snapshot)
        taken.push([snapshot, show(snapshot)])
      }
      for (const [snapshot, before] of taken) assert.strictEqual(show(snapshot), before)
    },
    runs(400)
  )

  it.prop(
    "the events are the same however the text is cut, and who applies them has the partial and the values",
    [seeds],
    ([seed]) => {
      const roll = dice(seed)
      const options = optionsOf(roll)
      const text = textOf(roll, options)
      const chunks = cut(roll, text)
      const whole = record([text], options)
      assert.deepStrictEqual(record(chunks, options).events, whole.events)
      const reference = expected(text, options, true)
      assert.deepStrictEqual(whole.values.map(show), reference.values.map(show))
      assert.strictEqual(show(whole.partial), show(reference.partial))
    },
    runs(1_500)
  )

  it.prop(
    "numbers are read as `Number` reads them",
    [seeds],
    ([seed]) => {
      const roll = dice(seed)
      const digits = (most: number) => Array.from({ length: 1 + roll(most) }, () => roll(10)).join("")
      const integer = roll(4) === 0 ? "0" : digits(20).replace(/^0+(?=.)/, "")
      const text = `${roll(2) === 0 ? "-" : ""}${integer}${roll(2) === 0 ? "" : `.${digits(20)}`}${roll(3) > 0 ? "" : `${roll(2) === 0 ? "e" : "E"}${["", "+", "-"][roll(3)]}${digits(3)}`}`
      assert.deepStrictEqual(run(cut(roll, text), strict).values, [show(Number(text))], text)
    },
    runs(1_500)
  )
})

/** Whether `later` may follow `earlier`: strings and arrays grow at their end, objects get members, nothing else changes. */
const extendsTo = (earlier: Json | undefined, later: Json | undefined): boolean => {
  if (earlier === undefined) return true
  if (typeof earlier === "string") return typeof later === "string" && later.startsWith(earlier)
  if (typeof earlier !== "object" || earlier === null) return Object.is(earlier, later)
  if (typeof later !== "object" || later === null || Array.isArray(earlier) !== Array.isArray(later)) return false
  const names = Object.keys(earlier)
  return names.every((name) => Object.hasOwn(later, name) && extendsTo(child(earlier, name), child(later, name)))
}

/** A pointer that often leads to an array in `root`. */
const pointerInto = (roll: Dice, root: Json): ReadonlyArray<string | null> => {
  const pointer: Array<string | null> = []
  let value = root
  while (typeof value === "object" && value !== null && roll(4) > 0) {
    const names = Object.keys(value)
    if (names.length === 0) break
    const name = names[roll(names.length)]!
    pointer.push(roll(2) === 0 ? null : name)
    value = child(value, name)!
  }
  return pointer
}

/** Hands out the elements of the arrays at `pointer`, and returns the value without them. */
const takeElements = (
  value: Json,
  pointer: ReadonlyArray<string | null>,
  path: JsonPath,
  onElement: (path: JsonPath, value: Json) => void
): Json => {
  if (typeof value !== "object" || value === null) return value
  const isArray = Array.isArray(value)
  if (pointer.length === 0) {
    if (!isArray) return value
    value.forEach((element: Json, index) => onElement([...path, index], element))
    return []
  }
  const patched: Record<string, Json> = {}
  for (const name of Object.keys(value)) {
    const isMeant = pointer[0] === null || pointer[0] === name
    const inner = isMeant
      ? takeElements(child(value, name)!, pointer.slice(1), [...path, isArray ? Number(name) : name], onElement)
      : child(value, name)!
    Object.defineProperty(patched, name, { value: inner, writable: true, enumerable: true, configurable: true })
  }
  return isArray ? Object.values(patched) : patched
}

/** What is equal is one object. */
const assertShared = (earlier: Json, later: Json): void => {
  if (typeof earlier !== "object" || earlier === null || typeof later !== "object" || later === null) return
  if (show(earlier) === show(later)) assert.strictEqual(earlier, later, show(later))
  else for (const name of Object.keys(earlier)) assertShared(child(earlier, name)!, child(later, name)!)
}

/** A parent that holds what is applied, by `path`. */
class Patched {
  root: Json | undefined = undefined
  put(path: JsonPath, change: (before: Json | undefined) => Json): void {
    let holder: Record<string, Json> = this as unknown as Record<string, Json>
    for (const segment of ["root", ...path.slice(0, -1)].slice(0, path.length)) {
      holder = holder[segment] as Record<string, Json>
    }
    const name = path.length === 0 ? "root" : String(path.at(-1))
    const value = change(Object.hasOwn(holder, name) ? holder[name] : undefined)
    Object.defineProperty(holder, name, { value, writable: true, enumerable: true, configurable: true })
  }
}

const record = (chunks: Iterable<string>, options: JsonEngineOptions) => {
  const events: Array<readonly [string, JsonPath, string]> = []
  const values: Array<Json> = []
  const patched = new Patched()
  const listener: JsonListener = {
    onOpen: (kind) => {
      events.push(["open", engine.path(), kind])
      patched.put(engine.path(), () => (kind === "array" ? [] : kind === "object" ? {} : ""))
    },
    onAppend: (text) => {
      assert.isNotEmpty(text)
      const last = events.at(-1)!
      if (last[0] === "append") events[events.length - 1] = ["append", last[1], last[2] + text]
      else events.push(["append", engine.path(), text])
      patched.put(engine.path(), (before) => {
        assert.strictEqual(typeof before, "string")
        return `${before as string}${text}`
      })
    },
    onValue: (value) => {
      const path = engine.path()
      events.push(["value", path, show(value)])
      patched.put(path, (before) => {
        if (typeof value === "object" && value !== null) assert.strictEqual(show(before), show(value))
        // What was applied to it stays apart from what the engine hands out.
        return typeof value === "object" && value !== null ? before! : value
      })
      if (path.length === 0) {
        values.push(patched.root!)
        patched.root = undefined
      }
    },
    onDrop: () => {
      events.push(["drop", [], ""])
      patched.root = undefined
    }
  }
  const engine = new JsonEngine({ ...options, listener })
  for (const chunk of chunks) engine.feed(chunk)
  engine.end()
  return { events, values, partial: patched.root }
}
