import { AsyncLocalStorage } from 'node:async_hooks'
import { setImmediate as nextTurn } from 'node:timers/promises'
import * as kysely from 'kysely'
import {
  CamelCasePlugin,
  CompiledQuery,
  Kysely,
  PostgresDialect,
  type PostgresDialectConfig,
  type RawBuilder,
  sql,
} from 'kysely'
import pg from 'pg'
import {
  expectQueries,
  type InstrumentOptions,
  type QueryEvent,
  queryReport,
  tunePgPool,
  withQueryScope,
} from 'posthaste'
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { freePort, hasPgbouncer, startPgbouncer } from '../../support/servers.ts'
import { services } from '../../support/services.ts'
import { open, postgresTables, type Watched } from './support/databases.ts'
import { expectSameResults } from './support/differential.ts'
import { commonShapes, postgresShapes, type Tables } from './support/shapes.ts'

const schema = `auto_batch_${process.pid}`
const role = `${schema}_tenant`
const ids = (count: number) => Array.from({ length: count }, (_, index) => index + 1)

interface Account {
  id: number
  tenant: number
}

// Thousands of queries: on a busy machine they take a while.
vi.setConfig({ testTimeout: 120_000 })

describe.skipIf(!services.postgres)('autoBatch on PostgreSQL', () => {
  let admin: pg.Client

  beforeAll(async () => {
    admin = new pg.Client(services.postgres)
    await admin.connect()
    await admin.query(`
      create schema ${schema}; create schema ${schema}_b; set search_path to ${schema};
      ${postgresTables}
      create table ${schema}_b.city (id int primary key, name text);
      insert into ${schema}_b.city select i, 'other ' || i from generate_series(1, 24) i;
      create sequence counter;
      create function tick(int) returns bigint language sql volatile as 'select nextval(''${schema}.counter'') + $1';
      create function nap(float8) returns boolean language plpgsql stable as 'begin perform pg_sleep($1); return true; end';
      create function calm(int) returns int language sql stable as 'select $1 + 1';
      create view ticking as select id, tick(id) as t from city;
      create view above as select * from ticking;
      create table account (id int, tenant int);
      insert into account select i, i % 3 from generate_series(1, 30) i;
      create role ${role} login;
      grant usage on schema ${schema} to ${role}; grant select on all tables in schema ${schema} to ${role};
      alter table account enable row level security;
      create policy own on account using (tenant = current_setting('app.tenant', true)::int);
      create table audited (id int);
      insert into audited select generate_series(1, 9);
      grant select on audited to ${role}; grant usage on sequence counter to ${role};
      alter table audited enable row level security;
      create policy loud on audited using (tick(id) > 0);
      create table numbered (id int, posthasten int);
      insert into numbered values (1, 7), (2, 7);
    `)
  })

  afterAll(async () => {
    await admin.query(`drop schema ${schema} cascade; drop schema ${schema}_b cascade; drop role ${role}`)
    await admin.end()
  })

  const url = (user = 'postgres') => `${services.postgres?.replace(/postgres@/, `${user}@`)}`

  function connect(
    options: InstrumentOptions = {},
    config: Partial<PostgresDialectConfig> = {},
    user?: string,
    tune = (pool: pg.Pool) => pool,
  ) {
    const pool = tune(
      new pg.Pool({
        connectionString: url(user),
        max: 10,
        application_name: schema,
        options: `-c search_path=${schema}`,
      }),
    )
    pool.on('error', () => {})
    const dialect = new PostgresDialect({ pool, ...config })
    return { ...open<Tables & { account: Account }>(dialect, options), pool, dialect }
  }
  const lookups = ({ db }: Pick<Watched<Tables>, 'db'>, numbers: readonly number[]) =>
    Promise.all(numbers.map((id) => db.selectFrom('city').select(['id', 'name']).where('id', '=', id).execute()))
  const rowsOf = (numbers: readonly number[]) => numbers.map((id) => (id > 24 ? [] : [{ id, name: `city ${id}` }]))

  it('gives the results of separate queries, for random sets of them', async () => {
    const { db } = connect()
    const separate = new Kysely<Tables>({ dialect: connect().dialect })
    await expectSameResults(db, separate, [...commonShapes, ...postgresShapes])
    const { queries, statements } = queryReport(db).autoBatch
    expect(queries).toBeGreaterThan(300)
    expect(statements).toBeLessThan(queries / 2)
  })

  it('gives the same results with named statements', async () => {
    const { db } = connect({ statementCache: 50 })
    const separate = new Kysely<Tables>({ dialect: connect().dialect })
    await expectSameResults(db, separate, [...commonShapes, ...postgresShapes], { runs: 25, seed: 2 })
  })

  it.skipIf(!hasPgbouncer())('gives the same results behind PgBouncer in transaction mode', async () => {
    const bouncer = await startPgbouncer(services.postgres as string, ['default_pool_size = 2'])
    onTestFinished(() => bouncer.stop())
    const pool = () => new pg.Pool({ connectionString: bouncer.url, max: 10 })
    const { db } = open<Tables>(new PostgresDialect({ pool: pool() }))
    const separate = new Kysely<Tables>({ dialect: new PostgresDialect({ pool: pool() }) })
    onTestFinished(() => separate.destroy())
    await expectSameResults(db.withSchema(schema), separate.withSchema(schema), commonShapes, { runs: 20, seed: 3 })
    expect(queryReport(db).autoBatch.queries).toBeGreaterThan(150)
  })

  it('sends a hundred lookups as one statement on one connection, from the first turn on', async () => {
    const watched = connect()
    expect(await lookups(watched, ids(100))).toEqual(rowsOf(ids(100)))
    expect(watched.events).toMatchObject([
      { lookups: 100, rows: 24, shape: 'select "id", "name" from "city" where "id" = ?', tables: ['city'] },
    ])
    expect(watched.pool.totalCount).toBe(1)
    expect(queryReport(watched.db).autoBatch).toEqual({
      queries: 100,
      statements: 1,
      shapes: [{ shape: 'select "id", "name" from "city" where "id" = ?', queries: 100, statements: 1 }],
    })
  })

  it('counts a joined statement once among slow queries, under the shape of its lookups, and explains the whole', async () => {
    const onSlow = vi.fn()
    const watched = connect({ slow: '0ms', explain: 'plan', onSlow })
    await lookups(watched, ids(100))
    const [slow, ...others] = queryReport(watched.db).slow
    expect(others).toEqual([])
    expect(slow).toMatchObject({ shape: 'select "id", "name" from "city" where "id" = ?', lookups: 100, rows: 24 })
    expect(onSlow).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ lookups: 100 }))
    expect(queryReport(watched.db).queries).toMatchObject([{ shape: slow?.shape, count: 1 }])
    await expect.poll(() => queryReport(watched.db).slow[0]?.plan).toMatch(/Function Scan on .*posthaste_p/)
    await lookups(watched, [1])
    expect(queryReport(watched.db).slow[0]).not.toHaveProperty('lookups')
  })

  it('takes one connection for a thousand lookups, and no statement larger than maxBatch', async () => {
    const watched = connect({ autoBatch: { maxBatch: 400 } })
    expect(await lookups(watched, ids(1_000))).toEqual(rowsOf(ids(1_000)))
    expect(watched.events.map(({ lookups }) => lookups)).toEqual([400, 400, 200])
    expect(watched.pool.totalCount).toBe(1)
    expect(watched.pool.waitingCount).toBe(0)
  })

  it('waits for all promise jobs of the turn, and for nothing else', async () => {
    const watched = connect()
    const one = (id: number) => lookups(watched, [id])
    const late = async (id: number, awaits: number) => {
      for (let count = 0; count < awaits; count += 1) await undefined
      return one(id)
    }
    await one(1)
    await Promise.all(ids(20).map((id) => late(id, id)))
    await Promise.all([one(1), nextTurn().then(() => one(2))])
    expect(watched.events.map(({ lookups }) => lookups)).toEqual([undefined, 20, undefined, undefined])
  })

  it('leaves a lone query as it is', async () => {
    const watched = connect()
    const compiled = watched.db.selectFrom('city').select(['id', 'name']).where('id', '=', 3).compile()
    for (const id of ids(3)) await lookups(watched, [id])
    expect(watched.events.map(({ sql, lookups }) => ({ sql, lookups }))).toEqual(
      ids(3).map(() => ({ sql: compiled.sql, lookups: undefined })),
    )
  })

  it('fails only the guilty lookup, with its own error', async () => {
    const { db } = connect()
    const wrong = ['1', 'x', '2', '99999999999']
    const found = await Promise.allSettled(
      wrong.map((id) => db.selectFrom('city').select('name').where('id', '=', id).executeTakeFirstOrThrow()),
    )
    expect(found).toMatchObject([
      { value: { name: 'city 1' } },
      { reason: { code: '22P02', message: 'invalid input syntax for type integer: "x"' } },
      { value: { name: 'city 2' } },
      { reason: { code: '22003' } },
    ])
    // A missing table is everyone's error.
    const missing = [1, 2].map((id) =>
      db
        .selectFrom('nowhere' as 'city')
        .selectAll()
        .where('id', '=', id)
        .execute(),
    )
    expect(await Promise.allSettled(missing)).toMatchObject([
      { reason: { code: '42P01' } },
      { reason: { code: '42P01' } },
    ])
  })

  it.each<[string, (value: string) => RawBuilder<unknown>]>([
    ['a function', (value) => sql`founded >= make_date(2024, ${value}, 1)`],
    ['a division', (value) => sql`id > 10 / ${value}::int`],
    ['an overflow', (value) => sql`id > 2147483600 + ${value}::int`],
    ['a second cast', (value) => sql`id = ${value}::text::int`],
    ['a function of casts', (value) => sql`id = cast(cast(${value} as text) as int)`],
    ['a precision', (value) => sql`area > ${value}::numeric(2, 1)`],
    ['a pattern', (value) => sql`name ~ ${value}`],
    ['another pattern', (value) => sql`name similar to ${value}`],
    ['a list', (value) => sql`id = any(string_to_array(${value}, ',')::int[])`],
    ['a derived table', (value) => sql`id = (select x::int from (select ${value}::text as x) as s)`],
    ['a case', (value) => sql`id = case when id > 5 then 10 / ${value}::int else 1 end`],
    ['an interval', (value) => sql`seen > timestamptz '2020-01-01' - (${value} || ' days')::interval`],
  ])('gives the errors of separate queries for bad values in %s, where no row is read', async (_name, condition) => {
    const { db } = connect()
    const separate = new Kysely<Tables>({ dialect: connect().dialect })
    onTestFinished(() => separate.destroy())
    const outcome = async (on: Kysely<Tables>, id: number, value: string) => {
      const query = on.selectFrom('city').select('id').where('id', '=', id)
      const found = query.where(condition(value) as RawBuilder<boolean>).execute()
      return found.catch(({ code }: { code: string }) => code)
    }
    for (const bad of ['0', '13', '99', 'x', '(', '', '2147483647']) {
      const lookups = [
        { id: 1, value: '1' },
        { id: 1_000, value: bad },
        { id: 2, value: '2' },
        { id: 1_001, value: '2' },
      ]
      const joined = await Promise.all(lookups.map(({ id, value }) => outcome(db, id, value)))
      const alone = []
      for (const { id, value } of lookups) alone.push(await outcome(separate, id, value))
      expect(joined).toEqual(alone)
    }
  })

  it('answers with whole results, and through plugins', async () => {
    const { db } = connect()
    const query = (id: number, on: Kysely<Tables>) =>
      on.selectFrom('item').select(['id', 'city_id']).where('id', '=', id)
    const plain = [1, 2].map((id) => db.executeQuery(query(id, db)))
    const camel = db.withPlugin(new CamelCasePlugin())
    const renamed = [1, 2].map((id) => query(id, camel).execute())
    expect(await Promise.all(plain)).toStrictEqual([
      { numAffectedRows: undefined, rows: [{ id: 1, city_id: 1 }] },
      { numAffectedRows: undefined, rows: [{ id: 2, city_id: 2 }] },
    ])
    expect(await Promise.all(renamed)).toStrictEqual([[{ id: 1, cityId: 1 }], [{ id: 2, cityId: 2 }]])
  })

  it('keeps schemas apart', async () => {
    const { db } = connect()
    const other = db.withSchema(`${schema}_b`)
    const name = (on: typeof db, id: number) =>
      on.selectFrom('city').select('name').where('id', '=', id).executeTakeFirst()
    expect(await Promise.all([name(db, 1), name(other, 1), name(db, 2), name(other, 2)])).toEqual(
      ['city 1', 'other 1', 'city 2', 'other 2'].map((name) => ({ name })),
    )
  })

  it('runs transactions and savepoints on their own connection', async () => {
    const watched = connect()
    const { db, events } = watched
    const rename = (trx: typeof db) => trx.updateTable('city').set({ note: 'mine' }).where('id', '=', 1).execute()
    const notes = (on: typeof db) =>
      Promise.all([1, 1].map((id) => on.selectFrom('city').select('note').where('id', '=', id).executeTakeFirst()))
    const rolledBack = db.transaction().execute(async (trx) => {
      await rename(trx)
      expect(await notes(trx)).toEqual([{ note: 'mine' }, { note: 'mine' }])
      expect(await notes(db)).toEqual([{ note: 'note 1' }, { note: 'note 1' }])
      throw new Error('undo')
    })
    await expect(rolledBack).rejects.toThrow('undo')
    const trx = await db.startTransaction().execute()
    const saved = await trx.savepoint('here').execute()
    await rename(saved)
    await saved.rollbackToSavepoint('here').execute()
    expect(await notes(trx)).toEqual([{ note: 'note 1' }, { note: 'note 1' }])
    await trx.rollback().execute()
    expect(events.filter(({ inTransaction, lookups }) => inTransaction && lookups !== undefined)).toEqual([])
    expect(watched.pool.idleCount).toBe(watched.pool.totalCount)
  })

  it('never joins across db.connection(), whose session may be set up', async () => {
    const { db, events } = connect()
    const session = (on: typeof db) =>
      on
        .selectFrom('city')
        .select(sql<string>`current_setting('app.who', true)`.as('who'))
        .where('id', '=', 1)
        .executeTakeFirst()
    const mine = db.connection().execute(async (connection) => {
      const first = await session(connection)
      await sql`set app.who to 'me'`.execute(connection)
      return [first, ...(await Promise.all([session(connection), session(connection)]))]
    })
    const [inside, ...outside] = await Promise.all([mine, session(db), session(db)])
    expect(inside.slice(1)).toEqual([{ who: 'me' }, { who: 'me' }])
    expect(outside.map((row) => row?.who ?? '')).toEqual(['', ''])
    expect(events.filter(({ lookups }) => lookups !== undefined)).toMatchObject([{ lookups: 2 }])
    await db.connection().execute((connection) => sql`reset app.who`.execute(connection))
  })

  describe('with row-level security, set when a connection is taken', () => {
    const tenants = new AsyncLocalStorage<number>()
    const onReserveConnection: PostgresDialectConfig['onReserveConnection'] = async (connection) => {
      const tenant = String(tenants.getStore() ?? -1)
      await connection.executeQuery(CompiledQuery.raw(`select set_config('app.tenant', $1, false)`, [tenant]))
    }
    const account = (db: Kysely<{ account: Account }>, id: number) =>
      db.selectFrom('account').select(['id', 'tenant']).where('id', '=', id).execute()
    const seen = (tenant: number, id: number) => (id % 3 === tenant ? [{ id, tenant }] : [])
    // Without the statements of the hook.
    const joinedCounts = (events: readonly QueryEvent[]) =>
      events.filter(({ tables }) => tables.includes('account')).map(({ lookups }) => lookups)
    const connectTenants = () => connect({}, { onReserveConnection }, role)

    it.each([
      ['in no scope', (_: number, fn: () => Promise<void>) => fn()],
      [
        'in a scope for each request',
        (tenant: number, fn: () => Promise<void>) => withQueryScope(`tenant ${tenant}`, fn),
      ],
    ])('shows each request its own rows only, %s', async (_name, scoped) => {
      const { db, events } = connectTenants()
      for (let round = 0; round < 3; round += 1) {
        await Promise.all(
          [0, 1, 2].map((tenant) =>
            tenants.run(tenant, () =>
              scoped(tenant, async () => {
                const found = await Promise.all(ids(9).map((id) => account(db, id)))
                expect(found).toEqual(ids(9).map((id) => seen(tenant, id)))
                expect(tenants.getStore()).toBe(tenant)
              }),
            ),
          ),
        )
      }
      // Later rounds may run separately, when the machine is busy: joined statements are compared with separate ones then.
      expect(joinedCounts(events).slice(0, 3)).toEqual([9, 9, 9])
    })

    it('keeps tenants apart within one scope, and requests within one turn', async () => {
      const { db, events } = connectTenants()
      const pairs = ids(12).map((id) => ({ id, tenant: id % 2 }))
      const find = () => Promise.all(pairs.map(({ id, tenant }) => tenants.run(tenant, () => account(db, id))))
      const expected = pairs.map(({ id, tenant }) => seen(tenant, id))
      expect(await withQueryScope('report', find)).toEqual(expected)
      expect(await find()).toEqual(expected)
      expect(joinedCounts(events).slice(0, 2)).toEqual([6, 6])
    })

    it('sees policies that call a volatile function', async () => {
      const { db } = connectTenants()
      const counted = db as unknown as Kysely<{ audited: { id: number } }>
      await Promise.all([1, 2].map((id) => counted.selectFrom('audited').selectAll().where('id', '=', id).execute()))
      expect(queryReport(db).autoBatch.shapes[0]?.refused).toMatch(/volatile: .*\btick\b/)
    })
  })

  it('joins lookups that differ in the trace only', async () => {
    const contexts = new AsyncLocalStorage<unknown>()
    const span = () => ({ getValue() {}, setValue() {}, deleteValue() {} })
    const watched = connect()
    const traced = [1, 2, 3].map((id) => contexts.run(span(), () => lookups(watched, [id])))
    expect((await Promise.all(traced)).flat()).toEqual(rowsOf([1, 2, 3]))
    expect(watched.events).toMatchObject([{ lookups: 3 }])
  })

  it('keeps query scopes apart, and counts one statement in each', async () => {
    const watched = connect()
    await Promise.all(
      ['a', 'b'].map((name) =>
        withQueryScope(name, async () => void (await lookups(watched, ids(7))), { maxQueries: 1 }),
      ),
    )
    expect(watched.events.map(({ scope, lookups }) => [scope, lookups]).sort()).toEqual([
      ['a', 7],
      ['b', 7],
    ])
    await expectQueries(() => lookups(watched, ids(30)), { max: 1 })
    expect(queryReport(watched.db).nPlusOne).toEqual([])
    expect(queryReport(watched.db).queries).toMatchObject([{ count: 3, rows: 38 }])
  })

  describe('refuses, and says why', () => {
    const refusals: [string, (db: Kysely<Tables>, id: number) => { execute(): Promise<unknown> }, RegExp][] = [
      ['a lock', (db, id) => db.selectFrom('city').select('id').where('id', '=', id).forUpdate(), /'for'/],
      [
        'a volatile function',
        (db, id) => db.selectFrom('city').select(sql`tick(id)`.as('t')).where('id', '=', id),
        /volatile: tick/,
      ],
      [
        'an argument of a function that differs',
        (db, id) => db.selectFrom('city').select(sql`calm(${id}::int)`.as('t')).where('id', '=', id),
        /differ in a value/,
      ],
      [
        'random()',
        (db, id) => db.selectFrom('city').select('id').where('id', '=', id).orderBy(sql`random()`),
        /volatile: random/,
      ],
      [
        'a view on a view that calls one',
        (db, id) =>
          db
            .selectFrom('above' as 'city')
            .select('id')
            .where('id', '=', id),
        /volatile: .*tick/,
      ],
      [
        'a CTE that writes',
        (db, id) =>
          db
            .with('x', (d) => d.updateTable('city').set({ note: 'x' }).where('id', '=', -1).returning('id'))
            .selectFrom('x')
            .selectAll()
            .where('id', '=', id),
        /'update'|'returning'/,
      ],
      [
        'a comment',
        (db, id) =>
          db
            .selectFrom('city')
            .select(sql`1 /* ${sql.raw('x')} */`.as('one'))
            .where('id', '=', id),
        /comment/,
      ],
      [
        'a backslash string',
        (db, id) => db.selectFrom('city').select(sql`E'\\'' || '$1'`.as('one')).where('id', '=', id),
        /backslash/,
      ],
      [
        'a column with our name',
        (db, id) =>
          db
            .selectFrom('numbered' as 'city')
            .selectAll()
            .where('id', '=', id),
        /column posthasten/,
      ],
      [
        'a sample',
        (db, id) =>
          db
            .selectFrom(sql<{ id: number }>`city tablesample bernoulli (100)`.as('s') as never)
            .selectAll()
            .where('id' as never, '=', id as never),
        /'tablesample'/,
      ],
    ]

    it.each(refusals)('%s', async (_name, query, reason) => {
      const { db, events } = connect()
      await Promise.allSettled([1, 2, 3].map((id) => query(db, id).execute()))
      expect(events.map(({ lookups }) => lookups)).toEqual([undefined, undefined, undefined])
      expect(queryReport(db).autoBatch).toMatchObject({
        queries: 0,
        statements: 0,
        shapes: [{ refused: expect.stringMatching(reason) }],
      })
    })

    it('and joins stable functions', async () => {
      const { db, events } = connect()
      const query = (id: number) =>
        db.selectFrom('city').select(sql`calm(id)`.as('next')).where('id', '=', id).executeTakeFirst()
      expect(await Promise.all([1, 2].map(query))).toEqual([{ next: 2 }, { next: 3 }])
      expect(events).toMatchObject([{ lookups: 2 }])
    })
  })

  it('leaves skewed and heavy shapes alone before it has joined them once', async () => {
    await admin.query(`
      create table skewed (id int primary key, status int, v int);
      insert into skewed select i, case when i % 100 = 0 then i / 100 else -1 end, (i::bigint * 7919) % 100000 from generate_series(1, 100000) i;
      create index on skewed (v); create index on skewed (status); analyze skewed`)
    const { db, events } = connect()
    const skewed = db as unknown as Kysely<{ skewed: { id: number; status: number; v: number } }>
    const first = (status: number) =>
      skewed.selectFrom('skewed').select('id').where('status', '=', status).orderBy('v').limit(3).execute()
    const count = (v: number) =>
      skewed
        .selectFrom('skewed as a')
        .innerJoin('skewed as b', 'b.status', 'a.status')
        .select((e) => e.fn.countAll().as('n'))
        .where('a.v', '<', v)
        .where('a.status', '>', 0)
        .execute()
    await Promise.all([10, 11, 12].map(first))
    await Promise.all([50, 51, 52].map(count))
    expect(events.map(({ lookups }) => lookups)).toEqual(Array(6).fill(undefined))
    expect(queryReport(db).autoBatch.shapes.map(({ refused }) => refused)).toEqual([
      expect.stringMatching(/depends on the values/),
      expect.stringMatching(/saves nothing/),
    ])
  })

  it('does not let one wrong value speak for a shape', async () => {
    const { db, events } = connect()
    const find = (id: unknown) => db.selectFrom('city').select('name').where('id', '=', id).executeTakeFirst()
    await Promise.allSettled(['x', 1, 2].map(find))
    await Promise.all([1, 2, 3].map(find))
    expect(events.at(-1)).toMatchObject({ lookups: 3 })
  })

  it('calls a volatile function once for each query', async () => {
    const { db } = connect()
    const before = await admin.query(`select last_value from ${schema}.counter`)
    await Promise.all(
      ids(5).map((id) => db.selectFrom('city').select(sql`tick(id)`.as('t')).where('id', '=', id).execute()),
    )
    const after = await admin.query(`select last_value from ${schema}.counter`)
    expect(Number(after.rows[0].last_value) - Number(before.rows[0].last_value)).toBeGreaterThanOrEqual(4)
    expect(Number(after.rows[0].last_value) - Number(before.rows[0].last_value)).toBeLessThanOrEqual(5)
  })

  it('leaves no prepared statement and no open transaction behind', async () => {
    const { db } = connect()
    await lookups({ db }, ids(5))
    await Promise.allSettled(
      [1, 2].map((id) =>
        db
          .selectFrom('nowhere' as 'city')
          .selectAll()
          .where('id', '=', id)
          .execute(),
      ),
    )
    const { rows } = await sql`select name from pg_prepared_statements`.execute(db)
    expect(rows).toEqual([])
    const { rows: activity } = await admin.query(
      `select count(*)::int as open from pg_stat_activity where state like 'idle in transaction%' and application_name = '${schema}'`,
    )
    expect(activity).toEqual([{ open: 0 }])
  })

  it('cancels one lookup that takes longer than the timeout, and answers the others', async () => {
    const { db } = connect({ timeout: '500ms' })
    const slow = (seconds: number) =>
      db
        .selectFrom('city')
        .select(sql`pg_typeof(pg_sleep(${seconds}::float8))::text`.as('slept'))
        .where('id', '=', 1)
        .execute()
    const found = await Promise.allSettled([slow(0), slow(3), slow(0)])
    expect(found.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    const lookup = (seconds: number) =>
      db.selectFrom('city').select('id').where('id', '=', 1).where(sql<boolean>`nap(id * ${seconds}::float8)`).execute()
    const joined = await Promise.allSettled([lookup(0), lookup(3), lookup(0.001)])
    expect(joined).toMatchObject([
      { value: [{ id: 1 }] },
      { reason: { code: 'ERR_QUERY_TIMEOUT' } },
      { value: [{ id: 1 }] },
    ])
    expect(queryReport(db).autoBatch.shapes.find(({ shape }) => shape.includes('nap'))?.refused).toMatch(/timeout/)
  })

  it('answers the others when one lookup is given up, and cancels only a query of its own', async ({ skip }) => {
    if (!('PGliteDialect' in kysely)) return skip('Kysely takes a signal since 0.29')
    const watched = connect()
    const { db } = watched
    // On a busy machine, a connection that is opened now may take longer than the abort waits.
    for (const client of await Promise.all([watched.pool.connect(), watched.pool.connect()])) client.release()
    const abort = new AbortController()
    const slow = (options?: object) =>
      db
        .selectFrom('city')
        .select('id')
        .where('id', '=', 1)
        .where(sql<boolean>`nap(id * 0.3)`)
        .execute(options as never)
    const given = slow({ signal: abort.signal })
    const others = [slow(), slow()]
    const cancelled = slow({ signal: abort.signal, inflightQueryAbortStrategy: 'cancel query' })
    setTimeout(() => abort.abort(new Error('gone')), 100)
    await expect(given).rejects.toThrow()
    await expect(cancelled).rejects.toThrow()
    expect(await Promise.all(others)).toEqual([[{ id: 1 }], [{ id: 1 }]])
    await expect.poll(() => watched.pool.idleCount === watched.pool.totalCount).toBe(true)
    expect(watched.events.map(({ lookups }) => lookups).sort()).toEqual([3, undefined])
  })

  it('runs lookups again when their connection is lost, and does not blame their shape', async () => {
    const watched = connect({}, {}, undefined, tunePgPool)
    await lookups(watched, ids(3))
    const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(watched.db)
    const nap = (id: number) =>
      watched.db.selectFrom('city').select('id').where('id', '=', id).where(sql<boolean>`nap(id * 0.3)`).execute()
    const waiting = Promise.allSettled([1, 2, 3].map(nap))
    const isRunning = async () => {
      const active = await admin.query(`select query from pg_stat_activity where pid = $1 and state = 'active'`, [
        rows[0]?.pid,
      ])
      return active.rows[0]?.query.includes('cross join lateral')
    }
    await expect.poll(isRunning, { interval: 5 }).toBe(true)
    await admin.query('select pg_terminate_backend($1)', [rows[0]?.pid])
    // The pool may hand the dying connection out once more.
    expect((await waiting).filter(({ status }) => status === 'fulfilled').length).toBeGreaterThanOrEqual(2)
    expect(queryReport(watched.db).autoBatch.shapes.map(({ refused }) => refused)).toEqual([undefined, undefined])
  })

  it('gives a connection that cannot be had as the error of each lookup, and recovers', async () => {
    const pool = new pg.Pool({ connectionString: `postgres://postgres@127.0.0.1:${await freePort()}/postgres` })
    const { db } = open<Tables>(new PostgresDialect({ pool }))
    const found = await Promise.allSettled(ids(3).map((id) => lookups({ db }, [id])))
    expect(found.map((result) => result.status === 'rejected' && result.reason.code)).toEqual(
      ids(3).map(() => 'ECONNREFUSED'),
    )
    expect(pool.waitingCount).toBe(0)
  })

  it.each([
    [{ autoBatch: 1 }, 'Expected `autoBatch` to be a boolean or an object, got `1` (number)'],
    [{ autoBatch: { maxBatch: 1 } }, 'Expected `autoBatch.maxBatch` to be a whole number from 2 up, got `1` (number)'],
    [
      { autoBatch: { maxBatch: 'x' } },
      "Expected `autoBatch.maxBatch` to be a whole number from 2 up, got `'x'` (string)",
    ],
  ])('refuses %j', (options, message) => {
    expect(() => connect(options as never)).toThrow(message)
  })

  it('is off by default', async () => {
    const watched = connect({ autoBatch: undefined })
    await lookups(watched, ids(5))
    expect(watched.events).toHaveLength(5)
    expect(queryReport(watched.db).autoBatch).toEqual({ queries: 0, statements: 0, shapes: [] })
  })
})
