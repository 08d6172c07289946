/**
 * Who answers: a provider of the demo's own, a recording, or any OpenAI-compatible server. Each is a Layer of
 * `StreamModel`, so the pipeline is the same for all of them.
 */
import { Config, Effect, identity, Layer, Redacted, Stream } from "effect"
import { FetchHttpClient } from "effect/http"
import * as Fs from "node:fs/promises"
import type { Readable } from "node:stream"
import { OpenAiChat, StreamError, StreamModel, StreamSource, Wire } from "../../src/index.ts"
import { type Options, UsageError } from "./options.ts"
import * as Provider from "./provider.ts"
import { Terminal } from "./terminal.ts"

export interface Source {
  readonly title: string
  readonly prompt: string
  /** Whether somebody reads the prompt; nobody does for a recording. */
  readonly isAsked: boolean
  /** What the content filter looks for. */
  readonly secrets: ReadonlyArray<string>
  readonly layer: Layer.Layer<StreamModel.StreamModel, StreamError.StreamError>
}

const variable = (name: string) => Config.withDefault(Config.String(name), "")

export const environment = Config.all({
  baseUrl: variable("LLM_BASE_URL"),
  model: variable("LLM_MODEL"),
  apiKey: Config.map(variable("LLM_API_KEY"), (key) => (key === "" ? undefined : Redacted.make(key)))
})

const recipePrompt = "A recipe for dumplings, as JSON: title, level, serves, ingredients (name, grams), steps."

export const choose = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<Source, UsageError | Config.ConfigError, Terminal> {
  const terminal = yield* Terminal
  const prompt = options.prompt ?? (options.json ? recipePrompt : "How does your answer reach me, token by token?")

  if (options.file !== undefined) {
    const title = options.file === "-" ? "recording from standard input" : `recording ${options.file}`
    const layer = recording(options.file, options.pace ?? (terminal.isLive ? 5 : 0))
    return { title, prompt, isAsked: false, secrets: options.filters, layer }
  }

  const server = yield* environment
  if (server.baseUrl !== "") {
    if (server.model === "") return yield* new UsageError({ message: "LLM_BASE_URL is set, so LLM_MODEL must be too" })
    return {
      title: `${server.model} at ${server.baseUrl}`,
      prompt,
      isAsked: true,
      secrets: options.filters,
      layer: Layer.provide(OpenAiChat.layer({ ...server, provider: "The server" }), FetchHttpClient.layer)
    }
  }

  const provider = Provider.serve({
    pace: options.pace ?? 20,
    onCut: (sent, total) =>
      Effect.andThen(
        terminal.paragraph,
        terminal.write(`The provider saw the request end: it had sent ${sent} of ${total} chunks.\n`, "dim")
      )
  })
  return {
    title: `${Provider.model}, a provider of the demo's own (HTTP on loopback)`,
    prompt,
    isAsked: true,
    secrets: [Provider.secret, ...options.filters],
    layer: provider.pipe(
      Effect.map((baseUrl) => OpenAiChat.layer({ baseUrl, model: Provider.model, provider: "The provider" })),
      Layer.unwrap,
      Layer.provide(FetchHttpClient.layer)
    )
  }
})

// -----------------------------------------------------------------------------
// recordings
// -----------------------------------------------------------------------------

const pieceSize = 256

/** A model that answers with recorded bytes, in small pieces that cut frames and code points wherever it falls. */
const recording = (file: string, pace: number) =>
  Layer.effect(
    StreamModel.StreamModel,
    Effect.map(open(file), (readable) => ({
      stream: () =>
        StreamSource.bytes(readable).pipe(
          Stream.map(pieces),
          Stream.flattenIterable,
          pace === 0 ? identity : Stream.tap(() => Effect.sleep(pace)),
          Wire.detect({ provider: "The provider" })
        )
    }))
  )

const open = (file: string) =>
  file === "-"
    ? Effect.succeed<Readable>(process.stdin)
    : Effect.acquireRelease(Effect.tryPromise({ try: () => Fs.open(file), catch: sourceFailure }), (handle) =>
        Effect.promise(() => handle.close())
      ).pipe(Effect.map((handle): Readable => handle.createReadStream({ autoClose: false })))

const pieces = (bytes: Uint8Array): ReadonlyArray<Uint8Array> =>
  Array.from({ length: Math.ceil(bytes.length / pieceSize) }, (_, n) =>
    bytes.subarray(n * pieceSize, (n + 1) * pieceSize)
  )

const sourceFailure = (cause: unknown) => StreamError.make({ _tag: "SourceFailure", cause })
