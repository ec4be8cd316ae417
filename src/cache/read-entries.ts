import type { MissReason } from './counters.ts'
import type { Engine } from './engine.ts'
import { MemoryEntry } from './memory-tier.ts'
import type { Profile } from './profile.ts'
import { keepInMemory, reviveEntry } from './search.ts'

/** The fresh entry of each key, from memory or with one round trip for all; counted as one request for each. */
export async function readEntries(engine: Engine, keys: readonly string[]): Promise<(MemoryEntry | undefined)[]> {
  const { memory, time } = engine.parts
  const answers = await Promise.all(
    keys.map((key) => {
      const entry = memory.get(key)
      if (entry === undefined || time.now() >= entry.freshUntil || !engine.isCurrent(entry)) {
        return readFromStore(engine, key, entry === undefined ? 'absent' : 'invalidated')
      }
      entry.profile.counters.memory++
      return entry
    }),
  )
  return answers
}

async function readFromStore(engine: Engine, key: string, reason: MissReason): Promise<MemoryEntry | undefined> {
  const { store, order, time, settings } = engine.parts
  const { counters } = settings.profiles.get('default') as Profile
  if (store === undefined) {
    counters.misses[reason]++
    return undefined
  }
  if (store.isConnecting) await store.connected()
  const begin = { begun: order.tick, begunAt: time.exact() }
  const found = await store.readOne(key, 'get', [])
  const entry = found === undefined ? 'unavailable' : await reviveEntry(engine.parts, store, key, found, begin)
  if (!(entry instanceof MemoryEntry) || found?.state !== 'fresh') {
    counters.misses[entry instanceof MemoryEntry ? 'expired' : entry]++
    return undefined
  }
  keepInMemory(engine.parts, key, entry)
  entry.profile.counters.store++
  return entry
}
