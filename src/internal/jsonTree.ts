/**
 * The tree that grows: a stack of open containers, each of which will be put into its parent when it is whole.
 *
 * 1. A value is stored once, when it is whole. An open value is stored in its parent only when somebody reads the tree
 *    (`attach`), at most once per container, so that a stream that nobody reads while it grows pays nothing for it.
 * 2. A container is changed only while it is on the stack. What has left the stack can be shared for ever.
 * 3. The open values form one chain, so a change anywhere changes all of them: one counter (`changes`) says whether a
 *    snapshot is still true.
 * 4. No recursion.
 *
 * @since 0.1.0
 */
import type { Json, JsonListener } from "./jsonModel.ts"

/** An open container: `array` or `object` is set, the other is not. */
export class Frame {
  array: Array<Json> | undefined = undefined
  object: Record<string, Json> | undefined = undefined
  /** The current slot: the last key of an object, … */
  key = ""
  /** … or the index in an array; in an object the number of slots before. */
  index = 0
  /** The copy in the last snapshot. */
  copy: Array<Json> | Record<string, Json> | undefined = undefined
  /** Its elements are handed out. */
  isTapped = false
  /** They are taken off, too. */
  isDetached = false
}

// A literal `[]` learns: once some arrays held objects, all are made for objects, and an array of fractions then takes 24
// bytes for each where `JSON.parse` takes 8. A copy of an empty array does not learn.
const noElements: Array<Json> = []

/** Slots in which wide objects are told by their keys, and how many such keys, and of what length, are remembered. */
const firstWide = 12
const lastWide = 127
const maxWideKeys = 1_024
const maxWideKey = 64

/** V8 copies an object of about so many members or more as a hash table, which takes 100 times as long for each. */
const firstTable = 20
const tableWeight = 100

/** @since 0.1.0 */
export class JsonTree {
  /** `frames[0]` is no container of the text: its only element is the top-level value. Above `depth` frames are spare. */
  readonly frames: Array<Frame> = [new Frame()]
  /** Number of open containers. */
  depth = 0
  /** The innermost open container. */
  top: Frame = this.frames[0]!
  /** Counts what becomes visible. */
  changes = 0
  /** Who is told, while the open top-level value counts. */
  listener: JsonListener | undefined = undefined
  /** Slots in the containers that the last snapshot copied, those of wide objects by their weight. */
  copied = 0
  /** So many of the nested open values are stored in their parents. The open string is the one at `depth + 1`. */
  private attached = 0
  private attachedAt = -1
  /** The top-level value as it was last stored. */
  private root: Json | undefined = undefined
  private snapshotAt = -1
  private lastSnapshot: Json | undefined = undefined
  /** Some object of the open top-level value has a member of that name. */
  private hasProto = false
  private readonly wideKeys = new Map<string, number>()

  constructor() {
    this.top.array = []
  }

  /** Opens a container in the current slot. */
  open(isArray: boolean): void {
    this.changes++
    if (this.listener !== undefined) this.listener.onOpen(isArray ? "array" : "object")
    const depth = ++this.depth
    let frame = this.frames[depth]
    if (frame === undefined) this.frames.push((frame = new Frame()))
    if (isArray) frame.array = noElements.slice()
    else frame.object = {}
    frame.index = 0
    this.top = frame
  }

  /** Closes the innermost container and puts it into its slot. */
  close(): void {
    const frame = this.top
    let value: Json
    // What the last snapshot shows of it is the whole of it: the copy takes its place, so that later snapshots share it.
    if (frame.copy !== undefined && this.snapshotAt === this.changes) value = frame.copy
    // An array that grew by `push` has room for up to 16 more elements and half as many again: `[1, 2]` takes 168 bytes,
    // its copy 32.
    else if (frame.array !== undefined) value = frame.array.length === 0 ? frame.array : frame.array.slice()
    else value = frame.object!
    frame.array = undefined
    frame.object = undefined
    frame.copy = undefined
    frame.isTapped = false
    frame.isDetached = false
    this.top = this.frames[--this.depth]!
    this.put(value)
  }

  /** Puts a whole value into the current slot. A scalar that was not visible before must count as a change. */
  put(value: Json): void {
    const { array, key, object } = this.top
    if (this.attached > this.depth) {
      this.attached = this.depth
      if (array !== undefined) array[array.length - 1] = value
      else this.store(object!, key, value)
    } else if (array !== undefined) array.push(value)
    else this.storeNew(this.top, value)
    if (this.listener !== undefined) this.listener.onValue(value)
  }

  /** Takes the top-level value out. */
  takeRoot(): Json {
    const value = this.frames[0]!.array!.pop()!
    this.clear()
    return value
  }

  /** Forgets the open top-level value. */
  clear(): void {
    this.changes++
    for (; this.depth > 0; this.depth--) {
      const frame = this.frames[this.depth]!
      frame.array = undefined
      frame.object = undefined
      frame.copy = undefined
      frame.isTapped = false
      frame.isDetached = false
    }
    this.top = this.frames[0]!
    this.top.array!.length = 0
    this.listener = undefined
    this.attached = 0
    this.attachedAt = -1
    this.root = undefined
    this.snapshotAt = -1
    this.lastSnapshot = undefined
    this.hasProto = false
  }

  /** The live top-level value, with the open string in it if there is one. */
  attach(text: string | undefined): Json | undefined {
    if (this.attachedAt !== this.changes) {
      this.attachedAt = this.changes
      const { array, key, object } = this.top
      if (this.attached <= this.depth) this.attachOpen(text)
      else if (array !== undefined) array[array.length - 1] = text!
      else this.store(object!, key, text!)
      if (this.depth === 0) this.root = text
    }
    return this.root
  }

  /** Stores what is open and was not yet stored. */
  private attachOpen(text: string | undefined): void {
    const { depth, frames } = this
    for (; this.attached < depth; this.attached++) {
      const child = frames[this.attached + 1]!
      const value = (child.array ?? child.object)!
      if (this.attached === 0) this.root = value
      this.attachTo(frames[this.attached]!, value)
    }
    if (text === undefined) return
    this.attached = depth + 1
    this.attachTo(this.top, text)
  }

  /** An immutable copy: of the open containers, for what is whole is shared. */
  snapshot(text: string | undefined): Json | undefined {
    if (this.snapshotAt === this.changes) return this.lastSnapshot
    let copy = this.attach(text)
    this.copied = 0
    for (let depth = this.depth; depth > 0; depth--) {
      const frame = this.frames[depth]!
      const above = depth === this.depth ? undefined : copy
      if (frame.array !== undefined) {
        const array: Array<Json> = frame.array.slice()
        if (above !== undefined) array[array.length - 1] = above
        this.copied += array.length
        frame.copy = copy = array
      } else {
        const object = this.copy(frame)
        if (above !== undefined) this.store(object, frame.key, above)
        this.copied += (frame.index < firstTable ? 1 : tableWeight) * (frame.index + 1)
        frame.copy = copy = object
      }
    }
    this.snapshotAt = this.changes
    this.lastSnapshot = copy
    return copy
  }

  /**
   * A copy of an open object. Here, where objects of many shapes come by, `Object.assign` takes 31 ns where a spread takes
   * 79; but it would set the prototype, and of wide objects a spread makes its hash tables in 0.75 of the time.
   */
  private copy({ index, object }: Frame): Record<string, Json> {
    return this.hasProto || index >= firstTable ? { ...object } : Object.assign({}, object)
  }

  private attachTo(frame: Frame, child: Json): void {
    if (frame.array !== undefined) frame.array.push(child)
    else this.storeNew(frame, child)
  }

  /**
   * Stores a member for the first time. V8 makes a hash table of an object that gets its 17th member or so by a plain
   * store, unless an object of the same shape exists; so does not `defineProperty`, which takes 200 ns more. So it is used
   * once per shape, when a key is seen in a wide object for the second time: rows of 30 members take 0.9 times the memory
   * of `JSON.parse`'s and not 2.5.
   */
  private storeNew(frame: Frame, value: Json): void {
    const { index, key } = frame
    if (index < firstWide || index > lastWide || !this.isSecond(key)) this.store(frame.object!, key, value)
    else this.define(frame.object!, key, value)
  }

  /** Own property, whatever the name: a plain store to `__proto__` would set the prototype. */
  private store(object: Record<string, Json>, key: string, value: Json): void {
    if (key === "__proto__") this.define(object, key, value)
    else object[key] = value
  }

  private define(object: Record<string, Json>, key: string, value: Json): void {
    if (key === "__proto__") this.hasProto = true
    Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true })
  }

  private isSecond(key: string): boolean {
    const { wideKeys } = this
    if (key.length > maxWideKey) return false
    const seen = wideKeys.get(key) ?? 0
    if (seen > 1) return false
    if (wideKeys.size === maxWideKeys) wideKeys.clear()
    wideKeys.set(key, seen + 1)
    return seen === 1
  }
}
