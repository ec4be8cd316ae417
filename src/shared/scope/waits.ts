// The global `performance` is a getter. Calling it takes a quarter of the time of reading the clock.
import { performance } from 'node:perf_hooks'
// The fake timers of a test runner replace the global `setImmediate`, and then no turn would ever end.
import { setImmediate } from 'node:timers'
import { type Wait, wait, waitNames } from './wait-names.ts'

/**
 * Divides the time of one request among {@link waitNames} and the rest. Each moment counts for exactly one part, so the
 * parts add up to the whole. The beginning and the end of a wait each cost two array elements and a subtraction.
 */
export class Waits {
  /** Milliseconds of each of {@link waitNames}, then those of the rest. */
  readonly ms: number[] = [0, 0, 0, 0, 0, 0]
  /** The waits under each name that the user gave to `time`. Overlapping waits of one name count once. */
  named: Map<string, Waits> | undefined
  readonly #open: number[] = [0, 0, 0, 0, 0]
  #current: number = waitNames.length
  #since: number

  constructor(now: number) {
    this.#since = now
  }

  begin(part: Wait, now: number): void {
    if ((this.#open[part] as number)++ === 0 && part < this.#current) this.#switchTo(part, now)
  }

  end(part: Wait, now: number): void {
    if (--(this.#open[part] as number) > 0 || part !== this.#current) return
    let next = part + 1
    while (next < waitNames.length && this.#open[next] === 0) next++
    this.#switchTo(next, now)
  }

  /** Adds the time until now. */
  settle(now: number): this {
    this.#switchTo(this.#current, now)
    return this
  }

  ofName(name: string, now: number): Waits {
    this.named ??= new Map()
    const waits = this.named.get(name) ?? new Waits(now)
    this.named.set(name, waits)
    return waits
  }

  #switchTo(part: number, now: number): void {
    ;(this.ms[this.#current] as number) += now - this.#since
    this.#since = now
    this.#current = part
  }
}

/** The request that holds the event loop now: the last one whose handler began, or whose wait ended. */
let running: Waits | undefined
let isEndDue = false

/**
 * Call it when the request's code is about to run. The request holds the loop until the code of another request runs, or
 * the turn of the loop ends. There is no other way to measure the code between two waits.
 */
export function holdLoop(waits: Waits, now: number): void {
  if (running === waits) return
  running?.end(wait.loop, now)
  running = waits
  waits.begin(wait.loop, now)
  if (isEndDue) return
  isEndDue = true
  setImmediate(endTurn)
}

/** Call it when a request has ended, after which none of its code runs. */
export function releaseLoop(waits: Waits, now: number): void {
  if (running !== waits) return
  running = undefined
  waits.end(wait.loop, now)
}

function endTurn(): void {
  isEndDue = false
  if (running !== undefined) releaseLoop(running, performance.now())
}
