import {
  DummyDriver,
  Kysely,
  MssqlQueryCompiler,
  MysqlQueryCompiler,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type QueryCompiler,
  SqliteQueryCompiler,
} from 'kysely'
import { cursorPaginate, instrument, queryReport, withQueryScope } from 'posthaste'
import { describe, expect, it } from 'vitest'
import { dialectOf } from '../../../src/shared/sql/statement.ts'

/** As `kysely-knex` writes PostgreSQL. */
class QuestionMarks extends PostgresQueryCompiler {
  protected override getCurrentParameterPlaceholder() {
    return '?'
  }
}

describe('the dialect of a compiler', () => {
  it.each<[string, QueryCompiler]>([
    ['postgres', new PostgresQueryCompiler()],
    ['postgres', new QuestionMarks()],
    ['mysql', new MysqlQueryCompiler()],
    ['sqlite', new SqliteQueryCompiler()],
    ['mssql', new MssqlQueryCompiler()],
  ])('is %s', (dialect, compiler) => {
    expect(dialectOf(compiler)).toBe(dialect)
  })
})

it('PostgreSQL with question marks is paged as PostgreSQL, and its lookups are not joined', async () => {
  const sent: string[] = []
  const dialect = {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => new DummyDriver(),
    createIntrospector: (db: Kysely<never>) => new PostgresIntrospector(db),
    createQueryCompiler: () => new QuestionMarks(),
  }
  const db = new Kysely<{ city: { id: number } }>(
    instrument({ dialect, log: ({ query }) => void sent.push(query.sql) }, { autoBatch: true }),
  )
  const city = db.selectFrom('city').select('id')
  await cursorPaginate(city, { unique: 'id' })
  expect(sent[0]).toContain('record_send')
  await withQueryScope('cities', () => Promise.all([1, 2].map((id) => city.where('id', '=', id).execute())))
  expect(queryReport(db).autoBatch.shapes).toMatchObject([{ refused: 'its parameters cannot be told from its text' }])
})
