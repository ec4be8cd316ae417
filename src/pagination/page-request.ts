import { describeValue, expectWholeNumber } from '../shared/assertions.ts'
import { PageInvalidError } from './errors.ts'
import type { SeekSettings } from './seek/seek-query.ts'
import type { Total } from './types.ts'

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
