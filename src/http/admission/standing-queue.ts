/** How often the queue is judged. As CoDel's interval: longer than a request takes (RFC 8289, 4.3). */
export const judgedEveryMs = 100

/** So many points mean overload. In each interval, a standing queue gets one point, and a growing queue two or three. */
const pointsOfOverload = 3

/**
 * Tells a standing queue from one that drains by itself. As in CoDel (RFC 8289), the least length within an interval counts,
 * because each burst makes a queue. A stall can leave a queue that takes seconds to drain, so a queue that becomes shorter
 * is no overload. Lengths are given in milliseconds of work.
 */
export class StandingQueue {
  isOverload = false
  readonly #targetMs: number
  #leastMs = 0
  #lengthBefore = 0
  #points = 0
  #judgesAt = 0

  /** @param targetMs - a queue that is shorter than this at some moment of an interval is not standing */
  constructor(targetMs: number) {
    this.#targetMs = targetMs
  }

  /**
   * Looks at the queue after a turn's work.
   *
   * @param length - number of waiting requests
   * @param costMs - what one request costs the loop
   * @param isStall - whether a stall explains the queue
   * @param isCold - whether cold code explains a queue that does not grow fast
   */
  look(now: number, length: number, costMs: number, isStall: boolean, isCold: boolean): void {
    const lengthMs = length * costMs
    if (lengthMs < this.#leastMs) this.#leastMs = lengthMs
    const lateMs = now - this.#judgesAt
    if (lateMs < 0) return
    const isGone = lateMs > judgedEveryMs || this.#leastMs <= this.#targetMs
    // Compare numbers of requests, not times: the estimated cost changes too.
    const grownMs = (length - this.#lengthBefore) * costMs
    const grown = grownMs / judgedEveryMs
    if (isGone || isStall || grown < -0.1 || (isCold && grown < 0.6)) this.#points = 0
    else this.#points += grown > 1.5 ? 3 : grown > 0.3 ? 2 : 1
    if (this.#points >= pointsOfOverload) this.isOverload = true
    else if (isGone) this.isOverload = false
    this.#lengthBefore = length
    this.#leastMs = lengthMs
    this.#judgesAt = now + judgedEveryMs
  }
}
