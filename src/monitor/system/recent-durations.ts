import { type Slicing, sliceStart, windowStart } from '../traffic/sliding-window.ts'

interface Slice {
  readonly start: number
  count: number
  totalMs: number
  maxMs: number
}

/** Number, sum and maximum of rare durations in the window, such as stalls and garbage collections. */
export class RecentDurations {
  readonly #slicing: Slicing
  readonly #slices: Slice[] = []
  /** Since the start or the last `clear()`. */
  readonly lifetime: { count: number; totalMs: number } = { count: 0, totalMs: 0 }

  constructor(slicing: Slicing) {
    this.#slicing = slicing
  }

  add(now: number, ms: number): void {
    const start = sliceStart(now, this.#slicing)
    let slice = this.#slices.at(-1)
    if (slice?.start !== start) {
      slice = { start, count: 0, totalMs: 0, maxMs: 0 }
      this.#slices.push(slice)
    }
    slice.count++
    this.lifetime.count++
    this.lifetime.totalMs += ms
    slice.totalMs += ms
    slice.maxMs = Math.max(slice.maxMs, ms)
  }

  read(now: number): { count: number; totalMs: number; maxMs: number } {
    const from = windowStart(now, this.#slicing)
    while (this.#slices.length > 0 && this.#slices[0]!.start < from) this.#slices.shift()
    return this.#slices.reduce(
      (sum, { count, totalMs, maxMs }) => ({
        count: sum.count + count,
        totalMs: sum.totalMs + totalMs,
        maxMs: Math.max(sum.maxMs, maxMs),
      }),
      { count: 0, totalMs: 0, maxMs: 0 },
    )
  }

  clear(): void {
    this.#slices.length = 0
    Object.assign(this.lifetime, { count: 0, totalMs: 0 })
  }
}
