/**
 * A small provider of the demo's own: HTTP on loopback, the wire format of OpenAI's chat completions, a human pace.
 *
 * It knows few answers, but everything about them is real: the connection, the frames, their timing, the usage. Offered a
 * tool it calls it, asked for JSON it writes a recipe, and asked to break off it does.
 */
import { Effect, FiberSet, Random, type Scope } from "effect"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import { json } from "node:stream/consumers"

export const model = "demo-1"

/** What the model ought to keep to itself. */
export const secret = "sk-demo-7fQ2xLr9"

/** What only `--guard` keeps back: nobody knew it beforehand. */
export const address = "ada.lovelace@demo.example.org"

const reasoning = `They want to know how my answer travels. My notes hold the key ${secret}; it must not get out, not even in here.`

const answer = `You are watching it. I write one token at a time, and my server sends each of them at once, as a server-sent event over HTTP: a few hundred small messages for this answer. On your side they become typed events, and every stage of the pipeline handles an event as soon as it is there — nothing waits for the end.

Chunk borders respect nothing, though: they cut words, and they cut secrets. Say I let slip the key ${secret} in the middle of a sentence. No single chunk contains it, so a filter that looks at one chunk after the other lets it pass. The filter here holds back what could still become the key, and not a character more: a harmless sk-demo goes on, the key does not. What has only a shape, such as the address ${address}, takes a rule: run me with --guard, and it does not show either.

At the end my server says why it stopped and what it counted. Were the line cut before that, you would be told: a stream without its end is a failure, not an answer.`

/** What the model writes when it is asked for JSON: with a word before it, and in a fence, as models do. */
const recipe = `Here you are:

\`\`\`json
${JSON.stringify(
  {
    title: "Dumplings with chives and “lucky” pork",
    level: "medium",
    serves: 4,
    ingredients: [
      { name: "wheat flour", grams: 300 },
      { name: "minced pork", grams: 250 },
      { name: "garlic chives", grams: 80.5 }
    ],
    steps: [
      "Knead flour and water to a smooth dough, and let it rest for half an hour.",
      "Mix pork and chives with soy sauce, sesame oil and a pinch of salt.",
      "Roll out rounds, fill and fold them; then steam them for eight minutes."
    ]
  },
  null,
  2
)}
\`\`\`

Enjoy!`

/** What the model writes when it is offered a tool: it knows one. */
const call: Answer = {
  reasoning: "I cannot look out of a window. There is a tool for this, so I ask it.",
  call: {
    name: "get_forecast",
    argumentsText: JSON.stringify({ place: "Oslo, Norway", days: ["Friday", "Saturday", "Sunday"], units: "metric" })
  }
}

/** What it makes of the tool's answer. */
const forecast = `Take an umbrella on Friday; from Saturday on you will not need it.

I did not know that. I wrote the arguments of a call, token by token; when they were whole and valid the server ran the tool, and asked me again with what it said. To you that was one stream.`

export interface Options {
  /** Milliseconds between tokens, on average; 0 for none. */
  readonly pace: number
  /** The client left before the answer was whole. */
  readonly onCut: (sent: number, total: number) => Effect.Effect<void>
}

/** Starts the provider and gives its base URL. It stops when the scope closes. */
export const serve = Effect.fnUntraced(function* (options: Options): Effect.fn.Return<string, never, Scope.Scope> {
  const run = yield* FiberSet.makeRuntime()
  const server = Http.createServer((request, response) => {
    const fiber = run(respond(request, response, options))
    response.on("close", () => fiber.interruptUnsafe())
  })
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => void server.listen(0, "127.0.0.1", () => resume(Effect.void))),
    () => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
  )
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
})

interface Body {
  readonly messages?: unknown
  readonly stream?: unknown
  readonly tools?: unknown
  readonly response_format?: { readonly type?: unknown }
}

/** What the model writes, in this order. */
interface Answer {
  readonly reasoning?: string
  readonly text?: string
  readonly call?: { readonly name: string; readonly argumentsText: string }
  /** Whether the line breaks in the middle. */
  readonly isCut?: boolean
}

const answerTo = ({ response_format, tools }: Body, last: { readonly role?: unknown; readonly content?: unknown }) => {
  if (response_format?.type === "json_object") return { text: recipe }
  if (last.role === "tool") return { text: forecast }
  if (tools !== undefined) return call
  return { reasoning, text: answer, isCut: /\bbreak off\b/i.test(String(last.content)) }
}

const respond = Effect.fnUntraced(function* (
  request: Http.IncomingMessage,
  response: Http.ServerResponse,
  { onCut, pace }: Options
) {
  const refuse = (status: number, message: string) => {
    response.writeHead(status, { "content-type": "application/json" })
    response.end(JSON.stringify({ error: { message, type: "invalid_request_error", param: null, code: null } }))
  }
  if (request.method !== "POST" || request.url !== "/v1/chat/completions") {
    return refuse(404, `Unknown request URL: ${request.method} ${request.url}`)
  }
  const body = yield* Effect.promise(() => (json(request) as Promise<Body>).catch((): Body => ({})))
  if (!Array.isArray(body.messages) || body.stream !== true) {
    return refuse(400, "This provider streams: it needs JSON with `messages` and `stream: true`")
  }

  const promptTokens = tokensOf(body.messages.map((message) => String(message?.content)).join(" ")).length
  const reply: Answer = answerTo(body, body.messages.at(-1) ?? {})
  const frames = framesOf(reply, promptTokens)
  const end = reply.isCut === true ? frames.length / 2 : frames.length
  let sent = 0
  const write = (text: string) => Effect.sync(() => response.write(text))
  yield* Effect.gen(function* () {
    yield* pause(pace * 6)
    response.writeHead(200, { "content-type": "text/event-stream", "x-request-id": "req_demo" })
    yield* write(frames[sent++]!)
    yield* write(": keep-alive\n\n")
    yield* pause(pace * 10)
    while (sent < end) {
      yield* write(frames[sent++]!)
      // Now and then two tokens travel together.
      if ((yield* Random.next) < 0.9) yield* pause(pace)
    }
    if (end < frames.length) response.destroy()
    else response.end("data: [DONE]\n\n")
  }).pipe(Effect.onInterrupt(() => onCut(sent, frames.length)))
})

/** Gaps between tokens are mostly short and now and then long: a floor and an exponential tail. */
const pause = (mean: number): Effect.Effect<void> =>
  mean === 0
    ? Effect.void
    : Effect.flatMap(Random.next, (chance) => Effect.sleep(mean * (0.4 - 0.6 * Math.log(1 - chance))))

// -----------------------------------------------------------------------------
// the wire format
// -----------------------------------------------------------------------------

/** Cuts a text as tokenizers do: short words whole with the space before them, long ones and numbers in pieces. */
const tokensOf = (text: string): ReadonlyArray<string> => text.match(/ ?\p{L}{1,6}|\d{1,2}| ?[^\p{L}\d\s]|\s+/gu) ?? []

/** The server-sent events of an answer: the role, one for each token, the finish reason, the usage. */
const framesOf = (answer: Answer, promptTokens: number): ReadonlyArray<string> => {
  const head = { id: "chatcmpl-demo", object: "chat.completion.chunk", created: Math.floor(Date.now() / 1000), model }
  const frame = (fields: object) => `data: ${JSON.stringify({ ...head, ...fields })}\n\n`
  const choice = (delta: object, finish_reason: string | null = null) =>
    frame({ choices: [{ index: 0, delta, finish_reason }], usage: null })
  const thoughts = tokensOf(answer.reasoning ?? "").map((token) => choice({ reasoning_content: token }))
  const text = tokensOf(answer.text ?? "").map((token) => choice({ content: token }))
  const { argumentsText = "", name } = answer.call ?? {}
  const toolCall = (fields: object) => choice({ tool_calls: [{ index: 0, ...fields }] })
  const args = tokensOf(argumentsText).map((token) => toolCall({ function: { arguments: token } }))
  const completionTokens = thoughts.length + text.length + args.length
  return [
    choice({ role: "assistant", content: "" }),
    ...thoughts,
    ...text,
    ...(name === undefined ? [] : [toolCall({ id: "call_demo", type: "function", function: { name, arguments: "" } })]),
    ...args,
    choice({}, name === undefined ? "stop" : "tool_calls"),
    frame({
      choices: [],
      usage: {
        prompt_tokens: promptTokens,
        completion_tokens: completionTokens,
        total_tokens: promptTokens + completionTokens,
        completion_tokens_details: { reasoning_tokens: thoughts.length }
      }
    })
  ]
}
