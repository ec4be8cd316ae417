import assert from 'node:assert/strict'
import { type Generated, Kysely } from 'kysely'
import {
  cachedQuery,
  createCache,
  createPaginator,
  cursorPaginate,
  explainPage,
  flag,
  instrument,
  int,
  listQuery,
  oneOf,
  paginate,
  queryReport,
  readRows,
  withQueryScope,
} from 'posthaste'
import { type Platform, test } from './suite.ts'

interface Tables {
  person: { id: Generated<number>; name: string; age: number | null }
}

const names = ['Ann', 'Bob', 'Cid', 'Dora', 'Eve', 'Finn', 'Gil', 'Hana', 'Ida', 'Jon']

async function withPeople(
  { createDialect }: Platform,
  use: (db: Kysely<Tables>) => Promise<void>,
  options: Parameters<typeof instrument>[1] = {},
): Promise<void> {
  const db = new Kysely<Tables>(instrument({ dialect: await createDialect() }, { explain: false, ...options }))
  try {
    await db.schema.dropTable('person').ifExists().execute()
    await db.schema
      .createTable('person')
      .addColumn('id', 'integer', (column) => column.primaryKey())
      .addColumn('name', 'text', (column) => column.notNull())
      .addColumn('age', 'integer')
      .execute()
    const rows = names.map((name, index) => ({ name, age: index % 3 === 0 ? null : 20 + (index % 4) }))
    await db.insertInto('person').values(rows).execute()
    await use(db)
  } finally {
    await db.destroy()
  }
}

test('reads numbered pages with their totals', (platform) =>
  withPeople(platform, async (db) => {
    const { items, pagination } = await paginate(db.selectFrom('person').selectAll(), {
      by: ['name desc'],
      unique: 'id',
      page: 2,
      perPage: 4,
    })
    assert.deepEqual(
      items.map(({ name }) => name),
      ['Finn', 'Eve', 'Dora', 'Cid'],
    )
    assert.deepEqual(pagination, { page: 2, perPage: 4, total: 10, totalPages: 3, hasNext: true, hasPrev: true })
  }))

test('walks pages by cursor in both directions, over NULLs', (platform) =>
  withPeople(platform, async (db) => {
    const pages = createPaginator({ secret: 'of the suite' })
    const query = db.selectFrom('person').selectAll()
    const order = { by: [{ key: 'age', nulls: 'last' }], unique: 'id', perPage: 3 } as const
    const read = (place: { after?: string | null; before?: string | null; from?: 'end' }) =>
      pages.cursorPaginate(query, { ...order, ...place })
    const forward: number[] = []
    for (let after: string | null | undefined; after !== null; ) {
      const { items, pagination }: Awaited<ReturnType<typeof read>> = await read({ after: after ?? null })
      forward.push(...items.map(({ id }) => id))
      after = pagination.next
    }
    const backward: number[] = []
    for (let before: string | null | undefined; before !== null; ) {
      const place = before === undefined ? { from: 'end' as const } : { before }
      const { items, pagination }: Awaited<ReturnType<typeof read>> = await read(place)
      backward.push(...items.map(({ id }) => id).reverse())
      before = pagination.prev
    }
    const rows = await query.execute()
    const ageOf = (age: number | null) => age ?? 1_000
    const expected = rows.sort((a, b) => ageOf(a.age) - ageOf(b.age) || a.id - b.id).map(({ id }) => id)
    assert.deepEqual(forward, expected)
    assert.deepEqual(backward, expected.toReversed())
  }))

test('reads all rows in chunks', (platform) =>
  withPeople(platform, async (db) => {
    const read: string[] = []
    for await (const { name } of readRows(db.selectFrom('person').selectAll(), { unique: 'id', size: 3 }))
      read.push(name)
    assert.deepEqual(read, names)
  }))

test('explains a page', (platform) =>
  withPeople(platform, async (db) => {
    const { access } = await explainPage(db.selectFrom('person').selectAll(), { unique: 'id' })
    assert.equal(access, 'seek')
  }))

test('parses list queries, and pages by them', (platform) =>
  withPeople(platform, async (db) => {
    const people = listQuery({
      sort: { name: 'name' },
      filter: { age: int({ min: 0 }), role: oneOf('admin', 'user'), active: flag({ default: true }) },
      perPage: { max: 5 },
    })
    const request = new Request('https://example.com/people?sort=-name&per_page=2&age=21&role=user')
    const q = people.parse(request)
    assert.deepEqual({ ...q.filter }, { active: true, age: 21, role: 'user' })
    assert.throws(() => people.parse('?per_page=0'), { code: 'ERR_LIST_QUERY', statusCode: 400 })
    const { items } = await cursorPaginate(db.selectFrom('person').selectAll().where('age', '=', 21), {
      ...q,
      unique: 'id',
    })
    assert.deepEqual(
      items.map(({ name }) => name),
      ['Finn', 'Bob'],
    )
  }))

test('reports queries, and invalidates the tables of writes in a cache', async (platform) => {
  const cache = createCache({ name: 'people' })
  await withPeople(
    platform,
    async (db) => {
      const query = db.selectFrom('person').select('name').where('id', '=', 1)
      assert.deepEqual(await cachedQuery(cache, query), [{ name: 'Ann' }])
      await db.updateTable('person').set({ name: 'Anna' }).where('id', '=', 1).execute()
      assert.deepEqual(await cachedQuery(cache, query), [{ name: 'Anna' }])
      assert.ok(queryReport(db).queries.some(({ operation, count }) => operation === 'select' && count === 2))
    },
    { invalidates: cache },
  )
  await cache.close()
})

test('keeps the lookups of each load apart, with `autoBatch`', async (platform) => {
  const cache = createCache({ name: 'loads' })
  const loads = Array.from({ length: 60 }, (_, index) => index)
  const readAll = (db: Kysely<Tables>) =>
    withQueryScope('loads', () =>
      Promise.all(
        loads.map((key) =>
          cache.getOrSet(
            ['ages', key],
            () => db.selectFrom('person').select('age').where('id', '=', 2).executeTakeFirstOrThrow(),
            { tags: 'auto' },
          ),
        ),
      ),
    )
  const read = async (db: Kysely<Tables>) => {
    await readAll(db)
    await db.updateTable('person').set({ age: 99 }).execute()
    const ages = (await readAll(db)).map(({ age }) => age)
    assert.deepEqual(
      ages,
      loads.map(() => 99),
    )
  }
  await withPeople(platform, read, { invalidates: cache, autoBatch: true, nPlusOne: false })
  await cache.close()
})
