import type { PageDocument, PageLatency } from '../document.ts'
import { decimal, whole } from '../format.ts'
import { html, type Markup } from '../html.ts'
import { table } from './table.ts'

const heads = ['Completed', 'Gave up', 'Waiting', 'Mean', 'Least', 'P50', 'P75', 'P90', 'P95', 'P99', 'P99.9', 'Most']

/** Latencies of all requests, and durations recorded with `recordTiming` and `time`. */
export function latencies({ requests, timings }: PageDocument): Markup {
  const { corrected_ms } = requests
  const rows = [
    [
      'All requests',
      whole(requests.count),
      whole(requests.aborted),
      whole(requests.unanswered),
      ...cells(requests.latency_ms),
    ],
    corrected_ms !== null && [
      'With stalls (estimate)',
      `${whole(corrected_ms.affected)} affected`,
      '',
      '',
      '',
      '',
      decimal(corrected_ms.p50),
      '',
      '',
      decimal(corrected_ms.p95),
      decimal(corrected_ms.p99),
      '',
      '',
    ],
    ...Object.entries(timings).map(([name, { count, latency_ms }]) => [
      name,
      whole(count),
      '',
      '',
      ...cells(latency_ms),
    ]),
  ].filter((row) => row !== false)
  return html`<section aria-labelledby="latency"><h2 id="latency">Latency <span class="note">ms</span></h2>${table(
    'Latency in milliseconds',
    ['Of', ...heads],
    rows,
  )}</section>`
}

function cells({ avg, min, p50, p75, p90, p95, p99, p99_9, max }: PageLatency): string[] {
  return [avg, min, p50, p75, p90, p95, p99, p99_9, max].map(decimal)
}
