import { RecentNames } from './recent-names.ts'

/** A place in the order in which this process learned things: larger is later. */
export type Tick = number

const maxRemembered = 50_000
const noTags: readonly string[] = []

/**
 * What this process knows to be outdated. Time here is the order in which invalidations were learned, be they its own or
 * another process's: whatever began at a tick is outdated once one of its tags, its key, or everything was invalidated at a
 * later one. No clock of any host is compared with another.
 *
 * The memory is bounded: when the oldest record is forgotten, everything older than it counts as outdated.
 */
export class Invalidations {
  /** The latest tick; changes with each invalidation. */
  tick: Tick = 1
  readonly #tags = new RecentNames(maxRemembered)
  readonly #keys = new RecentNames(maxRemembered)
  #floor: Tick = 0
  #keyFloor: Tick = 0

  addTags(tags: readonly string[]): void {
    this.tick++
    this.#floor = Math.max(this.#floor, this.#tags.add(tags, this.tick))
  }

  /** The key's entry in memory must be removed by the caller; this outdates reads and loads that are under way. */
  addKeys(keys: readonly string[]): void {
    this.tick++
    this.#keyFloor = Math.max(this.#keyFloor, this.#keys.add(keys, this.tick))
  }

  addAll(): void {
    this.#floor = ++this.tick
    this.#tags.clear()
    this.#keys.clear()
  }

  /** Whether none of the tags was invalidated after the tick. */
  areTagsCurrent(since: Tick, tags: Iterable<string> = noTags): boolean {
    if (this.#floor > since) return false
    for (const tag of tags) {
      if ((this.#tags.get(tag) ?? 0) > since) return false
    }
    return true
  }

  /** Whether neither the key nor any of the tags was invalidated after the tick. */
  isCurrent(since: Tick, key: string, tags: Iterable<string>): boolean {
    return this.#keyFloor <= since && (this.#keys.get(key) ?? 0) <= since && this.areTagsCurrent(since, tags)
  }
}
