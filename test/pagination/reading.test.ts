import { sql } from 'kysely'
import { paginate, readChunks, readRows } from 'posthaste/pagination'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { cannedPostgres } from '../../bench/support/canned.ts'
import { collectGarbage } from '../support/collect-garbage.ts'
import { engines, type Opened } from './support/engines.ts'

// Small enough for every run; READ_ROWS=1000000 is the size that is promised.
const size = Number(process.env.READ_ROWS ?? 60_000)
const [sqlite] = engines

describe('reading a large table', () => {
  let opened: Opened

  beforeAll(async () => {
    opened = await (sqlite as (typeof engines)[0]).open()
    await sql`create table numbers (id integer primary key, text text not null)`.execute(opened.db)
    await sql`insert into numbers with recursive s (n) as (select 1 union all select n + 1 from s where n < ${size}) select n, 'the text of a row, of some length' from s`.execute(
      opened.db,
    )
  })
  afterAll(() => opened.close())

  it('takes no more memory at the end than at the start, and one statement a chunk, which skips nothing', async () => {
    opened.statements()
    // The first reading is the compiler’s.
    let heap: number[] = []
    for (let reading = 0; reading < 2; reading++) {
      heap = []
      let rows = 0
      for await (const chunk of readChunks(opened.db.selectFrom('numbers').selectAll(), { unique: 'id' })) {
        rows += chunk.rows.length
        const [statement = '', ...others] = opened.statements()
        expect(others).toEqual([])
        expect(statement).not.toContain('offset')
        if (rows % (size / 10) > 0) continue
        collectGarbage()
        heap.push(process.memoryUsage().heapUsed)
      }
      expect(rows).toBe(size)
    }
    const page = 1_000 * 200
    expect((heap.at(-1) as number) - (heap[0] as number)).toBeLessThan(5 * page)
  })

  it('stops when it is told to, with the reason, and leaves no statement running', async () => {
    const reason = new Error('enough')
    for (const prefetch of [false, true]) {
      const controller = new AbortController()
      const read = async () => {
        for await (const row of readRows(opened.db.selectFrom('numbers').selectAll(), {
          unique: 'id',
          size: 10,
          prefetch,
          signal: controller.signal,
        })) {
          if (row.id === 25) controller.abort(reason)
          expect(row.id).toBeLessThanOrEqual(25)
        }
      }
      await expect(read()).rejects.toBe(reason)
    }
    const before = paginate(opened.db.selectFrom('numbers').selectAll(), {
      unique: 'id',
      signal: AbortSignal.abort(reason),
    })
    await expect(before).rejects.toBe(reason)
  })
})

describe('an order in which each of two rows follows the other', () => {
  it('does not make a reading endless', async () => {
    const canned = cannedPostgres<{ numbers: { id: number } }>()
    const read: number[] = []
    const walk = async () => {
      canned.rows = [
        { id: 1, ...keyOf(1) },
        { id: 2, ...keyOf(2) },
      ]
      const query = canned.db.selectFrom('numbers').selectAll()
      for await (const chunk of readChunks(query, { unique: 'id', size: 1 })) {
        const { id } = chunk.rows[0] as { id: number }
        read.push(id)
        canned.rows = [{ id }, { id: 3 - id }, { id }]
      }
    }
    await expect(walk()).rejects.toMatchObject({
      code: 'ERR_CURSOR_UNSTABLE',
      message: expect.stringContaining('come round to a cursor'),
    })
    expect(read).toEqual([1, 2, 1])
  })
})

/** The key as PostgreSQL's `record_send` writes it: the number of fields, the type, the length, the value. */
function keyOf(id: number): object {
  return { posthastek0: [1, 23, 4, id].map((value) => value.toString(16).padStart(8, '0')).join('') }
}
