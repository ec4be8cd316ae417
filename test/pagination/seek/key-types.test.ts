import { sql } from 'kysely'
import { createPaginator } from 'posthaste/pagination'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { engines, type Opened } from '../support/engines.ts'

const pglite = engines.find(({ name }) => name === 'PGlite') as (typeof engines)[number]
const pager = createPaginator({ secret: 'a secret', onWarn: () => {} })

describe('the type of a key on PostgreSQL', () => {
  let opened: Opened

  beforeAll(async () => {
    opened = await pglite.open()
    for (const ddl of [
      'create domain counted as int check (value > 0)',
      `create type size as enum ('small', 'big', 'huge', 'vast')`,
    ]) {
      await sql.raw(ddl).execute(opened.db)
    }
  })
  afterAll(() => opened.close(), 60_000)

  let made = 0
  /** Each with a key of another name: what is known of one order holds for all of the same name. */
  const fill = async (type: string, value: string) => {
    const key = `k${++made}`
    await sql`drop table if exists things`.execute(opened.db)
    await sql.raw(`create table things (${key} ${type} primary key)`).execute(opened.db)
    await sql.raw(`insert into things select ${value} from generate_series(1, 4) n`).execute(opened.db)
    opened.statements()
    const query = () => opened.db.selectFrom('things').select(`${key} as key`)
    return {
      key,
      page: (after?: string | null) => pager.cursorPaginate(query(), { unique: key as never, perPage: 1, after }),
    }
  }
  /** For each statement, whether it looks at the catalogue of types. */
  const looksAtTypes = () => opened.statements().map((statement) => statement.includes('pg_catalog.pg_type'))
  const keysOf = (...pages: readonly { readonly items: readonly object[] }[]) =>
    pages.flatMap(({ items }) => items.map((item) => (item as { key: unknown }).key))
  const firstTwo = async (key: string) => {
    const query = sql<{ key: unknown }>`select ${sql.ref(key)} as key from things order by 1 limit 2`
    return (await query.execute(opened.db)).rows.map(({ key }) => key)
  }

  it.each([
    ['int', 'n'],
    ['numeric(10, 2)', 'n'],
    ['uuid', "lpad(n::text, 32, '0')::uuid"],
    ['timestamptz[]', 'array[to_timestamp(n)]'],
  ])('comes with the key: %s', async (type, value) => {
    const { page, key } = await fill(type, value)
    const first = await page()
    const second = await page(first.pagination.next)
    expect(looksAtTypes()).toEqual([false, false])
    expect(keysOf(first, second)).toEqual(await firstTwo(key))
  })

  it.each([
    ['counted', 'n'],
    ['size', '(enum_range(null::size))[n]'],
    ['size[]', 'array[(enum_range(null::size))[n]]'],
  ])('is looked up when it is the user’s own, which the first row tells: %s', async (type, value) => {
    const { page, key } = await fill(type, value)
    const first = await page()
    const second = await page(first.pagination.next)
    const again = await page()
    expect(looksAtTypes()).toEqual([false, true, true, true])
    expect(keysOf(first, second)).toEqual(await firstTwo(key))
    expect(again).toEqual(first)
  })

  it.each(['bigint', 'counted'])('may change during a walk: to %s', async (type) => {
    const { page, key } = await fill('int', 'n')
    const first = await page()
    await sql`alter table things alter column ${sql.ref(key)} type ${sql.raw(type)}`.execute(opened.db)
    const second = await page(first.pagination.next)
    const third = await page(second.pagination.next)
    expect(keysOf(first, second, third).map(Number)).toEqual([1, 2, 3])
  })

  it('gives an error for a value that has no text', async () => {
    const { page } = await fill('"char"', '(n - 126)::int::"char"')
    await expect(page()).rejects.toMatchObject({ code: 'ERR_CURSOR_UNSTABLE' })
  })
})
