/**
 * The service that answers a request with events: what a backend depends on, and what a test replaces.
 *
 * A provider's wire module gives a Layer of it (`OpenAiChat.layer`); `StreamTest.layerModel` gives one that plays a
 * script.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type * as StreamError from "./StreamError.ts"
import type * as StreamEvent from "./StreamEvent.ts"

// -----------------------------------------------------------------------------
// request
// -----------------------------------------------------------------------------

/**
 * One message of a conversation, passed on to the provider as it is: what fields it has is the provider's business.
 * Google's have `parts` and no `content`, items of OpenAI's Responses may have no `role`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Message {
  readonly role?: string | undefined
  readonly content?: unknown
  readonly [field: string]: unknown
}

/**
 * What to ask: a conversation, or one prompt string that stands for a single user message.
 *
 * **Details**
 *
 * `model` wins over the model that the Layer was made with. `options` are fields of the provider's request body, passed
 * on as they are (`{ temperature: 0, max_tokens: 100 }`).
 *
 * @category models
 * @since 0.1.0
 */
export type StreamRequest = {
  readonly model?: string | undefined
  readonly options?: Readonly<Record<string, unknown>> | undefined
} & (
  | { readonly prompt: string; readonly messages?: undefined }
  | { readonly messages: ReadonlyArray<Message>; readonly prompt?: undefined }
)

/**
 * The messages of a request: its own, or its prompt as the user's only message.
 *
 * @category getters
 * @since 0.1.0
 */
export const messages = (request: StreamRequest): ReadonlyArray<Message> =>
  request.messages ?? [{ role: "user", content: request.prompt }]

// -----------------------------------------------------------------------------
// service
// -----------------------------------------------------------------------------

/**
 * A model that streams. Running the stream sends the request; interrupting it, or leaving it early, aborts the request.
 *
 * **Example** (A model of your own)
 *
 * ```ts
 * import { Effect, Layer, Stream } from "effect"
 * import { StreamEvent, StreamHandler, StreamModel } from "effect-llm-streaming"
 *
 * const Echo = Layer.succeed(StreamModel.StreamModel, {
 *   stream: (request) => StreamEvent.fromText(Stream.make("You said: ", String(StreamModel.messages(request)[0]?.content)))
 * })
 * const answer = StreamModel.stream({ prompt: "hi" }).pipe(StreamHandler.runText(), Effect.provide(Echo))
 * await Effect.runPromise(answer) // => "You said: hi"
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export class StreamModel extends Context.Service<
  StreamModel,
  {
    readonly stream: (request: StreamRequest) => Stream.Stream<StreamEvent.StreamEvent, StreamError.StreamError>
  }
>()("effect-llm-streaming/StreamModel") {}

/**
 * The events of the model's answer to a request.
 *
 * @category accessors
 * @since 0.1.0
 */
export const stream = (
  request: StreamRequest
): Stream.Stream<StreamEvent.StreamEvent, StreamError.StreamError, StreamModel> =>
  Stream.unwrap(Effect.map(StreamModel, (model) => model.stream(request)))
