import { sql } from 'kysely'
import { queryReport, withQueryScope } from 'posthaste'
import { describe, expect, it } from 'vitest'
import { openSqlite } from '../support/sqlite.ts'

describe('the suggestion of an N+1 finding', () => {
  const hint = '`instrument(config, { autoBatch: true })` would join them'
  const ids = [1, 2, 3, 4, 5, 6]

  it('names autoBatch when the queries were asked for together', async () => {
    const db = openSqlite()
    await withQueryScope('list', () =>
      Promise.all(ids.map((id) => db.selectFrom('users').selectAll().where('id', '=', id).execute())),
    )
    expect(queryReport(db).nPlusOne).toMatchObject([{ suggestion: expect.stringContaining(hint) }])
  })

  it('does not name it for queries one after another, for writes, and for what it would refuse', async () => {
    const db = openSqlite()
    await withQueryScope('list', async () => {
      for (const id of ids) await db.selectFrom('users').selectAll().where('id', '=', id).execute()
      await Promise.all(ids.map((id) => db.updateTable('users').set({ name: 'x' }).where('id', '=', id).execute()))
      await Promise.all(
        ids.map((id) => db.selectFrom('users').select(sql`hex(name)`.as('r')).where('id', '=', id).execute()),
      )
    })
    const { nPlusOne } = queryReport(db)
    expect(nPlusOne).toHaveLength(3)
    for (const { suggestion } of nPlusOne) expect(suggestion).not.toContain('autoBatch')
  })
})
