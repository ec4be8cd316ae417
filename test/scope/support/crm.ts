import { DatabaseSync } from 'node:sqlite'
import { type Kysely, sql } from 'kysely'
import { pick } from './random.ts'

/** Every row belongs to one writer, who alone changes it. */
interface Row {
  id: number
  writer: number
  value: number
}

export interface Tables {
  orgs: Row
  users: Row & { org_id: number }
  orders: Row & { user_id: number }
  notes: Row & { user_id: number }
}

export type Rows = readonly { readonly writer: number }[]

/** The part of a cache that the reads use. */
interface AutoCache {
  getOrSet<Value>(key: readonly unknown[], load: () => Promise<Value>, options: { tags: 'auto' }): Promise<Value>
}

const tables = ['orgs', 'users', 'orders', 'notes'] as const

export function createTables(path: string): DatabaseSync {
  const database = new DatabaseSync(path, { timeout: 10_000 })
  database.exec('pragma journal_mode = wal; pragma synchronous = off')
  database.exec(`
    create table if not exists orgs (id integer primary key, writer int, value int);
    create table if not exists users (id integer primary key, writer int, value int, org_id int);
    create table if not exists orders (id integer primary key, writer int, value int, user_id int);
    create table if not exists notes (id integer primary key, writer int, value int, user_id int);
  `)
  return database
}

/** What a CRM asks: plain, joined, with sub-selects, common table expressions, unions, aggregates and raw fragments. */
export const queries: Readonly<Record<string, (db: Kysely<Tables>) => Promise<Rows>>> = {
  users: (db) => db.selectFrom('users').selectAll().orderBy('id').execute(),
  usersOfOrgs: (db) =>
    db
      .selectFrom('users')
      .innerJoin('orgs', 'orgs.id', 'users.org_id')
      .select(['users.id', 'users.writer', 'users.value', 'orgs.value as org_value'])
      .orderBy('users.id')
      .execute(),
  ordersWithNames: (db) =>
    db
      .selectFrom('orders as o')
      .leftJoin('users as u', 'u.id', 'o.user_id')
      .select(['o.id', 'o.writer', 'o.value', 'u.value as name'])
      .orderBy('o.id')
      .execute(),
  usersWithOrders: (db) =>
    db
      .selectFrom('users')
      .select(['id', 'writer', 'value'])
      .where(({ exists, selectFrom }) =>
        exists(selectFrom('orders').select('orders.id').whereRef('orders.user_id', '=', 'users.id')),
      )
      .orderBy('id')
      .execute(),
  usersWithTotals: (db) =>
    db
      .selectFrom('users')
      .select(({ selectFrom }) => [
        'users.id',
        'users.writer',
        selectFrom('orders')
          .select((orders) => orders.fn.sum('orders.value').as('sum'))
          .whereRef('orders.user_id', '=', 'users.id')
          .as('total'),
      ])
      .orderBy('users.id')
      .execute(),
  busyUsers: (db) =>
    db
      .with('busy', (cte) => cte.selectFrom('notes').select('user_id').groupBy('user_id'))
      .with('large', (cte) => cte.selectFrom('busy').innerJoin('users', 'users.id', 'busy.user_id').select('users.id'))
      .selectFrom('large')
      .innerJoin('users', 'users.id', 'large.id')
      .select(['users.id', 'users.writer', 'users.value'])
      .orderBy('users.id')
      .execute(),
  everything: (db) =>
    db
      .selectFrom('orgs')
      .select(['id', 'writer', 'value'])
      .unionAll(db.selectFrom('notes').select(['id', 'writer', 'value']))
      .unionAll((union) => union.selectFrom('orders').select(['id', 'writer', 'value']).where('value', '>', 50))
      .orderBy('id')
      .orderBy('value')
      .execute(),
  fragments: (db) =>
    db
      .selectFrom('notes')
      .select(['id', 'writer', sql<number>`abs(${sql.ref('value')}) + ${1}`.as('value')])
      .where(sql<boolean>`coalesce(user_id, ${0}) >= 0`)
      .orderBy(sql`id`)
      .execute(),
  inATransaction: (db) =>
    db.transaction().execute(async (trx) => {
      const users = await trx.selectFrom('users').select(['id', 'writer', 'value']).orderBy('id').execute()
      const orgs = await trx.selectFrom('orgs').select(['id', 'writer', 'value']).orderBy('id').execute()
      return [...users, ...orgs]
    }),
}

export const names: readonly string[] = [...Object.keys(queries), 'report', 'reports']

/** Reads through the cache, without a tag named anywhere; `report` nests other cached reads, and `reports` nests that. */
export function readCached(cache: AutoCache, db: Kysely<Tables>, name: string): Promise<Rows> {
  return cache.getOrSet([name], () => read(db, name, (inner) => readCached(cache, db, inner)), { tags: 'auto' })
}

/** The same without the cache. */
export function readDirectly(db: Kysely<Tables>, name: string): Promise<Rows> {
  return read(db, name, (inner) => readDirectly(db, inner))
}

async function read(db: Kysely<Tables>, name: string, readOther: (name: string) => Promise<Rows>): Promise<Rows> {
  if (name === 'reports') return [...(await readOther('report')), ...(await readOther('usersOfOrgs'))]
  if (name !== 'report') return (queries[name] as (db: Kysely<Tables>) => Promise<Rows>)(db)
  const [orders, busy] = await Promise.all([readOther('ordersWithNames'), readOther('busyUsers')])
  return [...orders, ...busy, ...(await db.selectFrom('orgs').selectAll().orderBy('id').execute())]
}

/** A random change of rows of one writer: alone, in a transaction, or in one that is rolled back. */
export async function write(db: Kysely<Tables>, writer: number, random: () => number): Promise<void> {
  const kind = random()
  if (kind < 0.6) return change(db, writer, random)
  const isKept = kind < 0.9
  await db
    .transaction()
    .execute(async (trx) => {
      await change(trx, writer, random)
      await change(trx, writer, random)
      if (!isKept) throw new RolledBack()
    })
    .catch((error: unknown) => {
      if (!(error instanceof RolledBack)) throw error
    })
}

class RolledBack extends Error {}

async function change(db: Kysely<Tables>, writer: number, random: () => number): Promise<void> {
  const table = pick(tables, random)
  const slot = Math.floor(random() * 5)
  const id = writer * 10 + slot
  const value = Math.floor(random() * 1_000)
  const kind = random()
  if (kind < 0.25) await db.deleteFrom(table).where('id', '=', id).execute()
  else if (kind < 0.6) await db.updateTable(table).set({ value }).where('writer', '=', writer).execute()
  else {
    const other = writer * 10 + Math.floor(random() * 5)
    const reference = table === 'orgs' ? {} : table === 'users' ? { org_id: other } : { user_id: other }
    const row = { id, writer, value, ...reference }
    await db
      .insertInto(table)
      .values(row as never)
      .onConflict((conflict) => conflict.column('id').doUpdateSet({ value }))
      .execute()
  }
}
