import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { type Cache, type CacheOptions, createCache } from 'posthaste'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { services } from '../../support/services.ts'
import { connect, gate, until, useRedis } from '../support.ts'

/** The record of a clock that has gone on. */
function later(record: string): string {
  const [stamp, generation] = record.split('|')
  return `${Number(stamp) + 1}|${generation}`
}

describe.skipIf(!services.redis)('a cache on Redis', () => {
  const redis = useRedis('redis')
  /** Asks Redis for nothing on its own account, so that what a call takes can be counted, however slow the machine is. */
  const open = (options?: CacheOptions<string, string>) => redis.open({ coherence: { within: '1h' }, ...options })

  /** How often Redis ran each command, commands within scripts left out where they have a name of their own. */
  async function commandCounts(work: () => Promise<unknown>): Promise<Record<string, number>> {
    await redis.client.sendCommand(['CONFIG', 'RESETSTAT'])
    await work()
    const info = await redis.client.info('commandstats')
    return Object.fromEntries(
      [...info.matchAll(/cmdstat_([\w|]+):calls=(\d+)/g)].map(([, name, calls]) => [name, Number(calls)]),
    )
  }

  /** Keeps leases from being renewed, by commands that would be counted wherever a miss is under way when an interval ends. */
  function stopIntervals(): void {
    beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }))
    afterEach(() => void vi.useRealTimers())
  }

  describe('takes', () => {
    stopIntervals()
    const tags = ['a', 'b', 'c']

    it('2 commands for a miss, 1 for a hit in the store, none for a hit in memory, and publishes nothing for them', async () => {
      const cache = await open()
      const other = await open()
      await cache.getOrSet('warm', () => 1, { tags })
      const miss = await commandCounts(() => cache.getOrSet('key', () => 1, { tags }))
      expect(miss).toMatchObject({ evalsha: 2 })
      expect(miss.publish).toBeUndefined()
      const store = await commandCounts(() => other.getOrSet('key', () => 2, { tags }))
      expect(store).toMatchObject({ evalsha: 1, mget: 1 })
      expect(store.publish).toBeUndefined()
      expect(store.set).toBeUndefined()
      const memory = await commandCounts(async () => {
        for (let index = 0; index < 1_000; index++) await cache.getOrSet('key', () => 2, { tags })
      })
      expect(Object.keys(memory).filter((name) => !/^(config|info)/.test(name))).toEqual([])
    })

    it('1 command for an invalidation of 3 tags, and one message', async () => {
      const cache = await open()
      await cache.invalidateTags('warm')
      expect(await commandCounts(() => cache.invalidateTags('a', 'b', 'c'))).toMatchObject({ evalsha: 1, publish: 1 })
    })

    it('1 command for many keys', async () => {
      const cache = await open({ memory: false })
      for (let id = 0; id < 50; id++) await cache.set(['user', id], id)
      const keys = Array.from({ length: 50 }, (_, id) => ['user', id])
      expect(await commandCounts(() => cache.getMany(keys))).toMatchObject({ evalsha: 1 })
      const load = (ids: readonly number[]) => new Map(ids.map((id) => [id, id]))
      const ids = Array.from({ length: 50 }, (_, id) => id)
      expect(await commandCounts(() => cache.getOrSetMany(ids, load, { key: (id) => ['user', id] }))).toMatchObject({
        evalsha: 1,
      })
    })
  })

  describe('an entry that a read has found before', () => {
    stopIntervals()
    const tags = ['a', 'b', 'c']
    let cache: Cache<string, string>

    const key = (name: string) => `{${redis.namespace}}:${name}`
    const readCounts = async (work: () => Promise<unknown>) => {
      const { 'config|resetstat': _reset, info: _info, ...counts } = await commandCounts(work)
      return counts
    }
    const read = (value = 'new', options: object = {}) => cache.getOrSet('key', () => value, { tags, ...options })
    const rewrite = async (name: string, change: (text: string) => string) => {
      await redis.client.set(key(name), change((await redis.client.get(key(name))) as string))
    }

    beforeEach(async () => {
      // No heartbeat, which is an MGET too, comes between.
      cache = await open({ memory: false })
      await read('old')
      expect(await read()).toBe('old')
    })

    it('takes 1 command and no script, be it one or many', async () => {
      expect(await readCounts(() => read())).toEqual({ mget: 1 })
      const load = (ids: readonly number[]) => new Map(ids.map((id) => [id, id]))
      const ids = Array.from({ length: 50 }, (_, id) => id)
      const readAll = () => cache.getOrSetMany(ids, load, { key: (id) => ['user', id] })
      await readAll()
      await readAll()
      expect(await readCounts(readAll)).toEqual({ mget: 1 })
    })

    const outdating: Record<string, () => Promise<unknown>> = {
      'a tag was invalidated': () =>
        rewrite('clock', later).then(async () => {
          await redis.client.set(key('t:b'), String((await redis.client.get(key('clock')))?.split('|')[0]))
        }),
      'everything was cleared': () => rewrite('clock', (text) => text.replace(/\|.*/, '|another')),
      'it was deleted': () => redis.client.del(key('e:key')),
      'the clock was lost': () => redis.client.del(key('clock')),
      'the clock is garbage': () => redis.client.set(key('clock'), 'garbage'),
      'a tag was lost': () => redis.client.del(key('t:c')),
      'a tag is garbage': () => redis.client.set(key('t:a'), '12x'),
      'a tag is empty': () => redis.client.set(key('t:a'), ''),
      'it is garbage': () => redis.client.set(key('e:key'), 'P2.1.2.3.4.5.6.7.8.9'),
      'it is of another generation': () => rewrite('e:key', (text) => text.replace(/^(P2\.\d+)\.\w+/, '$1.another')),
      'it is of later than the clock': () =>
        rewrite('e:key', (text) => text.replace(/^P2\.\d+/, 'P2.9007199254740991')),
      'it lacks a tag': () => rewrite('e:key', (text) => text.replace('["a","b","c"]', '["a","b","d"]')),
      'it has fewer tags': () =>
        rewrite('e:key', (text) => text.replace('.13.', '.9.').replace('["a","b","c"]', '["a","b"]')),
      'its time is over': () => rewrite('e:key', (text) => text.replace(/^(P2\.\d+\.\w+)\.\d+/, '$1.1')),
    }

    it.each(Object.entries(outdating))('is loaded anew when %s', async (_what, outdate) => {
      await outdate()
      const counts = await commandCounts(async () => expect(await read()).toBe('new'))
      // After the look, a read that grants the right to load, and what makes use of it or gives it back.
      expect(counts.evalsha).toBe(2)
    })

    it('is what another process has put there meanwhile, with whatever further tags', async () => {
      const other = await open()
      await other.set('key', 'theirs', { tags: [...tags, 'd'] })
      expect(await read()).toBe('theirs')
      // Whose tags only the script can check.
      const counts = await commandCounts(async () => expect(await read()).toBe('theirs'))
      expect(counts).toMatchObject({ evalsha: 1 })
      expect(counts.mget).toBeLessThanOrEqual(2)
      await other.invalidateTags('d')
      expect(await read()).toBe('new')
    })

    it('is not looked for when this process knows better', async () => {
      await cache.invalidateTags('a')
      expect(await commandCounts(() => read())).toMatchObject({ evalsha: 2 })
      await read()
      expect(await commandCounts(() => read('newest', { tags: ['a'] }))).toMatchObject({ evalsha: 1 })
      expect(await commandCounts(() => read('newest', { fresh: true }))).toMatchObject({ evalsha: 2 })
      await cache.set('key', 'set', { tags })
      expect(await commandCounts(() => read())).toMatchObject({ evalsha: 1 })
      await cache.getOrSet('short', () => 1, { ttl: '30ms' })
      await cache.getOrSet('short', () => 1, { ttl: '30ms' })
      await new Promise((resolve) => setTimeout(resolve, 35))
      expect(await commandCounts(() => cache.getOrSet('short', () => 2))).toMatchObject({ evalsha: 2 })
    })

    it('may be another, while nearly every first read of an entry is a hit', async () => {
      const writer = await open()
      const ids = Array.from({ length: 400 }, (_, id) => id)
      await Promise.all(ids.map((id) => writer.set(['many', id], id, { tags })))
      const readMany = (from: number, to: number) =>
        readCounts(async () => {
          for (const id of ids.slice(from, to)) {
            expect(await cache.getOrSet(['many', id], () => 'loaded', { tags })).toBe(id)
          }
        })
      await readMany(0, 200)
      expect(await readMany(200, 300)).toEqual({ mget: 100 })
      // Misses, which each take a look in vain only until it shows that hits are no longer the rule.
      const misses = await readCounts(async () => {
        for (const id of ids.slice(0, 50)) await cache.getOrSet(['missing', id], () => id, { tags })
      })
      expect(misses.evalsha).toBe(2 * 50)
      expect((await readMany(300, 310)).evalsha).toBe(10)
    })

    it('is read by the script once a minute, which tells the time', async () => {
      let now = 1_000_000
      cache = await open({ memory: false, clock: () => now })
      await read()
      expect((await commandCounts(() => read())).evalsha).toBeUndefined()
      now += 60_001
      expect((await commandCounts(() => read())).evalsha).toBe(1)
      expect((await commandCounts(() => read())).evalsha).toBeUndefined()
    })
  })

  describe('takes for a miss, removes and counts', () => {
    const entry = () => `{${redis.namespace}}:e:key`
    const damage = async (part: string, other: string) => {
      const text = (await redis.client.get(entry())) as string
      expect(text).toContain(part)
      await redis.client.set(entry(), text.replace(part, other))
    }
    const garbage: Record<string, () => Promise<unknown>> = {
      'a foreign text': () => redis.client.set(entry(), 'foreign'),
      'foreign JSON': () => redis.client.set(entry(), '{"a":1}'),
      nothing: () => redis.client.set(entry(), ''),
      'damaged tags': () => damage('["tag"]', '["tag"}'),
      'tags that are no texts': () => damage('["tag"]', '[false]'),
      'a damaged header': () => damage('"default"', '"defaul""'),
      'a header of another kind': () => damage('"default"', '123456789'),
      'a header that is no list': async () => {
        const text = (await redis.client.get(entry())) as string
        const header = /(?<=\["tag"\])\[.*?\]/.exec(text)?.[0] as string
        await damage(header, `"${'x'.repeat(header.length - 2)}"`)
      },
      'a header of fewer fields': () => damage('0,0,"default"', '"0,defau"'),
      'a truncated payload': async () => {
        const length = await redis.client.strLen(entry())
        await redis.client.set(entry(), (await redis.client.getRange(entry(), 0, length - 4)) as string)
      },
      'an unknown codec': () => damage('"none"', '"lzma"'),
    }

    it.each(Object.entries(garbage))('%s', async (_what, write) => {
      const writer = await open()
      await writer.set('key', { a: 'value' }, { tags: ['tag'] })
      await write()
      const cache = await open()
      const errors: unknown[] = []
      cache.on('error', ({ operation, key }) => errors.push([operation, key]))
      expect(await cache.get('key')).toBeUndefined()
      expect(await redis.client.exists(entry())).toBe(0)
      expect(cache.stats().errorsByKind.decode).toBe(1)
      expect(errors).toEqual([['decode', 'key']])
      expect(cache.stats().store.state).toBe('up')
      await write().catch(() => {})
      expect(await cache.getOrSet('key', () => 'loaded')).toBe('loaded')
      expect(await (await open()).get('key')).toBe('loaded')
    })

    it('a value of another type at the key of a lease is no lease', async () => {
      const cache = await open()
      await redis.client.lPush(`{${redis.namespace}}:l:key`, 'foreign')
      // A holder would be waited for up to `timeouts.loadHard`, 30 seconds.
      expect(await cache.getOrSet('key', () => 'new', { tags: ['tag'] })).toBe('new')
      expect(await (await open()).get('key')).toBe('new')
    })

    it('half a character in a tag, as a text that was cut has', async () => {
      const [cache, other] = [await open(), await open({ memory: false })]
      const tag = `title:${'🙂'.slice(0, 1)}`
      const load = (value: string) => () => value
      await cache.getOrSet('key', load('old'), { tags: [tag, 'other'] })
      expect(await other.get('key')).toBe('old')
      expect(await other.getOrSet('key', load('new'), { tags: [tag] })).toBe('old')
      expect(await cache.getOrSet('key', load('new'), { tags: [tag] })).toBe('old')
      const before = await cache.stamps([tag])
      expect((await other.invalidateTags(tag)).propagated).toBe(true)
      expect(await cache.stamps([tag])).not.toEqual(before)
      expect(await other.get('key')).toBeUndefined()
      await until(async () => (await cache.get('key')) === undefined)
      expect(other.stats().errors).toBe(0)
    })

    it.each(['e:key', 'clock', 't:tag', 'l:key'])('nothing breaks when %s is of another type', async (key) => {
      const cache = await open()
      await cache.set('key', 'old', { tags: ['tag'] })
      await redis.client.del(`{${redis.namespace}}:${key}`)
      await redis.client.lPush(`{${redis.namespace}}:${key}`, 'foreign')
      const other = await open({ timeouts: { loadHard: '100ms' } })
      expect(await other.getOrSet('key', () => 'new', { tags: ['tag'] })).toBe(key === 'l:key' ? 'old' : 'new')
      expect((await other.invalidateTags('tag')).propagated).toBe(true)
      expect(await other.getOrSet('key', () => 'newer', { tags: ['tag'] })).toBe('newer')
    })
  })

  it('runs one load for 3 processes with 100 callers each', async () => {
    const processes = await Promise.all([open(), open(), open()])
    let loads = 0
    const load = async () => {
      await new Promise((resolve) => setTimeout(resolve, 50))
      return ++loads
    }
    const asked = processes.flatMap((cache) =>
      Array.from({ length: 100 }, () => cache.getOrSet('key', load, { tags: ['a'] })),
    )
    expect(new Set(await Promise.all(asked))).toEqual(new Set([1]))
    expect(loads).toBe(1)
  })

  it('lets another process load when the one that did has gone', async () => {
    const gone = await open()
    const cache = await open()
    void gone.getOrSet('key', () => new Promise(() => {})).catch(() => {})
    await until(() => redis.client.exists(`{${redis.namespace}}:l:key`))
    await gone.close()
    await redis.client.pExpire(`{${redis.namespace}}:l:key`, 1)
    expect(await cache.getOrSet('key', () => 'loaded')).toBe('loaded')
  })

  it('takes entries of another version, or that fail validation, for misses, and replaces them', async () => {
    const profile = (options: object) => ({ profiles: { users: { ttl: '1m', ...options } } }) as const
    const one = await open(profile({ version: 1 }))
    await one.set('key', { name: 'Ann' }, { profile: 'users' })
    const two = await open(profile({ version: 2 }))
    expect(await two.explain('key')).toEqual({ key: 'key', tier: 'none', reason: 'version' })
    expect(await two.get('key')).toBeUndefined()
    expect(await two.getOrSet('key', () => ({ full: 'Ann' }), { profile: 'users' })).toEqual({ full: 'Ann' })
    expect(two.stats().missesByReason.version).toBe(2)
    const strict = await open(profile({ version: 2, validate: (value: unknown) => typeof value === 'string' }))
    expect(await strict.getOrSet('key', () => 'Ann', { profile: 'users' })).toBe('Ann')
    const schema = {
      '~standard': {
        version: 1,
        vendor: 'test',
        validate: async (value: unknown) => (value === 'Bob' ? { value } : { issues: [1] }),
      },
    }
    const schematic = await open(profile({ version: 2, validate: schema }))
    expect(await schematic.getOrSet('key', () => 'Bob', { profile: 'users' })).toBe('Bob')
    expect(await (await open(profile({ version: 2 }))).get('key')).toBe('Bob')
  })

  it('serves a stale entry of the store at once while one process renews it', async () => {
    const options = { memory: false, profiles: { lists: { ttl: '50ms', stale: '1m', jitter: 0 } } } as const
    const [one, two] = await Promise.all([open(options), open(options)])
    const lists = { profile: 'lists', tags: ['a'] }
    await one.getOrSet('key', () => 'old', lists)
    await new Promise((resolve) => setTimeout(resolve, 60))
    let loads = 0
    const load = async () => {
      loads++
      await new Promise((resolve) => setTimeout(resolve, 100))
      return 'new'
    }
    const served = await Promise.all([one, one, two, two].map((cache) => cache.getOrSet('key', load, lists)))
    expect(served).toEqual(['old', 'old', 'old', 'old'])
    await until(async () => (await two.getOrSet('key', load, lists)) === 'new')
    expect(loads).toBe(1)
  })

  it('serves what is stale in memory while another process renews it, and then takes what that stored', async () => {
    const options = { profiles: { lists: { ttl: '50ms', stale: '1m', jitter: 0 } } } as const
    const [one, two] = await Promise.all([open(options), open(options)])
    const lists = { profile: 'lists', tags: ['a'] }
    const never = () => {
      throw new Error('the other process loads')
    }
    await one.getOrSet('key', () => 'old', lists)
    expect(await two.getOrSet('key', never, lists)).toBe('old')
    await new Promise((resolve) => setTimeout(resolve, 60))
    const { promise, open: finish } = gate<string>()
    expect(await one.getOrSet('key', () => promise, lists)).toBe('old')
    await until(() => redis.client.exists(`{${redis.namespace}}:l:key`))
    expect(await two.getOrSet('key', never, lists)).toBe('old')
    finish('new')
    await until(() => one.peek('key') === 'new')
    await until(async () => (await two.getOrSet('key', never, { ...lists, ttl: '1m' })) === 'new')
    expect(two.stats().loads).toBe(0)
  })

  it('compresses large values, and counts what that saves', async () => {
    const cache = await open({ memory: false })
    const rows = Array.from({ length: 500 }, (_, id) => ({ id, name: `user ${id}`, role: 'user' }))
    await cache.set('key', rows)
    const { codec, bytes } = await cache.explain('key')
    expect(codec).toMatch(/zstd|gzip/)
    expect(bytes).toBeLessThan(JSON.stringify(rows).length / 4)
    expect(await cache.get('key')).toEqual(rows)
    const { rawBytes, storedBytes } = cache.stats().compression
    expect(rawBytes).toBe(JSON.stringify(rows).length)
    expect(storedBytes).toBe(bytes)
  })

  describe('coherence of memory', () => {
    it('reaches other processes by message', async () => {
      const [one, two] = await Promise.all([open(), open()])
      for (const change of [
        () => one.invalidateTags('a'),
        () => one.delete('key'),
        () => one.clear(),
        () => one.set('key', 2),
      ]) {
        await one.getOrSet('key', () => 1, { tags: ['a'], fresh: true })
        expect(await two.getOrSet('key', () => 1, { tags: ['a'] })).toBe(1)
        expect(two.peek('key')).toBe(1)
        await change()
        await until(() => two.peek('key') === undefined, 1_000)
      }
    })

    it('holds within `coherence.within` when messages are lost', async () => {
      const within = 400
      const [one, two] = await Promise.all([open(), open({ coherence: { within: `${within}ms` } })])
      await one.getOrSet('key', () => 'old', { tags: ['a'] })
      await two.getOrSet('key', () => 'old', { tags: ['a'] })
      // The reader is deaf, and does not know.
      await redis.client.sendCommand(['ACL', 'SETUSER', 'default', 'resetchannels'])
      try {
        await redis.client.sendCommand(['CLIENT', 'KILL', 'TYPE', 'pubsub'])
        await one.invalidateTags('a').catch(() => {})
        const start = performance.now()
        while (performance.now() - start < within) {
          two.peek('key')
          await new Promise((resolve) => setTimeout(resolve, 10))
        }
        expect(two.peek('key')).toBeUndefined()
      } finally {
        await redis.client.sendCommand(['ACL', 'SETUSER', 'default', 'allchannels'])
      }
    })

    it('is kept up by one question in half of `coherence.within`, and measured', async () => {
      const cache = await open({ coherence: { within: '300ms' } })
      await cache.set('key', 1)
      const start = performance.now()
      while (performance.now() - start < 700) {
        expect(cache.peek('key')).toBe(1)
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
      expect(cache.stats().store.coherenceMs).toBeLessThan(300)
      expect(cache.stats().misses).toBe(0)
    })
  })

  it('shares a client that it was given with any number of other caches', async () => {
    const client = await connect(redis.url)
    const limit = client.getMaxListeners()
    const counts = () => client.eventNames().map((event) => [event, client.listenerCount(event)])
    const before = counts()
    const warnings: string[] = []
    const onWarning = ({ name }: Error) => warnings.push(name)
    process.on('warning', onWarning)
    const names = Array.from({ length: 15 }, (_, index) => `${redis.namespace}-${index}`)
    const caches = names.map((namespace) => createCache({ redis: client, namespace }))
    for (const cache of caches) expect(await cache.getOrSet('key', () => cache.name)).toBe(cache.name)
    await Promise.all(caches.map((cache) => cache.close()))
    // Node emits a warning in a later turn.
    await new Promise((resolve) => setImmediate(resolve))
    process.off('warning', onWarning)
    expect(warnings).toEqual([])
    expect(counts()).toEqual(before)
    expect(client.getMaxListeners()).toBe(limit)
    client.destroy()
  })

  it('asks Redis itself, also through a client with a cache of its own', async () => {
    const own = { url: redis.url, RESP: 3, clientSideCache: { ttl: 0, maxEntries: 100 } }
    const cache = await open({ redis: own, memory: false })
    await cache.set('key', 'old', { tags: ['a'] })
    const since = await cache.stamps(['a'])
    expect(since?.stamps).toEqual([expect.any(Number)])
    expect(await cache.stamps(['a'])).toEqual(since)
    expect(await cache.getOrSet('key', () => 'new', { tags: ['a'] })).toBe('old')
  })

  it('leaves a client alone that it was given', async () => {
    const own = await connect(redis.url)
    const cache = await open({ redis: own })
    await cache.set('key', 1)
    await cache.close()
    expect(await own.ping()).toBe('PONG')
    own.destroy()
  })

  it('uses a client that its user closes when the user connects it again, and not before', async () => {
    const own = await connect(redis.url)
    const cache = await open({ redis: own, breaker: { coolDown: '5ms' } })
    await own.close()
    await until(() => cache.stats().store.state === 'down')
    for (let turn = 0; turn < 20; turn++) {
      expect(await cache.getOrSet(['key', turn], () => turn)).toBe(turn)
      await new Promise((resolve) => setTimeout(resolve, 5))
      expect(own.isOpen).toBe(false)
    }
    await own.connect()
    await until(() => cache.set('key', 1))
    await cache.close()
    own.destroy()
  })

  it('renews its right to store a value for as long as the load takes', async () => {
    const cache = await open()
    const done = cache.getOrSet('key', () => new Promise((resolve) => setTimeout(resolve, 3_000, 'late')))
    await until(() => redis.client.exists(`{${redis.namespace}}:l:key`))
    // As if much of its time had passed: it ends before the load does, unless it is renewed.
    await redis.client.pExpire(`{${redis.namespace}}:l:key`, 2_800)
    expect(await done).toBe('late')
    expect(await (await open()).get('key')).toBe('late')
  })

  it('reads entries of profiles that it does not know', async () => {
    const writer = await open({ profiles: { users: { ttl: '1m', stale: '1m', jitter: 0 } } })
    await writer.set('key', 'Ann', { profile: 'users' })
    const cache = await open()
    expect(await cache.get('key')).toBe('Ann')
    expect(await cache.explain('other')).toEqual({ key: 'other', tier: 'none', reason: 'absent' })
  })

  it('counts what is stale for expired, when it is only looked at', async () => {
    const writer = await open({ memory: false })
    await writer.set('key', 'old', { ttl: '20ms', stale: '1m' })
    await new Promise((resolve) => setTimeout(resolve, 30))
    const cache = await open()
    expect(await cache.get('key')).toBeUndefined()
    expect(cache.stats().missesByReason.expired).toBe(1)
  })

  it('reads thousands of entries, with more tags than it remembers', async () => {
    const cache = await open({ memory: false })
    const long = Array.from({ length: 60 }, (_, index) => `a rather long name of a tag, number ${index}`)
    await cache.set('long', 1, { tags: long })
    const ids = Array.from({ length: 2_500 }, (_, id) => id)
    // A few hundred at a time: thousands at once would take longer than the deadline on a busy machine.
    const forAll = async <Result>(work: (id: number) => Promise<Result>) => {
      const results: Result[] = []
      for (let first = 0; first < ids.length; first += 250) {
        results.push(...(await Promise.all(ids.slice(first, first + 250).map(work))))
      }
      return results
    }
    await forAll((id) => cache.set(['id', id], id, { tags: ['a'] }))
    for (let round = 0; round < 3; round++) {
      expect(await cache.getOrSet('long', () => 2, { tags: long })).toBe(1)
      expect(await forAll((id) => cache.getOrSet(['id', id], () => -1, { tags: ['a'] }))).toEqual(ids)
    }
  })

  it('leaves no connection open that was being made when it is closed', async () => {
    const count = async () => String(await redis.client.sendCommand(['CLIENT', 'LIST'])).split('\n').length
    const before = await count()
    for (const source of [redis.url, redis.client]) {
      for (let turns = 0; turns < 40; turns++) {
        const cache = createCache({ redis: source as string, namespace: redis.namespace })
        for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate)
        await cache.close()
      }
    }
    await until(async () => (await count()) === before)
  })

  it('lets the process end that closes it before it is connected', async () => {
    const face = new URL('../../../src/cache/create-cache.ts', import.meta.url)
    const code = `import { createCache } from '${face}'
      await createCache({ redis: '${redis.url}' }).close()`
    await promisify(execFile)(process.execPath, ['--input-type=module', '-e', code], { timeout: 10_000 })
  })
})
