import type { PagePoint } from './document.ts'
import { decimal, percent, whole } from './format.ts'

/** One line of a chart. */
interface Series {
  /** Names its colour in the style sheet. */
  readonly colour: 'blue' | 'amber' | 'red' | 'violet' | 'teal'
  readonly label: string
  /** Lines of one chart must differ by more than their colour. */
  readonly dashed?: boolean
  readonly value: (point: PagePoint) => number | null
}

/** A chart over the window. */
export interface Chart {
  readonly id: string
  readonly title: string
  readonly unit: string
  readonly format: (value: number | null) => string
  /** The scale ends at this value or above. */
  readonly least: number
  readonly series: readonly Series[]
}

const toPercent = (value: number | null) => (value === null ? null : value * 100)

export const charts: readonly Chart[] = [
  {
    id: 'latency',
    title: 'Latency',
    unit: 'ms',
    format: decimal,
    least: 0.1,
    series: [
      { colour: 'blue', label: 'P50', value: ({ latency_ms }) => latency_ms.p50 },
      { colour: 'amber', label: 'P95', value: ({ latency_ms }) => latency_ms.p95 },
      { colour: 'red', label: 'P99', value: ({ latency_ms }) => latency_ms.p99 },
      { colour: 'violet', label: 'P95 with stalls', dashed: true, value: ({ corrected_p95_ms }) => corrected_p95_ms },
    ],
  },
  {
    id: 'requests',
    title: 'Requests',
    unit: 'per second',
    format: decimal,
    least: 0.1,
    series: [{ colour: 'blue', label: 'Completed', value: ({ per_second }) => per_second }],
  },
  {
    id: 'in-flight',
    title: 'In flight',
    unit: 'requests',
    format: whole,
    least: 4,
    series: [{ colour: 'teal', label: 'Now', value: ({ in_flight }) => in_flight }],
  },
  {
    id: 'errors',
    title: 'Errors',
    unit: '% of completed requests',
    format: percent,
    least: 1,
    series: [
      { colour: 'red', label: '5xx', value: ({ error_rate }) => toPercent(error_rate) },
      { colour: 'amber', label: '4xx', dashed: true, value: ({ client_error_rate }) => toPercent(client_error_rate) },
    ],
  },
  {
    id: 'resources',
    title: 'Use of resources',
    unit: '%',
    format: percent,
    least: 100,
    series: [
      { colour: 'blue', label: 'CPU', value: ({ cpu_percent }) => cpu_percent },
      { colour: 'teal', label: 'Memory', dashed: true, value: ({ memory_percent }) => memory_percent },
      { colour: 'violet', label: 'Event loop', value: (point) => toPercent(point.event_loop_utilization) },
    ],
  },
  {
    id: 'loop-delay',
    title: 'Event loop delay',
    unit: 'ms',
    format: decimal,
    least: 0.1,
    series: [
      { colour: 'blue', label: 'P99', value: ({ event_loop_delay_ms }) => event_loop_delay_ms?.p99 ?? null },
      {
        colour: 'red',
        label: 'Longest',
        dashed: true,
        value: ({ event_loop_delay_ms }) => event_loop_delay_ms?.max ?? null,
      },
    ],
  },
]
