import Database from 'better-sqlite3'
import { type Generated, type Insertable, Kysely, PostgresDialect, SqliteDialect } from 'kysely'
import pg from 'pg'
import {
  type Cache,
  chunks,
  instrument,
  type PerformanceMonitor,
  poolOptions,
  type Settings,
  tunePgPool,
} from 'posthaste'

export interface UserTable {
  id: Generated<number>
  name: string
  email: string
  role: 'admin' | 'manager' | 'user'
  /** 0 or 1: SQLite has no booleans. */
  is_active: number
  created_at: string
  last_login: string | null
}

export interface Tables {
  users: UserTable
}

/**
 * A tuned pool of PostgreSQL connections for a `DATABASE_URL`, else a database in memory. Either way the monitor shows its
 * queries, its writes invalidate what the cache has read, and queries of clients that left are cancelled.
 */
export function connect(
  url: string | undefined,
  settings: Settings['pool'],
  monitor: PerformanceMonitor,
  cache: Cache,
): Kysely<Tables> {
  if (url === undefined) {
    const dialect = new SqliteDialect({ database: new Database(':memory:') })
    return new Kysely(instrument({ dialect }, { monitor, invalidates: cache, abandon: 'cancel' }))
  }
  const { options, tuning } = poolOptions('pg', settings)
  const pool = tunePgPool(new pg.Pool({ ...options, connectionString: url }), tuning)
  return new Kysely(
    instrument({ dialect: new PostgresDialect({ pool }) }, { monitor, pool, invalidates: cache, abandon: 'cancel' }),
  )
}

/** Creates the tables and their indexes, and seeds 1,000 users where there are none: 150 of them active administrators. */
export async function migrate(db: Kysely<Tables>): Promise<void> {
  await db.schema
    .createTable('users')
    .ifNotExists()
    .addColumn('id', 'integer', (column) => column.primaryKey())
    .addColumn('name', 'varchar(100)', (column) => column.notNull())
    .addColumn('email', 'varchar(200)', (column) => column.notNull())
    .addColumn('role', 'varchar(20)', (column) => column.notNull())
    .addColumn('is_active', 'integer', (column) => column.notNull())
    .addColumn('created_at', 'varchar(30)', (column) => column.notNull())
    .addColumn('last_login', 'varchar(30)')
    .execute()
  // One index for the list's order, and one for it below the filters that most requests use.
  await db.schema.createIndex('users_created').ifNotExists().on('users').columns(['created_at', 'id']).execute()
  await db.schema
    .createIndex('users_role_active_created')
    .ifNotExists()
    .on('users')
    .columns(['role', 'is_active', 'created_at', 'id'])
    .execute()
  const seeded = await db.selectFrom('users').select('id').limit(1).executeTakeFirst()
  if (seeded !== undefined) return
  for (const users of chunks(seed(), 100)) await db.insertInto('users').values(users).execute()
}

const names = ['Ada', 'Barbara', 'Carlos', 'Dorothy', 'Edsger', 'Frances', 'Grace', 'Hedy', 'Ivan', 'Joan']

/** Every fifth user is an administrator, and of those every fourth is inactive. */
function* seed(): Generator<Insertable<UserTable>> {
  for (let id = 1; id <= 1_000; id++) {
    const role = id % 5 === 0 ? 'admin' : id % 5 === 1 ? 'manager' : 'user'
    const inactive = role === 'admin' ? id % 20 === 0 : id % 10 === 3
    const name = `${names[id % names.length]} ${id}`
    const created = new Date(Date.UTC(2024, 0, 1) + id * 3_600_000).toISOString()
    yield {
      id,
      name,
      email: `user${id}@example.com`,
      role,
      is_active: inactive ? 0 : 1,
      created_at: created,
      last_login: id % 7 === 0 ? null : created,
    }
  }
}
