import type { SelectQueryBuilder } from 'kysely'
import type { Paginator } from 'posthaste/pagination'
import type { SqlDialect } from '../../../src/pagination/types.ts'

/** Tables whose columns are of no interest to the compiler. */
export type Query = SelectQueryBuilder<Record<string, Record<string, unknown>>, string, object>

interface WalkOptions {
  readonly by?: readonly unknown[]
  readonly unique: string
  readonly perPage: number
}

/** The rows of each page, from the first page to the last. */
export async function* pagesOf(
  { cursorPaginate }: Pick<Paginator, 'cursorPaginate'>,
  query: Query,
  options: WalkOptions,
): AsyncGenerator<readonly object[], void> {
  let after: string | null = null
  do {
    const page: { items: object[]; pagination: { next: string | null } } = await cursorPaginate(query, {
      ...options,
      after,
    } as never)
    yield page.items
    after = page.pagination.next
  } while (after !== null)
}

export function idsOf(rows: readonly unknown[]): number[] {
  return rows.map((row) => Number((row as { id: unknown }).id))
}

/** Where the database itself has NULLs. */
export function nativeNulls(dialect: SqlDialect, isDescending: boolean): 'first' | 'last' {
  return (dialect === 'postgres') === isDescending ? 'first' : 'last'
}
