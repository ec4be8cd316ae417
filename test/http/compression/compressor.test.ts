import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import zlib from 'node:zlib'
import fc from 'fast-check'
import {
  CompressedJSONResponse,
  type CompressibleHead,
  type ContentCoding,
  compressJson,
  createCompressor,
  negotiateEncoding,
} from 'posthaste'
import { describe, expect, it, onTestFinished, vi } from 'vitest'

const codings: readonly ContentCoding[] =
  typeof zlib.zstdCompressSync === 'function' ? ['zstd', 'br', 'gzip'] : ['br', 'gzip']
const numRuns = Number(process.env.PROPERTY_RUNS ?? 60)
const rows = Array.from({ length: 100 }, (_, id) => ({ id, name: `Üser ${id}` }))

function decode(bytes: Uint8Array | string, encoding: string): Buffer {
  if (encoding === 'zstd') return zlib.zstdDecompressSync(bytes)
  if (encoding === 'br') return zlib.brotliDecompressSync(bytes)
  return encoding === 'gzip' ? zlib.gunzipSync(bytes) : Buffer.from(bytes)
}

function headOf(acceptEncoding: string, headers: Record<string, string> = {}): CompressibleHead {
  const all: Record<string, string> = { 'content-type': 'application/json', ...headers }
  return { acceptEncoding, header: (name) => all[name] }
}

describe('negotiateEncoding', () => {
  it.each<[accept: string | null | undefined, encoding: string]>([
    [undefined, 'identity'],
    [null, 'identity'],
    ['', 'identity'],
    ['gzip, deflate, br', 'br'],
    ['gzip;q=1.0, br;q=0.9', 'gzip'],
    ['gzip;q=0, *', 'br'],
    ['*', 'gzip'],
    ['*;q=0', 'identity'],
    ['identity;q=0', 'identity'],
    ['identity, gzip', 'gzip'],
    ['identity;q=0.9, gzip;q=0.8', 'identity'],
    ['X-GZIP', 'gzip'],
    [' gzip ; q=0.8 ,, br;q=0.7', 'gzip'],
    ['__proto__, constructor', 'identity'],
  ])('answers %j with %s', (accept, encoding) => {
    expect(negotiateEncoding(accept, ['br', 'gzip'])).toBe(encoding)
  })

  it('prefers zstd where Node has it', () => {
    expect(negotiateEncoding('gzip, deflate, br, zstd')).toBe(codings[0])
  })

  it('offers no zstd where Node has none', async () => {
    const { zstdCompressSync } = zlib
    onTestFinished(() => void Object.assign(zlib, { zstdCompressSync }))
    Object.assign(zlib, { zstdCompressSync: undefined })
    expect(negotiateEncoding('gzip, deflate, br, zstd')).toBe('br')
    const compressor = createCompressor({ encodings: ['zstd', 'gzip'] })
    expect((await compressor.body(JSON.stringify(rows), headOf('br, gzip, zstd'))).encoding).toBe('gzip')
  })
})

describe('createCompressor', () => {
  it.each<[option: string, options: object]>([
    ['threshold', { threshold: -1 }],
    ['gzipLevel', { gzipLevel: 0 }],
    ['brotliQuality', { brotliQuality: 12 }],
    ['zstdLevel', { zstdLevel: 1.5 }],
    ['maxBlock', { maxBlock: 5 }],
    ['encodings', { encodings: ['deflate'] }],
    ['encodings', { encodings: 'gzip' }],
  ])('refuses a wrong `%s`', (option, options) => {
    expect(() => createCompressor(options)).toThrow(`\`${option}\``)
  })

  it('offers what it is told to, the first one first', async () => {
    const compressor = createCompressor({ encodings: ['gzip', 'br'] })
    expect((await compressor.body(JSON.stringify(rows), headOf('br, gzip, zstd'))).encoding).toBe('gzip')
  })

  it('compresses what is small at once, and what would block in the thread pool', async () => {
    const compressor = createCompressor({ encodings: ['gzip'] })
    expect(compressor.body('x'.repeat(10_000), headOf('gzip'))).not.toBeInstanceOf(Promise)
    const later = compressor.body(randomBytes(1024 * 1024).toString('hex'), headOf('gzip'))
    expect(later).toBeInstanceOf(Promise)
    expect((await later).encoding).toBe('gzip')
    const never = createCompressor({ maxBlock: '0ms' }).body('x'.repeat(2_000), headOf('gzip'))
    expect(never).toBeInstanceOf(Promise)
  })

  it.each(codings)('never compresses a megabyte in %s on the event loop, whatever it has learnt', async (coding) => {
    const atOnce = [
      vi.spyOn(zlib, 'gzipSync'),
      vi.spyOn(zlib, 'brotliCompressSync'),
      ...(codings.includes('zstd') ? [vi.spyOn(zlib, 'zstdCompressSync')] : []),
    ]
    // The fastest machine: what it learns from takes no time at all.
    vi.spyOn(performance, 'now').mockReturnValue(0)
    const compressor = createCompressor()
    const text = JSON.stringify(Array.from({ length: 25_000 }, (_, id) => ({ id, name: `Üser ${id}` })))
    expect(text.length).toBeLessThan(1024 * 1024)
    for (let size = 16 * 1024; size < text.length; size *= 1.2)
      await compressor.body(text.slice(0, size), headOf(coding))
    const sizes = atOnce.flatMap(({ mock }) => mock.calls.map(([bytes]) => (bytes as Buffer).length))
    vi.restoreAllMocks()
    expect(sizes.length).toBeGreaterThan(1)
    // Four times the pace of a usual machine, for half a millisecond.
    expect(Math.max(...sizes)).toBeLessThanOrEqual(0.5 * 4 * { gzip: 60_000, br: 85_000, zstd: 300_000 }[coding])
  })

  it('makes bytes of a long text in turns, each no longer than a piece', async () => {
    const from = vi.spyOn(Buffer, 'from')
    const text = `x${'😀€'.repeat(200_000)}`
    const encoding = createCompressor().body(text, headOf('gzip'))
    expect(encoding).toBeInstanceOf(Promise)
    const { body } = await encoding
    const lengths = from.mock.calls.map(([given]) => (given as unknown as string).length)
    from.mockRestore()
    expect(Math.max(...lengths)).toBeLessThanOrEqual(128 * 1024 + 1)
    expect(decode(body, 'gzip').toString()).toBe(text)
  })

  it('uses the levels that it is given', async () => {
    const text = JSON.stringify(Array.from({ length: 2_000 }, (_, id) => ({ id, at: id * 7919, name: `n${id % 97}` })))
    for (const [coding, low, high] of [
      ['gzip', { gzipLevel: 1 }, { gzipLevel: 9 }],
      ['br', { brotliQuality: 0 }, { brotliQuality: 9 }],
    ] as const) {
      const [worse, better] = await Promise.all(
        [low, high].map(async (levels) => (await createCompressor(levels).body(text, headOf(coding))).body.length),
      )
      expect(better).toBeLessThan(worse as number)
    }
  })

  it('takes bytes of any kind', async () => {
    const text = JSON.stringify(rows)
    const bytes = new TextEncoder().encode(`before${text}`)
    const { encoding, body } = await createCompressor().body(bytes.subarray(6), headOf('gzip'))
    expect(decode(body, encoding).toString()).toBe(text)
  })

  it('reads headers as Node keeps them: numbers and lists', () => {
    const compressor = createCompressor()
    const headers: Record<string, string | number | string[]> = {
      'content-type': 'text/plain',
      'content-length': 1_023,
      vary: ['Origin', 'Accept'],
    }
    const head: CompressibleHead = { acceptEncoding: 'gzip', header: (name) => headers[name] }
    expect(compressor.stream(head)).toMatchObject({ encoding: 'identity', skipped: 'small' })
    headers['content-length'] = 1_024
    const { encoder, encoding, set } = compressor.stream(head)
    encoder?.destroy()
    expect([encoding, set.vary]).toEqual(['gzip', 'Origin,Accept, Accept-Encoding'])
  })

  it('calls `header` as a method of the head', async () => {
    class Head implements CompressibleHead {
      readonly acceptEncoding = 'gzip'
      readonly status: number
      readonly #fields: Record<string, string> = { 'content-type': 'application/json', etag: '"a"' }
      constructor(status: number) {
        this.status = status
      }
      header(name: string) {
        return this.#fields[name]
      }
    }
    const compressor = createCompressor()
    expect(compressor.stream(new Head(200))).toMatchObject({ encoding: 'gzip' })
    expect(await compressor.body('', new Head(304))).toMatchObject({ set: { etag: 'W/"a"' } })
  })

  it('answers right whatever the number of types and of headers of clients that it has seen', async () => {
    const compressor = createCompressor()
    for (let index = 0; index < 250; index++) {
      const isText = index % 2 === 0
      const type = isText ? `text/plain; n=${index}` : `image/png; n=${index}`
      const accept = index % 3 === 0 ? `x-${index}` : `x-${index}, gzip`
      const { encoding } = await compressor.body('x'.repeat(2_000), headOf(accept, { 'content-type': type }))
      expect(encoding, `${type} for ${accept}`).toBe(isText && index % 3 !== 0 ? 'gzip' : 'identity')
    }
  })

  it('encodes a small body when the client refuses it as it is', async () => {
    const { encoding, body } = await createCompressor().body('{}', headOf('gzip, identity;q=0'))
    expect(encoding).toBe('gzip')
    expect(decode(body, 'gzip').toString()).toBe('{}')
  })

  it('gives every body back, whole or in any pieces, in every coding', async () => {
    const compressor = createCompressor({ threshold: 0 })
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 5_000 }),
      fc.json().map((text) => Buffer.from(text)),
      fc.integer({ min: 0, max: 300_000 }).map((size) => Buffer.alloc(size, 'every word twice, every word twice. ')),
      fc.integer({ min: 0, max: 100_000 }).map((size) => randomBytes(size)),
    )
    const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 12 })
    await fc.assert(
      fc.asyncProperty(bytes, cuts, fc.constantFrom(...codings), async (given, at, coding) => {
        const body = Buffer.from(given)
        const whole = await compressor.body(body, headOf(coding))
        expect(decode(whole.body, whole.encoding).equals(body)).toBe(true)
        expect(whole.body.length).toBeLessThanOrEqual(body.length)
        const { encoder, encoding } = compressor.stream(headOf(coding))
        const positions = [0, ...at.map((share) => Math.floor(share * body.length)).sort((a, b) => a - b), body.length]
        const pieces = positions.slice(1).map((end, index) => body.subarray(positions[index], end))
        const encoded = await buffer(Readable.from(pieces).pipe(encoder as NonNullable<typeof encoder>))
        expect(decode(encoded, encoding).equals(body)).toBe(true)
      }),
      { numRuns },
    )
  })

  it.each(codings)('gives 5 MB back in %s', async (coding) => {
    const body = Buffer.concat([randomBytes(2_500_000), Buffer.alloc(2_500_000, 'once more, ')])
    const { encoding, body: encoded, set } = await createCompressor().body(body, headOf(coding))
    expect(encoding).toBe(coding)
    expect(set['content-length']).toBe(String(encoded.length))
    expect(decode(encoded, encoding).equals(body)).toBe(true)
  })

  it('sends on what is written within some milliseconds, and tells at the end what went in and out', async () => {
    const ends: [number, number][] = []
    const { encoder } = createCompressor().stream(headOf('gzip'), (...sizes) => ends.push(sizes))
    const stream = encoder as NonNullable<typeof encoder>
    let arrived = ''
    let encodedBytes = 0
    const decoder = zlib.createGunzip().on('data', (chunk) => {
      arrived += chunk
    })
    stream.on('data', (chunk) => {
      encodedBytes += chunk.length
    })
    stream.pipe(decoder)
    for (const piece of ['first', ' second', ' third']) {
      stream.write(piece)
      await expect.poll(() => arrived, { interval: 5 }).toMatch(new RegExp(`${piece}$`))
    }
    stream.end()
    await expect.poll(() => ends.length).toBe(1)
    expect(ends).toEqual([[18, encodedBytes]])
  })
})

describe('compressJson', () => {
  it('takes requests of fetch and of Node', async () => {
    for (const request of [
      new Request('http://x/', { headers: { 'accept-encoding': 'gzip' } }),
      { headers: { 'accept-encoding': 'gzip' } },
    ]) {
      const { status, headers, body } = await compressJson(rows, request)
      expect(status).toBe(200)
      expect(headers).toEqual({
        'content-type': 'application/json; charset=utf-8',
        'content-encoding': 'gzip',
        'content-length': String(body.length),
        vary: 'Accept-Encoding',
      })
      expect(JSON.parse(decode(body, 'gzip').toString())).toEqual(rows)
    }
  })

  it('tells the length in bytes of what it leaves', async () => {
    const { headers, body } = await compressJson('ü', { headers: {} })
    expect(headers['content-length']).toBe('4')
    expect(body).toBe('"ü"')
  })

  it('gives the head of GET for HEAD, because servers send the length of the body that they leave out', async () => {
    const request = { headers: { 'accept-encoding': 'gzip' } }
    expect(await compressJson(rows, { ...request, method: 'HEAD' })).toEqual(await compressJson(rows, request))
    const heads = ['GET', 'HEAD'].map((method) => {
      const response = new CompressedJSONResponse(rows, { request: { ...request, method } })
      return Object.fromEntries(response.headers)
    })
    expect(heads[1]).toEqual(heads[0])
  })

  it('refuses what has no JSON', async () => {
    await expect(compressJson(undefined, { headers: {} })).rejects.toThrow('Expected `data`')
  })
})

describe('CompressedJSONResponse', () => {
  it('is a response with the given head, its body encoded', async () => {
    const request = new Request('http://x/', { headers: { 'accept-encoding': 'br' } })
    const headers = { etag: '"1"', 'content-type': 'application/problem+json' }
    const response = new CompressedJSONResponse(rows, { request, status: 409, headers })
    expect(response).toBeInstanceOf(Response)
    expect(response.status).toBe(409)
    const body = Buffer.from(await response.arrayBuffer())
    expect(Object.fromEntries(response.headers)).toEqual({
      etag: 'W/"1"',
      'content-type': 'application/problem+json',
      'content-encoding': 'br',
      'content-length': String(body.length),
      vary: 'Accept-Encoding',
    })
    expect(JSON.parse(decode(body, 'br').toString())).toEqual(rows)
  })

  it('leaves a small body as it is', async () => {
    const response = new CompressedJSONResponse([1], { request: { headers: { 'accept-encoding': 'gzip' } } })
    expect(Object.fromEntries(response.headers)).toEqual({
      'content-type': 'application/json; charset=utf-8',
      vary: 'Accept-Encoding',
    })
    expect(await response.json()).toEqual([1])
  })

  it('does not block for a large body', async () => {
    const request = { headers: { 'accept-encoding': 'gzip' } }
    const large = Array.from({ length: 20_000 }, (_, id) => ({ id, name: `User ${id}` }))
    const response = new CompressedJSONResponse(large, { request })
    expect(response.headers.get('content-length')).toBeNull()
    expect(JSON.parse(decode(Buffer.from(await response.arrayBuffer()), 'gzip').toString())).toEqual(large)
  })
})
