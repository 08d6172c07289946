import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber, Scheduler, Scope } from "effect"
import { TestClock } from "effect/testing"
import { Alarm } from "../../src/processors/Alarm.ts"

/** An alarm for `times.due`, and the seconds at which it rang. */
const makeAlarm = Effect.gen(function* () {
  const clock = yield* Clock.Clock
  const scope = yield* Scope.make()
  const now = () => clock.currentTimeMillisUnsafe()
  const since = now()
  const times = { due: Infinity, rings: [] as Array<number> }
  const due = () => (times.due === Infinity ? Infinity : since + times.due * 1_000)
  const alarm = new Alarm(scope, now, due, () => {
    times.rings.push((now() - since) / 1_000)
    times.due = Infinity
  })
  const setTo = (seconds: number) => {
    times.due = seconds
    return alarm.set(Effect.void)
  }
  const pass = (seconds: number) => TestClock.adjust(seconds * 1_000)
  return { times, setTo, pass, scope }
})

describe("Alarm", () => {
  it.effect("rings when it is due, and each time it is set", () =>
    Effect.gen(function* () {
      const { pass, setTo, times } = yield* makeAlarm
      yield* pass(1)
      assert.deepStrictEqual(times.rings, [])
      yield* setTo(3)
      yield* pass(1.999)
      assert.deepStrictEqual(times.rings, [])
      yield* pass(0.001)
      assert.deepStrictEqual(times.rings, [3])
      yield* pass(10)
      yield* setTo(14)
      yield* pass(10)
      assert.deepStrictEqual(times.rings, [3, 14])
      // What is due already rings at once.
      yield* setTo(20)
      yield* pass(0)
      assert.deepStrictEqual(times.rings, [3, 14, 23])
    })
  )

  it.effect("may be put off and be put forward", () =>
    Effect.gen(function* () {
      const { pass, setTo, times } = yield* makeAlarm
      yield* setTo(5)
      yield* pass(4)
      yield* setTo(9)
      yield* pass(4)
      yield* setTo(12)
      assert.deepStrictEqual(times.rings, [])
      yield* setTo(10)
      yield* setTo(Infinity)
      yield* pass(30)
      assert.deepStrictEqual(times.rings, [])
      yield* setTo(60)
      yield* setTo(40)
      yield* pass(2)
      assert.deepStrictEqual(times.rings, [40])
    })
  )

  it.effect("rings although who set it earlier was interrupted while it did so", () =>
    Effect.gen(function* () {
      for (let operations = 3; operations < 10; operations++) {
        for (let yields = 0; yields < 4; yields++) {
          const { pass, setTo, times } = yield* makeAlarm
          yield* setTo(60)
          const fiber = yield* Effect.forkChild(
            Effect.suspend(() => setTo(20)).pipe(Effect.provideService(Scheduler.MaxOpsBeforeYield, operations)),
            { startImmediately: true }
          )
          for (let n = 0; n < yields; n++) yield* Effect.yieldNow
          yield* Fiber.interrupt(fiber)
          yield* setTo(20)
          // Its sleeper has to yield, too.
          for (let n = 0; n < 100; n++) yield* Effect.yieldNow
          yield* pass(21)
          assert.deepStrictEqual(times.rings, [20], `${operations} operations, ${yields} yields`)
        }
      }
    })
  )

  it.effect("rings no more once its scope is closed", () =>
    Effect.gen(function* () {
      const { pass, scope, setTo, times } = yield* makeAlarm
      yield* setTo(5)
      yield* Scope.close(scope, yield* Effect.exit(Effect.void))
      yield* pass(10)
      assert.deepStrictEqual(times.rings, [])
    })
  )
})
