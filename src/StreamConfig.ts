/**
 * Limits and defaults of streams, as a service; from `CODOMYRMEX_*` environment variables where a Layer reads them.
 *
 * Options given to a function always win over what is configured here.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"

/**
 * Limits and defaults of streams.
 *
 * @category models
 * @since 0.1.0
 */
export interface StreamConfig {
  /** UTF-16 code units that a handler keeps: answer, reasoning, refusal and tool arguments together. 16 Mi. */
  readonly maxBufferSize: number
  /** UTF-16 code units that one server-sent event may have. 10 Mi. */
  readonly maxEventSize: number
  /** Code points in each chunk of `chunkStream`. 10. */
  readonly chunkSize: number
  /** Pause after each chunk of `chunkStream`. 10 milliseconds. */
  readonly chunkDelay: Duration.Duration
  /** What `ContentFilter.make` looks for when it is given no patterns. None. */
  readonly filterPatterns: ReadonlyArray<string>
  /** What it puts in their place. `"[FILTERED]"`. */
  readonly filterReplacement: string
}

/**
 * The values in force without a Layer.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaults: StreamConfig = {
  maxBufferSize: 16 * 1024 * 1024,
  maxEventSize: 10 * 1024 * 1024,
  chunkSize: 10,
  chunkDelay: Duration.millis(10),
  filterPatterns: [],
  filterReplacement: "[FILTERED]"
}

/**
 * The configuration in force; {@link defaults} unless a Layer is provided.
 *
 * @category services
 * @since 0.1.0
 */
export const StreamConfig: Context.Reference<StreamConfig> = Context.Reference("effect-llm-streaming/StreamConfig", {
  defaultValue: () => defaults
})

/**
 * Sets some values; the others keep their defaults.
 *
 * **Details**
 *
 * A size that is not a whole number (or `Infinity`), a negative delay or an empty pattern throws a `RangeError`.
 *
 * **Example** (A smaller limit for every stream)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { StreamConfig, StreamEvent, StreamHandler } from "effect-llm-streaming"
 *
 * const program = Stream.make("Hello", " World").pipe(
 *   StreamEvent.fromText,
 *   StreamHandler.runText(),
 *   Effect.catchReason("StreamError", "BufferOverflow", (reason) => Effect.succeed(`at most ${reason.limit}`)),
 *   Effect.provide(StreamConfig.layer({ maxBufferSize: 8 }))
 * )
 * Effect.runSync(program) // => "at most 8"
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (values: Partial<StreamConfig>): Layer.Layer<never> => {
  const config = { ...defaults, ...values }
  for (const name of ["maxBufferSize", "maxEventSize", "chunkSize"] as const) {
    const value = config[name]
    const least = name === "maxBufferSize" ? 0 : 1
    if (!(Number.isInteger(value) || value === Infinity) || value < least) {
      throw new RangeError(`${name} must be a whole number, ${least} or more, got ${value}`)
    }
  }
  if (Duration.isNegative(config.chunkDelay)) {
    throw new RangeError(`chunkDelay must not be negative, got ${Duration.format(config.chunkDelay)}`)
  }
  if (config.filterPatterns.includes("")) throw new RangeError("filterPatterns must not hold an empty pattern")
  return Layer.succeed(StreamConfig, config)
}

const Size = Schema.FiniteFromString.check(Schema.isInt(), Schema.isGreaterThanOrEqualTo(0))
const Delay = Schema.DurationFromString.check(
  Schema.makeFilter((delay) => !Duration.isNegative(delay) || "Expected a duration that is not negative")
)
const PositiveInt = Schema.FiniteFromString.check(Schema.isInt(), Schema.isGreaterThanOrEqualTo(1))

/**
 * Reads the configuration: `CODOMYRMEX_STREAM_MAX_BUFFER_SIZE`, `…_MAX_EVENT_SIZE`, `…_CHUNK_SIZE`, `…_CHUNK_DELAY` (a
 * duration such as `10 millis`), `…_FILTER_PATTERNS` (separated by commas) and `…_FILTER_REPLACEMENT`.
 *
 * **Details**
 *
 * What is not set keeps its default. A bad value fails with a `ConfigError` that names its variable.
 *
 * @category config
 * @since 0.1.0
 */
export const config: Config.Config<StreamConfig> = Config.all({
  maxBufferSize: Config.schema(Size, "CODOMYRMEX_STREAM_MAX_BUFFER_SIZE").pipe(
    Config.withDefault(defaults.maxBufferSize)
  ),
  maxEventSize: Config.schema(PositiveInt, "CODOMYRMEX_STREAM_MAX_EVENT_SIZE").pipe(
    Config.withDefault(defaults.maxEventSize)
  ),
  chunkSize: Config.schema(PositiveInt, "CODOMYRMEX_STREAM_CHUNK_SIZE").pipe(Config.withDefault(defaults.chunkSize)),
  chunkDelay: Config.schema(Delay, "CODOMYRMEX_STREAM_CHUNK_DELAY").pipe(Config.withDefault(defaults.chunkDelay)),
  filterPatterns: Config.String("CODOMYRMEX_STREAM_FILTER_PATTERNS").pipe(
    Config.map((patterns) =>
      patterns
        .split(",")
        .map((pattern) => pattern.trim())
        .filter((pattern) => pattern !== "")
    ),
    Config.withDefault(defaults.filterPatterns)
  ),
  filterReplacement: Config.String("CODOMYRMEX_STREAM_FILTER_REPLACEMENT").pipe(
    Config.withDefault(defaults.filterReplacement)
  )
})

/**
 * Provides what {@link config} reads.
 *
 * **Example** (Configuration from the environment)
 *
 * ```ts
 * import { ConfigProvider, Effect, Layer } from "effect"
 * import { StreamConfig } from "effect-llm-streaming"
 *
 * const environment = ConfigProvider.fromEnv({ env: { CODOMYRMEX_STREAM_FILTER_PATTERNS: "password, api key" } })
 * const program = Effect.map(StreamConfig.StreamConfig, (config) => config.filterPatterns).pipe(
 *   Effect.provide(Layer.provide(StreamConfig.layerConfig, ConfigProvider.layer(environment)))
 * )
 * Effect.runSync(program) // => ["password", "api key"]
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig: Layer.Layer<never, Config.ConfigError> = Layer.effect(StreamConfig, config)
