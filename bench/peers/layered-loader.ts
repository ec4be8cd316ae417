import { Redis } from 'ioredis'
import { createGroupNotificationPair, GroupLoader, Loader, RedisGroupCache } from 'layered-loader'

/** What a read is given: the value is loaded by its own function. */
interface Read<Value> {
  readonly key: string
  readonly load: () => Promise<Value>
}

const ttlInMsecs = 300_000

/** A loader in memory alone. */
export function createMemoryLoader<Value>(maxItems: number): Loader<Value, Read<Value>> {
  return new Loader<Value, Read<Value>>({
    inMemoryCache: { ttlInMsecs, maxItems },
    cacheKeyFromLoadParamsResolver: ({ key }) => key,
    dataSourceGetOneFn: ({ load }) => load(),
  })
}

export interface OpenGroupLoader<Value> {
  /** Resolves once it hears what others invalidate. */
  readonly ready: Promise<void>
  getOrSet(key: string, load: () => Promise<Value>, group: string): Promise<Value>
  invalidateGroup(group: string): Promise<void>
  close(): Promise<void>
}

/**
 * A loader on Redis whose entries belong to a group each: its only way to invalidate entries together.
 *
 * @param channel - where processes tell each other what they have invalidated; without it there is no tier in memory
 */
export function openGroupLoader<Value>(url: string, prefix: string, channel?: string): OpenGroupLoader<Value> {
  const connect = () => new Redis(url).on('error', () => {})
  const store = connect()
  const notices =
    channel === undefined
      ? undefined
      : createGroupNotificationPair<Value>({ channel, consumerRedis: connect(), publisherRedis: connect() })
  const loader = new GroupLoader<Value, Read<Value>>({
    inMemoryCache: notices === undefined ? false : { ttlInMsecs },
    asyncCache: new RedisGroupCache<Value>(store, { ttlInMsecs, json: true, prefix }),
    cacheKeyFromLoadParamsResolver: ({ key }) => key,
    dataSources: [{ name: 'own', getFromGroup: ({ load }) => load(), getManyFromGroup: async () => [] }],
    ...(notices && { notificationConsumer: notices.consumer, notificationPublisher: notices.publisher }),
  })
  return {
    ready: loader.init(),
    getOrSet: (key: string, load: () => Promise<Value>, group: string) =>
      loader.get({ key, load }, group) as Promise<Value>,
    invalidateGroup: (group: string) => loader.invalidateCacheForGroup(group),
    async close() {
      await loader.close()
      store.disconnect()
    },
  }
}
