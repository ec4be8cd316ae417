import {
  type AdmissionSource,
  type AdmissionStats,
  type MonitorOptions,
  otelMetrics,
  PerformanceMonitor,
} from 'posthaste'
import { describe, expect, it, onTestFinished } from 'vitest'

const calm: AdmissionStats = {
  limit: null,
  inFlight: 0,
  shed: 0,
  waitMs: 0,
  state: 'open',
  limits: [],
  shedBy: [],
}

function source(stats: Partial<AdmissionStats>, shedRatio = 0, sheddingMs?: number): AdmissionSource {
  return { read: () => ({ ...calm, ...stats }), shedRatio, sheddingMs }
}

function makeMonitor(options: MonitorOptions = {}): PerformanceMonitor {
  const monitor = new PerformanceMonitor({ sampleInterval: false, ...options })
  onTestFinished(() => monitor.close())
  return monitor
}

describe('admission in the monitor', () => {
  it('is open, and no section of the documents, without a guard', () => {
    const monitor = makeMonitor()
    expect(monitor.admission()).toEqual(calm)
    expect(monitor.snapshot().admission).toBeNull()
  })

  it('adds up the guards of several applications', () => {
    const monitor = makeMonitor()
    monitor.addAdmission(
      source({
        limit: 8,
        inFlight: 7,
        shed: 3,
        waitMs: 12,
        limits: [{ target: 'GET /a', limit: 8, inFlight: 5 }],
        shedBy: [{ reason: 'wait', priority: 'normal', count: 3 }],
      }),
    )
    const remove = monitor.addAdmission(
      source({
        limit: 4,
        inFlight: 2,
        shed: 5,
        waitMs: 40,
        state: 'shedding',
        limits: [{ target: 'GET /b', limit: 4, inFlight: 1 }],
        shedBy: [
          { reason: 'wait', priority: 'normal', count: 1 },
          { reason: 'concurrency', priority: 'low', count: 4 },
        ],
      }),
    )
    monitor.addAdmission(source({ inFlight: 1 }))

    expect(monitor.admission()).toEqual({
      limit: 12,
      inFlight: 10,
      shed: 8,
      waitMs: 40,
      state: 'shedding',
      limits: [
        { target: 'GET /a', limit: 8, inFlight: 5 },
        { target: 'GET /b', limit: 4, inFlight: 1 },
      ],
      shedBy: [
        { reason: 'wait', priority: 'normal', count: 4 },
        { reason: 'concurrency', priority: 'low', count: 4 },
      ],
    })
    expect(monitor.snapshot().admission).toEqual(monitor.admission())

    remove()
    expect(monitor.admission()).toMatchObject({ limit: 8, shed: 3, state: 'open' })
  })

  it('is overload above the option, which is 1 % by default', () => {
    const monitor = makeMonitor()
    monitor.addAdmission(source({}, 0.01))
    expect(monitor.overload()).toBeUndefined()
    monitor.addAdmission(source({}, 0.011))
    expect(monitor.overload()).toEqual({ kind: 'shedding', value: 1.0999999999999999, limit: 1 })
    const patient = makeMonitor({ overload: { shedding: 50 } })
    patient.addAdmission(source({}, 0.49))
    expect(patient.overload()).toBeUndefined()
    expect(() => makeMonitor({ overload: { shedding: 101 } })).toThrow(RangeError)
  })

  it('makes the instance unready after the time of the option, and never without it', async () => {
    const shedding = { ms: 29_999 as number | undefined }
    const guard = (monitor: PerformanceMonitor) =>
      monitor.addAdmission({
        read: () => calm,
        shedRatio: 0.5,
        get sheddingMs() {
          return shedding.ms
        },
      })
    const monitor = makeMonitor({ health: { unreadyWhenShedding: '30s' } })
    const other = makeMonitor()
    guard(monitor)
    guard(other)
    expect(await monitor.health('ready')).toMatchObject({ status: 'pass' })
    shedding.ms = 30_000
    expect(await monitor.health('ready')).toMatchObject({ status: 'fail', reason: 'shedding' })
    expect(await monitor.health('live')).toMatchObject({ status: 'pass' })
    expect(await monitor.health('all')).toMatchObject({ status: 'pass' })
    expect(await other.health('ready')).toMatchObject({ status: 'pass' })
    shedding.ms = undefined
    expect(await monitor.health('ready')).toMatchObject({ status: 'pass' })
    expect(() => makeMonitor({ health: { unreadyWhenShedding: 30 as unknown as '30s' } })).toThrow(TypeError)
  })

  it('fires the alert with its cause, for the share of the requests in the window', () => {
    let now = 1_000_000
    const monitor = makeMonitor({ clock: () => now, window: '10s' })
    monitor.addAdmission(source({ shedBy: [{ reason: 'wait', priority: 'normal', count: 5 }] }))
    const told: string[] = []
    monitor.on('alert', ({ id, state, value, cause }) => told.push(`${id} ${state} ${value} ${cause.shedReason}`))
    for (let count = 0; count < 95; count++) monitor.record('GET', '/a', 200, monitor.start())
    expect(monitor.alerts()).toEqual([])
    for (let count = 0; count < 5; count++) monitor.record('GET', '/b', 503, monitor.start(), 'shed')
    monitor.alerts()
    now += 20_000
    monitor.alerts()
    expect(told).toEqual(['shedding firing 5 wait', 'shedding resolved 5 wait'])
    expect(monitor.endpoint('GET', '/b')).toMatchObject({ total: 5, count: 0, errorRate: null })
  })

  it('fires with the reason of most refusals in the window, whatever was before', () => {
    let now = 1_000_000
    const counts = { wait: 0, concurrency: 0 }
    const monitor = makeMonitor({ clock: () => now, window: '10s' })
    monitor.addAdmission({
      read: () => ({
        ...calm,
        shedBy: (['wait', 'concurrency'] as const).map((reason) => ({
          reason,
          priority: 'normal' as const,
          count: counts[reason],
        })),
      }),
      shedRatio: 0,
      sheddingMs: undefined,
    })
    const told: string[] = []
    monitor.on('alert', ({ state, cause }) => told.push(`${state} ${cause.shedReason}`))
    for (const [reason, times] of [
      ['concurrency', 100],
      ['wait', 30],
      ['concurrency', 20],
    ] as const) {
      counts[reason] += times
      for (let count = 0; count < times; count++) monitor.record('GET', '/', 503, monitor.start(), 'shed')
      for (let second = 0; second < 30; second++) {
        monitor.alerts()
        now += 1_000
      }
    }
    expect(told).toEqual([
      'firing concurrency',
      'resolved concurrency',
      'firing wait',
      'resolved wait',
      'firing concurrency',
      'resolved concurrency',
    ])
  })

  it('goes to Prometheus and OpenTelemetry', async () => {
    const monitor = makeMonitor()
    const observed = new Map<string, unknown[]>()
    const callbacks: [string, (result: { observe(value: number, attributes?: object): void }) => void][] = []
    const observable = (name: string) => ({
      addCallback: (callback: (typeof callbacks)[0][1]) => void callbacks.push([name, callback]),
      removeCallback: () => {},
    })
    otelMetrics(monitor, {
      createHistogram: () => ({ record: () => {} }),
      createObservableCounter: observable,
      createObservableGauge: observable,
      createObservableUpDownCounter: observable,
    })
    const without = await textOf(monitor)
    expect(without).not.toContain('posthaste_admission')
    monitor.addAdmission(
      source({
        limit: 8,
        inFlight: 3,
        waitMs: 25,
        state: 'shedding',
        shedBy: [
          { reason: 'wait', priority: 'low', count: 3 },
          { reason: 'concurrency', priority: 'normal', count: 2 },
        ],
      }),
    )

    const text = await textOf(monitor)
    expect(text.match(/^posthaste_(requests_shed|admission).*$/gm)).toEqual([
      'posthaste_requests_shed_total{reason="wait",priority="low"} 3',
      'posthaste_requests_shed_total{reason="concurrency",priority="normal"} 2',
      'posthaste_admission_limit 8',
      'posthaste_admission_in_flight 3',
      'posthaste_admission_wait_seconds 0.025',
      'posthaste_admission_shedding 1',
    ])
    for (const [name, callback] of callbacks) {
      const values: unknown[] = []
      callback({ observe: (value, attributes) => values.push(attributes === undefined ? value : [value, attributes]) })
      observed.set(name, values)
    }
    expect(observed.get('posthaste.requests.shed')).toEqual([
      [3, { reason: 'wait', priority: 'low' }],
      [2, { reason: 'concurrency', priority: 'normal' }],
    ])
    expect(observed.get('posthaste.admission.limit')).toEqual([8])
    expect(observed.get('posthaste.admission.wait')).toEqual([0.025])
  })
})

async function textOf(monitor: PerformanceMonitor): Promise<string> {
  let text = ''
  for await (const piece of monitor.prometheus()) text += piece
  return text
}
