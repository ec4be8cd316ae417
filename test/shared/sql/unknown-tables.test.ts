import fc from 'fast-check'
import { DummyDriver, Kysely, MysqlAdapter, MysqlQueryCompiler, type RawBuilder, sql } from 'kysely'
import { describe, expect, it } from 'vitest'
import { hasUnknownTables } from '../../../src/shared/sql/unknown-tables.ts'

const db = new Kysely<{ orgs: { id: number } }>({
  dialect: {
    createAdapter: () => new MysqlAdapter(),
    createDriver: () => new DummyDriver(),
    createIntrospector: () => ({}) as never,
    createQueryCompiler: () => new MysqlQueryCompiler(),
  },
})

const isUnknown = (fragment: RawBuilder<unknown>) =>
  hasUnknownTables(db.selectFrom('orgs').select(fragment.as('value')).toOperationNode())

/** Texts that read no table, with what may be taken for the beginning or the end of a quoted text. */
const harmless = [
  "'from'",
  "'it''s'",
  '"it\'s"',
  "`it's`",
  "-- don't\n1",
  "/* don't\n do that */ 1",
  '1 - -1',
  "coalesce(id, 'x')",
]

/** Those of databases in which a backslash is a letter, of MySQL, in which it escapes a quote, and of PostgreSQL. */
const harmlessByDialect = [
  [...harmless, "'\\'", "'a\\'"],
  [...harmless, "'\\\\'", "'it\\'s'", '"a\\"s\'"', "# don't\n1", "'#1'"],
  [...harmless, "$$it's$$", "$of$ it's $$ $of$", "data #>> '{a,b}'\n"],
]

/** Places in which a text names a table. */
const sources = [
  '(select max(id) from users)',
  '(select 1 from (users))',
  '(select 1 from\nusers)',
  '(select 1 from `users`)',
  'exists(select 1 from orgs as o join users on true)',
  'exists(select 1 from orgs as o straight_join users)',
  // SQLite reads a table there.
  'id in users',
  'id not in\nmain.users',
  'id in "users"',
  '1 /*! + (select max(id) from users) */',
]

describe('`hasUnknownTables`', () => {
  it('finds a table in the text of a fragment, whatever is quoted or commented around it', () => {
    const place = fc.constantFrom(...sources)
    for (const texts of harmlessByDialect) {
      const around = fc.array(fc.constantFrom(...texts), { maxLength: 3 })
      fc.assert(
        fc.property(around, place, around, (before, source, after) => {
          expect(isUnknown(sql.raw(`concat(${[...before, source, ...after].join(', ')})`))).toBe(true)
        }),
        { numRuns: 500 },
      )
    }
  })

  it.each([
    "name like 'a\\%' escape '\\'",
    "'-- from users'",
    "concat('from ', 'it''s', id)",
    '/* prices in cents from 2020 */ id',
    '1 -- one in ten',
    "position('@' in email)",
    "position(coalesce('@', 'a') in email)",
    "match(name) against ('a' in boolean mode)",
    'id in (1, 2)',
    "data #>> '{from,name}'",
  ])('knows that %s reads no table', (text) => {
    expect(isUnknown(sql.raw(text))).toBe(false)
  })

  it.each(['only (users)', 'orgs straight_join users'])('finds the table of the source %s', (source) => {
    const query = db.selectFrom(sql<{ id: 1 }>`${sql.raw(source)}`.as('s')).selectAll()
    expect(hasUnknownTables(query.toOperationNode())).toBe(true)
    const direct = db.selectFrom(sql.raw<{ id: 1 }>(source).as('s')).selectAll()
    expect(hasUnknownTables(direct.toOperationNode())).toBe(true)
  })

  it('finds the table behind a known one', () => {
    const joined = sql`(select 1 from ${sql.table('orgs')} straight_join users)`
    expect(isUnknown(joined)).toBe(true)
  })
})
