import { type DatabaseConnection, type Dialect, Kysely, MysqlDialect, PostgresDialect, SqliteDialect } from 'kysely'

export type JobDialect = 'sqlite' | 'postgres' | 'mariadb' | 'mysql'

/** What the jobs of these tests write: nothing forbids a row twice, so that repeated work shows. */
export interface JobTables {
  done: { item: number }
}

/** Called in place of every statement; `send` sends it. */
export type Around = <Answer>(send: () => Answer) => Answer

/** @param address - a file for SQLite, else a URL of the database */
export async function openJobDatabase(
  dialect: JobDialect,
  address: string,
  around: Around = (send) => send(),
): Promise<Kysely<JobTables>> {
  return new Kysely({ dialect: surrounded(await openDialect(dialect, address), around) })
}

async function openDialect(dialect: JobDialect, address: string): Promise<Dialect> {
  if (dialect === 'sqlite') {
    const { default: Database } = await import('better-sqlite3')
    return new SqliteDialect({ database: new Database(address) })
  }
  if (dialect === 'postgres') {
    const { default: pg } = await import('pg')
    return new PostgresDialect({ pool: new pg.Pool({ connectionString: address, max: 3 }) })
  }
  const { createPool } = await import('mysql2')
  return new MysqlDialect({ pool: createPool({ uri: address, connectionLimit: 3 }) })
}

function surrounded(dialect: Dialect, around: Around): Dialect {
  const createDriver = dialect.createDriver.bind(dialect)
  dialect.createDriver = () => {
    const driver = createDriver()
    const acquire = driver.acquireConnection.bind(driver)
    const known = new WeakSet<DatabaseConnection>()
    driver.acquireConnection = async (...options) => {
      const connection = await acquire(...options)
      if (known.has(connection)) return connection
      known.add(connection)
      const execute = connection.executeQuery.bind(connection)
      connection.executeQuery = ((...parameters: Parameters<typeof execute>) =>
        around(() => execute(...parameters))) as typeof execute
      return connection
    }
    return driver
  }
  return dialect
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
