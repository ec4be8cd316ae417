import type { EntryHeader, StoredEntry } from './store.ts'

/** The header as JSON. The order is known to the Redis scripts, which read the first two fields and the last. */
export function packHeader(header: EntryHeader): string {
  const { ttlMs, staleMs, costMs, profile, version, format, codec, rawBytes, tags } = header
  return JSON.stringify([ttlMs, staleMs, costMs, profile, version, format, codec, rawBytes, tags])
}

/**
 * The header that {@link packHeader} wrote.
 *
 * @throws when it is anything else
 */
export function unpackHeader(text: string): EntryHeader {
  const fields: unknown = JSON.parse(text)
  if (!isHeader(fields)) throw new TypeError('an entry has a foreign header')
  const [ttlMs, staleMs, costMs, profile, version, format, codec, rawBytes, tags] = fields
  return { ttlMs, staleMs, costMs, profile, version, format, codec, rawBytes, tags }
}

/**
 * An entry as the Redis scripts write it: `P1.<asOf>.<generation>.<storedAt>.<length of header>.<header><payload>`.
 *
 * @throws when it is anything else
 */
export function parseEntry(bytes: Buffer): StoredEntry {
  const start = /^P1\.\d+\.\w+\.\d+\.(\d+)\./.exec(bytes.toString('latin1', 0, 128))
  if (start === null) throw new TypeError('an entry has a foreign beginning')
  const end = start[0].length + Number(start[1])
  return { header: unpackHeader(bytes.toString('utf8', start[0].length, end)), payload: bytes.subarray(end) }
}

type Fields = [number, number, number, string, string, string, string, number, string[]]

const types = ['number', 'number', 'number', 'string', 'string', 'string', 'string', 'number', 'object']

function isHeader(fields: unknown): fields is Fields {
  if (!Array.isArray(fields) || fields.length !== types.length) return false
  return fields.every((field, index) => typeof field === types[index]) && Array.isArray(fields.at(-1))
}
