import { randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import { Readable } from 'node:stream'
import zlib from 'node:zlib'
import { type Cache, createCache } from 'posthaste'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { type Answer, type Answering, ask, type Received } from '../../support/answering.ts'
import { type CachingOptions, type CachingSetup, caching } from '../../support/caching.ts'

const json = JSON.stringify(Array.from({ length: 200 }, (_, id) => ({ id, name: `User ${id}` })))
const type = 'application/json; charset=utf-8'
const plain: Answer = { headers: { 'content-type': type }, body: json }
const answerWith = (headers: Record<string, string>, rest: Partial<Answer> = {}): Answer => ({
  ...plain,
  ...rest,
  headers: { 'content-type': type, ...headers },
})

async function* twoPieces(): AsyncGenerator<string> {
  for (const piece of ['"in ', 'pieces"']) {
    await new Promise(setImmediate)
    yield piece
  }
}

let now = 1_700_000_000_000
const makeCache = () =>
  createCache({
    profiles: { default: { ttl: '1m', stale: '10m', jitter: 0 } },
    clock: () => now,
  }) as unknown as Cache

describe.each(Object.entries(caching))('on %s', (name, startServer) => {
  // Nothing in Fastify runs a handler again as for the same request: see its own tests.
  const inBackground = it.skipIf(name === 'Fastify')

  let cache: Cache
  let server: Answering
  let runs: number
  let answer: () => Answer | Promise<Answer>
  const closing: (() => Promise<unknown>)[] = []

  const counted = () => {
    runs++
    return answer()
  }
  const startWith = (options?: CachingOptions, setup?: CachingSetup) =>
    startServer(cache, counted, { clock: () => now, query: ['page'], ...options }, setup)

  // Most tests share a server and its cache.
  const sharedCache = makeCache()
  let shared: Answering
  beforeAll(async () => {
    cache = sharedCache
    shared = await startWith()
  })
  afterAll(async () => {
    await shared.close()
    await sharedCache.close()
  })

  beforeEach(() => {
    // An hour later the cache serves nothing of what the test before has left in it.
    now += 3_600_000
    runs = 0
    answer = () => plain
    cache = sharedCache
    server = shared
  })
  afterEach(async () => {
    vi.restoreAllMocks()
    for (const close of closing.splice(0)) await close()
  })

  /** A server for this test alone, with options of its own. */
  async function start(options: CachingOptions, setup?: CachingSetup, ownCache = makeCache()): Promise<void> {
    cache = ownCache
    const own = await startWith(options, setup)
    server = own
    closing.push(own.close, () => ownCache.close())
  }

  function get(path = '/users', headers: Record<string, string> = {}, method = 'GET'): Promise<Received> {
    return ask(server.port, { path, headers, method })
  }

  /** So many requests, which have all asked the cache before the handler answers the first of them. */
  async function together(count: number): Promise<Received[]> {
    const gate = Promise.withResolvers<void>()
    const given = answer
    answer = async () => {
      const answered = given()
      await gate.promise
      return answered
    }
    const asked = vi.spyOn(cache, 'getOrSet')
    const received = Array.from({ length: count }, () => get())
    await expect.poll(() => asked.mock.calls.length).toBe(count)
    asked.mockRestore()
    gate.resolve()
    return Promise.all(received)
  }

  it('answers the second request from the cache, with its age and a strong entity tag', async () => {
    const first = await get()
    now += 5_000
    const second = await get()
    expect(runs).toBe(1)
    expect(first.headers['cache-status']).toBe('posthaste; fwd=miss; stored')
    expect(first.headers).not.toHaveProperty('age')
    expect(second.headers).toMatchObject({
      'cache-status': 'posthaste; hit',
      age: '5',
      'content-type': type,
      'content-length': String(json.length),
      vary: 'Accept-Encoding',
      etag: expect.stringMatching(/^"[\w-]{27}"$/),
    })
    expect(second.headers.etag).toBe(first.headers.etag)
    expect(second.body.toString()).toBe(json)
    expect(first.body.toString()).toBe(json)
  })

  describe.each<[what: string, method: string, path: string, headers: Record<string, string>]>([
    ['Authorization', 'GET', '/users', { authorization: 'Bearer x' }],
    ['a cookie', 'GET', '/users', { cookie: 'session=1' }],
    ['an API key', 'GET', '/users', { 'x-api-key': 'x' }],
    ['the name of a user from a proxy', 'GET', '/users', { 'x-forwarded-user': 'ann' }],
    ['another method for the handler', 'GET', '/users', { 'x-http-method-override': 'DELETE' }],
    ['another URL for the handler', 'GET', '/users', { 'x-original-url': '/admin' }],
    ['a listed parameter among others', 'GET', '/users?page=1&page=2&PAGE=3', {}],
    ['a parameter that a parser takes for a listed one', 'GET', '/users?page[admin]=1', {}],
    ['a parameter that is not listed', 'GET', '/users?page=1&debug=1', {}],
    ['a parameter without a value', 'GET', '/users?admin', {}],
    ['no-store', 'GET', '/users', { 'cache-control': 'no-store' }],
    ['a range', 'GET', '/users', { range: 'bytes=0-10' }],
    ['If-Match', 'GET', '/users', { 'if-match': '"x"' }],
    ['a body', 'GET', '/users', { 'content-length': '2' }],
    ['the method POST', 'POST', '/users', {}],
    ['the method PUT', 'PUT', '/users', {}],
  ])('a request with %s', (_what, method, path, headers) => {
    it('bypasses the cache, both ways', async () => {
      await get(path, headers, method)
      const again = await get(path, headers, method)
      expect(runs).toBe(2)
      expect(again.headers['cache-status']).toMatch(/^posthaste; fwd=(bypass|method)/)
      await get('/users')
      expect(runs).toBe(3)
      await get(path, headers, method)
      expect(runs).toBe(4)
    })
  })

  it.each<[what: string, answer: Answer]>([
    ['Set-Cookie', answerWith({ 'set-cookie': 'session=1' })],
    ['private', answerWith({ 'cache-control': 'private, max-age=60' })],
    ['Private, in capitals', answerWith({ 'cache-control': 'max-age=60, PRIVATE' })],
    ['no-store', answerWith({ 'cache-control': 'no-store' })],
    ['no-cache', answerWith({ 'cache-control': 'no-cache' })],
    ['max-age=0', answerWith({ 'cache-control': 'public, max-age=0' })],
    ['s-maxage=0', answerWith({ 'cache-control': 'max-age=60, s-maxage=0' })],
    ['a past Expires', answerWith({ expires: '0' })],
    ['Vary: *', answerWith({ vary: '*' })],
    ['a Vary of what is no name of a header', answerWith({ vary: 'Origin, Accept Language' })],
    ['an encoded body', answerWith({ 'content-encoding': 'gzip' }, { body: zlib.gzipSync(json) })],
    ['an event stream', { headers: { 'content-type': 'text/event-stream' }, body: 'data: 1\n\n' }],
    ['the status 201', { ...plain, status: 201 }],
    ['the status 204', { status: 204 }],
    ['the status 206', answerWith({ 'content-range': 'bytes 0-9/100' }, { status: 206 })],
    ['the range of a part, with the status of the whole', answerWith({ 'content-range': 'bytes 0-9/100' })],
    ['the status 302', answerWith({ location: '/login' }, { status: 302 })],
    ['the status 401', { ...plain, status: 401 }],
    ['the status 404', { ...plain, status: 404 }],
    ['the status 429', { ...plain, status: 429 }],
    ['the status 500', { ...plain, status: 500 }],
    ['the status 503', { ...plain, status: 503 }],
    ['more than the limit', { ...plain, body: 'x'.repeat(1024 * 1024 + 1) }],
  ])('never stores an answer with %s', async (_what, given) => {
    answer = () => given
    const first = await get()
    const second = await get()
    expect(runs).toBe(2)
    expect(second.headers['cache-status']).toMatch(/^posthaste; fwd=miss/)
    for (const { status, body } of [first, second]) {
      expect(status).toBe(given.status ?? 200)
      expect(body.equals(Buffer.from(given.body ?? ''))).toBe(true)
    }
  })

  it('caches for a request that says it has no body', async () => {
    for (let round = 0; round < 2; round++) await get('/users', { 'content-length': '0' })
    expect(runs).toBe(1)
  })

  it('stores a permanent redirect, which has no type', async () => {
    answer = () => ({ status: 308, headers: { location: '/people' } })
    await get()
    const { status, headers } = await get()
    expect(status).toBe(308)
    expect(headers).toMatchObject({ location: '/people', 'cache-status': 'posthaste; hit' })
    expect(runs).toBe(1)
  })

  it.each<[what: string, answer: Answer]>([
    ['a redirect', { status: 308, headers: { location: '/people' } }],
    ['no body', {}],
    ['pieces without a type', { pieces: twoPieces }],
  ])('gives %s the type that the handler gave it', async (_what, given) => {
    answer = () => given
    const first = await get()
    await expect.poll(async () => (await get()).headers['cache-status']).toBe('posthaste; hit')
    const second = await get()
    expect([second.headers['content-type'], second.body]).toEqual([first.headers['content-type'], first.body])
    // The server of Hono gives a type to what has a body.
    if (given.pieces === undefined) expect(first.headers['content-type'] ?? '').not.toMatch(/octet|plain/)
  })

  it('adds to what caches nearer to the origin say they did', async () => {
    answer = () => answerWith({ 'cache-control': 'private', 'cache-status': 'origin; hit' })
    expect((await get()).headers['cache-status']).toBe('origin; hit, posthaste; fwd=miss; detail=private')
  })

  it('keeps what the handler sent, whatever becomes of the memory that it was in', async () => {
    const body = Buffer.allocUnsafeSlow(2_000).fill('a')
    answer = () => ({ headers: { 'content-type': 'text/plain' }, body })
    await get()
    body.fill('b')
    expect((await get()).body.toString()).toBe('a'.repeat(2_000))
    expect(runs).toBe(1)
  })

  it('keeps what the handler said, except what is of one answer alone', async () => {
    answer = () =>
      answerWith({ 'x-total-count': '200', 'last-modified': 'Tue, 14 Nov 2023 00:00:00 GMT', 'x-request-id': '1' })
    await get()
    const { headers } = await get()
    expect(headers).toMatchObject({ 'x-total-count': '200', 'last-modified': 'Tue, 14 Nov 2023 00:00:00 GMT' })
    expect(headers).not.toHaveProperty('x-request-id')
  })

  it('answers 304 to a client that has the body', async () => {
    answer = () => answerWith({ 'last-modified': 'Tue, 14 Nov 2023 00:00:00 GMT', etag: 'W/"of the handler"' })
    const { headers } = await get()
    const etag = headers.etag as string
    for (const condition of [
      { 'if-none-match': etag },
      { 'if-none-match': `"other", W/${etag}` },
      { 'if-none-match': '*' },
      { 'if-modified-since': 'Tue, 14 Nov 2023 00:00:00 GMT' },
    ]) {
      const { status, headers, body } = await get('/users', condition as Record<string, string>)
      expect(status, JSON.stringify(condition)).toBe(304)
      expect(body.length).toBe(0)
      expect(headers).toMatchObject({ etag, vary: 'Accept-Encoding', 'cache-status': 'posthaste; hit' })
      expect(headers).not.toHaveProperty('content-type')
      expect(headers).not.toHaveProperty('content-encoding')
    }
    for (const condition of [
      { 'if-none-match': '"other"' },
      { 'if-none-match': '"other"', 'if-modified-since': 'Tue, 14 Nov 2023 00:00:00 GMT' },
      { 'if-modified-since': 'Mon, 13 Nov 2023 00:00:00 GMT' },
    ]) {
      expect((await get('/users', condition as Record<string, string>)).status, JSON.stringify(condition)).toBe(200)
    }
    expect(runs).toBe(1)
  })

  describe.each<[what: string, answer: Answer]>([
    ['may not be stored', answerWith({ 'cache-control': 'private' })],
    ['is too long', { ...plain, body: 'x'.repeat(1024 * 1024 + 1) }],
    ['comes in pieces', { ...plain, pieces: twoPieces }],
    ['comes in pieces and may not be stored', answerWith({ 'cache-control': 'private' }, { pieces: twoPieces })],
    [
      'comes in pieces and is too long',
      { ...plain, pieces: () => Readable.from(Array.from({ length: 20 }, () => 'x'.repeat(100_000))) },
    ],
  ])('an answer that %s', (_what, given) => {
    it.each<[how: string, condition: Record<string, string>, status: number]>([
      ['answers 304 to its entity tag', { 'if-none-match': '"of, the handler"' }, 304],
      ['answers 304 to its weak entity tag in a list', { 'if-none-match': '"other", W/"handler"' }, 304],
      ['answers 304 to its date', { 'if-modified-since': 'Tue, 14 Nov 2023 00:00:00 GMT' }, 304],
      ['answers 200 to another entity tag', { 'if-none-match': '"other"' }, 200],
      ['answers 200 to an older date', { 'if-modified-since': 'Mon, 13 Nov 2023 00:00:00 GMT' }, 200],
    ])('%s', async (how, condition, expected) => {
      const etag = how.includes('list') ? '"handler"' : '"of, the handler"'
      const validators = { etag, 'last-modified': 'Tue, 14 Nov 2023 00:00:00 GMT' }
      answer = () => ({ ...given, headers: { ...given.headers, ...validators } })
      for (let round = 0; round < 2; round++) {
        const { status, headers, body } = await get(`/${encodeURIComponent(how)}`, condition)
        expect(status).toBe(expected)
        expect(headers['last-modified']).toBe(validators['last-modified'])
        if (expected === 200) expect(body.length).toBeGreaterThan(0)
        else
          expect([body.length, headers['content-type'], headers['content-length']]).toEqual([0, undefined, undefined])
        // By then what can be stored is, and has another entity tag.
        if (given.pieces === twoPieces && given.headers?.['cache-control'] === undefined) break
        expect(headers.etag).toBe(etag)
        now += 11_000
      }
    })
  })

  it('stores an answer in pieces of which a client needs none', async () => {
    answer = () => answerWith({ etag: '"1"' }, { pieces: twoPieces })
    expect((await get('/users', { 'if-none-match': '"1"' })).status).toBe(304)
    await expect.poll(async () => (await get()).headers['cache-status']).toBe('posthaste; hit')
    expect([(await get()).body.toString(), runs]).toEqual(['"in pieces"', 1])
  })

  it('stores the whole answer when the first request was conditional', async () => {
    const first = await get('/users', { 'if-none-match': '*' })
    expect(first.status).toBe(304)
    expect((await get()).body.toString()).toBe(json)
    expect(runs).toBe(1)
  })

  it('answers HEAD from what GET stored, and stores nothing for HEAD', async () => {
    const missed = await get('/users', {}, 'HEAD')
    expect(missed.body.length).toBe(0)
    expect(runs).toBe(1)
    await get()
    expect(runs).toBe(2)
    const { status, headers, body } = await get('/users', {}, 'HEAD')
    expect(runs).toBe(2)
    expect(status).toBe(200)
    expect(body.length).toBe(0)
    expect(headers).toMatchObject({ 'content-length': String(json.length), 'cache-status': 'posthaste; hit' })
  })

  it('encodes a body once for each coding, with an entity tag for each', async () => {
    const accept = (coding: string) => get('/users', { 'accept-encoding': coding })
    const received = new Map<string, Received>()
    for (const coding of ['gzip', 'br', 'identity']) received.set(coding, await accept(coding))
    const { loads } = cache.stats()
    for (const coding of ['gzip', 'br', 'identity']) {
      const { headers, body } = await accept(coding)
      expect(headers.etag).toBe(received.get(coding)?.headers.etag)
      expect(headers['content-length']).toBe(String(body.length))
      expect(headers.vary).toBe('Accept-Encoding')
    }
    expect(cache.stats().loads).toBe(loads)
    expect(runs).toBe(1)
    expect(new Set([...received.values()].map(({ headers }) => headers.etag)).size).toBe(3)
    expect(zlib.gunzipSync((received.get('gzip') as Received).body).toString()).toBe(json)
    expect(zlib.brotliDecompressSync((received.get('br') as Received).body).toString()).toBe(json)
    const { etag } = (received.get('br') as Received).headers
    expect((await get('/users', { 'accept-encoding': 'br', 'if-none-match': etag as string })).status).toBe(304)
    expect((await get('/users', { 'accept-encoding': 'gzip', 'if-none-match': etag as string })).status).toBe(200)
  })

  it('encodes nothing, and varies by no coding, with `compress: false`', async () => {
    await start({ compress: false })
    const headers = { 'accept-encoding': 'gzip' }
    for (const cacheStatus of ['posthaste; fwd=miss; stored', 'posthaste; hit']) {
      const received = await get('/users', headers)
      expect(received.headers['cache-status']).toBe(cacheStatus)
      expect(received.headers).not.toHaveProperty('vary')
      expect(received.body.toString()).toBe(json)
    }
    answer = () => answerWith({ 'cache-control': 'private' })
    const unstored = await get('/private', headers)
    expect(unstored.headers).not.toHaveProperty('content-encoding')
    expect(unstored.body.toString()).toBe(json)
  })

  it('leaves as they are a body of a type that does not compress, and one that does not become smaller', async () => {
    const body = randomBytes(3_000)
    for (const [path, contentType, vary] of [
      ['/image', 'image/png', undefined],
      ['/text', 'text/plain', 'Accept-Encoding'],
    ] as const) {
      answer = () => ({ headers: { 'content-type': contentType }, body })
      for (let round = 0; round < 2; round++) {
        const received = await get(path, { 'accept-encoding': 'gzip' })
        expect(received.headers.vary).toBe(vary)
        expect(received.headers).not.toHaveProperty('content-encoding')
        expect(received.body.equals(body)).toBe(true)
      }
    }
    expect(runs).toBe(2)
  })

  it('encodes a body that does not become smaller when the client refuses it as it is', async () => {
    answer = () => answerWith({}, { body: '[]' })
    for (let round = 0; round < 2; round++) {
      const { headers, body } = await get('/users', { 'accept-encoding': 'gzip, identity;q=0' })
      expect(headers['content-encoding']).toBe('gzip')
      expect(zlib.gunzipSync(body).toString()).toBe('[]')
    }
  })

  it('sends a body as it is when encoding it fails', async () => {
    vi.spyOn(zlib, 'gzip').mockImplementation(((_body: Buffer, _options: object, done: (error: Error) => void) =>
      done(new Error('out of memory'))) as never)
    await start({ compress: { maxBlock: '0ms' } })
    for (const cacheStatus of ['posthaste; fwd=miss; stored', 'posthaste; hit']) {
      const { status, headers, body } = await get('/users', { 'accept-encoding': 'gzip' })
      expect([status, body.toString()]).toEqual([200, json])
      expect(headers).toMatchObject({ 'cache-status': cacheStatus, vary: 'Accept-Encoding' })
      expect(headers).not.toHaveProperty('content-encoding')
    }
    vi.restoreAllMocks()
    expect(runs).toBe(1)
  })

  it('keeps no more memory than the bytes that it stores', async () => {
    await get('/users', { 'accept-encoding': 'gzip' })
    const kept = vi.spyOn(sharedCache, 'getOrSet')
    await get('/users', { 'accept-encoding': 'gzip' })
    const values = await Promise.all(kept.mock.results.map(({ value }) => value))
    kept.mockRestore()
    const bodies = values.map((value) => (Buffer.isBuffer(value) ? value : (value as { body: Buffer }).body))
    expect(bodies).toHaveLength(2)
    for (const body of bodies) expect(body.buffer.byteLength).toBe(body.length)
  })

  it.each([
    ['too short to be compressed', {}, { ...plain, body: 'short' }],
    ['compressed by `compressResponses`', { compress: false }, plain],
  ] as const)(
    'answers 304 with the `ETag` of its 200 behind `compressResponses` when it is %s',
    async (_what, options, given) => {
      answer = () => given
      await start(options, { compress: true })
      const headers = { 'accept-encoding': 'gzip' }
      const { etag } = (await get('/users', headers)).headers
      const unchanged = await get('/users', { ...headers, 'if-none-match': etag as string })
      expect([unchanged.status, unchanged.headers.etag]).toEqual([304, etag])
    },
  )

  it('is not encoded again by `compressResponses`, which encodes what bypasses it', async () => {
    await start({}, { compress: true })
    const headers = { 'accept-encoding': 'gzip' }
    for (const cacheStatus of ['posthaste; fwd=miss; stored', 'posthaste; hit']) {
      const received = await get('/users', headers)
      expect(received.headers).toMatchObject({ 'cache-status': cacheStatus, etag: expect.stringMatching(/-gzip"$/) })
      expect(zlib.gunzipSync(received.body).toString()).toBe(json)
    }
    const { etag } = (await get('/users', headers)).headers
    const unchanged = await get('/users', { ...headers, 'if-none-match': etag as string })
    expect([unchanged.status, unchanged.headers.etag]).toEqual([304, etag])
    if (name === 'cache.http') return
    const bypassing = await get('/users', { ...headers, cookie: 'a=1' })
    expect(bypassing.headers['content-encoding']).toBe('gzip')
    expect(zlib.gunzipSync(bypassing.body).toString()).toBe(json)
  })

  it('keeps apart what `Vary` names, learning the names from the answers', async () => {
    let language = ''
    answer = () => answerWith({ vary: 'Accept-Language', 'content-language': language })
    const ask = async (asked: string) => {
      language = asked || 'any'
      const { headers } = await get('/users', asked === '' ? {} : { 'accept-language': asked })
      return [headers['content-language'], headers.vary]
    }
    for (const asked of ['de', 'en', '', 'de', 'en', '']) {
      expect(await ask(asked)).toEqual([asked || 'any', 'Accept-Language, Accept-Encoding'])
    }
    expect(runs).toBe(3)
  })

  it('keeps apart origins where an answer allows one', async () => {
    answer = () => answerWith({ 'access-control-allow-origin': `https://${runs}.example` })
    const ask = async (origin: string) => (await get('/users', { origin })).headers['access-control-allow-origin']
    const first = await ask('https://1.example')
    const second = await ask('https://2.example')
    expect([first, second]).toEqual(['https://1.example', 'https://2.example'])
    expect([await ask('https://1.example'), await ask('https://2.example')]).toEqual([first, second])
  })

  it('keeps apart hosts, paths and listed parameters, in whatever order they come', async () => {
    await start({ query: ['page', 'tag'] })
    for (const path of ['/users?page=1&tag=a&tag=b', '/users?tag=a&page=1&tag=b', '/users?tag=a&tag=b&page=1'])
      await get(path)
    expect(runs).toBe(1)
    for (const path of ['/users?page=2&tag=a&tag=b', '/users?page=1&tag=b&tag=a', '/users', '/other']) await get(path)
    expect(runs).toBe(5)
    for (const headers of [
      { host: 'other.example' },
      { 'x-forwarded-host': 'evil.example' },
      { 'x-forwarded-prefix': '/evil' },
      { forwarded: 'host=evil.example' },
    ]) {
      runs = 0
      await get('/users', headers as Record<string, string>)
      expect(runs, JSON.stringify(headers)).toBe(1)
    }
  })

  it('keeps what a client names in an absolute URL apart from what it names as the host', async () => {
    // A server may refuse such a request.
    await get('http://evil.example/users', { host: 'a.example' }).catch(() => undefined)
    runs = 0
    await get('/users', { host: 'a.example' })
    expect(runs).toBe(1)
  })

  it('takes every parameter with `query: all`', async () => {
    await start({ query: 'all' })
    await get('/users?b=2&a=1')
    await get('/users?a=1&b=2')
    expect(runs).toBe(1)
    await get('/users?a=1&b=3')
    expect(runs).toBe(2)
  })

  it('caches what `key` answers for, under what it says', async () => {
    await start({ key: (header) => (header('x-secret') === undefined ? [header('authorization')] : null) })
    for (const authorization of ['Bearer a', 'Bearer b', 'Bearer a', 'Bearer b']) await get('/users', { authorization })
    expect(runs).toBe(2)
    for (let round = 0; round < 2; round++) await get('/users', { authorization: 'Bearer a', 'x-secret': '1' })
    expect(runs).toBe(4)
    answer = () => answerWith({ 'set-cookie': 'a=1' })
    for (let round = 0; round < 2; round++) await get('/private', { authorization: 'Bearer a' })
    expect(runs).toBe(6)
  })

  it('encodes what `key` answers for, each under its own key', async () => {
    await start({ key: (header) => [header('authorization')] })
    answer = () => ({ ...plain, body: `${json.slice(0, -1)},${runs}]` })
    const ask = async (authorization: string) => {
      const { body } = await get('/users', { authorization, 'accept-encoding': 'gzip' })
      return JSON.parse(zlib.gunzipSync(body).toString()).at(-1)
    }
    for (let round = 0; round < 2; round++) expect([await ask('Bearer a'), await ask('Bearer b')]).toEqual([1, 2])
  })

  it('renews an answer after the `ttl` of its route', async () => {
    await start({ ttl: '10s' })
    await get()
    now += 9_000
    expect((await get()).headers).toMatchObject({ 'cache-status': 'posthaste; hit', age: '9' })
    now += 2_000
    await get()
    await expect.poll(() => runs).toBe(2)
  })

  it('runs the handler once for many requests at once', async () => {
    const gate = Promise.withResolvers<void>()
    answer = async () => {
      await gate.promise
      return plain
    }
    const getOrSet = vi.spyOn(cache, 'getOrSet')
    const asked = Array.from({ length: 20 }, () => get())
    await expect.poll(() => getOrSet.mock.calls.length).toBe(20)
    getOrSet.mockRestore()
    now += 100
    gate.resolve()
    const received = await Promise.all(asked)
    expect(runs).toBe(1)
    expect(received.every(({ body }) => body.toString() === json)).toBe(true)
    const statuses = received.map(({ headers }) => headers['cache-status'])
    expect(statuses.filter((status) => status === 'posthaste; fwd=miss; stored')).toHaveLength(1)
    expect(statuses.filter((status) => status === 'posthaste; fwd=miss; collapsed')).toHaveLength(19)
  })

  it('runs the handler for each of many requests at once when what it answers is for one alone', async () => {
    answer = () => answerWith({ 'set-cookie': `session=${runs}` })
    const received = await together(3)
    expect(received.map(({ headers }) => headers['set-cookie']?.[0]).sort()).toEqual([
      'session=1',
      'session=2',
      'session=3',
    ])
  })

  it('gives a failure that depends on a header to no request with another value', async () => {
    const gate = Promise.withResolvers<void>()
    answer = async () => {
      const body = `"down ${runs}"`
      await gate.promise
      return answerWith({ vary: 'Accept-Language' }, { status: 503, body })
    }
    const getOrSet = vi.spyOn(cache, 'getOrSet')
    const asked = ['de', 'fr', 'de'].map((language) => get('/users', { 'accept-language': language }))
    await expect.poll(() => getOrSet.mock.calls.length).toBe(3)
    getOrSet.mockRestore()
    gate.resolve()
    const received = await Promise.all(asked)
    expect(received[0]!.body.toString()).not.toBe(received[1]!.body.toString())
    expect(received.map(({ status }) => status)).toEqual([503, 503, 503])
  })

  it('gives a failure to all that waited for it', async () => {
    answer = () => ({ ...plain, status: 503, body: '"down"' })
    const received = await together(3)
    expect(received.map(({ status, body }) => [status, body.toString()])).toEqual(Array(3).fill([503, '"down"']))
    expect(received.map(({ headers }) => headers['cache-status']).sort()).toEqual([
      'posthaste; fwd=miss; collapsed',
      'posthaste; fwd=miss; collapsed',
      'posthaste; fwd=miss; detail=status',
    ])
    expect(runs).toBe(1)
  })

  it.each<[what: string, rest: Partial<Answer>]>([
    ['is for one alone', { headers: { 'content-type': type, 'set-cookie': 'session=1' } }],
    ['is too long to keep', { body: 'x'.repeat(1024 * 1024 + 1) }],
  ])('runs the handler for each of many requests at once when a failure %s', async (_what, rest) => {
    const failure = { ...plain, ...rest, status: 503 }
    answer = () => failure
    const received = await together(2)
    expect(received.map(({ status, body }) => [status, body.length])).toEqual(
      Array(2).fill([503, failure.body?.length]),
    )
    expect(runs).toBe(2)
  })

  it('leaves the requests to the handler when the cache is closed', async () => {
    const ownCache = makeCache()
    await start({}, {}, ownCache)
    await ownCache.close()
    for (const [method, length] of [
      ['GET', json.length],
      ['HEAD', 0],
    ] as const) {
      const { status, headers, body } = await get('/users', {}, method)
      expect([status, headers['cache-status'], body.length]).toEqual([200, 'posthaste; fwd=miss', length])
    }
    expect(runs).toBe(2)
  })

  it('leaves the requests that wait to the handler when the first one takes longer than a load may', async () => {
    const gate = Promise.withResolvers<void>()
    answer = async () => {
      if (runs === 1) await gate.promise
      return plain
    }
    const ownCache = createCache({ clock: () => now, timeouts: { loadHard: '50ms' } }) as unknown as Cache
    await start({}, {}, ownCache)
    const asked = vi.spyOn(ownCache, 'getOrSet')
    const both = [get(), get()]
    await expect.poll(() => asked.mock.calls.length).toBe(2)
    asked.mockRestore()
    const first = await Promise.race(both)
    expect([first.headers['cache-status'], first.body.toString()]).toEqual(['posthaste; fwd=miss', json])
    gate.resolve()
    const received = await Promise.all(both)
    expect(received.map(({ body }) => body.toString())).toEqual([json, json])
    expect(runs).toBe(2)
  })

  it.each([['a text'], [null], [{ body: 'of another version' }]])(
    'runs the handler where the store holds %j, and stores what it answers',
    async (foreign) => {
      const ownCache = createCache({ clock: () => now }) as unknown as Cache
      await start({}, {}, ownCache)
      vi.spyOn(ownCache, 'getOrSet').mockResolvedValueOnce(foreign as never)
      const first = await get()
      expect([first.status, first.headers['cache-status']]).toEqual([200, 'posthaste; fwd=miss; stored'])
      vi.spyOn(ownCache, 'get').mockResolvedValueOnce(foreign as never)
      expect((await get('/users', {}, 'HEAD')).headers['cache-status']).toBe('posthaste; fwd=miss')
      const second = await get()
      expect([second.headers['cache-status'], second.body.toString()]).toEqual(['posthaste; hit', json])
    },
  )

  it('misses once a tag is invalidated', async () => {
    await start({ tags: ['users'] })
    await get('/users', { 'accept-encoding': 'gzip' })
    await cache.invalidateTags('users' as never)
    answer = () => ({ ...plain, body: json.replace('User 1', 'Ann') })
    const { body } = await get('/users', { 'accept-encoding': 'gzip' })
    expect(runs).toBe(2)
    expect(zlib.gunzipSync(body).toString()).toContain('Ann')
  })

  inBackground('serves the stale answer at once while the handler runs for nobody', async () => {
    await get()
    const gate = Promise.withResolvers<void>()
    answer = async () => {
      await gate.promise
      return { ...plain, body: '"new"' }
    }
    now += 90_000
    for (let round = 0; round < 3; round++) {
      const { body, headers } = await get()
      expect(body.toString()).toBe(json)
      expect(headers.age).toBe('90')
    }
    await expect.poll(() => runs).toBe(2)
    gate.resolve()
    await expect.poll(async () => (await get()).body.toString()).toBe('"new"')
    expect(runs).toBe(2)
  })

  inBackground('serves the stale answer when the handler fails, and the failure when there is none', async () => {
    await get()
    answer = () => ({ ...plain, status: 503, body: '"down"' })
    now += 90_000
    expect((await get()).body.toString()).toBe(json)
    await expect.poll(() => runs).toBe(2)
    expect((await get()).status).toBe(200)
    const other = await get('/other')
    expect([other.status, other.body.toString()]).toEqual([503, '"down"'])
  })

  inBackground.each<[what: string, answer: Answer]>([
    ['that may be stored', answerWith({ 'cache-control': 'private' }, { body: '"mine"' })],
    ['in pieces that may be stored', { headers: { 'content-type': type, 'set-cookie': 'a=1' }, pieces: twoPieces }],
    ['that is short enough', { ...plain, body: 'x'.repeat(1024 * 1024 + 1) }],
    ['at all', { status: 204 }],
  ])('drops the stale answer when the handler has none %s any more', async (_what, given) => {
    await get()
    answer = () => given
    now += 90_000
    expect((await get()).body.toString()).toBe(json)
    await expect.poll(async () => (await get()).headers['cache-status']).toMatch(/^posthaste; fwd=miss/)
    const { status, body } = await get()
    expect(status).toBe(given.status ?? 200)
    expect(body.toString()).toBe(given.pieces === undefined ? (given.body ?? '') : '"in pieces"')
  })

  inBackground('renews a stale answer with one in pieces', async () => {
    await get()
    answer = () => ({ headers: { 'content-type': type }, pieces: twoPieces })
    now += 90_000
    expect((await get()).body.toString()).toBe(json)
    await expect.poll(async () => (await get()).body.toString()).toBe('"in pieces"')
    expect((await get()).headers['cache-status']).toBe('posthaste; hit')
    expect(runs).toBe(2)
  })

  it('passes pieces that may not be stored on as they come', async () => {
    answer = () => ({ headers: { 'content-type': type, 'set-cookie': `session=${runs}` }, pieces: twoPieces })
    for (const run of [1, 2]) {
      const { headers, body } = await get()
      expect(headers['set-cookie']).toEqual([`session=${run}`])
      expect(headers['cache-status']).toMatch(/^posthaste; fwd=miss/)
      expect(body.toString()).toBe('"in pieces"')
    }
  })

  it('lets no client that does not read hold up those that wait for its answer', async () => {
    await start({ compress: false, maxBytes: 8 * 1024 * 1024 })
    answer = () => ({
      headers: { 'content-type': 'application/x-own' },
      pieces: async function* () {
        for (let piece = 0; piece < 6 * 16; piece++) {
          if (piece % 16 === 0) await new Promise(setImmediate)
          yield Buffer.alloc(64 * 1024, 'x')
        }
      },
    })
    const socket = connect(server.port, '127.0.0.1')
    socket.pause().write('GET /users HTTP/1.1\r\nhost: a\r\n\r\n')
    await expect.poll(() => runs).toBe(1)
    const { body } = await get('/users', { host: 'a' })
    expect([body.length, runs]).toEqual([6 * 1024 * 1024, 1])
    socket.destroy()
  })

  it('lets nobody wait for an answer of a kind that was not stored just before', async () => {
    answer = () => answerWith({ 'cache-control': 'private' })
    await get()
    const gate = Promise.withResolvers<void>()
    answer = async () => {
      await gate.promise
      return answerWith({ 'cache-control': 'private' })
    }
    const received = [get(), get(), get()]
    await expect.poll(() => runs).toBe(4)
    gate.resolve()
    for (const { headers } of await Promise.all(received)) {
      expect(headers['cache-status']).toBe('posthaste; fwd=miss; detail=private')
    }
    now += 11_000
    answer = () => plain
    await get()
    expect((await get()).headers['cache-status']).toBe('posthaste; hit')
  })

  it('lets nobody wait again after a handler has broken its answer off', async () => {
    vi.spyOn(console, 'error').mockImplementation(() => {})
    const [breaking, ending] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    answer = () => ({
      headers: { 'content-type': type },
      pieces: async function* () {
        const isFirst = runs === 1
        yield '"in '
        await (isFirst ? breaking : ending).promise
        if (isFirst) throw new Error('broken off')
        yield 'pieces"'
      },
    })
    const asked = vi.spyOn(cache, 'getOrSet')
    const received = Array.from({ length: 4 }, () => get().catch(() => 'broken off'))
    await expect.poll(() => asked.mock.calls.length).toBe(4)
    asked.mockRestore()
    expect(runs).toBe(1)
    breaking.resolve()
    await expect.poll(() => runs).toBe(4)
    ending.resolve()
    const bodies = (await Promise.all(received)).map((one) => (typeof one === 'string' ? one : one.body.toString()))
    expect(bodies.sort()).toEqual(['"in pieces"', '"in pieces"', '"in pieces"', 'broken off'])
  })

  inBackground('serves a stale answer as long as the handler allows while it is renewed', async () => {
    answer = () => answerWith({ 'cache-control': 'max-age=10, stale-while-revalidate=5' })
    await get()
    answer = () => answerWith({ 'cache-control': 'max-age=10' }, { body: '"new"' })
    now += 12_000
    expect((await get()).body.toString()).toBe(json)
    await expect.poll(async () => (await get()).body.toString()).toBe('"new"')
    now += 12_000
    answer = () => answerWith({}, { body: '"newer"' })
    expect((await get()).body.toString()).toBe('"newer"')
  })

  inBackground.each([408, 429])('keeps the stale answer when the handler refuses with %s', async (status) => {
    await get()
    answer = () => ({ ...plain, status, body: '"later"' })
    now += 90_000
    expect((await get()).body.toString()).toBe(json)
    await expect.poll(() => runs).toBe(2)
    expect((await get()).body.toString()).toBe(json)
  })

  it('serves a stale answer after an error as long as the handler allows', async () => {
    answer = () => answerWith({ 'cache-control': 'max-age=10, stale-if-error=20' })
    await get()
    answer = () => ({ ...plain, status: 503, body: '"down"' })
    now += 15_000
    expect((await get()).body.toString()).toBe(json)
    now += 30_000
    expect((await get()).status).toBe(503)
  })

  it('keeps an answer no longer than it says itself', async () => {
    answer = () => answerWith({ 'cache-control': 'public, max-age=600, s-maxage=10' })
    await get()
    now += 9_000
    await get()
    expect(runs).toBe(1)
    now += 2_000
    await get()
    expect(runs).toBe(2)
  })

  it('stores an answer in pieces when it is short, and passes a long one through', async () => {
    const pieces = (count: number) =>
      async function* () {
        for (let piece = 0; piece < count; piece++) {
          await new Promise((resolve) => setTimeout(resolve, 1))
          yield `${'x'.repeat(999)}\n`
        }
      }
    answer = () => ({ headers: { 'content-type': 'text/plain' }, pieces: pieces(3) })
    await start({ maxBytes: 5_000 })
    for (let round = 0; round < 2; round++) expect((await get('/short')).body.length).toBe(3_000)
    await expect.poll(async () => (await get('/short')).headers['cache-status']).toBe('posthaste; hit')
    runs = 0
    answer = () => ({ headers: { 'content-type': 'text/plain' }, pieces: pieces(10) })
    for (let round = 0; round < 2; round++) {
      const { body, headers } = await get('/long')
      expect(body.length).toBe(10_000)
      expect(headers['cache-status']).toMatch(/^posthaste; fwd=miss/)
    }
    expect(runs).toBe(2)
  })
})
