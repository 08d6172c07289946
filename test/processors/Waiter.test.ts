import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { Waiter } from "../../src/processors/Waiter.ts"

const makeWait = (waiter: Waiter) => {
  let count = 0
  return waiter.wait(() => Effect.sync(() => ++count))
}

describe("Waiter", () => {
  it.effect("goes on when woken, once for each time", () =>
    Effect.gen(function* () {
      const waiter = new Waiter()
      const wait = makeWait(waiter)
      for (const expected of [1, 2, 3]) {
        waiter.clear()
        const fiber = yield* Effect.forkChild(wait, { startImmediately: true })
        yield* Effect.yieldNow
        assert.isUndefined(fiber.pollUnsafe())
        waiter.wake()
        assert.strictEqual(yield* Fiber.join(fiber), expected)
      }
    })
  )

  it.effect("does not wait where it was woken since it looked", () =>
    Effect.gen(function* () {
      const waiter = new Waiter()
      const wait = makeWait(waiter)
      waiter.wake()
      waiter.clear()
      waiter.wake()
      assert.strictEqual(yield* wait, 1)
      waiter.clear()
      const fiber = yield* Effect.forkChild(wait, { startImmediately: true })
      yield* Effect.yieldNow
      assert.isUndefined(fiber.pollUnsafe())
      yield* Fiber.interrupt(fiber)
    })
  )

  it.effect("is not woken in place of one that was interrupted", () =>
    Effect.gen(function* () {
      const waiter = new Waiter()
      const wait = makeWait(waiter)
      yield* Fiber.interrupt(yield* Effect.forkChild(wait, { startImmediately: true }))
      waiter.clear()
      waiter.wake()
      assert.strictEqual(yield* wait, 1)
    })
  )
})
