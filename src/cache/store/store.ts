import type { MissReason } from '../counters.ts'
import type { TagStamps } from '../types.ts'

/** Why the store is read. */
export type ReadMode =
  /** To look at the entry only. */
  | 'get'
  /** To load a missing or stale entry, unless another caller holds a lease whose load is not outdated. */
  | 'load'
  /** As `'load'`, when the entry is probably fresh and has exactly the named tags. A store may optimize for that. */
  | 'likely-hit'
  /** To read no entry, but only find out whether the store has become a replica, which must not be read. */
  | 'verify'
  /** As `'load'`, even if the entry is fresh. */
  | 'refresh'
  /** To load even if the entry is fresh, and to take the lease from another caller. */
  | 'force'

/** The right to load a key and to store the result. Only the store that granted it can read it. */
export type Lease = object

/** How long a lease lasts unless it is renewed. When its holder dies, others wait this long. */
export const leaseMs = 5_000

/** An entry as the store keeps it. */
export interface StoredEntry {
  readonly header: EntryHeader
  /** The value's bytes. */
  readonly payload: Buffer
}

export interface EntryHeader {
  readonly ttlMs: number
  readonly staleMs: number
  /** How long the load took. */
  readonly costMs: number
  readonly profile: string
  readonly version: string
  readonly format: string
  readonly codec: string
  /** Bytes of the payload before compression. */
  readonly rawBytes: number
  readonly tags: readonly string[]
}

/** What a read found under one key. */
export interface ReadResult {
  readonly state: 'fresh' | 'stale' | MissReason
  /** Present when the state is `'fresh'` or `'stale'`. */
  readonly entry?: StoredEntry | undefined
  readonly ageMs?: number | undefined
  /** Whether the entry is stale because one of its tags was invalidated with `serveStale`. */
  readonly isInvalidated?: boolean | undefined
  /** Present when the read was granted the right to load. */
  readonly lease?: Lease | undefined
  /** Whether no read is ever granted a lease, because this user of the store may only read. */
  readonly isReadOnly?: boolean | undefined
}

export interface HeldLease {
  readonly key: string
  readonly lease: Lease
  /** Whether the entry is deleted with the lease, because it is over and no value replaces it. */
  readonly dropsEntry?: boolean | undefined
}

/** A loaded value, to be stored. */
export interface EntryWrite extends HeldLease {
  readonly entry: StoredEntry
  /**
   * The value is at most as new as this clock of the store: the load used a value from memory, and this was the latest
   * change that the process had heard of. `Infinity` when the load used none.
   */
  readonly memoryStamp: number
}

export interface LeaseRenewal extends HeldLease {
  /** The tags that callers and the load have named so far. Once one is invalidated, the lease may be taken over. */
  readonly tags: readonly string[]
}

/**
 * `invalidated`: what the load read may be outdated, or another caller has taken the lease over.
 * `expired`: the lease was lost, because it was not renewed or the key was deleted.
 */
export type WriteOutcome = 'stored' | 'invalidated' | 'expired'

export interface StoreListener {
  ready(): void
  /** Nothing can be sent now. */
  lost(error: unknown): void
  /**
   * Messages of other processes do not arrive, or this process cannot send any; everything else works.
   *
   * @param refusedRight - the right that this user of the store lacks
   */
  subscriptionFailed(error: unknown, refusedRight?: string): void
  /** The store denies a right. Without that right it still works in part. */
  refused(error: unknown): void
  /** Another application uses this namespace. */
  sharedWith(name: string): void
}

/**
 * A store of entries and invalidations. Every method does at most a bounded number of round trips, and rejects when the
 * store fails. Deadlines, retries and counting are up to the caller.
 */
export interface Store {
  /** The rights that the store's user needs, in the store's own notation. */
  readonly rights?: string
  /** Opens the connections; called once. */
  connect(listener: StoreListener): Promise<void>
  /** Called when an answer is missing: opens another connection if this one seems dead. */
  reconnect(listener: StoreListener): Promise<void>
  /** Whether messages about invalidations by other processes arrive. */
  isListening(): boolean
  /** One {@link ReadResult} for each key. An entry that lacks one of the tags counts as invalidated. */
  read(keys: readonly string[], mode: ReadMode, tags: readonly string[]): Promise<ReadResult[]>
  /** Stores loaded values, except those whose key or one of whose tags was invalidated since the lease was granted. */
  write(writes: readonly EntryWrite[]): Promise<WriteOutcome[]>
  /** Keeps leases from expiring during long loads. */
  renew(renewals: readonly LeaseRenewal[]): Promise<void>
  /** Gives leases back unused, so that others need not wait until they expire. */
  release(held: readonly HeldLease[]): Promise<void>
  /** Stores a value as of now, and invalidates the key in other processes. */
  set(key: string, entry: StoredEntry): Promise<void>
  delete(keys: readonly string[]): Promise<void>
  /** @param isSoft - whether entries become stale instead of invalid, if the store can do that */
  invalidate(tags: readonly string[], isSoft: boolean): Promise<void>
  clear(): Promise<void>
  /**
   * The stamps of tags: numbers in the order of the changes, or strings, which can only be equal or not. One round trip, or
   * two.
   *
   * @param begins - whether a tag without a stamp gets one now
   */
  stamps(tags: readonly string[], begins: boolean): Promise<TagStamps>
  /** Removes an entry that cannot be read. */
  discard(key: string): Promise<void>
  /** The cheapest round trip. */
  ping(): Promise<void>
  close(): Promise<void>
}

/**
 * Imports the code of a store and the packages that it needs, and makes the store. Users of other stores must not load them.
 */
export type ImportStore = () => Promise<Store>

/** The header without its tags, as JSON. */
export function encodeHeader(header: EntryHeader): string {
  const { ttlMs, staleMs, costMs, profile, version, format, codec, rawBytes } = header
  return JSON.stringify([ttlMs, staleMs, costMs, profile, version, format, codec, rawBytes])
}

/**
 * Puts a header and its tags together again.
 *
 * @throws when the text is not that of {@link encodeHeader}, or the tags are no array
 */
export function decodeHeader(text: string, tags: unknown): EntryHeader {
  const fields: unknown = JSON.parse(text)
  if (!isHeader(fields) || !Array.isArray(tags)) throw new TypeError('an entry has a foreign header')
  const [ttlMs, staleMs, costMs, profile, version, format, codec, rawBytes] = fields
  return { ttlMs, staleMs, costMs, profile, version, format, codec, rawBytes, tags }
}

type HeaderFields = [number, number, number, string, string, string, string, number]

const fieldTypes = ['number', 'number', 'number', 'string', 'string', 'string', 'string', 'number']

function isHeader(fields: unknown): fields is HeaderFields {
  if (!Array.isArray(fields) || fields.length !== fieldTypes.length) return false
  return fields.every((field, index) => typeof field === fieldTypes[index])
}
