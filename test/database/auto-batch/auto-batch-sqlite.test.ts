import { DatabaseSync } from 'node:sqlite'
import BetterSqlite from 'better-sqlite3'
import { type Dialect, Kysely, SqliteDialect, sql } from 'kysely'
import { cachedStatements, nodeSqlite, queryReport } from 'posthaste'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { open, sqliteTables } from './support/databases.ts'
import { expectSameResults } from './support/differential.ts'
import { commonShapes, sqliteShapes, type Tables } from './support/shapes.ts'

const series = (script: string) =>
  script.replace(
    /generate_series\(1, (\d+)\)/g,
    (_, count) => `json_each('${JSON.stringify(Array.from({ length: Number(count) }, (_, i) => i + 1))}')`,
  )

// Thousands of queries: on a busy machine they take a while.
vi.setConfig({ testTimeout: 120_000 })

describe.each(['node:sqlite', 'better-sqlite3'])('autoBatch on SQLite, %s', (driver) => {
  const dialect = () => {
    if (driver === 'better-sqlite3') {
      const database = new BetterSqlite(':memory:')
      database.exec(series(sqliteTables))
      return new SqliteDialect({ database: cachedStatements(database as never) })
    }
    const database = new DatabaseSync(':memory:')
    database.exec(series(sqliteTables))
    return new SqliteDialect({ database: nodeSqlite(database) })
  }

  it('gives the results of separate queries, for random sets of them', async () => {
    const { db } = open(dialect())
    const separate = new Kysely<Tables>({ dialect: dialect() })
    onTestFinished(() => separate.destroy())
    // SQLite joins only many lookups.
    await expectSameResults(db, separate, [...commonShapes, ...sqliteShapes], { runs: 60, maxLength: 240 })
    const { queries, statements } = queryReport(db).autoBatch
    expect(queries).toBeGreaterThan(150)
    expect(statements).toBeLessThan(queries / 2)
  })

  it('runs everything on the one connection in the order in which it was asked for', async () => {
    const { db } = open(dialect())
    const note = (id: number) => db.selectFrom('city').select('note').where('id', '=', id).executeTakeFirst()
    const write = (text: string) => db.updateTable('city').set({ note: text }).where('id', '<', 9).execute()
    const notes = () => Array.from({ length: 60 }, (_, index) => note(1 + (index % 5)))
    await write('a')
    const found = await Promise.all([
      ...notes(),
      write('b'),
      ...notes(),
      db.transaction().execute((trx) => trx.selectFrom('city').select('note').where('id', '=', 1).executeTakeFirst()),
    ])
    expect(found.filter((row) => !Array.isArray(row))).toEqual([
      ...Array(60).fill({ note: 'a' }),
      ...Array(61).fill({ note: 'b' }),
    ])
  })

  it('lets lookups that meet no others run at once, until they meet', async () => {
    const { db, events } = open(dialect())
    const one = (id: number) => db.selectFrom('city').select('id').where('id', '=', id).executeTakeFirst()
    for (let run = 0; run < 80; run += 1) expect(await one(1 + (run % 24))).toEqual({ id: 1 + (run % 24) })
    const hundred = () => Promise.all(Array.from({ length: 100 }, (_, index) => one(1 + (index % 24))))
    const expected = Array.from({ length: 100 }, (_, index) => ({ id: 1 + (index % 24) }))
    events.length = 0
    expect(await hundred()).toEqual(expected)
    expect(events.map(({ lookups }) => lookups)).toEqual([undefined, 99])
    events.length = 0
    expect(await hundred()).toEqual(expected)
    expect(events.map(({ lookups }) => lookups)).toEqual([100])
  })

  it('streams, keeps savepoints and ends, also where lookups run at once', async () => {
    const { db } = open(dialect())
    for (let run = 0; run < 60; run += 1) await db.selectFrom('city').select('id').where('id', '=', 1).execute()
    // A query that was built, but not run: the next connection is not for it.
    db.selectFrom('city').select('id').compile()
    await expect(
      db.transaction().execute(async (trx) => {
        await trx.deleteFrom('city').execute()
        throw new Error('back')
      }),
    ).rejects.toThrow('back')
    db.selectFrom('city').select('id').compile()
    const trx = await db.startTransaction().execute()
    const saved = await trx.savepoint('here').execute()
    await saved.deleteFrom('city').execute()
    await saved.rollbackToSavepoint('here').execute()
    await trx.commit().execute()
    const rows: unknown[] = []
    for await (const row of db.selectFrom('city').select('id').stream()) rows.push(row)
    expect(rows).toHaveLength(24)
    await expect(
      db
        .selectFrom('nowhere' as 'city')
        .selectAll()
        .execute(),
    ).rejects.toThrow(/no such table/)
    expect(await db.selectFrom('city').select('id').where('id', '=', 2).executeTakeFirst()).toEqual({ id: 2 })
  })

  it('joins nothing through a driver that reads a column as its first row has it', async () => {
    const { db } = open(cutting(dialect()))
    const half = (id: number) =>
      db.selectFrom('city').select(sql<number>`coalesce(id / 2.0, 0)`.as('half')).where('id', '=', id)
    const halves = () => Promise.all(Array.from({ length: 60 }, (_, index) => half(2 + (index % 5)).executeTakeFirst()))
    const expected = Array.from({ length: 60 }, (_, index) => ({ half: (2 + (index % 5)) / 2 }))
    expect([await halves(), await halves()]).toEqual([expected, expected])
    expect(queryReport(db).autoBatch.shapes).toMatchObject([{ refused: expect.stringContaining('first row') }])
  })

  it('streams, and keeps savepoints', async () => {
    const { db } = open(dialect())
    const streamed: unknown[] = []
    for await (const row of db.selectFrom('city').select('id').where('id', '<', 3).orderBy('id').stream())
      streamed.push(row)
    expect(streamed).toEqual([{ id: 1 }, { id: 2 }])
    const trx = await db.startTransaction().execute()
    const saved = await trx.savepoint('here').execute()
    await saved.deleteFrom('city').execute()
    await saved.rollbackToSavepoint('here').execute()
    await trx.commit().execute()
    const [count] = (await sql<{ n: number }>`select count(*) as n from city`.execute(db)).rows
    expect(count?.n).toBe(24)
  })
})

/** As Prisma's drivers, which make integers of all numbers in a column whose first is one. */
function cutting(dialect: Dialect): Dialect {
  const cut = (rows: readonly Record<string, unknown>[]) => {
    const isCut = (name: string) => Number.isInteger(rows[0]?.[name])
    const values = (row: object) =>
      Object.entries(row).map(([name, value]) => [name, isCut(name) ? Math.trunc(value) : value])
    return rows.map((row) => Object.fromEntries(values(row)))
  }
  return {
    createAdapter: () => dialect.createAdapter(),
    createIntrospector: (db) => dialect.createIntrospector(db),
    createQueryCompiler: () => dialect.createQueryCompiler(),
    createDriver() {
      const driver = dialect.createDriver()
      const acquire = driver.acquireConnection.bind(driver)
      driver.acquireConnection = async (options) => {
        const connection = await acquire(options)
        const execute = connection.executeQuery.bind(connection)
        if (Object.hasOwn(connection, 'executeQuery')) return connection
        connection.executeQuery = async (query) => {
          const result = await execute(query)
          return { ...result, rows: cut(result.rows as never) as never }
        }
        return connection
      }
      return driver
    },
  }
}
