/**
 * Incremental JSON: a state machine over code units that builds one live tree in place.
 *
 * 1. Every code unit is looked at once. An illegal one ends the open top-level value and is looked at once more, by the
 *    search for the next. So any input takes linear time, and what comes out does not depend on how it was cut.
 * 2. The tree may be read after every chunk in O(1) (`partialUnsafe`). In it strings grow; numbers, literals and keys
 *    appear only when they are whole. A number is whole when white space, a comma or a bracket follows: a top-level
 *    number also at the end of the text, a number inside a container that was cut off never.
 * 3. An escape sequence is shown when it is whole, a surrogate pair when both halves are there. A high surrogate that is
 *    not followed by a low one shows when something else follows.
 * 4. Of equal keys the last wins. The first value stays visible until the second one begins to show; then the growing one
 *    takes its place, at the place of the first.
 * 5. Nothing is thrown for what data can cause: `fault` says why the engine stopped. What was found before stays.
 * 6. No recursion, no regular expression, no `JSON.parse`.
 *
 * @since 0.1.0
 */
import { EscapeReader, ILLEGAL, PENDING } from "./jsonEscape.ts"
import { FenceFinder } from "./jsonFence.ts"
import { KeyReader } from "./jsonKey.ts"
import type { Json, JsonEngineOptions, JsonFault, JsonPath } from "./jsonModel.ts"
import { NumberReader } from "./jsonNumber.ts"
import { JsonOutput } from "./jsonOutput.ts"
import { hasPath, isWhole, pathLike, pathOf } from "./jsonPath.ts"
import { detachSlice, GrowingText } from "./jsonText.ts"
import { JsonTree } from "./jsonTree.ts"

/** Outside values. */
const SEARCH = 0

// From here to `AFTER` white space means nothing.
/** Strict: before the document. */
const START = 1
/** Strict: behind the document. */
const DONE = 2
/** Behind `{`. */
const FIRST_KEY = 3
/** Behind a comma in an object. */
const NEXT_KEY = 4
const COLON = 5
const VALUE = 6
/** Behind `[`. */
const FIRST_VALUE = 7
/** Behind a value in a container. */
const AFTER = 8

const KEY = 9
const KEY_ESCAPE = 10
const NUMBER = 11
const LITERAL = 12
const STRING = 13
const STRING_ESCAPE = 14

const maxRoom = 2 ** 30

/** Behind how many escapes a string's text is gathered within one chunk, lest it becomes a rope of single characters. */
const maxEscapes = 1_024

const isSpace = (c: number): boolean => c === 32 || c === 10 || c === 13 || c === 9

const skipSpace = (chunk: string, start: number, end: number): number => {
  let i = start
  while (i < end && isSpace(chunk.charCodeAt(i))) i++
  return i
}

const limitOf = (name: string, value: number | undefined, otherwise: number): number => {
  if (value === undefined) return otherwise
  if (value === Number.POSITIVE_INFINITY || (Number.isSafeInteger(value) && value >= 1)) return value
  throw new RangeError(`${name} must be a positive integer or Infinity, got ${value}`)
}

/** @since 0.1.0 */
export class JsonEngine {
  /** Why the engine stopped, if it did. */
  fault: JsonFault | undefined = undefined
  /** Whether `takeValues` has something to give. A field, since a getter that looks costs 3 ns a chunk. */
  hasCompleteValues = false

  private readonly isStrict: boolean
  private readonly failsOnMalformed: boolean
  private readonly maxDepth: number
  private readonly maxSize: number

  private readonly tree = new JsonTree()
  private readonly output: JsonOutput
  private readonly text = new GrowingText()
  private readonly keys = new KeyReader()
  private readonly escapes = new EscapeReader()
  private readonly number = new NumberReader(this.text)
  private readonly fences: FenceFinder | undefined

  private state = SEARCH
  private isStopped = false
  /**
   * So many code units may come before `limitAt` has to be looked at, and the place that is reached then. A small integer
   * is counted down, since sums beyond 2^31 take as long as the rest of a short chunk.
   */
  private room = 0
  private roomEnd = 0
  /** The open top-level value may go up to here. */
  private limitAt = Number.POSITIVE_INFINITY
  private literal = ""
  private literalAt = 0
  /** The open string is not shown. */
  private isTextHidden = false
  /** The open path as it was last asked for. */
  private lastPath: JsonPath = []

  /** Throws a `RangeError` for an impossible limit. */
  constructor(options: JsonEngineOptions = {}) {
    this.isStrict = options.strict === true
    this.failsOnMalformed = options.onMalformed === "fail"
    this.maxDepth = limitOf("maxDepth", options.maxDepth, 1_000)
    this.maxSize = limitOf("maxSize", options.maxSize, 16 * 1_024 * 1_024)
    this.output = new JsonOutput(this.tree, options)
    this.fences = options.roots === "fenced" ? new FenceFinder() : undefined
    if (this.isStrict) this.state = START
  }

  /** The top-level values that became whole since the last call, in order. */
  takeValues(): Array<Json> {
    const { values } = this.output
    if (this.hasCompleteValues) {
      this.output.values = []
      this.hasCompleteValues = false
    }
    return values
  }

  /** Whether a top-level value that counts has begun and is not whole. */
  get isOpen(): boolean {
    return this.output.isVisible
  }

  /**
   * The open top-level value so far, in O(1): it goes on growing in place. A later reading may be another object, and
   * reading every code unit of a string that grows, after every chunk, takes quadratic time.
   */
  get partialUnsafe(): Json | undefined {
    return this.output.isVisible ? this.tree.attach(this.openText) : undefined
  }

  /**
   * The open top-level value so far, never to be changed by the engine. It shares with the snapshot before (and with the
   * value, once that is whole) all that is whole or did not change, and is the same object when nothing changed. It costs
   * the number of slots in the open containers: see `snapshotCost`.
   */
  snapshot(): Json | undefined {
    return this.output.isVisible ? this.tree.snapshot(this.openText) : undefined
  }

  /** What the last snapshot cost: the slots that it copied, those of wide objects by their weight. */
  get snapshotCost(): number {
    return this.tree.copied
  }

  /** Counts visible changes: as long as it stays, a snapshot stays the same object. */
  get changes(): number {
    return this.tree.changes
  }

  /**
   * Whether there is a value at `path` that is whole: in the open top-level value, or in the last one if none is open.
   */
  isComplete(path: JsonPath): boolean {
    if (this.output.isVisible) return isWhole(this.tree.frames, this.tree.depth, this.isSlotOpen(this.state), path)
    const { last } = this.output
    return last !== undefined && hasPath(last, path, 0)
  }

  /** Number of containers around what a listener is told about. */
  get depth(): number {
    return this.tree.depth
  }

  /** The key or the index of what a listener is told about. */
  get slot(): string | number {
    const { array, index, key } = this.tree.top
    return array === undefined ? key : index
  }

  /** The path of what a listener is told about. */
  path(): Array<string | number> {
    return pathOf(this.tree.frames, this.tree.depth)
  }

  /** The path of the innermost value that is not whole: the same array as long as it is the same. */
  openPath(): JsonPath {
    const { depth, frames } = this.tree
    this.lastPath = pathLike(this.lastPath, frames, this.isSlotOpen(this.state) ? depth : Math.max(0, depth - 1))
    return this.lastPath
  }

  /** For a listener: whether the open string stays out of partials until it is whole. */
  hideText(isHidden: boolean): void {
    this.isTextHidden = isHidden
  }

  /**
   * Ends the text. What is open stays readable as the partial; in strict mode it is a fault. Chunks that come later are
   * ignored.
   */
  end(): void {
    if (this.isStopped) return
    this.isStopped = true
    if (!this.isStrict) return
    if (this.state === NUMBER && this.tree.depth === 0 && this.number.isWhole) {
      this.finishNumber()
      this.state = this.settle(0)
    }
    if (this.state !== DONE) this.fail(this.state, 0, "unexpected end of text")
  }

  /** Starts anew, as if the engine had just been made. */
  reset(): void {
    this.clear()
    this.output.reset()
    this.hasCompleteValues = false
    this.fences?.clear()
    this.state = this.isStrict ? START : SEARCH
    this.isStopped = false
    this.makeRoom(0)
    this.fault = undefined
  }

  /** Reads a chunk. Chunks behind a fault or the end are ignored. */
  feed(chunk: string): void {
    if (this.isStopped) return
    const { length } = chunk
    let i = 0
    if (length <= this.room) {
      // Most chunks of a token or two lie inside a string, or are white space.
      if (this.state === STRING) {
        let c = 0
        for (; i < length; i++) {
          c = chunk.charCodeAt(i)
          if (c === 34 || c === 92 || c < 32) break
        }
        if (i === length) {
          if (length > 0) this.carry(this.text.isHolding ? this.text.release() + chunk : chunk, c)
          this.room -= length
          return
        }
      } else if (this.state >= START && this.state <= AFTER) {
        i = skipSpace(chunk, 0, length)
        if (i === length) {
          this.room -= length
          return
        }
      }
    }
    this.scan(chunk, i)
  }

  /** Reads a chunk from `start` on; what is before belongs to the open string or is white space. */
  private scan(chunk: string, start: number): void {
    const { escapes, keys, output, tree } = this
    const { length } = chunk
    const { watched } = output
    if (length > this.room) this.makeRoom()
    let end = Math.min(length, this.room)
    let state = this.state
    // What this chunk adds to the open string.
    let piece = state < STRING || !this.text.isHolding ? "" : this.text.release()
    let escaped = 0
    let i = start
    for (;;) {
      let issue = ""
      while (i < end) {
        switch (state) {
          case STRING: {
            const from = i === start ? 0 : i
            let c = 0
            for (; i < end; i++) {
              c = chunk.charCodeAt(i)
              if (c === 34 || c === 92 || c < 32) break
            }
            const isFirst = piece === ""
            if (i > from) piece += from === 0 && i === length ? chunk : chunk.slice(from, i)
            if (i === end) break
            c = chunk.charCodeAt(i)
            if (c === 34) {
              i++
              if (piece !== "") {
                tree.changes++
                if (tree.listener !== undefined) tree.listener.onAppend(piece)
              }
              if (!this.text.isEmpty || !isFirst) piece = this.text.finish(piece)
              else piece = detachSlice(piece)
              if (this.isTextHidden) this.showText()
              tree.put(piece)
              piece = ""
              if (tree.depth > watched) state = AFTER
              else {
                state = this.settle(i)
                end = Math.min(length, this.room)
              }
            } else if (c === 92) {
              i++
              state = STRING_ESCAPE
            } else issue = "control character in a string"
            break
          }
          case KEY: {
            i = keys.scan(chunk, i, end)
            if (i === end) break
            const c = chunk.charCodeAt(i)
            if (c === 34) {
              i++
              tree.top.key = keys.finish()
              state = COLON
            } else if (c === 92) {
              i++
              state = KEY_ESCAPE
            } else issue = "control character in a key"
            break
          }
          case AFTER: {
            const c = chunk.charCodeAt(i)
            const { top } = tree
            if (c === 44) {
              i++
              top.index++
              state = top.array === undefined ? NEXT_KEY : VALUE
            } else if (c === (top.array === undefined ? 125 : 93)) {
              i++
              tree.close()
              if (tree.depth > watched) state = AFTER
              else {
                state = this.settle(i)
                end = Math.min(length, this.room)
              }
            } else if (isSpace(c)) i = skipSpace(chunk, i + 1, end)
            else issue = top.array === undefined ? 'expected "," or "}"' : 'expected "," or "]"'
            break
          }
          case COLON: {
            const c = chunk.charCodeAt(i)
            if (c === 58) {
              i++
              state = VALUE
            } else if (isSpace(c)) i = skipSpace(chunk, i + 1, end)
            else issue = 'expected ":"'
            break
          }
          case FIRST_KEY:
          case NEXT_KEY: {
            const c = chunk.charCodeAt(i)
            if (c === 34) {
              i++
              state = KEY
            } else if (isSpace(c)) i = skipSpace(chunk, i + 1, end)
            else if (c === 125 && state === FIRST_KEY) state = AFTER
            else issue = "expected a key"
            break
          }
          case VALUE:
          case FIRST_VALUE: {
            const c = chunk.charCodeAt(i)
            if (c === 34) {
              i++
              if (output.isUndecided) output.decide()
              tree.changes++
              if (tree.listener !== undefined) tree.listener.onOpen("string")
              escaped = 0
              state = STRING
            } else if (isSpace(c)) i = skipSpace(chunk, i + 1, end)
            else if (c === 123 || c === 91) {
              if (tree.depth >= this.maxDepth) {
                this.limit("DepthLimit", state, i, this.maxDepth)
                return
              }
              i++
              output.open(c === 91, this.base + i)
              state = c === 91 ? FIRST_VALUE : FIRST_KEY
            } else if ((c >= 48 && c <= 57) || c === 45) {
              this.number.begin()
              state = NUMBER
            } else if (c === 116 || c === 102 || c === 110) {
              this.literal = c === 116 ? "true" : c === 102 ? "false" : "null"
              this.literalAt = 0
              state = LITERAL
            } else if (c === 93 && state === FIRST_VALUE) state = AFTER
            else issue = "expected a value"
            break
          }
          case NUMBER: {
            i = this.number.scan(chunk, i, end)
            if (i === end) break
            const c = chunk.charCodeAt(i)
            if (
              this.number.isWhole &&
              (c === 44 || c === 125 || c === 93 || c === 32 || c === 10 || c === 13 || c === 9)
            ) {
              this.finishNumber()
              if (tree.depth > watched) state = AFTER
              else {
                state = this.settle(i)
                end = Math.min(length, this.room)
              }
            } else issue = "invalid number"
            break
          }
          case LITERAL: {
            const { literal } = this
            let at = this.literalAt
            while (i < end && at < literal.length && chunk.charCodeAt(i) === literal.charCodeAt(at)) {
              i++
              at++
            }
            this.literalAt = at
            if (at === literal.length) {
              tree.changes++
              tree.put(literal === "null" ? null : literal === "true")
              if (tree.depth > watched) state = AFTER
              else {
                state = this.settle(i)
                end = Math.min(length, this.room)
              }
            } else if (i < end) issue = "invalid literal"
            break
          }
          case STRING_ESCAPE:
          case KEY_ESCAPE: {
            const unit = escapes.read(chunk.charCodeAt(i))
            if (unit === ILLEGAL) {
              issue = "invalid escape"
              break
            }
            i++
            if (unit === PENDING) break
            if (state === STRING_ESCAPE) {
              piece += String.fromCharCode(unit)
              state = STRING
            } else {
              keys.push(unit)
              state = KEY
            }
            break
          }
          case SEARCH: {
            if (this.fences !== undefined) i = this.fences.find(chunk, i, end)
            else {
              for (; i < end; i++) {
                const c = chunk.charCodeAt(i)
                if (c === 123 || c === 91) break
              }
            }
            if (i === end) break
            this.begin(i, chunk.charCodeAt(i) === 91)
            state = VALUE
            end = Math.min(length, this.room)
            break
          }
          case START: {
            const c = chunk.charCodeAt(i)
            if (isSpace(c)) i = skipSpace(chunk, i + 1, end)
            else {
              this.begin(i, false)
              state = VALUE
              end = Math.min(length, this.room)
            }
            break
          }
          default: {
            // DONE
            const c = chunk.charCodeAt(i)
            if (isSpace(c)) i = skipSpace(chunk, i + 1, end)
            else issue = "text behind the document"
          }
        }
        if (issue !== "") {
          if (piece !== "") this.carry(piece, piece.charCodeAt(piece.length - 1))
          if (this.isStrict || (this.failsOnMalformed && this.output.isVisible)) {
            this.fail(state, i, issue)
            return
          }
          this.drop()
          issue = ""
          piece = ""
          state = SEARCH
          end = length
        } else if (piece !== "" && ++escaped === maxEscapes) {
          this.carry(piece, piece.charCodeAt(piece.length - 1))
          piece = this.text.release()
          escaped = 0
        }
      }
      if (i === length) break
      // A code unit too many has come, unless it only says that a top-level number of just that size is whole.
      if (state !== NUMBER || tree.depth > 0 || !this.number.isWhole || !isSpace(chunk.charCodeAt(i))) {
        if (piece !== "") this.carry(piece, piece.charCodeAt(piece.length - 1))
        this.limit("SizeLimit", state, i, this.maxSize)
        return
      }
      end = length
    }
    if (piece !== "") this.carry(piece, piece.charCodeAt(piece.length - 1))
    this.state = state
    this.room -= length
  }

  /** Code units before the current chunk. */
  private get base(): number {
    return this.roomEnd - this.room
  }

  private makeRoom(base = this.base): void {
    this.room = Math.min(this.limitAt - base, maxRoom) | 0
    this.roomEnd = base + this.room
  }

  private get openText(): string | undefined {
    return this.state >= STRING && !this.isTextHidden ? this.text.visible : undefined
  }

  /** Whether the current slot of the innermost container waits for its value or the rest of it. */
  private isSlotOpen(state: number): boolean {
    return state >= NUMBER || state === COLON || state === VALUE || state === FIRST_VALUE
  }

  /** A top-level value begins at index `i` of the chunk. */
  private begin(i: number, isArray: boolean): void {
    this.limitAt = this.base + i + this.maxSize
    this.makeRoom()
    this.output.begin(isArray)
  }

  /** A value at a watched depth is whole; index `i` of the chunk is behind it. */
  private settle(i: number): number {
    const { output, tree } = this
    if (tree.depth === 0) {
      if (output.complete()) this.hasCompleteValues = true
      this.limitAt = Number.POSITIVE_INFINITY
    } else this.limitAt += output.settle(this.base + i)
    this.makeRoom()
    return tree.depth > 0 ? AFTER : this.isStrict ? DONE : SEARCH
  }

  /** The hidden string is whole: a change that can be seen. */
  private showText(): void {
    this.isTextHidden = false
    this.tree.changes++
  }

  private finishNumber(): void {
    this.tree.changes++
    this.tree.put(this.number.finish())
  }

  /** Keeps what a chunk added to the open string. */
  private carry(piece: string, last: number): void {
    const { text, tree } = this
    const visible = text.append(piece, last)
    if (visible === "") return
    tree.changes++
    if (tree.listener !== undefined) tree.listener.onAppend(visible)
  }

  /** The open top-level value is none. */
  private drop(): void {
    const { listener } = this.tree
    this.clear()
    listener?.onDrop()
  }

  private clear(): void {
    this.tree.clear()
    this.text.clear()
    this.keys.clear()
    this.escapes.clear()
    this.output.clear()
    this.isTextHidden = false
    this.limitAt = Number.POSITIVE_INFINITY
  }

  private fail(state: number, i: number, issue: string): void {
    this.stop(state, { _tag: "InvalidJson", offset: this.base + i, path: this.pathIn(state), issue })
  }

  private limit(_tag: "DepthLimit" | "SizeLimit", state: number, i: number, limit: number): void {
    this.stop(state, { _tag, offset: this.base + i, path: this.pathIn(state), limit })
  }

  private stop(state: number, fault: JsonFault): void {
    this.state = state
    this.fault = fault
    this.isStopped = true
  }

  private pathIn(state: number): JsonPath {
    const { depth, frames } = this.tree
    return pathOf(frames, this.isSlotOpen(state) ? depth : depth - 1)
  }
}
