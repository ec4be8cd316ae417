import type { CompiledQuery } from 'kysely'
import type { SqlDialect } from '../../shared/sql/statement.ts'
import { type Execute, readingQuery, type WithOwnConnection, whilePlanning } from '../execute.ts'
import type { ShapeStatistics } from '../statistics/shape-statistics.ts'
import type { IndexAdvisor } from './index-advisor.ts'

const minIntervalMs = 3_600_000

/**
 * Asks the database for the plan of a query by plain EXPLAIN, which executes nothing. It does so only for SELECTs that
 * Kysely built, one at a time, on a separate connection, and once per shape and hour.
 */
export class QueryPlans {
  readonly #dialect: SqlDialect
  readonly #withOwnConnection: WithOwnConnection
  readonly #advisor: IndexAdvisor | undefined
  readonly #explainedAt = new WeakMap<ShapeStatistics, number>()
  #isBusy = false

  constructor(dialect: SqlDialect, withOwnConnection: WithOwnConnection, advisor: IndexAdvisor | undefined) {
    this.#dialect = dialect
    this.#withOwnConnection = withOwnConnection
    this.#advisor = advisor
  }

  /** Returns the plan, or `undefined` when the shape was explained lately or EXPLAIN fails. Never rejects. */
  async explain(query: CompiledQuery, shape: ShapeStatistics): Promise<string | undefined> {
    const dialect = this.#dialect
    if (query.query.kind !== 'SelectQueryNode' || query.query.explain !== undefined || dialect === 'mssql') return
    const now = performance.now()
    if (this.#isBusy || now - (this.#explainedAt.get(shape) ?? -Infinity) < minIntervalMs) return
    this.#isBusy = true
    this.#explainedAt.set(shape, now)
    try {
      const plan = await this.#withOwnConnection((execute) => explainers[dialect](execute, query))
      // A plan is worth showing even if the advice fails.
      await this.#advisor?.addFor(query, shape, plan).catch(() => {})
      return plan
    } catch {
      // The plan is optional: a failing EXPLAIN must not disturb the user's queries.
      return undefined
    } finally {
      this.#isBusy = false
    }
  }
}

/** Each returns one line per step, without any value of the query. */
const explainers = {
  async postgres(execute: Execute, query: CompiledQuery): Promise<string> {
    const rows = await whilePlanning(execute, () => explain(execute, 'explain', query))
    return withoutValues(rows.map((row) => String(row['QUERY PLAN'])).join('\n'))
  },
  async mysql(execute: Execute, query: CompiledQuery): Promise<string> {
    // Without `format`, MySQL 9 prints a tree, which shows the values.
    const rows = await explain(execute, 'explain format=traditional', query)
    return rows
      .map(({ table, type, key, rows, Extra }) => `${table}: ${type}, key ${key}, rows ${rows}, ${Extra ?? ''}`)
      .join('\n')
  },
  async sqlite(execute: Execute, query: CompiledQuery): Promise<string> {
    const rows = await explain(execute, 'explain query plan', query)
    return rows.map((row) => String(row.detail)).join('\n')
  },
}

async function explain(execute: Execute, verb: string, query: CompiledQuery): Promise<Record<string, unknown>[]> {
  const { rows } = await execute(readingQuery(`${verb} ${query.sql}`, query.parameters))
  return rows as Record<string, unknown>[]
}

/**
 * Hides the values that PostgreSQL shows in its conditions. A text may have several lines, and names in double quotes may
 * have an apostrophe. Lines with costs, and lines with nothing but a count, hold no conditions.
 */
function withoutValues(plan: string): string {
  const withoutTexts = plan.replace(/("(?:[^"]|"")*")|'(?:[^']|'')*'/g, (_text, name?: string) => name ?? '?')
  const hasCondition = (line: string) => !line.includes('(cost=') && !/^[\w ]+: \d+$/.test(line)
  return withoutTexts
    .split('\n')
    .map((line) => (hasCondition(line) ? line.replace(number, (_number, name?: string) => name ?? '?') : line))
    .join('\n')
}

/** Digits in a name, and the number of a plan such as `SubPlan 1`, are no value. */
const number = /("(?:[^"]|"")*")|(?<![\w$.]|Plan )-?\d+(?:\.\d+)?(?!\w)/g
