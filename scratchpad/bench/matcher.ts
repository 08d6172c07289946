/**
 * Literal patterns in a text: the streaming matcher beside one regular expression over the whole text, for 3 to 10,000
 * patterns and pieces of 4, 64 and 4,096 characters. Text and patterns come from one model of English letter sequences,
 * so that most words of the text begin like many patterns.
 *
 * Run: `node --expose-gc scratchpad/bench/matcher.ts [words of group names]`
 *
 * @since 0.1.0
 */
import { compile } from "../../src/internal/literalMatcher.ts"
import { bench, type Group, type Job } from "./harness.ts"

const sample =
  `Most of what a language model writes is plain prose, and the reader sees it grow word by word. A filter between the
two has to look at every letter without slowing anything down. It may hold back only those letters that could still become part
of something forbidden, and must release them as soon as that is out of the question. The difficulty lies in the seams: a secret
can be cut anywhere, its first half arriving with one message and its second half with the next. Whoever searches each message
by itself will miss it; whoever waits for the whole answer has no stream any more. Between these extremes stands an automaton
that remembers exactly as much of the past as may matter for the future, which is little: the longest ending of the text that is
also the beginning of a pattern. Thousands of patterns share their beginnings, so a single walk through the text serves them all.
When several of them match at the same place, the longest is taken, and the search continues behind it with nothing forgotten.`
    .toLowerCase()
    .replaceAll(/\s+/g, " ")

let seed = 42
const random = (below: number): number => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
  return Math.floor((seed / 2 ** 32) * below)
}

const followers = new Map<string, string>()
for (let index = 0; index + 2 < sample.length; index++) {
  const key = sample.slice(index, index + 2)
  followers.set(key, (followers.get(key) ?? "") + sample[index + 2]!)
}
const write = (length: number): string => {
  let text = ""
  let last = " t"
  while (text.length < length) {
    const next = followers.get(last) ?? "e"
    const letter = next[random(next.length)]!
    last = last[1]! + letter
    text += letter
  }
  return text
}

const words = [...new Set(write(400_000).match(/[a-z]{8,14}/g))]
const patterns: Readonly<Record<string, ReadonlyArray<string>>> = {
  "no patterns": [],
  "3 patterns": ["password", "secret", "confidential"],
  "10 patterns": words.slice(0, 10),
  "1,000 patterns": words.slice(0, 1_000),
  "10,000 patterns": words.slice(0, 10_000)
}

const cut = (text: string, size: number): ReadonlyArray<string> => {
  const pieces: Array<string> = []
  for (let at = 0; at < text.length; at += size)
    pieces.push(JSON.parse(JSON.stringify(text.slice(at, at + size))) as string)
  return pieces
}

const group = (name: string, list: ReadonlyArray<string>, caseSensitive: boolean): Group => {
  const size = list.length > 500 ? 200_000 : 1_000_000
  const text = write(size)
  const matcher = compile(list, { caseSensitive })
  const longestFirst = list.toSorted((a, b) => b.length - a.length)
  const expression = new RegExp(longestFirst.join("|") || "(?!)", caseSensitive ? "g" : "giu")
  const jobs: Array<Job> = [4, 64, 4_096].map((length) => {
    const pieces = cut(text, length)
    return {
      name: `matcher, pieces of ${length}`,
      run: () => {
        const stream = matcher.open("*")
        let length = 0
        for (const piece of pieces) length += stream.push(piece).length
        return length + stream.end().length
      }
    }
  })
  jobs.push({ name: "RegExp, whole text", run: () => text.replace(expression, "*").length })
  return { name, jobs, baseline: "RegExp, whole text", work: { characters: size }, rounds: list.length > 500 ? 5 : 9 }
}

const only = process.argv.slice(2).join(" ")
const groups: Array<Group> = []
for (const [name, list] of Object.entries(patterns)) {
  groups.push(group(name, list, true))
  if (list.length > 0) groups.push(group(`${name}, any case`, list, false))
}
groups.push({
  name: "compile 10,000 patterns",
  jobs: [
    { name: "case-sensitive", run: () => compile(words.slice(0, 10_000), { caseSensitive: true }).maxHeld },
    { name: "any case", run: () => compile(words.slice(0, 10_000), { caseSensitive: false }).maxHeld }
  ],
  baseline: "case-sensitive",
  work: { patterns: 10_000 },
  differing: true
})

const rows = await bench(groups.filter(({ name }) => name.includes(only)))
console.log("\nns per character")
for (const { group, name, ms, min, perSecond } of rows) {
  const speed = perSecond["characters"]
  const cost =
    speed === undefined ? `${ms} ms` : `${(1e9 / speed).toFixed(2)} (best ${(((1e9 / speed) * min) / ms).toFixed(2)})`
  console.log(`${group.padEnd(26)} ${name.padEnd(24)} ${cost}`)
}
