import { expectString } from '../../shared/arguments.ts'
import type { BucketLayout } from '../../shared/buckets.ts'
import type { TimingStats } from '../types.ts'
import type { EndpointSettings } from './endpoint.ts'
import { cutName, overflowRoute } from './endpoints.ts'
import { PrometheusHistogram } from './prometheus-histogram.ts'
import { SlidingWindow } from './sliding-window.ts'
import { Tally, type WindowReading } from './tally.ts'

/** Durations recorded with `recordTiming` and `time`, by name. Beyond `maxNames`, new names share one entry. */
export class Timings {
  readonly #timings = new Map<string, Timing>()
  readonly #settings: EndpointSettings
  readonly #maxNames: number

  constructor(settings: EndpointSettings, maxNames: number) {
    this.#settings = settings
    this.#maxNames = maxNames
  }

  record(name: string, us: number, now: number): void {
    const { window, histogram } = this.#timings.get(name) ?? this.#add(name)
    if (now >= window.end) window.advance(now)
    window.record(this.#settings.layout.indexOf(us), us)
    histogram.record(us)
  }

  /** Durations since the start, by name. */
  histograms(): Array<[name: string, histogram: PrometheusHistogram]> {
    return [...this.#timings].map(([name, { histogram }]) => [name, histogram])
  }

  /** The windows by name, as they are at `now`. */
  read(now: number): Map<string, readonly WindowReading[]> {
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

  #add(given: string): Timing {
    expectString(given, 'name')
    const name = cutName(given)
    const key = this.#timings.has(name) || this.#timings.size < this.#maxNames ? name : overflowRoute
    const found = this.#timings.get(key)
    if (found !== undefined) return found
    const { layout, slicing, boundsUs } = this.#settings
    const window = new SlidingWindow(layout.length, slicing)
    const timing = { window, histogram: new PrometheusHistogram(boundsUs) }
    this.#timings.set(key, timing)
    return timing
  }
}

interface Timing {
  readonly window: SlidingWindow
  readonly histogram: PrometheusHistogram
}

/** The section `timings` of a document. */
export function toTimingStats(
  timings: ReadonlyMap<string, readonly WindowReading[]>,
  layout: BucketLayout,
): Record<string, TimingStats> {
  const tally = new Tally(layout.length, layout)
  return Object.fromEntries(
    [...timings].map(([name, windows]) => {
      const { count } = tally.clear().addAll(windows)
      return [name, { count, latencyMs: tally.latency() }]
    }),
  )
}
