import type { BucketLayout } from '../shared/buckets.ts'
import { overflowRoute } from './endpoints.ts'
import { ExposedHistogram } from './exposed.ts'
import { type Countable, Tally } from './tally.ts'
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

  /** The windows by name, as they are at `now`. */
  read(now: number): Map<string, readonly Countable[]> {
    return new Map(
      [...this.#timings].map(([name, { window }]) => [name, [{ addTo: (tally) => window.readInto(tally, now) }]]),
    )
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
export function describeTimings(
  timings: ReadonlyMap<string, readonly Countable[]>,
  layout: BucketLayout,
): Record<string, TimingStats> {
  const tally = new Tally(layout.length, layout)
  return Object.fromEntries(
    [...timings].map(([name, parts]) => {
      const { count } = tally.clear().addAll(parts)
      return [name, { count, latencyMs: tally.latency() }]
    }),
  )
}
