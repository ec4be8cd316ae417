import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fingerprint } from '../../../src/database/fingerprint/fingerprint.ts'
import type { SqlDialect } from '../../../src/shared/sql/statement.ts'

const numRuns = Number(process.env.RUNS ?? 300)
const secret = 'sekret'

/** A value as SQL writes it: a parameter or a literal. */
const value = fc.constantFrom(
  '$1',
  '?',
  '@1',
  `'${secret}'`,
  `'it''s ${secret}'`,
  `e'\\'${secret}'`,
  `$$${secret}$$`,
  `$tag$ ' ${secret} $tag$`,
  '42',
  '-42',
  '4.2e-3',
  '.5',
  '0xff',
)
const item = fc
  .tuple(value, fc.constantFrom('', '::int', '::character varying(20)', '::"public"."status"'))
  .map(([one, cast]) => one + cast)
const wrapped = fc.oneof(
  item,
  item.map((one) => `(${one})`),
  value.map((one) => `cast(${one} as numeric(10, 2))`),
)
const row = fc.array(wrapped, { minLength: 2, maxLength: 3 }).map((values) => `(${values.join(', ')})`)
const lengths = { minLength: 1, maxLength: 6 }
const list = fc.oneof(fc.array(wrapped, lengths), fc.array(row, lengths)).map((items) => items.join(', '))
const space = fc.constantFrom(' ', '\n  ', ` /* ${secret} /* nested */ */ `, ` -- ${secret}' "\n`)

const shape = (sql: string, dialect: SqlDialect = 'postgres') => fingerprint(sql, dialect).text

describe('the fingerprint of a statement', () => {
  it('is the same whatever is in its lists, its comments and its white space', () => {
    const statement = fc
      .tuple(list, value, space, space)
      .map(([list, value, one, other]) =>
        ['select', '"a"', 'from', 't1', 'where', `b in (${list})`, 'and', `c =${other}${value}`, 'and', 'd2 > 1'].join(
          one,
        ),
      )
    fc.assert(
      fc.property(statement, (sql) => {
        expect(shape(sql)).toBe('select "a" from t1 where b in (...) and c = ? and d2 > ?')
      }),
      { numRuns, seed: 21 },
    )
  })

  it('is the same for rows of any number and content', () => {
    const cell = fc.oneof(
      wrapped,
      fc.constantFrom('default', 'now()', 'upper($1)', '"raw" + 1', '(select max(id) from t)'),
    )
    const rows = fc.array(fc.array(cell, { minLength: 1, maxLength: 4 }), lengths)
    fc.assert(
      fc.property(rows, space, (rows, space) => {
        const values = rows.map((cells) => `(${cells.join(', ')})`).join(`,${space}`)
        expect(shape(`insert into t (a) values${space}${values} returning id`)).toBe(
          'insert into t (a) values (...) returning id',
        )
      }),
      { numRuns, seed: 22 },
    )
  })

  it('reads any text to its end, and shows nothing of a value in it', () => {
    const piece = fc.oneof(
      value,
      space,
      fc.constantFrom('select', '(', ')', ',', "'", '"', '`', '/*', '--', '$$', '[', 'in', 'values', 'or', '=', '#'),
    )
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 30 }),
        fc.constantFrom('postgres', 'mysql', 'sqlite', 'mssql'),
        (pieces, dialect) => {
          const { text, literals } = fingerprint(pieces.join(' '), dialect as SqlDialect)
          expect(text.length).toBeLessThanOrEqual(pieces.join(' ').length + 8 * pieces.length)
          expect(literals.every((literal) => typeof literal === 'string')).toBe(true)
        },
      ),
      { numRuns, seed: 23 },
    )
  })

  it.each([
    ["select * from t where a = 'it''s' and b = -1", 'select * from t where a = ? and b = ?'],
    ['select a - 1, -1 from t', 'select a - ?, ? from t'],
    ["select data->>'name' from t where data @> '{}'", 'select data->>? from t where data @> ?'],
    [
      'select * from t where a in (select id from u where b = $1)',
      'select * from t where a in (select id from u where b = ?)',
    ],
    ['select * from t where a in (b, $1)', 'select * from t where a in (b, ?)'],
    ['select 1;  ', 'select ?'],
    ['select "it is 5 o\'clock" from t2', 'select "it is 5 o\'clock" from t2'],
    ['select coalesce($1, $2)', 'select coalesce(?, ?)'],
    ["select interval '1 day', '2020-01-01'::date", 'select interval ?, ?::date'],
    [
      'select * from t where (a = $1 and b = $2) or (a = $3 and b = $4)',
      'select * from t where (a = ? and b = ?) or ...',
    ],
    ["select * from t where 'a' = b or 'c' = b order by 1", 'select * from t where ? = b or ... order by ?'],
    ['select * from t where (a = $1 or a = $2 or a = $3) and b = 1', 'select * from t where (a = ? or ...) and b = ?'],
    ['select * from t where a = $1 or b = $2', 'select * from t where a = ? or b = ?'],
    ['select * from t where a = $1 or a = $2 and b', 'select * from t where a = ? or a = ? and b'],
    ["update t set a = case b when 1 then 'x' when 2 then 'y' end", 'update t set a = case b when ? then ? ... end'],
    ['select case when a then b when c then d end', 'select case when a then b when c then d end'],
    ['select * from t where a = any (array[$1, $2])', 'select * from t where a = any (array[...])'],
    ["select 'never closed", 'select ?'],
  ])('of %s is %s', (sql, expected) => {
    expect(shape(sql)).toBe(expected)
  })

  it.each(['postgres', 'mysql'] as const)('reads texts of %s as long as a file', (dialect) => {
    const text = 'x'.repeat(20_000_000)
    for (const quoted of [`'${text}'`, `e'${text}'`, `'${text}\\'${text}'`, `"${text}"`, `'${text}`]) {
      expect(shape(`insert into t values (${quoted}`, dialect).length).toBeLessThan(2 * text.length)
    }
    expect(shape(`insert into t values ('${text}', 'it''s')`, dialect)).toBe('insert into t values (...)')
  })

  it('follows the rules of MySQL for texts and comments', () => {
    const expected = 'select * from `t` where a = ? and b = ? on duplicate key update a = values(a)'
    const sql = "select * from `t` # '\n where a = \"x\\\"y\" and b = '\\'' on duplicate key update a = values(a)"
    expect(shape(sql, 'mysql')).toBe(expected)
    expect(shape("select 5--1 from t -- it's\n where a--1", 'mysql')).toBe('select ?--? from t where a--?')
  })

  it.each(['mysql', 'sqlite'] as const)('ends a comment of %s at the first end', (dialect) => {
    expect(shape('/* GET /files/* */ select * from t', dialect)).toBe('select * from t')
    expect(shape('select * from t /* GET /files/* */ where a = 1', dialect)).toBe('select * from t where a = ?')
  })
})
