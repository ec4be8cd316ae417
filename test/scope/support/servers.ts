import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { Kysely, MysqlDialect, PostgresDialect, sql } from 'kysely'
import { createPool } from 'mysql2'
import pg from 'pg'
import { type InstrumentOptions, instrument, tuneMysqlPool, tunePgPool } from 'posthaste'
import { onTestFinished } from 'vitest'
import { services } from '../../support/services.ts'

export interface NotesDatabase {
  [table: string]: { id: number; name: string }
}

/** A server that can cancel, behind a pool of a few connections. */
export interface TestDatabase {
  readonly db: Kysely<NotesDatabase>
  /** A table of its own, empty. */
  readonly table: string
  /** A SELECT that takes so long, and carries a mark that {@link running} finds. */
  sleep(ms: number): Promise<unknown>
  /** How many SELECTs of this database's users run on the server now. */
  running(): Promise<number>
}

export type ServerName = 'postgres' | 'mariadb' | 'mysql'

export const servers: readonly ServerName[] = ['postgres', 'mariadb', 'mysql']

export async function openDatabase(
  server: ServerName,
  kind: 'plain' | 'tuned',
  options: InstrumentOptions = {},
  size = 4,
): Promise<TestDatabase> {
  const mark = `scope_${randomUUID().replaceAll('-', '')}`
  const dialect = server === 'postgres' ? postgres(kind, size) : mysql(server, kind, size)
  const db = new Kysely<NotesDatabase>(
    instrument({ dialect }, { abandon: 'cancel', nPlusOne: false, explain: false, ...options }),
  )
  const observer = new Kysely<NotesDatabase>({
    dialect: server === 'postgres' ? postgres('plain', 1) : mysql(server, 'plain', 1),
  })
  await sql`create table ${sql.table(mark)} (id int primary key, name varchar(40))`.execute(observer)
  onTestFinished(async () => {
    await db.destroy()
    await sql`drop table ${sql.table(mark)}`.execute(observer)
    await observer.destroy()
  })
  const sleeping = server === 'postgres' ? 'pg_sleep' : 'sleep'
  return {
    db,
    table: mark,
    sleep: (ms) => sql`select ${sql.raw(sleeping)}(${sql.lit(ms / 1_000)}) as ${sql.ref(mark)}`.execute(db),
    async running() {
      const list =
        server === 'postgres'
          ? sql<{
              n: unknown
            }>`select count(*) as n from pg_stat_activity where state = 'active' and query like ${`%pg_sleep%${mark}%`} and pid <> pg_backend_pid()`
          : sql<{
              n: unknown
            }>`select count(*) as n from information_schema.processlist where info like ${`%sleep(%${mark}%`} and id <> connection_id()`
      return Number((await list.execute(observer)).rows[0]?.n)
    },
  }
}

function postgres(kind: 'plain' | 'tuned', max: number): PostgresDialect {
  const pool = new pg.Pool({ connectionString: services.postgres as string, max })
  pool.on('error', () => {})
  return new PostgresDialect({ pool: kind === 'tuned' ? tunePgPool(pool) : pool })
}

function mysql(server: 'mariadb' | 'mysql', kind: 'plain' | 'tuned', connectionLimit: number): MysqlDialect {
  const pool = createPool({ uri: services[server] as string, connectionLimit })
  return new MysqlDialect({ pool: kind === 'tuned' ? tuneMysqlPool(pool) : pool })
}

/** Listens on a free port of 127.0.0.1 until the test ends. */
export async function listen(handler: http.RequestListener): Promise<string> {
  const server = http.createServer(handler).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(
    () =>
      new Promise<void>((resolve) => {
        server.closeAllConnections()
        server.close(() => resolve())
      }),
  )
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Asks, and leaves as soon as the promise settles. */
export async function askAndLeave(url: string, leave: Promise<unknown>, method = 'GET'): Promise<void> {
  const request = http.request(url, { agent: false, method })
  const closed = new Promise<void>((resolve) => request.on('close', resolve))
  request.on('error', () => {}).end()
  await leave
  request.destroy()
  await closed
}
