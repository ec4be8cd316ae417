import { BucketLayout, toMicroseconds } from '../../shared/buckets.ts'
import type { QueryShape } from '../fingerprint/query-shape.ts'
import type { QueryOperation, QueryStats } from '../types.ts'

/** Counts and times the runs of one shape. */
export class ShapeStatistics implements QueryShape {
  readonly text: string
  readonly operation: QueryOperation
  readonly tables: readonly string[]
  readonly writes: readonly string[]
  count = 0
  totalMs = 0
  #errors = 0
  #rows = 0
  #maxMs = 0
  /** Whether the shape ran again since the last search for a shape to evict. */
  isRecent = false
  /** Set when a newer shape took its place. Its runs were added to the overflow. */
  isEvicted = false
  #durations: DurationHistogram | undefined

  constructor({ text, operation, tables, writes }: QueryShape) {
    this.text = text
    this.operation = operation
    this.tables = tables
    this.writes = writes
  }

  record(durationMs: number, rows: number, hasFailed: boolean): void {
    // The first run does not count: shapes that run only once are evicted first.
    if (this.count > 0) this.isRecent = true
    this.count += 1
    this.totalMs += durationMs
    this.#rows += rows
    if (hasFailed) this.#errors += 1
    if (durationMs > this.#maxMs) this.#maxMs = durationMs
    this.#durations ??= new DurationHistogram()
    this.#durations.record(durationMs)
  }

  /** Adds the runs of another shape. */
  merge(other: ShapeStatistics): void {
    this.count += other.count
    this.totalMs += other.totalMs
    this.#rows += other.#rows
    this.#errors += other.#errors
    this.#maxMs = Math.max(this.#maxMs, other.#maxMs)
    this.#durations ??= new DurationHistogram()
    if (other.#durations !== undefined) this.#durations.merge(other.#durations)
  }

  /** Call it only for a shape that has run. */
  snapshot(): QueryStats {
    const durations = this.#durations as DurationHistogram
    return {
      shape: this.text,
      operation: this.operation,
      tables: this.tables,
      count: this.count,
      errors: this.#errors,
      rows: this.#rows,
      totalMs: this.totalMs,
      maxMs: this.#maxMs,
      p50Ms: durations.percentile(0.5),
      p95Ms: durations.percentile(0.95),
      p99Ms: durations.percentile(0.99),
    }
  }
}

/** Two significant digits: the error of a percentile is at most 1/128 of its value. */
const layout = /* @__PURE__ */ new BucketLayout(2)

/** Durations from 1 us up. Each shape has its own histogram, so it grows only to the longest duration recorded. */
export class DurationHistogram {
  #counts: Uint32Array = new Uint32Array(256)
  #total = 0

  record(ms: number): void {
    const index = layout.indexOf(toMicroseconds(ms))
    if (index >= this.#counts.length) this.#grow(index)
    this.#counts[index] = (this.#counts[index] as number) + 1
    this.#total += 1
  }

  merge(other: DurationHistogram): void {
    if (other.#counts.length > this.#counts.length) this.#grow(other.#counts.length - 1)
    for (const [index, count] of other.#counts.entries()) this.#counts[index] = (this.#counts[index] as number) + count
    this.#total += other.#total
  }

  /** The duration in milliseconds that this share (0 to 1) of the durations does not exceed; 0 if nothing was recorded. */
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
