import type { DialectAdapter } from 'kysely'
import { expectObject } from '../shared/arguments.ts'
import type { QueryReport } from './types.ts'

const reportsByAdapter = new WeakMap<DialectAdapter, () => QueryReport>()

/**
 * Reports the queries that `instrument` has seen on a `Kysely`, on its transactions, and on every `Kysely` that
 * `withPlugin` and `withSchema` derived from it.
 *
 * @throws TypeError when the `Kysely` was not made with `instrument`
 *
 * @example
 * ```ts
 * console.table(queryReport(db).queries)
 * ```
 */
export function queryReport(db: InstrumentedKysely): QueryReport {
  expectObject(db, 'db', ['getExecutor'], 'a Kysely')
  const report = reportsByAdapter.get(db.getExecutor().adapter)
  if (report === undefined) {
    throw new TypeError('Expected `db` to be a Kysely made with `instrument(config)` of this copy of posthaste')
  }
  return report()
}

/** Any `Kysely`, whatever its tables. */
export interface InstrumentedKysely {
  getExecutor(): { readonly adapter: DialectAdapter }
}

/** Finds the report by the adapter: it is the only object that a `Kysely` shares with all that are derived from it. */
export function registerReport(adapter: DialectAdapter, report: () => QueryReport): void {
  reportsByAdapter.set(adapter, report)
}
