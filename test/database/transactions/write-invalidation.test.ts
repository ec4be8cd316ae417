import {
  CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  DummyDriver,
  Kysely,
  MysqlDialect,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type QueryResult,
  sql,
} from 'kysely'
import { createPool } from 'mysql2'
import { instrument, type Warning } from 'posthaste'
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { mysqlServers } from '../support/mysql-servers.ts'
import { openSqlite, type Tables } from '../support/sqlite.ts'

function open() {
  const told: string[] = []
  const db = openSqlite({ invalidates: { invalidateTags: async (...tags) => void told.push(...tags) } })
  return { db, told }
}

/** Without a database: what it understands is not asked. */
function openDummy() {
  const told: string[] = []
  const dialect: Dialect = {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => new DummyDriver(),
    createIntrospector: (db) => new PostgresIntrospector(db),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  }
  const invalidates = { invalidateTags: async (...tags: readonly string[]) => void told.push(...tags) }
  return { db: new Kysely<Tables>(instrument({ dialect }, { invalidates })), told }
}

const order = { user_id: 1, status: 'new', total: 1 }

describe('writes that invalidate', () => {
  it('tell the tables they changed, and not those they read', async () => {
    const { db, told } = open()
    await db
      .insertInto('orders')
      .columns(['user_id', 'status', 'total'])
      .expression((eb) => eb.selectFrom('users').select(['id', eb.val('x').as('status'), eb.val(1).as('total')]))
      .execute()
    await db.updateTable('users').set({ name: 'x' }).where('id', '=', 1).execute()
    await db.deleteFrom('orders').where('id', '=', 1).execute()
    await db.selectFrom('users').selectAll().execute()
    expect(told).toEqual(['table:orders', 'table:users', 'table:orders'])
  })

  it('wait for the cache before they resolve', async () => {
    let release = () => {}
    const gate = new Promise<void>((resolve) => {
      release = resolve
    })
    const db = openSqlite({ invalidates: { invalidateTags: () => gate } })
    let done = false
    const write = db
      .insertInto('orders')
      .values(order)
      .execute()
      .then(() => {
        done = true
      })
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(done).toBe(false)
    release()
    await write
    expect(done).toBe(true)
  })

  it('resolve all the same when the cache fails, and say so', async () => {
    const warnings: Warning[] = []
    const db = openSqlite({
      invalidates: { invalidateTags: () => Promise.reject(new Error('down')) },
      onWarn: (warning) => warnings.push(warning),
    })
    await db.insertInto('orders').values(order).execute()
    expect(warnings).toMatchObject([{ code: 'INVALIDATION_FAILED' }])
  })

  it('tell after COMMIT, each table once', async () => {
    const { db, told } = open()
    await db.transaction().execute(async (trx) => {
      await trx.insertInto('orders').values(order).execute()
      await trx.insertInto('orders').values(order).execute()
      await trx.updateTable('users').set({ name: 'x' }).execute()
      expect(told).toEqual([])
    })
    expect(told).toEqual(['table:orders', 'table:users'])
  })

  it('tell nothing after ROLLBACK, nor what was rolled back in the next transaction', async () => {
    const { db, told } = open()
    const failing = db.transaction().execute(async (trx) => {
      await trx.insertInto('orders').values(order).execute()
      throw new Error('no')
    })
    await expect(failing).rejects.toThrow('no')
    await db.transaction().execute((trx) => trx.updateTable('users').set({ name: 'x' }).execute())
    expect(told).toEqual(['table:users'])
  })

  it('follow controlled transactions and their savepoints', async () => {
    const { db, told } = open()
    const trx = await db.startTransaction().execute()
    await trx.updateTable('users').set({ name: 'x' }).execute()
    const saved = await trx.savepoint('before orders').execute()
    await saved.deleteFrom('orders').execute()
    await (await saved.rollbackToSavepoint('before orders').execute()).commit().execute()
    expect(told).toEqual(['table:users'])

    const second = await db.startTransaction().execute()
    const kept = await second.savepoint('kept').execute()
    await kept.deleteFrom('orders').execute()
    await (await kept.releaseSavepoint('kept').execute()).commit().execute()
    expect(told).toEqual(['table:users', 'table:orders'])

    const third = await db.startTransaction().execute()
    await third.deleteFrom('orders').execute()
    await third.rollback().execute()
    expect(told).toHaveLength(2)
  })

  it('tell too much rather than too little when the names of savepoints differ in case alone', async () => {
    const { db, told } = openDummy()
    await db.connection().execute(async (connection) => {
      await sql`begin`.execute(connection)
      await sql`savepoint "Here"`.execute(connection)
      await connection.deleteFrom('orders').execute()
      await sql`savepoint here`.execute(connection)
      await connection.deleteFrom('users').execute()
      await sql`rollback to "Here"`.execute(connection)
      await sql`commit`.execute(connection)
    })
    expect(told).toEqual(['table:orders'])
  })

  it.each([
    ['rollback', []],
    ['rollback work', []],
    ['abort', []],
    ['ABORT TRANSACTION', []],
    ['commit', ['table:orders']],
    ['end work', ['table:orders']],
    // Another session commits it, and no one will say when.
    ["prepare transaction 'later'", ['table:orders']],
  ])('follow a transaction that ends with %s', async (end, ofTransaction) => {
    const { db, told } = openDummy()
    await db.connection().execute(async (connection) => {
      await sql`start  transaction`.execute(connection)
      await connection.deleteFrom('orders').execute()
      await sql.raw(end).execute(connection)
      expect(told).toEqual(ofTransaction)
      await connection.deleteFrom('users').execute()
      expect(told).toEqual([...ofTransaction, 'table:users'])
    })
  })

  it.each([
    ['commit and chain', ['table:orders']],
    ['end transaction and chain', ['table:orders']],
    ['rollback and chain', []],
    ['abort work and chain', []],
  ])('follow the transaction that %s begins', async (end, ofFirst) => {
    const { db, told } = openDummy()
    await db.connection().execute(async (connection) => {
      await sql`begin`.execute(connection)
      await connection.deleteFrom('orders').execute()
      await sql.raw(end).execute(connection)
      await connection.deleteFrom('users').execute()
      expect(told).toEqual(ofFirst)
      await sql`commit and no chain`.execute(connection)
      expect(told).toEqual([...ofFirst, 'table:users'])
    })
  })

  it('follow a transaction written by hand on one connection', async () => {
    const { db, told } = open()
    await db.connection().execute(async (connection) => {
      await sql`begin`.execute(connection)
      await connection.deleteFrom('orders').execute()
      expect(told).toEqual([])
      await sql`commit`.execute(connection)
    })
    expect(told).toEqual(['table:orders'])
  })

  it('see writes within common table expressions, and changes of the tables themselves', async () => {
    const { db, told } = open()
    await db.schema.alterTable('orders').addColumn('note', 'text').execute()
    await db.schema.dropTable('orders').execute()
    expect(told).toEqual(['table:orders', 'table:orders'])
  })

  it('tell nothing when the write fails', async () => {
    const { db, told } = open()
    await expect(db.insertInto('users').values({ id: 1, name: 'x', org_id: 1 }).execute()).rejects.toThrow(/UNIQUE/)
    expect(told).toEqual([])
  })

  describe('whose connection is lost', () => {
    /** A PostgreSQL that loses the connection with the first statement that matches. */
    function openLosing(pattern: RegExp) {
      const told: string[] = []
      const run = async <Row>({ sql }: CompiledQuery): Promise<QueryResult<Row>> => {
        if (pattern.test(sql)) throw new Error('Connection terminated unexpectedly')
        return { rows: [] }
      }
      const send = (text: string) => async (connection: DatabaseConnection) =>
        void (await connection.executeQuery(CompiledQuery.raw(text)))
      const createDriver = (): Driver =>
        Object.assign(new DummyDriver(), {
          acquireConnection: async () => ({ executeQuery: run, async *streamQuery() {} }),
          beginTransaction: send('begin'),
          commitTransaction: send('commit'),
        })
      const db = new Kysely<Tables>(
        instrument(
          {
            dialect: {
              createAdapter: () => new PostgresAdapter(),
              createDriver,
              createIntrospector: (db) => new PostgresIntrospector(db),
              createQueryCompiler: () => new PostgresQueryCompiler(),
            },
          },
          { invalidates: { invalidateTags: (...tags) => told.push(...tags) } },
        ),
      )
      return { db, told }
    }
    const lost = 'Connection terminated unexpectedly'

    it('tell the tables, as the write may be done', async () => {
      const { db, told } = openLosing(/^(?:insert|select)/)
      await expect(db.insertInto('orders').values(order).execute()).rejects.toThrow(lost)
      expect(told).toEqual(['table:orders'])
      await expect(db.selectFrom('users').selectAll().execute()).rejects.toThrow(lost)
      expect(told).toEqual(['table:orders'])
    })

    it('tell them during COMMIT, and not before', async () => {
      const write = (db: Kysely<Tables>) =>
        db.transaction().execute((trx) => trx.insertInto('orders').values(order).execute())
      const before = openLosing(/^insert/)
      await expect(write(before.db)).rejects.toThrow(lost)
      expect(before.told).toEqual([])
      const during = openLosing(/^commit/)
      await expect(write(during.db)).rejects.toThrow(lost)
      expect(during.told).toEqual(['table:orders'])
    })
  })
})

describe.each(mysqlServers)('writes that invalidate on $server', ({ url }) => {
  beforeEach(({ skip }) => skip(url === undefined))

  async function open() {
    const told: string[] = []
    const invalidates = { invalidateTags: async (...tags: readonly string[]) => void told.push(...tags) }
    const pool = createPool({ uri: url as string, connectionLimit: 2 })
    const db = new Kysely<Record<string, { id: number }>>(
      instrument({ dialect: new MysqlDialect({ pool }) }, { invalidates }),
    )
    const name = `written_${Math.random().toString(36).slice(2)}`
    onTestFinished(async () => {
      for (const table of [name, `${name}_2`]) await db.schema.dropTable(table).ifExists().execute()
      await db.destroy()
    })
    await db.schema.createTable(name).addColumn('id', 'integer').execute()
    told.length = 0
    return { db, name, told }
  }

  it.each<[string, (name: string) => string]>([
    ['creates a table', (name) => `create table ${name}_2 (id int)`],
    ['fails to create a table', (name) => `create table ${name} (id int)`],
    ['truncates a table', (name) => `truncate ${name}_none`],
    ['begins another transaction', () => 'start transaction'],
  ])('tell what a transaction commits when it %s', async (_what, statement) => {
    const { db, name, told } = await open()
    const trx = await db.startTransaction().execute()
    await trx.insertInto(name).values({ id: 1 }).execute()
    expect(told).toEqual([])
    await sql
      .raw(statement(name))
      .execute(trx)
      .catch(() => {})
    expect(told).toContain(`table:${name}`)
    await trx.rollback().execute()
    expect(await db.selectFrom(name).selectAll().execute()).toEqual([{ id: 1 }])
  })

  it.each<[string, (name: string) => readonly string[]]>([
    [
      'a temporary table was made',
      (name) => [`create temporary table ${name}_t (id int)`, `drop temporary table ${name}_t`],
    ],
    // Only MariaDB knows these.
    ['a query was analyzed', (name) => [`analyze select * from ${name}`, `analyze format=json select * from ${name}`]],
    ['a statement was prepared', () => [`prepare one from 'select 1'`, 'drop prepare one']],
  ])('tell nothing of what is rolled back after %s', async (_what, statements) => {
    const { db, name, told } = await open()
    const trx = await db.startTransaction().execute()
    await trx.insertInto(name).values({ id: 1 }).execute()
    for (const statement of statements(name)) {
      await sql
        .raw(statement)
        .execute(trx)
        .catch(() => {})
    }
    await trx.rollback().execute()
    expect(await db.selectFrom(name).selectAll().execute()).toEqual([])
    expect(told).toEqual([])
  })

  it('tell at once what is written after such a statement', async () => {
    const { db, name, told } = await open()
    const trx = await db.startTransaction().execute()
    await trx.schema.createTable(`${name}_2`).addColumn('id', 'integer').execute()
    told.length = 0
    await trx.insertInto(name).values({ id: 1 }).execute()
    expect(told).toEqual([`table:${name}`])
    await trx.rollback().execute()
    expect(await db.selectFrom(name).selectAll().execute()).toEqual([{ id: 1 }])
  })
})
