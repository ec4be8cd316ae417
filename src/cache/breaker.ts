/** What a {@link Breaker} is made of. */
export interface BreakerOptions {
  /** Timeouts in a row that open it. */
  readonly failures: number
  readonly coolDownMs: number
  /** Tries the store; the breaker closes when it resolves to true. */
  readonly probe: () => Promise<boolean>
  readonly onChange: () => void
}

/**
 * Keeps callers from a store that does not answer. While it is open the store is tried in the background, once every
 * `coolDownMs`, so that no caller pays for the attempt.
 */
export class Breaker {
  isOpen = false
  readonly #options: BreakerOptions
  #timeouts = 0
  #isProbing = false
  #isClosed = false
  #timer: NodeJS.Timeout | undefined

  constructor(options: BreakerOptions) {
    this.#options = options
  }

  /** Whether there were timeouts since the last answer. */
  get isWorried(): boolean {
    return this.#timeouts > 0
  }

  succeeded(): void {
    this.#timeouts = 0
  }

  timedOut(): void {
    this.#timeouts++
    if (this.#timeouts >= this.#options.failures) this.open()
  }

  /** Opens at once, as for a lost connection. */
  open(): void {
    if (this.isOpen || this.#isClosed) return
    this.isOpen = true
    this.#options.onChange()
    this.#schedule()
  }

  /** Tries the store now, because something says that it is back. */
  async probeNow(): Promise<void> {
    if (!this.isOpen || this.#isProbing || this.#isClosed) return
    clearTimeout(this.#timer)
    this.#isProbing = true
    const isBack = await this.#options.probe()
    this.#isProbing = false
    if (this.#isClosed) return
    if (!isBack) return this.#schedule()
    this.isOpen = false
    this.#timeouts = 0
    this.#options.onChange()
  }

  /** For good: no probe is made any more. */
  stop(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
  }

  #schedule(): void {
    this.#timer = setTimeout(() => void this.probeNow(), this.#options.coolDownMs).unref()
  }
}
