/** The longest duration in a histogram, in microseconds: 71.6 minutes. Longer durations are recorded as this value. */
export const longestUs = 0xffff_ffff

/**
 * The bucket layout of an HdrHistogram from 1 to 2^32-1, so that our counters equal its counters, index by index. All
 * buckets within a power of two have the same width, small enough for the number of significant digits (HdrHistogram,
 * `AbstractHistogram.countsArrayIndex`).
 */
export class BucketLayout {
  readonly digits: 2 | 3
  /** Number of buckets. */
  readonly length: number
  readonly #bits: number
  readonly #mask: number

  constructor(digits: 2 | 3) {
    this.digits = digits
    this.#bits = digits === 2 ? 8 : 11
    this.#mask = (1 << this.#bits) - 1
    this.length = this.indexOf(longestUs) + 1
  }

  /** The bucket of a whole number of microseconds. */
  indexOf(us: number): number {
    const shift = 32 - Math.clz32(us | this.#mask) - this.#bits
    return (shift << (this.#bits - 1)) + (us >>> shift)
  }

  /** The largest value of a bucket. It represents all values in the bucket. */
  highestOf(index: number): number {
    const shift = Math.max(0, (index >>> (this.#bits - 1)) - 1)
    const steps = index - (shift << (this.#bits - 1))
    return (steps + 1) * 2 ** shift - 1
  }
}

/** Converts milliseconds into whole microseconds within the range of a histogram. `NaN` becomes 1. */
export function toMicroseconds(ms: number): number {
  const us = ms * 1_000
  if (us < longestUs) return us >= 0.5 ? (us + 0.5) >>> 0 : 1
  return us >= longestUs ? longestUs : 1
}

/** Whether {@link toMicroseconds} changes the value because it is outside the range. */
export function isClamped(ms: number): boolean {
  return !(ms >= 0.0005 && ms * 1_000 <= longestUs)
}
