/**
 * Puts tool calls together from the fragments that a provider sends.
 *
 * A fragment belongs to the call with its index; with a new identifier at an index in use, it begins another call; without
 * an index, it belongs to the call with its identifier, and without either to the last one, unless that is whole and the
 * fragment brings a name and arguments of its own. What is empty never overwrites what is known. A call becomes visible
 * once its name is known: fragments that came before are joined to the first one that is shown. No two calls have one
 * identifier then, whatever the provider gave. A call that was handed out is over: what comes for it again says nothing,
 * and a name without an identifier begins another.
 *
 * @since 0.1.0
 */

import { JsonEngine } from "./jsonEngine.ts"

export interface Fragment {
  /** The provider's key: which of the calls, or of the parts, it is about. */
  readonly index?: number | undefined
  readonly id?: string | undefined
  readonly name?: string | undefined
  readonly argumentsText?: string | undefined
  /** The call's input is text and not JSON: a custom tool's. */
  readonly isText?: boolean | undefined
}

/** A call so far. `id` is made up when the provider gave none by the time the call became visible. */
export interface PendingCall {
  readonly id: string
  readonly name: string
  readonly argumentsText: string
}

export interface WholeCall extends PendingCall {
  readonly input: unknown
}

/** What a provider says of a call when it is over. */
export interface LastWord {
  readonly id?: string | undefined
  readonly argumentsText?: string | undefined
}

interface Call {
  readonly position: number
  id: string
  givenId: string | undefined
  name: string
  argumentsText: string
  /** The end of `argumentsText`: to look at that itself would flatten it. */
  lastText: string
  isText: boolean
  /** Whether its name came with a later fragment too, which then says nothing about where a call begins. */
  repeatsName: boolean
  /** Whether it was handed out whole. */
  isTaken: boolean
}

/** What a call counts beside its text, so that a flood of empty calls is bounded too. */
const callSize = 64

export class ToolCallAssembler {
  private readonly calls: Array<Call> = []
  private readonly byIndex = new Map<number, Call>()
  private readonly byId = new Map<string, Call>()
  /** The identifiers of the visible calls. */
  private readonly ids = new Set<string>()
  private last: Call | undefined
  /** What is held for all calls: UTF-16 code units, and 64 for each call. */
  size = 0

  /** Takes a fragment. Gives the call and the argument text to show for it, or `undefined` while there is none. */
  add(fragment: Fragment): { readonly call: PendingCall; readonly delta: string } | undefined {
    const text = fragment.argumentsText ?? ""
    const found = this.find(fragment, text)
    if (found?.isTaken === true) return undefined
    if (found === undefined && fragment.id === undefined && fragment.name === undefined && text === "") return undefined
    const call = found ?? this.open(fragment)
    this.last = call
    if (fragment.isText === true) call.isText = true
    if (call.givenId === undefined && fragment.id !== undefined) {
      call.givenId = fragment.id
      this.byId.set(fragment.id, call)
      this.size += fragment.id.length
    }
    const wasShown = call.name !== ""
    if (!wasShown && fragment.name !== undefined) {
      call.name = fragment.name
      this.size += fragment.name.length
    }
    if (text !== "") {
      call.argumentsText += text
      call.lastText = text
      this.size += text.length
    }
    if (call.name === "") return undefined
    if (call.id === "") call.id = this.uniqueId(call)
    // A slice of the text so far would flatten it with each fragment, and keep each of the copies.
    const delta = wasShown ? text : call.argumentsText
    return delta === "" ? undefined : { call, delta }
  }

  private find({ id, index, name }: Fragment, text: string): Call | undefined {
    const found = index !== undefined ? this.byIndex.get(index) : id !== undefined ? this.byId.get(id) : this.last
    if (found === undefined) return undefined
    if (id !== undefined) return found.givenId === undefined || found.givenId === id ? found : undefined
    if (name !== undefined && found.isTaken) return undefined
    if (name === undefined || found.name === "" || found.repeatsName) return found
    if (text.startsWith("{") && found.lastText.endsWith("}") && parse(found.argumentsText) !== invalid) return undefined
    found.repeatsName = true
    return found
  }

  private open({ index }: Fragment): Call {
    const position = this.calls.length
    const call: Call = {
      position,
      id: "",
      givenId: undefined,
      name: "",
      argumentsText: "",
      lastText: "",
      isText: false,
      repeatsName: false,
      isTaken: false
    }
    this.calls.push(call)
    if (index !== undefined) this.byIndex.set(index, call)
    this.size += callSize
    return call
  }

  private uniqueId(call: Call): string {
    let id = idOf(call)
    while (this.ids.has(id)) id += `_${call.position}`
    this.ids.add(id)
    return id
  }

  /** The argument text so far of the call at an index; `""` where there is none. */
  argumentsAt(index: number): string {
    return this.byIndex.get(index)?.argumentsText ?? ""
  }

  /** The identifier by which the call at an index is visible. */
  idAt(index: number): string | undefined {
    return this.byIndex.get(index)?.id || undefined
  }

  /**
   * The provider says that the call at an index is over: gives it when it is whole, once. One that is not stays for
   * `finish` to report. What it says of the call then counts for more than the fragments.
   */
  take(index: number, last?: LastWord): WholeCall | undefined {
    const call = this.byIndex.get(index)
    if (call === undefined || call.isTaken) return undefined
    // Not where another call is known by it.
    if (last?.id !== undefined && !this.ids.has(last.id) && (this.byId.get(last.id) ?? call) === call) {
      this.ids.delete(call.id)
      this.ids.add(last.id)
      call.id = last.id
      this.byId.set(last.id, call)
    }
    if (last?.argumentsText !== undefined) {
      this.size += last.argumentsText.length - call.argumentsText.length
      call.argumentsText = last.argumentsText
    }
    const whole = wholeOf(call, false)
    call.isTaken = whole !== undefined
    return whole
  }

  /** The call at an index is none after all: it is over, and never handed out. Gives the text of its arguments so far. */
  drop(index: number): string {
    const call = this.byIndex.get(index)
    if (call === undefined || call.isTaken) return ""
    call.isTaken = true
    this.ids.delete(call.id)
    if (call.givenId !== undefined && this.byId.get(call.givenId) === call) this.byId.delete(call.givenId)
    return call.argumentsText
  }

  /**
   * All calls that were not taken, in order, at the end of the stream: those whose arguments are whole, and those that
   * must not be run. Where the answer is cut, arguments that more text could change are not whole: `1`, or none. With
   * `isNoneWhole`, those that were not taken are incomplete, all of them.
   */
  finish(options?: { readonly isCut: boolean; readonly isNoneWhole?: boolean | undefined }): {
    readonly whole: ReadonlyArray<WholeCall>
    readonly incomplete: ReadonlyArray<PendingCall>
  } {
    const whole: Array<WholeCall> = []
    const incomplete: Array<PendingCall> = []
    for (const call of this.calls) {
      if (call.isTaken) continue
      const found = options?.isNoneWhole === true ? undefined : wholeOf(call, options?.isCut === true)
      if (found === undefined) incomplete.push(pendingOf(call))
      else whole.push(found)
    }
    return { whole, incomplete }
  }
}

const idOf = ({ givenId, position }: Call): string => givenId ?? `call_${position}`

const pendingOf = (call: Call): PendingCall => ({
  id: call.id || idOf(call),
  name: call.name,
  argumentsText: call.argumentsText
})

const wholeOf = (call: Call, isCut: boolean): WholeCall | undefined => {
  if (call.name === "") return undefined
  const { argumentsText, isText } = call
  if (isText) return isCut ? undefined : { ...pendingOf(call), input: argumentsText }
  if (isCut && !/[}\]"]$/.test(argumentsText.trimEnd())) return undefined
  const input = parse(argumentsText)
  return input === invalid ? undefined : { ...pendingOf(call), input }
}

const invalid = Symbol("invalid")

/** Not `JSON.parse`, which on Node 24 takes one escaped key for another: a tool must not be run with arguments that nobody wrote. */
const parse = (text: string): unknown => {
  if (text.trim() === "") return {}
  const engine = new JsonEngine({ strict: true, maxDepth: Infinity, maxSize: Infinity })
  engine.feed(text)
  engine.end()
  return engine.fault === undefined ? engine.takeValues()[0] : invalid
}
