import { CamelCasePlugin, type KyselyPlugin, sql } from 'kysely'
import { cursorPaginate, readChunks, readRows } from 'posthaste/pagination'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { engines, type Opened } from '../support/engines.ts'

/** Which of the statements have hidden columns. */
function hiddenIn(statements: readonly string[]): boolean[] {
  return statements.map((statement) => / as posthaste\w\d/.test(statement))
}

describe('reading SQLite rows that show their keys', () => {
  let opened: Opened

  beforeEach(async () => {
    opened = await (engines[0] as (typeof engines)[0]).open()
    await sql`create table people (id integer primary key, first_name text not null, team integer)`.execute(opened.db)
    await sql`insert into people values (1, 'a', null), (2, 'b', 7), (3, 'B', 7), (4, 'c', null), (5, 'd', 7), (6, 'e', 7), (7, 'f', 8)`.execute(
      opened.db,
    )
    opened.statements()
  })
  afterEach(() => opened.close())

  const people = () => opened.db.selectFrom('people')

  it('adds columns to the first chunk only', async () => {
    const rows: object[] = []
    const by = [{ key: 'team', nulls: 'first' as const }, 'first_name']
    for await (const chunk of readChunks(people().selectAll(), { by, unique: 'id', size: 2 })) rows.push(...chunk.rows)
    expect(rows).toEqual(await people().selectAll().orderBy('team').orderBy('first_name').orderBy('id').execute())
    expect(hiddenIn(opened.statements())).toEqual([true, false, false, false, false])
  })

  it('knows a key under the name that a plugin gives it', async () => {
    const rows = opened.db.withPlugin(new CamelCasePlugin()).selectFrom('people').select(['firstName', 'id'])
    const seen: unknown[] = []
    for await (const row of readRows(rows, { by: ['firstName'], unique: 'id', size: 2 })) seen.push(row.firstName)
    expect(seen).toEqual(['B', 'a', 'b', 'c', 'd', 'e', 'f'])
    expect(hiddenIn(opened.statements())).toEqual([true, false, false, false])
  })

  it.each<[string, (chunk: object[]) => unknown]>([
    ['deletes the rows', (chunk) => deleteRows(chunk)],
    ['changes the rows that it was given', (chunk) => chunk.map((row) => Object.assign(row, { id: -1 }))],
  ])('goes on after a user who %s', async (_what, use) => {
    const seen: unknown[] = []
    const reader = readChunks(people().select(['id', 'first_name']), { unique: 'id', size: 2 })
    for await (const chunk of reader) {
      seen.push(...chunk.rows.map((row) => row.id))
      await use(chunk.rows)
    }
    expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7])
  })

  async function deleteRows(chunk: object[]): Promise<void> {
    const ids = chunk.map((row) => (row as { id: number }).id)
    await opened.db.deleteFrom('people').where('id', 'in', ids).execute()
  }

  it('gives cursors that any page takes', async () => {
    const options = { by: ['first_name desc'], unique: 'id' } as const
    const reader = readRows(people().selectAll(), { ...options, size: 2 })
    for (let row = 0; row < 5; row++) {
      const { value } = await reader.next()
      Object.assign(value as object, { id: 0, first_name: 'changed' })
    }
    const { items } = await cursorPaginate(people().select('id'), { ...options, after: reader.cursor })
    expect(items).toEqual([{ id: 1 }, { id: 3 }])
  })

  it.each<[string, (value: unknown) => unknown]>([
    ['changes every value', (value) => (typeof value === 'number' ? value + 100 : value)],
    ['gives values that are no keys', (value) => (typeof value === 'number' ? new Date(value) : value)],
  ])('does not trust a plugin that %s', async (_what, change) => {
    const changing: KyselyPlugin = {
      transformQuery: ({ node }) => node,
      transformResult: async ({ result }) => ({
        ...result,
        rows: result.rows.map(({ id, ...row }) => ({ ...row, ...(id === undefined ? {} : { id: change(id) }) })),
      }),
    }
    let count = 0
    const rows = people().withPlugin(changing as never) as never as ReturnType<typeof people>
    for await (const chunk of readChunks(rows.select(['id', 'first_name']), { unique: 'id', size: 2 })) {
      count += chunk.rows.length
    }
    expect(count).toBe(7)
    expect(hiddenIn(opened.statements())).toEqual([true, true, true, true])
  })

  it.each<[string, 'first_name' | 'id', (value: unknown) => unknown]>([
    ['texts into numbers', 'first_name', (value) => (value === 'c' ? 12 : value)],
    ['numbers into texts', 'id', (value) => (Number(value) > 3 ? `h${value}` : value)],
  ])('does not trust a plugin that turns some %s', async (_what, key, change) => {
    const changing: KyselyPlugin = {
      transformQuery: ({ node }) => node,
      transformResult: async ({ result }) => ({
        ...result,
        rows: result.rows.map((row) => ({ ...row, [key]: change(row[key]) })),
      }),
    }
    const rows = people().withPlugin(changing).select(['id', 'first_name'])
    const plain = await rows.orderBy(key).execute()
    expect(await Array.fromAsync(readRows(rows, { unique: key, size: 2 }))).toEqual(plain)
  })

  it.each<[string, (value: string) => unknown]>([
    ['trims texts', (value) => value.trim()],
    ['turns texts into numbers behind NULLs', (value) => (/^\s*\d+\s*$/.test(value) ? Number(value) : value)],
  ])('goes on behind the last row though a plugin %s', async (_what, change) => {
    await sql`create table labels (id integer primary key, label text)`.execute(opened.db)
    const labels = [null, ' 12 ', null, '12', ' 12 ', '{}', '12', ' a', '{}', 'a']
    await opened.db
      .insertInto('labels')
      .values(labels.map((label) => ({ label })))
      .execute()
    const changing: KyselyPlugin = {
      transformQuery: ({ node }) => node,
      transformResult: async ({ result }) => ({
        ...result,
        rows: result.rows.map(({ label, ...row }) => ({
          ...row,
          label: typeof label === 'string' ? change(label) : label,
        })),
      }),
    }
    const rows = opened.db.withPlugin(changing).selectFrom('labels').selectAll()
    for (const dir of ['asc', 'desc'] as const) {
      const list = await rows.orderBy('label', dir).orderBy('id', dir).execute()
      const by = [{ key: 'label', dir, nulls: dir === 'asc' ? ('first' as const) : ('last' as const) }]
      for (const size of [1, 2, 3]) {
        expect(await Array.fromAsync(readRows(rows, { by, unique: 'id', size }))).toEqual(list)
      }
    }
  })

  it('knows a key whose name another table has too', async () => {
    const joined = people().innerJoin('people as boss', 'boss.id', 'people.id').select(['people.id', 'people.team'])
    const by = [{ key: 'people.team', nulls: 'first' as const }]
    const seen: unknown[] = []
    for await (const row of readRows(joined, { by, unique: 'people.id', size: 2 })) seen.push(row.id)
    expect(seen).toEqual([1, 4, 2, 3, 5, 6, 7])
    expect(hiddenIn(opened.statements())).toEqual([true, false, false, false])
  })

  it('tells the keys from columns that only have their names', async () => {
    const joined = people()
      .innerJoin('people as boss', 'boss.id', 'people.id')
      .select(['boss.first_name as id', 'people.first_name'])
    const seen: unknown[] = []
    for await (const chunk of readChunks(joined, { unique: 'people.id', size: 3 })) seen.push(...chunk.rows)
    expect(seen).toHaveLength(7)
    expect(hiddenIn(opened.statements())).toEqual([true, true, true])
  })

  it('tells the keys from columns of `selectAll` that have their names, and the same values in the first chunk', async () => {
    await sql`create table badges (number integer, person integer)`.execute(opened.db)
    await sql`insert into badges select case when id < 4 then id else id * 10 end, id from people`.execute(opened.db)
    const joined = people().innerJoin('badges', 'badges.person', 'people.id')
    const seen: unknown[] = []
    const rows = joined.select('people.id as number').selectAll('badges')
    for await (const row of readRows(rows, { unique: 'people.id', size: 2 })) seen.push(row.person)
    expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7])
  })

  it('refuses keys that do not tell rows apart, in any chunk', async () => {
    const reader = readChunks(people().selectAll(), { by: ['team'], unique: 'team', size: 2 })
    await expect(Array.fromAsync(reader)).rejects.toMatchObject({ code: expect.stringMatching(/^ERR_KEY_N/) })
    const distinct = readChunks(people().select('team').where('team', 'is not', null), { unique: 'team', size: 2 })
    await expect(Array.fromAsync(distinct)).rejects.toMatchObject({ code: 'ERR_KEY_NOT_UNIQUE' })
  })
})

describe.each(engines.filter(({ dialect }) => dialect !== 'sqlite'))(
  'reading rows of $name that show their keys',
  (engine) => {
    describe.runIf(engine.available)('', () => {
      let opened: Opened
      const rows = () => opened.db.selectFrom('items')

      beforeAll(async () => {
        opened = await engine.open()
        const uuid = engine.dialect === 'postgres' ? 'uuid' : 'varchar(36)'
        await sql`create table items (id integer primary key, big bigint not null unique, code ${sql.raw(uuid)} not null unique, team smallint, name varchar(20))`.execute(
          opened.db,
        )
        const values = Array.from({ length: 9 }, (_, at) => ({
          id: at + 1,
          big: `${2n ** 60n * BigInt(at - 4)}`,
          code: `${'63a0f15c'.slice(at % 8)}${'0'.repeat(at % 8)}-0000-4000-8000-00000000000${at}`,
          team: at % 3,
          name: at % 2 === 0 ? 'x' : null,
        }))
        await opened.db.insertInto('items').values(values).execute()
        opened.statements()
      })
      afterAll(() => opened.close())

      it.each<[order: string[], isShown: boolean]>([
        [['id'], true],
        [['id desc'], true],
        [['team', 'id'], true],
        [['team desc', 'id desc'], true],
        // A union, whose branches are ordered by hidden columns on PostgreSQL.
        [['team desc', 'id'], false],
        [['big'], engine.dialect === 'postgres'],
        [['code'], engine.dialect === 'postgres'],
      ])('by %s', async (order, isShown) => {
        const by = order.filter((key) => key.endsWith('desc'))
        const unique = order.map((key) => key.replace(' desc', ''))
        const expected = order.reduce((query, key) => {
          const [column = '', direction] = key.split(' ')
          return query.orderBy(column, direction as 'desc')
        }, rows().selectAll())
        const options = { by: by.length > 0 ? order : [], unique, size: 2 } as never
        opened.statements()
        const read: object[] = []
        for await (const chunk of readChunks(rows().selectAll(), options)) read.push(...chunk.rows)
        expect(hiddenIn(opened.statements())).toEqual([true, !isShown, !isShown, !isShown, !isShown])
        expect(read).toEqual(await expected.execute())
      })

      it('says what is wrong with a plugin that turns texts into numbers', async () => {
        const toNumbers: KyselyPlugin = {
          transformQuery: ({ node }) => node,
          transformResult: async ({ result }) => ({ ...result, rows: result.rows.map(withNumbers) }),
        }
        const page = cursorPaginate(rows().withPlugin(toNumbers).select('id'), { unique: 'id' })
        if (engine.dialect === 'postgres') await expect(page).rejects.toThrow(/`posthastek0`.*is no text/)
        else expect((await page).items).toHaveLength(9)
      })
    })
  },
)

function withNumbers(row: Record<string, unknown>): Record<string, unknown> {
  const values = Object.entries(row).map(([name, value]) => {
    return [name, typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value]
  })
  return Object.fromEntries(values)
}
