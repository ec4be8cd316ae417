import type { LoopClocks } from './loop-clocks.ts'

/** Two looks within this time are the same turn: the idle time need not be read again. */
const sameTurnMs = 0.05
/** Polling for events that are already there takes up to this long. It does not count as waiting. */
const noIdleMs = 0.02
/** The loop has stalled when it was busy for longer than the first between two looks. Longer than the second is start-up. */
const shortestStallMs = 100
const longestStallMs = 2_000

/**
 * Measures for how long the event loop has worked without waiting for events. A loop that waited a moment ago has no work
 * left over, however long its turns are. Each request looks, so this allocates nothing.
 */
export class BusyLoop {
  /** The time of the latest {@link look}. */
  now: number
  /** Since when it has worked without waiting. */
  busySince: number
  readonly #clocks: LoopClocks
  #idle: number
  #lookedAt: number
  #graceUntil = -1e9

  constructor(clocks: LoopClocks) {
    this.#clocks = clocks
    this.now = this.busySince = this.#lookedAt = clocks.now()
    this.#idle = clocks.idle()
  }

  /**
   * Reads the clocks. The time for which the loop has been busy is an upper bound: if it waited since the last look, it
   * counts as having waited first and worked afterwards. Too high a bound delays a request by microseconds only.
   */
  look(): void {
    const now = this.#clocks.now()
    this.now = now
    if (now - this.#lookedAt < sameTurnMs) return
    const idle = this.#clocks.idle()
    const waitedMs = idle - this.#idle
    const busyMs = now - this.#lookedAt - waitedMs
    if (waitedMs > noIdleMs) this.busySince = this.#lookedAt + waitedMs
    if (busyMs > shortestStallMs && busyMs < longestStallMs && now - this.#graceUntil > longestStallMs) {
      this.#graceUntil = now + busyMs
    }
    this.#idle = idle
    this.#lookedAt = now
  }

  /** For how long the loop has worked without waiting, at the latest look. */
  get busyMs(): number {
    return this.now - this.busySince
  }

  /**
   * Whether a single stall ended less than its own length ago. Node accepts the clients that connected during the stall one
   * a turn, so the queue seems to grow just then.
   */
  get recoversFromStall(): boolean {
    return this.now < this.#graceUntil
  }
}
