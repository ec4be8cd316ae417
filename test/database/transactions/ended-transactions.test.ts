import { Kysely, PostgresDialect, sql } from 'kysely'
import pg from 'pg'
import { instrument } from 'posthaste'
import { describe, expect, it, onTestFinished } from 'vitest'
import { services } from '../../support/services.ts'
import { openSqlite } from '../support/sqlite.ts'

function open() {
  const told: string[] = []
  const db = openSqlite({ invalidates: { invalidateTags: async (...tags) => void told.push(...tags) } })
  return { db, told }
}

const taken = { id: 1, user_id: 1, status: 'new', total: 1 }
const rename = { name: 'new' }

describe('a statement that fails', () => {
  it('may end its transaction, so that the next writes are committed at once and invalidate', async () => {
    const { db, told } = open()
    const trx = await db.startTransaction().execute()
    await trx.updateTable('orders').set({ total: 2 }).execute()
    await expect(trx.insertInto('orders').orRollback().values(taken).execute()).rejects.toThrow('UNIQUE')
    await trx.updateTable('users').set(rename).execute()
    expect(told).toEqual(['table:users'])
    await expect(trx.rollback().execute()).rejects.toThrow('no transaction')
    const { name } = await db.selectFrom('users').select('name').executeTakeFirstOrThrow()
    expect([name, told]).toEqual(['new', ['table:users']])
  })

  it('may leave its transaction open, whose writes then invalidate again after COMMIT', async () => {
    const { db, told } = open()
    await db.transaction().execute(async (trx) => {
      await expect(trx.insertInto('orders').values(taken).execute()).rejects.toThrow('UNIQUE')
      await trx.updateTable('users').set(rename).execute()
      told.push('committing')
    })
    expect(told).toEqual(['table:users', 'committing', 'table:users'])
  })

  it('invalidates what it has changed before it failed, if it says `or fail`', async () => {
    const { db, told } = open()
    const rows = [{ ...taken, id: 100 }, taken]
    await expect(db.insertInto('orders').orFail().values(rows).execute()).rejects.toThrow('UNIQUE')
    expect(await db.selectFrom('orders').select('id').where('id', '=', 100).execute()).toEqual([{ id: 100 }])
    expect(told.splice(0)).toEqual(['table:orders'])
    await db.transaction().execute(async (trx) => {
      const others = [{ ...taken, id: 101 }, taken]
      await expect(trx.insertInto('orders').orFail().values(others).execute()).rejects.toThrow('UNIQUE')
    })
    expect(told).toEqual(['table:orders'])
  })

  it('invalidates nothing when it has changed nothing', async () => {
    const { db, told } = open()
    await expect(db.insertInto('orders').values(taken).execute()).rejects.toThrow('UNIQUE')
    expect(told).toEqual([])
  })
})

it.skipIf(!services.postgres)(
  'a COMMIT that is refused ends its transaction: later writes invalidate at once',
  async () => {
    const told: string[] = []
    const pool = new pg.Pool({ connectionString: services.postgres, max: 1 })
    const db = new Kysely<Record<string, { id: number }>>(
      instrument(
        { dialect: new PostgresDialect({ pool }) },
        { invalidates: { invalidateTags: async (...tags) => void told.push(...tags) } },
      ),
    )
    onTestFinished(() => db.destroy())
    await sql`create temporary table twice (id int unique deferrable initially deferred)`.execute(db)
    await sql`create temporary table later (id int)`.execute(db)
    await db.connection().execute(async (connection) => {
      await sql`begin`.execute(connection)
      await connection
        .insertInto('twice')
        .values([{ id: 1 }, { id: 1 }])
        .execute()
      await expect(sql`commit`.execute(connection)).rejects.toMatchObject({ code: '23505' })
      await connection.insertInto('later').values({ id: 1 }).execute()
    })
    expect(told).toEqual(['table:later'])
  },
)
