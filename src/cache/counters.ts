/** Why a read was a miss. */
export type MissReason =
  | 'absent'
  | 'expired'
  | 'invalidated'
  | 'version'
  | 'corrupt'
  /** The store is down, or did not answer. */
  | 'unavailable'
  /** `fresh: true` was given. */
  | 'bypassed'

/** Redis' error codes for refusals that only its operator can lift. */
export type RedisRefusal = 'OOM' | 'NOPERM' | 'MISCONF' | 'WRONGPASS'

/** `refused`: the store was not asked, because it was down. */
export type StoreErrorKind = 'timeout' | 'connection' | 'decode' | 'write' | 'refused' | RedisRefusal

const storeErrorKinds: readonly StoreErrorKind[] = [
  'timeout',
  'connection',
  'decode',
  'write',
  'refused',
  'OOM',
  'NOPERM',
  'MISCONF',
  'WRONGPASS',
]

const missReasons: readonly MissReason[] = [
  'absent',
  'expired',
  'invalidated',
  'version',
  'corrupt',
  'unavailable',
  'bypassed',
]

/** The counters of one profile. A request is one caller asking for one key. It is either a hit or a miss. */
export interface ProfileStats {
  /** `hits + misses`. */
  readonly requests: number
  /** Requests that started no load: `memory + store + stale + coalesced`. */
  readonly hits: number
  readonly misses: number
  /** `hits / requests`, 0 before the first request. */
  readonly hitRate: number
  readonly hitsByKind: {
    readonly memory: number
    readonly store: number
    /** Served past its `ttl` while a load renews it. */
    readonly stale: number
    /** Shared the load of another caller. */
    readonly coalesced: number
  }
  readonly missesByReason: Readonly<Record<MissReason, number>>
  /** Calls of `load`, refreshes in the background included. */
  readonly loads: number
  readonly loadErrors: number
}

/** Plain fields, because the hot path increments them. */
export class ProfileCounters {
  memory = 0
  store = 0
  stale = 0
  coalesced = 0
  loads = 0
  loadErrors = 0
  readonly misses: Record<MissReason, number> = zeros(missReasons)
}

/** The stats of one profile, or of several as if they were one. */
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

/** Errors of the store, and bytes before and after compression. */
export class StoreCounters {
  readonly errors: Record<StoreErrorKind, number> = zeros(storeErrorKinds)
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
