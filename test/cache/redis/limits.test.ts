import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { promisify } from 'node:util'
import { brotliCompressSync, zstdCompressSync } from 'node:zlib'
import { type CacheOptions, createCache } from 'posthaste'
import { describe, expect, it } from 'vitest'
import { freePort, type Server, startRedis } from '../../support/servers.ts'
import { services } from '../../support/services.ts'
import { until, useRedis } from '../support.ts'

describe.skipIf(!services.redis)('the limits of a cache on Redis', () => {
  const redis = useRedis('limits')
  const open = (options?: CacheOptions<string, string>) => redis.open(options)

  async function scriptCalls(work: () => Promise<unknown>): Promise<number> {
    await redis.client.sendCommand(['CONFIG', 'RESETSTAT'])
    await work()
    return Number(/cmdstat_evalsha:calls=(\d+)/.exec(await redis.client.info('commandstats'))?.[1] ?? 0)
  }

  /** Leases of more would expire on a machine that is busy for seconds; raise it to look further. */
  const many = Number(process.env.IDS ?? 3_000)

  it(`reads, loads and stores ${many} ids in groups`, async () => {
    const cache = await open({ memory: false, timeouts: { store: '5s' } })
    const ids = Array.from({ length: many }, (_, id) => id)
    const key = (id: number) => ['id', id]
    const tags = (id: number) => [`id:${id}`]
    const loads: number[] = []
    const load = (missing: readonly number[]) => {
      loads.push(missing.length)
      return new Map(missing.map((id) => [id, id]))
    }
    const calls = await scriptCalls(async () => {
      const found = await cache.getOrSetMany(ids, load, { key, tags })
      expect([...found.values()]).toEqual(ids)
    })
    expect(loads.reduce((sum, size) => sum + size)).toBe(many)
    // Groups of 250 to read and to write, and what a group split by a turn of the loop adds.
    expect(calls).toBeLessThan((4 * many) / 250)
    expect(cache.stats()).toMatchObject({ errors: 0, store: { state: 'up' } })
    await cache.getOrSetMany(ids, () => new Map(), { key, tags })
    expect(cache.stats().loads).toBe(many)
  })

  it.each([1, 999, 1_001, 7_999, 8_001, 20_000])(
    'stores, reads and invalidates an entry with %i tags',
    async (size) => {
      const tags = Array.from({ length: size }, (_, index) => `tag:${index}`)
      const [one, two] = await Promise.all([open({ timeouts: { store: '5s' } }), open({ timeouts: { store: '5s' } })])
      await one.getOrSet('loaded', () => 1, { tags })
      expect(await one.set('set', 1, { tags })).toBe(true)
      expect(await two.getMany(['loaded', 'set'])).toEqual([1, 1])
      expect((await one.invalidateTags(...tags)).propagated).toBe(true)
      const three = await open({ timeouts: { store: '5s' } })
      expect(await three.getMany(['loaded', 'set'])).toEqual([undefined, undefined])
      expect(one.stats().errors).toBe(0)
    },
  )

  it('takes a refused value for no outage', async () => {
    const cache = await open({ memory: false })
    await cache.set('key', 'old')
    // Redis refuses a value that is longer than this.
    await redis.client.sendCommand(['CONFIG', 'SET', 'maxmemory', '1', 'maxmemory-policy', 'noeviction'])
    try {
      expect(await cache.set('key', 'new')).toBe(false)
      expect(cache.stats().errorsByKind.OOM).toBeGreaterThan(0)
    } finally {
      await redis.client.sendCommand(['CONFIG', 'SET', 'maxmemory', '0'])
    }
    await until(() => cache.stats().store.state === 'up')
    expect(await cache.get('key')).toBeUndefined()
  })

  it('stops asking a hung Redis after one flood of timeouts', async () => {
    const own = (await startRedis()) as Server
    const cache = createCache({ redis: own.url, namespace: redis.namespace, breaker: { coolDown: '1m' } })
    try {
      await cache.explain('warm')
      own.process.kill('SIGSTOP')
      await Promise.all(Array.from({ length: 200 }, (_, id) => cache.getOrSet(['id', id], () => id)))
      expect(cache.stats().store.state).toBe('down')
      expect(cache.stats().errorsByKind.timeout).toBe(1)
      await cache.getOrSet('next', () => 1)
      expect(cache.stats().errorsByKind).toMatchObject({ timeout: 1, refused: 1 })
    } finally {
      own.process.kill('SIGCONT')
      await cache.close()
      await own.stop()
    }
  })

  describe('refuses to read', () => {
    const entry = () => `{${redis.namespace}}:e:key`

    /** Puts another payload into an entry that is there. */
    async function plant(payload: Buffer, codec: string, rawBytes: number, format: string): Promise<void> {
      const writer = await open()
      await writer.set('key', 'value')
      const text = (await redis.client.get(entry())) as string
      const [, stamps, lifetimes, tags] = /^(P2\.\d+\.\w+\.\d+)\.(\d+\.\d+)\.\d+\.\d+\.(\[.*?\])\[/.exec(
        text,
      ) as never as string[]
      const header = JSON.stringify([300_000, 0, 0, 'default', '', format, codec, rawBytes])
      const prefix = `${stamps}.${lifetimes}.${tags?.length}.${header.length}.${tags}${header}`
      await redis.client.set(entry(), Buffer.concat([Buffer.from(prefix), payload]) as never)
    }

    const many = (item: string, times: number) => Buffer.from(`[${`${item},`.repeat(times)}${item}]`)
    const marked = (json: string) => {
      const length = Buffer.alloc(4)
      length.writeUInt32BE(json.length)
      return Buffer.concat([length, Buffer.from(json)])
    }
    const bombs: Record<string, [raw: Buffer, format: string]> = {
      'millions of empty objects': [many('{}', 5_000_000), 'json'],
      'millions of empty arrays': [many('[]', 5_000_000), 'json'],
      'millions of numbers': [many('1', 8_000_000), 'json'],
      'a long text': [Buffer.from(`"${'a'.repeat(70_000_000)}"`), 'json'],
      'many bytes': [Buffer.alloc(70_000_000), 'bytes'],
      'a bigint of a million digits': [marked(`{"$":["bigint","${'9'.repeat(1_000_000)}"]}`), 'marked'],
      'marked objects': [marked(`{"$":["set",${many('{}', 5_000_000)}]}`), 'marked'],
    }

    it.each(Object.entries(bombs))('%s, however small when compressed', async (_what, [raw, format]) => {
      const isZstd = typeof zstdCompressSync === 'function'
      const packed = isZstd ? zstdCompressSync(raw) : brotliCompressSync(raw)
      await plant(packed, isZstd ? 'zstd' : 'brotli', raw.length, format)
      const cache = await open({ timeouts: { store: '5s' }, memory: { maxBytes: 64 * 1024 * 1024 } })
      const before = process.memoryUsage().heapUsed
      expect(await cache.get('key')).toBeUndefined()
      expect(process.memoryUsage().heapUsed - before).toBeLessThan(200_000_000)
      expect(cache.stats().errorsByKind.decode).toBe(1)
      expect(await redis.client.exists(entry())).toBe(0)
    })
  })

  it('does not store what it would refuse to read', async () => {
    const cache = await open({ memory: { maxBytes: 100_000 } })
    const errors: unknown[] = []
    cache.on('error', ({ operation }) => errors.push(operation))
    const large = Array.from({ length: 10_000 }, (_, id) => ({ id }))
    expect(await cache.getOrSet('large', () => large)).toBe(large)
    expect(await cache.getOrSet('digits', () => 10n ** 20_000n)).toBe(10n ** 20_000n)
    expect(errors).toEqual(['encode', 'encode'])
    const other = await open()
    expect(await other.getMany(['large', 'digits'])).toEqual([undefined, undefined])
    expect(await other.getOrSet('digits', () => 10n ** 9_000n)).toBe(10n ** 9_000n)
    expect(await (await open()).get('digits')).toBe(10n ** 9_000n)
  })
})

describe.skipIf(!services.redis)('close() of a cache', { concurrent: true }, () => {
  const face = new URL('../../../src/cache/create-cache.ts', import.meta.url)
  /** Runs in a process that must end by itself. */
  async function run(url: string, body: string): Promise<void> {
    const code = `import { createCache } from '${face}'
      const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
      const cache = createCache({ redis: '${url}' })
      ${body}`
    await promisify(execFile)(process.execPath, ['--input-type=module', '-e', code], { timeout: 50_000 })
  }

  const moments = [0, 30, 120, 700]

  it.each(moments)('%i ms after it was made lets the process end, with nothing at the address', async (ms) => {
    await run(
      `redis://127.0.0.1:${await freePort()}`,
      `cache.getOrSet('key', () => 1).catch(() => {}); await sleep(${ms}); await cache.close()`,
    )
  })

  it.each(moments)('%i ms after it was made lets the process end, with a server that never answers', async (ms) => {
    const deaf = createServer((socket) => socket.on('error', () => {}))
    deaf.listen(0, '127.0.0.1')
    await once(deaf, 'listening')
    try {
      const url = `redis://127.0.0.1:${(deaf.address() as AddressInfo).port}`
      await run(url, `cache.getOrSet('key', () => 1).catch(() => {}); await sleep(${ms}); await cache.close()`)
    } finally {
      deaf.close()
    }
  })

  it.each(moments)('lets the process end %i ms after Redis was killed', async (ms) => {
    const server = (await startRedis()) as Server
    await run(
      server.url,
      `await cache.getOrSet('key', () => 1); process.kill(${server.process.pid}, 'SIGKILL'); cache.getOrSet('other', () => 1).catch(() => {});
      await sleep(${ms}); await cache.close()`,
    )
    await server.stop()
  })
})
