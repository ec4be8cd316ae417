import { LRUCache } from 'lru-cache'
import type { Tick } from './invalidations.ts'
import type { Profile } from './profile.ts'

/** How long an entry may be used, in the cache's own time. */
export interface Lifetime {
  /** Up to here a hit needs no thought: it is neither stale nor due for a refresh, and its copy here is not too old. */
  readonly plainUntil: number
  readonly freshUntil: number
  /** Served while it is loaded anew up to here. */
  readonly staleUntil: number
  /** Up to here the entry counts as verified, even when this process is cut off from the store. */
  readonly trustedUntil: number
  /** See {@link MemoryEntry.sureUntil}. */
  readonly sureUntil: number
}

/** A value in this process, with all that a hit has to look at. */
export class MemoryEntry {
  // What a hit looks at comes first, so that it lies in one line of the processor's cache.
  readonly value: unknown
  /** The tick at which its tags were last found current. */
  checked: Tick
  /**
   * Up to here, as `CoarseTime.sinceStart` counts, nothing but an invalidation speaks against the entry: the earlier of
   * `plainUntil` and `trustedUntil`.
   */
  readonly sureUntil: number
  #promise: Promise<unknown> | undefined
  readonly profile: Profile
  readonly tags: readonly string[]
  /** What this process had learned when the read or the load began. */
  readonly begun: Tick
  readonly loadedAt: number
  readonly plainUntil: number
  readonly freshUntil: number
  readonly staleUntil: number
  readonly trustedUntil: number
  /** How long its load took. */
  readonly costMs: number
  readonly bytes: number
  /** After a refresh that failed, the time of the next try. */
  retryAt = 0

  constructor(
    value: unknown,
    about: {
      readonly profile: Profile
      readonly tags: readonly string[]
      readonly begun: Tick
      readonly loadedAt: number
      readonly costMs: number
      readonly bytes: number
    },
    life: Lifetime,
  ) {
    this.value = value
    this.checked = about.begun
    this.sureUntil = life.sureUntil
    this.profile = about.profile
    this.tags = about.tags
    this.begun = about.begun
    this.loadedAt = about.loadedAt
    this.plainUntil = life.plainUntil
    this.freshUntil = life.freshUntil
    this.staleUntil = life.staleUntil
    this.trustedUntil = life.trustedUntil
    this.costMs = about.costMs
    this.bytes = about.bytes
  }

  /** The value as a promise, the same one at each hit, so that a hit allocates nothing. */
  get promise(): Promise<unknown> {
    this.#promise ??= Promise.resolve(this.value)
    return this.#promise
  }
}

/** The entries of this process, the least recently used leaving first. */
export interface MemoryTier {
  get(key: string): MemoryEntry | undefined
  set(key: string, entry: MemoryEntry): void
  delete(key: string): void
  clear(): void
  stats(): { entries: number; bytes: number; evictions: number }
}

/** What an entry takes beside its key, value and tags: its record, its promise, its place in the map and the lists. */
const overheadBytes = 512
const tagBytes = 64

/** A tier bounded by entries and by an estimate of bytes. */
export function createMemoryTier({ maxEntries, maxBytes }: { maxEntries: number; maxBytes: number }): MemoryTier {
  let evictions = 0
  const entries = new LRUCache<string, MemoryEntry>({
    max: maxEntries,
    maxSize: maxBytes,
    sizeCalculation: ({ bytes, tags }, key) => bytes + 2 * key.length + tagBytes * tags.length + overheadBytes,
    dispose: (_entry, _key, reason) => {
      if (reason === 'evict') evictions++
    },
  })
  // `get` makes an object of options unless it is given one, and leaves in it what its own listeners are to be told.
  const options: { status: unknown } = { status: undefined }
  return {
    get(key) {
      options.status = undefined
      return entries.get(key, options as object)
    },
    set: (key, entry) => void entries.set(key, entry),
    delete: (key) => void entries.delete(key),
    clear: () => entries.clear(),
    stats: () => ({ entries: entries.size, bytes: entries.calculatedSize, evictions }),
  }
}

/** A tier for `memory: false`: it keeps nothing. */
export const noMemory: MemoryTier = {
  get: () => undefined,
  set: () => {},
  delete: () => {},
  clear: () => {},
  stats: () => ({ entries: 0, bytes: 0, evictions: 0 }),
}
