import { sql } from 'kysely'
import { cursorPaginate } from 'posthaste/pagination'
import { describe, expect, it, onTestFinished } from 'vitest'
import { engines } from '../support/engines.ts'
import { idsOf } from '../support/walking.ts'

describe.each(engines)('the targets of a jump on $name', ({ available, dialect, open }) => {
  it.skipIf(!available)(
    'are found by a key that cannot be worked out for rows which the query leaves out',
    async () => {
      const { db, close } = await open()
      onTestFinished(close)
      await sql`create table shares (id int primary key, parts int not null)`.execute(db)
      await sql`create table whole (id int primary key)`.execute(db)
      const ids = Array.from({ length: 40 }, (_, at) => at + 1)
      await db
        .insertInto('shares')
        .values(ids.map((id) => ({ id, parts: id % 4 })))
        .execute()
      await db
        .insertInto('whole')
        .values(ids.filter((id) => id % 4 > 0).map((id) => ({ id })))
        .execute()
      // With these numbers, PostgreSQL compares the key before it joins.
      if (dialect === 'postgres') await sql`analyze shares, whole`.execute(db)
      const shares = db
        .selectFrom('shares')
        .select('shares.id')
        .where((eb) => eb.exists(eb.selectFrom('whole').select('whole.id').whereRef('whole.id', '=', 'shares.id')))
      const quotient = sql<number>`12 / parts`
      const order = { by: [{ expr: quotient, dir: 'desc', nulls: 'never' }], unique: 'shares.id', perPage: 5 } as const
      const expected = idsOf(await shares.orderBy(quotient, 'desc').orderBy('shares.id', 'desc').execute())

      const { jump = [] } = (await cursorPaginate(shares, { ...order, jump: 6 })).pagination

      expect(jump.map(({ page }) => page)).toEqual([2, 3, 4, 5, 6])
      const pages = await Promise.all(jump.map(({ after }) => cursorPaginate(shares, { ...order, after })))
      expect(pages.flatMap(({ items }) => idsOf(items))).toEqual(expected.slice(5))
    },
  )
})
