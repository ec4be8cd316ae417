import { describeValue, expectObject, expectOptions, expectWholeNumber, type OptionKinds } from '../shared/arguments.ts'
import { PageInvalidError } from './errors.ts'
import type { ParsedListQuery } from './list-query/types.ts'
import type { SelectQuery } from './seek/query-runner.ts'
import type { SeekSettings } from './seek/seek-query.ts'
import type {
  CursorPaginateOptions,
  ExplainOptions,
  PaginateOptions,
  ReadOptions,
  RelayConnectionOptions,
  Total,
} from './types.ts'

/** A parsed list query may be spread into any call. A call ignores the fields that it does not use. */
type WithListQuery<Options> = OptionKinds<Options & ParsedListQuery<Record<never, never>, Record<never, never>>>

// Each list is written in full: a bundler cannot drop an unused object that spreads another.

export const paginateOptions: WithListQuery<PaginateOptions<never, never, never>> = {
  page: 'nullable',
  perPage: 'own',
  maxPerPage: 'own',
  total: 'own',
  maxOffset: 'own',
  by: 'own',
  unique: 'own',
  signal: 'signal',
  dialect: 'own',
  after: 'nullable',
  before: 'nullable',
  filter: 'nullable',
  scope: 'nullable',
  key: 'nullable',
}

export const cursorPaginateOptions: WithListQuery<CursorPaginateOptions<never, never, never>> = {
  after: 'nullable',
  before: 'nullable',
  from: 'own',
  perPage: 'own',
  maxPerPage: 'own',
  total: 'own',
  jump: 'own',
  scope: 'nullable',
  by: 'own',
  unique: 'own',
  signal: 'signal',
  dialect: 'own',
  page: 'nullable',
  filter: 'nullable',
  key: 'nullable',
}

export const relayConnectionOptions: WithListQuery<RelayConnectionOptions<never, never, never>> = {
  maxPerPage: 'own',
  scope: 'nullable',
  by: 'own',
  unique: 'own',
  signal: 'signal',
  dialect: 'own',
  page: 'nullable',
  perPage: 'own',
  after: 'nullable',
  before: 'nullable',
  filter: 'nullable',
  key: 'nullable',
}

export const readOptions: WithListQuery<ReadOptions<never, never, never>> = {
  size: 'own',
  after: 'nullable',
  prefetch: 'boolean',
  scope: 'nullable',
  by: 'own',
  unique: 'own',
  signal: 'signal',
  dialect: 'own',
  page: 'nullable',
  perPage: 'own',
  maxPerPage: 'own',
  before: 'nullable',
  filter: 'nullable',
  key: 'nullable',
}

export const explainOptions: WithListQuery<ExplainOptions<never, never, never>> = {
  page: 'nullable',
  perPage: 'own',
  maxPerPage: 'own',
  after: 'nullable',
  before: 'nullable',
  from: 'own',
  analyze: 'boolean',
  scope: 'nullable',
  by: 'own',
  unique: 'own',
  signal: 'signal',
  dialect: 'own',
  filter: 'nullable',
  key: 'nullable',
}

/** @throws TypeError when `query` is not a query builder, and for the reasons of `expectOptions` */
export function expectCall(query: SelectQuery, request: object, kinds: Readonly<Record<string, unknown>>): void {
  expectQuery(query)
  expectOptions(request, kinds)
}

/** @throws TypeError for anything but a query builder, such as rows, or the promise of a query that already runs */
export function expectQuery(query: SelectQuery): void {
  expectObject(query, 'query', ['orderBy', 'withPlugin', 'compile', 'execute'], 'a select query that was not executed')
}

/** The options of `createPaginator`, checked. */
export interface PaginatorSettings extends SeekSettings {
  readonly perPage: { readonly default: number; readonly max: number }
  /** The fields of `pagination` under the names of the paginator's casing. */
  withCasing(fields: object): object
}

/**
 * Checks a whole number that comes from a client.
 *
 * @throws PageInvalidError, because the client must correct the number
 */
export function expectFromClient(value: unknown, option: string, max?: number): number {
  try {
    return expectWholeNumber(value, option, { min: 1, max })
  } catch (cause) {
    throw new PageInvalidError((cause as Error).message, { cause })
  }
}

/** The largest page size of a request. */
export function maxPerPageOf(maxPerPage: unknown, { perPage }: PaginatorSettings): number {
  return maxPerPage === undefined ? perPage.max : expectWholeNumber(maxPerPage, 'maxPerPage', { min: 1 })
}

/**
 * Checks the option `total`.
 *
 * @throws TypeError or RangeError
 */
export function expectTotal(total: unknown): Total {
  if (total === 'exact' || total === 'none' || total === 'estimate') return total
  const { atMost, known } = Object(total) as { atMost?: unknown; known?: unknown }
  if (atMost !== undefined) return { atMost: expectWholeNumber(atMost, 'total.atMost') }
  if (known !== undefined) return { known: expectWholeNumber(known, 'total.known') }
  throw new TypeError(
    `Expected \`total\` to be 'exact', 'none', 'estimate', { atMost } or { known }, got ${describeValue(total)}`,
  )
}
