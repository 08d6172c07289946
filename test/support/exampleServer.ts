/** The example backend as a user starts it, in a process of its own. */
import { Effect, type Scope } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import * as Path from "node:path"

const program = Path.resolve(import.meta.dirname, "../../scratchpad/server.ts")

export interface ExampleServer {
  readonly url: string
  readonly child: ChildProcess
  /** Resolved once the server has printed what matches. */
  readonly printed: (pattern: RegExp) => Promise<RegExpExecArray>
}

export const serve = (
  environment?: Readonly<Record<string, string>>
): Effect.Effect<ExampleServer, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const env = { PORT: "0", ...environment }
      const child = spawn(process.execPath, [program], { env, stdio: ["ignore", "pipe", "inherit"] })
      let stdout = ""
      child.stdout.setEncoding("utf8").on("data", (text: string) => {
        stdout += text
      })
      const printed = (pattern: RegExp): Promise<RegExpExecArray> =>
        new Promise((resolve) => {
          const check = (): void => {
            const match = pattern.exec(stdout)
            if (match === null) return
            child.stdout.off("data", check)
            resolve(match)
          }
          child.stdout.on("data", check)
          check()
        })
      return { child, printed }
    }),
    ({ child }) =>
      Effect.promise(async () => {
        if (child.exitCode !== null || child.signalCode !== null) return
        const closed = once(child, "close")
        child.kill("SIGKILL")
        await closed
      })
  ).pipe(
    Effect.flatMap(({ child, printed }) =>
      Effect.promise(async () => ({ child, printed, url: (await printed(/Listening on (\S+)/))[1]! }))
    )
  )
