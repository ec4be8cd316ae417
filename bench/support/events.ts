import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import SQLite from 'better-sqlite3'
import { Kysely, MysqlDialect, PostgresDialect, SqliteDialect, sql } from 'kysely'
import { createPool } from 'mysql2'
import pg from 'pg'

export interface EventTables {
  events: { id: number; status: number; score: number | null; title: string }
}

/** A table of events in a database of its own, and what a dialect of any version of Kysely is made with. */
export interface EventDatabase {
  readonly name: string
  readonly dialect: 'sqlite' | 'postgres' | 'mysql'
  readonly db: Kysely<EventTables>
  readonly config: object
  close(): Promise<unknown>
}

/** Opens SQLite (a file), and PostgreSQL and MariaDB where they can be reached, each with that many events. */
export async function openEvents(count: number): Promise<EventDatabase[]> {
  const opened = await Promise.allSettled([openSqlite(count), openPostgres(count), openMariadb(count)])
  return opened.flatMap((result) => {
    if (result.status === 'fulfilled') return [result.value]
    console.error(`  SKIPPED: ${result.reason}`)
    return []
  })
}

const name = `bench_events_${process.pid}`
const indexes = ['status, id', 'score, id']

async function openSqlite(count: number): Promise<EventDatabase> {
  const folder = mkdtempSync(join(tmpdir(), 'posthaste-bench-'))
  const database = new SQLite(join(folder, 'events.db'))
  const config = { database }
  const db = new Kysely<EventTables>({ dialect: new SqliteDialect(config) })
  await create(db)
  const numbers = `with recursive s (n) as (select 1 union all select n + 1 from s where n < ${count}) select n from s`
  await fill(db, numbers)
  await sql`analyze`.execute(db)
  return {
    name: 'SQLite',
    dialect: 'sqlite',
    db,
    config,
    close: async () => {
      await db.destroy()
      rmSync(folder, { recursive: true })
    },
  }
}

async function openPostgres(count: number): Promise<EventDatabase> {
  const connectionString = process.env.POSTGRES_URL ?? 'postgres://postgres@127.0.0.1:5432/postgres'
  const pool = new pg.Pool({ connectionString, max: 1, options: `-c search_path=${name}` })
  await pool.query(`create schema ${name}`)
  const config = { pool }
  const db = new Kysely<EventTables>({ dialect: new PostgresDialect(config) })
  await create(db)
  await fill(db, `select n from generate_series(1, ${count}) as s (n)`)
  await sql`vacuum analyze events`.execute(db)
  const close = async () => {
    await pool.query(`drop schema ${name} cascade`)
    await db.destroy()
  }
  return { name: 'PostgreSQL', dialect: 'postgres', db, config, close }
}

async function openMariadb(count: number): Promise<EventDatabase> {
  const url = new URL(process.env.MARIADB_URL ?? 'mysql://root@127.0.0.1:3306/test')
  const admin = createPool({ uri: url.href, connectionLimit: 1 })
  await admin.promise().query(`create database ${name}`)
  url.pathname = `/${name}`
  const config = { pool: createPool({ uri: url.href, connectionLimit: 1 }) }
  const db = new Kysely<EventTables>({ dialect: new MysqlDialect(config) })
  await create(db)
  await fill(db, `select seq as n from seq_1_to_${count}`)
  await sql`analyze table events`.execute(db)
  const close = async () => {
    await admin.promise().query(`drop database ${name}`)
    await admin.promise().end()
    await db.destroy()
  }
  return { name: 'MariaDB', dialect: 'mysql', db, config, close }
}

async function create(db: Kysely<EventTables>): Promise<void> {
  await sql`create table events (id integer primary key, status integer not null, score integer, title varchar(60) not null)`.execute(
    db,
  )
}

/** Three states, and scores of which one in ten is NULL. */
async function fill(db: Kysely<EventTables>, numbers: string): Promise<void> {
  await sql`insert into events select n, n % 3, case when n % 10 = 0 then null else n * 7919 % 5000 end, 'the title of an event, of some length' from (${sql.raw(numbers)}) as numbers`.execute(
    db,
  )
  for (const [at, columns] of indexes.entries()) {
    await sql.raw(`create index events_${at} on events (${columns})`).execute(db)
  }
}
