import { describeValue, expectOneOf, expectOptions } from '../shared/arguments.ts'
import { ClosedError } from '../shared/errors.ts'
import { nodeCrypto } from '../shared/platform/builtins.ts'
import { cacheIdentity } from '../shared/scope/reads.ts'
import { currentReads } from '../shared/scope/work.ts'
import { CoarseTime } from '../shared/time/clock.ts'
import {
  type Call,
  entryOptions,
  expectTags,
  expectWrapped,
  neededTags,
  resolveCall,
  resolveTagChange,
} from './call-options.ts'
import { StoreCounters, summarize } from './counters.ts'
import { Engine } from './engine.ts'
import { createEvents, toEvent } from './events.ts'
import { encodeKey, type Key } from './key.ts'
import { getOrSetMany } from './load-many.ts'
import { type Change, InvalidationLog } from './memory/invalidation-log.ts'
import { type MemoryEntry, MemoryTier } from './memory/memory-tier.ts'
import { type CacheOptions, resolveOptions } from './options.ts'
import { Reader } from './reader.ts'
import { openStore } from './store/open-store.ts'
import type { Cache, CacheStats, GetOrSetOptions, Invalidation, TagStamps, WrapOptions, Wrapped } from './types.ts'
import { Writer } from './writer.ts'

type Answer = (key: Key, load: unknown, given?: GetOrSetOptions, tagsOf?: Call['tagsOf']) => Promise<unknown>

const none: readonly string[] = []

/**
 * Makes a cache that never serves an invalidated value: in this process's memory, and with `redis` or `store` shared by many
 * processes.
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
  /** Made when it is first needed: Workers gives no random values at module level. */
  let instance: string | undefined
  const identity = {}
  const time = new CoarseTime(options.clock)
  const events = createEvents()
  const counters = new StoreCounters()
  const onRemoteChange = (change: Change) => {
    writer.outdate(change)
    events.emit('invalidate', toEvent(change, 'remote'))
  }
  const dependencies = { settings, counters, events, time, onRemoteChange }
  const { store, coherence, close: closeStore } = openStore(options, dependencies)
  const log = new InvalidationLog()
  const verifiedForMs = store === undefined ? Number.POSITIVE_INFINITY : settings.withinMs
  const memory = new MemoryTier({ limits: settings.memory, log, time, coherence, verifiedForMs })
  const reader = new Reader({ settings, memory, log, store, time })
  const onOutdated = (change: Change) => engine.dropOutdated(change)
  const writer: Writer = new Writer({ settings, memory, log, store, counters, events, onOutdated })
  const engine: Engine = new Engine({ settings, memory, log, reader, writer, events, time, coherence, identity })
  let isClosed = false
  let closing = Promise.resolve()

  /** The entry in memory, if it may be served at once: without the engine. */
  function hit(key: Key, given: GetOrSetOptions | undefined): MemoryEntry | undefined {
    const entry = memory.getReady(encodeKey(key))
    if (entry === undefined) return undefined
    if (given) {
      const { fresh, signal, tags } = given
      if (fresh === true || signal?.aborted) return undefined
      if (tags !== undefined && !entry.hasTags(neededTags(tags))) return undefined
    }
    const reads = currentReads()
    if (!memory.mayServe(reads)) return undefined
    reads?.addValue(identity, entry.tags, coherence.seenStamp)
    return entry
  }

  /** Notes that the running work depends on the entry's tags. The entry may come from the store. */
  function recordUse(entry: MemoryEntry | undefined): MemoryEntry | undefined {
    const reads = currentReads()
    if (entry !== undefined && reads !== undefined) {
      const stamp = memory.mayServe(reads) ? coherence.seenStamp : Number.POSITIVE_INFINITY
      reads.addValue(identity, entry.tags, stamp)
    }
    return entry
  }

  // Not async: a hit in memory allocates nothing, because it returns the promise that its entry holds.
  const answer: Answer = (key, load, given, tagsOf) => {
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

  async function invalidate(change: Partial<Change>): Promise<Invalidation> {
    expectOpen()
    return writer.invalidate({ tags: none, keys: none, all: false, ...change })
  }

  async function readStamps(tags: readonly string[], since: TagStamps | undefined): Promise<TagStamps | undefined> {
    expectOpen()
    expectTags(tags)
    // Duplicates are kept: there is one stamp for each given tag, in the same order.
    const names = tags.map((tag) => tag.toWellFormed())
    const now = store === undefined ? ownStamps(names) : await store.stamps(names, since !== undefined)
    return now && since ? { ...now, stamps: unchangedStamps(now, since) } : now
  }

  function ownStamps(tags: readonly string[]): TagStamps {
    instance ??= nodeCrypto().randomUUID()
    return { generation: instance, at: log.sequence, stamps: tags.map((tag) => log.stampOf(tag)) }
  }

  function stats(): CacheStats {
    const profiles = [...settings.profiles.values()]
    const total = summarize(profiles.map((profile) => profile.counters))
    const errors = counters.total
    return {
      ...total,
      errors,
      errorRate: errors === 0 ? 0 : Math.min(1, errors / Math.max(1, total.requests)),
      errorsByKind: { ...counters.errors },
      memory: memory.stats(),
      store: {
        state: store?.state ?? 'off',
        roundTripMs: store?.roundTripMs ?? 0,
        coherenceMs: coherence.ageMs,
        queuedInvalidations: store?.queuedChanges ?? 0,
      },
      compression: { rawBytes: counters.rawBytes, storedBytes: counters.storedBytes },
      byProfile: Object.fromEntries(profiles.map((profile) => [profile.name, summarize([profile.counters])])),
    }
  }

  function close(): Promise<void> {
    if (isClosed) return closing
    isClosed = true
    closing = end()
    return closing
  }

  async function end(): Promise<void> {
    const ended = engine.close(new ClosedError(`The cache \`${settings.name}\` was closed`))
    memory.clear()
    await ended
    await closeStore()
  }

  const cache: Cache & { readonly [cacheIdentity]: object } = {
    name: settings.name,
    getOrSet: (key, load, given) => answer(key, load, given) as Promise<never>,
    async get(key) {
      expectOpen()
      const [entry] = await reader.readFresh([encodeKey(key)])
      return recordUse(entry)?.value as never
    },
    peek: (key) => hit(key, undefined)?.value as never,
    async has(key) {
      expectOpen()
      const [entry] = await reader.readFresh([encodeKey(key)])
      return recordUse(entry) !== undefined
    },
    async getMany(keys) {
      expectOpen()
      if (!Array.isArray(keys)) throw new TypeError(`Expected \`keys\` to be an array, got ${describeValue(keys)}`)
      const entries = await reader.readFresh(keys.map(encodeKey))
      return entries.map((entry) => recordUse(entry)?.value as never)
    },
    async getOrSetMany(ids, load, given) {
      expectOpen()
      return getOrSetMany(engine, settings, ids, load, given)
    },
    async set(key, value, given) {
      expectOpen()
      if (given !== undefined) expectOptions(given, entryOptions)
      return writer.set(encodeKey(key), value, given)
    },
    delete: async (...keys) => invalidate({ keys: keys.map(encodeKey) }),
    invalidateTags: async (...given) => invalidate(resolveTagChange(given)),
    clear: () => invalidate({ all: true }),
    wrap(fn, given) {
      expectWrapped(settings, fn, given as never)
      return wrap(cache, answer, fn as never, given as never) as never
    },
    stamps: (tags, options) => readStamps(tags, options?.since),
    stats,
    async explain(key) {
      expectOpen()
      return reader.explain(encodeKey(key))
    },
    on(event, listener) {
      expectOneOf<string>(event, 'event', ['error', 'state', 'invalidate'])
      return events.on(event, listener)
    },
    close,
    [Symbol.asyncDispose]: close,
    [cacheIdentity]: identity,
  }
  return cache as unknown as Cache<Name, Tag>
}

/** The stamps of the tags that were not invalidated after `since`, and `undefined` for the others. */
function unchangedStamps(now: TagStamps, since: TagStamps): TagStamps['stamps'] {
  if (now.generation !== since.generation) return now.stamps.map(() => undefined)
  return now.stamps.map((stamp) => {
    const isUnchanged = typeof stamp === 'number' ? stamp <= Number(since.at) : now.at === since.at
    return isUnchanged ? stamp : undefined
  })
}

function wrap<Args extends readonly unknown[], Result>(
  cache: Pick<Cache, 'peek' | 'delete'>,
  answer: Answer,
  fn: (...args: Args) => Result,
  { name, key, tags, ...rest }: WrapOptions<Args, Awaited<Result>>,
): Wrapped<Args, Awaited<Result>> {
  const options: GetOrSetOptions = typeof tags === 'function' ? rest : { ...rest, tags }
  const freshOptions: GetOrSetOptions = { ...options, fresh: true }

  function keyOf(...args: Args): Key {
    return [name, key === undefined ? args : key(...args)]
  }
  function run(args: Args, given: GetOrSetOptions): Promise<Awaited<Result>> {
    const tagsOf = typeof tags === 'function' ? (result: unknown) => tags(args, result as Awaited<Result>) : undefined
    return answer(keyOf(...args), () => fn(...args), given, tagsOf) as Promise<Awaited<Result>>
  }
  return Object.assign((...args: Args) => run(args, options), {
    fresh: (...args: Args) => run(args, freshOptions),
    peek: (...args: Args) => cache.peek<Awaited<Result>>(keyOf(...args)),
    invalidate: (...args: Args) => cache.delete(keyOf(...args)),
    keyOf,
  })
}
