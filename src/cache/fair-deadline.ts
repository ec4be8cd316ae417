const ticksPerDeadline = 10

interface Waiting {
  ticksLeft: number
  /** Its place in the list, and -1 once it no longer waits. */
  place: number
  readonly expire: () => void
}

/**
 * A deadline that counts only time in which the event loop could have seen the answer. It is counted in ticks of a running
 * loop: a block of any length is one tick, and the last tick is followed by a poll for what already lies in the socket. One
 * timer serves all that wait, and stops once nothing does.
 *
 * A plain timer fires before the loop reads its sockets, so after a block every answer that has arrived looks late.
 */
export class FairDeadline {
  readonly ms: number
  /** A list, because a set gives every object a hash of its own first. */
  readonly #waiting: Waiting[] = []
  #timer: NodeJS.Timeout | undefined

  constructor(ms: number) {
    this.ms = ms
  }

  /** Settles like the work, or rejects with `late()` when the deadline passes first; `tooLate` gets what comes after that. */
  race<Value>(work: PromiseLike<Value>, late: () => unknown, tooLate?: (value: Value) => void): Promise<Value> {
    return new Promise<Value>((resolve, reject) => {
      const place = this.#waiting.length
      const waiting: Waiting = { ticksLeft: ticksPerDeadline, place, expire: () => reject(late()) }
      this.#waiting.push(waiting)
      this.#timer ??= setInterval(() => this.#tick(), Math.max(1, this.ms / ticksPerDeadline)).unref()
      work.then(
        (value) => {
          if (waiting.place === -1) return tooLate?.(value)
          this.#remove(waiting)
          resolve(value)
        },
        (error) => {
          this.#remove(waiting)
          reject(error)
        },
      )
    })
  }

  #tick(): void {
    // Not sooner: to start a timer for each answer takes as long as to read the answer.
    if (this.#waiting.length === 0) {
      clearInterval(this.#timer)
      this.#timer = undefined
    }
    const due = this.#waiting.filter((waiting) => --waiting.ticksLeft <= 0)
    if (due.length === 0) return
    afterPoll(() => this.#expire(due))
  }

  #expire(due: readonly Waiting[]): void {
    for (const waiting of due) {
      if (waiting.place === -1) continue
      this.#remove(waiting)
      waiting.expire()
    }
  }

  #remove(waiting: Waiting): void {
    const { place } = waiting
    if (place === -1) return
    const last = this.#waiting.pop() as Waiting
    if (last !== waiting) {
      this.#waiting[place] = last
      last.place = place
    }
    waiting.place = -1
  }
}

/** Runs the work once the event loop has read what lies in its sockets, which it does not do before a timer. */
export function afterPoll(work: () => void): void {
  // Two hops: the first runs after this turn's poll, the second after a whole further one.
  setImmediate(() => setImmediate(work))
}
