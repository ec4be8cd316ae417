import { describe, expect, it } from 'vitest'
import { columns } from '../../src/dashboard/columns.ts'
import type { PageAlert, PageDocument } from '../../src/dashboard/document.ts'
import { maxPageBytes, pagePolicy, renderPage } from '../../src/dashboard/page.ts'
import { alertSentence } from '../../src/dashboard/view/alerts.ts'
import { resolveRules } from '../../src/monitor/alerts/alert-rules.ts'
import { document, endpoint, noLatency } from './fixture.ts'

const render = (changes: Partial<PageDocument> = {}, query = '') =>
  renderPage(document(changes), { query: new URLSearchParams(query), nonce: 'n0nce' })

const bodyOf = (page: string) => page.replace(/<(script|style)\b.*?<\/\1>/gs, '')

/** The page without what is not text: tags, script and style. */
const textOf = (page: string) =>
  bodyOf(page)
    .replaceAll('<wbr>', '')
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
      'firing Event loop 604 ms over 200 ms · 3 min 47 s ago this process stalled 8%, loop held by POST /reports/export for 6%',
    ],
    ['how many alerts there are', 'Alerts 1 firing 1 pending 1 resolved'],
    ['who was not answered', 'Not answered 12 12 gave up · 0 waiting'],
    ['endpoints', 'POST /reports/export 31 0.10 310 508 1,116 0 0 6 19.3%'],
    ['other timings', 'mail.send 44'],
    ['caches', 'users up 5,120 390 92.9% 3 0.05%'],
    ['slow requests', 'GET /search answered 200 1,903 400 28 s ago 4bf92f3577b34da6a3ce929d0e0e4736'],
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
    const cause = {
      stall: 0.4,
      gc: 0.12,
      throttled: 0.35,
      top_blocker: 'GET /x',
      top_blocker_share: 0.3,
      query: 'select 1',
      part: null,
      part_share: null,
    }
    const page = textOf(render({ alerts: [{ ...alert!, cause }] }))
    expect(page).toContain(
      'stalled 40%, garbage collection 12%, CPU held back 35%, loop held by GET /x for 30%, query select 1',
    )
    const where = { ...cause, stall: 0, part: 'pool' as const, part_share: 0.84 }
    expect(textOf(render({ alerts: [{ ...alert!, cause: where }] }))).toContain(
      '84% of the time waiting for a connection, garbage collection 12%',
    )
    const shed = { ...cause, shed_reason: 'concurrency' as const }
    expect(textOf(render({ alerts: [{ ...alert!, cause: shed }] }))).toContain(
      'too many requests in flight, stalled 40%',
    )
  })

  it('puts an alert into a sentence', () => {
    expect(document().alerts.map(alertSentence)).toEqual([
      'firing: Event loop, 604 ms',
      'pending: Response time of GET /search, 574 ms',
      'resolved: Cache errors of users, 0.1%',
    ])
  })

  it('has a name for each rule', () => {
    const [alert] = document().alerts
    for (const id of resolveRules(undefined).keys()) {
      expect(alertSentence({ ...alert!, id })).toMatch(/^firing: (?:CPU|[A-Z][a-z]+( [a-z]+)*), /)
    }
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
    const page = textOf(render({}, 'filter=no+such'))
    expect(page).toContain('No endpoint contains “no such”')
    expect(page).toContain('0 of 0 found, 10 in all')
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

  it('keeps all other parameters of the address in its links and its form, such as a token', () => {
    const page = render({}, 'token=a%26b&sort=p95&x=%22%3E')
    const links = [...page.matchAll(/href="(\?[^"]*)"/g)].map(([, link = '']) => link.replaceAll('&#38;', '&'))
    expect(links.length).toBeGreaterThan(10)
    for (const link of links) {
      const query = new URLSearchParams(link)
      expect([query.get('token'), query.get('x')]).toEqual(['a&b', '">'])
    }
    expect(page).toContain('<input type="hidden" name="token" value="a&#38;b">')
    expect(page).toContain('<input type="hidden" name="x" value="&#34;&#62;">')
    expect(render({}, `long=${'x'.repeat(5_000)}`)).not.toContain('xxxxx')
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
          id: name as PageAlert['id'],
          target: name,
          cause: { ...alert.cause, top_blocker: name, query: name },
        })),
        slow: slow.map((request) => ({ ...request, method: name, route: name, trace_id: name })),
        cache: { [name]: { ...(cache.users as NonNullable<typeof cache.users>), state: name } },
        timings: { [name]: timings['mail.send'] as NonNullable<(typeof timings)['mail.send']> },
        database: { queries: [{ shape: name }], slow: [], n_plus_one: [{ shape: name, kind: name, scope: name }] },
        system: { ...system, disk: [{ path: name, percent: 1, free_bytes: 1, total_bytes: 1 }] },
      },
      `filter=${encodeURIComponent(name)}`,
    )
    const own = render()
    const tags = (html: string, tag: string) => html.split(`<${tag}`).length
    expect(page).not.toContain(name)
    for (const tag of ['script', 'img', 'b>', 'style']) {
      expect(tags(page, tag)).toBeLessThanOrEqual(tags(own, tag))
    }
    // What is quoted and escaped is a value.
    expect(page.replaceAll(/="[^"]*"/g, '')).not.toMatch(/<[^>]* on(error|focus)=/)
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
    expect(bytes(render())).toBeLessThan(66_000)
  })

  it('says how many rows a long table leaves out', () => {
    const timing = document().timings['mail.send']!
    const timings = Object.fromEntries(Array.from({ length: 25 }, (_, index) => [`timing ${index}`, timing]))
    expect(textOf(render({ timings }))).toContain('and 7 more')
  })

  it('has one card for all alerts of a rule, the worst one first, and counts those that fire in its title', () => {
    const [, pending] = document().alerts as [PageAlert, PageAlert]
    const alerts = Array.from({ length: 30 }, (_, index) => ({
      ...pending,
      state: index % 3 === 0 ? ('firing' as const) : ('pending' as const),
      target: `GET /${index}`,
      value: 600 + index,
    }))
    const page = render({ alerts })
    expect(page).toContain('<title>(10) crm performance</title>')
    expect(bodyOf(page).match(/<article/g)).toHaveLength(1)
    const text = textOf(page)
    expect(text).toContain('Alerts 10 firing 20 pending firing Response time 30 targets 627 ms over 500 ms')
    expect(text).toContain('29 more firing GET /24 624 ms')
    expect(text).toContain('and 9 more')
  })

  it('says what the window covers soon after the start', () => {
    const page = textOf(render({ covered_ms: 3_000, uptime_ms: 3_000 }))
    expect(page).toContain('up 3 s · last 3 s, of up to 5 min')
    expect(page).toContain('8,412 in 3 s')
    expect(page).not.toContain('8,412 in 5 min')
  })

  it('filters all endpoints, keeps the filter in its links, and shows it in its form', () => {
    const many = Array.from({ length: 302 }, (_, index) => endpoint('GET', `/a/${index}`, { count: 400 - index }))
    const page = render({ endpoints: many, self: { ...document().self, endpoints: 302 } }, 'filter=/A/301')
    expect(endpointsOf(page)).toEqual(['GET /a/301'])
    expect(textOf(page)).toContain('1 of 1 found, 302 in all')
    expect(page).toContain('sort=p95&#38;order=desc&#38;filter=%2FA%2F301"')
    expect(page).toContain('name="filter" type="search" value="/A/301"')
  })

  it('draws where the time of each endpoint goes, where it is known', () => {
    const breakdown = { pool_ms: 1, database_ms: 5, cache_ms: 0, upstream_ms: 0, loop_ms: 2, rest_ms: 2 }
    const page = render({ endpoints: [endpoint('GET', '/a', { breakdown }), endpoint('GET', '/b')] })
    expect(page).toContain(
      'waiting for a connection 1.00 ms, database 5.00 ms, holding the event loop 2.00 ms, rest 2.00 ms',
    )
    expect(page).toContain('<rect class="blue" x="10.0" width="50.0"')
    expect(bodyOf(page).match(/class="breakdown"/g)).toHaveLength(1)
    expect(bodyOf(render())).not.toContain('Where the time goes')
  })

  it('shows what the admission control does, where there is one', () => {
    const admission = {
      limit: 40,
      in_flight: 38,
      shed: 1_204,
      wait_ms: 96,
      state: 'shedding',
      limits: [],
      shed_by: [],
    } as const
    expect(textOf(render({ admission }))).toContain(
      'Admission shedding 38 of 40 admitted · 1,204 turned away · wait 96.0 ms',
    )
    expect(textOf(render())).not.toContain('Admission')
  })

  it('shows which lookups were joined, and why others were not', () => {
    const shapes = [
      { shape: 'select 1', queries: 90, statements: 3 },
      { shape: 'select 2', queries: 7, statements: 7, refused: 'locks rows' },
    ]
    const auto_batch = { queries: 97, statements: 10, shapes }
    const page = textOf(render({ database: { queries: [], slow: [], n_plus_one: [], auto_batch } }))
    expect(page).toContain('Joined lookups 97 lookups in 10 statements')
    expect(page).toContain('select 2 7 7 locks rows')
  })

  it('shows how many queries nobody waited for', () => {
    const queries = [{ shape: 'select 1', count: 3, errors: 0, total_ms: 1, p95_ms: 1, max_ms: 1 }]
    const shown = (abandoned: object) =>
      textOf(render({ database: { queries, slow: [], n_plus_one: [], abandoned: abandoned as never } }))
    expect(shown({ cancelled: 12, dequeued: 3, refused: 1 })).toContain(
      'Queries nobody waited any more for 12 that ran, 3 in the queue of the pool, 1 not sent yet',
    )
    expect(shown({ cancelled: 0, dequeued: 0, refused: 0 })).not.toContain('nobody waited')
  })
})
