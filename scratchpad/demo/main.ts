/**
 * The demo as Node's main program: what `@effect/platform-node` would do, in a few lines and without the dependency.
 */
import { Cause, Console, Effect, Predicate, Runtime } from "effect"
import { StreamError } from "../../src/index.ts"
import { visible } from "./wrap.ts"

// -----------------------------------------------------------------------------
// running
// -----------------------------------------------------------------------------

/**
 * Runs a program. Ctrl-C interrupts it, so that its finalizers stop the request and print what there is; another one, a
 * second later, kills it. A reader of stdout that leaves (`| head -1`) interrupts it too, but that is no failure.
 */
export const runMain = Runtime.makeRunMain(({ fiber, teardown }) => {
  let exitCode: number | undefined
  let leftAt = 0
  const leave = (code: number) => {
    exitCode ??= code
    leftAt ||= performance.now()
    fiber.interruptUnsafe()
  }
  const onSignal = (code: number) => () => {
    // npm passes Ctrl-C on to a process that has it from the terminal already, so two at once are one.
    if (exitCode !== undefined && performance.now() - leftAt > 1000) process.exit(code)
    leave(code)
  }
  process.on("SIGINT", onSignal(130))
  process.on("SIGTERM", onSignal(143))
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (exitCode === undefined && error.code !== "EPIPE") console.error(`demo: ${error.message}`)
    leave(error.code === "EPIPE" ? 0 : 1)
  })
  process.stderr.on("error", () => {})
  fiber.addObserver((exit) =>
    teardown(exit, (code) =>
      // Exits behind the last byte written, and does not wait for what lingers: an idle socket, an open stdin.
      process.stdout.write("", () => process.exit(exitCode ?? code))
    )
  )
})({ disableErrorReporting: true })

// -----------------------------------------------------------------------------
// failures
// -----------------------------------------------------------------------------

/** Says in one line on stderr why a program failed. Interruption is no failure. */
export const reportFailure = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.tapCause(self, (cause) =>
    Cause.hasInterruptsOnly(cause) ? Effect.void : Console.error(`demo: ${describe(Cause.squash(cause))}`)
  )

const maxLength = 300

const describe = (failure: unknown): string => {
  const line = visible(explain(failure).replace(/\s+/g, " ").trim())
  return line.length > maxLength ? `${line.slice(0, maxLength)}…` : line
}

const explain = (failure: unknown): string => {
  const message = Predicate.hasProperty(failure, "message") ? String(failure.message) : String(failure)
  if (!StreamError.isStreamError(failure)) return message
  const { reason } = failure
  if (reason._tag === "Truncated" && failure.partial?.stats?.firstTokenMs === undefined) {
    return `${message}: it held nothing of an answer`
  }
  return reason._tag === "MalformedFrame" && reason.cause instanceof Error
    ? `${message}: ${reason.cause.message}`
    : message
}
