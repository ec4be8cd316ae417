import { DummyDriver, Kysely, MssqlAdapter, MssqlQueryCompiler, PostgresIntrospector } from 'kysely'
import { createPaginator } from 'posthaste/pagination'
import { describe, expect, it } from 'vitest'
import { createCursorCodec, fingerprintOf } from '../../src/pagination/cursor.ts'

describe('statements for SQL Server', () => {
  const sent: string[] = []
  // biome-ignore lint/suspicious/noExplicitAny: what Kysely itself calls a database without types
  const db = new Kysely<any>({
    dialect: {
      createAdapter: () => new MssqlAdapter(),
      createDriver: () => new DummyDriver(),
      createIntrospector: (kysely) => new PostgresIntrospector(kysely),
      createQueryCompiler: () => new MssqlQueryCompiler(),
    },
    log: (event) => {
      sent.push(event.query.sql)
    },
  })
  const { paginate, cursorPaginate } = createPaginator({ onWarn: () => {} })
  const users = () => db.selectFrom('users').select('name').where('role', '=', 'admin')
  const last = () => sent.at(-1)

  it('take the first page by TOP, and numbered ones by OFFSET and FETCH', async () => {
    await paginate(users(), { by: ['name desc'], unique: 'id', total: 'none' })
    expect(last()).toBe('select top(11) "name" from "users" where "role" = @1 order by "name" desc, "id" desc')
    await paginate(users(), { by: ['name desc'], unique: 'id', page: 3, total: 'none' })
    expect(last()).toBe(
      'select "name" from "users" where "role" = @1 order by "name" desc, "id" desc offset @2 rows fetch next @3 rows only',
    )
  })

  it('count with count_big', async () => {
    sent.length = 0
    await paginate(users(), { unique: 'id', page: 2 })
    expect(sent).toContain('select count_big(*) as phc from "users" where "role" = @1')
  })

  it('place NULLs by a term of their own where they do not stand by themselves', async () => {
    await cursorPaginate(users(), { by: [{ key: 'seen', dir: 'desc', nulls: 'first' }], unique: 'id' })
    expect(last()).toBe(
      'select top(11) "name", convert(nvarchar(4000), "seen", 126) as posthastek0, convert(nvarchar(4000), "id", 126) as posthastek1 ' +
        'from "users" where "role" = @1 ' +
        'order by case when "seen" is null then 0 else 1 end, "seen" desc, "id" desc',
    )
  })

  it('bound a seek by its first key, which finds the range of the index', async () => {
    const encoded = createPaginator({ dialect: 'mssql' })
    const cursor = cursorOf('name asc never\nid unique', ['n', '7'])
    await encoded.cursorPaginate(users(), { by: ['name'], unique: 'id', after: cursor }).catch(() => {})
    expect(sent.find((text) => text.includes('"name" >='))).toBe(
      'select top(12) "name", convert(nvarchar(4000), "name", 126) as posthastek0, convert(nvarchar(4000), "id", 126) as posthastek1, ' +
        'case when "name" = @1 and "id" = @2 then 1 else 0 end as posthastex0 ' +
        'from "users" where ("role" = @3) and "name" >= @4 and (("name" = @5 and "id" >= @6) or ("name" > @7)) ' +
        'order by "name" asc, "id" asc',
    )
  })

  it('have no such bound where the first key is the only one, or NULL', async () => {
    const encoded = createPaginator({ dialect: 'mssql', onWarn: () => {} })
    sent.length = 0
    const only = { unique: 'id', after: cursorOf('id unique', ['7']) }
    await encoded.cursorPaginate(users(), only)
    expect(sent[0]).toMatch(/ where \("role" = @2\) and "id" >= @3 order by /)
    sent.length = 0
    const after = cursorOf('seen asc first\nid unique', [null, '7'])
    await encoded.cursorPaginate(users(), { by: [{ key: 'seen', nulls: 'first' }], unique: 'id', after })
    expect(sent[0]).toMatch(
      / where \("role" = @2\) and \(\("seen" is null and "id" >= @3\) or \("seen" is not null\)\) order by /,
    )
  })
})

/** A cursor as a page of this list would give it, if there were a server to give it. */
function cursorOf(order: string, keys: readonly (string | null)[]): string {
  const fingerprint = fingerprintOf(`mssql "\n${order}`, undefined)
  return createCursorCodec([]).encode(fingerprint, { position: keys, page: undefined })
}
