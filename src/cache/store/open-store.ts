import { describeValue } from '../../shared/arguments.ts'
import { type Clock, type CoarseTime, wallClock } from '../../shared/time/clock.ts'
import { startInterval, type Timer } from '../../shared/time/timers.ts'
import { isKeyvLike, type KeyvLike } from '../keyv/keyv-client.ts'
import type { Change } from '../memory/invalidation-log.ts'
import type { CacheOptions } from '../options.ts'
import { Coherence } from '../redis/coherence.ts'
import { isRedisClient, type RedisSource, redisSource } from '../redis/redis-client.ts'
import type { ImportStore } from './store.ts'
import { StoreTier, type TierDependencies } from './store-tier.ts'

/** What this process knows of the changes in the store. */
interface StoreCoherence {
  isVerifiedAt(now: number): boolean
  readonly ageMs: number
  /** The store's clock at the latest change that this process has heard of; `-Infinity` where it hears of none. */
  readonly seenStamp: number
}

/** The store tier, and until when memory is verified against it. */
interface OpenedStore {
  readonly store: StoreTier | undefined
  readonly coherence: StoreCoherence
  close(): Promise<void>
}

interface StoreDependencies extends TierDependencies {
  readonly time: CoarseTime
  /** See {@link Coherence}. */
  readonly onRemoteChange: (change: Change) => void
}

/** Opens the store that the options name. It connects in the background. */
export function openStore(
  { redis, store, clock }: Pick<CacheOptions, 'redis' | 'store' | 'clock'>,
  dependencies: StoreDependencies,
): OpenedStore {
  const source = redis === undefined ? clientOf(store) : redisSource(redis)
  if (source !== undefined) return openRedis(source, dependencies)
  if (store !== undefined) return openPortable(store, dependencies, clock)
  // No other process can invalidate anything.
  return {
    store,
    coherence: { isVerifiedAt: () => true, ageMs: 0, seenStamp: Number.POSITIVE_INFINITY },
    close: async () => {},
  }
}

function openPortable(keyv: unknown, dependencies: StoreDependencies, clock: Clock = wallClock): OpenedStore {
  if (!isKeyvLike(keyv)) {
    throw new TypeError(`Expected \`store\` to be a Keyv instance or adapter, got ${describeValue(keyv)}`)
  }
  const { namespace, loadHardMs, withinMs } = dependencies.settings
  const importStore: ImportStore = async () => {
    const { KeyvStore } = await import('../keyv/keyv-store.ts')
    return new KeyvStore(keyv, namespace, loadHardMs + 60_000, clock)
  }
  const store = new StoreTier(importStore, dependencies)
  // Keyv sends no messages about invalidations, so entries in memory are trusted for `coherence.within` and no longer.
  return {
    store,
    coherence: { isVerifiedAt: () => false, ageMs: withinMs, seenStamp: Number.NEGATIVE_INFINITY },
    close: () => store.close(),
  }
}

function openRedis(source: RedisSource, dependencies: StoreDependencies): OpenedStore {
  const { settings, time, onRemoteChange } = dependencies
  const coherence = new Coherence(settings.withinMs, time, onRemoteChange)
  const importStore: ImportStore = async () => {
    const { RedisStore } = await import('../redis/redis-store.ts')
    const opened = new RedisStore(source, settings, coherence, time)
    await opened.prepare()
    return opened
  }
  const store = new StoreTier(importStore, dependencies)
  const heartbeat = startHeartbeat(store, coherence, settings.withinMs)
  return {
    store,
    coherence,
    close() {
      heartbeat.cancel()
      return store.close()
    },
  }
}

/** While memory is in use, reads the store's clock twice in the time for which memory stays verified. */
function startHeartbeat(store: StoreTier, coherence: Coherence, withinMs: number): Timer {
  let idleBeats = 0
  const beat = () => {
    idleBeats = coherence.isUsed ? 0 : idleBeats + 1
    coherence.isUsed = false
    // Stop after two idle beats, not one: an entry that was just stored is trusted for two beats without a question.
    // A rejection means that the client refuses its options. Every call of the user rejects in the same way.
    if (idleBeats < 2) store.ping().catch(() => {})
  }
  return startInterval(beat, Math.max(10, withinMs / 2))
}

/**
 * Finds the Redis client of a Keyv adapter, of either major. The adapter may be inside one or two wrappers, such as a Keyv
 * instance.
 */
function clientOf(store: KeyvLike | undefined): RedisSource | undefined {
  let layer: unknown = store
  for (let depth = 0; depth < 3 && typeof layer === 'object' && layer !== null; depth++) {
    const { client, store: inner } = layer as { readonly client?: unknown; readonly store?: unknown }
    if (isRedisClient(client)) return redisSource(client)
    layer = inner
  }
  return undefined
}
