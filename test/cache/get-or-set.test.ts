import { setTimeout as sleep } from 'node:timers/promises'
import { runInNewContext } from 'node:vm'
import { type Cache, type CacheOptions, ClosedError, createCache, LoadTimeoutError } from 'posthaste'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { gate, until } from './support.ts'

/** A cache in memory whose time is moved by hand. */
function open(options: CacheOptions<string, string> = {}): { cache: Cache; pass: (ms: number) => void } {
  let now = 1_000_000
  const cache = createCache<string, string>({ clock: () => now, ...options })
  return {
    cache,
    pass: (ms) => {
      now += ms
    },
  }
}

const exact = { jitter: 0 }

describe('lifetimes', () => {
  it('end by the profile, by the call, or by the load', async () => {
    const { cache, pass } = open({ profiles: { users: { ttl: '1m', ...exact } } })
    await cache.getOrSet('profile', () => 1, { profile: 'users' })
    await cache.getOrSet('call', () => 1, { profile: 'users', ttl: '2m' })
    await cache.getOrSet(
      'load',
      (ctx) => {
        ctx.ttl('3m')
        return 1
      },
      { profile: 'users' },
    )
    pass(59_999)
    expect(await cache.getMany(['profile', 'call', 'load'])).toEqual([1, 1, 1])
    pass(1)
    expect(await cache.getMany(['profile', 'call', 'load'])).toEqual([undefined, 1, 1])
    pass(60_000)
    expect(await cache.getMany(['profile', 'call', 'load'])).toEqual([undefined, undefined, 1])
    pass(60_000)
    expect(await cache.getMany(['profile', 'call', 'load'])).toEqual([undefined, undefined, undefined])
  })

  it('are overridden from the environment, whatever the case of the name', async () => {
    const { cache, pass } = open({ profiles: { userLists: { ttl: '1h', ...exact } }, ttls: { USER_LISTS: '1s' } })
    await cache.set('key', 1, { profile: 'userLists' })
    pass(1_000)
    expect(await cache.has('key')).toBe(false)
  })

  it('are shortened by a random part, at most the jitter', async () => {
    const { cache } = open({ profiles: { jittery: { ttl: '100s', jitter: 0.5 } } })
    const lives: number[] = []
    for (let index = 0; index < 200; index++) {
      await cache.set(['key', index], index, { profile: 'jittery' })
      lives.push((await cache.explain(['key', index])).freshForMs as number)
    }
    expect(Math.max(...lives)).toBeLessThanOrEqual(100_000)
    expect(Math.min(...lives)).toBeGreaterThan(50_000)
    expect(Math.max(...lives) - Math.min(...lives)).toBeGreaterThan(30_000)
  })

  it('of absence are their own', async () => {
    const { cache, pass } = open({
      profiles: { rows: { ttl: '1h', negativeTtl: '1s', ...exact }, never: { ttl: '1h', negativeTtl: '0s' } },
    })
    await cache.getOrSet('row', () => null, { profile: 'rows' })
    expect(await cache.has('row')).toBe(true)
    pass(1_000)
    expect(await cache.has('row')).toBe(false)
    await cache.getOrSet('none', () => undefined, { profile: 'never' })
    expect(await cache.has('none')).toBe(false)
  })

  it('may be shorter in memory', async () => {
    const { cache, pass } = open({ profiles: { short: { ttl: '1h', memoryTtl: '1s', ...exact } } })
    await cache.set('key', 1, { profile: 'short' })
    pass(1_000)
    expect(cache.peek('key')).toBeUndefined()
  })

  it('of none share a load and store nothing', async () => {
    const { cache } = open()
    const load = vi.fn(async () => {
      await sleep(5)
      return 1
    })
    await Promise.all([cache.getOrSet('key', load, { ttl: '0s' }), cache.getOrSet('key', load, { ttl: '0s' })])
    expect(load).toHaveBeenCalledTimes(1)
    expect(await cache.has('key')).toBe(false)
  })

  it('are none for what the load skips', async () => {
    const { cache } = open()
    expect(
      await cache.getOrSet('key', (ctx) => {
        ctx.skip()
        return 'value'
      }),
    ).toBe('value')
    expect(await cache.has('key')).toBe(false)
  })
})

describe('stale values', () => {
  const profiles = { lists: { ttl: '1m', stale: '1h', ...exact } } as const
  const options = { profile: 'lists' }

  it('are served while one load renews them', async () => {
    const { cache, pass } = open({ profiles })
    await cache.getOrSet('key', () => 'old', options)
    pass(60_000)
    const finish = gate()
    const load = vi.fn(async ({ stale }: { stale?: { value: unknown; ageMs: number } | undefined }) => {
      expect(stale).toEqual({ value: 'old', ageMs: 60_000 })
      await finish.promise
      return 'new'
    })
    const served = await Promise.all(Array.from({ length: 10 }, () => cache.getOrSet('key', load, options)))
    expect(new Set(served)).toEqual(new Set(['old']))
    finish.open()
    await until(async () => (await cache.getOrSet('key', load, options)) === 'new')
    expect(load).toHaveBeenCalledTimes(1)
    expect(cache.stats().hitsByKind.stale).toBeGreaterThanOrEqual(10)
  })

  it('are served no longer than they may be, also while a load still renews them', async () => {
    const { cache, pass } = open({ profiles })
    await cache.getOrSet('key', () => 'old', options)
    pass(60_000)
    const finish = gate<string>()
    expect(await cache.getOrSet('key', () => finish.promise, options)).toBe('old')
    pass(3_600_000)
    const late = cache.getOrSet('key', () => 'another', options)
    finish.open('new')
    expect(await late).toBe('new')
  })

  it('are served when the load fails, which is tried again a second later', async () => {
    const { cache, pass } = open({ profiles })
    const errors: unknown[] = []
    cache.on('error', ({ error }) => errors.push(error))
    await cache.getOrSet('key', () => 'old', options)
    pass(60_000)
    const load = vi.fn(() => Promise.reject(new Error('down')))
    expect(await cache.getOrSet('key', load, options)).toBe('old')
    await until(() => errors.length === 1)
    expect(await cache.getOrSet('key', load, options)).toBe('old')
    expect(load).toHaveBeenCalledTimes(1)
    pass(1_000)
    expect(await cache.getOrSet('key', load, options)).toBe('old')
    await until(() => errors.length === 2)
    pass(3_600_000)
    await expect(cache.getOrSet('key', load, options)).rejects.toThrow('down')
  })

  it('are not served once they are invalidated', async () => {
    const { cache, pass } = open({ profiles })
    await cache.getOrSet('key', () => 'old', { ...options, tags: ['a'] })
    pass(60_000)
    await cache.invalidateTags('a')
    expect(await cache.getOrSet('key', () => 'new', { ...options, tags: ['a'] })).toBe('new')
  })

  it('wait for the load up to `loadSoft`', async () => {
    const { cache, pass } = open({ profiles, timeouts: { loadSoft: '60ms' } })
    await cache.getOrSet('quick', () => 'old', options)
    await cache.getOrSet('slow', () => 'old', options)
    pass(60_000)
    expect(await cache.getOrSet('quick', () => 'new', options)).toBe('new')
    const finish = gate()
    const slow = async () => {
      await finish.promise
      return 'new'
    }
    expect(await cache.getOrSet('slow', slow, options)).toBe('old')
    finish.open()
  })

  it('wait for the load however long `loadSoft` is', async () => {
    const { cache, pass } = open({ profiles, timeouts: { loadSoft: '40d' } })
    await cache.getOrSet('key', () => 'old', options)
    pass(60_000)
    const slow = async () => {
      await sleep(30)
      return 'new'
    }
    expect(await cache.getOrSet('key', slow, options)).toBe('new')
  })

  it('are never returned by `get` and `peek`', async () => {
    const { cache, pass } = open({ profiles })
    await cache.set('key', 'old', options)
    pass(60_000)
    expect(await cache.get('key')).toBeUndefined()
    expect(cache.peek('key')).toBeUndefined()
  })

  it('are renewed ahead of their time, the likelier the closer to it', async () => {
    const { cache, pass } = open({ profiles: { hot: { ttl: '1m', refreshAhead: 'auto', ...exact } } })
    const load = vi.fn(async () => {
      await sleep(30)
      return 'value'
    })
    const hot = { profile: 'hot' }
    await cache.getOrSet('key', load, hot)
    pass(30_000)
    for (let ask = 0; ask < 1_000; ask++) await cache.getOrSet('key', load, hot)
    expect(load).toHaveBeenCalledTimes(1)
    pass(29_995)
    for (let ask = 0; ask < 50; ask++) expect(await cache.getOrSet('key', load, hot)).toBe('value')
    await until(() => load.mock.calls.length === 2)
    await until(() =>
      cache.peek('key') === 'value' ? cache.explain('key').then((at) => (at.freshForMs as number) > 59_000) : false,
    )
  })
})

describe('loads', () => {
  it('that take longer than `loadHard` reject all who wait, and are told so', async () => {
    const { cache } = open({ timeouts: { loadHard: '50ms' } })
    const aborted = gate<unknown>()
    const load = ({ signal }: { signal: AbortSignal }) => {
      signal.addEventListener('abort', () => aborted.open(signal.reason))
      return new Promise<string>(() => {})
    }
    const answers = await Promise.allSettled([cache.getOrSet('key', load), cache.getOrSet('key', load)])
    for (const answer of answers) {
      expect(answer).toMatchObject({ status: 'rejected', reason: { code: 'ERR_LOAD_TIMEOUT' } })
    }
    expect(await aborted.promise).toBeInstanceOf(LoadTimeoutError)
    expect(await cache.getOrSet('key', () => 'next')).toBe('next')
  })

  it('may take as long as `loadHard` says, however long that is', async () => {
    const { cache } = open({ timeouts: { loadHard: '365d' } })
    const load = async () => {
      await sleep(50)
      return 'value'
    }
    expect(await cache.getOrSet('key', load)).toBe('value')
  })

  it('go on when one of those who wait is aborted, and are aborted when all are', async () => {
    const { cache } = open()
    const finish = gate()
    let signal: AbortSignal | undefined
    const load = async (ctx: { signal: AbortSignal }) => {
      signal = ctx.signal
      await finish.promise
      return 'value'
    }
    const one = new AbortController()
    const two = new AbortController()
    const reason = new Error('gone')
    const first = cache.getOrSet('key', load, { signal: one.signal })
    const second = cache.getOrSet('key', load, { signal: two.signal })
    one.abort(reason)
    await expect(first).rejects.toBe(reason)
    expect(signal?.aborted).toBe(false)
    two.abort(reason)
    await expect(second).rejects.toBe(reason)
    expect(signal?.aborted).toBe(true)
    expect(await cache.getOrSet('key', () => 'anew')).toBe('anew')
    expect(cache.stats()).toMatchObject({ loads: 2, loadErrors: 0 })
    finish.open()
  })

  it('of many that bring no value leave the others who wait to load for themselves', async () => {
    const { cache } = open()
    const started = gate()
    const many = cache.getOrSetMany(
      ['a', 'b'],
      async () => {
        started.open()
        await sleep(5)
        return new Map([['b', 'from many']])
      },
      { key: (id) => id },
    )
    await started.promise
    const alone = cache.getOrSet('a', () => 'alone')
    const other = cache.getOrSet('b', () => 'alone')
    expect(await many).toEqual(new Map([['b', 'from many']]))
    expect(await alone).toBe('alone')
    expect(await other).toBe('from many')
  })

  it('of many are aborted when nobody waits for any of them', async () => {
    const { cache } = open()
    const controller = new AbortController()
    const started = gate()
    let seen: AbortSignal | undefined
    const many = cache.getOrSetMany(
      ['a', 'b'],
      (_ids, { signal }) => {
        seen = signal
        started.open()
        return new Promise<never>(() => {})
      },
      { key: (id) => id, signal: controller.signal },
    )
    await started.promise
    controller.abort(new Error('gone'))
    await expect(many).rejects.toThrow('gone')
    expect(seen?.aborted).toBe(true)
  })

  it('of many do not begin when nobody waits any more', async () => {
    const { cache } = open()
    const finish = gate()
    const running = cache.getOrSet('a', () => finish.promise)
    const controller = new AbortController()
    const load = vi.fn(() => new Map([['b', 'loaded']]))
    const many = cache.getOrSetMany(['a', 'b'], load, { key: (id) => id, signal: controller.signal })
    controller.abort(new Error('gone'))
    await expect(many).rejects.toThrow('gone')
    finish.open()
    await running
    await sleep(20)
    expect(load).not.toHaveBeenCalled()
    expect(await cache.getOrSetMany(['b'], load, { key: (id) => id })).toEqual(new Map([['b', 'loaded']]))
  })

  it('do not begin for a signal that is aborted already', async () => {
    const { cache } = open()
    await cache.set('key', 'stored')
    const reason = new Error('gone')
    const load = vi.fn(() => 1)
    await expect(cache.getOrSet('key', load, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    expect(load).not.toHaveBeenCalled()
  })

  it('run anew with `fresh`, shared by those who want it fresh', async () => {
    const { cache } = open()
    await cache.set('key', 'old')
    const load = vi.fn(async () => {
      await sleep(5)
      return 'new'
    })
    const answers = await Promise.all([
      cache.getOrSet('key', load, { fresh: true }),
      cache.getOrSet('key', load, { fresh: true }),
      cache.getOrSet('key', load),
    ])
    expect(answers).toEqual(['new', 'new', 'old'])
    expect(load).toHaveBeenCalledTimes(1)
    expect(await cache.get('key')).toBe('new')
  })

  it('that began before a fresh one do not overwrite it', async () => {
    const { cache } = open()
    const finish = gate()
    const slow = cache.getOrSet('key', async () => {
      await finish.promise
      return 'slow'
    })
    await cache.getOrSet('key', () => 'fresh', { fresh: true })
    finish.open()
    expect(await slow).toBe('slow')
    expect(await cache.get('key')).toBe('fresh')
  })

  it.each([
    ['undefined', undefined],
    ['an error', new Error('no')],
    ['a text', 'no'],
  ])('may throw %s', async (_what, thrown) => {
    const { cache } = open()
    const load = () => {
      throw thrown
    }
    const outcome = await cache.getOrSet('key', load).then(
      () => 'resolved',
      (error: unknown) => ({ error }),
    )
    expect(outcome).toEqual({ error: thrown })
  })
})

describe('a value that cannot be stored', () => {
  it.each([
    ['an instance', () => new URL('http://host')],
    ['an instance of nothing', () => Object.create(Object.create(null))],
    [
      'one that contains itself',
      () => {
        const list: unknown[] = []
        list.push(list)
        return list
      },
    ],
    [
      'one that throws when it is looked at',
      () => ({
        get name() {
          throw new Error('not now')
        },
      }),
    ],
  ])('is returned, and told of: %s', async (_what, make) => {
    const { cache } = open()
    const errors: unknown[] = []
    cache.on('error', ({ operation, key }) => errors.push([operation, key]))
    const made = make()
    expect(await cache.getOrSet('key', () => made)).toBe(made)
    expect(cache.peek('key')).toBeUndefined()
    expect(await cache.set('key', made)).toBe(false)
    expect(errors).toEqual([
      ['encode', 'key'],
      ['encode', 'key'],
    ])
  })

  it('is returned, and told of, also if that shows only when it is encoded, as for one beyond the longest string', async () => {
    const { cache } = open({ store: new Map<string, string>() })
    const errors: unknown[] = []
    cache.on('error', ({ operation, key }) => errors.push([operation, key]))
    const make = () => {
      let looks = 0
      return {
        get name() {
          if (++looks % 2 === 0) throw new RangeError('Invalid string length')
          return 'Ann'
        },
      }
    }
    const made = make()
    expect(await cache.getOrSet('key', () => made)).toBe(made)
    await cache.set('set', 'old')
    expect(await cache.set('set', make())).toBe(false)
    expect(errors).toEqual([
      ['encode', 'key'],
      ['encode', 'set'],
    ])
    expect(cache.stats().loadErrors).toBe(0)
  })

  it('replaces what was stored by nothing', async () => {
    const { cache } = open()
    await cache.set('key', 'old')
    expect(await cache.set('key', () => 'new')).toBe(false)
    expect(await cache.get('key')).toBeUndefined()
    await cache.set('key', 'old')
    expect(await cache.set('key', 'new', { ttl: '0s' })).toBe(false)
    expect(await cache.get('key')).toBeUndefined()
  })

  it('is no plain object of another realm', async () => {
    const { cache } = open()
    const foreign = runInNewContext('({ a: [1] })')
    await cache.set('key', foreign)
    expect(cache.peek('key')).toBe(foreign)
  })
})

describe('values in memory', () => {
  afterEach(() => vi.unstubAllEnvs())

  it('are frozen, unless told otherwise', async () => {
    const { cache } = open()
    const value = await cache.getOrSet('key', () => ({ list: [{ a: 1 }], when: new Date() }))
    expect(Object.isFrozen(value) && Object.isFrozen(value.list[0])).toBe(true)
    const { cache: loose } = open({ freeze: false })
    expect(Object.isFrozen(await loose.getOrSet('key', () => ({})))).toBe(false)
  })

  it.each(['production', 'PRODUCTION ', 'prod'])(
    'are not frozen with NODE_ENV=%j, unless told otherwise',
    async (value) => {
      vi.stubEnv('NODE_ENV', value)
      const frozen = async (options: object) => Object.isFrozen(await open(options).cache.getOrSet('key', () => ({})))
      expect([await frozen({}), await frozen({ freeze: true })]).toEqual([false, true])
    },
  )

  it('are the very ones that were loaded, from one promise', async () => {
    const { cache } = open()
    const value = await cache.getOrSet('key', () => ({ a: 1 }))
    expect(cache.peek('key')).toBe(value)
    expect(cache.getOrSet('key', () => ({ a: 1 }))).toBe(cache.getOrSet('key', () => ({ a: 1 })))
  })

  it('leave when there are too many', async () => {
    const { cache } = open({ memory: { maxEntries: 2 } })
    for (const key of ['a', 'b', 'c']) await cache.set(key, key)
    expect(await cache.getMany(['a', 'b', 'c'])).toEqual([undefined, 'b', 'c'])
    expect(cache.stats().memory).toMatchObject({ entries: 2, evictions: 1 })
  })

  it('are none with `memory: false`', async () => {
    const { cache } = open({ memory: false })
    await cache.set('key', 1)
    expect(await cache.get('key')).toBeUndefined()
  })
})

describe('an array of tags that its owner changes', () => {
  it.each(['during the load', 'afterwards'])('%s does not change those of the entry', async (when) => {
    const { cache } = open()
    const tags = ['a']
    const load = () => {
      if (when === 'during the load') tags[0] = 'b'
      return 1
    }
    await cache.getOrSet('loaded', load, { tags })
    tags[0] = 'a'
    await cache.set('set', 1, { tags })
    tags.length = 0
    await cache.invalidateTags('a')
    expect(await cache.getMany(['loaded', 'set'])).toEqual([undefined, undefined])
  })
})

it('an invalidation of an empty list of tags changes nothing', async () => {
  const { cache } = open({ store: new Map<string, string>() })
  await cache.set('key', 1, { tags: ['tag'], stale: '1h' })
  const list: string[] = []
  expect(await cache.invalidateTags(...list)).toEqual({ propagated: true, queued: false })
  expect(await cache.invalidateTags(...list, { serveStale: true })).toEqual({ propagated: true, queued: false })
  expect(await cache.get('key')).toBe(1)
  expect(cache.stats().errors).toBe(0)
})

describe('wrapped functions', () => {
  it.each([
    ['a string', 'users', "Expected `tags` to be an array, got `'users'` (string)"],
    ['nothing', undefined, 'Expected `tags` to be an array, got `undefined`'],
    ['a promise', Promise.resolve(['users']), 'Expected `tags` to be an array, got an object'],
    ['numbers', [1], 'Expected every tag to be a string, got `1` (number)'],
  ])('reject when `tags` returns %s, here and in `getOrSetMany`', async (_what, returned, message) => {
    const { cache } = open()
    const tags = (() => returned) as never
    await expect(cache.wrap(() => 1, { name: 'one', tags })()).rejects.toThrow(message)
    const loaded = cache.getOrSetMany([1], () => new Map([[1, 1]]), { key: (id) => ['many', id], tags })
    await expect(loaded).rejects.toThrow(message)
  })

  it('are cached by their arguments, without loss', async () => {
    const { cache } = open()
    const find = vi.fn(
      async (id: number | string, options?: { deep: boolean }) => `${typeof id} ${id} ${options?.deep}`,
    )
    const cached = cache.wrap(find, { name: 'find', tags: ([id], result) => [`id:${id}`, result] })
    expect(await cached(1)).toBe('number 1 undefined')
    expect(await cached('1')).toBe('string 1 undefined')
    expect(await cached(1, { deep: true })).toBe('number 1 true')
    await cached(1)
    expect(find).toHaveBeenCalledTimes(3)
    expect(cached.peek(1)).toBe('number 1 undefined')
    await cached.invalidate(1)
    expect(cached.peek(1)).toBeUndefined()
    await cached.fresh('1')
    expect(find).toHaveBeenCalledTimes(4)
    await cache.invalidateTags('id:1')
    expect(await cache.has(cached.keyOf('1'))).toBe(false)
  })

  it('take their key from what matters of the arguments', async () => {
    const { cache } = open()
    const find = vi.fn((user: { id: number; session: string }) => user.id)
    const cached = cache.wrap(find, { name: 'find', key: ({ id }) => [id], ttl: '1m' })
    await cached({ id: 1, session: 'a' })
    await cached({ id: 1, session: 'b' })
    expect(find).toHaveBeenCalledTimes(1)
  })
})

describe('stats and events', () => {
  it('count one outcome for each request', async () => {
    const { cache, pass } = open({ profiles: { users: { ttl: '1m', ...exact } } })
    const users = { profile: 'users', tags: ['a'] }
    await Promise.all([cache.getOrSet('key', () => 1, users), cache.getOrSet('key', () => 1, users)])
    await cache.getOrSet('key', () => 1, users)
    await cache.invalidateTags('a')
    await cache.getOrSet('key', () => 1, users)
    pass(60_000)
    await cache.getOrSet('key', () => 1, users)
    await cache.getOrSet('key', () => 1, { ...users, fresh: true })
    const { byProfile, ...total } = cache.stats()
    expect(byProfile.users).toMatchObject({
      requests: 6,
      hits: 2,
      misses: 4,
      hitRate: 2 / 6,
      hitsByKind: { memory: 1, coalesced: 1 },
      missesByReason: { absent: 1, invalidated: 1, expired: 1, bypassed: 1 },
      loads: 4,
    })
    expect(total).toMatchObject({ requests: 6, errors: 0, errorRate: 0, store: { state: 'off' } })
  })

  it('tell entries that are too old from invalidated ones when they are only looked at', async () => {
    const { cache, pass } = open({ profiles: { default: { ttl: '1m', ...exact } } })
    await cache.set('key', 'value', { tags: ['a'] })
    pass(60_000)
    expect(await cache.getMany(['key'])).toEqual([undefined])
    await cache.set('key', 'value', { tags: ['a'] })
    await cache.invalidateTags('a')
    expect(await cache.has('key')).toBe(false)
    expect(cache.stats().missesByReason).toMatchObject({ expired: 1, invalidated: 1 })
  })

  it('tell of invalidations, until the listener is taken off', async () => {
    const { cache } = open()
    const events: unknown[] = []
    const off = cache.on('invalidate', (event) => events.push(event))
    await cache.invalidateTags('a')
    await cache.delete(['key', 1])
    off()
    await cache.clear()
    expect(events).toEqual([
      { origin: 'local', tags: ['a'], keys: [], all: false },
      { origin: 'local', tags: [], keys: ['["key",1]'], all: false },
    ])
  })

  it('are right after more invalidations than are remembered one by one', async () => {
    const { cache } = open()
    await cache.set('key', 'value', { tags: ['a'] })
    await cache.invalidateTags('one more', ...Array.from({ length: 50_000 }, (_, index) => `tag ${index}`))
    expect(await cache.get('key')).toBeUndefined()
    await cache.set('key', 'value', { tags: ['a'] })
    expect(await cache.get('key')).toBe('value')
    expect(cache.stats().missesByReason.invalidated).toBe(1)
  })

  it('explain where a value is', async () => {
    const { cache, pass } = open({ profiles: { default: { ttl: '1m', ...exact } } })
    expect(await cache.explain('key')).toEqual({ key: 'key', tier: 'none', reason: 'absent' })
    await cache.set('key', 'value', { tags: ['a'] })
    pass(1_000)
    expect(await cache.explain('key')).toMatchObject({ tier: 'memory', ageMs: 1_000, freshForMs: 59_000, tags: ['a'] })
    await cache.invalidateTags('a')
    expect(await cache.explain('key')).toMatchObject({ tier: 'none', reason: 'invalidated' })
    await cache.set('key', 'value')
    pass(60_000)
    expect(await cache.explain('key')).toMatchObject({ tier: 'none', reason: 'expired' })
  })

  it('survive a listener that throws, whose error goes where errors of no one go', async () => {
    const { cache } = open()
    const later = vi.spyOn(globalThis, 'queueMicrotask').mockImplementation(() => {})
    const heard: unknown[] = []
    cache.on('invalidate', () => {
      throw new Error('in a listener')
    })
    cache.on('invalidate', ({ tags }) => heard.push(...tags))
    await cache.invalidateTags('a')
    expect(heard).toEqual(['a'])
    const [[thrown]] = later.mock.calls as unknown as [[() => void]]
    later.mockRestore()
    expect(thrown).toThrow('in a listener')
  })
})

describe('a closed cache', () => {
  it('rejects, and ends loads that are under way', async () => {
    const { cache } = open()
    const running = cache.getOrSet('key', () => new Promise(() => {}))
    await cache.close()
    await cache.close()
    await expect(running).rejects.toBeInstanceOf(ClosedError)
    await expect(cache.getOrSet('key', () => 1)).rejects.toMatchObject({ code: 'ERR_CLOSED' })
    await expect(cache.invalidateTags('a')).rejects.toBeInstanceOf(ClosedError)
    expect(cache.peek('key')).toBeUndefined()
  })

  it('answers nothing from memory any more, even before its loads have ended', async () => {
    const { cache } = open()
    await cache.set('key', 1)
    const closing = cache.close()
    expect(cache.peek('key')).toBeUndefined()
    await expect(cache.getOrSet('key', () => 2)).rejects.toBeInstanceOf(ClosedError)
    await closing
  })
})

describe('wrong use', () => {
  it.each([
    [{ profiles: { a: 5 } }, "Expected `profiles.a` to be a duration like '5m' or options, got `5` (number)"],
    [
      { profiles: { a: { ttl: 300 } } },
      "Expected `profiles.a.ttl` to be a duration like '250ms' or '5m', got `300` (number)",
    ],
    [
      { profiles: { a: { ttl: '1m', jitter: 2 } } },
      'Expected `profiles.a.jitter` to be a number from 0 to 0.5, got `2` (number)',
    ],
    [{ memory: { maxEntries: 0 } }, 'Expected `memory.maxEntries` to be a whole number from 1 up, got `0` (number)'],
    [
      { namespace: 'a*' },
      "Expected `namespace` to be 1 to 64 letters, digits, ':', '_', '.' or '-', got `'a*'` (string)",
    ],
    [{ redis: 'http://secret:password@host' }, 'Expected `redis` to be a URL that starts with redis:// or rediss://'],
    [
      { redis: 'redis://host/cache' },
      'Expected `redis` to be a URL that starts with redis:// or rediss://, with the number',
    ],
    [
      { redis: { url: 'redis://:50%@host' } },
      'Expected `redis.url` to be a URL that starts with redis:// or rediss://',
    ],
    [{ redis: { url: 5 } }, 'Expected `redis.url` to be a URL'],
    [
      { redis: { url: undefined } },
      'Expected `redis` to be a URL, options, or a client of node-redis 5 or later, got an object',
    ],
    [{ redis: {} }, 'Expected `redis` to be a URL, options, or a client of node-redis 5 or later, got an object'],
    [{ store: {} }, 'Expected `store` to be a Keyv instance or adapter, got an object'],
    [{ store: new Map(), redis: 'redis://host' }, 'Expected only one of `redis` and `store`, got both'],
    [{ redis: { defineCommand: () => {} } }, 'ioredis clients are not supported, give their URL instead'],
    [{ namespace: '' }, 'Expected `namespace` to be'],
    [{ name: '' }, "Expected `name` to be a text, got `''` (string)"],
    [
      { profiles: { a: { ttl: '1m', version: {} } } },
      'Expected `profiles.a.version` to be a string or a number, got an object',
    ],
    [
      { profiles: { a: { ttl: '1m', validate: 5 } } },
      'Expected `profiles.a.validate` to be a function or a Standard Schema, got `5` (number)',
    ],
    [{ breaker: { failures: 0 } }, 'Expected `breaker.failures` to be a whole number from 1 up, got `0` (number)'],
    [{ timeouts: { store: '0s' } }, "Expected `timeouts.store` to be longer than nothing, got `'0s'` (string)"],
  ])('of an option is an error at once: %j', (options, message) => {
    expect(() => createCache(options as never)).toThrow(message)
  })

  it('of a call rejects', async () => {
    const { cache } = open()
    await expect(cache.getOrSet('key', () => 1, { profile: 'nope' })).rejects.toThrow(
      "Expected `profile` to be one of 'default', got `'nope'` (string)",
    )
    await expect(cache.getOrSet('key', 5 as never)).rejects.toThrow(
      'Expected `load` to be a function, got `5` (number)',
    )
    await expect(cache.getOrSet('key', () => 1, { ttl: 5 as never })).rejects.toThrow('Expected `ttl`')
    await expect(cache.getOrSet(5 as never, () => 1)).rejects.toThrow('Expected `key` to be a string or an array')
    await expect(cache.getOrSet('key', () => 1, { stale: '5 parsecs' as never })).rejects.toThrow('Expected `stale`')
    await expect(cache.getOrSet('key', () => 1, { tags: 'a' as never })).rejects.toThrow(
      "Expected `tags` to be an array, got `'a'` (string)",
    )
    await expect(cache.getOrSetMany([1], 5 as never, { key: String })).rejects.toThrow(
      'Expected `load` to be a function, got `5` (number)',
    )
    await expect(cache.getOrSetMany([1], () => new Map(), {} as never)).rejects.toThrow(
      'Expected `key` to be a function, got `undefined`',
    )
    await expect(cache.getOrSetMany([1], (() => ({ 1: 1 })) as never, { key: String })).rejects.toThrow(
      'Expected `load` to return a Map, got an object',
    )
    expect(() => cache.wrap(5 as never, { name: 'five' })).toThrow('Expected `fn` to be a function, got `5` (number)')
    await expect(cache.invalidateTags(5 as never)).rejects.toThrow(
      'Expected every tag to be a string, got `5` (number)',
    )
    expect(() => cache.wrap(() => 1, {} as never)).toThrow('Expected `name` to be a string that is not empty')
    expect(() => cache.on('nope' as never, () => {})).toThrow("Expected `event` to be one of 'error'")
  })

  it('of `ttls` is a warning', () => {
    const warnings: string[] = []
    createCache({ profiles: { users: '5m' }, ttls: { user: '1m' }, onWarn: ({ message }) => warnings.push(message) })
    expect(warnings).toEqual(['`ttls` has no matching profile for: user. Profiles are: default, users'])
  })
})
