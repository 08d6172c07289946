import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Scheduler, Stream } from "effect"
import { type News, Pump } from "../../src/processors/Pump.ts"

/** A number each time it is pulled, and how often that was. */
const numbers = () => {
  let count = 0
  const stream = Stream.fromPull(Effect.succeed(Effect.sync((): readonly [number] => [++count])))
  return { stream, pulls: () => count }
}

/** What came, as a consumer that does nothing else reads it. */
const next = <A, E>(pump: Pump<A, E>): Effect.Effect<News<A, E>> =>
  Effect.flatMap(pump.ready, () => {
    const news = pump.take()
    return news === undefined ? next(pump) : Effect.succeed(news)
  })

describe("Pump", () => {
  it.effect("pulls once for each time it is asked, and gives once what came", () =>
    Effect.gen(function* () {
      const { pulls, stream } = numbers()
      const pump = yield* Pump.open(stream)
      assert.strictEqual(pulls(), 0)
      pump.ask()
      pump.ask()
      assert.strictEqual(pulls(), 1)
      assert.deepStrictEqual(pump.take(), [1])
      assert.isUndefined(pump.take())
      assert.strictEqual(pulls(), 1)
      assert.deepStrictEqual(yield* next(pump), [2])
    })
  )

  it.effect("gives its end and its failure as news, those of its opening too", () =>
    Effect.gen(function* () {
      const opening = Stream.fromPull(Effect.as(Effect.fail("it does not open"), Cause.done()))
      const cases: ReadonlyArray<readonly [Stream.Stream<unknown, string>, string]> = [
        [Stream.fail("it fails"), "it fails"],
        [opening, "it does not open"],
        [Stream.unwrap(Effect.fail("no stream")), "no stream"],
        [Stream.empty, "done"]
      ]
      for (const [stream, expected] of cases) {
        const pump = yield* Pump.open(stream)
        assert.isUndefined(pump.take())
        const news = yield* next(pump)
        const error = Exit.isExit(news) ? Cause.squash(news.cause) : undefined
        assert.strictEqual(Cause.isDone(error) ? "done" : error, expected)
        assert.strictEqual(yield* next(pump), news)
      }
    })
  )

  it.effect("goes on pulling for a consumer that was interrupted, who finds it later", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<number>()
      const pump = yield* Pump.open(Stream.fromEffect(Deferred.await(gate)))
      const fiber = yield* Effect.forkChild(pump.ready, { startImmediately: true })
      yield* Fiber.interrupt(fiber)
      assert.isUndefined(pump.take())
      yield* Deferred.succeed(gate, 7)
      yield* Effect.yieldNow
      assert.deepStrictEqual(yield* next(pump), [7])
    })
  )

  it.effect("wakes who waits, and who is about to", () =>
    Effect.gen(function* () {
      const pump = yield* Pump.open(Stream.never)
      const wait = pump.untilNews(() => Effect.succeed("woken"))
      const fiber = yield* Effect.forkChild(wait, { startImmediately: true })
      pump.wake()
      assert.strictEqual(yield* Fiber.join(fiber), "woken")
      pump.wake()
      assert.strictEqual(yield* wait, "woken")
      // Who looks knows why it was woken.
      pump.wake()
      assert.isUndefined(pump.take())
      const waiting = yield* Effect.forkChild(wait, { startImmediately: true })
      yield* Effect.yieldNow
      assert.isUndefined(waiting.pollUnsafe())
      yield* pump.close(Exit.void)
    })
  )

  it.live("misses nothing, wherever its fiber and that of its consumer have to yield", () =>
    Effect.gen(function* () {
      const source = async function* () {
        for (let n = 0; n < 20; n++) {
          if (n % 2 === 0) await new Promise(setImmediate)
          yield n
        }
      }
      const all = Effect.gen(function* () {
        const pump = yield* Pump.open(Stream.fromAsyncIterable(source(), String))
        const seen: Array<number> = []
        for (;;) {
          const news = yield* next(pump)
          if (Exit.isExit(news)) return seen
          seen.push(...(news as ReadonlyArray<number>))
        }
      })
      for (let operations = 3; operations < 40; operations++) {
        const seen = yield* all.pipe(
          Effect.provideService(Scheduler.MaxOpsBeforeYield, operations),
          Effect.timeoutOrElse({ duration: "2 seconds", orElse: () => Effect.succeed("nothing more comes") })
        )
        assert.deepStrictEqual(
          seen,
          Array.from({ length: 20 }, (_, n) => n),
          `yielding every ${operations} operations`
        )
      }
    })
  )

  it.effect("interrupts the pull and releases the stream when it is closed, and at the end of a drain", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const noting = <A>(stream: Stream.Stream<A>) =>
        stream.pipe(Stream.onExit((exit) => Effect.sync(() => log.push(Exit.isSuccess(exit) ? "success" : "failure"))))
      const stalled = yield* Pump.open(noting(Stream.never))
      stalled.ask()
      yield* stalled.close(Exit.interrupt())
      assert.deepStrictEqual(log, ["failure"])
      const whole = yield* Pump.open(noting(Stream.make(1, 2, 3)))
      const seen: Array<unknown> = []
      yield* whole.drain((news) => Effect.sync(() => seen.push(Exit.isExit(news) ? "end" : news.length)))
      assert.deepStrictEqual(seen, [3, "end"])
      assert.deepStrictEqual(log, ["failure", "success"])
      // Never asked, it was never opened.
      const unused = yield* Pump.open(noting(Stream.make(1)))
      yield* unused.close(Exit.void)
      assert.strictEqual(log.length, 2)
    })
  )
})
