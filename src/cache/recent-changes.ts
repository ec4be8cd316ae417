import type { Change } from './coherence.ts'
import { RecentNames } from './recent-names.ts'

const keptMs = 60_000
const maxKept = 10_000

/**
 * What the store was told within the last minute, the latest 10,000 names of it: a server that takes another's place may
 * have missed the last of it.
 */
export class RecentChanges {
  readonly #tags = new RecentNames(maxKept)
  readonly #keys = new RecentNames(maxKept)
  #allAt = Number.NEGATIVE_INFINITY

  add({ tags, keys, all }: Change): void {
    const now = performance.now()
    this.#tags.add(tags, now)
    this.#keys.add(keys, now)
    if (all) this.#allAt = now
  }

  get(): Change {
    const since = performance.now() - keptMs
    return { tags: this.#tags.since(since), keys: this.#keys.since(since), all: this.#allAt >= since }
  }
}
