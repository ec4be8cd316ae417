import { sql } from 'kysely'
import { cursorPaginate, readRows } from 'posthaste/pagination'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { engines, type Opened } from '../support/engines.ts'

/** Texts as applications in Latin-1 wrote them, real replacement characters, and others that look alike in JavaScript. */
const texts = ["x'5A6FEB'", "x'5A6FEC'", "'Zo\uFFFD'", "x'FF'", "x'C3'", "'Zoë'", "'Zo'", "'a'", "x'61FF00'"]

/** Halves of characters, which are no text in one of the two byte orders, and some of the texts above. */
const wideTexts = [
  "x'5A00D800'",
  "x'005A00D8'",
  "x'D800'",
  "x'00D8'",
  "x'61006200'",
  ...texts.filter((text) => text.startsWith("'")),
]

const cases = engines
  .filter(({ dialect }) => dialect === 'sqlite')
  .flatMap(({ name, open }) => ['UTF-8', 'UTF-16le', 'UTF-16be'].map((encoding) => ({ name, open, encoding })))

describe.each(cases)('texts that are no text in $encoding, on $name', ({ open, encoding }) => {
  let opened: Opened

  beforeAll(async () => {
    opened = await open()
    await sql.raw(`pragma encoding = '${encoding}'`).execute(opened.db)
    await sql`create table people (id integer primary key, name text not null)`.execute(opened.db)
    const rows = (encoding === 'UTF-8' ? texts : wideTexts).map((text, at) => `(${at + 1}, cast(${text} as text))`)
    await sql.raw(`insert into people values ${rows.join(', ')}`).execute(opened.db)
  })
  afterAll(() => opened.close(), 60_000)

  const listOf = async (dir: string) => {
    const { rows } = await sql<{ id: number }>`select id from people order by name ${sql.raw(dir)}, id`.execute(
      opened.db,
    )
    return rows.map(({ id }) => id)
  }
  const query = (columns: ('id' | 'name')[]) => opened.db.selectFrom('people').select(columns)

  it.each(['asc', 'desc'] as const)('are pages in the order of their bytes: %s', async (dir) => {
    for (const columns of [['id'], ['id', 'name']] as ('id' | 'name')[][]) {
      const by = [{ key: 'name', dir } as const, 'id asc' as const]
      const seen: number[] = []
      for await (const { id } of readRows(query(columns), { by, unique: 'id', size: 2 })) seen.push(id as number)
      expect(seen).toEqual(await listOf(dir))
    }
  })

  it('have cursors in the targets of a jump', async () => {
    const options = { by: ['name'], unique: 'id', perPage: 2, jump: 4 } as const
    const { jump } = (await cursorPaginate(query(['id']), options)).pagination
    const starts = await Promise.all(
      (jump ?? []).map(async ({ after }) => (await cursorPaginate(query(['id']), { ...options, after })).items[0]?.id),
    )
    const list = await listOf('asc')
    expect(starts).toEqual([list[2], list[4], list[6], list[8]])
  })
})
