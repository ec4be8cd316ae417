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
import type { Store } from './store.ts'
import { StoreTier } from './store-tier.ts'

/** The store tier, and what tells whether memory agrees with it. */
export interface OpenedStore {
  readonly store: StoreTier | undefined
  readonly coherence: { covers(now: number): boolean; readonly ageMs: number }
  close(): Promise<void>
}

/** What a store tier works with. */
interface Surroundings {
  readonly settings: CacheSettings
  readonly counters: StoreCounters
  readonly events: Events
  readonly time: CoarseTime
  readonly listener: CoherenceListener
}

/** Opens the tier that the options ask for, in the background. */
export function openStore(
  { redis, store }: Pick<CacheOptions, 'redis' | 'store'>,
  surroundings: Surroundings,
): OpenedStore {
  const source = redis === undefined ? clientOf(store) : redisSource(redis)
  if (source !== undefined) return openRedis(source, surroundings)
  if (store !== undefined) return openPortable(store, surroundings)
  // Nobody else can invalidate anything.
  return { store, coherence: { covers: () => true, ageMs: 0 }, close: async () => {} }
}

function openPortable(keyv: unknown, surroundings: Surroundings): OpenedStore {
  if (!isKeyvLike(keyv)) {
    throw new TypeError(`Expected \`store\` to be a Keyv instance or adapter, got ${describeValue(keyv)}`)
  }
  const { namespace, loadHardMs, withinMs } = surroundings.settings
  const now = () => surroundings.time.exact()
  const store = openTier(new KeyvStore(keyv, namespace, loadHardMs + 60_000, now), surroundings)
  // The store tells of nothing: memory must not rely on having heard, and may lag behind by as much as it is trusted.
  return { store, coherence: { covers: () => false, ageMs: withinMs }, close: () => store.close() }
}

function openRedis(source: RedisSource, surroundings: Surroundings): OpenedStore {
  const { settings, time, listener } = surroundings
  const coherence = new Coherence(settings.withinMs, time, listener)
  const now = () => time.exact()
  const store = openTier(new RedisStore(source, settings.namespace, coherence, now), surroundings)
  const stopHeartbeat = startHeartbeat(store, coherence, settings.withinMs)
  return {
    store,
    coherence,
    close() {
      stopHeartbeat()
      return store.close()
    },
  }
}

function openTier(store: Store, { settings, counters, events }: Surroundings): StoreTier {
  return new StoreTier(store, settings, counters, events)
}

/** Asks for the clock twice in the time that memory may lag behind, while memory is in use. */
function startHeartbeat(store: StoreTier, coherence: Coherence, withinMs: number): () => void {
  let idleBeats = 0
  const beat = () => {
    idleBeats = coherence.isUsed ? 0 : idleBeats + 1
    coherence.isUsed = false
    // What has just been stored is trusted for two beats without being asked about, so one idle beat means nothing yet.
    if (idleBeats < 2) void store.ping()
  }
  const heartbeat = setInterval(beat, Math.max(10, withinMs / 2)).unref()
  return () => clearInterval(heartbeat)
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
