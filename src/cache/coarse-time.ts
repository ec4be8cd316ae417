import { type Clock, systemClock } from '../shared/clock.ts'

const maxUses = 1_000

/**
 * The time, read from the system at most once a millisecond, because reading it costs as much as a lookup in memory. A clock
 * given by the user is asked every time.
 */
export class CoarseTime {
  readonly #clock: Clock
  readonly #isCoarse: boolean
  #cached = 0
  #usesLeft = 0
  #timer: NodeJS.Timeout | undefined

  constructor(clock?: Clock) {
    this.#clock = clock ?? systemClock
    this.#isCoarse = clock === undefined
  }

  /** Milliseconds, up to one behind; more only within a piece of code that blocks the event loop. */
  now(): number {
    // Counted too, because no timer fires while promises follow upon promises.
    return this.#usesLeft-- > 0 ? this.#cached : this.exact()
  }

  exact(): number {
    const now = this.#clock()
    if (!this.#isCoarse) return now
    this.#cached = now
    this.#usesLeft = maxUses
    this.#timer ??= setTimeout(() => this.#forget(), 1).unref()
    return now
  }

  #forget(): void {
    this.#timer = undefined
    this.#usesLeft = 0
  }
}
