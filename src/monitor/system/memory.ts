import type { SystemStats } from '../types.ts'
import { type Cgroup, workingSetOf } from './cgroup.ts'
import type { SystemReaders } from './readers.ts'

/** Memory of the group against its limit; without a limit, of this process against the machine. */
export function readMemory(readers: SystemReaders, cgroup: Cgroup): SystemStats['memory'] {
  const { rss, heapUsed, heapLimit } = readers.memory()
  const workingSetBytes = cgroup.memory === undefined ? undefined : workingSetOf(readers, cgroup.memory)
  const process = { rssBytes: rss, heapUsedBytes: heapUsed, heapPercent: (heapUsed / heapLimit) * 100 }
  if (cgroup.memory === undefined || workingSetBytes === undefined) {
    return { workingSetBytes: rss, limitBytes: readers.totalMemory(), limitSource: 'system', ...process }
  }
  const { limitBytes, source } = cgroup.memory
  return { workingSetBytes, limitBytes, limitSource: source, ...process }
}
