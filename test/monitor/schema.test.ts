import { readFileSync } from 'node:fs'
import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js'
import { PerformanceMonitor, type StatsDocument } from 'posthaste'
import { describe, expect, it } from 'vitest'
import { withCasing } from '../../src/http/performance/serialize-stats.ts'

const published = JSON.parse(readFileSync(new URL('../../docs/performance.schema.json', import.meta.url), 'utf8'))
const validator = compile(published)
const closedValidator = compile(closed(published))

describe('the published schema', () => {
  it('holds for a monitor that has seen nothing', () => {
    expect(faultsOf(new PerformanceMonitor({ sampleInterval: false }).snapshot())).toEqual([])
  })

  it('holds for one that has seen everything, and names every key', async () => {
    const monitor = await busyMonitor()
    for (const query of [{}, { history: true }])
      for (const document of [monitor.snapshot(query), await monitor.fleetSnapshot(query)]) {
        expect(document.alerts.length).toBeGreaterThan(1)
        expect(document.slow).toHaveLength(2)
        expect(faultsOf(document)).toEqual([])
        expect(faultsOf(document, closedValidator)).toEqual([])
      }
    await monitor.close()
  })

  it('does not hold for anything else', () => {
    const document = new PerformanceMonitor({ sampleInterval: false }).snapshot()
    expect(faultsOf({ ...document, requests: undefined as never })).not.toEqual([])
    expect(faultsOf({ ...document, uptimeMs: 'long' as never })).not.toEqual([])
  })
})

/** What is wrong with the document in its wire form. */
function faultsOf(document: StatsDocument, validate: ValidateFunction = validator): ErrorObject[] {
  validate(JSON.parse(JSON.stringify(withCasing(document, 'snake'))))
  return validate.errors ?? []
}

function compile(schema: object): ValidateFunction {
  return new Ajv2020({ allErrors: true, allowUnionTypes: true, formats: { 'date-time': isTime } }).compile(schema)
}

function isTime(text: string): boolean {
  return new Date(text).toISOString() === text
}

/** The schema with no key allowed that it does not name. */
function closed(node: object): object {
  return JSON.parse(JSON.stringify(node), (_, value) =>
    value?.properties !== undefined && value.additionalProperties === undefined
      ? { ...value, additionalProperties: false }
      : value,
  )
}

async function busyMonitor(): Promise<PerformanceMonitor> {
  const stats = () => ({ hits: 1, misses: 1, errors: 90, hitRate: 0, errorRate: 0, store: { state: 'down' } })
  const counters = { current: { ...stats(), errors: 0, hits: 0 } }
  const monitor = new PerformanceMonitor({
    service: 'crm',
    release: '1.0',
    sampleInterval: '40ms',
    processes: () => [process.ppid],
    caches: { main: { stats: () => counters.current } },
    alerts: {
      memory: { threshold: 0, for: '0s' },
      disk: { threshold: 0, for: '0s' },
      cacheErrors: 5,
      shedding: { threshold: 1, minSamples: 1 },
    },
  })
  counters.current = stats()
  for (const ms of [1, 20, 600]) monitor.record('GET', '/users/:id', 200, monitor.start() - ms)
  monitor.record(
    'POST',
    '/users',
    500,
    monitor.start() - 700,
    'completed',
    '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  )
  for (const outcome of ['aborted', 'stream', 'upgrade', 'shed'] as const) {
    monitor.record('GET', '/users/:id', 200, monitor.start(), outcome)
  }
  monitor.recordTiming('db.query', 3)
  monitor.addSource('database', () => ({ queries: [{ sql: 'select 1' }], slow: [], nPlusOne: [] }))
  monitor.addAdmission({
    read: () => ({
      limit: 8,
      inFlight: 8,
      shed: 1,
      waitMs: 3,
      state: 'shedding',
      limits: [{ target: 'GET /users/:', limit: 8, inFlight: 8 }],
      shedBy: [{ reason: 'concurrency', priority: 'low', count: 1 }],
    }),
    shedRatio: 0.1,
    sheddingMs: 10,
  })
  monitor.addSource('compression', () => ({ savedBytes: 10 }))
  const end = performance.now() + 80
  while (performance.now() < end);
  await new Promise((resolve) => setTimeout(resolve, 200))
  await monitor.sample()
  return monitor
}
