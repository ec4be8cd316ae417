import type { EntryHeader, StoredEntry } from './store.ts'

/** The header without its tags, as JSON. */
export function packHeader({ ttlMs, staleMs, costMs, profile, version, format, codec, rawBytes }: EntryHeader): string {
  return JSON.stringify([ttlMs, staleMs, costMs, profile, version, format, codec, rawBytes])
}

/**
 * The header that {@link packHeader} wrote, with its tags.
 *
 * @throws when they are anything else
 */
export function unpackHeader(text: string, tags: unknown): EntryHeader {
  const fields: unknown = JSON.parse(text)
  if (!isHeader(fields) || !Array.isArray(tags)) throw new TypeError('an entry has a foreign header')
  const [ttlMs, staleMs, costMs, profile, version, format, codec, rawBytes] = fields
  return { ttlMs, staleMs, costMs, profile, version, format, codec, rawBytes, tags }
}

/**
 * What lies between an entry's stamps and its payload in Redis, made so that a script need not parse JSON:
 * `<fresh for, in microseconds>.<then stale for>.<bytes of tags>.<bytes of header>.<tags as JSON><header>`.
 */
export function packHead(header: EntryHeader): string {
  const tags = JSON.stringify(header.tags)
  const rest = packHeader(header)
  const lifetimes = `${Math.round(header.ttlMs * 1_000)}.${Math.round(header.staleMs * 1_000)}`
  return `${lifetimes}.${Buffer.byteLength(tags)}.${Buffer.byteLength(rest)}.${tags}${rest}`
}

const longestStart = 160

/**
 * An entry as the Redis scripts write it: `P2.<asOf>.<generation>.<storedAt>.`, what {@link packHead} made, the payload.
 *
 * @throws when it is anything else
 */
export function parseEntry(bytes: Buffer): StoredEntry {
  const start = /^P2\.\d+\.\w+\.\d+\.\d+\.\d+\.(\d+)\.(\d+)\./.exec(bytes.toString('latin1', 0, longestStart))
  if (start === null) throw new TypeError('an entry has a foreign beginning')
  const headerAt = start[0].length + Number(start[1])
  const payloadAt = headerAt + Number(start[2])
  const tags: unknown = JSON.parse(bytes.toString('utf8', start[0].length, headerAt))
  return { header: unpackHeader(bytes.toString('utf8', headerAt, payloadAt), tags), payload: bytes.subarray(payloadAt) }
}

type Fields = [number, number, number, string, string, string, string, number]

const types = ['number', 'number', 'number', 'string', 'string', 'string', 'string', 'number']

function isHeader(fields: unknown): fields is Fields {
  if (!Array.isArray(fields) || fields.length !== types.length) return false
  return fields.every((field, index) => typeof field === types[index])
}
