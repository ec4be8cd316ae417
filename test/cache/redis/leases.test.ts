import { setImmediate } from 'node:timers/promises'
import type { Cache, CacheOptions } from 'posthaste'
import { describe, expect, it } from 'vitest'
import { services } from '../../support/services.ts'
import { gate, until, useRedis } from '../support.ts'

describe.skipIf(!services.redis)('the lease of a load', () => {
  const redis = useRedis('leases')
  const open = (options?: CacheOptions<string, string>) => redis.open(options)

  const leaseKey = () => `{${redis.namespace}}:l:key`

  /** A load of `key` in a process of its own that goes on until the gate is opened. */
  async function startLoad(tags: readonly string[], named: readonly string[] = []) {
    const holder = await open()
    const finish = gate<string>()
    const answer = holder.getOrSet(
      'key',
      (ctx) => {
        ctx.tag(...(named as []))
        return finish.promise
      },
      { tags: tags as [] },
    )
    await until(() => redis.client.exists(leaseKey()))
    return { holder, answer, finish }
  }

  interface Case {
    /** Tags of the load that is under way, in its options and named while it runs. */
    readonly tags?: string[]
    readonly named?: string[]
    readonly readerTags?: string[]
    readonly storedTags?: string[]
    readonly outdate: (cache: Cache) => Promise<unknown>
  }

  const outdating: Record<string, Case> = {
    'a tag that the reader names was invalidated': {
      readerTags: ['a'],
      outdate: (cache) => cache.invalidateTags('a' as never),
    },
    'a tag of the load was invalidated': { tags: ['a'], outdate: (cache) => cache.invalidateTags('a' as never) },
    'a tag of the stored entry was invalidated': {
      storedTags: ['a'],
      outdate: (cache) => cache.invalidateTags('a' as never),
    },
    'a tag that the load has named was invalidated, once the lease was renewed': {
      named: ['a'],
      outdate: async (cache) => {
        await until(async () => ((await redis.client.get(leaseKey())) ?? '').endsWith('["a"]'))
        return cache.invalidateTags('a' as never)
      },
    },
    'everything was cleared': { outdate: (cache) => cache.clear() },
    'the clock was lost': { outdate: () => redis.client.del(`{${redis.namespace}}:clock`) },
    'the key was deleted': { outdate: (cache) => cache.delete('key') },
  }

  const cases = Object.entries(outdating).flatMap(([what, given]) => [
    { what, reader: 'with memory', memory: undefined, ...given },
    { what, reader: 'without memory', memory: false as const, ...given },
  ])

  it.each(cases)(
    'gives way when $what, to a reader $reader',
    async ({ what, memory, tags = [], named = [], readerTags = [], storedTags, outdate }) => {
      const [reader, other] = await Promise.all([open({ memory }), open()])
      if (storedTags !== undefined) {
        await other.set('key', 'expired', { tags: storedTags as [], ttl: '1ms', stale: '1h' })
      }
      const { holder, answer, finish } = await startLoad(tags, named)
      const heard = new Promise((resolve) => reader.on('invalidate', resolve))
      await outdate(other)
      if (what !== 'the clock was lost') await heard
      // The other load is still under way.
      const read = reader.getOrSet('key', () => 'new', { tags: readerTags as [] })
      expect(await read).toBe('new')
      finish.open('old')
      if (storedTags === undefined) expect(await answer).toBe('old')
      await until(() => holder.peek('key') === undefined)
      // A reader that finds the clock lost cannot tell when that was, and stores nothing yet.
      expect(await (await open()).get('key')).toBe(what === 'the clock was lost' ? undefined : 'new')
    },
  )

  it('stands while 100 other tags are invalidated: one load for all processes', async () => {
    const [reader, other] = await Promise.all([open(), open()])
    const { holder, answer, finish } = await startLoad(['a'])
    const load = () => 'another'
    const reads = [reader.getOrSet('key', load, { tags: ['a'] }), reader.getOrSet('key', load)]
    for (let id = 0; id < 100; id++) await other.invalidateTags(`other:${id}` as never)
    reads.push(other.getOrSet('key', load, { tags: ['a'] }))
    for (let id = 0; id < 20; id++) await other.invalidateTags(`other:${id}` as never)
    finish.open('one')
    expect(await Promise.all([answer, ...reads])).toEqual(['one', 'one', 'one', 'one'])
    expect([holder, reader, other].map((cache) => cache.stats().loads)).toEqual([1, 0, 0])
  })

  it('is taken over by one reader, for whom the others wait', async () => {
    const readers = await Promise.all([open(), open(), open()])
    const { finish } = await startLoad(['a'])
    await (readers[0] as Cache).invalidateTags('a' as never)
    let loads = 0
    const load = async () => {
      loads++
      await new Promise((resolve) => setTimeout(resolve, 50))
      return 'new'
    }
    const read = () => Promise.all(readers.map((cache) => cache.getOrSet('key', load, { tags: ['a'] })))
    expect(await read()).toEqual(['new', 'new', 'new'])
    finish.open('old')
    expect(await read()).toEqual(['new', 'new', 'new'])
    expect(loads).toBe(1)
  })

  it('is given back once Redis answers again, if Redis was away when its value should have been stored', async () => {
    const { holder, answer, finish } = await startLoad([])
    holder.on('state', ({ state }) => state === 'down' && finish.open('not stored'))
    await redis.client.sendCommand(['CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes'])
    expect(await answer).toBe('not stored')
    const startedAt = performance.now()
    expect(await (await open()).getOrSet('key', () => 'new')).toBe('new')
    // A lease lives for five seconds.
    expect(performance.now() - startedAt).toBeLessThan(4_000)
  })

  it('is given back by the close of its cache, before Redis grants it, as it does, and while the load runs', async () => {
    const reader = await open()
    const loaded: string[] = []
    for (let turns = 0; turns < 40; turns++) {
      const closing = await open()
      const key = `closed after ${turns} turns of the event loop`
      const answer = closing.getOrSet(key, () => {
        loaded.push(key)
        return new Promise<never>(() => {})
      })
      for (let turn = 0; turn < turns; turn++) await setImmediate()
      await Promise.all([closing.close(), expect(answer).rejects.toThrow('was closed')])
      expect(await redis.client.exists(`{${redis.namespace}}:l:${key}`), key).toBe(0)
      expect(await reader.getOrSet(key, () => 'new')).toBe('new')
      const begun = loaded.includes(key) ? 1 : 0
      expect(closing.stats(), key).toMatchObject({ loads: begun, loadErrors: begun })
    }
    expect(loaded.length).toBeGreaterThan(0)
    expect(loaded.length).toBeLessThan(40)
  })

  it('is given back when a second `close()` resolves, too: the application may end its client then', async () => {
    const closing = await open()
    const begun = Promise.withResolvers<void>()
    const answer = closing.getOrSet('key', () => {
      begun.resolve()
      return new Promise<never>(() => {})
    })
    answer.catch(() => {})
    await begun.promise

    let isFirstDone = false
    void closing.close().then(() => {
      isFirstDone = true
    })
    await closing.close()

    expect(isFirstDone).toBe(true)
    expect(await redis.client.exists(`{${redis.namespace}}:l:key`)).toBe(0)
  })

  it('is given back by callers that leave before it is granted, and nothing is loaded for them', async () => {
    const cache = await open()
    const leaving = new AbortController()
    let loads = 0
    const answer = cache.getOrSet('key', () => ++loads, { signal: leaving.signal })
    leaving.abort(new Error('left'))
    await expect(answer).rejects.toThrow('left')
    expect(await (await open()).getOrSet('key', () => 'new')).toBe('new')
    expect(loads).toBe(0)
    expect(cache.stats()).toMatchObject({ loads: 0, loadErrors: 0 })
  })

  it('of release 0.1 never gives way, and is respected until it is given back', async () => {
    const cache = await open()
    await cache.set('other', 1, { tags: ['a'] })
    await redis.client.set(leaseKey(), 'f00dticket1')
    await cache.invalidateTags('a' as never)
    await cache.clear()
    let loads = 0
    const read = cache.getOrSet('key', () => ++loads, { tags: ['a'] })
    await redis.client.sendCommand(['CONFIG', 'RESETSTAT'])
    // It asks again and again.
    await until(
      async () => Number(/cmdstat_evalsha:calls=(\d+)/.exec(await redis.client.info('commandstats'))?.[1]) > 4,
    )
    expect(loads).toBe(0)
    expect(await redis.client.get(leaseKey())).toBe('f00dticket1')
    await redis.client.del(leaseKey())
    expect(await read).toBe(1)
  })
})
