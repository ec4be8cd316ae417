import { sql } from 'kysely'
import { createPaginator } from 'posthaste/pagination'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { services } from '../../support/services.ts'
import { type Opened, openMysql } from '../support/engines.ts'
import { idsOf, pagesOf, type Query } from '../support/walking.ts'

const collations = [
  ['plain', 'utf8mb4_nopad_bin'],
  ['any_case', 'utf8mb4_general_nopad_ci'],
  ['latin', 'latin1_swedish_nopad_ci'],
  ['unicode', 'utf8mb4_unicode_nopad_ci'],
  ['unicode_520', 'utf8mb4_unicode_520_nopad_ci'],
] as const

const paginator = createPaginator({ onWarn: () => {} })

describe.skipIf(services.mariadb === undefined)('a CHAR with a NOPAD collation', () => {
  let opened: Opened

  beforeAll(async () => {
    opened = await openMysql(services.mariadb as string)
    const { db } = opened
    const columns = collations.map(([name, collation]) => `${name} char(8) collate ${collation} not null`)
    await sql.raw(`create table words (id int primary key, ${columns.join(', ')})`).execute(db)
    const texts = ['a', 'b', 'a\t', '', 'A', '\n', 'a\tb', 'b\n', 'a', 'a\t', 'ä', 'ss', 'ß', 'á', 'ss']
    await db
      .insertInto('words')
      .values(
        texts.map((text, at) => ({ id: at + 1, ...Object.fromEntries(collations.map(([name]) => [name, text])) })),
      )
      .execute()
    await sql`create view word_view as select * from words`.execute(db)
    await sql`create index words_plain on words (plain, id)`.execute(db)
  }, 60_000)
  afterAll(() => opened?.close(), 60_000)

  const cases = collations.flatMap(([name, collation]) =>
    (['asc', 'desc'] as const).map((dir) => [name, dir, collation] as const),
  )
  test.each(cases)('is paged as by the collation that pads: %s %s', async (name, dir, collation) => {
    const { db } = opened
    const words = db.selectFrom('words').select(['id', `${name} as word`])
    const queries: readonly Query[] = [
      words,
      db.selectFrom('word_view').select(['id', `${name} as word`]),
      db.selectFrom(words.as('w')).select(['id', 'word']),
      words.distinct(),
      words.where('id', '<', 5).unionAll(words.where('id', '>=', 5)),
      db
        .selectFrom('words')
        .groupBy('id')
        .select(['id', sql`max(${sql.ref(name)})`.as('word')]),
    ] as never
    for (const query of queries) {
      const list = await db
        .selectFrom(query.as('w'))
        .select('id')
        .orderBy(sql`word collate ${sql.raw(collation.replace('_nopad_', '_'))}`, dir)
        .orderBy('id', dir)
        .execute()
      expect(list).toHaveLength(15)
      for (const perPage of [1, 3]) {
        const seen: number[] = []
        for await (const rows of pagesOf(paginator, query, { by: [`word ${dir}`], unique: 'id', perPage })) {
          seen.push(...idsOf(rows))
        }
        expect(seen).toEqual(idsOf(list))
      }
    }
  })
})
