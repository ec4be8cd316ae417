import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { promisify } from 'node:util'
import type { Cache } from 'posthaste'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { services } from '../../support/services.ts'
import {
  CacheGroup,
  cleanUp,
  gate,
  localStores,
  prefixingRedis,
  redisStores,
  uniqueNamespace,
  until,
} from '../support.ts'

const namespaces: string[] = []
const onRedis = services.redis === undefined ? [] : redisStores(services.redis)
const kinds = [
  ...localStores(),
  // All lead to the same store through a client: here one of each major.
  ...onRedis.filter(({ name }) => name === 'a Redis URL' || name === 'a Keyv 6 instance on Redis'),
  ...(services.redis === undefined ? [] : [prefixingRedis(services.redis)]),
  { name: 'memory alone', isRaceProof: true, open: async () => ({ options: {}, close: async () => {} }) },
]

afterAll(async () => {
  if (services.redis !== undefined) await cleanUp(services.redis, namespaces)
})

describe.each(kinds)('a cache on $name', (kind) => {
  const isShared = kind.name !== 'memory alone'
  let group: CacheGroup
  let namespace: string
  let cache: Cache

  beforeEach(async () => {
    namespace = uniqueNamespace()
    namespaces.push(namespace)
    group = new CacheGroup(kind)
    cache = await group.open({ namespace })
  })
  afterEach(() => group.close())

  /** Another process's cache, as far as the store can tell. */
  const another = () => group.open({ namespace })

  it('loads once and answers from what it stored', async () => {
    let loads = 0
    const load = () => ++loads
    expect(await cache.getOrSet('key', load)).toBe(1)
    expect(await cache.getOrSet('key', load)).toBe(1)
    expect(await cache.get('key')).toBe(1)
    expect(await cache.has('key')).toBe(true)
    expect(await cache.has('other')).toBe(false)
    expect(loads).toBe(1)
  })

  it('keeps every value of loads that are the first to use a tag, at the same time', async () => {
    let loads = 0
    const get = (on: Cache, id: number) => on.getOrSet(['id', id], () => ++loads, { tags: ['new'] })
    const ids = [1, 2, 3, 4, 5]
    await Promise.all([...ids.map((id) => get(cache, id)), cache.set(['id', 6], 0, { tags: ['new'] })])
    const other = await another()
    for (const on of [cache, other]) for (const id of [...ids, 6]) await get(on, id)
    expect(loads).toBe(isShared ? 5 : 11)
  })

  it('shares one load among concurrent callers', async () => {
    let loads = 0
    const load = async () => {
      await new Promise((resolve) => setTimeout(resolve, 10))
      return ++loads
    }
    const values = await Promise.all(Array.from({ length: 100 }, () => cache.getOrSet('key', load, { tags: ['a'] })))
    expect(new Set(values)).toEqual(new Set([1]))
  })

  it('shares one failing load among concurrent callers, and does not keep the error', async () => {
    let loads = 0
    const error = new Error('no row')
    const load = async () => {
      loads++
      await new Promise((resolve) => setTimeout(resolve, 10))
      throw error
    }
    const outcomes = await Promise.allSettled(Array.from({ length: 100 }, () => cache.getOrSet('key', load)))
    expect(outcomes.every((outcome) => outcome.status === 'rejected' && outcome.reason === error)).toBe(true)
    expect(loads).toBe(1)
    expect(await cache.getOrSet('key', () => 'value')).toBe('value')
  })

  it.each([undefined, false] as const)(
    'tries a failed refresh again a second later, with memory: %s',
    async (memory) => {
      let now = Date.now()
      const own = await group.open({
        namespace,
        memory,
        clock: () => now,
        profiles: { lists: { ttl: '1s', stale: '1h', jitter: 0 } },
      })
      await own.set('key', 'old', { profile: 'lists' as 'default' })
      const isKept = isShared || memory === undefined
      if (!isKept) return
      let loads = 0
      const fail = async () => {
        loads++
        throw new Error('the database is down')
      }
      // Redis tells ages by its own clock.
      await new Promise((resolve) => setTimeout(resolve, kind.name.includes('edis') ? 1_050 : 0))
      now += 1_050
      const failures: unknown[] = []
      own.on('error', ({ error }) => failures.push(error))
      const read = async () => expect(await own.getOrSet('key', fail, { profile: 'lists' as 'default' })).toBe('old')
      await read()
      await until(() => failures.length === 1)
      for (let count = 0; count < 50; count++) await read()
      expect(loads).toBe(1)
      now += 1_050
      await read()
      await until(() => failures.length === 2)
      expect(loads).toBe(2)
    },
  )

  it('forgets entries by any of their tags, and only those', async () => {
    await cache.getOrSet('one', () => 1, { tags: ['a', 'b'] })
    await cache.getOrSet('two', () => 2, { tags: ['b'] })
    await cache.getOrSet('three', () => 3, { tags: ['c'] })
    expect(await cache.invalidateTags('b')).toEqual({ propagated: true, queued: false })
    expect(await cache.getMany(['one', 'two', 'three'])).toEqual([undefined, undefined, 3])
  })

  it('forgets entries by tags that the load named', async () => {
    await cache.getOrSet('key', (ctx) => {
      ctx.tag('user:5')
      return 1
    })
    await cache.invalidateTags('user:5')
    expect(await cache.get('key')).toBeUndefined()
  })

  it('deletes, clears and overwrites', async () => {
    await cache.set('a', 1)
    await cache.set('b', 2)
    await cache.set('a', 3)
    expect(await cache.getMany(['a', 'b'])).toEqual([3, 2])
    await cache.delete('a')
    expect(await cache.getMany(['a', 'b'])).toEqual([undefined, 2])
    await cache.clear()
    expect(await cache.getMany(['a', 'b'])).toEqual([undefined, undefined])
  })

  it.each(['invalidateTags', 'delete', 'clear', 'set'] as const)(
    'never stores a value whose load began before %s',
    async (operation) => {
      const started = gate()
      const finish = gate()
      const early = cache.getOrSet(
        'key',
        async () => {
          started.open()
          await finish.promise
          return 'old'
        },
        { tags: ['tag'] },
      )
      await started.promise
      if (operation === 'invalidateTags') await cache.invalidateTags('tag')
      else if (operation === 'delete') await cache.delete('key')
      else if (operation === 'clear') await cache.clear()
      else await cache.set('key', 'new', { tags: ['tag'] })
      const late = cache.getOrSet('key', () => 'new', { tags: ['tag'] })
      finish.open()
      expect(await early).toBe('old')
      expect(await late).toBe('new')
      expect(await cache.getOrSet('key', () => 'newer', { tags: ['tag'] })).toBe('new')
    },
  )

  it('gives nobody a value that was tagged too late with what was invalidated before they asked', async () => {
    const started = gate()
    const finish = gate()
    const early = cache.getOrSet('key', async (ctx) => {
      started.open()
      await finish.promise
      ctx.tag('late')
      return 'old'
    })
    await started.promise
    await cache.invalidateTags('late')
    const asked = cache.getOrSet('key', () => 'new')
    finish.open()
    expect(await early).toBe('old')
    expect(await asked).toBe('new')
  })

  it('treats an entry without a tag that is asked for as a miss', async () => {
    await cache.getOrSet('key', () => 'untagged')
    expect(await cache.getOrSet('key', () => 'tagged', { tags: ['a'] })).toBe('tagged')
    expect(await cache.getOrSet('key', () => 'again', { tags: ['a'] })).toBe('tagged')
  })

  it('loads what is missing of many with one call', async () => {
    await cache.set(['user', 2], 'two')
    const asked: number[][] = []
    const load = (ids: readonly number[]) => {
      asked.push([...ids])
      return new Map(ids.filter((id) => id !== 4).map((id) => [id, `loaded ${id}`]))
    }
    const options = { key: (id: number) => ['user', id], tags: (id: number) => [`user:${id}`] }
    const first = await cache.getOrSetMany([1, 2, 3, 4, 1], load, options)
    expect([...first]).toEqual([
      [1, 'loaded 1'],
      [2, 'two'],
      [3, 'loaded 3'],
    ])
    expect(asked).toEqual([[1, 3, 4]])
    await cache.invalidateTags('user:3')
    expect([...(await cache.getOrSetMany([3, 1], load, options)).keys()]).toEqual([3, 1])
    expect(asked).toEqual([[1, 3, 4], [3]])
  })

  it('gives back every kind of value as it was', async () => {
    const values = {
      undefined: undefined,
      null: null,
      zero: 0,
      empty: '',
      false: false,
      nan: Number.NaN,
      minusZero: -0,
      date: new Date(1_700_000_000_000),
      map: new Map<unknown, unknown>([[{ a: 1 }, new Set([1n])]]),
      set: new Set(['a', undefined]),
      bigint: 2n ** 70n,
      buffer: Buffer.from([0, 255, 128]),
      nested: { list: [1, [undefined, Number.NaN]], bytes: new Uint8Array([1, 2]), $: ['map', []] },
    }
    for (const [key, value] of Object.entries(values)) await cache.set(key, value)
    const reader = isShared ? await another() : cache
    for (const [key, value] of Object.entries(values)) {
      expect(await reader.has(key), key).toBe(true)
      expect(await reader.get(key), key).toStrictEqual(value)
      expect(await reader.getOrSet(key, () => 'loaded'), key).toStrictEqual(value)
    }
  })

  it.each(['plain', 'cut in half: \ud83d', 'ä\0'])(
    'gives the tag %j another stamp when it is invalidated',
    async (tag) => {
      await cache.getOrSet('key', () => 1, { tags: [tag] })
      const before = await cache.stamps([tag, tag])
      await cache.invalidateTags(tag)
      const after = await cache.stamps([tag, tag])
      expect(after?.stamps).toHaveLength(2)
      for (const index of [0, 1]) expect(after?.stamps[index]).not.toBe(before?.stamps[index])
    },
  )

  it('returns an instance of a class without storing it, and says so', async () => {
    class User {}
    const errors: unknown[] = []
    cache.on('error', ({ operation }) => errors.push(operation))
    expect(await cache.getOrSet('key', () => new User())).toBeInstanceOf(User)
    expect(errors).toEqual(['encode'])
    expect(await cache.has('key')).toBe(false)
  })

  describe.skipIf(!isShared)('shared by two processes', () => {
    const large = randomBytes(300_000).toString('hex')

    it('holds the latest of the values that one sets at once, though the first takes longer to compress', async () => {
      const other = await another()
      await Promise.all([cache.set('key', large), cache.set('key', 'small')])
      expect(await cache.get('key')).toBe('small')
      expect(await other.get('key')).toBe('small')
    })

    it.each(['delete', 'clear'] as const)('holds no large value that one sets and forgets by %s', async (operation) => {
      const other = await another()
      const set = cache.set('key', large)
      await cache[operation]('key')
      await set
      expect(await cache.get('key')).toBeUndefined()
      expect(await other.get('key')).toBeUndefined()
    })

    it('answers with a value that is too large for memory, also after a read that began while it was set', async () => {
      const other = await group.open({ namespace, memory: { maxBytes: 3_000_000 } })
      await cache.set('key', 'old')
      await other.get('warm')
      await Promise.all([other.set('key', large), other.get('key')])
      expect(other.peek('key')).toBeUndefined()
      expect(await other.get('key')).toBe(large)
    })

    it('answers one from what the other stored', async () => {
      const other = await another()
      await cache.getOrSet(['user', 1], () => ({ name: 'Ann' }), { tags: ['users'] })
      expect(await other.getOrSet(['user', 1], () => ({ name: 'Bob' }), { tags: ['users'] })).toEqual({ name: 'Ann' })
      expect(other.stats().hitsByKind.store).toBe(1)
    })

    it.each(['invalidateTags', 'delete', 'clear', 'set'] as const)(
      'never stores what one loads if the other calls %s meanwhile',
      async (operation) => {
        const other = await another()
        await other.get('warm')
        const started = gate()
        const finish = gate()
        const early = cache.getOrSet(
          'key',
          async () => {
            started.open()
            await finish.promise
            return 'old'
          },
          { tags: ['tag'] },
        )
        await started.promise
        if (operation === 'invalidateTags') await other.invalidateTags('tag')
        else if (operation === 'delete') await other.delete('key')
        else if (operation === 'clear') await other.clear()
        else await other.set('key', 'new', { tags: ['tag'] })
        finish.open()
        await early
        expect(await other.getOrSet('key', () => 'new', { tags: ['tag'] })).toBe('new')
      },
    )
  })
})

describe.skipIf(onRedis.length === 0)('every way to use one Redis', () => {
  it('shares entries and invalidations with every other', async () => {
    const namespace = uniqueNamespace()
    namespaces.push(namespace)
    const groups = onRedis.map((kind) => new CacheGroup(kind))
    const caches = await Promise.all(groups.map((group) => group.open({ namespace, memory: false })))
    for (const cache of caches) {
      expect(await cache.set('key', caches.indexOf(cache), { tags: ['a'] })).toBe(true)
      expect(await Promise.all(caches.map((other) => other.get('key')))).toEqual(
        caches.map(() => caches.indexOf(cache)),
      )
      expect(await cache.invalidateTags('a')).toEqual({ propagated: true, queued: false })
      expect(await Promise.all(caches.map((other) => other.get('key')))).toEqual(caches.map(() => undefined))
    }
    await Promise.all(groups.map((group) => group.close()))
  })
})

it('a process that does nothing else gets the value for an entry of another version', async () => {
  const face = new URL('../../../src/cache/create-cache.ts', import.meta.url)
  const code = `import { createCache } from '${face}'
    const store = new Map()
    const open = (version) => createCache({ store, memory: false, profiles: { default: { ttl: '1h', version } } })
    await open(1).set('key', 'old')
    console.log(await open(2).getOrSet('key', () => 'new'))`
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', code])
  expect(stdout.trim()).toBe('new')
})

it.concurrent.each(kinds)(
  'a cache on $name keeps an entry as long as its ttl, and not at all with none',
  async (kind) => {
    const namespace = uniqueNamespace()
    namespaces.push(namespace)
    const group = new CacheGroup(kind)
    const cache = await group.open({ namespace })
    await cache.getOrSet('short', () => 1, { ttl: '500ms' })
    await cache.getOrSet('none', () => 1, { ttl: '0s' })
    expect(await cache.get('short')).toBe(1)
    expect(await cache.get('none')).toBeUndefined()
    await new Promise((resolve) => setTimeout(resolve, 510))
    expect(await cache.get('short')).toBeUndefined()
    await group.close()
  },
)
