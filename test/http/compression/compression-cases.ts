import { randomBytes } from 'node:crypto'
import zlib from 'node:zlib'
import type { Answer } from '../../support/answering.ts'

/** What a client sends, what the route answers, and what must arrive. */
export interface CompressionCase {
  readonly name: string
  readonly method?: string
  /** `Accept-Encoding`; absent: none is sent. */
  readonly accept?: string
  readonly answer: Answer
  /** The coding that must arrive, or several that are right. The first is ours. */
  readonly encoding: string | readonly string[]
  /** The whole `Vary` that must arrive; `false`: it must not say `Accept-Encoding`. */
  readonly vary?: string | false
  readonly etag?: string
  /** Headers that must not arrive. */
  readonly without?: readonly string[]
  /** Whether `Content-Length` must tell the length of what arrives. */
  readonly hasLength?: boolean
}

const rows = Array.from({ length: 60 }, (_, id) => ({ id, name: `User ${id}`, email: `user${id}@example.com` }))
const json = JSON.stringify(rows)
const type = 'application/json; charset=utf-8'
const answer: Answer = { headers: { 'content-type': type }, body: json }
const withHeaders = (headers: Record<string, string>): Answer => ({
  ...answer,
  headers: { 'content-type': type, ...headers },
})
const ofType = (contentType: string): Answer => ({ headers: { 'content-type': contentType }, body: Buffer.from(json) })
const ofLength = (length: number): Answer => ({
  headers: { 'content-type': type },
  body: `"${'x'.repeat(length - 2)}"`,
})
const varies = 'Accept-Encoding'
const best = typeof zlib.zstdCompressSync === 'function' ? 'zstd' : 'br'

async function* pieces(): AsyncGenerator<string> {
  for (let start = 0; start < json.length; start += 500) {
    await new Promise(setImmediate)
    yield json.slice(start, start + 500)
  }
}

const smallPieces = 'data: {}\n\n'

export const cases: readonly CompressionCase[] = [
  // What is accepted
  { name: 'no Accept-Encoding', answer, encoding: 'identity', vary: varies, hasLength: true },
  { name: 'an empty Accept-Encoding', accept: '', answer, encoding: 'identity', vary: varies },
  { name: 'gzip', accept: 'gzip', answer, encoding: 'gzip', vary: varies, hasLength: true },
  { name: 'br', accept: 'br', answer, encoding: ['br', 'identity'], vary: varies, hasLength: true },
  { name: 'zstd', accept: 'zstd', answer, encoding: [best === 'zstd' ? 'zstd' : 'identity', 'identity'], vary: varies },
  { name: 'all that a browser accepts', accept: 'gzip, deflate, br, zstd', answer, encoding: [best, 'br', 'gzip'] },
  { name: 'br and gzip alike', accept: 'br;q=1.0, gzip;q=1.0', answer, encoding: ['br', 'gzip'] },
  { name: 'gzip over br by weight', accept: 'br;q=0.5, gzip;q=1', answer, encoding: 'gzip' },
  { name: 'br over gzip by weight', accept: 'gzip;q=0.2, br', answer, encoding: ['br', 'gzip'] },
  {
    name: 'identity over gzip by weight',
    accept: 'identity;q=1, gzip;q=0.5',
    answer,
    encoding: 'identity',
    vary: varies,
  },
  { name: 'gzip refused', accept: 'gzip;q=0', answer, encoding: 'identity', vary: varies },
  { name: 'everything refused', accept: '*;q=0', answer, encoding: 'identity', vary: varies },
  { name: 'anything', accept: '*', answer, encoding: ['gzip', 'br', 'zstd', 'deflate'], vary: varies },
  { name: 'anything but gzip', accept: 'gzip;q=0, *', answer, encoding: ['br', 'zstd', 'deflate', 'identity'] },
  { name: 'gzip and nothing else', accept: 'gzip, *;q=0', answer, encoding: 'gzip', vary: varies },
  { name: 'an unknown coding', accept: 'compress', answer, encoding: 'identity', vary: varies },
  { name: 'capitals', accept: 'GZIP', answer, encoding: ['gzip', 'identity'], vary: varies },
  { name: 'the old name of gzip', accept: 'x-gzip', answer, encoding: ['gzip', 'identity'], vary: varies },
  { name: 'a weight that is no number', accept: 'gzip;q=high', answer, encoding: ['identity', 'gzip'] },

  // What is worth it
  { name: 'a body of 7 bytes', accept: 'gzip', answer: ofLength(7), encoding: 'identity', hasLength: true },
  { name: 'a body of 1023 bytes', accept: 'gzip', answer: ofLength(1023), encoding: 'identity', hasLength: true },
  { name: 'a body of 1024 bytes', accept: 'gzip', answer: ofLength(1024), encoding: 'gzip', hasLength: true },
  { name: 'no body', accept: 'gzip', answer: { ...answer, body: '' }, encoding: 'identity' },
  { name: 'nothing but a head', accept: 'gzip', answer: { headers: { 'content-type': type } }, encoding: 'identity' },
  {
    name: 'a small body when only gzip will do',
    accept: 'gzip, identity;q=0',
    answer: ofLength(7),
    encoding: ['gzip', 'identity'],
  },
  {
    name: 'a body that does not become smaller',
    accept: 'gzip',
    answer: { headers: { 'content-type': 'text/plain' }, body: randomBytes(3_000) },
    encoding: 'identity',
    vary: varies,
    hasLength: true,
  },

  // What may be compressed
  { name: 'a PNG', accept: 'gzip', answer: ofType('image/png'), encoding: 'identity', vary: false },
  { name: 'a ZIP', accept: 'gzip', answer: ofType('application/zip'), encoding: 'identity', vary: false },
  { name: 'an SVG', accept: 'gzip', answer: ofType('image/svg+xml'), encoding: 'gzip', vary: varies },
  { name: 'a problem document', accept: 'gzip', answer: ofType('application/problem+json'), encoding: 'gzip' },
  { name: 'a type in capitals', accept: 'gzip', answer: ofType('TEXT/HTML; Charset=UTF-8'), encoding: 'gzip' },
  {
    name: 'an event stream',
    accept: 'gzip',
    answer: {
      headers: { 'content-type': 'text/event-stream' },
      async *pieces() {
        for (let event = 0; event < 300; event++) yield smallPieces
      },
    },
    encoding: 'identity',
    vary: false,
  },
  {
    name: 'a body that is encoded already',
    accept: 'gzip, br',
    answer: { ...withHeaders({ 'content-encoding': 'gzip' }), body: zlib.gzipSync(json) },
    encoding: 'gzip',
    hasLength: true,
  },
  {
    name: 'no-transform',
    accept: 'gzip',
    answer: withHeaders({ 'cache-control': 'no-transform' }),
    encoding: 'identity',
  },
  {
    name: 'no-transform among others, in capitals',
    accept: 'gzip',
    answer: withHeaders({ 'cache-control': 'public, No-Transform' }),
    encoding: 'identity',
  },
  {
    name: 'a part of a body',
    accept: 'gzip',
    answer: { ...withHeaders({ 'content-range': `bytes 0-${json.length - 1}/90000` }), status: 206 },
    encoding: 'identity',
    hasLength: true,
  },
  {
    name: 'a body with a digest',
    accept: 'gzip',
    answer: withHeaders({ 'content-digest': 'sha-256=:d435Qo+nKZ+gLcUHn7GQtQ72hiBVAgqoLsZnZPiTGPk=:' }),
    encoding: 'identity',
  },
  { name: '204', accept: 'gzip', answer: { status: 204 }, encoding: 'identity' },
  {
    name: '304',
    accept: 'gzip',
    answer: { status: 304, headers: { etag: '"v1"' } },
    encoding: 'identity',
    vary: varies,
    etag: 'W/"v1"',
  },
  {
    name: '304 to a client that accepts no coding',
    answer: { status: 304, headers: { etag: '"v1"' } },
    encoding: 'identity',
    vary: varies,
    etag: '"v1"',
  },
  { name: '404', accept: 'gzip', answer: { ...answer, status: 404 }, encoding: 'gzip', vary: varies },
  { name: '500', accept: 'gzip', answer: { ...answer, status: 500 }, encoding: 'gzip', vary: varies },
  { name: 'POST', method: 'POST', accept: 'gzip', answer, encoding: 'gzip', vary: varies },
  {
    name: 'HEAD',
    method: 'HEAD',
    accept: 'gzip',
    answer,
    encoding: 'identity',
    vary: varies,
    without: ['content-length'],
  },
  { name: 'HEAD of a small body', method: 'HEAD', accept: 'gzip', answer: ofLength(7), encoding: 'identity' },

  // What changes in the head
  { name: 'a strong ETag', accept: 'gzip', answer: withHeaders({ etag: '"v1"' }), encoding: 'gzip', etag: 'W/"v1"' },
  { name: 'a weak ETag', accept: 'gzip', answer: withHeaders({ etag: 'W/"v1"' }), encoding: 'gzip', etag: 'W/"v1"' },
  {
    name: 'a strong ETag of a body that is left',
    answer: withHeaders({ etag: '"v1"' }),
    encoding: 'identity',
    etag: '"v1"',
  },
  {
    name: 'another Vary',
    accept: 'gzip',
    answer: withHeaders({ vary: 'Origin' }),
    encoding: 'gzip',
    vary: 'Origin, Accept-Encoding',
  },
  {
    name: 'the same Vary',
    accept: 'gzip',
    answer: withHeaders({ vary: 'accept-encoding' }),
    encoding: 'gzip',
    vary: 'accept-encoding',
  },
  { name: 'Vary: *', accept: 'gzip', answer: withHeaders({ vary: '*' }), encoding: 'gzip', vary: '*' },
  {
    name: 'a length told by the handler',
    accept: 'gzip',
    answer: withHeaders({ 'content-length': String(json.length) }),
    encoding: 'gzip',
    hasLength: true,
  },
  {
    name: 'Accept-Ranges',
    accept: 'gzip',
    answer: withHeaders({ 'accept-ranges': 'bytes' }),
    encoding: 'gzip',
    without: ['accept-ranges'],
  },

  // In pieces
  {
    name: 'pieces',
    accept: 'gzip',
    answer: { headers: { 'content-type': type }, pieces },
    encoding: 'gzip',
    vary: varies,
    without: ['content-length'],
  },
  {
    name: 'pieces as they are',
    answer: { headers: { 'content-type': type }, pieces },
    encoding: 'identity',
    vary: varies,
  },
  {
    name: 'few pieces of a told length',
    accept: 'gzip',
    answer: {
      headers: { 'content-type': type, 'content-length': '7' },
      async *pieces() {
        yield '"abc'
        await new Promise(setImmediate)
        yield 'de"'
      },
    },
    encoding: 'identity',
    hasLength: true,
  },
]

/** The faults of what arrived; none when all is right. */
export function faultsOf(
  { encoding, vary, etag, without = [], hasLength, method, answer: { body: sent, status = 200 } }: CompressionCase,
  received: { status: number; headers: Readonly<Record<string, string | string[] | undefined>>; body: Buffer },
  original: Buffer,
): string[] {
  const faults: string[] = []
  const { headers, body: bytes } = received
  const arrived = String(headers['content-encoding'] ?? 'identity')
  const right = typeof encoding === 'string' ? [encoding] : encoding
  if (received.status !== status) faults.push(`status ${received.status}`)
  if (!right.includes(arrived)) faults.push(`sent as ${arrived}`)
  const told = String(headers.vary ?? '')
  if (vary === false && /accept-encoding/i.test(told)) faults.push(`Vary: ${told}`)
  // The other way round is right as well.
  if (typeof vary === 'string' && told.toLowerCase() !== vary.toLowerCase()) faults.push(`Vary: ${told || 'none'}`)
  if (etag !== undefined && headers.etag !== etag) faults.push(`ETag: ${headers.etag}`)
  for (const name of without) if (headers[name] !== undefined) faults.push(`${name}: ${headers[name]}`)
  if (hasLength && headers['content-length'] !== String(bytes.length)) {
    faults.push(`Content-Length: ${headers['content-length'] ?? 'none'}`)
  }
  const isBodiless = method === 'HEAD' || status === 204 || status === 304
  if (isBodiless && bytes.length > 0) faults.push('has a body')
  if (!isBodiless && !decode(bytes, arrived, sent).equals(original)) faults.push('another body')
  return faults
}

function decode(bytes: Buffer, encoding: string, sent: string | Buffer | undefined): Buffer {
  if (encoding === 'identity' || (Buffer.isBuffer(sent) && sent.equals(bytes))) return bytes
  if (encoding === 'zstd') return zlib.zstdDecompressSync(bytes)
  if (encoding === 'br') return zlib.brotliDecompressSync(bytes)
  return encoding === 'gzip' ? zlib.gunzipSync(bytes) : zlib.inflateSync(bytes)
}
