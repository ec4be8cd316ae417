import { describeValue, expectWholeNumber } from '../shared/assertions.ts'
import { countSource, estimateSource } from './count.ts'
import type { Source } from './source.ts'
import type { Total, TotalKind } from './types.ts'

/** From here on `'estimate'` asks the planner instead of counting. */
const countedUpTo = 10_000

export interface FoundTotal {
  readonly total: number
  readonly totalIs: TotalKind
}

/**
 * Finds the total of a list.
 *
 * @param proven - the total, where the page that was read shows it: then nothing is counted
 */
export async function findTotal(
  source: Source,
  total: Total,
  proven: number | undefined,
  signal: AbortSignal | undefined,
): Promise<FoundTotal> {
  if (typeof total === 'object' && 'known' in total) return { total: total.known, totalIs: 'exact' }
  if (proven !== undefined) return { total: proven, totalIs: 'exact' }
  if (total === 'exact') return { total: await countSource(source, signal), totalIs: 'exact' }
  const cap = typeof total === 'object' ? total.atMost : countedUpTo
  const counted = await countSource(source, signal, cap + 1)
  if (counted <= cap) return { total: counted, totalIs: 'exact' }
  if (typeof total === 'object') return { total: cap, totalIs: 'capped' }
  const estimated = await estimateSource(source, signal)
  if (estimated === undefined) return { total: await countSource(source, signal), totalIs: 'exact' }
  return { total: Math.max(estimated, counted), totalIs: 'estimate' }
}

/** The fields of a page that tell its total, in the order in which they are written. */
export function totalFields(found: FoundTotal, total: Total, perPage: number): object {
  const totalPages = Math.ceil(found.total / perPage)
  const withKind = total === 'estimate' || (typeof total === 'object' && 'atMost' in total)
  return { total: found.total, totalPages, ...(withKind ? { totalIs: found.totalIs } : {}) }
}

/** @throws TypeError or RangeError when it is no way to find a total */
export function expectTotal(total: unknown): Total {
  if (total === 'exact' || total === 'none' || total === 'estimate') return total
  const { atMost, known } = Object(total) as { atMost?: unknown; known?: unknown }
  if (atMost !== undefined) return { atMost: expectWholeNumber(atMost, 'total.atMost') }
  if (known !== undefined) return { known: expectWholeNumber(known, 'total.known') }
  throw new TypeError(
    `Expected \`total\` to be 'exact', 'none', 'estimate', { atMost } or { known }, got ${describeValue(total)}`,
  )
}
