import { RecentMap } from '../../shared/recent-map.ts'

/** A place in the order in which this process learned of invalidations: larger is later. */
export type Sequence = number

/** When a read or a load began. */
export interface Start {
  /** The latest invalidation that this process knew of. */
  readonly sequence: Sequence
  /** In the cache's time. */
  readonly startedAt: number
}

/** Which entries an invalidation makes outdated. */
export interface Change {
  readonly tags: readonly string[]
  readonly keys: readonly string[]
  readonly all: boolean
  /**
   * Whether entries with the tags become stale instead: they are served while one load renews them. Has no effect on `keys`
   * and `all`.
   */
  readonly isSoft?: boolean | undefined
}

/**
 * One or more invalidations that made the entries of a tag stale. Entries that began before `until` count as stale from
 * `since` on.
 */
interface Softening {
  /** When the first of these invalidations was, in the cache's time. */
  readonly since: number
  /** When the last of these invalidations was. */
  readonly last: number
  readonly until: Sequence
}

const maxRemembered = 50_000
const maxSoftenings = 4

/**
 * Remembers which tags and keys were invalidated, by this process or by another, in the order in which this process learned
 * of it. A read or a load is outdated once its key, one of its tags, or everything was invalidated after it began. An order
 * takes the place of time here, so clocks of different hosts are never compared.
 *
 * The log is bounded: when it forgets a record, everything that began before that record counts as outdated.
 */
export class InvalidationLog {
  /** The sequence of the latest invalidation. */
  sequence: Sequence = 1
  readonly #tags = new RecentMap<Sequence>(maxRemembered, (forgotten) => {
    this.#floor = Math.max(this.#floor, forgotten)
  })
  readonly #keys = new RecentMap<Sequence>(maxRemembered, (forgotten) => {
    this.#keyFloor = Math.max(this.#keyFloor, forgotten)
  })
  /** The softenings of each tag, the earliest first. */
  readonly #softTags = new RecentMap<readonly Softening[]>(maxRemembered, (forgotten) => {
    this.#floor = Math.max(this.#floor, latestOf(forgotten))
  })
  /** Everything that began before this is outdated. */
  #floor: Sequence = 0
  /** Reads and loads that began before this are outdated. */
  #keyFloor: Sequence = 0

  record({ tags, keys, all, isSoft = false }: Change, now: number): void {
    if (tags.length > 0) this.sequence++
    if (isSoft) for (const tag of tags) this.#softTags.set(tag, this.#soften(tag, now))
    else this.#tags.setAll(tags, this.sequence)
    if (keys.length > 0) this.#keys.setAll(keys, ++this.sequence)
    if (!all) return
    this.#floor = ++this.sequence
    for (const names of [this.#tags, this.#keys, this.#softTags]) names.clear()
  }

  /** The sequence of the tag's latest invalidation, as far as it is remembered. */
  stampOf(tag: string): Sequence {
    return Math.max(this.#tags.peek(tag) ?? 0, latestOf(this.#softTags.peek(tag)), this.#floor)
  }

  /** Whether none of the tags was invalidated after `since`, not even softly. */
  areTagsCurrent(since: Sequence, tags: Iterable<string>): boolean {
    if (this.#floor > since) return false
    for (const tag of tags) {
      if ((this.#tags.peek(tag) ?? 0) > since || latestOf(this.#softTags.peek(tag)) > since) return false
    }
    return true
  }

  /** Whether none of the tags was invalidated after `since`. Their entries may have become stale. */
  areTagsValid(since: Sequence, tags: readonly string[]): boolean {
    return this.#floor <= since && !tags.some((tag) => (this.#tags.peek(tag) ?? 0) > since)
  }

  /**
   * When an entry of this sequence became stale by one of the tags, or somewhat earlier if softenings were merged;
   * `undefined` if it did not.
   */
  staleSince(sequence: Sequence, tags: readonly string[]): number | undefined {
    const times = tags.map((tag) => this.#softTags.peek(tag)?.find(({ until }) => until > sequence)?.since)
    const known = times.filter((time) => time !== undefined)
    return known.length === 0 ? undefined : Math.min(...known)
  }

  isKeyCurrent(since: Sequence, key: string): boolean {
    return this.#keyFloor <= since && (this.#keys.peek(key) ?? 0) <= since
  }

  /** Whether neither the key nor any of the tags was invalidated after `since`. */
  isCurrent(since: Sequence, key: string, tags: Iterable<string>): boolean {
    return since === this.sequence || (this.isKeyCurrent(since, key) && this.areTagsCurrent(since, tags))
  }

  /** The softenings of a tag with one more. */
  #soften(tag: string, now: number): Softening[] {
    const softenings = [...(this.#softTags.peek(tag) ?? []), { since: now, last: now, until: this.sequence }]
    return softenings.length > maxSoftenings ? mergeClosest(softenings, now) : softenings
  }
}

/**
 * Merges the two neighbours for which the error is smallest: entries of the second seem stale for longer than they are. They
 * are then served for a shorter time than they might be, never for longer.
 */
function mergeClosest(softenings: readonly Softening[], now: number): Softening[] {
  const at = (index: number) => softenings[index] as Softening
  const shareOf = (second: number) => (at(second).last - at(second - 1).since) / Math.max(1, now - at(second).last)
  let closest = 1
  for (let index = 2; index < softenings.length - 1; index++) if (shareOf(index) < shareOf(closest)) closest = index
  return softenings.toSpliced(closest - 1, 2, { ...at(closest), since: at(closest - 1).since })
}

function latestOf(softenings: readonly Softening[] | undefined): Sequence {
  return softenings?.at(-1)?.until ?? 0
}
