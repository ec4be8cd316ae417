import type { SystemStats } from '../types.ts'
import { type Cgroup, throttlingOf } from './cgroup.ts'
import type { SystemReaders } from './readers.ts'

/** How many cores this process may use. */
export function limitCoresOf({ quotaCores }: Cgroup, readers: SystemReaders): number | null {
  const processors = readers.processors()
  return processors === null ? null : Math.min(quotaCores ?? Infinity, processors)
}

/** CPU usage between two samples, as a share of what the process may use. */
export class CpuSampler {
  readonly #readers: SystemReaders
  #sampledAt: number
  #usedUs: number | null
  #throttling: { periods: number; throttled: number } | undefined

  constructor(readers: SystemReaders, cgroup: Cgroup) {
    this.#readers = readers
    this.#sampledAt = readers.time()
    this.#usedUs = readers.cpuMicroseconds()
    this.#throttling = cgroup.cpuStat === undefined ? undefined : throttlingOf(readers, cgroup.cpuStat)
  }

  sample(cgroup: Cgroup): SystemStats['cpu'] & { readonly percent: number | null } {
    const now = this.#readers.time()
    const usedUs = this.#readers.cpuMicroseconds()
    const elapsedMs = now - this.#sampledAt
    const before = this.#usedUs
    const isKnown = elapsedMs > 0 && usedUs !== null && before !== null
    const cores = isKnown ? (usedUs - before) / 1_000 / elapsedMs : null
    this.#sampledAt = now
    this.#usedUs = usedUs
    const limitCores = limitCoresOf(cgroup, this.#readers)
    return {
      percent: cores === null || limitCores === null ? null : (cores / limitCores) * 100,
      cores,
      limitCores,
      throttledPercent: this.#throttledPercent(cgroup),
      loadAverage: this.#readers.loadAverage(),
    }
  }

  /** `null` without a quota. */
  #throttledPercent({ cpuStat, quotaCores }: Cgroup): number | null {
    const before = this.#throttling
    this.#throttling = cpuStat === undefined ? undefined : throttlingOf(this.#readers, cpuStat)
    if (before === undefined || this.#throttling === undefined || quotaCores === undefined) return null
    const periods = this.#throttling.periods - before.periods
    return periods <= 0 ? 0 : ((this.#throttling.throttled - before.throttled) / periods) * 100
  }
}
