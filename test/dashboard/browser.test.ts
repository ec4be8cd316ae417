import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { AxeResults } from 'axe-core'
import type { Browser, Page } from 'playwright-core'
import { PerformanceMonitor } from 'posthaste'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import type { PageDocument } from '../../src/dashboard/document.ts'
import { frameworks, type Running } from '../support/frameworks.ts'
import { chromiumPath, startChromium, startChromiumWithoutCookies } from './chromium.ts'
import { document, endpoint, historyUntil } from './fixture.ts'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

interface Look {
  readonly colorScheme?: 'light' | 'dark'
  readonly width?: number
  readonly height?: number
}

describe.skipIf(chromiumPath === undefined)('the live page in a browser', { timeout: 60_000 }, () => {
  let browser: Browser
  /** One for all tests, because each new one would be a new process; each test is a new origin to it. */
  let page: Page
  let monitor: PerformanceMonitor
  let server: Running
  /** What the server shows next, or throws. */
  let shown: () => PageDocument
  /** What a page loaded or said that it may not. */
  let faults: string[]

  beforeAll(async () => {
    browser = await startChromium()
    page = watch(await browser.newPage())
  })
  afterAll(() => browser?.close())
  beforeEach(async () => {
    faults = []
    show()
    monitor = new PerformanceMonitor({ sampleInterval: false })
    // The wire form of a document in the wire form is itself.
    monitor.snapshotInTurns = async () => shown() as never
    server = await (frameworks.Fastify as (typeof frameworks)['Fastify'])(monitor)
  })
  afterEach(async () => {
    await page.goto('about:blank')
    await server.close()
    await monitor.close()
    expect(faults).toEqual([])
  })

  function watch(watched: Page): Page {
    watched.on('console', (message) => faults.push(message.text()))
    watched.on('pageerror', (error) => faults.push(String(error)))
    watched.on('request', (request) => {
      const { origin, pathname } = new URL(request.url())
      const isOwn = origin === server.url && /^\/performance(\/stream)?$/.test(pathname)
      if (!isOwn && request.url() !== 'about:blank') faults.push(request.url())
    })
    return watched
  }

  function show(changes: Partial<PageDocument> | (() => PageDocument) = {}): void {
    shown =
      typeof changes === 'function' ? changes : () => document({ generated_at: new Date().toISOString(), ...changes })
  }

  async function openLive({ colorScheme = 'light', width = 1_280, height = 900 }: Look = {}): Promise<Page> {
    await page.setViewportSize({ width, height })
    await page.emulateMedia({ colorScheme })
    await page.goto(`${server.url}/performance`)
    await page.getByRole('status').getByText('Live').waitFor()
    return page
  }

  const names = (page: Page) => page.locator('table.endpoints tbody th').allInnerTexts()
  const routes = async (page: Page) => (await names(page)).map((name) => name.split(/\s/).at(-1))

  it('reads as tables without JavaScript, in the colours that are chosen', async () => {
    const context = await browser.newContext({ javaScriptEnabled: false })
    onTestFinished(() => context.close())
    const page = watch(await context.newPage())
    await page.goto(`${server.url}/performance`)
    expect(await page.getByRole('table').count()).toBeGreaterThan(4)
    expect(await names(page)).toHaveLength(10)
    expect(await page.locator('#charts').isVisible()).toBe(true)
    expect(await page.getByRole('button').count()).toBe(0)
    await page.getByRole('link', { name: 'P95 ms' }).click()
    expect((await routes(page))[0]).toBe('/reports/export')
    const background = () => page.evaluate('getComputedStyle(document.body).backgroundColor')
    const light = await background()
    await page.getByLabel('Dark').check()
    expect(await background()).not.toBe(light)
  })

  it('updates by itself, keeping what the reader does', async () => {
    const page = await openLive()
    await page.getByRole('link', { name: 'P99 ms' }).focus()
    show({ endpoints: [endpoint('GET', '/new')], service: 'crm two' })
    await page.getByRole('rowheader', { name: 'GET /new' }).waitFor()
    expect(await page.getByRole('heading', { level: 1 }).textContent()).toBe('crm two')
    expect(await names(page)).toHaveLength(1)
    expect(await page.evaluate('document.activeElement.textContent')).toBe('P99 ms')
  })

  it('is full of history at once, and tells the values under the pointer', async () => {
    const history = historyUntil(new Date().toISOString()).map((point, slice) => ({ ...point, in_flight: slice }))
    show({ history })
    const page = await openLive()
    const figure = page.locator('figure', { hasText: 'In flight' })
    await figure.getByText('Now 59').waitFor()
    expect((await figure.locator('path.teal').getAttribute('d'))?.split('L')).toHaveLength(61)
    await page.getByRole('button', { name: 'Pause' }).click()
    await figure.locator('svg').hover({ position: { x: 1, y: 20 } })
    await figure.getByText('Now 0').waitFor()
    expect(await figure.getByText(/^at \d\d:\d\d:\d\d$/).count()).toBe(1)
    expect(await page.locator('.pointer').count()).toBe(6)
    await page.mouse.move(0, 0)
    await figure.getByText('Now 59').waitFor()
    expect(await page.locator('#charts').count()).toBe(1)
  })

  it('sorts without loading, by keyboard too, and keeps the sort over a reload', async () => {
    const page = await openLive()
    await page.evaluate('globalThis.sameDocument = true')
    const head = page.getByRole('columnheader', { name: 'Requests' }).first()
    await page.locator('[data-sort=count]').focus()
    await page.keyboard.press('Enter')
    expect((await routes(page))[0]).toBe('/users')
    expect(await head.getAttribute('aria-sort')).toBe('descending')
    await page.keyboard.press('Enter')
    expect((await routes(page))[0]).toBe('/events')
    expect(await head.getAttribute('aria-sort')).toBe('ascending')
    expect(await page.evaluate('globalThis.sameDocument')).toBe(true)
    await page.reload()
    expect((await routes(page))[0]).toBe('/events')
  })

  it('sends the token in its address with the stream, and keeps it when it sorts', async () => {
    const tokens: Array<string | null> = []
    const note = (request: { url(): string }) => {
      const { pathname, searchParams } = new URL(request.url())
      if (pathname.endsWith('/stream')) tokens.push(searchParams.get('token'))
    }
    page.on('request', note)
    onTestFinished(() => void page.off('request', note))
    await page.goto(`${server.url}/performance?token=secret`)
    await page.getByRole('status').getByText('Live').waitFor()
    await page.locator('[data-sort=count]').click()
    await expect.poll(() => tokens).toEqual(['secret', 'secret'])
    expect(new URL(page.url()).searchParams.get('token')).toBe('secret')
  })

  it('asks the server for the endpoints that it filters, sorts or counts', async () => {
    const endpoints = Array.from({ length: 302 }, (_, index) =>
      endpoint('GET', `/a/${index}`, { count: 400 - index, aborted: index }),
    )
    show({ endpoints, self: { ...document().self, endpoints: 302 } })
    const page = await openLive()
    await page.getByText('200 of 302').waitFor()
    await page.getByRole('searchbox', { name: 'Filter endpoints' }).fill('/A/301')
    await page.getByRole('rowheader', { name: 'GET /a/301' }).waitFor()
    await page.getByText('1 of 1 found, 302 in all').waitFor()
    await page.getByRole('searchbox').fill('nothing like it')
    await page.getByText('No endpoint contains “nothing like it”').waitFor()
    await page.getByRole('searchbox').fill('')
    await page.getByRole('link', { name: 'Gave up' }).click()
    await expect.poll(async () => (await routes(page))[0]).toBe('/a/301')
    await page.reload()
    expect((await routes(page))[0]).toBe('/a/301')
  })

  it('shares one stream among all tabs, and has none in a hidden tab', async () => {
    let asked = 0
    show(() => {
      asked++
      return document({ generated_at: new Date().toISOString() })
    })
    const context = await browser.newContext()
    onTestFinished(() => context.close())
    const tabs: Page[] = []
    // A browser has six connections to a server.
    for (let tab = 0; tab < 8; tab++) {
      const opened = watch(await context.newPage())
      await opened.goto(`${server.url}/performance`)
      await opened.getByRole('status').getByText('Live').waitFor()
      tabs.push(opened)
    }
    const streams = () =>
      Promise.all(
        tabs.map((tab) =>
          tab.evaluate(
            "performance.getEntriesByType('resource').filter(({ name }) => name.includes('/stream')).length",
          ),
        ),
      )
    expect((await streams()).filter((count) => Number(count) > 0).length).toBeLessThanOrEqual(1)
    const hide = (tab: Page, hidden: boolean) =>
      tab.evaluate(
        `Object.defineProperty(document, 'hidden', { configurable: true, value: ${hidden} }); document.dispatchEvent(new Event('visibilitychange'))`,
      )
    await hide(tabs[0]!, true)
    // Another tab takes the stream over.
    show({ service: 'taken over' })
    await tabs[7]!.getByRole('heading', { name: 'taken over' }).waitFor()
    for (const tab of tabs) await hide(tab, true)
    await page.waitForTimeout(1_500)
    asked = 0
    show(() => {
      asked++
      return document()
    })
    await page.waitForTimeout(1_500)
    expect(asked).toBe(0)
    await hide(tabs[3]!, false)
    await expect.poll(() => asked).toBeGreaterThan(0)
  })

  it.each([
    ['locks', ''],
    // As Firefox does.
    ['locks and channels', "globalThis.BroadcastChannel = class { constructor() { throw new Error('denied') } }"],
  ])('is live where the reader has blocked cookies, and with them %s', async (_what, script) => {
    const { context, close } = await startChromiumWithoutCookies()
    onTestFinished(close)
    const page = watch(await context.newPage())
    await page.addInitScript(script)
    await page.goto(`${server.url}/performance`)
    await expect(page.evaluate('navigator.locks.request("any", () => {})')).rejects.toThrow('SecurityError')
    await page.getByRole('status').getByText('Live').waitFor({ timeout: 10_000 })
    show({ service: 'updated' })
    await page.getByRole('heading', { name: 'updated' }).waitFor({ timeout: 10_000 })
  })

  it('says why it cannot connect', async () => {
    const page = await openLive()
    const status = page.getByRole('status')
    await page.route('**/performance/stream**', (route) =>
      route.fulfill({
        status: 503,
        contentType: 'application/problem+json',
        body: '{"detail":"Only 10 pages can be live at once"}',
      }),
    )
    await page.getByRole('button', { name: 'Pause' }).click()
    await page.getByRole('button', { name: 'Resume' }).click()
    await status.getByText('Not connected: Only 10 pages can be live at once (503)').waitFor()
    await page.unroute('**/performance/stream**')
    await status.getByText('Live').waitFor()
    faults = faults.filter((fault) => !fault.includes('503'))
  })

  it('keeps the targets of a rule open that the reader has opened', async () => {
    const [, pending] = document().alerts as [PageDocument['alerts'][number], PageDocument['alerts'][number]]
    const alerts = [1, 2, 3].map((index) => ({ ...pending, state: 'firing' as const, target: `GET /${index}` }))
    show({ alerts })
    const page = await openLive()
    expect(await page.title()).toBe('(3) crm performance')
    await page.getByText('2 more').click()
    await page.getByText('GET /2').waitFor()
    show({ alerts: alerts.map((alert) => ({ ...alert, value: 777 })), service: 'later' })
    await page.getByRole('heading', { name: 'later' }).waitFor()
    expect(await page.getByText('GET /2').isVisible()).toBe(true)
  })

  it('stands still while it is paused', async () => {
    const page = await openLive()
    await page.getByRole('button', { name: 'Pause' }).click()
    let asked = 0
    show(() => {
      asked++
      return document({ service: 'later' })
    })
    await page.waitForTimeout(1_300)
    expect(await page.getByRole('heading', { level: 1 }).textContent()).toBe('crm')
    expect(await page.getByRole('status').textContent()).toBe('Paused')
    expect(asked).toBe(0)
    await page.getByRole('button', { name: 'Resume' }).click()
    await page.getByRole('heading', { name: 'later' }).waitFor()
  })

  it('comes back after the stream has ended', async () => {
    const page = await openLive()
    show(() => {
      throw new Error('broken')
    })
    await page.waitForTimeout(1_200)
    show({ service: 'again' })
    await page.getByRole('heading', { name: 'again' }).waitFor()
    expect(await page.getByRole('status').textContent()).toBe('Live')
  })

  it('says politely which alerts come and go', async () => {
    const [alert] = document().alerts as [PageDocument['alerts'][number]]
    show({ alerts: [] })
    const page = await openLive()
    const announcer = page.locator('[aria-live=polite]')
    expect(await announcer.textContent()).toBe('')
    show({ alerts: [{ ...alert, target: 'GET /users' }] })
    await expect.poll(() => announcer.textContent()).toBe('firing: Event loop of GET /users, 604 ms')
    show({ alerts: [{ ...alert, target: 'GET /users', state: 'resolved', value: 12 }] })
    await expect.poll(() => announcer.textContent()).toBe('resolved: Event loop of GET /users, 12.0 ms')
  })

  it('keeps the colours that were chosen', async () => {
    const page = await openLive({ colorScheme: 'light' })
    const scheme = () => page.evaluate('getComputedStyle(document.documentElement).colorScheme')
    expect(await scheme()).toBe('light dark')
    await page.getByText('Dark', { exact: true }).click()
    expect(await scheme()).toBe('dark')
    await page.reload()
    expect(await scheme()).toBe('dark')
  })

  it('runs nothing that a route is called', async () => {
    const hostile = '<img src=x onerror="console.log(1)"><script>console.log(2)</script>'
    show({ endpoints: [endpoint('GET', hostile)], service: hostile })
    const page = await openLive()
    await page.getByRole('rowheader', { name: hostile }).waitFor()
    expect(await page.locator('img').count()).toBe(0)
    expect(await page.locator('script').count()).toBe(1)
  })

  it.each([
    { colorScheme: 'light', width: 1_280, height: 844 },
    { colorScheme: 'light', width: 390, height: 844 },
    { colorScheme: 'dark', width: 1_280, height: 844 },
    { colorScheme: 'dark', width: 390, height: 844 },
  ] as const)('has nothing that axe finds wrong, $colorScheme and $width wide', async (look) => {
    const [firing] = document().alerts as [PageDocument['alerts'][number]]
    const breakdown = { pool_ms: 1, database_ms: 5, cache_ms: 1, upstream_ms: 1, loop_ms: 2, rest_ms: 2 }
    const long = `/api/:tenant${'/with-many-segments/and-a-name-that-is-long'.repeat(4)}`
    show({
      alerts: Array.from({ length: 20 }, (_, index) => ({ ...firing, target: `GET ${long}/${index}` })),
      // Rows are alike, and axe takes seconds for each hundred of them.
      endpoints: Array.from({ length: 40 }, (_, index) => endpoint('GET', `${long}/${index}`, { breakdown })),
      admission: { limit: 40, in_flight: 38, shed: 1_204, wait_ms: 96, state: 'shedding', limits: [], shed_by: [] },
    })
    const page = await openLive(look)
    await page.getByRole('button', { name: 'Pause' }).click()
    await page.evaluate(axe)
    const { violations, passes } = (await page.evaluate('axe.run()')) as AxeResults
    expect(violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html.slice(0, 200))])).toEqual([])
    expect(passes.map(({ id }) => id)).toContain('color-contrast')
  })

  it('fits a narrow screen: only tables scroll sideways', async () => {
    const long = `/${'a-name-without-a-break'.repeat(12)}`
    const [firing] = document().alerts as [PageDocument['alerts'][number]]
    show({
      service: 's'.repeat(120),
      alerts: [{ ...firing, target: `GET ${long}`, cause: { ...firing.cause, query: `select ${'x'.repeat(300)}` } }],
      endpoints: [endpoint('GET', long), ...document().endpoints],
    })
    const page = await openLive({ width: 320, height: 700 })
    const { scrollWidth, clientWidth } = (await page.evaluate(
      '({ scrollWidth: document.documentElement.scrollWidth, clientWidth: document.documentElement.clientWidth })',
    )) as Record<string, number>
    expect(scrollWidth).toBe(clientWidth)
    const frame = page.getByRole('group', { name: 'Endpoints' })
    await expect
      .poll(async () => {
        await frame.focus()
        await page.keyboard.press('ArrowRight')
        return frame.evaluate(({ scrollLeft }) => scrollLeft)
      })
      .toBeGreaterThan(0)
  })

  it('shows the most important columns at 1280, however long a route is', async () => {
    show({ endpoints: [endpoint('GET', `/${'a-name-without-a-break'.repeat(12)}`), ...document().endpoints] })
    const page = await openLive()
    const frame = await page.getByRole('group', { name: 'Endpoints' }).boundingBox()
    for (const key of ['p95', 'p99', 'aborted', 'error-rate', 'time']) {
      const head = await page.locator(`th:has([data-sort=${key}])`).boundingBox()
      expect(head!.x + head!.width).toBeLessThanOrEqual(frame!.x + frame!.width + 1)
    }
  })
})
