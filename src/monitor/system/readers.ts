import { readFileSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { availableParallelism, loadavg, totalmem } from 'node:os'
import { getHeapStatistics } from 'node:v8'
import { systemClock } from '../../shared/clock.ts'

/** Everything the sampler reads from the process and the machine; tests hand in others. */
export interface SystemReaders {
  /** Real time in milliseconds. */
  readonly time: () => number
  /** A small text file, and `undefined` when it cannot be read. */
  readonly readText: (path: string) => string | undefined
  /** Processor time of this process in microseconds. */
  readonly cpuMicroseconds: () => number
  /** Processors this process may run on. */
  readonly processors: () => number
  readonly loadAverage: () => readonly [number, number, number]
  readonly totalMemory: () => number
  readonly memory: () => { readonly rss: number; readonly heapUsed: number; readonly heapLimit: number }
  readonly diskSpace: (path: string) => Promise<{ bsize: number; blocks: number; bfree: number; bavail: number }>
  readonly processUsage: (pid: number) => Promise<{ cpu: number; memory: number } | undefined>
}

/** The readers of a real process. */
export const systemReaders: SystemReaders = {
  time: systemClock,
  readText(path) {
    try {
      return readFileSync(path, 'utf8')
    } catch {
      return undefined
    }
  },
  cpuMicroseconds() {
    const { user, system } = process.cpuUsage()
    return user + system
  },
  processors: availableParallelism,
  loadAverage: () => loadavg() as [number, number, number],
  totalMemory: totalmem,
  memory() {
    const { used_heap_size, heap_size_limit } = getHeapStatistics()
    return { rss: process.memoryUsage.rss(), heapUsed: used_heap_size, heapLimit: heap_size_limit }
  },
  diskSpace: statfs,
  async processUsage(pid) {
    // Loaded on demand: few monitors watch other processes.
    const { default: pidusage } = await import('pidusage')
    return pidusage(pid)
  },
}
