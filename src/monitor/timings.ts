import type { BucketLayout } from './buckets.ts'
import { overflowRoute } from './endpoints.ts'
import { Tally } from './tally.ts'
import type { TimingStats } from './types.ts'
import { type Slicing, SlidingWindow } from './window.ts'

/** Durations of other things than requests, by name, and never more names than allowed. */
export class Timings {
  readonly #windows = new Map<string, SlidingWindow>()
  readonly #layout: BucketLayout
  readonly #slicing: Slicing
  readonly #max: number

  constructor(layout: BucketLayout, slicing: Slicing, max: number) {
    this.#layout = layout
    this.#slicing = slicing
    this.#max = max
  }

  record(name: string, us: number, now: number): void {
    const window = this.#windows.get(name) ?? this.#add(name)
    if (now >= window.end) window.advance(now)
    window.record(this.#layout.indexOf(us), us)
  }

  /** What each window holds now. */
  tallies(now: number): Map<string, Tally> {
    const tallies = new Map<string, Tally>()
    for (const [name, window] of this.#windows) {
      const tally = new Tally(this.#layout.length, this.#layout)
      window.readInto(tally, now)
      tallies.set(name, tally)
    }
    return tallies
  }

  get memoryBytes(): number {
    return [...this.#windows.values()].reduce((bytes, window) => bytes + window.memoryBytes, 0)
  }

  clear(): void {
    this.#windows.clear()
  }

  #add(name: string): SlidingWindow {
    const key = this.#windows.size < this.#max ? name : overflowRoute
    const window = this.#windows.get(key) ?? new SlidingWindow(this.#layout.length, this.#slicing)
    this.#windows.set(key, window)
    return window
  }
}

/** The part of a document that lists them. */
export function describeTimings(tallies: ReadonlyMap<string, Tally>): Record<string, TimingStats> {
  return Object.fromEntries(
    [...tallies].map(([name, tally]) => [name, { count: tally.count, latencyMs: tally.latency() }]),
  )
}
