/**
 * JSON as a model streams it, for the benches: the same texts in every run.
 *
 * @since 0.1.0
 */

// Of 64 words two hold quotes, two a line break and one a character outside Latin-1.
const lorem =
  'the quick brown fox jumps over the lazy dog while a model writes "structured" output:\nfirst a title, then a summary, then, step by step, all the rest. It takes some time – not much – and what it says is read by a "person" or by a program:\nboth want it now, not when the last brace has come. So we read it as it grows.'.split(
    " "
  )

type Random = () => number

const random = (seed: number): Random => {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
    return (state >>> 8) / 0x1000000
  }
}

const prose = (next: Random, words: number): string =>
  Array.from({ length: words }, () => lorem[Math.floor(next() * lorem.length)]!).join(" ")

const item = (next: Random, id: number) => ({
  id,
  title: prose(next, 5),
  summary: prose(next, 40),
  tags: [prose(next, 1), prose(next, 1), "draft"],
  score: Math.round(next() * 10_000) / 100,
  isDone: next() < 0.5,
  owner: next() < 0.2 ? null : { name: prose(next, 2), email: "someone@example.com" },
  steps: Array.from({ length: 3 }, (_, index) => ({ index, text: prose(next, 15), minutes: Math.floor(next() * 90) }))
})

/**
 * An object with prose in strings, small arrays and numbers, about `size` code units long: `indent` 0 as structured output
 * is sent, 2 as a model writes it into a fence (a third of it is white space).
 */
export const llmDocument = (size: number, indent: number): string => {
  const next = random(1)
  const items: Array<unknown> = []
  for (let length = 0; length < size;) {
    const entry = item(next, items.length)
    items.push(entry)
    length += JSON.stringify([entry], undefined, indent).length
  }
  return JSON.stringify({ title: prose(next, 6), language: "en", items, total: items.length }, undefined, indent)
}

/** Objects of about 200 code units. */
export const rows = (count: number): ReadonlyArray<string> => {
  const next = random(2)
  return Array.from({ length: count }, (_, id) =>
    JSON.stringify({
      id,
      name: prose(next, 3),
      status: next() < 0.5 ? "open" : "closed",
      text: prose(next, 18),
      score: Math.floor(next() * 1_000) / 10,
      tags: ["a", "b"],
      at: { x: id, y: -id }
    })
  )
}

/** An array of `count` numbers. */
export const numbers = (count: number): string => {
  const next = random(3)
  return JSON.stringify(Array.from({ length: count }, () => Math.floor(next() * 1e6) / 100))
}

/** Objects of 30 members. */
export const wideObjects = (count: number): string =>
  JSON.stringify(
    Array.from({ length: count }, (_, i) =>
      Object.fromEntries(Array.from({ length: 30 }, (_, k) => [`field${k}`, k % 3 === 0 ? i : `value ${i} of ${k}`]))
    )
  )

/** One object of `count` keys. */
export const distinctKeys = (count: number): string =>
  JSON.stringify(Object.fromEntries(Array.from({ length: count }, (_, i) => [`key ${i}`, i])))

/** The text in chunks of `size` code units, made anew as those from a network are: a slice would keep the text. */
export const cut = (text: string, size: number): ReadonlyArray<string> => {
  const chunks: Array<string> = []
  for (let at = 0; at < text.length; at += size) chunks.push(Buffer.from(text.slice(at, at + size)).toString())
  return chunks
}
