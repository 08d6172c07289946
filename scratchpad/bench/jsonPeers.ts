/**
 * Other incremental JSON parsers, each in its fastest form for the three jobs of `json.ts`.
 *
 * @since 0.1.0
 */
import { JSONParser } from "@streamparser/json"
import { parsePartialJson } from "ai"
import { disableErrorLogging, parse as parseBestEffort } from "best-effort-json-parser"
import { type Array, type Channel, Effect, Stream } from "effect"
import { JsonArray, Ndjson } from "effect/encoding"
import { parse as parseRiver } from "jsonriver"
import { Allow, parse as parsePartial } from "partial-json"
import type { Many } from "stream-chain/defs.js"
import { Assembler } from "stream-json/core/assembler.js"
import { jsonParser, type Token } from "stream-json/core/parser.js"

export type Chunks = ReadonlyArray<string>

/** Reads one document, hands on what can be seen of it after every chunk, and returns it. */
export type Partials = (chunks: Chunks, see: (partial: unknown) => void) => unknown

/** Reads one document and returns it. */
export type Final = (chunks: Chunks) => unknown

/** Hands on each value of a text as it completes. */
export type Rows = (chunks: Chunks, take: (row: unknown) => void) => unknown

disableErrorLogging()

// -----------------------------------------------------------------------------
// Parsers that keep their place
// -----------------------------------------------------------------------------

const streamOf = async function* (chunks: Chunks): AsyncGenerator<string> {
  yield* chunks
}

export const jsonriver: Partials = async (chunks, see) => {
  let value: unknown
  for await (value of parseRiver(streamOf(chunks))) see(value)
  return value
}

/** The chunks are those of one array. */
export const jsonriverRows: Rows = async (chunks, take) => {
  const completeCallback = (value: unknown, path: { readonly segments: () => ReadonlyArray<unknown> }) => {
    if (path.segments().length === 1) take(value)
  }
  for await (const _ of parseRiver(streamOf(chunks), { completeCallback })) void _
}

/** It tells a partial string beside the tree: it is put into its place here. An element is then pushed behind it when whole. */
export const streamparser: Partials = (chunks, see) => {
  let root: unknown
  const parser = new JSONParser({ emitPartialTokens: true, emitPartialValues: true })
  parser.onValue = ({ key, parent, partial, stack, value }) => {
    root = stack.length > 1 ? stack[1]!.value : (parent ?? value)
    if (value === undefined) return
    if (typeof key === "string") {
      const object = parent as { [key: string]: typeof value }
      if (partial === true) object[key] = value
    } else if (key !== undefined) {
      const array = parent as Array<typeof value>
      if (partial === true) array[key] = value
      else if (array.length > key + 1) array.splice(key, 1)
    }
  }
  for (let at = 0; at < chunks.length; at++) {
    parser.write(chunks[at]!)
    see(root)
  }
  return root
}

export const streamparserFinal: Final = (chunks) => {
  let root: unknown
  const parser = new JSONParser({ paths: ["$"] })
  parser.onValue = ({ value }) => {
    root = value
  }
  for (let at = 0; at < chunks.length; at++) parser.write(chunks[at]!)
  return root
}

export const streamparserRows: Rows = (chunks, take) => {
  const parser = new JSONParser({ paths: ["$"], separator: "\n" })
  parser.onValue = ({ value }) => take(value)
  for (let at = 0; at < chunks.length; at++) parser.write(chunks[at]!)
}

const streamJson = (chunks: Chunks, isMany: boolean, each: (assembler: Assembler) => void): void => {
  const parse = jsonParser({ packValues: true, streamValues: false, jsonStreaming: isMany })
  const assembler = new Assembler()
  const isMade = isMany ? () => each(assembler) : () => {}
  for (let at = 0; at < chunks.length; at++) {
    const out = parse(chunks[at]!) as Many<Token> | symbol
    if (typeof out !== "symbol") {
      for (const token of out.values) {
        assembler.consume(token)
        if (assembler.done) isMade()
      }
    }
    if (!isMany) each(assembler)
  }
}

/** Values, keys and strings show when they are whole. */
export const streamJsonPartials: Partials = (chunks, see) => {
  let root: unknown
  streamJson(chunks, false, (assembler) => {
    root = assembler.stack.length > 2 ? assembler.stack[2] : assembler.current
    see(root)
  })
  return root
}

export const streamJsonFinal: Final = (chunks) => {
  let root: unknown
  streamJson(chunks, false, (assembler) => {
    root = assembler.current
  })
  return root
}

export const streamJsonRows: Rows = (chunks, take) => streamJson(chunks, true, (assembler) => take(assembler.current))

// -----------------------------------------------------------------------------
// Parsers that read the whole text again for every chunk
// -----------------------------------------------------------------------------

const reading =
  (parse: (text: string) => unknown): Partials =>
  (chunks, see) => {
    let text = ""
    let value: unknown
    for (let at = 0; at < chunks.length; at++) {
      text += chunks[at]!
      value = parse(text)
      see(value)
    }
    return value
  }

export const partialJson = reading((text) => parsePartial(text, Allow.ALL))

export const bestEffort = reading(parseBestEffort)

export const aiSdk: Partials = async (chunks, see) => {
  let text = ""
  let value: unknown
  for (let at = 0; at < chunks.length; at++) {
    text += chunks[at]!
    value = (await parsePartialJson(text)).value
    see(value)
  }
  return value
}

// -----------------------------------------------------------------------------
// Effect: a channel, one chunk per pull
// -----------------------------------------------------------------------------

type Decode<E> = () => Channel.Channel<
  Array.NonEmptyReadonlyArray<unknown>,
  E,
  unknown,
  Array.NonEmptyReadonlyArray<string>,
  never,
  unknown
>

const channelRows =
  <E>(decode: Decode<E>): Rows =>
  (chunks, take) =>
    Stream.fromIterable(chunks, { chunkSize: 1 }).pipe(
      Stream.pipeThroughChannel(decode()),
      Stream.runForEachArray((rows) => Effect.sync(() => rows.forEach(take))),
      Effect.runPromise
    )

/** The chunks are those of one array. */
export const effectArrayRows = channelRows(JsonArray.decodeString)

export const effectNdjsonRows = channelRows(Ndjson.decodeString)

/** The document stands in an array of its own. */
export const effectArrayFinal: Final = async (chunks) => {
  let root: unknown
  await effectArrayRows(["[", ...chunks, "]"], (value) => {
    root = value
  })
  return root
}
