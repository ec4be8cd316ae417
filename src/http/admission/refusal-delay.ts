import { judgedEveryMs } from './standing-queue.ts'

/** Shares of the loop that reading and refusing may take: with less, refusals need not wait; with more, they wait longer. */
const littleShare = 0.1
const muchShare = 0.25
const mostShare = 0.4
const shortestMs = 25
const longestMs = 100
/** The longest delay after so many judgements in a row at which refusals took most of the loop: code that is cold takes longer too. */
const longestForMostMs = 400
const lastingJudgements = 10
/** Multiples of it, without their whole part, spread evenly. */
const goldenRatio = 0.618

/**
 * For how long a refusal is held back. Clients that send again as soon as they are refused would take all of the loop: reading and
 * refusing them leaves no time for work. Held back, the same clients send less.
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

  /** Half as long to half as long again, so that clients do not come back together. */
  next(): number {
    this.#spread = (this.#spread + goldenRatio) % 1
    return this.#ms * (0.5 + this.#spread)
  }
}
