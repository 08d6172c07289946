/**
 * Rings at a time that may change: put off, it costs nothing. A fiber sleeps until the time that it was told and looks again;
 * only for a time that is earlier another one takes its place.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"

/**
 * An alarm. Times are milliseconds, by the clock that it is given.
 *
 * @category models
 * @since 0.1.0
 */
export class Alarm {
  private readonly scope: Scope.Scope
  private readonly due: () => number
  private sleeper: Fiber.Fiber<void> | undefined
  private looksAt = Infinity
  private readonly look: Effect.Effect<void>

  /** `due` says when to ring, or `Infinity`; the sleeper ends with the scope. */
  constructor(scope: Scope.Scope, now: () => number, due: () => number, ring: () => void) {
    this.scope = scope
    this.due = due
    this.look = Effect.suspend(() => {
      const at = due()
      const rest = Math.ceil(at - now())
      this.looksAt = rest > 0 ? at : Infinity
      if (at === Infinity) return Effect.void
      if (rest > 0) return Effect.andThen(Effect.sleep(rest), this.look)
      ring()
      return Effect.void
    })
  }

  /** Sets it for the time that is due now, and goes on. What is less than a millisecond earlier is not: timers know no less. */
  set<A, E, R>(then: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    const at = this.due()
    if (at === Infinity || at > this.looksAt - 1) return then
    return Effect.suspend(() => {
      this.sleeper?.interruptUnsafe()
      // Until the next one looks, for this fiber may be interrupted before that.
      this.looksAt = Infinity
      return Effect.flatMap(Effect.forkIn(this.look, this.scope, { startImmediately: true }), (sleeper) => {
        this.sleeper = sleeper
        return then
      })
    })
  }
}
