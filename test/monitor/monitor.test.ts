import { execFileSync } from 'node:child_process'
import { type MonitorOptions, type Outcome, PerformanceMonitor } from 'posthaste'
import { describe, expect, it, vi } from 'vitest'
import { systemReaders } from '../../src/monitor/system/readers.ts'

describe('recording', () => {
  it('keeps outcomes apart: only completed requests enter percentiles, statuses and rates', () => {
    const { monitor, request } = recorder()
    request({ ms: 10, status: 200 })
    request({ ms: 20, status: 503 })
    request({ ms: 9_000, outcome: 'aborted' })
    request({ ms: 3_600_000, outcome: 'stream' })
    request({ ms: 3_600_000, outcome: 'upgrade' })
    const { requests, endpoints } = monitor.snapshot()
    expect(requests).toMatchObject({
      total: 5,
      count: 2,
      aborted: 1,
      streams: 1,
      upgrades: 1,
      errorRate: 0.5,
      status: { '2xx': 1, '5xx': 1 },
    })
    expect(requests.latencyMs.max).toBe(20)
    expect(endpoints[0]).toMatchObject({ total: 5, count: 2, status: { 200: 1, 503: 1 } })
  })

  it('adds up all endpoints from their histograms, not from their percentiles', () => {
    const { monitor, request } = recorder()
    for (let count = 0; count < 90; count++) request({ route: '/fast', ms: 10 })
    for (let count = 0; count < 10; count++) request({ route: '/slow', ms: 1_000 })
    const { p50, p90, p95 } = monitor.snapshot().requests.latencyMs
    expect([p50, p90, p95].map((ms) => Math.round(ms! / 10) * 10)).toEqual([10, 10, 1_000])
  })

  it('counts what is in flight from start to record, or until it is taken out of the statistics', () => {
    const { monitor } = recorder()
    const [first, second] = [monitor.start(), monitor.start()]
    expect(monitor.inFlight).toBe(2)
    monitor.record('GET', '/', 200, first)
    expect(monitor.inFlight).toBe(1)
    const own = {}
    const third = monitor.start({ original: own, method: 'GET', route: '/', isLongLived: false })
    monitor.setRoute(own, null)
    monitor.setRoute(own, null)
    expect([monitor.inFlight, monitor.routeOf(own)]).toEqual([1, null])
    monitor.record('GET', null, 200, third)
    expect(monitor.inFlight).toBe(1)
    monitor.record('GET', null, 200, second)
    expect(monitor.inFlight).toBe(0)
    expect(monitor.snapshot().requests.total).toBe(1)
    const changed = monitor.start() - 20
    monitor.record('GET', '/', 200, changed)
    expect(monitor.inFlight).toBe(0)
    monitor.record('GET', '/', 200, first)
    expect(monitor.inFlight).toBe(0)
  })

  it('clamps impossible durations into the histogram, and counts them', () => {
    const { monitor, request } = recorder()
    for (const ms of [-5, 0, Number.NaN, 5_000_000]) request({ ms })
    request({ ms: 1 })
    const { requests, self } = monitor.snapshot()
    expect(self.clamped).toBe(4)
    expect(requests.count).toBe(5)
    expect(requests.latencyMs.min).toBe(0.001)
    expect(requests.latencyMs.max).toBe(4_294_967.295)
  })

  it('counts routes that are no texts as one, whose metrics can be read', async () => {
    const { monitor } = recorder()
    const routes = [undefined, 5, {}, Promise.resolve('x'), Symbol('x'), ['/x']]
    for (const route of routes) monitor.record('GET', route as never, 200, monitor.start())
    expect(monitor.snapshot().endpoints).toMatchObject([{ method: 'GET', route: '_OTHER', count: routes.length }])
    let text = ''
    for await (const piece of monitor.prometheus()) text += piece
    expect(text).toContain('http_route="_OTHER"')
  })

  it('takes any status, and any method as _OTHER', async () => {
    const { monitor, request } = recorder()
    request({ status: 0 })
    request({ status: 999 })
    request({ status: Number.NaN })
    request({ method: 'BREW', status: 418 })
    request({ method: 'BREW', status: 418 })
    request({ method: 'QUERY' })
    const { endpoints, requests } = monitor.snapshot()
    expect(requests.status).toEqual({ other: 3, '4xx': 2, '2xx': 1 })
    let metrics = ''
    for await (const piece of monitor.prometheus()) metrics += piece
    expect(metrics).toContain('http_response_status_code="0"} 3\n')
    expect(metrics).not.toContain('NaN')
    expect(endpoints.map(({ method, total }) => `${method} ${total}`).sort()).toEqual(['GET 3', 'QUERY 1', '_OTHER 2'])
  })

  it('counts the statuses of an endpoint in whatever order they come', async () => {
    const { monitor, request } = recorder()
    for (const status of [200, 404, 200, 404, 200]) request({ status })
    expect(monitor.endpoint('GET', '/')?.status).toEqual({ 200: 3, 404: 2 })
    const text = (await Array.fromAsync(monitor.prometheus({ naming: 'classic' }))).join('')
    expect(text).toContain('http_request_duration_seconds_count{method="GET",route="/",status_code="200"} 3\n')
    expect(text).toContain('http_request_duration_seconds_count{method="GET",route="/",status_code="404"} 2\n')
  })

  it('has room for so many endpoints, and one more for the rest', () => {
    const { monitor, request } = recorder({ maxEndpoints: 10 })
    for (let number = 0; number < 20_000; number++) request({ route: `/unknown/${number}` })
    const { endpoints, self, requests } = monitor.snapshot({ sort: 'count' })
    expect(endpoints).toHaveLength(11)
    expect(endpoints[0]).toMatchObject({ route: '(overflow)', count: 19_990 })
    expect(self).toMatchObject({ endpoints: 11, overflow: 19_990 })
    expect(requests.count).toBe(20_000)
    expect(monitor.endpoint('GET', '(overflow)')?.count).toBe(19_990)
    expect(self.memoryBytes).toBeLessThan(11 * 64 * 1_024)
  })

  it('clamps impossible timings too', () => {
    const { monitor } = recorder()
    for (const ms of [-1, Number.NaN, 3]) monitor.recordTiming('mail', ms)
    const { timings, self } = monitor.snapshot()
    expect(self.clamped).toBe(2)
    expect(timings.mail).toMatchObject({ count: 3, latencyMs: { min: 0.001, max: 3 } })
  })

  it('has timings by name, of values, functions and failures alike', async () => {
    const { monitor, clock } = recorder()
    monitor.recordTiming('db.query', 12)
    await expect(
      monitor.time('job', async () => {
        clock.now += 30
        return 'done'
      }),
    ).resolves.toBe('done')
    const failure = new Error('no')
    await expect(
      monitor.time('job', () => {
        clock.now += 50
        throw failure
      }),
    ).rejects.toBe(failure)
    const { timings } = monitor.snapshot()
    expect(timings['db.query']).toMatchObject({ count: 1, latencyMs: { max: 12 } })
    expect(timings.job).toMatchObject({ count: 2, latencyMs: { min: 30, max: 50 } })
  })

  it('has a place for so many timings, and one more for the rest', () => {
    const { monitor } = recorder({ maxEndpoints: 3 })
    for (let number = 0; number < 10; number++) monitor.recordTiming(`t${number}`, 1)
    const { timings } = monitor.snapshot()
    expect(Object.keys(timings)).toEqual(['t0', 't1', 't2', '(overflow)'])
    expect(timings['(overflow)']?.count).toBe(7)
  })
})

describe('documents', () => {
  it('list the endpoints that are asked for, in the order that is asked for', () => {
    const { monitor, request } = recorder()
    for (let count = 0; count < 3; count++) request({ route: '/often', ms: 1 })
    request({ route: '/slow', ms: 900 })
    request({ route: '/failing', ms: 2, status: 500 })
    request({ method: 'POST', route: '/failing', ms: 2 })
    const routes = (query: Parameters<typeof monitor.snapshot>[0]) =>
      monitor.snapshot(query).endpoints.map(({ method, route }) => `${method} ${route}`)
    expect(routes({ sort: 'p95', limit: 1 })).toEqual(['GET /slow'])
    expect(routes({ sort: 'errors', limit: 1 })).toEqual(['GET /failing'])
    expect(routes({ limit: 1 })).toEqual(['GET /often'])
    expect(routes({ route: '/failing', method: 'POST' })).toEqual(['POST /failing'])
    expect(monitor.snapshot({ route: '/slow' }).requests.count).toBe(6)
  })

  it('keep the latest slow requests, with the trace they belong to', () => {
    const { monitor, request } = recorder({ slow: { threshold: '100ms', keep: 2 } })
    const told: string[] = []
    monitor.on('slow', ({ route }) => told.push(route))
    request({ route: '/a', ms: 101 })
    request({ route: '/b', ms: 100 })
    request({ route: '/c', ms: 102, traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' })
    request({ route: '/d', ms: 103, traceparent: 'nonsense' })
    const { slow } = monitor.snapshot()
    expect(slow.map(({ route, ms, traceId }) => [route, ms, traceId])).toEqual([
      ['/d', 103, null],
      ['/c', 102, '0af7651916cd43dd8448eb211c80319c'],
    ])
    expect(told).toEqual(['/a', '/c', '/d'])
  })

  it('asks for the trace of slow requests alone', () => {
    const { monitor, clock } = recorder({ slow: { threshold: '100ms' } })
    const asked: string[] = []
    for (const [route, ms] of [
      ['/fast', 99],
      ['/slow', 101],
    ] as const) {
      monitor.record('GET', route, 200, clock.now - ms, 'completed', () => {
        asked.push(route)
        return '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
      })
    }
    expect(asked).toEqual(['/slow'])
    expect(monitor.snapshot().slow).toMatchObject([{ route: '/slow', traceId: '0af7651916cd43dd8448eb211c80319c' }])
  })

  it('have the Apdex of the slow threshold', () => {
    const { monitor, request } = recorder({ slow: { threshold: '100ms' } })
    for (const ms of [10, 90, 150, 300, 1_000]) request({ ms })
    expect(monitor.snapshot().requests.apdex).toBe((2 + 2 / 2) / 5)
  })

  it('have what caches did in the window, not since their start', () => {
    const { monitor, clock, counters } = withCache()
    counters.hits = 1_090
    counters.misses = 10
    expect(monitor.snapshot().cache).toEqual({
      main: { hits: 90, misses: 10, errors: 0, hitRate: 0.9, errorRate: 0, state: 'up' },
    })
    for (let minute = 0; minute < 6; minute++) {
      clock.now += 60_000
      monitor.snapshot()
    }
    expect(monitor.snapshot().cache.main).toMatchObject({ hits: 0, misses: 0, hitRate: null, errorRate: null })
    // Another cache in its place, which has done as much, but had fewer errors.
    counters.errors = 1
    expect(monitor.snapshot().cache.main).toMatchObject({ hits: 1_090, errors: 1, errorRate: 1 / 1_100 })
    counters.hits = 5
    expect(monitor.snapshot().cache.main).toMatchObject({ hits: 5 })
  })

  it('have sections of other sources, and go without one that throws', () => {
    const warn = vi.fn()
    const { monitor } = recorder({ onWarn: warn })
    const remove = monitor.addSource('database', () => ({ queries: [1], slow: [], nPlusOne: [] }))
    monitor.addSource('compression', () => ({ savedBytes: 5 }))
    monitor.addSource('broken', () => {
      throw new Error('not today')
    })
    const { database, additions } = monitor.snapshot()
    expect(database).toEqual({ queries: [1], slow: [], nPlusOne: [] })
    expect(additions).toEqual({ compression: { savedBytes: 5 } })
    expect(warn).toHaveBeenCalledWith({ code: 'MONITOR_SOURCE', message: "The source 'broken' threw: not today" })
    remove()
    expect(monitor.snapshot().database).toBeNull()
  })

  it.each<unknown>([
    5,
    [],
    {},
    { queries: 5n, slow: [], nPlusOne: [] },
    { queries: [], slow: null, nPlusOne: [] },
    { queries: [], slow: [], nPlusOne: 'none' },
    { queries: [], slow: [], nPlusOne: [], abandoned: { cancelled: 1n, dequeued: 0, refused: 0 } },
    { queries: [], slow: [], nPlusOne: [], autoBatch: { queries: 1, statements: 1 } },
  ])('go without a section `database` that is none', (section) => {
    const warn = vi.fn()
    const { monitor } = recorder({ onWarn: warn })
    monitor.addSource('database', () => section as never)
    expect(monitor.snapshot().database).toBeNull()
    expect(warn).toHaveBeenCalledWith({
      code: 'MONITOR_SOURCE',
      message: expect.stringContaining("The source 'database' threw: it returned no database section"),
    })
  })

  it('go without a cache whose statistics cannot be read, and judge the alerts all the same', async () => {
    const warn = vi.fn()
    const good = { hits: 1, misses: 1, errors: 0, hitRate: 0.5, errorRate: 0, store: { state: 'up' } }
    const broken: (() => unknown)[] = [
      () => {
        throw new Error('gone')
      },
      () => ({ ...good, hits: undefined }),
      () => ({ ...good, misses: Number.NaN }),
      () => ({ ...good, misses: -1 }),
      () => ({ ...good, errors: 0.5 }),
      () => ({ ...good, hits: 2 ** 60 }),
      () => ({ ...good, store: { state: 5 } }),
      () => ({ ...good, store: undefined }),
      () => undefined,
    ]
    let read: () => unknown = () => good
    const caches = { main: { stats: () => good }, other: { stats: () => read() } } as MonitorOptions['caches']
    const { monitor, request } = recorder({
      caches,
      onWarn: warn,
      alerts: { errorRate: { threshold: 1, minSamples: 1 } },
    })
    request({ status: 500 })
    expect(Object.keys(monitor.snapshot().cache)).toEqual(['main', 'other'])
    for (read of broken) {
      expect(Object.keys(monitor.snapshot().cache)).toEqual(['main'])
      expect(monitor.alerts().map(({ id }) => id)).toEqual(['error_rate'])
      let text = ''
      for await (const piece of monitor.prometheus()) text += piece
      expect(text).toContain('posthaste_cache_requests_total{cache="main",result="hit"} 1\n')
      expect(text).not.toMatch(/ (?:undefined|NaN)$|other/m)
      monitor.reset()
      request({ status: 500 })
    }
    expect(warn.mock.calls.map(([{ code }]) => code)).toEqual(['MONITOR_CACHE'])
    read = () => good
    expect(monitor.snapshot().cache.other).toMatchObject({ hits: 0, state: 'up' })
  })

  it('keep a source that took the place of one that is taken away', () => {
    const { monitor } = recorder()
    const remove = monitor.addSource('build', () => 1)
    monitor.addSource('build', () => 2)
    remove()
    expect(monitor.snapshot().additions).toEqual({ build: 2 })
  })

  it('list endpoints without a percentile last', () => {
    const { monitor, request } = recorder()
    request({ route: '/events', ms: 9_000, outcome: 'stream' })
    request({ route: '/fast', ms: 1 })
    request({ route: '/slow', ms: 100 })
    const { endpoints } = monitor.snapshot({ sort: 'p95' })
    expect(endpoints.map(({ route }) => route)).toEqual(['/slow', '/fast', '/events'])
  })

  it('have no disks where none is to be looked at', async () => {
    const { monitor } = recorder({ disk: false })
    await monitor.sample()
    expect(monitor.snapshot().system).toMatchObject({ disk: [], diskPercent: null })
  })

  it('are the same when they are made in turns, between which the event loop goes on', async () => {
    const now = 1.7e12
    const monitor = new PerformanceMonitor({ sampleInterval: false, maxEndpoints: 3_000, clock: () => now })
    for (let number = 0; number < 3_000; number++) monitor.record('GET', `/${number}`, 200, now - number)
    let turns = 0
    const count = () => {
      turns++
      turning = setImmediate(count)
    }
    let turning = setImmediate(count)
    const inTurns = await monitor.snapshotInTurns({ sort: 'p95', limit: 3_000 })
    clearImmediate(turning)
    const { requests, endpoints } = monitor.snapshot({ sort: 'p95', limit: 3_000 })
    expect(inTurns).toMatchObject({ requests, endpoints })
    expect(turns).toBeGreaterThan(2)
    await monitor.close()
  })

  it('say nothing of stalls and garbage collections where nobody measures them', async () => {
    await using monitor = new PerformanceMonitor({ sampleInterval: false, alerts: { inFlight: '0s' } })
    monitor.start()
    globalThis.gc?.()
    block(100)
    await monitor.sample()
    const { system, alerts } = monitor.snapshot()
    expect([system.eventLoop.stalls, system.gc, system.eventLoop.delayMs]).toEqual([null, null, null])
    expect(alerts.map(({ id, cause }) => [id, cause.stall, cause.gc])).toEqual([['in_flight', null, null]])
    let text = ''
    for await (const piece of monitor.prometheus()) text += piece
    expect(text).not.toMatch(/^nodejs_(?:gc_pause|eventloop_stall)/m)
  })

  it('begin anew after a reset', () => {
    const { monitor, request } = recorder()
    request({ ms: 5_000 })
    monitor.recordTiming('x', 1)
    monitor.reset()
    request({ ms: 1 })
    const { requests, timings, slow, endpoints } = monitor.snapshot()
    expect(requests).toMatchObject({ total: 1, count: 1 })
    expect([timings, slow, endpoints.length]).toEqual([{}, [], 1])
  })
})

describe('a monitor', () => {
  it('asks who wants to be ignored, and keeps the label of a request', () => {
    const { monitor } = recorder({ ignore: (method, path) => method === 'GET' && path === '/ping' })
    expect([monitor.ignores('GET', '/ping'), monitor.ignores('POST', '/ping')]).toEqual([true, false])
    const request = {}
    monitor.setRoute(request, '/rpc/user.get')
    expect(monitor.routeOf(request)).toBe('/rpc/user.get')
    expect(monitor.routeOf({})).toBeUndefined()
  })

  it('says why requests should be turned away, by the last sample', async () => {
    await using calm = new PerformanceMonitor({ sampleInterval: '20ms' })
    await using full = new PerformanceMonitor({ sampleInterval: false, overload: { heap: 0 } })
    await using slow = new PerformanceMonitor({ sampleInterval: '1h', overload: { eventLoop: '30ms' } })
    expect(calm.overload()).toBeUndefined()
    expect(full.overload()).toMatchObject({ kind: 'heap', limit: 0 })
    for (let turn = 0; turn < 6; turn++) {
      block(70)
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
    await slow.sample()
    const reason = slow.overload()
    expect(reason).toMatchObject({ kind: 'event_loop', limit: 30 })
    expect(reason!.value).toBeGreaterThan(30)
  })

  it('turns requests away when the limit of its cgroup is near, but not for a machine that is full', async () => {
    const files: Record<string, string> = {
      '/proc/self/cgroup': '0::/\n',
      '/sys/fs/cgroup/memory.max': '1000\n',
      '/sys/fs/cgroup/memory.current': '990\n',
      '/sys/fs/cgroup/memory.stat': 'inactive_file 10\n',
    }
    const readText = vi.spyOn(systemReaders, 'readText').mockImplementation((path) => files[path])
    try {
      await using limited = new PerformanceMonitor({ sampleInterval: false })
      expect(limited.overload()).toEqual({ kind: 'memory', value: 98, limit: 97 })
      delete files['/sys/fs/cgroup/memory.max']
      await using unlimited = new PerformanceMonitor({ sampleInterval: false, overload: { memory: 0 } })
      expect(unlimited.overload()).toBeUndefined()
    } finally {
      readText.mockRestore()
    }
  })

  it('knows no endpoint that was not seen', () => {
    const { monitor, request } = recorder()
    request({ route: '/seen' })
    expect(monitor.endpoint('GET', '/seen')?.count).toBe(1)
    expect(monitor.endpoint('POST', '/seen')).toBeUndefined()
  })

  it('counts without the correction of stalls, if asked', () => {
    const { monitor, clock } = recorder({ stallCorrection: false })
    const startedAt = monitor.start()
    expect(startedAt).toBe(clock.now)
    clock.now += 40
    monitor.record('GET', '/', 200, startedAt)
    expect(monitor.endpoint('GET', '/')).toMatchObject({ count: 1, latencyMs: { max: 40 }, correctedMs: null })
  })

  it('tells how long a slow request waited for the loop before it was read', async () => {
    const { monitor, clock } = recorder({ slow: { threshold: '1ms' } })
    await turn(() => {
      monitor.start()
      block(60)
      clock.now += 60
    })
    await turn(() => {
      const startedAt = monitor.start()
      clock.now += 5
      monitor.record('GET', '/', 200, startedAt)
    })
    for (let turns = 0; turns < 5; turns++) await turn(() => {})
    const [slow] = monitor.snapshot().slow
    expect(slow).toMatchObject({ route: '/', ms: 5 })
    expect(slow!.stallMs).toBeGreaterThan(25)
    await monitor.close()
  })

  it('does not add the wait of a slow request to the one that has taken its place in the list', async () => {
    const { monitor, clock } = recorder({ slow: { threshold: '1ms', keep: 1 } })
    let early = 0
    await turn(() => {
      early = monitor.start()
      block(60)
      clock.now += 60
    })
    await turn(() => {
      const first = monitor.start()
      clock.now += 5
      for (const startedAt of [first, monitor.start(), early]) {
        clock.now += 5
        monitor.record('GET', '/', 200, startedAt)
      }
    })
    for (let turns = 0; turns < 5; turns++) await turn(() => {})
    expect(monitor.snapshot().slow).toMatchObject([{ ms: 80, stallMs: 0 }])
    await monitor.close()
  })

  it('without a timer samples the system when it is asked', async () => {
    await using monitor = new PerformanceMonitor({ sampleInterval: false })
    expect(monitor.system().cpuPercent).toBeNull()
    block(510)
    expect(monitor.snapshot().system.cpuPercent).toBeGreaterThan(0)
    expect(monitor.snapshot().system.eventLoop.delayMs).toBeNull()
  })

  it('measures what an `ignore` that throws was asked for, and survives an `onWarn` that throws', () => {
    const emit = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    const fail = (what: string) => () => {
      throw new Error(what)
    }
    const { monitor } = recorder({ ignore: fail('who?'), onWarn: fail('not me') })
    expect(monitor.ignores('GET', '/')).toBe(false)
    expect(emit.mock.calls).toEqual([
      [
        '`ignore` threw, so the request is measured: who? (`onWarn` threw: not me)',
        { type: 'PosthasteWarning', code: 'MONITOR_IGNORE' },
      ],
    ])
    emit.mockRestore()
  })

  it.each([
    ['resolves', async () => true],
    ['rejects', () => Promise.reject(new Error('later'))],
  ])('measures what an `ignore` was asked for that returns a promise which %s, and says so', async (_how, ignore) => {
    const onWarn = vi.fn()
    const { monitor } = recorder({ ignore: ignore as never, onWarn })
    expect(monitor.ignores('GET', '/')).toBe(false)
    await new Promise(setImmediate)
    const message = '`ignore` returned a promise, so the request is measured'
    expect(onWarn.mock.calls).toEqual([[{ code: 'MONITOR_IGNORE', message }]])
  })

  it.each([
    ['resolves', async () => [1]],
    ['rejects', () => Promise.reject(new Error('later'))],
  ])('survives a `processes` that returns a promise which %s, and says so', async (_how, processes) => {
    const onWarn = vi.fn()
    await using monitor = new PerformanceMonitor({ sampleInterval: false, processes: processes as never, onWarn })
    await monitor.sample()
    await new Promise(setImmediate)
    expect(monitor.system().processes).toEqual([])
    expect(onWarn.mock.calls).toEqual([
      [
        {
          code: 'MONITOR_SAMPLE',
          message: expect.stringContaining('`processes` to return a list of ids, got a promise'),
        },
      ],
    ])
  })

  it.each(['completed', 'aborted'] as const)(
    'counts a %s request whose `traceparent` cannot be read',
    async (outcome) => {
      const { monitor } = recorder({ slow: { threshold: '1ms' } })
      const broken = [
        () => {
          throw new Error('no header')
        },
        () => Promise.reject(new Error('later')),
        () => Symbol('trace'),
      ]
      for (const read of broken) {
        monitor.start()
        monitor.record('GET', '/x', 200, monitor.start() - 500, outcome, read as never)
      }
      await new Promise(setImmediate)
      const traces = monitor.snapshot().slow.filter(({ route }) => route === '/x')
      expect(traces.map(({ traceId }) => traceId)).toEqual([null, null, null])
    },
  )

  it('survives listeners and sources that reject, and says so', async () => {
    const warnings: string[] = []
    const { monitor, request } = recorder({ onWarn: ({ message }) => warnings.push(message) })
    const rejecting = () => Promise.reject(new Error('later'))
    monitor.onTiming(rejecting)
    monitor.addSource('queue', rejecting)
    request({})
    monitor.recordTiming('x', 1)
    expect(monitor.snapshot().additions).toEqual({})
    await new Promise(setImmediate)
    expect(warnings).toEqual([
      "The source 'queue' threw: it returned a promise, which no document can wait for",
      'A listener threw: later',
    ])
  })

  it('survives a listener that throws', () => {
    const warn = vi.fn()
    const { monitor, request } = recorder({ onWarn: warn })
    monitor.on('slow', () => {
      throw new Error('mine')
    })
    const heard = vi.fn()
    const remove = monitor.on('slow', heard)
    request({ ms: 900 })
    expect(heard).toHaveBeenCalledOnce()
    expect(warn).toHaveBeenCalledWith({ code: 'MONITOR_LISTENER', message: 'A listener threw: mine' })
    remove()
    remove()
    request({ ms: 900 })
    expect(heard).toHaveBeenCalledOnce()
  })

  it('tells what was thrown, if that is no error', () => {
    const warn = vi.fn()
    const { monitor, request } = recorder({ onWarn: warn })
    monitor.onRequest(() => {
      throw 'text'
    })
    request({})
    expect(warn).toHaveBeenCalledWith({ code: 'MONITOR_LISTENER', message: 'A listener threw: text' })
  })

  it('calls a listener once however often it was added, and the others when it is gone', () => {
    const { monitor, request } = recorder()
    const [twice, other] = [vi.fn(), vi.fn()]
    const removes = [monitor.onRequest(twice), monitor.onRequest(twice)]
    monitor.onRequest(other)
    request({})
    expect(twice).toHaveBeenCalledOnce()
    for (const remove of removes) remove()
    request({})
    expect(twice).toHaveBeenCalledOnce()
    expect(other).toHaveBeenCalledTimes(2)
  })

  it('samples at an interval that is longer than a timer of Node can be', async () => {
    const processes = vi.fn(() => [])
    const { monitor } = recorder({ sampleInterval: '40d', processes })
    await new Promise((resolve) => setTimeout(resolve, 30))
    expect(processes).not.toHaveBeenCalled()
    await monitor.close()
  })

  it('does no harm after it was closed, and closes twice', async () => {
    const { monitor, request } = recorder({ sampleInterval: '10ms' })
    await monitor.close()
    await monitor[Symbol.asyncDispose]()
    request({ ms: 1 })
    expect(monitor.snapshot().requests.count).toBe(1)
  })

  it('lets the process exit while it is open', () => {
    const program = `
      import { PerformanceMonitor } from './src/monitor/monitor.ts'
      const monitor = new PerformanceMonitor({ sampleInterval: '50ms' })
      monitor.check('hanging', () => new Promise(() => {}), { timeout: '1h' })
      monitor.health()
      monitor.record('GET', '/', 200, monitor.start())
      console.log('open')`
    const output = execFileSync(process.execPath, ['--input-type=module-typescript', '-e', program], {
      encoding: 'utf8',
      timeout: 10_000,
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    expect(output.trim()).toBe('open')
  })

  it.each<[MonitorOptions, RegExp]>([
    [{ precision: 4 as 2 }, /Expected `precision` to be one of 2, 3, got `4` \(number\)/],
    [{ maxEndpoints: 0 }, /Expected `maxEndpoints` to be a whole number from 1 up, got `0` \(number\)/],
    [{ sampleInterval: '0s' }, /Expected `sampleInterval` to be longer than 0ms/],
    [{ slow: { threshold: 500 as never } }, /Expected `slow.threshold` to be a duration/],
    [{ alerts: { cpu: 101 } }, /Expected `alerts.cpu` to be a number from 0 to 100, got `101` \(number\)/],
    [{ alerts: { cpu: { threshold: 50, clear: 60 } } }, /Expected `alerts.cpu.clear` to be a number from 0 to 50/],
    [{ health: { details: 'some' as never } }, /Expected `health.details` to be one of/],
    [{ overload: { memory: -1 } }, /Expected `overload.memory` to be a number from 0 to 100/],
  ])('refuses %o', (options, message) => {
    expect(() => new PerformanceMonitor(options)).toThrow(message)
  })
})

interface RecordedRequest {
  readonly method?: string
  readonly route?: string
  readonly status?: number
  readonly ms?: number
  readonly outcome?: Outcome
  readonly traceparent?: string
}

/** A monitor on a clock that stands still. */
function recorder(options: MonitorOptions = {}) {
  const clock = { now: 1_000_000 }
  const monitor = new PerformanceMonitor({ sampleInterval: false, clock: () => clock.now, ...options })
  const request = ({ method = 'GET', route = '/', status = 200, ms = 1, outcome, traceparent }: RecordedRequest) =>
    monitor.record(method, route, status, clock.now - ms, outcome, traceparent)
  return { monitor, clock, request }
}

/** Blocks the event loop. */
function block(ms: number): void {
  const end = performance.now() + ms
  while (performance.now() < end);
}

/** Runs the function in the next turn of the event loop. */
function turn(run: () => void): Promise<void> {
  return new Promise((resolve) => setImmediate(() => resolve(run())))
}

function withCache() {
  const counters = { hits: 1_000, misses: 0, errors: 7 }
  const stats = () => ({ ...counters, hitRate: 0, errorRate: 0, store: { state: 'up' } })
  return { counters, ...recorder({ caches: { main: { stats } } }) }
}
