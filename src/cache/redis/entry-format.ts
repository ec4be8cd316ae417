import { decodeHeader, type EntryHeader, encodeHeader, type StoredEntry } from '../store/store.ts'
import { tagMarginMs } from './redis-scripts.ts'

/**
 * The part of an entry in Redis between its stamps and its payload. A script reads the lifetimes and tags without parsing the
 * header: `<fresh for, in microseconds>.<stale for, in microseconds>.<bytes of tags>.<bytes of header>.<tags as JSON><header>`.
 */
export function encodePrefix(header: EntryHeader): string {
  const tags = JSON.stringify(header.tags)
  const rest = encodeHeader(header)
  const lifetimes = `${Math.round(header.ttlMs * 1_000)}.${Math.round(header.staleMs * 1_000)}`
  return `${lifetimes}.${Buffer.byteLength(tags)}.${Buffer.byteLength(rest)}.${tags}${rest}`
}

/** An entry of Redis, with the stamps that the scripts put before it. */
export interface RedisEntry extends StoredEntry {
  /** The clock as it was before the load began. */
  readonly asOf: number
  readonly generation: string
  /** The server's time in microseconds. */
  readonly storedAt: number
}

type Prefix = Omit<RedisEntry, 'payload'>

const maxPrefixes = 1_000
const longestCached = 1_000

/** Parses what the scripts write: `P2.<asOf>.<generation>.<storedAt>.`, the text of {@link encodePrefix}, the payload. */
export class EntryParser {
  /** Parsed prefixes by their text: to parse one takes longer than to read a small payload. */
  readonly #prefixes = new Map<string, Prefix>()

  /** The entry, or `undefined` when the bytes are anything else. */
  parse(bytes: Buffer): RedisEntry | undefined {
    const payloadAt = endOfPrefix(bytes)
    const text = bytes.toString('latin1', 0, payloadAt)
    const prefix = this.#prefixes.get(text) ?? this.#parsePrefix(bytes, text)
    if (prefix === undefined) return undefined
    const { asOf, generation, storedAt, header } = prefix
    return { asOf, generation, storedAt, header, payload: bytes.subarray(payloadAt) }
  }

  #parsePrefix(bytes: Buffer, text: string): Prefix | undefined {
    const start = /^P2\.(\d+)\.(\w+)\.(\d+)\.\d+\.\d+\.(\d+)\.\d+\./.exec(text)
    if (start === null) return undefined
    const headerAt = start[0].length + Number(start[4])
    try {
      const tags: unknown = JSON.parse(bytes.toString('utf8', start[0].length, headerAt))
      const header = decodeHeader(bytes.toString('utf8', headerAt, text.length), tags)
      const prefix = { asOf: Number(start[1]), generation: start[2] as string, storedAt: Number(start[3]), header }
      if (this.#prefixes.size >= maxPrefixes) this.#prefixes.clear()
      if (text.length <= longestCached) this.#prefixes.set(text, prefix)
      return prefix
    } catch {
      return undefined
    }
  }
}

const dot = 0x2e
const zero = 0x30

/** Where the payload of an entry begins. For bytes that are no entry the result has no meaning. */
function endOfPrefix(bytes: Buffer): number {
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

/**
 * The stamps of a tag: of the latest invalidation, and of the latest change, which may have made its entries stale instead.
 */
export interface TagStamps {
  readonly hard: number
  readonly latest: number
}

const noStamps: TagStamps = { hard: Number.NaN, latest: Number.NaN }
const tilde = 0x7e
const colon = 0x3a

/** Parses a tag's record, `<stamp>` or `<stamp>~<stamp>~…`. The stamps are `NaN` for anything else. */
export function parseTagRecord(bytes: Buffer): TagStamps {
  let hard = 0
  let number = 0
  let isSoft = false
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] as number
    if ((byte === tilde && at > 0) || (byte === colon && isSoft)) {
      if (!isSoft) hard = number
      isSoft = true
      number = 0
    } else if (byte < zero || byte > zero + 9) return noStamps
    else number = number * 10 + byte - zero
  }
  if (bytes.length === 0) return noStamps
  return { hard: isSoft ? hard : number, latest: number }
}

/** Since when an entry is stale because of a tag with this record, as the script for reading finds it. */
export function staleSince(record: Buffer, asOf: number): number | undefined {
  for (const [, since, until = since] of record.toString('latin1').matchAll(/~(\d+)(?::(\d+))?/g)) {
    if (asOf < Number(until)) return Math.max(asOf, Number(since))
  }
  return undefined
}

/** Milliseconds until Redis may drop an entry. */
export function lifetimeOf({ header }: StoredEntry): number {
  return Math.max(1, Math.ceil(header.ttlMs + header.staleMs))
}

/** Milliseconds for which Redis keeps the records of an entry's tags. */
export function tagLifetime(entryMs: number): string {
  return String(entryMs + tagMarginMs)
}

const longestText = 16_384

/** The payload, as a string if it is short text: node-redis sends a command of strings alone in half the time. */
export function toArgument({ header, payload }: StoredEntry): string | Buffer {
  const isText = header.codec === 'none' && header.format === 'json'
  return isText && payload.length <= longestText ? payload.toString() : payload
}
