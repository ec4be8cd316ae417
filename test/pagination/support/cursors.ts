import { createHmac } from 'node:crypto'
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { sql } from 'kysely'
import { createPaginator } from 'posthaste/pagination'
import { beforeAll, expect, test } from 'vitest'
import type { Engine, Opened } from './engines.ts'

const numRuns = Number(process.env.PROPERTY_RUNS ?? 40)
const plain = createPaginator()
const signed = createPaginator({ secret: ['new secret', 'old secret'] })

/** What becomes of cursors that are old, foreign, damaged or forged. */
export function describeCursors({ dialect }: Engine, database: () => Opened): void {
  let opened: Opened

  beforeAll(async () => {
    opened = database()
    const level = dialect === 'postgres' ? 'note_level' : 'varchar(10)'
    if (dialect === 'postgres') await sql`create type note_level as enum ('low', 'high')`.execute(opened.db)
    await sql`create table notes (id int primary key, at ${sql.raw(dialect === 'mysql' ? 'datetime(6)' : 'timestamp')} not null, text varchar(4000) not null, level ${sql.raw(level)} not null)`.execute(
      opened.db,
    )
    const notes = [1, 2, 3, 4].map((id) => ({ id, at: '2024-01-01 00:00:00.000001', text: 'x', level: 'low' }))
    await opened.db.insertInto('notes').values(notes).execute()
  })

  const notes = () => opened.db.selectFrom('notes').select('id')
  const list = { by: ['at desc'], unique: 'id', perPage: 2 }
  const isClientError = { status: 400, code: expect.stringMatching(/^ERR_CURSOR_(INVALID|MISMATCH)$/) }
  const nextOf = async ({ cursorPaginate }: typeof plain, options: object = list) =>
    (await cursorPaginate(notes(), options as typeof list)).pagination.next as string

  test('refuse whatever is not one, before anything is sent', async () => {
    const cursors = [await nextOf(plain), await nextOf(signed)]
    const hostile = fc.oneof(
      fc.string(),
      fc.anything().filter((value) => value !== null && value !== undefined),
      fc.string({ minLength: 2_049, maxLength: 5_000 }),
      fc.base64String(),
      // One character of a real one changed, lost or added.
      fc
        .tuple(fc.constantFrom(...cursors), fc.nat(), fc.constantFrom('A', 'b', '_', '.', ' ', '', 'é'))
        .map(([cursor, at, letter]) => {
          const place = at % cursor.length
          const changed = cursor.slice(0, place) + letter + cursor.slice(place + 1)
          return changed === cursor ? `${cursor}A` : changed
        }),
    )
    const property = fc.asyncProperty(
      hostile,
      fc.constantFrom('after' as const, 'before' as const),
      async (cursor, side) => {
        for (const pager of [plain, signed]) {
          opened.statements()
          const page = pager.cursorPaginate(notes(), { ...list, [side]: cursor })
          await expect(page).rejects.toMatchObject(isClientError)
          await expect(
            pager.relayConnection(notes(), { [side === 'after' ? 'first' : 'last']: 2, [side]: cursor }, list),
          ).rejects.toMatchObject(isClientError)
          expect(opened.statements()).toEqual([])
        }
      },
    )
    await fc.assert(property, { numRuns })
  })

  test('refuse what was forged with the checksum right', async () => {
    const next = await nextOf(plain)
    const [version, fingerprint, page, ...keys] = contentOf(next)
    const contents = [
      [version, fingerprint, page],
      [version, fingerprint, page, ...keys, 't1'],
      [version, fingerprint, page, ...keys.map(() => null)],
      [version, fingerprint, page, ...keys.map(() => 7)],
      [version, fingerprint, page, ...keys.map(() => ({ toString: 'x' }))],
      [version, fingerprint, -1, ...keys],
      [version, fingerprint, 0.5, ...keys],
      [1, fingerprint, page, ...keys],
      [version, 'another', page, ...keys],
      { 0: version, 1: fingerprint },
      'text',
      null,
    ]
    for (const content of contents) {
      const page = plain.cursorPaginate(notes(), { ...list, after: forge(content) })
      await expect(page).rejects.toMatchObject(isClientError)
    }
  })

  test('turn what the database cannot read of a forged cursor into a refusal', async () => {
    if (dialect !== 'postgres') return
    const [version, fingerprint, page] = contentOf(await nextOf(plain))
    for (const keys of [
      ['1114:yesterday’s', '23:1'],
      ['1114:2024-02-31', '23:1'],
      ['23:5', '23:1'],
      ['99999999:x', '23:1'],
      ['1114:2024-01-01', '23:99999999999'],
      ['16:t', '1700:NaN'],
      ['x', 'y'],
    ]) {
      const forged = forge([version, fingerprint, page, ...keys])
      await expect(plain.cursorPaginate(notes(), { ...list, after: forged })).rejects.toMatchObject({
        code: 'ERR_CURSOR_INVALID',
      })
    }
    const byLevel = { by: ['level'], unique: 'id', perPage: 2 }
    const next = contentOf(await nextOf(plain, byLevel))
    const stale = forge([...next.slice(0, 3), String(next[3]).replace('low', 'gone'), next[4]])
    await expect(plain.cursorPaginate(notes(), { ...byLevel, after: stale })).rejects.toMatchObject({
      code: 'ERR_CURSOR_INVALID',
    })
  })

  test.runIf(dialect === 'postgres').each([
    ['tsquery', 'a', '99999999:a b'],
    ['tsvector', 'a', '99999999:a:b'],
    ['macaddr8', '08:00:2b:01:02:03:04:05', '829:08:00:2b:01:02:03'],
    ['boolean', 'true', '99999999:x'],
    ['bytea', '\\x00', '99999999:\\'],
  ])('are refused where the key is a %s and they hold none', async (type, value, text) => {
    const key = sql`cast(${sql.lit(value)} as ${sql.raw(type)})`
    const rows = opened.db.selectFrom('notes').select(['id', key.as('k')])
    const options = { by: [{ key: 'k', nulls: 'last' as const }], unique: 'id', perPage: 1 }
    const { pagination } = await plain.cursorPaginate(rows, options)
    const [version, fingerprint, page] = contentOf(pagination.next as string)
    const forged = forge([version, fingerprint, page, text, '23:1'])
    await expect(plain.cursorPaginate(rows, { ...options, after: forged })).rejects.toMatchObject({
      code: 'ERR_CURSOR_INVALID',
    })
  })

  test.runIf(dialect === 'postgres')(
    'are refused in a transaction too, which the error of the database aborts',
    async () => {
      const [version, fingerprint, page] = contentOf(await nextOf(plain))
      const failureOf = (keys: readonly string[], condition = sql<boolean>`true`) => {
        const options = { ...list, after: forge([version, fingerprint, page, ...keys]) }
        return opened.db
          .transaction()
          .execute((db) => plain.cursorPaginate(db.selectFrom('notes').select('id').where(condition), options))
          .catch((error: unknown) => error)
      }
      const real = ['1114:2024-01-01 00:00:00.000001', '23:3']
      for (const keys of [
        ['1114:yesterday’s', '23:1'],
        ['1114:2024-02-31', '23:1'],
        ['1114:2024-01-01', '23:99999999999'],
        ['99999999:x', '23:1'],
        ['25:2024-01-01', '23:1'],
        ['25:\0', '23:1'],
      ]) {
        expect(await failureOf(keys), String(keys)).toMatchObject({ code: 'ERR_CURSOR_INVALID', status: 400 })
      }
      for (const [condition, code] of [
        [sql<boolean>`1 / (id - 2) < 9`, '22012'],
        [sql<boolean>`('n' || id)::int < 9`, '22P02'],
        [sql<boolean>`no_such_function(id) = 1`, '42883'],
      ] as const) {
        expect(await failureOf(real, condition)).toMatchObject({ code })
      }
    },
  )

  test.runIf(dialect === 'sqlite' || dialect === 'mysql')(
    'of keys that the database never writes are refused',
    async () => {
      const [version, fingerprint, page] = contentOf(await nextOf(plain))
      const foreign = { sqlite: ['5x', "X'0'", '9223372036854775808'], mysql: ['5x', 'n', 'x0', 'n1e'] }
      for (const key of foreign[dialect as keyof typeof foreign]) {
        opened.statements()
        const forged = forge([version, fingerprint, page, key, key])
        await expect(plain.cursorPaginate(notes(), { ...list, after: forged })).rejects.toMatchObject({
          code: 'ERR_CURSOR_INVALID',
        })
        expect(opened.statements()).toEqual([])
      }
    },
  )

  test.runIf(dialect === 'postgres')('that cannot be read are refused, with a NULL among their keys too', async () => {
    const options = { by: [{ key: 'at', nulls: 'last' as const }], unique: 'id', perPage: 2 }
    const [version, fingerprint, page] = contentOf(await nextOf(plain, options))
    const forged = forge([version, fingerprint, page, null, '23:one'])
    await expect(plain.cursorPaginate(notes(), { ...options, after: forged })).rejects.toMatchObject({
      code: 'ERR_CURSOR_INVALID',
    })
  })

  test('never take the blame for an error of the query or the connection', async () => {
    const after = await nextOf(plain)
    const broken = notes().where(sql<boolean>`no_such_function(id) = 1`)
    const failure = await plain.cursorPaginate(broken, { ...list, after }).catch((error: unknown) => error)
    expect(failure).not.toHaveProperty('status')
    if (dialect !== 'postgres') return
    const dividing = notes().where(sql<boolean>`1 / (id - 2) < 9`)
    await expect(plain.cursorPaginate(dividing, { ...list, after })).rejects.toMatchObject({ code: '22012' })
    await expect(plain.cursorPaginate(dividing, list)).rejects.toMatchObject({ code: '22012' })
  })

  test('of an older secret are still read, of an unknown one or none are not', async () => {
    const old = await nextOf(createPaginator({ secret: 'old secret' }))
    expect((await signed.cursorPaginate(notes(), { ...list, after: old })).items).toHaveLength(2)
    const invalid = { code: 'ERR_CURSOR_INVALID' }
    const unknown = await nextOf(createPaginator({ secret: 'unknown' }))
    await expect(signed.cursorPaginate(notes(), { ...list, after: unknown })).rejects.toMatchObject(invalid)
    await expect(signed.cursorPaginate(notes(), { ...list, after: await nextOf(plain) })).rejects.toMatchObject(invalid)
    await expect(plain.cursorPaginate(notes(), { ...list, after: old })).rejects.toMatchObject(invalid)
    const [body, tag] = (await nextOf(signed)).split('.') as [string, string]
    expect(createHmac('sha256', 'new secret').update(body).digest('base64url')).toMatch(new RegExp(`^${tag}`))
    expect(tag).toHaveLength(22)
  })

  test('are never longer than 2 KB: a row with longer keys is unsupported', async () => {
    const long = { by: ['text desc'], unique: 'id', perPage: 1 }
    for (const [length, fits] of [
      [1_300, true],
      [1_600, false],
      [3_000, false],
    ] as const) {
      await opened.db
        .updateTable('notes')
        .set({ text: 'z'.repeat(length) })
        .where('id', '=', 1)
        .execute()
      const page = signed.cursorPaginate(notes(), long)
      if (fits) expect(((await page).pagination.next as string).length).toBeLessThanOrEqual(2_048)
      else await expect(page).rejects.toMatchObject({ code: 'ERR_QUERY_UNSUPPORTED' })
    }
    await opened.db.updateTable('notes').set({ text: 'x' }).where('id', '=', 1).execute()
  })
}

function contentOf(cursor: string): unknown[] {
  return JSON.parse(Buffer.from(cursor.split('.')[0] as string, 'base64url').toString())
}

/** What someone who has read our sources can make when there is no secret. */
function forge(content: unknown): string {
  const body = Buffer.from(JSON.stringify(content)).toString('base64url')
  return `${body}.${crc32(body)}`
}
