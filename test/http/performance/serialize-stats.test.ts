import { readFileSync } from 'node:fs'
import { Ajv2020 } from 'ajv/dist/2020.js'
import fc from 'fast-check'
import { PerformanceMonitor } from 'posthaste'
import { expect, it } from 'vitest'
import { serializeStats, withCasing } from '../../../src/http/performance/serialize-stats.ts'
import { toSnake } from '../../../src/shared/casing.ts'

const schema = JSON.parse(readFileSync('docs/performance.schema.json', 'utf8'))
const validate = new Ajv2020({ allowUnionTypes: true, formats: { 'date-time': true } }).compile(closed(schema))

/** Every key of the schema, and of the documents in camelCase, is a name that a user may choose. */
const names = fc.oneof(
  fc.constantFrom(...new Set([...JSON.stringify(schema).matchAll(/"(\w+)":/g)].map(([, key]) => key as string))),
  fc.constantFrom('p95Ci', 'errorRate', 'latencyMs', 'hitRate', '__proto__', 'constructor', 'toString', 'my Cache'),
  fc.string(),
)
const runs = { numRuns: Number(process.env.RUNS ?? 100) }

it('has one casing for every key of the schema, whatever caches, timings, routes and sources are called, and no other for data', async () => {
  const given = fc.record({
    caches: fc.uniqueArray(names, { maxLength: 3 }),
    timings: fc.uniqueArray(names, { maxLength: 3 }),
    routes: fc.uniqueArray(names, { maxLength: 3 }),
    additions: fc.dictionary(names, fc.jsonValue({ maxDepth: 3 }), { maxKeys: 3 }),
  })
  await fc.assert(
    fc.asyncProperty(given, async ({ caches, timings, routes, additions }) => {
      const stats = () => ({ hits: 1, misses: 2, errors: 0, hitRate: 0, errorRate: 0, store: { state: 'up' } })
      const monitor = new PerformanceMonitor({
        sampleInterval: false,
        disk: false,
        caches: Object.fromEntries(caches.map((name) => [name, { stats }])),
      })
      for (const name of timings) monitor.recordTiming(name, 1)
      for (const route of routes) monitor.record('GET', route, 200, monitor.start())
      const sources = Object.entries(additions).filter(([name]) => name !== 'database')
      for (const [name, data] of sources) monitor.addSource(name, () => data)
      const document = JSON.parse(await serializeStats(monitor.snapshot(), 'snake'))
      validate(document)
      expect(validate.errors ?? []).toEqual([])
      expect(Object.keys(document.cache).sort()).toEqual([...caches].sort())
      expect(Object.keys(document.timings).sort()).toEqual([...timings].sort())
      const data = JSON.parse(JSON.stringify(Object.fromEntries(sources)))
      expect(JSON.stringify(sorted(document.additions))).toBe(JSON.stringify(sorted(data)))
    }),
    runs,
  )
})

it('leaves out what the user has added that has no JSON form, and says so', async () => {
  const cycle: { self?: object } = {}
  cycle.self = cycle
  const toJSON = () => {
    throw 'no'
  }
  const sources = { bytes: { count: 1n }, cycle, toJSON: { toJSON }, good: { aB: 1 } }
  const monitor = new PerformanceMonitor({ sampleInterval: false, disk: false })
  for (const [name, data] of Object.entries(sources)) monitor.addSource(name, () => data)
  for (const casing of ['snake', 'camel'] as const) {
    const warnings: string[] = []
    const text = await serializeStats(monitor.snapshot(), casing, ({ message }) => warnings.push(message))
    expect(JSON.parse(text).additions).toEqual({ good: { aB: 1 } })
    expect(warnings.map((message) => message.split(':', 1)[0])).toEqual(
      ['bytes', 'cycle', 'toJSON'].map((name) => `The source '${name}' has no JSON form`),
    )
  }
})

it.each(['bigint', 'cycle', 'getter'])(
  'leaves out a section of the database that has no JSON form: %s',
  async (kind) => {
    const row: { self?: unknown; calls?: unknown } = { calls: 1 }
    if (kind === 'bigint') row.calls = 1n
    if (kind === 'cycle') row.self = row
    if (kind === 'getter') Object.defineProperty(row, 'calls', { get: () => BigInt('one'), enumerable: true })
    const monitor = new PerformanceMonitor({ sampleInterval: false, disk: false })
    monitor.addSource('database', () => ({ queries: [row], slow: [], nPlusOne: [] }))
    monitor.addSource('good', () => ({ aB: 1 }))
    for (const casing of ['snake', 'camel'] as const) {
      const warnings: string[] = []
      const text = await serializeStats(monitor.snapshot(), casing, ({ message }) => warnings.push(message))
      expect(JSON.parse(text)).toMatchObject({ database: null, additions: { good: { aB: 1 } } })
      expect(warnings.map((message) => message.split(':', 1)[0])).toEqual(["The source 'database' has no JSON form"])
    }
  },
)

it('has one casing in health reports, whatever checks are called', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(names, { maxLength: 4 }), async (checks) => {
      const monitor = new PerformanceMonitor({ sampleInterval: false })
      for (const name of checks) monitor.check(name, () => {})
      const report = await monitor.health()
      const wire = withCasing(report, 'snake') as { checks: Record<string, object> }
      expect(Object.keys(wire.checks).sort()).toEqual([...checks].sort())
      for (const check of Object.values(wire.checks)) {
        expect(Object.keys(check)).toEqual(['status', 'critical', 'reason', 'time', 'duration_ms'])
      }
      expect(withCasing(report, 'camel')).toBe(report)
    }),
    runs,
  )
})

/** The schema with no key allowed that it does not name, and none in camelCase. */
function closed(node: object): object {
  return JSON.parse(JSON.stringify(node), (_, value) => {
    if (value?.properties === undefined) return value
    for (const key of Object.keys(value.properties)) expect(toSnake(key)).toBe(key)
    return value.additionalProperties === undefined ? { ...value, additionalProperties: false } : value
  })
}

function sorted(value: object): unknown {
  return Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
}
