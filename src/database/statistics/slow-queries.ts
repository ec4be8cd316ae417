import type { CompiledQuery } from 'kysely'
import { RecentMap } from '../../shared/recent-map.ts'
import { notify } from '../../shared/rejections.ts'
import type { SlowQuery } from '../types.ts'
import type { ShapeStatistics } from './shape-statistics.ts'

const maxSlowQueries = 100
/** More than there are slow queries: a shape is explained once an hour, and may be slow again until then. */
const maxPlans = 500

type Explain = (query: CompiledQuery, shape: ShapeStatistics) => Promise<string | undefined>

/** Keeps the last slow queries, and asks for their plans. */
export class SlowQueries {
  readonly thresholdMs: number
  readonly #explain: Explain | undefined
  readonly #onSlow: ((query: SlowQuery) => void) | undefined
  readonly #queries: SlowQuery[] = []
  readonly #plansByShape = new RecentMap<string>(maxPlans)

  constructor(thresholdMs: number, explain: Explain | undefined, onSlow: ((query: SlowQuery) => void) | undefined) {
    this.thresholdMs = thresholdMs
    this.#explain = explain
    this.#onSlow = onSlow
  }

  add(query: CompiledQuery, shape: ShapeStatistics, run: Omit<SlowQuery, 'at' | 'shape' | 'plan'>): void {
    const slow = { at: new Date().toISOString(), shape: shape.text, ...run }
    this.#queries.unshift(slow)
    if (this.#queries.length > maxSlowQueries) this.#queries.pop()
    // Counts as a use, which keeps the plan.
    this.#plansByShape.get(shape.text)
    if (this.#onSlow !== undefined) notify(this.#onSlow, slow)
    void this.#explain?.(query, shape).then((plan) => {
      if (plan !== undefined) this.#plansByShape.set(shape.text, plan)
    })
  }

  /** Newest first, each with the latest plan of its shape. */
  list(): SlowQuery[] {
    return this.#queries.map((slow) => {
      const plan = this.#plansByShape.peek(slow.shape)
      return plan === undefined ? slow : { ...slow, plan }
    })
  }
}
