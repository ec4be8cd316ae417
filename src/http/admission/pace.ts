import { weightOf } from './request-cost.ts'
import { judgedEveryMs } from './standing-queue.ts'

/** How long measuring the price of a request may take, and how many requests it needs. */
const longestMeasureMs = 1_000
const fewRequests = 5
/**
 * A request does most of its work later if it costs more than this many times its start, and half a millisecond more:
 * refusals cost something too.
 */
const dearRatio = 3
const dearMs = 0.5
/**
 * How fast the bucket fills. A little faster than time passes, or the queue would never end; slower while the loop is late.
 */
const usualRate = 1.25
const lateRate = 0.8
const lateMs = 20
/** After the loop has waited for this long, one more request may start at once. */
const idleOfOneMs = 0.5

/**
 * Limits how fast handlers start when most of their work comes later, as after `await`. Starting them takes the loop next to
 * nothing, so a turn's budget would start dozens, whose work then comes at once. The limit is a bucket of milliseconds: time
 * fills it, and each start takes what recent requests cost in all.
 */
export class Pace {
  /** What a start takes from the bucket: 0 while requests do most of their work at once. */
  priceMs: number
  /** What a request takes of the loop from its start to its first wait. */
  startCostMs = 0
  readonly #turnMs: number
  #tokensMs: number
  #filledAt = 0
  #idleAtFill = 0
  #unusedIdleMs = 0
  /** What the latest requests cost in all, newest first. */
  #costs: readonly number[] = []
  /** 0 before the first look. What happened until then, such as the start of the process, must not count as a cost. */
  #measuredAt = 0
  #unspentAtMeasure = 0
  #endedAtMeasure = 0

  /** @param turnMs - what one turn may spend */
  constructor(turnMs: number) {
    this.#turnMs = turnMs
    this.#tokensMs = turnMs
    // The price is not known yet: start only a few at once.
    this.priceMs = turnMs / 8
  }

  get allowsStart(): boolean {
    return this.#tokensMs > 0
  }

  /** Takes the price of a request that starts. Requests that are turned away take nothing. */
  spend(): void {
    this.#tokensMs -= this.priceMs
  }

  /** Adds to {@link startCostMs}. */
  addStarts(tookMs: number, requests: number): void {
    const eachMs = tookMs / requests
    this.startCostMs =
      this.startCostMs === 0 ? eachMs : this.startCostMs + weightOf(requests) * (eachMs - this.startCostMs)
  }

  /**
   * @param idle - how long the loop has waited in all
   * @param busyMs - how long it has been at other work than reading requests since the last turn's work
   */
  refill(now: number, idle: number, busyMs: number): void {
    const waitedMs = idle - this.#idleAtFill
    if (this.priceMs > 0) {
      const isLate = busyMs - waitedMs > lateMs
      const filledMs = this.#tokensMs + (now - this.#filledAt) * (isLate ? lateRate : usualRate)
      this.#tokensMs = Math.min(2 * Math.max(this.#turnMs, this.priceMs), filledMs)
      this.#unusedIdleMs += waitedMs
      if (this.#unusedIdleMs >= idleOfOneMs) {
        this.#unusedIdleMs = 0
        if (this.#tokensMs <= 0) this.#tokensMs = Number.MIN_VALUE
      }
    } else this.#tokensMs = this.#turnMs
    this.#filledAt = now
    this.#idleAtFill = idle
  }

  /** Whether {@link measure} has something to do. */
  isMeasureDue(now: number): boolean {
    return now - this.#measuredAt > judgedEveryMs
  }

  /**
   * Measures what requests cost the loop.
   *
   * @param unspent - how long the loop has waited, or turned requests away, in all
   * @param ended - number of requests that have ended in all. Requests that have only started may still have work to do
   */
  measure(now: number, unspent: number, ended: number): void {
    const spanMs = now - this.#measuredAt
    const count = ended - this.#endedAtMeasure
    if (this.#measuredAt > 0 && spanMs <= longestMeasureMs) {
      if (count < fewRequests) return
      this.#costs = [(spanMs - (unspent - this.#unspentAtMeasure)) / count, ...this.#costs.slice(0, 2)]
      // The median of three, or the lower of two, so that one stall does not set the price.
      const costMs = this.#costs.toSorted((a, b) => a - b)[Math.ceil(this.#costs.length / 2) - 1] as number
      this.priceMs = costMs > dearRatio * this.startCostMs + dearMs ? costMs : 0
    }
    this.#measuredAt = now
    this.#unspentAtMeasure = unspent
    this.#endedAtMeasure = ended
  }
}
