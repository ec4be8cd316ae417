import { Kysely, MysqlDialect, PostgresDialect, SqliteDialect } from 'kysely'

export type JobDialect = 'sqlite' | 'postgres' | 'mysql'

/** What the jobs of these tests write: nothing forbids a row twice, so that repeated work shows. */
export interface JobTables {
  done: { item: number }
}

/** @param address - a file for SQLite, else a URL of the database */
export async function openJobDatabase(dialect: JobDialect, address: string): Promise<Kysely<JobTables>> {
  if (dialect === 'sqlite') {
    const { default: Database } = await import('better-sqlite3')
    return new Kysely({ dialect: new SqliteDialect({ database: new Database(address) }) })
  }
  if (dialect === 'postgres') {
    const { default: pg } = await import('pg')
    return new Kysely({ dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: address, max: 3 }) }) })
  }
  const { createPool } = await import('mysql2')
  return new Kysely({ dialect: new MysqlDialect({ pool: createPool({ uri: address, connectionLimit: 3 }) }) })
}

export async function createJobTables(db: Kysely<JobTables>): Promise<void> {
  await db.schema
    .createTable('done')
    .addColumn('item', 'integer', (column) => column.notNull())
    .execute()
}

export async function itemsDone(db: Kysely<JobTables>): Promise<number[]> {
  return (await db.selectFrom('done').select('item').orderBy('item').execute()).map(({ item }) => item)
}
