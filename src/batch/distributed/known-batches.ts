import { nodeCrypto } from '../../shared/platform/builtins.ts'
import type { BatchQueue } from './bullmq.ts'

/** All states of a job. BullMQ ignores names that its version does not know. */
const jobStates = ['waiting', 'paused', 'prioritized', 'delayed', 'waiting-children', 'active', 'completed', 'failed']

/**
 * The batches that a queue has under one key.
 *
 * The id of a batch's job contains the position of its first item, the number of its items, and a digest of them. So
 * batches with different items never have the same id, whatever their `batchSize` was.
 */
export class KnownBatches {
  readonly #prefix: string
  readonly #ids = new Set<string>()
  readonly #lengthsByStart = new Map<number, number[]>()
  readonly #starts: number[]
  #nextStart = 0

  /** @param ids - the ids of any jobs */
  constructor(key: string, ids: readonly string[]) {
    // BullMQ allows no colon in an id, and no id that is only a number.
    this.#prefix = `${encodeURIComponent(key)}-`
    for (const id of ids) {
      const match = id.startsWith(this.#prefix) && /^(\d+)-(\d+)-[\da-f]+$/.exec(id.slice(this.#prefix.length))
      if (!match) continue
      const [start, length] = [Number(match[1]), Number(match[2])]
      const lengths = this.#lengthsByStart.get(start) ?? []
      this.#lengthsByStart.set(start, lengths.concat(length))
      this.#ids.add(id)
    }
    for (const lengths of this.#lengthsByStart.values()) lengths.sort((a, b) => b - a)
    this.#starts = [...this.#lengthsByStart.keys()].sort((a, b) => a - b)
  }

  /** Asks the queue for its jobs. A queue that cannot list its jobs still refuses to add a batch twice. */
  static async read(queue: BatchQueue, key: string): Promise<KnownBatches> {
    return new KnownBatches(key, (await queue.getRanges?.(jobStates as never[], 0, -1)) ?? [])
  }

  /** How many items the longest batch has that starts here. */
  longestAt(start: number): number {
    return this.#lengthsByStart.get(start)?.[0] ?? 0
  }

  /** Where batches start between two positions, without the positions themselves. `from` must grow from call to call. */
  *startsBetween(from: number, to: number): Generator<number> {
    while ((this.#starts[this.#nextStart] ?? Number.POSITIVE_INFINITY) <= from) this.#nextStart++
    for (let index = this.#nextStart; ; index++) {
      const start = this.#starts[index]
      if (start === undefined || start >= to) return
      yield start
    }
  }

  /**
   * The length of the longest known batch that starts here and has the same items.
   *
   * @param items - the items of the input from this position on
   */
  matchAt(start: number, items: readonly unknown[]): number {
    for (const length of this.#lengthsByStart.get(start) ?? []) {
      if (length <= items.length && this.#ids.has(this.idOf(start, items.slice(0, length)))) return length
    }
    return 0
  }

  idOf(start: number, items: readonly unknown[]): string {
    const digest = nodeCrypto().createHash('sha256').update(JSON.stringify(items)).digest('hex').slice(0, 32)
    return `${this.#prefix}${start}-${items.length}-${digest}`
  }
}
