/**
 * What of the tree counts and goes out: which top-level values, and which elements of arrays.
 *
 * 1. A value that does not count is read like any other, and nobody learns of it.
 * 2. An array of which nobody knows yet whether it counts is told in full as soon as it does.
 *
 * @since 0.1.0
 */
import type { Json, JsonElements, JsonEngineOptions, JsonListener } from "./jsonModel.ts"
import { matches } from "./jsonPath.ts"
import type { JsonTree } from "./jsonTree.ts"

/** @since 0.1.0 */
export class JsonOutput {
  /** The open top-level value counts. */
  isVisible = false
  /** The open top-level value is an array that does not count yet. */
  isUndecided = false
  /** What became whole. */
  values: Array<Json> = []
  last: Json | undefined = undefined
  /** Values that become whole at this depth or above it are of interest to `settle`. */
  readonly watched: number

  private readonly tree: JsonTree
  private readonly showsObjects: boolean
  /** `undefined`: it depends on the elements. */
  private readonly showsArrays: boolean | undefined
  private readonly listener: JsonListener | undefined
  private readonly elements: JsonElements | undefined
  /** How far what tapped arrays have had is no longer counted. */
  private tappedAt = 0

  constructor(tree: JsonTree, { elements, listener, roots, strict }: JsonEngineOptions) {
    this.tree = tree
    this.listener = listener
    this.elements = elements
    this.watched = elements === undefined ? 0 : elements.pointer.length + 1
    const showsAll = strict === true
    this.showsObjects = showsAll || roots !== "arrays"
    this.showsArrays = showsAll || (roots === undefined ? undefined : roots !== "objects")
  }

  /** A top-level value begins. */
  begin(isArray: boolean): void {
    const shows = isArray ? this.showsArrays : this.showsObjects
    if (shows === true) this.show()
    else this.isUndecided = shows === undefined
  }

  /** A container begins; `at` is behind its bracket. */
  open(isArray: boolean, at: number): void {
    const { elements, tree } = this
    if (this.isUndecided && tree.depth === 1) this.decide()
    tree.open(isArray)
    if (elements !== undefined && isArray && tree.depth === this.watched) this.tap(elements, at)
  }

  /** The array of scalars has another element now, so it counts: tells what came before. */
  decide(): void {
    const { elements, listener, tree } = this
    const { array, index, isDetached, isTapped } = tree.top
    this.isUndecided = false
    this.show()
    if (listener !== undefined) {
      tree.depth = 0
      listener.onOpen("array")
      tree.depth = 1
    }
    for (tree.top.index = 0; tree.top.index < index; tree.top.index++) {
      const value = array![tree.top.index]!
      listener?.onValue(value)
      if (isTapped) elements!.onElement(value)
    }
    if (isDetached) array!.length = 0
  }

  /**
   * A value in a container at a watched depth is whole; `at` is behind it. Returns how many code units the open top-level
   * value got rid of.
   */
  settle(at: number): number {
    const { elements, tree } = this
    if (!tree.top.isTapped || !this.isVisible) return 0
    const array = tree.top.array!
    elements!.onElement(array.at(-1)!)
    if (!tree.top.isDetached) return 0
    array.pop()
    tree.changes++
    const size = at - this.tappedAt
    this.tappedAt = at
    return size
  }

  /** The top-level value is whole. Returns whether it counts. */
  complete(): boolean {
    const { isVisible } = this
    const value = this.tree.takeRoot()
    if (isVisible) {
      this.values.push(value)
      this.last = value
    }
    this.clear()
    return isVisible
  }

  /** Forgets the open top-level value. */
  clear(): void {
    this.isVisible = false
    this.isUndecided = false
  }

  /** Forgets everything. */
  reset(): void {
    this.clear()
    this.values = []
    this.last = undefined
  }

  private show(): void {
    this.isVisible = true
    this.tree.listener = this.listener
  }

  /** Are the elements of the array that has just begun handed out? */
  private tap(elements: JsonElements, at: number): void {
    const { tree } = this
    if (!matches(tree.frames, tree.depth - 1, elements.pointer)) return
    tree.top.isTapped = true
    tree.top.isDetached = elements.detach === true
    this.tappedAt = at
  }
}
