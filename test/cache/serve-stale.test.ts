import { type Cache, createCache } from 'posthaste'
import { afterEach, describe, expect, it } from 'vitest'
import { announceReads } from '../../src/shared/scope/work.ts'
import { services } from '../support/services.ts'
import { gate, until, useRedis } from './support.ts'
import { open as openRelease01 } from './torture/posthaste-0.1.ts'

const profiles = { kept: { ttl: '1h', stale: '10m', jitter: 0 }, strict: { ttl: '1h', jitter: 0 } } as const
const soft = { serveStale: true } as const

/** Counts its loads, which answer `v1`, `v2` and so on. */
function counter() {
  const counted = { loads: 0, load: () => `v${++counted.loads}` }
  return counted
}

/** A load that goes on until it is told its value. */
function slowLoad() {
  const { promise, open } = gate<string>()
  const slow = {
    loads: 0,
    finish: open,
    load() {
      slow.loads++
      return promise
    },
  }
  return slow
}

describe('invalidateTags with serveStale, in memory', () => {
  const caches: Cache<string, string>[] = []
  let now = 0
  afterEach(() => Promise.all(caches.splice(0).map((cache) => cache.close())))

  function open() {
    now = 1_000
    const cache = createCache<string, string>({ profiles, clock: () => now })
    caches.push(cache)
    return cache
  }
  const kept = { profile: 'kept', tags: ['a', 'b'] } as const

  it('serves the old value while one load renews it', async () => {
    const cache = open()
    const { load } = counter()
    await cache.getOrSet('key', load, kept)
    expect(await cache.invalidateTags('a', soft)).toEqual({ propagated: true, queued: false })
    expect(cache.peek('key')).toBeUndefined()
    expect(await cache.get('key')).toBeUndefined()
    const slow = slowLoad()
    const reads = Array.from({ length: 20 }, () => cache.getOrSet('key', slow.load, kept))
    expect(await Promise.all(reads)).toEqual(Array(20).fill('v1'))
    slow.finish('new')
    await until(() => cache.peek('key') === 'new')
    expect(slow.loads).toBe(1)
    expect(cache.stats()).toMatchObject({ requests: 22, loads: 2 })
  })

  it('serves it for `stale` after the invalidation, and no longer', async () => {
    const cache = open()
    const failing = () => Promise.reject(new Error('down'))
    await cache.getOrSet('key', () => 'v1', kept)
    now += 60_000
    await cache.invalidateTags('b', soft)
    now += 599_999
    expect(await cache.getOrSet('key', failing, kept)).toBe('v1')
    await until(() => cache.stats().loadErrors === 1)
    now += 1
    await expect(cache.getOrSet('key', failing, kept)).rejects.toThrow('down')
  })

  it('drops entries whose profile has no `stale`', async () => {
    const cache = open()
    const { load } = counter()
    await cache.getOrSet('key', load, { profile: 'strict', tags: ['a'] })
    await cache.invalidateTags('a', soft)
    expect(await cache.getOrSet('key', load, { profile: 'strict', tags: ['a'] })).toBe('v2')
  })

  it('gives way to an invalidation without it', async () => {
    const cache = open()
    const { load } = counter()
    await cache.getOrSet('key', load, kept)
    await cache.invalidateTags('a', soft)
    await cache.invalidateTags('a')
    expect(await cache.getOrSet('key', load, kept)).toBe('v2')
  })

  it('leaves alone what was loaded since, and entries without the tag', async () => {
    const cache = open()
    await cache.getOrSet('other', () => 'o', { profile: 'kept', tags: ['c'] })
    await cache.invalidateTags('a', soft)
    await cache.getOrSet('key', () => 'v1', kept)
    expect([cache.peek('key'), cache.peek('other')]).toEqual(['v1', 'o'])
  })

  it('does not store a load that had begun before', async () => {
    const cache = open()
    const slow = gate<string>()
    const early = cache.getOrSet('key', () => slow.promise, kept)
    await cache.invalidateTags('a', soft)
    const late = cache.getOrSet('key', () => 'new', kept)
    slow.open('old')
    expect([await early, await late]).toEqual(['old', 'new'])
    expect(cache.peek('key')).toBe('new')
  })

  it('serves it for `stale` after the first invalidation, however many follow', async () => {
    const cache = open()
    const failing = () => Promise.reject(new Error('down'))
    await cache.getOrSet('key', () => 'v1', kept)
    for (let times = 0; times < 9; times++) {
      await cache.invalidateTags('a', soft)
      now += 60_000
    }
    expect(await cache.getOrSet('key', failing, kept)).toBe('v1')
    await cache.invalidateTags('a', soft)
    now += 60_000
    await expect(cache.getOrSet('key', failing, kept)).rejects.toThrow('down')
  })

  it('serves what was loaded since, however many came before and however close the next ones are', async () => {
    const cache = open()
    const failing = () => Promise.reject(new Error('down'))
    for (let times = 0; times < 20; times++) {
      await cache.getOrSet('key', () => 'v1', { ...kept, fresh: true })
      now += 1_200_000
      for (let burst = 0; burst < 20; burst++) {
        await cache.invalidateTags('a', soft)
        now += 10
      }
      expect(await cache.getOrSet('key', failing, kept)).toBe('v1')
      now += 2_000
    }
  })

  it('does not keep as fresh what was made from it', async () => {
    const cache = open()
    announceReads()
    const { load } = counter()
    const inner = () => cache.getOrSet('inner', load, kept)
    const outer = () => cache.getOrSet('outer', async () => `of ${await inner()}`, { profile: 'kept', tags: 'auto' })
    const outermost = () => cache.getOrSet('outermost', outer, { profile: 'strict', tags: 'auto' })
    expect(await outermost()).toBe('of v1')
    await cache.invalidateTags('a', soft)
    expect(await outermost()).toBe('of v1')
    expect([cache.peek('outermost'), cache.peek('outer')]).toEqual([undefined, undefined])
    await until(async () => (await outermost()) === 'of v2')
    expect([cache.peek('outermost'), cache.peek('outer')]).toEqual(['of v2', 'of v2'])
  })

  it('tells its listeners, and refuses other options', async () => {
    const cache = open()
    const events: unknown[] = []
    cache.on('invalidate', (event) => events.push(event))
    await cache.invalidateTags('a', 'b', soft)
    await cache.invalidateTags('a', {})
    const event = { origin: 'local', keys: [], all: false }
    expect(events).toEqual([
      { ...event, tags: ['a', 'b'], serveStale: true },
      { ...event, tags: ['a'] },
    ])
    await expect(cache.invalidateTags('a', { serveStael: true } as never)).rejects.toThrow('did you mean `serveStale`')
    await expect(cache.invalidateTags('a', { serveStale: 'yes' } as never)).rejects.toThrow('`serveStale`')
  })
})

describe.skipIf(!services.redis)('invalidateTags with serveStale, on Redis', () => {
  const redis = useRedis('stale')
  const kept = { profile: 'kept', tags: ['a', 'b'] } as const

  /** Of a user who may not run scripts. */
  async function readerUrl(): Promise<string> {
    const rules = ['reset', 'on', '>secret', '~*', '&*', '+@all', '-@scripting']
    await redis.client.sendCommand(['ACL', 'SETUSER', 'reader', ...rules])
    return redis.url.replace('//', '//reader:secret@')
  }

  it.each([
    ['with memory', {}],
    ['without memory', { memory: false }],
  ] as const)('serves the old value in every process %s, while one of them renews it', async (_, memory) => {
    const [first, second] = [await redis.open({ profiles, ...memory }), await redis.open({ profiles, ...memory })]
    await first.getOrSet('key', () => 'v1', kept)
    expect(await second.getOrSet('key', () => 'another', kept)).toBe('v1')
    await first.invalidateTags('b', soft)
    const slow = slowLoad()
    const readAll = () =>
      Promise.all([first, second].flatMap((cache) => [1, 2, 3].map(() => cache.getOrSet('key', slow.load, kept))))
    for (let round = 0; round < 3; round++) expect(await readAll()).toEqual(Array(6).fill('v1'))
    slow.finish('v2')
    await until(async () => (await readAll()).every((value) => value === 'v2'))
    expect(slow.loads).toBe(1)
  })

  it('serves it for `stale` after the invalidation, and drops what has no `stale`', async () => {
    const short = { short: { ttl: '1h', stale: '300ms', jitter: 0 }, none: { ttl: '1h', jitter: 0 } } as const
    const cache = await redis.open({ profiles: short, memory: false })
    const failing = () => Promise.reject(new Error('down'))
    await cache.getOrSet('key', () => 'v1', { profile: 'short', tags: ['a'] })
    await cache.getOrSet('strict', () => 'v1', { profile: 'none', tags: ['a'] })
    await cache.invalidateTags('a', soft)
    expect(await cache.getOrSet('key', failing, { profile: 'short', tags: ['a'] })).toBe('v1')
    await expect(cache.getOrSet('strict', failing, { profile: 'none', tags: ['a'] })).rejects.toThrow('down')
    const read = () => cache.getOrSet('key', failing, { profile: 'short', tags: ['a'] }).catch(() => 'gone')
    await until(async () => (await read()) === 'gone')
  })

  it('serves it for `stale` after the first of several invalidations, also to a user who may not run scripts', async () => {
    const short = { short: { ttl: '1h', stale: '400ms', jitter: 0 } } as const
    const cache = await redis.open({ profiles: short, memory: false })
    const url = await readerUrl()
    const reader = await redis.open({ profiles: short, memory: false, redis: url, onWarn: () => {} })
    const failing = () => Promise.reject(new Error('down'))
    const options = { profile: 'short', tags: ['a'] } as const
    await cache.getOrSet('key', () => 'v1', options)
    const reads = () =>
      Promise.all([cache, reader].map((one) => one.getOrSet('key', failing, options).catch(() => 'gone')))
    const first = performance.now()
    let latest = first
    while (latest < first + 400) {
      await cache.invalidateTags('a', soft)
      latest = performance.now()
      await new Promise((resolve) => setTimeout(resolve, 30))
    }
    expect(await reads()).toEqual(['gone', 'gone'])
    expect(performance.now()).toBeLessThan(latest + 400)
  })

  it('serves what was loaded between invalidations for `stale` after the next one', async () => {
    const cache = await redis.open({ profiles, memory: false })
    const failing = () => Promise.reject(new Error('down'))
    for (let times = 0; times < 8; times++) {
      await cache.getOrSet('key', () => `v${times}`, { ...kept, fresh: true })
      for (let burst = 0; burst < 8; burst++) await cache.invalidateTags('a', soft)
      expect(await cache.getOrSet('key', failing, kept)).toBe(`v${times}`)
    }
    expect(await redis.client.get(`{${redis.namespace}}:t:a`)).toMatch(/^\d+(~\d+(:\d+)?){4}$/)
  })

  it('does not keep as fresh what was made from it, be it in memory or in Redis', async () => {
    announceReads()
    for (const memory of [undefined, false] as const) {
      const cache = await redis.open({ profiles, memory, namespace: `${redis.namespace}-${memory}` })
      const { load } = counter()
      const inner = () => cache.getOrSet('inner', load, kept)
      const outer = () => cache.getOrSet('outer', async () => `of ${await inner()}`, { profile: 'kept', tags: 'auto' })
      expect(await outer()).toBe('of v1')
      await cache.invalidateTags('a', soft)
      expect(await cache.getOrSet('new', async () => `of ${await inner()}`, { tags: 'auto' })).toBe('of v1')
      expect(await cache.explain('new')).toMatchObject({ tier: 'none' })
      await until(async () => (await outer()) === 'of v2')
      expect(await cache.get('outer')).toBe('of v2')
    }
  })

  it('does not store a load that had begun before, and lets another take over its lease', async () => {
    const [first, second] = [await redis.open({ profiles }), await redis.open({ profiles })]
    const slow = gate<string>()
    const early = first.getOrSet('key', () => slow.promise, kept)
    await until(() => redis.client.exists(`{${redis.namespace}}:l:key`))
    await second.invalidateTags('a', soft)
    expect(await second.getOrSet('key', () => 'new', kept)).toBe('new')
    slow.open('old')
    expect(await early).toBe('old')
    expect(await second.getOrSet('key', () => 'another', kept)).toBe('new')
  })

  it('keeps the mark when a value with the tag is set, and drops it with an invalidation', async () => {
    const cache = await redis.open({ profiles, memory: false })
    await cache.getOrSet('key', () => 'v1', kept)
    await cache.invalidateTags('a', soft)
    await cache.set('other', 'set', kept)
    expect(await cache.get('other')).toBe('set')
    expect(await cache.explain('key')).toMatchObject({ tier: 'store' })
    expect(await cache.get('key')).toBeUndefined()
    await cache.invalidateTags('a')
    expect(await cache.explain('key')).toMatchObject({ tier: 'none', reason: 'invalidated' })
  })

  it('is judged alike by a user who may not run scripts', async () => {
    const cache = await redis.open({ profiles, memory: false })
    await cache.getOrSet('key', () => 'v1', kept)
    await cache.getOrSet('strict', () => 'v1', { profile: 'strict', tags: ['a'] })
    await cache.invalidateTags('a', soft)
    const url = await readerUrl()
    const reader = await redis.open({ profiles, memory: false, redis: url, onWarn: () => {} })
    const failing = () => Promise.reject(new Error('down'))
    expect(await reader.getOrSet('key', failing, kept)).toBe('v1')
    expect(await reader.get('key')).toBeUndefined()
    await expect(reader.getOrSet('strict', failing, { profile: 'strict', tags: ['a'] })).rejects.toThrow('down')
  })

  it('is an invalidation for release 0.1', async () => {
    const cache = await redis.open({ profiles })
    const old = await openRelease01(redis.url, redis.namespace, 200)
    expect(await old.getOrSet('key', async () => ({ load: 1 }), ['a'])).toEqual({ load: 1 })
    await cache.invalidateTags('a', soft)
    await until(async () => (await old.getOrSet('key', async () => ({ load: 2 }), ['a'])).load === 2)
    await old.close()
  })
})
