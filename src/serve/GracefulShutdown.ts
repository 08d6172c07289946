/**
 * A server that stops: it takes no new connection, lets the responses that are running finish for a while, and then ends the
 * rest with the error frame of their protocol, so that each client knows that it has not the whole.
 *
 * Without it a server that stops waits for its own time, and then breaks the connections off.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"

/**
 * Why a response ends whose server stops. Clients see code and message of it: `ServerShutdown`, to be tried again.
 *
 * @category errors
 * @since 0.1.0
 */
export class ServerShutdown extends Data.TaggedError("ServerShutdown") {
  override readonly message = "The server is shutting down"
}

/**
 * The responses of a server that have not ended.
 *
 * @category models
 * @since 0.1.0
 */
export interface Responses {
  /** Whether they must not go on, and none begin. */
  readonly isOver: boolean
  /** Adds one, by what ends it; gives what takes it out again. */
  readonly add: (end: () => void) => () => void
  /** Runs what goes on when its client has left, until the server has stopped. */
  readonly fork: (rest: Effect.Effect<void>) => Effect.Effect<unknown>
}

/**
 * The responses of the server that handles a request. Every response of this library adds itself. Where no
 * {@link within} is, nothing ends them.
 *
 * @category services
 * @since 0.1.0
 */
export const Running = Context.Reference<Responses>("effect-llm-streaming/GracefulShutdown/Running", {
  defaultValue: () => ({ isOver: false, add: () => () => {}, fork: Effect.forkDetach })
})

/**
 * Gives the responses of a server so much time to finish when it stops.
 *
 * **Details**
 *
 * The time begins when the Layer is released, as `Layer.launch` under `NodeRuntime.runMain` does on SIGTERM, and ends early
 * with the last response. Whoever is left then gets the error frame `ServerShutdown`, and its source is interrupted; a
 * response that has not begun is a status 503. What runs on without a client (`onDisconnect: "continue"`) has the same time.
 *
 * **Gotchas**
 *
 * It wraps the Layer that serves, not the server's. The server has a patience of its own (`gracefulShutdownTimeout` of
 * `NodeHttpServer`, 20 seconds by default), which must be longer than this time: behind it the connections break off, as
 * does that of a client that does not read. Connections that clients keep open between requests are closed by Node when
 * these have been idle for its `keepAliveTimeout`, 5 seconds by default, and the stop waits for that too.
 *
 * A time of less than 0 throws a `RangeError`.
 *
 * **Example** (A backend that is told to stop)
 *
 * ```ts no-run
 * import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
 * import { Layer, Stream } from "effect"
 * import { HttpServer } from "effect/http"
 * import { GracefulShutdown, SseResponse, StreamEvent } from "effect-llm-streaming"
 * import { createServer } from "node:http"
 *
 * const answer = Stream.make("Hello").pipe(StreamEvent.fromText, SseResponse.make())
 * const Server = HttpServer.serve(answer).pipe(
 *   GracefulShutdown.within("10 seconds"),
 *   Layer.provide(NodeHttpServer.layer(createServer, { port: 3000 }))
 * )
 * NodeRuntime.runMain(Layer.launch(Server))
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const within = (grace: Duration.Input) => {
  const duration = Duration.fromInputUnsafe(grace)
  if (Duration.isLessThan(duration, Duration.zero)) {
    throw new RangeError(`The time for running responses must be 0 or longer, got ${Duration.format(duration)}`)
  }
  return <A, E, R>(serving: Layer.Layer<A, E, R>): Layer.Layer<A, E, R> =>
    Layer.unwrap(
      Effect.map(make(duration), ({ begin, responses }) =>
        // Built behind the server, and so released before it: nothing is waited for here, the server closes at once.
        Layer.effectDiscard(Effect.addFinalizer(() => begin)).pipe(
          Layer.provideMerge(serving),
          Layer.provide(Layer.succeed(Running, responses))
        )
      )
    )
}

const make = Effect.fnUntraced(function* (grace: Duration.Duration) {
  const ends = new Set<() => void>()
  /** What goes on without a client. */
  const rest = yield* Scope.make()
  let isOver = false
  let onIdle = constVoid
  let timer: Fiber.Fiber<void> | undefined

  const endAll = Effect.suspend(() => {
    isOver = true
    const count = ends.size
    if (count === 0) return Effect.void
    ends.forEach((end) => end())
    return Effect.logInfo(`Ended ${count} responses that were still running after ${Duration.format(grace)}`)
  })
  const begin = Effect.map(Effect.forkDetach(Effect.andThen(Effect.sleep(grace), endAll)), (fiber) => {
    timer = fiber
  })
  const idle = Effect.callback<void>((resume) => {
    if (ends.size === 0) return resume(Effect.void)
    onIdle = () => resume(Effect.void)
  })
  yield* Effect.addFinalizer((exit) =>
    Effect.suspend(() => (timer === undefined ? Effect.void : Effect.raceFirst(idle, Fiber.await(timer)))).pipe(
      Effect.andThen(Effect.suspend(() => (timer === undefined ? Effect.void : Fiber.interrupt(timer)))),
      Effect.andThen(Scope.close(rest, exit))
    )
  )

  const responses: Responses = {
    get isOver() {
      return isOver
    },
    add: (end) => {
      // Each is one of its own, also where the same function is added twice.
      const own = () => end()
      ends.add(own)
      return () => {
        ends.delete(own)
        if (ends.size === 0) onIdle()
      }
    },
    fork: (effect) => Effect.forkIn(effect, rest)
  }
  return { begin, responses }
})

const constVoid = (): void => {}
