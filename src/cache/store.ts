import type { MissReason } from './counters.ts'

/** What a read is for. */
export type ReadMode =
  /** Only to look. */
  | 'get'
  /** To load what is missing or stale, unless somebody else does. */
  | 'load'
  /** The same, of what is likely to be there, fresh and with just the tags that are named; a store may look for that first. */
  | 'expected'
  /** To load in any case, unless somebody else does. */
  | 'refresh'
  /** To load in any case, whoever else does. */
  | 'force'

/** The right to store what a load returns, as of the read that granted it. Only the store that made it can read it. */
export type Ticket = object

/** An entry as the store keeps it: what is known about it, and the value's bytes. */
export interface StoredEntry {
  readonly header: EntryHeader
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
export interface Found {
  readonly state: 'fresh' | 'stale' | MissReason
  /** The entry, where it is fresh or stale. */
  readonly entry?: StoredEntry | undefined
  readonly ageMs?: number | undefined
  /** Present when the read was granted the right to load. */
  readonly ticket?: Ticket | undefined
}

/** `expired`: the ticket no longer stands, because it was not renewed or the key was deleted. */
export type WriteOutcome = 'stored' | 'invalidated' | 'expired'

/** How long a ticket stands without being renewed: the wait that others have when its holder dies. */
export const ticketMs = 5_000

/** Hears about the connection. */
export interface StoreListener {
  /** Nothing can be sent now. */
  lost(error: unknown): void
  /** Something less failed. */
  troubled(error: unknown): void
  ready(): void
}

/**
 * A store of entries and invalidations. Every method does at most a bounded number of round trips, and rejects when the
 * store fails; deadlines, retries and counting are its caller's.
 */
export interface Store {
  /** Loads what must be loaded from the disk; called once, first. */
  prepare(): Promise<void>
  /** Opens what must be opened; called once. */
  connect(listener: StoreListener): Promise<void>
  /** Given that an answer is missing: opens another connection, if none is to be expected over this one any more. */
  reconnect(listener: StoreListener): Promise<void>
  /** Whether this process hears of invalidations by others as they happen. */
  isListening(): boolean
  /** One {@link Found} for each key. An entry that lacks one of the tags counts as invalidated. */
  read(keys: readonly string[], mode: ReadMode, tags: readonly string[]): Promise<Found[]>
  /** Stores what a load returned, unless its key or one of the tags was invalidated since the ticket was granted. */
  write(key: string, entry: StoredEntry, ticket: Ticket): Promise<WriteOutcome>
  /** Keeps a ticket from expiring while a load takes long. */
  renew(key: string, ticket: Ticket): Promise<void>
  /** Gives a ticket back unused, so that others need not wait for it to expire. */
  release(key: string, ticket: Ticket): Promise<void>
  /** Stores a value as of now; invalidates the key for everybody else. */
  set(key: string, entry: StoredEntry): Promise<void>
  delete(keys: readonly string[]): Promise<void>
  invalidate(tags: readonly string[]): Promise<void>
  clear(): Promise<void>
  /** Removes an entry that cannot be read. */
  discard(key: string): Promise<void>
  /** The cheapest round trip there is. */
  ping(): Promise<void>
  close(): Promise<void>
}
