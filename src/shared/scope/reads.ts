/** Carried by every entry whose tags were found, so that one that was stored without is never taken for one. */
export const automaticTag = 'tags:auto'

/** By which a cache tells its own values from those of other caches: tags of the same name are others there. */
export const cacheIdentity: unique symbol = Symbol('posthaste.cache')

/** What a piece of work has read so far, as the tags that an invalidation of it in one cache would name. */
export class Reads {
  readonly tags: Set<string> = new Set()
  /** Why the tags are not all that it depends on; `undefined` while they are. */
  unknown: string | undefined
  /**
   * The store's clock at the latest change that this process had heard of when the work was given a value from its memory: the
   * value may be older than later changes. `Infinity` while it was given none.
   */
  memoryStamp: number = Number.POSITIVE_INFINITY
  /** Whether the work was given a value that was stale because one of its tags was invalidated with `serveStale`. */
  isInvalidated = false
  /** Whether the work has read in a transaction that it did not begin, which may have changed what it read. */
  isUncommitted = false
  readonly #cache: object
  readonly #around: Reads | undefined

  /**
   * @param cache - the {@link cacheIdentity} of the cache whose tags these are
   * @param around - the work that this one is a part of, and that depends on the same
   */
  constructor(cache: object, around: Reads | undefined) {
    this.#cache = cache
    this.#around = around
  }

  addTable(table: string): void {
    for (const reads of this.chain()) reads.tags.add(`table:${table}`)
  }

  /** Adds something whose changes no tag tells. The first reason is kept. */
  addUnknown(reason: string): void {
    for (const reads of this.chain()) reads.unknown ??= reason
  }

  /**
   * Adds a value of a cache.
   *
   * @param memoryStamp - see {@link memoryStamp}; for a value that was loaded or read from the store now, `Infinity`
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

  /** Adds a value that is served although it was invalidated. */
  addInvalidated(): void {
    for (const reads of this.chain()) reads.isInvalidated = true
  }

  /** Whether the other is this one, or is a part of it. */
  includes(other: Reads | undefined): boolean {
    for (const reads of other?.chain() ?? []) if (reads === this) return true
    return false
  }

  /** This, and the works that it is a part of. */
  *chain(): Generator<Reads, void, void> {
    for (let reads: Reads | undefined = this; reads !== undefined; reads = reads.#around) yield reads
  }
}
