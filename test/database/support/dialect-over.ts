import {
  type DatabaseConnection,
  type Dialect,
  DummyDriver,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from 'kysely'

/** The dialect of SQLite, every connection of which is this one. */
export function dialectOver(connection: DatabaseConnection): Dialect {
  class Driver extends DummyDriver {
    override async acquireConnection() {
      return connection
    }
  }
  return {
    createAdapter: () => new SqliteAdapter(),
    createDriver: () => new Driver(),
    createIntrospector: (db) => new SqliteIntrospector(db),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  }
}
