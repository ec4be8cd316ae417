import type { PageDocument } from '../document.ts'
import { ago, decimal, nothing, percent, share, span, whole } from '../format.ts'
import { type Content, html, type Markup } from '../html.ts'
import { type Head, table } from './table.ts'

/** What there is only sometimes: the members of a fleet, caches, slow requests, queries. */
export function lists(document: PageDocument): Markup {
  const { fleet, cache, slow, database, generated_at } = document
  return html`${section(
    'Fleet',
    ['Instance', { text: 'State' }, { text: 'Release' }, 'Published', 'CPU', 'Memory', 'In flight'],
    (fleet?.members ?? []).map(({ id, stale, release, age_ms, cpu_percent, memory_percent, in_flight }) => [
      id,
      html`<span class="state ${stale ? 'pending' : 'ok'}">${stale ? 'stale' : 'live'}</span>`,
      release ?? nothing,
      `${span(age_ms)} ago`,
      percent(cpu_percent),
      percent(memory_percent),
      whole(in_flight),
    ]),
  )}${section(
    'Caches',
    ['Cache', { text: 'Store' }, 'Hits', 'Misses', 'Hit rate', 'Errors', 'Error rate'],
    Object.entries(cache).map(([name, { state, hits, misses, hit_rate, errors, error_rate }]) => [
      name,
      html`<span class="state ${state === 'up' ? 'ok' : state === 'down' ? 'firing' : 'pending'}">${state}</span>`,
      whole(hits),
      whole(misses),
      share(hit_rate),
      whole(errors),
      share(error_rate),
    ]),
  )}${section(
    'Slow requests',
    ['Request', 'Status', 'ms', 'Waited for the loop, ms', 'When', { text: 'Trace' }],
    slow
      .slice(0, 10)
      .map(({ method, route, status, ms: took, stall_ms, at, trace_id }) => [
        html`<span class="method">${method}</span> ${route}`,
        status,
        decimal(took),
        decimal(stall_ms),
        ago(at, generated_at),
        trace_id === null ? nothing : html`<code>${trace_id}</code>`,
      ]),
  )}${section(
    'Queries',
    ['Query', 'Runs', 'Errors', 'Total ms', 'P95 ms', 'Most ms'],
    (database?.queries ?? [])
      .slice(0, 10)
      .map((query) => [
        statement(text(query, 'shape')),
        whole(amount(query, 'count')),
        whole(amount(query, 'errors')),
        decimal(amount(query, 'total_ms')),
        decimal(amount(query, 'p95_ms')),
        decimal(amount(query, 'max_ms')),
      ]),
  )}${section(
    'Repeated queries',
    ['Query', { text: 'Kind' }, 'Runs in one request', 'Total ms', { text: 'Where' }],
    (database?.n_plus_one ?? [])
      .slice(0, 10)
      .map((pattern) => [
        statement(text(pattern, 'shape')),
        text(pattern, 'kind'),
        whole(amount(pattern, 'count')),
        decimal(amount(pattern, 'total_ms')),
        text(pattern, 'scope'),
      ]),
  )}`
}

function section(title: string, heads: readonly Head[], rows: readonly (readonly Content[])[]): Markup | undefined {
  if (rows.length === 0) return undefined
  const id = title.toLowerCase().replace(' ', '-')
  return html`<section aria-labelledby="${id}"><h2 id="${id}">${title}</h2>${table(title, heads, rows)}</section>`
}

function statement(shape: string): Markup {
  return html`<code>${shape.length > 160 ? `${shape.slice(0, 160)}…` : shape}</code>`
}

/** The elements of `database` are the database layer's own: what is not there is not shown. */
function text(element: unknown, key: string): string {
  const value = (element as Readonly<Record<string, unknown>> | null)?.[key]
  return typeof value === 'string' ? value : ''
}

function amount(element: unknown, key: string): number | null {
  const value = (element as Readonly<Record<string, unknown>> | null)?.[key]
  return typeof value === 'number' ? value : null
}
