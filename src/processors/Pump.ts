/**
 * A stream that is pulled by a fiber of its own, once for each time it is asked: who waits for it may do something else
 * meanwhile, or be interrupted, and the pull goes on.
 *
 * @since 0.1.0
 */
import type * as Arr from "effect/Array"
import type * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Waiter } from "./Waiter.ts"

/**
 * What a stream gave, or ended with.
 *
 * @category models
 * @since 0.1.0
 */
export type News<A, E> = Arr.NonEmptyReadonlyArray<A> | Exit.Failure<never, E | Cause.Done>

/**
 * A stream that waits to be asked. It has one consumer.
 *
 * @category models
 * @since 0.1.0
 */
export class Pump<A, E> {
  private readonly scope: Scope.Closeable
  private fiber: Fiber.Fiber<never, E | Cause.Done> | undefined
  private news: News<A, E> | undefined
  private isAsked = false
  private pullOn = constVoid
  private readonly consumer = new Waiter()

  /** Opening the stream is a part of its first pull, for it may fail or take its time. */
  static open<A, E, R>(stream: Stream.Stream<A, E, R>): Effect.Effect<Pump<A, E>, never, R> {
    return Effect.flatMap(Scope.make(), (scope) => {
      const pump = new Pump<A, E>(scope)
      return Effect.map(Effect.forkDetach(pump.run(stream), { startImmediately: true }), (fiber) => {
        pump.fiber = fiber
        fiber.addObserver((exit) => {
          if (Exit.isFailure(exit)) pump.give(exit)
        })
        return pump
      })
    })
  }

  private constructor(scope: Scope.Closeable) {
    this.scope = scope
  }

  private run<R>(stream: Stream.Stream<A, E, R>): Effect.Effect<never, E | Cause.Done, R> {
    type Run = Effect.Effect<never, E | Cause.Done, R>
    const asked = (then: Run): Run => {
      const wait: Run = Effect.callback((resume) => {
        // It may have been since the look below, if the fiber had to yield.
        if (this.isAsked) resume(then)
        else this.pullOn = () => resume(then)
      })
      return Effect.suspend(() => (this.isAsked ? then : wait))
    }
    return asked(
      Effect.flatMap(Channel.toPullScoped(Stream.toChannel(stream), this.scope), (upstream) => {
        const pull: Run = Effect.flatMap(upstream, (values) => {
          this.give(values)
          return next
        })
        const next = asked(pull)
        return pull
      })
    )
  }

  private give(news: News<A, E>): void {
    this.news = news
    this.isAsked = false
    this.wake()
  }

  /** Has the stream pulled, unless it is being pulled or what came was not taken. */
  ask(): void {
    if (this.isAsked || this.news !== undefined) return
    this.isAsked = true
    const pull = this.pullOn
    this.pullOn = constVoid
    pull()
  }

  /** What has come, once; the end again and again. A `wake` before it counts no more. */
  take(): News<A, E> | undefined {
    const { news } = this
    if (news === undefined || !("cause" in news)) this.news = undefined
    this.consumer.clear()
    return news
  }

  /** Goes on when there are news, or when woken: also if that was since `take` was last called. */
  untilNews<B, E2, R>(then: () => Effect.Effect<B, E2, R>): Effect.Effect<B, E2, R> {
    return this.consumer.wait(then)
  }

  /** Whoever waits goes on. */
  wake(): void {
    this.consumer.wake()
  }

  /** Asks, and waits for what comes, or for being woken. */
  readonly ready: Effect.Effect<void> = Effect.suspend(() => {
    this.ask()
    return this.news === undefined ? this.untilNews(() => Effect.void) : Effect.void
  })

  /** Runs it to its end, and lets it go. */
  drain(each: (news: News<A, E>) => Effect.Effect<void>): Effect.Effect<void> {
    const rest: Effect.Effect<void> = Effect.flatMap(this.ready, () => {
      const news = this.take()
      if (news === undefined) return rest
      return "cause" in news ? each(news) : Effect.andThen(each(news), rest)
    })
    return Effect.onExit(rest, (exit) => this.close(exit))
  }

  /** Interrupts a pull that goes on; none comes behind it. */
  get interrupt(): Effect.Effect<void> {
    return Effect.suspend(() => Fiber.interrupt(this.fiber!))
  }

  /** Interrupts it, and lets it go. */
  close(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> {
    return Effect.uninterruptible(Effect.andThen(this.interrupt, Scope.close(this.scope, exit)))
  }
}

const constVoid = (): void => {}
