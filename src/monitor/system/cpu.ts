import type { SystemStats } from '../types.ts'
import { type Cgroup, throttlingOf } from './cgroup.ts'
import type { SystemReaders } from './readers.ts'

/** Processor use between two samples, against what the process may use. */
export class CpuSampler {
  readonly #readers: SystemReaders
  #at: number
  #used: number
  #throttling: { periods: number; throttled: number } | undefined

  constructor(readers: SystemReaders, cgroup: Cgroup) {
    this.#readers = readers
    this.#at = readers.time()
    this.#used = readers.cpuMicroseconds()
    this.#throttling = cgroup.cpuStat === undefined ? undefined : throttlingOf(readers, cgroup.cpuStat)
  }

  sample(cgroup: Cgroup): SystemStats['cpu'] & { readonly percent: number | null } {
    const now = this.#readers.time()
    const used = this.#readers.cpuMicroseconds()
    const elapsedMs = now - this.#at
    const cores = elapsedMs > 0 ? (used - this.#used) / 1_000 / elapsedMs : null
    this.#at = now
    this.#used = used
    const limitCores = Math.min(cgroup.quotaCores ?? Infinity, this.#readers.processors())
    return {
      percent: cores === null ? null : (cores / limitCores) * 100,
      cores,
      limitCores,
      throttledPercent: this.#throttled(cgroup),
      loadAverage: this.#readers.loadAverage(),
    }
  }

  /** Only with a quota is there something to be held back by. */
  #throttled({ cpuStat, quotaCores }: Cgroup): number | null {
    const before = this.#throttling
    this.#throttling = cpuStat === undefined ? undefined : throttlingOf(this.#readers, cpuStat)
    if (before === undefined || this.#throttling === undefined || quotaCores === undefined) return null
    const periods = this.#throttling.periods - before.periods
    return periods <= 0 ? 0 : ((this.#throttling.throttled - before.throttled) / periods) * 100
  }
}
