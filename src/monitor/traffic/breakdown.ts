import { waitNames } from '../../shared/scope/wait-names.ts'

/** Where the time of completed requests went: averages in milliseconds, whose sum is `latencyMs.avg`. */
export interface Breakdown {
  /** Waiting for a connection of a pool. */
  readonly poolMs: number
  /** Waiting for the database. */
  readonly databaseMs: number
  /** Waiting for the cache's store, or for a load that another request began. */
  readonly cacheMs: number
  /** Waiting for `fetch`, and in `requestScope().time()`. */
  readonly upstreamMs: number
  /** Holding the event loop. */
  readonly loopMs: number
  /** All other time: other waits, waiting for the event loop, and sending the answer. */
  readonly restMs: number
}

/** A part of {@link Breakdown}, without the unit. */
export type BreakdownPart = (typeof waitNames)[number] | 'rest'

/** The waits of a request, in milliseconds, in the order of `waitNames`. Further elements are ignored. */
export interface RequestWaits {
  readonly ms: ArrayLike<number>
}

/**
 * How many sums there are over requests: the number of requests whose waits are known, then the microseconds of each wait in
 * `waitNames`.
 */
export const waitSums: number = 1 + waitNames.length

/**
 * @param at - where the sums begin in the array
 * @returns the microseconds in which the request did not wait
 */
export function addWaits(sums: Float64Array, at: number, { ms }: RequestWaits, us: number): number {
  let knownUs = 0
  for (let part = 0; part < waitNames.length; part++) knownUs += ms[part]! * 1_000
  // The clocks of the monitor and of the waits may differ, but the parts are never more than the whole.
  const scale = knownUs > us ? us / knownUs : 1
  sums[at]!++
  for (let part = 0; part < waitNames.length; part++) sums[at + 1 + part]! += ms[part]! * 1_000 * scale
  return knownUs > us ? 0 : us - knownUs
}

/** @returns `null` while the waits of no request are known */
export function breakdownOf(sums: Float64Array, at: number, count: number, totalUs: number): Breakdown | null {
  if (count === 0 || sums[at] === 0) return null
  const average = (part: (typeof waitNames)[number]) => sums[at + 1 + waitNames.indexOf(part)]! / 1_000 / count
  const parts = {
    poolMs: average('pool'),
    databaseMs: average('database'),
    cacheMs: average('cache'),
    upstreamMs: average('upstream'),
    loopMs: average('loop'),
  }
  const known = Object.values(parts).reduce((sum, ms) => sum + ms, 0)
  return { ...parts, restMs: Math.max(0, totalUs / 1_000 / count - known) }
}

/** The largest part, and its share of the whole. */
export function largestPart(breakdown: Breakdown): { readonly part: BreakdownPart; readonly share: number } {
  const parts = ['database', 'pool', 'upstream', 'cache', 'loop', 'rest'] as const
  const msOf = (part: BreakdownPart) => breakdown[`${part}Ms`]
  const total = parts.reduce((sum, part) => sum + msOf(part), 0)
  const part = parts.reduce((largest, next) => (msOf(next) > msOf(largest) ? next : largest))
  return { part, share: total === 0 ? 0 : msOf(part) / total }
}
