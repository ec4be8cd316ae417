import type { TransactionSettings } from '../options.ts'
import { type Checkpoint, type CheckpointTarget, createCheckpoint, moveCheckpoint } from './checkpoint-store.ts'

/** Saves the checkpoints of one run, one at a time. If several wait, only the last one is saved. */
export class Checkpointer {
  /** Items that earlier runs finished. */
  readonly resumed: number
  /** The position of the stored checkpoint. A transaction that has stored one sets it. */
  position: number
  readonly #target: CheckpointTarget | undefined
  readonly #transaction: TransactionSettings | undefined
  #pending: Checkpoint | undefined
  #saving: Promise<void> | undefined

  constructor(target: CheckpointTarget | undefined, resumed: number, transaction: TransactionSettings | undefined) {
    this.#target = target
    this.#transaction = transaction
    this.resumed = resumed
    this.position = resumed
  }

  /** Resolves when this checkpoint, or a later one, is stored. */
  save(processed: number, cursor: string | undefined): Promise<void> | undefined {
    if (this.#target === undefined || processed <= this.position) return undefined
    this.#pending = createCheckpoint(processed, cursor)
    this.#saving ??= this.#savePending(this.#target)
    return this.#saving
  }

  async #savePending({ key, store }: CheckpointTarget): Promise<void> {
    try {
      for (let checkpoint = this.#pending; checkpoint !== undefined; checkpoint = this.#pending) {
        this.#pending = undefined
        if (this.#transaction?.checkpoint === undefined) await store.save(key, checkpoint)
        // The items that were skipped at the end of a batch. Another run may have moved the checkpoint since they failed.
        else await moveCheckpoint(this.#transaction.db, this.#transaction.checkpoint, this.position, checkpoint)
        this.position = checkpoint.processed
      }
    } finally {
      this.#saving = undefined
    }
  }
}
