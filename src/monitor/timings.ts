import type { BucketLayout } from './buckets.ts'
import { overflowRoute } from './endpoints.ts'
import { ExposedHistogram } from './exposed.ts'
import { Tally } from './tally.ts'
import type { TimingStats } from './types.ts'
import { type Slicing, SlidingWindow } from './window.ts'

/** Durations of other things than requests, by name, and never more names than allowed. */
export class Timings {
  readonly #timings = new Map<string, Timing>()
  readonly #layout: BucketLayout
  readonly #slicing: Slicing
  readonly #max: number

  constructor(layout: BucketLayout, slicing: Slicing, max: number) {
    this.#layout = layout
    this.#slicing = slicing
    this.#max = max
  }

  record(name: string, us: number, now: number): void {
    const { window, exposed } = this.#timings.get(name) ?? this.#add(name)
    if (now >= window.end) window.advance(now)
    window.record(this.#layout.indexOf(us), us)
    exposed.record(us)
  }

  /** Durations since the start, by name. */
  exposed(): Array<[name: string, histogram: ExposedHistogram]> {
    return [...this.#timings].map(([name, { exposed }]) => [name, exposed])
  }

  /** What each window holds now. */
  tallies(now: number): Map<string, Tally> {
    const tallies = new Map<string, Tally>()
    for (const [name, { window }] of this.#timings) {
      const tally = new Tally(this.#layout.length, this.#layout)
      window.readInto(tally, now)
      tallies.set(name, tally)
    }
    return tallies
  }

  get memoryBytes(): number {
    return [...this.#timings.values()].reduce((bytes, { window }) => bytes + window.memoryBytes, 0)
  }

  clear(): void {
    this.#timings.clear()
  }

  #add(name: string): Timing {
    const key = this.#timings.size < this.#max ? name : overflowRoute
    const window = new SlidingWindow(this.#layout.length, this.#slicing)
    const timing = this.#timings.get(key) ?? { window, exposed: new ExposedHistogram() }
    this.#timings.set(key, timing)
    return timing
  }
}

interface Timing {
  readonly window: SlidingWindow
  readonly exposed: ExposedHistogram
}

/** The part of a document that lists them. */
export function describeTimings(tallies: ReadonlyMap<string, Tally>): Record<string, TimingStats> {
  return Object.fromEntries(
    [...tallies].map(([name, tally]) => [name, { count: tally.count, latencyMs: tally.latency() }]),
  )
}
