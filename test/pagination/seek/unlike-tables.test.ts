import { sql } from 'kysely'
import { createPaginator, explainPage } from 'posthaste/pagination'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { engines, type Opened, type Untyped } from '../support/engines.ts'
import { idsOf, pagesOf, type Query } from '../support/walking.ts'

const servers = engines.filter(({ dialect }) => dialect === 'mysql')
const pager = createPaginator({ secret: 'a secret', onWarn: () => {} })

/** Columns of one name in two databases, and values whose order differs between the types. */
const types = {
  number: { ddl: 'int', values: ['10', '9', '2', '-1', '2'] },
  exact: { ddl: 'decimal(20, 10)', values: ['10', '9.5', '0.1', '-1', '0.1'] },
  float: { ddl: 'float', values: ['0.1', '1e-7', '0.3', '-1', '0.1'] },
  text: { ddl: 'varchar(20)', values: ["'10'", "'9'", "'b'", "'a'", "'9'"] },
  label: { ddl: "enum('b', '9', '10', 'a')", values: ["'10'", "'9'", "'b'", "'a'", "'9'"] },
  reversed: { ddl: "enum('a', '10', '9', 'b')", values: ["'10'", "'9'", "'b'", "'a'", "'9'"] },
  id: {
    ddl: 'uuid',
    values: [3, 1, 2, 5, 4].map((digit) => `'${String(digit).repeat(8)}-0000-0000-0000-000000000000'`),
  },
  bits: { ddl: 'bit(4)', values: ["b'1010'", "b'1'", "b'0'", "b'11'", "b'1'"] },
}

type Type = keyof typeof types
const names = Object.keys(types) as Type[]
const pairs = names.flatMap((left) => names.filter((right) => right !== left).map((right) => [left, right] as const))

describe.each(servers)('tables of one name that differ on $name', ({ server, available, open }) => {
  let databases: [Opened, Opened]

  beforeAll(async () => {
    if (available) databases = [await open(), await open()]
  })
  afterAll(() => available && Promise.all(databases.map((database) => database.close())), 60_000)

  const create = async ({ db }: Opened, type: Type) => {
    await sql`drop table if exists things`.execute(db)
    await sql.raw(`create table things (id int primary key, k ${types[type].ddl} not null)`).execute(db)
    const rows = types[type].values.map((value, at) => `(${at + 1}, ${value})`)
    await sql.raw(`insert into things values ${rows.join(', ')}`).execute(db)
  }

  const listOf = async (db: Untyped, expr: string) => {
    const rows = await sql<{ id: number }>`select id from things order by ${sql.raw(expr)}, id`.execute(db)
    return rows.rows.map(({ id }) => id)
  }

  async function* idsOfPages(db: Untyped, by: object[]): AsyncGenerator<number[]> {
    const query = db.selectFrom('things').select('id') as Query
    for await (const page of pagesOf(pager, query, { by, unique: 'id', perPage: 1 })) yield idsOf(page)
  }

  const orders = { k: [{ key: 'k' }], 'coalesce(k, k)': [{ expr: sql`coalesce(k, k)`, nulls: 'never' }] }
  // A key that is computed from an ENUM has another order than its comparison.
  const ordersOf = (type: Type) =>
    types[type].ddl.startsWith('enum') ? (['k'] as const) : (['k', 'coalesce(k, k)'] as const)

  it.skipIf(!available)('are known where the session limits the rows of a SELECT', async () => {
    const { db } = databases[0]
    await sql`create table limited (id int primary key, a int, b int, k enum('b', '9', '10', 'a') not null, key (k, id))`.execute(
      db,
    )
    await sql`insert into limited (id, k) values (1, 'a'), (2, 'b'), (3, '9'), (4, '10')`.execute(db)
    await db.connection().execute(async (connection) => {
      await sql`set sql_select_limit = 1`.execute(connection)
      const query = connection.selectFrom('limited').select('id')
      const order = { by: ['k'], unique: 'id' }
      const ids: number[] = []
      for await (const page of pagesOf(pager, query as Query, { ...order, perPage: 1 })) ids.push(...idsOf(page))
      const { access } = await explainPage(query, order)
      await sql`set sql_select_limit = default`.execute(connection)
      expect(ids).toEqual([2, 3, 4, 1])
      expect(access).toBe('seek')
    })
  })

  it.skipIf(!available).each(pairs.filter((pair) => server === 'mariadb' || !pair.includes('id')))(
    'are paged by their own types in two databases at once: %s and %s',
    async (left, right) => {
      const kinds = [left, right] as const
      await Promise.all(databases.map((database, at) => create(database, kinds[at] as Type)))
      for (const order of ordersOf(left).filter((one) => (ordersOf(right) as readonly string[]).includes(one))) {
        const expected = await Promise.all(databases.map(({ db }) => listOf(db, order)))
        // In turn, page by page, and both at the same time.
        const walks = databases.map(({ db }) => idsOfPages(db, orders[order]))
        const seen: number[][] = [[], []]
        for (let step = 0; step < 5; step++) {
          for (const [at, walk] of walks.entries()) seen[at]?.push(...((await walk.next()).value as number[]))
        }
        expect(seen).toEqual(expected)
        const together = await Promise.all(databases.map(({ db }) => Array.fromAsync(idsOfPages(db, orders[order]))))
        expect(together.map((pages) => pages.flat())).toEqual(expected)
      }
    },
  )

  it.skipIf(!available).each([
    ['int', 'bigint'],
    ['int', 'decimal(20, 4)'],
    ['int', 'double'],
    ['decimal(20, 4)', 'double'],
    ['double', 'decimal(20, 4)'],
    ['float', 'double'],
    ['varchar(20)', 'text'],
    ["enum('b', 'a')", "enum('new', 'b', 'a')"],
    ['date', 'datetime(6)'],
  ])('go on when a migration changes %s to %s between two pages', async (before, after) => {
    const [{ db }] = databases
    const values = before.startsWith('date')
      ? ["'2026-01-02'", "'2026-01-01'", "'2026-01-01'", "'2025-12-31'"]
      : before.startsWith('enum') || before.startsWith('varchar')
        ? ["'a'", "'b'", "'b'", "'a'"]
        : ['3', '1', '1', '-7']
    await sql`drop table if exists things`.execute(db)
    await sql.raw(`create table things (id int primary key, k ${before} not null)`).execute(db)
    await sql.raw(`insert into things values ${values.map((value, at) => `(${at + 1}, ${value})`)}`).execute(db)
    const walk = idsOfPages(db, orders.k)
    const seen = [...((await walk.next()).value as number[]), ...((await walk.next()).value as number[])]
    await sql.raw(`alter table things modify k ${after} not null`).execute(db)
    for await (const page of walk) seen.push(...page)
    expect(seen).toEqual(await listOf(db, 'k'))
  })

  it.skipIf(!available)('refuse a cursor whose key has another order now, and page by the new one', async () => {
    const [database] = databases
    const { db } = database
    await create(database, 'number')
    const query = db.selectFrom('things').select('id')
    const list = { by: ['k'], unique: 'id', perPage: 2 }
    const { next } = (await pager.cursorPaginate(query, list)).pagination
    await create(database, 'text')
    const seen = (await Array.fromAsync(idsOfPages(db, orders.k))).flat()
    expect(seen).toEqual(await listOf(db, 'k'))
    await expect(pager.cursorPaginate(query, { ...list, after: next })).rejects.toMatchObject({
      code: 'ERR_CURSOR_MISMATCH',
    })
  })

  it.skipIf(!available)('are found anew for a page that is empty, by its probe', async () => {
    const [left, right] = databases
    await create(left, 'number')
    await create(right, 'text')
    const page = (db: Untyped, after?: string | null) =>
      pager.cursorPaginate(db.selectFrom('things').select('id'), { by: ['k'], unique: 'id', perPage: 4, after })
    const { next } = (await page(right.db)).pagination
    await sql`delete from things where k = 'b'`.execute(right.db)
    await page(left.db)
    expect(await page(right.db, next)).toMatchObject({ items: [], pagination: { hasNext: false, hasPrev: true } })
  })
})
