import { availableParallelism, loadavg, totalmem } from 'node:os'
import { nodeFs, nodeV8 } from '../../shared/platform/builtins.ts'
import { isBun, isWorkers, readOrNull } from '../../shared/platform/runtime.ts'
import { systemClock } from '../../shared/time/clock.ts'

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
  processors: () => (isWorkers ? null : (allowedProcessors() ?? readOrNull(availableParallelism))),
  // Windows has none, and Node answers with zeros.
  loadAverage: () =>
    isWorkers || process.platform === 'win32' ? null : (readOrNull(loadavg) as [number, number, number] | null),
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

/**
 * How many processors the affinity of this process allows; `undefined` where the platform does not say it. `availableParallelism()` also
 * rounds the quota down, as 1.5 cores to 1 (libuv 1.49 and later).
 */
function allowedProcessors(): number | undefined {
  const status = systemReaders.readText('/proc/self/status') ?? ''
  const allowed = countOf(/^Cpus_allowed_list:\s*(\S+)/m.exec(status)?.[1])
  // A virtual machine allows processors that it does not have.
  const online = countOf(systemReaders.readText('/sys/devices/system/cpu/online'))
  return Math.min(allowed, online) || undefined
}

/** How many numbers a list of the kernel has, as 5 in `0-3,8`. */
function countOf(list = ''): number {
  return [...list.matchAll(/(\d+)(?:-(\d+))?/g)].reduce(
    (sum, [, first, last = first]) => sum + Number(last) - Number(first) + 1,
    0,
  )
}
