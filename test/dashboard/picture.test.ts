import { expect, it } from 'vitest'
import type { PageDocument } from '../../src/dashboard/document.ts'
import { pagePolicy, renderPage } from '../../src/dashboard/page.ts'
import { chromiumPath, startChromium } from './chromium.ts'
import { document } from './fixture.ts'

/** Set to draw the pictures of the documentation anew. */
const isUpdating = process.env.UPDATE_PICTURES === '1'
const seconds = isUpdating ? 300 : 30

/** The last seconds of a service with a stall now and then, one document each, the last one at the given time. */
function documentsUntil(end: number): PageDocument[] {
  const base = document()
  const { requests, system, alerts, slow } = base
  const before = (count: number) => new Date(end - count * 1_000).toISOString()
  let total = requests.total
  return Array.from({ length: seconds }, (_, second) => {
    const noise = (Math.sin(second * 12.9898) * 43_758.5453) % 1
    const wave = (middle: number, swing: number) =>
      middle * (1 + swing * (Math.sin(second / 41) + Math.sin(second / 11) / 3 + noise / 5))
    const isStalled = second % 97 === 40
    total += Math.round(wave(28, 0.3))
    return document({
      generated_at: before(seconds - 1 - second),
      uptime_ms: base.uptime_ms + second * 1_000,
      requests: {
        ...requests,
        total,
        in_flight: Math.max(0, Math.round(wave(4, 0.6))),
        status: { ...requests.status, '5xx': Math.round(wave(41, 0.3)), '4xx': Math.round(wave(80, 0.1)) },
        latency_ms: {
          ...requests.latency_ms,
          p50: wave(7.2, 0.05),
          p95: wave(30.2, 0.1),
          p99: wave(101, 0.15),
        },
        corrected_ms: { p50: 7.3, p95: wave(58, 0.1), p99: 402.4, affected: 137 },
      },
      system: {
        ...system,
        cpu_percent: wave(31, 0.25),
        memory_percent: 39 + second / 140,
        event_loop: {
          ...system.event_loop,
          utilization: wave(0.22, 0.3),
          delay_ms: { p50: 0.12, p99: isStalled ? 85 : wave(1.9, 0.2), max: isStalled ? 604 : wave(12, 0.3) },
        },
      },
      alerts: alerts.map((alert, index) => ({ ...alert, since: before([227, 19, 288][index] ?? 0) })),
      slow: slow.map((request, index) => ({ ...request, at: before([28, 117][index] ?? 0) })),
    })
  })
}

it.skipIf(chromiumPath === undefined)(
  'draws every document of the stream, as the pictures of the documentation show',
  {
    timeout: 60_000,
  },
  async () => {
    const documents = documentsUntil(Date.parse('2026-01-05T12:04:59.000Z'))
    const browser = await startChromium()
    try {
      for (const colorScheme of isUpdating ? (['light', 'dark'] as const) : (['light'] as const)) {
        const page = await browser.newPage({ colorScheme, viewport: { width: 1_280, height: 1_230 } })
        await page.route('http://page.test/**', (route) =>
          route.request().url().includes('/stream')
            ? route.fulfill({
                contentType: 'text/event-stream',
                body: documents.map((each) => `data: ${JSON.stringify(each)}\n\n`).join(''),
              })
            : route.fulfill({
                contentType: 'text/html; charset=utf-8',
                headers: { 'content-security-policy': pagePolicy('n') },
                body: renderPage(document(), { query: new URLSearchParams(), nonce: 'n' }),
              }),
        )
        await page.goto('http://page.test/performance')
        await page.getByRole('status').getByText('Live').waitFor()
        await page.getByText('12:04:59 UTC').waitFor()
        const drawn = await page.locator('path.red').first().getAttribute('d')
        expect(drawn?.split('L')).toHaveLength(seconds)
        if (isUpdating) {
          await page.screenshot({ path: colorScheme === 'light' ? 'docs/dashboard.png' : 'docs/dashboard-dark.png' })
        }
        await page.close()
      }
    } finally {
      await browser.close()
    }
  },
)
