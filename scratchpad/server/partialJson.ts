/**
 * JSON that grows, for a page that shows it as it does: what an answer and the arguments of tool calls hold.
 *
 * Behind the event that brought something new comes a `Metadata` event of the kind `"json"`: `source` says whose value it is
 * (`"answer"`, or the id of a call), `patch` is a JSON Patch (RFC 6902) on what was there before, `state` whether it is
 * `"growing"`, `"whole"`, or was `"none"` after all. So a page needs no parser, and what goes over the wire is what changed.
 */
import { JsonPatch } from "effect"
import { JsonStreamParser, StreamEvent, StreamProcessor } from "../../src/index.ts"

export const follow: StreamProcessor.StreamProcessor = StreamProcessor.transduce(() => {
  const growing = new Map<string, Growing>()
  const find = (source: string, options: JsonStreamParser.Options): Growing => {
    const found = growing.get(source) ?? new Growing(source, options)
    growing.set(source, found)
    return found
  }
  return {
    step(event, out) {
      out.push(event)
      if (event._tag === "Delta") find("answer", { roots: "objects" }).feed(event, out)
      if (event._tag === "ToolCallDelta") find(event.id, { strict: true }).feed(event, out)
    },
    flush() {}
  }
})

class Growing {
  private readonly source: string
  private readonly parser: JsonStreamParser.JsonStreamParser
  /** What a page has of the open value. */
  private shown: JsonStreamParser.Json = null

  constructor(source: string, options: JsonStreamParser.Options) {
    this.source = source
    this.parser = JsonStreamParser.make(options)
  }

  feed(event: { readonly timestamp: number; readonly delta: string }, out: Array<StreamEvent.StreamEvent>): void {
    const tell = (state: "growing" | "whole" | "none", value: JsonStreamParser.Json): void => {
      const patch = JsonPatch.get(this.shown, value)
      if (state === "growing" && patch.length === 0) return
      this.shown = state === "growing" ? value : null
      const metadata = { source: this.source, state, patch }
      out.push(StreamEvent.metadata(event.timestamp, "json", { metadata }))
    }
    this.parser.feed(event.delta)
    for (const value of this.parser.takeValues()) tell("whole", value)
    const open = this.parser.snapshot()
    if (open !== undefined) tell("growing", open)
    else if (this.shown !== null) tell("none", this.shown)
  }
}
