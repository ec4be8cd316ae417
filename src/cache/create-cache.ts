import { expectOneOf } from '../shared/assertions.ts'
import { ClosedError } from '../shared/errors.ts'
import type { Call } from './call.ts'
import { CoarseTime } from './coarse-time.ts'
import type { Change, CoherenceListener } from './coherence.ts'
import { collectStats } from './collect-stats.ts'
import { StoreCounters } from './counters.ts'
import { carries, Engine } from './engine.ts'
import { Entries } from './entries.ts'
import { Events } from './events.ts'
import { ExpectedEntries } from './expected-entries.ts'
import { explain } from './explain.ts'
import { FairDeadline } from './fair-deadline.ts'
import { getOrSetMany } from './get-or-set-many.ts'
import { Invalidations } from './invalidations.ts'
import { encodeKey, type Key } from './key.ts'
import { createMemoryTier, type MemoryEntry, noMemory } from './memory-tier.ts'
import { openStore } from './open-store.ts'
import { type CacheOptions, resolveOptions } from './options.ts'
import { readEntries } from './read-entries.ts'
import { expectTags, resolveCall } from './resolve-call.ts'
import { setValue } from './set-value.ts'
import type { Cache, GetOrSetOptions, Invalidation } from './types.ts'
import { wrap } from './wrap.ts'

const none: readonly string[] = []

/**
 * A cache that cannot serve what was invalidated: in this process's memory, and with `redis` or `store` shared by many.
 *
 * @throws TypeError or RangeError when an option is wrong
 *
 * @example
 * ```ts
 * const cache = createCache({ profiles: { users: '5m' }, tags: tags<'users' | `user:${number}`>() })
 * const user = await cache.getOrSet(['user', 5], () => ({ name: 'Ann' }), { profile: 'users', tags: ['user:5'] })
 * await cache.invalidateTags('user:5')
 * ```
 */
export function createCache<Name extends string = 'default', Tag extends string = string>(
  options: CacheOptions<Name, Tag> = {},
): Cache<Name, Tag> {
  const settings = resolveOptions(options)
  const time = new CoarseTime(options.clock)
  const events = new Events()
  const counters = new StoreCounters()
  const listener: CoherenceListener = {
    changed(change) {
      engine.outdate(change)
      events.emit('invalidate', { ...change, origin: 'remote' })
    },
    lost: () => listener.changed({ tags: none, keys: none, all: true }),
  }
  const opened = openStore(options, { settings, counters, events, time, listener })
  const memory = settings.memory === false ? noMemory : createMemoryTier(settings.memory)
  const order = new Invalidations()
  const engine: Engine = new Engine({
    settings,
    memory,
    store: opened.store,
    coherence: opened.coherence,
    order,
    expected: new ExpectedEntries(order),
    entries: new Entries(settings, opened.store !== undefined, time, counters),
    events,
    time,
    loadDeadline: new FairDeadline(settings.loadHardMs),
  })
  let isClosed = false

  /** The entry of a hit in memory that needs no further thought. */
  function hit(key: Key, given: GetOrSetOptions | undefined): MemoryEntry | undefined {
    const entry = memory.get(encodeKey(key))
    if (entry === undefined || !engine.isPlain(entry)) return undefined
    if (given === undefined) return entry
    const { fresh, signal, tags } = given
    if (fresh === true || signal?.aborted || (tags !== undefined && !carries(entry.tags, tags))) return undefined
    return entry
  }

  // Not async: a hit in memory allocates nothing, it hands out the promise that its entry holds.
  function answer(key: Key, load: unknown, given?: GetOrSetOptions, tagsOf?: Call['tagsOf']): Promise<unknown> {
    try {
      const entry = hit(key, given)
      if (entry === undefined) {
        expectOpen()
        return engine.answer(resolveCall(settings, encodeKey(key), load, given, { tagsOf }))
      }
      entry.profile.counters.memory++
      return entry.promise
    } catch (error) {
      return Promise.reject(error)
    }
  }

  function expectOpen(): void {
    if (isClosed) throw new ClosedError(`The cache \`${settings.name}\` is closed`)
  }

  async function change(part: Partial<Change>): Promise<Invalidation> {
    expectOpen()
    return engine.change({ tags: none, keys: none, all: false, ...part })
  }

  async function close(): Promise<void> {
    if (isClosed) return
    isClosed = true
    engine.close(new ClosedError(`The cache \`${settings.name}\` was closed`))
    await opened.close()
  }

  const cache: Cache = {
    name: settings.name,
    getOrSet: (key, load, given) => answer(key, load, given) as Promise<never>,
    async get(key) {
      expectOpen()
      const [entry] = await readEntries(engine, [encodeKey(key)])
      return entry?.value as never
    },
    peek: (key) => hit(key, undefined)?.value as never,
    async has(key) {
      expectOpen()
      const [entry] = await readEntries(engine, [encodeKey(key)])
      return entry !== undefined
    },
    async getMany(keys) {
      expectOpen()
      const entries = await readEntries(engine, keys.map(encodeKey))
      return entries.map((entry) => entry?.value as never)
    },
    async getOrSetMany(ids, load, given) {
      expectOpen()
      return getOrSetMany(engine, ids, load, given)
    },
    async set(key, value, given) {
      expectOpen()
      return setValue(engine, encodeKey(key), value, given)
    },
    delete: async (...keys) => change({ keys: keys.map(encodeKey) }),
    invalidateTags: async (...tags) => change({ tags: expectTags(tags) }),
    clear: () => change({ all: true }),
    wrap: (fn, given) => wrap(cache, answer, fn, given),
    stats: () => collectStats(engine, counters, opened.coherence),
    async explain(key) {
      expectOpen()
      return explain(engine, encodeKey(key))
    },
    on(event, listener) {
      expectOneOf<string>(event, 'event', ['error', 'state', 'invalidate'])
      return events.on(event, listener)
    },
    close,
    [Symbol.asyncDispose]: close,
  }
  return cache as unknown as Cache<Name, Tag>
}
