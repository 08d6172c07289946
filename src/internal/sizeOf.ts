/**
 * Roughly how much a plain value holds, in UTF-16 code units: 8 for each value in it, strings and keys by their length.
 *
 * Stops counting above `limit`, so that a huge or cyclic value costs no more than the limit. No recursion.
 *
 * @since 0.1.0
 */
export const sizeOf = (value: unknown, limit: number): number => {
  let size = 0
  const open: Array<unknown> = [value]
  while (open.length > 0 && size <= limit) {
    const node = open.pop()
    size += 8
    if (typeof node === "string") {
      size += node.length
    } else if (Array.isArray(node)) {
      const least = size + 8 * (open.length + node.length)
      if (least > limit) return least
      for (const item of node) open.push(item)
    } else if (typeof node === "object" && node !== null) {
      const keys = Object.keys(node)
      const least = size + 8 * (open.length + keys.length)
      if (least > limit) return least
      for (const key of keys) {
        size += key.length
        open.push((node as Readonly<Record<string, unknown>>)[key])
      }
    }
  }
  return size
}
