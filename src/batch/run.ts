import { setMaxListeners } from 'node:events'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { describeValue } from '../shared/assertions.ts'
import { CheckpointConflict } from './conflict.ts'
import { Call } from './context.ts'
import type { BatchFailure } from './errors.ts'
import type { Feed } from './feed.ts'
import type { BatchSettings } from './options.ts'
import type { Counts } from './progress.ts'
import { end } from './source.ts'
import { Unit } from './unit.ts'

/** Calls the processor, with whatever is wrapped around it: time limit, retries, transaction. */
export type Invoke<Input, Value> = (input: Input, call: Call) => Value | PromiseLike<Value>

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

/** Why a run ended before its input: a failure of the processor, or something thrown that is passed on as it is. */
interface Stop {
  readonly kind: 'error' | 'maxFailures' | 'thrown'
  readonly error: unknown
}

/** How long the event loop may be kept busy by a processor and a source that never wait. */
const turnMs = 20

/**
 * A number of workers, each of which takes an input, calls the processor, and goes on.
 *
 * Workers never reject: what goes wrong stops the run, which is over when every worker has ended, or when `grace` has
 * passed since it was stopped. So nothing runs on unnoticed.
 */
export class Run<Item> {
  readonly counts: Counts = { processed: 0, failed: 0, inFlight: 0 }
  stop: Stop | undefined
  batches = 0
  abandoned = 0
  /** Called with every batch that is complete, in any order; the worker that completed it waits. */
  onBatch: (unit: Unit<Item>) => void | Promise<void> = () => {}
  /** Batches that are begun and not complete. */
  readonly open: Set<Unit<Item>> = new Set()

  readonly #work: Work
  readonly #settings: BatchSettings<Item>
  readonly #controller: AbortController
  #unit: Unit<Item> | undefined
  #units = 0
  #position: number
  #calls = 0
  #ended = false
  #settled = false
  #turn = performance.now()
  #stopped: (() => void) | undefined

  constructor(work: Work, settings: BatchSettings<Item>, controller: AbortController) {
    this.#work = work
    this.#settings = settings
    this.#controller = controller
    this.#position = work.start
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
    this.#settled = true
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
      this.#begin(size)
      try {
        const returned = invoke(input, call)
        value = isPromiseLike(returned) ? await returned : returned
        if (isChunked) expectList(value)
      } catch (error) {
        failure = { error }
      }
      // A result of a call that was given up has nowhere to go.
      if (this.#settled) return
      this.#finish(size, failure === undefined)
      if (failure === undefined) {
        if (collect) unit.values[slot] = value
      } else {
        const items = isChunked ? (input as Item[]) : [input as unknown as Item]
        if (!(await this.#recover(items, call, failure.error, unit, slot))) return
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

  #begin(size: number): void {
    this.counts.inFlight += size
    this.#calls++
  }

  #finish(size: number, succeeded: boolean): void {
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

  /** Deals with a failure as `onError` says. False when the run stops and the items are not done. */
  async #recover(items: readonly Item[], call: Call, error: unknown, unit: Unit<Item>, slot: number) {
    if (error instanceof CheckpointConflict) this.halt('thrown', error)
    if (call.abandoned) this.abandoned++
    const failure = failureOf(items, call, error)
    if (this.stop !== undefined) {
      if (!this.#isAbort(error)) this.#record(failure, unit)
      return false
    }
    const decided = this.#settings.decide(failure)
    // Nothing may begin between a failure and the stop it leads to.
    const policy = typeof decided === 'string' ? decided : await decided
    if (this.#settled) return false
    if (policy === 'stop') {
      this.#record(failure, unit)
      this.halt('error', error)
      return false
    }
    if (call.failedAt !== undefined) return this.#leaveOut(items, call, failure, unit, slot)
    // A call that may be running still is not repeated, in parts neither.
    if (policy === 'isolate' && items.length > 1 && !call.abandoned) return this.#halve(items, call, unit, slot)
    return this.#record(failure, unit)
  }

  /** Halves a range that fails, until the items that fail stand alone. */
  async #halve(items: readonly Item[], call: Call, unit: Unit<Item>, slot: number): Promise<boolean> {
    const middle = items.length >> 1
    const right = items.slice(middle)
    const rightCall = this.#callAt(call, middle)
    const failed = unit.failures.length
    if (!(await this.#redo(items.slice(0, middle), this.#callAt(call, 0), unit, slot))) return false
    // When the left half is sound, the right one must hold the failure, and need not be tried as a whole.
    return unit.failures.length === failed && right.length > 1
      ? this.#halve(right, rightCall, unit, slot)
      : this.#redo(right, rightCall, unit, slot)
  }

  /** Repeats a rolled back range without the one item that is known to have failed. */
  async #leaveOut(
    items: readonly Item[],
    call: Call,
    failure: BatchFailure<Item>,
    unit: Unit<Item>,
    slot: number,
  ): Promise<boolean> {
    const at = call.failedAt as number
    if (!(await this.#redo(items.slice(0, at), this.#callAt(call, 0), unit, slot))) return false
    if (!this.#record(failure, unit)) return false
    return this.#redo(items.slice(at + 1), this.#callAt(call, at + 1), unit, slot)
  }

  #callAt(call: Call, offset: number): Call {
    return new Call(call.index + offset, call.batch, this.#controller.signal, this.#settings.origin.key)
  }

  /** Calls the processor for a part of a chunk. False when the run stops and the part is not done. */
  async #redo(items: readonly Item[], call: Call, unit: Unit<Item>, slot: number): Promise<boolean> {
    if (items.length === 0) return true
    if (this.stop !== undefined) return false
    this.#begin(items.length)
    let value: unknown
    try {
      value = await this.#work.invoke(items, call)
      expectList(value)
    } catch (error) {
      if (this.#settled) return false
      this.#finish(items.length, false)
      return this.#recover(items, call, error, unit, slot)
    }
    if (this.#settled) return false
    this.#finish(items.length, true)
    if (this.#settings.collect && Array.isArray(value)) {
      unit.values[slot] = ((unit.values[slot] ?? []) as unknown[]).concat(value)
    }
    return true
  }

  /** Counts a failure for good. False when it is one too many. */
  #record(failure: BatchFailure<Item>, unit: Unit<Item>): boolean {
    unit.failures.push(failure)
    this.counts.processed += failure.items.length
    this.counts.failed += failure.items.length
    if (this.counts.failed > this.#settings.maxFailures) this.halt('maxFailures', failure.error)
    return this.stop === undefined
  }

  #isAbort(error: unknown): boolean {
    const { reason } = this.#controller.signal
    return error === reason || (error instanceof Error && error.name === 'AbortError')
  }
}

function failureOf<Item>(items: readonly Item[], call: Call, error: unknown): BatchFailure<Item> {
  const { index, attempt: attempts, failedAt } = call
  if (failedAt === undefined) return { error, items, index, attempts }
  return { error, items: [items[failedAt] as Item], index: index + failedAt, attempts }
}

/** Refuses what is no list, which would otherwise vanish from the results. */
function expectList(value: unknown): void {
  if (value === undefined || Array.isArray(value)) return
  throw new TypeError(`Expected the processor to return a list of results or nothing, got ${describeValue(value)}`)
}

function isPromiseLike(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | undefined)?.then === 'function'
}
