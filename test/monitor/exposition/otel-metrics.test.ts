import {
  AggregationTemporality,
  type Histogram,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics'
import { type MonitorOptions, otelMetrics, PerformanceMonitor } from 'posthaste'
import { afterEach, describe, expect, it } from 'vitest'

const open: Array<() => Promise<void>> = []

afterEach(async () => {
  for (const close of open.splice(0)) await close()
})

describe('OpenTelemetry', () => {
  it('gets the numbers under the names, units and attributes of the semantic conventions', async () => {
    const now = Date.now()
    const { monitor, collect } = connected({ clock: () => now })
    monitor.record('GET', '/users/:id', 200, monitor.start() - 20)
    monitor.record('GET', '/users/:id', 503, monitor.start() - 7_000)
    monitor.record('GET', '/users/:id', 499, monitor.start() - 20, 'aborted')
    monitor.start()
    await new Promise((resolve) => setTimeout(resolve, 150))
    const metrics = await collect()

    const duration = metrics.get('http.server.request.duration')!
    expect(duration.descriptor.unit).toBe('s')
    expect(duration.dataPoints.map(({ attributes }) => attributes)).toEqual([
      { 'http.request.method': 'GET', 'http.route': '/users/:id', 'http.response.status_code': 200 },
      {
        'http.request.method': 'GET',
        'http.route': '/users/:id',
        'http.response.status_code': 503,
        'error.type': '503',
      },
    ])
    const [ok] = duration.dataPoints as Array<{
      value: { count: number; sum: number; buckets: { boundaries: number[] } }
    }>
    expect(ok!.value.count).toBe(1)
    expect(ok!.value.sum).toBeCloseTo(0.02, 3)
    expect(ok!.value.buckets.boundaries).toEqual([
      0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10,
    ])

    const value = (name: string) => metrics.get(name)!.dataPoints[0]!.value as number
    expect([metrics.get('http.server.active_requests')!.descriptor.unit, value('http.server.active_requests')]).toEqual(
      ['{request}', 1],
    )
    expect(metrics.get('process.memory.usage')!.descriptor.unit).toBe('By')
    expect(value('process.memory.usage')).toBeGreaterThan(1e7)
    expect(value('process.cpu.utilization')).toBeGreaterThan(0)
    expect(value('process.cpu.utilization')).toBeLessThan(1.1)
    expect(value('nodejs.eventloop.utilization')).toBeLessThanOrEqual(1)
    expect(metrics.get('nodejs.eventloop.delay.max')!.descriptor.unit).toBe('s')
    expect(value('nodejs.eventloop.delay.max')).toBeGreaterThanOrEqual(value('nodejs.eventloop.delay.p50'))
    expect(
      metrics.get('posthaste.cache.requests')!.dataPoints.map(({ attributes, value }) => [attributes.result, value]),
    ).toEqual([
      ['hit', 7],
      ['miss', 1],
    ])
  })

  it('gets what ended otherwise, timings, stalls, garbage collections and alerts', async () => {
    const { monitor, collect } = connected({ alerts: { aborted: { threshold: 1, minSamples: 1 } } })
    monitor.record('GET', '/x', 499, monitor.start(), 'aborted')
    monitor.record('GET', '/x', 200, monitor.start(), 'stream')
    monitor.recordTiming('db.query', 30)
    const stalled = new Promise((resolve) => monitor.on('stall', resolve))
    const collected = new Promise((resolve) => monitor.onGc(resolve))
    await new Promise((resolve) => setTimeout(resolve, 100))
    const end = performance.now() + 150
    let garbage: unknown
    for (let count = 0; count < 2_000_000 || performance.now() < end; count++) garbage = { garbage: [count] }
    expect(garbage).toBeDefined()
    await Promise.all([stalled, collected])
    const metrics = await collect()
    const points = (name: string) =>
      metrics.get(name)?.dataPoints.map(({ attributes, value }) => ({ attributes, value }))
    const endpoint = { 'http.request.method': 'GET', 'http.route': '/x' }
    expect(points('posthaste.requests.ended_otherwise')).toEqual([
      { attributes: { ...endpoint, outcome: 'aborted' }, value: 1 },
      { attributes: { ...endpoint, outcome: 'stream' }, value: 1 },
    ])
    expect(points('posthaste.timing.duration')).toMatchObject([
      { attributes: { name: 'db.query' }, value: { sum: 0.03 } },
    ])
    expect(points('posthaste.alert.state')).toContainEqual({
      attributes: { alert: 'aborted', target: 'GET /x' },
      value: 2,
    })
    expect(points('posthaste.eventloop.stall.duration')?.[0]?.value).toMatchObject({ min: expect.any(Number) })
    expect(points('v8js.gc.duration')?.[0]?.attributes).toHaveProperty('v8js.gc.type')
  })

  it('gets timings and stalls in the buckets of requests', async () => {
    const { monitor, collect } = connected()
    const stalled = new Promise((resolve) => monitor.on('stall', resolve))
    await new Promise((resolve) => setTimeout(resolve, 50))
    const end = performance.now() + 150
    while (performance.now() < end);
    await stalled
    for (const ms of [3, 30, 300]) monitor.recordTiming('db.query', ms)
    const metrics = await collect()
    const buckets = (name: string) => (metrics.get(name)!.dataPoints[0]!.value as Histogram).buckets
    const { boundaries, counts } = buckets('posthaste.timing.duration')
    expect(boundaries).toEqual(monitor.bucketBounds)
    expect(boundaries.filter((_, place) => counts[place] === 1)).toEqual([0.005, 0.05, 0.5])
    expect(buckets('posthaste.eventloop.stall.duration').boundaries).toEqual(monitor.bucketBounds)
  })

  it('gets no route of requests that no route answered', async () => {
    const { monitor, collect } = connected({ sampleInterval: false })
    monitor.record('GET', '(unmatched)', 404, monitor.start())
    const [point] = (await collect()).get('http.server.request.duration')!.dataPoints
    expect(point!.attributes).toEqual({ 'http.request.method': 'GET', 'http.response.status_code': 404 })
  })

  it('gets all requests that ended otherwise without a route, those of endpoints beyond the limit too', async () => {
    const { monitor, collect } = connected({ sampleInterval: false, maxEndpoints: 1 })
    for (const route of ['(unmatched)', '/a', '/b']) monitor.record('PROPFIND', route, 499, monitor.start(), 'aborted')
    expect((await collect()).get('posthaste.requests.ended_otherwise')!.dataPoints).toMatchObject([
      { attributes: { 'http.request.method': '_OTHER', outcome: 'aborted' }, value: 3 },
    ])
  })

  it('gets the route of an expression that begins with a group', async () => {
    const { monitor, collect } = connected({ sampleInterval: false })
    monitor.record('GET', '(?:jpg|png)\\/(\\d+)', 200, monitor.start())
    const [point] = (await collect()).get('http.server.request.duration')!.dataPoints
    expect(point!.attributes).toMatchObject({ 'http.route': '(?:jpg|png)\\/(\\d+)' })
  })

  it('gets nothing where there is nothing to tell yet', async () => {
    const { collect } = connected({ sampleInterval: false })
    const metrics = await collect()
    const points = (name: string) => metrics.get(name)?.dataPoints ?? []
    for (const name of ['process.cpu.utilization', 'nodejs.eventloop.delay.p50', 'nodejs.eventloop.delay.max']) {
      expect(points(name), name).toEqual([])
    }
    expect(points('process.memory.usage')).toHaveLength(1)
  })

  it('hears nothing more once it is stopped', async () => {
    const { monitor, collect, stop } = connected()
    monitor.record('GET', '/', 200, monitor.start())
    stop()
    monitor.record('GET', '/', 200, monitor.start())
    const metrics = await collect()
    const [point] = metrics.get('http.server.request.duration')!.dataPoints
    expect((point!.value as { count: number }).count).toBe(1)
    expect(metrics.get('http.server.active_requests')?.dataPoints ?? []).toEqual([])
  })
})

function connected(options: MonitorOptions = {}) {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 })
  const provider = new MeterProvider({ readers: [reader] })
  const stats = () => ({ hits: 7, misses: 1, errors: 0, hitRate: 0, errorRate: 0, store: { state: 'up' } })
  const monitor = new PerformanceMonitor({ sampleInterval: '50ms', caches: { main: { stats } }, ...options })
  const stop = otelMetrics(monitor, provider.getMeter('test'))
  open.push(
    () => monitor.close(),
    () => provider.shutdown(),
  )
  const collect = async () => {
    await provider.forceFlush()
    const metrics = exporter.getMetrics().flatMap(({ scopeMetrics }) => scopeMetrics.flatMap((scope) => scope.metrics))
    return new Map(metrics.map((metric) => [metric.descriptor.name, metric]))
  }
  return { monitor, stop, collect }
}
