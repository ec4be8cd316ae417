import { randomBytes } from 'node:crypto'
import SQLite from 'better-sqlite3'
import { Kysely, MysqlDialect, PostgresDialect, SqliteDialect, SqliteQueryCompiler, sql } from 'kysely'
import { createPool } from 'mysql2'
import { createPaginator } from 'posthaste/pagination'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { fingerprintOf } from '../../src/pagination/cursor.ts'
import { engines, type Untyped } from './support/engines.ts'

describe('createPaginator', () => {
  let db: Untyped
  const { paginate, cursorPaginate, relayConnection, readChunks } = createPaginator()
  const rows = () => db.selectFrom('t').selectAll()

  beforeAll(async () => {
    db = new Kysely({ dialect: new SqliteDialect({ database: new SQLite(':memory:') }) })
    await db.schema
      .createTable('t')
      .addColumn('id', 'integer', (column) => column.primaryKey())
      .addColumn('n', 'integer')
      .execute()
    await db
      .insertInto('t')
      .values([
        { id: 1, n: 1 },
        { id: 2, n: null },
        { id: 3, n: 3 },
      ])
      .execute()
  })
  afterAll(() => db.destroy())

  it.each([
    { page: 0 },
    { page: 1.5 },
    { page: '2' },
    { perPage: 0 },
    { perPage: 101 },
    { perPage: -1 },
    { perPage: Number.NaN },
    { after: 'x' },
  ])('takes %j as the client’s fault', async (options) => {
    const page = paginate(rows(), { unique: 'id', ...(options as object) })
    await expect(page).rejects.toMatchObject({ code: 'ERR_PAGE_INVALID', status: 400, expose: true })
  })

  it('takes a page of `null` as absent', async () => {
    const { items, pagination } = await paginate(rows(), { unique: 'id', page: null, perPage: 2 })
    expect(items.map(({ id }) => id)).toEqual([1, 2])
    expect(pagination.page).toBe(1)
  })

  it('names the nearest option for one that it does not know', () => {
    expect(() => createPaginator({ decodeLegcy: () => [] } as object)).toThrow('did you mean `decodeLegacy`?')
    expect(() => createPaginator({ decodeLegacy: 'x' as never })).toThrow('Expected `decodeLegacy` to be a function')
    expect(() => createPaginator({ decodeLegacy: undefined, secret: undefined })).not.toThrow()
  })

  it('takes contradictions as the client’s fault', async () => {
    const invalid = { code: 'ERR_PAGE_INVALID', status: 400 }
    await expect(cursorPaginate(rows(), { unique: 'id', after: 'x', before: 'y' })).rejects.toMatchObject(invalid)
    await expect(cursorPaginate(rows(), { unique: 'id', after: 'x', ...{ page: 2 } })).rejects.toMatchObject(invalid)
    for (const args of [
      { first: 1, last: 1 },
      { after: 'x', before: 'y' },
      { first: 1, before: 'x' },
      { last: 1, after: 'x' },
      { first: 0 },
      { last: 101 },
    ]) {
      await expect(relayConnection(rows(), args, { unique: 'id' })).rejects.toMatchObject(invalid)
    }
  })

  it('refuses pages beyond `maxOffset`, and no others', async () => {
    const list = { unique: 'id', perPage: 2, maxOffset: 2 }
    await expect(paginate(rows(), { ...list, page: 2 })).resolves.toMatchObject({ items: [{ id: 3 }] })
    await expect(paginate(rows(), { ...list, page: 3 })).rejects.toMatchObject({
      code: 'ERR_PAGE_TOO_DEEP',
      status: 400,
    })
    const absurd = paginate(rows(), { unique: 'id', page: Number.MAX_SAFE_INTEGER })
    await expect(absurd).rejects.toMatchObject({ code: 'ERR_PAGE_TOO_DEEP' })
  })

  it('takes other wrong options as the programmer’s fault', async () => {
    const wrong: (() => unknown)[] = [
      () => createPaginator({ secret: '' }),
      () => createPaginator({ secret: ['a', 7 as never] }),
      () => createPaginator({ casing: 'kebab' as never }),
      () => createPaginator({ dialect: 'oracle' as never }),
      () => createPaginator({ perPage: { default: 20, max: 10 } }),
      () => createPaginator({ perPage: { max: 0 } }),
      () => readChunks(rows(), { unique: 'id', size: 0 }),
    ]
    for (const make of wrong) expect(make).toThrow(/^Expected `/)
    const options = [
      { unique: [] },
      { unique: 7 },
      { by: 'id' },
      { by: [7] },
      { by: [{ key: 'id', dir: 'up' }] },
      { by: [{ key: 'n', nulls: 'never' }] },
      { by: [{ key: '' }] },
      { by: [{ expr: 7, nulls: 'never' }] },
      { by: [{ expr: () => undefined, nulls: 'never' }] },
      { by: [{ expr: sql`n` }] },
      { by: [{ expr: sql`n`, nulls: 'middle' }] },
      { unique: '' },
      { total: 'some' },
      { total: { atMost: -1 } },
      { dialect: 'oracle' },
      { from: 'middle' },
      { jump: 0 },
    ]
    for (const option of options) {
      const error = await cursorPaginate(rows(), { unique: 'id', ...(option as object) }).catch(
        (thrown: unknown) => thrown,
      )
      expect(error).toSatisfy((thrown) => thrown instanceof TypeError || thrown instanceof RangeError)
      expect(error).toHaveProperty('message', expect.stringMatching(/^Expected /))
    }
  })

  it('takes a scope for the same whatever the order of its keys, and tells it from all others', async () => {
    const nextOf = async (scope: unknown) =>
      (await cursorPaginate(rows(), { unique: 'id', perPage: 1, scope })).pagination.next
    const at = new Date(0)
    const cursor = await nextOf({ big: 5n, at, list: [{ a: 1, b: null }] })
    const same = { list: [{ b: null, a: 1 }], at: new Date(0), big: 5n }
    const page = await cursorPaginate(rows(), { unique: 'id', after: cursor, scope: same })
    expect(page.items).toMatchObject([{ id: 2 }, { id: 3 }])
    for (const other of [
      { ...same, big: 6n },
      { ...same, big: 5 },
      { ...same, list: [{ a: 1 }] },
    ]) {
      await expect(cursorPaginate(rows(), { unique: 'id', after: cursor, scope: other })).rejects.toMatchObject({
        code: 'ERR_CURSOR_MISMATCH',
      })
    }
    for (const scope of [() => 1, { tag: Symbol('x') }, { ids: new Set([1]) }, [new (class Tenant {})()]]) {
      await expect(nextOf(scope)).rejects.toThrow(/^Expected `scope` to hold only plain values/)
    }
  })

  it('names orders alike however many there are', () => {
    const names = () => Array.from({ length: 1_100 }, (_, at) => fingerprintOf(`order ${at}`, undefined))
    expect(new Set(names()).size).toBe(1_100)
    expect(names()).toEqual(names())
  })

  it('gives connections of the default size, and no more than `maxPerPage`', async () => {
    const pager = createPaginator({ perPage: { default: 2 } })
    const page = await pager.relayConnection(rows(), {}, { unique: 'id' })
    expect(page.nodes).toMatchObject([{ id: 1 }, { id: 2 }])
    const small = await pager.relayConnection(rows(), {}, { unique: 'id', maxPerPage: 1 })
    expect(small.nodes).toMatchObject([{ id: 1 }])
    const back = await pager.relayConnection(rows(), { before: page.pageInfo.endCursor }, { unique: 'id' })
    expect(back.nodes).toMatchObject([{ id: 1 }])
    await expect(pager.relayConnection(rows(), { first: 2 }, { unique: 'id', maxPerPage: 1 })).rejects.toMatchObject({
      code: 'ERR_PAGE_INVALID',
    })
    const empty = await pager.relayConnection(rows().where('id', '>', 9), {}, { unique: 'id' })
    expect(empty).toMatchObject({
      edges: [],
      nodes: [],
      pageInfo: { hasNextPage: false, hasPreviousPage: false, startCursor: null, endCursor: null },
    })
  })

  it('orders by expressions, made by a function or with values of any size', async () => {
    const by = [{ expr: (eb: { ref(name: string): unknown }) => eb.ref('n'), nulls: 'last' }]
    expect((await cursorPaginate(rows(), { by: by as never[], unique: 'id' })).items).toMatchObject([
      { id: 1 },
      { id: 3 },
      { id: 2 },
    ])
    const rest = (divisor: bigint) => ({
      by: [{ expr: sql`id % ${divisor}`, nulls: 'never' as const }],
      unique: 'id',
      perPage: 1,
    })
    const first = await cursorPaginate(rows(), rest(3n))
    expect(first.items).toMatchObject([{ id: 3 }])
    const { next: after } = first.pagination
    expect((await cursorPaginate(rows(), { ...rest(3n), after })).items).toMatchObject([{ id: 1 }])
    await expect(cursorPaginate(rows(), { ...rest(2n), after })).rejects.toMatchObject({ code: 'ERR_CURSOR_MISMATCH' })
  })

  it('needs the names of its columns where it reads keys from them, and nowhere else', async () => {
    const capitalized = (row: object) =>
      Object.fromEntries(
        Object.entries(row).map(([name, value]) => [(name[0] ?? '').toUpperCase() + name.slice(1), value]),
      )
    const query = rows().withPlugin({
      transformQuery: ({ node }) => node,
      transformResult: async ({ result }) => ({ ...result, rows: result.rows.map(capitalized) }),
    })
    await expect(cursorPaginate(query, { unique: 'id', perPage: 2 })).rejects.toMatchObject({
      code: 'ERR_QUERY_UNSUPPORTED',
      message: expect.stringContaining('`posthastek0`'),
    })
    const { items, pagination } = await paginate(query, { unique: 'id', perPage: 2 })
    expect(items).toMatchObject([{ Id: 1 }, { Id: 2 }])
    expect(pagination.total).toBe(3)
  })

  it('names an expression that is NULL by what it is', async () => {
    const by = [{ expr: sql`n + 1`, nulls: 'never' as const }]
    await expect(cursorPaginate(rows(), { by, unique: 'id' })).rejects.toMatchObject({
      code: 'ERR_KEY_NULL',
      message: expect.stringContaining('A computed key is NULL'),
    })
  })

  it('names a key of a grouped query as the user wrote it', async () => {
    const grouped = db.selectFrom('t').select('id').groupBy(['id', 'n'])
    await expect(cursorPaginate(grouped, { by: ['t.n'], unique: 'id' })).rejects.toMatchObject({
      code: 'ERR_KEY_NULL',
      message: expect.stringContaining('The key `t.n` is NULL'),
    })
  })

  it('pages a table of a schema', async () => {
    const query = db.withSchema('main').selectFrom('t').select('t.id')
    const { next: after } = (await cursorPaginate(query, { unique: 't.id', perPage: 1 })).pagination
    expect((await cursorPaginate(query, { unique: 't.id', after })).items).toEqual([{ id: 2 }, { id: 3 }])
    const twice = query.distinct()
    expect((await cursorPaginate(twice, { unique: 't.id', perPage: 2 })).items).toEqual([{ id: 1 }, { id: 2 }])
  })

  it('pages beside a column whose alias is raw SQL', async () => {
    const query = db.selectFrom('t').select([sql<number>`-id`.as(sql.id('minus')), 'id'])
    const { items } = await cursorPaginate(query, { by: ['id desc'], unique: 'id', perPage: 2 })
    expect(items).toEqual([
      { id: 3, minus: -3 },
      { id: 2, minus: -2 },
    ])
  })

  it('writes names as a compiler of the user’s does', async () => {
    class Unquoted extends SqliteQueryCompiler {
      protected override getLeftIdentifierWrapper(): string {
        return ''
      }
      protected override getRightIdentifierWrapper(): string {
        return ''
      }
    }
    const database = new SQLite(':memory:')
    database.exec('create table t (id integer primary key, n integer); insert into t values (1, 5), (2, 4), (3, 3)')
    const dialect = new SqliteDialect({ database })
    const sent: string[] = []
    const unquoted: Untyped = new Kysely({
      dialect: {
        createAdapter: () => dialect.createAdapter(),
        createDriver: () => dialect.createDriver(),
        createIntrospector: (kysely) => dialect.createIntrospector(kysely),
        createQueryCompiler: () => new Unquoted(),
      },
      log: ({ query }) => void sent.push(query.sql),
    })
    const query = unquoted.selectFrom('t').select('t.id')
    const list = { by: ['t.n' as never], unique: 't.id', perPage: 1 }
    const { next: after } = (await cursorPaginate(query, list)).pagination
    expect((await cursorPaginate(query, { ...list, after })).items).toEqual([{ id: 2 }])
    expect(sent.join()).toContain('order by t.n asc, t.id asc')
    expect(sent.join()).not.toContain('"')
    await unquoted.destroy()
  })

  it('orders by a collation', async () => {
    await sql`create temp table words (id integer primary key, word text not null)`.execute(db)
    await sql`insert into words values (1, 'b'), (2, 'A'), (3, 'a'), (4, 'B')`.execute(db)
    const query = db
      .selectFrom('words')
      .selectAll()
      .orderBy('word', (order) => order.collate('nocase'))
    const seen: object[] = []
    let after: string | null = null
    do {
      const page: Awaited<ReturnType<typeof cursorPaginate>> = await cursorPaginate(query, {
        unique: 'id',
        perPage: 1,
        after,
      } as never)
      seen.push(...page.items)
      after = page.pagination.next
    } while (after !== null)
    expect(seen.map((row) => (row as { id: number }).id)).toEqual([2, 3, 1, 4])
  })

  it('gives the pages ahead although the last row of the page was deleted meanwhile', async () => {
    const database = new SQLite(':memory:')
    database.exec('create table t (id integer primary key); insert into t values (1), (2), (3), (4), (5), (6)')
    let isFirst = true
    const busy: Untyped = new Kysely({
      dialect: new SqliteDialect({ database }),
      log() {
        if (isFirst) database.exec('delete from t where id = 2')
        isFirst = false
      },
    })
    const query = busy.selectFrom('t').selectAll()
    const { items, pagination } = await cursorPaginate(query, { unique: 'id', perPage: 2, jump: 5 })
    expect(items).toEqual([{ id: 1 }, { id: 2 }])
    const pages = pagination.jump?.map(async ({ page, after }) => {
      const target = await cursorPaginate(query, { unique: 'id', perPage: 2, after })
      return [page, ...target.items.map(({ id }) => id)]
    })
    expect(await Promise.all(pages ?? [])).toEqual([
      [2, 3, 4],
      [3, 5, 6],
    ])
    await busy.destroy()
  })

  it('writes the keys of a page in snake case, key for key', async () => {
    const snake = createPaginator({ casing: 'snake', perPage: { default: 2 } })
    const page = await snake.paginate(rows(), { unique: 'id', page: 1, total: { atMost: 2 } })
    expect(JSON.stringify(page.pagination)).toBe(
      '{"page":1,"per_page":2,"total":2,"total_pages":1,"total_is":"capped","has_next":true,"has_prev":false}',
    )
    expect(Object.keys((await snake.cursorPaginate(rows(), { unique: 'id' })).pagination)).toEqual([
      'per_page',
      'has_next',
      'has_prev',
      'next',
      'prev',
    ])
  })

  it('warns once of NULLs that stand where no plain index has them', async () => {
    const warnings: string[] = []
    const pager = createPaginator({ onWarn: ({ code }) => warnings.push(code) })
    await pager.cursorPaginate(rows(), { by: [{ key: 'n', nulls: 'first' }], unique: 'id' })
    expect(warnings).toEqual([])
    for (const nulls of ['last', 'last'] as const)
      await pager.cursorPaginate(rows(), { by: [{ key: 'n', nulls }], unique: 'id' })
    expect(warnings).toEqual(['KEY_ORDER_NOT_NATIVE'])
  })
})

describe('a total that is estimated', () => {
  const { paginate } = createPaginator()
  const counted = 20_000
  const answersOf = (plan: unknown) => (text: string) => {
    if (text.startsWith('explain')) return [{ EXPLAIN: plan }]
    if (text.includes('count(*)')) return [{ phc: text.includes('limit') ? 10_001 : counted }]
    return [{ id: 1 }, { id: 2 }]
  }

  async function totalOf(db: Untyped): Promise<object> {
    const rows = db.selectFrom('users').select('id')
    const { pagination } = await paginate(rows, { unique: 'id', total: 'estimate', perPage: 1, page: 2 })
    await db.destroy()
    return { total: pagination.total, totalIs: pagination.totalIs }
  }

  function mysql(plan: unknown): Untyped {
    const answers = answersOf(plan)
    const connection = {
      query(text: string, _parameters: unknown, done: (error: unknown, rows: object[]) => void) {
        done(undefined, answers(text))
      },
      release() {},
    }
    const pool = {
      getConnection: (give: (error: unknown, one: unknown) => void) => give(undefined, connection),
      end: (done: () => void) => done(),
    }
    return new Kysely({ dialect: new MysqlDialect({ pool: pool as never }) })
  }

  function postgres(plan: unknown): Untyped {
    const answers = answersOf(plan)
    const client = { query: async (text: string) => ({ command: 'SELECT', rows: answers(text) }), release() {} }
    const pool = { connect: async () => client, end: async () => {}, on() {} }
    return new Kysely({ dialect: new PostgresDialect({ pool: pool as never }) })
  }

  // There is no MySQL to be had here: documents as its manual shows them (8.4, section 10.8.2, JSON format version 1).
  it('is the product of what MySQL expects of the tables, in a document as text or parsed', async () => {
    const nested = [
      { table: { table_name: 'users', rows_examined_per_scan: 30_000, filtered: '50.00' } },
      { table: { table_name: 'posts', rows_examined_per_scan: 2, filtered: 100 } },
      { table: { table_name: 'teams', access_type: 'const' } },
    ]
    const subqueries = [{ query_block: { table: { rows_examined_per_scan: 9 } } }]
    const plan = { query_block: { nested_loop: nested, attached_subqueries: subqueries } }
    for (const document of [plan, JSON.stringify(plan)]) {
      expect(await totalOf(mysql(document))).toEqual({ total: 30_000, totalIs: 'estimate' })
    }
  })

  // As MariaDB 10.11 writes them.
  it('takes one row for each where MariaDB looks for the rows of a join without an index, and all where it has no condition', async () => {
    const users = { table: { table_name: 'users', access_type: 'ALL', rows: 30_000, filtered: 100 } }
    const posts = { table: { table_name: 'posts', access_type: 'ALL', rows: 20_000, filtered: 100 }, join_type: 'BNL' }
    const planOf = (join: object) => ({ query_block: { nested_loop: [users, { 'block-nl-join': join }] } })
    const matching = planOf({ ...posts, attached_condition: 'trigcond(posts.owner = users.id)' })
    expect(await totalOf(mysql(matching))).toEqual({ total: 30_000, totalIs: 'estimate' })
    expect(await totalOf(mysql(planOf(posts)))).toEqual({ total: 600_000_000, totalIs: 'estimate' })
  })

  it('is that of the first step in version 2 of MySQL’s JSON', async () => {
    const inputs = [{ operation: 'Table scan on users', table_name: 'users', estimated_rows: 90_000 }]
    const plan = JSON.stringify({
      query_plan: { operation: 'Filter', access_type: 'filter', inputs, estimated_rows: 30_000 },
    })
    expect(await totalOf(mysql(plan))).toEqual({ total: 30_000, totalIs: 'estimate' })
  })

  it('is counted where the plan is in another format', async () => {
    const plan = JSON.stringify({ steps: [{ operation: 'Table scan on users', rows: 9 }] })
    expect(await totalOf(mysql(plan))).toEqual({ total: counted, totalIs: 'exact' })
  })

  const servers = engines.filter(({ dialect }) => dialect === 'mysql')
  for (const { name, available, open } of servers)
    it.skipIf(!available)(
      `is counted where ${name} explains no view to a user without rights on its tables`,
      async () => {
        const { db, url, close } = await open()
        const user = `viewer_${randomBytes(4).toString('hex')}`
        const run = (text: string) => sql.raw(text).execute(db)
        const { host, pathname } = new URL(url as string)
        await run('create table posts (id integer primary key, user_id integer not null)')
        await run(
          'insert into posts with recursive n (i) as (select 0 union all select i + 1 from n where i < 999) select i, i from n',
        )
        await run('create view pairs as select a.id * 1000 + b.id as id from posts as a, posts as b where a.id < 11')
        await run(`create user ${user} identified by 'secret'`)
        await run(`grant select on pairs to ${user}`)
        const pool = createPool({ uri: `mysql://${user}:secret@${host}${pathname}`, connectionLimit: 1 })
        const viewer: Untyped = new Kysely({ dialect: new MysqlDialect({ pool }) })
        try {
          const { pagination } = await paginate(viewer.selectFrom('pairs').select('id'), {
            unique: 'id',
            total: 'estimate',
          })
          expect(pagination).toMatchObject({ total: 11_000, totalIs: 'exact' })
        } finally {
          await viewer.destroy()
          await run(`drop user ${user}`)
          await close()
        }
      },
    )

  it('is counted where a database that speaks as PostgreSQL expects no number', async () => {
    expect(await totalOf(postgres('Seq Scan on users  (cost=0.00..1.01 rows=30000 width=4)'))).toEqual({
      total: 30_000,
      totalIs: 'estimate',
    })
    expect(await totalOf(postgres('distribution: full'))).toEqual({ total: counted, totalIs: 'exact' })
  })
})
