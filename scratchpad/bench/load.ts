/**
 * A backend under load: 1,000 clients on loopback, each of which is sent 50 tokens a second as server-sent events.
 *
 * `node --expose-gc scratchpad/bench/load.ts [clients] [seconds] [runs]`
 *
 * The server has one core and the clients have another (`taskset`, where there is one). A token says when it was due at the
 * model; what is measured is from then until a client has read it: waking the stream, the pipeline, the response, Node's
 * HTTP, both ends of the socket. All streams get their tokens from one timer of 1 ms, each at a phase of its own.
 *
 * @since 0.1.0
 */
import { NodeHttpServer } from "@effect/platform-node"
import { pipeUIMessageStreamToResponse, type UIMessageChunk } from "ai"
import { Effect, Layer, type Scope, Stream } from "effect"
import { HttpServer, HttpServerResponse } from "effect/http"
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { createServer, type ServerResponse } from "node:http"
import { type AddressInfo, connect } from "node:net"
import { fileURLToPath } from "node:url"
import {
  SseResponse,
  StreamCallbacks,
  StreamEvent,
  StreamHandler,
  StreamSource,
  UiMessageStream
} from "../../src/index.ts"
import * as LatencyHistogram from "../../src/internal/latencyHistogram.ts"
import { makeWheel, wait } from "./wheel.ts"

const period = 20
const rampUp = 2_000
const warmUp = 3_000
/** Behind what is measured, for what would disturb it. */
const coolDown = 1_000

// -----------------------------------------------------------------------------
// the model
// -----------------------------------------------------------------------------

/** Milliseconds on a clock that all processes share. */
const monotonic = (): number => Number(process.hrtime.bigint() / 1_000n) / 1_000

/** A token between two `@` is when it was due. */
const makeModel = (count: number) => {
  const wheel = makeWheel()
  const origin = monotonic() - wheel.now()
  return async function* () {
    const startAt = wheel.now()
    for (let n = 1; n <= count; n++) {
      const due = startAt + n * period
      await wait(wheel, due)
      yield ` @${(origin + due).toFixed(3)}@`
    }
  }
}

type Model = ReturnType<typeof makeModel>

// -----------------------------------------------------------------------------
// the sides
// -----------------------------------------------------------------------------

type Serve = (model: Model) => Promise<number>

const nodeServer =
  (respond: (model: Model, response: ServerResponse) => unknown): Serve =>
  async (model) => {
    const server = createServer((_, response) => respond(model, response))
    server.listen(0, "127.0.0.1")
    await once(server, "listening")
    return (server.address() as AddressInfo).port
  }

const effectServer =
  (respond: (model: Model) => Effect.Effect<HttpServerResponse.HttpServerResponse, never, Scope.Scope>): Serve =>
  (model) =>
    new Promise((resolve) => {
      const listening = HttpServer.HttpServer.use(({ address }) =>
        Effect.sync(() => resolve("port" in address ? address.port : 0))
      )
      HttpServer.serve(respond(model)).pipe(
        Layer.provideMerge(Layer.effectDiscard(listening)),
        Layer.provideMerge(NodeHttpServer.layerServer(createServer, { port: 0, host: "127.0.0.1" })),
        Layer.launch,
        Effect.runFork
      )
    })

const eventsOf = (model: Model) => StreamSource.fromAsyncIterable(model).pipe(StreamEvent.fromText)

const encoder = new TextEncoder()

const write = (response: ServerResponse, text: string): Promise<unknown> | undefined =>
  response.write(text) ? undefined : once(response, "drain")

const sides: Readonly<Record<string, Serve>> = {
  "node:http by hand": nodeServer(async (model, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" })
    const frame = (event: object): string => `data: ${JSON.stringify(event)}\n\n`
    await write(response, frame(StreamEvent.start(Date.now())))
    for await (const delta of model()) await write(response, frame(StreamEvent.delta(Date.now(), delta)))
    response.end(frame(StreamEvent.end(Date.now(), "unknown")))
  }),
  "Effect's HttpServerResponse.stream": effectServer((model) =>
    Effect.succeed(
      HttpServerResponse.stream(
        Stream.map(eventsOf(model), (event) => encoder.encode(`data: ${JSON.stringify(event)}\n\n`))
      )
    )
  ),
  SseResponse: effectServer((model) => eventsOf(model).pipe(SseResponse.make())),
  "handler and SseResponse": effectServer((model) =>
    eventsOf(model).pipe(
      StreamHandler.events(),
      SseResponse.make(),
      Effect.provide(StreamCallbacks.layer({ onDelta: () => Effect.void }))
    )
  ),
  UiMessageStream: effectServer((model) => eventsOf(model).pipe(UiMessageStream.make())),
  "AI SDK pipeUIMessageStreamToResponse": nodeServer((model, response) => {
    const parts = async function* (): AsyncGenerator<UIMessageChunk> {
      yield { type: "start" }
      yield { type: "text-start", id: "text" }
      for await (const delta of model()) yield { type: "text-delta", id: "text", delta }
      yield { type: "text-end", id: "text" }
      yield { type: "finish" }
    }
    const source = parts()
    const stream = new ReadableStream<UIMessageChunk>({
      async pull(controller) {
        const { done, value } = await source.next()
        if (done === true) controller.close()
        else controller.enqueue(value)
      }
    })
    pipeUIMessageStreamToResponse({ response, stream })
  })
}

// -----------------------------------------------------------------------------
// processes
// -----------------------------------------------------------------------------

interface Usage {
  readonly cpu: number
  readonly at: number
  readonly heap: number
  readonly rss: number
}

interface Received {
  readonly p50: number
  readonly p99: number
  readonly max: number
  readonly tokens: number
  readonly lost: number
  readonly unfinished: number
  /** Share of the core. */
  readonly core: number
}

const usage = (): Usage => {
  const { system, user } = process.cpuUsage()
  const at = performance.now()
  const { external, heapUsed, rss } = process.memoryUsage()
  return { cpu: (user + system) / 1_000, at, heap: heapUsed + external, rss }
}

const serve = async (name: string, count: number): Promise<void> => {
  const port = await sides[name]!(makeModel(count))
  process.on("message", (message) => {
    if (message === "stop") process.exit()
    if (message === "collect") globalThis.gc?.()
    process.send!(usage())
  })
  process.send!(port)
}

/** Where the time of the next token begins; the whole text at the end is none. */
const behindMark = (text: string, from: number): number => {
  const at = text.indexOf('"delta":" @', from)
  return at === -1 ? -1 : at + 11
}

const clients = async (port: number, clients: number, seconds: number, count: number): Promise<void> => {
  process.send!("started")
  const latencies = LatencyHistogram.make()
  const startedAt = monotonic()
  const from = startedAt + rampUp + warmUp
  const to = from + seconds * 1_000
  let tokens = 0
  let received = 0
  let finished = 0
  const one = async (index: number): Promise<void> => {
    await new Promise((resolve) => setTimeout(resolve, (index * rampUp) / clients))
    const socket = connect(port, "127.0.0.1").setEncoding("latin1")
    socket.write("GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
    let last = ""
    socket.on("data", (text: string) => {
      const now = monotonic()
      let begin = behindMark(text, 0)
      while (begin !== -1) {
        const end = text.indexOf("@", begin)
        if (end === -1) break
        received++
        const due = Number(text.slice(begin, end))
        if (due >= from && due < to) {
          tokens++
          latencies.record(Math.max(0.01, now - due))
        }
        begin = behindMark(text, end)
      }
      last = text
    })
    await once(socket, "close")
    if (last.endsWith("0\r\n\r\n")) finished++
  }
  const before = usage()
  await Promise.all(Array.from({ length: clients }, (_, index) => one(index)))
  const after = usage()
  const figures: Received = {
    p50: latencies.percentile(0.5),
    p99: latencies.percentile(0.99),
    max: latencies.max,
    tokens,
    lost: clients * count - received,
    unfinished: clients - finished,
    core: (after.cpu - before.cpu) / (after.at - before.at)
  }
  process.send!(figures)
}

const hasTaskset = spawnSync("taskset", ["--version"]).status === 0

/** A process on a core of its own. */
const start = (core: number, args: ReadonlyArray<string | number>): ChildProcess => {
  const node = [process.execPath, "--expose-gc", fileURLToPath(import.meta.url), ...args.map(String)]
  const [command, ...rest] = hasTaskset ? ["taskset", "-c", String(core), ...node] : node
  return spawn(command!, rest, { stdio: ["ignore", "inherit", "inherit", "ipc"] })
}

const message = async <A>(child: ChildProcess): Promise<A> => (await once(child, "message"))[0] as A

const ask = (server: ChildProcess, question: "use" | "collect"): Promise<Usage> => {
  server.send(question)
  return message<Usage>(server)
}

const measure = async (name: string, count: number, seconds: number) => {
  const tokens = (rampUp + warmUp + seconds * 1_000 + coolDown) / period
  const server = start(0, ["serve", name, tokens])
  const port = await message<number>(server)
  const idle = await ask(server, "collect")
  const load = start(1, ["clients", port, count, seconds, tokens])
  await message(load)
  const received = message<Received>(load)
  await new Promise((resolve) => setTimeout(resolve, rampUp + warmUp))
  const before = await ask(server, "use")
  await new Promise((resolve) => setTimeout(resolve, seconds * 1_000))
  const after = await ask(server, "use")
  const full = await ask(server, "collect")
  const figures = await received
  server.send("stop")
  return {
    ...figures,
    clientsCore: figures.core,
    core: (after.cpu - before.cpu) / (after.at - before.at),
    cpuPerToken: (1_000 * (after.cpu - before.cpu)) / ((count * (after.at - before.at)) / period),
    heapPerClient: (full.heap - idle.heap) / count,
    rssPerClient: (after.rss - idle.rss) / count
  }
}

type Figures = Awaited<ReturnType<typeof measure>>

const median = (values: ReadonlyArray<number>) => values.toSorted((a, b) => a - b)[values.length >> 1]!

const line = (name: string, runs: ReadonlyArray<Figures>): string => {
  const of = (key: keyof Figures) => median(runs.map((run) => run[key]))
  return (
    `${name.padEnd(38)} ${of("cpuPerToken").toFixed(1)} µs CPU a token, ${(100 * of("core")).toFixed(0)} % of the core ` +
    `(clients ${(100 * of("clientsCore")).toFixed(0)} %), p50 ${of("p50").toFixed(2)} ms, p99 ${of("p99").toFixed(2)} ms, ` +
    `${of("max").toFixed(0)} ms at most; ${(of("heapPerClient") / 1_000).toFixed(1)} KB heap and ` +
    `${(of("rssPerClient") / 1_000).toFixed(0)} KB of the process a client; ${of("lost")} tokens lost, ` +
    `${of("unfinished")} unfinished`
  )
}

const compare = async (clients: number, seconds: number, rounds: number): Promise<void> => {
  console.log(`${clients} clients, ${1_000 / period} tokens a second each, medians of ${rounds} runs of ${seconds} s`)
  const runs = new Map<string, Array<Figures>>()
  for (let round = 0; round < rounds; round++) {
    for (const name of Object.keys(sides)) {
      runs.set(name, [...(runs.get(name) ?? []), await measure(name, clients, seconds)])
    }
  }
  for (const [name, all] of runs) console.log(line(name, all))
}

const [mode, ...rest] = process.argv.slice(2)
if (mode === "serve") {
  await serve(rest[0]!, Number(rest[1]))
} else if (mode === "clients") {
  await clients(Number(rest[0]), Number(rest[1]), Number(rest[2]), Number(rest[3]))
} else {
  await compare(Number(mode ?? 1_000), Number(rest[0] ?? 5), Number(rest[1] ?? 3))
}
