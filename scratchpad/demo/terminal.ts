/**
 * Where the demo writes: text, and below it one live line.
 *
 * A terminal gets words wrapped to its width and a live line that is always below the text, whatever the text does. A
 * pipe gets the text as it is. Colour is `util.styleText`'s business: it knows terminals, pipes, NO_COLOR and FORCE_COLOR.
 */
import { Context, Effect, Layer } from "effect"
import { styleText } from "node:util"
import { fitting, visible, Wrapper } from "./wrap.ts"

export type Style = Parameters<typeof styleText>[0]

export class Terminal extends Context.Service<
  Terminal,
  {
    /** Whether there is a live line. */
    readonly isLive: boolean
    /** Columns that a line may take; endless in a pipe. */
    readonly columns: Effect.Effect<number>
    readonly write: (text: string, style?: Style | undefined) => Effect.Effect<void>
    /** Shows lines in place of those that the last call showed; nothing may be written between. For terminals only. */
    readonly redraw: (text: string) => Effect.Effect<void>
    /** Begins a new block of text, one empty line below what there is. */
    readonly paragraph: Effect.Effect<void>
    /** Shows the live line, or takes it away. */
    readonly status: (line: string | undefined) => Effect.Effect<void>
  }
>()("demo/Terminal") {}

const paint = (style: Style, text: string): string => styleText(style, text, { stream: process.stdout })

const shorten = (line: string, columns: number): string => {
  const start = fitting(line, columns)
  return start === line ? line : `${fitting(line, columns - 1)}…`
}

const make = (stdout: NodeJS.WriteStream) => {
  const isLive = stdout.isTTY && process.env["TERM"] !== "dumb"
  // The last column stays free: some terminals go to the next line as soon as it is written to.
  const columns = () => (isLive ? Math.max((stdout.columns || 80) - 1, 10) : Number.POSITIVE_INFINITY)
  const wrapper = new Wrapper()
  let status: string | undefined
  let newlines = Number.POSITIVE_INFINITY

  /**
   * Writes at the end of the text. The live line is erased before (the text's end is where the cursor is, so everything
   * below it goes) and drawn again behind it: ESC D goes down and scrolls where needed, so that the position saved behind
   * it stays true.
   */
  const put = (text: string) => {
    if (!isLive) {
      stdout.write(text)
    } else if (status === undefined) {
      stdout.write(`\x1b[J${text}`)
    } else {
      stdout.write(`\x1b[J${text}\x1bD\x1bD\x1b[2A\x1b7\x1b[2B\r${paint("dim", shorten(status, columns()))}\x1b8`)
    }
  }

  const write = (text: string, style?: Style) => {
    const clean = visible(text)
    if (clean === "") return
    const colour = (piece: string) => (style === undefined ? piece : paint(style, piece))
    put(isLive ? wrapper.push(clean, columns(), colour) : colour(clean))
    const trailing = /\n*$/.exec(clean)![0].length
    newlines = trailing === clean.length ? newlines + trailing : trailing
  }

  let height = 0
  const redraw = (text: string) => {
    const rows = (stdout.rows || 24) - 1
    // What does not fit has scrolled away and cannot be drawn over: the last lines count.
    const shown = visible(text)
      .split("\n")
      .slice(-rows)
      .map((line) => shorten(line, columns()))
    put(`${height > 1 ? `\x1b[${height - 1}A` : ""}\r\x1b[J${shown.join("\n")}`)
    height = shown.length
    newlines = 0
  }

  return Terminal.of({
    isLive,
    columns: Effect.sync(columns),
    write: (text, style) => Effect.sync(() => write(text, style)),
    redraw: (text) => Effect.sync(() => redraw(text)),
    paragraph: Effect.sync(() => {
      if (newlines < 2) write("\n".repeat(2 - newlines))
    }),
    status: (line) =>
      Effect.sync(() => {
        if (!isLive || line === status) return
        status = line
        put("")
      })
  })
}

/** Standard output. At the end the live line goes. */
export const layer: Layer.Layer<Terminal> = Layer.effect(
  Terminal,
  Effect.acquireRelease(
    Effect.sync(() => make(process.stdout)),
    (terminal) => terminal.status(undefined)
  )
)
