import { type CompiledQuery, type Dialect, Kysely, MysqlDialect, PostgresDialect, sql } from 'kysely'
import { createPool } from 'mysql2'
import pg from 'pg'
import { describe, expect, it, onTestFinished } from 'vitest'
import { instrument, tuneMysqlPool, tunePgPool } from '../../src/index.ts'
import { services } from '../support/services.ts'

function open(dialect: Dialect): Kysely<Record<string, never>> {
  const db = new Kysely<Record<string, never>>(instrument({ dialect }, { timeout: '300ms' }))
  onTestFinished(() => db.destroy())
  return db
}

const one = async (db: Kysely<Record<string, never>>) =>
  (await sql<{ one: number }>`select 1 as one`.execute(db)).rows[0]?.one

describe.skipIf(!services.postgres).each(['plain', 'tuned'])('timeout on PostgreSQL, %s pool', (kind) => {
  function connect({ max = 3 } = {}) {
    const pool = new pg.Pool({ connectionString: services.postgres, max })
    pool.on('error', () => {})
    return open(new PostgresDialect({ pool: kind === 'tuned' ? tunePgPool(pool) : pool }))
  }

  it('cancels the query on the server, and its connection is clean', async () => {
    const db = connect()
    const mark = `mark${Math.random().toString(36).slice(2)}`
    await expect(sql`select pg_sleep(30), ${sql.lit(mark)}`.execute(db)).rejects.toMatchObject({
      code: 'ERR_QUERY_TIMEOUT',
      message: 'The query took longer than 300 ms and was cancelled',
      cause: { code: '57014' },
    })
    const running =
      await sql`select 1 from pg_stat_activity where state = 'active' and query like ${`%${mark}%`} and pid <> pg_backend_pid()`.execute(
        db,
      )
    expect(running.rows).toEqual([])
    for (let run = 0; run < 20; run += 1) expect(await one(db)).toBe(1)
  })

  it('leaves queries alone that are fast enough, and their errors', async () => {
    const db = connect()
    expect(await one(db)).toBe(1)
    await expect(sql`select nothing`.execute(db)).rejects.toMatchObject({ code: '42703' })
  })

  it('rolls the transaction back, and the connection serves the next one', async () => {
    const db = connect()
    const slow = db.transaction().execute(async (trx) => {
      await sql`select pg_sleep(30)`.execute(trx)
    })
    await expect(slow).rejects.toMatchObject({ code: 'ERR_QUERY_TIMEOUT' })
    expect(await db.transaction().execute((trx) => sql<{ ok: number }>`select 1 as ok`.execute(trx))).toMatchObject({
      rows: [{ ok: 1 }],
    })
  })

  it('never cancels the query after the one that was meant', async () => {
    const db = connect({ max: 8 })
    // Queries that end about when they would be cancelled.
    const outcomes = await Promise.all(
      Array.from({ length: 24 }, async (_, number) => {
        const slow = await sql`select pg_sleep(${0.29 + (number % 4) * 0.01})`.execute(db).then(
          () => 'done',
          ({ code }) => code,
        )
        return [slow, await one(db)]
      }),
    )
    for (const [slow, next] of outcomes) {
      expect(['done', 'ERR_QUERY_TIMEOUT']).toContain(slow)
      expect(next).toBe(1)
    }
  })
})

describe.skipIf(!services.mariadb).each(['plain', 'tuned'])('timeout on MariaDB, %s pool', (kind) => {
  function connect() {
    const pool = createPool({ uri: services.mariadb as string, connectionLimit: 3 })
    return open(new MysqlDialect({ pool: kind === 'tuned' ? tuneMysqlPool(pool) : pool }))
  }

  it('cancels the query on the server, and its connection is clean', async () => {
    const db = connect()
    const mark = `mark${Math.random().toString(36).slice(2)}`
    const slow = sql`select count(*) as ${sql.id(mark)} from mysql.seq_1_to_1000000 a, mysql.seq_1_to_1000000 b where a.seq + b.seq = 0`
    await expect(slow.execute(db)).rejects.toMatchObject({ code: 'ERR_QUERY_TIMEOUT', cause: { errno: 1317 } })
    const running =
      await sql`select 1 from information_schema.processlist where info like ${`%${mark}%`} and id <> connection_id()`.execute(
        db,
      )
    expect(running.rows).toEqual([])
    for (let run = 0; run < 20; run += 1) expect(await one(db)).toBe(1)
  })

  it('limits the wait for the rows of a stream, and not the time its reader takes', async () => {
    const db = connect()
    const rows = (seconds: number) =>
      sql<{ seq: number }>`select seq, sleep(if(seq = 3, ${seconds}, 0)) from mysql.seq_1_to_4`.compile(db)
    const read = async (query: CompiledQuery<{ seq: number }>) => {
      const seen: number[] = []
      for await (const { rows } of db.getExecutor().stream(query, 1)) {
        seen.push(...rows.map(({ seq }) => seq))
        if (seen.length === 2) await new Promise((resolve) => setTimeout(resolve, 400))
      }
      return seen
    }
    expect(await read(rows(0))).toEqual([1, 2, 3, 4])
    await expect(read(rows(30))).rejects.toMatchObject({ code: 'ERR_QUERY_TIMEOUT', cause: { errno: 1317 } })
    for (let run = 0; run < 3; run += 1) expect(await one(db)).toBe(1)
  })
})
