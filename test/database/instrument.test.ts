import { DatabaseSync } from 'node:sqlite'
import {
  type CompiledQuery,
  type Dialect,
  Kysely,
  MssqlAdapter,
  MssqlQueryCompiler,
  SqliteAdapter,
  SqliteDialect,
  SqliteIntrospector,
  SqliteQueryCompiler,
  sql,
} from 'kysely'
import {
  expectSeek,
  instrument,
  nodeSqlite,
  PerformanceMonitor,
  type QueryEvent,
  type QueryReport,
  queryReport,
  type SlowQuery,
  withQueryScope,
} from 'posthaste'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { QueryStatistics } from '../../src/database/statistics/query-statistics.ts'
import { proveOnSqlite } from '../../src/shared/index-advice/sqlite-proof.ts'
import { collectGarbage } from '../support/collect-garbage.ts'
import { openSqlite } from './support/sqlite.ts'
import { uncaughtDuring } from './support/uncaught.ts'

function watched() {
  const events: QueryEvent[] = []
  const db = openSqlite({ onQuery: (event) => events.push(event) })
  return { db, events }
}

interface Places {
  places: { id: number; name: string }
  visits: { id: number }
}

async function nameOf(db: Kysely<Places>, id: number): Promise<string | undefined> {
  return (await db.selectFrom('places').select('name').where('id', '=', id).executeTakeFirst())?.name
}

describe('instrument', () => {
  it('tells every query with its shape, tables and rows, and never with its values', async () => {
    const { db, events } = watched()
    await withQueryScope('GET /users', () =>
      db
        .selectFrom('users as u')
        .innerJoin('orders as o', 'o.user_id', 'u.id')
        .select('u.name')
        .where('o.status', 'in', ['open', 'secret-status'])
        .execute(),
    )
    expect(events).toEqual([
      {
        sql: expect.stringContaining('in (?, ?)'),
        shape:
          'select "u"."name" from "users" as "u" inner join "orders" as "o" on "o"."user_id" = "u"."id" where "o"."status" in (...)',
        operation: 'select',
        tables: ['users', 'orders'],
        durationMs: expect.any(Number),
        acquireMs: expect.any(Number),
        rows: 10,
        inTransaction: false,
        streamed: false,
        scope: 'GET /users',
      },
    ])
    expect(JSON.stringify(events)).not.toContain('secret-status')
  })

  it('counts and times by shape, whatever the values and the length of lists', async () => {
    const { db } = watched()
    for (const ids of [[1], [1, 2], [1, 2, 3]]) {
      await db.selectFrom('users').selectAll().where('id', 'in', ids).execute()
    }
    const [stats] = queryReport(db).queries
    expect(stats).toMatchObject({ shape: 'select * from "users" where "id" in (...)', count: 3, rows: 6, errors: 0 })
    expect(stats?.totalMs).toBeGreaterThan(0)
    expect(stats?.maxMs).toBeLessThanOrEqual(stats?.totalMs ?? 0)
    expect(stats?.p50Ms).toBeGreaterThan(0)
  })

  it('tells the tables behind common table expressions, and not their names', async () => {
    const { db, events } = watched()
    await db
      .with('recent', (db) => db.selectFrom('orders').selectAll().where('total', '>', 50))
      .selectFrom('recent')
      .innerJoin('users', 'users.id', 'recent.user_id')
      .select('users.name')
      .execute()
    expect(events[0]?.tables).toEqual(['orders', 'users'])
  })

  it('counts a shape on when it has forgotten some of its texts', () => {
    const statistics = new QueryStatistics('sqlite', 1)
    const list = (length: number) =>
      statistics.statementOf({
        sql: `select 1 where 1 in (${Array(length).fill('?').join(', ')})`,
        parameters: [],
        query: sql``.toOperationNode(),
      } as unknown as CompiledQuery)
    for (const length of [1, 2, 3, 4, 5, 1]) list(length).shape.record(1, 1, false)
    expect(statistics.snapshot()).toMatchObject([{ shape: 'select ? where ? in (...)', count: 6, rows: 6 }])
    // Not from memory alone: the text that went first is read anew.
    expect(list(1)).toBe(list(1))
    expect(list(2)).not.toBe(list(3))
  })

  it('gives the place of an old shape to a new one, and counts the old one on with the others', () => {
    const statistics = new QueryStatistics('sqlite', 10)
    const run = (text: string) => {
      const query = { sql: text, parameters: [], query: sql``.toOperationNode() } as unknown as CompiledQuery
      statistics.statementOf(query).shape.record(1, 1, false)
    }
    for (let number = 0; number < 40; number += 1) {
      run('select * from often')
      run(`select * from once_${number} -- request ${number}`)
      run(`select * from commented /* request ${number} */`)
    }
    const counts = Object.fromEntries(statistics.snapshot().map(({ shape, count }) => [shape, count]))
    expect(counts).toMatchObject({ 'select * from often': 40, 'select * from commented': 40 })
    expect(Object.values(counts).reduce((sum, count) => sum + count)).toBe(120)
    expect(Object.keys(counts)).toHaveLength(11)
  })

  it('counts failures, and passes the error on unchanged', async () => {
    const { db, events } = watched()
    const error = await sql`select * from nowhere`.execute(db).catch((error) => error)
    expect(error.message).toBe('no such table: nowhere')
    expect(events.at(-1)?.error).toBe(error)
    expect(queryReport(db).queries[0]).toMatchObject({ errors: 1 })
  })

  it('follows transactions, controlled ones and savepoints, and gives every connection back', async () => {
    const { db, events } = watched()
    await db.transaction().execute((trx) => trx.selectFrom('users').selectAll().execute())
    await expect(
      db.transaction().execute(async (trx) => {
        await trx.deleteFrom('orders').execute()
        throw new Error('no')
      }),
    ).rejects.toThrow('no')
    const trx = await db.startTransaction().execute()
    await trx.deleteFrom('orders').execute()
    const saved = await trx.savepoint('here').execute()
    await saved.deleteFrom('users').execute()
    await (await saved.rollbackToSavepoint('here').execute()).commit().execute()
    expect(events.filter(({ inTransaction }) => inTransaction).length).toBeGreaterThan(5)
    expect(await db.selectFrom('users').selectAll().execute()).toHaveLength(10)
    expect(await db.selectFrom('orders').selectAll().execute()).toHaveLength(0)
    expect(events.at(-1)?.inTransaction).toBe(false)
  })

  it('counts streams, finished or left early', async () => {
    const { db, events } = watched()
    for await (const row of db.selectFrom('users').selectAll().stream()) void row
    for await (const row of db.selectFrom('users').selectAll().stream()) {
      void row
      break
    }
    expect(events.map(({ streamed, rows }) => ({ streamed, rows }))).toEqual([
      { streamed: true, rows: 10 },
      { streamed: true, rows: 1 },
    ])
    expect(await db.selectFrom('users').selectAll().execute()).toHaveLength(10)
  })

  it('works behind withPlugin and withSchema, and reports for all of them', async () => {
    const { db } = watched()
    await db.withSchema('main').selectFrom('users').selectAll().execute()
    await db.transaction().execute(async (trx) => expect(queryReport(trx).queries[0]?.count).toBe(1))
    expect(queryReport(db.withoutPlugins()).queries.map(({ tables }) => tables)).toContainEqual(['users'])
  })

  it('keeps what it knows of each Kysely apart when several are made of one configuration', async () => {
    let opened = 0
    const dialect = new SqliteDialect({
      database: async () => {
        const database = new DatabaseSync(':memory:')
        database.exec('create table places (id integer primary key, name text)')
        opened++
        for (let id = 0; id < 20; id++) database.exec(`insert into places values (${id}, '${opened}')`)
        return nodeSqlite(database)
      },
    })
    const config = instrument({ dialect }, { autoBatch: true, nPlusOne: false, slow: '0ms', explain: 'plan' })
    const [one, other] = [new Kysely<Places>(config), new Kysely<Places>(config)]
    for (const db of [one, other]) await sql`select 1`.execute(db)
    const names = await Promise.all(
      Array.from({ length: 20 }, (_, id) => [one, other].map((db) => nameOf(db, id))).flat(),
    )
    expect(names).toEqual(Array.from({ length: 20 }, () => ['1', '2']).flat())
    await other.schema.createTable('visits').addColumn('id', 'integer').execute()
    await other.selectFrom('visits').selectAll().execute()
    await vi.waitFor(() => {
      expect(queryReport(other).slow.find(({ shape }) => shape.includes('visits'))?.plan).toContain('SCAN visits')
    })
    await one.selectFrom('places').selectAll().execute()
    await vi.waitFor(() => {
      expect(queryReport(one).slow.find(({ shape }) => shape === 'select * from "places"')?.plan).toContain(
        'SCAN places',
      )
    })
    expect(queryReport(one).queries.map(({ shape }) => shape)).not.toContain('select * from "visits"')
    for (const db of [one, other]) await db.destroy()
  })

  it.each([
    [
      'throws',
      () => {
        throw new Error('listener')
      },
    ],
    ['rejects with', () => Promise.reject(new Error('listener'))],
  ])('ignores what a listener %s', async (_name, fail) => {
    const heard: string[] = []
    const listener = (name: string) => () => {
      heard.push(name)
      return fail()
    }
    const db = openSqlite({
      slow: '0ms',
      nPlusOne: { threshold: 2 },
      onQuery: listener('query'),
      onSlow: listener('slow'),
      onNPlusOne: listener('n+1'),
    })
    const read = (id: number) => db.selectFrom('users').selectAll().where('id', '=', id).execute()
    const uncaught = await uncaughtDuring(() =>
      withQueryScope('job', async () => {
        for (const id of [1, 2]) expect(await read(id)).toHaveLength(1)
      }),
    )
    expect(heard).toEqual(['slow', 'query', 'slow', 'query', 'n+1'])
    expect(uncaught).toEqual([])
  })

  it('gives the monitor the durations and the report', async () => {
    const timings: string[] = []
    const sources = new Map<string, () => unknown>()
    const db = openSqlite({
      monitor: {
        recordTiming: (name) => timings.push(name),
        addSource: (name, read) => sources.set(name, read),
      },
    })
    await db.selectFrom('users').selectAll().execute()
    expect(timings).toEqual(['db.query'])
    expect(sources.get('database')?.()).toMatchObject({ queries: [{ count: 1 }], slow: [], nPlusOne: [] })
  })

  it('shows several databases in one section of the monitor, until they are destroyed', async () => {
    const monitor = new PerformanceMonitor()
    const [one, other] = [openSqlite({ monitor, autoBatch: true }), openSqlite({ monitor, slow: '0ms' })]
    await one.selectFrom('users').select('name').execute()
    await Promise.all([1, 2].map((id) => other.selectFrom('orders').selectAll().where('id', '=', id).execute()))
    const section = () => monitor.snapshot().database as unknown as QueryReport
    expect(section().queries.map(({ count, rows }) => ({ count, rows }))).toEqual(
      expect.arrayContaining([
        { count: 1, rows: 10 },
        { count: 2, rows: 2 },
      ]),
    )
    expect(section().slow).toEqual(queryReport(other).slow)
    expect(section().slow).toHaveLength(2)
    await other.destroy()
    expect(section()).toMatchObject({ queries: [{ count: 1 }], slow: [] })
    monitor.close()
  })

  it('leaves it to the garbage collector to take a database out of the monitor that nobody destroys', async () => {
    const monitor = new PerformanceMonitor()
    const open = () =>
      new Kysely(
        instrument({ dialect: new SqliteDialect({ database: nodeSqlite(new DatabaseSync(':memory:')) }) }, { monitor }),
      )
    const kept = open()
    await sql`select 1`.execute(kept)
    await sql`select 1`.execute(open())
    await vi.waitFor(() => {
      collectGarbage()
      expect((monitor.snapshot().database as unknown as QueryReport).queries).toHaveLength(1)
    })
    expect(queryReport(kept).queries).toHaveLength(1)
    monitor.close()
  })

  it('sees transactions of drivers that send no SQL for them, as that of SQL Server', async () => {
    const told: string[][] = []
    const rows = { rows: [] }
    const connection = {
      executeQuery: async <Row>() => rows as { rows: Row[] },
      async *streamQuery() {},
    }
    const done = async () => {}
    const db = new Kysely<{ users: { id: number } }>(
      instrument(
        {
          dialect: {
            createAdapter: () => new SqliteAdapter(),
            createQueryCompiler: () => new SqliteQueryCompiler(),
            createIntrospector: (kysely) => new SqliteIntrospector(kysely),
            createDriver: () => ({
              init: done,
              acquireConnection: async () => connection,
              beginTransaction: done,
              commitTransaction: done,
              rollbackTransaction: done,
              releaseConnection: done,
              destroy: done,
            }),
          },
        },
        { invalidates: { invalidateTags: (...tags) => told.push(tags) } },
      ),
    )
    await db.transaction().execute(async (trx) => {
      await trx.deleteFrom('users').execute()
      expect(told).toEqual([])
    })
    expect(told).toEqual([['table:users']])
  })

  it('bounds the shapes it counts, and counts the rest together', async () => {
    const { db } = watched()
    for (let number = 0; number < 520; number += 1) await sql.raw(`select ${number} as n${number}`).execute(db)
    const { queries } = queryReport(db)
    expect(queries.length).toBe(501)
    expect(queries.find(({ shape }) => shape === '(overflow)')?.count).toBe(20)
  })

  it.each([
    [{ slow: 5 }, 'Expected `slow` to be a duration'],
    [{ explain: 'analyze' }, 'Expected `explain` to be one of'],
    [{ statementCache: 0 }, 'Expected `statementCache` to be a whole number from 1 up'],
    [{ nPlusOne: { threshold: 1 } }, 'Expected `nPlusOne.threshold` to be a whole number from 2 up'],
    [{ nPlusOne: { mode: 'shout' } }, 'Expected `nPlusOne.mode` to be one of'],
    [{ timeout: '1s' }, '`timeout` needs a database that can cancel a query'],
  ])('refuses %j', (options, message) => {
    const dialect = new SqliteDialect({ database: nodeSqlite(new DatabaseSync(':memory:')) })
    expect(() => instrument({ dialect }, options as never)).toThrow(message)
  })

  it('refuses a statement cache on SQL Server, whose drivers have none', () => {
    const createQueryCompiler = () => new MssqlQueryCompiler()
    const dialect = { createQueryCompiler, createAdapter: () => new MssqlAdapter() } as unknown as Dialect
    expect(() => instrument({ dialect }, { statementCache: 10 })).toThrow(
      '`statementCache` works on SQLite and PostgreSQL',
    )
  })

  it('refuses to report on a Kysely that is not instrumented', () => {
    const db = new Kysely({ dialect: new SqliteDialect({ database: nodeSqlite(new DatabaseSync(':memory:')) }) })
    expect(() => queryReport(db)).toThrow('Expected `db` to be a Kysely made with `instrument(config)` of this copy')
  })
})

describe('slow queries', () => {
  const settled = () => new Promise((resolve) => setTimeout(resolve, 150))
  afterEach(() => vi.unstubAllEnvs())

  it('are told and kept, with the plan of their shape, asked for once', async () => {
    const slow: SlowQuery[] = []
    const db = openSqlite({ slow: '0ms', onSlow: (query) => slow.push(query) })
    const query = (status: string) => db.selectFrom('orders').selectAll().where('status', '=', status).execute()
    await withQueryScope('GET /orders', () => query('open'))
    await settled()
    await query('done')
    expect(slow).toMatchObject([{ scope: 'GET /orders', rows: 10 }, { rows: 0 }])
    expect(queryReport(db).slow).toMatchObject([{ plan: 'SCAN orders' }, { plan: 'SCAN orders' }])
    expect(queryReport(db).queries.map(({ shape }) => shape)).not.toContainEqual(expect.stringContaining('explain'))
  })

  it('are explained after the transaction they ran in, not within', async () => {
    const db = openSqlite({ slow: '0ms' })
    await db.transaction().execute(async (trx) => {
      await trx.selectFrom('orders').selectAll().where('total', '>', 1).execute()
      await settled()
      expect(queryReport(db).slow[0]?.plan).toBeUndefined()
    })
    await settled()
    expect(queryReport(db).slow[0]?.plan).toBe('SCAN orders')
  })

  it('are not explained when that is off', async () => {
    const db = openSqlite({ slow: '0ms', explain: false })
    await db.selectFrom('orders').selectAll().execute()
    await settled()
    expect(queryReport(db).slow).toMatchObject([{ rows: 10 }])
    expect(queryReport(db).slow[0]).not.toHaveProperty('plan')
  })

  it.each(['production', ' Prod\n'])('are not explained with NODE_ENV=%j, unless asked for', async (value) => {
    vi.stubEnv('NODE_ENV', value)
    const silent = openSqlite({ slow: '0ms' })
    const db = openSqlite({ slow: '0ms', explain: 'plan' })
    await silent.selectFrom('orders').selectAll().execute()
    await db.selectFrom('orders').selectAll().execute()
    await expect.poll(() => queryReport(db).slow[0]?.plan).toBe('SCAN orders')
    expect(queryReport(silent).slow[0]).not.toHaveProperty('plan')
  })

  it('are kept up to a hundred, newest first', async () => {
    const db = openSqlite({ slow: '0ms', explain: false })
    for (let number = 0; number < 101; number += 1) await sql.raw(`select ${number} as n${number}`).execute(db)
    const shapes = queryReport(db).slow.map(({ shape }) => shape)
    expect(shapes).toEqual(Array.from({ length: 100 }, (_, index) => `select ? as n${100 - index}`))
  })

  it('get their plan, but no advice, when that is off', async () => {
    const db = openSqlite({ slow: '0ms', indexAdvice: false })
    await db.selectFrom('orders').selectAll().where('status', '=', 'open').execute()
    await expect.poll(() => queryReport(db).slow[0]?.plan).toBe('SCAN orders')
    expect(queryReport(db).advice).toEqual([])
  })

  it('get advice for an index that SQLite’s planner takes in a copy of the schema', async () => {
    const db = openSqlite({ slow: '0ms' })
    const orders = () =>
      db
        .selectFrom('orders as o')
        .selectAll()
        .where('o.user_id', '=', 1)
        .where('o.status', '=', 'open')
        .orderBy('o.total', 'desc')
        .execute()
    await orders()
    await settled()
    const [advice] = queryReport(db).advice
    expect(advice).toMatchObject({
      table: 'orders',
      columns: ['user_id', 'status', 'total'],
      proven: true,
      kysely:
        "db.schema.createIndex('orders_user_id_status_total_desc').on('orders').columns(['user_id', 'status', 'total desc']).execute()",
      before: expect.stringMatching(/^SCAN o\b.*TEMP B-TREE/s),
      after: expect.stringContaining('INDEX orders_user_id_status_total_desc'),
    })
    // Nothing was created where the user's data are, and what is advised works there.
    const indexes = () => sql<{ name: string }>`select name from sqlite_master where type = 'index'`.execute(db)
    expect((await indexes()).rows).toEqual([])
    await sql.raw(advice?.ddl ?? '').execute(db)
    const plan = await sql<{
      detail: string
    }>`explain query plan select * from orders o where user_id = 1 and status = 'open' order by total desc`.execute(db)
    expect(plan.rows.map(({ detail }) => detail).join()).toContain('INDEX orders_user_id_status_total_desc')
  })

  it('get advice for a table that they name with its schema', async () => {
    const db = openSqlite({ slow: '0ms' })
    const orders = () => db.withSchema('main').selectFrom('orders').selectAll().where('status', '=', 'closed').execute()
    await orders()
    await expect.poll(() => queryReport(db).advice).toMatchObject([{ columns: ['status'], proven: true }])
    const [advice] = queryReport(db).advice
    expect(advice?.kysely).toBe(`sql\`${advice?.ddl}\`.execute(db)`)
    await sql.raw(advice?.ddl ?? '').execute(db)
    await expectSeek(db.withSchema('main').selectFrom('orders').selectAll().where('status', '=', 'closed'), {
      unique: 'id',
    })
  })

  it.each([
    ['orders', 'first name'],
    ['orders', 'total desc'],
    ['orders', "o'clock"],
    ['orders', 'back`tick'],
    ['orders', 'back\\slash'],
    ['orders', `\${db}`],
    ['orders', 'größe'],
    ['my orders', 'status'],
    ["o'rders", 'status'],
  ])('get advice whose code runs, whatever the names: %s, %s', async (table, column) => {
    const dialect = new SqliteDialect({ database: nodeSqlite(new DatabaseSync(':memory:')) })
    const db = new Kysely<Record<string, { id: number }>>(instrument({ dialect }, { slow: '0ms' }))
    await sql`create table ${sql.id(table)} (id integer primary key, ${sql.id(column)} text)`.execute(db)
    await db.selectFrom(table).selectAll().where(sql.ref(column), '=', 'x').execute()
    await expect.poll(() => queryReport(db).advice).toMatchObject([{ columns: [column], proven: true }])
    const code = queryReport(db).advice[0]?.kysely
    await new Function('db', 'sql', `return ${code}`)(db, sql)
    const { rows } = await sql<{ name: string }>`select name from pragma_index_list(${table})`.execute(db)
    expect(rows).toHaveLength(1)
    await db.destroy()
  })

  it('get no advice where an index already serves them', async () => {
    const db = openSqlite({ slow: '0ms' })
    await db.selectFrom('users').selectAll().where('id', '=', 1).execute()
    await settled()
    expect(queryReport(db).advice).toEqual([])
  })

  it('get advice that rests on the statistics of ANALYZE, where there are some', async () => {
    const db = openSqlite({ slow: '0ms' })
    await db.schema.createIndex('by_status').on('orders').column('status').execute()
    await db.schema.createIndex('by_user').on('orders').column('user_id').execute()
    await sql`analyze`.execute(db)
    await db.selectFrom('orders').selectAll().where('total', '=', 10).execute()
    await expect.poll(() => queryReport(db).advice).toMatchObject([{ columns: ['total'], proven: true }])
  })

  it('get no advice for an index that SQLite’s planner does not take, or that cannot be made', async () => {
    const db = openSqlite({ slow: '0ms' })
    await sql`create view open_orders as select user_id as owner, total from orders`.execute(db)
    const views = db as unknown as Kysely<{ open_orders: { owner: number; total: number } }>
    await views.selectFrom('open_orders').selectAll().where('owner', '=', 1).orderBy('total').execute()
    await expect.poll(() => queryReport(db).slow[0]?.plan).toMatch(/^SCAN orders/)
    // The column is NOT NULL: SQLite knows without an index that nothing will come.
    await db.selectFrom('orders').selectAll().where('status', 'is', null).execute()
    await expect.poll(() => queryReport(db).slow[0]?.plan).toBe('SCAN orders')
    await settled()
    expect(queryReport(db).advice).toEqual([])
  })

  it('get advice without a proof when a copy of the schema cannot run the query', async () => {
    const database = new DatabaseSync(':memory:')
    database.exec('create table orders (id integer primary key, status text)')
    database.function('normal', (text) => String(text).toLowerCase())
    const dialect = new SqliteDialect({ database: nodeSqlite(database) })
    const db = new Kysely<{ orders: { id: number; status: string } }>(instrument({ dialect }, { slow: '0ms' }))
    const query = db.selectFrom('orders').select(sql`normal(status)`.as('status')).where('status', '=', 'open')
    await query.execute()
    await expect.poll(() => queryReport(db).advice).toMatchObject([{ columns: ['status'], proven: false }])
    expect(queryReport(db).advice[0]).not.toHaveProperty('after')
    await db.destroy()
  })

  it('are not proven by an index whose name only begins like the advised one', async () => {
    const definitions = ['create table t (a, b)', 'create index t_a_b on t (a, b)']
    const index = { name: 't_a', ddl: 'create index t_a on t (b)' }
    const proof = await proveOnSqlite({ definitions, statistics: [] }, 'select * from t where a = 1', index)
    expect(proof).toEqual({ isUsed: false, after: 'SEARCH t USING COVERING INDEX t_a_b (a=?)' })
  })

  it('get advice without a proof where Node has no SQLite', async () => {
    vi.doMock('node:sqlite', () => {
      throw new Error('No such built-in module: node:sqlite')
    })
    try {
      const index = { name: 'i', ddl: 'create index i on t (a)' }
      expect(await proveOnSqlite({ definitions: [], statistics: [] }, 'select 1', index)).toBeUndefined()
    } finally {
      vi.doUnmock('node:sqlite')
    }
  })
})
