import { PGlite } from '@electric-sql/pglite'
import { Keyv as Keyv5 } from 'keyv'
import { createCache, type KeyvLike, type LoadContext } from 'posthaste'
import { describe, expect, it } from 'vitest'
import { Keyv as Keyv6 } from '../../support/keyv6/node_modules/keyv/dist/index.mjs'
import { gate, localStores, until } from '../support.ts'

const never = () => new Promise<never>(() => {})
const fail = async () => {
  throw new Error('the disk is full')
}
const failAtOnce = () => {
  throw new Error('not even a promise')
}

/** Stores that break in every way there is. */
const broken: Record<string, KeyvLike> = {
  'never answers': { get: never, set: never, delete: never },
  rejects: { get: fail, set: fail, delete: fail },
  throws: { get: failAtOnce, set: failAtOnce, delete: failAtOnce },
  'answers with objects': { get: async () => ({ value: 1 }), set: async () => true, delete: async () => true },
  'answers with numbers': { get: async () => 5, set: async () => false, delete: async () => 'yes' },
  'answers with foreign text': {
    get: async () => 'foreign',
    set: async () => undefined,
    delete: async () => undefined,
  },
  'forgets all': { get: async () => undefined, set: async () => true, delete: async () => false },
  'takes nothing': { get: async () => undefined, set: fail, delete: async () => true },
}

describe.each(Object.entries(broken))('a store that %s', (_how, store) => {
  it('fails and hangs no call', async () => {
    const cache = createCache({ store, timeouts: { store: '50ms' }, breaker: { coolDown: '10ms' } })
    const start = performance.now()
    for (let round = 0; round < 10; round++) {
      expect(await cache.getOrSet(['key', round], () => `value ${round}`, { tags: ['a'] })).toBe(`value ${round}`)
      await cache.get('key')
      await cache.set('set', round)
      await cache.invalidateTags('a')
      await cache.delete('key')
      await cache.getMany(['a', 'b'])
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    expect(performance.now() - start).toBeLessThan(6_000)
    await cache.close()
  })
})

describe('a store that fails at its n-th call', () => {
  it('never makes a wrong value, whichever n', async () => {
    for (let failing = 1, isClean = false; !isClean; failing++) {
      let calls = 0
      const records = new Map<string, string>()
      const count = <Result>(work: () => Result): Result => {
        if (++calls === failing) throw new Error(`call ${failing} fails`)
        return work()
      }
      const store = {
        get: async (key: string) => count(() => records.get(key)),
        set: async (key: string, value: string) => count(() => void records.set(key, value)),
        delete: async (key: string) => count(() => records.delete(key)),
      }
      const cache = createCache({ store, memory: false, breaker: { coolDown: '1ms' } })
      let version = 1
      const read = () => cache.getOrSet('key', () => version, { tags: ['a'] })
      expect(await read()).toBe(1)
      version = 2
      await cache.invalidateTags('a')
      expect(await read()).toBe(2)
      version = 3
      await cache.delete('key')
      expect(await read()).toBe(3)
      await until(() => cache.stats().store.queuedInvalidations === 0)
      expect(await read()).toBe(3)
      isClean = calls < failing
      expect(cache.stats().errors > 0).toBe(!isClean)
      await cache.close()
    }
  })
})

describe('a store that has missed more changes than are remembered', () => {
  it('is cleared once it is back', async () => {
    const map = new Map<string, string>()
    let isDown = false
    const onMap = (work: () => unknown) => async () => {
      if (isDown) throw new Error('down')
      return work()
    }
    const store: KeyvLike = {
      get: (key: string) => onMap(() => map.get(key))() as Promise<string>,
      set: (key: string, value: string) => onMap(() => map.set(key, value))(),
      delete: (key: string) => onMap(() => map.delete(key))() as Promise<boolean>,
    }
    const cache = createCache({ store, memory: false, breaker: { coolDown: '10ms' } })
    await cache.set('key', 'value', { tags: ['a'] })
    expect(await cache.get('key')).toBe('value')
    isDown = true
    const tags = Array.from({ length: 10_000 }, (_, index) => `tag ${index}`)
    expect(await cache.invalidateTags('one more', ...tags)).toEqual({ propagated: false, queued: true })
    expect(cache.stats().store.queuedInvalidations).toBe(1)
    await cache.invalidateTags('a')
    isDown = false
    await until(() => cache.stats().store.queuedInvalidations === 0)
    expect(await cache.get('key')).toBeUndefined()
    await cache.close()
  })
})

describe('a store that goes down while it is being told of the end of a load', () => {
  it('keeps the end of another load waiting no longer', async () => {
    const records = new Map<string, string>()
    const hanging = gate()
    let [isHanging, isTold, isDown] = [false, false, false]
    const store: KeyvLike = {
      async get(key: string) {
        if (isDown) throw new Error('down')
        return records.get(key)
      },
      async set(key: string, value: string) {
        isTold = isHanging
        if (isHanging) await hanging.promise
        records.set(key, value)
      },
      delete: async (key: string) => records.delete(key),
    }
    const cache = createCache({ store, memory: false, timeouts: { store: '1m' } })
    await cache.set('first', 1)
    await cache.set('second', 1)
    const values = { first: gate<number>(), second: gate<number>() }
    // With `skip`, the end of a load deletes the older value from the store.
    const load = (key: 'first' | 'second') => (ctx: LoadContext) => {
      ctx.skip()
      return values[key].promise
    }
    const first = cache.getOrSet('first', load('first'), { fresh: true })
    const second = cache.getOrSet('second', load('second'), { fresh: true })
    await until(() => cache.stats().loads === 2)
    isHanging = true
    values.first.open(2)
    await until(() => isTold)
    isDown = true
    await cache.get('other')
    expect(cache.stats().store.state).toBe('down')
    values.second.open(3)
    expect(await second).toBe(3)
    hanging.open()
    expect(await first).toBe(2)
    await cache.close()
  })
})

describe('a store that does not answer while a lease is being given back', () => {
  it('keeps close() waiting for a few seconds at most, whatever `timeouts.store` is', async () => {
    const records = new Map<string, string>()
    let isHanging = false
    const store: KeyvLike = {
      get: async (key: string) => records.get(key),
      set: async (key: string, value: string) => (isHanging ? never() : void records.set(key, value)),
      delete: async (key: string) => records.delete(key),
    }
    const cache = createCache({ store, memory: false, timeouts: { store: '1m' } })
    await cache.set('key', 1)
    isHanging = true
    const answer = cache.getOrSet('key', (ctx) => ctx.skip(), { fresh: true })
    await until(() => cache.stats().loads === 1)
    await cache.close()
    expect(await Promise.race([answer, 'not answered'])).toBe('not answered')
  }, 15_000)
})

describe('a slow store that was down', () => {
  it('is used again although changes go on without a pause', async () => {
    let isDown = true
    const slowly = async <Result>(work: () => Result): Promise<Result> => {
      await new Promise((resolve) => setTimeout(resolve, 10))
      if (isDown) throw new Error('down')
      return work()
    }
    const records = new Map<string, string>()
    const store = {
      get: (key: string) => slowly(() => records.get(key)),
      set: (key: string, value: string) => slowly(() => void records.set(key, value)),
      delete: (key: string) => slowly(() => records.delete(key)),
    }
    const cache = createCache({ store, breaker: { coolDown: '20ms' } })
    await cache.invalidateTags('first')
    isDown = false
    const changes: Promise<unknown>[] = []
    await until(() => {
      changes.push(cache.invalidateTags(`tag ${changes.length}`), cache.set('key', changes.length))
      return cache.stats().store.state === 'up'
    }, 2_000)
    await Promise.all(changes)
    expect(cache.stats().store.queuedInvalidations).toBe(0)
    await cache.close()
  })
})

describe('a store that takes different keys for one', () => {
  const ofAnyCase = new Map<string, string>()
  const alike: Record<string, [KeyvLike, string, string]> = {
    'Keyv 6 that sanitizes keys': [new Keyv6({ sanitize: { keys: true } }), 'a;b', 'ab'],
    'a table whose collation ignores case': [
      {
        get: (key) => ofAnyCase.get(key.toLowerCase()),
        set: (key: string, value: string) => ofAnyCase.set(key.toLowerCase(), value),
        delete: (key) => ofAnyCase.delete(key.toLowerCase()),
      },
      'Ann',
      'ann',
    ],
  }

  it.each(Object.entries(alike))('never gives one the value of the other: %s', async (_store, [store, one, other]) => {
    const cache = createCache({ store, memory: false })
    expect(await cache.getOrSet(one, () => one)).toBe(one)
    expect(await cache.get(other)).toBeUndefined()
    expect(await cache.getMany([other, one])).toEqual([undefined, one])
    expect(await cache.getOrSet(other, () => other)).toBe(other)
    expect(await cache.getOrSet(one, () => one)).toBe(one)
    await cache.set(other, 2)
    expect(await cache.has(one)).toBe(false)
    expect(await cache.get(other)).toBe(2)
    await cache.close()
  })
})

describe('a store that takes more than 30 days for a date of long ago, as Memcached does', () => {
  it.each(['29d', '31d', '400d'] as const)('keeps what lives for %s', async (ttl) => {
    const records = new Map<string, string>()
    const store = {
      get: async (key: string) => records.get(key),
      set: async (key: string, text: string, ms: number) => {
        if (ms <= 30 * 24 * 3_600_000) records.set(key, text)
        else records.delete(key)
      },
      delete: async (key: string) => records.delete(key),
    }
    const cache = createCache({ store, memory: false, profiles: { default: { ttl, stale: ttl, jitter: 0 } } })
    expect(await cache.getOrSet('key', () => 1, { tags: ['a'] })).toBe(1)
    expect(await cache.getOrSet('key', () => 2, { tags: ['a'] })).toBe(1)
    await cache.close()
  })
})

describe('a store on a table of PostgreSQL', () => {
  it('takes keys and tags of any length and characters, and stays up for others when it refuses a value', async () => {
    const database = new PGlite()
    await database.exec('create table records (key varchar(255) primary key, value varchar(20000))')
    const query = async (sql: string, values: string[]) => (await database.query<{ value: string }>(sql, values)).rows
    const store: KeyvLike = {
      get: async (key) => (await query('select value from records where key = $1', [key]))[0]?.value,
      set: (key, value) =>
        query('insert into records values ($1, $2) on conflict (key) do update set value = excluded.value', [
          key,
          value,
        ]),
      delete: (key) => query('delete from records where key = $1', [key]),
    }
    const cache = createCache({ store, memory: false, compression: false, timeouts: { store: '5s' } })
    const states: string[] = []
    cache.on('state', ({ state }) => states.push(state))
    for (const text of ['search:\0', 'line\n', 'k'.repeat(200), `${'k'.repeat(199)}\ud800`, ' ', "it's", 'ü😀']) {
      const options = { tags: [text, `${text}`.repeat(2)] }
      expect(await cache.getOrSet(text, () => 1, options)).toBe(1)
      expect(await cache.getOrSet(text, () => 2, options)).toBe(1)
      expect(await cache.invalidateTags(text)).toEqual({ propagated: true, queued: false })
      expect(await cache.getOrSet(text, () => 3, options)).toBe(3)
      expect(await cache.delete(text)).toEqual({ propagated: true, queued: false })
      expect(await cache.get(text)).toBeUndefined()
    }
    expect(cache.stats().errors).toBe(0)
    expect(await cache.getOrSet('large', () => 'x'.repeat(30_000))).toHaveLength(30_000)
    expect(await cache.set('large', 'x'.repeat(30_000))).toBe(false)
    expect(cache.stats().errorsByKind).toMatchObject({ write: 2, connection: 0 })
    expect(await cache.set('small', 1)).toBe(true)
    expect(states).toEqual([])
    await cache.close()
    await database.close()
  })
})

describe('Keyv instances', () => {
  it('tell of a record that they cannot read, which is then replaced', async () => {
    const [five] = localStores()
    const { options } = await (five as NonNullable<typeof five>).open()
    const cache = createCache({ ...options, namespace: 'keyv', memory: false })
    await cache.set('key', 'value')
    const inner = (options.store as unknown as { store: Map<string, string> }).store
    const record = [...inner.keys()].find((key) => key.includes('e:key')) as string
    inner.set(record, 'not JSON')
    expect(await cache.get('key')).toBeUndefined()
    expect(await cache.getOrSet('key', () => 'again')).toBe('again')
    expect(await cache.get('key')).toBe('again')
    await cache.close()
  })

  it('of the fifth major find the readable ones among many, over an adapter that reads many', async () => {
    const map = new Map<string, string>()
    const adapter = {
      opts: {},
      get: async (key: string) => map.get(key),
      getMany: async (keys: string[]) => keys.map((key) => map.get(key)),
      set: async (key: string, value: string) => void map.set(key, value),
      delete: async (key: string) => map.delete(key),
      clear: async () => map.clear(),
      on: () => adapter,
    }
    const cache = createCache({ store: new Keyv5({ store: adapter as never }), namespace: 'many', memory: false })
    await cache.set('good', 'value')
    await cache.set('bad', 'value')
    for (const key of map.keys()) if (key.includes('e:bad')) map.set(key, '{"value":')
    expect(await cache.getMany(['good', 'bad', 'none'])).toEqual(['value', undefined, undefined])
    expect(await cache.getOrSet('bad', () => 'again')).toBe('again')
    await cache.close()
  })
})
