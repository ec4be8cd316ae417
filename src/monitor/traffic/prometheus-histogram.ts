/**
 * Upper bounds of the buckets that Prometheus and OpenTelemetry see, in microseconds, unless the option `buckets` has others: those
 * of OpenTelemetry's HTTP conventions. Each duration is counted directly in one of these buckets, because those of the HDR
 * histogram end elsewhere.
 */
export const defaultBoundsUs: readonly number[] = [
  5_000, 10_000, 25_000, 50_000, 75_000, 100_000, 250_000, 500_000, 750_000, 1_000_000, 2_500_000, 5_000_000, 7_500_000,
  10_000_000,
]

/** A request that a bucket of OpenMetrics shows as its example. */
export interface Exemplar {
  readonly traceId: string
  readonly us: number
  /** Milliseconds since 1970. */
  readonly at: number
}

/** Durations since the start: a count for each bound, a last one for durations above all bounds, and the sum. */
export class PrometheusHistogram {
  readonly boundsUs: readonly number[]
  readonly counts: Float64Array
  /** The latest traced request of each bucket that has one, for slow requests only. */
  readonly exemplars: Map<number, Exemplar> = new Map()
  readonly #sumUs = new Float64Array(1)

  constructor(boundsUs: readonly number[]) {
    this.boundsUs = boundsUs
    this.counts = new Float64Array(boundsUs.length + 1)
  }

  record(us: number): void {
    this.counts[this.indexOf(us)]!++
    this.#sumUs[0]! += us
  }

  /** The index of the bucket of a duration. */
  indexOf(us: number): number {
    const { boundsUs } = this
    let low = 0
    let high = boundsUs.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (us <= boundsUs[middle]!) high = middle
      else low = middle + 1
    }
    return low
  }

  get sumSeconds(): number {
    return this.#sumUs[0]! / 1_000_000
  }
}
