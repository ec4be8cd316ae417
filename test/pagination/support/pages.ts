import { CamelCasePlugin, ParseJSONResultsPlugin, sql } from 'kysely'
import { countRows, createPaginator } from 'posthaste/pagination'
import { beforeAll, describe, expect, test } from 'vitest'
import type { Engine, Opened, Untyped } from './engines.ts'

const { paginate, cursorPaginate, relayConnection, readChunks, readRows } = createPaginator({ onWarn: () => {} })

/** What every pager gives on a small table, whatever the query. */
export function describePages({ dialect }: Engine, database: () => Opened): void {
  let opened: Opened
  let db: Untyped

  beforeAll(async () => {
    opened = database()
    db = opened.db
    await sql`create table posts (id int primary key, author_id int not null, title varchar(20) not null, likes int, last_seen_at int)`.execute(
      db,
    )
    const posts = Array.from({ length: 23 }, (_, at) => ({
      id: at + 1,
      author_id: at % 3,
      title: `t${at % 5}`,
      likes: at % 4 === 0 ? null : at % 7,
      last_seen_at: at,
    }))
    await db.insertInto('posts').values(posts).execute()
  })

  const posts = () => db.selectFrom('posts').select(['posts.id', 'title'])
  const ids = (rows: readonly object[]) => rows.map((row) => (row as { id: number }).id)

  describe('paginate', () => {
    test('gives the page, and counts only when the page does not show the total', async () => {
      const cases = [
        { page: 1, perPage: 10, statements: 2, expected: { total: 23, totalPages: 3, hasNext: true, hasPrev: false } },
        { page: 3, perPage: 10, statements: 1, expected: { total: 23, totalPages: 3, hasNext: false, hasPrev: true } },
        { page: 1, perPage: 50, statements: 1, expected: { total: 23, totalPages: 1, hasNext: false, hasPrev: false } },
        { page: 9, perPage: 10, statements: 2, expected: { total: 23, totalPages: 3, hasNext: false, hasPrev: true } },
      ]
      for (const { page, perPage, statements, expected } of cases) {
        opened.statements()
        const { items, pagination } = await paginate(posts(), { by: ['id desc'], unique: 'id', page, perPage })
        expect(pagination).toEqual({ page, perPage, ...expected })
        expect(ids(items)).toEqual(
          Array.from({ length: 23 }, (_, at) => 23 - at).slice((page - 1) * perPage, page * perPage),
        )
        expect(opened.statements()).toHaveLength(statements)
      }
    })

    test('gives an empty list as page 1 of none', async () => {
      const { items, pagination } = await paginate(posts().where('posts.id', '<', 0), { unique: 'posts.id' })
      expect(items).toEqual([])
      expect(pagination).toEqual({ page: 1, perPage: 10, total: 0, totalPages: 0, hasNext: false, hasPrev: false })
      const far = await paginate(posts().where('posts.id', '<', 0), { unique: 'posts.id', page: 4 })
      expect(far.pagination).toMatchObject({ total: 0, hasNext: false, hasPrev: false })
    })

    test('finds totals in every way', async () => {
      const ask = { unique: 'posts.id', perPage: 5, page: 2 }
      const none = await paginate(posts(), { ...ask, total: 'none' })
      expect(none.pagination).toEqual({ page: 2, perPage: 5, hasNext: true, hasPrev: true })
      const known = await paginate(posts(), { ...ask, total: { known: 99 } })
      expect(known.pagination).toMatchObject({ total: 99, totalPages: 20 })
      const capped = await paginate(posts(), { ...ask, total: { atMost: 12 } })
      expect(capped.pagination).toMatchObject({ total: 12, totalPages: 3, totalIs: 'capped' })
      const below = await paginate(posts(), { ...ask, total: { atMost: 23 } })
      expect(below.pagination).toMatchObject({ total: 23, totalIs: 'exact' })
      const estimate = await paginate(posts(), { ...ask, total: 'estimate' })
      expect(estimate.pagination).toMatchObject({ total: 23, totalPages: 5, totalIs: 'exact' })
    })

    test('asks the planner for large totals, where it tells them', async () => {
      await sql`create table numbers (id int primary key)`.execute(db)
      const digits = sql.raw(
        '(select 0 as d union all select 1 union all select 2 union all select 3 union all select 4)',
      )
      const from = ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => sql`${digits} ${sql.ref(name)}`)
      await sql`insert into numbers select a.d + 5 * b.d + 25 * c.d + 125 * d.d + 625 * e.d + 3125 * f.d from ${sql.join(from)}`.execute(
        db,
      )
      if (dialect !== 'sqlite')
        await sql.raw(dialect === 'mysql' ? 'analyze table numbers' : 'analyze numbers').execute(db)
      const { pagination } = await paginate(db.selectFrom('numbers').selectAll(), { unique: 'id', total: 'estimate' })
      expect(pagination.totalIs).toBe(dialect === 'sqlite' ? 'exact' : 'estimate')
      expect(pagination.total).toBeGreaterThan(15_625 * 0.8)
      expect(pagination.total).toBeLessThan(15_625 * 1.2)
    })
  })

  describe('grouped, distinct, combined and windowed queries', () => {
    const queries = () => ({
      grouped: db
        .selectFrom('posts')
        .select(['author_id as id', (eb) => eb.fn.countAll().as('n')])
        .groupBy('author_id'),
      having: db
        .selectFrom('posts')
        .select(['title as id', sql<number>`max(likes)`.as('n')])
        .groupBy('title')
        .having((eb) => eb.fn.countAll(), '>', 4),
      distinct: db.selectFrom('posts').select('title as id').distinct(),
      union: posts()
        .select('likes as n')
        .where('posts.id', '<', 6)
        .union(posts().select('likes as n').where('posts.id', '>', 19)),
      windowed: posts().select(sql<number>`row_number() over (partition by author_id order by id)`.as('n')),
      'windowed by the builder': posts().select((eb) =>
        eb.fn
          .count('id')
          .over((ob) => ob.partitionBy('author_id'))
          .as('n'),
      ),
    })
    const names = ['grouped', 'having', 'distinct', 'union', 'windowed', 'windowed by the builder'] as const

    test.each(names)('%s: pages concatenated are the list, and the total is its length', async (name) => {
      const query = queries()[name] as ReturnType<typeof posts>
      const by: { key: string; dir: 'asc' | 'desc'; nulls: 'first' }[] =
        name === 'distinct' ? [] : [{ key: 'n', dir: 'desc', nulls: 'first' }]
      const rows = await query.execute()
      const order = sql`${name === 'distinct' ? sql`` : sql`case when n is null then 0 else 1 end, n desc, `}id ${sql.raw(name === 'distinct' ? 'asc' : 'desc')}`
      const expected = await db.selectFrom(query.as('q')).selectAll().orderBy(order).execute()
      expect(await countRows(query)).toBe(rows.length)
      for (const perPage of [1, 2, 3, 7]) {
        const seen: object[] = []
        let after: string | null = null
        do {
          opened.statements()
          const page: Awaited<ReturnType<typeof walk>> = await walk(query, { by, unique: 'id', perPage, after })
          expect(opened.statements()).toHaveLength(1)
          seen.push(...page.items)
          after = page.pagination.next
        } while (after !== null && seen.length < 100)
        expect(seen).toEqual(expected)
        const second = await paginate(query, { by, unique: 'id', perPage, page: 2 })
        expect(second.items).toEqual(expected.slice(perPage, perPage * 2))
        expect(second.pagination.total).toBe(rows.length)
      }
    })

    function walk(query: ReturnType<typeof posts>, options: object) {
      return cursorPaginate(query, options as { unique: 'id' })
    }

    test('finds the keys of a distinct query in all that it selects', async () => {
      const expected = await posts().orderBy('posts.id').limit(2).execute()
      const distinct = db.selectFrom('posts').distinct()
      const joined = distinct.innerJoin('posts as other', 'other.id', 'posts.id')
      for (const query of [distinct.selectAll(), distinct.selectAll('posts'), joined.selectAll('posts')]) {
        const list = { unique: 'posts.id', perPage: 2 }
        const { items, pagination } = await cursorPaginate(query, list)
        expect(items).toMatchObject(expected)
        expect(ids((await cursorPaginate(query, { ...list, after: pagination.next })).items)).toEqual([3, 4])
      }
      await expect(
        cursorPaginate(joined.selectAll('posts'), { by: ['other.title'], unique: 'posts.id' }),
      ).rejects.toMatchObject({ code: 'ERR_QUERY_UNSUPPORTED' })
    })

    test('pages groups of which nothing is selected', async () => {
      const query = db.selectFrom('posts').groupBy('author_id')
      const { items, pagination } = await cursorPaginate(query, { unique: 'author_id', perPage: 2 })
      expect(items).toEqual([{}, {}])
      expect(pagination).toMatchObject({ hasNext: true, hasPrev: false })
      const rest = await cursorPaginate(query, { unique: 'author_id', perPage: 2, after: pagination.next })
      expect(rest.items).toEqual([{}])
    })

    test('takes an aggregate inside a subquery for no aggregate of the query', async () => {
      const query = posts().select((eb) => eb.selectFrom('posts as p').select(eb.fn.countAll().as('n')).as('all'))
      opened.statements()
      const { items } = await paginate(query, { unique: 'posts.id', perPage: 2, total: 'none' })
      expect(ids(items)).toEqual([1, 2])
      expect(opened.statements()).toEqual([expect.not.stringMatching(/[`"]ph[`"]/)])
    })

    test('knows what stands before a group that is gone', async () => {
      const authors = db
        .selectFrom('posts')
        .select(['author_id as id', (eb) => eb.fn.countAll().as('n')])
        .groupBy('author_id')
      const { edges } = await relayConnection(authors, {}, { unique: 'id' })
      const flags = edges.map(async ({ cursor }, at) => {
        const rest = authors.where('author_id', '<>', at)
        const page = await cursorPaginate(rest, { unique: 'id', after: cursor })
        return [ids(page.items), page.pagination.hasPrev]
      })
      expect(await Promise.all(flags)).toEqual([
        [[1, 2], false],
        [[2], true],
        [[], true],
      ])
    })

    test.runIf(dialect === 'postgres')('keeps the order that `distinct on` chooses its rows by', async () => {
      const query = posts().select('author_id').distinctOn('author_id').orderBy('author_id').orderBy('posts.id', 'desc')
      const { items, pagination } = await cursorPaginate(query, { unique: 'posts.id', perPage: 2 })
      expect(ids(items)).toEqual([22, 23])
      expect(ids((await cursorPaginate(query, { unique: 'posts.id', after: pagination.next })).items)).toEqual([21])
    })

    test('orders a grouped query by what it does not select', async () => {
      const query = db.selectFrom('posts').select('author_id').groupBy('author_id')
      const by = [{ expr: sql`max(id)`, dir: 'desc', nulls: 'never' }] as const
      const page = await cursorPaginate(query, { by, unique: 'author_id', perPage: 2 })
      expect(page.items).toEqual([{ author_id: 1 }, { author_id: 0 }])
      const next = await cursorPaginate(query, { by, unique: 'author_id', perPage: 2, after: page.pagination.next })
      expect(next.items).toEqual([{ author_id: 2 }])
    })

    test('counts a limited query as it is limited', async () => {
      expect(await countRows(posts().orderBy('id').limit(7))).toBe(7)
      expect(await countRows(posts())).toBe(23)
    })
  })

  describe('the query’s own order', () => {
    test('is taken when there is no `by`, with NULLs where the database has them', async () => {
      const query = posts().orderBy('likes', 'desc').orderBy('title')
      const expected = ids(await query.orderBy('posts.id').execute())
      const seen: number[] = []
      let after: string | null = null
      do {
        const page: { items: object[]; pagination: { next: string | null } } = await cursorPaginate(query, {
          unique: 'posts.id',
          perPage: 4,
          after,
        })
        seen.push(...ids(page.items))
        after = page.pagination.next
      } while (after !== null)
      expect(seen).toEqual(expected)
      expect(ids((await paginate(query, { unique: 'posts.id', page: 2, perPage: 4 })).items)).toEqual(
        expected.slice(4, 8),
      )
    })

    test('is `unique` ascending when there is none', async () => {
      const { items } = await cursorPaginate(posts(), { unique: 'posts.id', perPage: 3 })
      expect(ids(items)).toEqual([1, 2, 3])
    })

    test('is refused beside `by`, and so is a limit', async () => {
      const unsupported = { code: 'ERR_QUERY_UNSUPPORTED' }
      await expect(
        cursorPaginate(posts().orderBy('title'), { by: ['title'], unique: 'posts.id' }),
      ).rejects.toMatchObject(unsupported)
      await expect(paginate(posts().limit(3), { unique: 'posts.id' })).rejects.toMatchObject(unsupported)
      await expect(paginate(posts().offset(3), { unique: 'posts.id' })).rejects.toMatchObject(unsupported)
      await expect(paginate(posts().orderBy(sql`title desc`), { unique: 'posts.id' })).rejects.toMatchObject(
        unsupported,
      )
      await expect(
        cursorPaginate(posts().select('likes').distinct(), { by: ['author_id'], unique: 'posts.id' }),
      ).rejects.toMatchObject(unsupported)
    })
  })

  describe('cursorPaginate', () => {
    const list = { by: ['title desc'], unique: 'posts.id', perPage: 6 }

    test('comes back by `before` to the page it came from, and starts at the end when asked', async () => {
      const first = await cursorPaginate(posts(), list)
      const second = await cursorPaginate(posts(), { ...list, after: first.pagination.next })
      const back = await cursorPaginate(posts(), { ...list, before: second.pagination.prev })
      expect(back).toEqual({ ...first, pagination: { ...first.pagination, next: back.pagination.next } })
      const last = await cursorPaginate(posts(), { ...list, from: 'end' })
      expect(last.pagination).toMatchObject({ hasNext: false, hasPrev: true, next: null })
      const all = ids(await posts().orderBy('title', 'desc').orderBy('posts.id', 'desc').execute())
      expect(ids(last.items)).toEqual(all.slice(-6))
    })

    test('reads an order of more keys than most have', async () => {
      const by = ['author_id', 'title desc', { key: 'likes', nulls: 'first' }, 'last_seen_at'] as const
      const noLikes = sql`case when likes is null then 0 else 1 end`
      const expected = await posts()
        .orderBy('author_id')
        .orderBy('title', 'desc')
        .orderBy(noLikes)
        .orderBy('likes')
        .orderBy('last_seen_at')
        .execute()
      const seen = await Array.fromAsync(readRows(posts(), { by, unique: 'posts.id', size: 2 }))
      expect(ids(seen)).toEqual(ids(expected))
    })

    test('counts the list behind a cursor, of which the page proves nothing', async () => {
      const { next: after } = (await cursorPaginate(posts(), list)).pagination
      const { pagination } = await cursorPaginate(posts(), { ...list, perPage: 50, after, total: 'exact' })
      expect(pagination).toMatchObject({ hasNext: false, total: 23, totalPages: 1 })
    })

    test('echoes its cursor when the page is empty', async () => {
      const { pagination } = await cursorPaginate(posts(), { ...list, perPage: 23, total: 'exact' })
      expect(pagination).toMatchObject({ next: null, prev: null, total: 23, totalPages: 1 })
      const page = await cursorPaginate(posts(), { ...list, perPage: 22 })
      const empty = await cursorPaginate(posts().where('title', '>', 't0'), { ...list, after: page.pagination.next })
      expect(empty.items).toEqual([])
      expect(empty.pagination).toMatchObject({ hasNext: false, hasPrev: true, next: null, prev: page.pagination.next })
    })

    test('gives numbered targets for the pages ahead, of keys alone', async () => {
      const first = await cursorPaginate(posts(), { ...list, jump: 5 })
      expect(first.pagination.jump?.map((target) => target.page)).toEqual([2, 3, 4])
      expect(first.pagination.jump?.[0]?.after).toBe(first.pagination.next)
      const all = ids(await posts().orderBy('title', 'desc').orderBy('posts.id', 'desc').execute())
      for (const { page, after } of first.pagination.jump ?? []) {
        const target = await cursorPaginate(posts(), { ...list, after, jump: 1 })
        expect(ids(target.items)).toEqual(all.slice((page - 1) * 6, page * 6))
        expect(target.pagination.jump?.[0]?.page).toBe(page < 4 ? page + 1 : undefined)
      }
      const end = await cursorPaginate(posts(), { ...list, from: 'end', jump: 2 })
      expect(end.pagination.jump).toEqual([])
    })

    test('refuses cursors of another order, scope or list', async () => {
      const mismatch = { code: 'ERR_CURSOR_MISMATCH', status: 400 }
      const { pagination } = await cursorPaginate(posts(), { ...list, scope: { tenant: 1, role: 'a' } })
      const after = pagination.next
      const same = await cursorPaginate(posts(), { ...list, after, scope: { role: 'a', tenant: 1 } })
      expect(same.items).toHaveLength(6)
      await expect(cursorPaginate(posts(), { ...list, after })).rejects.toMatchObject(mismatch)
      await expect(cursorPaginate(posts(), { ...list, after, scope: { tenant: 2, role: 'a' } })).rejects.toMatchObject(
        mismatch,
      )
      const other = await cursorPaginate(posts(), list)
      const orders: object[][] = [
        ['title'],
        ['title desc', 'likes desc'],
        [{ key: 'title', dir: 'desc', nulls: 'last' }],
      ].map(Object)
      for (const by of orders as never[]) {
        await expect(cursorPaginate(posts(), { ...list, by, after: other.pagination.next })).rejects.toMatchObject(
          mismatch,
        )
      }
    })

    test('rejects when a key is NULL that should not be, on the way to it or at the latest', async () => {
      for (const by of [['likes'], ['likes desc'], ['title', 'likes'], ['title', 'likes desc']]) {
        for (const from of ['start', 'end'] as const) {
          const walk = async () => {
            let cursor: string | null = null
            for (let step = 0; step < 30; step++) {
              const at: object = from === 'start' ? { after: cursor } : { before: cursor, from }
              const page: Awaited<ReturnType<typeof cursorPaginate>> = await cursorPaginate(posts(), {
                by,
                unique: 'posts.id',
                perPage: 2,
                ...at,
              })
              cursor = from === 'start' ? page.pagination.next : page.pagination.prev
              if (cursor === null) return
            }
          }
          await expect(walk()).rejects.toMatchObject({
            code: 'ERR_KEY_NULL',
            message: expect.stringContaining('`likes`'),
          })
        }
      }
      const rows = async () => Array.fromAsync(readRows(posts(), { by: ['likes'], unique: 'posts.id', size: 3 }))
      await expect(rows()).rejects.toMatchObject({ code: 'ERR_KEY_NULL' })
    })

    test('keeps the NULLs of a unique key, once the order says where they come', async () => {
      for (const nulls of ['first', 'last'] as const) {
        for (const dir of ['asc', 'desc'] as const) {
          const options = { by: [{ key: 'likes', dir, nulls }], unique: ['likes', 'posts.id'] } as const
          const all = ids(await Array.fromAsync(readRows(posts(), { ...options, unique: 'posts.id' })))
          expect(all).toHaveLength(23)
          expect(ids(await Array.fromAsync(readRows(posts(), { ...options, size: 2 } as never)))).toEqual(all)
          const seen: number[] = []
          let before: string | null = null
          do {
            const at: object = { before, from: 'end', perPage: 4 }
            const page = await cursorPaginate(posts(), { ...options, ...at } as never)
            seen.unshift(...ids(page.items as { id: number }[]))
            before = page.pagination.prev
          } while (before !== null)
          expect(seen).toEqual(all)
        }
      }
    })

    test('reads past the user’s plugins, inside a transaction and through a raw `or`', async () => {
      const camel = db.withPlugin(new CamelCasePlugin()).withPlugin(new ParseJSONResultsPlugin())
      const by = ['writerId', 'lastSeenAt desc'] as never[]
      const from = (executor: Untyped) =>
        executor
          .selectFrom('posts')
          .select(['id', 'lastSeenAt', 'authorId as writerId'])
          .where(sql<boolean>`id < 4 or id > 20`)
      const rows = await camel.transaction().execute(async (trx) => {
        await trx.insertInto('posts').values({ id: 99, authorId: 0, title: '[1]', lastSeenAt: 99 }).execute()
        const first = await cursorPaginate(from(trx), { by, unique: 'id', perPage: 2 })
        const second = await cursorPaginate(from(trx), { by, unique: 'id', perPage: 50, after: first.pagination.next })
        await trx.deleteFrom('posts').where('id', '=', 99).execute()
        return [...first.items, ...second.items]
      })
      expect(rows[0]).toEqual({ id: 99, lastSeenAt: 99, writerId: 0 })
      const expected = await from(camel).orderBy('writerId').orderBy('lastSeenAt', 'desc').execute()
      expect(rows.slice(1)).toEqual(expected)
    })
  })

  describe('relayConnection', () => {
    test('pages both ways with cursors of each edge', async () => {
      const options = { by: ['title desc'], unique: 'posts.id' } as const
      const all = ids(await posts().orderBy('title', 'desc').orderBy('posts.id', 'desc').execute())
      const first = await relayConnection(posts(), { first: 5, after: null, last: null }, options)
      expect(ids(first.nodes)).toEqual(all.slice(0, 5))
      expect(first.pageInfo).toEqual({
        hasNextPage: true,
        hasPreviousPage: false,
        startCursor: first.edges[0]?.cursor,
        endCursor: first.edges[4]?.cursor,
      })
      const after = first.edges[2]?.cursor
      const next = await relayConnection(posts(), { first: 100, after }, options)
      expect(ids(next.nodes)).toEqual(all.slice(3))
      expect(next.pageInfo).toMatchObject({ hasNextPage: false, hasPreviousPage: true })
      const back = await relayConnection(posts(), { last: 2, before: next.edges[4]?.cursor }, options)
      expect(ids(back.nodes)).toEqual(all.slice(5, 7))
      expect(back.pageInfo).toMatchObject({ hasNextPage: true, hasPreviousPage: true })
      const end = await relayConnection(posts(), { last: 3 }, options)
      expect(ids(end.nodes)).toEqual(all.slice(-3))
      opened.statements()
      expect(await Promise.all([end.totalCount(), end.totalCount()])).toEqual([23, 23])
      expect(opened.statements()).toHaveLength(1)
    })
  })

  describe('readChunks and readRows', () => {
    test('read all rows in order, and go on behind a cursor', async () => {
      const all = ids(await posts().orderBy('title').orderBy('posts.id').execute())
      for (const prefetch of [false, true]) {
        const options = { by: ['title'], unique: 'posts.id', size: 5, prefetch } as const
        opened.statements()
        const chunks = await Array.fromAsync(readChunks(posts(), options))
        expect(opened.statements()).toHaveLength(5)
        expect(chunks.map((chunk) => chunk.rows.length)).toEqual([5, 5, 5, 5, 3])
        expect(ids(chunks.flatMap((chunk) => chunk.rows))).toEqual(all)
        const rest = readChunks(posts(), options).resumeFrom(chunks[1]?.cursor as string)
        expect(ids((await Array.fromAsync(rest)).flatMap((chunk) => chunk.rows))).toEqual(all.slice(10))

        const reader = readRows(posts(), options)
        expect(reader.cursor).toBeNull()
        const seen: object[] = []
        for await (const row of reader) {
          seen.push(row)
          if (seen.length === 7) break
        }
        const resumed = await Array.fromAsync(readRows(posts(), { ...options, after: reader.cursor }))
        expect(ids([...seen, ...resumed])).toEqual(all)
        expect(ids(await Array.fromAsync(readRows(posts(), options).resumeFrom(reader.cursor as string)))).toEqual(
          all.slice(7),
        )
      }
      expect(await Array.fromAsync(readRows(posts().where('posts.id', '<', 0), { unique: 'posts.id' }))).toEqual([])
      const chunks = await Array.fromAsync(readChunks(posts(), { unique: 'posts.id' }))
      const gone = { unique: 'posts.id', after: chunks[0]?.cursor }
      expect(await Array.fromAsync(readRows(posts().where('posts.id', '<', 23), gone))).toEqual([])
    })
  })
}
