/**
 * Waits until it is woken, and misses no waking: a fiber may have to yield between the look that found nothing and the wait.
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

  /** To be called before each look. Who looks does not wait: if it did, it was interrupted. */
  clear(): void {
    this.isWoken = false
    this.waiting = undefined
  }

  /** Goes on when woken: also if that was since the last `clear`. */
  wait<A, E, R>(then: () => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.callback((resume) => {
      if (this.isWoken) resume(then())
      else this.waiting = () => resume(then())
    })
  }

  wake(): void {
    const { waiting } = this
    this.waiting = undefined
    if (waiting === undefined) this.isWoken = true
    else waiting()
  }
}
