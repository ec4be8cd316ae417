import type { PageAlert, PageDocument } from '../document.ts'
import { ago, decimal, percent, share, whole } from '../format.ts'
import { html, type Markup } from '../html.ts'
import { breakdownParts } from './endpoints.ts'

const names: Readonly<Record<PageAlert['id'], string>> = {
  response_time: 'Response time',
  aborted: 'Clients gave up',
  in_flight: 'Not answered',
  cpu: 'CPU',
  memory: 'Memory',
  cache_errors: 'Cache errors',
  error_rate: 'Error rate',
  event_loop: 'Event loop',
  disk: 'Disk',
  shedding: 'Turned away',
}

const states = ['firing', 'pending', 'resolved'] as const
/** Further targets are only counted. */
const maxTargets = 20

/** One card for each rule, so that a rule with many targets takes no more room than one with a single target. */
export function alerts({ alerts, generated_at }: PageDocument): Markup {
  const byRule = new Map<string, PageAlert[]>()
  for (const alert of alerts.toSorted(byUrgency)) byRule.set(alert.id, [...(byRule.get(alert.id) ?? []), alert])
  const cards = [...byRule.values()].map((group) => card(group, generated_at))
  const counts = states.map((state) => {
    const count = countOf(alerts, state)
    return count > 0 && html`<span class="badge ${state}">${whole(count)} ${state}</span>`
  })
  return html`<section aria-labelledby="alerts"><div class="title"><h2 id="alerts">Alerts</h2>${
    alerts.length === 0 ? html`<span class="note">none</span>` : counts
  }</div>${cards.length > 0 && html`<div class="cards">${cards}</div>`}</section>`
}

/** The title of the document: how many alerts fire, and whose they are. */
export function titleOf({ alerts, service }: PageDocument): string {
  const firing = countOf(alerts, 'firing')
  return `${firing > 0 ? `(${firing}) ` : ''}${service === null ? 'Performance' : `${service} performance`}`
}

/** An alert as a sentence, for screen readers. */
export function alertSentence(alert: PageAlert): string {
  return `${alert.state}: ${names[alert.id]}${alert.target === null ? '' : ` of ${alert.target}`}, ${measure(alert, alert.value)}`
}

function card(group: readonly PageAlert[], now: string): Markup {
  const [worst, ...others] = group as [PageAlert, ...PageAlert[]]
  const cause = causeOf(worst)
  return html`<article class="card ${worst.state}"><h3><span class="state ${worst.state}">${worst.state}</span> ${
    names[worst.id]
  }${group.length > 1 && html` <span class="note">${whole(group.length)} targets</span>`}</h3><p><b>${measure(
    worst,
    worst.value,
  )}</b> <span class="note">over ${measure(worst, worst.threshold)} · ${ago(worst.since, now)}</span></p><p class="long">${
    worst.target ?? 'this process'
  }</p>${cause !== '' && html`<p class="note long">${cause}</p>`}${
    others.length > 0 &&
    html`<details><summary>${whole(others.length)} more</summary><ul>${others
      .slice(0, maxTargets)
      .map((alert) => target(alert, now))}${
      others.length > maxTargets && html`<li class="note">and ${whole(others.length - maxTargets)} more</li>`
    }</ul></details>`
  }</article>`
}

function target(alert: PageAlert, now: string): Markup {
  const { query } = alert.cause
  return html`<li><span class="long"><span class="state ${alert.state}">${alert.state}</span> ${
    alert.target ?? 'this process'
  }</span> <b>${measure(alert, alert.value)}</b> <span class="note">${ago(alert.since, now)}${
    query !== null && html`, query ${query}`
  }</span></li>`
}

function countOf(alerts: readonly PageAlert[], state: PageAlert['state']): number {
  return alerts.filter((alert) => alert.state === state).length
}

function byUrgency(a: PageAlert, b: PageAlert): number {
  return states.indexOf(a.state) - states.indexOf(b.state) || b.value / b.threshold - a.value / a.threshold
}

function measure({ id }: PageAlert, value: number): string {
  if (id === 'in_flight') return `${decimal(value / 1_000)} s`
  return id === 'response_time' || id === 'event_loop' ? `${decimal(value)} ms` : percent(value)
}

function causeOf({ cause }: PageAlert): string {
  const { stall, gc, throttled, top_blocker, top_blocker_share, part, part_share, query, shed_reason } = cause
  const causes = [
    shed_reason !== undefined && (shed_reason === 'wait' ? 'the event loop is full' : 'too many requests in flight'),
    part !== null && `${share(part_share)} of the time ${breakdownParts.find(([key]) => key === part)?.[2]}`,
    (stall ?? 0) >= 0.01 && `stalled ${share(stall)}`,
    (gc ?? 0) >= 0.01 && `garbage collection ${share(gc)}`,
    (throttled ?? 0) >= 0.01 && `CPU held back ${share(throttled)}`,
    top_blocker !== null &&
      `loop held by ${top_blocker}${(top_blocker_share ?? 0) >= 0.001 ? ` for ${share(top_blocker_share)}` : ''}`,
    query !== null && `query ${query}`,
  ]
  return causes.filter((text) => text !== false).join(', ')
}
