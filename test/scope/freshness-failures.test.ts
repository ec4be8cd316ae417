import { setTimeout as sleep } from 'node:timers/promises'
import { Kysely, SqliteDialect } from 'kysely'
import { createCache, instrument, nodeSqlite, PerformanceMonitor, requestScope } from 'posthaste'
import { describe, expect, it, onTestFinished } from 'vitest'
import { apps } from './support/apps.ts'
import { createTables, type Tables } from './support/crm.ts'

/** Goes on without what it cannot read. */
async function readBoth(db: Kysely<Tables>) {
  const users = await db.selectFrom('users').select('id').execute()
  const orgs = await db
    .selectFrom('orgs')
    .select('id')
    .execute()
    .catch(() => 'none')
  return { users, orgs }
}

describe.each(Object.keys(apps))('`freshness` on %s', (name) => {
  it.each(['query', 'connection'] as const)(
    'gives no tag to an answer without what a failed %s should read',
    async (what) => {
      const database = createTables(':memory:')
      const dialect = new SqliteDialect({ database: nodeSqlite(database) })
      let refused = Number.POSITIVE_INFINITY
      const createDriver = () => {
        const driver = dialect.createDriver()
        const acquire = driver.acquireConnection.bind(driver)
        let taken = 0
        driver.acquireConnection = async () => {
          taken += 1
          if (taken === refused) throw new Error('The pool is empty')
          return acquire()
        }
        return driver
      }
      const failing = {
        createAdapter: () => dialect.createAdapter(),
        createIntrospector: (db: Kysely<unknown>) => dialect.createIntrospector(db),
        createQueryCompiler: () => dialect.createQueryCompiler(),
        createDriver,
      }
      const cache = createCache()
      const monitor = new PerformanceMonitor({ sampleInterval: false })
      const db = new Kysely<Tables>(
        instrument({ dialect: failing }, { invalidates: cache, nPlusOne: false, explain: false }),
      )
      onTestFinished(async () => {
        await db.destroy()
        await monitor.close()
        await cache.close()
      })
      const url = await (apps[name] as (typeof apps)[string])({ monitor, cache, handler: () => readBoth(db) } as never)
      const ask = async (etag?: string | null) => {
        const response = await fetch(`${url}/fresh`, { headers: etag ? { 'if-none-match': etag } : {} })
        return { status: response.status, etag: response.headers.get('etag'), body: await response.text() }
      }
      await ask()
      if (what === 'query') database.exec('alter table orgs rename to lost')
      else refused = 4
      const lacking = await ask()
      expect(lacking.body).toContain('none')
      if (what === 'query') database.exec('alter table lost rename to orgs')
      const whole = await ask(lacking.etag)
      expect(whole).toMatchObject({ status: 200, body: '{"users":[],"orgs":[]}' })
      expect(await ask(whole.etag)).toMatchObject({ status: 304 })
    },
  )

  it.each([undefined, 'users'])(
    'gives no tag to an answer without what was stopped at the deadline (tags: %s)',
    async (tag) => {
      const database = createTables(':memory:')
      const cache = createCache()
      const monitor = new PerformanceMonitor({ sampleInterval: false })
      const db = new Kysely<Tables>(
        instrument({ dialect: new SqliteDialect({ database: nodeSqlite(database) }) }, { invalidates: cache }),
      )
      onTestFinished(async () => {
        await db.destroy()
        await monitor.close()
        await cache.close()
      })
      let waitMs = 0
      const url = await (apps[name] as (typeof apps)[string])({
        monitor,
        cache,
        monitorOptions: { deadline: '150ms' },
        freshness: tag === undefined ? {} : { tags: [tag] },
        async handler() {
          const users = await db.selectFrom('users').select('id').execute()
          const { signal } = requestScope() as { readonly signal: AbortSignal }
          return { users, weather: await sleep(waitMs, 'fair', { signal }).catch(() => 'none') }
        },
      })
      const ask = async (etag?: string | null) => {
        const response = await fetch(`${url}/fresh`, { headers: etag ? { 'if-none-match': etag } : {} })
        return { status: response.status, etag: response.headers.get('etag'), body: await response.text() }
      }
      await ask()
      waitMs = 10_000
      const lacking = await ask()
      expect(lacking.body).toContain('none')
      waitMs = 0
      const whole = await ask(lacking.etag)
      expect(whole).toMatchObject({ status: 200, body: '{"users":[],"weather":"fair"}' })
      expect(await ask(whole.etag)).toMatchObject({ status: 304 })
    },
  )
})
