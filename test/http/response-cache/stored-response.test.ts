import fc from 'fast-check'
import { type Cache, createCache } from 'posthaste'
import { expect, it } from 'vitest'
import { fieldsOf } from '../../../src/http/response-cache/rules/answer-head.ts'
import { unstorableReason } from '../../../src/http/response-cache/rules/answer-rules.ts'
import { readFreshness } from '../../../src/http/response-cache/rules/freshness.ts'
import { isStored, toStored } from '../../../src/http/response-cache/stored-response.ts'
import { ask } from '../../support/answering.ts'
import { caching } from '../../support/caching.ts'

const now = Date.parse('2026-11-28T12:00:00Z')
const lifetime = (headers: Readonly<Record<string, string>>) =>
  readFreshness({ status: 200, headers: Object.entries(headers) }, now).lifetime

it.each<[headers: Record<string, string>, lifetime: number | undefined]>([
  [{}, undefined],
  [{ 'cache-control': 'max-age=60' }, 60],
  [{ 'cache-control': 'max-age="60"' }, 60],
  [{ 'cache-control': 'MAX-AGE=60, s-maxage=10' }, 10],
  [{ 'cache-control': 'max-age=60, max-age=60' }, 60],
  [{ 'cache-control': 'max-age=60, max-age=600' }, 0],
  [{ 'cache-control': 'max-age=-1' }, 0],
  [{ 'cache-control': 's-maxage=-1, max-age=60' }, 0],
  [{ 'cache-control': 'max-age=none' }, 0],
  [{ 'cache-control': 'max-age' }, 0],
  [{ 'cache-control': 'max-age=1.5' }, 0],
  [{ 'cache-control': 'max-age =60' }, 0],
  [{ 'cache-control': 'max-age=60;s-maxage=10' }, 0],
  [{ 'cache-control': 'x="max-age=600", max-age=5' }, 5],
  [{ 'cache-control': 'x="s-maxage=600' }, 0],
  [{ 'cache-control': 'max-age=60', age: '20' }, 40],
  [{ 'cache-control': 'max-age=60', age: '600' }, 0],
  [{ 'cache-control': 'max-age=60', age: '-1' }, 0],
  [{ 'cache-control': 'max-age=60', age: '20, old' }, 40],
  [{ 'cache-control': 'max-age=60', age: 'old, 20' }, 0],
  [{ 'cache-control': 'max-age=0060' }, 60],
  [{ 'cache-control': `max-age=${'9'.repeat(400)}` }, 2 ** 31],
  [{ 'cache-control': `max-age=${'9'.repeat(400)}`, age: '9'.repeat(400) }, 0],
  [{ expires: 'Sat, 28 Nov 2026 12:01:00 GMT' }, 60],
  [{ expires: 'Saturday, 28-Nov-26 12:01:00 GMT' }, 60],
  [{ expires: 'Sat Nov 28 12:01:00 2026' }, 60],
  [{ expires: 'Thursday, 18-Aug-50 02:01:18 GMT' }, (Date.parse('2050-08-18T02:01:18Z') - now) / 1_000],
  [{ expires: 'Friday, 18-Aug-95 02:01:18 GMT' }, 0],
  [{ expires: 'Sat, 28 Nov 2026 12:01:00 GMT', date: 'Sat, 28 Nov 2026 12:00:30 GMT' }, 30],
  [{ expires: 'Sat, 28 Nov 2026 12:01:00 GMT', date: 'today' }, 0],
  [{ expires: '0' }, 0],
  [{ expires: '2027' }, 0],
])('reads that %j is fresh for %s seconds', (headers, expected) => {
  expect(lifetime(headers)).toBe(expected)
})

const request = {
  method: 'GET',
  path: '/',
  query: '',
  route: '',
  header: () => undefined,
  names: () => [],
  original: undefined,
}

it('says in `Vary` all that a response depends on, and keeps no header that `Connection` names', () => {
  const headers = {
    vary: 'Accept-Language',
    connection: 'close, X-Hop',
    'x-hop': '1',
    'access-control-allow-origin': 'a',
  }
  const stored = toStored(
    { status: 200, headers: Object.entries(headers), body: undefined },
    Buffer.from('x'),
    request,
    ['x-tenant'],
    now,
  )
  expect(Object.fromEntries(stored.headers)).toEqual({
    'access-control-allow-origin': 'a',
    vary: 'Accept-Language, Origin, X-Tenant',
    date: new Date(now).toUTCString(),
  })
})

it('keeps the `Date` of the handler', () => {
  const date = 'Sat, 28 Nov 2026 11:59:00 GMT'
  const answer = { status: 200, headers: [['date', date] as const], body: undefined }
  expect(toStored(answer, Buffer.from('x'), request, [], now).headers).toEqual([['date', date]])
})

it('stores no answer with a field twice that has one value, or that no shared cache may store', () => {
  const reason = (headers: Readonly<Record<string, unknown>>) =>
    unstorableReason({ status: 200, headers: fieldsOf(headers) }, now)
  expect(reason({ 'content-type': ['text/plain', 'text/html'] })).toBe('repeated')
  expect(reason({ 'cdn-cache-control': 'private', 'cache-control': 'max-age=60' })).toBe('private')
  expect(reason({ 'cdn-cache-control': 'max-age=0', 'cache-control': 'max-age=60' })).toBeUndefined()
  expect(reason({ 'cache-control': ['max-age=60', 'public'], link: ['<a>', '<b>'] })).toBeUndefined()
})

it('stores no body that is shorter than the head says', async () => {
  const cache = createCache() as unknown as Cache
  let runs = 0
  const server = await caching['Express 5']?.(cache, () => {
    runs++
    return {
      headers: { 'content-type': 'text/plain', 'content-length': '9' },
      pieces: async function* () {
        yield 'short'
      },
    }
  })
  const { port, close } = server as NonNullable<typeof server>
  for (let round = 0; round < 2; round++) await ask(port).catch(() => {})
  expect(runs).toBe(2)
  await close()
  await cache.close()
})

/** A cache for one response, which others replace in its store. */
function observedCache() {
  const cache = createCache({ freeze: false })
  const { getOrSet } = cache
  // The first key that is asked for is the response's.
  let key: unknown
  cache.getOrSet = ((...args: Parameters<typeof getOrSet>) => {
    key ??= args[0]
    return getOrSet.apply(cache, args)
  }) as typeof getOrSet
  return { cache, replaceResponse: (value: unknown) => cache.set(key as string, value) }
}

it('counts an entry that is no response as a miss, and replaces it', async () => {
  const { cache, replaceResponse } = observedCache()
  const answer = { headers: { 'content-type': 'text/plain' }, body: 'right' }
  const server = await caching['Express 5']?.(cache as unknown as Cache, () => answer)
  const { port, close } = server as NonNullable<typeof server>
  const statusOf = async () => (await ask(port)).headers['cache-status']
  await ask(port)
  await replaceResponse({ status: 99_999, headers: [] })
  const { misses } = cache.stats()
  expect([await statusOf(), await statusOf()]).toEqual(['posthaste; fwd=miss; stored', 'posthaste; hit'])
  expect(cache.stats().misses).toBe(misses + 1)
  await close()
  await cache.close()
})

const stored = toStored({ status: 200, headers: [['x-a', '1']], body: undefined }, Buffer.from('x'), request, [], now)
const foreign = fc.oneof(
  fc.anything(),
  fc
    .tuple(
      fc.constantFrom(...(Object.keys(stored) as (keyof typeof stored)[])),
      fc.oneof(
        fc.anything(),
        fc.constantFrom<unknown>(99_999, [['x-a', 'a\r\nx-b: 1']], [['bad name', '']], [['x-a']], [[1, 2]], 'ä'),
      ),
    )
    .map(([name, value]) => ({ ...stored, [name]: value })),
)

it.each(Object.keys(caching))('treats whatever else is in the store as a miss, on %s', async (name) => {
  expect(isStored(stored)).toBe(true)
  await fc.assert(
    fc.asyncProperty(foreign, async (value) => {
      const { cache, replaceResponse } = observedCache()
      const start = caching[name] as NonNullable<(typeof caching)[string]>
      const server = await start(cache as unknown as Cache, () => ({
        headers: { 'content-type': 'text/plain' },
        body: 'right',
      }))
      await ask(server.port)
      await replaceResponse(value)
      const isValid = isStored(structuredClone(value))
      const { status, body } = await ask(server.port)
      if (!isValid) expect([status, body.toString()]).toEqual([200, 'right'])
      expect((await ask(server.port)).status).toBeLessThan(500)
      await server.close()
      await cache.close()
    }),
    { numRuns: Number(process.env.RUNS ?? 30), seed: 20_26 },
  )
})
