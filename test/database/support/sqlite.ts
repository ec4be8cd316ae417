import { DatabaseSync } from 'node:sqlite'
import { type Generated, Kysely, SqliteDialect } from 'kysely'
import { type InstrumentOptions, instrument, nodeSqlite } from 'posthaste'
import { onTestFinished } from 'vitest'

export interface Tables {
  users: { id: Generated<number>; name: string; org_id: number }
  orders: { id: Generated<number>; user_id: number; status: string; total: number }
}

/** An instrumented SQLite in memory with ten users and their orders. */
export function openSqlite(options: InstrumentOptions = {}): Kysely<Tables> {
  const database = new DatabaseSync(':memory:')
  database.exec(`
    create table users (id integer primary key, name text not null, org_id integer not null);
    create table orders (id integer primary key, user_id integer not null, status text not null, total integer not null);
    insert into users (name, org_id) select 'user ' || value, value % 3 from json_each('[1,2,3,4,5,6,7,8,9,10]');
    insert into orders (user_id, status, total) select id, 'open', id * 10 from users;
  `)
  const db = new Kysely<Tables>(
    instrument({ dialect: new SqliteDialect({ database: nodeSqlite(database) }) }, { onWarn: () => {}, ...options }),
  )
  onTestFinished(() => db.destroy())
  return db
}
