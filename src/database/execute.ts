import { CompiledQuery, type Driver, type QueryResult, SelectQueryNode } from 'kysely'

/** Runs our own statements, such as EXPLAIN, on a separate connection. They appear in no statistics. */
export type WithOwnConnection = <Result>(use: (execute: Execute) => Promise<Result>) => Promise<Result>

/** `executeQuery` of a connection. Kysely 0.29 passes options with a signal; 0.28 passes none. */
export type Execute = (query: CompiledQuery, options?: unknown) => Promise<QueryResult<unknown>>

/** The rows of `streamQuery` of a connection. */
export type Chunks = AsyncGenerator<QueryResult<unknown>, void, void>

/** The options of `acquireConnection`: on Kysely 0.29 with a signal, on 0.28 none. */
export type AcquireOptions = Parameters<Driver['acquireConnection']>[0]

/**
 * Planning waits for locks, such as that of an ALTER TABLE. With this limit, PostgreSQL gives up after a second, within
 * the transaction.
 */
export const planningLimit = "set local statement_timeout = '1s'"

/** Plans on PostgreSQL, in a transaction that reads only and is rolled back. */
export async function whilePlanning<Result>(execute: Execute, plan: () => Promise<Result>): Promise<Result> {
  await execute(CompiledQuery.raw('begin read only'))
  try {
    await execute(CompiledQuery.raw(planningLimit))
    return await plan()
  } finally {
    await execute(CompiledQuery.raw('rollback'))
  }
}

/**
 * SQL that returns rows. Some SQLite drivers look only at the node to see whether a statement returns rows. For raw SQL,
 * they would return none.
 */
export function readingQuery(sql: string, parameters: readonly unknown[] = []): CompiledQuery {
  return { ...CompiledQuery.raw(sql, [...parameters]), query: SelectQueryNode.create() }
}
