/** What the limits of one guard share. */
export interface LimitClock {
  /** Milliseconds since any moment. */
  readonly now: () => number
  /** How much of a latency the event loop may explain. */
  readonly loopMs: () => number
  /** Called when a request that had started has ended. */
  readonly onLeave: () => void
}

/** Stamps are whole numbers of this unit that wrap around, which a field takes without an allocation. */
const ticksPerMs = 100
/** How long a window lasts at least, and how many responses it needs. */
const windowMs = 100
const fewResponses = 10
/** A window that took longer has seen too little traffic to say anything. */
const longestWindowMs = 1_000
/**
 * Requests pile up when the number in flight grows by more than this share of the responses, in so many windows in a row.
 */
const leastGrowth = 0.1
const risingWindows = 3
/** No limit goes below this. */
const leastLimit = 4
/** The limit is removed after so many windows in which half of it was unused. */
const calmWindows = 50

/**
 * Limits how many requests of one kind may be in flight. There is no limit until requests become slow and pile up at the
 * same time: then something behind them is full, and more requests make it no faster. The limit follows from Little's law:
 * throughput times the latency without a queue. If the latency stays high although no more requests are in flight, the
 * dependency itself is slow, and the limit must not go down with it.
 */
export class ConcurrencyLimit {
  /** `Infinity` without a limit. */
  limit: number
  /** Requests whose handler has started. */
  inFlight = 0
  /** Requests that wait for the event loop. They count at the entrance, so that a burst does not pass the limit. */
  waiting = 0
  /** What it limits, for people. */
  readonly target: string
  readonly #clock: LimitClock
  readonly #isFixed: boolean
  #baseMs = 0
  #windowStart = 0
  #responses = 0
  #answered = 0
  #sumMs = 0
  /** The most requests in flight in this window, and the number in flight at the end of the last window. */
  #peak = 0
  #inFlightBefore = 0
  #risingWindows = 0
  #calmWindows = 0
  #limitedAt: number | undefined

  /** @param limit - a fixed limit; without one it follows throughput and latency */
  constructor(target: string, clock: LimitClock, limit?: number) {
    this.target = target
    this.#clock = clock
    this.#isFixed = limit !== undefined
    this.limit = limit ?? Infinity
  }

  get isFull(): boolean {
    return this.inFlight + this.waiting >= this.limit
  }

  /** Whether this object can be dropped without losing anything. */
  get isUnused(): boolean {
    return this.inFlight === 0 && this.waiting === 0 && this.limit === Infinity
  }

  /** Counts a request whose handler starts now; returns the stamp for {@link leave}. */
  enter(now: number): number {
    this.inFlight++
    if (this.inFlight > this.#peak) this.#peak = this.inFlight
    return (now * ticksPerMs) | 0
  }

  /**
   * Counts a request that has ended.
   *
   * @param outcome - of a request that tells how fast its kind is; `undefined` for others, such as errors and streams
   */
  leave(enteredAt: number, outcome: 'completed' | 'aborted' | undefined): void {
    this.inFlight--
    this.#clock.onLeave()
    if (this.#isFixed || outcome === undefined) return
    const now = this.#clock.now()
    this.#sumMs += ((now * ticksPerMs - enteredAt) | 0) / ticksPerMs
    this.#responses++
    if (outcome === 'completed') this.#answered++
    // Begin with the mean of the very first responses, because they met the shortest queue.
    if (this.#baseMs === 0 && this.#responses === fewResponses) this.#baseMs = this.#sumMs / fewResponses
    const passedMs = now - this.#windowStart
    if (passedMs < windowMs || this.#responses < fewResponses) return
    if (passedMs < longestWindowMs) this.#judge(this.#sumMs / this.#responses, this.#answered / passedMs, now)
    this.#windowStart = now
    this.#sumMs = this.#responses = this.#answered = 0
    this.#peak = this.inFlight
  }

  /** @param rate - responses a millisecond */
  #judge(meanMs: number, rate: number, now: number): void {
    const grown = this.inFlight - this.#inFlightBefore
    this.#risingWindows = grown >= Math.max(1, leastGrowth * this.#responses) ? this.#risingWindows + 1 : 0
    this.#inFlightBefore = this.inFlight
    this.#learnBase(meanMs)
    const isSlow = meanMs > 2 * this.#baseMs + this.#clock.loopMs()
    if (!isSlow) {
      this.#limitedAt = undefined
      this.#relax()
      return
    }
    if (this.limit === Infinity) {
      if (this.#risingWindows >= risingWindows) this.#limitTo(neededFor(rate, this.#baseMs), now)
      return
    }
    this.#limitedAt ??= now
    if (this.inFlight > this.limit) {
      // More requests are in flight than the new limit allows. They were queued, so their latency says nothing yet.
      this.#limitedAt = now
      return
    }
    if (now > this.#limitedAt + 2 * meanMs + 2 * windowMs) {
      this.#baseMs = meanMs
      this.limit = Math.max(this.limit, neededFor(rate, meanMs))
    } else if (neededFor(rate, this.#baseMs) < this.limit) this.#limitTo(neededFor(rate, this.#baseMs), now)
  }

  /** The latency without a queue: the least mean. It may grow slowly as long as nothing is limited. */
  #learnBase(meanMs: number): void {
    if (meanMs < this.#baseMs) this.#baseMs = (this.#baseMs + meanMs) / 2
    else if (this.limit === Infinity) this.#baseMs += 0.01 * (meanMs - this.#baseMs)
  }

  #limitTo(limit: number, now: number): void {
    this.limit = limit
    this.#limitedAt = now
    this.#calmWindows = 0
  }

  /** Raises a limit that requests reach, and removes one that they stay far below. */
  #relax(): void {
    if (this.limit === Infinity) return
    if (this.#peak >= this.limit) this.limit += Math.max(1, Math.round(this.limit * 0.1))
    else if (this.#peak < this.limit / 2 && ++this.#calmWindows > calmWindows) {
      this.limit = Infinity
      this.#calmWindows = 0
    }
  }
}

/** By Little's law, and half as much again. */
function neededFor(rate: number, baseMs: number): number {
  return Math.max(leastLimit, Math.ceil(rate * baseMs * 1.5) + 1)
}
