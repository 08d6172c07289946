/**
 * Effect's own `effect/ai`: its parts to events and back, its models as a `StreamModel` and the other way round.
 *
 * 1. `toStreamParts(fromStreamParts(parts))` is `parts`, for every kind of part. A part that is no event of its own is
 *    Metadata with the part's type as its kind; what a part has beyond its event is Metadata of the kind `part` before it.
 * 2. `fromStreamParts(toStreamParts(events))` is `events`, but for their times, and: blocks of text and calls gain Metadata
 *    for their borders; Start's `id` and `model` come as Metadata `response`; usage without a finish reason is in the
 *    Metadata `finish`; a file has the shape of `effect/ai`; an Error event is the failure that it shows. What is no part of its own travels in the metadata of
 *    one, under `effect-llm-streaming`.
 * 3. Parts that stop before their finish part are `Truncated`. An error part is a failure, and what follows is not read.
 * 4. A `ToolCall` is a tool-call part, never put together of fragments. A call that the provider runs is Metadata
 *    `hosted-tool-call`, and its fragments are Metadata too.
 * 5. Text is in text events only, so that what a processor changes or drops does not come back by way of Metadata.
 *
 * @since 0.1.0
 */
import * as AiError from "effect/ai/AiError"
import * as LanguageModel from "effect/ai/LanguageModel"
import * as Prompt from "effect/ai/Prompt"
import type * as Response from "effect/ai/Response"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as StreamBuffer from "../StreamBuffer.ts"
import * as StreamConfig from "../StreamConfig.ts"
import * as StreamError from "../StreamError.ts"
import * as StreamModel from "../StreamModel.ts"
import { toAiError } from "./EffectAiError.ts"
import * as EffectAiParts from "./EffectAiParts.ts"
import * as EffectAiPrompt from "./EffectAiPrompt.ts"

export { fromAiError, toAiError } from "./EffectAiError.ts"
export { fromStreamParts, fromUsage, type StreamPart, toStreamParts, toUsage } from "./EffectAiParts.ts"
export { toPrompt, toRequest } from "./EffectAiPrompt.ts"

// -----------------------------------------------------------------------------
// layers
// -----------------------------------------------------------------------------

/**
 * A `StreamModel` that asks the `LanguageModel` in context.
 *
 * **Details**
 *
 * The request's `messages` are those of `effect/ai`'s prompts in their encoded form (`{ role, content }`), its `options`
 * those of `LanguageModel.streamText`: `toolkit`, `toolChoice` and so on. Messages that are no prompt are a
 * `SourceFailure`.
 *
 * **Gotchas**
 *
 * A `LanguageModel` has its model chosen already, so the request's `model` has no effect.
 *
 * **Example** (One service instead of the other)
 *
 * ```ts no-run
 * import { Effect, Layer } from "effect"
 * import { LanguageModel } from "effect/ai"
 * import { EffectAi, StreamHandler, StreamModel } from "effect-llm-streaming"
 *
 * declare const AnyLanguageModel: Layer.Layer<LanguageModel.LanguageModel>
 *
 * const Model = EffectAi.layerLanguageModel.pipe(Layer.provide(AnyLanguageModel))
 * const program = StreamModel.stream({ prompt: "Why is the sky blue?" }).pipe(StreamHandler.runText())
 * await Effect.runPromise(Effect.provide(program, Model))
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerLanguageModel: Layer.Layer<StreamModel.StreamModel, never, LanguageModel.LanguageModel> =
  Layer.effect(
    StreamModel.StreamModel,
    Effect.map(LanguageModel.LanguageModel, (model) => ({
      stream: (request) =>
        Stream.unwrap(
          Effect.try({
            // Messages are whatever the caller has: `Prompt.make` throws for those that it does not know.
            try: () => Prompt.make(request.prompt ?? (request.messages as Iterable<Prompt.MessageEncoded>)),
            catch: (cause) => StreamError.make({ _tag: "SourceFailure", cause })
          }).pipe(
            Effect.map((prompt) => EffectAiParts.fromStreamParts(model.streamText({ ...request.options, prompt })))
          )
        )
    }))
  )

/**
 * A `LanguageModel` that is answered by the `StreamModel` in context, so that `effect/ai`'s chats, toolkits and structured
 * output work with this library's providers.
 *
 * **Details**
 *
 * `toRequest` makes the request, by default in the form of OpenAI's chat completions; what it throws is an
 * `InvalidUserInputError`. Failures are those of {@link toAiError}. `generateText` collects the stream, within the limit of
 * `StreamConfig`'s `maxBufferSize`.
 *
 * A hosted tool that the toolkit does not have would fail the stream in `effect/ai`; its calls and results travel in the
 * metadata of a part instead.
 *
 * **Example** (A chat with a local server)
 *
 * ```ts no-run
 * import { Effect, Layer } from "effect"
 * import { LanguageModel } from "effect/ai"
 * import { FetchHttpClient } from "effect/http"
 * import { EffectAi, OpenAiChat } from "effect-llm-streaming"
 *
 * const Model = EffectAi.layerStreamModel().pipe(
 *   Layer.provide(OpenAiChat.layer({ baseUrl: "http://localhost:11434/v1", model: "qwen3" })),
 *   Layer.provide(FetchHttpClient.layer)
 * )
 * const program = LanguageModel.generateText({ prompt: "Why is the sky blue?" })
 * const { text } = await Effect.runPromise(Effect.provide(program, Model))
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerStreamModel = (options?: {
  readonly toRequest?: ((options: LanguageModel.ProviderOptions) => StreamModel.StreamRequest) | undefined
}): Layer.Layer<LanguageModel.LanguageModel, never, StreamModel.StreamModel> => {
  const toRequest = options?.toRequest ?? EffectAiPrompt.toRequest
  return Layer.effect(
    LanguageModel.LanguageModel,
    Effect.flatMap(StreamModel.StreamModel, (model) => {
      const stream = (asked: LanguageModel.ProviderOptions) => {
        const tools = new Set(asked.tools.map((tool) => tool.name))
        return Stream.unwrap(
          Effect.try({
            try: () => model.stream(toRequest(asked)),
            catch: (cause) =>
              AiError.make({
                module: "StreamModel",
                method: "stream",
                reason: new AiError.InvalidUserInputError({ description: String(cause) })
              })
          }).pipe(Effect.map((events) => Stream.mapError(events, toAiError)))
        ).pipe((events) => EffectAiParts.writeParts(events, (tool) => tools.has(tool)))
      }
      return LanguageModel.make({
        streamText: (asked) => Stream.map(stream(asked), encode),
        generateText: (asked) => collect(stream(asked))
      })
    })
  )
}

/** A part as `LanguageModel.make` takes it: of most kinds it is the same. */
const encode = (part: EffectAiParts.StreamPart): Response.StreamPartEncoded => {
  switch (part.type) {
    case "file":
    case "source":
    case "response-metadata":
    case "finish":
      return encodePartSync(part)
    case "tool-result":
      return { ...part, result: part.encodedResult }
    default:
      return part
  }
}

const encodePartSync = Schema.encodeSync(EffectAiParts.AnyPart)

interface Block {
  readonly type: "text" | "reasoning"
  text: string
  metadata: Response.ProviderMetadata
}

/** The parts of a whole answer: blocks are one part each. */
const collect = (
  self: Stream.Stream<EffectAiParts.StreamPart, AiError.AiError>
): Effect.Effect<Array<Response.PartEncoded>, AiError.AiError> =>
  Effect.withFiber((fiber) => {
    const limit = fiber.getRef(StreamConfig.StreamConfig).maxBufferSize
    const parts: Array<Response.PartEncoded> = []
    const blocks = new Map<string, Block>()
    let size = 0
    const take = (part: EffectAiParts.StreamPart): Effect.Effect<void, AiError.AiError> => {
      switch (part.type) {
        case "text-start":
        case "reasoning-start": {
          const block: Block = { type: EffectAiParts.typeOf(part), text: "", metadata: part.metadata }
          blocks.set(EffectAiParts.blockOf(part), block)
          parts.push(block)
          return Effect.void
        }
        case "text-delta":
        case "reasoning-delta": {
          const block = blocks.get(EffectAiParts.blockOf(part))
          if (block === undefined) return Effect.void
          size += part.delta.length
          if (size > limit) return Effect.fail(toAiError(StreamBuffer.overflow(limit, size)))
          block.text += part.delta
          block.metadata = { ...block.metadata, ...part.metadata }
          return Effect.void
        }
        case "text-end":
        case "reasoning-end":
        case "tool-params-start":
        case "tool-params-delta":
        case "tool-params-end":
          return Effect.void
        case "error":
          return Effect.fail(toAiError(EffectAiParts.failureOf(part.error, "effect/ai")))
        default:
          parts.push(encode(part) as Response.PartEncoded)
          return Effect.void
      }
    }
    return Effect.as(
      Stream.runForEachArray(self, (array) => Effect.forEach(array, take, { discard: true })),
      parts
    )
  })
