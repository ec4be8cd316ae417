import { sql } from 'kysely'
import {
  base64UrlCodec,
  codecPipe,
  createPaginator as createKyselyCursor,
  PostgresPaginationDialect,
  superJsonCodec,
} from 'kysely-cursor'
import { createPaginator } from 'posthaste/pagination'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { engines, type Opened } from './support/engines.ts'

interface Note {
  id: number
  at: string
  title: string
}

/** The form that many applications wrote for themselves. */
const base64 = {
  encode: (values: readonly unknown[]) => Buffer.from(JSON.stringify(values)).toString('base64'),
  decode: (cursor: string): readonly unknown[] => JSON.parse(Buffer.from(cursor, 'base64').toString()),
}

describe.each(engines)('$name: cursors from before the switch', ({ dialect, available, open }) => {
  let opened: Opened

  beforeAll(async () => {
    if (!available) return
    opened = await open()
    const type = { postgres: 'timestamptz', mysql: 'datetime(6)', sqlite: 'text', mssql: '' }[dialect]
    await sql
      .raw(
        `create table notes (id int primary key, at ${type} not null, title varchar(20), amount numeric(12, 4) not null)`,
      )
      .execute(opened.db)
    const rows = Array.from({ length: 9 }, (_, at) => {
      return `(${at + 1}, '2026-01-0${(at % 3) + 1} 00:00:00.00000${at % 2}', ${at % 4 === 0 ? 'null' : `'t${at % 2}'`}, ${at % 3}.5)`
    })
    await sql.raw(`insert into notes values ${rows.join(', ')}`).execute(opened.db)
  })
  afterAll(() => opened?.close(), 60_000)

  const notes = () => opened.db.selectFrom('notes').select('id')
  const pager = createPaginator({ secret: 'new', decodeLegacy: base64.decode })
  const zone = dialect === 'postgres' ? '+00' : ''

  it.skipIf(!available).each([
    { by: ['at desc'], values: ['2026-01-02 00:00:00.000001', 8] },
    { by: ['amount'], values: ['1.5000', 5] },
    { by: [{ key: 'title', nulls: 'last' }], values: ['t1', 4] },
    { by: [{ key: 'title', nulls: 'first' }], values: [null, 5] },
    { by: [], values: [3] },
  ])('are read, and followed by ours: $by', async ({ by, values }) => {
    if (by[0] === 'at desc') values[0] += zone
    if (by[0] === 'amount' && dialect === 'sqlite') values[0] = 1.5
    const list = { by: by as never, unique: 'id', perPage: 2 }
    const all: number[] = []
    for await (const row of pager.readRows(notes(), { by: by as never, unique: 'id' })) all.push(row.id as number)
    const at = all.indexOf(values.at(-1) as number)
    expect(at).toBeGreaterThanOrEqual(0)
    const page = await pager.cursorPaginate(notes(), { ...list, after: base64.encode(values) })
    expect(page.items.map(({ id }) => id)).toEqual(all.slice(at + 1, at + 3))
    expect(page.pagination).toMatchObject({ hasPrev: true, hasNext: at + 3 < all.length })
    const before = await pager.cursorPaginate(notes(), { ...list, before: base64.encode(values) })
    expect(before.items.map(({ id }) => id)).toEqual(all.slice(Math.max(0, at - 2), at))
    if (page.pagination.next === null) return
    expect(page.pagination.next).toMatch(/^[\w-]+\.[\w-]{22}$/)
    const next = await pager.cursorPaginate(notes(), { ...list, after: page.pagination.next })
    expect(next.items.map(({ id }) => id)).toEqual(all.slice(at + 3, at + 5))
  })

  it.skipIf(!available)('are refused as a client’s error where they are none', async () => {
    const list = { by: ['at'], unique: 'id', perPage: 2 }
    const none = [
      'x',
      base64.encode([1]),
      base64.encode([null, 1]),
      base64.encode(['a', 1, 2]),
      base64.encode([{}, []]),
    ]
    for (const after of [...none, Buffer.from('{}').toString('base64')]) {
      await expect(pager.cursorPaginate(notes(), { ...list, after })).rejects.toMatchObject({
        code: 'ERR_CURSOR_INVALID',
        status: 400,
      })
    }
  })

  it.skipIf(!available)('are refused where the decoder is asynchronous, and end no process', async () => {
    const unhandled: unknown[] = []
    const onUnhandled = (error: unknown) => unhandled.push(error)
    process.on('unhandledRejection', onUnhandled)
    const { cursorPaginate } = createPaginator({
      decodeLegacy: (async (cursor: string) => base64.decode(cursor)) as never,
    })
    const page = cursorPaginate(notes(), { unique: 'id', after: 'x' })
    await expect(page).rejects.toMatchObject({ code: 'ERR_CURSOR_INVALID' })
    await new Promise(setImmediate)
    process.off('unhandledRejection', onUnhandled)
    expect(unhandled).toEqual([])
  })

  it.skipIf(!available || dialect !== 'postgres')('of kysely-cursor lead on', async () => {
    const codec = codecPipe(superJsonCodec, base64UrlCodec)
    const theirs = createKyselyCursor({ dialect: PostgresPaginationDialect, cursorCodec: codec })
    const query = opened.db.selectFrom('notes').selectAll()
    const old = await theirs.paginate({
      query: query as never,
      sorts: [
        { col: 'notes.amount', output: 'amount', dir: 'asc' },
        { col: 'notes.id', output: 'id', dir: 'asc' },
      ] as never,
      limit: 4,
    })
    const cursor = (old as { nextPage?: string }).nextPage as string
    const seen = (old as { items: Note[] }).items.map(({ id }) => id)
    // The recipe of docs/pagination.md: their content is `{ json: { sig, k } }` in base64url.
    const switched = createPaginator({
      decodeLegacy(text) {
        const { json, k } = JSON.parse(Buffer.from(text, 'base64url').toString())
        return Object.values(json?.k ?? k)
      },
    })
    const page = await switched.cursorPaginate(query, { by: ['amount'], unique: 'id', perPage: 50, after: cursor })
    const all = await query.orderBy('amount').orderBy('id').execute()
    expect([...seen, ...page.items.map(({ id }) => id as number)]).toEqual(all.map(({ id }) => id))
  })
})
