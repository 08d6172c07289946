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
  /** Whether Start has come, and no terminal. */
  isOpen = false
  private terminal: string | undefined
  private called: Set<string> | undefined

  /** What is wrong with an event in its place; nothing is to be asked after that. */
  check(event: Event): Violation | undefined {
    const tag = event._tag
    if (!this.isOpen) {
      if (this.terminal !== undefined) return { expected: `nothing behind ${this.terminal}`, actual: tag }
      this.isOpen = tag === "Start"
      return this.isOpen ? undefined : { expected: "Start first", actual: tag }
    }
    switch (tag) {
      case "Start":
        return { expected: "one Start only", actual: "another" }
      case "ToolCallDelta":
      case "ToolCall": {
        const id = event.id ?? ""
        if (this.called?.has(id) === true) {
          return { expected: `no more of tool call ${id} behind its ToolCall`, actual: tag }
        }
        if (tag === "ToolCall") (this.called ??= new Set()).add(id)
        return undefined
      }
      case "End":
      case "Error":
        this.isOpen = false
        this.terminal = tag
    }
    return undefined
  }

  /** What is missing if the stream stops here. */
  get missing(): string | undefined {
    if (this.isOpen) return "its End event"
    return this.terminal === undefined ? "its Start event" : undefined
  }
}
