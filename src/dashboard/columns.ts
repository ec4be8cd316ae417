import type { PageEndpoint } from './document.ts'
import { decimal, share, whole } from './format.ts'

/** A column of the table of endpoints. */
export interface Column {
  readonly key: string
  readonly label: string
  /** The label in full. */
  readonly title: string
  /** The table is sorted by this value. */
  readonly value: (endpoint: PageEndpoint) => number | string | null
}

interface Measure extends Column {
  readonly show: (endpoint: PageEndpoint) => string
}

export interface Sort {
  readonly column: string
  readonly order: 'asc' | 'desc'
}

/** The time of all completed requests together, in milliseconds. */
function totalTime({ count, latency_ms }: PageEndpoint): number {
  return count * (latency_ms.avg ?? 0)
}

function serverErrors({ status }: PageEndpoint): number {
  return Object.entries(status).reduce((sum, [code, count]) => sum + (code.startsWith('5') ? count : 0), 0)
}

const nameColumn: Column = {
  key: 'endpoint',
  label: 'Endpoint',
  title: 'Method and route pattern',
  value: ({ method, route }) => `${route} ${method}`,
}

export const measures: readonly Measure[] = [
  measured('count', 'Requests', 'Completed requests in the window', ({ count }) => count, whole),
  measured('rate', 'Per s', 'Completed requests a second', ({ per_second }) => per_second, decimal),
  measured('p50', 'P50 ms', 'Half of the requests were faster', ({ latency_ms }) => latency_ms.p50, decimal),
  measured('p95', 'P95 ms', '95 of 100 requests were faster', ({ latency_ms }) => latency_ms.p95, decimal),
  measured('p99', 'P99 ms', '99 of 100 requests were faster', ({ latency_ms }) => latency_ms.p99, decimal),
  measured('aborted', 'Gave up', 'The client left before the answer', ({ aborted }) => aborted, whole),
  measured(
    'unanswered',
    'Waiting',
    'Under way for longer than the threshold of slow requests',
    ({ unanswered }) => unanswered,
    whole,
  ),
  measured('errors', '5xx', 'Answered with a status of 500 to 599', serverErrors, whole),
  measured('error-rate', '5xx share', 'Share of completed requests', ({ error_rate }) => error_rate, share),
  measured(
    'corrected',
    'P95 with stalls',
    'Milliseconds, with the time that requests waited for a blocked event loop',
    ({ corrected_ms }) => corrected_ms?.p95 ?? null,
    decimal,
  ),
  measured('loop', 'Held loop ms', 'How long it held the event loop', ({ loop_ms }) => loop_ms, decimal),
  measured('time', 'Total s', 'Time of its requests together', totalTime, (value) => decimal(value && value / 1_000)),
]

export const columns: readonly Column[] = [nameColumn, ...measures]

const defaultSort: Sort = { column: 'time', order: 'desc' }

/** Reads the sort from a query string; unknown values mean the default. */
export function parseSort(query: URLSearchParams): Sort {
  const column = query.get('sort')
  if (!columns.some(({ key }) => key === column)) return defaultSort
  return { column: column as string, order: query.get('order') === 'asc' ? 'asc' : 'desc' }
}

/** The sort after a click on a column's header: numbers from the largest, names from A; a second click reverses the order. */
export function nextSort({ column, order }: Sort, key: string): Sort {
  const flipped = order === 'asc' ? 'desc' : 'asc'
  return { column: key, order: column === key ? flipped : key === nameColumn.key ? 'asc' : 'desc' }
}

/** A sorted copy. Endpoints without a value come last in either order. */
export function sortEndpoints(endpoints: readonly PageEndpoint[], { column, order }: Sort): PageEndpoint[] {
  const { value } = columns.find(({ key }) => key === column) as Column
  const sign = order === 'asc' ? 1 : -1
  return endpoints
    .map((endpoint) => ({ endpoint, value: value(endpoint) }))
    .sort((a, b) => {
      if (a.value === null || b.value === null) return Number(a.value === null) - Number(b.value === null)
      return sign * (a.value < b.value ? -1 : a.value > b.value ? 1 : 0)
    })
    .map(({ endpoint }) => endpoint)
}

function measured(
  key: string,
  label: string,
  title: string,
  value: (endpoint: PageEndpoint) => number | null,
  format: (value: number | null) => string,
): Measure {
  return { key, label, title, value, show: (endpoint) => format(value(endpoint)) }
}
