import { CompiledQuery } from 'kysely'
import type { SqlDialect } from './dialect.ts'
import type { Execute } from './execute.ts'
import type { Borrow } from './instruments.ts'
import type { ShapeStatistics } from './query-statistics.ts'

const intervalMs = 3_600_000

/**
 * Asks the database how it runs a query. Plain EXPLAIN, which executes nothing, for SELECTs that Kysely built; on a
 * connection of its own, one at a time, and once per shape and hour.
 */
export class QueryPlans {
  readonly #dialect: SqlDialect
  readonly #borrow: Borrow
  readonly #onPlan: (query: CompiledQuery, shape: ShapeStatistics, plan: string) => Promise<void>
  readonly #askedAt = new WeakMap<ShapeStatistics, number>()
  #busy = false

  constructor(
    dialect: SqlDialect,
    borrow: Borrow,
    onPlan: (query: CompiledQuery, shape: ShapeStatistics, plan: string) => Promise<void>,
  ) {
    this.#dialect = dialect
    this.#borrow = borrow
    this.#onPlan = onPlan
  }

  /** The plan; `undefined` when it was asked for lately, or cannot be had. Never rejects. */
  async explain(query: CompiledQuery, shape: ShapeStatistics): Promise<string | undefined> {
    if (query.query.kind !== 'SelectQueryNode' || query.query.explain !== undefined || this.#dialect === 'mssql') return
    const now = performance.now()
    if (this.#busy || now - (this.#askedAt.get(shape) ?? -Infinity) < intervalMs) return
    this.#busy = true
    this.#askedAt.set(shape, now)
    try {
      const plan = await this.#borrow((execute) => explainers[this.#dialect](execute, query))
      await this.#onPlan(query, shape, plan)
      return plan
    } catch {
      // The plan is a help; that it cannot be had must not disturb anybody.
      return undefined
    } finally {
      this.#busy = false
    }
  }
}

/** Each gives one line a step, without any value of the query. */
const explainers: { readonly [Dialect in SqlDialect]: (execute: Execute, query: CompiledQuery) => Promise<string> } = {
  async postgres(execute, query) {
    // Planning waits for locks like everything else: behind an ALTER TABLE it gives up.
    await execute(CompiledQuery.raw('begin read only'))
    try {
      await execute(CompiledQuery.raw("set local statement_timeout = '1s'"))
      const rows = await explain(execute, 'explain', query)
      return rows.map((row) => withoutValues(String(row['QUERY PLAN']))).join('\n')
    } finally {
      await execute(CompiledQuery.raw('rollback'))
    }
  },
  async mysql(execute, query) {
    const rows = await explain(execute, 'explain', query)
    return rows.map((row) => `${row.table}: ${row.type}, key ${row.key}, rows ${row.rows}, ${row.Extra}`).join('\n')
  },
  async sqlite(execute, query) {
    const rows = await explain(execute, 'explain query plan', query)
    return rows.map((row) => String(row.detail)).join('\n')
  },
  async mssql() {
    throw new Error('SQL Server has no EXPLAIN')
  },
}

async function explain(execute: Execute, verb: string, query: CompiledQuery): Promise<Record<string, unknown>[]> {
  const { rows } = await execute(CompiledQuery.raw(`${verb} ${query.sql}`, [...query.parameters]))
  return rows as Record<string, unknown>[]
}

/** PostgreSQL writes the values into its conditions, which stand on lines without costs. */
function withoutValues(line: string): string {
  if (line.includes('(cost=')) return line
  return line.replace(/'(?:[^']|'')*'/g, '?').replace(/([=<>~] ?\(?)-?\d+(?:\.\d+)?\b/g, '$1?')
}
