import type { CompiledQuery, QueryResult } from 'kysely'

/** Runs our own statements, such as EXPLAIN, on a separate connection. They appear in no statistics. */
export type WithOwnConnection = <Result>(use: (execute: Execute) => Promise<Result>) => Promise<Result>

/** `executeQuery` of a connection. Kysely 0.29 passes options with a signal; 0.28 passes none. */
export type Execute = (query: CompiledQuery, options?: unknown) => Promise<QueryResult<unknown>>
