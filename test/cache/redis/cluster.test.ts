import { createCluster } from '@keyv/redis'
import { type CacheOptions, createCache, redisFleet } from 'posthaste'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freeClusterPort, type Server, startRedis } from '../../support/servers.ts'
import { services } from '../../support/services.ts'
import { commandsOf, connect, type RedisClient, until } from '../support.ts'

const clusterOptions = ['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1']

describe.skipIf(!services.redis)('Redis Cluster', () => {
  let server: Server
  let client: RedisClient

  beforeAll(async () => {
    server = (await startRedis(clusterOptions, await freeClusterPort())) as Server
    client = await connect(server.url)
    await client.sendCommand(['CLUSTER', 'ADDSLOTSRANGE', '0', '16383'])
    // A node that has just started takes nothing for two seconds.
    await until(async () => String(await client.sendCommand(['CLUSTER', 'INFO'])).includes('cluster_state:ok'), 20_000)
  })
  afterAll(async () => {
    client.destroy()
    await server.stop()
  })

  async function keepsThePromise(namespace: string, redis: NonNullable<CacheOptions['redis']>): Promise<void> {
    // Longer than by default: on a busy machine a read that is late would load.
    const options = { redis, namespace, timeouts: { store: '5s' } } as const
    const [one, two] = [createCache(options), createCache(options)]
    const three = createCache({ ...options, memory: false })
    const tags = ['a', 'b']
    await until(() => one.set('key', 'old', { tags }))
    await until(async () => (await two.getOrSet('key', () => 'new', { tags })) === 'old')
    // The second time it is known to be there.
    await until(async () => (await three.getOrSet('key', () => 'new', { tags })) === 'old')
    expect(await three.getOrSet('key', () => 'new', { tags })).toBe('old')
    expect(await one.invalidateTags('b')).toEqual({ propagated: true, queued: false })
    await until(() => two.peek('key') === undefined, 2_000)
    expect(await two.getOrSet('key', () => 'new', { tags })).toBe('new')
    expect(await three.getOrSet('key', () => 'new', { tags })).toBe('new')
    await Promise.all([one.close(), two.close(), three.close()])
  }

  it('keeps the keys of a namespace in one slot, and the promise', async () => {
    await keepsThePromise('options', { rootNodes: [{ url: server.url }] })
    const slots = await Promise.all(
      (await client.keys('*options*')).map((key) => client.sendCommand(['CLUSTER', 'KEYSLOT', key])),
    )
    expect(slots.length).toBeGreaterThanOrEqual(4)
    expect(new Set(slots).size).toBe(1)
  })

  it('is never asked for what a replica holds, which may lag behind', async () => {
    const replica = (await startRedis(['--cluster-enabled', 'yes'], await freeClusterPort())) as Server
    const other = await connect(replica.url)
    const [id] = String(await client.sendCommand(['CLUSTER', 'MYID'])).split('\n')
    await other.sendCommand(['CLUSTER', 'MEET', '127.0.0.1', String(server.port)])
    await until(() => other.sendCommand(['CLUSTER', 'REPLICATE', id as string]).catch(() => false), 10_000)
    await until(async () => (await client.info('replication')).includes('state=online'), 10_000)
    const slots = async () => (await client.sendCommand(['CLUSTER', 'SLOTS'])) as unknown[][]
    // First and last slot, the node, its replica.
    await until(async () => (await slots())[0]?.length === 4, 10_000)
    const redis = { rootNodes: [{ url: server.url }], useReplicas: true }
    await keepsThePromise('replicas', redis)
    const cache = createCache({ redis, memory: false })
    // The client chooses among all of them each time.
    for (let reads = 0; reads < 20; reads++) await cache.getOrSet('key', () => 'value', { tags: ['a'] })
    await cache.close()
    expect(await commandsOf(other)).toEqual([])
    other.destroy()
    await replica.stop()
  })

  it('is told of invalidations that a node has missed which takes over, before it is read', async () => {
    const replica = (await startRedis(clusterOptions, await freeClusterPort())) as Server
    const other = await connect(replica.url)
    const id = String(await client.sendCommand(['CLUSTER', 'MYID']))
    await other.sendCommand(['CLUSTER', 'MEET', '127.0.0.1', String(server.port)])
    await until(() => other.sendCommand(['CLUSTER', 'REPLICATE', id]).catch(() => false), 10_000)
    await until(async () => (await client.info('replication')).includes('state=online'), 10_000)
    const options = {
      redis: { rootNodes: [{ url: server.url }] },
      namespace: 'moving',
      timeouts: { store: '5s' },
    } as const
    const cache = createCache(options)
    await until(() => cache.set('key', 'old', { tags: ['a'] }))
    await client.sendCommand(['WAIT', '1', '5000'])
    // From here on nothing reaches the replica.
    await client.sendCommand(['ACL', 'SETUSER', 'default', '-psync'])
    await client.sendCommand(['CLIENT', 'KILL', 'TYPE', 'replica'])
    expect((await cache.invalidateTags('a')).propagated).toBe(true)
    await other.sendCommand(['CLUSTER', 'FAILOVER', 'TAKEOVER'])
    await until(async () => (await client.info('replication')).includes('role:slave'), 10_000)
    // Its clock is then past that of the invalidation.
    const fresh = createCache(options)
    await until(async () => (await fresh.invalidateTags('other')).propagated)
    for (let read = 0; read < 5; read++) expect(await cache.getOrSet('key', () => 'new', { tags: ['a'] })).toBe('new')
    await until(() => cache.stats().store.state === 'up')
    await Promise.all([cache.close(), fresh.close()])
    await client.sendCommand(['ACL', 'SETUSER', 'default', '+psync'])
    await client.sendCommand(['CLUSTER', 'FAILOVER', 'TAKEOVER'])
    await until(async () => (await other.info('replication')).includes('role:slave'), 10_000)
    other.destroy()
    await replica.stop()
  })

  it('may be used through a client that is given', async () => {
    const cluster = createCluster({ rootNodes: [{ url: server.url }] })
    await cluster.connect()
    await keepsThePromise('given', cluster)
    await cluster.close()
  })

  it('carries the numbers of a fleet', async () => {
    const cluster = createCluster({ rootNodes: [{ url: server.url }] })
    await cluster.connect()
    const fleet = redisFleet(cluster)
    await fleet.publish('me', Uint8Array.of(1))
    expect((await fleet.collect()).map(({ id }) => id)).toEqual(['me'])
    await fleet.remove('me')
    expect(await fleet.collect()).toEqual([])
    await cluster.close()
  })

  it('is moved to another node key by key, while tags are invalidated and stamps are read', async () => {
    const target = (await startRedis(clusterOptions, await freeClusterPort())) as Server
    const other = await connect(target.url)
    const ids = await Promise.all(
      [client, other].map(async (node) => String(await node.sendCommand(['CLUSTER', 'MYID']))),
    )
    await other.sendCommand(['CLUSTER', 'MEET', '127.0.0.1', String(server.port)])
    await until(async () => String(await client.sendCommand(['CLUSTER', 'NODES'])).includes(ids[1] as string), 10_000)
    await until(async () => String(await other.sendCommand(['CLUSTER', 'INFO'])).includes('state:ok'), 20_000)
    // Clients know nodes by their slots.
    for (const node of [other, client]) await node.sendCommand(['CLUSTER', 'SETSLOT', '0', 'NODE', ids[1] as string])
    const redis = { rootNodes: [{ url: server.url }, { url: target.url }] }
    const cache = createCache({ redis, namespace: 'leaving', timeouts: { store: '5s' }, breaker: { coolDown: '50ms' } })
    const tags = ['a', 'b', 'c']
    await until(() => cache.set('key', 'old', { tags }))
    const slot = String(await client.sendCommand(['CLUSTER', 'KEYSLOT', '{leaving}']))
    await other.sendCommand(['CLUSTER', 'SETSLOT', slot, 'IMPORTING', ids[0] as string])
    await client.sendCommand(['CLUSTER', 'SETSLOT', slot, 'MIGRATING', ids[1] as string])
    const move = (key: string) => client.sendCommand(['MIGRATE', '127.0.0.1', String(target.port), key, '0', '5000'])
    await move('{leaving}:clock')
    await cache.invalidateTags('a')
    await cache.invalidateTags('b', { serveStale: true })
    await cache.stamps(['c'], { since: { generation: '', at: 0, stamps: [] } })
    // As `redis-cli --cluster reshard` does it, which gives up when the target has a key already.
    for (const key of await client.keys('{leaving}:*')) await move(key)
    for (const node of [other, client]) await node.sendCommand(['CLUSTER', 'SETSLOT', slot, 'NODE', ids[1] as string])
    await until(() => cache.stats().store.state === 'up' && cache.stats().store.queuedInvalidations === 0, 20_000)
    expect(await cache.getOrSet('key', () => 'new', { tags })).toBe('new')
    await cache.close()
    other.destroy()
    await target.stop()
  })
})
