import { describe, expect, it } from 'vitest'
import { columns, parseSort } from '../../src/dashboard/columns.ts'
import type { PageDocument } from '../../src/dashboard/document.ts'
import { maxPageBytes, pagePolicy, renderPage } from '../../src/dashboard/page.ts'
import { describeAlert } from '../../src/dashboard/view/alerts.ts'
import { endpoints } from '../../src/dashboard/view/endpoints.ts'
import { document, endpoint, noLatency } from './fixture.ts'

const render = (changes: Partial<PageDocument> = {}, query = '') =>
  renderPage(document(changes), { query: new URLSearchParams(query), nonce: 'n0nce' })

/** The page without what is not text: tags, script and style. */
const textOf = (page: string) =>
  page
    .replace(/<(script|style)\b.*?<\/\1>/gs, '')
    .replace(/<[^>]*>/g, ' ')
    .replace(/\s+/g, ' ')

/** The names of the endpoints, in the order of their rows. */
const endpointsOf = (page: string) => {
  const [, body = ''] = /<table class="endpoints">.*?<tbody>(.*?)<\/tbody>/s.exec(page) ?? []
  return [...body.matchAll(/<th scope="row">(.*?)<\/th>/g)].map(([, name = '']) => textOf(name).trim())
}

describe('the page without JavaScript', () => {
  const text = textOf(render())

  it.each([
    ['whose numbers they are', 'instance a1b2c3 · release 1.4.2 · up 1 h 28 min · last 5 min · 12:04:59 UTC'],
    ['percentiles with their intervals', 'Latency P95 30.2 ms 27.4 to 35.3 · 58.0 with stalls'],
    ['requests', '28.0/s 8,412 in 5 min · 3 in flight'],
    ['errors', '0.49% 41 of 8,412 answered 5xx'],
    ['CPU against its limit', '31% 0.62 of 2 cores · held back 0.4%'],
    ['memory against its limit', '41.2% 211 MiB of 512 MiB'],
    ['the event loop', '22.4% 7 stalls, longest 604 ms'],
    [
      'alerts with their cause',
      'firing Event loop this process 604 ms (over 200 ms) 3 min 47 s ago stalled 8%, loop held by',
    ],
    ['endpoints', 'POST /reports/export 31 0.10 6 19.3% 0 310 508'],
    ['other timings', 'mail.send 44'],
    ['caches', 'users up 5,120 390 92.9% 3 0.05%'],
    ['slow requests', 'GET /search 200 1,903 400 28 s ago 4bf92f3577b34da6a3ce929d0e0e4736'],
    ['queries', '1,033 0 9,120 31.0 412'],
    ['garbage collections', 'Garbage collections 122 181 ms together, longest 9.20 ms'],
    ['that it does not change by itself', 'Reload for newer numbers'],
  ])('tells %s', (_what, expected) => {
    expect(text).toContain(expected)
  })

  it('lists the members of a fleet', () => {
    const member = { release: '1.4.2', cpu_percent: 12, memory_percent: 40, in_flight: 1 }
    const fleet = {
      instances: 2,
      stale: 1,
      rejected: 0,
      members: [
        { ...member, id: 'a1', age_ms: 4_000, stale: false },
        { ...member, id: 'b2', age_ms: 64_000, stale: true },
      ],
    }
    const page = textOf(render({ scope: 'fleet', fleet }))
    expect(page).toContain('2 instances')
    expect(page).toContain('a1 live 1.4.2 4 s ago 12% 40% 1')
    expect(page).toContain('b2 stale 1.4.2 1 min 4 s ago 12% 40% 1')
  })

  it('names each state of a cache, and draws one that is down as an alert', () => {
    const cache = { hits: 1, misses: 0, errors: 9, hit_rate: 1, error_rate: 1, state: 'down' }
    expect(render({ cache: { users: cache } })).toContain('<span class="state firing">down</span>')
  })

  it('tells all that may have caused an alert', () => {
    const [alert] = document().alerts
    const cause = { stall: 0.4, gc: 0.12, throttled: 0.35, top_blocker: null }
    const page = textOf(render({ alerts: [{ ...alert!, cause }] }))
    expect(page).toContain('stalled 40%, garbage collection 12%, CPU held back 35%')
  })

  it('puts an alert into a sentence', () => {
    expect(document().alerts.map(describeAlert)).toEqual([
      'firing: Event loop, 604 ms',
      'pending: Response time of GET /search, 574 ms',
      'resolved: Cache errors of users, 0.1%',
    ])
  })

  it('cuts a long statement, and leaves out what an element does not have', () => {
    const queries = [{ shape: 'x'.repeat(200), count: 3 }, { shape: 7 }, null]
    const page = render({ database: { queries, slow: [], n_plus_one: [] } })
    expect(page).toContain(`<code>${'x'.repeat(160)}…</code>`)
    expect(page).toContain('<code></code>')
    expect(textOf(page)).toContain('x… 3 – – – –')
  })

  it('counts a single stall as one', () => {
    const { system } = document()
    const stalls = { count: 1, total_ms: 604, longest_ms: 604 }
    const page = render({ system: { ...system, event_loop: { ...system.event_loop, stalls } } })
    expect(textOf(page)).toContain('1 stall, longest 604 ms')
  })

  it('tells a filter that finds nothing from a server that was asked nothing', () => {
    const view = { scope: 'instance', sort: parseSort(new URLSearchParams()), filter: 'no such' } as const
    expect(textOf(endpoints(document(), view, 10_000).text)).toContain('No such endpoint')
    expect(textOf(render({ endpoints: [] }))).toContain('No requests yet')
  })

  it('shows what was not measured as missing, and never as 0', () => {
    const { requests, system } = document()
    const page = textOf(
      render({
        endpoints: [],
        requests: { ...requests, count: 0, error_rate: null, apdex: null, latency_ms: noLatency, corrected_ms: null },
        system: { ...system, cpu_percent: null, cpu: { ...system.cpu, cores: null } },
      }),
    )
    expect(page).toContain('Latency P95 – ms too few samples')
    expect(page).toContain('Errors –')
    expect(page).toContain('Apdex –')
    expect(page).toContain('CPU – – of 2 cores')
    expect(page).toContain('No requests yet')
    expect(page).not.toMatch(/NaN|undefined|null/)
  })

  it.each(columns.map(({ key }) => key))('sorts by `%s` both ways, what has no value last', (key) => {
    const value = columns.find((column) => column.key === key)?.value as (typeof columns)[number]['value']
    const { endpoints } = document()
    const sortValue = (name: string) => {
      const found = endpoints.find(({ method, route }) => `${method} ${route}` === name)
      return found === undefined ? undefined : value(found)
    }
    for (const order of ['asc', 'desc'] as const) {
      const page = render({}, `sort=${key}&order=${order}`)
      const values = endpointsOf(page).map(sortValue)
      const known = values.filter((each) => each !== null) as (number | string)[]
      expect(values).toHaveLength(endpoints.length)
      expect(values.slice(0, known.length)).toEqual(known)
      const sorted = known.toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0))
      expect(known).toEqual(order === 'asc' ? sorted : sorted.toReversed())
      expect(page).toMatch(new RegExp(`aria-sort="${order}ending"><a href="[^"]*" data-sort="${key}"`))
    }
  })

  it('offers each sort as a link, which turns the order of the current one', () => {
    const page = render({}, 'sort=p95')
    expect(page).toContain('href="?scope=instance&#38;sort=p95&#38;order=asc"')
    expect(page).toContain('href="?scope=instance&#38;sort=p99&#38;order=desc"')
    expect(page).toContain('href="?scope=fleet&#38;sort=p95&#38;order=desc"')
  })

  it('falls back to the total time for a sort that it does not know', () => {
    expect(endpointsOf(render({}, 'sort=%3Cscript%3E'))).toEqual(endpointsOf(render()))
  })
})

describe('the page as a document', () => {
  it.each([
    '<script>alert(1)</script>',
    '"><img src=x onerror=alert(1)>',
    "' onfocus='alert(1)",
    '</style><b>',
    '&lt;b&gt;',
  ])('takes %s for a name wherever a name may stand', (name) => {
    const { alerts, slow, cache, timings, system } = document()
    const page = render(
      {
        service: name,
        release: name,
        instance: name,
        endpoints: [endpoint('GET', name)],
        alerts: alerts.map((alert) => ({
          ...alert,
          id: name,
          target: name,
          cause: { ...alert.cause, top_blocker: name },
        })),
        slow: slow.map((request) => ({ ...request, method: name, route: name, trace_id: name })),
        cache: { [name]: { ...(cache.users as NonNullable<typeof cache.users>), state: name } },
        timings: { [name]: timings['mail.send'] as NonNullable<(typeof timings)['mail.send']> },
        database: { queries: [{ shape: name }], slow: [], n_plus_one: [{ shape: name, kind: name, scope: name }] },
        system: { ...system, disk: [{ path: name, percent: 1, free_bytes: 1 }] },
      },
      `filter=${encodeURIComponent(name)}`,
    )
    const own = render()
    const tags = (html: string, tag: string) => html.split(`<${tag}`).length
    expect(page).not.toContain(name)
    for (const tag of ['script', 'img', 'b>', 'style']) {
      expect(tags(page, tag)).toBeLessThanOrEqual(tags(own, tag))
    }
    expect(page).not.toMatch(/<[^>]* on(error|focus)=/)
    expect(page).toContain(name.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`))
  })

  it('runs and styles by its nonce only, and loads nothing', () => {
    const page = render()
    expect(page.match(/<(script|style)\b[^>]*>/g)).toEqual(['<style nonce="n0nce">', '<script nonce="n0nce">'])
    expect(page.replace(/<(script|style)\b.*?<\/\1>/gs, '')).not.toMatch(/ style=|\ssrc=|https?:/)
    const policy = pagePolicy('n0nce')
    expect(policy).toContain("default-src 'none'")
    expect(policy).toContain("script-src 'nonce-n0nce'")
    expect(policy).toContain("style-src 'nonce-n0nce'")
    expect(policy).not.toContain('unsafe')
  })

  it('stays within 80 KB, however many endpoints there are and whatever they are called', () => {
    const bytes = (page: string) => Buffer.byteLength(page)
    const many = Array.from({ length: 500 }, (_, index) => endpoint('GET', `/a/${'"é'.repeat(40)}/${index}`))
    const page = render({ endpoints: many, self: { ...document().self, endpoints: 500 } })
    const shown = endpointsOf(page).length
    expect(bytes(page)).toBeLessThanOrEqual(maxPageBytes)
    expect(bytes(page)).toBeGreaterThan(maxPageBytes - 2_000)
    expect(shown).toBeGreaterThan(20)
    expect(textOf(page)).toContain(`${shown} of 500`)
    expect(bytes(render())).toBeLessThan(55_000)
  })

  it('says how many rows a long table leaves out', () => {
    const [alert] = document().alerts
    const alerts = Array.from({ length: 25 }, (_, index) => ({
      ...(alert as NonNullable<typeof alert>),
      target: `GET /${index}`,
    }))
    expect(textOf(render({ alerts }))).toContain('and 5 more')
  })
})
