import { isWorkers } from '../../shared/platform/runtime.ts'
import { startTimer, type Timer } from '../../shared/time/timers.ts'
import { withDeadline } from '../../shared/time/waiting.ts'

// What bounds the use of a store: whether it is asked at all, how much at once, and how long an answer may take.

interface BreakerOptions {
  /** Timeouts in a row that open it. */
  readonly failures: number
  readonly coolDownMs: number
  /** Tries the store; the breaker closes when it resolves to true. */
  readonly probe: () => Promise<boolean>
  readonly onChange: () => void
}

/**
 * Keeps callers from a store that does not answer. While it is open the store is tried in the background, once every
 * `coolDownMs`, so that no caller waits for the attempt.
 */
export class Breaker {
  isOpen = false
  readonly #options: BreakerOptions
  #timeouts = 0
  #isProbing = false
  #isStopped = false
  #timer: Timer | undefined

  constructor(options: BreakerOptions) {
    this.#options = options
  }

  /** Whether there were timeouts since the last answer. */
  get hasTimeouts(): boolean {
    return this.#timeouts > 0
  }

  recordSuccess(): void {
    this.#timeouts = 0
  }

  /** @param callers - how many callers waited for the answer: a flood of them opens the breaker at once */
  recordTimeout(callers: number): void {
    this.#timeouts += callers
    if (this.#timeouts >= this.#options.failures) this.open()
  }

  /** Opens at once, as for a lost connection. */
  open(): void {
    if (this.isOpen || this.#isStopped) return
    this.isOpen = true
    this.#options.onChange()
    this.#scheduleProbe()
  }

  /** Tries the store without waiting for the cool-down, because the connection is back. */
  async probeNow(): Promise<void> {
    if (!this.isOpen || this.#isProbing || this.#isStopped) return
    this.#timer?.cancel()
    this.#isProbing = true
    const isBack = await this.#options.probe()
    this.#isProbing = false
    if (this.#isStopped) return
    if (!isBack) return this.#scheduleProbe()
    this.isOpen = false
    this.#timeouts = 0
    this.#options.onChange()
  }

  /** Ends the probes for good. */
  stop(): void {
    this.#isStopped = true
    this.#timer?.cancel()
  }

  #scheduleProbe(): void {
    this.#timer = startTimer(() => void this.probeNow(), this.#options.coolDownMs)
  }
}

/** The most keys in all commands under way. Redis answers so many in a small part of the shortest deadline in use. */
export const maxKeysUnderWay = 1_000

/**
 * Bounds how much is under way at once. What must wait is not sent yet, so the time does not count as the store's. One slot
 * is one key: a group of 250 keys takes 250 slots.
 */
export class Slots {
  readonly #capacity: number
  #used = 0
  readonly #waiting: { readonly size: number; readonly start: () => void }[] = []

  constructor(capacity: number) {
    this.#capacity = capacity
  }

  /** Takes slots, at once or when the returned promise resolves. Those that have waited longest come first. */
  take(asked: number): Promise<void> | undefined {
    const size = Math.min(asked, this.#capacity)
    if (this.#waiting.length === 0 && this.#used + size <= this.#capacity) {
      this.#used += size
      return undefined
    }
    return new Promise((start) => this.#waiting.push({ size, start }))
  }

  give(asked: number): void {
    this.#used -= Math.min(asked, this.#capacity)
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      if (this.#used + next.size > this.#capacity) return
      this.#used += next.size
      this.#waiting.shift()
      next.start()
    }
  }
}

const ticksPerDeadline = 10
/** Node's timers take at most 25 days, so a long deadline has more ticks instead of longer ones. */
const longestTickMs = 3_600_000

interface Waiter {
  ticksLeft: number
  /** Its index in the list, or -1 once it has left the list. */
  index: number
  readonly expire: () => void
}

/**
 * A deadline that does not count time in which the event loop was blocked. It counts ticks of a running loop: a block of any
 * length is one tick, and after the last tick the loop still reads its sockets before the deadline passes. One timer serves
 * everything that waits, and stops when nothing does.
 *
 * With a plain timer every answer that arrived during a block would look late, because Node runs timers before it reads
 * sockets.
 */
export class FairDeadline {
  readonly ms: number
  readonly #tickMs: number
  readonly #ticks: number
  /** A list, because adding an object to a set makes V8 compute a hash for it. */
  readonly #waiters: Waiter[] = []
  #timer: NodeJS.Timeout | undefined
  #scheduler: typeof setInterval | undefined

  constructor(ms: number) {
    this.ms = ms
    this.#tickMs = Math.min(Math.max(1, ms / ticksPerDeadline), longestTickMs)
    this.#ticks = Math.max(ticksPerDeadline, ms / this.#tickMs)
  }

  /**
   * Settles like the work, or rejects with `late()` if the deadline passes first.
   *
   * @param tooLate - receives a result that arrives after the deadline
   */
  race<Value>(work: PromiseLike<Value>, late: () => unknown, tooLate?: (value: Value) => void): Promise<Value> {
    if (isWorkers) return raceAlone(work, this.ms, late, tooLate)
    return new Promise<Value>((resolve, reject) => {
      const waiter: Waiter = {
        ticksLeft: this.#ticks,
        index: this.#waiters.length,
        expire: () => reject(late()),
      }
      this.#waiters.push(waiter)
      // A timer of a test runner's fake timers never fires once the test has ended: replace it.
      if (this.#timer === undefined || this.#scheduler !== setInterval) this.#startTimer()
      work.then(
        (value) => {
          if (waiter.index === -1) return tooLate?.(value)
          this.#remove(waiter)
          resolve(value)
        },
        (error) => {
          this.#remove(waiter)
          reject(error)
        },
      )
    })
  }

  #startTimer(): void {
    this.#scheduler = setInterval
    const clear = clearInterval
    const timer = setInterval(() => (timer === this.#timer ? this.#tick() : clear(timer)), this.#tickMs)
    this.#timer = timer.unref()
  }

  #tick(): void {
    // Not when the last waiter leaves: starting a timer for each answer would take as long as reading the answer.
    if (this.#waiters.length === 0) {
      clearInterval(this.#timer)
      this.#timer = undefined
    }
    const due = this.#waiters.filter((waiter) => --waiter.ticksLeft <= 0)
    if (due.length === 0) return
    afterPoll(() => this.#expire(due))
  }

  #expire(due: readonly Waiter[]): void {
    for (const waiter of due) {
      if (waiter.index === -1) continue
      this.#remove(waiter)
      waiter.expire()
    }
  }

  /** Moves the last waiter into the gap, so that no others have to move. */
  #remove(waiter: Waiter): void {
    const { index } = waiter
    if (index === -1) return
    const last = this.#waiters.pop() as Waiter
    if (last !== waiter) {
      this.#waiters[index] = last
      last.index = index
    }
    waiter.index = -1
  }
}

/** As `race`, with a timer for this work alone: on Workers, requests cannot share a timer. */
async function raceAlone<Value>(
  work: PromiseLike<Value>,
  ms: number,
  late: () => unknown,
  tooLate: ((value: Value) => void) | undefined,
): Promise<Value> {
  let isLate = false
  const expire = () => {
    isLate = true
    throw late()
  }
  try {
    return await withDeadline(work, ms, expire)
  } finally {
    if (isLate) work.then(tooLate, () => {})
  }
}

/** Calls the function after the event loop has read its sockets. A timer alone would run before that. */
export function afterPoll(run: () => void): void {
  // Two hops: the first runs after the poll of this turn of the loop, the second after the poll of the next.
  setImmediate(() => setImmediate(run))
}
