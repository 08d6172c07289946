/**
 * Waits until it is woken, and misses no waking: a fiber may have to yield between the look that found nothing and the wait.
 * Whoever was interrupted meanwhile takes nothing away: what comes is for the next look.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"

/**
 * One waits, anybody wakes.
 *
 * @category models
 * @since 0.1.0
 */
export class Waiter {
  private isWoken = false
  private waiting: (() => void) | undefined

  /** To be called before each look. A wait that is still there by then was interrupted. */
  clear(): void {
    this.isWoken = false
    this.waiting = undefined
  }

  /** Goes on when woken: also if that was since the last `clear`. `then` is called by the fiber that waits, if it still does. */
  wait<A, E, R>(then: () => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    const woken = Effect.suspend(then)
    return Effect.callback((resume) => {
      if (this.isWoken) resume(woken)
      else this.waiting = () => resume(woken)
    })
  }

  wake(): void {
    const { waiting } = this
    this.waiting = undefined
    if (waiting === undefined) this.isWoken = true
    else waiting()
  }
}
