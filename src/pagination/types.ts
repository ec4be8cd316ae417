import type { ExpressionOrFactory, ExtractTypeFromReferenceExpression, Simplify, StringReference } from 'kysely'
import type { Casing } from '../shared/casing.ts'

export type SortDirection = 'asc' | 'desc'

/** Where the NULLs of a key stand in the list, whatever its direction. */
export type NullsPlacement = 'first' | 'last'

/** The family of SQL a query is written in; found from the query's own compiler unless it is given. */
export type SqlDialect = (typeof dialects)[number]

export const dialects = ['postgres', 'mysql', 'sqlite', 'mssql'] as const

/** A column of the query, qualified or not, or a name it selects. An unqualified name that is both means what is selected. */
type Ref<DB, TB extends keyof DB, O> = StringReference<DB, TB> | (keyof O & string)

type RefValue<DB, TB extends keyof DB, O, Name> = Name extends keyof O
  ? O[Name]
  : ExtractTypeFromReferenceExpression<DB, TB, Name>

type Sortable = string | number | bigint | boolean | Date | Uint8Array | null

/**
 * One key of an order. A key that can be NULL (a column behind a left join included) must say where its NULLs stand; a
 * key that cannot must not. So the compiler tells the database which keys need the longer, null-safe predicate.
 *
 * @example
 * ```ts
 * by: ['created_at desc', { key: 'last_login', dir: 'desc', nulls: 'last' }]
 * ```
 */
export type SortKey<DB, TB extends keyof DB, O> =
  | (string extends Ref<DB, TB, O> ? UntypedSortKey : RefSortKey<DB, TB, O>)
  | ExpressionSortKey<DB, TB>

type RefSortKey<DB, TB extends keyof DB, O> = {
  [Name in Ref<DB, TB, O>]: [RefValue<DB, TB, O, Name>] extends [Sortable]
    ? SortKeyOf<Name, RefValue<DB, TB, O, Name>>
    : never
}[Ref<DB, TB, O>]

type SortKeyOf<Name extends string, Value> = 0 extends 1 & Value
  ? UntypedSortKey<Name>
  : null extends Value
    ? { readonly key: Name; readonly dir?: SortDirection | undefined; readonly nulls: NullsPlacement }
    :
        | Name
        | `${Name} ${SortDirection}`
        | { readonly key: Name; readonly dir?: SortDirection | undefined; readonly nulls?: undefined }

/** Where the columns have no types (`Kysely<any>`), any name is taken, and `nulls` says that the key can be NULL. */
type UntypedSortKey<Name extends string = string> =
  | Name
  | `${Name} ${SortDirection}`
  | { readonly key: Name; readonly dir?: SortDirection | undefined; readonly nulls?: NullsPlacement | undefined }

/** A key that is computed. `'never'` promises that it is not NULL for any row. */
interface ExpressionSortKey<DB, TB extends keyof DB> {
  // biome-ignore lint/suspicious/noExplicitAny: any value that the database can order
  readonly expr: ExpressionOrFactory<DB, TB, any>
  readonly dir?: SortDirection | undefined
  readonly nulls: NullsPlacement | 'never'
}

/** A key that is never NULL, so that it can tell rows apart. */
export type UniqueKey<DB, TB extends keyof DB, O> =
  string extends Ref<DB, TB, O>
    ? string
    : {
        [Name in Ref<DB, TB, O>]: [RefValue<DB, TB, O, Name>] extends [Exclude<Sortable, null>] ? Name : never
      }[Ref<DB, TB, O>]

/**
 * How the total is found.
 *
 * - `'exact'`: counted, unless the page itself proves it
 * - `'none'`: not at all, and the result has no `total`
 * - `'estimate'`: exact for small results, else what the planner expects (PostgreSQL, MySQL; elsewhere counted)
 * - `{ atMost }`: counted no further than this
 * - `{ known }`: given by the caller
 */
export type Total = 'exact' | 'none' | 'estimate' | { readonly atMost: number } | { readonly known: number }

/** What a total of {@link Total} `'estimate'` or `{ atMost }` turned out to be. */
export type TotalKind = 'exact' | 'capped' | 'estimate'

type TotalFields<T extends Total> = T extends 'none'
  ? unknown
  : T extends 'estimate' | { readonly atMost: number }
    ? { total: number; totalPages: number; totalIs: TotalKind }
    : { total: number; totalPages: number }

/** The key names that differ between TypeScript objects and JSON documents. */
interface SnakeNames {
  perPage: 'per_page'
  totalPages: 'total_pages'
  totalIs: 'total_is'
  hasNext: 'has_next'
  hasPrev: 'has_prev'
}

type Cased<Fields, C extends Casing> = Simplify<
  C extends 'snake'
    ? { [Name in keyof Fields as Name extends keyof SnakeNames ? SnakeNames[Name] : Name]: Fields[Name] }
    : Fields
>

/** A numbered page, found by OFFSET. */
export interface Page<Row, T extends Total = 'exact', C extends Casing = 'camel'> {
  items: Row[]
  pagination: Cased<{ page: number; perPage: number } & TotalFields<T> & { hasNext: boolean; hasPrev: boolean }, C>
}

/** A page after or before a cursor. `next` and `prev` are the cursors to ask with, and `null` where nothing follows. */
export interface CursorPage<Row, T extends Total = 'none', C extends Casing = 'camel'> {
  items: Row[]
  pagination: Cased<
    {
      perPage: number
      hasNext: boolean
      hasPrev: boolean
      next: string | null
      prev: string | null
    } & TotalFields<T> & {
        /** The pages that follow, where `jump` asked for them. */
        jump?: JumpTarget[]
      },
    C
  >
}

/** A page further on: its number, and the cursor that leads there. */
export interface JumpTarget {
  page: number
  after: string
}

/** A connection of the Relay specification, with both flags exact in both directions. */
export interface Connection<Row> {
  edges: { node: Row; cursor: string }[]
  nodes: Row[]
  pageInfo: {
    hasNextPage: boolean
    hasPreviousPage: boolean
    startCursor: string | null
    endCursor: string | null
  }
  /** Counts the rows of the query, once, when it is first called. */
  totalCount(): Promise<number>
}

/** Rows of {@link readChunks}, and the cursor that stands after them. */
export interface Chunk<Row> {
  rows: Row[]
  cursor: string
}

/** The order of a list. */
export interface OrderOptions<DB, TB extends keyof DB, O> {
  /**
   * The keys of the order, the first one first. Absent or empty: the query's own `orderBy()`, whose keys are then taken
   * as possibly NULL; without one, `unique` ascending. Giving both is an error.
   */
  readonly by?: readonly SortKey<DB, TB, NoInfer<O>>[] | undefined
  /**
   * The key, or the keys together, that tell rows apart: a primary key. They are believed, never checked, and appended
   * to the order in the direction of its last key.
   */
  readonly unique: UniqueKey<DB, TB, NoInfer<O>> | readonly UniqueKey<DB, TB, NoInfer<O>>[]
  /** Rejects with the signal's reason once it is aborted. */
  readonly signal?: AbortSignal | undefined
  /** @defaultValue what the query's own compiler writes */
  readonly dialect?: SqlDialect | undefined
}

interface PageOptions<DB, TB extends keyof DB, O, T extends Total> extends OrderOptions<DB, TB, O> {
  /**
   * Rows a page, from 1 to the paginator's maximum (100).
   * @defaultValue 10
   */
  readonly perPage?: number | undefined
  /** How the total is found. */
  readonly total?: T | undefined
}

export interface PaginateOptions<DB, TB extends keyof DB, O, T extends Total = 'exact'>
  extends PageOptions<DB, TB, O, T> {
  /**
   * Number of the page, from 1 up.
   * @defaultValue 1
   */
  readonly page?: number | undefined
  /** The largest number of rows to skip; a page beyond it is `ERR_PAGE_TOO_DEEP`, because the database reads them all. */
  readonly maxOffset?: number | undefined
}

export interface CursorPaginateOptions<DB, TB extends keyof DB, O, T extends Total = 'none'>
  extends PageOptions<DB, TB, O, T> {
  /** The cursor of another page: the rows that follow it. */
  readonly after?: string | null | undefined
  /** The cursor of another page: the rows that stand before it. */
  readonly before?: string | null | undefined
  /**
   * The page to give when there is no cursor: the first or the last.
   * @defaultValue 'start'
   */
  readonly from?: 'start' | 'end' | undefined
  /** What the cursor belongs to, besides the order: a tenant, the filters. A cursor of another scope is refused. */
  readonly scope?: unknown
  /**
   * Also finds the cursors of up to this many pages that follow, for numbered links, by one query over the keys alone.
   * Pages are counted from the first one of a walk; a page that was reached from the end has no number and no targets.
   */
  readonly jump?: number | undefined
}

/** The arguments of a Relay connection field, as the client sent them. */
export interface ConnectionArguments {
  readonly first?: number | null | undefined
  readonly after?: string | null | undefined
  readonly last?: number | null | undefined
  readonly before?: string | null | undefined
}

export interface RelayConnectionOptions<DB, TB extends keyof DB, O> extends OrderOptions<DB, TB, O> {
  /** What the cursors belong to, besides the order. */
  readonly scope?: unknown
  /**
   * The most that `first` and `last` may ask for.
   * @defaultValue the paginator's maximum (100)
   */
  readonly maxPerPage?: number | undefined
}

export interface ReadOptions<DB, TB extends keyof DB, O> extends OrderOptions<DB, TB, O> {
  /**
   * Rows a statement.
   * @defaultValue 1000
   */
  readonly size?: number | undefined
  /** The cursor of a chunk: reading goes on behind it. */
  readonly after?: string | null | undefined
  /**
   * Asks for the next chunk while this one is worked on.
   * @defaultValue false
   */
  readonly prefetch?: boolean | undefined
  /** What the cursors belong to, besides the order. */
  readonly scope?: unknown
}

/** Chunks of a query in its order. It can be read once; {@link ChunkReader.resumeFrom} starts another reading. */
export interface ChunkReader<Row> extends AsyncIterableIterator<Chunk<Row>> {
  /** The same reading, from behind the cursor of a chunk. */
  resumeFrom(cursor: string): ChunkReader<Row>
}

/** Rows of a query in its order. It can be read once; {@link RowReader.resumeFrom} starts another reading. */
export interface RowReader<Row> extends AsyncIterableIterator<Row> {
  /** The cursor of the row that was read last, and `null` before the first. */
  readonly cursor: string | null
  /** The same reading, from behind the cursor of a row. */
  resumeFrom(cursor: string): RowReader<Row>
}
