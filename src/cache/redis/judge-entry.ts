import { hasExactTags, type ReadResult } from '../store/store.ts'
import type { ClockReading } from './coherence.ts'
import { parseTagRecord, type RedisEntry, staleSince } from './entry-format.ts'

/** What an optimistic read showed beside the entries. */
export interface OptimisticSnapshot {
  readonly clock: ClockReading
  readonly nowMs: number
  readonly tags: readonly string[]
  readonly stamps: readonly number[]
}

/** The entry, if it is fresh, current, and has exactly the tags. The script judges all others. */
export function toFreshResult(
  entry: RedisEntry | undefined,
  { clock, nowMs, tags, stamps }: OptimisticSnapshot,
): ReadResult | undefined {
  if (entry === undefined || entry.generation !== clock.generation || entry.asOf > clock.stamp) return undefined
  if (!hasExactTags(entry.header, tags) || !stamps.every((stamp) => stamp <= entry.asOf)) return undefined
  const ageMs = Math.max(0, nowMs - entry.storedAt / 1_000)
  return ageMs < entry.header.ttlMs ? { state: 'fresh', ageMs, entry } : undefined
}

/** What Redis held when an entry was read without a script. */
export interface PlainSnapshot {
  readonly clock: ClockReading
  /** The time in milliseconds, by the server's clock as far as it is known. */
  readonly nowMs: number
  readonly named: readonly string[]
  /** Of all tags that the entry carries. */
  readonly tagRecords: ReadonlyMap<string, Buffer>
}

/** Judges an entry as the script for reading does, for a user of Redis who may read but not run scripts. */
export function judgeEntry(entry: RedisEntry | undefined, snapshot: PlainSnapshot): ReadResult {
  if (entry === undefined) return { state: 'absent', isReadOnly: true }
  const { clock, nowMs, named, tagRecords } = snapshot
  const { header, asOf } = entry
  const records = header.tags.map((tag) => tagRecords.get(tag) ?? noBytes)
  const isOfClock = entry.generation === clock.generation && asOf <= clock.stamp
  const isCurrent = records.every((record) => parseTagRecord(record).hard <= asOf)
  if (!isOfClock || !isCurrent || !named.every((tag) => header.tags.includes(tag))) {
    return { state: 'invalidated', isReadOnly: true }
  }
  const times = records.map((record) => staleSince(record, asOf)).filter((since) => since !== undefined)
  const isInvalidated = times.length > 0
  const ages = [0, nowMs - entry.storedAt / 1_000]
  // The age counts as if `ttl` had ended when the tag was invalidated.
  if (isInvalidated) ages.push(header.ttlMs + Math.max(0, nowMs - Math.min(...times) / 1_000))
  const ageMs = Math.max(...ages)
  if (ageMs >= header.ttlMs + header.staleMs) return { state: 'expired', ageMs, isReadOnly: true }
  return { state: ageMs < header.ttlMs ? 'fresh' : 'stale', ageMs, isInvalidated, entry, isReadOnly: true }
}

const noBytes = Buffer.alloc(0)
