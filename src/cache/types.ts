import type { Duration } from '../shared/time/duration.ts'
import type { MissReason, ProfileStats, StoreErrorKind } from './counters.ts'
import type { CacheEvents, StoreState } from './events.ts'
import type { Key } from './key.ts'
import type { TableTag } from './tags.ts'

/** The argument of a `load` function. */
export interface LoadContext<Tag extends string = string> {
  /**
   * Aborted when the load takes longer than `timeouts.loadHard`, when no caller waits any more, and by `close()`. With
   * `instrument({ abandon: 'cancel' })` a caller stops waiting when its request is abandoned.
   */
  readonly signal: AbortSignal
  /** The value that this load renews: one that is too old, but was not invalidated. */
  readonly stale?: { readonly value: unknown; readonly ageMs: number } | undefined
  /** Adds tags that are known only during the load. They are as safe as tags in the options. */
  tag(...tags: (Tag | TableTag)[]): void
  /** Sets the lifetime of this value. */
  ttl(ttl: Duration): void
  /**
   * Returns the value without storing it. The stored value is dropped, unless the returned value is that of {@link stale}.
   */
  skip(): void
}

/** Makes a value that is not in the cache. */
export type Load<Value, Tag extends string = string> = (ctx: LoadContext<Tag>) => Value | PromiseLike<Value>

/** Options of one entry. */
export interface EntryOptions<Name extends string = string, Tag extends string = string> {
  /** The profile of the entry. @defaultValue `'default'`, 5 minutes unless declared otherwise */
  readonly profile?: Name | 'default' | undefined
  /** Replaces the profile's `ttl`. */
  readonly ttl?: Duration | undefined
  /** Replaces the profile's `stale`. */
  readonly stale?: Duration | undefined
  /** An entry that was stored without one of these tags is a miss. */
  readonly tags?: readonly (Tag | TableTag)[] | undefined
}

/** Options of `getOrSet`. */
export interface GetOrSetOptions<Name extends string = string, Tag extends string = string>
  extends Omit<EntryOptions<Name, Tag>, 'tags'> {
  /**
   * The tags of the entry. An entry that was stored without one of these tags is a miss. `'auto'` takes the tag `table:<name>`
   * of every table that queries of an instrumented `Kysely` read while `load` ran, and the tags of cached values that it used.
   * If the tables are not known, as after raw SQL, the value is returned but not stored, and a warning says why
   * (`CACHE_TAGS_UNKNOWN`).
   */
  readonly tags?: readonly (Tag | TableTag)[] | 'auto' | undefined
  /** Calls `load` even if a value is stored. Callers that ask for a fresh value at the same time share that load. */
  readonly fresh?: boolean | undefined
  /** Ends this caller's wait. The load goes on while another caller waits for it. */
  readonly signal?: AbortSignal | undefined
}

/** Options of `getOrSetMany`. */
export interface GetOrSetManyOptions<Id, Value, Name extends string = string, Tag extends string = string>
  extends Omit<GetOrSetOptions<Name, Tag>, 'tags'> {
  readonly key: (id: Id) => Key
  readonly tags?: ((id: Id, value: Value) => readonly (Tag | TableTag)[]) | undefined
}

/** The second argument of a `load` function of `getOrSetMany`. */
export interface LoadManyContext {
  /** As in {@link LoadContext}. */
  readonly signal: AbortSignal
}

/** For `Cache.invalidateTags`. */
export interface InvalidateOptions {
  /** Whether entries may be served while one load renews them, within their `stale`. @defaultValue `false` */
  readonly serveStale?: boolean | undefined
}

/** How far an invalidation has reached. */
export interface Invalidation {
  /** Whether the store has the invalidation, so that it reaches every process. Always true without a store. */
  readonly propagated: boolean
  /** Whether only this process has it, because the store is down. It is sent before the store is used again. */
  readonly queued: boolean
}

/** Options of `wrap`. */
export interface WrapOptions<
  Args extends readonly unknown[],
  Result,
  Name extends string = string,
  Tag extends string = string,
> extends Omit<EntryOptions<Name, Tag>, 'tags'> {
  /** Begins the keys of this function. `function.name` would not be unique. */
  readonly name: string
  /** Makes the key from the arguments. By default the key is all of them. */
  readonly key?: ((...args: Args) => Key) | undefined
  /** `'auto'`: see {@link GetOrSetOptions}. */
  readonly tags?:
    | readonly (Tag | TableTag)[]
    | 'auto'
    | ((args: Args, result: Result) => readonly (Tag | TableTag)[])
    | undefined
}

/** A cached function. */
export interface Wrapped<Args extends readonly unknown[], Result> {
  (...args: Args): Promise<Result>
  /** Calls the function even if a result is stored, and stores the new one. */
  fresh(...args: Args): Promise<Result>
  /** The result, if it is in memory. */
  peek(...args: Args): Result | undefined
  /** Removes the result of these arguments. */
  invalidate(...args: Args): Promise<Invalidation>
  /** The key of these arguments, for `get` and `delete`. */
  keyOf(...args: Args): Key
}

/** Cumulative counters since the cache was made, and the present state of its tiers. */
export interface CacheStats<Name extends string = string> extends ProfileStats {
  /** Errors of the store: the sum of `errorsByKind`, refused operations included. No error fails a read. */
  readonly errors: number
  /** `errors / requests`, at most 1; 1 when there were errors and no requests. */
  readonly errorRate: number
  readonly errorsByKind: Readonly<Record<StoreErrorKind, number>>
  readonly memory: { readonly entries: number; readonly bytes: number; readonly evictions: number }
  readonly store: {
    readonly state: StoreState
    /** Moving average of the time until an answer, 0 before the first. */
    readonly roundTripMs: number
    /**
     * Milliseconds since this process last knew of every invalidation. An outdated entry may have been served during that
     * time.
     */
    readonly coherenceMs: number
    readonly queuedInvalidations: number
  }
  readonly compression: { readonly rawBytes: number; readonly storedBytes: number }
  readonly byProfile: Readonly<Record<Name | 'default', ProfileStats>>
}

/** The stamps of some tags: see {@link Cache.stamps}. */
export interface TagStamps {
  /** Stamps of different generations cannot be compared. */
  readonly generation: string
  /** The latest change of any tag. */
  readonly at: number | string
  /** In the order of the tags. Each changes when its tag is invalidated. `undefined`: nothing can be said of the tag. */
  readonly stamps: readonly (number | string | undefined)[]
}

/** Where the value of a key is stored, or why it would be a miss. */
export interface Explanation {
  /** The key as it is in the store, without the namespace. */
  readonly key: string
  readonly tier: 'memory' | 'store' | 'none'
  readonly reason?: MissReason | undefined
  readonly ageMs?: number | undefined
  /** Negative when the entry is stale. */
  readonly freshForMs?: number | undefined
  readonly bytes?: number | undefined
  readonly codec?: string | undefined
  readonly tags?: readonly string[] | undefined
}

/** A cache of named profiles and typed tags; made by `createCache`. */
export interface Cache<Name extends string = string, Tag extends string = string> extends AsyncDisposable {
  readonly name: string
  /**
   * The stored value. If there is none, calls `load` and stores its result. Concurrent callers of one key share one load and
   * its error. Errors of the store never reach a caller. Errors of `load` reach every caller unchanged and are not stored.
   *
   * @throws LoadTimeoutError when the load takes longer than `timeouts.loadHard`; `signal.reason` when the signal is aborted
   */
  getOrSet<Value>(key: Key, load: Load<Value, Tag>, options?: GetOrSetOptions<Name, Tag>): Promise<Value>
  /** The fresh value, or `undefined`. Use `has` to tell a stored `undefined` from a miss. */
  get<Value = unknown>(key: Key): Promise<Value | undefined>
  /** The fresh value in this process's memory. Synchronous, and not counted. */
  peek<Value = unknown>(key: Key): Value | undefined
  has(key: Key): Promise<boolean>
  /** The fresh values, in the order of the keys, in one round trip. */
  getMany<Value = unknown>(keys: readonly Key[]): Promise<(Value | undefined)[]>
  /**
   * A value for each id. `load` gets the ids whose values are missing, in one call if these ids are soon known. Ids that
   * `load` leaves out of its map are left out of the result. Nothing is stored for them, and a stored value is dropped.
   */
  getOrSetMany<Id, Value>(
    ids: Iterable<Id>,
    load: (
      missing: readonly Id[],
      ctx: LoadManyContext,
    ) => ReadonlyMap<Id, Value> | PromiseLike<ReadonlyMap<Id, Value>>,
    options: GetOrSetManyOptions<Id, Value, Name, Tag>,
  ): Promise<Map<Id, Value>>
  /**
   * Stores a value in both tiers, and makes other processes drop their copies. For a value that was read from a database use
   * `getOrSet(key, load, { fresh: true })` instead: the database may have changed since the read.
   *
   * @returns whether it is stored in every tier; false for `ttl: '0s'`, for values that are no plain data, and while the store
   * is down
   */
  set(key: Key, value: unknown, options?: EntryOptions<Name, Tag>): Promise<boolean>
  delete(...keys: Key[]): Promise<Invalidation>
  /**
   * Makes every entry with one of the tags a miss. The cost does not depend on the number of entries. Values whose load began
   * earlier are never served again: in this process at once, and in others `coherence.within` later at the latest.
   */
  invalidateTags(...tags: (Tag | TableTag)[]): Promise<Invalidation>
  /**
   * With `serveStale: true`, entries with one of the tags become stale instead of misses: they are served while one load
   * renews them, for at most the `stale` of their profile, however often the tag is invalidated meanwhile. The old value may
   * be seen for that long. Entries without `stale` are dropped at once.
   */
  invalidateTags(...given: [...(Tag | TableTag)[], InvalidateOptions]): Promise<Invalidation>
  /** Makes every entry of the namespace a miss, in one step. The store frees the space as lifetimes end. */
  clear(): Promise<Invalidation>
  /** The same function, cached. */
  wrap<Fn extends (...args: never) => unknown>(
    fn: Fn,
    options: WrapOptions<Parameters<Fn>, Awaited<ReturnType<Fn>>, Name, Tag>,
  ): Wrapped<Parameters<Fn>, Awaited<ReturnType<Fn>>>
  /**
   * The stamps of tags, for a validator of something that depends on them, such as an entity tag. Asks the store, not the
   * memory of this process.
   *
   * @param options - `since`: an earlier answer. Tags that were invalidated since then get `undefined`, so the other stamps
   *   are safe for the validator of something that was made after the earlier answer. Tags that have no stamp yet get one
   * @returns `undefined` when the store cannot be reached
   */
  stamps(
    tags: readonly (Tag | TableTag)[],
    options?: { readonly since?: TagStamps | undefined },
  ): Promise<TagStamps | undefined>
  stats(): CacheStats<Name>
  /** Where the value of a key is stored, or why it would be a miss. Changes nothing, and is not counted. */
  explain(key: Key): Promise<Explanation>
  /** Adds a listener. Returns a function that removes it. */
  on<Event extends keyof CacheEvents>(event: Event, listener: (payload: CacheEvents[Event]) => void): () => void
  /** Stops timers, aborts loads, gives back their leases, and closes the connections that the cache opened. */
  close(): Promise<void>
}
