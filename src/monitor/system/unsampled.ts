import { availableParallelism, totalmem } from 'node:os'
import type { SystemStats } from '../types.ts'

/** The system section before the first sample. */
export function unsampledSystem(): SystemStats {
  const { rss, heapUsed } = process.memoryUsage()
  return {
    cpuPercent: null,
    memoryPercent: null,
    diskPercent: null,
    cpu: { cores: null, limitCores: availableParallelism(), throttledPercent: null, loadAverage: [0, 0, 0] },
    memory: {
      workingSetBytes: rss,
      limitBytes: totalmem(),
      limitSource: 'system',
      rssBytes: rss,
      heapUsedBytes: heapUsed,
      heapPercent: 0,
    },
    disk: [],
    eventLoop: { utilization: null, delayMs: null, stalls: { count: 0, totalMs: 0, longestMs: 0 } },
    gc: { count: 0, totalMs: 0, maxMs: 0 },
    processes: [],
  }
}
