import { sql } from 'kysely'
import { cursorPaginate, readRows } from 'posthaste/pagination'
import { describe, expect, it, onTestFinished } from 'vitest'
import { engines } from '../support/engines.ts'
import { idsOf, pagesOf } from '../support/walking.ts'

describe.each(engines.filter(({ dialect }) => dialect === 'sqlite'))('full-text search of $name', ({ open }) => {
  it('is paged by its rank, also when the row of a cursor is gone', async () => {
    const { db, close } = await open()
    onTestFinished(close)
    await sql`create virtual table docs using fts5(id unindexed, body)`.execute(db)
    const docs = Array.from({ length: 14 }, (_, at) => ({ id: at + 1, body: 'word '.repeat((at % 4) + 1) }))
    await db.insertInto('docs').values(docs).execute()
    for (const columns of [['id'], ['id', 'rank'], ['id', 'rank', 'rowid']]) {
      for (const direction of ['asc', 'desc'] as const) {
        const found = db.selectFrom('docs').select(columns).where(sql<boolean>`docs match 'word'`)
        const ids = idsOf(await found.orderBy('rank', direction).orderBy('rowid', direction).execute())
        const order = { by: [`rank ${direction}`], unique: 'rowid' } as const
        const pages = await Array.fromAsync(
          pagesOf({ cursorPaginate } as never, found as never, { ...order, perPage: 3 }),
        )
        expect(idsOf(pages.flat())).toEqual(ids)
        expect(idsOf(await Array.fromAsync(readRows(found, { ...order, size: 3 })))).toEqual(ids)
        const { pagination } = await cursorPaginate(found, { ...order, perPage: 3, jump: 5 })
        const targets = (pagination.jump ?? []).map(({ after }) =>
          cursorPaginate(found, { ...order, perPage: 3, after }),
        )
        expect((await Promise.all(targets)).flatMap(({ items }) => idsOf(items))).toEqual(ids.slice(3))
        const others = found.where('id', '!=', ids[2])
        const { items } = await cursorPaginate(others, { ...order, perPage: 3, after: pagination.next })
        expect(idsOf(items)).toEqual(ids.slice(3, 6))
      }
    }
  })
})
