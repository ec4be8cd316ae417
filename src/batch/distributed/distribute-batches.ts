import { describeValue, expectOptions, expectWholeNumber, type OptionKinds } from '../../shared/arguments.ts'
import { yieldIfDue } from '../../shared/time/slices.ts'
import { closingOnError, endOfInput, type Items, Source } from '../source.ts'
import type { BatchJob, BatchQueue } from './bullmq.ts'
import { KnownBatches } from './known-batches.ts'

export interface DistributeOptions {
  /** Items in a job. @defaultValue 100 */
  readonly batchSize?: number | undefined
  /**
   * A name for this input. Batches that the queue already has under this name (waiting, running or finished) are not
   * added again. So an interrupted distribution can be repeated, also with another `batchSize`, and an input that has
   * grown adds only its new items. An item is identified by its position and its content.
   */
  readonly key?: string | undefined
}

const distributeOptions: OptionKinds<DistributeOptions> = { batchSize: 'own', key: 'own' }

type QueuedJob = Parameters<BatchQueue['addBulk']>[0][number]

const jobsPerCommand = 50

/**
 * Adds items to a BullMQ queue, one job for each batch, for `batchWorker`s on any number of machines.
 *
 * Items are read while they are sent, so the input may be larger than memory. Redis stores them as JSON.
 *
 * @returns how many batches and items were sent, including those that the queue already had
 * @throws TypeError or RangeError for a wrong argument; any error of the source or the queue
 *
 * @example
 * ```ts
 * const queue = new Queue('reindex', { connection })
 * await distributeBatches(queue, readRows(query, { unique: 'id' }), { batchSize: 500, key: 'reindex-2026-11' })
 * ```
 */
export async function distributeBatches<Item>(
  queue: BatchQueue,
  items: Items<Item>,
  options: DistributeOptions = {},
): Promise<{ batches: number; items: number }> {
  const { batchSize, key } = await closingOnError(items, () => parseOptions(queue, options))
  // Opened before the queue is asked: meanwhile, `node:readline` loses the lines that nobody asked for.
  const source = new Source(items)
  return closingOnError(source, async () => {
    const known = key === undefined ? undefined : await KnownBatches.read(queue, key)
    const distribution = new Distribution(source, batchSize, known)
    let jobs: QueuedJob[] = []
    for await (const batch of distribution.newBatches()) {
      const data: BatchJob<Item> = { ...batch, ...(key === undefined ? {} : { key }) }
      const opts = known === undefined ? {} : { opts: { jobId: known.idOf(batch.index, batch.items) } }
      if (jobs.push({ name: 'batch', data, ...opts }) < jobsPerCommand) continue
      await queue.addBulk(jobs)
      jobs = []
    }
    if (jobs.length > 0) await queue.addBulk(jobs)
    return { batches: distribution.batches, items: distribution.position }
  })
}

function parseOptions(queue: unknown, options: DistributeOptions): { batchSize: number; key: string | undefined } {
  if (typeof (queue as Partial<BatchQueue> | undefined)?.addBulk !== 'function') {
    throw new TypeError(`Expected \`queue\` to be a BullMQ queue, got ${describeValue(queue)}`)
  }
  expectOptions(options, distributeOptions)
  const { batchSize = 100, key } = options
  expectWholeNumber(batchSize, 'batchSize', { min: 1, max: 2 ** 32 - 1 })
  // Half of a surrogate pair cannot be written in UTF-8.
  if (key === undefined || (typeof key === 'string' && key.isWellFormed())) return { batchSize, key }
  throw new TypeError(`Expected \`key\` to be a string of whole characters, got ${describeValue(key)}`)
}

/** Divides the input into batches that the queue already has, and new ones. */
class Distribution<Item> {
  batches = 0
  /** How many items were put into batches. */
  position = 0
  readonly #source: Source<Item>
  readonly #batchSize: number
  readonly #known: KnownBatches | undefined
  /** The items that were read from `position` on. */
  readonly #ahead: Item[] = []
  #isInputRead = false

  constructor(source: Source<Item>, batchSize: number, known: KnownBatches | undefined) {
    this.#source = source
    this.#batchSize = batchSize
    this.#known = known
  }

  async *newBatches(): AsyncGenerator<BatchJob<Item>> {
    for (;;) {
      const isKnown = await this.#matchAt(this.position)
      const length = isKnown || (await this.#lengthOfNew())
      if (length === 0) return
      const batch = { items: this.#ahead.splice(0, length), index: this.position, batch: this.batches++ }
      this.position += length
      if (isKnown === 0) yield batch
      await yieldIfDue()
    }
  }

  /** A new batch ends before the next batch that the queue already has, so that no item is in both. */
  async #lengthOfNew(): Promise<number> {
    await this.#readAhead(this.#batchSize)
    const end = Math.min(this.#batchSize, this.#ahead.length)
    for (const start of this.#known?.startsBetween(this.position, this.position + end) ?? []) {
      if ((await this.#matchAt(start)) > 0) return start - this.position
    }
    return end
  }

  /** How many items from this position on form a batch that the queue already has. */
  async #matchAt(start: number): Promise<number> {
    const longest = this.#known?.longestAt(start) ?? 0
    if (this.#known === undefined || longest === 0) return 0
    const offset = start - this.position
    await this.#readAhead(offset + longest)
    return this.#known.matchAt(start, this.#ahead.slice(offset, offset + longest))
  }

  async #readAhead(count: number): Promise<void> {
    while (this.#ahead.length < count && !this.#isInputRead) {
      const item = this.#source.isAsync ? await this.#source.takeAsync() : this.#source.take()
      if (item === endOfInput) this.#isInputRead = true
      else this.#ahead.push(item)
    }
  }
}
