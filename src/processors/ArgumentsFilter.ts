/**
 * Filters the arguments of tool calls: what is in their strings, so that they stay the JSON that they are.
 *
 * 1. The fragments of a call, and the whole call behind them, become the same.
 * 2. Order is kept, but for Progress: what comes behind held-back arguments waits with them, up to a limit. The text of one call
 *    that was held back goes on where it began, also where fragments of another call came between.
 *
 * @since 0.1.0
 */
import type { JsonStrings } from "../internal/jsonStrings.ts"
import { sizeOf } from "../internal/sizeOf.ts"
import * as StreamBuffer from "../StreamBuffer.ts"
import type * as StreamError from "../StreamError.ts"
import * as StreamEvent from "../StreamEvent.ts"

/**
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** Begins the arguments of a call; what is found in them counts or not. */
  readonly open: (counts: boolean) => JsonStrings
  /** Whether a rule has blocked: nothing more may leave. */
  readonly isBlocked: () => boolean
  readonly maxWaiting: number
}

/** An event in its place. That of a call whose text is held back is open, and gets what is decided. */
interface Entry {
  event: StreamEvent.StreamEvent
  isOpen: boolean
  /** Whether there is nothing to show while its text is empty. */
  readonly isText: boolean
  size: number
}

interface Call {
  readonly strings: JsonStrings
  entry: Entry | undefined
}

/**
 * The arguments of one stream's calls.
 *
 * @category models
 * @since 0.1.0
 */
export class ArgumentsFilter {
  private readonly options: Options
  private readonly calls = new Map<string, Call>()
  private queue: Array<Entry> = []
  private waiting = 0

  constructor(options: Options) {
    this.options = options
  }

  /** Takes an event, and pushes onto `out` what can go on. */
  step(
    event: StreamEvent.StreamEvent,
    out: Array<StreamEvent.StreamEvent>
  ): StreamError.StreamErrorOf<"BufferOverflow"> | undefined {
    if (event._tag === "Progress") {
      out.push(event)
      return undefined
    }
    if (event._tag === "ToolCallDelta") this.pushDelta(event)
    else {
      if (StreamEvent.isTerminal(event)) this.endAll()
      const filtered = event._tag === "ToolCall" ? this.whole(event) : event
      if (!this.options.isBlocked()) this.add(filtered, false)
    }
    const { waiting } = this
    const { maxWaiting } = this.options
    if (waiting > maxWaiting) this.endAll()
    this.release(out)
    return waiting > maxWaiting ? StreamBuffer.overflow(maxWaiting, waiting) : undefined
  }

  /** The stream is over. */
  flush(out: Array<StreamEvent.StreamEvent>): void {
    this.endAll()
    this.release(out)
  }

  private pushDelta(event: StreamEvent.ToolCallDelta): void {
    let call = this.calls.get(event.id)
    if (call === undefined) {
      call = { strings: this.options.open(true), entry: undefined }
      this.calls.set(event.id, call)
    }
    if (event.delta === "") {
      this.add(event, false)
      return
    }
    // Unit by unit while text is held back, so that where that ends does not depend on how the fragments were cut.
    let index = 0
    for (; index < event.delta.length && call.entry !== undefined; index++) {
      this.append(call.entry, call.strings.push(event.delta[index]!))
      if (!call.strings.isHolding) close(call)
    }
    if (index === event.delta.length) return
    const delta = call.strings.push(event.delta.slice(index))
    const isOpen = call.strings.isHolding
    const entry = this.add({ ...event, delta }, isOpen)
    if (isOpen) call.entry = entry
  }

  private whole(event: StreamEvent.ToolCall): StreamEvent.ToolCall {
    const strings = this.options.open(!this.calls.has(event.id))
    this.end(event.id)
    const argumentsText = strings.push(event.argumentsText) + strings.end()
    if (argumentsText === event.argumentsText) return event
    const input = event.input === event.argumentsText ? argumentsText : parse(argumentsText)
    return { ...event, argumentsText, input }
  }

  private end(id: string): void {
    const call = this.calls.get(id)
    if (call?.entry !== undefined) {
      this.append(call.entry, call.strings.end())
      if (!this.options.isBlocked()) close(call)
    }
    this.calls.delete(id)
  }

  private endAll(): void {
    for (const id of this.calls.keys()) this.end(id)
  }

  private add(event: StreamEvent.StreamEvent, isOpen: boolean): Entry {
    const size = this.queue.length === 0 ? 0 : sizeOf(event, this.options.maxWaiting)
    const entry = { event, isOpen, isText: event._tag === "ToolCallDelta" && isOpen, size }
    this.queue.push(entry)
    this.waiting += size
    return entry
  }

  private append(entry: Entry, delta: string): void {
    if (entry.event._tag !== "ToolCallDelta") return
    entry.event = { ...entry.event, delta: entry.event.delta + delta }
    if (entry === this.queue[0]) return
    entry.size += delta.length
    this.waiting += delta.length
  }

  private release(out: Array<StreamEvent.StreamEvent>): void {
    let count = 0
    for (const entry of this.queue) {
      const { event } = entry
      this.waiting -= entry.size
      entry.size = 0
      if (!entry.isText) out.push(event)
      else if (event._tag === "ToolCallDelta" && event.delta !== "") {
        out.push(event)
        entry.event = { ...event, delta: "" }
      }
      if (entry.isOpen) break
      count++
    }
    this.queue.splice(0, count)
  }
}

const close = (call: Call): void => {
  if (call.entry !== undefined) call.entry.isOpen = false
  call.entry = undefined
}

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
