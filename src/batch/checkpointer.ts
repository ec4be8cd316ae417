import type { Checkpoint } from './checkpoints.ts'
import type { BatchSettings } from './options.ts'

/** Writes down how far a run is: one write at a time, and of several that wait only the last. */
export class Checkpointer {
  /** Items that earlier runs had finished. */
  readonly resumed: number
  /** Up to where the stored checkpoint goes. */
  position: number
  readonly #target: BatchSettings<unknown>['checkpoint']
  #next: Checkpoint | undefined
  #saving: Promise<void> | undefined

  constructor({ checkpoint }: Pick<BatchSettings<unknown>, 'checkpoint'>, resumed: number) {
    this.#target = checkpoint
    this.resumed = resumed
    this.position = resumed
  }

  /** Resolves when this checkpoint, or a later one, is stored. */
  save(processed: number, cursor: string | undefined): Promise<void> | undefined {
    if (this.#target === undefined || processed <= this.position) return undefined
    this.#next = checkpointAt(processed, cursor)
    this.#saving ??= this.#drain(this.#target)
    return this.#saving
  }

  async #drain({ key, store }: NonNullable<BatchSettings<unknown>['checkpoint']>): Promise<void> {
    try {
      for (let next = this.#next; next !== undefined; next = this.#next) {
        this.#next = undefined
        await store.save(key, next)
        this.position = next.processed
      }
    } finally {
      this.#saving = undefined
    }
  }
}

export function checkpointAt(processed: number, cursor: string | undefined): Checkpoint {
  return cursor === undefined ? { processed } : { processed, cursor }
}
