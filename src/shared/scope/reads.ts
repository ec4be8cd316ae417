/**
 * The tag of every entry whose tags were found automatically. An entry that was stored otherwise is then never mistaken
 * for one.
 */
export const automaticTag = 'tags:auto'

/** Identifies a cache, because tags of the same name mean other things in another cache. */
export const cacheIdentity: unique symbol = Symbol('posthaste.cache')

/** The tags of one cache that stand for all that a piece of work has read so far. */
export class Reads {
  readonly tags: Set<string> = new Set()
  /** Why the tags do not cover all that the work depends on; `undefined` as long as they do. */
  unknown: string | undefined
  /**
   * Set when the work was given a value from the memory of this process, which may be older than the latest changes: the
   * store's clock at the latest change that this process knew of then. `Infinity` if there was no such value.
   */
  memoryStamp: number = Number.POSITIVE_INFINITY
  /** Whether the work was given a stale value, one of whose tags was invalidated with `serveStale`. */
  isInvalidated = false
  /**
   * Whether the work has read in a transaction that it did not begin. That transaction may have changed the rows that
   * were read.
   */
  isUncommitted = false
  /** Whether a query failed: the work may have gone on without what it should have read. */
  hasFailed = false
  /** Whether the work is a load, whose value is stored with these tags. */
  readonly isLoad: boolean
  readonly #cache: object
  readonly #around: Reads | undefined

  /**
   * @param cache - the {@link cacheIdentity} of the cache that the tags belong to
   * @param around - the work that this work is a part of: it depends on all that its parts read
   */
  constructor(cache: object, around: Reads | undefined, isLoad = false) {
    this.isLoad = isLoad
    this.#cache = cache
    this.#around = around
  }

  addTable(table: string): void {
    for (const reads of this.chain()) reads.tags.add(`table:${table}`)
  }

  /** Records that the work depends on something that no tag covers. Only the first reason is kept. */
  addUnknown(reason: string): void {
    for (const reads of this.chain()) reads.unknown ??= reason
  }

  /**
   * Adds the tags of a cached value.
   *
   * @param memoryStamp - see {@link memoryStamp}; `Infinity` for a value that was loaded or read from the store just now
   */
  addValue(cache: object, tags: Iterable<string>, memoryStamp: number): void {
    for (const reads of this.chain()) {
      if (reads.#cache !== cache) {
        reads.unknown ??= 'it used a value of another cache'
        continue
      }
      for (const tag of tags) if (tag !== automaticTag) reads.tags.add(tag)
      if (memoryStamp < reads.memoryStamp) reads.memoryStamp = memoryStamp
    }
  }

  /** Records that an invalidated value was served. */
  addInvalidated(): void {
    for (const reads of this.chain()) reads.isInvalidated = true
  }

  addFailure(): void {
    for (const reads of this.chain()) reads.hasFailed = true
  }

  /** Whether the other work is this work, or a part of it. */
  includes(other: Reads | undefined): boolean {
    for (const reads of other?.chain() ?? []) if (reads === this) return true
    return false
  }

  /** This work, then the works that it is a part of. */
  *chain(): Generator<Reads, void, void> {
    for (let reads: Reads | undefined = this; reads !== undefined; reads = reads.#around) yield reads
  }
}
