import { setTimeout as sleep } from 'node:timers/promises'
import type express5 from 'express'
import { sql } from 'kysely'
import {
  type Cache,
  cachedQuery,
  createCache,
  PerformanceMonitor,
  queryReport,
  readRows,
  retryTransaction,
} from 'posthaste'
import * as onExpress from 'posthaste/express'
import * as onFastify from 'posthaste/fastify'
import * as onHono from 'posthaste/hono'
import { describe, expect, it, onTestFinished } from 'vitest'
import { type Answer, answering, ask, type Installation } from '../support/answering.ts'
import { seed } from '../support/seed.ts'
import { services } from '../support/services.ts'
import { until } from '../support/until.ts'
import { pick, randomFrom } from './support/random.ts'
import { askAndLeave, openDatabase, servers, type TestDatabase } from './support/servers.ts'

const requests = Number(process.env.RUNS ?? 60)
const together = 12
const rows = 30
const paths = ['/lookups', '/slow', '/cached', '/many', '/rows', '/write', '/transaction'] as const

function install(monitor: PerformanceMonitor, cache: Cache): Installation {
  const options = { query: 'all', tags: 'auto' } as const
  return {
    express: (app) => void app.use(onExpress.monitorRequests(monitor), onExpress.compressResponses() as never),
    async fastify(app) {
      await app.register(onFastify.monitorRequests, { monitor })
      await app.register(onFastify.compressResponses, {})
      await app.register(onFastify.cacheResponses, { cache })
    },
    hono(app) {
      app.onError((error, c) => c.text(error.message, 500))
      app.use(onHono.monitorRequests(monitor), onHono.compressResponses())
    },
    route: {
      express: onExpress.cacheResponses(cache, options) as unknown as express5.RequestHandler,
      fastify: { cache: options },
      hono: onHono.cacheResponses(cache, options) as never,
    },
  }
}

/** Handlers that read and write in all ways, and what they know to be written. */
function applicationOf({ db, table }: TestDatabase, cache: Cache, server: string) {
  const written = new Set<number>()
  const delay = sql<unknown>`${sql.raw(server === 'postgres' ? 'pg_sleep' : 'sleep')}(0.01)`.as('x')
  const nameOf = (id: number) => db.selectFrom(table).select('name').where('id', '=', id).executeTakeFirstOrThrow()
  const handlers = {
    '/lookups': async (n: number) => {
      const found = await Promise.all([1, 2, 3, 4].map((step) => nameOf(((n + step) % rows) + 1)))
      return found.map(({ name }) => name).join()
    },
    '/slow': async (n: number) => {
      await db.selectNoFrom(delay).execute()
      return (await nameOf((n % rows) + 1)).name
    },
    '/cached': async (n: number) => {
      const load = async () => {
        await db.selectNoFrom(delay).execute()
        return (await nameOf((n % 3) + 1)).name
      }
      return await cache.getOrSet(['name', n % 3], load, { tags: 'auto' })
    },
    '/many': async (n: number) => {
      const ids = [n % 5, (n + 1) % 5, (n + 2) % 5].map((id) => id + 1)
      const load = async (missing: readonly number[]) => {
        const found = await db.selectFrom(table).selectAll().where('id', 'in', missing).execute()
        return new Map(found.map(({ id, name }) => [id, name]))
      }
      const names = await cache.getOrSetMany(ids, load, { key: (id) => ['many', id] })
      const query = db
        .selectFrom(table)
        .select('name')
        .where('id', '=', ids[0] as number)
      const [first] = (await cachedQuery(cache, query)) as { name: string }[]
      return [...ids.map((id) => names.get(id)), first?.name].join()
    },
    '/rows': async () => {
      const names: string[] = []
      for await (const row of readRows(db.selectFrom(table).selectAll().where('id', '<=', rows), {
        unique: 'id',
        size: 7,
      })) {
        names.push(row.name)
      }
      return String(names.length)
    },
    '/write': async (n: number) => {
      await nameOf(1)
      await db
        .insertInto(table)
        .values({ id: 1_000 + n, name: 'new' })
        .execute()
      written.add(1_000 + n)
      return 'written'
    },
    '/transaction': async (n: number) => {
      await retryTransaction(db, async (trx) => {
        await trx.selectNoFrom(delay).execute()
        await trx
          .insertInto(table)
          .values({ id: 1_000 + n, name: 'new' })
          .execute()
        await trx
          .updateTable(table)
          .set({ name: String(n) })
          .where('id', '=', 100)
          .execute()
      })
      written.add(1_000 + n)
      return 'committed'
    },
  }
  const expected = (path: (typeof paths)[number], n: number): string => {
    const name = (id: number) => `name ${id}`
    if (path === '/lookups') return [1, 2, 3, 4].map((step) => name(((n + step) % rows) + 1)).join()
    if (path === '/slow') return name((n % rows) + 1)
    if (path === '/cached') return name((n % 3) + 1)
    if (path === '/many') return [n % 5, (n + 1) % 5, (n + 2) % 5, n % 5].map((id) => name(id + 1)).join()
    if (path === '/rows') return String(rows)
    return path === '/write' ? 'written' : 'committed'
  }
  return { handlers, expected, written }
}

describe.each(servers)('an application on %s that clients leave at any time', (server) => {
  describe.skipIf(!services[server])('with a server', () => {
    it.each(Object.entries(answering))(
      `answers those that stay, loses no write and no connection (%s, seed ${seed})`,
      async (_name, start) => {
        const random = randomFrom(seed)
        const monitor = new PerformanceMonitor({ sampleInterval: false })
        const namespace = `left-${Math.random().toString(36).slice(2)}`
        const cache = createCache({ ...(services.redis && { redis: services.redis, namespace }) }) as unknown as Cache
        const database = await openDatabase(server, pick(['plain', 'tuned'] as const, random), {
          autoBatch: true,
          invalidates: cache as never,
          timeout: '20s',
          monitor,
        })
        const { db, table } = database
        await db
          .insertInto(table)
          .values(Array.from({ length: rows }, (_, at) => ({ id: at + 1, name: `name ${at + 1}` })))
          .execute()
        await db.insertInto(table).values({ id: 100, name: '0' }).execute()
        const { handlers, expected, written } = applicationOf(database, cache, server)
        let running = 0
        const answer = async ({ url, method }: { url: string; method: string }): Promise<Answer> => {
          const [path, n] = url.split('?n=') as [(typeof paths)[number], string]
          const headers = { 'content-type': 'text/plain', ...(method === 'GET' ? {} : { 'cache-control': 'no-store' }) }
          running += 1
          try {
            return { body: await handlers[path](Number(n)), headers }
          } finally {
            running -= 1
          }
        }
        const { port, close } = await start(answer, install(monitor, cache))
        onTestFinished(async () => {
          await close()
          await cache.close()
          await monitor.close()
        })
        /** How many queries ended because their clients had left. */
        const abandoned = () => {
          const { cancelled, dequeued, refused } = queryReport(db).abandoned!
          return cancelled + dequeued + refused
        }
        let next = 0
        let slowest = 0
        const client = async () => {
          while (next < requests || abandoned() === 0) {
            const n = next++
            const path = pick(paths, random)
            const method = path === '/write' || path === '/transaction' ? 'POST' : 'GET'
            if (random() < 0.4) {
              await askAndLeave(`http://127.0.0.1:${port}${path}?n=${n}`, sleep(random() * 25), method)
              continue
            }
            const startedAt = performance.now()
            const { status, body } = await ask(port, { method, path: `${path}?n=${n}` })
            slowest = Math.max(slowest, performance.now() - startedAt)
            expect([path, status, String(body)]).toEqual([path, 200, expected(path, n)])
          }
        }
        await Promise.all(Array.from({ length: together }, client))
        expect(slowest).toBeLessThan(20_000)
        await until(() => monitor.snapshot().requests.inFlight === 0)
        // Handlers of clients that have left may still write.
        await until(() => running === 0)
        const readWritten = async () => {
          const found = await db.selectFrom(table).select('id').where('id', '>=', 1_000).orderBy('id').execute()
          return found.map(({ id }) => id)
        }
        // As many as the pool has connections.
        for (const ids of await Promise.all(Array.from({ length: 4 }, readWritten))) {
          expect(ids).toEqual([...written].toSorted((one, other) => one - other))
        }
      },
      120_000,
    )
  })
})
