import { rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createCluster } from '@keyv/redis'
import { type CacheOptions, createCache } from 'posthaste'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Server, startRedis } from '../support/servers.ts'
import { services } from '../support/services.ts'
import { connect, type RedisClient, until } from './support.ts'

describe.skipIf(!services.redis)('Redis Cluster', () => {
  const config = `posthaste-nodes-${process.pid}.conf`
  let server: Server
  let client: RedisClient

  beforeAll(async () => {
    server = (await startRedis([
      '--cluster-enabled',
      'yes',
      '--dir',
      tmpdir(),
      '--cluster-config-file',
      config,
    ])) as Server
    client = await connect(server.url)
    await client.sendCommand(['CLUSTER', 'ADDSLOTSRANGE', '0', '16383'])
    // A node that has just started takes nothing for two seconds.
    await until(async () => String(await client.sendCommand(['CLUSTER', 'INFO'])).includes('cluster_state:ok'), 20_000)
  })
  afterAll(async () => {
    client.destroy()
    await server.stop()
    rmSync(join(tmpdir(), config), { force: true })
  })

  async function keepsThePromise(namespace: string, redis: NonNullable<CacheOptions['redis']>): Promise<void> {
    const [one, two] = [createCache({ redis, namespace }), createCache({ redis, namespace })]
    const three = createCache({ redis, namespace, memory: false })
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

  it('may be used through a client that is given', async () => {
    const cluster = createCluster({ rootNodes: [{ url: server.url }] })
    await cluster.connect()
    await keepsThePromise('given', cluster)
    await cluster.close()
  })
})
