import type { PageAlert, PageDocument } from '../document.ts'
import { ago, decimal, percent, share } from '../format.ts'
import { html, type Markup } from '../html.ts'
import { table } from './table.ts'

const names: Readonly<Record<string, string>> = {
  response_time: 'Response time',
  cpu: 'CPU',
  memory: 'Memory',
  cache_errors: 'Cache errors',
  error_rate: 'Error rate',
  event_loop: 'Event loop',
  disk: 'Disk',
}

const urgency = { firing: 0, pending: 1, resolved: 2 } as const

export function alerts({ alerts, generated_at }: PageDocument): Markup {
  if (alerts.length === 0)
    return html`<section aria-labelledby="alerts"><h2 id="alerts">Alerts</h2><p class="note">None</p></section>`
  const rows = alerts
    .toSorted((a, b) => urgency[a.state] - urgency[b.state])
    .map((alert) => [
      html`<span class="state ${alert.state}">${alert.state}</span>`,
      nameOf(alert),
      alert.target ?? 'this process',
      `${measure(alert, alert.value)} (over ${measure(alert, alert.threshold)})`,
      ago(alert.since, generated_at),
      causeOf(alert),
    ])
  return html`<section aria-labelledby="alerts"><h2 id="alerts">Alerts</h2>${table(
    'Alerts',
    ['State', ...['Rule', 'Where', 'Value', 'Since', 'Likely cause'].map((text) => ({ text }))],
    rows,
  )}</section>`
}

/** A sentence for a reader who cannot see the table change. */
export function describeAlert(alert: PageAlert): string {
  return `${alert.state}: ${nameOf(alert)}${alert.target === null ? '' : ` of ${alert.target}`}, ${measure(alert, alert.value)}`
}

function nameOf({ id }: PageAlert): string {
  return names[id] ?? id
}

function measure({ id }: PageAlert, value: number): string {
  return id === 'response_time' || id === 'event_loop' ? `${decimal(value)} ms` : percent(value)
}

function causeOf({ cause: { stall, gc, throttled, top_blocker } }: PageAlert): string {
  const parts = [
    stall >= 0.01 && `stalled ${share(stall)}`,
    gc >= 0.01 && `garbage collection ${share(gc)}`,
    (throttled ?? 0) >= 0.01 && `CPU held back ${share(throttled)}`,
    top_blocker !== null && `loop held by ${top_blocker}`,
  ]
  return parts.filter((part) => part !== false).join(', ')
}
