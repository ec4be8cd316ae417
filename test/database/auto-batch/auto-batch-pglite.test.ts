import { PGlite } from '@electric-sql/pglite'
import * as kysely from 'kysely'
import { Kysely } from 'kysely'
import { queryReport } from 'posthaste'
import { beforeAll, describe, expect, it, vi } from 'vitest'
import { open, postgresTables } from './support/databases.ts'
import { expectSameResults } from './support/differential.ts'
import { commonShapes, postgresShapes, type Tables } from './support/shapes.ts'

// Kysely has a dialect for it since 0.29.
const { PGliteDialect } = kysely as Partial<typeof kysely>

// Thousands of queries: on a busy machine they take a while.
vi.setConfig({ testTimeout: 120_000 })

describe.skipIf(PGliteDialect === undefined)('autoBatch on PGlite', () => {
  let database: PGlite

  beforeAll(async () => {
    database = new PGlite()
    await database.exec(postgresTables)
  })

  const dialect = () => {
    const keepOpen = new Proxy(database, {
      get: (target, name) => (name === 'close' ? async () => {} : bound(target, name)),
    })
    return new (PGliteDialect as typeof kysely.PGliteDialect)({ pglite: keepOpen })
  }

  it('gives the results of separate queries, for random sets of them', async () => {
    const { db } = open(dialect())
    await expectSameResults(db, new Kysely<Tables>({ dialect: dialect() }), [...commonShapes, ...postgresShapes], {
      runs: 20,
    })
    const { queries, statements } = queryReport(db).autoBatch
    expect(queries).toBeGreaterThan(150)
    expect(statements).toBeLessThan(queries / 2)
  })

  it('answers with whole results', async () => {
    const { db, events } = open(dialect())
    const find = (on: Kysely<Tables>, id: number) =>
      on.executeQuery(on.selectFrom('city').select('name').where('id', '=', id))
    const separate = new Kysely<Tables>({ dialect: dialect() })
    const joined = await Promise.all([find(db, 1), find(db, 2), find(db, 99)])
    expect(joined).toStrictEqual([await find(separate, 1), await find(separate, 2), await find(separate, 99)])
    expect(events).toMatchObject([{ lookups: 3 }])
  })

  it('runs everything on the one connection in the order in which it was asked for', async () => {
    const { db } = open(dialect())
    const note = (id: number) => db.selectFrom('city').select('note').where('id', '=', id).executeTakeFirst()
    const write = (text: string) => db.updateTable('city').set({ note: text }).where('id', 'in', [1, 2]).execute()
    await write('a')
    const [one, two, , three, four] = await Promise.all([note(1), note(2), write('b'), note(1), note(2)])
    expect([one, two, three, four]).toEqual(['a', 'a', 'b', 'b'].map((note) => ({ note })))
  })
})

function bound(target: object, name: string | symbol): unknown {
  const value = Reflect.get(target, name, target)
  return typeof value === 'function' ? value.bind(target) : value
}
