import { sql } from 'kysely'
import {
  batchProcessChunks,
  cursorPaginate,
  expectQueries,
  ignoreNPlusOne,
  kyselyCheckpoints,
  type NPlusOne,
  type NPlusOneOptions,
  paginate,
  queryReport,
  readRows,
  type Warning,
  withQueryScope,
} from 'posthaste'
import { describe, expect, it } from 'vitest'
import { openSqlite } from '../support/sqlite.ts'

const ids = [1, 2, 3, 4, 5, 6, 7]

function open(nPlusOne: NPlusOneOptions = {}) {
  const findings: NPlusOne[] = []
  const db = openSqlite({ nPlusOne, onNPlusOne: (finding) => findings.push(finding) })
  const load = (id: number) => db.selectFrom('users').select(['id', 'name']).where('id', '=', id).executeTakeFirst()
  async function findUser(id: number) {
    return await load(id)
  }
  return { db, findings, load, findUser }
}

/** The line of this file that the marker stands on, counted from 1. */
async function lineOf(marker: string): Promise<number> {
  const { readFile } = await import('node:fs/promises')
  const lines = (await readFile(import.meta.filename, 'utf8')).split('\n')
  return lines.findIndex((line) => line.includes(`// ${marker}`) && !line.includes('lineOf')) + 1
}

describe('the N+1 detector', () => {
  it('finds a loop that awaits, and names the helper, the loop and the rewrite', async () => {
    const { findings, findUser } = open()
    await withQueryScope('GET /users', async () => {
      for (const id of ids) {
        await findUser(id) // the awaiting loop
      }
    })
    expect(findings).toEqual([
      {
        kind: 'n+1',
        shape: 'select "id", "name" from "users" where "id" = ?',
        count: 7,
        distinctParameters: 7,
        totalMs: expect.any(Number),
        scope: 'GET /users',
        callSite: expect.objectContaining({ file: import.meta.filename, function: 'load' }),
        loopSite: expect.objectContaining({ file: import.meta.filename, line: await lineOf('the awaiting loop') }),
        suggestion: expect.stringContaining("db.selectFrom('users').select(['id', 'name']).where('id', 'in', ids)"),
      },
    ])
  })

  it('compares parameters of any size that have no JSON', async () => {
    const { db, findings } = open()
    const circular: { id: number; self?: unknown } = { id: 1 }
    circular.self = circular
    const files = ids.map((id) => Buffer.alloc(1_000_000, id))
    for (const value of [...files, ...ids.map(() => circular)]) {
      // SQLite takes no objects: the statement fails, after it was counted.
      await withQueryScope('one', () => sql`select ${value}, id from users`.execute(db).catch(() => {}))
    }
    expect(findings).toEqual([])
    await withQueryScope('files', async () => {
      for (const file of files) await sql`select id from users where name = ${file}`.execute(db)
    })
    await withQueryScope('objects', async () => {
      for (const _ of ids) await sql`select id from users where name = ${circular}`.execute(db).catch(() => {})
    })
    expect(findings.map(({ kind }) => kind)).toEqual(['n+1', 'duplicate'])
  })

  it('finds it in Promise.all, where everything is built before anything runs', async () => {
    const { findings, load } = open()
    await withQueryScope('all', () => Promise.all(ids.map((id) => load(id)))) // the map
    expect(findings).toMatchObject([
      { kind: 'n+1', count: 7, callSite: { function: 'load' }, loopSite: { line: await lineOf('the map') } },
    ])
  })

  it('finds it when nobody awaits, even after the scope has ended', async () => {
    const { findings, load } = open()
    const started: Promise<unknown>[] = []
    withQueryScope('fire and forget', () => {
      for (const id of ids) {
        started.push(load(id)) // the loop that awaits nothing
      }
    })
    await Promise.all(started)
    expect(findings).toMatchObject([
      { kind: 'n+1', scope: 'fire and forget', loopSite: { line: await lineOf('the loop that awaits nothing') } },
    ])
  })

  it('finds queries that were compiled before, and writes in a loop', async () => {
    const { db, findings } = open()
    await withQueryScope('raw', async () => {
      for (const id of ids)
        await db.executeQuery(db.selectFrom('orders').selectAll().where('user_id', '=', id).compile())
      for (const id of ids) await db.insertInto('orders').values({ user_id: id, status: 'new', total: 1 }).execute()
      for (const id of ids) await db.updateTable('orders').set({ total: 2 }).where('user_id', '=', id).execute()
      for (const id of ids) await db.deleteFrom('orders').where('user_id', '=', id).execute()
    })
    expect(findings.map(({ suggestion }) => suggestion)).toEqual([
      expect.stringContaining("db.selectFrom('orders').selectAll().where('user_id', 'in', userIds)"),
      expect.stringContaining("db.insertInto('orders').values(rows)"),
      expect.stringContaining("db.updateTable('orders').set(…).where('user_id', 'in', userIds)"),
      expect.stringContaining("db.deleteFrom('orders').where('user_id', 'in', userIds)"),
    ])
  })

  it('suggests tuples where several columns vary, and no grouping', async () => {
    const { db, findings } = open()
    const orders = db
      .selectFrom('orders')
      .innerJoin('users', 'users.id', 'orders.user_id')
      .select((eb) => ['orders.id', eb.fn.count('users.id').as('count')])
      .where((eb) => eb(eb.fn('lower', ['status']), '=', 'open'))
    await withQueryScope('pairs', async () => {
      for (const id of ids) {
        await orders
          .where('user_id', '=', id)
          .where('total', '=', id * 10)
          .execute()
      }
    })
    expect(findings[0]?.suggestion).toBe(
      "Load all rows at once: db.selectFrom('orders').selectAll().where((eb) => eb(eb.refTuple('user_id', 'total'), 'in', tuples.map((tuple) => eb.tuple(...tuple)))).execute()",
    )
  })

  it('suggests the same query where the column that varies is that of a joined table', async () => {
    const { db, findings } = open()
    const users = db.selectFrom('users').innerJoin('orders', 'orders.user_id', 'users.id').select('users.name')
    await withQueryScope('joined', async () => {
      for (const id of ids) await users.where('orders.id', '=', id).execute()
    })
    expect(findings[0]?.suggestion).toContain(
      "the same query with where('orders.id', 'in', ids), then Map.groupBy(rows, (row) => row.id)",
    )
  })

  it('suggests a condition on a column that was written by `sql.ref`', async () => {
    const { db, findings } = open()
    await withQueryScope('references', async () => {
      for (const id of ids) await db.selectFrom('users').select('name').where(sql.ref('id'), '=', id).execute()
    })
    expect(findings[0]?.suggestion).toContain("where('id', 'in', ids)")
  })

  it('suggests a condition on a column that stands behind its value', async () => {
    const { db, findings } = open()
    await withQueryScope('mirrored', async () => {
      for (const id of ids) {
        await db
          .selectFrom('users')
          .select('name')
          .where((eb) => eb(eb.val(id), '=', eb.ref('id')))
          .execute()
      }
    })
    expect(findings[0]?.suggestion).toContain("where('id', 'in', ids)")
  })

  it('suggests what it can for raw SQL, and statements for which there is no rewrite', async () => {
    const { db, findings } = open()
    await withQueryScope('raw', async () => {
      for (const id of ids) await sql`select * from users where id = ${id}`.execute(db)
      for (const id of ids) await sql`select * from ${sql.table('users')} where id = ${id}`.execute(db)
      for (const id of ids) await sql`replace into ${sql.table('orders')} values (${id}, 1, 'new', 1)`.execute(db)
    })
    expect(findings.map(({ suggestion }) => suggestion)).toEqual([
      'Ask for all the values in one statement, and group its rows in memory.',
      "Load all rows at once: db.selectFrom('users').selectAll().where(…).execute()",
      'Do it for all the values in one statement.',
    ])
  })

  it('tells lists of one and big integers apart by their value', async () => {
    const { db, findings } = open()
    const users = db.selectFrom('users').selectAll()
    await withQueryScope('values', async () => {
      for (const id of ids) await users.where('id', '=', BigInt(id) as never).execute()
      for (const id of ids) await users.where('org_id', 'in', [id]).execute()
    })
    expect(findings).toMatchObject([
      { kind: 'n+1', distinctParameters: 7 },
      { kind: 'n+1', distinctParameters: 7 },
    ])
  })

  it('says nothing as long as neither the values nor the repetitions reach the threshold', async () => {
    const { findings, load } = open({ threshold: 5 })
    await withQueryScope('mixed', async () => {
      for (const id of [1, 1, 2, 2, 3]) await load(id)
    })
    expect(findings).toEqual([])
    await withQueryScope('more', async () => {
      for (const id of [1, 1, 2, 2, 3, 4, 5]) await load(id)
    })
    expect(findings).toMatchObject([{ kind: 'n+1', count: 7, distinctParameters: 5 }])
  })

  it('tells a thousand values apart, and counts on', async () => {
    const { findings, load } = open()
    await withQueryScope('many', async () => {
      for (let id = 0; id < 1_005; id += 1) await load(id)
    })
    expect(findings).toMatchObject([{ kind: 'n+1', count: 1_005, distinctParameters: 1_000 }])
  })

  it('names no line where none of the user’s code is on the stack', async () => {
    const warnings: Warning[] = []
    const ran = Promise.withResolvers<void>()
    let runs = 0
    const db = openSqlite({
      onWarn: (warning) => warnings.push(warning),
      onQuery: () => {
        runs += 1
        if (runs === 5) ran.resolve()
      },
    })
    await withQueryScope('scheduled', () => {
      for (const id of [1, 2, 3, 4, 5]) {
        const query = db.selectFrom('users').selectAll().where('id', '=', id)
        setImmediate(query.execute.bind(query))
      }
      return ran.promise
    })
    expect(warnings).toEqual([
      {
        code: 'N_PLUS_ONE',
        message:
          'scheduled ran the same query 5 times with other values each time: select * from "users" where "id" = ?. ' +
          "Load all rows at once: db.selectFrom('users').selectAll().where('id', 'in', ids).execute(), then Map.groupBy(rows, (row) => row.id)",
      },
    ])
  })

  it('calls the same values duplicates, and suggests to keep the result', async () => {
    const { findings, load } = open()
    await withQueryScope('dup', async () => {
      for (let time = 0; time < 5; time += 1) await load(1)
    })
    expect(findings).toMatchObject([{ kind: 'duplicate', count: 5, distinctParameters: 1 }])
    expect(findings[0]?.suggestion).toContain('cachedQuery')
  })

  it('stays silent on fewer runs than the threshold, and without a scope', async () => {
    const { findings, load } = open({ threshold: 5 })
    await withQueryScope('four', async () => {
      for (const id of [1, 2, 3, 4]) await load(id)
    })
    for (const id of ids) await load(id)
    expect(findings).toEqual([])
  })

  it('stays silent on one batch, and on batches in a loop, whatever their size', async () => {
    const { db, findings } = open()
    await withQueryScope('batches', async () => {
      for (let size = 2; size < 10; size += 1) {
        const batch = Array.from({ length: size }, (_, id) => id)
        await db.selectFrom('users').selectAll().where('id', 'in', batch).execute()
        await db
          .insertInto('orders')
          .values(batch.map((id) => ({ user_id: id, status: 'x', total: 1 })))
          .execute()
      }
    })
    expect(findings).toEqual([])
  })

  it('stays silent on our own pages', async () => {
    const { db, findings } = open({ threshold: 2 })
    await withQueryScope('pages', async () => {
      for (let page = 1; page <= 5; page += 1) {
        await paginate(db.selectFrom('users').selectAll(), { page, perPage: 2, unique: 'id' })
      }
      let after: string | null = null
      do {
        const page: { pagination: { next: string | null } } = await cursorPaginate(db.selectFrom('users').selectAll(), {
          ...(after === null ? {} : { after }),
          by: ['name'],
          unique: 'id',
          perPage: 2,
        })
        after = page.pagination.next
      } while (after !== null)
      for await (const row of readRows(db.selectFrom('users').selectAll(), { unique: 'id', size: 2 })) void row
    })
    expect(findings).toEqual([])
  })

  it.each([false, true])('stays silent on our own checkpoints, with transactions: %s', async (inTransactions) => {
    const { db, findings } = open({ threshold: 2, mode: 'throw' })
    const store = kyselyCheckpoints(db)
    const items = Array.from({ length: 12 }, (_, index) => index)
    const seen: number[] = []
    const options = { batchSize: 2, checkpoint: { key: 'job', store } }
    await withQueryScope('job', () =>
      batchProcessChunks(
        items,
        (chunk) => {
          seen.push(...chunk)
        },
        inTransactions ? { ...options, transaction: db } : options,
      ),
    )
    expect(seen).toEqual(items)
    expect(findings).toEqual([])
  })

  it('ends a job whose checkpoint is the query over the budget', async () => {
    const { db } = open({ mode: 'throw' })
    const store = kyselyCheckpoints(db)
    await store.save('job', { processed: 1 })
    const save = () => store.save('job', { processed: 2 })
    await expect(withQueryScope('job', save, { maxQueries: 0 })).rejects.toMatchObject({ code: 'ERR_QUERY_BUDGET' })
  })

  it('stays silent on pages by hand: offsets, and bounds on the keys of the order', async () => {
    const { db, findings } = open({ threshold: 3 })
    await withQueryScope('by hand', async () => {
      for (let offset = 0; offset < 10; offset += 2) {
        await db.selectFrom('users').selectAll().orderBy('id').limit(2).offset(offset).execute()
      }
      for (let last = 0; last < 10; last += 2) {
        await db.selectFrom('users').selectAll().where('id', '>', last).orderBy('id').limit(2).execute()
      }
    })
    expect(findings).toEqual([])
  })

  it('stays silent on such pages whatever else the query compares, as long as that stays the same', async () => {
    const { db, findings } = open({ threshold: 3 })
    const since = () => new Date(0).toISOString()
    await withQueryScope('filtered', async () => {
      const orders = () =>
        db
          .selectFrom('orders')
          .innerJoin('users', 'users.id', 'orders.user_id')
          .select('orders.id')
          .where('status', 'in', ['open'])
          .where('name', '>=', sql<string>`${since()}`)
          .where('name', sql`<>`, 'nobody')
          .orderBy(sql`lower(name)`)
          .orderBy('orders.id')
          .limit(2)
      for (let offset = 0; offset < 10; offset += 2) await orders().offset(offset).execute()
      for (let last = 0; last < 10; last += 2) await orders().where('orders.id', '>', last).execute()
    })
    expect(findings).toEqual([])
  })

  it('is not misled by an order: the last order of each user is an N+1', async () => {
    const { db, findings } = open()
    await withQueryScope('latest', async () => {
      for (const id of ids) {
        await db.selectFrom('orders').selectAll().where('user_id', '=', id).orderBy('id', 'desc').limit(1).execute()
      }
    })
    expect(findings).toMatchObject([{ kind: 'n+1', count: 7 }])
  })

  it('stays silent on 50 concurrent requests that each run a query once', async () => {
    const { db, findings, load } = open()
    const request = (id: number) => withQueryScope('GET /users/:id', () => load(id))
    await Promise.all(Array.from({ length: 50 }, (_, id) => request(id)))
    expect(findings).toEqual([])
    expect(queryReport(db).nPlusOne).toEqual([])
  })

  it('leaves loops alone that are meant', async () => {
    const { findings, load } = open()
    await withQueryScope('meant', () =>
      ignoreNPlusOne(async () => {
        for (const id of ids) await load(id)
      }),
    )
    expect(findings).toEqual([])
  })

  it('rejects the query that reaches the threshold in mode throw', async () => {
    const { load } = open({ mode: 'throw', threshold: 3 })
    let done = 0
    const run = withQueryScope('strict', async () => {
      for (const id of ids) {
        await load(id)
        done += 1
      }
    })
    await expect(run).rejects.toMatchObject({ code: 'ERR_N_PLUS_ONE', finding: { count: 3 } })
    expect(done).toBe(2)
  })

  it('warns where nobody listens, with the line, the values and the rewrite', async () => {
    const warnings: Warning[] = []
    const run = async (maxQueries?: number) => {
      const db = openSqlite({ onWarn: (warning) => warnings.push(warning) })
      const load = () => db.selectFrom('users').selectAll().where('id', '=', 1).execute()
      const request = async () => {
        for (let time = 0; time < 5; time += 1) await load()
      }
      await withQueryScope('GET /users', request, { maxQueries })
    }
    await run(4)
    await run()
    expect(warnings).toEqual([
      {
        code: 'N_PLUS_ONE',
        message:
          "GET /users ran 5 queries. Load what it needs with fewer statements: joins, 'in' lists, or a cache. 4 are allowed.",
      },
      {
        code: 'N_PLUS_ONE',
        message: expect.stringMatching(
          /^GET \/users ran the same query 5 times with the same values at load \(.*n-plus-one\.test\.ts:\d+:\d+\): select \* from "users" where "id" = \?\. Run it once/,
        ),
      },
    ])
  })

  it('keeps the last hundred findings for the report', async () => {
    const { db, load } = open({ threshold: 2 })
    for (let request = 0; request < 101; request += 1) {
      await withQueryScope(`request ${request}`, async () => {
        await load(1)
        await load(2)
      })
    }
    const scopes = queryReport(db).nPlusOne.map(({ scope }) => scope)
    expect(scopes).toEqual(Array.from({ length: 100 }, (_, index) => `request ${index + 1}`))
  })

  it('rejects the query that breaks the budget in mode throw', async () => {
    const { load } = open({ mode: 'throw' })
    const run = withQueryScope('thrifty', () => load(1).then(() => load(2)), { maxQueries: 1 })
    await expect(run).rejects.toMatchObject({
      code: 'ERR_QUERY_BUDGET',
      message: expect.stringMatching(/^thrifty ran 2 queries\. .* 1 are allowed\.$/),
    })
  })

  it('reports a scope that runs more queries than its budget, once', async () => {
    const { findings, db } = open()
    await withQueryScope(
      'thrifty',
      async () => {
        for (const id of [1, 2, 3, 4]) await db.selectFrom('users').selectAll().where('id', '=', id).execute()
      },
      { maxQueries: 2 },
    )
    expect(findings).toMatchObject([{ kind: 'budget', scope: 'thrifty', count: 4 }])
  })

  it('says nothing in mode silent, and has it in the report', async () => {
    const { db, findings, load } = open({ mode: 'silent' })
    await withQueryScope('quiet', async () => {
      for (const id of ids) await load(id)
    })
    expect(findings).toEqual([])
    expect(queryReport(db).nPlusOne).toMatchObject([{ kind: 'n+1', count: 7 }])
  })

  it('is off when told so', async () => {
    const db = openSqlite({ nPlusOne: false })
    await withQueryScope('off', async () => {
      for (const id of ids) await db.selectFrom('users').selectAll().where('id', '=', id).execute()
    })
    expect(queryReport(db).nPlusOne).toEqual([])
  })
})

describe('expectQueries', () => {
  it('returns the result, and lets pass what keeps within the limit', async () => {
    const { load } = open()
    expect(await expectQueries(() => load(1), { max: 1 })).toMatchObject({ id: 1 })
  })

  it('rejects too many queries, those of scopes within included', async () => {
    const { load } = open()
    const run = () => withQueryScope('request', () => Promise.all([load(1), load(2)]))
    await expect(expectQueries(run, { max: 1 })).rejects.toMatchObject({
      code: 'ERR_QUERY_BUDGET',
      message: '2 queries ran, where at most 1 are expected',
    })
  })

  it('says that a scope within broke its own budget, and not that a query was repeated', async () => {
    const { load } = open()
    const run = () => withQueryScope('thrifty', () => Promise.all([load(1), load(2)]), { maxQueries: 1 })
    await expect(expectQueries(run)).rejects.toMatchObject({
      code: 'ERR_QUERY_BUDGET',
      message: expect.stringContaining('thrifty ran 2 queries'),
    })
  })

  it('rejects a repeated query, unless told otherwise', async () => {
    const { findUser } = open()
    const run = async () => {
      for (const id of ids) await findUser(id)
    }
    await expect(expectQueries(run)).rejects.toMatchObject({ code: 'ERR_N_PLUS_ONE' })
    await expect(expectQueries(run, { noNPlusOne: false })).resolves.toBeUndefined()
  })
})
