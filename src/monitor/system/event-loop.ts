import { type EventLoopUtilization, monitorEventLoopDelay, performance } from 'node:perf_hooks'
import type { SystemStats } from '../types.ts'

/** How often the loop's delay is looked at. What the histogram records includes it. */
const resolutionMs = 20

/** Blocks of the loop shorter than this are no stall. */
const stallMs = 50

type Delay = NonNullable<SystemStats['eventLoop']['delayMs']>

/** What the event loop did between two samples. */
export interface EventLoopSample {
  readonly utilization: number
  readonly delayMs: Delay
  /** Length of each stall, longest first. */
  readonly stalls: readonly number[]
}

/** Delay and utilization of the event loop since the last sample. */
export class EventLoopSampler {
  readonly #histogram: ReturnType<typeof monitorEventLoopDelay>
  #utilization: EventLoopUtilization = performance.eventLoopUtilization()

  constructor() {
    this.#histogram = monitorEventLoopDelay({ resolution: resolutionMs })
    this.#histogram.enable()
  }

  sample(): EventLoopSample {
    const utilization = performance.eventLoopUtilization()
    const { utilization: busy } = performance.eventLoopUtilization(utilization, this.#utilization)
    this.#utilization = utilization
    const histogram = this.#histogram
    const isEmpty = histogram.count === 0
    const delayMs = isEmpty
      ? { p50: 0, p99: 0, max: 0 }
      : { p50: delay(histogram.percentile(50)), p99: delay(histogram.percentile(99)), max: delay(histogram.max) }
    const stalls = isEmpty ? [] : this.#stalls()
    histogram.reset()
    return { utilization: busy, delayMs, stalls }
  }

  close(): void {
    this.#histogram.disable()
  }

  /** The k-th greatest of n samples is the percentile (n - k) / n: the few that are stalls are read from the top. */
  #stalls(): number[] {
    const { count, max } = this.#histogram
    const stalls: number[] = []
    for (let value = delay(max); value >= stallMs && stalls.length < count; ) {
      stalls.push(value)
      const rest = count - stalls.length
      value = rest === 0 ? 0 : delay(this.#histogram.percentile((rest / count) * 100))
    }
    return stalls
  }
}

function delay(nanoseconds: number): number {
  return Math.max(0, Math.round(nanoseconds / 1_000 - resolutionMs * 1_000) / 1_000)
}
