import SQLite from 'better-sqlite3'
import express from 'express'
import { Kysely, SqliteDialect, sql } from 'kysely'
import { expect, it, onTestFinished, vi } from 'vitest'

it('opens a query scope for each request as soon as queries are watched, and none before', async () => {
  // Whether queries are watched is known to the process, where other tests have been: the library is loaded anew.
  vi.resetModules()
  const { openRequestScope } = await import('../../src/database/n-plus-one/query-scope.ts')
  const { instrument, PerformanceMonitor, queryReport } = await import('posthaste')
  const { monitorRequests } = await import('posthaste/express')
  expect(openRequestScope(() => 'GET /')).toBeUndefined()

  const monitor = new PerformanceMonitor({ sampleInterval: false })
  const dialect = new SqliteDialect({ database: new SQLite(':memory:') })
  const db = new Kysely(instrument({ dialect }, { nPlusOne: { mode: 'silent' } }))
  const app = express()
    .use(monitorRequests(monitor))
    .get('/users/:id', async (_request, response) => {
      for (let count = 0; count < 6; count++) await sql`select ${count} from sqlite_schema`.execute(db)
      response.end()
    })
  const server = app.listen(0, '127.0.0.1')
  onTestFinished(async () => {
    server.close()
    await db.destroy()
    await monitor.close()
  })
  await new Promise((resolve) => server.once('listening', resolve))
  await fetch(`http://127.0.0.1:${(server.address() as { port: number }).port}/users/1`)
  await expect.poll(() => queryReport(db).nPlusOne).toMatchObject([{ scope: 'GET /users/:id' }])
})
