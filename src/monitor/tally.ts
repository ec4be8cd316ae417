import type { BucketLayout } from './buckets.ts'
import type { CorrectedMs, LatencyMs } from './types.ts'
import { type Shift, sum, type WindowSink } from './window.ts'

/** Standard normal quantile of a two-sided 95 % interval. */
const z = 1.959964

/**
 * What one or many windows held at one moment, added up. Percentiles of several endpoints or processes are those of the
 * added histograms: averaging percentiles gives numbers that are no percentile of anything.
 */
export class Tally implements WindowSink {
  /** Counters, in the order of the window's cells. */
  readonly cells: Float64Array
  /** How the stall correction changes the buckets; sparse. */
  readonly moves: Map<number, number> = new Map()
  count = 0
  totalUs = 0
  squaresUs = 0
  minUs: number = Infinity
  maxUs = 0
  affected = 0
  longestCorrectedUs = 0
  readonly #layout: BucketLayout

  constructor(width: number, layout: BucketLayout) {
    this.cells = new Float64Array(width)
    this.#layout = layout
  }

  addCells(past: ArrayLike<number>, current: ArrayLike<number>): void {
    const { cells } = this
    for (let index = 0; index < cells.length; index++) {
      cells[index]! += (past[index] as number) + (current[index] as number)
    }
  }

  addSlice(sums: Float64Array, shift: Shift | undefined): void {
    this.count += sums[sum.count]!
    this.totalUs += sums[sum.total]!
    this.squaresUs += sums[sum.squares]!
    this.minUs = Math.min(this.minUs, sums[sum.min]!)
    this.maxUs = Math.max(this.maxUs, sums[sum.max]!)
    if (shift === undefined) return
    this.affected += shift.affected
    this.longestCorrectedUs = Math.max(this.longestCorrectedUs, shift.longestUs)
    for (const [index, change] of shift.moves) this.moves.set(index, (this.moves.get(index) ?? 0) + change)
  }

  /** Adds another tally of the same layout. */
  add(other: Tally): void {
    for (let index = 0; index < this.cells.length; index++) this.cells[index]! += other.cells[index]!
    for (const [index, change] of other.moves) this.moves.set(index, (this.moves.get(index) ?? 0) + change)
    this.count += other.count
    this.totalUs += other.totalUs
    this.squaresUs += other.squaresUs
    this.minUs = Math.min(this.minUs, other.minUs)
    this.maxUs = Math.max(this.maxUs, other.maxUs)
    this.affected += other.affected
    this.longestCorrectedUs = Math.max(this.longestCorrectedUs, other.longestCorrectedUs)
  }

  /** Makes it empty again. */
  clear(): void {
    this.cells.fill(0)
    this.moves.clear()
    this.count = this.totalUs = this.squaresUs = this.maxUs = this.affected = this.longestCorrectedUs = 0
    this.minUs = Infinity
  }

  /** The latencies as measured. */
  latency(): LatencyMs {
    const { count } = this
    if (count === 0) return emptyLatency
    const avg = this.totalUs / count
    const [low95, high95] = intervalRanks(count, 0.95)
    const [low99, high99] = intervalRanks(count, 0.99)
    const ranks = [0.5, 0.75, 0.9, 0.95, 0.99, 0.999].map((share) => rankOf(count, share))
    const [p50, p75, p90, p95, p99, p99_9, l95, h95, l99, h99] = this.#at([...ranks, low95, high95, low99, high99])
    return {
      avg: milliseconds(avg),
      min: milliseconds(this.minUs),
      max: milliseconds(this.maxUs),
      stdDev: milliseconds(Math.sqrt(Math.max(0, this.squaresUs / count - avg * avg))),
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

  /** The latencies with the stalls charged to whom waited for them. */
  corrected(): CorrectedMs {
    const { count, affected } = this
    if (count === 0) return { p50: null, p95: null, p99: null, affected }
    const ranks = [0.5, 0.95, 0.99].map((share) => rankOf(count, share))
    const [p50, p95, p99] = this.#at(ranks, affected > 0)
    return { p50: p50!, p95: p95!, p99: p99!, affected }
  }

  /** A percentile by its share, 0..1, in milliseconds; `null` when there is nothing. */
  percentile(share: number): number | null {
    return this.count === 0 ? null : this.#at([rankOf(this.count, share)])[0]!
  }

  /** How many latencies were at most that long, to the width of a bucket. */
  countUpTo(us: number): number {
    let count = 0
    for (let index = this.#layout.indexOf(us); index >= 0; index--) count += this.cells[index]!
    return count
  }

  /** Values at ranks (1 is the least), in milliseconds, found in one pass. */
  #at(ranks: readonly number[], isCorrected = false): number[] {
    const order = ranks.map((_, place) => place).sort((a, b) => ranks[a]! - ranks[b]!)
    const largest = isCorrected ? Math.max(this.maxUs, this.longestCorrectedUs) : this.maxUs
    const values = new Array<number>(ranks.length).fill(milliseconds(largest))
    let seen = 0
    let next = 0
    for (let index = 0; index < this.#layout.length && next < order.length; index++) {
      seen += this.cells[index]! + (isCorrected ? (this.moves.get(index) ?? 0) : 0)
      while (next < order.length && seen >= ranks[order[next]!]!) {
        values[order[next++]!] = milliseconds(Math.min(this.#layout.highestOf(index), largest))
      }
    }
    return values
  }
}

/** Nearest rank: the least rank that at least that share of the samples does not exceed. */
export function rankOf(count: number, share: number): number {
  return Math.max(1, Math.ceil(count * share - 1e-9))
}

/**
 * Ranks between which a percentile of the whole population lies with 95 % confidence, whatever its distribution: the
 * normal approximation of the binomial interval of order statistics (Hahn and Meeker, Statistical Intervals, 5.2).
 */
export function intervalRanks(count: number, share: number): [low: number, high: number] {
  const spread = z * Math.sqrt(count * share * (1 - share))
  const low = Math.floor(count * share - spread)
  const high = Math.ceil(count * share + spread) + 1
  return [Math.max(1, low), Math.min(count, high)]
}

/** Milliseconds with three decimals, which is the resolution of the histogram. */
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
