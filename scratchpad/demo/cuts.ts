/**
 * How a text was cut into chunks: remembered before the content filter, to tell afterwards what it had to deal with.
 */
import { RegExp } from "effect"
import { StreamEvent } from "../../src/index.ts"

export interface Hit {
  readonly tag: StreamEvent.TextEvent["_tag"]
  /** The first chunk that the secret was in, counted from 1 in texts of this kind. */
  readonly chunk: number
  /** The secret as it was cut. */
  readonly pieces: ReadonlyArray<string>
}

export class Cuts {
  private readonly texts = new Map<StreamEvent.TextEvent["_tag"], Array<string>>()

  add(event: StreamEvent.StreamEvent): void {
    if (!StreamEvent.isText(event) || event.delta === "") return
    const chunks = this.texts.get(event._tag)
    if (chunks === undefined) this.texts.set(event._tag, [event.delta])
    else chunks.push(event.delta)
  }

  /** Where secrets were, by the plain way that needs the whole text: leftmost, then longest. */
  find(secrets: ReadonlyArray<string>): ReadonlyArray<Hit> {
    if (secrets.length === 0) return []
    const longestFirst = secrets.toSorted((a, b) => b.length - a.length).map(RegExp.escape)
    const secret = new RegExp.RegExp(longestFirst.join("|"), "giu")
    return Array.from(this.texts).flatMap(([tag, chunks]) =>
      Array.from(chunks.join("").matchAll(secret), ({ 0: match, index }) => ({
        tag,
        ...piecesOf(chunks, index, index + match.length)
      }))
    )
  }
}

const piecesOf = (chunks: ReadonlyArray<string>, from: number, to: number): Omit<Hit, "tag"> => {
  const pieces: Array<string> = []
  let chunk = 0
  let start = 0
  chunks.forEach((text, n) => {
    const piece = text.slice(Math.max(from - start, 0), Math.max(to - start, 0))
    start += text.length
    if (piece === "") return
    if (pieces.length === 0) chunk = n + 1
    pieces.push(piece)
  })
  return { chunk, pieces }
}
