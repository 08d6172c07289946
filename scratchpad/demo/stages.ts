/**
 * The processors between the model and the handler, as the command line asks for them.
 */
import { Effect, type Stream } from "effect"
import {
  Budget,
  Deadline,
  Guardrail,
  Recovery,
  Smoothing,
  StopSequence,
  type StreamError,
  type StreamEvent,
  type StreamProcessor,
  TagSplitter
} from "../../src/index.ts"
import type { Options } from "./options.ts"

type Stage = StreamProcessor.StreamProcessor<StreamError.StreamError>

/** What a moderation service would be asked; this one takes its time and looks for words. */
const moderate =
  (words: ReadonlyArray<string>) =>
  ({ text }: Guardrail.Window) =>
    Effect.as(
      Effect.sleep("30 millis"),
      words.some((word) => text.toLowerCase().includes(word.toLowerCase()))
        ? Guardrail.block("--block")
        : Guardrail.allow
    )

export const make =
  (options: Options) =>
  <R>(
    self: Stream.Stream<StreamEvent.StreamEvent, StreamError.StreamError, R>
  ): Stream.Stream<StreamEvent.StreamEvent, StreamError.StreamError, R> => {
    const stages: Array<Stage> = [
      Deadline.make({ start: "1 minute", idle: "1 minute" }),
      TagSplitter.make({ tags: { think: "reasoning" } })
    ]
    if (options.retry) stages.push(Recovery.make({ strategy: Recovery.restartIfSilent }))
    if (options.stop.length > 0) stages.push(StopSequence.make({ stop: options.stop }))
    if (options.tokens !== undefined) stages.push(Budget.make({ tokens: options.tokens, onExceeded: "end" }))
    if (options.block.length > 0) stages.push(Guardrail.make({ check: moderate(options.block), window: 80 }))
    if (options.smooth) stages.push(Smoothing.make({ by: "word" }))
    return stages.reduce<typeof self>((stream, stage) => stage(stream), self)
  }
