import type { PageDocument } from '../document.ts'
import { bytes, coveredSpan, decimal, number, percent, share, whole } from '../format.ts'
import { html, type Markup } from '../html.ts'
import { table } from './table.ts'

const limitSources = {
  'cgroup-v1': 'limit of the cgroup',
  'cgroup-v2': 'limit of the cgroup',
  system: 'memory of the machine',
} as const

/** The process, the machine, and the monitor itself. */
export function system(document: PageDocument): Markup {
  const { system, requests, self } = document
  const { cpu, memory, disk, event_loop, gc, processes } = system
  const { delay_ms, stalls } = event_loop
  const [minute, fiveMinutes, quarter] = cpu.load_average ?? [null, null, null]
  const rows = [
    ['CPU', percent(system.cpu_percent), `${number(cpu.cores)} of ${number(cpu.limit_cores)} cores`],
    ['CPU held back by its quota', percent(cpu.throttled_percent), ''],
    ['Load average', number(minute), `of a minute; ${number(fiveMinutes)} of 5, ${number(quarter)} of 15 minutes`],
    [
      'Memory',
      percent(system.memory_percent),
      `${bytes(memory.working_set_bytes)} of ${bytes(memory.limit_bytes)}, ${limitSources[memory.limit_source]}`,
    ],
    [
      'Heap',
      percent(memory.heap_percent),
      `${bytes(memory.heap_used_bytes)} used, ${bytes(memory.rss_bytes)} resident`,
    ],
    ...disk.map(({ path, percent: used, free_bytes }) => [`Disk ${path}`, percent(used), `${bytes(free_bytes)} free`]),
    ['Event loop', share(event_loop.utilization), 'busy'],
    [
      'Event loop delay',
      delay_ms === null ? decimal(null) : `${decimal(delay_ms.p99)} ms`,
      delay_ms === null ? '' : `P99; P50 ${decimal(delay_ms.p50)} ms, longest ${decimal(delay_ms.max)} ms`,
    ],
    [
      'Event loop stalls',
      whole(stalls?.count ?? null),
      stalls === null
        ? ''
        : `${decimal(stalls.total_ms)} ms together, longest ${decimal(stalls.longest_ms)} ms, in ${coveredSpan(document)}`,
    ],
    [
      'Garbage collections',
      whole(gc?.count ?? null),
      gc === null ? '' : `${decimal(gc.total_ms)} ms together, longest ${decimal(gc.max_ms)} ms`,
    ],
    ...processes.map(({ pid, cpu_percent, memory_bytes }) => [
      `Process ${pid}`,
      percent(cpu_percent),
      `of one core, ${bytes(memory_bytes)}`,
    ]),
    [
      'Aborted, streams, upgrades',
      whole(requests.aborted),
      `${whole(requests.streams)} streams, ${whole(requests.upgrades)} upgrades; none is in the percentiles`,
    ],
    [
      'This monitor',
      bytes(self.memory_bytes),
      `${whole(self.endpoints)} endpoints, made this in ${decimal(self.render_ms)} ms; ${whole(self.overflow)} over the limit of endpoints, ${whole(self.clamped)} clamped`,
    ],
  ]
  return html`<section aria-labelledby="system"><h2 id="system">System</h2>${table(
    'System',
    ['What', 'Value', { text: 'More' }],
    rows,
  )}</section>`
}
