/**
 * The demo: a model's answer through the pipeline, as it streams. `npm run demo -- --help` explains it.
 *
 * The pipeline is in `main`. What it is made of: `demo/options.ts` reads the command line, `demo/source.ts` chooses who
 * answers (a provider of its own, a recording, a server), `demo/stages.ts` what is between, `demo/view.ts` shows events and figures, `demo/recipe.ts` a JSON
 * object that fills in.
 */
import { Console, Effect, Stream } from "effect"
import { ContentFilter, StreamCallbacks, StreamHandler, StreamModel } from "../src/index.ts"
import * as Guard from "./demo/guard.ts"
import * as Main from "./demo/main.ts"
import * as Options from "./demo/options.ts"
import * as Recipe from "./demo/recipe.ts"
import * as Source from "./demo/source.ts"
import * as Stages from "./demo/stages.ts"
import * as Terminal from "./demo/terminal.ts"
import * as View from "./demo/view.ts"

const main = Effect.gen(function* () {
  const options = yield* Options.parse(process.argv.slice(2))
  if (options.help) return yield* Console.log(Options.help)

  const source = yield* Source.choose(options)
  if (options.json) return yield* Effect.provide(Recipe.show(source), source.layer)
  const view = yield* View.make(source)
  const handler = yield* StreamHandler.make()
  yield* Effect.forkScoped(view.live(handler.stats))

  yield* StreamModel.stream({ prompt: source.prompt }).pipe(
    view.watch,
    Stages.make(options),
    options.guard
      ? ContentFilter.make({ rules: Guard.rules(source.secrets), replacement: View.redacted })
      : ContentFilter.make({ patterns: source.secrets, replacement: View.redacted }),
    handler.events,
    Stream.runForEach(view.show),
    Effect.provide(StreamCallbacks.layer({ onExit: view.summary })),
    Effect.provide(source.layer)
  )
})

main.pipe(Effect.scoped, Effect.provide(Terminal.layer), Main.reportFailure, Main.runMain)
