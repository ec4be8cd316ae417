import { BucketLayout, toMicroseconds } from '../shared/buckets.ts'

/** A bucket is at most a 128th of its values wide. */
const layout = new BucketLayout(2)

/** Durations from 1 us up. One is kept per query shape, so it grows with the longest duration it has seen. */
export class DurationHistogram {
  #counts: Uint32Array = new Uint32Array(256)
  #total = 0

  record(ms: number): void {
    const index = layout.indexOf(toMicroseconds(ms))
    if (index >= this.#counts.length) this.#grow(index)
    this.#counts[index] = (this.#counts[index] as number) + 1
    this.#total += 1
  }

  /** The duration in milliseconds that this share (0 to 1) of the durations does not exceed; 0 when there are none. */
  percentile(share: number): number {
    let missing = Math.max(1, Math.ceil(share * this.#total - 1e-9))
    for (const [index, count] of this.#counts.entries()) {
      missing -= count
      if (missing <= 0) return layout.highestOf(index) / 1_000
    }
    return 0
  }

  #grow(index: number): void {
    const grown = new Uint32Array(2 ** Math.ceil(Math.log2(index + 1)))
    grown.set(this.#counts)
    this.#counts = grown
  }
}
