import type { CompiledQuery } from 'kysely'

/** A statement that answers several lookups. Statistics count it once, under the shape of the lookups. */
export interface JoinedQuery extends CompiledQuery {
  readonly lookups: readonly CompiledQuery[]
}

/** The lookups that a joined statement answers; `undefined` for every other query. */
export function lookupsOf(query: CompiledQuery): readonly CompiledQuery[] | undefined {
  return (query as Partial<JoinedQuery>).lookups
}
