import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Arbitrary from "effect/Arbitrary"
import { compile, type LiteralMatcher, type OnMatch } from "../../src/internal/literalMatcher.ts"

// -----------------------------------------------------------------------------
// The whole-text reference
// -----------------------------------------------------------------------------

/** One step of the reference: a pattern that matched, or one code unit that stays (`pattern` is -1). */
interface Token {
  readonly pattern: number
  readonly offset: number
  readonly text: string
}

type Equal = (pattern: string, text: string) => boolean

const same: Equal = (pattern, text) => pattern === text

const tokens = (patterns: ReadonlyArray<string>, text: string, equal: Equal = same): ReadonlyArray<Token> => {
  const list: Array<Token> = []
  for (let offset = 0; offset < text.length;) {
    let best = -1
    for (const [pattern, literal] of patterns.entries()) {
      const isLonger = best === -1 || literal.length > patterns[best]!.length
      if (isLonger && equal(literal, text.slice(offset, offset + literal.length))) best = pattern
    }
    const length = best === -1 ? 1 : patterns[best]!.length
    list.push({ pattern: best, offset, text: text.slice(offset, offset + length) })
    offset += length
  }
  return list
}

const show: OnMatch = (pattern, offset, matched) => `<${pattern}@${offset}:${matched}>`

const render = (list: ReadonlyArray<Token>): string =>
  list.map(({ offset, pattern, text }) => (pattern === -1 ? text : show(pattern, offset, text)!)).join("")

const reference = (patterns: ReadonlyArray<string>, text: string, equal: Equal = same): string =>
  render(tokens(patterns, text, equal))

// -----------------------------------------------------------------------------
// Streaming
// -----------------------------------------------------------------------------

const run = (matcher: LiteralMatcher, pieces: Iterable<string>, replacement: string | OnMatch = show): string => {
  const stream = matcher.open(replacement)
  let output = ""
  let held = 0
  for (const piece of pieces) {
    output += stream.push(piece)
    held = Math.max(held, stream.held)
  }
  assert.isAtMost(held, matcher.maxHeld)
  return output + stream.end()
}

/** Pieces of the given lengths, over and over. */
const cut = (text: string, lengths: ReadonlyArray<number>): ReadonlyArray<string> => {
  const pieces: Array<string> = []
  for (let at = 0, turn = 0; at < text.length; turn++) {
    const length = lengths[turn % lengths.length]!
    pieces.push(text.slice(at, at + length))
    at += length
  }
  return pieces
}

const exact = (patterns: ReadonlyArray<string>) => compile(patterns, { caseSensitive: true })
const anyCase = (patterns: ReadonlyArray<string>) => compile(patterns, { caseSensitive: false })

const textOf = (characters: ReadonlyArray<string>, minLength: number, maxLength: number) =>
  Arbitrary.array(Arbitrary.schema(Schema.Literals(characters)), { minLength, maxLength }).pipe(
    Arbitrary.map((units) => units.join(""))
  )
const lengths = Arbitrary.array(Arbitrary.schema(Schema.Literals([1, 2, 3, 5, 8])), { minLength: 1, maxLength: 4 })
const patternsOf = (characters: ReadonlyArray<string>, maxLength: number) =>
  Arbitrary.array(textOf(characters, 1, maxLength), { minLength: 1, maxLength: 7 })

const wordsUpTo = (letters: string, length: number): ReadonlyArray<string> => {
  const words = [""]
  for (let index = 0; words[index]!.length < length; index++) {
    for (const letter of letters) words.push(words[index]! + letter)
  }
  return words
}

const commonPrefix = (a: ReadonlyArray<Token>, b: ReadonlyArray<Token>): ReadonlyArray<Token> => {
  const differs = a.findIndex((token, index) => token.pattern !== b[index]?.pattern || token.text !== b[index].text)
  return differs === -1 ? a : a.slice(0, differs)
}

/** What no continuation can change, by trying all of them. Longer ones than the longest pattern change nothing more. */
const decided = (patterns: ReadonlyArray<string>, text: string, continuations: ReadonlyArray<string>): string =>
  render(continuations.map((rest) => tokens(patterns, text + rest)).reduce(commonPrefix))

describe("literalMatcher", () => {
  it("takes the leftmost match, and the longest of those", () => {
    const cases: ReadonlyArray<readonly [patterns: ReadonlyArray<string>, text: string, expected: string]> = [
      [["pass", "password"], "my password, a pass", "my <1@3:password>, a <0@15:pass>"],
      [["pass", "password", "word"], "passwor! word", "<0@0:pass>wor! <2@9:word>"],
      [["pass", "password", "wo"], "passwor!", "<0@0:pass><2@4:wo>r!"],
      [["abcd", "bc"], "abce abcd", "a<1@1:bc>e <0@5:abcd>"],
      [["ab", "bcd"], "abcd", "<0@0:ab>cd"],
      [["abcx", "bcd", "cde"], "abcde", "a<1@1:bcd>e"],
      [["aa"], "aaaaa", "<0@0:aa><0@2:aa>a"],
      [["same", "same"], "same", "<0@0:same>"],
      [["ab", "ababc", "xababde"], "xababdfababc", "x<0@1:ab><0@3:ab>df<1@7:ababc>"],
      [["ab", "ababc", "xababdababe", "xxababdababfg"], "xxababdababf", "xx<0@2:ab><0@4:ab>d<0@7:ab><0@9:ab>f"],
      [["abababc", "ab", "ba"], "abababab", "<1@0:ab><1@2:ab><1@4:ab><1@6:ab>"]
    ]
    for (const [patterns, text, expected] of cases) {
      assert.strictEqual(reference(patterns, text), expected)
      for (let at = 0; at <= text.length; at++) {
        assert.strictEqual(run(exact(patterns), [text.slice(0, at), text.slice(at)]), expected, `cut at ${at}`)
      }
      assert.strictEqual(run(exact(patterns), text), expected)
    }
  })

  it("holds a match while a longer one is possible, and lets it go in the push that excludes it", () => {
    const stream = exact(["pass", "password"]).open("***")
    assert.deepStrictEqual(
      ["my p", "ass", "wo", "w", " pass", "word", "pas", "t pas"].map((piece) => stream.push(piece)),
      ["my ", "", "", "***wow", " ", "***", "", "past "]
    )
    assert.strictEqual(stream.held, 3)
    assert.strictEqual(stream.end(), "pas")
    assert.strictEqual(stream.held, 0)
  })

  it.prop(
    "gives the reference's result for any pieces",
    { patterns: patternsOf(["a", "b", "c"], 6), text: textOf(["a", "b", "c"], 0, 40), lengths },
    ({ lengths, patterns, text }) => {
      assert.strictEqual(run(exact(patterns), cut(text, lengths)), reference(patterns, text))
      assert.strictEqual(run(exact(patterns), text), reference(patterns, text))
    },
    { arbitrary: { runs: 2_000 } }
  )

  it.prop(
    "gives the reference's result where patterns overlap most",
    { patterns: patternsOf(["a", "a", "a", "b"], 9), text: textOf(["a", "a", "a", "a", "b", "c"], 0, 40), lengths },
    ({ lengths, patterns, text }) => {
      assert.strictEqual(run(exact(patterns), cut(text, lengths)), reference(patterns, text))
    },
    { arbitrary: { runs: 2_000 } }
  )

  it.prop(
    "gives the reference's result where what is held back holds many matches",
    {
      patterns: Arbitrary.array(textOf(["ab", "ab", "b", "abc", "x"], 1, 6), { minLength: 2, maxLength: 9 }),
      picks: Arbitrary.array(Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 99 })))),
      lengths
    },
    ({ lengths, patterns, picks }) => {
      // Beginnings of patterns in a row, which the next one mostly does not complete.
      const text = picks.map((pick) => patterns[pick % patterns.length]!.slice(pick % 3, -1 - (pick % 2))).join("")
      assert.strictEqual(run(exact(patterns), cut(text, lengths)), reference(patterns, text))
    },
    { arbitrary: { runs: 3_000 } }
  )

  it("emits all that no continuation can change, and no more, for every three short patterns", () => {
    const words = wordsUpTo("ab", 3).slice(1)
    const texts = wordsUpTo("ab", 6)
    const continuations = wordsUpTo("ab", 2)
    for (const [i, first] of words.entries()) {
      for (const [j, second] of words.slice(0, i + 1).entries()) {
        for (const third of words.slice(0, j + 1)) {
          const patterns = [first, second, third]
          const matcher = exact(patterns)
          const expected = new Map(texts.map((text) => [text, decided(patterns, text, continuations)]))
          for (const text of texts) {
            if (text.length !== 6) continue
            const stream = matcher.open(show)
            let output = ""
            for (let length = 1; length <= text.length; length++) {
              output += stream.push(text[length - 1]!)
              if (output !== expected.get(text.slice(0, length))) {
                assert.fail(`${patterns.join(" ")} on ${text.slice(0, length)}: ${output}`)
              }
            }
          }
        }
      }
    }
  })

  const continuations = wordsUpTo("abc", 3)
  it.prop(
    "emits all that no continuation can change, and no more, for any pieces",
    { patterns: patternsOf(["a", "b", "c"], 4), text: textOf(["a", "b", "c"], 0, 14), lengths },
    ({ lengths, patterns, text }) => {
      const stream = exact(patterns).open(show)
      let input = ""
      let output = ""
      for (const piece of cut(text, lengths)) {
        input += piece
        output += stream.push(piece)
        assert.strictEqual(output, decided(patterns, input, continuations))
      }
    },
    { arbitrary: { runs: 300 } }
  )

  it("passes text through without patterns", () => {
    const stream = exact([]).open("***")
    assert.strictEqual(stream.push("any text"), "any text")
    assert.strictEqual(stream.held, 0)
    assert.strictEqual(stream.end(), "")
  })

  it("replaces with a string, a computed string, or nothing", () => {
    const text = "a secret in a SECRET"
    assert.strictEqual(run(anyCase(["secret"]), cut(text, [4]), "[removed]"), "a [removed] in a [removed]")
    assert.strictEqual(run(anyCase(["secret"]), cut(text, [4]), ""), "a  in a ")
    assert.strictEqual(
      run(anyCase(["secret"]), cut(text, [4]), (_pattern, _offset, matched) => matched[0] + "*".repeat(5)),
      "a s***** in a S*****"
    )
  })

  it("stops before a match for which the callback returns undefined", () => {
    const stream = exact(["mask", "block"]).open((pattern) => (pattern === 0 ? "****" : undefined))
    assert.strictEqual(stream.push("mask this, bl"), "**** this, ")
    assert.isFalse(stream.stopped)
    assert.strictEqual(stream.push("ock that, mask"), "")
    assert.isTrue(stream.stopped)
    assert.strictEqual(stream.held, 0)
    assert.strictEqual(stream.push("more"), "")
    assert.strictEqual(stream.end(), "")
  })

  it("calls no more after it stopped, also where several matches are decided at once", () => {
    const stopAt3 = () => {
      const calls: Array<number> = []
      const stream = exact(["ab", "ababc", "xabababde"]).open((_pattern, offset) => {
        calls.push(offset)
        return offset === 3 ? undefined : "*"
      })
      return { calls, stream }
    }
    const byPush = stopAt3()
    assert.deepStrictEqual([byPush.stream.push("xabababd"), byPush.stream.push("x")], ["", "x*"])
    assert.deepStrictEqual(byPush.calls, [1, 3])
    const byEnd = stopAt3()
    assert.deepStrictEqual([byEnd.stream.push("xabababd"), byEnd.stream.end()], ["", "x*"])
    assert.deepStrictEqual(byEnd.calls, [1, 3])
    assert.isTrue(byEnd.stream.stopped)

    // Here the end excludes one longer match after the other.
    const calls: Array<number> = []
    const stream = exact(["a", "aaaaa"]).open((_pattern, offset) => {
      calls.push(offset)
      return undefined
    })
    assert.strictEqual(stream.push("xaaa") + stream.end(), "x")
    assert.deepStrictEqual(calls, [1])
  })

  it("begins a new text after the end, and shares nothing between streams", () => {
    const matcher = exact(["secret"])
    const stream = matcher.open(show)
    const other = matcher.open(show)
    assert.strictEqual(stream.push("a sec") + stream.end(), "a sec")
    assert.strictEqual(other.push("a sec"), "a ")
    assert.strictEqual(stream.push("ret secret"), "ret <0@4:secret>")
    assert.strictEqual(other.push("ret"), "<0@2:secret>")
  })

  it("does not see patterns that are changed after they were compiled", () => {
    const patterns = ["one", "three"]
    const matcher = exact(patterns)
    patterns[0] = "changed"
    assert.strictEqual(run(matcher, ["one changed"]), "<0@0:one> changed")
    assert.deepStrictEqual(matcher.patterns, ["one", "three"])
    assert.strictEqual(matcher.maxHeld, 4)
  })

  it("rejects patterns that cannot be meant", () => {
    assert.throws(() => exact(["ok", ""]), /patterns\[1\] is empty/)
    assert.throws(() => anyCase([""]), /patterns\[0\] is empty/)
    assert.throws(() => exact(["\ud801"]), /patterns\[0\] holds half a surrogate pair/)
    const everyUnit = Array.from({ length: 0xd800 }, (_, unit) => String.fromCharCode(unit))
      .concat(Array.from({ length: 0x2000 }, (_, unit) => String.fromCharCode(0xe000 + unit)))
      .concat(Array.from({ length: 0x400 }, (_, unit) => String.fromCodePoint(0x10000 + unit * 0x401)))
    assert.throws(() => exact(everyUnit), /patterns use 65538 different characters, the limit is 65000/)
    assert.throws(() => exact(["ok", "\udc00 low"]), /patterns\[1\] holds half a surrogate pair/)
  })
})

describe("literalMatcher, case", () => {
  /** The rule's own words: equal where a regular expression with the flags `iu` takes them for equal. */
  const folded: Equal = (pattern, text) => new RegExp(`^${escape(pattern)}$`, "iu").test(text)
  const escape = (pattern: string): string =>
    Array.from(pattern, (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`).join("")

  it("ignores case where asked, and only there", () => {
    assert.strictEqual(run(anyCase(["PassWord"]), ["pASSwORD"]), "<0@0:pASSwORD>")
    assert.strictEqual(run(exact(["PassWord"]), ["pASSwORD"]), "pASSwORD")
    assert.strictEqual(run(anyCase(["ab", "AB"]), ["Ab"]), "<0@0:Ab>")
  })

  it("knows every case of each ASCII character", () => {
    const units = Array.from({ length: 0x10000 }, (_, unit) => String.fromCharCode(unit)).join("")
    for (let unit = 0; unit < 128; unit++) {
      const pattern = String.fromCharCode(unit)
      const found: Array<string> = []
      run(anyCase([pattern]), [units], (_pattern, _offset, matched) => {
        found.push(matched)
        return ""
      })
      const expected = new RegExp(escape(pattern), "giu")
      assert.deepStrictEqual(found, units.match(expected)!.slice(), pattern)
    }
  })

  it("takes one character for one, as Unicode's simple case folding does", () => {
    const equal = [
      "kK\u212a",
      "sSſ",
      "σΣς",
      "ßẞ",
      "åÅ\u212b",
      "ωΩ\u2126",
      "µμΜ",
      "жЖ",
      "θΘϑϴ",
      "ǆǅǄ",
      "ａＡ",
      "ꭰᎠ",
      "აᲐ"
    ]
    for (const [index, group] of equal.entries()) {
      const others = equal.filter((_, other) => other !== index).join("")
      for (const letter of group) {
        assert.strictEqual(run(anyCase([letter]), [group], "*"), "*".repeat(group.length), `${letter} in ${group}`)
        assert.strictEqual(run(anyCase([letter]), [others], "*"), others, letter)
      }
    }
    for (const [pattern, text] of [
      ["ss", "ß"],
      ["ß", "SS"],
      ["fi", "ﬁ"],
      ["i", "ıİ"],
      ["ı", "iIİ"],
      ["İ", "iIı"],
      ["é", "e\u0301"]
    ] as const) {
      assert.strictEqual(run(anyCase([pattern]), [text], "*"), text, `${pattern} in ${text}`)
    }
  })

  it("knows the cases of letters beyond the first plane, also where a piece ends within one", () => {
    const text = "x𐐨𐐩y𞤀𞤢z"
    const matcher = anyCase(["𐐀𐐁", "𞤢𞤀"])
    for (let at = 0; at <= text.length; at++) {
      assert.strictEqual(run(matcher, [text.slice(0, at), text.slice(at)], "*"), "x*y*z")
    }
    assert.strictEqual(run(exact(["𐐀𐐁"]), [text], "*"), text)
  })

  it("does not take a low surrogate for another one behind a high surrogate that has no case", () => {
    // 🐀 and 🐨 end in the same units as 𐐀 and 𐐨, which are one letter.
    assert.strictEqual(run(anyCase(["𐐀", "🐀"]), "𐐨 🐨 🐀 𐐀", "*"), "* 🐨 * *")
    assert.strictEqual(run(anyCase(["𐐀", "🐀x"]), "🐨x🐀𐐨🐀x", "*"), "🐨x🐀**")
  })

  it("knows every letter with case there is", () => {
    const cased = /^\p{Changes_When_Casemapped}|\p{Changes_When_Casefolded}$/u
    for (let codePoint = 0x20000; codePoint < 0x110000; codePoint++) {
      if (cased.test(String.fromCodePoint(codePoint))) assert.fail(`U+${codePoint.toString(16)} has another case`)
    }
  })

  const letters = ["s", "ſ", "K", "\u212a", "ß", "ẞ", "ς", "Σ", "ı", "i", "𐐀", "𐐨", "🐀", "🐨"]
  it.prop(
    "gives the reference's result for any pieces, halves of pairs among them",
    {
      patterns: patternsOf(letters, 3),
      text: textOf([...letters, "\ud801", "\udc00", "\udc28", "\ud83d"], 0, 24),
      lengths
    },
    ({ lengths, patterns, text }) => {
      assert.strictEqual(run(anyCase(patterns), cut(text, lengths)), reference(patterns, text, folded))
    },
    { arbitrary: { runs: 1_000 } }
  )
})

describe("literalMatcher, surrogate pairs", () => {
  it("emits the first half of a pair at once, unless a pattern may begin with it", () => {
    const stream = exact(["𐐀"]).open("*")
    assert.deepStrictEqual(
      ["\ud83d", "\ude00", "\ud801", "\udc01", "\ud801", "\udc00"].map((piece) => stream.push(piece)),
      ["\ud83d", "\ude00", "", "𐐁", "", "*"]
    )
  })

  it("cuts no pair", () => {
    assert.strictEqual(run(exact(["😀", "a😀"]), "😁a😁😀a😀", "*"), "😁a😁**")
  })
})

describe("literalMatcher, cost", () => {
  const million = 1_000_000

  it.each([
    ["one pattern that nearly matches everywhere", [`${"a".repeat(20_000)}b`], "a", "a"],
    ["a match that a long pattern holds back", ["a", `${"a".repeat(20_000)}b`], "a", "*"],
    ["matches within what is held back", ["aa", `${"ab".repeat(10_000)}c`, "ba"], "ab", undefined],
    ["each prefix a pattern", Array.from({ length: 300 }, (_, index) => `${"a".repeat(index + 1)}b`), "a", "a"],
    [
      "each other prefix a pattern",
      Array.from({ length: 300 }, (_, index) => "a".repeat(2 * index + 1)),
      "a",
      undefined
    ]
  ])("is linear in the text: %s", (_name, patterns, unit, output) => {
    const text = unit.repeat(million / unit.length)
    const matcher = exact(patterns)
    // A cost of 20,000 steps per character would take minutes.
    for (const length of [1, 7, 4_096, million]) {
      const result = run(matcher, cut(text, [length]), "*")
      if (output !== undefined) assert.isTrue(result === output.repeat(million), `pieces of ${length}`)
      else assert.isTrue(result === run(matcher, [text], "*"), `pieces of ${length}`)
    }
  })

  it("finds each of 10,000 patterns", () => {
    // Hashed digits: many common prefixes, no pattern a prefix of another.
    const patterns = Array.from(
      { length: 10_000 },
      (_, index) => `${(Math.imul(index + 1, 2654435761) >>> 0).toString(36)}${index};`
    )
    const text = patterns.map((pattern, index) => `${index % 3 === 0 ? pattern.slice(0, -1) : ""} ${pattern}`).join("")
    const found: Array<number> = []
    const matcher = exact(patterns)
    const output = run(matcher, cut(text, [3, 1, 4, 1, 5]), (pattern, offset, matched) => {
      assert.strictEqual(text.slice(offset, offset + matched.length), patterns[pattern])
      found.push(pattern)
      return ""
    })
    assert.deepStrictEqual(found, [...patterns.keys()])
    assert.strictEqual(output.length, text.length - patterns.join("").length)
  })

  it.prop(
    "gives the reference's result where the automaton has more nodes than rows",
    {
      picks: Arbitrary.array(Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2_999 })))),
      lengths
    },
    ({ lengths, picks }) => {
      const patterns = manyPatterns
      // Pieces of patterns in a row, so that most candidates fail deep in the automaton.
      const text = picks.map((pick) => patterns[pick]!.slice(pick % 5, 12 - (pick % 3))).join("")
      assert.strictEqual(run(manyMatcher, cut(text, lengths)), reference(patterns, text))
    },
    { arbitrary: { runs: 100 } }
  )
  // 36 letters and 3,000 patterns of 1 to 12 of them: 20,000 nodes, of which 2,048 have rows.
  const manyPatterns = Array.from({ length: 3_000 }, (_, index) => {
    const digits = (Math.imul(index + 7, 2654435761) >>> 0).toString(36) + (Math.imul(index, 40503) >>> 0).toString(36)
    return (index % 7 === 0 ? digits.slice(2, 5) : digits.repeat(2)).slice(0, 12)
  })
  const manyMatcher = exact(manyPatterns)
})
