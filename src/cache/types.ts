import type { Duration } from '../shared/duration.ts'
import type { MissReason, ProfileStats, StoreErrorKind } from './counters.ts'
import type { CacheEvents, StoreState } from './events.ts'
import type { Key } from './key.ts'
import type { TableTag } from './tags.ts'

/** What a `load` function is given. */
export interface LoadContext<Tag extends string = string> {
  /** Aborted when the load takes longer than `timeouts.loadHard`, when nobody waits for it any more, and by `close()`. */
  readonly signal: AbortSignal
  /** The value that this load is to renew, when there is one whose age is all that is wrong with it. */
  readonly stale?: { readonly value: unknown; readonly ageMs: number } | undefined
  /** Adds tags that are known only now; as safe as tags given beforehand. */
  tag(...tags: (Tag | TableTag)[]): void
  /** Sets the lifetime of this one value. */
  ttl(ttl: Duration): void
  /** Returns the value without storing it. */
  skip(): void
}

/** Makes a value that is not in the cache. */
export type Load<Value, Tag extends string = string> = (ctx: LoadContext<Tag>) => Value | PromiseLike<Value>

/** How one entry is stored and read. */
export interface EntryOptions<Name extends string = string, Tag extends string = string> {
  /** @defaultValue `'default'`, 5 minutes unless declared otherwise */
  readonly profile?: Name | undefined
  /** Instead of the profile's. */
  readonly ttl?: Duration | undefined
  /** Instead of the profile's. */
  readonly stale?: Duration | undefined
  /** An entry that was stored without one of these tags is a miss. */
  readonly tags?: readonly (Tag | TableTag)[] | undefined
}

/** How a value is got or loaded. */
export interface GetOrSetOptions<Name extends string = string, Tag extends string = string>
  extends EntryOptions<Name, Tag> {
  /** Load anew in any case, and share the load with other callers that want it fresh. */
  readonly fresh?: boolean | undefined
  /** Ends this caller's wait. The load goes on while another caller waits for it. */
  readonly signal?: AbortSignal | undefined
}

/** How many values are got or loaded at once. */
export interface GetOrSetManyOptions<Id, Value, Name extends string = string, Tag extends string = string>
  extends Omit<GetOrSetOptions<Name, Tag>, 'tags'> {
  readonly key: (id: Id) => Key
  readonly tags?: ((id: Id, value: Value) => readonly (Tag | TableTag)[]) | undefined
}

/** What a function of `getOrSetMany` is given beside the ids. */
export interface LoadManyContext {
  /** As in {@link LoadContext}. */
  readonly signal: AbortSignal
}

/** What became of an invalidation. */
export interface Invalidation {
  /** It holds in the store, and so for every process; always true without a store. */
  readonly propagated: boolean
  /** The store could not be told; it holds in this process, and will be sent before the store is used again. */
  readonly queued: boolean
}

/** How a function is cached. */
export interface WrapOptions<
  Args extends readonly unknown[],
  Result,
  Name extends string = string,
  Tag extends string = string,
> extends Omit<EntryOptions<Name, Tag>, 'tags'> {
  /** Keeps the entries of two functions apart; needed because `function.name` is not unique. */
  readonly name: string
  /** What of the arguments makes the key; by default all of them. */
  readonly key?: ((...args: Args) => Key) | undefined
  readonly tags?:
    | readonly (Tag | TableTag)[]
    | ((args: Args, result: Result) => readonly (Tag | TableTag)[])
    | undefined
}

/** A cached function. */
export interface Wrapped<Args extends readonly unknown[], Result> {
  (...args: Args): Promise<Result>
  /** Runs the function in any case, and stores the result. */
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
  /** Errors of the store, those included that the breaker spared it: `errorsByKind` added up. No error fails a read. */
  readonly errors: number
  /** `errors / requests`, at most 1; 1 when there were errors and no requests. */
  readonly errorRate: number
  readonly errorsByKind: Readonly<Record<StoreErrorKind, number>>
  readonly memory: { readonly entries: number; readonly bytes: number; readonly evictions: number }
  readonly store: {
    readonly state: StoreState
    /** Moving average of the time an answer takes, 0 before the first. */
    readonly roundTripMs: number
    /** How long ago this process last knew of every invalidation: the age that an outdated copy here could have. */
    readonly coherenceMs: number
    readonly queuedInvalidations: number
  }
  readonly compression: { readonly rawBytes: number; readonly storedBytes: number }
  readonly byProfile: Readonly<Record<Name, ProfileStats>>
}

/** Where a key's value is, or why it is nowhere. */
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
   * The stored value, else what `load` returns, which is stored. Concurrent callers of one key share one load, and its error.
   * Errors of the store never surface; errors of `load` reach every caller unchanged and are not stored.
   *
   * @throws LoadTimeoutError when the load takes longer than `timeouts.loadHard`; `signal.reason` when this caller's wait ends
   */
  getOrSet<Value>(key: Key, load: Load<Value, Tag>, options?: GetOrSetOptions<Name, Tag>): Promise<Value>
  /** The fresh value, or `undefined`; `has` tells a stored `undefined` from none. */
  get<Value = unknown>(key: Key): Promise<Value | undefined>
  /** The fresh value in this process's memory: synchronous, and in no counter. */
  peek<Value = unknown>(key: Key): Value | undefined
  has(key: Key): Promise<boolean>
  /** The fresh values, in the order of the keys, in one round trip. */
  getMany<Value = unknown>(keys: readonly Key[]): Promise<(Value | undefined)[]>
  /**
   * A value for each id, those missing loaded by one call of `load`. Ids that `load` leaves out of its map are left out of
   * the result, and nothing is stored for them.
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
   * Stores a value in both tiers, and has other processes drop their copies. Not safe for a value that was read earlier,
   * because what it was read from may have changed: there, `getOrSet(key, load, { fresh: true })` is.
   *
   * @returns whether it is stored in every tier; false for `ttl: '0s'`, for values that are no data, and while the store is down
   */
  set(key: Key, value: unknown, options?: EntryOptions<Name, Tag>): Promise<boolean>
  delete(...keys: Key[]): Promise<Invalidation>
  /**
   * Makes every entry with one of the tags a miss, at a cost that does not depend on how many there are. Values whose load
   * began before it are never served here again, nor elsewhere later than `coherence.within` after it.
   */
  invalidateTags(...tags: [Tag | TableTag, ...(Tag | TableTag)[]]): Promise<Invalidation>
  /** Makes everything in the namespace a miss, at once and in one step; the store frees the space as lifetimes end. */
  clear(): Promise<Invalidation>
  /** The same function, cached. */
  wrap<Args extends readonly unknown[], Result>(
    fn: (...args: Args) => Result,
    options: WrapOptions<Args, Awaited<Result>, Name, Tag>,
  ): Wrapped<Args, Awaited<Result>>
  stats(): CacheStats<Name>
  /** Where the value of a key is, or why it is a miss. Changes nothing, and is in no counter. */
  explain(key: Key): Promise<Explanation>
  /** Listens, and returns the function that ends it. */
  on<Event extends keyof CacheEvents>(event: Event, listener: (payload: CacheEvents[Event]) => void): () => void
  /** Stops timers, ends loads in the background and closes connections that the cache opened. */
  close(): Promise<void>
}
