/** 71.6 minutes. Longer durations are recorded as this. */
const longestUs = 0xffff_ffff
/** A bucket is at most a 128th of its values wide. */
const bits = 8

/**
 * Durations in the buckets of an HdrHistogram of two significant digits, from 1 us up (`AbstractHistogram`,
 * `countsArrayIndex`). One is kept per query shape, so it grows with the longest duration it has seen.
 */
export class DurationHistogram {
  #counts: Uint32Array = new Uint32Array(1 << bits)
  #total = 0

  record(ms: number): void {
    const index = indexOf(toMicroseconds(ms))
    if (index >= this.#counts.length) this.#grow(index)
    this.#counts[index] = (this.#counts[index] as number) + 1
    this.#total += 1
  }

  /** The duration in milliseconds that this share (0 to 1) of the durations does not exceed; 0 when there are none. */
  percentile(share: number): number {
    let missing = Math.max(1, Math.ceil(share * this.#total - 1e-9))
    for (const [index, count] of this.#counts.entries()) {
      missing -= count
      if (missing <= 0) return highestOf(index) / 1_000
    }
    return 0
  }

  #grow(index: number): void {
    const grown = new Uint32Array(2 ** Math.ceil(Math.log2(index + 1)))
    grown.set(this.#counts)
    this.#counts = grown
  }
}

function toMicroseconds(ms: number): number {
  return Math.min(Math.max(Math.round(ms * 1_000), 1), longestUs)
}

function indexOf(us: number): number {
  const shift = 32 - bits - Math.clz32(us | ((1 << bits) - 1))
  return (shift << (bits - 1)) + (us >>> shift)
}

/** The longest duration of a bucket, which stands for all of them. */
function highestOf(index: number): number {
  const shift = Math.max(0, (index >>> (bits - 1)) - 1)
  return (index - (shift << (bits - 1)) + 1) * 2 ** shift - 1
}
