import { type BucketLayout, longestUs } from '../shared/buckets.ts'
import type { CorrectedMs, LatencyMs } from './types.ts'
import { addSums, emptySums, type Shift, sum, type WindowSink } from './window.ts'

/** Standard normal quantile of a two-sided 95 % interval. */
const z = 1.959964

/** What can be added to a tally. */
export interface Countable {
  addTo(tally: Tally): void
}

/**
 * What one or many windows held at one moment, added up. Percentiles of several endpoints or processes are those of the
 * added histograms: averaging percentiles gives numbers that are no percentile of anything.
 */
export class Tally implements WindowSink {
  /** Counters, in the order of the window's cells. */
  readonly cells: Float64Array
  /** Count, sum, sum of squares, least and greatest duration. */
  readonly sums: Float64Array = emptySums()
  /** How the stall correction changes the buckets; sparse. */
  readonly moves: Map<number, number> = new Map()
  affected = 0
  longestCorrectedUs = 0
  readonly #layout: BucketLayout

  constructor(width: number, layout: BucketLayout) {
    this.cells = new Float64Array(width)
    this.#layout = layout
  }

  get count(): number {
    return this.sums[sum.count]!
  }

  get minUs(): number {
    return this.sums[sum.min]!
  }

  get maxUs(): number {
    return this.sums[sum.max]!
  }

  addCells(past: ArrayLike<number>, current: ArrayLike<number>, leastUs: number, greatestUs: number): void {
    const { cells } = this
    const { length } = this.#layout
    const add = (first: number, last: number) => {
      for (let index = first; index <= last; index++) {
        cells[index]! += (past[index] as number) + (current[index] as number)
      }
    }
    // Only the buckets in between can hold something, which is a fraction of them.
    if (greatestUs > 0) add(this.#layout.indexOf(leastUs), this.#layout.indexOf(greatestUs))
    add(length, cells.length - 1)
  }

  addSums(sums: Float64Array): void {
    addSums(this.sums, sums)
  }

  addShift({ affected, longestUs, moves }: Shift): void {
    this.affected += affected
    this.longestCorrectedUs = Math.max(this.longestCorrectedUs, longestUs)
    for (const [index, change] of moves) this.moves.set(index, (this.moves.get(index) ?? 0) + change)
  }

  /** Makes it empty again. */
  clear(): this {
    this.cells.fill(0)
    this.sums.set(emptySums())
    this.moves.clear()
    this.affected = 0
    this.longestCorrectedUs = 0
    return this
  }

  /** Adds all of them. */
  addAll(parts: Iterable<Countable>): this {
    for (const part of parts) part.addTo(this)
    return this
  }

  /** The latencies as measured. */
  latency(): LatencyMs {
    const { count } = this
    if (count === 0) return emptyLatency
    const avg = this.sums[sum.total]! / count
    const [low95, high95] = intervalRanks(count, 0.95)
    const [low99, high99] = intervalRanks(count, 0.99)
    const ranks = [0.5, 0.75, 0.9, 0.95, 0.99, 0.999].map((share) => rankOf(count, share))
    const [p50, p75, p90, p95, p99, p99_9, l95, h95, l99, h99] = this.#at([...ranks, low95, high95, low99, high99])
    return {
      avg: milliseconds(avg),
      min: milliseconds(this.minUs),
      max: milliseconds(this.maxUs),
      stdDev: milliseconds(Math.sqrt(Math.max(0, this.sums[sum.squares]! / count - avg * avg))),
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

  /** The latencies with the stalls charged to whom waited for them. Without stalls they are the plain ones. */
  corrected({ p50, p95, p99 }: LatencyMs): CorrectedMs {
    const { count, affected } = this
    if (affected === 0 || count === 0) return { p50, p95, p99, affected }
    const ranks = [0.5, 0.95, 0.99].map((share) => rankOf(count, share))
    const corrected = this.#at(ranks, true)
    return { p50: corrected[0]!, p95: corrected[1]!, p99: corrected[2]!, affected }
  }

  /** A percentile by its share, 0..1, in milliseconds; `null` when there is nothing. */
  percentile(share: number): number | null {
    return this.count === 0 ? null : this.#at([rankOf(this.count, share)])[0]!
  }

  /** How many latencies were at most that long, to the width of a bucket. */
  countUpTo(us: number): number {
    let count = 0
    const least = this.#layout.indexOf(Math.min(this.minUs, longestUs))
    for (let index = this.#layout.indexOf(us); index >= least; index--) count += this.cells[index]!
    return count
  }

  /** Values at ranks (1 is the least), in milliseconds, found in one pass. */
  #at(ranks: readonly number[], isCorrected = false): number[] {
    const order = ranks.map((_, place) => place).sort((a, b) => ranks[a]! - ranks[b]!)
    const largest = isCorrected ? Math.max(this.maxUs, this.longestCorrectedUs) : this.maxUs
    const values = new Array<number>(ranks.length).fill(milliseconds(largest))
    const last = this.#layout.indexOf(largest)
    let seen = 0
    let next = 0
    for (let index = this.#layout.indexOf(this.minUs); index <= last && next < order.length; index++) {
      seen += this.cells[index]! + (isCorrected ? (this.moves.get(index) ?? 0) : 0)
      while (next < order.length && seen >= ranks[order[next]!]!) {
        values[order[next++]!] = milliseconds(Math.min(this.#layout.highestOf(index), largest))
      }
    }
    return values
  }
}

/** Nearest rank: the least rank that at least that share of the samples does not exceed. */
function rankOf(count: number, share: number): number {
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
