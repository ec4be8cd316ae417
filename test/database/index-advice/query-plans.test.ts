import { DatabaseSync } from 'node:sqlite'
import { type Dialect, Kysely, MysqlDialect, PostgresDialect, sql } from 'kysely'
import { createPool } from 'mysql2'
import pg from 'pg'
import { type InstrumentOptions, instrument, queryReport } from 'posthaste'
import { describe, expect, it, onTestFinished } from 'vitest'
import { services } from '../../support/services.ts'
import { dialectOver } from '../support/dialect-over.ts'
import { mysqlServers } from '../support/mysql-servers.ts'

interface Row {
  id: number
  user_id: number
  status: string
}

/** A table of five thousand rows, gone after the test. */
async function open(dialect: Dialect, options: InstrumentOptions) {
  const table = `plans_${Math.random().toString(36).slice(2)}`
  const db = new Kysely<Record<string, Row>>(instrument({ dialect }, options))
  onTestFinished(async () => {
    await db.schema.dropTable(table).ifExists().execute()
    await db.destroy()
  })
  await db.schema
    .createTable(table)
    .addColumn('id', 'integer', (column) => column.primaryKey())
    .addColumn('user_id', 'integer')
    .addColumn('status', 'varchar(20)')
    .execute()
  const rows = Array.from({ length: 5_000 }, (_, id) => ({ id, user_id: id % 500, status: id % 2 ? 'open' : 'done' }))
  await db.insertInto(table).values(rows).execute()
  await sql.raw(`analyze ${dialect instanceof MysqlDialect ? 'table ' : ''}${table}`).execute(db)
  return { db, table }
}

/** Waits until the plan is there, which is asked for in the background. */
async function slowWithPlan(db: Kysely<Record<string, Row>>) {
  for (let wait = 0; wait < 200; wait += 1) {
    const slow = queryReport(db).slow.find(({ plan }) => plan !== undefined)
    if (slow !== undefined) return slow
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error('There is no plan')
}

const dialects: [string, string | undefined, () => Dialect, RegExp][] = [
  [
    'PostgreSQL',
    services.postgres,
    () => new PostgresDialect({ pool: new pg.Pool({ connectionString: services.postgres, max: 3 }) }),
    /Seq Scan on plans_\w+ {2}\(cost=\d.*\n.*Filter: .*status.* = \?/,
  ],
  ...mysqlServers.map(({ server, url }): (typeof dialects)[number] => [
    server,
    url,
    () => new MysqlDialect({ pool: createPool({ uri: url as string, connectionLimit: 3 }) }),
    /^plans_\w+: ALL, key null, rows \d+, Using where/,
  ]),
]

describe.each(dialects)('plans on %s', (_name, service, dialect, expected) => {
  it.skipIf(!service)('show no value, come from a connection of their own, and lead to advice', async () => {
    const { db, table } = await open(dialect(), { slow: '0ms' })
    await db.transaction().execute(async (trx) => {
      await trx.selectFrom(table).selectAll().where('user_id', '=', 7).where('status', '=', 'open').execute()
      const { plan } = await slowWithPlan(db)
      expect(plan).toMatch(expected)
      expect(plan).not.toMatch(/open|= 7\b/)
      // The transaction is none of EXPLAIN's business: it goes on.
      await trx.deleteFrom(table).where('id', '=', 1).execute()
    })
    expect(queryReport(db).queries.map(({ shape }) => shape)).not.toContainEqual(
      expect.stringMatching(/explain|read only/),
    )
    expect(queryReport(db).advice).toMatchObject([{ table, columns: ['user_id', 'status'], proven: false }])
    await sql.raw(queryReport(db).advice[0]?.ddl ?? '').execute(db)
  })

  it.skipIf(!service)('lead to no advice when the index is there already', async () => {
    const { db, table } = await open(dialect(), { slow: '0ms' })
    await db.schema.createIndex(`${table}_i`).on(table).columns(['status', 'user_id']).execute()
    await db.selectFrom(table).selectAll().where('user_id', '=', 7).where('status', '=', 'open').execute()
    await slowWithPlan(db)
    expect(queryReport(db).advice).toEqual([])
  })

  it.skipIf(!service)('lead to no advice when the database leaves the index that is there aside', async () => {
    const { db, table } = await open(dialect(), { slow: '0ms' })
    await db.schema.createIndex(`${table}_i`).on(table).column('status').execute()
    // Every row matches.
    await db.selectFrom(table).selectAll().where('status', '>=', 'a').execute()
    const { plan } = await slowWithPlan(db)
    expect(plan).toMatch(/Seq Scan|: ALL/)
    expect(queryReport(db).advice).toEqual([])
  })
})

it.skipIf(!services.postgres)(
  'show no text of several lines, and no number, wherever PostgreSQL writes them',
  async () => {
    const pool = new pg.Pool({ connectionString: services.postgres, max: 3 })
    const { db, table } = await open(new PostgresDialect({ pool }), { slow: '0ms' })
    await sql`alter table ${sql.table(table)} add column "7's" text`.execute(db)
    const other = db.selectFrom(table).select('user_id').where('user_id', '>', 1313)
    await (db as Kysely<Record<string, Row & { "7's": string }>>)
      .selectFrom(table)
      .select('id')
      .where("7's", '=', "111\n222's (cost=333\n444")
      .where('user_id', 'in', [555, 666])
      .where(sql<boolean>`(user_id, id) > (${777}, ${-888})`)
      .where(sql<boolean>`${999.5}::numeric < id + ${1010}`)
      .where(sql<boolean>`case when id = ${1111} then id else ${1212} end <> id`)
      .where('user_id', 'not in', other)
      .execute()
    const { plan } = await slowWithPlan(db)
    expect(plan).toContain('"7\'s" = ?')
    expect(plan).toContain('SubPlan 1')
    expect(plan?.replaceAll(/\(cost=.*\)|plans_\w+/g, '').match(/\d{3,}/g)).toBeNull()
  },
)

it.skipIf(!services.postgres)(
  'advises an index where only other tables, or only some rows or expressions, have one',
  async () => {
    const pool = new pg.Pool({ connectionString: services.postgres, max: 3 })
    const { db, table } = await open(new PostgresDialect({ pool }), { slow: '0ms' })
    const schema = `elsewhere_${table}`
    onTestFinished(async () => {
      const client = new pg.Client(services.postgres)
      await client.connect()
      await client.query(`drop schema ${schema} cascade`)
      await client.end()
    })
    for (const statement of [
      `create schema ${schema}`,
      `create table ${schema}.${table} (user_id integer)`,
      `create index on ${schema}.${table} (user_id)`,
      `create index on ${table} (user_id) where status = 'none'`,
      `create index on ${table} (abs(user_id), user_id)`,
    ]) {
      await sql.raw(statement).execute(db)
    }
    await db.selectFrom(table).selectAll().where('user_id', '=', 7).execute()
    await slowWithPlan(db)
    expect(queryReport(db).advice).toMatchObject([{ table, columns: ['user_id'] }])
  },
)

it('come with advice from SQLite through a driver that sees from the node alone whether a statement has rows', async () => {
  const { db, table } = await open(sqliteByNode(), { slow: '0ms' })
  await db.selectFrom(table).selectAll().where('user_id', '=', 7).where('status', '=', 'open').execute()
  expect(await slowWithPlan(db)).toMatchObject({ plan: `SCAN ${table}` })
  expect(queryReport(db).advice).toMatchObject([{ table, columns: ['user_id', 'status'], proven: true }])
})

/** A SQLite whose driver sees from the node alone whether a statement has rows, as those of kysely-generic-sqlite do. */
function sqliteByNode(): Dialect {
  const database = new DatabaseSync(':memory:')
  return dialectOver({
    async executeQuery({ sql, parameters, query }) {
      const statement = database.prepare(sql)
      const rows = statement.all(...(parameters as never[]))
      return { rows: query.kind === 'SelectQueryNode' ? (rows as never[]) : [] }
    },
    async *streamQuery() {},
  })
}
