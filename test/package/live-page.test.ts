import { Hono } from 'hono'
import { expect, it } from 'vitest'
import { defineDashboard } from '../../scripts/dashboard.ts'
import { packed } from './support/packed.ts'

type Root = typeof import('../../src/index.ts')
type OnHono = typeof import('../../src/hono.ts')

it('serves the script and the style that are tested in a browser', async () => {
  const { PerformanceMonitor } = (await import(`${packed}/dist/index.js`)) as Root
  const { performanceRoutes } = (await import(`${packed}/dist/hono.js`)) as OnHono
  const monitor = new PerformanceMonitor()
  const app = new Hono().use(performanceRoutes(monitor, { authorize: () => true }))

  const page = await (await app.request('/performance', { headers: { accept: 'text/html' } })).text()

  const { DASHBOARD_SCRIPT, DASHBOARD_STYLE } = defineDashboard()
  expect(page).toContain(JSON.parse(DASHBOARD_SCRIPT))
  expect(page).toContain(JSON.parse(DASHBOARD_STYLE))
  await monitor.close()
})
