import type { DialectAdapter } from 'kysely'
import type { QueryReport } from './types.ts'

const reports = new WeakMap<DialectAdapter, () => QueryReport>()

/**
 * What `instrument` has seen of a `Kysely`, its transactions and whatever `withPlugin` and `withSchema` made of it.
 *
 * @throws TypeError when the `Kysely` was not made with `instrument`
 *
 * @example
 * ```ts
 * console.table(queryReport(db).queries)
 * ```
 */
export function queryReport(db: InstrumentedKysely): QueryReport {
  const report = reports.get(db.getExecutor().adapter)
  if (report === undefined) throw new TypeError('Expected `db` to be a Kysely made with `instrument(config)`')
  return report()
}

/** Any `Kysely`, whatever its tables. */
export interface InstrumentedKysely {
  getExecutor(): { readonly adapter: DialectAdapter }
}

/** The adapter is the one thing that all descendants of a `Kysely` share. */
export function registerReport(adapter: DialectAdapter, report: () => QueryReport): void {
  reports.set(adapter, report)
}
