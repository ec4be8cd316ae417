import { type Clock, systemClock } from '../shared/time/clock.ts'

/** Smaller changes of the system's time are ignored: NTP makes them all day, and timestamps need not be more exact. */
const toleranceMs = 500
/** How many changes of the system's time are remembered. */
const maxShifts = 100

interface Shift {
  /** The reading of the monotonic clock from which the offset applies. */
  readonly from: number
  /** What to add to the monotonic clock. */
  readonly offsetMs: number
}

/**
 * Turns readings of the monotonic clock, which all durations are measured with, into timestamps. The monotonic clock stands
 * still while the machine is suspended, and does not see that the system's time was set, so it drifts away from the time of
 * day. A clock of the user's own is the time of day already.
 */
export class WallClock {
  readonly #clock: Clock
  readonly #shifts: Shift[] = [{ from: -Infinity, offsetMs: 0 }]
  #comparedAt = -Infinity

  constructor(clock: Clock) {
    this.#clock = clock
    this.compare()
  }

  /**
   * Compares the clocks. Called every second and before timestamps are written, so the time of a shift is known this
   * exactly.
   */
  compare(): void {
    if (this.#clock !== systemClock) return
    const now = systemClock()
    const offsetMs = Date.now() - now
    if (Math.abs(offsetMs - this.#shifts.at(-1)!.offsetMs) > toleranceMs) {
      this.#shifts.push({ from: this.#comparedAt, offsetMs })
      if (this.#shifts.length > maxShifts) this.#shifts.shift()
    }
    this.#comparedAt = now
  }

  /** Milliseconds since 1970, by the system's time, of a reading of the clock. */
  at(reading: number): number {
    this.compare()
    const shift = this.#shifts.findLast(({ from }) => from < reading) ?? this.#shifts[0]!
    return reading + shift.offsetMs
  }

  /** ISO 8601. */
  isoOf(reading: number): string {
    return new Date(this.at(reading)).toISOString()
  }
}
