import { randomBytes } from 'node:crypto'
import {
  CamelCasePlugin,
  Kysely,
  type KyselyPlugin,
  MysqlDialect,
  ParseJSONResultsPlugin,
  type SelectQueryBuilder,
  sql,
} from 'kysely'
import { createPaginator, cursorPaginate, expectSeek, explainPage, listQuery, oneOf } from 'posthaste'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { services } from '../../support/services.ts'
import { engines, type Opened, openMysql, type Untyped } from '../support/engines.ts'

/** More than fits into what is called a small table. */
const rows = 16_000
const roles = ['admin', 'user', 'guest']

interface Case {
  readonly name: string
  // biome-ignore lint/suspicious/noExplicitAny: queries over tables without types
  readonly query: (db: Untyped) => SelectQueryBuilder<any, any, any>
  readonly by: readonly (object | string)[]
  readonly unique?: string
  /** The index, as SQLite writes it. */
  readonly index: string
  readonly postgres?: string
}

const users = (db: Untyped) => db.selectFrom('users').selectAll()

const cases: Case[] = [
  {
    name: 'one key',
    query: users,
    by: ['created_at desc'],
    index: '"users" ("created_at" desc, "id" desc)',
  },
  {
    name: 'the unique key of another column',
    query: (db) => db.selectFrom('users').select(['id']),
    by: [],
    unique: 'users.name',
    index: '"users" ("name")',
  },
  {
    name: 'a filter',
    query: (db) => users(db).where('role', '=', 'admin'),
    by: ['created_at desc'],
    index: '"users" ("role", "created_at" desc, "id" desc)',
  },
  {
    name: 'filters in either order of their operands, joined by and',
    query: (db) =>
      users(db).where((eb) => eb.and([eb('role', '=', 'user'), eb(eb.val(5), '=', eb.ref('users.team_id'))])),
    by: ['name'],
    index: '"users" ("role", "team_id", "name", "id")',
  },
  {
    name: 'a filter that bounds the first key',
    query: (db) => users(db).where('role', '=', 'admin').where('created_at', '>=', 100),
    by: ['created_at desc'],
    index: '"users" ("role", "created_at" desc, "id" desc)',
  },
  {
    name: 'mixed directions',
    query: (db) => users(db).where('team_id', '=', 3),
    by: ['name desc', 'created_at'],
    index: '"users" ("team_id", "name" desc, "created_at", "id")',
  },
  {
    name: 'a key that is also a filter',
    query: (db) => users(db).where('role', '=', 'guest'),
    by: ['role', 'created_at desc'],
    index: '"users" ("role", "created_at" desc, "id" desc)',
  },
  {
    name: 'a filter for NULL',
    query: (db) => users(db).where('deleted_at', 'is', null),
    by: ['name', 'created_at desc'],
    index: '"users" ("deleted_at", "name", "created_at" desc, "id" desc)',
    postgres: '"users" ("name", "created_at" desc, "id" desc) where "deleted_at" is null',
  },
  {
    name: 'a join, with the filter and the keys under an alias',
    query: (db) =>
      db
        .selectFrom('users as u')
        .innerJoin('teams as t', 't.id', 'u.team_id')
        .select(['u.id', 'u.name', 't.name as team'])
        .where('u.role', '=', 'user'),
    by: ['u.name'],
    unique: 'u.id',
    index: '"users" ("role", "name", "id")',
  },
  {
    name: 'a left join',
    query: (db) =>
      db.selectFrom('users').leftJoin('teams', 'teams.id', 'users.team_id').select(['users.id', 'teams.name as team']),
    by: ['users.created_at'],
    unique: 'users.id',
    index: '"users" ("created_at", "id")',
  },
  {
    name: 'a joined table that has no index for the join',
    query: (db) =>
      db.selectFrom('users').leftJoin('posts', 'posts.user_id', 'users.id').select(['users.id', 'posts.title']),
    by: ['users.id'],
    unique: 'users.id',
    index: '"posts" ("user_id")',
  },
]

// One of each kind is enough: plans do not hang on the driver. PGlite stands in where there is no server.
const kinds = ['better-sqlite3', services.postgres === undefined ? 'PGlite' : 'PostgreSQL', 'MariaDB', 'MySQL'].flatMap(
  (name) => engines.filter((engine) => engine.name === name && engine.available),
)
const judged = kinds.flatMap((engine) => {
  if (engine.name !== 'MySQL') return [engine]
  const withSetting = (name: string, setting: string) => ({
    ...engine,
    name: `MySQL, ${name}`,
    open: () => openMysql(services.mysql as string, setting),
  })
  return [
    withSetting('version 1 of its JSON', 'set explain_json_format_version = 1'),
    withSetting('version 2 of its JSON', 'set explain_json_format_version = 2'),
    withSetting(
      'hypergraph optimizer',
      `set explain_json_format_version = 2, optimizer_switch = 'hypergraph_optimizer=on'`,
    ),
  ]
})

describe.each(judged)('explainPage on $name', (engine) => {
  const { dialect, server } = engine
  const isHypergraph = engine.name.includes('hypergraph')
  const countsRows = server === 'postgres' || server === 'mariadb'
  const quoted = (ddl: string) => (dialect === 'mysql' ? ddl.replaceAll('"', '`') : ddl)
  let opened: Opened
  let db: Untyped
  const created: string[] = []

  beforeAll(async () => {
    opened = await engine.open()
    db = opened.db
    await run('create table teams (id integer primary key, name varchar(50) not null)')
    await run('create table posts (id integer primary key, user_id integer not null, title varchar(20) not null)')
    await run(`create table users (
      id integer primary key, team_id integer not null, role varchar(20) not null, name varchar(40) not null,
      created_at integer not null, score integer, deleted_at integer, active boolean not null)`)
    for (let from = 0; from < rows; from += 4_000) {
      const values = Array.from({ length: 4_000 }, (_, at) => {
        const id = from + at + 1
        const [score, deleted] = [id % 10 === 0 ? null : id % 1_000, id % 3 === 0 ? id : null]
        return `(${id}, ${(id % 400) + 1}, '${roles[id % 3]}', 'n${id}', ${(id * 7_919) % 9_973}, ${score}, ${deleted}, ${id % 40 === 0})`
      })
      await run(`insert into users values ${values.join(', ')}`)
    }
    await run(`insert into posts select id, id, 'x' from users`)
    await run('create view seen as select * from users')
    await run('insert into teams select id, name from users where id <= 400')
    await refresh()
  })

  afterEach(async () => {
    for (const name of created.splice(0)) {
      const [index, table] = name.split(' on ') as [string, string]
      await run(dialect === 'mysql' ? `drop index ${index} on ${table}` : `drop index ${index}`)
    }
  })

  afterAll(() => opened.close())

  async function run(text: string): Promise<void> {
    await sql.raw(text).execute(db)
  }

  async function refresh(): Promise<void> {
    const one = dialect === 'mysql' ? 'analyze table ' : 'analyze '
    if (dialect === 'sqlite') await run('analyze')
    else for (const table of ['users', 'teams', 'posts']) await run(one + table)
  }

  async function create(ddl: string): Promise<void> {
    await run(ddl)
    created.push(/^create index (\S+ on \S+)/.exec(ddl)?.[1] as string)
  }

  it.each(cases)('names the index for $name, by which it is a seek at any depth', async (one) => {
    const query = one.query(db)
    const options = { by: one.by as never[], unique: one.unique ?? 'id' }
    const before = await explainPage(query, options)
    expect(before.access).not.toBe('seek')
    expect(before.index).toMatch(/^create index \S+ on /)
    expect(before.index?.replace(/^create index \S+ on /, '')).toBe(
      quoted((dialect === 'postgres' ? one.postgres : undefined) ?? one.index),
    )
    await expect(expectSeek(query, options)).rejects.toThrow(before.index as string)

    await create(before.index as string)
    const page = await cursorPaginate(query, { ...options, perPage: 50 })
    const { next } = page.pagination
    for (const place of [{}, { from: 'end' as const }, { after: next }, { before: next }]) {
      const { access, index, reason, rowsRead, plan } = await explainPage(query, {
        ...options,
        ...place,
        analyze: true,
      })
      // MySQL sorts the rows within a bound rather than read them backwards.
      if (server === 'mysql' && !isHypergraph && one.name === 'a filter that bounds the first key' && 'from' in place) {
        expect({ access, reason }).toEqual({
          access: 'sort',
          reason: expect.stringContaining('planner does not take it'),
        })
        continue
      }
      expect({ access, index, reason }, `${JSON.stringify(place)} ${plan}`).toEqual({ access: 'seek' })
      if (!countsRows) expect(rowsRead).toBeUndefined()
      else expect(rowsRead).toBeLessThan(250)
    }
    await expectSeek(query, options)
  })

  it('names the index for a key with NULLs, on either side of them', async () => {
    const native = dialect === 'postgres' ? 'last' : 'first'
    const options = { by: [{ key: 'score', nulls: native }] as never[], unique: 'id' }
    const { index } = await explainPage(users(db), options)
    expect(index).toContain(quoted('"users" ("score", "id")'))
    await create(index as string)
    const { pagination } = await cursorPaginate(users(db), { ...options, perPage: 100 })
    const end = await cursorPaginate(users(db), { ...options, from: 'end', perPage: 100 })
    for (const after of [pagination.next, end.pagination.prev]) {
      expect(await explainPage(users(db), { ...options, after })).toMatchObject({ access: 'seek' })
    }
  })

  it('tells when no index can help, and why', async () => {
    const by = ['created_at' as never]
    const joined = db.selectFrom('users as u').innerJoin('teams as t', 't.id', 'u.team_id').select('u.id')
    const hopeless: [string, unknown, object, RegExp][] = [
      ['a list of values', users(db).where('role', 'in', ['admin', 'user']), { by }, /filter/],
      ['a pattern', users(db).where('name', 'like', 'n1%'), { by }, /filter/],
      ['a range of another column', users(db).where('team_id', '>', 5), { by }, /filter/],
      ['raw SQL', users(db).where(sql<boolean>`team_id = 5 or role = 'x'`), { by }, /filter/],
      [
        'a filter of a joined table',
        joined.where('t.name', '=', 'n1'),
        { by: ['u.created_at'], unique: 'u.id' },
        /filter/,
      ],
      ['keys of two tables', joined, { by: ['t.name', 'u.name'], unique: 'u.id' }, /more than one table/],
      ['OFFSET', users(db), { by: [], page: 3 }, /OFFSET/],
      ['groups', db.selectFrom('users').select('role').groupBy('role'), { by: [], unique: 'role' }, /several rows/],
      [
        'a common table',
        db
          .with('c', () => users(db) as never)
          .selectFrom('c')
          .selectAll(),
        { by },
        /from a query/,
      ],
      ['a view', db.selectFrom('seen').selectAll(), { by }, /view/],
      ['a query', db.selectFrom(users(db).as('q')).selectAll(), { by, unique: 'id' }, /from a query/],
      ['no table', db.selectNoFrom(sql<string>`lower('A')`.as('id')), { by: [] }, /from a query/],
    ]
    for (const [name, query, options, reason] of hopeless) {
      const found = await explainPage(query as never, { unique: 'id', ...options } as never)
      expect(found.access, name).not.toBe('seek')
      expect(found.reason, name).toMatch(reason)
      expect(found, name).not.toHaveProperty('index')
    }
    await expect(expectSeek(users(db), { by: [], unique: 'id', page: 2 })).rejects.toThrow(
      'No index makes it one: OFFSET',
    )
  })

  it('tells an index that has the columns in another order from one that serves', async () => {
    const query = users(db).where('role', '=', 'admin')
    const options = { by: ['created_at' as never], unique: 'id' }
    await create('create index users_wrong on users (created_at, role, id)')
    const { access, index } = await explainPage(query, options)
    expect(access).toBe(dialect === 'sqlite' ? 'sort' : 'scan')
    expect(index).toContain(quoted('("role", "created_at", "id")'))
    const { next } = (await cursorPaginate(query, options)).pagination
    expect(await explainPage(query, { ...options, after: next })).not.toMatchObject({ access: 'seek' })
  })

  it('tells an index that lacks the unique key', async () => {
    await create('create index users_short on users (role)')
    const options = { by: ['created_at' as never], unique: 'id' }
    expect(await explainPage(users(db).where('role', '=', 'admin'), options)).toMatchObject({ access: 'sort' })
  })

  it('judges a small table by its indexes, since the planner reads it whole', async () => {
    await run('create table small (id integer primary key, name varchar(9) not null)')
    await run(`insert into small values ${Array.from({ length: 12 }, (_, id) => `(${id}, 'n${id}')`).join(', ')}`)
    const query = db.selectFrom('small').selectAll()
    const options = { by: ['name' as never], unique: 'id' }
    const { access, index } = await explainPage(query, options)
    expect(access).toBe('sort')
    await run(index as string)
    await expectSeek(query, options)
    await run('drop table small')
  })

  it('quotes names as the database does', async () => {
    const odd = dialect === 'mysql' ? 'od`d (table)' : 'od"d (table)'
    await sql`create table ${sql.table(odd)} (id integer primary key, ${sql.ref('select')} integer not null)`.execute(
      db,
    )
    const query = db.selectFrom(odd).selectAll()
    const options = { by: ['select desc' as never], unique: 'id' }
    const { index } = await explainPage(query, options)
    await run(index as string)
    await expectSeek(query, options)
    await sql`drop table ${sql.table(odd)}`.execute(db)
  })

  it.each(['things', 'things as t'])('tells a table of another schema from its namesake: %s', async (table) => {
    const other = `elsewhere_${randomBytes(4).toString('hex')}`
    if (dialect === 'sqlite') await run(`attach ':memory:' as ${other}`)
    else await run(`create ${dialect === 'mysql' ? 'database' : 'schema'} ${other}`)
    try {
      for (const place of ['', `${other}.`]) {
        await run(`create table ${place}things (id integer primary key, rank_of integer not null)`)
      }
      await run('create index things_by_rank on things (rank_of, id)')
      const query = db.selectFrom(`${other}.${table}`).selectAll()
      const options = { by: ['rank_of' as never], unique: 'id' }
      const { access, index } = await explainPage(query, options)
      expect(access).toBe('sort')
      await run(index as string)
      await expectSeek(query, options)
      await expectSeek(db.selectFrom(table).selectAll(), options)
    } finally {
      await run('drop table if exists things')
      if (dialect === 'sqlite') await run(`detach ${other}`)
      else await run(dialect === 'mysql' ? `drop database ${other}` : `drop schema ${other} cascade`)
    }
  })

  /** Of a table with these columns, a page filtered by each is a seek by the index that is advised for it. */
  async function expectAdvisedSeeks(table: string, names: readonly string[]): Promise<void> {
    const columns = names.map((name) => sql`${sql.ref(name)} integer not null`)
    await sql`create table ${sql.table(table)} (id integer primary key, ${sql.join(columns)})`.execute(db)
    for (const name of names) {
      const query = db.selectFrom(table).selectAll().where(sql.ref(name), '=', 1)
      const { index } = await explainPage(query, { unique: 'id' })
      await run(index as string)
      await expectSeek(query, { unique: 'id' })
    }
    await db.schema.dropTable(table).execute()
  }

  it('finds columns with blanks in their names, and gives indexes with long names names of their own', async () => {
    const names = ['first name', `${'x'.repeat(50)} 1`, `${'x'.repeat(50)} 2`] as const
    await expectAdvisedSeeks('odd_columns', names)
  })

  it('gives the indexes of columns in any script names of their own', async () => {
    // With the first two, one letter is beyond ASCII, and with the last two every letter.
    const names = ['größe', 'grüße', 'имя', 'город', '姓名', '城'.repeat(20), `${'城'.repeat(19)}市`] as const
    await expectAdvisedSeeks('люди', names)
  })

  it.runIf(dialect === 'mysql')('names no index that the database would refuse', async () => {
    await sql`create table wide (id integer primary key, body text not null, name varchar(1000) not null, a varchar(500) not null, b varchar(500) not null)`.execute(
      db,
    )
    const query = db.selectFrom('wide').selectAll()
    for (const by of [['body'], ['name'], ['a', 'b']] as never[][]) {
      const { index, reason } = await explainPage(query, { by, unique: 'id' })
      expect(index).toBeUndefined()
      expect(reason).toBe(
        `\`${by.at(-1)}\` is too long for an index: page by another column, or by a generated column of its beginning`,
      )
    }
    const { index } = await explainPage(query, { by: ['a' as never], unique: 'id' })
    await run(index as string)
    await db.schema.dropTable('wide').execute()
  })

  it('looks through the user’s plugins', async () => {
    const camel = db.withPlugin(new CamelCasePlugin())
    const query = camel.selectFrom('users').selectAll().where('teamId', '=', 4)
    const options = { by: ['createdAt desc' as never], unique: 'id' }
    const { index } = await explainPage(query, options)
    expect(index).toContain(quoted('"users" ("team_id", "created_at" desc, "id" desc)'))
    await create(index as string)
    await expectSeek(query, options)
    expect((await explainPage(query, { ...options, analyze: true })).rowsRead).toBe(countsRows ? 11 : undefined)
  })

  it('is a seek for one row, by its unique key', async () => {
    await expectSeek(users(db).where('id', '=', 5), { unique: 'id' })
  })

  it('is no worse for what a subquery reads beside the rows', async () => {
    const query = users(db).select((eb) =>
      eb.selectFrom('posts').select(sql`count(*)`.as('n')).whereRef('posts.user_id', '=', 'users.id').as('posts'),
    )
    await expectSeek(query, { unique: 'id' })
  })

  it('takes a join of few rows that are worked out for no sort', async () => {
    const few = (from: number) =>
      db
        .selectFrom('posts')
        .select('user_id')
        .where('id', 'in', [from, from + 1])
    const query = db
      .selectFrom('users')
      .leftJoin(few(1).union(few(7)).as('few'), 'few.user_id', 'users.id')
      .select(['users.id', 'few.user_id'])
    const { access, reason } = await explainPage(query, { unique: 'users.id' })
    // The plan of SQLite does not tell how few they are.
    if (dialect === 'sqlite')
      expect({ access, reason }).toEqual({ access: 'scan', reason: expect.stringContaining('`few`') })
    // The hypergraph optimizer sorts the users before it joins them.
    else expect(access).toBe(isHypergraph ? 'sort' : 'seek')
  })

  it.runIf(dialect === 'postgres')(
    'tells the table from a joined one whose name is the same with a number more',
    async () => {
      // Larger than the tables that are read whole.
      for (const name of ['logs', 'logs_2024']) {
        await run(`create table ${name} (id integer primary key, score integer, note text not null)`)
        await run(`insert into ${name} select n, n % 99, repeat('x', 90) from generate_series(1, 16000) as n`)
        await run(`analyze ${name}`)
      }
      await create('create index logs_by_score on logs (score, id)')
      const byScore = { by: [{ key: 'logs.score', nulls: 'last' }], unique: 'logs.id' }
      for (const joined of ['logs_2024', 'posts as logs_1', 'posts as logs_2']) {
        const query = db
          .selectFrom('logs')
          .innerJoin(joined, `${joined.split(' ').at(-1)}.id`, 'logs.id')
          .select('logs.id')
        await expectSeek(query, { unique: 'logs.id' })
        await expectSeek(query, byScore as never)
      }
    },
  )

  it('tells of a joined table that is read whole when no index for it can be named', async () => {
    const posts = db.selectFrom('posts').select(['user_id', 'title'])
    const joins: [string, unknown][] = [
      ['raw SQL', db.selectFrom('users').leftJoin('posts', (join) => join.on(sql<boolean>`posts.user_id = users.id`))],
      [
        'a condition that does not name it',
        db
          .selectFrom('users')
          .leftJoin('posts', (join) => join.on('users.role', '=', 'admin').on(sql<boolean>`posts.user_id = users.id`)),
      ],
      ['a query', db.selectFrom('users').leftJoin(posts.as('p'), 'p.user_id', 'users.id')],
      [
        'a common table',
        db
          .with('c', () => posts)
          .selectFrom('users')
          .innerJoin('teams', 'teams.id', 'users.team_id')
          .leftJoin('c', 'c.user_id', 'users.id'),
      ],
    ]
    for (const [name, query] of joins) {
      const found = await explainPage((query as ReturnType<typeof users>).select('users.id'), { unique: 'users.id' })
      expect(found, name).toMatchObject({
        access: expect.stringMatching(/^(scan|sort)$/),
        reason: expect.stringMatching(/^`\w+` is read whole/),
      })
    }
  })

  it('takes no index of expressions or of parts of columns for one of the columns', async () => {
    await create(`create index users_part on users (${dialect === 'mysql' ? 'name(3)' : 'lower(name)'}, id)`)
    expect(await explainPage(users(db), { by: ['name' as never], unique: 'id' })).toMatchObject({
      access: 'sort',
      index: expect.stringContaining(quoted('("name", "id")')),
    })
  })

  it.runIf(dialect === 'postgres')('takes no index without an order for one that serves', async () => {
    await create('create index users_brin on users using brin (created_at, id)')
    expect(await explainPage(users(db), { by: ['created_at' as never], unique: 'id' })).toMatchObject({
      access: 'sort',
      index: expect.stringContaining('("created_at", "id")'),
    })
  })

  it('takes `is true` for an equality where an index does', async () => {
    const query = users(db).where('active', 'is', true)
    const options = { by: ['name' as never], unique: 'id' }
    const { index, reason } = await explainPage(query, options)
    if (dialect !== 'postgres') return expect(reason).toMatch(/filter/)
    expect(index).toContain('"users" ("active", "name", "id")')
    await create(index as string)
    await expectSeek(query, options)
  })

  it.runIf(dialect === 'sqlite')('takes `is` for an equality', async () => {
    const query = users(db).where('team_id', 'is', 7)
    const options = { by: ['name' as never], unique: 'id' }
    const { index } = await explainPage(query, options)
    expect(index).toContain('"users" ("team_id", "name", "id")')
    await create(index as string)
    await expectSeek(query, options)
  })

  it('reads the plan, whether it comes parsed or as text', async () => {
    const asText: KyselyPlugin = {
      transformQuery: ({ node }) => node,
      async transformResult({ result }) {
        const text = (value: unknown) => (typeof value === 'object' && value !== null ? JSON.stringify(value) : value)
        const rows = result.rows.map((row) => Object.entries(row).map(([name, value]) => [name, text(value)]))
        return { ...result, rows: rows.map((entries) => Object.fromEntries(entries)) }
      },
    }
    const options = { by: ['name' as never], unique: 'id' }
    const expected = await explainPage(users(db), options)
    for (const plugin of [asText, new ParseJSONResultsPlugin()]) {
      expect(await explainPage(users(db.withPlugin(plugin)), options)).toEqual(expected)
    }
  })

  it('explains inside a transaction, what it alone can see', async () => {
    await db.transaction().execute(async (trx) => {
      const query = trx.selectFrom('users').selectAll()
      expect(await explainPage(query, { unique: 'id' })).toMatchObject({ access: 'seek' })
    })
  })

  it('takes a parsed query, and cursors that are signed', async () => {
    const list = listQuery({ sort: { name: 'name' }, defaultSort: 'name', filter: { role: oneOf(...roles) } })
    const { cursorPaginate, explainPage, expectSeek } = createPaginator({ secret: 'x'.repeat(32) })
    const q = list.parse('role=admin')
    const query = users(db).where('role', '=', q.filter.role)
    const options = { ...q, by: q.by as never[], unique: 'id' }
    const { index } = await explainPage(query, options)
    await create(index as string)
    await expectSeek(query, options)
    const { next } = (await cursorPaginate(query, options)).pagination
    expect(await explainPage(query, { ...options, after: next })).toMatchObject({ access: 'seek' })
    await expect(explainPage(query, { ...options, after: 'x' })).rejects.toMatchObject({ code: 'ERR_CURSOR_INVALID' })
  })

  it('runs no statement of the page unless it is asked to count', async () => {
    opened.statements()
    await explainPage(users(db), { by: ['name' as never], unique: 'id' })
    const sent = opened.statements().filter((statement) => !statement.includes('phc'))
    expect(sent).toEqual([expect.stringMatching(/^explain /)])
  })

  it.runIf(countsRows)('counts the rows that are read, those that are thrown away included', async () => {
    const found = await explainPage(users(db), { by: ['name' as never], unique: 'id', analyze: true })
    expect(found.access).toBe('sort')
    expect(found.rowsRead).toBeGreaterThanOrEqual(rows)
  })

  it.runIf(countsRows)('counts nothing where nothing is read', async () => {
    const query = db.selectFrom('users').innerJoin('teams', 'teams.id', 'users.team_id').select('users.id')
    const found = await explainPage(query.where('users.id', '<', 0), { unique: 'users.id', analyze: true })
    expect(found.rowsRead).toBe(0)
  })

  it.runIf(dialect === 'postgres')(
    'tells that rows which are locked cannot be sought from several places',
    async () => {
      const query = users(db).forUpdate()
      const options = { by: ['name desc', 'created_at'] as never[], unique: 'id' }
      expect(await explainPage(query, options)).toMatchObject({ access: 'sort', reason: 'it locks its rows' })
      await db.transaction().execute(async (trx) => {
        const locked = users(trx).forUpdate()
        const { pagination } = await cursorPaginate(locked, { ...options, perPage: 3 })
        const { items } = await cursorPaginate(locked, { ...options, perPage: 3, after: pagination.next })
        const ordered = users(trx).orderBy('name', 'desc').orderBy('created_at').orderBy('id')
        expect(items).toEqual(await ordered.limit(3).offset(3).execute())
      })
    },
  )

  it.runIf(dialect === 'postgres')('declares where NULLs stand, computed keys and the schema', async () => {
    const lower = { expr: sql`lower(${sql.ref('users.name')} || ${'x'})`, dir: 'desc', nulls: 'never' }
    const keys: [object, string][] = [
      [{ key: 'score', dir: 'desc', nulls: 'last' }, '("score" desc nulls last, "id" desc)'],
      [lower, '((lower("name" || \'x\')) desc, "id" desc)'],
    ]
    for (const [key, columns] of keys) {
      const options = { by: [key] as never[], unique: 'id' }
      const { index } = await explainPage(users(db), options)
      expect(index).toContain(columns)
      await create(index as string)
      await expectSeek(users(db), options)
    }
    const [{ schema }] = (await sql<{ schema: string }>`select current_schema() as schema`.execute(db)).rows as [
      { schema: string },
    ]
    const { index } = await explainPage(db.withSchema(schema).selectFrom('users').selectAll(), {
      by: ['name' as never],
      unique: 'id',
    })
    expect(index).toContain(`on "${schema}"."users" ("name", "id")`)
  })

  it.runIf(dialect === 'postgres')('names no index for an order that the request gives as a list', async () => {
    const listed = sql`array_position(${['b', 'a']}::text[], name::text)`
    const options = { by: [{ expr: listed, nulls: 'last' }] as never[], unique: 'id' }
    expect(await explainPage(users(db), options)).toMatchObject({
      access: 'sort',
      reason: expect.stringMatching(/list/),
    })
  })

  it.runIf(dialect !== 'mysql')('knows a partial index whose condition is the filter', async () => {
    await create('create index users_alive on users (name, id) where deleted_at is null')
    const query = users(db).where('deleted_at', 'is', null)
    await expectSeek(query, { by: ['name' as never], unique: 'id' })
    expect(await explainPage(users(db), { by: ['name' as never], unique: 'id' })).toMatchObject({ access: 'sort' })
  })

  it.runIf(dialect !== 'postgres')('names no index for what indexes of this database do not have', async () => {
    const wrong = { by: [{ key: 'score', nulls: 'last' }] as never[], unique: 'id' }
    expect((await explainPage(users(db), wrong)).reason).toMatch(/NULLs/)
    const computed = { by: [{ expr: sql`lower(name)`, nulls: 'never' }] as never[], unique: 'id' }
    expect((await explainPage(users(db), computed)).reason).toMatch(/computed/)
  })
})

describe('explainPage', () => {
  it('refuses what the page itself refuses, and SQL Server', async () => {
    const { db, close } = await (engines[0] as (typeof engines)[number]).open()
    await sql`create table t (id integer primary key)`.execute(db)
    const query = db.selectFrom('t').selectAll()
    await expect(explainPage(query, { unique: 'id', page: 2, after: 'x' })).rejects.toMatchObject({
      code: 'ERR_PAGE_INVALID',
    })
    await expect(explainPage(query, { unique: 'id', perPage: 0 })).rejects.toMatchObject({ code: 'ERR_PAGE_INVALID' })
    await expect(explainPage(query, { unique: 'id', dialect: 'mssql' })).rejects.toMatchObject({
      code: 'ERR_QUERY_UNSUPPORTED',
    })
    await expectSeek(query, { unique: 'id' })
    await expectSeek(query, { unique: 'id', page: null, perPage: 200, maxPerPage: 200 })
    await close()
  })

  // Documents as the manual shows them (8.4, section 10.8.2, JSON format version 1).
  it.each([
    [{ using_filesort: true, table: { access_type: 'ALL', rows_examined_per_scan: 30_000 } }, 'sort'],
    [{ using_filesort: false, table: { access_type: 'index', key: 'right', rows_examined_per_scan: 11 } }, 'seek'],
    [{ using_filesort: false, table: { access_type: 'index', key: 'wrong', rows_examined_per_scan: 11 } }, 'seek'],
    [{ using_filesort: false, table: { access_type: 'ALL', rows_examined_per_scan: 30_000 } }, 'scan'],
  ])('reads the plan of MySQL: %j', async ({ table, ...ordering }, access) => {
    const operation = { ...ordering, table: { table_name: 'users', ...table } }
    const plan = JSON.stringify({ query_block: { select_id: 1, ordering_operation: operation } })
    const column = (name: string, at: number, col: string) => ({ name, at, col, dir: 'A', bytes: 5_000_000 })
    const indexes = [column('right', 1, 'name'), column('right', 2, 'id'), column('wrong', 1, 'name')]
    const connection = {
      query(sql: string, _parameters: unknown, done: (error: unknown, rows: object[]) => void) {
        if (sql.startsWith('explain')) done(undefined, [{ EXPLAIN: plan }])
        else if (sql.includes('posthasted1'))
          done(undefined, [{ posthasted0: 1, posthasted1: 'app', posthasted2: '8.4.6' }])
        else done(undefined, sql.includes('version()') ? [{ version: '8.4.6' }] : indexes)
      },
      release() {},
    }
    const pool = { getConnection: (give: (error: unknown, one: unknown) => void) => give(undefined, connection) }
    const db: Untyped = new Kysely({ dialect: new MysqlDialect({ pool: pool as never }) })
    const found = await explainPage(db.selectFrom('users').selectAll(), { by: ['name'], unique: 'id', analyze: true })
    expect(found.access).toBe(access)
    expect(found).not.toHaveProperty('rowsRead')
  })
})
