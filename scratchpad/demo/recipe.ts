/**
 * A recipe that fills in while the model writes it: `--json`.
 *
 * A terminal shows the whole object, drawn anew with each partial, with a cursor in what is still open. A pipe gets a line for
 * each value, as soon as it is whole.
 */
import { Effect, Schema, Stream } from "effect"
import { JsonStream, StreamEvent, StreamHandler, StreamModel } from "../../src/index.ts"
import type { Source } from "./source.ts"
import { Terminal } from "./terminal.ts"

const Recipe = Schema.Struct({
  title: Schema.String,
  level: Schema.Literals(["easy", "medium", "hard"]),
  serves: Schema.Number,
  ingredients: Schema.Array(Schema.Struct({ name: Schema.String, grams: Schema.Number })),
  steps: Schema.Array(Schema.String)
})

export const show = Effect.fnUntraced(function* (source: Source) {
  const terminal = yield* Terminal
  yield* terminal.write(`${source.title}\n`, "dim")
  yield* terminal.write(`> ${source.prompt}\n\n`, "bold")
  const options = { response_format: { type: "json_object" } }
  const told = new Set<string>()

  yield* StreamModel.stream({ prompt: source.prompt, options }).pipe(
    StreamHandler.events(),
    StreamEvent.text,
    JsonStream.partials(Recipe),
    Stream.runForEach((recipe) => {
      const isComplete = recipe._tag === "Complete" ? () => true : recipe.isComplete
      if (terminal.isLive) return terminal.redraw(draw(recipe.value, isComplete, [], ""))
      const news = leaves(recipe.value, []).filter(({ path }) => isComplete(path) && !told.has(path.join("/")))
      for (const { path } of news) told.add(path.join("/"))
      return terminal.write(news.map(({ path, value }) => `/${path.join("/")} ${JSON.stringify(value)}\n`).join(""))
    })
  )
  if (terminal.isLive) yield* terminal.write("\n")
  yield* terminal.write("The recipe is whole, and fits its schema.\n", "green")
})

type Path = ReadonlyArray<string | number>

/** JSON in lines, with a cursor behind a string that is open, and at the end of a container that is. */
const draw = (value: unknown, isComplete: (path: Path) => boolean, path: Path, indent: string): string => {
  const cursor = isComplete(path) ? "" : "▌"
  if (typeof value === "string")
    return cursor === "" ? JSON.stringify(value) : JSON.stringify(value).slice(0, -1) + cursor
  if (typeof value !== "object" || value === null) return JSON.stringify(value)
  const isArray = Array.isArray(value)
  const lines = Object.entries(value).map(([key, child]) => {
    const label = isArray ? "" : `${JSON.stringify(key)}: `
    return `${indent}  ${label}${draw(child, isComplete, [...path, isArray ? Number(key) : key], `${indent}  `)}`
  })
  const [open, close] = isArray ? ["[", "]"] : ["{", "}"]
  if (lines.length === 0) return cursor === "" ? `${open}${close}` : `${open}${cursor}`
  return `${open}\n${lines.join(",\n")}${cursor === "" ? `\n${indent}${close}` : ""}`
}

/** What is no container, with its path. */
const leaves = (value: unknown, path: Path): ReadonlyArray<{ readonly path: Path; readonly value: unknown }> =>
  typeof value === "object" && value !== null
    ? Object.entries(value).flatMap(([key, child]) =>
        leaves(child, [...path, Array.isArray(value) ? Number(key) : key])
      )
    : [{ path, value }]
