/**
 * Text from chunks that are UTF-8 bytes or text already. Code points that are split over chunks stay whole; invalid UTF-8
 * becomes U+FFFD; a byte order mark is left in place.
 *
 * @since 0.1.0
 */
export class ChunkDecoder {
  private readonly decoder = new TextDecoder("utf-8", { ignoreBOM: true })
  private hasPendingBytes = false

  decode(chunk: Uint8Array | string): string {
    if (typeof chunk !== "string") {
      this.hasPendingBytes = true
      return this.decoder.decode(chunk, { stream: true })
    }
    return this.hasPendingBytes ? this.end() + chunk : chunk
  }

  /** What half a code point at the end stands for. */
  end(): string {
    this.hasPendingBytes = false
    return this.decoder.decode()
  }
}
