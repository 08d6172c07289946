/**
 * A set of characters that is defined by a slow question, asked once for each character.
 *
 * @since 0.1.0
 */
export class CodeSet {
  private readonly ask: (code: number) => boolean
  // 0 is not asked yet, 1 no, 2 yes. Most text is in the first 256 characters.
  private readonly low = new Uint8Array(256)
  private readonly high = new Map<number, boolean>()

  constructor(ask: (code: number) => boolean) {
    this.ask = ask
  }

  /** Takes a code unit or a code point. */
  has(code: number): boolean {
    if (code < 256) {
      if (this.low[code] === 0) this.low[code] = this.ask(code) ? 2 : 1
      return this.low[code] === 2
    }
    let answer = this.high.get(code)
    if (answer === undefined) {
      answer = this.ask(code)
      this.high.set(code, answer)
    }
    return answer
  }
}
