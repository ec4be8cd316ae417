import type { SelectQueryBuilder, Simplify } from 'kysely'
import { expectOneOf, expectOptions, expectText, expectWholeNumber, type OptionKinds } from '../shared/arguments.ts'
import { type Casing, toSnake } from '../shared/casing.ts'
import { type SqlDialect, sqlDialects } from '../shared/sql/statement.ts'
import { createWarner, type OnWarn } from '../shared/warnings.ts'
import type { PaginatorSettings } from './call-options.ts'
import { createCursorCodec, type DecodeLegacy } from './cursor.ts'
import { cursorPaginateQuery } from './cursor-paginate.ts'
import { expectSeekQuery, explainPageQuery, type PageExplanation } from './explain/explain-page.ts'
import { paginateQuery } from './paginate.ts'
import { readChunksQuery, readRowsQuery } from './read.ts'
import { relayConnectionQuery } from './relay-connection.ts'
import { untyped } from './seek/query-runner.ts'
import type {
  ChunkReader,
  Connection,
  ConnectionArguments,
  CursorPage,
  CursorPaginateOptions,
  ExplainOptions,
  Page,
  PaginateOptions,
  ReadOptions,
  RelayConnectionOptions,
  RowReader,
  Total,
} from './types.ts'

export interface PaginatorOptions<C extends Casing = 'camel'> {
  /** Signs cursors (HMAC-SHA256). For rotation give an array: the first secret signs, and cursors of any are accepted. */
  readonly secret?: string | readonly string[] | undefined
  /**
   * The casing of the names in `pagination`.
   * @defaultValue 'camel'
   */
  readonly casing?: C | undefined
  readonly perPage?:
    | {
        /** Rows per page when a call does not say. @defaultValue 10 */
        readonly default?: number | undefined
        /** The largest `perPage`. @defaultValue 100 */
        readonly max?: number | undefined
      }
    | undefined
  /** The database's SQL dialect. @defaultValue the dialect of each query's own compiler */
  readonly dialect?: SqlDialect | undefined
  /**
   * Reads cursors that clients still hold from before the switch to this library. It is called only with texts that are
   * not cursors of this paginator, and returns the values of the keys in the order of `by`, then those of `unique`. If it
   * throws, or returns anything but an array, the cursor is invalid (400). Give dates as texts where you can: a `Date`
   * has only milliseconds. If such cursors are signed, check the signature here.
   */
  readonly decodeLegacy?: DecodeLegacy | undefined
  /** Receives each kind of warning once. @defaultValue `process.emitWarning` */
  readonly onWarn?: OnWarn | undefined
}

// For a query that is `any`, as in JavaScript: nothing can be inferred from it.
// biome-ignore lint/suspicious/noExplicitAny: so its names are not checked, and its rows are `any` too
type Untyped = any

/** The functions that read pages, with the settings of {@link createPaginator}. */
export interface Paginator<C extends Casing = 'camel'> {
  /**
   * Reads a numbered page by OFFSET: with one statement, and one more for the total unless the page itself proves it.
   *
   * @throws PageInvalidError for a wrong `page` or `perPage`, PageTooDeepError beyond `maxOffset`, QueryUnsupportedError for
   * a query that cannot be paged
   */
  paginate<DB = Untyped, TB extends keyof DB = Untyped, O = Untyped, const T extends Total = 'exact'>(
    this: void,
    query: SelectQueryBuilder<DB, TB, O>,
    options: PaginateOptions<DB, TB, O, T>,
  ): Promise<Page<Simplify<O>, T, C>>

  /**
   * Reads the page after or before a cursor, at any depth with one statement that reads little more than the page.
   *
   * @throws PageInvalidError for options that contradict each other, CursorInvalidError and CursorMismatchError for a
   * cursor of another list, KeyNullError for a NULL in a key that should have none, QueryUnsupportedError for a query that
   * cannot be paged
   */
  cursorPaginate<DB = Untyped, TB extends keyof DB = Untyped, O = Untyped, const T extends Total = 'none'>(
    this: void,
    query: SelectQueryBuilder<DB, TB, O>,
    options: CursorPaginateOptions<DB, TB, O, T>,
  ): Promise<CursorPage<Simplify<O>, T, C>>

  /**
   * Reads a page as a GraphQL connection of the Relay specification. Its keys are Relay's, in any casing.
   *
   * @throws PageInvalidError for arguments that contradict each other, and the errors of {@link Paginator.cursorPaginate}
   */
  relayConnection<DB = Untyped, TB extends keyof DB = Untyped, O = Untyped>(
    this: void,
    query: SelectQueryBuilder<DB, TB, O>,
    args: ConnectionArguments,
    options: RelayConnectionOptions<DB, TB, O>,
  ): Promise<Connection<Simplify<O>>>

  /**
   * Reads all rows in chunks, with one short statement each and in constant memory. After an interruption, reading can
   * continue from the cursor of the last chunk, also in another process.
   */
  readChunks<DB = Untyped, TB extends keyof DB = Untyped, O = Untyped>(
    this: void,
    query: SelectQueryBuilder<DB, TB, O>,
    options: ReadOptions<DB, TB, O>,
  ): ChunkReader<Simplify<O>>

  /** Reads all rows, as {@link Paginator.readChunks} does, one by one. */
  readRows<DB = Untyped, TB extends keyof DB = Untyped, O = Untyped>(
    this: void,
    query: SelectQueryBuilder<DB, TB, O>,
    options: ReadOptions<DB, TB, O>,
  ): RowReader<Simplify<O>>

  /**
   * Explains how the database reads a page, and names the index that makes the page a seek. The options are those of the
   * page. Without `analyze` no row is read.
   *
   * @throws QueryUnsupportedError on SQL Server, and the errors of reading the page
   */
  explainPage<DB = Untyped, TB extends keyof DB = Untyped, O = Untyped>(
    this: void,
    query: SelectQueryBuilder<DB, TB, O>,
    options: ExplainOptions<DB, TB, O>,
  ): Promise<PageExplanation>

  /**
   * For tests: asserts that the page of the options is a seek. If the options do not name a page, the first page and one
   * after a cursor must be seeks.
   *
   * @throws AssertionError with the index to create
   */
  expectSeek<DB = Untyped, TB extends keyof DB = Untyped, O = Untyped>(
    this: void,
    query: SelectQueryBuilder<DB, TB, O>,
    options: ExplainOptions<DB, TB, O>,
  ): Promise<void>
}

/**
 * Makes pagination functions that share their settings.
 *
 * @throws TypeError or RangeError when an option is wrong
 *
 * @example
 * ```ts
 * const { cursorPaginate } = createPaginator({ secret: process.env.CURSOR_SECRET, casing: 'snake' })
 * ```
 */
export function createPaginator<const C extends Casing = 'camel'>(options: PaginatorOptions<C> = {}): Paginator<C> {
  const settings = settingsOf(options)
  if ('secret' in options && options.secret === undefined) settings.warn(unsigned)
  return {
    paginate: (query, request) => paginateQuery(untyped(query), request, settings) as never,
    cursorPaginate: (query, request) => cursorPaginateQuery(untyped(query), request, settings) as never,
    relayConnection: (query, args, request) => relayConnectionQuery(untyped(query), args, request, settings) as never,
    readChunks: (query, request) => readChunksQuery(untyped(query), request, settings) as never,
    readRows: (query, request) => readRowsQuery(untyped(query), request, settings) as never,
    explainPage: (query, request) => explainPageQuery(untyped(query), request, settings),
    expectSeek: (query, request) => expectSeekQuery(untyped(query), request, settings),
  }
}

const unsigned = {
  code: 'CURSOR_SECRET_MISSING',
  message: '`secret` was given as undefined, so cursors are not signed: is an environment variable missing?',
}

const paginatorOptions: OptionKinds<PaginatorOptions> = {
  secret: 'own',
  casing: 'own',
  perPage: { default: 'own', max: 'own' },
  dialect: 'own',
  decodeLegacy: 'function',
  onWarn: 'function',
}

// Each function is made by itself, not taken from a paginator, so that a bundle of one of them leaves the others out.
const standard: PaginatorSettings = /* @__PURE__ */ settingsOf({})

/** {@link Paginator.paginate} with the standard settings. */
export const paginate: Paginator['paginate'] = (query, request) =>
  paginateQuery(untyped(query), request, standard) as never
/** {@link Paginator.cursorPaginate} with the standard settings. */
export const cursorPaginate: Paginator['cursorPaginate'] = (query, request) =>
  cursorPaginateQuery(untyped(query), request, standard) as never
/** {@link Paginator.relayConnection} with the standard settings. */
export const relayConnection: Paginator['relayConnection'] = (query, args, request) =>
  relayConnectionQuery(untyped(query), args, request, standard) as never
/** {@link Paginator.readChunks} with the standard settings. */
export const readChunks: Paginator['readChunks'] = (query, request) =>
  readChunksQuery(untyped(query), request, standard) as never
/** {@link Paginator.readRows} with the standard settings. */
export const readRows: Paginator['readRows'] = (query, request) =>
  readRowsQuery(untyped(query), request, standard) as never
/** {@link Paginator.explainPage} with the standard settings. */
export const explainPage: Paginator['explainPage'] = (query, request) =>
  explainPageQuery(untyped(query), request, standard)
/** {@link Paginator.expectSeek} with the standard settings. */
export const expectSeek: Paginator['expectSeek'] = (query, request) =>
  expectSeekQuery(untyped(query), request, standard)

function settingsOf(options: PaginatorOptions<Casing>): PaginatorSettings {
  expectOptions(options, paginatorOptions)
  const { secret, casing = 'camel', perPage = {}, dialect, decodeLegacy, onWarn } = options
  if (Array.isArray(secret) && secret.length === 0) {
    throw new TypeError('Expected `secret` to be one secret or more, got an empty array')
  }
  const secrets = secret === undefined ? [] : [secret].flat()
  for (const one of secrets) expectText(one, 'secret')
  const max = perPage.max === undefined ? 100 : expectWholeNumber(perPage.max, 'perPage.max', { min: 1 })
  return {
    codec: createCursorCodec(secrets, decodeLegacy),
    withCasing: expectOneOf(casing, 'casing', ['snake', 'camel']) === 'snake' ? withSnakeNames : unchanged,
    perPage: {
      max,
      default:
        perPage.default === undefined
          ? Math.min(10, max)
          : expectWholeNumber(perPage.default, 'perPage.default', { min: 1, max }),
    },
    dialect: dialect === undefined ? undefined : expectOneOf(dialect, 'dialect', sqlDialects),
    warn: createWarner(onWarn),
  }
}

function withSnakeNames(fields: object): object {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [toSnake(name), value]))
}

function unchanged(fields: object): object {
  return fields
}
