import { type Clock, systemClock } from '../shared/clock.ts'

/**
 * The time, read from the system at most once a millisecond, because reading it costs as much as a lookup in memory. A clock
 * given by the user is asked every time.
 */
export class CoarseTime {
  readonly #clock: Clock
  readonly #isCoarse: boolean
  #cached = 0

  constructor(clock?: Clock) {
    this.#clock = clock ?? systemClock
    this.#isCoarse = clock === undefined
  }

  /** Milliseconds, up to one behind. It stands still while the event loop is blocked. */
  now(): number {
    return this.#cached === 0 ? this.exact() : this.#cached
  }

  exact(): number {
    const now = this.#clock()
    if (this.#isCoarse && this.#cached === 0) setTimeout(() => this.#forget(), 1).unref()
    if (this.#isCoarse) this.#cached = now
    return now
  }

  #forget(): void {
    this.#cached = 0
  }
}
