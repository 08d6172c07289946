/**
 * One clock for the tokens of many streams, so that no side is charged with 1,000 timers of its own: a timer of 1 ms
 * releases those that are due.
 *
 * @since 0.1.0
 */

/** Releases waiters when they are due: one slot for each millisecond. */
export const makeWheel = () => {
  const slots = new Map<number, Array<() => void>>()
  const startedAt = performance.now()
  let done = 0
  const timer = setInterval(() => {
    const now = Math.floor(performance.now() - startedAt)
    for (; done <= now; done++) {
      const due = slots.get(done)
      if (due === undefined) continue
      slots.delete(done)
      for (const release of due) release()
    }
  }, 1)
  return {
    now: () => performance.now() - startedAt,
    wait: (at: number, release: () => void) => {
      const slot = Math.max(done, Math.ceil(at))
      const due = slots.get(slot)
      if (due === undefined) slots.set(slot, [release])
      else due.push(release)
    },
    stop: () => clearInterval(timer)
  }
}

export type Wheel = ReturnType<typeof makeWheel>

export const wait = (wheel: Wheel, at: number) => new Promise<void>((resolve) => wheel.wait(at, resolve))
