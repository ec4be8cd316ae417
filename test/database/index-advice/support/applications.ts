import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import SQLite from 'better-sqlite3'
import { type Dialect, Kysely, PostgresDialect, type SelectQueryBuilder, SqliteDialect, sql } from 'kysely'
import pg from 'pg'
import { countRows, cursorPaginate, paginate, readRows, settingsFromEnv } from 'posthaste'
import { openEvents } from '../../../../bench/support/events.ts'
import { createCitiesApp } from '../../../../examples/cities/cities.ts'
import { openCities } from '../../../../examples/cities/database.ts'
import { openPostgres } from '../../../../examples/cities/postgres.ts'
import { createCrm } from '../../../../examples/crm/crm.ts'
import { migrate } from '../../../../examples/crm/database.ts'
import { services } from '../../../support/services.ts'

// biome-ignore lint/suspicious/noExplicitAny: queries of any tables and columns
type Untyped = Kysely<any>
// biome-ignore lint/suspicious/noExplicitAny: the same
type Query = SelectQueryBuilder<any, any, any>

/** An application with its database: what it asks for, and the lists that it pages through. */
export interface Application {
  /** Makes dialects of its database that can be closed again and again. */
  dialect(): Dialect
  /** Sends each of its queries at least once. */
  run(): Promise<unknown>
  readonly lists: readonly (readonly [build: (db: Untyped) => Query, options: object])[]
  close(): Promise<unknown>
}

const settings = settingsFromEnv({ USE_REDIS_CACHE: 'false' })

/** @param url - of PostgreSQL; without one, SQLite */
export async function openCitiesApplication(url: string | undefined): Promise<Application> {
  const { address, drop } = await openDatabase(url)
  const folder = mkdtempSync(join(tmpdir(), 'posthaste-advice-'))
  const opened = address === undefined ? undefined : await openPostgres(address, settings.pool)
  const dialect = address === undefined ? lentSqlite(openCities(folder)) : lentPostgres(address)
  const cities = createCitiesApp({ dialect: opened?.dialect ?? dialect.make() }, settings, opened?.pool)
  const list = (db: Untyped) => db.selectFrom('cities').selectAll()
  const orders = [['cities.name'], ['cities.population desc']]
  const filters: ((db: Untyped) => Query)[] = [
    list,
    (db) => list(db).where('country', '=', 'ES'),
    (db) => list(db).where('country', '=', 'ES').where('population', '>=', 100_000),
    (db) => list(db).where('population', '>=', 5_000_000),
  ]
  return {
    dialect: dialect.make,
    async run() {
      for (const sort of ['population', '-population', 'name', '-name']) {
        for (const filter of ['', '&country=es', '&min_population=5000000', '&country=US&min_population=1000']) {
          for (const page of [1, 3]) await cities.list(`sort=${sort}${filter}&page=${page}`)
        }
      }
      await cities.find('3117735')
      await cities.countries()
      await cities.largest()
    },
    lists: orders.flatMap((by) => filters.map((build) => [build, { by, unique: 'cities.id' }] as const)),
    async close() {
      await cities.close()
      await dialect.close()
      await drop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** @param url - of PostgreSQL; without one, SQLite */
export async function openCrmApplication(url: string | undefined): Promise<Application> {
  const { address, drop } = await openDatabase(url)
  const crm = await createCrm({ USE_REDIS_CACHE: 'false', DATABASE_URL: address })
  const dialect = address === undefined ? lentSqlite(new SQLite(':memory:')) : lentPostgres(address)
  const db: Untyped = new Kysely({ dialect: dialect.make() })
  await migrate(db)
  await sql`analyze`.execute(db)
  const list = (db: Untyped) => db.selectFrom('users').selectAll()
  const filters: ((db: Untyped) => Query)[] = [
    list,
    (db) => list(db).where('is_active', '=', 1),
    (db) => list(db).where('role', '=', 'admin').where('is_active', '=', 1),
    (db) => list(db).where('created_at', '>=', '2024-02-10'),
  ]
  const orders = [['users.created_at desc'], ['users.name'], [{ key: 'users.last_login', nulls: 'last' }]]
  return {
    dialect: dialect.make,
    async run() {
      const server = crm.app.listen(0)
      await once(server, 'listening')
      const { port } = server.address() as AddressInfo
      const lists = ['created_at', '-created_at', 'name', 'last_login', '-last_login'].flatMap((sort) =>
        ['', '&role=admin', '&active_only=false', '&since=2024-02-10'].map(
          (filter) => `users/?sort=${sort}${filter}&page=2`,
        ),
      )
      for (const path of [...lists, 'users/export', 'users/7']) {
        const response = await fetch(`http://localhost:${port}/${path}`)
        if (!response.ok) throw new Error(`${path}: ${await response.text()}`)
        await response.text()
      }
      server.close()
      server.closeAllConnections()
    },
    lists: orders.flatMap((by) => filters.map((build) => [build, { by, unique: 'users.id' }] as const)),
    async close() {
      await crm.close()
      await dialect.close()
      await drop()
    },
  }
}

/** The queries of `bench/`: pages, totals and chunks of events, lookups of persons. */
export async function openBenchApplication(url: string | undefined): Promise<Application> {
  const opened = await openEvents(20_000)
  const wanted = url === undefined ? 'sqlite' : 'postgres'
  const events = opened.find(({ dialect }) => dialect === wanted) as (typeof opened)[number]
  const db = events.db as unknown as Untyped
  const fill = 'select id, title, id % 1000, id * 7 % 20000 from events'
  await sql`create table person (id int primary key, name text, region int, pop int)`.execute(db)
  await sql`insert into person ${sql.raw(fill)}`.execute(db)
  await sql`create index person_region on person (region, pop)`.execute(db)
  await sql`analyze`.execute(db)
  const list = (db: Untyped) => db.selectFrom('events').select(['id', 'status', 'score', 'title'])
  const orders = [['status'], [{ key: 'score', nulls: url === undefined ? 'first' : 'last' }], [], ['id desc']]
  return {
    dialect: () => lent(events.config as never),
    async run() {
      const ordered = list(db).orderBy('id').limit(20)
      await ordered.execute()
      await ordered.where('id', '>', 10_000).execute()
      await ordered.offset(10_000).execute()
      await ordered.select((eb) => eb.fn.countAll().over().as('total')).execute()
      await list(db).orderBy('status').orderBy('id').limit(21).offset(10_000).execute()
      await countRows(list(db))
      for (const by of orders) {
        const { pagination } = await cursorPaginate(list(db), { by: by as never, unique: 'id', perPage: 20 })
        await cursorPaginate(list(db), { by: by as never, unique: 'id', perPage: 20, after: pagination.next })
        await paginate(list(db), { by: by as never, unique: 'id', perPage: 20, page: 9, total: { atMost: 1_000 } })
      }
      await Array.fromAsync(readRows(list(db), { unique: 'id' }))
      const ids = Array.from({ length: 100 }, (_, index) => 1 + ((index * 977) % 20_000))
      const person = db.selectFrom('person').select(['id', 'name'])
      await person.where('id', '=', 7).execute()
      await person.where('id', 'in', ids).execute()
      await person.where('region', '=', 7).orderBy('pop', 'desc').limit(3).execute()
    },
    lists: orders.map((by) => [list, { by, unique: 'id' }] as const),
    close: () => Promise.all(opened.map(({ close }) => close())),
  }
}

/** A database of its own on PostgreSQL. */
async function openDatabase(url: string | undefined): Promise<{ address: string | undefined; drop(): Promise<void> }> {
  if (url === undefined) return { address: undefined, drop: async () => {} }
  const name = `advice_${randomUUID().replaceAll('-', '')}`
  const admin = async (text: string) => {
    const client = new pg.Client(services.postgres)
    await client.connect()
    await client.query(text)
    await client.end()
  }
  await admin(`create database ${name}`)
  return {
    address: Object.assign(new URL(url), { pathname: `/${name}` }).href,
    drop: () => admin(`drop database ${name} with (force)`),
  }
}

function lentSqlite(database: SQLite.Database) {
  return { make: () => lent({ database }), close: async () => void database.close() }
}

function lentPostgres(connectionString: string) {
  const pool = new pg.Pool({ connectionString, max: 3 })
  pool.on('error', () => {})
  return { make: () => lent({ pool }), close: () => pool.end() }
}

/** A dialect that leaves its database open when it is closed. */
function lent(config: { readonly database: SQLite.Database } | { readonly pool: pg.Pool }): Dialect {
  return 'database' in config
    ? new SqliteDialect({ database: { prepare: (text: string) => config.database.prepare(text), close() {} } as never })
    : new PostgresDialect({ pool: { connect: () => config.pool.connect(), end: async () => {} } as never })
}
