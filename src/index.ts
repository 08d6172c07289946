/**
 * Streaming LLM output as an Effect library: typed events, processors, bounded buffers, honest statistics, verified ends.
 *
 * @since 0.1.0
 */
export * as ContentFilter from "./processors/ContentFilter.ts"
export * as JsonStream from "./json/JsonStream.ts"
export * as JsonStreamParser from "./json/JsonStreamParser.ts"
export * as OpenAiChat from "./wire/OpenAiChat.ts"
export * as SseStream from "./wire/SseStream.ts"
export * as StreamBuffer from "./StreamBuffer.ts"
export * as StreamCallbacks from "./StreamCallbacks.ts"
export * as StreamConfig from "./StreamConfig.ts"
export * as StreamError from "./StreamError.ts"
export * as StreamEvent from "./StreamEvent.ts"
export * as StreamHandler from "./StreamHandler.ts"
export * as StreamModel from "./StreamModel.ts"
export * as StreamProcessor from "./StreamProcessor.ts"
export * as StreamResult from "./StreamResult.ts"
export * as StreamSource from "./StreamSource.ts"
export * as StreamStats from "./StreamStats.ts"
export * as TokenCounter from "./TokenCounter.ts"
export { chunkStream, streamToString } from "./StreamSource.ts"
