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

/** An entry of Redis, with what it rests on. */
export interface RedisEntry extends StoredEntry {
  /** The clock as it was before the load began. */
  readonly asOf: number
  readonly generation: string
  /** The server's time, microseconds. */
  readonly storedAt: number
}

type Head = Omit<RedisEntry, 'payload'>

const maxHeads = 1_000
const longestKept = 1_000

/** Reads entries as the Redis scripts write them: `P2.<asOf>.<generation>.<storedAt>.`, what {@link packHead} made, the payload. */
export class EntryReader {
  /** What stands before the payload, as it was read before: to read it anew takes longer than to read a small payload. */
  readonly #heads = new Map<string, Head>()

  /** The entry, or `undefined` when the bytes are anything else. */
  read(bytes: Buffer): RedisEntry | undefined {
    const payloadAt = endOfHead(bytes)
    const text = bytes.toString('latin1', 0, payloadAt)
    const head = this.#heads.get(text) ?? this.#parse(bytes, text)
    if (head === undefined) return undefined
    const { asOf, generation, storedAt, header } = head
    return { asOf, generation, storedAt, header, payload: bytes.subarray(payloadAt) }
  }

  #parse(bytes: Buffer, text: string): Head | undefined {
    const start = /^P2\.(\d+)\.(\w+)\.(\d+)\.\d+\.\d+\.(\d+)\.\d+\./.exec(text)
    if (start === null) return undefined
    const headerAt = start[0].length + Number(start[4])
    try {
      const tags: unknown = JSON.parse(bytes.toString('utf8', start[0].length, headerAt))
      const header = unpackHeader(bytes.toString('utf8', headerAt, text.length), tags)
      const head = { asOf: Number(start[1]), generation: start[2] as string, storedAt: Number(start[3]), header }
      if (this.#heads.size >= maxHeads) this.#heads.clear()
      if (text.length <= longestKept) this.#heads.set(text, head)
      return head
    } catch {
      return undefined
    }
  }
}

const dot = 0x2e
const zero = 0x30

/** Where the payload of an entry begins; of anything else, anywhere. */
function endOfHead(bytes: Buffer): number {
  let at = 0
  let number = 0
  let lengths = 0
  for (let fields = 0; fields < 8 && at < bytes.length; at++) {
    const byte = bytes[at] as number
    if (byte !== dot) {
      number = number * 10 + byte - zero
      continue
    }
    fields++
    if (fields > 6) lengths += number
    number = 0
  }
  return at + lengths
}

/** The number whose digits the bytes are; of anything else `NaN`. */
export function parseDigits(bytes: Buffer): number {
  let number = 0
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] as number
    if (byte < zero || byte > zero + 9) return Number.NaN
    number = number * 10 + byte - zero
  }
  return bytes.length === 0 ? Number.NaN : number
}

type Fields = [number, number, number, string, string, string, string, number]

const types = ['number', 'number', 'number', 'string', 'string', 'string', 'string', 'number']

function isHeader(fields: unknown): fields is Fields {
  if (!Array.isArray(fields) || fields.length !== types.length) return false
  return fields.every((field, index) => typeof field === types[index])
}
