import { assert, describe, it } from "@effect/vitest"
import { ChunkDecoder } from "../../src/internal/chunkDecoder.ts"

const decode = (...chunks: ReadonlyArray<Uint8Array | string>): string => {
  const decoder = new ChunkDecoder()
  return chunks.map((chunk) => decoder.decode(chunk)).join("") + decoder.end()
}

describe("ChunkDecoder", () => {
  const text = "\ufeffa é 😀 \0"
  const bytes = new TextEncoder().encode(text)

  it("keeps code points whole wherever bytes are cut, and the byte order mark", () => {
    assert.strictEqual(decode(text), text)
    for (let at = 0; at <= bytes.length; at++) {
      assert.strictEqual(decode(bytes.subarray(0, at), bytes.subarray(at)), text)
    }
    assert.strictEqual(decode(...Array.from(bytes, (byte) => Uint8Array.of(byte))), text)
  })

  it("what is no UTF-8 becomes U+FFFD: at the end, before text, and inside", () => {
    assert.strictEqual(decode(Uint8Array.of(0xe2, 0x82)), "\ufffd")
    assert.strictEqual(decode(Uint8Array.of(0xe2, 0x82), "a", Uint8Array.of(0xac)), "\ufffda\ufffd")
    assert.strictEqual(decode(Uint8Array.of(0x61, 0xff, 0x62)), "a\ufffdb")
  })

  it("leaves text as it is, lone surrogates too", () => {
    assert.strictEqual(decode("\ud83d", "\ude00", "\ud83d"), "😀\ud83d")
  })
})
