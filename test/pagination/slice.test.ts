import { sql } from 'kysely'
import { describe, expect, it } from 'vitest'
import { cursorPaginate, paginate } from '../../src/pagination/paginator.ts'
import { engines } from './support/engines.ts'

describe.each(engines.filter((engine) => engine.available))('on $name', (engine) => {
  it('walks', async () => {
    const { db, close } = await engine.open()
    await sql`create table t (id int primary key, a int)`.execute(db)
    for (let id = 1; id <= 12; id++)
      await db
        .insertInto('t')
        .values({ id, a: id % 4 || null })
        .execute()
    const seen: number[] = []
    let after: string | null = null
    do {
      const page = (await cursorPaginate(db.selectFrom('t').selectAll(), {
        by: [{ key: 'a', dir: 'desc', nulls: 'last' }],
        unique: 'id',
        perPage: 5,
        after,
      })) as any
      seen.push(...page.items.map((row: any) => row.id))
      after = page.pagination.next
    } while (after)
    expect(seen).toEqual([11, 7, 3, 10, 6, 2, 9, 5, 1, 12, 8, 4])
    const page = await paginate(db.selectFrom('t').selectAll(), { unique: 'id', page: 3, perPage: 5 })
    expect(page.pagination).toEqual({ page: 3, perPage: 5, total: 12, totalPages: 3, hasNext: false, hasPrev: true })
    await close()
  })
})
