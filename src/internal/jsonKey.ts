/**
 * Reads the keys of objects, in pieces, without making a string for a key that was seen before.
 *
 * The code units gather in a fixed array while a hash is kept; at the end of the key a small cache is asked, code unit by
 * code unit. So a key costs no string, no rope and no interning after its first time, and the keys of many objects are one
 * string in memory.
 *
 * @since 0.1.0
 */

const maxShort = 64
const cacheSize = 256

/** @since 0.1.0 */
export class KeyReader {
  private readonly codes = new Uint16Array(maxShort)
  private readonly cache: Array<string> = new Array<string>(cacheSize).fill("")
  private length = 0
  private hash = 0
  /** The part of a long key that no longer fits the array. */
  private long = ""

  /** Reads ordinary code units: up to a quote, a backslash, a control character or `end`, whose index it returns. */
  scan(chunk: string, start: number, end: number): number {
    const codes = this.codes
    let length = this.length
    let hash = this.hash
    let i = start
    for (; i < end; i++) {
      const c = chunk.charCodeAt(i)
      if (c === 34 || c === 92 || c < 32) break
      if (length === maxShort) {
        this.length = length
        this.spill()
        length = 0
      }
      codes[length++] = c
      hash = (Math.imul(hash, 31) + c) | 0
    }
    this.length = length
    this.hash = hash
    return i
  }

  /** Adds one code unit, which an escape stood for. */
  push(code: number): void {
    if (this.length === maxShort) this.spill()
    this.codes[this.length++] = code
    this.hash = (Math.imul(this.hash, 31) + code) | 0
  }

  /** The whole key; starts anew. */
  finish(): string {
    const { cache, codes, hash, length } = this
    this.length = 0
    this.hash = 0
    if (this.long !== "") {
      const key = this.long + String.fromCharCode(...codes.subarray(0, length))
      this.long = ""
      return key
    }
    const index = (hash ^ (hash >>> 15)) & (cacheSize - 1)
    const known = cache[index]!
    if (known.length === length) {
      let i = 0
      while (i < length && known.charCodeAt(i) === codes[i]) i++
      if (i === length) return known
    }
    const key = String.fromCharCode(...codes.subarray(0, length))
    cache[index] = key
    return key
  }

  clear(): void {
    this.length = 0
    this.hash = 0
    this.long = ""
  }

  private spill(): void {
    this.long += String.fromCharCode(...this.codes.subarray(0, this.length))
    this.length = 0
  }
}
