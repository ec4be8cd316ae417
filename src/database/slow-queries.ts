import type { CompiledQuery } from 'kysely'
import type { ShapeStatistics } from './query-statistics.ts'
import type { SlowQuery } from './types.ts'

/** Slow queries that are kept for the report. */
const maxKept = 100

/** Keeps the last slow queries, and asks for the plan of those that have not been explained lately. */
export class SlowQueries {
  readonly thresholdMs: number
  readonly #explain: ((query: CompiledQuery, shape: ShapeStatistics) => Promise<string | undefined>) | undefined
  readonly #onSlow: ((query: SlowQuery) => void) | undefined
  readonly #kept: SlowQuery[] = []
  readonly #plans = new Map<string, string>()

  constructor(
    thresholdMs: number,
    explain: ((query: CompiledQuery, shape: ShapeStatistics) => Promise<string | undefined>) | undefined,
    onSlow: ((query: SlowQuery) => void) | undefined,
  ) {
    this.thresholdMs = thresholdMs
    this.#explain = explain
    this.#onSlow = onSlow
  }

  add(query: CompiledQuery, shape: ShapeStatistics, run: Omit<SlowQuery, 'at' | 'shape' | 'plan'>): void {
    const slow = { at: new Date().toISOString(), shape: shape.text, ...run }
    this.#kept.unshift(slow)
    if (this.#kept.length > maxKept) this.#kept.pop()
    try {
      this.#onSlow?.(slow)
    } catch {
      // A listener's mistake must not fail the query it was told about.
    }
    void this.#explain?.(query, shape).then((plan) => {
      if (plan !== undefined) this.#plans.set(shape.text, plan)
    })
  }

  /** Newest first, each with the latest plan of its shape. */
  list(): SlowQuery[] {
    return this.#kept.map((slow) => {
      const plan = this.#plans.get(slow.shape)
      return plan === undefined ? slow : { ...slow, plan }
    })
  }
}
