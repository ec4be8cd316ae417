import { Kysely, MysqlDialect, sql } from 'kysely'
import { createPool, type PoolOptions } from 'mysql2'
import { queryReport } from 'posthaste'
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { mysqlServers, numbersTo } from '../support/mysql-servers.ts'
import { mysqlTables, open, runScript } from './support/databases.ts'
import { expectSameResults } from './support/differential.ts'
import { typedShapes } from './support/mysql-types.ts'
import { commonShapes, mysqlShapes, type Tables } from './support/shapes.ts'

const database = `auto_batch_${process.pid}`

// Thousands of queries: on a busy machine they take a while.
vi.setConfig({ testTimeout: 120_000 })

describe.each(mysqlServers)('autoBatch on $server', ({ url }) => {
  beforeEach(({ skip }) => skip(url === undefined))

  const dialect = (options: PoolOptions = {}) => {
    const uri = new URL(url as string)
    uri.pathname = `/${database}`
    return new MysqlDialect({ pool: createPool({ uri: uri.href, connectionLimit: 10, ...options }) })
  }
  /** Each connection begins with the setting. */
  const dialectWith = (setting: string) => {
    const uri = new URL(url as string)
    uri.pathname = `/${database}`
    const pool = createPool({ uri: uri.href, connectionLimit: 10 })
    pool.on('connection', (connection) => void connection.query(`set ${setting}`, () => {}))
    return new MysqlDialect({ pool })
  }
  let admin: Kysely<never>

  beforeAll(async () => {
    if (url === undefined) return
    admin = new Kysely({ dialect: new MysqlDialect({ pool: createPool({ uri: url, connectionLimit: 1 }) }) })
    await sql.raw(`create database ${database}`).execute(admin)
    await runScript(admin, `use ${database};\n${mysqlTables}`)
  })

  afterAll(async () => {
    if (url === undefined) return
    await sql.raw(`drop database ${database}`).execute(admin)
    await admin.destroy()
  })

  it.each<[string, PoolOptions]>([
    ['plain', {}],
    [
      'with typeCast, numbers as text and dates as text',
      {
        decimalNumbers: true,
        supportBigNumbers: true,
        bigNumberStrings: true,
        dateStrings: true,
        typeCast: (field, next) => (field.type === 'TINY' && field.length === 1 ? field.string() === '1' : next()),
      },
    ],
  ])('gives the results of separate queries, for random sets of them, %s', async (_name, options) => {
    const { db } = open(dialect(options))
    const separate = new Kysely<Tables>({ dialect: dialect({ ...options, connectionLimit: 1 }) })
    onTestFinished(() => separate.destroy())
    await expectSameResults(db, separate, [...commonShapes, ...mysqlShapes])
    await expectSameResults(db, separate, typedShapes)
    const { queries, statements } = queryReport(db).autoBatch
    expect(queries).toBeGreaterThan(150)
    expect(statements).toBeLessThan(queries / 2)
  })

  it('gives values whole that a union would cut', async () => {
    const { db } = open(dialectWith("sql_mode = concat(@@sql_mode, ',PIPES_AS_CONCAT')"))
    await sql`create table exact (id int primary key, price double(10, 3), ratio double)`.execute(db)
    await sql`insert into exact values (1, 0.5, 0.5), (2, 0.5, 0.5), (3, 1234567.891, 1e300)`.execute(db)
    const untyped = db as unknown as Kysely<{ exact: { id: number } }>
    const texts = [
      "concat(price, '')",
      "price || ''",
      'trim(price)',
      'case when id > 1 then price else 1 end',
      'round(ratio)',
    ]
    for (const text of [...texts, `(select max(${texts[0]}) from exact as e where e.id = exact.id)`]) {
      const rows = (...ids: number[]) =>
        Promise.all(
          ids.map((id) =>
            untyped
              .selectFrom('exact')
              .select(sql.raw(text).as('value'))
              .where('id', '=', id)
              .where(sql<boolean>`coalesce(price, 0) > 0`)
              .execute(),
          ),
        )
      // These prove the joined rows.
      await rows(1, 2, 1)
      await rows(1, 2, 1)
      const alone = await rows(3)
      expect((await rows(1, 2, 3))[2], text).toEqual(alone[0])
    }
    const refusals = queryReport(db).autoBatch.shapes.map(({ refused = '' }) => refused)
    expect(refusals.filter((refused) => refused.startsWith('a union may cut'))).toHaveLength(6)
  })

  it('gives values whole that a view computes', async () => {
    const { db } = open(dialect())
    await sql`create table cut (id int primary key, price double(10, 3))`.execute(db)
    await sql`insert into cut values (1, 0.5), (2, 0.5), (3, 1234567.891)`.execute(db)
    await sql`create view cut_view as select id, concat(price, '') as value from cut`.execute(db)
    const untyped = db as unknown as Kysely<{ cut_view: { id: number; value: string } }>
    const sources = [
      untyped.selectFrom('cut_view as v'),
      untyped.withSchema(database).selectFrom('cut_view as v'),
      untyped.selectFrom(sql<{ id: number; value: string }>`cut_view`.as('v')),
      untyped.selectFrom(untyped.selectFrom('cut_view').selectAll().as('v')),
    ]
    for (const source of sources) {
      const values = (...ids: number[]) =>
        Promise.all(ids.map((id) => source.select('v.value').where('v.id', '=', id).executeTakeFirst()))
      await values(1, 2, 1)
      await values(1, 2, 1)
      expect((await values(1, 2, 3))[2]).toEqual({ value: '1234567.891' })
    }
    expect(queryReport(db).autoBatch.statements).toBe(0)
  })

  it('loses no rows where the session limits those of a statement', async () => {
    const { db } = open(dialectWith('sql_select_limit = 2'))
    for (const column of ['id', 'qty'] as const) {
      const found = await Promise.all(
        [1, 2, 3, 4].map((value) =>
          db.selectFrom('item').selectAll().where(column, '=', value).orderBy('id').execute(),
        ),
      )
      expect(found.map(({ length }) => length)).toEqual(column === 'id' ? [1, 1, 1, 1] : [2, 2, 2, 2])
    }
    const { shapes } = queryReport(db).autoBatch
    expect(shapes.map(({ refused }) => refused)).toEqual(['sql_select_limit is set', 'sql_select_limit is set'])
  })

  it.each<PoolOptions>([{ rowsAsArray: true }, { nestTables: true }, { nestTables: '_' }])(
    'joins nothing where rows cannot carry the number of their lookup, and says so: %j',
    async (options) => {
      const { db } = open(dialect(options))
      const separate = new Kysely<Tables>({ dialect: dialect(options) })
      onTestFinished(() => separate.destroy())
      const find = (from: Kysely<Tables>) =>
        Promise.all([1, 2, 3].map((id) => from.selectFrom('item').selectAll().where('id', '=', id).execute()))
      expect(await find(db)).toEqual(await find(separate))
      const { shapes } = queryReport(db).autoBatch
      expect(shapes.map(({ refused }) => refused)).toEqual(['the rows of the driver are no plain objects'])
    },
  )

  describe('for lookups by an integer', () => {
    interface Visit {
      id: number
      person: number | null
      at: Date
      note: { n: number }
      code: string
    }
    const openVisits = async (table: string) => {
      const { db, events } = open<Record<string, Visit>>(dialect())
      await sql`drop table if exists ${sql.id(table)}`.execute(db)
      await sql`create table ${sql.id(table)} (
        id int unsigned primary key, person smallint, at datetime, note json, code varchar(10), key (person))`.execute(
        db,
      )
      await sql`insert into ${sql.id(table)} select seq, nullif(seq % 4, 0), '2026-01-02', json_object('n', seq), seq from ${sql.raw(numbersTo(20))}`.execute(
        db,
      )
      return { db, events }
    }

    it('reads a list of keys in one statement, each row once', async () => {
      const { db, events } = await openVisits('visit')
      events.length = 0
      const wanted = [3, 5, 3, 99, 20]
      const rows = await Promise.all(
        wanted.map((id) => db.selectFrom('visit').selectAll().where('id', '=', id).limit(1).executeTakeFirst()),
      )
      expect(rows.map((row) => row?.id)).toEqual([3, 5, 3, undefined, 20])
      expect(events.map(({ sql }) => sql)).toEqual([
        'select *, cast(`id` as char) as `posthasten` from `visit` where `id` in (?, ?, ?, ?)',
      ])
    })

    it('gives two lookups of one key rows that share nothing', async () => {
      const { db } = await openVisits('visit')
      const find = () => db.selectFrom('visit').selectAll().where('id', '=', 7).executeTakeFirstOrThrow()
      const [first, second] = await Promise.all([find(), find(), find()])
      expect(second).toStrictEqual(first)
      first.at.setFullYear(1999)
      first.note.n = 0
      expect([second.at.getFullYear(), second.note.n]).toEqual([2026, 7])
    })

    it('keeps conditions that the lookups share, and the order', async () => {
      const { db, events } = await openVisits('visit')
      events.length = 0
      const rows = await Promise.all(
        [1, 2, 3].map((person) =>
          db
            .selectFrom('visit as v')
            .select('v.id')
            .where('v.id', '<', 10)
            .where('v.person', '=', person)
            .orderBy('v.code', 'desc')
            .orderBy('v.id')
            .execute(),
        ),
      )
      expect(rows.map((part) => part.map(({ id }) => id))).toEqual([
        [9, 5, 1],
        [6, 2],
        [7, 3],
      ])
      expect(events.map(({ sql }) => sql)).toEqual([
        'select `v`.`id`, cast(`v`.`person` as char) as `posthasten` from `visit` as `v` where `v`.`id` < ? and `v`.`person` in (?, ?, ?) order by `v`.`code` desc, `v`.`id`',
      ])
    })

    it.each<[string, (db: Kysely<Record<string, Visit>>, n: number) => { execute(): Promise<unknown[]> }]>([
      [
        'whose order leaves a choice',
        (db, n) => db.selectFrom('visit').select('id').where('person', '=', n).orderBy('at'),
      ],
      [
        'with a limit for each',
        (db, n) => db.selectFrom('visit').select('id').where('person', '=', n).orderBy('id').limit(2),
      ],
      [
        'by a text',
        (db, n) =>
          db
            .selectFrom('visit')
            .select('id')
            .where('code', '=', n as never)
            .orderBy('id'),
      ],
      [
        'by a fraction',
        (db, n) =>
          db
            .selectFrom('visit')
            .select('person')
            .where('id', '=', n + 0.5),
      ],
      [
        'by two values that differ',
        (db, n) => db.selectFrom('visit').select('id').where('id', '=', n).where('person', '=', n),
      ],
      [
        'ordered by an alias',
        (db, n) => db.selectFrom('visit').select('at as id').where('person', '=', n).orderBy('id'),
      ],
      [
        'of one value for all rows',
        (db, n) =>
          db
            .selectFrom('visit')
            .select((e) => e.fn.countAll().as('n'))
            .where('id', '=', n),
      ],
    ])('sends a union for lookups %s', async (_what, build) => {
      const { db, events } = await openVisits('visit')
      events.length = 0
      const joined = await Promise.all([1, 2, 3].map((n) => build(db, n).execute()))
      expect(events.filter(({ sql }) => sql.includes('union all'))).toHaveLength(1)
      for (const n of [1, 2, 3]) expect(joined[n - 1]).toStrictEqual(await build(db, n).execute())
    })

    it('notices that the key has become a text meanwhile', async () => {
      const { db } = await openVisits('changed')
      const find = (id: number) => db.selectFrom('changed').select(['id', 'code']).where('id', '=', id).execute()
      await Promise.all([1, 2, 3].map(find))
      await sql`alter table changed modify id varchar(10)`.execute(db)
      await sql`update changed set id = '2x' where id = '2'`.execute(db)
      const joined = await Promise.all([1, 2, 3].map(find))
      expect(joined.map((rows) => rows.map(({ id }) => id))).toEqual([['1'], ['2x'], ['3']])
    })
  })
})
