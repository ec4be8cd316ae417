import { nodeCrypto } from '../../shared/platform/builtins.ts'
import type { Clock } from '../../shared/time/clock.ts'
import { toStoreKey } from '../key.ts'
import {
  decodeHeader,
  type EntryHeader,
  type EntryWrite,
  encodeHeader,
  type HeldLease,
  type ReadMode,
  type ReadResult,
  type Store,
  type StoredEntry,
  type WriteOutcome,
} from '../store/store.ts'
import type { TagStamps } from '../types.ts'
import { KeyvClient, type KeyvLike, unreadable } from './keyv-client.ts'

/**
 * The longest that a record is kept. Memcached reads a longer time as a date, which is long past. If a tag's record is lost
 * early, its entries become misses, nothing worse.
 */
const longestMs = 30 * 24 * 3_600_000

/** A call of the store that takes longer may never end: nobody waits for it any more. */
const longestMakingMs = 1_000

/** SQL adapters have columns of 255 characters for keys, and Keyv puts its own namespace before ours. */
const maxKeyLength = 200
/** Characters that stores refuse in keys: PostgreSQL NUL, Memcached all of them. */
const controlCharacter = /\p{Cc}/u

/** What the store held when the lease was granted. */
interface KeyvLease {
  readonly generation: string
  readonly changes: string | undefined
  readonly versions: ReadonlyMap<string, string>
  /** The key's record as it was, readable or not. */
  readonly record: string | undefined | typeof unreadable
}

/**
 * The store on every database that Keyv supports. It needs no more than `get`, `set` and `delete`.
 *
 * Each tag has a random version, and an invalidation replaces it. An entry is valid while the versions that it was stored with
 * are still those of its tags. A loaded value is stored only if all records are as they were before the load. A change between
 * that check and the write goes unnoticed, and other processes are sent no messages.
 */
export class KeyvStore implements Store {
  readonly #keyv: KeyvClient
  readonly #prefix: string
  readonly #deletedMs: number
  readonly #clock: Clock
  /** By key: the versions that are being made. */
  readonly #making = new Map<string, { readonly version: Promise<string>; readonly since: number }>()

  /**
   * @param deletedMs - how long a deleted key is remembered, so that loads which began earlier do not bring it back
   * @param clock - the time of day, by which processes tell the ages of one another's entries
   */
  constructor(keyv: KeyvLike, namespace: string, deletedMs: number, clock: Clock) {
    this.#keyv = new KeyvClient(keyv)
    // Keyv leaves out its own prefix for a key that begins with its namespace and a colon. Because of the bar no key does.
    this.#prefix = `posthaste|${namespace}:`
    this.#deletedMs = deletedMs
    this.#clock = clock
  }

  async connect(): Promise<void> {}

  async reconnect(): Promise<void> {}

  isListening(): boolean {
    return true
  }

  async read(keys: readonly string[], mode: ReadMode, tags: readonly string[]): Promise<ReadResult[]> {
    const names = [this.#generationKey, this.#changesKey, ...keys.map((key) => this.#entryKey(key))]
    const [generation, changes, ...texts] = await this.#keyv.getMany(names)
    const records = texts.map((text, index) => parseRecord(text, keys[index] as string))
    const carried = records.flatMap((record) => (typeof record === 'object' ? Object.keys(record.versions) : []))
    const versions = await this.#versions([...tags, ...carried])
    const states = records.map((record) => this.#stateOf(record, asText(generation), versions, tags))
    const isLeased = states.map(({ state }) => {
      return mode === 'refresh' || mode === 'force' || (mode !== 'get' && state !== 'fresh')
    })
    if (!isLeased.includes(true)) return states
    const held = {
      generation: asText(generation) ?? (await this.#makeVersion(this.#generationKey)),
      changes: asText(changes),
      versions: await this.#withMissing(versions, tags),
    }
    return states.map((state, index) => {
      return isLeased[index] ? { ...state, lease: { ...held, record: texts[index] } satisfies KeyvLease } : state
    })
  }

  write(writes: readonly EntryWrite[]): Promise<WriteOutcome[]> {
    return Promise.all(writes.map((write) => this.#writeOne(write)))
  }

  async #writeOne({ key, entry, lease, memoryStamp }: EntryWrite): Promise<WriteOutcome> {
    // The load shared a value whose own load may have begun before the latest invalidations.
    if (memoryStamp === Number.NEGATIVE_INFINITY) return 'invalidated'
    const before = lease as KeyvLease
    const { tags } = entry.header
    const names = [this.#generationKey, this.#changesKey, this.#entryKey(key)]
    const [generation, changes, text] = await this.#keyv.getMany(names)
    const versions = await this.#withMissing(await this.#versions(tags), tags)
    const isUnchanged =
      generation === before.generation &&
      text === before.record &&
      // For a tag that the load added, the version before the load is unknown. Then no tag at all may have been invalidated.
      tags.every((tag) =>
        before.versions.has(tag) ? before.versions.get(tag) === versions.get(tag) : changes === before.changes,
      )
    if (!isUnchanged) return 'invalidated'
    await this.#put(key, entry, before.generation, versions)
    return 'stored'
  }

  async set(key: string, entry: StoredEntry): Promise<void> {
    const { tags } = entry.header
    const [generation] = await this.#keyv.getMany([this.#generationKey])
    const versions = await this.#withMissing(await this.#versions(tags), tags)
    await this.#put(key, entry, asText(generation) ?? (await this.#makeVersion(this.#generationKey)), versions)
  }

  async delete(keys: readonly string[]): Promise<void> {
    const deleted = JSON.stringify({ id: nodeCrypto().randomUUID() })
    await Promise.all(keys.map((key) => this.#keyv.set(this.#entryKey(key), deleted, this.#deletedMs)))
  }

  async invalidate(tags: readonly string[]): Promise<void> {
    await this.#replaceVersion(this.#changesKey)
    await Promise.all(tags.map((tag) => this.#replaceVersion(this.#tagKey(tag))))
  }

  async clear(): Promise<void> {
    await this.#replaceVersion(this.#generationKey)
  }

  /** Leases on Keyv exclude nobody, so there is nothing to give back. Only entries that are over are deleted. */
  async release(held: readonly HeldLease[]): Promise<void> {
    const dropped = held.filter(({ key, lease, dropsEntry }) => {
      return dropsEntry && typeof parseRecord((lease as KeyvLease).record, key) === 'object'
    })
    if (dropped.length > 0) await this.delete(dropped.map(({ key }) => key))
  }

  async renew(): Promise<void> {}

  async stamps(tags: readonly string[], begins: boolean): Promise<TagStamps> {
    const known = await this.#versions(tags)
    const versions = begins ? await this.#withMissing(known, tags) : known
    // Read after the versions: an invalidation writes the record of changes before the versions.
    const [generation, changes] = await this.#keyv.getMany([this.#generationKey, this.#changesKey])
    return {
      generation: asText(generation) ?? '',
      at: asText(changes) ?? '',
      stamps: tags.map((tag) => versions.get(tag)),
    }
  }

  async discard(key: string): Promise<void> {
    await this.#keyv.delete(this.#entryKey(key))
  }

  async ping(): Promise<void> {
    await this.#keyv.getMany([this.#generationKey])
  }

  async close(): Promise<void> {
    this.#keyv.close()
  }

  get #generationKey(): string {
    return `${this.#prefix}generation`
  }

  get #changesKey(): string {
    return `${this.#prefix}changes`
  }

  #entryKey(key: string): string {
    return this.#recordKey(`e:${toStoreKey(key)}`)
  }

  #tagKey(tag: string): string {
    return this.#recordKey(`t:${tag}`)
  }

  /** The name if every store accepts it in a key, else its hash. */
  #recordKey(name: string): string {
    const isTaken = this.#prefix.length + name.length <= maxKeyLength && !controlCharacter.test(name)
    return this.#prefix + (isTaken ? name : `#${nodeCrypto().createHash('sha256').update(name).digest('hex')}`)
  }

  #stateOf(
    record: ParsedRecord,
    generation: string | undefined,
    versions: ReadonlyMap<string, string>,
    named: readonly string[],
  ): ReadResult {
    if (typeof record !== 'object') return { state: record }
    const { header, payload, storedAt } = record
    const isCarried = named.every((tag) => Object.hasOwn(record.versions, tag))
    const isValid = Object.entries(record.versions).every(([tag, version]) => versions.get(tag) === version)
    if (record.generation !== generation || !isCarried || !isValid) return { state: 'invalidated' }
    const ageMs = Math.max(0, this.#clock() - storedAt)
    if (ageMs >= header.ttlMs + header.staleMs) return { state: 'expired', ageMs }
    return { state: ageMs < header.ttlMs ? 'fresh' : 'stale', ageMs, entry: { header, payload } }
  }

  async #put(
    key: string,
    entry: StoredEntry,
    generation: string,
    versions: ReadonlyMap<string, string>,
  ): Promise<void> {
    const { header, payload } = entry
    const isText = header.codec === 'none' && header.format === 'json'
    const record: EntryRecord = {
      id: nodeCrypto().randomUUID(),
      key,
      storedAt: this.#clock(),
      generation,
      versions: Object.fromEntries(header.tags.map((tag) => [tag, versions.get(tag) as string])),
      header: encodeHeader(header),
      tags: header.tags,
      isText,
      payload: payload.toString(isText ? 'utf8' : 'base64'),
    }
    const ms = Math.min(longestMs, Math.ceil(header.ttlMs + header.staleMs))
    await this.#keyv.set(this.#entryKey(key), JSON.stringify(record), ms)
  }

  async #versions(tags: readonly string[]): Promise<Map<string, string>> {
    const names = [...new Set(tags)]
    const found = await this.#keyv.getMany(names.map((tag) => this.#tagKey(tag)))
    const versions = new Map<string, string>()
    for (const [index, tag] of names.entries()) {
      const version = asText(found[index])
      if (version !== undefined) versions.set(tag, version)
    }
    return versions
  }

  /** A tag's version may be missing because it was lost: a new one makes the entries with that tag outdated. */
  async #withMissing(versions: Map<string, string>, tags: readonly string[]): Promise<Map<string, string>> {
    const missing = tags.filter((tag) => !versions.has(tag))
    const made = await Promise.all(missing.map((tag) => this.#makeVersion(this.#tagKey(tag))))
    for (const [index, tag] of missing.entries()) versions.set(tag, made[index] as string)
    return versions
  }

  /** Makes a missing version once for all who miss it at the same time: a second one would make their entries outdated. */
  #makeVersion(key: string): Promise<string> {
    const known = this.#making.get(key)
    const now = performance.now()
    if (known !== undefined && now - known.since < longestMakingMs) return known.version
    const make = async () => asText((await this.#keyv.getMany([key]))[0]) ?? this.#replaceVersion(key)
    const version = make().finally(() => this.#making.delete(key))
    this.#making.set(key, { version, since: now })
    return version
  }

  async #replaceVersion(key: string): Promise<string> {
    const version = nodeCrypto().randomUUID()
    await this.#keyv.set(key, version, longestMs)
    return version
  }
}

interface EntryRecord {
  readonly id: string
  /**
   * Compared on reading, because some stores treat different keys as equal: by a collation, or after removing characters.
   * Release 0.1 did not write it.
   */
  readonly key?: string
  readonly storedAt: number
  readonly generation: string
  readonly versions: Readonly<Record<string, string>>
  readonly header: string
  readonly tags: readonly string[]
  readonly isText: boolean
  readonly payload: string
}

type ParsedRecord =
  | 'absent'
  | 'corrupt'
  | (Omit<EntryRecord, 'header' | 'payload'> & { readonly header: EntryHeader; readonly payload: Buffer })

function parseRecord(text: string | undefined | typeof unreadable, key: string): ParsedRecord {
  if (text === undefined) return 'absent'
  try {
    const record = JSON.parse(text as string) as EntryRecord
    if (record.payload === undefined && typeof record.id === 'string') return 'absent'
    if (record.key !== undefined && record.key !== key) return 'absent'
    const payload = Buffer.from(record.payload, record.isText ? 'utf8' : 'base64')
    return { ...record, versions: { ...record.versions }, header: decodeHeader(record.header, record.tags), payload }
  } catch {
    return 'corrupt'
  }
}

function asText(record: string | undefined | typeof unreadable): string | undefined {
  return record === unreadable ? undefined : record
}
