/**
 * Server-sent events: this library's parser core beside eventsource-parser, Effect's own parser and the floor
 * (`TextDecoder` and `split`, which is no correct parser). All rows of a group begin with the same bytes.
 *
 * Run: `node --expose-gc scratchpad/bench/sse.ts [words of group names]`
 *
 * @since 0.1.0
 */
import { makeParser } from "effect/encoding/Sse"
import { createParser, type EventSourceMessage } from "eventsource-parser"
import { make, type SseFrame } from "../../src/internal/sse.ts"
import { anthropic, cut, encodeEach, eventsOf, openAi } from "./events.ts"
import { bench, type Group, type Job } from "./harness.ts"

const encoder = new TextEncoder()

const gemini = (index: number): string => `${openAi(index).trimEnd()}\r\n\r\n`
const unicode = (index: number): string => openAi(index).replace(" the", " 流れ")

type Consume = (data: string) => void

/** What each job proves: how many events it saw, and how much was in them. */
class Tally {
  count = 0
  size = 0
  readonly length: Consume = (data) => {
    this.count++
    this.size += data.length
  }
  readonly parse: Consume = (data) => {
    this.count++
    this.size += Object.keys(JSON.parse(data)).length
  }
  result(): ReadonlyArray<number> {
    return [this.count, this.size]
  }
}

const jobs = (
  chunks: ReadonlyArray<Uint8Array>,
  parse: boolean,
  floorSplit: string | undefined
): ReadonlyArray<Job> => {
  const start = () => {
    const tally = new Tally()
    const decoder = new TextDecoder("utf-8", { ignoreBOM: true })
    return { tally, consume: parse ? tally.parse : tally.length, decoder }
  }
  const rows: Array<Job> = [
    {
      name: "ours",
      run: () => {
        const { tally, consume, decoder } = start()
        const parser = make({ maxEventSize: 16 * 1024 * 1024 })
        for (const chunk of chunks) {
          const out: Array<SseFrame> = []
          if (!parser.feed(decoder.decode(chunk, { stream: true }), out)) throw new Error("overflow")
          for (const frame of out) consume(frame.data)
        }
        return tally.result()
      }
    },
    {
      name: "eventsource-parser",
      run: () => {
        const { tally, consume, decoder } = start()
        const parser = createParser({ onEvent: (event) => consume(event.data), maxBufferSize: 16 * 1024 * 1024 })
        for (const chunk of chunks) parser.feed(decoder.decode(chunk, { stream: true }))
        return tally.result()
      }
    },
    {
      // What a decoder of a stream has to do with it: hand on the events of a chunk together, as ours does.
      name: "eventsource-parser to arrays",
      run: () => {
        const { tally, consume, decoder } = start()
        let out: Array<EventSourceMessage> = []
        const parser = createParser({ onEvent: (event) => out.push(event), maxBufferSize: 16 * 1024 * 1024 })
        for (const chunk of chunks) {
          out = []
          parser.feed(decoder.decode(chunk, { stream: true }))
          for (const event of out) consume(event.data)
        }
        return tally.result()
      }
    },
    {
      name: "effect makeParser",
      run: () => {
        const { tally, consume, decoder } = start()
        const parser = makeParser((event) => {
          if (event._tag === "Event") consume(event.data)
        })
        for (const chunk of chunks) parser.feed(decoder.decode(chunk, { stream: true }))
        return tally.result()
      }
    }
  ]
  if (floorSplit !== undefined) {
    rows.push({
      name: "floor: TextDecoder + split",
      run: () => {
        const { tally, consume, decoder } = start()
        let rest = ""
        for (const chunk of chunks) {
          const parts = (rest + decoder.decode(chunk, { stream: true })).split(floorSplit)
          rest = parts.pop()!
          for (const part of parts) consume(part.slice(part.indexOf("data: ") + 6))
        }
        return tally.result()
      }
    })
  }
  return rows
}

const groupsOf = (name: string, render: (index: number) => string, floorSplit: string): ReadonlyArray<Group> => {
  const list = eventsOf(render, 20_000_000)
  const text = list.join("")
  const work = { MB: encoder.encode(text).length / 1e6, events: list.length }
  const chunkings = { "16 KiB chunks": cut(text, 16 * 1024), "one event a chunk": encodeEach(list) }
  return Object.entries(chunkings).flatMap(([chunking, chunks]) =>
    [false, true].map((parse) => ({
      name: `${name}, ${chunking}, ${parse ? "JSON.parse" : "no parse"}`,
      jobs: jobs(chunks, parse, floorSplit),
      baseline: "eventsource-parser",
      work
    }))
  )
}

const line = `data: ${JSON.stringify({ text: "x".repeat(4_000_000) })}\n\n`
const groups: ReadonlyArray<Group> = [
  ...groupsOf("OpenAI-like, 268 B", openAi, "\n\n"),
  ...groupsOf("Anthropic-like, 120 B", anthropic, "\n\n"),
  ...groupsOf("Gemini-like, CRLF", gemini, "\r\n\r\n"),
  ...groupsOf("OpenAI-like, not Latin-1", unicode, "\n\n"),
  ...[256, 1].flatMap((size) => [
    {
      name: `one line of 4 MB, ${size} B chunks`,
      jobs: jobs(cut(line, size), false, undefined),
      baseline: "eventsource-parser",
      work: { MB: line.length / 1e6 }
    }
  ])
]

const filter = process.argv.slice(2)
await bench(groups.filter((group) => filter.every((word) => group.name.includes(word))))
