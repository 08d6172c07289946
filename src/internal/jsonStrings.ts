/**
 * Changes what is in the string values of a JSON text that arrives in pieces, and nothing else: names of members, numbers and
 * white space pass as they are, and so does each character of a string that is not changed, escaped as it was.
 *
 * Each string value is a text of its own. Text that begins as no JSON value with strings does (with a brace, a bracket or a quote)
 * is one string value as a whole, without escapes: some tools take text.
 *
 * @since 0.1.0
 */

/**
 * What changes a string value. Positions count its UTF-16 code units, escapes read.
 *
 * @category models
 * @since 0.1.0
 */
export interface Changer {
  readonly push: (text: string) => void
  readonly end: () => void
  /** The next change that is decided. */
  readonly next: () =>
    | { readonly start: number; readonly end: number; readonly change: (text: string) => string }
    | undefined
  /** Up to here the text is decided, once there is no next change. */
  readonly decided: () => number
  /** Whether nothing may follow, from `decided` on. */
  readonly isBlocked: () => boolean
}

/**
 * One JSON text on its way. `open` begins a string value.
 *
 * @category models
 * @since 0.1.0
 */
export class JsonStrings {
  private readonly open: () => Changer
  /** Whether each object or list that is open is an object. */
  private readonly nesting: Array<boolean> = []
  private isName = false
  private inString = false
  private isBlocked = false
  /** Whether it is text and no JSON; unknown before its first character. */
  private isText: boolean | undefined
  private changer: Changer | undefined
  /** The string value that is not decided: its characters as they stand in the JSON, and as they are read. */
  private raw: Array<string> = []
  private read = ""
  private position = 0
  /** An escape that is not whole. */
  private escape = ""

  constructor(open: () => Changer) {
    this.open = open
  }

  get isHolding(): boolean {
    return this.raw.length > 0 || (this.changer !== undefined && this.escape !== "")
  }

  /** Takes the next piece and returns what is decided. */
  push(text: string): string {
    let out = ""
    for (let index = 0; index < text.length && !this.isBlocked; index++) {
      const unit = text[index]!
      if (this.isText !== false) {
        out += this.text(unit)
      } else if (!this.inString) {
        this.structure(unit)
        out += unit
      } else if (this.changer === undefined) {
        out += this.passInName(unit)
      } else if (this.escape === "" && unit === '"') {
        out += this.endString()
        if (!this.isBlocked) out += unit
      } else {
        this.take(unit)
      }
      // Taking from the front costs what is there, so that must not be all of a large piece.
      if (this.raw.length % 1024 === 1023 && this.changer !== undefined) out += this.drain(this.changer)
    }
    return this.changer === undefined || this.isBlocked ? out : out + this.drain(this.changer)
  }

  /** Returns the rest: no more text follows. */
  end(): string {
    if (this.changer === undefined || this.isBlocked) return ""
    const { escape } = this
    const out = this.endString()
    if (this.isBlocked) return out
    this.escape = ""
    return out + escape
  }

  private text(unit: string): string {
    if (this.isText === undefined) {
      if (/\s/.test(unit)) return unit
      this.isText = !/[{["]/.test(unit)
      if (!this.isText) {
        this.structure(unit)
        return unit
      }
      this.changer = this.open()
    }
    this.add(unit, unit)
    return ""
  }

  private structure(unit: string): void {
    const { nesting } = this
    if (unit === '"') {
      this.inString = true
      if (!this.isName) this.changer = this.open()
    } else if (unit === "{" || unit === "[") {
      nesting.push(unit === "{")
      this.isName = unit === "{"
    } else if (unit === "}" || unit === "]") {
      nesting.pop()
      this.isName = false
    } else if (unit === ",") {
      this.isName = nesting.at(-1) === true
    } else if (unit === ":") {
      this.isName = false
    }
  }

  private passInName(unit: string): string {
    if (this.escape !== "") this.escape = ""
    else if (unit === "\\") this.escape = unit
    else if (unit === '"') this.inString = false
    return unit
  }

  private take(unit: string): void {
    if (this.escape === "" && unit !== "\\") {
      this.add(unit, unit)
      return
    }
    this.escape += unit
    const isWhole = this.escape[1] === "u" ? this.escape.length === 6 : this.escape.length === 2
    if (!isWhole) return
    this.add(this.escape, unescape(this.escape))
    this.escape = ""
  }

  private add(raw: string, read: string): void {
    this.raw.push(raw)
    this.read += read
    this.changer!.push(read)
  }

  private endString(): string {
    const changer = this.changer!
    changer.end()
    const out = this.drain(changer)
    if (this.isBlocked) return out
    this.inString = false
    this.changer = undefined
    this.position = 0
    return out
  }

  private drain(changer: Changer): string {
    let out = ""
    for (let found = changer.next(); found !== undefined; found = changer.next()) {
      out += this.takeTo(found.start).raw
      const changed = found.change(this.takeTo(found.end).read)
      out += this.isText === true ? changed : JSON.stringify(changed).slice(1, -1)
    }
    this.isBlocked = changer.isBlocked()
    return out + this.takeTo(changer.decided()).raw
  }

  private takeTo(position: number): { readonly raw: string; readonly read: string } {
    const size = position - this.position
    this.position = position
    const taken = { raw: this.raw.slice(0, size).join(""), read: this.read.slice(0, size) }
    this.raw.splice(0, size)
    this.read = this.read.slice(size)
    return taken
  }
}

/** What is no escape of JSON stands for one character, whatever it is. */
const unescape = (escape: string): string => {
  try {
    return JSON.parse(`"${escape}"`) as string
  } catch {
    return "\ufffd"
  }
}
