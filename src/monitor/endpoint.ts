import type { BucketLayout } from '../shared/buckets.ts'
import { ExposedHistogram } from './exposed.ts'
import type { Outcome } from './types.ts'
import { type Slicing, SlidingWindow } from './window.ts'

/** Cells of an endpoint's window behind the buckets of its histogram. Statuses 100 to 599 come first, by their number. */
export const cell = { firstStatus: 0, otherStatus: 500, aborted: 501, stream: 502, upgrade: 503, loopUs: 504 } as const

const cellCount = 505

/** What stands for all numbers that are no status. */
const noStatus = 0

/** Width of an endpoint's window. */
export function endpointWidth(layout: BucketLayout): number {
  return layout.length + cellCount
}

/** Everything known of one method and route. */
export class Endpoint {
  readonly method: string
  readonly route: string
  readonly window: SlidingWindow
  /** Since the start, by status. */
  readonly statuses: Map<number, ExposedHistogram> = new Map()
  /** Since the start, by outcome. */
  readonly totals: Record<Outcome, number> = { completed: 0, aborted: 0, stream: 0, upgrade: 0 }
  /** How long those lasted that did not complete, in milliseconds. */
  readonly lastedMs: Record<Exclude<Outcome, 'completed'>, number> = { aborted: 0, stream: 0, upgrade: 0 }
  /** Not left out here: a field that starts as a number is written in place, any other is allocated anew each time. */
  lastSeen = 0
  /** The next method of the same route. */
  next: Endpoint | undefined
  readonly #layout: BucketLayout
  /** Totals of the status seen last, which is mostly the next one too. */
  #lastStatus = -1
  #lastTotals: ExposedHistogram | undefined

  constructor(method: string, route: string, layout: BucketLayout, slicing: Slicing, now: number) {
    this.method = method
    this.route = route
    this.#layout = layout
    this.window = new SlidingWindow(endpointWidth(layout), slicing)
    this.lastSeen = now
  }

  get total(): number {
    const { completed, aborted, stream, upgrade } = this.totals
    return completed + aborted + stream + upgrade
  }

  /** Counts a completed request. The window has been advanced. */
  complete(us: number, status: number): void {
    const { window } = this
    const known = status >= 100 && status < 600 ? status | 0 : noStatus
    window.record(this.#layout.indexOf(us), us)
    window.cells[this.#layout.length + (known === noStatus ? cell.otherStatus : known - 100)]!++
    this.totals.completed++
    const totals = known === this.#lastStatus ? this.#lastTotals : this.#switchStatus(known)
    totals!.record(us)
  }

  /** Counts a request that ended in another way. The window has been advanced. */
  end(outcome: Exclude<Outcome, 'completed'>, ms: number): void {
    if (ms > 0) this.lastedMs[outcome] += ms
    this.window.cells[this.#layout.length + cell[outcome]]!++
    this.totals[outcome]++
  }

  /** Adds time in which a request of this endpoint held the event loop. The window has been advanced. */
  hold(ms: number): void {
    if (ms > 0) this.window.cells[this.#layout.length + cell.loopUs]! += Math.round(ms * 1_000)
  }

  #switchStatus(status: number): ExposedHistogram {
    let totals = this.statuses.get(status)
    if (totals === undefined) {
      totals = new ExposedHistogram()
      this.statuses.set(status, totals)
    }
    this.#lastStatus = status
    this.#lastTotals = totals
    return totals
  }
}
