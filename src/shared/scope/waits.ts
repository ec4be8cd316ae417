// Not the global of the same name: it is a getter that takes a quarter of the time of reading the clock.
import { performance } from 'node:perf_hooks'
// Not the global either: fake timers of a test runner replace it, and no turn would ever end.
import { setImmediate } from 'node:timers'
import { type Wait, wait, waitNames } from './wait-names.ts'

/**
 * Divides the time of one request among {@link waitNames} and the rest. At each moment it belongs to one of them, so the parts
 * sum to the whole. Costs two array elements and a subtraction for each beginning and end.
 */
export class Waits {
  /** Milliseconds by {@link waitNames}, then those of the rest. */
  readonly ms: number[] = [0, 0, 0, 0, 0, 0]
  /** The waits of each name that the user has given, which are united like all others. */
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

  /** Adds the time up to now. */
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

/** The request that holds the event loop now: the one whose handler began, or whose wait ended, last. */
let running: Waits | undefined
let isEndDue = false

/**
 * The request's code is about to run: until another request's does, or the turn of the loop ends, it holds the loop. Code
 * between its waits cannot be seen otherwise.
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

/** For the end of a request, after which nothing of it runs. */
export function releaseLoop(waits: Waits, now: number): void {
  if (running !== waits) return
  running = undefined
  waits.end(wait.loop, now)
}

function endTurn(): void {
  isEndDue = false
  if (running !== undefined) releaseLoop(running, performance.now())
}
