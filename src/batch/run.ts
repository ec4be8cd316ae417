import { setMaxListeners } from 'node:events'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Call, type Invoke } from './context.ts'
import type { Feed } from './feed.ts'
import type { BatchSettings } from './options.ts'
import type { Counts } from './progress.ts'
import { type Recovering, Recovery, type Stop } from './recovery.ts'
import { end } from './source.ts'
import { expectList, Unit } from './unit.ts'

/** What a run works through. An input is an item, or a chunk of items. */
export interface Work<Input = unknown> {
  readonly feed: Feed<Input>
  readonly invoke: Invoke<Input, unknown>
  /** Inputs a batch. */
  readonly perBatch: number
  readonly isChunked: boolean
  /** The position of the first input, where the run resumes. */
  readonly start: number
  /** The source's cursor at a position up to which it was read. */
  readonly cursorAt: (position: number) => string | undefined
}

/** How long the event loop may be kept busy by a processor and a source that never wait. */
const turnMs = 20

/**
 * A number of workers, each of which takes an input, calls the processor, and goes on.
 *
 * Workers never reject: what goes wrong stops the run, which is over when every worker has ended, or when `grace` has
 * passed since it was stopped. So nothing runs on unnoticed.
 */
export class Run<Item> implements Recovering {
  readonly counts: Counts = { processed: 0, failed: 0, inFlight: 0 }
  stop: Stop | undefined
  /** Nobody waits for the calls that may be running. */
  isSettled = false
  batches = 0
  abandoned = 0
  /** Called with every batch that is complete, in any order; the worker that completed it waits. */
  onBatch: (unit: Unit<Item>) => void | Promise<void> = () => {}
  /** Batches that are begun and not complete. */
  readonly open: Set<Unit<Item>> = new Set()

  readonly #work: Work
  readonly #settings: BatchSettings<Item>
  readonly #controller: AbortController
  readonly #recovery: Recovery<Item>
  #unit: Unit<Item> | undefined
  #units = 0
  #position: number
  #calls = 0
  #ended = false
  #turn = performance.now()
  #stopped: (() => void) | undefined

  constructor(work: Work, settings: BatchSettings<Item>, controller: AbortController) {
    this.#work = work
    this.#settings = settings
    this.#controller = controller
    this.#position = work.start
    this.#recovery = new Recovery(this, work.invoke as Invoke<readonly Item[], unknown>, settings)
    // Every call may listen to the one signal.
    setMaxListeners(0, controller.signal)
  }

  /** Fires when the run stops. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Resolves when no call is running any more, or those that are have been given up. */
  async finish(): Promise<void> {
    const { signal, concurrency, graceMs } = this.#settings
    const abort = () => this.halt('thrown', signal?.reason)
    signal?.addEventListener('abort', abort)
    let grace: NodeJS.Timeout | undefined
    const givenUp = new Promise<void>((resolve) => {
      this.#stopped = () => {
        grace = setTimeout(resolve, graceMs)
      }
    })
    const workers: Promise<void>[] = []
    while (workers.length < concurrency && !this.#ended && this.stop === undefined) workers.push(this.#runWorker())
    await Promise.race([Promise.all(workers), givenUp])
    clearTimeout(grace)
    signal?.removeEventListener('abort', abort)
    this.isSettled = true
    this.abandoned += this.#calls
  }

  /** Begins the end: no further call is made, and those that run are told. The first reason counts. */
  halt(kind: Stop['kind'], error: unknown): void {
    if (this.stop !== undefined) return
    this.stop = { kind, error }
    const reason = kind === 'thrown' ? error : new DOMException('Another call of this run failed', 'AbortError')
    this.#controller.abort(reason)
    this.#stopped?.()
  }

  async #runWorker(): Promise<void> {
    try {
      await this.#loop()
    } catch (error) {
      // The source, a checkpoint, or one of the user's hooks.
      this.halt('thrown', error)
    }
  }

  async #loop(): Promise<void> {
    const { feed, invoke, isChunked } = this.#work
    const { signal } = this
    const { collect, origin } = this.#settings
    while (this.stop === undefined) {
      const input = feed.isAsync ? await feed.takeAsync() : feed.take()
      if (input === end) return this.#end()
      if (this.stop !== undefined) return
      const size = isChunked ? (input as Item[]).length : 1
      const call = new Call(origin.index + this.#position, origin.batch + this.#units, signal, origin.key)
      const unit = this.#admit(size)
      const slot = unit.taken - 1

      let value: unknown
      let failure: { readonly error: unknown } | undefined
      this.begun(size)
      try {
        const returned = invoke(input, call)
        value = isPromiseLike(returned) ? await returned : returned
        if (isChunked) expectList(value)
      } catch (error) {
        failure = { error }
      }
      // A result of a call that was given up has nowhere to go.
      if (this.isSettled) return
      this.ended(size, failure === undefined)
      if (failure === undefined) {
        if (collect) unit.values[slot] = value
      } else {
        const items = isChunked ? (input as Item[]) : [input as unknown as Item]
        if (!(await this.#recovery.recover(items, call, failure.error, unit, slot))) return
      }
      unit.finished++
      if (unit.full && unit.finished === unit.taken) {
        const completed = this.#complete(unit)
        if (completed !== undefined) await completed
      }
    }
  }

  /** The batch that the next input belongs to. */
  #admit(size: number): Unit<Item> {
    let unit = this.#unit
    if (unit === undefined) {
      unit = this.#unit = new Unit(this.#units, this.#position)
      this.open.add(unit)
    }
    unit.items += size
    this.#position += size
    if (++unit.taken === this.#work.perBatch) this.#close(unit)
    return unit
  }

  #close(unit: Unit<Item>): void {
    unit.full = true
    unit.cursor = this.#work.cursorAt(unit.end)
    this.#unit = undefined
    this.#units++
  }

  #end(): void | Promise<void> {
    this.#ended = true
    const unit = this.#unit
    if (unit === undefined || this.stop !== undefined) return
    this.#close(unit)
    if (unit.finished === unit.taken) return this.#complete(unit)
  }

  begun(size: number): void {
    this.counts.inFlight += size
    this.#calls++
  }

  ended(size: number, succeeded: boolean): void {
    this.counts.inFlight -= size
    this.#calls--
    if (succeeded) this.counts.processed += size
  }

  #complete(unit: Unit<Item>): void | Promise<void> {
    this.open.delete(unit)
    this.batches++
    const settled = this.onBatch(unit)
    const isLate = performance.now() - this.#turn > turnMs
    if (settled !== undefined || isLate) return this.#settle(settled, isLate)
  }

  async #settle(settled: void | Promise<void>, isLate: boolean): Promise<void> {
    await settled
    if (isLate) await nextTurn()
    this.#turn = performance.now()
  }
}

function isPromiseLike(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | undefined)?.then === 'function'
}
