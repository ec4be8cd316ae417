import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Keyv } from 'keyv'
import { Kysely, SqliteDialect, sql } from 'kysely'
import { type CacheOptions, cachedQuery, createCache, instrument, nodeSqlite, type Warning } from 'posthaste'
import { describe, expect, it, onTestFinished } from 'vitest'
import { seed } from '../support/seed.ts'
import { services } from '../support/services.ts'
import { createTables, names, readCached, readDirectly, type Tables, write } from './support/crm.ts'
import type { CrmOrders, CrmReport } from './support/crm-worker.ts'
import { pick, randomFrom } from './support/random.ts'

const operations = Number(process.env.RUNS ?? 250)

function open(options: CacheOptions = {}, autoBatch = false) {
  const warnings: Warning[] = []
  const cache = createCache({ onWarn: (warning) => warnings.push(warning), ...options })
  const dialect = new SqliteDialect({ database: nodeSqlite(createTables(':memory:')) })
  const db = new Kysely<Tables>(
    instrument({ dialect }, { invalidates: cache, autoBatch, nPlusOne: false, explain: false }),
  )
  onTestFinished(async () => {
    await cache.close()
    await db.destroy()
  })
  const tagsOf = async (key: string) => (await cache.explain(key)).tags?.toSorted()
  return { cache, db, warnings, tagsOf }
}

const auto = { tags: 'auto' } as const

describe("`tags: 'auto'`", () => {
  it('finds the tables of queries, nested loads included, so that writes need no tag', async () => {
    const { cache, db, tagsOf } = open()
    const users = () => cache.getOrSet('users', () => db.selectFrom('users').selectAll().execute(), auto)
    const report = () =>
      cache.getOrSet('report', async () => [await users(), await db.selectFrom('orders').select('id').execute()], auto)
    expect(await report()).toEqual([[], []])
    expect(await tagsOf('users')).toEqual(['table:users'])
    expect(await tagsOf('report')).toEqual(['table:orders', 'table:users'])
    await db.insertInto('users').values({ id: 1, writer: 0, value: 1, org_id: 0 }).execute()
    expect(await report()).toEqual([[{ id: 1, writer: 0, value: 1, org_id: 0 }], []])
  })

  it.each(['getOrSet', 'get', 'getMany', 'has', 'peek'] as const)(
    'stores no value made from what another process has invalidated in a Keyv store: %s',
    async (method) => {
      const store = new Keyv() as never
      const { cache, db } = open({ store })
      const { cache: other } = open({ store })
      const users = () => db.selectFrom('users').selectAll().execute()
      const read = async () => {
        if (method === 'getOrSet') return cache.getOrSet('users', users, { tags: ['table:users'] })
        return method === 'getMany' ? (await cache.getMany(['users']))[0] : cache[method]('users')
      }
      let loads = 0
      const report = () => {
        const load = async () => {
          loads++
          return (await read()) || users()
        }
        return cache.getOrSet('report', load, auto)
      }
      await cache.getOrSet('users', users, { tags: ['table:users'] })
      await sql`insert into users (id, writer, value, org_id) values (1, 0, 1, 0)`.execute(db)
      await other.invalidateTags('table:users')
      expect(await report()).toHaveLength(1)
      expect((await other.get('report')) ?? []).toHaveLength(1)
      await report()
      expect(loads).toBe(1)
    },
  )

  it('takes over the tags of cached values that a load uses, in whatever way it gets them', async () => {
    const { cache, db, tagsOf } = open()
    const load = () => db.selectFrom('orgs').selectAll().execute()
    await cache.getOrSet('named', load, { tags: ['named'] })
    await cachedQuery(cache, db.selectFrom('notes').selectAll())
    await cache.set('set', 1, { tags: ['set'] })
    await cache.set('many', 1, { tags: ['many'] })
    const wrapped = cache.wrap(() => db.selectFrom('users').selectAll().execute(), { name: 'wrapped', ...auto })
    await wrapped()
    const use = async () => {
      await cache.getOrSet('named', load, { tags: ['named'] })
      await cachedQuery(cache, db.selectFrom('notes').selectAll())
      await cache.get('set')
      cache.peek('many')
      return wrapped()
    }
    await cache.getOrSet('outer', use, auto)
    expect(await tagsOf('outer')).toEqual(['many', 'named', 'set', 'table:notes', 'table:users'])
  })

  it('gives a load the tags of one that another caller began', async () => {
    const { cache, db, tagsOf } = open()
    const begun = Promise.withResolvers<void>()
    const inner = () =>
      cache.getOrSet(
        'inner',
        async () => {
          await begun.promise
          return db.selectFrom('users').selectAll().execute()
        },
        auto,
      )
    const first = inner()
    const outer = cache.getOrSet('outer', inner, auto)
    begun.resolve()
    await Promise.all([first, outer])
    expect(await tagsOf('outer')).toEqual(['table:users'])
  })

  it.each([false, true])(
    'gives each of several loads in one turn its own tables (`autoBatch`: %s)',
    async (autoBatch) => {
      const { cache, db, warnings } = open({}, autoBatch)
      await db.selectFrom('users').selectAll().execute()
      const tables = ['orgs', 'users', 'orders', 'notes', 'users', 'orgs'] as const
      await Promise.all(
        tables.map((table, index) =>
          cache.getOrSet([table, index], () => db.selectFrom(table).selectAll().execute(), auto),
        ),
      )
      const tags = tables.map(async (table, index) => (await cache.explain([table, index])).tags)
      expect(await Promise.all(tags)).toEqual(tables.map((table) => [`table:${table}`]))
      expect(warnings).toEqual([])
    },
  )

  it.each(['loads', 'renews'])(
    'gives what a transaction sees of its own changes to no other caller when it %s',
    async (kind) => {
      const profiles = { default: { ttl: '10ms', stale: '1h' } } as const
      const { cache, db } = open({ profiles, timeouts: { loadSoft: '5s' } })
      const readUsers = (on: Kysely<Tables>) => () => on.selectFrom('users').select('id').execute()
      if (kind === 'renews') {
        await cache.getOrSet('users', readUsers(db), auto)
        await setTimeout(15)
      }
      let outside: Promise<unknown> | undefined
      const rolledBack = db.transaction().execute(async (trx) => {
        await trx.insertInto('users').values({ id: 1, writer: 0, value: 1, org_id: 0 }).execute()
        const inside = cache.getOrSet('users', readUsers(trx), auto)
        outside = cache.getOrSet('users', readUsers(db), auto)
        expect(await inside).toEqual([{ id: 1 }])
        throw new Error('no')
      })
      await expect(rolledBack).rejects.toThrow('no')
      expect(await outside).toEqual([])
      expect(await cache.getOrSet('users', readUsers(db), auto)).toEqual([])
    },
  )

  it('warns once of a load that was seen to read nothing, as one whose queries another load began', async () => {
    const { cache, db, warnings, tagsOf } = open()
    let batch: Promise<unknown> | undefined
    const rows = () => {
      batch ??= db.selectFrom('users').selectAll().execute()
      return batch
    }
    await Promise.all(['first', 'second', 'third'].map((key) => cache.getOrSet(key, rows, auto)))
    expect([await tagsOf('first'), await tagsOf('second')]).toEqual([['table:users'], []])
    expect(warnings.map(({ code }) => code)).toEqual(['CACHE_TAGS_NONE'])
  })

  it('does not warn of a load without queries that names tags, stores nothing, or uses a cached value', async () => {
    const { cache, warnings } = open()
    await cache.getOrSet('named', ({ tag }) => tag('a'), auto)
    await cache.getOrSet('skipped', ({ skip }) => skip(), auto)
    await cache.getOrSet('outer', () => cache.peek('named'), auto)
    expect(warnings).toEqual([])
  })

  it('stores nothing after raw SQL, and warns once', async () => {
    const { cache, db, warnings } = open()
    const count = async () => (await sql<{ n: number }>`select count(*) as n from users`.execute(db)).rows
    const outer = () => cache.getOrSet('outer', () => cache.getOrSet('raw', count, auto), auto)
    expect(await outer()).toEqual([{ n: 0 }])
    expect(await cache.has('raw')).toBe(false)
    expect(await cache.has('outer')).toBe(false)
    await db.insertInto('users').values({ id: 1, writer: 0, value: 1, org_id: 0 }).execute()
    expect(await outer()).toEqual([{ n: 1 }])
    expect(warnings.map(({ code }) => code)).toEqual(['CACHE_TAGS_UNKNOWN'])
    expect(warnings[0]?.message).toContain('select count(*) as n from users')
  })

  it.each([
    ['a function', (db: Kysely<Tables>) => db.selectFrom('users').select(sql`count(*)`.as('n')).execute(), true],
    ['a text', (db: Kysely<Tables>) => db.selectFrom('users').select(sql`'from orgs'`.as('n')).execute(), true],
    [
      '`sql.table`',
      (db: Kysely<Tables>) =>
        db
          .selectFrom(sql<{ id: 1 }>`${sql.table('users')}`.as('u'))
          .selectAll()
          .execute(),
      true,
    ],
    [
      'a sub-query that the builder wrote',
      (db: Kysely<Tables>) =>
        db.selectNoFrom(sql`(select count(*) from ${db.selectFrom('users').select('id')} as u)`.as('n')).execute(),
      true,
    ],
    [
      'a table in its text',
      (db: Kysely<Tables>) => db.selectNoFrom(sql`(select count(*) from users)`.as('n')).execute(),
      false,
    ],
    ['a bare name', (db: Kysely<Tables>) => db.selectFrom(sql<{ id: 1 }>`users`.as('u')).selectAll().execute(), false],
    [
      'a second table behind a comma',
      (db: Kysely<Tables>) =>
        db.selectNoFrom(sql`(select count(*) from ${sql.table('users')}, orgs)`.as('n')).execute(),
      false,
    ],
  ])('knows whether a raw fragment may read tables: %s', async (_name, run, isKnown) => {
    const { cache, db, tagsOf } = open()
    await cache.getOrSet<unknown>('fragment', () => run(db) as Promise<unknown>, auto)
    expect(await tagsOf('fragment')).toEqual(isKnown ? ['table:users'] : undefined)
  })

  it('never takes an entry that was stored without the tags of its queries', async () => {
    const { cache, db } = open()
    const load = () => db.selectFrom('users').selectAll().execute()
    await cache.getOrSet('users', load)
    await db.insertInto('users').values({ id: 1, writer: 0, value: 1, org_id: 0 }).execute()
    expect(await cache.getOrSet('users', load, auto)).toHaveLength(1)
  })

  it('stores nothing that was read in a transaction from before the load', async () => {
    const { cache, db } = open()
    const users = (from: Kysely<Tables>) =>
      cache.getOrSet('users', () => from.selectFrom('users').selectAll().execute(), auto)
    const rolledBack = db.transaction().execute(async (trx) => {
      await trx.insertInto('users').values({ id: 1, writer: 0, value: 1, org_id: 0 }).execute()
      expect(await users(trx)).toHaveLength(1)
      throw new Error('rolled back')
    })
    await expect(rolledBack).rejects.toThrow('rolled back')
    expect(await users(db)).toEqual([])
  })

  it('tells a query from raw SQL of the same text', async () => {
    const { cache, db, tagsOf } = open()
    const query = db.selectFrom('users').select('id')
    await sql.raw(query.compile().sql).execute(db)
    await cache.getOrSet('users', () => query.execute(), auto)
    expect(await tagsOf('users')).toEqual(['table:users'])
    const insert = db.insertInto('users').values({ id: 1, writer: 0, value: 1, org_id: 0 }).compile()
    await db.executeQuery({
      ...insert,
      query: { ...insert.query, kind: 'RawNode', sqlFragments: [insert.sql], parameters: [] },
    } as never)
    await db.deleteFrom('users').execute()
    await cache.getOrSet('users', () => query.execute(), auto)
    await db.insertInto('users').values({ id: 1, writer: 0, value: 1, org_id: 0 }).execute()
    expect(await cache.getOrSet('users', () => query.execute(), auto)).toHaveLength(1)
  })

  it('is no tag for `set` and `getOrSetMany`', async () => {
    const { cache } = open()
    await expect(cache.set('key', 1, { tags: 'auto' as never })).rejects.toThrow('Expected `tags` to be an array')
    const many = cache.getOrSetMany([1], () => new Map([[1, 1]]), { key: String, tags: 'auto' as never })
    await expect(many).rejects.toThrow('Expected `tags` to be a function')
  })

  it.each([false, true])(
    `serves nothing stale over ${operations} reads and writes (seed ${seed}, \`autoBatch\`: %s)`,
    {
      timeout: 120_000,
    },
    async (autoBatch) => {
      const { cache, db } = open({}, autoBatch)
      const random = randomFrom(seed)
      let stale = 0
      for (let operation = 0; operation < operations; operation++) {
        if (random() < 0.4) await write(db, Math.floor(random() * 3), random)
        else if (random() < 0.3) {
          // At once, so that loads and writes overlap.
          const writing = write(db, Math.floor(random() * 3), random)
          await Promise.all([writing, ...Array.from({ length: 3 }, () => readCached(cache, db, pick(names, random)))])
        }
        const name = pick(names, random)
        const [cached, direct] = [await readCached(cache, db, name), await readDirectly(db, name)]
        if (JSON.stringify(cached) !== JSON.stringify(direct)) stale += 1
      }
      expect(stale).toBe(0)
      expect(cache.stats().hits).toBeGreaterThan(operations / 10)
    },
  )

  it.skipIf(!services.redis)(
    `serves nothing stale in three processes on Redis over ${operations} operations (seed ${seed})`,
    { timeout: 180_000 },
    async () => {
      const folder = mkdtempSync(join(tmpdir(), 'posthaste-scope-'))
      onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
      const path = join(folder, 'crm.sqlite')
      createTables(path).close()
      const worker = fileURLToPath(new URL('./support/crm-worker.ts', import.meta.url))
      const children = Array.from({ length: 3 }, () => fork(worker, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] }))
      onTestFinished(() => {
        for (const child of children) child.kill('SIGKILL')
      })
      const namespace = `scope-${process.pid}-${Date.now()}`
      const all = async () => Promise.all(children.map(async (child) => (await once(child, 'message'))[0] as unknown))
      const ready = all()
      for (const [index, child] of children.entries()) {
        const orders: CrmOrders = {
          path,
          redis: services.redis as string,
          namespace,
          seed,
          index,
          operations: Math.ceil(operations / children.length),
        }
        child.send(orders)
      }
      await ready
      const worked = all()
      for (const child of children) child.send('go')
      await worked
      // `coherence.within` of the workers.
      await setTimeout(600)
      const reported = all()
      for (const child of children) child.send('check')
      const reports = (await reported) as CrmReport[]
      expect(reports.flatMap(({ stale }) => stale)).toEqual([])
      expect(reports.reduce((sum, { hits }) => sum + hits, 0)).toBeGreaterThan(operations / 10)
    },
  )
})
