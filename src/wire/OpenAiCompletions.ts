/**
 * OpenAI's legacy text completions, and the servers that still speak them: vLLM, llama.cpp, Together, Fireworks, DeepSeek
 * (to fill in the middle), Ollama.
 *
 * The terminal event is the chunk with a finish reason. `[DONE]` is neither one nor needed: a stream that stops without a
 * finish reason fails with `Truncated`.
 *
 * @since 0.1.0
 */
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as OpenAi from "../internal/openAi.ts"
import { array, nonEmpty, record, string, type UnknownRecord } from "../internal/untyped.ts"
import type * as Protocol from "./Protocol.ts"
import * as Provider from "./Provider.ts"

// -----------------------------------------------------------------------------
// protocol
// -----------------------------------------------------------------------------

/** @internal */
export const protocol: Protocol.Protocol<OpenAi.State> = {
  provider: "openai",
  framing: "sse",
  terminal: "a finish reason",
  recognizes: (chunk) => {
    const choices = array(chunk["choices"])
    return (
      choices !== undefined &&
      (chunk["object"] === "text_completion" || string(record(choices[0])?.["text"]) !== undefined)
    )
  },
  initial: OpenAi.initial,
  step(state, chunk, out) {
    const error = OpenAi.step(state, chunk, out, choiceFields, stepChoice)
    return error === undefined ? undefined : out.failure(error)
  },
  onHalt: OpenAi.onHalt
}

const choiceFields = new Set([...OpenAi.choiceFields, "text"])

const stepChoice = (choice: UnknownRecord, out: Protocol.Output): void => out.delta(nonEmpty(choice["text"]))

// -----------------------------------------------------------------------------
// provider
// -----------------------------------------------------------------------------

const provider = Provider.make(protocol, {
  baseUrl: "https://api.openai.com/v1",
  path: () => "/completions",
  authorize: HttpClientRequest.bearerToken,
  body: (request, model) => ({
    model,
    prompt: request.prompt,
    messages: request.messages,
    stream: true,
    stream_options: { include_usage: true }
  })
})

/**
 * Decodes the bytes of a streamed text completion.
 *
 * **Details**
 *
 * The text of the first choice is the answer; other choices are Metadata of the kind `choice`. Usage and finish reason
 * come in one Metadata event of the kind `finish` before `End`. An error in the stream becomes `ProviderFailure`, comments
 * become `Progress`.
 *
 * **Example** (Decoding a response)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { OpenAiCompletions, StreamHandler } from "effect-llm-streaming"
 *
 * const bytes = Stream.make(
 *   'data: {"choices":[{"text":"Hel"}]}\n\ndata: {"choices":[{"text":"lo","finish_reason":"stop"}]}\n\n'
 * )
 * const result = Effect.runSync(bytes.pipe(OpenAiCompletions.decode(), StreamHandler.run()))
 * result.text // => "Hello"
 * result.finishReason // => "stop"
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const decode = provider.decode

/**
 * Decodes chunks that the provider's own client has parsed already, from its async iterable for example.
 *
 * @category decoding
 * @since 0.1.0
 */
export const fromChunks = provider.fromChunks

/**
 * Decodes a response: `Start` when its headers are there, `ProviderFailure` for a status outside 2xx, with the provider's
 * code and message, `isRetryable` and `retryAfter`.
 *
 * @category HTTP
 * @since 0.1.0
 */
export const fromResponse = provider.fromResponse

/**
 * A `StreamModel` that asks a server for text completions.
 *
 * **Details**
 *
 * The request asks for usage (`stream_options.include_usage`); fields of the request's `options` win over what is set
 * here. A body that cannot be encoded, and a connection that fails, become `SourceFailure`.
 *
 * **Gotchas**
 *
 * A text completion continues a prompt and knows no conversation: a request's `messages` are passed on as they are, and
 * most servers refuse them.
 *
 * **Example** (Filling in the middle)
 *
 * ```ts no-run
 * import { Console, Effect, Layer, Stream } from "effect"
 * import { FetchHttpClient } from "effect/http"
 * import { OpenAiCompletions, StreamEvent, StreamModel } from "effect-llm-streaming"
 *
 * const Model = OpenAiCompletions.layer({ baseUrl: "http://localhost:8000/v1", model: "qwen3-coder" }).pipe(
 *   Layer.provide(FetchHttpClient.layer)
 * )
 * const program = StreamModel.stream({ prompt: "def fib(n):", options: { suffix: "return a" } }).pipe(
 *   StreamEvent.text,
 *   Stream.runForEach((text) => Console.log(text))
 * )
 * await Effect.runPromise(Effect.provide(program, Model))
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = provider.layer

/**
 * {@link layer} from configuration.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = provider.layerConfig
