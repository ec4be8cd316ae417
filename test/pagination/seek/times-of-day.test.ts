import { sql } from 'kysely'
import { readRows } from 'posthaste/pagination'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { engines, type Opened } from '../support/engines.ts'

/** In their order, which is not that of their texts. */
const times = ['-838:59:59', '-02:00:00', '-01:00:00', '-00:00:00.5', '00:00:00', '99:59:59', '100:00:00', '838:59:59']

describe.each(engines.filter(({ dialect }) => dialect === 'mysql'))('times on $name', ({ available, open }) => {
  let opened: Opened

  beforeAll(async () => {
    if (!available) return
    opened = await open()
    await sql`create table times (id int primary key, t time(6) not null)`.execute(opened.db)
    await opened.db
      .insertInto('times')
      .values(times.map((t, at) => ({ id: at + 1, t })))
      .execute()
  })
  afterAll(() => opened?.close(), 60_000)

  it.skipIf(!available).each([
    ['a column', sql`t`],
    ['an expression', sql`coalesce(t, t)`],
    ['a difference', sql`timediff(t, '00:00:01')`],
  ])('are read in their order by %s', async (_name, expr) => {
    const seen: unknown[] = []
    const order = { expr, nulls: 'last' } as const
    for await (const { id } of readRows(opened.db.selectFrom('times').select('id'), {
      by: [order],
      unique: 'id',
      size: 1,
    })) {
      seen.push(id)
    }
    expect(seen).toEqual(times.map((_time, at) => at + 1))
  })
})
