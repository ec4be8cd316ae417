import { createCache } from 'posthaste'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Server, startRedis, startSentinel } from '../../support/servers.ts'
import { services } from '../../support/services.ts'
import { commandsOf, connect, until } from '../support.ts'

describe.skipIf(!services.redis)('Redis watched by a sentinel', () => {
  const servers: Server[] = []
  let primary: Server
  let replica: Server
  let redis: { name: string; sentinelRootNodes: { host: string; port: number }[]; replicaPoolSize: number }

  beforeAll(async () => {
    primary = (await startRedis()) as Server
    replica = (await startRedis(['--replicaof', '127.0.0.1', String(primary.port)])) as Server
    const sentinel = await startSentinel(primary)
    servers.push(primary, replica, sentinel)
    // Reads may go to replicas, says this option, which would read what was invalidated.
    redis = { name: 'main', sentinelRootNodes: [{ host: '127.0.0.1', port: sentinel.port }], replicaPoolSize: 1 }
    const client = await connect(primary.url)
    await until(async () => (await client.info('replication')).includes('state=online'), 10_000)
    client.destroy()
    const watcher = await connect(sentinel.url)
    const known = async () => (await watcher.sendCommand(['SENTINEL', 'REPLICAS', 'main'])) as unknown[]
    await until(async () => (await known()).length === 1, 15_000)
    watcher.destroy()
  })
  afterAll(async () => {
    await Promise.all(servers.map((server) => server.stop()))
  })

  it('is read and written at the primary alone, which tells of what others invalidate', async () => {
    const tags = ['a', 'b']
    // Longer than by default: on a busy machine the first connection takes its time.
    const timeouts = { store: '5s' } as const
    const [one, two] = [createCache({ redis, timeouts }), createCache({ redis, timeouts, memory: false })]
    expect(await one.getOrSet('key', () => 'old', { tags })).toBe('old')
    expect(await two.getOrSet('key', () => 'new', { tags })).toBe('old')
    expect(await two.getOrSet('key', () => 'new', { tags })).toBe('old')
    expect(one.peek('key')).toBe('old')
    await until(() => one.stats().store.state === 'up')
    expect(await two.invalidateTags('b')).toEqual({ propagated: true, queued: false })
    await until(() => one.peek('key') === undefined, 1_000)
    expect(await one.getOrSet('key', () => 'new', { tags })).toBe('new')
    expect([one.stats().errors, two.stats().errors]).toEqual([0, 0])
    await Promise.all([one.close(), two.close()])
    const client = await connect(replica.url)
    expect(await commandsOf(client)).toEqual([])
    client.destroy()
  })

  it('is left for the one that takes its place', async () => {
    const cache = createCache({ redis })
    await cache.set('key', 'old', { tags: ['a'] })
    await until(() => cache.stats().store.state === 'up')
    primary.process.kill('SIGKILL')
    // Every call is answered meanwhile.
    await until(async () => {
      expect(await cache.getOrSet(['key', Math.random()], () => 'loaded')).toBe('loaded')
      return (await cache.invalidateTags('a')).propagated
    }, 30_000)
    expect(await cache.getOrSet('key', () => 'new', { tags: ['a'] })).toBe('new')
    await until(() => cache.stats().store.state === 'up')
    await cache.close()
  })
})
