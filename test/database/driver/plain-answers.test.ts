import { type CompiledQuery, DummyDriver, Kysely, SqliteAdapter, SqliteIntrospector, SqliteQueryCompiler } from 'kysely'
import { instrument } from 'posthaste/database'
import { expect, it } from 'vitest'

/** Answers without a promise, which Kysely's types forbid and its executor takes. */
class PlainDriver extends DummyDriver {
  override async acquireConnection() {
    const executeQuery = ({ parameters }: CompiledQuery) => ({ rows: [{ id: parameters[0] }] }) as never
    return { executeQuery, async *streamQuery() {} }
  }
}

const dialect = {
  createAdapter: () => new SqliteAdapter(),
  createDriver: () => new PlainDriver(),
  createIntrospector: (db: Kysely<unknown>) => new SqliteIntrospector(db),
  createQueryCompiler: () => new SqliteQueryCompiler(),
}

it.each([{}, { autoBatch: true }])('takes answers that are no promises, with %o', async (options) => {
  const db = new Kysely<{ items: { id: number } }>(instrument({ dialect }, options))
  const lookUp = (id: number) => db.selectFrom('items').selectAll().where('id', '=', id).execute()
  expect(await Promise.all([1, 2, 3].map(lookUp))).toEqual([[{ id: 1 }], [{ id: 2 }], [{ id: 3 }]])
})
