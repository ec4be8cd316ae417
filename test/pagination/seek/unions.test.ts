import { type SelectQueryBuilder, sql } from 'kysely'
import { createPaginator } from 'posthaste/pagination'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { engines, type Opened, type Untyped } from '../support/engines.ts'

const { cursorPaginate, readRows } = createPaginator({ onWarn: () => {} })
// biome-ignore lint/suspicious/noExplicitAny: tables without types
type Query = SelectQueryBuilder<any, any, any>

interface Page {
  readonly items: { id?: unknown }[]
  readonly pagination: { next: string | null; jump?: { after: string }[] }
}

describe.each(engines)('unions on $name', ({ dialect, available, open }) => {
  let opened: Opened
  let db: Untyped

  beforeAll(async () => {
    if (!available) return
    opened = await open()
    db = opened.db
    await sql`create table posts (id int primary key, at int not null, title varchar(20) not null)`.execute(db)
    await sql`create table notes (id int primary key, at int not null, title varchar(20) not null)`.execute(db)
    for (let id = 1; id <= 9; id++) {
      const row = { id, at: (id * 4) % 5, title: ['5', 'a', '05', '-1', '1e3', '', '30', 'b', '7'][id - 1] }
      await db.insertInto('posts').values(row).execute()
      await db
        .insertInto('notes')
        .values({ ...row, id: id + 9, at: (id * 7) % 4 })
        .execute()
    }
    await sql`create index posts_at on posts (at, id)`.execute(db)
    await sql`create index notes_at on notes (at, id)`.execute(db)
  })
  afterAll(() => opened?.close(), 60_000)

  async function expectList(query: Query, by: string, dir: 'asc' | 'desc'): Promise<void> {
    const list = await db.selectFrom(query.as('list')).select('id').orderBy(by, dir).orderBy('id', dir).execute()
    const expected = list.map(({ id }) => Number(id))
    const options = { by: [{ key: by, dir, nulls: 'first' as const }], unique: 'id' }
    const read = await Array.fromAsync(readRows(query, { ...options, size: 2 } as never))
    expect(read.map((row) => Number((row as { id: unknown }).id))).toEqual(expected)
    for (const perPage of [1, 3]) {
      const seen: number[] = []
      let after: string | null = null
      do {
        const page: Page = await cursorPaginate(query, { ...options, after, perPage, jump: 3 } as never)
        seen.push(...page.items.map(({ id }) => Number(id)))
        const { next, jump = [] } = page.pagination
        after = next
        expect(jump).toHaveLength(Math.min(3, Math.ceil((expected.length - seen.length) / perPage)))
        if (jump[0]) expect(jump[0].after).toBe(after)
      } while (after !== null && seen.length <= expected.length)
      expect(seen).toEqual(expected)
    }
  }

  test.skipIf(!available)('are ordered by the column of the name, not by another of the first query', async () => {
    const query: Query = db
      .selectFrom('posts')
      .select(['id', 'at as created', 'at as changed'])
      .unionAll(db.selectFrom('notes').select(['id', 'at as created', sql`10 - at`.as('changed')]))
    await expectList(query, 'changed', 'asc')
    await expectList(query, 'created', 'desc')
    const { items } = await cursorPaginate(query.orderBy(sql`3`), { unique: 'id', perPage: 100 } as never)
    const changed = items.map((item) => Number((item as { changed: unknown }).changed))
    expect(changed).toEqual(changed.toSorted((left, right) => left - right))
  })

  test.skipIf(dialect !== 'sqlite').each(['asc', 'desc'] as const)(
    'of numbers and texts lose no row, in the direction %s',
    async (dir) => {
      const numbers: Query = db.selectFrom('posts').select(['id', 'at as k'])
      const texts: Query = db.selectFrom('notes').select(['id', 'title as k'])
      const noTexts = texts.where('id', '<', 0)
      for (const query of [
        numbers.unionAll(texts),
        texts.unionAll(numbers),
        texts.union(numbers),
        noTexts.unionAll(numbers),
        noTexts.union(numbers),
      ]) {
        await expectList(query, 'k', dir)
        await expectList(db.selectFrom(query.as('u')).select(['id', 'k']) as Query, 'k', dir)
        await expectList(
          db
            .with('u', () => query)
            .selectFrom('u')
            .select(['id', 'k']) as Query,
          'k',
          dir,
        )
      }
    },
  )

  test.skipIf(dialect !== 'sqlite')('that round integers beyond 2^53 are refused', async () => {
    const numbers = (values: string): Query => db.selectFrom(sql`(${sql.raw(values)})`.as('n')).selectAll() as never
    await sql`create table reals (id int primary key, k real not null)`.execute(db)
    await sql`create table integers (id int primary key, k int not null)`.execute(db)
    await sql`insert into reals values (1, 0.5), (2, 1e300)`.execute(db)
    await sql`insert into integers values (3, 9007199254740993), (4, 9007199254740992), (5, 9007199254740993)`.execute(
      db,
    )
    const integers: Query = db.selectFrom('integers').select(['id', 'k'])
    const rounded = db
      .selectFrom('reals')
      .select(['id', 'k'])
      .unionAll(integers as never)
    await expect(expectList(rounded as Query, 'k', 'asc')).rejects.toMatchObject({ code: 'ERR_CURSOR_UNSTABLE' })
    await expectList(integers.unionAll(numbers('select 6 as id, 9007199254740994 as k') as never), 'k', 'asc')
  })

  test.skipIf(dialect !== 'sqlite')('of numbers are read by the indexes of their tables', async () => {
    const query: Query = db
      .selectFrom('posts')
      .select(['id', 'at'])
      .unionAll(db.selectFrom('notes').select(['id', 'at']))
    for (const list of [query, db.selectFrom(query.as('u')).select(['id', 'at']) as Query]) {
      const options = { by: ['at'], unique: 'id', perPage: 3 }
      const { pagination } = await cursorPaginate(list, options as never)
      opened.queries()
      await cursorPaginate(list, { ...options, after: pagination.next } as never)
      const [page] = opened.queries()
      const { rows } = await sql<{ detail: string }>`explain query plan ${sql.raw(
        (page as { sql: string }).sql.replaceAll('?', '1'),
      )}`.execute(db)
      const plan = rows.map(({ detail }) => detail)
      expect(plan.filter((step) => /SCAN (posts|notes)|TEMP B-TREE/.test(step))).toEqual([])
    }
  })
})
