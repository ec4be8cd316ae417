import type { LoadedValue } from './history.ts'

/** A cache under test, as one process has it. */
export interface Subject {
  getOrSet(key: string, load: () => Promise<LoadedValue>, tags: readonly string[]): Promise<LoadedValue>
  /** Resolves to whether the invalidation is claimed to hold for everybody. */
  invalidateTag(tag: string): Promise<boolean>
  close(): Promise<void>
}

/**
 * Opens a cache on the Redis at the address; those with one namespace share their entries.
 *
 * @param withinMs - how soon one process must hear of another, for caches that can be told
 */
export type OpenSubject = (url: string, namespace: string, withinMs: number) => Promise<Subject>
