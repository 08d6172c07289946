/**
 * The demo's command line. An option is one entry of `flags`: it is parsed and explained from there.
 */
import { Data, Effect } from "effect"
import { existsSync } from "node:fs"
import { parseArgs } from "node:util"

const flags = {
  prompt: { type: "string", short: "p", value: "TEXT", help: "what to ask the model" },
  filter: { type: "string", short: "f", multiple: true, value: "TEXT", help: "redact TEXT too; may be repeated" },
  json: { type: "boolean", short: "j", help: "ask for a recipe as JSON, shown as it fills in" },
  guard: { type: "boolean", short: "g", help: "redact addresses, numbers and keys by their shape" },
  stop: { type: "string", short: "s", multiple: true, value: "TEXT", help: "end the answer before TEXT" },
  tokens: { type: "string", short: "t", value: "N", help: "end it behind N tokens (words)" },
  block: { type: "string", short: "b", multiple: true, value: "TEXT", help: "fail where a check finds TEXT" },
  smooth: { type: "boolean", help: "show whole words, at an even pace" },
  retry: { type: "boolean", help: "try again when nothing was shown yet" },
  pace: { type: "string", value: "MS", help: "pause between tokens, or pieces of FILE; 0: none" },
  help: { type: "boolean", short: "h", help: "explain this" }
} as const

export interface Options {
  readonly help: boolean
  /** A recipe as JSON, not an answer as text. */
  readonly json: boolean
  /** A recording, or `-` for standard input. */
  readonly file: string | undefined
  readonly prompt: string | undefined
  readonly filters: ReadonlyArray<string>
  /** Whether ready-made rules are applied too. */
  readonly guard: boolean
  readonly stop: ReadonlyArray<string>
  readonly tokens: number | undefined
  readonly block: ReadonlyArray<string>
  readonly smooth: boolean
  readonly retry: boolean
  /** Milliseconds. */
  readonly pace: number | undefined
}

export class UsageError extends Data.TaggedError("UsageError")<{ readonly message: string }> {}

export const parse = Effect.fnUntraced(function* (args: ReadonlyArray<string>): Effect.fn.Return<Options, UsageError> {
  const { positionals, values } = yield* Effect.try({
    try: () => parseArgs({ args: [...args], options: flags, allowPositionals: true }),
    catch: (error) => usage((error as Error).message.split(/\. |\n/)[0]!.replace(/\.$/, ""))
  })
  const file = positionals.length === 1 && isFile(positionals[0]!) ? positionals[0] : undefined
  const words = file === undefined ? positionals.join(" ") : ""
  if (values.prompt !== undefined && positionals.length > 0)
    return yield* usage(`--prompt and "${positionals[0]}" exclude each other`)
  if (values.prompt === "") return yield* usage("--prompt must not be empty")
  for (const name of ["filter", "stop", "block"] as const) {
    if (values[name]?.includes("") === true) return yield* usage(`--${name} must not be empty`)
  }
  const tokens = values.tokens === undefined ? undefined : Number(values.tokens)
  if (values.tokens === "" || (tokens !== undefined && !(tokens >= 0))) {
    return yield* usage(`--tokens must be a number, 0 or more, got "${values.tokens}"`)
  }
  const pace = values.pace === undefined ? undefined : Number(values.pace)
  if (values.pace === "" || (pace !== undefined && !(pace >= 0 && pace <= 60_000))) {
    return yield* usage(`--pace must be a number of milliseconds, 0 to 60000, got "${values.pace}"`)
  }
  if (values.json === true && file !== undefined) return yield* usage(`--json and "${file}" exclude each other`)
  return {
    help: values.help === true,
    json: values.json === true,
    file,
    prompt: values.prompt ?? (words || undefined),
    filters: values.filter ?? [],
    guard: values.guard === true,
    stop: values.stop ?? [],
    tokens,
    block: values.block ?? [],
    smooth: values.smooth === true,
    retry: values.retry === true,
    pace
  }
})

const usage = (problem: string) => new UsageError({ message: `${problem} (--help explains)` })

/** One argument is a file, unless it can only be a prompt. */
const isFile = (argument: string): boolean => !/\s/.test(argument) || existsSync(argument)

const flagsHelp = Object.entries(flags).map(([name, flag]) => {
  const short = "short" in flag ? `-${flag.short}, ` : "    "
  const value = "value" in flag ? ` ${flag.value}` : ""
  return `  ${`${short}--${name}${value}`.padEnd(20)}${flag.help}`
})

export const help = `Usage: npm run demo [-- [OPTION]... [FILE | - | PROMPT...]]

Shows a model's answer as it streams through the pipeline: its text, what the
content filter redacted, and the figures of the stream.

  (nothing)           ask a small provider of the demo's own (HTTP on loopback)
  FILE                play a recorded response of a model's API (the bytes of
                      its body); which API it is, its first frames tell
  -                   play one from standard input
  PROMPT...           ask this; a single word would be a FILE, so use -p for it

Options:
${flagsHelp.join("\n")}

Environment:
  LLM_BASE_URL        ask this OpenAI-compatible server, not the demo's own;
                      for example http://localhost:11434/v1
  LLM_MODEL           the model to ask there
  LLM_API_KEY         its key, where it wants one
  NO_COLOR            no colour

A terminal gets colour and a live line, a pipe gets plain text. Ctrl-C stops
the request and prints the figures so far (exit code 130). What fails says why
in one line on stderr (exit code 1).`
