import Database from 'better-sqlite3'
import { type Generated, Kysely, SqliteDialect, sql } from 'kysely'
import { Kysely as Kysely028, SqliteDialect as SqliteDialect028 } from 'kysely028'
import { type Cache, cachedQuery, createCache } from 'posthaste'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { queryTables } from '../../src/shared/sql/query-tables.ts'

interface DB {
  users: { id: Generated<number>; name: string; team_id: number | null }
  teams: { id: Generated<number>; name: string }
}

const versions = {
  'Kysely 0.29': () => new Kysely<DB>({ dialect: new SqliteDialect({ database: new Database(':memory:') }) }),
  'Kysely 0.28': () =>
    new Kysely028({ dialect: new SqliteDialect028({ database: new Database(':memory:') }) }) as unknown as Kysely<DB>,
}

describe.each(Object.entries(versions))('a cached query of %s', (_version, connect) => {
  let db: Kysely<DB>
  let cache: Cache

  beforeEach(async () => {
    db = connect()
    cache = createCache<string>()
    await db.schema
      .createTable('teams')
      .addColumn('id', 'integer', (id) => id.primaryKey())
      .addColumn('name', 'text')
      .execute()
    await db.schema
      .createTable('users')
      .addColumn('id', 'integer', (id) => id.primaryKey())
      .addColumn('name', 'text')
      .addColumn('team_id', 'integer')
      .execute()
    await db.insertInto('teams').values({ name: 'red' }).execute()
    await db.insertInto('users').values({ name: 'Ann', team_id: 1 }).execute()
  })
  afterEach(async () => {
    await cache.close()
    await db.destroy()
  })

  const tablesOf = (query: { compile(): { query: object } }) => queryTables(query.compile().query).tables.toSorted()

  it('runs once for each SQL and parameters, until one of its tables changes', async () => {
    const named = (name: string) => db.selectFrom('users').select('name').where('name', '=', name)
    expect(await cachedQuery(cache, named('Ann'))).toEqual([{ name: 'Ann' }])
    expect(await cachedQuery(cache, named('Bob'))).toEqual([])
    await db.insertInto('users').values({ name: 'Bob' }).execute()
    expect(await cachedQuery(cache, named('Bob'))).toEqual([])
    await cache.invalidateTags('table:users')
    expect(await cachedQuery(cache, named('Bob'))).toEqual([{ name: 'Bob' }])
    expect(cache.stats().loads).toBe(3)
  })

  it('carries the tags of all its tables, and of nothing else', () => {
    expect(tablesOf(db.selectFrom('users as u').innerJoin('teams as t', 't.id', 'u.team_id').select('u.id'))).toEqual([
      'teams',
      'users',
    ])
    const teams = db.selectFrom('teams').select('id').where('name', '=', 'red')
    expect(tablesOf(db.selectFrom('users').selectAll().where('team_id', 'in', teams))).toEqual(['teams', 'users'])
    expect(tablesOf(db.selectFrom(teams.as('users')).selectAll())).toEqual(['teams'])
    const names = db.selectFrom('users').select('name').union(db.selectFrom('teams').select('name'))
    expect(tablesOf(names)).toEqual(['teams', 'users'])
    const reds = db
      .with('reds', () => teams)
      .selectFrom('reds')
      .selectAll()
    expect(tablesOf(reds)).toEqual(['teams'])
    // Within its own expression the name still means the table.
    const shadow = db
      .with('users', (inner) => inner.selectFrom('users').selectAll())
      .selectFrom('users')
      .selectAll()
    expect(tablesOf(shadow)).toEqual(['users'])
  })

  it('does not take a recursive expression for a table', () => {
    const query = db
      .withRecursive('tree(id)', (with_) =>
        with_
          .selectFrom('teams')
          .select('id')
          .unionAll(with_.selectFrom('tree').innerJoin('users', 'users.team_id', 'tree.id').select('users.id')),
      )
      .selectFrom('tree')
      .select('id')
    expect(tablesOf(query)).toEqual(['teams', 'users'])
  })

  it('runs in a transaction, where nothing is read from the cache or stored in it', async () => {
    const all = (on: Kysely<DB>) => on.selectFrom('users').select('name')
    await cachedQuery(cache, all(db))
    await db.transaction().execute(async (trx) => {
      await trx.insertInto('users').values({ name: 'Bob' }).execute()
      expect(await cachedQuery(cache, all(trx))).toHaveLength(2)
    })
    const trx = await db.startTransaction().execute()
    await trx.insertInto('users').values({ name: 'Cid' }).execute()
    expect(await cachedQuery(cache, all(trx))).toHaveLength(3)
    await trx.rollback().execute()
    expect(await cachedQuery(cache, all(db))).toHaveLength(1)
  })

  it.each([0, 1, 10])('knows a transaction where stack traces are not those of Node: %i lines', async (limit) => {
    const { stackTraceLimit, prepareStackTrace } = Error
    const foreign = (_error: Error, sites: NodeJS.CallSite[]) => sites
    Object.assign(Error, { stackTraceLimit: limit, prepareStackTrace: foreign })
    try {
      const rolledBack = db.transaction().execute(async (trx) => {
        await trx.insertInto('users').values({ name: 'Bob', team_id: 1 }).execute()
        throw (await cachedQuery(cache, trx.selectFrom('users').select('name'))).length
      })
      await expect(rolledBack).rejects.toBe(2)
      expect(await cachedQuery(cache, db.selectFrom('users').select('name'))).toEqual([{ name: 'Ann' }])
      expect(Error.prepareStackTrace).toBe(foreign)
    } finally {
      Object.assign(Error, { stackTraceLimit, prepareStackTrace })
    }
  })

  it('refuses to write, since the second time nothing would be written', async () => {
    const writes = [
      db.insertInto('users').values({ name: 'Eve', team_id: null }).returningAll(),
      db.updateTable('users').set({ name: 'Eve' }).returningAll(),
      db.deleteFrom('users').returningAll(),
      db
        .with('gone', (qb) => qb.deleteFrom('users').returningAll())
        .selectFrom('gone')
        .selectAll(),
    ]
    for (const query of writes) {
      const message = 'Expected `query` to only read, got one that writes to users'
      await expect(cachedQuery(cache, query)).rejects.toThrow(message)
    }
    expect(await db.selectFrom('users').select('name').execute()).toEqual([{ name: 'Ann' }])
  })

  it('asks the database or the transaction, if given', async () => {
    const all = (on: Kysely<DB>) => cachedQuery(cache, on.selectFrom('users').select('name'), { db: on })
    await all(db)
    await db.transaction().execute(async (trx) => {
      await trx.insertInto('users').values({ name: 'Bob' }).execute()
      // Whatever a stack trace would show.
      const limit = Error.stackTraceLimit
      Error.stackTraceLimit = 0
      expect(await all(trx)).toHaveLength(2)
      Error.stackTraceLimit = limit
    })
    expect(await all(db)).toHaveLength(1)
    expect(cache.stats()).toMatchObject({ loads: 1, requests: 2 })
  })

  it('is told apart by its name', async () => {
    const query = db.selectFrom('teams').selectAll()
    await cachedQuery(cache, query, { name: 'a' })
    await cachedQuery(cache, query, { name: 'b' })
    expect(cache.stats().loads).toBe(2)
  })
})

describe('a query with raw SQL', () => {
  it('needs tags', async () => {
    const db = versions['Kysely 0.29']()
    const cache = createCache<string>()
    await db.schema.createTable('teams').addColumn('id', 'integer').execute()
    const raw = db.selectFrom('teams').select(sql<number>`(select 1)`.as('one'))
    await expect(cachedQuery(cache, raw)).rejects.toThrow('Expected `tags` for a query with raw SQL')
    expect(await cachedQuery(cache, raw, { tags: ['teams'] })).toEqual([])
    await db.destroy()
  })
})
