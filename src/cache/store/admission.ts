import { startTimer, type Timer } from '../../shared/time/timers.ts'

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
