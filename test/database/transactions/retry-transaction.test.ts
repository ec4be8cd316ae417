import { Kysely, PostgresDialect, sql } from 'kysely'
import pg from 'pg'
import {
  CommitAmbiguousError,
  classifyError,
  PoolTimeoutError,
  QueryTimeoutError,
  retryTransaction,
  tunePgPool,
  withQueryScope,
} from 'posthaste'
import { describe, expect, it, onTestFinished } from 'vitest'
import { services } from '../../support/services.ts'
import { openSqlite, type Tables } from '../support/sqlite.ts'
import { uncaughtDuring } from '../support/uncaught.ts'

const pgError = (code: string, message = '', routine?: string) =>
  Object.assign(new Error(message), { code, severity: 'ERROR', routine })
const stalePlanInGerman = 'gecachter Plan darf den Ergebnistyp nicht ändern'
const mysqlError = (errno: number) => Object.assign(new Error(), { errno, sqlState: 'HY000', code: 'ER_X' })

describe('classifyError', () => {
  it.each([
    [pgError('40001'), undefined, 'serialization', 'transaction'],
    [pgError('40P01'), undefined, 'deadlock', 'transaction'],
    [pgError('53300'), undefined, 'too-many-connections', 'after-delay'],
    [pgError('57P03'), undefined, 'unavailable', 'after-delay'],
    [pgError('57P01'), undefined, 'connection', 'statement-if-idempotent'],
    [pgError('57014'), undefined, 'timeout', 'no'],
    [pgError('40003'), undefined, 'ambiguous-commit', 'no'],
    [pgError('0A000', 'cached plan must not change result type'), undefined, 'stale-plan', 'transaction'],
    [pgError('0A000', stalePlanInGerman, 'RevalidateCachedQuery'), undefined, 'stale-plan', 'transaction'],
    [pgError('0A000', 'something else', 'transformStmt'), undefined, 'other', 'no'],
    [pgError('23505'), undefined, 'other', 'no'],
    [mysqlError(1213), undefined, 'deadlock', 'transaction'],
    [mysqlError(1205), undefined, 'lock-timeout', 'transaction'],
    [mysqlError(1040), undefined, 'too-many-connections', 'after-delay'],
    [mysqlError(2013), undefined, 'connection', 'statement-if-idempotent'],
    [mysqlError(1969), undefined, 'timeout', 'no'],
    [{ number: 1205, code: 'EREQUEST' }, undefined, 'deadlock', 'transaction'],
    [{ number: 1205 }, 'mssql', 'deadlock', 'transaction'],
    [{ number: 1205 }, 'mysql', 'lock-timeout', 'transaction'],
    [{ code: 'SQLITE_BUSY_SNAPSHOT' }, undefined, 'busy', 'transaction'],
    [{ code: 'ERR_SQLITE_ERROR', errcode: 517 }, undefined, 'busy', 'transaction'],
    [{ code: 'SQLITE_LOCKED' }, undefined, 'other', 'no'],
    [{ code: 'ECONNREFUSED' }, undefined, 'unavailable', 'after-delay'],
    [{ code: 'ECONNRESET' }, 'postgres', 'connection', 'statement-if-idempotent'],
    [new Error('Connection terminated unexpectedly'), undefined, 'connection', 'statement-if-idempotent'],
    [new CommitAmbiguousError(), undefined, 'ambiguous-commit', 'no'],
    [{ errno: 1213 }, undefined, 'deadlock', 'transaction'],
    [{ errno: -111 }, undefined, 'other', 'no'],
    [new QueryTimeoutError('late'), undefined, 'timeout', 'no'],
    [new PoolTimeoutError('full', []), undefined, 'too-many-connections', 'after-delay'],
    [undefined, undefined, 'other', 'no'],
    ['text', undefined, 'other', 'no'],
  ] as const)('knows %o on %s as %s, to be retried: %s', (error, dialect, kind, retry) => {
    expect(classifyError(error, dialect)).toEqual({ kind, retry })
  })

  it('refuses a dialect it does not know', () => {
    expect(() => classifyError(new Error(), 'oracle' as never)).toThrow('Expected `dialect` to be one of')
  })
})

describe('retryTransaction', () => {
  it('runs the whole transaction again, with a fresh one, and commits once', async () => {
    const db = openSqlite()
    const attempts: number[] = []
    const retries: number[] = []
    const result = await retryTransaction(
      db,
      async (trx, attempt) => {
        attempts.push(attempt)
        await trx
          .insertInto('orders')
          .values({ user_id: 99, status: String(attempt), total: 1 })
          .execute()
        if (attempt < 3) throw { code: 'SQLITE_BUSY' }
        return 'done'
      },
      { minDelay: '1ms', onRetry: ({ attempt }) => retries.push(attempt) },
    )
    expect(result).toBe('done')
    expect(attempts).toEqual([1, 2, 3])
    expect(retries).toEqual([1, 2])
    expect(await db.selectFrom('orders').select('status').where('user_id', '=', 99).execute()).toEqual([
      { status: '3' },
    ])
  })

  it('repeats its queries without a finding, but finds those that each attempt repeats', async () => {
    const db = openSqlite({ nPlusOne: { mode: 'throw' } })
    const run = (queries: number) =>
      withQueryScope('POST /orders', () =>
        retryTransaction(
          db,
          async (trx, attempt) => {
            for (let id = 0; id < queries; id += 1) {
              await trx.selectFrom('users').selectAll().where('id', '=', id).execute()
            }
            if (attempt < 4) throw { code: 'SQLITE_BUSY' }
          },
          { minDelay: '1ms' },
        ),
      )
    await run(4)
    await expect(run(5)).rejects.toMatchObject({ code: 'ERR_N_PLUS_ONE' })
    // A loop of transactions that each succeed is one all the same.
    const loop = withQueryScope('POST /orders', async () => {
      for (let id = 0; id < 5; id += 1) {
        await retryTransaction(
          db,
          async (trx, attempt) => {
            await trx.selectFrom('users').selectAll().where('id', '=', id).execute()
            if (attempt < 2) throw { code: 'SQLITE_BUSY' }
          },
          { minDelay: '1ms' },
        )
      }
    })
    await expect(loop).rejects.toMatchObject({ code: 'ERR_N_PLUS_ONE', finding: { count: 5 } })
  })

  it('gives up after `retries`, with the last error', async () => {
    const db = openSqlite()
    let calls = 0
    const failing = (error: unknown) => async () => {
      calls += 1
      throw error
    }
    const error = Object.assign(new Error('busy'), { code: 'SQLITE_BUSY' })
    const run = retryTransaction(db, failing(error), { retries: 2, minDelay: '1ms' })
    await expect(run).rejects.toBe(error)
    expect(calls).toBe(3)
  })

  it('does not retry what would fail again, and passes `throw undefined` on', async () => {
    const db = openSqlite()
    let calls = 0
    const failing = (error: unknown) => async () => {
      calls += 1
      throw error
    }
    const run = (error: unknown) => retryTransaction(db, failing(error))
    await expect(run(new Error('mine'))).rejects.toThrow('mine')
    await expect(run(undefined)).rejects.toBeUndefined()
    expect(calls).toBe(2)
  })

  it('ends with the reason of its signal', async () => {
    const db = openSqlite()
    const abort = new AbortController()
    const run = retryTransaction(
      db,
      async () => {
        abort.abort('enough')
        throw { code: 'SQLITE_BUSY' }
      },
      { signal: abort.signal },
    )
    await expect(run).rejects.toBe('enough')
  })

  it('refuses a transaction, of which it could retry a part only', async () => {
    const db = openSqlite()
    const nested = db.transaction().execute((trx) => retryTransaction<Tables, void>(trx, async () => {}))
    await expect(nested).rejects.toThrow('Expected `db` to be no transaction')
  })
})

describe.skipIf(!services.postgres)('retryTransaction on PostgreSQL', () => {
  async function open() {
    const name = `retry_${Math.random().toString(36).slice(2)}`
    const pool = tunePgPool(new pg.Pool({ connectionString: services.postgres, max: 5 }))
    const db = new Kysely<Record<string, { id: number; value: number }>>({ dialect: new PostgresDialect({ pool }) })
    await sql`create table ${sql.table(name)} (id int primary key deferrable initially deferred, value int)`.execute(db)
    await sql`insert into ${sql.table(name)} values (1, 0)`.execute(db)
    onTestFinished(async () => {
      await sql`drop table ${sql.table(name)}`.execute(db)
      await db.destroy()
    })
    return { db, name, pool }
  }

  it('loses no update among ten serializable transactions on one row', async () => {
    const { db, name } = await open()
    let attempts = 0
    const increment = () =>
      retryTransaction(
        db,
        async (trx) => {
          attempts += 1
          const { value } = await trx.selectFrom(name).select('value').where('id', '=', 1).executeTakeFirstOrThrow()
          await trx
            .updateTable(name)
            .set({ value: value + 1 })
            .where('id', '=', 1)
            .execute()
        },
        { isolationLevel: 'serializable', retries: 50, minDelay: '5ms', maxDelay: '100ms' },
      )
    await Promise.all(Array.from({ length: 10 }, increment))
    expect(await db.selectFrom(name).selectAll().execute()).toEqual([{ id: 1, value: 10 }])
    expect(attempts).toBeGreaterThan(10)
  })

  it('never repeats a transaction whose connection was lost during COMMIT', async () => {
    const { db, name } = await open()
    await sql`create function ${sql.table(`${name}_kill`)}() returns trigger language plpgsql as $$
      begin perform pg_terminate_backend(pg_backend_pid()); return null; end $$`.execute(db)
    // Runs at COMMIT, and ends the connection there.
    await sql`create constraint trigger killer after insert on ${sql.table(name)} deferrable initially deferred
      for each row execute function ${sql.table(`${name}_kill`)}()`.execute(db)
    let attempts = 0
    const uncaught = await uncaughtDuring(async () => {
      const run = retryTransaction(db, async (trx) => {
        attempts += 1
        await trx.insertInto(name).values({ id: 2, value: 0 }).execute()
      })
      await expect(run).rejects.toMatchObject({ code: 'ERR_COMMIT_AMBIGUOUS', cause: expect.any(Error) })
    })
    expect(attempts).toBe(1)
    expect(uncaught).toEqual([])
    await sql`drop function ${sql.table(`${name}_kill`)} cascade`.execute(db)
  })

  it('opens the transaction with the access mode that is asked for', async () => {
    const { db, name } = await open()
    const insert = retryTransaction(db, (trx) => trx.insertInto(name).values({ id: 2, value: 0 }).execute(), {
      accessMode: 'read only',
      retries: 0,
    })
    await expect(insert).rejects.toMatchObject({ code: '25006' })
  })

  it('passes an error of COMMIT on that the server has answered with', async () => {
    const { db, name } = await open()
    const run = retryTransaction(db, (trx) => trx.insertInto(name).values({ id: 1, value: 5 }).execute())
    await expect(run).rejects.toMatchObject({ code: '23505' })
  })
})
