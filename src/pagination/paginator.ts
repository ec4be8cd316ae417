import type { SelectQueryBuilder, Simplify } from 'kysely'
import { describeValue, expectOneOf, expectWholeNumber } from '../shared/assertions.ts'
import type { Casing } from '../shared/casing.ts'
import { createWarner, type OnWarn } from '../shared/warnings.ts'
import type { PaginatorContext } from './context.ts'
import { createCursorCodec } from './cursor.ts'
import { cursorPaginateQuery } from './cursor-paginate.ts'
import { type ExplainOptions, expectSeekQuery, explainPageQuery, type PageExplanation } from './explain.ts'
import { paginateQuery } from './paginate.ts'
import { readChunksQuery, readRowsQuery } from './read.ts'
import { relayConnectionQuery } from './relay-connection.ts'
import { untyped } from './source.ts'
import {
  type ChunkReader,
  type Connection,
  type ConnectionArguments,
  type CursorPage,
  type CursorPaginateOptions,
  dialects,
  type Page,
  type PaginateOptions,
  type ReadOptions,
  type RelayConnectionOptions,
  type RowReader,
  type SqlDialect,
  type Total,
} from './types.ts'

export interface PaginatorOptions<C extends Casing = 'camel'> {
  /** Signs the cursors (HMAC-SHA256). An array rotates: the first one signs, cursors under any of them are accepted. */
  readonly secret?: string | readonly string[] | undefined
  /**
   * The names in `pagination`.
   * @defaultValue 'camel'
   */
  readonly casing?: C | undefined
  readonly perPage?:
    | {
        /** @defaultValue 10 */
        readonly default?: number | undefined
        /** @defaultValue 100 */
        readonly max?: number | undefined
      }
    | undefined
  /** @defaultValue what each query's own compiler writes */
  readonly dialect?: SqlDialect | undefined
  /** Receives warnings, each code once. */
  readonly onWarn?: OnWarn | undefined
}

/** The pagers, with the settings of {@link createPaginator}. */
export interface Paginator<C extends Casing = 'camel'> {
  /**
   * A numbered page, found by OFFSET: one statement, and one more for the total unless the page itself proves it.
   *
   * @throws PageInvalidError for a `page` or `perPage` that makes no sense, PageTooDeepError beyond `maxOffset`,
   * QueryUnsupportedError for a query that cannot be paged
   */
  paginate<DB, TB extends keyof DB, O, const T extends Total = 'exact'>(
    query: SelectQueryBuilder<DB, TB, O>,
    options: PaginateOptions<DB, TB, O, T>,
  ): Promise<Page<Simplify<O>, T, C>>

  /**
   * The page after or before a cursor: one statement that reads little more than the page, at any depth.
   *
   * @throws PageInvalidError for options that contradict each other, CursorInvalidError and CursorMismatchError for a
   * cursor that is not of this list, KeyNullError for a NULL in a key that should have none, QueryUnsupportedError
   */
  cursorPaginate<DB, TB extends keyof DB, O, const T extends Total = 'none'>(
    query: SelectQueryBuilder<DB, TB, O>,
    options: CursorPaginateOptions<DB, TB, O, T>,
  ): Promise<CursorPage<Simplify<O>, T, C>>

  /**
   * A connection for GraphQL, by the Relay specification. Its keys are Relay's, whatever the casing.
   *
   * @throws PageInvalidError for arguments that contradict each other, and what {@link Paginator.cursorPaginate} throws
   */
  relayConnection<DB, TB extends keyof DB, O>(
    query: SelectQueryBuilder<DB, TB, O>,
    args: ConnectionArguments,
    options: RelayConnectionOptions<DB, TB, O>,
  ): Promise<Connection<Simplify<O>>>

  /**
   * All rows in chunks, by one short statement each, in constant memory. A reading that was interrupted goes on behind
   * the cursor of its last chunk, in another process if need be.
   */
  readChunks<DB, TB extends keyof DB, O>(
    query: SelectQueryBuilder<DB, TB, O>,
    options: ReadOptions<DB, TB, O>,
  ): ChunkReader<Simplify<O>>

  /** All rows, read as {@link Paginator.readChunks} does. */
  readRows<DB, TB extends keyof DB, O>(
    query: SelectQueryBuilder<DB, TB, O>,
    options: ReadOptions<DB, TB, O>,
  ): RowReader<Simplify<O>>

  /**
   * How the database comes by a page, and the index that makes it a seek. Options as for the page itself; nothing is read
   * without `analyze`.
   *
   * @throws QueryUnsupportedError on SQL Server, and what the page itself throws
   */
  explainPage<DB, TB extends keyof DB, O>(
    query: SelectQueryBuilder<DB, TB, O>,
    options: ExplainOptions<DB, TB, O>,
  ): Promise<PageExplanation>

  /**
   * For tests: asserts that the page of the options is a seek; without a cursor, the first page and one behind a cursor.
   *
   * @throws AssertionError with the index to create
   */
  expectSeek<DB, TB extends keyof DB, O>(
    query: SelectQueryBuilder<DB, TB, O>,
    options: ExplainOptions<DB, TB, O>,
  ): Promise<void>
}

/**
 * Pagers that share their settings.
 *
 * @throws TypeError or RangeError when an option is wrong
 *
 * @example
 * ```ts
 * const { cursorPaginate } = createPaginator({ secret: process.env.CURSOR_SECRET, casing: 'snake' })
 * ```
 */
export function createPaginator<const C extends Casing = 'camel'>(options: PaginatorOptions<C> = {}): Paginator<C> {
  const context = contextOf(options)
  return {
    paginate: (query, request) => paginateQuery(untyped(query), request, context) as never,
    cursorPaginate: (query, request) => cursorPaginateQuery(untyped(query), request, context) as never,
    relayConnection: (query, args, request) => relayConnectionQuery(untyped(query), args, request, context) as never,
    readChunks: (query, request) => readChunksQuery(untyped(query), request, context) as never,
    readRows: (query, request) => readRowsQuery(untyped(query), request, context) as never,
    explainPage: (query, request) => explainPageQuery(untyped(query), request, context),
    expectSeek: (query, request) => expectSeekQuery(untyped(query), request, context),
  }
}

const standard: Paginator = createPaginator()

/** {@link Paginator.paginate} with the standard settings. */
export const paginate: Paginator['paginate'] = standard.paginate
/** {@link Paginator.cursorPaginate} with the standard settings. */
export const cursorPaginate: Paginator['cursorPaginate'] = standard.cursorPaginate
/** {@link Paginator.relayConnection} with the standard settings. */
export const relayConnection: Paginator['relayConnection'] = standard.relayConnection
/** {@link Paginator.readChunks} with the standard settings. */
export const readChunks: Paginator['readChunks'] = standard.readChunks
/** {@link Paginator.readRows} with the standard settings. */
export const readRows: Paginator['readRows'] = standard.readRows
/** {@link Paginator.explainPage} with the standard settings. */
export const explainPage: Paginator['explainPage'] = standard.explainPage
/** {@link Paginator.expectSeek} with the standard settings. */
export const expectSeek: Paginator['expectSeek'] = standard.expectSeek

function contextOf({ secret, casing, perPage = {}, dialect, onWarn }: PaginatorOptions<Casing>): PaginatorContext {
  const secrets = secret === undefined ? [] : [secret].flat()
  for (const one of secrets) {
    if (typeof one !== 'string' || one === '') {
      throw new TypeError(`Expected \`secret\` to be a string that is not empty, got ${describeValue(one)}`)
    }
  }
  const max = perPage.max === undefined ? 100 : expectWholeNumber(perPage.max, 'perPage.max', { min: 1 })
  return {
    codec: createCursorCodec(secrets),
    casing: casing === undefined ? 'camel' : expectOneOf(casing, 'casing', ['snake', 'camel']),
    perPage: {
      max,
      default:
        perPage.default === undefined
          ? Math.min(10, max)
          : expectWholeNumber(perPage.default, 'perPage.default', { min: 1, max }),
    },
    dialect: dialect === undefined ? undefined : expectOneOf(dialect, 'dialect', dialects),
    warn: createWarner(onWarn),
  }
}
