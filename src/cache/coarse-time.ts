import { type Clock, systemClock } from '../shared/clock.ts'

const maxUses = 1_000
/** 12 days; an entry that would be sure for longer is looked at more closely after that. */
const maxSmallInteger = 2 ** 30 - 1

/**
 * The time, read from the system at most once a millisecond, because reading it costs as much as a lookup in memory. A clock
 * given by the user is asked every time.
 */
export class CoarseTime {
  readonly #clock: Clock
  readonly #isCoarse: boolean
  readonly #start: number
  #cached = 0
  #cachedMs = 0
  #usesLeft = 0
  #timer: NodeJS.Timeout | undefined

  constructor(clock?: Clock) {
    this.#clock = clock ?? systemClock
    this.#isCoarse = clock === undefined
    this.#start = Math.floor(this.#clock())
  }

  /** Milliseconds, up to one behind; more only within a piece of code that blocks the event loop. */
  now(): number {
    // Counted too, because no timer fires while promises follow upon promises.
    return this.#usesLeft-- > 0 ? this.#cached : this.#refresh()
  }

  /** The same in whole milliseconds since the cache was made, rounded up: V8 keeps a small integer without a box. */
  sinceStart(): number {
    if (this.#usesLeft-- <= 0) this.#refresh()
    return this.#cachedMs
  }

  /** A time as {@link sinceStart} counts it, rounded down, and at most the largest small integer. */
  toSinceStart(time: number): number {
    return Math.max(0, Math.min(maxSmallInteger, Math.floor(time - this.#start)))
  }

  exact(): number {
    const time = this.#clock()
    if (this.#usesLeft > 0) this.#keep(time)
    return time
  }

  #refresh(): number {
    const time = this.#clock()
    this.#keep(time)
    if (this.#isCoarse) {
      this.#usesLeft = maxUses
      this.#timer ??= setTimeout(() => this.#forget(), 1).unref()
    }
    return time
  }

  #keep(time: number): void {
    this.#cached = time
    this.#cachedMs = Math.ceil(time - this.#start)
  }

  #forget(): void {
    this.#timer = undefined
    this.#usesLeft = 0
  }
}
