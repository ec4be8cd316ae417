import type { Kysely } from 'kysely'
import { describeValue } from '../../shared/arguments.ts'

/** How far a run is: every item before this position is finished. A resumed run starts here. */
export interface Checkpoint {
  /** How many items are finished, counted from the start of the input. */
  readonly processed: number
  /** The source's cursor after these items, if the source can resume from a cursor. */
  readonly cursor?: string | undefined
}

/** Keeps the checkpoints of runs, each under its key. */
export interface CheckpointStore {
  /** Returns the checkpoint of the key, or `undefined` if the store has none. */
  load(key: string): Promise<Checkpoint | undefined>
  /** Replaces the checkpoint of the key. After a crash, the store holds either the old checkpoint or the new one. */
  save(key: string, checkpoint: Checkpoint): Promise<void>
  /** Deletes the checkpoint of the key, so that the next run starts from the beginning. */
  clear(key: string): Promise<void>
}

/** A store in a database. It can save a checkpoint in the transaction that also does the work. */
export interface TransactionalCheckpointStore extends CheckpointStore {
  /** Loads the checkpoint. If there is none, stores one at position 0, because `advance` only updates. */
  open(key: string): Promise<Checkpoint>
  /**
   * Moves the checkpoint within the transaction, if its position is `from`. Until the transaction ends, the checkpoint is
   * locked for all other runs.
   *
   * @returns whether the position was `from`
   */
  advance<DB>(trx: Kysely<DB>, key: string, from: number, to: Checkpoint): Promise<boolean>
  /** Loads the checkpoint within the transaction. */
  loadWithin<DB>(trx: Kysely<DB>, key: string): Promise<Checkpoint | undefined>
}

/** Where a run saves its checkpoint. */
export interface CheckpointTarget<Store extends CheckpointStore = CheckpointStore> {
  readonly key: string
  readonly store: Store
}

/** Another run has moved the checkpoint and now processes the items. This run ends, whatever `onError` says. */
export class CheckpointConflict extends Error {
  override readonly name = 'CheckpointConflict'
}

/**
 * Returns false if the checkpoint has the new position already.
 *
 * @throws CheckpointConflict if it has any other position, because then another run has moved it
 */
export async function moveCheckpoint(
  trx: Kysely<unknown>,
  { key, store }: CheckpointTarget<TransactionalCheckpointStore>,
  from: number,
  to: Checkpoint,
): Promise<boolean> {
  if (await store.advance(trx, key, from, to)) return true
  const stored = await store.loadWithin(trx, key)
  if (stored?.processed === to.processed) return false
  throw new CheckpointConflict(
    `Another run moved the checkpoint '${key}' from ${from} to ${stored?.processed ?? 'nowhere'}`,
  )
}

/** Whether the store can save checkpoints in transactions. */
export function isTransactional(store: CheckpointStore): store is TransactionalCheckpointStore {
  return typeof (store as Partial<TransactionalCheckpointStore>).advance === 'function'
}

/**
 * Checks what a store returned. With a damaged checkpoint, a run would skip items or repeat them.
 *
 * @param name - which checkpoint it is, for the message
 * @throws TypeError if it is not a checkpoint
 */
export function parseCheckpoint(value: unknown, name: string): Checkpoint {
  const { processed, cursor } = Object(value) as Record<keyof Checkpoint, unknown>
  if (!Number.isSafeInteger(processed) || (processed as number) < 0) {
    const got = value === Object(value) ? `\`processed\` is ${describeValue(processed)}` : describeValue(value)
    throw new TypeError(`Expected ${name} to have a whole number from 0 up as \`processed\`, got ${got}`)
  }
  if (cursor !== undefined && cursor !== null && typeof cursor !== 'string') {
    throw new TypeError(`Expected ${name} to have a string as \`cursor\`, or none, got ${describeValue(cursor)}`)
  }
  return createCheckpoint(processed as number, cursor ?? undefined)
}

export function createCheckpoint(processed: number, cursor: string | undefined): Checkpoint {
  return cursor === undefined ? { processed } : { processed, cursor }
}
