import fc from 'fast-check'
import { type RawBuilder, type SelectQueryBuilder, sql } from 'kysely'
import { countRows, createPaginator } from 'posthaste/pagination'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { engines, type Opened, type Untyped } from '../support/engines.ts'

const { cursorPaginate, paginate, readRows } = createPaginator({ onWarn: () => {} })
// biome-ignore lint/suspicious/noExplicitAny: tables without types
type Query = SelectQueryBuilder<any, any, any>

type Raw = RawBuilder<unknown>

/** What may be written around a name. */
const layers: Readonly<Record<string, (inner: Raw) => Raw>> = {
  parentheses: (inner) => sql`(${inner})`,
  blanks: (inner) => sql` ${inner} `,
  'comment before': (inner) => sql`/* the key */ ${inner}`,
  'comment behind': (inner) => sql`${inner} /* "of" (the) order */`,
  'line comment': (inner) => sql`${inner} -- it's the key
    `,
  nested: (inner) => sql`${inner}`,
  collation: (inner) => sql`${inner} collate nocase`,
}

describe.each(engines)('clauses on $name', ({ dialect, server, available, open }) => {
  let opened: Opened
  let db: Untyped

  beforeAll(async () => {
    if (!available) return
    opened = await open()
    db = opened.db
    await sql`create table clauses (id int primary key, k int not null, t varchar(10) not null)`.execute(db)
    const rows = Array.from({ length: 9 }, (_row, at) => ({ id: at + 1, k: (at * 4) % 3, t: `t${at % 4}` }))
    await db.insertInto('clauses').values(rows).execute()
  })
  afterAll(() => opened?.close(), 60_000)

  const all = (): Query => db.selectFrom('clauses').select(['id', 'k'])

  async function expectWalk(query: Query, options: object, expected: object[]): Promise<void> {
    expect(await countRows(query)).toBe(expected.length)
    for (const perPage of [1, 2, 4]) {
      const seen: object[] = []
      let after: string | null = null
      do {
        const page: { items: object[]; pagination: { next: string | null; total?: number } } = await cursorPaginate(
          query,
          { unique: 'id', perPage, after, total: 'exact', ...options } as never,
        )
        expect(page.pagination.total).toBe(expected.length)
        seen.push(...page.items)
        after = page.pagination.next
      } while (after !== null && seen.length <= expected.length)
      expect(seen).toEqual(expected)
      expect(await Array.fromAsync(readRows(query, { unique: 'id', size: perPage, ...options } as never))).toEqual(
        expected,
      )
      const second = await paginate(query, { unique: 'id', perPage, page: 2, ...options } as never)
      expect((second as { items: object[] }).items).toEqual(expected.slice(perPage, perPage * 2))
    }
  }

  test.skipIf(!available)('that leave out the rows for which a key cannot be worked out', async () => {
    const divisible = db.selectFrom('clauses').where('k', '>', 0).select('id as other').as('o')
    const query: Query = db
      .selectFrom('clauses')
      .innerJoin(divisible, 'o.other', 'clauses.id')
      .select(['clauses.id as id', 'k'])
    const quotient = sql`12 / k`
    const expected = await query.orderBy(quotient).orderBy('id').execute()
    expect(expected).toHaveLength(6)
    for (const nulls of ['last', 'never']) {
      await expectWalk(query, { by: [{ expr: quotient, nulls }], unique: 'clauses.id' }, expected)
    }
  })

  test.skipIf(!available)('that can be understood give the query’s own order and number', async () => {
    const byKey = await all().orderBy('k').orderBy('id').execute()
    await expectWalk(all().orderBy(sql`2`), {}, byKey)
    await expectWalk(all().orderBy(sql.lit(2)), {}, byKey)
    await expectWalk(all().orderBy('k').orderBy(sql`${1}`), {}, byKey)
    const descending = await all().orderBy('k', 'desc').orderBy('id', 'desc').execute()
    await expectWalk(all().orderBy('k', sql`${sql`/* newest */`} ${sql.raw('desc')}`), {}, descending)
    const typed = all().select(sql`'post'`.as('type'))
    await expectWalk(typed, { by: ['type', 'k'] }, await typed.orderBy('k').orderBy('id').execute())
    await expectWalk(all().orderBy(sql`k + 1`), {}, byKey)
    const rank = sql`row_number() over (order by id desc)`
    await expectWalk(all(), { by: [{ expr: rank, nulls: 'never' }] }, await all().orderBy('id', 'desc').execute())
    const distinct = db.selectFrom('clauses').modifyFront(sql`distinct`).select('k as id')
    await expectWalk(distinct, {}, [{ id: 0 }, { id: 1 }, { id: 2 }])
  })

  test.skipIf(!available)(
    'that give a column the name of another page by what each name means in an order',
    async () => {
      const swapped = db.selectFrom('clauses').select(['id', 'k as t', 't as k'])
      const raw = all().select(sql`3 - k`.as('t'))
      const cased = db.selectFrom('clauses').select(['id', sql`3 - k`.as('K')])
      // The alias is the column's name on all databases but PostgreSQL.
      const K = dialect === 'postgres' ? sql`"k"` : sql`k`
      const lists: [Query, unknown][] = [
        [swapped, 'k'],
        [swapped, 't'],
        [db.selectFrom('clauses').select(['id', 'k as t', 't as other']), 'other'],
        [raw, sql`t`],
        [raw, sql.ref('t')],
        [raw, sql`(${sql.ref('t')})`],
        [cased, 'k'],
        [cased, K],
      ]
      if (dialect === 'sqlite') lists.push([raw, sql`t collate nocase`], [raw, sql`${sql.ref('t')} collate nocase`])
      for (const [query, key] of lists) {
        const expected = await query
          .orderBy(key as 'k')
          .orderBy('id')
          .execute()
        await expectWalk(query.orderBy(key as 'k'), {}, expected)
        const by = typeof key === 'string' ? key : { expr: key, nulls: 'never' }
        await expectWalk(query, { by: [by] }, expected)
      }
    },
  )

  test.skipIf(!available)('that spell an alias or a place in any way page by what stands there', async () => {
    const sortKey = sql.id('sort key')
    await sql`create table spelt (id int primary key, t varchar(10) not null, ${sortKey} int not null)`.execute(db)
    await sql`insert into spelt (id, t, ${sortKey}) select id, t, id * 5 % 9 from clauses`.execute(db)
    const plain: Query = db.selectFrom('spelt').select(['id', sql`9 - id`.as('t'), 't as sort key'])
    const shapes = { plain, distinct: plain.distinct(), union: plain.where('id', '<', 5).union(plain) }
    const spelling = fc.tuple(
      fc.constantFrom(...(['plain', 'plain', 'distinct', 'union'] as const)),
      fc.constantFrom('t', 'sort key', 2, 3),
      fc.constantFrom(...['id', 'ref', 'raw'], ...(dialect === 'sqlite' ? ['brackets', 'backticks'] : [])),
      fc.array(
        fc.constantFrom(
          ...['parentheses', 'blanks', 'comment before', 'comment behind', 'line comment', 'nested'],
          ...(dialect === 'sqlite' ? ['collation'] : []),
        ),
        { maxLength: 3 },
      ),
    )
    await fc.assert(
      fc.asyncProperty(spelling, async ([shape, name, form, around]) => {
        // Other cases and collations are refused there.
        fc.pre(shape === 'plain' || (form !== 'raw' && !around.includes('collation')))
        const query = shapes[shape]
        const key = around.reduce((inner, layer) => layers[layer]?.(inner) ?? inner, spell(name, form))
        const expected = await query.orderBy(key).orderBy('id').execute()
        await expectWalk(query.orderBy(key), {}, expected)
        if (typeof name === 'string') await expectWalk(query, { by: [{ expr: key, nulls: 'last' }] }, expected)
      }),
      { numRuns: Number(process.env.RUNS ?? 15) },
    )
  })

  function spell(name: string | number, form: string): Raw {
    if (typeof name === 'number') return form === 'raw' ? sql.raw(String(name)) : sql.lit(name)
    const quote = dialect === 'mysql' ? '`' : '"'
    if (form === 'id') return sql.id(name)
    if (form === 'ref') return sql.ref(name)
    if (form === 'brackets') return sql.raw(`[${name}]`)
    if (form === 'backticks') return sql.raw(`\`${name}\``)
    return sql.raw(name === 't' ? 'T' : `${quote}${name}${quote}`)
  }

  test.skipIf(!available)('may leave nothing but a constant to order by', async () => {
    // MySQL gives a number another type in a derived table.
    const constant = server === 'mysql' ? sql`'2'` : sql`2`
    const one = db.selectNoFrom([sql`'a'`.as('id'), constant.as('n')])
    await expectWalk(one, {}, await one.execute())
    await expectWalk(one, { by: ['n'] }, await one.execute())
    const same = db.selectFrom('clauses').select(sql`'a'`.as('id'))
    await expect(cursorPaginate(same, { unique: 'id', perPage: 2 })).rejects.toMatchObject({
      code: 'ERR_KEY_NOT_UNIQUE',
    })
  })

  test.skipIf(!available)('never let a hidden column through', async () => {
    const grouped = db.selectFrom('clauses').groupBy('k').select('k')
    const by = [{ expr: sql`count(*)`, nulls: 'never' as const }]
    expect((await paginate(grouped, { by, unique: 'k' })).items.map((row) => Object.keys(row))).toEqual([
      ['k'],
      ['k'],
      ['k'],
    ])
  })

  test.skipIf(!available)('of which only a comment or a text speaks are none', async () => {
    const byKey = await all().orderBy('k').orderBy('id').execute()
    const words = "row (limit, order by, distinct on, top, now(), random(), row_number() over w, it's, desc"
    const note = sql.raw(`/* route='/orders', ${words} */`)
    for (const query of [all().modifyEnd(note), all().modifyFront(note)]) {
      await expectWalk(query, { by: ['k'] }, byKey)
      await expectWalk(query, { by: [{ expr: sql`k ${note}`, nulls: 'never' }] }, byKey)
    }
    const texts = [sql`k + length(replace(t, 'localtime', 'current_date'))`]
    if (dialect === 'sqlite') texts.push(sql`date(k * 86400, 'unixepoch', 'localtime')`)
    for (const expr of texts) await expectWalk(all(), { by: [{ expr, nulls: 'never' }] }, byKey)
    const labelled = all().select(sql`case when k > 0 then ${sql.lit(words)} end ${note}`.as('label'))
    await expectWalk(labelled, { by: ['k'] }, await labelled.orderBy('k').orderBy('id').execute())
  })

  test.skipIf(!available)('that cannot be right are refused with a sentence', async () => {
    const refused: [Query, object][] = [
      [all(), { by: [{ expr: sql`random()`, nulls: 'never' }] }],
      [all(), { by: [{ expr: sql`rand()`, nulls: 'never' }] }],
      [all().select(sql`gen_random_uuid()`.as('r')), { by: ['r'] }],
      [all(), { by: [{ expr: sql`now() - k`, nulls: 'never' }] }],
      [all(), { by: [{ expr: sql`now() || ' > ' || k`, nulls: 'never' }] }],
      [all(), { by: [{ expr: sql`julianday('NOW') - k`, nulls: 'never' }] }],
      [all(), { by: [{ expr: sql`unixepoch() - k`, nulls: 'never' }] }],
      [all(), { by: [{ expr: sql`row(k, id)`, nulls: 'never' }] }],
      [all().orderBy(sql`k, id`), {}],
      [all().orderBy(sql`k desc /* newest */`), {}],
      [all().orderBy(sql`k using >`), {}],
      [all().orderBy(sql`${sql.ref('k')} ${sql.raw('desc')}`), {}],
      [all(), { by: [{ expr: sql`${sql.raw('random')}()`, nulls: 'never' }] }],
      [all().orderBy(sql`9`), {}],
      [db.selectFrom('clauses').selectAll().orderBy(sql`2`), {}],
      [all().modifyEnd(sql`limit 5`), {}],
      [all().modifyEnd(sql`offset 2`), {}],
      [all().modifyEnd(sql`order by id`), {}],
      [all().modifyEnd(sql`${sql`limit`} ${sql.lit(5)}`), {}],
      [all().select('t as k'), { by: ['k'] }],
    ]
    for (const [query, options] of refused) {
      const failure = await cursorPaginate(query, { unique: 'id', perPage: 2, ...options } as never).catch(
        (error) => error,
      )
      expect(failure, query.compile().sql).toMatchObject({ code: 'ERR_QUERY_UNSUPPORTED' })
    }
  })

  test.skipIf(!available)('by a name that several tables have are refused, unless it has its table', async () => {
    const joined = db.selectFrom('clauses').innerJoin('clauses as o', 'o.id', 'clauses.k').selectAll('clauses')
    const expected = await joined.orderBy('k').orderBy('clauses.id').execute()
    expect(expected).toHaveLength(6)
    await expectWalk(joined, { by: ['clauses.k'], unique: 'clauses.id' }, expected)
    const bare: [Query, object][] = [
      [joined.orderBy('k'), { unique: 'clauses.id' }],
      [joined, { by: ['k'], unique: 'clauses.id' }],
      [joined, { unique: 'id' }],
    ]
    for (const [query, options] of bare) {
      const failure = await cursorPaginate(query, { perPage: 2, ...options } as never).catch((error) => error)
      expect(failure).toMatchObject({ code: 'ERR_QUERY_UNSUPPORTED', message: expect.stringContaining('`users.id`') })
    }
    const ownFault = cursorPaginate(joined.where('k', '>', 0), { unique: 'clauses.id' })
    await expect(ownFault).rejects.not.toMatchObject({ code: 'ERR_QUERY_UNSUPPORTED' })
  })

  test.skipIf(!available)('that select two columns of one name are refused where a table would need both', async () => {
    await sql`create table clause_notes (note_id int primary key, clause_id int not null)`.execute(db)
    await sql`insert into clause_notes values (3, 7), (4, 2), (5, 7)`.execute(db)
    const rank = sql`row_number() over (order by o.id)`.as('rank_')
    const twice = db.selectFrom('clauses').innerJoin('clauses as o', 'o.id', 'clauses.id')
    const queries: Query[] = [
      twice.selectAll().distinct(),
      twice.selectAll().select(rank),
      twice.selectAll().groupBy(['clauses.id', 'o.id']),
      twice.selectAll().union(twice.selectAll()),
      twice.selectAll('o').select('clauses.id').distinct(),
    ]
    const refused = { code: 'ERR_QUERY_UNSUPPORTED', message: expect.stringContaining('same name') }
    for (const query of queries) {
      const list = { unique: 'clauses.id', perPage: 2 } as never
      await expect(cursorPaginate(query, list), query.compile().sql).rejects.toMatchObject(refused)
      await expect(paginate(query, list)).rejects.toMatchObject(refused)
    }
    const count = expect(countRows(twice.selectAll().distinct()))
    await (dialect === 'mysql' ? count.rejects.toMatchObject(refused) : count.resolves.toBe(9))
    const notes = db.selectFrom('clauses').innerJoin('clause_notes', 'clause_id', 'id').selectAll().distinct()
    const { items } = await cursorPaginate(notes, { by: ['clauses.id'], unique: 'note_id' })
    expect(items).toEqual(await notes.orderBy('id').orderBy('note_id').execute())
    expect(await countRows(notes)).toBe(3)
  })

  test.skipIf(!available)('counts what the query returns', async () => {
    const twice = db.selectFrom('clauses').innerJoin('clauses as o', 'o.k', 'clauses.k').selectAll()
    const queries: Query[] = [
      all().limit(5),
      all().orderBy('k').limit(5),
      twice.limit(7),
      all().modifyEnd(sql`limit 5`),
      db.selectFrom('clauses').modifyFront(sql`distinct`).select('k'),
      all().select(sql`upper(t)`.as('u')),
      all().select(sql`upper(t)`.as('u')).limit(4),
      db.selectFrom('clauses').select(sql`count(*)`.as('c')),
      db.selectFrom('clauses').select(sql`coalesce(sum(k), 0) + 1`.as('c')).limit(5),
      db.selectFrom('clauses').select((eb) => [eb.fn('max', ['k']).as('top'), sql.lit(1).as('one')]),
      db.selectFrom('clauses').select([sql`7`.as('c'), sql`min(t)`.as('c')]),
      db.selectFrom('clauses').select([sql`${sql.raw('max')}(k)`.as('c'), sql`min${sql`(${sql.ref('t')})`}`.as('d')]),
      db.selectFrom('clauses').select(sql`(select max(o.k) from clauses as o where o.id = clauses.id)`.as('c')),
      twice.select(sql`lower(o.t)`.as('u')),
    ]
    // MySQL wants no space before the parenthesis.
    if (dialect !== 'mysql') queries.push(db.selectFrom('clauses').select(sql`max/**/(k)`.as('c')))
    if (dialect === 'postgres') {
      queries.push(all().select(sql`generate_series(1, k)`.as('s')), all().select(sql`unnest(array[k, 7])`.as('s')))
      await sql`create function clause_set(k int) returns setof int language sql as 'select generate_series(1, k)'`.execute(
        db,
      )
      const names = [sql`clause_set`, sql.id('clause_set'), sql.ref('clause_set'), sql.raw('clause_set')]
      for (const name of names) queries.push(all().select(sql`${name}(k)`.as('s')))
      queries.push(all().select(sql`clause_set(k)`.as('s')), all().select(sql`clause_set(k)`.as('s')).limit(20))
    }
    for (const query of queries) expect(await countRows(query)).toBe((await query.execute()).length)
  })

  test.skipIf(!available)('that make a `unique` key not unique are found before a row is lost', async () => {
    for (const perPage of [1, 2, 3, 4]) {
      const walk = async () => {
        for await (const _row of readRows(all(), { unique: 'k', size: perPage })) {
        }
      }
      await expect(walk()).rejects.toMatchObject({ code: 'ERR_KEY_NOT_UNIQUE' })
      const joined = db.selectFrom('clauses').innerJoin('clauses as o', 'o.k', 'clauses.k').select('clauses.id')
      await expect(cursorPaginate(joined, { unique: 'clauses.id', perPage })).rejects.toMatchObject({
        code: 'ERR_KEY_NOT_UNIQUE',
      })
    }
  })

  test.runIf(available && dialect === 'postgres')(
    'that call a set-returning function as a key are refused',
    async () => {
      await sql`create function own_set(k int) returns setof int language sql as 'select generate_series(1, k)'`.execute(
        db,
      )
      const query = all().select(sql`own_set(k)`.as('s'))
      const refused = { code: 'ERR_QUERY_UNSUPPORTED', message: expect.stringContaining('sub-query') }
      for (const by of [['s'], [{ key: 's', nulls: 'last' }], ['s desc', 'k']]) {
        const options = { by, unique: ['id', 's'] } as never
        await expect(cursorPaginate(query, options)).rejects.toMatchObject(refused)
      }
      const table = db.selectFrom(query.as('t')).selectAll() as Query
      expect(await Array.fromAsync(readRows(table, { by: ['s'], unique: ['id', 's'] } as never))).toHaveLength(9)
    },
  )

  test.runIf(available && dialect === 'postgres')('that make composite values are refused', async () => {
    await sql`create type clause_pair as (a int, b int)`.execute(db)
    const expr = sql`(select row(k, 1)::clause_pair)`
    await expect(
      cursorPaginate(all(), { by: [{ expr, nulls: 'never' }], unique: 'id', perPage: 2 }),
    ).rejects.toMatchObject({ code: 'ERR_QUERY_UNSUPPORTED' })
  })

  test.skipIf(!available)('are no help where rows do not have the names of the statement’s columns', async () => {
    const renamed = (row: object) => Object.fromEntries(Object.entries(row).map(([name, value]) => [`_${name}`, value]))
    // A table whose columns were not looked up before, on MariaDB and MySQL.
    await sql`create table unknown_rows (id int primary key)`.execute(db)
    await sql`insert into unknown_rows values (1)`.execute(db)
    const query = (db.selectFrom('unknown_rows').select('id') as Query).withPlugin({
      transformQuery: ({ node }) => node,
      transformResult: async ({ result }) => ({ ...result, rows: result.rows.map(renamed) }),
    })
    const refused = { code: 'ERR_QUERY_UNSUPPORTED', message: expect.stringContaining('have no column `posthaste') }
    await expect(cursorPaginate(query, { unique: 'id' } as never)).rejects.toMatchObject(refused)
  })
})
