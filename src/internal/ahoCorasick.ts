/**
 * The automaton of leftmost-longest matching: words in, a few typed arrays out.
 *
 * A node of the trie stands for the text that is still undecided, and that text is exactly the node's string: a proper
 * prefix of some word. When no word goes on with the next symbol, the node has *failed*: its string is then decided up
 * to a shorter node's string. What is decided there (`outputs`) and where it goes on (`fail`) follow from the node
 * alone, so both are computed when the automaton is built. This is Aho and Corasick's construction with another
 * failure function: theirs drops the first symbol, ours drops everything that leftmost-longest matching decides (the
 * longest word at the front, if there is one, else the first symbol; then again for the rest).
 *
 * 1. A failure makes the node's string shorter and a symbol makes it longer by at most one, so that a text of n symbols
 *    takes at most 2n moves, whatever the words are.
 * 2. Matches are never searched for again: `outputs` lists them, sharing what lists have in common.
 * 3. A node is as near to the root as its number says (breadth first): the children of a node are neighbours, and the
 *    rows of the nodes that are visited most stand together.
 *
 * @since 0.1.0
 */

/**
 * The arrays are indexed by node; node 0 is the root.
 *
 * @category models
 * @since 0.1.0
 */
export interface Automaton {
  /** Number of symbols in the node's string. */
  readonly depth: Int32Array
  /** The word that the node's string is (the first of equal words), else -1. */
  readonly word: Int32Array
  /** The symbol that leads from the parent to the node. */
  readonly label: Uint16Array
  /** The children of `node` are the nodes from `firstChild[node]` to `firstChild[node + 1]`, by ascending label. */
  readonly firstChild: Int32Array
  /** Where a node goes when no child takes the next symbol; the symbol is then tried again, there. */
  readonly fail: Int32Array
  /** The matches that are decided when the node fails: the last entry of a list, or 0 for none. See {@link outputsOf}. */
  readonly outputs: Int32Array
  /** `rows[(node << rowShift) | symbol]` is the next node, or -1 where a match is decided on the way. */
  readonly rows: Int32Array
  readonly rowShift: number
  /** Nodes below this number have a row. */
  readonly rowCount: number
  readonly entries: Entries
}

/**
 * Lists of matches, each entry naming the one before it. An entry is a word (`value >= 0`) or another whole list
 * (`~value` is its last entry); `at` is where it stands behind the start of the node's string.
 */
interface Entries {
  readonly previous: Array<number>
  readonly value: Array<number>
  readonly at: Array<number>
}

/**
 * At most so many numbers in `rows` (256 KB): the two or three uppermost levels of 10,000 English words, all of a few
 * hundred words. Without rows the text runs at 40 ns a character against 10,000 words, with them at 8.
 */
const maxRowNumbers = 1 << 17

/**
 * Builds the automaton of `words`, none of them empty, written in symbols from 0 to `symbolCount - 1`. The symbols in
 * `unsettled` get -1 in every row: the caller has to look at them.
 *
 * @category constructors
 * @since 0.1.0
 */
export const build = (
  words: ReadonlyArray<string>,
  symbolCount: number,
  unsettled: ReadonlyArray<number>
): Automaton => {
  const trie = buildTrie(words)
  const nodeCount = trie.depth.length
  const fail = new Int32Array(nodeCount)
  const outputs = new Int32Array(nodeCount)
  const entries: Entries = { previous: [0], value: [0], at: [0] }
  const { depth, word, firstChild, label } = trie

  const append = (node: number, value: number, at: number): void => {
    entries.previous.push(outputs[node]!)
    outputs[node] = entries.value.push(value) - 1
    entries.at.push(at)
  }
  // A list of one entry is copied, so that a list that is referred to holds two matches at least and reading a list
  // takes no more steps than it has matches.
  const appendList = (node: number, list: number, at: number): void => {
    if (entries.previous[list] === 0) append(node, entries.value[list]!, at + entries.at[list]!)
    else append(node, ~list, at)
  }

  for (let parent = 0; parent < nodeCount; parent++) {
    for (let node = firstChild[parent]!; node < firstChild[parent + 1]!; node++) {
      if (word[node]! >= 0) {
        append(node, word[node]!, 0)
        continue
      }
      if (parent === 0) continue
      // What the parent's failure decides is decided here too; the text behind it goes on with the node's symbol.
      outputs[node] = outputs[parent]!
      let state = fail[parent]!
      for (;;) {
        const next = childOf(trie, state, label[node]!)
        if (next !== 0) {
          if (firstChild[next] === firstChild[next + 1]) append(node, word[next]!, depth[node]! - depth[next]!)
          else fail[node] = next
          break
        }
        if (state === 0) break
        if (outputs[state] !== 0) appendList(node, outputs[state]!, depth[parent]! - depth[state]!)
        state = fail[state]!
      }
    }
  }
  return { ...trie, fail, outputs, entries, ...buildRows(trie, fail, outputs, symbolCount, unsettled) }
}

/**
 * The child of `node` behind `symbol`, or 0.
 *
 * @category getters
 * @since 0.1.0
 */
export const childOf = (trie: Trie, node: number, symbol: number): number => {
  const { firstChild, label } = trie
  let low = firstChild[node]!
  let high = firstChild[node + 1]!
  while (high - low > 8) {
    const middle = (low + high) >>> 1
    if (label[middle]! <= symbol) low = middle
    else high = middle
  }
  for (; low < high; low++) {
    if (label[low] === symbol) return low
  }
  return 0
}

/**
 * The matches that are decided when `node` fails, its string beginning at `start`: word, position, word, position, …,
 * from the last match to the first.
 *
 * @category getters
 * @since 0.1.0
 */
export const outputsOf = (automaton: Automaton, node: number, start: number): Array<number> => {
  const { at, previous, value } = automaton.entries
  const found: Array<number> = []
  const unread: Array<number> = []
  let entry = automaton.outputs[node]!
  let base = start
  for (;;) {
    while (entry !== 0) {
      const position = base + at[entry]!
      if (value[entry]! >= 0) {
        found.push(value[entry]!, position)
        entry = previous[entry]!
      } else {
        if (previous[entry] !== 0) unread.push(previous[entry]!, base)
        entry = ~value[entry]!
        base = position
      }
    }
    if (unread.length === 0) return found
    base = unread.pop()!
    entry = unread.pop()!
  }
}

type Trie = Pick<Automaton, "depth" | "word" | "label" | "firstChild">

// The words are sorted, so that a node is a range of them and its children are the runs of equal symbols in that range.
const buildTrie = (words: ReadonlyArray<string>): Trie => {
  const order = words.map((_, index) => index)
  order.sort((a, b) => (words[a]! < words[b]! ? -1 : words[a]! > words[b]! ? 1 : a - b))
  const depth = [0]
  const word = [-1]
  const label = [0]
  const firstChild: Array<number> = []
  const from = [0]
  const to = [words.length]
  for (let node = 0; node < depth.length; node++) {
    const length = depth[node]!
    const last = to[node]!
    let index = from[node]!
    if (index < last && words[order[index]!]!.length === length) word[node] = order[index]!
    while (index < last && words[order[index]!]!.length === length) index++
    firstChild.push(depth.length)
    while (index < last) {
      const symbol = words[order[index]!]!.charCodeAt(length)
      from.push(index)
      while (index < last && words[order[index]!]!.charCodeAt(length) === symbol) index++
      to.push(index)
      depth.push(length + 1)
      word.push(-1)
      label.push(symbol)
    }
  }
  firstChild.push(depth.length)
  return {
    depth: Int32Array.from(depth),
    word: Int32Array.from(word),
    label: Uint16Array.from(label),
    firstChild: Int32Array.from(firstChild)
  }
}

const buildRows = (
  trie: Trie,
  fail: Int32Array,
  outputs: Int32Array,
  symbolCount: number,
  unsettled: ReadonlyArray<number>
): Pick<Automaton, "rows" | "rowShift" | "rowCount"> => {
  const { firstChild, label } = trie
  const rowShift = 32 - Math.clz32(symbolCount - 1)
  const width = 1 << rowShift
  const rowCount = Math.max(1, Math.min(fail.length, maxRowNumbers >>> rowShift))
  const rows = new Int32Array(rowCount * width)
  for (let node = 0; node < rowCount; node++) {
    const row = node << rowShift
    if (outputs[node] !== 0) rows.fill(-1, row, row + width)
    else if (node !== 0) rows.copyWithin(row, fail[node]! << rowShift, (fail[node]! + 1) << rowShift)
    for (let next = firstChild[node]!; next < firstChild[node + 1]!; next++) {
      rows[row | label[next]!] = firstChild[next] === firstChild[next + 1] ? -1 : next
    }
    for (const symbol of unsettled) rows[row | symbol] = -1
  }
  return { rows, rowShift, rowCount }
}
