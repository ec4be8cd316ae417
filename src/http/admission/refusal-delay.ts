import { judgedEveryMs } from './standing-queue.ts'

/**
 * Shares of the loop that reading and refusing take. Below the first, refusals wait less; above the second, they wait
 * longer.
 */
const littleShare = 0.1
const muchShare = 0.25
const mostShare = 0.4
const shortestMs = 25
const longestMs = 100
/**
 * The longest delay once refusals have taken most of the loop in more than so many judgements in a row. In fewer, cold code
 * may be the reason.
 */
const longestForMostMs = 400
const lastingJudgements = 10
/** The fractions of its multiples are spread evenly. */
const goldenRatio = 0.618

/**
 * Decides for how long a refusal is held back. Clients that send again as soon as they are refused would take all of the
 * loop: reading and refusing their requests leaves no time for work. If refusals are held back, the same clients send less.
 */
export class RefusalDelay {
  #ms = 0
  #spread = 0
  #judgedAt = 0
  #readAtJudgement = 0
  /** Number of judgements in a row at which refusals took most of the loop. */
  #most = 0

  /**
   * Call it once a turn.
   *
   * @param readMs - how long the loop has read and refused requests, in all
   */
  judge(now: number, readMs: number): void {
    const passedMs = now - this.#judgedAt
    if (passedMs < judgedEveryMs) return
    const share = (readMs - this.#readAtJudgement) / passedMs
    this.#judgedAt = now
    this.#readAtJudgement = readMs
    this.#most = share > mostShare ? this.#most + 1 : 0
    const mostMs = this.#most > lastingJudgements ? longestForMostMs : longestMs
    if (share < littleShare) this.#ms = this.#ms > shortestMs ? this.#ms / 2 : 0
    else if (share > muchShare && this.#ms < mostMs) this.#ms = Math.min(mostMs, Math.max(shortestMs, 2 * this.#ms))
  }

  /**
   * The delay of the next refusal: between half and one and a half times the present one, so that clients do not come back
   * together.
   */
  next(): number {
    this.#spread = (this.#spread + goldenRatio) % 1
    return this.#ms * (0.5 + this.#spread)
  }
}
