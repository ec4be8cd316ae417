import type { PageAlert, PageDocument } from '../document.ts'
import { bytes, coveredSpan, decimal, nothing, number, percent, share, whole } from '../format.ts'
import { html, type Markup } from '../html.ts'

interface Tile {
  readonly label: string
  readonly value: string
  readonly note: string
  /** A percentage, drawn as a bar. */
  readonly bar?: number | null
  readonly isBad?: boolean
  /** The alert rules that judge this value. */
  readonly alerts?: readonly PageAlert['id'][]
}

/** The most important numbers. */
export function summary(document: PageDocument): Markup {
  const firing = new Set(document.alerts.filter(({ state }) => state === 'firing').map(({ id }) => id))
  return html`<section aria-label="Summary"><dl class="tiles">${tilesOf(document).map(
    ({ label, value, note, bar, isBad, alerts = [] }) =>
      html`<div${(isBad || alerts.some((id) => firing.has(id))) && html` class="bad"`}><dt>${label}</dt><dd><b>${value}</b>${
        bar !== undefined && drawBar(bar ?? 0)
      }<span class="note">${note}</span></dd></div>`,
  )}</dl></section>`
}

function tilesOf(document: PageDocument): Tile[] {
  const { requests, system, admission } = document
  const { latency_ms, corrected_ms, status, count } = requests
  const { cpu, memory, event_loop } = system
  const { stalls } = event_loop
  const withStalls = (value: number | null | undefined) =>
    value === null || value === undefined ? '' : ` · ${decimal(value)} with stalls`
  const tiles: Tile[] = [
    {
      label: 'Requests',
      value: `${decimal(requests.per_second)}/s`,
      note: `${whole(count)} in ${coveredSpan(document)} · ${whole(requests.in_flight)} in flight`,
    },
    {
      label: 'Latency P95',
      value: `${decimal(latency_ms.p95)} ms`,
      note: `${interval(latency_ms.p95_ci)}${withStalls(corrected_ms?.p95)}`,
      alerts: ['response_time'],
    },
    {
      label: 'Latency P99',
      value: `${decimal(latency_ms.p99)} ms`,
      note: `${interval(latency_ms.p99_ci)}${withStalls(corrected_ms?.p99)}`,
    },
    {
      label: 'Not answered',
      value: whole(requests.aborted + requests.unanswered),
      note: `${whole(requests.aborted)} gave up · ${whole(requests.unanswered)} waiting${
        requests.unanswered > 0 ? ` for up to ${decimal((requests.oldest_ms ?? 0) / 1_000)} s` : ''
      }`,
      alerts: ['aborted', 'in_flight'],
    },
    {
      label: 'Errors',
      value: share(requests.error_rate),
      note: `${whole(status['5xx'] ?? 0)} of ${whole(count)} answered 5xx`,
      alerts: ['error_rate'],
    },
    {
      label: 'CPU',
      value: percent(system.cpu_percent),
      note: `${number(cpu.cores)} of ${number(cpu.limit_cores)} cores${
        cpu.throttled_percent ? ` · held back ${percent(cpu.throttled_percent)}` : ''
      }`,
      bar: system.cpu_percent,
      alerts: ['cpu'],
    },
    {
      label: 'Memory',
      value: percent(system.memory_percent),
      note: `${bytes(memory.working_set_bytes)} of ${bytes(memory.limit_bytes)}`,
      bar: system.memory_percent,
      alerts: ['memory'],
    },
    {
      label: 'Event loop',
      value: share(event_loop.utilization),
      note:
        stalls === null
          ? nothing
          : stalls.count === 0
            ? 'no stalls'
            : `${whole(stalls.count)} ${stalls.count === 1 ? 'stall' : 'stalls'}, longest ${decimal(stalls.longest_ms)} ms`,
      bar: event_loop.utilization === null ? null : event_loop.utilization * 100,
      alerts: ['event_loop'],
    },
    {
      label: 'Apdex',
      value: requests.apdex === null ? nothing : requests.apdex.toFixed(2),
      note: 'satisfied clients, 0 to 1',
    },
    {
      label: 'Disk',
      value: percent(system.disk_percent),
      note: system.disk.length === 0 ? 'not measured' : 'of the fullest file system',
      bar: system.disk_percent,
      alerts: ['disk'],
    },
  ]
  if (admission == null) return tiles
  const { limit, in_flight, shed, wait_ms, state } = admission
  return [
    ...tiles,
    {
      label: 'Admission',
      value: state,
      note: `${whole(in_flight)}${limit === null ? '' : ` of ${whole(limit)}`} admitted · ${whole(shed)} turned away · wait ${decimal(wait_ms)} ms`,
      isBad: state === 'shedding',
    },
  ]
}

function interval(bounds: readonly [number, number] | null): string {
  return bounds === null ? 'too few samples' : `${decimal(bounds[0])} to ${decimal(bounds[1])}`
}

/** An SVG image, because the page's policy forbids style attributes. Hidden from screen readers, which read the number. */
function drawBar(value: number): Markup {
  const width = Math.min(100, Math.max(0, Math.round(value)))
  return html`<svg class="bar" viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true"><rect width="${width}" height="1"></rect></svg>`
}
