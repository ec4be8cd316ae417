import { DatabaseSync } from 'node:sqlite'
import express from 'express'
import { CompiledQuery, Kysely, SqliteDialect } from 'kysely'
import { createCache, instrument, nodeSqlite, PerformanceMonitor, requestScope, withQueryScope } from 'posthaste'
import * as onExpress from 'posthaste/express'
import { describe, expect, it, onTestFinished } from 'vitest'
import { until } from '../support/until.ts'
import { type AppOptions, apps } from './support/apps.ts'
import { listen } from './support/servers.ts'

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

function holdFor(ms: number): void {
  const end = performance.now() + ms
  while (performance.now() < end);
}

/** A database whose connections and queries take as long as they are told. */
function openSlow(acquireMs: number, queryMs: number) {
  const dialect = new SqliteDialect({ database: nodeSqlite(new DatabaseSync(':memory:')) })
  const { createDriver } = dialect
  dialect.createDriver = () => {
    const driver = createDriver.call(dialect)
    const { acquireConnection } = driver
    driver.acquireConnection = async (...options) => {
      await pause(acquireMs)
      const connection = await acquireConnection.apply(driver, options)
      const { executeQuery } = Object.getPrototypeOf(connection) as typeof connection
      if (!Object.hasOwn(connection, 'executeQuery')) {
        connection.executeQuery = async (...query) => {
          await pause(queryMs)
          return executeQuery.apply(connection, query) as never
        }
      }
      return connection
    }
    return driver
  }
  const db = new Kysely<Record<string, never>>(instrument({ dialect }, { nPlusOne: false, explain: false }))
  onTestFinished(() => db.destroy())
  return { query: () => db.executeQuery(CompiledQuery.raw('select 1')) }
}

describe.each(Object.keys(apps).filter((name) => !name.includes('plugin')))('the breakdown on %s', (name) => {
  async function start(handler: AppOptions['handler'], options: Partial<AppOptions> = {}) {
    const monitor = new PerformanceMonitor({ sampleInterval: false })
    const cache = createCache()
    onTestFinished(async () => {
      await monitor.close()
      await cache.close()
    })
    const url = await (apps[name] as (typeof apps)[string])({ monitor, cache, handler, ...options })
    const ask = async (headers: Record<string, string> = {}) => {
      const before = monitor.endpoint('GET', '/plain')?.count ?? 0
      const response = await fetch(`${url}/plain`, { headers })
      await response.text()
      await until(() => (monitor.endpoint('GET', '/plain')?.count ?? 0) > before)
      return response
    }
    return { monitor, cache, ask, endpoint: () => monitor.endpoint('GET', '/plain')! }
  }

  it('says where the time went, and its parts sum to the whole', async () => {
    const { query } = openSlow(20, 40)
    const upstream = await listen((_request, response) => setTimeout(() => response.end('ok'), 60))
    const { monitor, ask, endpoint } = await start(async () => {
      holdFor(15)
      await query()
      await (await fetch(upstream)).text()
      await pause(30)
      return 'ok'
    })
    for (let index = 0; index < 3; index++) await ask()
    const { breakdown, latencyMs } = endpoint()
    const { poolMs, databaseMs, cacheMs, upstreamMs, loopMs, restMs } = breakdown!
    // Timers fire up to a millisecond early, and late on a busy machine.
    expect(poolMs + loopMs).toBeGreaterThan(18)
    expect(databaseMs + loopMs).toBeGreaterThan(38)
    expect(upstreamMs + loopMs).toBeGreaterThan(55)
    expect(loopMs).toBeGreaterThan(14)
    expect(restMs + loopMs).toBeGreaterThan(25)
    expect(cacheMs).toBe(0)
    const sum = poolMs + databaseMs + cacheMs + upstreamMs + loopMs + restMs
    expect(Math.abs(sum - latencyMs.avg!) / latencyMs.avg!).toBeLessThan(0.05)
    const text = (await Array.fromAsync(monitor.prometheus())).join('')
    const ofParts = [...text.matchAll(/^posthaste_request_part_seconds_total\{.*"\/plain",part="(\w+)"\} (.+)$/gm)]
    expect(ofParts.map(([, part]) => part).toSorted()).toEqual([
      'cache',
      'database',
      'loop',
      'pool',
      'rest',
      'upstream',
    ])
    const seconds = ofParts.reduce((total, [, , value]) => total + Number(value), 0)
    expect(seconds * 1_000).toBeCloseTo(latencyMs.avg! * 3, 0)
  })

  it('counts the code behind a scope within the request as its own', async () => {
    const { query } = openSlow(0, 1)
    const { ask, endpoint } = await start(async () => {
      await withQueryScope('step', query, { deadline: '1h' })
      withQueryScope('empty step', () => {}, { signal: new AbortController().signal })
      holdFor(40)
      return 'ok'
    })
    await ask()
    expect(endpoint().breakdown!.loopMs).toBeGreaterThan(39)
  })

  it('unites waits that overlap', async () => {
    const { query } = openSlow(0, 60)
    const upstream = await listen((_request, response) => setTimeout(() => response.end('ok'), 60))
    const { ask, endpoint } = await start(async () => {
      await Promise.all([query(), fetch(upstream).then((response) => response.text()), pause(60)])
      return 'ok'
    })
    await ask()
    const { breakdown, latencyMs } = endpoint()
    expect(breakdown!.databaseMs + breakdown!.loopMs).toBeGreaterThan(50)
    expect(breakdown!.databaseMs + breakdown!.upstreamMs).toBeLessThan(latencyMs.avg! + 0.01)
    const sum = Object.values(breakdown!).reduce((total, ms) => total + ms, 0)
    expect(Math.abs(sum - latencyMs.avg!)).toBeLessThan(latencyMs.avg! * 0.05)
  })

  it('counts the wait for a load of another request as the cache’s', async () => {
    const begun = Promise.withResolvers<void>()
    const joined = Promise.withResolvers<void>()
    const { cache, monitor, ask } = await start(async ({ header }) => {
      const load = async () => {
        begun.resolve()
        await joined.promise
        await pause(80)
        return 'loaded'
      }
      const isSecond = header('x-second') === 'yes'
      if (isSecond) await begun.promise
      const answer = cache.getOrSet('key', load)
      if (isSecond) joined.resolve()
      return answer
    })
    await Promise.all([ask(), ask({ 'x-second': 'yes' })])
    await until(() => monitor.endpoint('GET', '/plain')?.count === 2)
    const { breakdown, latencyMs } = monitor.endpoint('GET', '/plain')!
    const { cacheMs } = breakdown!
    expect(cacheMs * 2).toBeGreaterThan(40)
    expect(cacheMs * 2).toBeLessThan(latencyMs.max!)
  })

  it('sends `Server-Timing` to whom the statistics are shown, and to nobody else', async () => {
    const { query } = openSlow(0, 30)
    const handler = async () => {
      await query()
      await requestScope()?.time('search', () => pause(20))
      return 'ok'
    }
    const { ask } = await start(handler, {
      authorize: { bearer: 'token' },
      monitorOptions: { serverTiming: 'authorized' },
    })
    expect((await ask()).headers.get('server-timing')).toBeNull()
    expect((await ask({ authorization: 'Bearer other' })).headers.get('server-timing')).toBeNull()
    const timing = (await ask({ authorization: 'Bearer token' })).headers.get('server-timing') ?? ''
    const entries = new Map(
      timing.split(', ').map((entry) => {
        const [name, ms] = entry.split(';dur=')
        return [name, Number(ms)]
      }),
    )
    expect([...entries.keys()]).toEqual(['pool', 'db', 'cache', 'upstream', 'loop', 'rest', 'search'])
    // On a busy machine a turn of the loop may take longer than a query.
    const loopMs = entries.get('loop')!
    expect(entries.get('db')! + loopMs).toBeGreaterThan(28)
    expect(entries.get('upstream')! + loopMs).toBeGreaterThan(18)
    expect(entries.get('search')).toBeGreaterThan(18)
  })

  it('aborts the signal of a request at its deadline', async () => {
    const seen: unknown[] = []
    const { ask } = await start(
      async () => {
        const scope = requestScope()!
        seen.push(scope.deadline! - Date.now())
        await new Promise((resolve) => scope.signal.addEventListener('abort', resolve, { once: true }))
        seen.push((scope.signal.reason as Error).name)
        return 'late'
      },
      { monitorOptions: { deadline: '50ms' } },
    )
    await ask()
    expect(seen[0]).toBeGreaterThan(20)
    expect(seen[0]).toBeLessThanOrEqual(51)
    expect(seen[1]).toBe('TimeoutError')
  })
})

/** The `Server-Timing` of an answer on Express. */
async function timingOf(
  handler: express.RequestHandler,
  authorize: 'public' | { readonly bearer: string } = 'public',
): Promise<string | null> {
  const monitor = new PerformanceMonitor({ sampleInterval: false })
  onTestFinished(() => monitor.close())
  const app = express()
  app.use(onExpress.monitorRequests(monitor, { serverTiming: 'authorized' }))
  app.use(onExpress.performanceRoutes(monitor, { authorize }))
  app.get('/', handler)
  const { headers } = await fetch(await listen(app), { headers: { authorization: 'Bearer token' } })
  return headers.get('server-timing')
}

it.each([['public'], [{ bearer: 'token' }]] as const)(
  'sends `Server-Timing` with an answer that is given at once (%j)',
  async (authorize) => {
    const timing = await timingOf((_request, response) => void response.end('ok'), authorize)
    expect(timing).toMatch(/^pool;dur=0, db;dur=0, .*rest;dur=/)
  },
)

it.each<[string, (response: express.Response) => void]>([
  ['`setHeader`', (response) => void response.setHeader('server-timing', 'cdn;dur=1')],
  ['`writeHead` with an object', (response) => void response.writeHead(200, { 'Server-Timing': 'cdn;dur=1' })],
  ['`writeHead` with a list', (response) => void response.writeHead(200, ['server-timing', 'cdn;dur=1'])],
])('keeps a `Server-Timing` of the handler by %s beside its own', async (_, write) => {
  const timing = await timingOf((_request, response) => {
    write(response)
    response.end('ok')
  })
  expect(timing).toMatch(/^cdn;dur=1, pool;dur=0, .*rest;dur=/)
})

it('leaves names out of `Server-Timing` that would make the head too long for clients', async () => {
  const timing = await timingOf(async (_request, response) => {
    for (let step = 0; step < 2_000; step++) await requestScope()?.time(`step-${step}`, () => {})
    response.end('ok')
  })
  expect(timing).toContain('step-100;')
  expect(timing?.length).toBeLessThanOrEqual(4_096)
})

it('counts a name once in `Server-Timing` while several calls have it, up to the answer', async () => {
  const timing = await timingOf(async (_request, response) => {
    await Promise.race([20, 60, 60, 60].map((ms) => requestScope()?.time('search', () => pause(ms))))
    await pause(20)
    response.end('ok')
  })
  const entries = (timing as string).split(', ').map((entry) => Number(entry.split(';dur=')[1]))
  const search = entries.pop()!
  expect(search).toBeGreaterThan(38)
  expect(search).toBeLessThanOrEqual(entries.reduce((sum, ms) => sum + ms) + 0.01)
})

it('names the largest part as the cause of a slow endpoint', async () => {
  const monitor = new PerformanceMonitor({
    sampleInterval: false,
    alerts: { responseTime: { threshold: '20ms', for: '0s', minSamples: 1 } },
  })
  const cache = createCache()
  onTestFinished(async () => {
    await monitor.close()
    await cache.close()
  })
  const { query } = openSlow(0, 60)
  const handler = async () => {
    await query()
    return 'ok'
  }
  const url = await (apps.Express as (typeof apps)[string])({ monitor, cache, handler })
  for (let index = 0; index < 5; index++) await (await fetch(`${url}/plain`)).text()
  await until(() => monitor.endpoint('GET', '/plain')?.count === 5)
  await until(() => monitor.alerts().some(({ id }) => id === 'response_time'))
  const { cause, target } = monitor.alerts().find(({ id }) => id === 'response_time')!
  expect([target, cause.part]).toEqual(['GET /plain', 'database'])
  expect(cause.partShare).toBeGreaterThan(0.5)
})

it('is part of what a fleet publishes, and is null where nothing was measured', () => {
  const monitor = new PerformanceMonitor({ sampleInterval: false })
  onTestFinished(() => monitor.close())
  monitor.record('GET', '/x', 200, monitor.start())
  expect(monitor.endpoint('GET', '/x')?.breakdown).toBeNull()
  const startedAt = monitor.start()
  holdFor(10)
  monitor.record('GET', '/y', 200, startedAt, 'completed', undefined, { ms: [0, 60_000, 0, 0, 0] })
  const { breakdown, latencyMs } = monitor.endpoint('GET', '/y')!
  // More than the request took: another clock.
  expect(breakdown?.databaseMs).toBeCloseTo(latencyMs.avg as number, 9)
  expect(breakdown?.restMs).toBeCloseTo(0, 9)
})

describe('`requestScope`', () => {
  it('is that of the job outside of requests, with its signal and deadline', async () => {
    expect(requestScope()).toBeUndefined()
    const controller = new AbortController()
    await withQueryScope(
      'job',
      async () => {
        const outer = requestScope()!
        expect(outer.deadline! - Date.now()).toBeLessThanOrEqual(60_000)
        await withQueryScope('step', async () => expect(requestScope()).toBe(outer))
        await withQueryScope(
          'step with a deadline',
          async () => {
            const inner = requestScope()!
            expect(inner).not.toBe(outer)
            controller.abort(new Error('enough'))
            expect(inner.signal.reason).toBe(controller.signal.reason)
          },
          { deadline: '1h' },
        )
        expect(outer.signal.reason).toBe(controller.signal.reason)
      },
      { signal: controller.signal, deadline: '1m' },
    )
  })

  it('names what `time` cannot count, and passes errors on', async () => {
    await withQueryScope('job', async () => {
      const scope = requestScope()!
      expect(() => scope.time('two words', () => 1)).toThrow('Expected `name` to be a word')
      for (const name of ['loop', 'rest']) {
        expect(() => scope.time(name, () => 1)).toThrow('Expected `name` to be another word')
      }
      expect(scope.time('sync', () => 1)).toBe(1)
      const error = new Error('failed')
      expect(() =>
        scope.time('sync', () => {
          throw error
        }),
      ).toThrow(error)
      await expect(scope.time('async', () => Promise.reject(error))).rejects.toBe(error)
    })
  })
})
