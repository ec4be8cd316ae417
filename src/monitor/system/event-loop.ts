import { type EventLoopUtilization, monitorEventLoopDelay, performance } from 'node:perf_hooks'
import { isNode } from '../../shared/platform/runtime.ts'
import { startInterval } from '../../shared/time/timers.ts'
import type { SystemStats } from '../types.ts'

/** How often the delay is measured. */
const resolutionMs = 20

/** Shorter delays are not a stall. */
const shortestStallMs = 50

type Delay = NonNullable<SystemStats['eventLoop']['delayMs']>

/** The event loop between two samples. */
export interface EventLoopSample {
  /** `null` where the runtime does not measure it. */
  readonly utilization: number | null
  readonly delayMs: Delay
  /** Milliseconds of each stall, longest first. */
  readonly stalls: readonly number[]
}

/** Delay and utilization of the event loop since the last sample. */
export class EventLoopSampler {
  readonly #histogram: ReturnType<typeof monitorEventLoopDelay>
  /**
   * Stalls are not read from the histogram: after a reset it ignores the time until its next measurement, and a stall in
   * that time.
   */
  #stalls: number[] = []
  #tickedAt = performance.now()
  readonly #ticks = startInterval(() => this.#tick(), resolutionMs)
  #utilization: EventLoopUtilization = performance.eventLoopUtilization()

  constructor() {
    this.#histogram = monitorEventLoopDelay({ resolution: resolutionMs })
    this.#histogram.enable()
  }

  sample(): EventLoopSample {
    // Tick first: after a stall, the timer of the sample may fire before the timer of the ticks.
    this.#tick()
    const utilization = performance.eventLoopUtilization()
    const { utilization: busy, idle, active } = performance.eventLoopUtilization(utilization, this.#utilization)
    this.#utilization = utilization
    const stalls = this.#stalls.sort((a, b) => b - a)
    this.#stalls = []
    const histogram = this.#histogram
    // In Node the values contain the interval; in Bun and Deno they do not.
    const includedMs = isNode ? resolutionMs : 0
    const delayOf = (nanoseconds: number) =>
      histogram.count === 0 ? 0 : Math.max(0, Math.round(nanoseconds / 1_000 - includedMs * 1_000) / 1_000)
    const delayMs = {
      p50: delayOf(histogram.percentile(50)),
      p99: delayOf(histogram.percentile(99)),
      max: Math.max(delayOf(histogram.max), stalls[0] ?? 0),
    }
    histogram.reset()
    return { utilization: idle + active === 0 ? null : busy, delayMs, stalls }
  }

  close(): void {
    this.#ticks.cancel()
    this.#histogram.disable()
  }

  #tick(): void {
    const now = performance.now()
    const delayMs = now - this.#tickedAt - resolutionMs
    this.#tickedAt = now
    if (delayMs >= shortestStallMs) this.#stalls.push(Math.round(delayMs * 1_000) / 1_000)
  }
}
