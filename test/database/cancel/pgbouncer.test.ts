import { Kysely, PostgresDialect, sql } from 'kysely'
import pg from 'pg'
import { type Duration, instrument, type PoolTuning, tunePgPool } from 'posthaste'
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { findBinary, hasPgbouncer, type Server, startPgbouncer, startPostgres } from '../../support/servers.ts'

const timeoutMs = 400
const runs = Number(process.env.RUNS ?? 30)

describe.skipIf(findBinary('initdb') === undefined || !hasPgbouncer())('behind PgBouncer in transaction mode', () => {
  let server: Server
  let bouncer: Server
  beforeAll(async () => {
    server = (await startPostgres()) as Server
    bouncer = await startPgbouncer(server.url, ['default_pool_size = 12'])
  })
  afterAll(async () => {
    await bouncer?.stop()
    await server?.stop()
  })

  function connect({ kind = 'tuned', max = 4, url = bouncer.url, timeout, ...tuning }: Options = {}) {
    const pool = new pg.Pool({ connectionString: url, max })
    pool.on('error', () => {})
    const dialect = new PostgresDialect({ pool: kind === 'tuned' ? tunePgPool(pool, tuning) : pool })
    const db = new Kysely<Record<string, never>>(instrument({ dialect }, { timeout }))
    onTestFinished(() => db.destroy())
    return db
  }
  interface Options extends PoolTuning {
    kind?: 'plain' | 'tuned'
    max?: number
    url?: string
    timeout?: Duration | undefined
  }

  it.each(['plain', 'tuned'] as const)(
    'cancels each query on the server in time, and no statement of another client (%s pool)',
    async (kind) => {
      const db = connect({ kind, timeout: `${timeoutMs}ms` })
      const others = connect({ kind: 'plain', max: 8 })
      const watcher = new pg.Client(server.url)
      await watcher.connect()
      onTestFinished(() => watcher.end())

      const tookMs: number[] = []
      let hasEnded = false
      const innocent = Promise.all(
        Array.from({ length: 8 }, async (_, client) => {
          let statements = 0
          for (; !hasEnded; statements += 1) await sql`select pg_sleep(${0.01 + client / 100})`.execute(others)
          return statements
        }),
      )
      const oneAfterAnother = async (times: number, lane: number) => {
        for (let run = 0; run < times; run += 1) {
          const mark = `${kind}_${lane}_${run}`
          const startedAt = performance.now()
          const failure = await sql`select pg_sleep(30) as ${sql.id(mark)}`.execute(db).catch((error) => error)
          tookMs.push(performance.now() - startedAt)
          expect(failure).toMatchObject({ code: 'ERR_QUERY_TIMEOUT', cause: { code: '57014' } })
          const { rows } = await watcher.query(
            "select 1 from pg_stat_activity where state = 'active' and query like $1",
            [`%"${mark}"%`],
          )
          expect(rows).toEqual([])
          expect((await sql<{ one: number }>`select 1 as one`.execute(db)).rows).toEqual([{ one: 1 }])
        }
      }
      try {
        await Promise.all([0, 1, 2].map((lane) => oneAfterAnother(Math.ceil(runs / 3), lane)))
      } finally {
        hasEnded = true
        await innocent
      }
      // With `RUNS` each one is held to it, on a machine that has nothing else to do; in the suite, the median.
      tookMs.sort((one, other) => one - other)
      const position = process.env.RUNS === undefined ? tookMs.length >> 1 : -1
      expect(tookMs.at(position)).toBeLessThan(timeoutMs + 500)
      expect(Math.min(...(await innocent))).toBeGreaterThan(0)
    },
    60_000,
  )

  it("limits statements with `timeoutVia: 'set'`, those of its own pool alone", async () => {
    const only = await startPgbouncer(server.url, ['default_pool_size = 1'])
    onTestFinished(() => only.stop())
    const onWarn = vi.fn()
    const db = connect({ url: only.url, statementTimeout: '200ms', timeoutVia: 'set', onWarn })
    const other = connect({ url: only.url, kind: 'plain' })
    for (let run = 0; run < 5; run += 1) {
      await expect(sql`select pg_sleep(30)`.execute(db)).rejects.toMatchObject({ code: '57014' })
      expect((await sql`show statement_timeout`.execute(other)).rows).toEqual([{ statement_timeout: '0' }])
      await sql`select pg_sleep(0.3)`.execute(other)
      const slow = db.transaction().execute((trx) => sql`select pg_sleep(30)`.execute(trx))
      await expect(slow).rejects.toMatchObject({ code: '57014' })
    }
    expect(onWarn.mock.calls).toMatchObject([[{ code: 'STATEMENT_TIMEOUT_BEHIND_POOLER' }]])
  })
})
