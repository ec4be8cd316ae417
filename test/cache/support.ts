import { randomUUID } from 'node:crypto'
import KeyvRedis5, { createClient } from '@keyv/redis'
import { Keyv as Keyv5 } from 'keyv'
import { type Cache, type CacheOptions, createCache } from 'posthaste'
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest'
import KeyvRedis6, { createClient as createClient6 } from '../support/keyv6/node_modules/@keyv/redis/dist/index.mjs'
import { Keyv as Keyv6, KeyvMemoryAdapter } from '../support/keyv6/node_modules/keyv/dist/index.mjs'
import { type Server, startRedis } from '../support/servers.ts'

export type RedisClient = ReturnType<typeof createClient>

/** A namespace of one test file's own, removed from the shared Redis by {@link cleanUp}. */
export function uniqueNamespace(): string {
  return `test-${randomUUID().slice(0, 8)}`
}

/** A client for looking at what is in Redis. */
export async function connect(url: string): Promise<RedisClient> {
  const client = createClient({ url })
  client.on('error', () => {})
  await client.connect()
  return client as RedisClient
}

/** By which commands a Redis has been read. */
export async function commandsOf(client: RedisClient): Promise<string[]> {
  const info = await client.info('commandstats')
  const names = [...info.matchAll(/cmdstat_([\w]+)(?:\|\w+)?:/g)].map(([, name]) => name as string)
  return names.filter((name) => /^(get|mget|eval|evalsha)$/.test(name))
}

/** Removes every key of the namespaces. */
export async function cleanUp(url: string, namespaces: readonly string[]): Promise<void> {
  const client = await connect(url)
  for (const namespace of namespaces) {
    for await (const keys of client.scanIterator({ MATCH: `*${namespace}*`, COUNT: 1_000 })) {
      if (keys.length > 0) await client.del(keys)
    }
  }
  client.destroy()
}

/** One way to have a store, for the suites that every store must pass. */
export interface StoreKind {
  readonly name: string
  /** Whether the promise holds between processes without a window. */
  readonly isRaceProof: boolean
  /** Options for one more cache on the same store, and what closes what they hold. */
  open(): Promise<{ options: CacheOptions; close(): Promise<void> }>
}

const nothing = async () => {}

/** Stores in this process: each kind shares one among its caches. */
export function localStores(): StoreKind[] {
  const five = new Keyv5()
  const six = new Keyv6()
  const adapter = new KeyvMemoryAdapter(new Map())
  const map = new Map<string, string>()
  const share = (name: string, store: NonNullable<CacheOptions['store']>): StoreKind => {
    return { name, isRaceProof: false, open: async () => ({ options: { store }, close: nothing }) }
  }
  return [
    share('a Keyv 5 instance', five),
    share('a Keyv 6 instance', six),
    share('a Keyv 6 adapter', adapter),
    share('a bare Map', map),
  ]
}

/** Every way to use the Redis at the address. */
export function redisStores(url: string): StoreKind[] {
  const keyv = (name: string, make: () => { store: object; disconnect(): Promise<void> }): StoreKind => ({
    name,
    isRaceProof: true,
    async open() {
      const { store, disconnect } = make()
      return { options: { store: store as NonNullable<CacheOptions['store']> }, close: disconnect }
    },
  })
  return [
    { name: 'a Redis URL', isRaceProof: true, open: async () => ({ options: { redis: url }, close: nothing }) },
    { name: 'Redis options', isRaceProof: true, open: async () => ({ options: { redis: { url } }, close: nothing }) },
    {
      name: 'a node-redis client',
      isRaceProof: true,
      async open() {
        const client = await connect(url)
        return { options: { redis: client }, close: async () => client.destroy() }
      },
    },
    keyv('the Redis adapter of Keyv 5', () => {
      const store = new KeyvRedis5(url)
      return { store, disconnect: () => store.disconnect(true) }
    }),
    keyv('a Keyv 5 instance on Redis', () => {
      const adapter = new KeyvRedis5(url)
      return { store: new Keyv5(adapter), disconnect: () => adapter.disconnect(true) }
    }),
    keyv('a Keyv 6 instance on Redis', () => {
      const adapter = new KeyvRedis6(url)
      return { store: new Keyv6(adapter), disconnect: () => adapter.disconnect(true) }
    }),
  ]
}

/** A client that puts a prefix of its own before every key, and so shares nothing with those without. */
export function prefixingRedis(url: string): StoreKind {
  return {
    name: 'a node-redis 6 client with a prefix of its own for keys',
    isRaceProof: true,
    async open() {
      const client = createClient6({ url, keyPrefix: 'prefix:' })
      await client.connect()
      return { options: { redis: client as never }, close: async () => client.destroy() }
    },
  }
}

/** Opens caches on a store, all to be closed together. */
export class CacheGroup {
  readonly #kind: StoreKind
  readonly #closers: (() => Promise<void>)[] = []

  constructor(kind: StoreKind) {
    this.#kind = kind
  }

  async open(options: CacheOptions = {}): Promise<Cache> {
    const { options: store, close } = await this.#kind.open()
    const cache = createCache({ ...store, ...options })
    this.#closers.push(async () => {
      await cache.close()
      await close()
    })
    return cache
  }

  async close(): Promise<void> {
    await Promise.all(this.#closers.splice(0).map((close) => close()))
  }
}

/** A promise, and what settles it. */
export function gate<Value = void>(): { promise: Promise<Value>; open: (value: Value) => void } {
  let open!: (value: Value) => void
  const promise = new Promise<Value>((resolve) => {
    open = resolve
  })
  return { promise, open }
}

/** Waits until the condition holds, and fails when it does not within the time. */
export async function until(condition: () => unknown, ms = 5_000): Promise<void> {
  const end = performance.now() + ms
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`Nothing became of ${condition} within ${ms} ms`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** A Redis of one suite's own, with a namespace and caches for each test. */
export interface RedisBench {
  readonly url: string
  readonly client: RedisClient
  readonly namespace: string
  /** Opens a cache that is connected, and closed after the test. */
  open(options?: CacheOptions<string, string>): Promise<Cache<string, string>>
}

/** Starts a server for the suite that calls it. What it returns can be used in its tests and hooks. */
export function useRedis(name: string): RedisBench {
  let server: Server
  let client: RedisClient
  let caches: Cache<string, string>[] = []
  let count = 0
  beforeAll(async () => {
    server = (await startRedis()) as Server
    client = await connect(server.url)
  })
  afterAll(async () => {
    client.destroy()
    await server.stop()
  })
  beforeEach(() => {
    count++
  })
  afterEach(async () => {
    await Promise.all(caches.map((cache) => cache.close()))
    caches = []
  })
  return {
    get url() {
      return server.url
    },
    get client() {
      return client
    },
    get namespace() {
      return `${name}-${count}`
    },
    async open(options) {
      const { namespace, url: redis } = this
      const cache = createCache<string, string>({ redis, namespace, timeouts: { store: '5s' }, ...options })
      caches.push(cache)
      await cache.explain('warm')
      return cache
    },
  }
}
