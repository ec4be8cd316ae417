import Database from 'better-sqlite3'
import fc from 'fast-check'
import { Kysely, type KyselyPlugin, MysqlDialect, PostgresDialect, SqliteDialect } from 'kysely'
import { Kysely as Kysely028, SqliteDialect as SqliteDialect028 } from 'kysely028'
import { createPool } from 'mysql2'
import pg from 'pg'
import { checkCache, checkDisk, checkKysely, instrument, PerformanceMonitor, type QueryRunner } from 'posthaste'
import { describe, expect, it, vi } from 'vitest'
import { Health } from '../../../src/monitor/health/health.ts'
import { WallClock } from '../../../src/monitor/wall-clock.ts'
import { services } from '../../support/services.ts'

describe('health', () => {
  it('passes when all checks pass, and says how each did', async () => {
    const { monitor } = healthy()
    monitor.check('one', () => {}).check('two', async () => 'anything', { critical: false })
    const report = await monitor.health()
    expect(report).toMatchObject({
      status: 'pass',
      reason: null,
      checks: {
        one: { status: 'pass', critical: true, reason: null, time: '1970-01-01T00:00:00.000Z' },
        two: { status: 'pass', critical: false },
      },
    })
  })

  it('fails for a critical check, and warns for another; rejecting, throwing and false are failures', async () => {
    const failures = [
      () => Promise.reject(new Error('db down at 10.0.0.5')),
      () => {
        throw new Error('no')
      },
      () => false,
      () => Promise.reject(undefined),
    ]
    for (const failure of failures) {
      const { monitor } = healthy()
      monitor.check('optional', failure, { critical: false })
      expect(await monitor.health('ready')).toMatchObject({
        status: 'warn',
        checks: { optional: { reason: 'failed' } },
      })
      monitor.check('needed', failure)
      const report = await monitor.health('ready')
      expect(report.status).toBe('fail')
      expect(JSON.stringify(report)).not.toContain('10.0.0.5')
    }
  })

  it('is not held up by a check that hangs, which is a failure and has its signal aborted', async () => {
    const { monitor } = healthy()
    const signals: AbortSignal[] = []
    monitor.check(
      'hanging',
      ({ signal }) => {
        signals.push(signal)
        return new Promise(() => {})
      },
      { timeout: '20ms' },
    )
    expect(await monitor.health()).toMatchObject({ status: 'fail', checks: { hanging: { reason: 'timeout' } } })
    expect(signals.map(({ aborted }) => aborted)).toEqual([true])
  })

  it('calls no check again before its last call has settled, whatever is asked when', async () => {
    const command = fc.oneof(
      fc.record({ kind: fc.constant('probe' as const), maxWait: fc.constantFrom(undefined, '0ms', '1ms') }),
      fc.record({ kind: fc.constant('wait' as const), ms: fc.constantFrom(1, 1_000, 10_000, 3_600_000) }),
      fc.record({ kind: fc.constant('settle' as const), how: fc.constantFrom('pass', 'fail') }),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(command, { maxLength: 12 }), async (commands) => {
        const { monitor, clock } = healthy()
        const open = new Set<PromiseWithResolvers<void>>()
        let most = 0
        const run = () => {
          const call = Promise.withResolvers<void>()
          open.add(call)
          most = Math.max(most, open.size)
          return call.promise
        }
        monitor.check('hanging', run, { timeout: '2ms', failAfter: 1 })
        for (const command of commands) {
          if (command.kind === 'probe') await monitor.health('ready', { maxWait: command.maxWait as '1ms' | undefined })
          if (command.kind === 'wait') clock.now += command.ms
          if (command.kind === 'settle') {
            for (const call of open) command.how === 'pass' ? call.resolve() : call.reject(new Error('failed'))
            open.clear()
            await new Promise(setImmediate)
          }
        }
        await monitor.close()
        expect(most).toBeLessThanOrEqual(1)
      }),
      { numRuns: Number(process.env.RUNS ?? 50) },
    )
  })

  it('counts each interval in which a call still hangs as one more failure, and recovers when it has settled', async () => {
    const { monitor, clock } = healthy()
    let call: PromiseWithResolvers<void> | undefined
    monitor.check('one', () => call?.promise, { timeout: '5ms' })
    expect((await monitor.health('ready')).status).toBe('pass')
    call = Promise.withResolvers()
    const statuses: string[] = []
    for (let round = 0; round < 3; round++) {
      clock.now += 10_000
      statuses.push((await monitor.health('ready')).status)
    }
    call.resolve()
    await new Promise(setImmediate)
    clock.now += 10_000
    statuses.push((await monitor.health('ready')).status)
    expect(statuses).toEqual(['pass', 'fail', 'fail', 'pass'])
  })

  it('goes by the last result of a check that takes longer than the report waits', async () => {
    const { monitor, clock } = healthy()
    let call = Promise.withResolvers<void>()
    monitor.check('slow', () => call.promise, { timeout: '1h', failAfter: 1 })
    const probe = async () => (await monitor.health('ready', { maxWait: '1ms' })).checks.slow
    expect(await probe()).toMatchObject({ status: 'fail', reason: 'timeout', time: null, durationMs: null })
    call.resolve()
    await new Promise(setImmediate)
    expect(await probe()).toMatchObject({ status: 'pass', reason: null })
    clock.now += 10_000
    call = Promise.withResolvers()
    expect(await probe()).toMatchObject({ status: 'pass', time: '1970-01-01T00:00:00.000Z' })
    call.reject(new Error('failed'))
    await new Promise(setImmediate)
    expect(await probe()).toMatchObject({ status: 'fail', reason: 'failed' })
    await expect(monitor.health('ready', { maxWait: 5 as never })).rejects.toThrow(/`maxWait` to be a duration/)
    await monitor.close()
  })

  it('runs a check once for all who ask together, and again only after its interval', async () => {
    const { monitor, clock } = healthy()
    const run = vi.fn(() => new Promise((resolve) => setTimeout(resolve, 10)))
    monitor.check('one', run, { interval: '5s' })
    await Promise.all([monitor.health(), monitor.health('ready'), monitor.health()])
    await monitor.health()
    expect(run).toHaveBeenCalledTimes(1)
    clock.now += 5_000
    await monitor.health()
    expect(run).toHaveBeenCalledTimes(2)
  })

  it('waits for a timeout, and keeps an answer, for longer than a timer of Node can', async () => {
    const { monitor, clock } = healthy()
    const run = vi.fn(() => new Promise((resolve) => setTimeout(resolve, 20)))
    monitor.check('slow', run, { timeout: '40d', interval: '40d' })
    expect(await monitor.health()).toMatchObject({ status: 'pass', checks: { slow: { reason: null } } })
    clock.now += 40 * 86_400_000 - 1
    await monitor.health()
    expect(run).toHaveBeenCalledTimes(1)
    clock.now += 1
    await monitor.health()
    expect(run).toHaveBeenCalledTimes(2)
  })

  it('gives each report results of its own, which its reader may change', async () => {
    const { monitor } = healthy()
    monitor.check('one', () => {})
    const { checks } = await monitor.health()
    Object.assign(checks.one as object, { status: 'fail', note: 'for this reader' })
    expect((await monitor.health()).checks.one).not.toHaveProperty('note')
    expect(await monitor.health()).toMatchObject({ status: 'pass', checks: { one: { status: 'pass' } } })
  })

  it('takes the interval of the monitor where the check has none', async () => {
    const { monitor, clock } = healthy({ interval: '1m' })
    const run = vi.fn()
    monitor.check('one', run)
    await monitor.health()
    clock.now += 59_999
    await monitor.health()
    expect(run).toHaveBeenCalledTimes(1)
    clock.now += 1
    await monitor.health()
    expect(run).toHaveBeenCalledTimes(2)
  })

  it('forgives a single failure of a check that passed before, and recovers at once', async () => {
    const { monitor, clock } = healthy()
    const events: string[] = []
    monitor.on('check', ({ name, status, error }) => events.push(`${name} ${status} ${String(error)}`))
    let isBroken = false
    monitor.check('one', () => (isBroken ? Promise.reject(new Error('broken')) : undefined))
    const statuses: string[] = []
    for (const broken of [false, true, true, true, false, true]) {
      isBroken = broken
      statuses.push((await monitor.health('ready')).status)
      clock.now += 10_000
    }
    expect(statuses).toEqual(['pass', 'pass', 'fail', 'fail', 'pass', 'pass'])
    expect(events).toEqual(['one fail Error: broken', 'one pass undefined'])
  })

  it('asks no dependency whether the process lives', async () => {
    const { monitor } = healthy()
    const run = vi.fn(() => false)
    monitor.check('needed', run)
    monitor.drain()
    expect(await monitor.health('live')).toEqual({ status: 'pass', reason: null, checks: {} })
    expect(run).not.toHaveBeenCalled()
  })

  it('lives no more after a stall of half a minute', async () => {
    const health = new Health({
      checkIntervalMs: 0,
      unreadySheddingMs: Infinity,
      sheddingMs: () => 0,
      clock: () => 0,
      wall: new WallClock(() => 0),
      onChange: () => {},
    })
    expect(await health.report('live', 29_999)).toEqual({ status: 'pass', reason: null, checks: {} })
    expect(await health.report('live', 30_000)).toEqual({ status: 'fail', reason: 'event loop stalled', checks: {} })
  })

  it('is as bad as the worst check, whichever comes first', async () => {
    const { monitor } = healthy()
    monitor
      .check('needed', () => false)
      .check('optional', () => false, { critical: false })
      .check('well', () => {})
    expect((await monitor.health()).status).toBe('fail')
  })

  it('is not ready while it drains, and says why', async () => {
    const { monitor } = healthy()
    monitor.check('one', () => {})
    monitor.drain('deploying')
    expect(await monitor.health('ready')).toMatchObject({ status: 'fail', reason: 'deploying' })
    expect(await monitor.health()).toMatchObject({ status: 'fail', reason: 'deploying' })
  })

  it('has started when it is told so', async () => {
    const { monitor } = healthy()
    expect(await monitor.health('startup')).toMatchObject({ status: 'fail', reason: 'not started' })
    expect((await monitor.health('ready')).status).toBe('pass')
    monitor.markStarted()
    expect(await monitor.health('startup')).toMatchObject({ status: 'pass', reason: null })
  })

  it('lets go of checks that run when it is closed', async () => {
    const { monitor } = healthy()
    const aborted = vi.fn()
    monitor.check('hanging', ({ signal }) => new Promise(() => signal.addEventListener('abort', aborted)), {
      timeout: '1h',
    })
    const report = monitor.health()
    await monitor.close()
    expect((await report).status).toBe('fail')
    expect(aborted).toHaveBeenCalled()
  })

  it('refuses a name twice, and options that are wrong', () => {
    const { monitor } = healthy()
    monitor.check('one', () => {})
    expect(() => monitor.check('one', () => {})).toThrow("There is a health check named 'one' already")
    expect(() => monitor.check('two', () => {}, { failAfter: 0 })).toThrow(/`failAfter` to be a whole number from 1 up/)
    expect(() => monitor.check('two', () => {}, { timeout: 5 as never })).toThrow(/`timeout` to be a duration/)
  })
})

const sqlite = () => new Kysely<object>({ dialect: new SqliteDialect({ database: new Database(':memory:') }) })

const databases: [name: string, service: string | undefined, open: () => QueryRunner & { destroy(): Promise<void> }][] =
  [
    ['SQLite', 'always', sqlite],
    [
      'SQLite, Kysely 0.28',
      'always',
      () => new Kysely028<object>({ dialect: new SqliteDialect028({ database: new Database(':memory:') }) }),
    ],
    [
      'SQLite, instrumented',
      'always',
      () => new Kysely<object>(instrument({ dialect: new SqliteDialect({ database: new Database(':memory:') }) })),
    ],
    [
      'PostgreSQL',
      services.postgres,
      () =>
        new Kysely<object>({
          dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: services.postgres }) }),
        }),
    ],
    ...(['mariadb', 'mysql'] as const).map((name): [string, string | undefined, () => Kysely<object>] => [
      name,
      services[name],
      () => new Kysely<object>({ dialect: new MysqlDialect({ pool: createPool({ uri: services[name] as string }) }) }),
    ]),
  ]

describe.each(databases)('checkKysely on %s', (_, service, open) => {
  it.skipIf(!service)('passes while the database answers', async () => {
    const { monitor } = healthy()
    const db = open()
    monitor.check('database', checkKysely(db), { interval: '0s', failAfter: 1 })
    expect((await monitor.health()).status).toBe('pass')
    await db.destroy()
    expect((await monitor.health()).status).toBe('fail')
  })
})

describe('ready-made checks', () => {
  it('ask a database whose plugins keep data by query', async () => {
    const seen = new WeakMap<object, string>()
    const earlier: unknown[] = []
    const plugin: KyselyPlugin = {
      transformQuery: ({ node }) => node,
      async transformResult({ queryId, result }) {
        earlier.push(seen.get(queryId))
        seen.set(queryId, 'seen')
        return result
      },
    }
    const db = sqlite().withPlugin(plugin)
    const check = checkKysely(db)
    await db.transaction().execute(async (transaction) => checkKysely(transaction)({ signal: AbortSignal.timeout(1) }))
    await check({ signal: AbortSignal.timeout(1) })
    await check({ signal: AbortSignal.timeout(1) })
    expect(earlier).toEqual([undefined, undefined, undefined])
    await db.destroy()
  })

  it('look at the state of a cache', async () => {
    const store = { state: 'degraded' }
    const cache = { stats: () => ({ hits: 0, misses: 0, errors: 0, hitRate: 0, errorRate: 0, store }) }
    const { monitor } = healthy()
    monitor.check('cache', checkCache(cache), { critical: false, interval: '0s', failAfter: 1 })
    expect((await monitor.health()).status).toBe('pass')
    store.state = 'down'
    expect((await monitor.health()).status).toBe('warn')
  })

  it('look at a disk', async () => {
    const { monitor } = healthy()
    monitor
      .check('roomy', checkDisk('/', 100))
      .check('full', checkDisk('/', 0))
      .check('gone', checkDisk('/no/such', 90))
    const { checks } = await monitor.health()
    expect([checks.roomy?.status, checks.full?.status, checks.gone?.status]).toEqual(['pass', 'fail', 'fail'])
    expect(() => checkDisk('', 90)).toThrow(/Expected `path` to be a string/)
    expect(() => checkDisk('/', 900)).toThrow(/Expected `percent` to be a number from 0 to 100/)
  })
})

function healthy(health: { interval?: '1m' } = {}) {
  const clock = { now: 0 }
  return { clock, monitor: new PerformanceMonitor({ sampleInterval: false, clock: () => clock.now, health }) }
}
