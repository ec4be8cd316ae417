import express from 'express'
import { sql } from 'kysely'
import { batchProcess, createCache, PerformanceMonitor, queryReport, readRows, withQueryScope } from 'posthaste'
import { monitorRequests } from 'posthaste/express'
import { describe, expect, it, onTestFinished } from 'vitest'
import { seed } from '../support/seed.ts'
import { services } from '../support/services.ts'
import { until } from '../support/until.ts'
import { askAndLeave, listen, openDatabase, type ServerName, servers, type TestDatabase } from './support/servers.ts'

const rounds = Number(process.env.RUNS ?? 10)

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

describe.each(servers)('`abandon` on %s', (server) => {
  describe.skipIf(!services[server])('with a server', () => {
    it.each(['plain', 'tuned'] as const)(
      'cancels the queries of clients that left, and empties the queue for others (%s pool)',
      async (kind) => {
        const { app, database } = await start(server, kind)
        const { db, sleep, running } = database
        app.get('/slow', async (_request, response) => {
          await sleep(20_000).catch(() => {})
          response.end()
        })
        const url = await listen(app)
        const leave = Promise.withResolvers<void>()
        const clients = Array.from({ length: 8 }, () => askAndLeave(`${url}/slow`, leave.promise))
        await until(async () => (await running()) === 4)
        leave.resolve()
        await Promise.all(clients)
        const leftAt = performance.now()
        await sql`select 1`.execute(db)
        await until(async () => (await running()) === 0)
        expect(performance.now() - leftAt).toBeLessThan(10_000)
        const { cancelled, dequeued, refused } = queryReport(db).abandoned!
        // A connection that is free again may take a query before its client is seen to have left.
        expect(cancelled).toBeGreaterThanOrEqual(4)
        expect(cancelled + dequeued + refused).toBe(8)
      },
    )

    it('rejects with the reason of the signal, and sends nothing afterwards', async () => {
      const { db, sleep, running } = await openDatabase(server, 'plain')
      const controller = new AbortController()
      const reason = new Error('enough')
      const outcomes = withQueryScope(
        'job',
        async () => {
          const first = await sleep(20_000).catch((error: unknown) => error)
          const second = await sleep(0).catch((error: unknown) => error)
          return [first, second]
        },
        { signal: controller.signal },
      )
      await until(async () => (await running()) === 1)
      controller.abort(reason)
      expect(await outcomes).toEqual([reason, reason])
      expect(queryReport(db).abandoned).toEqual({ cancelled: 1, dequeued: 0, refused: 1 })
    })

    it('lets the other queries run that were asked for in the same turn, with `autoBatch`', async () => {
      const { db, table, running } = await openDatabase(server, 'plain', { autoBatch: true })
      const sleep = sql<unknown>`${sql.raw(server === 'postgres' ? 'pg_sleep' : 'sleep')}(0.5)`.as(table)
      const slow = () => db.selectNoFrom(sleep).execute()
      const controller = new AbortController()
      const outcomes = Promise.allSettled([
        withQueryScope('left', slow, { signal: controller.signal }),
        withQueryScope('stayed', slow),
      ])
      await until(async () => (await running()) === 2)
      controller.abort(new Error('left'))
      expect((await outcomes).map(({ status }) => status)).toEqual(['rejected', 'fulfilled'])
      expect(queryReport(db).abandoned).toEqual({ cancelled: 1, dequeued: 0, refused: 0 })
    })

    it('still joins lookups with `autoBatch` after some were abandoned', async () => {
      const { db, table } = await openDatabase(server, 'tuned', { autoBatch: true })
      const lookups = () =>
        Promise.all([1, 2, 3].map((id) => db.selectFrom(table).select('name').where('id', '=', id).execute()))
      const lock = sql.raw(server === 'postgres' ? `lock table ${table}` : `lock tables ${table} write`)
      const unlock = sql.raw(server === 'postgres' ? 'rollback' : 'unlock tables')
      const leave = async (wait: () => Promise<unknown>) => {
        const controller = new AbortController()
        const reason = new Error('left')
        const outcome = withQueryScope('left', lookups, { signal: controller.signal })
        outcome.catch(() => {})
        await wait()
        controller.abort(reason)
        await expect(outcome).rejects.toBe(reason)
      }
      await leave(async () => {})
      await withQueryScope('stayed', lookups)
      await db.connection().execute(async (holder) => {
        for (let client = 0; client < 3; client++) {
          if (server === 'postgres') await sql`begin`.execute(holder)
          await lock.execute(holder)
          await leave(() => pause(50))
          await unlock.execute(holder)
        }
      })
      const { statements } = queryReport(db).autoBatch
      await withQueryScope('stayed', lookups)
      const { autoBatch } = queryReport(db)
      expect(autoBatch.shapes.map(({ refused }) => refused)).toEqual([undefined])
      expect(autoBatch.statements).toBe(statements + 1)
    })

    it.runIf(server === 'postgres')(
      'frees the connections of lookups that wait for a lock before they are joined',
      async () => {
        const { db, table } = await openDatabase(server, 'tuned', { autoBatch: true })
        const lookups = () =>
          Promise.all([1, 2, 3].map((id) => db.selectFrom(table).select('name').where('id', '=', id).execute()))
        await db.connection().execute(async (holder) => {
          await sql`begin`.execute(holder)
          await sql`lock table ${sql.raw(table)}`.execute(holder)
          const controllers = Array.from({ length: 3 }, () => new AbortController())
          const outcomes = controllers.map(async ({ signal }) => {
            await withQueryScope('left', lookups, { signal })
          })
          await pause(50)
          for (const controller of controllers) controller.abort(new Error('left'))
          expect((await Promise.allSettled(outcomes)).map(({ status }) => status)).toEqual(Array(3).fill('rejected'))
          await sql`select 1`.execute(db)
          await sql`rollback`.execute(holder)
        })
        await withQueryScope('stayed', lookups)
        expect(queryReport(db).autoBatch.shapes.map(({ refused }) => refused)).toEqual([undefined])
      },
    )

    it('ends the queries of a request at its deadline', async () => {
      const { app, database } = await start(server, 'plain', '150ms')
      const failed = Promise.withResolvers<unknown>()
      app.get('/slow', (_request, response) => {
        database.sleep(5_000).then(failed.resolve, failed.reject)
        failed.promise.catch(() => {}).then(() => response.status(503).end())
      })
      const url = await listen(app)
      const response = await fetch(`${url}/slow`)
      expect(response.status).toBe(503)
      await expect(failed.promise).rejects.toMatchObject({ name: 'TimeoutError' })
    })

    it('ends a query at once whose `timeout` passes while it is cancelled', async () => {
      const { sleep, running } = await openDatabase(server, 'tuned', { timeout: '155ms' })
      const startedAt = performance.now()
      const outcome = withQueryScope('job', () => sleep(20_000), { deadline: '150ms' })
      await expect(outcome).rejects.toMatchObject({ name: 'TimeoutError' })
      expect(performance.now() - startedAt).toBeLessThan(4_000)
      expect(await running()).toBe(0)
    })

    it('lets writes, transactions and what a batch reads run to their end', async () => {
      const { app, database } = await start(server, 'plain')
      const { db, table, sleep } = database
      const ended: string[] = []
      const leave = Promise.withResolvers<void>()
      app.get('/write', async (_request, response) => {
        leave.resolve()
        await response.writableEnded
        await new Promise((resolve) => response.on('close', resolve))
        await db.insertInto(table).values({ id: 1, name: 'after' }).execute()
        await db.transaction().execute(async (trx) => {
          await trx.selectFrom(table).selectAll().execute()
          await trx.insertInto(table).values({ id: 2, name: 'in a transaction' }).execute()
        })
        const query = db.selectFrom(table).selectAll()
        await batchProcess(readRows(query, { unique: 'id' }), ({ id }) => {
          ended.push(`row ${id}`)
        })
        await sleep(0).catch(({ name }: Error) => ended.push(name))
        ended.push('end')
      })
      const url = await listen(app)
      await askAndLeave(`${url}/write`, leave.promise)
      await until(() => ended.includes('end'))
      expect(ended).toEqual(['row 1', 'row 2', 'AbortError', 'end'])
      expect(await db.selectFrom(table).select('id').orderBy('id').execute()).toEqual([{ id: 1 }, { id: 2 }])
    })

    it('sends a write that waits for a connection when its client leaves', async () => {
      const { app, database } = await start(server, 'tuned', undefined, 1)
      const { db, table } = database
      const holder = Promise.withResolvers<void>()
      const isHeld = Promise.withResolvers<void>()
      const held = db.connection().execute(async () => {
        isHeld.resolve()
        await holder.promise
      })
      await isHeld.promise
      const asked = Promise.withResolvers<void>()
      const ended: unknown[] = []
      app.get('/', () => {
        const note = (result: unknown) => ended.push(result)
        db.insertInto(table)
          .values({ id: 1, name: 'queued' })
          .execute()
          .then(() => note('written'), note)
        const moved = db
          .transaction()
          .execute((trx) => trx.insertInto(table).values({ id: 2, name: 'queued' }).execute())
        moved.then(() => note('moved'), note)
        db.selectFrom(table)
          .selectAll()
          .execute()
          .then(note, ({ name }: Error) => note(name))
        asked.resolve()
      })
      const url = await listen(app)
      await askAndLeave(url, asked.promise)
      await until(() => ended.length === 1)
      expect(ended).toEqual(['AbortError'])
      holder.resolve()
      await held
      await until(() => ended.length === 3)
      expect(ended.toSorted()).toEqual(['AbortError', 'moved', 'written'])
      expect(await db.selectFrom(table).select('id').orderBy('id').execute()).toEqual([{ id: 1 }, { id: 2 }])
    })

    it('ends a load with its last caller, and not before', async () => {
      const { app, database } = await start(server, 'plain')
      const cache = createCache()
      onTestFinished(() => cache.close())
      const aborted: string[] = []
      const started = { shared: Promise.withResolvers<void>(), alone: Promise.withResolvers<void>() }
      const joined = Promise.withResolvers<void>()
      let callers = 0
      app.get('/:key', async ({ params }, response) => {
        const key = params.key as 'shared' | 'alone'
        const load = async ({ signal }: { signal: AbortSignal }) => {
          signal.addEventListener('abort', () => aborted.push(key))
          started[key].resolve()
          await database.sleep(key === 'shared' ? 600 : 20_000)
          return key
        }
        const value = cache.getOrSet(key, load)
        callers += 1
        if (callers === 2) joined.resolve()
        await value.then(
          (text) => response.end(text),
          () => response.destroy(),
        )
      })
      const url = await listen(app)
      const both = askAndLeave(`${url}/shared`, joined.promise)
      await started.shared.promise
      const other = fetch(`${url}/shared`).then((response) => response.text())
      await both
      expect(await other).toBe('shared')
      await askAndLeave(`${url}/alone`, started.alone.promise)
      await until(async () => aborted.length > 0 && (await database.running()) === 0)
      expect(aborted).toEqual(['alone'])
    })

    it('passes an abort of the signal that Kysely takes on to the server', async () => {
      const { db, table, running } = await openDatabase(server, 'plain')
      const sleep = server === 'postgres' ? sql`pg_sleep(20)` : sql`sleep(20)`
      const controller = new AbortController()
      const slow = db.selectNoFrom(sleep.as(table)).execute({ signal: controller.signal })
      const outcome = slow.catch(({ name }: Error) => name)
      await until(async () => (await running()) === 1)
      controller.abort()
      expect(await outcome).toBe('AbortError')
      await until(async () => (await running()) === 0)
    })

    it(`loses no write and fails nobody else's load while clients leave at any time (seed ${seed})`, {
      timeout: 30_000 + rounds * 2_000,
    }, async () => {
      for (let round = 0; round < rounds; round++) await leaveAtRandom(server, random(seed + round), round)
    })
  })
})

it('refuses what was not sent yet on SQLite, where nothing can be cancelled', async () => {
  const { DatabaseSync } = await import('node:sqlite')
  const { Kysely, SqliteDialect } = await import('kysely')
  const { instrument, nodeSqlite } = await import('posthaste')
  const dialect = new SqliteDialect({ database: nodeSqlite(new DatabaseSync(':memory:')) })
  const db = new Kysely<Record<string, never>>(instrument({ dialect }, { abandon: 'cancel' }))
  onTestFinished(() => db.destroy())
  const ask = () => sql`select 1 as one`.execute(db).catch((error: unknown) => error)
  const signal = AbortSignal.abort(new Error('gone'))
  expect(await withQueryScope('job', ask, { signal })).toBe(signal.reason)
  expect(await withQueryScope('job', ask)).toMatchObject({ rows: [{ one: 1 }] })
})

/** Ten clients read, write and load; half of them leave. */
async function leaveAtRandom(server: ServerName, next: () => number, round: number): Promise<void> {
  const database = await databaseOf(server)
  const { db, table, sleep, running } = database
  const written: number[] = []
  const failures: unknown[] = []
  const cache = createCache()
  const app = express()
  const monitor = new PerformanceMonitor({ sampleInterval: false })
  app.use(monitorRequests(monitor))
  app.get('/read', async (_request, response) => {
    await sleep(400).catch(() => {})
    response.end()
  })
  app.get('/write/:id', async ({ params }, response) => {
    const id = Number(params.id)
    try {
      if (id % 2 === 0) await db.insertInto(table).values({ id, name: 'alone' }).execute()
      else await db.transaction().execute((trx) => trx.insertInto(table).values({ id, name: 'trx' }).execute())
      written.push(id)
    } catch (error) {
      failures.push(error)
    }
    response.end()
  })
  app.get('/load/:key', async ({ params }, response) => {
    try {
      await cache.getOrSet(params.key as string, async () => {
        await sleep(100)
        return db.selectFrom(table).select('id').execute()
      })
      response.end('loaded')
    } catch {
      response.status(500).end()
    }
  })
  const url = await listen(app)
  const stays: Promise<unknown>[] = []
  const leaves: Promise<unknown>[] = []
  for (let client = 0; client < 10; client++) {
    const kind = next()
    const id = round * 100 + client
    const path = kind < 0.4 ? '/read' : kind < 0.7 ? `/write/${id}` : `/load/${Math.floor(next() * 2)}`
    const isWrite = path.startsWith('/write')
    if (next() < 0.5) leaves.push(askAndLeave(url + path, pause(next() * 250)))
    else stays.push(fetch(url + path).then((response) => expect(response.status, path).toBe(200)))
    if (isWrite) await pause(next() * 20)
  }
  await Promise.all(leaves)
  const leftAt = performance.now()
  await Promise.all(stays)
  // What stays has ended by now: whatever still runs is of somebody who left. A machine that does other things takes longer.
  await pause(Math.max(0, 300 - (performance.now() - leftAt)))
  if (process.env.RUNS === undefined) await until(async () => (await running()) === 0)
  else expect(await running(), `queries that run 300 ms later, in round ${round}`).toBe(0)
  expect(failures).toEqual([])
  const ids = written.length === 0 ? [] : await db.selectFrom(table).select('id').where('id', 'in', written).execute()
  expect(ids.map(({ id }) => id).toSorted((a, b) => a - b)).toEqual(written.toSorted((a, b) => a - b))
  await cache.close()
  await monitor.close()
}

const databases = new Map<ServerName, Promise<TestDatabase>>()

function databaseOf(server: ServerName): Promise<TestDatabase> {
  const known = databases.get(server)
  if (known !== undefined) return known
  const opened = openDatabase(server, 'tuned')
  databases.set(server, opened)
  onTestFinished(() => {
    databases.delete(server)
  })
  return opened
}

async function start(server: ServerName, kind: 'plain' | 'tuned', deadline?: '150ms', size?: number) {
  const monitor = new PerformanceMonitor({ sampleInterval: false })
  onTestFinished(() => monitor.close())
  const database = await openDatabase(server, kind, {}, size)
  const app = express()
  app.use(monitorRequests(monitor, { deadline }))
  return { app, database, monitor }
}

/** Mulberry32. */
function random(state: number): () => number {
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}
