import type { CompiledQuery, QueryResult } from 'kysely'

/** `executeQuery` of a connection. Kysely 0.29 passes options with a signal; 0.28 passes none. */
export type Execute = (query: CompiledQuery, options?: unknown) => Promise<QueryResult<unknown>>
