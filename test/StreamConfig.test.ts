import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Duration, Effect, Layer, Stream } from "effect"
import * as ContentFilter from "../src/processors/ContentFilter.ts"
import * as StreamConfig from "../src/StreamConfig.ts"
import * as StreamEvent from "../src/StreamEvent.ts"
import * as StreamHandler from "../src/StreamHandler.ts"
import * as StreamSource from "../src/StreamSource.ts"

const from = (env: Record<string, string>) =>
  Layer.provide(StreamConfig.layerConfig, ConfigProvider.layer(ConfigProvider.fromEnv({ env })))

const read = Effect.map(StreamConfig.StreamConfig, (config) => config)

describe("layerConfig", () => {
  it.effect("every variable", () =>
    Effect.gen(function* () {
      const config = yield* Effect.provide(
        read,
        from({
          CODOMYRMEX_STREAM_MAX_BUFFER_SIZE: "1000",
          CODOMYRMEX_STREAM_MAX_EVENT_SIZE: "2000",
          CODOMYRMEX_STREAM_CHUNK_SIZE: "7",
          CODOMYRMEX_STREAM_CHUNK_DELAY: "50 millis",
          CODOMYRMEX_STREAM_FILTER_PATTERNS: "password, api key ,",
          CODOMYRMEX_STREAM_FILTER_REPLACEMENT: "***"
        })
      )
      assert.strictEqual(config.maxBufferSize, 1000)
      assert.strictEqual(config.maxEventSize, 2000)
      assert.strictEqual(config.chunkSize, 7)
      assert.strictEqual(Duration.toMillis(config.chunkDelay), 50)
      assert.deepStrictEqual(config.filterPatterns, ["password", "api key"])
      assert.strictEqual(config.filterReplacement, "***")
    })
  )

  it.effect("what is not set keeps its default", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* Effect.provide(read, from({})), StreamConfig.defaults)
    })
  )

  it.effect("a variable that is set to nothing keeps its default", () =>
    Effect.gen(function* () {
      const names = ["MAX_BUFFER_SIZE", "MAX_EVENT_SIZE", "CHUNK_SIZE", "CHUNK_DELAY", "FILTER_PATTERNS"]
      const env = Object.fromEntries(names.map((name) => [`CODOMYRMEX_STREAM_${name}`, ""]))
      assert.deepStrictEqual(yield* Effect.provide(read, from(env)), StreamConfig.defaults)
    })
  )

  for (const [name, value] of [
    ["CODOMYRMEX_STREAM_MAX_BUFFER_SIZE", "-1"],
    ["CODOMYRMEX_STREAM_MAX_EVENT_SIZE", "0"],
    ["CODOMYRMEX_STREAM_CHUNK_SIZE", "0"],
    ["CODOMYRMEX_STREAM_CHUNK_SIZE", "ten"],
    ["CODOMYRMEX_STREAM_CHUNK_DELAY", "soon"],
    ["CODOMYRMEX_STREAM_CHUNK_DELAY", "-5 millis"],
    ["CODOMYRMEX_STREAM_MAX_BUFFER_SIZE", "1.5"],
    ["CODOMYRMEX_STREAM_MAX_BUFFER_SIZE", "lots"],
    ["CODOMYRMEX_STREAM_MAX_BUFFER_SIZE", "Infinity"],
    ["CODOMYRMEX_STREAM_MAX_EVENT_SIZE", "10 MB"]
  ] as const) {
    it.effect(`${name}=${value} fails and names the variable`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(Effect.provide(read, from({ [name]: value })))
        assert.include(String(error), name)
      })
    )
  }
})

describe("layer", () => {
  it.effect("what is not given keeps its default", () =>
    Effect.gen(function* () {
      const config = yield* Effect.provide(read, StreamConfig.layer({ chunkSize: 3 }))
      assert.deepStrictEqual(config, { ...StreamConfig.defaults, chunkSize: 3 })
      const unbounded = StreamConfig.layer({ maxBufferSize: Infinity })
      assert.strictEqual((yield* Effect.provide(read, unbounded)).maxBufferSize, Infinity)
    })
  )

  // A limit of NaN would bound nothing, and a chunk of 0 would go on for ever.
  const impossible: ReadonlyArray<Partial<StreamConfig.StreamConfig>> = [
    { maxBufferSize: -1 },
    { maxBufferSize: Number.NaN },
    { maxEventSize: 0 },
    { maxEventSize: Number.NaN },
    { chunkSize: 0 },
    { chunkSize: 1.5 },
    { chunkSize: Number.NaN },
    { chunkDelay: Duration.millis(-1) },
    { filterPatterns: ["a", ""] }
  ]
  for (const values of impossible) {
    const [name] = Object.keys(values)
    it(`${name} ${String(Object.values(values)[0])} is refused at once, by name`, () => {
      assert.throws(() => StreamConfig.layer(values), RangeError, name)
    })
  }
})

describe("in force", () => {
  const text = Stream.make("my password", " is long")

  it.effect("the handler's limit; an explicit one wins", () =>
    Effect.gen(function* () {
      const layer = StreamConfig.layer({ maxBufferSize: 5 })
      const run = (options?: StreamHandler.Options) =>
        text.pipe(StreamEvent.fromText, StreamHandler.runText(options), Effect.provide(layer))
      assert.strictEqual((yield* Effect.flip(run())).reason._tag, "BufferOverflow")
      assert.strictEqual(yield* run({ maxBufferSize: 100 }), "my password is long")
    })
  )

  it.effect("the filter's patterns and replacement; explicit ones win", () =>
    Effect.gen(function* () {
      const layer = StreamConfig.layer({ filterPatterns: ["password"], filterReplacement: "***" })
      const run = (options?: ContentFilter.Options) =>
        text.pipe(StreamEvent.fromText, ContentFilter.make(options), StreamHandler.runText(), Effect.provide(layer))
      assert.strictEqual(yield* run(), "my *** is long")
      assert.strictEqual(yield* run({ patterns: ["long"] }), "my password is ***")
      assert.strictEqual(yield* run({ replacement: "X" }), "my X is long")
    })
  )

  it.effect("the chunks of chunkStream; an explicit size wins", () =>
    Effect.gen(function* () {
      const layer = StreamConfig.layer({ chunkSize: 2, chunkDelay: Duration.zero })
      const chunks = (options?: { readonly chunkSize: number }) =>
        Effect.provide(Stream.runCollect(StreamSource.chunkStream("abc", options)), layer)
      assert.deepStrictEqual(yield* chunks(), ["ab", "c"])
      assert.deepStrictEqual(yield* chunks({ chunkSize: 3 }), ["abc"])
    })
  )
})
