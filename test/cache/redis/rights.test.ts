import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Cache, CacheOptions, Warning } from 'posthaste'
import { beforeEach, describe, expect, it } from 'vitest'
import { type Server, startRedis } from '../../support/servers.ts'
import { services } from '../../support/services.ts'
import { connect, until, useRedis } from '../support.ts'

describe.skipIf(!services.redis)('a Redis user', () => {
  const redis = useRedis('rights')
  let warnings: Warning[]

  beforeEach(() => {
    warnings = []
  })

  const open = (options: CacheOptions<string, string> = {}) =>
    redis.open({ onWarn: (warning) => warnings.push(warning), ...options })

  /** A cache as another user, with the rights given. */
  async function openAs(rights: string, options: CacheOptions<string, string> = {}): Promise<Cache<string, string>> {
    const user = `user-of-${redis.namespace}`
    await redis.client.sendCommand(['ACL', 'SETUSER', user, 'reset', 'on', '>secret', ...rights.split(' ')])
    return open({ redis: redis.url.replace('//', `//${user}:secret@`), ...options })
  }

  const codes = () => warnings.map(({ code }) => code)

  it('without channels can do everything, and other processes learn of it within `coherence.within`', async () => {
    const cache = await openAs('~* +@all', { coherence: { within: '300ms' } })
    const other = await openAs('~* +@all', { coherence: { within: '300ms' } })
    await cache.getOrSet('key', () => 'old', { tags: ['a'] })
    expect(await other.getOrSet('key', () => 'another', { tags: ['a'] })).toBe('old')
    const start = performance.now()
    expect(await cache.invalidateTags('a')).toEqual({ propagated: true, queued: false })
    expect(await cache.set('other', 1, { tags: ['a'] })).toBe(true)
    expect(await cache.delete('other')).toEqual({ propagated: true, queued: false })
    expect(await cache.clear()).toEqual({ propagated: true, queued: false })
    expect(cache.stats()).toMatchObject({ errors: 0, store: { state: 'degraded' } })
    await until(async () => (await other.getOrSet('key', () => 'new', { tags: ['a'] })) === 'new', 2_000)
    expect(performance.now() - start).toBeLessThan(2_000)
    expect(codes()).toEqual(['CACHE_REDIS_CHANNEL', 'CACHE_REDIS_CHANNEL'])
    expect(warnings[0]?.message).toContain(`&{${redis.namespace}}:bus`)
  })

  it('with exactly the rights that the warning names can do everything', async () => {
    await openAs('~* &* +@all -mget').catch(() => {})
    const rights = /these rights: (.*)$/.exec(
      warnings.find(({ code }) => code === 'CACHE_REDIS_NOPERM')?.message ?? '',
    )?.[1]
    warnings.length = 0
    // node-redis itself introduces each connection.
    const cache = await openAs(`${rights} +client +hello +ping +select`)
    await cache.getOrSet('key', () => 'old', { tags: ['a'] })
    await cache.getOrSet('key', () => 'old', { tags: ['a', 'b'], fresh: true })
    expect((await cache.invalidateTags('a')).propagated).toBe(true)
    await cache.set('key', 1, { tags: ['a'] })
    await cache.delete('key')
    await cache.clear()
    expect(cache.stats()).toMatchObject({ errors: 0, store: { state: 'up' } })
    expect(warnings).toEqual([])
  })

  it('without scripts reads what others have stored, and says once which right is missing', async () => {
    const writer = await open()
    await writer.set('key', 'stored', { tags: ['a', 'b'] })
    await writer.set('plain', 'stored')
    const reader = await openAs('~* &* +@all -eval -evalsha', { memory: false })
    expect(await reader.get('plain')).toBe('stored')
    expect(await reader.getOrSet('key', () => 'loaded', { tags: ['a'] })).toBe('stored')
    expect(await reader.getMany(['key', 'plain', 'absent'])).toEqual(['stored', 'stored', undefined])
    await writer.invalidateTags('b')
    expect(await reader.getOrSet('key', () => 'loaded', { tags: ['a'] })).toBe('loaded')
    expect(await reader.getOrSet('key', () => 'again', { tags: ['a'] })).toBe('again')
    await writer.set('key', 'newer', { tags: ['a'] })
    expect(await reader.getOrSet('key', () => 'loaded', { tags: ['a'] })).toBe('newer')
    await writer.clear()
    expect(await reader.get('plain')).toBeUndefined()
    expect(reader.stats().store.state).toBe('up')
    expect(codes()).toEqual(['CACHE_REDIS_NOPERM'])
    expect(warnings[0]?.message).toMatch(/'evalsha'.*\+eval \+evalsha/)
    expect(await reader.invalidateTags('a')).toEqual({ propagated: false, queued: true })
  })

  it('with a wrong password is told so, in the words of Redis', async () => {
    await redis.client.sendCommand(['ACL', 'SETUSER', 'locked', 'reset', 'on', '>secret', '~*', '&*', '+@all'])
    const cache = await open({ redis: redis.url.replace('//', '//locked:wrong@') })
    expect(await cache.getOrSet('key', () => 1)).toBe(1)
    expect(codes()).toEqual(['CACHE_REDIS_WRONGPASS'])
    expect(cache.stats().errorsByKind.WRONGPASS).toBeGreaterThan(0)
  })

  it('is told of OOM once, and it is counted under its name', async () => {
    const cache = await open({ memory: false })
    await redis.client.sendCommand(['CONFIG', 'SET', 'maxmemory', '1', 'maxmemory-policy', 'noeviction'])
    await cache.getOrSet('key', () => 1)
    await cache.getOrSet('key', () => 1)
    await redis.client.sendCommand(['CONFIG', 'SET', 'maxmemory', '0'])
    expect(codes()).toEqual(['CACHE_REDIS_OOM'])
    expect(cache.stats().errorsByKind).toMatchObject({ OOM: 2, decode: 0, write: 0 })
  })

  it('of a Redis that cannot save is told of MISCONF once, still reads, and invalidates once it can be written', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'posthaste-misconf-'))
    const server = (await startRedis(['--save', '3600 1', '--dir', folder])) as Server
    const client = await connect(server.url)
    try {
      const writer = await open({ redis: server.url, onWarn: () => {}, memory: false })
      await writer.set('stored', 'old', { tags: ['a'] })
      await writer.close()
      const cache = await open({ redis: server.url, memory: false, breaker: { coolDown: '50ms' } })
      rmSync(folder, { recursive: true })
      await client.sendCommand(['BGSAVE'])
      await until(async () => (await client.info('persistence')).includes('rdb_last_bgsave_status:err'))

      expect(await cache.getOrSet('key', () => 1)).toBe(1)
      expect(await cache.getOrSet('key', () => 2)).toBe(2)
      expect(await cache.get('stored')).toBe('old')
      expect(codes()).toEqual(['CACHE_REDIS_MISCONF'])
      expect(cache.stats()).toMatchObject({
        errorsByKind: { MISCONF: 2, decode: 0, write: 0, connection: 0 },
        store: { state: 'up' },
      })

      expect(await cache.invalidateTags('a')).toEqual({ propagated: false, queued: true })
      expect(await cache.get('stored')).toBeUndefined()
      await client.sendCommand(['CONFIG', 'SET', 'stop-writes-on-bgsave-error', 'no'])
      await until(() => cache.stats().store.state === 'up')
      expect(cache.stats().store.queuedInvalidations).toBe(0)
      expect(await cache.get('stored')).toBeUndefined()
      expect(await cache.getOrSet('stored', () => 'new', { tags: ['a'] })).toBe('new')
      expect(await cache.get('stored')).toBe('new')
      expect(codes()).toEqual(['CACHE_REDIS_MISCONF'])
    } finally {
      client.destroy()
      await server.stop()
    }
  })

  it('of another database keeps its memory when that of database 0 is invalidated, given by URL or as a client', async () => {
    const selecting = await connect(redis.url)
    await selecting.select(2)
    const given = await connect(`${redis.url}/3`)
    const places = await Promise.all([
      open(),
      open({ redis: `${redis.url}/1` }),
      open({ redis: { url: redis.url, database: 4 } }),
      open({ redis: selecting as never }),
      open({ redis: given as never }),
    ])
    const heard = places.map(() => 0)
    for (const [index, cache] of places.entries()) {
      await cache.set('key', index)
      cache.on('invalidate', ({ origin }) => {
        if (origin === 'remote') heard[index] = (heard[index] as number) + 1
      })
    }
    await places[0]?.invalidateTags('a')
    await places[1]?.clear()
    const another = await open()
    await another.invalidateTags('b')
    await until(() => (heard[0] as number) > 0)
    expect(places.map((cache) => cache.peek('key'))).toEqual([0, undefined, 2, 3, 4])
    expect(heard.slice(1)).toEqual([0, 0, 0, 0])
    const channels = (await redis.client.sendCommand(['PUBSUB', 'CHANNELS'])) as string[]
    expect(channels.filter((name) => name.includes(redis.namespace)).sort()).toEqual(
      ['', ':1', ':2', ':3', ':4'].map((end) => `{${redis.namespace}}:bus${end}`),
    )
    selecting.destroy()
    given.destroy()
  })

  it('of another application is told that they share a namespace', async () => {
    await open({ name: 'shop' })
    await open({ name: 'shop' })
    expect(warnings).toEqual([])
    await open({ name: 'blog' })
    await until(() => warnings.length > 0)
    expect(codes()).toEqual(['CACHE_NAMESPACE_SHARED'])
    expect(warnings[0]?.message).toContain("the namespace 'rights-")
  })
})

describe('options of a Redis connection', () => {
  it('keep their default where the user gives `undefined`', async () => {
    const { redisSource } = await import('../../../src/cache/redis/redis-client.ts')
    const socket = { connectTimeout: undefined, reconnectStrategy: undefined, keepAlive: false }
    const source = redisSource({ url: 'redis://127.0.0.1:1', disableOfflineQueue: undefined, socket })
    const made = (await source.open()) as unknown as { options: Record<string, unknown> & { socket: object } }
    expect(made.options.disableOfflineQueue).toBe(true)
    expect(made.options.socket).toMatchObject({
      connectTimeout: 2_000,
      reconnectStrategy: expect.any(Function),
      keepAlive: false,
    })
  })
})
