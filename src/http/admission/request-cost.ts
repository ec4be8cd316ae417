/**
 * An average needs so many requests. Until then the cheapest request counts, because cold code and stalls make the others
 * expensive.
 */
const coldRequests = 16

/** The time that one request takes of the event loop, smoothed over the last few dozen. */
export class RequestCost {
  /** 0 until something was measured. */
  ms = 0
  #measured = 0

  /** Adds a stretch of time in which the loop did nothing but serve so many requests. */
  add(passedMs: number, requests: number): void {
    const eachMs = Math.max(0.001, passedMs / requests)
    this.#measured += requests
    if (this.#measured < coldRequests) this.ms = this.ms === 0 ? eachMs : Math.min(this.ms, eachMs)
    else this.ms += weightOf(requests) * (Math.min(eachMs, 3 * (this.ms || eachMs)) - this.ms)
  }
}

/** The weight of a sample of so many requests. */
export function weightOf(requests: number): number {
  return Math.min(0.5, 0.05 * requests)
}
