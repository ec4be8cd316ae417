import { readdir, readFile } from 'node:fs/promises'
import { isWorkers, readOrNull } from '../../shared/platform/runtime.ts'
import { type MetricFamily, single } from './metric-family.ts'

/** Open file descriptors of this process and their limit. */
export interface OpenFiles {
  readonly open: number
  readonly max: number | null
}

/** Counts the open file descriptors. Linux only: elsewhere `undefined`. */
export async function countOpenFiles(): Promise<OpenFiles | undefined> {
  try {
    const [files, limits] = await Promise.all([readdir('/proc/self/fd'), readFile('/proc/self/limits', 'utf8')])
    const max = /^Max open files +(\d+)/m.exec(limits)?.[1]
    return { open: files.length, max: max === undefined ? null : Number(max) }
  } catch {
    return undefined
  }
}

/**
 * The metrics of a process that every client library of Prometheus has, under their standard names (Prometheus documentation,
 * "Writing client libraries"), and those of Node under the names of prom-client.
 */
export function* processFamilies(files: OpenFiles | undefined): Generator<MetricFamily> {
  startTime ??= Math.round(Date.now() - process.uptime() * 1_000) / 1_000
  const cpu = readOrNull(() => process.cpuUsage())
  // Workers answers with zeros.
  const { heapTotal, heapUsed, external } = process.memoryUsage()
  const [major = '', minor = '', patch = ''] = process.versions.node.split('.')
  if (cpu !== null) {
    const { user, system } = cpu
    yield counter('process_cpu_seconds_total', 'Processor time', (user + system) / 1_000_000)
    yield counter('process_cpu_user_seconds_total', 'Processor time of the program', user / 1_000_000)
    yield counter(
      'process_cpu_system_seconds_total',
      'Processor time of the system for the program',
      system / 1_000_000,
    )
  }
  yield single('process_start_time_seconds', 'Start of the process, since 1970', isWorkers ? null : startTime)
  yield single('process_open_fds', 'Open file descriptors', files?.open ?? null)
  yield single('process_max_fds', 'Most file descriptors that may be open', files?.max ?? null)
  yield single('nodejs_heap_size_total_bytes', 'Heap', heapTotal || null)
  yield single('nodejs_heap_size_used_bytes', 'Heap in use', heapUsed || null)
  yield single('nodejs_external_memory_bytes', 'Memory outside the heap', isWorkers ? null : external)
  const labels = { version: process.version, major, minor, patch }
  yield { name: 'nodejs_version_info', type: 'info', help: 'Version of Node', samples: [{ labels, value: 1 }] }
}

/** Seconds since 1970, read once: a start that moves would look like another process. */
let startTime: number | undefined

function counter(name: string, help: string, value: number): MetricFamily {
  return { name, type: 'counter', help, created: startTime, samples: [{ value }] }
}
