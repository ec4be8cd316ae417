/** The methods of a BullMQ `Queue` that `distributeBatches` calls. */
export interface BatchQueue {
  addBulk(jobs: { name: string; data: BatchJob; opts?: { jobId?: string } }[]): Promise<readonly unknown[]>
  /** The ids of the jobs in these states. */
  getRanges?(states: never[], start?: number, end?: number): Promise<readonly string[]>
}

/** The `data` of a job: one batch of the input. */
export interface BatchJob<Item = unknown> {
  readonly items: readonly Item[]
  /** The position of the first item in the input. */
  readonly index: number
  /** The number of the batch, from 0. */
  readonly batch: number
  /** The `key` option of `distributeBatches`. */
  readonly key?: string | undefined
}

/** The `returnvalue` of a job. Its `progress` has the same fields without `results`, and `total`. */
export interface BatchJobResult<Item = unknown, Result = unknown> {
  /** Items that are finished, including those that failed. */
  readonly processed: number
  readonly failed: number
  readonly abandoned: number
  readonly results: readonly Result[]
  /** Each `error` is the error's message, because a queue stores JSON. */
  readonly failures: readonly {
    readonly error: string
    readonly items: readonly Item[]
    readonly index: number
    readonly attempts: number
  }[]
}

/** The most used methods of the BullMQ `Worker` that `batchWorker` returns. */
export interface BatchWorker {
  readonly name: string
  /** @param event - `completed`, `failed`, `progress`, `stalled`, `error`, or another event of BullMQ */
  on(event: string, listener: (...values: never[]) => void): this
  off(event: string, listener: (...values: never[]) => void): this
  /** Takes no more batches, and resolves when the running ones have ended; with `force`, without waiting for them. */
  close(force?: boolean): Promise<void>
  pause(doNotWaitActive?: boolean): Promise<void>
  resume(): void
  isRunning(): boolean
  waitUntilReady(): Promise<unknown>
}

/** The parts of a BullMQ `Job` that a worker uses. */
export interface RunningJob {
  /** Anybody may have added the job: it is checked before it is used. */
  readonly data: unknown
  updateProgress(progress: object): Promise<void>
}
