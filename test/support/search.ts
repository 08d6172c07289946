/** Running searches, and looking at what they find. */
import { assert } from "@effect/vitest"
import type { RuleSearch } from "../../src/internal/ruleSearch.ts"
import { type Search, TextWindow } from "../../src/internal/textSearch.ts"
import type { Found } from "./ruleReference.ts"

/** All matches in a text that comes in pieces, and how much is held back behind each piece. */
export const searchAll = (
  search: Search,
  pieces: ReadonlyArray<string>
): { readonly found: ReadonlyArray<Found>; readonly held: ReadonlyArray<number> } => {
  const window = new TextWindow()
  const found: Array<Found> = []
  const drain = () => {
    for (;;) {
      search.advance(window)
      if (search.match === undefined) break
      const { end, rule, start } = search.match
      found.push({ start, end, rule })
      search.restart(end, window)
    }
    const held = window.end - search.start
    window.trim(search.start - search.behind)
    return held
  }
  const held = pieces.map((piece) => {
    window.push(piece)
    return drain()
  })
  window.push("")
  window.ended = true
  assert.strictEqual(drain(), 0)
  return { found, held }
}

/** The same of all rules. Nothing may be found in what was decided before. */
export const findAll = (search: RuleSearch, pieces: ReadonlyArray<string>): ReadonlyArray<Found> => {
  const found: Array<Found> = []
  const drain = () => {
    const { decided } = search
    for (let match = search.next(); match !== undefined; match = search.next()) {
      const { end, rule, start } = match
      assert.isAtLeast(start, decided)
      found.push({ start, end, rule })
    }
    assert.isAtLeast(search.decided, found.at(-1)?.end ?? 0)
  }
  for (const piece of pieces) {
    search.push(piece)
    drain()
  }
  search.end()
  drain()
  assert.strictEqual(search.decided, pieces.join("").length)
  return found
}

/** Every way to cut a text in two, the text unit by unit, and some random ways. */
export const cuts = (text: string, next: () => number): ReadonlyArray<ReadonlyArray<string>> => {
  const twos = Array.from({ length: text.length + 1 }, (_, at) => [text.slice(0, at), text.slice(at)])
  const randoms = Array.from({ length: 5 }, () => {
    const pieces: Array<string> = []
    for (let at = 0; at < text.length;) {
      const size = Math.floor(next() * 6)
      pieces.push(text.slice(at, at + size))
      at += size
    }
    return pieces
  })
  return [...twos, text.split(""), ...randoms]
}
