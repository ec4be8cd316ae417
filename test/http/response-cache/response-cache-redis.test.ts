import zlib from 'node:zlib'
import { type Cache, createCache } from 'posthaste'
import { afterEach, describe, expect, it } from 'vitest'
import { type Answering, ask } from '../../support/answering.ts'
import { caching } from '../../support/caching.ts'
import { services } from '../../support/services.ts'

const rows = JSON.stringify(Array.from({ length: 200 }, (_, id) => ({ id, name: `Üser ${id}` })))
const type = 'application/json; charset=utf-8'

describe.skipIf(!services.redis).each(Object.entries(caching))('with Redis, on %s', (name, startServer) => {
  const closing: (() => Promise<unknown>)[] = []
  let runs = 0
  let now = Date.now()
  let lifetime: string | undefined

  afterEach(async () => {
    runs = 0
    lifetime = undefined
    for (const close of closing.splice(0).reverse()) await close()
  })

  /** A server with a cache of its own, as in another process, that shares the store. */
  async function start(): Promise<{ cache: Cache; server: Answering }> {
    const cache = createCache({
      redis: services.redis,
      namespace: `responses-${process.pid}-${name.replaceAll(' ', '-')}`,
      profiles: { default: { ttl: '1m', jitter: 0 } },
    }) as unknown as Cache
    closing.push(() => cache.close())
    const answer = () => {
      runs++
      const headers = { 'content-type': type, vary: 'Accept-Language', 'x-total-count': '200', 'x-run': String(runs) }
      return { headers: { ...headers, ...(lifetime !== undefined && { 'cache-control': lifetime }) }, body: rows }
    }
    const server = await startServer(cache, answer, { tags: ['users'], clock: () => now })
    closing.push(server.close)
    return { cache, server }
  }

  it('answers in each process what another has stored and encoded, until its tag is invalidated', async () => {
    const [first, second] = [await start(), await start()]
    await first.cache.invalidateTags('users' as never)
    const headers = { 'accept-encoding': 'br' }
    const stored = await ask(first.server.port, { path: '/users', headers: { ...headers, host: 'x' } })
    expect(stored.headers['cache-status']).toBe('posthaste; fwd=miss; stored')

    const { loads } = second.cache.stats()
    const found = await ask(second.server.port, { path: '/users', headers: { ...headers, host: 'x' } })
    expect(found.headers).toMatchObject({
      'cache-status': 'posthaste; hit',
      'content-encoding': 'br',
      'content-type': type,
      etag: stored.headers.etag,
      'x-total-count': '200',
      vary: 'Accept-Language, Accept-Encoding',
    })
    expect(zlib.brotliDecompressSync(found.body).toString()).toBe(rows)
    expect([runs, second.cache.stats().loads]).toEqual([1, loads])
    const condition = { ...headers, host: 'x', 'if-none-match': stored.headers.etag as string }
    expect((await ask(second.server.port, { path: '/users', headers: condition })).status).toBe(304)

    await second.cache.invalidateTags('users' as never)
    await expect
      .poll(
        async () => (await ask(first.server.port, { path: '/users', headers: { host: 'x' } })).headers['cache-status'],
      )
      .toBe('posthaste; fwd=miss; stored')
    expect(runs).toBe(2)
  })

  it('renews an answer that is past its own lifetime, once in each process', async () => {
    lifetime = 'max-age=10, stale-while-revalidate=30'
    const servers = [(await start()).server, (await start()).server]
    const [first, second] = servers as [Answering, Answering]
    const headers = { host: 'stale' }
    const runOf = async ({ port }: Answering) => (await ask(port, { path: '/stale', headers })).headers['x-run']
    expect([await runOf(first), await runOf(second)]).toEqual(['1', '1'])

    now += 11_000
    // Fastify renews by the request itself.
    expect(await runOf(second)).toBe(name === 'Fastify' ? '2' : '1')
    await expect.poll(() => runOf(second)).toBe('2')
    await expect.poll(() => runOf(first)).not.toBe('1')
    const renewed = await runOf(first)
    expect([await runOf(first), await runOf(second)]).toEqual([renewed, '2'])
    expect(runs).toBeLessThanOrEqual(3)
  })
})
