/**
 * Paths into a growing tree: where the engine stands, and whether the value at a path is whole.
 *
 * @since 0.1.0
 */
import type { Json, JsonPath } from "./jsonModel.ts"
import type { Frame } from "./jsonTree.ts"

/** The current slots of the frames from 1 to `depth`. */
export const pathOf = (frames: ReadonlyArray<Frame>, depth: number): Array<string | number> => {
  const path: Array<string | number> = []
  for (let level = 1; level <= depth; level++) {
    const frame = frames[level]!
    path.push(frame.array === undefined ? frame.key : frame.index)
  }
  return path
}

/** The current slots of the frames from 1 to `depth`, as `last` if that has them. */
export const pathLike = (last: JsonPath, frames: ReadonlyArray<Frame>, depth: number): JsonPath => {
  if (last.length !== depth) return pathOf(frames, depth)
  for (let level = depth; level > 0; level--) {
    const frame = frames[level]!
    if (last[level - 1] !== (frame.array === undefined ? frame.key : frame.index)) return pathOf(frames, depth)
  }
  return last
}

/** The index that a path segment names; one that no array has if it names none. */
const indexOf = (segment: string | number): number => {
  if (typeof segment === "number") return segment
  return /^(?:0|[1-9]\d{0,15})$/.test(segment) ? Number(segment) : -1
}

/** Whether the slot that is open in `frame` is the one that `segment` names. */
const isCurrent = (frame: Frame, segment: string | number): boolean =>
  frame.array === undefined ? frame.key === String(segment) : frame.index === indexOf(segment)

/** Whether there is a value at `path`, from its `from`th segment on, in a whole value. */
export const hasPath = (value: Json, path: JsonPath, from: number): boolean => {
  let current: Json | undefined = value
  for (let i = from; i < path.length; i++) {
    const segment = path[i]!
    if (Array.isArray(current)) {
      current = current[indexOf(segment)]
      if (current === undefined) return false
    } else if (typeof current === "object" && current !== null) {
      // `Array.isArray` does not narrow a readonly array away.
      const object = current as { readonly [key: string]: Json }
      if (!Object.hasOwn(object, segment)) return false
      current = object[segment]!
    } else return false
  }
  return true
}

/**
 * Whether the value at `path` is whole, while the frames up to `depth` are open. `isSlotOpen`: whether the current slot of
 * the innermost frame still waits for its value or the rest of it.
 */
export const isWhole = (frames: ReadonlyArray<Frame>, depth: number, isSlotOpen: boolean, path: JsonPath): boolean => {
  for (let level = 1; level <= path.length; level++) {
    if (level > depth) return false
    const frame = frames[level]!
    if ((level < depth || isSlotOpen) && isCurrent(frame, path[level - 1]!)) continue
    // Of what was taken off, nothing can be said.
    return !frame.isDetached && hasPath((frame.array ?? frame.object)!, path, level - 1)
  }
  return false
}

/** Whether the slots of the frames from 1 to `depth` fit a pointer of that length. */
export const matches = (
  frames: ReadonlyArray<Frame>,
  depth: number,
  pointer: ReadonlyArray<string | null>
): boolean => {
  if (pointer.length !== depth) return false
  for (let level = 1; level <= depth; level++) {
    const segment = pointer[level - 1]!
    if (segment !== null && !isCurrent(frames[level]!, segment)) return false
  }
  return true
}
