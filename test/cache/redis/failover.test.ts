import { once } from 'node:events'
import { type AddressInfo, createConnection, createServer, type Socket } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { type Cache, createCache } from 'posthaste'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Server, startRedis } from '../../support/servers.ts'
import { services } from '../../support/services.ts'
import { connect, type RedisClient, uniqueNamespace, until } from '../support.ts'

/** The clock of a namespace whose first server is an hour ahead of the next one. */
const clockAhead = `${(Date.now() + 3_600_000) * 1_000}|generation`

describe.skipIf(!services.redis)('a server that has not seen the last invalidation', () => {
  let server: Server
  let client: RedisClient
  let cache: Cache
  let namespace: string

  beforeAll(async () => {
    server = (await startRedis()) as Server
    client = await connect(server.url)
  })
  afterAll(async () => {
    client.destroy()
    await server.stop()
  })
  beforeEach(async () => {
    namespace = uniqueNamespace()
    cache = createCache({ redis: server.url, namespace, memory: false })
    await until(() => cache.set('key', 'old', { tags: ['tag'] }))
    await cache.set('deleted', 'old')
  })
  afterEach(() => cache.close())

  /** What Redis holds, to be put back later: so much had reached the replica that is then promoted. */
  async function replicate(): Promise<() => Promise<void>> {
    const keys = await client.keys(`{${namespace}}:*`)
    const values = await Promise.all(keys.map((key) => client.get(key)))
    return async () => {
      await client.del(await client.keys(`{${namespace}}:*`))
      for (const [index, key] of keys.entries()) await client.set(key, values[index] as string)
    }
  }

  const read = () => cache.getOrSet('key', () => 'new', { tags: ['tag'] })
  const disconnectAll = () => client.sendCommand(['CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes'])

  it('is told of it before it is read, when the connection was lost', async () => {
    const promote = await replicate()
    expect(await cache.invalidateTags('tag')).toMatchObject({ propagated: true })
    await cache.delete('deleted')
    await promote()
    // Its clock is past the invalidation before this process sees it.
    const other = createCache({ redis: server.url, namespace })
    await until(async () => (await other.invalidateTags('other')).propagated)
    await disconnectAll()
    await until(async () => {
      expect(await read()).toBe('new')
      expect(await cache.get('deleted')).toBeUndefined()
      return cache.stats().store.state === 'up' && cache.stats().hitsByKind.store > 0
    })
    expect(await other.getMany(['key', 'deleted'])).not.toContain('old')
    await other.close()
  })

  it('is told of it before it is read, when its clock has gone back', async () => {
    const promote = await replicate()
    await cache.invalidateTags('tag')
    await promote()
    await until(async () => {
      expect(await read()).toBe('new')
      return cache.stats().hitsByKind.store > 0
    })
    expect(cache.stats().errorsByKind.connection).toBe(1)
  })

  /** A name that leads to the server, and another cache behind it with an entry; once it is demoted, to the next server. */
  async function behindName() {
    const next = (await startRedis()) as Server
    let current = server.port
    const sockets: Socket[] = []
    const name = createServer((socket) => {
      const upstream = createConnection(current, '127.0.0.1')
      for (const end of [socket, upstream]) end.on('error', () => {})
      sockets.push(socket, upstream)
      socket.pipe(upstream).pipe(socket)
    }).listen(0)
    await once(name, 'listening')
    const url = `redis://127.0.0.1:${(name.address() as AddressInfo).port}`
    const coherence = { within: '200ms' } as const
    const moved = createCache({
      redis: url,
      namespace,
      coherence,
      breaker: { coolDown: '50ms' },
      timeouts: { store: '5s' },
    })
    await until(() => moved.set('key', 'old', { tags: ['tag'] }))
    return {
      moved,
      next,
      /** @param primary - the port of the server that it tries to follow */
      async demote(primary = next.port) {
        await client.sendCommand(['REPLICAOF', '127.0.0.1', String(primary)])
        current = next.port
      },
      async close() {
        await moved.close()
        await client.sendCommand(['REPLICAOF', 'NO', 'ONE'])
        for (const socket of sockets) socket.destroy()
        name.close()
        await next.stop()
      },
    }
  }

  it('is left for the one to which its name leads, when it has become a replica and kept its connections', async () => {
    const { moved, demote, close } = await behindName()
    await demote()
    await until(async () => (await moved.invalidateTags('tag')).propagated)
    expect(await moved.getOrSet('key', () => 'new', { tags: ['tag'] })).toBe('new')
    await until(async () => (await moved.explain('key')).tier !== 'none')
    await close()
  })

  it.each(['yes', 'no'])(
    'is left by one that only reads too, with replica-serve-stale-data %s',
    async (servesStale) => {
      const { moved, next, demote, close } = await behindName()
      await client.sendCommand(['CONFIG', 'SET', 'replica-serve-stale-data', servesStale])
      // Nothing of what the next one is told reaches it.
      await demote(1)
      const other = createCache({ redis: next.url, namespace })
      await until(async () => (await other.invalidateTags('tag')).propagated)
      await until(async () => (await moved.getOrSet('key', () => 'new', { tags: ['tag'] })) !== 'old', 20_000)
      await until(async () => (await moved.invalidateTags('tag')).propagated, 20_000)
      await until(async () => {
        // It is not stored while the other has not yet heard of the invalidation before.
        await other.set('key', 'newer', { tags: ['tag'] })
        return (await moved.get('key')) === 'newer'
      }, 20_000)
      await other.close()
      await client.sendCommand(['CONFIG', 'SET', 'replica-serve-stale-data', 'yes'])
      await close()
    },
  )

  it('is left by one that only reads stamps, as for 304 without the handler', async () => {
    const { moved, next, demote, close } = await behindName()
    const since = await moved.stamps(['tag'])
    expect(since?.stamps).toEqual([expect.any(Number)])
    // Until what was stored above no longer counts as use of the cache.
    await setTimeout(1_000)
    await demote(1)
    const other = createCache({ redis: next.url, namespace })
    await until(async () => (await other.invalidateTags('tag')).propagated)
    await until(async () => {
      const stamps = await moved.stamps(['tag'])
      return stamps !== undefined && stamps.generation !== since?.generation
    }, 20_000)
    await other.close()
    await close()
  })

  it('gives other stamps than those that are lost, although its clock is behind', async () => {
    const clock = `{${namespace}}:clock`
    await client.set(clock, clockAhead)
    const stamps: number[] = []
    while (stamps.length < 100) {
      await cache.invalidateTags('tag')
      stamps.push(Number.parseInt((await client.get(clock)) as string, 10))
    }
    expect(new Set(stamps.map((stamp, index) => stamp - (stamps[index - 1] ?? 0))).size).toBeGreaterThan(10)
  })

  it('is heard by those who have heard more than it knows, although its clock is behind', async () => {
    await client.set(`{${namespace}}:clock`, clockAhead)
    const listening = createCache({ redis: server.url, namespace, coherence: { within: '5s' } })
    const other = createCache({ redis: server.url, namespace, memory: false })
    const heard: string[] = []
    listening.on('invalidate', ({ tags }) => heard.push(...tags))
    await until(() => other.set('key', 'value'))
    await until(async () => (await listening.get('key')) === 'value')
    const promote = await replicate()
    for (let change = 0; change < 50; change++) await other.invalidateTags(`lost ${change}`)
    await until(() => heard.includes('lost 49'))
    await promote()
    await disconnectAll()
    await until(() => other.stats().store.state === 'down')
    await until(() => other.stats().store.state !== 'down')
    expect(await other.set('a', 'old', { tags: ['a'] })).toBe(true)
    await until(async () => (await listening.get('a')) === 'old')
    expect((await other.invalidateTags('a')).propagated).toBe(true)
    await until(async () => (await listening.get('a')) === undefined, 6_000)
    await Promise.all([listening.close(), other.close()])
  })

  it('is told of it when another invalidation shows that its clock had gone back', async () => {
    const promote = await replicate()
    await cache.invalidateTags('tag')
    await promote()
    expect(await cache.invalidateTags('other')).toEqual({ propagated: false, queued: true })
    await until(async () => {
      expect(await read()).toBe('new')
      return cache.stats().hitsByKind.store > 0
    })
  })
})
