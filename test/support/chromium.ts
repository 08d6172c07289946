/** Chromium, driven without a window: `CHROMIUM` says where it is, Debian's place by default. */
import { Context, Effect, Layer, type Scope } from "effect"
import { existsSync, mkdirSync } from "node:fs"
import { tmpdir } from "node:os"
import * as Path from "node:path"
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core"

const executable = process.env["CHROMIUM"] ?? "/usr/bin/chromium"

/** Whether there is none; then it says which tests are skipped. */
export const isMissing = (tests: string): boolean => {
  if (existsSync(executable)) return false
  console.warn(`Skipped: ${tests}. There is no Chromium at ${executable}: apt-get install chromium, or set CHROMIUM.`)
  return true
}

export class Chromium extends Context.Service<Chromium, Browser>()("test/Chromium") {}

const flags = ["no-sandbox", "disable-gpu", "disable-quic", "no-first-run"]
// What it would ask its maker for by itself.
const offline = ["disable-background-networking", "disable-component-update", "disable-sync"]

export const layer: Layer.Layer<Chromium> = Layer.effect(
  Chromium,
  Effect.acquireRelease(
    Effect.promise(() =>
      chromium.launch({ executablePath: executable, args: [...flags, ...offline].map((flag) => `--${flag}`) })
    ),
    (browser) => Effect.promise(() => browser.close())
  )
)

export interface Visit {
  readonly page: Page
  /** The hosts that the page asked. */
  readonly hosts: ReadonlySet<string>
  /** What it wrote to its console, and what it did not catch. */
  readonly complaints: ReadonlyArray<string>
}

/** A page with nothing of another one's in it. */
export const visit = (
  url: string,
  options?: BrowserContextOptions
): Effect.Effect<Visit, never, Chromium | Scope.Scope> =>
  Effect.gen(function* () {
    const browser = yield* Chromium
    const context = yield* Effect.acquireRelease(
      Effect.promise(() => browser.newContext(options)),
      (context) => Effect.promise(() => context.close())
    )
    const page = yield* Effect.promise(() => context.newPage())
    // The test's own limit counts, however busy the machine.
    page.setDefaultTimeout(0)
    const hosts = new Set<string>()
    const complaints: Array<string> = []
    page.on("request", (request) => hosts.add(new URL(request.url()).host))
    page.on("console", (message) => complaints.push(message.text()))
    page.on("pageerror", (error) => complaints.push(String(error)))
    yield* Effect.promise(() => page.goto(url))
    return { page, hosts, complaints }
  })

/** Takes a picture of what is seen, for people to look at: in `ARTIFACTS`, or in the system's place for what may go. */
export const picture = async (page: Page, name: string): Promise<void> => {
  const directory = process.env["ARTIFACTS"] ?? Path.join(tmpdir(), "effect-llm-streaming")
  mkdirSync(directory, { recursive: true })
  await page.screenshot({ path: Path.join(directory, `${name}.png`) })
}
