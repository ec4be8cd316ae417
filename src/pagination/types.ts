import type {
  DynamicReferenceBuilder,
  ExpressionOrFactory,
  ExtractTypeFromReferenceExpression,
  Simplify,
  StringReference,
} from 'kysely'
import type { Casing } from '../shared/casing.ts'
import type { SqlDialect } from '../shared/sql/statement.ts'

export type { SqlDialect } from '../shared/sql/statement.ts'

export type SortDirection = 'asc' | 'desc'

/** Where the NULLs of a key stand in the list, in either direction. */
export type NullsPlacement = 'first' | 'last'

/** A column whose name is known at run time only. It counts as never NULL unless `nulls` is given. */
type DynamicKey = DynamicReferenceBuilder<string>

/** Whether the compiler tells null from other types (`strictNullChecks`). Where it does not, every type takes null. */
type TellsNull = null extends string ? false : true

/**
 * One key of an order. A key that can be NULL (also by a left join) must say where its NULLs stand. So the types show which
 * keys need the longer, null-safe predicate. Any other key may say it too, to match an index that is declared so.
 *
 * @example
 * ```ts
 * by: ['created_at desc', { key: 'last_login', dir: 'desc', nulls: 'last' }]
 * ```
 */
export type SortKey<DB, TB extends keyof DB, O> =
  | NullableSortKey<StringReference<DB, TB> | (keyof O & string)>
  | FreeSortKey<NeverNullName<DB, TB, O>>
  | ExpressionSortKey<DB, TB>
  | DynamicKey

// The names are one union, so that `{ key, dir }` takes a `key` that a client chooses.
type FreeSortKey<Name extends string> =
  | Name
  | `${Name} ${SortDirection}`
  | {
      readonly key: Name | DynamicKey
      readonly dir?: SortDirection | undefined
      readonly nulls?: NullsPlacement | undefined
    }

/** A key that can be NULL. It has no short form as text, because it must say where its NULLs stand. */
export interface NullableSortKey<Name extends string = string> {
  readonly key: Name
  readonly dir?: SortDirection | undefined
  /** This key can be NULL: say where such rows stand. */
  readonly nulls: NullsPlacement
}

/** A computed key. `'never'` promises that it is never NULL. */
interface ExpressionSortKey<DB, TB extends keyof DB> {
  // biome-ignore lint/suspicious/noExplicitAny: any value that the database can order
  readonly expr: ExpressionOrFactory<DB, TB, any> | DynamicKey
  readonly dir?: SortDirection | undefined
  readonly nulls: NullsPlacement | 'never'
}

/** A key that is never NULL, and can tell rows apart. */
export type UniqueKey<DB, TB extends keyof DB, O> = NeverNullName<DB, TB, O> | DynamicKey

// Without column types (`Kysely<any>`), any name is accepted. Columns and aliases are separate unions, so that a function
// that is generic in `O` can name columns.
type NeverNullName<DB, TB extends keyof DB, O> =
  | (string extends StringReference<DB, TB>
      ? string
      : {
          [Name in StringReference<DB, TB>]: NeverNull<Name, ExtractTypeFromReferenceExpression<DB, TB, Name>>
        }[StringReference<DB, TB>])
  | (string extends keyof O ? string : { [Name in keyof O & string]: NeverNull<Name, O[Name]> }[keyof O & string])

type NeverNull<Name extends string, Value> = 0 extends 1 & Value
  ? Name
  : TellsNull extends false
    ? Name
    : null extends Value
      ? never
      : Name

/**
 * How the total is found.
 *
 * - `'exact'`: by counting, unless the page itself proves the total
 * - `'none'`: not at all; the result has no `total`
 * - `'estimate'`: by counting up to 10,000 rows, then from the planner (PostgreSQL, MySQL; elsewhere by counting)
 * - `{ atMost }`: by counting no further than this
 * - `{ known }`: from the caller
 */
export type Total = 'exact' | 'none' | 'estimate' | { readonly atMost: number } | { readonly known: number }

/** How exact the total is, when it was asked for by `'estimate'` or `{ atMost }`. */
export type TotalKind = 'exact' | 'capped' | 'estimate'

// Optional if `T` leaves open whether there is a total, as in `total: after ? 'none' : 'exact'`.
type TotalFields<T extends Total> = [T] extends ['none']
  ? unknown
  : 'none' extends T
    ? Partial<CountedFields<T>>
    : CountedFields<T>

type CountedFields<T extends Total> = { total: number; totalPages: number } & ([Extract<T, Inexact>] extends [never]
  ? unknown
  : [T] extends [Inexact]
    ? { totalIs: TotalKind }
    : { totalIs?: TotalKind })

type Inexact = 'estimate' | { readonly atMost: number }

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

/** A page after or before a cursor. `next` and `prev` are cursors to ask with; `null` when there is no such page. */
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
        /** The pages that follow, if `jump` asked for them. */
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
  /** Counts the rows of the query at the first call; later calls return the same total. */
  totalCount(): Promise<number>
}

/** Rows of {@link readChunks}, and the cursor after them. */
export interface Chunk<Row> {
  rows: Row[]
  cursor: string
}

/** The order of a list. */
export interface OrderOptions<DB, TB extends keyof DB, O> {
  /**
   * The keys of the order. If it is absent or empty, the query's own `orderBy()` counts, and any of its keys may be NULL;
   * without an `orderBy()`, the order is `unique` ascending. To give both `by` and `orderBy()` is an error.
   */
  readonly by?: readonly SortKey<DB, TB, NoInfer<O>>[] | undefined
  /**
   * The key or keys that no two rows share, such as the primary key. They are added to the end of the order, in the direction
   * of its last key.
   */
  readonly unique: UniqueKey<DB, TB, NoInfer<O>> | readonly UniqueKey<DB, TB, NoInfer<O>>[]
  /** Rejects with the signal's reason once it is aborted. */
  readonly signal?: AbortSignal | undefined
  /** The database's SQL dialect. @defaultValue the dialect of the query's own compiler */
  readonly dialect?: SqlDialect | undefined
}

interface PageOptions<DB, TB extends keyof DB, O, T extends Total> extends OrderOptions<DB, TB, O> {
  /**
   * Rows per page, from 1 to the paginator's maximum (100).
   * @defaultValue 10
   */
  readonly perPage?: number | undefined
  /**
   * The largest `perPage`. A parsed list query has it, so that a page accepts the sizes that `listQuery` accepted.
   * @defaultValue the paginator's maximum (100)
   */
  readonly maxPerPage?: number | undefined
  /**
   * How the total is found: `'exact'`, `'none'`, `'estimate'`, `{ atMost }` or `{ known }`.
   * @defaultValue `'exact'` for `paginate`, `'none'` for `cursorPaginate`
   */
  readonly total?: T | undefined
}

export interface PaginateOptions<DB, TB extends keyof DB, O, T extends Total = 'exact'>
  extends PageOptions<DB, TB, O, T> {
  /**
   * The number of the page, from 1 up.
   * @defaultValue 1
   */
  readonly page?: number | null | undefined
  /** The largest number of rows to skip; a page beyond it is `ERR_PAGE_TOO_DEEP`, because the database reads them all. */
  readonly maxOffset?: number | undefined
}

export interface CursorPaginateOptions<DB, TB extends keyof DB, O, T extends Total = 'none'>
  extends PageOptions<DB, TB, O, T> {
  /** Asks for the rows after this cursor. */
  readonly after?: string | null | undefined
  /** Asks for the rows before this cursor. */
  readonly before?: string | null | undefined
  /**
   * The page to read when there is no cursor: the first or the last.
   * @defaultValue 'start'
   */
  readonly from?: 'start' | 'end' | undefined
  /** A plain value that cursors are bound to, besides the order: a tenant, the filters. Cursors of another scope are refused. */
  readonly scope?: unknown
  /**
   * Also finds the cursors of up to this many pages that follow, for numbered links, by one more query that reads keys only.
   * Page numbers count from the first page of a walk: a page that was reached from the end has no number and no targets.
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
  /** A plain value that cursors are bound to, besides the order. */
  readonly scope?: unknown
  /**
   * The largest `first` and `last`.
   * @defaultValue the paginator's maximum (100)
   */
  readonly maxPerPage?: number | undefined
}

export interface ReadOptions<DB, TB extends keyof DB, O> extends OrderOptions<DB, TB, O> {
  /**
   * Rows per statement.
   * @defaultValue 1000
   */
  readonly size?: number | undefined
  /** The cursor of a chunk or row: reading continues after it. */
  readonly after?: string | null | undefined
  /**
   * Reads the next chunk while the caller works on this one.
   * @defaultValue false
   */
  readonly prefetch?: boolean | undefined
  /** A plain value that cursors are bound to, besides the order. */
  readonly scope?: unknown
}

/** The page to explain, by the options of `paginate` or `cursorPaginate`. */
export interface ExplainOptions<DB, TB extends keyof DB, O> extends OrderOptions<DB, TB, O> {
  /** @defaultValue 10 */
  readonly perPage?: number | undefined
  /** The largest `perPage`, as for the page itself. @defaultValue the paginator's maximum (100) */
  readonly maxPerPage?: number | undefined
  /** From the second page on, the page is read by OFFSET, which scans all rows before it. @defaultValue 1 */
  readonly page?: number | null | undefined
  /** Explains the page after this cursor. */
  readonly after?: string | null | undefined
  /** Explains the page before this cursor. */
  readonly before?: string | null | undefined
  /** Explains the first or the last page. @defaultValue 'start' */
  readonly from?: 'start' | 'end' | undefined
  /** The `scope` that the cursor was made with. */
  readonly scope?: unknown
  /** Runs the statement, and counts the rows that it reads. @defaultValue false */
  readonly analyze?: boolean | undefined
}

/** Chunks of a query in its order. They can be read once; {@link ChunkReader.resumeFrom} reads again. */
export interface ChunkReader<Row> extends AsyncIterableIterator<Chunk<Row>> {
  /** A new reader with the same options, which starts after the cursor of a chunk. */
  resumeFrom(cursor: string): ChunkReader<Row>
}

/** Rows of a query in its order. They can be read once; {@link RowReader.resumeFrom} reads again. */
export interface RowReader<Row> extends AsyncIterableIterator<Row> {
  /** The cursor of the row that was read last, and `null` before the first. */
  readonly cursor: string | null
  /** A new reader with the same options, which starts after the cursor of a row. */
  resumeFrom(cursor: string): RowReader<Row>
}
