import { availableParallelism, loadavg, totalmem } from 'node:os'
import { nodeFs, nodeV8 } from '../../shared/platform/builtins.ts'
import { isBun, isWorkers, readOrNull } from '../../shared/platform/runtime.ts'
import { systemClock } from '../../shared/time/clock.ts'
import { allowedProcessors } from './affinity.ts'

/** All that is read from the process and the machine, `null` where the platform does not say it; tests pass their own. */
export interface SystemReaders {
  /** Real time in milliseconds. */
  readonly time: () => number
  /** The text of a file; `undefined` when it cannot be read. */
  readonly readText: (path: string) => string | undefined
  /** CPU time of this process in microseconds. */
  readonly cpuMicroseconds: () => number | null
  /** Processors this process may run on. */
  readonly processors: () => number | null
  readonly loadAverage: () => readonly [number, number, number] | null
  readonly totalMemory: () => number | null
  readonly memory: () => {
    readonly rss: number | null
    readonly heapUsed: number | null
    readonly heapLimit: number | null
  }
  readonly diskSpace: (path: string) => Promise<{ bsize: number; blocks: number; bfree: number; bavail: number }>
  readonly processUsage: (pid: number) => Promise<{ cpu: number; memory: number } | undefined>
}

export const systemReaders: SystemReaders = {
  time: systemClock,
  readText(path) {
    try {
      return nodeFs().readFileSync(path, 'utf8')
    } catch {
      return undefined
    }
  },
  cpuMicroseconds() {
    const used = readOrNull(() => process.cpuUsage())
    return used === null ? null : used.user + used.system
  },
  // Workers has these functions, but they return constants.
  processors: () =>
    isWorkers ? null : (allowedProcessors(systemReaders.readText) ?? readOrNull(availableParallelism)),
  loadAverage: () => (isWorkers ? null : (readOrNull(loadavg) as [number, number, number] | null)),
  totalMemory: () => readOrNull(totalmem) || null,
  memory() {
    const heap = readOrNull(() => nodeV8().getHeapStatistics())
    return {
      rss: readOrNull(() => process.memoryUsage.rss()) || null,
      heapUsed: heap?.used_heap_size || null,
      // Bun's heap has no limit; the value that it returns here is something else.
      heapLimit: isBun ? null : heap?.heap_size_limit || null,
    }
  },
  diskSpace: (path) => nodeFs().promises.statfs(path),
  async processUsage(pid) {
    // Imported when needed: few monitors watch other processes.
    const { default: pidusage } = await import('pidusage')
    return pidusage(pid)
  },
}
