import type { PageDocument } from '../document.ts'
import { ago, decimal, nothing, percent, share, span, whole } from '../format.ts'
import { type Content, endpointName, html, type Markup } from '../html.ts'
import { type Head, table } from './table.ts'

const outcomes = { completed: 'answered', aborted: 'client gave up', unanswered: 'still waiting' } as const

/** The sections that may be empty, and are then left out: members of a fleet, caches, slow requests, queries. */
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
    ['Request', { text: 'Ended' }, 'Status', 'ms', 'Waited for the loop, ms', 'When', { text: 'Trace' }],
    slow
      .slice(0, 10)
      .map(({ method, route, outcome, status, ms: took, stall_ms, at, trace_id }) => [
        endpointName(method, route),
        outcomes[outcome],
        status === 0 ? nothing : status,
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
    abandonedQueries(database),
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
  )}${joinedLookups(database)}`
}

/** How many queries were ended because nobody waited for their rows. */
function abandonedQueries(database: PageDocument['database']): string | undefined {
  const { cancelled, dequeued, refused } = database?.abandoned ?? { cancelled: 0, dequeued: 0, refused: 0 }
  if (cancelled + dequeued + refused === 0) return undefined
  return `nobody waited any more for ${whole(cancelled)} that ran, ${whole(dequeued)} in the queue of the pool, ${whole(refused)} not sent yet`
}

function joinedLookups(database: PageDocument['database']): Markup | undefined {
  const { queries, statements, shapes } = database?.auto_batch ?? { queries: 0, statements: 0, shapes: [] }
  return section(
    'Joined lookups',
    ['Query', 'Lookups', 'Statements', { text: 'Why not joined' }],
    shapes
      .slice(0, 10)
      .map((shape) => [
        statement(text(shape, 'shape')),
        whole(amount(shape, 'queries')),
        whole(amount(shape, 'statements')),
        text(shape, 'refused'),
      ]),
    queries > 0 ? `${whole(queries)} lookups in ${whole(statements)} statements` : undefined,
  )
}

function section(
  title: string,
  heads: readonly Head[],
  rows: readonly (readonly Content[])[],
  note?: string,
): Markup | undefined {
  if (rows.length === 0) return undefined
  const id = title.toLowerCase().replace(' ', '-')
  return html`<section aria-labelledby="${id}"><h2 id="${id}">${title}${note !== undefined && html` <span class="note">${note}</span>`}</h2>${table(title, heads, rows)}</section>`
}

function statement(shape: string): Markup {
  return html`<code>${shape.length > 160 ? `${shape.slice(0, 160)}…` : shape}</code>`
}

/** The monitor does not know the types of the elements of `database`, so each field may be missing. */
function text(element: unknown, key: string): string {
  const value = (element as Readonly<Record<string, unknown>> | null)?.[key]
  return typeof value === 'string' ? value : ''
}

function amount(element: unknown, key: string): number | null {
  const value = (element as Readonly<Record<string, unknown>> | null)?.[key]
  return typeof value === 'number' ? value : null
}
