import { DummyDriver, Kysely, PostgresAdapter, PostgresIntrospector, PostgresQueryCompiler } from 'kysely'

/** A database whose driver answers every statement at once, so that what is left is the work of the libraries. */
export interface Canned<Database> {
  readonly db: Kysely<Database>
  /** What the next statements are answered with. */
  rows: readonly object[]
}

export function cannedPostgres<Database>(): Canned<Database> {
  const connection = {
    executeQuery: async <Row>() => ({ rows: canned.rows as Row[] }),
    async *streamQuery() {},
  }
  class CannedDriver extends DummyDriver {
    override async acquireConnection() {
      return connection
    }
  }
  const db = new Kysely<Database>({
    dialect: {
      createAdapter: () => new PostgresAdapter(),
      createDriver: () => new CannedDriver(),
      createIntrospector: (database) => new PostgresIntrospector(database),
      createQueryCompiler: () => new PostgresQueryCompiler(),
    },
  })
  const canned: Canned<Database> = { db, rows: [] }
  return canned
}
