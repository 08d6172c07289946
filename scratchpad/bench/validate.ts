/**
 * What `StreamEvent.validate` costs beside a stage that does nothing.
 *
 * Run: `node --expose-gc scratchpad/bench/validate.ts`
 */
import { Cause, Effect, Stream } from "effect"
import { identity } from "effect/Function"
import { StreamEvent } from "../../src/index.ts"
import { bench, type Group } from "./harness.ts"
import { inArrays, makeTokens } from "./tokens.ts"

const count = 100_000
const events: ReadonlyArray<StreamEvent.StreamEvent> = [
  StreamEvent.start(0),
  ...makeTokens(count).map((token) => StreamEvent.delta(0, token)),
  StreamEvent.end(0, "stop")
]

type Events = Stream.Stream<StreamEvent.StreamEvent, unknown>

const source = (size: number): Events => {
  const arrays = inArrays(events, size)
  return Stream.fromPull(
    Effect.sync(() => {
      let n = 0
      return Effect.suspend(() =>
        n < arrays.length
          ? Effect.succeed(arrays[n++] as readonly [StreamEvent.StreamEvent, ...Array<StreamEvent.StreamEvent>])
          : Cause.done()
      )
    })
  )
}

const run = (size: number, stage: (self: Events) => Events) => {
  const stream = stage(source(size))
  return async () => {
    let seen = 0
    await Effect.runPromise(Stream.runForEachArray(stream, (events) => Effect.sync(() => (seen += events.length))))
    return seen
  }
}

/** What no stage that looks at its events can do without. */
const readTags = <A extends ReadonlyArray<StreamEvent.StreamEvent>>(events: A): A => {
  let errors = 0
  for (let i = 0; i < events.length; i++) if (events[i]!._tag === "Error") errors++
  if (errors > 0) throw new Error("there are none")
  return events
}

const group = (size: number): Group => ({
  name: `${size} per pull, ${count.toLocaleString("en-US")} tokens`,
  baseline: "an empty stage",
  work: { tokens: count },
  rounds: 15,
  jobs: [
    { name: "no stage", run: run(size, identity) },
    { name: "an empty stage", run: run(size, Stream.mapArray(identity)) },
    { name: "a stage that reads each tag", run: run(size, Stream.mapArray(readTags)) },
    { name: "validate", run: run(size, StreamEvent.validate) }
  ]
})

await bench([group(1), group(16), group(256)])
