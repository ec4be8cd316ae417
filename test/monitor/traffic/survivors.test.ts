import { createServer, get, request as send } from 'node:http'
import express from 'express'
import fc from 'fast-check'
import { type AlertEvent, type MonitorOptions, PerformanceMonitor } from 'posthaste'
import { monitorRequests, performanceRoutes } from 'posthaste/express'
import { describe, expect, it, onTestFinished } from 'vitest'
import { frameworks } from '../../support/frameworks.ts'
import { listen } from '../../support/listen.ts'

describe('requests that nobody answers', () => {
  it('are seen when nine of ten clients give up: in an alert, in Apdex, and by name in the slow requests', async () => {
    const monitor = new PerformanceMonitor()
    onTestFinished(() => monitor.close())
    const app = express()
    app.use(monitorRequests(monitor))
    app.get('/ok', (_request, response) => void response.end('ok'))
    app.get('/hang/:id', () => {})
    const port = await listen(createServer(app))
    const alerted = new Promise<AlertEvent>((resolve) => monitor.on('alert', resolve))
    const waiting = Array.from({ length: 450 }, (_, id) =>
      get({ host: '127.0.0.1', port, path: `/hang/${id}`, agent: false }).on('error', () => {}),
    )
    const ask = () =>
      new Promise<void>((resolve) =>
        get({ host: '127.0.0.1', port, path: '/ok', agent: false }, (response) => response.resume().on('end', resolve)),
      )
    await Promise.all(Array.from({ length: 50 }, ask))
    await expect.poll(() => monitor.inFlight).toBe(450)
    await new Promise((resolve) => setTimeout(resolve, 300))
    for (const request of waiting) request.destroy()
    expect(await alerted).toMatchObject({ id: 'aborted', state: 'firing', target: 'GET /hang/:id', threshold: 20 })
    await expect.poll(() => monitor.inFlight).toBe(0)
    const { requests, slow, endpoints } = monitor.snapshot()
    expect(requests).toMatchObject({ count: 50, aborted: 450, errorRate: 0 })
    expect(requests.apdex).toBeLessThan(0.2)
    expect(slow[0]).toMatchObject({ method: 'GET', route: '/hang/:id', status: 499, outcome: 'aborted' })
    expect(endpoints.find(({ route }) => route === '/hang/:id')).toMatchObject({ apdex: 0, count: 0, aborted: 450 })
  })

  it('are seen while they are under way, with an endpoint that has never answered', () => {
    const { monitor, clock, open } = recorder()
    open('/hang')
    open('/hang')
    clock.now += 501
    open('/hang')
    expect(monitor.snapshot()).toMatchObject({
      requests: { count: 0, unanswered: 2, inFlight: 3, oldestMs: 501, apdex: 0.5 },
      endpoints: [{ method: 'GET', route: '/hang', total: 0, unanswered: 2, apdex: 0.5 }],
      slow: [
        { route: '/hang', status: 0, outcome: 'unanswered', ms: 501 },
        { route: '/hang', status: 0, outcome: 'unanswered', ms: 501 },
      ],
    })
    clock.now += 1_500
    expect(monitor.snapshot().requests).toMatchObject({ unanswered: 3, oldestMs: 2_001 })
    expect(monitor.snapshot().requests.apdex).toBeCloseTo(0.5 / 3)
    clock.now += 27_999
    expect(monitor.alerts()).toEqual([])
    clock.now += 1
    expect(monitor.alerts()).toMatchObject([
      { id: 'in_flight', state: 'firing', target: 'GET /hang', value: 30_001, threshold: 30_000, samples: 3 },
    ])
  })

  it('are not those that last long by nature, or were taken out of the statistics', () => {
    const { monitor, clock, open } = recorder()
    open('/events', { isLongLived: true })
    const own = open('/performance/stream')
    monitor.setRoute(own, null)
    clock.now += 60_000
    expect(monitor.alerts()).toEqual([])
    const { requests, slow } = monitor.snapshot()
    expect({ requests, slow }).toMatchObject({
      requests: { unanswered: 0, oldestMs: null, inFlight: 1, apdex: null },
      slow: [],
    })
  })

  it('are added up over a fleet', async () => {
    const { monitor, clock, open } = recorder()
    open('/hang')
    clock.now += 3_000
    const { requests, endpoints } = await monitor.fleetSnapshot()
    expect({ requests, endpoints }).toMatchObject({
      requests: { unanswered: 1, oldestMs: 3_000, apdex: 0 },
      endpoints: [{ route: '/hang', unanswered: 1 }],
    })
  })

  it('are not those of clients that change their mind at once', () => {
    const { monitor, clock } = recorder()
    monitor.record('GET', '/suggest', 499, clock.now - 99, 'aborted')
    expect(monitor.snapshot()).toMatchObject({ requests: { aborted: 1, apdex: null }, slow: [] })
    monitor.record('GET', '/suggest', 499, clock.now - 100, 'aborted')
    expect(monitor.snapshot()).toMatchObject({ requests: { aborted: 2, apdex: 0 }, slow: [{ outcome: 'aborted' }] })
  })
})

describe('Apdex', () => {
  it('is that of a model in which errors and clients that gave up are frustrated', () => {
    // Far from the bounds of T and 4 T, because latencies are known to a bucket.
    const ms = fc.constantFrom(1, 50, 300, 700, 1_500, 2_500, 60_000)
    const request = fc.record({ ms, status: fc.constantFrom(200, 404, 500, 503), isAborted: fc.boolean() })
    fc.assert(
      fc.property(fc.array(request), (requests) => {
        const { monitor, clock } = recorder()
        let [all, score] = [0, 0]
        for (const { ms, status, isAborted } of requests) {
          monitor.record('GET', '/', status, clock.now - ms, isAborted ? 'aborted' : 'completed')
          if (isAborted && ms < 100) continue
          all++
          if (!isAborted && status < 500) score += ms < 500 ? 1 : ms < 2_000 ? 0.5 : 0
        }
        const { apdex } = monitor.snapshot().requests
        if (all === 0) expect(apdex).toBe(null)
        else expect(apdex).toBeCloseTo(score / all)
      }),
      { numRuns: Number(process.env.RUNS ?? 100) },
    )
  })
})

describe('the number of requests in flight', () => {
  it('is that of a model, whatever is started, taken out and recorded in whatever order', () => {
    const command = fc.record({
      kind: fc.constantFrom('start', 'start', 'record', 'exclude', 'stray record', 'stray exclude', 'tick'),
      pick: fc.nat(),
    })
    fc.assert(
      fc.property(fc.array(command, { maxLength: 120 }), (commands) => {
        const { monitor, clock, openAt } = recorder()
        const open: { original: object; startedAt: number; isExcluded: boolean }[] = []
        for (const { kind, pick } of commands) {
          const entry = open[pick % Math.max(1, open.length)]
          if (kind === 'start') {
            // Of two requests that start in the same microsecond, nobody can tell which one is recorded.
            clock.now += 1
            open.push({ ...openAt('/x'), isExcluded: false })
          }
          if (kind === 'tick') clock.now += 7
          if (kind === 'stray record') monitor.record('GET', '/x', 200, clock.now - 3.5)
          if (kind === 'stray exclude') monitor.setRoute({}, null)
          if (entry !== undefined && kind === 'exclude') {
            monitor.setRoute(entry.original, null)
            entry.isExcluded = true
          }
          if (entry !== undefined && kind === 'record') {
            monitor.record('GET', entry.isExcluded ? null : '/x', 200, entry.startedAt)
            open.splice(open.indexOf(entry), 1)
          }
          expect(monitor.inFlight).toBe(open.filter(({ isExcluded }) => !isExcluded).length)
        }
      }),
      { numRuns: Number(process.env.RUNS ?? 100) },
    )
  })

  it('is not drained by probes of routes that stand before the measurement, or in another application', async () => {
    const monitor = new PerformanceMonitor({ sampleInterval: false })
    const app = express()
    app.use('/early', performanceRoutes(monitor))
    app.use(monitorRequests(monitor))
    app.use(performanceRoutes(monitor))
    app.get('/hang', () => {})
    const port = await listen(createServer(app))
    const apart = await frameworks.Hono!(monitor)
    onTestFinished(async () => {
      await apart.close()
      await monitor.close()
    })
    const waiting = Array.from({ length: 5 }, () => {
      const request = send({ host: '127.0.0.1', port, path: '/hang', agent: false }).on('error', () => {})
      return request.end()
    })
    await expect.poll(() => monitor.inFlight).toBe(5)
    for (const path of ['/early/health', '/health/live', '/early/performance/stats', '/performance/metrics']) {
      await (await fetch(`http://127.0.0.1:${port}${path}`)).text()
      await (await fetch(`${apart.url}/health/ready`)).text()
    }
    expect(monitor.inFlight).toBe(5)
    for (const request of waiting) request.destroy()
    await expect.poll(() => monitor.inFlight).toBe(0)
  })
})

function recorder(options: MonitorOptions = {}) {
  const clock = { now: 10_000_000 }
  const monitor = new PerformanceMonitor({ sampleInterval: false, clock: () => clock.now, disk: false, ...options })
  const openAt = (route: string, changes: { isLongLived?: boolean } = {}) => {
    const original = {}
    const startedAt = monitor.start({ original, method: 'GET', route, isLongLived: false, ...changes })
    return { original, startedAt }
  }
  return { monitor, clock, openAt, open: (...given: Parameters<typeof openAt>) => openAt(...given).original }
}
