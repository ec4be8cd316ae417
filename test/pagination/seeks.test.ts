import { CompiledQuery, sql } from 'kysely'
import { createPaginator } from 'posthaste/pagination'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { SqlDialect } from '../../src/pagination/types.ts'
import { engines, type Opened, type ServerKind, type Untyped } from './support/engines.ts'

// Small enough for every run; SEEK_ROWS=300000 is the size that is promised. The bounds are the same for both.
const size = Number(process.env.SEEK_ROWS ?? 30_000)
const perPage = 20
const { cursorPaginate, expectSeek, paginate, relayConnection } = createPaginator({ onWarn: () => {} })

/** Orders, each with the index that fits; `native` stands for where the database itself puts NULLs. */
const orders = {
  'columns in one direction': { by: ['status'], index: 'status, id' },
  'one column, descending': { by: ['created desc'], index: 'created, id' },
  'three columns': { by: ['status', 'created'], index: 'status, created, id' },
  'mixed directions': { by: ['status desc', 'created'], index: 'status desc, created asc, id asc' },
  'a nullable key': { by: [{ key: 'score', nulls: 'native' }], index: 'score, id' },
  'a nullable key, descending': { by: [{ key: 'score', dir: 'desc', nulls: 'native' }], index: 'score, id' },
  'a nullable key among others': {
    by: ['status', { key: 'score', dir: 'desc', nulls: 'native' }],
    index: 'status asc, score desc, id desc',
  },
} as const

const chosen = engines.filter(({ name }) => ['better-sqlite3', 'PostgreSQL', 'MariaDB', 'MySQL'].includes(name))

describe.each(chosen)('a page deep in $name', ({ available, dialect, server, open }) => {
  let opened: Opened

  beforeAll(async () => {
    if (!available) return
    opened = await open()
    await createEvents(opened.db, server)
  }, 120_000)
  afterAll(() => opened?.close())

  const names = Object.keys(orders) as (keyof typeof orders)[]
  it.skipIf(!available).each(names)('reads little more than itself: %s', async (name) => {
    const by = orders[name].by.map((key) =>
      typeof key === 'string' ? key : { ...key, nulls: nativeNulls(key, dialect) },
    )
    const list = { by: by as never[], unique: 'id', perPage }
    await opened.db.connection().execute(async (db: Untyped) => {
      opened.queries()
      const [row] = (await paginate(events(db), { ...list, perPage: 1, page: size / 2, total: 'none' })).items
      if (dialect === 'postgres') await report('by OFFSET', db, opened.queries()[0] as CompiledQuery)
      // MySQL reads an index of mixed directions forward only: backward, it sorts.
      const isMixed = server === 'mysql' && / desc/.test(orders[name].index)
      await expectSeeks(db, list, row?.id as number, isMixed ? ['after'] : undefined)
    })
  })

  const directions = [{ key: 'score' }, { key: 'score', dir: 'desc' }] as const
  it.skipIf(!available).each(directions)('reads little more than itself among NULLs: %o', async (key) => {
    const list = { by: [{ ...key, nulls: nativeNulls(key, dialect) }] as never[], unique: 'id', perPage }
    await opened.db.connection().execute((db: Untyped) => expectSeeks(db, list, size / 2))
  })

  async function expectSeeks(db: Untyped, list: SeekList, id: number, sides = ['after', 'before']): Promise<void> {
    const cursor = (await relayConnection(events(db).where('id', '=', id), { first: 1 }, list)).edges[0]
      ?.cursor as string
    for (const side of sides) {
      opened.queries()
      const before = await handlerReads(db, dialect)
      const { items } = await cursorPaginate(events(db), { ...list, [side]: cursor })
      const after = await handlerReads(db, dialect)
      expect(items).toHaveLength(perPage)
      expect(after - before).toBeLessThanOrEqual(3 * perPage + 50)
      const pages = opened.queries().filter((query) => query.sql.includes('posthastek0'))
      expect(pages).toHaveLength(1)
      await expectPlan(db, dialect, pages[0] as CompiledQuery)
      await expectSeek(events(db), { ...list, [side]: cursor })
    }
  }
})

interface SeekList {
  readonly by: never[]
  readonly unique: string
  readonly perPage: number
}

function events(db: Untyped) {
  return db.selectFrom('events').select(['id', 'title'])
}

async function createEvents(db: Untyped, server: ServerKind): Promise<void> {
  await sql`create table events (id int primary key, status int not null, created int not null, score int, title varchar(40) not null)`.execute(
    db,
  )
  const numbers = {
    postgres: sql`select n from generate_series(1, ${size}::bigint) as s (n)`,
    sqlite: sql`with recursive s (n) as (select 1 union all select n + 1 from s where n < ${size}) select n from s`,
    mariadb: sql`select seq as n from ${sql.raw(`seq_1_to_${size}`)}`,
    mysql: sql`with recursive s (n) as (select 1 union all select n + 1 from s where n < ${size}) select /*+ set_var(cte_max_recursion_depth = 1000000) */ n from s`,
  }[server]
  const created = sql`(n * 7919) % ${sql.lit(size)}`
  const score = sql`case when n % 10 = 0 then null else (n * 104729) % 5000 end`
  await sql`insert into events select n, n % 3, ${created}, ${score}, 'an event of some length' from (${numbers}) as numbers`.execute(
    db,
  )
  for (const [at, { index }] of Object.values(orders).entries()) {
    await sql.raw(`create index events_${at} on events (${index})`).execute(db)
  }
  if (server === 'postgres') await sql`vacuum analyze events`.execute(db)
  if (server === 'mysql') await sql`analyze table events`.execute(db)
}

function nativeNulls(key: object, dialect: SqlDialect): 'first' | 'last' {
  return (dialect === 'postgres') === 'dir' in key ? 'first' : 'last'
}

/** PostgreSQL by the buffers it touched, SQLite by its plan. */
async function expectPlan(db: Untyped, dialect: SqlDialect, query: CompiledQuery): Promise<void> {
  const { sql: text, parameters } = query
  if (dialect === 'postgres') expect(await report('by position', db, query)).toBeLessThanOrEqual(60)
  if (dialect === 'sqlite') {
    const plan = await db.executeQuery<{ detail: string }>(
      CompiledQuery.raw(`explain query plan ${text}`, [...parameters]),
    )
    const details = plan.rows.map((row) => row.detail).join('\n')
    expect(details).not.toMatch(/SCAN events|TEMP B-TREE/)
    expect(details).toMatch(/SEARCH events/)
  }
}

/** The buffers that PostgreSQL touches for the statement; said aloud at the size that is promised. */
async function report(how: string, db: Untyped, { sql: text, parameters }: CompiledQuery): Promise<number> {
  const explain = CompiledQuery.raw(`explain (analyze, buffers, format json) ${text}`, [...parameters])
  const { rows } = await db.executeQuery<{ 'QUERY PLAN': [{ Plan: Record<string, number> }] }>(explain)
  const plan = (rows[0] as (typeof rows)[0])['QUERY PLAN'][0].Plan
  const buffers = (plan['Shared Hit Blocks'] as number) + (plan['Shared Read Blocks'] as number)
  if (process.env.SEEK_ROWS !== undefined)
    console.log(`${expect.getState().currentTestName} ${how}: ${buffers} buffers`)
  return buffers
}

/** Rows that MariaDB or MySQL has read for this connection; the other engines are judged otherwise. */
async function handlerReads(db: Untyped, dialect: SqlDialect): Promise<number> {
  if (dialect !== 'mysql') return 0
  const { rows } = await sql<{ Value: string }>`show session status like 'Handler_read%'`.execute(db)
  return rows.reduce((total, row) => total + Number(row.Value), 0)
}
