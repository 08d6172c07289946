/**
 * Finds JSON inside Markdown fences, code unit by code unit.
 *
 * 1. A fence opens with a run of three or more backticks: at the start of a line (behind white space), or in mid-line if
 *    the word "json" follows at once. Spaces may stand between the run and the info string.
 * 2. It is a JSON fence if it has no info string or one whose first word has "json" in it (`json`, `JSON`, `jsonl`,
 *    `application/json`). Of other fences the content is not searched.
 * 3. It closes with a run at least as long: at the start of a line, and, since JSON has backticks in strings only, in a
 *    JSON fence anywhere. A run with a word right behind it opens the next fence instead, so that a fence that was never
 *    closed does not turn the rest of the text inside out.
 * 4. The finder sees only what is outside values: a fence inside a string of a value does not exist for it.
 * 5. A fence may be written in one line: `` ```json {"a":1}``` ``. A run of backticks that closes on the line of another
 *    language's info string was inline code, not a fence.
 *
 * Fences of tildes are not known.
 *
 * @since 0.1.0
 */

// Where the finder is.
const OUTSIDE = 0
/** In the content of a JSON fence. */
const JSON_CONTENT = 1
/** In the content of another fence. */
const OTHER_CONTENT = 2
/** Counting a run of backticks. */
const RUN = 3
/** In the spaces or the first word behind a run. */
const WORD = 4
/** Behind the first word of another language's info string, on the same line. */
const OTHER_INFO = 5

/** So much of the first word is looked at. */
const maxWord = 64

/** @since 0.1.0 */
export class FenceFinder {
  private state = OUTSIDE
  /** Where the run was found. */
  private home = OUTSIDE
  private isLineStart = true
  private wasLineStart = true
  private run = 0
  /** The length of the open fence's run. */
  private opening = 3
  private hasSpace = false
  private word = ""

  clear(): void {
    this.state = OUTSIDE
    this.isLineStart = true
  }

  /** Reads on, up to the next `{` or `[` in a JSON fence or to `end`, and returns the index. */
  find(chunk: string, start: number, end: number): number {
    let i = start
    while (i < end) {
      const c = chunk.charCodeAt(i)
      switch (this.state) {
        case RUN: {
          if (c === 96) {
            this.run++
            i++
          } else this.endRun()
          break
        }
        case WORD: {
          if ((c === 32 || c === 9) && this.word === "") {
            this.hasSpace = true
            i++
          } else if (c === 32 || c === 9 || c === 10 || c === 13 || c === 96 || c === 123 || c === 91) {
            this.endWord(c === 96)
          } else {
            if (this.word.length < maxWord) this.word += chunk[i]
            i++
          }
          break
        }
        case OTHER_INFO: {
          if (c === 96) this.state = OUTSIDE
          else {
            if (c === 10 || c === 13) {
              this.isLineStart = true
              this.state = OTHER_CONTENT
            }
            i++
          }
          break
        }
        default: {
          if (c === 96) {
            this.home = this.state
            this.wasLineStart = this.isLineStart
            this.isLineStart = false
            this.run = 1
            this.state = RUN
          } else if (this.state === JSON_CONTENT && (c === 123 || c === 91)) {
            this.isLineStart = false
            return i
          } else if (c === 10 || c === 13) this.isLineStart = true
          else if (c !== 32 && c !== 9) this.isLineStart = false
          i++
        }
      }
    }
    return i
  }

  /** The run is over: is it one that matters? */
  private endRun(): void {
    const isLong = this.run >= (this.home === OUTSIDE ? 3 : this.opening)
    if (isLong && (this.wasLineStart || this.home !== OTHER_CONTENT)) {
      this.hasSpace = false
      this.word = ""
      this.state = WORD
    } else this.state = this.home
  }

  /** The first word behind a run is over, or there is none. */
  private endWord(isBacktick: boolean): void {
    const { hasSpace, home, wasLineStart, word } = this
    const isJson = word.toLowerCase().includes("json")
    if (home === OUTSIDE) {
      if (isBacktick) this.toFence(OUTSIDE)
      else if (wasLineStart ? isJson || word === "" : isJson && !hasSpace) this.toFence(JSON_CONTENT)
      else this.toFence(wasLineStart ? OTHER_INFO : OUTSIDE)
    } else if (word === "" || hasSpace) this.toFence(OUTSIDE)
    else if (isBacktick) this.state = home
    else if (isJson) this.toFence(JSON_CONTENT)
    else this.toFence(wasLineStart ? OTHER_INFO : OUTSIDE)
  }

  private toFence(state: number): void {
    this.opening = this.run
    this.state = state
  }
}
