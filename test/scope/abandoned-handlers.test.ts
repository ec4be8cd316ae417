import { AsyncLocalStorage } from 'node:async_hooks'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import type express5 from 'express'
import { Kysely, SqliteDialect, sql } from 'kysely'
import {
  type Cache,
  type CacheOptions,
  createCache,
  instrument,
  nodeSqlite,
  PerformanceMonitor,
  requestScope,
} from 'posthaste'
import * as onExpress from 'posthaste/express'
import * as onFastify from 'posthaste/fastify'
import * as onHono from 'posthaste/hono'
import { describe, expect, it, onTestFinished } from 'vitest'
import { type Answerer, answering, ask, type Installation } from '../support/answering.ts'
import { until } from '../support/until.ts'
import { askAndLeave } from './support/servers.ts'

function install(monitor: PerformanceMonitor, cache: Cache): Installation {
  return {
    express: (app) => void app.use(onExpress.monitorRequests(monitor)),
    async fastify(app) {
      await app.register(onFastify.monitorRequests, { monitor })
      await app.register(onFastify.cacheResponses, { cache })
    },
    hono: (app) => void app.use(onHono.monitorRequests(monitor)),
    route: {
      express: onExpress.cacheResponses(cache) as unknown as express5.RequestHandler,
      fastify: { cache: {} },
      hono: onHono.cacheResponses(cache),
    },
  }
}

function openDatabase(): () => Promise<unknown> {
  const dialect = new SqliteDialect({ database: nodeSqlite(new DatabaseSync(':memory:')) })
  const db = new Kysely<Record<string, never>>(instrument({ dialect }, { abandon: 'cancel' }))
  onTestFinished(() => db.destroy())
  return () => sql`select 1 as one`.execute(db)
}

describe.each(Object.entries(answering))('a handler behind `cacheResponses` on %s', (_name, start) => {
  async function serve(answer: Answerer, options: CacheOptions = {}) {
    const monitor = new PerformanceMonitor({ sampleInterval: false })
    const cache = createCache(options) as unknown as Cache
    const { port, close } = await start(answer, install(monitor, cache))
    onTestFinished(async () => {
      await close()
      await cache.close()
      await monitor.close()
    })
    const haveInFlight = (count: number) => until(() => monitor.snapshot().requests.inFlight === count)
    return { port, url: `http://127.0.0.1:${port}/`, haveInFlight }
  }

  it('answers its client after `timeouts.loadHard`', async () => {
    const query = openDatabase()
    const answer = async () => {
      await sleep(100)
      await query()
      return { body: 'late' }
    }
    const { port } = await serve(answer, { timeouts: { loadHard: '30ms' } })
    const { status, body } = await ask(port)
    expect([status, String(body)]).toEqual([200, 'late'])
  })

  it('goes on after it has answered with an error', async () => {
    const query = openDatabase()
    const later = Promise.withResolvers<unknown>()
    const { port } = await serve(() => {
      later.resolve(sleep(30).then(query))
      return { status: 500, body: 'failed' }
    })
    expect((await ask(port)).status).toBe(500)
    expect(await later.promise).toMatchObject({ rows: [{ one: 1 }] })
  })

  it('ends for the reason of its own client, and not before the last one has left', async () => {
    const query = openDatabase()
    const [started, firstLeft, bothLeft, secondLeaves] = gates(4)
    const shared = Promise.withResolvers<unknown>()
    const over = Promise.withResolvers<unknown>()
    const { url, haveInFlight } = await serve(async () => {
      const scope = requestScope()
      started.resolve()
      await firstLeft.promise
      shared.resolve(await query())
      await bothLeft.promise
      over.resolve(await query().catch((error: unknown) => error === scope?.signal.reason))
      return { body: 'done' }
    })
    const first = askAndLeave(
      url,
      started.promise.then(() => haveInFlight(2)),
    )
    await started.promise
    const second = askAndLeave(url, secondLeaves.promise)
    await first
    await haveInFlight(1)
    firstLeft.resolve()
    expect(await shared.promise).toMatchObject({ rows: [{ one: 1 }] })
    secondLeaves.resolve()
    await second
    await haveInFlight(0)
    bothLeft.resolve()
    expect(await over.promise).toBe(true)
  })

  it('ends with its client when its answer was too long to be stored', async () => {
    const query = openDatabase()
    const [isLong, left] = gates(2)
    const over = Promise.withResolvers<unknown>()
    const { url, haveInFlight } = await serve(() => {
      // On Hono, the pieces are made in the context of whoever reads them.
      const inContext = AsyncLocalStorage.snapshot()
      const pieces = async function* () {
        for (let piece = 0; piece < 10; piece++) yield 'x'.repeat(200_000)
        isLong.resolve()
        await left.promise
        over.resolve(inContext(query).catch(({ name }: Error) => name))
        yield 'end'
      }
      return { pieces }
    })
    await askAndLeave(url, isLong.promise)
    await haveInFlight(0)
    left.resolve()
    expect(await over.promise).toBe('AbortError')
  })
})

function gates(count: number): PromiseWithResolvers<void>[] & Record<0 | 1 | 2 | 3, PromiseWithResolvers<void>> {
  return Array.from({ length: count }, () => Promise.withResolvers<void>()) as never
}
