import { hasExactTags } from '../call-options.ts'
import { toStoreKey } from '../key.ts'
import { decodeHeader, type EntryHeader, encodeHeader, type ReadResult, type StoredEntry } from '../store/store.ts'
import type { ClockReading } from './coherence.ts'
import { tagMarginMs } from './redis-scripts.ts'

/** The names of a namespace's records in Redis. They share a hash tag, so that they are on one node of a cluster. */
export class RecordKeys {
  readonly prefix: string
  readonly clock: string

  constructor(namespace: string) {
    this.prefix = `{${namespace}}:`
    this.clock = `${this.prefix}clock`
  }

  entry(key: string): string {
    return `${this.prefix}e:${toStoreKey(key)}`
  }

  lease(key: string): string {
    return `${this.prefix}l:${toStoreKey(key)}`
  }

  tag(tag: string): string {
    return `${this.prefix}t:${tag}`
  }

  /** What a read needs: the clock, then the entries, then the tags. */
  forRead(keys: readonly string[], tags: readonly string[]): string[] {
    const all = [this.clock]
    for (let index = 0; index < keys.length; index++) all.push(this.entry(keys[index] as string))
    for (let index = 0; index < tags.length; index++) all.push(this.tag(tags[index] as string))
    return all
  }
}

const longestText = 16_384

/** An entry as the scripts that store it take it: its milliseconds to live, head and payload, and the milliseconds of its tags. */
export function encodeEntry({ header, payload }: StoredEntry): readonly [string, string, string | Buffer, string] {
  const ms = Math.max(1, Math.ceil(header.ttlMs + header.staleMs))
  // node-redis sends a command of strings alone in half the time.
  const isText = header.codec === 'none' && header.format === 'json' && payload.length <= longestText
  return [String(ms), encodeHead(header), isText ? payload.toString() : payload, String(ms + tagMarginMs)]
}

/**
 * The part of an entry in Redis between its stamps and its payload. A script reads the lifetimes and tags without parsing the
 * header: `<fresh for, in microseconds>.<stale for, in microseconds>.<bytes of tags>.<bytes of header>.<tags as JSON><header>`.
 */
function encodeHead(header: EntryHeader): string {
  const tags = JSON.stringify(header.tags)
  const rest = encodeHeader(header)
  const lifetimes = `${Math.round(header.ttlMs * 1_000)}.${Math.round(header.staleMs * 1_000)}`
  return `${lifetimes}.${Buffer.byteLength(tags)}.${Buffer.byteLength(rest)}.${tags}${rest}`
}

/** An entry of Redis, with the stamps that the scripts put before it. */
interface RedisEntry extends StoredEntry {
  /** The clock as it was before the load began. */
  readonly asOf: number
  readonly generation: string
  /** The server's time in microseconds. */
  readonly storedAt: number
}

type Prefix = Omit<RedisEntry, 'payload'>

const maxPrefixes = 1_000
const longestCached = 1_000

/** Parses what the scripts write: `P2.<asOf>.<generation>.<storedAt>.`, then the head and the payload of {@link encodeEntry}. */
export class EntryParser {
  /** Parsed prefixes by their text: to parse one takes longer than to read a small payload. */
  readonly #prefixes = new Map<string, Prefix>()

  /** The entry, or `undefined` when there are no bytes, or they are not those of an entry. */
  parse(bytes: Buffer | null | undefined): RedisEntry | undefined {
    if (!bytes) return undefined
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
interface TagRecord {
  readonly hard: number
  readonly latest: number
}

const noStamps: TagRecord = { hard: Number.NaN, latest: Number.NaN }
const tilde = 0x7e
const colon = 0x3a

/** Parses a tag's record, `<stamp>` or `<stamp>~<stamp>~…`. The stamps are `NaN` for anything else, and for no record. */
export function parseTagRecord(bytes: Buffer | null | undefined): TagRecord {
  if (!bytes || bytes.length === 0) return noStamps
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
  return { hard: isSoft ? hard : number, latest: number }
}

/** What an optimistic read showed beside the entries. */
interface OptimisticSnapshot {
  readonly clock: ClockReading
  readonly nowMs: number
  readonly tags: readonly string[]
  readonly stamps: readonly number[]
}

/** The entry, if it is fresh, current, and has exactly the tags. The script judges all others. */
export function toFreshResult(
  entry: RedisEntry | undefined,
  { clock, nowMs, tags, stamps }: OptimisticSnapshot,
): ReadResult | undefined {
  if (entry === undefined || entry.generation !== clock.generation || entry.asOf > clock.stamp) return undefined
  if (!hasExactTags(entry.header, tags) || !stamps.every((stamp) => stamp <= entry.asOf)) return undefined
  const ageMs = Math.max(0, nowMs - entry.storedAt / 1_000)
  return ageMs < entry.header.ttlMs ? { state: 'fresh', ageMs, entry } : undefined
}

/** What Redis held when an entry was read without a script. */
interface PlainSnapshot {
  readonly clock: ClockReading
  /** The time in milliseconds, by the server's clock as far as it is known. */
  readonly nowMs: number
  readonly named: readonly string[]
  /** Of all tags that the entry carries. */
  readonly tagRecords: ReadonlyMap<string, Buffer | null | undefined>
}

/** Judges an entry as the script for reading does, for a user of Redis who may read but not run scripts. */
export function judgeEntry(entry: RedisEntry | undefined, snapshot: PlainSnapshot): ReadResult {
  if (entry === undefined) return { state: 'absent', isReadOnly: true }
  const { clock, nowMs, named, tagRecords } = snapshot
  const { header, asOf } = entry
  const records = header.tags.map((tag) => tagRecords.get(tag))
  const isOfClock = entry.generation === clock.generation && asOf <= clock.stamp
  const isCurrent = records.every((record) => parseTagRecord(record).hard <= asOf)
  if (!isOfClock || !isCurrent || !named.every((tag) => header.tags.includes(tag))) {
    return { state: 'invalidated', isReadOnly: true }
  }
  const times = records.map((record) => staleSince(record as Buffer, asOf)).filter((since) => since !== undefined)
  const isInvalidated = times.length > 0
  const ages = [0, nowMs - entry.storedAt / 1_000]
  // The age counts as if `ttl` had ended when the tag was invalidated.
  if (isInvalidated) ages.push(header.ttlMs + Math.max(0, nowMs - Math.min(...times) / 1_000))
  const ageMs = Math.max(...ages)
  if (ageMs >= header.ttlMs + header.staleMs) return { state: 'expired', ageMs, isReadOnly: true }
  return { state: ageMs < header.ttlMs ? 'fresh' : 'stale', ageMs, isInvalidated, entry, isReadOnly: true }
}

/** Since when an entry is stale because of a tag with this record, as the script for reading finds it. */
function staleSince(record: Buffer, asOf: number): number | undefined {
  for (const [, since, until = since] of record.toString('latin1').matchAll(/~(\d+)(?::(\d+))?/g)) {
    if (asOf < Number(until)) return Math.max(asOf, Number(since))
  }
  return undefined
}
