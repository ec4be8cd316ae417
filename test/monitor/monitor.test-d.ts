import type { Meter } from '@opentelemetry/api'
import type { createClient } from '@redis/client'
import type { Redis } from 'ioredis'
import type { Kysely } from 'kysely'
import {
  type ActiveAlert,
  type AlertEvent,
  checkKysely,
  type HealthReport,
  type OpenRequest,
  type OtherOutcome,
  otelMetrics,
  PerformanceMonitor,
  redisFleet,
  type StatsDocument,
} from 'posthaste'
import { expectTypeOf } from 'vitest'

const monitor = new PerformanceMonitor({ window: '5m', alerts: { responseTime: '500ms', cpu: 80, disk: false } })

expectTypeOf(monitor.snapshot()).toEqualTypeOf<StatsDocument>()
expectTypeOf(monitor.snapshot().requests.latencyMs.p99_9).toEqualTypeOf<number | null>()
expectTypeOf(monitor.alerts()).toEqualTypeOf<ActiveAlert[]>()
expectTypeOf(monitor.time('x', async () => 5)).resolves.toEqualTypeOf<number>()
expectTypeOf(monitor.time('x', () => 'now')).resolves.toEqualTypeOf<string>()
expectTypeOf(monitor.toHdr('GET', '/')).resolves.toEqualTypeOf<string>()
expectTypeOf(monitor.health('ready', { maxWait: '20ms' })).resolves.toEqualTypeOf<HealthReport>()
expectTypeOf(monitor.isDraining).toEqualTypeOf<boolean>()
expectTypeOf(monitor.otherOutcomes()).toExtend<Iterable<OtherOutcome>>()
expectTypeOf(monitor.snapshot().slow[0]!.outcome).toEqualTypeOf<'completed' | 'aborted' | 'unanswered'>()
monitor.start({ original: {}, method: 'GET', route: null, isLongLived: false } satisfies OpenRequest)
new PerformanceMonitor({ buckets: ['5ms', '1s'], alerts: { aborted: 10, inFlight: '1m' } })
monitor.on('alert', (event) => expectTypeOf(event).toEqualTypeOf<AlertEvent>())

// The clients and meters of the real packages are what the structural types ask for.
redisFleet({} as Redis)
redisFleet({} as ReturnType<typeof createClient>)
otelMetrics(monitor, {} as Meter)
monitor.check('db', checkKysely({} as Kysely<{ users: { id: number } }>))

// @ts-expect-error -- a bare number says no unit
new PerformanceMonitor({ window: 300 })
// @ts-expect-error -- a response time is a duration
new PerformanceMonitor({ alerts: { responseTime: 500 } })
// @ts-expect-error -- a share of the processors is a percentage
new PerformanceMonitor({ alerts: { cpu: '80ms' } })
// @ts-expect-error -- there is no such event
monitor.on('slower', () => {})
// @ts-expect-error -- there is no such outcome
monitor.record('GET', '/', 200, monitor.start(), 'lost')
// @ts-expect-error -- the database section has its shape
monitor.addSource('database', () => ({ rows: 1 }))
// @ts-expect-error -- there is no such order
monitor.snapshot({ sort: 'p42' })
