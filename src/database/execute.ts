import { CompiledQuery, type Driver, type QueryResult, SelectQueryNode } from 'kysely'

/** Runs our own statements, such as EXPLAIN, on a separate connection. They appear in no statistics. */
export type WithOwnConnection = <Result>(use: (execute: Execute) => Promise<Result>) => Promise<Result>

/** `executeQuery` of a connection. Kysely 0.29 passes options with a signal; 0.28 passes none. */
export type Execute = (query: CompiledQuery, options?: unknown) => Promise<QueryResult<unknown>>

/** Kysely 0.29 passes a signal; 0.28 passes nothing. */
export type AcquireOptions = Parameters<Driver['acquireConnection']>[0]

/** Planning waits for locks, such as that of an ALTER TABLE: within its transaction, PostgreSQL gives up after a second. */
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

/** SQL that returns rows. Some drivers of SQLite see only from the node whether a statement has any, and give none for raw SQL. */
export function readingQuery(sql: string, parameters: readonly unknown[] = []): CompiledQuery {
  return { ...CompiledQuery.raw(sql, [...parameters]), query: SelectQueryNode.create() }
}
