/**
 * The grammar of a stream of events, checked one event at a time.
 *
 * 1. One `Start`, before all else.
 * 2. One `ToolCall` for each call, and none of its fragments behind it. A call needs no fragments, and fragments need no
 *    call: an answer that was cut, or a call that is reported as Metadata, has none.
 * 3. One terminal, `End` or `Error`, and nothing behind it.
 *
 * Tool results are free: providers give results of calls that were no events of their own, several for one call, and in
 * any order.
 *
 * @since 0.1.0
 */

interface Event {
  readonly _tag: string
  readonly id?: string | undefined
}

export interface Violation {
  readonly expected: string
  readonly actual: string
}

export class EventGrammar {
  private hasBegun = false
  private terminal: string | undefined
  private called: Set<string> | undefined

  /** What is wrong with an event in its place; nothing is to be asked after that. */
  check(event: Event): Violation | undefined {
    const tag = event._tag
    if (this.terminal !== undefined) return { expected: `nothing behind ${this.terminal}`, actual: tag }
    if (!this.hasBegun) {
      this.hasBegun = true
      return tag === "Start" ? undefined : { expected: "Start first", actual: tag }
    }
    switch (tag) {
      case "Delta":
        return undefined
      case "Start":
        return { expected: "one Start only", actual: "another" }
      case "ToolCallDelta":
        return this.isCalled(event.id) ? { expected: noMoreOf(event.id), actual: tag } : undefined
      case "ToolCall":
        if (this.isCalled(event.id)) return { expected: noMoreOf(event.id), actual: tag }
        ;(this.called ??= new Set()).add(event.id ?? "")
        return undefined
      case "End":
      case "Error":
        this.terminal = tag
    }
    return undefined
  }

  /** What is missing if the stream stops here. */
  get missing(): string | undefined {
    if (!this.hasBegun) return "its Start event"
    return this.terminal === undefined ? "its End event" : undefined
  }

  private isCalled(id: string | undefined): boolean {
    return this.called?.has(id ?? "") === true
  }
}

const noMoreOf = (id: string | undefined): string => `no more of tool call ${id} behind its ToolCall`
