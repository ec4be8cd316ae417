import { Hono } from 'hono'
import { createCache } from 'posthaste'
import { cacheResponses } from 'posthaste/hono'
import { expect, it, onTestFinished, vi } from 'vitest'

it('reckons the ages and dates of answers by the system time after that was set, or the machine was suspended', async () => {
  const now = Date.now.bind(Date)
  let shift = 0
  const spy = vi.spyOn(Date, 'now').mockImplementation(() => now() + shift)
  onTestFinished(() => spy.mockRestore())
  const cache = createCache({ profiles: { pages: '1h' } })
  onTestFinished(() => cache.close())
  let runs = 0
  const app = new Hono().get('/', cacheResponses(cache, { profile: 'pages' }), (context) => {
    runs += 1
    return context.text('page', 200, { 'cache-control': 'max-age=60' })
  })
  const ask = async () => {
    const { headers } = await app.request('/')
    return { runs, minutesAhead: Math.abs(Math.round((Date.parse(headers.get('date') as string) - now()) / 60_000)) }
  }
  expect(await ask()).toEqual({ runs: 1, minutesAhead: 0 })
  expect(await ask()).toEqual({ runs: 1, minutesAhead: 0 })
  shift = 2 * 60_000
  expect(await ask()).toEqual({ runs: 2, minutesAhead: 2 })
  expect(await ask()).toEqual({ runs: 2, minutesAhead: 2 })
})
