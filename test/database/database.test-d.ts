import type { Kysely, KyselyConfig } from 'kysely'
import { createPool, type Pool as MysqlPool } from 'mysql2'
import pg from 'pg'
import {
  type AutoBatchReport,
  type AutoBatchShape,
  type ErrorClass,
  expectQueries,
  ignoreNPlusOne,
  instrument,
  type PoolStats,
  poolOptions,
  queryReport,
  retryTransaction,
  tuneMysqlPool,
  tunePgPool,
  withQueryScope,
} from 'posthaste'

interface Tables {
  users: { id: number; name: string }
}
declare const db: Kysely<Tables>
declare const config: KyselyConfig
declare const error: ErrorClass

export const sameConfig: KyselyConfig = instrument(config, { slow: '100ms', nPlusOne: false, timeout: undefined })
// @ts-expect-error -- a bare number has no unit
instrument(config, { slow: 100 })
// @ts-expect-error -- EXPLAIN ANALYZE would execute the query
instrument(config, { explain: 'analyze' })
// @ts-expect-error -- no such mode
instrument(config, { nPlusOne: { mode: 'loud' } })

export const advice: string | undefined = queryReport(db).poolAdvice
export const shapes: readonly string[] = queryReport(db).queries.map(({ shape }) => shape)
instrument(config, { autoBatch: true })
instrument(config, { autoBatch: { maxBatch: 100 } })
// @ts-expect-error -- no such option
instrument(config, { autoBatch: { size: 100 } })
export const joined: AutoBatchReport = queryReport(db).autoBatch
export const refusals: readonly (string | undefined)[] = joined.shapes.map((shape: AutoBatchShape) => shape.refused)
export const lookups: number | undefined = queryReport(db).slow[0]?.lookups
instrument(config, { onQuery: ({ lookups }: { lookups?: number | undefined }) => lookups })

// @ts-expect-error -- an instrumented Kysely is needed, not its configuration
queryReport(config)

export const pool: pg.Pool & { stats(): PoolStats } = tunePgPool(new pg.Pool(poolOptions('pg').options))
export const mysql: MysqlPool & { stats(): PoolStats } = tuneMysqlPool(createPool(poolOptions('mysql2').options))
// @ts-expect-error -- the options of one driver do not fit the other
createPool(poolOptions('pg').options).query(poolOptions('pg').options.connectionLimit)
// @ts-expect-error -- no such driver
poolOptions('oracle')
// @ts-expect-error -- a bare number has no unit
poolOptions('pg', { poolTimeout: 30 })

export const name: Promise<string> = retryTransaction(db, async (trx, attempt: number) => {
  const { name } = await trx.selectFrom('users').select('name').where('id', '=', attempt).executeTakeFirstOrThrow()
  return name
})
// @ts-expect-error -- no such column in the transaction either
retryTransaction(db, (trx) => trx.selectFrom('users').select('nam').execute())

export const five: number = withQueryScope('job', () => 5)
declare const lazy: PromiseLike<string>
export const started: Promise<string> = withQueryScope('job', () => lazy)
export const ignored: Promise<string> = ignoreNPlusOne(() => lazy)
export const sent: Promise<string> = expectQueries(() => lazy)
// @ts-expect-error -- what is awaited within the scope is a promise
withQueryScope('job', () => lazy).length
export const later: Promise<number> = expectQueries(async () => 5, { max: 1 })
export const retry: 'transaction' | 'statement-if-idempotent' | 'after-delay' | 'no' = error.retry
