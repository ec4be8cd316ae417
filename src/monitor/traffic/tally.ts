import { type BucketLayout, longestUs } from '../../shared/buckets.ts'
import type { CorrectedMs, LatencyMs } from '../types.ts'
import { addSums, emptySums, type StallCorrection, sumIndex, type WindowSink } from './sliding-window.ts'

/** Standard normal quantile of a two-sided 95 % interval. */
const z = 1.959964

/** A window at one moment: one of this process, or one that another process has published. */
export interface WindowReading {
  addTo(tally: Tally): void
}

/**
 * The contents of one or more windows, added up. The percentiles of several endpoints or processes are those of the added
 * histograms: the mean of percentiles is not a percentile of anything.
 */
export class Tally implements WindowSink {
  /** In the order of the window's counters. */
  readonly counters: Float64Array
  /** See {@link sumIndex}. */
  readonly sums: Float64Array = emptySums()
  /** How the stall correction changes the counters; see {@link StallCorrection.changes}. */
  readonly corrections: Map<number, number> = new Map()
  /** Number of requests that the stall correction moved. */
  affected = 0
  longestCorrectedUs = 0
  readonly #layout: BucketLayout

  constructor(width: number, layout: BucketLayout) {
    this.counters = new Float64Array(width)
    this.#layout = layout
  }

  get count(): number {
    return this.sums[sumIndex.count]!
  }

  get minUs(): number {
    return this.sums[sumIndex.min]!
  }

  get maxUs(): number {
    return this.sums[sumIndex.max]!
  }

  addSlice(counters: ArrayLike<number>, sums: Float64Array): void {
    this.addSums(sums)
    const layout = this.#layout
    const add = (first: number, last: number) => {
      for (let index = first; index <= last; index++) this.counters[index]! += counters[index] as number
    }
    // Skip all other buckets, which are most: they are empty.
    if (sums[sumIndex.count]! > 0) add(layout.indexOf(sums[sumIndex.min]!), layout.indexOf(sums[sumIndex.max]!))
    add(layout.length, counters.length - 1)
  }

  addSums(sums: Float64Array): void {
    addSums(this.sums, sums)
  }

  addCorrection({ affected, longestUs, changes }: StallCorrection): void {
    this.affected += affected
    this.longestCorrectedUs = Math.max(this.longestCorrectedUs, longestUs)
    for (const [index, change] of changes) this.corrections.set(index, (this.corrections.get(index) ?? 0) + change)
  }

  clear(): this {
    this.counters.fill(0)
    this.sums.set(emptySums())
    this.corrections.clear()
    this.affected = 0
    this.longestCorrectedUs = 0
    return this
  }

  addAll(windows: Iterable<WindowReading>): this {
    for (const window of windows) window.addTo(this)
    return this
  }

  /** The latencies as measured. */
  latency(): LatencyMs {
    const { count } = this
    if (count === 0) return emptyLatency
    const avg = this.sums[sumIndex.total]! / count
    const [low95, high95] = intervalRanks(count, 0.95)
    const [low99, high99] = intervalRanks(count, 0.99)
    const ranks = [0.5, 0.75, 0.9, 0.95, 0.99, 0.999].map((share) => rankOf(count, share))
    const [p50, p75, p90, p95, p99, p99_9, l95, h95, l99, h99] = this.#at([...ranks, low95, high95, low99, high99])
    return {
      avg: milliseconds(avg),
      min: milliseconds(this.minUs),
      max: milliseconds(this.maxUs),
      stdDev: milliseconds(Math.sqrt(Math.max(0, this.sums[sumIndex.squares]! / count - avg * avg))),
      p50: p50!,
      p75: p75!,
      p90: p90!,
      p95: p95!,
      p99: p99!,
      p99_9: p99_9!,
      p95Ci: [l95!, h95!],
      p99Ci: [l99!, h99!],
    }
  }

  /** The latencies including the time that requests waited for a stalled event loop; the plain ones when nothing stalled. */
  corrected({ p50, p95, p99 }: LatencyMs): CorrectedMs {
    const { count, affected } = this
    if (affected === 0 || count === 0) return { p50, p95, p99, affected }
    const ranks = [0.5, 0.95, 0.99].map((share) => rankOf(count, share))
    const corrected = this.#at(ranks, true)
    return { p50: corrected[0]!, p95: corrected[1]!, p99: corrected[2]!, affected }
  }

  /** A percentile in milliseconds by its share, 0..1; `null` when the tally is empty. */
  percentile(share: number): number | null {
    return this.count === 0 ? null : this.#at([rankOf(this.count, share)])[0]!
  }

  /** Number of latencies up to `us`, exact to the width of a bucket. */
  countUpTo(us: number): number {
    let count = 0
    const first = this.#layout.indexOf(Math.min(this.minUs, longestUs))
    for (let index = this.#layout.indexOf(us); index >= first; index--) count += this.counters[index]!
    return count
  }

  /** The latencies at the given ranks (1 is the shortest), in milliseconds, found in one pass. */
  #at(ranks: readonly number[], isCorrected = false): number[] {
    const order = ranks.map((_, place) => place).sort((a, b) => ranks[a]! - ranks[b]!)
    const largest = isCorrected ? Math.max(this.maxUs, this.longestCorrectedUs) : this.maxUs
    const values = new Array<number>(ranks.length).fill(milliseconds(largest))
    const last = this.#layout.indexOf(largest)
    let seen = 0
    let next = 0
    for (let index = this.#layout.indexOf(this.minUs); index <= last && next < order.length; index++) {
      seen += this.counters[index]! + (isCorrected ? (this.corrections.get(index) ?? 0) : 0)
      while (next < order.length && seen >= ranks[order[next]!]!) {
        values[order[next++]!] = milliseconds(Math.min(this.#layout.highestOf(index), largest))
      }
    }
    return values
  }
}

/** The nearest rank: the lowest rank that includes at least that share of the samples. */
function rankOf(count: number, share: number): number {
  return Math.max(1, Math.ceil(count * share - 1e-9))
}

/**
 * The ranks between which a percentile of the whole population lies with 95 % confidence, for any distribution: the normal
 * approximation of the binomial interval of order statistics (Hahn and Meeker, Statistical Intervals, 5.2).
 */
export function intervalRanks(count: number, share: number): [low: number, high: number] {
  const spread = z * Math.sqrt(count * share * (1 - share))
  const low = Math.floor(count * share - spread)
  const high = Math.ceil(count * share + spread) + 1
  return [Math.max(1, low), Math.min(count, high)]
}

/** Milliseconds with three decimals: the histogram counts microseconds. */
function milliseconds(us: number): number {
  return Math.round(us) / 1_000
}

const emptyLatency: LatencyMs = {
  avg: null,
  min: null,
  max: null,
  stdDev: null,
  p50: null,
  p75: null,
  p90: null,
  p95: null,
  p99: null,
  p99_9: null,
  p95Ci: null,
  p99Ci: null,
}
