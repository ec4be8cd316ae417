import type { Kysely } from 'kysely'

/** How far a run is: all items before this place are finished, and none behind it counts as finished. */
export interface Checkpoint {
  /** Items from the start of the input. */
  readonly processed: number
  /** The place behind these items, for sources that can seek. */
  readonly cursor?: string | undefined
}

/** Where checkpoints are kept. */
export interface CheckpointStore {
  /** The checkpoint under the key, and `undefined` when there is none. */
  load(key: string): Promise<Checkpoint | undefined>
  /** Replaces the checkpoint under the key; a crash leaves the old one or the new one. */
  save(key: string, checkpoint: Checkpoint): Promise<void>
  /** Forgets the key, so that the next run starts from the beginning. */
  clear(key: string): Promise<void>
}

/** A store in a database, whose checkpoints can be part of a transaction. */
export interface TransactionalCheckpointStore extends CheckpointStore {
  /** {@link CheckpointStore.load} that leaves a row for `advance` to move, at zero when there was none. */
  open(key: string): Promise<Checkpoint>
  /**
   * Moves the checkpoint within the transaction, if it still stands at `from`, and keeps every other run off it until
   * the transaction ends.
   *
   * @returns whether it stood there
   */
  advance<DB>(trx: Kysely<DB>, key: string, from: number, to: Checkpoint): Promise<boolean>
  /** {@link CheckpointStore.load} within the transaction. */
  loadWithin<DB>(trx: Kysely<DB>, key: string): Promise<Checkpoint | undefined>
}

/** Whether the store can take part in transactions. */
export function isTransactional(store: CheckpointStore): store is TransactionalCheckpointStore {
  return typeof (store as Partial<TransactionalCheckpointStore>).advance === 'function'
}

/** Checkpoints that live as long as the object: for tests, and for runs that are aborted and resumed in one process. */
export function memoryCheckpoints(): CheckpointStore {
  const checkpoints = new Map<string, Checkpoint>()
  return {
    async load(key) {
      return checkpoints.get(key)
    },
    async save(key, checkpoint) {
      checkpoints.set(key, checkpoint)
    },
    async clear(key) {
      checkpoints.delete(key)
    },
  }
}
