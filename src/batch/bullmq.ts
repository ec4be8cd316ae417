/** What {@link distributeBatches} needs of a BullMQ `Queue`. */
export interface BatchQueue {
  addBulk(jobs: { name: string; data: BatchJob; opts?: { jobId?: string } }[]): Promise<readonly unknown[]>
}

/** The data of a job: one batch of the input. */
export interface BatchJob<Item = unknown> {
  readonly items: readonly Item[]
  /** The position of the first item in the input. */
  readonly index: number
  /** The number of the batch. */
  readonly batch: number
  /** The `key` that the input was distributed under. */
  readonly key?: string | undefined
}

/** What a job returns: in BullMQ, its `returnvalue`, and while it runs, without the lists, its `progress`. */
export interface BatchJobResult<Item = unknown, Result = unknown> {
  /** Items that are finished, the failed ones among them. */
  readonly processed: number
  readonly failed: number
  readonly abandoned: number
  readonly results: readonly Result[]
  /** Errors as their messages: a queue holds JSON. */
  readonly failures: readonly {
    readonly error: string
    readonly items: readonly Item[]
    readonly index: number
    readonly attempts: number
  }[]
}

/** What {@link batchWorker} returns: a BullMQ `Worker`, of which this is the part that most need. */
export interface BatchWorker {
  readonly name: string
  /** `completed`, `failed`, `progress`, `stalled`, `error` and the others that BullMQ emits. */
  on(event: string, listener: (...values: never[]) => void): this
  off(event: string, listener: (...values: never[]) => void): this
  /** Takes no further batch and resolves when those that run have ended; with `force`, at once. */
  close(force?: boolean): Promise<void>
  pause(doNotWaitActive?: boolean): Promise<void>
  resume(): void
  isRunning(): boolean
  waitUntilReady(): Promise<unknown>
}

/** A BullMQ `Job`, as far as a worker uses it. */
export interface RunningJob {
  readonly data: BatchJob
  updateProgress(progress: object): Promise<void>
}
