import { DatabaseSync } from 'node:sqlite'
import SqliteDatabase from 'better-sqlite3'
import fc from 'fast-check'
import { type Generated, Kysely, SqliteDialect } from 'kysely'
import { type NodeSqliteOptions, nodeSqlite } from 'posthaste'
import { describe, expect, it, onTestFinished } from 'vitest'

interface Tables {
  t: { id: Generated<number>; v: unknown }
}

const definition = 'create table t (id integer primary key, v)'

function open(options?: NodeSqliteOptions, readBigInts = false) {
  const raw = new DatabaseSync(':memory:', { readBigInts })
  raw.exec(definition)
  const db = new Kysely<Tables>({ dialect: new SqliteDialect({ database: nodeSqlite(raw, options) }) })
  onTestFinished(() => db.destroy())
  return db
}

/** Writes and reads a value in each way that a row can come back. */
async function roundTrip(db: Kysely<Tables>, v: unknown) {
  const returned = await db.insertInto('t').values({ v }).returning(['id', 'v']).executeTakeFirstOrThrow()
  const selected = await db.selectFrom('t').select(['id', 'v']).where('id', '=', returned.id).executeTakeFirstOrThrow()
  const streamed = []
  for await (const row of db.selectFrom('t').select(['id', 'v']).where('id', '=', returned.id).stream())
    streamed.push(row)
  return [returned, selected, ...streamed]
}

describe('nodeSqlite', () => {
  it('reads rows as better-sqlite3 does: plain objects with the same values', async () => {
    const raw = new SqliteDatabase(':memory:')
    raw.exec(definition)
    const reference = new Kysely<Tables>({ dialect: new SqliteDialect({ database: raw }) })
    onTestFinished(() => reference.destroy())
    const [rounding, exact] = [open({ integers: 'number' }), open()]
    const integer = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
    const value = fc.oneof(integer, fc.maxSafeInteger(), fc.double({ noNaN: true }), fc.string(), fc.constant(null))
    await fc.assert(
      fc.asyncProperty(value, async (value) => {
        const expected = await roundTrip(reference, value)
        expect(await roundTrip(rounding, value)).toStrictEqual(expected)
        const isInexact = typeof value === 'bigint' && BigInt(Number(value)) !== value
        for (const row of await roundTrip(exact, value)) {
          expect(Object.getPrototypeOf(row)).toBe(Object.prototype)
          if (isInexact) expect(row.v).toBe(value)
          else if (typeof row.v !== 'bigint') expect(row.v).toStrictEqual(expected[0]?.v)
          else expect([row.v, Number.isSafeInteger(Number(row.v))]).toEqual([value, false])
        }
      }),
      { numRuns: Number(process.env.RUNS ?? 100), seed: 7 },
    )
  })

  it('inserts once, whatever comes back', async () => {
    const db = open()
    await db
      .insertInto('t')
      .values({ v: 2n ** 60n })
      .returning('v')
      .execute()
    expect(await db.selectFrom('t').selectAll().execute()).toStrictEqual([{ id: 1, v: 2n ** 60n }])
  })

  it('reads all integers as bigints where that is asked for, of it or of the database', async () => {
    for (const db of [open({ integers: 'bigint' }), open({}, true)]) {
      for (const row of await roundTrip(db, 5n)) expect(row).toStrictEqual({ id: 1n, v: 5n })
    }
    for (const row of await roundTrip(open({ integers: 'exact' }, true), 5n)) expect(row).toStrictEqual({ id: 1, v: 5 })
  })

  it('refuses another way', () => {
    expect(() => open({ integers: 'text' as never })).toThrow('Expected `integers` to be one of')
  })
})
