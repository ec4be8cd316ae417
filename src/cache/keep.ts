import type { Call, Parts } from './call.ts'
import type { NewEntry } from './entries.ts'
import type { Flight } from './flight.ts'
import type { Inspection } from './inspect-value.ts'
import type { Profile } from './profile.ts'
import type { Loaded } from './run-load.ts'
import type { Ticket } from './store.ts'

/**
 * Keeps a loaded value in both tiers, unless the load asked not to, the value is no data, or something of it was invalidated
 * since the load began. The ticket is used up in any case.
 */
export async function keepLoaded(
  parts: Parts,
  flight: Flight,
  call: Call,
  loaded: Loaded,
  ticket: Ticket | undefined,
): Promise<void> {
  const { order, memory, store, entries } = parts
  const { key } = call
  for (const tag of call.tagsOf?.(loaded.value) ?? []) flight.tags.add(tag)
  const isKept = !loaded.isSkipped && call.ttlMs > 0
  const ttlMs = isKept ? lifetimeOf(loaded.value, call.profile, loaded.ttlMs, call.ttlMs) : 0
  const inspection = ttlMs === 0 ? undefined : tryInspect(parts, key, loaded.value)
  if (inspection === undefined || flight.isSuperseded || !order.isCurrent(flight.begun, key, flight.tags)) {
    if (ticket !== undefined) await store?.release(key, ticket)
    return
  }
  const { begun, begunAt } = flight
  const { profile, staleMs } = call
  const about: NewEntry = { profile, ttlMs, staleMs, tags: [...flight.tags], costMs: loaded.costMs, begun, begunAt }
  const entry = entries.toMemory(loaded.value, inspection, about)
  memory.set(key, entry)
  if (ticket === undefined || store === undefined) return
  const outcome = await store.write(key, await entries.toStore(loaded.value, inspection, about), ticket)
  if (outcome === 'invalidated' && memory.get(key) === entry) memory.delete(key)
}

/** What is known of a value, or `undefined` when it cannot be stored. */
export function tryInspect({ entries, events }: Parts, key: string, value: unknown): Inspection | undefined {
  try {
    return entries.inspect(value)
  } catch (error) {
    events.emit('error', { operation: 'encode', error, key })
    return undefined
  }
}

/**
 * How long a value lives; 0 when it is not to be stored.
 *
 * @param givenMs - the lifetime given for this one value
 * @param usualMs - the lifetime of its kind
 */
export function lifetimeOf(value: unknown, profile: Profile, givenMs: number | undefined, usualMs: number): number {
  const isAbsent = value === null || value === undefined
  const ms = givenMs ?? (isAbsent ? profile.negativeTtlMs : undefined) ?? usualMs
  // Downwards only: nothing is kept for longer than was asked for.
  return ms * (1 - profile.jitter * Math.random())
}
