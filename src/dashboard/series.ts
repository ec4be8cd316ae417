import type { PageDocument } from './document.ts'
import { decimal, percent, whole } from './format.ts'

/** One line of a chart. */
interface Series {
  /** Names its colour in the style sheet. */
  readonly colour: 'blue' | 'amber' | 'red' | 'violet' | 'teal'
  readonly label: string
  /** So that lines differ by more than their colour. */
  readonly dashed?: boolean
  readonly value: (document: PageDocument, previous: PageDocument | undefined) => number | null
}

/** A chart over the time that the page has been open, a window long at most. */
export interface Chart {
  readonly id: string
  readonly title: string
  readonly unit: string
  readonly format: (value: number | null) => string
  /** Where the scale ends at least. */
  readonly least: number
  readonly series: readonly Series[]
}

const hundredfold = (value: number | null) => (value === null ? null : value * 100)

export const charts: readonly Chart[] = [
  {
    id: 'latency',
    title: 'Latency',
    unit: 'ms',
    format: decimal,
    least: 0.1,
    series: [
      { colour: 'blue', label: 'P50', value: ({ requests }) => requests.latency_ms.p50 },
      { colour: 'amber', label: 'P95', value: ({ requests }) => requests.latency_ms.p95 },
      { colour: 'red', label: 'P99', value: ({ requests }) => requests.latency_ms.p99 },
      {
        colour: 'violet',
        label: 'P95 with stalls',
        dashed: true,
        value: ({ requests }) => requests.corrected_ms?.p95 ?? null,
      },
    ],
  },
  {
    id: 'requests',
    title: 'Requests',
    unit: 'per second',
    format: decimal,
    least: 0.1,
    series: [{ colour: 'blue', label: 'Ended', value: requestRate }],
  },
  {
    id: 'in-flight',
    title: 'In flight',
    unit: 'requests',
    format: whole,
    least: 4,
    series: [{ colour: 'teal', label: 'Now', value: ({ requests }) => requests.in_flight }],
  },
  {
    id: 'errors',
    title: 'Errors',
    unit: '% of the window’s requests',
    format: percent,
    least: 1,
    series: [
      { colour: 'red', label: '5xx', value: ({ requests }) => statusShare(requests, '5xx') },
      { colour: 'amber', label: '4xx', dashed: true, value: ({ requests }) => statusShare(requests, '4xx') },
    ],
  },
  {
    id: 'resources',
    title: 'Use of resources',
    unit: '%',
    format: percent,
    least: 100,
    series: [
      { colour: 'blue', label: 'CPU', value: ({ system }) => system.cpu_percent },
      { colour: 'teal', label: 'Memory', dashed: true, value: ({ system }) => system.memory_percent },
      { colour: 'violet', label: 'Event loop', value: ({ system }) => hundredfold(system.event_loop.utilization) },
    ],
  },
  {
    id: 'loop-delay',
    title: 'Event loop delay',
    unit: 'ms',
    format: decimal,
    least: 0.1,
    series: [
      { colour: 'blue', label: 'P99', value: ({ system }) => system.event_loop.delay_ms?.p99 ?? null },
      { colour: 'red', label: 'Longest', dashed: true, value: ({ system }) => system.event_loop.delay_ms?.max ?? null },
    ],
  },
]

/** Between two documents what really ended; for the first one, the mean of the window. */
function requestRate({ generated_at, requests }: PageDocument, previous: PageDocument | undefined): number {
  const seconds = previous === undefined ? 0 : (Date.parse(generated_at) - Date.parse(previous.generated_at)) / 1_000
  if (previous === undefined || seconds <= 0) return requests.per_second
  // A fleet's total falls when a member leaves.
  return Math.max(0, requests.total - previous.requests.total) / seconds
}

function statusShare({ count, status }: PageDocument['requests'], kind: string): number | null {
  return count === 0 ? null : (100 * (status[kind] ?? 0)) / count
}
