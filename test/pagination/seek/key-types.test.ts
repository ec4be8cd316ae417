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
  }, 60_000)
  afterAll(() => opened.close(), 60_000)

  const fill = async (type: string, value: string) => {
    await sql`drop table if exists things`.execute(opened.db)
    await sql.raw(`create table things (id ${type} primary key)`).execute(opened.db)
    await sql.raw(`insert into things select ${value} from generate_series(1, 4) n`).execute(opened.db)
    opened.statements()
  }
  const page = (after?: string | null) =>
    pager.cursorPaginate(opened.db.selectFrom('things').select('id'), { unique: 'id', perPage: 1, after })
  /** Looks at the catalogue of types. */
  const looksAtTypes = () => opened.statements().map((statement) => statement.includes('pg_catalog.pg_type'))

  it.each([
    ['int', 'n', false],
    ['numeric(10, 2)', 'n', false],
    ['uuid', "lpad(n::text, 32, '0')::uuid", false],
    // The cursor has no type that these could be read by.
    ['counted', 'n', true],
    ['size', '(enum_range(null::size))[n]', true],
  ])('%s: %s', async (type, value, looksAgain) => {
    await fill(type, value)
    const first = await page()
    const second = await page(first.pagination.next)
    const third = await page(second.pagination.next)
    expect(looksAtTypes()).toEqual([true, looksAgain, looksAgain])
    const walked = [first, second, third].map(({ items }) => items[0]?.id)
    const { rows } = await sql<{ id: unknown }>`select id from things order by id limit 3`.execute(opened.db)
    expect(walked).toEqual(rows.map(({ id }) => id))
  })

  it('may change during a walk to another that the cursor can be read by', async () => {
    await fill('int', 'n')
    const { pagination } = await page()
    await sql`alter table things alter column id type bigint`.execute(opened.db)
    const second = await page(pagination.next)
    const third = await page(second.pagination.next)
    expect([...second.items, ...third.items].map(({ id }) => Number(id))).toEqual([2, 3])
  })

  it('is missed when it has become one that the user made', async () => {
    await fill('int', 'n')
    const { pagination } = await page()
    await sql`alter table things alter column id type counted`.execute(opened.db)
    await expect(page(pagination.next)).rejects.toMatchObject({
      code: 'ERR_CURSOR_UNSTABLE',
      message: expect.stringContaining('another type than in the cursor'),
    })
  })
})
