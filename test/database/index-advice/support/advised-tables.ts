import { type Dialect, Kysely, MysqlDialect, PostgresDialect, sql } from 'kysely'
import { createPool } from 'mysql2'
import pg from 'pg'
import { type IndexAdvice, instrument, queryReport } from 'posthaste'
import { services } from '../../../support/services.ts'
import { type MysqlServerName, mysqlServers } from '../../support/mysql-servers.ts'

export interface Tables {
  org: { id: number; name: string }
  person: {
    id: number
    org_id: number
    status: string
    email: string
    age: number
    created: number
    score: number | null
    bio: string
    active: boolean | number
  }
  purchase: { id: number; person_id: number; amount: number; kind: string; at: number }
}

/** A database with the tables above, filled and analyzed, in a schema that is dropped at the end. */
export interface AdvisedDatabase {
  readonly name: string
  readonly dialect: 'postgres' | 'mysql'
  readonly plain: Kysely<Tables>
  /** An instrumented `Kysely` that has seen no query yet. */
  fresh(): Kysely<Tables>
  /** The planner's cost of the query on PostgreSQL, the rows that it reads on MariaDB and MySQL; and its plan. */
  explain(query: {
    compile(): { sql: string; parameters: readonly unknown[] }
  }): Promise<{ cost: number; plan: string; isTelling: boolean }>
  analyze(): Promise<void>
  close(): Promise<void>
}

const name = `advice_${process.pid}`

export const advisedDatabases: { name: string; url: string | undefined; open: () => Promise<AdvisedDatabase> }[] = [
  { name: 'PostgreSQL', url: services.postgres, open: () => openPostgres(services.postgres as string) },
  ...mysqlServers.map(({ server, url }) => ({ name: server, url, open: () => openMysql(server, url as string) })),
]

async function openPostgres(url: string): Promise<AdvisedDatabase> {
  const pool = new pg.Pool({ connectionString: url, max: 3, options: `-c search_path=${name}` })
  await pool.query(`create schema ${name}`)
  const lent = { connect: () => pool.connect(), end: async () => {} }
  const plain = new Kysely<Tables>({ dialect: new PostgresDialect({ pool: lent as never }) })
  await fill(plain, 'select n from generate_series(1, $count) as s (n)', 'boolean')
  return {
    name: 'PostgreSQL',
    dialect: 'postgres',
    plain,
    fresh: () => new Kysely<Tables>(instrumented(new PostgresDialect({ pool: lent as never }))),
    async explain(query) {
      const { sql: text, parameters } = query.compile()
      const { rows } = await pool.query(`explain (format json) ${text}`, [...parameters])
      const [{ Plan: root }] = rows[0]['QUERY PLAN']
      return { cost: root['Total Cost'], plan: JSON.stringify(root, null, 1), isTelling: true }
    },
    analyze: async () => void (await pool.query('vacuum analyze')),
    async close() {
      await pool.query(`drop schema ${name} cascade`)
      await pool.end()
    },
  }
}

async function openMysql(server: MysqlServerName, url: string): Promise<AdvisedDatabase> {
  const admin = createPool({ uri: url, connectionLimit: 1 }).promise()
  await admin.query(`create database ${name}`)
  const address = new URL(url)
  address.pathname = `/${name}`
  const pool = createPool({ uri: address.href, connectionLimit: 3 })
  const lent = { getConnection: pool.getConnection.bind(pool), end: (done: () => void) => done() }
  const plain = new Kysely<Tables>({ dialect: new MysqlDialect({ pool: lent as never }) })
  await fill(plain, series, 'tinyint')
  return {
    name: server,
    dialect: 'mysql',
    plain,
    fresh: () => new Kysely<Tables>(instrumented(new MysqlDialect({ pool: lent as never }))),
    async explain(query) {
      const { sql: text, parameters } = query.compile()
      const connection = await pool.promise().getConnection()
      try {
        const [rows] = await connection.query(`explain format=json ${text}`, [...parameters])
        // The planner's own figure leaves out LIMIT and the sort.
        await connection.query('flush status')
        const [found] = await connection.query(text, [...parameters])
        const [status] = await connection.query("show status like 'Handler_read%'")
        const cost = (status as { Value: string }[]).reduce((sum, { Value }) => sum + Number(Value), 0)
        return {
          cost,
          // These values may have met no row, for which MySQL reads no table that is joined to it.
          isTelling: cost > 500 && (server === 'mariadb' || (found as object[]).length > 0),
          plan: String(Object.values((rows as object[])[0] as object)[0]),
        }
      } finally {
        connection.release()
      }
    },
    analyze: async () => void (await pool.promise().query('analyze table org, person, purchase')),
    async close() {
      await admin.query(`drop database ${name}`)
      await admin.end()
      await pool.promise().end()
    },
  }
}

/** Numbers from 1: only MariaDB has a table of them. */
const series =
  'select row_number() over () as n from information_schema.collations a, information_schema.collations b limit $count'

function instrumented(dialect: Dialect) {
  return instrument({ dialect }, { slow: '0ms', explain: 'plan', onWarn: () => {} })
}

async function fill(db: Kysely<Tables>, numbers: string, boolean: string): Promise<void> {
  const run = (text: string) => sql.raw(text).execute(db)
  const from = (count: number) => `(${numbers.replace('$count', String(count))}) as numbers`
  await run('create table org (id integer primary key, name varchar(40) not null)')
  await run(`create table person (
    id integer primary key, org_id integer not null, status varchar(10) not null, email varchar(60) not null,
    age integer not null, created integer not null, score integer, bio text not null, active ${boolean} not null)`)
  await run(`create table purchase (
    id integer primary key, person_id integer not null, amount integer not null, kind varchar(10) not null, at integer not null)`)
  await run(`insert into org select n, concat('org ', n) from ${from(200)}`)
  await run(`insert into person select n, n * 7919 % 200 + 1,
    case when n % 1000 = 0 then 'banned' when n % 10 = 0 then 'invited' else 'active' end,
    concat('user', n, '@example.com'), n * 31 % 100, n, case when n % 10 = 3 then null else n * 7919 % 5000 end,
    'a few words about somebody, which no query reads', n % 2 = 0 from ${from(6_000)}`)
  await run(`insert into purchase select n, n * 7907 % 6000 + 1, n * 1009 % 10007,
    case when n % 3 = 0 then 'gift' else 'sale' end, n from ${from(12_000)}`)
  const tables = ['org', 'person', 'purchase']
  for (const table of tables) await run(`${boolean === 'boolean' ? 'vacuum analyze' : 'analyze table'} ${table}`)
}

/** The advice for a query, once its plan was read. */
export async function adviceFor(
  database: AdvisedDatabase,
  build: (db: Kysely<Tables>) => { execute(): Promise<unknown> },
): Promise<readonly IndexAdvice[]> {
  const db = database.fresh()
  try {
    await build(db).execute()
    for (let wait = 0; queryReport(db).slow[0]?.plan === undefined; wait += 1) {
      if (wait === 2_000) throw new Error('There is no plan')
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    return queryReport(db).advice
  } finally {
    await db.destroy()
  }
}
