import { randomBytes } from 'node:crypto'
import { DatabaseSync } from 'node:sqlite'
import { PGlite } from '@electric-sql/pglite'
import SQLite from 'better-sqlite3'
import {
  type CompiledQuery,
  type Dialect,
  Kysely,
  type LogEvent,
  MysqlDialect,
  PostgresDialect,
  type SqliteDatabase,
  SqliteDialect,
  sql,
} from 'kysely'
import { createPool } from 'mysql2'
import pg from 'pg'
import { cursorPaginate } from 'posthaste/pagination'
import type { SqlDialect } from '../../../src/pagination/types.ts'
import { services } from '../../support/services.ts'

/** Tables whose columns are of no interest to the compiler. */
// biome-ignore lint/suspicious/noExplicitAny: what Kysely itself calls a database without types
export type Untyped = Kysely<any>

/** A database of a test's own. */
export interface Opened {
  readonly db: Untyped
  /** What `db` was made of, for another `Kysely` over the same database. */
  readonly dialect: Dialect
  /** Where the database is, on MariaDB and MySQL. */
  readonly url?: string
  /** Statements that were sent since the last call. Look-ups of column types are left out: a process sends one a table. */
  statements(): string[]
  /** The same with their parameters. */
  queries(): CompiledQuery[]
  close(): Promise<void>
}

/** What tells servers of one dialect apart: their types and their session's settings. */
export type ServerKind = 'sqlite' | 'postgres' | 'mariadb' | 'mysql'

export interface Engine {
  readonly name: string
  readonly dialect: SqlDialect
  readonly server: ServerKind
  readonly available: boolean
  open(): Promise<Opened>
}

/** Every engine that the pager promises to be right on. */
export const engines: readonly Engine[] = [
  {
    name: 'better-sqlite3',
    dialect: 'sqlite',
    server: 'sqlite',
    available: true,
    open: async () => opened(new SqliteDialect({ database: new SQLite(':memory:') })),
  },
  {
    name: 'node:sqlite',
    dialect: 'sqlite',
    server: 'sqlite',
    available: true,
    open: async () => opened(new SqliteDialect({ database: nodeSqlite(new DatabaseSync(':memory:')) })),
  },
  {
    name: 'PGlite',
    dialect: 'postgres',
    server: 'postgres',
    available: true,
    open: openPglite,
  },
  {
    name: 'PostgreSQL',
    dialect: 'postgres',
    server: 'postgres',
    available: services.postgres !== undefined,
    open: openPostgres,
  },
  {
    name: 'MariaDB',
    dialect: 'mysql',
    server: 'mariadb',
    available: services.mariadb !== undefined,
    open: () => openMysql(services.mariadb as string),
  },
  {
    name: 'MySQL',
    dialect: 'mysql',
    server: 'mysql',
    available: services.mysql !== undefined,
    open: () => openMysql(services.mysql as string),
  },
]

/** Through the dialect for `pg`, because Kysely 0.28 has none for PGlite. */
async function openPglite(): Promise<Opened> {
  const pglite = await PGlite.create()
  const client = {
    async query(text: string, parameters: readonly unknown[]) {
      const { rows, affectedRows = 0 } = await pglite.query(text, [...parameters])
      return { command: 'SELECT' as const, rowCount: affectedRows, rows }
    },
    release() {},
  }
  const pool = { connect: async () => client, end: () => pglite.close(), on() {} }
  return opened(new PostgresDialect({ pool: pool as never }))
}

async function openPostgres(): Promise<Opened> {
  const schema = `pagination_${randomBytes(6).toString('hex')}`
  const connectionString = services.postgres as string
  const pool = new pg.Pool({ connectionString, options: `-c search_path=${schema}`, max: 4 })
  await pool.query(`create schema ${schema}`)
  return opened(new PostgresDialect({ pool }), () => pool.query(`drop schema ${schema} cascade`))
}

/** @param setting - a statement that each connection begins with */
export async function openMysql(service: string, setting?: string): Promise<Opened> {
  const database = `pagination_${randomBytes(6).toString('hex')}`
  const admin = createPool({ uri: service, connectionLimit: 1 })
  await admin.promise().query(`create database ${database} character set utf8mb4 collate utf8mb4_unicode_ci`)
  const url = new URL(service)
  url.pathname = `/${database}`
  const pool = createPool({ uri: url.href, connectionLimit: 4, supportBigNumbers: true, bigNumberStrings: true })
  // An older server may not know the setting.
  if (setting !== undefined) pool.on('connection', (connection) => connection.query(setting, () => {}))
  const cleanUp = async () => {
    await admin.promise().query(`drop database ${database}`)
    await admin.promise().end()
  }
  const own = opened(new MysqlDialect({ pool }), cleanUp)
  await readFirstPage(own)
  return { ...own, url: url.href }
}

/** The first page in another database may take two statements: until its rows tell, tables are taken for those of the database before. */
async function readFirstPage({ db, statements }: Opened): Promise<void> {
  await sql`create table first_page (id int primary key)`.execute(db)
  await db.insertInto('first_page').values({ id: 1 }).execute()
  await cursorPaginate(db.selectFrom('first_page').select('id'), { unique: 'id' })
  await sql`drop table first_page`.execute(db)
  statements()
}

function opened(dialect: Dialect, cleanUp: () => Promise<unknown> = async () => {}): Opened {
  let sent: CompiledQuery[] = []
  const log = (event: LogEvent) => {
    if (!event.query.sql.includes('information_schema.columns')) sent.push(event.query)
  }
  const db: Untyped = new Kysely({ dialect, log })
  const queries = () => {
    const found = sent
    sent = []
    return found
  }
  return {
    db,
    dialect,
    queries,
    statements: () => queries().map((query) => query.sql),
    async close() {
      await cleanUp()
      await db.destroy()
    },
  }
}

/** Node's own SQLite in the shape that Kysely's dialect asks for. */
function nodeSqlite(database: DatabaseSync): SqliteDatabase {
  return {
    close: () => database.close(),
    prepare(text) {
      const statement = database.prepare(text)
      statement.setReadBigInts(true)
      return {
        reader: statement.columns().length > 0,
        all: (parameters) => statement.all(...(parameters as never[])).map(withNumbers),
        run: (parameters) => statement.run(...(parameters as never[])),
        iterate: (parameters) => statement.iterate(...(parameters as never[])) as IterableIterator<unknown>,
      }
    },
  }
}

function withNumbers(row: Record<string, unknown>): Record<string, unknown> {
  const entries = Object.entries(row)
  return Object.fromEntries(entries.map(([name, value]) => [name, isSafe(value) ? Number(value) : value]))
}

function isSafe(value: unknown): boolean {
  return typeof value === 'bigint' && Number.isSafeInteger(Number(value))
}
