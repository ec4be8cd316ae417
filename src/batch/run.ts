import { setMaxListeners } from 'node:events'
import { yieldIfDue } from '../shared/time/slices.ts'
import { startTimer, type Timer } from '../shared/time/timers.ts'
import { Batch, expectList } from './batch.ts'
import type { BatchSettings } from './options.ts'
import { type Invoke, ProcessorCall } from './processor-call.ts'
import type { ItemCounts } from './progress.ts'
import { Recovery, type RunState, type StopReason } from './recovery.ts'
import { endOfInput } from './source.ts'

/** What a run processes. An input of the processor is an item, or a chunk of items. */
export interface Work<Input = unknown> {
  readonly inputs: Inputs<Input>
  readonly invoke: Invoke<Input, unknown>
  /** How many inputs make a batch. */
  readonly inputsPerBatch: number
  readonly isChunked: boolean
  /** The position in the input at which the run starts or resumes. */
  readonly start: number
  /** The source's cursor at a position, if the source was read up to that position. */
  readonly cursorAt: (position: number) => string | undefined
}

/** Supplies the inputs one after another. */
export interface Inputs<Input> {
  /** Says which of the two methods to call. */
  readonly isAsync: boolean
  take(): Input | typeof endOfInput
  takeAsync(): Promise<Input | typeof endOfInput>
}

/**
 * A number of workers. Each takes an input, calls the processor, and repeats that.
 *
 * Workers never reject: an error stops the run. The run settles when all workers have ended, or when `grace` has passed
 * since it stopped. So no call goes on unnoticed.
 */
export class Run<Item> implements RunState {
  readonly counts: ItemCounts = { processed: 0, failed: 0, inFlight: 0 }
  stopReason: StopReason | undefined
  isSettled = false
  /** Batches that are finished. */
  batches = 0
  /** Calls that were abandoned. */
  abandoned = 0
  /** Batches that are started and not finished. */
  readonly openBatches: Set<Batch<Item>> = new Set()

  readonly #work: Work
  readonly #settings: BatchSettings<Item>
  readonly #controller: AbortController
  readonly #recovery: Recovery<Item>
  #onBatch: (batch: Batch<Item>) => void | Promise<void> = () => {}
  /** The batch to which inputs are being added. */
  #fillingBatch: Batch<Item> | undefined
  #nextBatchIndex = 0
  #position: number
  #runningCalls = 0
  #workers = 0
  /** Workers that wait for an input. */
  #readers = 0
  #isStarting = true
  readonly #ended = Promise.withResolvers<void>()
  #isInputRead = false
  #startGrace: (() => void) | undefined

  constructor(work: Work, settings: BatchSettings<Item>, controller: AbortController) {
    this.#work = work
    this.#settings = settings
    this.#controller = controller
    this.#position = work.start
    this.#recovery = new Recovery(this, work.invoke as Invoke<readonly Item[], unknown>, settings)
    // Every running call may add a listener to this signal. That is no leak, so Node must not warn.
    setMaxListeners(0, controller.signal)
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /**
   * Processes the input. Resolves when no call is running any more, or when the running calls are abandoned.
   *
   * @param onBatch - called with each finished batch, in any order; the worker that finished the batch awaits it
   */
  async execute(onBatch: (batch: Batch<Item>) => void | Promise<void>): Promise<void> {
    const { signal, graceMs } = this.#settings
    this.#onBatch = onBatch
    const abort = () => this.halt('thrown', signal?.reason)
    signal?.addEventListener('abort', abort)
    const gracePassed = Promise.withResolvers<void>()
    let graceTimer: Timer | undefined
    this.#startGrace = () => {
      graceTimer = startTimer(gracePassed.resolve, graceMs, { keepsAlive: true })
    }
    // The signal may have been aborted since the run was opened.
    if (signal?.aborted) abort()
    await this.#startWorkers()
    await Promise.race([this.#ended.promise, gracePassed.promise])
    graceTimer?.cancel()
    signal?.removeEventListener('abort', abort)
    this.isSettled = true
    this.abandoned += this.#runningCalls
  }

  /** Stops the run: no call is started any more, and running calls are aborted. Only the first reason counts. */
  halt(kind: StopReason['kind'], error: unknown): void {
    if (this.stopReason !== undefined) return
    this.stopReason = { kind, error }
    const reason = kind === 'thrown' ? error : new DOMException('Another call of this run failed', 'AbortError')
    this.#controller.abort(reason)
    this.#startGrace?.()
  }

  countCallStart(size: number): void {
    this.counts.inFlight += size
    this.#runningCalls++
  }

  countCallEnd(size: number, isSuccess: boolean): void {
    this.counts.inFlight -= size
    this.#runningCalls--
    if (isSuccess) this.counts.processed += size
  }

  countFailedItems(size: number): number {
    this.counts.processed += size
    this.counts.failed += size
    return this.counts.failed
  }

  /** Starts a worker for each call that may run at the same time, as long as there are inputs. */
  async #startWorkers(): Promise<void> {
    const { concurrency } = this.#settings
    // For an async source, one worker is started, and each starts the next one when it has an input: `concurrency` may be
    // any number.
    const count = this.#work.inputs.isAsync ? 1 : concurrency
    for (let started = 0; started < count && !this.#isInputRead && this.stopReason === undefined; started++) {
      if (started > 0 && started % 64 === 0) await yieldIfDue()
      void this.#runWorker()
    }
    this.#isStarting = false
    if (this.#workers === 0) this.#ended.resolve()
  }

  async #runWorker(): Promise<void> {
    this.#workers++
    try {
      await this.#processInputs()
    } catch (error) {
      // The source, the checkpoint store or a hook threw.
      this.halt('thrown', error)
    }
    if (--this.#workers === 0 && !this.#isStarting) this.#ended.resolve()
  }

  /** Starts one more worker, unless one already waits for an input. The new worker may read at once. */
  #startReader(): void {
    if (this.#readers === 0 && this.#workers < this.#settings.concurrency) void this.#runWorker()
  }

  async #processInputs(): Promise<void> {
    const { inputs, invoke, isChunked } = this.#work
    const { signal } = this
    const { collect, origin } = this.#settings
    while (this.stopReason === undefined) {
      if (inputs.isAsync) this.#readers++
      const input = inputs.isAsync ? await inputs.takeAsync() : inputs.take()
      if (inputs.isAsync) this.#readers--
      if (input === endOfInput) return this.#endInput()
      if (this.stopReason !== undefined) return
      const size = isChunked ? (input as Item[]).length : 1
      const batchIndex = origin.batch + this.#nextBatchIndex
      const call = new ProcessorCall(origin.index + this.#position, batchIndex, signal, origin.key)
      const batch = this.#addToBatch(size)
      const slot = batch.startedCalls - 1
      // Only after the batch has its cursor, because the next read changes the source's cursor.
      if (inputs.isAsync) this.#startReader()

      let value: unknown
      let failure: { readonly error: unknown } | undefined
      this.countCallStart(size)
      try {
        const returned = invoke(input, call)
        value = isPromiseLike(returned) ? await returned : returned
        if (isChunked) expectList(value)
      } catch (error) {
        failure = { error }
      }
      // The run has settled: drop late results.
      if (this.isSettled) return
      this.countCallEnd(size, failure === undefined)
      if (failure === undefined) {
        if (collect) batch.values[slot] = value
      } else {
        const items = isChunked ? (input as Item[]) : [input as unknown as Item]
        if (!(await this.#recovery.recover({ items, call, batch, slot }, failure.error))) return
      }
      batch.finishedCalls++
      if (batch.isFinished) {
        const finishing = this.#finishBatch(batch)
        if (finishing !== undefined) await finishing
      }
    }
  }

  /** Adds the next input to a batch, and returns that batch. */
  #addToBatch(size: number): Batch<Item> {
    let batch = this.#fillingBatch
    if (batch === undefined) {
      batch = this.#fillingBatch = new Batch(this.#nextBatchIndex, this.#position)
      this.openBatches.add(batch)
    }
    batch.itemCount += size
    this.#position += size
    if (++batch.startedCalls === this.#work.inputsPerBatch) this.#sealBatch(batch)
    return batch
  }

  #sealBatch(batch: Batch<Item>): void {
    batch.isFull = true
    batch.cursor = this.#work.cursorAt(batch.end)
    this.#fillingBatch = undefined
    this.#nextBatchIndex++
  }

  #endInput(): void | Promise<void> {
    this.#isInputRead = true
    const batch = this.#fillingBatch
    if (batch === undefined || this.stopReason !== undefined) return
    this.#sealBatch(batch)
    if (batch.isFinished) return this.#finishBatch(batch)
  }

  #finishBatch(batch: Batch<Item>): void | Promise<void> {
    this.openBatches.delete(batch)
    this.batches++
    const handled = this.#onBatch(batch)
    // If the source and the processor never wait, the run would otherwise block the event loop until the end of the
    // input.
    return handled === undefined ? yieldIfDue() : handled.then(yieldIfDue)
  }
}

function isPromiseLike(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | undefined)?.then === 'function'
}
