import { RecentMap } from '../../shared/recent-map.ts'
import type { Change } from '../memory/invalidation-log.ts'
import type { Store } from './store.ts'

/** The most tags or keys that one command invalidates. */
const maxNamesAtOnce = 1_000
const maxQueued = 10_000

/** The changes that wait until the store is back, and the changes that the store may have lost. */
export class ChangeQueue {
  readonly #queued = new QueuedChanges()
  readonly #recent = new RecentChanges()
  /** When the connection was lost. Since then another server, which lacks recent changes, may have taken over. */
  #lostAt: number | undefined

  get size(): number {
    return this.#queued.size
  }

  /** Queues a change for {@link flush}. */
  add(change: Change): void {
    this.#queued.add(change)
  }

  /**
   * Notes that the connection is lost: the next server may lack recent changes. They are kept until it comes, however long
   * that takes.
   */
  noteLoss(): void {
    this.#lostAt ??= performance.now()
  }

  /** Remembers a change that the store has acknowledged. */
  addSent(change: Change): void {
    this.#recent.add(change)
  }

  /** Sends all waiting changes. Changes that are not acknowledged stay in the queue. */
  async flush(send: (change: Change) => Promise<void>): Promise<void> {
    if (this.#lostAt !== undefined) this.#queued.add(this.#recent.since(this.#lostAt - recentMs))
    this.#lostAt = undefined
    while (this.size > 0) {
      const parts = splitChange(this.#queued.take())
      try {
        for (let part = parts[0]; part !== undefined; part = parts[0]) {
          await send(part)
          this.#recent.add(part)
          parts.shift()
        }
      } finally {
        for (const part of parts) this.#queued.add(part)
      }
    }
  }
}

/**
 * Changes that wait until the store is back. Soft changes are queued as plain ones: their entries become invalid, not stale.
 * More than 10,000 names become one change of everything.
 */
class QueuedChanges {
  readonly #tags = new Set<string>()
  readonly #keys = new Set<string>()
  #isAll = false

  get size(): number {
    return this.#isAll ? 1 : this.#tags.size + this.#keys.size
  }

  add({ tags, keys, all }: Change): void {
    for (const tag of tags) this.#tags.add(tag)
    for (const key of keys) this.#keys.add(key)
    this.#isAll ||= all || this.size > maxQueued
    if (this.#isAll) this.#clearNames()
  }

  /** Removes all changes from the queue and returns them as one. */
  take(): Change {
    const change = { tags: [...this.#tags], keys: [...this.#keys], all: this.#isAll }
    this.#isAll = false
    this.#clearNames()
    return change
  }

  #clearNames(): void {
    this.#tags.clear()
    this.#keys.clear()
  }
}

/** Sends a change to the store. */
export async function sendChange(store: Store, { tags, keys, all, isSoft = false }: Change): Promise<void> {
  if (all) return store.clear()
  if (tags.length > 0) await store.invalidate(tags, isSoft)
  if (keys.length > 0) await store.delete(keys)
}

/** The change in parts that one command can send. */
export function splitChange(change: Change): Change[] {
  const { tags, keys, all, isSoft } = change
  const maxNames = maxNamesAtOnce
  if (all || tags.length + keys.length <= maxNames) return [change]
  const parts: Change[] = []
  for (let first = 0; first < tags.length; first += maxNames) {
    parts.push({ tags: tags.slice(first, first + maxNames), keys: [], all, isSoft })
  }
  for (let first = 0; first < keys.length; first += maxNames) {
    parts.push({ tags: [], keys: keys.slice(first, first + maxNames), all })
  }
  return parts
}

/** The next server may lack the changes of this time before the last one was lost. */
const recentMs = 60_000
const maxRecent = 10_000

/**
 * The latest changes that the store acknowledged, at most 10,000 tags and 10,000 keys. A server that takes over from another may
 * have missed the last ones.
 */
class RecentChanges {
  readonly #tags = new RecentMap<number>(maxRecent)
  readonly #keys = new RecentMap<number>(maxRecent)
  #allAt = Number.NEGATIVE_INFINITY

  add({ tags, keys, all }: Change): void {
    const now = performance.now()
    this.#tags.setAll(tags, now)
    this.#keys.setAll(keys, now)
    if (all) this.#allAt = now
  }

  since(since: number): Change {
    return { tags: namesSince(since, this.#tags), keys: namesSince(since, this.#keys), all: this.#allAt >= since }
  }
}

function namesSince(since: number, times: RecentMap<number>): string[] {
  return [...times.entries()].filter(([, at]) => at >= since).map(([name]) => name)
}
