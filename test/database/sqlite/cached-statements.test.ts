import { DatabaseSync, type SQLInputValue } from 'node:sqlite'
import SqliteDatabase from 'better-sqlite3'
import { Kysely, SqliteDialect, sql } from 'kysely'
import { cachedStatements, instrument, nodeSqlite, sqlitePragmas } from 'posthaste'
import { describe, expect, it, onTestFinished } from 'vitest'

interface Tables {
  t: { id: number; v: string }
}

/** Counts how often statements are prepared. */
function counting<Database extends { prepare(sql: string): unknown }>(database: Database) {
  const prepared: string[] = []
  const prepare = database.prepare.bind(database)
  database.prepare = (text: string) => {
    prepared.push(text)
    return prepare(text)
  }
  return prepared
}

function fill(database: { exec(sql: string): unknown }): void {
  database.exec("create table t (id integer primary key, v text); insert into t values (1, 'a'), (2, 'b'), (3, 'c')")
}

describe.each(['better-sqlite3', 'node:sqlite'])('cachedStatements on %s', (kind) => {
  function open(max?: number) {
    const raw = kind === 'node:sqlite' ? new DatabaseSync(':memory:') : new SqliteDatabase(':memory:')
    fill(raw)
    const prepared = counting(raw)
    const database = cachedStatements(raw instanceof DatabaseSync ? nodeSqlite(raw) : raw, max)
    const db = new Kysely<Tables>({ dialect: new SqliteDialect({ database }) })
    onTestFinished(() => db.destroy())
    return { db, prepared }
  }
  const find = (db: Kysely<Tables>, id: number) =>
    db.selectFrom('t').select('v').where('id', '=', id).executeTakeFirst()

  it('prepares a query once', async () => {
    const { db, prepared } = open()
    expect(await find(db, 1)).toEqual({ v: 'a' })
    expect(await find(db, 2)).toEqual({ v: 'b' })
    expect(prepared).toHaveLength(1)
  })

  it('keeps a statement that is being read apart from other runs of the same query', async () => {
    const { db } = open()
    const query = db.selectFrom('t').selectAll().orderBy('id')
    await query.execute()
    const seen: number[] = []
    const stream = query.stream()
    for await (const { id } of stream) {
      seen.push(id)
      if (id === 2) break
    }
    expect(seen).toEqual([1, 2])
    expect(await query.execute()).toHaveLength(3)
  })

  it('follows changes of the table', async () => {
    const { db } = open()
    const all = () => db.selectFrom('t').selectAll().where('id', '=', 1).execute()
    expect(await all()).toEqual([{ id: 1, v: 'a' }])
    await db.schema.alterTable('t').addColumn('extra', 'integer').execute()
    expect(await all()).toEqual([{ id: 1, v: 'a', extra: null }])
    await sql`begin`.execute(db)
    await db.schema.alterTable('t').dropColumn('extra').execute()
    expect(await all()).toEqual([{ id: 1, v: 'a' }])
    await sql`rollback`.execute(db)
    expect(await all()).toEqual([{ id: 1, v: 'a', extra: null }])
  })

  it.each(['-- migration 5\n', '/* a */ /* b */\n-- c\n', '  '])(
    'prepares a query again after %j and a change of the table',
    async (note) => {
      const { db, prepared } = open()
      await find(db, 1)
      await sql.raw(`${note}alter table t add column extra`).execute(db)
      prepared.length = 0
      expect(await find(db, 2)).toEqual({ v: 'b' })
      expect(prepared).toHaveLength(1)
    },
  )

  it('keeps no more than it may', async () => {
    const { db, prepared } = open(2)
    for (const text of ['select 1', 'select 2', 'select 3', 'select 1']) await sql.raw(text).execute(db)
    expect(prepared).toEqual(['select 1', 'select 2', 'select 3', 'select 1'])
  })

  it('leaves the cache alone when a statement is read that is no longer in it', () => {
    const raw = new SqliteDatabase(':memory:')
    fill(raw)
    const database = cachedStatements(raw)
    const text = 'select v from t where id = ?'
    const first = database.prepare(text)
    expect([...first.iterate([1])]).toEqual([{ v: 'a' }])
    const second = database.prepare(text)
    expect(second).not.toBe(first)
    expect([...first.iterate([2])]).toEqual([{ v: 'b' }])
    expect(database.prepare(text)).toBe(second)
    database.close()
  })

  it('returns the rows of writes that have some', async () => {
    const { db } = open()
    const inserted = await db.insertInto('t').values({ id: 9, v: 'z' }).returning('v').execute()
    expect(inserted).toEqual([{ v: 'z' }])
    const [{ numUpdatedRows }] = (await db.updateTable('t').set({ v: 'y' }).execute()) as [{ numUpdatedRows: bigint }]
    expect(numUpdatedRows).toBe(4n)
  })
})

describe('nodeSqlite', () => {
  it('knows what returns rows where Node does not tell, as before 22.16', async () => {
    const raw = new DatabaseSync(':memory:')
    fill(raw)
    const database = nodeSqlite({
      close: () => raw.close(),
      prepare(text) {
        const statement = raw.prepare(text)
        return {
          all: (...parameters: SQLInputValue[]) => statement.all(...parameters),
          run: (...parameters: SQLInputValue[]) => statement.run(...parameters),
          iterate: (...parameters: SQLInputValue[]) => statement.iterate(...parameters),
        }
      },
    })
    const db = new Kysely<Tables>({ dialect: new SqliteDialect({ database }) })
    const rows = async (text: string) => (await sql.raw(text).execute(db)).rows
    expect(await rows('select v from t where id = 1')).toEqual([{ v: 'a' }])
    expect(await rows('with x as (select 7 as n) select n from x')).toEqual([{ n: 7 }])
    expect(await rows('/* route */ -- all\n select v from t where id = 2')).toEqual([{ v: 'b' }])
    expect(await rows("insert into t values (4, 'd') returning v")).toEqual([{ v: 'd' }])
    expect(await rows("update t set v = 'z'")).toEqual([])
    expect(await db.selectFrom('t').select('v').distinct().execute()).toEqual([{ v: 'z' }])
    await db.destroy()
  })
})

describe('the statement cache of instrument', () => {
  it.each<[number | false | undefined, number]>([
    [undefined, 1],
    [false, 3],
  ])('with statementCache %s prepares a query %i times in three runs', async (statementCache, times) => {
    const raw = new DatabaseSync(':memory:')
    fill(raw)
    const prepared = counting(raw)
    const dialect = new SqliteDialect({ database: nodeSqlite(raw) })
    const db = new Kysely<Tables>(instrument({ dialect }, { statementCache }))
    for (const id of [1, 2, 3]) await db.selectFrom('t').selectAll().where('id', '=', id).execute()
    expect(prepared).toHaveLength(times)
    await db.destroy()
  })

  it('says so when the database is none it can reach', async () => {
    const codes: string[] = []
    const raw = new SqliteDatabase(':memory:')
    fill(raw)
    const dialect = new SqliteDialect({ database: raw })
    const db = new Kysely<Tables>(
      instrument({ dialect }, { statementCache: 50, onWarn: ({ code }) => codes.push(code) }),
    )
    await db.selectFrom('t').selectAll().execute()
    await db.selectFrom('t').selectAll().execute()
    expect(codes).toEqual(['STATEMENT_CACHE_UNREACHABLE'])
    await db.destroy()
  })
})

describe('sqlitePragmas', () => {
  it('are all understood', () => {
    const database = new SqliteDatabase(':memory:')
    for (const pragma of sqlitePragmas()) expect(() => database.exec(pragma)).not.toThrow()
    expect(database.pragma('foreign_keys', { simple: true })).toBe(1)
    expect(database.pragma('busy_timeout', { simple: true })).toBe(5_000)
    database.close()
  })
})
