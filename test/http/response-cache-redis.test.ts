import zlib from 'node:zlib'
import { type Cache, createCache } from 'posthaste'
import { afterEach, describe, expect, it } from 'vitest'
import { type Answering, ask } from '../support/answering.ts'
import { caching } from '../support/caching.ts'
import { services } from '../support/services.ts'

const rows = JSON.stringify(Array.from({ length: 200 }, (_, id) => ({ id, name: `Üser ${id}` })))
const type = 'application/json; charset=utf-8'

describe.skipIf(!services.redis).each(Object.entries(caching))('with Redis, on %s', (name, startServer) => {
  const closing: (() => Promise<unknown>)[] = []
  let runs = 0

  afterEach(async () => {
    runs = 0
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
      return { headers: { 'content-type': type, vary: 'Accept-Language', 'x-total-count': '200' }, body: rows }
    }
    const server = await startServer(cache, answer, { tags: ['users'] })
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
})
