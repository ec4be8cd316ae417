/**
 * Upper bounds of the buckets that Prometheus sees, in microseconds. They are counted exactly, because the histogram's own
 * buckets do not end at them.
 */
export const exposedBoundsUs: readonly number[] = [
  5_000, 10_000, 25_000, 50_000, 75_000, 100_000, 250_000, 500_000, 750_000, 1_000_000, 2_500_000, 5_000_000, 7_500_000,
  10_000_000,
]

/** Durations since the start: how many within each exposed bound (the last beyond all), and their sum. */
export class ExposedHistogram {
  readonly counts: Float64Array = new Float64Array(exposedBoundsUs.length + 1)
  readonly #sumUs = new Float64Array(1)

  record(us: number): void {
    let low = 0
    let high = exposedBoundsUs.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (us <= exposedBoundsUs[middle]!) high = middle
      else low = middle + 1
    }
    this.counts[low]!++
    this.#sumUs[0]! += us
  }

  get sumSeconds(): number {
    return this.#sumUs[0]! / 1_000_000
  }
}
