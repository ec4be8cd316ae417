/** Why a value was not there to be served. */
export type MissReason =
  | 'absent'
  | 'expired'
  | 'invalidated'
  | 'version'
  | 'corrupt'
  /** The store could not be asked, or did not answer. */
  | 'unavailable'
  /** `fresh: true` was given. */
  | 'bypassed'

/** Which kind of error the store made. */
export type StoreErrorKind = 'timeout' | 'connection' | 'decode' | 'write' | 'refused'

const missReasons: readonly MissReason[] = [
  'absent',
  'expired',
  'invalidated',
  'version',
  'corrupt',
  'unavailable',
  'bypassed',
]

/** What one profile did. A request is one caller asking for one key, and has one outcome. */
export interface ProfileStats {
  /** `hits + misses`. */
  readonly requests: number
  /** Answered without a load of its own: `memory + store + stale + coalesced`. */
  readonly hits: number
  readonly misses: number
  /** `hits / requests`, 0 before the first request. */
  readonly hitRate: number
  readonly hitsByKind: {
    readonly memory: number
    readonly store: number
    /** Served past its `ttl` while a load renews it. */
    readonly stale: number
    /** Shared a load that another caller had started. */
    readonly coalesced: number
  }
  readonly missesByReason: Readonly<Record<MissReason, number>>
  /** Loads that were run, refreshes in the background included. */
  readonly loads: number
  readonly loadErrors: number
}

/** Plain numbers, because they are raised on the hot path. */
export class ProfileCounters {
  memory = 0
  store = 0
  stale = 0
  coalesced = 0
  loads = 0
  loadErrors = 0
  readonly misses: Record<MissReason, number> = zeros(missReasons)

  stats(): ProfileStats {
    return summarize([this])
  }
}

/** The stats of several profiles taken together. */
export function summarize(counters: Iterable<ProfileCounters>): ProfileStats {
  const hitsByKind = { memory: 0, store: 0, stale: 0, coalesced: 0 }
  const missesByReason = zeros(missReasons)
  let loads = 0
  let loadErrors = 0
  for (const counter of counters) {
    hitsByKind.memory += counter.memory
    hitsByKind.store += counter.store
    hitsByKind.stale += counter.stale
    hitsByKind.coalesced += counter.coalesced
    loads += counter.loads
    loadErrors += counter.loadErrors
    for (const reason of missReasons) missesByReason[reason] += counter.misses[reason]
  }
  const hits = sum(Object.values(hitsByKind))
  const misses = sum(Object.values(missesByReason))
  const requests = hits + misses
  return {
    requests,
    hits,
    misses,
    hitRate: requests === 0 ? 0 : hits / requests,
    hitsByKind,
    missesByReason,
    loads,
    loadErrors,
  }
}

/** What the store did wrong, and what compression saved. */
export class StoreCounters {
  readonly errors: Record<StoreErrorKind, number> = zeros(['timeout', 'connection', 'decode', 'write', 'refused'])
  rawBytes = 0
  storedBytes = 0

  get total(): number {
    return sum(Object.values(this.errors))
  }
}

function zeros<Name extends string>(names: readonly Name[]): Record<Name, number> {
  return Object.fromEntries(names.map((name) => [name, 0])) as Record<Name, number>
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
