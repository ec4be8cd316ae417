import { randomUUID } from 'node:crypto'
import { type Cache, type CacheOptions, createCache, type LoadContext } from 'posthaste'
import { afterEach, describe, expect, it } from 'vitest'
import { services } from '../support/services.ts'
import { CacheGroup, gate, localStores, type StoreKind, until, useRedis } from './support.ts'

class Instance {}

/** Renewals that succeed and store nothing. */
const fruitless: Record<string, (ctx: LoadContext) => unknown> = {
  'returns null, which its profile does not store': () => null,
  'calls `skip`': (ctx) => {
    ctx.skip()
    return 'new'
  },
  'sets no lifetime': (ctx) => {
    ctx.ttl('0s')
    return 'new'
  },
  'returns an instance': () => new Instance(),
}

const profiles = { users: { ttl: '1h', stale: '1d', negativeTtl: '0s', jitter: 0 } } as const
const options = { profile: 'users', tags: ['a'] } as const

/** A cache with a stale value of `key`. */
type OpenStale = (options?: CacheOptions<string, string>) => Promise<Cache<string, string>>

function describeRenewals(openStale: OpenStale): void {
  it.each(Object.entries(fruitless))('drops the old value when the load %s', async (_, load) => {
    const cache = await openStale()
    expect(await cache.getOrSet('key', load, options)).toBe('old')
    await until(async () => (await cache.getOrSet('key', load, options)) !== 'old')
    expect(await cache.explain('key')).toMatchObject({ tier: 'none' })
  })

  it.each(Object.entries(fruitless))('drops it when a `fresh` load %s', async (_, load) => {
    const cache = await openStale()
    await cache.getOrSet('key', load, { ...options, fresh: true })
    expect(await cache.explain('key')).toMatchObject({ tier: 'none' })
  })

  it("drops it for a caller whose own `ttl` is '0s'", async () => {
    const cache = await openStale()
    const read = () => cache.getOrSet('key', () => 'new', { ...options, ttl: '0s' })
    expect(await read()).toBe('old')
    await until(async () => (await read()) === 'new')
    expect(await cache.explain('key')).toMatchObject({ tier: 'none' })
  })

  it.each<[string, (ctx: LoadContext, cache: Cache<string, string>) => unknown]>([
    ['fails', () => Promise.reject(new Error('down'))],
    ['returns it without storing it', ({ stale, skip }) => skip() ?? stale?.value],
    [
      'is overtaken by an invalidation',
      async ({ skip }, cache) => {
        await cache.invalidateTags('a', { serveStale: true })
        skip()
      },
    ],
  ])('keeps it when the load %s', async (_, load) => {
    const cache = await openStale()
    let ended: Promise<unknown> | undefined
    await cache.getOrSet(
      'key',
      (ctx) => {
        ended = (async () => load(ctx, cache))()
        return ended
      },
      options,
    )
    await until(() => ended !== undefined)
    await ended?.catch(() => {})
    await cache.explain('key')
    expect(await cache.getOrSet('key', () => 'new', options)).toBe('old')
  })

  it('of many leaves out an id that is gone, without an error', async () => {
    const cache = await openStale()
    const errors: unknown[] = []
    cache.on('error', (event) => errors.push(event))
    const read = (fresh = false) =>
      cache.getOrSetMany(['key'], async () => new Map<string, unknown>(), {
        key: (id) => id,
        tags: () => ['a'],
        profile: 'users',
        fresh,
      })
    expect(await read()).toEqual(new Map([['key', 'old']]))
    await until(async () => (await read()).size === 0)
    expect((await read(true)).size).toBe(0)
    expect(await cache.explain('key')).toMatchObject({ tier: 'none' })
    expect([errors, cache.stats().loadErrors]).toEqual([[], 0])
  })

  it('serves the old value to all others while a `fresh` load runs, and when it fails', async () => {
    const cache = await openStale()
    const running = gate<void>()
    const load = () => running.promise.then(() => Promise.reject(new Error('down')))
    const fresh = cache.getOrSet('key', load, { ...options, fresh: true })
    const alsoFresh = cache.getOrSet('key', load, { ...options, fresh: true })
    const failures = Promise.allSettled([fresh, alsoFresh])
    expect(await cache.getOrSet('key', () => 'unused', options)).toBe('old')
    running.open()
    expect((await failures).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
    expect(cache.stats().loads).toBe(2)
  })

  it('serves it after `loadSoft`, or when the `fresh` load fails before', async () => {
    const cache = await openStale({ timeouts: { loadSoft: '10s', store: '5s' } })
    const running = gate<void>()
    const load = () => running.promise.then(() => Promise.reject(new Error('down')))
    const fresh = cache.getOrSet('key', load, { ...options, fresh: true })
    const failure = expect(fresh).rejects.toThrow('down')
    const usual = cache.getOrSet('key', () => 'unused', options)
    running.open()
    await failure
    expect(await usual).toBe('old')
  })
}

describe('a renewal in memory', () => {
  describeRenewals(async (given) => {
    let now = 1_000
    const cache = createCache<string, string>({ profiles, clock: () => now, ...given })
    await cache.getOrSet('key', () => 'old', options)
    now += 3_600_000
    return cache
  })

  it('answers a caller with another tag by a load of its own', async () => {
    const cache = createCache<string, string>({ profiles })
    await cache.getOrSet('key', () => 'old', options)
    await cache.invalidateTags('a', { serveStale: true })
    const running = gate<string>()
    const other = cache.getOrSet('key', () => running.promise, { ...options, tags: ['a', 'b'] })
    expect(await cache.getOrSet('key', () => 'unused', options)).toBe('old')
    running.open('new')
    expect(await other).toBe('new')
  })
})

describe.skipIf(!services.redis)('a renewal on Redis', () => {
  const redis = useRedis('renewals')

  describe.each([
    ['with memory', {}],
    ['without memory', { memory: false }],
  ] as const)('%s', (_, memory) => {
    describeRenewals(async (given) => {
      const cache = await redis.open({ profiles, ...memory, ...given })
      await cache.getOrSet('key', () => 'old', options)
      await cache.invalidateTags('a', { serveStale: true })
      return cache
    })
  })

  it("lets callers with `ttl: '0s'` share the load that begins while they wait, whatever `coherence.within` is", async () => {
    const cache = await redis.open({ coherence: { within: '0s' } })
    let loads = 0
    const load = async () => {
      loads++
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    await Promise.all(Array.from({ length: 50 }, () => cache.getOrSet('key', load, { ttl: '0s' })))
    expect(loads).toBe(2)
  })
})

describe.each(localStores())('a renewal on $name', (kind: StoreKind) => {
  const group = new CacheGroup(kind)
  afterEach(() => group.close())

  it.each(Object.entries(fruitless))('drops the old value when the load %s', async (name, load) => {
    let now = 1_000
    const cache = await group.open({ profiles, clock: () => now, memory: false, namespace: name.replaceAll(/\W/g, '') })
    await cache.getOrSet('key', () => 'old', { profile: 'users' } as never)
    now += 3_600_000
    expect(await cache.getOrSet('key', load, { profile: 'users' } as never)).toBe('old')
    await until(async () => (await cache.explain('key')).tier === 'none')
  })
})

describe('an id that `load` of many leaves out', () => {
  it('is loaded again by who asks after an invalidation', async () => {
    const cache = createCache<string, string>()
    const users = new Map([[2, 'Bob']])
    const first = gate()
    const read = (loaded: Promise<void> | undefined) =>
      cache.getOrSetMany(
        [1],
        async (ids) => {
          const found = new Map(ids.filter((id) => users.has(id)).map((id) => [id, users.get(id)]))
          await loaded
          return found
        },
        { key: (id) => ['user', id], tags: (id) => [`user:${id}`] },
      )
    const early = read(first.promise)
    await new Promise((resolve) => setTimeout(resolve, 20))
    users.set(1, 'Ann')
    await cache.invalidateTags('user:1')
    const late = read(undefined)
    first.open()
    expect(await early).toEqual(new Map())
    expect(await late).toEqual(new Map([[1, 'Ann']]))
  })
})

describe.skipIf(!services.redis)('a renewal that all callers leave', () => {
  it('is no failure: the next caller renews the value', async () => {
    const shared = {
      redis: services.redis as string,
      namespace: `left-${randomUUID()}`,
      timeouts: { loadSoft: '10s' },
      profiles: { users: { ttl: '1ms', stale: '1h' } },
    } as const
    await using one = createCache(shared)
    await one.getOrSet('key', () => 'old', { profile: 'users' })
    await using two = createCache(shared)
    const errors: unknown[] = []
    two.on('error', (event) => errors.push(event))
    const started = gate()
    const controller = new AbortController()
    const never = () => {
      started.open()
      return new Promise<string>(() => {})
    }
    const left = two.getOrSet('key', never, { profile: 'users', signal: controller.signal })
    await started.promise
    controller.abort(new Error('left'))
    await expect(left).rejects.toThrow('left')
    expect(await two.getOrSet('key', () => 'new', { profile: 'users' })).toBe('new')
    expect(errors).toEqual([])
  })
})
