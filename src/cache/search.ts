import { setTimeout as sleep } from 'node:timers/promises'
import type { Call, Parts } from './call.ts'
import type { MissReason } from './counters.ts'
import type { Flight } from './flight.ts'
import { MemoryEntry } from './memory-tier.ts'
import type { Found, ReadMode, Ticket } from './store.ts'
import type { StoreTier } from './store-tier.ts'

/** What a search ends with: an entry to answer with, or the need to load. */
export type Search =
  | { readonly entry: MemoryEntry }
  | {
      readonly reason: MissReason
      /** The right to store what will be loaded; without it the value stays in this process. */
      readonly ticket?: Ticket | undefined
      /** Served or shown to the load meanwhile. */
      readonly stale?: MemoryEntry | undefined
    }

const pollFromMs = 10
const pollUpToMs = 250

/**
 * Asks the store for a key until there is an entry or the right to load. While another process loads, asks again at growing
 * intervals; nothing is published for it, so that a load costs two round trips and no message.
 *
 * @param served - the entry that this search is to renew
 */
export async function searchStore(
  parts: Parts,
  store: StoreTier,
  flight: Flight,
  call: Call,
  served: MemoryEntry | undefined,
): Promise<Search> {
  const { order, expected, time, settings } = parts
  const giveUpAt = time.exact() + settings.loadHardMs
  let mode = firstMode(parts, flight, call)
  for (let waitMs = pollFromMs; ; waitMs = Math.min(waitMs * 1.5, pollUpToMs)) {
    if (store.isConnecting) await store.connected()
    if (flight.isAborted) throw flight.controller.signal.reason
    flight.begun = order.tick
    flight.begunAt = time.exact()
    const found = await store.readOne(call.key, mode, call.tags)
    if (found === undefined) return { reason: 'unavailable' }
    expected.learn(call, found, flight)

    const revived = reviveEntry(parts, store, call.key, found, flight, call)
    const entry = revived instanceof Promise ? await revived : revived
    if (entry instanceof MemoryEntry) {
      keepInMemory(parts, call.key, entry)
      const isNews = served === undefined || entry.loadedAt > served.loadedAt + 1
      if (found.state === 'fresh' && !call.isFresh && isNews) {
        if (found.ticket !== undefined) void store.release(call.key, found.ticket)
        call.profile.counters.store += served === undefined ? 1 : 0
        return { entry }
      }
    }
    const stale = entry instanceof MemoryEntry ? entry : undefined
    const reason = call.isFresh ? 'bypassed' : typeof entry === 'string' ? entry : 'expired'
    if (found.ticket !== undefined || mode === 'get') return { reason, ticket: found.ticket, stale }
    // Somebody else renews it, and here there is something to serve.
    if (served !== undefined) return { entry: served }
    if (stale !== undefined && !call.isFresh) return serveStale(stale, call)

    if (mode === 'expected') mode = 'load'
    // An entry that Redis takes for good but this process does not: ask for the right to replace it.
    if (found.state === 'fresh') mode = 'refresh'
    if (time.exact() > giveUpAt) mode = 'force'
    await sleep(waitMs, undefined, { ref: false })
  }
}

/** The entry of an answer as this process uses it, or why there is none. What cannot be read is removed and counted. */
export function reviveEntry(
  parts: Parts,
  store: StoreTier,
  key: string,
  found: Found,
  { begun, begunAt }: { readonly begun: number; readonly begunAt: number },
  call?: Call,
): MemoryEntry | MissReason | Promise<MemoryEntry | MissReason> {
  if (found.state === 'corrupt') return discard(store, key, new TypeError('an entry has a foreign beginning'))
  if (found.entry === undefined) return found.state as MissReason
  try {
    const revived = parts.entries.fromStore(found, begun, begunAt, call?.profile)
    return revived instanceof Promise ? revived.catch((error: unknown) => discard(store, key, error)) : revived
  } catch (error) {
    return discard(store, key, error)
  }
}

async function discard(store: StoreTier, key: string, error: unknown): Promise<'corrupt'> {
  await store.discard(key, error)
  return 'corrupt'
}

/** Keeps an entry that was read, unless something of it was invalidated meanwhile or there is a newer one. */
export function keepInMemory({ memory, order }: Parts, key: string, entry: MemoryEntry): void {
  if (!order.isCurrent(entry.begun, key, entry.tags)) return
  const present = memory.get(key)
  if (present === undefined || present.begun < entry.begun || present.loadedAt <= entry.loadedAt) memory.set(key, entry)
}

function firstMode({ expected, time }: Parts, flight: Flight, call: Call): ReadMode {
  if (call.isFresh) return 'force'
  if (flight.isRefresh) return 'refresh'
  if (call.ttlMs === 0) return 'get'
  return expected.has(call, time.exact()) ? 'expected' : 'load'
}

function serveStale(entry: MemoryEntry, call: Call): Search {
  call.profile.counters.stale++
  return { entry }
}
