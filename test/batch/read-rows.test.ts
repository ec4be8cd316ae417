import BetterSqlite3 from 'better-sqlite3'
import { Kysely, SqliteDialect } from 'kysely'
import { batchProcess, batchProcessChunks, kyselyCheckpoints, readChunks, readRows } from 'posthaste'
import { describe, expect, it } from 'vitest'

interface Tables {
  events: { id: number; at: string }
}
const range = (count: number) => Array.from({ length: count }, (_, index) => index)

async function open() {
  const statements: string[] = []
  const db = new Kysely<Tables>({
    dialect: new SqliteDialect({ database: new BetterSqlite3(':memory:') }),
    log: ({ query }) => void (query.sql.includes('from "events"') && statements.push(query.sql)),
  })
  await db.schema.createTable('events').addColumn('id', 'integer').addColumn('at', 'text').execute()
  await db
    .insertInto('events')
    .values(range(50).map((id) => ({ id, at: `day ${Math.floor(id / 9)}` })))
    .execute()
  const rows = () => readRows(db.selectFrom('events').selectAll(), { by: ['at'], unique: 'id', size: 10 })
  return { db, statements, rows, checkpoint: { key: 'job', store: kyselyCheckpoints(db) } }
}

describe('a run over rows of a table', () => {
  it('seeks to its checkpoint, in the middle of a chunk of rows', async () => {
    const { rows, checkpoint, statements } = await open()
    const seen: number[] = []
    const run = (failAt: number) =>
      batchProcess(
        rows(),
        ({ id }) => {
          if (id === failAt) throw new Error('no')
          seen.push(id)
        },
        { checkpoint, batchSize: 7, concurrency: 1 },
      )
    await expect(run(30)).rejects.toThrow()
    expect(await checkpoint.store.load('job')).toEqual({ processed: 28, cursor: expect.any(String) })
    statements.length = 0
    expect(await run(-1)).toMatchObject({ resumed: 28, processed: 22 })
    expect(seen).toEqual([...range(30), ...range(50).slice(28)])
    expect(statements.length).toBeLessThanOrEqual(4)
  })

  it('does so in transactions', async () => {
    const { db, rows, checkpoint } = await open()
    const run = (failAt: number) =>
      batchProcessChunks(
        rows(),
        async (chunk, { trx }) => {
          for (const { id } of chunk) {
            if (id === failAt) throw new Error('no')
            await trx.updateTable('events').set({ at: 'x' }).where('id', '=', id).execute()
          }
        },
        { checkpoint, batchSize: 10, transaction: db },
      )
    await expect(run(25)).rejects.toThrow()
    const left = () => db.selectFrom('events').select('id').where('at', '!=', 'x').orderBy('id').execute()
    expect((await left()).map(({ id }) => id)).toEqual(range(50).slice(20))
  })

  it('loses no row after a stop in the middle of a batch, though the rows that were done left the query', async () => {
    for (const kind of ['item', 'chunk'] as const) {
      for (const stopAt of [10, 14, 19, 20, 29]) {
        const { db, checkpoint } = await open()
        const undone = db.selectFrom('events').selectAll().where('at', '!=', 'done')
        const finish = async (id: number, { trx }: { trx: typeof db }, failing: readonly number[]) => {
          if (failing.includes(id)) throw new Error('no')
          await trx.updateTable('events').set({ at: 'done' }).where('id', '=', id).execute()
        }
        const run = (failing: readonly number[]) => {
          const options = { checkpoint, batchSize: 10, transaction: db, maxFailures: 1, onError: 'isolate' } as const
          const rows = readRows(undone, { unique: 'id', size: 8 })
          if (kind === 'item') return batchProcess(rows, ({ id }, context) => finish(id, context, failing), options)
          const finishAll = async (chunk: readonly { id: number }[], context: { trx: typeof db }) => {
            for (const { id } of chunk) await finish(id, context, failing)
          }
          return batchProcessChunks(rows, finishAll, options)
        }
        await expect(run([3, stopAt])).rejects.toMatchObject({ result: { stopped: 'maxFailures' } })
        await run([])
        const left = await undone.execute()
        expect({ kind, stopAt, left: left.map(({ id }) => id) }).toEqual({ kind, stopAt, left: [3] })
      }
    }
  })

  it('takes chunks as items, too', async () => {
    const { db, checkpoint } = await open()
    const run = (failAt: number) =>
      batchProcess(
        readChunks(db.selectFrom('events').selectAll(), { unique: 'id', size: 10 }),
        ({ rows }) => {
          if (rows.some(({ id }) => id === failAt)) throw new Error('no')
          return rows.length
        },
        { checkpoint, batchSize: 1, concurrency: 1 },
      )
    await expect(run(25)).rejects.toThrow()
    expect((await run(-1)).results).toEqual([10, 10, 10])
  })
})
