import type { SystemStats } from '../types.ts'
import { type Cgroup, type Throttling, throttlingOf } from './cgroup.ts'
import type { SystemReaders } from './readers.ts'

interface CpuCounters {
  readonly at: number
  readonly usedUs: number | null
  readonly throttling: Throttling | undefined
}

/** CPU usage between two samples, as a share of what the process may use. */
export class CpuSampler {
  readonly #readers: SystemReaders
  #counters: CpuCounters | undefined

  constructor(readers: SystemReaders) {
    this.#readers = readers
  }

  /** In the first sample, there is no usage yet. */
  sample({ limitCores, cpuStat }: Cgroup): SystemStats['cpu'] & { readonly percent: number | null } {
    const readers = this.#readers
    const before = this.#counters
    const now = {
      at: readers.time(),
      usedUs: readers.cpuMicroseconds(),
      throttling: cpuStat === undefined ? undefined : throttlingOf(readers, cpuStat),
    }
    this.#counters = now
    const cores = before === undefined ? null : coresBetween(before, now)
    return {
      percent: cores === null || limitCores === null ? null : (cores / limitCores) * 100,
      cores,
      limitCores,
      throttledPercent: throttledBetween(before?.throttling, now.throttling),
      loadAverage: readers.loadAverage(),
    }
  }
}

function coresBetween(before: CpuCounters, now: CpuCounters): number | null {
  if (before.usedUs === null || now.usedUs === null || now.at <= before.at) return null
  return (now.usedUs - before.usedUs) / 1_000 / (now.at - before.at)
}

function throttledBetween(before: Throttling | undefined, now: Throttling | undefined): number | null {
  if (before === undefined || now === undefined) return null
  const periods = now.periods - before.periods
  return periods <= 0 ? 0 : ((now.throttled - before.throttled) / periods) * 100
}
