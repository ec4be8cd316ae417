import type { SelectQueryBuilder } from 'kysely'
import { countSource } from './count.ts'
import { Source, untyped } from './source.ts'

/**
 * The number of rows that the query gives: also when it is grouped, distinct, combined or limited, where counting the
 * rows of its tables would be wrong. Its order is left out.
 *
 * @example
 * ```ts
 * await countRows(db.selectFrom('orders').select('customer_id').distinct())
 * ```
 */
export function countRows<DB, TB extends keyof DB, O>(query: SelectQueryBuilder<DB, TB, O>): Promise<number> {
  return countSource(new Source(untyped(query)))
}
