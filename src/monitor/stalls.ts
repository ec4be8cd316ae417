/** What the tracker runs on; a test hands in its own. */
export interface StallClocks {
  /** Makes the stamps; `undefined` when they are real time too. */
  readonly stamp: (() => number) | undefined
  /** Real time in milliseconds, in which turns and stalls are measured. */
  readonly time: () => number
  /** Milliseconds the event loop has spent waiting for events. */
  readonly idle: () => number
  /** Runs at the end of the loop's present turn. */
  readonly defer: (run: () => void) => void
}

/** How often the loop's life is noted, and what may pass unnoticed: shorter delays are no stall. */
const markMs = 50
const toleranceMs = 10
/** What polling for events that are there already takes; a client that answers a response takes longer. */
const noIdleMs = 0.05
/** Holds of the loop below this are not attributed. */
const shortestHoldMs = 1
/** The marks stop when there were no requests for so long. */
const restMs = 1_000
/** How many waits are remembered; older ones are forgotten, and their requests count as not having waited. */
const capacity = 4_096
/**
 * Who waited has been read after so many times the stall, even if the server is busy for 80 % of the time; one that is busier
 * may never get to an end.
 */
const longestRecovery = 4

/** Requests that were read after a stall, in the order of their arrival. */
interface Batch {
  readonly stallMs: number
  /** Who is read later than that did not wait. */
  readonly endsAt: number
  /** Number of its first request among all waits noted. */
  readonly first: number
  size: number
  sizeBefore: number
  turns: number
  readonly settled: Array<() => void>
}

/**
 * Finds how long requests waited before their handler could look at a clock.
 *
 * A handler's stopwatch starts when the event loop comes to the request, so a server that was blocked for 400 ms reports a
 * millisecond to everybody who waited (Gil Tene's "coordinated omission", on the server's side). Three facts tell the
 * difference without measuring each request: requests read in one turn of the loop were all there when it began; those
 * read in the turn after a long one, with no idle time between, waited for up to its length; and when the last sign of
 * life is older than it should be, and idle time does not explain it, the loop was blocked. Requests that waited together
 * are in order of arrival, so the k-th of n waited about `stall * (1 - (k - 0.5) / n)`.
 */
export class StallTracker {
  /** The last stamp with something noted about it. Requests stamped later need no look. */
  newest: number = -Infinity
  /** The last stamp given out in the present turn; its hold of the loop is still running. */
  running: number = Number.NaN
  readonly #clocks: StallClocks
  readonly #time: () => number
  readonly #stamp: (() => number) | undefined
  readonly #stamps = new Float64Array(capacity)
  readonly #waits = new Float64Array(capacity)
  readonly #holds = new Float64Array(capacity)
  readonly #taken = new Uint8Array(capacity)
  #noted = 0
  #turnStart = -1
  #runningSince = 0
  #isDeferred = false
  #batch: Batch | undefined
  #longTurnMs = 0
  #longTurnIdle = 0
  #seen = 0
  #seenIdle = 0
  #marks: NodeJS.Timeout | undefined

  constructor(clocks: StallClocks) {
    this.#clocks = clocks
    this.#time = clocks.time
    this.#stamp = clocks.stamp
  }

  /** A stamp for a request whose handler begins now. */
  start(): number {
    const now = this.#time()
    const stamp = this.#stamp === undefined ? now : this.#stamp()
    if (this.#turnStart < 0) this.#beginTurn(now)
    else this.#endHold(now)
    this.running = stamp
    this.#runningSince = now
    const waited = now - this.#turnStart
    if (this.#batch !== undefined) {
      this.#note(stamp, waited)
      this.#batch.size++
    } else if (waited > toleranceMs) this.#note(stamp, waited)
    return stamp
  }

  /** Ends the hold of the running request: how long it has held the loop, in milliseconds; 0 when briefly. */
  endRunning(): number {
    this.running = Number.NaN
    const held = this.#time() - this.#runningSince
    return held >= shortestHoldMs ? held : 0
  }

  /**
   * The number of the note about a stamp, and -1 when there is none or it was taken before: a stamp is of one request. Stamps
   * only grow, so halving finds it.
   */
  take(stamp: number): number {
    let low = Math.max(0, this.#noted - capacity)
    let high = this.#noted - 1
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#stamps[middle % capacity]! < stamp) low = middle + 1
      else high = middle
    }
    const place = low % capacity
    if (low !== high || this.#stamps[place] !== stamp || this.#taken[place] === 1) return -1
    this.#taken[place] = 1
    return low
  }

  /** How long the request of a note held the loop before anything else ran, in milliseconds; 0 when briefly. */
  holdOf(note: number): number {
    return this.#holds[note % capacity]!
  }

  /**
   * Hands over how long the request of a note waited before it was read: at once, or when the requests that waited with it
   * are all there. Not called when it did not wait.
   */
  onWait(note: number, use: (waitedMs: number) => void): void {
    const settle = () => {
      const waited = note < this.#noted - capacity ? 0 : this.#waits[note % capacity]!
      if (waited > 0) use(waited)
    }
    const batch = this.#batch
    if (batch !== undefined && note >= batch.first) batch.settled.push(settle)
    else settle()
  }

  close(): void {
    clearInterval(this.#marks)
    this.#marks = undefined
  }

  #beginTurn(now: number): void {
    if (this.#marks === undefined) this.#startMarks(now)
    this.#turnStart = now
    this.#deferEnd()
    if (this.#batch !== undefined) return
    const stallMs = this.#stallBefore(now)
    this.#longTurnMs = 0
    if (stallMs > toleranceMs) {
      const endsAt = now + stallMs * longestRecovery
      this.#batch = { stallMs, endsAt, first: this.#noted, size: 0, sizeBefore: 0, turns: 0, settled: [] }
    }
  }

  /** How long the loop was blocked until now. */
  #stallBefore(now: number): number {
    if (this.#longTurnMs > 0) return this.#clocks.idle() - this.#longTurnIdle < noIdleMs ? this.#longTurnMs : 0
    const sinceSeen = now - this.#seen
    return sinceSeen > markMs + toleranceMs ? sinceSeen - (this.#clocks.idle() - this.#seenIdle) : 0
  }

  #deferEnd(): void {
    if (this.#isDeferred) return
    this.#isDeferred = true
    this.#clocks.defer(this.#endTurn)
  }

  readonly #endTurn = (): void => {
    this.#isDeferred = false
    const now = this.#time()
    const turnMs = this.#turnStart < 0 ? 0 : now - this.#turnStart
    this.#endHold(now)
    this.#turnStart = -1
    const batch = this.#batch
    if (batch !== undefined) {
      batch.turns++
      const isGrowing = batch.size > batch.sizeBefore || batch.turns <= 2
      batch.sizeBefore = batch.size
      // Those that waited may need many turns to be read: Node accepts one new connection a turn.
      if (isGrowing && now < batch.endsAt) {
        this.#deferEnd()
        return
      }
      this.#settle(batch)
    }
    this.#mark(now)
    this.#longTurnMs = turnMs > toleranceMs ? turnMs : 0
    this.#longTurnIdle = this.#seenIdle
  }

  #settle(batch: Batch): void {
    this.#batch = undefined
    for (let place = Math.max(0, batch.size - capacity); place < batch.size; place++) {
      this.#waits[(batch.first + place) % capacity]! += batch.stallMs * (1 - (place + 0.5) / batch.size)
    }
    for (const settle of batch.settled) settle()
  }

  #endHold(now: number): void {
    const stamp = this.running
    if (Number.isNaN(stamp)) return
    this.running = Number.NaN
    const held = now - this.#runningSince
    if (held < shortestHoldMs) return
    if (this.newest !== stamp) this.#note(stamp, 0)
    this.#holds[(this.#noted - 1) % capacity] = held
  }

  #note(stamp: number, waited: number): void {
    const place = this.#noted++ % capacity
    this.#stamps[place] = stamp
    this.#waits[place] = waited > toleranceMs ? waited : 0
    this.#holds[place] = 0
    this.#taken[place] = 0
    this.newest = stamp
  }

  #startMarks(now: number): void {
    this.#mark(now)
    this.#marks = setInterval(() => this.#tick(), markMs)
    this.#marks.unref()
  }

  #tick(): void {
    const now = this.#time()
    if (now - this.#runningSince > restMs) this.close()
    else if (now - this.#seen <= markMs + toleranceMs) this.#mark(now)
    else this.#clocks.defer(() => this.#clocks.defer(this.#markIfQuiet))
  }

  /**
   * After a late timer: the loop was blocked. Requests that waited are read in the poll phase that follows, or after it, on a new
   * connection that was accepted there; only then may the loop count as alive.
   */
  readonly #markIfQuiet = (): void => {
    if (this.#batch === undefined && this.#turnStart < 0) this.#mark(this.#time())
  }

  #mark(now: number): void {
    this.#seen = now
    this.#seenIdle = this.#clocks.idle()
  }
}
