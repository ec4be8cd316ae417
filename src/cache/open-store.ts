import { describeValue } from '../shared/assertions.ts'
import type { CoarseTime } from './coarse-time.ts'
import { Coherence, type CoherenceListener } from './coherence.ts'
import type { StoreCounters } from './counters.ts'
import type { Events } from './events.ts'
import { isKeyvLike, type KeyvLike } from './keyv-client.ts'
import { KeyvStore } from './keyv-store.ts'
import type { CacheOptions, CacheSettings } from './options.ts'
import { isRedisClient, type RedisSource, redisSource } from './redis-client.ts'
import { RedisStore } from './redis-store.ts'
import { StoreTier } from './store-tier.ts'

/** The store tier, and what tells whether memory agrees with it. */
export interface OpenedStore {
  readonly store: StoreTier | undefined
  readonly coherence: { covers(now: number): boolean; readonly ageMs: number }
  close(): Promise<void>
}

/** Opens the tier that the options ask for, in the background. */
export function openStore(
  { redis, store }: Pick<CacheOptions, 'redis' | 'store'>,
  settings: CacheSettings,
  counters: StoreCounters,
  events: Events,
  time: CoarseTime,
  listener: CoherenceListener,
): OpenedStore {
  const source = redis === undefined ? clientOf(store) : redisSource(redis)
  if (source !== undefined) return openRedis(source, settings, counters, events, time, listener)
  if (store === undefined) {
    // Nobody else can invalidate anything.
    return { store, coherence: { covers: () => true, ageMs: 0 }, close: async () => {} }
  }
  if (!isKeyvLike(store)) {
    throw new TypeError(`Expected \`store\` to be a Keyv instance or adapter, got ${describeValue(store)}`)
  }
  const { namespace, loadHardMs } = settings
  const portable = new KeyvStore(store, namespace, loadHardMs + 60_000, () => time.exact())
  const tier = new StoreTier(portable, settings, counters, events)
  // The store tells of nothing: memory must not rely on having heard, and may lag behind by as much as it is trusted.
  const deaf = { covers: () => false, ageMs: settings.withinMs }
  return { store: tier, coherence: deaf, close: () => tier.close() }
}

function openRedis(
  source: RedisSource,
  settings: CacheSettings,
  counters: StoreCounters,
  events: Events,
  time: CoarseTime,
  listener: CoherenceListener,
): OpenedStore {
  const { withinMs } = settings
  const coherence = new Coherence(withinMs, time, listener)
  const store = new RedisStore(source, settings.namespace, coherence, () => time.exact())
  const tier = new StoreTier(store, settings, counters, events)
  let idleBeats = 0
  const beat = () => {
    idleBeats = coherence.isUsed ? 0 : idleBeats + 1
    coherence.isUsed = false
    // What has just been stored is trusted for two beats without being asked about, so one idle beat means nothing yet.
    if (idleBeats < 2) void tier.ping()
  }
  const heartbeat = setInterval(beat, Math.max(10, withinMs / 2)).unref()
  return {
    store: tier,
    coherence,
    close() {
      clearInterval(heartbeat)
      return tier.close()
    },
  }
}

/** The Redis client under a Keyv instance or adapter, of whichever major and however wrapped. */
function clientOf(store: KeyvLike | undefined): RedisSource | undefined {
  let layer: unknown = store
  for (let depth = 0; depth < 3 && typeof layer === 'object' && layer !== null; depth++) {
    const { client, store: inner } = layer as { readonly client?: unknown; readonly store?: unknown }
    if (isRedisClient(client)) return redisSource(client)
    layer = inner
  }
  return undefined
}
