import type { ShedCount, ShedReason } from '../admission/admission.ts'
import type { Slicing } from '../traffic/sliding-window.ts'

interface TimedCounts {
  readonly at: number
  readonly wait: number
  readonly concurrency: number
}

/** Finds why most requests were turned away in the window. Guards count since their start. */
export class ShedReasons {
  /** Why most requests were turned away when one last was. */
  main: ShedReason = 'wait'
  readonly #slicing: Slicing
  /** The first has the counts when the window began. */
  readonly #past: TimedCounts[] = [{ at: -Infinity, wait: 0, concurrency: 0 }]

  constructor(slicing: Slicing) {
    this.#slicing = slicing
  }

  /** Must be called at least once a slice. */
  update(now: number, shedBy: readonly ShedCount[]): void {
    const { windowMs, sliceMs } = this.#slicing
    const past = this.#past
    const counts = { at: now, wait: countOf(shedBy, 'wait'), concurrency: countOf(shedBy, 'concurrency') }
    if (now - past.at(-1)!.at >= sliceMs) past.push(counts)
    while (past.length > 1 && past[1]!.at <= now - windowMs) past.shift()
    const wait = counts.wait - past[0]!.wait
    const concurrency = counts.concurrency - past[0]!.concurrency
    if (wait > 0 || concurrency > 0) this.main = wait >= concurrency ? 'wait' : 'concurrency'
  }
}

function countOf(shedBy: readonly ShedCount[], reason: ShedReason): number {
  return shedBy.reduce((sum, shed) => sum + (shed.reason === reason ? shed.count : 0), 0)
}
