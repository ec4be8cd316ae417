import { type AlertEvent, type MonitorOptions, PerformanceMonitor } from 'posthaste'
import { describe, expect, it, vi } from 'vitest'
import { type AlertOptions, resolveRules } from '../../../src/monitor/alerts/alert-rules.ts'
import { Alerts } from '../../../src/monitor/alerts/alerts.ts'
import { systemReaders } from '../../../src/monitor/system/readers.ts'
import { WallClock } from '../../../src/monitor/wall-clock.ts'

describe('the life of an alert', () => {
  it('goes from pending over firing to resolved, and is then forgotten', () => {
    const { judge, list, told, at } = alerting({ cpu: 80 })
    judge(81)
    expect(list()).toMatchObject([{ id: 'cpu', state: 'pending', value: 81, threshold: 80, target: null }])
    at(29)
    judge(90)
    expect(told).toEqual([])
    at(30)
    judge(95)
    expect(told).toEqual(['firing 95'])
    at(40)
    judge(10)
    expect(told).toEqual(['firing 95', 'resolved 10'])
    expect(list()).toMatchObject([{ state: 'resolved', value: 10, since: '1970-01-01T00:00:40.000Z' }])
    at(341)
    judge(10)
    expect(list()).toEqual([])
  })

  it('does not fire for what passes before its time', () => {
    const { judge, list, told, at } = alerting({ cpu: 80 })
    judge(99)
    at(29)
    judge(80)
    expect(list()).toEqual([])
    judge(99)
    at(58)
    judge(99)
    expect(told).toEqual([])
  })

  it('does not ring twice for a value that trembles between clear and threshold', () => {
    const { judge, told, at } = alerting({ cpu: { threshold: 80, clear: 70, for: '0s' } })
    for (const [second, value] of [81, 75, 81, 71, 79, 70, 75, 80, 81].entries()) {
      at(second)
      judge(value)
    }
    expect(told).toEqual(['firing 81', 'resolved 70', 'firing 81'])
  })

  it('is told again while it lasts, and says that it was', () => {
    const { judge, events, at } = alerting({ cpu: { threshold: 80, for: '0s', repeat: '1m' } })
    for (let second = 0; second <= 130; second += 10) {
      at(second)
      judge(90)
    }
    expect(events.map(({ state, repeated }) => [state, repeated])).toEqual([
      ['firing', false],
      ['firing', true],
      ['firing', true],
    ])
  })

  it('is resolved when there is nothing to judge any more', () => {
    const { alerts, judge, told, at } = alerting({ cpu: { threshold: 80, for: '0s' } })
    judge(90)
    at(1)
    alerts.evaluate(1_000, [])
    expect(told).toEqual(['firing 90', 'resolved 90'])
  })

  it('waits for its samples', () => {
    const { alerts, told } = alerting({ errorRate: { threshold: 5, for: '0s', minSamples: 30 } })
    alerts.evaluate(0, [{ id: 'error_rate', target: null, value: 50, samples: 29 }])
    expect(told).toEqual([])
    alerts.evaluate(1, [{ id: 'error_rate', target: null, value: 50, samples: 30 }])
    expect(told).toEqual(['firing 50'])
  })

  it('is not there when its rule is off', () => {
    const { judge, list } = alerting({ cpu: false })
    judge(100)
    expect(list()).toEqual([])
    expect(resolveRules(false).size).toBe(0)
  })

  it('are told once for each judgement, also to a listener that reads a document', () => {
    const { monitor, events } = watching({ alerts: { errorRate: { threshold: 5, for: '0s', repeat: '0s' } } })
    const listed: number[] = []
    monitor.on('alert', () => listed.push(monitor.snapshot().alerts.length))
    for (let count = 0; count < 20; count++) monitor.record('GET', '/', 500, monitor.start())
    monitor.snapshot()
    monitor.alerts()
    expect(events.map(({ repeated }) => repeated)).toEqual([false, true])
    expect(listed).toEqual([1, 1])
  })
})

describe('rules', () => {
  const now = { for: '0s' } as const

  it('response_time: the P95 of an endpoint, once it is surely over the threshold', () => {
    const { monitor, clock, events } = watching({ alerts: { responseTime: { threshold: '500ms', ...now } } })
    const request = (ms: number) => monitor.record('GET', '/report', 200, clock.now - ms)
    for (let count = 0; count < 93; count++) request(20)
    for (let count = 0; count < 7; count++) request(900)
    // The P95 is 900 ms, but seven slow ones of a hundred may be chance.
    expect(monitor.endpoint('GET', '/report')?.latencyMs.p95).toBe(900)
    expect(monitor.alerts()).toEqual([])
    for (let count = 0; count < 20; count++) request(900)
    expect(monitor.alerts()).toMatchObject([
      { id: 'response_time', state: 'firing', target: 'GET /report', threshold: 500, samples: 120, value: 900 },
    ])
    clock.now += 300_001
    request(20)
    expect(monitor.alerts()).toMatchObject([{ state: 'resolved' }])
    expect(events.map(({ state }) => state)).toEqual(['firing', 'resolved'])
  })

  it('response_time: resolved when an endpoint is not asked any more', () => {
    const { monitor, clock } = watching({ alerts: { responseTime: { threshold: '500ms', ...now } } })
    for (let count = 0; count < 20; count++) monitor.record('GET', '/', 200, clock.now - 900)
    expect(monitor.alerts()).toMatchObject([{ state: 'firing', target: 'GET /' }])
    clock.now += 300_001
    expect(monitor.alerts()).toMatchObject([{ state: 'resolved', target: 'GET /' }])
  })

  it('response_time: not before there are twenty requests', () => {
    const { monitor, clock } = watching({ alerts: { responseTime: { threshold: '500ms', ...now } } })
    for (let count = 0; count < 19; count++) monitor.record('GET', '/', 200, clock.now - 900)
    expect(monitor.alerts()).toEqual([])
    monitor.record('GET', '/', 200, clock.now - 900)
    expect(monitor.alerts()).toHaveLength(1)
  })

  it('error_rate: 5xx of the completed requests of all endpoints', () => {
    const { monitor, clock } = watching({ alerts: { errorRate: { threshold: 5, ...now } } })
    for (let count = 0; count < 94; count++) monitor.record('GET', `/${count % 3}`, 404, clock.now)
    for (let count = 0; count < 5; count++) monitor.record('GET', '/', 503, clock.now)
    monitor.record('GET', '/', 500, clock.now, 'aborted')
    expect(monitor.alerts()).toMatchObject([{ id: 'error_rate', target: null, samples: 99, value: (5 / 99) * 100 }])
  })

  it('cache_errors: of each cache', () => {
    const counters = { hits: 0, misses: 0, errors: 0 }
    const stats = () => ({ ...counters, hitRate: 0, errorRate: 0, store: { state: 'up' } })
    const { monitor } = watching({ alerts: { cacheErrors: { threshold: 5, ...now } }, caches: { main: { stats } } })
    counters.hits = 100
    counters.errors = 5
    expect(monitor.alerts()).toEqual([])
    counters.errors = 6
    expect(monitor.alerts()).toMatchObject([{ id: 'cache_errors', target: 'main', value: 6, samples: 100 }])
  })

  it('memory and disk: of this machine, with a threshold that any exceeds', async () => {
    const { monitor } = watching({ alerts: { memory: { threshold: 0, ...now }, disk: { threshold: 0, ...now } } })
    await monitor.sample()
    await monitor.sample()
    const alerts = monitor.alerts().filter(({ id }) => id === 'memory' || id === 'disk')
    expect(alerts.map(({ id, target, state }) => [id, target, state])).toEqual([
      ['memory', null, 'firing'],
      ['disk', '/', 'firing'],
    ])
  })

  it('event_loop: names the stall, its share and who caused it', async () => {
    await using monitor = new PerformanceMonitor({
      sampleInterval: '50ms',
      // Well above what a busy machine does to the loop by itself.
      alerts: { eventLoop: { threshold: '400ms', ...now } },
    })
    const told = new Promise<AlertEvent>((resolve) => monitor.on('alert', resolve))
    // On a busy machine it is not the first one.
    const stall = new Promise<number>((resolve) => monitor.on('stall', ({ ms }) => ms > 400 && resolve(ms)))
    await new Promise((resolve) => setTimeout(resolve, 120))
    const startedAt = monitor.start()
    const end = performance.now() + 600
    while (performance.now() < end);
    monitor.record('POST', '/export', 200, startedAt)
    expect(await stall).toBeLessThan(5_000)
    const { id, value, cause } = await told
    expect(id).toBe('event_loop')
    expect(value).toBeGreaterThan(400)
    expect(cause.topBlocker).toBe('POST /export')
    expect(cause.stall).toBeGreaterThan(0.15)
    expect(monitor.endpoint('POST', '/export')?.loopMs).toBeGreaterThanOrEqual(599)
    expect(monitor.snapshot().system.eventLoop.stalls?.longestMs).toBeGreaterThan(400)
  })

  it.each(['10s', '5m', '30m', '1h'] as const)('event_loop: of the last 15 s, in a window of %s', async (window) => {
    const { monitor, clock } = watching({ window, sampleInterval: '20ms', alerts: { eventLoop: '400ms' } })
    // Late in the slice of a long window.
    clock.now = 7_200_000_000 + 59_000
    try {
      const stall = new Promise<number>((resolve) => monitor.on('stall', ({ ms }) => ms > 400 && resolve(ms)))
      await new Promise((resolve) => setTimeout(resolve, 120))
      const end = performance.now() + 600
      while (performance.now() < end);
      await stall
      for (const isListed of [true, true, false]) {
        expect(monitor.alerts().some(({ value }) => value > 400)).toBe(isListed)
        clock.now += 14_000
      }
    } finally {
      await monitor.close()
    }
  })

  it('have the share of time that the processor was held back among their causes', async () => {
    const files: Record<string, string> = {
      '/proc/self/cgroup': '0::/\n',
      '/sys/fs/cgroup/cpu.max': '50000 100000\n',
      '/sys/fs/cgroup/cpu.stat': 'nr_periods 100\nnr_throttled 10\n',
    }
    const readers = [
      vi.spyOn(systemReaders, 'readText').mockImplementation((path) => files[path]),
      vi.spyOn(systemReaders, 'time').mockImplementation(() => time),
    ]
    let time = 0
    try {
      const { monitor, events } = watching({ alerts: { memory: { threshold: 0, ...now } } })
      files['/sys/fs/cgroup/cpu.stat'] = 'nr_periods 120\nnr_throttled 15\n'
      time += 1_000
      await monitor.sample()
      expect(events[0]?.cause).toMatchObject({ throttled: 0.25 })
    } finally {
      for (const reader of readers) reader.mockRestore()
    }
  })

  it('have the thresholds of the documentation', () => {
    const thresholds = [...resolveRules(undefined)].map(([id, { threshold }]) => [id, threshold])
    expect(Object.fromEntries(thresholds)).toEqual({
      response_time: 500,
      aborted: 20,
      in_flight: 30_000,
      cpu: 80,
      memory: 85,
      cache_errors: 5,
      error_rate: 5,
      event_loop: 200,
      disk: 90,
      shedding: 1,
    })
  })
})

function alerting(options: AlertOptions) {
  let now = 0
  const events: AlertEvent[] = []
  const told: string[] = []
  const cause = {
    stall: 0,
    gc: 0,
    throttled: null,
    topBlocker: null,
    topBlockerShare: null,
    query: null,
    part: null,
    partShare: null,
  }
  const alerts = new Alerts(resolveRules(options), {
    keepMs: 300_000,
    wall: new WallClock(() => 0),
    findCauses: () => () => cause,
    onEvent: (event) => {
      events.push(event)
      told.push(`${event.state} ${event.value}`)
    },
  })
  return {
    alerts,
    events,
    told,
    at: (seconds: number) => {
      now = seconds * 1_000
    },
    judge: (value: number) => alerts.evaluate(now, [{ id: 'cpu', target: null, value, samples: 1 }]),
    list: () => alerts.list(),
  }
}

function watching(options: MonitorOptions) {
  const off = {
    responseTime: false,
    aborted: false,
    inFlight: false,
    cpu: false,
    memory: false,
    cacheErrors: false,
    errorRate: false,
    disk: false,
  } as const
  const clock = { now: 1_000_000 }
  const monitor = new PerformanceMonitor({
    sampleInterval: false,
    clock: () => clock.now,
    ...options,
    alerts: { ...off, ...(options.alerts as AlertOptions) },
  })
  const events: AlertEvent[] = []
  monitor.on('alert', (event) => events.push(event))
  return { monitor, clock, events }
}
