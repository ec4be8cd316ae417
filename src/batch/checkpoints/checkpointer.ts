import { type Checkpoint, type CheckpointTarget, createCheckpoint } from './checkpoint-store.ts'

/** Saves the checkpoints of one run, one at a time. If several wait, only the last one is saved. */
export class Checkpointer {
  /** Items that earlier runs finished. */
  readonly resumed: number
  /** The position of the stored checkpoint. A transaction that has stored one sets it. */
  position: number
  readonly #target: CheckpointTarget | undefined
  #pending: Checkpoint | undefined
  #saving: Promise<void> | undefined

  constructor(target: CheckpointTarget | undefined, resumed: number) {
    this.#target = target
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
        await store.save(key, checkpoint)
        this.position = checkpoint.processed
      }
    } finally {
      this.#saving = undefined
    }
  }
}
