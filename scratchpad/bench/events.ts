/**
 * Server-sent events as providers send them, for the benches.
 *
 * @since 0.1.0
 */

const words = "the quick brown fox jumps over a lazy dog while we stream tokens".split(" ")

export const openAi = (index: number): string => {
  const head = `data: {"id":"chatcmpl-AbCdEfGhIjKlMnOpQrStUvWxYz012","object":"chat.completion.chunk","created":1712345678,"model":"gpt-4o-2024-08-06","service_tier":"default","system_fingerprint":"fp_0123456789","choices":[{"index":0,"delta":{"content":" ${words[index % words.length]}"},"logprobs":null,"finish_reason":null}]}`
  return `${head.padEnd(266)}\n\n`
}

export const anthropic = (index: number): string => {
  const data = `data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"${words[index % words.length]}"}}`
  return `event: content_block_delta\n${data}\n\n`
}

/** So many events as make up a size. */
export const eventsOf = (render: (index: number) => string, size: number): ReadonlyArray<string> => {
  const list: Array<string> = []
  for (let sum = 0; sum < size; sum += list.at(-1)!.length) list.push(render(list.length))
  return list
}

/** Chunks of a size. They share one buffer: with 100,000 buffers of their own, their collection would be measured too. */
export const cut = (text: string, size: number): ReadonlyArray<Uint8Array> => {
  const bytes = new TextEncoder().encode(text)
  const chunks: Array<Uint8Array> = []
  for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.subarray(at, at + size))
  return chunks
}

/** A chunk for each text, in one buffer. */
export const encodeEach = (texts: ReadonlyArray<string>): ReadonlyArray<Uint8Array> => {
  const encoder = new TextEncoder()
  const bytes = encoder.encode(texts.join(""))
  let at = 0
  return texts.map((text) => bytes.subarray(at, (at += encoder.encode(text).length)))
}
