import { Emitter } from '../shared/emitter.ts'
import type { Change } from './memory/invalidation-log.ts'

/** An error that failed no call. */
export interface CacheErrorEvent {
  readonly operation: 'read' | 'write' | 'invalidate' | 'decode' | 'encode' | 'load' | 'connection'
  readonly error: unknown
  /** The encoded key, if the error concerns one key. */
  readonly key?: string | undefined
}

/** `off` without a store; `degraded` when the store answers, but late or without messages about invalidations. */
export type StoreState = 'off' | 'up' | 'degraded' | 'down'

/** An invalidation by this process (`local`) or by another (`remote`). */
export interface InvalidateEvent {
  readonly origin: 'local' | 'remote'
  readonly tags: readonly string[]
  /** Encoded keys. */
  readonly keys: readonly string[]
  /** Whether everything was invalidated: by `clear()`, or because messages were missed. */
  readonly all: boolean
  /** Present when the entries with the tags became stale, as `invalidateTags` with `serveStale` makes them. */
  readonly serveStale?: true | undefined
}

/** Each event of a cache, with the argument of its listeners. */
export interface CacheEvents {
  readonly error: CacheErrorEvent
  readonly state: { readonly state: StoreState }
  readonly invalidate: InvalidateEvent
}

export type Events = Emitter<CacheEvents>

export type StoreOperation = CacheErrorEvent['operation']

/** An error of a listener becomes an uncaught exception, as in a timer. The cache and other listeners go on. */
export function createEvents(): Events {
  return new Emitter((error) =>
    queueMicrotask(() => {
      throw error
    }),
  )
}

export function toEvent(
  { tags, keys, all, isSoft = false }: Change,
  origin: InvalidateEvent['origin'],
): InvalidateEvent {
  return { origin, tags, keys, all, ...(isSoft && { serveStale: true as const }) }
}
