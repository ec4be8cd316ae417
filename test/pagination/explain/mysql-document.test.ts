import fc from 'fast-check'
import { sql } from 'kysely'
import { createPaginator } from 'posthaste/pagination'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseMysqlDocument } from '../../../src/shared/index-advice/mysql-document.ts'
import { character } from '../support/characters.ts'
import { engines, type Opened } from '../support/engines.ts'

const { paginate, explainPage } = createPaginator({ onWarn: () => {} })
const servers = engines.filter(({ dialect }) => dialect === 'mysql')

describe.each(servers)('plans of $name with a client’s text in them', ({ server, available, open }) => {
  let opened: Opened
  beforeAll(async () => {
    if (!available) return
    opened = await open()
    await sql`create table searched (id int primary key, t varchar(60) not null)`.execute(opened.db)
    const rows = Array.from({ length: 12_000 }, (_, at) => ({ id: at + 1, t: 'x' }))
    await opened.db.insertInto('searched').values(rows).execute()
    await sql`analyze table searched`.execute(opened.db)
  })
  afterAll(() => opened?.close(), 60_000)

  test.skipIf(!available)('are read, or the rows are counted', async () => {
    const letter = fc.oneof(
      fc.constantFrom('"', "'", '\t', '\n', '\\', ',', '{', '}', '\\"', '",\n "rows": 1'),
      character,
    )
    const texts = fc.array(letter, { maxLength: 8 }).map((letters) => letters.join(''))
    const property = fc.asyncProperty(texts, async (text) => {
      const query = opened.db.selectFrom('searched').select('id').where('t', '<>', text)
      const page = await paginate(query, { unique: 'id', perPage: 2, page: 2, total: 'estimate' })
      expect(page.pagination.total).toBeGreaterThan(9_000)
      const explained = explainPage(query, { unique: 'id' }).catch((error: unknown) => error)
      expect(await explained).toMatchObject(
        server === 'mariadb' && text.includes('"rows"') ? {} : { access: expect.stringMatching(/seek|scan|sort/) },
      )
    })
    await fc.assert(property, { numRuns: Number(process.env.RUNS ?? 60), seed: 5 })
  })
})

test('reads a document as it is, and says when it is none', () => {
  expect(parseMysqlDocument({ a: 1 })).toEqual({ a: 1 })
  expect(parseMysqlDocument('{"a": "b"}')).toEqual({ a: 'b' })
  expect(parseMysqlDocument('{\n  "a": "b"c",\n  "d": 1\n}')).toEqual({ a: 'b"c', d: 1 })
  expect(parseMysqlDocument('no document')).toBeUndefined()
})
