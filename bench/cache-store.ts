import KeyvRedis, { createClient } from '@keyv/redis'
import { createCache as createDedupe } from 'async-cache-dedupe'
import { BentoCache, bentostore } from 'bentocache'
import { redisDriver } from 'bentocache/drivers/redis'
import { createCache as createManager } from 'cache-manager'
import { Cacheable } from 'cacheable'
import { Redis } from 'ioredis'
import { Keyv } from 'keyv'
import { createCache } from '../src/cache/create-cache.ts'
import { type Server, startRedis } from '../test/support/servers.ts'
import { compare, table } from './harness.ts'
import { openGroupLoader } from './peers/layered-loader.ts'

/** A cache that keeps everything in Redis and nothing in memory. */
interface Peer {
  getOrSet(key: string, load: () => Promise<unknown>): Promise<unknown>
  /** Without it the library has no tags. */
  invalidate?(tag: string): Promise<unknown>
  close(): Promise<unknown>
}

const tags = ['a', 'b', 'c']
const ttl = '5m'
const ttlMs = 300_000
/** About 1.5 KB: below what anybody compresses. */
const value = Array.from({ length: 16 }, (_, id) => ({ id, name: `user number ${id}`, email: `user${id}@example.org` }))
const load = async () => value
/** Raise it to 1,000,000 to look further. */
const many = Number(process.env.ENTRIES ?? 20_000)
const limitMs = 3_000

const peers: Readonly<Record<string, (url: string) => Peer>> = {
  posthaste(url) {
    const cache = createCache({ redis: url, memory: false })
    return {
      getOrSet: (key, load) => cache.getOrSet(key, load, { tags }),
      invalidate: (tag) => cache.invalidateTags(tag),
      close: () => cache.close(),
    }
  },
  bentocache(url) {
    const { hostname: host, port } = new URL(url)
    const driver = redisDriver({ connection: { host, port: Number(port) } })
    const cache = new BentoCache({ default: 'redis', stores: { redis: bentostore().useL2Layer(driver) } })
    return {
      getOrSet: (key, factory) => cache.getOrSet({ key, factory, tags, ttl }),
      invalidate: (tag) => cache.deleteByTag({ tags: [tag] }),
      close: () => cache.disconnectAll(),
    }
  },
  cacheable(url) {
    const adapter = new KeyvRedis(url)
    const cache = new Cacheable({ primary: new Keyv(adapter), tags: true })
    return {
      // Its own `getOrSet` takes no tags.
      getOrSet: async (key, load) =>
        (await cache.get(key)) ?? keep(await load(), (made) => cache.set(key, made, { ttl, tags })),
      invalidate: (tag) => cache.tags.invalidateTag(tag),
      close: () => adapter.disconnect(true),
    }
  },
  'async-cache-dedupe'(url) {
    const client = new Redis(url)
    client.on('error', () => {})
    const loads = new Map<string, () => Promise<unknown>>()
    const cache = createDedupe({
      ttl: ttlMs / 1_000,
      storage: { type: 'redis', options: { client, invalidation: { referencesTTL: 600 } } },
    }).define('value', { references: () => tags }, async (key: string) => loads.get(key)?.())
    return {
      getOrSet(key, load) {
        loads.set(key, load)
        return cache.value(key)
      },
      invalidate: (tag) => cache.invalidateAll(tag),
      close: async () => client.disconnect(),
    }
  },
  'layered-loader'(url) {
    const [group = ''] = tags
    const cache = openGroupLoader<unknown>(url, 'layered')
    return {
      getOrSet: (key, load) => cache.getOrSet(key, load, group),
      invalidate: (tag) => cache.invalidateGroup(tag),
      close: () => cache.close(),
    }
  },
  'cache-manager'(url) {
    const adapter = new KeyvRedis(url)
    const cache = createManager({ stores: [new Keyv(adapter)] })
    return { getOrSet: (key, load) => cache.wrap(key, load, ttlMs), close: () => adapter.disconnect(true) }
  },
  keyv(url) {
    const adapter = new KeyvRedis(url)
    const cache = new Keyv(adapter)
    return {
      getOrSet: async (key, load) =>
        (await cache.get(key)) ?? keep(await load(), (made) => cache.set(key, made, ttlMs)),
      close: () => adapter.disconnect(true),
    }
  },
}

/** What does Redis as the only tier cost, and what becomes of callers when it fails? All entries carry three tags. */
export default async function cacheStore(): Promise<string> {
  return [
    '### Hits and misses, one after the other',
    await withRedis(hitsAndMisses),
    `### Invalidating a tag of 1,000 entries, and of ${many.toLocaleString('en')}`,
    await eachPeer(['', '1,000, ms', `${many.toLocaleString('en')}, ms`], invalidation),
    '### 300 callers of one missing key in 3 instances: how often is it loaded?',
    await eachPeer(['', 'load succeeds', 'load fails'], stampede),
    '### Redis fails: milliseconds until a missing value is loaded, twice in a row',
    await eachPeer(['', 'SIGKILL', 'SIGSTOP'], failure),
  ].join('\n\n')
}

async function hitsAndMisses({ url }: Server): Promise<string> {
  const client = createClient({ url })
  await client.connect()
  await client.mSet({ raw: JSON.stringify(value), clock: '1', ...Object.fromEntries(tags.map((tag) => [tag, '1'])) })
  // The least that a check of the tags within one round trip takes: everything read, and nothing compared.
  const readAll = await client.scriptLoad(`return redis.call('MGET', unpack(KEYS))`)
  const askFor = { keys: ['raw', 'clock', ...tags], arguments: [] }
  const leastMiss = await leastMissOf(client)
  const opened = Object.entries(peers).map(([name, open]) => ({ name, peer: open(url) }))
  for (const { peer } of opened) await peer.getOrSet('hit', load)
  const cache = createCache({ redis: url, memory: false })
  let misses = 0
  const hits = await compare(
    [
      { name: 'GET and JSON.parse', run: async () => JSON.parse((await client.get('raw')) as string) },
      {
        name: 'a script that reads entry, clock and 3 tags, and JSON.parse',
        run: async () => JSON.parse(((await client.evalSha(readAll, askFor)) as string[])[0] as string),
      },
      ...opened.map(({ name, peer }) => ({ name: `${name}, hit`, run: () => peer.getOrSet('hit', load) })),
      { name: 'posthaste, hit as the first of a process: by a script', run: () => cache.get('hit') },
    ],
    // Servers run for longer than the compiler takes.
    { iterations: 100, rounds: 40, warmUp: 60 },
  )
  const missed = await compare(
    [
      {
        name: 'GET, then SET',
        async run() {
          const key = `raw ${misses++}`
          await client.get(key)
          await client.set(key, JSON.stringify(value), { PX: ttlMs })
        },
      },
      {
        name: 'a script that reads all and takes a lease, then one that checks all and stores',
        run: () => leastMiss(`least ${misses++}`),
      },
      ...opened.map(({ name, peer }) => ({
        name: `${name}, miss`,
        run: () => peer.getOrSet(`miss ${misses++}`, load),
      })),
    ],
    { iterations: 50, rounds: 30, warmUp: 120 },
  )
  await Promise.all([cache.close(), ...opened.map(({ peer }) => peer.close())])
  client.destroy()
  return `${table(hits)}\n\n${table(missed)}`
}

interface Scripts {
  scriptLoad(text: string): Promise<string>
  evalSha(sha: string, options: { keys: string[]; arguments: string[] }): Promise<unknown>
}

/** The least that a miss takes which no invalidation can overtake: two scripts of what cannot be left out, and nothing else. */
async function leastMissOf(client: Scripts): Promise<(key: string) => Promise<void>> {
  const take = await client.scriptLoad(`
    local found = redis.call('MGET', unpack(KEYS, 2))
    redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', 5000)
    return found`)
  const store = await client.scriptLoad(`
    local found = redis.call('MGET', unpack(KEYS, 2))
    if found[1] ~= ARGV[1] then return 0 end
    for index = 2, #found do if not found[index] then return 0 end end
    redis.call('DEL', KEYS[2])
    redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
    return 1`)
  return async (key) => {
    const lease = `lease of ${key}`
    await client.evalSha(take, { keys: [lease, key, 'clock', ...tags], arguments: [key] })
    const stored = [key, JSON.stringify(value), String(ttlMs)]
    await client.evalSha(store, { keys: [key, lease, 'clock', ...tags], arguments: stored })
  }
}

async function invalidation(open: (url: string) => Peer): Promise<string[]> {
  const times: string[] = []
  for (const count of [1_000, many]) {
    times.push(
      await withRedis(async ({ url }) => {
        const peer = open(url)
        if (peer.invalidate === undefined) return close(peer, 'no tags')
        const small = async () => 1
        for (let first = 0; first < count; first += 500) {
          await Promise.all(Array.from({ length: 500 }, (_, index) => peer.getOrSet(`key ${first + index}`, small)))
        }
        for (let warm = 0; warm < 20; warm++) await peer.invalidate('none')
        const start = performance.now()
        await peer.invalidate('a')
        return close(peer, (performance.now() - start).toFixed(1))
      }),
    )
  }
  return times
}

async function stampede(open: (url: string) => Peer): Promise<string[]> {
  return withRedis(async ({ url }) => {
    const instances = [open(url), open(url), open(url)]
    const counts: string[] = []
    for (const isFailing of [false, true]) {
      let loads = 0
      await Promise.all(instances.map((instance) => instance.getOrSet(`warm ${isFailing}`, load)))
      const slow = async () => {
        loads++
        await new Promise((resolve) => setTimeout(resolve, 20))
        if (isFailing) throw new Error('no row')
        return value
      }
      const callers = instances.flatMap((instance) =>
        Array.from({ length: 100 }, () => instance.getOrSet(`key ${isFailing}`, slow)),
      )
      await Promise.allSettled(callers)
      counts.push(String(loads))
    }
    await Promise.all(instances.map((instance) => instance.close()))
    return counts
  })
}

async function failure(open: (url: string) => Peer): Promise<string[]> {
  const ignore = () => {}
  process.on('unhandledRejection', ignore)
  const cells = ['SIGKILL', 'SIGSTOP'].map((signal) =>
    withRedis(async (server) => {
      const peer = open(server.url)
      await peer.getOrSet('warm', load)
      server.process.kill(signal as NodeJS.Signals)
      const waits = [await waitFor(peer.getOrSet('first', load)), await waitFor(peer.getOrSet('second', load))]
      server.process.kill('SIGCONT')
      return close(peer, waits.join(', '))
    }),
  )
  const found = await Promise.all(cells)
  process.off('unhandledRejection', ignore)
  return found
}

/** How long the answer takes, in words. */
async function waitFor(answer: Promise<unknown>): Promise<string> {
  const start = performance.now()
  const late = new Promise<string>((resolve) => setTimeout(resolve, limitMs, `more than ${limitMs}`))
  const took = () => (performance.now() - start).toFixed(0)
  return Promise.race([answer.then(took, () => `${took()} (rejects)`), late])
}

async function eachPeer(
  head: readonly string[],
  measure: (open: (url: string) => Peer) => Promise<string[]>,
): Promise<string> {
  const rows: string[] = []
  for (const [name, open] of Object.entries(peers)) rows.push(`| ${[name, ...(await measure(open))].join(' | ')} |`)
  return [
    `| ${head.join(' | ')} |`,
    `|${head.map((_, index) => (index === 0 ? '---' : '---:')).join('|')}|`,
    ...rows,
  ].join('\n')
}

async function withRedis<Result>(work: (server: Server) => Promise<Result>): Promise<Result> {
  const server = await startRedis()
  if (server === undefined) throw new Error('There is no redis-server on the PATH')
  try {
    return await work(server)
  } finally {
    await server.stop()
  }
}

/** Closes what may hang, and returns the result. */
async function close<Result>(peer: Peer, result: Result): Promise<Result> {
  await Promise.race([peer.close().catch(() => {}), new Promise((resolve) => setTimeout(resolve, 200))])
  return result
}

async function keep<Value>(made: Value, store: (made: Value) => Promise<unknown>): Promise<Value> {
  await store(made)
  return made
}
