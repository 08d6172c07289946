/**
 * What the chunks of OpenAI's chat and text completions have in common, and those of the many servers that speak them.
 *
 * A field that is neither known nor empty is reported. Many servers repeat such a field with every chunk: it is reported
 * again only when it changes.
 *
 * @since 0.1.0
 */
import { array, difference, jsonText, nonEmpty, number, record, string, type UnknownRecord } from "./untyped.ts"

/** Where that goes which is neither text nor call. */
export interface Output {
  held: number
  metadata(kind: string, metadata: UnknownRecord): void
}

export interface State {
  isIdentified: boolean
  finishReason: string | undefined
  serviceTier: string | undefined
  usage: UnknownRecord | undefined
  /** The fields that were reported, as JSON. */
  readonly reported: Map<string, string>
}

export const initial = (): State => ({
  isIdentified: false,
  finishReason: undefined,
  serviceTier: undefined,
  usage: undefined,
  reported: new Map()
})

// -----------------------------------------------------------------------------
// chunks
// -----------------------------------------------------------------------------

const chunkFields: ReadonlySet<string> = new Set(
  "id object created model system_fingerprint service_tier choices usage error search_results citations obfuscation p".split(
    " "
  )
)

/** The fields of a choice that both protocols have. */
export const choiceFields: ReadonlyArray<string> = ["index", "finish_reason", "logprobs", "usage", "error"]

/**
 * Takes all of a chunk but what `stepChoice` takes: the `fields` of the first choice. Gives the error that the chunk
 * reports, if it does.
 */
export const step = <Out extends Output>(
  state: State,
  chunk: UnknownRecord,
  out: Out,
  fields: ReadonlySet<string>,
  stepChoice: (choice: UnknownRecord, out: Out) => void
): unknown => {
  identify(state, chunk, out)
  let error = errorOf(chunk)
  for (const item of array(chunk["choices"]) ?? []) {
    const choice = record(item)
    if (choice === undefined) continue
    if ((number(choice["index"]) ?? 0) !== 0) {
      out.metadata("choice", choice)
      continue
    }
    stepChoice(choice, out)
    if (!isEmpty(choice["logprobs"])) out.metadata("logprobs", { logprobs: choice["logprobs"] })
    report(state, choice, fields, out)
    state.finishReason = nonEmpty(choice["finish_reason"]) ?? state.finishReason
    state.usage = usageOf(choice) ?? state.usage
    error ??= errorOf(choice)
  }
  stepSources(state, chunk, out)
  if (error !== chunk) report(state, chunk, chunkFields, out)
  state.serviceTier = nonEmpty(chunk["service_tier"]) ?? state.serviceTier
  state.usage = usageOf(chunk) ?? state.usage
  return error
}

/** An error beside the choices, inside of one (OpenRouter), or in place of the chunk (vLLM, Mistral). */
const errorOf = (body: UnknownRecord): unknown => body["error"] ?? (body["object"] === "error" ? body : undefined)

/** The response's id and model, once: some servers change the id between chunks. */
const identify = (state: State, chunk: UnknownRecord, out: Output): void => {
  if (state.isIdentified) return
  const id = nonEmpty(chunk["id"])
  if (id === undefined) return
  state.isIdentified = true
  const systemFingerprint = nonEmpty(chunk["system_fingerprint"])
  out.metadata("response", { id, model: nonEmpty(chunk["model"]), systemFingerprint })
}

/** Perplexity's chunks all have the sources so far: as records, and as URLs of the same. */
const stepSources = (state: State, chunk: UnknownRecord, out: Output): void => {
  for (const list of [chunk["search_results"], chunk["citations"]]) {
    for (const citation of array(list) ?? []) {
      const source = string(record(citation)?.["url"]) ?? jsonText(citation) ?? ""
      if (isNew(state, `source ${source}`, "", out)) out.metadata("citation", { citation })
    }
  }
}

const report = (state: State, body: UnknownRecord, known: ReadonlySet<string>, out: Output): void => {
  for (const key in body) {
    if (known.has(key)) continue
    const value = body[key]
    const text = isEmpty(value) ? undefined : jsonText(value)
    if (text === undefined || !isNew(state, key, text, out)) continue
    if (/^(prompt|content)_filter_/.test(key)) out.metadata("content-filter", { [key]: value })
    else out.metadata("unknown", { chunk: { [key]: value } })
  }
}

const isNew = (state: State, key: string, text: string, out: Output): boolean => {
  const last = state.reported.get(key)
  if (last === text) return false
  state.reported.set(key, text)
  out.held += last === undefined ? key.length + text.length : text.length - last.length
  return true
}

/** What providers send for what they leave out. */
export const isEmpty = (value: unknown): boolean =>
  value === undefined ||
  value === null ||
  value === "" ||
  (typeof value === "object" && Object.keys(value).length === 0)

// -----------------------------------------------------------------------------
// finish
// -----------------------------------------------------------------------------

type FinishReason = "stop" | "length" | "content-filter" | "tool-calls" | "error" | "other" | "unknown"

export const onHalt = ({ finishReason, serviceTier, usage }: State) => ({
  isComplete: finishReason !== undefined,
  finishReason: finishReasonOf(finishReason),
  providerFinishReason: finishReason,
  usage: usage && toUsage(usage),
  metadata: serviceTier === undefined ? usage && { usage } : { usage, serviceTier }
})

const finishReasonOf = (word: string | undefined): FinishReason => {
  switch (word) {
    case "stop":
    case "end_turn":
      return "stop"
    case "length":
    case "max_tokens":
    case "model_length":
      return "length"
    case "content_filter":
      return "content-filter"
    case "tool_calls":
    case "function_call":
      return "tool-calls"
    case "error":
    case "insufficient_system_resource":
      return "error"
    case undefined:
      return "unknown"
    default:
      return "other"
  }
}

/** Usage of a chunk or a choice, where the servers put it. */
const usageOf = (body: UnknownRecord): UnknownRecord | undefined =>
  record(body["usage"]) ?? record(record(body["x_groq"])?.["usage"])

const toUsage = (usage: UnknownRecord) => {
  const inputDetails = record(usage["prompt_tokens_details"])
  return inclusive({
    input: number(usage["prompt_tokens"]),
    output: number(usage["completion_tokens"]),
    total: number(usage["total_tokens"]),
    cacheRead:
      number(inputDetails?.["cached_tokens"]) ??
      number(usage["prompt_cache_hit_tokens"]) ??
      number(usage["cached_tokens"]),
    cacheWrite: number(inputDetails?.["cache_write_tokens"]),
    reasoning:
      number(record(usage["completion_tokens_details"])?.["reasoning_tokens"]) ?? number(usage["reasoning_tokens"])
  })
}

/** Counts in which the input has what was cached and the output has the reasoning. */
export const inclusive = ({
  cacheRead,
  cacheWrite,
  input,
  output,
  reasoning,
  total
}: {
  readonly input: number | undefined
  readonly output: number | undefined
  readonly total: number | undefined
  readonly cacheRead: number | undefined
  readonly cacheWrite: number | undefined
  readonly reasoning: number | undefined
}) => {
  // xAI counts reasoning beside the completion and not in it; its total tells.
  const isBeside =
    input !== undefined && output !== undefined && reasoning !== undefined && reasoning > 0
      ? total === input + output + reasoning
      : false
  const outputTotal = isBeside ? output! + reasoning! : output
  return {
    inputTokens: { total: input, cacheRead, uncached: difference(input, cacheRead), cacheWrite },
    outputTokens: { total: outputTotal, reasoning, text: difference(outputTotal, reasoning) }
  }
}
