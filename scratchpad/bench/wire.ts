/**
 * Bytes to `StreamEvent`s: this library's decoders beside the providers' own clients, the AI SDK and the parsers below them.
 *
 * `node --expose-gc scratchpad/bench/wire.ts [words of group names, or memory]`
 *
 * The floor decodes, splits and parses and is no correct decoder. Rows that say so read a `ReadableStream`, as a response
 * has it, one chunk each time; the others have the chunks at hand, one after the other.
 *
 * @since 0.1.0
 */
import { parseJsonEventStream } from "@ai-sdk/provider-utils"
import { Stream as AnthropicStream } from "@anthropic-ai/sdk/core/streaming"
import { jsonSchema } from "ai"
import { Cause, Effect, Stream } from "effect"
import * as Sse from "effect/encoding/Sse"
import { HttpClientRequest, HttpClientResponse } from "effect/http"
import { createParser } from "eventsource-parser"
import { Stream as OpenAiStream } from "openai/core/streaming"
import { AnthropicMessages, OpenAiChat, type StreamEvent } from "../../src/index.ts"
import type { Provider } from "../../src/wire/Provider.ts"
import { anthropic, cut, encodeEach, eventsOf, openAi } from "./events.ts"
import { bench, type Group, type Job } from "./harness.ts"

type Chunks = ReadonlyArray<Uint8Array>

// -----------------------------------------------------------------------------
// sources
// -----------------------------------------------------------------------------

/** One chunk a pull, with no work behind it. */
const atHand = (chunks: Chunks): Stream.Stream<Uint8Array> =>
  Stream.fromPull(
    Effect.sync(() => {
      let n = 0
      return Effect.suspend(() => (n < chunks.length ? Effect.succeed([chunks[n++]!] as const) : Cause.done()))
    })
  )

const readable = (chunks: Chunks): ReadableStream<Uint8Array<ArrayBuffer>> => {
  let n = 0
  return new ReadableStream({
    pull: (controller) => {
      if (n < chunks.length) controller.enqueue(chunks[n++] as Uint8Array<ArrayBuffer>)
      else controller.close()
    }
  })
}

const response = (chunks: Chunks): Response =>
  new Response(readable(chunks), { headers: { "content-type": "text/event-stream" } })

// -----------------------------------------------------------------------------
// rows
// -----------------------------------------------------------------------------

/** What each job proves: how many pieces of text it saw, and how long they are together. */
class Tally {
  count = 0
  size = 0
  take(text: unknown): void {
    if (typeof text !== "string" || text === "") return
    this.count++
    this.size += text.length
  }
  result(): ReadonlyArray<number> {
    return [this.count, this.size]
  }
}

type TextOf = (chunk: unknown) => unknown

const floor = (textOf: TextOf) => {
  const tally = new Tally()
  const decoder = new TextDecoder()
  let rest = ""
  return {
    tally,
    feed: (chunk: Uint8Array) => {
      const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n\n")
      rest = parts.pop()!
      for (const part of parts) {
        const data = part.slice(part.indexOf("data: ") + 6)
        if (data !== "[DONE]") tally.take(textOf(JSON.parse(data)))
      }
    }
  }
}

const request = HttpClientRequest.post("http://localhost")

const texts = async <E>(events: Stream.Stream<StreamEvent.StreamEvent, E>) => {
  const tally = new Tally()
  const count = (events: ReadonlyArray<StreamEvent.StreamEvent>) =>
    Effect.sync(() => {
      for (const event of events) if (event._tag === "Delta") tally.take(event.delta)
    })
  await Effect.runPromise(Stream.runForEachArray(events, count))
  return tally.result()
}

const iterate = async (chunks: AsyncIterable<unknown>, textOf: TextOf) => {
  const tally = new Tally()
  for await (const chunk of chunks) tally.take(textOf(chunk))
  return tally.result()
}

const jobs = (
  chunks: Chunks,
  provider: Provider,
  textOf: TextOf,
  sdk: { readonly name: string; readonly run: (response: Response) => AsyncIterable<unknown> }
): ReadonlyArray<Job> => [
  {
    name: "floor",
    run: () => {
      const { feed, tally } = floor(textOf)
      for (const chunk of chunks) feed(chunk)
      return tally.result()
    }
  },
  {
    name: "floor, ReadableStream",
    run: async () => {
      const { feed, tally } = floor(textOf)
      const reader = readable(chunks).getReader()
      for (let next = await reader.read(); !next.done; next = await reader.read()) feed(next.value)
      return tally.result()
    }
  },
  { name: "ours", run: () => texts(provider.decode()(atHand(chunks))) },
  {
    name: "ours, ReadableStream",
    run: () => texts(provider.fromResponse(HttpClientResponse.fromWeb(request, response(chunks))))
  },
  {
    name: "eventsource-parser",
    run: () => {
      const tally = new Tally()
      const decoder = new TextDecoder()
      const parser = createParser({
        onEvent: ({ data }) => {
          if (data !== "[DONE]") tally.take(textOf(JSON.parse(data)))
        }
      })
      for (const chunk of chunks) parser.feed(decoder.decode(chunk, { stream: true }))
      return tally.result()
    }
  },
  {
    name: "effect Sse.decode",
    run: async () => {
      const tally = new Tally()
      await Effect.runPromise(
        atHand(chunks).pipe(
          Stream.decodeText(),
          Stream.pipeThroughChannel(Sse.decode()),
          Stream.runForEachArray((events) =>
            Effect.sync(() => {
              for (const { data } of events) if (data !== "[DONE]") tally.take(textOf(JSON.parse(data)))
            })
          )
        )
      )
      return tally.result()
    }
  },
  { name: `${sdk.name}, ReadableStream`, run: () => iterate(sdk.run(response(chunks)), textOf) },
  {
    name: "AI SDK parseJsonEventStream, ReadableStream",
    run: () =>
      iterate(parseJsonEventStream({ stream: readable(chunks), schema: jsonSchema({}) }), (result) =>
        textOf((result as { readonly value: unknown }).value)
      )
  }
]

// -----------------------------------------------------------------------------
// groups
// -----------------------------------------------------------------------------

interface ChatChunk {
  readonly choices: readonly [{ readonly delta: { readonly content?: string } }]
}

interface AnthropicChunk {
  readonly delta?: { readonly text?: string }
}

const protocols = [
  {
    name: "OpenAI chat, 268 B",
    provider: OpenAiChat,
    render: openAi,
    first: "",
    last: 'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n',
    textOf: (chunk: unknown) => (chunk as ChatChunk).choices[0].delta.content,
    sdk: {
      name: "openai SDK",
      run: (response: Response) => OpenAiStream.fromSSEResponse(response, new AbortController())
    }
  },
  {
    name: "Anthropic, 120 B",
    provider: AnthropicMessages,
    render: anthropic,
    first:
      'event: message_start\ndata: {"type":"message_start","message":{"id":"m","model":"claude","content":[],"usage":{"input_tokens":1}}}\n\nevent: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n',
    last: 'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\nevent: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":1}}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n',
    textOf: (chunk: unknown) => (chunk as AnthropicChunk).delta?.text,
    sdk: {
      name: "Anthropic SDK",
      run: (response: Response) => AnthropicStream.fromSSEResponse(response, new AbortController())
    }
  }
]

const groups: ReadonlyArray<Group> = protocols.flatMap(({ first, last, name, provider, render, sdk, textOf }) => {
  const list = [first, ...eventsOf(render, 20_000_000), last].filter((text) => text !== "")
  const chunkings = {
    "16 KiB chunks": cut(list.join(""), 16 * 1024),
    "one event a chunk": encodeEach(list)
  }
  return Object.entries(chunkings).map(([chunking, chunks]) => ({
    name: `${name}, ${chunking}`,
    jobs: jobs(chunks, provider, textOf, sdk),
    baseline: "floor",
    rounds: 7,
    warmup: 2,
    work: { MB: list.join("").length / 1e6, events: list.length }
  }))
})

// -----------------------------------------------------------------------------
// memory
// -----------------------------------------------------------------------------

/** The heap beyond that at the start, at 20 places of a stream that is made on the fly. */
const memory = async (size: number) => {
  const gc = globalThis.gc
  if (gc === undefined) throw new Error("run with --expose-gc")
  const block = cut(eventsOf(openAi, 1_000_000).join(""), 16 * 1024)
  const heap: Array<number> = []
  let sent = 0
  let n = 0
  const endless = Stream.fromPull(
    Effect.succeed(
      Effect.sync(() => {
        const chunk = block[n++ % block.length]!.slice()
        sent += chunk.length
        return [chunk] as const
      })
    )
  )
  let nextAt = 0
  let chars = 0
  gc()
  const before = process.memoryUsage().heapUsed
  await endless.pipe(
    Stream.takeWhile(() => sent < size),
    OpenAiChat.decode({ onMissingFinish: "accept" }),
    Stream.runForEachArray((events) =>
      Effect.sync(() => {
        for (const event of events) if (event._tag === "Delta") chars += event.delta.length
        if (sent < nextAt) return
        nextAt += size / 20
        gc()
        heap.push((process.memoryUsage().heapUsed - before) / 1e6)
      })
    ),
    Effect.runPromise
  )
  const most = Math.max(...heap)
  console.log(`\n${sent / 1e6} MB of chat events, ${chars} characters: heap at most +${most.toFixed(2)} MB`)
  console.log(JSON.stringify({ group: "memory", sent, heapMb: heap.map((mb) => Math.round(mb * 100) / 100) }))
}

const filter = process.argv.slice(2)
if (filter[0] === "memory") await memory(1e9)
else await bench(groups.filter((group) => filter.every((word) => group.name.includes(word))))
